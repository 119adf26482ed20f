"""The limits of the evidence, in plain words: what was not measured, or not enough. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Basis, Chart, Comparison, Track
from training.evaluation.outcome_arrays import COUNTS

UNDECIDED = {"unparsable": "could not be read", "truncated": "were cut off", "timed_out": "timed out in the checker"}
MANY_FIGURES = (
    "Intervals are for one figure at a time. Many figures are shown, so some of their 95% intervals miss the truth by "
    "luck alone; only the comparison of runs is adjusted for their number."
)


def caveats_of(opened: Sequence[ResultSource], comparison: Comparison | None) -> tuple[str, ...]:
    """The limits of all sources together, then of each."""
    found = [_of_seeds(opened, comparison), _of_machine(opened)]
    for results in opened:
        for track in results.tracks:
            found += _of_track(results, track)
        found.append(_of_crossplay(results))
    return tuple(dict.fromkeys(text for text in (*found, MANY_FIGURES) if text))


def _of_seeds(opened: Sequence[ResultSource], comparison: Comparison | None) -> str:
    sources = [results.source for results in opened]
    runs = {track.run for results in opened for track in results.tracks}
    runs |= {target.run or "" for s in sources if s.plan is not None for target in s.plan.targets}
    if len(runs - {""}) == 1:
        seeds = [s.config.data.seed for s in sources if s.config]
        seed = f" (seed {seeds[0]})" if seeds else ""
        return (
            f"One run with one seed{seed}. Whether another seed would end as well is not known, and without a baseline "
            "run beside it nothing separates self-play from training as such."
        )
    modes = [s.state.mode for s in sources if s.state is not None]
    single = sorted({m for m in modes if modes.count(m) == 1})
    if single and comparison is not None and len(comparison.runs) > 1:
        return (
            f"One run each of: {', '.join(single)}. A difference between them says which run is better, not which way "
            "of training is: that takes several seeds of each."
        )
    return ""


def _of_machine(opened: Sequence[ResultSource]) -> str:
    states = [results.source.state or results.source.evaluation for results in opened]
    machines = {
        tuple(sorted((str(k), str(v)) for k, v in dict(s.machine).items()))
        for s in states
        if s is not None and s.machine
    }
    one = len(machines) == 1
    return "All was run on one machine; another one's arithmetic may sample other answers." if one else ""


def _of_crossplay(results: ResultSource) -> str:
    plan = results.source.plan
    if results.crossplay() is None or plan is None or plan.writing is None:
        return ""
    return (
        f"Cross-play: each writer's hints are one draw, the first of {plan.writing.attempts} attempts that passed the "
        "gates; another draw would give other hints, and the intervals, which are over problems, do not count that."
    )


def _of_track(results: ResultSource, track: Track) -> Iterator[str]:
    measured = results.measured(track)
    last = measured[-1].figures
    if hinted := last.get("hinted"):
        half = (hinted.value.high - hinted.value.low) / 2
        yield (
            f"{track.suite} has {track.problems:,} problems: a single hinted accuracy on it is known to about "
            f"±{100 * half:.0f} points, whatever the number of hints. Its problems stand for problems of their own "
            "families, not for mathematics at large."
        )
    yield results.panel(track, Chart.GENERALISATION).sentence
    if gone := sum(m.basis is Basis.COUNTS for m in measured):
        yield (
            f"{track.title}: {gone} of {len(measured)} checkpoints have only their totals left. Their intervals count "
            "each problem once, and what they have no totals of is not shown."
        )
    if "placebo" not in last:
        yield f"{track.title}: no placebos were asked, so harm by hints cannot be separated from harm by any text."
    cells = results.cells(track, measured[-1].target)
    if not len(cells):
        return
    if int(cells.data["samples"].max()) <= 1:
        yield (
            f"Asked {track.asking}: how an answer varies from sample to sample was not measured, and there are no "
            "clean resamples beside worst-of-k."
        )
    counts = {name: int(cells.data[name].sum()) for name in COUNTS}
    if parts := [f"{counts[n]:,} {text}" for n, text in UNDECIDED.items() if counts[n]]:
        total = int(cells.data["samples"].sum())
        yield f"{track.title}: of {total:,} answers at the end {', '.join(parts)}; they count as wrong."
