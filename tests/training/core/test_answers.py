"""Facts about reading and comparing answers."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.answer_reader import read_answer
from training.core.answers import AnswerGrader, is_readable, parse_clock, parse_number
from training.core.types import AnswerKind, Outcome, Problem
from training.errors import UserError

GSM8K = Path(__file__).resolve().parents[4] / "shared" / "data" / "gsm8k_test.jsonl"


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ("12.", 12), ("1,200", 1200), ("$1,200.50", Fraction(2401, 2)), ("3/4", Fraction(3, 4)),
     ("1 1/2", Fraction(3, 2)), ("12 apples", 12), ("-5", -5), ("0.5", Fraction(1, 2)), ("50%", 50)],
)  # fmt: skip
def test_numbers_are_read_exactly(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize("text", ["", "apples", "1/0", "12 + 3", "9" * 300, "__import__('os')", "1,2,3"])
def test_what_is_no_number_is_none(text):
    assert parse_number(text) is None


def test_clock_times():
    assert parse_clock("4:35 pm") == parse_clock("04:35") == 275
    assert parse_clock("12:05") == 5
    assert parse_clock("4:75") is None


@given(st.text())
def test_no_text_makes_the_readers_raise(text):
    parse_number(text)
    parse_clock(text)


@given(st.fractions(max_denominator=10**6))
def test_a_fraction_survives_being_written(value):
    assert parse_number(f"{value.numerator}/{value.denominator}") == value


def test_outcomes_are_different_things():
    problem = Problem("p", "f", "q", "12", AnswerKind.NUMBER, "")
    grader = AnswerGrader()
    texts = ("#### 12", "12", "#### 13", "#### lots", "#### 12 or 13", "<think>12")
    assert [grader.grade(text, problem).outcome for text in texts] == [
        Outcome.RIGHT, Outcome.RIGHT, Outcome.WRONG, Outcome.UNPARSABLE, Outcome.AMBIGUOUS, Outcome.TRUNCATED,
    ]  # fmt: skip
    assert grader.grade("#### 1", problem, truncated=True).outcome is Outcome.TRUNCATED


def test_a_percentage_is_right_where_it_means_the_gold_answer():
    def outcome(text, gold, question):
        return AnswerGrader().grade(text, Problem("p", "f", question, gold, AnswerKind.NUMBER, "")).outcome

    assert outcome("#### 12%", "12", "How many?") is Outcome.WRONG
    assert outcome("#### 12%", "12", "What percentage?") is Outcome.RIGHT
    assert outcome("#### 12%", "0.12", "What share?") is Outcome.RIGHT
    assert outcome(r"\boxed{50\%}", "50%", "How much?") is Outcome.RIGHT


def test_an_unreadable_gold_is_an_error_that_names_the_problem():
    with pytest.raises(UserError, match="p7"):
        AnswerGrader().grade("#### 3", Problem("p7", "f", "q", "many", AnswerKind.NUMBER, ""))


@pytest.mark.skipif(not GSM8K.exists(), reason="the GSM8K file is not beside this checkout")
def test_every_gsm8k_gold_is_read():
    rows = [json.loads(line) for line in GSM8K.read_text(encoding="utf-8").splitlines()]
    golds = [read_answer(r["answer"], AnswerKind.NUMBER).answer for r in rows]
    assert len(rows) == 1319
    assert all(is_readable(g, AnswerKind.NUMBER) for g in golds)
