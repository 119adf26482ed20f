"""The actions of the Red team page: those of the list, of the form, and of the campaign and the hint in view."""

from __future__ import annotations

from seirenes_app.ui.actions import ActionSpec

LIST_ACTIONS = (
    ActionSpec("red-team.open", "Open the campaign", "", "arrow-right", "Enter in the list", context=True),
    ActionSpec("red-team.again", "New with these settings…", "", "pencil", "The form, filled with its plan",
               context=True),
    ActionSpec("red-team.rename", "Rename…", "F2", "note", context=True),
    ActionSpec("red-team.folder", "Show the folder", "", "folder", context=True),
    ActionSpec("red-team.delete", "Delete…", "Ctrl+Del", "discard", "Stop it and move its folder to the trash",
               context=True, separated=True, destructive=True),
)  # fmt: skip
"""On the campaign that is selected in the list, or in view."""
FORM_ACTIONS = (
    ActionSpec("red-team.start", "Start the campaign", "Ctrl+Return", "play", "Start the campaign of the form",
               seen_first=True),
    ActionSpec("red-team.copy-command", "Copy as command", "", "copy", "The line that starts this campaign in a "
               "terminal"),
)  # fmt: skip
CAMPAIGN_ACTIONS = (
    ActionSpec("red-team.stop", "Stop and keep", "", "stop", "End the campaign; what was found and paid for is kept",
               destructive=True),
    ActionSpec("red-team.pause", "Pause", "", "pause", "Hold after the requests under way; nothing is asked meanwhile",
               seen_first=True),
    ActionSpec("red-team.resume", "Resume", "", "resume", "Continue; nothing is asked or paid twice",
               seen_first=True),
    ActionSpec("red-team.report", "Report (HTML)", "Ctrl+Shift+E", "file", "One HTML file with all figures"),
    ActionSpec("red-team.confirmed", "Confirmed weaknesses", "Alt+1"),
    ActionSpec("red-team.refuted", "Refuted hints", "Alt+2"),
    ActionSpec("red-team.charts", "Charts of effects", "Alt+3"),
    ActionSpec("red-team.export", "Export…", "Ctrl+E", "export", "Suite, JSONL, SARIF, lm-eval task, traces, Inspect"),
    ActionSpec("red-team.suite", "Make a suite", "", "books",
               "The confirmed hints with their problems, to evaluate other models on"),
    ActionSpec("red-team.train", "Train against these hints", "", "train",
               "The form of a new run that replays the confirmed hints"),
)  # fmt: skip
HINT_ACTIONS = (
    ActionSpec("red-team.craft", "Open in Craft", "", "craft", "The problem in view with this hint"),
    ActionSpec("red-team.next", "Next example", "Alt+Right", "arrow-right"),
    ActionSpec("red-team.previous", "Previous example", "Alt+Left", "arrow-left"),
)
ACTIONS = (
    ActionSpec("red-team.new", "New campaign…", "Ctrl+J", "plus", "A target, hint writers and a budget"),
    ActionSpec("red-team.small", "A small campaign on the bundled model", "", "play", "A few minutes on this machine, "
               "offline", seen_first=True),
    ActionSpec("red-team.list", "All campaigns", "Ctrl+L", "log"),
    *LIST_ACTIONS, *FORM_ACTIONS, *CAMPAIGN_ACTIONS, *HINT_ACTIONS,
)  # fmt: skip
