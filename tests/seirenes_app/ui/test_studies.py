"""Facts about studies in the window: the list, what stands of the chosen one, and the dialog that makes one."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.robustness_bench import Robustness
from helpers.studies import SERVED, define, measured_study
from PySide6.QtWidgets import QAbstractButton, QApplication

from seirenes_app.services.study.definition import BestResponse, list_studies, new_study, read_definition, read_study
from seirenes_app.services.study.results import Basis, Measure
from seirenes_app.ui.pages.robustness.page import View
from seirenes_app.ui.theme import apply_theme
from training.runs.config import RunConfig
from training.runs.events import EventKind, EventLog
from training.runs.paths import new_run

SHOTS = os.environ.get("STUDY_SHOTS", "")
SIZE = tuple(int(side) for side in os.environ.get("STUDY_SIZE", "1280x800").split("x"))


@pytest.fixture
def bench(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))
    made = Robustness(qtbot, qapp, tmp_path)
    yield made
    made.close()


def studied(tmp_path):
    return replace(define(tmp_path, name="comparison.toml"), response=BestResponse(20_000), rollouts=46_000)


def show_studies(bench):
    page = bench.page
    page.studies.refresh()
    page.show_view(View.STUDIES)
    return page.study_view


def picture(bench, name):
    """Save what is seen, where STUDY_SHOTS names a folder."""
    if SHOTS:
        bench.page.resize(*SIZE)
        for _ in range(12):
            bench.page.study_view.draw_next()
            bench.qtbot.wait(100)
        bench.page.grab().save(str(Path(SHOTS) / f"{name}.png"))


def test_studies_are_there_without_a_run_and_the_first_one_can_be_made(bench):
    buttons = {b.text(): b for b in bench.page.stack.empty.findChildren(QAbstractButton)}
    buttons["Studies"].click()
    view = bench.page.study_view
    bench.wait(lambda: view.empty.isVisible())
    picture(bench, "empty")
    view.newRequested.emit()
    dialog = bench.page.dialogs.open_dialog
    bench.wait(lambda: dialog.go.isEnabled())
    assert "About" in dialog.estimate.text()
    if SHOTS:
        dialog.grab().save(str(Path(SHOTS) / "dialog.png"))
    dialog.name.setText("first")
    dialog.seeds.setText("0, one")
    dialog.seeds.textEdited.emit("")
    assert "whole numbers" in dialog.error.text()
    assert not dialog.go.isEnabled()
    dialog.seeds.setText("0, 1")
    dialog.rollouts.setValue(500)
    bench.wait(lambda: dialog.only.isEnabled())
    dialog.only.click()
    bench.wait(lambda: bool(bench.page.studies.summaries))
    (paths,) = list_studies(bench.page.studies.root)
    found = read_study(paths)
    assert (found.name, found.seeds, found.rollouts) == ("first", (0, 1), 500)
    bench.wait(lambda: view.start.isVisible())
    assert view.start.text() == "Start"
    assert view.badge.accessibleName() == "Not started"


def test_no_time_is_shown_of_a_server_that_has_not_been_used(bench, tmp_path):
    view, path = show_studies(bench), tmp_path / "served.toml"
    path.write_text(SERVED)
    view.newRequested.emit()
    dialog = bench.page.dialogs.open_dialog
    dialog.definition.insertItem(0, "served", path)
    dialog.definition.setCurrentIndex(0)
    bench.wait(lambda: "depends on the server" in dialog.estimate.text())
    assert dialog.go.isEnabled()
    if SHOTS:
        dialog.grab().save(str(Path(SHOTS) / "served.png"))
    new_study(read_definition(path), tmp_path / "studies")
    bench.page.studies.refresh()
    bench.wait(lambda: bool(bench.page.studies.summaries))
    view.extendRequested.emit(bench.page.studies.summaries[0])
    seeds = bench.page.dialogs.open_dialog
    bench.wait(lambda: "depends on the server" in seeds.said.text())


def test_a_finished_study_shows_its_words_its_chart_and_its_tables(bench, tmp_path):
    measured_study(tmp_path, studied(tmp_path))
    view = show_studies(bench)
    bench.wait(lambda: view.results is not None)
    assert view.measure.currentData() == Measure.EXPLOITABILITY
    bench.wait(lambda: view.chart.chart is not None and bool(view.chart.chart.series))
    assert [s.label for s in view.chart.chart.series] == ["mean over seeds", "seed 0", "seed 1", "seed 2"]
    assert [row[0] for row in view.table.model.rows] == ["start", "seirenes", "static", "random"]
    for card in (view.table, view.differences):
        assert card.table.model().rowCount()
        assert card.table.verticalScrollBar().maximum() == 0
        assert "Save as PNG or CSV…" in [action.text() for action in card.make_menu().actions()]
    texts = [view.lines.itemAt(i).widget().text() for i in range(view.lines.count())]
    assert any("seirenes is ahead of static" in text for text in texts)
    assert not view.start.isVisible()
    assert not view.stop.isVisible()
    assert view.list.verticalScrollBar().maximum() == 0
    view.report.click()
    bench.wait(bench.page.report_banner.isVisible)
    text = (tmp_path / "reports" / "comparison-robustness.html").read_text()
    assert "seirenes is ahead of static" in text
    assert text.count("<svg") == len(view.results.measures())
    picture(bench, "light")
    view.by_seed.setChecked(True)
    assert len(view.table.model.rows) == 9
    view.basis.buttons[Basis.TIME].click()
    assert "equal time" in view.table.heading.text()
    assert view.chart.empty.text() == "It is measured at equal rollouts only."
    view.measure.setCurrentIndex(1)
    view.measure.activated.emit(1)
    assert view.chart.chart.series
    if SHOTS:
        apply_theme(QApplication.instance(), "dark")
        bench.page.themed(None)
        view.by_seed.setChecked(False)
        view.basis.buttons[Basis.ROLLOUTS].click()
        area = bench.page.stack.areas[View.STUDIES]
        picture(bench, "dark")
        area.ensureWidgetVisible(view.chart)
        picture(bench, "chart")
        apply_theme(QApplication.instance(), "light")


def test_a_study_that_crashed_can_be_resumed_and_says_how_far_it_is(bench, tmp_path):
    paths = new_study(studied(tmp_path), tmp_path / "studies")
    log = EventLog(paths.events)
    log.write(EventKind.LAUNCH, pid=1)
    log.write(EventKind.PART, part="run/seirenes/0", status="finished", folder="/r", seconds=100)
    log.write(EventKind.STAGE, stage="run", part="run/static/0", part_share=0.4, share=0.1, eta_s=3700)
    log.close()
    paths.launch.write_text("{}")
    view = show_studies(bench)
    bench.wait(lambda: view.start.isVisible())
    assert view.start.text() == "Resume"
    assert view.badge.accessibleName() == "Crashed"
    assert "1 of" in view.progress.figures.text()
    picture(bench, "crashed")


def test_seeds_are_added_to_a_finished_study(bench, tmp_path):
    paths = measured_study(tmp_path, replace(studied(tmp_path), seeds=(0, 1)), exploits=False)
    with closing(EventLog(paths.events)) as log:
        log.write(EventKind.DONE, outcome="finished", message="All parts are done.", error=None)
    view = show_studies(bench)
    bench.wait(lambda: view.extend.isVisible())
    assert not view.start.isVisible()
    view.extend.click()
    dialog = bench.page.dialogs.open_dialog
    assert dialog.seeds.text() == "2, 3"
    bench.wait(dialog.go.isEnabled)
    assert "parts to do then" in dialog.said.text()
    if SHOTS:
        dialog.grab().save(str(Path(SHOTS) / "seeds.png"))
    for text, said in (("1", "has seed 1 already"), ("one", "whole numbers"), ("", "Nothing is added")):
        dialog.seeds.setText(text)
        dialog.seeds.textEdited.emit(text)
        bench.wait(lambda said=said: said in dialog.said.text())
        assert not dialog.only.isEnabled()
    dialog.responses.setValue(3)
    bench.wait(dialog.only.isEnabled)
    dialog.seeds.setText("2")
    dialog.seeds.textEdited.emit("2")
    bench.wait(dialog.only.isEnabled)
    assert not view.lengths.isVisible()
    dialog.rollouts.stepUp()
    bench.wait(dialog.only.isEnabled)
    dialog.only.click()
    bench.wait(view.start.isVisible)
    assert view.start.text() == "Resume"
    found = read_study(paths)
    assert (found.added, found.response.repeats, found.rollouts, found.shorter) == ((2,), 3, 92_000, (46_000,))
    said = "1 seed added: 2; 3 best responses to each Reasoner; 92,000 rollouts a run"
    assert said in (view.progress.label.toolTip() or view.progress.label.text())
    bench.wait(lambda: "yet after 92,000 rollouts" in view.lines.itemAt(0).widget().text())
    assert view.lengths.isVisible()
    assert {row[1] for row in view.lengths.model.rows} == {"46,000"}
    picture(bench, "extended")


def test_a_folder_that_is_opened_meanwhile_leaves_the_studies_in_view(bench, tmp_path):
    measured_study(tmp_path, replace(define(tmp_path), seeds=(0,)), exploits=False)
    show_studies(bench)
    run = new_run(tmp_path / "runs", RunConfig(), "empty")
    bench.page.open_source(run.root)
    bench.wait(lambda: bench.page._refused is not None)
    assert bench.page.stack.view is View.STUDIES
    bench.page.show_view(View.CHARTS)
    assert bench.page.stack.empty.accessibleName().startswith("No evaluations yet")


def test_another_study_is_never_shown_with_the_figures_of_the_one_before(bench, tmp_path):
    measured_study(tmp_path, replace(define(tmp_path), seeds=(0,)), exploits=False)
    empty = new_study(define(tmp_path, name="other.toml"), tmp_path / "studies")
    view = show_studies(bench)
    bench.wait(lambda: len(bench.page.studies.summaries) == 2)
    bench.page.studies.choose(tmp_path / "studies" / "made")
    bench.wait(lambda: view.results is not None and view.results.name == "made")
    bench.page.studies.choose(empty.root)
    assert view.results is None
    assert not view.figures.isVisible()
    bench.wait(lambda: view.results is not None)
    assert view.results.name == "other"
