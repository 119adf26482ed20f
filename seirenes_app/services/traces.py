"""A run's rollouts for the Traces page and `seirenes traces`: paired solutions, drafts for Craft, export to a file.

Exported columns are named as in TRL's completions tables (huggingface/trl, trl/trainer/grpo_trainer.py, `log`: step,
prompt, completion, one column per reward function, advantage); every other column of the rollout database follows under
its own name. No Qt, no SQL."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seirenes_app.services.attribution.alignment import Alignment, align
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, DraftProblem, Origin, new_draft, new_id
from seirenes_app.services.hint_authoring.problems import as_problem
from training.core.answers import parse_clock, parse_number
from training.core.implied_answer import read_suggestion
from training.core.problems import find_family
from training.core.prompts import Placement
from training.core.types import AnswerKind, HintType, Outcome, Stage
from training.errors import UserError
from training.rollouts.reader import Cancelled, Facets, Flip, RolloutReader, TracePair
from training.runs.config import load_config, profile_of
from training.runs.files import explained
from training.runs.paths import RunPaths

NOTEWORTHY = (Flip.HARMFUL, Flip.HELPFUL)  # The flips that the next and previous flip actions stop at


class TraceSource(RolloutReader):
    """Reader of one run's rollouts, checked on opening: a UserError says that there are none yet or what is wrong."""

    def __init__(self, paths: RunPaths) -> None:
        super().__init__(paths.rollouts)
        self.paths = paths
        try:
            self._version = self.version()
            self.first_facets: Facets = self.facets()
        except UserError:
            self.close()
            raise

    def has_grown(self) -> bool:
        """Whether rows came or went since the last call, or since opening. Cheap: for a timer."""
        before, self._version = self._version, self.version()
        return before != self._version

    def to_draft(self, row: dict[str, Any]) -> Draft:
        """A draft for Craft with the row's question, gold answer and, where it has one, its hint in its place."""
        run_id = self.paths.run_id
        problem = row_problem(row, run_id)
        draft = replace(new_draft(problem), title=f"{run_id}, step {row['step']}")
        if not row["hint"] or row["hint_type"] not in list(HintType):
            return draft
        type_, text = HintType(row["hint_type"]), row["hint"].strip()
        hint = DraftHint(new_id(), text, type_, Origin.RUN, run_id, _implied_answer(text, problem))
        placement = Placement(row["placement"]) if row.get("placement") in list(Placement) else Placement.APPEND
        return replace(draft, type=type_, placement=placement, hints=(hint,), chosen=hint.id)


Row = Mapping[str, Any]


def row_problem(row: Row, run_id: str) -> DraftProblem:
    return DraftProblem(
        question=row["question"], answer=row["gold"], kind=_answer_kind(row), source=run_id, id=row["problem_id"],
        family=row["family"],
    )  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """A rollout with its counterparts, one clean and one hinted solution of them chosen; -1 where there is none."""

    pair: TracePair
    clean_at: int
    hinted_at: int
    alignment: Alignment | None

    @property
    def clean(self) -> Row | None:
        return self.pair.clean[self.clean_at] if self.clean_at >= 0 else None

    @property
    def hinted(self) -> Row | None:
        return self.pair.siblings[self.hinted_at] if self.hinted_at >= 0 else None

    @property
    def asked(self) -> Row:
        rows = (*self.pair.clean, *self.pair.siblings, *filter(None, (self.pair.hint,)))
        return next(row for row in rows if row["id"] == self.pair.asked)

    @property
    def hint_row(self) -> Row | None:
        return self.pair.hint or self.hinted


def make_reading(pair: TracePair, clean_at: int | None = None, hinted_at: int | None = None) -> Reading:
    """Choose and align. By default the rollout itself, beside a clean solution that is right, or, where the hint
    helped, one that is not."""
    if clean_at is None:
        helped = pair.hinted is not None and pair.hinted["flip"] == Flip.HELPFUL
        asked = _place(pair.clean, lambda row: row["id"] == pair.asked)
        fitting = _place(pair.clean, lambda row: is_right(row) != helped)
        clean_at = next((at for at in (asked, fitting) if at >= 0), 0 if pair.clean else -1)
    if hinted_at is None:
        chosen = pair.hinted["id"] if pair.hinted else None
        hinted_at = _place(pair.siblings, lambda row: row["id"] == chosen)
    reading = Reading(pair, clean_at, hinted_at, None)
    if reading.clean is None or reading.hinted is None:
        return reading
    return replace(reading, alignment=align(reading.clean["completion"], reading.hinted["completion"]))


def is_right(row: Row) -> bool:
    return bool(row["outcome"] == Outcome.RIGHT)


def _place(rows: Sequence[Row], fits: Callable[[Row], bool]) -> int:
    return next((i for i, row in enumerate(rows) if fits(row)), -1)


def locate_hint(row: Row) -> tuple[str, tuple[int, int] | None]:
    """The question with the hint in it, and the hint's span; the question as it was asked where there is no hint.

    The hint is searched for: a run may place it anywhere, and the Adversary's own row holds the question alone.
    """
    question, hint = str(row["question"]), str(row["hint"] or "")
    if row["stage"] == Stage.NEEDED:
        return str(row["prompt"]), None
    if not hint:
        return question, None
    text = str(row["prompt"]) if row["stage"] == Stage.HINTED else ""
    if hint not in text:
        text = f"{question} {hint}"
    at = text.rfind(hint)
    return text, (at, at + len(hint))


def _implied_answer(hint: str, problem: DraftProblem) -> str | None:
    """The wrong answer that the hint suggests; None where it cannot be read."""
    try:
        return read_suggestion(hint, as_problem(problem))
    except UserError:
        # A problem that Craft cannot check is still shown there, with what is wrong with it.
        return None


def _answer_kind(row: Row) -> AnswerKind:
    """How the gold answer is compared. Rollouts do not store it: the family knows, else the form of the answer."""
    family, gold = find_family(row["family"]), row["gold"]
    if family is not None:
        return family.kind
    if parse_number(gold) is not None:
        return AnswerKind.NUMBER
    if parse_clock(gold) is not None:
        return AnswerKind.CLOCK
    return AnswerKind.CHOICE if gold.strip().casefold() in row["question"].casefold() else AnswerKind.SYMBOLIC


BATCH_ROWS = 2_000
TRL_COLUMNS: dict[str, type] = {"step": int, "prompt": str, "completion": str, "reward": float, "advantage": float}
OUR_COLUMNS: dict[str, type] = {
    "id": int, "stage": str, "role": str, "group_key": str, "problem_id": str, "family": str, "question": str,
    "gold": str, "hint_id": str, "hint_type": str, "hint": str, "outcome": str, "tokens": int, "truncated": bool,
    "gate": str, "gate_reason": str, "follows_hint": bool, "logprob_mean": float, "seed": int, "trained": bool,
    "archived": bool, "clean_accuracy": float, "flip": str, "tier": str, "reader": int,
    "placement": str, "prompts": str,
}  # fmt: skip
COLUMNS = TRL_COLUMNS | OUR_COLUMNS


def export_traces(
    source: RolloutReader,
    ids: Sequence[int],
    file: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> int:
    """Write the rows of `ids`, in their order, to FILE.jsonl or FILE.parquet (by its suffix); returns how many.

    The file appears whole or not at all: a cancelled export raises `Cancelled` and leaves nothing behind. `progress` is
    called with rows done and in all.
    """
    open_sink = SINKS.get(file.suffix.lower())
    if open_sink is None:
        raise UserError(f"{file.name!r} names no export format. End it in .jsonl or .parquet.")
    written, run = 0, {"prompts": _prompts_of(source.path)}
    with _replacing(file) as temporary, open_sink(temporary) as write:
        for start in range(0, len(ids), BATCH_ROWS):
            if cancelled():
                raise Cancelled
            rows = [_exported(row | run) for row in source.rows(ids[start : start + BATCH_ROWS])]
            write(rows)
            written += len(rows)
            progress(min(start + BATCH_ROWS, len(ids)), len(ids))
    return written


def _prompts_of(rollouts: Path) -> str | None:
    """The label of the prompt profile of a run, by its database; None where its configuration cannot be read."""
    try:
        return profile_of(load_config(RunPaths(rollouts.parent).config)).label
    except UserError:
        return None


def _exported(row: dict[str, Any]) -> dict[str, Any]:
    """The row under the exported columns, each of its type. JSON has no infinity, so neither format gets one."""
    values = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    return {name: None if values.get(name) is None else kind(values[name]) for name, kind in COLUMNS.items()}


@contextmanager
def _replacing(file: Path) -> Iterator[Path]:
    """A temporary path beside `file`, renamed to it on success and removed on failure."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with explained("Writing", file):
            yield temporary
            temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


Write = Callable[[list[dict[str, Any]]], object]


@contextmanager
def _open_jsonl(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda rows: file.writelines(json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in rows)


@contextmanager
def _open_parquet(path: Path) -> Iterator[Write]:
    import pyarrow
    from pyarrow import parquet

    kinds = {int: pyarrow.int64(), str: pyarrow.string(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield lambda rows: writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))


SINKS = {".jsonl": _open_jsonl, ".parquet": _open_parquet}  # What opens a file for writing, by its suffix
