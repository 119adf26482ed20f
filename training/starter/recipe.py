"""The starter's recipe: every number of it, and the examples made by it, as (prompt, completions) texts and tokens.

What the Reasoner is shown is the point of the recipe: it decides what the starter falls for. The first phase teaches it
to solve problems alone, and leaves it helpless before any other word in its prompt. The others teach it what a reader
knows: that neutral sentences say nothing, wherever they stand and whatever names and numbers are in them, and that a
fact of the story counts also where it stands behind the question. It is shown no sentence of the hint language in a
problem, a stranger's age apart: a model of this size that has seen the grammar is immune to all of it, and self-play
has nothing left to find. As the Adversary it is shown that language in the first and in the last phase. Seeded. No
torch.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from training.core.gates import check_hint
from training.core.hint_language import write_hint
from training.core.neutral_text import avoided, write_loose_sentence, write_sentence, write_strange_sentence
from training.core.other_words import OTHER_WORDS, write_in_other_words
from training.core.problems import NAMES, sample_problem
from training.core.prompts import adversary_messages, reasoner_messages
from training.core.question_parser import move_question
from training.core.types import HintType, Problem, Role, Split
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
class Phase:
    """The mixture of one part of the training and its schedule. Shares are of training examples."""

    steps: int
    batch: int
    """Examples a step."""
    learning_rate_matrices: float
    """Muon, for the two-dimensional weights inside the blocks."""
    learning_rate_rest: float
    """AdamW, for embeddings and norms."""
    adversary_share: float
    """Examples in which the model writes hints on request (training forms, all four types evenly)."""
    drill_share: float
    """Look-up drills, "Ines 14, Rosa 29, Omar 7." answered by "Rosa 29. Omar 7. Ines 14.": what a name stands for is
    most of what transfers need, and a story teaches it a few tokens at a time."""
    needed_share: float = 0.0
    """Of the problems, those whose question stands before the story's last sentence, where it can be moved."""
    neutral_share: float = 0.0
    """Of the problems, those with one to three neutral sentences somewhere in them, moved questions among them."""
    invented_share: float = 0.0
    """Of the neutral sentences' nouns and adjectives, those that are replaced by invented words."""
    strange_share: float = 0.0
    """Of the neutral sentences, those that are words in no order."""
    loose_share: float = 0.0
    """Of the other neutral sentences, those of single words and phrases in place of whole predicates."""
    short_share: float = 0.0
    """Of the transfer problems, those in which nothing is handed over: who is asked about is then most of what is to be
    learned. A question behind which neutral text stands is otherwise taken for one about the person named last."""
    other_words_share: float = 0.0
    """Of the problems of change, compare, rate and transfer, those in other words than the families': without them a
    model that has learned to pass over neutral text passes over every fact whose words it does not know."""
    warmup: int = 50
    decay_share: float = 0.4
    """Last share of the steps, in which the learning rate falls linearly to zero."""


@dataclass(frozen=True)
class Recipe:
    """Corpus and schedule of both phases."""

    seed: int = 2605
    phases: tuple[Phase, ...] = (
        Phase(2600, 128, 0.02, 3e-3, adversary_share=0.15, drill_share=0.08, warmup=100),
        Phase(
            150, 64, 0.01, 1.5e-3, adversary_share=0.0, drill_share=0.03, needed_share=0.3, neutral_share=0.6,
            invented_share=0.1, warmup=20, decay_share=0.0,
        ),
        Phase(
            450, 64, 0.01, 1.5e-3, adversary_share=0.33, drill_share=0.02, needed_share=0.35, neutral_share=0.6,
            invented_share=0.1, warmup=10, decay_share=0.6,
        ),
        Phase(
            240, 64, 0.01, 1.5e-3, adversary_share=0.33, drill_share=0.02, needed_share=0.35, neutral_share=0.65,
            invented_share=0.15, strange_share=0.3, warmup=10, decay_share=0.8,
        ),
        Phase(
            3150, 64, 0.012, 1.8e-3, adversary_share=0.25, drill_share=0.02, needed_share=0.3, neutral_share=0.75,
            invented_share=0.2, strange_share=0.15, loose_share=0.5, short_share=0.25, warmup=30, decay_share=0.76,
        ),
        Phase(
            1500, 64, 0.01, 1.5e-3, adversary_share=0.28, drill_share=0.02, needed_share=0.3, neutral_share=0.7,
            invented_share=0.2, strange_share=0.15, loose_share=0.5, short_share=0.2, other_words_share=0.4, warmup=30,
            decay_share=0.8,
        ),
    )  # fmt: skip
    """First problems alone, then reading, then reading and writing, then with words in no order too; at last the same
    for long, with sentences of loose parts and with short problems about who is asked for, and with stories in other
    words."""
    family_weights: dict[str, int] = field(
        default_factory=lambda: {
            "change": 3, "compare": 3, "rate": 2, "transfer": 5, "ordering": 4, "clock": 2, "calendar": 1,
        }
    )  # fmt: skip
    """How often each problem family is drawn; looking things up by name takes longest to learn."""
    hints_a_prompt: int = 3
    """Hints that are written for one prompt of the Adversary: they share the work on it."""
    checkpoint_every: int = 100
    tokenizer_examples: int = 30_000
    architecture: Architecture = field(default_factory=Architecture)


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt with the completions to learn for it; the texts carry their special tokens."""

    prompt: str
    completions: tuple[str, ...]
    role: Role


def render_prompt(messages: list[dict[str, str]]) -> str:
    """What the chat template makes of the one user message of the compact style, up to the assistant's turn."""
    return f"{USER}{messages[0]['content']}{ASSISTANT}"


def draw_example(rng: random.Random, recipe: Recipe, phase: Phase) -> Example:
    """One example of the phase's mixture."""
    if rng.random() < phase.drill_share:
        return draw_drill(rng)
    (family,) = rng.choices(list(recipe.family_weights), list(recipe.family_weights.values()))
    problem = sample_problem(rng, Split.TRAIN, (family,))
    if rng.random() < phase.adversary_share / (1 - phase.drill_share):
        return draw_hints(problem, rng, recipe.hints_a_prompt)
    text, solution = problem.question, problem.solution
    if phase.other_words_share and family in OTHER_WORDS and rng.random() < phase.other_words_share:
        text, solution = write_in_other_words(family, rng)
        if rng.random() < phase.needed_share:
            text = move_question(text) or text
    elif phase.short_share and family == "transfer" and rng.random() < phase.short_share:
        text, solution = shorten_transfer(problem)
    elif rng.random() < phase.needed_share:
        text = move_question(text) or text
    if rng.random() < phase.neutral_share:
        text = add_neutral(text, problem, rng, phase.invented_share, phase.strange_share, phase.loose_share)
    return Example(render_prompt(reasoner_messages(text, PROMPTS)), (solution + END,), Role.REASONER)


def shorten_transfer(problem: Problem) -> tuple[str, str]:
    """Question and solution of a problem of the family `transfer` with the transfers left out."""
    sentences, steps = SENTENCE_GAP.split(problem.question), problem.solution.split("\n")[0].split(". ")
    asked = steps[-1].split()[0]
    have = dict(pair.split() for pair in steps[0].split(", "))
    return f"{sentences[0]} {sentences[-1]}", f"{steps[0]}. {asked} {have[asked]}.\n#### {have[asked]}"


def draw_hints(problem: Problem, rng: random.Random, count: int) -> Example:
    """Hints of one type for a problem. The Adversary imitates only what the gates let through."""
    type_ = rng.choice(tuple(HintType))
    hints: list[str] = []
    while len(hints) < count:
        text = write_hint(problem, type_, rng, Split.TRAIN).text
        if check_hint(text, problem).passed:
            hints.append(text + END)
    messages = adversary_messages(problem.question, type_, PROMPTS)
    return Example(render_prompt(messages), tuple(hints), Role.ADVERSARY)


SENTENCE_GAP = re.compile(r"(?<=[.?]) ")


def add_neutral(
    text: str, problem: Problem, rng: random.Random, invented: float = 0.0, strange: float = 0.0, loose: float = 0.0
) -> str:
    """The text with one to three neutral sentences: behind it, before it, or between two of its sentences, in one block
    or scattered, so that the place of a sentence says nothing about what it is worth."""
    parts = SENTENCE_GAP.split(text)
    count = rng.choices((1, 2, 3), (5, 3, 2))[0]
    # A sentence of the text stands for itself, one that is added for its place.
    places = [_draw_place(len(parts), rng) for _ in range(count)]
    if rng.random() < 0.6:
        places = places[:1] * count
    avoid = avoided(problem)
    for place in sorted(places, reverse=True):
        if strange and rng.random() < strange:
            sentence = write_strange_sentence(rng, avoid)
        elif loose and rng.random() < loose:
            sentence = write_loose_sentence(rng, avoid, invented=invented)
        else:
            sentence = write_sentence(rng, Split.TRAIN, avoid=avoid, invented=invented)
        parts.insert(place, sentence)
    return " ".join(parts)


def _draw_place(sentences: int, rng: random.Random) -> int:
    draw = rng.random()
    if draw < 0.5:
        return sentences
    return 0 if draw < 0.65 else rng.randint(1, sentences)


def draw_drill(rng: random.Random) -> Example:
    """Names with numbers, to be repeated in another order."""
    pairs = [f"{name} {rng.randint(1, 99)}" for name in rng.sample(NAMES, rng.randint(2, 6))]
    asked = rng.choices(pairs, k=rng.randint(3, 8))
    prompt = render_prompt([{"role": "user", "content": f"Look up: {', '.join(pairs)}."}])
    return Example(prompt, (" ".join(f"{pair}." for pair in asked) + END,), Role.REASONER)


def stream_examples(seed: int, recipe: Recipe, phase: int = 0) -> Iterator[Example]:
    """Endless examples of a phase; the same seed gives the same stream."""
    rng = random.Random(seed)
    while True:
        yield draw_example(rng, recipe, recipe.phases[phase])


def draw_batch(step: int, recipe: Recipe, tokenizer: Any, phase: int = 0) -> list[tuple[list[int], list[int]]]:
    """The rows of one step of a phase as (token ids of the prompt, of the completion), longest first.

    They depend on the recipe's seed, the phase and the step alone, so a restart repeats nothing and skips nothing.
    """
    rng = random.Random(f"{recipe.seed}:{phase}:{step}")
    examples = [draw_example(rng, recipe, recipe.phases[phase]) for _ in range(recipe.phases[phase].batch)]
    pairs = [(e.prompt, completion) for e in examples for completion in e.completions]
    prompts, completions = (
        tokenizer.encode_batch(texts, add_special_tokens=False) for texts in zip(*pairs, strict=True)
    )
    rows = [(p.ids, c.ids) for p, c in zip(prompts, completions, strict=True)]
    return sorted(rows, key=lambda row: -len(row[0]) - len(row[1]))
