"""Facts about Craft's jobs on an endpoint: the same results as of a model here, streamed, metered, and never paid twice."""

import dataclasses
import threading

import pytest
from helpers.openai_server import FakeServer

from seirenes_app.inference.protocol import Finish, SampleDone
from seirenes_app.services.attribution.logprob_delta import score_solution
from seirenes_app.services.attribution.sentence_ablation import ablate_sentences
from seirenes_app.services.hint_authoring.draft import (
    DraftHint,
    DraftProblem,
    Origin,
    SolvePlan,
    SolverChoice,
    new_draft,
)
from seirenes_app.services.hint_authoring.jobs import Grader, Job, generate_hints, load_model, solve_hints
from seirenes_app.services.hint_authoring.models import craft_cost, load_request
from seirenes_app.services.hint_authoring.problems import as_problem
from training.core.types import Condition, HintType, Outcome
from training.endpoints import Capabilities, Capability, Endpoint, Price, save_endpoint
from training.errors import UserError

QUESTION = "Tom buys 7 apples and gets 5 more from his aunt. How many apples does Tom have?"
HINT = "The answer is around 13. Some people forget the aunt."


def say(body):
    """Right, but where the hint is there."""
    return "It is 13. The answer is 13." if "around 13" in body["messages"][-1]["content"] else "The answer is 12."


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


@pytest.fixture
def server():
    with FakeServer(say=say) as made:
        save_endpoint(Endpoint("mine", made.address, "m", Price(1.0, 1.0), concurrency=4))
        yield made


class Ended:
    """What a job said at its end."""

    def __init__(self):
        self.result, self.error, self._over = None, "", threading.Event()

    def finish(self, result):
        self.result = result
        self._over.set()

    def fail(self, text):
        self.error = text
        self._over.set()

    def wait(self, job):
        assert job.wait(30)
        assert self._over.is_set()
        return self


def make(**plan):
    choice = SolverChoice("endpoint:mine")
    draft = new_draft(DraftProblem(QUESTION, "12"))
    hint = DraftHint("h", HINT, HintType.SEMANTIC_MISLEADING, Origin.HAND, suggested="13")
    wanted = SolvePlan(**({"samples": 4, "placebo": False} | plan))
    return dataclasses.replace(draft, solver=choice, adversary=choice, hints=(hint,), chosen="h", plan=wanted), hint


def run(work, *values, **named):
    ended = Ended()
    job = Job(None, ended.finish, ended.fail, work, *values, **named)
    return ended.wait(job), job


def test_solutions_of_an_endpoint_are_graded_streamed_and_counted(server):
    draft, hint = make()
    texts, updates = [], []
    ended, job = run(solve_hints, draft, [hint], lambda id_, result: updates.append((id_, result)),
                     on_text=texts.append)  # fmt: skip
    result = ended.result["h"]
    clean, hinted = result.conditions[Condition.CLEAN], result.conditions[Condition.HINTED]
    assert [s.outcome for s in clean.samples] == [Outcome.RIGHT] * 4
    assert [s.outcome for s in hinted.samples] == [Outcome.WRONG] * 4
    assert result.follow_rate == 1.0
    assert result.complete
    assert len(updates) == 8
    assert {t.text for t in texts if t.condition is Condition.CLEAN} >= {"The", "The answer is 12."}
    assert job.meter.replies == len(server.requests) == 8
    assert job.meter.cost > 0


def test_what_was_solved_once_is_not_asked_again(server):
    draft, hint = make()
    run(solve_hints, draft, [hint], lambda *_: None)
    asked = len(server.requests)
    ended, job = run(solve_hints, draft, [hint], lambda *_: None)
    assert ended.result["h"].complete
    assert len(server.requests) == asked
    assert job.meter.cached == 8


def test_an_endpoint_writes_hints_under_its_name(server):
    server.say = lambda _body: "Remember that pens are blue."
    draft, _hint = make()
    ended, _job = run(generate_hints, draft, 3, 7)
    assert [h.text for h in ended.result] == ["Remember that pens are blue."] * 3
    assert {h.author for h in ended.result} == {"mine"}


def test_sentences_can_be_taken_apart_with_an_endpoint(server):
    draft, hint = make(temperature=0.0)
    ended, _job = run(ablate_sentences, draft, hint, lambda _result: None)
    assert [row.sentence for row in ended.result.rows] == ["The answer is around 13.", "Some people forget the aunt."]
    assert ended.result.rows[0].without.right == 1
    assert ended.result.rows[0].only.right == 0


def test_a_failing_server_ends_the_job_with_its_reason_and_no_wrong_solution(server):
    draft, hint = make()
    server.always = 401
    updates = []
    ended, _job = run(solve_hints, draft, [hint], lambda id_, result: updates.append(result))
    assert ended.result is None
    assert "401" in ended.error or "key" in ended.error
    assert updates == []


def test_a_server_that_does_not_stream_gives_the_same_solutions(server):
    draft, hint = make(temperature=0.0)
    server.streaming = False
    known = Capabilities(streaming=Capability.NO)
    save_endpoint(Endpoint("mine", server.address, "m", capabilities=known))
    ended, _job = run(solve_hints, draft, [hint], lambda *_: None)
    assert ended.error == ""
    assert ended.result["h"].conditions[Condition.HINTED].samples[0].outcome is Outcome.WRONG


def test_a_filtered_solution_is_neither_right_nor_wrong():
    done = SampleDone(index=0, text="", tokens=0, logprob_sum=0.0, logprob_mean=0.0, finish=Finish.FILTERED)
    with Grader(as_problem(DraftProblem(QUESTION, "12")), "13") as grader:
        assert grader.grade(Condition.HINTED, done).outcome is Outcome.FILTERED


def test_a_cancelled_job_ends_soon_with_what_is_there(server):
    draft, hint = make(samples=8)
    server.always = "stream_slow"
    ended, began = Ended(), threading.Event()
    job = Job(
        None, ended.finish, ended.fail, solve_hints, draft, [hint], lambda *_: None, on_text=lambda _t: began.set()
    )
    assert began.wait(60)
    job.cancel()
    assert job.wait(20)
    assert ended.result["h"].cancelled
    assert not ended.result["h"].complete


def test_a_solution_is_not_scored_by_an_endpoint(server):
    draft, hint = make()
    ended, _job = run(score_solution, draft, hint, "7 + 5 = 12")
    assert "GGUF" in ended.error
    assert server.requests == []


def test_choosing_an_endpoint_sends_nothing_and_one_that_is_gone_is_named(server):
    ended, _job = run(load_model, SolverChoice("endpoint:mine"))
    assert ended.result == SolverChoice("endpoint:mine")
    assert server.requests == []
    with pytest.raises(UserError, match="no endpoint named"):
        load_request(SolverChoice("endpoint:gone"))


def test_the_cost_goes_with_the_replies_and_the_limit(server):
    draft, _hint = make()
    one = craft_cost(draft, draft.solver, 10, 100)
    more = craft_cost(draft, draft.solver, 20, 100)
    assert more.cost == pytest.approx(2 * one.cost)
    assert craft_cost(draft, draft.solver, 10, 200).at_most > one.at_most
