"""The gateway: AWS's Lambda API, Invoke, routing to instances, scaling."""
