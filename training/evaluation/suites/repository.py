"""The suites under one folder: list, find, open, check, move to the trash. A damaged one is listed with its problem."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.core.symbolic import SymbolicCheck
from training.errors import UserError
from training.evaluation.suites.io import MANIFEST, SavedSuite, read_manifest, read_suite
from training.evaluation.suites.manifest import SuiteManifest, brief_separation, is_mixed, separation
from training.evaluation.suites.validator import Finding, check_suite
from training.runs.files import trash_folder

_NAME = re.compile(r"[^\W_][\w .()-]{0,59}")


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


class SuiteRepository:
    """All suites under one root, found by name or by folder. A missing root is an empty repository."""

    def __init__(self, root: Path) -> None:
        self.root = root

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
        return trash_folder(self.find(name))


def suite_facts(folder: Path, manifest: SuiteManifest) -> dict[str, Any]:
    """What a suite is, as plain data for `--json` and for pages."""
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
    """A name that is a folder's name on every system."""
    plain = name.strip().rstrip(".")
    if not _NAME.fullmatch(plain):
        raise UserError(
            f"{name[:60]!r} cannot be a suite's name. Use up to 60 letters, digits, spaces, dots, hyphens or brackets, "
            "and begin with a letter or a digit."
        )
    return plain
