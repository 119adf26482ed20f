"""A model for campaigns that is no model: it solves problems by chance, by what stands beside the question."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from seirenes_app.inference.model_client import Completion, CompletionSpec
from seirenes_app.inference.protocol import Finish
from seirenes_app.services.redteam.models import OpenedModel
from training.core.prompts import Message
from training.core.types import AnswerKind, Problem
from training.prompt_files import NEUTRAL, built_in


def chance(*parts: object) -> float:
    """The same number from 0 to 1 for the same parts."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


class SimulatedTarget:
    """Solves a problem with probability `accuracy(problem, text)`, `text` being what stands beside the question. Its
    answers depend on seed, problem, text and sample alone. With `group`, answers whose group is equal are right or wrong
    together: correlated problems."""

    name, argument, is_remote, meter = "simulated", "simulated", False, None

    def __init__(
        self, problems: Sequence[Problem], accuracy: Callable[[Problem, str], float], seed: int = 0, *,
        group: Callable[[Problem, str], object] | None = None,
    ) -> None:  # fmt: skip
        self._problems = {p.question: p for p in problems}
        self._accuracy, self._seed, self._group = accuracy, seed, group
        self.requests = 0
        self.calls: list[int] = []

    def complete(self, chats: Sequence[Sequence[Message]], spec: CompletionSpec, progress=None, cancelled=None):
        self.requests += len(chats) * spec.samples
        self.calls.append(len(chats))
        return [[self._answer(chat[-1]["content"], sample) for sample in range(spec.samples)] for chat in chats]

    def text(self, shown: str, sample: int = 0) -> str:
        """The reply to a prompt."""
        return self._answer(shown, sample).text

    def _answer(self, text: str, sample: int) -> Completion:
        problem = next(p for question, p in self._problems.items() if text.startswith(question))
        beside = text.removeprefix(problem.question).strip()
        who = self._group(problem, beside) if self._group is not None else (problem.id, beside)
        good = chance(self._seed, who, sample) < self._accuracy(problem, beside)
        return Completion(f"So it is this.\n#### {problem.answer if good else wrong(problem)}", Finish.STOP, 20)

    def close(self) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def wrong(problem: Problem) -> str:
    if problem.kind is AnswerKind.NUMBER:
        return str(int(problem.answer) + 3) if problem.answer.isdecimal() else "999"
    if problem.kind is AnswerKind.CLOCK:
        return "1:01" if problem.answer != "1:01" else "2:02"
    return "no idea"


def opens(target: SimulatedTarget):
    """What `run_campaign` opens models with."""
    return lambda _name, _progress, _cancelled: OpenedModel(target, built_in(NEUTRAL), 128, 64)
