"""A crafting session: one draft, its history, its results, and its saving. One thread uses it; no Qt.

After a crash the draft and its results are there as last saved, at most `LONGEST_S` old; the undo history is not.
A draft that was changed elsewhere meanwhile, such as in a second window, is never written over: this one goes on as a
copy.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

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
from seirenes_app.services.hint_authoring.results import (
    ConditionResult,
    SolveResult,
    rank,
    result_from_json,
    result_to_json,
    solve_key,
)
from seirenes_app.services.hint_authoring.undo_stack import History
from seirenes_app.store.crafts import CraftStore
from training.core.types import Condition
from training.errors import UserError

_log = logging.getLogger(__name__)

QUIET_S = 0.8
"""A save waits until nothing changed for this long,"""
LONGEST_S = 5.0
"""but never longer than this."""
RETRY_S = 30.0
IN_MEMORY = 64

Listener = Callable[[Draft], None]


class Results:
    """What solving gave, by `results.solve_key`: undoing a change finds the results from before it."""

    def __init__(self, store: CraftStore, draft_id: str) -> None:
        self._store, self._draft_id = store, draft_id
        self._held: OrderedDict[str, SolveResult] = OrderedDict()

    def move(self, draft_id: str) -> None:
        """From now on they are another draft's."""
        self._draft_id = draft_id

    def put(self, key: str, result: SolveResult) -> None:
        """Keep a result and save it."""
        self._hold(key, result)
        self._store.put_result(self._draft_id, key, result_to_json(result))

    def get(self, key: str) -> SolveResult | None:
        """The result of that key; None where there is none, or the saved one is damaged (it can be made again)."""
        if key in self._held:
            return self._held[key]
        text = self._store.result(self._draft_id, key)
        if text is None:
            return None
        try:
            result = result_from_json(text)
        except UserError as error:
            _log.warning("a saved result of the draft %s is left out: %s", self._draft_id, error)
            return None
        self._hold(key, result)
        return result

    def _hold(self, key: str, result: SolveResult) -> None:
        self._held[key] = result
        self._held.move_to_end(key)
        if len(self._held) > IN_MEMORY:
            self._held.popitem(last=False)


class CraftSession:
    """A draft in work. `saved` is its text on the disk, None while there is none.

    Listeners hear of every change, in the thread that made it, and of another id when the draft became a copy.
    """

    def __init__(
        self, store: CraftStore, draft: Draft, clock: Callable[[], float] = time.monotonic, saved: str | None = None
    ) -> None:
        self._store, self._clock = store, clock
        self._history = History(draft, clock)
        self.results = Results(store, draft.id)
        self._saved = saved
        self._listeners: list[Listener] = []
        self._changed_at: float | None = None
        self._unsaved_since: float | None = None
        self._not_before = float("-inf")

    @property
    def draft(self) -> Draft:
        """The draft now."""
        return self._history.draft

    def edit(self, change: Callable[[Draft], Draft], label: str, merge: str = "") -> None:
        """Change the draft. `label` names the change ("Type the question"); changes of one `merge` key run together."""
        if self._history.push(change(self.draft), label, merge):
            self._changed()

    def undo(self) -> None:
        """Take the last change back."""
        if self.can_undo:
            self._history.undo()
            self._changed()

    def redo(self) -> None:
        """Do an undone change again."""
        if self.can_redo:
            self._history.redo()
            self._changed()

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone change."""
        return self._history.can_redo

    @property
    def undo_label(self) -> str:
        """What `undo` takes back, empty when there is nothing."""
        return self._history.undo_label

    @property
    def redo_label(self) -> str:
        """What `redo` does again, empty when there is nothing."""
        return self._history.redo_label

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear of changes; the returned function ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    # Results

    def put_result(self, result: SolveResult) -> None:
        """Keep a result under its own key; one without any solution is not worth keeping."""
        if any(condition.samples for condition in result.conditions.values()):
            self.results.put(result.key, result)

    def result_of(self, hint: DraftHint | None) -> SolveResult | None:
        """What is known of a hint (None: of the question alone), as the draft stands now."""
        return self.results.get(solve_key(self.draft, hint))

    def known_clean(self) -> ConditionResult | None:
        """A complete clean condition of the draft as it stands, from whichever hint it was solved with."""
        for hint in (None, *self.draft.hints):
            result = self.result_of(hint)
            clean = result.conditions.get(Condition.CLEAN) if result else None
            if clean is not None and clean.complete:
                return clean
        return None

    def ranked(self) -> list[str]:
        """Ids of the hints that were solved, the worst for the solver first."""
        found = {c.id: self.result_of(c) for c in self.draft.hints}
        return rank(
            {
                id_: result
                for id_, result in found.items()
                if result is not None and Condition.HINTED in result.conditions
            }
        )

    # Saving

    @property
    def unsaved(self) -> bool:
        """Whether there are changes that are not saved."""
        return self._unsaved_since is not None

    def save_if_due(self, now: float | None = None) -> bool:
        """Save when it is time; call it from a timer. `now` is of the session's clock. Returns whether it saved.

        Raises a `UserError` when that fails; the next try is then half a minute away.
        """
        moment = self._clock() if now is None else now
        if self._unsaved_since is None or self._changed_at is None or moment < self._not_before:
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
        self._unsaved_since = None
        self._not_before = float("-inf")
        if not ours:
            self._tell()

    def _branch(self) -> str:
        """Go on as a copy, past changes included; returns its text."""
        id_ = new_id()

        def copy(draft: Draft) -> Draft:
            return replace(draft, id=id_, title=f"{title_of(draft)} (copy)")

        made = copy(self.draft)
        text = to_json(made)
        self._store.branch(self.draft.id, id_, made.title, text)
        self._history.rewrite(copy)
        self.results.move(id_)
        return text

    def _changed(self) -> None:
        self._changed_at = self._clock()
        if self._unsaved_since is None:
            self._unsaved_since = self._changed_at
        self._tell()

    def _tell(self) -> None:
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
