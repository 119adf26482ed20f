"""Facts about the analysis of a run's hints, on runs whose truth is known and on the recorded one."""

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from helpers.hint_worlds import make_tables, problem, sentence
from hypothesis import given
from hypothesis import strategies as st

from training.core.hint_language import parse_hint, write_hint
from training.core.problems import problem_stream
from training.core.types import HintType, Split
from training.evaluation import hint_analysis
from training.evaluation.hint_analysis import Change, analyse_hints, analyse_tables, fit_beta
from training.evaluation.hint_features import describe_hint, stored_problem
from training.rollouts.database import RolloutWriter
from training.rollouts.reader import Cancelled, HintTables, NoRollouts, WrittenHint

RECORDED = Path(__file__).resolve().parents[3] / "resources" / "recorded" / "rollouts.db"
PLANTED = ("thing", "own")
SEEDS = 20


@pytest.fixture(scope="module")
def planted():
    return [analyse_tables(make_tables(seed)) for seed in range(SEEDS)]


def clear(found):
    return {(e.feature, e.value) for e in found.model.clear}


# ---------------------------------------------------------------------- what succeeds


def test_the_planted_feature_is_found_on_held_out_hints(planted):
    found = [{(e.feature, e.value): e for e in a.model.effects} for a in planted]
    assert sum(PLANTED in clear(a) or ("thing", "other") in clear(a) for a in planted) == SEEDS
    # Own and another thing are two names of one difference.
    sizes = [e[PLANTED].interval.mean if PLANTED in e else -e["thing", "other"].interval.mean for e in found]
    assert abs(np.mean(sizes) - 1.5) < 0.35
    with_own = [e[PLANTED] for e in found if PLANTED in e]
    assert all(e.wrong_with > e.wrong_without for e in with_own)


def test_features_without_effect_are_named_no_more_often_than_the_level_allows(planted):
    """Simultaneous 95% intervals: of 20 runs one may name such a feature, and by chance three."""
    truth = {PLANTED, ("thing", "other")}
    assert sum(bool(clear(a) - truth) for a in planted) <= 3


def test_where_nothing_matters_nothing_is_named():
    found = [analyse_tables(make_tables(seed, effect=0.0)) for seed in range(SEEDS)]
    assert sum(bool(clear(a)) for a in found) <= 3
    assert all(a.model.quality.gain.low <= 0.02 for a in found)


def test_held_out_quality_is_above_that_of_problem_and_step_alone(planted):
    assert all(a.model.quality.gain.low > 0 for a in planted)
    assert all(a.model.quality.auc.low <= a.model.quality.auc.mean <= a.model.quality.auc.high <= 1 for a in planted)


def test_few_hints_or_problems_make_no_model():
    assert analyse_tables(make_tables(0, steps=3, per_step=10)).model is None
    assert analyse_tables(make_tables(0, problems=8)).model is None


# ---------------------------------------------------------------------- what is written, and what changed


def test_a_form_that_grows_is_seen_to_grow():
    a = analyse_tables(make_tables(1, form_trend=0.4))
    thing = next(f for f in a.frequencies if f.feature == "thing")
    own = thing.shares[thing.values.index("own")]
    assert own[-1] > own[0] + 0.4
    assert all(abs(sum(column) - 1) < 1e-9 for column in zip(*thing.shares, strict=True))


def test_the_drop_of_a_reasoner_that_learns_falls_and_of_one_that_does_not_stays():
    learns = analyse_tables(make_tables(2, trend=-2.5))
    assert learns.drop.change is Change.FELL
    still = [analyse_tables(make_tables(seed)).drop.change for seed in range(5)]
    assert still.count(Change.NO_CHANGE) >= 4


def test_replayed_hints_of_an_unchanged_reasoner_show_no_change():
    """They are replayed because they succeeded, which alone makes their later success lower."""
    found = [analyse_tables(make_tables(seed, replays=6, spread=0.4)).replays for seed in range(8)]
    assert all(c.hints > 50 for c in found)
    assert [c.outcome.change for c in found].count(Change.NO_CHANGE) >= 7
    assert abs(np.mean([c.outcome.second - c.outcome.first for c in found])) < 0.025


def test_replayed_hints_show_what_the_reasoner_stopped_falling_for():
    analysis = analyse_tables(make_tables(3, replays=6, trend=-3.0))
    found = analysis.replays
    by = {(r.feature, r.value): r.check for r in analysis.replays_by}
    assert by[PLANTED].outcome.change is Change.FELL
    assert by[PLANTED].hints < found.hints
    assert found.outcome.change is Change.FELL
    assert found.steps_between > 1


def test_the_same_hints_give_the_same_analysis():
    assert analyse_tables(make_tables(4, steps=8)) == analyse_tables(make_tables(4, steps=8))


# ---------------------------------------------------------------------- real and odd databases


def test_the_recorded_run_is_analysed():
    a = analyse_hints(RECORDED)
    assert a.hints + a.refused == a.written
    assert a.solutions > 1000
    assert {f.feature for f in a.frequencies} >= {"form", "type", "number", "subject", "thing", "frame", "cue"}
    assert all(c.examples and c.hints for c in a.clusters)
    effects = a.model.effects if a.model is not None else ()
    assert all(e.clear is False for e in effects if e.interval.low <= 0 <= e.interval.high)


def test_a_run_without_hints_and_an_empty_database_have_nothing_to_analyse(tmp_path):
    path = tmp_path / "rollouts.db"
    RolloutWriter(path).close()
    a = analyse_hints(path)
    assert (a.hints, a.clusters, a.model) == (0, (), None)
    with pytest.raises(NoRollouts):
        analyse_hints(tmp_path / "none.db")


def test_one_step_has_nothing_to_compare():
    a = analyse_tables(make_tables(5, steps=1, per_step=60))
    assert a.drop.change is Change.TOO_FEW
    assert all(c.share.change is Change.TOO_FEW for c in a.clusters)


def test_it_can_be_cancelled():
    with pytest.raises(Cancelled):
        analyse_tables(make_tables(6, steps=4), cancelled=lambda: True)


def test_very_many_hints_are_thinned_out_evenly(monkeypatch):
    monkeypatch.setattr(hint_analysis, "MAX_HINTS", 200)
    a = analyse_tables(make_tables(7))
    assert (a.hints, a.analysed) == (24 * 24, 200)
    assert len(a.frequencies[0].steps) == 24
    assert min(a.frequencies[0].hints) > 0


# ---------------------------------------------------------------------- features of one hint


def features(text, i=0, type_=HintType.SEMANTIC_MISLEADING):
    return describe_hint(text, type_, stored_problem("p", *problem(i))).values


def test_text_outside_the_language_is_described_by_plain_rules():
    _family, question, gold = problem(0)
    own = question.split()[0]
    values = features(f"Maybe {own} wrote {int(gold) + 3}? Add the first number.")
    assert values["subject"] == ("own",)
    assert values["number"] == ("near_answer",)
    assert "maybe" in values["cue"]
    assert values["style"] == ("question", "order")
    assert values["operation"] == ("add",)
    assert values["target"] == ("first",)
    assert features("It rained.")["number"] == ("none",)
    assert features("In a dream there were 20 birds.")["frame"] == ("story",)


def test_a_hint_of_the_language_is_described_by_its_parse():
    rng, stream = random.Random(3), problem_stream(3, Split.TRAIN)
    for _ in range(25):
        p = next(stream)
        for type_ in HintType:
            written = write_hint(p, type_, rng)
            found = describe_hint(written.text, type_, stored_problem(p.id, p.family, p.question, p.answer))
            assert found.parsed
            assert all(s.form for s in found.sentences)
            parsed = parse_hint(written.text, p)
            frames = {c.frame for c in parsed.clauses if c.frame}
            assert set(found.values["frame"]) == (frames or {"none"})


@given(st.text(max_size=300))
def test_any_text_is_described(text):
    found = describe_hint(text, "", stored_problem("p", *problem(1)))
    assert len(found.sentences) <= 4
    assert set(found.values) >= {"subject", "number", "length"}


def test_sentences_of_one_shape_are_one_cluster_and_unlike_ones_are_not():
    problems = {"p0": problem(0)}
    texts = [f"{name} juggled {n} lamps in the garden." for name, n in (("Mei", 3), ("Omar", 77), ("Chen", 12))]
    texts += ["Whoever reads this ought to ponder the largest number here."] * 2
    written = tuple(WrittenHint(1, str(i), "p0", "x", text, "") for i, text in enumerate(texts))
    a = analyse_tables(HintTables(written, (), problems))
    assert [c.hints for c in a.clusters] == [3, 2]
    assert a.clusters[0].shape == "NAME juggled # THING in the garden."


def test_a_beta_prior_is_recovered_from_its_counts():
    rng = np.random.default_rng(0)
    shares = rng.beta(2, 6, size=4000)
    mean, weight = fit_beta([(int(rng.binomial(4, p)), 4) for p in shares])
    assert abs(mean - 0.25) < 0.02
    assert 6 < weight < 10.5
    assert fit_beta([(1, 4)] * 50)[1] == float("inf")


def test_the_planted_sentence_names_what_it_says():
    question = problem(3)[1]
    own = dataclasses.replace(stored_problem("p", *problem(3)))
    assert describe_hint(sentence(random.Random(1), question, own_thing=True), "", own).values["thing"] == ("own",)
    assert describe_hint(sentence(random.Random(1), question, own_thing=False), "", own).values["thing"] == ("other",)
