"""The models of a campaign: the target, writers of hints, and a judge. Each question is asked once, and stored before
it counts; the budget is kept here.

Questions go in chunks, in the order in which the search asks them. The chunk of a resumed campaign that is stored
already is read, so the search takes the same way (see `store`). A model is opened when the first chunk has to be asked
of it: a campaign that is resumed near its end waits for none.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from seirenes_app.inference.model_client import Cancelled, Completion, CompletionSpec, ModelClient, OpenProgress
from seirenes_app.inference.protocol import Finish
from seirenes_app.services.redteam.campaign import Budget, CampaignPlan, Spent, WriterSpec
from seirenes_app.services.redteam.results import Answer
from seirenes_app.services.redteam.store import AnswerRow, CampaignStore, StoredChunk
from training.core.answers import AnswerGrader
from training.core.hint_reader import clean_hint
from training.core.prompts import PromptProfile, adversary_messages, join_hint, reasoner_messages
from training.core.symbolic import SymbolicCheck
from training.core.types import Condition, HintType, Outcome, Problem
from training.core.validity import PHRASINGS, Decision, JudgeOptions, Ruling
from training.errors import UserError
from training.evaluation.grader import grade
from training.evaluation.plan import seed_of
from training.runs.control import StopRequested

CHUNK_ROWS = 64
"""Completions a chunk: little is lost by a kill, and a batch is large enough to be fast."""
WRITE_TEMPERATURE = 1.0
CHARACTERS_A_TOKEN = 3
"""Of prompts whose tokens no server counts; rather few, so that a limit of tokens is not passed."""
JUDGE_PROMPT_TOKENS = 700


_NO_ANSWER = {Finish.TOO_LONG: Outcome.TOO_LONG, Finish.FILTERED: Outcome.FILTERED}


class BudgetSpent(Exception):
    """The next request could pass a limit of the stage; the text says which."""


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model with how it is asked. `price` is money per prompt token and per completion token, where it is known."""

    client: ModelClient
    prompts: PromptProfile
    max_tokens: int
    max_hint_tokens: int
    price: tuple[float, float] | None = None


OpenModel = Callable[[str, Callable[[OpenProgress], object], Callable[[], bool]], OpenedModel]
AskJudge = Callable[[JudgeOptions, Sequence[tuple[Problem, str]], Callable[[], bool]], Sequence[Decision]]


@dataclass(frozen=True, slots=True)
class Task:
    """One prompt of the target. `text` is the hint or placebo beside the question, "" for none."""

    problem: Problem
    condition: Condition
    text: str = ""
    suggested: str | None = None
    recipe: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return (self.problem.id, self.text)


@dataclass(frozen=True, slots=True)
class Writing:
    """One hint that a writer is asked for."""

    writer: WriterSpec
    model: str
    type: HintType
    problem: Problem
    variant: int

    @property
    def key(self) -> tuple[str, str, str, int]:
        return (self.writer.key, self.type, self.problem.id, self.variant)


class CampaignModels:
    """See the module. A context, which frees what it opened. `limit_stage` says what the stage may spend in all."""

    def __init__(
        self, plan: CampaignPlan, store: CampaignStore, open_model: OpenModel, ask_judge: AskJudge, *,
        cancelled: Callable[[], bool] = lambda: False, hold: Callable[[], object] = lambda: None,
        report: Callable[[str], object] = lambda _doing: None,
    ) -> None:  # fmt: skip
        self.plan, self.spent = plan, Spent()
        self.remote = False
        """Whether any model that was asked is an endpoint."""
        self._store, self._open, self._ask_judge = store, open_model, ask_judge
        self._cancelled, self._hold, self._report = cancelled, hold, report
        self._cap, self._stage = plan.budget, ""
        self._seq = 0
        self._answers: dict[tuple[str, str], tuple[Answer, ...]] = {}
        self._written: dict[tuple[str, str, str, int], str] = {}
        self._rulings: dict[tuple[str, str], bool] = {}
        self._models: dict[str, OpenedModel] = {}
        self._stack = ExitStack()
        self._grader = AnswerGrader(self._stack.enter_context(SymbolicCheck()))

    def __enter__(self) -> CampaignModels:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    # ------------------------------------------------------------------ budget

    def limit_stage(self, stage: str, share: float) -> None:
        """From here on, `share` of the whole budget may be spent in all."""
        b = self.plan.budget
        self._stage = stage
        self._cap = Budget(
            requests=None if b.requests is None else round(b.requests * share),
            tokens=None if b.tokens is None else round(b.tokens * share),
            money=None if b.money is None else b.money * share,
            minutes=None if b.minutes is None else b.minutes * share,
        )

    @property
    def requests_left(self) -> int | None:
        """Requests that the stage may still send; None where they are not limited."""
        return None if self._cap.requests is None else max(0, self._cap.requests - self.spent.requests)

    def _affordable(self, cost: Spent) -> int:
        """How many prompts of at most this cost may still be asked; 0 for none."""
        cap, spent = self._cap, self.spent
        if cap.minutes is not None and spent.seconds >= cap.minutes * 60:
            return 0
        counts = [1 << 30]
        if cap.requests is not None:
            counts.append((cap.requests - spent.requests) // cost.requests)
        if cap.tokens is not None:
            counts.append((cap.tokens - spent.tokens) // max(1, cost.tokens))
        if cap.money is not None and cost.cost:
            counts.append(int((cap.money - (spent.cost or 0.0)) / cost.cost))
        return max(0, min(counts))

    def _limit_reached(self) -> BudgetSpent:
        cap, spent = self._cap, self.spent
        share = {
            "requests": spent.requests / cap.requests if cap.requests else 0.0,
            "tokens": spent.tokens / cap.tokens if cap.tokens else 0.0,
            "money": (spent.cost or 0.0) / cap.money if cap.money else 0.0,
            "minutes": spent.seconds / 60 / cap.minutes if cap.minutes else 0.0,
        }
        return BudgetSpent(max(share, key=lambda name: share[name]))

    # ------------------------------------------------------------------ asking

    def answers(self, problem: Problem, text: str = "") -> tuple[Answer, ...]:
        """What the target answered; () where it was not asked."""
        return self._answers.get((problem.id, text), ())

    def hint_of(self, writing: Writing) -> str | None:
        """What a writer wrote, "" where nothing could be read; None where it was not asked."""
        return self._written.get(writing.key)

    def keeps_answer(self, problem: Problem, hint: str) -> bool | None:
        """What the judge ruled; None where it was not asked."""
        return self._rulings.get((problem.id, hint))

    def solve(self, tasks: Sequence[Task]) -> None:
        """Have the target answer what it has not yet, in this order. Raises `BudgetSpent` after what could be paid."""
        todo = list({task.key: task for task in tasks if task.key not in self._answers}.values())
        samples = self.plan.samples
        for chunk in _slices(todo, max(1, CHUNK_ROWS // samples)):
            texts = [join_hint(t.problem.question, t.text, self.plan.placement) if t.text else t.problem.question
                     for t in chunk]  # fmt: skip
            part = self._fitting(chunk, texts, samples, lambda: self._target.max_tokens, self._target_price)
            if part:
                asked = texts[: len(part)]
                digest = _digest("solve", [[t.problem.id, t.condition, t.text] for t in part], samples)
                done = self._chunk(
                    "solve",
                    digest,
                    lambda part=part, asked=asked: self._solve(part, asked),  # type: ignore[misc]
                )
                self._take_answers(part, done)
            if len(part) < len(chunk):
                raise self._limit_reached()

    def _take_answers(self, tasks: Sequence[Task], chunk: StoredChunk) -> None:
        found: dict[int, list[Answer]] = {}
        for row in chunk.answers:
            answer = Answer(
                Outcome(row.outcome), row.answer, row.follows, row.truncated, row.tokens, row.completion
            )  # fmt: skip
            found.setdefault(row.place, []).append(answer)
        for place, task in enumerate(tasks):
            self._answers[task.key] = tuple(found[place])

    def _solve(self, tasks: Sequence[Task], texts: Sequence[str]) -> StoredChunk:
        model = self._target
        spec = CompletionSpec(
            self.plan.samples, model.max_tokens, self.plan.temperature, seed_of(self.plan.seed, "solve", self._seq),
            model.prompts.sampling, model.prompts.template,
        )  # fmt: skip
        chats = [reasoner_messages(text, model.prompts) for text in texts]
        solved, spent = self._complete(model, chats, spec)
        rows = []
        for place, (task, completions) in enumerate(zip(tasks, solved, strict=True)):
            for sample, found in enumerate(completions):
                rows.append(self._grade(task, place, sample, found))
        return StoredChunk(self._seq, "solve", self._stage, "", spent, tuple(rows))

    def _grade(self, task: Task, place: int, sample: int, found: Completion) -> AnswerRow:
        head = (place, sample, task.problem.id, str(task.condition), task.recipe, task.text)
        if found.finish in _NO_ANSWER:
            return AnswerRow(*head, _NO_ANSWER[found.finish], "", None, False, 0, "")
        got = grade(found.text, task.problem, task.suggested, self._grader, found.truncated)
        return AnswerRow(
            *head, got.outcome, got.answer, got.follows, found.truncated, found.tokens, found.text
        )  # fmt: skip

    def write(self, wanted: Sequence[Writing]) -> None:
        """Have writers write what they have not yet. Raises `BudgetSpent` after what could be paid."""
        todo = list({w.key: w for w in wanted if w.key not in self._written}.values())
        by_model: dict[str, list[Writing]] = {}
        for one in todo:
            by_model.setdefault(one.model, []).append(one)
        for argument, writings in by_model.items():
            for chunk in _slices(writings, CHUNK_ROWS):
                texts = [w.problem.question for w in chunk]
                part = self._fitting(
                    chunk, texts, 1, lambda a=argument: self._model(a).max_hint_tokens,  # type: ignore[misc]
                    lambda a=argument: self._model(a).price,  # type: ignore[misc]
                )  # fmt: skip
                if part:
                    digest = _digest("write", [list(w.key) for w in part], 1)
                    done = self._chunk("write", digest, lambda a=argument, p=part: self._write(a, p))  # type: ignore[misc]
                    self._written.update(zip((w.key for w in part), done.texts, strict=True))
                if len(part) < len(chunk):
                    raise self._limit_reached()

    def _write(self, argument: str, wanted: Sequence[Writing]) -> StoredChunk:
        model = self._model(argument)
        spec = CompletionSpec(
            1, model.max_hint_tokens, WRITE_TEMPERATURE, seed_of(self.plan.seed, "write", self._seq),
            model.prompts.sampling, model.prompts.template,
        )  # fmt: skip
        chats = [adversary_messages(w.problem.question, w.type, model.prompts) for w in wanted]
        replies, spent = self._complete(model, chats, spec)
        limit = model.prompts.max_hint_characters
        hints = tuple(clean_hint(r.text, truncated=r.truncated, max_characters=limit) for (r,) in replies)
        return StoredChunk(self._seq, "write", self._stage, "", spent, texts=hints)

    def judge(self, hints: Sequence[tuple[Problem, str]]) -> None:
        """Have the judge rule on what it has not yet. Raises `BudgetSpent` after what could be paid."""
        todo = list({(p.id, h): (p, h) for p, h in hints if (p.id, h) not in self._rulings}.values())
        options = self.plan.validity
        for chunk in _slices(todo, CHUNK_ROWS):
            votes = options.votes
            cost = Spent(votes, votes * JUDGE_PROMPT_TOKENS, votes * options.max_tokens)
            part = chunk[: self._affordable(cost)]
            if part:
                digest = _digest("judge", [[p.id, h] for p, h in part], votes)
                done = self._chunk("judge", digest, lambda part=part: self._judge(part))  # type: ignore[misc]
                self._rulings.update(
                    zip(((p.id, h) for p, h in part), (t == Ruling.KEPT for t in done.texts), strict=True)
                )
            if len(part) < len(chunk):
                raise self._limit_reached()

    def _judge(self, hints: Sequence[tuple[Problem, str]]) -> StoredChunk:
        self._report("asking the judge")
        started = time.monotonic()
        try:
            decisions = self._ask_judge(self.plan.validity, hints, self._cancelled)
        except Cancelled as error:
            raise StopRequested from error
        if failure := next((d.failure for d in decisions if d.failure), ""):
            raise UserError(f"The judge could not be asked. {failure} Resume the campaign once that is fixed.")
        votes = sum(len(d.ballots) for d in decisions)
        tokens = votes * JUDGE_PROMPT_TOKENS
        spent = Spent(votes, tokens, votes * min(self.plan.validity.max_tokens, len(PHRASINGS)),
                      seconds=time.monotonic() - started)  # fmt: skip
        return StoredChunk(self._seq, "judge", self._stage, "", spent, texts=tuple(str(d.ruling) for d in decisions))

    # ------------------------------------------------------------------ chunks

    def _fitting(
        self, chunk: Sequence[Any], texts: Sequence[str], samples: int, max_tokens: Callable[[], int],
        price: Callable[[], tuple[float, float] | None],
    ) -> list[Any]:  # fmt: skip
        """The first of a chunk that the budget allows, if each costs the most that one of them can."""
        needs_tokens = self._cap.tokens is not None or self._cap.money is not None
        prompt = samples * max(map(_tokens, texts))
        longest = samples * max_tokens() if needs_tokens else 0
        rates = price() if self._cap.money is not None else None
        cost = prompt * rates[0] + longest * rates[1] if rates else None
        return list(chunk[: self._affordable(Spent(samples, prompt, longest, cost))])

    def _chunk(self, kind: str, digest: str, ask: Callable[[], StoredChunk]) -> StoredChunk:
        self._seq += 1
        stored = self._store.chunk(self._seq)
        if stored is None:
            # Between requests only: a pause within them would count as waiting for a model.
            self._hold()
            if self._cancelled():
                raise StopRequested
            stored = replace(self._asked(kind, ask), digest=digest)
            self._store.commit(stored)
        elif stored.digest != digest:
            raise UserError(
                "The stored answers are of another search: the campaign was begun by another version, or its plan was "
                "changed. Start a new campaign; what this one found stays readable."
            )
        self.spent += stored.spent
        if stored.kind == "limit":
            raise self._limit_reached()
        return stored

    def _asked(self, kind: str, ask: Callable[[], StoredChunk]) -> StoredChunk:
        started = time.monotonic()
        try:
            return ask()
        except _OutOfBudget:
            return StoredChunk(self._seq, "limit", self._stage, "", Spent(seconds=time.monotonic() - started))

    def _complete(
        self, model: OpenedModel, chats: Sequence[Any], spec: CompletionSpec
    ) -> tuple[list[list[Completion]], Spent]:  # fmt: skip
        started, minutes, before = time.monotonic(), self._cap.minutes, model.client.meter
        over = False

        def cancelled() -> bool:
            nonlocal over
            left = None if minutes is None else minutes * 60 - self.spent.seconds
            over = left is not None and time.monotonic() - started > left
            return over or self._cancelled()

        try:
            found = model.client.complete(chats, spec, lambda _done, _total, _tokens: self._report(""), cancelled)
        except Cancelled as error:
            raise (_OutOfBudget if over else StopRequested) from error
        errors = [c for row in found for c in row if not isinstance(c, Completion)]
        if any(e.problem == "budget" for e in errors):
            raise _OutOfBudget
        if errors:
            raise UserError(
                f"{len(errors)} of {sum(map(len, found))} requests to {model.client.name} failed: {errors[0].message} "
                "Nothing was counted as an answer. Resume the campaign once that is fixed."
            )
        rows = [[c for c in row if isinstance(c, Completion)] for row in found]
        prompt = sum(_tokens(json.dumps(chat)) for chat in chats) * spec.samples
        completion = sum(c.tokens for row in rows for c in row)
        spent = Spent(len(chats) * spec.samples, prompt, completion, seconds=time.monotonic() - started)
        return rows, _metered(spent, before, model.client.meter, model.price)

    # ------------------------------------------------------------------ models

    @property
    def _target(self) -> OpenedModel:
        return self._model(self.plan.target)

    def _target_price(self) -> tuple[float, float] | None:
        return self._target.price

    def _model(self, argument: str) -> OpenedModel:
        if argument not in self._models:

            def progress(now: OpenProgress) -> None:
                self._report(now.doing if now.share is None else f"{now.doing} ({now.share:.0%})")

            try:
                opened = self._open(argument, progress, self._cancelled)
            except Cancelled as error:
                raise StopRequested from error
            self._stack.callback(_close, opened.client)
            self.remote = self.remote or opened.client.is_remote
            self._models[argument] = opened
        return self._models[argument]


class _OutOfBudget(Exception):
    """Minutes, or an endpoint's own budget, ended a chunk that is not kept."""


def _close(client: ModelClient) -> None:
    with suppress(UserError):
        client.close()


def _tokens(text: str) -> int:
    return max(1, -(-len(text) // CHARACTERS_A_TOKEN))


def _metered(spent: Spent, before: Any, after: Any, price: tuple[float, float] | None) -> Spent:
    """What an endpoint's meter says, in place of estimates. Cached replies count as if they had been sent, so that a
    resumed campaign spends its budget as an uninterrupted one does; what they cost was paid before."""
    if after is None:
        return spent

    def change(name: str) -> Any:
        return getattr(after, name) - (getattr(before, name) if before is not None else 0)

    cached = change("cached")
    prompt = spent.prompt_tokens if cached else change("prompt_tokens")
    cost = prompt * price[0] + spent.completion_tokens * price[1] if price else None
    return replace(
        spent, prompt_tokens=prompt, cost=cost, cached=cached, maybe_paid=change("maybe_paid")
    )  # fmt: skip


def _digest(kind: str, questions: Sequence[Sequence[Any]], samples: int) -> str:
    return hashlib.sha256(json.dumps([kind, samples, questions]).encode()).hexdigest()[:16]


def _slices(rows: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]
