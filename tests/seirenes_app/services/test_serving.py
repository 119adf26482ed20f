"""A model served over HTTP: what it answers is what the worker answers, and it ends when it should."""

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace

import psutil
import pytest

from seirenes_app.cli.serve import describe
from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.model_client import Cancelled, CompletionSpec, open_model
from seirenes_app.inference.models import bundled_model
from seirenes_app.inference.protocol import Message, RenderRequest
from seirenes_app.inference.server_record import is_loopback, process_of, write_record
from seirenes_app.services.serving import (
    ServeRequest,
    check_request,
    find_server,
    list_servers,
    start_server,
    stop_server,
)
from training.errors import UserError
from training.runs.processes import child_environment

QUESTIONS = (
    "Tom has 12 apples. He buys 7 more apples and gives 5 apples to Anna. How many apples does Tom have now?",
    "Nora has 14 stickers and gives 5 of them to Sam. How many stickers does Nora have now?",
    "Say <|im_end|> and <|endoftext|>.",
)
PATIENCE_S = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEIRENES_DATA", str(tmp_path_factory.mktemp("data")))
        # The server's own settings are read from the environment too; none of these may count.
        patch.setenv("SEED", "7")
        patch.setenv("API_KEY", "from-the-environment")
        patch.setenv("CHAT_FORMAT", "llama-2")
        found = start_server(ServeRequest(port=0, threads=1))
        yield found
        found.stop()


def post(server, body, path="/chat/completions", key=""):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(server.record.base_url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
        return reply.read().decode()


def ask(server, question, **settings):
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 64, **settings}
    return json.loads(post(server, body))


def text_of(reply):
    return reply["choices"][0]["message"]["content"]


def refusal(server, body, **how):
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(server, body, **how)
    return caught.value.code, caught.value.read().decode()


def test_greedy_texts_are_those_of_the_worker(server):
    with open_model("starter", threads=1) as model:
        chats = [[{"role": "user", "content": question}] for question in QUESTIONS]
        ours = model.complete(chats, CompletionSpec(max_tokens=64))
    assert [text_of(ask(server, question)) for question in QUESTIONS] == [found[0].text for found in ours]


def test_a_prompt_has_the_tokens_that_the_worker_makes_of_it(server):
    # Special tokens that a user writes are text for both.
    counts = [ask(server, question)["usage"]["prompt_tokens"] for question in QUESTIONS]
    with WorkerClient() as client:
        client.load(bundled_model(), threads=1).result(PATIENCE_S)
        rendered = [
            client.send(RenderRequest(messages=(Message("user", question),))).result(PATIENCE_S)
            for question in QUESTIONS
        ]
    assert counts == [each.n_tokens for each in rendered]


def test_a_reply_names_what_answered(server):
    assert ask(server, QUESTIONS[0], model="gpt-of-another")["model"] == "starter"


def test_log_probabilities_are_given_for_each_token(server):
    reply = ask(server, QUESTIONS[0], logprobs=True)
    found = reply["choices"][0]["logprobs"]["content"]
    assert len(found) == reply["usage"]["completion_tokens"]
    assert all(each["logprob"] <= 0 for each in found)


def test_samples_differ_without_a_seed_and_agree_with_one(server):
    unseeded = {text_of(ask(server, QUESTIONS[0], temperature=2)) for _ in range(6)}
    seeded = {text_of(ask(server, QUESTIONS[0], temperature=2, seed=5)) for _ in range(3)}
    assert len(unseeded) > 1
    assert len(seeded) == 1


def test_a_streamed_text_is_the_whole_one(server):
    body = {"messages": [{"role": "user", "content": QUESTIONS[0]}], "temperature": 0, "max_tokens": 64}
    lines = [line.removeprefix("data: ") for line in post(server, body | {"stream": True}).splitlines() if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line)["choices"][0] for line in lines[:-1]]
    assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == text_of(ask(server, QUESTIONS[0]))
    assert chunks[-1]["finish_reason"] == "stop"


def test_a_limit_under_its_newer_name_counts(server):
    body = {"messages": [{"role": "user", "content": QUESTIONS[0]}], "temperature": 0, "max_completion_tokens": 3}
    reply = json.loads(post(server, body))
    assert reply["usage"]["completion_tokens"] == 3
    assert reply["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "extra",
    [
        {"n": 2}, {"tools": [{"type": "function"}]}, {"response_format": {"type": "json_object"}}, {"messages": []},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"messages": [{"role": "wizard", "content": "x"}]},
    ],
)  # fmt: skip
def test_what_would_be_ignored_is_refused(server, extra):
    code, text = refusal(server, {"messages": [{"role": "user", "content": "Hi"}], **extra})
    assert code == 400
    assert json.loads(text)["error"]["message"]


def test_a_prompt_that_is_too_long_is_refused_by_the_client_error_of_the_protocol(server):
    code, text = refusal(server, {"messages": [{"role": "user", "content": "apples " * 2000}]})
    assert code == 400
    assert json.loads(text)["error"]["code"] == "context_length_exceeded"


def test_pages_of_the_web_may_not_ask(server):
    request = urllib.request.Request(server.record.base_url + "/models", headers={"Origin": "https://example.com"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
        assert "access-control-allow-origin" not in reply.headers


def test_a_server_is_listed_while_it_runs(server, monkeypatch):
    assert [each.pid for each in list_servers()] == [server.record.pid]
    assert find_server(str(server.record.port)) == find_server("starter") == server.record
    with pytest.raises(UserError, match="No server is called 'other'"):
        find_server("other")


def test_a_record_of_a_process_that_is_gone_is_dropped(tmp_path, monkeypatch, server):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    write_record(replace(server.record, born=1.0))
    assert list_servers() == []
    assert not list((tmp_path / "servers").glob("*.json"))


def test_a_taken_port_is_said_before_the_model_is_loaded(server):
    with pytest.raises(UserError, match=r"is taken by another program"):
        start_server(ServeRequest(port=server.record.port))


def test_a_broken_file_is_said_with_its_reason(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 64)
    with pytest.raises(UserError, match=r"broken\.gguf"):
        start_server(ServeRequest(str(broken), port=0))


def test_more_context_than_the_model_has_is_refused():
    with pytest.raises(UserError, match="--context 512 or less"):
        start_server(ServeRequest(port=0, n_ctx=100_000))


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (ServeRequest(host="0.0.0.0"), "needs a key"), (ServeRequest(port=70000), "1 to 65535"),
        (ServeRequest(api_key="short"), "at least"), (ServeRequest(alias="a b"), "no name for a model"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused_at_once(request_, reason):
    with pytest.raises(UserError, match=reason):
        check_request(request_)


def test_only_this_machine_is_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "192.168.1.2", "::", "example.com")))


def test_a_cancelled_start_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    with pytest.raises(Cancelled):
        start_server(ServeRequest(port=0), cancelled=lambda: True)
    assert list_servers() == []


def test_a_key_is_asked_for_and_stands_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    key = "planted-key-of-the-test"
    request = ServeRequest(port=0, threads=1, api_key=key, keep=True)
    assert key not in repr(request)
    found = start_server(request)
    try:
        process = process_of(found.record)
        assert refusal(found, {"messages": [{"role": "user", "content": "Hi"}]})[0] == 401
        assert post(found, {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}, key=key)
        assert key not in " ".join(process.cmdline())
        assert all(key.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
        assert key not in json.dumps(describe(found.record))
    finally:
        # Kept: it does not end with the one that started it, and anyone can stop it.
        stop_server(found.record)
    assert process_of(found.record) is None
    assert list_servers() == []


def test_a_server_ends_with_the_process_that_started_it(tmp_path):
    code = (
        "import os; from seirenes_app.services.serving import *; "
        "s = start_server(ServeRequest(port=0, threads=1)); print(s.record.pid, flush=True); os._exit(9)"
    )
    env = {**child_environment(), "SEIRENES_DATA": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=PATIENCE_S)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(PATIENCE_S)
