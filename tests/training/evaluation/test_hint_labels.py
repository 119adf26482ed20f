"""The labelled hints that ship, and a judge's agreement with them."""

import pytest

from training.core.validity import EXAMPLES, Ruling
from training.evaluation.hint_labels import (
    PARTS,
    false_pass_rate,
    judged_hints,
    labelled_hints,
    labels_version,
    measure_agreement,
)


def test_a_judge_is_measured_on_at_least_four_hundred_hints_of_both_labels_and_never_on_its_examples():
    hints = judged_hints()
    assert len(hints) >= 400
    assert 0.4 < sum(h.valid for h in hints) / len(hints) < 0.6
    everything = [h for part in PARTS for h in labelled_hints(part)]
    for example in EXAMPLES:
        assert all(example.hint != h.text and example.question != h.problem.question for h in everything)
    assert len(labels_version()) == 8


def test_a_part_of_them_has_both_labels_in_equal_number_and_many_problems():
    some = judged_hints(60)
    assert (len(some), sum(h.valid for h in some)) == (60, 30)
    assert len({h.place for h in some}) == 60
    assert len({h.problem.question for h in some}) > 30


def test_agreement_counts_abstention_as_refusal():
    labels = [True] * 6 + [False] * 4
    rulings = (
        [Ruling.KEPT] * 4 + [Ruling.CHANGED, Ruling.UNDECIDED] + [Ruling.CHANGED] * 2 + [Ruling.UNDECIDED, Ruling.KEPT]
    )
    found = measure_agreement(labels, rulings, [str(i) for i in range(10)], seconds=5.0)
    assert found.recall.mean == pytest.approx(3 / 4)
    assert found.precision.mean == pytest.approx(3 / 5)
    assert found.abstained == pytest.approx(0.2)
    assert found.agreement == pytest.approx(0.7)
    assert found.kappa == pytest.approx((0.7 - 0.5) / 0.5)
    assert found.seconds == pytest.approx(0.5)
    assert not found.useful


def test_a_judge_that_is_right_about_enough_hints_is_useful_and_one_that_refuses_all_is_not():
    labels = [True, False] * 60
    right = [Ruling.KEPT if valid else Ruling.CHANGED for valid in labels]
    problems = [str(i) for i in range(120)]
    assert measure_agreement(labels, right, problems, 1.0).useful
    refuses = measure_agreement(labels, [Ruling.UNDECIDED] * 120, problems, 1.0)
    assert (refuses.recall.mean, refuses.precision.mean, refuses.kappa) == (1.0, 0.5, 0.0)
    assert not refuses.useful


def test_the_false_pass_rate_leaves_out_what_was_not_decided():
    rulings = [(Ruling.KEPT, "a"), (Ruling.CHANGED, "b"), (Ruling.UNDECIDED, "c"), (Ruling.KEPT, "d")]
    rate, decided = false_pass_rate(rulings)
    assert (round(rate.mean, 3), decided) == (0.333, 3)
    assert false_pass_rate([])[1] == 0
