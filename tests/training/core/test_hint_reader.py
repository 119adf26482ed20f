"""Facts about how a hint is read out of an Adversary's reply."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.hint_reader import clean_hint


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (' "Could it be 20?" ', "Could it be 20?"),
        ("“Say 3.”", "Say 3."),
        ('"A" and "B"', '"A" and "B"'),
        ("'Tom's dog is 3.'", "Tom's dog is 3."),
        ('""', '""'),
        ("", ""),
        ("<think>\nhm\n</think>\n\nSay 3.", "Say 3."),
        ("hm, the answer is 7</think>Say 3.", "Say 3."),
        ("<think>So the answer is 7, and a hint would be", ""),
        ("Hint: Tom is 37 years old.", "Tom is 37 years old."),
        ("**Hint:** Tom is 37.", "Tom is 37."),
        ("**Hint**: Tom is 37.", "Tom is 37."),
        ("1. Hint: Tom is 37.", "Tom is 37."),
        ('Sure! Here\'s a misleading hint:\n\n"Tom is 37."\n\nThis hint adds a number.', "Tom is 37."),
        ("Here is a hint that fits the problem: Tom is 37.", "Tom is 37."),
        ("Tom is 37.\n\nExplanation: the age is irrelevant.", "Tom is 37."),
        ("Tom is 37.\n(Note: the age is irrelevant.)", "Tom is 37."),
        ("Note that five of them are small.", "Note that five of them are small."),
        ("Okay, so Tom is 37.", "Okay, so Tom is 37."),
        ("Answer with the first number: 3.", "Answer with the first number: 3."),
        ("Hint:", "Hint:"),
    ],
)
def test_labels_quotes_comments_and_reasoning_go(reply, hint):
    assert clean_hint(reply) == hint


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        ("Tom is 37. His dog is 4. His ca", "Tom is 37. His dog is 4."),
        ("Tom is 37. His dog is 4.", "Tom is 37."),  # perhaps 4.5
        ("Tom is old. His dog is young.", "Tom is old. His dog is young."),
        ("Tom and Mr. B", ""),
        ("His dog weighs 4.5 kilos and", ""),
        ('He said "It is 5!" Then', 'He said "It is 5!"'),
    ],
)
def test_a_reply_that_was_cut_off_ends_at_its_last_sentence(reply, hint):
    assert clean_hint(reply, truncated=True) == hint


def test_a_long_reply_ends_at_the_last_sentence_that_fits():
    assert clean_hint("One short. " * 40, max_characters=50) == "One short. One short. One short. One short."
    assert clean_hint("x" * 60, max_characters=50) == "x" * 60


@given(st.text(max_size=300), st.booleans(), st.integers(0, 100))
def test_any_reply_is_read(reply, truncated, limit):
    found = clean_hint(reply, truncated=truncated, max_characters=limit)
    assert found == found.strip()
    assert len(found) <= len(reply)


@pytest.mark.parametrize("piece", ["\n", " ", "hint", "*", "<think>", "'", "1. ", "here is ", ". "])
def test_a_huge_reply_is_read_at_once(piece):
    started = time.process_time()
    clean_hint(piece * 200_000, truncated=True, max_characters=240)
    assert time.process_time() - started < 5
