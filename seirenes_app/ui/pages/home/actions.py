"""The actions of the Home page."""

from __future__ import annotations

from seirenes_app.ui.actions import ActionSpec

ACTIONS = (
    ActionSpec("home.open", "Open", "Return", "arrow-right", "Open the selected run", context=True),
    ActionSpec("home.pin", "Pin or unpin", "P", "pin", "Keep the selected run at the top", context=True),
    ActionSpec("home.rename", "Rename", "F2", "pencil", "Give the selected run a name", context=True),
    ActionSpec("home.tags", "Tags…", "T", "", "Set the tags of the selected run", context=True),
    ActionSpec("home.group", "Group…", "G", "", "Put the selected run into a group", context=True),
    ActionSpec("home.note", "Note…", "N", "note", "Write a note on the selected run", context=True),
    ActionSpec("home.resume", "Resume", "R", "resume", context=True),
    ActionSpec("home.discard", "Discard…", "Del", "discard", context=True, destructive=True),
)
"""Of the table of runs."""
