"""A suite on disk: a folder with `manifest.json` and `items.jsonl`.

`items.jsonl` has one item a line, exactly a `SuiteItem`: `{"problem": {…}, "hints": [{…}], "placebos": ["…"]}`. Lines
of one problem are one item when read: a later line adds hints to it. Lines are only ever added, so a suite in use keeps
its beginning. `manifest.json` says what is in it and proves it: how many lines count, a hash of each and one of all;
what stands behind the counted lines was never finished and is ignored. Writing goes items first, then the manifest in
one move, so a kill leaves the suite before or after and nothing between.

It refuses hints that a gate refuses, unless told to take them, and then the manifest names them. It refuses to read
what was changed since, a newer format, and damaged lines, each with file and line.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from training.core.gates import Gate, judge_hint
from training.core.prompts import Placement
from training.core.types import AnswerKind, Hint, PerturbationType, Problem, Split
from training.errors import UserError
from training.evaluation.suite import Suite, SuiteItem
from training.rundir.disk import explained, write_whole

FORMAT = 1
MANIFEST, ITEMS = "manifest.json", "items.jsonl"
LICENCE = (
    "Problems and perturbations written by the Seirênes laboratory are under Apache-2.0. Whoever adds text of another "
    "origin names its licence here."
)
_LOCK, _LOCK_PATIENCE_S, _LOCK_STALE_S = ".writing", 3.0, 30.0

T = TypeVar("T")


class AlreadyThere(UserError):
    """The suite holds this hint of this problem."""


@dataclass(frozen=True, slots=True)
class InvalidHint:
    """A hint that was taken although gates refuse it. Evaluation must not count it as an attack."""

    problem_id: str
    hint: str
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SuiteManifest:
    """What a suite holds. Counts are derived from the items; `lines` are the first 16 hex digits of each line's hash.

    `families` counts problems. `types` counts hints a type, `passed` those of them that passed all gates. `authors`
    counts hints by who wrote them (templates, model, run, hand, unknown), `splits` the problems and hints by the split
    of the template that they are from ("none" without one). `placement` is where the hints go.
    """

    name: str
    sha256: str
    created: str
    lines: tuple[str, ...]
    placement: Placement
    licence: str
    problems: int
    hints: int
    families: Mapping[str, int]
    types: Mapping[str, int]
    passed: Mapping[str, int]
    authors: Mapping[str, int]
    splits: Mapping[str, Mapping[str, int]]
    invalid: tuple[InvalidHint, ...] = ()
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class SavedSuite:
    """A suite as it lies in `folder`."""

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
        whole = Suite(suite.name, _merged(suite.items))
        manifest = _manifest(whole, lines, created, placement, licence, invalid)
        write_whole(folder / MANIFEST, _manifest_text(manifest))
    return read_suite(folder)


def append_item(
    folder: Path,
    item: SuiteItem,
    *,
    allow_invalid: bool = False,
    refused: Mapping[int, Sequence[Gate]] | None = None,
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
            raise AlreadyThere(f"The suite {saved.manifest.name!r} holds this perturbation of this problem already.")
        invalid = [*saved.manifest.invalid, *_refused(item, known, refused or {}, allow_invalid)]
        old = _counted_lines(folder, saved.manifest)
        lines = [*old, _line(item)]
        _put_lines(folder, len("".join(old).encode()), lines[-1:])
        suite = Suite(saved.suite.name, _merged([*saved.suite.items, item]))
        before = saved.manifest
        manifest = _manifest(suite, lines, before.created, before.placement, before.licence, invalid)
        write_whole(folder / MANIFEST, _manifest_text(manifest))
    return read_suite(folder)


def read_suite(folder: Path) -> SavedSuite:
    """A suite with its hashes checked. Raises a `UserError` with file and line for whatever is wrong."""
    manifest = read_manifest(folder)
    lines, items = _counted_lines(folder, manifest), []
    for number, (line, proof) in enumerate(zip(lines, manifest.lines, strict=True), 1):
        place = f"{folder / ITEMS}, line {number}"
        if _proof(line) != proof:
            raise UserError(f"{place}: it was changed since the suite was written. Restore the file from a copy.")
        items.append(_item(line, place))
    if _digest(lines) != manifest.sha256:
        raise UserError(f"{folder / MANIFEST}: its hash is not that of the items. Restore the suite from a copy.")
    return SavedSuite(folder, manifest, Suite(manifest.name, _merged(items)))


def read_manifest(folder: Path) -> SuiteManifest:
    """The manifest alone: what is in a suite, quickly. It proves nothing about the items."""
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{folder} holds no suite: {MANIFEST} is missing.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}). Restore it from a copy.") from error
    version = data.get("format") if isinstance(data, dict) else None
    if type(version) is int and version > FORMAT:
        raise UserError(f"{path} has format {version}; this laboratory reads {FORMAT}. Update seirenes.")
    with _damage(str(path)):
        return _manifest_of(data)


# ---------------------------------------------------------------------- making


def _refused(
    item: SuiteItem, known: Sequence[str], refused: Mapping[int, Sequence[Gate]], allow: bool
) -> list[InvalidHint]:
    """The item's invalid hints; a UserError when there are some and they are not allowed."""
    found, before = [], list(known)
    for index, hint in enumerate(item.hints):
        verdict = judge_hint(hint.text, item.problem, others=before)
        gates = [*refused.get(index, ()), *([verdict.gate] if verdict.gate else [])]
        if gates and not allow:
            raise UserError(
                f"The perturbation {hint.text[:60]!r} does not pass the gate “{gates[0]}”. {verdict.reason} Mend it, "
                "or save it marked as invalid."
            )
        if gates:
            found.append(InvalidHint(item.problem.id, hint.text, tuple(dict.fromkeys(map(str, gates)))))
        before.append(hint.text)
    return found


def _merged(items: Sequence[SuiteItem]) -> tuple[SuiteItem, ...]:
    by_problem: dict[str, SuiteItem] = {}
    for item in items:
        there = by_problem.get(item.problem.id)
        if there is not None:
            item = SuiteItem(there.problem, (*there.hints, *item.hints), (*there.placebos, *item.placebos))
        by_problem[item.problem.id] = item
    return tuple(by_problem.values())


def _manifest(
    suite: Suite, lines: Sequence[str], created: str, placement: Placement, licence: str, invalid: list[InvalidHint]
) -> SuiteManifest:
    pairs = [(item.problem.id, hint) for item in suite.items for hint in item.hints]
    bad = {(i.problem_id, i.hint) for i in invalid}
    return SuiteManifest(
        name=suite.name,
        sha256=_digest(lines),
        created=created,
        lines=tuple(_proof(line) for line in lines),
        placement=placement,
        licence=licence,
        problems=len(suite.items),
        hints=len(pairs),
        families=_counts(item.problem.family for item in suite.items),
        types=_counts(hint.type for _, hint in pairs),
        passed=_counts(hint.type for id_, hint in pairs if (id_, hint.text) not in bad),
        authors=_counts(author_of(hint) for _, hint in pairs),
        splits={
            "problems": _counts(i.problem.split if i.problem.template else "none" for i in suite.items),
            "hints": _counts(h.split if author_of(h) == "templates" else "none" for _, h in pairs),
        },
        invalid=tuple(invalid),
    )


def author_of(hint: Hint) -> str:
    """Who wrote a hint, by its `template`: a template's id, `hand`, `model:NAME` or `run:ID`."""
    kind = hint.template.split(":", 1)[0]
    return kind if kind in ("hand", "model", "run") else "templates" if kind else "unknown"


def _counts(names: Iterator[Any] | Any) -> dict[str, int]:
    return dict(sorted(Counter(map(str, names)).items()))


def _line(item: SuiteItem) -> str:
    return json.dumps(dataclasses.asdict(item)) + "\n"


def _proof(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()[:16]


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _manifest_text(manifest: SuiteManifest) -> str:
    return json.dumps(dataclasses.asdict(manifest), indent=1, ensure_ascii=True) + "\n"


def _put_lines(folder: Path, at_bytes: int, lines: Sequence[str]) -> None:
    """Write lines behind the counted ones, over what was never finished."""
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
            _take_away(lock)
            if time.monotonic() > until:
                raise UserError(f"{folder} is being written by another process. Try again in a moment.") from error
            time.sleep(0.02)
        except OSError as error:
            raise UserError(f"{folder} cannot be written to ({error.strerror}). Choose another suite.") from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _take_away(lock: Path) -> None:
    try:
        stale = time.time() - lock.stat().st_mtime > _LOCK_STALE_S
    except OSError:
        return
    if stale:
        lock.unlink(missing_ok=True)


# ---------------------------------------------------------------------- reading


@contextmanager
def _damage(place: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{place}: it is damaged ({error}). Restore the file from a copy.") from error


def _counted_lines(folder: Path, manifest: SuiteManifest) -> list[str]:
    path = folder / ITEMS
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}). Restore it from a copy.") from error
    counted = len(manifest.lines)
    if len(lines) < counted:
        raise UserError(f"{path}, line {len(lines) + 1}: it is missing; the manifest counts {counted} lines.")
    return lines[:counted]


def _item(line: str, place: str) -> SuiteItem:
    with _damage(place):
        data = json.loads(line)
        return SuiteItem(
            _problem(data["problem"]), tuple(map(_hint, data["hints"])), tuple(_text(p) for p in data["placebos"])
        )


def _problem(data: Mapping[str, Any]) -> Problem:
    return Problem(
        **{name: _text(data[name]) for name in ("id", "family", "question", "answer", "solution")},
        template=_text(data.get("template", "")),
        kind=AnswerKind(data["kind"]),
        split=Split(data.get("split", Split.TRAIN)),
        entities=tuple(map(_text, data.get("entities", ()))),
        nouns=tuple(map(_text, data.get("nouns", ()))),
        quantities=tuple(map(_whole, data.get("quantities", ()))),
        difficulty=_whole(data.get("difficulty", 1)),
    )


def _hint(data: Mapping[str, Any]) -> Hint:
    suggested = data.get("suggested")
    return Hint(
        type=PerturbationType(data["type"]),
        text=_text(data["text"]),
        template=_text(data.get("template", "")),
        split=Split(data.get("split", Split.TRAIN)),
        suggested=None if suggested is None else _text(suggested),
    )


def _manifest_of(data: Mapping[str, Any]) -> SuiteManifest:
    name, sha256, created, licence = (_text(data[key]) for key in ("name", "sha256", "created", "licence"))
    families, types, passed, authors = (_count_map(data[key]) for key in ("families", "types", "passed", "authors"))
    return SuiteManifest(
        name=name,
        sha256=sha256,
        created=created,
        licence=licence,
        families=families,
        types=types,
        passed=passed,
        authors=authors,
        problems=_whole(data["problems"]),
        hints=_whole(data["hints"]),
        format=_whole(data["format"]),
        lines=tuple(map(_text, data["lines"])),
        placement=Placement(data["placement"]),
        splits={str(key): _count_map(value) for key, value in data["splits"].items()},
        invalid=tuple(
            InvalidHint(_text(bad["problem_id"]), _text(bad["hint"]), tuple(map(_text, bad["gates"])))
            for bad in data.get("invalid", ())
        ),
    )


def _count_map(value: Mapping[str, Any]) -> dict[str, int]:
    return {str(key): _whole(count) for key, count in value.items()}


def _text(value: Any) -> str:
    return _is(str, value)


def _whole(value: Any) -> int:
    return _is(int, value)


def _is(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise TypeError(f"{value!r:.40} is no {kind.__name__}")
    return value
