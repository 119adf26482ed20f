import json
from pathlib import Path

import numpy as np
import pytest
from helpers.robust_runs import SKILL, evaluate_run, write_run
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seirenes_app.services.robustness.figures import block_figures, count_figures, drop_rate, slice_key, slice_of
from seirenes_app.services.robustness.sources import open_source
from training.core.statistics import Interval
from training.core.types import Condition, HintType
from training.evaluation import metrics as derive
from training.evaluation.outcome_arrays import PACKED, OutcomeArrays, blocks


def close(found, expected, slack=0.0):
    assert found.mean == pytest.approx(expected.mean, abs=1e-9)
    assert (found.low, found.high) == (
        pytest.approx(expected.low, abs=1e-9 + slack), pytest.approx(expected.high, abs=1e-9 + slack)
    )  # fmt: skip


@pytest.mark.parametrize("samples", [1, 4])
def test_figures_are_those_of_the_evaluation(tmp_path, samples):
    """What `seirenes eval` says and what the charts show are the same, to the last digit."""
    paths = evaluate_run(tmp_path, problems=30, samples=samples, temperature=float(samples > 1))
    cells = open_source(paths.root).cells
    for block in blocks(cells):
        mine = block_figures(block)
        theirs = derive.summarise_target(cells, block.target, block.suite)
        for a in theirs.accuracies:
            close(mine[slice_key(a.condition, a.hint_type)].value, a.interval)
            if a.follow is not None:
                close(mine[f"follow/{slice_key(a.condition, a.hint_type)}"].value, a.follow)
        for gap in theirs.gaps:
            key = slice_key(gap.condition, gap.hint_type)
            close(mine[f"gap/{key}"].value, gap.gap)
            assert mine[f"gap/{key}"].p_value == pytest.approx(gap.p_value)
            if gap.hint_type is None:
                close(mine[f"drop/{key}"].value, gap.drop_rate)
                close(mine[f"harmful/{key}"].value, gap.flips.harmful)
                close(mine[f"helpful/{key}"].value, gap.flips.helpful)
        close(mine["worst/hinted"].value, theirs.worst.hinted)
        close(mine["worst/placebo"].value, theirs.worst.neutral)
        close(mine["effect/placebo"].value, theirs.worst.against_neutral.difference)
        assert mine["effect/placebo"].p_value == pytest.approx(theirs.worst.against_neutral.p_value)
        if samples == 1:
            assert "worst/clean" not in mine
        else:
            close(mine["worst/clean"].value, theirs.worst.resampled)
            close(mine["effect/clean"].value, theirs.worst.against_resampled.difference)


@pytest.mark.parametrize("samples", [1, 4])
def test_the_closed_form_is_near_the_bootstrap(tmp_path, samples):
    paths = evaluate_run(tmp_path, {0: SKILL[10]}, problems=200, samples=samples, temperature=float(samples > 1))
    (block,) = blocks(open_source(paths.root).cells)
    exact, closed = block_figures(block), block_figures(block, exact=False)
    assert exact.keys() == closed.keys()
    for key, figure in exact.items():
        close(closed[key].value, figure.value, slack=0.01)
        if figure.p_value is not None and figure.p_value > 1e-3:
            assert closed[key].p_value == pytest.approx(figure.p_value, rel=0.2)


@st.composite
def made_up_cells(draw):
    """One target on one suite: some problems, each with some prompts of k samples."""
    n, samples = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    rows = []
    for problem in range(n):
        for code, most in enumerate((1, 3, 3)):
            for index in range(draw(st.integers(0 if code else 1, most))):
                right = draw(st.integers(0, samples))
                rows.append((code, problem, index if code else -1, right))
    rows.sort()
    data = np.zeros(len(rows), dtype=PACKED)
    for i, (code, problem, index, right) in enumerate(rows):
        type_ = index % 4 if code == 1 else -1
        data[i] = (problem, index, type_, samples, right, *[0] * 7, (1 << right) - 1, right / samples)
    names = tuple(f"p{i}" for i in range(n))
    zeros = np.zeros(len(rows), dtype=np.int32)
    return OutcomeArrays(
        ("t",), ("s",), names, names, zeros, zeros, np.array([r[0] for r in rows], dtype=np.int8),
        np.array([r[1] for r in rows], dtype=np.int32), data,
    )  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(made_up_cells())
def test_flips_are_parts_of_a_whole_and_net_to_the_gap(cells):
    (block,) = blocks(cells)
    found = block_figures(block, exact=False)
    for figure in found.values():
        assert figure.value.low - 1e-9 <= figure.value.mean <= figure.value.high + 1e-9
    if "gap/hinted" in found:
        parts = {n: found[f"{n}/hinted"].value.mean for n in ("right", "wrong", "harmful", "helpful")}
        assert sum(parts.values()) == pytest.approx(1)
        assert parts["harmful"] - parts["helpful"] == pytest.approx(found["gap/hinted"].value.mean, abs=1e-9)


def test_totals_have_the_same_means_and_wider_intervals(tmp_path):
    paths = write_run(tmp_path / "r", {10: SKILL[10]}, problems=30)
    source = open_source(paths.root)
    (block,) = blocks(source.cells)
    metrics = source.state.evals[0].metrics
    exact, totals = block_figures(block), count_figures(metrics)
    # As runs kept them that took hints of one problem as independent.
    old = dict(metrics)
    for name in ("hinted", "placebo"):
        old[name] = {k: old[name][k] for k in ("right", "n")}
    for found in (totals, count_figures(old)):
        assert found.keys() <= exact.keys()
        assert {"clean", "hinted", "placebo", "gap/hinted", "harmful/hinted", "worst/hinted", "drop/hinted"} <= set(
            found
        )
        for key, figure in found.items():
            assert figure.value.mean == pytest.approx(exact[key].value.mean, abs=1e-9), key
            width = exact[key].value.high - exact[key].value.low
            assert figure.value.high - figure.value.low >= 0.85 * width, key


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=True) | st.integers(-5, 50) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["right", "n", "mean", "low", "high", "harmful", "helpful"]), inner, max_size=5
        )
    ),
    max_leaves=20,
)
METRICS = st.dictionaries(
    st.sampled_from(["clean", "hinted", "placebo", "by_type", "gap", "worst_of_k", "placebo_worst_of_k", "flips"]), JSON
)


@settings(deadline=None, max_examples=200)
@given(METRICS)
@example({"clean": {"n": float("inf")}})
@example({"clean": {"right": -1, "n": 1}})
@example({"clean": {"right": 0, "n": -1}})
@example({"clean": {"right": 2, "n": 1}})
@example({"clean": {"n": 10**400}})
def test_whatever_an_event_holds_gives_figures_or_none(metrics):
    for figure in count_figures(metrics).values():
        assert figure.rows >= 0


def test_keys_and_slices_go_together():
    for condition in Condition:
        assert slice_of(slice_key(condition)) == (condition, None)
    for type_ in HintType:
        assert slice_of(f"gap/{slice_key(Condition.HINTED, type_)}") == (Condition.HINTED, type_)


def test_a_drop_rate_needs_a_clean_accuracy():
    assert drop_rate(Interval(0.0, 0.0, 0.1), Interval(0.2, 0.1, 0.3)) is None
    found = drop_rate(Interval(0.8, 0.7, 0.9), Interval(0.4, 0.3, 0.5))
    assert found.mean == pytest.approx(0.5)
    assert found.low < found.mean < found.high


def test_figures_of_the_recorded_run_can_be_written_down():
    source = open_source(Path(__file__).parents[4] / "resources" / "recorded")
    for block in blocks(source.cells):
        json.dumps({k: f.value.mean for k, f in block_figures(block).items()}, allow_nan=False)
