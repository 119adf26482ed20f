"""Judge solutions against the true answer and the suggested one. Symbolic answers go to the killable child.

It may take seconds with a symbolic answer: never use it on a thread that others wait for.
"""

from __future__ import annotations

from types import TracebackType

from seirenes_app.inference.protocol import SampleDone
from seirenes_app.services.hint_authoring.results import SolvedSample
from training.core.answers import AnswerGrader, answers_equal, extract_answer
from training.core.implied_answer import usable
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Condition, Outcome, Problem
from training.errors import UserError


class Grader:
    """Judges solutions of one problem. Used as a context, so that the child goes with it."""

    def __init__(self, problem: Problem, suggested: str | None) -> None:
        self._problem = problem
        self._suggested = suggested if suggested is not None and usable(suggested, problem) else None
        self._symbolic = SymbolicCheck() if problem.kind is AnswerKind.SYMBOLIC else None
        self._grader = AnswerGrader(self._symbolic)
        self._sound = self._symbolic is None

    def judge(self, condition: Condition, done: SampleDone) -> SolvedSample:
        """One solution with its verdict. Raises a `UserError` when the true answer cannot be read."""
        if not self._sound:
            self._check_gold()
        return SolvedSample(
            condition=condition,
            index=done.index,
            text=done.text,
            outcome=self._grader.grade(done.text, self._problem),
            answer=extract_answer(done.text) or "",
            follows=self._follows(done.text) if condition is Condition.HINTED else None,
            finish=done.finish,
            tokens=done.tokens,
            logprob_mean=done.logprob_mean,
        )

    def _check_gold(self) -> None:
        """Before any verdict, for a solution without an answer would never show that the true one is none."""
        assert self._symbolic is not None
        gold = self._problem.answer
        if self._symbolic.check(gold, gold) is not Outcome.RIGHT:
            raise UserError(f"The true answer {gold[:60]!r} cannot be compared as mathematics. Write it more plainly.")
        self._sound = True

    def _follows(self, text: str) -> bool | None:
        if self._suggested is None:
            return None
        given = extract_answer(text)
        if given is None:
            return False
        if self._symbolic is not None:
            return self._symbolic.check(given, self._suggested) is Outcome.RIGHT
        return answers_equal(given, self._suggested, self._problem.kind) is True

    def __enter__(self) -> Grader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._symbolic is not None:
            self._symbolic.close()
