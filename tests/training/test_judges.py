"""Judges by name, an endpoint as a judge, and what is kept about judges."""

import pytest
from helpers import keyring_file
from helpers.interrupted_runs import events_of, make_run
from helpers.openai_server import FakeServer

from seirenes_app.services.judging import describe_judge
from training.core.types import AnswerKind, Problem
from training.core.validity import Ballot, Decision, Judge, JudgeOptions, JudgeQuestion, Ruling, Vote
from training.endpoints import Endpoint, EndpointError, save_endpoint
from training.errors import UserError
from training.evaluation.hint_labels import measure_agreement
from training.judges import (
    EndpointJudge,
    JudgeKind,
    JudgeRef,
    RulingFile,
    find_judge,
    find_measurement,
    keep_measurement,
    known_measurements,
)
from training.runner import run_directory
from training.runs.status import RunState, reduce

PROBLEM = Problem(
    "p", "typed", "Tom buys 7 apples and gets 5 more. How many has he?", "12", AnswerKind.NUMBER, "#### 12"
)
OPTIONS = JudgeOptions(votes=1)
KEPT = Decision(Ruling.KEPT, (Ballot(Vote.KEEPS, 1.0),), 1)


def never():
    return False


def judge_of(server, options=OPTIONS, model=""):
    return EndpointJudge(find_judge(f"{server.address}#{model}" if model else server.address), options)


def ask(server, n=1, **options):
    questions = [JudgeQuestion(PROBLEM.question, f"Hint {i}.", 0) for i in range(n)]
    return judge_of(server, **options).ask(questions, lambda *_: None, never)


@pytest.fixture(autouse=True)
def keyring(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    monkeypatch.setattr("training.endpoints.BACKOFF_S", 0.01)
    with keyring_file.file_keyring():
        yield tmp_path / "keyring.json"


def test_names_mean_folders_files_servers_and_the_starting_model(tmp_path):
    assert find_judge("starter").name == "starter"
    assert find_judge("reference", start="starter") == find_judge("starter")
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert find_judge(str(tmp_path / "m.gguf")).kind is JudgeKind.GGUF
    ref = find_judge("http://127.0.0.1:8080/v1/#qwen")
    assert (ref.kind, ref.place, ref.model) == (JudgeKind.SERVER, "http://127.0.0.1:8080/v1", "qwen")
    assert (ref.name, ref.argument) == ("qwen at 127.0.0.1:8080", "http://127.0.0.1:8080/v1#qwen")
    save_endpoint(Endpoint("wise", "http://127.0.0.1:8080/v1", "qwen"))
    saved = find_judge("endpoint:wise")
    assert (saved.key, saved.argument) == (ref.key, "endpoint:wise")
    assert find_judge(saved.argument) == saved
    for wrong in ("", "no/where/to/be/found.gguf", "http://", "http://user:secret@host/v1", "endpoint:x"):
        with pytest.raises(UserError):
            find_judge(wrong)


def test_the_key_of_a_model_changes_with_its_weights(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"1")
    first = JudgeRef(JudgeKind.FOLDER, str(tmp_path)).key
    (tmp_path / "model.safetensors").write_bytes(b"22")
    assert JudgeRef(JudgeKind.FOLDER, str(tmp_path)).key != first


def test_a_server_that_gives_log_probabilities_is_read_by_them():
    with FakeServer(lambda _: {"Yes": -2.0, " no": -0.2, "NO": -5.0, "Well": -4.0}) as server:
        (reply,) = ask(server, model="m")
    assert (round(reply.yes, 2), round(reply.no, 2)) == (0.14, 0.83)
    assert server.requests[0]["model"] == "m"
    assert server.requests[0]["messages"][-1]["content"].count(PROBLEM.question) == 1


def test_a_server_that_refuses_log_probabilities_is_asked_without_from_then_on():
    with FakeServer(lambda _: "No.", refuses={"logprobs"}) as server:
        judge = judge_of(server)
        for _ in range(2):
            (reply,) = judge.ask([JudgeQuestion("q", "h", 0)], lambda *_: None, never)
            assert (reply.text, reply.yes) == ("No.", None)
    assert ["logprobs" in body for body in server.requests] == [True, False, False]


@pytest.mark.parametrize("fault", ["garbage", "redirect", 401, 503])
def test_a_reply_that_cannot_be_used_is_no_vote(fault):
    with FakeServer() as server:
        server.always = fault
        (decision,) = Judge(judge_of(server, JudgeOptions(votes=3)), OPTIONS).decide([(PROBLEM, "h")])
    assert decision.ruling is Ruling.UNDECIDED
    assert decision.failure
    assert "could not be asked" in decision.reason


def test_replies_come_in_the_order_of_the_questions():
    with FakeServer(lambda body: body["messages"][-1]["content"].split("Hint ")[1].split(".")[0]) as server:
        assert [reply.text for reply in ask(server, n=30)] == [str(i) for i in range(30)]


def test_a_batch_that_was_cancelled_before_it_began_sends_nothing():
    with FakeServer() as server:
        questions = [JudgeQuestion("q", str(i), 0) for i in range(20)]
        replies = judge_of(server).ask(questions, lambda *_: None, lambda: True)
    assert len(replies) == 20
    assert all(reply.problem for reply in replies)
    assert server.requests == []


def test_solutions_of_a_server_raise_what_went_wrong_and_are_not_paid_twice():
    with FakeServer(lambda _: "#### 12") as server:
        judge = judge_of(server)
        chats = [[{"role": "user", "content": f"q{i}"}] for i in range(2)]
        assert judge.texts(chats, 3, 64, 1.0, lambda *_: None, never) == [["#### 12"] * 3] * 2
        assert server.bills == 6
        server.always = 404
        judge.texts(chats, 3, 64, 1.0, lambda *_: None, never)
        with pytest.raises(EndpointError, match="code 404"):
            judge.texts(chats, 4, 64, 1.0, lambda *_: None, never)


def test_rulings_outlive_the_process_and_a_damaged_line_is_left_out(tmp_path):
    path = tmp_path / "rulings.jsonl"
    first = RulingFile(path)
    first["a"] = KEPT
    with path.open("a") as file:
        file.write('{"key": "half')
    again = RulingFile(path)
    assert again["a"] == KEPT
    assert "b" not in again
    again["b"] = KEPT
    assert len(RulingFile(path)) == 1 + ("b" in RulingFile(path))


def test_a_measurement_counts_for_the_judge_and_options_that_it_was_made_with(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    ref, options = find_judge("http://127.0.0.1:1/v1#m"), JudgeOptions()
    assert find_measurement(ref, options) is None
    agreement = measure_agreement([True, False], [Ruling.KEPT, Ruling.CHANGED], ["a", "b"], 1.0)
    keep_measurement(ref, options, agreement)
    keep_measurement(ref, options, agreement)
    found = find_measurement(ref, options)
    assert found.agreement == agreement
    assert len(known_measurements()) == 1
    assert find_measurement(ref, JudgeOptions(votes=5)) is None
    assert find_measurement(find_judge("http://127.0.0.1:1/v1#other"), options) is None
    (tmp_path / "judges.json").write_text("[{")
    assert known_measurements() == []


def one_step(tmp_path, *overrides):
    paths = make_run(
        tmp_path, "r", "mode=random", "steps=1", "rollout.questions=4", "rollout.clean=2", "rollout.hints=2",
        "rollout.hinted=1", "evaluation.every=0", "evaluation.problems=4", "judge.votes=1", *overrides,
    )  # fmt: skip
    assert run_directory(paths.root) == "finished"
    found = events_of(paths)
    (step,) = (e.data["metrics"] for e in found if e.kind == "step")
    return paths, found, step


def test_a_run_refuses_what_its_judge_refuses_and_counts_who_decided(tmp_path):
    with FakeServer(lambda _: "yes") as chat:  # of one vote: "yes, it changes the answer"
        paths, found, step = one_step(tmp_path, f"judge.model={chat.address}#m")
    asked = 1 - step.get("decided_by/structure", 0) - step.get("decided_by/rule", 0)
    assert step.get("gate_fail/judge", 0) == pytest.approx(asked)
    assert step.get("decided_by/judge", 0) == pytest.approx(asked)
    assert "decided_by/nobody" not in step
    launch = next(e for e in found if e.kind == "launch")
    assert launch.data["judge"] == {"name": f"m at {chat.address[7:-3]}", "measured": None}
    assert describe_judge(reduce(RunState(), launch)) == f"m at {chat.address[7:-3]}: not measured"
    assert (len(chat.requests) > 0) == (asked > 0)
    assert paths.rulings.is_file() == (asked > 0)


def test_a_run_goes_on_without_its_judge_and_says_so(tmp_path):
    with FakeServer() as chat:
        pass
    _, found, step = one_step(tmp_path, f"judge.model={chat.address}")
    if step.get("gate_fail/judge"):
        (warning,) = (e for e in found if e.kind == "warning" and e.data["code"] == "judge_unavailable")
        assert "did not answer" in warning.data["message"]
    assert found[-1].data["outcome"] == "finished"
