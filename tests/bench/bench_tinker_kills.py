"""Kill driver, server and network at random during runs on a real server of the Tinker API, and compare with a run that
was left alone.

    python tests/bench/bench_tinker_kills.py [--kills 1] [--minutes 4] [--steps 3] [--alone 2] [--seed 0] [--set-up]
    python tests/bench/bench_tinker_kills.py --kills 10 --minutes 30 --steps 6         half an hour

It needs SkyRL in an environment of its own, which `seirenes engine start`, or --set-up, makes.

Three kinds of `--kills` each, in turn: SIGKILL to the driver, which is resumed; SIGKILL to all processes of the server,
which is started again on its database after a random time; and a network that resets or swallows everything for a
random time, by a proxy between the two. A driver that ends by itself is resumed. Every second one of a kind comes at a
random moment, loading included; the others at a random moment of an update: a random time after the start of one, of
at most the median of the updates of the run that was left alone.

Of each run it checks: the updates behind the last state, counted in the server's own database along the chain of loaded
states, are those of the run and of one left alone, with one gradient an update; its adapter is that of one left alone;
every step is there once; no process is left over; every end and every outage has a message.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import psutil
from safetensors.numpy import load_file

from seirenes_app.services.engine_server import (
    Backend,
    EngineRecord,
    EngineRequest,
    engines_folder,
    is_set_up,
    start_engine,
    stop_engine,
)
from training.runs.config import from_dict
from training.runs.paths import RunPaths, new_run

SETTINGS = {
    "mode": "seirenes",
    "model": {"path": "starter", "tuning": "lora", "lora_rank": 8, "threads": 1},
    "rollout": {"questions": 3, "clean": 3, "hints": 2, "hinted": 2, "max_solution_tokens": 48, "max_hint_tokens": 24},
    "update": {"learning_rate": 1e-3},
    "evaluation": {"problems": 4, "max_new_tokens": 32, "every": 0},
    "data": {"pool": 60},
    "checkpoint": {"every": 1},
}
BATCHES = {"max_lora_adapters": 8, "sample_max_num_sequences": 16, "train_micro_batch_size": 8}
KINDS = ("driver", "server", "network")
PATIENCES_S = (15.0, 240.0)
"""One for each run, in turn: shorter than a server takes to start, and longer."""
LONGEST_OUTAGE_S = 12.0
ORPHAN_S = 20.0
APART_STEPS = 1.5
"""A kill at a random moment comes within the time of so many steps after what was before."""
LONGEST_RUN_S = 1500.0


class Network:
    """A TCP proxy to a port of this machine that can be cut."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self._cut = ""
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        serving = asyncio.start_server(self._accept, "127.0.0.1", port)
        asyncio.run_coroutine_threadsafe(serving, self._loop).result(5)

    def cut(self, how: str) -> None:
        """'reset': every connection, old or new, is reset. 'swallow': nothing arrives any more."""
        self._cut = how
        if how == "reset":
            self._loop.call_soon_threadsafe(self._abort)

    def mend(self) -> None:
        """New connections work; those of the outage are reset."""
        self._cut = ""
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut == "reset":
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._open.add(back)
            try:
                await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
            finally:
                self._open.discard(back)
                back.transport.abort()
        except OSError:
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                if not self._cut:
                    sink.write(data)
                    await sink.drain()
        if not self._cut:
            sink.close()


class Bench:
    """A server, its network, and the processes of the run of the moment."""

    def __init__(self, place: Path, options: argparse.Namespace) -> None:
        self.place, self.options = place, options
        self.luck = random.Random(options.seed)
        self.ends = time.monotonic() + 60 * options.minutes
        self.record = self.start_server()
        self.network = Network(options.port + 1, options.port)
        self.driver: subprocess.Popen[bytes] | None = None
        self.done: Counter[str] = Counter()
        self.in_update: Counter[str] = Counter()
        self.orphans = 0
        self.faults: list[str] = []

    def start_server(self) -> EngineRecord:
        return start_engine(EngineRequest(port=self.options.port, rank=8, settings=dict(BATCHES)))

    def start_driver(self, root: Path) -> None:
        with (self.place / "driver.log").open("ab") as log:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "training", "run", str(root)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip

    def new(self, name: str, patience_s: float = PATIENCES_S[0]) -> RunPaths:
        engine = {
            "backend": "tinker", "url": f"http://127.0.0.1:{self.network.port}", "base_model": self.record.base_model,
            "accept": "update.max_grad_norm", "patience_s": patience_s, "timeout_s": 300,
        }  # fmt: skip
        config = from_dict({**SETTINGS, "name": name, "steps": self.options.steps, "engine": engine}, "the bench")
        return new_run(self.place, config, name)

    # ------------------------------------------------------------------ the kills

    def kill(self, kind: str) -> str:
        """Do it; what was done, in words."""
        if kind == "driver":
            assert self.driver is not None
            family = psutil.Process(self.driver.pid).children(recursive=True)
            self.driver.kill()
            self.driver.wait()
            _, left = psutil.wait_procs(family, ORPHAN_S)
            self.orphans += len(left)
            return f"SIGKILL, {len(family)} children, {len(left)} left"
        outage = self.luck.uniform(0.5, LONGEST_OUTAGE_S)
        if kind == "server":
            process = psutil.Process(self.record.pid)
            family = [process, *process.children(recursive=True)]
            for each in family:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(family, ORPHAN_S)
            time.sleep(outage)
            began = time.monotonic()
            self.record = self.start_server()
            return f"SIGKILL of {len(family)}, off {outage:.1f} s, ready again {time.monotonic() - began:.1f} s later"
        how = self.luck.choice(("reset", "swallow"))
        self.network.cut(how)
        time.sleep(outage)
        self.network.mend()
        return f"{how} for {outage:.1f} s"

    def left_alone(self, name: str) -> RunPaths:
        paths = self.new(name)
        self.start_driver(paths.root)
        assert self.driver is not None
        if self.driver.wait():
            raise SystemExit(f"The run that was left alone failed: {last_words(paths)}")
        return paths

    def wait(self, paths: RunPaths, kind: str, apart_s: float, update_s: float) -> int | None:
        """Wait for the moment of the next kill; the driver's exit code where it ends before."""
        assert self.driver is not None
        ends = time.monotonic() + self.luck.uniform(0.0, 1.0) * apart_s
        if self.done[kind] % 2 == 0:
            known, ends = updates_begun(paths), time.monotonic() + 600
            while self.driver.poll() is None and updates_begun(paths) == known and time.monotonic() < ends:
                time.sleep(0.05)
            ends = time.monotonic() + self.luck.uniform(0.0, update_s)
        with suppress(subprocess.TimeoutExpired):
            return self.driver.wait(max(0.0, ends - time.monotonic()))
        return None

    def disturbed(self, name: str, patience_s: float, apart_s: float, update_s: float) -> RunPaths:
        """A run to its end, with kills while there are any left."""
        paths = self.new(name, patience_s)
        self.start_driver(paths.root)
        assert self.driver is not None
        while True:
            number = sum(self.done.values())
            more = number < len(KINDS) * self.options.kills and time.monotonic() < self.ends
            kind = KINDS[number % len(KINDS)]
            if more:
                code = self.wait(paths, kind, apart_s, update_s)
            else:
                try:
                    code = self.driver.wait(LONGEST_RUN_S)
                except subprocess.TimeoutExpired:
                    self.faults.append(f"{name}: no end within {LONGEST_RUN_S:g} s")
                    self.driver.kill()
                    return paths
            if code is None:
                stage = last_stage(paths)
                did = self.kill(kind)
                self.done[kind] += 1
                self.in_update[kind] += stage.endswith(" update")
                print(f"kill {number + 1:2}: {kind:7} in {stage:28} {did}", flush=True)
                if kind != "driver":
                    continue
            else:
                if code == 0:
                    return paths
                print(f"         the run ended by itself ({code}): {last_words(paths)}", flush=True)
                if "Traceback" in last_words(paths) or not last_words(paths):
                    self.faults.append(f"{name}: an end without a message")
            self.start_driver(paths.root)


# ---------------------------------------------------------------------- what a run left


def events(paths: RunPaths) -> list[dict]:
    found = []
    for line in paths.events.read_text().splitlines() if paths.events.exists() else ():
        with suppress(ValueError):  # half a line of a killed process
            found.append(json.loads(line))
    return found


def last_stage(paths: RunPaths) -> str:
    last = next((e for e in reversed(events(paths)) if e["event"] in ("launch", "stage", "step", "checkpoint")), {})
    return f"step {last.get('step', '-')}, {last.get('stage') or last.get('name') or last.get('event', 'loading')}"


def seconds_of(paths: RunPaths) -> float:
    found = [e["t"] for e in events(paths)]
    return found[-1] - found[0]


def updates_begun(paths: RunPaths) -> int:
    return sum(e["event"] == "stage" and e["stage"] == "update" and not e["done"] for e in events(paths))


def seconds_of_updates(paths: RunPaths) -> list[float]:
    found, began = [], 0.0
    for event in events(paths):
        if event["event"] == "stage":
            began = event["t"] if event["stage"] == "update" and not event["done"] else began
        elif event["event"] == "step":
            found.append(event["t"] - began)
    return found


def last_words(paths: RunPaths) -> str:
    last = next((e for e in reversed(events(paths)) if e["event"] in ("done",)), {})
    return str(last.get("message") or "")[:220]


def last_checkpoint(paths: RunPaths) -> Path:
    return sorted((paths.root / "checkpoints").glob("step_*"))[-1]


def count_updates(database: Path, state: str) -> tuple[int, int]:
    """Optimiser steps that moved weights, and gradients, behind a state, along the chain of states that were loaded."""
    steps = gradients = 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as server:
        while state:
            model, _, name = state.removeprefix("tinker://").partition("/weights/")
            rows = server.execute(
                "SELECT request_type, request_data FROM futures WHERE model_id = ? AND status = 'COMPLETED' "
                "AND request_id < (SELECT request_id FROM futures WHERE model_id = ? AND status = 'COMPLETED' AND "
                "request_type = 'SAVE_WEIGHTS' AND json_extract(request_data, '$.path') = ?) ORDER BY request_id DESC",
                (model, model, name),
            )
            state = ""
            for kind, text in rows:
                asked = json.loads(text)
                if kind == "OPTIM_STEP" and asked["adam_params"]["learning_rate"] > 0:
                    steps += 1
                elif kind == "FORWARD_BACKWARD":
                    gradients += 1
                elif kind == "LOAD_WEIGHTS":
                    state = f"tinker://{asked['source_model_id']}/weights/{asked['checkpoint_id']}"
                    break
    return steps, gradients


def adapter(paths: RunPaths) -> dict:
    return load_file(last_checkpoint(paths) / "adapter_model.safetensors")


def largest_gap(first: dict, second: dict) -> float:
    assert first.keys() == second.keys()
    return max(float(abs(first[k].astype("float64") - second[k]).max()) for k in first)


def check(bench: Bench, paths: RunPaths, whole: RunPaths) -> None:
    """Print what a run ended with beside one left alone, and note what is wrong."""
    database = engines_folder() / f"state-{bench.options.port}" / "requests.db"
    mine, theirs = (json.loads((last_checkpoint(p) / "backend.json").read_text()) for p in (paths, whole))
    steps, gradients = count_updates(database, mine["state"])
    gap = largest_gap(adapter(paths), adapter(whole))
    size = max(float(abs(v).max()) for v in adapter(whole).values())
    with (
        closing(sqlite3.connect(f"file:{paths.rollouts}?mode=ro", uri=True)) as rows,
        closing(sqlite3.connect(f"file:{whole.rollouts}?mode=ro", uri=True)) as others,
    ):
        query = "SELECT step, count(*) FROM rollouts GROUP BY step ORDER BY step"
        same_rows = rows.execute(query).fetchall() == others.execute(query).fetchall()
    found = events(paths)
    warned = sum(e.get("code") == "engine_unreachable" for e in found)
    launches = sum(e["event"] == "launch" for e in found)
    lines = ((p.pid, p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))
    left = [pid for pid, line in lines if "training" in line and str(paths.root) in line]
    print(f"{paths.root.name}: {launches} launches, {warned} outages reported; updates: {mine['steps']} in the run, "
          f"{steps} on the server ({gradients} gradients), {theirs['steps']} in the run left alone; rollouts a step "
          f"{'the same' if same_rows else 'DIFFERENT'}; adapter: largest gap {gap:.2e} of {size:.2e}; "
          f"processes left: {len(left)}", flush=True)  # fmt: skip
    for wrong, text in (
        (mine["steps"] != theirs["steps"], "another number of updates than the run left alone"),
        (steps != mine["steps"], "updates lost or doubled on the server"),
        (gradients != steps, "another number of gradients than of updates"),
        (not same_rows, "other rollouts a step"),
        (gap > 1e-2 * size, "another adapter"),
        (bool(left), "processes left over"),
    ):
        if wrong:
            bench.faults.append(f"{paths.root.name}: {text}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1, help="of each kind")
    parser.add_argument("--minutes", type=float, default=4.0, help="no kill after these")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--alone", type=int, default=2, help="runs that are left alone; the first one may compile")
    parser.add_argument("--beside", type=Path, help="with --alone 0: a run left alone that --keep has kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=8141, help="the server's; the proxy has the next")
    parser.add_argument("--keep", action="store_true", help="leave the runs")
    parser.add_argument("--set-up", action="store_true", help="set SkyRL up where it is not there: a download")
    options = parser.parse_args()
    if not options.set_up and not any(map(is_set_up, Backend)):
        print("Skipped: SkyRL is not set up here. `seirenes engine start` or --set-up does that: a download.")
        return 0
    # A server that is started again finds what it had compiled.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(engines_folder() / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    place = Path(tempfile.mkdtemp(prefix="seirenes-kills-"))
    began = time.monotonic()
    bench = Bench(place, options)
    try:
        # The first one also compiles.
        alone = [bench.left_alone(f"alone-{number}") for number in range(1, options.alone + 1)]
        alone = alone or [RunPaths(options.beside)]
        first, second = alone[0], alone[-1]
        times = sorted(seconds_of_updates(second))
        update_s, apart_s = times[len(times) // 2], APART_STEPS * seconds_of(second) / len(times)
        print(f"left alone: {len(times)} steps in {seconds_of(second):.0f} s, an update in {update_s:.1f} s (median)",
              flush=True)  # fmt: skip
        check(bench, second, first)
        number = 0
        while sum(bench.done.values()) < len(KINDS) * options.kills and time.monotonic() < bench.ends:
            number += 1
            patience_s = PATIENCES_S[number % 2]
            check(bench, bench.disturbed(f"killed-{number}", patience_s, apart_s, update_s), first)
    finally:
        if bench.driver is not None and bench.driver.poll() is None:
            bench.driver.kill()
            bench.driver.wait()
        stop_engine(bench.record)
        if not options.keep:
            shutil.rmtree(place, ignore_errors=True)
    print("kills: " + ", ".join(f"{bench.done[k]} of the {k} ({bench.in_update[k]} in an update)" for k in KINDS)
          + f"; {bench.orphans} orphans; {(time.monotonic() - began) / 60:.1f} min")  # fmt: skip
    print("faults: " + ("none" if not bench.faults else ""))
    for fault in bench.faults:
        print(f"  {fault}")
    return 1 if bench.faults or bench.orphans else 0


if __name__ == "__main__":
    raise SystemExit(main())
