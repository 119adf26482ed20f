from dataclasses import replace

import pytest
from helpers.evals import fill, small_plan

from training.core.types import Condition
from training.evaluation.crossplay import crossplay
from training.evaluation.plan import EvalPlan, SuiteRef
from training.evaluation.store_reader import StoreReader

NAMES = ("r@0", "r@1", "r@2", "r@3")


def played(folder, rule, problems=24, runs=("",) * 4):
    """A cross-play whose suites are the frozen one under the names of four writers."""
    base = small_plan(problems, NAMES, chunk_items=12)
    base = replace(base, targets=tuple(replace(t, run=run) for t, run in zip(base.targets, runs, strict=True)))
    (ref,) = base.suites
    suites = tuple(
        SuiteRef(f"hints by {w}", ref.source, ref.digest, problems,
                 conditions=(Condition.CLEAN, Condition.HINTED)[0 if not i else 1 :])
        for i, w in enumerate(NAMES)
    )  # fmt: skip
    paths = fill(folder, replace(base, suites=suites), rule)
    written = tuple(replace(s, writer=w) for s, w in zip(suites, NAMES, strict=True))
    plan = EvalPlan.__new__(EvalPlan)
    for name, value in {**{f: getattr(base, f) for f in base.__slots__}, "suites": written}.items():
        object.__setattr__(plan, name, value)
    with StoreReader(paths.rows) as reader:
        return crossplay(plan, reader.cells())


def place(key):
    return NAMES.index(key.target), NAMES.index(key.suite.removeprefix("hints by "))


def test_an_arms_race_shows_progress_attack_and_no_forgetting(tmp_path):
    """Reasoner i withstands writers up to its own time, and half of the problems under later ones."""

    def rule(key, problem):
        reasoner, writer = place(key)
        good = key.condition is Condition.CLEAN or writer <= reasoner or key.item % 2 == 0
        return problem.answer if good else "99999"

    found = played(tmp_path, rule)
    assert [[c.accuracy.mean for c in row] for row in found.cells] == [
        [1.0, 0.5, 0.5, 0.5], [1.0, 1.0, 0.5, 0.5], [1.0, 1.0, 1.0, 0.5], [1.0, 1.0, 1.0, 1.0]
    ]  # fmt: skip
    assert {c.problems for row in found.cells for c in row} == {24}
    assert [m.accuracy.mean for m in found.row_means] == pytest.approx([0.625, 0.75, 0.875, 1.0])
    assert [m.accuracy.mean for m in found.column_means] == pytest.approx([1.0, 0.875, 0.75, 0.625])
    assert found.diagonal.accuracy.mean == 1.0
    assert found.progress.difference.mean == pytest.approx(0.25)
    assert found.progress.p_value < 0.01
    assert found.attack.difference.mean == pytest.approx(0.25)
    assert found.cycling.difference.mean == pytest.approx(0.5)
    assert (found.forgetting.difference.mean, found.forgetting.p_value) == (0.0, 1.0)
    assert [s.earlier is None for s in found.steps] == [True, False, False, False]
    assert [s.later is None for s in found.steps] == [False, False, False, True]
    assert found.steps[1].earlier_minus_later.difference.mean == pytest.approx(0.5)
    assert [c.mean for c in found.clean] == [1.0] * 4


def test_forgetting_shows(tmp_path):
    """The last Reasoner fails under the first writer's hints, which the first Reasoner withstood."""

    def rule(key, problem):
        bad = key.condition is Condition.HINTED and place(key) == (3, 0)
        return "99999" if bad else problem.answer

    found = played(tmp_path, rule)
    assert found.forgetting.difference.mean == pytest.approx(-1 / 3)
    assert found.forgetting.difference.high < 0
    assert found.forgetting.p_value < 0.01


def test_without_writers_there_is_no_matrix(tmp_path):
    paths = fill(tmp_path, small_plan(), lambda key, problem: problem.answer)
    with StoreReader(paths.rows) as reader, pytest.raises(ValueError, match="no hints"):
        crossplay(small_plan(), reader.cells())


def test_models_of_several_runs_have_no_order_and_so_no_contrast(tmp_path):
    def rule(key, problem):
        return problem.answer if place(key)[0] > 1 else "99999"

    found = played(tmp_path, rule, problems=8, runs=("a", "a", "b", "b"))
    assert [m.accuracy.mean for m in found.row_means] == [0.0, 0.0, 1.0, 1.0]
    assert (found.progress, found.attack, found.forgetting, found.cycling, found.steps) == (None, None, None, None, ())
