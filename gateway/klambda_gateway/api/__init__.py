"""Lambda's control plane and Invoke over HTTP: one thin module per resource."""
