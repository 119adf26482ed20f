"""The library of suites: what there is, facts of one, opening, checking, and moving one to the trash. No Qt.

A suite is meant by its name or by its folder. One that cannot be read is listed with what is wrong, and never hides the
others.

Where the material of a suite comes from: a file, a run's archive, drafts, and a local model that writes hints.

Reads and asks; what becomes a suite of it is `training.evaluation.suites.builder`. A run's archive is the newest
checkpoint's; without a checkpoint its rollouts tell how strong each hint was.

Make a suite as it was ordered: gather, gate, write, and say in its recipe how. No Qt, no terminal.

It refuses orders that mean nothing (an archive of a file, templates for a run's own hints) before any work is done."""

from __future__ import annotations

import difflib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.protocol import Finish, SampleDone, SampleRequest
from seirenes_app.services.hint_authoring.draft import Draft, SolverChoice, from_json, title_of
from seirenes_app.services.hint_authoring.jobs import MAX_HINT_TOKENS, Job, OnFailed, call_back, clean_hint
from seirenes_app.services.hint_authoring.models import hint_messages, load_request, model_path
from seirenes_app.services.hint_authoring.problems import as_problem
from seirenes_app.services.hint_authoring.suites import suite_item, suite_name, suites_folder
from seirenes_app.services.traces import TraceSource
from seirenes_app.store.crafts import CraftStore
from training.core.archive import HintArchive
from training.core.implied_answer import read_suggestion
from training.core.prompts import Placement
from training.core.symbolic import SymbolicCheck
from training.core.types import Hint, HintType, Outcome, Problem, Split, Stage
from training.errors import UserError
from training.evaluation.plan import seed_of
from training.evaluation.problem_sets.hub import open_source
from training.evaluation.problem_sets.importing import read_problem_set
from training.evaluation.problem_sets.types import ProblemSet
from training.evaluation.suites.builder import (
    ALL_TYPES,
    MadeSuite,
    Offers,
    RankedHint,
    Tally,
    archive_suite,
    choose_problems,
    distinct,
    families_problems,
    hinted_suite,
    known_families,
    make_suite,
    template_offers,
)
from training.evaluation.suites.io import LICENCE, MANIFEST, SavedSuite, read_manifest, read_suite, write_suite
from training.evaluation.suites.manifest import SuiteManifest, brief_separation, is_mixed, separation
from training.evaluation.suites.validator import Finding, check_suite
from training.problem_files import load_problems, make_problems
from training.rollouts.search import RolloutQuery
from training.runs.config import load_config
from training.runs.paths import RunPaths

TRASH = ".trash"


@dataclass(frozen=True, slots=True)
class SuiteEntry:
    """One suite in the list; `problem` says why there is no manifest."""

    folder: Path
    manifest: SuiteManifest | None
    problem: str = ""

    @property
    def name(self) -> str:
        """The folder's name, by which the suite is found."""
        return self.folder.name


class SuiteRepository:
    """All suites under one root. A missing root is an empty library."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or suites_folder()

    def list(self) -> tuple[SuiteEntry, ...]:
        """By name; only manifests are read, so it is quick."""
        return tuple(self._entries())

    def _entries(self) -> Iterator[SuiteEntry]:
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else []:
            if folder.name.startswith(".") or not (folder / MANIFEST).is_file():
                continue
            try:
                yield SuiteEntry(folder, read_manifest(folder))
            except UserError as error:
                yield SuiteEntry(folder, None, str(error))

    def new_folder(self, name: str) -> Path:
        """Where a suite of that name will lie. Raises a `UserError` for one that is there, or is no name."""
        folder = self.root / suite_name(name)
        if (folder / MANIFEST).exists():
            raise UserError(f"There is a suite {folder.name!r} already ({folder}). Choose another name.")
        return folder

    def find(self, name: str) -> Path:
        """The folder of the suite that is meant. Raises a `UserError` that names those that are near."""
        for folder in (self.root / name, Path(name).expanduser()):
            if (folder / MANIFEST).is_file():
                return folder
        known = [entry.name for entry in self._entries()]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[:5]
        remedy = f"There are: {', '.join(near)}." if near else "There is none yet: make one with `seirenes suite make`."
        raise UserError(f"No suite {name!r} in {self.root}. {remedy}")

    def open(self, name: str) -> SavedSuite:
        """The suite with its hashes checked."""
        return read_suite(self.find(name))

    def check(self, name: str) -> tuple[Finding, ...]:
        """Everything that is wrong with it, down to the line; symbolic answers are tried in the killable child."""
        with SymbolicCheck() as symbolic:
            return check_suite(self.find(name), symbolic)

    def trash(self, name: str) -> Path:
        """Move a suite to the trash beside the others; returns its new place. Evaluations of it keep their rows."""
        folder = self.find(name)
        place = folder.parent / TRASH
        target = place / folder.name
        if target.exists():
            target = place / f"{folder.name}-{datetime.now():%Y%m%d%H%M%S%f}"
        try:
            place.mkdir(exist_ok=True)
            shutil.move(folder, target)
        except OSError as error:
            raise UserError(f"{folder.name} could not be moved to {place} ({error}). Close what uses it.") from error
        return target


def suite_facts(folder: Path, manifest: SuiteManifest) -> dict[str, Any]:
    """What a suite is, as plain data for `--json` and for pages."""
    return {
        "name": manifest.name,
        "folder": str(folder),
        "created": manifest.created,
        "sha256": manifest.sha256,
        "format": manifest.format,
        "problems": manifest.problems,
        "hints": manifest.hints,
        "families": dict(manifest.families),
        "types": dict(manifest.types),
        "passed": dict(manifest.passed),
        "invalid": len(manifest.invalid),
        "authors": dict(manifest.authors),
        "writers": dict(manifest.writers),
        "splits": {kind: dict(counts) for kind, counts in manifest.splits.items()},
        "mixed": any(is_mixed(counts) for counts in manifest.splits.values()),
        "separation": separation(manifest),
        "brief_separation": brief_separation(manifest),
        "placement": str(manifest.placement),
        "licence": manifest.licence,
        "recipe": dict(manifest.recipe),
    }


ATTEMPTS = 4
"""Hints asked of a model for a problem and type; the first that passes the gates is taken."""
_ROWS = 500

Written = Mapping[tuple[str, HintType], tuple[Hint, ...]]


# ---------------------------------------------------------------------- problem sets


def read_problems(source: str, sets_folder: Path) -> ProblemSet:
    """The problems of a file, a preset or a hub data set, those that can be verified."""
    opened = open_source(source, sets_folder)
    with SymbolicCheck() as symbolic:
        found = read_problem_set(opened, symbolic=symbolic)
    if not found.problems:
        first = found.report.rejected[0] if found.report.rejected else "it is empty"
        raise UserError(f"{source} holds no problem that can be verified ({first}). See: seirenes problems preview.")
    return found


# ---------------------------------------------------------------------- runs


@dataclass(frozen=True, slots=True)
class RunHints:
    """The valid hints of a run. `source` says in words where they were read, `step` is the newest one's."""

    hints: tuple[RankedHint, ...]
    source: str
    step: int
    mode: str


def read_run_hints(paths: RunPaths) -> RunHints:
    """A run's archive, or what its rollouts tell. Raises a `UserError` where it has neither."""
    config = load_config(paths.config)
    pool = _pool(paths)
    checkpoints = sorted(paths.checkpoints.glob("step_*"), reverse=True)
    for folder in checkpoints:
        archive = _archive(folder)
        if archive is not None:
            hints = tuple(_ranked(archive, paths, pool))
            return RunHints(hints, f"the archive of {folder.name}", _newest(hints), str(config.mode))
    found = tuple(_from_rollouts(paths, pool))
    return RunHints(found, "the rollouts", _newest(found), str(config.mode))


def _newest(hints: Sequence[RankedHint]) -> int:
    return max((h.step for h in hints), default=0)


def _pool(paths: RunPaths) -> dict[str, Problem]:
    """The problems the run trains on, by id; empty where their file is gone."""
    data = load_config(paths.config).data
    try:
        problems = load_problems(Path(data.problems)) if data.problems else make_problems(data)
    except UserError:
        # The rollouts know question and answer of every problem that was drawn.
        return {}
    return {problem.id: problem for problem in problems}


def _archive(folder: Path) -> Mapping[str, Any] | None:
    """The archive's state in a checkpoint; None where there is none that can be read."""
    try:
        state = json.loads((folder / "loop.json").read_text(encoding="utf-8"))["archive"]
        HintArchive.from_state(state)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return state if state["entries"] else None


def _ranked(archive: Mapping[str, Any], paths: RunPaths, pool: Mapping[str, Problem]) -> Iterator[RankedHint]:
    """Archived hints; the less the Reasoner succeeds under one, the stronger it is."""
    entries = archive["entries"]
    missing = {e["problem_id"] for e in entries} - pool.keys()
    known = {**pool, **_problems_of_rows(paths, missing)} if missing else pool
    for entry in entries:
        if (problem := known.get(entry["problem_id"])) is not None:
            hint = _run_hint(paths, problem, entry["type"], entry["text"], entry["step"])
            yield RankedHint(problem, hint, 1.0 - float(entry["success"]), int(entry["step"]))


def _run_hint(paths: RunPaths, problem: Problem, type_: str, text: str, step: int) -> Hint:
    text = text.strip()
    author = f"run:{paths.run_id}@{step}"
    return Hint(HintType(type_), text, author, suggested=read_suggestion(text, problem))


def _from_rollouts(paths: RunPaths, pool: Mapping[str, Problem]) -> Iterator[RankedHint]:
    """Hints with the drop from the clean solutions of the same question and step to the hinted ones."""
    found: dict[tuple[int, str, str, str], list[float]] = {}
    problems = dict(pool)
    for row, book in _rows(paths, Stage.HINTED):
        if row["clean_accuracy"] is None or not row["hint"]:
            continue
        key = (row["step"], row["problem_id"], row["hint_type"], row["hint"])
        found.setdefault(key, []).append(row["clean_accuracy"] - (row["outcome"] == Outcome.RIGHT))
        if row["problem_id"] not in problems and (made := _problem_of_row(book, row)) is not None:
            problems[made.id] = made
    for (step, id_, type_, text), drops in found.items():
        if id_ in problems:
            hint = _run_hint(paths, problems[id_], type_, text, step)
            yield RankedHint(problems[id_], hint, sum(drops) / len(drops), step)


def _rows(paths: RunPaths, stage: Stage) -> Iterator[tuple[dict[str, Any], TraceSource]]:
    book = TraceSource(paths)
    try:
        ids = book.ids(RolloutQuery(stages=(str(stage),)))
        for start in range(0, len(ids), _ROWS):
            for row in book.rows(ids[start : start + _ROWS]):
                yield row, book
    finally:
        book.close()


def _problems_of_rows(paths: RunPaths, wanted: set[str]) -> dict[str, Problem]:
    """Problems as the rollouts have them."""
    found: dict[str, Problem] = {}
    try:
        for row, book in _rows(paths, Stage.CLEAN):
            id_ = row["problem_id"]
            if id_ in wanted and id_ not in found and (made := _problem_of_row(book, row)) is not None:
                found[id_] = made
    except UserError:
        # No rollouts either: hints of these problems are left out.
        return {}
    return found


def _problem_of_row(book: TraceSource, row: dict[str, Any]) -> Problem | None:
    try:
        made = as_problem(book.to_draft(row).problem)
    except UserError:
        return None
    return replace(made, id=row["problem_id"], family=row["family"])


# ---------------------------------------------------------------------- drafts


def read_drafts(store: CraftStore, names: Sequence[str]) -> list[Draft]:
    """The drafts of these ids, or of the beginning of an id that only one has."""
    saved = store.drafts()
    found = []
    for name in names:
        near = [draft for draft in saved if draft.id.startswith(name)]
        exact = [draft for draft in near if draft.id == name] or near
        if len(exact) != 1:
            listed = ", ".join(f"{d.id} ({d.title})" for d in (exact or saved)[:5]) or "none; craft one in the window"
            raise UserError(f"{'No draft' if not exact else 'More than one draft'} {name!r}. Drafts: {listed}.")
        found.append(from_json(store.load(exact[0].id)))
    return found


def draft_pairs(drafts: Sequence[Draft]) -> list[tuple[Problem, Hint]]:
    """Problems and perturbations of drafts. Raises a `UserError` where two of them place hints differently."""
    places = {draft.placement for draft in drafts}
    if len(places) > 1:
        raise UserError(
            f"The drafts place their hints differently ({', '.join(sorted(places))}). Make a suite of each."
        )
    pairs = []
    for draft in drafts:
        if not draft.hints:
            raise UserError(f"The draft {title_of(draft)!r} has no hint. Write one first.")
        for candidate in draft.hints:
            item = suite_item(draft, candidate)
            pairs.append((item.problem, item.hints[0]))
    return pairs


# ---------------------------------------------------------------------- hints that a model writes


class WriteHintsJob(Job):
    """Let a GGUF write hints for problems: `ATTEMPTS` of each type. Ends with a `Written`; cancelled, with its part."""

    def __init__(
        self,
        client: WorkerClient,
        choice: SolverChoice,
        problems: Sequence[Problem],
        types: Sequence[HintType],
        seed: int,
        on_progress: Callable[[int, int], None],
        on_done: Callable[[Written], None],
        on_failed: OnFailed,
        *,
        attempts: int = ATTEMPTS,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(client, on_done, on_failed)
        self._choice, self._problems, self._types = choice, tuple(problems), tuple(types)
        self._seed, self._attempts, self._temperature = seed, attempts, temperature
        self._on_progress = on_progress
        self._begin()

    def _work(self) -> Written:
        author = f"model:{model_path(self._choice).stem}"
        written: dict[tuple[str, HintType], tuple[Hint, ...]] = {}
        total = len(self._problems) * len(self._types)
        for problem, type_ in itertools.product(self._problems, self._types):
            if self.cancelled:
                break
            texts = self._texts(problem, type_)
            written[problem.id, type_] = tuple(
                Hint(type_, text, author, suggested=read_suggestion(text, problem)) for text in texts
            )
            call_back(self._on_progress, len(written), total)
        return written

    def _texts(self, problem: Problem, type_: HintType) -> list[str]:
        request = SampleRequest(
            messages=hint_messages(self._choice, problem.question, type_), n=self._attempts,
            max_tokens=MAX_HINT_TOKENS, temperature=self._temperature,
            seed=seed_of(self._seed, problem.id, type_),
        )  # fmt: skip
        found: dict[int, str] = {}
        for event in self._listen(self._client.send(request, self._inbox.put, load_request(self._choice))):
            if isinstance(event, SampleDone) and event.finish is not Finish.CANCELLED:
                found[event.index] = clean_hint(event.text)
        return [found[index] for index in sorted(found)]


def offers_of(written: Written) -> Offers:
    """What a model wrote, as `make_suite` asks for it."""
    return lambda problem, type_: written.get((problem.id, type_), ())


FAMILIES_PROBLEMS, RUN_PROBLEMS = 500, 100

WriteHints = Callable[[SolverChoice, Sequence[Problem], Sequence[HintType], int], Written | None]
"""Lets a model write hints; None when it was interrupted."""


class Source(StrEnum):
    """Where the problems come from."""

    FAMILIES = "families"
    """The laboratory's own, generated."""
    PROBLEMS = "problems"
    """A file, a preset or a hub data set."""
    RUN = "run"
    """The strongest hints of a training run, with their problems."""
    DRAFT = "draft"
    """Drafts of the Craft page."""


class Writer(StrEnum):
    """Who writes the hints."""

    TEMPLATES = "templates"
    MODEL = "model"
    """A GGUF."""
    ARCHIVE = "archive"
    """They are there already: a run's, or a draft's."""


@dataclass(frozen=True, slots=True)
class SuiteOrder:
    """What is asked for. `named` is the file, the run's folder or the drafts' ids; `model` the GGUF that writes, empty
    for the bundled one; `problems` None means the source's usual number. `split` is that of the
    problems' phrasings, and of the templates where `templates` is None. Empty `types` and `families` mean all."""

    name: str
    source: Source
    named: tuple[str, ...] = ()
    writer: Writer = Writer.TEMPLATES
    model: str = ""
    problems: int | None = None
    seed: int = 2605
    split: Split = Split.HELD_OUT
    templates: Split | None = None
    types: tuple[HintType, ...] = ()
    families: tuple[str, ...] = ()
    placement: Placement = Placement.APPEND
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Ordered:
    """A suite that was made, and what became of the hints on the way."""

    saved: SavedSuite
    tally: Tally


@dataclass(frozen=True, slots=True)
class _Gathered:
    made: MadeSuite
    recipe: Mapping[str, Any]
    licence: str = LICENCE
    placement: Placement | None = None


def fill_order(
    order: SuiteOrder,
    library: SuiteRepository,
    *,
    sets_folder: Path,
    drafts: Callable[[], CraftStore],
    write_hints: WriteHints,
) -> Ordered | None:
    """Make the suite and write it; None when writing hints was interrupted, and then nothing is there.

    Raises a `UserError` for an order that cannot be filled, and for a name that is taken.
    """
    check_order(order)
    folder = library.new_folder(order.name)
    if order.source is Source.RUN:
        found: _Gathered | None = _from_run(order)
    elif order.source is Source.DRAFT:
        found = _from_drafts(order, drafts())
    else:
        found = _from_problems(order, sets_folder, write_hints)
    if found is None:
        return None
    tally = found.made.tally
    recipe = {**found.recipe, "seed": order.seed, "tried": tally.tried, "refused": dict(sorted(tally.refused.items()))}
    saved = write_suite(
        folder,
        found.made.suite,
        placement=found.placement or order.placement,
        licence=order.licence or found.licence,
        recipe=recipe,
    )
    return Ordered(saved, tally)


def check_order(order: SuiteOrder) -> None:
    """A `UserError` for an order that means nothing."""
    own = order.source in (Source.RUN, Source.DRAFT)
    if own and order.writer is not Writer.ARCHIVE:
        raise UserError(f"A suite from a {order.source} has the hints that are in it. Leave out --hints.")
    if not own and order.writer is Writer.ARCHIVE:
        raise UserError("Only a run has an archive of hints: --from run RUN --hints archive.")
    if order.families and order.source in (Source.PROBLEMS, Source.DRAFT):
        raise UserError("--families chooses among the laboratory's own: with --from families, or of a run's hints.")
    if order.source is Source.FAMILIES:
        known_families(order.families)
    wanted = {Source.FAMILIES: 0, Source.PROBLEMS: 1, Source.RUN: 1}.get(order.source, max(1, len(order.named)))
    if len(order.named) != wanted:
        what = {Source.FAMILIES: "no name", Source.PROBLEMS: "one file or preset", Source.RUN: "one run"}
        raise UserError(f"--from {order.source} takes {what.get(order.source, 'one draft or more')}.")


# ---------------------------------------------------------------------- the sources


def _from_problems(order: SuiteOrder, sets_folder: Path, write_hints: WriteHints) -> _Gathered | None:
    types = order.types or ALL_TYPES
    problems, recipe, licence = _problems(order, sets_folder)
    recipe = {**recipe, "types": [str(t) for t in types], "hints": str(order.writer)}
    if order.writer is Writer.TEMPLATES:
        templates = order.templates or order.split
        offers = template_offers(order.seed, templates)
        recipe["templates"] = str(templates)
    else:
        choice = SolverChoice(order.model)
        recipe["model"] = model_path(choice).name
        written = write_hints(choice, problems, types, order.seed)
        if written is None:
            return None
        offers = offers_of(written)
    return _Gathered(make_suite(order.name, problems, offers, order.seed, types), recipe, licence)


def _problems(order: SuiteOrder, sets_folder: Path) -> tuple[list[Problem], dict[str, Any], str]:
    if order.source is Source.FAMILIES:
        count = FAMILIES_PROBLEMS if order.problems is None else order.problems
        families = list(order.families) or "all"
        recipe = {"from": "families", "problems": count, "split": str(order.split), "families": families}
        return families_problems(count, order.seed, order.split, order.families), recipe, LICENCE
    found = read_problems(order.named[0], sets_folder)
    source = Path(found.source).name if Path(found.source).exists() else found.source
    recipe = {
        "from": "problems", "source": source, "of": len(found.problems), "rejected": len(found.report.rejected),
        "problems": order.problems,
    }  # fmt: skip
    licence = f"Problems: {source}, licence {found.licence}. {LICENCE}"
    return choose_problems(distinct(found.problems), order.problems, order.seed), recipe, licence


def _from_run(order: SuiteOrder) -> _Gathered:
    paths = RunPaths(Path(order.named[0]))
    found = read_run_hints(paths)
    types, families = order.types or ALL_TYPES, order.families
    hints = [h for h in found.hints if h.hint.type in types and (not families or h.problem.family in families)]
    if not hints:
        raise UserError(f"{paths.run_id} has no valid hint of that kind in {found.source}, so there is no suite in it.")
    count = RUN_PROBLEMS if order.problems is None else order.problems
    recipe = {
        "from": "run", "run": paths.run_id, "mode": found.mode, "source": found.source, "newest_step": found.step,
        "of": len(hints), "problems": count,
    }  # fmt: skip
    return _Gathered(archive_suite(order.name, hints, count, order.seed), recipe)


def _from_drafts(order: SuiteOrder, store: CraftStore) -> _Gathered:
    drafts = read_drafts(store, order.named)
    pairs = [(p, hint) for p, hint in draft_pairs(drafts) if not order.types or hint.type in order.types]
    recipe = {"from": "draft", "drafts": [draft.id for draft in drafts]}
    return _Gathered(hinted_suite(order.name, pairs, order.seed), recipe, placement=drafts[0].placement)
