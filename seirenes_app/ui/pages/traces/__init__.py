"""The parts of the Traces page, one a file."""
