import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.inference.protocol import ScoreRequest, ScoreResult, TokenScore
from seirenes_app.inference.scoring import spans_of
from seirenes_app.services.attribution.logprob_delta import (
    columns,
    compare_scores,
    delta_lines,
    mark_of,
    score_solution,
    share,
    visible,
    worst_lines,
)
from seirenes_app.services.hint_authoring.draft import DraftProblem
from seirenes_app.services.hint_authoring.jobs import Job
from seirenes_app.services.hint_authoring.models import solve_messages
from training.core.prompts import join_hint
from training.errors import UserError

SOLUTION = "12 + 7 = 19. 19 - 5 = 14.\n#### 14"
HINT = "Anna has 9 pears. Problems that say gives are solved by addition."


def scored(pieces, logprobs):
    text, spans = spans_of(pieces)
    tokens = tuple(TokenScore(*span, logprob) for span, logprob in zip(spans, logprobs, strict=True))
    return ScoreResult(text, tokens, sum(logprobs), 1, 0.0)


def test_bytes_of_one_character_are_one_cell():
    pieces = [b"a", b"\xf0\x9f", b"\x98", b"\x80!", b"", b"b\xc3", b"\xa9"]
    delta = compare_scores(scored(pieces, [-1.0] * 7), scored(pieces, [-1, -2, -3, -4, -1, -1, -1.5]))
    assert [(t.text, t.start, t.end, t.delta) for t in delta.tokens] == [
        ("a", 0, 1, 0.0), ("😀!", 1, 3, -6.0), ("bé", 3, 5, -0.5),
    ]  # fmt: skip
    assert delta.text == "a😀!bé"
    assert delta.total_delta == -6.5
    assert delta.worst == 1
    assert delta.worst_tokens() == (1, 2)
    assert delta.worst_tokens(1) == (1,)


@given(st.text(st.sampled_from("a é漢😀\n\u0301"), min_size=1, max_size=12), st.data())
def test_the_cells_are_whole_characters_however_the_bytes_are_split(text, data):
    whole = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    logprobs = [-1.0 - i for i in range(len(pieces))]
    delta = compare_scores(scored(pieces, [-1.0] * len(pieces)), scored(pieces, logprobs))
    assert "".join(t.text for t in delta.tokens) == text
    assert [t.start for t in delta.tokens] == [0, *(t.end for t in delta.tokens)][:-1]
    assert all(t.text for t in delta.tokens)
    assert delta.total_delta == pytest.approx(sum(logprobs) + len(pieces))
    lines = delta_lines(delta, 20)
    assert max(map(columns, lines)) <= 20


def test_a_leading_empty_token_joins_the_next():
    delta = compare_scores(scored([b"", b"a", b"b"], [-1, -1, -1]), scored([b"", b"a", b"b"], [-2, -2, -1]))
    assert [(t.text, t.delta) for t in delta.tokens] == [("a", -2), ("b", 0)]


def test_scores_of_different_tokens_are_refused():
    for other in ([b"ab"], [b"a", b"c"]):
        with pytest.raises(UserError, match="different tokens"):
            compare_scores(scored([b"a", b"b"], [-1, -1]), scored(other, [-1] * len(other)))


def test_marks_need_no_colour():
    assert [mark_of(d) for d in (-9, -3, -2, -1, -0.1, 0, 0.5, 1)] == ["---", "---", "--", "-", "", "", "", "+"]


@pytest.mark.parametrize("text", [SOLUTION, "Ça fait 19 pièces… 😀漢字\n#### 14", "  4\n\n "])
def test_the_cells_of_a_real_score_cover_the_solution(shared, draft, hint, ends, text):
    job = Job(shared, ends.finish, ends.fail, score_solution, draft, hint(HINT), text)
    (delta,) = ends.wait().done
    assert (ends.failed, ends.threads, job.cancelled) == ([], {"score_solution"}, False)
    assert delta.text == text
    assert "".join(t.text for t in delta.tokens) == text
    assert [t.start for t in delta.tokens] == [0, *(t.end for t in delta.tokens)][:-1]
    assert all(len(t.top_clean) == len(t.top_hinted) == 5 for t in delta.tokens)
    question = draft.problem.question
    sums = [
        shared.send(ScoreRequest(messages=solve_messages(draft.solver, t), completion=text))
        .result(60).logprob_sum for t in (question, join_hint(question, HINT))
    ]  # fmt: skip
    assert delta.total_delta == pytest.approx(sums[1] - sums[0], abs=1e-3)


def test_the_token_at_which_a_hint_turns_the_starter(shared, draft, hint, ends):
    # In the words of the starter's own families, which it solves every time.
    story = (
        "In the morning Vera has 23 cushions. The next day Vera gives 17 to an aunt. Another 7 are given to Vera by a "
        "neighbour. How many cushions does Vera have after that?"
    )
    turning = "In another story, Vera buys 3 cushions. In a dream, Vera loses 6 cushions."
    draft = dataclasses.replace(draft, problem=DraftProblem(story, "13"))
    solution = "23 - 17 = 6. 6 + 7 = 13.\n#### 13"
    Job(shared, ends.finish, ends.fail, score_solution, draft, hint(turning), solution)
    (delta,) = ends.wait().done
    worst = delta.tokens[delta.worst]
    assert worst.mark == "---"
    assert worst.clean == pytest.approx(worst.top_clean[0].logprob)
    assert worst.top_hinted[0].text != worst.text
    lines = "\n".join(delta_lines(delta, 40))
    assert "---" in lines
    assert max(map(columns, lines.splitlines())) <= 40
    assert worst_lines(delta, 2)[0].startswith("1. “")
    assert "clean: " in worst_lines(delta, 2)[1]


def test_a_solution_that_does_not_fit_fails_once_with_numbers(shared, draft, hint, ends):
    assert Job(shared, ends.finish, ends.fail, score_solution, draft, hint(HINT), "12 + 7 = 19. " * 400).wait(60)
    assert ends.done == []
    assert len(ends.failed) == 1
    assert "the context holds" in ends.failed[0]


@pytest.mark.parametrize(
    ("text", "solution", "message"), [(HINT, " \n", "no solution to score"), (" ", SOLUTION, "needs a question")]
)
def test_what_cannot_be_scored_fails_with_words(shared, draft, hint, ends, text, solution, message):
    Job(shared, ends.finish, ends.fail, score_solution, draft, hint(text), solution)
    assert message in ends.wait().failed[0]


def test_a_cancelled_job_ends_once(shared, draft, hint, ends):
    long = dataclasses.replace(draft, problem=dataclasses.replace(draft.problem, question="Tom has 5 apples. " * 30))
    job = Job(shared, ends.finish, ends.fail, score_solution, long, hint(HINT), SOLUTION)
    job.cancel()
    assert job.wait(60)
    assert len(ends.done) + len(ends.failed) == 1
    assert job.cancelled


def test_a_missing_model_or_a_closed_worker_fails_with_words(own, draft, hint, ends, tmp_path):
    own.close()
    Job(own, ends.finish, ends.fail, score_solution, draft, hint(HINT), SOLUTION)
    assert ends.wait().failed == ["The worker was closed."]
    lost = dataclasses.replace(draft, solver=dataclasses.replace(draft.solver, model=str(tmp_path / "none.gguf")))
    job = Job(own, ends.finish, ends.fail, score_solution, lost, hint(HINT), SOLUTION)
    assert job.wait(60)
    assert "none.gguf" in ends.failed[1]
    assert (len(ends.failed), ends.done) == (2, [])


def test_text_for_a_terminal():
    assert visible("a\nb\x1b[31m\u200bc") == "a⏎b<001B>[31m<200B>c"
    assert [share(x) for x in (0.0, -0.6931, -20.0)] == ["100%", "50.0%", "<0.1%"]
    assert columns("漢é") == 3
    pieces = [b"1", b" +", b" " + "漢".encode(), b"\n", b"x" * 100]
    delta = compare_scores(scored(pieces, [-1] * 5), scored(pieces, [-5, -2, -3, -1, 0]))
    assert delta_lines(delta, 60) == ["1   + 漢⏎", "--- - --", "x" * 60, "+", "x" * 40]


def test_a_hint_that_changes_nothing_has_no_worst_token():
    same = scored([b"a"], [-1])
    assert worst_lines(compare_scores(same, same)) == ["No token is clearly less likely under the hint."]
