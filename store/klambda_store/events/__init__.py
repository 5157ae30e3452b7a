"""Asynchronous events: kept durably until they are settled."""
