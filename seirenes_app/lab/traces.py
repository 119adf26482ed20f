"""What the Traces page and `seirenes traces` do with a run's rollouts: open, ask, compare, go from flip to flip, take
one to Craft. No Qt, no SQL."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from seirenes_app.lab.crafting.documents import Candidate, Draft, DraftProblem, Origin, new_draft, new_id
from seirenes_app.lab.crafting.problems import as_problem
from training.core.answers import parse_clock, parse_number
from training.core.problems import FAMILIES
from training.core.suggestions import read_suggestion
from training.core.types import AnswerKind, PerturbationType
from training.errors import UserError
from training.rundir.paths import RunPaths
from training.rundir.rollout_query import Facets, Flip, RolloutQuery, TracePair
from training.rundir.rollout_reader import RolloutReader

NOTEWORTHY = (Flip.HARMFUL, Flip.HELPFUL)
"""The flips that the keys for next and previous stop at."""


class TraceBook:
    """One run's rollouts, opened. May be used from several threads: see `training.rundir.rollout_reader`.

    Opening raises a UserError that says which it is: no rollouts yet (wait, or start the run), or a damaged file.
    """

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._reader = RolloutReader(paths.rollouts)
        try:
            self._version = self._reader.version()
            self.facets()
        except UserError:
            self._reader.close()
            raise

    @property
    def paths(self) -> RunPaths:
        """The run that was opened."""
        return self._paths

    def facets(self) -> Facets:
        """What the run holds, for the filters."""
        return self._reader.facets()

    def first_page(self, query: RolloutQuery, limit: int = 100) -> list[dict[str, Any]]:
        """The first rows of the query's order."""
        return self._reader.first_page(query, limit)

    def ids(self, query: RolloutQuery, cancelled: Callable[[], bool] | None = None) -> array[int]:
        """The whole list, as ids; raises `training.rundir.rollout_reader.Cancelled`."""
        return self._reader.ids(query, cancelled)

    def count(self, query: RolloutQuery) -> int:
        """How many rows the query has."""
        return self._reader.count(query)

    def rows(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """These rows, in this order; ids that are gone are left out."""
        return self._reader.rows(ids)

    def pair(self, id: int) -> TracePair:
        """A row with its counterparts."""
        return self._reader.pair(id)

    def next_flip(self, after: int, query: RolloutQuery, *, backwards: bool = False) -> int | None:
        """The id of the next harmful or helpful flip in time after that id, among the query's rows; None at the end.
        Where the query names flips, only those count; its sort is not heeded."""
        wanted = query if query.flips else replace(query, flips=tuple(map(str, NOTEWORTHY)))
        return self._reader.next_id(wanted, after, backwards=backwards)

    def grown(self) -> bool:
        """Whether rows came or went since the last call (or since opening): then ask again. Cheap; for a timer."""
        version, self._version = self._version, self._reader.version()
        return version != self._version

    def to_draft(self, row: dict[str, Any]) -> Draft:
        """A draft for Craft with the row's question, gold answer and, where it has one, its hint."""
        problem = DraftProblem(
            question=row["question"],
            answer=row["gold"],
            kind=_kind_of(row),
            source=self._paths.run_id,
            id=row["problem_id"],
            family=row["family"],
        )
        draft = replace(new_draft(problem), title=f"{self._paths.run_id}, step {row['step']}")
        if not row["hint"] or row["hint_type"] not in list(PerturbationType):
            return draft
        type_ = PerturbationType(row["hint_type"])
        hint = row["hint"].strip()
        author = self._paths.run_id
        candidate = Candidate(new_id(), hint, type_, Origin.RUN, author, _suggested(hint, problem))
        return replace(draft, type=type_, candidates=(candidate,), chosen=candidate.id)

    def interrupt(self) -> None:
        """End `ids`, `first_page` or `facets` under way in another thread."""
        self._reader.interrupt()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def _suggested(hint: str, problem: DraftProblem) -> str | None:
    """The wrong answer that the hint pushes; None where that cannot be told."""
    try:
        return read_suggestion(hint, as_problem(problem))
    except UserError:
        # A problem that Craft cannot check is still shown there, with what is wrong with it.
        return None


def _kind_of(row: dict[str, Any]) -> AnswerKind:
    """How the gold answer is compared. Rollouts do not keep it: the family knows, else the answer's own looks."""
    family, gold = FAMILIES.get(row["family"]), row["gold"]
    if family is not None:
        return family.kind
    if parse_number(gold) is not None:
        return AnswerKind.NUMBER
    if parse_clock(gold) is not None:
        return AnswerKind.CLOCK
    return AnswerKind.CHOICE if gold.strip().casefold() in row["question"].casefold() else AnswerKind.SYMBOLIC
