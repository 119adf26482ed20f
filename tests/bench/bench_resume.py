"""End runs at random moments, resume them, and compare what they end with to runs that were left alone.

    python tests/bench/bench_resume.py                                           a minute
    python tests/bench/bench_resume.py --moments 20 --models starter llama       all of it: a quarter of an hour
    … [--paths full lora …] [--seed 0] [--set a.b=c …] [--keep]

A path is a kind of run: all weights, LoRA, left-over groups in a buffer, replay, roll-back, clean questions only; on
the bundled model, and on a small random llama with a tokenizer of its own. Ways
of ending take turns: SIGKILL, SIGTERM, SIGINT, the stop command, and a pause. Each moment is one interruption of a
run; a run that has finished is compared, and the next one begins. Weights, optimiser, the loop's memory, rollouts,
evaluations and figures are compared, by hash.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.interrupted_runs import (
    MODELS,
    PATHS,
    Trainers,
    differences,
    events_of,
    interrupt,
    make_run,
    moments,
    roll_backs,
    settings_of,
)


def check(trainers, folder, model, path, options):
    """Interrupt runs of one path; what differed, with the moments after which it did."""
    settings, name = [*settings_of(path, folder, model), *options.set], f"{model}-{path}"
    whole = make_run(folder, f"{name}-whole", *settings)
    assert trainers.finish(whole) == 0, f"the run {whole.root} failed: see its events"
    most, found, began = len(events_of(whole)), [], time.monotonic()
    if path == "roll_back" and not roll_backs(whole):
        found.append((["no interruption"], ["no roll-back happened, so none was tested"]))
    runs, run, ends = 0, None, []
    for end, rng in moments(options.seed, name, options.moments):
        if run is None:
            runs, ends = runs + 1, []
            run = make_run(folder, f"{name}-{runs}", *settings)
        code = interrupt(trainers, run, end, rng, most // 2)
        ends.append(end)
        if code not in (0, 3, -9):
            found.append((ends, [f"exit status {code}"]))
        if code == 0:
            found += compare(run, whole, ends)
            run = None
    if run is not None:
        trainers.finish(run)
        found += compare(run, whole, ends)
    seconds = time.monotonic() - began
    print(f"{model:8} {path:10} {options.moments:4} moments  {runs:3} runs  {seconds:6.0f} s  "
          f"{'equal' if not found else 'DIFFERENT'}", flush=True)  # fmt: skip
    for ends, names in found:
        print(f"    after {', '.join(ends)}: {', '.join(names)}", flush=True)
    return found


def compare(run, whole, ends):
    names = differences(run, whole)
    return [(ends, names)] if names else []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["llama"])
    parser.add_argument("--paths", nargs="+", choices=list(PATHS), default=list(PATHS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of every run")
    parser.add_argument("--keep", action="store_true", help="keep the runs")
    options = parser.parse_args()
    folder, trainers = Path(tempfile.mkdtemp(prefix="resume-")), Trainers()
    try:
        found = [each for model in options.models for path in options.paths
                 for each in check(trainers, folder, model, path, options)]  # fmt: skip
    finally:
        trainers.close()
        if options.keep:
            print(folder)
        else:
            shutil.rmtree(folder)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
