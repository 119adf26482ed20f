"""Grade solutions by the true answer and the suggested one. Symbolic answers are compared in a child process.

That may take seconds: never use it on a thread that others wait for.
"""

from __future__ import annotations

from contextlib import ExitStack

from seirenes_app.inference.protocol import SampleDone
from seirenes_app.services.hint_authoring.results import SolvedSample
from training.core.answers import AnswerGrader, answers_equal, extract_answer
from training.core.implied_answer import usable
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Condition, Outcome, Problem
from training.errors import UserError


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
        answer = extract_answer(done.text)
        hinted = condition is Condition.HINTED and self._suggested is not None
        return SolvedSample(
            condition=condition, index=done.index, text=done.text,
            outcome=self._grader.grade(done.text, self._problem), answer=answer or "",
            follows=self._follows(answer) if hinted else None, finish=done.finish, tokens=done.tokens,
            logprob_mean=done.logprob_mean,
        )  # fmt: skip

    def _follows(self, answer: str | None) -> bool:
        assert self._suggested is not None
        if answer is None:
            return False
        if self._symbolic is not None:
            return self._symbolic.check(answer, self._suggested) is Outcome.RIGHT
        return answers_equal(answer, self._suggested, self._problem.kind) is True
