"""Facts about charts on the screen: legend, cursor, tables, and other runs in the same charts."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import itertools
from dataclasses import replace

import pytest
from helpers.robustness_bench import Robustness
from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics

from seirenes_app.services.charts.data import ChartData, Scale, Series
from seirenes_app.services.charts.style import SeriesStyle
from seirenes_app.services.robustness.types import Chart
from seirenes_app.ui.charts.canvas import GAP, SAMPLE, ChartLegend
from seirenes_app.ui.charts.card import MOST, LiveCard, OverlayButton
from seirenes_app.ui.pages.train.charts import ChartGrid
from training.runs.paths import RunPaths
from training.runs.processes import RunSummary
from training.runs.status import EvalPoint, RunState

A = Series("a", SeriesStyle("clean"), [0.0, 10.0, 20.0], [0.1, 0.25, 0.5])
B = Series("b", SeriesStyle("hinted", "--", "s"), [0.0, 10.0], [0.3, 0.4], [0.2, 0.3], [0.4, 0.5], marked=True)


def test_the_entries_of_a_legend_do_not_overlap_at_any_place(qtbot):
    steps = [float(i) for i in range(101)]
    share = [0.967 for _ in steps]
    style = SeriesStyle("clean", marker="o")
    marked = Series("clean, frozen suite", style, [0.0, 40.0], [0.967, 0.1], [0.886, 0.05], [0.991, 0.2],
                    marked=True)  # fmt: skip
    every = Series("clean, this step", SeriesStyle("hinted"), steps, share, share, share)
    chart = ChartData([marked, replace(marked, label="needed, frozen suite"), every], Scale.SHARE)
    legend = ChartLegend()
    qtbot.addWidget(legend)
    legend.resize(900, 60)
    legend.render_chart(chart)
    plain, bold = (QFontMetrics(legend._font(bold=on)) for on in (False, True))
    for cursor in (None, 0.0, 17.0, 40.0, 100.0):
        legend.render_cursor(cursor)
        ends = []
        for series, place in legend._entries:
            value, limits = legend.texts(series)
            width = plain.horizontalAdvance(series.label + limits) + bold.horizontalAdvance(value) + SAMPLE + 3 * GAP
            ends.append((place.y(), place.x(), place.x() + width))
        for (row, _start, end), (next_row, start, _end) in itertools.pairwise(ends):
            assert row != next_row or end < start


def test_the_legend_reads_the_newest_values_or_those_at_the_cursor(qtbot):
    legend = ChartLegend()
    qtbot.addWidget(legend)
    legend.render_chart(ChartData([A, B], Scale.SHARE))
    assert legend.text() == "a 50%  ·  b 40% [30, 50] at 10"
    legend.render_cursor(0.0)
    assert legend.text() == "a 10%  ·  b 30% [20, 40]"
    legend.render_chart(ChartData([A, Series("c", SeriesStyle("hinted"), [0.0], [0.3])], Scale.SHARE))
    legend.render_cursor(20.0)
    assert legend.text() == "a 50%  ·  c –"
    # The last of named places is not the newest.
    legend.render_chart(ChartData([A, B], Scale.SHARE, "model", ((0.0, "small"), (10.0, "large"))))
    legend.render_cursor(None)
    assert legend.text() == "a  ·  b"
    legend.render_cursor(0.0)
    assert legend.text() == "a 10%  ·  b 30% [20, 40]"


@pytest.fixture
def card(qtbot):
    made = LiveCard("Accuracy", "a note")
    qtbot.addWidget(made)
    made.resize(500, 320)
    made.show()
    return made


def test_a_live_card_draws_what_its_source_gives_and_says_when_there_is_nothing(card, qtbot):
    card.render_source(lambda: ChartData(()), "Fills with the first step.")
    assert card.draw_if_stale()
    assert card.empty.isVisible()
    assert card.accessibleDescription() == "Fills with the first step."
    card.render_source(lambda: ChartData([A, B], Scale.SHARE))
    assert card.draw_if_stale()
    assert card.plot.isVisible()
    qtbot.waitUntil(lambda: not card.draw_if_stale() and not card.plot.drawing)
    card.plot.setFocus()
    qtbot.keyClick(card.plot, Qt.Key.Key_Home)
    assert card.place.text() == "step 0"
    assert card.plot.accessibleDescription() == "step 0: a 10%  ·  b 30% [20, 40]"
    qtbot.keyClick(card.plot, Qt.Key.Key_Escape)
    assert card.place.text() == ""


def test_the_table_of_a_live_card_follows_its_data(card):
    card.render_source(lambda: ChartData([A], Scale.SHARE))
    card.draw_if_stale()
    card.toggle_table()
    assert card.table.isVisible()
    assert card.model.table.rows[0] == (20, "50%")
    card.render_source(lambda: ChartData([B], Scale.SHARE))
    card.draw_if_stale()
    assert card.model.table.columns == ("step", "b")


# ---------------------------------------------------------------------- other runs


def test_no_more_runs_can_be_ticked_than_a_chart_holds(qtbot):
    button = OverlayButton()
    qtbot.addWidget(button)
    button.choose(range(MOST))
    menu = button.make_menu([(i, f"r{i}") for i in range(MOST + 1)])
    assert [a.isEnabled() for a in menu.actions()[: MOST + 1]] == [True] * MOST + [False]
    menu.actions()[0].trigger()
    assert button.chosen == tuple(range(1, MOST))
    assert button.text() == f"Overlay runs ({MOST - 1})"


def state(name, accuracy):
    rates = {c: {"accuracy": accuracy, "low": 0.1, "high": 0.9} for c in ("clean", "hinted", "placebo")}
    return RunState(run_id=name, step=10, evals=tuple(EvalPoint(step, 0.0, "s", "h", rates) for step in (0, 10)))


def test_other_runs_are_drawn_in_the_charts_of_a_run_until_another_is_opened(qtbot, tmp_path):
    grid = ChartGrid()
    qtbot.addWidget(grid)
    grid.resize(900, 1200)
    grid.show()
    grid.render_state(state("mine", 0.4))
    grid.overlay.show_choices = lambda choices: None
    grid.show_runs([RunSummary(RunPaths(tmp_path / n), None, state(n, 0.6)) for n in ("mine", "other")])
    grid.overlay.choose(("other",))
    grid.draw_next()
    assert "hinted, frozen suite · other 60%" in grid.cards["accuracy"].legend.text()
    grid.forget()
    grid.render_state(state("third", 0.4))
    grid.cards["accuracy"].draw_if_stale()
    assert "other" not in grid.cards["accuracy"].legend.text()


def test_checkpoint_curves_of_another_run_lie_over_those_of_the_open_one(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    bench = Robustness(qtbot, qapp, tmp_path)
    try:
        other, elsewhere = bench.write("other"), bench.write("elsewhere", seed=2)
        bench.open(bench.write("mine"))
        grid = bench.page.grid
        grid.overlay.choose((other.root,))
        bench.wait(lambda: len(bench.card("accuracy").chart.curves) == 5)
        assert bench.card("accuracy").chart.curves[-1].label == "hinted, all types · other"
        assert any("other" in name for name in bench.card("accuracy").model.table.columns)
        assert any("other" in str(row) for row in bench.card("accuracy").csv_table().rows)
        grid.overlay.choose((other.root, elsewhere.root))
        bench.wait(lambda: grid.overlay.chosen == (other.root,))
        assert "no evaluation on this suite" in bench.said[-1]
        grid.overlay.choose(())
        bench.wait(lambda: len(bench.card("accuracy").chart.curves) == 4)
        assert Chart.FLIPS in grid._panels
    finally:
        bench.close()
