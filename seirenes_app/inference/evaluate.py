"""`python -m seirenes_app.inference.evaluate DIR`: the work of an evaluation's GGUF files and endpoints.

Where torch is needed for the rest, or first, it becomes `python -m training evaluate DIR`, which becomes it again."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seirenes_app.inference.model_client import (
    Cancelled,
    Completion,
    CompletionError,
    CompletionSpec,
    EndpointModel,
    WorkerModel,
    budget_for,
    fingerprint_of,
)
from seirenes_app.inference.protocol import Finish
from training.core.prompts import Message as Turn
from training.endpoints import EndpointSession, find_endpoint
from training.errors import exit_code
from training.evaluation.evaluator import NotSampled, Remote, Sampled, SampleSpec, run_part
from training.evaluation.plan import EvalPlan, Target, TargetKind
from training.runs.control import StopRequested, StopSignal
from training.runs.processes import become_process

MODULE = "seirenes_app.inference.evaluate"
KINDS = (TargetKind.GGUF, TargetKind.ENDPOINT)


class ClientEngine:
    """The `EvalEngine` of what a `ModelClient` runs: GGUF files and endpoints. `account` names the evaluation for the
    ledger of endpoints."""

    special_texts: frozenset[str] = frozenset()

    def __init__(self, account: str = "") -> None:
        self._account = account
        self._model: WorkerModel | EndpointModel | None = None
        self._sampled = self._exact = False

    @property
    def remote(self) -> Remote | None:
        if not isinstance(self._model, EndpointModel):
            return None
        session = self._model.session
        return Remote(session.meter, "".join(session.served[-1:]), tuple(self._notes(session)))

    def _notes(self, session: EndpointSession) -> Iterator[str]:
        if "temperature" in session.refused:
            yield "Not as planned: the server takes no temperature, and samples at its own."
        if "seed" in session.refused and (self._sampled or "temperature" in session.refused):
            yield "Not reproducible: the server takes no seed."
        yield from session.notes

    def identify(self, target: Target) -> str:
        return fingerprint_of(target.path)

    def open(self, target: Target, plan: EvalPlan, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        """Open a model in place of the last one."""
        self.close()
        self._sampled, self._exact = plan.temperature > 0, plan.exact
        if target.kind is TargetKind.ENDPOINT:
            endpoint = find_endpoint(target.path)
            self._model = EndpointModel(endpoint, budget=budget_for(endpoint, plan.budget), account=self._account)
            return {}
        self._model = WorkerModel(Path(target.path), threads=int(kept.get("threads", plan.threads)))
        return {"threads": self._model.threads}

    def solve(self, chats: Sequence[list[Turn]], spec: SampleSpec) -> list[list[Sampled | NotSampled]]:
        """The completions of a chunk; a worker's are the same whatever was solved before."""
        assert self._model is not None
        asked = CompletionSpec(
            spec.samples, spec.max_tokens, spec.temperature, spec.seed, spec.sampling, spec.variables, exact=self._exact
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
    too_long, filtered = found.finish is Finish.TOO_LONG, found.finish is Finish.FILTERED
    return Sampled(found.whole_text, found.truncated, found.tokens, too_long, filtered)


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
    engine = ClientEngine(f"evaluation:{root.name}")
    outcome = run_part(root, KINDS, engine, last=False, commands_from=commands_from, stop_signal=stop_signal)
    if outcome == "handover":
        become_process(["training", "evaluate", "--handover", MODULE], root, commands_from)
    return {"finished": 0, "stopped": 3}.get(outcome, 2)


if __name__ == "__main__":
    sys.exit(main())
