"""What can be filtered by, as values: the choices a run offers, and what of a query is set, in words. No widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from seirenes_app.ui.models.rollout_words import (
    FLIP_LOOKS,
    OUTCOME_LOOKS,
    PASSED,
    STAGE_HELP,
    STAGE_TAGS,
    STAGE_WORDS,
    say,
)
from training.core.types import Outcome, Stage
from training.rundir.rollout_query import Facets, RolloutQuery, Sort

Fields = tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """One box to tick: a value of a field of the query, its words, and how many rollouts have it."""

    field: str
    value: Any
    text: str
    count: int
    tip: str = ""


@dataclass(frozen=True)
class Group:
    """Choices under one heading; `heading` may be empty."""

    heading: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Filter:
    """One button of the bar: its name and the fields of the query it sets."""

    name: str
    fields: Fields
    icon: str = ""


STEP = Filter("Step", ("steps",))
ROLE = Filter("Role", ("stages", "roles"))
TYPE = Filter("Type", ("types",))
FAMILY = Filter("Family", ("families",))
OUTCOME = Filter("Outcome", ("flips", "outcomes"))
GATE = Filter("Gate", ("gates",))
FOLLOWS = Filter("Follows the hint", ("follows",))
TEXT = Filter("Text", ("text",))
FILTERS = (STEP, ROLE, TYPE, FAMILY, OUTCOME, GATE, FOLLOWS)

SORTS = (
    ("Newest first", Sort.TIME, True),
    ("Oldest first", Sort.TIME, False),
    ("Highest reward", Sort.REWARD, True),
    ("Lowest reward", Sort.REWARD, False),
    ("Highest advantage", Sort.ADVANTAGE, True),
    ("Lowest advantage", Sort.ADVANTAGE, False),
    ("Longest", Sort.TOKENS, True),
    ("Shortest", Sort.TOKENS, False),
    ("Most probable", Sort.LOGPROB, True),
    ("Least probable", Sort.LOGPROB, False),
    ("Clean group most right", Sort.CLEAN, True),
    ("Clean group least right", Sort.CLEAN, False),
)
START = RolloutQuery(sort=Sort.TIME, descending=True)
"""What a run opens with: everything, the newest on top."""


def offer(filter_: Filter, facets: Facets) -> tuple[Group, ...]:
    """The choices of a run; what does not occur is not offered."""
    if filter_ is ROLE:
        return (Group("", tuple(
            Choice("stages", s, f"{STAGE_TAGS[s]}  {STAGE_WORDS[s]}", facets.stages[s], STAGE_HELP[s])
            for s in Stage if facets.stages.get(s)
        )),)  # fmt: skip
    if filter_ is OUTCOME:
        flips = [
            Choice("flips", f, look.text, facets.flips[f]) for f, look in FLIP_LOOKS.items() if facets.flips.get(f)
        ]
        known = [
            Choice("outcomes", o, look.text, facets.outcomes[o])
            for o, look in OUTCOME_LOOKS.items()
            if facets.outcomes.get(o)
        ]
        return Group("Clean → hinted", tuple(flips)), Group("The answer", tuple(known))
    if filter_ is FOLLOWS:
        words = {True: "Answers what the hint suggests", False: "Does not"}
        return (Group("", tuple(Choice("follows", v, words[v], facets.follows[v]) for v in words
                                if facets.follows.get(v))),)  # fmt: skip
    counts: Mapping[str, int] = {TYPE: facets.types, FAMILY: facets.families, GATE: facets.gates}[filter_]
    names = sorted(counts, key=lambda name: (name != PASSED, name))
    return (Group("", tuple(Choice(filter_.fields[0], n, say(n).capitalize(), counts[n]) for n in names)),)


def is_set(query: RolloutQuery, filter_: Filter) -> bool:
    """Whether the query is narrowed by it."""
    return any(getattr(query, field) not in ((), None, "") for field in filter_.fields)


def clear(query: RolloutQuery, filter_: Filter) -> RolloutQuery:
    """The query without it."""
    nothing = RolloutQuery()
    changes: dict[str, Any] = {field: getattr(nothing, field) for field in filter_.fields}
    return replace(query, **changes)


def clear_all(query: RolloutQuery) -> RolloutQuery:
    """Everything, in the order it is in."""
    return RolloutQuery(sort=query.sort, descending=query.descending)


def is_filtered(query: RolloutQuery) -> bool:
    """Whether anything is left out."""
    return query != clear_all(query)


def toggle(query: RolloutQuery, choice: Choice, on: bool) -> RolloutQuery:
    """The query with a box ticked or not."""
    if choice.field == "follows":
        return replace(query, follows=choice.value if on else None)
    values = tuple(v for v in getattr(query, choice.field) if v != choice.value)
    changes: dict[str, Any] = {choice.field: (*values, choice.value) if on else values}
    return replace(query, **changes)


def is_chosen(query: RolloutQuery, choice: Choice) -> bool:
    """Whether the box is ticked."""
    if choice.field == "follows":
        return query.follows is choice.value
    return choice.value in getattr(query, choice.field)


def say_filter(query: RolloutQuery, filter_: Filter) -> str:
    """What a filter is set to, for its chip."""
    if filter_ is STEP and query.steps is not None:
        first, last = query.steps
        return f"Step {first}" if first == last else f"Steps {first} to {last}"
    if filter_ is TEXT:
        return f"“{query.text.strip()}”"
    if filter_ is FOLLOWS:
        return "Follows the hint" if query.follows else "Does not follow the hint"
    words = [_say_value(field, value) for field in filter_.fields for value in getattr(query, field)]
    return f"{filter_.name}: {', '.join(words)}"


def _say_value(field: str, value: str) -> str:
    if field == "stages" and value in set(Stage):
        return STAGE_WORDS[Stage(value)]
    if field == "flips" and value in FLIP_LOOKS:
        return FLIP_LOOKS[value].text.lower()
    if field == "outcomes" and value in set(Outcome):
        return OUTCOME_LOOKS[Outcome(value)].text.lower()
    return say(value)


def say_sort(query: RolloutQuery) -> str:
    """The order in words."""
    return next((text for text, sort, down in SORTS if sort is query.sort and down == query.descending), "")
