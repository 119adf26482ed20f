"""The verb `seirenes export`: a child process of the trainer writes the model; progress and result are shown."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from seirenes_app.cli.common import ERR, OUT, find_run
from seirenes_app.inference.model_export import FORMATS, QUANTIZATIONS, run_export, say_roles
from seirenes_app.services.evaluations import STARTER, is_model_folder
from seirenes_app.services.formatting import byte_size
from training.errors import UserError
from training.model_names import locate_folder, parse_hub_id
from training.runs.files import expanded


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    export = verbs.add_parser("export")
    export.add_argument("target", metavar="RUN", help="a run id or folder, 'starter', a model folder, or a hub id")
    export.add_argument("--step", type=int, help="of a run: this checkpoint (default: the newest sound one)")
    export.add_argument(
        "--adversary", action="store_true", help="of a run with two models: the Adversary's (default: the Reasoner's)"
    )
    export.add_argument("--to", required=True, choices=FORMATS)
    export.add_argument("--quantize", choices=QUANTIZATIONS, help="for gguf (default: f16)")
    export.add_argument("--out", type=Path, metavar="PATH", help="default: named after the model, in this folder")
    export.add_argument("--force", action="store_true", help="replace PATH")
    export.add_argument("--json", action="store_true")


def export(options: argparse.Namespace) -> int:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True) as bar:
        task = bar.add_task("exporting", total=None)
        result = run_export(
            _source(options), options.to, quantize=options.quantize, out=options.out, force=options.force,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    assert result is not None
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
        return 0
    OUT.print(f"{result['out']}  ({byte_size(result['bytes'])})", highlight=False, markup=False)
    if said := say_roles(result):
        OUT.print(
            f"{said}{'' if options.adversary else ' --adversary exports that one.'}", highlight=False, markup=False
        )
    if "tensors" in result:
        stored = ", ".join(f"{count} {kind}" for kind, count in result["tensors"].items())
        OUT.print(f"tensors: {stored}", highlight=False, markup=False)
    if result.get("quantize") == "q4_k_m" and not any("_K" in kind for kind in result["tensors"]):
        OUT.print("This model's rows are not multiples of 256, so llama.cpp took other types in place of K-quants.")
    return 0


def _source(options: argparse.Namespace) -> list[str]:
    path = expanded(options.target)
    is_hub_id = not path.exists() and parse_hub_id(options.target) is not None
    if is_hub_id:
        locate_folder(options.target)
    if options.target == STARTER or is_hub_id or is_model_folder(path):
        for option, given in (("--step", options.step is not None), ("--adversary", options.adversary)):
            if given:
                raise UserError(f"{option} goes with a run, and {options.target!r} is a model. Leave it out.")
        return ["--model", options.target]
    step = [] if options.step is None else ["--step", str(options.step)]
    other = ["--adversary"] if options.adversary else []
    return ["--run", str(find_run(options.target).root), *step, *other]
