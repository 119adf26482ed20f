"""The run directory: the one contract between trainer and app. No torch, no Qt."""
