"""What the evidence does not show, in plain words, out of what was and was not measured. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from seirenes_app.services.robustness.checkpoint_figures import Measured
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Basis, Chart, Comparison, Track
from training.evaluation.outcome_arrays import COUNTS, OutcomeArrays


def limits_of(books: Sequence[ResultSource], comparison: Comparison | None) -> tuple[str, ...]:
    """The limits of all sources together, then of each."""
    told = [_seeds(books, comparison), _machine(books)]
    for book in books:
        for track in book.tracks:
            told += _of_track(book, track)
        told.append(_cross(book))
    told.append(
        "Intervals are for one figure at a time. Many figures are shown, so some of their 95% intervals miss the truth "
        "by luck alone; only the comparison of runs is adjusted for their number."
    )
    return tuple(dict.fromkeys(t for t in told if t))


def _seeds(books: Sequence[ResultSource], comparison: Comparison | None) -> str:
    runs = {name for book in books for name in _runs_of(book)}
    if len(runs) == 1:
        seeds = [b.source.config.data.seed for b in books if b.source.config]
        seed = f" (seed {seeds[0]})" if seeds else ""
        return (
            f"One run with one seed{seed}. Whether another seed would end as well is not known, and without a baseline "
            "run beside it nothing tells self-play from training as such."
        )
    modes = [b.source.state.mode for b in books if b.source.state is not None]
    single = sorted({m for m in modes if modes.count(m) == 1})
    if single and comparison is not None and len(comparison.runs) > 1:
        return (
            f"One run each of: {', '.join(single)}. A difference between them says which run is better, not which way "
            "of training is: that takes several seeds of each."
        )
    return ""


def _runs_of(book: ResultSource) -> set[str]:
    plan = book.source.plan
    named = [track.run for track in book.tracks] + ([t.run for t in plan.targets] if plan else [])
    return {name for name in named if name}


def _machine(books: Sequence[ResultSource]) -> str:
    machines = {
        tuple(sorted((str(k), str(v)) for k, v in dict(s.machine).items()))
        for b in books
        if (s := b.source.state or b.source.evaluation) is not None and s.machine
    }
    return (
        "All was run on one machine; another one's arithmetic may sample other answers." if len(machines) == 1 else ""
    )


def _cross(book: ResultSource) -> str:
    plan = book.source.plan
    if book.crossplay() is None or plan is None or plan.writing is None:
        return ""
    return (
        "Cross-play: each writer's hints are one draw, the first of "
        f"{plan.writing.attempts} attempts that passed the gates; another draw would give other hints, and the "
        "intervals, which are over problems, do not count that."
    )


def _of_track(book: ResultSource, track: Track) -> list[str]:
    measured = book.measured(track)
    told = [_size(book, track), book.panel(track, Chart.GENERALISATION).sentence, _rows(track, measured)]
    last = measured[-1].figures
    if "placebo" not in last:
        told.append(f"{track.title}: no placebos were asked, so harm by hints is not told from harm by any text.")
    told.append(_samples(book.cells(track, measured[-1].target), track))
    told.append(_undecided(book.cells(track, measured[-1].target), track))
    return told


def _size(book: ResultSource, track: Track) -> str:
    """What a suite of this size could see at all."""
    last = book.measured(track)[-1].figures.get("hinted")
    if last is None:
        return ""
    half = (last.value.high - last.value.low) / 2
    return (
        f"{track.suite} has {track.problems:,} problems: a single hinted accuracy on it is known to about "
        f"±{100 * half:.0f} points, whatever the number of hints. Its problems stand for problems of their own "
        "families, not for mathematics at large."
    )


def _rows(track: Track, measured: Sequence[Measured]) -> str:
    gone = [m for m in measured if m.basis is Basis.COUNTS]
    if not gone:
        return ""
    return (
        f"{track.title}: {len(gone)} of {len(measured)} checkpoints have only their totals left. Their intervals "
        "count each problem once, and what they have no totals of is not shown."
    )


def _samples(cells: OutcomeArrays, track: Track) -> str:
    if not len(cells) or int(cells.data["samples"].max()) > 1:
        return ""
    return (
        f"Asked {track.asking}: how an answer varies from sample to sample was not measured, and there are no clean "
        "resamples beside worst-of-k."
    )


def _undecided(cells: OutcomeArrays, track: Track) -> str:
    """Answers that were cut off or could not be read count as wrong."""
    if not len(cells):
        return ""
    total = int(cells.data["samples"].sum())
    found = {name: int(cells.data[name].sum()) for name in COUNTS}
    parts = [f"{found[n]:,} {w}" for n, w in _UNDECIDED.items() if found[n]]
    return f"{track.title}: of {total:,} answers at the end {', '.join(parts)}; they count as wrong." if parts else ""


_UNDECIDED = {"unparsable": "could not be read", "truncated": "were cut off", "timed_out": "timed out in the checker"}
