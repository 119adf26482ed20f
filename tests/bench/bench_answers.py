"""How well the answer reader agrees with the labelled completions: precision and recall by tier and style, and each difference.

python tests/bench/bench_answers.py [--quiet]
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.answer_labels import compare, labelled_completions, score

from training.core.answer_reader import Tier


def print_scores(title, groups):
    print(f"\n{title:16}{'items':>7}{'read':>7}{'precision':>11}{'recall':>9}{'outcome':>9}")
    for name, rows in groups:
        s = score(rows)
        print(f"{name:16}{s.items:7}{s.found:7}{s.precision:11.3f}{s.recall:9.3f}{s.outcome_agreement:9.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quiet", action="store_true", help="only the figures, not every difference")
    options = parser.parse_args()
    items = list(labelled_completions())
    started = time.perf_counter()
    rows = [compare(item) for item in items]
    seconds = time.perf_counter() - started
    styles = sorted({item.style for item in items})
    print(f"{len(items)} completions read in {seconds:.2f} s, {1000 * seconds / len(items):.2f} ms each")
    # The recall of a tier is over the answers that this tier was the one to read.
    print_scores("tier", [(tier, [row for row in rows if row.read.tier is tier]) for tier in Tier])
    print_scores("style", [(style, [row for row in rows if row.item.style == style]) for style in styles])
    print_scores("", [("all", rows)])
    differences = [
        r for r in rows if r.outcome != r.item.outcome or (bool(r.item.answer) != r.found) or (r.found and not r.agrees)
    ]
    print(f"\n{len(differences)} differences")
    for row in () if options.quiet else differences:
        item, read = row.item, row.read
        print(
            f"{item.place}: labelled {item.outcome} {item.answer!r}, read {row.outcome} {read.answer!r} ({read.tier})"
        )
        print(f"    …{item.text[-160:]!r}{' | ' + item.note if item.note else ''}")


if __name__ == "__main__":
    main()
