"""A red-team campaign: searches for the hints that break a model, and confirms them on other problems."""
