"""Runs in the terminal: `demo`, `train`, `resume`, `runs`, `stop`; and `doctor`."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from seirenes_app.cli.common import ERR, OUT, call_name, find_run, stop_process
from seirenes_app.services.doctor import check_all
from seirenes_app.services.formatting import duration, p_value, percent, percent_interval, points_interval
from seirenes_app.services.run_report import before_after, write_report
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.store.resources import presets_folder
from training.core.statistics import Interval
from training.errors import UserError
from training.runs.config import RunConfig, load_config
from training.runs.events import EventTail
from training.runs.launch import running_process, start_trainer
from training.runs.paths import RunPaths, default_runs_root, new_run
from training.runs.status import OVER, RunState, RunStatus, reduce, resolve_status
from training.runs.stop import ASK_ONLY, FORCE


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verbs of this room and their options."""
    demo = verbs.add_parser("demo")
    _add_run_options(demo)

    train = verbs.add_parser("train")
    train.add_argument("config", type=Path, metavar="CONFIG.toml")
    train.add_argument("--detach", action="store_true", help="start it in the background and return")
    _add_run_options(train)

    runs = verbs.add_parser("runs")
    runs.add_argument("--json", action="store_true")

    stop = verbs.add_parser("stop")
    stop.add_argument("run", help="run id or folder")
    stop.add_argument("--force", action="store_true", help="terminate, then kill, if it does not stop when asked")

    resume = verbs.add_parser("resume")
    resume.add_argument("run", help="run id or folder")
    resume.add_argument("--detach", action="store_true")
    resume.add_argument("--json", action="store_true")

    doctor = verbs.add_parser("doctor")
    doctor.add_argument("--json", action="store_true")


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="e.g. update.kl=0.01"
    )
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="the run's folder (default: a new one)")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


# ---------------------------------------------------------------------- demo, train, resume


def demo(options: argparse.Namespace) -> int:
    """The bundled model against itself, with the demo preset."""
    return _start(load_config(presets_folder() / "demo.toml", options.overrides), options, detach=False)


def train(options: argparse.Namespace) -> int:
    """A run from a config file."""
    return _start(load_config(options.config, options.overrides), options, detach=options.detach)


def resume(options: argparse.Namespace) -> int:
    """Take up a run where its last checkpoint left it."""
    paths = find_run(options.run)
    if (held := running_process(paths)) is not None:
        raise UserError(f"{paths.run_id} is running already (process {held.pid}). Watch it in the window.")
    return _launch(paths, options, detach=options.detach)


def _start(config: RunConfig, options: argparse.Namespace, *, detach: bool) -> int:
    if options.run_dir is not None:
        folder = options.run_dir.expanduser().resolve()
        paths = new_run(folder.parent, config, folder.name)
    else:
        paths = new_run(default_runs_root(), config)
    return _launch(paths, options, detach=detach)


def _launch(paths: RunPaths, options: argparse.Namespace, *, detach: bool) -> int:
    tail = EventTail(paths.events)
    seen = sum(1 for _ in tail.poll())
    pid = start_trainer(paths, detached=True)
    if detach:
        _print_launch(paths, pid, options.json)
        return 0
    if not options.json:
        ERR.print(f"Run [bold]{paths.run_id}[/] in {paths.root}", highlight=False)
    try:
        state = follow(paths, seen)
    except KeyboardInterrupt:
        stop_process(paths, FORCE)
        state = _state(paths)
    return _conclude(paths, state, options.json)


def _print_launch(paths: RunPaths, pid: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"run": paths.run_id, "root": str(paths.root), "pid": pid}))
    else:
        OUT.print(f"Started {paths.run_id} (process {pid}) in {paths.root}", highlight=False)
        OUT.print(f"Stop it with: seirenes stop {call_name(paths)}", highlight=False)


def follow(paths: RunPaths, skip: int = 0, poll_s: float = 0.25) -> RunState:
    """Show the run's progress until it is over; returns its last state."""
    tail, state, events = EventTail(paths.events), RunState(), 0
    launched = time.monotonic()
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[eta]}"),
    )
    with Progress(*columns, console=ERR) as progress:
        task = progress.add_task("starting", total=1, figures="", eta="")
        while True:
            for event in tail.poll():
                state = reduce(state, event)
                events += 1
            if events > skip:
                state = resolve_status(state, running_process(paths), time.time())
                progress.update(task, **_progress_fields(state))
                if state.status in OVER:
                    return state
            elif running_process(paths) is None and time.monotonic() - launched > 60:
                raise UserError(f"The trainer did not start. Its log: {paths.log}\n{_last_lines(paths.log)}")
            time.sleep(poll_s)


def _progress_fields(state: RunState) -> dict[str, Any]:
    clean, hinted = state.latest.get("clean_accuracy"), state.latest.get("hinted_accuracy")
    figures = " ".join(
        f"{name} {percent(value)}" for name, value in (("clean", clean), ("hinted", hinted)) if value is not None
    )
    share = state.stage_done / state.stage_total if state.stage_total else 0.0
    eta = f"about {duration(state.eta_s)} left" if state.eta_s else ""
    between = state.stage == "eval" or state.status in OVER
    return {
        "description": state.stage or "starting",
        "completed": state.step if between else min(state.steps, max(0.0, state.step - 1 + share)),
        "total": max(state.steps, 1),
        "figures": figures,
        "eta": eta,
    }


def _conclude(paths: RunPaths, state: RunState, as_json: bool) -> int:
    written = write_report(paths) if len(state.evals) >= 2 else {}
    code = {RunStatus.FINISHED: 0, RunStatus.STOPPED: 3}.get(state.status, 1)
    if as_json:
        print(json.dumps({"run": paths.run_id, "root": str(paths.root), "status": state.status,
                          "message": state.message, "before_after": [asdict(c) for c in before_after(paths)],
                          "files": {k: str(v) for k, v in written.items()}}))  # fmt: skip
        return code
    if state.status in (RunStatus.FAILED, RunStatus.CRASHED):
        ERR.print(f"The run {state.status}. {state.message}", highlight=False, markup=False)
        log = _last_lines(paths.log)
        if not state.message or state.message not in log:
            ERR.print(log, highlight=False, markup=False)
        ERR.print(f"Nothing before it is lost. Go on with: seirenes resume {call_name(paths)}", highlight=False)
        return code
    if changes := before_after(paths):
        OUT.print(_change_table(changes))
    for name, path in written.items():
        OUT.print(f"{name}: {path}", highlight=False)
    return code


def _change_table(changes: list[Any]) -> Table:
    table = Table(
        title="Frozen suite, share right \\[95% interval]",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
    )
    table.add_column("", min_width=20)
    for heading in ("before", "after", "change", "p"):
        # Eighty columns hold the figures whole; a label may fold.
        table.add_column(heading, justify="right", no_wrap=True)
    for c in changes:
        table.add_row(
            c.label,
            *(percent_interval(Interval(r.accuracy, r.low, r.high)) for r in (c.before, c.after)),
            points_interval(c.difference, ""),
            p_value(c.p_value),
        )
    return table


def _last_lines(path: Path, count: int = 12) -> str:
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
    except OSError:
        return ""


# ---------------------------------------------------------------------- runs, stop


def _state(paths: RunPaths) -> RunState:
    state = RunState()
    for event in EventTail(paths.events).poll():
        state = reduce(state, event)
    return resolve_status(state, running_process(paths), time.time())


def runs(options: argparse.Namespace) -> int:
    """List the runs, newest first."""
    found = RunRepository().list_runs()
    if options.json:
        print(json.dumps([_run_facts(r) for r in found], ensure_ascii=False))
        return 0
    if not found:
        OUT.print("No run yet. Start one with: seirenes demo")
        return 0
    table = Table()
    for heading in ("run", "status", "mode", "step", "clean", "hinted"):
        table.add_column(heading)
    for r in found:
        f = _run_facts(r)
        cells = [f[k] for k in ("run", "status", "mode")]
        table.add_row(*(c or "" for c in cells), f"{f['step']}/{f['steps']}", _arrow(f["clean"]), _arrow(f["hinted"]))
    OUT.print(table)
    return 0


def _run_facts(summary: Any) -> dict[str, Any]:
    state = summary.state
    if summary.problem or state is None:
        return {"run": summary.paths.run_id, "root": str(summary.paths.root), "status": "unreadable", "mode": None,
                "step": 0, "steps": 0, "clean": [], "hinted": [], "problem": summary.problem}  # fmt: skip
    ends = [*state.evals[:1], *state.evals[1:][-1:]]
    return {
        "run": summary.paths.run_id, "root": str(summary.paths.root), "status": state.status, "mode": state.mode,
        "step": state.step, "steps": state.steps,
        "clean": [e.metrics["clean"]["accuracy"] for e in ends],
        "hinted": [e.metrics["hinted"]["accuracy"] for e in ends],
        "problem": None,
    }  # fmt: skip


def _arrow(values: list[float]) -> str:
    return " → ".join(percent(v) for v in values)


def stop(options: argparse.Namespace) -> int:
    """Ask, wait; with --force terminate and kill."""
    paths = find_run(options.run)
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
