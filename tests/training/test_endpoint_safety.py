"""What must never happen with endpoints: a request that is billed twice, a row that is lost, a key that is written."""

import contextlib
import json
import logging
import os
import random
import signal
import sqlite3
import threading
import time
import traceback

import psutil
import pytest
from helpers import keyring_file
from helpers.openai_server import FakeServer, some_words

import training.endpoints as module
from seirenes_app.cli.main import main
from training.endpoint_store import is_at_work
from training.endpoints import (
    ChatReply,
    ChatRequest,
    Endpoint,
    EndpointError,
    EndpointSession,
    EndpointStore,
    probe,
    save_endpoint,
    save_server_key,
)
from training.errors import UserError

KEY = "sk-planted-4711"
REQUESTS, KILLS = 200, 10


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    monkeypatch.setattr(module, "BACKOFF_S", 0.01)
    with keyring_file.file_keyring():
        yield tmp_path / "data"


def requests_of(count):
    return [ChatRequest([{"role": "user", "content": f"Question {i}"}], 32, temperature=1.0) for i in range(count)]


def ask_in_a_child(server):
    """The whole batch in a process of its own; returns its PID."""
    pid = os.fork()
    if pid == 0:
        try:
            with EndpointSession(Endpoint("", server.address, "m")) as session:
                session.complete(requests_of(REQUESTS))
        finally:
            os._exit(0)
    return pid


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_ten_kills_in_the_middle_of_a_batch_bill_nothing_twice_and_lose_no_row(data):
    rng, over = random.Random(15), threading.Event()

    def say(body):
        # No batch comes to its end before it is killed, however quick the machine is.
        if body["model"] == "m" and body["messages"][0]["content"] == f"Question {REQUESTS - 1}":
            over.wait(120)
        return some_words(body)

    with FakeServer(say, delay_s=0.01) as server:
        with EndpointSession(Endpoint("", server.address, "warm")) as session:
            session.complete(requests_of(1))
        server.billed.clear()
        for kill in range(KILLS):
            pid = ask_in_a_child(server)
            target = (kill + rng.random()) * REQUESTS / (KILLS + 1)
            limit = time.monotonic() + 120
            while server.bills < target and time.monotonic() < limit:
                time.sleep(0.002)
            time.sleep(rng.random() * 0.03)
            os.kill(pid, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL, "it ended before it was killed"
        before = server.bills
        over.set()
        with contextlib.closing(sqlite3.connect(data / "endpoint_cache.db")) as db:
            states = dict(
                db.execute("SELECT state, count(*) FROM replies WHERE endpoint NOT LIKE '%warm' GROUP BY state")
            )
        with EndpointSession(Endpoint("", server.address, "m")) as session:
            replies = session.complete(requests_of(REQUESTS))
            meter = session.meter
        assert before < REQUESTS
        assert all(isinstance(r, ChatReply) for r in replies)
        # A reply that was paid is the one that is used: at this temperature another one would have other words.
        paid = {made["choices"][0]["message"]["content"] for made in server._replies.values()}
        assert {r.text for r in replies} <= paid
    assert len(server.billed) == REQUESTS
    assert max(server.billed.values()) == 1
    assert meter.cached == states["done"]
    assert meter.cached + meter.replies == REQUESTS
    assert meter.maybe_paid == states.get("sent", 0)
    with EndpointStore() as store:
        used = next(u for u in store.usage() if u.endpoint.endswith("#m"))
    assert used.paid == REQUESTS
    assert used.maybe_paid == used.requests - REQUESTS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_row_of_a_process_that_was_killed_is_free_though_nobody_has_asked_for_its_exit_code():
    with EndpointStore() as store:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        owner = f"{pid}:{psutil.Process(pid).create_time():.3f}:x"
        assert is_at_work(owner)
        assert is_at_work(store.owner)
        os.kill(pid, signal.SIGKILL)
        limit = time.monotonic() + 60
        while is_at_work(owner) and time.monotonic() < limit:
            time.sleep(0.01)
        assert not is_at_work(owner)
        os.waitpid(pid, 0)
    assert not is_at_work(store.owner)


FAULTS = [
    "drop", "drop_after", "garbage", "not_json", "html", "empty", "error_in_reply", "tools", "packed", "redirect",
    "echo_key", "other_model", "no_credit", "too_long", "stream_garbage", "stream_cut", 400, 401, 403, 404, 422, 429, 500,
]  # fmt: skip


def test_a_key_is_in_no_file_log_error_or_output_whatever_a_server_does(data, tmp_path, capsys):
    log = logging.FileHandler(tmp_path / "all.log")
    logging.getLogger().addHandler(log)
    logging.getLogger().setLevel(logging.DEBUG)
    shown = []
    try:
        with FakeServer(key=KEY, reasoning=f"the key is {KEY}") as server, FakeServer(key="sk-another") as other:
            save_server_key(server.address, KEY)
            save_server_key(other.address, KEY)
            endpoint = save_endpoint(Endpoint("mine", server.address, "m", timeout_s=20.0, attempts=2))
            for fault in FAULTS:
                server.always = fault
                with EndpointSession(endpoint) as session:
                    for made in (*session.complete(requests_of(2)), session, endpoint, session.notes):
                        shown.append(repr(made))
                        if isinstance(made, EndpointError):
                            shown.append("".join(traceback.format_exception(made)))
                    try:
                        shown.append(repr(session.stream(requests_of(3)[2], shown.append)))
                    except EndpointError as error:
                        shown.append("".join(traceback.format_exception(error)))
                if fault in ("echo_key", "error_in_reply", 400, 401):
                    main(["endpoint", "ask", "mine", "hello"])
            server.always = ""
            shown.append(repr(probe(endpoint)))
            save_endpoint(Endpoint("theirs", other.address, "m"))
            for arguments in (
                ["list"],
                ["show", "mine", "--json"],
                ["ask", "theirs", "hi"],
                ["probe", "theirs"],
                ["usage"],
            ):
                main(["endpoint", *arguments])
            assert any(r["key"] == f"Bearer {KEY}" for r in server.requests)
    finally:
        logging.getLogger().removeHandler(log)
        logging.getLogger().setLevel(logging.WARNING)
        log.close()
    captured = capsys.readouterr()
    shown += [captured.out, captured.err]
    assert not [text for text in shown if KEY in text]
    written = [f for f in tmp_path.rglob("*") if f.is_file() and f.name != "keyring.json"]
    assert {"endpoints.json", "endpoint_cache.db", "all.log"} <= {f.name for f in written}
    assert not [f for f in written if KEY.encode() in f.read_bytes()]


def test_a_damaged_store_or_file_is_said_with_its_place(data):
    data.mkdir()
    (data / "endpoint_cache.db").write_bytes(b"no database " * 500)
    with pytest.raises(UserError, match=r"endpoint_cache\.db is damaged"):
        EndpointSession(Endpoint("", "http://127.0.0.1:9/v1"))
    (data / "endpoints.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(UserError, match="Update seirenes"):
        module.list_endpoints()
    (data / "endpoints.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        module.find_endpoint("endpoint:a")
