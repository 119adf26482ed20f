"""The verbs `seirenes grade` and `seirenes gate`: how a completion is graded, and what the gates say of a hint.

One text on the command line, or many as JSON lines with `--batch`. No model is asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seirenes_app.cli.common import OUT
from seirenes_app.services.hint_authoring.draft import DraftProblem
from seirenes_app.services.hint_authoring.problems import as_problem
from training.core.answer_reader import READER_VERSION
from training.core.answers import AnswerGrader
from training.core.gates import check_hint
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Problem
from training.errors import UserError

Fields = Mapping[str, Any]


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`seirenes grade` and `seirenes gate` with their options."""
    grade_ = verbs.add_parser("grade")
    grade_.add_argument("text", nargs="?", metavar="TEXT", help="a completion; '-' reads it from standard input")
    grade_.add_argument("--truncated", action="store_true", help="the token limit cut the completion off")
    gate_ = verbs.add_parser("gate")
    gate_.add_argument("text", nargs="?", metavar="HINT")
    for parser, fields in ((grade_, "text, gold, kind"), (gate_, "question, gold, kind, hint")):
        parser.add_argument("--question", default="", metavar="Q", help="the problem's question")
        parser.add_argument("--answer", metavar="A", help="the gold answer")
        parser.add_argument("--kind", choices=list(AnswerKind), default=AnswerKind.NUMBER.value, help="default: number")
        parser.add_argument(
            "--batch", metavar="FILE.jsonl", help=f"one JSON object a line: {fields}; '-': standard input"
        )
        parser.add_argument(
            "--json", action="store_true", help="print JSON, one object a line in the order of the input"
        )


def grade(options: argparse.Namespace) -> int:
    """Show the outcome of completions, the answer that was read, and where it was found."""
    with SymbolicCheck() as symbolic:
        grader = AnswerGrader(symbolic)

        def facts(given: Fields) -> dict[str, Any]:
            # A question is not needed; it tells which numbers are given, and what is asked for.
            question = str(given.get("question") or "")
            options = tuple(map(str, given.get("options") or ()))
            problem = Problem("typed", "typed", question, _text(given, "gold"), _kind(given), "", options)
            found = grader.grade(_text(given, "text"), problem, truncated=bool(given.get("truncated", False)))
            return {
                "outcome": found.outcome, "value": found.answer, "tier": found.tier, "reason": found.reason,
                "reader": READER_VERSION,
            }  # fmt: skip

        def show(found: dict[str, Any]) -> None:
            outcome = "unreadable" if found["outcome"] == "unparsable" else found["outcome"]
            answer = f" Answer read: {found['value']}." if found["value"] else ""
            _print(f"{outcome.capitalize().replace('_', ' ')}.{answer} {found['reason']}")

        text = sys.stdin.read() if options.text == "-" else options.text
        return _run(options, {"text": text, "truncated": options.truncated}, facts, show)


def gate(options: argparse.Namespace) -> int:
    """Show whether hints pass the gates, and which gate refuses them."""

    def facts(given: Fields) -> dict[str, Any]:
        draft = DraftProblem(_text(given, "question"), _text(given, "gold"), _kind(given))
        result = check_hint(_text(given, "hint"), as_problem(draft))
        return {"passed": result.passed, "gate": result.gate, "tier": result.tier, "reason": result.reason}

    def show(found: dict[str, Any]) -> None:
        _print(
            "Passed every gate." if found["passed"]
            else f"Refused by the gate {found['gate']} ({found['tier']}). {found['reason']}"
        )  # fmt: skip

    return _run(options, {"hint": options.text}, facts, show)


def _run(
    options: argparse.Namespace,
    single: Fields,
    facts: Callable[[Fields], dict[str, Any]],
    show: Callable[[dict[str, Any]], None],
) -> int:
    """One text, or each line of the batch. A line that cannot be used gives its error in its place, and exit code 2."""
    if options.batch is None:
        if options.text is None or options.answer is None:
            raise UserError("Give a text and --answer, or --batch FILE.jsonl.")
        found = facts({"question": options.question, "gold": options.answer, "kind": options.kind, **single})
        if options.json:
            print(json.dumps(found, ensure_ascii=False))
        else:
            show(found)
        return 0
    code = 0
    for number, line in _lines(options.batch):
        try:
            found = facts(_decode(line))
        except UserError as error:
            code, found = 2, {"error": f"{options.batch}, line {number}: {error}"}
        if options.json:
            print(json.dumps(found, ensure_ascii=False), flush=True)
        elif "error" in found:
            print(f"seirenes: {found['error']}", file=sys.stderr)
        else:
            show(found)
    return code


def _lines(name: str) -> Iterator[tuple[int, str]]:
    place = Path(name).expanduser()
    # A pipe that a shell made has its writer; opening another one waits for ever.
    if name != "-" and place.is_fifo() and not name.startswith(("/dev/", "/proc/")):
        raise UserError(f"{name} is a named pipe. Name a file of JSON lines, or '-' for standard input.")
    try:
        file = sys.stdin if name == "-" else place.open(encoding="utf-8")
        with file:
            yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read {name} ({error}). Name a file of JSON lines in UTF-8.") from error


def _decode(line: str) -> Fields:
    try:
        given = json.loads(line)
    except ValueError as error:
        raise UserError(f"it is not JSON ({error}).") from error
    if not isinstance(given, dict):
        raise UserError("it is not a JSON object.")
    return given


def _text(given: Fields, name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise UserError(f"the field {name!r} is missing or not text.")
    return str(value)


def _kind(given: Fields) -> AnswerKind:
    kind = given.get("kind") or AnswerKind.NUMBER
    if kind not in list(AnswerKind):
        raise UserError(f"there is no kind {kind!r}. There are: {', '.join(AnswerKind)}.")
    return AnswerKind(kind)


def _print(text: str) -> None:
    OUT.print(text.strip(), markup=False, highlight=False, soft_wrap=True)
