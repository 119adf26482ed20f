"""A run on a real Ray head of this machine: follow it with kills, fetch it with interruptions, stop it. Prints figures.

python tests/bench/bench_cluster.py --ray FOLDER [--steps 3] [--kills 10] [--megabytes 16]

FOLDER is an environment with `ray[default]`; it is made where it is missing.
"""

import argparse
import hashlib
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers import keyring_file

from seirenes_app.services import cluster_runs
from seirenes_app.services.cluster import Cluster, ClusterClient, ClusterError, save_cluster
from training.runs.config import load_config
from training.runs.control import CommandKind, send_command
from training.runs.paths import RunPaths
from training.runs.processes import kill_tree, read_run, running_process

DASHBOARD, PORT = 8299, 6399
AGENT_PORTS = (
    "dashboard-agent-grpc-port", "metrics-export-port", "runtime-env-agent-port", "dashboard-agent-listen-port",
)  # fmt: skip
START_S, RUN_S = 300, 900


@contextmanager
def head(environment, work):
    """A Ray head with one processor, ended with all its processes; reports those that are left."""
    command = [environment / "bin" / "ray", "start", "--head", "--block", "--num-cpus", "1", "--dashboard-host",
               "127.0.0.1", "--dashboard-port", str(DASHBOARD), "--port", str(PORT), "--disable-usage-stats",
               "--object-store-memory", str(100 * 2**20)]  # fmt: skip
    # With fixed ports Ray does not wait, for some seconds at most, until its agents have chosen theirs.
    for at, name in enumerate(AGENT_PORTS, PORT + 1):
        command += [f"--{name}", str(at)]
    with (work / "head.log").open("wb") as log:
        # A machine that is busy starts Ray's own processes late; Ray would give them up.
        patient = {"RAY_raylet_start_wait_time_s": "300", "RAY_agent_register_timeout_ms": "300000",
                   "RAY_health_check_timeout_ms": "120000"}  # fmt: skip
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **patient}
        )
    try:
        yield process
    except BaseException:
        print((work / "head.log").read_text()[-3000:])
        raise
    finally:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.terminate()
        _gone, left = psutil.wait_procs(family, timeout=30)
        for each in left:
            each.kill()
        psutil.wait_procs(left, timeout=10)
        print(f"head: stopped, {len(left)} of {len(family)} processes had to be killed")


def wait(condition, limit_s, what):
    until = time.monotonic() + limit_s
    while not (found := condition()):
        if time.monotonic() > until:
            sys.exit(f"FAILED: {what} not within {limit_s} s")
        time.sleep(0.2)
    return found


def answers(client):
    try:
        return client.version()
    except ClusterError:
        return ""


def submitted(cluster, config):
    try:
        return cluster_runs.submit(cluster, config)
    except ClusterError as error:
        if error.status is None:
            raise
        return None


def is_prefix(local, remote):
    mine, theirs = (p.read_bytes() if p.exists() else b"" for p in (local, remote))
    return theirs.startswith(mine[: mine.rfind(b"\n") + 1])


def follow_with_kills(paths, remote, kills, rng):
    """Kill the follower at random moments; then let it follow to the end. Checks the events after each kill."""
    checked = 0
    for _ in range(kills):
        if running_process(paths) is None:
            cluster_runs.start_follower(paths)
        time.sleep(rng.uniform(0.5, 6.0))
        held = running_process(paths)
        if held is not None:
            kill_tree(held.pid)
            os.waitpid(held.pid, 0)
            checked += 1
        assert is_prefix(paths.events, remote.events), "an event was lost or doubled"
    if running_process(paths) is None and read_run(paths).state.status not in ("finished", "stopped", "failed"):
        cluster_runs.start_follower(paths)
    wait(lambda: read_run(paths).state.status in ("finished", "failed"), RUN_S, "the end of the run")
    state = read_run(paths).state
    seqs = [json.loads(line)["seq"] for line in paths.events.read_bytes().splitlines()]
    equal = paths.events.read_bytes() == remote.events.read_bytes()
    print(f"follow: {checked} followers killed; {state.status}; {len(seqs)} events, {len(seqs) - len(set(seqs))} doubled, "
          f"local and remote {'equal' if equal else 'DIFFERENT'}")  # fmt: skip
    assert equal
    assert seqs == list(range(1, len(seqs) + 1))
    assert state.status == "finished"


def digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_with_interruptions(paths, remote, megabytes):
    big = remote.checkpoints / "step_999999" / "model.bin"
    big.parent.mkdir()
    big.write_bytes(os.urandom(megabytes * 2**20))
    interrupted = 0
    for _ in range(2):
        seen = []
        try:
            cluster_runs.fetch(paths, progress=lambda done, _total, seen=seen: seen.append(done),
                               cancelled=lambda seen=seen: len(set(seen)) > 2)  # fmt: skip
        except KeyboardInterrupt:
            interrupted += 1
    began = time.monotonic()
    new = cluster_runs.fetch(paths)
    seconds = time.monotonic() - began
    files = [p for p in remote.root.rglob("*") if p.is_file() and p.relative_to(remote.root).parts[0] == "checkpoints"]
    same = sum(digest(p) == digest(paths.root / p.relative_to(remote.root)) for p in files)
    database = digest(remote.root / cluster_runs.STAGING / "rollouts.db") == digest(paths.rollouts)
    print(f"fetch: interrupted {interrupted} times; then {new / 2**20:.1f} MiB in {seconds:.1f} s "
          f"({new / 2**20 / seconds:.2f} MiB/s); {same} of {len(files)} files of checkpoints have the same hash, "
          f"rollouts {'too' if database else 'NOT'}; fetched again: {cluster_runs.fetch(paths)} bytes")  # fmt: skip
    assert same == len(files)
    assert database


def stop_it(cluster, config):
    paths = cluster_runs.submit(cluster, config, cpus=0)
    cluster_runs.start_follower(paths)
    wait(lambda: paths.events.exists() and paths.events.stat().st_size, START_S, "the first event")
    began = time.monotonic()
    send_command(paths, CommandKind.STOP)
    wait(lambda: read_run(paths).state.status in ("stopped", "finished", "failed"), 240, "the stop")
    print(f"stop: {read_run(paths).state.status} after {time.monotonic() - began:.1f} s")
    assert read_run(paths).state.status == "stopped"
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ray", type=Path, help="an environment with Ray; made there where it is missing")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--megabytes", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.ray is None:
        print("It needs Ray in an environment of its own, which --ray FOLDER makes.")
        return
    if not (options.ray / "bin" / "ray").exists():
        subprocess.run([sys.executable, "-m", "venv", options.ray], check=True)
        subprocess.run([options.ray / "bin" / "pip", "install", "-q", "ray[default]"], check=True)
    with tempfile.TemporaryDirectory(prefix="bench-cluster-") as folder, keyring_file.file_keyring():
        work = Path(folder)
        os.environ.update(
            SEIRENES_DATA=str(work), SEIRENES_RUNS=str(work / "runs"), TEST_KEYRING=str(work / "keyring.json")
        )
        python = shlex.join(["env", f"PYTHONPATH={ROOT}", "OMP_NUM_THREADS=1", sys.executable])
        cluster = save_cluster(Cluster("bench", f"http://127.0.0.1:{DASHBOARD}", python, str(work / "remote")))
        client = ClusterClient(cluster)
        config = load_config(ROOT / "resources" / "presets" / "demo.toml", [f"steps={options.steps}"])
        with head(options.ray, work):
            print(f"head: Ray {wait(lambda: answers(client), START_S, 'an answer of the head')}")
            began = time.monotonic()
            # The agent that takes jobs starts after the head answers.
            paths = wait(lambda: submitted(cluster, config), START_S, "a submission")
            remote = RunPaths(work / "remote" / cluster_runs.read_link(paths).run_id)
            follow_with_kills(paths, remote, options.kills, random.Random(options.seed))
            print(f"run: {options.steps} steps in {time.monotonic() - began:.0f} s, kills included")
            fetch_with_interruptions(paths, remote, options.megabytes)
            stop_it(cluster, config)
        began = time.monotonic()
        said = ""
        try:
            client.version()
        except ClusterError as error:
            said = str(error)
        print(f"unreachable: said after {time.monotonic() - began:.1f} s: {said}")
        left = [p.pid for p in psutil.process_iter(["cmdline"]) if str(work) in " ".join(p.info["cmdline"] or ())]
        print(f"orphans: {len(left)}")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left


if __name__ == "__main__":
    main()
