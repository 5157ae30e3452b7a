"""Telling outcomes: to functions, queues, topics and HTTP sinks."""
