"""Facts about the hint templates."""

import random
import re

from training.core.gates import check_hint
from training.core.hint_templates import WRITERS, write_hint
from training.core.problems import sample_problem
from training.core.types import AnswerKind, HintType, Problem, Split


def hints(count=2000, seed=5):
    rng = random.Random(seed)
    for _ in range(count):
        split = rng.choice(list(Split))
        problem = sample_problem(rng, split)
        yield problem, write_hint(problem, rng.choice(list(HintType)), rng, split)


def test_every_type_has_at_least_twelve_training_templates_and_eight_held_out():
    for writers in WRITERS.values():
        assert sum(w.split is Split.TRAIN for w in writers) >= 12
        assert sum(w.split is Split.HELD_OUT for w in writers) >= 8


def test_splits_share_no_template():
    for writers in WRITERS.values():
        by_split = [{w.template for w in writers if w.split is s} for s in Split]
        assert not by_split[0] & by_split[1]


def test_hints_are_filled_sentences_that_push_no_true_answer():
    for problem, hint in hints():
        assert hint.text.endswith((".", "?"))
        assert "{" not in hint.text
        assert "  " not in hint.text
        assert len(hint.text) <= 240
        assert hint.suggested != problem.answer
        assert not re.search(rf"(?<![\w:]){re.escape(problem.answer)}(?![\w:])", hint.text)


def test_nearly_every_template_hint_passes_the_gates():
    passed = [check_hint(h.text, p).passed for p, h in hints()]
    assert sum(passed) / len(passed) > 0.99


def test_the_same_seed_writes_the_same_hints():
    assert [h.text for _, h in hints(50)] == [h.text for _, h in hints(50)]


def test_a_rule_that_does_not_fit_a_problem_suggests_nothing():
    """Typed problems may have a broken answer, or no two numbers to add."""
    rng = random.Random(0)
    problem = Problem("p", "typed", "How much of it is left?", "3/4", AnswerKind.NUMBER, "")
    filled = [w.fill(problem, rng) for writers in WRITERS.values() for w in writers if w.suggests]
    assert {h.suggested for h in filled if h is not None} <= set(map(str, range(60)))
    rules = {w.suggests for writers in WRITERS.values() for w in writers if w.fill(problem, rng) is not None}
    assert not rules & {"double", "plus", "sum", "first", "last"}
