"""Import of the evaluations of runs of version 0.1: `evaluations/step_NNNNNN.jsonl`, one JSON line a rollout.

The files stay as they are. Each is imported in one transaction with its size and time, so a file is read once, an
interrupted import goes on, and importing again changes nothing. Questions and gold answers were not in the files: they
are those of the frozen suite where it still has the run's digest, and empty where it does not.
"""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from training.core.answer_reader import read_answer
from training.core.prompts import PromptProfile
from training.core.types import AnswerKind, Condition, HintType, Outcome, Problem
from training.errors import UserError
from training.evaluation.eval_dir import EvalDir, stored_item
from training.evaluation.grader import MAX_STORED_ANSWER
from training.evaluation.plan import FROZEN, Chunk, EvalKey, SuiteRef
from training.evaluation.run_store import REPLACED, extend_plan, run_eval_dir, source_key, step_chunks
from training.evaluation.store import PromptText, StoredItem, StoredRow, StoreWriter
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.builder import Suite, frozen_suite
from training.prompt_files import COMPACT, built_in
from training.runs.config import load_config, profile_of
from training.runs.events import EventKind, EventTail
from training.runs.files import explained
from training.runs.lock import RunLock, holder
from training.runs.paths import RunPaths

LOCK_PATIENCE_S = 60.0
_FILE = re.compile(r"step_(\d{6,})\.jsonl")
_FROZEN_NAME = re.compile(r"frozen-(\d+)-(\d+)")
_MOST_PROBLEMS = 5000

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """The suite that an `eval` event names."""

    suite: str
    digest: str


def import_rows(run: RunPaths, into: EvalDir) -> dict[int, str]:
    """Import what is not imported yet. Returns, by step, why files cannot be read; a UserError if writing fails."""
    if not _waiting(run, into):
        return {}
    with explained("Making the folder", into.root):
        into.root.mkdir(parents=True, exist_ok=True)
    broken: dict[int, str] = {}
    with _only_one(into):
        evaluated, waiting = _evaluated(run), _waiting(run, into)
        # Steps without an `eval` event were never finished; the trainer evaluates them again.
        steps = sorted(waiting.keys() & evaluated.keys())
        for said in dict.fromkeys(evaluated[step] for step in steps):
            mine = [step for step in steps if evaluated[step] == said]
            broken |= _import_suite(run, into, said, {step: waiting[step] for step in mine})
    return broken


def needs_import(run: RunPaths, into: EvalDir) -> bool:
    """Whether `import_rows` would read a file."""
    return bool(_waiting(run, into))


def _import_suite(run: RunPaths, into: EvalDir, said: _Evaluated, files: Mapping[int, Path]) -> dict[int, str]:
    """The evaluations on one suite."""
    broken: dict[int, str] = {}
    store: StoreWriter | None = None
    try:
        for step, path in files.items():
            try:
                stamp, rows = _stamp(path), _read(path)
                if store is None:
                    items, ref = _suite_of(said, rows)
                    prompts, max_tokens = _settings(run)
                    plan, ref = extend_plan(into, run.run_id, list(files), ref, max_tokens=max_tokens, prompts=prompts)
                    store = StoreWriter(into.rows, plan)
                    store.add_suite(ref.name, ref.digest, ref.placement, items)
                parts = _parts(step, ref, items, rows)
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                broken[step] = f"{path} cannot be read ({type(error).__name__}: {error})"
                continue
            store.replace(parts, {source_key(step): stamp})
    finally:
        if store is not None:
            store.close()
    return broken


def _waiting(run: RunPaths, into: EvalDir) -> dict[int, Path]:
    """The files that are not imported as they are now."""
    files = dict(_row_files(run))
    kept = _kept(into, files)
    return {step: path for step, path in files.items() if kept.get(step) not in (_stamp(path), REPLACED)}


def _row_files(run: RunPaths) -> Iterator[tuple[int, Path]]:
    folder = run_eval_dir(run).root
    for path in folder.glob("step_*.jsonl") if folder.is_dir() else ():
        if found := _FILE.fullmatch(path.name):
            yield int(found[1]), path


def _stamp(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size}/{found.st_mtime_ns}"


def _kept(into: EvalDir, steps: Mapping[int, Path]) -> dict[int, str]:
    """The version of each file that was imported."""
    if not steps or not into.plan.is_file() or not into.rows.is_file():
        return {}
    try:
        with StoreReader(into.rows) as reader:
            return {step: value for step in steps if (value := reader.meta(source_key(step))) is not None}
    except UserError:
        # The writer says what is wrong with the file.
        return {}


@contextmanager
def _only_one(into: EvalDir) -> Iterator[None]:
    """One importing process at a time; another one waits."""
    lock, until = RunLock(into.lock), time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            lock.acquire()
            break
        except UserError:
            if holder(into.lock) is None or time.monotonic() > until:
                raise
            time.sleep(0.1)
    try:
        yield
    finally:
        lock.release()


def _evaluated(run: RunPaths) -> dict[int, _Evaluated]:
    return {
        int(e.data["step"]): _Evaluated(str(e.data.get("suite", "")), str(e.data.get("suite_hash", "")))
        for e in EventTail(run.events).poll()
        if e.kind == EventKind.EVAL and "step" in e.data
    }


def _settings(run: RunPaths) -> tuple[PromptProfile, int]:
    try:
        config = load_config(run.config)
    except UserError:
        return built_in(COMPACT), 128
    return profile_of(config), config.evaluation.max_new_tokens


# ---------------------------------------------------------------------- one file


def _read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    if not rows:
        raise ValueError("it holds no rows")
    return rows


@lru_cache(maxsize=4)
def _known_suite(name: str, digest: str) -> Suite | None:
    """The frozen suite of that name, if it still has that digest."""
    found = _FROZEN_NAME.fullmatch(name)
    if found is None or not 0 < int(found[2]) <= _MOST_PROBLEMS:
        return None
    suite = frozen_suite(int(found[2]), int(found[1]), version=1)
    return suite if suite.digest() == digest else None


def _suite_of(said: _Evaluated, rows: Sequence[Row]) -> tuple[tuple[StoredItem, ...], SuiteRef]:
    suite = _known_suite(said.suite, said.digest)
    items = tuple(map(stored_item, suite.items)) if suite is not None else _items_of(rows)
    frozen = _FROZEN_NAME.fullmatch(said.suite)
    source = f"{FROZEN}{frozen[1]}" if frozen else said.suite
    return items, SuiteRef(said.suite, source, said.digest, len(items))


def _items_of(rows: Sequence[Row]) -> tuple[StoredItem, ...]:
    """The items as far as rows have them: without questions, answers, and what the hints suggest."""
    texts: dict[str, dict[Condition, list[PromptText]]] = {}
    problems: dict[str, Problem] = {}
    for row in rows:
        id_ = str(row["problem_id"])
        problems.setdefault(id_, Problem(id_, str(row["family"]), "", "", AnswerKind.NUMBER, ""))
        there = texts.setdefault(id_, {condition: [] for condition in Condition})
        hint_type = HintType(row["hint_type"]) if row["hint_type"] else None
        there[Condition(row["condition"])].append(PromptText(int(row["index"]), str(row["hint"]), hint_type))
    return tuple(
        StoredItem(problems[id_], {condition: tuple(found) for condition, found in there.items()})
        for id_, there in texts.items()
    )


def _parts(
    step: int, ref: SuiteRef, items: Sequence[StoredItem], rows: Sequence[Row]
) -> list[tuple[Chunk, list[StoredRow], float]]:
    places = {item.problem.id: place for place, item in enumerate(items)}
    by_condition: defaultdict[Condition, list[StoredRow]] = defaultdict(list)
    chunks = step_chunks(step, ref)
    kinds = [item.problem.kind for item in items]
    for row in rows:
        condition = Condition(row["condition"])
        key = EvalKey(chunks[0].target, ref.name, condition, places[row["problem_id"]], int(row["index"]), 0)
        completion, follows = str(row["completion"]), row["follows"]
        by_condition[condition].append(
            StoredRow(
                key, Outcome(row["outcome"]), read_answer(completion, kinds[key.item]).answer[:MAX_STORED_ANSWER],
                None if follows is None else bool(follows), bool(row["truncated"]), 0, completion,
            )
        )  # fmt: skip
    return [(chunk, by_condition[chunk.condition], 0.0) for chunk in chunks if by_condition[chunk.condition]]
