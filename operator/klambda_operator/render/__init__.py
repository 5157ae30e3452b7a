"""Manifests as pure functions of data."""
