"""Where the files of a run are. Makes a new run's folder; reads nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import platformdirs

from training.errors import UserError
from training.runs.config import RunConfig, to_dict
from training.runs.files import explained, write_whole


@dataclass(frozen=True)
class RunPaths:
    """The files of one run directory; each has exactly one writing process."""

    root: Path

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.root.name

    @property
    def config(self) -> Path:
        """The run's configuration."""
        return self.root / "config.json"

    @property
    def events(self) -> Path:
        """What happened; written by the trainer."""
        return self.root / "events.jsonl"

    @property
    def commands(self) -> Path:
        """What was asked; written by the window and the command."""
        return self.root / "commands.jsonl"

    @property
    def log(self) -> Path:
        """The trainer's standard output and error."""
        return self.root / "trainer.log"

    @property
    def rollouts(self) -> Path:
        """Every completion, in SQLite."""
        return self.root / "rollouts.db"

    @property
    def checkpoints(self) -> Path:
        """The folder of step_000000, step_000020, …"""
        return self.root / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """The folder of the run's own evaluations."""
        return self.root / "evaluations"

    @property
    def launch(self) -> Path:
        """Which process was started last; written by the window and the command."""
        return self.root / "launch.json"

    @property
    def lock(self) -> Path:
        """Held by the trainer while it runs."""
        return self.root / "trainer.lock"

    @property
    def report(self) -> Path:
        """The one-file report."""
        return self.root / "report.html"


def default_runs_root() -> Path:
    """SEIRENES_RUNS, or the user's data folder."""
    override = os.environ.get("SEIRENES_RUNS")
    return Path(override) if override else Path(platformdirs.user_data_dir("seirenes")) / "runs"


def new_run(runs_root: Path, config: RunConfig, run_id: str | None = None) -> RunPaths:
    """Make a run's folder with its config.json. A name that is taken gets a suffix; an explicit one is refused."""
    slug = re.sub(r"[^\w.-]+", "-", config.name).strip("-.") or "run"
    wanted = run_id or f"{datetime.now():%Y%m%d-%H%M}-{slug}"
    root = runs_root / wanted
    with explained("Making the run folder", root):
        runs_root.mkdir(parents=True, exist_ok=True)
        suffix = 1
        while True:
            try:
                root.mkdir()
                break
            except FileExistsError:
                if run_id is not None and any(root.iterdir()):
                    resume = f"seirenes resume {shlex.quote(str(root))}"
                    raise UserError(f"{root} is not empty. Name another folder, or resume it with: {resume}") from None
                if run_id is not None:
                    break
                suffix += 1
                root = runs_root / f"{wanted}-{suffix}"
    paths = RunPaths(root)
    write_whole(paths.config, json.dumps(to_dict(config), indent=1) + "\n")
    with explained("Making the folder", paths.checkpoints):
        paths.checkpoints.mkdir(exist_ok=True)
    return paths
