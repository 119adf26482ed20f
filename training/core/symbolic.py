"""Tier 1 of answer checking: mathematical expressions, compared in a child process with a deadline and a memory limit.

A thread cannot do this: a big-integer power holds the interpreter's lock until it is done, which may be never.
"""

from typing import Self

from training.core.answers import parse_number
from training.core.caches import remember
from training.core.child_process import JsonChild
from training.core.types import Outcome
from training.errors import UserError

MAX_CHARACTERS = 1000
MAX_DEPTH = 40
"""Nested braces beyond this cost the parser its whole deadline."""
MAX_KNOWN = 65_536
"""Comparisons whose outcome is kept; the oldest goes first."""


class SymbolicCheck:
    """Checks one comparison at a time; the child is started when first needed and again after it was killed."""

    def __init__(self, deadline_s: float = 5.0, memory_mb: int = 2048) -> None:
        self._deadline_s = deadline_s
        self._child = JsonChild(
            "training.core.symbolic_worker", memory_mb,
            "The symbolic checker did not start. Is math-verify installed? See: seirenes doctor",
        )  # fmt: skip
        self._known: dict[tuple[str, str], Outcome] = {}

    def check(self, given: str, gold: str) -> Outcome:
        """Whether `given` equals `gold`; a gold that cannot be read is a UserError."""
        key = (given.strip(), gold.strip())
        if key not in self._known:
            remember(self._known, key, self._compare(*key), MAX_KNOWN)
        return self._known[key]

    def _compare(self, given: str, gold: str) -> Outcome:
        a, b = parse_number(given), parse_number(gold)
        # With letters about, a number may be a factor and no number with a unit: 10x is not 10y.
        if a is not None and b is not None and not any(c.isalpha() for c in given + gold):
            return Outcome.RIGHT if a == b else Outcome.WRONG
        if len(given) > MAX_CHARACTERS or _depth(given) > MAX_DEPTH:
            return Outcome.UNPARSABLE
        answer = self._child.ask([given, gold], self._deadline_s)
        if answer is None:
            return Outcome.TIMED_OUT
        if answer == "bad gold":
            raise UserError(f"The gold answer {gold[:60]!r} cannot be read as mathematics; correct the problem set.")
        return Outcome(answer)

    def close(self) -> None:
        """Kill the child. It also ends by itself when this process does: its input closes."""
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _depth(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += {"{": 1, "(": 1, "}": -1, ")": -1}.get(character, 0)
        deepest = max(deepest, depth)
    return deepest
