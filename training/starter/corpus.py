"""Make the starter's examples: (prompt, completion) texts and their tokens, seeded. No torch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from training.core.gates import check_hint
from training.core.hint_templates import write_hint
from training.core.problems import draw_names, sample_problem
from training.core.prompts import PromptStyle, adversary_messages, join_hint, reasoner_messages
from training.core.types import HintType, Role, Split
from training.starter.recipe import ASSISTANT, END, USER, Recipe


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
        messages = adversary_messages(problem.question, type_, PromptStyle.COMPACT)
        return Example(render_prompt(messages), hint.text + END, Role.ADVERSARY)
    draw -= recipe.adversary_share
    text = problem.question
    for type_, share in recipe.hint_shares.items() if hints else ():
        if draw < share:
            text = join_hint(text, write_hint(problem, type_, rng, Split.TRAIN).text)
            break
        draw -= share
    return Example(render_prompt(reasoner_messages(text, PromptStyle.COMPACT)), problem.solution + END, Role.REASONER)


def draw_drill(rng: random.Random) -> Example:
    """Names with numbers, to be repeated in another order."""
    pairs = [f"{name} {rng.randint(1, 99)}" for name in draw_names(rng, rng.randint(2, 6))]
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
