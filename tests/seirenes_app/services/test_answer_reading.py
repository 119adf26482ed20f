"""Facts about what is said of unread answers, and of how answers were read."""

from seirenes_app.services.answer_reading import (
    describe_older,
    describe_reading,
    describe_regraded,
    describe_unread,
    no_effect,
    outcome_changes,
    unread_warnings,
)
from training.core.answer_reader import READER_VERSION, Tier
from training.core.types import Outcome
from training.evaluation.metric_types import UnreadShares
from training.evaluation.regrade import Regraded

RIGHT, WRONG, UNREAD = Outcome.RIGHT, Outcome.WRONG, Outcome.UNPARSABLE


def test_shares_are_of_outcomes_and_never_count_wrong_answers():
    shares = UnreadShares.of([RIGHT] * 5 + [WRONG] * 2 + [UNREAD, Outcome.AMBIGUOUS, Outcome.TRUNCATED])
    assert (shares.unreadable, shares.truncated, shares.timed_out) == (0.2, 0.1, 0.0)
    assert describe_unread(shares) == "20% unreadable, 10% truncated"
    assert describe_unread(UnreadShares.of([RIGHT, WRONG])) == ""
    assert UnreadShares.of([]).total == 0


def test_above_five_percent_there_is_a_remedy_for_each_kind():
    assert unread_warnings({"clean": UnreadShares(0.05, 0.05)}) == ()
    cut, unreadable = sorted(
        unread_warnings({"clean": UnreadShares(0.06), "hinted": UnreadShares(0.2, 0.3)}, 128), reverse=True
    )
    assert unreadable.startswith("20% of the hinted answers are unreadable")
    assert "seirenes grade" in unreadable
    assert cut == "30% of the hinted answers were cut off: raise the token limit, which is 128."


def test_no_effect_is_claimed_where_most_answers_are_unread():
    assert no_effect({"clean": UnreadShares(0.3, 0.2), "hinted": None}) == ""
    assert no_effect({"clean": UnreadShares(), "hinted": UnreadShares(0.3, 0.3)}) == (
        "No effect is shown: 60% of hinted answers could not be graded."
    )


def test_the_reader_of_a_row_is_named_where_it_is_known():
    assert describe_reading(Tier.LABEL, 2) == "labelled sentence, reader 2"
    assert describe_reading("marker", 2) == "marker (#### or \\boxed), reader 2"
    assert describe_reading(None, None) == "not recorded"
    assert describe_reading("tier of a later version", 9) == "tier of a later version, reader 9"


def test_figures_of_an_older_reader_say_so():
    assert describe_older({READER_VERSION: 10}) == ""
    assert describe_older({1: 3, READER_VERSION: 7}).startswith("3 rows of 10 were graded by answer reader 1;")
    assert describe_older({None: 10}).startswith("All rows were graded by an older answer reader;")


def test_what_grading_again_changed_is_listed_with_the_changes_first():
    found = Regraded(10, {(RIGHT, RIGHT): 6, (UNREAD, RIGHT): 3, (UNREAD, WRONG): 1}, 4, 2)
    assert outcome_changes(found) == [
        ("unreadable", "right", 3), ("unreadable", "wrong", 1), ("right", "right", 6),
    ]  # fmt: skip
    first, kept = describe_regraded(found)
    assert first == "4 outcomes of 10 changed, and 4 answers are read differently. All figures follow."
    assert kept.startswith("2 rows were left")
    assert describe_regraded(Regraded(3, {(RIGHT, RIGHT): 3}, 0, 0)) == (
        "No outcome changed: 3 rows were graded again.",
    )
