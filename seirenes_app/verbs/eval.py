"""The verbs `seirenes eval` and `seirenes crossplay`: plan, start in the background, follow, print.

Ctrl+C asks the evaluation to stop; what was committed is kept, and `seirenes eval --resume ID` goes on from there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from seirenes_app.lab.crafting.suites import suites_folder
from seirenes_app.lab.eval_plans import (
    SEED,
    STARTER,
    checkpoint_steps,
    checkpoint_targets,
    folder_target,
    frozen_suite_ref,
    gguf_target,
    is_model_folder,
    plan_crossplay,
    plan_evaluation,
    starter_target,
    written_suite,
)
from seirenes_app.lab.evaluations import EvaluationLibrary, EvaluationWatch, at_work, launch, open_rows, stop
from seirenes_app.lab.library import log_tail
from seirenes_app.lab.robustness.cross import cross_words
from seirenes_app.verbs.common import ERR, OUT, RECORDED, find_run_or_recorded
from seirenes_app.verbs.eval_output import (
    changes_table,
    crossplay_fields,
    crossplay_table,
    notes,
    result_fields,
    samples_table,
    save_traces,
    summary_table,
    targets_table,
)
from training.core.prompts import PromptStyle
from training.errors import UserError
from training.evaluation.crossplay import crossplay as cross_matrix
from training.evaluation.derive import changes, summarise_target
from training.evaluation.folder import EvalPaths, describe_suite, read_plan
from training.evaluation.plan import EvalPlan, SuiteRef, Target, Writing
from training.evaluation.rows import Condition
from training.evaluation.state import EvalState
from training.rundir.state import RunStatus

PROBLEMS, FROZEN = 500, "frozen"
START_PATIENCE_S = 3.0

Show = Callable[[EvalPaths, EvalPlan, RunStatus, bool], None]
"""Prints what there is, as JSON or for a person."""

_CODES = {RunStatus.FINISHED: 0, RunStatus.STOPPED: 3, RunStatus.FAILED: 2}


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verbs of this room and their options."""
    evaluate = verbs.add_parser("eval", help="evaluate models or checkpoints on a suite: clean, hinted, placebo")
    evaluate.add_argument(
        "targets", nargs="*", metavar="TARGET",
        help="'starter', a model folder, a GGUF file, a run (its newest checkpoint), RUN@STEP or RUN@all",
    )  # fmt: skip
    evaluate.add_argument("--step", type=int, help="of a run: this checkpoint")
    evaluate.add_argument(
        "--suite", action="append", default=[], metavar="NAME|PATH",
        help="a saved suite, or 'frozen', the built-in one (default: frozen); several times for several",
    )  # fmt: skip
    evaluate.add_argument("--problems", type=_count, help=f"the first N (default: {PROBLEMS}, or all of a saved suite)")
    evaluate.add_argument("--conditions", type=_conditions, default=tuple(Condition), metavar="clean,hinted,placebo")
    evaluate.add_argument("--samples", type=_count, default=1, help="completions of each prompt (default: 1)")
    evaluate.add_argument("--temperature", type=float, help="default: 0 with one sample, 1 with several")
    evaluate.add_argument("--seed", type=int, default=SEED)
    evaluate.add_argument("--max-tokens", type=_count, default=128)
    evaluate.add_argument("--prompt-style", choices=list(PromptStyle), help="default: by the model")
    evaluate.add_argument("--hints-from", metavar="MODEL", help="hints by this model's Adversary, on held-out problems")
    evaluate.add_argument("--rows", type=Path, metavar="FILE", help="also write the raw rows to this JSONL file")
    deeds = evaluate.add_mutually_exclusive_group()
    deeds.add_argument("--resume", metavar="ID", help="go on with a stopped or dead evaluation")
    deeds.add_argument("--stop", metavar="ID", help="stop an evaluation; what is done is kept")
    deeds.add_argument("--list", action="store_true", dest="listing", help="list the evaluations")
    _add_ending(evaluate)
    cross = verbs.add_parser("crossplay", help="Reasoners of checkpoints against hints written by checkpoints")
    cross.add_argument("run", metavar="RUN", help=f"run id or folder, or '{RECORDED}' for the run that ships")
    cross.add_argument("--steps", type=_steps, metavar="0,20,40", help="checkpoints (default: all there are)")
    cross.add_argument("--writers", type=_steps, metavar="0,40", help="those that write the hints (default: the same)")
    cross.add_argument("--problems", type=_count, default=60)
    cross.add_argument("--samples", type=_count, default=1)
    cross.add_argument("--temperature", type=float, help="default: 0 with one sample, 1 with several")
    cross.add_argument("--seed", type=int, default=SEED)
    _add_ending(cross)


def _add_ending(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detach", action="store_true", help="start it in the background and return")
    parser.add_argument("--json", action="store_true")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def _conditions(text: str) -> tuple[Condition, ...]:
    try:
        return tuple(Condition(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; conditions are {', '.join(Condition)}") from error


def _steps(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of steps, as in 0,20,40") from error


# ---------------------------------------------------------------------- eval


def eval(options: argparse.Namespace) -> int:
    """Evaluate, or list, stop or go on with an evaluation."""
    library = EvaluationLibrary()
    if options.listing:
        return _list(library, options.json)
    if options.stop:
        return _stop(library.find(options.stop))
    if options.resume:
        paths = library.find(options.resume)
    else:
        paths = library.create(_plan(options))
    return _run(paths, options, _show, options.rows)


def _plan(options: argparse.Namespace) -> EvalPlan:
    if not options.targets:
        raise UserError("Nothing to evaluate: name 'starter', a model folder, a GGUF file, or a run.")
    style = PromptStyle(options.prompt_style) if options.prompt_style else None
    targets = [t for name in options.targets for t in _targets(name, options.step, style)]
    suites, writers = _suites(options), []
    if options.hints_from:
        if options.suite:
            raise UserError("--suite and --hints-from exclude each other: a suite has its hints already.")
        (writer,) = _targets(options.hints_from, None, style)
        writers = [] if writer in targets else [_renamed(writer, targets)]
        suites = [written_suite((writers or [writer])[0].name, options.problems or PROBLEMS)]
    return plan_evaluation(
        targets, suites, conditions=options.conditions, samples=options.samples, temperature=options.temperature,
        seed=options.seed, max_tokens=options.max_tokens, writers=writers,
        writing=Writing(problem_seed=options.seed) if options.hints_from else None,
    )  # fmt: skip


def _renamed(writer: Target, targets: list[Target]) -> Target:
    taken = any(t.name == writer.name for t in targets)
    return replace(writer, name=f"{writer.name} (writer)") if taken else writer


def _targets(name: str, step: int | None, style: PromptStyle | None) -> tuple[Target, ...]:
    """What a person calls a model, as targets."""
    path = Path(name).expanduser()
    if name == STARTER:
        target = starter_target()
        return (replace(target, style=style) if style else target,)
    if path.suffix == ".gguf":
        return (gguf_target(path, style),)
    if is_model_folder(path):
        return (folder_target(path, style),)
    run, _, wanted = name.rpartition("@") if "@" in path.name else (name, "", "")
    paths = find_run_or_recorded(run)
    if wanted == "all":
        return checkpoint_targets(paths, None, style)
    if wanted and not wanted.isdigit():
        raise UserError(f"{name!r}: after @ comes a step or 'all', as in {run}@40.")
    there = checkpoint_steps(paths)
    chosen = int(wanted) if wanted else step if step is not None else max(there, default=0)
    return checkpoint_targets(paths, [chosen], style)


def _suites(options: argparse.Namespace) -> list[SuiteRef]:
    found = [_suite(name, options) for name in options.suite or [FROZEN]]
    if twice := next((s.name for i, s in enumerate(found) if s in found[:i]), None):
        raise UserError(f"The suite {twice!r} is named twice.")
    return found


def _suite(name: str, options: argparse.Namespace) -> SuiteRef:
    for folder in (suites_folder() / name, Path(name).expanduser()):
        if folder.is_dir():
            return describe_suite(folder, options.problems or 0)
    if name == FROZEN:
        return frozen_suite_ref(options.problems or PROBLEMS, options.seed)
    raise UserError(f"No suite {name!r} in {suites_folder()}, and no folder of that name.")


def _list(library: EvaluationLibrary, as_json: bool) -> int:
    found = library.list_evaluations()
    if as_json:
        print(json.dumps([
            {"evaluation": s.paths.run_id, "root": str(s.paths.root), "title": s.plan.title if s.plan else None,
             "status": s.state.status if s.state else "unreadable", "share": s.state.share if s.state else None,
             "rows": s.state.rows if s.state else None, "problem": s.problem} for s in found
        ], ensure_ascii=False))  # fmt: skip
        return 0
    for s in found:
        state = f"{s.state.status}, {100 * s.state.share:.0f}%" if s.state else f"unreadable: {s.problem}"
        OUT.print(f"{s.paths.run_id}: {state}", highlight=False, markup=False)
    if not found:
        OUT.print("No evaluation yet. Start one with: seirenes eval starter")
    return 0


def _stop(paths: EvalPaths) -> int:
    gone = stop(paths, force=True, say=lambda words: ERR.print(words))
    words = "is not running any more" if gone else "has not stopped"
    OUT.print(f"{paths.run_id} {words}. Go on with: seirenes eval --resume {paths.run_id}", highlight=False)
    return 0 if gone else 1


def _show(paths: EvalPaths, plan: EvalPlan, status: RunStatus, as_json: bool) -> None:
    with open_rows(paths) as reader:
        if as_json:
            fields = result_fields(paths, plan, reader)
            print(json.dumps({**fields, "status": status}, ensure_ascii=False))
            return
        cells = reader.cells()
    for suite in plan.suites:
        names = [t.name for t in plan.targets if len(cells.where(target=t.name, suite=suite.name))]
        summaries = [summarise_target(cells, name, suite.name) for name in names]
        title = f"{suite.name} ({suite.digest or 'written here'})"
        for summary in summaries if len(summaries) == 1 else []:
            OUT.print(summary_table(summary, f"{summary.target} on {title}"))
            if plan.samples > 1:
                OUT.print(samples_table(summary))
            for note in notes(summary):
                OUT.print(note, highlight=False, markup=False)
        if len(summaries) > 1:
            OUT.print(targets_table(summaries, title))
            if found := changes(cells.where(suite=suite.name), names[0], names[-1]):
                OUT.print(changes_table(found))
    OUT.print(f"Evaluation {paths.run_id} in {paths.root}", highlight=False, markup=False, soft_wrap=True)


# ---------------------------------------------------------------------- cross-play


def crossplay(options: argparse.Namespace) -> int:
    """The matrix of a run's Reasoners and Adversaries."""
    run = find_run_or_recorded(options.run)
    plan = plan_crossplay(
        run, options.steps or checkpoint_steps(run), writer_steps=options.writers, problems=options.problems,
        samples=options.samples, temperature=options.temperature, seed=options.seed,
    )  # fmt: skip
    return _run(EvaluationLibrary().create(plan), options, _show_matrix, None)


def _show_matrix(paths: EvalPaths, plan: EvalPlan, status: RunStatus, as_json: bool) -> None:
    with open_rows(paths) as reader:
        matrix = cross_matrix(plan, reader.cells())
        written = {s.writer: json.loads(reader.meta(f"writing/{s.name}") or "{}") for s in plan.suites}
    if as_json:
        print(json.dumps({**crossplay_fields(paths, matrix), "writing": written, "status": status}, ensure_ascii=False))
        return
    short = {t.name: f"@{t.step}" for t in (*plan.targets, *plan.writers)}
    OUT.print(crossplay_table(matrix, short))
    for name, how in written.items():
        if how:
            words = f"Hints of {short[name]}: {100 * how['gate_pass_rate']:.0f}% passed the gates."
            OUT.print(words, highlight=False)
    for note in cross_words(matrix, short):
        OUT.print(note, highlight=False, markup=False)
    OUT.print(f"Evaluation {paths.run_id} in {paths.root}", highlight=False, markup=False, soft_wrap=True)


# ---------------------------------------------------------------------- following


def _run(paths: EvalPaths, options: argparse.Namespace, show: Show, rows: Path | None) -> int:
    watch = EvaluationWatch(paths)
    before = watch.poll().last_t
    pid = launch(paths)
    if options.detach:
        _print_launch(paths, pid, options.json)
        return 0
    try:
        state = _follow(paths, watch, before)
    except KeyboardInterrupt:
        ERR.print("Asking the evaluation to stop …")
        stop(paths)
        state = watch.poll()
    return _conclude(paths, state, options.json, show, rows)


def _print_launch(paths: EvalPaths, pid: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"evaluation": paths.run_id, "root": str(paths.root), "pid": pid}))
    else:
        OUT.print(f"Started {paths.run_id} (process {pid}) in {paths.root}", highlight=False, soft_wrap=True)
        OUT.print(f"See how far it is: seirenes eval --list · stop it: seirenes eval --stop {paths.run_id}")


def _follow(paths: EvalPaths, watch: EvaluationWatch, before: float) -> EvalState:
    """Show the progress until it is over; the last state."""
    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"),
               TextColumn("{task.fields[rest]}"), TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=ERR) as progress:
        task = progress.add_task("starting", total=1.0, rest="")
        while True:
            state = watch.poll()
            if state.last_t > before:
                progress.update(task, **_progress_fields(state))
                if state.over:
                    return state
            elif at_work(paths) is None and time.monotonic() - started > START_PATIENCE_S:
                raise UserError("\n".join(["The evaluation did not start. Its log:", *log_tail(paths)]))
            time.sleep(0.2)


def _progress_fields(state: EvalState) -> dict[str, Any]:
    eta = "" if state.eta_s is None else f"about {_duration(state.eta_s)} left"
    return {"description": f"{state.stage} {state.target}".strip(), "completed": state.share, "rest": eta}


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _conclude(
    paths: EvalPaths,
    state: EvalState,
    as_json: bool,
    show: Show,
    rows: Path | None,
) -> int:
    code = _CODES.get(state.status, 1)
    if paths.rows.is_file():
        with open_rows(paths) as reader:
            there = reader.counts()[1] > 0
            if rows is not None and there:
                save_traces(reader.all_traces(), rows)
        if there:
            show(paths, read_plan(paths), state.status, as_json)
    if code:
        words = state.message or "\n".join(log_tail(paths))
        ERR.print(f"The evaluation {state.status}. {words}", highlight=False, markup=False)
        ERR.print(f"Go on with: seirenes eval --resume {paths.run_id}", highlight=False, markup=False)
    return code
