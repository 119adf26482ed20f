"""The four modes side by side: equal rollouts, the frozen suite and the final adversary of the seirenes run.

    python tests/bench/modes.py [--seeds 0 1 2] [--out FOLDER] [--set a.b=c ...]

Prints one table and writes modes.json. Each run is a real trainer process on the demo preset; a run that is there
already is not run again, so the bench can be stopped and taken up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from training.core.types import Condition
from training.evaluation.metrics import change_between
from training.evaluation.run_store import run_eval_dir
from training.evaluation.store_reader import StoreReader
from training.runs.config import load_config
from training.runs.events import EventTail
from training.runs.paths import RunPaths, new_run

MODES = ("seirenes", "clean_rl", "static", "random")


def train(out: Path, mode: str, seed: int, rollouts: int, overrides: list[str]) -> RunPaths:
    """One run to its end; baselines stop at the rollouts of the seirenes run."""
    name = f"{mode}-{seed}"
    root = out / name
    if not (root / "finished").exists():
        settings = [f"mode={mode}", f"data.seed={seed}", f"name={name}", *overrides]
        if rollouts:
            settings += [f"max_rollouts={rollouts}", "steps=100000"]
        config = load_config(ROOT / "resources" / "presets" / "demo.toml", settings)
        if not (root / "config.json").exists():
            new_run(out, config, name)
        with (root / "trainer.log").open("a") as log:
            done = subprocess.run(
                [sys.executable, "-m", "training", "run", str(root)], cwd=ROOT, stderr=log, check=False
            )
        if done.returncode:
            sys.exit(f"{name} failed; see {root / 'trainer.log'}")
        (root / "finished").touch()
    return RunPaths(root)


def read(paths: RunPaths) -> dict[str, float]:
    """Rollouts, minutes and peak memory of a run, from its events."""
    events = EventTail(paths.events).poll()
    steps = [e.data["metrics"] for e in events if e.kind == "step"]
    return {
        "rollouts": steps[-1]["rollouts_total"],
        "minutes": (events[-1].t - events[0].t) / 60,
        "rss_mb": max(s["rss_mb"] for s in steps),
        "steps": len(steps),
    }


def against(model: Path, writer: Path) -> dict[str, float]:
    """Accuracy of `model` under the hints that `writer`'s Adversary writes for held-out problems."""
    command = [sys.executable, "-m", "seirenes_app.cli", "eval", str(model), "--hints-from", str(writer),
               "--problems", "150", "--json"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return json.loads(done.stdout)["results"][0]["metrics"]["hinted"]


def last_checkpoint(paths: RunPaths) -> Path:
    """The newest checkpoint's folder."""
    return max(paths.checkpoints.glob("step_*"))


def measure(paths: RunPaths, strongest: Path) -> dict[str, object]:
    """Before and after on the frozen suite, paired, and the final adversary's hints."""
    with StoreReader(run_eval_dir(paths).rows) as reader:
        cells = reader.cells()
    first, last = (cells.where(target=name) for name in (cells.targets[0], cells.targets[-1]))
    result: dict[str, object] = dict(read(paths))
    for condition in (Condition.CLEAN, Condition.HINTED):
        change = change_between(first, last, condition)
        d = change.difference
        result[condition] = [change.accuracy_before, change.accuracy_after, d.mean, d.low, d.high]
    result["final_adversary"] = against(last_checkpoint(paths), strongest)
    return result


def main() -> None:
    """Run what is missing, measure all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--out", type=Path, default=ROOT / "work" / "modes")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    table = options.out / "modes.json"
    print("run            rollouts  min   MB   clean before → after   frozen suite before → after (paired 95%)   "
          "final adversary")  # fmt: skip
    for seed in options.seeds:
        reference = train(options.out, "seirenes", seed, 0, options.overrides)
        rollouts = int(read(reference)["rollouts"])
        for mode in options.modes:
            paths = reference if mode == "seirenes" else train(options.out, mode, seed, rollouts, options.overrides)
            r = measure(paths, last_checkpoint(reference))
            # Read again each time: another bench may be filling the same table with other seeds.
            results = json.loads(table.read_text()) if table.exists() else {}
            table.write_text(json.dumps({**results, f"{mode}-{seed}": r}, indent=1))
            c, h, a = r[Condition.CLEAN], r[Condition.HINTED], r["final_adversary"]
            print(f"{mode}-{seed:<6} {r['rollouts']:>9.0f} {r['minutes']:5.1f} {r['rss_mb']:5.0f}   "
                  f"{c[0]:.3f} → {c[1]:.3f} ({c[2]:+.3f})   {h[0]:.3f} → {h[1]:.3f}  {h[2]:+.3f} [{h[3]:+.3f}, {h[4]:+.3f}]   "
                  f"{a['accuracy']:.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
