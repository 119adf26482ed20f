"""Facts about `seirenes traces`: what it finds, what it prints, what it refuses."""

import argparse
import json
import shutil

import pytest
from helpers.rollout_runs import make_run, make_step
from rich.console import Console

from seirenes_app.cli import traces as verbs_traces
from training.errors import UserError
from training.resources import resources_folder
from training.rollouts.database import RolloutWriter


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path))
    return make_run(tmp_path)


def call(*arguments):
    parser = argparse.ArgumentParser()
    verbs_traces.add_parsers(parser.add_subparsers(dest="verb"))
    return verbs_traces.traces(parser.parse_args(["traces", *arguments]))


def asked(capsys, *arguments):
    assert call(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_filters_narrow_and_limits_cut(run, capsys):
    every = asked(capsys, "r")
    assert (every["run"], every["count"], len(every["rows"])) == ("r", 72, 20)
    found = asked(
        capsys,
        str(run.root),
        "--flips",
        "--step",
        "2-3",
        "--role",
        "reasoner",
        "--sort",
        "tokens",
        "--reverse",
        "--limit",
        "3",
    )
    assert {r["flip"] for r in found["rows"]} <= {"harmful", "helpful"}
    assert {r["step"] for r in found["rows"]} <= {2, 3}
    assert [r["tokens"] for r in found["rows"]] == sorted((r["tokens"] for r in found["rows"]), reverse=True)
    assert len(found["rows"]) == 3 < found["count"]
    assert (
        asked(capsys, "r", "--gate", "passed", "--type", "correlation_trap", "--type", "semantic_misleading")["count"]
        > 0
    )
    assert asked(capsys, "r", "--follows")["count"] + asked(capsys, "r", "--no-follows")["count"] < 72
    assert asked(capsys, "r", "--search", '"how many" table')["count"] > 0
    assert asked(capsys, "r", "--search", '"" OR ( NEAR')["count"] == 0


def test_a_table_is_printed_and_nothing_found_is_said(run, capsys, monkeypatch):
    monkeypatch.setattr(verbs_traces, "OUT", Console(width=100))
    call("r", "--flip", "harmful")
    assert "R3" in (printed := capsys.readouterr().out)
    assert "(harmful)" in printed
    call("r", "--search", "zebra")
    assert "No rollout" in capsys.readouterr().out


def test_a_pair_is_shown_side_by_side(run, capsys, monkeypatch):
    monkeypatch.setattr(verbs_traces, "OUT", Console(width=120))
    id_ = asked(capsys, "r", "--flip", "harmful")["rows"][0]["id"]
    pair = asked(capsys, "r", "--pair", str(id_))
    assert pair["hinted"]["id"] == id_
    assert pair["compared"] in [r["id"] for r in pair["clean"]]
    assert pair["divergence"] is not None
    call("r", "--pair", str(id_))
    printed = capsys.readouterr().out
    assert "Question" in printed
    assert f"id {id_}" in printed
    assert "≠" in printed
    for other in ("1", "3", "17"):
        assert call("r", "--pair", other) == 0
    with pytest.raises(UserError, match="ids go from 1 to 72"):
        call("r", "--pair", "99999")


def test_model_text_cannot_steer_the_terminal(run, capsys):
    writer = RolloutWriter(run.rollouts)
    from dataclasses import replace

    writer.add_step(
        [
            replace(r, step=9, completion="\x1b[2J[red]x[/] \u202e#### 1", hint=r.hint and "\x1b]0;t\x07")
            for r in make_step(9)
        ]
    )
    writer.close()
    call("r", "--step", "9")
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    for id_ in range(73, 91):
        call("r", "--pair", str(id_))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[red]" in shown


def test_an_export_says_what_it_wrote(run, tmp_path, capsys):
    file = tmp_path / "out.jsonl"
    found = asked(capsys, "r", "--flips", "--export", str(file))
    assert found["rows"] == len(file.read_text(encoding="utf-8").splitlines()) > 0
    assert asked(capsys, "r", "--export", str(file), "--limit", "5")["rows"] == 5
    with pytest.raises(UserError, match="parquet"):
        call("r", "--export", str(tmp_path / "out.csv"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--step", "three"], "not a step"), (["--step", "5-2"], "2-5"), (["--family", "chnage"], "change"),
        (["--gate", "nope"], "states_answer"), (["--limit", "0"], "at least 1"),
    ],
)  # fmt: skip
def test_mistakes_are_found_with_what_to_write(run, arguments, said):
    with pytest.raises(UserError, match=said):
        call("r", *arguments)


def test_the_recorded_run_is_found_by_its_name(tmp_path, monkeypatch, capsys):
    prompts = resources_folder() / "prompts"
    monkeypatch.setenv("SEIRENES_RESOURCES", str(tmp_path))
    monkeypatch.chdir(tmp_path / "..")
    with pytest.raises(UserError, match="recorded run is not there"):
        call("recorded")
    shutil.copytree(prompts, tmp_path / "prompts")
    make_run(tmp_path, run_id="recorded")
    assert asked(capsys, "recorded")["run"] == "recorded"
