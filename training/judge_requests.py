"""`python -m training judge`: a judge's decisions on hints, or the consensus of a solver's answers under them.

Reads one JSON request from standard input and writes JSON lines to standard output: one for each hint as its part is
done, and lines with `done` and `total` (hints) in between. Nothing is written to disk.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from training.core.answers import AnswerGrader
from training.core.prompts import Message, PromptProfile, join_hint, reasoner_messages
from training.core.question_parser import find_entities, find_nouns, find_quantities
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Outcome, Problem
from training.core.validity import Decision, Judge, JudgeOptions, Report, consensus
from training.errors import UserError
from training.judges import STARTER, EndpointJudge, JudgeKind, JudgeRef, find_judge
from training.prompt_files import AUTO, choose_profile
from training.runs.files import decode

if TYPE_CHECKING:
    from training.local_judge import LocalModel

PROGRESS_S = 0.5
CHUNK = 8
"""Hints whose decisions are written together."""


class Solver(Protocol):
    """A model that solves problems."""

    def texts(
        self, chats: Sequence[list[Message]], samples: int, max_tokens: int, temperature: float, progress: Report,
        cancelled: Callable[[], bool], variables: Mapping[str, Any] | None = None,
    ) -> list[list[str]]:  # fmt: skip
        """`samples` completions for each chat; `variables` are for the chat template."""


def load_judge(
    ref: JudgeRef, options: JudgeOptions, threads: int = 0, device: str = "auto"
) -> LocalModel | EndpointJudge:
    """The judge, ready to be asked; a GGUF is converted first, which takes a minute. A UserError where it cannot be."""
    if ref.kind is JudgeKind.SERVER:
        return EndpointJudge(ref, options)
    # Here, as an endpoint needs no torch.
    from training.engine.models import resolve_model
    from training.local_judge import LocalModel

    if ref.kind is JudgeKind.FOLDER:
        return LocalModel(resolve_model(ref.place), ref.key, options, threads, device)
    from training.export.from_gguf import convert_gguf

    with tempfile.TemporaryDirectory(prefix="seirenes-judge-", ignore_cleanup_errors=True) as place:
        convert_gguf(Path(ref.place), Path(place) / "model")
        return LocalModel(Path(place) / "model", ref.key, options, threads, device)


@dataclass(frozen=True, slots=True)
class HintToJudge:
    """One hint of a request. `gold` and `kind` are for an audit."""

    question: str
    hint: str
    gold: str = ""
    kind: AnswerKind = AnswerKind.NUMBER

    @property
    def problem(self) -> Problem:
        return Problem(
            self.question, "judged", self.question, self.gold, self.kind, f"#### {self.gold}",
            find_entities(self.question), find_nouns(self.question), find_quantities(self.question),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """What is asked. Without `solve` the model judges; with it, it solves each problem clean and hinted, `solve`
    times each, for the consensus of its answers."""

    judge: JudgeOptions
    hints: tuple[HintToJudge, ...]
    start: str = STARTER
    solve: int = 0
    prompts: str = AUTO
    max_tokens: int = 512
    temperature: float = 1.0
    threads: int = 0
    device: str = "auto"


def request_of(text: str) -> JudgeRequest:
    """Read a request; a UserError that names what is wrong with it."""
    return decode(text, JudgeRequest, "The request on standard input", "Write one JSON object with these fields.")


def answer(request: JudgeRequest, out: TextIO) -> None:
    """JSON lines: `done` and `total` in between, and one for each hint in its order, flushed as they are made."""

    def write(line: Mapping[str, Any]) -> None:
        print(json.dumps(line, ensure_ascii=False), file=out, flush=True)

    ref = find_judge(request.judge.model, request.start)
    model = load_judge(ref, request.judge, request.threads, request.device)
    judge = Judge(model, request.judge)
    profile = choose_profile(request.prompts, ref.place) if request.solve else None
    for start in range(0, len(request.hints), CHUNK):
        part, began = request.hints[start : start + CHUNK], time.monotonic()
        report = _Reporter(write, start, len(part), len(request.hints))
        if profile is None:
            lines = [_decided(d) for d in judge.decide([(h.problem, h.hint) for h in part], report)]
        else:
            lines = list(_solved(model, request, part, profile, report))
        seconds = (time.monotonic() - began) / len(part)
        for line in lines:
            write({**line, "seconds": seconds})


class _Reporter:
    def __init__(self, write: Callable[[Mapping[str, Any]], None], start: int, size: int, whole: int) -> None:
        self._write, self._start, self._size, self._whole = write, start, size, whole
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._last >= PROGRESS_S and total:
            self._last = time.monotonic()
            self._write({"done": self._start + self._size * done / total, "total": self._whole})


def _decided(decision: Decision) -> dict[str, Any]:
    ballots = [{"vote": b.vote, "confidence": b.confidence, "problem": b.problem, "failed": b.failed}
               for b in decision.ballots]  # fmt: skip
    return {"ruling": decision.ruling, "ballots": ballots, "votes": decision.votes}


def _solved(
    model: Solver, request: JudgeRequest, hints: Sequence[HintToJudge], profile: PromptProfile, report: Report
) -> Iterator[dict[str, Any]]:
    """The consensus of each hint, with how often each answer was given."""
    texts = [text for h in hints for text in (h.question, join_hint(h.question, h.hint))]
    n = request.solve
    distinct = list(dict.fromkeys(texts))
    chats = [reasoner_messages(text, profile) for text in distinct]
    solved = model.texts(
        chats, n, request.max_tokens, request.temperature, report, lambda: False, dict(profile.template)
    )
    drawn = dict(zip(distinct, solved, strict=True))
    with SymbolicCheck() as symbolic:
        grader = AnswerGrader(symbolic)
        for place, hint in enumerate(hints):
            clean, hinted = (_count(drawn[texts[2 * place + i]], hint.problem, grader) for i in (0, 1))
            ruling = consensus(clean, hinted, hint.gold, n)
            yield {"ruling": ruling, "clean": clean, "hinted": hinted}


def _count(texts: Sequence[str], problem: Problem, grader: AnswerGrader) -> dict[str, int]:
    """How often each answer was given; all right ones count as the gold answer, unreadable ones not at all. Of a
    problem whose gold answer cannot be compared none counts."""
    found: dict[str, int] = defaultdict(int)
    for text in texts:
        try:
            graded = grader.grade(text, problem)
        except UserError:
            return {}
        if graded.outcome is Outcome.RIGHT:
            found[problem.answer] += 1
        elif graded.outcome is Outcome.WRONG and graded.answer:
            found[graded.answer.strip().casefold()] += 1
    return dict(found)
