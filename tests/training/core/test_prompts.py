"""Facts about where a hint is put, and about prompt profiles."""

import contextlib
import json
import re
from dataclasses import asdict, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training.core.prompts import (
    ModelKind,
    Placement,
    PromptProfile,
    RolePrompt,
    Sampling,
    TokenLimits,
    TypePrompt,
    adversary_messages,
    hint_span,
    join_hint,
    last_sentence_start,
    parse_profile,
    profile_from_dict,
    profile_to_toml,
    reasoner_messages,
)
from training.core.types import HintType
from training.errors import UserError
from training.prompt_files import CAUTIOUS, COMPACT, NEUTRAL, built_in

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


def test_between_facts_is_before_the_last_sentence_of_the_story():
    assert join_hint(Q, "H.", Placement.BETWEEN_FACTS) == (
        "Tom has 2.5 litres. H. Mr. Lee gives him 3 more. How much has Tom?"
    )
    one = "Tom has 2 pens. How many has Tom?"
    assert join_hint(one, "H.", Placement.BETWEEN_FACTS) == join_hint(one, "H.", Placement.PREPEND)


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


# ---------------------------------------------------------------------- profiles

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
profiles = st.builds(
    PromptProfile, name=st.just("mine"), description=texts, reasoner=st.builds(RolePrompt, texts.map("{problem}".__add__), texts),
    adversary=st.builds(RolePrompt, texts.map("{problem}".__add__), texts), max_hint_characters=st.integers(10, 10_000),
    types=st.dictionaries(st.sampled_from(HintType), st.builds(TypePrompt, texts, texts)),
    template=st.dictionaries(texts, st.booleans() | st.integers(-(2**53), 2**53) | texts),
    sampling=st.builds(
        Sampling, temperature=st.none() | st.floats(0, 5), top_p=st.floats(0.1, 1), top_k=st.integers(0, 100),
        stop=st.lists(texts.filter(bool)).map(tuple),
    ),
    limits=st.dictionaries(st.sampled_from(ModelKind), st.builds(TokenLimits, st.integers(1, 9999), st.integers(1, 9999))),
)  # fmt: skip


@given(profiles)
def test_a_profile_reads_back_equal_from_toml_and_from_stored_values(profile):
    try:
        stored = profile_from_dict(json.loads(json.dumps(asdict(profile))))
    except UserError:
        assume(False)
    assert stored == profile
    assert stored.digest == profile.digest
    assert parse_profile(profile_to_toml(profile), "mine.toml", "mine") == profile


def test_compact_is_what_the_bundled_model_was_trained_on():
    compact = built_in(COMPACT)
    assert reasoner_messages("Q?", compact) == [{"role": "user", "content": "Q?"}]
    assert adversary_messages("Q?", HintType.CORRELATION_TRAP, compact) == [
        {"role": "user", "content": "Q?\nDistract: correlation trap"}
    ]


def test_neutral_says_nothing_about_remarks_and_shows_an_example_of_the_answer_line():
    system = built_in(NEUTRAL).reasoner.system.casefold()
    assert not re.search(r"irrelevant|remark|mistaken|mislead|distract|ignore|careful", system)
    assert "#### 42" in system.splitlines()
    assert re.search(r"irrelevant", built_in(CAUTIOUS).reasoner.system)


@pytest.mark.parametrize("name", [NEUTRAL, CAUTIOUS])
@pytest.mark.parametrize("type_", HintType)
def test_the_adversary_reads_the_length_limit_and_an_example_of_the_type(name, type_):
    profile = built_in(name)
    text = "\n".join(m["content"] for m in adversary_messages("Q?", type_, profile))
    assert "240 characters" in text
    assert "at most 34 words" in text
    assert profile.types[type_].example in text
    assert not re.search(r"\{\w+\}", text)
    limited = "\n".join(m["content"] for m in adversary_messages("Q?", type_, profile, 100))
    assert "100 characters" in limited


def test_the_digest_is_of_the_content_and_not_of_the_name():
    neutral = built_in(NEUTRAL)
    assert replace(neutral, name="mine", description="…").digest == neutral.digest
    assert replace(neutral, sampling=Sampling(top_k=20)).digest != neutral.digest
    assert neutral.label == f"neutral@{neutral.digest[:8]}"


@given(st.sampled_from(HintType), st.text(max_size=80))
def test_placeholders_in_a_question_are_left_as_they_are(type_, text):
    question = f"{text}{{brief}} {{problem}} {{0}}"
    for name in (NEUTRAL, COMPACT):
        assert question in adversary_messages(question, type_, built_in(name))[-1]["content"]
        assert question in reasoner_messages(question, built_in(name))[-1]["content"]


SOUND = "[reasoner]\nuser = '{problem}'\n[adversary]\nuser = '{problem}'\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = [", "mine.toml is not TOML"),
        ("colour = 1\n" + SOUND, "mine.toml, line 1: There is no colour"),
        (SOUND + "[sampling]\n# often\ntop_p = 7", "mine.toml, line 7: sampling.top_p is 7"),
        (SOUND + "[sampling]\nstop = ['']", "line 6: A stop string is empty"),
        (SOUND.replace("user = '{problem}'\n[adv", "user = 'x'\n[adv"), "line 2: The reasoner's texts do not hold"),
        (SOUND.replace("user = '{problem}'\n[adv", "user = '{problem} {brief}'\n[adv"), "line 2: reasoner.user has {brief}"),
        (SOUND + "[types.trap]\nbrief = 'x'", "line 5: There is no types.trap"),
        (SOUND + "[limits.instruct]\nsolution = 0\nhint = 3", "line 5: limits.instruct.solution is 0"),
        ("max_hint_characters = 'many'\n" + SOUND, "line 1: max_hint_characters"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_profile_is_said_with_its_line(text, said):
    with pytest.raises(UserError) as caught:
        parse_profile(text, "mine.toml", "mine")
    assert said in str(caught.value)


@given(st.text(max_size=200))
def test_no_text_crashes_the_reader_of_profiles(text):
    with contextlib.suppress(UserError):
        parse_profile(text + SOUND, "mine.toml", "mine")
