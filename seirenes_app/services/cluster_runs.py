"""Runs on a cluster: submit one, follow it into an ordinary run directory, have it stop or go on, fetch its files.

`python -m seirenes_app.services.cluster_runs FOLDER` is the follower: the one writer of the local events.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import os
import shlex
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from seirenes_app.services.cluster import (
    ENDED,
    TIMEOUT_S,
    Cluster,
    ClusterClient,
    ClusterError,
    Job,
    LongReplyError,
    find_cluster,
)
from seirenes_app.services.formatting import clock
from training.cluster_job import CONFIG_VARIABLE, DATA, END, EVENT, FILE, MORE, kind_of
from training.errors import UserError, exit_code
from training.runs.config import PROMPTS, RunConfig, load_config, named_paths
from training.runs.control import Command, CommandKind, CommandTail, commands_size
from training.runs.events import SCHEMA_VERSION, EventKind
from training.runs.files import decode_format, expanded, explained, read_text, write_whole
from training.runs.lock import RunLock
from training.runs.paths import RunPaths, default_runs_root, new_run
from training.runs.processes import (
    process_at_work,
    read_run,
    require_unreached,
    running_process,
    start_process,
    start_trainer,
)

FORMAT = 1
POLL_S = 2.0
LONGEST_POLL_S = 30.0
STOP_GRACE_S = 120.0
"""How long a run may take to save after it was asked to stop, before Ray ends it."""
GONE_AFTER = 5
"""So many answers in a row that there is no such job mean that it is gone."""
LONG_LOG = 4 * 2**20
"""Characters of a log from which on it is not read whole: a job prints the events that are new."""
FAILED_LINES = 40
"""So many lines of a failed job's log are kept in the local one."""
CHUNK = 8 * 2**20
"""Bytes of a file that one job prints."""
JOB_TIMEOUT_S = 180.0
"""The most that a job of a few seconds may take, its wait for a worker included."""
STAGING = ".fetch"
RUN_KEY = "seirenes_run"
"""The key in a job's metadata of the id that its run has on the cluster."""
KINDS = ("checkpoints", "evaluations", "rollouts")
"""What can be fetched."""

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]
T = TypeVar("T")


def unless_interrupted(work: Callable[[], T]) -> T | None:
    """What `work` gives; None where it was cancelled, which it says by a KeyboardInterrupt."""
    try:
        return work()
    except KeyboardInterrupt:
        return None


@dataclass(frozen=True, slots=True)
class ClusterLink:
    """`cluster.json` of a run directory: the job that it follows."""

    format: int
    cluster: str
    job: str
    run_id: str
    root: str = ""
    python: str = "python"
    cpus: float = 0
    gpus: float = 0
    submitted: bool = False
    status: str = ""
    """The job's, in Ray's words, when it was last read."""
    unreachable_since: float | None = None
    """Seconds since 1970; None where the last request was answered."""
    message: str = ""
    """Why it is unreachable, or what Ray says about the job."""


def read_link(paths: RunPaths) -> ClusterLink | None:
    """The job that a run directory follows; None for a run of this machine. A UserError where the file is damaged."""
    if not paths.cluster.is_file():
        return None
    return decode_format(read_text(paths.cluster), ClusterLink, FORMAT, str(paths.cluster))


def _write_link(paths: RunPaths, link: ClusterLink) -> None:
    write_whole(paths.cluster, json.dumps(asdict(link), indent=1) + "\n")


def _linked(paths: RunPaths) -> ClusterLink:
    link = read_link(paths)
    if link is None:
        raise UserError(f"{paths.run_id} is not a run on a cluster. Submit one: seirenes cluster submit NAME CONFIG")
    return link


def client_of(link: ClusterLink) -> ClusterClient:
    """A client of the saved cluster that a run is on."""
    return ClusterClient(find_cluster(link.cluster))


def job_entry(python: str, verb: str, run_id: str, root: str, *more: str) -> str:
    """The line that a job runs: a command of `training.cluster_job` for one run."""
    words = [*shlex.split(python), "-m", "training.cluster_job", verb, run_id, *(["--root", root] if root else [])]
    return shlex.join([*words, *more])


# ---------------------------------------------------------------------- submit


def submit(
    cluster: Cluster, config: RunConfig, *, cpus: float = 0, gpus: float = 0, runs_root: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> RunPaths:  # fmt: skip
    """Make the local run directory and start the job. A cluster that refuses it leaves nothing behind; where its
    answer is lost, the follower submits it again under the same id, which starts it once. It takes three requests."""
    client = ClusterClient(cluster, timeout_s)
    client.version()
    paths = new_run(runs_root or default_runs_root(), config)
    # Unique on the cluster, where several machines may have a run of this name.
    run_id = f"{paths.run_id}-{uuid.uuid4().hex[:6]}"
    job = "".join(ch if ch.isascii() and (ch.isalnum() or ch in "_-") else "-" for ch in f"seirenes-{run_id}")
    run_id = job.removeprefix("seirenes-")
    link = ClusterLink(FORMAT, cluster.name, job, run_id, cluster.root, cluster.python, cpus, gpus)
    try:
        _write_link(paths, link)
        _submit(client, paths, link)
    except ClusterError as error:
        if error.status is None:
            raise ClusterError(
                f"{error} Whether the job has started is not known. Go on with: seirenes cluster follow {paths.run_id}"
            ) from None
        shutil.rmtree(paths.root, ignore_errors=True)
        raise
    return paths


def submit_warnings(config: RunConfig) -> tuple[str, ...]:
    """What a configuration names that is on this machine, and that the cluster must have too."""
    return tuple(
        f"{key} names {name}, which is of this machine. The cluster needs it at the same place."
        for key, name in named_paths(config).items()
        if key != PROMPTS and (expanded(name).is_absolute() or expanded(name).exists())
    )


def _submit(client: ClusterClient, paths: RunPaths, link: ClusterLink) -> ClusterLink:
    more: dict[str, Any] = {}
    if link.cpus:
        more["entrypoint_num_cpus"] = link.cpus
    if link.gpus:
        more["entrypoint_num_gpus"] = link.gpus
    client.submit(
        link.job,
        job_entry(link.python, "run", link.run_id, link.root),
        runtime_env={"env_vars": {CONFIG_VARIABLE: read_text(paths.config)}},
        metadata={RUN_KEY: link.run_id, "seirenes_root": link.root, "seirenes_python": link.python},
        **more,
    )
    link = replace(link, submitted=True)
    _write_link(paths, link)
    return link


def take_back(paths: RunPaths) -> None:
    """Have Ray end the job of a run that was just submitted, and remove its directory."""
    link = _linked(paths)
    client_of(link).stop(link.job)
    shutil.rmtree(paths.root, ignore_errors=True)


def start_follower(paths: RunPaths, *, detached: bool = True) -> int:
    """Follow a run in the background, by a process that outlives its parent; returns the PID."""
    _linked(paths)
    return start_process(paths, ["seirenes_app.services.cluster_runs"], detached=detached)


def continue_run(paths: RunPaths, *, detached: bool = True) -> int:
    """Start what goes on with a run, and return its PID: the trainer, or for a run on a cluster the follower.

    A run that has ended on its cluster is submitted once more, with the settings that its directory has now; the
    trainer there resumes from its newest checkpoint. A UserError for one that has nothing left to train.
    """
    link = read_link(paths)
    if link is None:
        return start_trainer(paths, detached=detached)
    if process_at_work(paths) is not None:
        raise UserError(f"{paths.run_id} is followed already.")
    _seq, last = _repair(paths.events)
    if last.get("event") == EventKind.DONE:
        if (state := read_run(paths).state) is not None:
            require_unreached(paths.run_id, load_config(paths.config), state)
        if last.get("error") == _NOT_SAID:
            # How it ended was not written by the run, whose own events go on with this number.
            _drop_last_line(paths.events)
        base, _, count = link.job.partition(_AGAIN)
        _write_link(paths, replace(link, job=f"{base}{_AGAIN}{int(count or 1) + 1}", submitted=False, status=""))
    return start_follower(paths, detached=detached)


def ensure_followed(paths: RunPaths) -> None:
    """Follow a run on a cluster that has not ended and that nobody follows: what is asked of it gets there only so."""
    link = read_link(paths)
    if link is not None and running_process(paths) is None and _repair(paths.events)[1].get("event") != EventKind.DONE:
        start_follower(paths)


_AGAIN = "--again-"
_NOT_SAID = "ClusterError"
"""The `error` of a `done` event that the follower wrote, as the run did not."""


def describe_link(link: ClusterLink, *, followed: bool) -> str:
    """Where a run is and what is known of it there, in some words: 'on lab, unreachable since 14:03'. Of one that is
    not followed nothing is."""
    where = f"on {link.cluster}"
    if link.status in ENDED or not followed:
        return where
    if link.unreachable_since is not None:
        return f"{where}, unreachable since {clock(link.unreachable_since, time.time())}"
    return f"{where}, waiting to start" if link.status == "PENDING" else where


@dataclass(frozen=True)
class Place:
    """Where a run on a cluster stands, as far as it is known here."""

    cluster: str
    text: str
    """As of `describe_link`."""
    has_checkpoint: bool
    """Whether a checkpoint was fetched."""


def cluster_place(paths: RunPaths) -> Place | None:
    """Of a run on a cluster; None for one of this machine."""
    try:
        link = read_link(paths)
    except UserError:
        return Place("a cluster", "on a cluster; cluster.json is damaged", has_checkpoint=False)
    if link is None:
        return None
    has_checkpoint = any(paths.checkpoints.glob("step_*"))
    return Place(link.cluster, describe_link(link, followed=running_process(paths) is not None), has_checkpoint)


def missing_kinds(paths: RunPaths) -> tuple[str, ...]:
    """The kinds of files of a run on a cluster of which nothing is here; none for a run of this machine."""
    if not paths.cluster.is_file():
        return ()
    here = {
        "checkpoints": any(paths.checkpoints.glob("step_*")), "evaluations": (paths.evaluations / "rows.db").is_file(),
        "rollouts": paths.rollouts.is_file(),
    }  # fmt: skip
    return tuple(kind for kind in KINDS if not here[kind])


def describe_silence(paths: RunPaths) -> str:
    """Why nothing is heard of a run on a cluster that is followed; "" for a run of this machine."""
    try:
        link = read_link(paths)
    except UserError as error:
        return str(error)
    if link is None:
        return ""
    if link.unreachable_since is not None:
        since = clock(link.unreachable_since, time.time())
        return f"{link.cluster} is unreachable since {since}; it is asked again. {link.message}".rstrip()
    if link.status == "PENDING":
        return f"The job waits on {link.cluster} for what it asked for. {link.message}".rstrip()
    return f"{link.cluster} answers: the job is {link.status.lower() or 'not started yet'}. Its log may say more."


# ---------------------------------------------------------------------- follow


class Follower:
    """Appends the events of a run on a cluster to its local directory, each once. It holds the directory's lock.

    The lines are those of the cluster, byte for byte. A job that ended without saying how gets a `done` event.
    """

    def __init__(self, paths: RunPaths, client: ClusterClient | None = None, commands_from: int | None = None) -> None:
        self.paths = paths
        self.link = _linked(paths)
        self.client = client or client_of(self.link)
        self._commands = CommandTail(
            paths.commands, commands_size(paths.commands) if commands_from is None else commands_from
        )
        self._asked: list[Command] = []
        self._stop_at: float | None = None
        self._unknown = 0
        self._is_long = False
        self._heard_end = False
        """Whether this follower read how the run ended: then nothing more is to come."""
        self.seq, last = _repair(paths.events)
        self.done = last.get("event") == EventKind.DONE

    def run(self, cancelled: Cancelled = lambda: False, poll_s: float = POLL_S) -> bool:
        """Follow until the job has ended; False where it was cancelled before."""
        wait_s = poll_s
        while not cancelled():
            began = time.monotonic()
            with suppress(OSError):
                # The file's time says until when the run was followed, however this process ends.
                os.utime(self.paths.cluster)
            try:
                if self.poll():
                    return True
                # What takes long is asked less often.
                wait_s = min(LONGEST_POLL_S, max(poll_s, 10 * (time.monotonic() - began)))
            except ClusterError as error:
                if self._heard_end:
                    return True
                self._note(unreachable_since=self.link.unreachable_since or time.time(), message=str(error))
                wait_s = min(LONGEST_POLL_S, wait_s * 2)
            until = time.monotonic() + wait_s
            while time.monotonic() < until and not cancelled() and not self._new_commands():
                time.sleep(0.1)
        return False

    def poll(self) -> bool:
        """Read once, forward what was commanded; True once the job has ended and all is written."""
        if not self.link.submitted:
            self.link = _submit(self.client, self.paths, self.link)
        try:
            job = self.client.job(self.link.job)
            # Read after the status: the log of a job that has ended is whole.
            text = self._read_log()
        except ClusterError as error:
            self._unknown = self._unknown + 1 if error.status == 404 else 0
            if self._unknown < GONE_AFTER:
                raise
            self._end("failed", f"{error} Its head was restarted, or the job was deleted.")
            return True
        self._unknown = 0
        if self._is_long:
            self._read_new()
        self._append(text.split("\n")[:-1])
        self._is_long = self._is_long or len(text) > LONG_LOG
        self._note(unreachable_since=None, status=job.status, message=job.message)
        if job.status in ENDED:
            if job.status == "FAILED":
                said = [line for line in text.split("\n") if line and not line.startswith(EVENT)]
                print("\n".join(said[-FAILED_LINES:]), flush=True)
            if not self.done:
                outcome = "stopped" if job.status == "STOPPED" else "failed"
                self._end(
                    outcome, f"The job ended on {self.link.cluster} ({job.status.lower()}). {job.message}".strip()
                )
            return True
        self._forward(job)
        return False

    def _read_log(self) -> str:
        """The job's log; "" for one that is long."""
        if self._is_long:
            return ""
        try:
            return self.client.logs(self.link.job)
        except LongReplyError:
            self._is_long = True
            return ""

    def _read_new(self) -> None:
        """Read the events that are new by a job of its own."""
        more = True
        while more:
            before, link = self.seq, self.link
            entry = job_entry(link.python, "events", link.run_id, link.root, "--after", str(self.seq))
            lines = run_job(self.client, entry)
            self._append(lines)
            more = f"{END}{MORE}" in lines and self.seq > before

    def _append(self, lines: Sequence[str]) -> None:
        found: list[bytes] = []
        for line in lines:
            if not line.startswith(EVENT):
                continue
            read = _sequence(line[len(EVENT) :])
            if read is not None and read[0] > self.seq:
                self.seq, kind = read
                self.done = self._heard_end = kind == EventKind.DONE
                found.append(line[len(EVENT) :].encode(errors="surrogatepass") + b"\n")
        self._write(b"".join(found))

    def _write(self, data: bytes) -> None:
        if data:
            with explained("Writing to", self.paths.events), self.paths.events.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    def _end(self, outcome: str, message: str) -> None:
        self.seq += 1
        event = {
            "v": SCHEMA_VERSION, "seq": self.seq, "t": time.time(), "event": EventKind.DONE, "outcome": outcome,
            "message": message, "error": _NOT_SAID,
        }  # fmt: skip
        self._write(json.dumps(event).encode() + b"\n")
        self.done = True

    def _note(self, **changes: Any) -> None:
        changed = replace(self.link, **changes)
        if changed != self.link:
            self.link = changed
            _write_link(self.paths, changed)

    def _new_commands(self) -> bool:
        new = self._commands.poll()
        self._asked += new
        return bool(new)

    def _forward(self, job: Job) -> None:
        """Send on what was asked here: stop, pause, resume, checkpoint."""
        self._new_commands()
        while self._asked:
            command = self._asked[0]
            if command.kind is CommandKind.STOP:
                self._stop_at = self._stop_at or time.monotonic() + STOP_GRACE_S
                if job.status == "PENDING":
                    self._stop_at = time.monotonic()
            if job.status != "PENDING":
                link = self.link
                entry = job_entry(link.python, "command", link.run_id, link.root, command.kind)
                self.client.submit(f"{link.job}-{command.id[:8]}", entry)
            self._asked.pop(0)
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.client.stop(self.link.job)


def _sequence(line: str | bytes) -> tuple[int, str] | None:
    event = _event(line)
    return (int(event["seq"]), str(event["event"])) if event else None


def _event(line: str | bytes) -> dict[str, Any]:
    """An event line decoded; empty for a line that is none."""
    try:
        event = json.loads(line)
        int(event["seq"]), event["event"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return dict(event)


def _repair(events: Path) -> tuple[int, dict[str, Any]]:
    """Cut off a line that an interrupted follower has not written whole; the newest sequence number and its event."""
    if not events.exists():
        return 0, {}
    with explained("Reading", events), events.open("r+b") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        file.truncate(whole)
    found = [event for line in data[:whole].split(b"\n") if (event := _event(line))]
    last = max(found, key=lambda event: int(event["seq"]), default={})
    return int(last.get("seq", 0)), last


def _drop_last_line(events: Path) -> None:
    with explained("Writing to", events), events.open("r+b") as file:
        file.truncate(file.read().rstrip(b"\n").rfind(b"\n") + 1)


def follow(
    paths: RunPaths, commands_from: int | None = None, cancelled: Cancelled = lambda: False, poll_s: float = POLL_S
) -> bool:
    """Follow a run until its job has ended. A UserError where another process does."""
    lock = RunLock(paths.lock)
    lock.acquire()
    try:
        return Follower(paths, commands_from=commands_from).run(cancelled, poll_s)
    finally:
        lock.release()


# ---------------------------------------------------------------------- stop


def stop_job(
    client: ClusterClient, id_: str, *, grace_s: float = STOP_GRACE_S, cancelled: Cancelled = lambda: False
) -> str:
    """Ask the run to save and stop; have Ray end the job where it has not after `grace_s` seconds, or is no run of
    this program. Returns what was done, in a sentence."""
    job = client.job(id_)
    if job.status in ENDED:
        return "The job had ended."
    run_id = job.metadata.get(RUN_KEY, "")
    if run_id and job.status == "RUNNING":
        python, root = job.metadata.get("seirenes_python", "python"), job.metadata.get("seirenes_root", "")
        with suppress(ClusterError):
            run_job(client, job_entry(python, "command", run_id, root, CommandKind.STOP), cancelled, marked=False)
            until = time.monotonic() + grace_s
            while time.monotonic() < until and not cancelled():
                if client.job(id_).status in ENDED:
                    return "The run has saved and stopped."
                time.sleep(0.5)
    return "Ray ends the job." if client.stop(id_) else "The job had ended."


def run_job(
    client: ClusterClient, entry: str, cancelled: Cancelled = lambda: False, *, marked: bool = True
) -> list[str]:
    """Run a short job and return the lines of its log; Ray forgets it afterwards. With `marked`, a log that is not
    whole is a ClusterError."""
    id_ = f"seirenes-aux-{uuid.uuid4().hex[:12]}"
    client.submit(id_, entry)
    until, pause = time.monotonic() + JOB_TIMEOUT_S, 0.1
    try:
        while (job := client.job(id_)).status not in ENDED:
            if cancelled():
                raise KeyboardInterrupt
            if time.monotonic() > until:
                raise ClusterError(
                    f"A job on {client.cluster.name} did not end within {JOB_TIMEOUT_S:g} s. See its state."
                )
            time.sleep(pause)
            pause = min(1.0, pause * 1.3)
        text = client.logs(id_)
    except BaseException:
        with suppress(UserError):
            client.stop(id_)
        raise
    with suppress(UserError):
        client.delete(id_)
    lines = text.split("\n")
    if job.status != "SUCCEEDED" or (marked and not any(line.startswith(END) for line in lines)):
        said = next((line for line in reversed(lines) if line.startswith("error: ")), job.message)
        raise ClusterError(f"A job on {client.cluster.name} failed: {said[:500] or 'its log is not whole.'}", 200)
    return lines


# ---------------------------------------------------------------------- fetch


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a run on a cluster; `path` within the run's folder, `size` in bytes."""

    path: str
    size: int
    sha256: str


def remote_files(
    paths: RunPaths, kinds: Sequence[str] = KINDS, client: ClusterClient | None = None,
    cancelled: Cancelled = lambda: False,
) -> list[RemoteFile]:  # fmt: skip
    """What can be fetched, of these kinds."""
    link = _linked(paths)
    lines = run_job(client or client_of(link), job_entry(link.python, "list", link.run_id, link.root), cancelled)
    found = []
    for line in lines:
        if not line.startswith(FILE):
            continue
        try:
            file = msgspec.json.decode(line[len(FILE) :].encode(), type=RemoteFile)
        except msgspec.DecodeError:
            raise ClusterError(
                f"{link.cluster} listed a file that cannot be read. Update seirenes there.", 200
            ) from None
        if kind_of(file.path) in kinds:
            found.append(file)
    return found


def fetch(
    paths: RunPaths, kinds: Sequence[str] = KINDS, *, client: ClusterClient | None = None,
    progress: Progress = lambda _done, _total: None, cancelled: Cancelled = lambda: False, chunk: int = CHUNK,
) -> int:  # fmt: skip
    """Fetch files into the local run directory; returns how many bytes were new.

    Each is verified by its hash before it takes its place; a checkpoint appears whole. What an interrupted fetch has
    read is kept in `.fetch`, and is not read again. Progress is in bytes. Raises KeyboardInterrupt once cancelled.
    """
    client = client or client_of(_linked(paths))
    with explained("Making", paths.root / STAGING):
        (paths.root / STAGING).mkdir(exist_ok=True)
    lock = RunLock(paths.root / STAGING / "fetch.lock")
    lock.acquire()
    try:
        return _fetch(paths, kinds, client, progress, cancelled, chunk)
    finally:
        lock.release()


def _fetch(
    paths: RunPaths, kinds: Sequence[str], client: ClusterClient, progress: Progress, cancelled: Cancelled, chunk: int
) -> int:
    files = remote_files(paths, kinds, client, cancelled)
    missing = [f for f in files if not _has(paths.root / f.path, f)]
    total, done, new = sum(f.size for f in files), sum(f.size for f in files) - sum(f.size for f in missing), 0
    progress(done, total)
    for file in missing:
        before = done
        for read in _fetch_file(paths, file, client, cancelled, chunk):
            new += read
            done += read
            progress(done, total)
        done = before + file.size
        progress(done, total)
    for file in missing:
        # All is here: only renames are left, so that a checkpoint is not seen with half of its files.
        target = paths.root / file.path
        with explained("Writing", target):
            target.parent.mkdir(parents=True, exist_ok=True)
            (paths.root / STAGING / file.path).replace(target)
            for suffix in ("-wal", "-shm") if target.suffix == ".db" else ():
                target.with_name(target.name + suffix).unlink(missing_ok=True)
    shutil.rmtree(paths.root / STAGING, ignore_errors=True)
    return new


def _has(path: Path, file: RemoteFile) -> bool:
    try:
        if path.stat().st_size != file.size:
            return False
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def _fetch_file(paths: RunPaths, file: RemoteFile, client: ClusterClient, cancelled: Cancelled, chunk: int) -> Any:
    """Fetch one file into the staging folder; yields how many bytes came each time."""
    link = _linked(paths)
    staged = paths.root / STAGING / file.path
    if _has(staged, file):
        return
    part = staged.with_name(f"{staged.name}.{file.sha256[:16]}.part")
    with explained("Making", part.parent):
        part.parent.mkdir(parents=True, exist_ok=True)
    offset = part.stat().st_size if part.exists() else 0
    while offset < file.size:
        options = ("--offset", str(offset), "--size", str(chunk), "--sha256", file.sha256)
        lines = run_job(client, job_entry(link.python, "read", link.run_id, link.root, file.path, *options), cancelled)
        try:
            pieces = [base64.b64decode(line[len(DATA) :], validate=True) for line in lines if line.startswith(DATA)]
        except binascii.Error:
            pieces = []
        data = b"".join(pieces)
        if len(data) != min(chunk, file.size - offset):
            raise ClusterError(f"{link.cluster} sent a part of {file.path} that is not whole. Fetch again.", 200)
        with explained("Writing", part), part.open("ab") as target:
            target.write(data)
        offset += len(data)
        yield len(data)
    part.touch()
    if not _has(part, file):
        part.unlink()
        raise ClusterError(f"{file.path} came with another hash than {link.cluster} gave. Fetch again.", 200)
    part.replace(staged)


def main(arguments: list[str] | None = None) -> int:
    """The follower's process."""
    parser = argparse.ArgumentParser(prog="python -m seirenes_app.services.cluster_runs")
    parser.add_argument("root", type=Path)
    parser.add_argument("--commands-from", type=int)
    options = parser.parse_args(arguments)
    # Being ended is no loss: what is written is whole, and the next follower goes on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return exit_code(lambda: 0 if follow(RunPaths(options.root), options.commands_from) else 3)


if __name__ == "__main__":
    sys.exit(main())
