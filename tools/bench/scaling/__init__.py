"""Scaling in virtual time: traces of what the gateway's own parts do with simulated instances."""
