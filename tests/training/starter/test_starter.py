"""Facts about the bundled reasoner and about the recipe that makes it."""

import itertools
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from training.core.answers import AnswerGrader
from training.core.archive import HintArchive
from training.core.curriculum import MasteryPool
from training.core.gates import Gate, check_hint
from training.core.prompts import adversary_messages, reasoner_messages
from training.core.types import HintType, Role
from training.engine.base import SamplingParams
from training.engine.models import bundled_starter, resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.evaluation.suites.builder import held_out_problems
from training.evaluation.torch_evaluator import write_hints
from training.prompt_files import COMPACT, built_in
from training.runs.config import RolloutConfig, RunConfig
from training.selfplay import SelfPlay
from training.starter.pretrain import Pretraining, train_tokenizer
from training.starter.recipe import Architecture, Recipe, draw_batch, render_prompt, stream_examples

TINY = Recipe(
    steps=6, batch=8, warmup=2, checkpoint_every=3, tokenizer_examples=300,
    architecture=Architecture(vocabulary=600, hidden=32, layers=1, heads=2, key_value_heads=1, head_dim=16, feed_forward=48),
)  # fmt: skip


@pytest.fixture(scope="module")
def starter():
    torch.set_num_threads(1)
    return LocalTorchBackend(resolve_model("starter"), device="cpu", threads=1)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(bundled_starter() / "tokenizer.json"))


def test_it_is_small_enough_to_ship():
    folder = bundled_starter()
    assert sum(f.stat().st_size for f in folder.iterdir()) <= 12_000_000
    assert (folder / "README.md").is_file()


def test_it_has_at_most_five_million_parameters(starter):
    assert sum(p.numel() for p in starter.model.parameters()) <= 5_000_000


@given(st.text())
@settings(deadline=None)
def test_any_text_encodes_and_comes_back(tokenizer, text):
    text = text.encode("utf-8", "ignore").decode()
    special = any(t in text for t in ("<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"))
    assert special or tokenizer.decode(tokenizer.encode(text).ids) == text


@given(st.integers(0, 10**12))
@settings(deadline=None)
def test_digits_stand_alone(tokenizer, number):
    assert tokenizer.encode(str(number)).tokens == list(str(number))


def test_the_chat_template_renders_what_it_was_trained_on(starter, tokenizer):
    messages = reasoner_messages("How many? 12.", built_in(COMPACT))
    assert list(starter.codec.encode_chat(messages)) == tokenizer.encode(render_prompt(messages)).ids


def test_it_solves_held_out_problems_and_writes_hints_that_pass(starter):
    from training.core.answers import AnswerGrader
    from training.evaluation.torch_evaluator import sample_texts

    problems = held_out_problems(60, 99)
    chats = [reasoner_messages(p.question, built_in(COMPACT)) for p in problems]
    solved = sample_texts(starter, chats, 1, SamplingParams(128, 0.0))
    right = sum(AnswerGrader().grade(s.text, p).outcome == "right" for (s,), p in zip(solved, problems, strict=True))
    assert right / len(problems) > 0.6
    asked = list(itertools.product(problems[:10], HintType))
    prompts = [starter.codec.encode_chat(adversary_messages(p.question, t, built_in(COMPACT))) for p, t in asked]
    hints = [starter.codec.decode(c.tokens) for (c,) in starter.sample(prompts, 1, SamplingParams(64, 1.0, 1))]
    passed = sum(check_hint(h, p).passed for h, (p, _) in zip(hints, asked, strict=True))
    assert passed / len(hints) > 0.7


def test_examples_depend_on_the_seed_and_the_step_alone():
    tokenizer = train_tokenizer(TINY)
    assert draw_batch(3, TINY, tokenizer) == draw_batch(3, TINY, tokenizer)
    assert draw_batch(3, TINY, tokenizer) != draw_batch(4, TINY, tokenizer)


def test_the_mixture_is_what_the_recipe_says():
    recipe = Recipe()
    examples = list(itertools.islice(stream_examples(1, recipe), 4000))
    share = sum(e.role is Role.ADVERSARY for e in examples) / len(examples)
    assert share == pytest.approx(recipe.adversary_share, abs=0.02)


def test_a_stopped_pretraining_goes_on_to_the_same_weights(tmp_path):
    tokenizer = train_tokenizer(TINY)

    def run(folder: Path, *stops: int) -> torch.Tensor:
        folder.mkdir()
        for stop in stops:
            training = Pretraining(TINY, tokenizer, folder)
            training.restore()
            while training.step < stop:
                training.train_step()
            training.save()
        return torch.cat([p.detach().flatten() for p in training.model.parameters()])

    assert torch.equal(run(tmp_path / "once", 6), run(tmp_path / "twice", 3, 6))


def ends_a_sentence(text):
    return text == "" or text[-1] in ".?!"


def test_hints_that_the_token_limit_cuts_off_end_at_a_sentence_in_evaluation(starter):
    problems = held_out_problems(8, 1)
    hints, _ = write_hints(starter, problems, built_in(COMPACT), 1, max_tokens=14)
    assert hints
    assert all(ends_a_sentence(hint.text) for hint in hints.values())


def test_hints_that_the_token_limit_cuts_off_end_at_a_sentence_in_self_play(starter):
    class Quiet:
        def stage(self, name, done, total):
            pass

        def cancelled(self):
            return False

    config = replace(RunConfig(), rollout=RolloutConfig(questions=8, clean=2, hints=4, hinted=1, max_hint_tokens=14))
    problems = held_out_problems(8, 1)
    pool = MasteryPool([p.id for p in problems], 0.25)
    loop = SelfPlay(config, starter, pool, {p.id: p for p in problems}, HintArchive(), AnswerGrader(), Quiet())
    rounds = loop._draw_rounds(random.Random(1))
    loop._write_hints(rounds, random.Random(1))
    played = [hint for r in rounds for hint in r.hints]
    assert len(played) == 32
    assert any(hint.written.completion.truncated for hint in played)
    assert all(ends_a_sentence(hint.hint.text) for hint in played if hint.written.completion.truncated)
    assert {hint.gate.gate for hint in played if not hint.hint.text} <= {Gate.EMPTY}
