"""Facts about what is read from a question's text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.question_parser import find_entities, find_nouns, find_quantities


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
    started = time.perf_counter()
    find_entities(text), find_nouns(text), find_quantities(text)
    assert time.perf_counter() - started < 2
