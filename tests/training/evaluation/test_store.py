import shutil
import sqlite3
import threading

import numpy as np
import pytest
from helpers.evals import fill, small_plan, verify

from training.core.types import Condition, HintType, Outcome
from training.errors import UserError
from training.evaluation.eval_dir import open_suite
from training.evaluation.outcome_arrays import PACKED, TYPES
from training.evaluation.plan import chunks
from training.evaluation.store import StoreWriter
from training.evaluation.store_reader import StoreReader


def rule(key, problem):
    """Right clean; hinted wrong in sample 1, nothing readable in placebo 0."""
    if key.condition is Condition.PLACEBO and key.index == 0:
        return None
    return "99999" if key.condition is Condition.HINTED and key.sample == 1 else problem.answer


@pytest.fixture(scope="module")
def plan():
    return small_plan(problems=6, targets=("a", "b"), samples=3, temperature=1.0)


@pytest.fixture(scope="module")
def filled(plan, tmp_path_factory):
    return fill(tmp_path_factory.mktemp("evals"), plan, rule, truncated=lambda key: key.item == 5)


def test_cells_count_what_became_of_each_prompt(filled):
    with StoreReader(filled.rows) as reader:
        cells = reader.cells()
        assert reader.counts() == (16, 2 * 6 * 10 * 3)
    assert len(cells) == 2 * 6 * 10
    hinted = cells.where("a", condition=Condition.HINTED)
    assert (hinted.data["samples"] == 3).all()
    assert (hinted.data["right"] == 2).all()
    assert (hinted.data["bits"] == 0b101).all()
    assert (hinted.data["majority"] == 1).all()
    assert cells.where(condition=Condition.PLACEBO).data["unparsable"].sum() == 2 * 5 * 3
    assert cells.data["truncated"].sum() == 2 * 3, "one that was cut off after its answer is right"
    assert np.bincount(hinted.data["hint_type"]).tolist() == [6] * len(TYPES)
    assert len(cells.where("a", hint_type=HintType.CORRELATION_TRAP)) == 6
    assert len(cells.where("nobody")) == 0
    assert verify(filled.rows) == ()


@pytest.mark.parametrize(("layout", "missing"), [(1, ("too_long", "filtered")), (2, ("filtered",))])
def test_cells_that_an_older_version_wrote_are_read(filled, tmp_path, layout, missing):
    """Of layouts that did not count all reasons; the table of the first did not name its layout."""
    path = tmp_path / "rows.db"
    with StoreReader(filled.rows) as reader:
        now = reader.cells()
    shutil.copy(filled.rows, path)
    old = np.dtype([(name, PACKED[name]) for name in PACKED.names if name not in missing])
    with sqlite3.connect(path) as db:
        for place, data in db.execute("SELECT rowid, data FROM cells").fetchall():
            cells = np.frombuffer(data, PACKED)
            packed = np.zeros(len(cells), old)
            for name in old.names:
                packed[name] = cells[name]
            db.execute("UPDATE cells SET data = ? WHERE rowid = ?", [packed.tobytes(), place])
        db.execute("UPDATE cells SET layout = ?", [layout])
        if layout == 1:
            db.execute("ALTER TABLE cells DROP COLUMN layout")
    with StoreReader(path) as reader:
        assert (reader.cells().data == now.data).all()
    with sqlite3.connect(path) as db:
        if layout == 1:
            db.execute("ALTER TABLE cells ADD COLUMN layout INTEGER NOT NULL DEFAULT 99")
        db.execute("UPDATE cells SET layout = 99")
    with StoreReader(path) as reader, pytest.raises(UserError, match="newer version"):
        reader.cells()


def test_traces_have_problem_hint_and_what_was_shown(filled, plan):
    suite = plan.suites[0].name
    with StoreReader(filled.rows) as reader:
        found = [
            t
            for t in reader.traces(target="a", condition=Condition.HINTED, limit=1000)
            if (t.row.key.item, t.row.outcome) == (2, Outcome.WRONG)
        ]
        assert [t.row.key.index for t in found] == [0, 1, 2, 3]
        first = found[0]
        assert first.shown == f"{first.problem.question} {first.prompt.text}"
        assert [p.text for p in reader.prompts(suite, 2, Condition.HINTED)] == [t.prompt.text for t in found]
        assert len(list(reader.all_traces())) == reader.counts()[1]
        assert len(reader.traces(hint_type=HintType.CORRELATION_TRAP, limit=1000)) == 2 * 6 * 3


def test_a_chunk_is_committed_once(filled, plan, tmp_path):
    copy = tmp_path / "rows.db"
    shutil.copy(filled.rows, copy)
    writer = StoreWriter(copy, plan)
    suite = open_suite(filled, plan.suites[0])
    writer.add_suite(suite.ref.name, suite.digest, suite.ref.placement, suite.items)
    writer.commit(chunks(plan)[0], [], 1.0)
    assert writer.count_rows() == 2 * 6 * 10 * 3
    assert writer.done_chunks() == {c.key for c in chunks(plan)}
    with pytest.raises(UserError, match="hash"):
        writer.add_suite(suite.ref.name, "another", suite.ref.placement, suite.items)
    writer.close()
    assert verify(copy) == ()


def test_a_damaged_file_is_told_by_reader_and_writer(filled, plan, tmp_path):
    copy = tmp_path / "rows.db"
    data = bytearray(filled.rows.read_bytes())
    data[:100] = b"x" * 100
    copy.write_bytes(data)
    with pytest.raises(UserError, match=r"rows\.db.*(damaged|not a database)"):
        StoreReader(copy)
    with pytest.raises(UserError, match=r"rows\.db is damaged.*starts from the beginning"):
        StoreWriter(copy, plan)


def test_damage_in_the_middle_is_told_when_it_is_met(filled, tmp_path):
    copy = tmp_path / "rows.db"
    data = bytearray(filled.rows.read_bytes())
    for page in range(3, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    copy.write_bytes(data)
    with pytest.raises(UserError, match=r"rows\.db"), StoreReader(copy) as reader:
        reader.cells()


def test_a_missing_or_empty_store_says_that_nothing_is_there_yet(tmp_path):
    with pytest.raises(UserError, match="no rows yet"):
        StoreReader(tmp_path / "rows.db")
    (tmp_path / "rows.db").touch()
    with pytest.raises(UserError, match="no evaluation yet"):
        StoreReader(tmp_path / "rows.db")


def test_a_reader_sees_what_is_committed_while_it_is_open_and_from_any_thread(plan, filled, tmp_path):
    writer = StoreWriter(tmp_path / "rows.db", plan)
    suite = open_suite(filled, plan.suites[0])
    writer.add_suite(suite.ref.name, suite.digest, suite.ref.placement, suite.items)
    with StoreReader(tmp_path / "rows.db") as reader, StoreReader(filled.rows) as source:
        assert len(reader.cells()) == 0
        rows = [t.row for t in source.traces(target="a", condition=Condition.CLEAN, limit=12)]
        writer.commit(chunks(plan)[0], rows, 1.0)
        seen = []
        thread = threading.Thread(target=lambda: seen.append(len(reader.cells())))
        thread.start()
        thread.join()
    assert seen == [4]
    writer.close()
