"""Run the benchmarks one after another, each in a process of its own, and print how long each took: `make bench`.

    python tests/bench/run_all.py [NAME …] [--minutes 5]     NAME: part of a file's name, such as `step`

One that fails, or is not over after `--minutes`, is stopped with all its processes and does not keep the others from
running; the exit code is then 1. "Processor" is what a benchmark and its children used: on a machine that others use as
well, the better figure. One that needs what is not installed says so and ends at once.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent
STOP_S = 10.0


def run(file, minutes):
    """(outcome, seconds, processor seconds) of one benchmark, whose output goes where ours does."""
    before, began = os.times(), time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([sys.executable, str(file)], cwd=ROOT, env=environment, start_new_session=True)
    try:
        outcome = "" if process.wait(60 * minutes) == 0 else f"exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        outcome = f"stopped after {minutes:g} minutes"
    finally:
        # Also where this process is interrupted: a session of its own gets no Ctrl+C.
        stop(process)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return outcome, time.monotonic() - began, used


def stop(process):
    """End it, and every process that it started, first by SIGINT so that they can tidy up."""
    if process.poll() is not None:
        return
    tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    process.send_signal(signal.SIGINT)
    _, left = psutil.wait_procs(tree, STOP_S)
    for other in left:
        other.kill()
    process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--minutes", type=float, default=5.0, help="the longest that one may take")
    options = parser.parse_args()
    files = [f for f in sorted(FOLDER.glob("bench_*.py"))
             if not options.names or any(name in f.stem for name in options.names)]  # fmt: skip
    if not files:
        parser.error(
            f"no benchmark is named so; there are {', '.join(f.stem for f in sorted(FOLDER.glob('bench_*.py')))}"
        )
    lines, failed = [], 0
    for file in files:
        print(f"== {file.stem}", flush=True)
        outcome, seconds, used = run(file, options.minutes)
        failed += bool(outcome)
        lines.append(f"{file.stem:24}{seconds:>8.0f} s{used:>10.0f} s   {outcome}".rstrip())
        print(flush=True)
    print(f"{'':24}{'took':>10}{'processor':>12}")
    print("\n".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
