"""A run's own evaluations as cells: its row files read once, and kept as arrays in a cache beside the workspace.

A row file is read again only when its size or time changed. The cache is no record: one that is damaged, or cannot be
written, is passed over and costs time only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray

from training.core.types import Outcome
from training.evaluation.outcome_arrays import CONDITIONS, NO_TYPE, PACKED, TYPES, OutcomeArrays

_log = logging.getLogger(__name__)

VERSION = 1
WORTH_KEEPING = 8
"""Fewer checkpoints are read and computed as fast as a cache."""
_CONDITION_CODES = {str(c): i for i, c in enumerate(CONDITIONS)}
_TYPE_CODES = {"": NO_TYPE, **{str(t): i for i, t in enumerate(TYPES)}}


@dataclass(frozen=True, slots=True, eq=False)
class RowFile:
    """One evaluation's rows, `[C]` each: the problem counts in `ids`."""

    stamp: tuple[int, int]
    ids: tuple[str, ...]
    families: tuple[str, ...]
    condition: NDArray[np.int8]
    problem: NDArray[np.int32]
    data: NDArray[np.void]


def stamp_of(path: Path) -> tuple[int, int]:
    """What changes when a file does: time in nanoseconds and size; (0, 0) where there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def read_row_file(path: Path) -> RowFile:
    """The rows of one `step_*.jsonl`. A ValueError, KeyError or OSError for a file that is damaged."""
    stamp = stamp_of(path)
    numbers: dict[str, int] = {}
    families: list[str] = []
    cells, places = [], []
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if (problem := row["problem_id"]) not in numbers:
                numbers[problem] = len(numbers)
                families.append(str(row["family"]))
            places.append((_CONDITION_CODES[row["condition"]], numbers[problem]))
            cells.append(_cell(row, numbers[problem]))
    if not cells:
        raise ValueError("it holds no rows")
    codes = np.array(places, dtype=np.int32)
    order = np.argsort(codes[:, 0], kind="stable")
    packed = np.array(cells, dtype=PACKED)[order]
    return RowFile(stamp, tuple(numbers), tuple(families), codes[order, 0].astype(np.int8), codes[order, 1], packed)


def _cell(row: dict[str, Any], problem: int) -> tuple[Any, ...]:
    outcome, follows = Outcome(row["outcome"]), row["follows"]
    right = outcome is Outcome.RIGHT
    return (
        problem, int(row["index"]), _TYPE_CODES[row["hint_type"]], 1, right, outcome is Outcome.UNPARSABLE,
        outcome is Outcome.TIMED_OUT, bool(row["truncated"]), follows is not None, follows is True, right, right,
    )  # fmt: skip


# ---------------------------------------------------------------------- the cache


def cache_path(kind: str, root: Path, suffix: str) -> Path:
    """Where what was computed of a folder is kept: in the user's cache, or beside the workspace of SEIRENES_DATA."""
    name = hashlib.blake2b(str(root.resolve()).encode(), digest_size=12).hexdigest()
    own = os.environ.get("SEIRENES_DATA")
    cache = Path(own) / "cache" if own else Path(platformdirs.user_cache_dir("seirenes", appauthor=False))
    return cache / kind / f"{name}{suffix}"


def load_row_files(root: Path, files: dict[int, Path]) -> tuple[dict[int, RowFile], dict[int, str]]:
    """The rows by step, and by step why a file cannot be read. Files that are not there are in neither."""
    path_of_cache = cache_path("cells", root, ".npz")
    cached = _read_cache(path_of_cache)
    found: dict[int, RowFile] = {}
    broken: dict[int, str] = {}
    new = False
    for step, path in files.items():
        stamp = stamp_of(path)
        if stamp == (0, 0):
            continue
        known = cached.get(step)
        if known is not None and known.stamp == stamp:
            found[step] = known
            continue
        try:
            found[step], new = read_row_file(path), True
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            broken[step] = f"{path} cannot be read ({type(error).__name__}: {error})"
    if new and len(found) >= WORTH_KEEPING:
        _write_cache(path_of_cache, found)
    return found, broken


def _read_cache(path: Path) -> dict[int, RowFile]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            head = json.loads(bytes(stored["head"]))
            arrays = stored["condition"], stored["problem"], stored["data"].view(PACKED)
        if head["version"] != VERSION:
            return {}
        found, start = {}, 0
        for entry in head["files"]:
            part = np.s_[start : start + entry["cells"]]
            start += entry["cells"]
            ids, families = (tuple(names) for names in head["sets"][entry["set"]])
            found[int(entry["step"])] = RowFile(tuple(entry["stamp"]), ids, families, *(a[part] for a in arrays))
        return found if start == len(arrays[2]) else {}
    except FileNotFoundError:
        return {}
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a cache, the row files are there
        _log.info("the cache %s is not used: %s", path, error)
        return {}


def _write_cache(path: Path, files: dict[int, RowFile]) -> None:
    """Problem ids are the same at every step of a run: each set of them is kept once."""
    sets: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    entries = [
        {"step": step, "stamp": f.stamp, "cells": len(f.data), "set": sets.setdefault((f.ids, f.families), len(sets))}
        for step, f in files.items()
    ]
    head = json.dumps({"version": VERSION, "files": entries, "sets": list(sets)}).encode()
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            temporary,
            head=np.frombuffer(head, dtype=np.uint8),
            condition=np.concatenate([f.condition for f in files.values()]),
            problem=np.concatenate([f.problem for f in files.values()]),
            data=np.concatenate([f.data for f in files.values()]).view(np.uint8),
        )
        temporary.replace(path)
    except OSError as error:
        _log.info("the cache %s could not be written: %s", path, error)


# ---------------------------------------------------------------------- cells


def join_cells(files: dict[int, RowFile], suite: str) -> OutcomeArrays:
    """One target a step, called `target_name(step)`, all on `suite`."""
    numbers: dict[str, int] = {}
    families: list[str] = []
    maps: dict[int, NDArray[np.int32]] = {}
    for step, file in files.items():
        for id_, family in zip(file.ids, file.families, strict=True):
            if id_ not in numbers:
                numbers[id_] = len(numbers)
                families.append(family)
        maps[step] = np.array([numbers[i] for i in file.ids], dtype=np.int32)
    sizes = [len(f.data) for f in files.values()]
    none = np.zeros(0, dtype=np.int32)
    return OutcomeArrays(
        tuple(map(target_name, files)),
        (suite,),
        tuple(numbers),
        tuple(families),
        np.repeat(np.arange(len(files), dtype=np.int32), sizes),
        np.zeros(sum(sizes), dtype=np.int32),
        np.concatenate([none.astype(np.int8), *(f.condition for f in files.values())]),
        np.concatenate([none, *(maps[step][f.problem] for step, f in files.items())]),
        np.concatenate([np.zeros(0, dtype=PACKED), *(f.data for f in files.values())]),
    )


def target_name(step: int) -> str:
    """What a run's checkpoint is called in its own evaluations."""
    return f"step {step}"


def row_path(root: Path, step: int) -> Path:
    """The raw rows of a run's own evaluation at a step."""
    return root / "evaluations" / f"step_{step:06d}.jsonl"
