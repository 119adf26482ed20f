"""Tokens a second of the worker and of the high-level `llama_cpp.Llama`, side by side: `python tests/bench/bench_worker.py`.

Both draw the same number of samples of one prompt from the whole distribution, of up to 96 tokens, with the same threads,
each in a process of its own; they take turns. The high-level side is forbidden the end token. The worker draws at
temperature 100, at which it hardly ever ends early, and its tokens are counted. Trust the ratio, not the absolutes. Then
the worker alone: time to the first streamed text, and from cancelling to the end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from seirenes_app.inference.client import Samples, WorkerClient
from seirenes_app.inference.models import bundled_model
from seirenes_app.inference.protocol import Chunk, Event, SampleRequest

PROMPT = (
    "<|user|>Tom has 25 apples and buys 17 more. Then he gives 6 of them to Mia. "
    "How many apples does Tom have now?<|assistant|>"
)
TOKENS, COUNTS = 96, (4, 16, 64)
FIRST_TEXT_S, CANCEL_S = 1.0, 0.2


def high_level(model: str, threads: int) -> None:
    """The other side's process: for each number on stdin, that many calls one after another; answers the seconds."""
    from llama_cpp import Llama

    llama = Llama(model, n_ctx=512, n_threads=threads, n_threads_batch=threads, verbose=False)
    never = {llama.token_eos(): -1e9}
    print("ready", flush=True)
    for line in sys.stdin:
        started, tokens = time.perf_counter(), 0
        for seed in range(int(line)):
            answer = llama.create_completion(
                PROMPT, max_tokens=TOKENS, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=seed, logit_bias=never
            )
            tokens += answer["usage"]["completion_tokens"]
        print(json.dumps([time.perf_counter() - started, tokens]), flush=True)


def request(n: int, seed: int, prompt: str = PROMPT) -> SampleRequest:
    """What the worker is asked: `n` samples, nearly all of which end at `TOKENS` tokens."""
    return SampleRequest(prompt=prompt, n=n, max_tokens=TOKENS, seed=seed, temperature=100.0)


def draw(client: WorkerClient, n: int, seed: int) -> float:
    """Seconds a token from the request to the answer, as the window would see them."""
    started = time.perf_counter()
    answer = client.send(request(n, seed), lambda _: None).result(600)
    seconds = time.perf_counter() - started
    assert isinstance(answer, Samples)
    assert 0.8 * n * TOKENS <= answer.done.generated_tokens <= n * TOKENS
    return seconds / answer.done.generated_tokens


def first_text(client: WorkerClient, n: int, seed: int) -> float:
    """Seconds from the request to its first text, for a prompt that is not in the cache."""
    came = threading.Event()
    started = time.perf_counter()
    fresh = PROMPT.replace("<|user|>", f"<|user|>{seed} ")
    pending = client.send(request(n, seed, fresh), lambda event: isinstance(event, Chunk) and came.set())
    came.wait(60)
    seconds = time.perf_counter() - started
    pending.result(600)
    return seconds


def cancelled(client: WorkerClient, n: int, delay_s: float) -> float:
    """Seconds from cancelling to the end, `delay_s` after the request began."""
    begun = threading.Event()

    def note(_: Event) -> None:
        begun.set()

    pending = client.send(request(n, 0, PROMPT * 8), note)
    begun.wait(60)
    time.sleep(delay_s)
    started = time.perf_counter()
    pending.cancel()
    pending.result(600)
    return time.perf_counter() - started


def compare(client: WorkerClient, peer: subprocess.Popen[str], n: int, repeats: int) -> None:
    """One line: both rates and the ratio, the two taking turns so that both meet the same machine."""
    assert peer.stdin is not None
    assert peer.stdout is not None
    ours, theirs = [], []
    for repeat in range(repeats + 1):
        ours.append(draw(client, n, repeat))
        peer.stdin.write(f"{n}\n")
        peer.stdin.flush()
        seconds, tokens = json.loads(peer.stdout.readline())
        # It counts one more where a completion ends in the middle of a character.
        assert n * TOKENS <= tokens <= n * (TOKENS + 1), f"the high-level calls made {tokens} tokens"
        theirs.append(seconds / tokens)
    a, b = statistics.median(theirs[1:]), statistics.median(ours[1:])
    print(
        f"{n:>3} samples   high-level {1 / a:>7,.0f}   worker {1 / b:>7,.0f} tokens/s   ratio {a / b:.2f}",
        flush=True,
    )


def main() -> None:
    """Throughput, then latencies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=bundled_model())
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        high_level(str(options.model), options.threads)
        return
    command = [sys.executable, __file__, "--peer", "--model", str(options.model), "--threads", str(options.threads)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer,
        WorkerClient() as client,
    ):
        client.load(options.model, threads=options.threads).result(600)
        assert peer.stdout is not None
        assert peer.stdout.readline() == "ready\n"
        for n in options.counts:
            compare(client, peer, n, options.repeats)
        firsts = [first_text(client, n, 100 + n + i) for n in options.counts for i in range(3)]
        ends = [cancelled(client, max(options.counts), delay) for delay in (0.0, 0.001, 0.005, 0.05, 0.1, 0.3)]
        print(
            f"first text after {max(firsts) * 1000:.0f} ms at most, ratio to the goal of {FIRST_TEXT_S:.0f} s: {max(firsts) / FIRST_TEXT_S:.3f}"
        )
        print(
            f"cancelled after {max(ends) * 1000:.0f} ms at most, ratio to the goal of {CANCEL_S * 1000:.0f} ms: {max(ends) / CANCEL_S:.3f}"
        )


if __name__ == "__main__":
    main()
