import dataclasses
import os
import signal
import threading

import pytest

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.protocol import SampleRequest
from seirenes_app.services.attribution.sentence_ablation import (
    NO_HARM,
    ONE_SENTENCE,
    TOGETHER,
    ablate_sentences,
    parts_of,
)
from seirenes_app.services.hint_authoring.jobs import Job
from seirenes_app.services.hint_authoring.models import solve_messages
from training.core.prompts import Placement, join_hint
from training.core.statistics import newcombe
from training.core.types import AnswerKind, Outcome

HINT = "Anna has 9 pears. Problems that say gives are solved by addition."


def ran(client, draft, mine, ends):
    Job(client, ends.finish, ends.fail, ablate_sentences, draft, mine, ends.update)
    (result,) = ends.wait().done
    assert ends.failed == []
    return result


def with_plan(draft, **changes):
    return dataclasses.replace(draft, plan=dataclasses.replace(draft.plan, **changes))


def test_parts_of_a_hint():
    assert [(span.of("A b.  C d!\nE"), without, only) for span, without, only in parts_of("A b.  C d!\nE")] == [
        ("A b.", "C d! E", "A b."), ("C d!", "A b. E", "C d!"), ("E", "A b. C d!", "E"),
    ]  # fmt: skip


@pytest.mark.parametrize("placement", list(Placement))
def test_every_variant_is_sampled_with_the_same_seed(shared, draft, hint, ends, placement):
    draft = dataclasses.replace(draft, placement=placement)
    three = HINT + " The day was sunny."
    result = ran(shared, draft, hint(three), ends)
    assert result.complete
    assert not result.cancelled
    assert [r.sentence for r in result.rows] == [s + "." for s in three[:-1].split(". ")]
    assert [r.span.of(three) for r in result.rows] == [r.sentence for r in result.rows]
    question = draft.problem.question
    assert result.clean.text == question
    assert result.full.text == join_hint(question, three, placement)
    assert result.rows[1].without.text == join_hint(question, "Anna has 9 pears. The day was sunny.", placement)
    for variant in (result.clean, result.full, result.rows[1].only):
        messages = solve_messages(draft.solver, variant.text)
        drawn = shared.send(SampleRequest(messages=messages, n=8, max_tokens=192, seed=3)).result(60).samples
        assert [s.text for s in variant.samples] == [s.text for s in drawn]
        assert variant.right == sum(s.outcome is Outcome.RIGHT for s in variant.samples)
        assert variant.accuracy.low <= variant.accuracy.mean <= variant.accuracy.high
    row = result.rows[0]
    assert row.delta_without == newcombe(row.without.right, 8, result.full.right, 8)
    assert row.delta_only == newcombe(result.clean.right, 8, row.only.right, 8)
    assert ends.threads == {"ablate_sentences"}
    # Eight variants, and one update a sample.
    assert len(ends.updates) == 8 * 8


def test_of_one_sentence_there_is_nothing_to_take_apart(shared, draft, hint, ends):
    result = ran(shared, draft, hint("  Could the answer be around 24?\n", suggested="24"), ends)
    (row,) = result.rows
    assert row.without == result.clean
    assert row.only == result.full
    assert result.note == ONE_SENTENCE == ends.updates[0].note
    assert len(ends.updates) == 16
    assert all(s.follows == (s.answer == "24") for s in result.full.samples)
    assert all(s.follows is None for s in result.clean.samples)


def test_of_two_sentences_leaving_out_one_is_the_other_alone(shared, draft, hint, ends):
    first, second = ran(shared, draft, hint(HINT), ends).rows
    assert (first.without, second.without) == (second.only, first.only)
    assert len(ends.updates) == 4 * 8


def test_it_says_when_several_sentences_work_together_or_none_does(shared, draft, hint, ends):
    draft = with_plan(draft, samples=32, seed=0)
    result = ran(shared, draft, hint(HINT + " The day was sunny."), ends)
    clear = [d for r in result.rows for d in (r.delta_without, r.delta_only) if d.low > 0]
    assert result.note == ("" if clear else TOGETHER if result.delta_full.low > 0 else NO_HARM)
    assert all(u.note == "" for u in ends.updates if not u.complete)


def test_greedy_variants_are_solved_once(shared, draft, hint, ends):
    result = ran(shared, with_plan(draft, temperature=0.0), hint(HINT), ends)
    assert result.complete
    assert (result.clean.n, result.clean.planned) == (1, 1)


def test_a_cancelled_job_ends_once_with_what_there_is(shared, draft, hint, ends):
    jobs = []
    ready = threading.Event()

    def update(result):
        ends.update(result)
        ready.wait(60)
        jobs[0].cancel()

    jobs.append(Job(shared, ends.finish, ends.fail, ablate_sentences, with_plan(draft, samples=64), hint(HINT), update))
    ready.set()
    assert jobs[0].wait(60)
    jobs[0].cancel()
    (result,) = ends.done
    assert ends.failed == []
    assert result.cancelled
    assert not result.complete
    assert result.clean.n > 0
    assert sum(v.n for v in (result.clean, result.full)) < 128
    assert all(s.finish != "cancelled" for s in result.clean.samples)
    assert result.rows[0].only.n == 0
    assert result.rows[0].delta_only is None


def test_a_worker_that_dies_fails_the_job_once(own, draft, hint, ends):
    def update(result):
        if not ends.updates:
            os.kill(own.pid, signal.SIGKILL)
        ends.update(result)

    job = Job(own, ends.finish, ends.fail, ablate_sentences, with_plan(draft, samples=256), hint(HINT), update)
    assert job.wait(60)
    assert ends.done == []
    assert len(ends.failed) == 1
    assert job.worker_lost
    assert "crashed while it was generating 256 samples" in ends.failed[0]


def test_a_closed_worker_fails_the_job_once(draft, hint, ends):
    client = WorkerClient()
    client.close()
    Job(client, ends.finish, ends.fail, ablate_sentences, draft, hint(HINT), ends.update).wait(60)
    assert (ends.failed, ends.done) == (["The worker was closed."], [])


def test_a_model_that_cannot_be_loaded_is_named(own, draft, hint, ends, tmp_path):
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF")
    broken = dataclasses.replace(draft, solver=dataclasses.replace(draft.solver, model=str(path)))
    assert Job(own, ends.finish, ends.fail, ablate_sentences, broken, hint(HINT), ends.update).wait(60)
    assert len(ends.failed) == 1
    assert "broken.gguf" in ends.failed[0]


def test_symbolic_answers_are_compared_as_mathematics(shared, draft, hint, ends):
    problem = dataclasses.replace(draft.problem, kind=AnswerKind.SYMBOLIC, answer="\\frac{28}{2}")
    draft = dataclasses.replace(with_plan(draft, samples=2), problem=problem)
    result = ran(shared, draft, hint("The day was sunny."), ends)
    assert result.complete
    assert all((s.outcome is Outcome.RIGHT) == (s.answer == "14") for s in result.clean.samples if s.answer)


@pytest.mark.parametrize(
    ("text", "answer", "message"),
    [(" \n", "14", "no sentence"), ("A hint.", "x y", "true answer"), ("A hint.", "", "true answer")],
)
def test_what_cannot_be_tried_fails_with_words(shared, draft, hint, ends, text, answer, message):
    draft = dataclasses.replace(draft, problem=dataclasses.replace(draft.problem, answer=answer))
    Job(shared, ends.finish, ends.fail, ablate_sentences, draft, hint(text), ends.update)
    assert message in ends.wait().failed[0]
    assert ends.updates == []
