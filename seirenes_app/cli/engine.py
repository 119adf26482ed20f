"""`seirenes engine`: a server of the Tinker API on this machine, for runs with `engine.backend = "tinker"`."""

from __future__ import annotations

import argparse
from datetime import datetime

import msgspec
from rich.table import Table

from seirenes_app.cli.common import OUT, ProgressLine, display_progress, interruptible, print_table
from seirenes_app.services.engine_server import (
    PORT,
    Backend,
    EngineRecord,
    EngineRequest,
    find_engine,
    log_file,
    running_engines,
    start_engine,
    stop_engine,
)
from training.errors import UserError


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parts = verbs.add_parser("engine").add_subparsers(dest="part", metavar="PART", required=True)
    start = parts.add_parser("start", help="set the server up, once, and start it; it goes on after this command")
    start.add_argument("model", metavar="MODEL", nargs="?", default="starter", help="'starter', or a model folder")
    start.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}")
    start.add_argument("--backend", choices=list(Backend), help="default: jax without a GPU, fsdp with one")
    start.add_argument("--rank", type=int, default=16, metavar="N", help="the largest rank of an adapter (default: 16)")
    start.add_argument("--gpus", type=int, default=1, metavar="N", help="GPUs that fsdp or megatron use (default: 1)")
    start.add_argument(
        "--memory-share", type=float, default=0.0, metavar="SHARE",
        help="of a GPU's memory, for sampling with fsdp or megatron (default: 0.5)",
    )  # fmt: skip
    start.add_argument(
        "--set", action="append", default=[], metavar="KEY=JSON", help="a setting of SkyRL's backend, by its key there"
    )
    start.add_argument("--json", action="store_true")
    status = parts.add_parser("status", help="the servers that run")
    status.add_argument("--json", action="store_true")
    stop = parts.add_parser("stop", help="end a server; what it saved stays for runs that are resumed")
    stop.add_argument("port", metavar="PORT", type=int, nargs="?", help="default: the one that runs")


def engine(options: argparse.Namespace) -> int:
    return {"start": _start, "status": _status, "stop": _stop}[options.part](options)


def _start(options: argparse.Namespace) -> int:
    request = EngineRequest(
        options.model, options.port, Backend(options.backend) if options.backend else None, options.rank, options.gpus,
        _share(options.memory_share), dict(_setting(text) for text in options.set),
    )  # fmt: skip
    with interruptible(), display_progress() as show:
        record = start_engine(request, lambda text: show(ProgressLine(text, 0.0, 1.0, "")))
    if options.json:
        print(msgspec.json.encode(record).decode())
        return 0
    for line in (f"{record.model} is served at {record.url} ({record.backend}). Its log: {log_file(record.port)}",
                 "A run uses it with this table in its configuration, and model.tuning = \"lora\":", "", record.table,
                 f"Stop it with: seirenes engine stop {record.port}"):  # fmt: skip
        OUT.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def _share(value: float) -> float:
    if value and not 0.05 <= value <= 0.95:
        raise UserError(f"--memory-share is {value:g}; it must be 0.05 to 0.95.")
    return value


def _setting(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"--set {text}: write KEY=VALUE, for example sample_max_num_sequences=128.")
    try:
        return key, msgspec.json.decode(value.encode())
    except msgspec.DecodeError:
        return key, value


def _status(options: argparse.Namespace) -> int:
    found = running_engines()
    if options.json:
        print(msgspec.json.encode([_described(record) for record in found]).decode())
        return 0
    if not found:
        OUT.print("No engine runs. Start one with: seirenes engine start")
        return 0
    table = Table("Port", "Model", "Backend", "Since", "PID")
    for r in found:
        table.add_row(str(r.port), r.model, r.backend, f"{datetime.fromtimestamp(r.started):%d %b %H:%M}", str(r.pid))
    print_table(table)
    return 0


def _described(record: EngineRecord) -> dict[str, object]:
    return {**msgspec.to_builtins(record), "url": record.url}


def _stop(options: argparse.Namespace) -> int:
    record = find_engine(options.port)
    stop_engine(record)
    OUT.print(f"The engine on port {record.port} is stopped.")
    return 0
