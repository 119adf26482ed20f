"""What the suites of a source say of their hints: the split of the template that wrote each. Reads suite texts."""

from __future__ import annotations

from seirenes_app.lab.resources import recorded_run
from seirenes_app.lab.robustness.generalisation import Splits
from seirenes_app.lab.robustness.sources import Source
from seirenes_app.lab.robustness.traces import suite_of
from seirenes_app.lab.robustness.values import Origin
from training.core.types import Hint, PerturbationType
from training.errors import UserError
from training.evaluation.folder import EvalPaths
from training.evaluation.rows import Condition
from training.evaluation.store_reader import StoreReader
from training.evaluation.suite_manifest import split_of_hint
from training.rundir.config import Mode, RunConfig
from training.rundir.config_io import load_config
from training.rundir.paths import RunPaths, default_runs_root


def hint_splits(source: Source) -> Splits:
    """By suite, problem and index of the hint."""
    if source.origin is Origin.RUN:
        found = {}
        for track in source.tracks:
            suite = suite_of(track.suite, track.suite_hash)
            for item in suite.items if suite is not None else ():
                for index, hint in enumerate(item.hints):
                    found[track.suite, item.problem.id, index] = split_of_hint(hint)
        return found
    return _stored_splits(source)


def _stored_splits(source: Source) -> Splits:
    found = {}
    names = {track.suite for track in source.tracks}
    problems = source.cells.problems
    with StoreReader(EvalPaths(source.root).rows) as reader:
        for suite in names:
            part = source.cells.where(suite=suite)
            places = dict(zip(part.data["item"].tolist(), part.problem.tolist(), strict=True))
            for item, problem in places.items():
                for text in reader.prompts(suite, item, Condition.HINTED):
                    if text.hint_type is not None:
                        hint = Hint(text.hint_type, text.text, template=text.author)
                        found[suite, problems[problem], text.index] = split_of_hint(hint)
    return found


def trained_types(source: Source, run: str) -> tuple[PerturbationType, ...] | None:
    """The types that the run's Adversary trains with; None where that is not known."""
    config = source.config or config_of(run)
    if config is None or config.mode is Mode.CLEAN_RL:
        return None
    named = config.adversary.types
    if named.strip() == "all":
        return tuple(PerturbationType)
    wanted = {name.strip() for name in named.split(",")}
    return tuple(t for t in PerturbationType if t in wanted)


def mode_of(source: Source, run: str) -> str:
    """How the run was trained; empty where that is not known."""
    if source.state is not None:
        return source.state.mode
    config = config_of(run)
    return "" if config is None else str(config.mode)


def config_of(run: str) -> RunConfig | None:
    """The configuration of the run of that id on this machine; None where it is not there or cannot be read."""
    if not run:
        return None
    recorded = recorded_run()
    places = [default_runs_root() / run, *([recorded] if recorded.name == run else [])]
    path = next((p.config for p in map(RunPaths, places) if p.config.is_file()), None)
    if path is None:
        return None
    try:
        return load_config(path)
    except UserError:
        # Whoever opens that run is told what is wrong with it.
        return None
