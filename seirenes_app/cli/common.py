"""What the verbs share: where to print, how runs and models are named, and how a background process is followed."""

from __future__ import annotations

import argparse
import getpass
import shlex
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from seirenes_app.services.run_repository import RunRepository, log_tail
from seirenes_app.services.run_summary import STOP_TEXT
from seirenes_app.store.resources import recorded_run
from training.core.prompts import PromptProfile
from training.core.types import Condition
from training.endpoints import CostEstimate, Meter, save_server_key
from training.errors import UserError
from training.evaluation.plan import SpendLimits
from training.prompt_files import AUTO, find_profile, successor
from training.runs.paths import RunPaths, default_runs_root
from training.runs.processes import StopEscalation, StopTimes, running_process
from training.runs.status import State

OUT = Console()
ERR = Console(stderr=True)
RECORDED = "recorded"
WIDE = 1000  # columns, where there is no terminal


def find_run(name: str) -> RunPaths:
    """The run of that folder, id, name, or unique beginning of one; else a UserError with the nearest."""
    return RunRepository().find_named(name)


def find_run_or_recorded(name: str) -> RunPaths:
    """The same, and the run that ships by the name 'recorded': for verbs that only read."""
    if name != RECORDED or Path(name).is_dir():
        return find_run(name)
    folder = recorded_run()
    if not folder.is_dir():
        raise UserError(f"The recorded run is not there ({folder}). Reinstall seirenes, or name a run of your own.")
    return RunPaths(folder)


def read_key() -> str:
    """A server's key, typed unseen or from a pipe; it is never an argument, which other processes can read."""
    key = (getpass.getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not key:
        raise UserError("No key was given. Type it, or remove the one that is kept with --remove.")
    return key


def change_key(base_url: str, *, remove: bool) -> None:
    """Keep the key of a server in the system keyring, as it is typed or comes from a pipe, or remove it, and say so."""
    save_server_key(base_url, "" if remove else read_key())
    say("The key is removed." if remove else "The key is in the system keyring.")


def say(text: str) -> None:
    """Print text that may hold anything, unstyled and unwrapped."""
    OUT.print(text, markup=False, highlight=False, soft_wrap=True)


def print_table(table: Table) -> None:
    """Print whole: names fold in a narrow terminal, and nothing is cut where there is none."""
    console = OUT if OUT.is_terminal else Console(width=WIDE)
    console.print(table)


def call_name(paths: RunPaths, folder: Path | None = None) -> str:
    """What a verb finds a run by, quoted: its id, or its folder where that is not in `folder` (the runs folder)."""
    inside = paths.root.parent.resolve() == (folder or default_runs_root()).resolve()
    return shlex.quote(paths.run_id if inside else str(paths.root))


def add_prompts_option(parser: argparse._ActionsContainer, help_: str = "default: by the model") -> None:
    """`--prompts`, and its older names. For `read_prompts`."""
    parser.add_argument(
        "--prompts", "--style", "--prompt-style", metavar="NAME|FILE", default="",
        help=f"prompt profile, see `seirenes prompts list`; {help_}",
    )  # fmt: skip


def read_prompts(options: argparse.Namespace) -> PromptProfile | None:
    """The profile that was named; None where none was. Raises a `UserError` for one that is not there."""
    return None if options.prompts in ("", AUTO) else find_profile(successor(options.prompts))


def read_conditions(text: str) -> tuple[Condition, ...]:
    """The value of `--conditions`."""
    try:
        return tuple(Condition(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; conditions are {', '.join(Condition)}") from error


def print_template_notes(models: Iterable[str | Path]) -> None:
    """On stderr: of which models the chat template is not used as it is, and what is used instead."""
    # Here, as most verbs describe no model and need not wait for jinja.
    from seirenes_app.services.models.facts import read_files, template_of

    for path in dict.fromkeys(map(Path, models)):
        if path.exists() and (note := template_of(read_files(path)).note):
            ERR.print(f"{path.name}: {note.text}", markup=False, highlight=False, soft_wrap=True)


# ---------------------------------------------------------------------- what endpoints cost


def add_exact_option(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--exact", action="store_true",
        help="GGUF files answer one prompt at a time: a greedy answer is then the same whatever is computed beside it, "
        "and the same from `seirenes serve`. Slower",
    )  # fmt: skip


def add_spending_options(parser: argparse._ActionsContainer) -> None:
    """`--max-requests`, `--max-cost` and `--yes`. For `read_limits` and `confirm_cost`."""
    parser.add_argument(
        "--max-requests", type=int, metavar="N", help="of all endpoints together: at most so many requests are sent"
    )
    parser.add_argument(
        "--max-cost", type=float, metavar="X", help="of all endpoints together, by the prices that were set for them"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before an endpoint is asked much")


def read_limits(options: argparse.Namespace) -> SpendLimits:
    """The limits that were named."""
    for name, value in (("--max-requests", options.max_requests), ("--max-cost", options.max_cost)):
        if value is not None and not value >= 0:
            raise UserError(f"{name} is {value}; it must be 0 or more.")
    return SpendLimits(requests=options.max_requests, money=options.max_cost)


def account_of(options: argparse.Namespace) -> str:
    """What the endpoints of one command spend goes by this name, so that its limits are of all together."""
    if getattr(options, "account", None) is None:
        options.account = f"command:{uuid.uuid4().hex}"
    return str(options.account)


def print_meter(meter: Meter) -> None:
    """What was spent at an endpoint, on stderr."""
    # Here, as most verbs ask no endpoint.
    from seirenes_app.services.models.endpoints import meter_text

    ERR.print(f"Endpoint: {meter_text(meter)}", highlight=False, markup=False, soft_wrap=True)


def confirm_cost(costs: Sequence[CostEstimate], options: argparse.Namespace) -> None:
    """Say what endpoints will take, and ask where that is above the limits of the settings. A UserError where the
    person does not agree, or cannot be asked."""
    # Here, as most verbs ask no endpoint.
    from seirenes_app.services.models.endpoints import estimate_text, must_ask, total_estimate
    from seirenes_app.store.settings import Settings

    found = total_estimate(costs)
    if found is None:
        return
    ERR.print(f"Endpoints: {estimate_text(found)}.", highlight=False, markup=False, soft_wrap=True)
    limits = read_limits(options)
    if found.at_most is not None and limits.money is not None:
        found = replace(found, at_most=min(found.at_most, limits.money))
    if limits.requests is not None:
        found = replace(found, requests=min(found.requests, limits.requests))
    if options.yes or not must_ask(found, Settings.load()):
        return
    if not sys.stdin.isatty():
        raise UserError(
            "That is above the limit from which it is asked. Start it with --yes, or limit it with --max-cost or "
            "--max-requests."
        )
    ERR.print("Start? [y/N] ", end="", highlight=False, markup=False)
    if input().strip().lower() not in ("y", "yes"):
        raise UserError("Nothing was started.")


POLL_S = 0.25
LINE_EVERY_S = 5.0  # without a terminal a line is printed this often


@dataclass(frozen=True)
class ProgressLine:
    """What is shown of a process at work: `done` of `total`, the same as text, and details."""

    doing: str
    done: float
    total: float
    count: str
    details: str = ""


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt in this block, as Ctrl+C does, so that a command can stop its child."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stop_process(paths: RunPaths, times: StopTimes) -> bool:
    """Ask it to stop, then end it when that is due, and say so; True if it is gone."""
    return StopEscalation(paths, times).run(lambda phase: ERR.print(STOP_TEXT[phase], highlight=False))


def follow(
    paths: RunPaths,
    poll: Callable[[], State | None],
    show: Callable[[State], ProgressLine],
    *,
    line_every_s: float = LINE_EVERY_S,
) -> State:
    """Show the progress until the process is over; returns the last state. `poll` gives None before its first event."""
    gone = False
    with display_progress(line_every_s) as display:
        while True:
            state = poll()
            if state is not None:
                display(show(state))
                if state.over:
                    return state
            elif running_process(paths) is None:
                if gone:
                    raise UserError("\n".join([f"The process exited at once. Its log, {paths.log}:", *log_tail(paths)]))
                gone = True
                continue
            time.sleep(POLL_S)


@contextmanager
def display_progress(line_every_s: float = LINE_EVERY_S) -> Iterator[Callable[[ProgressLine], None]]:
    """What shows progress on stderr: a bar in a terminal, else a line now and then."""
    if not ERR.is_terminal:
        yield _LinePrinter(line_every_s).show
        return
    columns = (
        TextColumn("[bold]{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[details]}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=ERR) as progress:
        task = progress.add_task("starting", total=1.0, count="", details="")
        yield lambda line: progress.update(
            task, description=line.doing, completed=line.done, total=line.total, count=line.count, details=line.details
        )


class _LinePrinter:
    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._printed = 0.0
        self._last = ""

    def show(self, line: ProgressLine) -> None:
        text = " · ".join(part for part in (line.count, line.doing, line.details) if part)
        now = time.monotonic()
        if text != self._last and (not self._last or now - self._printed >= self._every_s):
            ERR.print(text, highlight=False, markup=False, soft_wrap=True)
            self._printed, self._last = now, text
