from dataclasses import replace

import numpy as np
import pytest
from helpers.robust_runs import SKILL, evaluate_run, evaluate_runs, write_run
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.services.robustness.comparison import area_weights, compare_runs
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Chart, Measure
from training.core.statistics import holm
from training.core.types import Condition
from training.runs.config import Mode, RunConfig

FLAT = {step: SKILL[0] for step in SKILL}


def opened(paths):
    book = ResultSource(paths.root)
    return book, book.tracks[0]


def test_the_better_run_is_found_and_equal_ones_are_not_told_apart(tmp_path):
    clean_rl = replace(RunConfig(), mode=Mode.CLEAN_RL)
    runs = [
        opened(write_run(tmp_path / "self", problems=30)),
        opened(write_run(tmp_path / "flat", FLAT, problems=30, config=clean_rl)),
        opened(write_run(tmp_path / "again", FLAT, problems=30, config=clean_rl)),
    ]
    found = compare_runs(runs)
    assert [(r.name, r.mode, r.last_x) for r in found.runs] == [
        ("self", "seirenes", 20), ("flat", "clean_rl", 20), ("again", "clean_rl", 20)
    ]  # fmt: skip
    lines = {(x.first, x.second, x.measure, x.condition): x for x in found.lines}
    assert len(lines) == 24, "three pairs, two measures, four conditions"
    worse = lines["self", "flat", Measure.LAST, Condition.HINTED]
    assert worse.difference.high < 0
    assert worse.p_value <= worse.p_adjusted < 0.05
    same = lines["flat", "again", Measure.AREA, Condition.HINTED]
    assert (same.difference.mean, same.p_adjusted) == (0.0, 1.0)
    assert [x.p_adjusted for x in found.lines] == holm([x.p_value for x in found.lines])
    text = "\n".join(found.sentences)
    assert "flat with 27% is below self with 76%" in text
    assert "no difference between flat and again" in text
    assert [p.chart for p in found.panels] == [Chart.COMPARISON] * 4
    assert [c.key for c in found.panels[0].curves] == ["self", "flat", "again"]
    assert len(found.table.rows) == 24


def test_two_runs_of_one_evaluation_are_compared_with_their_modes(tmp_path):
    """Checkpoints of both were asked together; what they are is read where the runs are."""
    for name, mode in (("one", Mode.SEIRENES), ("two", Mode.STATIC)):
        write_run(tmp_path / "runs" / name, {0: SKILL[0]}, config=replace(RunConfig(), mode=mode))
    book = ResultSource(evaluate_runs(tmp_path / "e", ("one", "two")).root)
    assert [t.run for t in book.tracks] == ["one", "two"]
    found = compare_runs([(book, t) for t in book.tracks])
    assert [(r.name, r.mode) for r in found.runs] == [("one", "seirenes"), ("two", "static")]
    assert {x.measure for x in found.lines} == {Measure.LAST, Measure.AREA}


def test_the_last_line_is_the_difference_of_the_curves_ends(tmp_path):
    runs = [opened(write_run(tmp_path / n, s, problems=20)) for n, s in (("a", SKILL), ("b", FLAT))]
    found = compare_runs(runs)
    ends = [c.points[-1].value.mean for c in found.panels[0].curves]
    line = next(x for x in found.lines if (x.measure, x.condition) == (Measure.LAST, Condition.HINTED))
    assert [line.value_first, line.value_second] == pytest.approx(ends)
    area = next(x for x in found.lines if (x.measure, x.condition) == (Measure.AREA, Condition.HINTED))
    values = [[p.value.mean for p in c.points] for c in found.panels[0].curves]
    assert [area.value_first, area.value_second] == pytest.approx([np.trapezoid(v, dx=10) / 20 for v in values])


def test_a_run_is_no_better_than_itself_with_fewer_of_its_checkpoints(tmp_path):
    rise = {0: SKILL[0], 10: SKILL[20], 20: SKILL[20]}
    runs = [
        opened(write_run(tmp_path / "whole", rise, problems=30)),
        opened(write_run(tmp_path / "ends", rise, problems=30, keep_rows=(0, 20))),
    ]
    area = next(x for x in compare_runs(runs).lines if (x.measure, x.condition) == (Measure.AREA, Condition.HINTED))
    assert (area.difference.mean, area.p_value) == (0.0, 1.0)
    assert area.value_first == area.value_second


def test_what_cannot_be_compared_is_refused_in_words(tmp_path):
    first = opened(write_run(tmp_path / "a"))
    others = [
        opened(write_run(tmp_path / "other-suite", seed=2)),
        opened(write_run(tmp_path / "no-rows", keep_rows=())),
        opened(evaluate_run(tmp_path / "e", max_tokens=64)),
        opened(evaluate_run(tmp_path / "f", samples=2, temperature=1.0)),
    ]
    found = compare_runs([first, *others])
    assert [r.name for r in found.runs] == ["a"]
    assert found.lines == ()
    assert [r.split(" is left out: ")[0] for r in found.refused] == ["other-suite", "no-rows", "r (1)", "r (2)"]
    assert "has the hash" in found.refused[0]
    assert "totals cannot be paired" in found.refused[1]
    assert "it was asked greedy, 1 sample a prompt, at most 64 tokens" in found.refused[2]
    assert "temperature 1, 2 samples" in found.refused[3]
    assert "nothing to compare" in found.sentences[0]


@given(st.lists(st.integers(0, 500), min_size=2, max_size=12, unique=True).map(sorted), st.integers(0, 99))
def test_area_weights_are_the_mean_of_the_curve(steps, seed):
    weights = area_weights(steps)
    assert sum(weights) == pytest.approx(1)
    assert min(weights) >= 0
    values = np.random.default_rng(seed).random(len(steps))
    mean = np.trapezoid(values, steps) / (steps[-1] - steps[0])
    assert float(np.dot(weights, values)) == pytest.approx(mean)
