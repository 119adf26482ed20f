"""Facts about a step's rows in the rollout database: what a rollout's clean group is, and what its hint did."""

from training.core.answer_reader import READER_VERSION, Tier
from training.core.gates import GateResult
from training.core.problems import problem_stream
from training.core.types import Hint, HintType, Outcome, Split
from training.engine.base import Completion
from training.metrics import rollout_rows
from training.runs.config import RunConfig
from training.selfplay import PlayedHint, Rollout, Round, StepResult

TYPE = HintType.CORRELATION_TRAP
STREAM = problem_stream(0, Split.TRAIN)
PROBLEM, OTHER, THIRD = (next(STREAM) for _ in range(3))


def rollout(outcome=None):
    return Rollout((1,), Completion((1, 2), (-0.5, -0.25), False, 0.1), "text", outcome)


def solved(*right):
    return [rollout(Outcome.RIGHT if r else Outcome.WRONG) for r in right]


def played(problem, *right, archived=None):
    written = None if archived else rollout()
    return PlayedHint(
        problem, Hint(TYPE, "A hint."), f"{problem.id}#0", GateResult(None, ""), written, archived, solved(*right)
    )


def rows_of(rounds, replayed=()):
    result = StepResult(3, rounds, list(replayed), {}, {}, {}, 0.0, {})
    return rollout_rows(result, RunConfig())


def test_hinted_rows_are_judged_beside_the_clean_group_of_their_question():
    strong = Round(PROBLEM, TYPE, solved(True, False), [played(PROBLEM, True, False)])
    weak = Round(OTHER, TYPE, solved(False, False), [played(OTHER, True, False)])
    rows = rows_of([strong, weak])
    hinted = [(r.problem_id, r.clean_accuracy, r.flip) for r in rows if r.stage == "r3_hinted"]
    assert hinted == [(PROBLEM.id, 0.5, "stable"), (PROBLEM.id, 0.5, "harmful"), (OTHER.id, 0.0, "helpful"), (OTHER.id, 0.0, "stable")]  # fmt: skip
    assert {(r.stage, r.flip) for r in rows if r.stage != "r3_hinted"} == {("r1_clean", None), ("r2_hint", None)}


def test_a_replay_has_a_clean_group_only_where_its_question_was_drawn():
    drawn = Round(PROBLEM, TYPE, solved(True, True), [])
    rows = rows_of([drawn], [played(PROBLEM, False, archived="1"), played(THIRD, False, archived="2")])
    replayed = {r.problem_id: (r.clean_accuracy, r.flip) for r in rows if r.archived}
    assert replayed == {PROBLEM.id: (1.0, "harmful"), THIRD.id: (None, None)}


def test_a_question_drawn_twice_has_one_clean_group():
    rounds = [
        Round(PROBLEM, TYPE, solved(True, True), []),
        Round(PROBLEM, TYPE, solved(False, False), [played(PROBLEM, False)]),
    ]
    assert {r.clean_accuracy for r in rows_of(rounds)} == {0.5}


def test_solutions_keep_where_and_by_which_reader_they_were_read():
    round_ = Round(PROBLEM, TYPE, solved(True), [played(PROBLEM, False)])
    round_.clean[0].tier = Tier.MARKER
    found = {r.stage: (r.tier, r.reader) for r in rows_of([round_])}
    assert found["r1_clean"] == (Tier.MARKER, READER_VERSION)
    assert found["r2_hint"] == (None, None), "a hint is not graded"
