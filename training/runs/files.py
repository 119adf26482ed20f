"""Write small files whole or not at all, open only what is a plain file, and explain what a disk refuses."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from training.errors import UserError


class FileError(UserError):
    """A file or folder could not be read or written: a disk, permissions."""


T = TypeVar("T")


def decode(text: str, kind: type[T], place: str, remedy: str = "Restore the file from a copy.") -> T:
    """JSON text as a dataclass; unknown fields are ignored. A UserError names the file, the field and the remedy."""
    try:
        return msgspec.json.decode(text.encode(errors="surrogatepass"), type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise UserError(f"{place} is damaged ({error}). {remedy}") from error


@dataclass(frozen=True, slots=True)
class _Format:
    format: int


def decode_format(
    text: str, kind: type[T], known: int, place: str, remedy: str = "Restore the file from a copy.", *,
    prepare: Callable[[Any], None] | None = None,
) -> T:  # fmt: skip
    """`decode` for a file with a `format` number; one newer than `known` is a UserError. `prepare` brings an older
    layout up to date in place; a KeyError, TypeError, ValueError or AttributeError of it means damage."""
    version = decode(text, _Format, place, remedy).format
    if version > known:
        raise UserError(f"{place} has format {version}; this version reads {known}. Update seirenes.")
    if prepare is None:
        return decode(text, kind, place, remedy)
    try:
        data = msgspec.json.decode(text.encode(errors="surrogatepass"))
        prepare(data)
        return msgspec.convert(data, kind)
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{place} is damaged ({error}). {remedy}") from error


def read_text(path: Path, missing: str = "") -> str:
    """The text of a file in UTF-8. A UserError, `missing` where there is none, where it cannot be read. A pipe is not
    waited for."""
    try:
        with open_regular(path) as file, TextIOWrapper(file, encoding="utf-8") as text:
            return text.read()
    except (OSError, UnicodeDecodeError) as error:
        if missing and isinstance(error, FileNotFoundError):
            raise UserError(missing) from error
        raise UserError(f"{path} cannot be read ({error}). Restore it from a copy.") from error


def expanded(name: str | Path) -> Path:
    """The path with "~" replaced; an unknown "~name" stays as it is, and is then found missing."""
    return Path(os.path.expanduser(name))


def user_path(name: str | Path) -> Path:
    """The absolute path of what a user named, links of folders followed. A UserError for a link that leads nowhere.

    A file's own link is kept: the hub's cache has links with names to files without.
    """
    try:
        path = expanded(name).absolute()
        if os.path.lexists(path) and not path.exists():
            path.stat()
        return path.resolve() if path.is_dir() else path.parent.resolve() / path.name
    except (RuntimeError, OSError, ValueError) as error:
        # Python 3.11 reports a loop of links as a RuntimeError, later ones as an OSError.
        reason = getattr(error, "strerror", None) or str(error).partition(" from ")[0].rstrip(".")
        raise UserError(f"{name}: the path cannot be followed ({reason}). Name another file or folder.") from error


_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, and wait for nothing: a pipe, a socket or a device is a UserError.

    Raises OSError where the system refuses, as `Path.open` does.
    """
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(opened).st_mode
        if not stat.S_ISREG(mode):
            what = next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")
            raise UserError(f"{path} cannot be read as a file: it is {what}. Name another file.")
        return os.fdopen(opened, "rb")
    except BaseException:
        os.close(opened)
        raise


FileIdentity = tuple[int, int, int, int]


def file_identity(path: Path) -> FileIdentity | None:
    """Device, inode, size and time of change of a file: another tuple means another content. None: it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a FileError that names the file and the remedy."""
    try:
        yield
    except OSError as error:
        remedy = {
            errno.ENOSPC: "The disk is full: free some space; what was written before is intact.",
            errno.EDQUOT: "The disk quota is used up: free some space; what was written before is intact.",
            errno.EFBIG: "The file-size limit was reached; what was written before is intact.",
            errno.EACCES: "It may not be written to: choose another folder, or change its permissions.",
            errno.EPERM: "It may not be written to: choose another folder, or change its permissions.",
            errno.EROFS: "The file system is read-only: choose another folder.",
        }.get(error.errno or 0, "Nothing else was changed.")
        raise FileError(f"{doing} {path} failed ({error.strerror or error}). {remedy}") from error


def write_whole(path: Path, text: str) -> None:
    """Replace the file in one move, so that a kill leaves the old text or the new; a failure leaves nothing else."""
    temporary = path.with_name(path.name + ".tmp")
    with explained("Writing", path):
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


LONGEST_DATABASE_PATH = 500
"""Bytes. SQLite takes 512, with the names of the files that it puts beside a database."""


def check_database_path(path: Path) -> None:
    """A FileError where SQLite cannot open a database at this path, as it is too long."""
    length = len(os.fsencode(os.path.realpath(path)))
    if length > LONGEST_DATABASE_PATH:
        raise FileError(
            f"{path.parent} cannot hold a database: its path would have {length} bytes, {LONGEST_DATABASE_PATH} are "
            "possible. Choose a folder with a shorter path."
        )


def make_folder(root: Path, name: str) -> Path:
    """Make a folder under `root`; a name that is taken gets a number, from 2."""
    for number in itertools.count(1):
        folder = root / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


TRASH = ".trash"


def trash_folder(folder: Path) -> Path:
    """Move a folder to ``.trash`` beside it; returns its new place. A name that is taken there gets the time."""
    trash = folder.parent / TRASH
    target = trash / folder.name
    if target.exists():
        target = trash / f"{folder.name}-{datetime.now():%Y%m%d%H%M%S%f}"
    try:
        trash.mkdir(exist_ok=True)
        shutil.move(folder, target)
    except OSError as error:
        raise UserError(f"{folder.name} could not be moved to {trash} ({error}). Close what uses it.") from error
    return target


def read_appended(path: Path, offset: int) -> bytes:
    """The whole lines of a file from `offset` on; a last line without its end is left for the next time. Empty where
    there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]
