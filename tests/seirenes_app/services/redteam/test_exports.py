"""A campaign's result for other programs."""

import json

import pytest

from seirenes_app.services.redteam import exports
from seirenes_app.services.redteam.exports import ExportKind
from training.archive_file import read_archive
from training.core.gates import check_hint
from training.core.types import Split
from training.errors import UserError
from training.evaluation.suites.io import read_suite
from training.evaluation.suites.repository import check_suite
from training.rollouts.reader import Cancelled
from training.runs.config import RunConfig, load_config
from training.runs.paths import new_run


def test_a_suite_opens_and_is_sound(found, tmp_path, monkeypatch):
    paths, _, result = found
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    done = exports.export_campaign(paths, ExportKind.SUITE, "from the campaign")
    saved = read_suite(done.path)
    assert not check_suite(done.path)
    assert saved.manifest.recipe["campaign"] == paths.run_id
    assert done.rows == sum(len(item.hints) for item in saved.suite.items) >= result.weaknesses[0].n


def test_sarif_has_what_its_schema_requires(found, tmp_path):
    """The required properties of sarifLog, run, tool, toolComponent, reportingDescriptor, result, message and
    invocation in the schema of 2.1.0, and its closed sets."""
    paths, _, result = found
    done = exports.export_campaign(paths, ExportKind.SARIF, str(tmp_path / "out.sarif"))
    log = json.loads(done.path.read_text())
    assert log["version"] == "2.1.0"
    assert "sarif" in log["$schema"]
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    assert all(rule["id"] for rule in driver["rules"])
    assert all(isinstance(i["executionSuccessful"], bool) for i in run["invocations"])
    assert len(run["results"]) == len(result.weaknesses) > 0
    for one in run["results"]:
        assert one["message"]["text"]
        assert one["level"] in ("none", "note", "warning", "error")
        assert driver["rules"][one["ruleIndex"]]["id"] == one["ruleId"]
        assert 0 <= one["rank"] <= 100
        assert all(isinstance(value, str) for value in one["partialFingerprints"].values())
        assert one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert all(n["message"]["text"] for i in run["invocations"] for n in i["toolExecutionNotifications"])


def test_rows_and_traces_hold_every_answer_of_the_confirmed(found, tmp_path):
    paths, _, result = found
    rows = exports.export_campaign(paths, ExportKind.JSONL, str(tmp_path / "rows.jsonl"))
    first = json.loads(rows.path.read_text().splitlines()[0])
    assert rows.rows == 3 * sum(w.n for w in result.weaknesses)
    assert {"question", "condition", "completion", "outcome", "recipe"} <= first.keys()
    traces = exports.export_campaign(paths, ExportKind.VERIFIERS, str(tmp_path / "traces.jsonl"))
    trace = json.loads(traces.path.read_text().splitlines()[0])
    assert traces.rows == rows.rows
    assert trace["nodes"][1]["parent"] == 0
    assert trace["nodes"][1]["sampled"]
    assert trace["rewards"]["right"]["score"] in (0.0, 1.0)


def test_tasks_of_lm_eval_are_written(found, tmp_path):
    done = exports.export_campaign(found[0], ExportKind.LM_EVAL, str(tmp_path / "tasks"))
    assert len(list(done.path.glob("*.yaml"))) > 2
    assert (done.path / "data" / "clean.jsonl").is_file()


def test_a_file_that_is_there_is_replaced_only_when_asked(found, tmp_path):
    out = str(tmp_path / "rows.jsonl")
    exports.export_campaign(found[0], ExportKind.JSONL, out)
    with pytest.raises(UserError, match="--force"):
        exports.export_campaign(found[0], ExportKind.JSONL, out)
    assert exports.export_campaign(found[0], ExportKind.JSONL, out, force=True).rows


@pytest.mark.parametrize("kind", [ExportKind.JSONL, ExportKind.VERIFIERS, ExportKind.LM_EVAL, ExportKind.ARCHIVE])
def test_an_export_says_how_far_it_is_and_leaves_nothing_when_it_is_cancelled(found, tmp_path, kind):
    paths, _, result = found
    hints, seen = sum(len(w.hints) for w in result.weaknesses), []
    exports.export_campaign(paths, kind, str(tmp_path / "a.jsonl"), progress=lambda *at: seen.append(at))
    assert seen == sorted(seen)
    assert seen[-1] == (hints, hints)
    looked = iter(range(2))
    with pytest.raises(Cancelled):
        exports.export_campaign(paths, kind, str(tmp_path / "b.jsonl"), cancelled=lambda: next(looked, None) is None)
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_suite_that_is_cancelled_is_not_among_the_suites(found, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    with pytest.raises(Cancelled):
        exports.export_campaign(found[0], ExportKind.SUITE, "mine", cancelled=lambda: True)
    assert not list(tmp_path.rglob("manifest.json"))


def test_an_archive_has_valid_hints_of_training_problems_alone(found, tmp_path):
    paths, _, result = found
    done = exports.export_campaign(paths, ExportKind.ARCHIVE, str(tmp_path / "hints.jsonl"))
    hints = read_archive(done.path)
    tested = {row.problem.id for w in result.tested for row in w.hints}
    assert len(hints) == done.rows > 0
    assert all(h.problem.split is Split.TRAIN and h.problem.id not in tested for h in hints)
    assert all(check_hint(h.text, h.problem).passed for h in hints)


def test_an_archive_for_a_run_is_what_the_run_begins_with(found, tmp_path):
    run = new_run(tmp_path / "runs", RunConfig())
    done = exports.export_campaign(found[0], ExportKind.ARCHIVE, str(run.root))
    assert load_config(run.config).curriculum.archive == str(done.path)
    assert run.root in done.path.parents


def test_an_inspect_log_is_read_back_by_inspect(found, tmp_path):
    log_module = pytest.importorskip("inspect_ai.log")
    paths, _, result = found
    done = exports.export_campaign(paths, ExportKind.INSPECT, str(tmp_path / "campaign.eval"))
    log = log_module.read_eval_log(str(done.path))
    assert log.status == "success"
    assert len(log.samples) == done.rows == 3 * sum(w.n for w in result.weaknesses)


def test_without_inspect_its_log_is_refused_with_a_remedy(found, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(UserError, match="pip install inspect_ai"):
        exports.export_campaign(found[0], ExportKind.INSPECT, str(tmp_path / "campaign.eval"))
