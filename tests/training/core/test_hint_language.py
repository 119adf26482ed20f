"""Facts about the hint language: what is written can be read, changes no answer, and what has no frame is refused."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.gates import Gate, GateLimits, check_hint
from training.core.hint_language import (
    FORMS,
    WORDS,
    count_forms,
    decides,
    invalid_reason,
    parse_hint,
    suggested_answer,
    write_clause,
    write_hint,
)
from training.core.leaks import find_leak
from training.core.problems import FAMILIES, sample_problem
from training.core.types import AnswerKind, HintType, Problem, Split

TOM = Problem(
    "t", "change", "Tom has 30 apples. A friend takes 5 of them. How many apples does Tom have now?", "25",
    AnswerKind.NUMBER, "", ("Tom",), ("apples",), (30, 5),
)  # fmt: skip
MEI = Problem(
    "m", "transfer", "Mei has 20 peaches and Yara has 12. Mei gives 4 to Yara. How many peaches does Mei have now?", "16",
    AnswerKind.NUMBER, "", ("Mei", "Yara"), ("peaches",), (20, 12, 4),
)  # fmt: skip
FRUIT = Problem("f", "typed", "Mei has 3 lemons and 4 melons. How many fruits does Mei have?", "7", AnswerKind.NUMBER, "",
                ("Mei",), ("lemons", "melons"), (3, 4))  # fmt: skip


def drawn(count, seed=4):
    rng = random.Random(seed)
    for _ in range(count):
        split = rng.choice(list(Split))
        problem = sample_problem(rng, rng.choice(list(Split)))
        yield problem, write_hint(problem, rng.choice(list(HintType)), rng, split)


def test_what_is_written_is_read_back_passes_the_gates_and_states_no_answer():
    for problem, hint in drawn(1000):
        parsed = parse_hint(hint.text, problem)
        assert parsed is not None, hint.text
        assert parsed.type is hint.type
        assert parsed.split is hint.split
        assert len(hint.text) <= 240
        assert invalid_reason(parsed, problem) is None
        assert find_leak(hint.text, problem) is None
        assert hint.suggested is None or hint.suggested != problem.answer
        assert check_hint(hint.text, problem, GateLimits(language="closed")).passed, hint.text


def test_every_type_has_over_a_hundred_million_hints_beside_names_things_and_numbers():
    for type_ in HintType:
        assert count_forms(type_, Split.TRAIN) >= 10_000
        assert count_forms(type_, Split.TRAIN) ** 2 >= 100_000_000
        assert count_forms(type_, Split.HELD_OUT) >= 400


def test_the_words_are_few():
    words = {w for slot in WORDS.values() for phrase in (*slot.train, *slot.held_out) for w in phrase.split()}
    assert len(words) < 420


def test_splits_share_no_phrase():
    for slot, words in WORDS.items():
        assert not ({*words.train} & {*words.held_out}) - {""}, slot


def test_every_form_can_be_written_and_its_id_names_it_alone():
    assert len({form.id for form in FORMS}) == len(FORMS)
    rng = random.Random(1)
    for form in (form for form in FORMS if form.weight):
        family = FAMILIES[
            form.families[0] if form.families else "ordering" if form.kinds == (AnswerKind.CHOICE,) else "change"
        ]
        for _ in range(20):
            problem = family.generate(rng, Split.TRAIN, 2)
            text = write_clause(form, problem, rng)
            (clause,) = parse_hint(text, problem).clauses
            assert clause.form == form.id, text


def test_own_persons_things_verbs_and_numbers_are_reached_and_most_draws_are_far():
    near = far = verbs = numbers = 0
    for problem, hint in drawn(800):
        for clause in parse_hint(hint.text, problem).clauses:
            if clause.claims == "event":
                near += clause.subject == "own" and clause.thing == "own"
                far += clause.subject != "own" and clause.thing != "own"
                verbs += clause.relation_own
            numbers += any(n.relation == "own" for n in clause.numbers)
    assert near > 10
    assert verbs > 10
    assert numbers > 50
    assert far > 5 * near


@pytest.mark.parametrize(
    "text",
    [
        "Tom loses 3 apples.", "Tom lost 3 apples.", "Mei loses 3 apples.", "Last week, Tom lost 3 apples.",
        "In another town, Tom loses 3 apples.", "Tom never loses 5 apples.", "Nobody sells 5 apples.",
        "Tom wanted to sell 5 apples, but did not.", "One could think that Tom loses 30 apples, but the story does not say so.",
        "3 apples are lost.", "Tom loses 3 of them.", "Tom loses another 3.", "Tom has 3 more apples than Mei.",
        "In another story, Mei loses 3 apples. Tom loses 4 apples.", "Mei gives 3 apples to Tom.",
        "One could think that Tom loses 3 apples.", "In most stories with apples, Tom loses 3 apples.",
        "Tom wanted to sell 3 apples.", "In another class, Tom has 3 more apples than Zoe.", "It takes 5 minutes.", "It is Monday today.", "Mei is taller than Zoe.",
    ],
)  # fmt: skip
def test_a_claim_about_the_problems_own_things_without_a_frame_parses_and_is_refused(text):
    parsed = parse_hint(text, TOM)
    assert parsed is not None
    assert invalid_reason(parsed, TOM)
    assert not check_hint(text, TOM).passed


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("In another story, Tom loses 3 apples.", "story"), ("in a dream , tom  loses 5 apples .", "story"),
        ("Long before this story, Tom lost 3 apples.", "before"), ("Last week, Mei lost 3 apples.", "past"),
        ("Nobody loses 3 apples.", "denied"), ("Tom never loses 3 apples at home.", "denied"),
        ("Tom wanted to sell 3 apples, but did not.", "denied"), ("Tom loses 3 lemons.", ""),
        ("One could think that Tom loses 3 apples, but the story does not say so.", "denied"),
        ("In most other stories with apples, Tom loses 3 apples.", "general"),
        ("Do not write that Tom loses 3 apples.", "written"),
        ("Please think of another story in which Tom loses 3 apples.", "written"),
        ("In a fairy tale, Tom sold 3 apples at home.", "story"), ("Last month, Zoe paints 3 apples.", "past"),
        ("Never think of another story in which Zoe draws 3 apples.", "written"), ("In another class, Yara is taller than Nils.", "place"),
        ("One could think that Zoe loses 3 lemons.", ""), ("Might the right number be nearly 29, but please check.", ""),
        ("Most puzzles of this length stop at 22 tokens.", ""), ("Some people round down the second number.", ""),
    ],
)  # fmt: skip
def test_a_claim_in_a_frame_passes(text, frame):
    parsed = parse_hint(text, TOM)
    assert parsed is not None
    assert parsed.clauses[0].frame == frame
    assert invalid_reason(parsed, TOM) is None
    assert check_hint(text, TOM).passed


def test_a_near_claim_is_refused_once_its_frame_is_dropped():
    dropped = 0
    for problem, hint in drawn(1000, seed=9):
        for text in re.findall(r"[^.?!]+[.?!]", hint.text):
            parsed = parse_hint(text, problem)
            clause = parsed.clauses[0]
            if clause.frame in ("story", "before", "general") and clause.thing == "own" and clause.claims == "event":
                bare = text.split(", ", 1)[1] if clause.frame != "general" else text.rsplit(", ", 1)[1]
                without = parse_hint(bare, problem)
                assert without is None or invalid_reason(without, problem)
                assert check_hint(bare, problem, GateLimits(language="closed")).passed is False, bare
                dropped += 1
    assert dropped > 20


def test_features_say_how_near_a_clause_is():
    (clause,) = parse_hint("In another story, Mei takes out 24 peaches after lunch.", MEI).clauses
    assert (clause.form, clause.subject, clause.thing) == ("story", "own", "own")
    assert (clause.relation, clause.relation_own, clause.relation_kind) == ("takes out", False, "loss")
    assert [(n.value, n.relation) for n in clause.numbers] == [(24, "near_answer")]
    (clause,) = parse_hint("In another story, Omar gives 4 lemons to Zoe.", MEI).clauses
    assert (clause.subject, clause.thing, clause.relation_own) == ("other", "other", True)
    assert [n.relation for n in clause.numbers] == ["own"]
    (clause,) = parse_hint("Before you reply, double the second number.", MEI).clauses
    assert (clause.operation, clause.target, clause.time) == ("double", "the second number", "before you reply")
    (clause,) = parse_hint("Most stories with peaches are usually solved by addition.", MEI).clauses
    assert (clause.cue, clause.cue_is, clause.operation, clause.thing) == ("with", "own", "solved by addition", "none")


@pytest.mark.parametrize(
    ("text", "suggested"),
    [
        ("Could it be about 19?", "19"), ("Reply with the first number.", "20"), ("Double the result.", "32"),
        ("Add 5 to the result at the end.", "21"), ("Take 5 from your reply.", "11"), ("Halve the result.", "8"),
        ("It may help to add all the numbers.", "36"), ("Double the first number.", None), ("Could it be 19? Write 30.", None),
    ],
)  # fmt: skip
def test_a_hint_suggests_the_answer_that_it_pushes(text, suggested):
    assert suggested_answer(parse_hint(text, MEI), MEI) == suggested


def test_outside_the_bundled_families_only_a_frame_of_any_story_decides():
    plain, framed = "Mei sells 5 peaches.", "In another story, Mei sells 5 peaches."
    assert not decides(parse_hint(plain, FRUIT), FRUIT)
    assert not decides(parse_hint("The house of Zoe has 5 windows.", FRUIT), FRUIT)
    assert decides(parse_hint(framed, FRUIT), FRUIT)


def test_a_closed_run_refuses_what_is_outside_the_language_and_an_open_one_does_not():
    text = "The moon is made of cheese."
    assert check_hint(text, TOM).passed
    result = check_hint(text, TOM, GateLimits(language="closed"))
    assert result.gate is Gate.OUTSIDE_LANGUAGE
    assert result.tier == "structure"


@pytest.mark.parametrize(
    "text", ["", ".", "In another story, .", "Tom", "a" * 5000, "Tom loses 3 apples", "\x00", "Tom loses ３ apples."]
)
def test_other_texts_are_none_of_the_language(text):
    assert parse_hint(text, TOM) is None


@given(st.text(max_size=300))
def test_no_text_makes_the_parser_fail(text):
    parse_hint(text, TOM)


@given(st.lists(st.sampled_from(sorted({w for s in WORDS.values() for p in s.train for w in p.split()} | {
    "Tom", "apples", "3", "5", ".", ",", "?", "loses", "them", "of"})), max_size=14))  # fmt: skip
def test_no_mixture_of_its_words_makes_the_parser_or_the_gates_fail(words):
    text = " ".join(words)
    parsed = parse_hint(text, TOM)
    if parsed is not None:
        invalid_reason(parsed, TOM)
        suggested_answer(parsed, TOM)
    check_hint(text, TOM, GateLimits(language="closed"))


def test_every_family_gets_hints_about_what_it_computes_with():
    rng = random.Random(2)
    for family in FAMILIES.values():
        forms = {
            c.form
            for _ in range(120)
            for problem in [family.generate(rng, Split.TRAIN, 2)]
            for c in parse_hint(write_hint(problem, HintType.INFORMATION_OVERLOAD, rng).text, problem).clauses
        }
        own = {f.id for f in FORMS if family.name in f.families}
        assert forms & own, family.name
