"""The folder of an evaluation, which works like a run's: plan, events, commands, lock, log, and rows; and `suites/` for
hints that the evaluation has written itself. Everything but the plan and the commands is written by its process.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from training.core.question_parser import move_question
from training.core.types import Condition
from training.errors import UserError
from training.evaluation.plan import FROZEN, EvalPlan, SuiteRef, plan_from_json, plan_to_json
from training.evaluation.store import PromptText, StoredItem
from training.evaluation.suites.builder import SuiteItem, frozen_suite, frozen_suite_of
from training.evaluation.suites.io import MANIFEST, read_suite
from training.model_names import locate_model
from training.runs.files import check_database_path, explained, make_folder, open_regular, read_text, write_whole
from training.runs.paths import FileAt, RunPaths

PLAN = "plan.json"
_BLOCK, _BLOCKS = 64 * 1024, 64


@dataclass(frozen=True)
class EvalDir(RunPaths):
    """The files of one evaluation. It is a run's folder to everything that stops, tails, or moves one to the trash."""

    plan = FileAt(PLAN)
    config = FileAt(PLAN)
    rows = FileAt("rows.db")
    lock = FileAt("evaluation.lock")
    log = FileAt("evaluation.log")
    suites = FileAt("suites")


def new_evaluation(root: Path, plan: EvalPlan, name: str = "", *, folder: str = "") -> EvalDir:
    """Make an evaluation's folder under `root` with its plan; a name that is taken gets a suffix. With `folder` it has
    this name, and one without a plan that is there already is taken: what a crash left."""
    slug = re.sub(r"[^\w.-]+", "-", name or plan.title).strip("-.")[:60] or "evaluation"
    wanted = folder or f"{datetime.now():%Y%m%d-%H%M%S}-{slug}"
    check_database_path(EvalDir(root / wanted).rows)
    with explained("Making the evaluation's folder", root / wanted):
        root.mkdir(parents=True, exist_ok=True)
        paths = EvalDir(root / folder if folder else make_folder(root, wanted))
        paths.root.mkdir(exist_ok=True)
    write_whole(paths.plan, plan_to_json(plan))
    return paths


def read_plan(paths: EvalDir) -> EvalPlan:
    text = read_text(paths.plan, f"{paths.root} holds no evaluation: {PLAN} is missing.")
    return plan_from_json(text, str(paths.plan))


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
    there, manifest = len(saved.suite.items), saved.manifest
    if not there:
        raise UserError(f"The suite in {folder} is empty. Add problems to it first.")
    wanted = min(problems or there, there)
    return SuiteRef(name or manifest.name, str(folder), saved.suite.digest(), wanted, placement=manifest.placement)


def open_suite(paths: EvalDir, ref: SuiteRef) -> OpenSuite:
    """Read a plan's suite. A UserError where it is missing, damaged, or not the one that was planned."""
    refused: frozenset[tuple[str, str]] = frozenset()
    if ref.source.startswith(FROZEN):
        suite = frozen_suite_of(ref.problems, _seed_of_source(ref.source), [ref.digest])
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
    moved = move_question(item.problem.question)
    return StoredItem(
        item.problem,
        {
            Condition.CLEAN: (PromptText(-1, ""),), Condition.HINTED: hints, Condition.PLACEBO: placebos,
            Condition.NEEDED: (PromptText(-1, moved),) if moved else (),
        },
    )  # fmt: skip


def fingerprint(path: Path) -> str:
    """A model's proof, 16 hex digits: names and sizes of its files, and samples of their bytes. That of an adapter is
    followed by a plus sign and its base model's, where that is on this machine.

    At most 64 pieces of 64 KiB of each file are read, so that a large model costs milliseconds. A UserError for none.
    """
    if not path.exists():
        raise UserError(f"The model {path} is not there. Put it back, or start a new evaluation without it.")
    kinds = (".safetensors", ".json", ".jinja", ".model", ".txt")
    files = sorted(p for p in path.iterdir() if p.is_file() and p.suffix in kinds) if path.is_dir() else [path]
    digest = hashlib.sha256()
    try:
        for file in files:
            size = file.stat().st_size
            digest.update(json.dumps([file.name if path.is_dir() else "", size]).encode())
            with open_regular(file) as opened:
                for start in _sampled(size):
                    opened.seek(start)
                    digest.update(opened.read(_BLOCK))
    except OSError as error:
        raise UserError(f"The model {path} cannot be read ({error}). Put it back, or choose another.") from error
    own, base = digest.hexdigest()[:16], _base_of(path)
    return own if base is None else f"{own}+{fingerprint(base)}"


def is_same_model(one: str, other: str) -> bool:
    """Whether two fingerprints are of one model. Version 0.1 left out an adapter's base: then the adapter decides."""
    (own, _, base), (other_own, _, other_base) = one.partition("+"), other.partition("+")
    return own == other_own and (not base or not other_base or base == other_base)


def _base_of(folder: Path) -> Path | None:
    """The model that the adapter in a folder was trained on; None for no adapter, and for a base that is not here,
    which whoever opens the adapter reports."""
    try:
        config = json.loads(read_text(folder / "adapter_config.json"))
        base = locate_model(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UserError):
        return None
    return None if (base / "adapter_config.json").is_file() else base


def _sampled(size: int) -> list[int]:
    if size <= _BLOCK * _BLOCKS:
        return list(range(0, size, _BLOCK))
    return [(size - _BLOCK) * i // (_BLOCKS - 1) for i in range(_BLOCKS)]
