"""What a study's figures are and what they show: values from stored outcomes, typed conclusions, sentences and tables.

The pre-stated primary measure is exploitability: the accuracy of a frozen Reasoner under the hints of an Adversary that
was trained against it. It is fair to all variants, where the pool of the runs' own last Adversaries favours those that
train one. Figures are means over seeds and problems with the interval of `statistics.seed_mean`; a difference is taken
a problem and a seed at a time. Reads the folders of a study; changes nothing.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from seirenes_app.services.evaluations import open_rows
from seirenes_app.services.formatting import (
    UNKNOWN,
    count_of,
    duration,
    is_clear,
    percent,
    percent_interval,
    points_interval,
)
from seirenes_app.services.robustness.types import DataTable, Value
from seirenes_app.services.study.definition import (
    START,
    Part,
    PartKind,
    StudyDefinition,
    StudyDir,
    at_shorter,
    parts_of,
    read_study,
    run_config,
    run_part,
)
from seirenes_app.services.study.execution import (
    EARLY,
    PartState,
    PartStatus,
    StudyState,
    StudyWatch,
    played_seconds,
    reasoner_name,
)
from training.core.statistics import Interval, SeedMean, seed_mean
from training.core.types import Condition, HintType
from training.errors import NotReadyError, UserError
from training.evaluation.eval_dir import EvalDir, read_plan
from training.evaluation.metric_types import UnreadShares
from training.evaluation.metrics import all_right
from training.evaluation.outcome_arrays import Floats, OutcomeArrays, right_rates
from training.evaluation.plan import FROZEN
from training.evaluation.store_reader import StoreReader
from training.runs.config import Mode
from training.runs.paths import RunPaths
from training.runs.processes import read_run


class Measure(StrEnum):
    """What is compared; all but `LONGER_…` are shares of right answers, the higher the better."""

    EXPLOITABILITY = "exploitability"
    POOL = "pool"
    CLEAN = "clean"
    PLACEBO = "placebo"
    NEEDED = "needed"
    HINTED = "hinted"
    HELD_OUT_TYPES = "held_out_types"
    WORST = "worst_of_k"
    WORST_PLACEBO = "worst_of_k_placebo"
    LONGER_1_5 = "longer_1.5"
    LONGER_2 = "longer_2"
    LONGER_3 = "longer_3"
    LONGER_4 = "longer_4"


@dataclass(frozen=True, slots=True)
class MeasureText:
    title: str
    help: str


TEXTS: Mapping[Measure, MeasureText] = {
    Measure.EXPLOITABILITY: MeasureText(
        "Under best response",
        "Share right under the hints of a new Adversary that was trained against this frozen Reasoner; of several the "
        "mean. The primary measure: the higher, the less can be exploited.",
    ),
    Measure.POOL: MeasureText("Under the pool", "Share right under the hints of the last Adversaries of all runs."),
    Measure.CLEAN: MeasureText("Clean", "Share right without a hint."),
    Measure.PLACEBO: MeasureText("Placebo", "Share right beside neutral text of the hints' length."),
    Measure.NEEDED: MeasureText(
        "Needed", "Share right with the question moved before the story's last sentence: what follows it is needed."
    ),
    Measure.HINTED: MeasureText("Held-out forms", "Share right under the frozen suite's hints, of forms held out."),
    Measure.HELD_OUT_TYPES: MeasureText(
        "Held-out types", "Share right under hints of the types that no run trained with."
    ),
    Measure.WORST: MeasureText("Worst of k", "Share of problems right under all hints of the frozen suite."),
    Measure.WORST_PLACEBO: MeasureText("Worst of k, placebo", "Share of problems right beside as many placebos."),
    Measure.LONGER_1_5: MeasureText("1.5× longer", "Share of hinted answers over 1.5 times as long as the clean one."),
    Measure.LONGER_2: MeasureText("2× longer", "Share of hinted answers over twice as long as the clean one."),
    Measure.LONGER_3: MeasureText("3× longer", "Share of hinted answers over 3 times as long as the clean one."),
    Measure.LONGER_4: MeasureText("4× longer", "Share of hinted answers over 4 times as long as the clean one."),
}
MAIN = (Measure.EXPLOITABILITY, Measure.POOL, Measure.CLEAN, Measure.PLACEBO, Measure.NEEDED, Measure.HINTED)
"""The columns of a narrow table."""
_LONGER = {Measure.LONGER_1_5: 1.5, Measure.LONGER_2: 2.0, Measure.LONGER_3: 3.0, Measure.LONGER_4: 4.0}
_CONDITIONS = {Measure.CLEAN: Condition.CLEAN, Measure.PLACEBO: Condition.PLACEBO, Measure.NEEDED: Condition.NEEDED,
               Measure.HINTED: Condition.HINTED}  # fmt: skip


class Basis(StrEnum):
    """What runs have in common where they are compared."""

    ROLLOUTS = "rollouts"
    TIME = "time"
    """Each at its newest checkpoint within the time of the quickest run."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of one variant. `by_seed` has the mean over problems of each seed that was measured."""

    variant: str
    measure: Measure
    mean: SeedMean
    by_seed: tuple[tuple[int, Interval], ...]
    unread: UnreadShares


@dataclass(frozen=True, slots=True)
class Difference:
    """first − second of one measure, paired by problem and seed."""

    first: str
    second: str
    measure: Measure
    mean: SeedMean

    @property
    def shown(self) -> bool:
        """Whether it may be called a difference of the variants: of several seeds, its interval without zero."""
        return self.mean.seeds > 1 and is_clear(self.mean.interval)


class GoalKind(StrEnum):
    AHEAD = "ahead"
    """The first variant is ahead of the second by at least so much, and the interval excludes zero."""
    KEPT = "kept"
    """The first variant has lost no more than so much from the second, the start."""


class GoalStatus(StrEnum):
    MET = "met"
    NOT_MET = "not met"
    UNDECIDED = "not decided"
    """The interval excludes neither that it is kept nor a larger loss."""
    OPEN = "not measured"


class _Loss(StrEnum):
    KEPT = "kept"
    LOST = "lost"
    OPEN = "open"


def _loss(difference: Interval, points: float) -> _Loss:
    """Whether a difference to the start is a loss of more than `points`: one is called so only where it is clear."""
    if difference.low >= -points:
        return _Loss.KEPT
    return _Loss.LOST if difference.mean < -points and difference.high < 0 else _Loss.OPEN


@dataclass(frozen=True, slots=True)
class Goal:
    """One pre-stated goal and what became of it. `points` is a share: 0.08 for 8 points."""

    kind: GoalKind
    measure: Measure
    first: str
    second: str
    points: float
    difference: Difference | None

    @property
    def status(self) -> GoalStatus:
        if self.difference is None:
            return GoalStatus.OPEN
        found = self.difference.mean.interval
        if self.kind is GoalKind.KEPT:
            loss = _loss(found, self.points)
            if loss is _Loss.LOST:
                return GoalStatus.NOT_MET
            # What one seed keeps, another may lose.
            return GoalStatus.MET if loss is _Loss.KEPT and self.difference.mean.seeds > 1 else GoalStatus.UNDECIDED
        return GoalStatus.MET if found.mean >= self.points and self.difference.shown else GoalStatus.NOT_MET


EXPLOITABILITY_POINTS, POOL_POINTS, KEPT_POINTS = 0.08, 0.15, 0.02


@dataclass(frozen=True, slots=True)
class SeedRun:
    """What one run took: seconds of its steps (see `played_seconds`), rollouts, steps; 0 for what is not known yet."""

    variant: str
    seed: int
    run: str
    status: PartStatus
    seconds: float
    rollouts: int
    steps: int


@dataclass(frozen=True)
class StudyResults:
    """Everything there is to show of a study, while it runs too: what is not measured yet is left out."""

    name: str
    description: str
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    problems: int
    rollouts: int
    response_rollouts: int
    responses: int
    """Best responses to each Reasoner."""
    pool: bool
    """Whether the study measures under the hints of all runs' last Adversaries."""
    added: tuple[int, ...]
    """Seeds that were added after the study had begun."""
    figures: Mapping[Basis, tuple[Figure, ...]]
    differences: Mapping[Basis, tuple[Difference, ...]]
    goals: tuple[Goal, ...]
    runs: tuple[SeedRun, ...]
    writing: Mapping[str, float]
    """Share of its hints that passed the gates, by who wrote them."""
    earlier: tuple[StudyResults, ...] = ()
    """The same before each extension to more rollouts a run, the shortest runs first."""

    def figure(self, variant: str, measure: Measure, basis: Basis = Basis.ROLLOUTS) -> Figure | None:
        found = self.figures.get(basis, ())
        return next((f for f in found if f.variant == variant and f.measure is measure), None)

    def measures(self, basis: Basis = Basis.ROLLOUTS) -> tuple[Measure, ...]:
        there = {f.measure for f in self.figures.get(basis, ())}
        return tuple(m for m in Measure if m in there)

    def rows(self, basis: Basis = Basis.ROLLOUTS) -> tuple[str, ...]:
        """The variants that have a figure, the start first."""
        there = {f.variant for f in self.figures.get(basis, ())}
        return tuple(v for v in (START, *self.variants) if v in there)


# ---------------------------------------------------------------------- values of one Reasoner


@dataclass(frozen=True, slots=True, eq=False)
class _Values:
    """One measure of one Reasoner: a value a problem `[P]`, NaN where it has none."""

    values_P: Floats
    unread: UnreadShares


_Key = tuple[str, int, Basis]
"""Variant, seed, basis."""


def _mean_unread(each: Sequence[UnreadShares]) -> UnreadShares:
    return UnreadShares(*(sum(getattr(u, f.name) for u in each) / len(each) for f in fields(UnreadShares)))


class _Collector:
    """Values of all Reasoners on the same problems, numbered as they are met."""

    def __init__(self, study: StudyDefinition) -> None:
        self.study = study
        self.places: dict[str, int] = {}
        self.found: dict[_Key, dict[Measure, _Values]] = {}
        self.repeats: dict[tuple[_Key, Measure], list[_Values]] = {}
        self.writing: dict[str, float] = {}
        self.early = False
        """Whether any Reasoner was measured at an earlier checkpoint, for a comparison at equal time."""

    def add(self, key: _Key, measure: Measure, values_P: Floats, ids: Sequence[str], unread: UnreadShares) -> None:
        for id_ in ids:
            self.places.setdefault(id_, len(self.places))
        placed = np.full(max(self.study.problems, len(self.places)), np.nan)
        placed[[self.places[id_] for id_ in ids]] = values_P
        self.found.setdefault(key, {})[measure] = _Values(placed, unread)

    def add_cells(self, key: _Key, measure: Measure, cells: OutcomeArrays, values_P: Floats | None = None) -> None:
        if len(cells):
            values = right_rates(cells) if values_P is None else values_P
            self.add(key, measure, values, cells.problems, cells.unread_shares)

    def add_repeat(self, key: _Key, measure: Measure, cells: OutcomeArrays) -> None:
        """As `add_cells`, for a measure that is the mean over several evaluations of one Reasoner."""
        self.add_cells(key, measure, cells)
        if (found := self.found.get(key, {}).get(measure)) is None:
            return
        each = self.repeats.setdefault((key, measure), [])
        each.append(found)
        values_RP = np.stack([v.values_P[: self.study.problems] for v in each])
        self.found[key][measure] = _Values(values_RP.mean(axis=0), _mean_unread([v.unread for v in each]))

    def stacked(self, variant: str, measure: Measure, basis: Basis, seeds: Sequence[int]) -> Floats:
        """`[S, P]` of these seeds, which have the measure."""
        return np.stack([self._of(variant, seed, basis)[measure].values_P[: self.study.problems] for seed in seeds])

    def seeds(self, variant: str, measure: Measure, basis: Basis) -> list[int]:
        return [s for s in self.study.seeds if measure in self._of(variant, s, basis)]

    def unread(self, variant: str, measure: Measure, basis: Basis, seeds: Sequence[int]) -> UnreadShares:
        return _mean_unread([self._of(variant, s, basis)[measure].unread for s in seeds])

    def _of(self, variant: str, seed: int, basis: Basis) -> Mapping[Measure, _Values]:
        if variant == START:
            # It is one model, whatever the seed and the time.
            return self.found.get((START, self.study.seeds[0], Basis.ROLLOUTS), {})
        return self.found.get((variant, seed, basis), {})


def _held_out_types(study: StudyDefinition) -> tuple[HintType, ...]:
    """The types that no run of the study trains with."""
    trained: set[str] = set()
    for variant in study.variants:
        chosen = run_config(study, variant.name, study.seeds[0]).adversary.types
        trained |= {str(t) for t in HintType} if chosen == "all" else {t.strip() for t in chosen.split(",")}
    return tuple(t for t in HintType if t not in trained)


def _collect_measures(found: _Collector, paths: EvalDir) -> None:
    plan = read_plan(paths)
    frozen = next(s.name for s in plan.suites if s.source.startswith(FROZEN))
    pool = [s.name for s in plan.suites if s.writer]
    targets = {t.name for t in plan.targets}
    found.early |= any(name.endswith(EARLY) for name in targets)
    with open_rows(paths) as reader:
        cells = reader.cells()
        for suite in plan.suites:
            found.writing |= _passed(reader, suite.name, suite.writer)
        for variant in (START, *(v.name for v in found.study.variants)):
            for seed in found.study.seeds[:1] if variant == START else found.study.seeds:
                name = reasoner_name(variant, seed)
                for basis, target in ((Basis.ROLLOUTS, name), (Basis.TIME, name + EARLY)):
                    # The quickest run was measured once, and is the same on both bases.
                    target = target if target in targets else name
                    _collect_target(found, (variant, seed, basis), cells.where(target=target), frozen, pool)
                    _collect_lengths(found, (variant, seed, basis), reader, target, frozen)


def _passed(reader: StoreReader, suite: str, writer: str) -> dict[str, float]:
    text = reader.meta(f"writing/{suite}") if writer else None
    return {writer: float(json.loads(text)["gate_pass_rate"])} if text else {}


def _collect_target(found: _Collector, key: _Key, cells: OutcomeArrays, frozen: str, pool: Sequence[str]) -> None:
    own = cells.where(suite=frozen)
    for measure, condition in _CONDITIONS.items():
        found.add_cells(key, measure, own.where(condition=condition))
    held_out = _held_out_types(found.study)
    if held_out:
        hinted = own.where(condition=Condition.HINTED)
        codes = [list(HintType).index(t) for t in held_out]
        found.add_cells(key, Measure.HELD_OUT_TYPES, hinted.take(np.isin(hinted.data["hint_type"], codes)))
    for measure, condition in ((Measure.WORST, Condition.HINTED), (Measure.WORST_PLACEBO, Condition.PLACEBO)):
        part = own.where(condition=condition)
        if len(part):
            right_P, counts_P = all_right(part)
            found.add_cells(key, measure, part, np.where(counts_P > 0, right_P, np.nan))
    numbers = [cells.suites.index(name) for name in pool if name in cells.suites]
    found.add_cells(key, Measure.POOL, cells.take(np.isin(cells.suite, numbers)))


def _collect_lengths(found: _Collector, key: _Key, reader: StoreReader, target: str, frozen: str) -> None:
    """Shares of hinted answers that are so many times longer than the clean answers to their problem."""
    clean: dict[str, list[int]] = {}
    hinted: dict[str, list[int]] = {}
    for lengths, condition in ((clean, Condition.CLEAN), (hinted, Condition.HINTED)):
        for problem, tokens in reader.lengths(target, frozen, condition):
            lengths.setdefault(problem, []).append(tokens)
    ids = [p for p in hinted if sum(clean.get(p, ())) > 0]
    for measure, factor in _LONGER.items():
        shares = [
            float(np.mean(np.asarray(hinted[p]) > factor * np.mean(clean[p]))) for p in ids
        ]  # fmt: skip
        if ids:
            found.add(key, measure, np.asarray(shares), ids, UnreadShares())


def _collect_exploit(found: _Collector, part: Part, paths: EvalDir) -> None:
    """One best response; the value of a problem is the mean over those to this Reasoner that are measured."""
    plan = read_plan(paths)
    with open_rows(paths) as reader:
        cells = reader.cells()
        for suite in plan.suites:
            found.writing |= _passed(reader, suite.name, suite.writer)
    found.add_repeat((part.variant, part.seed, Basis.ROLLOUTS), Measure.EXPLOITABILITY, cells)


# ---------------------------------------------------------------------- results


def read_results(paths: StudyDir, state: StudyState | None = None) -> StudyResults:
    """All figures of the parts that have finished. Opens databases: call it off the window's thread."""
    study = read_study(paths)
    state = state or StudyWatch(paths).poll()
    earlier = (_results(shorter, state) for shorter in at_shorter(study))
    return replace(_results(study, state), earlier=tuple(r for r in earlier if len(r.rows()) > 1))


def _results(study: StudyDefinition, state: StudyState) -> StudyResults:
    found = _Collector(study)
    for part in parts_of(study):
        recorded = state.of(part.id)
        if recorded.status is not PartStatus.FINISHED or part.kind not in (PartKind.EXPLOIT, PartKind.MEASURES):
            continue
        # An evaluation that was moved away is as if it were not measured.
        with suppress(NotReadyError, UserError):
            if part.kind is PartKind.EXPLOIT:
                _collect_exploit(found, part, EvalDir(Path(recorded.folder)))
            else:
                _collect_measures(found, EvalDir(Path(recorded.folder)))
    # Without any, the runs took equally long, or there is one alone.
    figures = {
        basis: tuple(_figures(found, basis)) if basis is Basis.ROLLOUTS or found.early else () for basis in Basis
    }
    differences = {basis: tuple(_differences(found, basis)) if figures[basis] else () for basis in Basis}
    return StudyResults(
        study.name, study.description, tuple(v.name for v in study.variants), study.seeds, study.problems,
        study.rollouts, study.response.rollouts, study.response.repeats, study.pool, study.added, figures, differences,
        tuple(_goals(study, found)), tuple(_seed_runs(study, state)), found.writing,
    )  # fmt: skip


def _figures(found: _Collector, basis: Basis) -> Iterator[Figure]:
    for variant in (START, *(v.name for v in found.study.variants)):
        for measure in Measure:
            if basis is Basis.TIME and measure is Measure.EXPLOITABILITY:
                continue
            seeds = found.seeds(variant, measure, basis)
            seeds = seeds[:1] if variant == START else seeds
            if seeds:
                values_SP = found.stacked(variant, measure, basis, seeds)
                each = (seed_mean(row, limits=(0.0, 1.0)).interval for row in values_SP)
                by_seed = tuple(zip(seeds, each, strict=True))
                unread = found.unread(variant, measure, basis, seeds)
                yield Figure(variant, measure, seed_mean(values_SP, limits=(0.0, 1.0)), by_seed, unread)


def _difference(found: _Collector, first: str, second: str, measure: Measure, basis: Basis) -> Difference | None:
    seeds = [s for s in found.seeds(first, measure, basis) if s in found.seeds(second, measure, basis)]
    if not seeds:
        return None
    values_SP = found.stacked(first, measure, basis, seeds) - found.stacked(second, measure, basis, seeds)
    try:
        return Difference(first, second, measure, seed_mean(values_SP))
    except ValueError:
        return None


def _differences(found: _Collector, basis: Basis) -> Iterator[Difference]:
    """The first variant − each other one, and each − the start."""
    names = [v.name for v in found.study.variants]
    pairs = [*((names[0], other) for other in names[1:]), *((name, START) for name in names)]
    for first, second in pairs:
        for measure in Measure:
            if basis is Basis.TIME and measure is Measure.EXPLOITABILITY:
                continue
            if (difference := _difference(found, first, second, measure, basis)) is not None:
                yield difference


def _goals(study: StudyDefinition, found: _Collector) -> Iterator[Goal]:
    """What was set as goals before: of a study whose first variant is self-play and that has the two baselines."""
    first = study.variants[0]
    if first.mode is not Mode.SEIRENES:
        return
    for other in study.variants:
        if other.mode in (Mode.STATIC, Mode.RANDOM):
            for measure, wanted in ((Measure.EXPLOITABILITY, EXPLOITABILITY_POINTS), (Measure.POOL, POOL_POINTS)):
                if measure is Measure.POOL and not study.pool:
                    continue
                difference = _difference(found, first.name, other.name, measure, Basis.ROLLOUTS)
                yield Goal(GoalKind.AHEAD, measure, first.name, other.name, wanted, difference)
    for measure in (Measure.CLEAN, Measure.PLACEBO, Measure.NEEDED):
        difference = _difference(found, first.name, START, measure, Basis.ROLLOUTS)
        yield Goal(GoalKind.KEPT, measure, first.name, START, KEPT_POINTS, difference)


def _seed_runs(study: StudyDefinition, state: StudyState) -> Iterator[SeedRun]:
    for variant in study.variants:
        for seed in study.seeds:
            recorded: PartState = state.of(run_part(study, variant.name, seed))
            seconds, rollouts, steps = 0.0, 0, 0
            if recorded.folder and (run := read_run(RunPaths(Path(recorded.folder))).state) is not None:
                seconds, steps = played_seconds(run), run.done_steps
                rollouts = int(run.latest.get("rollouts_total") or 0)
            yield SeedRun(
                variant.name, seed, Path(recorded.folder).name, recorded.status, seconds, rollouts, steps
            )  # fmt: skip


# ---------------------------------------------------------------------- tables


def main_table(results: StudyResults, basis: Basis = Basis.ROLLOUTS, measures: Sequence[Measure] = ()) -> DataTable:
    """Rows are variants, columns measures as text: the mean with its interval."""
    shown = [m for m in measures or results.measures(basis) if m in results.measures(basis)]
    rows: list[tuple[Value, ...]] = []
    for variant in results.rows(basis):
        cells = [results.figure(variant, m, basis) for m in shown]
        rows.append((variant, *(percent_interval(c.mean.interval) if c else UNKNOWN for c in cells)))
    return DataTable(("", *(TEXTS[m].title for m in shown)), tuple(rows))


def seeds_table(results: StudyResults, basis: Basis = Basis.ROLLOUTS, measures: Sequence[Measure] = ()) -> DataTable:
    """The same, a row for each seed, with what its run took."""
    shown = [m for m in measures or results.measures(basis) if m in results.measures(basis)]
    rows: list[tuple[Value, ...]] = []
    for run in results.runs:
        cells: list[str] = []
        for measure in shown:
            figure = results.figure(run.variant, measure, basis)
            interval = dict(figure.by_seed).get(run.seed) if figure else None
            cells.append(percent_interval(interval) if interval else UNKNOWN)
        took = (run.steps or UNKNOWN, run.rollouts or UNKNOWN, duration(run.seconds) if run.seconds else UNKNOWN)
        rows.append((run.variant, run.seed, *took, *cells))
    return DataTable(("", "seed", "steps", "rollouts", "CPU time", *(TEXTS[m].title for m in shown)), tuple(rows))


def lengths_table(results: StudyResults, measures: Sequence[Measure] = MAIN) -> DataTable:
    """Rows are variants after each number of rollouts that their runs were extended to; empty where they were not."""
    each = (*results.earlier, results) if results.earlier else ()
    shown = [m for m in measures if any(m in r.measures() for r in each)]
    rows: list[tuple[Value, ...]] = []
    for variant in results.variants:
        for r in each:
            cells = [r.figure(variant, m) for m in shown]
            if any(cells):
                found = (percent_interval(c.mean.interval) if c else UNKNOWN for c in cells)
                rows.append((variant, f"{r.rollouts:,}", *found))
    return DataTable(("", "rollouts a run", *(TEXTS[m].title for m in shown)), tuple(rows))


def differences_table(results: StudyResults, basis: Basis = Basis.ROLLOUTS) -> DataTable:
    """Paired differences in points, of the main measures."""
    rows: list[tuple[Value, ...]] = [
        (
            f"{d.first} − {d.second}", TEXTS[d.measure].title, points_interval(d.mean.interval, ""), d.mean.seeds,
            d.mean.problems, "shown" if d.shown else "not shown",
        )
        for d in results.differences.get(basis, ())
        if d.measure in MAIN
    ]  # fmt: skip
    return DataTable(("", "measure", "points [95%]", "seeds", "problems", ""), tuple(rows))


def all_figures(results: StudyResults) -> DataTable:
    """Every figure as numbers, for CSV: means with their intervals, one row for all seeds and one for each; those of
    shorter runs, before the study was extended, first."""
    columns = ("rollouts", "basis", "variant", "measure", "seed", "mean", "low", "high", "seeds", "problems",
               "unreadable", "truncated")  # fmt: skip
    rows: list[tuple[Value, ...]] = []
    for r, basis in itertools.product((*results.earlier, results), Basis):
        for f in r.figures[basis]:
            mean = f.mean
            unread = (f.unread.unreadable, f.unread.truncated)
            head: tuple[Value, ...] = (r.rollouts, str(basis), f.variant, str(f.measure))
            rows.append((*head, "all", *_limits(mean.interval), mean.seeds, mean.problems, *unread))
            rows += [(*head, seed, *_limits(i), 1, mean.problems, *unread) for seed, i in f.by_seed]
    return DataTable(columns, tuple(rows))


def _limits(found: Interval) -> tuple[float, float, float]:
    return found.mean, found.low, found.high


# ---------------------------------------------------------------------- sentences


def goal_sentence(goal: Goal) -> str:
    """One goal with its figure."""
    name, wanted = TEXTS[goal.measure].title.lower(), f"{100 * goal.points:g} points"
    if goal.kind is GoalKind.AHEAD:
        what = f"{goal.first} ahead of {goal.second} by at least {wanted}, {name}"
    else:
        what = f"{goal.first} within {wanted} of the start, {name}"
    if goal.difference is None:
        return f"{what}: not measured."
    found = points_interval(goal.difference.mean.interval)
    doubt = "; a larger loss is not excluded" if goal.status is GoalStatus.UNDECIDED else ""
    return f"{what}: {goal.status}, {found}{doubt}."


def conclusions(results: StudyResults) -> tuple[str, ...]:
    """What was shown and what was not, in sentences, from the typed goals and differences."""
    if not results.figures[Basis.ROLLOUTS] and not results.earlier:
        return ("Nothing is measured yet.",)
    # The model that all runs begin with is measured before them.
    measured = not results.earlier or len(results.rows()) > 1
    found = [_scope(results) if measured else f"Nothing is measured yet after {results.rollouts:,} rollouts a run."]
    for measure in (Measure.EXPLOITABILITY, Measure.POOL):
        found += _ahead(results, measure) if measured else []
        found += [
            f"After {r.rollouts:,} rollouts. {text}" for r in results.earlier if measure in r.measures()
            for text in _ahead(r, measure)
        ]  # fmt: skip
    found += _price(results)
    found += _deafness(results)
    if results.measures(Basis.TIME):
        found += _at_equal_time(results)
    return tuple(filter(None, found))


def _scope(results: StudyResults) -> str:
    seeds = max((f.mean.seeds for f in results.figures[Basis.ROLLOUTS] if f.variant != START), default=0)
    text = (
        f"{count_of(len(results.variants), 'variant')} at {results.rollouts:,} rollouts each, "
        f"{count_of(seeds, 'seed')} of {len(results.seeds)}, {count_of(results.problems, 'held-out problem')}."
    )
    if seeds == 1:
        text += " One seed says nothing of other seeds, so no difference is called shown."
    seeds_added = f"{'Seed' if len(results.added) == 1 else 'Seeds'} {', '.join(map(str, results.added))} added"
    longer = f"Runs extended from {results.earlier[-1].rollouts:,} rollouts" if results.earlier else ""
    changes = "; ".join(filter(None, (seeds_added if results.added else "", longer)))
    if changes:
        text += f" {changes} after the study had begun: if its figures were the reason, intervals are too narrow."
    return text


def _ahead(results: StudyResults, measure: Measure) -> list[str]:
    found = [d for d in results.differences[Basis.ROLLOUTS] if d.measure is measure]
    # Before another variant is measured, and with one alone, there is only the start to compare it with.
    wanted = [d for d in found if d.second != START] or found
    if not wanted:
        if measure is Measure.POOL and not results.pool:
            return []  # left out by the definition, to save its time
        none = measure is Measure.EXPLOITABILITY and not results.response_rollouts
        return [f"{TEXTS[measure].title}: not measured{', as the study has no best response' if none else ''}."]
    clauses = []
    for d in wanted:
        detail = points_interval(d.mean.interval)
        if not d.shown:
            clauses.append(f"no difference between {d.first} and {d.second} is shown ({detail})")
        else:
            word = "ahead of" if d.mean.interval.mean > 0 else "behind"
            clauses.append(f"{d.first} is {word} {d.second} ({detail})")
    return [f"{TEXTS[measure].title}: {_joined(clauses)}"]


def _price(results: StudyResults) -> list[str]:
    """What the first variant lost against the start where nothing misleads."""
    first = results.variants[0]
    texts: dict[_Loss, list[str]] = {loss: [] for loss in _Loss}
    for measure in (Measure.CLEAN, Measure.PLACEBO, Measure.NEEDED):
        found = next((d for d in results.differences[Basis.ROLLOUTS]
                      if d.measure is measure and (d.first, d.second) == (first, START)), None)  # fmt: skip
        if found is not None:
            text = f"{TEXTS[measure].title.lower()} {points_interval(found.mean.interval)}"
            texts[_loss(found.mean.interval, KEPT_POINTS)].append(text)
    lost, kept, open_ = texts[_Loss.LOST], texts[_Loss.KEPT], texts[_Loss.OPEN]
    if not (lost or kept or open_):
        return []
    limit = f"{100 * KEPT_POINTS:g} points"
    clauses = (
        f"more than {limit} lost in {', '.join(lost)}" if lost else "",
        f"a loss of more than {limit} is not excluded in {', '.join(open_)}" if open_ else "",
        f"kept within {limit}: {', '.join(kept)}" if kept else "",
    )
    return [f"The price of {first}, beside the start: {_joined(clauses)}"]


def _deafness(results: StudyResults) -> list[str]:
    """A Reasoner that uses needed text less than before has learned to ignore what follows a question."""
    deaf = [
        d.first for d in results.differences[Basis.ROLLOUTS]
        if d.measure is Measure.NEEDED and d.second == START and d.shown and d.mean.interval.mean < 0
    ]  # fmt: skip
    if not deaf:
        return []
    return [f"Text that is needed is used less than by the start in {', '.join(deaf)}: part of what looks like "
            "robustness there is that text after the question is ignored."]  # fmt: skip


def _at_equal_time(results: StudyResults) -> list[str]:
    wanted = [d for d in results.differences[Basis.TIME] if d.measure is Measure.POOL and d.second != START]
    clauses = [f"{d.first} − {d.second} {points_interval(d.mean.interval)}" for d in wanted]
    return [f"At equal time, {TEXTS[Measure.POOL].title.lower()}: {_joined(clauses)}"] if clauses else []


def _joined(clauses: Sequence[str]) -> str:
    # Not `sentence`: a variant's name keeps its small letter.
    return "; ".join(filter(None, clauses)) + "."


def gates_sentence(results: StudyResults) -> str:
    """How many of the hints that were tried passed the gates: an attack of which little passes says little."""
    if not results.writing:
        return ""
    least = min(results.writing, key=lambda name: results.writing[name])
    most = max(results.writing.values())
    share = percent(results.writing[least])
    if share == percent(most):
        return f"Of the hints that were tried, {share} passed the gates."
    return f"Of the hints that were tried, {share} to {percent(most)} passed the gates; least of {least}."


def unread_sentence(results: StudyResults) -> str:
    """The largest shares of answers that are neither right nor wrong, and whose; "" where there are none."""
    worst = max(results.figures[Basis.ROLLOUTS], key=lambda f: f.unread.total, default=None)
    if worst is None or worst.unread.total == 0:
        return ""
    return (
        f"Unreadable or cut off at most: {percent(worst.unread.unreadable)} and {percent(worst.unread.truncated)} "
        f"({worst.variant}, {TEXTS[worst.measure].title.lower()})."
    )
