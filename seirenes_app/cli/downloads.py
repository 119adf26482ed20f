"""`seirenes models pull`, `downloads`, `remove`, `login`, `logout`, `whoami`: models of the hub, and its login."""

from __future__ import annotations

import argparse
import getpass
import json
import shlex
import sys
from collections.abc import Callable
from typing import Any

from rich.text import Text

from seirenes_app.cli.common import ERR, OUT, ProgressLine, follow, interruptible
from seirenes_app.services.formatting import byte_size, count_of, duration, percent
from seirenes_app.services.models import downloads, hub
from seirenes_app.services.models.downloads import DownloadDir, DownloadPlan, DownloadState, DownloadSummary
from training.errors import UserError
from training.model_names import HubId, describe_path, find_cached, parse_hub_id
from training.runs.files import expanded
from training.runs.status import RunStatus

LINE_EVERY_S = 4.0
_CODES = {RunStatus.FINISHED: 0, RunStatus.STOPPED: 3}
_MODEL_HELP = "org/name, org/name:file.gguf, org/name:Q4_K_M, or an address of huggingface.co"


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands of the verb `models` that are about the hub."""
    pull = commands.add_parser("pull", help="download a model from the hub, or go on with it")
    pull.add_argument("name", metavar="ORG/NAME[:FILE]", help=_MODEL_HELP)
    pull.add_argument("--revision", default="", metavar="R", help="a branch, tag or commit (default: main)")
    action = pull.add_mutually_exclusive_group()
    action.add_argument("--dry-run", action="store_true", help="show what would be downloaded")
    action.add_argument("--resume", action="store_true", help="go on with a paused download, at the same commit")
    action.add_argument("--pause", action="store_true", help="pause a running download")
    action.add_argument("--cancel", action="store_true", help="end a download and remove what it loaded")
    pull.add_argument("--detach", action="store_true", help="start it in the background and return")
    pull.add_argument("--json", action="store_true")
    listing = commands.add_parser("downloads", help="list the downloads that are not finished")
    listing.add_argument("--json", action="store_true")
    remove = commands.add_parser("remove", help="remove a downloaded model from the Hugging Face cache")
    remove.add_argument("name", metavar="ORG/NAME[:FILE]", help="as `pull` takes it; a GGUF is removed alone")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.add_argument("--json", action="store_true")
    commands.add_parser("login", help="keep a token of the hub in the system keyring")
    commands.add_parser("logout", help="remove the token from the system keyring")
    whoami = commands.add_parser("whoami", help="whose token is used, and where it is from")
    whoami.add_argument("--json", action="store_true")


# ---------------------------------------------------------------------- pull


def _pull(options: argparse.Namespace) -> int:
    if options.pause or options.cancel:
        return _end(downloads.find_download(options.name), cancel=options.cancel, as_json=options.json)
    if options.resume:
        download = downloads.find_download(options.name)
        return _run(download, lambda: downloads.resume_download(download), options)
    hub_id = _with_revision(hub.require_hub_id(options.name), options.revision)
    plan = downloads.plan_download(hub_id)
    if options.dry_run:
        _print_plan(plan, options.json)
        return 2 if plan.refused_reason else 0
    if plan.refused_reason:
        raise UserError(plan.refused_reason)
    if plan.present:
        return _conclude(plan.id, DownloadState(status=RunStatus.FINISHED), options.json, "is on this machine already")
    if not options.json:
        ERR.print(Text(_plan_text(plan)), soft_wrap=True)
    return _run(downloads.download_id(plan.id), lambda: downloads.start_download(plan), options)


def _with_revision(hub_id: HubId, revision: str) -> HubId:
    if not revision:
        return hub_id
    wanted = parse_hub_id(f"hf:{hub_id.repo}@{revision}")
    assert wanted is not None
    return HubId(hub_id.repo, hub_id.file, wanted.revision)


def _run(download: downloads.DownloadId, start: Callable[[], object], options: argparse.Namespace) -> int:
    """Start it and follow it to its end. Ctrl+C pauses."""
    paths = DownloadDir(downloads.downloads_folder() / download)
    poll = _poll_from_now(paths)
    with interruptible():
        start()
        hub_id = downloads.read_plan(paths).id
        if options.detach:
            return _print_detached(hub_id, download, options.json)
        try:
            state = follow(paths, poll, _progress_line, line_every_s=LINE_EVERY_S)
        except KeyboardInterrupt:
            downloads.pause_download(download)
            state = downloads.DownloadWatch(paths).poll()
    code = _conclude(hub_id, state, options.json)
    if state.status is RunStatus.FINISHED:
        downloads.cancel_download(download)
    return code


def _poll_from_now(paths: DownloadDir) -> Callable[[], DownloadState | None]:
    """The state whenever it is called; None until the process that is started next has written something.

    A process that runs already is followed at once.
    """
    watch, heard = downloads.DownloadWatch(paths), False
    heard = not watch.poll().over and bool(watch.events)

    def poll() -> DownloadState | None:
        nonlocal heard
        state = watch.poll()
        heard = heard or bool(watch.events)
        return state if heard else None

    return poll


def _progress_line(state: DownloadState) -> ProgressLine:
    rate = f"{byte_size(state.rate)}/s" if state.rate else ""
    left = f"{duration(state.eta_s)} left" if state.eta_s is not None else ""
    name = state.file.rsplit("/", 1)[-1]
    return ProgressLine(
        state.text, state.done_bytes, max(1, state.total_bytes),
        f"{byte_size(state.done_bytes)} of {byte_size(state.total_bytes)}",
        " · ".join(part for part in (state.message, name, rate, left) if part),
    )  # fmt: skip


def _plan_text(plan: DownloadPlan) -> str:
    parts = [count_of(len(plan.files), "file"), byte_size(plan.model_bytes)]
    if plan.total_bytes < plan.model_bytes:
        parts.append(f"{byte_size(plan.total_bytes)} of it to load")
    parts += [f"licence: {plan.licence or 'not stated'}"]
    return f"{plan.id}: {', '.join(parts)}. It goes to {plan.folder}, where {byte_size(plan.free_bytes)} are free."


def _print_plan(plan: DownloadPlan, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_plan_fields(plan), ensure_ascii=False))
        return
    for file in plan.files:
        OUT.print(Text(f"{byte_size(file.size):>8}  {file.name}"), soft_wrap=True)
    OUT.print(Text(plan.refused_reason or _plan_text(plan)), soft_wrap=True)


def _plan_fields(plan: DownloadPlan) -> dict[str, Any]:
    return {
        "model": str(plan.id), "commit": plan.commit, "files": {f.name: f.size for f in plan.files},
        "bytes": plan.model_bytes, "missing_bytes": plan.total_bytes, "free_bytes": plan.free_bytes,
        "folder": str(plan.folder), "gated": plan.gated, "licence": plan.licence or None, "present": plan.present,
        "refused": plan.refused_reason or None,
    }  # fmt: skip


def _print_detached(hub_id: HubId, download: downloads.DownloadId, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"model": str(hub_id), "download": download}))
    else:
        OUT.print(Text(f"{hub_id} is being downloaded in the background. See: seirenes models downloads"))
    return 0


def _conclude(hub_id: HubId, state: DownloadState, as_json: bool, done: str = "is complete") -> int:
    path = find_cached(hub_id) if state.status is RunStatus.FINISHED else None
    if as_json:
        fields = {"model": str(hub_id), "status": state.status, "path": str(path) if path else None}
        print(json.dumps(fields | {"message": state.message, "remedy": state.remedy}, ensure_ascii=False))
    elif path is not None:
        OUT.print(Text(f"{hub_id} {done}: {path}"), soft_wrap=True)
    elif state.paused:
        shown = f"{byte_size(state.done_bytes)} of {byte_size(state.total_bytes)} are kept"
        OUT.print(Text(f"Paused: {shown}. Resume it: {_resume(hub_id)}"), soft_wrap=True)
    if state.status in _CODES:
        return _CODES[state.status]
    if not as_json:
        where = "" if state.remedy.endswith(_resume(hub_id)) else f" Resume it: {_resume(hub_id)}"
        raise UserError(f"{state.message} {state.remedy}{where}")
    return 2


def _resume(hub_id: HubId) -> str:
    return f"seirenes models pull {shlex.quote(str(hub_id))} --resume"


def _end(download: downloads.DownloadId, *, cancel: bool, as_json: bool) -> int:
    name = next((str(s.hub_id or s.id) for s in downloads.list_downloads() if s.id == download), download)
    if cancel:
        downloads.cancel_download(download)
    elif not downloads.pause_download(download):
        raise UserError(f"The download of {name} has not stopped yet. Try again.")
    if as_json:
        print(json.dumps({"model": name, "status": "cancelled" if cancel else "paused"}))
    else:
        resume = f"seirenes models pull {shlex.quote(name)} --resume"
        text = "is cancelled: what it loaded is removed." if cancel else f"is paused. Resume it: {resume}"
        OUT.print(Text(f"The download of {name} {text}"), soft_wrap=True)
    return 0


def _list_downloads(options: argparse.Namespace) -> int:
    found = downloads.list_downloads()
    if options.json:
        print(json.dumps([_download_fields(summary) for summary in found], ensure_ascii=False))
        return 0
    for summary in found:
        OUT.print(Text(_download_text(summary)), soft_wrap=True)
    if not found:
        OUT.print("No download. Start one with: seirenes models pull org/name", highlight=False)
    return 0


def _download_text(summary: DownloadSummary) -> str:
    state, name = summary.state, summary.hub_id or summary.id
    if state is None:
        return f"{name}: unreadable: {summary.problem}"
    parts = [state.text, f"{percent(state.share)} of {byte_size(state.total_bytes)}"]
    parts += [f"{byte_size(state.rate)}/s, {duration(state.eta_s)} left"] if state.rate else []
    more = " ".join(part for part in (state.message, state.remedy) if part) if state.over and not state.paused else ""
    return f"{name}: {', '.join(parts)}{f'. {more}' if more else ''}"


def _download_fields(summary: DownloadSummary) -> dict[str, Any]:
    state = summary.state
    return {
        "download": summary.id, "model": str(summary.hub_id) if summary.hub_id else None,
        "status": state.text if state else "unreadable", "bytes": state.total_bytes if state else None,
        "done_bytes": state.done_bytes if state else None, "message": state.message if state else summary.problem,
        "remedy": state.remedy if state else "",
    }  # fmt: skip


# ---------------------------------------------------------------------- remove


def _remove(options: argparse.Namespace) -> int:
    removal = downloads.plan_removal(_removable(options.name))
    text = f"{removal.hub_id}, {byte_size(removal.bytes)}, in {removal.folder}"
    if not options.yes and not _confirmed(f"Remove {text}?"):
        OUT.print("Nothing was removed.")
        return 3
    downloads.remove_model(removal)
    if options.json:
        print(json.dumps({"model": str(removal.hub_id), "bytes": removal.bytes, "folder": str(removal.folder)}))
    else:
        OUT.print(Text(f"Removed {text}."), soft_wrap=True)
    return 0


def _removable(name: str) -> HubId:
    """The hub id of a cached model, also by its path in the cache. A user's own file or folder is refused."""
    path = expanded(name)
    if path.exists():
        hub_id = parse_hub_id(describe_path(path.absolute()))
        if hub_id is None:
            raise UserError(
                f"{path} is a file or folder of yours, which seirenes did not download: nothing was removed."
            )
        return hub_id
    return hub.require_hub_id(name)


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UserError(f"{question} There is nobody to ask: add --yes. Nothing was removed.")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


# ---------------------------------------------------------------------- login


def _login(options: argparse.Namespace) -> int:
    if sys.stdin.isatty():
        OUT.print(f"Make a token with read access at {hub.endpoint()}/settings/tokens", highlight=False)
        token = getpass.getpass("Token (not shown): ")
    else:
        token = sys.stdin.readline()
    hub.save_token(token)
    OUT.print("The token is in the system keyring. Check it with: seirenes models whoami", highlight=False)
    return 0


def _logout(options: argparse.Namespace) -> int:
    removed = hub.delete_token()
    OUT.print("The token was removed from the system keyring." if removed else "The keyring holds no token.")
    if hub.find_token()[0] is not None:
        OUT.print("The hub's own login is still used. End it with: hf auth logout", highlight=False)
    return 0


def _whoami(options: argparse.Namespace) -> int:
    status = hub.login_status()
    if options.json:
        fields = {"user": status.user or None, "token_from": status.source, "problem": status.problem or None}
        print(json.dumps(fields, ensure_ascii=False))
    elif status.source is hub.TokenSource.NONE:
        more = f" {status.keyring_problem} Use: hf auth login" if status.keyring_problem else ""
        text = f"Not logged in: public models only.{more or ' Log in with: seirenes models login'}"
        OUT.print(Text(text), soft_wrap=True)
    else:
        OUT.print(Text(f"{status.user or status.problem} (token from {status.source})"), soft_wrap=True)
    return 2 if status.problem else 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "pull": _pull, "downloads": _list_downloads, "remove": _remove, "login": _login, "logout": _logout,
    "whoami": _whoami,
}  # fmt: skip
"""Command: its function."""
