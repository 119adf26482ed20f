"""`seirenes audit`: sample a run's late valid hints for labels, and print how many should not have passed."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from rich.progress import Progress
from rich.table import Table

from seirenes_app.cli.common import ERR, OUT, RECORDED, find_run_or_recorded, print_table
from seirenes_app.services.audit import (
    HINTS,
    LATE,
    AuditedHint,
    DecidedBy,
    FalsePasses,
    audit_file,
    describe_audit,
    false_passes,
    read_audit,
    sample_hints,
    write_audit,
)
from seirenes_app.services.formatting import percent_interval
from seirenes_app.services.traces import TraceSource
from training.errors import UserError


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    audit = verbs.add_parser("audit")
    audit.add_argument("run", metavar="RUN", help=f"a run id or folder, or '{RECORDED}' for the run that ships")
    audit.add_argument("--hints", type=int, default=HINTS, metavar="N", help=f"hints in the file (default: {HINTS})")
    audit.add_argument(
        "--late", type=float, default=LATE, metavar="SHARE", help=f"of the run's last steps (default: {LATE})"
    )
    audit.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    audit.add_argument("--file", type=Path, metavar="FILE", help="where they are (default: audit.jsonl in the run)")
    audit.add_argument("--json", action="store_true")


def audit(options: argparse.Namespace) -> int:
    if options.hints < 1:
        raise UserError(f"--hints is {options.hints}; it must be at least 1.")
    if not 0 < options.late <= 1:
        raise UserError(f"--late is {options.late}; it is a share of the steps, above 0 and at most 1.")
    paths = find_run_or_recorded(options.run)
    file = options.file or audit_file(paths)
    before = read_audit(file) if file.is_file() else []
    hints = before
    if len(before) < options.hints:
        with closing(TraceSource(paths)) as source, Progress(console=ERR, transient=True) as shown:
            bar = shown.add_task("sampling hints", total=options.hints)
            hints = sample_hints(
                source, options.hints, late=options.late, seed=options.seed, before=before,
                progress=lambda done, total: shown.update(bar, completed=done, total=total),
            )  # fmt: skip
        if len(hints) > len(before):
            write_audit(file, hints)
    if not hints:
        raise UserError("No hint of the last steps passed the gates. Widen --late, or audit a longer run.")
    _print(hints, file, as_json=options.json)
    return 0


def _print(hints: list[AuditedHint], file: Path, *, as_json: bool) -> None:
    parts = {tier: false_passes([h for h in hints if h.decided_by is tier]) for tier in DecidedBy}
    whole = false_passes(hints)
    if as_json:
        tiers = {str(tier): asdict(part) for tier, part in parts.items()}
        print(json.dumps({"file": str(file), **asdict(whole), "decided_by": tiers}, ensure_ascii=False))
        return
    OUT.print(describe_audit(whole), highlight=False, markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("let through by")
    for heading in ("sampled", "labelled", "invalid", "false passes"):
        table.add_column(heading, justify="right", no_wrap=True)
    for tier, part in parts.items():
        table.add_row(str(tier), *_cells(part))
    print_table(table)
    if whole.labelled < whole.sampled:
        OUT.print(
            f"{file}: set `valid` of each line to true, or to false where the hint changes or states the answer. "
            "Then run this again.",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def _cells(part: FalsePasses) -> tuple[str, str, str, str]:
    rate = percent_interval(part.rate) if part.rate else "–"
    return str(part.sampled), str(part.labelled), str(part.invalid), rate
