"""How long figures over many checkpoints take: 100 targets × 300 problems × (clean and four hints), 150,000 rows.

python tests/bench/bench_cells.py
python tests/bench/bench_cells.py --targets 200 --problems 500        half a million rows: minutes
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.evals import fill, small_plan, verify

from training.core.types import Condition
from training.evaluation.metrics import accuracies, summarise_block, summarise_target
from training.evaluation.outcome_arrays import blocks
from training.evaluation.store_reader import StoreReader

REPEATS = 5


def timed(deed):
    """Median of a few, in milliseconds."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        result = deed()
        seconds.append(time.perf_counter() - started)
    return result, 1000 * statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=100)
    parser.add_argument("--problems", type=int, default=300)
    options = parser.parse_args()
    names = tuple(f"run@{i}" for i in range(options.targets))
    plan = small_plan(options.problems, names, chunk_items=32, conditions=(Condition.CLEAN, Condition.HINTED))
    luck = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        print(f"writing {options.targets} evaluations of {options.problems} problems", flush=True)
        started = time.perf_counter()
        paths = fill(Path(folder), plan, lambda key, problem: problem.answer if luck.random() < 0.7 else "9")
        print(f"written in {time.perf_counter() - started:.0f} s, {paths.rows.stat().st_size / 2**20:.0f} MiB")
        with StoreReader(paths.rows) as reader:
            cells, read_ms = timed(reader.cells)
            _, accuracies_ms = timed(lambda: accuracies(cells))
            _, gaps_ms = timed(lambda: [summarise_block(b, exact=False) for b in blocks(cells)])
            _, one_ms = timed(lambda: summarise_target(cells, names[-1], plan.suites[0].name))
        print(f"{len(cells)} cells read in {read_ms:.0f} ms")
        print(
            f"all accuracies with intervals in {accuracies_ms:.0f} ms, all figures in closed form in {gaps_ms:.0f} ms"
        )
        print(f"every figure of one target in {one_ms:.0f} ms")
        started = time.perf_counter()
        print(f"verify: {verify(paths.rows) or 'sound'} in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
