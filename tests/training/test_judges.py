"""Judges by name, a server as a judge with all that can go wrong, and what is kept about judges."""

import json
import time

import pytest
from helpers import keyring_file
from helpers.chat_server import ChatServer
from helpers.interrupted_runs import events_of, make_run

from seirenes_app.services.judging import describe_judge
from training.core.types import AnswerKind, Problem
from training.core.validity import Ballot, Decision, Judge, JudgeOptions, JudgeQuestion, Ruling, Vote
from training.errors import UserError
from training.evaluation.hint_labels import measure_agreement
from training.judges import (
    ATTEMPTS,
    JudgeKind,
    JudgeRef,
    RulingFile,
    Server,
    ServerError,
    find_judge,
    find_measurement,
    keep_measurement,
    known_measurements,
    save_server_key,
)
from training.runner import run_directory
from training.runs.status import RunState, reduce

PROBLEM = Problem(
    "p", "typed", "Tom buys 7 apples and gets 5 more. How many has he?", "12", AnswerKind.NUMBER, "#### 12"
)
OPTIONS = JudgeOptions(votes=1, timeout_s=0.4)
KEPT = Decision(Ruling.KEPT, (Ballot(Vote.KEEPS, 1.0),), 1)


def never():
    return False


def server_of(chat, options=OPTIONS, model=""):
    return Server(find_judge(f"{chat.address}#{model}" if model else chat.address), options, sleep=lambda _s: None)


def ask(chat, n=1, **options):
    questions = [JudgeQuestion(PROBLEM.question, f"Hint {i}.", 0) for i in range(n)]
    return server_of(chat, **options).ask(questions, lambda *_: None, never)


@pytest.fixture(autouse=True)
def keyring(tmp_path, monkeypatch):
    import keyring as library

    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    before = library.get_keyring()
    library.set_keyring(keyring_file.FileKeyring())
    yield tmp_path / "keyring.json"
    library.set_keyring(before)


def test_names_mean_folders_files_servers_and_the_starting_model(tmp_path):
    assert find_judge("starter").name == "starter"
    assert find_judge("reference", start="starter") == find_judge("starter")
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert find_judge(str(tmp_path / "m.gguf")).kind is JudgeKind.GGUF
    ref = find_judge("http://127.0.0.1:8080/v1/#qwen")
    assert (ref.kind, ref.place, ref.model) == (JudgeKind.SERVER, "http://127.0.0.1:8080/v1", "qwen")
    assert ref.name == "qwen at 127.0.0.1:8080"
    for wrong in ("", "no/where/to/be/found.gguf", "http://", "http://user:secret@host/v1", "http://host:port/v1"):
        with pytest.raises(UserError):
            find_judge(wrong)


def test_the_key_of_a_model_changes_with_its_weights(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"1")
    first = JudgeRef(JudgeKind.FOLDER, str(tmp_path)).key
    (tmp_path / "model.safetensors").write_bytes(b"22")
    assert JudgeRef(JudgeKind.FOLDER, str(tmp_path)).key != first


def test_a_server_that_gives_log_probabilities_is_read_by_them():
    with ChatServer(lambda _: {"Yes": -2.0, " no": -0.2, "NO": -5.0, "Well": -4.0}, logprobs=True) as chat:
        (reply,) = ask(chat, model="m")
    assert (round(reply.yes, 2), round(reply.no, 2)) == (0.14, 0.83)
    assert chat.requests[0]["model"] == "m"
    assert chat.requests[0]["messages"][-1]["content"].count(PROBLEM.question) == 1


def test_a_server_that_refuses_log_probabilities_is_asked_without_from_then_on():
    with ChatServer(lambda _: "No.") as chat:
        server = server_of(chat)
        for _ in range(2):
            (reply,) = server.ask([JudgeQuestion("q", "h", 0)], lambda *_: None, never)
            assert (reply.text, reply.yes) == ("No.", None)
    assert ["logprobs" in body for body in chat.requests] == [True, False, False]


@pytest.mark.parametrize("fault", ["slow", "drip_head", "drip_body"])
def test_a_server_that_is_too_slow_is_left_at_its_time_limit(fault):
    with ChatServer() as chat:
        chat.always, started = fault, time.monotonic()
        (reply,) = ask(chat)
    assert "within 0.4 s" in reply.problem
    assert time.monotonic() - started < 0.4 * ATTEMPTS + 1.5


@pytest.mark.parametrize("fault", ["drop", 500, 503, 429])
def test_a_passing_fault_is_tried_again_and_a_lasting_one_is_said(fault):
    with ChatServer(lambda _: "no") as chat:
        chat.faults = [fault, fault]
        assert ask(chat)[0].text == "no"
        chat.always = fault
        assert ask(chat)[0].problem
    assert len(chat.requests) >= 2 + ATTEMPTS


@pytest.mark.parametrize("fault", ["garbage", "endless", "redirect", 401, 404])
def test_a_reply_that_cannot_be_used_is_no_vote(fault):
    with ChatServer() as chat:
        chat.always = fault
        (decision,) = Judge(server_of(chat, JudgeOptions(votes=3, timeout_s=5.0)), OPTIONS).decide([(PROBLEM, "h")])
    assert decision.ruling is Ruling.UNDECIDED
    assert decision.failure
    assert "could not be asked" in decision.reason


def test_after_many_failures_in_a_row_the_rest_is_not_sent():
    with ChatServer() as chat:
        chat.always = 401
        replies = ask(chat, n=60)
    assert all(reply.problem for reply in replies)
    assert len(chat.requests) <= 40


def test_no_server_at_all_is_said_at_once():
    with ChatServer() as chat:
        pass
    (reply,) = ask(chat)
    assert "did not answer" in reply.problem


def test_replies_come_in_the_order_of_the_questions():
    with ChatServer(lambda messages: messages[-1]["content"].split("Hint ")[1].split(".")[0]) as chat:
        assert [reply.text for reply in ask(chat, n=30)] == [str(i) for i in range(30)]


def test_a_cancelled_batch_sends_no_more():
    with ChatServer() as chat:
        replies = server_of(chat).ask([JudgeQuestion("q", str(i), 0) for i in range(20)], lambda *_: None, lambda: True)
    assert len(replies) == 20
    assert not chat.requests


def test_solutions_of_a_server_raise_what_went_wrong():
    with ChatServer(lambda _: "#### 12") as chat:
        server = server_of(chat)
        chats = [[{"role": "user", "content": "q"}]] * 2
        assert server.texts(chats, 3, 64, 1.0, lambda *_: None, never) == [["#### 12"] * 3] * 2
        chat.always = 404
        with pytest.raises(ServerError, match="code 404"):
            server.texts(chats, 1, 64, 1.0, lambda *_: None, never)


def test_a_key_is_kept_in_the_keyring_and_goes_to_its_server_alone(keyring):
    with ChatServer() as chat, ChatServer() as other:
        save_server_key(chat.address, "sk-secret")
        ask(chat)
        ask(other)
        assert {body["key"] for body in chat.requests} == {"Bearer sk-secret"}
        assert {body["key"] for body in other.requests} == {None}
        save_server_key(chat.address, "")
        assert json.loads(keyring.read_text()) == {}
    with pytest.raises(UserError):
        save_server_key(chat.address, "two words")
    save_server_key("http://example.com/v1", "sk-secret")
    assert Server(find_judge("http://example.com/v1"), OPTIONS)._secret is None
    save_server_key("https://example.com/v1", "sk-secret")
    assert Server(find_judge("https://example.com/v1"), OPTIONS)._secret == "sk-secret"


def test_a_locked_keyring_gives_no_key_and_says_so_when_one_is_saved(keyring, monkeypatch):
    monkeypatch.setenv("TEST_KEYRING_LOCKED", "1")
    assert Server(find_judge("http://127.0.0.1:1/v1"), OPTIONS)._secret is None
    with pytest.raises(UserError, match="keyring"):
        save_server_key("http://127.0.0.1:1/v1", "sk-secret")


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
    with ChatServer(lambda _: "yes") as chat:  # of one vote: "yes, it changes the answer"
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
    with ChatServer() as chat:
        pass
    _, found, step = one_step(tmp_path, f"judge.model={chat.address}")
    if step.get("gate_fail/judge"):
        (warning,) = (e for e in found if e.kind == "warning" and e.data["code"] == "judge_unavailable")
        assert "did not answer" in warning.data["message"]
    assert found[-1].data["outcome"] == "finished"
