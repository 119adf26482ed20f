"""The outcome of each prompt, as arrays: one cell a prompt of a target, with its k samples counted. No I/O.

A prompt is (target, suite, condition, item, index): the clean question, or the question with one hint or placebo.
`bits` keeps which sample was right, for worst-of-k. Figures over problems are sums over cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.core.statistics import Interval, limited, robust_mean, share_limits, t_quantile, wilson
from training.core.types import Condition, HintType
from training.evaluation.metric_types import UnreadShares

CONDITIONS = tuple(Condition)
TYPES = tuple(HintType)
NO_TYPE = -1

_FIRST_COUNTS = ("samples", "right", "unparsable", "timed_out", "truncated", "suggesting", "follows")
_SECOND_COUNTS = (*_FIRST_COUNTS, "too_long")
COUNTS = (*_SECOND_COUNTS, "filtered")


def _layout(counts: Sequence[str]) -> np.dtype[np.void]:
    return np.dtype([
        ("item", "<u4"), ("index", "<i2"), ("hint_type", "<i1"), *((name, "<u1") for name in counts), ("bits", "<u8"),
        ("majority", "<f4"),
    ])  # fmt: skip


PACKED = _layout(COUNTS)
"""One cell as the store keeps it. `majority` is maj@k over all samples, see `statistics.maj_at_k`."""
LAYOUT = 3
_LAYOUTS = {1: _layout(_FIRST_COUNTS), 2: _layout(_SECOND_COUNTS), LAYOUT: PACKED}


def unpack(blob: bytes, layout: int) -> NDArray[np.void]:
    """Cells out of a blob of an older or of today's layout; counts that the older one lacks are 0. A ValueError for a
    blob that is cut short, a KeyError for a newer layout."""
    found = np.frombuffer(blob, dtype=_LAYOUTS[layout])
    if found.dtype == PACKED:
        return found
    cells = np.zeros(len(found), dtype=PACKED)
    for name in found.dtype.names or ():
        cells[name] = found[name]
    return cells


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeArrays:
    """Arrays `[C]`, one entry a cell. `target` and `suite` count in `targets` and `suites`, `condition` in
    `CONDITIONS`, `hint_type` in `TYPES` (`NO_TYPE` without a hint), `problem` numbers distinct problems over all
    suites, so that the same problem in two suites is one cluster."""

    targets: tuple[str, ...]
    suites: tuple[str, ...]
    problems: tuple[str, ...]
    families: tuple[str, ...]
    target: NDArray[np.int32]
    suite: NDArray[np.int32]
    condition: NDArray[np.int8]
    problem: NDArray[np.int32]
    data: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.data)

    def where(
        self,
        target: str | None = None,
        suite: str | None = None,
        condition: Condition | None = None,
        hint_type: HintType | None = None,
        families: Sequence[str] | None = None,
    ) -> OutcomeArrays:
        """The cells of these names; None takes all. A name that is not there gives no cells."""
        keep = np.ones(len(self), dtype=bool)
        if target is not None:
            keep &= self.target == _place(self.targets, target)
        if suite is not None:
            keep &= self.suite == _place(self.suites, suite)
        if condition is not None:
            keep &= self.condition == CONDITIONS.index(condition)
        if hint_type is not None:
            keep &= self.data["hint_type"] == TYPES.index(hint_type)
        if families is not None:
            wanted = np.array([f in families for f in self.families], dtype=bool)
            keep &= wanted[self.problem] if len(wanted) else False
        return self.take(keep)

    def take(self, keep: NDArray[np.bool_] | NDArray[np.intp] | slice) -> OutcomeArrays:
        """The cells of a mask, of places in that order, or of a slice (a view); the names stay."""
        names = ("target", "suite", "condition", "problem", "data")
        return replace(self, **{name: getattr(self, name)[keep] for name in names})

    def present_targets(self) -> frozenset[str]:
        return frozenset(self.targets[number] for number in np.unique(self.target).tolist())

    def unread(self) -> NDArray[np.float64]:
        """Samples a cell that are neither right nor wrong, `[C]`."""
        names = ("unparsable", "truncated", "timed_out", "too_long", "filtered")
        kinds = (self.data[name].astype(float) for name in names)
        # Cells of older versions count a sample as truncated also where its outcome is another one.
        unread: NDArray[np.float64] = np.minimum(sum(kinds), self.data["samples"].astype(float) - self.data["right"])
        return unread

    @property
    def unread_shares(self) -> UnreadShares:
        """The shares of samples that are neither right nor wrong."""
        n = max(1.0, float(self.data["samples"].sum(dtype=float)))
        names = ("unparsable", "timed_out", "too_long", "filtered")
        unreadable, *others = (float(self.data[name].sum(dtype=float)) / n for name in names)
        truncated = max(0.0, float(self.unread().sum()) / n - unreadable - sum(others))
        return UnreadShares(unreadable, truncated, *others)

    @property
    def mostly_unread(self) -> bool:
        """Whether most samples are: then no effect is claimed of these cells."""
        return self.unread_shares.mostly

    def rate(self) -> NDArray[np.float64]:
        rate: NDArray[np.float64] = self.data["right"] / self.data["samples"]
        return rate


def _place(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else -9


_NONE = np.zeros(0, dtype=np.int32)
NO_CELLS = OutcomeArrays((), (), (), (), _NONE, _NONE, _NONE.astype(np.int8), _NONE, np.zeros(0, dtype=PACKED))


Floats = NDArray[np.float64]
CONFIDENCE = 0.95
NO_SHARE = Interval(0.0, 0.0, 1.0)
_WIDTH = 1 + len(TYPES)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The cells of one target on one suite. `clean` is the clean accuracy of each problem `[P]`, nan without one; a
    suite that asks nothing clean (cross-play) takes that of the target's other suites."""

    target: str
    suite: str
    cells: OutcomeArrays
    clean: Floats

    def tables(self, *columns: NDArray[np.generic]) -> list[Table]:
        """The sums of columns `[C]` a problem, for every slice at once: one pass where a mask each would be many."""
        n = len(self.cells.problems)
        code = self.cells.condition.astype(np.int64) * _WIDTH + self.cells.data["hint_type"] + 1
        place, size = code * n + self.cells.problem, len(CONDITIONS) * _WIDTH * n
        sums = (np.bincount(place, weights=c, minlength=size).astype(float) for c in columns)
        return [Table(s.reshape(-1, _WIDTH, n)) for s in sums]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Sums `[conditions, 1 + types, P]`; the first of the types is for cells without one."""

    sums: Floats

    def of(self, condition: Condition, hint_type: HintType | None) -> Floats:
        """The sums `[P]` of a slice; type None: of all types of the condition together."""
        found = self.sums[CONDITIONS.index(condition)]
        all_types: Floats = found.sum(0) if hint_type is None else found[1 + TYPES.index(hint_type)]
        return all_types


def blocks(cells: OutcomeArrays) -> Iterator[Block]:
    """In the order of the plan: target by target, suite by suite."""
    code = cells.target.astype(np.int64) * len(cells.suites) + cells.suite
    if not len(code):
        return
    if (np.diff(code) < 0).any():
        order = np.argsort(code, kind="stable")
        cells, code = cells.take(order), code[order]
    found, starts = np.unique(code, return_index=True)
    stops = [*starts[1:], len(code)]
    shared: dict[int, Floats] = {}
    for value, start, stop in zip(found.tolist(), starts.tolist(), stops, strict=True):
        target, suite = divmod(value, len(cells.suites))
        part = cells.take(np.s_[start:stop])
        clean = right_rates(part.where(condition=Condition.CLEAN))
        if not np.isfinite(clean).any():
            if target not in shared:
                whole = cells.take(cells.target == target)
                shared[target] = right_rates(whole.where(condition=Condition.CLEAN))
            clean = shared[target]
        yield Block(cells.targets[target], cells.suites[suite], part, clean)


def right_rates(cells: OutcomeArrays) -> Floats:
    """Share of right samples a problem, `[P]`, nan without any."""
    right, samples = (by_problem(cells, cells.data[name]) for name in ("right", "samples"))
    return ratio(right, samples)


def by_problem(cells: OutcomeArrays, values: NDArray[np.generic]) -> Floats:
    """The sum of `values` a problem, `[P]`."""
    return np.bincount(cells.problem, weights=values.astype(float), minlength=len(cells.problems)).astype(float)


def ratio(top: Floats, bottom: Floats) -> Floats:
    """top / bottom, nan where bottom is 0."""
    found: Floats = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    return found


def slices(block: Block) -> list[tuple[Condition, HintType | None]]:
    """What a block has, in order: clean, hinted and each of its types, placebo."""
    present = np.bincount(block.cells.condition, minlength=len(CONDITIONS))
    types = np.bincount(block.cells.data["hint_type"].astype(np.int64) + 1, minlength=_WIDTH)[1:]
    found: list[tuple[Condition, HintType | None]] = []
    for condition, count in zip(CONDITIONS, present.tolist(), strict=True):
        if count:
            found.append((condition, None))
            if condition is Condition.HINTED:
                found += [(condition, type_) for type_, n in zip(TYPES, types.tolist(), strict=True) if n]
    return found


def share_interval(right_P: Floats, rows_P: Floats, *, whole: bool = True) -> tuple[Interval, bool]:
    """The interval of a share over rows in problems, and whether they were taken as clusters (else Wilson's).

    `whole` says that rows are 0 or 1 each, so that they never count for more than themselves.
    """
    there = rows_P > 0
    sums, sizes = right_P[there], rows_P[there]
    if whole and sizes.max(initial=0) <= 1:
        return wilson(round(float(sums.sum())), len(sizes)), False
    return share_limits(sums, sizes, float(sizes.sum()) if whole else np.inf, CONFIDENCE), True


def negated(found: Interval) -> Interval:
    """The interval of the opposite difference. Not −x: that makes −0.0 of 0.0, and it would be shown as -0."""
    return Interval(0.0 - found.mean, 0.0 - found.high, 0.0 - found.low)


def mean_interval(sums: Floats, sizes: Floats) -> Interval:
    """A mean difference over rows in problems in closed form, within ±1."""
    found = robust_mean(sums, sizes)
    return limited(found, t_quantile(0.5 + CONFIDENCE / 2, found.df), (-1.0, 1.0), CONFIDENCE)
