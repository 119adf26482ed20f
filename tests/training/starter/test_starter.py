"""Facts about the bundled reasoner and about the recipe that makes it."""

import itertools
import random
import re
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
from training.core.hint_language import parse_hint
from training.core.other_words import OTHER_WORDS, write_in_other_words
from training.core.problems import sample_problem
from training.core.prompts import adversary_messages, reasoner_messages
from training.core.types import HintType, Outcome, Role, Split
from training.engine.base import SamplingParams
from training.engine.models import bundled_starter, resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.errors import UserError
from training.evaluation.evaluator import write_hints
from training.evaluation.plan import Writing
from training.evaluation.suites.builder import held_out_problems
from training.evaluation.torch_evaluator import TorchEngine
from training.prompt_files import COMPACT, built_in
from training.runs.config import RolloutConfig, RunConfig
from training.selfplay import SelfPlay
from training.starter.__main__ import describe_origin, train
from training.starter.pretrain import Pass, Pretraining, add_gradients, measure_passes, save_tokenizer, train_tokenizer
from training.starter.recipe import (
    SENTENCE_GAP,
    Architecture,
    Phase,
    Recipe,
    add_neutral,
    draw_batch,
    draw_example,
    draw_hints,
    render_prompt,
    shorten_transfer,
    stream_examples,
)

SCHEDULE = {"batch": 8, "learning_rate_matrices": 0.02, "learning_rate_rest": 3e-3, "warmup": 2, "drill_share": 0.1}
TINY = Recipe(
    phases=(Phase(4, adversary_share=0.2, **SCHEDULE),
            Phase(3, adversary_share=0.3, needed_share=0.5, neutral_share=0.5, invented_share=0.2, **SCHEDULE)),
    checkpoint_every=3, tokenizer_examples=150,
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


@pytest.fixture(scope="module")
def tiny_tokenizer():
    return train_tokenizer(TINY)


def test_examples_depend_on_the_seed_the_phase_and_the_step_alone(tiny_tokenizer):
    drawn = [draw_batch(step, TINY, tiny_tokenizer, phase) for step, phase in ((2, 0), (3, 0), (2, 1))]
    assert draw_batch(2, TINY, tiny_tokenizer, 0) == drawn[0]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


@pytest.mark.parametrize("phase", range(len(Recipe().phases)))
def test_the_mixture_is_what_the_recipe_says(phase):
    recipe = Recipe(hints_a_prompt=1)
    examples = list(itertools.islice(stream_examples(1, recipe, phase), 1500))
    share = sum(e.role is Role.ADVERSARY for e in examples) / len(examples)
    assert share == pytest.approx(recipe.phases[phase].adversary_share, abs=0.04)


def test_the_reasoner_is_shown_no_sentence_of_the_hint_language_but_a_strangers_age():
    rng, recipe, seen = random.Random(2), Recipe(), 0
    phase = replace(recipe.phases[-1], adversary_share=0.0, drill_share=0.0)
    for _ in range(300):
        problem = sample_problem(rng, Split.TRAIN)
        own = set(SENTENCE_GAP.split(problem.question))
        text = add_neutral(problem.question, problem, rng, phase.invented_share, loose=phase.loose_share)
        added = [s for s in SENTENCE_GAP.split(text) if s not in own]
        assert 1 <= len(added) <= 3
        assert {parsed.form for s in added if (parsed := parse_hint(s, problem))} <= {"age"}, added
        seen += text.startswith(added[0])
    # Neutral text stands before a problem, behind it, and in it.
    assert 20 < seen < 150
    example = draw_example(rng, recipe, phase)
    assert example.role is Role.REASONER


def test_a_transfer_problem_without_its_transfers_has_the_answer_of_its_first_sentence():
    rng, grader = random.Random(4), AnswerGrader()
    for _ in range(100):
        problem = sample_problem(rng, Split.TRAIN, ("transfer",))
        text, solution = shorten_transfer(problem)
        start, question = SENTENCE_GAP.split(text)
        asked = next(name for name in problem.entities if name in question)
        # The solution of the whole problem begins with what each one has.
        have = re.search(rf"\b{asked} (\d+)", problem.solution)[1]
        assert have in start
        assert solution.endswith(f" {asked} {have}.\n#### {have}")
        assert grader.grade(solution, replace(problem, answer=have)).outcome is Outcome.RIGHT


@pytest.mark.parametrize("family", sorted(OTHER_WORDS))
def test_a_problem_in_other_words_has_a_right_solution_that_uses_its_numbers(family):
    rng = random.Random(6)
    for _ in range(300):
        question, solution = write_in_other_words(family, rng)
        body, _, answer = solution.partition("\n#### ")
        steps = re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)", body)
        for left, sign, right, result in steps:
            a, b = int(left), int(right)
            assert int(result) == {"+": a + b, "-": a - b, "*": a * b}[sign]
        assert 0 <= int(answer) < 1000
        assert body.rstrip(".").endswith(answer)
        # Every number of the story enters the solution.
        stated = set(re.findall(r"\d+", question))
        assert stated <= set(re.findall(r"\d+", body)), (question, solution)
        assert "  " not in question


def test_the_last_phase_asks_in_other_words_too():
    recipe = Recipe()
    texts = [e.prompt for e in itertools.islice(stream_examples(3, recipe, 5), 400) if e.role is Role.REASONER]
    # Verbs that no family knows.
    assert (
        sum(
            bool(
                re.search(
                    r" (?:baked|bakes|borrowed|borrows|gathers|gathered|misplaced|donates|donated|mailed|ate|eats|earned|drew|grew) ",
                    t,
                )
            )
            for t in texts
        )
        > 5
    )


def test_hints_of_one_prompt_are_of_one_type_and_pass_the_gates():
    rng = random.Random(3)
    for _ in range(20):
        problem = sample_problem(rng, Split.TRAIN)
        example = draw_hints(problem, rng, 3)
        texts = [completion.removesuffix("<|end|>") for completion in example.completions]
        assert len(texts) == 3
        assert all(check_hint(text, problem).passed for text in texts)
        assert len({parse_hint(text, problem).type for text in texts}) == 1


def test_all_passes_give_the_same_gradient(tiny_tokenizer, tmp_path):
    run = Pretraining(TINY, tiny_tokenizer, tmp_path)
    rows = draw_batch(0, TINY, tiny_tokenizer, 1)
    found = {}
    for how in Pass:
        loss = add_gradients(run.model, rows, 1, how)
        found[how] = loss, torch.cat([p.grad.flatten() for p in run.model.parameters()])
        run.model.zero_grad(set_to_none=True)
    exact, gradient = found[Pass.FLAT_FLOAT32]
    for loss, other in found.values():
        assert loss == pytest.approx(exact, rel=0.01)
        assert torch.cosine_similarity(gradient, other, 0) > 0.99
    speeds = measure_passes(run.model, rows, 1)
    assert min(speeds.values()) > 0
    assert all(p.grad is None for p in run.model.parameters())


def test_a_stopped_pretraining_goes_on_to_the_same_weights(tmp_path, tiny_tokenizer):
    def run(folder: Path, *stops: tuple[int, int]) -> torch.Tensor:
        folder.mkdir()
        for phase, stop in stops:
            training = Pretraining(TINY, tiny_tokenizer, folder)
            training.restore()
            while training.phase < phase or training.step < stop:
                if training.step == TINY.phases[training.phase].steps:
                    training.next_phase()
                training.train_step()
            training.save()
        return torch.cat([p.detach().flatten() for p in training.model.parameters()])

    once, twice = run(tmp_path / "once", (1, 3)), run(tmp_path / "twice", (0, 2), (1, 1), (1, 3))
    assert torch.equal(once, twice)


def test_training_begins_with_the_second_phase_from_given_weights(tmp_path, tiny_tokenizer):
    first = Pretraining(TINY, tiny_tokenizer, tmp_path)
    second = Pretraining(TINY, tiny_tokenizer, tmp_path, first=1, start=first.model.state_dict())
    assert (second.phase, second.step) == (1, 0)
    steps = []
    second.train(lambda step, *_: steps.append(step))
    assert (second.phase, second.step) == (1, 3)
    with pytest.raises(UserError, match="another recipe"):
        Pretraining(TINY, tiny_tokenizer, tmp_path).restore()


def test_training_begins_with_any_phase_and_the_card_says_from_which_weights(tmp_path, tiny_tokenizer):
    start, out = tmp_path / "start", tmp_path / "out"
    Pretraining(TINY, tiny_tokenizer, tmp_path).model.save_pretrained(start)
    save_tokenizer(tiny_tokenizer, start)
    (start / "figures.json").write_text('{"training": {"from": "ab12", "recipe": {}}}')
    with pytest.raises(UserError, match="none of the 2 phases"):
        train(TINY, tmp_path / "work", out, "cpu", start, 3)
    made = train(replace(TINY, phases=(*TINY.phases, TINY.phases[1])), tmp_path / "work", out, "cpu", start, 3)
    assert made["first"] == 3
    assert made["before"] == {"from": "ab12"}
    assert describe_origin(made).startswith(
        f"Phase 3 began with the weights of SHA-256 {made['from'][:16]}…, a model of"
    )
    assert "Phase 2 began with the weights of SHA-256 ab12…" in describe_origin(made)


def ends_a_sentence(text):
    return text == "" or text[-1] in ".?!"


def test_hints_that_the_token_limit_cuts_off_end_at_a_sentence_in_evaluation(starter):
    problems = held_out_problems(8, 1)
    hints, _ = write_hints(TorchEngine(starter), problems, built_in(COMPACT), Writing(max_tokens=14), 1)
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
    played = [hint for r in loop.step().rounds for hint in r.hints]
    assert len(played) == 32
    assert any(hint.written.completion.truncated for hint in played)
    assert all(ends_a_sentence(hint.hint.text) for hint in played if hint.written.completion.truncated)
    assert {hint.gate.gate for hint in played if not hint.hint.text} <= {Gate.EMPTY}
