"""A suite on disk: a folder with `manifest.json` and `items.jsonl`.

`items.jsonl` has one `SuiteItem` a line; a later line of the same problem adds hints to it. Lines are only ever added.
`manifest.json` says how many lines count, with a hash of each and one of all; what stands behind them was never
finished and is ignored. Items are written first, then the manifest in one move.

Hints that a gate refuses are refused, unless `allow_invalid`, and then the manifest names them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.core.gates import Gate, check_hint
from training.core.prompts import Placement
from training.errors import UserError
from training.evaluation.suites.builder import Suite, SuiteItem
from training.evaluation.suites.manifest import (
    APPENDED,
    FORMAT,
    InvalidHint,
    SuiteManifest,
    digest_of,
    make_manifest,
    manifest_text,
    proof_of,
)
from training.runs.files import decode, decode_format, explained, read_text, write_whole

MANIFEST, ITEMS = "manifest.json", "items.jsonl"
LICENCE = (
    "Problems and hints written by the Seirênes laboratory are under Apache-2.0. Whoever adds text of another "
    "origin names its licence here."
)
_LOCK, _LOCK_PATIENCE_S, _LOCK_STALE_S = ".writing", 3.0, 30.0


class AlreadyThere(UserError):
    """The suite holds this hint of this problem."""


@dataclass(frozen=True, slots=True)
class SavedSuite:
    folder: Path
    manifest: SuiteManifest
    suite: Suite


def write_suite(
    folder: Path,
    suite: Suite,
    *,
    placement: Placement = Placement.APPEND,
    licence: str = LICENCE,
    allow_invalid: bool = False,
    recipe: Mapping[str, Any] | None = None,
) -> SavedSuite:
    """Write a new suite. Raises a `UserError` where one is already, or a hint is refused (see the module)."""
    if (folder / MANIFEST).exists():
        raise UserError(f"{folder} holds a suite already. Add to it, or choose another name.")
    invalid = [bad for item in suite.items for bad in _refused(item, (), {}, allow_invalid)]
    lines = [_line(item) for item in suite.items]
    with explained("Making the suite", folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _writing(folder):
        _put_lines(folder, 0, lines)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        whole = Suite(suite.name, merge_items(suite.items))
        manifest = make_manifest(whole, lines, created, placement, licence, invalid, recipe or {})
        write_whole(folder / MANIFEST, manifest_text(manifest))
    return read_suite(folder)


def append_item(
    folder: Path, item: SuiteItem, *, allow_invalid: bool = False, refused: Mapping[int, Sequence[Gate]] | None = None
) -> SavedSuite:
    """Add an item, or hints to the item of the same problem. `refused` adds gates that refused a hint elsewhere.

    Raises `AlreadyThere` for a hint that is, and a `UserError` for one that a gate refuses without `allow_invalid`.
    """
    read_manifest(folder)
    with _writing(folder):
        saved = read_suite(folder)
        there = next((i for i in saved.suite.items if i.problem.id == item.problem.id), None)
        known = [h.text for h in there.hints] if there else []
        if item.hints and all(h.text in known for h in item.hints):
            raise AlreadyThere(f"The suite {saved.manifest.name!r} holds this hint of this problem already.")
        invalid = [*saved.manifest.invalid, *_refused(item, known, refused or {}, allow_invalid)]
        old = read_lines(folder, saved.manifest)
        lines = [*old, _line(item)]
        _put_lines(folder, len("".join(old).encode()), lines[-1:])
        suite = Suite(saved.suite.name, merge_items([*saved.suite.items, item]))
        before = saved.manifest
        appended = before.recipe.get(APPENDED, 0)
        followed = len(before.lines) - (appended if type(appended) is int else 0)
        recipe = before.recipe and {**before.recipe, APPENDED: len(lines) - followed}
        manifest = make_manifest(suite, lines, before.created, before.placement, before.licence, invalid, recipe)
        write_whole(folder / MANIFEST, manifest_text(manifest))
    return read_suite(folder)


def read_suite(folder: Path) -> SavedSuite:
    """A suite with its hashes checked. Raises a `UserError` with file and line for whatever is wrong."""
    manifest = read_manifest(folder)
    lines, items = read_lines(folder, manifest), []
    for number, (line, proof) in enumerate(zip(lines, manifest.lines, strict=True), 1):
        place = f"{folder / ITEMS}, line {number}"
        if proof_of(line) != proof:
            raise UserError(f"{place}: it was changed since the suite was written. Restore the file from a copy.")
        items.append(read_line(line, place))
    if digest_of(lines) != manifest.sha256:
        raise UserError(f"{folder / MANIFEST}: its hash is not that of the items. Restore the suite from a copy.")
    return SavedSuite(folder, manifest, Suite(manifest.name, merge_items(items)))


def read_manifest(folder: Path) -> SuiteManifest:
    """The manifest alone: what is in a suite, quickly. It proves nothing about the items."""
    path = folder / MANIFEST
    text = read_text(path, f"{folder} holds no suite: {MANIFEST} is missing.")
    return decode_format(text, SuiteManifest, FORMAT, str(path))


def _refused(
    item: SuiteItem, known: Sequence[str], refused: Mapping[int, Sequence[Gate]], allow: bool
) -> list[InvalidHint]:
    """The item's invalid hints; a UserError when there are some and they are not allowed."""
    found, before = [], list(known)
    for index, hint in enumerate(item.hints):
        result = check_hint(hint.text, item.problem, others=before)
        gates = [*refused.get(index, ()), *([result.gate] if result.gate else [])]
        if gates and not allow:
            raise UserError(
                f"The hint {hint.text[:60]!r} does not pass the gate “{gates[0]}”. {result.reason} Change it, "
                "or save it marked as invalid."
            )
        if gates:
            found.append(InvalidHint(item.problem.id, hint.text, tuple(dict.fromkeys(map(str, gates)))))
        before.append(hint.text)
    return found


def merge_items(items: Sequence[SuiteItem]) -> tuple[SuiteItem, ...]:
    """One item a problem, in order of appearance: hints of later lines join those of the first."""
    by_problem: dict[str, SuiteItem] = {}
    for item in items:
        there = by_problem.get(item.problem.id)
        if there is not None:
            item = SuiteItem(there.problem, (*there.hints, *item.hints), (*there.placebos, *item.placebos))
        by_problem[item.problem.id] = item
    return tuple(by_problem.values())


def _line(item: SuiteItem) -> str:
    return json.dumps(dataclasses.asdict(item)) + "\n"


def _put_lines(folder: Path, at_bytes: int, lines: Sequence[str]) -> None:
    path = folder / ITEMS
    with explained("Writing", path), path.open("ab") as file:
        file.truncate(at_bytes)
        file.write("".join(lines).encode())
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """One writer at a time. A lock that its owner left behind is taken away after half a minute."""
    lock, until = folder / _LOCK, time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError as error:
            with suppress(OSError):
                # A lock of the future was left before the clock was set back.
                if abs(time.time() - lock.stat().st_mtime) > _LOCK_STALE_S:
                    lock.unlink(missing_ok=True)
            if time.monotonic() > until:
                raise UserError(f"{folder} is being written by another process. Try again in a moment.") from error
            time.sleep(0.02)
        except OSError as error:
            raise UserError(f"{folder} cannot be written to ({error.strerror}). Choose another suite.") from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def read_lines(folder: Path, manifest: SuiteManifest) -> list[str]:
    """The lines of items.jsonl that count, unproven."""
    path = folder / ITEMS
    lines = read_text(path).splitlines(keepends=True)
    counted = len(manifest.lines)
    if len(lines) < counted:
        raise UserError(f"{path}, line {len(lines) + 1}: it is missing; the manifest counts {counted} lines.")
    return lines[:counted]


def read_line(line: str, place: str) -> SuiteItem:
    """The item of a line; `place` names it in the `UserError`."""
    return decode(line, SuiteItem, place)
