"""`seirenes serve`: a model behind an OpenAI-compatible server on this machine, for other tools and for endpoints."""

from __future__ import annotations

import argparse
import getpass
import shlex
import sys
from datetime import datetime

import msgspec
from rich.table import Table

from seirenes_app.cli.common import ERR, OUT, ProgressLine, display_progress, interruptible, print_table
from seirenes_app.inference.model_client import OpenProgress, prompt_profile_of
from seirenes_app.inference.server_record import ServerRecord, is_loopback
from seirenes_app.services.formatting import count_of
from seirenes_app.services.serving import (
    EXPOSED,
    HOST,
    PORT,
    ServeRequest,
    check_request,
    find_server,
    list_servers,
    start_server,
    stop_server,
)
from training.errors import UserError
from training.prompt_files import COMPACT

NOT_SERVED = (
    "One request is answered at a time. Not served: several choices a request, tools, response formats, images. "
    "Streams carry no usage."
)


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = verbs.add_parser("serve", epilog=NOT_SERVED)
    serve.add_argument(
        "model", metavar="MODEL", nargs="?", default="starter",
        help="'starter' (the default), a GGUF file, a model folder, a hub id, or a run's checkpoint as RUN@STEP; a "
        "folder is converted to GGUF once",
    )  # fmt: skip
    serve.add_argument("--host", default=HOST, help=f"address to listen on (default: {HOST}, this machine alone)")
    serve.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}; 0 takes a free one")
    serve.add_argument("--threads", type=int, default=0, metavar="N", help="default: one less than the cores")
    serve.add_argument("--context", type=int, default=0, metavar="N", help="tokens (default: 4096, or the model's own)")
    serve.add_argument("--alias", default="", metavar="NAME", help="what clients call the model (default: its name)")
    serve.add_argument(
        "--logprobs", action=argparse.BooleanOptionalAction, default=None,
        help="serve log-probabilities, which take context × vocabulary × 4 bytes (default: where that is small)",
    )  # fmt: skip
    serve.add_argument("--api-key-stdin", action="store_true", help="read a key, which clients must then send")
    serve.add_argument("--json", action="store_true", help="one line when the server is ready, for scripts")
    serve.add_argument("--list", action="store_true", help="list the servers that run, and exit")
    serve.add_argument("--stop", metavar="PORT|NAME", help="stop a server that runs, and exit")


def serve(options: argparse.Namespace) -> int:
    if options.list:
        return _list(options.json)
    if options.stop:
        record = find_server(options.stop)
        stop_server(record)
        OUT.print(f"{record.alias} on port {record.port} is stopped.", highlight=False, markup=False)
        return 0
    request = ServeRequest(
        options.model, options.host, options.port, options.threads, options.context, options.alias, options.logprobs,
        _read_key() if options.api_key_stdin else "",
    )  # fmt: skip
    check_request(request)
    with interruptible():
        with display_progress() as show:
            server = start_server(request, lambda now: show(_line(now)))
        try:
            _announce(server.record, options.json, prompt_profile_of(options.model).name)
            server.wait()
        finally:
            running = server.running
            server.stop()
    # Nobody asked it to end: Ctrl+C does not come here.
    if running:
        return 0
    raise UserError(f"The server ended by itself. {server.ending()}")


def _line(now: OpenProgress) -> ProgressLine:
    count = "" if now.share is None else f"{now.share:.0%}"
    return ProgressLine(now.doing, now.share or 0.0, 1.0, count)


def _read_key() -> str:
    key = getpass.getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not key.strip():
        raise UserError("No key was given on standard input.")
    return key.strip()


def _announce(record: ServerRecord, as_json: bool, prompts: str) -> None:
    if as_json:
        print(msgspec.json.encode({**describe(record), "prompts": prompts}).decode(), flush=True)
        return
    lines = [
        f"{record.alias} is served at {record.base_url}",
        f"Context of {count_of(record.n_ctx, 'token')}, {count_of(record.threads, 'thread')}, "
        f"log-probabilities {'served' if record.logprobs else 'not served (--logprobs)'}. Ctrl+C stops it.",
        "",
        "Ask it:",
        f"  {record.curl_line}",
        "Use it here as a model:",
        f"  {endpoint_line(record)}",
    ]
    if prompts == COMPACT:
        lines.append(
            f"It was trained on the prompts {prompts!r}: name them where it is evaluated (--prompts {prompts})"
        )
    for line in lines:
        OUT.print(line, highlight=False, markup=False, soft_wrap=True)
    notes = [record.template_note] if record.template_note else []
    if not is_loopback(record.host):
        notes.append(EXPOSED.format(host=record.host, port=record.port))
    for note in notes:
        ERR.print(note, highlight=False, markup=False, soft_wrap=True)


def endpoint_line(record: ServerRecord) -> str:
    """The command that saves a server as an endpoint."""
    name = shlex.quote(record.alias)
    # It answers one request at a time: more would only wait, and might wait too long.
    return f"seirenes endpoint add {name} {record.base_url} --model {name} --concurrency 1"


def describe(record: ServerRecord) -> dict[str, object]:
    """A server for scripts."""
    return {
        "base_url": record.base_url, "model": record.alias, "file": record.model, "host": record.host,
        "port": record.port, "pid": record.pid, "context": record.n_ctx, "threads": record.threads,
        "logprobs": record.logprobs, "key": record.locked, "curl": record.curl_line,
        "endpoint": endpoint_line(record),
    }  # fmt: skip


def _list(as_json: bool) -> int:
    found = list_servers()
    if as_json:
        print(msgspec.json.encode([describe(record) for record in found]).decode())
        return 0
    if not found:
        OUT.print("No server runs. Start one with: seirenes serve", highlight=False)
        return 0
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "address", "context", "key", "since", "PID"):
        table.add_column(heading, no_wrap=heading != "model")
    for record in found:
        since = f"{datetime.fromtimestamp(record.started):%Y-%m-%d %H:%M}"
        key = "yes" if record.locked else "no"
        table.add_row(record.alias, record.base_url, str(record.n_ctx), key, since, str(record.pid))
    print_table(table)
    return 0
