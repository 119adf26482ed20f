"""`seirenes cluster`: Ray clusters, their tokens, and the jobs on them."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from seirenes_app.cli.common import (
    ERR,
    ProgressLine,
    call_name,
    display_progress,
    find_run,
    interruptible,
    print_table,
    read_key,
    say,
)
from seirenes_app.cli.runs import config_file, follow_run
from seirenes_app.services.cluster import (
    Cluster,
    ClusterClient,
    find_cluster,
    list_clusters,
    remove_cluster,
    save_cluster,
    save_token,
)
from seirenes_app.services.cluster_runs import (
    KINDS,
    fetch,
    remote_files,
    start_follower,
    stop_job,
    submit,
    submit_warnings,
)
from seirenes_app.services.cluster_script import Resources, ScriptKind, make_script
from seirenes_app.services.formatting import byte_size, count_of, time_ago
from seirenes_app.services.run_repository import RunRepository
from training.errors import UserError
from training.runs.config import load_config
from training.runs.files import write_whole
from training.runs.paths import RunPaths
from training.runs.processes import running_process, watch_run
from training.runs.status import DONE


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`seirenes cluster` with its commands."""
    commands = verbs.add_parser("cluster").add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_ in (
        ("add", "save a cluster under a name"),
        ("token", "keep its token in the system keyring, read without echo or from a pipe"),
        ("list", "the saved clusters"),
        ("status", "Ray's version there and the jobs, or one job"),
        ("logs", "what a job has printed"),
        ("submit", "start a run on the cluster; its events come into a run directory here"),
        ("follow", "go on reading the events of a submitted run"),
        ("fetch", "bring checkpoints, rollouts and evaluations of a submitted run here"),
        ("script", "print what starts a run by Slurm, SkyPilot or Ray's own command"),
        ("stop", "have a run save and stop; Ray ends the job where it does not"),
        ("remove", "forget a cluster"),
    ):
        parser = commands.add_parser(name, help=help_, description=help_)
        if name in ("follow", "fetch"):
            parser.add_argument("run", metavar="RUN", help="a run's id, name, the beginning of one, or its folder")
        elif name not in ("list", "script"):
            parser.add_argument("name", metavar="NAME")
        if name in ("submit", "script"):
            parser.add_argument("config", metavar="CONFIG", help="a TOML file, or a preset's name")
            parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
        if name in ("submit", "follow"):
            parser.add_argument("--detach", action="store_true", help="follow in the background and return")
        if name in ("status", "logs", "stop"):
            parser.add_argument("job", metavar="JOB", nargs="?" if name == "status" else None, help="a job's id")
        if (add := _OPTIONS.get(name)) is not None:
            add(parser)


def _add_add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="the dashboard's address, as http://host:8265")
    parser.add_argument(
        "--python", default="python", metavar="COMMAND",
        help="starts an interpreter there that has seirenes (default: python)",
    )  # fmt: skip
    parser.add_argument("--root", default="", metavar="FOLDER", help="the folder of runs there, which all nodes share")


def _add_token_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--remove", action="store_true", help="remove the one that is kept")


def _add_submit_options(parser: argparse.ArgumentParser) -> None:
    for name, what in (("cpus", "processors"), ("gpus", "GPUs")):
        help_ = f"{what} that the job reserves (default: 0)"
        parser.add_argument(f"--{name}", type=_amount, default=0.0, metavar="N", help=help_)


def _add_fetch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="in place of all", metavar="KIND")
    parser.add_argument("--list", action="store_true", help="print what there is, and fetch nothing")


def _add_script_options(parser: argparse.ArgumentParser) -> None:
    given = Resources()
    parser.add_argument("--for", dest="kind", type=ScriptKind, choices=list(ScriptKind), required=True)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="a new file (default: standard output)")
    for name, what in (("gpus", "GPUs"), ("cpus", "processors"), ("hours", "hours, for slurm")):
        value = getattr(given, name)
        parser.add_argument(f"--{name}", type=_count, default=value, metavar="N", help=f"{what} (default: {value})")
    parser.add_argument(
        "--accelerator", default=given.accelerator, metavar="NAME", help="the GPU's name, for skypilot (default: A100)"
    )
    parser.add_argument("--cluster", metavar="NAME", help="a saved cluster, for ray: address, interpreter and folder")


_OPTIONS = {
    "add": _add_add_options, "token": _add_token_options, "submit": _add_submit_options, "fetch": _add_fetch_options,
    "script": _add_script_options,
}  # fmt: skip


def cluster(options: argparse.Namespace) -> int:
    """Do one command."""
    match options.command:
        case "add":
            kept = save_cluster(Cluster(options.name, options.url, options.python, options.root))
            say(f"Saved {kept.name}: {kept.address}")
        case "list":
            for saved in list_clusters():
                say(f"{saved.name}  {saved.address}")
        case "remove":
            say(f"Removed {remove_cluster(options.name).name}.")
        case "token":
            found = find_cluster(options.name)
            save_token(found, "" if options.remove else read_key())
            if found.warning and not options.remove:
                ERR.print(f"Warning: {found.warning}", markup=False, highlight=False, soft_wrap=True)
            say("The keyring has no token for it now." if options.remove else "The token is in the keyring.")
        case "status":
            _print_jobs(ClusterClient(find_cluster(options.name)), options.job)
        case "logs":
            say(ClusterClient(find_cluster(options.name)).logs(options.job))
        case _:
            return _run_job(options)
    return 0


def _run_job(options: argparse.Namespace) -> int:
    """The commands about a run on a cluster."""
    match options.command:
        case "stop":
            with interruptible():
                say(stop_job(ClusterClient(find_cluster(options.name)), options.job))
        case "submit":
            config = load_config(config_file(options.config), options.overrides)
            for warning in submit_warnings(config):
                ERR.print(f"Warning: {warning}", markup=False, highlight=False, soft_wrap=True)
            paths = submit(find_cluster(options.name), config, cpus=options.cpus, gpus=options.gpus)
            RunRepository().remember(paths)
            say(f"Submitted {paths.run_id} to {options.name}.")
            return _follow(paths, options.detach)
        case "follow":
            return _follow(find_run(options.run), options.detach)
        case "fetch":
            return _fetch(find_run(options.run), options)
        case "script":
            return _script(options)
    return 0


def _follow(paths: RunPaths, detach: bool) -> int:
    """Follow in the background; without `detach`, show it. Ctrl+C ends what is shown and leaves the run alone."""
    poll = watch_run(paths).poll
    state = poll()
    if state.status in DONE:
        say(f"{paths.run_id} has ended: {state.status}.")
        return 0
    if running_process(paths) is None:
        start_follower(paths)
    if detach:
        say(f"It is followed in the background. Stop it: seirenes stop {call_name(paths)}")
        return 0
    try:
        return follow_run(paths, poll, as_json=False, stop_on_interrupt=False)
    except KeyboardInterrupt:
        say(f"The run goes on, and is followed. Stop it: seirenes stop {call_name(paths)}")
        return 130


def _script(options: argparse.Namespace) -> int:
    config = load_config(config_file(options.config), options.overrides)
    resources = Resources(options.gpus, options.cpus, options.hours, options.accelerator)
    text = make_script(config, options.kind, resources, find_cluster(options.cluster) if options.cluster else None)
    for warning in submit_warnings(config):
        ERR.print(f"Warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    if options.output is None:
        print(text, end="")
        return 0
    if options.output.exists():
        raise UserError(f"{options.output} is there already. Name another file.")
    write_whole(options.output, text)
    say(f"Wrote {options.output}.")
    return 0


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value < 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not a number of them: give 0 or more")
    return value


def _fetch(paths: RunPaths, options: argparse.Namespace) -> int:
    if options.list:
        with interruptible():
            files = remote_files(paths, options.only)
        for file in files:
            say(f"{byte_size(file.size):>10}  {file.path}")
        say(f"{count_of(len(files), 'file')}, {byte_size(sum(file.size for file in files))}")
        return 0
    try:
        with interruptible(), display_progress() as display:
            display(ProgressLine("listing the files", 0.0, 1.0, ""))

            def show(done: int, total: int) -> None:
                display(ProgressLine("fetching", done, max(total, 1), f"{byte_size(done)} of {byte_size(total)}"))

            new = fetch(paths, options.only, progress=show)
    except KeyboardInterrupt:
        say("Interrupted. What was read is kept: the same command goes on from there.")
        return 130
    say(f"Fetched {byte_size(new)} into {paths.root}." if new else "Everything is here already.")
    return 0


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not an amount: give 0 or more")
    return value


def _print_jobs(client: ClusterClient, job: str | None) -> None:
    version = client.version()
    jobs = [client.job(job)] if job else client.jobs()
    say(f"{client.cluster.name}: Ray {version}" + ("" if jobs else ", no jobs"))
    if not jobs:
        return
    table = Table("job", "status", "started", "message")
    for j in jobs:
        table.add_row(escape(j.id), escape(j.status.lower()), time_ago(j.started, time.time()), escape(j.message))
    print_table(table)
