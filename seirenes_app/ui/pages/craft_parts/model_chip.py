"""Which model plays a part, as a button that leads to the choice of another."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QPushButton, QSizePolicy, QWidget

from seirenes_app.inference.client import StateKind, WorkerState
from seirenes_app.inference.protocol import ModelFacts
from seirenes_app.lab.crafting.documents import SolverChoice
from seirenes_app.lab.machine import format_mb
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.pages.craft_parts.words import say_count
from seirenes_app.ui.widgets.interval_bars import percent

BUNDLED = "Bundled reasoner"
LONGEST = 24


def model_name(choice: SolverChoice) -> str:
    """A choice in a word or two."""
    name = Path(choice.model).stem if choice.model else BUNDLED
    return f"{name} + {Path(choice.lora).stem}" if choice.lora else name


def say_facts(facts: ModelFacts) -> str:
    """A loaded model in a line."""
    threads = f"{facts.threads} {'thread' if facts.threads == 1 else 'threads'}"
    parts = [facts.architecture, f"{say_count(facts.n_params)} parameters", format_mb(facts.size_bytes / 2**20),
             f"context {facts.n_ctx:,}", threads]  # fmt: skip
    return "  ·  ".join(parts)


class ModelChip(QPushButton):
    """`role` is what the model plays: Solver or Adversary."""

    def __init__(self, role: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._role = role
        self.setProperty("kind", "quiet")
        self.setIconSize(QSize(26, 18))
        set_icon(self, "chip", "muted")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def render_choice(self, choice: SolverChoice, path: Path | None, state: WorkerState) -> None:
        """Show a choice; `path` is its file, to tell whether the worker has it."""
        name = model_name(choice)
        shown = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        facts = state.facts
        mine = facts is not None and path is not None and Path(facts.path) == path
        if state.kind is StateKind.LOADING and state.progress < 1:
            shown, tail = f"{shown}  {percent(state.progress)}", "is being loaded"
        else:
            tail = say_facts(facts) if mine and facts is not None else "is loaded when it is needed"
        self.setText(shown)
        tip = f"{self._role}: {name}\n{tail}\nClick to choose another; any GGUF file can be dropped on the page."
        self.setToolTip(tip)
        self.setAccessibleName(f"{self._role}: {name}")
        self.setAccessibleDescription(tail)
