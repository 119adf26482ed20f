"""Endpoints: models behind an OpenAI-compatible address. Which there are, their keys, and a session that asks one.

A session sends through the official `openai` client and does the rest itself: concurrency, rate limits, retries, a
hard budget, a meter, and the store of replies that are never paid twice. An error is an `EndpointError`, never an
answer. Keys are in the system keyring (or in a variable of the environment where there is none), go to their own server
alone, over plain HTTP to this machine alone, and are in no file, log or error. No Qt, no torch.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import logging
import math
import os
import random
import re
import socket
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from training.chat_api import (
    MAX_TOKENS,
    WORST_TOKENS_PER_BYTE,
    ChatReply,
    ChatRequest,
    Dialect,
    EndpointError,
    EndpointProblem,
    Finish,
    RefusedParameter,
    StreamReader,
    TokenLogprob,
    Usage,
    exhausted_for,
    explain_status,
    has_prompt_logprobs,
    read_models,
    read_reply,
    redacted,
    seen_tokens_per_byte,
    usual_prompt_tokens,
    usual_tokens,
    worst_prompt_tokens,
)
from training.endpoint_store import Claim, EndpointStore, RequestState, Spent, store_file
from training.errors import UserError
from training.model_names import is_hub_address
from training.named_records import NamedRecords, check_name
from training.resources import data_folder

__all__ = [
    "ENDPOINT", "Budget", "Capabilities", "Capability", "ChatReply", "ChatRequest", "CostEstimate", "Endpoint",
    "EndpointError", "EndpointProblem", "EndpointSession", "EndpointStore", "Finish", "KeySource", "Meter", "Price",
    "TokenLogprob", "Usage", "endpoint_file", "estimate", "find_endpoint", "key_source", "list_endpoints",
    "names_endpoint", "probe", "remove_endpoint", "save_endpoint", "save_server_key", "server_key", "store_file",
    "usual_prompt_tokens", "usual_tokens",
]  # fmt: skip

ENDPOINT = "endpoint:"
"""Before the name of a saved endpoint, wherever a model is named."""
SERVICE = "seirenes"
"""The service in the system keyring."""
KEY_VARIABLE = "SEIRENES_ENDPOINT_KEY_"
"""Before an endpoint's name in capitals: its key in the environment, for machines without a keyring."""
FORMAT = 1
MAX_REPLY_BYTES = 8 << 20
MAX_ERROR_BYTES = 256 << 10
CONNECT_TIMEOUT_S = 15.0
BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
LONGEST_WAIT_S = 120.0
"""A server that asks for more is left for now."""
BUSY_ATTEMPTS = 8
"""For requests that a server turned away unpaid."""
GIVE_UP_AFTER = 8
"""Failures in a row after which the rest of a batch is not sent."""
POLL_S, METER_S, CLAIM_POLL_S = 0.05, 0.25, 0.1
RATE_WINDOW_S = 30.0

Progress = Callable[[float, int], None]
Cancelled = Callable[[], bool]
T = TypeVar("T")

_LOGGERS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
"""Their records have whole requests in them, and none is for our logs."""


class Capability(StrEnum):
    """Whether a server can do something."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a probe found. `context` is in tokens, `probed_at` in seconds since 1970."""

    logprobs: Capability = Capability.UNKNOWN
    prompt_logprobs: Capability = Capability.UNKNOWN
    seed: Capability = Capability.UNKNOWN
    reasoning_content: Capability = Capability.UNKNOWN
    system_role: Capability = Capability.UNKNOWN
    several_choices: Capability = Capability.UNKNOWN
    streaming: Capability = Capability.UNKNOWN
    usage: Capability = Capability.UNKNOWN
    temperature: Capability = Capability.UNKNOWN
    """Whether it takes another temperature than its own, as greedy decoding needs."""
    max_tokens_name: str = MAX_TOKENS
    context: int | None = None
    served_models: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    probed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, as the user set it."""

    input: float
    output: float
    currency: str = "USD"

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Of so many tokens."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model at an address. `name` is "" for one that is not saved. `timeout_s` is for one attempt, `attempts` counts
    the first. `extra` has further fields of each request's body."""

    name: str
    base_url: str
    model: str = ""
    price: Price | None = None
    concurrency: int = 8
    requests_per_minute: int | None = None
    timeout_s: float = 120.0
    attempts: int = 3
    extra: dict[str, Any] = field(default_factory=dict)
    capabilities: Capabilities | None = None

    @property
    def key(self) -> str:
        """The same for the same model at the same address: for caches and fingerprints."""
        return f"{self.base_url}#{self.model}"

    @property
    def argument(self) -> str:
        """What names it as a model."""
        return f"{ENDPOINT}{self.name}" if self.name else self.key

    @property
    def title(self) -> str:
        """Short, for a person."""
        return self.name or f"{self.model or 'model'} at {self.place}"

    @property
    def place(self) -> str:
        """Host and port."""
        return urlsplit(self.base_url).netloc

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return _is_this_machine(urlsplit(self.base_url).hostname or "")

    @property
    def takes_key(self) -> bool:
        """Whether a key may be sent: over TLS, or to this machine."""
        return self.is_local or urlsplit(self.base_url).scheme == "https"


# ---------------------------------------------------------------------- which endpoints there are

_HIDDEN = re.compile(r"api[-_]?key|authorization|token$|secret|password", re.IGNORECASE)
_OWN_FIELDS = ("messages", "model", "stream", "max_tokens", "max_completion_tokens", "n")


def endpoint_file() -> Path:
    """Where endpoints are kept."""
    return data_folder() / "endpoints.json"


@dataclass(frozen=True, slots=True)
class _EndpointFile:
    format: int
    endpoints: tuple[Endpoint, ...] = ()


def list_endpoints() -> list[Endpoint]:
    """The saved ones by name. A UserError where the file is damaged."""
    return _saved().read()


def _saved() -> NamedRecords[Endpoint]:
    return NamedRecords(endpoint_file, _EndpointFile, "endpoints", FORMAT, key_variable, "key")


def names_endpoint(text: str) -> bool:
    """Whether a model's name means an endpoint, saved or not. The address of a model's page on the hub does not."""
    text = text.strip()
    return text.startswith(ENDPOINT) or (text.startswith(("http://", "https://")) and not is_hub_address(text))


def find_endpoint(text: str) -> Endpoint:
    """The endpoint that "endpoint:NAME" or "https://host/v1#model" means. A UserError for what is neither."""
    text = text.strip()
    if text.startswith(("http://", "https://")):
        address, _, model = text.partition("#")
        return Endpoint("", read_address(address), model.strip())
    name = text.removeprefix(ENDPOINT)
    saved = list_endpoints()
    found = next((e for e in saved if e.name.casefold() == name.casefold()), None)
    if found is not None and name:
        return found
    near = get_close_matches(name, [e.name for e in saved], 1)
    hint = f"Did you mean {ENDPOINT}{near[0]}?" if near else "List them: seirenes endpoint list"
    raise UserError(f"There is no endpoint named {name!r}. {hint}")


def read_address(text: str) -> str:
    """The base URL as it is kept. A UserError for what is none."""
    form = "Write it as https://host/v1, and the model after a #."
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
    except ValueError as error:
        raise UserError(f"{text!r} is not an address ({error}). {form}") from error
    if parts.username or parts.password:
        raise UserError("The address holds a key. Keep it in the system keyring: seirenes endpoint key NAME")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{text!r} names no host. {form}")
    if parts.query or parts.fragment or any(ch.isspace() or not ch.isprintable() for ch in text.strip()):
        raise UserError(f"{text!r} is not a base address: it may have no query and no space. {form}")
    return text.strip().rstrip("/").removesuffix("/chat/completions").rstrip("/")


def checked(endpoint: Endpoint) -> Endpoint:
    """The endpoint as it is kept. A UserError that names the field that is wrong."""
    e = endpoint
    check_name(e.name)
    for what, value, low, high in (
        ("concurrency", e.concurrency, 1, 256),
        ("requests a minute", 1 if e.requests_per_minute is None else e.requests_per_minute, 1, 100_000),
        ("timeout", e.timeout_s, 1, 3600),
        ("attempts", e.attempts, 1, 10),
        ("price of a million tokens", 0 if e.price is None else e.price.input, 0, 1e6),
        ("price of a million tokens", 0 if e.price is None else e.price.output, 0, 1e6),
    ):
        if not low <= value <= high:  # false for NaN too
            raise UserError(f"{e.name}: {what} is {value:g}; it must be {low:g} to {high:g}.")
    for name in e.extra:
        if _HIDDEN.search(name):
            raise UserError(f"{e.name}: {name!r} looks like a key. Keep it in the keyring: seirenes endpoint key NAME")
        if name in _OWN_FIELDS:
            raise UserError(f"{e.name}: {name!r} is set by the program and cannot be an extra field.")
    return replace(e, base_url=read_address(e.base_url), model=e.model.strip())


def save_endpoint(endpoint: Endpoint) -> Endpoint:
    """Keep it in place of one of the same name; returns it as it is kept."""
    kept = checked(endpoint)
    _saved().save(kept)
    return kept


def remove_endpoint(name: str) -> Endpoint:
    """Forget it; its key stays in the keyring, as others may be at the same address."""
    gone = find_endpoint(f"{ENDPOINT}{name.removeprefix(ENDPOINT)}")
    _saved().remove(gone)
    return gone


# ---------------------------------------------------------------------- keys


class KeySource(StrEnum):
    """Where an endpoint's key comes from."""

    KEYRING = "keyring"
    ENVIRONMENT = "environment"
    NONE = "none"


def key_variable(name: str) -> str:
    """The variable of the environment that may hold the key of a saved endpoint."""
    return KEY_VARIABLE + re.sub(r"[^A-Z0-9]", "_", name.upper())


def _entry(base_url: str) -> str:
    parts = urlsplit(base_url)
    return f"server:{parts.scheme}://{parts.netloc.casefold()}"


def server_key(base_url: str) -> str | None:
    """The key that the keyring has for a server; None without one, and without a keyring."""
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(SERVICE, _entry(base_url)) or None
    except ValueError:  # no address, such as one that is being typed
        return None
    except (KeyringError, OSError, RuntimeError):  # no backend, a locked keyring, no session bus
        return None


def save_server_key(base_url: str, key: str) -> None:
    """Keep a key for a server in the keyring, or remove it where it is "". A UserError where that fails."""
    import keyring
    from keyring.errors import KeyringError

    if any(ch.isspace() or not ch.isprintable() for ch in key) or not key.isascii():
        raise UserError("This is no key: it holds a space, or a character that a key cannot have.")
    try:
        if key:
            keyring.set_password(SERVICE, _entry(base_url), key)
        elif server_key(base_url) is not None:
            keyring.delete_password(SERVICE, _entry(base_url))
    except (KeyringError, OSError, RuntimeError) as error:
        remedy = (
            "Unlock or install a keyring (on Linux gnome-keyring or KWallet). A machine without one takes the key from "
            f"the environment: {KEY_VARIABLE}NAME"
        )
        raise UserError(f"The system keyring did not take the key ({type(error).__name__}). {remedy}") from None


def key_source(endpoint: Endpoint) -> KeySource:
    """Where its key is; NONE too where a key may not be sent to it."""
    return _find_key(endpoint)[1]


def _find_key(endpoint: Endpoint) -> tuple[str, KeySource]:
    if not endpoint.takes_key:
        return "", KeySource.NONE
    if endpoint.name and (found := os.environ.get(key_variable(endpoint.name), "").strip()):
        return found, KeySource.ENVIRONMENT
    kept = server_key(endpoint.base_url)
    return (kept, KeySource.KEYRING) if kept else ("", KeySource.NONE)


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.casefold() == "localhost"


# ---------------------------------------------------------------------- budget and meter


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a session; None is no limit. What a request could cost at most is reserved before it is sent, so no
    limit is passed. `requests` counts all that are sent, retries too. `money` is in the endpoint's currency. After
    `minutes` no request is sent any more; those on their way are waited for."""

    requests: int | None = None
    tokens: int | None = None
    money: float | None = None
    minutes: float | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, f.name) is not None for f in fields(self))


@dataclass(frozen=True, slots=True)
class Meter:
    """What a session spent so far. `replies` came over the network, `cached` from the store. `failed` are requests
    that were given up, `retried` the attempts after a first one, `maybe_paid` those whose reply did not arrive.
    `cost` is None without a price. `left` is what the budget leaves, with nothing on its way."""

    requests: int = 0
    replies: int = 0
    cached: int = 0
    failed: int = 0
    retried: int = 0
    maybe_paid: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    currency: str = ""
    requests_per_s: float = 0.0
    """Replies a second, over the last half minute."""
    seconds: float = 0.0
    left: Budget = Budget()

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a batch will cost: usually, and at most (retries aside). Costs are None without a price. Of the `requests`,
    `free` ones go to a server of this machine that has no price."""

    requests: int
    tokens: int
    cost: float | None
    at_most: float | None
    tokens_at_most: int
    currency: str = ""
    free: int = 0


def estimate(
    endpoint: Endpoint, requests: int, prompt_tokens: float, max_tokens: int, usual_completion: float
) -> CostEstimate:
    """Of `requests` with prompts of `prompt_tokens` (a mean, as `usual_prompt_tokens` reckons it) and completions of
    usually `usual_completion`, at most `max_tokens` tokens."""
    usual = min(usual_completion, max_tokens)
    price = endpoint.price
    most_prompt = prompt_tokens * WORST_TOKENS_PER_BYTE * 4
    return CostEstimate(
        requests,
        round(requests * (prompt_tokens + usual)),
        None if price is None else requests * price.cost(prompt_tokens, usual),
        None if price is None else requests * price.cost(most_prompt, max_tokens),
        math.ceil(requests * (most_prompt + max_tokens)),
        price.currency if price else "",
        requests if price is None and endpoint.is_local else 0,
    )


@dataclass(frozen=True, slots=True)
class _Reserved:
    tokens: int
    cost: float


class _Admission:
    """Who may send when: so many at a time, so many a minute, not before a server allows it, and within the budget.
    Lives in the session's event loop."""

    def __init__(self, endpoint: Endpoint, budget: Budget) -> None:
        self.endpoint, self.budget = endpoint, budget
        self.started = time.monotonic()
        self.requests = 0
        self.tokens, self.cost = 0, 0.0
        self._held_tokens, self._held_cost = 0, 0.0
        self._active, self._allowed = 0, float(endpoint.concurrency)
        self._not_before = self._next = self._slowed = 0.0
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def enter(self, worst: _Reserved) -> None:
        """Wait for a turn and reserve. An `EndpointError` where the budget does not have it."""
        async with self._turn:
            while True:
                self._changed.clear()
                now = time.monotonic()
                self._check_over(now)
                wait = max(self._not_before, self._next) - now
                over = self._over(worst)
                if self._active >= max(1, int(self._allowed)) or (over and self._active):
                    await self._changed.wait()
                elif over:
                    raise _over_budget(over)
                elif wait > 0:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), wait)
                else:
                    break
            self._active += 1
            self._held_tokens += worst.tokens
            self._held_cost += worst.cost
            self.requests += 1
            if self.endpoint.requests_per_minute:
                self._next = now + 60.0 / self.endpoint.requests_per_minute

    def leave(self, worst: _Reserved, spent: _Reserved) -> None:
        """Give back what was reserved; so much was spent."""
        self._active -= 1
        self._held_tokens -= worst.tokens
        self._held_cost -= worst.cost
        self.tokens += spent.tokens
        self.cost += spent.cost
        self._changed.set()

    def pause(self, seconds: float) -> None:
        """The server wants no request for so long."""
        self._not_before = max(self._not_before, time.monotonic() + min(seconds, LONGEST_WAIT_S))

    def slow_down(self) -> None:
        """The server limits the rate: half as many at a time, once for all that it turned away together."""
        now = time.monotonic()
        if now - self._slowed > 1.0:
            self._allowed, self._slowed = max(1.0, self._allowed / 2), now

    def speed_up(self) -> None:
        """A reply came: about one more at a time for each round."""
        self._allowed = min(float(self.endpoint.concurrency), self._allowed + 1 / max(1.0, self._allowed))
        self._changed.set()

    def _check_over(self, now: float) -> None:
        if self.budget.minutes is not None and now - self.started >= self.budget.minutes * 60:
            raise _over_budget(f"{self.budget.minutes:g} minutes are over")

    def _over(self, worst: _Reserved) -> str:
        b = self.budget
        if b.requests is not None and self.requests + 1 > b.requests:
            return f"{b.requests:,} requests are sent"
        if b.tokens is not None and self.tokens + self._held_tokens + worst.tokens > b.tokens:
            return f"the next request may take {worst.tokens:,} tokens, and {b.tokens - self.tokens:,} are left"
        if b.money is not None and self.cost + self._held_cost + worst.cost > b.money * (1 + 1e-12):
            return f"the next request may cost {worst.cost:.4g}, and {max(0.0, b.money - self.cost):.4g} is left"
        return ""

    def left(self) -> Budget:
        b = self.budget
        gone = (time.monotonic() - self.started) / 60
        return Budget(
            None if b.requests is None else max(0, b.requests - self.requests),
            None if b.tokens is None else max(0, b.tokens - self.tokens),
            None if b.money is None else max(0.0, b.money - self.cost),
            None if b.minutes is None else max(0.0, b.minutes - gone),
        )


def _over_budget(why: str) -> EndpointError:
    return EndpointError(EndpointProblem.BUDGET, f"The budget is used up: {why}. Allow more to go on.")


# ---------------------------------------------------------------------- a session


class _TooLarge(Exception):
    """A reply of more bytes than a reply can have."""


@dataclass(slots=True)
class _Batch:
    """Requests of one call, as the event loop and the caller see them."""

    total: int
    done: int = 0
    cancelled: bool = False
    in_a_row: int = 0
    stopped_by: EndpointError | None = None
    tasks: Sequence[asyncio.Task[Any]] = ()

    def count(self, problem: EndpointError | None) -> None:
        if problem is None:
            self.in_a_row = 0
            return
        # A prompt that is too long says nothing about the next one.
        self.in_a_row += problem.problem is not EndpointProblem.TOO_LONG
        hopeless = problem.problem is EndpointProblem.BUDGET or problem.for_all
        if hopeless or self.in_a_row >= GIVE_UP_AFTER:
            self.stopped_by = problem


class EndpointSession:
    """Asks one endpoint, as a context manager; every method may be called from any thread but the event loop's own.

    `store` is the file of replies (the user's own by default). `account` names the work that it asks for: budget and
    meter go on from what that work has spent before, in whatever process. `fresh`: replies of the store are not taken,
    and new ones are not kept; the ledger is written all the same. `on_meter` is called in the thread that
    asks. `key`: one that is not kept yet, in place of the stored one.
    """

    def __init__(
        self, endpoint: Endpoint, *, budget: Budget | None = None, store: Path | None = None,
        on_meter: Callable[[Meter], None] | None = None, fresh: bool = False, account: str = "", key: str = "",
    ) -> None:  # fmt: skip
        self.endpoint = checked(endpoint) if endpoint.name else endpoint  # the file may have been edited by hand
        self.budget = budget or Budget()
        if self.budget.money is not None and endpoint.price is None:
            raise UserError(
                f"{endpoint.title} has no price, so money cannot be a limit. Set it: seirenes endpoint edit NAME "
                "--price-in X --price-out Y"
            )
        self._secret, self.key_source = _find_key(endpoint)
        if key and endpoint.takes_key:
            self._secret = key
        self._on_meter, self._fresh = on_meter, fresh
        self._store = EndpointStore(store, account)
        known = endpoint.capabilities or Capabilities()
        self._dialect = Dialect(known.max_tokens_name, known.system_role is not Capability.NO)
        for name in ("seed", "logprobs", "temperature"):
            if getattr(known, name) is Capability.NO:
                self._dialect.refused.add(name)
        self._per_byte = WORST_TOKENS_PER_BYTE
        self._counts: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()
        self._served: dict[str, None] = {}
        self._times: deque[float] = deque(maxlen=4096)
        self._loop = asyncio.new_event_loop()
        self._admission = _Admission(endpoint, self.budget)
        spent = self._store.spent(endpoint.price.currency if endpoint.price else "")
        self._counts.update(
            {name: getattr(spent.get(endpoint.key, Spent()), name) for name in
             ("replies", "maybe_paid", "prompt_tokens", "completion_tokens")}
        )  # fmt: skip
        self._elsewhere = sum((s for key, s in spent.items() if key != endpoint.key), Spent())
        """What the account has spent at other endpoints: it counts for the budget alone."""
        in_all = sum(spent.values(), Spent())
        self._admission.requests, self._admission.tokens = in_all.requests, in_all.tokens
        self._admission.cost = in_all.cost
        self._thread = threading.Thread(target=self._run, name=f"endpoint {endpoint.place}", daemon=True)
        self._client: Any = None
        self._closed = False
        self._thread.start()

    def __enter__(self) -> EndpointSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EndpointSession({self.endpoint.argument})"

    def close(self) -> None:
        """End what is on its way and close the connections."""
        if self._closed:
            return
        self._closed = True
        with suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        if not self._loop.is_running():
            self._loop.close()
        self._store.close()
        self._secret = ""

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _shut(self) -> None:
        others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    @property
    def meter(self) -> Meter:
        """What was spent so far."""
        now = time.monotonic()
        price, c = self.endpoint.price, self._counts
        age = min(RATE_WINDOW_S, max(now - self._admission.started, 1e-3))
        recent = sum(1 for t in tuple(self._times) if t >= now - RATE_WINDOW_S)
        requests, cost = (
            self._admission.requests - self._elsewhere.requests,
            self._admission.cost - self._elsewhere.cost,
        )
        return Meter(
            requests, c["replies"], c["cached"], c["failed"], c["retried"], c["maybe_paid"],
            c["prompt_tokens"], c["completion_tokens"], None if price is None else cost,
            price.currency if price else "", recent / age, now - self._admission.started, self._admission.left(),
        )  # fmt: skip

    @property
    def refused(self) -> frozenset[str]:
        """Parameters that the server does not take, as far as it is known: they are left out of requests."""
        return frozenset(self._dialect.refused)

    @property
    def served(self) -> tuple[str, ...]:
        """What the server calls the models that it ran, the newest last."""
        return tuple(self._served)

    @property
    def notes(self) -> dict[str, int]:
        """What was odd about replies and what was left out of requests, each with the number of replies."""
        return dict(self._notes)

    @property
    def max_tokens_name(self) -> str:
        """What the server calls the largest number of tokens of a completion, as far as is known."""
        return self._dialect.max_tokens_name

    # ------------------------------------------------------------------ asking

    def complete(
        self, requests: Sequence[ChatRequest], progress: Progress = lambda _done, _total: None,
        cancelled: Cancelled = lambda: False,
    ) -> list[ChatReply | EndpointError]:  # fmt: skip
        """A reply or an error for each request, in their order. Equal requests are asked once. After a failure that
        all would have, and after many in a row, the rest is not sent."""
        batch = _Batch(len(requests))
        progress(0, batch.total)
        return self._wait(self._complete(requests, batch), batch, progress, cancelled)

    def models(self, cancelled: Cancelled = lambda: False) -> list[tuple[str, int | None]]:
        """The models that the server says it has, each with its context in tokens where that is said. Raises an
        `EndpointError`."""
        return read_models(self._call(self._get_models(), cancelled))

    def gives_prompt_logprobs(self, cancelled: Cancelled = lambda: False) -> bool:
        """Whether the server gives log-probabilities of a prompt's tokens. Raises an `EndpointError`."""
        return has_prompt_logprobs(self._call(self._echo("One two three four five."), cancelled))

    def _call(self, work: Coroutine[Any, Any, T], cancelled: Cancelled) -> T:
        batch = _Batch(1)

        async def run() -> T:
            task = asyncio.create_task(work)
            batch.tasks = [task]
            if batch.cancelled:
                task.cancel()
            try:
                return await task
            except asyncio.CancelledError:
                raise _not_sent(batch) from None

        return self._wait(run(), batch, lambda _done, _total: None, cancelled)

    def stream(
        self, request: ChatRequest, on_text: Callable[[str], None], cancelled: Cancelled = lambda: False
    ) -> ChatReply:
        """One reply; its text is given to `on_text` in parts as it comes, in this thread. Raises an `EndpointError`."""
        parts: deque[str] = deque()

        def tell(_done: float = 0, _total: int = 1) -> None:
            while parts:
                on_text(parts.popleft())

        batch = _Batch(1)
        found = self._wait(self._stream(request, batch, parts.append), batch, tell, cancelled)
        tell()
        if isinstance(found, EndpointError):
            raise found
        return found

    def _wait(self, work: Coroutine[Any, Any, T], batch: _Batch, progress: Progress, cancelled: Cancelled) -> T:
        """The result of `work`, which runs in the event loop; this thread reports meanwhile."""
        if self._closed:
            work.close()
            raise UserError("This session is closed. Open another.")
        try:
            batch.cancelled = cancelled()  # where it is known before anything is sent, nothing is
        except BaseException:
            work.close()
            raise
        task: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        metered = 0.0
        try:
            while not task.done():
                with suppress(TimeoutError):
                    task.exception(POLL_S)
                progress(batch.done, batch.total)
                if not batch.cancelled and cancelled():
                    self._loop.call_soon_threadsafe(self._cancel, batch)
                if self._on_meter is not None and time.monotonic() - metered > METER_S:
                    metered = time.monotonic()
                    self._on_meter(self.meter)
        except BaseException:  # an interrupt, or an error of a callback: nothing goes on unseen
            self._loop.call_soon_threadsafe(self._cancel, batch)
            with suppress(Exception):
                task.exception(5)
            raise
        if self._on_meter is not None:
            self._on_meter(self.meter)
        progress(batch.done, batch.total)
        return task.result()

    def _cancel(self, batch: _Batch) -> None:
        batch.cancelled = True
        for task in batch.tasks:
            task.cancel()

    async def _complete(self, requests: Sequence[ChatRequest], batch: _Batch) -> list[ChatReply | EndpointError]:
        places: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            places.setdefault(self._key(request), []).append(place)
        found: list[ChatReply | EndpointError | None] = [None] * len(requests)
        waiting = iter(places.items())

        async def work() -> None:
            for key, mine in waiting:
                result = await self._one(requests[mine[0]], key, batch)
                for place in mine:
                    found[place] = result
                batch.done += len(mine)
                await asyncio.sleep(0)

        batch.tasks = [asyncio.create_task(work()) for _ in range(min(len(places), self.endpoint.concurrency))]
        ended = await asyncio.gather(*batch.tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                raise error
        return [_not_sent(batch) if result is None else result for result in found]

    def _kept(self, key: str) -> ChatReply | None:
        kept = self._store.find(key)
        if kept is None:
            return None
        self._counts["cached"] += 1
        self._note(kept)
        return replace(kept, cached=True)

    async def _stream(
        self, request: ChatRequest, batch: _Batch, on_text: Callable[[str], None]
    ) -> ChatReply | EndpointError:
        task = asyncio.create_task(self._one(request, self._key(request), batch, on_text))
        batch.tasks = [task]
        try:
            return await task
        except asyncio.CancelledError:  # before it began
            if not batch.cancelled:
                raise
            return _not_sent(batch)

    async def _one(
        self, request: ChatRequest, key: str, batch: _Batch, on_text: Callable[[str], None] | None = None
    ) -> ChatReply | EndpointError:
        """The reply of the store or the server, or why there is none."""
        row = _Row(key)
        try:
            # What the store has costs nothing, so the rest of a batch that stopped still gets it.
            if not batch.cancelled and (kept := self._kept(key)) is not None:
                if on_text is not None:
                    on_text(kept.text)
                return kept
            if batch.cancelled or batch.stopped_by is not None:
                return _not_sent(batch)
            reply = await self._ask(request, row, on_text)
            batch.in_a_row = 0
            return reply
        except EndpointError as error:
            self._counts["failed"] += error.problem is not EndpointProblem.BUDGET
            batch.count(error)
            return error
        except asyncio.CancelledError:
            if not batch.cancelled:
                raise
            return _not_sent(batch, maybe_paid=row.on_its_way)
        except UserError:  # the disk refuses: nothing may be sent that cannot be kept
            self._cancel(batch)
            raise

    async def _ask(self, request: ChatRequest, row: _Row, on_text: Callable[[str], None] | None) -> ChatReply:
        """A reply after as many attempts as it takes, or the last error."""
        patience = _Patience(self.endpoint.attempts)
        try:
            while True:
                try:
                    return await self._attempt(request, row, on_text)
                except RefusedParameter as refused:
                    row.failed(refused)
                    if not self._dialect.learn(refused.name):
                        raise
                except EndpointError as failed:
                    row.failed(failed)
                    wait_s = patience.after(failed, has_replied=self._counts["replies"] > 0)
                    if wait_s is None:
                        raise
                    await asyncio.sleep(wait_s)
                self._counts["retried"] += 1
        finally:
            if row.claim is not None and row.claim.key:
                self._store.give_up(row.claim, row.problem)

    async def _attempt(self, request: ChatRequest, row: _Row, on_text: Callable[[str], None] | None) -> ChatReply:
        worst = self._worst(request)
        await self._admission.enter(worst)
        spent = _Reserved(0, 0.0)
        try:
            if row.claim is not None:
                row.claim = self._store.again(row.claim, self.endpoint.key, (worst.tokens, worst.cost))
            elif isinstance(found := await self._claim(row.key, worst), ChatReply):
                self._admission.requests -= 1
                self._counts["cached"] += 1
                return replace(found, cached=True)
            else:
                row.claim = found
            spent, row.on_its_way = worst, True
            try:
                reply = await self._send(request, row.claim, on_text)
            except EndpointError as error:
                self._failed(error, row.claim)
                row.on_its_way = False
                if not error.maybe_paid:
                    spent = _Reserved(0, 0.0)
                raise
            except asyncio.CancelledError:
                self._counts["maybe_paid"] += 1
                self._store.settle(row.claim, RequestState.MAYBE_PAID)
                row.claim = replace(row.claim, unsure=True)
                raise
            row.on_its_way = False
            spent = _Reserved(reply.prompt_tokens + reply.completion_tokens, reply.cost or 0.0)
            self._store.done(row.claim, reply, self.endpoint.price.currency if self.endpoint.price else None)
            row.claim = None
            self._got(request, reply)
            return reply
        finally:
            self._admission.leave(worst, spent)

    async def _claim(self, key: str, worst: _Reserved) -> Claim | ChatReply:
        """The row; waits while another session asks for it."""
        most = worst.tokens, worst.cost
        if self._fresh:
            return self._store.unkept(self.endpoint.key, most)
        while (found := self._store.claim(key, self.endpoint.key, most)) is None:
            await asyncio.sleep(CLAIM_POLL_S)
        if (
            isinstance(found, Claim) and found.maybe_paid and not self._store.account
        ):  # those of the account are counted
            self._counts["maybe_paid"] += 1
        return found

    async def _send(self, request: ChatRequest, claim: Claim, on_text: Callable[[str], None] | None) -> ChatReply:
        """One HTTP request, and its reply."""
        body, left_out = self._dialect.body(self.endpoint.model, request, self.endpoint.extra)
        began = time.monotonic()
        if on_text is None:
            reply = read_reply(await self._post(body, claim.idempotency), request, left_out)
        else:
            reply = await self._post_stream(body, claim.idempotency, StreamReader(request, left_out), on_text)
        price = self.endpoint.price
        cost = None if price is None else price.cost(reply.prompt_tokens, reply.completion_tokens)
        return replace(redacted(reply, self._secret), cost=cost, seconds=time.monotonic() - began)

    def _got(self, request: ChatRequest, reply: ChatReply) -> None:
        self._counts["replies"] += 1
        self._counts["prompt_tokens"] += reply.prompt_tokens
        self._counts["completion_tokens"] += reply.completion_tokens
        self._times.append(time.monotonic())
        self._admission.speed_up()
        if reply.usage is Usage.REPORTED:
            seen = 1.05 * seen_tokens_per_byte(request.messages, reply.prompt_tokens)
            self._per_byte = min(max(self._per_byte, seen), 2.0)
        self._note(reply)

    def _note(self, reply: ChatReply) -> None:
        if reply.model:
            self._served.pop(reply.model, None)
            self._served[reply.model] = None
        for name in reply.left_out:
            self._notes[f"The server does not take {name}: it was left out."] += 1
        for note in reply.notes:
            self._notes[note] += 1
        if reply.usage is Usage.ESTIMATED:
            self._notes["The server reported no usage: tokens are estimated from the texts."] += 1
        if reply.model and self.endpoint.model and reply.model != self.endpoint.model:
            self._notes[f"The server says that it ran {reply.model!r}, not {self.endpoint.model!r}."] += 1

    def _failed(self, error: EndpointError, claim: Claim) -> None:
        if self._secret and self._secret in str(error):  # it came in another spelling
            error.args = (str(error).replace(self._secret, "[key]"),)
        self._counts["maybe_paid"] += error.maybe_paid
        self._store.settle(claim, RequestState.MAYBE_PAID if error.maybe_paid else RequestState.UNPAID)
        if error.problem is EndpointProblem.BUSY and not error.maybe_paid:
            self._admission.slow_down()
            self._admission.pause(error.wait_s)

    def _worst(self, request: ChatRequest) -> _Reserved:
        prompt = worst_prompt_tokens(request.messages, self._per_byte)
        price = self.endpoint.price
        return _Reserved(prompt + request.max_tokens, price.cost(prompt, request.max_tokens) if price else 0.0)

    def _key(self, request: ChatRequest) -> str:
        """Equal for requests that one reply answers."""
        parts = [
            self.endpoint.key, self.endpoint.extra, list(request.messages), request.max_tokens, request.temperature,
            request.top_p, request.seed, request.stop, request.sample, request.logprobs, request.top_logprobs,
            dict(request.extra),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    # ------------------------------------------------------------------ HTTP

    def _open_client(self) -> Any:
        """The official client. An `EndpointError` where the address or the environment makes none possible."""
        if self._client is None:
            try:
                self._client = self._make_client()
            except ImportError:
                raise
            except Exception as error:  # noqa: BLE001 - the library has many for what it cannot read
                name = type(error).__name__
                text = (
                    f"{self.endpoint.place} cannot be asked ({name}). Check its address, and HTTP_PROXY, HTTPS_PROXY, "
                    "ALL_PROXY and SSL_CERT_FILE in the environment."
                )
                raise EndpointError(EndpointProblem.UNREACHABLE, text, for_all=True) from None
        return self._client

    def _make_client(self) -> Any:
        import openai

        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        endpoint = self.endpoint
        client = openai.AsyncOpenAI(
            api_key=self._secret or "none",
            base_url=endpoint.base_url,
            max_retries=0,
            default_headers={"User-Agent": "seirenes", "Accept-Encoding": "identity"},
            http_client=openai.DefaultAsyncHttpxClient(
                # Certificates take a third of a second to load, and plain HTTP to this machine has none.
                verify=not (endpoint.is_local and endpoint.base_url.startswith("http:")),
                timeout=openai.Timeout(endpoint.timeout_s, connect=min(CONNECT_TIMEOUT_S, endpoint.timeout_s)),
                # A key is for one server, and the proxies of the environment are not for this machine itself.
                follow_redirects=False,
                trust_env=not endpoint.is_local,
                event_hooks={"response": [_limit_size]},
            ),
        )
        # Left out, these are read from variables of the environment that are not for this server.
        client.organization = client.project = client.admin_api_key = None
        return client

    async def _post(self, body: dict[str, Any], idempotency: str) -> bytes:
        create = self._open_client().chat.completions.with_raw_response.create
        async with self._explained(body):
            async with asyncio.timeout(self.endpoint.timeout_s):
                response = await create(**_arguments(body, idempotency, bool(self._secret)))
            self._heed(response.headers)
            return self._without_key(response.content)

    async def _post_stream(
        self, body: dict[str, Any], idempotency: str, reader: StreamReader, on_text: Callable[[str], None]
    ) -> ChatReply:
        create = self._open_client().chat.completions.with_streaming_response.create
        if "stream_options" not in self._dialect.refused:
            body = {**body, "stream_options": {"include_usage": True}}
        began = False
        try:
            async with (
                self._explained(body),
                asyncio.timeout(self.endpoint.timeout_s),
                create(stream=True, **_arguments(body, idempotency, bool(self._secret))) as response,
            ):
                self._heed(response.headers)
                if "json" in response.headers.get("content-type", ""):  # a server that does not stream
                    reply = read_reply(self._without_key(await response.read()), reader.request, reader.left_out)
                    on_text(reply.text)
                    return reply
                async for line in response.iter_lines():
                    if text := reader.feed(self._without_key(line.encode()).decode()):
                        began = True
                        on_text(text)
            return reader.reply()
        except RefusedParameter as refused:
            if refused.name == "stream_options":
                self._dialect.refused.add(refused.name)
                raise EndpointError(EndpointProblem.REFUSED, str(refused), again=True) from None
            raise
        except EndpointError as error:
            # Text that is shown already is not shown twice.
            error.again = error.again and not began
            raise

    async def _get_models(self) -> bytes:
        return await self._once(lambda client, more: client.models.with_raw_response.list(**more), paid=False)

    async def _echo(self, prompt: str) -> bytes:
        def ask(client: Any, more: dict[str, Any]) -> Any:
            create = client.completions.with_raw_response.create
            return create(
                model=self.endpoint.model or "model", prompt=prompt, max_tokens=1, echo=True, logprobs=1, **more
            )

        return await self._once(ask, paid=True)

    async def _once(self, ask: Callable[[Any, dict[str, Any]], Any], *, paid: bool) -> bytes:
        """A request that is no chat completion: one attempt, counted as any other."""
        import openai

        nothing = _Reserved(0, 0.0)
        await self._admission.enter(nothing)
        claim, state = self._store.unkept(self.endpoint.key), RequestState.MAYBE_PAID
        more = {} if self._secret else {"extra_headers": {"Authorization": openai.omit}}
        try:
            async with self._explained({"messages": []}), asyncio.timeout(self.endpoint.timeout_s):
                response = await ask(self._open_client(), more)
            state = RequestState.PAID if paid else RequestState.UNPAID
            return self._without_key(response.content)
        except EndpointError as error:
            state = RequestState.MAYBE_PAID if error.maybe_paid and paid else RequestState.UNPAID
            raise
        finally:
            self._store.settle(claim, state)
            self._admission.leave(nothing, nothing)

    def _heed(self, headers: Any) -> None:
        if seconds := exhausted_for(headers):
            self._admission.pause(seconds)

    @asynccontextmanager
    async def _explained(self, body: dict[str, Any]) -> AsyncIterator[None]:
        """Errors of the library as an `EndpointError`, without the request, which has the key in it."""
        try:
            yield
        except EndpointError:
            raise
        except Exception as error:
            found = self._error_of(error, body)
            if found is None:
                raise
            raise found from None

    def _error_of(self, error: Exception, body: dict[str, Any]) -> EndpointError | None:
        """What an error of the client means; None for a bug."""
        import openai

        where, seconds = self.endpoint.place, self.endpoint.timeout_s
        if isinstance(error, openai.APIStatusError):
            return self._status_error(error, body)
        if isinstance(error, _TooLarge):
            text = f"{where} sent more than {MAX_REPLY_BYTES:,} bytes, or packed. Check the address."
            return EndpointError(EndpointProblem.UNREADABLE, text, maybe_paid=True)
        if _is_about_connecting(error):
            reason = _reason(error)
            text = f"{where} did not answer ({reason}). See whether the server runs, and check the address."
            return EndpointError(EndpointProblem.UNREACHABLE, text, again=True)
        if isinstance(error, TimeoutError | openai.APITimeoutError):
            text = f"{where} did not answer within {seconds:g} s. Allow more time, or ask it for fewer tokens."
            return EndpointError(EndpointProblem.TIMEOUT, text, again=True, maybe_paid=True)
        if isinstance(error, openai.OpenAIError) or type(error).__module__.startswith(("httpx", "httpcore")):
            text = f"{where} broke off its reply ({type(error).__name__}). See whether the server runs."
            return EndpointError(EndpointProblem.UNREACHABLE, text, again=True, maybe_paid=True)
        return None

    def _status_error(self, error: Any, body: dict[str, Any]) -> EndpointError:
        with suppress(Exception):
            content = self._without_key(error.response.content)
            return explain_status(
                error.status_code, error.response.headers, content, self.endpoint.place, body, self._key_remedy()
            )
        text = f"{self.endpoint.place} answered with code {error.status_code}, and the rest cannot be read."
        return EndpointError(EndpointProblem.UNREADABLE, text, maybe_paid=True)

    def _without_key(self, content: bytes) -> bytes:
        """What a server sent, which may have the key that it was sent."""
        return content.replace(self._secret.encode(), b"[key]") if self._secret else bytes(content)

    def _key_remedy(self) -> str:
        name = self.endpoint.name or self.endpoint.base_url
        if not self.endpoint.takes_key:
            return "A key is sent over https only, and to this machine: use an https address."
        had = "The key was not accepted" if self._secret else "It wants a key"
        return f"{had}: seirenes endpoint key {name}"


_NO_ANSWER = (
    EndpointProblem.UNREACHABLE, EndpointProblem.TIMEOUT, EndpointProblem.BUSY, EndpointProblem.BUDGET,
    EndpointProblem.CANCELLED,
)  # fmt: skip


@dataclass(slots=True)
class _Row:
    """A request on its way to a reply."""

    key: str
    claim: Claim | None = None
    on_its_way: bool = False
    problem: str = ""

    def failed(self, error: EndpointError) -> None:
        """Note whether the next attempt may find a reply that was paid: not after an answer of the server itself."""
        self.problem = error.problem
        if self.claim is not None:
            unsure = error.problem in _NO_ANSWER and (self.claim.unsure or error.maybe_paid)
            self.claim = replace(self.claim, unsure=unsure)


@dataclass(slots=True)
class _Patience:
    """How long one request is tried. One that was turned away unpaid is tried for a minute, and so is one that finds a
    server gone that had replied; a server that was never there is said soon."""

    attempts: int
    _failures: int = 0
    _busy: int = 0

    def after(self, error: EndpointError, *, has_replied: bool) -> float | None:
        """Seconds until the next attempt; None where there is none."""
        if not error.again or error.wait_s > LONGEST_WAIT_S:
            return None
        if not error.maybe_paid and (error.problem is EndpointProblem.BUSY or has_replied):
            self._busy += 1
            made, most = self._busy, max(BUSY_ATTEMPTS, self.attempts)
        else:
            self._failures += 1
            made, most = self._failures, self.attempts
        if made >= most:
            return None
        backoff = min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** (made - 1))
        return float(max(error.wait_s, backoff) * (1 + 0.2 * random.random()))


def _not_sent(batch: _Batch, maybe_paid: bool = False) -> EndpointError:
    if batch.cancelled or batch.stopped_by is None:
        return EndpointError(EndpointProblem.CANCELLED, "It was cancelled.", maybe_paid=maybe_paid)
    first = batch.stopped_by
    return EndpointError(first.problem, str(first), again=first.again, wait_s=first.wait_s, for_all=first.for_all)


def _arguments(body: dict[str, Any], idempotency: str, with_key: bool) -> dict[str, Any]:
    """What the client's `create` takes; it knows fewer fields than servers do."""
    import openai

    headers: dict[str, Any] = {"Idempotency-Key": idempotency}
    if not with_key:
        headers["Authorization"] = openai.omit
    return {
        "messages": body["messages"],
        "model": body.get("model", openai.omit),
        "extra_body": {name: value for name, value in body.items() if name not in ("messages", "model")},
        "extra_headers": headers,
    }


async def _limit_size(response: Any) -> None:
    """Have a reply end with an error where it is larger than any reply; errors have less to say."""
    most = MAX_REPLY_BYTES if response.is_success else MAX_ERROR_BYTES
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise _TooLarge  # it was asked to send the text as it is; what is packed can be of any size
    base = next(kind for kind in type(response.stream).__mro__ if kind.__name__ == "AsyncByteStream")

    class Limited(base):  # type: ignore[misc, valid-type]
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for part in self._stream:
                size += len(part)
                if size > most:
                    raise _TooLarge
                yield part

        async def aclose(self) -> None:
            await self._stream.aclose()

    response.stream = Limited(response.stream)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return found


def _is_about_connecting(error: BaseException) -> bool:
    """Whether nothing was sent yet."""
    return any(type(e).__name__ in ("ConnectError", "ConnectTimeout", "PoolTimeout") for e in _causes(error))


def _reason(error: BaseException) -> str:
    """Short, of the system's own error; never the text of a library, which may have the request in it."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its certificate is not valid"
        if isinstance(cause, ssl.SSLError):
            return "no TLS connection"
        if isinstance(cause, socket.gaierror):
            return "no such host"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno) if cause.errno > 0 else "no connection"
    return "no connection"


# ---------------------------------------------------------------------- what a server can do

CAPABILITIES = {
    "system_role": ("system messages", "prompts with one; without it, it is put before the user's message"),
    "temperature": ("temperature", "greedy decoding and samples of a chosen spread; without it, the server's own"),
    "seed": ("seed", "samples that can be drawn again; without it, only the cache gives the same twice"),
    "logprobs": ("log-probabilities", "judges by probability, mean log-probability of solutions"),
    "prompt_logprobs": ("prompt log-probabilities", "nothing yet: log-prob delta is drawn with GGUF files alone"),
    "reasoning_content": ("reasoning apart", "shows reasoning beside the answer; blocks in the text are read anyway"),
    "several_choices": ("several choices", "nothing needs it: samples are asked one by one"),
    "streaming": ("streaming", "text as it is written, in Craft"),
    "usage": ("token counts", "exact budgets; without it, tokens are estimated from the texts"),
}
"""Of each field of `Capabilities`: its name, and what it is for."""

PROBE_STEPS = 8


def probe(
    endpoint: Endpoint, report: Progress = lambda _done, _total: None, cancelled: Cancelled = lambda: False
) -> Capabilities:
    """Find out what a server can do, with about ten short requests, which are in the ledger. Saves nothing.

    Raises an `EndpointError` where it cannot be asked at all.
    """
    with EndpointSession(replace(endpoint, capabilities=None), budget=Budget(requests=24), fresh=True) as session:
        return _Probe(session, report, cancelled).run()


_SHORT = "Reply with the word yes."
_LONG = "Write a list of twelve random words, in no order."


class _Probe:
    def __init__(self, session: EndpointSession, report: Progress, cancelled: Cancelled) -> None:
        self.session, self._report, self._cancelled = session, report, cancelled
        self._done = 0
        self._left_out: set[str] = set()

    def run(self) -> Capabilities:
        listed = self._step(self._models) or []
        plain = self._ask([{"role": "user", "content": _SHORT}], temperature=None)
        self._counted()
        system = self._step(self._system, plain)
        several, seed = self._step(self._seed) or (Capability.UNKNOWN, Capability.UNKNOWN)
        logprobs = self._step(self._logprobs)
        streaming = self._step(self._streaming)
        prompt = self._step(lambda: _yes(self.session.gives_prompt_logprobs(self._cancelled)), no=Capability.NO)
        unknown = Capability.UNKNOWN
        return Capabilities(
            logprobs=logprobs or unknown,
            prompt_logprobs=prompt or unknown,
            seed=seed,
            reasoning_content=_yes(bool(plain.reasoning)) if plain.reasoning else unknown,
            system_role=system or unknown,
            several_choices=several,
            streaming=streaming or unknown,
            usage=_yes(plain.usage is Usage.REPORTED),
            temperature=_yes("temperature" not in self._left_out),
            max_tokens_name=self.session.max_tokens_name,
            context=dict(listed).get(self.session.endpoint.model),
            served_models=tuple(name for name, _ in listed),
            notes=tuple(self.session.notes),
            probed_at=time.time(),
        )

    def _step(self, work: Callable[..., T], *given: Any, no: T | None = None) -> T | None:
        """What one step found; `no` where the server refuses it, None where it could not be found out."""
        try:
            return work(*given)
        except EndpointError as error:
            if error.problem in _NO_ANSWER:
                raise
            return no if error.problem is EndpointProblem.REFUSED else None
        finally:
            self._counted()

    def _counted(self) -> None:
        self._done += 1
        self._report(min(self._done, PROBE_STEPS), PROBE_STEPS)

    def _ask(self, messages: list[dict[str, str]], max_tokens: int = 16, **options: Any) -> ChatReply:
        request = ChatRequest(messages, max_tokens, **options)
        (reply,) = self.session.complete([request], cancelled=self._cancelled)
        if isinstance(reply, EndpointError):
            raise reply
        self._left_out |= set(reply.left_out)
        return reply

    def _models(self) -> list[tuple[str, int | None]]:
        return self.session.models(self._cancelled)

    def _system(self, plain: ChatReply) -> Capability:
        chat = [{"role": "system", "content": "Reply in capital letters only."}, {"role": "user", "content": _SHORT}]
        reply = self._ask(chat, temperature=None)
        if reply.left_out:
            return Capability.NO
        # A chat template may drop it without a word; then the prompt is no longer.
        both = reply.usage is Usage.REPORTED and plain.usage is Usage.REPORTED
        return Capability.UNKNOWN if not both else _yes(reply.prompt_tokens > plain.prompt_tokens)

    def _seed(self) -> tuple[Capability, Capability]:
        """Whether it gives several choices, and whether a seed repeats them."""
        chat = [{"role": "user", "content": _LONG}]

        def draw(seed: int, choices: int) -> ChatReply:
            extra = {"n": choices} if choices > 1 else {}
            return self._ask(chat, 24, temperature=1.0, seed=seed, extra=extra)

        first = draw(1, 2)
        several = _yes(bool(first.others))
        if "seed" in first.left_out:
            return several, Capability.NO
        again = draw(1, 2 if first.others else 1)
        if (first.text, first.others) != (again.text, again.others):
            # A prompt that is read for the first time can be rounded otherwise than one that the server has kept.
            first, again = again, draw(1, 2 if first.others else 1)
            if (first.text, first.others) != (again.text, again.others):
                return several, Capability.NO
        # A model that always writes the same shows nothing about seeds.
        varies = any(text != first.text for text in first.others) or draw(2, 1).text != first.text
        return several, Capability.YES if varies else Capability.UNKNOWN

    def _logprobs(self) -> Capability:
        chat = [{"role": "user", "content": _SHORT}]
        return _yes(self._ask(chat, 4, temperature=0.0, logprobs=True, top_logprobs=5).logprobs is not None)

    def _streaming(self) -> Capability:
        parts: list[str] = []
        request = ChatRequest([{"role": "user", "content": _LONG}], 24, temperature=None)
        try:
            self.session.stream(request, parts.append, self._cancelled)
        except EndpointError as error:
            if error.problem in (EndpointProblem.UNREACHABLE, EndpointProblem.REFUSED, EndpointProblem.UNREADABLE):
                return Capability.NO
            raise
        return _yes(len(parts) > 1)


def _yes(found: bool) -> Capability:
    return Capability.YES if found else Capability.NO
