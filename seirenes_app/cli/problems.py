"""The verb `seirenes problems`: problem sets and families, a preview of a file, and problems written as JSON lines."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from seirenes_app.cli.common import ERR, OUT
from training.core.gym import DOMAINS, NOT_INSTALLED, installed
from training.core.problems import FAMILIES, find_family, problem_stream, require_families
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Problem, Split
from training.errors import UserError
from training.evaluation.problem_sets.hub import PRESETS, Preset, open_source
from training.evaluation.problem_sets.importing import (
    ProblemImport,
    find_mapping,
    preview,
    problem_fields,
    read_mapping,
    report_fields,
    write_problems,
    write_report,
)
from training.evaluation.problem_sets.sources import RowSource
from training.evaluation.problem_sets.types import ColumnMapping, ImportReport, Preview, PreviewRow, ReadOptions
from training.resources import data_folder

_SHOWN = 10  # rejected rows on the screen; all of them are in the report file


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    problems_ = verbs.add_parser("problems")
    commands = problems_.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in (
        ("list", "list the problem sets in the data folder"),
        ("presets", "list the published sets that are known by name"),
    ):
        commands.add_parser(name, help=text).add_argument("--json", action="store_true")
    families = commands.add_parser(
        "families", help="list the families that generate problems, those of reasoning-gym too"
    )
    families.add_argument("--json", action="store_true")
    make = commands.add_parser("make", help="write generated problems of families as JSON lines")
    make.add_argument("families", nargs="+", metavar="FAMILY", help="of `problems families`")
    make.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.jsonl")
    make.add_argument("--problems", type=_count, default=100, metavar="N", help="how many (default: 100)")
    make.add_argument("--seed", type=int, default=0)
    make.add_argument(
        "--split", type=lambda text: text.replace("-", "_"), choices=[s.value for s in Split],
        default=Split.HELD_OUT.value, help="for training or for tests; they share no question (default: held_out)",
    )  # fmt: skip
    make.add_argument("--json", action="store_true")
    preview_ = commands.add_parser("preview", help="show the first rows and how their columns would be read")
    _add_source(preview_)
    preview_.add_argument("--rows", type=_count, default=5, metavar="N", help="how many (default: 5)")
    import_ = commands.add_parser("import", help="write the problems of a set as JSON lines")
    _add_source(import_)
    import_.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.jsonl")
    import_.add_argument(
        "--type", action="append", default=[], dest="types", metavar="T", help="keep this question type"
    )
    import_.add_argument("--limit", type=_count, metavar="N", help="stop after N problems")
    import_.add_argument("--report", type=Path, metavar="FILE", help="write every rejected row and duplicate as JSON")


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FILE|PRESET", help="a file, a preset, or a hub data set as owner/name")
    parser.add_argument(
        "--map", action="append", default=[], dest="pairs", metavar="ROLE=COLUMN",
        help="which column is the question, answer, kind, type, id, context, solution or group",
    )  # fmt: skip
    parser.add_argument("--config", default="", help="of a hub data set")
    parser.add_argument("--split", default="", help="of a hub data set; several with +")
    parser.add_argument("--json", action="store_true")


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if not number:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return number


def sets_folder() -> Path:
    """Where a preset's file may be put by hand."""
    return data_folder() / "problem-sets"


def problems(options: argparse.Namespace) -> int:
    commands = {
        "list": _list, "presets": _presets, "families": _families, "make": _make, "preview": _preview,
        "import": _import,
    }  # fmt: skip
    return commands[options.command](options)


# ---------------------------------------------------------------------- list, presets


def _list(options: argparse.Namespace) -> int:
    folder = sets_folder()
    files = sorted(file for file in folder.glob("*") if file.is_file()) if folder.is_dir() else []
    if options.json:
        print(json.dumps([{"name": file.name, "path": str(file), "bytes": file.stat().st_size} for file in files]))
        return 0
    for file in files:
        OUT.print(Text(f"{file.name}  {file.stat().st_size / 2**20:.1f} MiB"), soft_wrap=True)
    if not files:
        OUT.print(Text(f"No problem sets in {folder}. Import one: seirenes problems import FILE -o NAME.jsonl"))
    return 0


def _presets(options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps([_preset_fields(preset) for preset in PRESETS.values()], ensure_ascii=False))
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Name and hub address")
    for title in ("Problems", "k"):
        table.add_column(title, justify="right")
    for title in ("Answers", "Licence"):
        table.add_column(title)
    for preset in PRESETS.values():
        name = Text(f"{preset.key}\n").append(f"  {preset.hub} {preset.config}".rstrip(), style="dim")
        table.add_row(name, f"{preset.problems:,}", str(preset.k), _answers(preset), preset.licence)
    OUT.print(table)
    OUT.print("\nk is the number of samples a problem for avg@k. Licences are those that the hub's cards state.")
    return 0


def _answers(preset: Preset) -> str:
    return preset.kind.value if preset.kind else "number, symbolic"


def _preset_fields(preset: Preset) -> dict[str, Any]:
    return asdict(preset) | {"kind": _answers(preset), "mapping": preset.mapping.columns()}


# ---------------------------------------------------------------------- families


def _families(options: argparse.Namespace) -> int:
    known: list[tuple[str, str, AnswerKind, int]] = [
        (name, family.title, family.kind, family.max_difficulty)
        for name, family in ((n, find_family(n)) for n in (*FAMILIES, *DOMAINS)) if family is not None
    ]  # fmt: skip
    if options.json:
        rows = [
            {"name": name, "title": title, "answers": kind.value, "difficulties": levels,
             "installed": name in FAMILIES or installed()}
            for name, title, kind, levels in known
        ]  # fmt: skip
        print(json.dumps({"families": rows}, ensure_ascii=False))
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Name", "Problems", "Answers"):
        table.add_column(title)
    table.add_column("Difficulties", justify="right")
    for name, title, kind, levels in known:
        table.add_row(Text(name), Text(title), kind.value, str(levels))
    OUT.print(table)
    OUT.print(Text(f"\n{_GYM_NOTE if installed() else NOT_INSTALLED}"), soft_wrap=True)
    return 0


_GYM_NOTE = (
    "Families named gym:… are of reasoning-gym. 'scored' answers are graded by the family itself, in a process of its "
    "own; all others by this program."
)


def _make(options: argparse.Namespace) -> int:
    require_families(options.families)
    stream = problem_stream(options.seed, Split(options.split), options.families)
    with _progress(options.json) as on_progress:

        def reported() -> Iterator[Problem]:
            for number, problem in enumerate(itertools.islice(stream, options.problems), 1):
                if on_progress is not None:
                    on_progress(number)
                yield problem

        written = write_problems(reported(), options.out)
    if options.json:
        print(json.dumps({"problems": written, "out": str(options.out)}, ensure_ascii=False))
    else:
        OUT.print(Text(f"{written:,} problems written to {options.out}"), soft_wrap=True)
    return 0


# ---------------------------------------------------------------------- preview


def _preview(options: argparse.Namespace) -> int:
    source = _open(options)
    with SymbolicCheck() as symbolic:
        seen = preview(source, ReadOptions(mapping=_mapping(source, options.pairs)), symbolic, options.rows)
    if options.json:
        print(json.dumps(_preview_fields(seen), ensure_ascii=False))
        return 0 if seen.mapping else 2
    OUT.print(f"{seen.name}: {seen.format}, columns {', '.join(seen.columns) or 'none'}", markup=False, highlight=False)
    for row in seen.rows:
        OUT.print(Text(f"\n{row.place}", style="bold"))
        for name, text in row.cells.items():
            OUT.print(Text(f"  {name}: {text}"), soft_wrap=True)
        OUT.print(Text(f"  → {_outcome(row)}", style="dim"), soft_wrap=True)
    if seen.mapping is None:
        raise UserError(seen.note)
    OUT.print(Text(f"\nread as {seen.layout}: {_describe_mapping(seen.mapping)}"))
    return 0


def _outcome(row: PreviewRow) -> str:
    if row.problem is not None:
        return f"answer {row.problem.answer} ({row.problem.kind}), type {row.problem.family}"
    return f"left out: {row.rejected.reason}: {row.rejected.detail}" if row.rejected else "not read"


def _describe_mapping(mapping: ColumnMapping) -> str:
    return ", ".join(f"{role}={column}" for role, column in mapping.columns().items())


def _preview_fields(seen: Preview) -> dict[str, Any]:
    rows = [
        {
            "place": row.place,
            "cells": dict(row.cells),
            "problem": problem_fields(row.problem) if row.problem else None,
            "rejected": asdict(row.rejected) if row.rejected else None,
        }
        for row in seen.rows
    ]
    return {
        "name": seen.name, "format": seen.format, "layout": seen.layout, "columns": list(seen.columns),
        "mapping": seen.mapping.columns() if seen.mapping else None, "note": seen.note, "rows": rows,
    }  # fmt: skip


# ---------------------------------------------------------------------- import


def _import(options: argparse.Namespace) -> int:
    source = _open(options)
    if options.out.exists() and Path(options.source).exists() and options.out.samefile(options.source):
        raise UserError(f"{options.out} is the file that is read. Name another with -o.")
    read = ReadOptions(_mapping(source, options.pairs), types=tuple(options.types), limit=options.limit)
    with SymbolicCheck() as symbolic, _progress(options.json) as on_progress:
        running = ProblemImport(source, read, symbolic, on_progress)
        written = write_problems(running.problems(), options.out)
    report = running.report()
    if options.report is not None:
        write_report(report, options.report)
    if options.json:
        print(json.dumps(report_fields(report) | {"out": str(options.out) if written else None}, ensure_ascii=False))
    else:
        _print_report(report, options)
    if not written:
        raise UserError(f"No problem of {source.origin} could be imported; {options.out} was not written.")
    return 0


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    if quiet:
        yield None
        return
    with ERR.status("starting") as status:
        yield lambda rows: status.update(f"{rows:,} rows")


def _print_report(report: ImportReport, options: argparse.Namespace) -> None:
    lines = [
        f"{report.source}: {report.format}, read as {report.layout} ({_describe_mapping(report.mapping)})",
        f"{report.imported:,} of {report.rows:,} rows imported in {report.seconds:.2f} s"
        + (f", {report.filtered:,} of other types" if report.filtered else "")
        + (f", stopped at the limit of {options.limit:,}" if report.limited else ""),
        f"answers: {_counts(report.kinds)}; types: {_counts(report.types)}; licence: {report.licence}",
    ]
    if report.duplicates:
        shown = ", ".join(f"row {d.row} repeats row {d.first_row}" for d in report.duplicates[:3])
        lines.append(
            f"{len(report.duplicates):,} duplicates, kept: {shown}{' …' if len(report.duplicates) > 3 else ''}"
        )
    if report.rejected:
        lines.append(f"{len(report.rejected):,} rows left out: {_counts(report.reasons())}")
        lines += [f"  {rejected}" for rejected in itertools.islice(report.rejected, _SHOWN)]
    if len(report.rejected) > _SHOWN:
        where = options.report or "a file named with --report"
        lines.append(f"  … and {len(report.rejected) - _SHOWN:,} more, all in {where}")
    for line in lines:
        OUT.print(Text(line), soft_wrap=True)
    if report.imported:
        OUT.print(Text(f"written to {options.out}"), soft_wrap=True)


def _counts(counts: Any) -> str:
    shown = [f"{name} {n:,}" for name, n in itertools.islice(counts.items(), 8)]
    return ", ".join(shown + (["…"] if len(counts) > 8 else [])) or "none"


# ---------------------------------------------------------------------- both


def _open(options: argparse.Namespace) -> RowSource:
    return open_source(options.source, sets_folder(), options.config, options.split)


def _mapping(source: RowSource, pairs: list[str]) -> ColumnMapping | None:
    """The columns given with --map, over those that are known or detected."""
    if not pairs:
        return None
    try:
        found = find_mapping(source, ReadOptions())[1]
    except UserError:
        found = None
    return read_mapping(pairs, found)
