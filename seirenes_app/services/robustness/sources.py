"""Open a run or an evaluation: its tracks, the outcomes of each, and how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seirenes_app.services.robustness.run_evaluations import join_cells, load_row_files, row_path, stamp_of, target_name
from seirenes_app.services.robustness.types import Origin, Track
from training.errors import UserError
from training.evaluation.eval_dir import PLAN, EvalDir, read_plan
from training.evaluation.outcome_arrays import OutcomeArrays
from training.evaluation.plan import EvalPlan, SuiteRef, Target
from training.evaluation.status import EvalState
from training.evaluation.status import reduce as reduce_evaluation
from training.evaluation.store_reader import StoreReader
from training.runs.config import RunConfig, load_config
from training.runs.events import EventTail
from training.runs.paths import RunPaths
from training.runs.status import RunState, reduce


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One opened folder. `counts[track.key][target]` are totals of points whose rows are gone."""

    root: Path
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

    def track(self, key: str) -> Track:
        """The track of that key; a UserError where there is none."""
        found = next((t for t in self.tracks if t.key == key), None)
        if found is None:
            raise UserError(f"{self.name} has no track {key!r}. It has: {', '.join(t.key for t in self.tracks)}.")
        return found


def open_source(root: Path) -> Source:
    """A run's folder, or an evaluation's."""
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
        raise UserError(
            f"{paths.run_id} has no evaluation on its frozen suite yet. The first comes before step 1: wait for it, or "
            "start the run."
        )
    config, told = _config(paths)
    tracks, all_cells, counts, warnings = [], [], {}, list(told)
    files, broken = load_row_files(paths.root, {e.step: row_path(paths.root, e.step) for e in state.evals})
    warnings += [f"{text}. Its totals are shown instead." for text in broken.values()]
    name = run_name(paths, state)
    for suite, digest in dict.fromkeys((e.suite, e.suite_hash) for e in state.evals):
        points = sorted((e for e in state.evals if e.suite_hash == digest), key=lambda e: e.step)
        track = Track(
            f"{name} · {suite}", name, Origin.RUN, paths.root, name, suite, digest,
            int(_count(points[-1].metrics, "clean", "n")), tuple(target_name(e.step) for e in points),
            tuple(e.step for e in points), True, _run_asking(config),
        )  # fmt: skip
        tracks.append(track)
        there = {e.step: files[e.step] for e in points if e.step in files}
        all_cells.append(join_cells(there, suite))
        counts[track.key] = {target_name(e.step): e.metrics for e in points if e.step not in there}
    cells = all_cells[0] if len(all_cells) == 1 else _joined(all_cells)
    return Source(
        paths.root, Origin.RUN, name, tuple(tracks), cells, counts, tuple(warnings), state, config
    )  # fmt: skip


def read_run_state(paths: RunPaths) -> RunState:
    """The run's state from its events."""
    state = RunState()
    for event in EventTail(paths.events).poll():
        state = reduce(state, event)
    return state


def run_name(paths: RunPaths, state: RunState) -> str:
    """What a run is called: its id; its folder's name where no event tells."""
    return state.run_id or paths.run_id


def _config(paths: RunPaths) -> tuple[RunConfig | None, list[str]]:
    try:
        return load_config(paths.config), []
    except UserError as error:
        return None, [str(error)]


def _run_asking(config: RunConfig | None) -> str:
    tokens = f", at most {config.evaluation.max_new_tokens} tokens" if config else ""
    return f"greedy, 1 sample a prompt{tokens}"


def _count(metrics: Mapping[str, Any], *path: str) -> float:
    found: Any = metrics
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(found or 0)


def _joined(parts: list[OutcomeArrays]) -> OutcomeArrays:
    """Cells of several suites of one run, one after the other."""
    problems = tuple(dict.fromkeys(p for part in parts for p in part.problems))
    families = {p: f for part in parts for p, f in zip(part.problems, part.families, strict=True)}
    targets = tuple(t for part in parts for t in part.targets)
    places = {p: i for i, p in enumerate(problems)}
    starts = np.cumsum([0, *(len(part.targets) for part in parts)])
    return OutcomeArrays(
        targets,
        tuple(part.suites[0] for part in parts),
        problems,
        tuple(families[p] for p in problems),
        np.concatenate([part.target + start for part, start in zip(parts, starts, strict=False)]).astype(np.int32),
        np.concatenate([np.full(len(part), i, dtype=np.int32) for i, part in enumerate(parts)]),
        np.concatenate([part.condition for part in parts]),
        np.concatenate([np.array([places[p] for p in part.problems], dtype=np.int32)[part.problem] for part in parts]),
        np.concatenate([part.data for part in parts]),
    )


# ---------------------------------------------------------------------- an evaluation


def open_evaluation(paths: EvalDir) -> Source:
    """An evaluation as far as it is done; a UserError while it has no rows."""
    plan = read_plan(paths)
    with StoreReader(paths.rows) as reader:
        cells = reader.cells()
        models = (*plan.targets, *plan.writers)
        prints = {t.name: t.fingerprint or reader.meta(f"fingerprint/{t.name}") or "" for t in models}
        failed = {t.name: reader.meta(f"failed/{t.name}") for t in plan.targets}
    if not len(cells):
        raise UserError(f"{paths.run_id} has no rows yet. They come with its first chunk.")
    state = EvalState()
    for event in EventTail(paths.events).poll():
        state = reduce_evaluation(state, event)
    warnings = [f"{name} could not be evaluated: {text}" for name, text in failed.items() if text]
    if state.chunks and state.done_chunks < state.chunks:
        warnings.append(f"{state.done_chunks} of {state.chunks} chunks are done: figures are of those.")
    tracks = [
        _track(paths, plan, suite, run, targets)
        for suite in plan.suites
        if not suite.writer
        for run, targets in _groups(plan).items()
    ]
    title = plan.title or paths.run_id
    return Source(
        paths.root, Origin.EVALUATION, title, tuple(tracks), cells, {}, tuple(warnings), plan=plan, evaluation=state,
        fingerprints=prints,
    )  # fmt: skip


def _groups(plan: EvalPlan) -> dict[str, list[Target]]:
    """Checkpoints by run, in the order of their steps, then what has no step."""
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
        asking(plan),
    )  # fmt: skip


def asking(plan: EvalPlan) -> str:
    """How an evaluation asks, in words."""
    how = "greedy" if plan.temperature == 0 else f"temperature {plan.temperature:g}"
    plural = "" if plan.samples == 1 else "s"
    return f"{how}, {plan.samples} sample{plural} a prompt, at most {plan.max_tokens} tokens"


def folder_stamp(root: Path) -> tuple[Any, ...]:
    """What changes when the folder's figures do; cheap, for a timer."""
    names = ("events.jsonl", "rows.db", "rows.db-wal", PLAN, "config.json")
    return tuple(stamp_of(root / name) for name in names)
