"""Suites: frozen, versioned sets of problems and hints. Build, read, write and validate them."""
