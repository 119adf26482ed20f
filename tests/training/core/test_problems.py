"""Facts about the problem families."""

import itertools
import operator
import random
import re
import subprocess
import sys

import pytest

from training.core.answers import AnswerGrader
from training.core.problems import FAMILIES, problem_stream
from training.core.types import Outcome, Split

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def draw(split, count=1500, seed=3):
    return list(itertools.islice(problem_stream(seed, split), count))


def test_every_equation_of_a_solution_holds_and_the_last_one_is_the_answer():
    for problem in draw(Split.TRAIN) + draw(Split.HELD_OUT):
        equations = re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)[.,]", problem.solution)
        for a, sign, b, c in equations:
            assert OPERATORS[sign](int(a), int(b)) == int(c)
        if problem.kind == "number":
            assert problem.answer in {e[3] for e in equations[-2:]}


def test_the_verifier_accepts_every_worked_solution():
    grader = AnswerGrader()
    assert all(grader.grade(p.solution, p).outcome is Outcome.RIGHT for p in draw(Split.HELD_OUT))


def test_splits_share_no_question_and_questions_are_distinct():
    train, held_out = ({p.question for p in draw(split)} for split in Split)
    assert len(train) == len(held_out) == 1500
    assert not train & held_out


def test_entities_and_quantities_occur_in_the_question():
    for p in draw(Split.TRAIN):
        assert all(re.search(rf"\b{name}\b", p.question) for name in p.entities)
        assert all(re.search(rf"\b{n}\b", p.question) for n in p.quantities)


def test_questions_read_as_english():
    for p in draw(Split.TRAIN) + draw(Split.HELD_OUT):
        assert p.question.endswith("?")
        assert "  " not in p.question
        assert "{" not in p.question
        assert not re.search(r"(?<!\d)1 \w+s\b(?! h)", p.question), p.question


def test_numbers_stay_within_reach():
    for p in draw(Split.TRAIN):
        assert all(0 <= int(n) <= 300 for n in re.findall(r"\d+", p.solution))


def test_a_stream_is_the_same_in_another_process():
    code = (
        "import itertools; from training.core.problems import problem_stream; from training.core.types import Split;"
        "print([p.id for p in itertools.islice(problem_stream(7, Split.TRAIN), 20)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([p.id for p in itertools.islice(problem_stream(7, Split.TRAIN), 20)])


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
def test_every_difficulty_of_a_family_can_be_made(family):
    for difficulty in range(1, 5):
        assert family.generate(random.Random(difficulty), Split.TRAIN, difficulty).family == family.name
