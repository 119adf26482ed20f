"""Runs in the terminal: `demo`, `train`, `estimate`, `resume`, `runs`, `presets`, `stop`; and `doctor`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from seirenes_app.cli.common import (
    ERR,
    OUT,
    ProgressLine,
    call_name,
    display_progress,
    find_run,
    follow,
    interruptible,
    print_table,
    stop_process,
)
from seirenes_app.services.answer_reading import MANY, describe_unread
from seirenes_app.services.audit import audit_of, describe_deciders
from seirenes_app.services.cluster_runs import continue_run, ensure_followed
from seirenes_app.services.doctor import check_all
from seirenes_app.services.dry_run import keep_measurement, measure_run
from seirenes_app.services.engine_server import check_engine_server
from seirenes_app.services.estimate import Basis
from seirenes_app.services.formatting import count_of, duration, megabytes, percent
from seirenes_app.services.judging import describe_judge
from seirenes_app.services.preflight import find_needs, find_warnings, read_machine_state
from seirenes_app.services.robustness.checkpoint_figures import HEADLINE_COLUMNS, HeadlineLine
from seirenes_app.services.run_health import alarm_title, count_alarms, health_lines, standing_warnings
from seirenes_app.services.run_report import before_after, write_report
from seirenes_app.services.run_repository import RunRepository, log_tail, order_runs, startable
from seirenes_app.services.run_summary import (
    STATUS_LABELS,
    describe_activity,
    describe_problem,
    describe_saved,
    describe_status,
    measure_change,
    memory_remedy,
    stall_of,
    status_sentence,
)
from seirenes_app.services.run_time import describe_time, run_parts
from seirenes_app.store.resources import presets_folder
from seirenes_app.store.workspace import RunMark, Workspace
from training.core.types import Stage
from training.errors import UserError
from training.evaluation.metric_types import UnreadShares
from training.runs.config import RunConfig, change_for_resume, load_config, profile_of
from training.runs.files import user_path
from training.runs.paths import RunPaths, change_settings, default_runs_root, new_run
from training.runs.processes import (
    ASK_ONLY,
    FORCE,
    RunSummary,
    read_run,
    require_idle,
    require_unreached,
    running_process,
    watch_run,
)
from training.runs.status import RunState, RunStatus


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = verbs.add_parser("demo")
    _add_run_options(demo)

    train = verbs.add_parser("train")
    train.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    train.add_argument("--detach", action="store_true", help="start it in the background and return")
    _add_run_options(train)

    estimate = verbs.add_parser("estimate")
    estimate.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    estimate.add_argument(
        "--measure", action="store_true", help="play two steps of it, in place of an older measurement"
    )
    add_overrides(estimate)
    estimate.add_argument("--json", action="store_true")

    presets = verbs.add_parser("presets")
    presets.add_argument("--json", action="store_true")

    runs = verbs.add_parser("runs")
    runs.add_argument("--json", action="store_true")
    edits = runs.add_subparsers(dest="edit", metavar="EDIT")
    show = edits.add_parser("show", help="status, every alarm with its figure and limit, and where the time goes")
    show.add_argument("run", help=RUN_HELP)
    # Not its own default: `runs --json show RUN` means the same.
    show.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    rename = edits.add_parser("rename", help="give a run another name; its folder keeps its own")
    rename.add_argument("run", help=RUN_HELP)
    rename.add_argument("name", help="the name that is shown; '' shows the id again")
    tag = edits.add_parser("tag", help="set the tags of a run")
    tag.add_argument("run", help=RUN_HELP)
    tag.add_argument("tags", nargs="*", help="all tags; none removes them")
    group = edits.add_parser("group", help="put a run into a group")
    group.add_argument("run", help=RUN_HELP)
    group.add_argument("group", help="the group's name; '' takes it out")

    stop = verbs.add_parser("stop")
    stop.add_argument("run", help=RUN_HELP)
    stop.add_argument("--force", action="store_true", help="terminate, then kill, if it does not stop when asked")

    resume = verbs.add_parser("resume")
    resume.add_argument("run", help=RUN_HELP)
    resume.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="go on with another value, e.g. rollout.questions=8",
    )  # fmt: skip
    resume.add_argument("--detach", action="store_true")
    resume.add_argument("--json", action="store_true")

    doctor = verbs.add_parser("doctor")
    doctor.add_argument("--json", action="store_true")


RUN_HELP = "a run's id, name, the beginning of one, or its folder"
CONFIG_HELP = "a TOML file, or a preset's name: see seirenes presets"


def add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="e.g. update.kl=0.01"
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add_overrides(parser)
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="the run's folder (default: a new one)")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


# ---------------------------------------------------------------------- demo, train, resume


def demo(options: argparse.Namespace) -> int:
    return _start(load_config(config_file("demo"), options.overrides), options, detach=False)


def train(options: argparse.Namespace) -> int:
    return _start(load_config(config_file(options.config), options.overrides), options, detach=options.detach)


def estimate(options: argparse.Namespace) -> int:
    """What a run will take here: time, memory, disk, by part; with --measure after two steps that are played."""
    config = load_config(config_file(options.config), options.overrides)
    library = RunRepository()
    if options.measure:
        measure_config(config, library)
    needs = find_needs(config, library.list_runs(), library.shared_file)
    machine = read_machine_state(library.runs_root)
    warnings = find_warnings(config, needs, machine)
    if options.json:
        parts = {
            name: [{"part": p.name, unit: round(p.value, 2), "basis": p.basis} for p in found.parts]
            for name, unit, found in (("time", "seconds", needs.time), ("memory", "megabytes", needs.memory))
        }
        print(json.dumps({"seconds": needs.time.seconds, "memory_mb": needs.memory.megabytes, "disk_mb": needs.disk_mb,
                          "basis": needs.time.basis, **parts, "warnings": warnings}, ensure_ascii=False))  # fmt: skip
        return 0
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("")
    table.add_column("estimate", justify="right")
    table.add_column("basis")
    for title, figure, found, show in (
        ("Time", needs.time.text, needs.time, duration),
        ("Memory", f"about {megabytes(needs.memory.megabytes)}", needs.memory, megabytes),
    ):  # fmt: skip
        table.add_row(f"[bold]{title}[/]", f"[bold]{figure}[/]", "")
        for part in found.parts:
            table.add_row(f"  {part.name}", show(part.value), part.basis)
    table.add_row("[bold]Disk[/], for checkpoints", f"[bold]about {megabytes(needs.disk_mb)}[/]", "")
    print_table(table)
    OUT.print(f"Time: {needs.time.basis_text}", highlight=False)
    for warning in warnings:
        OUT.print(f"! {warning}", highlight=False, markup=False, soft_wrap=True)
    if not options.measure and Basis.MEASURED not in {part.basis for part in needs.time.parts}:
        OUT.print("Add --measure to play two steps, which takes as long as they do.", highlight=False)
    return 0


def measure_config(config: RunConfig, library: RunRepository) -> None:
    """Play two steps with progress, and keep what they took. Ctrl+C ends it and leaves nothing behind."""
    with interruptible(), display_progress() as show:
        found = measure_run(
            config, library.runs_root, lambda text, share: show(ProgressLine("measuring", share, 1.0, text))
        )
    assert found is not None
    keep_measurement(library.shared_file, config, found)


def config_file(name: str) -> Path:
    path = Path(name).expanduser()
    preset = presets_folder() / f"{name}.toml"
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    if not preset.is_file():
        known = ", ".join(sorted(file.stem for file in presets_folder().glob("*.toml")))
        raise UserError(f"{name!r} is neither a configuration file nor a preset. Presets: {known}.")
    return preset


def presets(options: argparse.Namespace) -> int:
    found = RunRepository().presets().values()
    if options.json:
        print(json.dumps([{"preset": p.name, "description": p.description, "steps": p.config.steps} for p in found]))
        return 0
    for preset in found:
        OUT.print(f"{preset.name}: {preset.description}", highlight=False, markup=False)
    OUT.print("Start one with: seirenes train NAME", highlight=False)
    return 0


def resume(options: argparse.Namespace) -> int:
    paths = find_run(options.run)
    require_idle(paths, paths.run_id, "Watch it in the window.")
    state = read_run(paths).state
    if state is not None and state.can_edit_settings and not state.can_resume:
        raise UserError(f"{paths.run_id} failed on its settings ({state.message}) {_EDIT_SETTINGS}")
    if state is not None:
        require_unreached(paths.run_id, change_for_resume(load_config(paths.config), options.overrides), state)
    if options.overrides:
        change_settings(paths, options.overrides)
    check_engine_server(load_config(paths.config))
    return _launch(paths, options, detach=options.detach)


_EDIT_SETTINGS = "Correct them and start a new run with: seirenes train CONFIG"


def _start(config: RunConfig, options: argparse.Namespace, *, detach: bool) -> int:
    config = startable(config)
    check_engine_server(config)
    if options.run_dir is not None:
        folder = user_path(options.run_dir)
        paths = new_run(folder.parent, config, folder.name)
    else:
        paths = new_run(default_runs_root(), config)
    return _launch(paths, options, detach=detach)


def _launch(paths: RunPaths, options: argparse.Namespace, *, detach: bool) -> int:
    RunRepository().remember(paths)
    poll = _poll_from_now(paths)
    with interruptible():
        pid = continue_run(paths)
        if detach:
            _print_launch(paths, pid, options.json)
            return 0
        return follow_run(paths, poll, as_json=options.json)


def follow_run(
    paths: RunPaths, poll: Callable[[], RunState | None] | None = None, *, as_json: bool, stop_on_interrupt: bool = True
) -> int:
    """Show a run's progress until it ends, then its figures. Returns the exit code. Ctrl+C stops it, or is raised."""
    with interruptible():
        try:
            if not as_json:
                prompts = profile_of(load_config(paths.config)).label
                ERR.print(
                    f"Run [bold]{paths.run_id}[/] in {paths.root}\nPrompts {prompts}", highlight=False, soft_wrap=True
                )
            said = _Warnings()
            state = follow(paths, poll or _poll_all(paths), lambda state: _progress_line(said.say_new(state)))
        except KeyboardInterrupt:
            if not stop_on_interrupt:
                raise
            stop_process(paths, FORCE)
            state = read_run(paths).state or RunState()
    return _conclude(paths, state, as_json)


def _poll_all(paths: RunPaths) -> Callable[[], RunState | None]:
    """The state of a run whose only trainer was started just now; None until that has written something."""
    watch = watch_run(paths)

    def poll() -> RunState | None:
        state = watch.poll()
        return state if state.last_t else None

    return poll


def _print_launch(paths: RunPaths, pid: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"run": paths.run_id, "root": str(paths.root), "pid": pid}))
    else:
        OUT.print(f"Started {paths.run_id} (process {pid}) in {paths.root}", highlight=False, soft_wrap=True)
        OUT.print(f"Stop it with: seirenes stop {call_name(paths)}", highlight=False, soft_wrap=True)


def _poll_from_now(paths: RunPaths) -> Callable[[], RunState | None]:
    """The run's state whenever it is called; None until the process that is started next has written something."""
    watch, heard = watch_run(paths), False
    watch.poll()

    def poll() -> RunState | None:
        nonlocal heard
        state = watch.poll()
        heard = heard or bool(watch.events)
        return state if heard else None

    return poll


class _Warnings:
    """Prints what a run warns of, and that it is fine again, as it comes."""

    def __init__(self) -> None:
        self._count = 0
        self._raised: tuple[str, ...] = ()
        self._launched_t = 0.0

    def say_new(self, state: RunState) -> RunState:
        for warning in state.warnings[self._count :]:
            # Those of an earlier launch were said then.
            if warning.t >= state.launched_t:
                self._say(f"Warning at step {warning.step}: {warning.message} {warning.remedy}")
        # A launch from an earlier step takes back what was raised since, which is no recovery.
        same_launch = state.launched_t == self._launched_t
        for code in self._raised:
            if same_launch and code not in state.raised:
                self._say(f"Fine again at step {state.step}: {alarm_title(code)}.")
        self._count, self._raised, self._launched_t = len(state.warnings), state.raised, state.launched_t
        return state

    @staticmethod
    def _say(text: str) -> None:
        ERR.print(text, highlight=False, markup=False, soft_wrap=True)


def _progress_line(state: RunState) -> ProgressLine:
    latest = state.latest
    figures = [
        f"{name} {percent(latest[f'{name}_accuracy'])}"
        for name in ("clean", "needed", "hinted")
        if latest.get(f"{name}_accuracy") is not None
    ]
    unread = UnreadShares(latest.get("unparsable_rate") or 0.0, latest.get("truncated_rate") or 0.0)
    figures += [describe_unread(unread)] if unread.total > MANY else []
    figures += [alarms] if (alarms := count_alarms(state)) else []
    goes_on = state.status not in (RunStatus.STALLED, RunStatus.NOT_FOLLOWED) and stall_of(state) is None
    left = [f"about {duration(state.eta_s)} left"] if state.eta_s and goes_on else []
    part = 0.0
    stages = (Stage.CLEAN, Stage.HINT, Stage.HINTED)
    if state.stage in stages and state.stage_total:
        # The three stages of a step are about a third of it each.
        part = (stages.index(Stage(state.stage)) + state.stage_done / state.stage_total) / 3
    return ProgressLine(
        describe_activity(state), min(state.steps, state.done_steps + part),
        max(state.steps, 1), f"step {state.done_steps}/{state.steps}", " · ".join([*figures, *left]),
    )  # fmt: skip


def _conclude(paths: RunPaths, state: RunState, as_json: bool) -> int:
    written = write_report(paths) if len(state.evals) >= 2 else {}
    code = {RunStatus.FINISHED: 0, RunStatus.STOPPED: 3}.get(state.status, 1)
    changes = before_after(paths)
    if as_json:
        print(json.dumps({"run": paths.run_id, "root": str(paths.root), "status": state.status,
                          "message": state.message, "alarms": _alarm_facts(state), "time": run_parts(state),
                          "claim": changes.claim if changes else "",
                          "before_after": [_change_facts(c) for c in changes.lines] if changes else [],
                          "files": {k: str(v) for k, v in written.items()}}))  # fmt: skip
        return code
    if changes is not None:
        print_table(_change_table(changes.lines))
        if changes.claim:
            OUT.print(changes.claim, highlight=False, soft_wrap=True)
    _print_health(state)
    for name, path in written.items():
        OUT.print(f"{name}: {path}", highlight=False, soft_wrap=True)
    if code:
        _report_end(paths, state)
    return code


def _print_health(state: RunState) -> None:
    """The alarms that stand, and where the time went."""
    raised = [line for line in health_lines(state) if line.raised]
    for line in raised:
        OUT.print(f"{line.title}: {line.figure}, healthy: {line.limit}. {line.status}. {line.remedy}".rstrip(),
                  highlight=False, markup=False, soft_wrap=True)  # fmt: skip
    if len(state.history) and not raised:
        OUT.print("Health: no alarm stands.", highlight=False)
    if spent := describe_time(state):
        OUT.print(f"Time: {spent}", highlight=False, soft_wrap=True)


def _alarm_facts(state: RunState) -> list[dict[str, Any]]:
    lines = [line for line in health_lines(state) if line.raised]
    return [{"code": x.code, "title": x.title, "now": x.figure, "healthy": x.limit, "status": x.status,
             "message": x.message, "remedy": x.remedy} for x in lines]  # fmt: skip


def _report_end(paths: RunPaths, state: RunState) -> None:
    def say(text: str) -> None:
        ERR.print(text, highlight=False, markup=False, soft_wrap=True)

    problem = describe_problem(RunSummary(paths, None, state)) if state.status is RunStatus.CRASHED else None
    say(problem.text if problem else f"The run {state.status if state.over else 'is ' + state.status}. {state.message}")
    log = "\n".join(log_tail(paths, 12))
    if state.status in (RunStatus.FAILED, RunStatus.CRASHED) and (not state.message or state.message not in log):
        say(log)
    if state.can_edit_settings and not state.can_resume:
        say(_EDIT_SETTINGS)
    elif state.can_resume:
        remedy = memory_remedy(RunSummary(paths, None, state))
        change = f" --set {remedy['key']}={remedy['value']}" if remedy else ""
        saved = "" if problem else f"{describe_saved(state)} "
        say(f"{saved}Resume it with: seirenes resume {call_name(paths)}{change}")


def _change_facts(line: HeadlineLine) -> dict[str, Any]:
    before, after = (
        {"right": round(rate.mean * n), "n": n, "accuracy": rate.mean, "low": rate.low, "high": rate.high,
         "unread": asdict(unread) if unread is not None else None}
        for rate, n, unread in ((line.before, line.rows_before, line.unread_before),
                                (line.after, line.rows_after, line.unread_after))
    )  # fmt: skip
    difference = asdict(line.difference) if line.difference is not None else None
    paired = {"difference": difference, "p_value": line.p_value}
    return {"label": line.label, "before": before, "after": after} | paired


def _change_table(changes: Sequence[HeadlineLine]) -> Table:
    title = "Frozen suite, share right \\[95% interval]"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("", min_width=20)
    for heading in HEADLINE_COLUMNS[1:]:
        # Eighty columns hold the figures whole; a label may fold.
        table.add_column(heading, justify="right", no_wrap=True)
    for line in changes:
        table.add_row(*line.cells())
    return table


# ---------------------------------------------------------------------- runs, stop


def runs(options: argparse.Namespace) -> int:
    """List the runs, newest first; or show, rename, tag or group one."""
    library = RunRepository()
    if options.edit == "show":
        return _show(find_run(options.run), as_json=options.json)
    if options.edit:
        return _edit(options)
    marks = library.marks()
    found = order_runs(library.list_runs(), marks)
    facts = [_run_facts(run, marks.get(run.paths.run_id, RunMark())) for run in found]
    if options.json:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    if not found:
        OUT.print("No run yet. Start one with: seirenes demo")
        return 0
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("run", overflow="fold")
    for heading in ("status", "mode", "step", "clean", "hinted"):
        table.add_column(heading, no_wrap=True)
    labelled = any(f["tags"] or f["group"] for f in facts)
    if labelled:
        table.add_column("group, tags", overflow="fold")
    for run, f in zip(found, facts, strict=True):
        outside = run.paths.root.parent.resolve() != library.runs_root.resolve()
        name = str(run.paths.root) if outside else f["run"]
        alarms = f", {count_of(len(f['alarms']), 'alarm')}" if f["alarms"] else ""
        status = f["status"] if run.state is None else STATUS_LABELS[run.state.status].lower()
        cells = [f"{f['name']} ({name})" if f["name"] else name, f"{status}{alarms}", f["mode"] or ""]
        cells[1] += f", on {f['cluster']}" if f["cluster"] else ""
        cells += [f"{f['step']}/{f['steps']}", *(_arrow(f, name) for name in ("clean", "hinted"))]
        labels = " ".join(part for part in (f["group"], *(f"#{tag}" for tag in f["tags"])) if part)
        table.add_row(*cells, *([labels] if labelled else []))
    print_table(table)
    for run in found:
        if run.state is not None and run.state.status is RunStatus.NOT_FOLLOWED:
            how = f"Follow it again: seirenes cluster follow {call_name(run.paths)}"
            text = f"{run.paths.run_id} is {describe_status(run.state)}. {how}"
            OUT.print(text, highlight=False, markup=False, soft_wrap=True)
    return 0


def _show(paths: RunPaths, *, as_json: bool) -> int:
    summary = read_run(paths)
    state = summary.state
    if state is None:
        raise UserError(f"{paths.run_id} cannot be read: {summary.problem}")
    lines = health_lines(state)
    if as_json:
        health = [asdict(line) for line in lines]
        facts = {"run": paths.run_id, "root": str(paths.root), "status": state.status, "step": state.done_steps,
                 "steps": state.steps, "message": state.message, "health": health,
                 "time": run_parts(state), "audit": audit_of(paths.root),
                 "judge": describe_judge(state), "hints_decided_by": describe_deciders(state)}  # fmt: skip
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    where = f" On {summary.cluster}." if summary.cluster else ""
    where += f" {state.message}" if state.status is RunStatus.NOT_FOLLOWED else ""
    OUT.print(f"{paths.run_id}: {status_sentence(state)}{where}", highlight=False, markup=False, soft_wrap=True)
    table = Table(title="Health", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("", min_width=20)
    for heading in ("now", "healthy"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status")
    for line in lines:
        table.add_row(line.title, line.figure, line.limit, f"! {line.status}" if line.raised else line.status)
    print_table(table)
    for warning in standing_warnings(state):
        OUT.print(f"{warning.text} {warning.detail}", highlight=False, markup=False, soft_wrap=True)
    if spent := describe_time(state):
        OUT.print(f"Time: {spent}", highlight=False, soft_wrap=True)
    if judge := describe_judge(state):
        OUT.print(f"Judge: {judge}", highlight=False, markup=False, soft_wrap=True)
    if deciders := describe_deciders(state):
        OUT.print(f"Hints decided by: {deciders}", highlight=False, soft_wrap=True)
    if audited := audit_of(paths.root):
        OUT.print(f"Audit of hints: {audited}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _edit(options: argparse.Namespace) -> int:
    key = {"rename": "name", "tag": "tags", "group": "group"}[options.edit]
    with closing(Workspace()) as workspace:
        workspace.mark(find_run(options.run).run_id, **{key: getattr(options, key)})
    return 0


def _run_facts(summary: RunSummary, mark: RunMark) -> dict[str, Any]:
    state = summary.state
    facts = {"run": summary.paths.run_id, "root": str(summary.paths.root), "name": mark.name, "tags": list(mark.tags),
             "group": mark.group, "cluster": summary.cluster}  # fmt: skip
    if summary.problem or state is None:
        return facts | {"status": "unreadable", "mode": None, "step": 0, "steps": 0, "clean": [], "hinted": [],
                        "alarms": [], "problem": summary.problem}  # fmt: skip
    ends = [*state.evals[:1], *state.evals[1:][-1:]]
    return facts | {
        "status": state.status, "mode": state.mode, "step": state.done_steps, "steps": state.steps,
        "clean": [e.metrics["clean"]["accuracy"] for e in ends],
        "hinted": [e.metrics["hinted"]["accuracy"] for e in ends],
        "unread": {name: measure_change(state, name).unread_text for name in ("clean", "hinted")},
        "alarms": list(state.raised), "problem": None,
    }  # fmt: skip


def _arrow(facts: dict[str, Any], condition: str) -> str:
    unread = facts.get("unread", {}).get(condition)
    return " → ".join(percent(v) for v in facts[condition]) + (f" ({unread})" if unread else "")


def stop(options: argparse.Namespace) -> int:
    paths = find_run(options.run)
    ensure_followed(paths)
    if running_process(paths) is None:
        OUT.print(f"{paths.run_id} is not running.")
        return 0
    if stop_process(paths, FORCE if options.force else ASK_ONLY):
        return 0
    if not options.force:
        OUT.print(f"Wait, or use: seirenes stop {call_name(paths)} --force", highlight=False, markup=False)
    return 1


# ---------------------------------------------------------------------- doctor


def doctor(options: argparse.Namespace) -> int:
    """Check this machine; 1 if something needs mending."""
    checks = check_all()
    if options.json:
        print(json.dumps([asdict(c) for c in checks]))
    else:
        for c in checks:
            OUT.print(f"{'✓' if c.ok else '✗'} {c.name}: {c.found}", highlight=False, markup=False)
            if not c.ok:
                OUT.print(f"    {c.remedy}", highlight=False, markup=False)
    return 0 if all(c.ok for c in checks) else 1
