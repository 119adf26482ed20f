"""The four verbs the loop speaks to a backend, and the values that pass between them. No torch here.

Log-probabilities are natural logarithms under the model's distribution at the temperature that was sampled with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from training.core.chat_template import TemplateNote
from training.core.types import Aggregation
from training.errors import UserError

Tokens = Sequence[int]
REPETITION_WINDOW = 64
Progress = Callable[[int, int], None]
"""Called with (sequences finished, sequences wanted)."""


class Cancelled(Exception):
    """Raised out of a verb when the `cancelled` callable answered True; the backend stays usable."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """`temperature` 0 is greedy. `seed` makes a call repeatable, whatever the batch order.

    The settings act in this order, and are defined as those of the llama.cpp worker: repetition penalty (over the
    newest `REPETITION_WINDOW` tokens of prompt and completion), temperature, `top_k` (0: all), `top_p`, `min_p`. Tokens
    that are as likely as the last one kept stay. Training samples with temperature alone, as its log-probabilities
    must be those of the distribution that was sampled. A completion ends with the token that completes one of `stop`.
    """

    max_new_tokens: int
    temperature: float = 1.0
    seed: int = 0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for holds, text in (
            (self.temperature >= 0, f"temperature is {self.temperature}; it must be 0 or more"),
            (0 < self.top_p <= 1, f"top_p is {self.top_p}; it must be above 0 and at most 1"),
            (self.top_k >= 0, f"top_k is {self.top_k}; it must be 0 (all tokens) or more"),
            (0 <= self.min_p <= 1, f"min_p is {self.min_p}; it must be 0 to 1"),
            (0 < self.repetition_penalty <= 10,
             f"repetition_penalty is {self.repetition_penalty}; it must be above 0 and at most 10"),
            (all(self.stop), "a stop string is empty"),
        ):  # fmt: skip
            if not holds:
                raise UserError(f"The sampling settings cannot be used: {text}.")

    @property
    def plain(self) -> bool:
        """Whether tokens are drawn from the model's own distribution, temperature aside."""
        return (self.top_p, self.top_k, self.min_p, self.repetition_penalty) == (1.0, 0, 0.0, 1.0)


def until_stop(text: str, stops: Sequence[str]) -> str:
    """The text before the first of the stop strings."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]


@dataclass(frozen=True, slots=True)
class Completion:
    """Sampled tokens, the end token included if one was sampled; `logprobs` has the same length."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    truncated: bool
    entropy: float
    """Mean entropy of the sampled distributions, in nats a token."""


@dataclass(frozen=True, slots=True)
class TrainRow:
    """One completion to learn from. `logprobs` are the sampler's, one a completion token."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    logprobs: tuple[float, ...]
    advantage: float
    weight: float = 1.0
    """The role's loss weight."""
    clip_low: float = 0.2
    clip_high: float = 0.28


@dataclass(frozen=True, slots=True)
class LossParams:
    """What the loss needs beside the rows; `kl` is the weight of the k3 estimate to the reference."""

    aggregation: Aggregation = Aggregation.TOKEN
    kl: float = 0.0
    temperature: float = 1.0
    max_tokens: int = 0
    on_policy: bool = True
    """True: the rows came from the current weights, so the trainer's own log-probabilities stand in for the
    sampler's in the ratio (ratio 1, gradient of the plain policy gradient) and their difference is only reported."""


@dataclass(frozen=True, slots=True)
class UpdateStats:
    """Figures of one `forward_backward`; gaps are |trainer − sampler| of log-probabilities a token."""

    loss: float
    rows: int
    tokens: int
    clip_fraction: float
    kl: float
    logprob_gap_mean: float
    logprob_gap_max: float


@dataclass(frozen=True, slots=True)
class OptimStats:
    """`grad_norm` before clipping, NaN where the engine does not know it; `skipped` when it was not finite and no step
    was taken. `updates`: the figures of each `forward_backward` since the last step, in their order, of an engine that
    computes them with the step; empty where `forward_backward` has returned them."""

    grad_norm: float
    skipped: bool
    updates: tuple[UpdateStats, ...] = ()


class Codec(Protocol):
    """Text in, tokens out, for one model."""

    @property
    def note(self) -> TemplateNote:
        """What is used instead of a chat template that cannot be used."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end a turn where the prompt's form has no end token."""

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any] | None = None
    ) -> tuple[int, ...]:
        """Token ids of the messages with the opening of the assistant's turn; special tokens in them stay text.
        `variables` are for the chat template."""

    def decode(self, tokens: Tokens) -> str:
        """Text of tokens; of the special ones only those that open or close a reasoning block."""

    def completion_text(self, prompt: Tokens, completion: Tokens, stops: Sequence[str] = ()) -> str:
        """Text of a completion up to a stop string; it begins with the reasoning tag that the prompt ends with."""

    def special_texts(self) -> frozenset[str]:
        """The written form of every special token (a gate refuses hints that contain one)."""


class Backend(Protocol):
    """What the loop needs of an engine: four verbs, and the codec that goes with the weights."""

    @property
    def codec(self) -> Codec:
        """The codec that goes with the weights."""

    @property
    def context(self) -> int:
        """The most tokens that a prompt and its completion may have together."""

    def sample(
        self,
        prompts: Sequence[Tokens],
        n: int | Sequence[int],
        params: SamplingParams | Sequence[SamplingParams],
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[list[Completion]]:
        """`n` completions for each prompt, in the order of the prompts. `n` and `params` are those of all, or one a
        prompt; `params` that differ in more than length and seed are a ValueError."""

    def forward_backward(self, rows: Sequence[TrainRow], loss: LossParams) -> UpdateStats:
        """Add the gradient of the loss over `rows`; zero-advantage rows cost nothing unless `kl` > 0."""

    def optim_step(self) -> OptimStats:
        """Clip, step, and zero the gradient."""

    def save(self, path: Path) -> None:
        """Write weights, tokenizer and optimiser under `path`, all or nothing."""

    def load(self, path: Path) -> None:
        """Restore what `save` wrote; a damaged folder is a `UserError` and changes nothing."""
