"""Facts about `seirenes grade` and `seirenes gate`: one text, many, and lines that cannot be used."""

import json
import os

import pytest

from seirenes_app.cli.main import build_parser
from training.errors import UserError

QUESTION = "Tom has 5 apples and buys 7 more. How many apples does Tom have now?"


def run(verb, *arguments):
    options = build_parser(verb).parse_args([verb, *map(str, arguments)])
    return options.run_verb(options)


def printed(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_completion_is_graded_with_its_tier_and_reader(capsys):
    assert run("grade", "So Tom has **12 apples**.", "--answer", "12", "--json") == 0
    (found,) = printed(capsys)
    assert (found["outcome"], found["value"], found["tier"]) == ("right", "12", "result")
    assert run("grade", "#### 12 or 13", "--answer", "12") == 0
    assert capsys.readouterr().out.startswith("Ambiguous.")


def test_a_batch_gives_one_object_a_line_in_order(tmp_path, capsys):
    batch = tmp_path / "b.jsonl"
    rows = [{"text": "#### 12", "gold": "12", "kind": "number"}, {"text": "no idea", "gold": 12},
            {"text": r"\boxed{\frac{x}{2}}", "gold": "0.5x", "kind": "symbolic"}]  # fmt: skip
    batch.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("grade", "--batch", batch, "--json") == 0
    assert [found["outcome"] for found in printed(capsys)] == ["right", "unparsable", "right"]


def test_a_hint_is_checked_with_the_gate_and_the_reason(tmp_path, capsys):
    assert run("gate", "The answer is 12.", "--question", QUESTION, "--answer", "12", "--json") == 0
    (found,) = printed(capsys)
    assert not found["passed"]
    assert found["gate"] == "states_answer"
    assert found["tier"] == "rule"
    assert "12" in found["reason"]
    batch = tmp_path / "h.jsonl"
    batch.write_text(
        json.dumps({"question": QUESTION, "gold": "12", "kind": "number", "hint": "A bus passes by."}) + "\n"
    )
    assert run("gate", "--batch", batch, "--json") == 0
    assert printed(capsys) == [{"passed": True, "gate": None, "tier": None, "reason": ""}]


def test_a_line_that_cannot_be_used_is_named_and_the_others_are_graded(tmp_path, capsys):
    batch = tmp_path / "b.jsonl"
    batch.write_text('{"text": "#### 3", "gold": "3"}\nnot json\n[1]\n{"text": "3"}\n{"text": "3", "gold": "many"}\n')
    assert run("grade", "--batch", batch, "--json") == 2
    found = printed(capsys)
    assert found[0]["outcome"] == "right"
    assert [f"line {n}" in f["error"] for n, f in enumerate(found[1:], 2)] == [True] * 4


def test_a_named_pipe_and_a_link_to_itself_are_refused(tmp_path):
    pipe, loop = tmp_path / "pipe.jsonl", tmp_path / "loop.jsonl"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    for place, words in ((pipe, "named pipe"), (loop, "Cannot read"), (tmp_path, "Cannot read")):
        with pytest.raises(UserError, match=words):
            run("gate", "--batch", place)


def test_the_reason_names_what_a_hint_claims(capsys):
    assert run("gate", "Tom eats 2 of the apples.", "--question", QUESTION, "--answer", "12") == 0
    shown = capsys.readouterr().out
    assert "adds_fact (structure)" in shown
    assert "“Tom eats 2 of the apples”" in shown


def test_nothing_to_grade_and_a_missing_file_are_refused():
    with pytest.raises(UserError, match="--answer"):
        run("grade", "12")
    with pytest.raises(UserError, match="Cannot read"):
        run("gate", "--batch", "/no/such/file.jsonl")
