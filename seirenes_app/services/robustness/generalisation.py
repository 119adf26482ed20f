"""Whether what was learnt holds for templates and types that training never uses, by the templates that a suite names
for its hints and the types that the run's config names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seirenes_app.services.formatting import is_clear, percent_interval, points_interval, sentence
from seirenes_app.services.robustness.checkpoint_figures import filled, short_label, table_of
from seirenes_app.services.robustness.sources import Source
from seirenes_app.services.robustness.types import Basis, Chart, Curve, Panel, Point, Track, Unit
from seirenes_app.store.resources import recorded_run
from training.core.statistics import Interval, difference_limits
from training.core.types import Condition, Hint, HintType, Split
from training.errors import UserError
from training.evaluation.outcome_arrays import (
    CONDITIONS,
    TYPES,
    Floats,
    OutcomeArrays,
    by_problem,
    mean_interval,
    ratio,
    share_interval,
)
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.manifest import split_of_hint
from training.runs.config import Mode, RunConfig, load_config
from training.runs.paths import RunPaths, default_runs_root

Splits = Mapping[tuple[str, str, int], Split | None]
"""(suite, problem id, index of the hint) → the split of the form that wrote it; None: no form did."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Two groups of hints: what training uses (`seen`) and what it does not."""

    key: str
    seen: str
    unseen: str


TEMPLATES = Sides("templates", "training's forms", "held-out forms")
KINDS = Sides("types", "types in training", "types never in training")


def generalisation_panel(
    track: Track, cells: OutcomeArrays, splits: Splits, trained: Sequence[HintType] | None, x_label: str
) -> Panel:
    """`cells` of all suites of the source; `trained` None: not known which types training uses."""
    hinted = cells.take(cells.condition == CONDITIONS.index(Condition.HINTED))
    if not len(hinted):
        return _panel((), "There is nothing to show: no hints were asked.", x_label)
    groups = [(TEMPLATES, *_template_masks(hinted, splits))]
    if trained is not None:
        wanted = np.isin(hinted.data["hint_type"], [TYPES.index(t) for t in trained])
        groups.append((KINDS, wanted, ~wanted))
    all_seen = trained is not None and bool(groups[-1][1].all())
    curves: list[Curve] = []
    clauses: list[str] = []
    for sides, seen, unseen in groups:
        made, clause = _compare(track, hinted, sides, seen, unseen)
        # The same line twice tells nothing.
        curves += [] if sides is KINDS and all_seen else made
        clauses.append(clause)
    return _panel(filled(curves), sentence(*clauses), x_label)


def _panel(curves: tuple[Curve, ...], text: str, x_label: str) -> Panel:
    note = (
        "Generalisation gap = accuracy under hints like those of training − accuracy under hints that training never "
        "uses: paired by problem where both are there for the same problems."
    )
    return Panel(
        Chart.GENERALISATION, "Generalisation to unseen forms and types", Unit.SHARE,
        tuple(c for c in curves if not c.key.endswith(":gap")), text, note, table_of(curves, x_label), x_label,
    )  # fmt: skip


def _template_masks(hinted: OutcomeArrays, splits: Splits) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    most = int(hinted.data["index"].max(initial=0)) + 1
    codes = np.zeros((len(hinted.suites), len(hinted.problems), most), dtype=np.int8)
    suites = {name: i for i, name in enumerate(hinted.suites)}
    problems = {name: i for i, name in enumerate(hinted.problems)}
    for (suite, problem, index), split in splits.items():
        if split is not None and suite in suites and problem in problems and 0 <= index < most:
            codes[suites[suite], problems[problem], index] = 1 if split is Split.TRAIN else 2
    found = codes[hinted.suite, hinted.problem, np.maximum(hinted.data["index"], 0)]
    return found == 1, found == 2


def _compare(
    track: Track, hinted: OutcomeArrays, sides: Sides, seen: NDArray[np.bool_], unseen: NDArray[np.bool_]
) -> tuple[list[Curve], str]:
    lines: dict[str, list[Point]] = {"seen": [], "unseen": [], "gap": []}
    clause = ""
    places = _places(hinted)
    for x, target in zip(track.steps, track.targets, strict=True):
        mine = places.get(target)
        if mine is None:
            continue
        parts = [hinted.take(mine[side[mine]]) for side in (seen, unseen)]
        for name, part in zip(("seen", "unseen"), parts, strict=True):
            if len(part):
                lines[name].append(_accuracy(x, target, part))
        if all(len(part) and not part.mostly_unread for part in parts):
            lines["gap"].append(_gap(x, target, *parts))
            clause = _clause(sides, short_label(track, x, target), lines, paired=_paired(*parts) is not None)
    names = {"seen": sides.seen, "unseen": sides.unseen, "gap": f"{sides.seen} − {sides.unseen}"}
    curves = [Curve(f"{sides.key}:{k}", names[k], tuple(v), k == "seen") for k, v in lines.items()]
    if lines["seen"] and lines["unseen"] and not clause:
        clause = f"under {sides.seen} and {sides.unseen} most answers could not be graded, so no gap is shown"
    return curves, clause or _one_sided(sides, lines)


def _places(cells: OutcomeArrays) -> dict[str, NDArray[np.intp]]:
    order = np.argsort(cells.target, kind="stable")
    found, starts = np.unique(cells.target[order], return_index=True)
    return {
        cells.targets[t]: part for t, part in zip(found.tolist(), np.split(order, starts[1:].tolist()), strict=True)
    }  # fmt: skip


def _sums(part: OutcomeArrays) -> tuple[Floats, Floats]:
    right, samples = (by_problem(part, part.data[name]) for name in ("right", "samples"))
    return right, samples


def _accuracy(x: int, target: str, part: OutcomeArrays) -> Point:
    right, samples = _sums(part)
    interval, _ = share_interval(right, samples)
    problems, rows = int(np.count_nonzero(samples)), int(samples.sum())
    return Point(x, target, interval, problems, rows, Basis.ROWS, unread=part.unread_shares)


def _gap(x: int, target: str, seen: OutcomeArrays, unseen: OutcomeArrays) -> Point:
    """Seen − unseen: paired where any problem has both, else of two unrelated groups."""
    differences = _paired(seen, unseen)
    if differences is not None:
        value = mean_interval(differences, np.ones(len(differences)))
        return Point(x, target, value, len(differences), len(seen) + len(unseen), Basis.ROWS)
    first, second = (_accuracy(x, target, part) for part in (seen, unseen))
    value = difference_limits(first.value, second.value)
    return Point(x, target, value, first.problems + second.problems, len(seen) + len(unseen), Basis.ROWS)


def _paired(seen: OutcomeArrays, unseen: OutcomeArrays) -> Floats | None:
    """Each problem's difference; None where too few have both."""
    rates = [ratio(*_sums(part)) for part in (seen, unseen)]
    both = np.isfinite(rates[0]) & np.isfinite(rates[1])
    if both.sum() < max(2, np.isfinite(rates[1]).sum() // 2):
        return None
    differences: Floats = (rates[0] - rates[1])[both]
    return differences


def _clause(sides: Sides, target: str, lines: Mapping[str, Sequence[Point]], *, paired: bool) -> str:
    seen, unseen, gap = (lines[k][-1].value for k in ("seen", "unseen", "gap"))
    text = (
        f"at {target} {percent_interval(seen)} are right under {sides.seen} and {percent_interval(unseen)} under "
        f"{sides.unseen}"
    )
    claim = "" if is_clear(gap) else ", no gap that the evidence could show"
    beside = "" if paired else " (of different problems: their difficulty is part of it)"
    return f"{text}: a gap of {points_interval(gap)}{beside}{claim}"


def _one_sided(sides: Sides, lines: Mapping[str, Sequence[Point]]) -> str:
    if sides is KINDS:
        there = "training uses all types of the suite" if lines["seen"] else ""
        return f"{there}, so there is no unseen type to compare with" if there else ""
    if lines["unseen"]:
        last: Interval = lines["unseen"][-1].value
        return (
            f"all hints whose form is known are of held-out forms ({percent_interval(last)} right at the end): "
            "evaluate a suite of the same problems with training's forms beside it to see a generalisation gap"
        )
    if lines["seen"]:
        return (
            "all hints whose form is known are of training's own forms: evaluate a held-out suite beside it to "
            "see a generalisation gap"
        )
    return "this program wrote none of these hints, so nothing says which of them training knows"


def hint_splits(source: Source) -> Splits:
    found = {}
    names = {track.suite for track in source.tracks}
    problems = source.cells.problems
    if not source.store.rows.is_file():
        return {}
    with StoreReader(source.store.rows) as reader:
        for suite in names:
            part = source.cells.where(suite=suite)
            places = dict(zip(part.data["item"].tolist(), part.problem.tolist(), strict=True))
            for item, problem in places.items():
                for text in reader.prompts(suite, item, Condition.HINTED):
                    if text.hint_type is not None:
                        hint = Hint(text.hint_type, text.text, template=text.author)
                        found[suite, problems[problem], text.index] = split_of_hint(hint)
    return found


def trained_types(source: Source, run: str) -> tuple[HintType, ...] | None:
    """The types that the run's Adversary trains with; None where that is not known."""
    config = source.config or config_of(run)
    if config is None or config.mode is Mode.CLEAN_RL:
        return None
    named = config.adversary.types
    if named.strip() == "all":
        return tuple(HintType)
    wanted = {name.strip() for name in named.split(",")}
    return tuple(t for t in HintType if t in wanted)


def mode_of(source: Source, run: str) -> str:
    """How the run was trained; empty where that is not known."""
    if source.state is not None:
        return source.state.mode
    config = config_of(run)
    return "" if config is None else str(config.mode)


def config_of(run: str) -> RunConfig | None:
    """The configuration of the run of that id on this machine; None where it is not there or cannot be read."""
    if not run:
        return None
    recorded = recorded_run()
    places = [default_runs_root() / run, *([recorded] if recorded.name == run else [])]
    path = next((p.config for p in map(RunPaths, places) if p.config.is_file()), None)
    if path is None:
        return None
    try:
        return load_config(path)
    except UserError:
        # Opening that run shows what is wrong with it.
        return None
