"""`seirenes traces`: list, search, compare and export the rollouts of a run."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from seirenes_app.cli.common import ERR, OUT, RECORDED, find_run_or_recorded
from seirenes_app.services.answer_reading import outcome_word
from seirenes_app.services.formatting import byte_size, visible
from seirenes_app.services.traces import NOTEWORTHY, TraceSource, export_traces, is_right, locate_hint, make_reading
from training.core.types import HintType, Outcome, Role, Stage
from training.errors import UserError
from training.rollouts.database import PASSED
from training.rollouts.reader import Facets, Flip, RolloutQuery, Sort, TracePair

SHOWN = 20
SNIPPET = 60


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    traces = verbs.add_parser("traces")
    traces.add_argument("run", metavar="RUN", help=f"a run id or folder, or '{RECORDED}' for the run that ships")
    choose = traces.add_argument_group("filters (an option given twice means either)")
    choose.add_argument("--flips", action="store_true", help="hinted solutions that differ from the clean ones")
    for name, values, help_ in (
        ("flip", Flip, "what the hint did"), ("stage", Stage, "what made it"), ("role", Role, "who wrote it"),
        ("type", HintType, "type of the hint"), ("outcome", Outcome, "grade of the answer"),
    ):  # fmt: skip
        choose.add_argument(f"--{name}", action="append", default=[], choices=[str(v) for v in values], help=help_)
    choose.add_argument("--step", metavar="A[-B]", help="of this step, or of steps A to B")
    choose.add_argument("--family", action="append", default=[], help="family of the problem")
    choose.add_argument("--gate", action="append", default=[], help=f"hints that failed it; '{PASSED}': passed all")
    choose.add_argument("--follows", action=argparse.BooleanOptionalAction, help="answers what the hint suggested")
    choose.add_argument("--search", default="", metavar="TEXT", help='words, "phrases" and beginnings (appl*)')
    show = traces.add_argument_group("output")
    show.add_argument("--sort", choices=[str(s) for s in Sort], default=str(Sort.TIME))
    show.add_argument("--reverse", action="store_true", help="newest or largest first")
    show.add_argument("--limit", type=int, metavar="N", help=f"at most N (default: {SHOWN}; all for --export)")
    show.add_argument("--pair", type=int, metavar="ID", help="this rollout beside the clean ones of its question")
    show.add_argument("--export", type=Path, metavar="FILE", help="write them to FILE.jsonl or FILE.parquet")
    show.add_argument("--json", action="store_true")


def traces(options: argparse.Namespace) -> int:
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit is {options.limit}; it must be at least 1.")
    with closing(TraceSource(find_run_or_recorded(options.run))) as source:
        if options.pair is not None:
            return _show_pair(source.pair(options.pair), options.json)
        query = _query(options, source.facets())
        if options.export is not None:
            return _export(source, query, options)
        return _list(source, query, options)


def _query(options: argparse.Namespace, facets: Facets) -> RolloutQuery:
    flips = [*options.flip, *(map(str, NOTEWORTHY) if options.flips else ())]
    return RolloutQuery(
        steps=_steps(options.step) if options.step else None,
        stages=tuple(options.stage),
        roles=tuple(options.role),
        types=tuple(options.type),
        families=_known("family", options.family, facets.families),
        outcomes=tuple(options.outcome),
        gates=_known("gate", options.gate, facets.gates),
        flips=tuple(dict.fromkeys(flips)),
        follows=options.follows,
        text=options.search,
        sort=Sort(options.sort),
        descending=options.reverse,
    )


def _steps(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", text)
    if match is None:
        raise UserError(f"--step {text!r} is not a step. Give one such as 12, or a range such as 10-20.")
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if last < first:
        raise UserError(f"--step {text} ends before it begins. Write {last}-{first}.")
    return first, last


def _known(name: str, wanted: list[str], counted: Iterable[str]) -> tuple[str, ...]:
    known = sorted(counted)
    for value in wanted:
        if value not in known:
            raise UserError(f"This run has no {name} {value!r}. It has: {', '.join(known) or 'none'}.")
    return tuple(wanted)


def _list(source: TraceSource, query: RolloutQuery, options: argparse.Namespace) -> int:
    rows = source.first_page(query, options.limit or SHOWN)
    count = source.count(query)
    if options.json:
        print(json.dumps({"run": source.paths.run_id, "count": count, "rows": rows}, ensure_ascii=False))
        return 0
    if not count:
        OUT.print("No rollout matches. Remove a filter, or search for whole words (or a beginning: appl*).")
        return 0
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "step", "rollout", "outcome"):
        table.add_column(heading, justify="right" if heading in ("id", "step") else "left", no_wrap=True)
    # The one column that gives way on a narrow terminal.
    table.add_column("text", min_width=16)
    for row in rows:
        table.add_row(*map(Text, _cells(row)))
    OUT.print(table)
    shown = f"the first {len(rows)} of {count:,}" if len(rows) < count else f"{count:,}"
    call = f"seirenes traces {shlex.quote(options.run)} --pair ID"
    OUT.print(f"{shown} rollouts. Compare one: {call}", highlight=False, markup=False)
    return 0


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    kinds = {Stage.CLEAN: "clean", Stage.NEEDED: "needed"}
    kind = kinds.get(row["stage"]) or str(row["hint_type"]).replace("_", " ")
    tags = {Stage.CLEAN: "R1", Stage.NEEDED: "R1", Stage.HINT: "R2", Stage.HINTED: "R3"}
    stage = tags.get(row["stage"], row["stage"])
    text = row["hint"] if row["stage"] == Stage.HINTED else row["completion"]
    return (str(row["id"]), str(row["step"]), f"{stage} {kind}", _outcome(row), _brief(text))


def _outcome(row: dict[str, Any]) -> str:
    if row["flip"] in NOTEWORTHY:
        return f"{outcome_word(row['outcome'])} ({row['flip']})"
    if row["stage"] == Stage.HINT:
        return f"gate: {row['gate']}" if row["gate"] else PASSED
    return outcome_word(str(row["outcome"]))


def _brief(text: str) -> str:
    plain = visible(" ".join(text.split()))
    return plain if len(plain) <= SNIPPET else plain[: SNIPPET - 1].rstrip() + "…"


def _show_pair(pair: TracePair, as_json: bool) -> int:
    reading = make_reading(pair)
    counterpart, alignment = reading.clean, reading.alignment
    if as_json:
        print(json.dumps({
            "asked": pair.asked, "hinted": pair.hinted, "clean": pair.clean, "hint": pair.hint,
            "siblings": pair.siblings, "compared": counterpart["id"] if counterpart else None,
            "divergence": alignment.divergence if alignment else None, "note": alignment.note if alignment else "",
        }, ensure_ascii=False))  # fmt: skip
        return 0
    row = pair.hinted or pair.hint or pair.clean[0]
    name = "Needed" if row["stage"] == Stage.NEEDED else "Clean"
    _print_text("Question", locate_hint(row)[0] if name == "Needed" else row["question"])
    _print_text("Answer", row["gold"])
    if row["hint"]:
        gate = f", failed {row['gate']}: {row['gate_reason'] or ''}" if row["gate"] else ""
        _print_text(f"Hint ({str(row['hint_type']).replace('_', ' ')}{gate})", row["hint"])
    right = sum(map(is_right, pair.clean))
    OUT.print(f"{name}: {right} of {len(pair.clean)} right" if pair.clean else "No clean solutions in that step.")
    if alignment is None or pair.hinted is None or counterpart is None:
        for number, solution in enumerate(pair.clean, 1):
            _print_text(f"{name} solution {number} ({outcome_word(solution['outcome'])})", solution["completion"])
        if pair.hinted:
            _print_text(f"Hinted solution ({outcome_word(pair.hinted['outcome'])})", pair.hinted["completion"])
        return 0
    table = Table()
    table.add_column("")
    table.add_column(Text(f"clean: {outcome_word(counterpart['outcome'])} (id {counterpart['id']})"))
    table.add_column(Text(f"hinted: {_outcome(pair.hinted)} (id {pair.hinted['id']})"))
    for step in alignment.pairs:
        table.add_row("=" if step.same else "≠", Text(visible(step.left or "—")), Text(visible(step.right or "—")))
    OUT.print(table)
    OUT.print(alignment.note, highlight=False, markup=False)
    return 0


def _print_text(title: str, text: str) -> None:
    OUT.print(Text(title, style="bold"))
    OUT.print(Text("  " + visible(text.strip(), "\n  ")))


def _export(source: TraceSource, query: RolloutQuery, options: argparse.Namespace) -> int:
    ids = source.ids(query)[: options.limit]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f}%"),
        TimeRemainingColumn(),
    )
    file = options.export.expanduser()
    with Progress(*columns, console=ERR, transient=True) as progress:
        task = progress.add_task("exporting", total=max(1, len(ids)))
        rows = export_traces(source, ids, file, progress=lambda done, _: progress.update(task, completed=done))
    if options.json:
        print(json.dumps({"file": str(file), "rows": rows, "bytes": file.stat().st_size}))
    else:
        OUT.print(f"{file}  ({rows:,} rollouts, {byte_size(file.stat().st_size)})", highlight=False, markup=False)
    return 0
