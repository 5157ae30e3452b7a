"""Function URLs: from an HTTP request to the function's answer and back (aws-contract d)."""
