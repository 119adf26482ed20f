"""Facts about `seirenes suite`: what it makes, says, exports and finds wrong."""

import argparse
import json

import pytest

from seirenes_app.cli import suite as verbs_suite
from training.errors import UserError
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.suites.io import ITEMS


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))
    return tmp_path / "data"


def call(*arguments):
    parser = argparse.ArgumentParser()
    verbs_suite.add_parsers(parser.add_subparsers(dest="verb"))
    return verbs_suite.suite(parser.parse_args(["suite", *map(str, arguments)]))


def asked(capsys, *arguments):
    assert call(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_make_list_show_and_verify_agree(capsys):
    made = asked(capsys, "make", "mine", "--from", "families", "--problems", 8, "--seed", 5)
    assert made["digest"] == frozen_suite(8, 5).digest()
    assert made["gates"]["tried"] == 32 + sum(made["gates"]["refused"].values())
    (listed,) = asked(capsys, "list")
    shown = asked(capsys, "show", "mine")
    assert shown["sha256"] == listed["sha256"] == made["sha256"]
    assert asked(capsys, "verify", "mine")["sound"]
    call("list")
    call("show", "mine", "--items", 1)
    printed = " ".join(capsys.readouterr().out.split())
    assert "held out / held out" in printed
    assert "which training never sees" in printed
    assert "placebo:" in printed


def test_types_families_and_split_are_heeded(capsys):
    made = asked(capsys, "make", "t", "--from", "families", "--problems", 6, "--types", "correlation-trap,semantic_misleading",
                 "--families", "clock", "rate", "--split", "train", "--placement", "prepend", "--licence", "CC0")  # fmt: skip
    assert set(made["types"]) == {"correlation_trap", "semantic_misleading"}
    assert set(made["families"]) == {"clock", "rate"}
    assert made["splits"] == {"problems": {"train": 6}, "hints": {"train": 12}}
    assert (made["placement"], made["licence"]) == ("prepend", "CC0")


def test_drawn_hints_are_asked_for_by_the_name_of_the_language_or_the_older_one(capsys):
    both = [
        asked(capsys, "make", name, "--from", "families", "--problems", 3, "--hints", who, option, "train")
        for name, who, option in (("a", "language", "--forms"), ("b", "templates", "--templates"))
    ]
    assert both[0]["digest"] == both[1]["digest"]
    assert both[0]["splits"]["hints"] == {"train": 12}
    assert "12 drawn in" in (call("show", "a"), capsys.readouterr().out)[1]


def test_a_model_writes_hints(capsys):
    made = asked(capsys, "make", "m", "--from", "families", "--problems", 2, "--hints", "model", "starter",
                 "--types", "information_overload", "semantic_misleading")  # fmt: skip
    assert made["problems"] == 2
    assert sum(made["authors"].values()) + sum(made["gates"]["without"].values()) == 4
    again = asked(capsys, "make", "m2", "--from", "families", "--problems", 2, "--hints", "model", "starter",
                  "--types", "information_overload", "semantic_misleading")  # fmt: skip
    assert again["digest"] == made["digest"]


def test_the_recorded_run_gives_a_suite(capsys):
    made = asked(capsys, "make", "r", "--from", "run", "recorded", "--problems", 10)
    assert (made["problems"], made["splits"]["problems"]) == (10, {"train": 10})
    assert asked(capsys, "verify", "r")["sound"]


def test_verify_ends_with_2_and_names_the_line(capsys, data):
    call("make", "mine", "--from", "families", "--problems", 4)
    file = data / "suites" / "mine" / ITEMS
    lines = file.read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace('"answer": "', '"answer": "\\u001b[31m', 1)
    file.write_text("".join(lines))
    capsys.readouterr()
    assert call("verify", "mine") == 2
    told = capsys.readouterr().err
    assert f"{file}, line 3: it was changed" in told
    assert "\x1b" not in told
    assert call("verify", "mine", "--json") == 2
    assert json.loads(capsys.readouterr().out)["findings"][0]["line"] == 3


def test_exports_are_counted_and_say_how_to_go_on(capsys, tmp_path):
    call("make", "mine", "--from", "families", "--problems", 3)
    rows = asked(capsys.readouterr() and capsys, "export", "mine", "--to", "jsonl", "-o", tmp_path / "rows")
    assert rows["rows"] == {"clean.jsonl": 3, "hinted.jsonl": 12, "placebo.jsonl": 12, "needed.jsonl": 3}
    tasks = asked(capsys, "export", "mine", "--to", "lm-eval", "-o", tmp_path / "tasks")
    assert (tasks["group"], tasks["left_out"], len(tasks["rows"])) == ("seirenes_mine", 0, 7)
    call("export", "mine", "--to", "lm-eval", "-o", tmp_path / "tasks", "--force", "--style", "instruct")
    assert "--tasks seirenes_mine" in capsys.readouterr().out
    assert "system turn" in (tmp_path / "tasks" / "README.md").read_text()


def test_an_exported_set_of_rows_is_a_problem_set_again(capsys, tmp_path):
    call("make", "mine", "--from", "families", "--problems", 5, "--families", "clock", "change")
    call("export", "mine", "--to", "jsonl", "-o", tmp_path / "rows")
    capsys.readouterr()
    again = asked(capsys, "make", "again", "--from", "problems", tmp_path / "rows" / "clean.jsonl")
    assert again["problems"] == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["make", "x", "--from", "thin air"], "families, problems, run, draft"),
        (["make", "x", "--from", "families", "--hints", "model"], "model GGUF"),
        (["make", "x", "--from", "families", "--hints", "model", "nowhere.gguf"], "no such model file"),
        (["make", "x", "--from", "families", "--types", "lies"], "no type 'lies'"),
        (["make", "x", "--from", "families", "--problems", "0"], "at least 1"),
        (["make", "x", "--from", "families", "--seed", "-1"], "--seed"),
        (["make", "x", "--from", "run", "nobody"], "No run"),
        (["make", "x", "--from", "draft", "zzz"], "No draft"),
        (["show", "x"], "No suite"),
        (["verify", "x"], "No suite"),
    ],
)
def test_mistakes_are_told_with_what_to_write(arguments, words):
    with pytest.raises(UserError, match=words):
        call(*arguments)


def test_a_name_that_is_taken_is_refused(capsys):
    call("make", "mine", "--from", "families", "--problems", 2)
    with pytest.raises(UserError, match="already"):
        call("make", "mine", "--from", "families", "--problems", 2)


def test_delete_moves_a_suite_to_the_trash(capsys):
    assert call("make", "gone", "--from", "families", "--problems", "2") == 0
    assert call("delete", "gone") == 0
    assert "trash" in capsys.readouterr().out
    assert call("list") == 0
    assert "No suites" in capsys.readouterr().out
