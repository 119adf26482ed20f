"""The folder of an evaluation, which works like a run's: plan, events, commands, lock, log, and the rows.

| file | written by |
|---|---|
| `plan.json` | whoever made it, once |
| `rows.db` | the evaluating process, one transaction a chunk |
| `events.jsonl`, `evaluation.log` | the evaluating process |
| `commands.jsonl` | the window and the command: stop, pause, resume |
| `suites/` | the evaluating process: hints that an evaluation has written itself |

It refuses a plan whose suites are not the ones that were planned, and models that are not there or have changed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from training.core.types import Condition
from training.errors import UserError
from training.evaluation.plan import FROZEN, EvalPlan, SuiteRef, plan_from_json, plan_to_json
from training.evaluation.store import PromptText, StoredItem
from training.evaluation.suites.builder import SuiteItem, frozen_suite
from training.evaluation.suites.io import MANIFEST, read_suite
from training.runs.files import explained, write_whole
from training.runs.paths import RunPaths

PLAN = "plan.json"
_BLOCK, _BLOCKS = 64 * 1024, 64


@dataclass(frozen=True)
class EvalDir(RunPaths):
    """The files of one evaluation. It is a run's folder to everything that stops, tails, or moves one to the trash."""

    @property
    def plan(self) -> Path:
        """What is done."""
        return self.root / PLAN

    @property
    def config(self) -> Path:
        """The plan is the configuration."""
        return self.plan

    @property
    def rows(self) -> Path:
        """The raw rows."""
        return self.root / "rows.db"

    @property
    def lock(self) -> Path:
        """Held by the process that evaluates."""
        return self.root / "evaluation.lock"

    @property
    def log(self) -> Path:
        """What the evaluating process says."""
        return self.root / "evaluation.log"

    @property
    def suites(self) -> Path:
        """Suites that this evaluation has written."""
        return self.root / "suites"


def new_evaluation(root: Path, plan: EvalPlan, name: str = "") -> EvalDir:
    """Make an evaluation's folder under `root` with its plan; a name that is taken gets a suffix."""
    slug = re.sub(r"[^\w.-]+", "-", name or plan.title).strip("-.")[:60] or "evaluation"
    wanted = f"{datetime.now():%Y%m%d-%H%M%S}-{slug}"
    with explained("Making the evaluation's folder", root / wanted):
        root.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            folder = root / (wanted if number == 1 else f"{wanted}-{number}")
            with suppress(FileExistsError):
                folder.mkdir()
                break
    paths = EvalDir(folder)
    write_whole(paths.plan, plan_to_json(plan))
    return paths


def read_plan(paths: EvalDir) -> EvalPlan:
    """The plan of a folder. A UserError where there is none, or it is damaged."""
    try:
        text = paths.plan.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{paths.root} holds no evaluation: {PLAN} is missing.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{paths.plan} cannot be read ({error}). Restore it from a copy.") from error
    return plan_from_json(text, str(paths.plan))


# ---------------------------------------------------------------------- suites


@dataclass(frozen=True, slots=True)
class OpenSuite:
    """A suite of a plan, read and checked: its first `SuiteRef.problems` items, as the store keeps them."""

    ref: SuiteRef
    digest: str
    items: tuple[StoredItem, ...]


def describe_suite(source: str | Path, problems: int = 0, *, name: str = "") -> SuiteRef:
    """The reference to a suite for a plan: 'frozen:SEED' with a number of problems, or a suite's folder (0: all)."""
    if str(source).startswith(FROZEN):
        if problems < 1:
            raise UserError("The frozen suite needs a number of problems, at least 1.")
        suite = frozen_suite(problems, _seed_of_source(str(source)))
        return SuiteRef(name or suite.name, str(source), suite.digest(), problems)
    folder = Path(source).expanduser().resolve()
    saved = read_suite(folder)
    there = len(saved.suite.items)
    if not there:
        raise UserError(f"The suite in {folder} is empty. Add problems to it first.")
    wanted = min(problems, there) if problems else there
    return SuiteRef(
        name or saved.manifest.name, str(folder), saved.suite.digest(), wanted, placement=saved.manifest.placement
    )


def open_suite(paths: EvalDir, ref: SuiteRef) -> OpenSuite:
    """Read a plan's suite. A UserError where it is missing, damaged, or not the one that was planned."""
    refused: frozenset[tuple[str, str]] = frozenset()
    if ref.source.startswith(FROZEN):
        suite = frozen_suite(ref.problems, _seed_of_source(ref.source))
    else:
        saved = read_suite(paths.root / ref.source)
        suite, refused = saved.suite, frozenset((bad.problem_id, bad.hint) for bad in saved.manifest.invalid)
    digest = suite.digest()
    if ref.digest and digest != ref.digest:
        raise UserError(
            f"The suite {ref.name!r} ({ref.source}) was changed since this evaluation was planned: its hash is "
            f"{digest}, and the plan says {ref.digest}. Restore the suite from a copy, or start a new evaluation of it."
        )
    if len(suite.items) < ref.problems:
        raise UserError(
            f"The suite {ref.name!r} ({ref.source}) has {len(suite.items)} problems, and the plan needs {ref.problems}."
        )
    return OpenSuite(ref, digest, tuple(stored_item(item, refused) for item in suite.items[: ref.problems]))


def is_written(paths: EvalDir, ref: SuiteRef) -> bool:
    """Whether a suite that this evaluation writes itself is there."""
    return (paths.root / ref.source / MANIFEST).is_file()


def _seed_of_source(source: str) -> int:
    seed = source.removeprefix(FROZEN)
    if not seed.lstrip("-").isdigit():
        raise UserError(f"{source!r} names no suite. Write {FROZEN}SEED, as in {FROZEN}2605, or a suite's folder.")
    return int(seed)


def stored_item(item: SuiteItem, refused: frozenset[tuple[str, str]] = frozenset()) -> StoredItem:
    """An item as the store keeps it. A hint that a gate refused is not asked, nor is its placebo, so that k agrees."""
    sound = [i for i, hint in enumerate(item.hints) if (item.problem.id, hint.text) not in refused]
    hints = tuple(
        PromptText(i, h.text, h.type, h.suggested, h.template) for i, h in enumerate(item.hints) if i in sound
    )
    extra = range(len(item.hints), len(item.placebos))
    placebos = tuple(PromptText(i, text) for i, text in enumerate(item.placebos) if i in sound or i in extra)
    return StoredItem(
        item.problem,
        {Condition.CLEAN: (PromptText(-1, ""),), Condition.HINTED: hints, Condition.PLACEBO: placebos},
    )


# ---------------------------------------------------------------------- models


def fingerprint(path: Path) -> str:
    """A model's proof, 16 hex digits: names and sizes of its files, and samples of their bytes.

    Of every file at most 64 pieces of 64 KiB are read, so that a large model costs milliseconds; another training of
    the same architecture changes all of its weights and is seen. A UserError where there is no model.
    """
    if not path.exists():
        raise UserError(f"The model {path} is not there. Put it back, or start a new evaluation without it.")
    files = sorted(p for p in path.iterdir() if _is_model_file(p)) if path.is_dir() else [path]
    digest = hashlib.sha256()
    try:
        for file in files:
            size = file.stat().st_size
            digest.update(json.dumps([file.name if path.is_dir() else "", size]).encode())
            with file.open("rb") as opened:
                for start in _sampled(size):
                    opened.seek(start)
                    digest.update(opened.read(_BLOCK))
    except OSError as error:
        raise UserError(f"The model {path} cannot be read ({error}). Put it back, or choose another.") from error
    return digest.hexdigest()[:16]


def _is_model_file(file: Path) -> bool:
    return file.is_file() and file.suffix in (".safetensors", ".json", ".jinja", ".model", ".txt")


def _sampled(size: int) -> list[int]:
    if size <= _BLOCK * _BLOCKS:
        return list(range(0, size, _BLOCK))
    return [(size - _BLOCK) * i // (_BLOCKS - 1) for i in range(_BLOCKS)]
