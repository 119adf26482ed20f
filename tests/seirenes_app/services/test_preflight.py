"""Facts about what is said of a run's models before it starts."""

import pytest

from seirenes_app.services.preflight import MachineState, find_needs, find_warnings
from training.runs.config import from_dict, parse_overrides


@pytest.fixture
def warnings(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))

    def warn(*overrides):
        config = from_dict(parse_overrides(overrides), "test")
        return find_warnings(config, find_needs(config), MachineState(1e9, 1e9, ()))

    return warn


def test_a_usual_run_and_a_best_response_are_not_warned_of(warnings):
    assert warnings() == ()
    assert warnings("reasoner.train=false", "adversary.model=starter") == ()


def test_a_run_that_trains_nothing_or_a_shared_frozen_model_is_warned_of(warnings):
    (both,) = warnings("reasoner.train=false", "adversary.train=false", "adversary.model=starter")
    assert both.startswith("Nothing would be trained")
    (shared,) = warnings("reasoner.train=false")
    assert "Set adversary.model" in shared
    (unused,) = warnings("mode=random", "adversary.model=starter")
    assert unused == "adversary.model is not used: in the mode random no model writes hints."


def test_a_gguf_file_may_write_hints_and_is_not_trained(warnings, tmp_path):
    file = tmp_path / "hints.gguf"
    file.write_bytes(b"GGUF")
    assert warnings("mode=static", f"adversary.model={file}") == ()
    (trained,) = warnings(f"adversary.model={file}")
    assert "is a GGUF file" in trained
    (reasoner,) = warnings(f"model.path={file}")
    assert "is a GGUF file" in reasoner


def test_files_of_problems_that_are_not_there_are_named(warnings):
    for key in ("data.problems", "reasoner.anchor_problems"):
        assert warnings(f"{key}=/no/where.jsonl") == (f"{key}: there is no file “/no/where.jsonl”.",)
    assert warnings("reasoner.anchor_problems=other_words") == ()


def test_an_adversary_s_model_that_is_not_there_is_named(warnings):
    (missing,) = warnings("adversary.model=/no/where")
    assert missing.startswith("/no/where was not found")
