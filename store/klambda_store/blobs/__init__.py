"""Blobs: bytes by namespace and SHA-256, and where they are kept."""
