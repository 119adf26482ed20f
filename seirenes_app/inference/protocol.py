"""The messages between the worker and its client: one JSON object a line, requests one way, events the other.

A line is `{"type": "SampleRequest", "id": 7, …}`: `type` names a class below, `id` is the client's number of the
request, and an event carries the `id` of the request that it answers (0: none). Both sides are of the same version.

Every request is answered by `Started` when its turn comes, then

| request | events |
|---|---|
| `LoadRequest` | `Loading`…, `Ready` |
| `SampleRequest` | `Chunk` and `SampleDone` mixed, one `SampleDone` a sample, `Done` |
| `BatchRequest` | `SampleDone` and `Progress` mixed, one `SampleDone` a sample, `Done` |
| `ScoreRequest` | `ScoreResult` |
| `RenderRequest` | `Rendered` |
| `LoraRequest` | `LoraSet` |
| `CancelRequest`, `QuitRequest` | none of their own; never queued |

or, at any point, by one `Error` that ends it. No I/O. A request with a value that it may not have is a `ProtocolError`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from training.errors import UserError

T = TypeVar("T")

SMALL_PARAMS = 10_000_000
"""Below so many parameters a model is decoded with fewer rows and threads: more cost more than they save."""
MAX_SAMPLES = 256
MAX_ALTERNATIVES = 50


class ProtocolError(UserError):
    """A message that cannot be read, or a value that no request may have."""


class Finish(StrEnum):
    STOP = "stop"  # the model's own end token, or a stop string
    LENGTH = "length"  # `max_tokens`, or the end of the context
    CANCELLED = "cancelled"  # a `CancelRequest`; the text so far is kept
    TOO_LONG = "too_long"  # of a batch: the prompt does not fit in the context, and nothing was drawn
    FILTERED = "filtered"  # of an endpoint: its content filter withheld the text


class ErrorKind(StrEnum):
    """What went wrong, for a program; `Error.message` is for a person."""

    BAD_REQUEST = "bad_request"
    BAD_MODEL = "bad_model"  # the model's file is missing, damaged, or not one that can be used
    CHANGED = "changed"  # the model's file is not the one that was loaded any more
    BAD_LORA = "bad_lora"
    NO_MODEL = "no_model"
    TOO_LONG = "too_long"  # the prompt, or prompt and completion, do not fit in the context
    CANCELLED = "cancelled"
    FAILED = "failed"  # llama.cpp failed during the work, or the worker has a bug
    CRASHED = "crashed"  # made by the client
    CLOSED = "closed"  # the client is closed, or stays down after crashes. Made by the client.


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    content: str


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    id: int = 0


class LoadRequest(_Message, frozen=True):
    """Load a GGUF in place of the loaded one, which is gone even on failure. `n_ctx` (tokens of one sample) 0: the
    model's own, at most 4096. `threads` 0: one less than the physical cores."""

    model: str
    n_ctx: int = 0
    threads: int = 0
    lora: str | None = None
    lora_scale: float = 1.0

    def __post_init__(self) -> None:
        _check(bool(self.model), "a load needs the path of a model")
        _check(self.n_ctx >= 0, f"n_ctx is {self.n_ctx}; it must be 0 or more")
        _check(0 <= self.threads <= 512, f"threads is {self.threads}; it must be 0 to 512")


class SampleRequest(_Message, frozen=True):
    """Draw `n` completions of `messages` (by the chat template) or of a plain `prompt`. Sample `i` has its own random
    stream of (`seed`, `i`), whatever `n`. `temperature` 0 is greedy. `logprobs`: each `SampleDone` lists them.
    `template_variables` go to the chat template (`enable_thinking`, …); None leaves one to the template's default. What
    `top_k`, `top_p`, `min_p` and `repetition_penalty` do, and in what order: see `sampling`."""

    messages: tuple[Message, ...] = ()
    prompt: str = ""
    n: int = 1
    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    template_variables: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _check_prompt(self.messages, self.prompt)
        _check(1 <= self.n <= MAX_SAMPLES, f"n is {self.n}; it must be 1 to {MAX_SAMPLES}")
        _check(self.max_tokens >= 1, f"max_tokens is {self.max_tokens}; it must be 1 or more")
        _check(0 <= self.temperature <= 100, f"temperature is {self.temperature}; it must be 0 to 100")
        _check(0 < self.top_p <= 1, f"top_p is {self.top_p}; it must be above 0 and at most 1")
        _check(self.top_k >= 0, f"top_k is {self.top_k}; it must be 0 (all tokens) or more")
        _check(0 <= self.min_p <= 1, f"min_p is {self.min_p}; it must be 0 to 1")
        penalty = self.repetition_penalty
        _check(0 < penalty <= 10, f"repetition_penalty is {penalty}; it must be above 0 and at most 10")
        _check(0 <= self.seed < 2**63, f"seed is {self.seed}; it must be 0 to 2^63 - 1")
        _check(all(self.stop), "a stop string is empty")


class BatchRequest(_Message, frozen=True):
    """Draw the samples of many `requests` together. They differ in prompt, `n` and `seed` alone.

    Samples are numbered through all requests in their order, and their text is not streamed. Log-probabilities are 0
    unless `logprobs` asks for them. A prompt that does not
    fit ends its samples as `Finish.TOO_LONG`; the others go on. Equal batches have equal results on one machine; beside
    other prompts rounding differs, so a near tie between two tokens may fall the other way. `exact`: one sample at a
    time, each as if it were the only one, and as `seirenes serve` computes it.
    """

    requests: tuple[SampleRequest, ...]
    exact: bool = False

    def __post_init__(self) -> None:
        _check(bool(self.requests), "a batch needs at least one request")
        first, *others = (msgspec.structs.replace(r, id=0, messages=(), prompt="-", n=1, seed=0) for r in self.requests)
        _check(all(r == first for r in others), "the requests of a batch differ in more than prompt, n and seed")


class ScoreRequest(_Message, frozen=True):
    """Log-probabilities of `completion`, tokenised by itself, after a prompt, with the `top_k` likeliest tokens
    there."""

    messages: tuple[Message, ...] = ()
    prompt: str = ""
    completion: str = ""
    top_k: int = 0
    template_variables: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _check_prompt(self.messages, self.prompt)
        _check(bool(self.completion), "there is no completion to score")
        _check(0 <= self.top_k <= MAX_ALTERNATIVES, f"top_k is {self.top_k}; it must be 0 to {MAX_ALTERNATIVES}")


class RenderRequest(_Message, frozen=True):
    """Write `messages` by the chat template; no model runs."""

    messages: tuple[Message, ...]
    template_variables: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _check(bool(self.messages), "it needs messages")


class LoraRequest(_Message, frozen=True):
    """Put a LoRA adapter on the loaded model in place of the one that is on; None takes it off."""

    lora: str | None = None
    scale: float = 1.0


class CancelRequest(_Message, frozen=True):
    """End request `target` early, whether it is running or waiting."""

    target: int


class QuitRequest(_Message, frozen=True):
    """End the process at once, whatever it is doing."""


class Started(_Message, frozen=True):
    """The request's turn has come."""


class Loading(_Message, frozen=True):
    """How much of the model is read: 0 to 1."""

    progress: float


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
    template_note: str = ""  # what is used instead of a chat template that cannot be used; empty when all is well
    lora: str | None = None


class Ready(_Message, frozen=True):
    """The model is loaded."""

    facts: ModelFacts


class Chunk(_Message, frozen=True):
    """More text of sample `index`: whole characters, no part of a stop string. The sample has `tokens` so far."""

    index: int
    text: str
    tokens: int = 0


class SampleDone(_Message, frozen=True):
    """Sample `index` is complete. `tokens` counts without the end token. Log-probabilities are natural, of the model's
    own distribution: before penalty, temperature and cuts."""

    index: int
    text: str
    tokens: int
    logprob_sum: float
    logprob_mean: float
    finish: Finish
    logprobs: tuple[float, ...] | None = None


class Progress(_Message, frozen=True):
    """How far a batch is: samples that are complete, and tokens of all samples so far, complete or not."""

    samples: int
    tokens: int


class Done(_Message, frozen=True):
    """All samples are complete. `generated_tokens` includes end tokens; `seconds` is from the request's turn.
    `prompt_tokens` are of all prompts that fit, `cached_tokens` those of them that were not computed again."""

    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    prompt_s: float
    seconds: float
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Alternative:
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenScore:
    """One token: its span in `ScoreResult.text` in UTF-8 bytes, and the characters that those bytes touch."""

    text: str
    byte_start: int
    byte_end: int
    char_start: int
    char_end: int
    logprob: float
    top: tuple[Alternative, ...] = ()


class ScoreResult(_Message, frozen=True):
    """The scored completion. `text` is what its tokens spell: the completion, except where a tokenizer rewrites it."""

    text: str
    tokens: tuple[TokenScore, ...]
    logprob_sum: float
    prompt_tokens: int
    seconds: float
    token_ids: tuple[int, ...] = ()


class Rendered(_Message, frozen=True):
    """A prompt as the model gets it, up to where it begins to write. `note`: what is used instead of a template that
    cannot be used, empty when all is well. `content_spans`: where the messages' own texts stand, in characters."""

    text: str
    n_tokens: int
    note: str
    content_spans: tuple[tuple[int, int], ...]


class LoraSet(_Message, frozen=True):
    """The adapter that is on now."""

    lora: str | None
    scale: float


class Error(_Message, frozen=True):
    """The end of a request that failed: what happened, and what to do about it."""

    kind: ErrorKind
    message: str
    remedy: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.message} {self.remedy}".strip()


WorkRequest = LoadRequest | SampleRequest | BatchRequest | ScoreRequest | RenderRequest | LoraRequest
Request = WorkRequest | CancelRequest | QuitRequest
Event = Started | Loading | Ready | Chunk | SampleDone | Progress | Done | ScoreResult | Rendered | LoraSet | Error

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode(message: Request | Event) -> bytes:
    """One line with its newline. Text that is not Unicode (a lone surrogate) becomes "?"."""
    try:
        return _encoder.encode(message) + b"\n"
    except UnicodeEncodeError:
        plain = json.dumps(msgspec.to_builtins(message), ensure_ascii=False)
        return plain.encode("utf-8", "replace") + b"\n"


def decode_request(line: str | bytes) -> Request:
    """Read a request. Raises a `ProtocolError` that says what is wrong."""
    return _decode(_requests, line)


def decode_event(line: str | bytes) -> Event:
    return _decode(_events, line)


def _decode(decoder: msgspec.json.Decoder[T], line: str | bytes) -> T:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"A message cannot be read: {error}.") from error


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ProtocolError(f"The request cannot be used: {otherwise}.")


def _check_prompt(messages: tuple[Message, ...], prompt: str) -> None:
    _check(bool(messages) != bool(prompt), "it needs either messages or a prompt")
