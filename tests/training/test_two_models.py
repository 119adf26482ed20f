"""Facts about runs in which the Adversary has a model of its own."""

import json
from collections import Counter

import pytest
from helpers.interrupted_runs import events_of, make_llama, make_run
from safetensors.torch import load_file

from training.engine.models import bundled_starter
from training.errors import UserError
from training.export.gguf_model import export_gguf
from training.memory import Part, Shape, memory_parts
from training.prompt_files import COMPACT, NEUTRAL, built_in
from training.rollouts.reader import RolloutQuery, RolloutReader
from training.runner import run_directory
from training.runs.config import check_roles, from_dict, parse_overrides, profile_of
from training.runs.paths import adversary_of

SHORT = ["steps=3", "checkpoint.every=2", "evaluation.every=0", "rollout.hints=3"]
BEST_RESPONSE = ["reasoner.train=false", "adversary.model=starter", "adversary.kl=0", *SHORT]


def config_of(*overrides):
    return from_dict(parse_overrides(overrides), "test")


def weights(folder):
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(folder / "model.safetensors").items()}


def rows_of(paths):
    reader = RolloutReader(paths.rollouts)
    try:
        return reader.rows(reader.ids(RolloutQuery()))
    finally:
        reader.close()


def play(folder, *overrides):
    paths = make_run(folder, "r", *overrides)
    assert run_directory(paths.root) == "finished"
    return paths, sorted(paths.checkpoints.iterdir())


@pytest.fixture(scope="module")
def best_response(tmp_path_factory):
    return play(tmp_path_factory.mktemp("best"), *BEST_RESPONSE, "data.pool=5", "rollout.questions=4", "steps=5")


def test_a_frozen_reasoner_keeps_every_bit_while_its_adversary_learns(best_response):
    _, folders = best_response
    assert weights(folders[-1]) == weights(folders[0])
    assert adversary_of(folders[-1]) == folders[-1] / "adversary"
    assert weights(adversary_of(folders[-1])) != weights(adversary_of(folders[0]))
    assert weights(adversary_of(folders[0])) == weights(folders[0])


def test_r1_of_a_frozen_reasoner_is_sampled_once_a_problem_and_its_p_clean_is_used_from_then_on(best_response):
    paths, folders = best_response
    rows = rows_of(paths)
    sampled = {(row["problem_id"], row["step"]) for row in rows if row["stage"] == "r1_clean"}
    assert set(Counter(problem for problem, _ in sampled).values()) == {1}
    known = json.loads((folders[-1] / "loop.json").read_text())["known_clean"]
    hinted = [row for row in rows if row["stage"] == "r3_hinted"]
    assert any((row["problem_id"], row["step"]) not in sampled for row in hinted)
    assert all(row["clean_accuracy"] == known[row["problem_id"]] for row in hinted)
    assert not any(row["archived"] for row in rows)
    assert {row["role"] for row in rows if row["trained"]} == {"adversary"}


def test_both_models_learn_and_a_checkpoint_holds_both(tmp_path):
    _, folders = play(tmp_path, "adversary.model=starter", *SHORT)
    first, last = folders[0], folders[-1]
    assert weights(last) != weights(first)
    assert weights(last / "adversary") != weights(first / "adversary")
    assert weights(last / "adversary") != weights(last)
    assert (last / "adversary" / "optimizer.pt").is_file()


def test_the_adversary_may_learn_at_a_rate_of_its_own(tmp_path):
    rates = ("update.learning_rate=0", "adversary.learning_rate=1e-3")
    _, (first, *_, last) = play(tmp_path, "adversary.model=starter", *rates, *SHORT)
    assert weights(last) == weights(first)
    assert weights(last / "adversary") != weights(first / "adversary")


def test_models_with_different_tokenizers_play_together(tmp_path):
    make_llama(tmp_path / "llama")
    paths, folders = play(tmp_path, f"adversary.model={tmp_path / 'llama'}", "rollout.temperature=1.0", *SHORT)
    written = [row["completion"] for row in rows_of(paths) if row["stage"] == "r2_hint"]
    assert any("trees there." in text for text in written)
    assert json.loads((folders[-1] / "adversary" / "config.json").read_text())["model_type"] == "llama"


def test_an_adversary_of_another_kind_is_asked_as_that_kind_is_and_the_reasoner_as_before(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 49_152}))
    found = profile_of(config_of(f"adversary.model={tmp_path}"))
    assert found.name == "compact+neutral"
    assert (found.reasoner, found.sampling) == (built_in(COMPACT).reasoner, built_in(COMPACT).sampling)
    assert (found.adversary, found.types) == (built_in(NEUTRAL).adversary, built_in(NEUTRAL).types)
    assert profile_of(config_of("adversary.model=starter")) == built_in(COMPACT)


def test_a_frozen_adversary_may_be_a_gguf_file(tmp_path):
    export_gguf(bundled_starter(), tmp_path / "hints.gguf")
    paths, folders = play(tmp_path, f"adversary.model={tmp_path / 'hints.gguf'}", "mode=static", *SHORT)
    assert not (folders[-1] / "adversary").exists()
    assert (paths.converted / "adversary" / "config.json").is_file()
    assert any(row["stage"] == "r2_hint" for row in rows_of(paths))


def test_a_gguf_file_that_is_to_be_trained_is_refused(tmp_path):
    export_gguf(bundled_starter(), tmp_path / "hints.gguf")
    paths = make_run(tmp_path, "r", f"adversary.model={tmp_path / 'hints.gguf'}", *SHORT)
    with pytest.raises(UserError, match=r"adversary.model: .* cannot be trained. Convert it first"):
        run_directory(paths.root)
    assert events_of(paths)[-1].data["failure"] == "settings"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("reasoner.train=false", "adversary.train=false", "adversary.model=starter"), "Nothing would be trained"),
        (("reasoner.train=false", "mode=static", "adversary.model=starter"), "mode static trains no Adversary"),
        (("reasoner.train=false",), "Set adversary.model"),
        (("adversary.learning_rate=1e-3",), "one model plays both roles"),
    ],
)
def test_a_run_that_trains_nothing_or_the_wrong_model_is_refused(overrides, message):
    with pytest.raises(UserError, match=message):
        check_roles(config_of(*overrides))


def test_a_rate_of_the_adversary_is_no_obstacle_to_baselines_that_do_not_train_one():
    for mode in ("static", "random", "clean_rl"):
        check_roles(config_of("adversary.learning_rate=1e-3", f"mode={mode}"))


def test_memory_counts_both_models_and_what_is_trained_of_them():
    shape, size = Shape(), 4 * 1_000_000 / 2**20
    one = memory_parts(config_of(), 1_000_000, shape)
    two = memory_parts(config_of("adversary.model=starter"), 1_000_000, shape, 1_000_000)
    frozen = memory_parts(config_of(*BEST_RESPONSE), 1_000_000, shape, 2_000_000)
    assert two[Part.WEIGHTS] == 2 * one[Part.WEIGHTS] == pytest.approx(2 * size)
    assert two[Part.OPTIMISER] == 2 * one[Part.OPTIMISER]
    assert frozen[Part.OPTIMISER] == 2 * one[Part.OPTIMISER]
    assert frozen[Part.REFERENCE] == 0
