"""A crafting session: one draft, its undo stack, its results, and its saving; for one thread. A draft that was changed
elsewhere meanwhile is never overwritten: this one continues as a copy."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from seirenes_app.services.hint_authoring import results
from seirenes_app.services.hint_authoring.draft import (
    Draft,
    DraftHint,
    DraftProblem,
    from_json,
    new_draft,
    new_id,
    title_of,
    to_json,
)
from seirenes_app.services.hint_authoring.models import ONCE
from seirenes_app.store.workspace import CraftStore
from training.core.types import Condition
from training.errors import UserError

_log = logging.getLogger(__name__)

MERGE_S, MAX_CHANGES = 1.0, 500  # typing is one change while it pauses for no longer; the oldest changes go
QUIET_S = 0.8  # A save waits until nothing changed for this long,
LONGEST_S = 5.0  # but never longer than this
RETRY_S = 30.0
IN_MEMORY = 64  # results that are kept in memory

Listener = Callable[[Draft], None]


@dataclass(frozen=True, slots=True)
class _State:
    draft: Draft
    label: str  # of the change that led here
    merge_key: str
    at_s: float


class UndoStack:
    """States of one draft. Typing is one change while it goes on."""

    def __init__(self, draft: Draft, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states = [_State(draft, "", "", clock())]
        self._at = 0

    @property
    def draft(self) -> Draft:
        return self._states[self._at].draft

    def push(self, draft: Draft, label: str, merge_key: str = "") -> bool:
        """Make `draft` the present; False when nothing changed. Quick changes of one key are one change."""
        if draft == self.draft:
            return False
        now, last = self._clock(), self._states[self._at]
        merges = bool(merge_key) and merge_key == last.merge_key and now - last.at_s <= MERGE_S
        if merges and not self.can_redo:
            self._states[self._at] = _State(draft, last.label, merge_key, now)
            return True
        self._states = [*self._states[: self._at + 1], _State(draft, label, merge_key, now)][-MAX_CHANGES - 1 :]
        self._at = len(self._states) - 1
        return True

    @property
    def can_undo(self) -> bool:
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        return self._at < len(self._states) - 1

    @property
    def undo_label(self) -> str:
        return self._states[self._at].label if self._at else ""

    @property
    def redo_label(self) -> str:
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


class CraftSession(UndoStack):
    """An open draft; `saved` is its text on the disk. Listeners are called on every change, also when it became a copy.
    Results are kept by `solve_key`: undoing a change finds earlier ones."""

    def __init__(
        self, store: CraftStore, draft: Draft, clock: Callable[[], float] = time.monotonic, saved: str | None = None
    ) -> None:
        super().__init__(draft, clock)
        self._store = store
        self._saved = saved
        self._results: OrderedDict[str, results.SolveResult] = OrderedDict()
        self._listeners: list[Listener] = []
        self._changed_at = self._unsaved_since = 0.0
        self._not_before = float("-inf")
        self.unsaved = False  # whether there are changes that are not saved

    def edit(self, change: Callable[[Draft], Draft], label: str, merge: str = "") -> None:
        """Change the draft. `label` names the change ("Type the question"); changes of one `merge` key are one."""
        if self.push(change(self.draft), label, merge):
            self._changed()

    def undo(self) -> bool:
        return super().undo() and self._changed()

    def redo(self) -> bool:
        return super().redo() and self._changed()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on changes; the returned function ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    # Results

    def put_result(self, result: results.SolveResult) -> None:
        """Keep a result under its own key and save it; one without any solution is not worth keeping."""
        if any(found.samples for found in result.conditions.values()):
            self._hold(result)
            self._store.put_result(self.draft.id, result.key, results.result_to_json(result))

    def result_of(self, hint: DraftHint | None) -> results.SolveResult | None:
        """The result of a hint (None: of the question alone), as the draft stands now; None where there is none."""
        key = results.solve_key(self.draft, hint)
        if key in self._results:
            return self._results[key]
        text = self._store.result(self.draft.id, key)
        if text is None:
            return None
        try:
            result = results.result_from_json(text)
        except UserError as error:
            # It can be made again.
            _log.warning("a saved result of the draft %s is left out: %s", self.draft.id, error)
            return None
        self._hold(result)
        return result

    def _hold(self, result: results.SolveResult) -> None:
        self._results[result.key] = result
        self._results.move_to_end(result.key)
        if len(self._results) > IN_MEMORY:
            self._results.popitem(last=False)

    def known_conditions(self) -> dict[Condition, results.ConditionResult]:
        """Complete conditions that are the same for all hints of the draft as it stands, from whichever hint they were
        solved with."""
        known: dict[Condition, results.ConditionResult] = {}
        for hint in (None, *self.draft.hints):
            result = self.result_of(hint)
            for condition in ONCE if result is not None else ():
                found = result.conditions.get(condition) if result is not None else None
                if found is not None and found.complete:
                    known.setdefault(condition, found)
            if len(known) == len(ONCE):
                break
        return known

    # Saving

    def save_if_due(self, now: float | None = None) -> bool:
        """Save when due (call it from a timer); whether it did. Raises a `UserError`; the next try is then 30 s
        away."""
        moment = self._clock() if now is None else now
        if not self.unsaved or moment < self._not_before:
            return False
        if moment - self._changed_at < QUIET_S and moment - self._unsaved_since < LONGEST_S:
            return False
        self._not_before = moment + RETRY_S
        self.flush()
        return True

    def flush(self) -> None:
        """Save now what is not saved. Raises a `UserError` when that fails."""
        if not self.unsaved:
            return
        text = to_json(self.draft)
        ours = self._store.save_over(self.draft.id, title_of(self.draft), text, self._saved)
        self._saved = text if ours else self._branch()
        self.unsaved = False
        self._not_before = float("-inf")
        if not ours:
            self._notify()

    def _branch(self) -> str:
        """Continue as a copy, past changes included; returns its text."""
        old, id_ = self.draft.id, new_id()

        def copy(draft: Draft) -> Draft:
            return replace(draft, id=id_, title=f"{title_of(draft)} (copy)")

        made = copy(self.draft)
        text = to_json(made)
        self._store.branch(old, id_, made.title, text)
        self.rewrite(copy)
        return text

    def _changed(self) -> bool:
        self._changed_at = self._clock()
        if not self.unsaved:
            self.unsaved, self._unsaved_since = True, self._changed_at
        self._notify()
        return True

    def _notify(self) -> None:
        for listener in tuple(self._listeners):
            listener(self.draft)


def open_session(store: CraftStore, draft_id: str) -> CraftSession:
    """A session on a saved draft. Raises a `UserError` that names a draft that is gone or damaged."""
    text = store.load(draft_id)
    try:
        return CraftSession(store, from_json(text), saved=text)
    except UserError as error:
        title = next((row.title for row in store.drafts() if row.id == draft_id), "")
        raise UserError(f"The saved draft {title or draft_id!r} cannot be opened. {error}") from error


def latest_session(store: CraftStore) -> CraftSession:
    """A session on the draft that was saved last and can be read; a new one where there is none."""
    for row in store.drafts():
        try:
            return open_session(store, row.id)
        except UserError as error:
            _log.warning("%s", error)
    return CraftSession(store, new_draft(DraftProblem()))
