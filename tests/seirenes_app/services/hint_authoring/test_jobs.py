"""Facts about writing and solving with the real worker and the bundled model."""

import dataclasses
import os
import signal
import threading
import time

import pytest

from seirenes_app.inference.client import StateKind, WorkerClient
from seirenes_app.inference.models import bundled_model
from seirenes_app.inference.protocol import Finish, SampleRequest
from seirenes_app.services.hint_authoring.draft import (
    DraftHint,
    DraftProblem,
    Origin,
    SolvePlan,
    SolverChoice,
    new_draft,
)
from seirenes_app.services.hint_authoring.jobs import Job, generate_hints, solve_hints
from seirenes_app.services.hint_authoring.models import (
    PLACEBOS,
    asked_conditions,
    condition_texts,
    load_request,
    planned_solutions,
    profile_for,
    shares,
    solve_messages,
)
from seirenes_app.services.hint_authoring.problems import as_problem, library
from seirenes_app.services.hint_authoring.results import rank, solve_key
from training.core.hint_reader import clean_hint
from training.core.prompts import reasoner_messages
from training.core.question_parser import move_question
from training.core.types import AnswerKind, Condition, HintType, Outcome
from training.prompt_files import BUILT_IN, CAUTIOUS, COMPACT, NEUTRAL, built_in

TRANSFER = next(d for d in library() if d.id == "transfer-3")
PLAN = SolvePlan(samples=8, seed=1)


def make(problem=TRANSFER, **changes):
    return dataclasses.replace(new_draft(problem), **({"plan": PLAN} | changes))


def hand(text, suggested=None):
    return DraftHint("h", text, HintType.SEMANTIC_MISLEADING, Origin.HAND, suggested=suggested)


def solve(client, heard, draft, hint=None, **more):
    """Solve one hint; `heard` gets its result alone."""

    def finish(results):
        (result,) = results.values()
        heard.finish(result)

    hints = [hint] if hint else []

    def update(_id, result):
        heard.update(result)

    return Job(client, finish, heard.fail, solve_hints, draft, hints, update, **more)


def endless(draft):
    """A solving that takes long enough to be interrupted."""
    return dataclasses.replace(draft, plan=dataclasses.replace(PLAN, samples=256, max_tokens=400))


# ---------------------------------------------------------------------- solving


def test_three_conditions_are_solved_graded_and_compared(shared, heard):
    draft, hint = make(), hand("Could it be around 20?", "20")
    result = heard.result(solve(shared, heard, draft, hint))
    assert list(result.conditions) == [Condition.CLEAN, Condition.HINTED, Condition.PLACEBO]
    assert (result.complete, result.cancelled, result.key) == (True, False, solve_key(draft, hint))
    for condition in result.conditions.values():
        assert [s.index for s in condition.samples] == list(range(8))
        assert condition.right == sum(s.outcome is Outcome.RIGHT for s in condition.samples)
        assert condition.accuracy.low <= condition.accuracy.mean <= condition.accuracy.high
    clean, hinted = result.conditions[Condition.CLEAN], result.conditions[Condition.HINTED]
    assert result.drop.mean == clean.accuracy.mean - hinted.accuracy.mean
    assert clean.text == TRANSFER.question
    assert hinted.text == f"{TRANSFER.question} Could it be around 20?"
    assert result.conditions[Condition.PLACEBO].text.startswith(TRANSFER.question)
    assert {s.follows for s in clean.samples} == {None}
    assert result.follow_rate == sum(s.answer == "20" for s in hinted.samples) / 8
    assert all(s.logprob_mean < 0 and s.tokens > 0 for s in hinted.samples)


def test_updates_come_sample_by_sample_and_never_on_the_readers_thread(shared, heard):
    heard.result(solve(shared, heard, make()))
    counts = [len(update[0].conditions[Condition.CLEAN].samples) for update in heard.updates]
    assert counts == list(range(1, 9))
    assert heard.threads == {"solve_hints"}


def test_the_same_draft_gives_the_same_solutions(shared, heard):
    draft = make(plan=dataclasses.replace(PLAN, samples=4))
    texts = []
    for _ in range(2):
        heard.done.clear()
        texts.append([s.text for s in heard.result(solve(shared, heard, draft)).conditions[Condition.CLEAN].samples])
    assert texts[0] == texts[1]


def test_greedy_solutions_are_all_the_same_so_one_is_drawn(shared, heard):
    draft = make(plan=dataclasses.replace(PLAN, temperature=0.0))
    result = heard.result(solve(shared, heard, draft, hand("Double the result.")))
    assert [len(a.samples) for a in result.conditions.values()] == [1, 1, 1]
    assert result.complete


def test_a_known_clean_condition_is_not_solved_again(shared, heard):
    draft = make()
    known = heard.result(solve(shared, heard, draft)).conditions[Condition.CLEAN]
    marked = dataclasses.replace(known)
    heard.done.clear()
    result = heard.result(solve(shared, heard, draft, hand("A."), known={Condition.CLEAN: marked}))
    assert result.conditions[Condition.CLEAN] is marked
    heard.done.clear()
    other = make(plan=dataclasses.replace(PLAN, samples=4))
    assert (
        heard.result(solve(shared, heard, other, known={Condition.CLEAN: marked})).conditions[Condition.CLEAN].planned
        == 4
    )


def test_needed_text_is_asked_once_for_all_hints_with_the_question_moved(shared, heard):
    draft = make(plan=dataclasses.replace(PLAN, samples=4, placebo=False, needed=True))
    hints = [dataclasses.replace(hand(text), id=text) for text in ("It was a quiet day.", "Double the result.")]
    first, second = heard.result(
        Job(shared, heard.finish, heard.fail, solve_hints, draft, hints, heard.update)
    ).values()
    needed = first.conditions[Condition.NEEDED]
    assert list(first.conditions) == list(second.conditions) == [Condition.CLEAN, Condition.HINTED, Condition.NEEDED]
    assert needed is second.conditions[Condition.NEEDED]
    assert needed.text == move_question(TRANSFER.question) != TRANSFER.question
    assert needed.n == needed.planned == 4
    assert first.needed_drop.mean == first.conditions[Condition.CLEAN].accuracy.mean - needed.accuracy.mean
    assert planned_solutions(draft.plan, TRANSFER.question, 2) == 4 * (2 + 2)


def test_a_question_that_cannot_be_moved_is_asked_without_needed_text():
    problem = DraftProblem("What is 2 + 3?", "5")
    plan = dataclasses.replace(PLAN, needed=True)
    shown = condition_texts(make(problem, plan=plan), as_problem(problem), hand("Double the result."))
    assert list(shown) == [Condition.CLEAN, Condition.HINTED, Condition.PLACEBO]
    assert list(asked_conditions(plan, problem.question, hinted=False)) == [Condition.CLEAN]


def test_the_text_of_a_solution_streams_in(shared, heard):
    texts, streamed = {}, []

    def on_text(text):
        streamed.append(text)
        texts.setdefault((text.condition, text.index), []).append(text.text)

    job = solve(shared, heard, make(), on_text=on_text)
    result = heard.result(job)
    for sample in result.conditions[Condition.CLEAN].samples:
        grown = texts[Condition.CLEAN, sample.index]
        assert grown[-1] == sample.text
        assert all(b.startswith(a) for a, b in zip(grown, grown[1:], strict=False))
    assert streamed[-1].tokens_per_s > 0
    assert streamed[0].seconds_left is None
    # A fast model may end them all between two texts.
    known = [text.seconds_left for text in streamed if text.seconds_left is not None]
    assert all(seconds >= 0 for seconds in known)


def test_solving_each_hint_solves_the_clean_condition_once_and_ranks(shared, heard):
    draft = make(plan=dataclasses.replace(PLAN, placebo=False))
    all_hints = [dataclasses.replace(hand(text), id=text) for text in ("It was a quiet day.", "Double the result.")]
    job = Job(shared, heard.finish, heard.fail, solve_hints, draft, all_hints, heard.update)
    results = heard.result(job)
    assert list(results) == [c.id for c in all_hints]
    first, second = results.values()
    assert first.conditions[Condition.CLEAN] is second.conditions[Condition.CLEAN]
    order = rank(results)
    assert results[order[0]].drop.mean >= results[order[1]].drop.mean


def test_the_placebo_is_several_neutral_texts_lest_one_happens_to_distract():
    draft = make(plan=dataclasses.replace(PLAN, samples=10))
    shown = condition_texts(draft, as_problem(draft.problem), hand("Answer with the first number that you see."))
    assert len(set(shown[Condition.PLACEBO])) == PLACEBOS
    assert len(shown[Condition.CLEAN]) == len(shown[Condition.HINTED]) == 1
    assert shares(10, PLACEBOS) == [3, 3, 2, 2]
    greedy = make(plan=dataclasses.replace(PLAN, temperature=0.0))
    assert len(condition_texts(greedy, as_problem(draft.problem), hand("Add 3."))[Condition.PLACEBO]) == 1


def test_a_symbolic_answer_is_compared_as_mathematics(shared, heard, monkeypatch):
    problem = DraftProblem("Expand (x+1)^2.", "x^2 + 2x + 1", AnswerKind.SYMBOLIC)
    draft = make(problem, plan=dataclasses.replace(PLAN, samples=2))
    heard.result(solve(shared, heard, draft, hand("Answer with 3.", "3")))
    from seirenes_app.inference.protocol import SampleDone
    from seirenes_app.services.hint_authoring.jobs import Grader

    def said(answer):
        return SampleDone(0, f"#### {answer}", 3, -1.0, -0.3, Finish.STOP)

    with Grader(as_problem(problem), "x+3") as grader:
        assert grader.grade(Condition.HINTED, said("(x+1)^2")).outcome is Outcome.RIGHT
        assert grader.grade(Condition.HINTED, said("3+x")).follows is True
        assert grader.grade(Condition.HINTED, said("x")).follows is False
        assert grader.grade(Condition.CLEAN, said("x")).follows is None


# ---------------------------------------------------------------------- writing


def test_hints_stream_in_with_what_they_suggest(shared, heard):
    texts = {}
    job = Job(
        shared, heard.finish, heard.fail, generate_hints, make(), 8, 0, on_text=lambda t: texts.__setitem__(t.index, t.text),
        on_hint=heard.update,
    )  # fmt: skip
    made = heard.result(job)
    assert len(made) == len({c.id for c in made}) == 8
    assert {update[0] for update in heard.updates} == set(made)
    limit = profile_for(make().adversary).max_hint_characters
    for i, hint in enumerate(made):  # of a reply that the token limit cut off, the hint is its whole sentences
        assert hint.text in [clean_hint(texts[i], truncated=cut, max_characters=limit) for cut in (False, True)]
    assert {(c.origin, c.author) for c in made} == {(Origin.MODEL, "starter-f16")}
    assert any(c.suggested for c in made)


# ---------------------------------------------------------------------- models


def test_the_starter_and_its_offspring_are_asked_in_few_words_and_others_in_many(tmp_path):
    child = tmp_path / "demo-step-40.gguf"
    child.write_bytes(bundled_model().read_bytes())
    assert profile_for(SolverChoice()) == built_in(COMPACT)
    assert profile_for(SolverChoice(str(child))) == built_in(COMPACT)
    assert profile_for(SolverChoice(str(child), prompts=built_in(CAUTIOUS))) == built_in(CAUTIOUS)
    assert profile_for(SolverChoice(str(tmp_path / "missing.gguf"))) == built_in(NEUTRAL)


def test_messages_are_those_of_training():
    for name in BUILT_IN:
        profile = built_in(name)
        messages = solve_messages(SolverChoice(prompts=profile), "Q?")
        assert [{"role": m.role, "content": m.content} for m in messages] == reasoner_messages("Q?", profile)


def test_a_model_that_is_loaded_or_about_to_be_is_not_loaded_again(own):
    short, model = SampleRequest(prompt="A", max_tokens=2), load_request(SolverChoice())
    first, second = own.send(short, model=model), own.send(short, model=model)
    assert (first.load is None, second.load is None) == (False, True)
    second.result(60)
    assert own.send(short, model=model).load is None
    other = own.send(short, model=load_request(SolverChoice(n_ctx=100)))
    assert other.load.result(60).facts.n_ctx == 100


def test_a_cancelled_load_is_made_again_for_who_relied_on_it(own):
    load = own.load(load_request(SolverChoice()).model)
    relying = own.send(SampleRequest(prompt="A", max_tokens=2), model=load_request(SolverChoice()))
    load.cancel()
    assert len(relying.result(60).samples) == 1


# ---------------------------------------------------------------------- bad input and bad luck


@pytest.mark.parametrize(
    ("draft", "hint", "words"),
    [
        (make(DraftProblem("", "3")), None, "problem is empty"),
        (make(DraftProblem("How many?", "many")), None, "cannot be read as a number"),
        (make(), hand("  "), "hint is empty"),
        (make(DraftProblem("word " * 2000, "3")), None, "the context holds 512"),
        (make(plan=SolvePlan(samples=0)), None, "n is 0"),
        (make(DraftProblem("Q?", "\\frac{", AnswerKind.SYMBOLIC)), None, "cannot be read as mathematics"),
        (make(solver=SolverChoice("/nowhere/model.gguf")), None, "no such model file"),
        (make(solver=SolverChoice(lora="/nowhere/lora.gguf")), None, "no such adapter file"),
    ],
    ids=["no question", "bad answer", "no hint", "too long", "no samples", "bad gold", "no model",
         "no lora"],
)  # fmt: skip
def test_bad_input_ends_in_words_and_the_worker_goes_on(shared, heard, draft, hint, words):
    assert words in heard.words(solve(shared, heard, draft, hint))
    heard.failed.clear()
    assert heard.result(solve(shared, heard, make())).complete


def test_a_damaged_model_ends_in_words_that_name_it_and_another_can_be_loaded(own, heard, tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(bundled_model().read_bytes()[:100_000])
    assert "bad.gguf" in heard.words(solve(own, heard, make(solver=SolverChoice(str(bad)))))
    heard.failed.clear()
    assert heard.result(solve(own, heard, make())).complete


def test_the_failure_of_anothers_load_is_told_with_its_reason(own, heard, tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(64))
    choice = SolverChoice(str(bad))
    own.load(bad)
    assert "bad.gguf" in heard.words(solve(own, heard, make(solver=choice)))


def test_a_worker_killed_in_mid_stream_ends_the_job_in_words_and_is_back(own, heard):
    job = solve(own, heard, endless(make()), on_text=heard.update)
    assert heard.first.wait(60)
    os.kill(own.pid, signal.SIGKILL)
    assert "crashed while it was generating 256 samples" in heard.words(job)
    heard.failed.clear()
    assert heard.result(solve(own, heard, make())).complete


def test_a_cancelled_job_is_done_with_what_there_is(own, heard):
    job = solve(own, heard, endless(make()), hand("Could it be 20?"))
    assert heard.first.wait(60)
    job.cancel()
    job.cancel()
    result = heard.result(job)
    assert result.cancelled
    assert not result.complete
    assert Condition.HINTED not in result.conditions
    assert all(s.finish is not Finish.CANCELLED for s in result.conditions[Condition.CLEAN].samples)
    heard.done.clear()
    assert heard.result(solve(own, heard, make())).complete


def test_a_job_cancelled_while_it_waits_for_its_turn_is_done_at_once(own, heard):
    busy = own.send(
        SampleRequest(prompt="A", n=256, max_tokens=450, temperature=100.0), model=load_request(SolverChoice())
    )  # fmt: skip
    job = solve(own, heard, make())
    time.sleep(0.2)
    job.cancel()
    assert heard.result(job).conditions == {}
    assert not busy.finished
    busy.cancel()


def test_a_closed_client_ends_the_job_in_words(heard):
    client = WorkerClient()
    job = solve(client, heard, endless(make()), on_text=heard.update)
    assert heard.first.wait(60)
    client.close()
    assert "closed" in heard.words(job)
    heard.failed.clear()
    assert "closed" in heard.words(solve(client, heard, make()))


def test_a_callback_that_raises_harms_nobody(shared, heard):
    def broken(*_):
        raise RuntimeError("a bug")

    job = Job(shared, heard.finish, heard.fail, solve_hints, make(), [], broken, on_text=broken)
    assert heard.result(job)[""].complete
    assert shared.state.kind is StateKind.READY


def test_a_slow_grader_keeps_no_one_else(shared, heard, monkeypatch):
    """Another request is answered while a solution is graded."""
    from seirenes_app.services.hint_authoring import jobs

    entered, leave = threading.Event(), threading.Event()

    class Slow(jobs.Grader):
        def grade(self, condition, done):
            entered.set()
            assert leave.wait(60)
            return super().grade(condition, done)

    monkeypatch.setattr(jobs, "Grader", Slow)
    job = solve(shared, heard, make())
    assert entered.wait(60)
    assert shared.send(SampleRequest(prompt="A", max_tokens=2)).result(60)
    leave.set()
    assert heard.result(job).complete
