"""Hints that a run's archive begins with: a file of them, and putting them into a loop. No torch.

`curriculum.archive` names the file: JSON lines, each a training problem with a hint of it, as a red-team campaign
exports them. The hints are replayed like those that the run's own Adversary has written; their problems are met with
these hints alone and are not drawn clean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from training.core.archive import ArchivedHint, HintArchive
from training.core.gates import GateLimits, check_hint
from training.core.types import HintType, Problem
from training.errors import UserError
from training.runs.files import decode, read_text, write_whole


@dataclass(frozen=True, slots=True)
class SeedHint:
    """A hint for a training problem, with the success of the target under it, from 0 to 1."""

    problem: Problem
    type: HintType
    text: str
    success: float = 0.0


def write_archive(path: Path, hints: Iterable[SeedHint]) -> None:
    write_whole(path, "".join(json.dumps(asdict(hint), ensure_ascii=False) + "\n" for hint in hints))


def read_archive(path: Path) -> list[SeedHint]:
    """The hints of a file. A UserError names file and line of what cannot be read, and a file without any."""
    text = read_text(path, f"The archive of hints {path} is not there. Check curriculum.archive.")
    lines = text.split("\n")
    found = [decode(line, SeedHint, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise UserError(f"{path} holds no hint. Check curriculum.archive.")
    return found


def seed_archive(archive: HintArchive, hints: Iterable[SeedHint], limits: GateLimits, step: int) -> tuple[int, int]:
    """Add the hints that pass the gates. Returns how many were added, and refused."""
    added = refused = 0
    for hint in hints:
        if not check_hint(hint.text, hint.problem, limits).passed:
            refused += 1
            continue
        made = ArchivedHint(hint.problem.id, hint.type, hint.text, step, hint.problem.family)
        archive.add(made, success=hint.success, drop=max(0.0, 1.0 - hint.success))
        added += 1
    return added, refused
