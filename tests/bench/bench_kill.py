"""Kill an evaluation at random, again and again, and compare what it ends with to one that was left alone.

    python tests/bench/bench_kill.py [--kills 4] [--problems 30] [--samples 2]
    python tests/bench/bench_kill.py --kills 10 --problems 60             the long form

Torch and GGUF targets of the same model in one evaluation; each kill is SIGKILL to the whole tree at a random moment
of the whole length, imports and loading included.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.evals import contents, verify

from seirenes_app.inference.models import bundled_model
from seirenes_app.services.evaluations import (
    EvaluationRepository,
    EvaluationWatch,
    frozen_suite_ref,
    gguf_target,
    launch,
    plan_evaluation,
    starter_target,
)
from training.evaluation.plan import chunks
from training.evaluation.store_reader import StoreReader
from training.runs.processes import kill_tree, running_process


def finish(paths):
    """Run to the end; the seconds that took."""
    started = time.monotonic()
    watch = EvaluationWatch(paths)
    before = watch.poll().launched_t
    launch(paths)
    while not (state := watch.poll()).over or state.launched_t <= before:
        time.sleep(0.2)
    assert state.status == "finished", state
    return time.monotonic() - started


def agreement(paths):
    """Share of prompts whose answers agree between the two targets."""
    with StoreReader(paths.rows) as reader:
        first, second = (list(reader.traces(target=name, limit=10**7)) for name in reader.targets())
    same = sum(a.row.answer == b.row.answer for a, b in zip(first, second, strict=True))
    return same / len(first), len(first)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--problems", type=int, default=30)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    targets = [gguf_target(bundled_model()), starter_target()]
    plan = plan_evaluation(targets, [frozen_suite_ref(options.problems)], samples=options.samples)
    folder = Path(tempfile.mkdtemp())
    library = EvaluationRepository(folder)
    whole, killed = library.create(plan), library.create(plan)
    print("an evaluation that is left alone", flush=True)
    length_s = finish(whole)
    rows = len(contents(whole.rows)[0])
    print(f"left alone: {rows} rows in {len(chunks(plan))} chunks, {length_s:.0f} s")
    luck = random.Random(options.seed)
    for number in range(1, options.kills + 1):
        pid = launch(killed)
        time.sleep(luck.uniform(0.02, 0.35) * length_s)
        kill_tree(pid)
        while running_process(killed) is not None:
            time.sleep(0.01)
        done = EvaluationWatch(killed).poll().done_chunks
        print(f"kill {number}: {done} chunks committed", flush=True)
    watch = EvaluationWatch(killed)
    if watch.poll().status != "finished":
        finish(killed)
    same = contents(killed.rows) == contents(whole.rows)
    print(f"the same rows and cells: {same}; verify: {verify(killed.rows) or 'sound'}")
    if options.samples == 1:
        share, n = agreement(whole)
        print(f"GGUF and torch agree on {100 * share:.1f}% of {n} greedy answers")
    shutil.rmtree(folder)
    return 0 if same else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
