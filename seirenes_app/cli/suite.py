"""The verb `seirenes suite`: make, list, show, export, verify and delete suites."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from seirenes_app.cli.common import (
    OUT,
    add_prompts_option,
    add_spending_options,
    confirm_cost,
    find_run_or_recorded,
    print_meter,
    read_limits,
    read_prompts,
)
from seirenes_app.cli.craft import Waiting, say
from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.model_client import EndpointModel, budget_for
from seirenes_app.services import suites
from seirenes_app.services.formatting import visible
from seirenes_app.services.hint_authoring.draft import SolverChoice
from seirenes_app.services.hint_authoring.jobs import Job
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.store.workspace import CraftStore, Workspace
from training.core.prompts import Placement
from training.core.types import HintType, Problem, Split
from training.endpoints import find_endpoint, names_endpoint
from training.errors import UserError
from training.evaluation.lm_eval_export import export_rows, export_tasks
from training.evaluation.suites.io import MANIFEST, SavedSuite
from training.evaluation.suites.manifest import separation
from training.evaluation.suites.repository import SuiteEntry, SuiteRepository, suite_facts
from training.resources import data_folder

STOPPED = 3
EXAMPLES = 3


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    suite_ = verbs.add_parser("suite")
    commands = suite_.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_make(commands.add_parser("make", help="make a suite; every hint passes the gates and has its placebo"))
    list_ = commands.add_parser("list", help="list the suites")
    list_.add_argument("--json", action="store_true")
    show = commands.add_parser("show", help="what is in a suite, and what training sees of it")
    _add_name(show)
    show.add_argument("--items", type=int, default=EXAMPLES, metavar="N", help=f"show N items (default: {EXAMPLES})")
    show.add_argument("--json", action="store_true")
    export = commands.add_parser("export", help="write a suite for other programs")
    _add_name(export)
    export.add_argument(
        "--to", choices=["jsonl", "lm-eval"], required=True, help="rows, or lm-evaluation-harness tasks"
    )
    export.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="folder to make")
    add_prompts_option(export, "of lm-eval's prompt; default: compact, for the bundled model")
    export.add_argument("--max-tokens", type=int, default=128, metavar="N", help="of a solution (default: 128)")
    export.add_argument("--force", action="store_true", help="replace an earlier export")
    export.add_argument("--json", action="store_true")
    verify = commands.add_parser("verify", help="check hashes, gates, gold answers and placebos")
    _add_name(verify)
    verify.add_argument("--json", action="store_true")
    delete = commands.add_parser("delete", help="move a suite to the trash")
    _add_name(delete)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a suite's name or folder")


def _add_make(make: argparse.ArgumentParser) -> None:
    make.add_argument("name", metavar="NAME")
    make.add_argument(
        "--from", dest="source", nargs="+", required=True, metavar="SOURCE",
        help="families | problems FILE or PRESET | run RUN | draft ID …",
    )  # fmt: skip
    make.add_argument(
        "--hints", nargs="+", metavar="WHO",
        help="language | model GGUF|HUB-ID|endpoint:NAME ('starter': the bundled one) | archive, of a run (default: by "
        "the source)",
    )  # fmt: skip
    make.add_argument(
        "--problems", type=int, metavar="N",
        help=f"how many (default: families {suites.FAMILIES_PROBLEMS}, run {suites.RUN_PROBLEMS}, a file's all)",
    )  # fmt: skip
    make.add_argument("--seed", type=int, default=2605)
    make.add_argument(
        "--split", type=_underscored, choices=[s.value for s in Split], default=Split.HELD_OUT.value,
        help="phrasings and forms of hints: those training never sees, or its own (default: held_out)",
    )  # fmt: skip
    make.add_argument(
        "--forms", "--templates", dest="templates", type=_underscored, choices=[s.value for s in Split],
        help="other forms of hints than those of --split: the same problems under both show a generalisation gap",
    )  # fmt: skip
    make.add_argument("--types", nargs="+", default=[], metavar="TYPE", help=f"of {', '.join(HintType)}")
    make.add_argument("--families", nargs="+", default=[], metavar="FAMILY", help="only these")
    make.add_argument(
        "--placement", type=_underscored, choices=[p.value for p in Placement], default=Placement.APPEND.value,
        help="where the hints go (default: append)",
    )  # fmt: skip
    add_prompts_option(make, "for --hints model; default: by the model")
    add_spending_options(make)
    make.add_argument("--licence", default="", metavar="TEXT", help="what is said of the texts' licence")
    make.add_argument("--json", action="store_true")


def _underscored(text: str) -> str:
    return text.replace("-", "_")


def suite(options: argparse.Namespace) -> int:
    commands = {"make": _make, "list": _list, "show": _show, "export": _export, "verify": _verify, "delete": _delete}
    return commands[options.command](options)


# ---------------------------------------------------------------------- make


def _make(options: argparse.Namespace) -> int:
    order, library = _order(options), SuiteRepository(suites_folder())

    def write(
        choice: SolverChoice, problems: Sequence[Problem], types: Sequence[HintType], seed: int
    ) -> suites.Written | None:
        served = names_endpoint(choice.model)
        if served:
            confirm_cost([suites.writing_cost(choice, problems, types)], options)
        with ExitStack() as stack:
            model: EndpointModel | None = None
            client: WorkerClient | None = None
            if served:
                endpoint = find_endpoint(choice.model)
                model = stack.enter_context(EndpointModel(endpoint, budget=budget_for(endpoint, read_limits(options))))
            else:
                client = stack.enter_context(WorkerClient())
            waiting = stack.enter_context(Waiting("writing hints", quiet=options.json))
            job = Job(
                client, waiting.done, waiting.failed, suites.write_hints, choice, problems, types, seed, waiting.show,
                model_client=model,
            )  # fmt: skip
            written: suites.Written = waiting.result(job)
            if model is not None:
                print_meter(model.meter)
        return None if job.cancelled else written

    done = suites.fill_order(
        order, library, sets_folder=data_folder() / "problem-sets", drafts=lambda: CraftStore(Workspace()),
        write_hints=write,
    )  # fmt: skip
    if done is None:
        print("seirenes: interrupted; no suite was made", file=sys.stderr)
        return STOPPED
    if options.json:
        print(json.dumps(_made_facts(done), ensure_ascii=False))
    else:
        _say_made(done)
    return 0


def _order(options: argparse.Namespace) -> suites.SuiteOrder:
    kind, *named = options.source
    if kind not in list(suites.Source):
        raise UserError(f"--from {kind!r}: a suite is made from {', '.join(suites.Source)}.")
    source = suites.Source(kind)
    writer, model = _writer(options.hints, source)
    if source is suites.Source.RUN:
        named = [str(_run_folder(name)) for name in named]
    if not 0 <= options.seed < 2**62:
        raise UserError(f"--seed is {options.seed}; it must be 0 to {2**62 - 1}.")
    return suites.SuiteOrder(
        name=options.name,
        source=source,
        named=tuple(named),
        writer=writer,
        model=model,
        problems=options.problems,
        seed=options.seed,
        split=Split(options.split),
        templates=Split(options.templates) if options.templates else None,
        types=tuple(_type(name) for name in _separate(options.types)),
        families=tuple(_separate(options.families)),
        placement=Placement(options.placement),
        prompts=read_prompts(options),
        licence=options.licence.strip(),
    )


def _run_folder(name: str) -> Path:
    return find_run_or_recorded(name).root


def _writer(hints: Sequence[str] | None, source: suites.Source) -> tuple[suites.Writer, str]:
    if hints is None:
        return (
            suites.Writer.ARCHIVE if source in (suites.Source.RUN, suites.Source.DRAFT) else suites.Writer.TEMPLATES
        ), ""
    kind, *rest = hints
    kind = suites.Writer.TEMPLATES if kind == "language" else kind
    if kind not in list(suites.Writer) or len(rest) != (kind == suites.Writer.MODEL):
        raise UserError(f"--hints {' '.join(hints)}: write 'language', 'model GGUF' or 'archive'.")
    return suites.Writer(kind), "" if not rest or rest[0] == "starter" else rest[0]


def _separate(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(part.strip() for name in names for part in name.split(",") if part.strip()))


def _type(name: str) -> HintType:
    if _underscored(name) not in list(HintType):
        raise UserError(f"There is no type {name!r}. There are: {', '.join(HintType)}.")
    return HintType(_underscored(name))


def _made_facts(done: suites.Ordered) -> dict[str, Any]:
    saved, tally = done.saved, done.tally
    counts = {"tried": tally.tried, "refused": dict(tally.refused), "without": dict(tally.missing)}
    return suite_facts(saved.folder, saved.manifest) | {"digest": saved.suite.digest(), "gates": counts}


def _say_made(done: suites.Ordered) -> None:
    manifest, tally = done.saved.manifest, done.tally
    say(f"{manifest.name}: {manifest.problems} problems, {manifest.hints} hints, each with its placebo")
    refused = sum(tally.refused.values())
    rejected = f"; refused {refused}: {_counted(tally.refused)}" if refused else "; none refused"
    say(f"Gates: {tally.tried} texts tried{rejected}")
    if missing := sum(tally.missing.values()):
        say(f"No hint was left for {missing} problems: {_counted(tally.missing)}")
    say(separation(manifest))
    say(f"Hash {done.saved.suite.digest()} (file {done.saved.manifest.sha256[:8]}), in {done.saved.folder}")


def _counted(counts: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))) or "none"
    )


# ---------------------------------------------------------------------- list, show


def _list(options: argparse.Namespace) -> int:
    library = SuiteRepository(suites_folder())
    entries = library.list()
    if options.json:
        print(json.dumps([_entry_facts(entry) for entry in entries], ensure_ascii=False))
        return 0
    if not entries:
        say(f"No suites in {library.root}. Make one: seirenes suite make NAME --from families")
        return 0
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in ("suite", "problems", "hints", "problems / hints are", "hints by", "file"):
        table.add_column(heading, justify="right" if heading in ("problems", "hints") else "left")
    for entry in entries:
        if entry.manifest is not None:
            table.add_row(*map(Text, _cells(entry)))
    OUT.print(table)
    for entry in entries:
        if entry.manifest is None:
            say(f"{entry.name} cannot be read: {entry.problem}")
    return 0


def _entry_facts(entry: SuiteEntry) -> dict[str, Any]:
    if entry.manifest is None:
        return {"name": entry.name, "folder": str(entry.folder), "problem": entry.problem}
    return suite_facts(entry.folder, entry.manifest)


def _cells(entry: SuiteEntry) -> tuple[str, ...]:
    facts = _entry_facts(entry)
    return (
        entry.name, str(facts["problems"]), str(facts["hints"]), facts["brief_separation"],
        ", ".join(facts["authors"]) or "nobody", facts["sha256"][:8],
    )  # fmt: skip


def _show(options: argparse.Namespace) -> int:
    saved = SuiteRepository(suites_folder()).open(options.name)
    facts = suite_facts(saved.folder, saved.manifest) | {"digest": saved.suite.digest()}
    if options.json:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    say(f"{facts['name']}: {facts['problems']} problems, {facts['hints']} hints, placement {facts['placement']}")
    say(facts["separation"])
    say(f"Hash {facts['digest']} (file {facts['sha256'][:16]}), made {facts['created']}, in {facts['folder']}")
    if facts["recipe"]:
        say("Made: " + ", ".join(f"{key} {_plain(value)}" for key, value in facts["recipe"].items()))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in ("type", "hints", "passed all gates"):
        table.add_column(heading, justify="left" if heading == "type" else "right")
    for type_, count in facts["types"].items():
        table.add_row(type_.replace("_", " "), str(count), str(facts["passed"].get(type_, 0)))
    OUT.print(table)
    say(f"Families: {_counted(facts['families'])}")
    say(f"Written by: {_brief_writers(facts['writers'])}")
    say(f"Licence: {facts['licence']}")
    _say_items(saved, options.items)
    return 0


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return _counted(value)
    return " ".join(map(str, value)) if isinstance(value, list) else "all" if value is None else str(value)


def _brief_writers(writers: Mapping[str, int]) -> str:
    """Models and runs by name; forms of drawn hints as a number of them."""
    templates = {name: n for name, n in writers.items() if "/" in name and not name.startswith(("model:", "run:"))}
    others = {name: n for name, n in writers.items() if name not in templates}
    words = [f"{sum(templates.values())} drawn in {len(templates)} forms"] if templates else []
    return "; ".join([*words, *([_counted(others)] if others else [])]) or "nobody"


def _say_items(saved: SavedSuite, count: int) -> None:
    for item in saved.suite.items[: max(0, count)]:
        say(f"\n{item.problem.question}  [{item.problem.answer}]")
        for hint, placebo in zip(item.hints, item.placebos, strict=False):
            pushes = f" (pushes {hint.suggested})" if hint.suggested else ""
            say(f"  {hint.type.replace('_', ' ')}: {hint.text}{pushes}")
            say(f"    placebo: {placebo}")


# ---------------------------------------------------------------------- export, verify


def _export(options: argparse.Namespace) -> int:
    if not 1 <= options.max_tokens <= 65_536:
        raise UserError(f"--max-tokens is {options.max_tokens}; it must be 1 to 65536.")
    saved = SuiteRepository(suites_folder()).open(options.name)
    facts: dict[str, Any] = {}
    folder, manifest = options.out.expanduser().absolute(), saved.manifest
    if options.to == "jsonl":
        text = (saved.folder / MANIFEST).read_text(encoding="utf-8")
        counts = export_rows(saved.suite, folder, placement=manifest.placement, manifest=text, force=options.force)
        remark = ""
    else:
        made = export_tasks(
            saved.suite, folder, placement=manifest.placement, prompts=read_prompts(options),
            max_tokens=options.max_tokens, licence=manifest.licence, separation=separation(manifest),
            force=options.force,
        )  # fmt: skip
        counts, remark = made.tasks, f"Run them as {folder / 'README.md'} says: lm_eval … --tasks {made.group}"
        facts = {"group": made.group, "left_out": made.left_out}
        if made.left_out:
            remark = f"{made.left_out} rows with symbolic answers were left out.\n{remark}"
    if options.json:
        print(json.dumps({"folder": str(folder), "rows": counts} | facts))
        return 0
    for name, rows in counts.items():
        say(f"{rows:>7,}  {name}")
    say(remark or f"in {folder}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    library = SuiteRepository(suites_folder())
    folder, found = library.find(options.name), library.check(options.name)
    if options.json:
        facts = [{"file": f.file, "line": f.line, "text": f.text} for f in found]
        print(json.dumps({"folder": str(folder), "sound": not found, "findings": facts}, ensure_ascii=False))
    elif not found:
        manifest = library.open(options.name).manifest
        invalid = f" {len(manifest.invalid)} hints are marked as invalid." if manifest.invalid else ""
        say(f"{manifest.name} is sound: {manifest.problems} problems, {manifest.hints} hints.{invalid}")
        say(separation(manifest))
    for finding in found:
        print(f"seirenes: {visible(str(finding))}", file=sys.stderr)
    return 2 if found else 0


def _delete(options: argparse.Namespace) -> int:
    trashed = SuiteRepository(suites_folder()).trash(options.name)
    say(f"{options.name} was moved to {trashed}. Evaluations of it keep their rows.")
    return 0
