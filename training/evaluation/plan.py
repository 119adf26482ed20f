"""What an evaluation will do, decided before it begins: values, their JSON, and the chunks they are cut into. No I/O.

A plan and its suites fix every row. A chunk is a slice of a suite's items under one condition on one target; it is
computed in a batch of its own, with its own seed, and committed whole, so a kill and a resume do not change the rows.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from training.core.prompts import Placement, PromptProfile
from training.core.types import Condition
from training.errors import UserError
from training.prompt_files import COMPACT, INSTRUCT, built_in
from training.runs.files import decode_format

FORMAT = 1
FROZEN = "frozen:"
"""`SuiteRef.source` of the built-in suite is this and its seed."""
MAX_SAMPLES = 64
CHUNK_ROWS = 128
USUAL_HINTS = 4


class TargetKind(StrEnum):
    """Which process evaluates a target."""

    TORCH = "torch"
    """The starter, a model folder, an adapter folder or a run's checkpoint: `python -m training evaluate`."""
    GGUF = "gguf"
    """A GGUF file: `python -m seirenes_app.inference.evaluate`, through the llama.cpp worker."""
    ENDPOINT = "endpoint"
    """A model at an endpoint: the same process, through the endpoint client."""


@dataclass(frozen=True, slots=True)
class Target:
    """One model to evaluate. `name` is unique in the plan and is what tables and charts call it.

    `path` is 'starter', an absolute folder or GGUF file, or 'endpoint:NAME' or an address. `prompts` is how it is
    asked. `run` and `step` say of which run and step a checkpoint is. `fingerprint` proves that the model is still the
    one of the first launch; empty: not known yet.
    """

    name: str
    path: str
    kind: TargetKind = TargetKind.TORCH
    prompts: PromptProfile = field(default_factory=lambda: built_in(COMPACT))
    run: str = ""
    step: int | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class SuiteRef:
    """One suite of the plan, under a name that is unique in it.

    `source` is 'frozen:SEED' (built in), or a suite's folder: absolute, or relative to the evaluation's folder for
    hints that this evaluation writes. `digest` is `Suite.digest()`; empty for a suite that is yet to be written.
    `problems` takes the first so many items. `conditions` empty means the plan's. `writer` is the model whose Adversary
    writes the hints; empty where they are there already.
    """

    name: str
    source: str
    digest: str
    problems: int
    placement: Placement = Placement.APPEND
    conditions: tuple[Condition, ...] = ()
    writer: str = ""


@dataclass(frozen=True, slots=True)
class Writing:
    """How the Adversaries of a cross-play write: `attempts` hints a problem and type, the first that passes is taken.

    The problems are the first `SuiteRef.problems` of the held-out stream of `problem_seed`.
    """

    problem_seed: int = 2605
    attempts: int = 4
    temperature: float = 1.0
    max_tokens: int = 64


@dataclass(frozen=True, slots=True)
class SpendLimits:
    """What the endpoints of an evaluation may cost in all, resumed or not; None: no limit. They decide no row, so a
    plan's may be raised later."""

    requests: int | None = None
    tokens: int | None = None
    money: float | None = None


NO_LIMITS = SpendLimits()


@dataclass(frozen=True, slots=True)
class EvalPlan:
    """Everything that decides the rows, and what they may cost. `temperature` 0 is greedy, and then more than one
    sample is refused.

    `chunk_items` is how many items of a suite one chunk takes. `writers` are models that write hints and solve
    nothing. `exact`: a GGUF file answers one prompt at a time, so that no answer depends on rounding beside others.
    `threads` 0 and `device` 'auto' are decided at the first launch and kept for every later one.
    """

    targets: tuple[Target, ...]
    suites: tuple[SuiteRef, ...]
    conditions: tuple[Condition, ...] = tuple(Condition)
    samples: int = 1
    temperature: float = 0.0
    seed: int = 2605
    max_tokens: int = 128
    chunk_items: int = 32
    title: str = ""
    created: str = ""
    writing: Writing | None = None
    writers: tuple[Target, ...] = ()
    device: str = "auto"
    threads: int = 0
    budget: SpendLimits = NO_LIMITS
    exact: bool = False

    def __post_init__(self) -> None:
        _demand(bool(self.targets), "it has no target")
        _demand(bool(self.suites), "it has no suite")
        _demand(bool(self.conditions), "it has no condition")
        _demand_unique([t.name for t in self.targets], "target")
        _demand_unique([s.name for s in self.suites], "suite")
        _demand(1 <= self.samples <= MAX_SAMPLES, f"samples is {self.samples}; it must be 1 to {MAX_SAMPLES}")
        _demand(self.temperature >= 0, f"temperature is {self.temperature}; it must be 0 or more")
        _demand(
            self.temperature > 0 or self.samples == 1,
            f"at temperature 0 all {self.samples} samples are equal; use 1 sample, or a temperature above 0",
        )
        _demand(self.max_tokens >= 1, f"max_tokens is {self.max_tokens}; it must be 1 or more")
        _demand(self.chunk_items >= 1, f"chunk_items is {self.chunk_items}; it must be 1 or more")
        _demand_unique([t.name for t in (*self.targets, *self.writers)], "model")
        names = {t.name for t in (*self.targets, *self.writers)}
        for suite in self.suites:
            _demand(suite.problems >= 1, f"the suite {suite.name!r} has no problems")
            if name := suite.writer:
                _demand(name in names, f"nobody is called {name!r}, who is to write hints")
                _demand(self.writing is not None, f"it does not say how {name!r} writes")

    def model(self, name: str) -> Target:
        return next(t for t in (*self.targets, *self.writers) if t.name == name)

    def suite(self, name: str) -> SuiteRef:
        return next(s for s in self.suites if s.name == name)

    def conditions_of(self, suite: SuiteRef) -> tuple[Condition, ...]:
        return suite.conditions or self.conditions


@dataclass(frozen=True, slots=True, order=True)
class EvalKey:
    """Which row: names of target and suite, condition, the item's place in the suite, the number of the hint or
    placebo (-1 for clean and needed), the number of the sample."""

    target: str
    suite: str
    condition: Condition
    item: int
    index: int
    sample: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Items `start` to `stop` (exclusive) of a suite, under a condition, on a target."""

    target: str
    suite: str
    condition: Condition
    start: int
    stop: int

    @property
    def key(self) -> str:
        return json.dumps([self.target, self.suite, self.condition, self.start, self.stop], ensure_ascii=False)


def chunks(plan: EvalPlan) -> tuple[Chunk, ...]:
    """All the work of a plan in its order: target by target, so that each model is loaded once."""
    return tuple(
        Chunk(target.name, suite.name, condition, start, min(start + plan.chunk_items, suite.problems))
        for target in plan.targets
        for suite in plan.suites
        for condition in plan.conditions_of(suite)
        for start in range(0, suite.problems, plan.chunk_items)
    )


def chunk_seed(plan: EvalPlan, chunk: Chunk) -> int:
    """The seed of a chunk, below 2^62. The target is no part of it: all targets draw with the same random numbers, so
    that they differ by what they are."""
    return seed_of(plan.seed, chunk.suite, chunk.condition, chunk.start, chunk.stop)


def seed_of(*parts: object) -> int:
    digest = hashlib.blake2b(json.dumps([str(p) for p in parts]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2


def chunk_items_for(samples: int, hints: int = USUAL_HINTS) -> int:
    """Items a chunk, so that a chunk of hinted rows has about `CHUNK_ROWS`: little is lost by a kill, and a batch is
    large enough to be fast."""
    return max(1, CHUNK_ROWS // (samples * max(1, hints)))


def plan_to_json(plan: EvalPlan) -> str:
    """The plan for plan.json: each prompt profile once, whole, and its label as the `style` of a target."""
    data = asdict(plan)
    profiles = {}
    for target in (*data["targets"], *data["writers"]):
        profile = plan.model(target["name"]).prompts
        del target["prompts"]
        target["style"] = profile.label
        profiles[profile.label] = asdict(profile)
    return json.dumps({"format": FORMAT, **data, "profiles": profiles}, ensure_ascii=False, indent=1) + "\n"


def plan_from_json(text: str, place: str) -> EvalPlan:
    """Read plan.json; fields that are not known are ignored. `place` is the file's name for the UserError."""
    remedy = "Restore it from a copy, or start a new evaluation."
    return decode_format(text, EvalPlan, FORMAT, place, remedy, prepare=_put_profiles)


def _put_profiles(data: Any) -> None:
    """Profiles in the place of their labels. Plans of version 0.1 had names: 'compact' and 'instruct'."""
    known = data.get("profiles") or {}
    for target in (*data["targets"], *data.get("writers", ())):
        style = target.pop("style", COMPACT)
        if style in known:
            target["prompts"] = known[style]
        elif style in (COMPACT, INSTRUCT):
            target["prompts"] = asdict(built_in(style))
        else:
            raise ValueError(f"there is no prompt profile {style!r} in it")


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise UserError(f"The evaluation cannot be planned: {otherwise}.")


def _demand_unique(names: list[str], what: str) -> None:
    twice = next((n for n in names if names.count(n) > 1), None)
    _demand(twice is None, f"two {what}s are called {twice!r}")
    _demand(all(names), f"a {what} has no name")
