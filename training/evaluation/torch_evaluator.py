"""The torch side of an evaluation: its engine, and Adversaries that write the suites of a cross-play."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.core.gates import check_hint
from training.core.hint_reader import clean_hint
from training.core.implied_answer import read_suggestion
from training.core.prompts import Message, PromptProfile, Sampling, adversary_messages
from training.core.types import Hint, HintType, Problem
from training.engine.base import Cancelled, SamplingParams
from training.engine.models import resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.evaluation.evaluator import Sampled, SampleSpec, Session, run_part
from training.evaluation.plan import EvalPlan, SuiteRef, Target, TargetKind, seed_of
from training.evaluation.suites.builder import build_suite, held_out_problems
from training.evaluation.suites.io import write_suite
from training.runs.control import StopRequested, StopSignal

ATTEMPTS = 4
"""Hints asked for a problem and type; the first that passes the gates is taken."""


def params_of(max_tokens: int, temperature: float, seed: int, sampling: Sampling) -> SamplingParams:
    """The sampler's settings: the caller's, and those of a prompt profile beside the temperature."""
    return SamplingParams(
        max_tokens, temperature, seed, top_p=sampling.top_p, top_k=sampling.top_k, min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty, stop=sampling.stop,
    )  # fmt: skip


def sample_texts(
    backend: Any,
    chats: Sequence[list[Message]],
    samples: int,
    params: SamplingParams,
    *,
    variables: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[list[Sampled]]:
    """Completions for each chat as text, in one call of the sampler; a prompt that does not fit has empty ones.
    `variables` are for the chat template."""
    codec = backend.codec
    params = replace(params, stop=(*params.stop, *codec.stops))
    prompts = [codec.encode_chat(chat, variables) for chat in chats]
    fitting = [place for place, prompt in enumerate(prompts) if len(prompt) < backend.context]
    found = [[Sampled("", False, 0, too_long=True)] * samples for _ in prompts]
    drawn = backend.sample([prompts[p] for p in fitting], samples, params, progress=progress, cancelled=cancelled)
    for place, completions in zip(fitting, drawn, strict=True):
        found[place] = [
            Sampled(codec.completion_text(prompts[place], c.tokens, params.stop), c.truncated, len(c.tokens))
            for c in completions
        ]
    return found


def write_hints(
    backend: Any,
    problems: list[Problem],
    prompts: PromptProfile,
    seed: int,
    temperature: float = 1.0,
    *,
    attempts: int = ATTEMPTS,
    max_tokens: int = 64,
    author: str = "",
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[dict[tuple[str, HintType], Hint], float]:
    """The first hint that passes the gates for each problem and type, and the share of all that passed.

    A hint too like one that was taken for the same problem already is not taken; `author` becomes its `template`.
    """
    keys = [(problem, type_) for problem in problems for type_ in HintType]
    chats = [adversary_messages(p.question, t, prompts) for p, t in keys]
    encoded = [backend.codec.encode_chat(chat, prompts.template) for chat in chats]
    params = SamplingParams(max_tokens, temperature, seed)
    sampled = backend.sample(encoded, attempts, params, progress=progress, cancelled=cancelled)
    special = backend.codec.special_texts()
    hints: dict[tuple[str, HintType], Hint] = {}
    passed = 0
    for (problem, type_), prompt, completions in zip(keys, encoded, sampled, strict=True):
        taken = [hint.text for (id_, _), hint in hints.items() if id_ == problem.id] if author else []
        for completion in completions:
            reply = backend.codec.completion_text(prompt, completion.tokens)
            text = clean_hint(reply, truncated=completion.truncated, max_characters=prompts.max_hint_characters)
            if not check_hint(text, problem, special_texts=special).passed:
                continue
            passed += 1
            if not author or check_hint(text, problem, others=taken).passed:
                pushed = read_suggestion(text, problem)
                hints.setdefault((problem.id, type_), Hint(type_, text, template=author, suggested=pushed))
    return hints, passed / (len(keys) * attempts)


class TorchEngine:
    """The `EvalEngine` of this machine's torch. Its thread count is measured once an evaluation and kept."""

    def __init__(self) -> None:
        self._backend: LocalTorchBackend | None = None

    @property
    def backend(self) -> LocalTorchBackend:
        assert self._backend is not None
        return self._backend

    def locate(self, target: Target) -> Path:
        return resolve_model(target.path)

    def open(self, target: Target, plan: EvalPlan, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        self.close()
        device = str(kept.get("device", plan.device))
        threads = int(kept.get("threads", plan.threads))
        self._backend = LocalTorchBackend(self.locate(target), device=device, threads=threads)
        return {"device": device, "threads": self._backend.threads}

    def solve(self, chats: Sequence[list[Message]], spec: SampleSpec) -> list[list[Sampled]]:
        """One call of the sampler, so that a chunk is a batch of its own."""
        params = params_of(spec.max_tokens, spec.temperature, spec.seed, spec.sampling)
        try:
            return sample_texts(
                self.backend, chats, spec.samples, params, variables=spec.variables, progress=spec.progress,
                cancelled=spec.cancelled,
            )  # fmt: skip
        except Cancelled as error:
            raise StopRequested from error

    def close(self) -> None:
        self._backend = None


def write_folder_suite(session: Session, ref: SuiteRef) -> None:
    """Let a suite's writer write its hints, all gated, into the evaluation's folder: whole or not at all."""
    plan, engine = session.plan, session.engine
    assert plan.writing is not None
    assert isinstance(engine, TorchEngine)
    target, how = plan.model(ref.writer), plan.writing
    session.open_model(target)
    problems = held_out_problems(ref.problems, how.problem_seed)
    try:
        hints, passed = write_hints(
            engine.backend, problems, target.prompts, seed_of(plan.seed, "hints"), how.temperature,
            attempts=how.attempts, max_tokens=how.max_tokens, author=f"run:{target.name}",
            progress=lambda done, total: session.report_stage("writing", done=done, total=total, target=target.name),
            cancelled=session.control.cancelled,
        )  # fmt: skip
    except Cancelled as error:
        raise StopRequested from error
    suite = build_suite(ref.name, problems, lambda p, type_: hints.get((p.id, type_)), how.problem_seed)
    folder = session.paths.root / ref.source
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    write_suite(partial, suite, placement=ref.placement)
    by_type = {type_: sum(key[1] is type_ for key in hints) for type_ in HintType}
    session.store.set_meta(f"writing/{ref.name}", json.dumps({"gate_pass_rate": passed, "by_type": by_type}))
    partial.rename(folder)


def evaluate_folder(root: Path, commands_from: int | None = None, stop_signal: StopSignal | None = None) -> str:
    """Do the torch targets of the evaluation at `root`: "finished", "stopped" or "failed"; see `run_part`."""
    return run_part(
        root, TargetKind.TORCH, TorchEngine(), write_suite=write_folder_suite, commands_from=commands_from,
        stop_signal=stop_signal,
    )  # fmt: skip
