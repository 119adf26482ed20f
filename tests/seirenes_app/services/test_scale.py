"""The reckoning of large runs, and that the page shows what the command prints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.cli.main import main
from seirenes_app.services.scale import MODELS, MOE_30B, Plan, Reckoning, Span, parse_span, tables
from training.errors import UserError
from training.resources import resources_folder


def one(value: float) -> Span:
    return Span(value, value)


def test_the_page_shows_what_the_command_prints(capsys):
    assert main(["engine", "reckon"]) == 0
    printed = capsys.readouterr().out.strip()
    page = (resources_folder() / "docs" / "scale.md").read_text(encoding="utf-8")
    missing = [part for part in printed.split("\n\n") if part not in page]
    assert not missing, "copy the output of `seirenes engine reckon` into resources/docs/scale.md"


@pytest.mark.parametrize(("name", "billions"), [("4B", 4.02), ("7B", 7.62), ("30B-A3B", 30.5)])
def test_the_shapes_give_the_published_numbers_of_parameters(name, billions):
    model = next(m for m in MODELS if m.name == name)
    assert model.parameters / 1e9 == pytest.approx(billions, rel=0.005)


def test_the_published_step_of_the_30b_is_reckoned_within_five_percent():
    """NeMo RL: 2,048 rollouts of 3,203 tokens on 32 cards take 192 s."""
    plan = Plan(
        questions=one(64), clean=one(32), hints=one(1e-9), hinted=one(1), prompt_tokens=one(1e-9), hint_tokens=one(1),
        solution_tokens=one(3203), gpus=32,
    )  # fmt: skip
    found = Reckoning(MODELS[-1], plan)
    assert found.rollouts.low == pytest.approx(2048)
    assert found.tokens.low / MOE_30B.low / plan.gpus == pytest.approx(192, rel=0.05)


def test_a_step_adds_up_as_the_page_says():
    plan = Plan(
        one(10), one(8), one(4), one(5), one(2), one(100), one(50), one(0.5), one(3.0), solution_tokens=one(700)
    )
    found = Reckoning(MODELS[1], plan)
    assert found.rollouts == one(10 * (8 + 4 + 20))
    assert found.sampled == one(10 * (28 * 700 + 4 * 50))
    assert found.prompts == one(10 * (12 * 100 + 20 * 150))
    assert found.request_bytes == one(0.5 * 66 * (198_000 + 42_000))
    rate = MODELS[1].rate
    assert found.gpu_hours.low == pytest.approx(2 * 240_000 / rate.high / 3600)
    assert found.gpu_hours.high == pytest.approx(2 * 240_000 / rate.low / 3600)


def test_an_adapter_of_experts_is_larger_by_the_number_of_experts():
    small, large = MODELS[-1].adapter(32)
    assert small == 48 * 32 * (2 * (2048 + 4096) + 2 * (2048 + 512))
    assert large - small == 48 * 32 * 3 * (2048 + 768) * 128


def test_narrow_assumptions_give_narrow_figures(capsys):
    main(["engine", "reckon", "7B", "--questions", "64", "--hinted", "4", "--solution-tokens", "800-900"])
    printed = capsys.readouterr().out
    assert "1,792 |" in printed
    assert "800–900" in printed
    assert "30B" not in printed


@pytest.mark.parametrize("text", ["", "x", "0", "5-2", "1-", "-3", "1e9", "1-2-3"])
def test_what_is_no_range_is_refused_in_words(text, capsys):
    with pytest.raises(UserError):
        parse_span(text)
    assert main(["engine", "reckon", f"--steps={text}"]) != 0
    assert "range" in capsys.readouterr().err


def test_more_rollouts_than_all_cannot_be_learned_from(capsys):
    assert main(["engine", "reckon", "--trained", "0.5-2"]) != 0
    assert "--trained must not be above 1" in capsys.readouterr().err


def test_a_model_without_figures_is_refused_by_name(capsys):
    assert main(["engine", "reckon", "70B"]) != 0
    assert "70B is not reckoned here. Name 4B, 7B, 30B-A3B." in capsys.readouterr().err


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_range_is_read_as_it_is_written(low, more):
    assert parse_span(f"{low}-{low + more}") == Span(low, low + more)


def test_ten_times_the_questions_are_ten_times_the_tokens():
    assert Reckoning(MODELS[0], Plan(), 10).tokens.high == pytest.approx(10 * Reckoning(MODELS[0], Plan()).tokens.high)
    assert "| 30B-A3B" in tables()
