"""Facts about a run's rollouts as the Traces page and the command use them."""

import pytest
from helpers.rollout_runs import ROWS_A_STEP, make_run, make_step

from seirenes_app.services.hint_authoring.draft import Origin
from seirenes_app.services.traces import TraceSource
from training.core.prompts import Placement
from training.core.types import AnswerKind, HintType
from training.errors import UserError
from training.rollouts.database import RolloutWriter
from training.rollouts.reader import RolloutQuery
from training.runs.config import RunConfig
from training.runs.paths import new_run


@pytest.fixture
def source(tmp_path):
    found = TraceSource(make_run(tmp_path))
    yield found
    found.close()


def test_a_live_run_grows_under_its_reader(tmp_path):
    paths = make_run(tmp_path)
    writer = RolloutWriter(paths.rollouts)
    source = TraceSource(paths)
    assert not source.has_grown()
    writer.add_step(make_step(9))
    assert source.has_grown()
    assert not source.has_grown()
    assert source.facets().steps[9] == ROWS_A_STEP
    writer.close()
    source.close()


def test_a_hinted_row_becomes_a_draft_with_its_hint(source):
    row = source.rows(source.ids(RolloutQuery(flips=("harmful",), families=("clock",))))[0]
    draft = source.to_draft(row | {"hint": " Could it be 7:45? ", "gold": "6:30"})
    hint = draft.chosen_hint
    assert (draft.problem.question, draft.problem.answer, draft.problem.source) == (row["question"], "6:30", "r")
    assert draft.problem.kind is AnswerKind.CLOCK
    assert draft.type is hint.type is HintType(row["hint_type"])
    assert draft.placement is Placement.APPEND
    assert source.to_draft(row | {"placement": "between_facts"}).placement is Placement.BETWEEN_FACTS
    assert (hint.text, hint.origin, hint.author, hint.suggested) == (
        "Could it be 7:45?",
        Origin.RUN,
        "r",
        "7:45",
    )


def test_a_clean_row_becomes_a_draft_without_hints(source):
    draft = source.to_draft(source.rows([1])[0])
    assert draft.hints == ()
    assert draft.chosen_hint is None


@pytest.mark.parametrize(
    ("gold", "kind"),
    [
        ("12", "number"),
        ("3/4", "number"),
        ("7:45", "clock"),
        ("Rosa", "choice"),
        ("x^2 + 1", "symbolic"),
        ("", "choice"),
    ],
)
def test_the_kind_of_an_answer_from_a_file_is_read_from_its_form(source, gold, kind):
    row = source.rows([1])[0] | {"family": "mine", "gold": gold}
    assert source.to_draft(row).problem.kind == kind


def test_a_run_without_rollouts_says_so(tmp_path):
    with pytest.raises(UserError, match="no rollouts yet"):
        TraceSource(new_run(tmp_path, RunConfig(), "r"))


def test_a_damaged_file_says_so_at_once(tmp_path):
    paths = make_run(tmp_path)
    paths.rollouts.write_bytes(b"SQLite format 3\x00" + b"\x07" * 5000)
    with pytest.raises(UserError, match=r"rollouts\.db"):
        TraceSource(paths)
