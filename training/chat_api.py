"""The chat-completions API: the body of a request, and what is read of a reply. Pure: no network, no keys, no files.

Servers differ. A `Dialect` is what is known of one: it starts from what a probe found and learns from each refusal that
names a parameter. What is left out of a request is in the reply that comes back. A reply is never trusted: types,
sizes and the reported usage are checked, and what cannot be read is an `EndpointError`, never an empty text.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import msgspec

from training.core.answer_reader import separate_reasoning
from training.core.prompts import Message
from training.errors import UserError

MAX_TOKENS, MAX_COMPLETION_TOKENS = "max_tokens", "max_completion_tokens"
SYSTEM_ROLE = "system role"
"""In `ChatReply.left_out`: the system message was put before the first message of the user."""
TOP_LOGPROBS = 20
MOST_TOKENS = 2**53
"""A larger count in a reply is nonsense."""
MESSAGE_CHARS = 240
"""Of a server's own error message that is shown."""
USUAL_BYTES, LEAST_TOKENS_BYTES = 4, 8
"""Bytes of text a token: usual, and more than any tokenizer reaches on text."""
WORST_TOKENS_PER_BYTE, WORST_PER_MESSAGE, WORST_PER_REQUEST = 0.5, 8, 32
"""Of the largest prompt that is reckoned with before the first reply."""


class EndpointProblem(StrEnum):
    """Why there is no reply."""

    UNREACHABLE = "unreachable"
    """No connection, or one that broke."""
    TIMEOUT = "timeout"
    BUSY = "busy"
    """The server asks to come back later, or has an error of its own."""
    REFUSED = "refused"
    """The server does not take the request: another key, another model."""
    TOO_LONG = "too_long"
    """Prompt and reply do not fit the model's context."""
    UNREADABLE = "unreadable"
    """What it sent is no reply of this API."""
    BUDGET = "budget"
    """Sending it could exceed the budget."""
    CANCELLED = "cancelled"


class EndpointError(UserError):
    """A request without a reply. `again`: whether another attempt can help, after `wait_s` seconds. `maybe_paid`:
    the server may have computed, and billed, a reply that did not arrive. `for_all`: every other request to this
    endpoint would fail as well."""

    def __init__(
        self, problem: EndpointProblem, text: str, *, again: bool = False, wait_s: float = 0.0,
        maybe_paid: bool = False, for_all: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(text)
        self.problem, self.again, self.wait_s, self.maybe_paid = problem, again, wait_s, maybe_paid
        self.for_all = for_all


class RefusedParameter(EndpointError):
    """The server named a parameter that it does not take."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(EndpointProblem.REFUSED, text)
        self.name = name


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One completion that is asked for. `sample` tells equal requests apart: each index is asked, and paid, once.

    `temperature` None leaves it to the server. `top_logprobs` (at most 20) counts with `logprobs` only. `extra` has
    further fields of the body.
    """

    messages: Sequence[Message]
    max_tokens: int
    temperature: float | None = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    sample: int = 0
    logprobs: bool = False
    top_logprobs: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


class Finish(StrEnum):
    """How a completion ended."""

    STOP = "stop"
    LENGTH = "length"
    """It was cut off at the largest number of tokens."""
    CONTENT_FILTER = "content_filter"


class Usage(StrEnum):
    """Where the token counts of a reply come from."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    """The server reported none: reckoned from the texts' lengths."""
    CORRECTED = "corrected"
    """What the server reported cannot be true of these texts: reckoned as well."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of a reply with its natural log-probability, and those of the likeliest tokens in its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ChatReply:
    """One completion. `text` is without reasoning blocks; they are in `reasoning`.

    `cost` is what it cost when it was asked (None without a price), `seconds` what it took; both are of then where it
    is `cached`. `left_out` names what the server did not take. `model` is what the server says that it ran.
    """

    text: str
    reasoning: str = ""
    finish: Finish = Finish.STOP
    prompt_tokens: int = 0
    completion_tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] | None = None
    cached: bool = False
    cost: float | None = None
    seconds: float = 0.0
    usage: Usage = Usage.REPORTED
    left_out: tuple[str, ...] = ()
    model: str = ""
    notes: tuple[str, ...] = ()
    """What is odd about it, for a person."""
    others: tuple[str, ...] = ()
    """The texts of further choices, where `extra` asked for more than one."""

    @property
    def first_logprobs(self) -> dict[str, float] | None:
        """Log-probabilities of the first token by text; None where the server gave none."""
        if not self.logprobs:
            return None
        first = self.logprobs[0]
        return dict(first.top) or {first.token: first.logprob}


# ---------------------------------------------------------------------- tokens that are not counted yet


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def usual_tokens(text: str) -> int:
    """About how many tokens a text has, as no tokenizer is at hand: one for four bytes."""
    return math.ceil(_size(text) / USUAL_BYTES)


def usual_prompt_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens a chat has, with what a chat template adds to each message."""
    return sum(usual_tokens(m["content"]) + WORST_PER_MESSAGE // 2 for m in messages)


def worst_prompt_tokens(messages: Sequence[Message], per_byte: float = WORST_TOKENS_PER_BYTE) -> int:
    """What a chat has at most, but for odd texts; `per_byte` is raised by what a server reports."""
    size = sum(_size(m["content"]) for m in messages)
    return math.ceil(size * per_byte) + WORST_PER_MESSAGE * len(messages) + WORST_PER_REQUEST


def seen_tokens_per_byte(messages: Sequence[Message], reported: int) -> float:
    """The `per_byte` under which `worst_prompt_tokens` is what a server reported."""
    size = sum(_size(m["content"]) for m in messages)
    return (reported - WORST_PER_MESSAGE * len(messages) - WORST_PER_REQUEST) / max(size, 1)


# ---------------------------------------------------------------------- what is sent


@dataclass(slots=True)
class Dialect:
    """What a server takes. Requests of one session share it, so that one refusal is enough."""

    max_tokens_name: str = MAX_TOKENS
    system_role: bool = True
    refused: set[str] = field(default_factory=set)
    """Parameters that it does not take."""

    def body(self, model: str, request: ChatRequest, extra: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The JSON body without `stream`, and what had to be left out."""
        messages = [{name: _whole(text) for name, text in m.items()} for m in request.messages]
        left_out: list[str] = []
        if not self.system_role and any(m["role"] == "system" for m in messages):
            messages = without_system(messages)
            left_out.append(SYSTEM_ROLE)
        wanted: dict[str, Any] = {
            "temperature": request.temperature,
            "top_p": None if request.top_p == 1.0 else request.top_p,
            "seed": request.seed,
            "stop": list(request.stop) or None,
            "logprobs": True if request.logprobs else None,
            "top_logprobs": min(request.top_logprobs, TOP_LOGPROBS) or None if request.logprobs else None,
            **extra,
            **request.extra,
        }
        body: dict[str, Any] = {"messages": messages, self.max_tokens_name: request.max_tokens}
        if model:
            body["model"] = model
        for name, value in wanted.items():
            if value is None:
                continue
            if name in self.refused:
                left_out.append(name)
            else:
                body[name] = value
        return body, left_out

    def learn(self, name: str) -> bool:
        """Take note that the server refuses what a body had; False where nothing can be done without it."""
        if name == SYSTEM_ROLE:
            self.system_role = False
        elif name in (MAX_TOKENS, MAX_COMPLETION_TOKENS):
            other = MAX_COMPLETION_TOKENS if name == MAX_TOKENS else MAX_TOKENS
            if other in self.refused:
                return False
            self.max_tokens_name = other
        self.refused.add(name)
        if name == "logprobs":
            self.refused.add("top_logprobs")
        return True


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The chat with its system messages put before the first message of the user."""
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    rest = [dict(m) for m in messages if m["role"] != "system"]
    for message in rest:
        if message["role"] == "user":
            message["content"] = f"{system}\n\n{message['content']}"
            return rest
    return [{"role": "user", "content": system}, *rest]


# ---------------------------------------------------------------------- what is refused


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """What the body of an error says."""

    text: str = ""
    code: str = ""
    parameter: str = ""


def read_error(content: bytes) -> ServerMessage:
    """The message, code and parameter of an error in any of the usual forms; empty for a page or anything else."""
    try:
        return error_of(_decoded(content))
    except ValueError:
        return ServerMessage()


def error_of(data: object) -> ServerMessage:
    """The same of decoded JSON."""
    if not isinstance(data, dict):
        return ServerMessage()
    found = data.get("error", data)
    if isinstance(found, str):
        return ServerMessage(_one_line(found))
    if not isinstance(found, dict):
        return ServerMessage()
    detail = found.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):  # of servers that check with pydantic
        place = detail[0].get("loc")
        name = str(place[-1]) if isinstance(place, list) and place else ""
        return ServerMessage(_one_line(detail[0].get("msg")), "", name)
    code = found.get("code") or found.get("type")
    return ServerMessage(
        _one_line(found.get("message") or detail),
        code if isinstance(code, str) else "",
        found["param"] if isinstance(found.get("param"), str) else "",
    )


def _one_line(text: object) -> str:
    if not isinstance(text, str):
        return ""
    plain = "".join(ch if ch.isprintable() else " " for ch in _whole(text))
    short = " ".join(plain.split())
    return short if len(short) <= MESSAGE_CHARS else short[: MESSAGE_CHARS - 1] + "…"


_SYSTEM = re.compile(r"\bsystem\b.{0,60}\b(?:role|message|prompt|instruction)|\brole\b.{0,40}\bsystem\b", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context[ _](?:length|window|size)|(?:exceed|maximum|too (?:long|many)).{0,60}(?:context|tokens)", re.IGNORECASE
)


def refused_parameter(message: ServerMessage, body: Mapping[str, Any]) -> str:
    """Which parameter of `body` an error is about; "" where it names none."""
    about_messages = not message.parameter or message.parameter.startswith("messages")
    if about_messages and _SYSTEM.search(message.text) and any(m["role"] == "system" for m in body["messages"]):
        return SYSTEM_ROLE
    names = [name for name in body if name not in ("messages", "model")]
    # The longest first: "max_tokens" is in "use max_completion_tokens instead of max_tokens" too, and the one that was
    # sent is the one that is refused.
    named = message.parameter.split(".")[0]
    if named in names:
        return named
    found = [n for n in names if re.search(rf"(?<!\w){re.escape(n)}(?!\w)", message.text)]
    return max(found, key=len, default="")


def explain_status(
    status: int, headers: Mapping[str, str], content: bytes, where: str, body: Mapping[str, Any], key_remedy: str
) -> EndpointError:
    """The error of an HTTP status, as a person reads it."""
    message = read_error(content)
    said = f": “{message.text}”" if message.text else ""
    wait_s = retry_after(headers)
    if 300 <= status < 400:
        text = f"{where} sends the request elsewhere (code {status}), and a key is for one server. Check the address."
        return EndpointError(EndpointProblem.REFUSED, text, for_all=True)
    if status == 429 and message.code in ("insufficient_quota", "billing_hard_limit_reached"):
        text = f"{where} says that the account has no credit left{said}. Add credit, or use another key."
        return EndpointError(EndpointProblem.REFUSED, text, for_all=True)
    if status in (408, 409, 425, 429) or (status >= 500 and status != 501):
        doing = "limits how often it is asked" if status == 429 else "is busy or has an error of its own"
        text = f"{where} answered with code {status}{said}. It {doing}; try again later."
        # A gateway may have lost a reply that was computed; 429 and 503 are sent instead of computing.
        paid = status not in (408, 425, 429, 503, 529)
        return EndpointError(EndpointProblem.BUSY, text, again=True, wait_s=wait_s, maybe_paid=paid)
    too_long = message.code == "context_length_exceeded" or bool(_TOO_LONG.search(message.text))
    if status == 413 or (status in (400, 422) and too_long):
        text = f"{where} says that the prompt and its reply are too long for the model{said}. Allow fewer tokens."
        return EndpointError(EndpointProblem.TOO_LONG, text)
    text = f"{where} refused the request with code {status}{said}. {_remedy(status, key_remedy)}"
    if status in (400, 422) and (name := refused_parameter(message, body)):
        return RefusedParameter(name, text)
    return EndpointError(EndpointProblem.REFUSED, text, for_all=status in (401, 402, 403, 404, 405, 501))


def _remedy(status: int, key_remedy: str) -> str:
    return {
        401: key_remedy,
        402: "Add credit to the account.",
        403: "Its key may not do this.",
        404: "Check the address, which usually ends with /v1, and the model's name.",
    }.get(status, "Check the address and the model's name.")


_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def read_duration(text: str) -> float | None:
    """Seconds of "1.5", "20ms", "6m0s"; None for anything else."""
    text = text.strip()
    if re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", text):
        return float(text)
    if re.fullmatch(rf"(?:{_SPAN.pattern}){{1,4}}", text):
        return sum(float(n) * _UNITS[unit] for n, unit in _SPAN.findall(text))
    return None


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait for: Retry-After in seconds or as a date, or its limit's reset; else 0."""
    if (found := read_duration(f"{headers.get('retry-after-ms', '')}ms")) is not None:
        return found
    text = headers.get("retry-after", "")
    if (found := read_duration(text)) is not None:
        return found
    if text:
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            pass
    return exhausted_for(headers)


def exhausted_for(headers: Mapping[str, str]) -> float:
    """Seconds until a server takes requests again, where its rate limit headers say that none is left; else 0."""
    waits = [0.0]
    for kind in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0":
            waits.append(read_duration(headers.get(f"x-ratelimit-reset-{kind}", "")) or 0.0)
    return max(waits)


# ---------------------------------------------------------------------- what is read


def read_reply(content: bytes, request: ChatRequest, left_out: Sequence[str] = ()) -> ChatReply:
    """The completion of a reply. Raises an `EndpointError` (unreadable) for anything that is not one."""
    try:
        data = _decoded(content)
    except ValueError:
        page = content[:200].lstrip()[:1] == b"<"
        what = "is a web page" if page else "cannot be read as a chat completion"
        raise _unreadable(f"The server's reply {what}. Check that the address ends with /v1.") from None
    if not isinstance(data, dict) or not isinstance(data.get("choices"), list):
        if isinstance(data, dict) and data.get("error"):
            said = error_of(data).text
            raise _unreadable(f"The server sent an error in place of a reply{f': “{said}”' if said else ''}.")
        raise _unreadable(
            "The server's reply cannot be read as a chat completion. Check that the address ends with /v1."
        )
    if not data["choices"]:
        raise _unreadable("The server's reply has no completion in it.")
    read = [_read_choice(choice) for choice in data["choices"]]
    return _finished(read, data.get("usage"), request, left_out, data.get("model"))


def _decoded(content: bytes | str) -> Any:
    """JSON, also with half a character in it, as servers write where a reply is cut off. Raises ValueError."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        try:
            return json.loads(content)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _whole(text: str) -> str:
    """Text with what is half a character replaced."""
    return text.encode("utf-8", "replace").decode()


def _unreadable(text: str) -> EndpointError:
    # It was a reply with code 200, so somebody computed something.
    return EndpointError(EndpointProblem.UNREADABLE, text, maybe_paid=True)


@dataclass(slots=True)
class _Choice:
    content: str = ""
    reasoning: str = ""
    finish: object = None
    logprobs: list[TokenLogprob] = field(default_factory=list)


def _read_choice(choice: object) -> _Choice:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise _unreadable("The server's reply cannot be read: a completion has no message.")
    content = _text(message.get("content"))
    if content is None:
        refusal = _text(message.get("refusal"))
        if refusal is None and not _reasoning(message) and message.get("tool_calls"):
            raise _unreadable("The model called a tool in place of writing an answer. Turn tools off on the server.")
        if refusal is None and "content" not in message and not _reasoning(message):
            raise _unreadable("The server's reply cannot be read: its message has no content.")
        content = refusal or ""
    return _Choice(content, _reasoning(message), choice.get("finish_reason"), read_logprobs(choice.get("logprobs")))


def _text(content: object) -> str | None:
    """Text as servers write it: a string, or a list of parts; None where there is none."""
    if isinstance(content, str):
        return _whole(content)
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return _whole("".join(part for part in parts if isinstance(part, str)))
    if content is not None:
        raise _unreadable("The server's reply cannot be read: its content is no text.")
    return None


def _reasoning(message: Mapping[str, Any]) -> str:
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str):
            return _whole(message[name])
    return ""


def read_logprobs(found: object) -> list[TokenLogprob]:
    """Log-probabilities in the form of this API; those that are no numbers, or above 0, are left out."""
    content = found.get("content") if isinstance(found, dict) else None
    read = []
    for entry in content if isinstance(content, list) else ():
        if (pair := _pair(entry)) is not None:
            tops = entry.get("top_logprobs")
            top = tuple(p for e in (tops if isinstance(tops, list) else ()) if (p := _pair(e)) is not None)
            read.append(TokenLogprob(*pair, top))
    return read


def _pair(entry: object) -> tuple[str, float] | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
        return None
    value = entry.get("logprob")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value > 0.01:
        return None
    return _whole(entry["token"]), min(0.0, float(value))


_FINISH = {"length": Finish.LENGTH, "max_tokens": Finish.LENGTH, "content_filter": Finish.CONTENT_FILTER}


def _finished(
    choices: Sequence[_Choice], usage: object, request: ChatRequest, left_out: Sequence[str], model: object
) -> ChatReply:
    """The reply of what was read, with tokens that can be true; they are of all choices together."""
    asked = sum(_size(m["content"]) for m in request.messages)
    prompt, prompt_usage, notes = _counted(usage, "prompt_tokens", asked, usual_prompt_tokens(request.messages))
    written = sum(_size(c.content) + _size(c.reasoning) for c in choices)
    # Log-probabilities are one a token, which nobody has to reckon.
    listed = sum(len(c.logprobs) for c in choices)
    usual = max(listed, math.ceil(written / USUAL_BYTES))
    completion, completion_usage, more = _counted(usage, "completion_tokens", written, usual)
    notes += more
    if completion > request.max_tokens * len(choices):
        notes.append(f"The server wrote more than the {request.max_tokens} tokens that were allowed.")
    first = choices[0]
    outside, inside = separate_reasoning(first.content)
    cut = first.finish is None and completion_usage is Usage.REPORTED and completion >= request.max_tokens
    return ChatReply(
        _until_stop(outside, request.stop if "stop" in left_out else ()),
        "\n".join(part for part in (first.reasoning, inside) if part),
        Finish.LENGTH if cut else _FINISH.get(str(first.finish), Finish.STOP),
        prompt,
        completion,
        tuple(first.logprobs) or None,
        usage=max(prompt_usage, completion_usage, key=list(Usage).index),
        left_out=tuple(left_out),
        model=_one_line(model),
        notes=tuple(notes),
        others=tuple(choice.content for choice in choices[1:]),
    )


def _until_stop(text: str, stop: Sequence[str]) -> str:
    ends = [place for mark in stop if mark and (place := text.find(mark)) >= 0]
    return text[: min(ends)] if ends else text


def _counted(usage: object, name: str, size: int, usual: int) -> tuple[int, Usage, list[str]]:
    """The larger of what the server reports and of what a text of `size` bytes has at least."""
    found = usage.get(name) if isinstance(usage, dict) else None
    if found is None:
        return usual, Usage.ESTIMATED, []
    what = name.replace("_", " ")
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MOST_TOKENS:
        return usual, Usage.CORRECTED, [f"The server reported {_one_line(repr(found))[:40]} {what}."]
    if found < size // LEAST_TOKENS_BYTES:
        note = f"The server reported {found} {what} for {size:,} bytes of text; {usual:,} are counted."
        return max(found, usual), Usage.CORRECTED, [note]
    notes = [f"The server reported {found:,} {what} for {size:,} bytes of text."] if found > 10 * size + 4096 else []
    return found, Usage.REPORTED, notes


@dataclass(slots=True)
class StreamReader:
    """Puts the lines of a streamed reply together."""

    request: ChatRequest
    left_out: Sequence[str] = ()
    done: bool = False
    _choice: _Choice = field(default_factory=_Choice)
    _usage: object = None
    _model: object = None

    def feed(self, line: str) -> str:
        """Read one line of the event stream; returns the text that it adds. Raises an `EndpointError`."""
        name, colon, value = line.partition(":")
        if name.strip() != "data" or not colon:
            return ""  # a comment, an empty line, or a field that this API does not use
        value = value.strip()
        if value == "[DONE]":
            self.done = True
            return ""
        try:
            data = _decoded(value)
        except ValueError:
            raise _unreadable("The server's stream cannot be read as a chat completion.") from None
        if not isinstance(data, dict):
            raise _unreadable("The server's stream cannot be read as a chat completion.")
        if data.get("error"):
            said = error_of(data).text
            raise _unreadable(f"The server broke off with an error{f': “{said}”' if said else ''}.")
        self._usage = data.get("usage") or self._usage
        self._model = data.get("model") or self._model
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        return self._add(choice) if isinstance(choice, dict) else ""

    def _add(self, choice: dict[str, Any]) -> str:
        delta = choice.get("delta")
        text = ""
        if isinstance(delta, dict):
            text = _text(delta.get("content")) or ""
            self._choice.content += text
            self._choice.reasoning += _reasoning(delta)
        self._choice.logprobs += read_logprobs(choice.get("logprobs"))
        if choice.get("finish_reason"):
            self._choice.finish, self.done = choice["finish_reason"], True
        return text

    def reply(self) -> ChatReply:
        """The whole completion. An `EndpointError` where the stream ended before it did."""
        if not self.done:
            text = "The connection ended before the reply did. See whether the server runs."
            raise EndpointError(EndpointProblem.UNREACHABLE, text, again=True, maybe_paid=True)
        return _finished([self._choice], self._usage, self.request, self.left_out, self._model)


def redacted(reply: ChatReply, secret: str) -> ChatReply:
    """The reply without the key, which a server may have sent back."""
    if not secret:
        return reply

    def clean(text: str) -> str:
        return text.replace(secret, "[key]")

    logprobs = None if reply.logprobs is None else tuple(
        TokenLogprob(clean(t.token), t.logprob, tuple((clean(w), value) for w, value in t.top)) for t in reply.logprobs
    )  # fmt: skip
    return replace(
        reply, text=clean(reply.text), reasoning=clean(reply.reasoning), model=clean(reply.model), logprobs=logprobs,
        notes=tuple(map(clean, reply.notes)), others=tuple(map(clean, reply.others)),
    )  # fmt: skip


def read_models(content: bytes) -> list[tuple[str, int | None]]:
    """The models that a server says it has, each with its context in tokens where that is said."""
    with suppress(ValueError):
        data = _decoded(content)
        listed = data.get("data") if isinstance(data, dict) else data
        if isinstance(listed, list):
            entries = [e for e in listed if isinstance(e, dict) and isinstance(e.get("id"), str)]
            return [(_one_line(e["id"]), _context(e)) for e in entries[:5000]]
    raise _unreadable("The server's list of models cannot be read. Check that the address ends with /v1.")


def _context(entry: Mapping[str, Any]) -> int | None:
    meta = entry["meta"] if isinstance(entry.get("meta"), dict) else {}
    named = [entry.get(n) for n in ("max_model_len", "context_length", "max_context_length", "context_window")]
    for value in (*named, meta.get("n_ctx"), meta.get("n_ctx_train")):
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_TOKENS:
            return value
    return None


def has_prompt_logprobs(content: bytes) -> bool:
    """Whether a reply of the older completions API, asked to echo, has log-probabilities of the prompt's tokens."""
    with suppress(ValueError, KeyError, IndexError, TypeError):
        found = _decoded(content)["choices"][0]["logprobs"]["token_logprobs"]
        return sum(isinstance(value, float) for value in found) >= 2
    return False
