"""Facts about the workspace database, from its first schema on."""

import sqlite3
import time

import pytest
from sqlite_utils import Database

from seirenes_app.store.workspace import MAX_RECENT, RunMark, Workspace, migrations, read_known_runs
from training.errors import UserError


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "workspace.db")
    yield made
    made.close()


def test_pins_and_notes_survive_a_restart(workspace):
    workspace.mark("a", pinned=True)
    workspace.mark("a", note="  the good one ")
    workspace.close()
    again = Workspace(workspace.path)
    assert again.marks() == {"a": RunMark(True, "the good one")}
    again.close()


def test_a_note_leaves_the_pin_and_a_pin_leaves_the_note(workspace):
    workspace.mark("a", note="kept")
    workspace.mark("a", pinned=True)
    workspace.mark("a", pinned=False)
    assert workspace.marks()["a"] == RunMark(False, "kept")
    workspace.forget("a")
    assert workspace.marks() == {}


def test_a_name_tags_and_a_group_are_kept_beside_pin_and_note(workspace):
    workspace.mark("a", pinned=True)
    workspace.mark("a", name="  Long  hints ")
    workspace.mark("a", tags=["ablation", " two  words", "ablation", ""])
    workspace.mark("a", group="november")
    assert workspace.marks()["a"] == RunMark(True, "", "Long hints", ("ablation", "two words"), "november")
    workspace.mark("a", tags=[])
    workspace.mark("a", name="")
    assert workspace.marks()["a"] == RunMark(True, "", "", (), "november")


def test_a_workspace_without_names_gets_them_and_keeps_its_marks(tmp_path):
    old = Database(tmp_path / "old.db")
    migrations.apply(old, stop_before="m004_run_names")
    old["run_marks"].insert({"run_id": "a", "pinned": 1, "note": "kept"})
    old.close()
    workspace = Workspace(tmp_path / "old.db")
    assert workspace.marks() == {"a": RunMark(True, "kept")}
    workspace.close()


def test_remembered_runs_are_newest_first_without_those_that_are_gone(workspace, tmp_path):
    for i, name in enumerate(("old", "new", "gone")):
        (tmp_path / name).mkdir()
        workspace.remember_run(tmp_path / name, now=float(i))
    (tmp_path / "gone").rmdir()
    assert read_known_runs(workspace.path) == (tmp_path / "new", tmp_path / "old")
    assert read_known_runs(tmp_path / "no.db") == ()


def test_recent_configs_are_newest_first_and_bounded(workspace, tmp_path):
    paths = [tmp_path / f"{i}.toml" for i in range(MAX_RECENT + 3)]
    for i, path in enumerate(paths):
        path.write_text("")
        workspace.remember_config(path, now=float(i))
    workspace.remember_config(paths[5], now=99.0)
    recent = workspace.recent_configs()
    assert recent[0] == paths[5]
    assert len(recent) == MAX_RECENT
    paths[5].unlink()
    assert paths[5] not in workspace.recent_configs()


def test_a_database_of_the_first_schema_is_brought_up_to_date(tmp_path):
    path = tmp_path / "old.db"
    old = Database(path)
    migrations.apply(old, stop_before="m002_run_marks")
    config = tmp_path / "a.toml"
    config.write_text("")
    old["recent_configs"].insert({"path": str(config), "opened_at": 1.0})
    assert "run_marks" not in old.table_names()
    old.close()
    workspace = Workspace(path)
    assert workspace.recent_configs() == (config,)
    workspace.mark("a", pinned=True)
    assert workspace.marks()["a"].pinned
    workspace.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "workspace.db"
    path.write_text("not a database, but somebody's letter " * 40)
    before = path.read_bytes()
    with pytest.raises(UserError, match="cannot be opened"):
        Workspace(path)
    assert path.read_bytes() == before


def test_a_file_that_another_program_holds_is_told_soon_and_in_words(workspace, tmp_path):
    other = sqlite3.connect(workspace.path, isolation_level=None)
    other.execute("begin exclusive")
    started = time.monotonic()
    for deed in (
        lambda: workspace.mark("r", pinned=True), lambda: workspace.mark("r", note="n"), lambda: workspace.forget("r"),
        lambda: workspace.remember_config(tmp_path / "a.toml"), workspace.marks, workspace.recent_configs,
    ):  # fmt: skip
        with pytest.raises(UserError, match=r"workspace\.db \(database is locked\). Close what else uses it"):
            deed()
    assert time.monotonic() - started < 25
    other.execute("rollback")
    other.close()
    workspace.mark("r", pinned=True)
    assert workspace.marks()["r"].pinned
