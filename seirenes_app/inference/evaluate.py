"""`python -m seirenes_app.inference.evaluate DIR`: do an evaluation's GGUF targets through the worker, then become
`python -m training evaluate DIR` when torch targets are left."""

from __future__ import annotations

import argparse
import logging
import os
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
)
from seirenes_app.inference.models import describe_gguf
from seirenes_app.inference.protocol import Finish
from training.core.prompts import Message as Turn
from training.errors import UserError, exit_code
from training.evaluation.evaluator import Sampled, SampleSpec, run_part
from training.evaluation.plan import EvalPlan, Target, TargetKind
from training.runs.control import StopRequested, StopSignal


class WorkerEngine:
    """The `EvalEngine` of GGUF files."""

    def __init__(self) -> None:
        self._model: WorkerModel | None = None

    def locate(self, target: Target) -> Path:
        path = Path(target.path)
        describe_gguf(path)
        return path

    def open(self, target: Target, plan: EvalPlan, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        """Load a model in place of the last one."""
        self.close()
        self._model = WorkerModel(Path(target.path), threads=int(kept.get("threads", plan.threads)))
        return {"threads": self._model.threads}

    def solve(self, chats: Sequence[list[Turn]], spec: SampleSpec) -> list[list[Sampled]]:
        """One batch a worker, from an empty cache: the rows are the same whatever was solved before."""
        assert self._model is not None
        return solve_with(self._model, chats, spec)

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
        self._model = None


def solve_with(model: ModelClient, chats: Sequence[list[Turn]], spec: SampleSpec) -> list[list[Sampled]]:
    """The chunk of an evaluation, solved by a model. `StopRequested` where it is to stop."""
    asked = CompletionSpec(spec.samples, spec.max_tokens, spec.temperature, spec.seed, spec.sampling, spec.variables)
    try:
        found = model.complete(chats, asked, spec.progress, spec.cancelled)
    except Cancelled as error:
        raise StopRequested from error
    return [[_sampled(one) for one in of_chat] for of_chat in found]


def _sampled(found: Completion | CompletionError) -> Sampled:
    if isinstance(found, CompletionError):
        raise UserError(found.message)
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
    outcome = run_part(
        root, TargetKind.GGUF, WorkerEngine(), last=False, commands_from=commands_from, stop_signal=stop_signal
    )
    if outcome == "handover":
        sys.stderr.flush()
        command = [sys.executable, "-m", "training", "evaluate", str(root)]
        command += [] if commands_from is None else ["--commands-from", str(commands_from)]
        os.execv(sys.executable, command)
    return {"finished": 0, "stopped": 3}.get(outcome, 2)


if __name__ == "__main__":
    sys.exit(main())
