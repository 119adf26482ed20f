import json
from collections import Counter
from dataclasses import replace

import pytest
from helpers.evals import small_plan
from hypothesis import given
from hypothesis import strategies as st

from training.core.prompts import Placement
from training.core.types import Condition
from training.errors import UserError
from training.evaluation.plan import (
    EvalPlan,
    SuiteRef,
    Target,
    TargetKind,
    Writing,
    chunk_items_for,
    chunk_seed,
    chunks,
    plan_from_json,
    plan_to_json,
)
from training.prompt_files import BUILT_IN, INSTRUCT, built_in

names = st.text(min_size=1, max_size=8)
suites = st.builds(
    SuiteRef, name=names, source=names, digest=names, problems=st.integers(1, 90),
    placement=st.sampled_from(Placement), conditions=st.lists(st.sampled_from(Condition), unique=True).map(tuple),
)  # fmt: skip
targets = st.builds(
    Target, name=names, path=names, kind=st.sampled_from(TargetKind), prompts=st.sampled_from([built_in(n) for n in (*BUILT_IN, INSTRUCT)]),
    run=names, step=st.none() | st.integers(0, 99), fingerprint=names,
)  # fmt: skip
plans = st.builds(
    EvalPlan,
    targets=st.lists(targets, min_size=1, max_size=3, unique_by=lambda t: t.name).map(tuple),
    suites=st.lists(suites, min_size=1, max_size=3, unique_by=lambda s: s.name).map(tuple),
    samples=st.integers(1, 64), temperature=st.floats(0.1, 2), seed=st.integers(), chunk_items=st.integers(1, 50),
    title=st.text(), writing=st.none() | st.just(Writing()),
)  # fmt: skip


@given(plans)
def test_a_plan_survives_its_json(plan):
    assert plan_from_json(plan_to_json(plan), "plan.json") == plan


@given(plans)
def test_chunks_cover_every_item_once_and_have_names_of_their_own(plan):
    found = chunks(plan)
    assert len({c.key for c in found}) == len(found)
    covered = Counter((c.target, c.suite, c.condition, i) for c in found for i in range(c.start, c.stop))
    wanted = {
        (t.name, s.name, condition, i)
        for t in plan.targets for s in plan.suites for condition in plan.conditions_of(s) for i in range(s.problems)
    }  # fmt: skip
    assert covered == Counter(wanted)
    assert all(c.stop - c.start <= plan.chunk_items for c in found)


def test_all_targets_draw_with_the_same_numbers_and_no_two_chunks_of_one_do():
    plan = small_plan(problems=9, targets=("a", "b"))
    seeds = {c.key: chunk_seed(plan, c) for c in chunks(plan)}
    by_target = [[seeds[c.key] for c in chunks(plan) if c.target == name] for name in ("a", "b")]
    assert by_target[0] == by_target[1]
    assert len(set(by_target[0])) == len(by_target[0])
    other = replace(plan, seed=plan.seed + 1)
    assert not set(by_target[0]) & {chunk_seed(other, c) for c in chunks(other)}


@given(st.text(max_size=60) | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps))
def test_any_text_that_is_no_plan_is_a_user_error_with_its_place(text):
    with pytest.raises(UserError, match=r"here/plan\.json"):
        plan_from_json(text, "here/plan.json")


def test_a_damaged_plan_names_the_field_and_the_remedy():
    data = json.loads(plan_to_json(small_plan()))
    data["targets"][0]["kind"] = "abacus"
    with pytest.raises(UserError, match=r"p is damaged .*'abacus' - at `\$\.targets.*start a new evaluation"):
        plan_from_json(json.dumps(data), "p")


def test_a_newer_plan_is_refused_and_unknown_fields_are_passed_over():
    data = json.loads(plan_to_json(small_plan()))
    assert plan_from_json(json.dumps({**data, "later": 1}), "p") == small_plan()
    with pytest.raises(UserError, match="format 9"):
        plan_from_json(json.dumps({**data, "format": 9}), "p")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"targets": ()}, "no target"),
        ({"suites": ()}, "no suite"),
        ({"conditions": ()}, "no condition"),
        ({"samples": 65}, "1 to 64"),
        ({"samples": 4}, "temperature above 0"),
        ({"targets": (Target("a", "x"), Target("a", "y"))}, "two targets are called 'a'"),
        ({"writers": (Target("a", "x"),)}, "two models are called 'a'"),
        ({"suites": (SuiteRef("s", "suites/0", "", 5, writer="nobody"),), "writing": Writing()}, "nobody is called"),
        ({"suites": (SuiteRef("s", "suites/0", "", 5, writer="a"),)}, "does not say how"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_done_says_why(change, words):
    with pytest.raises(UserError, match=words):
        replace(small_plan(), **change)


def test_chunks_hold_about_as_many_rows_whatever_the_samples():
    assert [chunk_items_for(n) for n in (1, 4, 64)] == [32, 8, 1]
