"""Facts about the view of what the Adversary learned: the recorded run and runs without hints, through the page."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import shutil

import pytest
from PySide6.QtWidgets import QAbstractButton

from seirenes_app.store.resources import recorded_run
from seirenes_app.ui.pages.robustness.page import View
from training.core.prompts import TYPE_LABELS
from training.rollouts.database import RolloutWriter
from training.rollouts.reader import Cancelled
from training.runs.paths import RunPaths


@pytest.fixture
def recorded(tmp_path):
    folder = tmp_path / "runs" / "recorded"
    shutil.copytree(recorded_run(), folder, ignore=shutil.ignore_patterns("checkpoints"))
    return RunPaths(folder)


def show(bench, paths):
    bench.open(paths)
    bench.page.show_view(View.HINTS)
    bench.wait(lambda: bench.page.hints.root == paths.root)
    return bench.page.hints


def test_the_recorded_run_is_charted_with_forms_and_examples(bench, recorded):
    view = show(bench, recorded)
    assert "valid hints for" in view.summary.text()
    assert view.progress.isHidden()
    assert view.forms.table.model().rowCount() > 3
    first = view.forms.examples.text()
    assert first.splitlines()[1].startswith("Step ")
    view.forms.table.selectRow(3)
    assert view.forms.examples.text() != first
    card = view.frequencies
    features = [card.feature.itemText(i) for i in range(card.feature.count())]
    assert features[:3] == ["Forms", "Hint types", "Persons"]
    card.feature.setCurrentIndex(1)
    card.feature.activated.emit(1)
    assert card.chart.series[0].label in TYPE_LABELS.values()
    bench.wait(lambda: not card.waits and not card.plot.drawing)


def test_figures_stay_while_they_are_read_again(bench, recorded):
    view = show(bench, recorded)
    view.again.click()
    assert not view.progress.isHidden()
    assert view.summary.isVisibleTo(view)
    bench.wait(lambda: view.progress.isHidden())


def test_reading_can_be_cancelled_and_started_again(bench, recorded, monkeypatch):
    def endless(_database, *, progress, cancelled):
        while not cancelled():
            progress(1, 2)
        raise Cancelled

    module = "seirenes_app.ui.pages.robustness.page.analyse_hints"
    with monkeypatch.context() as patched:
        patched.setattr(module, endless)
        bench.open(recorded)
        bench.page.show_view(View.HINTS)
        view = bench.page.hints
        bench.wait(lambda: "1 of 2" in view.progress.label.text())
        view.progress.cancel.click()
        assert view.nothing.startswith("Cancelled")
    button = next(b for b in view.findChildren(QAbstractButton) if b.text() == "Analyse the hints")
    button.click()
    bench.wait(lambda: view.root == recorded.root)


def test_a_run_without_hints_says_so(bench, recorded):
    for path in recorded.root.glob("rollouts.db*"):
        path.unlink()
    RolloutWriter(recorded.rollouts).close()
    view = show(bench, recorded)
    assert view.nothing.startswith("No hints to analyse")
    assert "clean questions alone" in view.nothing


def test_a_run_without_rollouts_says_so(bench, recorded):
    recorded.rollouts.unlink()
    bench.open(recorded)
    bench.page.show_view(View.HINTS)
    bench.wait(lambda: "no rollouts yet" in bench.page.hints.nothing)


def test_another_run_ends_the_reading_of_the_one_before(bench, recorded, tmp_path):
    other = RunPaths(tmp_path / "runs" / "other")
    shutil.copytree(recorded.root, other.root)
    show(bench, recorded)
    view = show(bench, other)
    assert view.frequencies.context == "other"
