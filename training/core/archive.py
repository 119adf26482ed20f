"""Every valid hint with its success, replayed by prioritised fictitious self-play; and the quality-diversity grid."""

import heapq
import random
from dataclasses import asdict, dataclass
from typing import Any

from training.core.statistics import evenness
from training.core.types import HintType

LENGTH_BINS = (8, 14)
"""Words: up to 8, up to 14, longer."""
FLOOR = 0.02
"""Weight that even a hint without effect keeps, so that a forgotten defence is noticed."""
FAMILIES_IN_GRID = 7


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

    def draw(self, rng: random.Random, n: int) -> list[Entry]:
        """Up to `n` distinct entries, by weight (1 − w)² (prioritised fictitious self-play)."""
        keyed = [(rng.random() ** (1 / ((1 - e.success) ** 2 + FLOOR)), e.id) for e in self._entries.values()]
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
