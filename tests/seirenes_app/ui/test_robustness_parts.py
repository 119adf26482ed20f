"""Facts about the parts of the Robustness page: what charts look like, the matrix, the strip of steps, the heap."""

import gc
import os
from dataclasses import replace

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from helpers.evals import fill, small_plan
from helpers.robustness_bench import Robustness
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PySide6.QtCore import Qt

from seirenes_app.services.robustness.checkpoint_replay import replay_result
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Basis, Chart, Curve, DataTable, Panel, Point, ReplayStep, Unit
from seirenes_app.ui.charts.chart_style import FEW, KNOWN, OTHERS, Pick, make_drawn, say_point, say_types
from seirenes_app.ui.charts.figure import draw_panel
from seirenes_app.ui.controllers.gc_tuning import settle_heap
from seirenes_app.ui.pages.robustness.chart_cards import DataModel, PanelKey, say_cell
from seirenes_app.ui.pages.robustness.cross_play_view import MatrixTable, save_matrix
from seirenes_app.ui.pages.robustness.header import View
from seirenes_app.ui.pages.robustness.replay_view import ReplayCard, StepStrip
from training.core.statistics import Interval
from training.core.types import Condition, Outcome
from training.evaluation.plan import SuiteRef, Writing, plan_to_json

NAMES = ("r@0", "r@40", "r@80")


def point(x, value, basis=Basis.ROWS):
    return Point(x, f"step {x}", Interval(value, max(0, value - 0.1), min(1, value + 0.1)), 20, 40, basis)


def panel(*curves, unit=Unit.SHARE, stacked=False):
    return Panel(Chart.ACCURACY, "A chart", unit, curves, "It shows.", "", DataTable((), ()), "step", stacked)


def line(key, *values, basis=Basis.ROWS):
    return Curve(key, key.replace(":", " "), tuple(point(10 * i, v, basis) for i, v in enumerate(values)))


# ---------------------------------------------------------------------- looks


def test_no_two_curves_of_a_chart_differ_by_colour_alone():
    looks = [(dash, marker) for _colour, dash, marker in OTHERS]
    assert len(set(looks)) == len(looks)
    types = [KNOWN[key][1:] for key in KNOWN if key.startswith("type:")]
    assert len(set(types)) == len(types) == 4


def test_many_points_are_a_band_and_few_are_marks():
    few, many = (make_drawn(panel(line("clean", *[0.5] * n)), by_step=True).lines[0] for n in (FEW, FEW + 1))
    assert few.points
    assert not many.points
    assert len(many.low) == FEW + 1


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=2, max_size=5))
def test_parts_of_a_whole_stand_on_each_other(values):
    curves = [line(f"part{i}", *part) for i, part in enumerate(values)]
    drawn = make_drawn(panel(*curves, stacked=True), by_step=True)
    for place in range(3):
        top = sum(part[place] for part in values)
        assert drawn.lines[-1].height(place) == pytest.approx(top)
    assert drawn.bars


def test_marks_of_one_place_stand_beside_each_other():
    drawn = make_drawn(panel(*(line(f"run{i}", 0.5, 0.5) for i in range(4))), by_step=True)
    shifts = [drawn.shift(i) for i in range(4)]
    assert shifts == sorted(shifts)
    assert sum(shifts) == pytest.approx(0)
    assert max(shifts) < 0.5 * 10
    assert make_drawn(panel(line("clean", 0.5)), by_step=True).shift(0) == 0


def test_types_are_told_hardest_first():
    whole = panel(line("hinted", 0.4), line("type:correlation_trap", 0.6), line("type:information_overload", 0.2))
    told = say_types(whole)
    assert told.startswith("At step 0, hardest first: type information_overload 20")
    assert len(make_drawn(whole, by_step=True, pick=Pick.TYPES).curves) == 2
    assert len(make_drawn(whole, by_step=True, pick=Pick.MAIN).curves) == 1


def test_a_difference_is_told_in_points_with_its_sign(qtbot):
    drawn = make_drawn(panel(line("gap/hinted", -0.25, 0.5), unit=Unit.DIFFERENCE), by_step=True)
    assert drawn.lines[0].y == [-25, 50]
    assert say_point(drawn, 0, 0.0) == "gap/hinted, step 0: −25.0 points [0.0, −15.0], 20 problems"
    key = PanelKey()
    qtbot.addWidget(key)
    key.render_drawn(drawn)
    assert "+50.0" in key.text()
    key.render_cursor(0.0)
    assert "−25.0" in key.text()


def test_steps_close_together_do_not_write_over_each_other():
    steps = (0, 20, 40, 60, 80, 83, 84, 85)
    drawn = make_drawn(panel(Curve("clean", "clean", tuple(point(x, 0.5) for x in steps))), by_step=True)
    figure = Figure(dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = draw_panel(figure, drawn, (584, 280))
    canvas.draw()
    labels = [label for label in axes.get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent() for label in labels]
    assert [label.get_text() for label in labels] == ["0", "20", "40", "60", "85"]
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


def test_models_without_steps_are_named_on_the_axis():
    drawn = make_drawn(panel(line("clean", 0.5, 0.6)), by_step=False)
    assert drawn.ticks == ((0, "step 0"), (10, "step 10"))
    assert drawn.label(10) == "step 10"
    assert drawn.lines[0].style == "none"


@given(st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | st.text(max_size=5))
def test_a_cell_of_a_table_is_short_and_never_a_number_that_hides(value):
    text = say_cell(value)
    assert len(text) <= 9
    if isinstance(value, float) and value != 0:
        assert float(text.replace("−", "-")) != 0


def test_the_table_keeps_text_left_and_numbers_right(qtbot):
    model = DataModel()
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


@pytest.fixture
def bench(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    made = Robustness(qtbot, qapp, tmp_path)
    yield made
    made.close()


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


def test_cells_that_were_not_solved_are_told_as_such(tmp_path, qtbot):
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


def test_the_badge_admits_what_could_not_be_asked(qtbot):
    card = ReplayCard()
    qtbot.addWidget(card)
    steps = [ReplayStep(20 * i, o) for i, o in enumerate((Outcome.WRONG, None, Outcome.RIGHT))]
    card.render_result(replay_result(steps, 3))
    assert card.badge.accessibleName() == "Robust since step 40 or before"
    card.render_result(replay_result([steps[0], steps[2]], 2))
    assert card.badge.accessibleName() == "Robust since step 40"
