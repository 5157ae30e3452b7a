"""The warm hop, measured without Kubernetes around it (see ``__main__``)."""
