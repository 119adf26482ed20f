"""The verb `seirenes models`: the models on this machine, what they are, and whether they fit."""

from __future__ import annotations

import argparse
import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from seirenes_app.cli import downloads
from seirenes_app.cli.common import ERR, LINE_EVERY_S, OUT, interruptible, print_table
from seirenes_app.inference.model_export import QUANTIZATIONS, run_export
from seirenes_app.services.formatting import UNKNOWN, byte_size, format_count, percent, short_count, visible
from seirenes_app.services.models.check import PROBLEMS, CheckProgress, CheckResult, CheckRow, check_model
from seirenes_app.services.models.convert import ConvertProgress, convert_gguf, default_folder
from seirenes_app.services.models.facts import Fit, FitLevel, ModelDescription, ModelFormat, describe_model
from seirenes_app.services.models.inventory import (
    SOURCE_NAMES,
    ModelEntry,
    SearchProgress,
    add_model_folder,
    endpoint_entries,
    find_entry,
    find_models,
    read_entry,
)
from training.core.types import UNREADABLE
from training.errors import UserError


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    commands = verbs.add_parser("models").add_subparsers(dest="command", metavar="COMMAND", required=True)
    list_ = commands.add_parser("list", help="list the models on this machine, wherever they are")
    list_.add_argument("--all", action="store_true", help="also those that cannot be used, with the reason")
    list_.add_argument("--add", type=Path, action="append", default=[], metavar="PATH", help="look here from now on")
    list_.add_argument("--json", action="store_true")
    show = commands.add_parser("show", help="show what a model is, and whether it fits in this machine's memory")
    show.add_argument("name", metavar="NAME", help="a name or id from `models list`, a folder, or a GGUF file")
    show.add_argument("--json", action="store_true")
    test = commands.add_parser("test", help="let a model solve ten small problems; show what it writes and its speed")
    test.add_argument("name", metavar="NAME")
    test.add_argument("--max-tokens", type=int, default=0, metavar="N", help="longest answer (default: by the model)")
    test.add_argument("--json", action="store_true")
    convert = commands.add_parser("convert", help="a GGUF file to a folder that can be trained, or a folder to GGUF")
    convert.add_argument("name", metavar="NAME", help="a GGUF file or a model folder, by path or by name")
    convert.add_argument("-o", "--out", type=Path, metavar="PATH", help="default: beside the GGUF, or in this folder")
    convert.add_argument("--to", choices=("hf", "gguf"), help="default: hf for a GGUF file, gguf for a folder")
    convert.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="of the folder's weights")
    convert.add_argument("--quantize", choices=QUANTIZATIONS, help="of the GGUF file (default: f16)")
    convert.add_argument("--force", action="store_true", help="replace the model at PATH")
    convert.add_argument("--json", action="store_true")
    downloads.add_parsers(commands)


def models(options: argparse.Namespace) -> int:
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": _list, "show": _show, "test": _test, "convert": _convert, **downloads.COMMANDS,
    }  # fmt: skip
    return commands[options.command](options)


# ---------------------------------------------------------------------- list


def _list(options: argparse.Namespace) -> int:
    for path in options.add:
        add_model_folder(path)
    found = [*all_models(), *endpoint_entries()]
    shown = [entry for entry in found if entry.usable or options.all]
    if options.json:
        print(json.dumps([entry_fields(entry) for entry in shown], ensure_ascii=False))
        return 0
    print_table(_models_table(shown))
    hidden = len(found) - len(shown)
    if hidden:
        several = hidden > 1
        OUT.print(
            f"{hidden} more {'models' if several else 'model'} cannot be used. "
            f"Show {'them' if several else 'it'} with the reason: seirenes models list --all"
        )
    return 0


def all_models() -> list[ModelEntry]:
    """Every model found, with progress on the terminal; why a place was not searched whole goes to stderr."""
    problems: list[str] = []

    with _status("Searching for models") as show:

        def progress(found: SearchProgress) -> None:
            show(f"{SOURCE_NAMES[found.source]}: {found.seen:,} files")
            if found.problem:
                problems.append(found.problem)

        models = list(find_models(progress=progress))
    for problem in problems:
        ERR.print(problem, highlight=False, markup=False)
    return models


@contextmanager
def _status(doing: str) -> Iterator[Callable[[str], object]]:
    """A line that changes while the work goes on; without a terminal, a line every few seconds."""
    if ERR.is_terminal:
        with ERR.status(doing) as status:
            yield lambda text: status.update(Text(f"{doing}: {text}"))
        return
    printed = time.monotonic()

    def show(text: str) -> None:
        nonlocal printed
        if time.monotonic() - printed >= LINE_EVERY_S:
            printed = time.monotonic()
            ERR.print(f"{doing}: {text}", highlight=False, markup=False, soft_wrap=True)

    yield show


def entry_fields(entry: ModelEntry) -> dict[str, Any]:
    """One model as JSON: stable names, sizes in bytes, lengths in tokens."""
    files = entry.files
    return {
        "id": entry.id, "name": entry.name, "source": entry.source, "path": str(entry.path), "format": entry.format,
        "bytes": entry.size_bytes, "usable": entry.usable, "problem": entry.problem or None,
        "architecture": files.architecture or None, "parameters": files.n_params or None,
        "quantisation": files.quantisation or None, "context": files.n_ctx or None,
    }  # fmt: skip


def _models_table(entries: list[ModelEntry]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Model", overflow="fold")
    for heading in ("Where", "Format"):
        table.add_column(heading)
    for heading in ("Size", "Type", "Context"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Usable")
    for entry in entries:
        table.add_row(
            Text(entry.label), SOURCE_NAMES[entry.source], str(entry.format),
            byte_size(entry.size_bytes) if entry.size_bytes else UNKNOWN,
            entry.files.quantisation or UNKNOWN, format_count(entry.files.n_ctx) if entry.files.n_ctx else UNKNOWN,
            Text("yes" if entry.usable else f"no: {entry.problem}"),
        )  # fmt: skip
    return table


# ---------------------------------------------------------------------- show


def named_entry(name: str) -> ModelEntry:
    """The model of a name, an id or a path; a UserError with the nearest names. A path is not searched for."""
    entry = read_entry(name) or find_entry(name, all_models())
    if entry.endpoint is not None:
        called = entry.endpoint.name or entry.id
        raise UserError(
            f"{entry.id} is an endpoint, and this verb is for models of this machine. See it: seirenes endpoint list, "
            f"ask it: seirenes endpoint ask {called} TEXT"
        )
    return entry


def _show(options: argparse.Namespace) -> int:
    entry = named_entry(options.name)
    found = describe_model(entry)
    if options.json:
        print(json.dumps(description_fields(entry, found), ensure_ascii=False))
        return 0 if entry.usable and found.usable else 2
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(entry, found):
        table.add_row(name, Text(value))
    print_table(table)
    return 0 if entry.usable and found.usable else 2


def _facts(entry: ModelEntry, found: ModelDescription) -> list[tuple[str, str]]:
    files = found.files
    facts = [
        ("Name", entry.name),
        ("Id", entry.id),
        ("Where", f"{SOURCE_NAMES[entry.source]}, {entry.path}"),
        ("Usable", f"no: {problem}" if (problem := entry.problem or files.problem) else "yes"),
        ("Format", str(entry.format)),
        ("Size", byte_size(entry.size_bytes)),
        ("Architecture", files.architecture),
        ("Parameters", short_count(files.n_params) if files.n_params else ""),
        ("Type of weights", files.quantisation),
        ("Context", f"{format_count(files.n_ctx)} tokens" if files.n_ctx else ""),
        ("Vocabulary", f"{format_count(files.n_vocab)} tokens" if files.n_vocab else ""),
        ("Output layer", {True: "tied to the embedding", False: "of its own", None: ""}[files.tied_head]),
        ("Base model", files.base),
        ("End tokens", ", ".join(map(str, found.end_ids))),
        ("Licence", found.licence or "not named in its files"),
    ]
    if entry.usable and found.usable:
        facts.append(("Chat template", _template(found)))
        facts += [(name, _fit(fit)) for name, fit in _fits(found) if fit is not None]
        facts += [("Training", found.training_note)] if found.training_note else []
    return [(name, value) for name, value in [*facts, *(("Note", note) for note in found.notes)] if value]


def _template(found: ModelDescription) -> str:
    return found.template_note.text or "used as it is"


def _fits(found: ModelDescription) -> tuple[tuple[str, Fit | None], ...]:
    return ("To run", found.inference), ("To train", found.training_full), ("To train (LoRA)", found.training_lora)


def _fit(fit: Fit) -> str:
    words = {FitLevel.YES: "Fits.", FitLevel.TIGHT: "Tight.", FitLevel.NO: "Does not fit."}
    return f"{words[fit.level]} {fit.sentence}"


def description_fields(entry: ModelEntry, found: ModelDescription) -> dict[str, Any]:
    """All facts of a model as JSON."""
    return {
        **entry_fields(entry), "usable": entry.usable and found.usable,
        "problem": entry.problem or found.files.problem or None,
        "vocabulary": found.files.n_vocab or None, "tied_head": found.files.tied_head,
        "base": found.files.base or None, "kind": found.kind, "template_note": found.template_note.text or None,
        "end_ids": list(found.end_ids), "licence": found.licence or None,
        "fits": {
            "inference": found.inference and asdict(found.inference),
            "training_full": found.training_full and asdict(found.training_full),
            "training_lora": found.training_lora and asdict(found.training_lora),
        },
        "training_note": found.training_note or None, "notes": list(found.notes),
    }  # fmt: skip


# ---------------------------------------------------------------------- test


def _test(options: argparse.Namespace) -> int:
    """Print each answer as it comes. Ctrl+C ends the test and keeps what was printed."""
    if options.max_tokens < 0:
        raise UserError(f"--max-tokens is {options.max_tokens}. Give a number from 1 on, or leave it out.")
    entry = named_entry(options.name)
    stopped = threading.Event()
    with interruptible(), _status("Testing") as show:

        def progress(found: CheckProgress) -> None:
            doing = f"problem {found.number} of {len(PROBLEMS)}" if found.number else f"{found.doing.lower()}"
            show(f"{entry.label}: {doing}")

        def row(found: CheckRow) -> None:
            if not options.json:
                _print_row(found)

        try:
            result = check_model(entry.path, row, stopped.is_set, progress, max_tokens=options.max_tokens)
        except KeyboardInterrupt:
            raise UserError("The test was interrupted.") from None
    if options.json:
        print(json.dumps(_result_fields(entry, result), ensure_ascii=False))
        return 0
    OUT.print(f"\n{result.sentence}", highlight=False, markup=False, soft_wrap=True)
    for remedy in result.remedies:
        OUT.print(remedy, highlight=False, markup=False, soft_wrap=True)
    return 0


def _print_row(row: CheckRow) -> None:
    speed = f"{row.tokens} tokens, {row.tokens_per_s:.0f}/s"
    outcome = "unreadable" if row.outcome in UNREADABLE else str(row.outcome).replace("_", " ")
    OUT.print(Text(f"\n{row.number}. {row.problem.question}", style="bold"), soft_wrap=True)
    OUT.print(Text(visible(row.output.strip(), "\n")), soft_wrap=True)
    read = f"read {row.answer!r} ({row.tier})" if row.answer else row.reason
    OUT.print(Text(f"→ {outcome}: {read}; right is {row.problem.answer!r}; {speed}"), soft_wrap=True)


def _result_fields(entry: ModelEntry, result: CheckResult) -> dict[str, Any]:
    return {
        "model": entry.id, "path": str(entry.path), "prompts": result.prompts, "max_tokens": result.max_tokens,
        "right": result.right, "problems": len(result.rows), "unreadable_share": result.unreadable_share,
        "truncated_share": result.truncated_share, "tokens_per_s": round(result.tokens_per_s, 1),
        "remedies": list(result.remedies),
        "rows": [
            {"question": row.problem.question, "gold": row.problem.answer, "kind": row.problem.kind,
             "output": row.output, "outcome": row.outcome, "answer": row.answer, "tier": row.tier,
             "reason": row.reason, "tokens": row.tokens, "seconds": round(row.seconds, 3), "truncated": row.truncated}
            for row in result.rows
        ],
    }  # fmt: skip


# ---------------------------------------------------------------------- convert


def _convert(options: argparse.Namespace) -> int:
    """0 when it was written and computes the same; 2 when it does not. Ctrl+C leaves nothing behind."""
    entry = named_entry(options.name)
    to = options.to or ("hf" if entry.format is ModelFormat.GGUF else "gguf")
    if (to == "hf") != (entry.format is ModelFormat.GGUF):
        raise UserError(f"{entry.label} is in that format already. Leave --to out.")
    if to == "gguf":
        return _export(entry, options)
    if options.quantize:
        raise UserError("--quantize goes with a conversion to GGUF. Use --dtype for a folder's weights.")
    with interruptible(), _status("Converting") as show:

        def progress(found: ConvertProgress) -> None:
            show(f"{found.stage}{f', {percent(found.share)}' if found.share is not None else ''}")

        out = options.out or default_folder(entry.path)
        result = convert_gguf(entry.path, out, dtype=options.dtype or "", force=options.force, on_progress=progress)
    assert result is not None
    if options.json:
        fields = {**asdict(result.comparison), "sound": result.comparison.sound}
        found = {"out": str(result.out), "bytes": result.size_bytes, "dtype": result.dtype, "comparison": fields}
        print(json.dumps(found, ensure_ascii=False))
    else:
        for sentence in (result.sentence, result.comparison.sentence):
            OUT.print(sentence, highlight=False, markup=False, soft_wrap=True)
        if result.comparison.sound:
            OUT.print(f"Train it: seirenes train quick --set model.path={shlex.quote(str(result.out))}", markup=False)
    return 0 if result.comparison.sound else 2


def _export(entry: ModelEntry, options: argparse.Namespace) -> int:
    if options.dtype:
        raise UserError("--dtype goes with a conversion to a folder. Use --quantize for a GGUF file.")
    with interruptible(), _status("Converting") as show:
        result = run_export(
            ["--model", str(entry.path)], "gguf", quantize=options.quantize, out=options.out, force=options.force,
            progress=lambda done, total: show(percent(done / total) if total else ""),
        )  # fmt: skip
    assert result is not None
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        OUT.print(f"{result['out']} ({byte_size(result['bytes'])})", highlight=False, markup=False, soft_wrap=True)
    return 0
