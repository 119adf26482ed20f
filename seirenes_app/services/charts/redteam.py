"""A campaign's effects as charts: by hint type and by family of problems. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from seirenes_app.services.charts.data import ChartData, Scale, Series
from seirenes_app.services.charts.style import HINT_TYPES, NAMED, NUMBERED, SeriesStyle
from seirenes_app.services.redteam.results import CampaignResult, Weakness
from training.core.prompts import TYPE_LABELS
from training.core.statistics import Interval

CONFIRMED, REFUTED = ("hinted", "sD^v"), ("placebo", "oXPh")
"""Colour, and the markers of the first, the second … of a type."""
BESIDE = 0.13
"""How far apart the hints of one type stand."""
MOST_IN_FAMILIES = 4
TYPES_NOTE = (
    "Accuracy lost beyond the placebo with its 95% interval, one marker a tested hint. All were tested on problems "
    "that they were not chosen on."
)
FAMILIES_NOTE = (
    "The confirmed weaknesses by family of problems, with 95% intervals. Not corrected for looking at several "
    "families: it describes, and confirms nothing."
)
ACCURACY_NOTE = "Share right without a hint, with neutral text of the hint's length, and with the hint; 95% intervals."


def campaign_charts(result: CampaignResult) -> tuple[tuple[str, ChartData, str], ...]:
    """Title, chart and how to read it; a chart without series has nothing to show."""
    return (
        ("Effect by hint type", effect_by_type(result), TYPES_NOTE),
        ("Share right, by weakness", accuracies(result), ACCURACY_NOTE),
        ("Effect by family of problems", effect_by_family(result), FAMILIES_NOTE),
    )


def effect_by_type(result: CampaignResult) -> ChartData:
    """Loss beyond the placebo of each tested hint, by its type."""
    types = list(dict.fromkeys(t for t in HINT_TYPES if any(w.type is t for w in result.tested)))
    series = []
    for label, (colour, markers), found in (
        ("confirmed", CONFIRMED, result.weaknesses),
        ("refuted", REFUTED, result.refuted),
    ):
        placed = [(types.index(w.type), w) for w in found]
        for number in range(max((sum(t == at for t, _ in placed) for at in range(len(types))), default=0)):
            # One series for the first of every type, one for the second: a series has one value at each place.
            chosen = [(at, of_type[number]) for at in range(len(types))
                      if len(of_type := [w for t, w in placed if t == at]) > number]  # fmt: skip
            series.append(
                _series(
                    label if number == 0 else f"{label} {number + 1}",
                    SeriesStyle(colour, "-", markers[number % len(markers)]), [(at, w.effect) for at, w in chosen],
                    titles=[_title(w) for _, w in chosen],
                    shift=BESIDE * number - (0.0 if label == "confirmed" else -0.06) - 0.12,
                )
            )  # fmt: skip
    names = tuple((i, TYPE_LABELS[t].partition(" ")[0]) for i, t in enumerate(types))
    return ChartData(tuple(series), Scale.POINTS, "hint type", names)


def effect_by_family(result: CampaignResult) -> ChartData:
    """Loss of the largest confirmed weaknesses in each family of problems."""
    shown = result.weaknesses[:MOST_IN_FAMILIES]
    families = sorted({d.family for w in shown for d in w.domains})
    series = []
    for number, w in enumerate(shown):
        points = [(families.index(d.family), d.loss) for d in w.domains]
        shift = 0.12 * (number - (len(shown) - 1) / 2)
        series.append(_series(f"weakness {w.rank}", NUMBERED[number], sorted(points, key=lambda p: p[0]), shift=shift))
    names = tuple((i, family.replace("_", " ")) for i, family in enumerate(families))
    return ChartData(tuple(series), Scale.POINTS, "family", names)


def accuracies(result: CampaignResult) -> ChartData:
    """Clean, placebo and hinted accuracy of each confirmed weakness."""
    found = result.weaknesses
    series = [
        _series(name, NAMED[name], [(i, getattr(w, name).accuracy) for i, w in enumerate(found)], shift=shift)
        for name, shift in (("clean", -0.15), ("placebo", 0.0), ("hinted", 0.15))
        if found
    ]
    return ChartData(tuple(series), Scale.SHARE, "weakness", tuple((i, f"{w.rank}") for i, w in enumerate(found)))


def _title(w: Weakness) -> str:
    return w.text


def _series(
    label: str, style: SeriesStyle, points: Iterable[tuple[int, Interval]], *, shift: float, titles: Iterable[str] = ()
) -> Series:
    found = list(points)
    return Series(
        label, style, [float(x) for x, _ in found], [v.mean for _, v in found], [v.low for _, v in found],
        [v.high for _, v in found], marked=True, joined=False, shift=shift, titles=tuple(titles),
    )  # fmt: skip
