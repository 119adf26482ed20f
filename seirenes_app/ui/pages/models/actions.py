"""The actions of the Models page."""

from __future__ import annotations

from seirenes_app.ui.actions import ActionSpec

MODEL_ACTIONS = (
    ActionSpec("models.craft", "Use in Craft", "C", "craft", "Solve with it and let it write hints", context=True),
    ActionSpec("models.evaluate", "Evaluate…", "Ctrl+E", "chart", "Evaluate it on a suite", context=True),
    ActionSpec("models.train", "Train from this…", "", "train", "Fill the form of a new run with it",
               context=True),
    ActionSpec("models.test", "Test…", "Ctrl+T", "check-circle",
               "Ten problems: what it writes, how that is read, and how fast it is; an endpoint is asked one question",
               context=True),
    ActionSpec("models.probe", "Probe…", "Ctrl+Shift+T", "server",
               "A few short requests that show what an endpoint's server can do", context=True),
    ActionSpec("models.edit", "Edit endpoint…", "F2", "pencil", "Address, model, price and limits", context=True),
    ActionSpec("models.key", "Set key…", "Ctrl+K", "key", "Keep the key of an endpoint's server in the system keyring",
               context=True),
    ActionSpec("models.convert", "Convert for training…", "", "versions",
               "Write a Hugging Face folder, which can be trained", context=True),
    ActionSpec("models.export", "Export as GGUF…", "", "export", "Write a GGUF file, which Craft can use",
               context=True),
    ActionSpec("models.serve", "Serve…", "Ctrl+Shift+V", "server",
               "Put it behind an OpenAI-compatible server on this machine; and the servers that run", context=True),
    ActionSpec("models.folder", "Show in folder", "", "folder", context=True),
    ActionSpec("models.copy", "Copy name", "Ctrl+Shift+C", "copy", "What names it in a command: hub id or path",
               context=True),
    ActionSpec("models.remove", "Remove…", "Del", "discard", "Take it off this list, or delete a downloaded one",
               context=True, destructive=True),
)  # fmt: skip
"""On the model that is selected."""
PAGE_ACTIONS = (
    ActionSpec("models.download", "Download…", "Ctrl+J", "drop", "Find a model on the Hugging Face hub"),
    ActionSpec("models.add", "Add a file…", "Ctrl+I", "plus", "A GGUF file; it stays where it is"),
    ActionSpec("models.add-folder", "Add a folder…", "", "folder", "A model folder, or a folder with models in it"),
    ActionSpec("models.add-endpoint", "Add an endpoint…", "Ctrl+Shift+I", "server",
               "A model behind an OpenAI-compatible server, here or elsewhere"),
    ActionSpec("models.login", "Hugging Face login…", "", "key", "For models that need an account"),
    ActionSpec("models.search", "Search", "Ctrl+F; /", "search"),
    ActionSpec("models.rescan", "Look for models again", "", "refresh"),
    ActionSpec("models.unusable", "Show unusable models", "", "", "List what cannot be used as well, with the reason",
               checkable=True),
)  # fmt: skip
ACTIONS = (*MODEL_ACTIONS, *PAGE_ACTIONS)
