"""`seirenes engine`: a server of the Tinker API on this machine, for runs with `engine.backend = "tinker"`."""

from __future__ import annotations

import argparse
from datetime import datetime

import msgspec
from rich.table import Table

from seirenes_app.cli.common import OUT, ProgressLine, change_key, display_progress, interruptible, print_table, say
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
from seirenes_app.services.scale import MODELS, SPANS, Plan, Span, parse_span, tables
from training.endpoints import read_address
from training.errors import UserError

RECKON_HELP = {
    "questions": "of a step", "clean": "clean solutions a question", "hints": "hints a question",
    "hinted": "solutions a hint", "steps": "of the run", "prompt_tokens": "tokens of a question with its prompt",
    "hint_tokens": "tokens of a hint", "trained": "share of the rollouts that are learned from",
    "price": "dollars for an hour of an H100", "solution_tokens": "tokens of a solution; default: by model",
}  # fmt: skip


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
    key = parts.add_parser("key", help="keep a server's key in the system keyring; typed, or read from a pipe")
    key.add_argument("url", metavar="URL", help="the server's address, as in engine.url")
    key.add_argument("--remove", action="store_true", help="remove the key that is kept")
    reckon = parts.add_parser(
        "reckon", help="tokens, memory, hours and money of a run with 4B, 7B and 30B-A3B, from public figures",
        description="Reckon a run at a scale that was not measured here: every figure is a range from public figures "
        "and the assumptions below. Sources and limits: resources/docs/scale.md.",
    )  # fmt: skip
    reckon.add_argument("model", metavar="MODEL", nargs="*", help=f"{', '.join(m.name for m in MODELS)} (default: all)")
    for name in SPANS:
        given = getattr(Plan(), name)
        shown = "" if given is None else f" (default: {_written(given)})"
        reckon.add_argument(f"--{name.replace('_', '-')}", metavar="A-B", help=RECKON_HELP[name] + shown)
    reckon.add_argument("--gpus", type=int, default=Plan.gpus, metavar="N", help=f"default: {Plan.gpus}")
    reckon.add_argument(
        "--rank", type=int, default=Plan.rank, metavar="N", help=f"of the adapter (default: {Plan.rank})"
    )


def engine(options: argparse.Namespace) -> int:
    parts = {"start": _start, "status": _status, "stop": _stop, "key": _key, "reckon": _reckon}
    return parts[options.part](options)


def _key(options: argparse.Namespace) -> int:
    try:
        url = read_address(options.url)
    except UserError:
        raise UserError(
            f"{options.url!r} is no server's address. Write it as in engine.url: http://host:port"
        ) from None
    change_key(url, remove=options.remove)
    return 0


def _written(found: Span) -> str:
    return f"{found.low:g}" if found.low == found.high else f"{found.low:g}-{found.high:g}"


def _reckon(options: argparse.Namespace) -> int:
    known = {m.name.lower(): m for m in MODELS}
    unknown = [name for name in options.model if name.lower() not in known]
    if unknown:
        raise UserError(f"{unknown[0]} is not reckoned here. Name {', '.join(m.name for m in MODELS)}.")
    if min(options.gpus, options.rank) < 1:
        raise UserError("--gpus and --rank must be 1 or more.")
    spans = {name: parse_span(text) for name in SPANS if (text := getattr(options, name)) is not None}
    if spans.get("trained", Plan.trained).high > 1:
        raise UserError("--trained must not be above 1: it is a share of the rollouts.")
    chosen = [known[name.lower()] for name in options.model] or list(MODELS)
    say(tables(chosen, Plan(**spans, gpus=options.gpus, rank=options.rank)))
    return 0


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
