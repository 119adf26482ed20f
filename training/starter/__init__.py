"""The recipe that makes the bundled reasoner, from corpus to weights."""
