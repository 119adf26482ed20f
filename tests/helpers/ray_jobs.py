"""A server of Ray's Jobs API that runs the jobs as processes, and a trainer of some events in place of the real one."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from tests.helpers.jobs_server import JsonHandler, serving

HOME = Path(__file__).resolve().parents[2]

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


class RayJobs(ThreadingHTTPServer):
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


class _Handler(JsonHandler):
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
            return self._send({"logs": job["log"].decode(errors="ignore")})
        if what == "stop":
            job["stopped"] = job["reader"].is_alive()
            if job["stopped"]:
                os.killpg(job["process"].pid, signal.SIGKILL)
            return self._send({"stopped": job["stopped"]})
        return self._send({"status": server.status(job), "metadata": job["body"].get("metadata"), "message": "m"})


@contextmanager
def ray_jobs() -> Iterator[RayJobs]:
    """The server, at work while the block runs; its jobs are ended with it."""
    environment = {"PYTHONPATH": str(HOME), "EVENTS": "12", "WAIT": "0.02"}
    with RayJobs(environment) as made:
        try:
            with serving(made):
                yield made
        finally:
            made.close_all()


def fake_python(folder: Path) -> str:
    """The command of an interpreter whose `training.cluster_job run` is the trainer of some events."""
    script = folder / "trainer.py"
    script.write_text(TRAINER)
    return shlex.join([sys.executable, str(script)])
