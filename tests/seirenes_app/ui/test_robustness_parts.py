"""Facts about the parts of the Robustness page: the matrix and the strip of steps."""

import gc
import os
from dataclasses import replace

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from helpers.evals import fill, small_plan
from helpers.robust_runs import write_run
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import Qt

from seirenes_app.services.charts.export import save_matrix
from seirenes_app.services.robustness.checkpoint_replay import replay_result
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Chart, DataTable, ReplayStep
from seirenes_app.ui.app import settle_heap
from seirenes_app.ui.charts.card import DataModel, cell_text
from seirenes_app.ui.pages.robustness.chart_views import ChartGrid
from seirenes_app.ui.pages.robustness.cross_play_view import MatrixTable
from seirenes_app.ui.pages.robustness.page import View
from seirenes_app.ui.pages.robustness.replay_view import ReplayCard, StepStrip
from training.core.types import Condition, Outcome
from training.evaluation.plan import SuiteRef, Writing, plan_to_json
from training.runs.events import EventKind, EventLog

NAMES = ("r@0", "r@40", "r@80")


# ---------------------------------------------------------------------- tables


@given(st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | st.text(max_size=5))
def test_a_cell_of_a_table_is_short_and_never_a_number_that_hides(value):
    text = cell_text(value)
    assert len(text) <= 9
    if isinstance(value, float) and value != 0:
        assert float(text.replace("−", "-")) != 0


def test_the_table_keeps_text_left_and_numbers_right(qtbot):
    model = DataModel(())
    model.render_table(DataTable(("what", "value"), (("clean", 0.25),)))
    sides = [model.data(model.index(0, c), Qt.ItemDataRole.TextAlignmentRole) for c in range(2)]
    assert sides[0] & Qt.AlignmentFlag.AlignLeft
    assert sides[1] & Qt.AlignmentFlag.AlignRight


# ---------------------------------------------------------------------- cross-play


def played(folder, problems=8):
    """Three checkpoints under each other's hints: later Reasoners withstand earlier writers."""
    base = small_plan(problems, NAMES, chunk_items=8)
    (ref,) = base.suites
    conditions = (Condition.CLEAN, Condition.HINTED)
    suites = tuple(
        SuiteRef(f"by {w}", ref.source, ref.digest, problems, conditions=conditions[i > 0 :])
        for i, w in enumerate(NAMES)
    )

    def rule(key, problem):
        reasoner, writer = NAMES.index(key.target), NAMES.index(key.suite.removeprefix("by "))
        good = key.condition is Condition.CLEAN or writer <= reasoner or key.item % 2 == 0
        return problem.answer if good else "99999"

    paths = fill(folder, replace(base, suites=suites), rule)
    written = tuple(replace(s, writer=w) for s, w in zip(suites, NAMES, strict=True))
    paths.plan.write_text(plan_to_json(replace(base, suites=written, writing=Writing())))
    return paths


def test_cells_of_the_matrix_are_reached_by_keys_and_say_what_they_are(bench, tmp_path):
    paths = played(bench.evaluations)
    bench.page.open_source(paths.root)
    bench.wait(lambda: bench.page.stack.view is View.CROSS_PLAY and bench.page.cross_play.card.isVisible())
    card = bench.page.cross_play.card
    table = card.matrix
    table.setFocus()
    bench.qtbot.keyClick(table, Qt.Key.Key_Right)
    assert table.accessibleDescription().startswith("step 0, hints by step 40: 50")
    assert card.place.text() == table.accessibleDescription()
    assert table.cells.index(1, 1).data() == "100%"
    assert table.cells.index(1, 1).data(Qt.ItemDataRole.AccessibleTextRole).endswith("its own")
    assert table.cells.describe(0, 4).startswith("step 0, clean, without hints: 100")
    bench.qtbot.keyClick(table, Qt.Key.Key_Return)
    bench.wait(lambda: bench.page.rows.rows is not None)
    assert bench.page.rows.rows.ref.suite == "by r@40"
    for suffix in ("png", "svg", "csv"):
        card.save(tmp_path / f"matrix.{suffix}")
        assert (tmp_path / f"matrix.{suffix}").stat().st_size > 100
    assert card.sentence.text()


def test_a_run_without_cross_play_offers_one(bench):
    bench.open(bench.write())
    bench.see(View.CROSS_PLAY)
    assert bench.page.cross_play.empty is not None
    assert bench.page.cross_play.card.isHidden()


def test_unsolved_cells_say_so(tmp_path, qtbot):
    found = ResultSource(played(tmp_path).root).crossplay()
    first = (replace(found.cells[0][0], value=None), *found.cells[0][1:])
    table = MatrixTable()
    qtbot.addWidget(table)
    asked = []
    table.cellRequested.connect(asked.append)
    table.render_panel(replace(found, cells=(first, *found.cells[1:])))
    assert "not solved yet" in table.cells.describe(0, 0)
    table.setCurrentIndex(table.cells.index(0, 0))
    qtbot.keyClick(table, Qt.Key.Key_Return)
    assert asked == []
    table.show()
    table.grab()
    save_matrix(tmp_path / "m.png", replace(found, cells=(first, *found.cells[1:])))


def test_no_name_above_or_beside_the_matrix_is_cut(tmp_path, qtbot):
    found = ResultSource(played(tmp_path).root).crossplay()
    names = ("qwen2.5-0.5b-instruct", "r@40", "r@80")
    table = MatrixTable()
    qtbot.addWidget(table)
    table.resize(600, 300)
    table.show()
    table.render_panel(replace(found, writers=names, reasoners=names))
    for header in (table.horizontalHeader(), table.verticalHeader()):
        across = header.orientation() == Qt.Orientation.Horizontal
        for i in range(header.count()):
            wanted = header.sectionSizeFromContents(i).width()
            assert wanted <= (header.sectionSize(i) if across else header.width())


# ---------------------------------------------------------------------- steps of a replay


def test_the_strip_marks_what_is_robust_and_follows_the_keys(qtbot):
    outcomes = (Outcome.WRONG, Outcome.RIGHT, None, Outcome.RIGHT)
    steps = [ReplayStep(10 * i, o, "text", "7", missing="" if o else "It is gone.") for i, o in enumerate(outcomes)]
    result = replay_result(steps, 4)
    strip = StepStrip()
    qtbot.addWidget(strip)
    strip.show()
    strip.render_steps(result.steps, result.robust_since)
    assert [b.robust for b in strip.buttons] == [False, True, False, True]
    assert strip.buttons[2].accessibleName() == "step 20: It is gone."
    assert strip.buttons[1].accessibleName().endswith("robust from here on")
    strip.choose(0)
    with qtbot.waitSignal(strip.chosen) as heard:
        qtbot.keyClick(strip.buttons[0], Qt.Key.Key_End)
    assert heard.args == [3]
    assert [b.isChecked() for b in strip.buttons] == [False, False, False, True]
    strip.render_steps(result.steps[:1], None)
    assert len(strip.buttons) == 1
    strip.grab()


def test_what_a_window_is_built_of_is_left_out_of_later_rounds():
    before = gc.get_freeze_count()
    try:
        settle_heap()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_the_badge_names_a_missing_checkpoint(qtbot):
    card = ReplayCard()
    qtbot.addWidget(card)
    steps = [ReplayStep(20 * i, o) for i, o in enumerate((Outcome.WRONG, None, Outcome.RIGHT))]
    card.render_result(replay_result(steps, 3))
    assert card.badge.accessibleName() == "Robust since step 40 or before"
    card.render_result(replay_result([steps[0], steps[2]], 2))
    assert card.badge.accessibleName() == "Robust since step 40"


def test_charts_change_to_processor_time_where_it_was_measured(qtbot, tmp_path):
    paths = write_run(tmp_path / "r", steps=0)
    log = EventLog(paths.events)
    for step in range(1, 21):
        log.write(EventKind.STEP, step=step, metrics={"seconds": 9.0, "cpu_seconds": 2.0})
    log.close()
    book = ResultSource(paths.root)
    (track,) = book.tracks
    grid = ChartGrid()
    qtbot.addWidget(grid)
    grid.render_track(track)
    assert grid.axis.isHidden()
    for chart in (Chart.ACCURACY, Chart.ADVERSARY):
        grid.render_panel(chart, book.panel(track, chart))
    assert not grid.axis.isHidden()
    card = grid.cards["accuracy"]
    steps = card.chart.places
    grid.axis.buttons["cpu"].click()
    assert card.chart.places == tuple(2 * x for x in steps)
    assert "CPU seconds 40" in card.chart.describe(0, 40)
    assert grid.adversary.chart is None or grid.adversary.chart.x_label == "step"
    grid.axis.buttons["steps"].click()
    assert card.chart.places == steps
