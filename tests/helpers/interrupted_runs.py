"""Runs that are ended at chosen moments and resumed, and what they leave compared with a run that was left alone."""

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch
from helpers.tiny_models import make_config, make_tokenizer
from transformers import LlamaForCausalLM

from training.runs.config import from_dict, parse_overrides
from training.runs.control import CommandKind, commands_size, send_command
from training.runs.events import EventKind, EventTail
from training.runs.paths import new_run
from training.runs.status import RunState, reduce

SMALL = ["steps=6", "rollout.questions=3", "rollout.clean=3", "rollout.hints=2", "rollout.hinted=2",
         "rollout.max_solution_tokens=32", "rollout.max_hint_tokens=16", "rollout.temperature=1.3",
         "evaluation.problems=4", "evaluation.every=2", "evaluation.max_new_tokens=20", "checkpoint.every=3",
         "model.threads=1", "model.device=cpu", "data.pool=12", "update.learning_rate=0.002"]  # fmt: skip
PATHS = {
    "full": [],
    "lora": ["model.tuning=lora", "model.lora_rank=4", "update.learning_rate=0.01"],
    "buffer": ["update.max_rows=4", "update.epochs=2", "rollout.temperature=1.5"],
    "replay": ["curriculum.replay_share=0.6", "curriculum.replay_by=uncertain", "reasoner.anchor_share=0.5",
               "data.pool=4"],
    "roll_back": ["curriculum.guard_action=roll_back", "curriculum.guard_margin=0.0", "update.learning_rate=0.05",
                  "evaluation.every=1", "reasoner.clean_anchor=0", "evaluation.max_new_tokens=60"],
    "two_models": ["adversary.model=starter", "reasoner.needed_share=0.5", "reasoner.placement=varied"],
    "opponents": ["adversary.opponents=0.5", "checkpoint.every=1"],
    "best_response": ["adversary.model=starter", "reasoner.train=false", "data.pool=5"],
    "clean_rl": ["mode=clean_rl", "advantage.baseline=role_ema"],
}  # fmt: skip
MODELS = ("starter", "llama")
LLAMA = ["update.learning_rate=0.003", "rollout.temperature=1.0", "rollout.questions=6", "rollout.hints=4"]
ENDS = ("SIGKILL", "SIGTERM", "SIGINT", "stop", "pause")
SURE_ANSWER = "#### 11:30"
"""To the first problem that the small runs are evaluated on."""
WAIT_S = 120.0
"""The longest time without an event that says of progress."""


class Trainers:
    """Starts trainer processes by `trainer_forks`; close it at the end."""

    def __init__(self):
        self._running = None
        root = Path(__file__).resolve().parents[2]
        environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        self._forks = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("trainer_forks.py")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, bufsize=1, env=environment,
        )  # fmt: skip

    def start(self, paths, halt=None):
        print(json.dumps([str(paths.root), commands_size(paths.commands), halt]), file=self._forks.stdin, flush=True)
        self._running = int(self._forks.stdout.readline())
        return self._running

    @contextmanager
    def halted(self, paths, kind, **data):
        """Start it, and hold it still from an event on while the block runs."""
        pid, since = self.start(paths, [kind, data]), time.monotonic()
        while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() - since < 2 * WAIT_S, "the trainer did not come so far"
            time.sleep(0.01)
        yield pid
        os.kill(pid, signal.SIGCONT)

    def wait(self):
        """The exit status of the trainer that was started last, once it is over."""
        code, self._running = int(self._forks.stdout.readline()), None
        return code

    def finish(self, paths):
        self.start(paths)
        return self.wait()

    def close(self):
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.kill(self._running, signal.SIGKILL)
            self.wait()
        self._forks.stdin.close()
        self._forks.wait(30)
        self._forks.stdout.close()


def make_run(folder, name, *overrides):
    config = from_dict(parse_overrides([*SMALL, *overrides]), "test")
    return new_run(folder, config, name)


def settings_of(path, folder, model="starter"):
    """The overrides of a kind of run on the bundled model or a llama, which is made in `folder`, once."""
    if model == "starter":
        return PATHS[path]
    llama, problems = folder / "llama", folder / "sums.jsonl"
    if not problems.exists():
        make_llama(llama)
        sums = [(a, b) for a in range(1, 4) for b in range(1, 5) if a + b < 6]
        lines = [{"question": f"Mia has {a} apples and gets {b} more. How many apples has she?", "answer": str(a + b)}
                 for a, b in sums]  # fmt: skip
        problems.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [*LLAMA, f"model.path={llama}", f"data.problems={problems}", *PATHS[path]]


def make_llama(folder):
    """A random llama with a tokenizer of its own, inclined to single tokens that are answers or hints, so that rewards
    differ."""
    tokenizer = make_tokenizer("llama-3")
    answers = [f"#### {n}" for n in range(2, 6)]
    hints = [f"{who} also saw some {what} trees there." for who in ("Tom", "Ann", "Ben") for what in ("tall", "old")]
    tokenizer.add_tokens([*answers, *hints, SURE_ANSWER])
    torch.manual_seed(11)
    model = LlamaForCausalLM(make_config("llama", vocab_size=len(tokenizer), max_position_embeddings=1024))
    with torch.no_grad():
        # One direction of every token's embedding is constant; the head reads from it which tokens are likely.
        model.model.embed_tokens.weight[:, 0] = 20.0
        model.lm_head.weight[:, 0] = -2.0
        likely = tokenizer.convert_tokens_to_ids([*answers, *hints])
        model.lm_head.weight[likely, 0] = 0.0
        model.lm_head.weight[tokenizer.eos_token_id, 0] = 0.4
        # Greedy, it gives one answer and ends: right for a held-out problem, until training on the sums moves it.
        sure = tokenizer.convert_tokens_to_ids(SURE_ANSWER)
        model.lm_head.weight[sure, 0] = 0.6
        model.model.embed_tokens.weight[sure, 1] = 20.0
        model.lm_head.weight[tokenizer.eos_token_id, 1] = 1.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def events_of(paths):
    return EventTail(paths.events).poll()


def wait_for_event(paths, kind, **data):
    wait_for_events(paths, lambda events: any(e.kind == kind and data.items() <= e.data.items() for e in events))


def wait_for_events(paths, there):
    """Wait until `there(events of the run)`; for as long as the run makes progress, however slow the machine is."""
    progress, since = 0, time.monotonic()
    while not there(events := events_of(paths)):
        if (made := sum(e.kind != EventKind.HEARTBEAT for e in events)) > progress:
            progress, since = made, time.monotonic()
        assert time.monotonic() - since < WAIT_S, "the trainer wrote nothing for long"
        time.sleep(0.002)


def interrupt(trainers, paths, end, rng, most):
    """Start the run, end it in the way `end` some milliseconds after a random one of `most` events; its exit status.

    A run that is over before that has finished.
    """
    before, pid = len(events_of(paths)), trainers.start(paths)
    moment, delay = before + rng.randrange(1, most), rng.uniform(0, 0.05)
    wait_for_events(paths, lambda events: len(events) >= moment or is_done(events[before:]))
    time.sleep(delay)
    if end == "pause":
        send_command(paths, CommandKind.PAUSE)
        time.sleep(0.4)
        send_command(paths, CommandKind.RESUME)
    elif end == "stop":
        send_command(paths, CommandKind.STOP)
    else:
        with suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, end))
    return trainers.wait()


def roll_backs(paths):
    """How often the weights of an earlier checkpoint were restored: the step is then evaluated twice."""
    steps = [e.data["step"] for e in events_of(paths) if e.kind == "eval"]
    return len(steps) - len(set(steps))


def is_done(events):
    return bool(events) and events[-1].kind == "done"


def state_of(paths):
    """What a run is at its end, by names: files of the last checkpoint, rollouts, evaluations, figures."""
    folders = sorted(paths.checkpoints.iterdir())
    found = {f"checkpoint {name}": str(file) for name, file in
             json.loads((folders[-1] / "manifest.json").read_text()).items()}  # fmt: skip
    found["checkpoints"] = "; ".join(f.name for f in folders if f.name.startswith("."))
    found["rollouts"] = _rows(paths.rollouts, "rollouts", "steps", "facet_counts")
    found["search"] = _rows(paths.rollouts, "rollouts_fts")
    evaluations = paths.evaluations / "rows.db"
    tables = [t for t in _tables(evaluations) if not t.startswith(("sqlite_", "_"))]
    found |= {f"evaluations {table}": _rows(evaluations, table, numbered=False) for table in tables}
    state = RunState()
    for event in events_of(paths):
        state = reduce(state, event)
    found["status"] = f"{state.status} {state.message}"
    found["evals"] = json.dumps([(p.step, p.metrics) for p in state.evals])
    found["figures"] = json.dumps([state.history.series(n) for n in sorted(state.history.names()) if not _timed(n)])
    return found


def _timed(name):
    measured = ("tokens_per_s", "cpu_seconds", "rss_mb", "peak_mb", "free_mb", "gpu_peak_mb", "warming_up")
    return name.startswith(("seconds", "time/")) or name in measured


def _tables(path):
    with sqlite3.connect(path) as db:
        return [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


def _rows(path, *tables, numbered=True):
    """A digest of what the tables hold. An evaluation that is made again gets new row numbers, which nothing reads."""
    left_out = ("seconds", "t") if numbered else ("seconds", "t", "id")
    digest = hashlib.sha256()
    with sqlite3.connect(path) as db:
        for table in tables:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] not in left_out]
            rows = sorted(map(repr, db.execute(f"SELECT {', '.join(columns)} FROM {table}")))
            digest.update("\n".join(rows).encode())
    return digest.hexdigest()


def differences(paths, reference):
    """Names of what differs between two runs."""
    mine, theirs = state_of(paths), state_of(reference)
    return [name for name in sorted(mine | theirs) if mine.get(name) != theirs.get(name)]


def moments(seed, path, count):
    """`count` seeded (end, random source) for one path: each way of ending in turn."""
    ends = list(ENDS)
    rng = random.Random(f"{seed}:{path}")
    rng.shuffle(ends)
    return [(ends[k % len(ends)], random.Random(f"{seed}:{path}:{k}")) for k in range(count)]
