"""Open a run (a track for each suite of its own evaluations) or an evaluation (a track for each run or group of models
on each suite). Suites with hints of one of its targets belong to cross-play."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from seirenes_app.services.answer_reading import describe_older
from seirenes_app.services.robustness.figures import number_at
from seirenes_app.services.robustness.types import Origin, Track
from seirenes_app.store.resources import recorded_run
from training.errors import NotReadyError, UserError
from training.evaluation.eval_dir import PLAN, EvalDir, read_plan
from training.evaluation.outcome_arrays import NO_CELLS, OutcomeArrays
from training.evaluation.plan import EvalPlan, SuiteRef, Target
from training.evaluation.run_store import run_eval_dir, target_name
from training.evaluation.status import EvalState
from training.evaluation.status import reduce as reduce_evaluation
from training.evaluation.store_reader import StoreReader
from training.evaluation.v01_rows import import_rows, needs_import
from training.runs.config import RunConfig, load_config, profile_of
from training.runs.events import EventTail
from training.runs.paths import RunPaths
from training.runs.status import RunState, reduce

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One opened folder. `store` has its rows; `counts[track.key][target]` are totals of points without rows here."""

    root: Path
    store: EvalDir
    origin: Origin
    name: str
    tracks: tuple[Track, ...]
    cells: OutcomeArrays
    counts: Mapping[str, Mapping[str, Mapping[str, Any]]]
    warnings: tuple[str, ...] = ()
    state: RunState | None = None
    config: RunConfig | None = None
    plan: EvalPlan | None = None
    evaluation: EvalState | None = None
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    readers: Mapping[int | None, int] = field(default_factory=dict)
    """Rows by the version of the answer reader that graded them; None: not recorded."""
    not_fetched: int = 0
    """Evaluations of a run on a cluster of which only the totals are here."""

    def track(self, key: str) -> Track:
        found = next((t for t in self.tracks if t.key == key), None)
        if found is None:
            raise UserError(f"{self.name} has no track {key!r}. It has: {', '.join(t.key for t in self.tracks)}.")
        return found


def open_source(root: Path) -> Source:
    root = root.expanduser()
    if (root / PLAN).is_file():
        return open_evaluation(EvalDir(root.resolve()))
    if (root / "events.jsonl").is_file() or (root / "config.json").is_file():
        return open_run(RunPaths(root.resolve()))
    raise UserError(f"{root} is neither a run nor an evaluation. Name a folder with events.jsonl or {PLAN}.")


# ---------------------------------------------------------------------- a run


def open_run(paths: RunPaths) -> Source:
    """A run's own evaluations. A UserError where it has none yet."""
    state = read_run_state(paths)
    if not state.evals:
        raise NotReadyError(
            f"{paths.run_id} has no evaluation on its frozen suite yet. The first comes before step 1: wait for it, or "
            "start the run."
        )
    config, notes = _config(paths)
    store, broken = open_run_store(paths)
    warnings = [*notes, *(f"{text}. Its totals are shown instead." for text in broken.values())]
    cells, names, readers = NO_CELLS, {}, {}
    if store.rows.is_file():
        names = {suite.digest: suite.name for suite in read_plan(store).suites}
        with StoreReader(store.rows) as reader:
            cells, readers = reader.cells(), reader.readers()
        # The recorded run is part of the program, and is shown as it was recorded.
        warnings += [text for text in [describe_older(readers)] if text and paths.root != recorded_run().resolve()]
    name = run_name(paths, state)
    tracks, counts = [], {}
    for suite, digest in dict.fromkeys((e.suite, e.suite_hash) for e in state.evals):
        points = sorted((e for e in state.evals if e.suite_hash == digest), key=lambda e: e.step)
        track = Track(
            f"{name} · {suite}", name, Origin.RUN, paths.root, name, names.get(digest, suite), digest,
            int(number_at(points[-1].metrics, "clean", "n") or 0), tuple(target_name(e.step) for e in points),
            tuple(e.step for e in points), True, _run_asking(config), _run_prompts(config, len(points)),
        )  # fmt: skip
        tracks.append(track)
        there = cells.where(suite=track.suite).present_targets()
        counts[track.key] = {t: e.metrics for e in points if (t := target_name(e.step)) not in there}
    return Source(
        paths.root, store, Origin.RUN, name, tuple(tracks), cells, counts, tuple(warnings), state, config,
        readers=readers, not_fetched=sum(map(len, counts.values())) if paths.cluster.is_file() else 0,
    )  # fmt: skip


def open_run_store(paths: RunPaths) -> tuple[EvalDir, dict[int, str]]:
    """A run's own evaluations, version 0.1's imported (into the cache where the run is read-only); errors by step."""
    own = run_eval_dir(paths)
    if os.access(own.root, os.W_OK):
        try:
            return own, import_rows(paths, own)
        except UserError as error:
            _log.warning("the evaluations of %s are imported into the cache: %s", paths.root, error)
    if not needs_import(paths, own):
        return own, {}
    cached = EvalDir(cache_path("evaluations", paths.root))
    return cached, import_rows(paths, cached)


def cache_path(kind: str, root: Path, suffix: str = "") -> Path:
    """Where what was derived from a folder is kept: in the user's cache, or beside the workspace of SEIRENES_DATA."""
    name = hashlib.blake2b(str(root.resolve()).encode(), digest_size=12).hexdigest()
    own = os.environ.get("SEIRENES_DATA")
    cache = Path(own) / "cache" if own else Path(platformdirs.user_cache_dir("seirenes", appauthor=False))
    return cache / kind / f"{name}{suffix}"


def read_run_state(paths: RunPaths) -> RunState:
    state = RunState()
    for event in EventTail(paths.events).poll():
        state = reduce(state, event)
    return state


def run_name(paths: RunPaths, state: RunState) -> str:
    """What a run is called: its id; its folder's name where no event has it."""
    return state.run_id or paths.run_id


def _config(paths: RunPaths) -> tuple[RunConfig | None, list[str]]:
    try:
        return load_config(paths.config), []
    except UserError as error:
        return None, [str(error)]


def _run_asking(config: RunConfig | None) -> str:
    tokens = f", at most {config.evaluation.max_new_tokens} tokens" if config else ""
    return f"greedy, 1 sample a prompt{tokens}"


def _run_prompts(config: RunConfig | None, points: int) -> tuple[str, ...]:
    if config is None:
        return ()
    try:
        return (profile_of(config).label,) * points
    except UserError:
        return ()


# ---------------------------------------------------------------------- an evaluation


def open_evaluation(paths: EvalDir) -> Source:
    """An evaluation as far as it is done; a UserError while it has no rows."""
    plan = read_plan(paths)
    with StoreReader(paths.rows) as reader:
        cells = reader.cells()
        models = (*plan.targets, *plan.writers)
        prints = {t.name: t.fingerprint or reader.meta(f"fingerprint/{t.name}") or "" for t in models}
        failed = {t.name: reader.meta(f"failed/{t.name}") for t in plan.targets}
        readers, remarks = reader.readers(), reader.notes(t.name for t in models)
    if not len(cells):
        raise NotReadyError(f"{paths.run_id} has no rows yet. They come with its first chunk.")
    state = EvalState()
    for event in EventTail(paths.events).poll():
        state = reduce_evaluation(state, event)
    warnings = [f"{name} could not be evaluated: {text}" for name, text in failed.items() if text]
    if state.chunks and state.done_chunks < state.chunks:
        warnings.append(f"{state.done_chunks} of {state.chunks} chunks are done: figures are of those.")
    warnings += [f"{name}: {text}" for name, notes in remarks.items() for text in notes]
    warnings += [text for text in [describe_older(readers)] if text]
    tracks = [
        _track(paths, plan, suite, run, targets)
        for suite in plan.suites
        if not suite.writer
        for run, targets in _groups(plan).items()
    ]
    title = plan.title or paths.run_id
    return Source(
        paths.root, paths, Origin.EVALUATION, title, tuple(tracks), cells, {}, tuple(warnings), plan=plan,
        evaluation=state, fingerprints=prints, readers=readers,
    )  # fmt: skip


def _groups(plan: EvalPlan) -> dict[str, list[Target]]:
    found: dict[str, list[Target]] = {}
    for target in plan.targets:
        found.setdefault(target.run if target.step is not None else "", []).append(target)
    return {run: sorted(ts, key=lambda t: t.step or 0) if run else ts for run, ts in found.items()}


def _track(paths: EvalDir, plan: EvalPlan, suite: SuiteRef, run: str, targets: list[Target]) -> Track:
    steps = tuple(t.step or 0 for t in targets)
    by_step = bool(run) and len(set(steps)) == len(steps)
    who = run or "models"
    return Track(
        f"{who} · {suite.name}", f"{who} on {suite.name}", Origin.EVALUATION, paths.root, run, suite.name, suite.digest,
        suite.problems, tuple(t.name for t in targets), steps if by_step else tuple(range(len(targets))), by_step,
        asking(plan), tuple(t.prompts.label for t in targets),
    )  # fmt: skip


def asking(plan: EvalPlan) -> str:
    how = "greedy" if plan.temperature == 0 else f"temperature {plan.temperature:g}"
    plural = "" if plan.samples == 1 else "s"
    alone = ", one prompt at a time" if plan.exact else ""
    return f"{how}, {plan.samples} sample{plural} a prompt, at most {plan.max_tokens} tokens{alone}"


def folder_stamp(root: Path) -> tuple[Any, ...]:
    """What changes when the folder's figures do; cheap, for a timer."""
    rows = ("rows.db", "rows.db-wal", "evaluations/rows.db", "evaluations/rows.db-wal")
    return tuple(_stamp_of(root / name) for name in ("events.jsonl", PLAN, "config.json", *rows))


def _stamp_of(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
