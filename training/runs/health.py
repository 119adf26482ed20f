"""The alarms of a run: what each watches, its threshold, and when it is raised, repeated and cleared. No I/O.

All thresholds are here. The trainer raises the alarms, and a reader of the events measures the same figures with the
same functions, so that a page can show each beside its limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean, median
from typing import Any

Figures = Mapping[str, Any]
"""The figures of one step by their names, as in its event."""

FIRST_STEPS = 10
"""Steps at a run's beginning whose medians collapse and growth are measured against."""
BEFORE_STEPS = 20
"""Steps before the newest whose median a spike is measured against."""
BEFORE_LEAST = 5
RECENT_STEPS = 3
"""Steps whose median, or mean for a share, stands for the present."""
POOLED_STEPS = 5
CLEAR_AFTER = 3
"""Healthy steps in a row after which an alarm is cleared."""
REPEAT_AFTER = 50
"""Steps after which an alarm that is not cleared is said again."""

FLAT_STEPS = 3
FLAT_SHARE, FLAT_GROUPS = 0.98, 50
ENTROPY_FALL, ENTROPY_GROWTH = 0.2, 3.0
ADVERSARY_ENTROPY = 0.05
"""Nats a token below which the Adversary repeats itself, whatever it began with."""
HIGH_ENTROPY = 0.5
"""Nats a token below which no growth is an alarm."""
LENGTH_FALL, LENGTH_GROWTH = 0.4, 2.5
KL_GROWTH, KL_LEAST = 8.0, 0.1
GRADIENT_GROWTH = 10.0
GATES_LEAST = 0.5
UNIQUE_LEAST = 0.5
GAP_MOST = 0.5
UNREAD_MOST = 0.05
SLOW_GROWTH, SLOW_LEAST_S = 3.0, 5.0
MEMORY_GROWTH, MEMORY_LEAST_MB = 1.5, 500.0


class Change(StrEnum):
    """What became of an alarm."""

    RAISED = "raised"
    REPEATED = "repeated"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Reading:
    """The present figure of an alarm beside its limit, as text. `message` and `remedy` are of an exceeded one."""

    figure: str
    limit: str
    exceeded: bool = False
    message: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class HealthChange:
    """An alarm that is raised, said again or cleared. `remedy` is empty where it is cleared."""

    change: Change
    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Trend:
    """What the alarms look at. `first`: the figures of the run's first steps; `recent`: of the newest, oldest first."""

    first: Sequence[Figures]
    recent: Sequence[Figures]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The run's configuration, nested; may be empty where it is not known."""

    @property
    def latest(self) -> Figures:
        return self.recent[-1] if self.recent else {}

    def setting(self, key: str, default: Any) -> Any:
        section, _, leaf = key.rpartition(".")
        values = self.settings.get(section) if section else self.settings
        return values.get(leaf, default) if isinstance(values, Mapping) else default

    def values(self, name: str, steps: int) -> list[float]:
        """The finite values of the newest steps, oldest first."""
        return _finite(self.recent[-steps:], name)

    def now(self, name: str) -> float | None:
        """The median of the newest steps; None where the newest has no value."""
        if not _finite([self.latest], name):
            return None
        return median(self.values(name, RECENT_STEPS))

    def share(self, name: str) -> float | None:
        """The mean of the newest steps, for shares."""
        found = self.values(name, RECENT_STEPS)
        return fmean(found) if found else None

    def before(self, name: str) -> float | None:
        """The median of the steps before the newest; None with fewer than `BEFORE_LEAST`."""
        found = _finite(self.recent[-BEFORE_STEPS - 1 : -1], name)
        return median(found) if len(found) >= BEFORE_LEAST else None

    def start(self, name: str) -> float | None:
        """The median of the first steps; None while they last."""
        found = _finite(self.first, name)
        over = len(self.first) >= FIRST_STEPS and len(self.recent) > FIRST_STEPS
        return median(found) if over and len(found) >= BEFORE_LEAST else None


def _finite(steps: Sequence[Figures], name: str) -> list[float]:
    found = (figures.get(name) for figures in steps)
    return [float(v) for v in found if isinstance(v, int | float) and math.isfinite(v)]


@dataclass(frozen=True)
class Alarm:
    """One alarm. `rule` says in words when it is raised; `measure` gives None where there is nothing to measure."""

    code: str
    title: str
    rule: str
    measure: Callable[[Trend], Reading | None]


# ---------------------------------------------------------------------- what is learned


def _groups(trend: Trend, role: str, steps: int) -> tuple[float, float]:
    """Groups of the newest steps, and those of them without spread."""
    recent = trend.recent[-steps:]
    return sum(_finite(recent, f"groups/{role}")), sum(_finite(recent, f"zero_variance/{role}"))


ROLES = {"reasoner": "Reasoner", "adversary": "Adversary"}


def _learns_without_spread(trend: Trend) -> bool:
    """Whether rewards are compared with those of other groups too."""
    return trend.setting("advantage.baseline", "group") != "group" or bool(trend.setting("advantage.fallback", False))


def _is_flat(step: Figures) -> bool:
    groups, flat = (
        sum(sum(_finite([step], f"{name}/{role}")) for role in ROLES) for name in ("groups", "zero_variance")
    )
    return bool(groups) and flat >= groups


def _equal_rewards(trend: Trend) -> Reading | None:
    if _learns_without_spread(trend) or not any(_groups(trend, role, 1)[0] for role in ROLES):
        return None
    steps = 0
    for figures in reversed(trend.recent):
        if not _is_flat(figures):
            break
        steps += 1
    figure = "none" if steps == 0 else f"{steps} {'step' if steps == 1 else 'steps'} in a row"
    message = f"In {steps} steps in a row all rewards of a group were equal, so nothing was learned."
    return Reading(figure, f"below {FLAT_STEPS} steps", steps >= FLAT_STEPS, message, _flat_remedy(trend))


def _flat_remedy(trend: Trend) -> str:
    if (_unread(trend, "unparsable_rate") or 0.0) + (_unread(trend, "truncated_rate") or 0.0) > UNREAD_MOST:
        return "Most likely few answers are read: see the alarms on unreadable and cut-off solutions first."
    if (trend.share("clean_accuracy") or 0.0) > 0.5:
        return "The problems are too easy for this model: use harder ones, or raise rollout.temperature."
    return "The problems are too hard for this model: use easier ones, or a stronger model."


def _flat(role: str) -> Callable[[Trend], Reading | None]:
    def measure(trend: Trend) -> Reading | None:
        groups, flat = _groups(trend, role, POOLED_STEPS)
        if not groups or _learns_without_spread(trend):
            return None
        share = flat / groups
        # A step in which nothing at all was learned has an alarm of its own.
        exceeded = share >= FLAT_SHARE and groups >= FLAT_GROUPS and not all(map(_is_flat, trend.recent[-FLAT_STEPS:]))
        name = ROLES[role]
        message = (
            f"{flat:.0f} of the {name}'s {groups:.0f} groups in {min(POOLED_STEPS, len(trend.recent))} steps had equal "
            f"rewards: the {name} learns {'nothing' if flat == groups else 'almost nothing'}."
        )
        return Reading(_percent(share), f"below {_percent(FLAT_SHARE)}", exceeded, message, _role_remedy(trend, role))

    return measure


def _role_remedy(trend: Trend, role: str) -> str:
    if role == "reasoner":
        return _flat_remedy(trend)
    if (trend.share("gate_pass_rate") or 0.0) < GATES_LEAST:
        return "Few hints pass the gates: raise adversary.kl or lower adversary.loss_weight."
    if (trend.share("clean_accuracy") or 0.0) < 0.1:
        return "Hints are tried on questions that are solved without: use easier problems, or a stronger model."
    return "No hint changes an answer, or each does: raise rollout.hinted, or set adversary.reward = 'drop'."


# ---------------------------------------------------------------------- texts


def _band(
    name: str, unit: str, fall: float, growth: float, least: float, most: float, says: Mapping[str, tuple[str, str]]
) -> Callable[[Trend], Reading | None]:
    """An alarm outside `fall` to `growth` times the start; below `least` always, below `most` no growth is."""

    def measure(trend: Trend) -> Reading | None:
        now, start = trend.now(name), trend.start(name)
        if now is None:
            return None
        low = max(least, fall * start) if start is not None else least
        high = max(most, growth * start) if start is not None else math.inf
        begun = f"above {_number(low)}" if low else f"after {FIRST_STEPS} steps"
        limit = f"{_number(low)} to {_number(high)}" if start is not None else begun
        which = "low" if now < low else "high"
        message, remedy = says[which]
        bound, began = (low, "below") if which == "low" else (high, "above")
        figures = f"{_number(now)} {unit}, {began} {_number(bound)}"
        since = f" ({_number(start)} at the start)" if start is not None else ""
        return Reading(f"{_number(now)} {unit}", limit, not low <= now <= high, f"{message} {figures}{since}.", remedy)

    return measure


_entropy_adversary = _band(
    "entropy/adversary", "nats", ENTROPY_FALL, ENTROPY_GROWTH, ADVERSARY_ENTROPY, HIGH_ENTROPY,
    {"low": ("The Adversary writes the same hint again and again: its entropy is",
             "Raise adversary.kl or lower update.learning_rate."),
     "high": ("The Adversary's text becomes random: its entropy is",
              "Raise adversary.kl or lower update.learning_rate.")},
)  # fmt: skip
_entropy_reasoner = _band(
    "entropy/reasoner", "nats", ENTROPY_FALL / 2, ENTROPY_GROWTH, 0.0, HIGH_ENTROPY,
    {"low": ("The Reasoner hardly varies its solutions any more: its entropy is",
             "Raise rollout.temperature, or update.kl, or use harder problems."),
     "high": ("The Reasoner's text becomes random: its entropy is",
              "Lower update.learning_rate, or raise update.kl.")},
)  # fmt: skip
_length_solutions = _band(
    "length/solution_tokens", "tokens", LENGTH_FALL, LENGTH_GROWTH, 0.0, 16.0,
    {"low": ("Solutions become short: on average",
             "Read some of them in Traces. Lower update.learning_rate, or raise update.kl."),
     "high": ("Solutions become long: on average",
              "Read some of them in Traces; a step takes longer with them. Lower rollout.max_solution_tokens, or raise "
              "update.kl.")},
)  # fmt: skip
_length_hints = _band(
    "length/hint_tokens", "tokens", LENGTH_FALL, LENGTH_GROWTH, 0.0, 16.0,
    {"low": ("Hints become short: on average", "Read some of them in Traces. Raise adversary.kl."),
     "high": ("Hints become long: on average",
              "Read some of them in Traces. Raise adversary.kl, or lower rollout.max_hint_tokens.")},
)  # fmt: skip


def _at_least(name: str, least: float, message: str, remedy: str) -> Callable[[Trend], Reading | None]:
    def measure(trend: Trend) -> Reading | None:
        share = trend.share(name)
        if share is None:
            return None
        text = f"{message.format(_percent(share))} The limit is {_percent(least)}."
        return Reading(_percent(share), f"at least {_percent(least)}", share < least, text, remedy)

    return measure


_gates = _at_least(
    "gate_pass_rate", GATES_LEAST, "Only {} of the hints pass the gates.",
    "Raise adversary.kl or lower adversary.loss_weight.",
)  # fmt: skip
_narrow = _at_least(
    "hint_unique_share", UNIQUE_LEAST, "Only {} of the hints differ from one another.",
    "Raise adversary.kl, rollout.temperature or curriculum.replay_share.",
)  # fmt: skip


def _unread(trend: Trend, name: str) -> float | None:
    return trend.share(name)


def _at_most(name: str, most: float, message: str, remedy: str) -> Callable[[Trend], Reading | None]:
    def measure(trend: Trend) -> Reading | None:
        share = _unread(trend, name)
        if share is None:
            return None
        text = f"{message.format(_percent(share))} The limit is {_percent(most)}."
        return Reading(_percent(share), f"at most {_percent(most)}", share > most, text, remedy)

    return measure


_unreadable = _at_most(
    "unparsable_rate", UNREAD_MOST, "{} of the solutions are unreadable, and count as failures.",
    "Read some of them, see with `seirenes grade` how one is read, and choose a prompt that shows the model the form "
    "of the answer.",
)  # fmt: skip
_truncated = _at_most(
    "truncated_rate", UNREAD_MOST, "{} of the solutions are cut off by the token limit: no reward.",
    "Raise rollout.max_solution_tokens.",
)  # fmt: skip


# ---------------------------------------------------------------------- the update


def _kl(trend: Trend) -> Reading | None:
    found = _finite([trend.latest], "kl")
    if not found:
        return None
    before = trend.before("kl")
    limit = max(KL_LEAST, KL_GROWTH * before) if before is not None else None
    message = f"The distance to the starting model jumped: KL {_number(found[0])} nats a token"
    if before is not None and limit is not None:
        message += f", above {_number(limit)} ({_number(before)} is usual)"
    return Reading(
        _number(found[0]), f"at most {_number(limit)}" if limit is not None else "after six steps",
        limit is not None and found[0] > limit, f"{message}.", "Lower update.learning_rate, or raise update.kl.",
    )  # fmt: skip


def _gradient(trend: Trend) -> Reading | None:
    if "grad_norm" not in trend.latest:
        return None
    found = _finite([trend.latest], "grad_norm")
    remedy = "Lower update.learning_rate."
    if not found:
        message = "The gradient is not finite; the step was skipped."
        return Reading("not finite", "a finite number", True, message, remedy)
    before = trend.before("grad_norm")
    clip = float(trend.setting("update.max_grad_norm", 1.0))
    limit = max(2 * clip, GRADIENT_GROWTH * before) if before is not None else None
    message = f"The gradient's norm is {_number(found[0])}"
    if before is not None and limit is not None:
        message += f", above {_number(limit)} ({_number(before)} is usual); it was cut to {_number(clip)}"
    return Reading(
        _number(found[0]), f"at most {_number(limit)}" if limit is not None else "after six steps",
        limit is not None and found[0] > limit, f"{message}.", remedy,
    )  # fmt: skip


def _gap(trend: Trend) -> Reading | None:
    if trend.setting("update.epochs", 1) > 1 or trend.setting("update.max_rows", 0):
        # Later epochs and left-over groups are compared with older weights: the difference is no fault.
        return None
    gap = trend.now("logprob_gap/max")
    if gap is None:
        return None
    message = f"Sampler and trainer disagree by {gap:.2f} nats on a token; the limit is {GAP_MOST:g}."
    remedy = "Set model.dtype = 'float32'; the update is biased while this lasts."
    return Reading(f"{_number(gap)} nats", f"at most {GAP_MOST:g}", gap > GAP_MOST, message, remedy)


# ---------------------------------------------------------------------- the machine


def _seconds_per_ktoken(step: Figures) -> float | None:
    """A step's seconds per 1,000 sampled tokens: longer texts are no slowness. None for a launch's first step."""
    speed, seconds = _finite([step], "tokens_per_s"), _finite([step], "seconds")
    sampling = sum(sum(_finite([step], f"seconds/{stage}")) for stage in ("r1", "r2", "r3"))
    if not speed or not seconds or step.get("warming_up") or not speed[0] * sampling:
        return None
    return 1000 * seconds[0] / (speed[0] * sampling)


def _slow_step(trend: Trend) -> Reading | None:
    seconds = _finite([trend.latest], "seconds")
    if not seconds:
        return None
    earlier = trend.recent[-BEFORE_STEPS - 1 : -1]
    paces = [pace for step in earlier if (pace := _seconds_per_ktoken(step)) is not None]
    pace, figure = _seconds_per_ktoken(trend.latest), f"{seconds[0]:.1f} s"
    if pace is None or len(paces) < BEFORE_LEAST:
        return Reading(figure, "after six steps")
    usual = seconds[0] * median(paces) / pace
    limit = max(SLOW_GROWTH * usual, usual + SLOW_LEAST_S)
    message = f"A step took {seconds[0]:.0f} s, above {limit:.0f} s ({usual:.1f} s is usual for so many tokens)."
    return Reading(figure, f"at most {limit:.0f} s", seconds[0] > limit, message, _slow_remedy(trend))


def _slow_remedy(trend: Trend) -> str:
    parts = [name for name in trend.latest if name.startswith("time/")]
    longer = {name: trend.latest[name] - (trend.before(name) or 0.0) for name in parts}
    most = max(longer, key=lambda name: longer[name], default="")
    where = f"Most of it went into {most.removeprefix('time/')}. " if most else ""
    return f"{where}Other programs may be using the machine; model.threads should not exceed its free cores."


def _memory(trend: Trend) -> Reading | None:
    now, start = trend.now("rss_mb"), trend.start("rss_mb")
    if now is None:
        return None
    figure = f"{now:,.0f} MB"
    if start is None:
        return Reading(figure, f"after {FIRST_STEPS} steps")
    limit = max(MEMORY_GROWTH * start, start + MEMORY_LEAST_MB)
    message = f"The trainer's memory grew to {now:,.0f} MB, above {limit:,.0f} MB ({start:,.0f} MB at the start)."
    remedy = "Save a checkpoint, stop and resume it. If it grows again, lower rollout.questions."
    return Reading(figure, f"at most {limit:,.0f} MB", now > limit, message, remedy)


def _percent(share: float) -> str:
    text = f"{100 * share:.1f}" if 0.95 < share < 1 or 0 < share < 0.1 else f"{100 * share:.0f}"
    return f"{text.removesuffix('.0')}%"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def read_deafness(since_start: Mapping[str, Any], settings: Mapping[str, Any]) -> Reading | None:
    """Whether text after the question is used less while hints do less harm: the Reasoner then learns to ignore what
    follows a question, not to see through a hint. Takes the `since_start` of an evaluation's metrics, and the run's
    settings, which the remedy goes beyond."""
    needed, hinted = since_start.get("needed"), since_start.get("hinted")
    if not isinstance(needed, Mapping) or not isinstance(hinted, Mapping):
        return None
    falls, rises = needed["high"] < 0, hinted["low"] > 0
    message = (
        f"Since step {since_start['step']} accuracy where the text after the question is needed fell by "
        f"{-100 * needed['mean']:.1f} points ({_points(needed)}), while hinted accuracy rose by "
        f"{100 * hinted['mean']:.1f} ({_points(hinted)}): what follows a question is ignored more."
    )
    remedy = _listen_more(Trend([], [], settings))
    figure = f"needed {100 * needed['mean']:+.1f} points ({_points(needed)})"
    return Reading(figure, "no fall beyond its interval while hinted rises", falls and rises, message, remedy)


def _listen_more(trend: Trend) -> str:
    share, placement = float(trend.setting("reasoner.needed_share", 0.0)), trend.setting("reasoner.placement", "append")
    changes = [f"reasoner.needed_share = {min(1.0, max(0.5, share + 0.25)):g} (it has {share:g})"] if share < 1 else []
    changes += ["reasoner.placement = 'varied'"] if placement != "varied" else []
    rate = "a lower update.learning_rate."
    return f"Start a run with {' and '.join(changes)}, or {rate}" if changes else f"Start a run with {rate}"


def _points(change: Mapping[str, Any]) -> str:
    return f"95% interval {100 * change['low']:+.1f} to {100 * change['high']:+.1f}"


def _elsewhere(_trend: Trend) -> Reading | None:
    return None


CLEAN_GUARD = "clean_guard"
DEAFNESS = "deafness"
STALLED_STAGE = "stalled_stage"

ALARMS = (
    Alarm("equal_rewards", "Equal rewards",
          f"In {FLAT_STEPS} steps in a row all rewards of each group were equal.", _equal_rewards),
    *(Alarm(f"flat_{role}", f"{name}: groups without spread",
            f"At least {FLAT_SHARE:.0%} of the {name}'s groups in {POOLED_STEPS} steps ({FLAT_GROUPS} groups or more) "
            "had equal rewards.", _flat(role)) for role, name in ROLES.items()),
    Alarm(CLEAN_GUARD, "Clean accuracy, held-out",
          "It fell by more than curriculum.guard_margin below its best evaluation.", _elsewhere),
    Alarm(DEAFNESS, "Needed text, held-out",
          "Since the first evaluation needed accuracy fell and hinted accuracy rose, each beyond its paired interval: "
          "what follows a question is ignored.", _elsewhere),
    Alarm("unreadable", "Unreadable solutions",
          f"More than {UNREAD_MOST:.0%} in the newest {RECENT_STEPS} steps.", _unreadable),
    Alarm("truncated", "Cut-off solutions",
          f"More than {UNREAD_MOST:.0%} in the newest {RECENT_STEPS} steps.", _truncated),
    Alarm("gates", "Hints that pass the gates",
          f"Fewer than {GATES_LEAST:.0%} in the newest {RECENT_STEPS} steps.", _gates),
    Alarm("narrow", "Different hints",
          f"Fewer than {UNIQUE_LEAST:.0%} of the hints in the newest {RECENT_STEPS} steps.", _narrow),
    Alarm("entropy", "Adversary: entropy",
          f"Median of {RECENT_STEPS} steps below {ADVERSARY_ENTROPY:g} nats or {ENTROPY_FALL:g} times the first "
          f"{FIRST_STEPS} steps, or above {ENTROPY_GROWTH:g} times those and {HIGH_ENTROPY:g} nats.",
          _entropy_adversary),
    Alarm("entropy_reasoner", "Reasoner: entropy",
          f"Median of {RECENT_STEPS} steps below {ENTROPY_FALL / 2:g} times the first {FIRST_STEPS} steps, or above "
          f"{ENTROPY_GROWTH:g} times those and {HIGH_ENTROPY:g} nats.", _entropy_reasoner),
    *(Alarm(code, title, f"Median of {RECENT_STEPS} steps outside {LENGTH_FALL:g} to {LENGTH_GROWTH:g} times the first "
            f"{FIRST_STEPS} steps.", measure)
      for code, title, measure in (("length_solutions", "Length of solutions", _length_solutions),
                                   ("length_hints", "Length of hints", _length_hints))),
    Alarm("kl", "KL to the starting model",
          f"Above {KL_GROWTH:g} times the median of the {BEFORE_STEPS} steps before, and {KL_LEAST:g} nats a token.",
          _kl),
    Alarm("gradient", "Gradient norm",
          f"Above {GRADIENT_GROWTH:g} times the median of the {BEFORE_STEPS} steps before and twice "
          "update.max_grad_norm, or not finite.", _gradient),
    Alarm("logprob_gap", "Sampler against trainer",
          f"Log-probabilities of one token differ by more than {GAP_MOST:g} nats.", _gap),
    Alarm("slow_step", "Seconds of a step",
          f"Above {SLOW_GROWTH:g} times what the {BEFORE_STEPS} steps before took for as many tokens, and "
          f"{SLOW_LEAST_S:g} s more. Pauses do not count.", _slow_step),
    Alarm("memory", "Memory of the trainer",
          f"Above {MEMORY_GROWTH:g} times the first {FIRST_STEPS} steps, and {MEMORY_LEAST_MB:g} MB more.", _memory),
    Alarm(STALLED_STAGE, "Progress",
          "A stage makes no progress for a minute and ten times as long as usual; ten minutes while it computes.",
          _elsewhere),
)  # fmt: skip
"""Every alarm, in the order of a list of them."""


# ---------------------------------------------------------------------- raised and cleared

CAUGHT_UP = 3 * REPEAT_AFTER
"""Steps that are gone through again on resume; earlier ones count only where a window holds them."""


class HealthMonitor:
    """Follows a run's figures: an alarm is raised once, said again after `REPEAT_AFTER` steps, and cleared."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._first: list[Figures] = []
        self._recent: list[Figures] = []
        self._raised: dict[str, dict[str, int]] = {}

    @property
    def raised(self) -> tuple[str, ...]:
        """The codes of the alarms that stand, oldest first."""
        return tuple(self._raised)

    def catch_up(self, steps: Sequence[tuple[int, Figures]]) -> None:
        """Take up what the steps so far have come to, of a run that goes on after them."""
        newest = len(steps) - CAUGHT_UP
        for i, (step, figures) in enumerate(steps):
            if i < newest:
                self._keep(figures)
            else:
                self.observe(step, figures)

    def observe(self, step: int, figures: Figures) -> list[HealthChange]:
        """What a step's figures change."""
        self._keep(figures)
        trend, changes = Trend(self._first, self._recent, self._settings), []
        for alarm in ALARMS:
            reading = alarm.measure(trend)
            if reading is None:
                continue
            if reading.exceeded:
                change = self.report(step, alarm.code, reading.message, reading.remedy)
            else:
                change = self.clear(alarm.code, f"{alarm.title}: {reading.figure}.", after=CLEAR_AFTER)
            if change is not None:
                changes.append(change)
        return changes

    def _keep(self, figures: Figures) -> None:
        if len(self._first) < FIRST_STEPS:
            self._first.append(figures)
        self._recent = [*self._recent, figures][-BEFORE_STEPS - 1 :]

    def report(self, step: int, code: str, message: str, remedy: str, *, always: bool = False) -> HealthChange | None:
        """Something is wrong: what is to be said of it, None where it was said lately (unless `always`)."""
        known = self._raised.get(code)
        if known is None:
            self._raised[code] = {"step": step, "said": step, "fine": 0}
            return HealthChange(Change.RAISED, code, message, remedy)
        known["fine"] = 0
        if always or step - known["said"] >= REPEAT_AFTER:
            known["said"] = step
            return HealthChange(Change.REPEATED, code, message, remedy)
        return None

    def clear(self, code: str, message: str, *, after: int = 1) -> HealthChange | None:
        """It is fine; the alarm is cleared if it stood and this was said `after` times in a row."""
        known = self._raised.get(code)
        if known is None:
            return None
        known["fine"] += 1
        if known["fine"] < after:
            return None
        del self._raised[code]
        return HealthChange(Change.CLEARED, code, message, "")
