"""A study's measure as a chart: the mean of each variant with its interval, and every seed beside it. Pure."""

from __future__ import annotations

from seirenes_app.services.charts.data import ChartData, Scale, Series
from seirenes_app.services.charts.style import NUMBERED, SeriesStyle
from seirenes_app.services.study.results import Basis, Measure, StudyResults

MEAN = SeriesStyle("accent", "-", "o")
SEED = NUMBERED[4]
SPREAD = 0.09
"""How far apart the seeds of one variant stand."""


def study_chart(results: StudyResults, measure: Measure, basis: Basis = Basis.ROLLOUTS) -> ChartData:
    """Variants along the axis; the marker with its interval is the mean over seeds, the small ones are the seeds."""
    variants = [v for v in results.rows(basis) if results.figure(v, measure, basis) is not None]
    figures = [f for v in variants if (f := results.figure(v, measure, basis)) is not None]
    means = [f.mean.interval for f in figures]
    places = [float(i) for i in range(len(variants))]
    series = [
        Series(
            "mean over seeds", MEAN, places, [m.mean for m in means], [m.low for m in means], [m.high for m in means],
            marked=True, joined=False,
        )
    ]  # fmt: skip
    seeds = sorted({seed for f in figures for seed, _ in f.by_seed})
    for number, seed in enumerate(seeds):
        points = [(x, dict(f.by_seed)[seed].mean) for x, f in zip(places, figures, strict=True)
                  if len(f.by_seed) > 1 and seed in dict(f.by_seed)]  # fmt: skip
        if points:
            style = SeriesStyle(SEED.colour, "-", ("s", "^", "D", "o")[number % 4])
            series.append(
                Series(
                    f"seed {seed}", style, [x for x, _ in points], [y for _, y in points], marked=True, joined=False,
                    shift=0.14 + SPREAD * number,
                )
            )  # fmt: skip
    return ChartData(
        tuple(s for s in series if len(s.x)), Scale.SHARE, "variant", tuple(enumerate(variants)), zoom=False
    )  # fmt: skip
