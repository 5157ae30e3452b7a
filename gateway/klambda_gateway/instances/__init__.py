"""Instances: the execution environments that dial in, and what this gateway knows of them."""
