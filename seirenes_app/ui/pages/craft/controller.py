"""State and tasks of the Craft page: the draft, its gates, results and saving, and the job that the worker runs for it.

No widgets. Gates are checked in the task pool, models run in the worker process; everything else is quick.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from seirenes_app.inference.client import StateKind, WorkerState
from seirenes_app.inference.models import describe_gguf
from seirenes_app.services.attribution.logprob_delta import LogprobDelta, score_solution
from seirenes_app.services.attribution.pair_selection import right_solution
from seirenes_app.services.attribution.saved import load_attribution, save_attribution
from seirenes_app.services.attribution.sentence_ablation import AblationResult, ablate_sentences, parts_of
from seirenes_app.services.exact_prompt import EXAMPLE, ExactPrompt, prompts_to_show, render_gguf, render_messages
from seirenes_app.services.formatting import count_of, duration
from seirenes_app.services.hint_authoring import draft as drafts
from seirenes_app.services.hint_authoring import jobs
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, Origin, SolvePlan, SolverChoice
from seirenes_app.services.hint_authoring.gate_report import Badges, check_draft, passed
from seirenes_app.services.hint_authoring.models import (
    craft_cost,
    limits_for,
    load_request,
    planned_samples,
    planned_solutions,
    profile_for,
)
from seirenes_app.services.hint_authoring.problems import as_problem
from seirenes_app.services.hint_authoring.results import SolveResult, rank, solve_key
from seirenes_app.services.hint_authoring.session import CraftSession, latest_session, open_session
from seirenes_app.services.models.endpoints import meter_text
from seirenes_app.store.workspace import CraftStore, SavedDraft
from seirenes_app.ui.controllers.inference_service import InferenceService
from seirenes_app.ui.pages.craft.captions import FAILED, TaskKind, count_ablated, count_solved, model_name, say_task
from seirenes_app.ui.tasks import TaskRunner
from training.core.implied_answer import read_suggestion
from training.core.prompts import PromptProfile
from training.core.types import Condition
from training.endpoints import CostEstimate, names_endpoint
from training.errors import UserError

_log = logging.getLogger(__name__)

SAVE_TICK_MS, RETRY_S, RESULTS_PER_TICK = 400, 30.0, 8
CHECK_DELAY_MS = 120
FLUSH_MS = 33
MAX_SEED = 2**31
REMEMBERED = 64  # Attribution results that are kept in memory
BRANCHED = "Another window changed this draft. Your changes continue in a copy."


class JobBridge(QObject):
    """Brings a job's callbacks into the window's thread: the newest value of each key, at most 30 times a second."""

    progressed = Signal(object)  # Newest values by key
    ended = Signal(object, str)  # The job's result and "", or None and what went wrong
    _poked = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()
        self._values: dict[Any, Any] = {}
        self._end: tuple[Any, str] | None = None
        self._timer = QTimer(self, singleShot=True, interval=FLUSH_MS)
        self._timer.timeout.connect(self._flush)
        self._poked.connect(self._on_poked, Qt.ConnectionType.QueuedConnection)

    def put(self, key: Any, value: Any) -> None:
        """Take a value, from any thread."""
        with self._lock:
            first = not self._values
            self._values[key] = value
        if first:
            self._poked.emit()

    def done(self, result: Any) -> None:
        self._end = result, ""
        self._poked.emit()

    def failed(self, text: str) -> None:
        self._end = None, text
        self._poked.emit()

    @Slot()
    def _on_poked(self) -> None:
        if self._end is not None:
            self._flush()
        elif not self._timer.isActive():
            self._timer.start()

    @Slot()
    def _flush(self) -> None:
        with self._lock:
            values, self._values = self._values, {}
        if values:
            self.progressed.emit(values)
        if self._end is not None:
            end, self._end = self._end, None
            self.ended.emit(*end)
            self.deleteLater()


@dataclass(eq=False)
class WorkerTask:
    """What the worker is doing for this page."""

    kind: TaskKind
    model: str
    n: int
    session: CraftSession
    plan: SolvePlan
    question: str
    bridge: JobBridge
    remote: bool = False  # Whether an endpoint does it
    key: str = ""  # `solve_key` of the hint that is attributed
    job: jobs.Job | None = None
    cancelling: bool = False
    texts: dict[int, str] = field(default_factory=dict)
    results: dict[str, SolveResult] = field(default_factory=dict)
    ablation: AblationResult | None = None
    streamed: jobs.StreamedText | None = None  # The newest text

    def put_text(self, streamed: jobs.StreamedText) -> None:
        """Take the text so far of a hint or a solution, on the job's thread."""
        self.streamed = streamed
        key = streamed.index if streamed.condition is None else (streamed.condition, streamed.index)
        self.bridge.put(key, streamed.text)

    @property
    def counts(self) -> tuple[int, int]:
        """Solutions done and planned, (0, 0) where nothing is counted."""
        if self.kind is TaskKind.SOLVE:
            return count_solved(self.results, self.plan, self.question, self.n)
        return count_ablated(self.ablation)

    @property
    def figures(self) -> str:
        """Of an endpoint what was spent; else tokens per second and time left, "" before they are known."""
        meter = self.job.meter if self.job is not None else None
        if meter is not None:
            return meter_text(meter)
        if self.streamed is None or not self.streamed.tokens_per_s:
            return ""
        left = self.streamed.seconds_left
        speed = f"{self.streamed.tokens_per_s:,.0f} tokens/s"
        return speed if left is None else f"{speed}  ·  {duration(left)} left"


def _load_and_describe(
    job: jobs.Job, choice: SolverChoice, before: SolverChoice, limits: list[tuple[int, int]]
) -> SolverChoice | None:
    """Load a model, and find the token limits that suit the one before and this one."""
    limits.append((limits_for(before).solution, limits_for(choice).solution))
    return jobs.load_model(job, choice)


class CraftController(QObject):
    """One draft and one task at a time. The selected hint is no part of the history: undo does not change it."""

    changed = Signal()  # The draft, its history, its gates or the selected hint changed
    draftOpened = Signal()
    resultChanged = Signal(str)  # The result or the attribution of the hint of this id changed
    savedChanged = Signal(bool, str)  # Whether everything is saved; an error or a notice, "" for none
    taskChanged = Signal()  # The task started, made progress or ended
    generatingChanged = Signal(object)
    """Texts of hints that are being generated, by index; None when there are none any more."""
    solvingChanged = Signal(object)
    """Texts of solutions that are being generated, by condition and index; None when there are none any more."""
    costReckoned = Signal(object, str, object)
    """What an endpoint will take (CostEstimate), the kind of task, and what starts it."""
    toast = Signal(str)
    problem = Signal(str, str)  # Title and text of an error

    def __init__(
        self, store: CraftStore, tasks: TaskRunner, inference: InferenceService, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._store, self._tasks, self._inference = store, tasks, inference
        self.session = latest_session(store)
        self._draft_id = self.session.draft.id
        self.selected = self.session.draft.chosen
        self.badges: dict[str, Badges] = {}
        self.problem_error = "The problem is being checked."
        self.checked: Draft | None = None  # The draft that `badges` and `problem_error` belong to
        self.task: WorkerTask | None = None
        self.recent_models: list[str] = []
        self.fitting: PromptProfile | None = None  # The profile that goes with the Solver's model, once it is known
        self._fitting_of: str | None = None
        self._live: dict[str, SolveResult] = {}
        self._attributions: dict[tuple[str, type], Any] = {}
        self._pending_saves: deque[Callable[[], None]] = deque()  # Each saves one result, or raises a `UserError`
        self._retry_saves_at = 0.0
        self._save_error = ""
        self._merge_group = 0
        self._closed = False
        self._check_timer = QTimer(self, singleShot=True, interval=CHECK_DELAY_MS)
        self._check_timer.timeout.connect(self._check_gates)
        self._save_timer = QTimer(self, interval=SAVE_TICK_MS)
        self._save_timer.timeout.connect(self._save)
        self._unsubscribe = self.session.subscribe(self._on_draft_changed)

    def start(self) -> None:
        self._find_fitting(self.session.draft.solver)
        self._save_timer.start()
        self._check_timer.start()

    def close(self) -> None:
        """Cancel the task, save, and stop the timers. What cannot be saved now is in the log."""
        self._closed = True
        self.cancel()
        self._save_timer.stop()
        self._check_timer.stop()
        if error := self.save_now():
            _log.error("%s", error)

    @property
    def draft(self) -> Draft:
        """The draft with the selected hint as the chosen one."""
        return replace(self.session.draft, chosen=self.selected)

    @property
    def hint(self) -> DraftHint | None:
        return self.session.draft.hint(self.selected)

    @property
    def usable(self) -> bool:
        """Whether the problem can be solved and graded."""
        return not self.problem_error

    def edit(self, change: Callable[[Draft], Draft], label: str, merge: str = "") -> None:
        """Change the draft. Consecutive changes with the same `merge` are one step of the history."""
        before = self.draft
        after = change(before)
        if after == before:
            return
        after = _with_suggestions(before, after)
        self.selected = after.chosen
        self.session.edit(lambda _draft: after, label, f"{merge}#{self._merge_group}" if merge else "")

    def edit_fields(self, label: str, merge: str = "", **fields: Any) -> None:
        self.edit(lambda draft: replace(draft, **fields), label, merge)

    def edit_problem(self, label: str, merge: str = "", **fields: Any) -> None:
        self.edit(lambda draft: replace(draft, problem=replace(draft.problem, **fields)), label, merge)

    def edit_hint(self, hint_id: str, text: str) -> None:
        """Change a hint's text. An edited hint counts as written by hand."""
        old = self.session.draft.hint(hint_id)
        if old is not None and old.text != text:
            new = replace(old, text=text, origin=Origin.HAND, author="")
            self.edit(lambda draft: drafts.replace_hint(draft, new), "edit a hint", f"text:{hint_id}")

    def add_empty_hint(self) -> None:
        hint = DraftHint(drafts.new_id(), "", self.draft.type, Origin.HAND)
        self.edit_fields("add a hint", hints=(*self.draft.hints, hint), chosen=hint.id)

    def add_hints(self, hints: Sequence[DraftHint], label: str) -> None:
        """Add hints. The first of them is selected if none was."""
        if hints:
            draft = self.draft
            self.edit_fields(label, hints=(*draft.hints, *hints), chosen=draft.chosen or hints[0].id)

    def draw_hints(self, n: int) -> None:
        """Add up to `n` hints of the hint language, none of which is there already."""
        draft, texts = self.draft, {h.text for h in self.draft.hints}

        def make() -> list[DraftHint]:
            problem = as_problem(draft.problem)
            made = jobs.drawn_hints(problem, draft.type, n + len(texts), random.randrange(MAX_SEED))
            return [h for h in made if h.text not in texts][:n]

        def add(made: list[DraftHint]) -> None:
            if not made:
                self.toast.emit("The hint language has no other hint of this type for this problem.")
            self.add_hints(made, f"draw {count_of(len(made), 'hint')}")

        self._tasks.run(make, add, lambda text: self.problem.emit(FAILED[TaskKind.GENERATE], text))

    def remove_hint(self, hint_id: str) -> None:
        """Remove a hint. If it was selected, its neighbour is."""
        draft = self.draft
        ids = [h.id for h in draft.hints]
        if hint_id in ids:
            rest = tuple(h for h in draft.hints if h.id != hint_id)
            near = rest[min(ids.index(hint_id), len(rest) - 1)].id if rest else ""
            self.edit_fields("remove a hint", hints=rest, chosen=near if draft.chosen == hint_id else draft.chosen)

    def select(self, hint_id: str) -> None:
        if hint_id != self.selected and self.session.draft.hint(hint_id) is not None:
            self.selected = hint_id
            self.changed.emit()

    def undo(self) -> None:
        self.session.undo()

    def redo(self) -> None:
        self.session.redo()

    def _on_draft_changed(self, draft: Draft) -> None:
        self._find_fitting(draft.solver)
        if draft.hint(self.selected) is None:
            last = draft.hints[-1].id if draft.hints else ""
            self.selected = draft.chosen if draft.hint(draft.chosen) is not None else last
        self._check_timer.start()
        if draft.id != self._draft_id:
            self._draft_id = draft.id
            self.savedChanged.emit(True, BRANCHED)
        elif not self._save_error:
            self.savedChanged.emit(False, "")
        self.changed.emit()

    def drafts(self) -> tuple[SavedDraft, ...]:
        self.session.flush()
        return self._store.drafts()

    def open_saved(self, draft_id: str) -> None:
        """Open a saved draft. Raises a `UserError` when it is gone or damaged."""
        self._enter(open_session(self._store, draft_id))

    def open_draft(self, draft: Draft) -> None:
        """Save a draft that was made elsewhere, and open it."""
        self._store.save(draft.id, drafts.title_of(draft), drafts.to_json(draft))
        self._enter(CraftSession(self._store, draft, saved=drafts.to_json(draft)))

    def open_new(self) -> None:
        """Open an empty draft with the models and the plan of the present one. It is saved from its first change on."""
        now = self.draft
        fresh = replace(drafts.new_draft(), solver=now.solver, adversary=now.adversary, plan=now.plan, type=now.type,
                        placement=now.placement)  # fmt: skip
        self._enter(CraftSession(self._store, fresh))

    def rename(self, draft_id: str, title: str) -> None:
        if draft_id == self.session.draft.id:
            self.edit_fields("rename the draft", title=title)
        else:
            draft = replace(open_session(self._store, draft_id).draft, title=title)
            self._store.save(draft_id, title, drafts.to_json(draft))

    def delete(self, draft_id: str) -> None:
        """Delete a saved draft. If it is open, an empty one is opened first."""
        if draft_id == self.session.draft.id:
            self.open_new()
        self._store.delete(draft_id)

    def _enter(self, session: CraftSession) -> None:
        self.session.flush()
        self.cancel()
        self._unsubscribe()
        self.session = session
        self._unsubscribe = session.subscribe(self._on_draft_changed)
        draft = session.draft
        self._find_fitting(draft.solver)
        first = draft.hints[0].id if draft.hints else ""
        self.selected, self._draft_id = draft.chosen if draft.hint(draft.chosen) else first, draft.id
        self.badges, self._live, self.checked = {}, {}, None
        self._check_timer.start()
        self.draftOpened.emit()
        self.changed.emit()
        self.savedChanged.emit(True, "")

    def save_now(self) -> str:
        """Save what is not saved; returns what prevented it, "" for nothing."""
        try:
            self._save_results(len(self._pending_saves))
            self.session.flush()
        except UserError as error:
            return str(error)
        return ""

    def _save(self) -> None:
        try:
            saved = self.session.save_if_due()
            if self._pending_saves and time.monotonic() >= self._retry_saves_at:
                self._retry_saves_at = time.monotonic() + RETRY_S
                saved = self._save_results(RESULTS_PER_TICK) > 0
                self._retry_saves_at = 0.0
        except UserError as error:
            self._report_save_error(str(error))
            return
        if saved and not self.session.unsaved and not self._pending_saves:
            self._save_error = ""
            self.savedChanged.emit(True, "")

    def _save_results(self, n: int) -> int:
        """Save up to `n` results. Raises a `UserError`; unsaved ones stay in the queue."""
        n = min(n, len(self._pending_saves))
        for _ in range(n):
            self._pending_saves[0]()
            self._pending_saves.popleft()
        return n

    def _report_save_error(self, text: str) -> None:
        """Report each new error once, not once a try."""
        if text != self._save_error:
            self._save_error = text
            self.savedChanged.emit(False, text)

    def _check_gates(self) -> None:
        draft = self.session.draft
        if draft is not self.checked:
            self._tasks.run(
                lambda: check_draft(draft), lambda badges: self._on_gates_checked(draft, badges, ""),
                lambda text: self._on_gates_checked(draft, {}, text), key="craft: gates", queue=True,
            )  # fmt: skip

    def _on_gates_checked(self, draft: Draft, badges: dict[str, Badges], error: str) -> None:
        self.checked, self.badges, self.problem_error = draft, badges, error
        self.changed.emit()

    def result_of(self, hint: DraftHint | None) -> SolveResult | None:
        """The result of a hint for the draft as it is now; of the problem without a hint for None."""
        live = self._live.get(hint.id if hint else "")
        if live is not None and live.key == solve_key(self.session.draft, hint):
            return live
        try:
            return self.session.result_of(hint)
        except UserError as error:
            # An unreadable result can be solved again; editing must go on.
            self._report_save_error(str(error))
            return None

    def results(self) -> dict[str, SolveResult]:
        found = {h.id: self.result_of(h) for h in self.session.draft.hints}
        return {id_: result for id_, result in found.items() if result is not None}

    def worst(self) -> str:
        """The id of the hint that does the most harm, "" before any is solved."""
        solved = {i: r for i, r in self.results().items() if Condition.HINTED in r.conditions}
        return rank(solved)[0] if solved else ""

    def solution(self) -> str:
        """The right solution that is worth scoring, "" where there is none."""
        result = self.result_of(self.hint)
        clean = result.conditions.get(Condition.CLEAN) if result is not None else None
        return right_solution(clean.samples if clean is not None else (), self.draft.problem.solution)

    def ablation(self) -> AblationResult | None:
        found: AblationResult | None = self._attribution(AblationResult)
        return found

    def scores(self) -> LogprobDelta | None:
        found: LogprobDelta | None = self._attribution(LogprobDelta)
        return found

    def _attribution(self, kind: type) -> Any:
        if self.hint is None:
            return None
        key = solve_key(self.session.draft, self.hint)
        if (key, kind) not in self._attributions:
            try:
                self._remember(key, kind, load_attribution(self._store, self.session.draft.id, key, kind))
            except UserError as error:
                self._report_save_error(str(error))
                return None
        return self._attributions[key, kind]

    def _remember(self, key: str, kind: type, value: Any) -> None:
        while len(self._attributions) >= REMEMBERED:
            self._attributions.pop(next(iter(self._attributions)))
        self._attributions[key, kind] = value

    @property
    def can_solve(self) -> bool:
        """Whether there is something to solve: a hint with text, or a problem without hints."""
        return self.usable and (self.hint is None or bool(self.hint.text.strip()))

    def _ask_first(self, choice: SolverChoice, kind: TaskKind, replies: int, start: Callable[[], object]) -> None:
        """Start at once on a model of this machine; of an endpoint reckon the cost first, for `costReckoned`."""
        if not names_endpoint(choice.model) or self.task is not None:
            start()
            return
        draft = self.draft
        limit = draft.plan.max_tokens

        def reckon() -> CostEstimate:
            longest = limits_for(choice).hint if kind is TaskKind.GENERATE else limit
            return craft_cost(draft, choice, replies, longest)

        self._tasks.run(
            reckon, lambda found: self.costReckoned.emit(found, kind, start),
            lambda text: self.problem.emit(FAILED[kind], text), key="craft: cost",
        )  # fmt: skip

    def generate(self, n: int) -> None:
        self._ask_first(self.draft.adversary, TaskKind.GENERATE, n, lambda: self._generate(n))

    def _generate(self, n: int) -> None:
        draft = self.draft
        if task := self._begin(TaskKind.GENERATE, draft.adversary, n):
            task.job = self._job(task)(jobs.generate_hints, draft, n, random.randrange(MAX_SEED), on_text=task.put_text)

    def solve(self, hints: Sequence[DraftHint] | None = None) -> None:
        """Solve under the given hints, or under the selected one; without any hint, the problem alone."""
        draft = self.draft
        chosen = hints if hints is not None else [self.hint] if self.hint is not None else []
        replies = planned_solutions(draft.plan, draft.problem.question, len(chosen))
        self._ask_first(draft.solver, TaskKind.SOLVE, replies, lambda: self._solve(chosen))

    def _solve(self, hints: Sequence[DraftHint]) -> None:
        draft = self.draft
        task = self._begin(TaskKind.SOLVE, draft.solver, len(hints))
        if task is None:
            return
        self.solvingChanged.emit({})
        known = self._known_conditions() if hints else None
        task.job = self._job(task)(jobs.solve_hints, draft, hints, task.bridge.put, known=known, on_text=task.put_text)

    def solve_all(self) -> None:
        """Solve under every hint that passes the gates and is not solved yet."""
        passing = [h for h in self.draft.hints if h.id in self.badges and passed(self.badges[h.id])]
        todo = [h for h in passing if (r := self.result_of(h)) is None or not r.complete]
        if todo:
            self.solve(todo)
        elif passing:
            self.toast.emit("Every hint that passes the gates is solved already.")
        else:
            self.toast.emit("No hint passes the gates.")

    def ablate(self) -> None:
        """Solve without each sentence of the selected hint, and with each alone."""
        if self.hint is not None:
            texts = 2 + 2 * len(parts_of(self.hint.text.strip()))
            replies = texts * planned_samples(self.draft.plan)
            self._ask_first(self.draft.solver, TaskKind.ABLATE, replies, self._ablate)

    def _ablate(self) -> None:
        draft, hint = self.draft, self.hint
        if hint is not None and hint.text.strip() and (task := self._begin(TaskKind.ABLATE, draft.solver, 1)):
            task.key = solve_key(draft, hint)
            task.job = self._job(task)(ablate_sentences, draft, hint, lambda r: task.bridge.put("", r))

    def score(self) -> None:
        """Score a right solution's tokens with and without the selected hint."""
        draft, hint, solution = self.draft, self.hint, self.solution()
        if hint is None or not hint.text.strip() or not solution:
            return
        if task := self._begin(TaskKind.SCORE, draft.solver, 1):
            task.key = solve_key(draft, hint)
            task.job = self._job(task)(score_solution, draft, hint, solution)

    def choose_prompts(self, profile: PromptProfile | None) -> None:
        """Ask both roles by a profile; None: by the one that fits their model."""

        def change(draft: Draft) -> Draft:
            plan = draft.plan
            if profile is not None and profile.sampling.temperature is not None:
                plan = replace(plan, temperature=profile.sampling.temperature)
            return replace(
                draft, plan=plan, solver=replace(draft.solver, prompts=profile),
                adversary=replace(draft.adversary, prompts=profile),
            )  # fmt: skip

        self.edit(change, "choose prompts")

    def exact_prompts(self, profile: PromptProfile) -> list[ExactPrompt]:
        """What the Solver and the Adversary get for this draft under a profile. Asks the worker: not for the window's
        thread."""
        draft, hint, client = self.draft, self.hint, self._inference.client()
        question = draft.problem.question.strip() or EXAMPLE
        wanted = prompts_to_show(profile, question, hint.text.strip() if hint else "", draft.type, draft.placement)
        solving = [w for w in wanted if w[0].startswith("Reasoner")]
        parts = ((draft.solver, solving), (draft.adversary, wanted[len(solving) :]))
        return [
            prompt
            for choice, asked in parts
            for prompt in (
                render_messages(asked)
                if names_endpoint(choice.model)
                else render_gguf(client, load_request(choice), asked, profile)
            )
        ]

    def _find_fitting(self, choice: SolverChoice) -> None:
        """Read in the task pool what fits the Solver's model, once for each model."""
        if choice.model == self._fitting_of:
            return
        self._fitting_of, plain = choice.model, replace(choice, prompts=None)
        if not choice.model:
            self.fitting = profile_for(plain)
            return
        self.fitting = None

        def take(profile: PromptProfile) -> None:
            if self._fitting_of == choice.model:
                self.fitting = profile
                self.changed.emit()

        self._tasks.run(lambda: profile_for(plain), take, key="craft: fitting prompts")

    def load_model(self, choice: SolverChoice, roles: Mapping[str, str]) -> None:
        """Load a model; if that works, it becomes the choice for the `roles` (draft field → name)."""
        if self.task is not None:
            self.toast.emit("A task is running. Cancel it (Esc), then choose the model again.")
        elif task := self._begin(TaskKind.LOAD, choice, 0):
            before = self.draft.solver
            limits: list[tuple[int, int]] = []

            def use(loaded: SolverChoice | None, error: str) -> None:
                if loaded is not None and not error:
                    fields: dict[str, Any] = dict.fromkeys(roles, loaded)
                    if "solver" in roles and limits and self.draft.plan.max_tokens == limits[0][0]:
                        # The limit was the one that is suggested, so it goes with the model.
                        fields["plan"] = replace(self.draft.plan, max_tokens=limits[0][1])
                    self.edit(lambda draft: replace(draft, **fields), "choose a model")
                    self.recent_models = list(dict.fromkeys([loaded.model, *self.recent_models]))
                    done = "chosen" if names_endpoint(loaded.model) else "loaded"
                    self.toast.emit(f"{model_name(loaded)} is {done} as the {' and the '.join(roles.values())}.")

            task.bridge.ended.connect(use)
            task.job = self._job(task)(_load_and_describe, choice, before, limits)

    def load_file(self, path: Path) -> None:
        """Read the header of a model file, then load it as the Solver."""
        self._tasks.run(
            lambda: describe_gguf(path),
            lambda facts: self.load_model(SolverChoice(str(facts.path)), {"solver": "Solver"}),
            lambda text: self.problem.emit(FAILED[TaskKind.LOAD], text),
        )  # fmt: skip

    def cancel(self) -> None:
        """Cancel the task. What is complete by then is kept."""
        if self.task is not None and self.task.job is not None and not self.task.cancelling:
            self.task.cancelling = True
            self.task.job.cancel()
            self.taskChanged.emit()

    def task_status(self) -> tuple[str, int, int, str]:
        """The task in words, how many of how many are done, and its speed; ("", 0, 0, "") for none."""
        task, state = self.task, self._inference.state
        if task is None:
            return "", 0, 0, ""
        if task.remote:
            # What the worker does meanwhile is another matter.
            state = WorkerState(StateKind.READY)
        text = say_task(task.kind, state, task.n, task.model, *task.counts)
        if state.kind is StateKind.LOADING:
            return text, round(100 * state.progress), 100, ""
        return text, *task.counts, task.figures

    def _begin(self, kind: TaskKind, choice: SolverChoice, n: int) -> WorkerTask | None:
        """A task without its job, None while another one is running."""
        self._merge_group += 1
        if self.task is not None or self._closed:
            return None
        model = model_name(choice) if choice.model or choice.lora else "The bundled reasoner"
        draft = self.draft
        task = self.task = WorkerTask(
            kind, model, n, self.session, draft.plan, draft.problem.question, JobBridge(self),
            remote=names_endpoint(choice.model),
        )  # fmt: skip
        task.bridge.progressed.connect(lambda values: self._on_progress(task, values))
        task.bridge.ended.connect(lambda result, error: self._on_end(task, result, error))
        self.taskChanged.emit()
        return task

    def _job(self, task: WorkerTask) -> Callable[..., jobs.Job]:
        """Starts a job whose results reach `task`: it is called with the work and its arguments."""
        client = None if task.remote else self._inference.client()
        return partial(jobs.Job, client, task.bridge.done, task.bridge.failed)

    def _known_conditions(self) -> Any:
        try:
            return self.session.known_conditions()
        except UserError as error:
            self._report_save_error(str(error))
            return None

    def _on_progress(self, task: WorkerTask, values: dict[Any, Any]) -> None:
        if self._closed:
            return
        match task.kind:
            case TaskKind.GENERATE:
                task.texts.update(values)
                self.generatingChanged.emit(task.texts)
            case TaskKind.SOLVE:
                results = {id_: value for id_, value in values.items() if isinstance(id_, str)}
                task.results.update(results)
                self._live.update(results)
                for id_ in results:
                    self.resultChanged.emit(id_)
                self.solvingChanged.emit({key: text for key, text in values.items() if key not in results})
            case TaskKind.ABLATE:
                task.ablation = values[""]
                self._remember(task.key, AblationResult, task.ablation)
                self.resultChanged.emit(self.selected)
        self.taskChanged.emit()

    def _on_end(self, task: WorkerTask, result: Any, error: str) -> None:
        if self._closed:
            return
        self.task = None
        if task.kind is TaskKind.GENERATE:
            self.generatingChanged.emit(None)
            if task.session is self.session:
                self.add_hints(result or (), f"generate {count_of(len(result or ()), 'hint')}")
        elif task.kind is TaskKind.SOLVE:
            self.solvingChanged.emit(None)
            finished = dict(result or {})
            self._pending_saves.extend(partial(task.session.put_result, r) for r in finished.values())
            stale, self._live = {*self._live, *finished}, finished
            for id_ in stale:
                self.resultChanged.emit(id_)
        elif task.kind in (TaskKind.ABLATE, TaskKind.SCORE) and result is not None:
            self._remember(task.key, type(result), result)
            self._pending_saves.append(lambda: save_attribution(self._store, task.session.draft.id, task.key, result))
            self.resultChanged.emit(self.selected)
        # A cancelled score fails, which is no news; a crash of the worker is shown by the banner.
        if error and not task.cancelling and not (task.job and task.job.worker_lost):
            self.problem.emit(FAILED[task.kind], error)
        self.taskChanged.emit()


def _with_suggestions(before: Draft, after: Draft) -> Draft:
    """Read again which answer a hint suggests, where its text or the problem changed."""
    same_problem = before.problem == after.problem
    stale = [h for h in after.hints if not same_problem or before.hint(h.id) not in (None, h)]
    if not stale:
        return after
    try:
        problem = as_problem(after.problem)
    except UserError:
        return after
    for hint in stale:
        after = drafts.replace_hint(after, replace(hint, suggested=read_suggestion(hint.text, problem)))
    return after
