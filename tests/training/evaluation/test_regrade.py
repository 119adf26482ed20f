"""Facts about grading stored completions again."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.evals import contents, fill

from training.core.answer_reader import READER_VERSION, Tier
from training.core.types import AnswerKind, Condition, Outcome
from training.errors import NotReadyError, UserError
from training.evaluation.eval_dir import EvalDir, describe_suite, new_evaluation
from training.evaluation.plan import EvalPlan, Target
from training.evaluation.regrade import regrade
from training.evaluation.store_reader import StoreReader
from training.runs.control import StopRequested
from training.runs.lock import RunLock

PLAN = EvalPlan((Target("a", "starter"),), (describe_suite("frozen:5", 6),), samples=1, chunk_items=2)


def _answer(key, problem):
    return "0" if problem.kind is AnswerKind.NUMBER and key.item % 2 else problem.answer


def misgraded(folder):
    """An evaluation of which an older reader read nothing, and what it holds as it should be."""
    paths = fill(folder, PLAN, _answer)
    with sqlite3.connect(paths.rows) as db:
        cells = db.execute("SELECT data FROM cells ORDER BY condition, start").fetchall()
        db.execute("UPDATE rows SET outcome = 'unparsable', answer = '', follows = NULL, reader = 1")
        db.execute("UPDATE chunks SET reader = 1")
        db.execute("UPDATE cells SET data = zeroblob(length(data))")
    return paths, cells


def test_grading_again_changes_outcomes_cells_and_reader(tmp_path):
    paths, cells = misgraded(tmp_path)
    with StoreReader(paths.rows) as reader:
        total = reader.counts()[1]
        assert reader.readers() == {1: total}
    seen = []
    found = regrade(paths, progress=lambda done, total: seen.append((done, total)))
    assert (found.rows, found.answers, found.kept) == (total, total, 0)
    assert seen[-1] == (total, total)
    assert set(found.changed) == {(Outcome.UNPARSABLE, Outcome.RIGHT), (Outcome.UNPARSABLE, Outcome.WRONG)}
    assert sum(found.changed.values()) == total
    with StoreReader(paths.rows) as reader:
        assert reader.readers() == {READER_VERSION: total}
        row = reader.traces(condition=Condition.CLEAN, limit=1)[0].row
        assert (row.tier, row.reader) == (Tier.MARKER, READER_VERSION)
    with sqlite3.connect(paths.rows) as db:
        assert db.execute("SELECT data FROM cells ORDER BY condition, start").fetchall() == cells
    again = regrade(paths)
    assert not again.changed
    assert again.answers == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from training.evaluation.eval_dir import EvalDir
from training.evaluation.regrade import regrade

def die(done, total):
    if done == total - 1:
        os.kill(os.getpid(), signal.SIGKILL)

regrade(EvalDir(Path(sys.argv[1])), progress=die)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_kill_in_the_middle_leaves_every_row_as_it_was(tmp_path):
    paths, _ = misgraded(tmp_path)
    before = contents(paths.rows)
    child = subprocess.run([sys.executable, "-c", KILLED, str(paths.root)], env=os.environ, check=False, timeout=300)
    assert child.returncode == -signal.SIGKILL
    assert contents(paths.rows) == before
    assert regrade(paths).changed, "and the lock went with the process"


def test_a_cancelled_grading_changes_nothing(tmp_path):
    paths, _ = misgraded(tmp_path)
    before = contents(paths.rows)
    calls = iter(range(1000))
    with pytest.raises(StopRequested):
        regrade(paths, cancelled=lambda: next(calls) > 10)
    assert contents(paths.rows) == before


def test_a_running_evaluation_is_not_graded_again(tmp_path):
    paths, _ = misgraded(tmp_path)
    for place in (paths.lock, tmp_path / "trainer.lock"):
        lock = RunLock(place)
        lock.acquire()
        with pytest.raises(UserError, match="in use"):
            regrade(paths, run_lock=tmp_path / "trainer.lock")
        lock.release()
    assert regrade(paths, run_lock=tmp_path / "trainer.lock").changed


def test_rows_without_a_stored_gold_answer_are_left_alone(tmp_path):
    paths, _ = misgraded(tmp_path)
    with sqlite3.connect(paths.rows) as db:
        gold = "json_set(problem, '$.answer', '')"
        db.execute(f"UPDATE items SET problem = {gold} WHERE item < 2")
    found = regrade(paths)
    assert 0 < found.kept < found.rows
    with StoreReader(paths.rows) as reader:
        assert set(reader.readers()) == {1, READER_VERSION}


def test_an_evaluation_without_rows_says_so(tmp_path):
    with pytest.raises(NotReadyError, match="no rows"):
        regrade(EvalDir(new_evaluation(tmp_path, PLAN).root))


def test_rows_of_an_older_version_have_no_reader_and_get_one_from_grading_again(tmp_path):
    folder = tmp_path / "evaluations"
    shutil.copytree(Path(__file__).parents[2] / "data" / "v0.1" / "evaluation", folder)
    with StoreReader(folder / "rows.db") as reader:
        total = reader.counts()[1]
        assert reader.readers() == {None: total}
        row = next(reader.all_traces()).row
        assert (row.tier, row.reader) == (None, None)
    found = regrade(EvalDir(folder))
    assert {after for _, after in found.changed} == {Outcome.TRUNCATED}, "which that version did not tell apart"
    with StoreReader(folder / "rows.db") as reader:
        assert reader.readers() == {READER_VERSION: total}
