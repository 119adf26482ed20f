"""What a study is: its definition, the parts that it is made of, and its folder. Starts nothing, measures nothing.

For every variant (a mode, or a group of settings) and every seed a run is trained with the same number of rollouts. Its
last Reasoner is then frozen, and a new Adversary is trained against it with a budget that is the same for all: the best
response. All are measured on the same held-out problems. A definition is written in TOML (`read_definition`); a study's
folder keeps it whole as JSON, the base configuration included, so that later changes of a preset do not change it.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from seirenes_app.services.estimate import rollouts_a_step
from seirenes_app.store.resources import presets_folder, studies_folder
from training.errors import UserError
from training.resources import data_folder
from training.runs.config import (
    MOST_STEPS,
    Mode,
    RunConfig,
    absolute_setting,
    from_dict,
    load_config,
    profile_of,
    to_dict,
    with_absolute_paths,
    with_overrides,
)
from training.runs.files import decode_format, expanded, explained, make_folder, read_text, write_whole
from training.runs.paths import FileAt, RunPaths

FORMAT = 1
STUDY = "study.json"
START = "start"
"""The name of the model that all runs begin with, where a variant's would be."""
MOST_RESPONSES = 100


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the study: a mode, and settings that differ from the base (KEY=VALUE texts)."""

    name: str
    mode: Mode = Mode.SEIRENES
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BestResponse:
    """How a new Adversary is trained against each frozen Reasoner. `rollouts` 0: not at all.

    What one finds depends on its seed, by several points: with `repeats` there are as many against each Reasoner, and
    the figure is the mean over them.
    """

    rollouts: int = 0
    settings: tuple[str, ...] = ()
    repeats: int = 1


@dataclass(frozen=True, slots=True)
class StudyDefinition:
    """Everything that decides a study's figures.

    `base` is the whole configuration of a run, nested; `rollouts` is the budget of every run. `problems` held-out
    problems of the stream of `problem_seed` measure all of them. `equal_time` measures each run also at its newest
    checkpoint within the time of the quickest run. `pool` measures all Reasoners under the hints of all runs' last
    Adversaries, which grows with the square of the runs. The others are compared with the first variant.
    """

    name: str
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    rollouts: int
    base: dict[str, Any]
    problems: int = 200
    problem_seed: int = 2605
    equal_time: bool = True
    pool: bool = True
    response: BestResponse = field(default_factory=BestResponse)
    description: str = ""
    created: str = ""
    added: tuple[int, ...] = ()
    """Those of the seeds that were added after the study had begun."""
    shorter: tuple[int, ...] = ()
    """The rollouts of every run before the study was extended to more, ascending."""

    @property
    def length(self) -> int:
        """The rollouts of every run where the study was extended to them, 0 otherwise."""
        return self.rollouts if self.shorter else 0

    def variant(self, name: str) -> Variant:
        return next(v for v in self.variants if v.name == name)


class PartKind(StrEnum):
    """What a part does."""

    RUN = "run"
    """Trains one variant with one seed."""
    RESPONSE = "response"
    """Trains a new Adversary against one frozen Reasoner."""
    EXPLOIT = "exploit"
    """Measures a Reasoner under the hints of its best response."""
    MEASURES = "measures"
    """Measures all Reasoners: frozen suite, and the pool: hints of the last Adversaries of all runs."""


@dataclass(frozen=True, slots=True)
class Part:
    """One recorded item of a study. `needs` are the ids of parts that must have finished; MEASURES takes what has.
    `number` counts the best responses to one Reasoner, from 1. `length`: the rollouts of the runs that it is about,
    where the study was extended to them; 0 otherwise."""

    id: str
    kind: PartKind
    variant: str = ""
    seed: int = 0
    needs: tuple[str, ...] = ()
    number: int = 1
    length: int = 0

    @property
    def title(self) -> str:
        of = f"{self.variant}, seed {self.seed}" if self.variant != START else START
        again = f" ({self.number})" if self.number > 1 else ""
        after = f" after {self.length:,} rollouts" if self.length else ""
        return {
            PartKind.RUN: f"training {of}" + (f" to {self.length:,} rollouts" if self.length else ""),
            PartKind.RESPONSE: f"best response to {of}{after}{again}",
            PartKind.EXPLOIT: f"exploitability of {of}{after}{again}",
            PartKind.MEASURES: f"measures of all Reasoners{after}",
        }[self.kind]


def parts_of(study: StudyDefinition) -> tuple[Part, ...]:
    """All parts in the order in which they are done: seed by seed, so that the first seed can be read early."""
    found: list[Part] = []
    length = study.length
    for number, seed in enumerate(study.seeds):
        runs = [Part(run_part(study, v.name, seed), PartKind.RUN, v.name, seed, length=length) for v in study.variants]
        found += runs
        if study.response.rollouts:
            if number == 0:
                # The model that all runs begin with is the same, however long they are.
                found += _responses(study, Part("", PartKind.RUN, START, seed), ())
            for run in runs:
                found += _responses(study, run, (run.id,))
    return (*found, Part(_id(PartKind.MEASURES, length=length), PartKind.MEASURES, length=length))


def _responses(study: StudyDefinition, run: Part, needs: tuple[str, ...]) -> Iterator[Part]:
    variant, seed, length = run.variant, run.seed, run.length
    for number in range(1, study.response.repeats + 1):
        response = _id(PartKind.RESPONSE, variant, seed, number=number, length=length)
        yield Part(response, PartKind.RESPONSE, variant, seed, needs, number, length)
        exploit = _id(PartKind.EXPLOIT, variant, seed, number=number, length=length)
        yield Part(exploit, PartKind.EXPLOIT, variant, seed, (response,), number, length)


def _id(kind: PartKind, *of: str | int, number: int = 1, length: int = 0) -> str:
    # The first response, and a part of a study that was not extended, have the names that they have in studies of
    # versions that knew neither.
    return "/".join(map(str, (kind, *of, *([number] if number > 1 else [])))) + (f"@{length}" if length else "")


def run_part(study: StudyDefinition, variant: str, seed: int) -> str:
    """The id of the part that trains this variant with this seed."""
    return _id(PartKind.RUN, variant, seed, length=study.length)


def at_shorter(study: StudyDefinition) -> tuple[StudyDefinition, ...]:
    """The study as it was before each extension to more rollouts a run, the shortest first."""
    return tuple(replace(study, rollouts=n, shorter=study.shorter[:i]) for i, n in enumerate(study.shorter))


# ---------------------------------------------------------------------- configurations of its runs


def base_config(study: StudyDefinition) -> RunConfig:
    return from_dict(study.base, f"the study {study.name}")


def run_config(study: StudyDefinition, variant: str, seed: int) -> RunConfig:
    """The configuration of one run: it ends with the step that reaches the study's rollouts."""
    chosen = study.variant(variant)
    config = with_overrides(
        base_config(study), (f"mode={chosen.mode}", *chosen.settings), f"the variant {variant!r} of {study.name}"
    )
    return _limited(replace(config, name=f"{study.name} {variant} {seed}"), study.rollouts, seed)


RESPONSE_SETTINGS = (
    "mode=seirenes", "reasoner.train=false", "adversary.train=true", "curriculum.replay_share=0",
    "evaluation.every=0", "evaluation.problems=16", "checkpoint.every=0",
)  # fmt: skip
"""A best response trains the Adversary alone, and is measured by the study, not by itself."""
RESPONSE_SEEDS = 1_000
"""Between the seeds of the best responses to one Reasoner."""


def response_config(
    study: StudyDefinition, reasoner: Path | str, trained: RunConfig, seed: int, number: int = 1
) -> RunConfig:
    """The configuration of a best response to the Reasoner in the folder `reasoner`, of a run of `trained`: a new
    Adversary from the model that the study starts with. Those of one Reasoner differ by their seed alone."""
    base = base_config(study)
    start = base.adversary.model or base.model.path
    settings = (*RESPONSE_SETTINGS, f"model.path={reasoner}", f"adversary.model={start}", *study.response.settings)
    config = with_overrides(base, settings, f"the best response of {study.name}")
    config = replace(config, name=f"{study.name} response {seed}", profile=profile_of(trained))
    return _limited(config, study.response.rollouts, seed + RESPONSE_SEEDS * (number - 1))


def _limited(config: RunConfig, rollouts: int, seed: int) -> RunConfig:
    # Refused hints are not played, so that a step can have fewer rollouts than planned: never fewer than clean ones.
    reasoner, adversary = rollouts_a_step(config)
    least = reasoner + adversary if config.mode is Mode.CLEAN_RL else config.rollout.questions * config.rollout.clean
    steps = min(MOST_STEPS, math.ceil(rollouts / max(1, least)))
    return replace(config, steps=steps, max_rollouts=rollouts, data=replace(config.data, seed=seed))


# ---------------------------------------------------------------------- definitions in files


class _VariantTable(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    mode: Mode = Mode.SEIRENES
    set: list[str] = msgspec.field(default_factory=list)


class _ResponseTable(msgspec.Struct, forbid_unknown_fields=True):
    rollouts: int = 0
    repeats: int = 1
    set: list[str] = msgspec.field(default_factory=list)


class _StudyTable(msgspec.Struct, forbid_unknown_fields=True):
    """The keys of a definition in TOML."""

    rollouts: int
    name: str = ""
    description: str = ""
    config: str = "demo"
    modes: list[Mode] = msgspec.field(default_factory=list)
    seeds: list[int] = msgspec.field(default_factory=lambda: [0, 1, 2])
    set: list[str] = msgspec.field(default_factory=list)
    problems: int = 200
    problem_seed: int = 2605
    equal_time: bool = True
    pool: bool = True
    best_response: _ResponseTable = msgspec.field(default_factory=_ResponseTable)
    variants: list[_VariantTable] = msgspec.field(default_factory=list)


def read_definition(
    path: Path, *, name: str = "", overrides: Sequence[str] = (), changes: Mapping[str, Any] | None = None
) -> StudyDefinition:
    """The definition in a TOML file, checked: every configuration that it leads to can be built.

    `overrides` are further settings for all runs; `changes` replace keys of the file: seeds, rollouts, problems,
    response_rollouts, responses (how many to each Reasoner). A UserError names the file and what is wrong.
    """
    table = _read_table(path)
    changed = dict(changes or {})
    rollouts, repeats = changed.pop("response_rollouts", None), changed.pop("responses", None)
    here = path.parent
    settings = (*_absolute(table.set, here), *overrides)
    base = with_overrides(load_config(_config_path(table.config, path)), settings, str(path))
    variants = [Variant(mode.value, mode) for mode in table.modes]
    variants += [Variant(v.name, v.mode, _absolute(v.set, here)) for v in table.variants]
    study = StudyDefinition(
        name=name or table.name or path.stem,
        variants=tuple(variants),
        seeds=tuple(table.seeds),
        rollouts=table.rollouts,
        base=to_dict(with_absolute_paths(base)),
        problems=table.problems,
        problem_seed=table.problem_seed,
        equal_time=table.equal_time,
        pool=table.pool,
        response=BestResponse(
            table.best_response.rollouts if rollouts is None else rollouts,
            _absolute(table.best_response.set, here),
            table.best_response.repeats if repeats is None else repeats,
        ),
        description=table.description,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    study = replace(study, **changed)
    check_definition(study, str(path))
    return study


def _absolute(settings: Sequence[str], folder: Path) -> tuple[str, ...]:
    return tuple(absolute_setting(text, folder) for text in settings)


def _read_table(path: Path) -> _StudyTable:
    text = read_text(path, f"There is no study definition {path}.")
    try:
        return msgspec.convert(tomllib.loads(text), _StudyTable)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        known = ", ".join(_StudyTable.__struct_fields__)
        raise UserError(
            f"{path} is not a readable study definition: {error}. Correct that place. Its keys are: {known}."
        ) from error


def _config_path(name: str, definition: Path) -> Path:
    """A preset's file, or a file beside the definition."""
    preset = presets_folder() / f"{name}.toml"
    return preset if preset.is_file() else definition.parent / expanded(name)


def check_definition(study: StudyDefinition, source: str) -> None:
    """A UserError where the study cannot be done as it is defined."""

    def demand(holds: bool, otherwise: str) -> None:
        if not holds:
            raise UserError(f"{source}: {otherwise}.")

    names = [v.name for v in study.variants]
    demand(bool(names), 'it has no variant. Write modes = ["seirenes", "static"], or [[variants]]')
    twice = next((n for n in names if names.count(n) > 1), None)
    demand(twice is None, f"two variants are called {twice!r}")
    odd = next((n for n in names if not re.fullmatch(r"[\w .+-]{1,40}", n) or n == START), None)
    demand(odd is None, f"a variant cannot be called {odd!r}: only letters, digits, blanks, . + - _, and not {START}")
    demand(bool(study.seeds), "it has no seed")
    demand(len(set(study.seeds)) == len(study.seeds), "a seed is named twice")
    demand(min(study.seeds) >= 0, "a seed is below 0")
    demand(study.rollouts >= 1, f"rollouts is {study.rollouts}; it must be 1 or more")
    demand(study.response.rollouts >= 0, "the rollouts of the best response are below 0")
    demand(
        1 <= study.response.repeats <= MOST_RESPONSES,
        f"repeats is {study.response.repeats}; it must be 1 to {MOST_RESPONSES}",
    )
    demand(4 <= study.problems <= 100_000, f"problems is {study.problems}; it must be 4 to 100,000")
    for variant in study.variants:
        run_config(study, variant.name, study.seeds[0])
    if study.response.rollouts:
        response_config(study, "starter", base_config(study), study.seeds[0])


def bundled_definitions() -> dict[str, Path]:
    """The definitions that ship, by name."""
    return {file.stem: file for file in sorted(studies_folder().glob("*.toml"))}


def find_definition(name: str) -> Path:
    """The file of a bundled definition, or the file of that path."""
    bundled = bundled_definitions()
    path = expanded(name)
    if name in bundled and not path.is_file():
        return bundled[name]
    if path.is_file():
        return path
    raise UserError(f"{name!r} is neither a study definition nor a file. There are: {', '.join(bundled)}.")


# ---------------------------------------------------------------------- the folder of a study


@dataclass(frozen=True)
class StudyDir(RunPaths):
    """The files of one study. Its process holds the lock and writes events and log; runs and evaluations are in their
    own folders. To whatever stops or tails a process it is like a run's folder."""

    config = FileAt(STUDY)
    lock = FileAt("study.lock")
    log = FileAt("study.log")


def studies_root() -> Path:
    return data_folder() / "studies"


def new_study(study: StudyDefinition, root: Path | None = None) -> StudyDir:
    """Make a study's folder with its definition; a name that is taken gets a number."""
    root = root or studies_root()
    slug = re.sub(r"[^\w.-]+", "-", study.name).strip("-.")[:40] or "study"
    with explained("Making the study's folder", root / slug):
        root.mkdir(parents=True, exist_ok=True)
        paths = StudyDir(make_folder(root, slug))
    save_study(paths, study)
    return paths


def save_study(paths: StudyDir, study: StudyDefinition) -> None:
    """Write the definition into the study's folder, whole or not at all."""
    write_whole(paths.config, json.dumps({"format": FORMAT, **asdict(study)}, ensure_ascii=False, indent=1) + "\n")


def extended(
    study: StudyDefinition, seeds: Sequence[int] = (), responses: int | None = None, rollouts: int | None = None,
    *, begun: bool,
) -> StudyDefinition:  # fmt: skip
    """The study with these seeds as well, with so many best responses to each Reasoner, and with runs of so many
    rollouts. A UserError where it has a seed already, where one of the other figures would be lower, and where nothing
    is added."""
    there = [str(seed) for seed in seeds if seed in study.seeds]
    if there:
        known = ", ".join(map(str, study.seeds))
        raise UserError(f"The study {study.name} has seed {', '.join(there)} already; it has {known}. Name other ones.")
    response, before = study.response, study.response.repeats
    if responses is not None and (responses < before or not response.rollouts):
        has = f"{before} to each Reasoner, which can only become more" if response.rollouts else "none"
        raise UserError(f"The study {study.name} cannot have {responses} best responses: it has {has}.")
    length = study.rollouts if rollouts is None else rollouts
    if length < study.rollouts:
        raise UserError(
            f"The study {study.name} cannot have runs of {length:,} rollouts: it has {study.rollouts:,} each, which "
            "can only become more."
        )
    longer = length > study.rollouts
    if not seeds and responses in (None, before) and not longer:
        raise UserError(
            "Nothing is added. Name at least one further seed, more best responses to each Reasoner, or more rollouts "
            "a run."
        )
    larger = replace(
        study,
        seeds=(*study.seeds, *seeds),
        added=(*study.added, *seeds) if begun else study.added,
        response=replace(response, repeats=responses or before),
        rollouts=length,
        shorter=(*study.shorter, study.rollouts) if begun and longer else study.shorter,
    )
    check_definition(larger, f"the study {study.name}")
    return larger


def read_seeds(text: str) -> tuple[int, ...]:
    """The seeds in a text such as "0, 1, 2"; a UserError where it is none."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UserError(f"{text!r} are no seeds: write whole numbers with commas between, as in 0, 1, 2.") from error


def read_study(paths: StudyDir) -> StudyDefinition:
    text = read_text(paths.config, f"{paths.root} holds no study: {STUDY} is missing.")
    return decode_format(text, StudyDefinition, FORMAT, str(paths.config))


def find_study(name: str, root: Path | None = None) -> StudyDir:
    """The study of that name under the root, or in that folder; a UserError where there is none."""
    root = root or studies_root()
    for folder in (root / name, expanded(name)):
        if name and (folder / STUDY).is_file():
            return StudyDir(folder.resolve())
    there = ", ".join(paths.run_id for paths in list_studies(root))
    known = f"There are: {there}." if there else "There is none yet: make one with: seirenes study new comparison"
    raise UserError(f"No study {name!r} in {root}. {known}")


def list_studies(root: Path | None = None) -> list[StudyDir]:
    """Newest first."""
    root = root or studies_root()
    if not root.is_dir():
        return []
    folders = [f for f in root.iterdir() if (f / STUDY).is_file() and not f.name.startswith(".")]
    return [StudyDir(f) for f in sorted(folders, key=lambda f: (f / STUDY).stat().st_mtime, reverse=True)]
