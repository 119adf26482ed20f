"""Facts about gold answers: plain numbers exactly, mathematics only where the child reads it, and nothing by guessing."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.answers import is_readable, parse_number
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Outcome
from training.evaluation.problem_sets.gold_answers import Gold, NoGold, cell_text, find_answer, read_gold, same_answer
from training.evaluation.problem_sets.types import Reason

ALL = frozenset(AnswerKind)
NUMBER, CLOCK, CHOICE, SYMBOLIC = AnswerKind.NUMBER, AnswerKind.CLOCK, AnswerKind.CHOICE, AnswerKind.SYMBOLIC


def gold(answer, question="Who has more, Ann or Bob Lee?", told=None, kinds=ALL, symbolic=None):
    return read_gold(answer, question, told, kinds, symbolic)


@pytest.fixture(scope="module")
def symbolic():
    with SymbolicCheck() as check:
        yield check


@pytest.mark.parametrize(
    ("written", "plain"),
    [("2,125", "2125"), ("$1,200.50", "1200.50"), ("-3", "-3"), ("3/4", "3/4"), ("1 1/2", "1 1/2"), ("5%", "5"), ("+7", "7"),
     ("12 apples", "12"), ("12 miles per hour", "12"), ("073", "073"), ("$18$", "18"), ("\\$32,348", "32348"), ("10{,}080", "10080"),
     ("-$5", "-5"), (".5", ".5"), ("42.", "42"), ("\\text{7}", "7"), ("5\\%", "5")],
)  # fmt: skip
def test_numbers_get_their_plain_spelling(written, plain):
    assert gold(written) == Gold(plain, NUMBER)
    assert is_readable(plain, NUMBER)


@pytest.mark.parametrize(
    "written", ["1e5", "10x", "3 or 4", "5 apples and 3 pears", "1,23", "7 or so", "2^10", "1/0", "x"]
)
def test_what_the_checker_would_read_as_another_number_is_no_number(written):
    assert isinstance(gold(written, kinds=frozenset({NUMBER})), NoGold)


def test_times_and_words_of_the_question_are_compared_as_such():
    assert gold("7:45 pm") == Gold("7:45 pm", CLOCK)
    assert gold("bob lee") == Gold("bob lee", CHOICE)
    assert isinstance(gold("Bo"), NoGold), "half a word is no word of the question"
    options = "Which is prime? (A) 4 (B) 5"
    assert gold("B", options) == gold("(B)", options) == Gold("B", CHOICE)
    assert gold("A", "A boy has two, how many?", kinds=frozenset({CHOICE})).reason is Reason.UNREADABLE


@pytest.mark.parametrize("written", ["None", "because it rains", "It is 5", "Yes", "the answer depends"])
def test_prose_is_no_mathematics(written, symbolic):
    assert gold(written, symbolic=symbolic).reason is Reason.UNREADABLE


@pytest.mark.parametrize(
    "written",
    [
        r"\frac{3}{4}",
        r"11\sqrt2",
        r"\left( 3, \frac{\pi}{2} \right)",
        "10x",
        "p - q",
        "6 - 5i",
        r"90^\circ",
        "x=5",
        "1,-2",
    ],
)
def test_mathematics_gets_in_where_the_child_reads_it(written, symbolic):
    assert gold(written, symbolic=symbolic) == Gold(written, SYMBOLIC)
    assert symbolic.check(written, written) is Outcome.RIGHT


@pytest.mark.parametrize("written", [r"\frac", "{{{", "9^{9^{9^{9}}}", "(" * 60])
def test_what_the_child_cannot_read_in_time_does_not(written):
    with SymbolicCheck(deadline_s=1.5) as check:
        assert gold(written, symbolic=check).reason is Reason.UNREADABLE
    assert "not running" in gold(r"\frac{1}{2}").detail


def test_letters_beside_a_number_are_factors_for_the_symbolic_check(symbolic):
    assert symbolic.check("10y", "10x") is Outcome.WRONG
    assert symbolic.check("10", "10x") is Outcome.WRONG


def test_the_answer_is_what_is_marked():
    assert find_answer("2+2=<<2+2=4>>4\n#### 4") == "4"
    assert find_answer(r"so \boxed{\frac{1}{2}} it is") == r"\frac{1}{2}"
    assert find_answer(" 7 ") == "7"
    assert find_answer("#### 1,000\nagain #### 1000.0") == "1,000"


@pytest.mark.parametrize(
    ("text", "reason"),
    [("#### 4\n#### 5", Reason.MANY_ANSWERS), (r"\boxed{1} or \boxed{2}", Reason.MANY_ANSWERS), (r"\boxed{1", Reason.UNREADABLE),
     ("x ####", Reason.NO_ANSWER), (r"\boxed{}", Reason.NO_ANSWER)],
)  # fmt: skip
def test_several_marked_answers_are_none(text, reason):
    assert find_answer(text).reason is reason


def test_a_told_kind_is_held_to():
    assert gold("7", told=CLOCK).reason is Reason.UNREADABLE
    assert gold("seven", told=NUMBER).reason is Reason.UNREADABLE
    assert gold("left", told=CHOICE) == Gold("left", CHOICE)


def test_golds_that_mean_the_same_are_the_same(symbolic):
    assert same_answer("0.5", "1/2", None)
    assert same_answer("1,000", "1000", None)
    assert not same_answer("1", "2", symbolic)
    assert not same_answer(r"\frac12", "0.5", None)
    assert same_answer(r"\frac12", "0.5", symbolic)


@pytest.mark.parametrize(
    ("value", "text"),
    [(51.0, "51"), (1e22, "1" + "0" * 22), (1e-7, "0.0000001"), (float("nan"), ""), (float("inf"), ""), (1e300, ""), (True, ""),
     (None, ""), (["a"], "a"), (["a", "b"], ""), ({}, ""), (Decimal("1.50"), "1.50"), (7, "7"), (10**300, "")],
)  # fmt: skip
def test_cells_become_text_that_the_checker_reads_as_that_number(value, text):
    assert cell_text(value) == text


@given(st.fractions() | st.decimals(allow_nan=False, allow_infinity=False, places=3) | st.integers())
def test_any_number_keeps_its_value(number):
    written = str(number) if not isinstance(number, Decimal) else f"{number:,f}"
    found = gold(written)
    if isinstance(found, Gold):
        assert parse_number(found.text) == parse_number(written.replace(",", ""))
    else:
        assert len(written) > 100


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_a_gold_that_equals_itself_or_a_reason(answer, question):
    found = gold(answer, question)
    if isinstance(found, Gold):
        assert is_readable(found.text, found.kind)
