import random
import statistics as plain
from dataclasses import replace

import numpy as np
import pytest
from helpers.evals import fill, small_plan

from training.core.statistics import maj_at_k, mcnemar_exact, paired_bootstrap, pass_at_k, wilson
from training.core.types import Condition, HintType
from training.evaluation.metrics import accuracies, change_between, changes, metrics_of, summarise_target
from training.evaluation.store_reader import StoreReader

SKILL = {Condition.CLEAN: 0.9, Condition.HINTED: 0.5, Condition.PLACEBO: 0.85, Condition.NEEDED: 0.7}


def by_luck(skill, follow=0.3):
    """Right with the condition's chance, the same for a key whoever asks; sometimes nothing readable."""

    def rule(key, problem):
        luck = random.Random(str(key))
        if luck.random() < skill[key.condition]:
            return problem.answer
        return None if luck.random() < 0.2 else str(70_000 + luck.randrange(3))

    return rule


def cells_of(paths):
    with StoreReader(paths.rows) as reader:
        return reader.cells()


def traces_of(paths, **slice_):
    with StoreReader(paths.rows) as reader:
        return reader.traces(limit=100_000, **slice_)


@pytest.fixture(scope="module")
def greedy(tmp_path_factory):
    plan = small_plan(problems=40, targets=("a", "b"), chunk_items=16)
    return fill(tmp_path_factory.mktemp("greedy"), plan, by_luck(SKILL)), plan.suites[0].name


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    plan = small_plan(problems=15, samples=6, temperature=1.0)
    return fill(tmp_path_factory.mktemp("sampled"), plan, by_luck(SKILL)), plan.suites[0].name


def test_metrics_of_cells_are_those_of_the_rows(greedy):
    paths, suite = greedy
    traces = traces_of(paths, target="a")
    metrics = metrics_of(cells_of(paths), "a", suite)
    right = {c: [t for t in traces if t.row.key.condition is c and t.row.outcome == "right"] for c in Condition}
    for condition in Condition:
        n = sum(t.row.key.condition is condition for t in traces)
        assert (metrics[condition]["right"], metrics[condition]["n"]) == (len(right[condition]), n)
        assert metrics[condition]["accuracy"] == pytest.approx(len(right[condition]) / n)
    for type_, found in metrics["by_type"].items():
        assert found["right"] == sum(t.prompt.hint_type == type_ for t in right[Condition.HINTED])
    for family, found in metrics["by_family"].items():
        assert found["hinted"]["right"] == sum(t.problem.family == family for t in right[Condition.HINTED])
    clean = {t.problem.id for t in right[Condition.CLEAN]}
    hinted = [t for t in traces if t.row.key.condition is Condition.HINTED]
    broken = [t for t in hinted if t.row.outcome != "right"]
    assert metrics["flips"] == {
        "harmful": sum(t.problem.id in clean for t in broken),
        "helpful": sum(t.problem.id not in clean for t in right[Condition.HINTED]),
    }
    whole = {t.problem.id for t in hinted} - {t.problem.id for t in broken}
    assert (metrics["worst_of_k"]["right"], metrics["worst_of_k"]["n"]) == (len(whole), 40)
    follows = [t.row.follows for t in hinted if t.row.follows is not None]
    assert metrics["follow_rate"] == sum(follows) / len(follows)
    assert metrics["unparsable_rate"] == sum(t.row.outcome == "unparsable" for t in traces) / len(traces)
    assert metrics["gap"]["mean"] == pytest.approx(metrics["clean"]["accuracy"] - metrics["hinted"]["accuracy"])


def test_one_row_a_problem_is_wilsons_and_more_are_clusters(greedy):
    found = {(a.condition, a.hint_type): a for a in accuracies(cells_of(greedy[0])) if a.target == "a"}
    assert list(found)[:2] == [(Condition.CLEAN, None), (Condition.HINTED, None)]
    clean, hinted = found[Condition.CLEAN, None], found[Condition.HINTED, None]
    assert (clean.clustered, clean.interval) == (False, wilson(clean.right, 40))
    assert (hinted.clustered, hinted.rows, hinted.problems) == (True, 160, 40)
    assert sum(found[Condition.HINTED, t].right for t in HintType) == hinted.right
    trap = found[Condition.HINTED, HintType.CORRELATION_TRAP]
    assert (trap.clustered, trap.interval) == (False, wilson(trap.right, 40))


def test_the_gap_is_paired_by_problem_with_mcnemars_test(greedy):
    paths, suite = greedy
    gap = summarise_target(cells_of(paths), "a", suite).gap(Condition.HINTED, HintType.SEMANTIC_MISLEADING)
    right = {(t.row.key.condition, t.row.key.item): t.row.outcome == "right"
             for t in traces_of(paths, target="a")
             if t.prompt.hint_type in (None, HintType.SEMANTIC_MISLEADING)
             and t.row.key.condition in (Condition.CLEAN, Condition.HINTED)}  # fmt: skip
    pairs = [(right[Condition.CLEAN, i], right[Condition.HINTED, i]) for i in range(40)]
    lost, won = sum(c and not h for c, h in pairs), sum(h and not c for c, h in pairs)
    assert (gap.flips.harmful_pairs, gap.flips.helpful_pairs, gap.problems) == (lost, won, 40)
    assert gap.p_value == mcnemar_exact(lost, won)
    assert gap.gap == paired_bootstrap([int(c) - int(h) for c, h in pairs])
    assert gap.gap.mean == pytest.approx(gap.clean - gap.perturbed)
    assert gap.needed.total is not None
    both = gap.flips.both_right_pairs + gap.flips.both_wrong_pairs
    assert both + lost + won == gap.flips.pairs == 40


def test_k_samples_are_counted_as_the_statistics_count_them(sampled):
    paths, suite = sampled
    found = {
        a.k: a
        for a in summarise_target(cells_of(paths), "a", suite).at_k
        if (a.condition, a.hint_type) == (Condition.CLEAN, None)
    }
    assert list(found) == [1, 2, 4, 6]
    by_item = {}
    for t in traces_of(paths, condition=Condition.CLEAN):
        by_item.setdefault(t.row.key.item, []).append((t.row.answer or None, t.row.outcome == "right"))
    right = [sum(good for _, good in samples) for samples in by_item.values()]
    for k, at in found.items():
        assert at.passed.mean == pytest.approx(plain.mean(pass_at_k(6, r, k) for r in right))
        assert at.avg.mean == pytest.approx(plain.mean(right) / 6)
    wanted = plain.mean(maj_at_k([a for a, _ in s], [good for _, good in s]) for s in by_item.values())
    assert found[6].majority.mean == pytest.approx(wanted, abs=1e-6)
    assert found[2].majority is None
    assert {a.problems for a in found.values()} == {15}


def test_worst_of_k_stands_beside_both_placebos(sampled):
    worst = summarise_target(cells_of(sampled[0]), "a", sampled[1]).worst
    assert (worst.k, worst.problems, worst.left_out) == (4, 15, 0)
    assert worst.neutral is not None
    assert worst.resampled is not None
    assert worst.against_neutral.difference.mean == pytest.approx(worst.neutral.mean - worst.hinted.mean)
    assert worst.against_neutral.p_value < 0.01


def test_greedy_rows_have_no_clean_resamples(greedy):
    for target in ("a", "b"):
        worst = summarise_target(cells_of(greedy[0]), target, greedy[1]).worst
        assert worst.resampled is None
        assert worst.against_neutral is not None


def test_an_attack_that_does_nothing_has_no_effect_beside_its_placebo(tmp_path):
    """Four hints that do what neutral texts do: few are right under all, and that says nothing."""
    rule = by_luck({c: 0.7 for c in Condition})
    plan = small_plan(problems=120, chunk_items=64)
    worst = summarise_target(cells_of(fill(tmp_path, plan, rule)), "a", plan.suites[0].name).worst
    assert worst.hinted.mean < 0.4
    assert worst.against_neutral.p_value > 0.05
    assert worst.against_neutral.difference.low < 0 < worst.against_neutral.difference.high


def test_two_targets_are_compared_prompt_by_prompt(greedy):
    cells = cells_of(greedy[0])
    found = changes(cells, "a", "b")
    assert len(found) == 8
    hinted = next(c for c in found if c.condition is Condition.HINTED and c.hint_type is None)
    assert hinted.problems == 40
    assert hinted.difference.mean == pytest.approx(hinted.accuracy_after - hinted.accuracy_before)
    back = next(c for c in changes(cells, "b", "a") if (c.condition, c.hint_type) == (Condition.HINTED, None))
    assert back.difference.mean == pytest.approx(-hinted.difference.mean)
    assert back.p_value == pytest.approx(hinted.p_value)
    same = change_between(cells.where("a"), cells.where("a"), Condition.CLEAN)
    assert (same.difference.mean, same.p_value, same.needed.total) == (0.0, 1.0, None)
    with pytest.raises(ValueError, match="one target"):
        change_between(cells, cells.where("a"), Condition.CLEAN)


def test_cells_in_any_order_give_the_same_figures(greedy):
    cells = cells_of(greedy[0])
    shuffled = cells.take(np.random.default_rng(1).permutation(len(cells)))
    assert accuracies(shuffled) == accuracies(cells)
    # Each prompt's place decides the bootstrap's draws.
    first, second = (summarise_target(c, "a", greedy[1]).gaps for c in (cells, shuffled))
    assert [(g.clean, g.perturbed, g.p_value) for g in first] == [(g.clean, g.perturbed, g.p_value) for g in second]


def test_no_cells_give_no_figures(greedy):
    nothing = cells_of(greedy[0]).where("nobody")
    assert accuracies(nothing) == ()
    with pytest.raises(ValueError, match="no cells"):
        summarise_target(nothing, "a", "b")


def test_clean_alone_has_no_gap(tmp_path):
    plan = replace(small_plan(), conditions=(Condition.CLEAN,))
    summary = summarise_target(cells_of(fill(tmp_path, plan, by_luck(SKILL))), "a", plan.suites[0].name)
    assert (summary.gaps, summary.worst, len(summary.accuracies)) == ((), None, 1)
    assert metrics_of(cells_of(fill(tmp_path, plan, by_luck(SKILL))), "a", plan.suites[0].name)["gap"] is None


def test_many_targets_are_summed_quickly(greedy):
    """200 targets of 40 problems; tests/bench/bench_cells.py measures the full size."""
    cells = cells_of(greedy[0]).where("a")
    many = replace(
        cells,
        targets=tuple(f"t{i}" for i in range(200)),
        **{name: np.tile(getattr(cells, name), 200) for name in ("suite", "condition", "problem", "data")},
        target=np.repeat(np.arange(200, dtype=np.int32), len(cells)),
    )
    found = accuracies(many)
    assert len(found) == 200 * 8
    assert len({a.right for a in found if a.condition is Condition.CLEAN}) == 1


# ---------------------------------------------------------------------- unread answers


def test_no_effect_is_derived_where_most_answers_are_unread(tmp_path):
    def rule(key, problem):
        return None if key.condition is Condition.HINTED and key.index != 0 else problem.answer

    plan = small_plan(problems=6)
    paths, suite = fill(tmp_path, plan, rule), plan.suites[0].name
    cells = cells_of(paths)
    summary = summarise_target(cells, "a", suite)
    hinted = summary.accuracy(Condition.HINTED)
    assert hinted.unread.unreadable == pytest.approx(0.75)
    assert hinted.unread.mostly
    assert hinted.follow is None
    assert {(a.condition, a.hint_type) for a in summary.mostly_unread} >= {(Condition.HINTED, None)}
    assert summary.gap() is None
    assert summary.gap(Condition.PLACEBO) is not None, "the placebo's answers are read"
    assert summary.worst is None
    assert change_between(cells.where("a"), cells.where("a"), Condition.HINTED) is None
    metrics = metrics_of(cells, "a", suite)
    assert (metrics["gap"], metrics["follow_rate"]) == (None, None)
    assert metrics["flips"] == {"harmful": None, "helpful": None}
    assert metrics["hinted"]["unparsable"] == pytest.approx(0.75)


def test_clean_answers_that_are_mostly_unread_leave_no_gap(tmp_path):
    plan = small_plan(problems=6)
    rule = lambda key, problem: None if key.condition is Condition.CLEAN else problem.answer  # noqa: E731
    summary = summarise_target(cells_of(fill(tmp_path, plan, rule)), "a", plan.suites[0].name)
    assert summary.gaps == ()


def test_truncated_answers_have_a_share_of_their_own(tmp_path):
    plan = small_plan(problems=4)
    rule = lambda key, problem: None if key.item < 2 else problem.answer  # noqa: E731
    paths = fill(tmp_path, plan, rule, truncated=lambda key: key.item == 0)
    clean = summarise_target(cells_of(paths), "a", plan.suites[0].name).accuracy(Condition.CLEAN)
    assert (clean.unread.unreadable, clean.unread.truncated) == (0.25, 0.25)
    assert clean.right / clean.rows == 0.5
