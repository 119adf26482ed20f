"""A small run's rollouts, the same every time: two questions a step, clean, hint and hinted rows, and a replay."""

from pathlib import Path

from training.rollouts.database import RolloutRow, RolloutWriter
from training.rollouts.reader import flip_of
from training.runs.config import RunConfig
from training.runs.events import EventKind, EventLog
from training.runs.paths import RunPaths, new_run

TYPES = ("information_overload", "correlation_trap", "semantic_misleading", "instruction_contamination")
FAMILIES = ("change", "clock", "calendar")
ROWS_A_STEP = 18


def make_row(step, stage, problem, hint_id, right, clean, n, **more):
    """One row; `n` makes its numbers differ from its neighbours'."""
    hinted, written = stage == "r3_hinted", stage == "r2_hint"
    question = f"Rosa has {problem} apples and buys {step} more. How many apples has she now?"
    hint = None if stage == "r1_clean" else f"The {('table', 'naïve café', 'pears')[n % 3]} number {n}."
    gate = "states_answer" if written and n % 8 == 3 else None
    values = dict(
        step=step, stage=stage, role="adversary" if written else "reasoner", group_key=f"p{problem}|{hint_id or stage}",
        problem_id=f"p{problem}", family=FAMILIES[problem % 3], question=question, gold=str(problem + step), hint_id=hint_id,
        hint_type=TYPES[problem % 4] if hint else None, hint=hint, prompt=f"{question} {hint}" if hinted else question,
        completion=hint if written else f"{problem} + {step} = {n}.\n#### {problem + step if right else n}",
        outcome=None if written else "right" if right else ("wrong", "unparsable")[n % 5 == 0], reward=float(right),
        advantage=((n * 7) % 5 - 2) / 2, tokens=5 + (n * 11) % 7, truncated=False, gate=gate,
        gate_reason="says it" if gate else None, follows_hint=(n % 2 == 0) if hinted and n % 3 else None,
        logprob_mean=-((n * 13) % 11) / 10, seed=0, trained=True, archived=bool(hint_id and hint_id.startswith("archive")),
        clean_accuracy=clean, flip=flip_of(right, clean) if hinted else None,
    )  # fmt: skip
    return RolloutRow(**(values | more))


def make_step(step):
    """R1, R2, R3 of two questions, and the replay of a hint whose question was not drawn."""
    rows = []
    for k, problem in enumerate((step % 5, step % 5 + 5)):
        solved = [(step + k) % 3 > 0, k == 0]
        clean = sum(solved) / 2
        n = step * 20 + k * 8
        rows += [make_row(step, "r1_clean", problem, None, right, clean, n + i) for i, right in enumerate(solved)]
        for j in range(2):
            rows.append(make_row(step, "r2_hint", problem, f"p{problem}#{j}", False, clean, n + 2 + j))
        for j in range(2):
            rows += [
                make_row(step, "r3_hinted", problem, f"p{problem}#{j}", (n + j + i) % 3 > 0, clean, n + 4 + 2 * j + i)
                for i in range(2)
            ]
    return rows + [
        make_row(step, "r3_hinted", 90 + i, f"archive:{i}", i == 0, None, step * 20 + 17 + i) for i in range(2)
    ]


def write_rollouts(path, steps):
    """Write those steps, and return every row by its id."""
    writer = RolloutWriter(path)
    written = [row for step in steps for row in make_step(step)]
    for step in steps:
        writer.add_step(make_step(step))
    writer.close()
    return dict(enumerate(written, 1))


def make_run(root: Path, steps=range(1, 5), run_id="r", finished=True) -> RunPaths:
    """A run folder with configuration, events and rollouts."""
    paths = new_run(root, RunConfig(steps=len(steps)), run_id)
    events = EventLog(paths.events)
    events.write(EventKind.LAUNCH, run_id=run_id, steps=len(steps), model="/home/someone/models/starter", pid=77,
                 machine={"cpu": "x86_64", "cores": 2, "memory_mb": 9, "gpu": None, "system": "Linux-6.1-host-7"}, resumed_from=None)  # fmt: skip
    for step in steps:
        events.write(EventKind.STAGE, step=step, stage="r1", done=0, total=1)
        events.write(EventKind.STEP, step=step, metrics={"clean_accuracy": 0.5})
        events.write(EventKind.HEARTBEAT, step=step)
    events.write(
        EventKind.WARNING, step=1, code="disk", message="/var/tmp/someone/run is nearly full", remedy="Free some."
    )
    if finished:
        events.write(EventKind.DONE, outcome="finished", message="Finished.", error=None)
    events.close()
    write_rollouts(paths.rollouts, steps)
    return paths
