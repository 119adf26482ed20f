"""Where the material of a suite comes from: a file, a run's archive, drafts, and a local model that writes hints.

Reads and asks; what becomes a suite of it is `training.evaluation.suite_making`. A run's archive is the newest
checkpoint's; without a checkpoint its rollouts tell how strong each hint was.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.protocol import Finish, SampleDone, SampleRequest
from seirenes_app.lab.crafting.documents import Draft, SolverChoice, from_json, title_of
from seirenes_app.lab.crafting.jobs import MAX_HINT_TOKENS, Job, OnFailed, call_back, clean_hint
from seirenes_app.lab.crafting.models import as_chat, model_path, style_for
from seirenes_app.lab.crafting.problems import as_problem
from seirenes_app.lab.crafting.suites import suite_item
from seirenes_app.lab.traces import TraceBook
from seirenes_app.store.crafts import CraftStore
from training.core.archive import HintArchive
from training.core.prompts import adversary_messages
from training.core.suggestions import read_suggestion
from training.core.symbolic import SymbolicCheck
from training.core.types import Hint, Outcome, PerturbationType, Problem, Stage
from training.errors import UserError
from training.evaluation.plan import seed_of
from training.evaluation.problem_sets.hub import open_source
from training.evaluation.problem_sets.importing import read_problem_set
from training.evaluation.problem_sets.values import ProblemSet
from training.evaluation.suite_making import Offers, RankedHint
from training.problem_files import load_problems, make_problems
from training.rundir.config_io import load_config
from training.rundir.paths import RunPaths
from training.rundir.rollout_query import RolloutQuery

ATTEMPTS = 4
"""Hints asked of a model for a problem and type; the first that passes the gates is taken."""
_ROWS = 500

Written = Mapping[tuple[str, PerturbationType], tuple[Hint, ...]]


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
    return Hint(PerturbationType(type_), text, author, suggested=read_suggestion(text, problem))


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


def _rows(paths: RunPaths, stage: Stage) -> Iterator[tuple[dict[str, Any], TraceBook]]:
    book = TraceBook(paths)
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


def _problem_of_row(book: TraceBook, row: dict[str, Any]) -> Problem | None:
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
        if not draft.candidates:
            raise UserError(f"The draft {title_of(draft)!r} has no hint. Write one first.")
        for candidate in draft.candidates:
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
        types: Sequence[PerturbationType],
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
        written: dict[tuple[str, PerturbationType], tuple[Hint, ...]] = {}
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

    def _texts(self, problem: Problem, type_: PerturbationType) -> list[str]:
        messages = as_chat(adversary_messages(problem.question, type_, style_for(self._choice)))
        request = SampleRequest(
            messages=messages, n=self._attempts, max_tokens=MAX_HINT_TOKENS, temperature=self._temperature,
            seed=seed_of(self._seed, problem.id, type_),
        )  # fmt: skip
        found: dict[int, str] = {}
        for event in self._draw(self._choice, request):
            if isinstance(event, SampleDone) and event.finish is not Finish.CANCELLED:
                found[event.index] = clean_hint(event.text)
        return [found[index] for index in sorted(found)]


def offers_of(written: Written) -> Offers:
    """What a model wrote, as `make_suite` asks for it."""
    return lambda problem, type_: written.get((problem.id, type_), ())
