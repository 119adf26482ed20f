"""Judges that torch runs: first-token probabilities, replies that are written, and the process that the app starts."""

import io
import json
import subprocess
import sys

import pytest
import torch
from helpers.hint_labels import labelled_hints
from helpers.openai_server import FakeServer

from training.core.validity import JudgeOptions, JudgeQuestion, Ruling
from training.engine.models import head_logits, hidden_states
from training.evaluation.hint_labels import judged_hints
from training.judge_requests import answer, load_judge, request_of
from training.judges import find_judge
from training.resources import resources_folder
from training.runs.processes import child_environment

OPTIONS = JudgeOptions(votes=3, max_tokens=8)
ASKED = [
    JudgeQuestion(h.problem.question, h.text, number)
    for number, h in enumerate([*list(labelled_hints("dev"))[:3], *list(labelled_hints("test"))[:3]])
]
TEN = judged_hints(10)


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))


def quiet(_done, _total):
    pass


def never():
    return False


@pytest.fixture(scope="module")
def starter():
    ref = find_judge("starter")
    return load_judge(ref, OPTIONS, threads=1, device="cpu")


@pytest.fixture(scope="module")
def smollm2(smollm2_folder):
    return load_judge(find_judge(str(smollm2_folder)), OPTIONS, threads=1, device="cpu")


def alone(model, prompt):
    """Probabilities of the first token after one prompt, without any sharing."""
    with torch.inference_mode():
        hidden = hidden_states(model.backend.model, input_ids=torch.tensor([prompt]), use_cache=False)
        return head_logits(model.backend.model, hidden[0, -1]).softmax(-1)


def test_shared_examples_and_padding_change_no_probability(starter):
    prompts = [starter._prompt(JudgeQuestion("Tom has 7 apples.", "It rains." * n, 0)) for n in (1, 4, 2)]
    starter._yes, starter._no = torch.tensor([40, 41]), torch.tensor([55])
    other = starter._prompt(JudgeQuestion("?", "?", 0))
    try:
        for _ in range(2):  # the second time with what was kept of the first
            for (yes, no), prompt in zip(starter._first_tokens(prompts, other), prompts, strict=True):
                probs = alone(starter, prompt)
                assert yes == pytest.approx(float(probs[40] + probs[41]), rel=1e-3)
                assert no == pytest.approx(float(probs[55]), rel=1e-3)
        assert len(starter._prefixes) == 1
    finally:
        starter._yes = starter._no = torch.tensor([], dtype=torch.long)


def test_a_model_without_a_word_for_yes_writes_its_reply(starter):
    replies = starter.ask(ASKED, quiet, never)
    assert all(reply.yes is None and not reply.problem for reply in replies)
    assert len(replies) == len(ASKED)


def test_a_question_that_does_not_fit_is_no_vote_and_fewer_examples_make_room(starter):
    short, long = JudgeQuestion("Tom has 7 apples.", "It rains.", 0), JudgeQuestion("Tom has 7 apples. " * 300, "", 0)
    assert 0 < len(starter._prompt(short)) < starter.backend.context
    found = starter.ask([long, short], quiet, never)
    assert "does not fit" in found[0].problem
    assert not found[1].problem


def test_a_real_model_says_yes_or_no_by_its_first_token(smollm2):
    chats = [JudgeQuestion(h.problem.question, h.text, 0).messages(examples=1) for h in TEN[::5]]
    prompts = [smollm2.backend.codec.encode_chat(chat) for chat in chats]
    shares = smollm2._first_tokens(prompts)
    probs = alone(smollm2, prompts[0])
    assert shares[0][0] == pytest.approx(float(probs[smollm2._yes].sum()), rel=0.02, abs=1e-4)
    assert shares[0][1] == pytest.approx(float(probs[smollm2._no].sum()), rel=0.02, abs=1e-4)
    assert sum(shares[0]) > 0.5


def request(**fields):
    hints = [{"question": h.problem.question, "hint": h.text, "gold": h.problem.answer} for h in TEN]
    return request_of(json.dumps({"judge": {"model": "starter", "votes": 1}, "hints": hints, **fields}))


def test_the_process_writes_a_line_for_each_hint_in_its_order():
    with FakeServer(lambda body: "yes" if "eats" in body["messages"][-1]["content"] else "no") as chat:
        out = io.StringIO()
        answer(request(judge={"model": chat.address, "votes": 1}), out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    decided = [line for line in lines if "ruling" in line]
    expected = [Ruling.CHANGED if "eats" in h.text else Ruling.KEPT for h in TEN]
    assert [line["ruling"] for line in decided] == expected
    assert all(line["seconds"] >= 0 and line["votes"] == 1 for line in decided)


def test_a_solver_that_solves_only_without_the_hint_has_a_changed_consensus():
    gold = {h.problem.question: h.problem.answer for h in TEN}

    def solve(body):
        text = body["messages"][-1]["content"]
        question = next(q for q in gold if q in text)
        hinted = any(h.text in text for h in TEN)
        return f"#### {gold[question] if not hinted else 123456}"

    with FakeServer(solve) as chat:
        out = io.StringIO()
        answer(request(judge={"model": chat.address}, solve=2, prompts="neutral"), out)
    decided = [line for line in map(json.loads, out.getvalue().splitlines()) if "ruling" in line]
    for line, hint in zip(decided, TEN, strict=True):
        assert line["clean"] == {hint.problem.answer: 2}
        if hint.problem.kind == "number":
            assert line["ruling"] == Ruling.CHANGED


def test_the_verb_refuses_a_judge_that_is_not_there():
    done = subprocess.run(
        [sys.executable, "-m", "training", "judge"], input=json.dumps({"judge": {"model": "/no/where"}, "hints": []}),
        capture_output=True, text=True, env=child_environment(), timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "was not found" in done.stderr


def test_the_bundled_model_is_a_model_that_can_be_asked():
    out = io.StringIO()
    answer(request(threads=1, device="cpu"), out)
    decided = [line for line in map(json.loads, out.getvalue().splitlines()) if "ruling" in line]
    assert len(decided) == 10
    assert {line["ruling"] for line in decided} <= set(Ruling)


def test_a_gguf_judges_as_the_folder_that_it_was_made_of(starter):
    ref = find_judge(str(resources_folder() / "starter" / "starter-f16.gguf"))
    model = load_judge(ref, OPTIONS, threads=1, device="cpu")
    assert model.key == ref.key
    question = JudgeQuestion("Tom has 7 apples.", "It rains.", 0)
    assert model._prompt(question) == starter._prompt(question)
