"""`seirenes eval` and `seirenes crossplay` as a person calls them, on the bundled model."""

import argparse
import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys

import psutil
import pytest
from helpers.evals import fill, small_plan
from helpers.openai_server import FakeServer

from seirenes_app.cli import evaluate as verbs_eval
from seirenes_app.inference.models import bundled_model
from seirenes_app.services.evaluation_estimate import estimate_plan
from seirenes_app.services.evaluations import EvaluationRepository, plan_crossplay
from training.core.types import Condition
from training.endpoints import Endpoint, Price, save_endpoint
from training.errors import UserError
from training.evaluation.plan import TargetKind
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.suites.io import write_suite
from training.prompt_files import COMPACT, built_in
from training.runs.config import RunConfig
from training.runs.paths import new_run
from training.runs.processes import child_environment


def parse(*arguments):
    parser = argparse.ArgumentParser()
    verbs_eval.add_parsers(parser.add_subparsers(dest="verb"))
    return parser.parse_args([str(a) for a in arguments])


def call(*arguments):
    options = parse(*arguments)
    return getattr(verbs_eval, options.verb)(options)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def gguf():
    try:
        return bundled_model()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture
def run(tmp_path, gguf):
    paths = new_run(tmp_path / "runs", RunConfig(), "r")
    for step in (0, 20):
        shutil.copytree(gguf.parent, paths.checkpoints / f"step_{step:06d}")
    return paths


# ---------------------------------------------------------------------- whole calls


def test_a_gguf_is_evaluated_and_printed(gguf, tmp_path, capsys):
    assert call("eval", gguf, "--problems", 3, "--rows", tmp_path / "rows.jsonl") == 0
    printed = capsys.readouterr()
    out = printed.out
    assert "About 30 completions" in printed.err
    assert "guessed from the model's size" in printed.err
    assert "near 50% will be known to" in printed.err
    for words in ("clean", "correlation trap", "all 4 hints", "all 4 placebos", "gap, points"):
        assert words in out
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 3 * 10
    assert {r["condition"] for r in rows} == set(Condition)
    (found,) = EvaluationRepository().list_evaluations()
    assert found.state.status == "finished"
    (pace,) = found.state.paces.values()
    assert pace.rows == 30
    assert "measured in an earlier evaluation" in estimate_plan(found.plan, [found]).basis
    assert call("eval", "--list", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["evaluation"], listed["status"], listed["rows"]) == (found.paths.run_id, "finished", 30)
    assert call("eval", "--resume", found.paths.run_id, "--json") == 0
    assert json.loads(capsys.readouterr().out)["evaluation"] == found.paths.run_id


def test_the_starter_in_json_has_the_fields_of_old(capsys):
    assert call("eval", "starter", "--problems", 2, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    suite = frozen_suite(2, 2605)
    assert (found["model"], found["suite"], found["suite_hash"]) == ("starter", suite.name, suite.digest())
    assert (found["problems"], found["hints_from"], found["writing"], found["status"]) == (2, None, None, "finished")
    assert found["metrics"]["clean"]["n"] == 2
    assert set(found["metrics"]["by_type"]) == {h.type for h in suite.items[0].hints}
    assert {"gap", "worst_of_k", "flips", "follow_rate", "unparsable_rate"} <= set(found["metrics"])


def test_crossplay_prints_the_matrix_and_what_it_says(run, capsys):
    assert call("crossplay", "r", "--steps", "0,20", "--problems", 2, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["reasoners"], found["writers"]) == (["r@0", "r@20"], ["r@0", "r@20"])
    assert all(len(row) == 2 for row in found["cells"])
    assert found["writing"]["r@0"]["gate_pass_rate"] > 0
    assert found["progress"]["difference"]["mean"] == 0.0
    (listed,) = EvaluationRepository().list_evaluations()
    verbs_eval._show_matrix(listed.paths, listed.plan, listed.state.status, False)
    out = capsys.readouterr().out
    for words in ("@0", "@20", "own hints", "passed the gates", "Highest row mean"):
        assert words in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_keeps_what_is_done_and_says_how_to_go_on(gguf, tmp_path, number):
    script = "import sys; from seirenes_app.cli import evaluate as v; import argparse; " \
             "p = argparse.ArgumentParser(); v.add_parsers(p.add_subparsers(dest='verb')); " \
             "sys.exit(v.eval(p.parse_args(sys.argv[1:])))"  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, "-c", script, "eval", str(gguf), "--problems", "200", "--samples", "2", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_environment(),
    )  # fmt: skip
    library = EvaluationRepository()
    while not (found := library.list_evaluations()) or not (found[0].state and found[0].state.done_chunks):
        assert child.poll() is None
    child.send_signal(number)
    out, err = child.communicate(timeout=300)
    assert child.returncode == 3
    assert f"seirenes eval --resume {found[0].paths.run_id}" in " ".join(err.split())
    assert json.loads(out)["status"] == "stopped"
    assert json.loads(out)["metrics"]["clean"]["n"] > 0


def test_detached_it_returns_and_can_be_stopped(gguf, capsys):
    assert call("eval", gguf, "--problems", 300, "--samples", 2, "--detach", "--json") == 0
    started = json.loads(capsys.readouterr().out)
    assert started["pid"] > 0
    # At once: it has not even begun, and must not go on when it has.
    assert call("eval", "--stop", started["evaluation"]) == 0
    assert "--resume" in capsys.readouterr().out
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(started["pid"]).wait(120)
    (found,) = EvaluationRepository().list_evaluations()
    assert found.state.status == "stopped"


def test_several_targets_are_one_table_with_the_change(tmp_path, capsys):
    plan = small_plan(problems=8, targets=("before", "after"))
    paths = fill(tmp_path, plan, lambda key, p: p.answer if key.target == "after" or key.item % 2 else "9")
    verbs_eval._show(paths, plan, "finished", False)
    out = capsys.readouterr().out
    assert "after against before" in out
    assert "+50 [" in out


# ---------------------------------------------------------------------- names, suites, refusals


def test_a_persons_names_become_targets(run, gguf, tmp_path):
    plan = verbs_eval._plan(parse("eval", "r", "r@0", "starter", gguf, gguf.parent, "--problems", 2))
    assert [(t.name, t.kind) for t in plan.targets] == [
        ("r@20", TargetKind.TORCH), ("r@0", TargetKind.TORCH), ("starter", TargetKind.TORCH),
        (gguf.name, TargetKind.GGUF), ("starter (2)", TargetKind.TORCH),
    ]  # fmt: skip
    assert {t.prompts for t in plan.targets} == {built_in(COMPACT)}
    every = verbs_eval._plan(parse("eval", "r@all", "--problems", 2, "--prompt-style", "instruct"))
    assert [(t.step, t.prompts.name) for t in every.targets] == [(0, "cautious"), (20, "cautious")]
    assert verbs_eval._plan(parse("eval", "r", "--step", 0, "--problems", 2)).targets[0].step == 0


def test_the_run_that_ships_is_called_as_by_the_other_verbs():
    plan = verbs_eval._plan(parse("eval", "recorded@all", "--problems", 2))
    assert {t.run for t in plan.targets} == {"recorded"}
    assert len(plan.targets) >= 2
    assert verbs_eval._plan(parse("eval", "recorded@0", "--problems", 2)).targets == plan.targets[:1]


def test_a_saved_suite_by_name_or_folder(tmp_path):
    write_suite(tmp_path / "data" / "suites" / "mine", frozen_suite(4, 9))
    for name in ("mine", tmp_path / "data" / "suites" / "mine"):
        plan = verbs_eval._plan(parse("eval", "starter", "--suite", name))
        assert (plan.suites[0].problems, plan.suites[0].digest) == (4, frozen_suite(4, 9).digest())
    both = verbs_eval._plan(parse("eval", "starter", "--suite", "mine", "--suite", "frozen", "--problems", 3))
    assert [(s.name, s.problems) for s in both.suites] == [("frozen2-9-4", 3), ("frozen2-2605-3", 3)]
    with pytest.raises(UserError, match="twice"):
        verbs_eval._plan(parse("eval", "starter", "--suite", "mine", "--suite", "mine"))
    with pytest.raises(UserError, match="No suite 'other'"):
        verbs_eval._plan(parse("eval", "starter", "--suite", "other"))


def test_hints_from_a_model_are_written_by_it(run):
    plan = verbs_eval._plan(parse("eval", "starter", "--hints-from", "r@0", "--problems", 5))
    assert ([w.name for w in plan.writers], plan.suites[0].writer) == (["r@0"], "r@0")
    own = verbs_eval._plan(parse("eval", "starter", "--hints-from", "starter", "--problems", 5))
    assert (own.writers, own.suites[0].writer) == ((), "starter")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["eval"], "Nothing to evaluate"),
        (["eval", "nowhere"], "No run 'nowhere'"),
        (["eval", "r@x"], "a step or 'all'"),
        (["eval", "r@7"], "no checkpoint of step 7"),
        (["eval", "gone.gguf"], "gone.gguf"),
        (["eval", "starter", "--samples", "4", "--temperature", "0", "--problems", "1"], "temperature above 0"),
        (["eval", "starter", "--suite", "a", "--hints-from", "starter"], "exclude each other|No suite"),
        (["eval", "--resume", "nothing"], "No evaluation 'nothing'"),
        (["crossplay", "r", "--steps", "0"], "at least two"),
        (["crossplay", "r", "--steps", "0,9"], "no checkpoint of step 9"),
    ],
)
def test_what_cannot_be_done_is_said(run, arguments, words):
    with pytest.raises(UserError, match=words):
        call(*arguments)


@pytest.mark.parametrize("arguments", [["eval", "x", "--problems", "0"], ["eval", "x", "--conditions", "dirty"],
                                       ["crossplay", "r", "--steps", "a"]])  # fmt: skip
def test_options_that_cannot_be_read_are_refused_by_the_parser(arguments):
    with pytest.raises(SystemExit):
        parse(*arguments)


def test_a_folder_without_a_model_is_named_as_such(tmp_path):
    with pytest.raises(UserError, match="neither a Hugging Face model folder"):
        call("eval", tmp_path)


# ---------------------------------------------------------------------- grading again


def test_a_stored_evaluation_is_graded_again(capsys):
    paths = fill(EvaluationRepository().root, small_plan(problems=3), lambda key, problem: problem.answer)
    with sqlite3.connect(paths.rows) as db:
        db.execute("UPDATE rows SET outcome = 'unparsable', answer = ''")
    assert call("eval", "--regrade", paths.run_id) == 0
    out = capsys.readouterr().out
    assert "unreadable" in out
    assert "outcomes of" in out
    assert call("eval", "--regrade", paths.run_id, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {(line["before"], line["now"]) for line in found["outcomes"]} == {("right", "right")}
    with pytest.raises(UserError, match="No evaluation 'nothing'"):
        call("eval", "--regrade", "nothing")


# ---------------------------------------------------------------------- endpoints


@pytest.fixture
def far():
    """A saved endpoint with a price, and its server."""
    with FakeServer(say=lambda body: f"#### {len(body['messages'][-1]['content']) % 9}") as server:
        save_endpoint(Endpoint("far", server.address, "m", price=Price(1.0, 2.0), attempts=1))
        yield server


def test_an_endpoint_is_evaluated_with_what_it_takes_and_what_was_spent(far, capsys):
    assert call("eval", "endpoint:far", "--problems", 2, "--max-tokens", 64) == 0
    printed = capsys.readouterr()
    assert "Endpoints: 20 requests" in printed.err
    assert "far: 20 requests" in printed.out
    assert far.bills == 20
    assert call("eval", "endpoint:far", "--problems", 2, "--max-tokens", 64, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["spent"]["far"]["requests"], found["spent"]["far"]["cached"]) == (0, 20)
    assert (found["model"], found["notes"]) == ("endpoint:far", {})
    assert far.bills == 20


def test_much_is_asked_about_and_nothing_starts_before(far, monkeypatch):
    asked = ("eval", "endpoint:far", "--problems", 2, "--max-tokens", 100_000)
    with pytest.raises(UserError, match="--yes"):
        call(*asked)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda: "n")
    with pytest.raises(UserError, match="Nothing was started"):
        call(*asked)
    assert EvaluationRepository().list_evaluations() == []
    assert far.requests == []


def test_a_limit_ends_an_evaluation_and_a_higher_one_goes_on(far, capsys):
    assert call("eval", "endpoint:far", "--problems", 2, "--max-tokens", 64, "--max-requests", 5) == 2
    assert "budget is used up" in " ".join(capsys.readouterr().err.split())
    assert far.bills == 5
    (found,) = EvaluationRepository().list_evaluations()
    assert call("eval", "--resume", found.paths.run_id, "--max-requests", 20) == 0
    assert far.bills == 20
    with pytest.raises(UserError, match="--max-cost is -1"):
        call("eval", "endpoint:far", "--max-cost", -1)


def test_cross_play_takes_hints_of_other_models(run, far):
    options = parse("crossplay", "r", "--hints-from", "endpoint:far")
    plan = plan_crossplay(run, (0, 20), models=options.hints_from)
    assert [s.writer for s in plan.suites] == ["r@0", "r@20", "far"]
    assert [w.path for w in plan.writers] == ["endpoint:far"]
