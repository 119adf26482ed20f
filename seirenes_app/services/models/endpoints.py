"""Endpoints in words: what is known of one, what its server can do, and what it costs. No Qt."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from seirenes_app.services.formatting import count_of, format_count, money, short_count, time_ago
from seirenes_app.store.settings import Settings
from training.endpoints import (
    CAPABILITIES,
    Budget,
    Capability,
    ChatReply,
    ChatRequest,
    CostEstimate,
    Endpoint,
    EndpointSession,
    KeySource,
    Meter,
    Price,
    find_endpoint,
    key_source,
    key_variable,
)

LIST_S = 20.0
"""How long a server may take to list its models."""
REACH_S = 0.4
"""How long a server on this machine may take to accept a connection."""
ASK_TOKENS, ASK_REQUESTS = 512, 2
"""Limits of a single question: its tokens, and its requests with one that is repeated."""


@dataclass(frozen=True, slots=True)
class ServerPreset:
    """A server program by the address that it has unless another one is set."""

    name: str
    address: str


PRESETS = (
    ServerPreset("OpenAI-compatible server", "https://"),
    ServerPreset("llama.cpp server", "http://127.0.0.1:8080/v1"),
    ServerPreset("LM Studio", "http://127.0.0.1:1234/v1"),
    ServerPreset("Ollama", "http://127.0.0.1:11434/v1"),
    ServerPreset("vLLM, or seirenes serve", "http://127.0.0.1:8000/v1"),
)


@dataclass(frozen=True, slots=True)
class EndpointDescription:
    """What is known of an endpoint beside its settings. `reached` is None where nobody has tried."""

    endpoint: Endpoint
    key: KeySource
    reached: bool | None = None

    @property
    def key_text(self) -> str:
        if self.key is KeySource.KEYRING:
            return "in the system keyring"
        if self.key is KeySource.ENVIRONMENT:
            return f"in the environment, as {key_variable(self.endpoint.name)}"
        if not self.endpoint.takes_key:
            return "none: over plain HTTP a key goes to this machine only"
        return "none; a server on this machine rarely needs one" if self.endpoint.is_local else "none is stored"

    @property
    def warning(self) -> str:
        """What keeps it from working, as far as that is known; "" for nothing."""
        if self.reached is False:
            return f"Nothing answers at {self.endpoint.place}. Start the server, or correct the address under Edit."
        if self.key is KeySource.NONE and self.endpoint.takes_key and not self.endpoint.is_local:
            return f"No key for {self.endpoint.place} is stored. Most servers on the internet need one: Set key."
        return ""


def describe_endpoint(endpoint: Endpoint) -> EndpointDescription:
    """Asks the keyring, and whether a server on this machine takes connections: call it off the window's thread. A
    server elsewhere is asked nothing."""
    return EndpointDescription(endpoint, key_source(endpoint), is_reached(endpoint))


def is_reached(endpoint: Endpoint) -> bool | None:
    """Whether a server on this machine takes connections; None for one elsewhere, which is not asked."""
    if not endpoint.is_local:
        return None
    try:
        parts = urlsplit(endpoint.base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname or "", port), timeout=REACH_S):
            return True
    except (OSError, ValueError):
        return False


def suggest_name(address: str, model: str) -> str:
    """A short name for a new endpoint: its model's last part, else its host."""
    last = re.sub(r"[^A-Za-z0-9._-]+", "-", model.rpartition("/")[2]).strip("-._")
    host = urlsplit(address).hostname or "" if "://" in address else ""
    return last or re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-._")


# ---------------------------------------------------------------------- requests


def ask_once(
    endpoint: Endpoint, question: str, on_text: Callable[[str], object], cancelled: Callable[[], bool]
) -> tuple[ChatReply, Meter]:
    """The reply to one question, asked now whatever was asked before, with what it took. `on_text` gets the text so
    far. Raises an `EndpointError`."""
    request = ChatRequest(messages=({"role": "user", "content": question},), max_tokens=ASK_TOKENS)
    parts: list[str] = []

    def add(part: str) -> None:
        parts.append(part)
        on_text("".join(parts))

    with EndpointSession(endpoint, budget=Budget(requests=ASK_REQUESTS), fresh=True) as session:
        reply = session.stream(request, add, cancelled)
        return reply, replace(session.meter, left=Budget())


def served_models(base_url: str, key: str = "") -> tuple[str, ...]:
    """The models that a server says it has; `key` is one that is typed and not kept yet. Raises a UserError."""
    with EndpointSession(replace(find_endpoint(base_url), timeout_s=LIST_S), fresh=True, key=key) as session:
        return tuple(name for name, _context in session.models())


# ---------------------------------------------------------------------- in words


def capability_text(name: str, state: Capability) -> str:
    """One field of `Capabilities`: whether the server has it, and what it is for."""
    title, use = CAPABILITIES[name]
    word = "not known" if state is Capability.UNKNOWN else state
    return f"{title[:1].upper()}{title[1:]}: {word}  ·  {use}"


def probed_text(endpoint: Endpoint) -> str:
    known = endpoint.capabilities
    return time_ago(known.probed_at, time.time()) if known is not None else "not yet"


def price_text(price: Price | None) -> str:
    if price is None:
        return "not set: requests and tokens are counted, cost is not"
    return f"{price.input:g} in, {price.output:g} out, {price.currency} a million tokens"


def meter_text(meter: Meter) -> str:
    """What was spent so far, in a line: '12 requests · 3,400 tokens · 0.02 USD'."""
    parts = [count_of(meter.requests, "request"), count_of(meter.tokens, "token")]
    if meter.cost is not None:
        parts.append(money(meter.cost, meter.currency))
    if meter.cached:
        parts.append(f"{format_count(meter.cached)} from the cache")
    for n, what in ((meter.retried, "retried"), (meter.failed, "failed"), (meter.maybe_paid, "maybe paid for nothing")):
        if n:
            parts.append(f"{format_count(n)} {what}")
    return "  ·  ".join([*parts, *left_texts(meter)])


def left_texts(meter: Meter) -> list[str]:
    """What is left of each limit that was set."""
    left, found = meter.left, []
    if left.requests is not None:
        found.append(f"{count_of(left.requests, 'request')} left")
    if left.tokens is not None:
        found.append(f"{count_of(left.tokens, 'token')} left")
    if left.money is not None:
        found.append(f"{money(left.money, meter.currency)} left")
    if left.minutes is not None:
        found.append(f"{left.minutes:.1f} min left")
    return found


def estimate_text(found: CostEstimate) -> str:
    """What work will take: requests, tokens and cost, as usual and at most."""
    tokens = f"usually {short_count(found.tokens)} tokens and at most {short_count(found.tokens_at_most)}"
    parts = [count_of(found.requests, "request"), tokens]
    if found.cost is not None and found.at_most is not None:
        parts.append(f"usually {money(found.cost, found.currency)} and at most {money(found.at_most, found.currency)}")
    return "; ".join(parts)


def total_estimate(found: Sequence[CostEstimate]) -> CostEstimate | None:
    """Of several pieces of work; without a cost where one that may cost something has no price or another currency.
    None for no work."""
    if not found:
        return None
    paid = [e for e in found if not e.free]
    currencies = {e.currency if e.cost is not None and e.at_most is not None else None for e in paid}
    same = len(currencies) == 1 and None not in currencies
    return CostEstimate(
        sum(e.requests for e in found), sum(e.tokens for e in found),
        sum(e.cost or 0.0 for e in found) if same else None, sum(e.at_most or 0.0 for e in found) if same else None,
        sum(e.tokens_at_most for e in found), paid[0].currency if same else "", sum(e.free for e in found),
    )  # fmt: skip


def must_ask(found: CostEstimate, settings: Settings) -> bool:
    """Whether the person is asked before the work starts: its cost, or its requests without a price, are above the
    limit of the settings. A server of this machine without a price costs nothing."""
    if found.cost is None:
        return found.requests - found.free > settings.ask_requests
    return (found.cost if found.at_most is None else found.at_most) > settings.ask_cost
