"""Self-play through a real server of the Tinker API beside the engine of this machine: the same settings, the same
start, curves and agreement.

    python tests/bench/bench_tinker.py [--steps 6] [--port 8123] [--keep] [--set-up]
    python tests/bench/bench_tinker.py --mistakes [--port 8123]

It needs SkyRL in an environment of its own, which `seirenes engine start`, or --set-up, makes. It plays on both engines,
and prints: log-probabilities of the same tokens on both (goal: 1e-3), a test that both sample from one distribution, and
the figures of both runs by step. Then the first run is resumed. Minutes on a quiet machine; the server compiles for much of it.

With `--mistakes` it runs `seirenes train` with each mistake that a configuration can have about a server (wrong address,
wrong key, another version, a model that is not served) against that server, and prints the seconds until the command has
ended and its message (goal: 10 s). What the server lacks, keys and other versions, is added by a front that passes the rest on.
"""

import argparse
import http.client
import http.server
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scipy.stats import chi2_contingency

from seirenes_app.services.engine_server import (
    Backend,
    EngineRecord,
    EngineRequest,
    is_set_up,
    start_engine,
    stop_engine,
)
from training.engine.base import LossParams, SamplingParams, TrainRow
from training.engine.tinker import TinkerBackend
from training.engine.torch_local import LocalTorchBackend
from training.engine_probe import form_of
from training.runs.config import EngineConfig, from_dict
from training.runs.paths import RunPaths, new_run

SETTINGS = {
    "mode": "seirenes",
    "model": {"path": "starter", "tuning": "lora", "lora_rank": 8, "threads": 1},
    "rollout": {"questions": 6, "clean": 4, "hints": 3, "hinted": 4, "max_solution_tokens": 96, "max_hint_tokens": 48},
    "update": {"learning_rate": 1e-3},
    "reasoner": {"needed_share": 0.5, "clean_anchor": 0.5},
    "evaluation": {"problems": 12, "max_new_tokens": 96, "every": 0},
    "data": {"pool": 200},
    "checkpoint": {"every": 2},
}
SHOWN = ("clean_accuracy", "hinted_accuracy", "entropy/reasoner", "length/solution_tokens", "rows_trained", "grad_norm",
         "logprob_gap/mean", "logprob_gap/max")  # fmt: skip


def play(place: Path, steps: int, engine: dict[str, object]) -> tuple[list[dict], float]:
    """The metrics of each step of a run, and its seconds. Only the engine's table differs."""
    config = from_dict({**SETTINGS, "name": place.name, "steps": steps, "engine": engine}, "the bench")
    began = time.monotonic()
    paths = RunPaths(place) if place.exists() else new_run(place.parent, config, place.name)
    subprocess.run([sys.executable, "-m", "training", "run", str(place)], cwd=ROOT, check=True)
    events = [json.loads(line) for line in paths.events.read_text().splitlines()]
    return [e["metrics"] for e in events if e["event"] == "step"], time.monotonic() - began


def compare_logprobs(remote: TinkerBackend, folder: Path) -> tuple[float, float, int]:
    """Mean and maximum of |server − this machine| of the log-probabilities of sampled tokens; how many."""
    remote.save(folder)
    own = LocalTorchBackend(folder, device="cpu", dtype="float32", threads=1)
    prompts = [own.codec.encode_chat([{"role": "user", "content": text}]) for text in QUESTIONS]
    rows = [
        TrainRow(tuple(prompt), c.tokens, c.logprobs, 1.0)
        for prompt, found in zip(prompts, remote.sample(prompts, 8, SamplingParams(64, 1.0, 5)), strict=True)
        for c in found
    ]
    stats = own.forward_backward(rows, LossParams())
    return stats.logprob_gap_mean, stats.logprob_gap_max, stats.tokens


QUESTIONS = (
    "Mia has 12 apples. Tom gives her 7 more apples. How many apples does Mia have now?",
    "Ben has 30 pens. He loses 4 pens. How many pens does Ben have now?",
    "A box holds 6 eggs. How many eggs are in 5 boxes?",
)


def compare_distributions(remote: TinkerBackend, folder: Path, samples: int = 256) -> float:
    """p of a chi-squared test that the first sampled tokens of both engines have one distribution, over all prompts."""
    own = LocalTorchBackend(folder, device="cpu", dtype="float32", threads=1)
    prompts = [own.codec.encode_chat([{"role": "user", "content": text}])[:-3] for text in QUESTIONS]
    drawn = [engine.sample(prompts, samples, SamplingParams(1, 1.0, 11)) for engine in (remote, own)]
    statistic, freedom = 0.0, 0
    for place in range(len(prompts)):
        counts = [{}, {}]
        for which in (0, 1):
            for completion in drawn[which][place]:
                token = completion.tokens[0]
                counts[which][token] = counts[which].get(token, 0) + 1
        kept = [t for t in {*counts[0], *counts[1]} if counts[0].get(t, 0) + counts[1].get(t, 0) >= 10]
        table = [[c.get(t, 0) for t in kept] + [sum(v for t, v in c.items() if t not in kept)] for c in counts]
        table = [[row[i] for i in range(len(row)) if table[0][i] + table[1][i]] for row in table]
        if len(table[0]) > 1:
            found = chi2_contingency(table, correction=False)
            statistic, freedom = statistic + found.statistic, freedom + found.dof
    from scipy.stats import chi2

    return float(chi2.sf(statistic, freedom)) if freedom else math.nan


# ---------------------------------------------------------------------- mistakes about a server

Change = Callable[[str, dict[str, str], int, bytes], tuple[int, bytes]]
"""What a front answers for a path, the request's headers, and the server's status and body."""


@contextmanager
def front(record: EngineRecord, change: Change) -> Iterator[str]:
    """The address of a front before the server, which answers what `change` makes of the server's answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "accept-encoding")}
            link = http.client.HTTPConnection("127.0.0.1", record.port, timeout=60)
            link.request(self.command, self.path, body, headers)
            found = link.getresponse()
            status, answer = change(self.path, dict(self.headers), found.status, found.read())
            link.close()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


DESCRIPTION = "/openapi.json"


def guarded(_path: str, headers: dict[str, str], status: int, body: bytes) -> tuple[int, bytes]:
    """Only the key 'right' is accepted."""
    given = " ".join(v for k, v in headers.items() if k.lower() in ("authorization", "x-api-key"))
    return (status, body) if given.endswith("right") else (401, b'{"detail": "invalid key"}')


def without(part: str) -> Change:
    """A version that does not know a request."""

    def change(path: str, _headers: dict[str, str], status: int, body: bytes) -> tuple[int, bytes]:
        return (404, b'{"detail": "Not Found"}') if part in path else (status, body)

    return change


def renamed(part: str, before: str, after: str) -> Change:
    """A version that calls a field of an answer otherwise, and describes it so."""

    def change(path: str, _headers: dict[str, str], status: int, body: bytes) -> tuple[int, bytes]:
        if path == DESCRIPTION:
            described = json.loads(body)
            fields = form_of(described, part, answer=True).get("properties", {})
            if before in fields:
                fields[after] = fields.pop(before)
            return status, json.dumps(described).encode()
        return status, body.replace(before.encode(), after.encode()) if part in path else body

    return change


def refusing(part: str) -> Change:
    """A version that wants other fields in a request, and describes it so."""

    def change(path: str, _headers: dict[str, str], status: int, body: bytes) -> tuple[int, bytes]:
        if path == DESCRIPTION:
            described = json.loads(body)
            form_of(described, part, answer=False)["required"].append("other_field")
            return status, json.dumps(described).encode()
        detail = b'{"detail": [{"type": "missing", "loc": ["body", "other_field"], "msg": "Field required"}]}'
        return (422, detail) if part in path else (status, body)

    return change


def mistaken_run(place: Path, engine: dict[str, object], key: str = "") -> tuple[float, float, float, str]:
    """`seirenes train` with these settings: its seconds, those of the processor, those that it waited for a core,
    and what it says at its end."""
    tables = {**SETTINGS, "steps": 1, "engine": engine}
    top = [f"{k} = {json.dumps(v)}" for k, v in tables.items() if not isinstance(v, dict)]
    parts = [f"[{name}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in table.items())
             for name, table in tables.items() if isinstance(table, dict)]  # fmt: skip
    config = place.with_suffix(".toml")
    config.write_text("\n".join([*top, *parts]) + "\n")
    began, used = time.monotonic(), os.times()
    command = [sys.executable, "-c", COMMAND, "train", str(config), "--run-dir", str(place)]
    environment = {**os.environ, KEY: key}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    seconds, now = time.monotonic() - began, os.times()
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    queued = float(ended.stdout.rpartition("queued ")[2].split()[0]) if "queued " in ended.stdout else 0.0
    lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
    return seconds, cpu, queued, ("TRACEBACK " if "Traceback" in ended.stderr else "") + " ".join(lines[-2:])[:600]


KEY = "SEIRENES_BENCH_KEY"
COMMAND = f"""
import keyring, os, sys
keyring.get_password = lambda *_: os.environ["{KEY}"] or None
from seirenes_app.cli.main import main
code = main(sys.argv[1:])
print("queued", int(open("/proc/self/schedstat").read().split()[1]) / 1e9)
sys.exit(code)
"""
"""`seirenes` with a keyring that has one key, or none; at its end the seconds that it was ready and had no core."""


def mistakes(record: EngineRecord, place: Path) -> int:
    """Print each mistake with its seconds and its message; returns how many took longer than 10 s."""
    right = {"backend": "tinker", "base_model": record.base_model, "accept": "update.max_grad_norm", "url": record.url}
    late = 0
    with ExitStack() as stack:
        free, silent = (stack.enter_context(socket.socket()) for _ in range(2))
        for each in (free, silent):
            each.bind(("127.0.0.1", 0))
        silent.listen()
        pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
        pages.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        stack.callback(pages.shutdown)

        def behind(change: Change) -> dict[str, object]:
            return {"url": stack.enter_context(front(record, change))}

        cases: list[tuple[str, dict[str, object], str]] = [
            ("wrong port", {"url": f"http://127.0.0.1:{free.getsockname()[1]}"}, ""),
            ("wrong host name", {"url": f"http://no-such-host.invalid:{record.port}"}, ""),
            ("a port that never answers", {"url": f"http://127.0.0.1:{silent.getsockname()[1]}"}, ""),
            ("with /api/v1", {"url": f"{record.url}/api/v1"}, ""),
            ("https for http", {"url": record.url.replace("http:", "https:")}, ""),
            ("another program", {"url": f"http://127.0.0.1:{pages.server_address[1]}"}, ""),
            ("no key", behind(guarded), ""),
            ("wrong key", behind(guarded), "planted-wrong-key"),
            ("version: other list of models", behind(renamed("capabilities", "supported_models", "models")), ""),
            ("version: no sessions", behind(without("create_session")), ""),
            ("version: other session fields", behind(renamed("create_session", "session_id", "id")), ""),
            ("version: other request fields", behind(refusing("create_model")), ""),
            ("version: no update", behind(without("forward_backward")), ""),
            ("version: no step", behind(without("optim_step")), ""),
            ("model not served", {"base_model": "org/another-model"}, ""),
        ]
        for number, (name, changed, key) in enumerate(cases):
            seconds, cpu, queued, message = mistaken_run(place / f"mistake-{number}", right | changed, key)
            late += seconds - queued > 10
            assert not key or key not in message
            message = message.replace(record.base_model, "MODEL")
            print(f"{seconds - queued:5.1f} s (and {queued:.1f} s without a core, {cpu:.1f} s of the processor)  {name}: "
                  f"{message}", flush=True)  # fmt: skip
    print(f"{len(cases) - late} of {len(cases)} within 10 s, without the time that the command waited for a core")
    return late


def say(text: str) -> None:
    """A stage, once: the seconds that it takes are left out."""
    stage = text.partition(",")[0]
    if stage not in said:
        said.add(stage)
        print(stage, flush=True)


said: set[str] = set()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument(
        "--mistakes", action="store_true", help="what a run says of a wrong address, key, version, model"
    )
    parser.add_argument("--keep", action="store_true", help="leave the server and the runs")
    parser.add_argument("--set-up", action="store_true", help="set SkyRL up where it is not there: a download")
    options = parser.parse_args()
    if not options.set_up and not any(map(is_set_up, Backend)):
        print("Skipped: SkyRL is not set up here. `seirenes engine start` or --set-up does that: a download.")
        return 0
    place = Path(tempfile.mkdtemp(prefix="seirenes-tinker-"))
    began = time.monotonic()
    record = start_engine(EngineRequest(port=options.port, rank=8), say)
    print(f"server ready after {time.monotonic() - began:.0f} s")
    # The run names the model as on any machine; the engine's table says what the server calls it.
    engine = {"backend": "tinker", "url": record.url, "base_model": record.base_model, "accept": "update.max_grad_norm"}
    try:
        if options.mistakes:
            return 1 if mistakes(record, place) else 0
        remote = TinkerBackend(
            Path(record.model), EngineConfig(**engine), lora_rank=8, learning_rate=1e-3,
            warmup_steps=0, weight_decay=0.0, max_grad_norm=0.0, seed=1,
        )  # fmt: skip
        print(f"server measured: token weights {'applied' if remote._weighted else 'not applied'}, gradients "
              f"{'averaged over rows' if remote._averaged else 'summed'}")  # fmt: skip
        mean, largest, tokens = compare_logprobs(remote, place / "probe")
        print(f"log-probabilities of {tokens} tokens: mean gap {mean:.2e}, largest {largest:.2e} (goal 1e-3)")
        print(f"first tokens, 3 × 256 samples on each engine, one distribution: p = "
              f"{compare_distributions(remote, place / 'probe'):.3f}")  # fmt: skip
        remote.close()
        runs = {
            "local": play(place / "local", options.steps, {"backend": "local"}),
            "tinker": play(place / "tinker", options.steps, engine),
        }
        for name, (steps, seconds) in runs.items():
            print(f"\n{name}: {len(steps)} steps in {seconds:.0f} s")
            print("step  " + "  ".join(f"{key.replace('logprob_', '')[:9]:>9}" for key in SHOWN))
            for number, metrics in enumerate(steps, 1):
                values = (metrics.get(key) for key in SHOWN)
                print(f"{number:4}  " + "  ".join("        -" if v is None else f"{v:9.4g}" for v in values))
        run_folder = place / "tinker"
        shutil.rmtree(sorted((run_folder / "checkpoints").glob("step_*"))[-1])
        resumed, seconds = play(run_folder, options.steps, engine)
        print(f"\nresumed from the checkpoint before the last: {len(resumed)} step events in all, {seconds:.0f} s")
    finally:
        if not options.keep:
            stop_engine(record)
            shutil.rmtree(place, ignore_errors=True)
    print(f"whole: {(time.monotonic() - began) / 60:.1f} min")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
