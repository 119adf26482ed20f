"""Runs on a cluster, against a server with the Jobs API that runs the jobs as real processes."""

import os
import time
from pathlib import Path

import pytest

from seirenes_app.cli.main import main
from seirenes_app.services import cluster, cluster_runs
from seirenes_app.services.cluster import ClusterClient, ClusterError
from seirenes_app.services.cluster_runs import Follower, follow, read_link, stop_job, submit
from seirenes_app.services.robustness.checkpoint_replay import checkpoints_of
from seirenes_app.services.run_repository import find_checkpoint
from seirenes_app.services.run_summary import describe_activity, describe_problem
from training.core.types import Role
from training.errors import UserError
from training.runs.config import RunConfig
from training.runs.control import CommandKind, send_command
from training.runs.lock import RunLock
from training.runs.paths import RunPaths, change_settings
from training.runs.processes import FORCE, StopEscalation, last_followed, read_run, start_trainer


def _remote(tmp_path):
    (found,) = (tmp_path / "remote").iterdir()
    return RunPaths(found)


def _followed(paths):
    """A follower that has read the run's first event."""
    follower = Follower(paths)
    while not follower.seq:
        follower.poll()
    return follower


def test_the_events_of_a_run_come_into_an_ordinary_run_directory(lab, tmp_path):
    paths = submit(lab, RunConfig())
    assert follow(paths, poll_s=0.1)
    assert paths.events.read_bytes() == _remote(tmp_path).events.read_bytes()
    assert read_run(paths).state.status == "finished"
    assert read_link(paths).status == "SUCCEEDED"


def test_an_interrupted_follower_leaves_no_event_out_and_none_twice(lab, tmp_path):
    paths = submit(lab, RunConfig())
    _followed(paths)
    with paths.events.open("r+b") as file:
        file.truncate(paths.events.stat().st_size - 5)
    assert follow(paths, poll_s=0.1)
    assert paths.events.read_bytes() == _remote(tmp_path).events.read_bytes()
    assert follow(paths, poll_s=0.1)
    assert paths.events.read_bytes() == _remote(tmp_path).events.read_bytes()


def test_a_run_whose_follower_is_gone_has_not_crashed(lab, jobs):
    jobs.environment["WAIT"] = "5"
    paths = submit(lab, RunConfig())
    _followed(paths)
    paths.launch.write_text("{}")
    state = read_run(paths).state
    assert state.status == "not followed"
    assert "cluster follow" in state.message


def test_a_run_that_is_not_followed_says_since_when_and_how_to_follow_it(lab, jobs, capsys):
    jobs.environment["WAIT"] = "5"
    paths = submit(lab, RunConfig())
    follower = Follower(paths)
    follower.run(lambda: follower.seq > 0, poll_s=0.1)
    # It was followed until then, whatever the run's newest event says of it.
    until = time.mktime((2026, 11, 27, 14, 3, 0, 0, 0, -1))
    os.utime(paths.cluster, (until, until))
    summary = read_run(paths)
    assert describe_activity(summary.state) == "not followed since 14:03 on 27 November"
    problem = describe_problem(summary)
    assert (problem.can_follow, problem.can_resume, problem.is_wrong) == (True, False, False)
    assert "since 14:03" in problem.text
    assert "lab" in problem.text
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert f"is not followed since 14:03 on 27 November. Follow it again: seirenes cluster follow {paths.run_id}" in out
    assert "responding" not in out
    assert main(["runs", "--json"]) == 0
    assert '"status": "not followed"' in capsys.readouterr().out


def test_a_follower_notes_until_when_it_followed(lab, jobs):
    jobs.environment["WAIT"] = "5"
    paths = submit(lab, RunConfig())
    # A paused run writes nothing: nothing but the file's time says that it is followed.
    follower = _followed(paths)
    os.utime(paths.cluster, (1.0, 1.0))
    polls = iter([False])
    follower.run(lambda: next(polls, True), poll_s=0.1)
    assert time.time() - last_followed(paths) < 60


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (["eval", "RUN"], "checkpoints"), (["crossplay", "RUN"], "checkpoints"),
        (["export", "RUN", "--to", "hf"], "checkpoints"), (["analyse", "RUN"], "rollouts"),
        (["traces", "RUN"], "rollouts"), (["audit", "RUN"], "rollouts"), (["eval", "--regrade", "RUN"], "evaluations"),
    ],
)  # fmt: skip
def test_what_was_not_fetched_is_said_with_the_command_that_does(lab, capsys, command, kind):
    paths = submit(lab, RunConfig())
    assert follow(paths, poll_s=0.1)
    assert main([paths.run_id if word == "RUN" else word for word in command]) == 2
    assert f"seirenes cluster fetch {paths.run_id} --only {kind}" in capsys.readouterr().err


def test_a_job_whose_answer_was_lost_is_started_once(lab, jobs):
    jobs.drop_after_post = True
    with pytest.raises(ClusterError, match="cluster follow"):
        submit(lab, RunConfig())
    (paths,) = (RunPaths(p) for p in Path(os.environ["SEIRENES_RUNS"]).iterdir())
    assert follow(paths, poll_s=0.1)
    assert (jobs.posts, len(jobs.jobs)) == (2, 1)


def test_a_submit_that_is_refused_leaves_nothing(lab, jobs, tmp_path):
    jobs.down = True
    with pytest.raises(ClusterError, match="503"):
        submit(lab, RunConfig())
    assert not (tmp_path / "RUNS").exists() or not list((tmp_path / "RUNS").iterdir())


def test_an_unreachable_cluster_is_noted_until_it_answers(lab, jobs):
    paths = submit(lab, RunConfig())
    jobs.down = True
    follower = Follower(paths)
    polls = iter([False] * 3)
    follower.run(lambda: next(polls, True), poll_s=0.1)
    assert read_link(paths).unreachable_since is not None
    jobs.down = False
    assert follower.run(poll_s=0.1)
    assert read_link(paths).unreachable_since is None


def test_a_job_that_ends_without_a_word_has_failed(lab, jobs):
    jobs.environment["DIE"] = "1"
    paths = submit(lab, RunConfig())
    assert follow(paths, poll_s=0.1)
    state = read_run(paths).state
    assert state.status == "failed"
    assert "lab" in state.message


def test_a_run_that_ended_on_its_cluster_goes_on_there(lab, jobs, tmp_path, monkeypatch):
    jobs.environment["DIE"] = "1"
    paths = submit(lab, RunConfig(steps=1))
    assert follow(paths, poll_s=0.1)
    del jobs.environment["DIE"]
    # The follower's process is played by this one.
    monkeypatch.setattr(cluster_runs, "start_process", lambda paths, module, detached: module)
    assert cluster_runs.continue_run(paths) == ["seirenes_app.services.cluster_runs"]
    assert follow(paths, poll_s=0.1)
    assert paths.events.read_bytes() == _remote(tmp_path).events.read_bytes()
    assert read_run(paths).state.status == "finished"
    with pytest.raises(UserError, match="finished"):
        cluster_runs.continue_run(paths)
    change_settings(paths, ["steps=2"])
    assert cluster_runs.continue_run(paths) == ["seirenes_app.services.cluster_runs"]


def test_no_trainer_is_started_here_for_a_run_on_a_cluster(lab):
    paths = submit(lab, RunConfig())
    with pytest.raises(UserError, match="not trained here"):
        start_trainer(paths)


def test_a_stop_never_ends_the_follower(lab):
    paths = submit(lab, RunConfig())
    times = StopEscalation(paths, FORCE).times
    assert (times.terminate_s, times.kill_s) == (None, None)


def test_the_events_of_a_long_log_are_read_from_where_the_follower_is(lab, jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_runs, "LONG_LOG", 300)
    monkeypatch.setattr(cluster_runs, "LONGEST_POLL_S", 0.1)
    jobs.environment.update(EVENTS="40", NOISE="200")
    paths = submit(lab, RunConfig())
    _followed(paths)
    assert follow(paths, poll_s=0.1)
    assert paths.events.read_bytes() == _remote(tmp_path).events.read_bytes()
    # One that is started later meets a log beyond what is read at all.
    monkeypatch.setattr(cluster, "MAX_REPLY", 20_000)
    paths.events.write_bytes(b"")
    assert follow(paths, poll_s=0.1)
    assert paths.events.read_bytes() == _remote(tmp_path).events.read_bytes()


def test_a_stop_reaches_the_run_which_saves(lab, jobs, tmp_path):
    jobs.environment.update(EVENTS="2000", WAIT="0.05")
    paths = submit(lab, RunConfig())
    follower = _followed(paths)
    send_command(paths, CommandKind.STOP)
    assert follower.run(poll_s=0.2)
    assert read_run(paths).state.status == "stopped"
    assert paths.events.read_bytes() == _remote(tmp_path).events.read_bytes()


def test_a_run_that_does_not_stop_is_ended_by_ray(lab, jobs):
    jobs.environment.update(EVENTS="2000", WAIT="60")
    paths = submit(lab, RunConfig())
    client, id_ = ClusterClient(lab), read_link(paths).job
    while "launch" not in client.logs(id_):
        pass
    assert stop_job(client, id_, grace_s=0.5) == "Ray ends the job."
    assert stop_job(client, id_) == "The job had ended."


def test_two_followers_do_not_write_into_one_run(lab):
    paths = submit(lab, RunConfig())
    lock = RunLock(paths.lock)
    lock.acquire()
    with pytest.raises(UserError, match="in use"):
        follow(paths)
    lock.release()


def test_the_command_submits_and_follows(lab, capsys):
    assert main(["cluster", "submit", "lab", "demo", "--set", "steps=3"]) == 0
    assert "Submitted" in capsys.readouterr().out
    assert main(["runs"]) == 0
    assert "finished, on lab" in capsys.readouterr().out


def test_files_are_fetched_in_parts_go_on_after_an_interrupt_and_are_whole(lab, tmp_path):
    paths = submit(lab, RunConfig())
    assert follow(paths, poll_s=0.1)
    remote = _remote(tmp_path)
    weights = remote.checkpoints / "step_000001" / "w.bin"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(os.urandom(100_000))
    read = []
    with pytest.raises(KeyboardInterrupt):
        cluster_runs.fetch(
            paths, chunk=60_000, progress=lambda *now: read.append(now), cancelled=lambda: bool(read and read[-1][0])
        )
    fetched = paths.checkpoints / "step_000001" / "w.bin"
    assert not fetched.exists()
    assert cluster_runs.fetch(paths, chunk=60_000) == 40_000
    assert fetched.read_bytes() == weights.read_bytes()
    assert cluster_runs.fetch(paths) == 0


def test_a_checkpoint_that_was_not_fetched_is_said_to_be_on_the_cluster(lab):
    paths = submit(lab, RunConfig())
    with pytest.raises(UserError, match="cluster fetch"):
        checkpoints_of(paths)
    with pytest.raises(UserError, match="cluster fetch"):
        find_checkpoint(f"{paths.run_id}@1", Role.REASONER)


def test_a_run_that_has_ended_is_not_waited_for_where_its_cluster_is_gone(lab, jobs):
    paths = submit(lab, RunConfig())
    follower = Follower(paths)
    while not follower.done:
        follower.poll()
    jobs.down = True
    assert follower.run(poll_s=0.1)
