"""What became of each prompt, as arrays: one cell a prompt of a target, with its k samples counted. No I/O.

A prompt is (target, suite, condition, item, index): the clean question, or the question with one hint or placebo.
Figures over problems are sums over cells, so 200 targets × 500 problems × 5 prompts are half a million cells, which
arrays add up in milliseconds where rows would take minutes. `bits` keeps which sample was right, so worst-of-k can ask
whether all hints of a problem failed in the same sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.core.types import Condition, HintType

CONDITIONS = tuple(Condition)
TYPES = tuple(HintType)
NO_TYPE = -1

COUNTS = ("samples", "right", "unparsable", "timed_out", "truncated", "suggesting", "follows")
PACKED = np.dtype([
    ("item", "<u4"), ("index", "<i2"), ("hint_type", "<i1"), *((name, "<u1") for name in COUNTS), ("bits", "<u8"),
    ("majority", "<f4"),
])  # fmt: skip
"""One cell as the store keeps it. `majority` is maj@k over all samples, see `statistics.maj_at_k`."""


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeArrays:
    """Arrays `[C]`, one entry a cell. `target` and `suite` count in `targets` and `suites`, `condition` in
    `CONDITIONS`, `hint_type` in `TYPES` (`NO_TYPE` without a hint), `problem` numbers distinct problems over all
    suites, so that the same problem in two suites is one cluster."""

    targets: tuple[str, ...]
    suites: tuple[str, ...]
    problems: tuple[str, ...]
    """Problem ids, by `problem`."""
    families: tuple[str, ...]
    """The family of each problem, by `problem`."""
    target: NDArray[np.int32]
    suite: NDArray[np.int32]
    condition: NDArray[np.int8]
    problem: NDArray[np.int32]
    data: NDArray[np.void]
    """The counts, of dtype `PACKED`."""

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
        return replace(
            self,
            target=self.target[keep],
            suite=self.suite[keep],
            condition=self.condition[keep],
            problem=self.problem[keep],
            data=self.data[keep],
        )

    def present_targets(self) -> frozenset[str]:
        """The targets that have cells."""
        return frozenset(self.targets[number] for number in np.unique(self.target).tolist())

    def rate(self) -> NDArray[np.float64]:
        """Share of right samples a cell."""
        rate: NDArray[np.float64] = self.data["right"] / self.data["samples"]
        return rate


def _place(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else -9


_NONE = np.zeros(0, dtype=np.int32)
NO_CELLS = OutcomeArrays((), (), (), (), _NONE, _NONE, _NONE.astype(np.int8), _NONE, np.zeros(0, dtype=PACKED))
