"""Numbers as text: percents, points, intervals, p-values, counts, sizes, durations, times. Pure. The window, the
command and the report print every number through this module, so that one number has one form. A change is called a
change only if its 95% interval excludes zero and its p-value is below 0.05."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime

from training.core.statistics import Interval, Needed
from training.evaluation.metric_types import Change

LEVEL = 0.05
MINUS = "−"
UNKNOWN = "—"
_EXACT = 1e-9  # percents closer than this to 0 or 100 are float noise


def percent(share: float, decimals: int = 0) -> str:
    """'44%'. A share that is neither 0 nor 1 is never printed as 0% or 100%: '0.5%', '<0.1%', '>99.9%'."""
    value = 100 * share
    if min(abs(value), abs(value - 100)) < _EXACT:
        return f"{round(value)}%"
    text = f"{value:.{decimals}f}"
    if text in ("0", "-0", "100"):
        text = f"{value:.1f}"
    text = {"0.0": "<0.1", "-0.0": "0", "100.0": ">99.9"}.get(text, text)
    return f"{text}%".replace("-", MINUS)


def percent_interval(found: Interval) -> str:
    """'44% [40, 49]', '0.7% [0.3, 1.4]'; one decimal where a whole number would hide a distance from 0 or 100."""
    decimals = int(any(0 < abs(100 * x) < 1 or 99 < 100 * x < 100 for x in (found.mean, found.low, found.high)))
    return f"{percent(found.mean, decimals)} {percent_limits(found.low, found.high, decimals)}"


def percent_limits(low: float, high: float, decimals: int = 0) -> str:
    """'[40, 49]'."""
    return f"[{percent(low, decimals)[:-1]}, {percent(high, decimals)[:-1]}]"


def signed_points(share: float, decimals: int = 0) -> str:
    """'+28' or '−1': percentage points with their sign; zero has none."""
    return _unsigned_zero(f"{100 * share:+.{decimals}f}")


def points(share: float) -> str:
    """'28': percentage points without a sign; one decimal below one."""
    return f"{100 * share:.{int(0 < 100 * share < 1)}f}"


def points_interval(found: Interval, unit: str = "points") -> str:
    """'+28 points [+23, +32]'; one decimal where a whole number would hide on which side of zero a value lies."""
    decimals = int(any(0 < abs(100 * x) < 1 for x in (found.mean, found.low, found.high)))
    mean, low, high = (signed_points(x, decimals) for x in (found.mean, found.low, found.high))
    name = unit.removesuffix("s") if mean.lstrip(f"+{MINUS}") == "1" else unit
    return f"{mean}{f' {name}' if name else ''} [{low}, {high}]"


def decimal(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """'0.53', '−1.20', with `signed` '+0.53'; a dash for None. Zero has no sign."""
    return UNKNOWN if value is None else _unsigned_zero(f"{value:{'+' if signed else ''}.{digits}f}")


def number(value: float) -> str:
    """Any measured value with three significant digits: '0.0123', '52.5', '12,300'."""
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}").replace("-", MINUS)


def _unsigned_zero(text: str) -> str:
    return text.replace("-", MINUS) if any(c in "123456789" for c in text) else text.lstrip("+-")


def p_value(p: float) -> str:
    """'<0.001' or '0.023'."""
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def p_clause(p: float) -> str:
    """'p < 0.001' or 'p = 0.023'."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def format_count(n: float) -> str:
    """'12,000'."""
    return f"{n:,.0f}"


def count_of(n: int, noun: str) -> str:
    """'1 rollout', '12,000 rollouts'."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def describe_prompts(labels: Mapping[str, str]) -> str:
    """Which prompt profile (``name@digest``) was used, by whom; a caution where they differ, "" where none is known."""
    versions = {label.rpartition("@")[2] for label in labels.values()}
    if len(versions) == 1:
        return f"Prompts {next(iter(labels.values()))}."
    listed = ", ".join(f"{label} for {name}" for name, label in labels.items())
    return f"Prompts differ ({listed}): a difference may come from them." if labels else ""


def short_count(n: float) -> str:
    """A count of parameters or tokens: '2.1 M', '7.6 B'."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.0f}"


def byte_size(n: float) -> str:
    """'12 kB', '3.4 MB', '740 MB', '7.6 GB' (powers of 1024)."""
    if n < 2**20:
        return f"{n / 1024:.0f} kB"
    for size, unit in ((2**20, "MB"), (2**30, "GB")):
        if n < 1000 * size or unit == "GB":
            return f"{n / size:.1f} {unit}" if n < 10 * size else f"{n / size:,.0f} {unit}"
    raise AssertionError


def megabytes(n: float) -> str:
    """`byte_size` of MiB."""
    return byte_size(n * 2**20)


def money(amount: float | None, currency: str = "") -> str:
    """'12.50 USD', '0.04 USD', '0.0042 USD', 'less than 0.0001 USD'; a dash for None, as where no price is known."""
    if amount is None:
        return UNKNOWN
    if 0 < amount < 1e-4:
        return f"less than 0.0001 {currency}".rstrip()
    digits = f"{amount:,.2f}" if amount >= 0.01 or amount == 0 else f"{amount:.2g}"
    return f"{digits} {currency}".rstrip()


def duration(seconds: float | None) -> str:
    """'40 s', '6 min', '2 h 5 min', '3 d 4 h'; a dash for None."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def countdown(seconds: float) -> str:
    """A duration that is seen to shrink: '6 min 20 s' where `duration` says '6 min'."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if 1 <= minutes < 60 and rest else duration(whole)


def clock(t: float, now: float) -> str:
    """A moment as '14:03', with its day where that is not today's. Unix seconds."""
    when = datetime.fromtimestamp(t)
    return f"{when:%H:%M}" if when.date() == datetime.fromtimestamp(now).date() else f"{when:%H:%M on %d %B}"


def time_ago(t: float | None, now: float) -> str:
    """'just now', '12 min ago', 'today 14:05', 'yesterday 09:30', '24 Nov 2026'; a dash for None. Unix seconds."""
    if not t:
        return UNKNOWN
    past = now - t
    if past < 60:
        return "just now"
    if past < 3600:
        return f"{past // 60:.0f} min ago"
    moment, today = datetime.fromtimestamp(t), datetime.fromtimestamp(now).date()
    days = (today - moment.date()).days
    if days == 0:
        return f"today {moment:%H:%M}"
    if days == 1:
        return f"yesterday {moment:%H:%M}"
    return f"{moment.day} {moment:%b %Y}"


# ---------------------------------------------------------------------- changes


def is_clear(found: Interval, p: float | None = None) -> bool:
    """Whether a difference may be called one: its interval excludes zero, and p (if there is one) is below 0.05."""
    return (found.low > 0 or found.high < 0) and (p is None or p < LEVEL)


def change_tone(found: Interval | None, p: float | None = None) -> str:
    """'good' or 'bad' for a change that `is_clear`, else 'muted': the colour that a change may have."""
    if found is None or not is_clear(found, p):
        return "muted"
    return "good" if found.mean > 0 else "bad"


def describe_change(name: str, change: Change) -> str:
    """One paired change as a clause that begins with `name`."""
    detail = f"{points_interval(change.difference)}, {p_clause(change.p_value)}, {change.problems:,} problems"
    if is_clear(change.difference, change.p_value):
        verb = "rose" if change.difference.mean > 0 else "fell"
        return f"{name} {verb} from {percent(change.accuracy_before)} to {percent(change.accuracy_after)}: {detail}"
    return f"{name} shows no clear change: {detail}{_needed_clause(change.needed, change.difference.mean)}"


def _needed_clause(needed: Needed, difference: float) -> str:
    """' (about 2,900 more would show one of this size)', or nothing."""
    if not needed.more or difference == 0:
        return ""
    unit = 10 ** max(0, len(str(needed.more)) - 2)
    return f" (about {-(-needed.more // unit) * unit:,} more would show one of this size)"


def describe_unpaired_change(name: str, before: Interval, after: Interval, difference: Interval) -> str:
    """The same where rows are not here, so that only totals can be compared."""
    detail = f"{points_interval(difference)}, unpaired, as the rows of one are not here"
    if is_clear(difference):
        verb = "rose" if difference.mean > 0 else "fell"
        return f"{name} {verb} from {percent(before.mean)} to {percent(after.mean)}: {detail}"
    return f"{name} shows no clear change: {detail}"


def sentence(*clauses: str) -> str:
    """Clauses as one text: 'A; b; c.'; empty ones are left out. The first begins with a capital."""
    text = "; ".join(c.strip() for c in clauses if c.strip())
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def brief(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def visible(text: str, newline: str = "⏎") -> str:
    """Text that cannot steer a terminal: new lines as `newline`, other control and hidden characters as their code."""
    hidden = ("Cc", "Cf", "Co", "Cs", "Cn")
    return "".join(
        newline if c == "\n" else f"<{ord(c):04X}>" if unicodedata.category(c) in hidden else c for c in text
    )
