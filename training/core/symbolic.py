"""Tier 1 of answer checking: mathematical expressions, compared in a child process with a deadline and a memory limit.

A thread cannot do this: a big-integer power holds the interpreter's lock until it is done, which may be never.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

from training.core.answers import parse_number
from training.core.types import Outcome
from training.errors import UserError

MAX_CHARACTERS = 1000
MAX_DEPTH = 40
"""Nested braces beyond this cost the parser its whole deadline."""
START_S = 60.0

_HOME = Path(__file__).resolve().parents[2]


class SymbolicCheck:
    """Checks one comparison at a time; the child is started when first needed and again after it was killed."""

    def __init__(self, deadline_s: float = 5.0, memory_mb: int = 2048) -> None:
        self._deadline_s, self._memory_mb = deadline_s, memory_mb
        self._child: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self._known: dict[tuple[str, str], Outcome] = {}

    def check(self, given: str, gold: str) -> Outcome:
        """Whether `given` equals `gold`; a gold that cannot be read is a UserError."""
        key = (given.strip(), gold.strip())
        if key not in self._known:
            self._known[key] = self._compare(*key)
        return self._known[key]

    def _compare(self, given: str, gold: str) -> Outcome:
        a, b = parse_number(given), parse_number(gold)
        # With letters about, a number may be a factor and no number with a unit: 10x is not 10y.
        if a is not None and b is not None and not any(c.isalpha() for c in given + gold):
            return Outcome.RIGHT if a == b else Outcome.WRONG
        if len(given) > MAX_CHARACTERS or _depth(given) > MAX_DEPTH:
            return Outcome.UNPARSABLE
        answer = self._ask(given, gold)
        if answer == "bad gold":
            raise UserError(f"The gold answer {gold[:60]!r} cannot be read as mathematics; correct the problem set.")
        return Outcome(answer)

    def _ask(self, given: str, gold: str) -> str:
        child = self._child or self._start()
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps([given, gold]) + "\n")
            child.stdin.flush()
            answer = self._lines.get(timeout=self._deadline_s)
        except (queue.Empty, BrokenPipeError):
            answer = ""
        if not answer:
            self.close()
            return Outcome.TIMED_OUT
        return str(json.loads(answer))

    def _start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(_HOME)}
        child = subprocess.Popen(
            [sys.executable, "-m", "training.core.symbolic_worker", str(self._memory_mb)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read, args=(child, lines), daemon=True).start()
        self._child, self._lines = child, lines
        if lines.get(timeout=START_S) == "":
            self.close()
            raise UserError("The symbolic checker did not start. Is math-verify installed? See: seirenes doctor")
        return child

    def close(self) -> None:
        """Kill the child. It also ends by itself when this process does: its input closes."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _read(child: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line)
    lines.put("")


def _depth(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += {"{": 1, "(": 1, "}": -1, ")": -1}.get(character, 0)
        deepest = max(deepest, depth)
    return deepest
