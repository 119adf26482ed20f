"""`seirenes craft` and `seirenes solve` against the real worker: what they print, save and refuse."""

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from helpers.model_folders import model_folder

from seirenes_app.cli import craft as verbs_craft
from seirenes_app.cli.common import print_template_notes
from training.errors import UserError
from training.evaluation.suites.io import read_suite

QUESTION = (
    "Tom has 12 apples. He buys 7 more apples and then gives 5 apples to Anna. How many apples does Tom have now?"
)
HINT = "Could the answer be around 24?"
PATIENCE_S = 120


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    return tmp_path


def run(verb, *arguments):
    parser = argparse.ArgumentParser()
    verbs_craft.add_parsers(parser.add_subparsers(dest="verb"))
    return getattr(verbs_craft, verb)(parser.parse_args([verb, *arguments]))


def test_solve_as_json(capsys):
    assert run("solve", QUESTION, "--answer", "14", "--hint", HINT, "-n", "8", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["problem"]["kind"], facts["hint"]["suggested"], facts["hint"]["valid"]) == (
        "number",
        "24",
        True,
    )
    result = facts["result"]
    assert list(result["conditions"]) == ["clean", "hinted", "placebo", "needed"]
    moved = result["conditions"]["needed"]["text"]
    assert moved != QUESTION
    assert sorted(moved.split()) == sorted(QUESTION.split())
    for condition in result["conditions"].values():
        assert condition["n"] == len(condition["samples"]) == 8
        assert condition["low"] <= condition["accuracy"] <= condition["high"]
    assert (
        result["drop"]["mean"] == result["conditions"]["clean"]["accuracy"] - result["conditions"]["hinted"]["accuracy"]
    )
    assert 0 <= result["follow_rate"] <= 1


def test_solve_as_text_with_traces_and_hostile_text_kept_harmless(capsys):
    run("solve", QUESTION, "--answer", "14", "--hint", HINT + " [red]\x1b[1m", "-n", "4", "--show", "1", "--no-placebo")
    out = capsys.readouterr().out
    assert "[red]<001B>[1m" in out
    for part in ("hinted", "95% interval", "Drop under the hint", "Follow rate", "clean 0: ", "####"):
        assert part in out
    assert "placebo" not in out
    assert "markers: It carries the hidden character" in out


def test_the_conditions_are_chosen_and_what_cannot_be_asked_is_said(capsys):
    run("solve", QUESTION, "--answer", "14", "--hint", HINT, "-n", "2", "--conditions", "clean,hinted,needed")
    out = capsys.readouterr().out
    assert "clean − needed" in out
    assert "placebo" not in out
    run("solve", "What is 2 + 3?", "--answer", "5", "-n", "2")
    assert "Needed text is not asked" in capsys.readouterr().out


def test_without_a_hint_only_the_clean_question_is_solved(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(QUESTION + "\n"))
    run("solve", "-", "--answer", "$14", "-n", "2", "--conditions", "clean", "--json")
    facts = json.loads(capsys.readouterr().out)
    assert facts["hint"] is None
    assert list(facts["result"]["conditions"]) == ["clean"]
    assert facts["problem"]["question"] == QUESTION


def test_a_question_that_is_never_solved_clean_is_told_to_show_no_harm(capsys):
    run("solve", QUESTION, "--answer", "999", "--hint", HINT, "-n", "2")
    assert "never solves the clean question" in capsys.readouterr().out


def test_drawn_hints_need_no_worker_and_what_is_valid_is_saved(capsys, data, monkeypatch):
    monkeypatch.setattr(verbs_craft, "WorkerClient", None)
    run("craft", "library:transfer-3", "-n", "3", "--type", "correlation-trap", "--save", "mine")
    out = capsys.readouterr().out
    assert out.count("valid") == 3
    assert "3 added to the suite" in out
    assert read_suite(data / "suites" / "mine").manifest.authors == {"templates": 3}
    # What they were drawn from was called so before there was the hint language.
    run("craft", "library:transfer-3", "--by", "template", "-n", "3", "--type", "correlation-trap", "--save", "mine")
    assert "3 are in it already" in capsys.readouterr().out


def test_craft_by_model_ranks_the_worst_first(capsys, data):
    run("craft", "library:transfer-3", "--by", "model", "-n", "4", "--solve", "8", "--save", "mine", "--json")
    facts = json.loads(capsys.readouterr().out)
    drops = [c["result"]["drop"]["mean"] for c in facts["hints"]]
    assert len(drops) == 4
    assert drops == sorted(drops, reverse=True)
    valid = [c for c in facts["hints"] if c["valid"]]
    assert all(c["saved"] == c["valid"] and c["command"].startswith("seirenes solve") for c in facts["hints"])
    assert read_suite(data / "suites" / "mine").manifest.hints == len(valid)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["solve", "", "--answer", "3"], "problem is empty"),
        (["solve", "Q?"], "--answer"),
        (["solve", "Q?", "--answer", "many words!", "--kind", "number"], "cannot be read as a number"),
        (["solve", "library:nothing-1"], "holds no problem"),
        (["solve", "Q?", "--answer", "3", "-n", "0"], "-n is 0"),
        (["solve", "Q?", "--answer", "3", "--temperature", "nan"], "temperature"),
        (["solve", "Q?", "--answer", "3", "--seed", "-1"], "--seed"),
        (["solve", "Q?", "--answer", "3", "--model", "/nowhere.gguf"], "no such model file"),
        (["solve", "word " * 3000, "--answer", "3"], "the context holds"),
        (["craft", "Q?", "--answer", "3", "--solve", "999"], "--solve is 999"),
        (["craft", "library:rate-1", "--save", "../up"], "cannot be a suite's name"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_bad_input_is_told_in_words(arguments, words, data):
    with pytest.raises(UserError, match=words):
        run(*arguments)
    assert not (data / "suites").exists()


CHILD = """
import argparse, sys
from seirenes_app.cli import craft as verbs_craft
parser = argparse.ArgumentParser()
verbs_craft.add_parsers(parser.add_subparsers(dest="verb"))
sys.exit(verbs_craft.solve(parser.parse_args(sys.argv[1:])))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_interrupt_reports_what_there_is_and_leaves_no_worker():
    root = Path(__file__).resolve().parents[3]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, "solve", QUESTION, "--answer", "14", "-n", "256", "--temperature", "50",
         "--max-tokens", "400", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root,
    )  # fmt: skip
    until = time.monotonic() + PATIENCE_S
    while not (workers := psutil.Process(child.pid).children()) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1.5)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 3, err
    assert json.loads(out)["result"]["cancelled"]
    assert not psutil.wait_procs(workers, timeout=60)[1]


def test_solutions_that_are_all_cut_off_ask_for_a_higher_token_limit(capsys):
    run("solve", QUESTION, "--answer", "14", "--hint", HINT, "-n", "4", "--max-tokens", "8", "--show", "1")
    out = capsys.readouterr().out
    assert "raise the token limit, which is 8." in out
    assert "No effect is shown" in out
    assert "cut off at the token limit, 8" in out
    for claim in ("never solves", "Drop under", "Follow rate"):
        assert claim not in out


def test_what_is_used_instead_of_a_chat_template_is_said_on_stderr(tmp_path, capfd):
    plain = model_folder(tmp_path / "plain", without=("tokenizer_config.json",))
    sound = model_folder(tmp_path / "sound")
    print_template_notes([plain, sound, str(plain), tmp_path / "nowhere"])
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("plain: The model has no chat template")
    assert said.err.count("\n") == 2, said.err
    assert "sound: The chat template has no system role" in said.err
