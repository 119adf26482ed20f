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

from seirenes_app.inference.client import Pending, Samples, WorkerClient
from seirenes_app.inference.models import describe_gguf
from seirenes_app.inference.protocol import Finish, LoraRequest, Message, Ready, SampleRequest
from training.core.prompts import Message as Turn
from training.errors import exit_code
from training.evaluation.evaluator import Sampled, SampleSpec, run_part
from training.evaluation.plan import EvalPlan, Target, TargetKind, seed_of
from training.runs.control import StopRequested, StopSignal

_POLL_S = 0.25
_AHEAD = 4  # requests that wait in the worker, so that it never waits for this process


class WorkerEngine:
    """The `EvalEngine` of the llama.cpp worker."""

    def __init__(self) -> None:
        self._client: WorkerClient | None = None

    def locate(self, target: Target) -> Path:
        path = Path(target.path)
        describe_gguf(path)
        return path

    def open(self, target: Target, plan: EvalPlan, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        """Load a model in place of the last one."""
        if self._client is None:
            self._client = WorkerClient()
        threads = int(kept.get("threads", plan.threads))
        ready = self._client.load(target.path, threads=threads).result()
        assert isinstance(ready, Ready)
        return {"threads": ready.facts.threads}

    def solve(self, chats: Sequence[list[Turn]], spec: SampleSpec) -> list[list[Sampled]]:
        """One request a chat, a few ahead of the answers; all samples of a chat are one batch."""
        assert self._client is not None
        self._client.send(LoraRequest()).result()
        requests: list[Pending] = []
        answers: list[list[Sampled]] = []
        try:
            for place in range(len(chats)):
                while len(requests) < min(len(chats), place + _AHEAD):
                    requests.append(self._ask(chats[len(requests)], spec, len(requests)))
                answers.append(_wait(requests[place], spec))
                spec.progress((place + 1) * spec.samples, len(chats) * spec.samples)
        finally:
            for pending in requests[len(answers) :]:
                pending.cancel()
        return answers

    def _ask(self, chat: list[Turn], spec: SampleSpec, place: int) -> Pending:
        assert self._client is not None
        messages = tuple(Message(turn["role"], turn["content"]) for turn in chat)
        return self._client.send(
            SampleRequest(
                messages=messages, n=spec.samples, max_tokens=spec.max_tokens, temperature=spec.temperature,
                seed=seed_of(spec.seed, place),
            )
        )  # fmt: skip

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _wait(pending: Pending, spec: SampleSpec) -> list[Sampled]:
    while True:
        if spec.cancelled():
            raise StopRequested
        try:
            found = pending.result(_POLL_S)
        except TimeoutError:
            continue
        assert isinstance(found, Samples)
        return [Sampled(s.text, s.finish is not Finish.STOP, s.tokens) for s in found.samples]


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
