"""A disk that fills up while a run trains loses nothing: once there is space, the run ends as if nothing had been.

On a real small file system; where none can be mounted the file-size limit stands for it, in `test_backend` and
`test_runs`.
"""

import json
import os
import subprocess
from contextlib import suppress

import pytest
from helpers.interrupted_runs import Trainers, differences, events_of, make_run, settings_of

from seirenes_app.services.run_summary import describe_problem
from training.engine.checkpoint import damage
from training.errors import UserError
from training.runs.processes import read_run, running_process, start_trainer
from training.runs.status import FailureKind

SHORT = ["checkpoint.every=1", "evaluation.every=0"]
MB = 2**20


class SmallDisk:
    """A file system in memory whose size can be changed, and that can be filled."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={64 * MB}", "tmpfs", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
        self._filler = folder / "filler"

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)

    def fill(self, leave):
        """Fill the disk but for about `leave` bytes."""
        found = os.statvfs(self.folder)
        with suppress(OSError), self._filler.open("wb") as file:
            file.write(bytes(max(0, found.f_bfree * found.f_frsize - leave)))

    def free(self):
        self._filler.unlink()

    def close(self):
        subprocess.run(["umount", "-l", self.folder], check=True)


@pytest.fixture
def disk(tmp_path):
    found = SmallDisk(tmp_path / "disk")
    yield found
    found.close()


@pytest.fixture(scope="module")
def trainers():
    forks = Trainers()
    yield forks
    forks.close()


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return [*settings_of("full", tmp_path_factory.mktemp("model"), "llama"), *SHORT]


@pytest.fixture(scope="module")
def whole(trainers, settings, tmp_path_factory):
    """A run that had all the space it wanted."""
    paths = make_run(tmp_path_factory.mktemp("runs"), "whole", *settings)
    assert trainers.finish(paths) == 0
    return paths


def last_of(paths):
    return events_of(paths)[-1]


def test_a_disk_that_fills_in_mid_checkpoint_loses_nothing(trainers, disk, tmp_path):
    # The bundled model: its weights are 9 MB, its optimiser is twice that, and a step's rollouts are far less.
    settings = [*SHORT, "steps=2", "rollout.questions=2"]
    whole, paths = make_run(tmp_path, "whole", *settings), make_run(disk.folder, "cut", *settings)
    assert trainers.finish(whole) == 0
    weights = (whole.checkpoints / "step_000001" / "model.safetensors").stat().st_size
    # The first checkpoint and the next one's weights fit; its optimiser, written last, does not.
    disk.resize(3 * weights)
    assert trainers.finish(paths) == 2
    said = last_of(paths).data
    assert (said["outcome"], said["failure"]) == ("failed", FailureKind.RESOURCES)
    assert "Writing the checkpoint" in said["message"]
    assert "disk is full" in said["message"]
    assert [folder.name for folder in paths.checkpoints.iterdir()] == ["step_000000"]
    assert damage(paths.checkpoints / "step_000000") is None
    disk.resize(16 * weights)
    assert trainers.finish(paths) == 0
    assert differences(paths, whole) == []


def test_a_disk_that_fills_at_other_moments_loses_nothing(trainers, settings, whole, disk):
    paths = make_run(disk.folder, "cut", *settings)
    # Events need the least, then the database, then a checkpoint.
    for step, leave in ((1, 0), (2, 8192), (4, 65536)):
        with trainers.halted(paths, "step", step=step):
            disk.fill(leave)
        assert trainers.wait() == 2
        assert all(damage(folder) is None for folder in paths.checkpoints.iterdir())
        if not leave:
            assert "disk" in describe_problem(read_run(paths)).text
        disk.free()
    assert trainers.finish(paths) == 0
    assert differences(paths, whole) == []


def test_resuming_on_a_full_disk_is_refused_at_once_and_leaves_no_process(settings, disk):
    paths = make_run(disk.folder, "r", *settings)
    disk.fill(0)
    with pytest.raises(UserError, match=r"launch\.json.*disk is full"):
        start_trainer(paths)
    assert running_process(paths) is None
    assert read_run(paths).config is not None
    disk.free()
    assert json.loads(paths.config.read_text())["steps"] == 6
