"""What the loop itself costs: processor time of the trainer with a server of the Tinker API that answers at once.

    python tests/bench/bench_driver.py [--steps 4] [--questions 32] [--tokens 128]

The server, a process of its own, answers every sample with the same solution (or a hint) of about so many tokens, and
every update at once. Printed: processor seconds of the trainer for 1,000 rollouts, by part, and the tokens a second that
one trainer can feed (goal: 50,000): the engine's own time is not in it.
"""

import argparse
import itertools
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from training.resources import resources_folder
from training.runs.config import from_dict
from training.runs.paths import new_run

HINT_TOKENS = 48
"""Of the longest hint: by it the server knows who asks."""


def serve(tokens: int) -> None:
    """The server. Its port is the first line that it prints."""
    from training.engine.chat_tokenizer import ChatTokenizer

    codec = ChatTokenizer(resources_folder() / "starter")
    end = min(codec.end_ids)

    def ids(text: str) -> list[int]:
        return codec.tokenizer.encode(text, add_special_tokens=False)

    filler = ids("Mia has 12 apples. Tom gives her 7 apples. 12 + 7 = 19. ")
    variants = []
    for number in range(8):
        body = (filler * (tokens // len(filler) + 1))[: max(1, tokens - 8)]
        variants.append([*body, *ids(f" #### {number}"), end])
    # Hints that differ: one that is nearly another of its batch is refused.
    places = ("a far island", "an old bridge", "the north pier", "a quiet street", "some hill", "a long shelf")
    things = ("birds", "boats", "trees", "lamps", "stones", "doors", "clouds", "chairs")
    ends = ("in the fog", "last winter", "by the sea", "under the moon", "behind a wall", "near the lake", "at noon")
    hints = [
        [*ids(f"On {where} stood {n} {what} {when}."), end]
        for n, (where, what, when) in enumerate(itertools.product(places, things, ends), 11)
    ]
    random.Random(0).shuffle(hints)
    futures: dict[str, dict] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        count = 0

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
            self.answer(route(self.path, body))

        def do_GET(self) -> None:
            self.answer({"supported_models": [{"model_name": "m"}]})

        def answer(self, found: dict) -> None:
            data = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    def route(path: str, body: dict) -> dict:
        part = path.rpartition("/")[2]
        if part == "create_session":
            return {"session_id": "s", "type": "create_session"}
        if part == "session_heartbeat":
            return {"type": "session_heartbeat"}
        if part == "retrieve_future":
            return futures.pop(body["request_id"])
        result: dict = {"type": part}
        if part == "asample":
            offered = hints if body["sampling_params"]["max_tokens"] == HINT_TOKENS else variants
            drawn = [offered[(5 * Handler.count + i) % len(offered)] for i in range(body["num_samples"])]
            Handler.count += 1
            result["sequences"] = [{"stop_reason": "stop", "tokens": t, "logprobs": [-0.5] * len(t)} for t in drawn]
            asked = [t for chunk in body["prompt"]["chunks"] for t in chunk["tokens"]]
            result["prompt_logprobs"] = [-0.5] * (len(asked) - 1) if body.get("prompt_logprobs") else None
        elif part in ("forward_backward", "forward"):
            data = body.get("forward_backward_input", body.get("forward_input"))["data"]
            result["loss_fn_outputs"] = [{"logprobs": {"data": d["loss_fn_inputs"]["logprobs"]["data"]}} for d in data]
        elif part == "optim_step":
            result["metrics"] = {"grad_norm": 1.0}
        elif part == "create_model":
            result["model_id"] = "m1"
        elif part in ("save_weights", "save_weights_for_sampler"):
            kind = "weights" if part == "save_weights" else "sampler_weights"
            result["path"] = f"tinker://m1/{kind}/{body['path']}"
        Handler.count += 1
        key = str(Handler.count)
        futures[key] = result
        return {"request_id": key, "model_id": "m1"}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128, help="of a completion")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        return train(Path(options.train))
    if options.serve:
        serve(options.tokens)
        return 0
    print(f"{options.steps} steps of {options.questions} questions", flush=True)
    command = [sys.executable, __file__, "--serve", "--tokens", str(options.tokens)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
    try:
        with tempfile.TemporaryDirectory() as place:
            model = Path(place) / "model"
            shutil.copytree(resources_folder() / "starter", model)
            shape = json.loads((model / "config.json").read_text())
            shape["max_position_embeddings"] = 4 * options.tokens + 1024
            (model / "config.json").write_text(json.dumps(shape))
            config = from_dict(
                {
                    "name": "driver", "steps": options.steps, "model": {"path": str(model), "tuning": "lora"},
                    "engine": {"backend": "tinker", "url": url, "base_model": "m", "fetch": False,
                               "accept": "update.max_grad_norm"},
                    "rollout": {"questions": options.questions, "clean": 8, "hints": 4, "hinted": 8,
                                "max_solution_tokens": max(300, 2 * options.tokens), "max_hint_tokens": HINT_TOKENS},
                    "evaluation": {"problems": 4, "max_new_tokens": 300, "every": 0}, "data": {"pool": 400},
                    "checkpoint": {"every": 0},
                },
                "the bench",
            )  # fmt: skip
            paths = new_run(Path(place), config, "driver")
            subprocess.run([sys.executable, __file__, "--train", str(paths.root)], cwd=ROOT, check=True)
            events = [json.loads(line) for line in paths.events.read_text().splitlines()]
            report([e["metrics"] for e in events if e["event"] == "step"], paths)
    finally:
        server.kill()
        server.wait()
    return 0


def train(folder: Path) -> int:
    """Train the run in `folder`. Its timer reads the processor's clock, which counts all threads of the process, so the
    parts of a step are processor seconds and waiting for the server is in none."""
    from training import runner
    from training.__main__ import main as training

    timer = runner.StageTimer
    runner.StageTimer = lambda *_: timer(time.process_time)  # type: ignore[assignment,misc]
    return training(["run", str(folder)])


def report(steps: list[dict], paths: object) -> None:
    import sqlite3

    with sqlite3.connect(paths.rollouts) as database:  # type: ignore[attr-defined]
        rows = dict(database.execute("SELECT step, SUM(tokens) FROM rollouts GROUP BY step").fetchall())
        counts = dict(database.execute("SELECT step, COUNT(*) FROM rollouts GROUP BY step").fetchall())
    # The first step imports and connects.
    whole = [(m, counts[i], rows[i]) for i, m in enumerate(steps, 1) if i > 1]
    cpu, rollouts, tokens = (sum(part) for part in zip(*((m["cpu_seconds"], n, t) for m, n, t in whole), strict=True))
    print(f"{rollouts} rollouts of {tokens / rollouts:.0f} tokens in {len(whole)} steps, {cpu:.1f} processor seconds")
    print(f"{1000 * cpu / rollouts:.2f} processor seconds for 1,000 rollouts; one trainer feeds {tokens / cpu:,.0f} "
          "tokens a second (goal 50,000)")  # fmt: skip
    parts = {k: sum(m.get(k) or 0 for m, _, _ in whole) for k in whole[0][0] if k.startswith("time/")}
    print("seconds by part: " + ", ".join(f"{k[5:]} {v:.1f}" for k, v in sorted(parts.items(), key=lambda kv: -kv[1])
                                          if v >= 0.05))  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
