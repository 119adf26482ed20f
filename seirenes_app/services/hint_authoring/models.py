"""Which model a choice means, how it is prompted, and what it is shown in each condition."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from seirenes_app.inference.model_client import endpoint_kind
from seirenes_app.inference.models import bundled_model
from seirenes_app.inference.protocol import LoadRequest, Message, SampleRequest
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, SolvePlan, SolverChoice
from seirenes_app.services.models.facts import describe_model, profile_of, read_files
from training.core.neutral_text import write_placebo
from training.core.prompts import Message as Turn
from training.core.prompts import (
    ModelKind,
    PromptProfile,
    TokenLimits,
    adversary_messages,
    join_hint,
    reasoner_messages,
)
from training.core.question_parser import move_question
from training.core.types import Condition, HintType, Problem
from training.endpoints import CostEstimate, estimate, find_endpoint, names_endpoint, usual_prompt_tokens
from training.errors import UserError
from training.model_names import locate_gguf, parse_hub_id
from training.prompt_files import COMPACT, NEUTRAL, built_in
from training.runs.files import expanded

USUAL_SHARE = 0.5
"""Of the longest reply, what one usually takes; nothing was measured."""
MAX_HINT_TOKENS = 96
"""Of a reply of the Adversary, where its model and prompts suggest no more."""


def model_path(choice: SolverChoice) -> Path:
    """The GGUF of a choice, a file or a hub id. Raises a `UserError` when it is not on this machine."""
    if not choice.model:
        return bundled_model()
    return locate_gguf(choice.model)


def author_of(choice: SolverChoice) -> str:
    """What names a choice's model as the author of a hint."""
    if names_endpoint(choice.model):
        return find_endpoint(choice.model).title
    return model_path(choice).stem


def file_name(choice: SolverChoice) -> str:
    """The name of a choice's model file; of an endpoint its address and model."""
    return find_endpoint(choice.model).key if names_endpoint(choice.model) else model_path(choice).name


def profile_for(choice: SolverChoice) -> PromptProfile:
    """The choice's own profile; else compact for the bundled model and what was trained from it, neutral for others."""
    if choice.prompts is not None:
        return choice.prompts
    if not choice.model:
        return built_in(COMPACT)
    if names_endpoint(choice.model):
        return built_in(NEUTRAL)
    try:
        return profile_of(read_files(model_path(choice)))
    except UserError:
        # Loading it says what is wrong, better than here.
        return built_in(NEUTRAL)


def limits_for(choice: SolverChoice) -> TokenLimits:
    """The token limits that suit the choice's model and prompts. Reads the model's header."""
    kind = ModelKind.COMPACT
    if choice.model:
        with suppress(UserError):
            served = names_endpoint(choice.model)
            kind = endpoint_kind(choice.model) if served else describe_model(model_path(choice)).kind
    found = profile_for(choice).limits_for(kind)
    usual = SolvePlan()
    return TokenLimits(max(usual.max_tokens, found.solution), max(MAX_HINT_TOKENS, found.hint))


def _adapter_path(name: str) -> Path:
    path = expanded(name)
    if not os.path.lexists(path) and parse_hub_id(name) is not None:
        return locate_gguf(name)
    if not path.is_file():
        raise UserError(f"{path}: there is no such adapter file. Choose another one, or none.")
    return path.absolute()


def load_request(choice: SolverChoice) -> LoadRequest:
    """The choice's model and adapter, as the worker loads them; an endpoint's name as its model. Raises a `UserError`
    when a file or an endpoint is not there."""
    if names_endpoint(choice.model):
        return LoadRequest(model=find_endpoint(choice.model).argument)
    lora = _adapter_path(choice.lora) if choice.lora else None
    return LoadRequest(model=str(model_path(choice)), n_ctx=choice.n_ctx, lora=str(lora) if lora else None)


def solve_messages(choice: SolverChoice, text: str) -> tuple[Message, ...]:
    return _as_chat(reasoner_messages(text, profile_for(choice)))


def solve_request(draft: Draft, text: str, n: int) -> SampleRequest:
    """`n` solutions of a text by the draft's plan."""
    plan = draft.plan
    return SampleRequest(
        messages=solve_messages(draft.solver, text), n=n, max_tokens=plan.max_tokens, temperature=plan.temperature,
        seed=plan.seed, **sampling_of(profile_for(draft.solver)),
    )  # fmt: skip


def sampling_of(profile: PromptProfile) -> dict[str, Any]:
    """The fields of a `SampleRequest` that a profile sets, beside messages, temperature and limit."""
    found = {f.name: getattr(profile.sampling, f.name) for f in fields(profile.sampling) if f.name != "temperature"}
    return found | {"template_variables": dict(profile.template)}


def hint_messages(choice: SolverChoice, question: str, type_: HintType) -> tuple[Message, ...]:
    return _as_chat(adversary_messages(question, type_, profile_for(choice)))


def _as_chat(turns: list[Turn]) -> tuple[Message, ...]:
    return tuple(Message(turn["role"], turn["content"]) for turn in turns)


PLACEBOS = 4  # placebo texts that the solutions are spread over: a single one may happen to mislead


def condition_texts(draft: Draft, problem: Problem, hint: DraftHint | None) -> dict[Condition, tuple[str, ...]]:
    """The texts of `asked_conditions`: one each, several for the placebo. Raises a `UserError` for a hint without
    text."""
    question, plan = problem.question, draft.plan
    texts: dict[Condition, tuple[str, ...]] = {}
    for condition in asked_conditions(plan, question, hinted=hint is not None):
        match condition:
            case Condition.CLEAN:
                texts[condition] = (question,)
            case Condition.NEEDED:
                texts[condition] = (move_question(question) or question,)
            case _ if hint is not None:
                text = hint.text.strip()
                if not text:
                    raise UserError("The hint is empty. Write one, or solve the question alone.")
                added: tuple[str, ...] = (text,)
                if condition is Condition.PLACEBO:
                    added = placebos_of(text, problem, plan.seed, min(PLACEBOS, planned_samples(plan)))
                texts[condition] = tuple(join_hint(question, t, draft.placement) for t in added)
    return texts


ONCE = (Condition.CLEAN, Condition.NEEDED)
"""Conditions that do not depend on the hint: they are asked once for all hints of a problem."""


def asked_conditions(plan: SolvePlan, question: str, *, hinted: bool) -> tuple[Condition, ...]:
    """The conditions that a plan asks under, in the order in which they are shown. Needed text is left out where the
    question cannot be moved; without a hint there is neither a hinted condition nor a placebo."""
    asked = [Condition.CLEAN]
    if hinted:
        asked += [Condition.HINTED] + [Condition.PLACEBO] * plan.placebo
    if plan.needed and can_move(question):
        asked.append(Condition.NEEDED)
    return tuple(asked)


def can_move(question: str) -> bool:
    """Whether the question can stand before the story's last sentence, so that text after it is needed."""
    return move_question(question.strip()) is not None


def planned_solutions(plan: SolvePlan, question: str, n_hints: int) -> int:
    """How many solutions solving under `n_hints` hints takes; what is the same for all of them counts once."""
    asked = asked_conditions(plan, question, hinted=n_hints > 0)
    once = sum(condition in ONCE for condition in asked)
    return planned_samples(plan) * (once + max(1, n_hints) * (len(asked) - once))


def placebo_of(hint: str, problem: Problem, seed: int) -> str:
    """Neutral text of the hint's length in words; the same for the same seed, length and problem."""
    return placebos_of(hint, problem, seed, 1)[0]


def placebos_of(hint: str, problem: Problem, seed: int, n: int) -> tuple[str, ...]:
    """Up to `n` different neutral texts of about the hint's length; there may be fewer for a very short hint."""
    words, found = len(hint.split()), dict[str, None]()
    for attempt in range(4 * n):
        found[write_placebo(words, random.Random(f"{seed}:placebo" + f":{attempt}" * (attempt > 0)), problem)] = None
        if len(found) == n:
            break
    return tuple(found)


def shares(planned: int, texts: int) -> list[int]:
    """`planned` solutions dealt out over `texts` as evenly as can be, the first ones first."""
    return [planned // texts + (i < planned % texts) for i in range(texts)]


def craft_cost(draft: Draft, choice: SolverChoice, replies: int, longest: int) -> CostEstimate:
    """What so many replies of an endpoint take. Raises a `UserError` where there is no such endpoint."""
    hint = draft.chosen_hint.text if draft.chosen_hint is not None else ""
    messages = reasoner_messages(f"{draft.problem.question} {hint}", profile_for(choice))
    endpoint = find_endpoint(choice.model)
    return estimate(endpoint, replies, usual_prompt_tokens(messages), longest, USUAL_SHARE * longest)


def planned_samples(plan: SolvePlan) -> int:
    """How many solutions a condition has. Greedy ones are all the same, so there is one."""
    return 1 if plan.temperature == 0 else plan.samples
