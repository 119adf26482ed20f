"""Downloads from the Hugging Face hub into its cache, each by a process of its own that outlives the window.

A download has a folder with its plan and its events; window and command read the same ones. `python -m
seirenes_app.services.models.downloads DIR` is that process. It fetches each file itself, because the hub's client
starts a file from zero after an interruption: a partial file is kept beside the cache's blobs and continued. Whole
files are checked by size and hash, moved to their place, and linked into the snapshot by the client, all at the end:
other programs see the model complete or not at all.

Pausing ends the process and keeps the partial files; cancelling removes them.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from seirenes_app.services.formatting import byte_size
from seirenes_app.services.models import hub
from seirenes_app.services.models.hub import HubError, HubProblem, RemoteFile, RemoteModel
from seirenes_app.services.run_repository import log_tail
from training.errors import UserError, exit_code
from training.model_names import MAIN, HubId, cache_folder, choose_gguf_file, find_cached, group_gguf_files, split_parts
from training.resources import data_folder
from training.runs.control import ProcessControl, StopSignal, heartbeat
from training.runs.events import Event, EventKind, EventLog
from training.runs.files import FileError, decode_format, explained, read_text, write_whole
from training.runs.lock import LockHolder, RunLock
from training.runs.paths import FileAt, RunPaths
from training.runs.processes import ProcessWatch, StopEscalation, StopTimes, process_at_work, start_process
from training.runs.status import DONE, LIVE, FailureKind, ProcessState, RunStatus, reduce_process, resolve_status

MODULE = "seirenes_app.services.models.downloads"
PLAN, FORMAT = "plan.json", 1

DownloadId = str
"""The name of a download's folder."""

# Asked to pause, the process needs one moment; a partial file survives a kill.
PAUSE = StopTimes(waiting_s=None, terminate_s=4.0, kill_s=8.0, give_up_s=20.0)
DISK_MARGIN = 64 * 2**20
"""Bytes that stay free."""
RETRY_WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Waits before the connection is tried again; the count starts over with every byte that comes."""
SILENCE_S = 30.0
"""A connection without a byte for so long is given up and made again."""
MAX_FILE_BYTES = 50 * 10**9
"""The hub serves larger files only through its own transfer protocol."""
EVENT_S = 0.5
RATE_WINDOW_S = 15.0
_CHUNK = 2**16
_LONGEST_WAIT_S = 120.0

_ALWAYS = re.compile(
    r"config\.json|generation_config\.json|tokenizer[\w.-]*\.json|tokenizer\.model|spiece\.model|vocab\.(json|txt)|"
    r"merges\.txt|special_tokens_map\.json|added_tokens\.json|chat_template\.(jinja|json)|"
    r"additional_chat_templates/[\w.-]+\.jinja|adapter_config\.json|README\.md|LICEN[SC]E[\w.-]*|NOTICE[\w.-]*"
)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
_CARD = re.compile(r"README\.md|LICEN[SC]E[\w.-]*|NOTICE[\w.-]*")
_PICKLED = re.compile(r".*\.(bin|pt|pth|ckpt|pkl)")
_FILE_NAME = re.compile(r"[\w. +()-]+(/[\w. +()-]+)*")
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_OTHER_WEIGHTS = re.compile(r"consolidated.*|.*\.(fp16|bf16|fp8|int8|ema|non_ema)\.safetensors")


# ---------------------------------------------------------------------- plan


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """What a download fetches. `refused_reason` is "" where it can begin.

    `files` are all that the model needs, `total_bytes` counts those that the cache lacks, less what a paused download
    has of them already. `gated`: the licence must be accepted on the model's page.
    """

    id: HubId
    commit: str
    files: tuple[RemoteFile, ...]
    total_bytes: int
    free_bytes: int
    folder: Path
    """The cache that it goes to."""
    gated: bool = False
    licence: str = ""
    refused_reason: str = ""
    problem: HubProblem | None = None
    """Why it is refused, as a kind."""
    present: bool = False
    """The cache holds all of it."""

    @property
    def model_bytes(self) -> int:
        """Of all files, those included that the cache has."""
        return sum(file.size for file in _distinct(self.files))


def plan_download(hub_id: HubId) -> DownloadPlan:
    """Ask the hub what the model consists of. Nothing is written.

    Refusals are in the plan; a `HubError` is raised only where the hub could not be asked.
    """
    remote = hub.read_remote(hub_id)
    cache = cache_folder()
    free = shutil.disk_usage(_existing(cache)).free
    try:
        chosen_id, files = choose_files(remote)
        if remote.gated:
            hub.check_access(hub_id)
    except UserError as error:
        kind = error.problem if isinstance(error, HubError) else HubProblem.REFUSED
        return DownloadPlan(
            hub_id, remote.commit, (), 0, free, cache, remote.gated, remote.licence, str(error), kind
        )  # fmt: skip
    plan = DownloadPlan(chosen_id, remote.commit, files, 0, free, cache, remote.gated, remote.licence)
    left = _missing_bytes(plan)
    plan = replace(plan, total_bytes=left, present=left == 0 and _is_linked(plan))
    if left + DISK_MARGIN > free and left:
        return replace(plan, problem=HubProblem.DISK, refused_reason=str(_full(left, free, cache)))
    return plan


def choose_files(remote: RemoteModel) -> tuple[HubId, tuple[RemoteFile, ...]]:
    """The files that a model needs, and its id with the GGUF's path. Raises a `HubError` for what cannot be used."""
    hub_id, there = remote.hub_id, {file.name: file for file in remote.files}
    groups = group_gguf_files(there)
    weights = _weights(there)
    if hub_id.file or (groups and not weights):
        first = choose_gguf_file(hub_id, groups)
        parts = split_parts(first)
        missing = [part for part in parts if part not in there]
        if missing:
            raise _refused(f"{hub_id} is incomplete on the hub: {', '.join(missing)} is missing.")
        hub_id, names = replace(hub_id, file=first), [*parts, *(name for name in there if _CARD.fullmatch(name))]
    else:
        _check_folder(hub_id, there, weights)
        names = [*weights, *(name for name in there if _ALWAYS.fullmatch(name))]
    files = tuple(there[name] for name in dict.fromkeys(names))
    if unsafe := next((f.name for f in files if not _FILE_NAME.fullmatch(f.name) or ".." in f.name), None):
        raise _refused(f"{hub_id} has a file of an unusual name: {unsafe!r}.")
    if unknown := next((f.name for f in files if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", f.etag)), None):
        raise _refused(f"The hub states no hash for {unknown} of {hub_id}, so it could not be checked.")
    if large := next((f for f in files if f.size > MAX_FILE_BYTES), None):
        raise _refused(
            f"{large.name} has {byte_size(large.size)}, and the hub serves files above {byte_size(MAX_FILE_BYTES)} "
            f"only to its own client. Use: hf download {hub_id.repo}"
        )
    return hub_id, files


def _weights(there: dict[str, RemoteFile]) -> list[str]:
    """The safetensors files of the model itself: not other precisions or formats beside it."""
    if "model.safetensors.index.json" in there:
        shards = [name for name in there if _SHARD.fullmatch(name)]
        if shards:
            return ["model.safetensors.index.json", *sorted(shards)]
    for name in ("model.safetensors", "adapter_model.safetensors"):
        if name in there:
            return [name]
    return sorted(
        name
        for name in there
        if name.endswith(".safetensors") and "/" not in name and not _OTHER_WEIGHTS.fullmatch(name)
    )


def _check_folder(hub_id: HubId, there: dict[str, RemoteFile], weights: list[str]) -> None:
    adapter = "adapter_config.json" in there
    if "model_index.json" in there:
        raise _refused(f"{hub_id} is a pipeline of several models (diffusers), not a model that writes text.")
    if not weights and any(_PICKLED.fullmatch(name) for name in there):
        raise _refused(
            f"{hub_id} has only pickled weights, and loading those can run foreign code. Choose a repository with "
            "safetensors or GGUF files."
        )
    if not weights:
        raise _refused(f"{hub_id} has no weights: neither safetensors nor GGUF files. Choose another repository.")
    if "config.json" not in there and not adapter:
        raise _refused(f"{hub_id} has no config.json, so its weights cannot be loaded. Choose another repository.")
    if not adapter and not any(name in there for name in _TOKENIZERS):
        raise _refused(f"{hub_id} has no tokenizer, so no text goes in or out. Choose another repository.")


def _refused(text: str) -> HubError:
    message, _, remedy = text.partition(". ")
    return HubError(HubProblem.REFUSED, f"{message.removesuffix('.')}.", remedy or "Choose another repository.")


def _existing(folder: Path) -> Path:
    return next((p for p in (folder, *folder.parents) if p.exists()), Path.cwd())


# ---------------------------------------------------------------------- files of a download and of the cache


@dataclass(frozen=True)
class DownloadDir(RunPaths):
    """The files of one download. It is a run's folder to everything that starts, tails or stops one."""

    plan = FileAt(PLAN)
    config = FileAt(PLAN)
    lock = FileAt("download.lock")
    log = FileAt("download.log")

    @property
    def mark(self) -> str:
        """Part of the names of its partial files, so that two downloads of one file do not share one."""
        return hashlib.sha256(self.run_id.encode()).hexdigest()[:8]


def downloads_folder() -> Path:
    return data_folder() / "downloads"


def download_id(hub_id: HubId) -> DownloadId:
    """The same for the same id, so that a model is downloaded once at a time."""
    text = re.sub(r"[^\w.-]+", "-", str(hub_id).replace("/", "--")).strip("-.")
    return f"{text[:80]}-{hashlib.sha256(str(hub_id).encode()).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True)
class _StoredPlan:
    format: int
    repo: str
    file: str
    revision: str
    commit: str
    cache: str
    files: tuple[RemoteFile, ...]
    gated: bool = False
    licence: str = ""


def _write_plan(paths: DownloadDir, plan: DownloadPlan) -> None:
    stored = _StoredPlan(
        FORMAT, plan.id.repo, plan.id.file, plan.id.revision, plan.commit, str(plan.folder), plan.files, plan.gated,
        plan.licence,
    )  # fmt: skip
    write_whole(paths.plan, msgspec.json.format(msgspec.json.encode(stored)).decode() + "\n")


def read_plan(paths: DownloadDir) -> DownloadPlan:
    """The plan of a download. A UserError where there is none or it is damaged."""
    text = read_text(paths.plan, f"{paths.root} holds no download: {PLAN} is missing.")
    s = decode_format(text, _StoredPlan, FORMAT, str(paths.plan), "Cancel the download and start it again.")
    plan = DownloadPlan(HubId(s.repo, s.file, s.revision), s.commit, s.files, 0, 0, Path(s.cache), s.gated, s.licence)
    return replace(plan, total_bytes=_missing_bytes(plan, paths))


def _blob(plan: DownloadPlan, file: RemoteFile) -> Path:
    return plan.folder / plan.id.cache_name / "blobs" / file.etag


def _partial(plan: DownloadPlan, file: RemoteFile, paths: DownloadDir) -> Path:
    # With this ending, the hub's own commands list it as an incomplete download.
    return _blob(plan, file).with_name(f"{file.etag}.{paths.mark}.incomplete")


def _pointer(plan: DownloadPlan, file: RemoteFile) -> Path:
    return plan.folder / plan.id.cache_name / "snapshots" / plan.commit / file.name


def _is_present(plan: DownloadPlan, file: RemoteFile) -> bool:
    return _size(_blob(plan, file)) == file.size or _size(_pointer(plan, file)) == file.size


def _is_linked(plan: DownloadPlan) -> bool:
    return all(_size(_pointer(plan, file)) == file.size for file in plan.files)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _missing_bytes(plan: DownloadPlan, paths: DownloadDir | None = None) -> int:
    paths = paths or DownloadDir(downloads_folder() / download_id(plan.id))
    return sum(
        max(0, file.size - max(0, _size(_partial(plan, file, paths))))
        for file in _distinct(plan.files)
        if not _is_present(plan, file)
    )


def _distinct(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """One file for each content."""
    return list({file.etag: file for file in files}.values())


# ---------------------------------------------------------------------- state


@dataclass(frozen=True, kw_only=True)
class DownloadState(ProcessState):
    """A download as a page shows it. Bytes are of all files; `rate` in bytes a second.

    `status`: STOPPED is a paused download, CRASHED one whose process was ended from outside; both can be resumed.
    """

    hub_id: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    file: str = ""
    file_done: int = 0
    file_total: int = 0
    remedy: str = ""
    problem: HubProblem | None = None
    samples: tuple[tuple[float, int], ...] = ()
    """(seconds of work, bytes) of the last moments, for the rate."""

    @property
    def rate(self) -> float:
        """Bytes a second over the last moments; 0 while nothing comes or it does not run."""
        if self.status is not RunStatus.RUNNING or self.stage != "downloading" or len(self.samples) < 2:
            return 0.0
        (t0, b0), (t1, b1) = self.samples[0], self.samples[-1]
        return max(0.0, (b1 - b0) / (t1 - t0)) if t1 > t0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left at this rate; None while it is unknown."""
        return (self.total_bytes - self.done_bytes) / self.rate if self.rate > 0 else None

    @property
    def share(self) -> float:
        return min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else 0.0

    @property
    def paused(self) -> bool:
        return self.status is RunStatus.STOPPED

    @property
    def text(self) -> str:
        """Where it stands, in a word or two."""
        if self.status is RunStatus.RUNNING and self.stage not in ("", "setup"):
            return self.stage
        return {
            RunStatus.STOPPED: "paused", RunStatus.CRASHED: "interrupted", RunStatus.STALLED: "not responding",
        }.get(self.status, str(self.status))  # fmt: skip


def reduce_download(state: DownloadState, event: Event) -> DownloadState:
    """The state after an event. Pure."""
    state, d = reduce_process(state, event), event.data
    if event.kind == EventKind.LAUNCH:
        return replace(
            state, hub_id=str(d.get("hub_id", "")), done_bytes=int(d.get("done", 0)),
            total_bytes=int(d.get("total", 0)), samples=(), remedy="", problem=None, file="", file_done=0, file_total=0,
        )  # fmt: skip
    if event.kind == EventKind.STAGE:
        done, at = int(d.get("done", state.done_bytes)), float(d.get("active_s") or 0.0)
        samples = state.samples if state.stage == "downloading" else ()
        kept = tuple(s for s in samples if 0 <= at - s[0] <= RATE_WINDOW_S and s[1] <= done)
        return replace(
            state, done_bytes=done, total_bytes=int(d.get("total", state.total_bytes)), file=str(d.get("file", "")),
            file_done=int(d.get("file_done", 0)), file_total=int(d.get("file_total", 0)), samples=(*kept, (at, done)),
            message=str(d.get("message", "")),
        )  # fmt: skip
    if event.kind == EventKind.DONE:
        problem = d.get("problem")
        return replace(
            state, remedy=str(d.get("remedy", "")), problem=HubProblem(problem) if problem in set(HubProblem) else None,
            done_bytes=state.total_bytes if state.status is RunStatus.FINISHED else state.done_bytes,
        )  # fmt: skip
    return state


class DownloadWatch(ProcessWatch[DownloadState]):
    """One download's state, read forward by each `poll`; a crash comes with the end of its log and the remedy."""

    def __init__(self, paths: DownloadDir) -> None:
        super().__init__(paths, DownloadState(), reduce_download, _resolve)

    def poll(self) -> DownloadState:
        state = super().poll()
        if state.status is not RunStatus.CRASHED:
            return state
        log = " ".join(log_tail(self.paths, 2))
        message = f"The download was interrupted.{f' Its log says: {log}' if log else ''}"
        return replace(state, message=message, remedy="Resume it: what was loaded is kept.")


def _resolve(state: DownloadState, running: LockHolder | None, now: float, *, launched: bool = False) -> DownloadState:
    if state.status in DONE and running is not None and running.pid != state.pid:
        # Resumed: the new process has written nothing yet.
        return replace(state, status=RunStatus.STARTING, message="", remedy="", problem=None)
    return resolve_status(state, running, now, launched=launched, process="The download")


@dataclass(frozen=True, slots=True)
class DownloadSummary:
    """One download; `problem` says why plan or state is missing."""

    id: DownloadId
    hub_id: HubId | None
    state: DownloadState | None
    problem: str = ""


def list_downloads() -> list[DownloadSummary]:
    """All downloads that are not finished and seen off, the newest first. Reads small files: call it off the window."""
    root = downloads_folder()
    folders = [f for f in root.iterdir() if (f / PLAN).is_file()] if root.is_dir() else []
    found = [_summary(DownloadDir(folder)) for folder in folders]
    return sorted(found, key=lambda s: s.state.started_t if s.state else 0.0, reverse=True)


def _summary(paths: DownloadDir) -> DownloadSummary:
    try:
        plan = read_plan(paths)
        state = DownloadWatch(paths).poll()
        if not state.total_bytes:
            state = replace(state, total_bytes=plan.model_bytes, done_bytes=plan.model_bytes - plan.total_bytes)
        return DownloadSummary(paths.run_id, plan.id, replace(state, hub_id=str(plan.id)))
    except (UserError, OSError) as error:
        return DownloadSummary(paths.run_id, None, None, str(error))


def watch_download(download: DownloadId) -> DownloadWatch:
    """A reader of the download's state: call its `poll` a few times a second."""
    return DownloadWatch(_paths(download))


def find_download(name: str) -> DownloadId:
    """The download of this id, or of this model; a UserError that lists those there are."""
    there = {s.id: s for s in list_downloads()}
    if name in there:
        return name
    fitting = [s.id for s in there.values() if s.hub_id is not None and _means(name, s.hub_id)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(str(s.hub_id or s.id) for s in there.values())
    raise UserError(
        f"There is no download {name!r}. "
        + (f"There are: {names}." if names else "There is none: start one with: seirenes models pull org/name")
    )


def _means(name: str, hub_id: HubId) -> bool:
    with suppress(UserError):
        asked = hub.require_hub_id(name)
        if asked.repo != hub_id.repo or asked.revision not in (MAIN, hub_id.revision):
            return False
        return not asked.file or bool(hub_id.file and choose_gguf_file(asked, [hub_id.file]))
    return False


def _paths(download: DownloadId) -> DownloadDir:
    root = downloads_folder() / download
    if not download or Path(download).name != download or not (root / PLAN).is_file():
        raise UserError(f"There is no download {download!r}. List them with: seirenes models downloads")
    return DownloadDir(root)


# ---------------------------------------------------------------------- start, pause, resume, cancel


def start_download(plan: DownloadPlan) -> DownloadId:
    """Start the download in the background, or resume the one of the same model; returns its id.

    A plan that was refused is a UserError.
    """
    if plan.refused_reason:
        raise UserError(plan.refused_reason)
    paths = DownloadDir(downloads_folder() / download_id(plan.id))
    with explained("Making the download's folder", paths.root):
        paths.root.mkdir(parents=True, exist_ok=True)
    if process_at_work(paths) is None:
        if paths.plan.is_file():
            _forget_other_version(paths, plan)
            if DownloadWatch(paths).poll().status is RunStatus.FINISHED:
                # The model was removed since: nothing of that download is true any more.
                paths.events.unlink(missing_ok=True)
        _write_plan(paths, plan)
        start_process(paths, [MODULE])
    return paths.run_id


def _forget_other_version(paths: DownloadDir, plan: DownloadPlan) -> None:
    """Remove the partial files of an older commit that the new one does not use, and the events about them."""
    with suppress(UserError):
        old = read_plan(paths)
        used = {file.etag for file in plan.files}
        _remove_partials(replace(old, files=tuple(f for f in old.files if f.etag not in used)), paths)
        if old.commit == plan.commit:
            return
    paths.events.unlink(missing_ok=True)


def pause_download(download: DownloadId) -> bool:
    """End the process and keep what was loaded; True once it is gone. Blocks for a moment, 20 s at most."""
    return StopEscalation(_paths(download), PAUSE).run()


def resume_download(download: DownloadId) -> None:
    """Go on from the partial files, also after a crash or a wrong file."""
    paths = _paths(download)
    read_plan(paths)
    if process_at_work(paths) is None:
        start_process(paths, [MODULE])


def cancel_download(download: DownloadId) -> None:
    """End it and remove its partial files; a finished one is only taken off the list. Blocks for a moment."""
    paths = _paths(download)
    if not StopEscalation(paths, PAUSE).run():
        raise UserError(f"The download {download} could not be ended. Try again, or end its process.")
    with suppress(UserError):
        plan = read_plan(paths)
        _remove_partials(plan, paths)
        if not _is_linked(plan):
            _remove_unlinked(plan)
    with explained("Removing", paths.root):
        shutil.rmtree(paths.root)


def _remove_partials(plan: DownloadPlan, paths: DownloadDir) -> None:
    for file in plan.files:
        with explained("Removing", _partial(plan, file, paths)):
            _partial(plan, file, paths).unlink(missing_ok=True)


def _remove_unlinked(plan: DownloadPlan) -> None:
    """Remove whole files of the plan that no snapshot of the cache uses."""
    repo = plan.folder / plan.id.cache_name
    used = {os.path.realpath(link) for link in (repo / "snapshots").rglob("*") if link.is_file()}
    for file in plan.files:
        blob = _blob(plan, file)
        if blob.is_file() and os.path.realpath(blob) not in used:
            with explained("Removing", blob):
                blob.unlink()
    for folder in (repo / "blobs", repo):
        # Only where nothing is left in them.
        with suppress(OSError):
            folder.rmdir()


# ---------------------------------------------------------------------- the process


@dataclass
class _Progress:
    """What the downloading thread tells the main one. Single fields are replaced, never combined: no lock is needed."""

    total: int
    before: int
    """Bytes of the files that are complete."""
    stage: str = "starting"
    file: str = ""
    file_done: int = 0
    file_total: int = 0
    verified: int = 0
    message: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def event(self) -> dict[str, Any]:
        checking = self.stage == "checking"
        return {
            "stage": self.stage, "file": self.file, "file_done": self.verified if checking else self.file_done,
            "file_total": self.file_total, "done": self.before + self.file_done, "total": self.total,
            "message": self.message,
        }  # fmt: skip


class _Stopped(Exception):
    """The thread was asked to stop."""


def run_download(root: Path, commands_from: int | None = None, stop_signal: StopSignal | None = None) -> RunStatus:
    """Do the download in `root`; returns how it ended, which is also its last event."""
    paths = DownloadDir(root)
    plan = read_plan(paths)
    lock = RunLock(paths.lock)
    lock.acquire()
    try:
        log = EventLog(paths.events)
        try:
            control = ProcessControl(paths.commands, log, commands_from, stop_signal)
            with heartbeat(log):
                done = _attend(paths, plan, log, control)
            log.write(EventKind.DONE, **done)
            return RunStatus(done["outcome"])
        finally:
            with suppress(FileError):
                log.close()
    finally:
        lock.release()


def _attend(paths: DownloadDir, plan: DownloadPlan, log: EventLog, control: ProcessControl) -> dict[str, Any]:
    """Download in a thread, report its progress and obey; returns the fields of the last event.

    The thread may hang in a read: it is a daemon, and is left behind when the process is to end.
    """
    files = _distinct(plan.files)
    total = sum(file.size for file in files)
    progress = _Progress(total, sum(file.size for file in files if _is_present(plan, file)))
    held = sum(max(0, _size(_partial(plan, f, paths))) for f in files if not _is_present(plan, f))
    log.write(
        EventKind.LAUNCH, pid=os.getpid(), hub_id=str(plan.id), done=progress.before + held, total=total,
        commit=plan.commit,
    )  # fmt: skip
    failures: list[Exception] = []

    def work() -> None:
        try:
            _fetch_all(paths, plan, progress)
        except _Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - the edge of the thread: the main one tells it
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    written: dict[str, Any] = {}
    while thread.is_alive():
        thread.join(EVENT_S)
        if control.cancelled():
            progress.stop.set()
            thread.join(2.0)
            return {"outcome": RunStatus.STOPPED, "message": "Paused."}
        event = progress.event()
        if event != written or event["stage"] == "downloading":
            with suppress(FileError):  # a full disk, which the thread notices too and makes room on
                log.write(EventKind.STAGE, **event)
            written = event
    if not failures:
        return {"outcome": RunStatus.FINISHED, "message": f"{plan.id} is in {plan.folder}."}
    return _failure(failures[0], plan)


def _failure(error: Exception, plan: DownloadPlan) -> dict[str, Any]:
    if isinstance(error, HubError):
        fields = {"message": error.message, "remedy": error.remedy, "problem": error.problem}
    elif isinstance(error, UserError):
        fields = {"message": str(error), "remedy": "", "problem": HubProblem.DISK}
    else:
        import traceback

        # To the log, whose end is shown; without locals, so that no header is in it.
        traceback.print_exception(type(error), None, error.__traceback__)
        fields = {"message": f"Internal error ({type(error).__name__}: {hub.plain_reason(error)}).", "remedy": ""}
    kind = FailureKind.RESOURCES if isinstance(error, UserError) else FailureKind.INTERNAL
    return {"outcome": RunStatus.FAILED, "failure": kind, "error": type(error).__name__, **fields}


def _fetch_all(paths: DownloadDir, plan: DownloadPlan, progress: _Progress) -> None:
    hub.check_switched_on()
    _check_disk(paths, plan)
    token = hub.find_token()[0] or False
    for file in sorted(_distinct(plan.files), key=lambda f: f.size):
        if _is_present(plan, file):
            continue
        blob, partial = _blob(plan, file), _partial(plan, file, paths)
        with explained("Making the folder", blob.parent):
            blob.parent.mkdir(parents=True, exist_ok=True)
        progress.file, progress.file_total = file.name, file.size
        progress.file_done = max(0, _size(partial))
        _fetch(plan, file, partial, progress, token)
        _check(plan, file, partial, progress)
        with explained("Moving", blob):
            partial.replace(blob)
        # In this order, so that the sum never counts a file twice.
        progress.file_done = progress.verified = 0
        progress.before += file.size
    progress.stage, progress.file, progress.file_total = "linking", "", 0
    _link(plan, token)


def _check_disk(paths: DownloadDir, plan: DownloadPlan) -> None:
    """Refuse to go on where the disk has become too full since the plan was made."""
    left, free = _missing_bytes(plan, paths), shutil.disk_usage(_existing(plan.folder)).free
    if left + DISK_MARGIN > free and left:
        raise _full(left, free, plan.folder)


def _full(left: int, free: int, folder: Path) -> HubError:
    return HubError(
        HubProblem.DISK, f"{byte_size(left)} are needed in {folder}, and {byte_size(free)} are free.",
        "Free some space, or set HF_HOME to a folder on another disk.",
    )  # fmt: skip


def _fetch(plan: DownloadPlan, file: RemoteFile, partial: Path, progress: _Progress, token: str | bool) -> None:
    """Load what the partial file lacks. A lost connection is made again after a wait, and continues the file."""
    tried = 0
    while _size(partial) != file.size:
        before = _size(partial)
        progress.stage, progress.message = "downloading", ""
        try:
            _stream(plan, file, partial, progress, token)
            wait_s = 0.0
        except _Retry as error:
            wait_s = error.wait_s
            last: HubError = error.problem
        else:
            if _size(partial) == file.size:
                return
            last = HubError(
                HubProblem.LOST, f"The connection was lost while {file.name} was loaded.", "Resume it: it continues."
            )
        tried = 0 if _size(partial) > max(before, 0) else tried + 1
        if tried > len(RETRY_WAITS_S):
            raise last
        wait_s = wait_s or RETRY_WAITS_S[max(0, tried - 1)]
        progress.stage = "waiting"
        progress.message = f"{last.message} Trying again in {wait_s:.0f} s."
        if progress.stop.wait(wait_s):
            raise _Stopped


class _Retry(Exception):
    """The request may work later. `wait_s` 0: after the usual wait."""

    def __init__(self, problem: HubError, wait_s: float = 0.0) -> None:
        super().__init__(problem)
        self.problem, self.wait_s = problem, wait_s


def _stream(plan: DownloadPlan, file: RemoteFile, partial: Path, progress: _Progress, token: str | bool) -> None:
    """One request: append to the partial file until it ends. Raises `_Retry` where another may help."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    url = hf_hub_url(plan.id.repo, file.name, revision=plan.commit, endpoint=hub.endpoint())
    headers = build_hf_headers(token=token, library_name="seirenes")
    headers["Accept-Encoding"] = "identity"  # the bytes themselves: ranges and sizes must fit
    with _opened(partial) as out:
        if _size(partial) > file.size:
            out.truncate(0)
        start = out.seek(0, 2)
        if start:
            headers["Range"] = f"bytes={start}-"
        request = HubId(plan.id.repo, file.name, plan.id.revision)
        try:
            with hub.session().stream(
                "GET", url, headers=headers, follow_redirects=True, timeout=SILENCE_S
            ) as response:
                if response.status_code == 416 or (
                    response.status_code == 206 and not _continues(response, start, file.size)
                ):
                    # Another part than was asked for, or none: the next request is for the whole file.
                    out.truncate(0)
                    return
                if response.status_code >= 400:
                    response.read()
                hf_raise_for_status(response)
                if start and response.status_code == 200:
                    # The server sends the whole file: what was there is loaded again.
                    out.truncate(0)
                    out.seek(0)
                    start = 0
                progress.file_done = start
                for chunk in response.iter_bytes(_CHUNK):
                    if progress.stop.is_set():
                        raise _Stopped
                    _write(out, chunk, file, partial)
                    progress.file_done += len(chunk)
                    if progress.file_done > file.size:
                        raise _wrong(file, partial, "it is longer than the hub says")
        except HTTPError as error:
            raise _classified(error, request, file) from error


def _continues(response: Any, start: int, size: int) -> bool:
    return bool(response.headers.get("Content-Range") == f"bytes {start}-{size - 1}/{size}")


def _classified(error: Any, request: HubId, file: RemoteFile) -> Exception:
    """`_Retry` for what may pass (a broken connection, a busy hub), else the sentence for what will not."""
    response = getattr(error, "response", None)
    if response is None:
        lost = HubError(
            HubProblem.LOST,
            f"The connection was lost while {file.name} was loaded ({hub.plain_reason(error)}).",
            "Check the network, then resume the download: it continues where it stopped.",
        )
        return _Retry(lost)
    problem = hub.explain(error, request)
    if response.status_code in (408, 429) or response.status_code >= 500:
        after = response.headers.get("Retry-After", "")
        wait_s = float(after) if after.isdigit() else 0.0
        if wait_s > _LONGEST_WAIT_S:
            return problem
        return _Retry(problem, wait_s)
    return problem


@contextmanager
def _opened(partial: Path) -> Iterator[Any]:
    """Without a buffer of our own: what was written survives a kill."""
    with explained("Opening", partial):
        file = partial.open("ab+", buffering=0)
    try:
        yield file
    finally:
        file.close()


def _write(out: Any, chunk: bytes, file: RemoteFile, partial: Path) -> None:
    try:
        view = memoryview(chunk)
        while view:
            view = view[out.write(view) :]
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(f"Writing {partial} failed ({error.strerror}). Check the disk, then resume.") from error
        # Room for the events that say so, where they are on the same disk.
        with suppress(OSError):
            out.truncate(max(0, out.seek(0, 2) - 4 * 2**16))
        limit = "the limit of the size of a file was reached" if error.errno == errno.EFBIG else "the disk is full"
        raise HubError(
            HubProblem.DISK,
            f"{file.name} could not be written to {partial.parent}: {limit}.",
            "Free some space, then resume the download: what was loaded is kept.",
        ) from error


def _check(plan: DownloadPlan, file: RemoteFile, partial: Path, progress: _Progress) -> None:
    """Compare the whole file's hash with the one that the hub states; a wrong file is removed."""
    progress.stage, progress.verified = "checking", 0
    if file.sha256:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    with explained("Reading", partial), partial.open("rb") as opened:
        while chunk := opened.read(2**20):
            if progress.stop.is_set():
                raise _Stopped
            digest.update(chunk)
            progress.verified += len(chunk)
    if digest.hexdigest() != file.etag:
        raise _wrong(file, partial, "its hash is not the one that the hub states")


def _wrong(file: RemoteFile, partial: Path, why: str) -> HubError:
    with suppress(OSError):
        partial.unlink(missing_ok=True)
    return HubError(
        HubProblem.WRONG_BYTES,
        f"{file.name} arrived damaged: {why}. The file was removed.",
        "Resume the download: this file is loaded again. If it happens again, a proxy or the disk is at fault.",
    )


def _link(plan: DownloadPlan, token: str | bool) -> None:
    """Have the client put the blobs into the snapshot, as it does for its own downloads; then name the revision."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError

    for file in plan.files:
        if _size(_pointer(plan, file)) == file.size:
            continue
        try:
            hf_hub_download(
                plan.id.repo, file.name, revision=plan.commit, cache_dir=plan.folder, endpoint=hub.endpoint(),
                token=token, library_name="seirenes",
            )  # fmt: skip
        except (HTTPError, OSError) as error:
            raise hub.explain(error, HubId(plan.id.repo, file.name, plan.id.revision)) from error
    if plan.id.revision != plan.commit:
        reference = plan.folder / plan.id.cache_name / "refs" / plan.id.revision
        with explained("Writing", reference):
            reference.parent.mkdir(parents=True, exist_ok=True)
            write_whole(reference, plan.commit)
    find_cached(plan.id)


# ---------------------------------------------------------------------- remove


@dataclass(frozen=True, slots=True)
class Removal:
    """What removing a model from the cache would free. `files` are all that go, links included."""

    hub_id: HubId
    bytes: int
    files: tuple[Path, ...]
    folder: Path


def plan_removal(hub_id: HubId) -> Removal:
    """What of a cached model goes: for a GGUF its files alone, else every revision. Nothing is removed yet.

    Raises a UserError where the cache does not hold it, or a download of it is under way.
    """
    repo = cache_folder() / hub_id.cache_name
    for other in list_downloads():
        live = other.state is not None and other.state.status in LIVE
        if live and other.hub_id is not None and other.hub_id.repo == hub_id.repo:
            raise UserError(f"{other.hub_id} is being downloaded. Pause or cancel that first; nothing was removed.")
    if not repo.is_dir():
        raise UserError(f"{hub_id} is not in the Hugging Face cache ({cache_folder()}). Nothing was removed.")
    links = [p for p in (repo / "snapshots").rglob("*") if p.is_file() or p.is_symlink()]
    if not hub_id.file:
        files = tuple(p for p in repo.rglob("*") if p.is_file() or p.is_symlink())
        return Removal(hub_id, _disk_bytes(files), files, repo)
    groups = group_gguf_files(p.relative_to(repo / "snapshots").as_posix().split("/", 1)[-1] for p in links)
    names = set(split_parts(choose_gguf_file(hub_id, groups)))
    gone = [p for p in links if p.relative_to(repo / "snapshots").as_posix().split("/", 1)[-1] in names]
    kept = {os.path.realpath(p) for p in links if p not in gone}
    blobs = {Path(os.path.realpath(p)) for p in gone if p.is_symlink()}
    files = (*gone, *(b for b in sorted(blobs) if str(b) not in kept and b.is_file() and repo.resolve() in b.parents))
    return Removal(hub_id, _disk_bytes(files), files, repo)


def _disk_bytes(files: Sequence[Path]) -> int:
    return sum(p.lstat().st_size for p in files if not p.is_symlink())


def remove_model(removal: Removal) -> None:
    """Remove what was planned, links first, and the folder where no model is left. A UserError if the disk refuses."""
    for path in sorted(removal.files, key=lambda p: not p.is_symlink()):
        with explained("Removing", path):
            path.unlink(missing_ok=True)
    left = [p for p in (removal.folder / "snapshots").rglob("*") if p.is_file() or p.is_symlink()]
    if removal.hub_id.file and not all(_CARD.fullmatch(p.name) for p in left):
        return
    with explained("Removing", removal.folder):
        shutil.rmtree(removal.folder)


# ---------------------------------------------------------------------- entry


def main(arguments: Sequence[str] | None = None) -> int:
    """0 finished, 3 paused, 2 failed with a reason in the events, 1 a bug."""
    # Before the client is imported, which reads it once. Its own transfer protocol keeps no partial file.
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}")
    parser.add_argument("root", type=Path)
    parser.add_argument("--commands-from", type=int)
    options = parser.parse_args(arguments)
    signal = StopSignal().install()
    codes = {RunStatus.FINISHED: 0, RunStatus.STOPPED: 3}
    return exit_code(lambda: codes.get(run_download(options.root, options.commands_from, signal), 2))


if __name__ == "__main__":
    sys.exit(main())
