"""Facts about drafts as JSON."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.services.hint_authoring.draft import (
    Draft,
    DraftHint,
    DraftProblem,
    Origin,
    SolvePlan,
    SolverChoice,
    from_json,
    new_draft,
    replace_hint,
    title_of,
    to_json,
)
from training.core.prompts import Placement
from training.core.types import AnswerKind, HintType
from training.errors import UserError
from training.prompt_files import BUILT_IN, COMPACT, INSTRUCT, built_in

texts = st.text(max_size=30)
all_hints = st.builds(
    DraftHint, id=texts, text=texts, type=st.sampled_from(HintType), origin=st.sampled_from(Origin),
    author=texts, suggested=st.none() | texts,
)  # fmt: skip
choices = st.builds(
    SolverChoice,
    model=texts,
    lora=texts,
    prompts=st.none() | st.sampled_from([built_in(n) for n in BUILT_IN]),
    n_ctx=st.integers(0, 9999),
)
drafts = st.builds(
    Draft, id=texts, title=texts,
    problem=st.builds(DraftProblem, question=texts, answer=texts, kind=st.sampled_from(AnswerKind), solution=texts),
    type=st.sampled_from(HintType), placement=st.sampled_from(Placement),
    hints=st.lists(all_hints, max_size=3).map(tuple), chosen=texts, solver=choices, adversary=choices,
    plan=st.builds(SolvePlan, samples=st.integers(1, 256), temperature=st.floats(0, 100)),
)  # fmt: skip


@given(drafts)
def test_a_draft_comes_back_from_json_as_it_was(draft):
    assert from_json(to_json(draft)) == draft


def test_unknown_fields_are_skipped_and_missing_ones_filled_in():
    data = json.loads(to_json(new_draft(DraftProblem("Q?", "1"))))
    data["colour"] = "blue"
    data["problem"]["mood"] = [1]
    del data["plan"], data["placement"]
    draft = from_json(json.dumps(data))
    assert draft.plan == SolvePlan()
    assert draft.problem.question == "Q?"


def test_hints_are_saved_under_the_key_of_version_0_1_and_read_under_both():
    draft = replace_hint(new_draft(), DraftHint("a", "One.", HintType.CORRELATION_TRAP, Origin.HAND))
    data = json.loads(to_json(draft))
    assert len(data["candidates"]) == 1
    data["hints"] = data.pop("candidates")
    assert from_json(json.dumps(data)) == draft


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not JSON"), ("[]", "no JSON object"), ("{}", "version"), ('{"v": true}', "version"),
        ('{"v": 99, "id": "a"}', "newer"), ('{"v": 1}', "required field `id`"),
        ('{"v": 1, "id": "a", "type": "rude"}', "rude"), ('{"v": 1, "id": "a", "candidates": [3]}', "hints"),
        ("[" * 9000, "damaged"),
    ],
)  # fmt: skip
def test_a_damaged_draft_is_refused_in_words(text, word):
    with pytest.raises(UserError, match=word):
        from_json(text)


@given(
    st.dictionaries(
        st.sampled_from(["v", "id", "problem", "candidates", "plan", "type"]), st.none() | st.integers() | texts
    )
)
def test_whatever_json_comes_is_a_draft_or_a_user_error(data):
    with contextlib.suppress(UserError):
        assert isinstance(from_json(json.dumps(data)), Draft)


def test_a_hint_is_replaced_in_its_place_and_a_new_one_added_at_the_end():
    a, b = (DraftHint(i, i, HintType.CORRELATION_TRAP, Origin.HAND) for i in "ab")
    draft = replace_hint(replace_hint(new_draft(), a), b)
    changed = DraftHint("a", "new", HintType.CORRELATION_TRAP, Origin.HAND)
    assert replace_hint(draft, changed).hints == (changed, b)


def test_a_draft_without_a_title_is_called_by_its_question():
    assert title_of(new_draft()) == "Untitled"
    assert title_of(new_draft(DraftProblem("word " * 40))) == ("word " * 12)[:59].rstrip() + "…"


def test_a_draft_of_version_01_keeps_its_style_as_a_whole_profile():
    text = json.dumps({"v": 1, "id": "a", "solver": {"model": "/m.gguf", "style": "instruct"},
                       "adversary": {"style": "compact"}})  # fmt: skip
    draft = from_json(text)
    assert (draft.solver.prompts, draft.adversary.prompts) == (built_in(INSTRUCT), built_in(COMPACT))
    assert from_json(to_json(draft)) == draft
    assert from_json('{"v": 1, "id": "a", "solver": {"style": null}}').solver.prompts is None
