"""`python -m training solve`: one problem, with or without a hint, answered by every checkpoint of a run in turn.

Reads one JSON request from standard input and writes one JSON line a checkpoint to standard output, as each is done:
what it answered, whether that is right, and the log-probability of the whole answer. A checkpoint that is missing or
damaged gets a line that says so, and the next one is tried. The same seed is used for each, so they differ by their
weights alone. Nothing is written to disk.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from training.core.answers import AnswerGrader
from training.core.prompts import Placement, PromptProfile, join_hint, reasoner_messages
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Problem
from training.engine.models import resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.errors import UserError
from training.evaluation.grader import grade
from training.evaluation.torch_evaluator import params_of
from training.prompt_files import COMPACT, built_in
from training.runs.files import decode


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What is asked of whom. `steps` are (step, folder); `hint` empty for the question alone."""

    problem: Problem
    steps: tuple[tuple[int, str], ...]
    hint: str = ""
    suggested: str | None = None
    placement: Placement = Placement.APPEND
    prompts: PromptProfile = field(default_factory=lambda: built_in(COMPACT))
    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 128
    device: str = "auto"
    threads: int = 0


def request_of(text: str) -> ReplayRequest:
    """Read a request; a UserError that names what is wrong with it."""
    return decode(text, ReplayRequest, "The request on standard input", "Write one JSON object with these fields.")


def replay(request: ReplayRequest, out: TextIO) -> None:
    """One line a checkpoint, flushed as it is done."""
    checker = SymbolicCheck() if request.problem.kind is AnswerKind.SYMBOLIC else None
    try:
        for line in _answers(request, AnswerGrader(checker) if checker else AnswerGrader()):
            print(json.dumps(line, ensure_ascii=False), file=out, flush=True)
    finally:
        if checker is not None:
            checker.close()


def _answers(request: ReplayRequest, grader: AnswerGrader) -> Iterator[dict[str, Any]]:
    question = request.problem.question
    text = join_hint(question, request.hint, request.placement) if request.hint else question
    chat = reasoner_messages(text, request.prompts)
    threads = request.threads
    for step, folder in request.steps:
        if not Path(folder).is_dir():
            yield {"step": step, "missing": f"The checkpoint of step {step} is not there ({folder})."}
            continue
        try:
            backend = LocalTorchBackend(resolve_model(folder), device=request.device, threads=threads)
            # Measured once: another count of threads may add up in another order.
            threads = backend.threads
            params = params_of(request.max_tokens, request.temperature, request.seed, request.prompts.sampling)
            params = replace(params, stop=(*params.stop, *backend.codec.stops))
            prompt = backend.codec.encode_chat(chat, request.prompts.template)
            ((completion,),) = backend.sample([prompt], 1, params)
        except UserError as error:
            yield {"step": step, "missing": str(error)}
            continue
        answer = backend.codec.completion_text(prompt, completion.tokens, params.stop)
        graded = grade(answer, request.problem, request.suggested, grader, completion.truncated)
        yield {
            "step": step, "outcome": str(graded.outcome), "text": answer, "answer": graded.answer,
            "follows": graded.follows, "logprob": sum(completion.logprobs), "tokens": len(completion.tokens),
            "truncated": completion.truncated,
        }  # fmt: skip
