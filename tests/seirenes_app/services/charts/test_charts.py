"""Facts about charts: which series a panel has, how they look, and that every form of a chart shows the same."""

import csv
import html
import io
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seirenes_app.services.charts.data import ChartData, Scale, Series
from seirenes_app.services.charts.drawing import draw_chart, make_figure
from seirenes_app.services.charts.export import chart_svg, palette_css, save_chart
from seirenes_app.services.charts.panels import FEW, Pick, describe_types, overlay_panel, panel_chart
from seirenes_app.services.charts.style import DARK, HINT_TYPES, LIGHT, NUMBERED, OVERLAID, SeriesStyle
from seirenes_app.services.charts.training import RUN_CHARTS
from seirenes_app.services.robustness.types import Basis, Chart, Curve, DataTable, Panel, Point, Unit
from training.core.statistics import Interval
from training.runs.status import EvalPoint, RunState


def point(x, value, basis=Basis.ROWS):
    return Point(x, f"step {x}", Interval(value, max(0, value - 0.1), min(1, value + 0.1)), 20, 40, basis)


def panel(*curves, unit=Unit.SHARE, stacked=False):
    return Panel(Chart.ACCURACY, "A chart", unit, curves, "It shows.", "", DataTable((), ()), "step", stacked)


def line(key, *values, basis=Basis.ROWS):
    return Curve(key, key.replace(":", " "), tuple(point(10 * i, v, basis) for i, v in enumerate(values)))


def test_no_two_curves_of_a_chart_differ_by_colour_alone():
    for styles in (NUMBERED, OVERLAID, tuple(HINT_TYPES.values())):
        assert len({(s.dash, s.marker) for s in styles}) == len(styles)


def test_many_points_are_a_band_and_few_are_marks():
    few, many = (panel_chart(panel(line("clean", *[0.5] * n)), by_step=True).series[0] for n in (FEW, FEW + 1))
    assert few.marked
    assert not many.marked
    assert len(many.low) == FEW + 1


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=2, max_size=5))
def test_parts_of_a_whole_stand_on_each_other(values):
    curves = [line(f"part{i}", *part) for i, part in enumerate(values)]
    chart = panel_chart(panel(*curves, stacked=True), by_step=True)
    for place in range(3):
        top = sum(part[place] for part in values)
        assert chart.series[-1].height(place) == pytest.approx(top)
    assert chart.bars


def test_marks_of_one_place_stand_beside_each_other():
    chart = panel_chart(panel(*(line(f"run{i}", 0.5, 0.5) for i in range(4))), by_step=True)
    shifts = [s.shift for s in chart.series]
    assert shifts == sorted(shifts)
    assert sum(shifts) == pytest.approx(0)
    assert max(shifts) < 0.5 * 10
    assert panel_chart(panel(line("clean", 0.5)), by_step=True).series[0].shift == 0


def test_types_are_told_hardest_first():
    whole = panel(line("hinted", 0.4), line("type:correlation_trap", 0.6), line("type:information_overload", 0.2))
    told = describe_types(whole)
    assert told.startswith("At step 0, hardest first: type information_overload 20")
    assert len(panel_chart(whole, by_step=True, pick=Pick.TYPES).curves) == 2
    assert len(panel_chart(whole, by_step=True, pick=Pick.MAIN).curves) == 1


def test_a_difference_is_told_in_points_with_its_sign():
    chart = panel_chart(panel(line("gap/hinted", -0.25, 0.5), unit=Unit.DIFFERENCE), by_step=True)
    assert chart.series[0].y == [-0.25, 0.5]
    assert chart.text(chart.series[0], 1) == ("+50", "[+40, +60]")
    assert chart.describe(0, 0.0) == "gap/hinted, step 0: −25 points [0, −15], 20 problems"


def test_steps_close_together_do_not_write_over_each_other():
    steps = (0, 20, 40, 60, 80, 83, 84, 85)
    chart = panel_chart(panel(Curve("clean", "clean", tuple(point(x, 0.5) for x in steps))), by_step=True)
    figure = make_figure((5.84, 2.8))
    axes = draw_chart(figure, chart, (584, 280), LIGHT)
    figure.canvas.draw()
    labels = [label for label in axes.get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent() for label in labels]
    assert [label.get_text() for label in labels] == ["0", "20", "40", "60", "85"]
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


def test_models_without_steps_are_named_on_the_axis():
    chart = panel_chart(panel(line("clean", 0.5, 0.6)), by_step=False)
    assert chart.ticks == ((0, "step 0"), (10, "step 10"))
    assert chart.place_name(10) == "step 10"
    assert not chart.series[0].joined


# ---------------------------------------------------------------------- one figure in every form


@st.composite
def intervals(draw):
    low, mean, high = sorted(draw(st.tuples(*[st.floats(-1, 1)] * 3)))
    return Interval(mean, low, high)


@settings(max_examples=6)
@given(st.lists(st.lists(intervals(), min_size=1, max_size=4), min_size=1, max_size=6), st.sampled_from(Unit))
def test_every_point_is_drawn_in_the_report_with_its_value(values, unit):
    curves = [
        Curve(f"k{i}", f"k{i}", tuple(Point(x, f"step {x}", v, 9, 9, Basis.ROWS) for x, v in enumerate(line)))
        for i, line in enumerate(values)
    ]
    for by_step in (True, False):
        chart = panel_chart(panel(*curves, unit=unit), by_step=by_step)
        svg = chart_svg(chart, "A chart")
        assert "nan" not in svg
        assert svg.count("<title>") == sum(map(len, values))
        for series in chart.series:
            assert all(f"<title>{html.escape(title)}</title>" in svg for title in series.titles)


def test_the_svg_of_a_report_keeps_text_and_takes_its_colours_from_the_page():
    chart = panel_chart(panel(line("hinted", 0.4, 0.5), line("type:correlation_trap", 0.2, 0.3)), by_step=True)
    svg = chart_svg(chart, 'p < 0.001, "quoted"')
    ET.fromstring(svg.replace("xlink:href", "href"))
    assert ">hinted</text>" in svg
    assert "p &lt; 0.001" in svg
    assert LIGHT.hinted not in svg
    assert f"var(--c-{LIGHT.hinted[1:]})" in svg
    assert f"--c-{LIGHT.hinted[1:]}:{DARK.hinted}" in palette_css(DARK)
    assert f"--c-{LIGHT.hinted[1:]}:{LIGHT.hinted}" in palette_css(LIGHT)


def test_names_are_escaped_and_are_no_formulas(tmp_path):
    name = "<script>alert(1)</script> $x$"
    chart = ChartData([Series(name, SeriesStyle("clean"), [0, 1], [0.1, 0.2])], Scale.SHARE)
    svg = chart_svg(chart, name)
    assert "<script" not in svg
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x$" in svg
    save_chart(tmp_path / "chart.svg", chart, name, context=name, text=name)
    assert "$x$" in (tmp_path / "chart.svg").read_text(encoding="utf-8")


def test_the_tables_of_a_chart_have_its_series():
    chart = ChartData(
        [
            Series("a", SeriesStyle("clean"), [0, 10], [0.1, 0.25], [0.05, 0.2], [0.2, 0.3]),
            Series("b", SeriesStyle("hinted"), [10], [0.5]),
            Series("raw", SeriesStyle("hinted"), [0], [0.5], keyed=False),
        ],
        Scale.SHARE,
    )
    wide = chart.wide_table()
    assert wide.columns == ("step", "a", "b")
    assert wide.rows == ((10, "25% [20, 30]", "50%"), (0, "10% [5, 20]", ""))
    rows = list(csv.reader(io.StringIO(chart.long_table().csv())))
    assert rows[1] == ["a", "0", "0.1", "0.05", "0.2"]
    assert len(rows) == 4


# ---------------------------------------------------------------------- other runs in the same chart


def state(name, accuracy):
    evals = tuple(
        EvalPoint(
            step,
            0.0,
            "suite",
            "hash",
            {c: {"accuracy": accuracy, "low": 0.1, "high": 0.9} for c in ("clean", "hinted", "placebo")},
        )
        for step in (0, 10)
    )
    return RunState(run_id=name, evals=evals)


def test_other_runs_lie_over_the_charts_of_a_run():
    accuracy = next(c for c in RUN_CHARTS if c.key == "accuracy")
    chart = accuracy.make(state("mine", 0.4), [state("other", 0.6), state("third", 0.7)])
    names = [s.label for s in chart.keyed]
    assert names[:3] == ["clean, frozen suite", "hinted, frozen suite", "placebo, frozen suite"]
    assert names[3:] == [f"{c}, frozen suite · {r}" for r in ("other", "third") for c in ("clean", "hinted")]
    assert len({(s.style.colour, s.style.dash, s.style.marker) for s in chart.keyed}) == len(names)


def test_other_runs_lie_over_a_panel_by_its_main_curve():
    mine = panel(line("clean", 0.9), line("hinted", 0.4), line("placebo", 0.5))
    found = overlay_panel(mine, [("other", panel(line("clean", 0.8), line("hinted", 0.6)))])
    assert [c.label for c in found.curves] == ["clean", "hinted", "placebo", "hinted · other"]
    parts = panel(line("right", 0.9), stacked=True)
    assert overlay_panel(parts, [("other", parts)]) is parts
