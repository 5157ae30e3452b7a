"""Routing: name and qualifier to the Deployment that serves them now."""
