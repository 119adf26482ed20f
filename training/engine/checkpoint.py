"""Checkpoint folders that are whole or absent: written beside, checked by a manifest, moved into place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import UserError
from training.rundir.disk import explained

MANIFEST = "manifest.json"


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` to write into; moved to `path` when the block ends well, removed when it does not.

    Raises UserError when the disk refuses; an older folder at `path` is then still there.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with explained("Writing the checkpoint", path):
            temporary.mkdir(parents=True)
            yield temporary
            _seal(temporary)
            old = path.with_name(f".{path.name}.old-{os.getpid()}")
            if path.exists():
                path.replace(old)
            temporary.replace(path)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _seal(folder: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    listed = {}
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        listed[str(file.relative_to(folder))] = {"bytes": file.stat().st_size, "sha256": _digest(file)}
    (folder / MANIFEST).write_text(json.dumps(listed, indent=1), encoding="utf-8")


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, None if it is sound."""
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{MANIFEST} is missing or unreadable"
    for name, wanted in listed.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != wanted["bytes"]:
            return f"{name} is cut short: {file.stat().st_size} of {wanted['bytes']} bytes"
        if _digest(file) != wanted["sha256"]:
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
