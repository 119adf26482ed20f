"""The verb `seirenes export`: a child process of the trainer writes the model; progress and result are shown."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from seirenes_app.cli.common import ERR, OUT, find_run, names_model
from seirenes_app.services.formatting import byte_size
from training.errors import UserError
from training.runs.launch import child_environment


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`seirenes export` and its options."""
    export = verbs.add_parser("export")
    export.add_argument("target", metavar="RUN", help="a run id or folder, 'starter', or a model folder")
    export.add_argument("--step", type=int, help="of a run: this checkpoint (default: the newest sound one)")
    export.add_argument("--to", required=True, choices=["hf", "lora", "gguf", "gguf-lora"])
    export.add_argument("--quantize", choices=["f32", "bf16", "f16", "q8_0", "q4_k_m"], help="for gguf (default: f16)")
    export.add_argument("--out", type=Path, metavar="PATH", help="default: named after the model, in this folder")
    export.add_argument("--force", action="store_true", help="replace PATH")
    export.add_argument("--json", action="store_true")


def export(options: argparse.Namespace) -> int:
    """Export a model or a run's checkpoint in a process of its own."""
    command = [sys.executable, "-m", "training", "export", *_source(options), "--to", options.to]
    for name in ("quantize", "out"):
        if (value := getattr(options, name)) is not None:
            command += [f"--{name}", str(value)]
    result = _run(command + (["--force"] if options.force else []))
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
        return 0
    OUT.print(f"{result['out']}  ({byte_size(result['bytes'])})", highlight=False, markup=False)
    if "tensors" in result:
        stored = ", ".join(f"{count} {kind}" for kind, count in result["tensors"].items())
        OUT.print(f"tensors: {stored}", highlight=False, markup=False)
    if result.get("quantize") == "q4_k_m" and not any("_K" in kind for kind in result["tensors"]):
        OUT.print("This model's rows are not multiples of 256, so llama.cpp took other types in place of K-quants.")
    return 0


def _source(options: argparse.Namespace) -> list[str]:
    if names_model(options.target):
        if options.step is not None:
            raise UserError(f"--step goes with a run, and {options.target!r} is a model. Leave it out.")
        return ["--model", options.target]
    step = [] if options.step is None else ["--step", str(options.step)]
    return ["--run", str(find_run(options.target).root), *step]


def _run(command: list[str]) -> dict[str, Any]:
    """The child's result. Its progress is shown; its error, and only that, becomes a UserError."""
    messages: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"), TimeElapsedColumn())
    with (
        Progress(*columns, console=ERR, transient=True) as progress,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", env=child_environment(),
        ) as child,
    ):  # fmt: skip
        task = progress.add_task("exporting", total=None)
        assert child.stderr is not None
        assert child.stdout is not None
        for line in child.stderr:
            if line.startswith('{"done"'):
                progress_line = json.loads(line)
                progress.update(task, completed=progress_line["done"], total=progress_line["total"])
            else:
                messages.append(line.rstrip())
        output = child.stdout.read()
    if child.returncode == 2 and messages and any(line.startswith("error: ") for line in messages):
        first = next(i for i, line in enumerate(messages) if line.startswith("error: "))
        raise UserError("\n".join(messages[first:]).removeprefix("error: "))
    if child.returncode:
        raise UserError("The export failed.\n" + "\n".join(messages[-12:]))
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result
