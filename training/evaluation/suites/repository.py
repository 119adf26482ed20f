"""The suites under one folder: list, find, open, check to the last line, move to the trash.

A damaged suite is listed with its problem. What it declares (hints marked as invalid) is no finding of a check.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.core.answers import SymbolicChecker, is_readable
from training.core.gates import check_hint
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Outcome, Problem
from training.errors import UserError
from training.evaluation.suites.builder import Suite, SuiteItem
from training.evaluation.suites.io import (
    ITEMS,
    MANIFEST,
    SavedSuite,
    merge_items,
    read_line,
    read_lines,
    read_manifest,
    read_suite,
)
from training.evaluation.suites.manifest import (
    SuiteManifest,
    brief_separation,
    digest_of,
    is_mixed,
    make_manifest,
    proof_of,
    separation,
    split_of_hint,
    split_of_problem,
)
from training.runs.files import trash_folder

PLACEBO_WORDS = 3
"""A placebo may differ from its hint by so many words, or by a fifth of them."""
_DERIVED = ("problems", "hints", "families", "types", "passed", "authors", "writers", "splits")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong. `line` is that of the file, 0 where it is the file as a whole."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


def check_suite(folder: Path, symbolic: SymbolicChecker | None = None) -> tuple[Finding, ...]:
    """Everything that is wrong with the suite, in the order of its lines; empty where nothing is."""
    try:
        manifest = read_manifest(folder)
        lines = read_lines(folder, manifest)
    except UserError as error:
        return (Finding(str(folder), 0, str(error)),)
    return (*_findings(folder, manifest, lines, symbolic), *_surplus(folder, len(lines)))


def _surplus(folder: Path, counted: int) -> Iterator[Finding]:
    """What stands behind the lines that count, which no reader of the laboratory takes but other programs would."""
    with (folder / ITEMS).open("rb") as file:
        there = sum(1 for _ in file)
    if there > counted:
        yield Finding(
            str(folder / ITEMS), counted + 1,
            f"from here on it does not belong to the suite, whose manifest counts {counted} lines: an addition that "
            "was cut short, or a change from outside. Remove it",
        )  # fmt: skip


def _findings(
    folder: Path, manifest: SuiteManifest, lines: Sequence[str], symbolic: SymbolicChecker | None
) -> Iterator[Finding]:
    file = str(folder / ITEMS)
    items: list[SuiteItem] = []
    texts: defaultdict[str, list[str]] = defaultdict(list)
    said = {(bad.problem_id, bad.hint) for bad in manifest.invalid}
    for number, (line, proof) in enumerate(zip(lines, manifest.lines, strict=True), 1):
        if proof_of(line) != proof:
            yield Finding(file, number, "it was changed since the suite was written")
        try:
            item = read_line(line, f"{file}, line {number}")
        except UserError as error:
            yield Finding(file, number, str(error).partition(": ")[2] or str(error))
            continue
        before = texts[item.problem.id]
        yield from [Finding(file, number, text) for text in _item_faults(item, before, said, symbolic)]
        before.extend(hint.text for hint in item.hints)
        items.append(item)
    if len(items) == len(lines):
        yield from _manifest_faults(folder, manifest, lines, items)


def _item_faults(
    item: SuiteItem, before: Sequence[str], said: set[tuple[str, str]], symbolic: SymbolicChecker | None
) -> Iterator[str]:
    yield from _gold_faults(item.problem, symbolic)
    yield from _split_faults(item)
    if len(item.placebos) != len(item.hints):
        yield f"it has {len(item.hints)} hints and {len(item.placebos)} placebos; every hint needs its own"
    for hint, placebo in zip(item.hints, item.placebos, strict=False):
        words, neutral = len(hint.text.split()), len(placebo.split())
        if abs(words - neutral) > max(PLACEBO_WORDS, words // 5):
            yield f"the placebo of {hint.text[:40]!r} has {neutral} words and the hint {words}"
    others = list(before)
    for hint in item.hints:
        result = check_hint(hint.text, item.problem, others=others)
        if not result.passed and (item.problem.id, hint.text) not in said:
            yield f"the hint {hint.text[:60]!r} does not pass the gate “{result.gate}”: {result.reason}"
        others.append(hint.text)


def _gold_faults(problem: Problem, symbolic: SymbolicChecker | None) -> Iterator[str]:
    gold = problem.answer
    if not problem.question.strip():
        yield f"the problem {problem.id} has no question"
    try:
        if problem.kind is not AnswerKind.SYMBOLIC:
            readable = is_readable(gold, problem.kind)
        elif symbolic is None:
            readable = bool(gold.strip())
        else:
            readable = symbolic.check(gold, gold) is Outcome.RIGHT
    except UserError:
        readable = False
    if not readable:
        yield f"the gold answer {gold[:40]!r} of {problem.id} cannot be read as a {problem.kind}"


def _split_faults(item: SuiteItem) -> Iterator[str]:
    found = split_of_problem(item.problem)
    if found is not None and found is not item.problem.split:
        yield f"the problem {item.problem.id} says {item.problem.split}, and its phrasing is {found}"
    for hint in item.hints:
        found = split_of_hint(hint)
        if found is not None and found is not hint.split:
            yield f"the hint {hint.text[:40]!r} says {hint.split}, and its template {hint.template} is {found}"


def _manifest_faults(
    folder: Path, manifest: SuiteManifest, lines: Sequence[str], items: Sequence[SuiteItem]
) -> Iterator[Finding]:
    file = str(folder / MANIFEST)
    if digest_of(lines) != manifest.sha256:
        yield Finding(file, 0, "its hash is not that of the items")
    suite = Suite(manifest.name, merge_items(items))
    true = make_manifest(
        suite, lines, manifest.created, manifest.placement, manifest.licence, manifest.invalid, manifest.recipe
    )
    for name in _DERIVED:
        stated, found = getattr(manifest, name), getattr(true, name)
        # A manifest of before `writers` was kept has none.
        if stated != found and not (name == "writers" and not stated):
            yield Finding(file, _line_of(folder, name), f"{name} says {stated}, and the items say {found}")
    if not manifest.licence.strip():
        yield Finding(file, _line_of(folder, "licence"), "the licence note is empty")
    known = {(item.problem.id, hint.text) for item in items for hint in item.hints}
    for bad in manifest.invalid:
        if (bad.problem_id, bad.hint) not in known:
            yield Finding(file, _line_of(folder, "invalid"), f"the invalid hint {bad.hint[:40]!r} is not in the suite")


def _line_of(folder: Path, name: str) -> int:
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    return next((n for n, line in enumerate(text.splitlines(), 1) if line.startswith(f' "{name}":')), 0)


_NAME = re.compile(r"[^\W_][\w .()-]{0,59}")


@dataclass(frozen=True, slots=True)
class SuiteEntry:
    """One suite in the list; `problem` says why there is no manifest."""

    folder: Path
    manifest: SuiteManifest | None
    problem: str = ""

    @property
    def name(self) -> str:
        return self.folder.name


class SuiteRepository:
    """All suites under one root, found by name or by folder. A missing root is an empty repository."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self) -> tuple[SuiteEntry, ...]:
        """By name; only manifests are read, so it is quick."""
        found = []
        for manifest in sorted(self.root.glob(f"[!.]*/{MANIFEST}")):
            try:
                found.append(SuiteEntry(manifest.parent, read_manifest(manifest.parent)))
            except UserError as error:
                found.append(SuiteEntry(manifest.parent, None, str(error)))
        return tuple(found)

    def manifests(self) -> dict[Path, SuiteManifest]:
        """Folder and manifest of each suite that can be read."""
        return {entry.folder: entry.manifest for entry in self.list() if entry.manifest is not None}

    def new_folder(self, name: str) -> Path:
        """Where a suite of that name will lie. Raises a `UserError` for one that is there, or is no name."""
        folder = self.root / suite_name(name)
        if (folder / MANIFEST).exists():
            raise UserError(f"There is a suite {folder.name!r} already ({folder}). Choose another name.")
        return folder

    def find(self, name: str) -> Path:
        """The folder of the suite that is meant. Raises a `UserError` that names those that are near."""
        for folder in (self.root / name, Path(name).expanduser()):
            if (folder / MANIFEST).is_file():
                return folder
        known = [entry.name for entry in self.list()]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[:5]
        remedy = f"There are: {', '.join(near)}." if near else "There is none yet: make one with `seirenes suite make`."
        raise UserError(f"No suite {name!r} in {self.root}. {remedy}")

    def open(self, name: str) -> SavedSuite:
        return read_suite(self.find(name))

    def check(self, name: str) -> tuple[Finding, ...]:
        with SymbolicCheck() as symbolic:
            return check_suite(self.find(name), symbolic)

    def trash(self, name: str) -> Path:
        return trash_folder(self.find(name))


def suite_facts(folder: Path, manifest: SuiteManifest) -> dict[str, Any]:
    names = (
        "name", "created", "sha256", "format", "problems", "hints", "families", "types", "passed", "authors", "writers",
        "splits", "licence", "recipe",
    )  # fmt: skip
    return {name: getattr(manifest, name) for name in names} | {
        "folder": str(folder),
        "invalid": len(manifest.invalid),
        "mixed": any(is_mixed(counts) for counts in manifest.splits.values()),
        "separation": separation(manifest),
        "brief_separation": brief_separation(manifest),
        "placement": str(manifest.placement),
    }


def suite_name(name: str) -> str:
    plain = name.strip().rstrip(".")
    if not _NAME.fullmatch(plain):
        raise UserError(
            f"{name[:60]!r} cannot be a suite's name. Use up to 60 letters, digits, spaces, dots, hyphens or brackets, "
            "and begin with a letter or a digit."
        )
    return plain
