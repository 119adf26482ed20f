"""A run, a suite, an evaluation and a workspace of version 0.1 open unchanged. `data/v0.1/README.md` says what they are."""

import copy
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from helpers.evals import verify
from helpers.robust_runs import SKILL, evaluate_step

from seirenes_app.services.hint_authoring.draft import from_json
from seirenes_app.services.hint_authoring.results import result_from_json
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.sources import open_run_store
from seirenes_app.services.robustness.types import TraceRef
from seirenes_app.store.settings import Settings
from seirenes_app.store.workspace import CraftStore, RunMark, Workspace
from training.core.types import Condition
from training.evaluation.eval_dir import EvalDir
from training.evaluation.run_store import run_eval_dir
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.suites.io import read_suite
from training.evaluation.suites.manifest import separation
from training.evaluation.v01_rows import import_rows, needs_import
from training.rollouts.reader import RolloutQuery, RolloutReader
from training.runs.config import load_config, to_dict
from training.runs.events import EventTail
from training.runs.paths import RunPaths
from training.runs.status import RunState, reduce

DATA = Path(__file__).parent / "data" / "v0.1"
FIGURES = json.loads((DATA / "figures.json").read_text(encoding="utf-8"))
ROW_TABLES = (
    "SELECT * FROM rows ORDER BY target, condition, item, idx",
    "SELECT target, condition, start, data FROM cells",
)
RENAMED = {"prompt_style": "prompts"}  # Keys of configurations that have another name today
EXACT = {"abs": 1e-9, "rel": 1e-9}


@pytest.fixture
def v01(tmp_path, monkeypatch):
    """A copy that may be written to; the user's cache is there as well."""
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    return Path(shutil.copytree(DATA, tmp_path / "v0.1"))


def _check_robustness(root: Path, expected) -> None:
    source, expected = ResultSource(root), copy.deepcopy(expected)
    assert ["answer reader" in text for text in source.warnings] == [True], "graded by the reader of that version"
    assert [t.key for t in source.tracks] == list(expected)
    for track in source.tracks:
        known = expected[track.key]
        assert (track.suite, track.suite_hash, track.problems) == (
            known["suite"],
            known["suite_hash"],
            known["problems"],
        )
        assert [*track.targets, *track.steps] == [*known["targets"], *known["steps"]]
        assert track.asking == known["asking"]
        for measured in source.measured(track):
            figures = known["figures"][measured.target]
            assert set(figures) == set(measured.figures)
            for name, (mean, low, high, problems, rows, p) in figures.items():
                found = measured.figures[name]
                interval = (found.value.mean, found.value.low, found.value.high)
                assert interval == pytest.approx((mean, low, high), **EXACT), name
                assert (found.problems, found.rows) == (problems, rows)
                assert found.p_value == (None if p is None else pytest.approx(p, **EXACT)), name
        trend = source.trend(track)
        for key, (mean, low, high, p, problems) in known["changes"].items():
            change = trend.changes[key]
            found = (change.difference.mean, change.difference.low, change.difference.high, change.p_value)
            assert found == pytest.approx((mean, low, high, p), **EXACT)
            assert change.problems == problems
        for place, rows in known["traces"].items():
            target, condition = place.rsplit("/", 1)
            traces = source.traces(TraceRef(root.resolve(), target, track.suite, Condition(condition)))
            # Version 0.1 kept no text of a run's placebos; the suite knows them.
            texts = [row.pop(5) or trace.hint for row, trace in zip(rows, traces, strict=True)]
            assert texts == [t.hint for t in traces]
            assert [
                [t.problem_id, t.family, t.index, t.hint_type, t.question, t.gold, t.completion, t.outcome, t.follows,
                 t.truncated]
                for t in traces
            ] == rows  # fmt: skip


def test_v01_run_opens(v01):
    expected, root = FIGURES["run"], v01 / "run"
    state = RunState()
    for event in EventTail(root / "events.jsonl").poll():
        state = reduce(state, event)
    assert (state.status, state.step, state.steps) == (expected["status"], expected["step"], expected["steps"])
    assert [[e.step, e.suite, e.suite_hash, e.metrics] for e in state.evals] == expected["evals"]
    config = to_dict(load_config(root / "config.json"))
    for section, value in expected["config"].items():
        known = (
            config[section] if not isinstance(value, dict) else {k: config[section][RENAMED.get(k, k)] for k in value}
        )
        assert known == value
    reader = RolloutReader(root / "rollouts.db")
    ids = reader.ids(RolloutQuery())
    names = ("step", "stage", "problem_id", "outcome", "hint_type", "completion")
    assert [len(ids), [[row[n] for n in names] for row in reader.rows(ids)]] == expected["rollouts"]
    reader.close()
    _check_robustness(root, expected["robustness"])


def _stored(rows_db: Path):
    with sqlite3.connect(rows_db) as db:
        return [db.execute(query).fetchall() for query in ROW_TABLES]


def test_v01_rows_are_imported_once_whole_and_without_loss(v01):
    run, into = RunPaths(v01 / "run"), EvalDir(v01 / "imported")
    files = sorted((run.root / "evaluations").glob("*.jsonl"))
    before = [file.read_bytes() for file in files]
    assert needs_import(run, into)
    assert import_rows(run, into) == {}
    assert not needs_import(run, into)
    assert verify(into.rows) == ()
    assert [file.read_bytes() for file in files] == before
    with StoreReader(into.rows) as reader:
        traces = list(reader.all_traces())
    old = {
        (step, row["problem_id"], row["condition"], row["index"]): row
        for step, text in enumerate(before)
        for row in map(json.loads, text.splitlines())
    }
    assert len(traces) == len(old)
    for t in traces:
        row = old[int(t.row.key.target.removeprefix("step ")), t.problem.id, t.row.key.condition, t.row.key.index]
        assert (row["completion"], row["outcome"], row["truncated"], row["follows"], row["family"]) == (
            t.row.completion, t.row.outcome, t.row.truncated, t.row.follows, t.problem.family,
        )  # fmt: skip
        assert row["hint_type"] == (t.prompt.hint_type or "")
        assert row["hint"] in ("", t.prompt.text)
    kept = _stored(into.rows)
    assert import_rows(run, into) == {}
    assert _stored(into.rows) == kept


def test_an_interrupted_v01_import_goes_on(v01, tmp_path):
    run, into, whole = RunPaths(v01 / "run"), EvalDir(v01 / "imported"), EvalDir(v01 / "whole")
    import_rows(run, whole)
    last = run.root / "evaluations" / "step_000003.jsonl"
    away = last.rename(tmp_path / last.name)
    import_rows(run, into)
    away.rename(last)
    assert needs_import(run, into)
    import_rows(run, into)
    assert _stored(into.rows) == _stored(whole.rows)


def test_a_v01_step_that_is_evaluated_again_is_not_imported_over_it(v01):
    run = RunPaths(v01 / "run")
    import_rows(run, run_eval_dir(run))
    evaluate_step(run, frozen_suite(12, 2605), 3, SKILL[20])
    kept = _stored(run_eval_dir(run).rows)
    (run.evaluations / "step_000003.jsonl").touch()
    assert import_rows(run, run_eval_dir(run)) == {}
    assert _stored(run_eval_dir(run).rows) == kept


def test_a_v01_run_that_cannot_be_written_is_imported_into_the_cache(v01):
    run = RunPaths(v01 / "run")
    # A store that cannot be opened for writing, which holds for the administrator too.
    run_eval_dir(run).rows.mkdir()
    store, broken = open_run_store(run)
    assert broken == {}
    assert v01.parent / "data" / "cache" in store.root.parents
    _check_robustness(run.root, FIGURES["run"]["robustness"])


def test_v01_evaluation_opens(v01):
    root = v01 / "evaluation"
    _check_robustness(root, FIGURES["evaluation"]["robustness"])
    assert ResultSource(root).source.evaluation.status == FIGURES["evaluation"]["status"]


def test_v01_suite_opens(v01):
    expected, saved = FIGURES["suite"], read_suite(v01 / "suite")
    assert (saved.suite.digest(), saved.manifest.sha256) == (expected["digest"], expected["sha256"])
    assert separation(saved.manifest)
    assert [
        [i.problem.id, i.problem.question, i.problem.answer, [[h.type, h.text, h.template, h.suggested] for h in i.hints],
         list(i.placebos)]
        for i in saved.suite.items
    ] == expected["items"]  # fmt: skip


def test_v01_workspace_opens(v01):
    workspace = Workspace(v01 / "workspace.db")
    store = CraftStore(workspace)
    assert [(d.id, d.title) for d in store.drafts()] == [
        ("ba9876543210", "A shelf holds 3 rows of 4 jars. How many jars?"), ("0123456789ab", "Tom's apples"),
    ]  # fmt: skip
    draft = json.loads(store.load("0123456789ab"))
    read = from_json(store.load("0123456789ab"))
    assert read.problem.question == draft["problem"]["question"]
    hints = [[h.id, h.text, h.type, h.origin, h.author, h.suggested] for h in read.hints]
    assert hints == FIGURES["workspace"]["candidates"]
    result = result_from_json(store.result("0123456789ab", "key-of-the-result"))
    known = FIGURES["workspace"]["result"]
    assert [result.drop.mean, result.drop.low, result.drop.high] == known["drop"]
    assert result.follow_rate == known["follow_rate"]
    assert workspace.marks() == {"run": RunMark(True, "a note: naïve ✓")}
    workspace.close()
    settings = Settings.load(v01 / "settings.json")
    assert (settings.theme, settings.last_page, settings.last_run, settings.detach) == (
        "dark",
        "robustness",
        "run",
        False,
    )
