"""Every number of the starter's recipe in one place. Values only.

What the Reasoner is shown of hints is the point of the recipe: it decides how fragile the starter is. A model that
never saw a hint falls apart under any appended sentence; one that saw all four types is immune and leaves self-play
nothing to do. So it is shown one type,
rarely and late, and the other three never.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from training.core.types import HintType

SPECIAL_TOKENS = ("<|end|>", "<|pad|>", "<|user|>", "<|assistant|>")
END, PAD, USER, ASSISTANT = SPECIAL_TOKENS

CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}<|assistant|>{{ m['content'] }}<|end|>"
    "{% else %}<|user|>{{ m['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Architecture:
    """A Qwen3 decoder, small enough that two CPU cores sample thousands of tokens a second."""

    vocabulary: int = 1536
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    key_value_heads: int = 3
    head_dim: int = 32
    feed_forward: int = 576
    context: int = 512


@dataclass(frozen=True)
class Recipe:
    """Corpus mixture and schedule. Shares are of training examples."""

    seed: int = 2605
    steps: int = 2600
    batch: int = 128
    """Examples a step."""
    family_weights: dict[str, int] = field(
        default_factory=lambda: {
            "change": 3, "compare": 3, "rate": 2, "transfer": 5, "ordering": 4, "clock": 2, "calendar": 1,
        }
    )  # fmt: skip
    """How often each problem family is drawn; looking things up by name takes longest to learn."""
    adversary_share: float = 0.15
    """Examples in which the model writes a hint on request (training templates, all four types evenly)."""
    drill_share: float = 0.08
    """Look-up drills, "Ines 14, Rosa 29, Omar 7." answered by "Rosa 29. Omar 7. Ines 14.": what a name stands for is
    most of what transfers need, and a story teaches it a few tokens at a time."""
    hint_shares: dict[HintType, float] = field(default_factory=lambda: {HintType.INFORMATION_OVERLOAD: 0.02})
    """Examples in which the Reasoner solves a problem with a hint of that type appended, in the last steps only."""
    hints_from: float = 0.95
    """Share of the steps after which those examples begin: shown for longer, one type makes it immune to all."""
    learning_rate_matrices: float = 0.02
    """Muon, for the two-dimensional weights inside the blocks."""
    learning_rate_rest: float = 3e-3
    """AdamW, for embeddings and norms."""
    warmup: int = 100
    decay_share: float = 0.4
    """Last share of the steps, in which the learning rate falls linearly to zero."""
    checkpoint_every: int = 250
    tokenizer_examples: int = 30_000
    architecture: Architecture = field(default_factory=Architecture)
