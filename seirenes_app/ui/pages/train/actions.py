"""The actions of the Train page: those of the form, and those of the run in view."""

from __future__ import annotations

from seirenes_app.ui.actions import ActionSpec

PRESET_TITLES = {
    "demo": "Demo",
    "quick": "Quick",
    "long": "Long",
    "clean_rl": "Clean RL",
    "static": "Static adversary",
    "random": "Random hints",
    "small-gpu": "Small GPU",
}
"""The presets that ship, in their order."""

FORM_ACTIONS = (
    ActionSpec("train.start", "Start", "Ctrl+Return", "play", "Start this run", seen_first=True),
    ActionSpec(
        "train.queue",
        "Add to queue",
        "",
        "plus",
        "Start it when no run is live and it fits, while a window is open",
        seen_first=True,
    ),
    ActionSpec("train.submit", "Submit to a cluster…", "Ctrl+Shift+Return", "server",
               "Start this run on a Ray cluster, and follow it here"),
    ActionSpec(
        "train.measure", "Measure with two steps", "", "clock", "Play two steps of it: time and memory become exact"
    ),
    ActionSpec("train.copy-command", "Copy as command", "", "copy", "The line that starts this run in a terminal"),
    ActionSpec("train.open-file", "Open…", "", "file", "Fill the form from a TOML or JSON file"),
    ActionSpec("train.save-file", "Save…", "", "save", "Save the form as a TOML file"),
)  # fmt: skip
QUEUE_ACTIONS = (
    ActionSpec("train.queue-up", "Move up in the queue", "", "up", "Alt+Up in the list"),
    ActionSpec("train.queue-down", "Move down in the queue", "", "chevron-down", "Alt+Down in the list"),
    ActionSpec("train.queue-edit", "Edit the queued run", "", "pencil", "Its settings in the form; Enter in the list"),
    ActionSpec("train.queue-duplicate", "Duplicate the queued run", "", "copy", "Ctrl+D in the list"),
    ActionSpec("train.queue-remove", "Take out of the queue", "", "discard", "Delete in the list; it can be undone"),
    ActionSpec("train.queue-undo", "Put back into the queue", "", "undo", "What was taken out; Ctrl+Z in the list"),
    ActionSpec("train.queue-anyway", "Start anyway", "", "play", "Start the chosen run although it does not fit"),
)  # fmt: skip
RUN_ACTIONS = (
    ActionSpec("train.traces", "Traces", "", "traces", "Read this run's rollouts"),
    ActionSpec("train.robustness", "Robustness", "", "chart", "This run over its checkpoints"),
    ActionSpec("train.resume", "Resume", "", "resume", "Start a trainer that continues from the newest checkpoint"),
    ActionSpec("train.longer", "Train longer…", "", "resume", "More steps for a run that has finished"),
    ActionSpec("train.follow", "Follow again", "", "refresh", "Go on reading what the run on its cluster writes"),
    ActionSpec(
        "train.fetch", "Fetch from the cluster…", "", "drop", "Bring checkpoints, rollouts and evaluations here"
    ),
    ActionSpec("train.edit-settings", "Edit settings", "", "pencil", "Open the form with the settings of this run"),
    ActionSpec("train.stop", "Stop and save", "", "stop", "Save, then end the trainer", destructive=True),
    ActionSpec("train.checkpoint", "Checkpoint now", "", "save", "Save the weights after this step"),
    ActionSpec("train.export-model", "Export the model…", "Ctrl+E", "export", "As a Hugging Face folder, LoRA or GGUF"),
    ActionSpec("train.diagnostics", "Copy diagnostics", "", "copy", "This machine, this run, the end of its log"),
    ActionSpec("train.discard", "Discard…", "", "discard", "Stop the run and move it to the trash", destructive=True),
)
ACTIONS = (
    ActionSpec("train.find", "Find", "Ctrl+F", "search", "Find an option, or text in the log"),
    ActionSpec("train.clusters", "Clusters…", "Ctrl+Shift+L", "server",
               "Ray clusters and the jobs on them: add one, read a log, stop a job"),
    *FORM_ACTIONS, *QUEUE_ACTIONS, *RUN_ACTIONS,
)  # fmt: skip
