"""Perturbations from the laboratory's own templates. Seeded; no model, no I/O. Every one passes the gates.

Work on a local model: write perturbations, and solve under them.

A job begins when it is made and ends with exactly one `on_done` or `on_failed`; a cancelled one is done, with what
there is until then. **Callbacks come on a thread of the job's own**: the client's reader thread is never kept, however
long an answer takes to check. Marshal them into the window's thread by a signal. An exception in a callback is logged
and dropped. Nothing here knows Qt."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.protocol import (
    Chunk,
    Counted,
    Done,
    Error,
    ErrorKind,
    Event,
    Finish,
    LoraSet,
    Ready,
    SampleDone,
    SampleRequest,
    ScoreResult,
)
from seirenes_app.inference.requests import OnEvent, Request, RequestFailed
from seirenes_app.services.hint_authoring.conditions import condition_texts, planned_samples, shares
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, Origin, SolverChoice, new_id
from seirenes_app.services.hint_authoring.grader import Grader
from seirenes_app.services.hint_authoring.models import ask_model, hint_messages, model_path, sample_messages, style_for
from seirenes_app.services.hint_authoring.problems import as_problem
from seirenes_app.services.hint_authoring.results import (
    ConditionResult,
    SolvedSample,
    SolveResult,
    condition_result,
    solve_key,
    solve_result,
)
from training.core.gates import check_hint
from training.core.hint_templates import WRITERS
from training.core.implied_answer import read_suggestion
from training.core.types import Condition, HintType, Problem, Split
from training.errors import UserError

_ROUNDS = 6


def template_hints(problem: Problem, type_: HintType, n: int, seed: int, split: Split | None = None) -> list[DraftHint]:
    """Up to `n` different perturbations, each from a template of its own while there are enough.

    `split` None takes the templates of both splits. Fewer come back when no more of them fit and pass the gates.
    """
    rng = random.Random(f"{seed}:{type_}:{problem.id}")
    writers = [w for w in WRITERS[type_] if split is None or w.split is split]
    made: list[DraftHint] = []
    texts: list[str] = []
    for _ in range(_ROUNDS):
        for writer in rng.sample(writers, len(writers)):
            if len(made) == n:
                return made
            hint = writer.fill(problem, rng)
            if hint is not None and check_hint(hint.text, problem, others=texts).passed:
                texts.append(hint.text)
                id_ = f"t{rng.getrandbits(40):010x}"
                made.append(DraftHint(id_, hint.text, type_, Origin.TEMPLATE, writer.id, hint.suggested))
    return made


_log = logging.getLogger(__name__)

MAX_HINT_TOKENS = 96
_LAST = (Done, Ready, ScoreResult, Counted, LoraSet, Error)

T = TypeVar("T")
OnFailed = Callable[[str], None]
OnText = Callable[[Condition, int, str], None]
"""Condition, index and text so far of a solution that is being written."""


class Job:
    """One piece of work and its thread. A subclass says what to do in `_work` and calls `_begin` when it is made."""

    def __init__(self, client: WorkerClient, on_done: Callable[[Any], None], on_failed: OnFailed) -> None:
        self._client = client
        self._on_done, self._on_failed = on_done, on_failed
        self._lock = threading.Lock()
        self._ticket: Request | None = None
        self._inbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def cancel(self) -> None:
        """Ask for an end, from any thread; returns at once. Again: nothing."""
        with self._lock:
            self._cancelled = True
            ticket, inbox = self._ticket, self._inbox
        if ticket is not None:
            ticket.cancel()
        inbox.put(None)

    @property
    def cancelled(self) -> bool:
        """Whether an end was asked for."""
        return self._cancelled

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether the job ended within that time, its last callback included. Never call it in a callback."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _begin(self) -> None:
        self._thread.start()

    def _work(self) -> Any:
        """Do it, and return what `on_done` gets. Raises a `UserError` for what a person can mend."""
        raise NotImplementedError

    def _run(self) -> None:
        try:
            result = self._work()
        except UserError as error:
            call_back(self._on_failed, str(error))
        except Exception as error:  # noqa: BLE001 - a thread's edge: a bug is logged, and whoever waits is told
            _log.exception("a job failed")
            call_back(
                self._on_failed, f"A mistake in the laboratory itself ended this ({error}). The log has the details."
            )
        else:
            call_back(self._on_done, result)

    # For subclasses, on the job's thread

    def _load(self, choice: SolverChoice) -> None:
        """See that the choice's model is loaded. Raises `RequestFailed`; ends early when cancelled."""
        for _ in self._events(lambda hear: ask_model(self._client, choice, hear)):
            pass

    def _draw(self, choice: SolverChoice, request: SampleRequest) -> Iterator[Event]:
        """The events of a sampling on the choice's model; they just end early when cancelled."""
        self._load(choice)
        try:
            yield from self._events(lambda hear: self._client.sample(request, hear))
        except RequestFailed as error:
            if error.error.kind is not ErrorKind.NO_MODEL:
                raise
            # Another's load, which this one relied on, failed: an own one says why, or works.
            self._load(choice)
            yield from self._events(lambda hear: self._client.sample(request, hear))

    def _events(self, ask: Callable[[OnEvent], Request | None]) -> Iterator[Event]:
        with self._lock:
            if self._cancelled:
                return
            # One a request: what an abandoned one still says is not heard.
            inbox = self._inbox = queue.SimpleQueue()
            ticket = self._ticket = ask(inbox.put)
        if ticket is None:
            return
        running = False
        while True:
            event = inbox.get()
            if event is None:
                # Cancelled. What runs ends by itself in a moment, with its last words; what waits may wait long.
                if running:
                    continue
                return
            if isinstance(event, Error):
                if event.kind is ErrorKind.CANCELLED:
                    return
                raise RequestFailed(event)
            running = True
            yield event
            if isinstance(event, _LAST):
                return


def call_back(callback: Callable[..., None], *values: Any) -> None:
    """Call a job's callback; what it raises is logged and dropped."""
    try:
        callback(*values)
    except Exception:  # noqa: BLE001 - a thread's edge: a caller's bug must not end the job
        _log.exception("a job's callback failed")


class GenerateJob(Job):
    """Let the draft's adversary write `n` perturbations of the draft's type.

    `on_text` tells a text so far, `on_hint` a complete one; they come in any order, the final list in their own.
    """

    def __init__(
        self,
        client: WorkerClient,
        draft: Draft,
        n: int,
        seed: int,
        on_text: Callable[[int, str], None],
        on_hint: Callable[[DraftHint], None],
        on_done: Callable[[list[DraftHint]], None],
        on_failed: OnFailed,
        *,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(client, on_done, on_failed)
        self._draft, self._n, self._seed, self._temperature = draft, n, seed, temperature
        self._on_text, self._on_hint = on_text, on_hint
        self._begin()

    def _work(self) -> list[DraftHint]:
        draft, choice = self._draft, self._draft.adversary
        problem = as_problem(draft.problem)
        author = model_path(choice).stem
        request = SampleRequest(
            messages=hint_messages(draft, style_for(choice)), n=self._n, max_tokens=MAX_HINT_TOKENS,
            temperature=self._temperature, seed=self._seed,
        )  # fmt: skip
        texts: dict[int, str] = {}
        made: dict[int, DraftHint] = {}
        for event in self._draw(choice, request):
            if isinstance(event, Chunk):
                texts[event.index] = texts.get(event.index, "") + event.text
                call_back(self._on_text, event.index, texts[event.index])
            elif isinstance(event, SampleDone) and event.finish is not Finish.CANCELLED:
                text = clean_hint(event.text)
                suggested = read_suggestion(text, problem)
                made[event.index] = DraftHint(new_id(), text, draft.type, Origin.MODEL, author, suggested)
                call_back(self._on_hint, made[event.index])
        return [made[i] for i in sorted(made)]


def clean_hint(text: str) -> str:
    """A model's text as a perturbation: without its thinking, without quotes around the whole."""
    text = text.rpartition("</think>")[2].strip()
    for left, right in ('""', "“”", "''"):
        inner = text[1:-1]
        if len(text) > 2 and text[0] == left and text[-1] == right and left not in inner and right not in inner:
            return inner.strip()
    return text


class SolveJob(Job):
    """Solve the draft's question clean, under `hint` and under its placebo, one condition after another.

    Without a hint only the clean condition. `known_clean` is one of the same question, model and plan that is not
    solved again. `on_update` comes after every solution.
    """

    def __init__(
        self,
        client: WorkerClient,
        draft: Draft,
        hint: DraftHint | None,
        on_update: Callable[[SolveResult], None],
        on_done: Callable[[SolveResult], None],
        on_failed: OnFailed,
        *,
        on_text: OnText | None = None,
        known_clean: ConditionResult | None = None,
    ) -> None:
        super().__init__(client, on_done, on_failed)
        self._draft, self._hint, self._known = draft, hint, known_clean
        self._on_update, self._on_text = on_update, on_text
        self._begin()

    def _work(self) -> SolveResult:
        return _solve(self, self._draft, self._hint, self._known, self._on_update, self._on_text)


class SolveEachJob(Job):
    """Solve under each hint in turn, the clean condition once. Ends with the results by hint id.

    `on_update` tells the hint's id and its result so far.
    """

    def __init__(
        self,
        client: WorkerClient,
        draft: Draft,
        hints: Sequence[DraftHint],
        on_update: Callable[[str, SolveResult], None],
        on_done: Callable[[Mapping[str, SolveResult]], None],
        on_failed: OnFailed,
        *,
        on_text: OnText | None = None,
        known_clean: ConditionResult | None = None,
    ) -> None:
        super().__init__(client, on_done, on_failed)
        self._draft, self._candidates, self._known = draft, tuple(hints), known_clean
        self._on_update, self._on_text = on_update, on_text
        self._begin()

    def _work(self) -> Mapping[str, SolveResult]:
        results: dict[str, SolveResult] = {}
        clean = self._known
        for hint in self._candidates:
            if self.cancelled:
                break

            def tell(result: SolveResult, id_: str = hint.id) -> None:
                self._on_update(id_, result)

            results[hint.id] = result = _solve(self, self._draft, hint, clean, tell, self._on_text)
            clean = result.conditions.get(Condition.CLEAN, clean)
        return results


def _solve(
    job: Job,
    draft: Draft,
    hint: DraftHint | None,
    known_clean: ConditionResult | None,
    on_update: Callable[[SolveResult], None],
    on_text: OnText | None,
) -> SolveResult:
    """All conditions of one hint, on the job's thread."""
    started, key = time.monotonic(), solve_key(draft, hint)
    problem = as_problem(draft.problem)
    texts = condition_texts(draft, problem, hint)
    conditions: dict[Condition, ConditionResult] = {}

    def so_far() -> SolveResult:
        return solve_result(key, conditions, time.monotonic() - started, texts, cancelled=job.cancelled)

    with Grader(problem, hint.suggested if hint else None) as judge:
        for condition, shown in texts.items():
            if condition is Condition.CLEAN and known_clean is not None and _is_same(known_clean, shown[0], draft):
                conditions[condition] = known_clean
                call_back(on_update, so_far())
                continue
            samples: list[SolvedSample] = []
            for done in _solutions(job, draft, condition, shown, on_text):
                samples.append(judge.judge(condition, done))
                conditions[condition] = condition_result(condition, shown[0], samples, planned_samples(draft.plan))
                call_back(on_update, so_far())
    return so_far()


def _is_same(known: ConditionResult, text: str, draft: Draft) -> bool:
    return known.text == text and known.complete and known.planned == planned_samples(draft.plan)


def _solutions(
    job: Job, draft: Draft, condition: Condition, texts: Sequence[str], on_text: OnText | None
) -> Iterator[SampleDone]:
    """Each complete solution of a condition as it comes, over all its texts; what a cancel cut off is left out."""
    first = 0
    for text, n in zip(texts, shares(planned_samples(draft.plan), len(texts)), strict=True):
        if job.cancelled:
            return
        yield from _solutions_of(job, draft, condition, text, first, n, on_text)
        first += n


def _solutions_of(
    job: Job, draft: Draft, condition: Condition, text: str, first: int, n: int, on_text: OnText | None
) -> Iterator[SampleDone]:
    plan, so_far = draft.plan, dict[int, str]()
    request = SampleRequest(
        messages=sample_messages(draft, text, style_for(draft.solver)), n=n,
        max_tokens=plan.max_tokens, temperature=plan.temperature, seed=plan.seed,
    )  # fmt: skip
    for event in job._draw(draft.solver, request):
        if isinstance(event, Chunk) and on_text is not None:
            so_far[event.index] = so_far.get(event.index, "") + event.text
            call_back(on_text, condition, first + event.index, so_far[event.index])
        elif isinstance(event, SampleDone) and event.finish is not Finish.CANCELLED:
            yield replace(event, index=first + event.index)
