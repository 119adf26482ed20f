"""Figures that were computed before, by the content of their cells, so that a known run opens at once.

No record: a cache that is damaged, of another version, or cannot be written costs time only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from seirenes_app.lab.robustness.figures import Figure, Figures, block_figures
from seirenes_app.lab.robustness.run_cells import WORTH_KEEPING, cache_path
from training.core.statistics import Interval
from training.evaluation.blocks import Block

_log = logging.getLogger(__name__)

VERSION = 1
MOST = 4000
"""Entries kept a folder: an evaluation that grows leaves figures of its past behind."""


def figures_of(root: Path, blocks: Iterable[Block], *, exact: bool) -> dict[str, Figures]:
    """Target → its figures (`exact`: see `block_figures`). Only what is not known yet is computed."""
    path = cache_path("figures", root, ".json")
    known, found, new = _read(path), {}, False
    for block in blocks:
        key = _digest(block) + ("e" if exact else "c")
        if key not in known:
            known[key], new = block_figures(block, exact=exact), True
        known[key] = found[block.target] = known.pop(key)
    if new and len(found) >= WORTH_KEEPING:
        _write(path, dict(list(known.items())[-MOST:]))
    return found


def _digest(block: Block) -> str:
    """What the figures depend on: the counts, conditions, problems and clean accuracies."""
    digest = hashlib.blake2b(digest_size=12)
    cells = block.cells
    for array in (cells.data, cells.condition, cells.problem, block.clean):
        digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(b"|")
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Figures]:
    try:
        stored = json.loads(path.read_bytes())
        if stored["version"] != VERSION:
            return {}
        return {key: _figures(entry) for key, entry in stored["figures"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _log.info("the cache %s is not used: %s", path, error)
        return {}


def _figures(entry: dict[str, list[float]]) -> Figures:
    return {
        name: Figure(Interval(mean, low, high), int(problems), int(rows), p_value)
        for name, (mean, low, high, problems, rows, p_value) in entry.items()
    }


def _write(path: Path, known: dict[str, Figures]) -> None:
    entries = {
        key: {
            name: [f.value.mean, f.value.low, f.value.high, f.problems, f.rows, f.p_value]
            for name, f in figures.items()
        }
        for key, figures in known.items()
    }
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"version": VERSION, "figures": entries}), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        _log.info("the cache %s could not be written: %s", path, error)
