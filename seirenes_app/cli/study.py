"""`seirenes study`: variants of a run × seeds, and a best response to each; one table says what was shown."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from seirenes_app.cli.common import ERR, ProgressLine, call_name, follow, interruptible, print_table, say, stop_process
from seirenes_app.services.formatting import UNKNOWN, count_of, countdown, duration, percent
from seirenes_app.services.robustness.types import DataTable
from seirenes_app.services.run_repository import RunRepository, log_tail
from seirenes_app.services.study.definition import (
    Part,
    StudyDefinition,
    StudyDir,
    bundled_definitions,
    find_definition,
    find_study,
    list_studies,
    new_study,
    parts_of,
    read_definition,
    read_seeds,
    read_study,
    studies_root,
)
from seirenes_app.services.study.execution import (
    StudyState,
    StudyWatch,
    expected_times,
    extend_study,
    parts_left,
    read_summary,
    start_study,
    sum_seconds,
)
from seirenes_app.services.study.results import (
    MAIN,
    Basis,
    GoalStatus,
    Measure,
    StudyResults,
    all_figures,
    conclusions,
    differences_table,
    gates_sentence,
    goal_sentence,
    lengths_table,
    main_table,
    read_results,
    seeds_table,
    unread_sentence,
)
from training.core.statistics import SeedMean
from training.errors import UserError
from training.runs.files import expanded, write_whole
from training.runs.processes import ASK_ONLY, FORCE, running_process
from training.runs.status import RunStatus

STUDY_HELP = "a study's name or folder"
_CODES = {RunStatus.FINISHED: 0, RunStatus.STOPPED: 3, RunStatus.FAILED: 2}


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    study = verbs.add_parser("study")
    study.set_defaults(edit="list", json=False)
    edits = study.add_subparsers(dest="edit", metavar="EDIT")

    new = edits.add_parser("new", help="make a study from a definition; nothing is started")
    new.add_argument(
        "definition", metavar="DEFINITION",
        help=f"a TOML file, or one that ships: {', '.join(bundled_definitions())}",
    )  # fmt: skip
    new.add_argument("--name", default="", help="its name (default: the definition's)")
    new.add_argument("--seeds", type=_numbers, metavar="0,1,2")
    new.add_argument("--rollouts", type=int, metavar="N", help="rollouts of every run")
    new.add_argument("--response-rollouts", type=int, metavar="N", help="rollouts of every best response; 0: none")
    new.add_argument(
        "--responses", type=int, metavar="N", help="best responses to each Reasoner, with seeds of their own"
    )
    new.add_argument("--problems", type=int, metavar="N", help="held-out problems that measure all runs")
    new.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="a setting of all runs"
    )
    new.add_argument("--json", action="store_true")

    run = edits.add_parser("run", help="do what is left of a study; it can be stopped and run again at any time")
    run.add_argument("study", metavar="STUDY", help=STUDY_HELP)
    run.add_argument("--dry-run", action="store_true", help="print its parts and how long they take; start nothing")
    run.add_argument("--detach", action="store_true", help="start it in the background and return")
    run.add_argument("--json", action="store_true")

    show = edits.add_parser("show", help="its parts, figures, and what they show; of a running one what there is")
    show.add_argument("study", metavar="STUDY", help=STUDY_HELP)
    show.add_argument("--all", action="store_true", help="every measure, not only the main ones")
    show.add_argument("--by-seed", action="store_true", help="also the figures of every seed")
    show.add_argument("--parts", action="store_true", help="also what became of every part")
    show.add_argument("--csv", type=Path, metavar="FILE", help="also write every figure to this file")
    show.add_argument("--json", action="store_true")

    extend = edits.add_parser("extend", help="add seeds, best responses or rollouts to a study; nothing is started")
    extend.add_argument("study", metavar="STUDY", help=STUDY_HELP)
    extend.add_argument("--seeds", type=_numbers, metavar="3,4,5", default=(), help="further seeds")
    extend.add_argument("--responses", type=int, metavar="N", help="best responses to each Reasoner from now on")
    extend.add_argument("--rollouts", type=int, metavar="N", help="rollouts of every run, which go on where they ended")
    extend.add_argument("--json", action="store_true")

    listing = edits.add_parser("list", help="the studies (the default)")
    listing.add_argument("--json", action="store_true")

    stop = edits.add_parser("stop", help="stop a study and what it is running; what is done is kept")
    stop.add_argument("study", metavar="STUDY", help=STUDY_HELP)
    stop.add_argument("--force", action="store_true", help="terminate, then kill, if it does not stop when asked")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return read_seeds(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def study(options: argparse.Namespace) -> int:
    """Make, extend, run, show, list or stop studies."""
    edits = {"new": _new, "extend": _extend, "run": _run, "show": _show, "list": _list, "stop": _stop}
    return edits[options.edit or "list"](options)


# ---------------------------------------------------------------------- new, list


def _new(options: argparse.Namespace) -> int:
    wanted = {
        "seeds": options.seeds, "rollouts": options.rollouts, "problems": options.problems,
        "response_rollouts": options.response_rollouts, "responses": options.responses,
    }  # fmt: skip
    found = read_definition(
        find_definition(options.definition), name=options.name, overrides=options.overrides,
        changes={key: value for key, value in wanted.items() if value is not None},
    )  # fmt: skip
    paths = new_study(found)
    if options.json:
        print(json.dumps({"study": paths.run_id, "root": str(paths.root), "parts": len(parts_of(found))}))
        return 0
    _print_made(paths, found)
    return 0


def _extend(options: argparse.Namespace) -> int:
    paths = find_study(options.study)
    found = extend_study(paths, options.seeds, options.responses, options.rollouts)
    if options.json:
        print(json.dumps({"study": paths.run_id, "seeds": found.seeds, "responses": found.response.repeats,
                          "rollouts": found.rollouts, "parts": len(parts_of(found))}))  # fmt: skip
        return 0
    _print_made(paths, found)
    return 0


def _print_made(paths: StudyDir, found: StudyDefinition) -> None:
    name = call_name(paths, studies_root())
    say(f"{paths.run_id}: {_describe(found)} Nothing is started yet.")
    say(f"See how long it takes: seirenes study run {name} --dry-run · start it: seirenes study run {name}")


def _describe(found: StudyDefinition) -> str:
    one, count = f"of {found.response.rollouts:,} rollouts", found.response.repeats
    response = f"{'a best response' if count == 1 else f'{count} best responses'} {one} to each"
    if not found.response.rollouts:
        response = "no best response"
    return (
        f"{count_of(len(found.variants), 'variant')} × {count_of(len(found.seeds), 'seed')}, {found.rollouts:,} "
        f"rollouts each, {response}, {count_of(found.problems, 'held-out problem')}; "
        f"{count_of(len(parts_of(found)), 'part')}."
    )


def _list(options: argparse.Namespace) -> int:
    found = [read_summary(paths) for paths in list_studies()]
    if options.json:
        print(json.dumps([
            {"study": s.paths.run_id, "root": str(s.paths.root), "status": _status(s.state, s.launched),
             "parts": len(s.parts) if s.study else None,
             "done": s.done if s.state else None, "problem": s.problem} for s in found
        ], ensure_ascii=False))  # fmt: skip
        return 0
    for s in found:
        if s.study is None or s.state is None:
            say(f"{s.paths.run_id}: unreadable: {s.problem}")
            continue
        say(f"{s.paths.run_id}: {_status(s.state, s.launched)}, {s.done} of {count_of(len(s.parts), 'part')} done")
    if not found:
        say(f"No study yet. Make one with: seirenes study new {next(iter(bundled_definitions()), 'FILE')}")
    return 0


def _status(state: StudyState | None, launched: bool) -> str:
    if state is None:
        return "unreadable"
    return str(state.status) if state.last_t or launched else "not started"


# ---------------------------------------------------------------------- run, stop


def _run(options: argparse.Namespace) -> int:
    paths = find_study(options.study)
    found = read_study(paths)
    if options.dry_run:
        return _print_plan(paths, found, options.json)
    watch = StudyWatch(paths)
    watch.poll()
    parts = {part.id: part for part in parts_of(found)}
    heard = False

    def poll() -> StudyState | None:
        nonlocal heard
        state = watch.poll()
        heard = heard or bool(watch.events)
        return state if heard else None

    with interruptible():
        pid = start_study(paths)
        if options.detach:
            return _print_launch(paths, pid, options.json)
        ERR.print(f"Study {paths.run_id} in {paths.root}", highlight=False, markup=False, soft_wrap=True)
        try:
            state = follow(paths, poll, lambda s: _progress_line(s, parts))
        except KeyboardInterrupt:
            stop_process(paths, FORCE)
            state = watch.poll()
    code = _CODES.get(state.status, 1)
    _print_results(paths, state, options, whole=code == 0)
    if code:
        words = state.message or "\n".join(log_tail(paths))
        ERR.print(f"The study {state.status}. {words}", highlight=False, markup=False, soft_wrap=True)
        name = call_name(paths, studies_root())
        ERR.print(f"Go on with: seirenes study run {name}", highlight=False, markup=False, soft_wrap=True)
    return code


def _print_launch(paths: StudyDir, pid: int, as_json: bool) -> int:
    name = call_name(paths, studies_root())
    if as_json:
        print(json.dumps({"study": paths.run_id, "root": str(paths.root), "pid": pid}))
    else:
        say(f"Started {paths.run_id} (process {pid}) in {paths.root}")
        say(f"See how far it is: seirenes study show {name} · stop it: seirenes study stop {name}")
    return 0


def _progress_line(state: StudyState, parts: dict[str, Part]) -> ProgressLine:
    done = state.done(parts.values())
    part = parts.get(state.part)
    doing = f"{part.title}, {percent(state.part_share)}" if part else str(state.stage or state.status)
    left = f"about {countdown(state.eta_s)} left" if state.eta_s is not None else ""
    return ProgressLine(doing, state.share, 1.0, f"{done}/{len(parts)} parts", left)


def _print_plan(paths: StudyDir, found: StudyDefinition, as_json: bool) -> int:
    """Every part with its expected time, and what is done already."""
    state = StudyWatch(paths).poll()
    expected, parts = expected_times(found, RunRepository(), state), parts_of(found)
    seconds = {id_: None if e.seconds is None else round(e.seconds, 1) for id_, e in expected.items()}
    left = sum_seconds(expected[p.id] for p in parts_left(found, state))
    if as_json:
        print(json.dumps({"study": paths.run_id, "seconds_left": left, "parts": [
            {"part": p.id, "kind": p.kind, "seconds": seconds[p.id], "status": state.of(p.id).status}
            for p in parts]}))  # fmt: skip
        return 0
    say(f"{paths.run_id}: {_describe(found)}")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("part", "status", "expected"):
        table.add_column(heading, justify="right" if heading == "expected" else "left")
    for part in parts:
        table.add_row(part.title, str(state.of(part.id).status), duration(seconds[part.id]))
    print_table(table)
    if left is None:
        say("How long it takes depends on the server, which has not been used yet.")
    else:
        say(f"About {duration(left)} ({left / 3600:.1f} hours) are left, one process at a time.")
    return 0


def _stop(options: argparse.Namespace) -> int:
    paths = find_study(options.study)
    if running_process(paths) is None:
        say(f"{paths.run_id} is not running.")
        return 0
    if stop_process(paths, FORCE if options.force else ASK_ONLY):
        return 0
    if not options.force:
        say(f"Wait, or use: seirenes study stop {call_name(paths, studies_root())} --force")
    return 1


# ---------------------------------------------------------------------- show


def _show(options: argparse.Namespace) -> int:
    paths = find_study(options.study)
    state = StudyWatch(paths).poll()
    if not options.json:
        found = read_study(paths)
        say(f"{paths.run_id}: {_describe(found)} {_status(state, paths.launch.is_file())}.")
        if options.parts:
            print_table(_parts_table(found, state))
    _print_results(paths, state, options)
    return 0


def _parts_table(found: StudyDefinition, state: StudyState) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("part", "status", "time", "folder"):
        table.add_column(heading, overflow="fold")
    for part in parts_of(found):
        s = state.of(part.id)
        note = s.message or Path(s.folder).name
        table.add_row(part.title, str(s.status), duration(s.seconds) if s.seconds else UNKNOWN, note)
    return table


def _print_results(paths: StudyDir, state: StudyState, options: argparse.Namespace, *, whole: bool = True) -> None:
    results = read_results(paths, state)
    if csv := getattr(options, "csv", None):
        write_whole(expanded(csv), all_figures(results).csv())
    if options.json:
        print(json.dumps({"study": paths.run_id, "root": str(paths.root), "status": _status(state, True),
                          **result_facts(results)}, ensure_ascii=False))  # fmt: skip
        return
    if not whole and not results.figures[Basis.ROLLOUTS]:
        return
    _print_tables(results, MAIN if not getattr(options, "all", False) else (), getattr(options, "by_seed", False))
    for text in (*conclusions(results), gates_sentence(results), unread_sentence(results)):
        if text:
            say(text)


def _print_tables(results: StudyResults, measures: Sequence[Measure], by_seed: bool) -> None:
    for basis in Basis:
        if results.figures[basis]:
            print_table(_table(main_table(results, basis, measures), f"Share right [95%], at equal {basis}"))
            if by_seed:
                print_table(_table(seeds_table(results, basis, measures), f"Every seed, at equal {basis}"))
    if results.differences[Basis.ROLLOUTS]:
        print_table(_table(differences_table(results), "Paired differences at equal rollouts"))
    if results.earlier:
        print_table(_table(lengths_table(results, measures or tuple(Measure)), "Share right [95%], by rollouts a run"))
    if results.goals:
        say("Goals that were set before:")
        for goal in results.goals:
            say(f"  {'✓' if goal.status is GoalStatus.MET else '·'} {goal_sentence(goal)}")


def _table(found: DataTable, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for number, heading in enumerate(found.columns):
        table.add_column(heading, overflow="fold", justify="left" if number == 0 else "right")
    for row in found.rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    return table


def result_facts(results: StudyResults) -> dict[str, Any]:
    """Everything of a study's results as JSON values; `earlier` has the same of shorter runs."""
    return {
        "variants": results.variants, "seeds": results.seeds, "problems": results.problems,
        "rollouts": results.rollouts, "response_rollouts": results.response_rollouts, "responses": results.responses,
        "figures": [
            {"basis": basis, "variant": f.variant, "measure": f.measure, **_mean_facts(f.mean),
             "by_seed": {str(seed): asdict(interval) for seed, interval in f.by_seed}, "unread": asdict(f.unread)}
            for basis, figures in results.figures.items() for f in figures
        ],
        "differences": [
            {"basis": basis, "first": d.first, "second": d.second, "measure": d.measure, **_mean_facts(d.mean),
             "shown": d.shown}
            for basis, found in results.differences.items() for d in found
        ],
        "goals": [
            {"kind": g.kind, "measure": g.measure, "first": g.first, "second": g.second, "points": 100 * g.points,
             "status": g.status} for g in results.goals
        ],
        "runs": [asdict(run) for run in results.runs], "gate_pass_rates": dict(results.writing),
        "conclusions": list(conclusions(results)), "earlier": [result_facts(r) for r in results.earlier],
    }  # fmt: skip


def _mean_facts(found: SeedMean) -> dict[str, Any]:
    return {**asdict(found.interval), "seeds": found.seeds, "problems": found.problems}
