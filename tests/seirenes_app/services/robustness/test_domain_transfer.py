"""Facts about the transfer between domains: a matrix of runs and families."""

import csv
import io
import json
from dataclasses import replace

import pytest
from helpers.interrupted_runs import make_run
from helpers.robust_runs import SKILL, write_run

from seirenes_app.cli.main import main
from seirenes_app.services.report.document import make_report
from seirenes_app.services.report.html import report_html
from seirenes_app.services.robustness.comparison import compare_runs, transfer_of
from seirenes_app.services.robustness.domain_transfer import CONDITIONS, OTHER, TRAINED
from seirenes_app.services.robustness.result_source import ResultSource
from training.core.statistics import holm
from training.core.types import Condition
from training.evaluation.metrics import change_between
from training.runner import run_directory
from training.runs.config import DataConfig, RunConfig

ENDS = {0: SKILL[0], 20: SKILL[20]}


def trained_on(families, problems=""):
    return replace(RunConfig(), data=DataConfig(families=families, problems=problems))


def opened(root, families="all", skills=ENDS, count=40, **options):
    results = ResultSource(write_run(root, skills, problems=count, config=trained_on(families, **options)).root)
    return results, results.tracks[0]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    return [opened(root / "stories", "change,rate"), opened(root / "order", "ordering", {0: SKILL[0], 20: SKILL[0]})]


def test_a_cell_is_the_paired_change_on_the_problems_of_its_family(two):
    found, refused = transfer_of(two)
    assert not refused
    assert found.columns[:3] == ("calendar", "change", "clock")
    results, track = two[0]
    ends = [results.cells(track, f"step {n}") for n in (0, 20)]
    for place, family in enumerate(found.columns[:-2]):
        sides = [side.where(families=[family]) for side in ends]
        for condition in CONDITIONS:
            assert found.rows[0].cells[place].changes.get(condition) == change_between(*sides, condition)


def test_families_of_training_are_marked_and_taken_together_apart_from_the_others(two):
    found, _ = transfer_of(two)
    stories, order = found.rows
    assert [c.name for c in stories.cells if c.trained] == ["change", "rate", TRAINED]
    assert [c.name for c in order.cells if c.trained] == ["ordering", TRAINED]
    for row in found.rows:
        *families, mine, others = row.cells
        assert mine.problems == sum(c.problems for c in families if c.trained)
        assert mine.problems + others.problems == 40
    assert stories.cells[1].text(Condition.HINTED).startswith("◆ +")
    assert not order.cells[1].text(Condition.HINTED).startswith("◆")


def test_a_gain_is_found_on_both_sides_and_none_where_nothing_changed(two):
    found, _ = transfer_of(two)
    gained, same = found.rows
    assert all(cell.is_clear(Condition.HINTED) and cell.tone(Condition.HINTED) == "good" for cell in gained.cells[-2:])
    assert not any(cell.is_clear(condition) for cell in same.cells for condition in CONDITIONS)
    text = " ".join(found.sentences)
    assert "Stories, trained on change, rate, on trained families (" in text
    assert "beyond the placebo; more robust" in text
    assert "no change that the evidence could show" in text


def test_p_values_are_adjusted_for_the_cells_of_a_condition(two):
    found, _ = transfer_of(two)
    cells = [c for row in found.rows for c in row.cells[:-2] if Condition.HINTED in c.changes]
    raw = [c.changes[Condition.HINTED].p_value for c in cells]
    assert [c.adjusted[Condition.HINTED] for c in cells] == holm(raw)


def test_a_comparison_has_the_matrix_only_where_a_family_was_not_trained_on(two, tmp_path):
    assert compare_runs(two).transfer.columns[-2:] == (TRAINED, OTHER)
    everything = [opened(tmp_path / name, count=12) for name in "ab"]
    assert compare_runs(everything).transfer is None
    found, _ = transfer_of(everything)
    assert found.rows[0].cells[-1].text(Condition.HINTED) == "–"


def test_a_run_on_a_file_of_problems_has_no_families_of_its_own(tmp_path):
    found, _ = transfer_of([opened(tmp_path / "file", count=12, problems="svamp.jsonl")])
    (row,) = found.rows
    assert row.trained_on == "problems of a file"
    assert {c.trained for c in row.cells[:-2]} == {None}
    assert "no family can be called its own" in found.sentences[0]


def test_the_report_prints_the_matrix_of_each_condition(two):
    html = report_html(make_report([results for results, _ in two]))
    assert "Transfer between domains" in html
    assert all(f"Change of {condition} accuracy" in html for condition in CONDITIONS)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Two runs of two steps with the bundled model, evaluated before and after."""
    root = tmp_path_factory.mktemp("real")
    short = ["steps=2", "checkpoint.every=2", "evaluation.every=2", "evaluation.problems=20", "rollout.questions=4",
             "data.pool=8"]  # fmt: skip
    runs = [make_run(root, name, *short, f"data.families={name}") for name in ("change", "rate")]
    assert [run_directory(paths.root) for paths in runs] == ["finished", "finished"]
    return [str(paths.root) for paths in runs]


def test_the_command_prints_two_real_runs_and_writes_every_cell(real, tmp_path, capsys):
    assert main(["domains", *real, "--csv", str(tmp_path / "cells.csv")]) == 0
    shown = capsys.readouterr().out
    assert "Change of needed accuracy, in points" in shown
    assert "◆" in shown
    rows = list(csv.DictReader(io.StringIO((tmp_path / "cells.csv").read_text())))
    assert {r["trained on"] for r in rows} == {"change", "rate"}
    assert {r["family"] for r in rows if r["trained"] == "True"} == {"change", "rate", TRAINED}
    assert main(["domains", *real, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [row["families"] for row in facts["rows"]] == [["change"], ["rate"]]


def test_a_run_with_one_checkpoint_is_refused_with_what_to_do(tmp_path, capsys):
    run = write_run(tmp_path / "one", {0: SKILL[0]})
    assert main(["domains", str(run.root)]) == 2
    assert "seirenes eval" in capsys.readouterr().err
