"""`seirenes explain` against the real worker: what it prints, as text and as JSON, and what it refuses."""

import argparse
import json

import pytest

from seirenes_app import verbs_explain
from seirenes_app.verbs_explain import kind_of
from training.core.types import AnswerKind
from training.errors import UserError

QUESTION = (
    "Tom has 12 apples. He buys 7 more apples and then gives 5 apples to Anna. How many apples does Tom have now?"
)
HINT = "Anna has 9 pears. Could the answer be around 24?"


def run(*arguments):
    parser = argparse.ArgumentParser()
    verbs_explain.add_parsers(parser.add_subparsers(dest="verb"))
    return verbs_explain.explain(parser.parse_args(["explain", *arguments]))


def test_as_json(capsys):
    assert run(QUESTION, "--answer", "14", "--hint", HINT, "-n", "8", "--seed", "3", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["kind"], told["suggests"], told["placement"]) == ("starter", "number", "24", "append")
    ablation = told["ablation"]
    assert [r["sentence"] for r in ablation["rows"]] == ["Anna has 9 pears.", "Could the answer be around 24?"]
    assert ablation["clean"]["n"] == ablation["full"]["n"] == 8
    for row in ablation["rows"]:
        assert HINT[row["start"] : row["end"]] == row["sentence"]
        assert row["delta_only"]["low"] <= row["delta_only"]["mean"] <= row["delta_only"]["high"]
    heat = told["heat"]
    assert "".join(t["text"] for t in heat["tokens"]) == heat["text"]
    assert heat["total_delta"] == pytest.approx(sum(t["delta"] for t in heat["tokens"]))
    trace = told["trace"]
    assert trace["clean"]["outcome"] == "right"
    assert len(trace["alignment"]["pairs"]) >= 2


def test_as_text(capsys):
    run(QUESTION, "--answer", "14", "--hint", HINT, "-n", "4", "--placement", "before_question")
    out = capsys.readouterr().out
    for part in (
        "whole hint",
        "Δ to whole hint",
        "Could the answer",
        "Δ log-prob",
        "#### 14",
        "clean (",
        "hinted (",
    ):
        assert part in out


def test_without_a_right_sample_the_worked_solution_is_scored(capsys):
    arguments = (QUESTION, "--answer", "999", "--hint", "The day was sunny.", "-n", "2")
    run(*arguments)
    out = capsys.readouterr().out
    assert "Give a worked one with --solution" in out
    assert "one sentence" in out
    run(*arguments, "--solution", "900 + 99 = 999.\n#### 999", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["heat"]["text"].startswith("900 + 99")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--answer", ""], "true answer is empty"),
        (["-n", "0"], "1 to 256"),
        (["--model", "none.gguf"], r"none\.gguf"),
        (["--hint", " "], "no sentence"),
        (["--answer", "seven of", "--kind", "number"], "cannot be read"),
    ],
)
def test_mistakes_are_told(changes, message):
    with pytest.raises(UserError, match=message):
        run(QUESTION, "--answer", "14", "--hint", HINT, *changes)


def test_the_kind_of_an_answer():
    kinds = [kind_of(a) for a in ("14", "$1,200", "3/4", "7:45", "Friday", "\\frac{1}{2}", "2x + 1")]
    assert kinds == [AnswerKind.NUMBER] * 3 + [AnswerKind.CLOCK, AnswerKind.CHOICE] + [AnswerKind.SYMBOLIC] * 2
