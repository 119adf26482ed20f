"""Facts about the run directory: configuration, events, commands, lock, state, rollouts."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.core.prompts import Sampling, profile_to_toml
from training.errors import UserError
from training.prompt_files import find_profile
from training.rollouts.database import RolloutRow, RolloutWriter
from training.rollouts.reader import RolloutQuery, RolloutReader
from training.runs.config import (
    Mode,
    ModelConfig,
    RunConfig,
    describe_options,
    from_dict,
    load_config,
    load_presets,
    named_paths,
    say_range,
    to_dict,
    to_toml,
    with_absolute_paths,
    with_overrides,
    with_profile,
)
from training.runs.control import CommandKind, CommandTail, commands_size, send_command
from training.runs.events import Event, EventKind, EventLog, EventTail
from training.runs.files import write_whole
from training.runs.lock import LockHolder, RunLock, holder
from training.runs.paths import RunPaths, change_settings, default_runs_root, new_run
from training.runs.processes import (
    StopEscalation,
    StopPhase,
    StopTimes,
    process_at_work,
    read_run,
    start_trainer,
    watch_run,
)
from training.runs.status import FailureKind, RunState, RunStatus, reduce, resolve_status

ROOT = Path(__file__).resolve().parents[3]


# ---------------------------------------------------------------------- configuration


def test_a_file_that_could_not_be_written_leaves_nothing_beside_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_whole(path, "old")

    def refuse(_number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match="disk is full"):
        write_whole(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "old"


@given(st.text(max_size=30), st.floats(0, 1, allow_nan=False), st.integers(1, 10**6), st.sampled_from(list(Mode)))
@settings(max_examples=60, deadline=None)
def test_toml_reads_back_equal(tmp_path_factory, name, share, steps, mode):
    config = replace(RunConfig(), name=name, steps=steps, mode=mode)
    config = replace(config, curriculum=replace(config.curriculum, replay_share=share))
    file = tmp_path_factory.mktemp("c") / "c.toml"
    file.write_text(to_toml(config), encoding="utf-8")
    assert load_config(file) == config
    assert from_dict(to_dict(config), "dict") == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stpes = 3", "steps"),
        ("[rollout]\nhint = 3", "rollout.hints"),
        ("[rolout]\nhints = 3", "rollout"),
        ("steps = 0", "at least|1 to"),
        ("steps = 2.5", "whole number"),
        ("steps = true", "whole number"),
        ("mode = 'seirens'", "seirenes"),
        ("[update]\nkl = nan", "out of range"),
        ("steps = =\n", "line 1"),
    ],
)
def test_a_mistake_in_a_config_is_told_with_file_and_remedy(tmp_path, text, said):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=said) as told:
        load_config(file)
    assert "mine.toml" in str(told.value)


def test_overrides_are_typed_by_the_schema(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("steps = 5")
    config = load_config(file, ["rollout.clean=8", "update.kl=0.5", "advantage.fallback=true", "mode=random"])
    assert (config.steps, config.rollout.clean, config.update.kl, config.advantage.fallback) == (5, 8, 0.5, True)
    with pytest.raises(UserError, match="KEY=VALUE"):
        load_config(file, ["steps"])


NAMED = {
    "model.path": "model", "adversary.model": "old/run@20", "judge.model": "judge.gguf", "model.prompts": "mine.toml",
    "data.problems": "a.jsonl", "reasoner.anchor_problems": "b.jsonl", "curriculum.archive": "hints.jsonl",
}  # fmt: skip
"""A relative path for every option that may have one."""


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A working directory in which everything is that NAMED names."""
    monkeypatch.chdir(tmp_path)
    for folder in ("model", "old/run/checkpoints"):
        (tmp_path / folder).mkdir(parents=True)
    for name in NAMED.values():
        if "." in name:
            (tmp_path / name).touch()
    (tmp_path / "mine.toml").write_text(profile_to_toml(find_profile("neutral")))
    return tmp_path


def test_a_run_keeps_absolute_paths_of_whatever_its_configuration_names(named):
    assert {o.key for o in describe_options() if o.path} == set(NAMED)
    config = with_overrides(RunConfig(), [f"{key}={value}" for key, value in NAMED.items()])
    paths = new_run(named / "runs", config, "r")
    here = {key: str(named / value) for key, value in NAMED.items()}
    assert named_paths(load_config(paths.config)) == here
    change_settings(paths, ["curriculum.archive=a.jsonl"])
    assert load_config(paths.config).curriculum.archive == here["data.problems"]


def test_a_name_that_is_no_path_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("starter", "other_words", "reference", "neutral", "auto"):
        (tmp_path / name).mkdir()
    for names in (
        ["model.path=starter", "adversary.model=org/name@1", "judge.model=endpoint:x", "model.prompts=neutral"],
        ["reasoner.anchor_problems=other_words", "judge.model=reference", "data.families=gym:syllogism"],
        ["adversary.model=run@20", "data.problems=/else/where.jsonl", "judge.model=http://host:1/v1#m"],
    ):
        config = with_overrides(RunConfig(), names)
        assert with_absolute_paths(config) == config


def test_a_path_in_a_toml_file_is_relative_to_it_and_an_override_to_the_working_directory(named, monkeypatch):
    (named / "run.toml").write_text('[data]\nproblems = "a.jsonl"\n[curriculum]\narchive = "there.jsonl"')
    elsewhere = named / "old"
    for name in ("a.jsonl", "b.jsonl", "there.jsonl"):
        (elsewhere / name).touch()
    monkeypatch.chdir(elsewhere)
    config = with_absolute_paths(load_config(Path("../run.toml"), ["reasoner.anchor_problems=b.jsonl"]))
    assert os.path.samefile(config.data.problems, named / "a.jsonl")
    # What is not beside the file was always looked for here.
    places = {key: str(elsewhere / name) for key, name in
              {"reasoner.anchor_problems": "b.jsonl", "curriculum.archive": "there.jsonl"}.items()}  # fmt: skip
    assert {key: named_paths(config)[key] for key in places} == places


def test_every_preset_loads_and_every_option_has_help():
    assert {"demo", "long", "clean_rl", "static", "random"} <= set(load_presets(ROOT / "resources" / "presets"))
    assert all(o.help for o in describe_options())


# ---------------------------------------------------------------------- events


def test_runs_are_in_the_data_folder_unless_another_one_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("SEIRENES_RUNS", raising=False)
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    assert default_runs_root() == tmp_path / "data" / "runs"
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "other"))
    assert default_runs_root() == tmp_path / "other"


def test_nan_is_written_as_null_and_counting_goes_on_after_a_crash(tmp_path):
    file = tmp_path / "events.jsonl"
    writer = EventLog(file)
    writer.write(EventKind.STEP, step=1, metrics={"a": float("nan"), "b": [float("inf")]})
    writer.close()
    with file.open("a") as half:
        half.write('{"v":1,"seq":2,"t"')
    writer = EventLog(file)
    writer.write(EventKind.STEP, step=2, metrics={})
    tail = EventTail(file)
    events = tail.poll()
    assert [e.seq for e in events] == [1, 2]
    assert events[0].data["metrics"] == {"a": None, "b": [None]}
    assert len(tail.problems) == 1
    assert "line 2" in tail.problems[0]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_any_chunking_of_the_file_yields_the_same_events(tmp_path_factory, cuts):
    lines = "".join(
        json.dumps({"v": 1, "seq": i, "t": 0.0, "event": "step", "text": "é" * i, "new_field": 1}) + "\n"
        for i in range(8)
    ).encode()
    file = tmp_path_factory.mktemp("e") / "events.jsonl"
    file.touch()
    tail, seen, start = EventTail(file), [], 0
    for cut in [*cuts, len(lines)]:
        with file.open("ab") as out:
            out.write(lines[start : start + cut])
        start += cut
        seen += [e.seq for e in tail.poll()]
    assert seen == list(range(8))
    assert not tail.problems


@given(st.binary(max_size=300))
def test_no_bytes_make_the_tail_raise(tmp_path_factory, junk):
    file = tmp_path_factory.mktemp("e") / "events.jsonl"
    file.write_bytes(junk + b"\n")
    EventTail(file).poll()


def test_a_newer_major_version_is_refused_in_words(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text('{"v":2,"seq":1,"t":0,"event":"step"}\n')
    with pytest.raises(UserError, match="newer"):
        EventTail(file).poll()


FILL = """
import resource, sys
from pathlib import Path
from training.errors import UserError
from training.runs.events import Event, EventKind, EventTail, EventLog
file = Path(sys.argv[1])
writer = EventLog(file)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    while True:
        writer.write(EventKind.STEP, step=1, metrics={})
except UserError as error:
    print(error)
    print(len(EventTail(file).poll()))
"""


def test_a_disk_that_refuses_is_told_in_words_and_what_was_written_is_kept(tmp_path):
    command = [sys.executable, "-c", FILL, str(tmp_path / "events.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    words, kept = done.stdout.splitlines()
    assert "events.jsonl" in words
    assert "intact" in words
    assert int(kept) > 20


# ---------------------------------------------------------------------- folder, commands, lock


@pytest.fixture
def paths(tmp_path):
    return new_run(tmp_path, RunConfig(), "r")


def test_a_taken_name_gets_a_suffix_and_an_explicit_one_is_refused(tmp_path):
    first, second = (new_run(tmp_path, RunConfig()) for _ in range(2))
    assert first.root != second.root
    with pytest.raises(UserError, match="resume"):
        new_run(tmp_path, RunConfig(), first.run_id)


def test_commands_meant_for_an_earlier_process_are_forgotten(paths):
    send_command(paths, CommandKind.STOP)
    tail = CommandTail(paths.commands, commands_size(paths.commands))
    send_command(paths, CommandKind.PAUSE)
    assert [c.kind for c in tail.poll()] == [CommandKind.PAUSE]
    assert tail.poll() == []


HOLD = """
import sys, time
from pathlib import Path
from training.runs.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


def test_a_second_trainer_is_refused_and_a_killed_one_frees_the_lock(paths):
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(paths.lock)], stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout.readline().strip() == b"held"
    assert holder(paths.lock).pid == child.pid
    with pytest.raises(UserError, match=str(child.pid)):
        RunLock(paths.lock).acquire()
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert holder(paths.lock) is None
    lock = RunLock(paths.lock)
    lock.acquire()
    lock.release()


CLOSES = """
import sys
from pathlib import Path
from training.runs.control import recorded_process
from training.runs.events import EventKind
with recorded_process(Path(sys.argv[1]), Path(sys.argv[2])) as log:
    log.write(EventKind.LAUNCH, pid=0)
    print("works", flush=True)
    sys.stdin.readline()
    log.write(EventKind.DONE, outcome="finished", message="", error=None)
    print("closes", flush=True)
    sys.stdin.readline()
"""


def test_a_process_that_only_closes_down_is_waited_for(paths, monkeypatch):
    child = subprocess.Popen([sys.executable, "-c", CLOSES, str(paths.events), str(paths.lock)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, cwd=ROOT)  # fmt: skip
    assert child.stdout.readline().strip() == b"works"
    assert process_at_work(paths).pid == child.pid
    child.stdin.write(b"\n")
    child.stdin.flush()
    assert child.stdout.readline().strip() == b"closes"
    monkeypatch.setattr("training.runs.processes.CLOSING_S", 0.2)
    assert process_at_work(paths).pid == child.pid
    monkeypatch.setattr("training.runs.processes.CLOSING_S", 600)
    threading.Timer(0.2, child.stdin.close).start()
    assert process_at_work(paths) is None
    child.wait()


def test_a_recycled_pid_is_not_taken_for_the_trainer(paths):
    paths.lock.write_text(json.dumps({"pid": os.getpid(), "started": 1.0, "host": os.uname().nodename}))
    assert holder(paths.lock) is None


def write_holder(paths, pid, host):
    paths.lock.write_text(json.dumps({"pid": pid, "started": psutil.Process(pid).create_time(), "host": host}))


def test_a_lock_that_a_dead_process_left_under_another_host_name_is_free(paths):
    write_holder(paths, os.getpid(), "renamed-host")
    assert holder(paths.lock) is None
    lock = RunLock(paths.lock)
    lock.acquire()
    lock.release()


def hold(paths):
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(paths.lock), str(paths.root)], stdout=subprocess.PIPE,
                             cwd=ROOT)  # fmt: skip
    assert child.stdout.readline().strip() == b"held"
    return child


FORCE_NOW = StopTimes(None, 0.0, 0.5, give_up_s=60.0)


@pytest.mark.parametrize("names_the_folder", [False, True])
def test_a_stop_never_ends_an_unrelated_process_that_has_the_number_in_a_foreign_lock(paths, names_the_folder):
    child = hold(paths)
    arguments = [str(paths.root)] * names_the_folder
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *arguments])
    paths.lock.write_text(json.dumps({"pid": sleeper.pid, "started": 1.0, "host": "another-host"}))
    stop = StopEscalation(paths, FORCE_NOW)
    assert [stop.advance() for _ in range(3)] == [StopPhase.ASKED, StopPhase.OUT_OF_REACH, None]
    stop.times = replace(FORCE_NOW, give_up_s=0.0)
    assert not stop.run()
    assert stop.phase is StopPhase.GAVE_UP
    assert sleeper.poll() is None
    for process in (child, sleeper):
        process.kill()
        process.wait()


def test_a_process_of_this_machine_is_stopped_although_the_machine_was_renamed(paths):
    child = hold(paths)
    write_holder(paths, child.pid, "old-name")
    threading.Thread(target=child.wait).start()
    assert StopEscalation(paths, FORCE_NOW).run()
    assert holder(paths.lock) is None


def test_a_trainer_killed_before_its_first_event_has_crashed(paths, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    start_trainer(paths)
    deadline = time.monotonic() + 60
    while read_run(paths).state.status is not RunStatus.CRASHED:
        assert time.monotonic() < deadline


def test_events_carry_the_time_of_work_without_pauses(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    log = EventLog(tmp_path / "events.jsonl")
    for passed in (1.0, 30.0, 5.0):
        log.clock.pause() if passed == 30.0 else log.clock.resume()
        now += passed
        log.write(EventKind.HEARTBEAT)
    assert [event.data["active_s"] for event in EventTail(tmp_path / "events.jsonl").poll()] == [1.0, 1.0, 6.0]


BEAT_AND_STOP = """
import os, sys, time
from pathlib import Path
from training.runs import control, events
control.HEARTBEAT_S, events.SUSPENDED_S = 0.1, 1.0
log = events.EventLog(Path(sys.argv[1]))
with control.heartbeat(log):
    log.write(events.EventKind.STAGE, stage="setup")
    print("beating", flush=True)
    sys.stdin.readline()
    log.write(events.EventKind.STEP, step=1, metrics={})
"""


def test_time_in_which_a_process_was_suspended_is_no_time_of_work(tmp_path):
    events = tmp_path / "events.jsonl"
    child = subprocess.Popen([sys.executable, "-c", BEAT_AND_STOP, events], cwd=ROOT, text=True, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)  # fmt: skip
    child.stdout.readline()
    child.send_signal(signal.SIGSTOP)
    time.sleep(3)
    child.send_signal(signal.SIGCONT)
    child.communicate("\n", timeout=300)
    written = EventTail(events).poll()
    passed = written[-1].t - written[0].t
    assert passed > 2.5
    assert written[-1].data["active_s"] < passed - 2


# ---------------------------------------------------------------------- state


def play(*events):
    state = RunState()
    for seq, (kind, data) in enumerate(events):
        state = reduce(state, Event(seq, 100.0 + seq, kind, data))
    return state


LAUNCH = ("launch", {"steps": 10, "mode": "seirenes", "resumed_from": None})


def step(n):
    return ("step", {"step": n, "metrics": {"seconds": 1.0, "loss": n}})


def test_missing_done_means_crashed():
    state = play(LAUNCH, step(1))
    assert resolve_status(state, None, 101.0).status is RunStatus.CRASHED


def test_silence_with_the_lock_held_is_stalled_not_dead():
    held = LockHolder(1, 0.0, "h")
    assert resolve_status(play(LAUNCH, step(1)), held, 110.0).status is RunStatus.RUNNING
    assert resolve_status(play(LAUNCH, step(1)), held, 500.0).status is RunStatus.STALLED


def test_done_is_the_end():
    state = play(LAUNCH, step(1), ("done", {"outcome": "failed", "message": "no space"}))
    assert resolve_status(state, None, 999.0).status is RunStatus.FAILED
    assert state.message == "no space"


def test_a_resume_drops_the_steps_after_its_checkpoint():
    state = play(LAUNCH, step(1), step(2), step(3), ("launch", {"steps": 10, "resumed_from": 2}), step(3))
    assert state.history.series("loss")[0] == [1, 2, 3]


def at(*events):
    """The state after (time, kind, data)."""
    state = RunState()
    for seq, (t, kind, data) in enumerate(events):
        state = reduce(state, Event(seq, 1e6 + t, kind, data))
    return state


BEAT = ("heartbeat", {})
PAUSED = ("stage", {"step": 5, "stage": "paused"})


def timeline(t, seconds, every=5.0):
    return [(t + i * every, *BEAT) for i in range(1, int(seconds / every) + 1)]


def four_steps():
    """Four steps of 10 s each, and half of the fifth."""
    found = [(0, *LAUNCH)]
    for n in range(1, 5):
        found += [*timeline(10 * (n - 1), 5), (10 * n, *step(n))]
    return [*found, (45, "stage", {"step": 5, "stage": "r1_clean"})]


def test_a_pause_changes_neither_elapsed_nor_left_and_says_the_steps_that_are_done():
    before = at(*four_steps())
    paused = at(*four_steps(), (45, *PAUSED), *timeline(45, 3600))
    assert (paused.status, paused.step, paused.done_steps) == (RunStatus.PAUSED, 4, 4)
    assert paused.eta_s == before.eta_s == 55.0
    assert paused.active_s == before.active_s == 45.0
    assert paused.paused_s == 3600.0
    after = at(*four_steps(), (45, *PAUSED), *timeline(45, 3600), (3645, "stage", {"step": 5, "stage": "r1_clean"}),
               (3650, *step(5)))  # fmt: skip
    assert after.active_s == 50.0
    assert after.eta_s == 50.0


def test_sleep_and_a_clock_that_was_set_back_count_as_no_time():
    slept = at(*four_steps(), (8 * 3600, "stage", {"step": 5, "stage": "r1_clean"}))
    assert (slept.active_s, slept.eta_s) == (45.0, 55.0)
    set_back = at(*four_steps(), (-31500, *BEAT), (-31495, *step(5)))
    assert set_back.active_s == 50.0
    assert set_back.eta_s == 50.0


@pytest.fixture
def live(paths):
    """A run at work and what follows it: its log, and the watch."""
    child = hold(paths)
    log, watch = EventLog(paths.events), watch_run(paths)
    log.write(EventKind.LAUNCH, steps=3, pid=child.pid, resumed_from=None)
    log.write(EventKind.STAGE, step=1, stage="r1_clean")
    yield log, watch
    child.kill()
    child.wait()


YEAR_S, DAY_S = 365 * 86400.0, 86400.0


@pytest.mark.parametrize("jump_s", [-YEAR_S, DAY_S], ids=["set back by a year", "forward by a day"])
def test_a_clock_that_is_set_makes_no_run_stalled_and_changes_no_figure(live, monkeypatch, jump_s):
    log, watch = live
    log.write(EventKind.STEP, step=1, metrics={"loss": 1.0})
    before = watch.poll()
    wall, monotonic = time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: wall() + jump_s)
    assert watch.poll() == before
    log.write(EventKind.HEARTBEAT)
    log.write(EventKind.STEP, step=2, metrics={"loss": 2.0})
    after = watch.poll()
    assert (after.status, after.done_steps) == (RunStatus.RUNNING, 2)
    assert after.active_s - before.active_s < 100.0
    assert after.eta_s < 100.0
    assert after.history.series("loss") == ([1, 2], [1.0, 2.0])
    # A minute of the monotonic clock without an event is a minute of silence, whatever the wall clock says.
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 61.0)
    assert watch.poll().status is RunStatus.STALLED


def test_a_machine_that_slept_has_no_stalled_run_when_it_wakes(live, monkeypatch):
    _, watch = live
    assert watch.poll().status is RunStatus.RUNNING
    wall = time.time
    # The monotonic clock stands still meanwhile.
    monkeypatch.setattr(time, "time", lambda: wall() + 8 * 3600)
    assert watch.poll().status is RunStatus.RUNNING


def test_time_between_two_launches_is_not_elapsed():
    state = at(*four_steps(), (9000, "launch", {"steps": 10, "resumed_from": 4}), (9005, *BEAT))
    assert state.active_s == 50.0
    assert state.eta_s is None


def test_the_trainers_own_clock_is_believed_before_the_wall_clock():
    state = at((0, "launch", {"steps": 10, "active_s": 7.0}), (5, "heartbeat", {"active_s": 12.0}),
               (-100, "step", {"step": 1, "metrics": {}, "active_s": 17.0}))  # fmt: skip
    assert state.active_s == 17.0


def test_the_evaluation_before_the_first_step_is_no_part_of_the_pace():
    state = at((0, *LAUNCH), *timeline(0, 50), (50, "eval", {"step": 0}), (60, *step(1)))
    assert state.eta_s == 90.0


@pytest.mark.parametrize(
    ("launched", "done", "kind", "resume"),
    [
        (False, {"error": "UserError"}, FailureKind.SETTINGS, False),
        (True, {"error": "UserError"}, FailureKind.RESOURCES, True),
        (True, {"error": "ZeroDivisionError"}, FailureKind.INTERNAL, True),
        (True, {"error": "UserError", "failure": "settings"}, FailureKind.SETTINGS, False),
    ],
)
def test_a_run_that_failed_on_its_settings_wants_others_and_no_resume(launched, done, kind, resume):
    state = play(*[LAUNCH] * launched, ("done", {"outcome": "failed", **done}))
    assert (state.failure, state.can_resume, state.can_edit_settings) == (kind, resume, not resume)


def test_a_run_that_found_no_server_can_be_resumed_or_given_other_settings():
    failed = ("done", {"outcome": "failed", "error": "ServerAwayError", "failure": "server"})
    before, after = play(failed), play(LAUNCH, step(1), failed)
    assert (before.failure, before.can_resume, before.can_edit_settings) == (FailureKind.SERVER, True, True)
    assert (after.failure, after.can_resume, after.can_edit_settings) == (FailureKind.SERVER, True, False)


def test_a_finished_run_is_not_resumed():
    assert not play(LAUNCH, step(1), ("done", {"outcome": "finished"})).can_resume
    assert play(LAUNCH, step(1), ("done", {"outcome": "stopped"})).can_resume


def test_a_limit_of_rollouts_says_how_many_steps_there_will_be():
    """Its bound of steps is that of a step in which hardly any hint passes: the time left would be far too long."""
    launch = ("launch", {"steps": 641, "rollouts_per_step": 1088, "config": {"steps": 641, "max_rollouts": 82_000}})
    assert play(launch).steps == 76
    played = play(launch, ("step", {"step": 10, "metrics": {"rollouts_total": 10_000.0}}))
    assert played.steps == 82
    assert played.eta_s is not None
    last = play(
        launch, ("step", {"step": 79, "metrics": {"rollouts_total": 82_300.0}}), ("done", {"outcome": "finished"})
    )
    assert (last.steps, last.done_steps) == (79, 79)


@pytest.mark.parametrize(
    ("steps", "rollouts", "reached"), [(2, 0, False), (1, 0, True), (9, 101, False), (9, 100, True), (9, 0, False)]
)
def test_what_a_run_has_reached_is_by_steps_or_by_rollouts(steps, rollouts, reached):
    state = play(LAUNCH, ("step", {"step": 1, "metrics": {"rollouts_total": 100.0}}))
    assert state.has_reached(steps, rollouts) is reached


def test_unknown_kinds_change_nothing_but_the_sign_of_life():
    state = play(LAUNCH, step(1))
    later = play(LAUNCH, step(1), ("telepathy", {"x": 1}))
    assert replace(later, last_t=state.last_t, active_s=state.active_s, history=state.history) == state


def test_histories_share_storage_without_sharing_content():
    base = play(LAUNCH, step(1)).history
    left, right = base.append(2, {"a": 1}), base.append(2, {"a": 2})
    assert left.series("a") == ([2], [1.0])
    assert right.series("a") == ([2], [2.0])


# ---------------------------------------------------------------------- rollouts and index


def row(step, text="text"):
    return RolloutRow(step, "r1_clean", "reasoner", "g", "p", "change", "q", "1", None, None, None, "prompt", text,
                      "right", 1.0, 0.5, 3, False, None, None, None, -0.1, 0, True, False)  # fmt: skip


def test_a_resumed_writer_drops_later_steps_and_readers_page_by_id(paths):
    writer = RolloutWriter(paths.rollouts)
    for s in (1, 2, 3):
        writer.add_step([row(s)] * 5)
    reader = RolloutReader(paths.rollouts)
    assert [r["id"] for r in reader.first_page(RolloutQuery(), 4)] == [1, 2, 3, 4]
    assert [r["id"] for r in reader.rows(reader.ids(RolloutQuery())[4:7])] == [5, 6, 7]
    assert reader.count(RolloutQuery(steps=(2, 2))) == 5
    writer.close()
    RolloutWriter(paths.rollouts, resume_from=1).close()
    assert reader.count() == 5
    assert reader.step_counts() == {1: 5}


def test_broken_run_folders_are_listed_with_what_is_wrong(tmp_path):
    new_run(tmp_path, RunConfig(), "good")
    new_run(tmp_path, RunConfig(), "bad").config.write_text("{")
    found = {name: read_run(RunPaths(tmp_path / name)) for name in ("good", "bad")}
    assert found["good"].problem is None
    assert "config.json" in found["bad"].problem


def test_a_read_only_runs_folder_is_told_with_a_remedy(tmp_path):
    if os.geteuid() == 0:
        blocked = tmp_path / "file"
        blocked.write_text("")
    else:
        blocked = tmp_path
        blocked.chmod(0o500)
    with pytest.raises(UserError, match="failed"):
        new_run(blocked / "runs", RunConfig())


def test_a_dead_runs_summary_says_crashed(tmp_path):
    paths = new_run(tmp_path, RunConfig(), "r")
    writer = EventLog(paths.events)
    writer.write(EventKind.LAUNCH, steps=3, resumed_from=None)
    writer.close()
    time.sleep(0.01)
    assert read_run(paths).state.status is RunStatus.CRASHED


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(1, 1_000_000, "1 to 1,000,000"), (1e-8, None, "at least 1e-08"), (None, 0.5, "at most 0.5"), (None, None, "")],
)
def test_a_range_is_told_in_numbers_that_people_write(low, high, words):
    assert say_range(low, high) == words


def test_a_run_refuses_a_profile_that_restricts_what_is_sampled():
    neutral = find_profile("neutral")
    assert with_profile(RunConfig(model=ModelConfig(prompts="neutral"))).profile == neutral
    hotter = replace(neutral, sampling=Sampling(temperature=0.7))
    assert with_profile(RunConfig(model=ModelConfig(prompts="neutral"), profile=hotter)).profile == hotter
    changed = replace(neutral, name="mine", sampling=Sampling(top_p=0.9, stop=("\n\n",)))
    with pytest.raises(UserError, match="'mine' sets top_p, stop"):
        with_profile(RunConfig(model=ModelConfig(prompts="neutral"), profile=changed))
