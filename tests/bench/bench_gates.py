"""How well the gates agree with the labelled hints: by gate, by class and by hint type, and the time that a hint takes.

python tests/bench/bench_gates.py [--differences] [--recorded] [--judge MODEL [--hints N] [--votes K]]

With --judge: how well a model agrees as a judge, alone and after the gates.
"""

import argparse
import random
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.hint_labels import PARTS, check, labelled_hints, score

from training.core.gates import Gate, check_hint
from training.core.hint_language import write_hint
from training.core.problems import FAMILIES, sample_problem
from training.core.question_parser import find_entities, find_nouns, find_quantities
from training.core.types import HintType, Problem, Split
from training.core.validity import Judge, JudgeOptions, Ruling
from training.evaluation.hint_labels import judged_hints, labels_version, measure_agreement
from training.judge_requests import load_judge
from training.judges import find_judge


def percent(value):
    return "      –" if value != value else f"{value:7.1%}"


def print_gates(rows):
    print(f"\n{'gate':20}{'tier':11}{'refused':>8}{'right':>7}{'precision':>11}")
    for gate in Gate:
        refused = [row for row in rows if row.result.gate is gate]
        if refused:
            right = sum(not row.hint.valid for row in refused)
            print(f"{gate:20}{refused[0].result.tier:11}{len(refused):8}{right:7}{right / len(refused):11.1%}")


def print_groups(title, rows, key):
    print(f"\n{title:26}{'invalid':>8}{'refused':>9}{'valid':>7}{'kept':>9}{'precision':>11}")
    for name in sorted({key(row) for row in rows}):
        s = score(row for row in rows if key(row) == name)
        print(
            f"{name:26}{s.invalid:8}{percent(s.recall):>9}{s.valid:7}{percent(s.kept_share):>9}{percent(s.precision):>11}"
        )


def print_templates(count=4000):
    rng = random.Random(5)
    failed = Counter()
    total = Counter()
    for _ in range(count):
        split = rng.choice(list(Split))
        problem = sample_problem(rng, split)
        hint = write_hint(problem, rng.choice(list(HintType)), rng, split)
        total[problem.family] += 1
        failed[problem.family] += not check_hint(hint.text, problem).passed
    print(f"\nHints of the language that pass: {1 - sum(failed.values()) / count:.2%} of {count}")
    for family in FAMILIES:
        print(f"  {family:12}{1 - failed[family] / total[family]:8.2%} of {total[family]}")


def print_recorded():
    path = ROOT / "resources" / "recorded" / "rollouts.db"
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = db.execute(
        "SELECT family, question, gold, completion, gate FROM rollouts WHERE stage = 'r2_hint'"
    ).fetchall()
    before, now, changed = 0, 0, []
    alone = [row for row in rows if row[4] != Gate.NEAR_DUPLICATE]
    for family, question, gold, text, gate in alone:
        problem = Problem(
            "recorded", family, question, gold, FAMILIES[family].kind, "", find_entities(question), find_nouns(question),
            find_quantities(question),
        )  # fmt: skip
        result = check_hint(text, problem)
        before += gate is None
        now += result.passed
        if (gate is None) != result.passed:
            changed.append((question, text, result))
    print(
        f"\nRecorded hints, near duplicates aside: {before}/{len(alone)} passed in the run, {now}/{len(alone)} pass now"
    )
    for question, text, result in changed:
        print(f"  {question!r}\n    {text!r}: {result.gate} {result.reason}")


def print_judge(model, limit, votes):
    options = JudgeOptions(model, votes=votes)
    hints = judged_hints(limit)
    judge = Judge(load_judge(find_judge(model), options, threads=1), options)
    started, decisions = time.monotonic(), []
    for start in range(0, len(hints), 16):
        decisions += judge.decide([(h.problem, h.text) for h in hints[start : start + 16]])
        print(f"\r{len(decisions)} of {len(hints)}", end="", file=sys.stderr, flush=True)
    found = measure_agreement(
        [h.valid for h in hints], [d.ruling for d in decisions], [h.problem.question for h in hints],
        time.monotonic() - started,
    )  # fmt: skip
    print(f"\n\n== judge {model}: {found.n} labelled hints (version {labels_version()}), {votes} votes")
    for name in ("precision", "recall"):
        x = getattr(found, name)
        print(f"{name:12}{x.mean:7.1%} [{x.low:.1%}, {x.high:.1%}]")
    print(f"not decided {found.abstained:7.1%}   could not be asked {sum(bool(d.failure) for d in decisions)}")
    print(f"agreement   {found.agreement:7.1%}   kappa {found.kappa:.3f}   {found.seconds:.2f} s a hint")
    print("useful" if found.useful else "not useful: a lower limit is below 90%")
    kept = [(h, d) for h, d in zip(hints, decisions, strict=True) if check_hint(h.text, h.problem).passed]
    for valid, word in ((False, "invalid"), (True, "valid")):
        rulings = [d.ruling for h, d in kept if h.valid is valid]
        refused = sum(ruling is not Ruling.KEPT for ruling in rulings)
        print(f"of {len(rulings)} {word} hints that the gates let through, the judge refuses {refused}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--differences", action="store_true", help="each hint of the dev part that is decided wrongly")
    parser.add_argument("--recorded", action="store_true", help="also templates and the recorded run's hints")
    parser.add_argument("--judge", metavar="MODEL", help="only this: how well a model agrees as a judge")
    parser.add_argument("--hints", type=int, default=0, metavar="N", help="labelled hints for the judge (default: all)")
    parser.add_argument("--votes", type=int, default=3, metavar="K")
    options = parser.parse_args()
    if options.judge:
        print_judge(options.judge, options.hints, options.votes)
        return
    for part in PARTS:
        hints = list(labelled_hints(part))
        rows = [check(hint) for hint in hints]
        started = time.process_time()
        for hint in hints:
            check(hint)
        each = 1000 * (time.process_time() - started) / len(hints)
        s = score(rows)
        print(
            f"\n== {part}: {len(rows)} hints over {len({h.problem.question for h in hints})} problems, {each:.2f} ms of CPU each"
        )
        print(
            f"invalid refused {s.refused}/{s.invalid} = {s.recall:.1%}; valid kept {s.kept}/{s.valid} = {s.kept_share:.1%}; precision {s.precision:.1%}"
        )
        print_gates(rows)
        print_groups("class", rows, lambda row: row.hint.cls)
        print_groups("type", rows, lambda row: row.hint.type)
        for row in rows if options.differences and part == "dev" else ():
            if not row.agrees:
                print(
                    f"{row.hint.place}: {'valid' if row.hint.valid else 'invalid'} {row.hint.cls}: {row.hint.text!r}: {row.result.reason}"
                )
    if options.recorded:
        print_templates()
        print_recorded()


if __name__ == "__main__":
    main()
