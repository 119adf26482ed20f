"""`seirenes audit`: sample a run's late valid hints for labels and for a solver, and print how many should not have
passed."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

from rich.progress import Progress
from rich.table import Table

from seirenes_app.cli.common import (
    ERR,
    OUT,
    RECORDED,
    ProgressLine,
    add_prompts_option,
    display_progress,
    find_run_or_recorded,
    interruptible,
    print_table,
)
from seirenes_app.cli.judge import MODEL_HELP
from seirenes_app.services.audit import (
    HINTS,
    LATE,
    AuditedHint,
    DecidedBy,
    FalsePasses,
    SolverOptions,
    ask_solver,
    audit_file,
    consensus_rate,
    describe_audit,
    describe_consensus,
    false_passes,
    fill_audit,
    write_audit,
)
from seirenes_app.services.formatting import percent_interval
from training.errors import UserError
from training.judges import find_judge
from training.prompt_files import AUTO, choose_profile

SAVE_S = 5.0  # At most this much of a solver's work is lost


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    audit = verbs.add_parser("audit")
    audit.add_argument("run", metavar="RUN", help=f"a run id or folder, or '{RECORDED}' for the run that ships")
    audit.add_argument("--hints", type=int, default=HINTS, metavar="N", help=f"hints in the file (default: {HINTS})")
    audit.add_argument(
        "--late", type=float, default=LATE, metavar="SHARE", help=f"of the run's last steps (default: {LATE})"
    )
    audit.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    audit.add_argument("--file", type=Path, metavar="FILE", help="where they are (default: audit.jsonl in the run)")
    ask = audit.add_argument_group("a solver's consensus (its majority answer with the hint beside that without)")
    ask.add_argument("--solver", metavar="MODEL", default="", help=f"ask this model: {MODEL_HELP}")
    ask.add_argument("--samples", type=int, default=8, metavar="N", help="answers of each kind (default: 8)")
    ask.add_argument("--temperature", type=float, default=0.7, help="of the solver (default: 0.7)")
    ask.add_argument("--max-tokens", type=int, default=512, metavar="N", help="longest solution (default: 512)")
    add_prompts_option(ask, "default: by the solver")
    audit.add_argument("--json", action="store_true")


def audit(options: argparse.Namespace) -> int:
    if options.hints < 1:
        raise UserError(f"--hints is {options.hints}; it must be at least 1.")
    if not 0 < options.late <= 1:
        raise UserError(f"--late is {options.late}; it is a share of the steps, above 0 and at most 1.")
    solver = _solver(options)
    paths = find_run_or_recorded(options.run)
    file = options.file or audit_file(paths)
    with Progress(console=ERR, transient=True) as shown:
        bar = shown.add_task("sampling hints", total=options.hints)
        hints = fill_audit(
            paths, file, options.hints, late=options.late, seed=options.seed,
            progress=lambda done, total: shown.update(bar, completed=done, total=total),
        )  # fmt: skip
    if not hints:
        raise UserError("No hint of the last steps passed the gates. Widen --late, or audit a longer run.")
    if solver is not None:
        hints = _ask_solver(hints, file, solver)
    _print(hints, file, as_json=options.json)
    return 0


def _solver(options: argparse.Namespace) -> SolverOptions | None:
    """Whom to ask, None for nobody; a UserError for what cannot be."""
    for name, value, low, high in (
        ("--samples", options.samples, 1, 256), ("--temperature", options.temperature, 0, 100),
        ("--max-tokens", options.max_tokens, 1, 2**20),
    ):  # fmt: skip
        if not low <= value <= high:
            raise UserError(f"{name} is {value}; it must be {low} to {high:,}.")
    if not options.solver:
        return None
    find_judge(options.solver)
    if options.prompts:
        choose_profile(options.prompts, options.solver)
    return SolverOptions(
        options.solver, options.samples, options.temperature, options.max_tokens, options.prompts or AUTO
    )  # fmt: skip


def _ask_solver(hints: list[AuditedHint], file: Path, solver: SolverOptions) -> list[AuditedHint]:
    """Ask, and keep what there is every few seconds, and where it is interrupted."""
    kept, saved = hints, time.monotonic()

    def keep(now: list[AuditedHint]) -> None:
        nonlocal kept, saved
        kept = list(now)
        if time.monotonic() - saved > SAVE_S:
            write_audit(file, kept)
            saved = time.monotonic()

    try:
        with interruptible(), display_progress() as show:
            return ask_solver(
                hints, solver, on_hint=keep,
                on_progress=lambda done, total: show(
                    ProgressLine("asking the solver", done, total, f"{int(done)}/{total} hints")
                ),
            )  # fmt: skip
    finally:
        write_audit(file, kept)


def _print(hints: list[AuditedHint], file: Path, *, as_json: bool) -> None:
    parts = {tier: false_passes([h for h in hints if h.decided_by is tier]) for tier in DecidedBy}
    whole = false_passes(hints)
    if as_json:
        tiers = {str(tier): asdict(part) for tier, part in parts.items()}
        found = consensus_rate(hints)
        facts = {"file": str(file), **asdict(whole), "decided_by": tiers, "consensus": found and asdict(found)}
        print(json.dumps(facts, ensure_ascii=False))
        return
    for sentence in (describe_audit(whole), describe_consensus(consensus_rate(hints))):
        if sentence:
            OUT.print(sentence, highlight=False, markup=False, soft_wrap=True)
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
