"""A cache that does not grow without bound. No I/O."""

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def remember(cache: dict[K, V], key: K, value: V, most: int) -> None:
    """Put the value in; where there are `most` already, the oldest goes."""
    if key not in cache and len(cache) >= most:
        del cache[next(iter(cache))]
    cache[key] = value
