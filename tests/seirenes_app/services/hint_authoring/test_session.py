"""Facts about a crafting session: its saving, and its results under undo."""

import dataclasses
import hashlib
import json
import sqlite3

import pytest

from seirenes_app.inference.protocol import Finish
from seirenes_app.services.hint_authoring.draft import (
    DraftHint,
    DraftProblem,
    Origin,
    SolvePlan,
    SolverChoice,
    from_json,
    new_draft,
    replace_hint,
    to_json,
)
from seirenes_app.services.hint_authoring.results import (
    ConditionResult,
    SolvedSample,
    SolveResult,
    _stamp,
    rank,
    result_from_json,
    result_to_json,
    solve_key,
)
from seirenes_app.services.hint_authoring.session import (
    LONGEST_S,
    QUIET_S,
    RETRY_S,
    CraftSession,
    latest_session,
    open_session,
)
from seirenes_app.store.workspace import CraftStore, Workspace
from training.core.types import Condition, HintType, Outcome
from training.errors import UserError
from training.prompt_files import COMPACT, INSTRUCT, NEUTRAL, built_in

PROBLEM = DraftProblem("Tom has 5 apples. He buys 7. How many has Tom?", "12")
A, B = (DraftHint(i, f"Text {i}.", HintType.SEMANTIC_MISLEADING, Origin.HAND, suggested="20") for i in "ab")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "workspace.db")
    yield made
    made.close()


@pytest.fixture
def store(workspace):
    return CraftStore(workspace)


@pytest.fixture
def session(store):
    return CraftSession(store, new_draft(PROBLEM), Clock())


def retitle(title):
    return lambda draft: dataclasses.replace(draft, title=title)


def solved(draft, hint, right_clean=4, right_hinted=1, n=4):
    def sample(condition, index, right):
        outcome = Outcome.RIGHT if right else Outcome.WRONG
        return SolvedSample(condition, index, "… #### 20", outcome, "20", not right, Finish.STOP, 3, -0.5)

    conditions = {
        c: ConditionResult(c, f"{c} text", tuple(sample(c, i, i < right) for i in range(n)), n)
        for c, right in ((Condition.CLEAN, right_clean), (Condition.HINTED, right_hinted))
    }
    return SolveResult(solve_key(draft, hint), conditions, 1.5, True, False)


def test_a_save_waits_for_quiet_but_not_for_ever(session, store):
    clock = session._clock
    session.edit(retitle("a"), "Type", "t")
    assert not session.save_if_due()
    clock.now = QUIET_S
    assert session.save_if_due()
    assert open_session(store, session.draft.id).draft.title == "a"
    assert not session.save_if_due()
    session.edit(retitle("b"), "Type", "t")
    while clock.now < QUIET_S + LONGEST_S:
        clock.now += 0.5
        session.edit(retitle(f"b{clock.now}"), "Type", "t")
    assert session.save_if_due()


def test_a_failed_save_is_told_and_tried_again_later(session, workspace, store):
    workspace.database.conn.execute("pragma busy_timeout = 20")
    session.edit(retitle("a"), "Type")
    other = sqlite3.connect(workspace.path, isolation_level=None)
    other.execute("begin exclusive")
    with pytest.raises(UserError, match="not saved"):
        session.save_if_due(now=1.0)
    assert session.unsaved
    assert not session.save_if_due(now=2.0)
    other.close()
    assert session.save_if_due(now=1.0 + RETRY_S)
    assert store.drafts()[0].title == "a"


def test_an_untouched_draft_is_not_saved(session, store):
    session.flush()
    assert store.drafts() == ()


def test_undoing_a_change_shows_the_results_from_before_it(session):
    session.edit(lambda d: replace_hint(d, A), "Add")
    session.put_result(solved(session.draft, A))
    before = session.result_of(A)
    changed = dataclasses.replace(A, text="Another text.")
    session.edit(lambda d: replace_hint(d, changed), "Type the hint")
    assert session.result_of(session.draft.hints[0]) is None
    session.undo()
    assert session.result_of(session.draft.hints[0]) == before
    session.redo()
    assert session.draft.hints[0].text == "Another text."


def test_after_a_crash_draft_and_results_are_there(session, store):
    session.edit(lambda d: replace_hint(d, A), "Add")
    result = solved(session.draft, A)
    session.put_result(result)
    session.flush()
    again = latest_session(store)
    assert again.draft == session.draft
    assert again.result_of(A) == result
    assert not again.can_undo
    assert again.known_conditions() == {Condition.CLEAN: result.conditions[Condition.CLEAN]}


def test_a_plan_of_an_older_version_keeps_its_results(session):
    """Needed text came later: results of a plan without it are found under the key that they were saved with."""
    draft = dataclasses.replace(session.draft, plan=SolvePlan(samples=4))
    old = json.loads(to_json(draft))
    del old["plan"]["needed"]
    assert solve_key(from_json(json.dumps(old)), A) == solve_key(draft, A)
    assert solve_key(dataclasses.replace(draft, plan=SolvePlan(samples=4, needed=True)), A) != solve_key(draft, A)


def test_a_title_changes_no_key_and_a_plan_does(session):
    key = solve_key(session.draft, A)
    session.edit(retitle("new"), "Type")
    assert solve_key(session.draft, A) == key
    session.edit(lambda d: dataclasses.replace(d, plan=dataclasses.replace(d.plan, seed=3)), "Seed")
    assert solve_key(session.draft, A) != key


def test_a_model_file_written_anew_gives_new_keys(tmp_path):
    model = tmp_path / "m.gguf"
    model.write_bytes(b"one")
    draft = new_draft(PROBLEM)
    draft = dataclasses.replace(draft, solver=dataclasses.replace(draft.solver, model=str(model)))
    key = solve_key(draft, A)
    model.write_bytes(b"other")
    assert solve_key(draft, A) != key


def test_the_worst_hint_comes_first(session):
    for hint in (A, B):
        session.edit(lambda d, c=hint: replace_hint(d, c), "Add")
    assert rank({"a": solved(session.draft, A, right_hinted=3), "b": solved(session.draft, B, right_hinted=0)}) == [
        "b",
        "a",
    ]


def test_a_damaged_draft_is_named_and_the_others_still_open(session, store):
    session.edit(retitle("sound"), "Type")
    session.flush()
    store.save("x", "The broken one", "{", now=1e12)
    with pytest.raises(UserError, match="The broken one"):
        open_session(store, "x")
    assert latest_session(store).draft.title == "sound"


def test_a_damaged_result_is_as_none(session, store):
    store.put_result(session.draft.id, solve_key(session.draft, A), '{"v": 1, "key": 3}')
    assert session.result_of(A) is None


def test_listeners_hear_of_every_change_until_they_leave(session):
    heard = []
    leave = session.subscribe(lambda draft: heard.append(draft.title))
    session.edit(retitle("a"), "Type")
    session.undo()
    session.undo()
    leave()
    session.redo()
    assert heard == ["a", ""]


def test_a_result_comes_back_from_json_with_its_figures():
    result = solved(new_draft(PROBLEM), A)
    assert result.drop.mean == 0.75
    assert result.follow_rate == 0.75
    assert result_from_json(result_to_json(result)) == result


def test_a_result_is_read_under_the_keys_of_version_0_1():
    result = solved(new_draft(PROBLEM), A)
    data = json.loads(result_to_json(result))
    data["arms"] = [
        {"arm": c["condition"], "right": 1, "accuracy": 0.5, "low": 0.1, "high": 0.9}
        | {key: value for key, value in c.items() if key != "condition"}
        | {"samples": [{"arm": s.pop("condition"), **s} for s in c["samples"]]}
        for c in data.pop("conditions")
    ]
    assert result_from_json(json.dumps(data)) == result


def test_a_draft_that_another_window_saved_meanwhile_goes_on_as_a_copy(session, store):
    session.edit(retitle("ours"), "Type")
    session.flush()
    session.put_result(solved(session.draft, None))
    shared = session.draft.id
    other = open_session(store, shared)
    other.edit(retitle("theirs"), "Type")
    other.flush()
    heard = []
    session.subscribe(heard.append)
    session.edit(lambda d: replace_hint(d, A), "Add")
    session.flush()
    assert open_session(store, shared).draft.title == "theirs"
    copy = open_session(store, session.draft.id)
    assert copy.draft == session.draft == heard[-1]
    assert copy.draft.id != shared
    assert copy.draft.title == "ours (copy)"
    assert copy.draft.hints == (A,)
    assert copy.result_of(None) == session.result_of(None) is not None
    session.undo()
    assert session.draft.id == copy.draft.id
    session.flush()
    other.edit(retitle("theirs again"), "Type")
    other.flush()
    assert len(store.drafts()) == 2


def test_a_draft_that_another_window_deleted_is_saved_again(session, store):
    session.edit(retitle("ours"), "Type")
    session.flush()
    store.delete(session.draft.id)
    session.edit(retitle("still ours"), "Type")
    session.flush()
    assert open_session(store, session.draft.id).draft.title == "still ours"


def test_results_of_version_01_are_found_where_the_prompt_is_still_the_same():
    """The key held the style: null, "compact" or "instruct"."""
    draft = dataclasses.replace(new_draft(), id="a")

    def key(model="", prompts=None):
        return solve_key(dataclasses.replace(draft, solver=SolverChoice(model, prompts=prompts)), None)

    def old_key(model, style):
        p, stamps = draft.problem, _stamp(SolverChoice(model))
        content = [p.question, p.answer, p.kind, None, stamps, style, 0, dataclasses.astuple(draft.plan)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]

    assert key() == old_key("", None)
    assert key(prompts=built_in(COMPACT)) == old_key("", "compact")
    assert key("/m.gguf", built_in(INSTRUCT)) == old_key("/m.gguf", "instruct")
    # By the model a foreign one was asked with other instructions than today.
    assert key("/m.gguf") != old_key("/m.gguf", None)
    edited = dataclasses.replace(built_in(NEUTRAL), max_hint_characters=99)
    assert len({key(prompts=p) for p in (None, built_in(COMPACT), built_in(NEUTRAL), edited)}) == 4
