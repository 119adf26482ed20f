"""A report as a value: what is known of runs and evaluations. HTML, JSON and terminal print this.

Every figure in it comes from `services.robustness`; nothing is computed here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from seirenes_app.services.report.caveats import caveats_of
from seirenes_app.services.report.flips import SelectedFlips, select_flips
from seirenes_app.services.robustness.checkpoint_figures import Headline, headline
from seirenes_app.services.robustness.comparison import compare_runs
from seirenes_app.services.robustness.panels import text_table
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.sources import Source
from seirenes_app.services.robustness.types import Comparison, MatrixPanel, Panel, Track, Value
from training.evaluation.plan import plan_to_json
from training.runs.config import to_toml

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TrackSection:
    """One track: its before and after, its panels, its flips."""

    track: Track
    headline: Headline | None
    panels: tuple[Panel, ...]
    flips: SelectedFlips


@dataclass(frozen=True, slots=True)
class SourceSection:
    """One run or evaluation. `configuration` is its TOML or its plan."""

    name: str
    facts: Facts
    machine: Facts
    versions: Facts
    configuration: str
    warnings: tuple[str, ...]
    tracks: tuple[TrackSection, ...]
    matrix: MatrixPanel | None


@dataclass(frozen=True, slots=True)
class Report:
    """The whole document."""

    title: str
    made: str
    program: str
    sources: tuple[SourceSection, ...]
    comparison: Comparison | None
    limits: tuple[str, ...]


def make_report(opened: Sequence[ResultSource]) -> Report:
    """The report of these, in their order. Several tracks that may be compared are."""
    runs = tracks_to_compare(opened)
    comparison = compare_runs(runs) if len(runs) > 1 else None
    return Report(
        " and ".join(r.source.name for r in opened),
        time.strftime("%Y-%m-%d %H:%M"),
        f"Seirênes {_program_version()}",
        tuple(_source(results) for results in opened),
        comparison,
        caveats_of(opened, comparison),
    )


def tracks_to_compare(opened: Sequence[ResultSource]) -> list[tuple[ResultSource, Track]]:
    """One track a run, in the order of the runs: on the suite that most of them have, where the run has it."""
    by_run: dict[str, list[tuple[ResultSource, Track]]] = {}
    for results in opened:
        for track in results.tracks:
            if track.by_step:
                by_run.setdefault(track.run, []).append((results, track))
    hashes = Counter(h for found in by_run.values() for h in {t.suite_hash for _, t in found})
    shared = max(hashes, key=lambda h: hashes[h], default="")
    chosen = [next((x for x in found if x[1].suite_hash == shared), found[0]) for found in by_run.values()]
    # The first one sets the suite.
    return sorted(chosen, key=lambda x: x[1].suite_hash != shared)


def report_of(roots: Sequence[Path]) -> Report:
    """Open these folders and report on them; a UserError where one has no figures yet."""
    return make_report([ResultSource(root) for root in roots])


def _program_version() -> str:
    try:
        return version("seirenes")
    except PackageNotFoundError:
        return "from a checkout"


def _source(results: ResultSource) -> SourceSection:
    source = results.source
    configuration = to_toml(source.config) if source.config else plan_to_json(source.plan) if source.plan else ""
    state = source.state or source.evaluation
    sections = tuple(
        TrackSection(t, headline(results, t), results.panels(t), select_flips(results, t)) for t in results.tracks
    )  # fmt: skip
    return SourceSection(
        source.name, _source_facts(source), _facts(state.machine if state else {}),
        _facts(state.versions if state else {}), configuration, results.warnings, sections, results.crossplay(),
    )  # fmt: skip


def _facts(found: Mapping[str, object]) -> Facts:
    return tuple((str(k), "none" if v is None else str(v)) for k, v in dict(found).items())


def _source_facts(source: Source) -> Facts:
    """What it is, on which suites (with their hashes), of which models (with their fingerprints)."""
    facts: list[tuple[str, str]] = [("folder", source.root.name)]
    state = source.state
    if state is not None:
        facts += [
            ("mode", state.mode), ("model", state.model), ("steps", f"{state.step} of {state.steps}"),
            ("status", f"{state.status}. {state.message}".rstrip(". ")),
        ]  # fmt: skip
    if source.config is not None:
        facts.append(("seed", str(source.config.data.seed)))
    suites = {t.suite: f"{t.suite_hash}, {t.problems:,} problems, {t.asking}" for t in source.tracks}
    facts += [(f"suite {name}", text) for name, text in suites.items()]
    facts += [(f"model {name}", f"fingerprint {print_}") for name, print_ in source.fingerprints.items() if print_]
    return tuple((k, v) for k, v in facts if v)


MOST_LINES = 21


@dataclass(frozen=True, slots=True)
class ThinnedTable:
    """A text table with evenly chosen lines. `left_out` says how many are missing, empty where none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    left_out: str = ""


def panel_table(panel: Panel, most: int = MOST_LINES) -> ThinnedTable:
    """The text table of a panel, at most `most` lines of it, the first and the last among them."""
    table = text_table(panel)
    there = len(table.rows)
    kept = range(there) if there <= most else sorted({round(i * (there - 1) / (most - 1)) for i in range(most)})
    left = there - len(kept)
    text = f"{left} of {there} lines are left out here; the JSON and CSV exports have them all." if left else ""
    return ThinnedTable(table.columns, tuple(table.rows[i] for i in kept), text)
