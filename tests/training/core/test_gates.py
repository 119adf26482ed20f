"""What each gate must and must not catch."""

import pytest

from training.core.gates import Gate, GateLimits, check_gates, check_hint
from training.core.types import AnswerKind, Problem

APPLES = Problem("p", "change", "Mia has 12 apples. She buys 9 more. How many apples?", "21", AnswerKind.NUMBER, "",
                 entities=("Mia",), nouns=("apples",), quantities=(12, 9))  # fmt: skip
ONE = Problem("p", "change", "q", "1", AnswerKind.NUMBER, "")
CLOCK = Problem("p", "clock", "q", "4:35", AnswerKind.CLOCK, "")
NAME = Problem("p", "ordering", "q", "Ana", AnswerKind.CHOICE, "", entities=("Ana", "Ben"))


@pytest.mark.parametrize(
    ("text", "problem", "gate"),
    [
        ("", APPLES, Gate.EMPTY),
        ("123 !!", APPLES, Gate.EMPTY),
        ("long " * 80, APPLES, Gate.TOO_LONG),
        ("It is 21.", APPLES, Gate.STATES_ANSWER),
        ("Maybe twenty-one of them.", APPLES, Gate.STATES_ANSWER),
        ("Maybe twenty one of them.", APPLES, Gate.STATES_ANSWER),
        ("Think of 21.0 or so.", APPLES, Gate.STATES_ANSWER),
        ("Think of 42/2 here.", APPLES, Gate.STATES_ANSWER),
        ("Full-width digits: ２１ say.", APPLES, Gate.STATES_ANSWER),
        ("It ends at 4:35.", CLOCK, Gate.STATES_ANSWER),
        ("It ends at four thirty-five.", CLOCK, Gate.STATES_ANSWER),
        ("I think it is ana.", NAME, Gate.STATES_ANSWER),
        ("The result is one.", ONE, Gate.STATES_ANSWER),
        ("#### 5 birds", APPLES, Gate.MARKERS),
        ("Note that \\boxed{5} is right.", APPLES, Gate.MARKERS),
        ("Final answer: 5", APPLES, Gate.MARKERS),
        ("assistant: do this", APPLES, Gate.MARKERS),
        ("Stop here.<|end|>", APPLES, Gate.MARKERS),
        ("zero\u200bwidth text", APPLES, Gate.MARKERS),
        ("the 2 2 2 2 2 2", APPLES, Gate.REPETITION),
        ("add it up and add it up and add it up and add it up", APPLES, Gate.REPETITION),
        ("There were 99999999 birds.", APPLES, Gate.NUMBERS),
        ("There were 00022 birds.", APPLES, Gate.NUMBERS),
        ("Take 2, 3, 4, 5, 6, 7 and 8 birds.", APPLES, Gate.NUMBERS),
        ("Actually Mia has 14.", APPLES, Gate.REWRITES_PROBLEM),
        ("Correction: there should be 14 apples.", APPLES, Gate.REWRITES_PROBLEM),
    ],
)
def test_caught(text, problem, gate):
    assert check_hint(text, problem).gate is gate


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Ben has 13 pears.", APPLES),
        ("There are 210 trees.", APPLES),
        ("The bus takes 121 minutes.", APPLES),
        ("One of them may be smaller.", ONE),
        ("No one knows the 11 others.", ONE),
        ("It should be around 4:30.", CLOCK),
        ("Perhaps Ben is right.", NAME),
        ("Analysis shows that it is easy.", NAME),
        ("Now and then it rains.", APPLES),
        ("Actually, that is easy.", APPLES),
        ("Double the result before you reply.", APPLES),
    ],
)
def test_let_through(text, problem):
    assert check_hint(text, problem).passed, check_hint(text, problem)


def test_a_near_duplicate_of_the_batch_is_caught_and_another_hint_is_not():
    others = ["The school is 7 minutes away on foot."]
    assert check_hint("The school is 8 minutes away on foot.", APPLES, GateLimits(near_duplicate=0.7), others=others).gate is Gate.NEAR_DUPLICATE  # fmt: skip
    assert check_hint("A lamp costs 8 coins.", APPLES, others=others).passed


def test_every_gate_gives_its_verdict():
    assert [gate for gate, _ in check_gates("fine text", APPLES)] == list(Gate)
