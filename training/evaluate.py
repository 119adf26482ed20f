"""Evaluate one model: on the frozen suite, or against the hints that another model's Adversary writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.core.answers import Verifier
from training.core.gates import judge_hint
from training.core.prompts import PromptStyle, adversary_messages
from training.core.types import Hint, PerturbationType, Problem
from training.engine.base import SamplingParams
from training.engine.models import resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.evaluation.rows import run_suite, save_rows
from training.evaluation.suite import Suite, build_suite, frozen_suite, held_out_problems
from training.evaluation.tables import summarise
from training.runner import solve_greedily

ATTEMPTS = 4
"""Hints asked for a problem and type; the first that passes the gates is taken."""


@dataclass(frozen=True)
class EvaluationRequest:
    """What is evaluated on what. `hints_from` None means the frozen suite's templates."""

    model: str = "starter"
    problems: int = 500
    seed: int = 2605
    hints_from: str | None = None
    prompt_style: str = "compact"
    max_new_tokens: int = 128
    device: str = "auto"
    threads: int = 0
    rows: Path | None = None


def evaluate_model(request: EvaluationRequest, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Figures of the evaluation, JSON-able: the summary of `tables.summarise` with suite and model."""
    style = PromptStyle(request.prompt_style)
    suite, writing = make_suite(request, style)
    backend = open_model(request.model, request)
    rows = run_suite(
        suite,
        lambda chats: solve_greedily(backend, chats, request.max_new_tokens, progress=progress),
        style,
        Verifier(),
    )
    if request.rows is not None:
        save_rows(rows, request.rows)
    return {
        "model": request.model,
        "suite": suite.name,
        "suite_hash": suite.digest(),
        "problems": len(suite.items),
        "hints_from": request.hints_from,
        "writing": writing,
        "metrics": summarise(rows),
    }


def open_model(path: str, request: EvaluationRequest) -> LocalTorchBackend:
    """A backend for sampling only."""
    return LocalTorchBackend(resolve_model(path), device=request.device, threads=request.threads)


def make_suite(request: EvaluationRequest, style: PromptStyle) -> tuple[Suite, dict[str, Any] | None]:
    """The suite of the request, and how the Adversary did if one wrote the hints."""
    if request.hints_from is None:
        return frozen_suite(request.problems, request.seed), None
    problems = held_out_problems(request.problems, request.seed)
    writer = open_model(request.hints_from, request)
    hints, passed = write_hints(writer, problems, style, request.seed)
    name = f"adversary-{Path(request.hints_from).name}-{request.seed}-{request.problems}"
    suite = build_suite(name, problems, lambda problem, type_: hints.get((problem.id, type_)), request.seed)
    return suite, {"gate_pass_rate": passed, "by_type": {t: sum(k[1] is t for k in hints) for t in PerturbationType}}


def write_hints(
    backend: Any, problems: list[Problem], style: PromptStyle, seed: int, temperature: float = 1.0
) -> tuple[dict[tuple[str, PerturbationType], Hint], float]:
    """The first hint that passes the gates for each problem and type, and the share of all that passed."""
    keys = [(problem, type_) for problem in problems for type_ in PerturbationType]
    prompts = [backend.codec.encode_chat(adversary_messages(p.question, t, style)) for p, t in keys]
    sampled = backend.sample(prompts, ATTEMPTS, SamplingParams(64, temperature, seed))
    special = backend.codec.special_texts()
    hints: dict[tuple[str, PerturbationType], Hint] = {}
    passed = 0
    for (problem, type_), completions in zip(keys, sampled, strict=True):
        for completion in completions:
            text = backend.codec.decode(completion.tokens).strip()
            if not judge_hint(text, problem, special_texts=special).passed:
                continue
            passed += 1
            hints.setdefault((problem.id, type_), Hint(type_, text))
    return hints, passed / (len(keys) * ATTEMPTS)
