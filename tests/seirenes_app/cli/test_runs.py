"""Facts about runs in the terminal: the list, names, tags and groups, presets."""

import json
from dataclasses import replace

import pytest

from seirenes_app.cli.main import main
from seirenes_app.cli.runs import _progress_line, _Warnings
from training.runs.config import RunConfig
from training.runs.events import Event, EventKind, EventLog
from training.runs.paths import new_run
from training.runs.status import RunState, RunStatus, reduce

LONG = "20261128-1204-" + "a-very-long-name-" * 7 + "end"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    for name in ("20261127-0900-demo", LONG):
        log = EventLog(new_run(tmp_path / "runs", RunConfig(steps=9), name).events)
        log.write(EventKind.LAUNCH, steps=9, mode="seirenes", model="starter", resumed_from=None)
        log.write(EventKind.STEP, step=9, metrics={"rollouts_total": 400.0})
        log.write(EventKind.DONE, outcome="finished", message="", error=None)
        log.close()


def listed(capsys):
    assert main(["runs", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_names_are_whole_in_a_pipe(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["runs"]) == 0
    assert LONG in capsys.readouterr().out


def test_a_run_is_renamed_tagged_and_grouped_by_the_beginning_of_its_id(capsys):
    assert main(["runs", "rename", "20261127", "First try"]) == 0
    assert main(["runs", "tag", "First", "ablation", "two words"]) == 0
    assert main(["runs", "group", "First try", "november"]) == 0
    run = next(r for r in listed(capsys) if r["run"] == "20261127-0900-demo")
    assert (run["name"], run["tags"], run["group"]) == ("First try", ["ablation", "two words"], "november")
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert "First try (20261127-0900-demo)" in out
    assert "november #ablation #two words" in out


def test_the_list_has_the_newest_first(capsys):
    assert [r["run"] for r in listed(capsys)] == [LONG, "20261127-0900-demo"]


def test_the_progress_of_a_run_that_is_stuck_says_so_and_promises_no_end(monkeypatch):
    monkeypatch.setattr(RunState, "eta_s", 60.0)
    state = RunState(steps=9, status=RunStatus.RUNNING, stage="r1_clean", stage_done=3, stage_total=12)
    line = _progress_line(state)
    assert line.doing == "solving clean questions"
    assert "left" in line.details
    warning = {"code": "stalled_stage", "message": "No progress for 61 s while sampling.", "alarm": "raised"}
    stuck = reduce(state, Event(1, 5.0, EventKind.WARNING, warning))
    line = _progress_line(stuck)
    assert line.doing == "no progress while solving clean questions, at 3 of 12"
    assert "left" not in line.details
    assert "left" not in _progress_line(replace(state, status=RunStatus.STALLED, silent_s=70.0)).details


def test_a_finished_run_is_resumed_only_where_something_is_left_to_train(capsys, tmp_path, monkeypatch):
    assert main(["resume", "20261127"]) == 2
    assert "is finished: 9 of 9 steps are done" in capsys.readouterr().err
    assert main(["resume", "20261127", "--set", "steps=20", "--set", "max_rollouts=400"]) == 2
    assert "400 rollouts are done. To train it longer, resume it with more: --set max_rollouts=800" in (
        capsys.readouterr().err
    )
    config = tmp_path / "runs" / "20261127-0900-demo" / "config.json"
    assert json.loads(config.read_text())["steps"] == 9
    launched = []
    monkeypatch.setattr("seirenes_app.cli.runs.continue_run", lambda paths: launched.append(paths.run_id) or 1)
    assert main(["resume", "20261127", "--set", "steps=20", "--detach"]) == 0
    assert (launched, json.loads(config.read_text())["steps"]) == (["20261127-0900-demo"], 20)


def test_presets_are_listed(capsys):
    assert main(["presets"]) == 0
    assert "demo: The bundled model against itself" in capsys.readouterr().out


SMALL = ["rollout.questions=2", "rollout.clean=2", "rollout.hints=2", "rollout.hinted=1", "rollout.max_hint_tokens=8",
         "rollout.max_solution_tokens=16", "evaluation.problems=4", "evaluation.max_new_tokens=8"]  # fmt: skip


def test_an_estimate_is_a_guess_until_two_steps_were_played_and_then_remembered(capsys):
    settings = [word for setting in SMALL for word in ("--set", setting)]
    assert main(["estimate", "quick", *settings]) == 0
    out = capsys.readouterr().out
    assert "8 steps" in out
    assert "guess" in out
    assert "--measure" in out
    assert main(["estimate", "quick", *settings, "--measure"]) == 0
    assert "Starting the trainer" in capsys.readouterr().err
    assert main(["estimate", "quick", *settings, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {part["basis"] for part in [*found["time"], *found["memory"]]} == {"measured"}
    assert sum(part["seconds"] for part in found["time"]) == pytest.approx(found["seconds"], abs=0.1)
    assert len(listed(capsys)) == 2


def test_the_queue_is_changed_and_started_from_the_terminal(capsys, monkeypatch):
    settings = [word for setting in [*SMALL, "steps=1", "model.threads=1"] for word in ("--set", setting)]
    for name in ("first", "second"):
        assert main(["queue", "add", "quick", "--set", f"name={name}", *settings]) == 0
    assert main(["queue", "add", "quick", "--set", "name=huge", "--set", "data.problems=/nowhere.jsonl"]) == 0
    assert main(["queue", "move", "2", "1"]) == 0
    capsys.readouterr()
    assert main(["queue", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in found["entries"]] == ["second", "first", "huge"]
    assert all(entry["seconds"] > 0 for entry in found["entries"])
    assert main(["queue", "remove", "9"]) == 2
    assert main(["queue", "remove", "2"]) == 0
    capsys.readouterr()
    # One is played, the other cannot be started and stays.
    assert main(["queue", "start"]) == 1
    said = capsys.readouterr()
    assert "huge waits: It could not be started" in said.err
    assert [run["status"] for run in listed(capsys) if "second" in run["run"]] == ["finished"]
    assert main(["queue"]) == 0
    out = capsys.readouterr().out
    assert "huge" in out
    assert "paused" in out


@pytest.fixture
def alarmed(tmp_path):
    paths = new_run(tmp_path / "runs", RunConfig(), "alarmed")
    log = EventLog(paths.events)
    log.write(EventKind.LAUNCH, steps=9, mode="seirenes", model="starter", resumed_from=None)
    log.write(EventKind.STEP, step=1, metrics={"truncated_rate": 0.4, "time/decode": 3.0, "time/gradient": 1.0})
    log.write(EventKind.WARNING, step=1, code="truncated", message="40% of the solutions are cut off by [the] limit.",
              remedy="Raise rollout.max_solution_tokens.", alarm="raised")  # fmt: skip
    log.write(EventKind.DONE, outcome="stopped", message="", error=None, time={"evaluation": 4.0})
    log.close()
    return paths


def test_a_run_is_shown_with_every_alarm_its_limit_and_where_the_time_went(alarmed, capsys):
    assert main(["runs", "show", "alarmed"]) == 0
    out = capsys.readouterr().out
    assert "Alarms: Cut-off solutions." in out
    assert "at most 5%" in out
    assert "! Raised at step 1" in out
    assert "cut off by [the] limit. Raise rollout.max_solution_tokens." in out
    assert "Time: 50% evaluation, 38% decode, 12% forward and backward" in out
    assert main(["runs", "show", "alarmed", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["time"] == {"decode": 3.0, "gradient": 1.0, "evaluation": 4.0}
    (line,) = [line for line in shown["health"] if line["raised"]]
    assert (line["code"], line["figure"], line["limit"]) == ("truncated", "40%", "at most 5%")


def test_the_list_counts_the_alarms_that_stand(alarmed, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["runs"]) == 0
    assert "stopped, 1 alarm" in capsys.readouterr().out
    assert {r["run"]: r["alarms"] for r in listed(capsys)}["alarmed"] == ["truncated"]


def test_a_followed_run_says_each_warning_once_and_that_it_is_fine_again(capsys):
    state = RunState()
    said = _Warnings()
    events = [
        ("launch", {"steps": 9}), ("warning", {"step": 1, "code": "gates", "message": "m.", "remedy": "r.", "alarm": "raised"}),
        ("heartbeat", {}), ("step", {"step": 5, "metrics": {}}), ("cleared", {"step": 5, "code": "gates"}),
    ]  # fmt: skip
    for seq, (kind, data) in enumerate(events):
        state = reduce(state, Event(seq, float(seq + 1), kind, data))
        said.say_new(state)
    assert capsys.readouterr().err.splitlines() == [
        "Warning at step 1: m. r.", "Fine again at step 5: Hints that pass the gates.",
    ]  # fmt: skip
