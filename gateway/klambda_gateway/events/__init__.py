"""Asynchronous invocation: accepted durably, leased, run, told."""
