"""Facts about estimates: they move the right way, and the clock corrects them."""

import json
import struct
from dataclasses import replace

import pytest

from seirenes_app.services.estimate import (
    Basis,
    RunMeasurement,
    Shape,
    count_parameters,
    disk_mb,
    estimate_memory,
    estimate_time,
    read_shape,
    rollouts_a_step,
    step_seconds,
)
from seirenes_app.store.resources import starter_folder
from training.core.validity import JudgeOptions
from training.memory import CPU_SEQUENCES, Part, memory_parts
from training.runs.config import EngineConfig, EngineKind, Mode, RunConfig
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
    def copies(config):
        parts = {p.name: p.value for p in estimate_memory(config, parameters=2_000_000).parts}
        return parts["weights"] + parts.get("starting model, for the KL", 0.0)

    def pulled(config, section, name, weight):
        return replace(config, **{section: replace(getattr(config, section), **{name: weight})})

    free = pulled(pulled(pulled(DEMO, "update", "kl", 0.0), "adversary", "kl", 0.0), "reasoner", "clean_anchor", 0.0)
    assert copies(pulled(free, section, name, 0.1)) == pytest.approx(2 * copies(free))


@pytest.mark.parametrize("model", ["starter", "reference", "starter.gguf"])
def test_a_judge_that_runs_here_takes_memory_too_and_a_server_takes_none(model):
    def judged(name):
        return estimate_memory(replace(DEMO, judge=JudgeOptions(model=name)))

    named = str(starter_folder() / "starter-f16.gguf") if model.endswith(".gguf") else model
    parts = {p.name: p.value for p in judged(named).parts}
    assert parts["judge"] > parts["weights"]
    assert judged(named).megabytes == pytest.approx(estimate_memory(DEMO).megabytes + parts["judge"])
    assert judged("http://localhost:1/v1#m") == estimate_memory(DEMO)
    assert judged("/nowhere/model") == estimate_memory(DEMO)


def test_the_parts_make_the_whole():
    time, memory = estimate_time(DEMO, cores=2), estimate_memory(DEMO)
    assert sum(p.value for p in time.parts) == pytest.approx(time.seconds)
    assert sum(p.value for p in memory.parts) == pytest.approx(memory.megabytes)
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


def test_of_a_server_only_its_own_runs_say_how_long_one_takes():
    server = replace(DEMO, engine=EngineConfig(backend=EngineKind.TINKER, url="http://a:1"))
    here, there, elsewhere = (
        finished(config, 40.0)
        for config in (DEMO, server, replace(server, engine=replace(server.engine, url="http://b:1")))
    )
    unknown = estimate_time(server, cores=2, past=[here, elsewhere])
    assert (unknown.seconds, unknown.parts, unknown.text) == (None, (), "not estimated")
    assert unknown.basis_text == "The time depends on the server; two steps can be measured."
    known = estimate_time(server, cores=2, past=[here, there])
    assert known.parts[1].value == pytest.approx(40.0 * DEMO.steps, rel=0.01)
    assert "from 1 earlier run on this server" in known.basis
    assert "earlier" not in estimate_time(DEMO, cores=2, past=[there]).basis
    assert estimate_time(server, measured=MEASURED).seconds is not None


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
        return memory_parts(DEMO, 600_000_000, shape)[Part.LEARNING]

    assert learning(151_936) == learning(300_000)
    assert learning(151_936) - learning(1) < 900


MEASURED = RunMeasurement(
    start_s=6.0, first_s=2.0, eval_s=5.0, eval_problems=50, checkpoint_s=0.5,
    stages={"r1": 1.0, "r2": 0.5, "update": 2.0, "between": 0.1}, hinted_s=0.01, hinted=100.0, archived=25.0,
    loaded_mb=400.0, trained_mb=500.0, evaluated_mb=700.0, peak_mb=900.0, checkpoint_mb=24.0,
)  # fmt: skip


def test_a_measurement_is_scaled_to_the_steps_evaluations_and_checkpoints_of_the_run():
    config = replace(
        DEMO, steps=40, evaluation=replace(DEMO.evaluation, every=20, problems=200),
        checkpoint=replace(DEMO.checkpoint, every=10),
        rollout=replace(DEMO.rollout, questions=10, hints=4, hinted=4),
    )  # fmt: skip
    found = estimate_time(config, measured=MEASURED)
    parts = {part.name: part.value for part in found.parts}
    # Ten archived hints are replayed in each step but the first, four solutions each.
    assert parts["40 steps"] == pytest.approx(40 * (3.6 + 1.0) + 39 * 10 * 4 * 0.01)
    assert parts["3 evaluations"] == pytest.approx(3 * 4 * 5.0)
    assert parts["5 checkpoints"] == pytest.approx(2.5)
    assert parts["starting"] == pytest.approx(8.0)
    assert {part.basis for part in found.parts} == {Basis.MEASURED}
    assert disk_mb(config, 2_000_000, MEASURED) == pytest.approx(5 * 24.0)
    met = replace(config, adversary=replace(config.adversary, opponents=0.2))
    assert disk_mb(met, 2_000_000, MEASURED) == pytest.approx(5 * 24.0 + 5 * 4 * 2_000_000 / 2**20)


def test_measured_memory_is_the_peak_and_what_the_whole_suite_takes_beyond_its_part():
    found = estimate_memory(DEMO, measured=replace(MEASURED, eval_problems=57))
    assert found.megabytes == 900.0
    assert [part.value for part in found.parts] == [400.0, 100.0, 400.0]
    # Half as many solutions were sampled together as will be.
    small = replace(MEASURED, eval_problems=14)
    assert estimate_memory(DEMO, measured=small).megabytes == pytest.approx(900 + 300 * (CPU_SEQUENCES / 140 - 1))


def test_the_evaluation_is_a_line_of_the_guess_where_it_takes_most():
    """Two steps of the demo preset with its whole suite held 822 MB on one core; mostly in the evaluations."""
    parts = {part.name: part.value for part in estimate_memory(DEMO).parts}
    assert parts["evaluation"] > 200
    assert not {"sampling", "learning batch"} & parts.keys()
    assert sum(parts.values()) == pytest.approx(822, rel=0.1)
    one = replace(DEMO, evaluation=replace(DEMO.evaluation, problems=4))
    assert "evaluation" not in {part.name for part in estimate_memory(one).parts}


def test_a_limit_of_rollouts_ends_a_run_before_its_last_step():
    few = replace(DEMO, max_rollouts=2 * sum(rollouts_a_step(DEMO)))
    assert estimate_time(few, cores=2).parts[1].name == "2 steps"
