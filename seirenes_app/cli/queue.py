"""`seirenes queue`: the runs that wait, in the window and in the terminal the same."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from rich import box
from rich.table import Table

from seirenes_app.cli.common import ERR, OUT, interruptible, print_table
from seirenes_app.cli.runs import CONFIG_HELP, add_overrides, config_file, follow_run
from seirenes_app.services.formatting import count_of, megabytes
from seirenes_app.services.preflight import live_runs, read_machine_state
from seirenes_app.services.run_queue import Outlook, QueueEntry, QueueState, RunQueue, choose_next, look_ahead
from seirenes_app.services.run_repository import RunRepository
from training.errors import UserError
from training.runs.config import load_config
from training.runs.processes import start_trainer

POLL_S = 1.0


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    queue = verbs.add_parser("queue")
    queue.set_defaults(edit="list")
    queue.add_argument("--json", action="store_true")
    edits = queue.add_subparsers(dest="edit", metavar="EDIT")
    edits.add_parser("list", help="what waits, what it takes, and why it waits (the default)")
    add = edits.add_parser("add", help="add a run at the end")
    add.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    add_overrides(add)
    move = edits.add_parser("move", help="move a run to another place")
    move.add_argument("number", type=int, metavar="N", help=NUMBER_HELP)
    move.add_argument("to", type=int, metavar="TO", help="its new number")
    remove = edits.add_parser("remove", help="take a run out")
    remove.add_argument("number", type=int, metavar="N", help=NUMBER_HELP)
    approve = edits.add_parser("approve", help="start a run although it does not fit, when its turn comes")
    approve.add_argument("number", type=int, metavar="N", help=NUMBER_HELP)
    edits.add_parser("start", help="start the runs one after the other, here, until none is left that fits")
    edits.add_parser("pause", help="start no further run; the one that is live goes on")


NUMBER_HELP = "its number in the list, from 1"


def queue(options: argparse.Namespace) -> int:
    """List or change the queue, or start its runs."""
    library = RunRepository()
    runs = RunQueue.of(library)
    edit = options.edit or "list"
    if edit == "list":
        return _list(runs, library, options.json)
    if edit == "start":
        return _start(runs, library)
    if edit == "pause":
        runs.set_running(False)
    elif edit == "add":
        config = load_config(config_file(options.config), options.overrides)
        runs.add(config)
        OUT.print(f"{config.name} waits as number {len(runs.state().entries)}. Start the runs with: "
                  "seirenes queue start", highlight=False, markup=False, soft_wrap=True)  # fmt: skip
    elif edit == "move":
        entry = _numbered(runs, options.number)
        _numbered(runs, options.to)
        runs.move(entry.id, options.to - 1)
    elif edit == "approve":
        runs.approve(_numbered(runs, options.number).id)
    else:
        runs.remove(_numbered(runs, options.number).id)
    return 0


def _numbered(runs: RunQueue, number: int) -> QueueEntry:
    entries = runs.state().entries
    if not 1 <= number <= len(entries):
        raise UserError(f"The queue has no number {number}: {count_of(len(entries), 'run')} wait. List them with: "
                        "seirenes queue")  # fmt: skip
    return entries[number - 1]


def _survey(runs: RunQueue, library: RunRepository) -> tuple[QueueState, dict[str, Outlook]]:
    state = runs.state()
    machine = read_machine_state(library.runs_root)
    return state, look_ahead(state, machine, library.list_runs(), library.shared_file)


def _list(runs: RunQueue, library: RunRepository, as_json: bool) -> int:
    state, outlooks = _survey(runs, library)
    if as_json:
        print(json.dumps({"on": state.on, "entries": [_facts(e, outlooks[e.id]) for e in state.entries]}))
        return 0
    if not state.entries:
        OUT.print("The queue is empty. Add a run with: seirenes queue add CONFIG", highlight=False, markup=False)
        return 0
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("", "run", "mode", "steps", "time", "memory", "waits for"):
        table.add_column(heading, overflow="fold")
    for number, entry in enumerate(state.entries, 1):
        config, needs = entry.config, outlooks[entry.id].needs
        about = [str(config.mode), str(config.steps)] if config is not None else ["", ""]
        takes = [needs.time.text, megabytes(needs.memory.megabytes)] if needs is not None else ["", ""]
        table.add_row(str(number), entry.name, *about, *takes, outlooks[entry.id].reason or "its turn")
    print_table(table)
    who = f"process {state.elsewhere} starts them" if state.elsewhere else "started by the window, if it is open"
    OUT.print(f"The queue is {'on: ' + who if state.on else 'paused'}.", highlight=False)
    return 0


def _facts(entry: QueueEntry, outlook: Outlook) -> dict[str, Any]:
    needs = outlook.needs
    return {
        "name": entry.name, "mode": entry.config.mode if entry.config is not None else None,
        "steps": entry.config.steps if entry.config is not None else None, "reason": outlook.reason,
        "approved": entry.approved, "seconds": needs.time.seconds if needs is not None else None,
        "memory_mb": needs.memory.megabytes if needs is not None else None,
    }  # fmt: skip


def _start(runs: RunQueue, library: RunRepository) -> int:
    """0 when all were played, 1 when some are left or one did not finish, 3 when a run was stopped."""
    if not runs.take_over():
        who = runs.state().elsewhere
        raise UserError(
            f"Process {who} starts the runs of this queue already. Pause it there, or: seirenes queue pause"
        )
    runs.set_running(True)
    code = 0
    try:
        for name in runs.drop_started():
            _say(f"{name} was started already.")
        while code != 3 and runs.state().on:
            _wait_for_others(library)
            state, outlooks = _survey(runs, library)
            entry = choose_next(state, outlooks)
            if entry is None:
                break
            code = max(code, _play(runs, library, entry))
        for entry in runs.state().entries:
            reason = _survey(runs, library)[1][entry.id].reason or "the queue was paused"
            _say(f"{entry.name} waits: {reason}")
            code = code or 1
    finally:
        # Paused by a stop; without runs there is nothing to go on with.
        runs.set_running(False)
    return code


def _play(runs: RunQueue, library: RunRepository, entry: QueueEntry) -> int:
    paths = None
    try:
        paths = runs.prepare(entry, library.runs_root)
        with interruptible():
            start_trainer(paths, detached=True)
    except (UserError, OSError) as error:
        runs.give_up(entry, paths, str(error))
        return 1
    runs.remove(entry.id)
    return follow_run(paths, as_json=False)


def _wait_for_others(library: RunRepository) -> None:
    live = live_runs(library.runs_root)
    if live:
        _say(f"Waiting for {', '.join(live)} to end.")
    while live:
        time.sleep(POLL_S)
        live = live_runs(library.runs_root)


def _say(text: str) -> None:
    ERR.print(text, highlight=False, markup=False, soft_wrap=True)
