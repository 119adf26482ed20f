"""Where the files of a run are. Makes a new run's folder; reads nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import UserError
from training.resources import data_folder
from training.runs.files import check_database_path, explained, make_folder, write_whole

if TYPE_CHECKING:
    from training.runs.config import RunConfig

ADVERSARY_FOLDER = "adversary"
"""In a checkpoint's folder: the model of an Adversary that has its own and is trained. The folder itself is the
Reasoner's."""


def adversary_of(checkpoint: Path) -> Path:
    """The folder of the model that plays the Adversary in a checkpoint: its own, or the one that plays both roles. Of
    one that has its own and is not trained, the checkpoint holds none: `adversary.model` names it."""
    own = checkpoint / ADVERSARY_FOLDER
    return own if own.is_dir() else checkpoint


@dataclass(frozen=True)
class FileAt:
    """A class attribute that is the path of this name under the instance's `root`."""

    name: str

    def __get__(self, paths: RunPaths, owner: object = None) -> Path:
        return paths.root / self.name


@dataclass(frozen=True)
class RunPaths:
    """The files of one run directory; each has exactly one writing process."""

    root: Path

    @property
    def run_id(self) -> str:
        return self.root.name

    config = FileAt("config.json")
    events = FileAt("events.jsonl")
    """What happened; written by the trainer."""
    commands = FileAt("commands.jsonl")
    """What was asked; written by the window and the command."""
    log = FileAt("trainer.log")
    rollouts = FileAt("rollouts.db")
    problems = FileAt("problems.jsonl")
    """The training pool where it is of an optional package's families; written by the trainer."""
    rulings = FileAt("rulings.jsonl")
    """What the judge said of each hint; written by the trainer."""
    checkpoints = FileAt("checkpoints")
    """The folder of step_000000, step_000020, …"""
    evaluations = FileAt("evaluations")
    launch = FileAt("launch.json")
    """Which process was started last; written by the window and the command."""
    lock = FileAt("trainer.lock")
    cluster = FileAt("cluster.json")
    """Of a run on a cluster: which job it is; written by its follower."""
    report = FileAt("report.html")
    opponents = FileAt("opponents")
    """Weights of past Adversaries that write hints again."""
    converted = FileAt("converted")
    """Models of GGUF files as folders, by role."""


def not_fetched(paths: RunPaths, kind: str) -> str:
    """What is said where files of a run on a cluster are asked for that are not here. `kind`: checkpoints, evaluations
    or rollouts."""
    return (
        f"The {kind} of {paths.run_id} are on its cluster and were not fetched yet. In the window: Train, More, Fetch "
        f"from the cluster…. In a terminal: seirenes cluster fetch {shlex.quote(paths.run_id)} --only {kind}"
    )


def default_runs_root() -> Path:
    """SEIRENES_RUNS, or in the data folder."""
    override = os.environ.get("SEIRENES_RUNS")
    return Path(override) if override else data_folder() / "runs"


def new_run(runs_root: Path, config: RunConfig, run_id: str | None = None) -> RunPaths:
    """Make a run's folder with its config.json, which has absolute paths. A name that is taken gets a suffix; an
    explicit one is refused."""
    # Here, as a process that only needs to know where files are starts four times as fast without it.
    from training.runs.config import to_dict, with_absolute_paths, with_profile

    whole = with_profile(with_absolute_paths(config))
    slug = re.sub(r"[^\w.-]+", "-", config.name).strip("-.") or "run"
    wanted = run_id or f"{datetime.now():%Y%m%d-%H%M}-{slug}"
    root = runs_root / wanted
    check_database_path(RunPaths(root).evaluations / "rows.db")
    with explained("Making the run folder", root):
        runs_root.mkdir(parents=True, exist_ok=True)
        if run_id is None:
            root = make_folder(runs_root, wanted)
        elif root.is_dir() and any(root.iterdir()):
            resume = f"seirenes resume {shlex.quote(str(root))}"
            raise UserError(f"{root} is not empty. Name another folder, or resume it with: {resume}")
        else:
            root.mkdir(exist_ok=True)
    paths = RunPaths(root)
    write_whole(paths.config, json.dumps(to_dict(whole), indent=1) + "\n")
    with explained("Making the folder", paths.checkpoints):
        paths.checkpoints.mkdir(exist_ok=True)
    return paths


def change_settings(paths: RunPaths, overrides: Sequence[str], source: str = "--set") -> None:
    """Change what a run that is not going is resumed with. Its launch events keep what it had before."""
    from training.runs.config import change_for_resume, load_config, to_dict, with_absolute_paths

    config = with_absolute_paths(change_for_resume(load_config(paths.config), overrides, source))
    write_whole(paths.config, json.dumps(to_dict(config), indent=1) + "\n")
