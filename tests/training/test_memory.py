"""Facts about memory: runs whose memory ends go on with less, or say what to lower; real limits, real trainers."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.engine.base import LossParams, SamplingParams, TrainRow
from training.engine.models import bundled_starter
from training.engine.torch_local import LocalTorchBackend
from training.errors import UserError
from training.memory import (
    Part,
    Remedy,
    Shape,
    explain_shortage,
    find_remedies,
    memory_figures,
    memory_parts,
    ran_out,
    read_shape,
)
from training.runs.config import ModelConfig, RunConfig, change_for_resume
from training.runs.events import EventTail
from training.runs.paths import change_settings, new_run
from training.runs.processes import read_run
from training.runs.status import FailureKind

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def backend():
    return LocalTorchBackend(bundled_starter(), threads=1, device="cpu")


def shortage():
    return RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried")


def test_a_batch_that_does_not_fit_is_sampled_in_halves_with_the_same_tokens(backend):
    prompts = [backend.codec.encode_chat([{"role": "user", "content": f"{n} plus {n}?"}]) for n in range(4)]
    params = SamplingParams(12, seed=3)
    whole = backend.sample(prompts, 4, params)
    sampler, said, seen = backend._sampler, [], []
    real = sampler._run

    def run(batch, *rest):
        seen.append(len(batch.jobs))
        real(batch, *rest)
        if seen[-1] > 4:
            raise shortage()

    sampler._run, sampler.on_shortage = run, said.append
    try:
        done = []
        again = backend.sample(prompts, 4, params, progress=lambda count, _: done.append(count))
    finally:
        del sampler._run
        sampler.on_shortage, sampler._most_rows = None, 0
    assert [[c.tokens for c in row] for row in again] == [[c.tokens for c in row] for row in whole]
    assert seen == [16, 8, 4, 4, 4, 4]
    assert done[-1] == 16
    assert len(said) == 2


def rows_of(backend, count):
    prompt = tuple(backend.codec.encode_chat([{"role": "user", "content": "2 plus 2?"}]))
    return [TrainRow(prompt, (5 + n, 9, 11), (-1.0, -1.0, -1.0), 1.0 if n % 2 else -1.0) for n in range(count)]


def gradients(backend):
    return [p.grad.clone() for p in backend.model.parameters() if p.grad is not None]


def test_gradients_that_do_not_fit_are_made_again_in_smaller_batches_and_come_out_equal(backend):
    first, second = rows_of(backend, 4), [replace(r, prompt=(*r.prompt, 7)) for r in rows_of(backend, 6)]
    backend.forward_backward(first, LossParams())
    backend.forward_backward(second, LossParams())
    wanted = gradients(backend)
    backend._optim().drop_gradients()
    backend._calls, said = [], []
    backend.on_shortage = said.append
    backend.forward_backward(first, LossParams())
    real, calls = backend._add_gradients, []

    def add(rows, loss):
        calls.append(len(rows))
        stats = real(rows, loss)
        if len(calls) == 1:
            # The gradients are there in part when the allocation fails.
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return stats

    backend._add_gradients = add
    try:
        stats = backend.forward_backward(second, LossParams())
    finally:
        del backend._add_gradients
        backend.on_shortage = None
    assert calls == [6, 4, 6]
    assert stats.rows == 6
    assert len(said) == 1
    for made, asked in zip(gradients(backend), wanted, strict=True):
        assert torch.allclose(made, asked, atol=1e-7)
    backend._optim().drop_gradients()


@pytest.mark.parametrize(
    ("error", "out"),
    [(MemoryError(), True), (shortage(), True), (torch.OutOfMemoryError("x"), True), (RuntimeError("shapes"), False),
     (OSError(12, "Cannot allocate memory"), True), (ValueError("out of memory"), False)],
)  # fmt: skip
def test_shortage_of_memory_is_told_from_other_errors(error, out):
    assert ran_out(error) is out


def test_a_shortage_is_found_behind_the_error_that_it_became():
    error = UserError("The model could not be loaded")
    error.__cause__ = MemoryError()
    assert ran_out(error)


def test_the_largest_part_that_a_setting_lowers_is_named_with_its_new_value():
    config = RunConfig()
    remedies = find_remedies(config, {Part.LIBRARIES: 900.0, Part.SAMPLING: 500.0, Part.ROLLOUTS: 700.0})
    assert remedies[0] == Remedy("rollout.questions", "32", "16", Part.ROLLOUTS)
    text, remedy = explain_shortage(config, 2_000_000, Shape(), "the weights were updated")
    assert remedy is not None
    assert remedy.key in text
    assert "while the weights were updated" in text
    parts = memory_parts(config, 2_000_000, Shape())
    assert parts[Part.REFERENCE] == parts[Part.WEIGHTS]


def test_a_run_goes_on_with_changed_settings_and_keeps_what_decides_its_figures(tmp_path):
    paths = new_run(tmp_path, RunConfig(), "r")
    before = json.loads(paths.config.read_text())
    change_settings(paths, ["rollout.questions=8", "steps=90"])
    after = json.loads(paths.config.read_text())
    assert (after["rollout"]["questions"], after["steps"]) == (8, 90)
    after["rollout"]["questions"], after["steps"] = before["rollout"]["questions"], before["steps"]
    assert after == before
    for kept in ("evaluation.problems=9", "model.path=x", "data.seed=1", "model.tuning=lora"):
        with pytest.raises(UserError, match="keeps this option"):
            change_for_resume(RunConfig(), [kept])


def test_the_shape_of_the_bundled_model_is_read_from_its_folder():
    assert read_shape(bundled_starter()) == Shape(4, 192, 96, 1536, 576)


def test_figures_of_a_process_are_plausible():
    figures = memory_figures()
    assert 50 < figures["rss_mb"] <= figures["peak_mb"] * 1.05
    assert figures["free_mb"] > 0


LIMITED = """
import resource, sys, psutil, torch
from pathlib import Path
from training.runner import run_directory
from training.selfplay import SelfPlay
play = SelfPlay.step
def step(self):
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]) * 2**20,) * 2)
    return play(self)
SelfPlay.step = step
print(run_directory(Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_run_beyond_a_real_limit_says_which_setting_to_lower_and_is_resumed_with_it(tmp_path):
    # No room for a single micro-batch of solutions this long, and room enough for short ones.
    config = RunConfig(
        steps=1, model=ModelConfig(threads=1),
        rollout=replace(RunConfig().rollout, questions=4, clean=2, hints=2, hinted=1, max_solution_tokens=400),
        evaluation=replace(RunConfig().evaluation, problems=4, max_new_tokens=8),
    )  # fmt: skip
    paths = new_run(tmp_path, config, "limited")
    child = [sys.executable, "-c", LIMITED, str(paths.root)]
    ended = subprocess.run([*child, "0"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode != 0, ended.stdout
    state = read_run(paths).state
    assert state.failure is FailureKind.RESOURCES, (state.message, ended.stderr[-2000:])
    assert state.can_resume
    assert "Memory ran out" in state.message
    assert state.proposed["key"] in state.message
    change_settings(paths, [f"{state.proposed['key']}={state.proposed['value']}"])
    ended = subprocess.run([*child, "4000"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.stdout.strip() == "finished", ended.stderr[-2000:]
    events = EventTail(paths.events).poll()
    assert events[-1].data["outcome"] == "finished"
