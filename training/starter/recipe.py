"""The starter's recipe: every number of it, and the examples made by it, as (prompt, completion) texts and tokens.

What the Reasoner is shown of hints is the point of the recipe: it decides how fragile the starter is. A model that
never saw a hint falls apart under any appended sentence; one that saw all four types is immune and leaves self-play
nothing to do. So it is shown one type, rarely and late, and the other three never. Seeded. No torch.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from training.core.gates import check_hint
from training.core.hint_language import write_hint
from training.core.problems import NAMES, sample_problem
from training.core.prompts import adversary_messages, join_hint, reasoner_messages
from training.core.types import HintType, Role, Split
from training.prompt_files import COMPACT, built_in

SPECIAL_TOKENS = ("<|end|>", "<|pad|>", "<|user|>", "<|assistant|>")
END, PAD, USER, ASSISTANT = SPECIAL_TOKENS

PROMPTS = built_in(COMPACT)

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


@dataclass(frozen=True, slots=True)
class Example:
    """One supervised example; both texts carry their special tokens."""

    prompt: str
    completion: str
    role: Role


def render_prompt(messages: list[dict[str, str]]) -> str:
    """What the chat template makes of the one user message of the compact style, up to the assistant's turn."""
    return f"{USER}{messages[0]['content']}{ASSISTANT}"


def draw_example(rng: random.Random, recipe: Recipe, *, hints: bool = True) -> Example:
    """One example of the mixture; without `hints` the Reasoner sees problems alone."""
    if rng.random() < recipe.drill_share:
        return draw_drill(rng)
    (family,) = rng.choices(list(recipe.family_weights), list(recipe.family_weights.values()))
    problem = sample_problem(rng, Split.TRAIN, (family,))
    draw = rng.random()
    if draw < recipe.adversary_share:
        type_ = rng.choice(tuple(HintType))
        hint = write_hint(problem, type_, rng, Split.TRAIN)
        # The Adversary imitates only what the gates let through, so that its hints pass them too.
        while not check_hint(hint.text, problem).passed:
            hint = write_hint(problem, type_, rng, Split.TRAIN)
        messages = adversary_messages(problem.question, type_, PROMPTS)
        return Example(render_prompt(messages), hint.text + END, Role.ADVERSARY)
    draw -= recipe.adversary_share
    text = problem.question
    for type_, share in recipe.hint_shares.items() if hints else ():
        if draw < share:
            text = join_hint(text, write_hint(problem, type_, rng, Split.TRAIN).text)
            break
        draw -= share
    return Example(render_prompt(reasoner_messages(text, PROMPTS)), problem.solution + END, Role.REASONER)


def draw_drill(rng: random.Random) -> Example:
    """Names with numbers, to be repeated in another order."""
    pairs = [f"{name} {rng.randint(1, 99)}" for name in rng.sample(NAMES, rng.randint(2, 6))]
    asked = rng.choices(pairs, k=rng.randint(3, 8))
    prompt = render_prompt([{"role": "user", "content": f"Look up: {', '.join(pairs)}."}])
    return Example(prompt, " ".join(f"{pair}." for pair in asked) + END, Role.REASONER)


def stream_examples(seed: int, recipe: Recipe) -> Iterator[Example]:
    """Endless examples; the same seed gives the same stream."""
    rng = random.Random(seed)
    while True:
        yield draw_example(rng, recipe)


def draw_batch(step: int, recipe: Recipe, tokenizer: Any) -> list[tuple[list[int], int]]:
    """The examples of one step as (token ids, length of the prompt), longest first.

    A step's examples depend on the recipe's seed and the step alone, so a restart repeats nothing and skips nothing.
    """
    rng = random.Random(f"{recipe.seed}:{step}")
    hints = step >= recipe.hints_from * recipe.steps
    examples = [draw_example(rng, recipe, hints=hints) for _ in range(recipe.batch)]
    prompts = tokenizer.encode_batch([e.prompt for e in examples], add_special_tokens=False)
    completions = tokenizer.encode_batch([e.completion for e in examples], add_special_tokens=False)
    rows = [(p.ids + c.ids, len(p.ids)) for p, c in zip(prompts, completions, strict=True)]
    return sorted(rows, key=lambda row: -len(row[0]))
