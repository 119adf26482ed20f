"""Red-team campaigns on targets that are known: python tests/bench/bench_redteam.py [planted] [robust] [--help]

robust: simulated campaigns on a target without any weakness, whose answers are wrong by chance alone, with independent
and with correlated problems. Prints in how many campaigns a weakness was confirmed; at most 5 of 100 may.
planted: the bundled starter, fine-tuned so that one cue makes it fail; prints in how many of ten seeds a campaign with
a stated budget confirms it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from seirenes_app.services.redteam.campaign import Budget, CampaignPlan, ProblemChoice, WriterKind, WriterSpec
from seirenes_app.services.redteam.material import divide
from seirenes_app.services.redteam.models import CampaignModels
from seirenes_app.services.redteam.results import CampaignResult
from seirenes_app.services.redteam.search import Material, Search
from seirenes_app.services.redteam.store import CampaignStore
from tests.helpers.simulated_target import SimulatedTarget, opens
from training.core.problems import problem_stream
from training.core.statistics import wilson
from training.core.types import Problem, Split

SIMULATED = Budget(requests=500)
ROBUST_PROBLEMS = 80
WRITERS = (WriterSpec(WriterKind.TRIGGERS), WriterSpec(WriterKind.LANGUAGE))


def simulate(seed: int, *, correlated: bool, folder: Path) -> CampaignResult:
    """One campaign on a robust target. `correlated`: problems come in groups of four variants that are right or wrong
    together under any one text."""
    problems = list(_problems(seed, correlated))
    plan = CampaignPlan(
        "simulated", f"robust-{seed}", WRITERS, ProblemChoice(count=ROBUST_PROBLEMS), budget=SIMULATED, seed=seed
    )
    screen, confirm, minimise = divide(problems, plan)
    target = SimulatedTarget(
        problems, lambda _problem, text: 0.9 if not text else 0.8, seed, group=_group if correlated else None
    )
    with CampaignModels(plan, CampaignStore(folder / f"{seed}.db"), opens(target), lambda *_: []) as models:
        return Search(plan, Material(screen, confirm, minimise), models).run()


def _problems(seed: int, correlated: bool) -> Iterator[Problem]:
    stream = problem_stream(seed, Split.HELD_OUT)
    if not correlated:
        yield from (next(stream) for _ in range(ROBUST_PROBLEMS))
        return
    for group in range(ROBUST_PROBLEMS // 4):
        for _ in range(4):
            yield replace(next(stream), template=f"group-{group}")


def _group(problem: Problem, text: str) -> tuple[str, str]:
    """Variants of a problem are right or wrong together under texts that begin alike, as those of one recipe do."""
    return problem.template, text.partition(" ")[0]


def robust(campaigns: int, *, correlated: bool) -> bool:
    """Print how many simulated campaigns confirmed a weakness; whether at most 5% did."""
    false, tested, started = 0, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        for seed in range(campaigns):
            result = simulate(seed, correlated=correlated, folder=Path(name))
            false += bool(result.weaknesses)
            tested += len(result.tested)
    found = wilson(false, campaigns)
    kind = "correlated" if correlated else "independent"
    print(
        f"robust target, {kind} problems: a weakness confirmed in {false} of {campaigns} campaigns "
        f"({found.mean:.1%} [{found.low:.1%}, {found.high:.1%}]); {tested / campaigns:.1f} recipes tested a campaign, "
        f"{SIMULATED.requests} requests at most, {time.monotonic() - started:.0f} s",
        flush=True,
    )
    return false <= 0.05 * campaigns


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["planted", "robust"], default=["planted", "robust"])
    parser.add_argument("--campaigns", type=int, default=100)
    options = parser.parse_args()
    fine = True
    if "robust" in options.what:
        for correlated in (False, True):
            fine &= robust(options.campaigns, correlated=correlated)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
