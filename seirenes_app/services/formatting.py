"""Numbers in words: percents, points, intervals, p-values, and what a change may be called. Pure.

A change is called one only if its 95% interval leaves out zero and its p is below 0.05; everything else is "no change
that N problems could show".
"""

from __future__ import annotations

from training.core.statistics import Interval, Needed
from training.evaluation.metric_types import Change

LEVEL = 0.05
MINUS = "−"


def percent(share: float) -> str:
    """'44%'; one decimal where the whole number would be 0% or 100% and is neither."""
    value = 100 * share
    decimals = 1 if (0 < value < 0.5 or 99.5 <= value < 100) else 0
    return f"{value:.{decimals}f}%".replace("-", MINUS)


def percents(found: Interval) -> str:
    """'44% [40, 49]'."""
    return f"{percent(found.mean)} [{percent(found.low)[:-1]}, {percent(found.high)[:-1]}]"


def _decimals(*shares: float) -> int:
    """One where a whole number would hide on which side of zero a value lies."""
    return 1 if any(0 < abs(100 * s) < 1 for s in shares) else 0


def signed(share: float, decimals: int = 0) -> str:
    """'+28' or '−1': points with their sign; zero has none."""
    text = f"{100 * share:+.{decimals}f}".replace("-", MINUS)
    return text if any(c in "123456789" for c in text) else text.lstrip(f"+{MINUS}")


def points(found: Interval, unit: str = "points") -> str:
    """'+28 points [+23, +32]'."""
    decimals = _decimals(found.mean, found.low, found.high)
    mean, low, high = (signed(x, decimals) for x in (found.mean, found.low, found.high))
    told = unit.removesuffix("s") if mean.lstrip(f"+{MINUS}") == "1" else unit
    return f"{mean}{f' {told}' if told else ''} [{low}, {high}]"


def p_words(p_value: float) -> str:
    """'p < 0.001' or 'p = 0.023'."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def is_clear(found: Interval, p_value: float | None = None) -> bool:
    """Whether a difference may be called one."""
    apart = found.low > 0 or found.high < 0
    return apart and (p_value is None or p_value < LEVEL)


def needed_words(needed: Needed, difference: float) -> str:
    """'; about 2,900 more would be needed to see a change of 1 point', or nothing."""
    if not needed.more or difference == 0:
        return ""
    unit = 10 ** max(0, len(str(needed.more)) - 2)
    about = -(-needed.more // unit) * unit
    size = abs(100 * difference)
    told = f"{size:.0f}" if size >= 1 else f"{size:.1f}"
    return f"; about {about:,} more would be needed to see a change of {told} point{'' if told == '1' else 's'}"


def change_words(name: str, change: Change) -> str:
    """One paired change in a clause. `name` begins it."""
    told = f"paired change {points(change.difference)} on {change.problems:,} problems, {p_words(change.p_value)}"
    if is_clear(change.difference, change.p_value):
        verb = "rose" if change.difference.mean > 0 else "fell"
        return f"{name} {verb} from {percent(change.accuracy_before)} to {percent(change.accuracy_after)} ({told})"
    bare = f"{points(change.difference)}, {p_words(change.p_value)}"
    more = needed_words(change.needed, change.difference.mean)
    return f"{name}: no change that {change.problems:,} problems could show ({bare}{more})"


def unpaired_words(name: str, before: Interval, after: Interval, difference: Interval) -> str:
    """The same where rows are gone, so that only totals can be compared."""
    told = f"{points(difference)}, unpaired: the rows of one are gone"
    if is_clear(difference):
        verb = "rose" if difference.mean > 0 else "fell"
        return f"{name} {verb} from {percent(before.mean)} to {percent(after.mean)} ({told})"
    return f"{name}: no change that the totals could show ({told})"


def sentence(*clauses: str) -> str:
    """Clauses as one text: 'A; b; c.'; empty ones are left out. The first begins with a capital."""
    told = [c.strip() for c in clauses if c.strip()]
    text = "; ".join(told)
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
