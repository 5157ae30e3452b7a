"""The wire: how HTTP requests come in (and later the fast lane for plain invocations)."""
