"""Widgets that know nothing of any page."""
