"""What the Craft page works on: the session, what the gates say, what solving gave, and the saving. No widgets.

Gates are asked in the background, models in the worker; what is done here takes no time that a person could feel.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from PySide6.QtCore import QObject, QTimer, Signal

from seirenes_app.services.hint_authoring.draft import (
    Draft,
    DraftHint,
    DraftProblem,
    Origin,
    new_draft,
    new_id,
    replace_hint,
    title_of,
    to_json,
)
from seirenes_app.services.hint_authoring.gate_report import Badges, check_draft, passed
from seirenes_app.services.hint_authoring.problems import as_problem
from seirenes_app.services.hint_authoring.results import ConditionResult, SolveResult, solve_key
from seirenes_app.services.hint_authoring.session import CraftSession, latest_session, open_session
from seirenes_app.store.crafts import CraftStore, SavedDraft
from seirenes_app.ui.controllers.background import Background
from training.core.implied_answer import read_suggestion
from training.errors import UserError

_log = logging.getLogger(__name__)

SAVE_TICK_MS = 400
JUDGE_MS = 120
RETRY_MS = 30_000
"""After a result that could not be saved."""
BRANCHED = "Another window changed this draft: here it goes on as a copy, with your changes."

Change = Callable[[Draft], Draft]


class CraftController(QObject):
    """One draft at a time. Which candidate is in hand is no change of the draft: undo does not walk through looks."""

    changed = Signal()
    """The draft, its history or the candidate in hand are other than before."""
    opened = Signal()
    """It is another draft."""
    judged = Signal()
    """The gates have spoken, or the problem cannot be used: see `badges` and `wrong`."""
    resulted = Signal(str)
    """There are other figures for this candidate."""
    kept = Signal(bool, str)
    """Whether all is saved; and why not, or what else there is to know about it."""

    def __init__(self, store: CraftStore, background: Background, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._store, self._background = store, background
        self.session = latest_session(store)
        self._draft_id = self.session.draft.id
        self.chosen = self.session.draft.chosen
        self.badges: dict[str, Badges] = {}
        self.wrong = "The problem is being looked at."
        self._live: dict[str, SolveResult] = {}
        self._to_keep: deque[tuple[CraftSession, SolveResult]] = deque()
        self._judging: Draft | None = None
        self._judged: Draft | None = None
        self._trouble = ""
        self._burst = 0
        self._judge_timer = QTimer(self)
        self._judge_timer.setSingleShot(True)
        self._judge_timer.setInterval(JUDGE_MS)
        self._judge_timer.timeout.connect(self._judge)
        self._save_timer = QTimer(self)
        self._save_timer.setInterval(SAVE_TICK_MS)
        self._save_timer.timeout.connect(self._save)
        self._keep_timer = QTimer(self)
        self._keep_timer.setInterval(0)
        self._keep_timer.timeout.connect(self._keep_next)
        self._unsubscribe = self.session.subscribe(self._take_change)

    def start(self) -> None:
        """Begin to judge and to save."""
        self._save_timer.start()
        self._judge_timer.start()

    def save_now(self) -> str:
        """Save what is not saved; returns what kept it from that, "" for nothing."""
        try:
            while self._to_keep:
                self._keep_one()
            self.session.flush()
        except UserError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Save, then judge and save no more. What cannot be saved now is in the log."""
        for timer in (self._save_timer, self._judge_timer, self._keep_timer):
            timer.stop()
        if trouble := self.save_now():
            _log.error("%s", trouble)

    # ------------------------------------------------------------------ the draft

    @property
    def draft(self) -> Draft:
        """The draft with the candidate in hand."""
        return replace(self.session.draft, chosen=self.chosen)

    @property
    def candidate(self) -> DraftHint | None:
        """The candidate in hand."""
        return self.session.draft.hint(self.chosen)

    @property
    def usable(self) -> bool:
        """Whether the problem can be solved and checked."""
        return not self.wrong

    def edit(self, change: Change, label: str, merge: str = "") -> None:
        """Change the draft; a change that changes nothing is none."""
        before = self.draft
        after = change(before)
        if after == before:
            return
        after = _with_suggestions(before, after)
        self.chosen = after.chosen
        self.session.edit(lambda _draft: after, label, f"{merge}#{self._burst}" if merge else "")

    def end_typing(self) -> None:
        """What is typed from now on is a change of its own, however soon it comes: something was done in between."""
        self._burst += 1

    def edit_problem(self, change: Callable[[DraftProblem], DraftProblem], label: str, merge: str = "") -> None:
        """Change the problem."""
        self.edit(lambda d: replace(d, problem=change(d.problem)), label, merge)

    def edit_text(self, candidate_id: str, text: str) -> None:
        """Change a candidate's text; by that it becomes the person's own."""

        def change(draft: Draft) -> Draft:
            old = draft.hint(candidate_id)
            if old is None or old.text == text:
                return draft
            return replace_hint(draft, replace(old, text=text, origin=Origin.HAND, author=""))

        self.edit(change, "edit a candidate", f"text:{candidate_id}")

    def write(self) -> str:
        """Add an empty candidate and take it in hand; returns its id."""
        id_ = new_id()

        def change(draft: Draft) -> Draft:
            made = DraftHint(id_, "", draft.type, Origin.HAND)
            return replace(draft, hints=(*draft.hints, made), chosen=id_)

        self.edit(change, "add a candidate")
        return id_

    def add(self, candidates: list[DraftHint], label: str) -> None:
        """Add candidates; the first is taken in hand when none is."""
        if candidates:
            self.edit(
                lambda d: replace(
                    d, hints=(*d.hints, *candidates), chosen=d.chosen or candidates[0].id
                ), label,
            )  # fmt: skip

    def remove(self, candidate_id: str) -> None:
        """Remove a candidate; its neighbour is taken in hand."""

        def change(draft: Draft) -> Draft:
            ids = [c.id for c in draft.hints]
            if candidate_id not in ids:
                return draft
            at = ids.index(candidate_id)
            rest = tuple(c for c in draft.hints if c.id != candidate_id)
            near = rest[min(at, len(rest) - 1)].id if rest else ""
            return replace(draft, hints=rest, chosen=near if draft.chosen == candidate_id else draft.chosen)

        self.edit(change, "remove a candidate")

    def choose(self, candidate_id: str) -> None:
        """Take a candidate in hand."""
        if candidate_id != self.chosen and self.session.draft.hint(candidate_id) is not None:
            self.chosen = candidate_id
            self.changed.emit()

    def undo(self) -> None:
        """Take the last change back."""
        self.session.undo()

    def redo(self) -> None:
        """Do it again."""
        self.session.redo()

    def _take_change(self, draft: Draft) -> None:
        if draft.hint(self.chosen) is None:
            fallback = draft.hints[-1].id if draft.hints else ""
            self.chosen = draft.chosen if draft.hint(draft.chosen) is not None else fallback
        self._judge_timer.start()
        branched, self._draft_id = draft.id != self._draft_id, draft.id
        if branched:
            self.kept.emit(True, BRANCHED)
        elif not self._trouble:
            self.kept.emit(False, "")
        self.changed.emit()

    # ------------------------------------------------------------------ drafts

    def drafts(self) -> tuple[SavedDraft, ...]:
        """Saved drafts, newest first."""
        self.session.flush()
        return self._store.drafts()

    def open_saved(self, draft_id: str) -> None:
        """Go on with a saved draft. Raises a `UserError` when it is gone or damaged."""
        self._enter(open_session(self._store, draft_id))

    def open_draft(self, draft: Draft) -> None:
        """Go on with a draft from elsewhere, which is saved at once."""
        self._store.save(draft.id, title_of(draft), to_json(draft))
        self._enter(CraftSession(self._store, draft, saved=to_json(draft)))

    def open_new(self) -> None:
        """An empty draft with the models and the plan of the present one; kept from its first change on."""
        now = self.draft
        fresh = replace(new_draft(), solver=now.solver, adversary=now.adversary, plan=now.plan, type=now.type,
                        placement=now.placement)  # fmt: skip
        self._enter(CraftSession(self._store, fresh))

    def rename(self, draft_id: str, title: str) -> None:
        """Give a draft another title."""
        if draft_id == self.session.draft.id:
            self.edit(lambda d: replace(d, title=title), "rename the draft")
            return
        draft = replace(open_session(self._store, draft_id).draft, title=title)
        self._store.save(draft_id, title, to_json(draft))

    def delete(self, draft_id: str) -> None:
        """Delete a draft; the open one gives way to an empty one."""
        if draft_id == self.session.draft.id:
            self.open_new()
        self._store.delete(draft_id)

    def _enter(self, session: CraftSession) -> None:
        self.session.flush()
        self._unsubscribe()
        self.session = session
        self._unsubscribe = session.subscribe(self._take_change)
        self.chosen, self._draft_id = session.draft.chosen, session.draft.id
        if session.draft.hint(self.chosen) is None and session.draft.hints:
            self.chosen = session.draft.hints[0].id
        self.badges, self._live, self._judged = {}, {}, None
        self._judge_timer.start()
        self.opened.emit()
        self.changed.emit()
        self.kept.emit(True, "")

    def _save(self) -> None:
        try:
            if self.session.save_if_due():
                self._recover()
        except UserError as error:
            self._say_trouble(str(error))

    def _recover(self) -> None:
        """Saving works: say so, unless something else still waits for the disk."""
        if not self.session.unsaved and not self._to_keep:
            self._trouble = ""
            self.kept.emit(True, "")

    def _say_trouble(self, text: str) -> None:
        """Once for each new trouble with the disk, not once a try."""
        if text != self._trouble:
            self._trouble = text
            self.kept.emit(False, text)

    # ------------------------------------------------------------------ gates

    def _judge(self) -> None:
        draft = self.session.draft
        if self._judging is not None or draft is self._judged:
            return
        self._judging = draft
        self._background.submit(lambda: check_draft(draft), lambda b: self._take_badges(b, ""),
                                lambda text: self._take_badges({}, text))  # fmt: skip

    def _take_badges(self, badges: dict[str, Badges], wrong: str) -> None:
        self._judged, self._judging = self._judging, None
        self.badges, self.wrong = badges, wrong
        if self._judged is not self.session.draft:
            self._judge_timer.start()
        self.judged.emit()

    def passing(self) -> list[DraftHint]:
        """Candidates that every gate lets through."""
        return [c for c in self.draft.hints if c.id in self.badges and passed(self.badges[c.id])]

    # ------------------------------------------------------------------ results

    def take_live(self, results: Mapping[str, SolveResult]) -> None:
        """Figures of a solving that goes on."""
        self._live.update(results)
        for id_ in results:
            self.resulted.emit(id_)

    def take_final(self, results: Mapping[str, SolveResult]) -> None:
        """Figures of a solving that ended: kept."""
        self._to_keep.extend((self.session, result) for result in results.values())
        self._keep_timer.start(0)
        self._live = dict(results)
        for id_ in results:
            self.resulted.emit(id_)

    def _keep_next(self) -> None:
        """One at a time: each is a write to the disk, and sixty in a row would be felt."""
        if not self._to_keep:
            self._keep_timer.stop()
            return
        try:
            self._keep_one()
        except UserError as error:
            # They stay in the queue: the disk may have room again later.
            self._keep_timer.start(RETRY_MS)
            self._say_trouble(str(error))
            return
        self._keep_timer.setInterval(0)
        if not self._to_keep:
            self._recover()

    def _keep_one(self) -> None:
        """Save the first of the results that wait. Raises a `UserError`, and it still waits."""
        session, result = self._to_keep[0]
        session.put_result(result)
        self._to_keep.popleft()

    def drop_live(self) -> None:
        """A solving failed: what it had so far does not count."""
        gone, self._live = list(self._live), {}
        for id_ in gone:
            self.resulted.emit(id_)

    def result_of(self, candidate: DraftHint | None) -> SolveResult | None:
        """What is known of a candidate as the draft stands; of the question alone for None."""
        live = self._live.get(candidate.id if candidate else "")
        if live is not None and live.key == solve_key(self.session.draft, candidate):
            return live
        try:
            return self.session.result_of(candidate)
        except UserError as error:
            # What cannot be read can be solved again; typing must go on.
            self._say_trouble(str(error))
            return None

    def known_clean(self) -> ConditionResult | None:
        """A complete clean arm that need not be solved again."""
        try:
            return self.session.known_clean()
        except UserError as error:
            self._say_trouble(str(error))
            return None

    def results(self) -> dict[str, SolveResult]:
        """What is known of all candidates, by id."""
        found = {c.id: self.result_of(c) for c in self.session.draft.hints}
        return {id_: result for id_, result in found.items() if result is not None}


def _with_suggestions(before: Draft, after: Draft) -> Draft:
    """Read anew which answer a candidate pushes, where its text or the problem changed."""
    same_problem = before.problem == after.problem
    stale = [c for c in after.hints if not same_problem or before.hint(c.id) not in (None, c)]
    if not stale:
        return after
    try:
        problem = as_problem(after.problem)
    except UserError:
        return after
    for candidate in stale:
        after = replace_hint(after, replace(candidate, suggested=read_suggestion(candidate.text, problem)))
    return after
