"""Checkpoint folders that are whole or absent: written beside, checked by a manifest, moved into place."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import UserError
from training.runs.files import explained

MANIFEST = "manifest.json"
_NEW, _OLD = ".tmp-", ".old-"
"""Stand in the hidden names of a folder that is written and of one that is replaced, before the process's number."""


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` to write into; moved to `path` when the block ends well, removed when it does not.

    Raises UserError when the disk refuses; an older folder at `path` is then still there.
    """
    temporary = path.with_name(f".{path.name}{_NEW}{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with explained("Writing the checkpoint", path):
            # Not its parents: those of a run that was moved away must not come back.
            path.parent.mkdir(exist_ok=True)
            temporary.mkdir()
            yield temporary
            _seal(temporary)
            _move_into_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _seal(folder: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    listed = {}
    for file in files:
        _flush(file)
        listed[str(file.relative_to(folder))] = {"bytes": file.stat().st_size, "sha256": _digest(file)}
    (folder / MANIFEST).write_text(json.dumps(listed, indent=1), encoding="utf-8")
    _flush(folder / MANIFEST)


def _move_into_place(temporary: Path, path: Path) -> None:
    """A folder cannot be renamed onto a full one: the old one waits under a hidden name until the new one stands."""
    old = path.with_name(f".{path.name}{_OLD}{os.getpid()}")
    replaced = path.exists()
    if replaced:
        path.replace(old)
    try:
        temporary.replace(path)
    except BaseException:
        if replaced and not path.exists():
            old.replace(path)
        raise
    _flush(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def remove_partial(folder: Path) -> None:
    """Remove what processes that were killed left of `atomic_folder` in `folder`; one that was replaced just then comes
    back. Only for the process that alone writes there."""
    for left in folder.glob(f".*{_OLD}*"):
        path = folder / left.name[1:].rpartition(_OLD)[0]
        if not path.exists():
            with explained("Restoring the checkpoint", path):
                left.replace(path)
    for left in [*folder.glob(f".*{_OLD}*"), *folder.glob(f".*{_NEW}*")]:
        shutil.rmtree(left, ignore_errors=True)


def _flush(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk. Windows cannot do folders, and files only if writable."""
    windows = os.name == "nt"
    if windows and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, None if it is sound."""
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        expected = [(str(name), int(wanted["bytes"]), str(wanted["sha256"])) for name, wanted in listed.items()]
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return f"{MANIFEST} is missing or unreadable"
    for name, size, digest in expected:
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} is cut short: {file.stat().st_size} of {size} bytes"
        if _digest(file) != digest:
            return f"{name} was altered"
    return None


def verify(folder: Path) -> None:
    """UserError if the checkpoint is not sound."""
    if (found := damage(folder)) is not None:
        raise UserError(f"The checkpoint {folder} is damaged: {found}. Use an earlier checkpoint of the run.")


def latest_valid(checkpoints: Path) -> tuple[Path | None, list[tuple[Path, str]]]:
    """The newest sound checkpoint, and the damaged ones that are newer, each with what is wrong."""
    damaged: list[tuple[Path, str]] = []
    for folder in sorted(checkpoints.glob("step_*"), reverse=True):
        found = damage(folder)
        if found is None:
            return folder, damaged
        damaged.append((folder, found))
    return None, damaged
