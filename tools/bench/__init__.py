"""Measurements against the running cluster; results belong into docs/performance.md."""
