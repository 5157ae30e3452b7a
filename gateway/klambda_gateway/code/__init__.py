"""Deployment packages: checking them, resolving the sources of Functions."""
