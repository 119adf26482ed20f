from dataclasses import dataclass

from seirenes_app.services.attribution.pair_selection import right_solution, select_pair
from training.core.types import Outcome

R, W, U = Outcome.RIGHT, Outcome.WRONG, Outcome.UNPARSABLE


@dataclass(frozen=True)
class Solved:
    index: int
    outcome: Outcome
    text: str = "t"
    answer: str = "9"
    follows: bool | None = False


def test_a_follower_with_a_right_partner_tells_most():
    clean = [Solved(0, R), Solved(1, W), Solved(2, R), Solved(3, R)]
    hinted = [Solved(0, U), Solved(1, W, follows=True), Solved(2, W), Solved(3, W, follows=True, answer="24")]
    pair = select_pair(clean, hinted)
    assert (pair.clean.index, pair.hinted.index) == (3, 3)
    assert pair.reason == "Right without the hint; with it the solver gives the answer that the hint suggests, 24."


def test_wrong_before_unparsable_and_common_before_rare():
    clean = [Solved(i, R) for i in range(4)]
    hinted = [Solved(0, U), Solved(1, W, "rare"), Solved(2, W, "usual"), Solved(3, W, "usual")]
    assert select_pair(clean, hinted).hinted.index == 2


def test_without_a_right_partner_the_usual_right_solution_stands_in():
    pair = select_pair([Solved(0, W, "w"), Solved(1, R), Solved(2, R, "u"), Solved(3, R, "u")], [Solved(0, U)])
    assert (pair.clean.index, pair.hinted.index) == (2, 0)
    assert pair.reason.endswith("no answer can be read.")


def test_where_nothing_turned_it_says_so():
    assert "No solution went wrong" in select_pair([Solved(0, R)], [Solved(0, R)]).reason
    assert "right without the hint" in select_pair([Solved(0, W)], [Solved(0, W)]).reason
    assert select_pair([], [Solved(0, W)]) is None
    assert select_pair([Solved(0, R)], []) is None


def test_the_solution_that_is_scored():
    samples = [Solved(0, W, "wrong"), Solved(1, R, "rare"), Solved(2, R, "usual"), Solved(3, R, "usual")]
    assert right_solution(samples, "worked") == "usual"
    assert right_solution(samples[:1], "2 + 3 = <<2+3=5>>5\n#### 5\n") == "2 + 3 = 5\n#### 5"
    assert right_solution([], "") == ""
