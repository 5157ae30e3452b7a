"""Invoke: the one story from a parsed request to the function's answer."""
