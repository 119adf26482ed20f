"""Facts about `seirenes study` that need no process: what it makes, lists, plans, shows and refuses."""

import json
from dataclasses import replace

import pytest
from helpers.studies import DEFINITION, SERVED, define, measured_study

from seirenes_app.cli.main import main
from seirenes_app.services.study.definition import BestResponse, list_studies
from training.runs.files import write_whole


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))
    return tmp_path


def call(capsys, *arguments, code=0):
    assert main(["study", *map(str, arguments)]) == code
    return capsys.readouterr()


def test_a_new_study_is_listed_and_its_plan_says_how_long_it_takes(folder, capsys):
    write_whole(folder / "my.toml", DEFINITION)
    assert "No study yet" in call(capsys).out
    made = call(capsys, "new", folder / "my.toml", "--seeds", "3,4", "--set", "update.kl=0.01", "--problems", "8").out
    assert "3 variants × 2 seeds, 400 rollouts each" in made
    assert json.loads(call(capsys, "list", "--json").out)[0]["status"] == "not started"
    plan = call(capsys, "run", "my", "--dry-run").out
    assert "training static, seed 4" in plan
    assert "hours" in plan
    assert "Nothing is measured yet." in call(capsys, "show", "my").out
    assert "my is not running" in call(capsys, "stop", "my").out
    (paths,) = list_studies(folder / "studies")
    assert json.loads(paths.config.read_text())["base"]["update"]["kl"] == 0.01


def test_a_plan_shows_no_time_of_a_server_that_has_not_been_used(folder, capsys):
    write_whole(folder / "my.toml", SERVED)
    call(capsys, "new", folder / "my.toml")
    plan = call(capsys, "run", "my", "--dry-run").out
    assert "depends on the server" in plan
    assert "hours" not in plan
    found = json.loads(call(capsys, "run", "my", "--dry-run", "--json").out)
    assert found["seconds_left"] is None
    assert {p["kind"] for p in found["parts"] if p["seconds"] is None} == {"run"}


def test_a_measured_study_is_shown_as_tables_words_json_and_csv(folder, capsys):
    measured_study(folder, replace(define(folder, seeds=(0, 1)), response=BestResponse(100)))
    shown = call(capsys, "show", "made", "--by-seed", "--all", "--parts", "--csv", folder / "f.csv").out
    for text in ("Under best response", "Every seed, at equal rollouts", "Goals that were set before", "2 seeds of 2"):
        assert text in shown
    assert (folder / "f.csv").read_text().count(",exploitability,") == 11
    found = json.loads(call(capsys, "show", "made", "--json").out)
    assert {g["status"] for g in found["goals"]} <= {"met", "not met", "not decided"}
    assert all({"mean", "low", "high", "seeds", "problems", "unread"} <= set(f) for f in found["figures"])


def test_seeds_can_be_added(folder, capsys):
    write_whole(folder / "my.toml", DEFINITION)
    call(capsys, "new", folder / "my.toml", "--seeds", "0")
    assert "3 variants × 3 seeds" in call(capsys, "extend", "my", "--seeds", "1,2").out
    assert json.loads(call(capsys, "extend", "my", "--seeds", "3", "--json").out)["seeds"] == [0, 1, 2, 3]
    assert json.loads(
        call(capsys, "new", folder / "my.toml", "--response-rollouts", "50", "--responses", "2", "--json").out
    )
    assert "2 best responses of 50 rollouts to each" in call(capsys, "show", "my-2").out
    assert json.loads(call(capsys, "extend", "my-2", "--responses", "3", "--json").out)["responses"] == 3
    assert json.loads(call(capsys, "extend", "my", "--rollouts", "1600", "--json").out)["rollouts"] == 1600
    assert "has seed 3 already" in call(capsys, "extend", "my", "--seeds", "3", code=2).err
    with pytest.raises(SystemExit):
        call(capsys, "extend", "my", "--seeds", "three")
    assert "whole numbers" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("show", "nosuch"), ("new", "nosuch"), ("run", "nosuch"), ("stop", "nosuch")])
def test_a_name_that_is_not_there_says_what_is(folder, capsys, arguments):
    assert "nosuch" in call(capsys, *arguments, code=2).err


def test_a_report_of_a_study_has_its_words_and_main_measures(folder, capsys):
    measured_study(folder, replace(define(folder, seeds=(0,)), response=BestResponse(100)))
    assert main(["report", "made"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "One seed says nothing of other seeds" in shown
    assert "a stronger one may find more" in shown
    assert main(["report", "made", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sources"] == []
    assert found["studies"][0]["results"]["variants"] == ["seirenes", "static", "random"]
    assert main(["report", "nosuch"]) == 2
