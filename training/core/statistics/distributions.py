"""Student's t and chi-square with one degree of freedom, without scipy. Refuses a probability outside (0, 1)."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()
_TINY = 1e-300
_ALMOST_NORMAL = 1e7


def normal_quantile(probability: float) -> float:
    """The standard normal value below which this share lies; ValueError outside (0, 1)."""
    if not 0 < probability < 1:
        raise ValueError(f"a probability must lie between 0 and 1, not {probability}")
    return _NORMAL.inv_cdf(probability)


def chi_square_tail(value: float) -> float:
    """P(X > value) of chi-square with one degree of freedom: erfc(√(value / 2))."""
    return math.erfc(math.sqrt(max(0.0, value) / 2))


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function by Lentz's method (DLMF 8.17.22; 3.10(iii))."""
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), _TINY)
    result = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d, c = 1 / ((1 + term * d) or _TINY), (1 + term / c) or _TINY
            result *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return result


def beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) (DLMF 8.17.2), for x in [0, 1] and a, b > 0."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(x, a, b) / a
    return 1 - front * _beta_fraction(1 - x, b, a) / b


def t_tail(value: float, df: float) -> float:
    """P(T > value) of Student's t; df > 0 need not be whole."""
    square = value * value
    # The beta function's argument must not round to 1 near the middle, nor its share far out in the tail.
    if square < 1:
        half = 0.5 - beta_share(square / (df + square), 0.5, df / 2) / 2
    else:
        half = beta_share(df / (df + square), df / 2, 0.5) / 2
    return half if value >= 0 else 1 - half


def _t_density(value: float, df: float) -> float:
    log = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    return math.exp(log - (df + 1) / 2 * math.log1p(value * value / df))


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """The value of Student's t below which this share lies; df > 0 need not be whole, ValueError otherwise.

    Newton's method on the incomplete beta function. It starts at the normal quantile, which lies below the root where
    the distribution function is concave, so that every step comes closer from the same side.
    """
    z = normal_quantile(probability)
    if df <= 0:
        raise ValueError(f"degrees of freedom must be positive, not {df}")
    if probability < 0.5:
        return -t_quantile(1 - probability, df)
    if df >= _ALMOST_NORMAL or probability == 0.5:
        return z
    value, upper = z, 1 - probability
    for _ in range(200):
        step = (t_tail(value, df) - upper) / _t_density(value, df)
        value += step
        if abs(step) <= 1e-13 * value:
            break
    return value
