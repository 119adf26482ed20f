"""Facts about a run on families of reasoning-gym, with the bundled model, which cannot solve them."""

import pytest
from helpers.interrupted_runs import make_run

from seirenes_app.cli.main import main
from seirenes_app.services.hint_authoring.problems import as_problem
from seirenes_app.services.traces import row_problem
from training.core import gym
from training.core.types import AnswerKind
from training.evaluation.suites.sources import read_run_hints
from training.problem_files import kept_problems, make_problems, run_problems
from training.rollouts.reader import RolloutQuery, RolloutReader
from training.runner import run_directory
from training.runs.config import load_config
from training.runs.control import CommandKind, send_command

pytestmark = pytest.mark.skipif(not gym.installed(), reason="reasoning-gym is not installed")
FAMILIES = ("gym:lcm", "gym:syllogism")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    paths = make_run(
        tmp_path_factory.mktemp("gym"), "r", f"data.families={','.join(FAMILIES)}", "data.pool=12", "mode=random",
        "steps=2", "rollout.questions=6", "evaluation.every=0", "checkpoint.every=2",
    )  # fmt: skip
    assert run_directory(paths.root) == "finished"
    return paths


@pytest.fixture
def rows(run):
    reader = RolloutReader(run.rollouts)
    try:
        return reader.rows(reader.ids(RolloutQuery()))
    finally:
        reader.close()


def test_its_rollouts_are_graded_and_name_their_family(rows):
    assert {r["family"] for r in rows} == set(FAMILIES)
    assert {r["outcome"] for r in rows if r["stage"] == "r1_clean"} <= {
        "right",
        "wrong",
        "unparsable",
        "ambiguous",
        "truncated",
    }


def test_a_trace_becomes_a_problem_of_craft_with_its_choices(rows):
    row = next(r for r in rows if r["family"] == "gym:syllogism")
    problem = as_problem(row_problem(row, "r"))
    assert (problem.kind, problem.options) == (AnswerKind.CHOICE, ("Yes", "No"))


def test_it_keeps_its_problems_and_needs_the_package_no_more(run, monkeypatch):
    kept = kept_problems(run.problems)
    assert kept == make_problems(load_config(run.config).data)
    monkeypatch.setattr("training.core.problems.installed", lambda: False)
    assert run_problems(load_config(run.config).data, run.problems) == kept
    assert {hint.problem.family for hint in read_run_hints(run, lambda row, run_id: None).hints} <= set(FAMILIES)


def test_a_run_can_be_stopped_while_its_problems_are_made(tmp_path):
    paths = make_run(tmp_path, "r", "data.families=gym:lcm", "data.pool=3000", "steps=2")
    send_command(paths, CommandKind.STOP)
    assert run_directory(paths.root, commands_from=0) == "stopped"
    assert not paths.problems.exists()
    assert not list(paths.checkpoints.glob("step_*"))


def test_its_traces_are_listed_without_the_package(run, monkeypatch, capsys):
    monkeypatch.setattr(gym, "installed", lambda: False)
    assert main(["traces", str(run.root), "--family", "gym:syllogism"]) == 0
    assert "rollouts. Compare one" in capsys.readouterr().out
