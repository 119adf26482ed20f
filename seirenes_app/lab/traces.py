"""What the Traces page and `seirenes traces` do with a run's rollouts: open, ask, compare, go from flip to flip, take
one to Craft. No Qt, no SQL."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from training.rundir.paths import RunPaths
from training.rundir.rollout_query import Facets, RolloutQuery, TracePair

if TYPE_CHECKING:
    from seirenes_app.lab.crafting.documents import Draft


class TraceBook:
    """One run's rollouts, opened. May be used from several threads: see `training.rundir.rollout_reader`.

    Opening raises a UserError that says which it is: no rollouts yet (wait, or start the run), or a damaged file.
    """

    def __init__(self, paths: RunPaths) -> None:
        raise NotImplementedError

    @property
    def paths(self) -> RunPaths:
        """The run that was opened."""
        raise NotImplementedError

    def facets(self) -> Facets:
        """What the run holds, for the filters."""
        raise NotImplementedError

    def first_page(self, query: RolloutQuery, limit: int = 100) -> list[dict[str, Any]]:
        """The first rows of the query's order."""
        raise NotImplementedError

    def ids(self, query: RolloutQuery, cancelled: Callable[[], bool] = lambda: False) -> array[int]:
        """The whole list, as ids; raises `training.rundir.rollout_reader.Cancelled`."""
        raise NotImplementedError

    def rows(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """These rows, in this order; ids that are gone are left out."""
        raise NotImplementedError

    def pair(self, id: int) -> TracePair:
        """A row with its counterparts."""
        raise NotImplementedError

    def next_flip(self, after: int, query: RolloutQuery, *, backwards: bool = False) -> int | None:
        """The id of the next harmful or helpful flip in time after that id, among the query's rows; None at the end.
        Where the query names flips, only those count; its sort is not heeded."""
        raise NotImplementedError

    def grown(self) -> bool:
        """Whether rows came or went since the last call (or since opening): then ask again. Cheap; for a timer."""
        raise NotImplementedError

    def to_draft(self, row: dict[str, Any]) -> Draft:
        """A draft for Craft with the row's question, gold answer and, where it has one, its hint."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """End `ids`, `first_page` or `facets` under way in another thread."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError
