"""What the worker and its client say to each other: one JSON object a line, requests one way, events the other.

A line is `{"v": 1, "type": "sample", "id": 7, …}`: `v` is the protocol's version, `type` names a class below, `id` is
the client's number of the request, and events carry the `id` of the request that they answer (0: none). Readers skip
fields that they do not know, fill in the defaults of fields that are missing, and refuse another `v`.

Order of events: every request is answered by `Started` when its turn comes, then

| request | events |
|---|---|
| `LoadRequest` | `Loading`…, `Ready` |
| `SampleRequest` | `Chunk` and `SampleDone` mixed, one `SampleDone` a sample, `Done` |
| `ScoreRequest` | `ScoreResult` |
| `CountRequest` | `Counted` |
| `LoraRequest` | `LoraSet` |
| `CancelRequest`, `QuitRequest` | none of their own; never queued |

or, at any point, by one `Error` that ends it. Nothing here does I/O. It refuses values that no request may have, with a
`ProtocolError` that says which.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from seirenes_app.inference.json_codec import ProtocolError, build

VERSION = 1
MAX_SAMPLES = 256
MAX_ALTERNATIVES = 50
_SEED_LIMIT = 2**63


class Finish(StrEnum):
    """Why a sample ended."""

    STOP = "stop"
    """The model's own end token, or a stop string."""
    LENGTH = "length"
    """`max_tokens`, or the end of the context."""
    CANCELLED = "cancelled"
    """A `CancelRequest`; the text so far is kept."""


class ErrorKind(StrEnum):
    """What went wrong, for a program; `Error.words` is for a person."""

    BAD_REQUEST = "bad_request"
    """The request cannot be read, or has a value that it may not have."""
    BAD_MODEL = "bad_model"
    """The model's file is missing, damaged, or not one that can be used."""
    BAD_LORA = "bad_lora"
    """The adapter's file is missing, damaged, or made for another model."""
    NO_MODEL = "no_model"
    """No model is loaded."""
    TOO_LONG = "too_long"
    """The prompt, or prompt and completion, do not fit in the context."""
    CANCELLED = "cancelled"
    """Cancelled before there was a result."""
    FAILED = "failed"
    """llama.cpp refused in mid-work, or the worker has a bug."""
    CRASHED = "crashed"
    """The process died. Made by the client."""
    CLOSED = "closed"
    """The client is closed, or stays down after crashes. Made by the client."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Load a GGUF in place of what is loaded, which is gone even when this fails.

    `n_ctx` is the longest prompt and completion of one sample in tokens; 0 takes the model's own, at most 4096.
    `threads` 0 takes one less than the physical cores.
    """

    model: str
    n_ctx: int = 0
    threads: int = 0
    lora: str | None = None
    lora_scale: float = 1.0
    id: int = 0

    def __post_init__(self) -> None:
        _demand(bool(self.model), "a load needs the path of a model")
        _demand(self.n_ctx >= 0, f"n_ctx is {self.n_ctx}; it must be 0 or more")
        _demand(0 <= self.threads <= 512, f"threads is {self.threads}; it must be 0 to 512")


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """Draw `n` completions of one prompt: `messages` (the model's chat template is applied) or plain `prompt` text.

    Sample `i` is drawn with its own random stream, made from (`seed`, `i`), so it does not depend on `n` beyond the
    last bits of floating point. `temperature` 0 is greedy. With `logprobs` each `SampleDone` lists them a token.
    `ignore_end` forbids the end tokens, so that every sample is `max_tokens` long: for timing.
    """

    messages: tuple[Message, ...] = ()
    prompt: str = ""
    n: int = 1
    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    ignore_end: bool = False
    id: int = 0

    def __post_init__(self) -> None:
        _demand_one_prompt(self.messages, self.prompt)
        _demand(1 <= self.n <= MAX_SAMPLES, f"n is {self.n}; it must be 1 to {MAX_SAMPLES}")
        _demand(self.max_tokens >= 1, f"max_tokens is {self.max_tokens}; it must be 1 or more")
        _demand(0 <= self.temperature <= 100, f"temperature is {self.temperature}; it must be 0 to 100")
        _demand(0 < self.top_p <= 1, f"top_p is {self.top_p}; it must be above 0 and at most 1")
        _demand(0 <= self.seed < _SEED_LIMIT, f"seed is {self.seed}; it must be 0 to 2^63 - 1")
        _demand(all(self.stop), "a stop string is empty")


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """The log-probability of each token of `completion` after a prompt, with the `top_k` likeliest tokens there.

    The completion is tokenised by itself, so its tokens are the same after every prompt.
    """

    messages: tuple[Message, ...] = ()
    prompt: str = ""
    completion: str = ""
    top_k: int = 0
    id: int = 0

    def __post_init__(self) -> None:
        _demand_one_prompt(self.messages, self.prompt)
        _demand(bool(self.completion), "there is no completion to score")
        _demand(0 <= self.top_k <= MAX_ALTERNATIVES, f"top_k is {self.top_k}; it must be 0 to {MAX_ALTERNATIVES}")


@dataclass(frozen=True, slots=True)
class CountRequest:
    """How many tokens a prompt has, and with `pieces` the text of each."""

    messages: tuple[Message, ...] = ()
    prompt: str = ""
    pieces: bool = False
    id: int = 0

    def __post_init__(self) -> None:
        _demand_one_prompt(self.messages, self.prompt)


@dataclass(frozen=True, slots=True)
class LoraRequest:
    """Put a LoRA adapter on the loaded model in place of the one that is on; None takes it off."""

    lora: str | None = None
    scale: float = 1.0
    id: int = 0


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """End request `target` early, whether it is running or waiting."""

    target: int
    id: int = 0


@dataclass(frozen=True, slots=True)
class QuitRequest:
    """End the process at once, whatever it is doing."""

    id: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """The request's turn has come."""

    id: int = 0


@dataclass(frozen=True, slots=True)
class Loading:
    """How much of the model is read: 0 to 1."""

    progress: float
    id: int = 0


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The loaded model. Sizes in bytes, lengths in tokens."""

    path: str
    name: str
    architecture: str
    n_params: int
    size_bytes: int
    n_ctx_train: int
    n_ctx: int
    n_vocab: int
    threads: int
    has_chat_template: bool
    template_note: str = ""
    """What happens to `messages` when the file has no usable template; empty when it has."""
    lora: str | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded."""

    facts: ModelFacts
    id: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """More text of sample `index`: whole characters, and never a part of a stop string."""

    index: int
    text: str
    id: int = 0


@dataclass(frozen=True, slots=True)
class SampleDone:
    """Sample `index` is complete.

    `text` is all of its chunks together. `tokens` counts what was drawn without the end token. Log-probabilities are
    natural, of the model's own distribution: before temperature and top-p, which is what `ScoreResult` gives too.
    """

    index: int
    text: str
    tokens: int
    logprob_sum: float
    logprob_mean: float
    finish: Finish
    logprobs: tuple[float, ...] | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """All samples are complete. `generated_tokens` includes end tokens; `seconds` is from the request's turn."""

    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    prompt_s: float
    seconds: float
    cancelled: bool = False
    id: int = 0


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that could have stood there."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenScore:
    """One token of a completion.

    `byte_start`, `byte_end` cut `ScoreResult.text` in UTF-8; `char_start`, `char_end` are the characters that those
    bytes touch, so the parts of a character split over tokens have the same span.
    """

    text: str
    byte_start: int
    byte_end: int
    char_start: int
    char_end: int
    logprob: float
    top: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """The scored completion. `text` is what its tokens spell: the completion, except where a tokenizer rewrites it."""

    text: str
    tokens: tuple[TokenScore, ...]
    logprob_sum: float
    prompt_tokens: int
    seconds: float
    id: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """The length of a prompt in tokens, special tokens included."""

    count: int
    pieces: tuple[str, ...] = ()
    id: int = 0


@dataclass(frozen=True, slots=True)
class LoraSet:
    """The adapter that is on now."""

    lora: str | None
    scale: float
    id: int = 0


@dataclass(frozen=True, slots=True)
class Error:
    """The end of a request that did not work: what happened, and what to do about it."""

    kind: ErrorKind
    words: str
    remedy: str = ""
    id: int = 0

    @property
    def sentence(self) -> str:
        """Words and remedy together, as a person reads them."""
        return f"{self.words} {self.remedy}".strip()


Request = LoadRequest | SampleRequest | ScoreRequest | CountRequest | LoraRequest | CancelRequest | QuitRequest
Event = Started | Loading | Ready | Chunk | SampleDone | Done | ScoreResult | Counted | LoraSet | Error

_REQUESTS: dict[str, type[Any]] = {
    "load": LoadRequest, "sample": SampleRequest, "score": ScoreRequest, "count": CountRequest, "lora": LoraRequest,
    "cancel": CancelRequest, "quit": QuitRequest,
}  # fmt: skip
_EVENTS: dict[str, type[Any]] = {
    "started": Started, "loading": Loading, "ready": Ready, "chunk": Chunk, "sample_done": SampleDone, "done": Done,
    "score_result": ScoreResult, "counted": Counted, "lora_set": LoraSet, "error": Error,
}  # fmt: skip
_NAMES = {kind: name for kinds in (_REQUESTS, _EVENTS) for name, kind in kinds.items()}


def encode(message: Request | Event) -> str:
    """One line with its newline, in ASCII. Raises ValueError on a number that is not finite."""
    head = {"v": VERSION, "type": _NAMES[type(message)]}
    return json.dumps(head | dataclasses.asdict(message), allow_nan=False, separators=(",", ":")) + "\n"


def decode_request(line: str | bytes) -> Request:
    """Read a request. Raises a `ProtocolError` that says what is wrong."""
    request: Request = _decode(line, _REQUESTS)
    return request


def decode_event(line: str | bytes) -> Event:
    """Read an event. Raises a `ProtocolError` that says what is wrong."""
    event: Event = _decode(line, _EVENTS)
    return event


def _decode(line: str | bytes, kinds: dict[str, type[Any]]) -> Any:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"A line is not JSON ({error}).") from error
    if not isinstance(data, dict):
        raise ProtocolError("A line holds no JSON object.")
    if data.get("v") != VERSION:
        raise ProtocolError(f"A message has protocol version {data.get('v')!r}; this side speaks {VERSION}.")
    name = data.get("type")
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ProtocolError(f"A message has the type {name!r}, which is none of {', '.join(kinds)}.")
    return build(kind, data, str(name))


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ProtocolError(f"The request cannot be used: {otherwise}.")


def _demand_one_prompt(messages: tuple[Message, ...], prompt: str) -> None:
    _demand(bool(messages) != bool(prompt), "it needs either messages or a prompt")
