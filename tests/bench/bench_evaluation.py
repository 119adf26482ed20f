"""Tokens a second of an evaluation's llama.cpp engine against one prompt after another, side by side.

`python tests/bench/bench_evaluation.py [--model FILE] [--threads 2]`: the hinted prompts of the frozen suite, greedily, in
chunks as an evaluation cuts them. "One by one" sends a request a prompt, four ahead of the answers, to one worker with
all threads: how evaluations asked before there were batches. Both get the same threads and take turns, so that both
meet the same machine: trust the ratio, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from seirenes_app.inference.client import Pending, Samples, WorkerClient
from seirenes_app.inference.evaluate import ClientEngine
from seirenes_app.inference.models import bundled_model
from seirenes_app.inference.protocol import LoraRequest, Message, SampleRequest
from training.core.prompts import Message as Turn
from training.core.prompts import Placement, PromptProfile, reasoner_messages
from training.core.types import Condition
from training.evaluation.eval_dir import describe_suite, stored_item
from training.evaluation.evaluator import Sampled, SampleSpec
from training.evaluation.plan import CHUNK_ROWS, EvalPlan, Target, TargetKind, seed_of
from training.evaluation.store import shown_text
from training.evaluation.suites.builder import frozen_suite
from training.prompt_files import COMPACT, built_in

AHEAD, SEED = 4, 2605
GOAL = 2.5

Chats = Sequence[list[Turn]]


def suite_chats(problems: int, prompts: PromptProfile) -> list[list[Turn]]:
    """The hinted prompts of the frozen suite, in the evaluation's order."""
    return [
        reasoner_messages(shown_text(item.problem, text, Placement.APPEND), prompts)
        for item in map(stored_item, frozen_suite(problems, SEED).items)
        for text in item.texts[Condition.HINTED]
    ]


def one_by_one(client: WorkerClient, chats: Chats, spec: SampleSpec) -> list[Sampled]:
    client.send(LoraRequest()).result(60)
    pending: list[Pending] = []
    found: list[Sampled] = []
    for place in range(len(chats)):
        while len(pending) < min(len(chats), place + AHEAD):
            messages = tuple(Message(turn["role"], turn["content"]) for turn in chats[len(pending)])
            request = SampleRequest(
                messages=messages, max_tokens=spec.max_tokens, temperature=spec.temperature,
                seed=seed_of(spec.seed, len(pending)),
            )  # fmt: skip
            pending.append(client.send(request))
        answer = pending[place].result(600)
        assert isinstance(answer, Samples)
        found += [Sampled(s.text, False, s.tokens) for s in answer.samples]
    return found


def timed(ask: Callable[[Chats], list[Sampled]], chats: Chats) -> tuple[float, list[Sampled]]:
    """Tokens a second, and the completions."""
    started, found = time.perf_counter(), []
    for start in range(0, len(chats), CHUNK_ROWS):
        found += ask(chats[start : start + CHUNK_ROWS])
    return sum(s.tokens for s in found) / (time.perf_counter() - started), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=bundled_model())
    parser.add_argument("--prompts", default=COMPACT, help="name of a built-in prompt profile")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    prompts = built_in(options.prompts)
    chats = suite_chats(options.problems, prompts)
    spec = SampleSpec(1, options.temperature, options.max_tokens, SEED, lambda *_: None, lambda: False)
    target = Target("gguf", str(options.model), TargetKind.GGUF, prompts)
    plan = EvalPlan((target,), (describe_suite(f"frozen:{SEED}", 1),), threads=options.threads)
    engine = ClientEngine()
    engine.open(target, plan, {})
    ratios = []
    with WorkerClient() as client:
        client.load(options.model, threads=options.threads).result(600)
        for repeat in range(options.repeats + 1):
            before, alone = timed(lambda part: one_by_one(client, part, spec), chats)
            now, together = timed(lambda part: [s for (s,) in engine.solve(part, spec)], chats)
            if repeat:
                ratios.append(now / before)
                print(
                    f"one by one {before:>7,.0f}   batches {now:>7,.0f} tokens/s   ratio {now / before:.2f}", flush=True
                )
    engine.close()
    same = sum(a.text == b.text for a, b in zip(alone, together, strict=True))
    tokens = sum(s.tokens for s in together)
    print(f"{len(chats)} prompts, {tokens:,} tokens, {options.threads} threads; {same} of {len(chats)} texts are equal")
    print(f"median ratio {statistics.median(ratios):.2f}, goal {GOAL}")


if __name__ == "__main__":
    main()
