"""The hint language: how much of it there is, how near a uniform draw is to its problem, and whether each hint drawn is
read back and passes the gates.

python tests/bench/bench_language.py [--hints 20000] [--seed 1]
"""

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from training.core.gates import GateLimits, check_hint
from training.core.hint_language import FORMS, WORDS, count_forms, invalid_reason, parse_hint, write_hint
from training.core.problems import FAMILIES, sample_problem
from training.core.types import HintType, Split


def print_size():
    words = {w.casefold().strip(",") for s in WORDS.values() for p in (*s.train, *s.held_out) for w in p.split()}
    print(f"{sum(f.weight > 0 for f in FORMS)} forms that are written, {len(FORMS)} that are read, {len(words)} words "
          "beside names and things")  # fmt: skip
    print(f"\n{'clauses by type':28}{'train':>12}{'held out':>12}{'hints of two (train)':>24}")
    for type_ in HintType:
        train, held_out = (count_forms(type_, split) for split in Split)
        print(f"{type_:28}{train:12,}{held_out:12,}{train**2:24,}")


def share(n, of):
    return f"{n / of:7.1%}" if of else "      –"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hints", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print_size()
    rng = random.Random(options.seed)
    failed, total, claims = Counter(), Counter(), Counter()
    features, texts, seconds = Counter(), set(), Counter()
    for number in range(options.hints):
        if number % 5_000 == 0:
            print(f"{number:,} of {options.hints:,} hints drawn", flush=True)
        split, type_ = rng.choice(list(Split)), rng.choice(list(HintType))
        problem = sample_problem(rng, split)
        started = time.process_time()
        hint = write_hint(problem, type_, rng, split)
        written = time.process_time()
        parsed = parse_hint(hint.text, problem)
        read = time.process_time()
        passed = check_hint(hint.text, problem, GateLimits(language="closed")).passed
        seconds.update(write=written - started, read=read - written, check=time.process_time() - read)
        failed["not read back"] += parsed is None
        failed["another type or split"] += parsed is not None and (parsed.type, parsed.split) != (type_, split)
        failed["refused by the language"] += parsed is not None and invalid_reason(parsed, problem) is not None
        failed["refused by the gates"] += not passed
        failed["suggests the true answer"] += hint.suggested == problem.answer
        texts.add(hint.text)
        total[type_] += 1
        for clause in parsed.clauses if parsed else ():
            features[type_, "clauses"] += 1
            features[type_, "claims"] += clause.claims == "event"
            features[type_, "own person"] += clause.claims == "event" and clause.subject == "own"
            features[type_, "own thing"] += clause.claims == "event" and clause.thing == "own"
            both = clause.claims == "event" and clause.subject == clause.thing == "own"
            features[type_, "both own"] += both
            features[type_, "both, own verb"] += both and clause.relation_own
            features[type_, "own number"] += any(n.relation == "own" for n in clause.numbers)
            features[type_, "near answer"] += any(n.relation == "near_answer" for n in clause.numbers)
            claims[clause.form] += 1
    n = sum(total.values())
    print(f"\n{n:,} hints drawn over {len(FAMILIES)} families, all types and splits: {len(texts):,} different texts")
    for name in ("not read back", "another type or split", "refused by the language", "refused by the gates",
                 "suggests the true answer"):  # fmt: skip
        print(f"  {name:28}{failed[name]:8}")
    print("  CPU ms a hint: " + ", ".join(f"{k} {1000 * v / n:.2f}" for k, v in seconds.items()))
    columns = ("claims", "own person", "own thing", "both own", "both, own verb", "own number", "near answer")
    print(f"\n{'share of clauses':28}" + "".join(f"{c:>16}" for c in columns))
    for type_ in HintType:
        print(f"{type_:28}" + "".join(f"{share(features[type_, c], features[type_, 'clauses']):>16}" for c in columns))
    rare = [form.id for form in FORMS if form.weight and not claims[form.id]]
    print(f"\nforms never drawn: {', '.join(rare) or 'none'}")


if __name__ == "__main__":
    main()
