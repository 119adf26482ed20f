"""A report as a value: what is known of runs and evaluations, the limits of that evidence, and selected flips. Every
figure in it comes from `services.robustness`; HTML, JSON and terminal print it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from seirenes_app.services.answer_reading import describe_unread, unread_remedies
from seirenes_app.services.audit import audit_of, describe_deciders
from seirenes_app.services.formatting import (
    count_of,
    describe_prompts,
    p_value,
    percent,
    percent_interval,
    points,
    points_interval,
)
from seirenes_app.services.hint_figures import HintAnalysis, analyse_hints
from seirenes_app.services.judging import describe_judge
from seirenes_app.services.redteam.campaign import CampaignDir
from seirenes_app.services.redteam.results import CampaignResult, Weakness, read_result
from seirenes_app.services.robustness.checkpoint_figures import Headline, Measured, headline
from seirenes_app.services.robustness.comparison import compare_runs
from seirenes_app.services.robustness.panels import text_table
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.sources import Source
from seirenes_app.services.robustness.transfer import Transfer, is_between_models, transfers
from seirenes_app.services.robustness.types import (
    Basis,
    Chart,
    Comparison,
    DataTable,
    MatrixPanel,
    Panel,
    Trace,
    TraceRef,
    Track,
    Value,
)
from seirenes_app.services.run_health import alarm_title
from seirenes_app.services.run_summary import describe_models
from seirenes_app.services.run_time import describe_time
from seirenes_app.services.study.definition import STUDY, StudyDir
from seirenes_app.services.study.results import Basis as StudyBasis
from seirenes_app.services.study.results import (
    StudyResults,
    conclusions,
    differences_table,
    gates_sentence,
    goal_sentence,
    lengths_table,
    main_table,
    read_results,
    seeds_table,
    unread_sentence,
)
from training.core.statistics import expected_half_width
from training.core.types import Condition, Outcome
from training.errors import NotReadyError, UserError
from training.evaluation.plan import USUAL_HINTS, plan_to_json
from training.rollouts.reader import NoRollouts
from training.runs.config import to_toml
from training.runs.paths import RunPaths, not_fetched

MANY_FIGURES = (
    "Intervals are for one figure at a time. Many figures are shown, so some of their 95% intervals miss the truth by "
    "luck alone; only the comparison of runs is adjusted for their number."
)


def caveats_of(opened: Sequence[ResultSource], comparison: Comparison | None) -> tuple[str, ...]:
    found = [_of_seeds(opened, comparison), _of_machine(opened)]
    for results in opened:
        for track in results.tracks:
            found += _of_track(results, track)
        found.append(_of_crossplay(results))
    return tuple(dict.fromkeys(text for text in (*found, MANY_FIGURES) if text))


def _of_seeds(opened: Sequence[ResultSource], comparison: Comparison | None) -> str:
    sources = [results.source for results in opened]
    runs = {track.run for results in opened for track in results.tracks}
    runs |= {target.run or "" for s in sources if s.plan is not None for target in s.plan.targets}
    if len(runs - {""}) == 1:
        seeds = [s.config.data.seed for s in sources if s.config]
        seed = f" (seed {seeds[0]})" if seeds else ""
        return (
            f"One run with one seed{seed}. Whether another seed would end as well is not known, and without a baseline "
            "run beside it nothing separates self-play from training as such."
        )
    modes = [s.state.mode for s in sources if s.state is not None]
    single = sorted({m for m in modes if modes.count(m) == 1})
    if single and comparison is not None and len(comparison.runs) > 1:
        return (
            f"One run each of: {', '.join(single)}. A difference between them says which run is better, not which way "
            "of training is: that takes several seeds of each."
        )
    return ""


def _of_machine(opened: Sequence[ResultSource]) -> str:
    states = [results.source.state or results.source.evaluation for results in opened]
    machines = {
        tuple(sorted((str(k), str(v)) for k, v in dict(s.machine).items()))
        for s in states
        if s is not None and s.machine
    }
    one = len(machines) == 1
    return "All was run on one machine; another one's arithmetic may sample other answers." if one else ""


def _of_crossplay(results: ResultSource) -> str:
    plan = results.source.plan
    if results.crossplay() is None or plan is None or plan.writing is None:
        return ""
    return (
        f"Cross-play: each writer's hints are one draw, the first of {plan.writing.attempts} attempts that passed the "
        "gates; another draw would give other hints, and the intervals, which are over problems, do not count that."
    )


def _of_track(results: ResultSource, track: Track) -> Iterator[str]:
    measured = results.measured(track)
    last = measured[-1].figures
    if hinted := last.get("hinted"):
        half = (hinted.value.high - hinted.value.low) / 2
        worst = expected_half_width(track.problems, USUAL_HINTS)
        yield (
            f"{track.suite} has {track.problems:,} problems: a single hinted accuracy on it is known to "
            f"±{points(worst)} points near 50%, and to ±{points(half)} near the {percent(hinted.value.mean)} measured "
            "last, however many hints a problem has. Its problems stand for problems of their own families, not for "
            "mathematics at large."
        )
    yield results.panel(track, Chart.GENERALISATION).sentence
    if gone := sum(m.basis is Basis.COUNTS for m in measured):
        yield (
            f"{track.title}: of {gone} of {len(measured)} checkpoints only the totals are here. Their intervals count "
            "each problem once, and what they have no totals of is not shown."
        )
        if results.source.not_fetched:
            yield not_fetched(RunPaths(results.source.root), "evaluations")
    if "placebo" not in last:
        yield f"{track.title}: no placebos were asked, so harm by hints cannot be separated from harm by any text."
    if "needed" not in last:
        yield (
            f"{track.title}: needed text was not asked, so a gain under hints cannot be distinguished from ignoring "
            "whatever follows the question."
        )
    cells = results.cells(track, measured[-1].target)
    if not len(cells):
        return
    if int(cells.data["samples"].max()) <= 1:
        yield (
            f"Asked {track.asking}: how an answer varies from sample to sample was not measured, and there are no "
            "clean resamples beside worst-of-k."
        )
    if unread := describe_unread(cells.unread_shares):
        total = int(cells.data["samples"].sum())
        yield (
            f"{track.title}: of {total:,} answers at the end {unread}. They are neither right nor wrong, and each "
            "lowers the share of right answers."
        )
        yield from unread_remedies(cells.unread_shares)


FLIPS = 10
GRADED = {Outcome.RIGHT, Outcome.WRONG}
"""An unreadable or truncated answer is no flip: nothing is known of what it would have been."""
_MOST_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class FlipPair:
    """Two answers. `kind`: 'won' (wrong, then right), 'lost', or 'harmful' (right without the hint, wrong with it)."""

    kind: str
    left_title: str
    right_title: str
    left: Trace
    right: Trace


@dataclass(frozen=True, slots=True)
class SelectedFlips:
    """The pairs that are shown, and how many there were of each kind."""

    pairs: tuple[FlipPair, ...]
    counts: tuple[tuple[str, int], ...]
    sentence: str


def select_flips(results: ResultSource, track: Track, count: int = FLIPS) -> SelectedFlips:
    """Between the first and the last checkpoint that have rows; on one alone between clean and hinted."""
    there = [m for m in results.measured(track) if m.basis is Basis.ROWS]
    if not there:
        return SelectedFlips((), (), "The rows of all checkpoints are gone, so there are no answers to show.")
    if len(there) > 1 and track.by_step:
        return _over_time(results, track, there[0], there[-1], count)
    return _by_hints(results, track, there[-1].target, count)


def _over_time(results: ResultSource, track: Track, one: Measured, other: Measured, count: int) -> SelectedFlips:
    before, after = one.label, other.label
    first, last = (_hinted(results, track, m.target) for m in (one, other))
    pairs: dict[str, list[FlipPair]] = {"won": [], "lost": []}
    for key, left in first.items():
        right = last.get(key)
        if right is None or left.outcome is right.outcome or not {left.outcome, right.outcome} <= GRADED:
            continue
        kind = "won" if right.outcome is Outcome.RIGHT else "lost"
        pairs[kind].append(FlipPair(kind, before, after, left, right))
    won, lost = len(pairs["won"]), len(pairs["lost"])
    some = _share(lost, won + lost, count)
    shown = (*_choose(pairs["won"], count - some), *_choose(pairs["lost"], some))
    text = (
        f"From {before} to {after}, {won:,} of {len(first):,} hinted answers turned from wrong to right and {lost:,} "
        f"from right to wrong; the {len(shown)} below are in about that proportion."
    )
    return SelectedFlips(shown, (("won", won), ("lost", lost)), text)


def _by_hints(results: ResultSource, track: Track, target: str, count: int) -> SelectedFlips:
    clean = {t.problem_id: t for t in _traces(results, track, target, Condition.CLEAN)}
    pairs = [
        FlipPair("harmful", "without the hint", "with the hint", clean[t.problem_id], t)
        for t in _hinted(results, track, target).values()
        if t.outcome is Outcome.WRONG
        and t.problem_id in clean
        and clean[t.problem_id].outcome is Outcome.RIGHT
    ]  # fmt: skip
    shown = tuple(_choose(pairs, count))
    text = f"At {target}, {len(pairs):,} answers are right without the hint and wrong with it; {len(shown)} are below."
    return SelectedFlips(shown, (("harmful", len(pairs)),), text)


def _hinted(results: ResultSource, track: Track, target: str) -> dict[tuple[str, int], Trace]:
    found: dict[tuple[str, int], Trace] = {}
    for trace in _traces(results, track, target, Condition.HINTED):
        found.setdefault((trace.problem_id, trace.index), trace)
    return found


def _traces(results: ResultSource, track: Track, target: str, condition: Condition) -> list[Trace]:
    return results.traces(TraceRef(track.root, target, track.suite, condition), _MOST_ROWS)


def _share(part: int, whole: int, count: int) -> int:
    """How many of `count`; at least one of what there is any of."""
    if not part or not whole:
        return 0
    return min(part, max(1, round(count * part / whole)))


def _choose(pairs: Sequence[FlipPair], count: int) -> list[FlipPair]:
    """Types in turn, each in the order of `_rank`."""
    by_type: dict[str, list[FlipPair]] = {}
    for pair in sorted(pairs, key=_rank):
        by_type.setdefault(pair.right.hint_type, []).append(pair)
    queues = [by_type[t] for t in sorted(by_type)]
    chosen: list[FlipPair] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return chosen


def _rank(pair: FlipPair) -> tuple[bool, int, str, int]:
    wrong = pair.left if pair.kind == "won" else pair.right
    return not wrong.follows, len(pair.left.completion) + len(pair.right.completion), wrong.problem_id, wrong.index


Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TrackSection:
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
    hints: HintAnalysis | None = None
    """What the Adversary of a run learned; None for evaluations, and for runs without hints."""
    transfers: tuple[Transfer, ...] = ()
    """What the hints do to several models, of each suite."""


@dataclass(frozen=True, slots=True)
class StudySection:
    """One study: what was shown and what was not, then its figures."""

    results: StudyResults
    sentences: tuple[str, ...]
    goals: tuple[str, ...]
    tables: tuple[tuple[str, DataTable], ...]


@dataclass(frozen=True, slots=True)
class CampaignSection:
    """One campaign of the red team: what it found, its tables, and the weaknesses with examples."""

    result: CampaignResult
    facts: Facts
    sentences: tuple[str, ...]
    tables: tuple[tuple[str, DataTable], ...]


@dataclass(frozen=True, slots=True)
class Report:
    title: str
    made: str
    program: str
    sources: tuple[SourceSection, ...]
    comparison: Comparison | None
    limits: tuple[str, ...]
    studies: tuple[StudySection, ...] = ()
    campaigns: tuple[CampaignSection, ...] = ()


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
    """Open these folders of runs, evaluations, studies and campaigns and report on them; a UserError where one has no
    figures yet."""
    studies = [StudyDir(root) for root in roots if (root / STUDY).is_file()]
    campaigns = [CampaignDir(root) for root in roots if is_campaign(root)]
    beside = {paths.root for paths in (*studies, *campaigns)}
    found = make_report([ResultSource(root) for root in roots if root not in beside])
    if not beside:
        return found
    sections = tuple(map(_campaign, campaigns))
    names = [
        *(section.result.title for section in sections), *(paths.run_id for paths in studies),
        *(s.name for s in found.sources),
    ]  # fmt: skip
    limits = (*(STUDY_LIMITS if studies else ()), *(text for s in sections for text in s.result.limits))
    # What is said of many figures is of those of runs and evaluations.
    return replace(
        found, title=" and ".join(names), studies=tuple(map(_study, studies)), campaigns=sections,
        limits=(*dict.fromkeys(limits), *(found.limits if found.sources or studies else ())),
    )  # fmt: skip


STUDY_LIMITS = (
    "A study's intervals are over its seeds and its held-out problems, not over other data, models or settings.",
    "A best response is the best that one new Adversary found with its budget: a stronger one may find more.",
    "The pool favours the variants that train an Adversary; the best response does not.",
)


def _study(paths: StudyDir) -> StudySection:
    results = read_results(paths)
    if not results.figures[StudyBasis.ROLLOUTS]:
        raise NotReadyError(f"The study {paths.run_id} has no figures yet. They come when its runs are measured.")
    tables = [
        table
        for basis in StudyBasis
        if results.figures[basis]
        for table in (
            (f"Share right with its 95% interval, at equal {basis}", main_table(results, basis)),
            (f"Every seed, at equal {basis}", seeds_table(results, basis)),
            (f"Paired differences in points, at equal {basis}", differences_table(results, basis)),
        )
    ]
    if results.earlier:
        tables.append(("Share right with its 95% interval, by rollouts a run", lengths_table(results)))
    said = tuple(filter(None, (*conclusions(results), gates_sentence(results), unread_sentence(results))))
    return StudySection(results, said, tuple(f"Goal: {goal_sentence(g)}" for g in results.goals), tuple(tables))


def is_campaign(root: Path) -> bool:
    """Whether a folder is a campaign's that was launched: an evaluation has a plan of the same name."""
    paths = CampaignDir(root)
    return paths.problems.is_file() or paths.result.is_file()


def _campaign(paths: CampaignDir) -> CampaignSection:
    result = read_result(paths)
    spent = [count_of(result.spent.requests, "request"), f"{result.spent.tokens:,} tokens"]
    if result.spent.cost is not None:
        spent.append(f"cost {result.spent.cost:.4g}")
    facts = (
        ("folder", paths.root.name), ("target", result.target), ("spent", ", ".join(spent)),
        ("problems", f"{result.screen_problems} for the search, {result.confirm_problems} others for confirmation, "
                     f"{result.minimise_problems} others for minimal forms"),
        ("level", f"{result.alpha:g}, corrected over the tested hints (Holm)"),
    )  # fmt: skip
    tables = [("Confirmed weaknesses", weakness_table(result.weaknesses))] if result.weaknesses else []
    if result.refuted:
        tables.append(("Tested and not confirmed", refuted_table(result.refuted)))
    return CampaignSection(result, facts, (found_sentence(result),), tuple(tables))


def found_sentence(result: CampaignResult) -> str:
    """What a campaign found, without the limits, and without the recipes, which are long and stand in tables."""
    said = result.summary.removesuffix(" ".join(result.limits)).strip()
    for weakness in result.weaknesses:
        said = said.replace(f"{weakness.title}, ", "")
    return said if result.complete else f"{said} The campaign is not complete; it can be resumed."


def weakness_table(found: Sequence[Weakness]) -> DataTable:
    """A line a weakness: its hint as in one problem, what that costs beside clean and placebo, and its shortest form,
    which has figures of its own."""
    rows: list[tuple[Value, ...]] = []
    for w in found:
        shorter = w.minimal if w.minimal is not None and w.minimal.shorter else None
        short = f"{shorter.hint} {points_interval(shorter.loss, '')}, n = {shorter.n}" if shorter is not None else ""
        rates = (percent_interval(rate.accuracy) for rate in (w.clean, w.placebo, w.hinted))
        rows.append((f"{w.rank}. {w.hint}", str(w.type).replace("_", " "), points_interval(w.effect, ""),
                     p_value(w.p_corrected), w.n, *rates, short))  # fmt: skip
    columns = ("hint", "type", "points lost beyond the placebo", "corrected p", "n", "clean", "placebo", "hinted",
               "shortest form, tested apart")  # fmt: skip
    return DataTable(columns, tuple(rows))


def refuted_table(found: Sequence[Weakness]) -> DataTable:
    """A line a hint that was tested and not confirmed, with the reason."""
    rows = tuple((w.hint, points_interval(w.effect, ""), p_value(w.p_corrected), w.n, w.reason) for w in found)
    return DataTable(("hint", "points lost beyond the placebo", "corrected p", "n", "reason"), rows)


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
    hints, unread = _hints(results)
    return SourceSection(
        source.name, _source_facts(source), _facts(state.machine if state else {}),
        _facts(state.versions if state else {}), configuration, (*results.warnings, *unread), sections,
        results.crossplay(), hints,
        transfers(source) if source.plan is not None and is_between_models(source.plan) else (),
    )  # fmt: skip


def _hints(results: ResultSource) -> tuple[HintAnalysis | None, tuple[str, ...]]:
    """The analysis of a run's hints, and why there is none where that is an error."""
    database = RunPaths(results.source.root).rollouts
    if results.source.state is None or not database.is_file():
        return None, ()
    try:
        found = analyse_hints(database)
    except NoRollouts:
        return None, ()
    except UserError as error:
        return None, (str(error),)
    return (found if found.hints else None), ()


def _facts(found: Mapping[str, object]) -> Facts:
    return tuple((str(k), "none" if v is None else str(v)) for k, v in dict(found).items())


def _source_facts(source: Source) -> Facts:
    facts: list[tuple[str, str]] = [("folder", source.root.name)]
    state = source.state
    if state is not None:
        facts += [
            ("mode", state.mode), ("model", describe_models(state)), ("steps", f"{state.step} of {state.steps}"),
            ("status", f"{state.status}. {state.message}".rstrip(". ")), ("time", describe_time(state)),
            ("alarms that stand", "; ".join(alarm_title(code) for code in state.raised)),
            ("judge", describe_judge(state)), ("hints decided by", describe_deciders(state)),
            ("audit of hints", audit_of(source.root)),
        ]  # fmt: skip
    if source.config is not None:
        facts.append(("seed", str(source.config.data.seed)))
    suites = {t.suite: f"{t.suite_hash}, {t.problems:,} problems, {t.asking}" for t in source.tracks}
    facts += [(f"suite {name}", text) for name, text in suites.items()]
    prompts = {describe_prompts(dict(zip(t.targets, t.prompts, strict=False))) for t in source.tracks}
    facts += [("prompts", text.removeprefix("Prompts ").rstrip(".")) for text in sorted(prompts)]
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
