"""Facts about neutral text and placebos."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.core.gates import check_hint
from training.core.hint_language import parse_hint
from training.core.neutral_text import (
    _KINDS,
    _LEADS,
    _TAILS,
    avoided,
    write_loose_sentence,
    write_placebo,
    write_sentence,
)
from training.core.problems import sample_problem
from training.core.types import Split

SLOT, FILLER = r"\\{\w+\\}", r"[\\w:]+(?: \\w+)?"
OWNING = re.compile(
    r"\b(?:has|had|have|owns?|keeps?|counts?|gives?|gave|gets?|got|buys?|bought|sells?|sold|loses?|lost|finds?|found|"
    r"drops?|dropped|wins?|won|more|fewer|another|altogether)\b"
)


def test_there_are_hundreds_of_frames_and_no_split_shares_one():
    forms = {split: 0 for split in Split}
    for kind in _KINDS:
        for split in Split:
            predicates = len(kind.predicates[split]) + len(kind.numbered[split])
            forms[split] += len(set(kind.subjects)) * predicates * (1 + len(_LEADS[split])) * (1 + len(_TAILS[split]))
        for lines in (kind.predicates, kind.numbered):
            assert not set(lines[Split.TRAIN]) & set(lines[Split.HELD_OUT])
    assert forms[Split.TRAIN] > 100_000
    assert forms[Split.HELD_OUT] > 10_000


def test_nobody_owns_gains_or_loses_anything_and_no_slot_is_left():
    rng = random.Random(1)
    for _ in range(3000):
        text = write_sentence(rng, rng.choice(list(Split)))
        assert text.endswith(".")
        assert text[0].isupper()
        assert "{" not in text
        assert "  " not in text
        assert not re.search(r"\ba [aeiou]", text), text
        assert not OWNING.search(text.replace("more often than not", "")), text


def test_loose_sentences_hold_no_predicate_of_the_held_out_forms_and_nothing_of_the_problem():
    rng = random.Random(5)
    held_out = [line for kind in _KINDS for lines in (kind.predicates, kind.numbered) for line in lines[Split.HELD_OUT]]
    # A slot is filled with a word or two.
    whole = [re.compile(rf"\b{re.sub(SLOT, FILLER, re.escape(line))}\b") for line in held_out]
    for _ in range(600):
        problem = sample_problem(rng, Split.TRAIN)
        text = write_loose_sentence(rng, avoided(problem), invented=0.2)
        assert "{" not in text
        assert text[0].isupper()
        assert text.endswith(".")
        assert not any(pattern.search(text) for pattern in whole), text
        assert parse_hint(text, problem) is None, text
        words = {word.casefold() for word in re.findall(r"[\w:]+", text)}
        assert not words & {word.casefold() for word in avoided(problem)}
        owning = OWNING.findall(re.sub("once more|be found|not find", "", text))
        assert not set(owning) - {"has"}, text


def test_numbers_are_there_on_request():
    rng = random.Random(2)
    assert all(re.search(r"\d", write_sentence(rng, Split.TRAIN, numbered=True)) for _ in range(200))
    assert not any(re.search(r"\d", write_sentence(rng, Split.TRAIN, numbered=False)) for _ in range(200))


def test_a_placebo_says_nothing_of_its_problem():
    rng = random.Random(3)
    for _ in range(400):
        problem = sample_problem(rng, rng.choice(list(Split)))
        text = write_placebo(rng.randint(3, 40), rng, problem)
        words = {word.casefold() for word in re.findall(r"[\w:]+", text)}
        assert not words & {word.casefold() for word in avoided(problem)}


def test_nearly_every_placebo_would_pass_the_gates_as_a_hint():
    rng = random.Random(4)
    passed = []
    for _ in range(300):
        problem = sample_problem(rng, Split.HELD_OUT)
        passed.append(check_hint(write_placebo(rng.randint(4, 20), rng, problem), problem).passed)
    assert sum(passed) / len(passed) > 0.97


@given(st.integers(4, 60), st.integers())
@settings(deadline=None, max_examples=60)
def test_a_placebo_has_about_the_words_that_were_asked_for(words, seed):
    found = len(write_placebo(words, random.Random(seed)).split())
    assert abs(found - words) <= max(3, words // 4)


def test_the_same_seed_writes_the_same_text():
    assert write_placebo(12, random.Random(5)) == write_placebo(12, random.Random(5))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_invented_words_stand_only_where_they_are_asked_for(share):
    rng = random.Random(6)
    plain = {w for _ in range(2000) for w in re.findall(r"[a-zé]+", write_sentence(rng, Split.TRAIN).lower())}
    found = {
        w for _ in range(200) for w in re.findall(r"[a-zé]+", write_sentence(rng, Split.TRAIN, invented=share).lower())
    }
    assert bool(found - plain - {"an"}) is (share == 1.0) or len(found - plain) < 5
