"""Facts about estimates: they move the right way, and the clock corrects them."""

import json
import struct
from dataclasses import replace

import pytest

from seirenes_app.services.estimate import (
    Shape,
    count_parameters,
    estimate_memory,
    estimate_time,
    read_shape,
    rollouts_a_step,
    step_seconds,
)
from training.runs.config import Mode, RunConfig
from training.runs.paths import RunPaths
from training.runs.processes import RunSummary
from training.runs.status import History, RunState, RunStatus

DEMO = RunConfig()


def finished(config, seconds):
    history = History()
    for step in range(1, 6):
        history = history.append(step, {"seconds": seconds})
    return RunSummary(RunPaths.__new__(RunPaths), config, RunState(status=RunStatus.FINISHED, history=history))


def test_more_steps_take_longer_and_more_cores_less():
    base = estimate_time(DEMO, cores=2, parameters=2_000_000).seconds
    assert estimate_time(replace(DEMO, steps=2 * DEMO.steps), cores=2, parameters=2_000_000).seconds > 1.5 * base
    assert estimate_time(DEMO, cores=4, parameters=2_000_000).seconds < base
    assert estimate_time(DEMO, cores=2, parameters=20_000_000).seconds > 3 * base


@pytest.mark.parametrize(("section", "name"), [("update", "kl"), ("adversary", "kl"), ("reasoner", "clean_anchor")])
def test_every_pull_to_the_starting_model_needs_a_copy_of_it(section, name):
    def weights(config):
        return dict(estimate_memory(config, parameters=2_000_000).parts)["weights"]

    def pulled(config, section, name, weight):
        return replace(config, **{section: replace(getattr(config, section), **{name: weight})})

    free = pulled(pulled(pulled(DEMO, "update", "kl", 0.0), "adversary", "kl", 0.0), "reasoner", "clean_anchor", 0.0)
    assert weights(pulled(free, section, name, 0.1)) == pytest.approx(2 * weights(free))


def test_the_parts_make_the_whole():
    time, memory = estimate_time(DEMO, cores=2), estimate_memory(DEMO)
    assert sum(s for _, s in time.parts) == pytest.approx(time.seconds)
    assert sum(m for _, m in memory.parts) == pytest.approx(memory.megabytes)
    assert time.text.startswith("about ")


def test_earlier_runs_here_replace_the_guess():
    guessed = step_seconds(DEMO, 2_066_368, 2)
    past = [finished(DEMO, 3 * guessed)] * 2
    corrected = estimate_time(DEMO, cores=2, parameters=2_066_368, past=past)
    plain = estimate_time(DEMO, cores=2, parameters=2_066_368)
    assert corrected.parts[1][1] == pytest.approx(3 * plain.parts[1][1], rel=0.2)
    assert "2 earlier runs here" in corrected.basis


def test_runs_of_another_model_teach_nothing():
    other = replace(DEMO, model=replace(DEMO.model, path="/elsewhere"))
    assert "earlier" not in estimate_time(DEMO, cores=2, past=[finished(other, 99.0)]).basis


def test_a_baseline_without_an_adversary_spends_as_many_rollouts():
    assert sum(rollouts_a_step(replace(DEMO, mode=Mode.CLEAN_RL))) == sum(rollouts_a_step(DEMO))
    assert rollouts_a_step(replace(DEMO, mode=Mode.RANDOM))[1] == 0


def test_parameters_are_counted_from_the_file_header(tmp_path):
    header = json.dumps(
        {"__metadata__": {"a": "b"}, "w": {"dtype": "F32", "shape": [10, 20], "data_offsets": [0, 800]}}
    ).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(800))
    assert count_parameters(tmp_path) == 200


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, struct.pack("<Q", 4) + b"null", struct.pack("<Q", 30) + b"{"])
def test_a_damaged_model_file_is_no_count(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    assert count_parameters(tmp_path) is None
    (tmp_path / "config.json").write_bytes(content)
    assert read_shape(tmp_path) == Shape()


def test_a_large_vocabulary_costs_no_more_than_the_logits_held_at_once():
    def learning(vocabulary):
        shape = Shape(layers=28, width=1024, cache_width=1024, vocabulary=vocabulary)
        return dict(estimate_memory(DEMO, 600_000_000, shape).parts)["learning batch"]

    assert learning(151_936) == learning(300_000)
    assert learning(151_936) - learning(1) < 900
