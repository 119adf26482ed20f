"""Export of a model or a run's checkpoint by a process of its own: Hugging Face folder, LoRA adapter or GGUF. No Qt."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from training.core.types import Role
from training.errors import UserError
from training.runs.processes import child_environment

FORMATS = ("hf", "lora", "gguf", "gguf-lora")
QUANTIZATIONS = ("f32", "bf16", "f16", "q8_0", "q4_k_m")
LOG_LINES = 12
CANCEL_POLL_S = 0.1


def run_export(
    source: Sequence[str],
    to: str,
    *,
    quantize: str | None = None,
    out: Path | None = None,
    force: bool = False,
    progress: Callable[[int, int], object] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Write the model; returns what `training export` prints, or None when cancelled: then nothing is left behind.

    `source` is ``--run FOLDER [--step N] [--adversary]`` or ``--model NAME``. A mistake is a `UserError` with the
    exporter's text.
    """
    arguments = ["export", *source, "--to", to]
    arguments += ["--quantize", quantize] if quantize is not None else []
    arguments += ["--out", str(out)] if out is not None else []
    arguments += ["--force"] if force else []

    def report(figures: dict[str, Any]) -> None:
        progress(figures["done"], figures["total"])

    return run_verb(arguments, "The export failed.", report, cancelled)


def say_roles(result: dict[str, Any]) -> str:
    """Which of a run's two models was written, and how the other is; empty where one model plays both roles."""
    roles = result.get("roles", [])
    if len(roles) != 1:
        return ""
    return {
        Role.REASONER: "This is the Reasoner. The Adversary of this run has a model of its own.",
        Role.ADVERSARY: "This is the Adversary. The Reasoner of this run has a model of its own.",
    }[Role(roles[0])]


def run_verb(
    arguments: Sequence[str],
    failure: str,
    report: Callable[[dict[str, Any]], object],
    cancelled: Callable[[], bool],
    on_text: Callable[[str], object] = lambda _text: None,
) -> dict[str, Any] | None:
    """Run `python -m training VERB …`; returns the JSON object that it prints last, or None when cancelled.

    `report` gets its JSON lines of progress, `on_text` everything else that it writes to standard error, bar by bar. A
    mistake is a `UserError` with its text, anything else one that begins with `failure` and ends with its log.
    """
    lines: list[str] = []
    # A progress bar ends its lines with a carriage return, which text mode takes as a new line.
    with subprocess.Popen(
        [sys.executable, "-m", "training", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, errors="replace", env=child_environment(),
    ) as child:  # fmt: skip
        ended = threading.Event()
        threading.Thread(target=_watch, args=(child, cancelled, ended), daemon=True).start()
        assert child.stderr is not None
        assert child.stdout is not None
        try:
            for line in child.stderr:
                if line.startswith('{"done"'):
                    report(json.loads(line))
                else:
                    on_text(line)
                    lines.append(line.rstrip())
            output = child.stdout.read()
            child.wait()
        finally:
            # Ctrl+C here: the child removes its temporary files before it ends.
            ended.set()
            if child.poll() is None:
                child.terminate()
                child.wait()
    if child.returncode == 0:
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result
    if cancelled():
        return None
    if child.returncode == 2 and any(line.startswith("error: ") for line in lines):
        first = next(i for i, line in enumerate(lines) if line.startswith("error: "))
        raise UserError("\n".join(lines[first:]).removeprefix("error: "))
    raise UserError(f"{failure}\n" + "\n".join(lines[-LOG_LINES:]))


def _watch(child: subprocess.Popen[str], cancelled: Callable[[], bool], ended: threading.Event) -> None:
    """Interrupt the child when it is cancelled: it removes its temporary files on the way out."""
    while not ended.wait(CANCEL_POLL_S):
        if cancelled():
            child.terminate()
            return
