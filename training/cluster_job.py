"""`python -m training.cluster_job …`: what runs on a cluster as a job. It reports on standard output, the job's log.

`run` makes a run's folder from the configuration in the environment, starts the trainer and prints each event line as
it is written. `events` prints those after a sequence number, where the log has become long. `command` asks the trainer
for something. `list` and `read` give files away, as lines of base64.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath

from training.errors import UserError, exit_code
from training.runs.files import open_regular, read_appended, write_whole
from training.runs.paths import RunPaths, default_runs_root, new_run

CONFIG_VARIABLE = "SEIRENES_JOB_CONFIG"
"""The variable of the environment with the run's configuration as JSON."""
EVENT = "@event "
"""Begins a line of the log that is an event line of the run, unchanged."""
FILE = "@file "
"""Begins a line that describes a file: JSON with `path`, `size` and `sha256`."""
DATA = "@data "
"""Begins a line that is a piece of a file in base64."""
END = "@end "
"""Begins the last line of `events`, `list` and `read`: without it, the log is not whole."""
MORE = "more"
"""Ends the last line of `events` where there are more of them."""
EVENTS_BYTES = 8 * 2**20
"""The most that `events` prints, but for its last line."""
PIECE = 48 * 1024
"""Bytes of a file in one line."""
POLL_S = 0.25
SNAPSHOTS = ".fetch"
"""The folder in a run's folder that keeps copies of its databases as they were at one moment."""
_ID = re.compile(r"[\w.-]{1,200}")


def main(arguments: list[str] | None = None) -> int:
    """Do one thing; 0 done, 3 stopped on request, 2 an error that the user can fix."""
    parser = argparse.ArgumentParser(prog="python -m training.cluster_job")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("run", "events", "command", "list", "read"):
        verb = verbs.add_parser(name)
        verb.add_argument("run_id")
        verb.add_argument("--root", type=Path, help="the folder of runs on the cluster (default: this user's)")
        if name == "events":
            verb.add_argument("--after", type=int, default=0, metavar="SEQ")
        if name == "command":
            verb.add_argument("command")
        if name == "read":
            verb.add_argument("path")
            verb.add_argument("--offset", type=int, default=0, metavar="BYTES")
            verb.add_argument("--size", type=int, default=8 * 2**20, metavar="BYTES")
            verb.add_argument("--sha256", default="", help="of the whole file; refuses another")
    options = parser.parse_args(arguments)
    return exit_code(lambda: _do(options))


def _do(options: argparse.Namespace) -> int:
    if not _ID.fullmatch(options.run_id) or set(options.run_id) == {"."}:
        raise UserError(f"{options.run_id!r} is not a run's id.")
    paths = RunPaths((options.root or default_runs_root()).expanduser() / options.run_id)
    if options.verb == "run":
        return _run(paths)
    if not paths.config.is_file():
        raise UserError(f"{paths.root} is not a run on this node. Give the cluster a folder that all its nodes share.")
    if options.verb == "command":
        from training.runs.control import CommandKind, send_command

        send_command(paths, CommandKind(options.command))
    elif options.verb == "events":
        _say(END, MORE if _print_events(paths.events, options.after) else "")
    elif options.verb == "list":
        for file in _files(paths.root):
            _say(FILE, json.dumps({**file, "sha256": _hash(_source(paths.root, file["path"]))}))
        _say(END, "")
    else:
        _read(paths.root, options)
    return 0


def _say(prefix: str, text: str) -> None:
    sys.stdout.buffer.write(f"{prefix}{text}\n".encode())
    sys.stdout.buffer.flush()


# ---------------------------------------------------------------------- run


def _run(paths: RunPaths) -> int:
    # Here, as the other commands do not need them and start four times as fast without.
    from training.runs.config import from_dict, to_dict
    from training.runs.control import commands_size
    from training.runs.processes import child_environment

    try:
        config = from_dict(json.loads(os.environ[CONFIG_VARIABLE]), "the submitted configuration")
    except (KeyError, ValueError) as error:
        raise UserError(f"The job has no readable configuration ({type(error).__name__}). Submit it again.") from None
    if paths.config.is_file():
        # The run goes on, perhaps with other settings.
        write_whole(paths.config, json.dumps(to_dict(config), indent=1) + "\n")
    else:
        new_run(paths.root.parent, config, paths.run_id)
    start = str(commands_size(paths.commands))
    stopping = False

    def stop(*_: object) -> None:
        # Ray ends a job with SIGTERM: the trainer saves and stops, and its last events are still printed.
        nonlocal stopping
        if not stopping:
            stopping = True
            trainer.terminate()

    with paths.log.open("ab") as log:
        trainer = subprocess.Popen(
            [sys.executable, "-m", "training", "run", str(paths.root), "--commands-from", start],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=child_environment(),
        )  # fmt: skip
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"Run {paths.root}", flush=True)
    lines = _Lines(paths.events)
    while trainer.poll() is None:
        for line in lines.poll():
            sys.stdout.buffer.write(EVENT.encode() + line)
        sys.stdout.buffer.flush()
        time.sleep(POLL_S)
    for line in lines.poll():
        sys.stdout.buffer.write(EVENT.encode() + line)
    sys.stdout.buffer.flush()
    code = trainer.returncode
    if code not in (0, 3):
        print(paths.log.read_text(encoding="utf-8", errors="replace")[-4000:], flush=True)
    return code if code >= 0 else 1


class _Lines:
    """Whole lines that were appended to a file since the last poll, from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0

    def poll(self) -> list[bytes]:
        whole = read_appended(self._path, self._offset)
        self._offset += len(whole)
        return whole.splitlines(keepends=True) if b"\r" not in whole else [x + b"\n" for x in whole.split(b"\n")[:-1]]


def _print_events(path: Path, after: int) -> bool:
    """Print the event lines whose sequence number is higher, as many as fit; whether there are more."""
    printed = 0
    for line in _Lines(path).poll():
        try:
            is_new = int(json.loads(line)["seq"]) > after
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if not is_new:
            continue
        if printed > EVENTS_BYTES:
            return True
        sys.stdout.buffer.write(EVENT.encode() + line)
        printed += len(line)
    sys.stdout.buffer.flush()
    return False


# ---------------------------------------------------------------------- files


def kind_of(path: str) -> str:
    """Which kind a file is of; "" for one that a run does not have, and for a path that leads elsewhere."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or any(part.startswith(".") for part in parts):
        return ""
    if parts[0] in ("checkpoints", "evaluations"):
        return parts[0] if len(parts) > 1 else ""
    return "rollouts" if path in ("rollouts.db", "rulings.jsonl", "problems.jsonl") else ""


def _files(root: Path) -> Iterator[dict[str, object]]:
    """The files that can be fetched; a database is copied first, as it may be written to."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not kind_of(name) or path.is_symlink() or not path.is_file():
            continue
        if name.endswith(("-wal", "-shm", ".lock", ".tmp", ".part")) or "/." in name:
            continue
        if name.endswith(".db"):
            _snapshot(path, root / SNAPSHOTS / name)
        yield {"path": name, "size": _source(root, name).stat().st_size}


def _source(root: Path, name: object) -> Path:
    text = str(name)
    return root / SNAPSHOTS / text if text.endswith(".db") else root / text


def _snapshot(database: Path, copy: Path) -> None:
    """Copy a database whole, unless the copy is newer than all that was written to it."""
    written = max(
        file.stat().st_mtime_ns for file in (database, database.with_name(database.name + "-wal")) if file.exists()
    )
    if copy.exists() and copy.stat().st_mtime_ns > written:
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    new = copy.with_name(copy.name + ".tmp")
    new.unlink(missing_ok=True)
    with closing(sqlite3.connect(database, timeout=30)) as source, closing(sqlite3.connect(new)) as target:
        source.backup(target)
    new.replace(copy)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(root: Path, options: argparse.Namespace) -> None:
    path = _source(root, options.path)
    if not kind_of(options.path) or ".." in Path(options.path).parts or not path.is_file() or path.is_symlink():
        raise UserError(f"{options.path} is not a file of {root.name} that can be fetched.")
    if options.sha256 and _hash(path) != options.sha256:
        raise UserError(f"{options.path} has changed. Fetch it again.")
    with open_regular(path) as file:
        file.seek(options.offset)
        left = options.size
        while left > 0 and (piece := file.read(min(PIECE, left))):
            _say(DATA, base64.b64encode(piece).decode())
            left -= len(piece)
    _say(END, str(options.size - left))


if __name__ == "__main__":
    sys.exit(main())
