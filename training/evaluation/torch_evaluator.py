"""The torch side of an evaluation: its engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.core.prompts import Message, Sampling
from training.engine.base import Cancelled, SamplingParams
from training.engine.models import resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.evaluation.eval_dir import fingerprint
from training.evaluation.evaluator import NotSampled, Remote, Sampled, SampleSpec, run_part
from training.evaluation.plan import EvalPlan, Target, TargetKind
from training.runs.control import StopRequested, StopSignal


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


class TorchEngine:
    """The `EvalEngine` of this machine's torch. Its thread count is measured once an evaluation and kept."""

    remote: Remote | None = None

    def __init__(self, backend: LocalTorchBackend | None = None) -> None:
        self._backend = backend

    @property
    def backend(self) -> LocalTorchBackend:
        assert self._backend is not None
        return self._backend

    @property
    def special_texts(self) -> frozenset[str]:
        return self.backend.codec.special_texts()

    def identify(self, target: Target) -> str:
        return fingerprint(resolve_model(target.path))

    def open(self, target: Target, plan: EvalPlan, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        self.close()
        device = str(kept.get("device", plan.device))
        threads = int(kept.get("threads", plan.threads))
        self._backend = LocalTorchBackend(resolve_model(target.path), device=device, threads=threads)
        return {"device": device, "threads": self._backend.threads}

    def solve(self, chats: Sequence[list[Message]], spec: SampleSpec) -> list[list[Sampled | NotSampled]]:
        """One call of the sampler, so that a chunk is a batch of its own."""
        params = params_of(spec.max_tokens, spec.temperature, spec.seed, spec.sampling)
        try:
            found = sample_texts(
                self.backend, chats, spec.samples, params, variables=spec.variables, progress=spec.progress,
                cancelled=spec.cancelled,
            )  # fmt: skip
            return [[*completions] for completions in found]
        except Cancelled as error:
            raise StopRequested from error

    def close(self) -> None:
        self._backend = None


def evaluate_folder(
    root: Path, commands_from: int | None = None, stop_signal: StopSignal | None = None, *, last: bool = True
) -> str:
    """Do the work of torch models in the evaluation at `root`: "finished", "handover", "stopped" or "failed"; see
    `run_part`."""
    return run_part(
        root, (TargetKind.TORCH,), TorchEngine(), last=last, commands_from=commands_from, stop_signal=stop_signal
    )
