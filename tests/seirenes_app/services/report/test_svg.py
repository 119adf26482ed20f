import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.services.report.svg import HEIGHT, WIDTH, Frame, draw_panel, frame_of, ticks
from seirenes_app.services.robustness.types import Basis, Chart, Curve, DataTable, Panel, Point, Unit
from training.core.statistics import Interval


def panel(values, unit=Unit.SHARE, *, label="hinted", stacked=False):
    curves = tuple(
        Curve(f"k{i}", label, tuple(Point(x, f"step {x}", v, 9, 9, Basis.ROWS) for x, v in enumerate(line)))
        for i, line in enumerate(values)
    )
    return Panel(Chart.ACCURACY, "T", unit, curves, "S.", "", DataTable((), ()), stacked=stacked)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.integers(2, 12))
def test_ticks_are_few_round_and_within(low, span, most):
    found = ticks(low, low + span, most)
    assert 1 <= len(found) <= most + 1 or not found
    assert all(low - 1e-6 * span <= t <= low + span * (1 + 1e-6) for t in found)
    steps = {round((b - a) / span, 9) for a, b in zip(found, found[1:], strict=False)}
    assert len(steps) <= 1 or max(steps) - min(steps) < 1e-6


def test_ticks_of_shares():
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert ticks(3, 3) == [3]


@st.composite
def intervals(draw, low=-1.0):
    three = sorted(draw(st.tuples(*[st.floats(low, 1)] * 3)))
    return Interval(three[1], three[0], three[2])


@given(st.lists(st.lists(intervals(), min_size=1, max_size=6), min_size=1, max_size=9), st.sampled_from(Unit))
def test_all_is_drawn_on_the_paper(values, unit):
    for lines in (True, False):
        text = draw_panel(panel(values, unit), lines=lines)
        svg = text.partition("<ul")[0]
        assert svg.count(" mark") == sum(map(len, values))
        assert "nan" not in svg
    frame = frame_of(panel(values, unit))
    for line in values:
        for v in line:
            assert 0 <= frame.y(v.low) <= HEIGHT
            assert frame.y(v.high) <= frame.y(v.mean) <= frame.y(v.low)


def test_a_frame_of_one_place_has_a_middle():
    assert 0 < Frame(5, 5, 0, 1).x(5) < WIDTH


def test_parts_of_a_whole_fill_it():
    parts = [[Interval(0.25, 0.2, 0.3)] * 3 for _ in range(4)]
    text = draw_panel(panel(parts, stacked=True))
    assert text.count(' part"') == 8
    assert "r=3.6" not in text


def test_names_are_escaped():
    text = draw_panel(panel([[Interval(0.5, 0.4, 0.6)]], label="<script>alert(1)</script>"))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert draw_panel(panel([])) == ""


def test_it_is_well_formed_once_attributes_are_quoted():
    import re

    text = draw_panel(panel([[Interval(0.5, 0.4, 0.6)] * 2])).partition("<ul")[0]
    ET.fromstring(re.sub(r'=([^"\s>]+)(?=[\s>])', r'="\1"', text))
