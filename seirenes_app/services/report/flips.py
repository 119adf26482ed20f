"""Selected flips: the same prompt before and after, or a prompt with its hint and without. Reads rows.

Chosen by a rule, not by hand: both directions in the proportion in which they happened, types in turn, answers that
followed the hint first, then the shorter ones. So they are examples of what the figures count, and no evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seirenes_app.services.robustness.checkpoint_figures import Measured
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Basis, Trace, TraceRef, Track
from training.core.types import Condition, Outcome

COUNT = 10
_MOST_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class FlipPair:
    """Two answers side by side. `kind` is 'won' (wrong, then right), 'lost' (right, then wrong) or 'harmful' (right
    without the hint, wrong with it)."""

    kind: str
    left_title: str
    right_title: str
    left: Trace
    right: Trace


@dataclass(frozen=True, slots=True)
class SelectedFlips:
    """The pairs that are shown, and how many there were of each kind."""

    pairs: tuple[FlipPair, ...]
    counts: tuple[tuple[str, int], ...]
    sentence: str


def select_flips(results: ResultSource, track: Track, count: int = COUNT) -> SelectedFlips:
    """Between the first and the last checkpoint that have rows; on one alone between clean and hinted."""
    there = [m for m in results.measured(track) if m.basis is Basis.ROWS]
    if not there:
        return SelectedFlips((), (), "The rows of all checkpoints are gone, so there are no answers to show.")
    if len(there) > 1 and track.by_step:
        return _over_time(results, track, there[0], there[-1], count)
    return _by_hints(results, track, there[-1].target, count)


def _over_time(results: ResultSource, track: Track, one: Measured, other: Measured, count: int) -> SelectedFlips:
    before, after = one.label, other.label
    first, last = (_hinted(results, track, m.target) for m in (one, other))
    pairs: dict[str, list[FlipPair]] = {"won": [], "lost": []}
    for key, left in first.items():
        right = last.get(key)
        if right is None or (left.outcome is Outcome.RIGHT) == (right.outcome is Outcome.RIGHT):
            continue
        kind = "won" if right.outcome is Outcome.RIGHT else "lost"
        pairs[kind].append(FlipPair(kind, before, after, left, right))
    won, lost = len(pairs["won"]), len(pairs["lost"])
    some = _share(lost, won + lost, count)
    shown = (*_choose(pairs["won"], count - some), *_choose(pairs["lost"], some))
    text = (
        f"From {before} to {after}, {won:,} of {len(first):,} hinted answers turned from wrong to right and {lost:,} "
        f"from right to wrong; the {len(shown)} below are in about that proportion."
    )
    return SelectedFlips(shown, (("won", won), ("lost", lost)), text)


def _by_hints(results: ResultSource, track: Track, target: str, count: int) -> SelectedFlips:
    clean = {t.problem_id: t for t in _traces(results, track, target, Condition.CLEAN)}
    pairs = [
        FlipPair("harmful", "without the hint", "with the hint", clean[t.problem_id], t)
        for t in _hinted(results, track, target).values()
        if t.outcome is not Outcome.RIGHT
        and t.problem_id in clean
        and clean[t.problem_id].outcome is Outcome.RIGHT
    ]  # fmt: skip
    shown = tuple(_choose(pairs, count))
    text = f"At {target}, {len(pairs):,} answers are right without the hint and wrong with it; {len(shown)} are below."
    return SelectedFlips(shown, (("harmful", len(pairs)),), text)


def _hinted(results: ResultSource, track: Track, target: str) -> dict[tuple[str, int], Trace]:
    """Each prompt's first sample."""
    found: dict[tuple[str, int], Trace] = {}
    for trace in _traces(results, track, target, Condition.HINTED):
        found.setdefault((trace.problem_id, trace.index), trace)
    return found


def _traces(results: ResultSource, track: Track, target: str, condition: Condition) -> list[Trace]:
    return results.traces(TraceRef(track.root, target, track.suite, condition), _MOST_ROWS)


def _share(part: int, whole: int, count: int) -> int:
    """How many of `count`; at least one of what there is any of."""
    if not part or not whole:
        return 0
    return min(part, max(1, round(count * part / whole)))


def _choose(pairs: Sequence[FlipPair], count: int) -> list[FlipPair]:
    """Types in turn, each in the order of `_rank`."""
    by_type: dict[str, list[FlipPair]] = {}
    for pair in sorted(pairs, key=_rank):
        by_type.setdefault(pair.right.hint_type, []).append(pair)
    queues = [by_type[t] for t in sorted(by_type)]
    chosen: list[FlipPair] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return chosen


def _rank(pair: FlipPair) -> tuple[bool, int, str, int]:
    wrong = pair.left if pair.kind == "won" else pair.right
    return not wrong.follows, len(pair.left.completion) + len(pair.right.completion), wrong.problem_id, wrong.index
