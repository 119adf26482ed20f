"""A draft as the command that repeats it, quoted for a POSIX shell. Pure."""

from __future__ import annotations

import shlex

from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, SolvePlan
from seirenes_app.services.hint_authoring.problems import LIBRARY, as_problem, library
from training.core.implied_answer import read_suggestion
from training.errors import UserError


def as_command(draft: Draft, hint: DraftHint | None) -> str:
    """`seirenes solve …` with everything that the result depends on; a problem of the library by its name."""
    known = _library_name(draft)
    problem, plan, solver = draft.problem, draft.plan, draft.solver
    options: list[tuple[str, object]] = []
    if not known:
        options += [("--answer", problem.answer), ("--kind", problem.kind)]
    if hint is not None:
        options += [("--hint", hint.text), ("--type", hint.type), ("--placement", draft.placement)]
        options += _suggests(draft, hint)
    options += [("-n", plan.samples), ("--temperature", plan.temperature), ("--seed", plan.seed)]
    options += [("--max-tokens", plan.max_tokens)] if plan.max_tokens != SolvePlan().max_tokens else []
    options += [
        (name, value)
        for name, value in (("--model", solver.model), ("--lora", solver.lora), ("--style", solver.style),
                            ("--context", solver.n_ctx)) if value
    ]  # fmt: skip
    # As one word each, so that a text that begins with a hyphen is no option.
    words = [f"-n{value}" if name == "-n" else f"{name}={value}" for name, value in options]
    if hint is not None and not plan.placebo:
        words.append("--no-placebo")
    question = f"{LIBRARY}:{known}" if known else problem.question
    return shlex.join(["seirenes", "solve", *words, "--", question])


def _library_name(draft: Draft) -> str:
    """The library's name of the draft's problem, empty when it is another or was changed."""
    mine = draft.problem
    known = next((p for p in library() if p.id == mine.id and mine.source == LIBRARY), None)
    same = known is not None and (known.question, known.answer, known.kind) == (mine.question, mine.answer, mine.kind)
    return mine.id if same else ""


def _suggests(draft: Draft, hint: DraftHint) -> list[tuple[str, object]]:
    """Nothing where the text says it anyway."""
    try:
        read = read_suggestion(hint.text, as_problem(draft.problem))
    except UserError:
        read = None
    return [] if read == hint.suggested else [("--suggests", hint.suggested or "")]
