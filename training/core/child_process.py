"""A child process that answers one JSON line with one JSON line, and can be killed. For work on model text that may
never end or take the machine's memory: a thread could not be stopped.

`JsonChild` is the parent's side; a child's module begins with `limit_memory` and ends with `serve`.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.errors import UserError

START_S = 60.0
_HOME = Path(__file__).resolve().parents[2]
# One small task at a time: more threads only take address space, which is limited.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class JsonChild:
    """Asks one question at a time; the child is started when first needed and again after it was killed."""

    def __init__(self, module: str, memory_mb: int, not_started: str) -> None:
        """`module` is run with `memory_mb` as its argument; `not_started` is what a `UserError` says where it ends
        before it is ready."""
        self._module, self._memory_mb, self._not_started = module, memory_mb, not_started
        self._child: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def ask(self, request: object, deadline_s: float) -> Any:
        """The answer; None where there was none in time or the child ended, which it then does in any case."""
        child = self._child or self._start()
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(request) + "\n")
            child.stdin.flush()
            answer = self._lines.get(timeout=deadline_s)
        except (queue.Empty, BrokenPipeError):
            answer = ""
        if not answer:
            self.close()
            return None
        return json.loads(answer)

    def _start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, **_ONE_THREAD, "PYTHONPATH": str(_HOME)}
        child = subprocess.Popen(
            [sys.executable, "-m", self._module, str(self._memory_mb)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read, args=(child, lines), daemon=True).start()
        self._child, self._lines = child, lines
        try:
            ready = lines.get(timeout=START_S)
        except queue.Empty:
            ready = ""
        if not ready:
            self.close()
            raise UserError(self._not_started)
        return child

    def close(self) -> None:
        """Kill the child. It also ends by itself when this process does: its input closes."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


def _read(child: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line)
    lines.put("")


# ---------------------------------------------------------------------- the child's side


def limit_memory(megabytes: int) -> None:
    """Bound the address space where the system can, so that a huge power cannot take the machine's memory."""
    try:
        import resource
    except ImportError:  # no such limit on this system; the parent's deadline remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


def serve(answer: Callable[[Any], Any]) -> None:
    """Answer each line of the input until it ends. Whatever else prints goes nowhere: the output is the protocol's."""
    out, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps("ready"), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=out, flush=True)
