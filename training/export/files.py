"""Outputs that are whole or absent, and never overwritten unasked. No torch: the quantising child uses it too."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import UserError
from training.runs.files import explained

Progress = Callable[[int, int], None]
"""Called with (done, total); the unit is tensors or files."""


def temporary_for(path: Path, pid: int) -> Path:
    """The hidden sibling that the process `pid` writes before it is moved to `path`."""
    return path.with_name(f".{path.name}.tmp-{pid}")


def refuse_existing(path: Path, *, force: bool) -> None:
    """UserError if something stands at `path` and it was not said that it may go."""
    if path.exists() and not force:
        raise UserError(f"{path} exists already. Add --force to replace it, or name another place with --out.")


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary sibling to write, moved to `path` when the block ends well, removed when it does not."""
    refuse_existing(path, force=force)
    if path.is_dir():
        raise UserError(f"{path} is a folder, and this export is one file. Name a file with --out.")
    temporary = temporary_for(path, os.getpid())
    try:
        with explained("Writing", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("r+b") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary sibling folder to fill, moved to `path` when the block ends well, removed when it does not.

    With `force` an older folder goes only once the new one stands whole, and only if it holds a model: a folder of
    anything else is refused, whatever was said.
    """
    refuse_existing(path, force=force)
    if path.exists() and not _holds_a_model(path):
        raise UserError(f"{path} is no exported model, so it is not replaced. Name another folder with --out.")
    temporary, old = temporary_for(path, os.getpid()), path.with_name(f".{path.name}.old-{os.getpid()}")
    try:
        with explained("Writing", path):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            if path.exists():
                path.replace(old)
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not path.exists():
            old.replace(path)
        shutil.rmtree(old, ignore_errors=True)


def _holds_a_model(path: Path) -> bool:
    names = ("config.json", "adapter_config.json")
    return path.is_dir() and (not any(path.iterdir()) or any((path / name).is_file() for name in names))
