"""Facts about the symbolic checker: a real child that is really killed."""

import time

import psutil
import pytest

from training.core import symbolic
from training.core.answers import AnswerGrader
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Outcome, Problem
from training.errors import UserError


@pytest.fixture(scope="module")
def checker():
    with SymbolicCheck(deadline_s=60.0) as made:
        yield made


def test_equal_expressions_are_right_and_unequal_ones_wrong(checker):
    assert checker.check(r"\frac{1}{2}x + x", r"\frac{3x}{2}") is Outcome.RIGHT
    assert checker.check(r"2\sqrt{3}", r"\sqrt{12}") is Outcome.RIGHT
    assert checker.check(r"x + 1", r"x + 2") is Outcome.WRONG


def test_tiny_fractions_that_differ_are_told_apart(checker):
    assert checker.check(f"1/{2**99}", f"1/{2**98}") is Outcome.WRONG


def test_an_endless_power_times_out_and_the_next_check_works():
    with SymbolicCheck(deadline_s=2.0) as checker:
        started = time.monotonic()
        assert checker.check(r"9^{9^{9^{9}}}", r"x^2") is Outcome.TIMED_OUT
        assert time.monotonic() - started < 60
        checker._deadline_s = 60.0
        assert checker.check(r"x^2", r"x \cdot x") is Outcome.RIGHT


def test_what_is_too_deep_is_never_sent():
    with SymbolicCheck(deadline_s=0.0) as none:
        assert none.check("{" * 900 + "}" * 90, "x") is Outcome.UNPARSABLE


def test_an_unreadable_gold_is_an_error(checker):
    with pytest.raises(UserError, match="gold"):
        checker.check("x", "")


def test_the_verifier_hands_symbolic_problems_to_it(checker):
    problem = Problem("p", "algebra", "q", r"\frac{x}{2}", AnswerKind.SYMBOLIC, "")
    assert AnswerGrader(checker).grade(r"so \boxed{0.5x}", problem).outcome is Outcome.RIGHT


def test_closing_leaves_no_child():
    before = set(psutil.Process().children())
    with SymbolicCheck() as checker:
        checker.check("x", "x+1")
        (child,) = set(psutil.Process().children()) - before
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_check_keeps_a_bounded_number_of_outcomes(monkeypatch):
    monkeypatch.setattr(symbolic, "MAX_KNOWN", 3, raising=False)
    with SymbolicCheck() as checker:
        for number in range(10):
            assert checker.check(str(number), "4") is (Outcome.RIGHT if number == 4 else Outcome.WRONG)
        assert len(checker._known) == 3
        assert checker.check("4", "4") is Outcome.RIGHT
