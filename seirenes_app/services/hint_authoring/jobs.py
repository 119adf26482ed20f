"""Hints of the hint language, and jobs on a model, here or at an endpoint: write hints, solve under them.

A job begins when it is made and ends with one `on_done` or `on_failed`; a cancelled one is done, with what there is.
Callbacks come on the job's own thread; their exceptions are logged and dropped."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, ParamSpec

from msgspec import structs

from seirenes_app.inference.client import FINAL, Pending, RequestFailed, WorkerClient
from seirenes_app.inference.endpoint_client import EndpointClient
from seirenes_app.inference.protocol import (
    Chunk,
    Error,
    ErrorKind,
    Event,
    Finish,
    LoadRequest,
    SampleDone,
    SampleRequest,
    WorkRequest,
)
from seirenes_app.services.hint_authoring import models
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, Origin, SolverChoice, new_id
from seirenes_app.services.hint_authoring.problems import as_problem
from seirenes_app.services.hint_authoring.results import ConditionResult, SolvedSample, SolveResult, solve_key
from training.core.answer_reader import Tier
from training.core.answers import AnswerGrader
from training.core.gates import check_hint
from training.core.hint_language import NoHint, write_hint
from training.core.hint_reader import clean_hint
from training.core.implied_answer import read_suggestion, usable
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Condition, HintType, Outcome, Problem, Split
from training.endpoints import Meter, find_endpoint, names_endpoint
from training.errors import UserError
from training.evaluation.grader import follows_hint

WITHHELD = {Finish.FILTERED: Outcome.FILTERED, Finish.TOO_LONG: Outcome.TOO_LONG}
"""Solutions without a text: neither right nor wrong."""


class Grader(ExitStack):
    """Grades solutions of one problem. A context, which ends the child process."""

    def __init__(self, problem: Problem, suggested: str | None) -> None:
        super().__init__()
        self._problem = problem
        self._suggested = suggested if suggested is not None and usable(suggested, problem) else None
        symbolic = problem.kind is AnswerKind.SYMBOLIC
        self._symbolic = self.enter_context(SymbolicCheck()) if symbolic else None
        self._grader = AnswerGrader(self._symbolic)

    def grade(self, condition: Condition, done: SampleDone) -> SolvedSample:
        """One solution with its outcome. Raises a `UserError` when the true answer cannot be read."""
        if self._symbolic is not None:
            # First of all, for a solution without an answer would never show that the true one is none.
            gold = self._problem.answer
            if self._symbolic.check(gold, gold) is not Outcome.RIGHT:
                raise UserError(
                    f"The true answer {gold[:60]!r} cannot be compared as mathematics. Write it more plainly."
                )
        if done.finish in WITHHELD:
            return SolvedSample(
                condition=condition, index=done.index, text=done.text, outcome=WITHHELD[done.finish], answer="",
                follows=None, finish=done.finish, tokens=done.tokens, logprob_mean=done.logprob_mean, tier=Tier.NONE,
            )  # fmt: skip
        graded = self._grader.grade(done.text, self._problem, truncated=done.finish is Finish.LENGTH)
        suggested = self._suggested if condition is Condition.HINTED else None
        return SolvedSample(
            condition=condition, index=done.index, text=done.text,
            outcome=graded.outcome, answer=graded.answer,
            follows=follows_hint(graded.answer, self._problem, suggested, self._symbolic), finish=done.finish,
            tokens=done.tokens, logprob_mean=done.logprob_mean, tier=graded.tier,
        )  # fmt: skip


_log = logging.getLogger(__name__)

_TRIES = 20

P = ParamSpec("P")


def drawn_hints(problem: Problem, type_: HintType, n: int, seed: int, split: Split | None = None) -> list[DraftHint]:
    """Up to `n` different hints of the hint language (in forms of one split, or both) that pass the gates."""
    rng = random.Random(f"{seed}:{type_}:{problem.id}")
    made: list[DraftHint] = []
    texts: list[str] = []
    for _ in range(_TRIES * n):
        if len(made) == n:
            break
        try:
            hint = write_hint(problem, type_, rng, split or rng.choice(list(Split)))
        except NoHint:
            break
        if check_hint(hint.text, problem, others=texts).passed:
            texts.append(hint.text)
            id_ = f"t{rng.getrandbits(40):010x}"
            made.append(DraftHint(id_, hint.text, type_, Origin.TEMPLATE, hint.template, hint.suggested))
    return made


@dataclass(frozen=True, slots=True)
class StreamedText:
    """The text so far, and the whole job's speed. `seconds_left` is None before a first text is complete."""

    index: int
    text: str
    tokens_per_s: float
    seconds_left: float | None
    condition: Condition | None = None


OnText = Callable[[StreamedText], None]


class Job:
    """`work(job, *values, **named)` on its own thread; `on_done` gets its result, `on_failed` the text of a
    `UserError`. `client` may be None for work that asks endpoints alone, and an
    `EndpointClient` for work that is to ask that endpoint through it."""

    def __init__(
        self,
        client: WorkerClient | EndpointClient | None,
        on_done: Callable[[Any], None],
        on_failed: Callable[[str], None],
        work: Callable[Concatenate[Job, P], Any],
        *values: P.args,
        **named: P.kwargs,
    ) -> None:
        self.client = client
        self._on_done, self._on_failed = on_done, on_failed
        self._lock = threading.Lock()
        self._pending: Pending | None = None
        self._endpoint: EndpointClient | None = None
        self.inbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.cancelled = False
        self.worker_lost = False  # whether it failed because the worker crashed or is down
        """Whether an end was asked for."""
        run = partial(self._run, partial(work, self, *values, **named))
        self._thread = threading.Thread(target=run, name=work.__name__, daemon=True)
        self._thread.start()

    @property
    def meter(self) -> Meter | None:
        """What was spent at the endpoint that it asks; None where it asks none."""
        endpoint = self.client if isinstance(self.client, EndpointClient) else self._endpoint
        return endpoint.meter if endpoint is not None else None

    def send(self, request: WorkRequest, model: LoadRequest) -> Pending:
        """Send a request to the worker, which loads the model if need be, or to the endpoint that is named; `listen`
        has the events."""
        if names_endpoint(model.model):
            endpoint = find_endpoint(model.model)
            if isinstance(self.client, EndpointClient) and self.client.endpoint == endpoint:
                return self.client.send(request, self.inbox.put)
            if self._endpoint is None or self._endpoint.endpoint != endpoint:
                self._close_endpoint()
                self._endpoint = EndpointClient(endpoint)
            return self._endpoint.send(request, self.inbox.put)
        assert isinstance(self.client, WorkerClient)
        return self.client.send(request, self.inbox.put, model)

    def _close_endpoint(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()

    def cancel(self) -> None:
        """Ask for an end, from any thread; returns at once. Again: nothing."""
        with self._lock:
            self.cancelled = True
            pending = self._pending
        if pending is not None:
            pending.cancel()
        self.inbox.put(None)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether the job ended within that time, its last callback included. Never call it in a callback."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            result = work()
        except UserError as error:
            lost = (ErrorKind.CRASHED, ErrorKind.CLOSED)
            self.worker_lost = isinstance(error, RequestFailed) and error.error.kind in lost
            call_back(self._on_failed, str(error))
        except Exception as error:  # noqa: BLE001 - a thread's edge: a bug is logged and reported
            _log.exception("a job failed")
            call_back(self._on_failed, f"Internal error ({error}). The log has the details.")
        else:
            call_back(self._on_done, result)
        finally:
            self._close_endpoint()

    def listen(self, pending: Pending) -> Iterator[Event]:
        """The events of a request sent with `inbox.put`, until the job is cancelled. Raises `RequestFailed`."""
        with self._lock:
            self._pending = pending
        if self.cancelled:
            pending.cancel()
            return
        running = False
        while True:
            event = self.inbox.get()
            if event is None:
                # Cancelled. What runs ends by itself in a moment, with its last events; what waits may wait long.
                if running:
                    continue
                return
            if event.id != pending.id:
                continue
            if isinstance(event, Error):
                if event.kind is ErrorKind.CANCELLED:
                    return
                raise RequestFailed(event)
            running = True
            yield event
            if isinstance(event, FINAL):
                return


def call_back(callback: Callable[..., None] | None, *values: Any) -> None:
    """Call a job's callback; what it raises is logged and dropped."""
    try:
        if callback is not None:
            callback(*values)
    except Exception:  # noqa: BLE001 - a thread's edge: a caller's bug must not end the job
        _log.exception("a job's callback failed")


class _Texts:
    def __init__(self, planned: int) -> None:
        self._planned = planned
        self._texts: dict[tuple[Condition | None, int], str] = {}
        self._tokens: dict[tuple[Condition | None, int], int] = {}
        self._complete = self._complete_tokens = 0
        self._started = 0.0

    def add(self, chunk: Chunk, index: int, condition: Condition | None = None) -> StreamedText:
        now, key = time.monotonic(), (condition, index)
        self._started = self._started or now
        text = self._texts[key] = self._texts.get(key, "") + chunk.text
        self._tokens[key] = chunk.tokens
        drawn, seconds = self._complete_tokens + sum(self._tokens.values()), now - self._started
        speed = drawn / seconds if seconds > 0 else 0.0
        left = None
        if self._complete and speed:
            left = max(0.0, self._complete_tokens / self._complete * self._planned - drawn) / speed
        return StreamedText(index, text, speed, left, condition)

    def end(self, done: SampleDone, condition: Condition | None = None) -> None:
        self._texts.pop((condition, done.index), None)
        self._tokens.pop((condition, done.index), None)
        self._complete += 1
        self._complete_tokens += done.tokens


def load_model(job: Job, choice: SolverChoice) -> SolverChoice | None:
    """Load a choice's model; returns the choice, or None when that was cancelled. An endpoint has nothing to load."""
    model = models.load_request(choice)
    if isinstance(job.client, WorkerClient) and not names_endpoint(model.model) and not job.client.expects(model):
        for _ in job.listen(job.client.send(model, job.inbox.put)):
            pass
    return None if job.cancelled else choice


def generate_hints(
    job: Job,
    draft: Draft,
    n: int,
    seed: int,
    *,
    on_text: OnText | None = None,
    on_hint: Callable[[DraftHint], None] | None = None,
    temperature: float = 1.0,
) -> list[DraftHint]:
    """Let the draft's adversary write `n` hints. `on_text` gets texts so far, `on_hint` complete hints, in any
    order."""
    choice, problem = draft.adversary, as_problem(draft.problem)
    author = models.author_of(choice)
    request = SampleRequest(
        messages=models.hint_messages(choice, draft.problem.question.strip(), draft.type), n=n,
        max_tokens=models.limits_for(choice).hint, temperature=temperature, seed=seed,
        **models.sampling_of(models.profile_for(choice)),
    )  # fmt: skip
    texts = _Texts(n)
    made: dict[int, DraftHint] = {}
    for event in job.listen(job.send(request, models.load_request(choice))):
        if isinstance(event, Chunk):
            call_back(on_text, texts.add(event, event.index))
        elif isinstance(event, SampleDone) and event.finish is not Finish.CANCELLED:
            texts.end(event)
            text = read_hint(event, choice)
            suggested = read_suggestion(text, problem)
            made[event.index] = DraftHint(new_id(), text, draft.type, Origin.MODEL, author, suggested)
            call_back(on_hint, made[event.index])
    return [made[i] for i in sorted(made)]


def read_hint(done: SampleDone, choice: SolverChoice) -> str:
    """The hint in a reply of the Adversary `choice`."""
    limit = models.profile_for(choice).max_hint_characters
    return clean_hint(done.text, truncated=done.finish is Finish.LENGTH, max_characters=limit)


def solve_hints(
    job: Job,
    draft: Draft,
    hints: Sequence[DraftHint],
    on_update: Callable[[str, SolveResult], None],
    *,
    on_text: OnText | None = None,
    known: Mapping[Condition, ConditionResult] | None = None,
) -> dict[str, SolveResult]:
    """Solve the question clean and with needed text, under each of `hints` and under its placebo; without hints, under
    the id "", the first two alone. They are solved once, or not at all where what is `known` fits. `on_update` gets a
    hint's id and result so far after every solution. Returns results by hint id."""
    model, problem, found = models.load_request(draft.solver), as_problem(draft.problem), dict(known or {})
    planned = models.planned_solutions(draft.plan, problem.question, len(hints))
    texts = _Texts(planned - sum(result.n for result in found.values()))
    results: dict[str, SolveResult] = {}
    for hint in (*hints,) or (None,):
        solving = _Solving(draft, problem, hint, found)
        id_, suggested = (hint.id, hint.suggested) if hint else ("", None)
        with Grader(problem, suggested) as grader:
            for condition, text, first, n in solving.requests():
                if job.cancelled:
                    break
                request = models.solve_request(draft, text, n)
                for event in job.listen(job.send(request, model)):
                    if isinstance(event, Chunk):
                        call_back(on_text, texts.add(event, first + event.index, condition))
                    elif isinstance(event, SampleDone) and event.finish is not Finish.CANCELLED:
                        done = structs.replace(event, index=first + event.index)
                        texts.end(done, condition)
                        solving.add(grader.grade(condition, done))
                        call_back(on_update, id_, solving.result(job.cancelled))
        results[id_] = solving.result(job.cancelled)
        found |= {c: r for c, r in results[id_].conditions.items() if c in models.ONCE}
        if job.cancelled:
            break
    return results


class _Solving:
    """The conditions of one hint (None: of the question alone) and what was solved of them."""

    def __init__(
        self, draft: Draft, problem: Problem, hint: DraftHint | None, known: Mapping[Condition, ConditionResult]
    ) -> None:
        self._started, self._key = time.monotonic(), solve_key(draft, hint)
        self._texts = models.condition_texts(draft, problem, hint)
        self._planned = models.planned_samples(draft.plan)
        self._samples: dict[Condition, list[SolvedSample]] = {}
        self._known = {c: found for c, found in known.items() if self._fits(found)}

    def _fits(self, found: ConditionResult) -> bool:
        """Whether a result of another hint stands for a condition of this one."""
        same = found.condition in models.ONCE and (found.text,) == self._texts.get(found.condition)
        return same and found.planned == self._planned and found.complete

    def requests(self) -> Iterator[tuple[Condition, str, int, int]]:
        """What is to be solved: the condition, a text, the index of its first solution, and how many."""
        for condition, texts in self._texts.items():
            if condition in self._known:
                continue
            first = 0
            for text, n in zip(texts, models.shares(self._planned, len(texts)), strict=True):
                yield condition, text, first, n
                first += n

    def add(self, sample: SolvedSample) -> None:
        self._samples.setdefault(sample.condition, []).append(sample)

    def result(self, cancelled: bool) -> SolveResult:
        found = dict(self._known)
        for condition, samples in self._samples.items():
            ordered = tuple(sorted(samples, key=lambda s: s.index))
            found[condition] = ConditionResult(condition, self._texts[condition][0], ordered, self._planned)
        found = {condition: found[condition] for condition in self._texts if condition in found}
        complete = all(condition in found and found[condition].complete for condition in self._texts)
        return SolveResult(self._key, found, time.monotonic() - self._started, complete, cancelled)
