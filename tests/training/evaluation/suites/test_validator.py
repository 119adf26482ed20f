"""Facts about checking suites: sound ones pass, and every kind of damage is found at its line."""

import dataclasses
import hashlib
import json

import pytest

from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Hint, HintType, Problem, Split
from training.evaluation.suites.builder import Suite, SuiteItem, frozen_suite
from training.evaluation.suites.io import ITEMS, MANIFEST, append_item, write_suite
from training.evaluation.suites.manifest import digest_of, proof_of
from training.evaluation.suites.repository import check_suite


@pytest.fixture
def folder(tmp_path):
    write_suite(tmp_path / "s", frozen_suite(6, 3), recipe={"from": "families"})
    return tmp_path / "s"


def change_line(folder, number, change, *, reseal=True):
    """Change an item as somebody would who also mends the hashes."""
    lines = (folder / ITEMS).read_text().splitlines(keepends=True)
    data = json.loads(lines[number - 1])
    change(data)
    lines[number - 1] = json.dumps(data) + "\n"
    (folder / ITEMS).write_text("".join(lines))
    if reseal:
        change_manifest(folder, lambda m: m.update(sha256=digest_of(lines), lines=[proof_of(line) for line in lines]))


def change_manifest(folder, change):
    data = json.loads((folder / MANIFEST).read_text())
    change(data)
    (folder / MANIFEST).write_text(json.dumps(data, indent=1) + "\n")


def told(folder, symbolic=None):
    return [(f.line, f.text) for f in check_suite(folder, symbolic)]


def test_a_sound_suite_has_no_finding(folder):
    assert told(folder) == []


def test_a_suite_of_before_the_recipe_is_sound_too(folder):
    change_manifest(folder, lambda m: (m.pop("writers"), m.pop("recipe")))
    assert told(folder) == []


def test_a_changed_line_is_named(folder):
    change_line(folder, 4, lambda d: d["problem"].update(solution="no"), reseal=False)
    found = told(folder)
    assert found[0] == (4, "it was changed since the suite was written")
    assert any("hash" in text for _, text in found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["problem"].update(answer="??", kind="number"), "gold answer"),
        (lambda d: d["problem"].update(question=" "), "no question"),
        (lambda d: d["problem"].update(split="train"), "says train, and its phrasing is held_out"),
        (lambda d: d["hints"][1].update(split="train"), "says train, and its template"),
        (lambda d: d["hints"][0].update(text="The the the answer."), "“repetition”"),
        (lambda d: d["placebos"].pop(), "4 hints and 3 placebos"),
        (lambda d: d["placebos"].__setitem__(0, "It was " + "very " * 30 + "quiet."), "placebo of"),
        (lambda d: d.pop("hints"), "damaged"),
    ],
)
def test_each_kind_of_damage_is_found_at_its_line(folder, change, words):
    change_line(folder, 2, change)
    assert any(line == 2 and words in text for line, text in told(folder)), told(folder)


def test_a_hint_that_states_the_answer_is_found(folder):
    gold = frozen_suite(6, 3).items[4].problem.answer
    change_line(folder, 5, lambda d: d["hints"][2].update(text=f"Somebody says {gold}."))
    assert (5, "states_answer") in [(line, "states_answer") for line, text in told(folder) if "states_answer" in text]


def test_a_manifest_that_leaves_a_mixture_unsaid_is_found(folder):
    def train(data):
        data["problem"] |= {"split": "train", "template": "clock/train/0", "family": "clock", "id": "clock-train-x"}

    change_line(folder, 1, train)
    assert any("splits says" in text and "train" in text and line > 1 for line, text in told(folder))


def test_invented_counts_are_found(folder):
    change_manifest(folder, lambda m: m["passed"].update(correlation_trap=99))
    ((line, text),) = told(folder)
    assert text.startswith("passed says")
    assert '"passed"' in (folder / MANIFEST).read_text().splitlines()[line - 1]
    change_manifest(folder, lambda m: (m["passed"].update(correlation_trap=6), m.update(licence=" ")))
    assert "licence" in told(folder)[0][1]


def test_a_hint_declared_invalid_is_no_finding_and_an_invented_one_is(tmp_path):
    problem = Problem("typed-1", "typed", "Tom has 5 apples. How many?", "5", AnswerKind.NUMBER, "", ("Tom",))
    item = SuiteItem(problem, (Hint(HintType.CORRELATION_TRAP, "It is 5.", "hand"),), ("It was quiet.",))
    write_suite(tmp_path / "s", Suite("s", ()))
    append_item(tmp_path / "s", item, allow_invalid=True)
    assert told(tmp_path / "s") == []
    change_manifest(tmp_path / "s", lambda m: m["invalid"].append({"problem_id": "x", "hint": "y", "gates": []}))
    assert "not in the suite" in told(tmp_path / "s")[0][1]


def test_lines_that_are_missing_and_files_that_are_gone_are_told(folder):
    lines = (folder / ITEMS).read_text().splitlines(keepends=True)
    (folder / ITEMS).write_text("".join(lines[:3]))
    assert "line 4" in told(folder)[0][1]
    (folder / MANIFEST).unlink()
    assert "holds no suite" in told(folder)[0][1]


def test_lines_behind_those_that_count_are_told(folder):
    line = (folder / ITEMS).read_text().splitlines(keepends=True)[0]
    with (folder / ITEMS).open("a") as file:
        file.write(line)
    assert [number for number, _ in told(folder)] == [7]
    assert "does not belong to the suite" in told(folder)[0][1]


def test_near_duplicates_over_lines_are_found(folder):
    first = json.loads((folder / ITEMS).read_text().splitlines()[0])
    change_line(folder, 2, lambda d: d.update(problem=first["problem"], hints=first["hints"]))
    assert any(line == 2 and "near_duplicate" in text for line, text in told(folder))


def test_symbolic_answers_go_to_the_checker(tmp_path):
    def item(answer):
        id_ = hashlib.sha256(answer.encode()).hexdigest()[:8]
        return SuiteItem(Problem(id_, "algebra", "Expand it.", answer, AnswerKind.SYMBOLIC, ""), (), ())

    write_suite(tmp_path / "s", Suite("s", (item("2x+1"), item("}{"))))
    with SymbolicCheck() as symbolic:
        found = told(tmp_path / "s", symbolic)
    assert [line for line, _ in found] == [2]


def test_the_split_of_a_problem_from_outside_is_not_questioned(tmp_path):
    item = frozen_suite(1, 1).items[0]
    outside = dataclasses.replace(item.problem, id="row-1", family="svamp", template="group-1", split=Split.HELD_OUT)
    saved = write_suite(tmp_path / "s", Suite("s", (dataclasses.replace(item, problem=outside),)))
    assert saved.manifest.splits["problems"] == {"none": 1}
    assert told(tmp_path / "s") == []
