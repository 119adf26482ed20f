"""What a campaign works on: its problems, divided into three disjoint parts, and hints that are there already.

It is read at the first launch and kept in the campaign's folder: a set, a run or a suite that changes afterwards
changes no campaign.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.redteam.campaign import (
    BUNDLED,
    FEWEST_PROBLEMS,
    FORMAT,
    RUN,
    SUITE,
    CampaignDir,
    CampaignPlan,
    WriterKind,
    WriterSpec,
    split_counts,
)
from seirenes_app.services.redteam.results import cluster_of
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.services.suites import problem_of_row
from seirenes_app.store.resources import recorded_run
from training.core.types import Hint, Problem, Split
from training.errors import UserError
from training.evaluation.suites.builder import choose_problems, distinct, families_problems
from training.evaluation.suites.io import read_suite
from training.evaluation.suites.sources import read_problems, read_run_hints
from training.resources import data_folder
from training.runs.files import decode_format, expanded, read_text, write_whole
from training.runs.paths import RunPaths

RECORDED = "recorded"
MAX_GIVEN = 400
"""Hints taken of an archive or a suite, the strongest first."""


@dataclass(frozen=True, slots=True)
class GivenHint:
    """A hint of an archive or a suite, with its own problem. `writer` is the `WriterSpec.key`."""

    writer: str
    problem: Problem
    hint: Hint


@dataclass(frozen=True, slots=True)
class Material:
    """`screen`, `confirm` and `minimise` have no problem in common, nor variants of one."""

    screen: tuple[Problem, ...]
    confirm: tuple[Problem, ...]
    minimise: tuple[Problem, ...]
    given: tuple[GivenHint, ...] = ()


def divide(problems: Sequence[Problem], plan: CampaignPlan) -> tuple[tuple[Problem, ...], ...]:
    """Screening, confirmation and minimal forms, drawn by the seed; variants of a problem stay together."""
    clusters: dict[str, list[Problem]] = {}
    for problem in problems:
        clusters.setdefault(cluster_of(problem), []).append(problem)
    order = list(clusters.values())
    random.Random(f"{plan.seed}:divide").shuffle(order)
    wanted = split_counts(plan, len(problems))
    parts: list[list[Problem]] = [[], [], []]
    for cluster in order:
        # Where most is missing, relatively, so that few clusters are divided well too.
        missing = [(1 - len(part) / n if n else -1.0) for part, n in zip(parts, wanted, strict=True)]
        parts[missing.index(max(missing))] += cluster
    return tuple(map(tuple, parts))


def prepare(plan: CampaignPlan) -> Material:
    """Read all that the plan names. A UserError for what is not there, or is too little."""
    given = [hint for writer in plan.writers for hint in _given(writer)][:MAX_GIVEN]
    given = [g for g in given if g.hint.type in plan.types]
    problems = distinct(_problems(plan))
    if len(problems) < FEWEST_PROBLEMS:
        raise UserError(
            f"{plan.problems.source} has {len(problems)} problems for this campaign; it needs at least "
            f"{FEWEST_PROBLEMS}. Choose another source."
        )
    screen, confirm, minimise = divide(problems, plan)
    return Material(screen, confirm, minimise, tuple(given))


def _problems(plan: CampaignPlan) -> list[Problem]:
    choice = plan.problems
    if choice.source in ("", BUNDLED):
        return families_problems(choice.count, plan.seed, Split.HELD_OUT, choice.families)
    if choice.source.startswith(SUITE):
        suite = read_suite(suite_folder(choice.source.removeprefix(SUITE))).suite
        found: Sequence[Problem] = [item.problem for item in suite.items]
    elif choice.source.startswith(RUN):
        found = [h.problem for h in read_run_hints(run_paths(choice.source.removeprefix(RUN)), problem_of_row).hints]
    else:
        found = read_problems(choice.source, data_folder() / "problem-sets").problems
    return choose_problems(distinct(found), choice.count, plan.seed)


def _given(writer: WriterSpec) -> list[GivenHint]:
    if writer.kind is WriterKind.SUITE:
        suite = read_suite(suite_folder(writer.argument)).suite
        return [GivenHint(writer.key, item.problem, hint) for item in suite.items for hint in item.hints]
    if writer.kind is WriterKind.ARCHIVE:
        hints = read_run_hints(run_paths(writer.argument), problem_of_row).hints
        if not hints:
            raise UserError(f"The run {writer.argument} has no valid hint. Choose another writer.")
        ordered = sorted(hints, key=lambda h: (-h.strength, h.step, h.problem.id, h.hint.text))
        return [GivenHint(writer.key, h.problem, h.hint) for h in ordered]
    return []


def suite_folder(name: str) -> Path:
    """The suite of that name, or in that folder. A UserError where there is none."""
    for folder in (suites_folder() / name, expanded(name)):
        if name and folder.is_dir():
            return folder
    raise UserError(f"No suite {name!r} in {suites_folder()}, and no folder of that name.")


def run_paths(name: str) -> RunPaths:
    """The run of that name, or the one that ships."""
    return RunPaths(recorded_run()) if name == RECORDED else RunRepository().find_named(name)


def kept_material(paths: CampaignDir, plan: CampaignPlan) -> Material:
    """The campaign's material: what was kept, else what `prepare` reads, which is kept then."""
    if not paths.material.is_file():
        write_whole(
            paths.material, json.dumps({"format": FORMAT, **asdict(prepare(plan))}, ensure_ascii=False) + "\n"
        )  # fmt: skip
    return decode_format(read_text(paths.material), Material, FORMAT, str(paths.material))
