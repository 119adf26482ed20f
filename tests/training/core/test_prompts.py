"""Facts about where a hint is put."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.prompts import Placement, hint_span, join_hint, last_sentence_start

Q = "Tom has 2.5 litres. Mr. Lee gives him 3 more. How much has Tom?"


@given(st.text(alphabet="ab .?!\n5\"'", max_size=60), st.text(min_size=1, max_size=20), st.sampled_from(Placement))
def test_the_question_keeps_every_character_in_its_order(question, hint, placement):
    joined = join_hint(question, hint, placement)
    start, end = hint_span(question, hint, placement)
    assert joined[start:end] == hint
    rest = joined[:start] + joined[end:]
    assert len(rest) == len(question) + 1
    assert question in (rest[:-1], rest[1:], joined[:start] + joined[end + 1 :], joined[: start - 1] + joined[end:])


def test_before_the_question_is_before_its_last_sentence():
    assert join_hint(Q, "H.", Placement.BEFORE_QUESTION) == (
        "Tom has 2.5 litres. Mr. Lee gives him 3 more. H. How much has Tom?"
    )


@pytest.mark.parametrize("question", ["How much has Tom?", "Tom, Mr. Lee and J. Smith have 3.5 apples: how many?", ""])
def test_of_a_single_sentence_before_the_question_is_before_everything(question):
    assert join_hint(question, "H.", Placement.BEFORE_QUESTION) == join_hint(question, "H.", Placement.PREPEND)


@pytest.mark.parametrize(
    ("text", "last"),
    [('He said "Go." Then what?', "Then what?"), ("One line\nHow many?  ", "How many?  "), ("A! B? C", "C")],
)
def test_the_last_sentence_begins_after_an_end_mark_or_a_line(text, last):
    assert text[last_sentence_start(text) :] == last


def test_append_and_prepend_are_as_training_has_them():
    assert join_hint("Q?", "H.") == "Q? H."
    assert join_hint("Q?", "H.", Placement.PREPEND) == "H. Q?"
