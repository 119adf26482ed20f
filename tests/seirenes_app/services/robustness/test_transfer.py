"""What is said of hints on several models: the loss beyond the placebo's, hint by hint, and whether models agree."""

import csv
import io

import pytest
from helpers.evals import fill, small_plan

from seirenes_app.services.robustness.sources import open_source
from seirenes_app.services.robustness.transfer import (
    describe_hint,
    hint_table,
    long_table,
    loss_chart,
    model_table,
    transfers,
)
from training.core.types import Condition, HintType

WEAK = HintType.SEMANTIC_MISLEADING
WRONG = "-7"


def transfer(folder, rule, **options):
    options = {"targets": ("a", "b"), "problems": 24} | options
    paths = fill(folder, small_plan(**options), rule)
    found = transfers(open_source(paths.root))
    return found[0] if found else None


def one_type(key, problem):
    """Model a falls for one type, on five problems of six; model b for nothing."""
    fooled = key.condition is Condition.HINTED and key.item % 6 and key.index == list(HintType).index(WEAK)
    return WRONG if key.target == "a" and fooled else problem.answer


def test_a_loss_is_beyond_the_placebo_and_by_type(tmp_path):
    found = transfer(tmp_path, one_type)
    a, b = found.models
    assert a.loss.value.mean == pytest.approx(0.25 * 5 / 6)
    assert a.loss.clear
    assert a.loss.pairs == 96
    assert {t: loss.value.mean for t, loss in a.by_type.items()} == {t: (t is WEAK) * 20 / 24 for t in HintType}
    assert [t for t, loss in a.by_type.items() if loss.clear] == [WEAK]
    assert b.loss.value.mean == 0
    assert not b.loss.clear
    assert "a: the hints cost +21 points" in found.sentences[0]
    assert "clear for semantic misleading" in found.sentences[0]
    assert found.sentences[1].startswith("b: no loss beyond the placebo's")


def test_what_neutral_text_does_too_is_no_loss(tmp_path):
    def rule(key, problem):
        return WRONG if key.condition in (Condition.HINTED, Condition.PLACEBO) else problem.answer

    found = transfer(tmp_path, rule)
    assert all(m.gap.mean == 1 and m.loss.value.mean == 0 and not m.loss.clear for m in found.models)


def test_one_answer_a_hint_says_nothing_of_a_single_hint(tmp_path):
    found = transfer(tmp_path, one_type)
    assert len(found.hints) == 96
    assert all(h.harmed == 0 for h in found.hints)
    assert found.hints[0].hint_type is WEAK
    assert any("No single hint can be called harmful with 1 answer a prompt" in s for s in found.sentences)


def test_enough_answers_show_which_hints_transfer(tmp_path):
    def rule(key, problem):
        fooled = key.condition is Condition.HINTED and key.item == 0
        both, alone = fooled and key.index == 0, fooled and key.index == 1 and key.target == "a"
        return WRONG if both or alone else problem.answer

    found = transfer(tmp_path, rule, problems=3, samples=12, temperature=1.0)
    assert [h.harmed for h in found.hints][:3] == [2, 1, 0]
    assert any("1 harm two models or more and 1 one alone" in s for s in found.sentences)
    assert any("agree on which hints harm" in s for s in found.sentences)
    assert describe_hint(found, found.hints[0])[1].endswith("clear.")


def test_the_same_loss_everywhere_has_no_rank_correlation(tmp_path):
    found = transfer(tmp_path, lambda key, problem: problem.answer)
    assert [a.value for a in found.agreements] == [None]


def test_of_a_model_that_cannot_be_read_nothing_is_said(tmp_path):
    def rule(key, problem):
        return None if key.target == "b" and key.item % 5 else one_type(key, problem)

    found = transfer(tmp_path, rule)
    a, b = found.models
    assert a.loss is not None
    assert b.loss is None
    assert not b.by_type
    assert all(h.losses[1] is None for h in found.hints)
    assert any(s.startswith("b: nothing can be said.") and "79% of hinted" in s for s in found.sentences)
    assert any("unreadable" in w for w in found.warnings)


def test_without_placebos_nothing_is_said(tmp_path):
    found = transfer(tmp_path, one_type, conditions=(Condition.CLEAN, Condition.HINTED))
    assert all(m.loss is None and "no placebo" in m.withheld for m in found.models)
    assert found.hints == ()
    assert loss_chart(found) is None


def test_one_model_alone_is_no_transfer(tmp_path):
    assert transfer(tmp_path, one_type, targets=("a",)) is None


def test_tables_have_every_model_and_hint(tmp_path):
    found = transfer(tmp_path, one_type, problems=4)
    assert [row[0] for row in model_table(found).rows] == ["a", "b"]
    shown = hint_table(found)
    assert shown.columns[3:5] == ("a", "b")
    assert len(shown.rows) == 16
    rows = list(csv.DictReader(io.StringIO(long_table(found).csv())))
    assert sum(r["figure"] == "loss of a hint" for r in rows) == 32
    assert {r["of"] for r in rows if r["figure"] == "accuracy"} == {str(c) for c in Condition}
    chart = loss_chart(found)
    assert [text for _, text in chart.ticks] == ["a", "b"]
    assert [s.label for s in chart.keyed] == ["all hints", *(t.replace("_", " ") for t in HintType)]
