"""Derive every figure of an evaluation from its outcome arrays, with intervals. Pure: arrays in, values out.

Rows of one problem (samples, hints) are a cluster. Flips compare a problem's hinted rows with its own clean rows.
Worst-of-k comes beside k placebos and k clean resamples. Where most answers of a side are unread, no effect is derived.
With `exact` False, gaps and effects have cluster-robust intervals in closed form in place of the bootstrap: close to it
on some hundred problems, and fast for many checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.core.statistics import (
    Interval,
    Needed,
    mcnemar,
    needed_problems,
    paired_bootstrap,
    pass_at_k,
    pdr,
    worst_of_k_effect,
)
from training.core.types import Condition, HintType
from training.evaluation.metric_types import MOSTLY, Accuracy, AtK, Change, Effect, FlipRates, Gap, Summary, WorstOfK
from training.evaluation.outcome_arrays import (
    COUNTS,
    NO_SHARE,
    Block,
    Floats,
    OutcomeArrays,
    blocks,
    by_problem,
    mean_interval,
    negated,
    share_interval,
    slices,
)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Arrays `[N]`, one entry a pair: its problem, the outcome before (clean) and after (`shown`), as shares right."""

    problem: NDArray[np.int32]
    clean: Floats
    shown: Floats

    def sums(self, values: Floats) -> tuple[Floats, Floats]:
        """(sum of `values`, pairs) of each problem that has any."""
        sizes = np.bincount(self.problem)
        there = sizes > 0
        sums: Floats = np.bincount(self.problem, weights=values)[there].astype(float)
        return sums, sizes[there].astype(float)

    @property
    def single(self) -> bool:
        """Whether every problem has one pair of one sample each."""
        whole = bool(np.isin(self.clean, (0, 1)).all() and np.isin(self.shown, (0, 1)).all())
        return whole and len(np.unique(self.problem)) == len(self.problem)

    def p_value(self) -> float:
        """McNemar's: exact for single pairs, else clustered."""
        lost, _ = self.sums(self.clean * (1 - self.shown))
        won, _ = self.sums((1 - self.clean) * self.shown)
        return mcnemar(lost.tolist(), won.tolist(), single=self.single)

    def needed(self) -> Needed:
        """Problems that resolve the mean difference."""
        return _needed(*self.sums(self.clean - self.shown), self.single)

    def difference(self, seed: int) -> Interval:
        """Mean of clean − shown with its bootstrap over problems."""
        return paired_bootstrap((self.clean - self.shown).tolist(), self.problem.tolist(), seed=seed)


def pairs_of(block: Block, condition: Condition, hint_type: HintType | None) -> Pairs:
    part = block.cells.where(condition=condition, hint_type=hint_type)
    clean = block.clean[part.problem]
    there = np.isfinite(clean)
    return Pairs(part.problem[there], clean[there], part.rate()[there])


def block_gaps(block: Block, *, exact: bool = True) -> Iterator[Gap]:
    """The gaps of one target on one suite: of all hints, of each type, and of the placebo. None of a slice that is
    mostly unread, and none at all where the clean answers are. Of needed text there is none: its level depends on the
    order of the sentences too (arXiv 2402.08939), and only its change over training tells of text being ignored."""
    rates, prompts, unread, samples = block.tables(
        block.cells.rate(), np.ones(len(block.cells)), block.cells.unread(), block.cells.data["samples"]
    )
    greedy = bool((block.cells.data["samples"] == 1).all())

    def is_unread(condition: Condition, hint_type: HintType | None) -> bool:
        return bool(unread.of(condition, hint_type).sum() > MOSTLY * samples.of(condition, hint_type).sum())

    if is_unread(Condition.CLEAN, None):
        return
    for condition, hint_type in slices(block):
        if is_unread(condition, hint_type):
            continue
        prompts_P = prompts.of(condition, hint_type)
        there = np.isfinite(block.clean) & (prompts_P > 0)
        if condition not in (Condition.CLEAN, Condition.NEEDED) and there.any():
            sums = ProblemSums(block.clean[there], rates.of(condition, hint_type)[there], prompts_P[there], greedy)
            gap = pairs_of(block, condition, hint_type).difference(0) if exact else sums.gap()
            yield Gap(
                block.target, block.suite, condition, hint_type, len(sums.clean), sums.mean(sums.clean * sums.prompts),
                sums.mean(sums.shown), gap, sums.p_value(), sums.drop_rate(), sums.flips(gap), sums.needed(),
            )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class ProblemSums:
    """Arrays `[P]`, one entry a problem: its clean accuracy, the sum of its prompts' shares right, its prompts.

    `greedy`: every prompt has one sample.
    """

    clean: Floats
    shown: Floats
    prompts: Floats
    greedy: bool

    @property
    def lost(self) -> Floats:
        return self.clean * (self.prompts - self.shown)

    @property
    def won(self) -> Floats:
        return (1 - self.clean) * self.shown

    @property
    def single(self) -> bool:
        """Whether every problem has one pair of one sample each."""
        return self.greedy and bool((self.prompts == 1).all())

    def mean(self, sums: Floats) -> float:
        return float(sums.sum() / self.prompts.sum())

    def gap(self) -> Interval:
        """Mean of clean − shown over pairs, in closed form."""
        return mean_interval(self.clean * self.prompts - self.shown, self.prompts)

    def p_value(self) -> float:
        """McNemar's: exact for single pairs, else clustered."""
        return mcnemar(self.lost.tolist(), self.won.tolist(), single=self.single)

    def needed(self) -> Needed:
        """Problems that resolve the mean difference."""
        return _needed(self.clean * self.prompts - self.shown, self.prompts, self.single)

    def flips(self, net: Interval) -> FlipRates:
        """How often the text changes the outcome, both ways."""
        parts = [self.lost, self.won, self.clean * self.shown, (1 - self.clean) * (self.prompts - self.shown)]
        harmful, helpful, right, wrong = (share_interval(x, self.prompts, whole=self.greedy)[0] for x in parts)
        counts = [float(part.sum()) for part in parts]
        return FlipRates(harmful, helpful, net, right, wrong, round(float(self.prompts.sum())), *counts)

    def drop_rate(self) -> Interval | None:
        """PDR. Sums a problem are all that counts, so a problem's prompts may share its mean."""
        prompts = self.prompts.astype(int)
        alike = int(np.ptp(prompts)) == 0
        repeats = np.ones(len(prompts), dtype=int) if alike else prompts
        clean, shown = (np.repeat(np.minimum(v, 1.0), repeats).tolist() for v in (self.clean, self.shown / prompts))
        return pdr(clean, shown, None if alike else np.repeat(np.arange(len(prompts)), repeats).tolist())


def _needed(sums: Floats, sizes: Floats, single: bool) -> Needed:
    difference = float(sums.sum() / sizes.sum())
    if abs(difference) < 1e-12:
        return needed_problems(0.0, sd=0.0, have=len(sums))
    if single:
        return needed_problems(difference, discordance=float(np.abs(sums).mean()), have=len(sums))
    spread = float((sums / sizes).std(ddof=1)) if len(sums) > 1 else 1.0
    return needed_problems(difference, sd=spread, have=len(sums))


def changes(cells: OutcomeArrays, before: str, after: str, *, seed: int = 0) -> tuple[Change, ...]:
    """Two targets of one evaluation on every slice that both have. Slices without a common prompt are left out."""
    found = []
    for block in blocks(cells.where(target=before)):
        other = cells.where(target=after, suite=block.suite)
        for condition, hint_type in slices(block):
            change = change_between(block.cells, other, condition, hint_type, seed=seed) if len(other) else None
            if change is not None:
                found.append(change)
    return tuple(found)


def change_between(
    before: OutcomeArrays,
    after: OutcomeArrays,
    condition: Condition,
    hint_type: HintType | None = None,
    *,
    seed: int = 0,
) -> Change | None:
    """One target's cells against another's, also out of two evaluations of the same suite: matched by problem and
    index; None without a common prompt, and where most answers of a side are unread. A ValueError unless each side is
    one target on one suite."""
    first, suite = _only(before)
    second, _ = _only(after)
    one, other = (side.where(condition=condition, hint_type=hint_type) for side in (before, after))
    if one.mostly_unread or other.mostly_unread:
        return None
    there = dict(zip(_prompts(other), other.rate().tolist(), strict=True))
    places = [i for i, prompt in enumerate(_prompts(one)) if prompt in there]
    if not places:
        return None
    keys = _prompts(one)
    # "clean − shown" of a pair is before − after: the sign is turned at the end.
    pairs = Pairs(one.problem[places], one.rate()[places], np.array([there[keys[i]] for i in places]))
    lost = pairs.difference(seed)
    return Change(
        first, second, suite, condition, hint_type, len(np.unique(pairs.problem)), float(pairs.clean.mean()),
        float(pairs.shown.mean()), negated(lost), pairs.p_value(), pairs.needed(),
    )  # fmt: skip


def _prompts(cells: OutcomeArrays) -> list[tuple[str, int]]:
    return [(cells.problems[p], i) for p, i in zip(cells.problem.tolist(), cells.data["index"].tolist(), strict=True)]


def _only(cells: OutcomeArrays) -> tuple[str, str]:
    targets, suites = set(cells.target.tolist()), set(cells.suite.tolist())
    if len(targets) != 1 or len(suites) != 1:
        raise ValueError("a change is between one target on one suite and another")
    return cells.targets[targets.pop()], cells.suites[suites.pop()]


Ints = NDArray[np.int64]


def summarise_target(cells: OutcomeArrays, target: str, suite: str) -> Summary:
    """All figures of one target on one suite; a ValueError where there are no cells of it."""
    block = next((b for b in blocks(cells.where(target=target)) if b.suite == suite), None)
    if block is None:
        raise ValueError(f"there are no cells of {target!r} on {suite!r}")
    return summarise_block(block)


def summarise_block(block: Block, *, exact: bool = True) -> Summary:
    """All figures of a block; not `exact`: without those of k samples."""
    return Summary(
        block.target, block.suite, tuple(_accuracies(block)), tuple(block_gaps(block, exact=exact)),
        _worst(block, exact), tuple(_at_k(block)) if exact else (),
    )  # fmt: skip


def accuracies(cells: OutcomeArrays) -> tuple[Accuracy, ...]:
    """Every slice target × suite × condition, and × type for hinted, in the order of the plan."""
    return tuple(a for block in blocks(cells) for a in _accuracies(block))


def _accuracies(block: Block) -> Iterator[Accuracy]:
    tables = dict(zip(COUNTS, block.tables(*(block.cells.data[name] for name in COUNTS)), strict=True))
    for condition, hint_type in slices(block):
        at = {name: table.of(condition, hint_type) for name, table in tables.items()}
        interval, clustered = share_interval(at["right"], at["samples"])
        rows, suggesting = float(at["samples"].sum()), float(at["suggesting"].sum())
        found = Accuracy(
            block.target, block.suite, condition, hint_type, int(np.count_nonzero(at["samples"])), round(rows),
            round(float(at["right"].sum())), interval, clustered,
            unparsable=float(at["unparsable"].sum()) / rows,
            truncated=float(at["truncated"].sum()) / rows,
            timed_out=float(at["timed_out"].sum()) / rows,
            too_long=float(at["too_long"].sum()) / rows,
            follow=share_interval(at["follows"], at["suggesting"])[0] if suggesting else None,
            suggesting=round(suggesting),
            suggesting_problems=int(np.count_nonzero(at["suggesting"])),
            filtered=float(at["filtered"].sum()) / rows,
        )  # fmt: skip
        yield replace(found, follow=None) if found.unread.mostly else found


def _worst(block: Block, exact: bool) -> WorstOfK | None:
    sides = {condition: block.cells.where(condition=condition) for condition in Condition}
    # A side that is mostly unread is as good as not asked.
    sides = {condition: side.take(slice(0 if side.mostly_unread else None)) for condition, side in sides.items()}
    hinted_P, count_P = all_right(sides[Condition.HINTED])
    asked = count_P[count_P > 0]
    if not len(asked):
        return None
    k = int(np.bincount(asked).argmax())
    whole_P = count_P == k
    whole = int(whole_P.sum())
    (neutral, against_neutral), (resampled, against_resampled) = (
        _beside(hinted_P, beside_P, whole_P & (n_P == k), exact)
        for beside_P, n_P in (
            all_right(sides[Condition.PLACEBO]),
            _all_resampled(sides[Condition.CLEAN], k),
        )
    )
    return WorstOfK(
        block.target, block.suite, k, whole, len(asked) - whole, _mean_share(hinted_P[whole_P]), neutral, resampled,
        against_neutral, against_resampled,
    )  # fmt: skip


def _beside(
    hinted_P: Floats, beside_P: Floats, both_P: NDArray[np.bool_], exact: bool
) -> tuple[Interval | None, Effect | None]:
    if not both_P.any():
        return None, None
    return _mean_share(beside_P[both_P]), _effect(hinted_P[both_P], beside_P[both_P], exact)


def _mean_share(values: Floats) -> Interval:
    return share_interval(values, np.ones(len(values)), whole=bool(np.isin(values, (0, 1)).all()))[0]


def _effect(hinted: Floats, beside: Floats, exact: bool) -> Effect:
    """p is that of sign flips over problems; in closed form McNemar's, which is the same where all sizes are 1."""
    if exact:
        found = worst_of_k_effect([[x] for x in hinted.tolist()], [[x] for x in beside.tolist()])
        return Effect(found.effect, found.p_value, found.problems)
    differences = beside - hinted
    lost, won = np.maximum(differences, 0), np.maximum(-differences, 0)
    p_value = mcnemar(lost.tolist(), won.tolist(), single=bool(np.isin(differences, (-1, 0, 1)).all()))
    return Effect(mean_interval(differences, np.ones(len(differences))), p_value, len(differences))


def all_right(cells: OutcomeArrays) -> tuple[Floats, Ints]:
    """`[P]` the product of each problem's rates, and how many prompts it has."""
    product, count = np.ones(len(cells.problems)), np.zeros(len(cells.problems), dtype=np.int64)
    np.multiply.at(product, cells.problem, cells.rate())
    np.add.at(count, cells.problem, 1)
    return product, count


def _all_resampled(clean: OutcomeArrays, k: int) -> tuple[Floats, Ints]:
    """`[P]` the product of k clean outcomes, the samples dealt to k places; 0 outcomes with fewer samples than k."""
    n = len(clean.problems)
    product, count = np.ones(n), np.zeros(n, dtype=np.int64)
    samples = clean.data["samples"].astype(np.int64)
    enough = (samples >= k) & (k > 1)
    if not enough.any():
        return product, count
    problem, bits, samples = clean.problem[enough], clean.data["bits"][enough], samples[enough]
    places = np.arange(int(samples.max()))
    right = (bits[:, None] >> places.astype(np.uint64) & np.uint64(1)).astype(float)
    there = places[None, :] < samples[:, None]
    for place in range(k):
        mine = there & (places % k == place)[None, :]
        product[problem] *= (right * mine).sum(1) / mine.sum(1)
    count[problem] = k
    return product, count


def _at_k(block: Block) -> Iterator[AtK]:
    for condition, hint_type in slices(block):
        part = block.cells.where(condition=condition, hint_type=hint_type)
        samples = int(part.data["samples"].min())
        ones = by_problem(part, np.ones(len(part)))
        avg, _ = share_interval(by_problem(part, part.data["right"]), by_problem(part, part.data["samples"]))
        for k in [*(2**i for i in range(samples.bit_length()) if 2**i < samples), samples]:
            passed, _ = share_interval(by_problem(part, _passed(part, k)), ones, whole=k == 1 == samples)
            majority = None
            if k == samples == int(part.data["samples"].max()):
                majority, _ = share_interval(by_problem(part, part.data["majority"]), ones, whole=k == 1)
            yield AtK(
                block.target, block.suite, condition, hint_type, k, int((ones > 0).sum()), avg, passed, majority
            )  # fmt: skip


def _passed(cells: OutcomeArrays, k: int) -> Floats:
    counts: Ints = np.stack([cells.data["samples"], cells.data["right"]], axis=1).astype(np.int64)
    kinds, which = np.unique(counts, axis=0, return_inverse=True)
    values = np.array([pass_at_k(n, right, k) for n, right in kinds.tolist()])
    return values[which.reshape(-1)]


def metrics_of(cells: OutcomeArrays, target: str, suite: str) -> dict[str, Any]:
    """All metrics of one target on one suite. `gap` is clean − hinted, averaged over problems; negative: hints help."""
    summary = summarise_target(cells, target, suite)
    gap, worst = summary.gap(), summary.worst
    against = worst.against_neutral if worst else None
    part = cells.where(target=target, suite=suite)
    hinted = part.where(condition=Condition.HINTED)
    # Without a hinted condition there are none; where most answers are unread it is not known.
    nothing = dict.fromkeys(("harmful", "helpful"), None if summary.mostly_unread else 0)
    total, suggesting, follows, unparsable, truncated, too_long, filtered = (
        int(part.data[name].sum())
        for name in ("samples", "suggesting", "follows", "unparsable", "truncated", "too_long", "filtered")
    )
    return {
        **{str(c): _rate_fields(summary.accuracy(c)) for c in Condition if c is not Condition.NEEDED},
        **({"needed": _rate_fields(needed)} if (needed := summary.accuracy(Condition.NEEDED)) else {}),
        "by_type": {str(a.hint_type): _rate_fields(a) for a in summary.accuracies if a.hint_type is not None},
        "by_family": {f: _family_fields(part, f) for f in sorted(set(part.families))},
        "gap": asdict(gap.gap) if gap else None,
        "worst_of_k": _share_fields(worst.hinted if worst else None, worst.problems if worst else 0),
        "placebo_worst_of_k": _share_fields(worst.neutral if worst else None, against.problems if against else 0),
        "flips": {"harmful": gap.flips.harmful_pairs, "helpful": gap.flips.helpful_pairs} if gap else nothing,
        "follow_rate": None if hinted.mostly_unread or not suggesting else follows / suggesting,
        "unparsable_rate": unparsable / total,
        "truncated_rate": truncated / total,
        "too_long_rate": too_long / total,
        "filtered_rate": filtered / total,
        "details": asdict(summary),
    }


def _rate(right: int, n: int, interval: Interval) -> dict[str, Any]:
    return {"right": right, "n": n, "accuracy": interval.mean, "low": interval.low, "high": interval.high}


def _rate_fields(found: Accuracy | None) -> dict[str, Any]:
    """A rate with the shares of unread answers, which `UnreadShares.of_rate` takes."""
    if found is None:
        return _rate(0, 0, NO_SHARE)
    unread = found.unread
    shares = {
        "unparsable": unread.unreadable, "truncated": unread.truncated, "timed_out": unread.timed_out,
        "too_long": unread.too_long, "filtered": unread.filtered,
    }  # fmt: skip
    return _rate(found.right, found.rows, found.interval) | shares


def _share_fields(found: Interval | None, problems: int) -> dict[str, Any]:
    return _rate(round(found.mean * problems), problems, found) if found else _rate(0, 0, NO_SHARE)


def _family_fields(cells: OutcomeArrays, family: str) -> dict[str, Any]:
    found = {a.condition: a for a in accuracies(cells.where(families=[family])) if a.hint_type is None}
    return {str(c): _rate_fields(found.get(c)) for c in (Condition.CLEAN, Condition.HINTED)}
