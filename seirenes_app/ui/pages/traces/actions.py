"""The actions of the Traces page. A text field that has the keyboard keeps its letters: Qt asks it first."""

from __future__ import annotations

from seirenes_app.ui.actions import ActionSpec

PAGE_ACTIONS = (
    ActionSpec("traces.next", "Next row", "J", "chevron-down"),
    ActionSpec("traces.previous", "Previous row", "K", "up"),
    ActionSpec("traces.next-flip", "Next flip", "N", "flip-down", context=True),
    ActionSpec("traces.previous-flip", "Previous flip", "P", "flip-up", context=True),
    ActionSpec("traces.search", "Search", "/", "search"),
    ActionSpec("traces.craft", "Open in Craft", "C", "craft", context=True),
    ActionSpec("traces.export", "Export…", "Ctrl+E", "export", "Write the listed rows to a file", context=True),
    ActionSpec("traces.audit", "Audit hints…", "Ctrl+Shift+A", "check-circle",
               "Label late valid hints of this run: how many should not have passed"),
    ActionSpec("traces.choose-run", "Choose a run", "Ctrl+L", "log"),
)  # fmt: skip
TABLE_ACTIONS = (ActionSpec("traces.read", "Read", "Return; Enter", "arrow-right", "Read the row", context=True),)
ACTIONS = (*PAGE_ACTIONS, *TABLE_ACTIONS)
