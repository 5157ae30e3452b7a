"""The Kubernetes API over plain aiohttp: client, reflector, lease."""
