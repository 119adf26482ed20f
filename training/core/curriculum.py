"""Which questions and types are played, and the alarm on clean accuracy. Pure; states are JSON-able."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


class MasteryPool:
    """Questions; those solved clean and hinted are drawn less often and come back when they fail."""

    def __init__(self, ids: Sequence[str], mastered_weight: float = 0.25, mastered: Sequence[str] = ()) -> None:
        self._ids = list(dict.fromkeys(ids))
        self._weight = mastered_weight
        self._mastered = set(mastered)

    @property
    def mastered_count(self) -> int:
        return len(self._mastered)

    def draw(self, rng: random.Random, n: int) -> list[str]:
        """`n` questions, distinct as long as there are enough; weighted sampling without replacement
        (Efraimidis & Spirakis 2006: the largest u^(1/w))."""
        drawn: list[str] = []
        while len(drawn) < n:
            keyed = sorted(((self._key(rng, id_), id_) for id_ in self._ids), reverse=True)
            drawn += [id_ for _, id_ in keyed[: n - len(drawn)]]
        return drawn

    def _key(self, rng: random.Random, id_: str) -> float:
        u = rng.random()
        weight = self._weight if id_ in self._mastered else 1.0
        return float(u ** (1 / weight)) if weight > 0 else u - 1.0

    def report(self, id_: str, all_clean_right: bool, all_hinted_right: bool) -> None:
        """Move a question in or out of the mastered set after it was played."""
        if all_clean_right and all_hinted_right:
            self._mastered.add(id_)
        else:
            self._mastered.discard(id_)

    def state_dict(self) -> dict[str, Any]:
        return {"ids": self._ids, "weight": self._weight, "mastered": sorted(self._mastered)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "MasteryPool":
        return cls(state["ids"], state["weight"], state["mastered"])


def type_quota(rng: random.Random, questions: int, types: Sequence[T]) -> list[T]:
    """One type a question, their counts differing by at most one; who gets one more is drawn."""
    whole, rest = divmod(questions, len(types))
    dealt = [t for t in types for _ in range(whole)] + rng.sample(list(types), rest)
    rng.shuffle(dealt)
    return dealt


@dataclass
class CleanGuard:
    """`alarmed` while clean accuracy is more than `margin` below its best."""

    margin: float
    best: float = -1.0
    best_step: int = 0
    alarmed: bool = field(default=False, init=False)

    def observe(self, step: int, accuracy: float) -> bool:
        """Take note of an evaluation; returns `alarmed`."""
        if accuracy > self.best:
            self.best, self.best_step = accuracy, step
        self.alarmed = accuracy < self.best - self.margin
        return self.alarmed

    def state_dict(self) -> dict[str, Any]:
        """The arguments of the class."""
        return {"margin": self.margin, "best": self.best, "best_step": self.best_step}
