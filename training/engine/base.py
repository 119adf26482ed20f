"""The four verbs the loop speaks to a backend, and the values that pass between them. No torch here.

Log-probabilities are natural logarithms under the distribution that was sampled from, temperature included.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from training.core.chat_template import TemplateNote
from training.core.types import Aggregation

Tokens = Sequence[int]
Progress = Callable[[int, int], None]
"""Called with (sequences finished, sequences wanted)."""


class Cancelled(Exception):
    """Raised out of a verb when the `cancelled` callable answered True; the backend stays usable."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """`temperature` 0 is greedy. `seed` makes a call repeatable, whatever the batch order."""

    max_new_tokens: int
    temperature: float = 1.0
    seed: int = 0


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
    """`grad_norm` before clipping; `skipped` when it was not finite and no step was taken."""

    grad_norm: float
    skipped: bool


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
        """Text of a completion, special tokens left out."""

    def special_texts(self) -> frozenset[str]:
        """The written form of every special token (a gate refuses hints that contain one)."""


class Backend(Protocol):
    """What the loop needs of an engine: four verbs, and the codec that goes with the weights."""

    @property
    def codec(self) -> Codec:
        """The codec that goes with the weights."""

    def sample(
        self,
        prompts: Sequence[Tokens],
        n: int,
        params: SamplingParams,
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[list[Completion]]:
        """`n` completions for each prompt, in the order of the prompts."""

    def forward_backward(self, rows: Sequence[TrainRow], loss: LossParams) -> UpdateStats:
        """Add the gradient of the loss over `rows`; zero-advantage rows cost nothing unless `kl` > 0."""

    def optim_step(self) -> OptimStats:
        """Clip, step, and zero the gradient."""

    def save(self, path: Path) -> None:
        """Write weights, tokenizer and optimiser under `path`, all or nothing."""

    def load(self, path: Path) -> None:
        """Restore what `save` wrote; a damaged folder is a `UserError` and changes nothing."""
