"""Read a run's rollouts while they are written: pages, counts, search, pairs. Cannot write; no layout of its own.

Two connections, each with its own lock: `ids`, `first_page`, `count` and `facets` share one and may take a while;
`rows`, `row`, `pair` and `newest_id` share the other and answer at once, also while the first is busy. All methods may
be called from any thread. Look-ups of ids that are gone (a resumed run drops later steps) leave them out.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from training.rundir.rollout_query import Facets, RolloutQuery, TracePair


class Cancelled(Exception):
    """The caller asked for an end: `cancelled` said so, or `interrupt` was called."""


class RolloutReader:
    """One run's `rollouts.db`. A UserError from any method names the file and what to do."""

    def __init__(self, path: Path) -> None:
        raise NotImplementedError

    def first_page(self, query: RolloutQuery, limit: int = 100) -> list[dict[str, Any]]:
        """The first rows of the query's order; faster than the whole list of ids."""
        raise NotImplementedError

    def ids(self, query: RolloutQuery, cancelled: Callable[[], bool] = lambda: False) -> array[int]:
        """The ids of all rows of the query, in its order, as array('q'). Raises `Cancelled`."""
        raise NotImplementedError

    def rows(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of these ids, in this order: every column of the table by its name, and `id`."""
        raise NotImplementedError

    def row(self, id: int) -> dict[str, Any] | None:
        """One row; None where there is none."""
        raise NotImplementedError

    def count(self, query: RolloutQuery = RolloutQuery()) -> int:
        """How many rows the query has."""
        raise NotImplementedError

    def facets(self) -> Facets:
        """What the run holds, from counts kept a step: fast at any size."""
        raise NotImplementedError

    def pair(self, id: int) -> TracePair:
        """A row with its counterparts; a UserError where the row is gone."""
        raise NotImplementedError

    def newest_id(self) -> int:
        """The highest id, 0 where there are none: changes when a step was written."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """End the long work under way in another thread: it raises `Cancelled` there."""
        raise NotImplementedError

    def close(self) -> None:
        """Close both connections."""
        raise NotImplementedError
