"""Facts about suites on disk."""

import dataclasses
import json
import os
import random
import subprocess
import sys
import time

import pytest

from training.core.gates import Gate
from training.core.hint_language import write_hint
from training.core.neutral_text import write_placebo
from training.core.prompts import Placement
from training.core.types import AnswerKind, Hint, HintType, Problem, Split
from training.errors import UserError
from training.evaluation.suites.builder import Suite, SuiteItem, frozen_suite
from training.evaluation.suites.io import ITEMS, MANIFEST, append_item, read_manifest, read_suite, write_suite

TYPED = Problem(
    "typed-1", "typed", "Tom has 5 apples. How many?", "5", AnswerKind.NUMBER, "", ("Tom",), ("apples",), (5,)
)


def hand(text, type_=HintType.SEMANTIC_MISLEADING, problem=TYPED):
    return SuiteItem(problem, (Hint(type_, text, "hand", suggested="20"),), ("It was a quiet day.",))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "mine"


@pytest.fixture
def started(folder):
    write_suite(folder, Suite("mine", ()))
    return folder


def test_a_frozen_suite_comes_back_as_it_was_with_its_digest(folder):
    suite = frozen_suite(12, 7)
    saved = write_suite(folder, suite)
    assert saved.suite == suite
    assert read_suite(folder).suite.digest() == suite.digest()
    manifest = saved.manifest
    assert (manifest.problems, manifest.hints, manifest.authors) == (12, 48, {"templates": 48})
    assert manifest.types == manifest.passed == {str(t): 12 for t in sorted(HintType)}
    assert manifest.splits == {"problems": {"held_out": 12}, "hints": {"held_out": 48}}
    assert sum(manifest.families.values()) == 12


def test_hints_of_one_problem_become_one_item(started):
    append_item(started, hand("Could it be 20?"))
    append_item(started, hand("Maybe it is 21.", HintType.CORRELATION_TRAP))
    saved = read_suite(started)
    assert len(saved.suite.items) == 1
    assert [h.text for h in saved.suite.items[0].hints] == ["Could it be 20?", "Maybe it is 21."]
    assert len(saved.suite.items[0].placebos) == 2
    assert saved.manifest.authors == {"hand": 2}
    assert saved.manifest.splits["problems"] == {"none": 1}


@pytest.mark.parametrize("age_s", [60, -365 * 86400], ids=["left a minute ago", "left before the clock was set back"])
def test_a_lock_that_its_owner_left_behind_is_taken_away(started, age_s):
    lock = started / ".writing"
    lock.touch()
    left = time.time() - age_s
    os.utime(lock, (left, left))
    append_item(started, hand("Could it be 20?"))
    assert len(read_suite(started).suite.items) == 1
    assert not lock.exists()


def test_the_same_hint_twice_is_refused(started):
    append_item(started, hand("Could it be 20?"))
    with pytest.raises(UserError, match="already"):
        append_item(started, hand("Could it be 20?"))


def test_a_hint_that_fails_a_gate_is_kept_only_when_asked_for_and_recorded(started):
    with pytest.raises(UserError, match="states_answer"):
        append_item(started, hand("It is 5."))
    assert read_suite(started).suite.items == ()
    saved = append_item(started, hand("It is 5."), allow_invalid=True)
    assert saved.manifest.invalid[0].gates == (Gate.STATES_ANSWER,)
    assert saved.manifest.passed == {}
    saved = append_item(started, hand("Could it be 20?"), allow_invalid=True)
    assert saved.manifest.passed == {"semantic_misleading": 1}
    assert len(saved.manifest.invalid) == 1


def test_a_refusal_from_elsewhere_counts_too(started):
    with pytest.raises(UserError, match="near_duplicate"):
        append_item(started, hand("Fine here."), refused={0: [Gate.NEAR_DUPLICATE]})
    saved = append_item(started, hand("Fine here."), refused={0: [Gate.NEAR_DUPLICATE]}, allow_invalid=True)
    assert saved.manifest.invalid[0].gates == ("near_duplicate",)


def test_a_second_suite_never_replaces_the_first(started):
    with pytest.raises(UserError, match="already"):
        write_suite(started, Suite("other", ()))


def test_what_was_never_finished_is_ignored_and_written_over(started):
    append_item(started, hand("Could it be 20?"))
    with (started / ITEMS).open("a") as file:
        file.write('{"problem": {"id": "half')
    assert len(read_suite(started).suite.items) == 1
    append_item(started, hand("Maybe it is 21."))
    assert len(read_suite(started).manifest.lines) == 2
    assert "half" not in (started / ITEMS).read_text()


def test_a_changed_line_is_named(started):
    append_item(started, hand("Could it be 20?"))
    append_item(started, hand("Maybe it is 21."))
    path = started / ITEMS
    path.write_text(path.read_text().replace("it is 21", "it is 22"))
    with pytest.raises(UserError, match=r"items\.jsonl, line 2: it was changed"):
        read_suite(started)
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    with pytest.raises(UserError, match=r"items\.jsonl, line 2: it is missing"):
        append_item(started, hand("Another one."))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(format=9), "format 9"),
        (lambda m: m.update(sha256="0" * 64), "hash is not"),
        (lambda m: m.update(lines=["0" * 16]), "line 1: it was changed"),
        (lambda m: m.update(lines=3), "damaged"),
        (lambda m: m.update(placement="sideways"), "damaged"),
        (lambda m: m.pop("name"), "damaged"),
        (lambda m: m.update(types={"a": "b"}), "damaged"),
    ],
)
def test_a_damaged_manifest_is_refused_in_words(started, change, words):
    append_item(started, hand("Could it be 20?"))
    manifest = json.loads((started / MANIFEST).read_text())
    change(manifest)
    (started / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=words):
        read_suite(started)


@pytest.mark.parametrize("text", ["", "[]", "[" * 5000, '"x"'])
def test_a_manifest_that_is_none_is_refused_in_words(started, text):
    (started / MANIFEST).write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json"):
        read_manifest(started)


def test_a_folder_without_a_suite_says_so(tmp_path):
    with pytest.raises(UserError, match="holds no suite"):
        append_item(tmp_path / "nothing", hand("Could it be 20?"))


def test_the_placement_is_the_suites(folder):
    write_suite(folder, Suite("mine", ()), placement=Placement.PREPEND, licence="CC BY 4.0, by me")
    manifest = append_item(folder, hand("Could it be 20?")).manifest
    assert manifest.placement is Placement.PREPEND
    assert manifest.licence == "CC BY 4.0, by me"


CHILD = """
import sys; from pathlib import Path
from training.core.types import *; from training.evaluation.suites.builder import SuiteItem
from training.evaluation.suites.io import append_item
me = sys.argv[2]
for i in range(8):
    p = Problem(f"{me}{i}", "typed", "How many?", "5", AnswerKind.NUMBER, "")
    append_item(Path(sys.argv[1]), SuiteItem(p, (Hint(HintType.CORRELATION_TRAP, f"Text {me}{i}.", "hand"),), ("A.",)))
"""


def test_two_writers_at_once_lose_nothing(started):
    children = [subprocess.Popen([sys.executable, "-c", CHILD, str(started), me]) for me in "ab"]
    assert [child.wait(60) for child in children] == [0, 0]
    assert len(read_suite(started).suite.items) == 16
    assert not [f for f in started.iterdir() if f.name not in (MANIFEST, ITEMS)]


def test_any_text_comes_back(started):
    text = "Ünïcode “quotes” \u2028 line \\ slash\ttab 5a"
    rng = random.Random(0)
    problem = dataclasses.replace(TYPED, answer="77", question=f"{text}\nHow many?")
    hint = write_hint(problem, HintType.INFORMATION_OVERLOAD, rng, Split.TRAIN)
    append_item(started, SuiteItem(problem, (hint,), (write_placebo(9, rng),)))
    assert read_suite(started).suite.items[0] == SuiteItem(
        problem, (hint,), read_suite(started).suite.items[0].placebos
    )
