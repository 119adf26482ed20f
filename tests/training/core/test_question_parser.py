"""Facts about what is read from a question's text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.prompts import Placement
from training.core.question_parser import find_entities, find_nouns, find_quantities, move_question, safe_placements
from training.evaluation.suites.builder import held_out_problems


def test_a_typed_question_tells_its_people_things_and_numbers():
    text = (
        "Zed buys 5 red apples. Apples cost $1,200, and his friend Anna eats three of them. How many muffins has Zed?"
    )
    assert find_entities(text) == ("Zed", "Anna")
    assert find_nouns(text) == ("apples", "muffins")
    assert find_quantities(text) == (5, 1200, 3)


@pytest.mark.parametrize("text", ["He eats 1/2 of 30.", "2.5 litres and 3", "at 7:45 he has 3"])
def test_numbers_that_are_not_whole_leave_no_order_to_speak_of(text):
    assert find_quantities(text) == ()


@given(st.text(max_size=200))
def test_any_text_can_be_read(text):
    assert all(name in text for name in find_entities(text))
    assert all(isinstance(value, int) for value in find_quantities(text))
    find_nouns(text)


@pytest.mark.parametrize("text", ["1," * 10_000, "Aa. " * 5_000, "five " * 4_000, "9" * 20_000, "how many " * 3_000])
def test_long_and_odd_text_is_read_quickly(text):
    started = time.process_time()
    find_entities(text), find_nouns(text), find_quantities(text)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("question", "moved"),
    [
        (
            "Mia has 5 pens. Ben gives her 3. How many pens does she have?",
            "Mia has 5 pens. How many pens does she have? Ben gives her 3.",
        ),
        (
            "Ada is taller than Bo. Bo is taller than Cy. Who is the shortest?",
            "Ada is taller than Bo. Who is the shortest? Bo is taller than Cy.",
        ),
        ("A kilo costs 2.50 dollars. Tom buys three. What does he pay?",
         "A kilo costs 2.50 dollars. What does he pay? Tom buys three."),
    ],
)  # fmt: skip
def test_the_question_is_moved_before_the_last_sentence_of_the_story(question, moved):
    assert move_question(question) == moved


@pytest.mark.parametrize(
    "question",
    [
        "", "How many?", "Mia has 5 pens. How many pens does she have?", "Mia has 5 pens. Ben gives her 3.",
        "Mia has 5 pens. Ben is her brother. How many pens does she have?",
        "Mia has 5 pens. Ben gives her 3. After that, how many pens does she have?",
        "Mia has 5 pens.\nBen gives her 3.\nHow many pens does she have?",
    ],
)  # fmt: skip
def test_a_question_stays_where_moving_it_could_change_the_answer_or_prove_nothing(question):
    assert move_question(question) is None


@given(st.text(max_size=200))
def test_moving_a_question_loses_and_adds_nothing(text):
    moved = move_question(text)
    assert moved is None or sorted(moved.split()) == sorted(text.split())


def test_the_question_of_almost_every_problem_of_the_families_can_be_moved():
    problems = held_out_problems(300, 7)
    assert sum(move_question(p.question) is not None for p in problems) >= 0.9 * len(problems)


@pytest.mark.parametrize(
    ("question", "also"),
    [
        ("Mia has 5 pens. Ben gives her 3. How many pens does Mia have now?", [Placement.BEFORE_QUESTION]),
        ("Mia has 5 pens. Ben gives 3 pens to Mia. How many pens are left?", [Placement.BETWEEN_FACTS]),
        ("Mia is taller than Ben. It is known that Ben is taller than Zoe. Who is the tallest?", [Placement.BETWEEN_FACTS]),
        ("Mia has 5 pens. 3 of them break. How many pens does she have?", []),
        ("Mia has 5 pens. Ben has 3 more. How many pens do they have?", []),
        ("Mia starts to read at 7:45. It takes 20 minutes. When is it over?", []),
        ("Today is Monday. Mia has a race in 3 days. On which day is that?", [Placement.BETWEEN_FACTS]),
        ("", []), ("How many?", []),
    ],
)  # fmt: skip
def test_a_hint_stands_between_sentences_only_where_what_follows_refers_to_nothing_before_it(question, also):
    assert safe_placements(question) == (Placement.APPEND, Placement.PREPEND, *also)
