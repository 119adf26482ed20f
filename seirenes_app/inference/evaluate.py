"""`python -m seirenes_app.inference.evaluate DIR`: the work of an evaluation's GGUF files and endpoints.

Where torch is needed for the rest, or first, it becomes `python -m training evaluate DIR`, which becomes it again."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seirenes_app.inference.model_client import (
    Cancelled,
    Completion,
    CompletionError,
    CompletionSpec,
    ModelClient,
    WorkerModel,
    fingerprint_of,
)
from seirenes_app.inference.protocol import Finish
from training.core.prompts import Message as Turn
from training.errors import exit_code
from training.evaluation.evaluator import NotSampled, Sampled, SampleSpec, run_part
from training.evaluation.plan import EvalPlan, Target, TargetKind
from training.runs.control import StopRequested, StopSignal
from training.runs.processes import become_process

MODULE = "seirenes_app.inference.evaluate"
KINDS = (TargetKind.GGUF, TargetKind.ENDPOINT)


class ClientEngine:
    """The `EvalEngine` of what a `ModelClient` runs: GGUF files."""

    special_texts: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._model: ModelClient | None = None

    @property
    def spent(self) -> Mapping[str, Any] | None:
        return None

    def identify(self, target: Target) -> str:
        return fingerprint_of(target.path)

    def open(self, target: Target, plan: EvalPlan, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        """Load a model in place of the last one."""
        self.close()
        model = WorkerModel(Path(target.path), threads=int(kept.get("threads", plan.threads)))
        self._model = model
        return {"threads": model.threads}

    def solve(self, chats: Sequence[list[Turn]], spec: SampleSpec) -> list[list[Sampled | NotSampled]]:
        """The completions of a chunk; a worker's are the same whatever was solved before."""
        assert self._model is not None
        asked = CompletionSpec(
            spec.samples, spec.max_tokens, spec.temperature, spec.seed, spec.sampling, spec.variables
        )
        try:
            found = self._model.complete(chats, asked, spec.progress, spec.cancelled)
        except Cancelled as error:
            raise StopRequested from error
        return [[_sampled(one) for one in of_chat] for of_chat in found]

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
        self._model = None


def _sampled(found: Completion | CompletionError) -> Sampled | NotSampled:
    if isinstance(found, CompletionError):
        return NotSampled(found.message, found.lasting)
    return Sampled(found.text, found.truncated, found.tokens, found.finish is Finish.TOO_LONG)


def main(arguments: list[str] | None = None) -> int:
    """0 finished, 3 stopped on request, 2 a mistake of the user, 1 a bug."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, metavar="DIR")
    parser.add_argument("--commands-from", type=int, metavar="BYTES", help="see training evaluate")
    options = parser.parse_args(arguments)
    stop_signal = StopSignal().install()
    return exit_code(lambda: _do(options.root, options.commands_from, stop_signal))


def _do(root: Path, commands_from: int | None, stop_signal: StopSignal) -> int:
    outcome = run_part(root, KINDS, ClientEngine(), last=False, commands_from=commands_from, stop_signal=stop_signal)
    if outcome == "handover":
        become_process(["training", "evaluate", "--handover", MODULE], root, commands_from)
    return {"finished": 0, "stopped": 3}.get(outcome, 2)


if __name__ == "__main__":
    sys.exit(main())
