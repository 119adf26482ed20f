"""The library of suites: what there is, facts of one, opening, checking, and moving one to the trash. No Qt.

A suite is meant by its name or by its folder. One that cannot be read is listed with what is wrong, and never hides the
others.
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from seirenes_app.lab.crafting.suites import suite_name, suites_folder
from training.core.symbolic import SymbolicCheck
from training.errors import UserError
from training.evaluation.suite_check import Finding, check_suite
from training.evaluation.suite_file import MANIFEST, SavedSuite, SuiteManifest, read_manifest, read_suite
from training.evaluation.suite_manifest import brief_separation, is_mixed, separation

TRASH = ".trash"


@dataclass(frozen=True, slots=True)
class SuiteEntry:
    """One suite in the list; `problem` says why there is no manifest."""

    folder: Path
    manifest: SuiteManifest | None
    problem: str = ""

    @property
    def name(self) -> str:
        """The folder's name, by which the suite is found."""
        return self.folder.name


class SuiteLibrary:
    """All suites under one root. A missing root is an empty library."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or suites_folder()

    def list(self) -> tuple[SuiteEntry, ...]:
        """By name; only manifests are read, so it is quick."""
        return tuple(self._entries())

    def _entries(self) -> Iterator[SuiteEntry]:
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else []:
            if folder.name.startswith(".") or not (folder / MANIFEST).is_file():
                continue
            try:
                yield SuiteEntry(folder, read_manifest(folder))
            except UserError as error:
                yield SuiteEntry(folder, None, str(error))

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
        known = [entry.name for entry in self._entries()]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[:5]
        remedy = f"There are: {', '.join(near)}." if near else "There is none yet: make one with `seirenes suite make`."
        raise UserError(f"No suite {name!r} in {self.root}. {remedy}")

    def open(self, name: str) -> SavedSuite:
        """The suite with its hashes checked."""
        return read_suite(self.find(name))

    def check(self, name: str) -> tuple[Finding, ...]:
        """Everything that is wrong with it, down to the line; symbolic answers are tried in the killable child."""
        with SymbolicCheck() as symbolic:
            return check_suite(self.find(name), symbolic)

    def trash(self, name: str) -> Path:
        """Move a suite to the trash beside the others; returns its new place. Evaluations of it keep their rows."""
        folder = self.find(name)
        place = folder.parent / TRASH
        target = place / folder.name
        if target.exists():
            target = place / f"{folder.name}-{datetime.now():%Y%m%d%H%M%S%f}"
        try:
            place.mkdir(exist_ok=True)
            shutil.move(folder, target)
        except OSError as error:
            raise UserError(f"{folder.name} could not be moved to {place} ({error}). Close what uses it.") from error
        return target


def suite_facts(folder: Path, manifest: SuiteManifest) -> dict[str, Any]:
    """What a suite is, as plain data for `--json` and for pages."""
    return {
        "name": manifest.name,
        "folder": str(folder),
        "created": manifest.created,
        "sha256": manifest.sha256,
        "format": manifest.format,
        "problems": manifest.problems,
        "hints": manifest.hints,
        "families": dict(manifest.families),
        "types": dict(manifest.types),
        "passed": dict(manifest.passed),
        "invalid": len(manifest.invalid),
        "authors": dict(manifest.authors),
        "writers": dict(manifest.writers),
        "splits": {kind: dict(counts) for kind, counts in manifest.splits.items()},
        "mixed": any(is_mixed(counts) for counts in manifest.splits.values()),
        "separation": separation(manifest),
        "brief_separation": brief_separation(manifest),
        "placement": str(manifest.placement),
        "licence": manifest.licence,
        "recipe": dict(manifest.recipe),
    }
