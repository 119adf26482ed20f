"""`seirenes judge`: measure models as judges of hints, list what was measured, ask one, keep a server's key."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from rich.table import Table

from seirenes_app.cli.common import OUT, ProgressLine, change_key, display_progress, interruptible, print_table
from seirenes_app.services.formatting import count_of, duration, percent, percent_interval
from seirenes_app.services.hint_authoring.draft import DraftProblem
from seirenes_app.services.hint_authoring.problems import as_problem, guess_kind
from seirenes_app.services.judging import JudgeStanding, ask_judge, measure_judge
from training.core.validity import Decision, JudgeOptions
from training.errors import UserError
from training.evaluation.hint_labels import judged_hints, labels_version
from training.judges import JudgeKind, JudgeMeasurement, find_judge, known_measurements
from training.runs.config import from_dict, parse_overrides

MODEL_HELP = "a model folder, a GGUF file, 'starter', or an endpoint as endpoint:NAME or http://host:port/v1#model"


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parts = verbs.add_parser("judge").add_subparsers(dest="part", metavar="PART", required=True)
    measure = parts.add_parser("measure", help="ask a judge about the labelled hints, and keep how it agrees")
    measure.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    measure.add_argument("--limit", type=int, default=0, metavar="N", help="only N labelled hints (default: all)")
    _add_options(measure)
    ask = parts.add_parser("ask", help="what a judge says of one hint, with its votes")
    ask.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    ask.add_argument("hint", metavar="HINT")
    ask.add_argument("--question", required=True, metavar="Q", help="the problem's question")
    ask.add_argument("--gold", required=True, metavar="A", help="its true answer")
    _add_options(ask)
    listed = parts.add_parser("list", help="the judges that were measured")
    listed.add_argument("--json", action="store_true")
    key = parts.add_parser("key", help="keep a server's key in the system keyring; typed, or read from a pipe")
    key.add_argument("address", metavar="ADDRESS", help="the server, as in judge.model")
    key.add_argument("--remove", action="store_true", help="remove the key that is kept")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--votes", metavar="N", help="votes on a hint (default: judge.votes)")
    parser.add_argument("--confidence", metavar="SHARE", help="that a vote needs (default: judge.confidence)")
    parser.add_argument("--max-tokens", metavar="N", help="longest reply (default: judge.max_tokens)")
    parser.add_argument("--json", action="store_true")


def _options(options: argparse.Namespace) -> JudgeOptions:
    """Checked as those of a run."""
    names = ("votes", "confidence", "max_tokens")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    texts = [f"judge.{name}={value}" for name, value in given.items()]
    values = {key.partition(".")[2]: value for key, value in parse_overrides(texts, "judge").items()}
    return from_dict({"judge": {"model": options.model, **values}}, "judge").judge


def judge(options: argparse.Namespace) -> int:
    parts: dict[str, Callable[[argparse.Namespace], int]] = {
        "measure": _measure, "ask": _ask, "list": _list, "key": _key,
    }  # fmt: skip
    return parts[options.part](options)


def _measure(options: argparse.Namespace) -> int:
    asked = _options(options)
    least, most = 20, len(judged_hints())
    if options.limit and not least <= options.limit <= most:
        raise UserError(f"--limit is {options.limit}; it must be {least} to {most}, or 0 for all.")
    with interruptible(), display_progress() as show:
        made = measure_judge(asked, options.limit, on_progress=_shower(show, "asking the judge"))
    if options.json:
        print(msgspec.json.encode(made).decode())
        return 0
    found = made.agreement
    OUT.print(
        f"{made.name} on {count_of(found.n, 'labelled hint')} (labels {made.labels})", highlight=False, markup=False
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in (
        ("precision", percent_interval(found.precision)),
        ("recall", percent_interval(found.recall)),
        ("not decided", percent(found.abstained)),
        ("agreement", f"{percent(found.agreement)}, kappa {found.kappa:.2f}"),
        ("time", f"{found.seconds:.2f} s a hint, {duration(found.seconds * found.n)} in all"),
    ):
        table.add_row(name, text)
    print_table(table)
    OUT.print("Refused hints count as “changes the answer”; a hint that is not decided is refused.", highlight=False)
    if warning := JudgeStanding(made.name, made).warning:
        OUT.print(warning, highlight=False, markup=False)
    return 0


def _shower(show: Callable[[ProgressLine], None], doing: str) -> Callable[[float, int], None]:
    def report(done: float, total: int) -> None:
        show(ProgressLine(doing, done, total, f"{int(done)}/{total} hints"))

    return report


def _ask(options: argparse.Namespace) -> int:
    draft = DraftProblem(options.question.strip(), options.gold, guess_kind(options.gold))
    problem = as_problem(draft)
    with interruptible(), display_progress() as show:
        (decision,) = ask_judge(
            _options(options), [(problem, options.hint)], on_progress=_shower(show, "asking the judge")
        )
    if options.json:
        print(msgspec.json.encode(decision).decode())
        return 0
    for line in decision_lines(decision):
        OUT.print(line, highlight=False, markup=False)
    return 0


def decision_lines(decision: Decision) -> list[str]:
    """The ruling and each vote, for a person."""
    found = [decision.reason or f"The judge says that the answer stays ({decision.count_text})."]
    for number, ballot in enumerate(decision.ballots, 1):
        sure = f", {percent(ballot.confidence)} sure" if ballot.confidence else ""
        found.append(f"  vote {number}: {ballot.vote}{sure}{f': {ballot.problem}' if ballot.problem else ''}")
    return found


def _list(options: argparse.Namespace) -> int:
    found = known_measurements()
    if options.json:
        print(msgspec.json.encode(found).decode())
        return 0
    if not found:
        OUT.print("No judge was measured. Measure one: seirenes judge measure MODEL", highlight=False)
        return 0
    table = Table(box=None, pad_edge=False)
    for heading in ("judge", "votes", "precision", "recall", "not decided", "kappa", "s a hint", "n", "when"):
        table.add_column(heading, no_wrap=heading != "judge")
    for made in reversed(found):
        table.add_row(*_cells(made))
    print_table(table)
    return 0


def _cells(made: JudgeMeasurement) -> list[Any]:
    found = made.agreement
    shares = map(percent_interval, (found.precision, found.recall))
    old = "" if made.labels == labels_version() else " (older labels)"
    when = f"{datetime.fromtimestamp(made.measured_at):%Y-%m-%d %H:%M}{old}"
    return [
        made.name, str(made.votes), *shares, percent(found.abstained), f"{found.kappa:.2f}", f"{found.seconds:.2f}",
        str(found.n), when,
    ]  # fmt: skip


def _key(options: argparse.Namespace) -> int:
    ref = find_judge(options.address)
    if ref.kind is not JudgeKind.SERVER:
        raise UserError(f"{options.address} is no server's address. Write it as http://host:port/v1.")
    change_key(ref.place, remove=options.remove)
    return 0
