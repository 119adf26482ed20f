"""`python -m seirenes_app.inference.evaluate DIR`: do an evaluation's GGUF targets through the worker, then become
`python -m training evaluate DIR` when torch targets are left."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from seirenes_app.inference.client import Samples, WorkerClient
from seirenes_app.inference.models import describe_gguf
from seirenes_app.inference.protocol import (
    SMALL_PARAMS,
    BatchRequest,
    Event,
    Finish,
    LoraRequest,
    Message,
    ModelFacts,
    Progress,
    Ready,
    SampleRequest,
)
from training.core.prompts import Message as Turn
from training.errors import exit_code
from training.evaluation.evaluator import Sampled, SampleSpec, run_part
from training.evaluation.plan import EvalPlan, Target, TargetKind, seed_of
from training.runs.control import StopRequested, StopSignal

_POLL_S = 0.2
_MAX_WORKERS = 8


class WorkerEngine:
    """The `EvalEngine` of the llama.cpp worker. A small model gains nothing from threads that share each of its many
    little matrix products: it gets a worker of one thread for each, and each takes a part of the prompts."""

    def __init__(self) -> None:
        self._clients: list[WorkerClient] = []

    def locate(self, target: Target) -> Path:
        path = Path(target.path)
        describe_gguf(path)
        return path

    def open(self, target: Target, plan: EvalPlan, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        """Load a model in place of the last one."""
        facts = self._load(1, target.path, int(kept.get("threads", plan.threads)))
        if facts.threads > 1 and facts.n_params < SMALL_PARAMS:
            self._load(min(facts.threads, _MAX_WORKERS), target.path, 1)
        return {"threads": facts.threads}

    def _load(self, workers: int, path: str, threads: int) -> ModelFacts:
        while len(self._clients) > workers:
            self._clients.pop().close()
        while len(self._clients) < workers:
            self._clients.append(WorkerClient())
        loads = [client.load(path, threads=threads) for client in self._clients]
        ready = [load.result() for load in loads]
        assert isinstance(ready[0], Ready)
        return ready[0].facts

    def solve(self, chats: Sequence[list[Turn]], spec: SampleSpec) -> list[list[Sampled]]:
        """One batch a worker, from an empty cache: the rows are the same whatever was solved before."""
        for cleared in [client.send(LoraRequest()) for client in self._clients]:
            cleared.result()
        requests = [_request(chat, spec, place) for place, chat in enumerate(chats)]
        bounds = [len(chats) * part // len(self._clients) for part in range(len(self._clients) + 1)]
        batches = [
            _Batch(client, requests[start:stop])
            for client, start, stop in zip(self._clients, bounds, bounds[1:], strict=False)
            if start < stop
        ]
        try:
            over = False
            while not over:
                if spec.cancelled():
                    raise StopRequested
                done, tokens = sum(batch.samples for batch in batches), sum(batch.tokens for batch in batches)
                spec.progress(done, len(chats) * spec.samples, tokens)
                over = all(batch.finished() for batch in batches)
            rows = [row for batch in batches for row in batch.rows()]
        finally:
            for batch in batches:
                batch.pending.cancel()
        return [rows[start : start + spec.samples] for start in range(0, len(rows), spec.samples)]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._clients = []


class _Batch:
    """What one worker was asked, and how far it is; its events come on the client's thread."""

    def __init__(self, client: WorkerClient, requests: Sequence[SampleRequest]) -> None:
        self.samples = self.tokens = 0
        self.pending = client.send(BatchRequest(requests=tuple(requests)), self._take)

    def _take(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.samples, self.tokens = event.samples, event.tokens

    def finished(self) -> bool:
        """Wait for it, not for long."""
        with suppress(TimeoutError):
            self.pending.result(_POLL_S)
        return self.pending.finished

    def rows(self) -> list[Sampled]:
        found = self.pending.result()
        assert isinstance(found, Samples)
        return [
            Sampled(s.text, s.finish is Finish.LENGTH, s.tokens, s.finish is Finish.TOO_LONG) for s in found.samples
        ]


def _request(chat: list[Turn], spec: SampleSpec, place: int) -> SampleRequest:
    return SampleRequest(
        messages=tuple(Message(turn["role"], turn["content"]) for turn in chat), n=spec.samples,
        max_tokens=spec.max_tokens, temperature=spec.temperature, seed=seed_of(spec.seed, place),
        top_p=spec.sampling.top_p, top_k=spec.sampling.top_k, min_p=spec.sampling.min_p,
        repetition_penalty=spec.sampling.repetition_penalty, stop=spec.sampling.stop,
        template_variables=dict(spec.variables),
    )  # fmt: skip


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
