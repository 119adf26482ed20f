"""The parts of the Craft page."""
