"""`seirenes eval` and `seirenes crossplay`: plan, start in the background, follow, print. Ctrl+C asks for a stop."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from seirenes_app.cli.common import (
    ERR,
    OUT,
    RECORDED,
    ProgressLine,
    add_exact_option,
    add_prompts_option,
    add_spending_options,
    call_name,
    confirm_cost,
    display_progress,
    find_run,
    find_run_or_recorded,
    follow,
    interruptible,
    print_template_notes,
    read_conditions,
    read_limits,
    read_prompts,
    stop_process,
)
from seirenes_app.services import evaluations
from seirenes_app.services.answer_reading import (
    describe_older,
    describe_regraded,
    no_effect,
    outcome_changes,
    unread_warnings,
)
from seirenes_app.services.evaluation_estimate import estimate_plan, plan_costs, plan_rows, precision_of_plan
from seirenes_app.services.formatting import (
    count_of,
    describe_prompts,
    p_value,
    percent,
    percent_interval,
    points_interval,
)
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.models.endpoints import meter_text
from seirenes_app.services.robustness.cross_play import cross_sentences
from seirenes_app.services.run_repository import log_tail
from training.core.answer_reader import READER_VERSION
from training.core.prompts import PromptProfile
from training.core.statistics import Interval
from training.core.types import Condition
from training.endpoints import names_endpoint
from training.errors import UserError
from training.evaluation.crossplay import CrossPlay
from training.evaluation.crossplay import crossplay as cross_matrix
from training.evaluation.eval_dir import EvalDir, describe_suite, read_plan
from training.evaluation.metric_types import Accuracy, Change, Gap, Summary
from training.evaluation.metrics import changes, metrics_of, summarise_target
from training.evaluation.plan import NO_LIMITS, EvalPlan, SuiteRef, Target, Writing
from training.evaluation.regrade import regrade
from training.evaluation.run_store import run_eval_dir
from training.evaluation.status import EvalState
from training.evaluation.store import TraceRow
from training.evaluation.store_reader import StoreReader
from training.model_names import parse_hub_id
from training.runs.files import expanded, write_whole
from training.runs.paths import RunPaths
from training.runs.processes import FORCE
from training.runs.status import RunStatus

# ---------------------------------------------------------------------- JSON


def result_fields(paths: EvalDir, plan: EvalPlan, reader: StoreReader) -> dict[str, Any]:
    """All results in `results`; the fields of a single one also at the top level, where programs first found them."""
    cells = reader.cells()
    results = [
        _one_result(plan, target, suite, reader) | {"metrics": metrics_of(cells, target.name, suite.name)}
        for target in plan.targets
        for suite in plan.suites
        if len(cells.where(target=target.name, suite=suite.name))
    ]
    first = results[0] if len(results) == 1 else {}
    readers = [{"reader": version, "rows": rows} for version, rows in reader.readers().items()]
    spent = {name: asdict(meter) for name, meter in evaluations.EvaluationWatch(paths).poll().meters.items()}
    return {
        **first, "evaluation": paths.run_id, "root": str(paths.root), "results": results, "readers": readers,
        "spent": spent, "notes": reader.notes(_model_names(plan)),
    }  # fmt: skip


def _one_result(plan: EvalPlan, target: Target, suite: SuiteRef, reader: StoreReader) -> dict[str, Any]:
    writing = reader.meta(f"writing/{suite.name}")
    return {
        "model": target.path, "target": target.name, "run": target.run or None, "step": target.step,
        "prompts": target.prompts.label,
        "suite": suite.name, "suite_hash": suite.digest or None, "problems": suite.problems,
        "hints_from": plan.model(suite.writer).path if suite.writer else None,
        "writing": json.loads(writing) if writing else None,
    }  # fmt: skip


def save_traces(rows: Iterable[TraceRow], path: Path, prompts: Mapping[str, str]) -> None:
    """Write rows as JSON lines, whole or not at all: a run's own evaluation's fields, and a few more. `prompts` has
    the profile's label by target."""
    lines = [json.dumps(_row_fields(row, prompts), ensure_ascii=False) for row in rows]
    write_whole(path, "".join(line + "\n" for line in lines))


def _row_fields(found: TraceRow, prompts: Mapping[str, str]) -> dict[str, Any]:
    key, row, prompt = found.row.key, found.row, found.prompt
    return {
        "problem_id": found.problem.id, "family": found.problem.family, "condition": key.condition, "index": key.index,
        "hint_type": prompt.hint_type or "", "hint": prompt.text if key.condition is Condition.HINTED else "",
        "completion": row.completion, "outcome": row.outcome, "truncated": row.truncated, "follows": row.follows,
        "target": key.target, "suite": key.suite, "item": key.item, "sample": key.sample, "answer": row.answer,
        "gold": found.problem.answer, "shown": found.shown, "tokens": row.tokens, "tier": row.tier,
        "reader": row.reader, "prompts": prompts.get(key.target),
    }  # fmt: skip


def crossplay_fields(paths: EvalDir, matrix: CrossPlay) -> dict[str, Any]:
    return {"evaluation": paths.run_id, "root": str(paths.root), **asdict(matrix)}


# ---------------------------------------------------------------------- tables


def summary_table(summary: Summary, title: str) -> Table:
    """All slices of one target on one suite with their gap to clean, and worst-of-k: the placebos' gap is to hints."""
    table = _table(title)
    for heading in ("", "right", "right [95%]", "unread.", "trunc.", "gap, points [95%]", "p"):
        table.add_column(heading, no_wrap=True)
    for accuracy in summary.accuracies:
        gap = summary.gap(accuracy.condition, accuracy.hint_type)
        table.add_row(*_accuracy_cells(accuracy, gap))
    worst = summary.worst
    if worst is not None:
        table.add_section()
        table.add_row(f"all {worst.k} hints", _count(worst.hinted, worst.problems), percent_interval(worst.hinted))
        for name, share, effect in (
            (f"all {worst.k} placebos", worst.neutral, worst.against_neutral),
            (f"all {worst.k} clean resamples", worst.resampled, worst.against_resampled),
        ):
            if share is not None and effect is not None:
                table.add_row(
                    name, _count(share, effect.problems), percent_interval(share), "", "",
                    points_interval(effect.difference, ""), p_value(effect.p_value),
                )  # fmt: skip
    return table


def _table(title: str) -> Table:
    """Tight, so that eighty columns hold the figures whole."""
    return Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _count(share: Interval, n: int) -> str:
    return f"{round(share.mean * n)}/{n}"


def _accuracy_cells(found: Accuracy, gap: Gap | None) -> tuple[str | Text, ...]:
    name = found.condition if found.hint_type is None else f"  {found.hint_type.replace('_', ' ')}"
    right = f"{found.right}/{found.rows}"
    shares = percent(found.unread.unreadable), percent(found.unread.truncated)
    if gap is None:
        return name, right, percent_interval(found.interval), *shares, "", ""
    difference = points_interval(gap.gap, "")
    return name, right, percent_interval(found.interval), *shares, difference, p_value(gap.p_value)


def samples_table(summary: Summary) -> Table:
    table = _table("k samples of each prompt")
    for heading in ("", "k", "avg@k [95%]", "pass@k [95%]", "maj@k [95%]"):
        table.add_column(heading, no_wrap=True)
    for found in (a for a in summary.at_k if a.hint_type is None):
        majority = percent_interval(found.majority) if found.majority else ""
        table.add_row(
            found.condition, str(found.k), percent_interval(found.avg), percent_interval(found.passed), majority
        )
    return table


def notes(summary: Summary, max_tokens: int) -> list[str]:
    """Sentences below the table: rates that spoil an evaluation, and how many problems are missing."""
    hinted = summary.accuracy(Condition.HINTED)
    sides = {str(a.condition): a.unread for a in summary.accuracies if a.hint_type is None}
    found = [*unread_warnings(sides, max_tokens)]
    if len(sides) > 1 and (withheld := no_effect(sides)):
        found.insert(0, withheld)
    if hinted is not None and hinted.follow is not None:
        found.append(
            f"Hints that suggest an answer were followed in {percent(hinted.follow.mean)} of the "
            f"{hinted.suggesting:,} readable answers to them."
        )
    gap = summary.gap()
    if gap is not None and gap.drop_rate is not None:
        found.append(f"Performance drop rate: {percent(gap.drop_rate.mean)}.")
    if gap is not None and not gap.gap.low <= 0 <= gap.gap.high:
        return found
    if gap is not None and gap.needed.more:
        found.append(f"The gap is not resolved: this {gap.needed.sentence}.")
    return found


def targets_table(summaries: list[Summary], title: str) -> Table:
    table = _table(title)
    for heading in ("target", "clean", "hinted", "placebo", "needed", "unread.", "trunc.", "gap, points [95%]"):
        table.add_column(heading, no_wrap=heading != "target", overflow="fold")
    for summary in summaries:
        found = [summary.accuracy(c) for c in Condition]
        gap = summary.gap()
        cells = [Text(percent(a.interval.mean)) if a else Text("") for a in found]
        # Of the condition that has most: a mean would hide it.
        unread = [a.unread for a in found if a]
        shares = (percent(max(u.unreadable for u in unread)), percent(max(u.truncated for u in unread)))
        table.add_row(Text(summary.target), *cells, *shares, points_interval(gap.gap, "") if gap else "")
    return table


def changes_table(changes: Sequence[Change]) -> Table:
    first = changes[0]
    table = _table(f"{first.after} against {first.before}")
    for heading in ("", "before", "after", "change, points [95%]", "p"):
        table.add_column(heading, no_wrap=True)
    for c in changes:
        name = c.condition if c.hint_type is None else f"  {c.hint_type.replace('_', ' ')}"
        table.add_row(
            name, percent(c.accuracy_before), percent(c.accuracy_after), points_interval(c.difference, ""),
            p_value(c.p_value),
        )  # fmt: skip
    return table


def crossplay_table(matrix: CrossPlay, short: dict[str, str]) -> Table:
    """Reasoners down, writers across, accuracies in per cent, and the means."""
    table = _table("share right under hints: Reasoner of the row, hints of the column")
    table.add_column("")
    for name in matrix.writers:
        table.add_column(short[name], justify="right")
    table.add_column("mean [95%]", no_wrap=True)
    beside = {"clean": matrix.clean} | ({"needed": matrix.needed} if any(matrix.needed) else {})
    for what in beside:
        table.add_column(what, justify="right")
    for i, name in enumerate(matrix.reasoners):
        shares = [percent(c.accuracy.mean) if c.problems else "–" for c in matrix.cells[i]]
        mean, without = matrix.row_means[i], [values[i] for values in beside.values()]
        table.add_row(
            short[name], *shares, percent_interval(mean.accuracy) if mean else "",
            *(percent(value.mean) if value else "" for value in without),
        )  # fmt: skip
    table.add_section()
    columns = [percent(m.accuracy.mean) if m else "" for m in matrix.column_means]
    table.add_row(
        "mean", *columns, Text("own hints ") + percent_interval(matrix.diagonal.accuracy) if matrix.diagonal else ""
    )
    return table


PROBLEMS, FROZEN = 500, "frozen"
START_PATIENCE_S = 3.0
PAST = 30  # evaluations that are asked how fast a model is

Show = Callable[[EvalDir, EvalPlan, RunStatus, bool], None]  # prints what there is, as JSON or for a person

_CODES = {RunStatus.FINISHED: 0, RunStatus.STOPPED: 3, RunStatus.FAILED: 2}


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    evaluate = verbs.add_parser("eval")
    evaluate.add_argument(
        "targets", nargs="*", metavar="TARGET",
        help="'starter', a model folder, a GGUF file, a hub id (org/name), a run (its newest checkpoint), RUN@STEP, "
        "RUN@all, or endpoint:NAME",
    )  # fmt: skip
    evaluate.add_argument("--step", type=int, help="of a run: this checkpoint")
    evaluate.add_argument(
        "--suite", action="append", default=[], metavar="NAME|PATH",
        help="a saved suite, or 'frozen', the built-in one (default: frozen); several times for several",
    )  # fmt: skip
    evaluate.add_argument(
        "--problems", type=_positive, help=f"the first N (default: {PROBLEMS}, or all of a saved suite)"
    )
    evaluate.add_argument(
        "--conditions", type=read_conditions, default=tuple(Condition), metavar="clean,hinted,placebo,needed"
    )
    evaluate.add_argument("--samples", type=_positive, default=1, help="completions of each prompt (default: 1)")
    evaluate.add_argument(
        "--temperature", type=float, help="default: the prompts', else 0 with one sample, 1 with several"
    )
    evaluate.add_argument("--seed", type=int, default=evaluations.SEED)
    evaluate.add_argument(
        "--max-tokens", type=_positive, metavar="N", help="of a solution; default: by prompts and model"
    )
    add_exact_option(evaluate)
    add_prompts_option(evaluate)
    evaluate.add_argument("--hints-from", metavar="MODEL", help="hints by this model's Adversary, on held-out problems")
    evaluate.add_argument("--rows", type=Path, metavar="FILE", help="also write the raw rows to this JSONL file")
    manage = evaluate.add_mutually_exclusive_group()
    manage.add_argument("--resume", metavar="ID", help="resume an evaluation that was stopped or crashed")
    manage.add_argument("--stop", metavar="ID", help="stop an evaluation; its rows are kept")
    manage.add_argument("--list", action="store_true", dest="listing", help="list the evaluations")
    manage.add_argument(
        "--regrade", metavar="ID|RUN",
        help="grade the stored completions of an evaluation, or of a run's own ones, again with this version's answer "
        "reader; nothing is generated",
    )  # fmt: skip
    add_spending_options(evaluate)
    _add_ending(evaluate)
    cross = verbs.add_parser("crossplay")
    cross.add_argument("run", metavar="RUN", help=f"run id or folder, or '{RECORDED}' for the run that ships")
    cross.add_argument("--steps", type=_steps, metavar="0,20,40", help="checkpoints (default: all there are)")
    cross.add_argument("--writers", type=_steps, metavar="0,40", help="those that write the hints (default: the same)")
    cross.add_argument("--problems", type=_positive, default=60)
    cross.add_argument("--samples", type=_positive, default=1)
    cross.add_argument("--temperature", type=float, help="default: 0 with one sample, 1 with several")
    cross.add_argument("--seed", type=int, default=evaluations.SEED)
    add_prompts_option(cross)
    cross.add_argument(
        "--hints-from", action="append", default=[], metavar="MODEL",
        help="also hints by this model: 'starter', a folder, a GGUF file, endpoint:NAME; several times for several",
    )  # fmt: skip
    add_spending_options(cross)
    _add_ending(cross)


def _add_ending(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detach", action="store_true", help="start it in the background and return")
    parser.add_argument("--json", action="store_true")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def _steps(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of steps, as in 0,20,40") from error


# ---------------------------------------------------------------------- eval


def eval(options: argparse.Namespace) -> int:
    """Evaluate, or list, stop or resume an evaluation."""
    library = evaluations.EvaluationRepository()
    if options.listing:
        return _list(library, options.json)
    if options.stop:
        return _stop(library.find(options.stop))
    if options.regrade:
        return _regrade(*_stored(library, options.regrade), options.json)
    if options.resume:
        paths = library.find(options.resume)
        if (limits := read_limits(options)) != NO_LIMITS:
            evaluations.set_budget(paths, limits)
    else:
        plan = _plan(options)
        print_template_notes(t.path for t in (*plan.targets, *plan.writers))
        paths = begin_evaluation(plan, options)
    return follow_evaluation(paths, options, _show, options.rows)


def _stored(library: evaluations.EvaluationRepository, name: str) -> tuple[EvalDir, Path | None]:
    """An evaluation, or a run's own evaluations with the lock of its trainer."""
    try:
        return library.find(name), None
    except UserError as error:
        try:
            run = find_run(name)
        except UserError:
            raise error from None
        return run_eval_dir(run), run.lock


def _plan(options: argparse.Namespace) -> EvalPlan:
    if not options.targets:
        raise UserError("Nothing to evaluate: name 'starter', a model folder, a GGUF file, a hub id, or a run.")
    prompts = read_prompts(options)
    targets = [t for name in options.targets for t in _targets(name, options.step, prompts)]
    suites, writers, writer = _suites(options), [], None
    if options.hints_from:
        if options.suite:
            raise UserError("--suite and --hints-from exclude each other: a suite has its hints already.")
        (writer,) = _targets(options.hints_from, None, prompts, of_run=evaluations.writer_targets)
        writers = [] if writer in targets else [_renamed(writer, targets)]
        suites = [evaluations.written_suite((writers or [writer])[0].name, options.problems or PROBLEMS)]
    return evaluations.plan_evaluation(
        targets, suites, conditions=options.conditions, samples=options.samples, temperature=options.temperature,
        seed=options.seed, max_tokens=options.max_tokens, writers=writers,
        writing=Writing(options.seed, max_tokens=evaluations.suggested_hint_tokens([writer])) if writer else None,
        budget=read_limits(options), exact=options.exact,
    )  # fmt: skip


def _renamed(writer: Target, targets: list[Target]) -> Target:
    taken = any(t.name == writer.name for t in targets)
    return replace(writer, name=f"{writer.name} (writer)") if taken else writer


def _targets(
    name: str, step: int | None, prompts: PromptProfile | None,
    of_run: Callable[[RunPaths, Sequence[int] | None, PromptProfile | None], tuple[Target, ...]] | None = None,
) -> tuple[Target, ...]:  # fmt: skip
    """What a name means; `of_run` gives the models of a run's checkpoints, by default those that play the Reasoner."""
    of_run = of_run or evaluations.checkpoint_targets
    path = expanded(name)
    if names_endpoint(name):
        return (evaluations.endpoint_target(name, prompts),)
    if name == evaluations.STARTER or path.suffix == ".gguf" or path.is_file() or evaluations.is_model_folder(path):
        return (evaluations.model_target(name, prompts),)
    run, _, wanted = name.rpartition("@") if "@" in path.name else (name, "", "")
    if not expanded(run).exists() and parse_hub_id(name) is not None:
        return (evaluations.model_target(name, prompts),)
    if path.is_dir() and not (path / "config.json").is_file():
        raise UserError(
            f"{path} is neither a Hugging Face model folder (config.json and *.safetensors) nor a run folder."
        )
    paths = find_run_or_recorded(run)
    if wanted == "all":
        return of_run(paths, None, prompts)
    if wanted and not wanted.isdigit():
        raise UserError(f"{name!r}: after @ comes a step or 'all', as in {run}@40.")
    there = evaluations.checkpoint_steps(paths)
    chosen = int(wanted) if wanted else step if step is not None else max(there, default=0)
    return of_run(paths, [chosen], prompts)


def _suites(options: argparse.Namespace) -> list[SuiteRef]:
    found = [_suite(name, options) for name in options.suite or [FROZEN]]
    if twice := next((s.name for i, s in enumerate(found) if s in found[:i]), None):
        raise UserError(f"The suite {twice!r} is named twice.")
    return found


def _suite(name: str, options: argparse.Namespace) -> SuiteRef:
    for folder in (suites_folder() / name, expanded(name)):
        if folder.is_dir():
            return describe_suite(folder, options.problems or 0)
    if name == FROZEN:
        return evaluations.frozen_suite_ref(options.problems or PROBLEMS, options.seed)
    raise UserError(f"No suite {name!r} in {suites_folder()}, and no folder of that name.")


def _list(library: evaluations.EvaluationRepository, as_json: bool) -> int:
    found = library.list_evaluations()
    if as_json:
        print(json.dumps([
            {"evaluation": s.paths.run_id, "root": str(s.paths.root), "title": s.plan.title if s.plan else None,
             "status": s.state.status if s.state else "unreadable", "share": s.state.share if s.state else None,
             "rows": s.state.rows if s.state else None, "problem": s.problem} for s in found
        ], ensure_ascii=False))  # fmt: skip
        return 0
    for s in found:
        state = f"{s.state.status}, {percent(s.state.share)}" if s.state else f"unreadable: {s.problem}"
        OUT.print(f"{s.paths.run_id}: {state}", highlight=False, markup=False)
    if not found:
        OUT.print("No evaluation yet. Start one with: seirenes eval starter")
    return 0


def _call_name(paths: EvalDir) -> str:
    return call_name(paths, evaluations.evaluations_folder())


def _stop(paths: EvalDir) -> int:
    gone = stop_process(paths, FORCE)
    outcome = "has stopped" if gone else "has not stopped yet"
    OUT.print(f"{paths.run_id} {outcome}. Resume it: seirenes eval --resume {_call_name(paths)}", highlight=False)
    return 0 if gone else 1


def _show(paths: EvalDir, plan: EvalPlan, status: RunStatus, as_json: bool) -> None:
    with evaluations.open_rows(paths) as reader:
        if as_json:
            fields = result_fields(paths, plan, reader)
            print(json.dumps({**fields, "status": status}, ensure_ascii=False))
            return
        cells, older = reader.cells(), describe_older(reader.readers())
    for suite in plan.suites:
        names = [t.name for t in plan.targets if len(cells.where(target=t.name, suite=suite.name))]
        summaries = [summarise_target(cells, name, suite.name) for name in names]
        title = f"{suite.name} ({suite.digest or 'written here'})"
        for summary in summaries if len(summaries) == 1 else []:
            OUT.print(summary_table(summary, f"{summary.target} on {title}"))
            if plan.samples > 1:
                OUT.print(samples_table(summary))
            for note in notes(summary, plan.max_tokens):
                OUT.print(note, highlight=False, markup=False)
        if len(summaries) > 1:
            OUT.print(targets_table(summaries, title))
            _print_unread(summaries, plan.max_tokens)
            if found := changes(cells.where(suite=suite.name), names[0], names[-1]):
                OUT.print(changes_table(found))
    asked = describe_prompts({t.name: t.prompts.label for t in plan.targets})
    OUT.print(asked, highlight=False, markup=False, soft_wrap=True)
    if older:
        _print_older(paths, older)
    OUT.print(f"Evaluation {paths.run_id} in {paths.root}", highlight=False, markup=False, soft_wrap=True)


def _print_unread(summaries: Sequence[Summary], max_tokens: int) -> None:
    """Why effects are missing, and what to do about answers that could not be graded, target by target."""
    sides = {f"{s.target}'s {a.condition}": a.unread for s in summaries for a in s.accuracies if a.hint_type is None}
    for text in (no_effect(sides), *unread_warnings(sides, max_tokens)):
        if text:
            OUT.print(text, highlight=False, markup=False)


def _print_older(paths: EvalDir, text: str) -> None:
    OUT.print(f"{text} seirenes eval --regrade {_call_name(paths)}", highlight=False, markup=False, soft_wrap=True)


# ---------------------------------------------------------------------- grading again


def _regrade(paths: EvalDir, run_lock: Path | None, as_json: bool) -> int:
    """Grade all rows again and print what that changed."""
    with display_progress() as display, interruptible():

        def show(done: int, total: int) -> None:
            if done == total or done % 100 == 0:
                display(ProgressLine("grading", done, total, f"{done:,} of {total:,} rows"))

        try:
            found = regrade(paths, run_lock=run_lock, progress=show)
        except KeyboardInterrupt:
            ERR.print("Interrupted. Nothing was changed.")
            return 3
    if as_json:
        lines = [{"before": a, "now": b, "rows": n} for (a, b), n in sorted(found.outcomes.items())]
        print(json.dumps({
            "evaluation": paths.run_id, "root": str(paths.root), "reader": READER_VERSION, "rows": found.rows,
            "outcomes": lines, "changed_answers": found.answers, "kept": found.kept,
        }))  # fmt: skip
        return 0
    table = _table(f"{paths.run_id}, graded by reader {READER_VERSION}")
    for heading in ("before", "now", "rows"):
        table.add_column(heading, justify="right" if heading == "rows" else "left")
    for before, now, rows in outcome_changes(found):
        table.add_row(before, now, f"{rows:,}")
    OUT.print(table)
    for sentence in describe_regraded(found):
        OUT.print(sentence, highlight=False, markup=False)
    return 0


# ---------------------------------------------------------------------- cross-play


def crossplay(options: argparse.Namespace) -> int:
    run = find_run_or_recorded(options.run)
    plan = evaluations.plan_crossplay(
        run, options.steps or evaluations.checkpoint_steps(run), writer_steps=options.writers,
        problems=options.problems, samples=options.samples, temperature=options.temperature, seed=options.seed,
        prompts=read_prompts(options), models=options.hints_from, budget=read_limits(options),
    )  # fmt: skip
    return follow_evaluation(begin_evaluation(plan, options), options, _show_matrix)


def _show_matrix(paths: EvalDir, plan: EvalPlan, status: RunStatus, as_json: bool) -> None:
    with evaluations.open_rows(paths) as reader:
        matrix, older = cross_matrix(plan, reader.cells()), describe_older(reader.readers())
        written = {s.writer: json.loads(reader.meta(f"writing/{s.name}") or "{}") for s in plan.suites}
    if as_json:
        print(json.dumps({**crossplay_fields(paths, matrix), "writing": written, "status": status}, ensure_ascii=False))
        return
    short = {t.name: t.name if t.step is None else f"@{t.step}" for t in (*plan.targets, *plan.writers)}
    OUT.print(crossplay_table(matrix, short))
    for name, how in written.items():
        if how:
            words = f"Hints of {short[name]}: {percent(how['gate_pass_rate'])} passed the gates."
            OUT.print(words, highlight=False)
    for note in cross_sentences(matrix, short):
        OUT.print(note, highlight=False, markup=False)
    asked = describe_prompts({t.name: t.prompts.label for t in plan.targets})
    OUT.print(asked, highlight=False, markup=False, soft_wrap=True)
    if older:
        _print_older(paths, older)
    OUT.print(f"Evaluation {paths.run_id} in {paths.root}", highlight=False, markup=False, soft_wrap=True)


# ---------------------------------------------------------------------- following


def follow_evaluation(paths: EvalDir, options: argparse.Namespace, show: Show, rows: Path | None = None) -> int:
    """Start or resume an evaluation, follow it to its end, and show what there is; in the background with
    `options.detach`. Returns the exit code."""
    watch = evaluations.EvaluationWatch(paths)
    before = watch.poll().last_t
    with interruptible():
        pid = evaluations.launch(paths)
        if options.detach:
            _print_launch(paths, pid, options.json)
            return 0
        try:
            state = follow(paths, lambda: s if (s := watch.poll()).last_t != before else None, _progress_line)
        except KeyboardInterrupt:
            stop_process(paths, FORCE)
            state = watch.poll()
    return _conclude(paths, state, options.json, show, rows)


def begin_evaluation(plan: EvalPlan, options: argparse.Namespace) -> EvalDir:
    """Say what an evaluation takes, ask where its endpoints may cost much, and make its folder; it does not run yet."""
    library = evaluations.EvaluationRepository()
    past = library.list_evaluations(newest=PAST)
    time, rows = estimate_plan(plan, past), count_of(plan_rows(plan), "completion")
    ERR.print(f"About {rows}, {time.text} ({time.basis}). {precision_of_plan(plan)}", highlight=False, soft_wrap=True)
    confirm_cost(plan_costs(plan, past), options)
    return library.create(plan)


def _print_endpoints(paths: EvalDir, state: EvalState) -> None:
    """What a reader of the figures should know of each endpoint, and what was spent there."""
    with evaluations.open_rows(paths) as reader:
        notes = reader.notes(_model_names(read_plan(paths)))
    for name, said in notes.items():
        for note in said:
            OUT.print(f"{name}: {note}", highlight=False, markup=False, soft_wrap=True)
    for name, meter in state.meters.items():
        OUT.print(f"{name}: {meter_text(meter)}", highlight=False, markup=False, soft_wrap=True)


def _model_names(plan: EvalPlan) -> list[str]:
    return [model.name for model in (*plan.targets, *plan.writers)]


def _print_launch(paths: EvalDir, pid: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"evaluation": paths.run_id, "root": str(paths.root), "pid": pid}))
    else:
        OUT.print(f"Started {paths.run_id} (process {pid}) in {paths.root}", highlight=False, soft_wrap=True)
        OUT.print(f"See how far it is: seirenes eval --list · stop it: seirenes eval --stop {_call_name(paths)}")


def _progress_line(state: EvalState) -> ProgressLine:
    doing, left = f"{state.stage} {state.target}".strip(), evaluations.say_time_left(state)
    spent = meter_text(state.meter) if state.meter is not None else ""
    return ProgressLine(doing, state.share, 1.0, percent(state.share), " · ".join(filter(None, (left, spent))))


def _conclude(paths: EvalDir, state: EvalState, as_json: bool, show: Show, rows: Path | None) -> int:
    code = _CODES.get(state.status, 1)
    if paths.rows.is_file():
        with evaluations.open_rows(paths) as reader:
            there = reader.counts()[1] > 0
            if rows is not None and there:
                save_traces(reader.all_traces(), rows, {t.name: t.prompts.label for t in read_plan(paths).targets})
        if there:
            show(paths, read_plan(paths), state.status, as_json)
            if not as_json:
                _print_endpoints(paths, state)
    if code:
        words = state.message or "\n".join(log_tail(paths))
        ERR.print(f"The evaluation {state.status}. {words}", highlight=False, markup=False)
        ERR.print(f"Resume it: seirenes eval --resume {_call_name(paths)}", highlight=False, markup=False)
    return code
