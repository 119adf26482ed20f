"""What the Adversary of a run learned, as sentences, charts and tables for the window, the report and the terminal.

The figures come from `training.evaluation.hint_analysis`. A change is called one only where its interval excludes zero,
and only such features are named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from seirenes_app.services.charts.data import ChartData, Scale, Series
from seirenes_app.services.charts.style import GATES, HINT_TYPES, NUMBERED, SeriesStyle
from seirenes_app.services.formatting import brief, count_of, decimal, percent, points_interval, signed_points
from seirenes_app.services.robustness.types import DataTable, Value
from training.core.statistics import Interval
from training.core.types import HintType
from training.evaluation.hint_analysis import (
    FEWEST_HINTS,
    FEWEST_PROBLEMS,
    FORM,
    OTHER,
    Change,
    Difference,
    FeatureEffect,
    Frequency,
    HintAnalysis,
    HintCluster,
    ReplayCheck,
    SuccessModel,
    analyse_hints,
)

__all__ = ["TABLES", "HintAnalysis", "analyse_hints", "as_facts", "summarise"]

NO_HINTS = "This run has no hints: in its mode the Reasoner is trained on clean questions alone."
FROM_TEMPLATES = "No model wrote these hints: in this mode they are drawn at random, and nothing in them was learned."
NO_VALID = "No hint of this run has passed the gates yet."
TOO_FEW_FOR_MODEL = (
    f"Which features go with wrong solutions is estimated from {FEWEST_HINTS} hints with solutions on, with at least "
    f"{FEWEST_PROBLEMS} problems held out. This run has too few."
)
FEATURES: Mapping[str, str] = {
    FORM: "Forms", "type": "Hint types", "number": "Numbers", "subject": "Persons", "thing": "Things",
    "relation": "Verbs", "frame": "Frames", "cue": "Cues", "operation": "Operations", "target": "Targets",
    "length": "Length", "style": "Style", "sentences": "Sentences", "suggests": "Suggested answers",
}  # fmt: skip
"""What a frequency chart shows, by the feature."""
FREQUENCY_NOTE = (
    "Of the hints that passed the gates, by the step they were written in. A hint counts once: with its value nearest "
    "to the problem. Forms outside the hint language are sentences that share their words beside names, things and "
    "numbers."
)
EFFECTS_NOTE = (
    "Log-odds of a wrong solution where the hint has the feature, everything else in the model equal: the question's "
    "clean accuracy, its family, the step, and the other features. The features were chosen on other problems than the "
    "ones they are estimated on. The intervals hold for all features shown at once (cluster bootstrap over problems); "
    "only those that exclude zero are named."
)
REPLAY_NOTE = (
    "Archived hints are replayed because they succeeded, so part of a later fall is chance. The first replay of each "
    "is therefore compared with what an unchanged Reasoner would be expected to get wrong, given how the hint did at "
    "first and how hints of its form did in general."
)
CLUSTER_NOTE = (
    "Early and late are the first and the last third of the steps. Drop: clean minus hinted accuracy, in points. Each "
    "interval is for one form alone. The Adversary may have changed the hints of a form meanwhile; replays are of the "
    "same hints: the share of wrong solutions at the first replay, and what would be expected. " + REPLAY_NOTE
)
_NAMED = 6


# ---------------------------------------------------------------------- sentences


def summarise(a: HintAnalysis) -> tuple[str, ...]:
    """The analysis in sentences, the counts first."""
    if not a.hints:
        return overview(a)
    found = (growth_sentence(a), model_sentence(a.model), replay_sentence(a))
    return (*overview(a), *(text for text in found if text))


def overview(a: HintAnalysis) -> tuple[str, ...]:
    """What the hints are, and how much harm they do; why there is nothing, where there is none."""
    if not a.hints:
        return (NO_VALID if a.written else NO_HINTS,)
    return (_counts(a), *((FROM_TEMPLATES,) if a.from_templates else ()), drop_sentence(a))


def _counts(a: HintAnalysis) -> str:
    refused = f"; a gate refused {a.refused:,} more" if a.refused else ""
    language = f" {percent(a.in_language / a.analysed)} are sentences of the hint language." if a.in_language else ""
    thinned = f" {a.analysed:,} of them, evenly spread, are analysed." if a.analysed < a.hints else ""
    return (
        f"{count_of(a.hints, 'valid hint')} for {count_of(a.problems, 'problem')} in {count_of(a.steps, 'step')}"
        f"{refused}.{thinned}{language} Of {a.solutions:,} solutions under hints, {percent(a.unreadable)} are "
        f"unreadable and {percent(a.truncated)} truncated; both count as wrong."
    )


def drop_sentence(a: HintAnalysis) -> str:
    """How much harm a hint does, late against early."""
    d = a.drop
    if d is None or d.interval is None or d.first is None or d.second is None:
        return "Too few hints with solutions to compare the drop early and late."
    n = f"{d.n_first:,} and {d.n_second:,} hints"
    text = f"from {signed_points(d.first).lstrip('+')} to {signed_points(d.second).lstrip('+')} points"
    if d.change is Change.NO_CHANGE:
        return (
            f"The drop that a hint causes, late against early: no change ({text}, {points_interval(d.interval)}; {n})."
        )
    return f"The drop that a hint causes {d.change} {text} ({points_interval(d.interval)}; {n})."


def growth_sentence(a: HintAnalysis) -> str:
    """Which forms grew and which declined, as far as the intervals say."""
    parts = []
    for change, verb in ((Change.ROSE, "Grew"), (Change.FELL, "Declined")):
        some = [c for c in a.clusters if c.share.change is change]
        some.sort(key=lambda c: -abs(c.share.interval.mean if c.share.interval else 0.0))
        if some:
            parts.append(f"{verb}: {'; '.join(_grown(c) for c in some[:3])}.")
    if parts:
        return " ".join(parts)
    few = all(c.share.change is Change.TOO_FEW for c in a.clusters)
    return "" if few else "No form's share of the hints changed beyond its interval."


def _grown(c: HintCluster) -> str:
    first, second = c.share.first or 0.0, c.share.second or 0.0
    interval = points_interval(c.share.interval) if c.share.interval else ""
    return f"“{brief(c.shape, 70)}” from {percent(first)} to {percent(second)} ({interval})"


def model_sentence(model: SuccessModel | None) -> str:
    if model is None:
        return TOO_FEW_FOR_MODEL
    q = model.quality
    where = (
        f"on {count_of(model.hints, 'held-out hint')} for {count_of(model.problems, 'problem')} "
        f"({count_of(model.solutions, 'solution')})"
    )
    area = (
        f"The features of a hint tell wrong solutions from right ones with an area under the ROC curve of "
        f"{_area(q.auc)} {where}; the problem and the step alone reach {_area(q.base)} "
        f"(difference {_area(q.gain, signed=True)})."
    )
    worse = [e for e in model.clear if e.interval.mean > 0]
    better = [e for e in model.clear if e.interval.mean < 0]
    if not model.clear:
        return f"{area} No feature's interval excludes zero, of {model.tried} tried."
    parts = [
        f"{what}: {'; '.join(effect_text(e) for e in some[:_NAMED])}."
        for what, some in (("More wrong solutions with", worse), ("Fewer with", better)) if some
    ]  # fmt: skip
    return " ".join([area, *parts])


def effect_text(e: FeatureEffect) -> str:
    """'thing: the problem's own (odds × 4.5 [2.2, 9.0], 310 hints)'."""
    low, mean, high = (math.exp(x) for x in (e.interval.low, e.interval.mean, e.interval.high))
    return f"{e.label} (odds × {decimal(mean, 2)} [{decimal(low, 2)}, {decimal(high, 2)}], {count_of(e.hints, 'hint')})"


def _area(found: Interval, *, signed: bool = False) -> str:
    value = decimal(found.mean, 2, signed=signed)
    if math.isnan(found.low):
        return value
    return f"{value} [{decimal(found.low, 2, signed=signed)}, {decimal(found.high, 2, signed=signed)}]"


def replay_sentence(a: HintAnalysis) -> str:
    """What the Reasoner stopped falling for, among hints that were shown again."""
    if a.replays is None:
        return "No archived hint was replayed, so there is no hint that was shown early and late."
    r = a.replays
    head = (
        f"{count_of(r.hints, 'archived hint')} shown again, {decimal(r.steps_between, 1)} steps later on average: "
        f"{percent(r.outcome.second or 0.0)} wrong, where {percent(r.outcome.first or 0.0)} would be expected of an "
        f"unchanged Reasoner"
    )
    if r.outcome.interval is None:
        return f"{head}; too few to compare."
    stopped = [f"{x.label.partition(': ')[2]} ({points_interval(x.check.outcome.interval)})" for x in a.replays_by
               if x.feature == "type" and x.check.outcome.interval
               and x.check.outcome.change is Change.FELL]  # fmt: skip
    forms = [f"“{brief(c.shape, 70)}” ({points_interval(c.replays.outcome.interval)})" for c in a.clusters
             if c.replays and c.replays.outcome.change is Change.FELL and c.replays.outcome.interval]  # fmt: skip
    detail = points_interval(r.outcome.interval)
    conclusion = {
        Change.FELL: f"The Reasoner stopped falling for some of them ({detail}).",
        Change.ROSE: f"It falls for more of them than at first ({detail}).",
        Change.NO_CHANGE: f"No change ({detail}).",
    }[r.outcome.change]
    by = f" It falls less for: {'; '.join([*stopped, *forms][:_NAMED])}." if stopped or forms else ""
    return f"{head}. {conclusion}{by}"


# ---------------------------------------------------------------------- charts


def frequency_chart(f: Frequency) -> ChartData:
    """Stacked shares of the hints of each step, the commonest value at the bottom."""
    base = [0.0] * len(f.steps)
    series = []
    for i, (value, label, shares) in enumerate(zip(f.values, f.labels, f.shares, strict=True)):
        style = SeriesStyle("placebo", hatch="") if value == OTHER and label == "all others" else _part_style(f, i)
        series.append(Series(
            brief(label, 56), style, [float(s) for s in f.steps], list(shares), base=list(base),
        ))  # fmt: skip
        base = [b + s for b, s in zip(base, shares, strict=True)]
    few = len(f.steps) <= 12
    ticks = tuple((s, f"step {s}") for s in f.steps) if few else ()
    if few:
        # Few steps stand beside each other at equal distances.
        series = [_at_places(s) for s in series]
        ticks = tuple((i, f"step {step}") for i, step in enumerate(f.steps))
    return ChartData(tuple(series), Scale.SHARE, "step", ticks, bars=few)


def _at_places(s: Series) -> Series:
    return Series(s.label, s.style, [float(i) for i in range(len(s.x))], s.y, base=s.base)


def _part_style(f: Frequency, i: int) -> SeriesStyle:
    if f.feature == "type" and f.values[i] in list(HintType):
        colour = HINT_TYPES[HintType(f.values[i])].colour
        return SeriesStyle(colour, hatch=GATES[i % len(GATES)].hatch)
    return GATES[(i + 2) % len(GATES)]


def effects_chart(model: SuccessModel | None) -> ChartData | None:
    """Log-odds of the strongest features with their intervals; those whose interval excludes zero stand out."""
    if model is None or not model.effects:
        return None
    shown = model.effects[:8]
    ticks = tuple((i, _tick(e)) for i, e in enumerate(shown))

    def series(label: str, style: SeriesStyle, clear: bool) -> Series:
        some = [(i, e) for i, e in enumerate(shown) if e.clear is clear]
        return Series(
            label, style, [float(i) for i, _ in some], [e.interval.mean for _, e in some],
            [e.interval.low for _, e in some], [e.interval.high for _, e in some], marked=True, joined=False,
            titles=[effect_text(e) for _, e in some],
        )  # fmt: skip

    zero = Series("no effect", SeriesStyle("muted", ":"), [-0.5, len(shown) - 0.5], [0.0, 0.0], keyed=False, width=1.0)
    return ChartData(
        (zero, series("interval excludes zero", SeriesStyle("hinted", "-", "s"), True),
         series("includes zero", SeriesStyle("placebo", "-", "o"), False)),
        Scale.NUMBER, "feature", ticks,
    )  # fmt: skip


def _tick(e: FeatureEffect) -> str:
    """A short name for the axis: 'own thing', 'near answer', 'correlation trap'."""
    feature, _, value = e.label.partition(": ")
    if e.value in ("own", "other"):
        return f"{'own' if e.value == 'own' else 'another'} {feature}"
    return "near answer" if e.value == "near_answer" else value if e.feature in ("type", FORM) else e.label


def forgetting_chart(a: HintAnalysis) -> ChartData | None:
    """Wrong share of first replays by the steps since the hint was made, beside what would be expected."""
    if not a.forgetting:
        return None
    x = [float(i) for i in range(len(a.forgetting))]
    ticks = tuple((i, f"{decimal(p.age, 1)} steps later") for i, p in enumerate(a.forgetting))
    expected = [p.check.outcome.first or 0.0 for p in a.forgetting]
    observed = [p.check.outcome.second or 0.0 for p in a.forgetting]
    limits = [p.check.outcome.interval for p in a.forgetting]
    low = [e + (i.low if i else -1.0) for e, i in zip(expected, limits, strict=True)]
    high = [e + (i.high if i else 1.0) for e, i in zip(expected, limits, strict=True)]
    return ChartData(
        (Series("of an unchanged Reasoner, expected", SeriesStyle("placebo", "--", "^"), x, expected, marked=True),
         Series("wrong at the replay", NUMBERED[1], x, observed, [max(0.0, v) for v in low],
                [min(1.0, v) for v in high], marked=True)),
        Scale.SHARE, "steps since the hint was made", ticks,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class HintFigure:
    """One chart of a report with what stands around it."""

    title: str
    chart: ChartData
    sentence: str
    note: str


REPORTED = (FORM, "number", "subject", "thing", "cue")
"""The features whose frequencies a report shows."""


def figures_of(a: HintAnalysis) -> tuple[HintFigure, ...]:
    """The charts of a report."""
    found = [
        HintFigure(f"Hints by {FEATURES[f.feature].lower()}", frequency_chart(f), "", FREQUENCY_NOTE)
        for f in a.frequencies if f.feature in REPORTED
    ]  # fmt: skip
    if (effects := effects_chart(a.model)) is not None:
        found.append(HintFigure("Which features go with wrong solutions", effects, "", EFFECTS_NOTE))
    if (replays := forgetting_chart(a)) is not None:
        found.append(HintFigure("The same hints, shown again", replays, "", REPLAY_NOTE))
    return tuple(found)


# ---------------------------------------------------------------------- tables


def frequency_table(a: HintAnalysis) -> DataTable:
    """A row for each step, feature and value."""
    rows: list[tuple[Value, ...]] = []
    for f in a.frequencies:
        for k, step in enumerate(f.steps):
            rows += [(step, f.feature, label, f.hints[k], f.shares[i][k]) for i, label in enumerate(f.labels)]
    return DataTable(("step", "feature", "value", "hints", "share"), tuple(rows))


def cluster_table(a: HintAnalysis) -> DataTable:
    """A row for each form, as numbers."""
    columns = (
        "form", "in the language", "type", "hints", "share early", "share late", "share change", "low", "high",
        "drop early", "drop late", "drop change", "low", "high", "replayed", "wrong expected", "wrong at replay",
        "replay change", "low", "high", "example",
    )  # fmt: skip
    return DataTable(columns, tuple(
        (c.shape, c.in_language, c.types[0] if c.types else "", c.hints, *_numbers(c.share), *_numbers(c.drop),
         c.replays.hints if c.replays else 0, *(_numbers(c.replays.outcome) if c.replays else (None,) * 5),
         c.examples[0].text if c.examples else "")
        for c in a.clusters
    ))  # fmt: skip


def cluster_text(a: HintAnalysis) -> DataTable:
    """The same to read."""
    columns = ("form", "type", "hints", "share, early → late", "drop, early → late", "replayed", "wrong / expected")
    return DataTable(columns, tuple(
        (c.shape, c.types[0].partition("_")[0] if c.types else "", f"{c.hints:,}", _shares(c.share),
         _drops(c.drop), *_replayed(c.replays))
        for c in a.clusters
    ))  # fmt: skip


def effect_table(a: HintAnalysis) -> DataTable:
    """A row for each feature of the model, as numbers."""
    columns = (
        "feature", "value", "log-odds", "low", "high", "excludes zero", "held-out hints", "problems", "wrong with it",
        "wrong without it",
    )  # fmt: skip
    effects = a.model.effects if a.model is not None else ()
    return DataTable(columns, tuple(
        (e.feature, e.value, e.interval.mean, e.interval.low, e.interval.high, e.clear, e.hints, e.problems,
         e.wrong_with, e.wrong_without)
        for e in effects
    ))  # fmt: skip


def effect_rows(a: HintAnalysis) -> DataTable:
    """The same to read."""
    columns = ("feature", "odds of a wrong solution", "hints", "wrong with it", "wrong without it", "excludes zero")
    effects = a.model.effects if a.model is not None else ()
    return DataTable(columns, tuple(
        (e.label, effect_text(e).partition("(odds ")[2].partition(", ")[0] + _closing(e), f"{e.hints:,}",
         percent(e.wrong_with), percent(e.wrong_without), "yes" if e.clear else "no")
        for e in effects
    ))  # fmt: skip


def _closing(e: FeatureEffect) -> str:
    """The upper limit, which a comma parts from the rest."""
    return f", {decimal(math.exp(e.interval.high), 2)}]"


def replay_table(a: HintAnalysis) -> DataTable:
    """Replays in all, by type and by form, as numbers."""
    rows: list[tuple[Value, ...]] = []
    found = [("all", "", a.replays), *((r.feature, r.value, r.check) for r in a.replays_by),
             *(("form", c.shape, c.replays) for c in a.clusters)]  # fmt: skip
    for what, name, check in found:
        if check is not None:
            rows.append((what, name, check.hints, check.problems, check.steps_between, *_numbers(check.outcome)))
    columns = (
        "of", "name", "hints", "problems", "steps between", "wrong expected", "wrong at replay", "change", "low", "high"
    )  # fmt: skip
    return DataTable(columns, tuple(rows))


def _numbers(d: Difference) -> tuple[float | None, ...]:
    i = d.interval
    return (d.first, d.second, *((i.mean, i.low, i.high) if i is not None else (None, None, None)))


def _shares(d: Difference) -> str:
    return _pair(d, percent)


def _drops(d: Difference) -> str:
    return _pair(d, lambda share: signed_points(share).lstrip("+"))


def _pair(d: Difference, text: Callable[[float], str]) -> str:
    first, second = ("—" if v is None else text(v) for v in (d.first, d.second))
    end = f" ({points_interval(d.interval, '')})" if d.interval is not None else ""
    mark = {Change.ROSE: "▲ ", Change.FELL: "▼ "}.get(d.change, "")
    return f"{mark}{first} → {second}{end}"


def _replayed(r: ReplayCheck | None) -> tuple[str, str]:
    if r is None:
        return "0", ""
    d = r.outcome
    mark = {Change.ROSE: "▲ ", Change.FELL: "▼ "}.get(d.change, "")
    interval = f" ({points_interval(d.interval, '')})" if d.interval is not None else ""
    return f"{r.hints:,}", f"{mark}{percent(d.second or 0)} / {percent(d.first or 0)}{interval}"


TABLES: Mapping[str, Callable[[HintAnalysis], DataTable]] = {
    "frequencies": frequency_table, "forms": cluster_table, "features": effect_table, "replays": replay_table,
}  # fmt: skip
"""The tables as numbers, for CSV, by name."""


def as_facts(a: HintAnalysis) -> dict[str, Any]:
    """Everything as JSON values, with the sentences."""
    facts: dict[str, Any] = _without_nan(msgspec.to_builtins(a))
    return {"summary": list(summarise(a)), **facts}


def _without_nan(value: Any) -> Any:
    """What is not known is null: JSON has no word for it."""
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def example_lines(c: HintCluster) -> tuple[str, ...]:
    """Examples of a form with what they did, the most successful first."""
    return tuple(
        f"Step {e.step}: “{e.text}”"
        + (f"  ·  {e.wrong} of {e.total} solutions wrong" if e.total else "  ·  not played")
        + (f", clean accuracy {percent(e.clean)}" if e.total and e.clean is not None else "")
        for e in c.examples
    )


def third_text(a: HintAnalysis) -> str:
    """'Early: steps 1 to 26. Late: steps 54 to 80.'"""
    early, late = (f"step {low}" if low == high else f"steps {low} to {high}" for low, high in (a.early, a.late))
    return f"Early: {early}. Late: {late}."
