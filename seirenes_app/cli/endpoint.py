"""`seirenes endpoint`: models behind an OpenAI-compatible address, their keys, and what was spent."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from rich.table import Table

from seirenes_app.cli.common import ERR, OUT, ProgressLine, display_progress, interruptible, print_table, read_key
from seirenes_app.services.formatting import byte_size, count_of, format_count, money, time_ago
from training.core.prompts import Message
from training.endpoints import (
    CAPABILITIES,
    ENDPOINT,
    Budget,
    Capability,
    ChatReply,
    ChatRequest,
    Endpoint,
    EndpointError,
    EndpointSession,
    EndpointStore,
    KeySource,
    Price,
    find_endpoint,
    key_source,
    key_variable,
    list_endpoints,
    names_endpoint,
    probe,
    remove_endpoint,
    save_endpoint,
    save_server_key,
    store_file,
)
from training.errors import UserError

_MEANS = {Capability.YES: "yes", Capability.NO: "no", Capability.UNKNOWN: "unknown"}
_KEYS = {
    KeySource.KEYRING: "in the keyring",
    KeySource.ENVIRONMENT: "in the environment",
    KeySource.NONE: "none",
}


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`seirenes endpoint` with its commands."""
    commands = verbs.add_parser("endpoint").add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, help_: str, *, named: bool = True, as_json: bool = True) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=help_, description=help_)
        if named:
            parser.add_argument("name", metavar="NAME", help="a saved endpoint")
        if as_json:
            parser.add_argument("--json", action="store_true")
        return parser

    add = command("add", "save an endpoint under a name", as_json=False)
    add.add_argument("url", metavar="URL", help="the base address, as https://host/v1")
    _add_fields(add)
    edit = command("edit", "change what is given; the rest stays", as_json=False)
    edit.add_argument("--url", metavar="URL")
    _add_fields(edit)
    command("list", "the saved endpoints", named=False)
    command("show", "one endpoint, with what a probe found")
    command("probe", "find out what a server can do, with about ten short requests")
    command("models", "the models that a server says it has")
    key = command("key", "keep its server's key in the system keyring; typed, or from a pipe", as_json=False)
    key.add_argument("--remove", action="store_true", help="remove the key that is kept")
    command("remove", "forget an endpoint; its key stays until `key --remove`", as_json=False)
    ask = command("ask", "ask one question; the reply is written as it comes")
    ask.add_argument("text", metavar="TEXT")
    ask.add_argument("--system", metavar="TEXT", help="a system message")
    ask.add_argument("--max-tokens", type=int, default=512, metavar="N", help="default: 512")
    ask.add_argument("--temperature", type=float, metavar="T", help="default: the server's own")
    ask.add_argument("--seed", type=int, metavar="N")
    usage = command("usage", "requests, tokens and cost by endpoint", named=False)
    usage.add_argument("--since", metavar="DATE|SPAN", help="a date as 2026-11-28, or a span as 7d or 12h")
    cache = command("cache", "the replies that are kept: `cache`, or `cache clear`", named=False)
    cache.add_argument("action", nargs="?", choices=("show", "clear"), default="show")
    cache.add_argument("name", nargs="?", metavar="NAME", help="only those of one endpoint")


def _add_fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", help="the model's name on that server")
    parser.add_argument("--price-in", type=float, metavar="X", help="price of a million tokens of prompts")
    parser.add_argument("--price-out", type=float, metavar="Y", help="price of a million tokens of completions")
    parser.add_argument("--currency", metavar="C", help="of the prices (default: USD)")
    parser.add_argument("--no-price", action="store_true", help="forget the prices")
    parser.add_argument("--concurrency", type=int, metavar="N", help="requests at a time (default: 8)")
    parser.add_argument("--requests-per-minute", type=int, metavar="N", help="0: no limit of ours (default)")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="of one attempt (default: 120)")
    parser.add_argument("--attempts", type=int, metavar="N", help="the first counts (default: 3)")
    parser.add_argument("--extra", metavar="JSON", help="an object of further fields for the body of each request")


def endpoint(options: argparse.Namespace) -> int:
    """Do one command."""
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "add": _add, "edit": _edit, "list": _list, "show": _show, "probe": _probe, "models": _models, "key": _key,
        "remove": _remove, "ask": _ask, "usage": _usage, "cache": _cache,
    }  # fmt: skip
    return commands[options.command](options)


def _find(name: str) -> Endpoint:
    return find_endpoint(name if names_endpoint(name) else f"{ENDPOINT}{name}")


# ---------------------------------------------------------------------- what is saved


def _add(options: argparse.Namespace) -> int:
    name = options.name.removeprefix(ENDPOINT)
    if any(e.name.casefold() == name.casefold() for e in list_endpoints()):
        raise UserError(f"There is an endpoint named {name!r} already. Change it: seirenes endpoint edit {name}")
    address, _, model = options.url.partition("#")
    made = save_endpoint(_with_fields(Endpoint(name, address, model), options))
    OUT.print(f"Saved {made.argument}: {made.key}", highlight=False, markup=False, soft_wrap=True)
    _print_key_hint(made)
    OUT.print(f"See what it can do: seirenes endpoint probe {made.name}", highlight=False, markup=False)
    return 0


def _print_key_hint(made: Endpoint) -> None:
    if not made.takes_key:
        OUT.print("No key will be sent to it, as it is neither https nor this machine.", highlight=False, markup=False)
    elif key_source(made) is KeySource.NONE and not made.is_local:
        OUT.print(f"If it wants a key: seirenes endpoint key {made.name}", highlight=False, markup=False)


def _edit(options: argparse.Namespace) -> int:
    before = find_endpoint(f"{ENDPOINT}{options.name.removeprefix(ENDPOINT)}")
    changed = _with_fields(before, options)
    if options.url is not None:
        changed = replace(changed, base_url=options.url)
    if changed == before:
        raise UserError("Nothing was given to change. See: seirenes endpoint edit --help")
    if (changed.base_url, changed.model) != (before.base_url, before.model):
        changed = replace(changed, capabilities=None)
    made = save_endpoint(changed)
    OUT.print(f"Saved {made.argument}: {made.key}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _with_fields(before: Endpoint, options: argparse.Namespace) -> Endpoint:
    changes: dict[str, Any] = {}
    for field, value in (
        ("model", options.model),
        ("concurrency", options.concurrency),
        ("timeout_s", options.timeout),
        ("attempts", options.attempts),
    ):
        if value is not None:
            changes[field] = value
    if options.requests_per_minute is not None:
        changes["requests_per_minute"] = options.requests_per_minute or None
    if options.extra is not None:
        changes["extra"] = _read_extra(options.extra)
    if options.no_price:
        changes["price"] = None
    elif options.price_in is not None or options.price_out is not None or options.currency is not None:
        changes["price"] = _price(before.price, options)
    return replace(before, **changes)


def _price(before: Price | None, options: argparse.Namespace) -> Price:
    given = {"input": options.price_in, "output": options.price_out, "currency": options.currency}
    known = {name: value for name, value in given.items() if value is not None}
    if before is None and not {"input", "output"} <= set(known):
        raise UserError("A price has two parts. Give both --price-in and --price-out, for a million tokens.")
    return replace(before or Price(0.0, 0.0), **known)


def _read_extra(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"--extra is no JSON ({error}). Write it as '{{\"top_k\": 40}}'.") from None
    if not isinstance(found, dict):
        raise UserError("--extra is no JSON object. Write it as '{\"top_k\": 40}'.")
    return found


def _facts(e: Endpoint) -> dict[str, Any]:
    """For --json: all that is kept, and where the key is."""
    return {**msgspec.to_builtins(e), "argument": e.argument, "key": _KEYS[key_source(e)]}


def _list(options: argparse.Namespace) -> int:
    found = list_endpoints()
    if options.json:
        print(json.dumps([_facts(e) for e in found], ensure_ascii=False))
        return 0
    if not found:
        OUT.print("No endpoint is saved. Add one: seirenes endpoint add NAME URL --model M", highlight=False)
        return 0
    table = Table(box=None, pad_edge=False)
    for heading in ("endpoint", "address", "model", "key", "price in / out", "probed"):
        table.add_column(heading, overflow="fold")
    now = time.time()
    for e in found:
        probed = time_ago(e.capabilities.probed_at, now) if e.capabilities else "never"
        table.add_row(e.name, e.base_url, e.model or "–", _KEYS[key_source(e)], _price_text(e.price), probed)
    print_table(table)
    return 0


def _price_text(price: Price | None) -> str:
    return "–" if price is None else f"{price.input:g} / {price.output:g} {price.currency}"


def _show(options: argparse.Namespace) -> int:
    found = _find(options.name)
    if options.json:
        print(json.dumps(_facts(found), ensure_ascii=False))
        return 0
    table = Table(box=None, show_header=False, pad_edge=False)
    limit = found.requests_per_minute
    rows = {
        "name": found.argument,
        "address": found.base_url,
        "model": found.model or "the server's own",
        "key": _KEYS[key_source(found)],
        "price of a million tokens": _price_text(found.price),
        "requests at a time": str(found.concurrency),
        "requests a minute": "no limit" if limit is None else str(limit),
        "time limit": f"{found.timeout_s:g} s, {count_of(found.attempts, 'attempt')}",
        "extra fields": json.dumps(found.extra, ensure_ascii=False) if found.extra else "none",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    print_table(table)
    _print_capabilities(found)
    return 0


def _print_capabilities(e: Endpoint) -> None:
    found = e.capabilities
    if found is None:
        OUT.print(f"Not probed. See what it can do: seirenes endpoint probe {e.name}", highlight=False)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("capability", "", "for"):
        table.add_column(heading, overflow="fold")
    for field, (title, use) in CAPABILITIES.items():
        table.add_row(title, _MEANS[getattr(found, field)], use)
    context = "unknown" if found.context is None else f"{format_count(found.context)} tokens"
    table.add_row("context", context, "the longest prompt and reply together")
    table.add_row("length limit", found.max_tokens_name, "the name of that parameter")
    print_table(table)
    for note in found.notes:
        OUT.print(note, highlight=False, markup=False)
    if e.model and found.served_models and e.model not in found.served_models:
        OUT.print(f"The server does not list {e.model!r} among its models.", highlight=False, markup=False)


# ---------------------------------------------------------------------- the server is asked


def _probe(options: argparse.Namespace) -> int:
    asked = _find(options.name)
    with interruptible(), display_progress() as show:
        found = probe(asked, lambda done, total: show(ProgressLine("probing", done, total, f"{int(done)}/{total}")))
    probed = replace(asked, capabilities=found)
    if probed.name:
        save_endpoint(probed)
    if options.json:
        print(json.dumps(msgspec.to_builtins(found), ensure_ascii=False))
    else:
        _print_capabilities(probed)
    return 0


def _models(options: argparse.Namespace) -> int:
    with interruptible(), EndpointSession(_find(options.name), fresh=True) as session:
        found = session.models()
    if options.json:
        print(json.dumps([{"model": name, "context": context} for name, context in found], ensure_ascii=False))
        return 0
    if not found:
        OUT.print("The server lists no model.", highlight=False)
    for name, context in found:
        text = f"{name}  ({format_count(context)} tokens)" if context else name
        OUT.print(text, highlight=False, markup=False, soft_wrap=True)
    return 0


def _ask(options: argparse.Namespace) -> int:
    messages: list[Message] = [{"role": "system", "content": options.system}] if options.system else []
    messages.append({"role": "user", "content": options.text})
    if options.max_tokens < 1:
        raise UserError(f"--max-tokens is {options.max_tokens}; it must be at least 1.")
    request = ChatRequest(messages, options.max_tokens, options.temperature, seed=options.seed)
    with interruptible(), EndpointSession(_find(options.name), budget=Budget(requests=20), fresh=True) as session:
        if options.json:
            (reply,) = session.complete([request])
            if isinstance(reply, EndpointError):
                raise reply
            print(msgspec.json.encode(reply).decode())
            return 0
        reply = session.stream(request, _write)
        OUT.print()
        _print_reply_facts(session, reply)
    return 0


def _write(text: str) -> None:
    # A server's text may hold the terminal's control sequences.
    plain = "".join(ch if ch.isprintable() or ch in "\n\t" else "�" for ch in text)
    OUT.print(plain, end="", highlight=False, markup=False, soft_wrap=True)


def _print_reply_facts(session: EndpointSession, reply: ChatReply) -> None:
    price = session.endpoint.price
    facts = [
        f"{count_of(reply.prompt_tokens, 'token')} in, {format_count(reply.completion_tokens)} out ({reply.usage})",
        f"{reply.seconds:.1f} s",
        f"ended: {reply.finish}",
    ]
    if price is not None:
        facts.append(money(reply.cost, price.currency))
    ERR.print(" · ".join(facts), highlight=False, markup=False, soft_wrap=True)
    for note in session.notes:
        ERR.print(note, highlight=False, markup=False, soft_wrap=True)


def _key(options: argparse.Namespace) -> int:
    found = _find(options.name)
    if options.remove:
        save_server_key(found.base_url, "")
        OUT.print(f"The key for {found.place} is removed.", highlight=False, markup=False)
        return 0
    if not found.takes_key:
        raise UserError(
            f"A key is sent over https only, and to this machine: {found.base_url} is neither. Use an https address."
        )
    save_server_key(found.base_url, read_key())
    OUT.print(f"The key for {found.place} is in the system keyring.", highlight=False, markup=False)
    if found.name and key_source(found) is KeySource.ENVIRONMENT:
        OUT.print(f"{key_variable(found.name)} is set too, and comes first.", highlight=False, markup=False)
    return 0


def _remove(options: argparse.Namespace) -> int:
    gone = remove_endpoint(options.name)
    OUT.print(f"{gone.argument} is removed.", highlight=False, markup=False)
    if key_source(replace(gone, name="")) is KeySource.KEYRING:
        OUT.print(
            f"Its server's key stays in the keyring. Remove it: seirenes endpoint key {gone.base_url} --remove",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    return 0


# ---------------------------------------------------------------------- what was spent

_SPANS: Mapping[str, float] = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


def read_since(text: str | None, now: float) -> float:
    """Seconds since 1970 of a date, or of a span before now; 0 for None."""
    if text is None:
        return 0.0
    if found := re.fullmatch(r"(\d{1,5})([hdw])", text.strip().lower()):
        return now - int(found[1]) * _SPANS[found[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UserError(f"--since {text!r} is no date and no span. Write 2026-11-28, 7d or 12h.") from None


def _usage(options: argparse.Namespace) -> int:
    since = read_since(options.since, time.time())
    found = []
    if store_file().exists():
        with EndpointStore() as store:
            found = store.usage(since)
    if options.json:
        print(msgspec.json.encode(found).decode())
        return 0
    if not found:
        OUT.print("No endpoint was asked.", highlight=False)
        return 0
    table = Table(box=None, pad_edge=False)
    table.add_column("endpoint", overflow="fold")
    for heading in ("requests", "paid", "maybe paid", "tokens in", "tokens out", "cost"):
        table.add_column(heading, justify="right")
    names = {e.key: e.name for e in list_endpoints()}
    for use in found:
        name = names.get(use.endpoint)
        counts = (use.requests, use.paid, use.maybe_paid, use.prompt_tokens, use.completion_tokens)
        table.add_row(
            f"{name} ({use.endpoint})" if name else use.endpoint, *map(format_count, counts),
            money(use.cost, use.currency),
        )  # fmt: skip
    print_table(table)
    OUT.print(
        "“Maybe paid”: the reply did not arrive, and the server may have billed it. Costs are by the prices you set.",
        highlight=False,
    )
    return 0


def _cache(options: argparse.Namespace) -> int:
    if options.name is not None and options.action != "clear":
        raise UserError("Only `cache clear` takes a name.")
    if not store_file().exists():
        OUT.print("No reply is kept.", highlight=False)
        return 0
    with EndpointStore() as store:
        if options.action == "clear":
            gone = store.clear(None if options.name is None else _find(options.name).key)
            text = f"{_replies(gone)} forgotten. What was spent is still known."
        else:
            kept, size = store.size()
            text = f"{_replies(kept)}, {byte_size(size)}: {store.path}"
        OUT.print(text, highlight=False, markup=False, soft_wrap=True)
    return 0


def _replies(count: int) -> str:
    return "1 reply" if count == 1 else f"{count:,} replies"
