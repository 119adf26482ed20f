"""Undo and redo over immutable drafts. Typing counts as one change while it goes on. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from seirenes_app.services.hint_authoring.draft import Draft

MERGE_S = 1.0
LIMIT = 500


@dataclass(frozen=True, slots=True)
class _State:
    draft: Draft
    label: str
    """Of the change that led here."""
    merge_key: str
    at_s: float


class UndoStack:
    """States of one draft. At most `LIMIT` changes are kept; the oldest go."""

    def __init__(self, draft: Draft, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states = [_State(draft, "", "", clock())]
        self._at = 0

    @property
    def draft(self) -> Draft:
        """The draft now."""
        return self._states[self._at].draft

    def push(self, draft: Draft, label: str, merge_key: str = "") -> bool:
        """Make `draft` the present; False when nothing changed. What was undone is gone.

        With the key of the change before, made less than a second ago, both are one change.
        """
        if draft == self.draft:
            return False
        now, last = self._clock(), self._states[self._at]
        merges = bool(merge_key) and merge_key == last.merge_key and now - last.at_s <= MERGE_S
        if merges and not self.can_redo:
            self._states[self._at] = _State(draft, last.label, merge_key, now)
            return True
        self._states = [*self._states[: self._at + 1], _State(draft, label, merge_key, now)][-LIMIT - 1 :]
        self._at = len(self._states) - 1
        return True

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone change."""
        return self._at < len(self._states) - 1

    @property
    def undo_label(self) -> str:
        """What `undo` takes back, empty when there is nothing."""
        return self._states[self._at].label if self._at else ""

    @property
    def redo_label(self) -> str:
        """What `redo` does again, empty when there is nothing."""
        return self._states[self._at + 1].label if self.can_redo else ""

    def undo(self) -> bool:
        """Take the last change back; False when there is none."""
        return self._go(-1 if self.can_undo else 0)

    def redo(self) -> bool:
        """Do an undone change again; False when there is none."""
        return self._go(1 if self.can_redo else 0)

    def rewrite(self, change: Callable[[Draft], Draft]) -> None:
        """Change every state alike; this is no change that could be undone."""
        self._states = [replace(state, draft=change(state.draft)) for state in self._states]

    def _go(self, step: int) -> bool:
        self._at += step
        # The next letter typed is a change of its own.
        self._states[self._at] = replace(self._states[self._at], merge_key="")
        return step != 0
