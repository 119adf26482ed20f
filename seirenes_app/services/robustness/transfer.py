"""Transfer of hints: what hints that were made against one model do to others. Pure, but for `transfers`.

It reads an evaluation of several models on one suite: the loss under the hints beyond the placebo's, by model and by
type; each hint's own loss on each model; and whether models agree on which hints harm. A loss is placebo − hinted, so
above 0 a hint harms. A hint and its placebo are a pair; the pairs of one problem are a cluster.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seirenes_app.services.answer_reading import no_effect, unread_warnings
from seirenes_app.services.charts.data import ChartData, Scale, Series
from seirenes_app.services.charts.style import NAMED, SeriesStyle
from seirenes_app.services.formatting import (
    UNKNOWN,
    change_tone,
    count_of,
    decimal,
    describe_prompts,
    is_clear,
    p_clause,
    p_value,
    percent,
    points_interval,
)
from seirenes_app.services.robustness.sources import Source, asking
from seirenes_app.services.robustness.types import DataTable, Value
from training.core.statistics import (
    Interval,
    fisher_exact,
    holm,
    newcombe,
    paired_bootstrap,
    rank_correlation,
    sign_flip,
)
from training.core.types import Condition, HintType
from training.evaluation.metric_types import UnreadShares
from training.evaluation.metrics import summarise_target
from training.evaluation.outcome_arrays import OutcomeArrays
from training.evaluation.plan import EvalPlan
from training.evaluation.store import PromptText
from training.evaluation.store_reader import StoreReader

LEVEL = 0.05
_APART = 0.1  # of the markers of one model
FEWEST_MODELS = 2
MOST_AGREEMENTS = 28
"""Pairs of models whose rank correlation is computed: those of eight models."""
_RANKED = 400_000
"""Hints that the resamples of a rank correlation may draw in all."""
NOTE = (
    "Loss: accuracy beside a neutral text of the hint's length minus accuracy beside the hint, in points: above zero "
    "the hints do harm that neutral text does not. Hint and neutral text are a pair. Intervals are bootstraps over "
    "problems, of a hint that stands beside one problem alone Newcombe's over its answers. A loss is called one where "
    "its interval excludes zero and p, adjusted by Holm's method for all that is tested of a model, is below 0.05. "
    "Hints that were chosen by what they did to one model look stronger on that one than they are."
)


@dataclass(frozen=True, slots=True)
class Loss:
    """placebo − hinted of some pairs, as shares. `adjusted` is p by Holm over the family of tests that it is in."""

    value: Interval
    p_value: float
    adjusted: float
    problems: int
    pairs: int

    @property
    def clear(self) -> bool:
        return is_clear(self.value, self.adjusted)

    @property
    def tone(self) -> str:
        """'good', 'bad' or 'muted': a loss is bad."""
        return {"good": "bad", "bad": "good"}.get(change_tone(self.value, self.adjusted), "muted")

    @property
    def text(self) -> str:
        return points_interval(self.value, "")


@dataclass(frozen=True, slots=True)
class Rate:
    """An accuracy with its n. `unread` are the shares of answers that are neither right nor wrong."""

    value: Interval
    problems: int
    rows: int
    unread: UnreadShares


@dataclass(frozen=True, slots=True)
class ModelTransfer:
    """What the hints do to one model. A loss is None where there is no pair, or most answers of a side are unread."""

    model: str
    rates: Mapping[Condition, Rate]
    gap: Interval | None
    """clean − hinted, paired."""
    loss: Loss | None
    by_type: Mapping[HintType, Loss]
    withheld: str
    """Why nothing is said of it; empty where something is."""


@dataclass(frozen=True, slots=True)
class HintTransfer:
    """One hint: a text of a type, beside one problem or several. `losses` are in the order of the models, None where a
    model has no pair of it or is mostly unread."""

    text: str
    hint_type: HintType
    author: str
    problem_ids: tuple[str, ...]
    losses: tuple[Loss | None, ...]

    @property
    def mean(self) -> float:
        """The mean loss over the models that have one."""
        found = [loss.value.mean for loss in self.losses if loss is not None]
        return sum(found) / len(found) if found else 0.0

    @property
    def harmed(self) -> int:
        """On how many models the loss is clear."""
        return sum(loss is not None and loss.clear and loss.value.mean > 0 for loss in self.losses)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Spearman's rank correlation of the hints' losses on two models; None where a side is constant."""

    first: str
    second: str
    value: Interval | None
    hints: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """All of one suite. `hints` are sorted by their mean loss, the most harmful first."""

    suite: str
    asked: str
    samples: int
    models: tuple[ModelTransfer, ...]
    hints: tuple[HintTransfer, ...]
    agreements: tuple[Agreement, ...]
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    note: str = NOTE


def transfers(source: Source) -> tuple[Transfer, ...]:
    """The transfer on every suite of an evaluation that has hints and at least two models; empty for anything else."""
    plan = source.plan
    if plan is None:
        return ()
    with StoreReader(source.store.rows) as reader:
        texts = {suite.name: reader.hint_texts(suite.name) for suite in plan.suites}
    found = (transfer_of(source.cells, plan, name, of) for name, of in texts.items())
    return tuple(each for each in found if each is not None)


def is_between_models(plan: EvalPlan) -> bool:
    """Whether it has models that are not all checkpoints of one run: of those, the charts over checkpoints say more."""
    return len({t.run or t.name for t in plan.targets}) >= FEWEST_MODELS


def transfer_of(
    cells: OutcomeArrays, plan: EvalPlan, suite: str, texts: Mapping[tuple[int, int], PromptText]
) -> Transfer | None:
    """The transfer on one suite; None where fewer than two models have answered under its hints. `texts` are its hints
    by (item, index)."""
    of_suite = cells.where(suite=suite)
    named = [(t.name, of_suite.where(target=t.name)) for t in plan.targets]
    asked = [_Answers(name, found) for name, found in named if len(found.where(condition=Condition.HINTED))]
    if len(asked) < FEWEST_MODELS:
        return None
    models = tuple(_adjust_models([_model(each, suite) for each in asked]))
    hints = _hints(asked, models, texts)
    pairs = itertools.islice(itertools.combinations(range(len(models)), 2), MOST_AGREEMENTS)
    agreements = tuple(_agreement(hints, models, first, second) for first, second in pairs)
    sides = {f"{m.model}'s {c}": rate.unread for m in models for c, rate in m.rates.items()}
    labels = {m.model: plan.model(m.model).prompts.label for m in models}
    differ = (describe_prompts(labels),) if len(set(labels.values())) > 1 else ()
    return Transfer(
        suite, asking(plan), plan.samples, models, hints, agreements,
        tuple(_sentences(models, hints, agreements, plan.samples)),
        (*differ, *unread_warnings(sides, plan.max_tokens)),
    )  # fmt: skip


# ---------------------------------------------------------------------- one model


class _Answers:
    """The answers of one model on a suite, and its pairs of hint and placebo."""

    def __init__(self, model: str, cells: OutcomeArrays) -> None:
        self.model, self.cells = model, cells
        hinted, placebo = (cells.where(condition=c) for c in (Condition.HINTED, Condition.PLACEBO))
        beside = {(int(d["item"]), int(d["index"])): place for place, d in enumerate(placebo.data)}
        pairs = [
            (place, beside[key])
            for place, d in enumerate(hinted.data)
            if (key := (int(d["item"]), int(d["index"]))) in beside
        ]
        first, second = (np.array([pair[side] for pair in pairs], dtype=np.intp) for side in (0, 1))
        self.hinted, self.placebo = hinted.take(first), placebo.take(second)
        self.losses: NDArray[np.float64] = self.placebo.rate() - self.hinted.rate()

    def keys(self) -> list[tuple[int, int]]:
        """(item, index) of the pairs."""
        return [(int(d["item"]), int(d["index"])) for d in self.hinted.data]


def _model(answers: _Answers, suite: str) -> ModelTransfer:
    summary = summarise_target(answers.cells, answers.model, suite)
    rates = {
        a.condition: Rate(a.interval, a.problems, a.rows, a.unread)
        for a in summary.accuracies
        if a.hint_type is None
    }  # fmt: skip
    needed_sides = {str(c): rates[c].unread for c in (Condition.HINTED, Condition.PLACEBO) if c in rates}
    withheld = no_effect(needed_sides)
    if Condition.PLACEBO not in rates:
        withheld = "No loss is shown: no placebo was asked."
    gap = summary.gap()
    losses: dict[HintType, Loss] = {}
    if not withheld:
        types = answers.hinted.data["hint_type"]
        for number, type_ in enumerate(HintType):
            mask = types == number
            sides = (side.take(mask) for side in (answers.hinted, answers.placebo))
            if mask.any() and not any(side.mostly_unread for side in sides):
                losses[type_] = _loss(answers.losses[mask], answers.hinted.problem[mask])
        adjusted = holm([loss.p_value for loss in losses.values()])
        losses = {t: replace(x, adjusted=p) for (t, x), p in zip(losses.items(), adjusted, strict=True)}
    whole = None if withheld or not len(answers.losses) else _loss(answers.losses, answers.hinted.problem)
    return ModelTransfer(answers.model, rates, gap.gap if gap else None, whole, losses, withheld)


def _adjust_models(models: Sequence[ModelTransfer]) -> Iterator[ModelTransfer]:
    """With the p-values of the overall losses adjusted for the number of models."""
    adjusted = iter(holm([m.loss.p_value for m in models if m.loss is not None]))
    for model in models:
        yield model if model.loss is None else replace(model, loss=replace(model.loss, adjusted=next(adjusted)))


def _loss(values: NDArray[np.float64], problems: NDArray[np.int32]) -> Loss:
    """Of pairs of several problems."""
    interval = paired_bootstrap(values.tolist(), problems.tolist())
    sums = np.bincount(problems, weights=values)
    sizes = np.bincount(problems)
    p = sign_flip((sums[sizes > 0] / sizes[sizes > 0]).tolist())
    return Loss(interval, p, p, int((sizes > 0).sum()), len(values))


# ---------------------------------------------------------------------- single hints


def _hints(
    asked: Sequence[_Answers], models: Sequence[ModelTransfer], texts: Mapping[tuple[int, int], PromptText]
) -> tuple[HintTransfer, ...]:
    """Every text of a type once, with its losses adjusted for the number of hints of a model."""
    groups: dict[tuple[HintType, str], list[tuple[int, int]]] = {}
    for key, found in texts.items():
        if found.hint_type is not None:
            groups.setdefault((found.hint_type, found.text), []).append(key)
    names = list(groups)
    columns = [
        _column(answers, list(groups.values())) if not model.withheld else [None] * len(groups)
        for answers, model in zip(asked, models, strict=True)
    ]
    problems = {key: asked[0].cells.problems[p] for each in asked for key, p in _problem_places(each)}
    hints = []
    for place, name in enumerate(names):
        losses = tuple(column[place] for column in columns)
        if any(loss is not None for loss in losses):
            keys = groups[name]
            ids = tuple(dict.fromkeys(problems[key] for key in keys if key in problems))
            hints.append(HintTransfer(name[1], name[0], texts[keys[0]].author, ids, losses))
    return tuple(sorted(hints, key=lambda hint: -hint.mean))


def _problem_places(answers: _Answers) -> Iterator[tuple[tuple[int, int], int]]:
    return zip(answers.keys(), answers.hinted.problem.tolist(), strict=True)


def _column(answers: _Answers, groups: Sequence[Sequence[tuple[int, int]]]) -> list[Loss | None]:
    """The losses of one model, a hint each."""
    places = {key: place for place, key in enumerate(answers.keys())}
    found: list[Loss | None] = []
    for keys in groups:
        rows = np.array([places[key] for key in keys if key in places], dtype=np.intp)
        problems = answers.hinted.problem[rows]
        several = len(np.unique(problems)) > 1
        found.append(
            None if not len(rows)
            else _loss(answers.losses[rows], problems) if several
            else _loss_of_one(answers.hinted.take(rows), answers.placebo.take(rows))
        )  # fmt: skip
    adjusted = iter(holm([loss.p_value for loss in found if loss is not None]))
    return [None if loss is None else replace(loss, adjusted=next(adjusted)) for loss in found]


def _loss_of_one(hinted: OutcomeArrays, placebo: OutcomeArrays) -> Loss:
    """Of one problem: its samples are independent."""
    right = [int(side.data["right"].sum(dtype=int)) for side in (placebo, hinted)]
    n = [int(side.data["samples"].sum(dtype=int)) for side in (placebo, hinted)]
    p = fisher_exact(right[0], n[0], right[1], n[1])
    return Loss(newcombe(right[0], n[0], right[1], n[1]), p, p, 1, len(hinted))


def _agreement(hints: Sequence[HintTransfer], models: Sequence[ModelTransfer], first: int, second: int) -> Agreement:
    pairs = [
        (a.value.mean, b.value.mean, hint.problem_ids[:1])
        for hint in hints
        if (a := hint.losses[first]) is not None and (b := hint.losses[second]) is not None
    ]
    value = None
    if pairs:
        losses, others, clusters = zip(*pairs, strict=True)
        value = rank_correlation(losses, others, clusters, samples=max(200, min(2000, _RANKED // len(pairs))))
    return Agreement(models[first].model, models[second].model, value, len(pairs))


# ---------------------------------------------------------------------- words


def _sentences(
    models: Sequence[ModelTransfer], hints: Sequence[HintTransfer], agreements: Sequence[Agreement], samples: int
) -> Iterator[str]:
    for model in models:
        yield _model_sentence(model)
    yield from _hint_sentences(models, hints, samples)
    for found in agreements:
        if found.hints:
            yield _agreement_sentence(found)


def _model_sentence(model: ModelTransfer) -> str:
    if model.loss is None:
        return f"{model.model}: nothing can be said. {model.withheld}".strip()
    loss = model.loss
    detail = (
        f"{points_interval(loss.value)} on {count_of(loss.problems, 'problem')}, adjusted {p_clause(loss.adjusted)}"
    )
    if not loss.clear:
        return f"{model.model}: no loss beyond the placebo's that these problems could show ({detail})."
    verb = "cost" if loss.value.mean > 0 else "cost less than neutral text:"
    types = [t.replace("_", " ") for t, found in model.by_type.items() if found.clear and found.value.mean > 0]
    by = f"; by type, clear for {', '.join(types)}" if types else ""
    return f"{model.model}: the hints {verb} {detail}, beyond neutral text{by}."


def _hint_sentences(models: Sequence[ModelTransfer], hints: Sequence[HintTransfer], samples: int) -> Iterator[str]:
    if not hints:
        return
    readable = sum(not m.withheld for m in models)
    transfer, single = sum(h.harmed > 1 for h in hints), sum(h.harmed == 1 for h in hints)
    if transfer or single:
        yield (
            f"Of {count_of(len(hints), 'hint')}, {transfer} harm two models or more and {single} one alone, each by "
            f"itself and adjusted for all {len(hints):,}, over {count_of(readable, 'readable model')}."
        )
        return
    alone = [h for h in hints if len(h.problem_ids) == 1]
    least = fisher_exact(samples, samples, 0, samples) * len(hints)
    if len(alone) == len(hints) and least >= LEVEL:
        yield (
            f"No single hint can be called harmful with {count_of(samples, 'answer')} a prompt: even one that turns "
            f"all of them could be chance among {count_of(len(hints), 'hint')}. It takes "
            f"{_samples_needed(len(hints))} samples; the figures above take all hints together."
        )
    else:
        yield f"No single one of {count_of(len(hints), 'hint')} harms a model clearly by itself."


def _samples_needed(hints: int) -> int:
    """Samples a prompt with which a hint that turns every answer is clear among so many."""
    return next(n for n in itertools.count(2) if fisher_exact(n, n, 0, n) * hints < LEVEL)


def _agreement_sentence(found: Agreement) -> str:
    names = f"{found.first} and {found.second}"
    if found.value is None:
        return f"{names}: no rank correlation, as all {count_of(found.hints, 'hint')} have one loss on one of them."
    value = found.value
    text = f"{decimal(value.mean, signed=True)} [{decimal(value.low, signed=True)}, {decimal(value.high, signed=True)}]"
    clear = value.low > 0 or value.high < 0
    what = "agree on which hints harm" if value.mean > 0 else "are harmed by opposite hints"
    claim = what if clear else "do not clearly agree on which hints harm"
    return f"{names} {claim}: rank correlation {text} over {count_of(found.hints, 'hint')}."


# ---------------------------------------------------------------------- tables and the chart


def model_table(found: Transfer) -> DataTable:
    """A row a model, to read."""
    types = _types(found)
    columns = ("model", "clean", "hinted", "placebo", "needed", "clean − hinted", "loss beyond placebo", "adjusted p",
               "problems", "unread", *(t.replace("_", " ") for t in types))  # fmt: skip
    rows: list[tuple[Value, ...]] = []
    for m in found.models:
        rates = (percent(m.rates[c].value.mean) if c in m.rates else UNKNOWN
                 for c in (Condition.CLEAN, Condition.HINTED, Condition.PLACEBO, Condition.NEEDED))  # fmt: skip
        unread = max((rate.unread.total for rate in m.rates.values()), default=0.0)
        loss = m.loss
        rows.append((
            m.model, *rates, points_interval(m.gap, "") if m.gap else UNKNOWN, loss.text if loss else "nothing to say",
            p_value(loss.adjusted) if loss else "", str(loss.problems) if loss else "", percent(unread),
            *(m.by_type[t].text if t in m.by_type else UNKNOWN for t in types),
        ))  # fmt: skip
    return DataTable(columns, tuple(rows))


def _types(found: Transfer) -> list[HintType]:
    return [t for t in HintType if any(t in m.by_type for m in found.models)]


def hint_table(found: Transfer) -> DataTable:
    """A row a hint and a column a model, to read. A star is a clear loss."""
    rows: list[tuple[Value, ...]] = [
        (h.text, h.hint_type.replace("_", " "), str(len(h.problem_ids)), *(loss_text(loss) for loss in h.losses),
         str(h.harmed))
        for h in found.hints
    ]  # fmt: skip
    return DataTable(("hint", "type", "problems", *(m.model for m in found.models), "models harmed"), tuple(rows))


def loss_text(loss: Loss | None) -> str:
    """'★ +67 [+20, +90]'."""
    return UNKNOWN if loss is None else f"{'★ ' if loss.clear else ''}{loss.text}"


def long_table(found: Transfer) -> DataTable:
    """Everything as numbers, for CSV: a row a figure."""
    columns = ("figure", "model", "of", "hint", "problem", "value", "low", "high", "p", "adjusted p", "problems", "n",
               "unreadable", "truncated")  # fmt: skip
    rows: list[tuple[Value, ...]] = [row for m in found.models for row in _model_rows(m)]
    for h in found.hints:
        for m, loss in zip(found.models, h.losses, strict=True):
            if loss is not None:
                ids = " ".join(h.problem_ids)
                rows.append(("loss of a hint", m.model, str(h.hint_type), h.text, ids, *_numbers(loss), None, None))
    for a in found.agreements:
        if a.value is not None:
            limits = a.value.mean, a.value.low, a.value.high
            names = f"{a.first} and {a.second}"
            rows.append(("rank correlation", names, "", "", "", *limits, None, None, None, a.hints, None, None))
    return DataTable(columns, tuple(rows))


def _model_rows(m: ModelTransfer) -> Iterator[tuple[Value, ...]]:
    for condition, rate in m.rates.items():
        limits = rate.value.mean, rate.value.low, rate.value.high
        yield ("accuracy", m.model, str(condition), "", "", *limits, None, None, rate.problems, rate.rows,
               rate.unread.unreadable, rate.unread.truncated)  # fmt: skip
    if m.gap is not None:
        yield ("clean − hinted", m.model, "all", "", "", m.gap.mean, m.gap.low, m.gap.high, *[None] * 6)
    for name, loss in (("all", m.loss), *((str(t), x) for t, x in m.by_type.items())):
        if loss is not None:
            yield ("loss", m.model, name, "", "", *_numbers(loss), None, None)


def _numbers(loss: Loss) -> tuple[float | int, ...]:
    v = loss.value
    return v.mean, v.low, v.high, loss.p_value, loss.adjusted, loss.problems, loss.pairs


def loss_chart(found: Transfer) -> ChartData | None:
    """The loss of each model with its interval: all hints, and each type beside it. None where nothing can be said."""
    shown = [m for m in found.models if m.loss is not None]
    if not shown:
        return None
    kinds: list[HintType | None] = [None, *_types(found)]

    def series(place: int, kind: HintType | None) -> Series:
        losses = [(x, m.loss if kind is None else m.by_type.get(kind)) for x, m in enumerate(shown)]
        there = [(float(x), loss) for x, loss in losses if loss is not None]
        return Series(
            "all hints" if kind is None else kind.replace("_", " "),
            NAMED["hinted"] if kind is None else NAMED[f"type:{kind}"], [x for x, _ in there],
            [loss.value.mean for _, loss in there], [loss.value.low for _, loss in there],
            [loss.value.high for _, loss in there], marked=True, joined=False,
            shift=(place - (len(kinds) - 1) / 2) * _APART,
            titles=[f"{shown[int(x)].model}: {loss.text}" for x, loss in there],
        )  # fmt: skip

    zero = Series("no loss", SeriesStyle("muted", ":"), [-0.5, len(shown) - 0.5], [0.0, 0.0], keyed=False, width=1.0)
    ticks = tuple((x, m.model) for x, m in enumerate(shown))
    return ChartData((zero, *(series(i, kind) for i, kind in enumerate(kinds))), Scale.POINTS, "model", ticks)


def describe_hint(found: Transfer, hint: HintTransfer) -> tuple[str, ...]:
    """The whole text, where it is from, and its loss on each model."""
    first = f"{hint.text}\n{hint.hint_type.replace('_', ' ').capitalize()}, by {hint.author or 'unknown'}, beside "
    first += f"problem {hint.problem_ids[0]}." if len(hint.problem_ids) == 1 else f"{len(hint.problem_ids)} problems."
    lines = [
        f"{m.model}: " + (
            "nothing can be said." if loss is None
            else f"{points_interval(loss.value)}, adjusted {p_clause(loss.adjusted)}"
            f"{'; clear' if loss.clear else ''}."
        )
        for m, loss in zip(found.models, hint.losses, strict=True)
    ]  # fmt: skip
    return (first, *lines)
