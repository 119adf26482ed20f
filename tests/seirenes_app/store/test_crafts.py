"""Facts about saved drafts and results."""

import sqlite3

import pytest
from sqlite_utils import Database

from seirenes_app.store.workspace import (
    KEPT_RESULTS,
    CraftStore,
    SavedDraft,
    Workspace,
    WorkspaceDamaged,
    migrations,
    set_aside,
)
from training.errors import UserError


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "workspace.db")
    yield made
    made.close()


@pytest.fixture
def store(workspace):
    return CraftStore(workspace)


def test_drafts_survive_a_restart_newest_first(store, workspace):
    store.save("a", "A", "old", now=1.0)
    store.save("b", "B", "b", now=2.0)
    store.save("a", "A2", "new", now=3.0)
    workspace.close()
    again = Workspace(workspace.path)
    found = CraftStore(again)
    assert found.drafts() == (SavedDraft("a", "A2", 3.0), SavedDraft("b", "B", 2.0))
    assert found.load("a") == "new"
    again.close()


def test_a_deleted_draft_takes_its_results_along(store):
    store.save("a", "A", "x")
    store.put_result("a", "k", "r")
    store.put_result("b", "k", "other")
    store.delete("a")
    assert store.result("a", "k") is None
    assert store.result("b", "k") == "other"
    with pytest.raises(UserError, match="no draft 'a'"):
        store.load("a")


def test_results_beyond_the_bound_are_forgotten_oldest_first(store):
    for i in range(KEPT_RESULTS + 3):
        store.put_result("a", f"k{i}", "r", now=float(i))
    assert store.result("a", "k2") is None
    assert store.result("a", "k3") == "r"


def test_a_workspace_of_the_second_schema_is_brought_up_to_date(tmp_path):
    path = tmp_path / "old.db"
    old = Database(path)
    migrations.apply(old, stop_before="m003_crafts")
    old["run_marks"].insert({"run_id": "r", "pinned": 1, "note": "kept"})
    old.close()
    workspace = Workspace(path)
    CraftStore(workspace).save("a", "A", "x")
    assert workspace.marks()["r"].note == "kept"
    workspace.close()


def test_a_locked_database_is_told_in_words_and_nothing_is_half_written(store, workspace):
    workspace.database.conn.execute("pragma busy_timeout = 50")
    store.save("a", "A", "before")
    other = sqlite3.connect(workspace.path, isolation_level=None)
    other.execute("begin exclusive")
    with pytest.raises(UserError, match="was not saved"):
        store.save("a", "A", "after")
    other.close()
    assert store.load("a") == "before"


def test_saving_over_a_text_that_is_not_the_known_one_saves_nothing(store):
    assert store.save_over("a", "A", "one", None)
    assert not store.save_over("a", "A", "two", None)
    assert store.save_over("a", "A", "two", "one")
    assert not store.save_over("a", "A", "three", "one")
    assert store.load("a") == "two"


def test_a_branch_takes_the_results_along(store):
    store.save("a", "A", "x")
    store.put_result("a", "k", "r")
    store.branch("a", "b", "B", "y")
    assert (store.load("a"), store.load("b")) == ("x", "y")
    assert store.result("a", "k") == store.result("b", "k") == "r"


def test_a_damaged_file_is_named_as_such(tmp_path):
    made = Workspace(tmp_path / "workspace.db")
    CraftStore(made).save("a", "A", "x" * 9000)
    page = next(made.database.query("select rootpage from sqlite_master where name = 'crafts'"))["rootpage"]
    size = next(made.database.query("pragma page_size"))["page_size"]
    made.close()
    data = bytearray(made.path.read_bytes())
    data[size * (page - 1) : size * page] = b"\x5a" * size
    made.path.write_bytes(data)
    with pytest.raises(WorkspaceDamaged, match="is damaged"):
        Workspace(made.path)
    aside = set_aside(made.path)
    assert aside.read_bytes() == data
    assert not made.path.exists()
