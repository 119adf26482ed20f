"""Facts about a run's rollouts as the Traces page and the command use them."""

import pytest
from helpers.rollout_runs import ROWS_A_STEP, make_run, make_step

from seirenes_app.services.hint_authoring.draft import Origin
from seirenes_app.services.traces import TraceSource
from training.core.types import AnswerKind, HintType
from training.errors import UserError
from training.rollouts.database import RolloutWriter
from training.rollouts.search import RolloutQuery, Sort
from training.runs.config import RunConfig
from training.runs.paths import new_run


@pytest.fixture
def book(tmp_path):
    found = TraceSource(make_run(tmp_path))
    yield found
    found.close()


def test_flips_are_walked_to_both_ends(book):
    flips = list(book.ids(RolloutQuery(flips=("harmful", "helpful"))))
    walked, at = [], 0
    while (at := book.next_flip(at, RolloutQuery(sort=Sort.TOKENS))) is not None:
        walked.append(at)
    assert walked == flips
    assert book.next_flip(flips[3], RolloutQuery(), backwards=True) == flips[2]
    assert book.next_flip(flips[0], RolloutQuery(), backwards=True) is None
    harmful = book.ids(RolloutQuery(flips=("harmful",)))
    assert book.next_flip(0, RolloutQuery(flips=("harmful",))) == harmful[0]
    second = RolloutQuery(steps=(2, 2), text="table")
    assert book.next_flip(0, second) in book.ids(second)


def test_a_live_run_grows_under_the_book(tmp_path):
    paths = make_run(tmp_path)
    writer = RolloutWriter(paths.rollouts)
    book = TraceSource(paths)
    assert not book.grown()
    writer.add_step(make_step(9))
    assert book.grown()
    assert not book.grown()
    assert book.facets().steps[9] == ROWS_A_STEP
    writer.close()
    book.close()


def test_a_hinted_row_becomes_a_draft_with_its_hint(book):
    row = book.rows(book.ids(RolloutQuery(flips=("harmful",), families=("clock",))))[0]
    draft = book.to_draft(row | {"hint": " Could it be 7:45? ", "gold": "6:30"})
    candidate = draft.chosen_hint
    assert (draft.problem.question, draft.problem.answer, draft.problem.source) == (row["question"], "6:30", "r")
    assert draft.problem.kind is AnswerKind.CLOCK
    assert draft.type is candidate.type is HintType(row["hint_type"])
    assert (candidate.text, candidate.origin, candidate.author, candidate.suggested) == (
        "Could it be 7:45?",
        Origin.RUN,
        "r",
        "7:45",
    )


def test_a_clean_row_becomes_a_draft_without_candidates(book):
    draft = book.to_draft(book.rows([1])[0])
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
def test_the_kind_of_an_answer_from_a_file_is_told_by_its_looks(book, gold, kind):
    row = book.rows([1])[0] | {"family": "mine", "gold": gold}
    assert book.to_draft(row).problem.kind == kind


def test_a_run_without_rollouts_says_so(tmp_path):
    with pytest.raises(UserError, match="no rollouts yet"):
        TraceSource(new_run(tmp_path, RunConfig(), "r"))


def test_a_damaged_file_says_so_at_once(tmp_path):
    paths = make_run(tmp_path)
    paths.rollouts.write_bytes(b"SQLite format 3\x00" + b"\x07" * 5000)
    with pytest.raises(UserError, match=r"rollouts\.db"):
        TraceSource(paths)
