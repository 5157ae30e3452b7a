"""How the parts are observed: structured logs, metrics, health endpoints."""
