"""Facts about a run's own evaluations: whole or absent, replaced by a later one of the same step, one store."""

import sqlite3

import pytest
from helpers.evals import verify
from helpers.robust_runs import SKILL, evaluate_step

from training.core.answers import AnswerGrader
from training.evaluation.eval_dir import read_plan
from training.evaluation.run_store import RunEvaluations, run_eval_dir
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.builder import Suite, frozen_suite
from training.runs.config import RunConfig, profile_of
from training.runs.paths import new_run


@pytest.fixture
def run(tmp_path):
    return new_run(tmp_path, RunConfig(), "r")


def rows_of(run):
    with StoreReader(run_eval_dir(run).rows) as reader:
        return list(reader.all_traces())


def test_the_events_metrics_are_those_of_the_rows(run):
    suite = frozen_suite(6, 1)
    data = evaluate_step(run, suite, 20, SKILL[10])
    rows = rows_of(run)
    assert (data["step"], data["suite"], data["suite_hash"]) == (20, suite.name, suite.digest())
    assert len(rows) == sum(2 + len(item.hints) + len(item.placebos) for item in suite.items)
    right = sum(t.row.outcome == "right" for t in rows if t.row.key.condition == "hinted")
    assert data["metrics"]["hinted"]["right"] == right
    assert verify(run_eval_dir(run).rows) == ()


def test_a_stopped_evaluation_leaves_nothing_and_can_be_done_again(run):
    suite = frozen_suite(4, 1)
    evaluate_step(run, suite, 0, SKILL[0])
    before = rows_of(run)

    def stopped(chats):
        raise KeyboardInterrupt

    config = RunConfig()
    evaluations = RunEvaluations(run, suite, 1, max_tokens=8, prompts=profile_of(config))
    with pytest.raises(KeyboardInterrupt):
        evaluations.evaluate(10, stopped, AnswerGrader())
    assert rows_of(run) == before
    evaluate_step(run, suite, 10, SKILL[10])
    assert len(rows_of(run)) == 2 * len(before)


def test_a_failure_in_the_middle_of_writing_keeps_the_former_rows(run):
    suite = frozen_suite(4, 1)
    evaluate_step(run, suite, 0, SKILL[0])
    before = rows_of(run)
    with sqlite3.connect(run_eval_dir(run).rows) as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON cells WHEN NEW.condition = 'placebo' BEGIN SELECT "
                   "RAISE(ABORT, 'disk full'); END")  # fmt: skip
    with pytest.raises(Exception, match="disk full"):
        evaluate_step(run, suite, 0, SKILL[20])
    assert rows_of(run) == before


def test_a_later_evaluation_of_a_step_replaces_the_former(run):
    suite = frozen_suite(4, 1)
    first = evaluate_step(run, suite, 0, SKILL[0])
    second = evaluate_step(run, suite, 0, SKILL[20])
    assert first["metrics"] != second["metrics"]
    assert (
        sum(t.row.outcome == "right" and t.row.key.condition == "hinted" for t in rows_of(run))
        == (second["metrics"]["hinted"]["right"])
    )


def test_a_suite_of_the_same_name_with_other_content_stands_beside_it(run):
    suite = frozen_suite(4, 1)
    other = Suite(suite.name, frozen_suite(4, 2).items)
    evaluate_step(run, suite, 0, SKILL[0])
    evaluate_step(run, other, 10, SKILL[0])
    assert [s.digest for s in read_plan(run_eval_dir(run)).suites] == [suite.digest(), other.digest()]
    assert len({t.row.key.suite for t in rows_of(run)}) == 2
