"""Item models: runs and commands as Qt views want them."""
