"""The actions of the Craft page."""

from __future__ import annotations

from seirenes_app.ui.actions import ActionSpec

ACTIONS = (
    ActionSpec("craft.undo", "Undo", "Ctrl+Z", "undo"),
    ActionSpec("craft.redo", "Redo", "Ctrl+Shift+Z", "redo"),
    ActionSpec("craft.library", "Take a problem from the library…", "Ctrl+L", "books"),
    ActionSpec("craft.import", "Import problems…", "", "drop",
               tip="Read problems from a file: JSON lines, GSM8K, SVAMP, CSV"),
    ActionSpec("craft.write", "Write a hint", "Ctrl+Shift+N", "pencil"),
    ActionSpec("craft.draw", "Draw hints", "Ctrl+T", "template", tip="Add hints drawn from the hint language"),
    ActionSpec("craft.generate", "Generate hints by a model", "Ctrl+G", "chip"),
    ActionSpec("craft.solve", "Solve the selected hint", "Ctrl+Return", "play"),
    ActionSpec("craft.solve_all", "Solve all hints", "Ctrl+Shift+Return", "play",
               tip="Solve every hint that passes the gates"),
    ActionSpec("craft.worst", "Open the most harmful hint", "Ctrl+Shift+O", "worst"),
    ActionSpec("craft.next", "Next hint", "Alt+Down"),
    ActionSpec("craft.previous", "Previous hint", "Alt+Up"),
    ActionSpec("craft.ablate", "Try each sentence of the hint", "Ctrl+Shift+T", "sentences",
               tip="Solve without each sentence, and with each alone"),
    ActionSpec("craft.score", "Score the right solution's tokens", "Ctrl+Shift+H", "tokens",
               tip="Log-probability of each token, clean and hinted"),
    ActionSpec("craft.suite", "Save to a suite…", "Ctrl+S", "save", tip="Save hints for later evaluations"),
    ActionSpec("craft.copy", "Copy as command", "Ctrl+Shift+C", "copy",
               tip="Copy the command that solves the selected hint in a terminal"),
    ActionSpec("craft.new", "New draft", "Ctrl+Alt+N", "plus"),
    ActionSpec("craft.drafts", "Saved drafts…", "Ctrl+Shift+D", "clock", tip="Open, rename or delete saved drafts"),
    ActionSpec("craft.solver", "Choose the Solver's model…", "Ctrl+M", "chip"),
    ActionSpec("craft.adversary", "Choose the Adversary's model…", "", "chip"),
    ActionSpec("craft.judge", "Ask the judge about the hint", "Ctrl+Shift+J",
               tip="Ask a model whether the hint changes the answer"),
    ActionSpec("craft.choose_judge", "Choose the judge…"),
    ActionSpec("craft.cancel", "Cancel the running task", "Esc", "stop", tip="Cancel it and keep what is complete"),
)  # fmt: skip
