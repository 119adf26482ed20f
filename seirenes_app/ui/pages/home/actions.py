"""The actions of the Home page."""

from __future__ import annotations

from seirenes_app.ui.actions import ActionSpec

ACTIONS = (
    ActionSpec("home.open", "Open", "Return", "arrow-right", "Open the selected run", context=True),
    ActionSpec("home.pin", "Pin or unpin", "P", "pin", "Keep the selected run at the top", context=True),
    ActionSpec("home.note", "Note…", "N", "note", "Write a note on the selected run", context=True),
    ActionSpec("home.resume", "Resume", "R", "resume", context=True),
    ActionSpec("home.discard", "Discard…", "Del", "discard", context=True),
)
"""Of the table of runs."""
