"""The parts of the Models page, one a file."""
