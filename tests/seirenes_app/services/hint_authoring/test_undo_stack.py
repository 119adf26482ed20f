"""Facts about undo and redo."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.services.hint_authoring import session
from seirenes_app.services.hint_authoring.draft import new_draft
from seirenes_app.services.hint_authoring.session import UndoStack


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def titled(draft, title):
    return dataclasses.replace(draft, title=title)


def test_typing_is_one_change_until_a_second_passes():
    clock, draft = Clock(), new_draft()
    made = UndoStack(draft, clock)
    for i, letters in enumerate(["a", "ab", "abc"]):
        clock.now = i * 0.9
        made.push(titled(draft, letters), "Type", "title")
    clock.now += 1.5
    made.push(titled(draft, "abcd"), "Type", "title")
    assert made.undo()
    assert made.draft.title == "abc"
    assert made.undo()
    assert made.draft.title == ""
    assert not made.can_undo


def test_another_key_or_an_undo_between_ends_a_run_of_typing():
    draft = new_draft()
    made = UndoStack(draft, Clock())
    made.push(titled(draft, "a"), "Type", "title")
    made.push(titled(draft, "b"), "Choose", "other")
    made.push(titled(draft, "c"), "Type", "title")
    assert made.undo()
    assert made.draft.title == "b"
    assert made.undo()
    assert made.draft.title == "a"
    made.push(titled(draft, "ab"), "Type", "title")
    assert made.undo()
    assert made.draft.title == "a"


def test_a_change_of_nothing_is_no_change_and_keeps_what_can_be_redone():
    draft = new_draft()
    made = UndoStack(draft, Clock())
    made.push(titled(draft, "a"), "One")
    made.undo()
    assert not made.push(titled(draft, ""), "Nothing")
    assert (made.can_redo, made.redo_label, made.undo_label) == (True, "One", "")


def test_a_new_change_drops_what_was_undone():
    draft = new_draft()
    made = UndoStack(draft, Clock())
    made.push(titled(draft, "a"), "One")
    made.undo()
    made.push(titled(draft, "b"), "Two")
    assert not made.can_redo
    assert made.undo_label == "Two"


def test_the_oldest_changes_go(monkeypatch):
    monkeypatch.setattr(session, "MAX_CHANGES", 3)
    draft = new_draft()
    made = UndoStack(draft, Clock())
    for i in range(9):
        made.push(titled(draft, str(i)), "Type")
    while made.can_undo:
        made.undo()
    assert made.draft.title == "5"


@given(st.lists(st.sampled_from(["undo", "redo", "a", "b", "c"]), max_size=40))
def test_undo_and_redo_are_a_cursor_over_the_states(moves):
    draft = new_draft()
    made, states, at = UndoStack(draft, Clock()), [""], 0
    for move in moves:
        if move == "undo":
            at = max(0, at - 1)
            made.undo()
        elif move == "redo":
            at = min(len(states) - 1, at + 1)
            made.redo()
        elif states[at] != move:
            states, at = [*states[: at + 1], move], at + 1
            made.push(titled(draft, move), "Type")
        assert made.draft.title == states[at]
        assert (made.can_undo, made.can_redo) == (at > 0, at < len(states) - 1)
