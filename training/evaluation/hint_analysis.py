"""What the Adversary of a run learned, and what its Reasoner stopped falling for. Read from the rollouts; numpy only.

Four questions, each with its own kind of evidence:

- *What is written?* The share of hints with each form, cue, target, number …, step by step (`Frequency`), and the forms
  that grew or declined from the first third of the steps to the last (`HintCluster`).
- *What succeeds?* A sparse logistic regression of wrong solutions on the features of their hint, beside the question's
  clean accuracy, its family and the step (`SuccessModel`). Features are chosen on some of the problems; what they are
  worth is estimated on the hints of the others.
- *What does the Reasoner stop falling for?* The drop from clean to hinted of a form, late against early. The Adversary
  may have changed the hints meanwhile, so that is no proof.
- *What does it stop falling for among the same hints?* Archived hints that were replayed (`ReplayCheck`). Hints are
  replayed because they succeeded, so their first success is partly luck, and a later one is lower even if nothing
  changed. Each first replay is therefore compared with what its first outcome lets one expect: the posterior mean under
  a beta prior fitted to all hints of the same form, or type, and time. That selection does not touch it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

import numpy as np

from training.core import sparse_logistic
from training.core.statistics import (
    ClusteredMean,
    Floats,
    Interval,
    effective_df,
    limited,
    paired_bootstrap,
    t_quantile,
)
from training.evaluation.hint_features import HintFeatures, describe_hint, label_of, stored_problem
from training.rollouts.reader import Cancelled, HintOutcomes, HintTables, RolloutReader

MAX_HINTS = 10_000
"""More hints than these are thinned out evenly."""
MAX_FIT = 6_000
"""Hints that the features are chosen on, at most."""
BINS = 60
"""Places on the axis of steps, at most."""
TOP_VALUES, TOP_CLUSTERS, EXAMPLES = 6, 12, 3
SIMILAR = 0.5
"""Sentences outside the hint language are one cluster where they share this part of their token trigrams."""
MAX_SHAPES = 3_000
FEWEST_HINTS, FEWEST_PROBLEMS = 120, 12
"""The model needs as many hints with solutions, of as many problems."""
FEWEST_COMPARED = 8
"""A comparison needs as many hints on each side."""
LEAST_SHARE, LEAST_COUNT = 0.02, 20
"""A feature is tried where this share of hints, and as many, have it and have it not."""
MOST_SELECTED = 20
PRIOR_HINTS = 40
"""A form has a prior of its own from as many hints on."""
OTHER = "other"
FORM = "form"

Progress = Callable[[int, int], None]
_SHAPE_WORD = re.compile(r"\w+|#")


class Change(StrEnum):
    """What an interval of a difference says."""

    ROSE = "rose"
    FELL = "fell"
    NO_CHANGE = "no change"
    """The interval includes zero."""
    TOO_FEW = "too few"


@dataclass(frozen=True, slots=True)
class Difference:
    """Two means and their difference, second − first, with its 95% interval over problems; None where too few."""

    first: float | None
    second: float | None
    n_first: int
    n_second: int
    interval: Interval | None

    @property
    def change(self) -> Change:
        if self.interval is None:
            return Change.TOO_FEW
        if self.interval.low > 0:
            return Change.ROSE
        return Change.FELL if self.interval.high < 0 else Change.NO_CHANGE


@dataclass(frozen=True, slots=True)
class Frequency:
    """The shares of a feature's values: `shares[i][k]` of `values[i]` at `steps[k]`, over `hints[k]` hints. A hint with
    several values counts with the one nearest to the problem; rare values are `OTHER`."""

    feature: str
    values: tuple[str, ...]
    labels: tuple[str, ...]
    steps: tuple[int, ...]
    hints: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class HintExample:
    """A hint that was played: `wrong` of `total` solutions under it were not right."""

    step: int
    type: str
    text: str
    question: str
    wrong: int
    total: int
    clean: float | None


@dataclass(frozen=True, slots=True)
class ReplayCheck:
    """First replays of archived hints: the share of solutions that were not right, beside what would be expected of an
    unchanged Reasoner, and how many steps lay between (mean)."""

    hints: int
    problems: int
    steps_between: float
    outcome: Difference


@dataclass(frozen=True, slots=True)
class FeatureReplays:
    """First replays of hints with one value of a feature."""

    feature: str
    value: str
    label: str
    check: ReplayCheck


@dataclass(frozen=True, slots=True)
class HintCluster:
    """Hints of one form. `shape` is its commonest sentence without names, things and numbers. `share`: of all hints,
    early and late. `drop`: clean minus hinted accuracy, early and late."""

    id: str
    shape: str
    in_language: bool
    hints: int
    types: tuple[str, ...]
    share: Difference
    drop: Difference
    replays: ReplayCheck | None
    examples: tuple[HintExample, ...]


@dataclass(frozen=True, slots=True)
class FeatureEffect:
    """A feature's log-odds of a wrong solution, held-out, everything else equal; `interval` holds for all features of
    the model at once. `hints`: held-out ones that have it. `wrong_with`, `wrong_without`: shares of solutions."""

    feature: str
    value: str
    label: str
    interval: Interval
    hints: int
    problems: int
    wrong_with: float
    wrong_without: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.interval.low > 0 or self.interval.high < 0


@dataclass(frozen=True, slots=True)
class SuccessModel:
    """What goes with wrong solutions. `quality` is the held-out area under the ROC curve, with features and without."""

    tried: int
    fit_hints: int
    hints: int
    problems: int
    solutions: int
    quality: sparse_logistic.Discrimination
    effects: tuple[FeatureEffect, ...]

    @property
    def clear(self) -> tuple[FeatureEffect, ...]:
        """The features that may be named."""
        return tuple(e for e in self.effects if e.clear)


@dataclass(frozen=True, slots=True)
class ForgettingPoint:
    """First replays of about one age, in steps."""

    age: float
    check: ReplayCheck


@dataclass(frozen=True, slots=True)
class HintAnalysis:
    """What was found in a run. `model` is None where there is too little to fit one. `early` and `late` are the first
    and the last third of the steps."""

    steps: int
    written: int
    refused: int
    hints: int
    """Valid ones; `analysed` of them, where there are very many."""
    analysed: int
    in_language: int
    problems: int
    solutions: int
    unreadable: float
    truncated: float
    early: tuple[int, int]
    late: tuple[int, int]
    frequencies: tuple[Frequency, ...] = ()
    clusters: tuple[HintCluster, ...] = ()
    model: SuccessModel | None = None
    drop: Difference | None = None
    replays: ReplayCheck | None = None
    replays_by: tuple[FeatureReplays, ...] = ()
    forgetting: tuple[ForgettingPoint, ...] = ()

    @property
    def from_templates(self) -> bool:
        """Whether no model wrote the hints."""
        return self.hints > 0 and self.written == 0


@dataclass(slots=True)
class _Hint:
    """A valid hint of the Adversary, or of the template that stands in for it, with its solutions, if it was played."""

    step: int
    problem_id: str
    type: str
    text: str
    wrong: int = 0
    total: int = 0
    clean: float | None = None
    placement: str = ""
    features: HintFeatures | None = None
    cluster: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.problem_id, self.text

    @property
    def drop(self) -> float | None:
        """Clean minus hinted accuracy."""
        return None if self.clean is None or not self.total else self.clean - (1 - self.wrong / self.total)


def analyse_hints(
    database: Path, *, progress: Progress = lambda _done, _of: None, cancelled: Callable[[], bool] = lambda: False
) -> HintAnalysis:
    """Analyse the hints of a run's `rollouts.db`. Raises a `UserError` where it cannot be read, and `Cancelled`."""
    reader = RolloutReader(database)
    try:
        tables = reader.hints(cancelled)
    finally:
        reader.close()
    return analyse_tables(tables, progress=progress, cancelled=cancelled)


def analyse_tables(
    tables: HintTables, *, progress: Progress = lambda _done, _of: None, cancelled: Callable[[], bool] = lambda: False
) -> HintAnalysis:
    """The same for hints that were read already. The same hints give the same analysis."""
    every, refused = _valid_hints(tables)
    kept = _thinned(every)
    replays = [p for p in tables.played if p.archived and p.total]
    _describe(kept, tables, progress, cancelled)
    shapes = _assign_clusters(kept)
    steps = sorted({h.step for h in every})
    thirds = _thirds(steps)
    solutions = sum(p.total for p in tables.played)
    found = HintAnalysis(
        len(steps), len(tables.written), refused, len(every), len(kept),
        sum(h.features is not None and h.features.parsed for h in kept), len({h.problem_id for h in every}), solutions,
        sum(p.unreadable for p in tables.played) / max(1, solutions),
        sum(p.truncated for p in tables.played) / max(1, solutions), *thirds,
    )  # fmt: skip
    if not kept:
        return found
    if cancelled():
        raise Cancelled
    firsts = _first_replays(kept, every, replays, thirds)
    model = _success_model(kept, tables, shapes, cancelled)
    if cancelled():
        raise Cancelled
    return HintAnalysis(
        **{name: getattr(found, name) for name in _COUNTS},
        frequencies=_frequencies(kept, steps, shapes), clusters=_clusters(kept, tables, thirds, shapes, firsts),
        model=model, drop=_drop(kept, thirds), replays=_check(firsts),
        replays_by=_replays_by(firsts),
        forgetting=_forgetting(firsts),
    )  # fmt: skip


_COUNTS = (
    "steps", "written", "refused", "hints", "analysed", "in_language", "problems", "solutions", "unreadable",
    "truncated", "early", "late",
)  # fmt: skip


def _valid_hints(tables: HintTables) -> tuple[list[_Hint], int]:
    """Hints that passed the gates, in order, and how many did not. Templates are in no row of the Adversary's."""
    found: dict[tuple[int, str, str], _Hint] = {}
    refused = 0
    for w in tables.written:
        if w.gate:
            refused += 1
        else:
            found[w.step, w.id, w.problem_id] = _Hint(w.step, w.problem_id, w.type, w.text)
    for p in tables.played:
        if p.archived:
            continue
        key = p.step, p.id, p.problem_id
        hint = found.setdefault(key, _Hint(p.step, p.problem_id, p.type, p.text))
        hint.wrong, hint.total, hint.clean, hint.placement = p.total - p.right, p.total, p.clean, p.placement
    return sorted((h for h in found.values() if h.text.strip()), key=lambda h: h.step), refused


def _thinned(hints: list[_Hint]) -> list[_Hint]:
    if len(hints) <= MAX_HINTS:
        return hints
    return [hints[i * len(hints) // MAX_HINTS] for i in range(MAX_HINTS)]


def _thirds(steps: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and the last third of the steps; the same one where there are fewer than three."""
    if not steps:
        return (0, 0), (0, 0)
    part = max(1, len(steps) // 3)
    return (steps[0], steps[part - 1]), (steps[-part], steps[-1])


def _describe(
    hints: Sequence[_Hint], tables: HintTables, progress: Progress, cancelled: Callable[[], bool]
) -> None:  # fmt: skip
    known: dict[tuple[str, str, str], HintFeatures] = {}
    for i, hint in enumerate(hints):
        key = hint.problem_id, hint.type, hint.text
        if key not in known:
            family, question, gold = tables.problems.get(hint.problem_id, ("", "", ""))
            problem = stored_problem(hint.problem_id, family, question, gold)
            known[key] = describe_hint(hint.text, hint.type, problem)
        hint.features = known[key]
        if i % 256 == 0:
            if cancelled():
                raise Cancelled
            progress(i, len(hints))
    progress(len(hints), len(hints))


# ---------------------------------------------------------------------- clusters


@dataclass(slots=True)
class _Shapes:
    """Clusters by id: the commonest shape, and whether it is a form of the language."""

    text: dict[str, str] = field(default_factory=dict)
    in_language: dict[str, bool] = field(default_factory=dict)


def _assign_clusters(hints: Sequence[_Hint]) -> _Shapes:
    """Give each hint the cluster of that of its sentences whose cluster is the commonest. A form of the language is
    a cluster; other sentences join by their token trigrams. Depends on the hints alone, not on any draw."""
    sentences = Counter(s for h in hints if h.features for s in h.features.sentences)
    order = sorted(sentences, key=lambda s: (-sentences[s], s.form, s.shape))
    leaders = _leaders([s.shape for s in order if not s.form])
    cluster = {s: f"form:{s.form}" if s.form else f"text:{leaders.get(s.shape, OTHER)}" for s in order}
    shapes = _Shapes()
    sizes: Counter[str] = Counter()
    for sentence in order:
        id_ = cluster[sentence]
        shapes.text.setdefault(id_, sentence.shape)
        shapes.in_language[id_] = bool(sentence.form)
        sizes[id_] += sentences[sentence]
    for hint in hints:
        ids = [cluster[s] for s in hint.features.sentences] if hint.features else []
        hint.cluster = min(ids, key=lambda id_: (-sizes[id_], id_), default=OTHER)
    return shapes


def _leaders(shapes: Sequence[str]) -> dict[str, str]:
    """The leading shape of each, where shapes are given the commonest first: a shape joins the first leader that it
    shares most trigrams with, or becomes one. Beyond `MAX_SHAPES` nothing new leads."""
    leaders: list[tuple[str, frozenset[tuple[str, ...]]]] = []
    holders: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    found: dict[str, str] = {}
    for place, shape in enumerate(dict.fromkeys(shapes)):
        grams = _trigrams(shape)
        shared = Counter(i for gram in grams for i in holders[gram])
        alike = {i: n / (len(grams) + len(leaders[i][1]) - n) for i, n in shared.items()}
        best = min(alike, key=lambda i: (-alike[i], i), default=-1)
        if best >= 0 and alike[best] >= SIMILAR:
            found[shape] = leaders[best][0]
        elif place < MAX_SHAPES:
            for gram in grams:
                holders[gram].append(len(leaders))
            leaders.append((shape, grams))
            found[shape] = shape
    return found


def _trigrams(shape: str) -> frozenset[tuple[str, ...]]:
    words = ["^", *_SHAPE_WORD.findall(shape.casefold()), "$"]
    if len(words) < 3:
        return frozenset({tuple(words)})
    return frozenset(zip(words, words[1:], words[2:], strict=False))


# ---------------------------------------------------------------------- frequencies


def _frequencies(hints: Sequence[_Hint], steps: Sequence[int], shapes: _Shapes) -> tuple[Frequency, ...]:
    size = -(-len(steps) // BINS)
    bin_of = {step: i // size for i, step in enumerate(steps)}
    places = tuple(steps[i : i + size][-1] for i in range(0, len(steps), size))
    totals = Counter(bin_of[h.step] for h in hints)
    names = dict.fromkeys(name for h in hints if h.features for name in h.features.values)
    found = []
    for feature in (FORM, *names):
        counts: Counter[tuple[str, int]] = Counter()
        for h in hints:
            counts[_first_value(h, feature), bin_of[h.step]] += 1
        sums: Counter[str] = Counter()
        for (value, _place), n in counts.items():
            sums[value] += n
        values = sorted(sums, key=lambda v: (-sums[v], v))
        top = values[:TOP_VALUES] if len(values) > TOP_VALUES + 1 else values
        rows = [[counts[value, k] for k in range(len(places))] for value in top]
        if len(top) < len(values):
            rows.append([totals[k] - sum(row[k] for row in rows) for k in range(len(places))])
            top = [*top, OTHER]
        labels = tuple(_value_label(feature, value, shapes) for value in top)
        shares = tuple(tuple(n / max(1, totals[k]) for k, n in enumerate(row)) for row in rows)
        found.append(
            Frequency(feature, tuple(top), labels, places, tuple(totals[k] for k in range(len(places))), shares)
        )
    return tuple(found)


def _first_value(hint: _Hint, feature: str) -> str:
    if feature == FORM:
        return hint.cluster
    return next(iter(hint.features.values.get(feature, ())), "none") if hint.features else "none"


def _value_label(feature: str, value: str, shapes: _Shapes) -> str:
    if feature == FORM:
        return "all others" if value == OTHER else shapes.text.get(value, value)
    return "all others" if value == OTHER and feature not in _HAS_OTHER else label_of(feature, value).partition(": ")[2]


def _label(feature: str, value: str, shapes: _Shapes) -> str:
    return f"form: {shapes.text.get(value, value)}" if feature == FORM else label_of(feature, value)


_HAS_OTHER = ("subject", "thing", "number", "relation")
"""Features with a value of their own of that name."""


# ---------------------------------------------------------------------- what succeeds


def _success_model(
    hints: Sequence[_Hint], tables: HintTables, shapes: _Shapes, cancelled: Callable[[], bool]
) -> SuccessModel | None:  # fmt: skip
    played = [h for h in hints if h.total and h.features]
    parts = {id_: _part(id_) for id_ in {h.problem_id for h in played}}
    rows = {name: [i for i, h in enumerate(played) if parts[h.problem_id] in ids] for name, ids in _PARTS.items()}
    problems = {name: {played[i].problem_id for i in found} for name, found in rows.items()}
    if len(played) < FEWEST_HINTS or len(problems["held_out"]) < FEWEST_PROBLEMS or min(map(len, rows.values())) < 20:
        return None
    wrong, total = np.array([float(h.wrong) for h in played]), np.array([float(h.total) for h in played])
    if not 0 < wrong[rows["held_out"]].sum() < total[rows["held_out"]].sum():
        return None
    controls = _controls(played, tables)
    values, features = _feature_matrix(played)
    names = {(f, v): _label(f, v, shapes) for f, v in values}
    x = np.column_stack([controls, features])
    n = controls.shape[1]

    def part(name: str, most: int | None = None) -> tuple[Floats, Floats, Floats]:
        kept = rows[name]
        if most is not None and len(kept) > most:
            kept = [kept[i * len(kept) // most] for i in range(most)]
        return x[kept], wrong[kept], total[kept]

    choice = sparse_logistic.choose_columns(part("fit", MAX_FIT), part("check", MAX_FIT), n, MOST_SELECTED, cancelled)
    bare = sparse_logistic.choose_columns(
        (part("fit", MAX_FIT)[0][:, :n], *part("fit", MAX_FIT)[1:]),
        (part("check", MAX_FIT)[0][:, :n], *part("check", MAX_FIT)[1:]), n, 0, cancelled,
    )  # fmt: skip
    held, wrong_h, total_h = part("held_out")
    there = [played[i] for i in rows["held_out"]]
    ids = {id_: i for i, id_ in enumerate(sorted(problems["held_out"]))}
    clusters = np.array([ids[h.problem_id] for h in there])
    columns = sparse_logistic.independent(held, choice.columns, n)
    intervals = sparse_logistic.refit(held[:, [*range(n), *columns]], wrong_h, total_h, clusters, n) if columns else []
    quality = sparse_logistic.discrimination(
        choice.predict(held), bare.predict(held[:, :n]), wrong_h, total_h, clusters
    )  # fmt: skip
    effects = []
    for j, interval in zip(columns, intervals, strict=True):
        has = held[:, j] > 0
        feature, value = values[j - n]
        effects.append(FeatureEffect(
            feature, value, names[feature, value], interval, int(has.sum()), len(set(clusters[has].tolist())),
            float(wrong_h[has].sum() / max(1.0, total_h[has].sum())),
            float(wrong_h[~has].sum() / max(1.0, total_h[~has].sum())),
        ))  # fmt: skip
    effects.sort(key=lambda e: -abs(e.interval.mean))
    return SuccessModel(
        len(values), len(rows["fit"]) + len(rows["check"]), len(there), len(ids), int(total_h.sum()), quality,
        tuple(effects),
    )  # fmt: skip


_PARTS = {"fit": range(0, 35), "check": range(35, 55), "held_out": range(55, 100)}


def _part(problem_id: str) -> int:
    """A number from 0 to 99 that depends on the problem's id alone."""
    return int(hashlib.sha256(problem_id.encode(errors="replace")).hexdigest()[:8], 16) % 100


def _controls(hints: Sequence[_Hint], tables: HintTables) -> Floats:
    """What a wrong solution has for reasons that are not the hint's: a constant, the question's clean accuracy, the
    step, the family."""
    steps = np.array([float(h.step) for h in hints])
    clean = np.array([np.nan if h.clean is None else h.clean for h in hints])
    known = clean[np.isfinite(clean)]
    clean = np.where(np.isfinite(clean), clean, known.mean() if known.size else 0.0)
    families = [tables.problems.get(h.problem_id, ("", "", ""))[0] for h in hints]
    columns = [np.ones(len(hints)), clean - clean.mean(), (steps - steps.mean()) / max(1.0, steps.std())]
    for family in sorted(set(families))[1:]:
        columns.append(np.array([float(f == family) for f in families]))
    return np.column_stack(columns)


def _feature_matrix(hints: Sequence[_Hint]) -> tuple[list[tuple[str, str]], Floats]:
    """Zero-one columns of the values that are common enough; of columns that are equal the first."""
    holders: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    forms = {id_ for id_, _n in Counter(h.cluster for h in hints).most_common(TOP_CLUSTERS)}
    for i, h in enumerate(hints):
        for feature, found in h.features.values.items() if h.features else ():
            for value in found:
                if value != "none":
                    holders[feature, value].append(i)
        if h.placement:
            holders["placement", h.placement].append(i)
        if h.cluster in forms:
            holders[FORM, h.cluster].append(i)
    least = max(LEAST_COUNT, LEAST_SHARE * len(hints))
    kept: dict[tuple[int, ...], tuple[str, str]] = {}
    for key in sorted(holders):
        rows = holders[key]
        if least <= len(rows) <= len(hints) - least:
            kept.setdefault(tuple(rows), key)
    matrix = np.zeros((len(hints), len(kept)))
    for j, rows_ in enumerate(kept):
        matrix[list(rows_), j] = 1.0
    return list(kept.values()), matrix


# ---------------------------------------------------------------------- what changed


def _difference(
    early: Iterable[tuple[str, float]], late: Iterable[tuple[str, float]], limits: tuple[float, float] = (-1.0, 1.0)
) -> Difference:
    """The mean of late values minus that of early ones, (problem, value) each, with a cluster-robust interval.

    Both means share their problems, so each problem's part in the difference is one score: s = (Σ late − mean · n) / N
    of the late ones minus the same of the early ones. error = √(G/(G−1) Σ s²) over the G problems (Liang and Zeger
    1986), with Student's t at `effective_df`.
    """
    sides = [list(early), list(late)]
    sizes = [len(side) for side in sides]
    means = [float(np.mean([v for _, v in side])) if side else None for side in sides]
    scores: defaultdict[str, float] = defaultdict(float)
    for side, mean, sign in zip(sides, means, (-1, 1), strict=True):
        for problem, value in side:
            scores[problem] += sign * (value - (mean or 0.0)) / len(side)
    first, second = means
    if first is None or second is None or min(sizes) < FEWEST_COMPARED or len(scores) < 2:
        return Difference(first, second, sizes[0], sizes[1], None)
    all_scores = np.array(list(scores.values()))
    g = all_scores.size
    error = float(np.sqrt(g / (g - 1) * (all_scores**2).sum()))
    df = effective_df(all_scores) if error > 1e-12 else g - 1.0
    found = ClusteredMean(second - first, 0.0 if error <= 1e-12 else error, df, g)
    interval = limited(found, t_quantile(0.975, df), limits, 0.95)
    return Difference(first, second, sizes[0], sizes[1], interval)


def _sides(hints: Iterable[_Hint], thirds: tuple[tuple[int, int], tuple[int, int]]) -> tuple[list[_Hint], list[_Hint]]:
    found = list(hints)
    early, late = ([h for h in found if low <= h.step <= high] for low, high in thirds)
    return (early, late) if thirds[0] != thirds[1] else (early, [])


def _drop(hints: Iterable[_Hint], thirds: tuple[tuple[int, int], tuple[int, int]]) -> Difference:
    sides = _sides((h for h in hints if h.drop is not None), thirds)
    early, late = [[(h.problem_id, h.drop or 0.0) for h in side] for side in sides]
    return _difference(early, late, (-2.0, 2.0))


def _clusters(
    hints: Sequence[_Hint], tables: HintTables, thirds: tuple[tuple[int, int], tuple[int, int]], shapes: _Shapes,
    firsts: Sequence[_FirstReplay],
) -> tuple[HintCluster, ...]:  # fmt: skip
    sizes = Counter(h.cluster for h in hints)
    early, late = _sides(hints, thirds)
    found = []
    for id_ in sorted(sizes, key=lambda c: (-sizes[c], c))[:TOP_CLUSTERS]:
        mine = [h for h in hints if h.cluster == id_]
        here = [[(h.problem_id, float(h.cluster == id_)) for h in side] for side in (early, late)]
        share = _difference(here[0], here[1])
        types = Counter(h.type for h in mine)
        found.append(HintCluster(
            id_, shapes.text.get(id_, id_), shapes.in_language.get(id_, False), len(mine),
            tuple(sorted(types, key=lambda t: (-types[t], t))), share, _drop(mine, thirds),
            _check([f for f in firsts if f.cluster == id_]), _examples(mine, tables),
        ))  # fmt: skip
    return tuple(found)


def _examples(hints: Sequence[_Hint], tables: HintTables) -> tuple[HintExample, ...]:
    """The hints with the greatest drop, the latest first among equals; different texts."""
    ranked = sorted(hints, key=lambda h: (-(h.drop if h.drop is not None else -2.0), -h.step, h.text))
    chosen = list({h.text: h for h in reversed(ranked)}.values())[::-1][:EXAMPLES]
    return tuple(
        HintExample(
            h.step, h.type, h.text, tables.problems.get(h.problem_id, ("", "", ""))[1], h.wrong, h.total, h.clean
        )
        for h in chosen
    )


@dataclass(frozen=True, slots=True)
class _FirstReplay:
    problem_id: str
    type: str
    cluster: str
    age: int
    expected: float
    observed: float
    values: tuple[tuple[str, str], ...]
    """The features of the hint."""


def _first_replays(
    kept: Sequence[_Hint], every: Sequence[_Hint], replays: Sequence[HintOutcomes],
    thirds: tuple[tuple[int, int], tuple[int, int]],
) -> list[_FirstReplay]:  # fmt: skip
    """The first replay of each hint, with the wrong share that its earlier outcomes let one expect."""
    clusters = {h.key: h.cluster for h in kept}
    features = {
        h.key: tuple((f, v) for f, found in h.features.values.items() for v in found) for h in kept if h.features
    }
    originals: defaultdict[tuple[str, str], list[_Hint]] = defaultdict(list)
    for h in every:
        if h.total:
            originals[h.key].append(h)
    priors = _Priors(kept, thirds)
    found: dict[tuple[str, str], _FirstReplay] = {}
    for r in replays:
        key = r.problem_id, r.text
        before = [h for h in originals[key] if h.step < r.step]
        if key in found or not before or key not in clusters:
            continue
        wrong, total = sum(h.wrong for h in before), sum(h.total for h in before)
        mean, weight = priors.of(clusters[key], before[-1])
        expected = (mean * weight + wrong) / (weight + total) if np.isfinite(weight) else mean
        age = r.step - before[-1].step
        found[key] = _FirstReplay(
            r.problem_id, before[-1].type, clusters[key], age, expected, 1 - r.right / r.total,
            features.get(key, ()),
        )  # fmt: skip
    return list(found.values())


class _Priors:
    """Beta priors of the share of wrong solutions, by mean and weight (α + β), fitted by moments to all hints of a form
    in a part of the run; of its type, where those are few. All hints that were played count, replayed or not."""

    def __init__(self, hints: Sequence[_Hint], thirds: tuple[tuple[int, int], tuple[int, int]]) -> None:
        self._thirds = thirds
        self._rows: defaultdict[tuple[str, str, int], list[tuple[int, int]]] = defaultdict(list)
        self._known: dict[tuple[str, str, int], tuple[float, float]] = {}
        for h in hints:
            if h.total:
                for kind, value in (("cluster", h.cluster), ("type", h.type)):
                    self._rows[kind, value, self._place(h.step)].append((h.wrong, h.total))

    def _place(self, step: int) -> int:
        return int(step > self._thirds[0][1]) + int(step >= self._thirds[1][0])

    def of(self, cluster: str, hint: _Hint) -> tuple[float, float]:
        place = self._place(hint.step)
        key = ("cluster", cluster, place)
        if len(self._rows[key]) < PRIOR_HINTS:
            key = ("type", hint.type, place)
        if key not in self._known:
            self._known[key] = fit_beta(self._rows[key])
        return self._known[key]


def fit_beta(rows: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Mean and weight α + β of a beta prior by the moments of (wrong, total) counts (Kleinman 1973); an infinite weight
    where the counts vary no more than one share for all makes them."""
    wrong, total = np.array([w for w, _ in rows], dtype=float), np.array([t for _, t in rows], dtype=float)
    n = float(total.sum())
    mean = (float(wrong.sum()) + 0.5) / (n + 1)
    k = len(rows)
    if k < 2 or n <= k:
        return mean, float("inf")
    between = float((total * (wrong / total - mean) ** 2).sum())
    chance = mean * (1 - mean)
    # E[between] = chance · ((k − 1) + ρ · (n − Σt²/n − (k − 1))), ρ = 1 / (weight + 1).
    spare = n - float((total**2).sum()) / n - (k - 1)
    rho = (between / chance - (k - 1)) / spare if spare > 0 else 0.0
    rho = min(0.95, rho)
    return (mean, 1 / rho - 1) if rho > 1e-3 else (mean, float("inf"))


def _check(firsts: Sequence[_FirstReplay]) -> ReplayCheck | None:
    if not firsts:
        return None
    problems = [f.problem_id for f in firsts]
    expected, observed = (float(np.mean([getattr(f, name) for f in firsts])) for name in ("expected", "observed"))
    interval = None
    if len(firsts) >= FEWEST_COMPARED and len(set(problems)) > 1:
        interval = paired_bootstrap([f.observed - f.expected for f in firsts], problems)
    outcome = Difference(expected, observed, len(firsts), len(firsts), interval)
    return ReplayCheck(len(firsts), len(set(problems)), float(np.mean([f.age for f in firsts])), outcome)


def _replays_by(firsts: Sequence[_FirstReplay]) -> tuple[FeatureReplays, ...]:
    """By the values of each feature that enough replayed hints have, types first."""
    groups: defaultdict[tuple[str, str], list[_FirstReplay]] = defaultdict(list)
    for first in firsts:
        for key in first.values:
            if key[1] != "none":
                groups[key].append(first)
    order = sorted(groups, key=lambda key: (key[0] != "type", key))
    found = []
    for feature, value in order:
        check = _check(groups[feature, value])
        if check is not None and check.hints >= FEWEST_COMPARED:
            found.append(FeatureReplays(feature, value, label_of(feature, value), check))
    return tuple(found)


def _forgetting(firsts: Sequence[_FirstReplay]) -> tuple[ForgettingPoint, ...]:
    """First replays in up to four groups of about equal size by the steps since the hint was made."""
    ordered = sorted(firsts, key=lambda f: f.age)
    groups = min(4, len(ordered) // (2 * FEWEST_COMPARED))
    if groups < 2:
        return ()
    cuts = [i * len(ordered) // groups for i in range(groups + 1)]
    found = []
    for low, high in pairwise(cuts):
        check = _check(ordered[low:high])
        if check is not None:
            found.append(ForgettingPoint(check.steps_between, check))
    return tuple(found)
