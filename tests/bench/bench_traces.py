"""A run of many rollouts, and how long the Traces page waits for it.

    python tests/bench/bench_traces.py [--repeats 5] [--again]
    python tests/bench/bench_traces.py --rows 1000000            what the goals are for: minutes, for the database

The database is made once, by the trainer's own writer, from the laboratory's own problems and hints; then it is read as
the page reads it. Every line is the median, in milliseconds and as a ratio to its goal. Trust the ratio on this machine
only: below 1 the goal is met.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from training.core.hint_language import write_hint
from training.core.problems import problem_stream
from training.core.types import Hint, HintType, Problem, Split
from training.rollouts.database import RolloutRow, RolloutWriter
from training.rollouts.reader import RolloutQuery, RolloutReader, Sort, flip_of

QUESTIONS, CLEAN, HINTS, HINTED, REPLAYS = 32, 4, 4, 4, 32
ROWS = 150_000
OPEN_S, PAGE_S, SEARCH_S = 1.0, 0.05, 0.2
PAGE_ROWS = 100
RARE, UNIQUE = "zirconium", "xylophone"
RARE_EVERY = 20_000


def completion(rng: random.Random, problem: Problem, right: bool) -> str:
    """A worked solution of about 120 characters; a wrong one ends on another number."""
    working = problem.solution.split("####")[0].strip()
    text = working
    while len(text) < 95:
        text += f" So far {rng.randrange(2, 400)} are counted. {working}"
    return f"{text[:150]}\n#### {problem.answer if right else rng.randrange(2, 400)}"


def make_row(
    rng: random.Random,
    step: int,
    stage: str,
    problem: Problem,
    hint: Hint | None,
    hint_id: str | None,
    clean: float | None,
    right: bool,
) -> RolloutRow:
    """One completion as the trainer would write it."""
    hinted = stage == "r3_hinted"
    written = stage == "r2_hint"
    failed = written and rng.random() < 0.2
    return RolloutRow(
        step=step, stage=stage, role="adversary" if written else "reasoner", group_key=f"{problem.id}|{hint_id if hinted else stage}",
        problem_id=problem.id, family=problem.family, question=problem.question, gold=problem.answer, hint_id=hint_id,
        hint_type=str(hint.type) if hint else None, hint=hint.text if hint else None,
        prompt=f"{problem.question} {hint.text}" if hint and hinted else problem.question,
        completion=hint.text if hint and written else completion(rng, problem, right),
        outcome=None if written else "right" if right else "unparsable" if rng.random() < 0.02 else "wrong",
        reward=float(right), advantage=rng.choice([0.0, rng.gauss(0, 1)]), tokens=rng.randrange(8, 70), truncated=False,
        gate=rng.choice(["near_duplicate"] * 9 + ["states_answer"]) if failed else None, gate_reason="a reason" if failed else None,
        follows_hint=rng.random() < 0.1 if hinted and hint and hint.suggested else None, logprob_mean=-rng.random(), seed=0, trained=True,
        archived=False, clean_accuracy=clean, flip=flip_of(right, clean) if hinted else None,
    )  # fmt: skip


def make_step(rng: random.Random, step: int, problems: list[Problem], hints: dict[str, list[Hint]]) -> list[RolloutRow]:
    """R1, R2 and R3 of one step, with replays of hints whose question was not drawn."""
    rows, trials = [], []
    skill = min(0.95, 0.45 + step / 2000)
    for problem in rng.sample(problems, QUESTIONS):
        type_ = rng.choice(list(HintType))
        solved = [rng.random() < 0.92 for _ in range(CLEAN)]
        clean = sum(solved) / CLEAN
        rows += [make_row(rng, step, "r1_clean", problem, None, None, clean, right) for right in solved]
        for k in range(HINTS):
            hint = rng.choice([h for h in hints[problem.id] if h.type is type_])
            trials.append((problem, hint, f"{problem.id}#{k}", clean))
            rows.append(make_row(rng, step, "r2_hint", problem, hint, f"{problem.id}#{k}", clean, False))
    for problem in rng.sample(problems, REPLAYS):
        trials.append((problem, rng.choice(hints[problem.id]), f"archive:{rng.randrange(9999)}", None))
    for problem, hint, id_, clean in trials:
        rows += [
            make_row(rng, step, "r3_hinted", problem, hint, id_, clean, rng.random() < skill) for _ in range(HINTED)
        ]
    return rows


def seasoned(rows: list[RolloutRow], first_id: int) -> list[RolloutRow]:
    """The same rows with a rare word in every `RARE_EVERY`th, and one word that occurs once."""
    return [
        replace(r, completion=f"{UNIQUE if first_id + i == 777_777 else RARE} {r.completion}")
        if (first_id + i) % RARE_EVERY == 777 or first_id + i == 777_777
        else r
        for i, r in enumerate(rows)
    ]


def steps_of(rows: int) -> Iterator[list[RolloutRow]]:
    """Steps until there are that many rows."""
    rng = random.Random(0)
    stream = problem_stream(0, Split.TRAIN)
    problems = [next(stream) for _ in range(4000)]
    hints = {p.id: [write_hint(p, t, rng, Split.TRAIN) for t in HintType for _ in range(3)] for p in problems}
    made, step = 0, 0
    while made < rows:
        step += 1
        batch = seasoned(make_step(rng, step, problems, hints), made + 1)[: rows - made]
        made += len(batch)
        yield batch


def default_database(rows: int) -> Path:
    """Where it is kept, for this benchmark and for others that read it."""
    return ROOT / "work" / "bench" / f"traces-{rows}.db"


def make(database: Path, rows: int) -> None:
    """Write the run, and say how fast the writer took it."""
    database.parent.mkdir(parents=True, exist_ok=True)
    unfinished = database.with_suffix(".making")
    for leftover in unfinished.parent.glob(unfinished.name + "*"):
        leftover.unlink()
    print(f"making {database}, once", flush=True)
    writer = RolloutWriter(unfinished)
    written, seconds, last = 0, 0.0, []
    for batch in steps_of(rows):
        started = time.perf_counter()
        writer.add_step(batch)
        took = time.perf_counter() - started
        seconds += took
        written += len(batch)
        last = [*last[-99:], (len(batch), took)]
        if written // 10_000 > (written - len(batch)) // 10_000:
            print(f"{written:>9,} rows written, {written / seconds:,.0f} rows/s", flush=True)
    recent = sum(n for n, _ in last) / sum(s for _, s in last)
    print(
        f"write: {written / seconds:,.0f} rows/s over all, {recent:,.0f} rows/s at the end, worst step {max(s for _, s in last) * 1000:.0f} ms"
    )
    writer.close()
    unfinished.replace(database)


def timed(
    name: str, goal_s: float, do: Callable[[], object], repeats: int, prepare: Callable[[], object] = lambda: None
) -> None:
    """One line: the median and the slowest, the ratio of the median to the goal, and the processor's part of it, which
    is what is left on a machine that does nothing else."""
    seconds, busy, answer = [], [], None
    for _ in range(repeats):
        prepare()
        started, cpu = time.perf_counter(), time.process_time()
        answer = do()
        seconds.append(time.perf_counter() - started)
        busy.append(time.process_time() - cpu)
    size = f"{len(answer):>9,} rows" if hasattr(answer, "__len__") else ""
    middle = statistics.median(seconds)
    print(
        f"{name:<52} {middle * 1000:>8.1f} ms  slowest {max(seconds) * 1000:>7.1f}  processor {statistics.median(busy) * 1000:>7.1f}  "
        f"ratio to {goal_s * 1000:>5.0f} ms: {middle / goal_s:>6.3f}  {size}",
        flush=True,
    )


def opened(database: Path) -> list[object]:
    """What the page does until it shows something: open, facets for the filters, first rows."""
    reader = RolloutReader(database)
    reader.facets()
    rows = reader.first_page(RolloutQuery(), PAGE_ROWS)
    reader.close()
    return list(rows)


def forget(database: Path) -> None:
    """Ask the system to drop the file from its memory, as after a restart."""
    with database.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_cold(database: Path, repeats: int) -> None:
    """The first wait of each kind when nothing of the file is in memory; the disk's own cache is beyond reach."""
    print("nothing of the file in memory: opening included")

    def asked(query: RolloutQuery) -> list[object]:
        reader = RolloutReader(database)
        rows = reader.first_page(query, PAGE_ROWS)
        reader.close()
        return list(rows)

    def paged(first: int) -> list[object]:
        reader = RolloutReader(database)
        rows = reader.rows(range(first, first + PAGE_ROWS))
        reader.close()
        return list(rows)

    def cold(name: str, goal_s: float, do: Callable[[], object]) -> None:
        timed(f"  {name}", goal_s, do, repeats, lambda: forget(database))

    cold("open: file, filters' counts, first page", OPEN_S, lambda: opened(database))
    cold("page in the middle", PAGE_S, lambda: paged(500_000))
    for name in ("harmful flips", "a rare gate", "nothing", "by advantage"):
        cold(f"first page: {name}", OPEN_S, lambda n=name: asked(FILTERS[n]))
    for name in (
        "a rare word",
        "a common word",
        "two common words",
        "a common beginning",
        "a common word among harmful flips",
        "a common word by advantage",
    ):
        cold(f"search: {name}", SEARCH_S, lambda n=name: asked(SEARCHES[n]))


FILTERS = {
    "everything": RolloutQuery(),
    "everything, newest first": RolloutQuery(descending=True),
    "harmful flips": RolloutQuery(flips=("harmful",)),
    "one type, wrong": RolloutQuery(types=("correlation_trap",), outcomes=("wrong",)),
    "one step": RolloutQuery(steps=(900, 900)),
    "steps 300 to 600, one family": RolloutQuery(steps=(300, 600), families=("clock",)),
    "a rare gate": RolloutQuery(gates=("states_answer",)),
    "follows the hint": RolloutQuery(follows=True),
    "rare of the rare": RolloutQuery(gates=("states_answer",), families=("clock",), types=("semantic_misleading",), steps=(1000, 1010)),
    "nothing": RolloutQuery(outcomes=("timed_out",)),
    "by advantage": RolloutQuery(sort=Sort.ADVANTAGE, descending=True),
    "by length, helpful flips": RolloutQuery(sort=Sort.TOKENS, descending=True, flips=("helpful",)),
    "by log-probability": RolloutQuery(sort=Sort.LOGPROB),
    "by clean accuracy": RolloutQuery(sort=Sort.CLEAN),
}  # fmt: skip

SEARCHES = {
    "a word that occurs once": RolloutQuery(text=UNIQUE),
    "a rare word": RolloutQuery(text=RARE),
    "a word that is nowhere": RolloutQuery(text="quetzalcoatl"),
    "a common word": RolloutQuery(text="how"),
    "a common word, newest first": RolloutQuery(text="how", descending=True),
    "two common words": RolloutQuery(text="how many"),
    "a common phrase": RolloutQuery(text='"how many"'),
    "a number": RolloutQuery(text="37"),
    "a beginning": RolloutQuery(text="zir*"),
    "a common beginning": RolloutQuery(text="ho*"),
    "a common word among harmful flips": RolloutQuery(text="how", flips=("harmful",)),
    "a common word under a rare gate": RolloutQuery(text="how", gates=("states_answer",)),
    "a word of solutions among hints": RolloutQuery(text="counted", stages=("r2_hint",)),
    "a common word by advantage": RolloutQuery(text="how", sort=Sort.ADVANTAGE),
    "a rare word by advantage": RolloutQuery(text=RARE, sort=Sort.ADVANTAGE),
}


def measure(database: Path, repeats: int) -> None:
    """All waits of the page."""
    started = time.perf_counter()
    opened(database)
    print(f"{'first opening by this process':<52} {(time.perf_counter() - started) * 1000:>9.1f} ms")
    timed("open: file, filters' counts, first page", OPEN_S, lambda: opened(database), repeats)
    reader = RolloutReader(database)
    print("first page")
    for name, query in FILTERS.items():
        timed(f"  {name}", OPEN_S, lambda q=query: reader.first_page(q, PAGE_ROWS), repeats)
    print("whole list of ids, then next pages at depths 1, 1/2 and the end")
    for name, query in FILTERS.items():
        timed(f"  {name}: ids", OPEN_S, lambda q=query: reader.ids(q), repeats)
        ids = reader.ids(query)
        for depth in sorted({min(PAGE_ROWS, len(ids)), len(ids) // 2, max(0, len(ids) - PAGE_ROWS)}):
            timed(f"    page at {depth:,}", PAGE_S, lambda d=depth, i=ids: reader.rows(i[d : d + PAGE_ROWS]), repeats)
    print("search, time to the first page of hits")
    for name, query in SEARCHES.items():
        timed(f"  {name}", SEARCH_S, lambda q=query: reader.first_page(q, PAGE_ROWS), repeats)
    print("search, whole list")
    for name, query in SEARCHES.items():
        timed(f"  {name}", OPEN_S, lambda q=query: reader.ids(q), repeats)
    print("pairs")
    newest = reader.newest_id()
    places = iter([newest * (2 * i + 1) // (2 * repeats + 2) for i in range(repeats + 1)])
    timed("  a row and its counterparts", PAGE_S, lambda: reader.pair(next(places)), repeats)
    timed("  newest id", PAGE_S, lambda: reader.newest_id(), repeats)
    reader.close()


def main() -> None:
    """Make the database where it is missing, then read it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--database", type=Path, help="default: work/bench/traces-ROWS.db")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--again", action="store_true", help="make the database anew")
    options = parser.parse_args()
    database = options.database or default_database(options.rows)
    if options.again:
        database.unlink(missing_ok=True)
    if not database.exists():
        make(database, options.rows)
    print(f"{database.stat().st_size / 1e6:,.0f} MB, {options.rows:,} rows")
    measure(database, options.repeats)
    if hasattr(os, "posix_fadvise"):
        measure_cold(database, options.repeats)


if __name__ == "__main__":
    main()
