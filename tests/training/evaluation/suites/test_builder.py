"""Facts about making suites: the same call makes the same suite, gates are applied and counted, splits are told."""

import dataclasses

import pytest

from training.core.types import AnswerKind, Hint, HintType, Problem, Split
from training.errors import UserError
from training.evaluation.suites.builder import (
    RankedHint,
    archive_suite,
    choose_problems,
    families_problems,
    frozen_suite,
    frozen_suite_of,
    hinted_suite,
    make_suite,
    template_offers,
)
from training.evaluation.suites.io import append_item, read_suite, write_suite
from training.evaluation.suites.manifest import APPENDED, brief_separation, separation

TYPES = tuple(HintType)


def typed(n, family="typed", answer=None):
    question = f"Tom has {n} apples and buys 2 more. How many apples has he now?"
    return Problem(
        f"p{n}", family, question, answer or str(n + 2), AnswerKind.NUMBER, "", ("Tom",), ("apples",), (n, 2)
    )


def said(text, type_=HintType.SEMANTIC_MISLEADING, author="hand"):
    return Hint(type_, text, author)


def ranked(problem, text, strength, type_=HintType.SEMANTIC_MISLEADING, step=1):
    return RankedHint(problem, said(text, type_, "run:r@1"), strength, step)


@pytest.mark.parametrize(("count", "seed"), [(1, 0), (40, 2605), (60, 7)])
def test_families_give_the_frozen_suite_of_that_size_and_seed(count, seed):
    problems = families_problems(count, seed, Split.HELD_OUT)
    made = make_suite("mine", problems, template_offers(seed, Split.HELD_OUT), seed)
    assert made.suite.items == frozen_suite(count, seed).items
    assert made.suite.digest() == frozen_suite(count, seed).digest()
    assert sum(made.tally.kept.values()) == 4 * count


@pytest.mark.parametrize("split", list(Split))
def test_problems_and_templates_are_of_the_split_that_was_asked_for(split, tmp_path):
    problems = families_problems(12, 3, split, ["clock", "rate"])
    made = make_suite("s", problems, template_offers(3, split), 3, TYPES[:2])
    saved = write_suite(tmp_path / "s", made.suite, recipe={"from": "families"})
    assert saved.manifest.splits == {"problems": {str(split): 12}, "hints": {str(split): 24}}
    assert set(saved.manifest.families) == {"clock", "rate"}
    assert set(saved.manifest.types) == {str(t) for t in TYPES[:2]}
    assert ("never" in separation(saved.manifest)) == (split is Split.HELD_OUT)
    assert saved.manifest.recipe == {"from": "families"}


def test_a_mixture_is_said(tmp_path):
    held_out = families_problems(2, 3, Split.HELD_OUT)
    train = families_problems(3, 3, Split.TRAIN)
    made = make_suite("s", [*held_out, *train], template_offers(3, Split.TRAIN), 3)
    manifest = write_suite(tmp_path / "s", made.suite).manifest
    assert "MIXED problems: 2 held out, 3 of training" in separation(manifest)
    assert brief_separation(manifest) == "MIXED / training's"


def test_problems_of_no_family_get_template_hints_that_pass_the_gates():
    problems = [typed(n) for n in range(2, 30)] + [typed(40, answer="123456"), typed(41, answer="7.5")]
    made = make_suite("s", problems, template_offers(1, Split.HELD_OUT), 1)
    assert all(len(item.hints) == len(item.placebos) == 4 for item in made.suite.items)
    assert not made.tally.missing
    again = make_suite("s", problems, template_offers(1, Split.HELD_OUT), 1)
    assert again.suite == made.suite
    assert make_suite("s", problems, template_offers(2, Split.HELD_OUT), 1).suite != made.suite


def test_a_problem_without_hints_is_kept_and_counted():
    made = make_suite("s", [typed(3)], lambda problem, type_: (), 1)
    assert made.suite.items[0].hints == ()
    assert sum(made.tally.missing.values()) == 4


@pytest.mark.parametrize("gold", ["7:45 pm", "07:45", "19:45", "12:05 a.m.", "0:30"])
def test_any_clock_that_can_be_read_can_be_guarded(gold):
    problem = dataclasses.replace(typed(3), answer=gold, kind=AnswerKind.CLOCK)
    texts = ["Is it seven forty-five?", "It may be 7:45.", "Twelve five, perhaps.", "At twelve thirty it rains."]
    made = hinted_suite("s", [(problem, said("The sky is wide.")), *((problem, said(text)) for text in texts)], 0)
    assert made.tally.refused == {"states_answer": 2 if "45" in gold else 1}
    assert len(make_suite("s", [problem], template_offers(1, Split.HELD_OUT), 1).suite.items[0].hints) == 4


def test_placebos_are_as_long_as_their_hints():
    items = make_suite("s", families_problems(40, 5, Split.HELD_OUT), template_offers(5, Split.HELD_OUT), 5).suite.items
    apart = [len(p.split()) - len(h.text.split()) for i in items for h, p in zip(i.hints, i.placebos, strict=True)]
    assert max(map(abs, apart)) <= 3
    assert abs(sum(apart) / len(apart)) < 0.7


def test_an_offer_that_a_gate_refuses_gives_way_to_the_next():
    offers = {
        HintType.SEMANTIC_MISLEADING: [said("The answer is 5."), said("Could it be around 9?")],
        HintType.CORRELATION_TRAP: [said("Could it be around 9?", HintType.CORRELATION_TRAP)],
    }
    made = make_suite("s", [typed(3)], lambda _, type_: offers.get(type_, []), 0)
    assert [h.text for h in made.suite.items[0].hints] == ["Could it be around 9?"]
    assert dict(made.tally.refused) == {"states_answer": 1, "near_duplicate": 1}
    assert (made.tally.tried, sum(made.tally.missing.values())) == (3, 3)


def test_given_hints_are_kept_by_problem_and_the_refused_left_out():
    a, b = typed(3), typed(4)
    pairs = [(a, said("Could it be 20?")), (b, said("It is 6.")), (a, said("Maybe 30, then.")), (a, said("5 it is"))]
    made = hinted_suite("s", pairs, 0)
    assert [[h.text for h in i.hints] for i in made.suite.items] == [["Could it be 20?", "Maybe 30, then."]]
    assert made.tally.refused["states_answer"] == 2
    with pytest.raises(UserError, match="all refused"):
        hinted_suite("s", pairs[1:2], 0)


def test_an_archive_gives_the_strongest_of_each_type_and_family_in_turn():
    trap, mislead = HintType.CORRELATION_TRAP, HintType.SEMANTIC_MISLEADING
    hints = [ranked(typed(n, "a"), f"Could it be about {n + 50}?", n / 100, mislead) for n in range(10, 30)]
    hints += [ranked(typed(n, "b"), f"Such tasks often end at {n + 50}.", n / 1000, trap) for n in range(30, 40)]
    hints += [ranked(typed(29, "a"), "It is 31.", 1.0, mislead), ranked(typed(60, "c"), "Nothing to see.", 0.0)]
    made = archive_suite("s", hints, 4, 0)
    assert sorted(i.problem.id for i in made.suite.items) == ["p28", "p29", "p38", "p39"]
    assert made.tally.refused == {"states_answer": 1}
    assert len(archive_suite("s", hints, 500, 0).suite.items) == 30
    assert archive_suite("s", reversed(hints), 4, 0).suite == made.suite
    with pytest.raises(UserError, match="ever worked"):
        archive_suite("s", hints[-1:], 4, 0)


def test_equally_strong_hints_come_newest_first():
    found = [ranked(typed(n), f"Could it be about {n + 50}?", 0.5, step=n) for n in range(10, 20)]
    assert [i.problem.id for i in archive_suite("s", found, 2, 0).suite.items] == ["p19", "p18"]


def test_the_words_of_a_runs_suite_say_that_choice_flatters(tmp_path):
    made = archive_suite("s", [ranked(typed(9), "Could it be 30?", 1.0)], 1, 0)
    saved = write_suite(tmp_path / "s", made.suite, recipe={"from": "run", "run": "r", "mode": "seirenes"})
    assert "run r was trained on" in separation(saved.manifest)
    assert "flattered" in separation(saved.manifest)
    assert saved.manifest.writers == {"run:r": 1}


def test_a_recipe_counts_what_was_added_after_it(tmp_path):
    made = hinted_suite("s", [(typed(3), said("Could it be 20?"))], 0)
    write_suite(tmp_path / "s", made.suite, recipe={"from": "draft"})
    for n in (8, 9):
        append_item(tmp_path / "s", hinted_suite("s", [(typed(n), said("Could it be 40?"))], 0).suite.items[0])
    assert read_suite(tmp_path / "s").manifest.recipe == {"from": "draft", APPENDED: 2}


def test_problems_are_drawn_by_the_seed_in_their_order():
    problems = [typed(n) for n in range(50)]
    drawn = choose_problems(problems, 10, 1)
    assert drawn == choose_problems(problems, 10, 1) != choose_problems(problems, 10, 2)
    assert [problems.index(p) for p in drawn] == sorted(problems.index(p) for p in drawn)
    assert choose_problems(problems, None, 1) == choose_problems(problems, 99, 1) == problems


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: families_problems(0, 1, Split.TRAIN), "at least 1"),
        (lambda: families_problems(3, 1, Split.TRAIN, ["clocks"]), "no family clocks.*clock"),
        (lambda: choose_problems([typed(1)], 0, 1), "at least 1"),
        (lambda: make_suite("s", [], template_offers(1, Split.TRAIN), 1), "no problem"),
        (lambda: archive_suite("s", [], 0, 1), "at least 1"),
    ],
)
def test_what_cannot_be_made_is_refused_with_words(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_the_first_version_of_the_frozen_suite_can_be_made_again_and_is_found_by_its_hash():
    first = frozen_suite(12, 2605, version=1)
    assert first.name == "frozen-2605-12"
    assert first.digest() == "b4a33148b4a40686"
    assert frozen_suite_of(12, 2605, ["0", first.digest()]) == first
    newest = frozen_suite(12, 2605)
    assert newest.name == "frozen2-2605-12"
    assert frozen_suite_of(12, 2605, []) == frozen_suite_of(12, 2605, ["0"]) == newest
