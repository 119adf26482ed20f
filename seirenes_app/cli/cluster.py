"""`seirenes cluster`: Ray clusters, their tokens, and the jobs on them."""

from __future__ import annotations

import argparse
import time

from rich.markup import escape
from rich.table import Table

from seirenes_app.cli.common import print_table, read_key, say
from seirenes_app.services.cluster import (
    Cluster,
    ClusterClient,
    find_cluster,
    list_clusters,
    remove_cluster,
    save_cluster,
    save_token,
)
from seirenes_app.services.formatting import time_ago


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`seirenes cluster` with its commands."""
    commands = verbs.add_parser("cluster").add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_ in (
        ("add", "save a cluster under a name"),
        ("token", "keep its token in the system keyring, read without echo or from a pipe"),
        ("list", "the saved clusters"),
        ("status", "Ray's version there and the jobs, or one job"),
        ("logs", "what a job has printed"),
        ("stop", "ask Ray to stop a job"),
        ("remove", "forget a cluster"),
    ):
        parser = commands.add_parser(name, help=help_, description=help_)
        if name != "list":
            parser.add_argument("name", metavar="NAME")
        if name == "add":
            parser.add_argument("url", metavar="URL", help="the dashboard's address, as http://host:8265")
        if name == "token":
            parser.add_argument("--remove", action="store_true", help="remove the one that is kept")
        if name in ("status", "logs", "stop"):
            parser.add_argument("job", metavar="JOB", nargs="?" if name == "status" else None, help="a job's id")


def cluster(options: argparse.Namespace) -> int:
    """Do one command."""
    match options.command:
        case "add":
            kept = save_cluster(Cluster(options.name, options.url))
            say(f"Saved {kept.name}: {kept.address}")
        case "list":
            for saved in list_clusters():
                say(f"{saved.name}  {saved.address}")
        case "remove":
            say(f"Removed {remove_cluster(options.name).name}.")
        case "token":
            found = find_cluster(options.name)
            save_token(found, "" if options.remove else read_key())
            say("The keyring has no token for it now." if options.remove else "The token is in the keyring.")
        case "status":
            _print_jobs(ClusterClient(find_cluster(options.name)), options.job)
        case "logs":
            say(ClusterClient(find_cluster(options.name)).logs(options.job))
        case "stop":
            stopped = ClusterClient(find_cluster(options.name)).stop(options.job)
            say("Ray stops the job." if stopped else "The job had ended.")
    return 0


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
