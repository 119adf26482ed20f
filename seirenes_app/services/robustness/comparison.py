"""Several runs on the same suite: paired differences at the last checkpoint and over training, Holm-adjusted. Pure.
Tracks of another suite (by hash), asked otherwise or without rows are refused. One run is one draw of training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from seirenes_app.services.answer_reading import describe_unread, no_effect, unread_warnings
from seirenes_app.services.formatting import describe_prompts, is_clear, p_clause, percent, points_interval, sentence
from seirenes_app.services.robustness.checkpoint_figures import Measured, curve, table_of
from seirenes_app.services.robustness.domain_transfer import DomainTransfer, domain_transfer
from seirenes_app.services.robustness.generalisation import mode_of
from seirenes_app.services.robustness.panels import BANDS
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import (
    Basis,
    Chart,
    Comparison,
    ComparisonLine,
    Curve,
    DataTable,
    Measure,
    Panel,
    RunOnSuite,
    Track,
    Unit,
    Value,
)
from training.core.statistics import holm, paired_bootstrap, sign_flip
from training.core.types import Condition
from training.evaluation.metrics import change_between
from training.evaluation.outcome_arrays import Floats, OutcomeArrays, by_problem, ratio

COMPARED = (Condition.HINTED, Condition.CLEAN, Condition.PLACEBO, Condition.NEEDED)
"""What is compared, as far as both runs were asked it: a gain under hints is robustness only where the others hold."""


@dataclass(frozen=True, slots=True)
class _Side:
    name: str
    mode: str
    results: ResultSource
    track: Track
    measured: tuple[Measured, ...]

    @property
    def rows(self) -> tuple[Measured, ...]:
        return tuple(m for m in self.measured if m.basis is Basis.ROWS)

    def cells(self, target: str) -> OutcomeArrays:
        return self.results.cells(self.track, target)


def compare_runs(sources: Sequence[tuple[ResultSource, Track]]) -> Comparison:
    """The first track sets suite and manner; needs two that agree for lines. Order of runs is the order given."""
    sides, refused = _admit(sources)
    lines = _adjusted([line for pair in combinations(sides, 2) for line in _pair_lines(*pair)])
    asked = [c for c in COMPARED if any(str(c) in m.figures for side in sides for m in side.rows)]
    panels = tuple(_panel(sides, condition) for condition in asked) if len(sides) > 1 else ()
    runs = tuple(
        RunOnSuite(s.name, s.mode, s.track, s.rows[-1].x, s.rows[-1].target) for s in sides
    )  # fmt: skip
    transfer = domain_transfer([(s.name, s.results, s.track) for s in sides], crossed=True)
    return Comparison(runs, tuple(lines), panels, _sentences(sides, lines), tuple(refused), _table(lines), transfer)


def transfer_of(sources: Sequence[tuple[ResultSource, Track]]) -> tuple[DomainTransfer | None, tuple[str, ...]]:
    """The transfer between families of these runs, and why some of them are left out: the first sets the suite."""
    sides, refused = _admit(sources)
    return domain_transfer([(s.name, s.results, s.track) for s in sides]), tuple(refused)


def _admit(sources: Sequence[tuple[ResultSource, Track]]) -> tuple[list[_Side], list[str]]:
    sides: list[_Side] = []
    refused: list[str] = []
    names = _names(sources)
    for name, (results, track) in zip(names, sources, strict=True):
        first = sides[0].track if sides else track
        side = _Side(name, mode_of(results.source, track.run), results, track, results.measured(track))
        reason = _refusal(first, side)
        if reason:
            refused.append(f"{name} is left out: {reason}.")
        else:
            sides.append(side)
    return sides, refused


def _names(sources: Sequence[tuple[ResultSource, Track]]) -> list[str]:
    plain = [track.run or track.title for _, track in sources]
    twice = Counter(plain)
    seen: Counter[str] = Counter()
    names = []
    for name in plain:
        seen[name] += 1
        names.append(f"{name} ({seen[name]})" if twice[name] > 1 else name)
    return names


def _refusal(first: Track, side: _Side) -> str:
    track = side.track
    if track.suite_hash != first.suite_hash or not track.suite_hash:
        return (
            f"its suite {track.suite} has the hash {track.suite_hash or '(none)'}, and {first.suite} of "
            f"{first.run or first.title} has {first.suite_hash or '(none)'}; evaluate both on one suite"
        )
    if track.asking != first.asking:
        return f"it was asked {track.asking}, and {first.run or first.title} {first.asking}"
    if not side.rows:
        return "the rows of its checkpoints are not here, and totals cannot be paired"
    if not track.by_step:
        return "its models have no order"
    return ""


# ---------------------------------------------------------------------- lines


def _pair_lines(first: _Side, second: _Side) -> list[ComparisonLine]:
    found = [_last_line(first, second, c) for c in COMPARED] + [_area_line(first, second, c) for c in COMPARED]
    return [line for line in found if line is not None]


def _last_line(first: _Side, second: _Side, condition: Condition) -> ComparisonLine | None:
    ends = [side.cells(side.rows[-1].target) for side in (first, second)]
    change = change_between(ends[0], ends[1], condition)
    if change is None:
        return None
    return ComparisonLine(
        first.name, second.name, Measure.LAST, condition, change.problems, change.accuracy_before,
        change.accuracy_after, change.difference, change.p_value, change.p_value,
    )  # fmt: skip


def _area_line(first: _Side, second: _Side, condition: Condition) -> ComparisonLine | None:
    """The mean over the curves between steps that both have rows at; None where those are fewer than two."""
    steps = sorted({m.x for m in first.rows} & {m.x for m in second.rows})
    if len(steps) < 2:
        return None
    means = [_mean_over(side, condition, steps) for side in (first, second)]
    common = sorted(means[0].keys() & means[1].keys())
    if not common:
        return None
    one, other = (np.array([m[p] for p in common]) for m in means)
    differences = np.clip(other - one, -1.0, 1.0).tolist()
    p_value = sign_flip(differences)
    return ComparisonLine(
        first.name, second.name, Measure.AREA, condition, len(common), float(one.mean()), float(other.mean()),
        paired_bootstrap(differences), p_value, p_value,
    )  # fmt: skip


def _mean_over(side: _Side, condition: Condition, steps: Sequence[int]) -> dict[str, float]:
    """Problem id → its accuracy averaged from the first to the last step, between them by straight lines."""
    weights = dict(zip(steps, area_weights(steps), strict=True))
    total: Floats | None = None
    problems: tuple[str, ...] = ()
    for m in side.rows:
        weight = weights.get(m.x, 0.0)
        if weight == 0:
            continue
        part = side.cells(m.target).where(condition=condition)
        if part.mostly_unread:
            return {}
        problems = part.problems
        rates = weight * ratio(by_problem(part, part.data["right"]), by_problem(part, part.data["samples"]))
        total = rates if total is None else total + rates
    if total is None:
        return {}
    return {p: float(v) for p, v in zip(problems, total.tolist(), strict=True) if np.isfinite(v)}


def area_weights(steps: Sequence[int]) -> list[float]:
    """Trapezoid weights of two or more rising steps; they add up to 1."""
    spans = np.diff(steps)
    trapezoid = (np.concatenate([spans, [0]]) + np.concatenate([[0], spans])) / 2
    return [float(w) for w in trapezoid / (steps[-1] - steps[0])]


def _adjusted(lines: list[ComparisonLine]) -> list[ComparisonLine]:
    adjusted = holm([line.p_value for line in lines])
    return [replace(line, p_adjusted=p) for line, p in zip(lines, adjusted, strict=True)]


# ---------------------------------------------------------------------- panels, sentences, table


def _panel(sides: Sequence[_Side], condition: Condition) -> Panel:
    curves = tuple(_curve(side, str(condition)) for side in sides)
    first = sides[0].track
    note = (
        f"One curve a run, all on {first.suite} ({first.suite_hash}), {first.asking}. {BANDS} Overlapping bands do not "
        "mean no difference: the table has the paired ones."
    )
    ends = [(s.name, s.rows[-1]) for s in sides]
    text = []
    for name, m in ends:
        if (figure := m.figures.get(str(condition))) is not None:
            unread = describe_unread(figure.unread)
            text.append(f"{name} {percent(figure.value.mean)} at step {m.x}{f' ({unread})' if unread else ''}")
    return Panel(
        Chart.COMPARISON, f"{str(condition).capitalize()} accuracy by run", Unit.SHARE, curves,
        sentence(", ".join(text)), note, table_of(curves, "step"),
    )  # fmt: skip


def _curve(side: _Side, key: str) -> Curve:
    label = f"{side.name} ({side.mode})" if side.mode else side.name
    return curve(side.track, side.measured, key, label, name=side.name)


def _sentences(sides: Sequence[_Side], lines: Sequence[ComparisonLine]) -> tuple[str, ...]:
    if len(sides) < 2:
        return ("There is nothing to compare: fewer than two runs have the same suite.",)
    text = [_line_sentence(line) for line in lines]
    labels = {side.name: side.track.prompts[-1] for side in sides if side.track.prompts}
    if len({label.rpartition("@")[2] for label in labels.values()}) > 1:
        text.append(describe_prompts(labels))
    for condition in COMPARED:
        last = {f"{s.name}'s {condition}": f.unread for s in sides if (f := s.rows[-1].figures.get(str(condition)))}
        text += [t for t in (no_effect(last), *unread_warnings(last)) if t]
    text.append(
        f"p is adjusted by Holm's method for {len(lines)} comparisons. Each run is one draw of its way of training: "
        "whether another seed would differ as much is not known from these."
    )
    return tuple(text)


def _line_sentence(line: ComparisonLine) -> str:
    what = f"{line.condition} accuracy, {line.measure}"
    text = f"{points_interval(line.difference)} on {line.problems:,} problems, adjusted {p_clause(line.p_adjusted)}"
    if is_clear(line.difference, line.p_adjusted):
        more = "above" if line.difference.mean > 0 else "below"
        return sentence(
            f"{what}: {line.second} with {percent(line.value_second)} is {more} {line.first} with "
            f"{percent(line.value_first)} ({text})"
        )
    return sentence(f"{what}: no difference between {line.first} and {line.second} that these could show ({text})")


def _table(lines: Sequence[ComparisonLine]) -> DataTable:
    columns = (
        "first", "second", "measure", "condition", "value first", "value second", "second − first", "low", "high", "p",
        "p adjusted", "problems",
    )  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (
            x.first, x.second, str(x.measure), str(x.condition), x.value_first, x.value_second, x.difference.mean,
            x.difference.low, x.difference.high, x.p_value, x.p_adjusted, x.problems,
        )
        for x in lines
    ]  # fmt: skip
    return DataTable(columns, tuple(rows))
