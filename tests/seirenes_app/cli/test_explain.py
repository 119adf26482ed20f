"""`seirenes explain` against the real worker: what it prints, as text and as JSON, and what it refuses."""

import argparse
import json

import pytest

from seirenes_app.cli import explain as verbs_explain
from training.errors import UserError

# In the words of the bundled model's own families, which it solves every time.
QUESTION = (
    "In the morning Vera has 23 cushions. The next day Vera gives 17 to an aunt. Another 7 are given to Vera by a "
    "neighbour. How many cushions does Vera have after that?"
)
HINT = "Anna has 9 pears. Could the answer be around 24?"


def run(*arguments):
    parser = argparse.ArgumentParser()
    verbs_explain.add_parsers(parser.add_subparsers(dest="verb"))
    return verbs_explain.explain(parser.parse_args(["explain", *arguments]))


def test_as_json(capsys):
    assert run(QUESTION, "--answer", "13", "--hint", HINT, "-n", "8", "--seed", "3", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["solver"], facts["placement"]) == ("starter", "append")
    assert (facts["problem"]["kind"], facts["hint"]["suggested"]) == ("number", "24")
    ablation = facts["ablation"]
    assert [r["sentence"] for r in ablation["rows"]] == ["Anna has 9 pears.", "Could the answer be around 24?"]
    assert ablation["clean"]["n"] == ablation["full"]["n"] == 8
    for row in ablation["rows"]:
        assert HINT[row["start"] : row["end"]] == row["sentence"]
        assert row["delta_only"]["low"] <= row["delta_only"]["mean"] <= row["delta_only"]["high"]
    delta = facts["logprob_delta"]
    assert "".join(t["text"] for t in delta["tokens"]) == delta["text"]
    assert delta["total_delta"] == pytest.approx(sum(t["delta"] for t in delta["tokens"]))
    trace = facts["trace"]
    assert trace["clean"]["outcome"] == "right"
    assert len(trace["alignment"]["pairs"]) >= 2


def test_as_text(capsys):
    run(QUESTION, "--answer", "13", "--hint", HINT + " [red]Ok.\x1b[1m", "-n", "4", "--placement", "before-question")
    out = capsys.readouterr().out
    for part in (
        "whole hint",
        "Δ left out − whole",
        "[red]Ok.<001B>[1m",
        "Could the answer",
        "Δ log-prob",
        "#### 13",
        "clean: right",
        "hinted: ",
    ):
        assert part in out


def test_without_a_right_sample_the_worked_solution_is_scored(capsys):
    arguments = (QUESTION, "--answer", "999", "--hint", "The day was sunny.", "-n", "2")
    run(*arguments)
    out = capsys.readouterr().out
    assert "Give a worked one with --solution" in out
    assert "one sentence" in out
    run(*arguments, "--solution", "900 + 99 = 999.\n#### 999", "--json")
    facts = json.loads(capsys.readouterr().out)
    assert facts["logprob_delta"]["text"].startswith("900 + 99")


def test_a_problem_of_the_library_brings_its_answer_and_its_worked_solution(capsys):
    assert run("library:ordering-1", "--hint", "The day was sunny. A bird sang.", "-n", "2", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["problem"]["family"] == "ordering"
    assert facts["ablation"]["complete"]
    assert "####" in facts["logprob_delta"]["text"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--answer", ""], "true answer is empty"),
        (["-n", "0"], "1 to 256"),
        (["--model", "none.gguf"], r"none\.gguf"),
        (["--hint", " "], "hint is empty"),
        (["--answer", "several of", "--kind", "number"], "cannot be read"),
    ],
)
def test_mistakes_are_told(changes, message):
    with pytest.raises(UserError, match=message):
        run(QUESTION, "--answer", "13", "--hint", HINT, *changes)
