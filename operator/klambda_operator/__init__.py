"""The operator: Function, Version and Alias objects become Deployments and honest status."""
