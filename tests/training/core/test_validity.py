"""A judge's votes, how they are read and counted, and the consensus of a solver."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.types import AnswerKind, Problem
from training.core.validity import (
    EXAMPLES,
    PHRASINGS,
    Ballot,
    Judge,
    JudgeOptions,
    JudgeQuestion,
    Reply,
    Ruling,
    Vote,
    consensus,
    is_open,
    read_ballot,
    read_yes_no,
    tally,
)

QUESTION = "Tom buys 7 apples and gets 5 more from his aunt. How many apples does Tom have?"
PROBLEM = Problem("p", "typed", QUESTION, "12", AnswerKind.NUMBER, "#### 12")
KEEPS, CHANGES, ABSTAINS = Ballot(Vote.KEEPS, 1.0), Ballot(Vote.CHANGES, 1.0), Ballot(Vote.ABSTAINS)


class Scripted:
    """A model that says what a function says of each question, and counts the calls."""

    key = "scripted"

    def __init__(self, say):
        self.say, self.asked = say, []

    def ask(self, questions, progress, cancelled):
        self.asked.append(len(questions))
        progress(len(questions), len(questions))
        return [self.say(question) for question in questions]


def says(changes):
    """A reply that means the same to every phrasing."""
    return lambda q: Reply("yes" if changes is q.phrasing.yes_changes else "no")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("yes", True), ("No.", False), ("**Yes**, it does.", True), ("no, because nothing changes", False),
        ("The remark is about Ben. The answer is no.", False), ("<think>yes? no</think>\nYes", True),
        ("<think>it says yes", None), ("", None), ("Maybe.", None), ("yes ... so the answer is no", None),
        ("No-one knows", None), ("nothing changes", None), ("Yesterday it rained", None),
        ("It changes nothing, so: no", False),
    ],
)  # fmt: skip
def test_a_reply_is_read_as_yes_or_no_or_neither(text, found):
    assert read_yes_no(text) is found


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader_of_votes(text):
    assert read_yes_no(text) in (True, False, None)
    assert read_ballot(Reply(text), PHRASINGS[0], 0.6).vote in Vote


@given(
    st.floats(0, 1), st.floats(0, 1), st.sampled_from(PHRASINGS), st.floats(0.5, 1)
)  # fmt: skip
def test_a_vote_by_probabilities_never_goes_against_the_likelier_word(yes, no, phrasing, confidence):
    ballot = read_ballot(Reply("", yes, no), phrasing, confidence)
    if ballot.vote is not Vote.ABSTAINS:
        assert (yes > no) is ((ballot.vote is Vote.CHANGES) is phrasing.yes_changes)
        assert ballot.confidence >= confidence


def test_an_unsure_vote_abstains_and_one_without_probabilities_is_read_from_its_text():
    assert read_ballot(Reply("yes", 0.5, 0.45), PHRASINGS[0], 0.6).vote is Vote.ABSTAINS
    assert read_ballot(Reply("yes", 0.9, 0.05), PHRASINGS[0], 0.6).vote is Vote.CHANGES
    assert read_ballot(Reply("yes", 0.9, 0.05), PHRASINGS[1], 0.6).vote is Vote.KEEPS
    assert read_ballot(Reply("no", 0.01, 0.02), PHRASINGS[0], 0.6) == Ballot(Vote.KEEPS, 1.0)
    failed = read_ballot(Reply("yes", 0.9, 0.0, problem="No reply."), PHRASINGS[0], 0.6)
    assert failed == Ballot(Vote.ABSTAINS, problem="No reply.", failed=True)


@given(st.lists(st.sampled_from([KEEPS, CHANGES, ABSTAINS]), max_size=9), st.integers(1, 9))
def test_only_more_than_half_of_all_votes_lets_a_hint_pass(ballots, votes):
    ballots = ballots[:votes]
    decision = tally(ballots, votes)
    assert (decision.ruling is Ruling.KEPT) == (2 * ballots.count(KEEPS) > votes)
    assert bool(decision.reason) == (decision.ruling is not Ruling.KEPT)
    if not is_open(ballots, votes):
        for rest in (KEEPS, CHANGES, ABSTAINS):
            assert tally([*ballots, *[rest] * (votes - len(ballots))], votes).ruling is decision.ruling


def test_a_tie_and_abstention_refuse():
    assert tally([KEEPS, CHANGES], 2).ruling is Ruling.UNDECIDED
    assert tally([KEEPS, ABSTAINS, ABSTAINS], 3).ruling is Ruling.UNDECIDED
    assert tally([KEEPS, ABSTAINS, KEEPS], 3).ruling is Ruling.KEPT
    assert "1 for keeps, 2 abstained" in tally([KEEPS, ABSTAINS, ABSTAINS], 3).reason


def test_votes_are_asked_only_while_they_can_change_the_ruling():
    model = Scripted(says(True))
    (decision,) = Judge(model, JudgeOptions(votes=3)).decide([(PROBLEM, "Tom eats 2.")])
    assert decision.ruling is Ruling.CHANGED
    assert model.asked == [2]
    mixed = Scripted(lambda q: says(q.number == 1)(q))
    (decision,) = Judge(mixed, JudgeOptions(votes=3)).decide([(PROBLEM, "Tom eats 2.")])
    assert (decision.ruling, mixed.asked) == (Ruling.KEPT, [2, 1])


def test_equal_hints_are_asked_once_and_rulings_are_kept():
    model, kept = Scripted(says(False)), {}
    judge = Judge(model, JudgeOptions(votes=1), kept)
    assert [d.ruling for d in judge.decide([(PROBLEM, "a"), (PROBLEM, "a"), (PROBLEM, "b")])] == [Ruling.KEPT] * 3
    judge.decide([(PROBLEM, "b")])
    Judge(model, JudgeOptions(votes=1), kept).decide([(PROBLEM, "a")])
    assert model.asked == [2]
    Judge(model, JudgeOptions(votes=3), kept).decide([(PROBLEM, "a")])
    assert model.asked == [2, 2]


def test_a_judge_that_cannot_be_asked_refuses_and_is_asked_again():
    model = Scripted(lambda q: Reply(problem="The server does not answer."))
    judge = Judge(model, JudgeOptions())
    (decision,) = judge.decide([(PROBLEM, "a")])
    assert decision.ruling is Ruling.UNDECIDED
    assert decision.failure == "The server does not answer."
    assert "could not be asked" in decision.reason
    model.say = says(False)
    assert judge.decide([(PROBLEM, "a")])[0].ruling is Ruling.KEPT


def test_a_model_that_always_says_yes_decides_nothing():
    (decision,) = Judge(Scripted(lambda _: Reply("yes")), JudgeOptions(votes=2)).decide([(PROBLEM, "a")])
    assert decision.ruling is Ruling.UNDECIDED


def test_every_prompt_ends_with_the_problem_and_the_remark_and_its_examples_are_answered_rightly():
    for number in range(2 * len(PHRASINGS)):
        chat = JudgeQuestion(QUESTION, "It rains.", number).messages()
        assert len(chat) == 2 * len(EXAMPLES) + 1
        assert QUESTION in chat[-1]["content"]
        assert "Remark: It rains." in chat[-1]["content"]
        phrasing = PHRASINGS[number % len(PHRASINGS)]
        for asked, said in zip(chat[:-1:2], chat[1::2], strict=True):
            example = next(e for e in EXAMPLES if e.hint in asked["content"])
            assert read_ballot(Reply(said["content"]), phrasing, 1.0).vote is (
                Vote.CHANGES if example.changes else Vote.KEEPS
            )
    assert len(JudgeQuestion(QUESTION, "It rains.", 0).messages(examples=0)) == 1


def test_a_solver_decides_only_about_problems_that_it_solves():
    assert consensus({"12": 7, "13": 1}, {"12": 5, "14": 3}, "12", 8) is Ruling.KEPT
    assert consensus({"12": 7}, {"14": 5, "12": 3}, "12", 8) is Ruling.CHANGED
    assert consensus({"12": 7}, {"14": 4, "12": 4}, "12", 8) is Ruling.UNDECIDED
    assert consensus({"12": 4, "13": 4}, {"12": 8}, "12", 8) is Ruling.UNDECIDED
    assert consensus({}, {}, "12", 0) is Ruling.UNDECIDED
