"""A red-team campaign that is killed again and again ends as one that is left alone: python
tests/bench/bench_redteam_kill.py [--kills 4] [--requests 150]

The bundled model, greedy, so that both can be compared: weaknesses with their figures, recipes tried, and requests.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from seirenes_app.services.redteam.campaign import Budget, CampaignPlan, ProblemChoice, new_campaign
from seirenes_app.services.redteam.results import read_result


def start(root: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "seirenes_app.services.redteam", str(root)], cwd=ROOT)


def figures(paths: object) -> dict:
    """What must be equal: everything but times."""
    found = msgspec.to_builtins(read_result(paths))
    return {name: found[name] for name in ("weaknesses", "refuted", "tried") if name in found}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--requests", type=int, default=150)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        plan = CampaignPlan(
            "starter", "killed", problems=ProblemChoice(count=40), budget=Budget(requests=options.requests), seed=3
        )
        alone = new_campaign(plan, Path(name) / "alone")
        print("a campaign that is left alone", flush=True)
        began = time.monotonic()
        start(alone.root).wait()
        whole = time.monotonic() - began
        killed, rng, kills = new_campaign(plan, Path(name) / "killed"), random.Random(1), 0
        print(f"left alone: {whole:.0f} s, {read_result(alone).spent.requests} requests", flush=True)
        while True:
            process = start(killed.root)
            try:
                # A start takes seconds, so that some kills come before the first row.
                process.wait(rng.uniform(0.15, 0.6) * whole if kills < options.kills else None)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                print(f"kill {kills}", flush=True)
        same = figures(alone) == figures(killed)
        spent = read_result(killed).spent.requests
        print(f"{kills} kills: {'equal' if same else 'DIFFERENT'} results, {spent} requests (limit {options.requests})")
        return 0 if same and spent <= options.requests else 1


if __name__ == "__main__":
    raise SystemExit(main())
