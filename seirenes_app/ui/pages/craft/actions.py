"""The actions of the Craft page."""

from __future__ import annotations

from seirenes_app.ui.actions import ActionSpec

ACTIONS = (
    ActionSpec("craft.undo", "Undo", "Ctrl+Z", "undo"),
    ActionSpec("craft.redo", "Redo", "Ctrl+Shift+Z", "redo"),
    ActionSpec("craft.library", "Take a problem from the library…", "Ctrl+L", "books"),
    ActionSpec("craft.import", "Import problems…", "", "drop"),
    ActionSpec("craft.write", "Write a hint", "Ctrl+Shift+N", "pencil"),
    ActionSpec("craft.templates", "Fill in templates", "Ctrl+T", "template"),
    ActionSpec("craft.generate", "Let a model write hints", "Ctrl+G", "chip"),
    ActionSpec("craft.solve", "Solve the selected hint", "Ctrl+Return", "play"),
    ActionSpec("craft.solve_all", "Solve all hints", "Ctrl+Shift+Return", "play"),
    ActionSpec("craft.worst", "Open the most harmful hint", "Ctrl+Shift+O", "worst"),
    ActionSpec("craft.next", "Next hint", "Alt+Down"),
    ActionSpec("craft.previous", "Previous hint", "Alt+Up"),
    ActionSpec("craft.ablate", "Ablate the hint's sentences", "Ctrl+Shift+T", "sentences"),
    ActionSpec("craft.heat", "Score the right solution's tokens", "Ctrl+Shift+H", "heat"),
    ActionSpec("craft.suite", "Save to a suite…", "Ctrl+S", "save"),
    ActionSpec("craft.copy", "Copy as command", "Ctrl+Shift+C", "copy"),
    ActionSpec("craft.new", "New draft", "Ctrl+Alt+N", "plus"),
    ActionSpec("craft.drafts", "Recent drafts…", "Ctrl+Shift+D", "clock"),
    ActionSpec("craft.solver", "Choose the solver's model…", "Ctrl+M", "chip"),
    ActionSpec("craft.adversary", "Choose the adversary's model…", "", "chip"),
    ActionSpec("craft.cancel", "Cancel the running task", "Esc", "stop"),
)
