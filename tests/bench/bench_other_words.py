"""Problems written by hand in other words than those of the families: how many a model solves, greedily.

python tests/bench/bench_other_words.py [MODEL]
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from training.core.problems import problem_stream
from training.core.types import Outcome, Split
from training.engine.models import bundled_starter, resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.starter.measure import _Solver

PROBLEMS = [
    (
        "A farmer had 23 sheep. During the winter 6 ran off, and in spring 9 lambs were born. How many sheep does the farmer have?",
        "26",
    ),
    ("Rita read 14 pages before lunch and 9 pages after lunch. How many pages did she read that day?", "23"),
    (
        "There were 31 people on a bus. At the next stop 12 of them got off and 5 got on. How many people are on the bus?",
        "24",
    ),
    ("Tim has 18 stamps. He gives 7 of them to his cousin. How many stamps does Tim have left?", "11"),
    ("Each of the 6 shelves in the shop holds 8 jars. How many jars are there?", "48"),
    ("Nora picked 12 plums. Hugo picked twice as many as Nora. How many plums did Hugo pick?", "24"),
    ("A baker made 40 rolls and sold 27 of them by noon. How many rolls were left?", "13"),
    ("Leo paid 5 coins for a pen and 8 coins for a book. How many coins did he pay in all?", "13"),
    ("Amir caught 9 fish on Saturday and 4 on Sunday. How many fish did he catch?", "13"),
    ("Sue has 25 beads and Kim has 10. Sue gives Kim 6 beads. How many beads does Kim have now?", "16"),
    ("Olga baked 20 muffins. Her children ate 8 of them. How many muffins are left?", "12"),
    ("In a class there are 15 girls. There are 4 fewer boys than girls. How many boys are there?", "11"),
    ("Pia has 3 boxes of crayons with 9 crayons in each box. How many crayons does she have?", "27"),
    (
        "Ivan saved 30 dollars. He spent 12 dollars on a toy and 5 dollars on a snack. How many dollars does he have left?",
        "13",
    ),
    ("A jar has 16 green sweets and 13 red sweets. How many sweets are in the jar?", "29"),
    (
        "Mina had 22 balloons, but 5 of them popped. Then her dad bought her 10 more. How many balloons does she have now?",
        "27",
    ),
]


def main() -> None:
    model = resolve_model(sys.argv[1] if len(sys.argv) > 1 else str(bundled_starter()))
    solver = _Solver(LocalTorchBackend(model, device="cpu", threads=1))
    number = next(problem_stream(1, Split.TRAIN, ("change",)))
    asked = [replace(number, id=f"hand-{i}", question=q, answer=a) for i, (q, a) in enumerate(PROBLEMS)]
    outcomes = solver.outcomes([(p, p.question) for p in asked])
    for problem, outcome in zip(asked, outcomes, strict=True):
        print(f"{outcome:<12} {problem.question}")
    print(f"{sum(o is Outcome.RIGHT for o in outcomes)} of {len(asked)} solved")


if __name__ == "__main__":
    main()
