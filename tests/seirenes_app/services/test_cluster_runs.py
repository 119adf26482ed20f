"""Runs on a cluster, against a server with the Jobs API that runs the jobs as real processes."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from helpers import keyring_file

from seirenes_app.cli.main import main
from seirenes_app.services import cluster, cluster_runs
from seirenes_app.services.cluster import Cluster, ClusterClient, ClusterError, save_cluster
from seirenes_app.services.cluster_runs import Follower, follow, read_link, stop_job, submit
from training.errors import UserError
from training.runs.config import RunConfig
from training.runs.control import CommandKind, send_command
from training.runs.lock import RunLock
from training.runs.paths import RunPaths
from training.runs.processes import FORCE, StopEscalation, read_run, start_trainer

HOME = Path(__file__).resolve().parents[3]

# In place of the interpreter: a run of some events that obeys a stop; everything else is the real program.
TRAINER = """
import json, os, sys, time
from pathlib import Path
arguments = sys.argv[3:]
if arguments[0] != "run":
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
root = Path(arguments[arguments.index("--root") + 1]) / arguments[1]
root.mkdir(parents=True, exist_ok=True)
(root / "config.json").write_text(os.environ["SEIRENES_JOB_CONFIG"])
count, wait = int(os.environ["EVENTS"]), float(os.environ["WAIT"])
def write(number, kind, **more):
    line = json.dumps({"v": 1, "seq": number, "t": time.time(), "event": kind, **more}, ensure_ascii=False)
    with (root / "events.jsonl").open("a") as file:
        file.write(line + "\\n")
    print("@event " + line, flush=True)
events = root / "events.jsonl"
before = events.read_text() if events.exists() else ""
print("".join("@event " + line + "\\n" for line in before.splitlines()), end="", flush=True)
first = before.count("\\n") + 1
write(first, "launch", pid=os.getpid(), **({"resumed_from": 1} if before else {}))
number = first
if os.environ.get("DIE"):
    sys.exit("error: no memory")
for number in range(first + 1, first + count - 1):
    write(number, "warning", code="x", message="a\\u2028b é", remedy="")
    print("noise" * int(os.environ.get("NOISE", 1)), flush=True)
    time.sleep(wait)
    commands = root / "commands.jsonl"
    if commands.exists() and "stop" in commands.read_text():
        write(number + 1, "done", outcome="stopped")
        sys.exit(0)
if count:
    write(number + 1, "done", outcome="finished")
sys.exit(0 if count else 1)
"""


class _Jobs(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, environment):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.environment, self.jobs, self.posts, self.drop_after_post, self.down = environment, {}, 0, False, False

    def start(self, body):
        env = {**os.environ, **self.environment, **body.get("runtime_env", {}).get("env_vars", {})}
        process = subprocess.Popen(
            ["bash", "-c", body["entrypoint"]],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        job = {"body": body, "process": process, "log": bytearray(), "stopped": False}
        job["reader"] = threading.Thread(target=self._read, args=(job,))
        job["reader"].start()
        self.jobs[body["submission_id"]] = job

    @staticmethod
    def _read(job):
        while part := os.read(job["process"].stdout.fileno(), 65536):
            job["log"] += part
        job["process"].wait()
        job["process"].stdout.close()

    def close_all(self):
        for job in self.jobs.values():
            if job["process"].poll() is None:
                os.killpg(job["process"].pid, signal.SIGKILL)
            job["reader"].join()

    @staticmethod
    def status(job):
        if job["reader"].is_alive():
            return "RUNNING"
        return "STOPPED" if job["stopped"] else "FAILED" if job["process"].returncode else "SUCCEEDED"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self._answer("POST")

    def do_GET(self):
        self._answer("GET")

    def do_DELETE(self):
        self._answer("DELETE")

    def _answer(self, method):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        if server.down:
            return self._send({}, 503)
        if self.path == "/api/version":
            return self._send({"ray_version": "2.52.0"})
        if self.path == "/api/jobs/" and method == "POST":
            server.posts += 1
            if body["submission_id"] in server.jobs:
                return self._send({}, 500)
            server.start(body)
            return None if server.drop_after_post else self._send({"submission_id": body["submission_id"]})
        id_, _, what = unquote(self.path).removeprefix("/api/jobs/").partition("/")
        job = server.jobs.get(id_)
        if job is None:
            return self._send({}, 404)
        if what == "logs":
            return self._send({"logs": job["log"].decode()})
        if what == "stop":
            job["stopped"] = job["reader"].is_alive()
            if job["stopped"]:
                os.killpg(job["process"].pid, signal.SIGKILL)
            return self._send({"stopped": job["stopped"]})
        return self._send({"status": server.status(job), "metadata": job["body"].get("metadata"), "message": "m"})

    def _send(self, body, status=200):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    for name in ("DATA", "RUNS"):
        monkeypatch.setenv(f"SEIRENES_{name}", str(tmp_path / name))
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    environment = {"PYTHONPATH": str(HOME), "EVENTS": "12", "WAIT": "0.02"}
    with keyring_file.file_keyring(), _Jobs(environment) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()
        made.close_all()


@pytest.fixture
def lab(jobs, tmp_path):
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)
    python = shlex.join([sys.executable, str(script)])
    return save_cluster(Cluster("lab", f"http://127.0.0.1:{jobs.server_port}", python, str(tmp_path / "remote")))


def _remote(tmp_path):
    (found,) = (tmp_path / "remote").iterdir()
    return RunPaths(found)


def test_the_events_of_a_run_come_into_an_ordinary_run_directory(lab, tmp_path):
    paths = submit(lab, RunConfig())
    assert follow(paths, poll_s=0.1)
    assert paths.events.read_bytes() == _remote(tmp_path).events.read_bytes()
    assert read_run(paths).state.status == "finished"
    assert read_link(paths).status == "SUCCEEDED"


def test_an_interrupted_follower_leaves_no_event_out_and_none_twice(lab, tmp_path):
    paths = submit(lab, RunConfig())
    follower = Follower(paths)
    while not follower.seq:
        follower.poll()
    with paths.events.open("r+b") as file:
        file.truncate(paths.events.stat().st_size - 5)
    assert follow(paths, poll_s=0.1)
    assert paths.events.read_bytes() == _remote(tmp_path).events.read_bytes()
    assert follow(paths, poll_s=0.1)
    assert paths.events.read_bytes() == _remote(tmp_path).events.read_bytes()


def test_a_run_whose_follower_is_gone_has_not_crashed(lab, jobs):
    jobs.environment["WAIT"] = "5"
    paths = submit(lab, RunConfig())
    follower = Follower(paths)
    while not follower.seq:
        follower.poll()
    paths.launch.write_text("{}")
    state = read_run(paths).state
    assert state.status == "stalled"
    assert "not followed" in state.message


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
    began = time.monotonic()
    follower.run(lambda: time.monotonic() - began > 0.5, poll_s=0.1)
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
    paths = submit(lab, RunConfig())
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
    follower = Follower(paths)
    while not follower.seq:
        follower.poll()
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
    follower = Follower(paths)
    while not follower.seq:
        follower.poll()
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
