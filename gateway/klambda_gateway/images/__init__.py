"""Container images of functions: which one a name means, and what it says about its start."""
