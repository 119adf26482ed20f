"""Export of a model or a run's checkpoint by a process of its own: Hugging Face folder, LoRA adapter or GGUF. No Qt."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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

    `source` is ``--run FOLDER [--step N]`` or ``--model NAME``. A mistake is a `UserError` with the exporter's text.
    """
    command = [sys.executable, "-m", "training", "export", *source, "--to", to]
    command += ["--quantize", quantize] if quantize is not None else []
    command += ["--out", str(out)] if out is not None else []
    lines: list[str] = []
    with subprocess.Popen(
        [*command, *(["--force"] if force else [])], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, errors="replace", env=child_environment(),
    ) as child:  # fmt: skip
        ended = threading.Event()
        threading.Thread(target=_watch, args=(child, cancelled, ended), daemon=True).start()
        assert child.stderr is not None
        assert child.stdout is not None
        for line in child.stderr:
            if line.startswith('{"done"'):
                figures = json.loads(line)
                progress(figures["done"], figures["total"])
            else:
                lines.append(line.rstrip())
        output = child.stdout.read()
        child.wait()
        ended.set()
    if child.returncode == 0:
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result
    if cancelled():
        return None
    if child.returncode == 2 and any(line.startswith("error: ") for line in lines):
        first = next(i for i, line in enumerate(lines) if line.startswith("error: "))
        raise UserError("\n".join(lines[first:]).removeprefix("error: "))
    raise UserError("The export failed.\n" + "\n".join(lines[-LOG_LINES:]))


def _watch(child: subprocess.Popen[str], cancelled: Callable[[], bool], ended: threading.Event) -> None:
    """Interrupt the child when it is cancelled: it removes its temporary files on the way out."""
    while not ended.wait(CANCEL_POLL_S):
        if cancelled():
            child.terminate()
            return
