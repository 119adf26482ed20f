"""The sentence under each chart: what it shows, and how sure that is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from seirenes_app.services.formatting import (
    describe_change,
    describe_unpaired_change,
    is_clear,
    p_clause,
    percent_interval,
    points_interval,
    sentence,
)
from seirenes_app.services.robustness.checkpoint_figures import Measured, Trend
from seirenes_app.services.robustness.figures import Figure
from training.core.statistics import Interval

NAMES = {"clean": "clean accuracy", "hinted": "hinted accuracy", "placebo": "placebo accuracy"}


def accuracy_words(measured: Sequence[Measured], trend: Trend | None) -> str:
    """Hinted, clean and placebo, first against last; one checkpoint alone is told as it is."""
    if trend is None:
        last = measured[-1]
        told = [f"{NAMES[k]} {percent_interval(f.value)}" for k in NAMES if (f := last.figures.get(k))]
        return sentence(f"{last.label}: " + ", ".join(told))
    return sentence(*(_trend_words(trend, key) for key in ("hinted", "clean", "placebo")), _beyond_words(trend))


def _beyond_words(trend: Trend) -> str:
    """Whether the hints' gain is more than that of any added text."""
    found = trend.beyond
    if found is None or "hinted" not in trend.changes:
        return ""
    p_value = 1.0 if found.p_value is None else found.p_value
    told = f"{points_interval(found.value)}, {p_clause(p_value)}"
    if is_clear(found.value, p_value):
        side = "more" if found.value.mean > 0 else "less"
        return f"under hints it changed by {side} than under placebos ({told})"
    return f"the change under hints is not told apart from that under placebos ({told})"


def _trend_words(trend: Trend, key: str) -> str:
    if key in trend.changes:
        return describe_change(NAMES[key], trend.changes[key])
    if key in trend.totals:
        return describe_unpaired_change(NAMES[key], *trend.totals[key])
    return ""


def gap_words(measured: Sequence[Measured], trend: Trend | None) -> str:
    """The gap at either end, its change, and the placebo's."""
    ends = _ends(measured, "gap/hinted")
    if not ends:
        return ""
    clauses = [" and ".join(f"{points_interval(f.value)} at {name}" for name, f in ends)]
    clauses[0] = f"clean − hinted is {clauses[0]}, paired by problem"
    if trend is not None and trend.gap is not None:
        clauses.append(_moved(trend.gap, "the gap", "widened", "narrowed"))
    beside = _ends(measured, "gap/placebo")
    if beside:
        name, found = beside[-1]
        clauses.append(f"placebos of the same length cost {points_interval(found.value)} at {name}")
    return sentence(*clauses)


def _moved(found: Figure, what: str, up: str, down: str) -> str:
    p_value = 1.0 if found.p_value is None else found.p_value
    told = f"{points_interval(found.value)} on {found.problems:,} problems, {p_clause(p_value)}"
    if is_clear(found.value, p_value):
        return f"{what} {up if found.value.mean > 0 else down} ({told})"
    return f"no change of {what} that {found.problems:,} problems could show ({told})"


def _ends(measured: Sequence[Measured], key: str) -> list[tuple[str, Figure]]:
    """First and last checkpoint that have the figure; one entry where it is the same."""
    found = [(m.label, m.figures[key]) for m in measured if key in m.figures]
    return found if len(found) < 2 else [found[0], found[-1]]


def flip_words(measured: Sequence[Measured]) -> str:
    """Harmful and helpful at either end, and the placebo's harmful ones."""
    clauses = []
    for name, found in _ends(measured, "harmful/hinted"):
        helpful = next(m.figures.get("helpful/hinted") for m in measured if m.label == name)
        told = f" and wrong into right in {percent_interval(helpful.value)}" if helpful else ""
        clauses.append(f"at {name} a hint turns right into wrong in {percent_interval(found.value)} of pairs{told}")
    beside = _ends(measured, "harmful/placebo")
    if clauses and beside:
        name, found = beside[-1]
        clauses.append(f"a placebo turns right into wrong in {percent_interval(found.value)} at {name}")
    return sentence(*clauses)


def worst_words(measured: Sequence[Measured]) -> str:
    """Worst-of-k at the last checkpoint beside its placebos: an attack, none, or the reverse."""
    last = next((m for m in reversed(measured) if "worst/hinted" in m.figures), None)
    if last is None:
        return ""
    hinted = last.figures["worst/hinted"]
    clauses = [f"at {last.label}, {percent_interval(hinted.value)} of problems stay right under all of their hints"]
    for key, name in (("placebo", "as many placebos"), ("clean", "as many clean resamples")):
        effect, beside = last.figures.get(f"effect/{key}"), last.figures.get(f"worst/{key}")
        if effect is not None and beside is not None:
            clauses.append(_effect_words(effect, beside.value, name))
    if len(clauses) == 1:
        clauses.append("there is no placebo beside it, so this says nothing of an attack")
    return sentence(*clauses)


def _effect_words(effect: Figure, beside: Interval, name: str) -> str:
    p_value = f", {p_clause(effect.p_value)}" if effect.p_value is not None else ", unpaired"
    told = f"{points_interval(effect.value)} on {effect.problems:,} problems{p_value}"
    start = f"under {name} {percent_interval(beside)} do"
    if not is_clear(effect.value, effect.p_value):
        return f"{start}: no effect of the hints beyond that which the evidence could show ({told})"
    if effect.value.mean > 0:
        return f"{start}: the hints do harm beyond it ({told})"
    return f"{start}: the hints do less harm than that ({told}), so this is no evidence of an attack"


def drop_words(measured: Sequence[Measured]) -> str:
    """PDR at either end."""
    ends = _ends(measured, "drop/hinted")
    if not ends:
        return ""
    told = " and ".join(f"{percent_interval(f.value)} at {name}" for name, f in ends)
    beside = _ends(measured, "drop/placebo")
    more = f"under placebos {percent_interval(beside[-1][1].value)} at {beside[-1][0]}" if beside else ""
    return sentence(f"of what is right without a hint, hints cost {told}", more)


def follow_words(measured: Sequence[Measured]) -> str:
    """Follow rate at either end."""
    ends = _ends(measured, "follow/hinted")
    if not ends:
        return ""
    told = " and ".join(f"in {percent_interval(f.value)} at {name}" for name, f in ends)
    rows = ends[-1][1].rows
    return sentence(f"where a hint suggests a wrong answer, the answer is that one {told} ({rows:,} such rows each)")


def adversary_words(first: tuple[int, float], last: tuple[int, float]) -> str:
    """The ends of the moving curve, without a claim."""
    return (
        f"Against each step's own hints {100 * first[1]:.0f}% were right at step {first[0]} and {100 * last[1]:.0f}% "
        f"at step {last[0]}; both the Reasoner and the hints changed in between, so the difference says nothing of "
        "either."
    )
