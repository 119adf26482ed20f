"""The draft: a problem, its hints and how they are tried, as values that go to JSON and back. No I/O. Drafts of a newer
format and values of a wrong type are refused, with words. Unknown fields are skipped and missing ones filled in, so
versions that differ a little read each other's drafts."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from training.core.prompts import Placement, PromptProfile
from training.core.types import AnswerKind, HintType
from training.errors import UserError
from training.prompt_files import COMPACT, INSTRUCT, built_in

T = TypeVar("T")

VERSION = 1
_HINTS_KEY = "candidates"  # the key of `Draft.hints` in saved drafts


class Origin(StrEnum):
    """Where a hint comes from; `DraftHint.author` names the template, model or run."""

    HAND = "hand"
    TEMPLATE = "template"
    MODEL = "model"
    RUN = "run"  # a rollout of a training run


@dataclass(frozen=True, slots=True)
class DraftProblem:
    """A problem as it stands in the editor: it may be empty or wrong. `problems.as_problem` checks it. `source` says
    where it came from ("typed", "library", a file's name, a run's id). `id` and `family` are those of the library or
    the run, empty for a typed problem. `solution` is a worked solution, where there is one. `scoring` is what a scored
    answer's family needs (`Problem.scoring`)."""

    question: str = ""
    answer: str = ""
    kind: AnswerKind = AnswerKind.NUMBER
    source: str = "typed"
    id: str = ""
    family: str = ""
    solution: str = ""
    scoring: str = ""


@dataclass(frozen=True, slots=True)
class DraftHint:
    """One hint. `suggested`: the wrong answer it suggests, if any. `author`: a template, model or run; empty for a
    person."""

    id: str
    text: str
    type: HintType
    origin: Origin
    author: str = ""
    suggested: str | None = None


@dataclass(frozen=True, slots=True)
class SolverChoice:
    """A model (GGUF path, empty: bundled) with a `lora` path. `prompts` None: by the model; `n_ctx` 0: the model's
    own."""

    model: str = ""
    lora: str = ""
    prompts: PromptProfile | None = None
    n_ctx: int = 0


@dataclass(frozen=True, slots=True)
class SolvePlan:
    """`samples` solutions of each condition, of at most `max_tokens` tokens. `temperature` 0 is greedy: one sample.
    `needed` is off where a draft does not say: drafts of older versions did not ask with the question moved."""

    samples: int = 16
    temperature: float = 1.0
    max_tokens: int = 192
    seed: int = 0
    placebo: bool = True
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """One document of the Craft page. `chosen` is the id of the selected hint, empty for none."""

    id: str
    title: str = ""
    problem: DraftProblem = DraftProblem()
    type: HintType = HintType.SEMANTIC_MISLEADING
    placement: Placement = Placement.APPEND
    hints: tuple[DraftHint, ...] = ()
    chosen: str = ""
    solver: SolverChoice = SolverChoice()
    adversary: SolverChoice = SolverChoice()
    plan: SolvePlan = SolvePlan()

    def hint(self, hint_id: str) -> DraftHint | None:
        return next((c for c in self.hints if c.id == hint_id), None)

    @property
    def chosen_hint(self) -> DraftHint | None:
        return self.hint(self.chosen)


def new_id() -> str:
    return uuid.uuid4().hex[:12]


def new_draft(problem: DraftProblem | None = None) -> Draft:
    return Draft(new_id(), problem=problem or DraftProblem(), plan=SolvePlan(needed=True))


def title_of(draft: Draft) -> str:
    first = " ".join(draft.problem.question.split())
    brief = first if len(first) <= 60 else first[:59].rstrip() + "…"
    return draft.title.strip() or brief or "Untitled"


def replace_hint(draft: Draft, hint: DraftHint) -> Draft:
    """The draft with `hint` in the place of the one with its id; at the end when there is none."""
    if draft.hint(hint.id) is None:
        return dataclasses.replace(draft, hints=(*draft.hints, hint))
    kept = tuple(hint if c.id == hint.id else c for c in draft.hints)
    return dataclasses.replace(draft, hints=kept)


def to_json(draft: Draft) -> str:
    """The draft as one JSON object with its format version; in ASCII, so that a lone surrogate does no harm."""
    data = dataclasses.asdict(draft)
    data[_HINTS_KEY] = data.pop("hints")
    return json.dumps({"v": VERSION} | data)


def from_json(text: str) -> Draft:
    """Read `to_json`'s text. Raises a `UserError` for what is damaged or newer."""
    data = read_object(text, "draft", {_HINTS_KEY: "hints"})
    for role in ("solver", "adversary"):
        choice = data.get(role)
        # Version 0.1 had two styles by name.
        if isinstance(choice, dict) and choice.get("style") in (COMPACT, INSTRUCT):
            choice["prompts"] = dataclasses.asdict(built_in(choice["style"]))
    return read_value(data, Draft, "draft")


def read_object(text: str, name: str, renamed: Mapping[str, str]) -> dict[str, Any]:
    """A JSON object with a `v` that can be read, its keys renamed at any depth. Raises a `UserError`."""

    def rename(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {renamed.get(key, key): value for key, value in pairs}

    try:
        data = json.loads(text, object_pairs_hook=rename)
    except (ValueError, RecursionError) as error:
        raise UserError(f"The {name} is damaged: it is not JSON ({error}).") from error
    if not isinstance(data, dict):
        raise UserError(f"The {name} is damaged: it holds no JSON object.")
    version = data.get("v")
    if type(version) is not int or version < 1:
        raise UserError(f"The {name} is damaged: its version is {version!r:.40}.")
    if version > VERSION:
        raise UserError(
            f"The {name} was made by a newer version of seirenes (format {version}; this one reads {VERSION}). Update "
            "seirenes."
        )
    return data


def read_value(data: Any, kind: type[T], name: str) -> T:
    """A value of a type out of JSON's. Raises a `UserError` that names what is wrong with it."""
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise UserError(f"The {name} is damaged: {error}.") from error
