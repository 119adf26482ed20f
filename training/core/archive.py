"""What the Reasoner meets again by prioritised fictitious self-play (PFSP): every valid hint with its success, in a
quality-diversity grid, and past Adversaries."""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.core.statistics import evenness
from training.core.types import HintType

LENGTH_BINS = (8, 14)
"""Words: up to 8, up to 14, longer."""
FLOOR = 0.02
"""Weight that even a hint without effect keeps, so that a forgotten defence is noticed."""
FAMILIES_IN_GRID = 7


def pfsp_weight(success: float) -> float:
    """(1 − w)² of the Reasoner's success w: what it fails at is met more often."""
    return (1 - success) ** 2 + FLOOR


def uncertain_weight(success: float) -> float:
    """w(1 − w): what it solves half the time is met more often, which is where solutions differ in their reward. Both
    weights are those of AlphaStar's league (Vinyals et al. 2019, Nature 575)."""
    return success * (1 - success) + FLOOR


@dataclass(frozen=True, slots=True)
class ArchivedHint:
    """A hint, its problem, and the step that made it."""

    problem_id: str
    type: HintType
    text: str
    step: int
    family: str

    @property
    def cell(self) -> str:
        words = len(self.text.split())
        return f"{self.type}|{self.family}|{sum(words > b for b in LENGTH_BINS)}"


@dataclass(slots=True)
class Entry:
    """An archived hint with w, the Reasoner's current success on it."""

    id: str
    hint: ArchivedHint
    success: float
    seen: int


class HintArchive:
    """Bounded by `trim`; beyond its capacity the easiest and oldest hints leave."""

    def __init__(self, capacity: int = 4000, smoothing: float = 0.5) -> None:
        self._capacity, self._smoothing = capacity, smoothing
        self._entries: dict[str, Entry] = {}
        self._elites: dict[str, tuple[float, str]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, hint: ArchivedHint, *, success: float, drop: float) -> str:
        """Keep a hint; it becomes its cell's elite only if its drop is an improvement. Returns its id."""
        id_ = str(self._next)
        self._next += 1
        self._entries[id_] = Entry(id_, hint, success, hint.step)
        if drop > self._elites.get(hint.cell, (0.0, ""))[0]:
            self._elites[hint.cell] = (drop, hint.text)
        return id_

    def trim(self) -> None:
        """Let the hints beyond the capacity leave: once a step, as it looks at every entry."""
        excess = max(0, len(self._entries) - self._capacity)
        for easiest in heapq.nlargest(excess, self._entries.values(), key=lambda e: (e.success, -e.seen)):
            del self._entries[easiest.id]

    def draw(self, rng: random.Random, n: int, weight: Callable[[float], float] = pfsp_weight) -> list[Entry]:
        """Up to `n` distinct entries, by the weight of their success (prioritised fictitious self-play)."""
        keyed = [(rng.random() ** (1 / weight(e.success)), e.id) for e in self._entries.values()]
        return [self._entries[id_] for _, id_ in sorted(keyed, reverse=True)[:n]]

    def report(self, id_: str, solved: float, step: int) -> None:
        if (entry := self._entries.get(id_)) is not None:
            entry.success += self._smoothing * (solved - entry.success)
            entry.seen = step

    def coverage(self) -> float:
        """Share of the grid's cells that have an elite."""
        cells = len(HintType) * FAMILIES_IN_GRID * (len(LENGTH_BINS) + 1)
        return min(1.0, len(self._elites) / cells)

    def evenness(self) -> float:
        """Pielou's evenness of the types over the archive."""
        return evenness([e.hint.type for e in self._entries.values()], len(HintType))

    def state_dict(self) -> dict[str, Any]:
        entries = [{**asdict(e.hint), "id": e.id, "success": e.success, "seen": e.seen} for e in self._entries.values()]
        return {"capacity": self._capacity, "smoothing": self._smoothing, "next": self._next, "entries": entries,
                "elites": self._elites}  # fmt: skip

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "HintArchive":
        archive = cls(state["capacity"], state["smoothing"])
        archive._next = state["next"]
        archive._elites = {cell: (drop, text) for cell, (drop, text) in state["elites"].items()}
        for e in state["entries"]:
            hint = ArchivedHint(e["problem_id"], HintType(e["type"]), e["text"], e["step"], e["family"])
            archive._entries[e["id"]] = Entry(e["id"], hint, e["success"], e["seen"])
        return archive


class PastAdversaries:
    """The steps whose Adversary can be met again, each with w, the Reasoner's success under its hints.

    At most `capacity`: beyond it the one that the Reasoner withstands best leaves. SPIRAL (arXiv 2506.24119) has past
    checkpoints as opponents too.
    """

    def __init__(self, capacity: int = 8, smoothing: float = 0.5) -> None:
        self._capacity, self._smoothing = capacity, smoothing
        self._success: dict[int, float] = {}

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(self._success)

    def add(self, step: int) -> None:
        """A new one is as likely to be met as one that succeeds half the time."""
        self._success[step] = 0.5
        if len(self._success) > self._capacity:
            older = [s for s in self._success if s != step]
            del self._success[max(older, key=lambda s: self._success[s])]

    def draw(self, rng: random.Random) -> int | None:
        """One of them, by weight (1 − w)²; None where there is none."""
        if not self._success:
            return None
        return rng.choices(self.steps, [pfsp_weight(w) for w in self._success.values()])[0]

    def report(self, step: int, solved: float) -> None:
        if step in self._success:
            self._success[step] += self._smoothing * (solved - self._success[step])

    def state_dict(self) -> dict[str, float]:
        return {str(step): success for step, success in self._success.items()}

    def restore(self, state: dict[str, float], there: Sequence[int]) -> None:
        """Take up what `state_dict` gave, of the steps whose weights are `there`."""
        self._success = {int(step): w for step, w in state.items() if int(step) in there}
