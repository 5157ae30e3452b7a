"""Scaling: starting instances at once when asked, and letting idle ones go."""
