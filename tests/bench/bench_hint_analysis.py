"""How long the analysis of a run's hints takes: `python tests/bench/bench_hint_analysis.py [--rows N]`.

The database is that of `bench_traces.py`, made once for the given number of rows.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "bench")]

from bench_traces import ROWS, default_database, make

from training.evaluation.hint_analysis import analyse_tables
from training.rollouts.reader import RolloutReader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    database = default_database(options.rows)
    if not database.is_file():
        make(database, options.rows)
    reader = RolloutReader(database)
    started, cpu = time.perf_counter(), time.process_time()
    tables = reader.hints()
    read, read_cpu = time.perf_counter(), time.process_time()
    found = analyse_tables(tables)
    done, done_cpu = time.perf_counter(), time.process_time()
    reader.close()
    print(f"{options.rows:,} rollouts, {found.hints:,} valid hints, {found.analysed:,} analysed")
    print(f"read     {read - started:6.2f} s  processor {read_cpu - cpu:6.2f} s")
    print(f"analyse  {done - read:6.2f} s  processor {done_cpu - read_cpu:6.2f} s")
    print(f"whole    {done - started:6.2f} s  processor {done_cpu - cpu:6.2f} s")


if __name__ == "__main__":
    main()
