"""Endpoints: what is kept about them, and a session against a server in all its moods."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from helpers import keyring_file
from helpers.openai_server import FakeServer

import training.endpoints as module
from training.endpoints import (
    CAPABILITIES,
    Budget,
    Capability,
    ChatReply,
    ChatRequest,
    Endpoint,
    EndpointError,
    EndpointProblem,
    EndpointSession,
    EndpointStore,
    Finish,
    KeySource,
    Price,
    Usage,
    endpoint_file,
    estimate,
    find_endpoint,
    key_source,
    list_endpoints,
    names_endpoint,
    probe,
    remove_endpoint,
    save_endpoint,
    save_server_key,
)
from training.errors import UserError


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    monkeypatch.setattr(module, "BACKOFF_S", 0.01)
    with keyring_file.file_keyring():
        yield tmp_path / "data"


def ask_for(text, **options):
    return ChatRequest([{"role": "user", "content": text}], options.pop("max_tokens", 32), **options)


def requests_of(count, **options):
    return [ask_for(f"Question {i}", **options) for i in range(count)]


def session_of(server, *, budget=None, on_meter=None, fresh=False, account="", **fields):
    endpoint = Endpoint(
        fields.pop("name", ""), server.address, fields.pop("model", "m"), **{"timeout_s": 30.0, **fields}
    )
    return EndpointSession(endpoint, budget=budget, on_meter=on_meter, fresh=fresh, account=account)


def test_replies_come_in_the_order_of_the_requests_and_are_asked_once():
    with FakeServer(lambda body: body["messages"][-1]["content"][9:], delay_s=0.1) as server:
        with session_of(server) as session:
            replies = session.complete(requests_of(40))
            assert [r.text for r in replies] == [str(i) for i in range(40)]
            assert not any(r.cached for r in replies)
            again = session.complete(requests_of(40))
            assert all(r.cached for r in again)
            assert session.meter.requests == session.meter.replies == session.meter.cached == 40
        with session_of(server) as session:
            assert [r.text for r in session.complete(requests_of(40))] == [str(i) for i in range(40)]
            assert session.meter.requests == 0
    assert server.bills == 40
    assert 1 < server.most_at_once <= 8


# ---------------------------------------------------------------------- what is kept


def test_endpoints_are_kept_by_name_and_the_key_is_not_among_them(data):
    made = save_endpoint(Endpoint("big", "https://example.com/v1/", "gpt", Price(1.0, 2.0), extra={"top_k": 4}))
    save_endpoint(Endpoint("Alpha", "http://127.0.0.1:8000/v1"))
    assert made.base_url == "https://example.com/v1"
    assert [e.name for e in list_endpoints()] == ["Alpha", "big"]
    assert find_endpoint("endpoint:BIG") == made
    assert (made.argument, made.key) == ("endpoint:big", "https://example.com/v1#gpt")
    unsaved = find_endpoint("http://127.0.0.1:9/v1#q")
    assert (unsaved.argument, unsaved.name) == ("http://127.0.0.1:9/v1#q", "")
    save_server_key(made.base_url, "sk-planted")
    assert "sk-planted" not in endpoint_file().read_text()
    remove_endpoint("big")
    with pytest.raises(UserError, match=r"no endpoint named 'alpa'\. Did you mean endpoint:Alpha"):
        find_endpoint("endpoint:alpa")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "two words"}, {"name": ""}, {"base_url": "ftp://host"}, {"base_url": "https://key@host/v1"},
        {"base_url": "https://host/v1?key=1"}, {"concurrency": 0}, {"timeout_s": float("nan")}, {"price": Price(-1, 0)},
        {"requests_per_minute": 0}, {"extra": {"api_key": "x"}}, {"extra": {"messages": []}}, {"base_url": "http://h:p"},
    ],
)  # fmt: skip
def test_an_endpoint_that_cannot_work_is_refused_with_its_field(wrong):
    with pytest.raises(UserError):
        save_endpoint(Endpoint(**{"name": "a", "base_url": "https://host/v1", **wrong}))
    assert list_endpoints() == []


def test_an_address_names_an_endpoint_unless_it_is_a_page_of_the_hub(monkeypatch):
    assert all(map(names_endpoint, ("endpoint:a", "https://host/v1#m", "https://router.huggingface.co/v1#org/m")))
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    for other in ("starter", "org/name", "hf:org/name", "https://huggingface.co/org/name", "https://hub.example/org/m"):
        assert not names_endpoint(other)


def test_names_that_would_share_a_key_in_the_environment_are_refused():
    save_endpoint(Endpoint("my-server", "https://host/v1"))
    with pytest.raises(UserError, match="too much like 'my-server'"):
        save_endpoint(Endpoint("my_server", "https://other/v1"))
    save_endpoint(Endpoint("MY-server", "https://other/v1"))
    assert [e.base_url for e in list_endpoints()] == ["https://other/v1"]


def test_an_endpoint_that_was_broken_by_hand_is_said_when_it_is_asked_and_can_be_removed():
    save_endpoint(Endpoint("a", "https://host/v1"))
    file = endpoint_file()
    file.write_text(file.read_text().replace('"concurrency": 8', '"concurrency": 0'))
    with pytest.raises(UserError, match="concurrency is 0"):
        EndpointSession(find_endpoint("endpoint:a"))
    remove_endpoint("a")


def test_an_address_or_a_proxy_that_nothing_can_be_sent_to_is_an_error(monkeypatch):
    with EndpointSession(find_endpoint("http://💥/v1")) as session:
        assert "cannot be asked (InvalidURL)" in str(session.complete([ask_for("q")])[0])
    monkeypatch.setenv("HTTPS_PROXY", "what://proxy")
    with EndpointSession(find_endpoint("https://host.invalid/v1")) as session:
        (error,) = session.complete([ask_for("q")])
        assert "HTTPS_PROXY" in str(error)
        assert (error.maybe_paid, session.meter.maybe_paid) == (False, 0)


def test_a_key_comes_from_the_keyring_or_the_environment_and_goes_over_tls_only(monkeypatch):
    plain = Endpoint("my-server", "http://example.com/v1")
    secure = Endpoint("my-server", "https://example.com/v1")
    for endpoint in (plain, secure):
        assert key_source(endpoint) is KeySource.NONE
        save_server_key(endpoint.base_url, "sk-1")
    assert (key_source(plain), key_source(secure)) == (KeySource.NONE, KeySource.KEYRING)
    monkeypatch.setenv("SEIRENES_ENDPOINT_KEY_MY_SERVER", "sk-2")
    assert (key_source(plain), key_source(secure)) == (KeySource.NONE, KeySource.ENVIRONMENT)
    save_server_key(secure.base_url, "")
    monkeypatch.delenv("SEIRENES_ENDPOINT_KEY_MY_SERVER")
    assert key_source(secure) is KeySource.NONE
    monkeypatch.setenv("TEST_KEYRING_LOCKED", "1")
    with pytest.raises(UserError, match="SEIRENES_ENDPOINT_KEY_NAME"):
        save_server_key(secure.base_url, "sk-1")


# ---------------------------------------------------------------------- errors and retries


def test_a_key_goes_to_its_own_server_and_nothing_comes_from_the_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_BASE_URL", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/sk-foreign")
    with FakeServer() as server, FakeServer(key="sk-mine") as other:
        save_server_key(other.address, "sk-mine")
        for each in (server, other):
            with session_of(each) as session:
                assert isinstance(session.complete([ask_for("q")])[0], ChatReply)
    assert server.requests[0]["key"] is None
    assert other.requests[0]["key"] == "Bearer sk-mine"
    assert "sk-foreign" not in json.dumps([server.requests, other.requests])


@pytest.mark.parametrize(
    ("fault", "unsure"), [("drop", True), (503, False), (429, False), (500, True), ("drop_after", True)]
)
def test_a_passing_fault_is_tried_again_with_the_same_idempotency_key_where_it_may_be_paid(fault, unsure):
    with FakeServer() as server, session_of(server) as session:
        server.faults = [fault]
        (reply,) = session.complete([ask_for("q")])
        assert isinstance(reply, ChatReply), reply
        assert server.bills == 1
        assert len({r["idempotency"] for r in server.requests}) == (1 if unsure else 2)
        meter = session.meter
        assert (meter.maybe_paid, meter.retried, meter.failed) == (unsure, len(server.requests) - 1, 0)
        assert session._store.usage()[0].maybe_paid == unsure


@pytest.mark.parametrize(
    ("fault", "problem", "said", "asked"),
    [
        ("garbage", "unreadable", "cannot be read", 1), ("not_json", "unreadable", "cannot be read", 1),
        ("html", "unreadable", "web page", 1), ("empty", "unreadable", "no completion", 1),
        ("tools", "unreadable", "called a tool", 1), ("error_in_reply", "unreadable", "an error in place", 1),
        ("endless", "unreadable", "more than", 1), ("packed", "unreadable", "packed", 1),
        ("redirect", "refused", "elsewhere", 1), (401, "refused", "wants a key", 1), (404, "refused", "ends with /v1", 1),
        ("no_credit", "refused", "credit", 1), ("too_long", "too_long", "Allow fewer tokens", 1),
        (400, "refused", "code 400", 1), (500, "busy", "code 500", 3), (503, "busy", "try again later", 8),
        ("drop", "unreachable", "broke off", 3), ("drop_after", "unreachable", "broke off", 3),
    ],
)  # fmt: skip
def test_a_lasting_fault_is_an_error_with_a_remedy_and_never_an_answer(fault, problem, said, asked):
    with FakeServer() as server, session_of(server) as session:
        server.always = fault
        (error,) = session.complete([ask_for("q")])
        assert isinstance(error, EndpointError)
        assert (error.problem, len(server.requests)) == (problem, asked)
        assert said in str(error)
        assert session.meter.failed == 1
        assert error.maybe_paid == (problem == "unreadable" or fault in (500, "drop", "drop_after"))
        server.always = ""
        assert isinstance(session.complete([ask_for("q")])[0], ChatReply)


@pytest.mark.parametrize("fault", ["slow", "drip_head", "drip_body"])
def test_a_server_that_is_too_slow_is_left_at_the_time_limit(fault):
    with FakeServer() as server, session_of(server, timeout_s=1.0, attempts=1) as session:
        session.complete([ask_for("warm")])
        server.always, began = fault, time.monotonic()
        (error,) = session.complete([ask_for("q")])
    assert (error.problem, error.maybe_paid) == (EndpointProblem.TIMEOUT, True)
    assert time.monotonic() - began < 10


def test_no_server_is_said_at_once_and_known_to_be_unpaid():
    with FakeServer() as server:
        pass
    with session_of(server) as session:
        errors = session.complete(requests_of(100))
        assert {e.problem for e in errors} == {EndpointProblem.UNREACHABLE}
        assert "Connection refused" in str(errors[0])
        assert session.meter.maybe_paid == 0
        assert session.meter.requests < 60


def test_a_server_that_replied_and_is_gone_is_waited_for(monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_S", 0.1)  # eight attempts in a dozen seconds
    with FakeServer() as first, session_of(first) as session:
        session.complete([ask_for("warm")])
        port = first._http.server_port
        first.stop()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(session.complete, [ask_for("q")])
            time.sleep(0.2)
            with FakeServer(port=port):
                assert isinstance(asked.result(30)[0], ChatReply)
        assert session.meter.maybe_paid <= 1


def test_after_a_failure_that_all_would_have_the_rest_is_not_sent():
    with FakeServer() as server, session_of(server) as session:
        server.always = 401
        errors = session.complete(requests_of(100))
        assert {e.problem for e in errors} == {EndpointProblem.REFUSED}
    assert len(server.requests) <= 16


@pytest.mark.parametrize("retry_after", ["0.3", "date"])
def test_a_rate_limit_is_waited_out(retry_after):
    with FakeServer(limit=(5, 0.8), retry_after=retry_after) as server, session_of(server) as session:
        replies = session.complete(requests_of(12))
        assert all(isinstance(r, ChatReply) for r in replies)
        assert server.bills == 12
        assert session.meter.maybe_paid == 0


def test_requests_a_minute_are_spaced():
    with FakeServer() as server, session_of(server, requests_per_minute=1200) as session:
        session.complete([ask_for("warm")])
        began = time.monotonic()
        session.complete(requests_of(10))
        assert time.monotonic() - began >= 9 * 0.05


def test_a_cancelled_batch_ends_long_before_its_replies_and_keeps_what_came():
    with FakeServer() as server, session_of(server, concurrency=4, timeout_s=120.0) as session:
        session.complete([ask_for("warm")])
        server.delay_s = 90.0
        began = time.monotonic()
        found = session.complete(requests_of(50), cancelled=lambda: server.bills > 1)
        assert time.monotonic() - began < 30
        assert {e.problem for e in found} == {EndpointProblem.CANCELLED}
        assert 1 <= sum(e.maybe_paid for e in found) <= 4
        assert session.meter.maybe_paid == sum(e.maybe_paid for e in found)
        server.delay_s = 0.0
        assert all(isinstance(r, ChatReply) for r in session.complete(requests_of(50)))
    assert server.bills == 51


# ---------------------------------------------------------------------- parameters


def test_what_a_server_refuses_by_name_is_left_out_and_said():
    refused = {"seed", "temperature", "top_p", "logprobs", "stop"}
    with (
        FakeServer(
            lambda _: "one END two", refuses=refused, max_tokens_name="max_completion_tokens", system=False
        ) as server,
        session_of(server) as session,
    ):
        chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}]
        request = ChatRequest(chat, 16, 0.5, 0.9, 7, ("END",), logprobs=True)
        replies = session.complete([replace(request, sample=i) for i in range(8)])
        assert all(isinstance(r, ChatReply) for r in replies)
        reply = replies[-1]
        assert set(reply.left_out) == {*refused, "system role"}
        assert reply.text == "one "
        sent = server.requests[-1]
        assert (sent["max_completion_tokens"], "max_tokens" in sent) == (16, False)
        assert sent["messages"] == [{"role": "user", "content": "Be brief.\n\nq"}]
        asked = len(server.requests)
        session.complete([ask_for("another", seed=1)])
        assert len(server.requests) == asked + 1
        assert any("seed" in note for note in session.notes)


def test_reasoning_is_kept_apart_from_the_text():
    with FakeServer(lambda _: "<think>hm</think>\n\n42", reasoning="first") as server, session_of(server) as session:
        (reply,) = session.complete([ask_for("q")])
        assert (reply.text, reply.reasoning) == ("42", "first\nhm")


@pytest.mark.parametrize(
    ("fault", "finish"), [("length", Finish.LENGTH), ("filtered", Finish.CONTENT_FILTER), ("no_finish", Finish.STOP)]
)
def test_a_completion_says_how_it_ended(fault, finish):
    with FakeServer() as server, session_of(server) as session:
        server.always = fault
        (reply,) = session.complete([ask_for("q")])
        assert reply.finish is finish


def test_half_a_character_is_replaced():
    with FakeServer() as server, session_of(server) as session:
        server.always = "half_character"
        assert session.complete([ask_for("q")])[0].text == "ends in ?"


def test_log_probabilities_are_read_where_they_are_given():
    with FakeServer(lambda _: {"Yes": -2.0, "no": -0.2}) as server, session_of(server) as session:
        (reply,) = session.complete([ask_for("q", logprobs=True, top_logprobs=20)])
        assert reply.first_logprobs == {"Yes": -2.0, "no": -0.2}


# ---------------------------------------------------------------------- budget and usage


@pytest.mark.parametrize(
    ("usage", "kind"),
    [("true", Usage.REPORTED), ("none", Usage.ESTIMATED), ("negative", Usage.CORRECTED), ("zero", Usage.CORRECTED),
     ("absurd", Usage.REPORTED), ("words", Usage.CORRECTED)],
)  # fmt: skip
def test_tokens_are_counted_whatever_a_server_reports(usage, kind):
    with FakeServer(lambda _: "some words " * 50) as server, session_of(server) as session:
        server.usage = usage
        (reply,) = session.complete([ask_for("a question " * 50, max_tokens=200)])
        assert reply.usage is kind
        assert reply.prompt_tokens >= 50
        assert reply.completion_tokens >= 50
        assert session.meter.tokens == reply.prompt_tokens + reply.completion_tokens
        assert bool(session.notes) == (usage != "true")


def test_a_budget_of_requests_is_kept_to_the_request_retries_included():
    with FakeServer() as server, session_of(server, budget=Budget(requests=10)) as session:
        server.faults = [503, 503]
        found = session.complete(requests_of(30))
        assert len(server.requests) == session.meter.requests == 10
        assert sum(isinstance(r, ChatReply) for r in found) == 8
        assert {e.problem for e in found if isinstance(e, EndpointError)} == {EndpointProblem.BUDGET}
        assert session.meter.left.requests == 0
        assert session.meter.failed == 0


@pytest.mark.parametrize("budget", [Budget(tokens=900), Budget(money=0.0009)])
def test_a_budget_of_tokens_or_money_is_never_passed_and_well_used(budget):
    with FakeServer() as server, session_of(server, budget=budget, price=Price(1.0, 1.0)) as session:
        session.complete(requests_of(100))
        meter = session.meter
        assert 700 <= meter.tokens <= 900
        assert meter.cost == pytest.approx(meter.tokens / 1e6)
        assert server.bills == meter.replies


def test_money_without_a_price_is_refused_and_minutes_end():
    with FakeServer() as server:
        with pytest.raises(UserError, match="no price"):
            session_of(server, budget=Budget(money=1.0))
        with session_of(server, budget=Budget(minutes=0.0)) as session:
            assert session.complete([ask_for("q")])[0].problem is EndpointProblem.BUDGET
        assert not server.requests


def test_an_estimate_is_between_what_is_usual_and_the_most():
    endpoint = Endpoint("a", "https://h/v1", "m", Price(2.0, 4.0, "EUR"))
    found = estimate(endpoint, 1000, 100, 500, 50)
    assert (found.requests, found.tokens, found.currency) == (1000, 150_000, "EUR")
    assert found.cost == pytest.approx(0.4)
    assert found.at_most > 2.0
    assert estimate(Endpoint("a", "https://h/v1"), 1, 1, 1, 1).cost is None


# ---------------------------------------------------------------------- cache and streams


def test_a_sample_index_or_a_parameter_makes_another_request_and_a_repeat_does_not():
    with FakeServer() as server, session_of(server) as session:
        first = session.complete([ask_for("q", temperature=1.0, sample=i % 3) for i in range(6)])
        assert [r.text for r in first[:3]] == [r.text for r in first[3:]]
        assert server.bills == 3
        session.complete([ask_for("q", temperature=1.0, max_tokens=33), ask_for("q", temperature=0.9)])
        assert server.bills == 5
    with FakeServer() as server, session_of(server, fresh=True) as session:
        session.complete([ask_for("q")])
        session.complete([ask_for("q")])
        assert server.bills == 2


def test_the_ledger_outlives_the_cache():
    with FakeServer() as server:
        with session_of(server, price=Price(1.0, 1.0, "EUR")) as session:
            server.faults = [503]
            session.complete(requests_of(5))
        with EndpointStore() as store:
            assert store.clear() == 5
            (usage,) = store.usage()
            assert (usage.requests, usage.paid, usage.maybe_paid, usage.currency) == (6, 5, 0, "EUR")
            assert usage.cost == pytest.approx((usage.prompt_tokens + usage.completion_tokens) / 1e6)
            assert store.usage(time.time() + 1) == []
        with session_of(server) as session:
            session.complete(requests_of(5))
    assert server.bills == 10


def test_a_row_that_another_session_asks_for_is_waited_for():
    with FakeServer(delay_s=0.3) as server, session_of(server) as one, session_of(server) as two:
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda session: session.complete([ask_for("q")])[0], (one, two)))
        assert len({r.text for r in found}) == 1
        assert server.bills == 1


def test_a_stream_is_shown_as_it_comes_and_kept():
    with FakeServer(lambda _: "a b c d", reasoning="hm") as server, session_of(server) as session:
        parts = []
        reply = session.stream(ask_for("q"), parts.append)
        assert (reply.text, reply.reasoning, "".join(parts)) == ("a b c d", "hm", "a b c d")
        assert reply.usage is Usage.REPORTED
        assert session.complete([ask_for("q")])[0].cached
        again = []
        assert session.stream(ask_for("q"), again.append).cached
        assert again == ["a b c d"]


def test_a_server_that_does_not_stream_is_shown_when_it_is_done():
    with FakeServer(lambda _: "a b c d", streaming=False) as server, session_of(server) as session:
        parts = []
        assert session.stream(ask_for("q"), parts.append).text == "a b c d"
        assert parts == ["a b c d"]
        assert server.bills == 1


@pytest.mark.parametrize(("fault", "problem"), [("stream_garbage", "unreadable"), ("stream_cut", "unreachable")])
def test_a_stream_that_breaks_is_an_error_and_its_text_is_not_shown_twice(fault, problem):
    with FakeServer(lambda _: "a b c d") as server, session_of(server) as session:
        server.always, parts = fault, []
        with pytest.raises(EndpointError) as caught:
            session.stream(ask_for("q"), parts.append)
        assert (caught.value.problem, caught.value.maybe_paid) == (problem, True)
        assert "".join(parts) == "a b"


def test_a_stream_can_be_cancelled():
    with FakeServer(lambda _: "a b c d e f g h") as server, session_of(server) as session:
        server.always, parts = "stream_slow", []
        with pytest.raises(EndpointError) as caught:
            session.stream(ask_for("q"), parts.append, cancelled=lambda: bool(parts))
        assert caught.value.problem is EndpointProblem.CANCELLED


@pytest.mark.parametrize("call", [
    lambda session: session.complete(requests_of(20), cancelled=lambda: True),
    lambda session: [session.stream(ask_for("q"), print, cancelled=lambda: True)],
    lambda session: session.models(cancelled=lambda: True),
    lambda session: session.gives_prompt_logprobs(cancelled=lambda: True),
])  # fmt: skip
def test_what_is_cancelled_before_it_began_asks_the_server_nothing(call):
    with FakeServer() as server, session_of(server) as session:
        with suppress(EndpointError):
            assert all(isinstance(reply, EndpointError) for reply in call(session))
        assert server.requests == []
        with pytest.raises(ZeroDivisionError):
            session.complete(requests_of(20), cancelled=lambda: 1 / 0)
        assert server.requests == []


def test_a_stream_that_is_cancelled_before_it_began_is_cancelled_too():
    async def cancelled_at_once(session):
        batch = module._Batch(1)
        task = asyncio.create_task(session._stream(ask_for("q"), batch, print))
        await asyncio.sleep(0)
        session._cancel(batch)
        return await task

    with FakeServer() as server, session_of(server) as session:
        found = asyncio.run_coroutine_threadsafe(cancelled_at_once(session), session._loop).result(60)
    assert found.problem is EndpointProblem.CANCELLED
    assert server.requests == []


def test_the_meter_is_reported_while_requests_are_asked(monkeypatch):
    monkeypatch.setattr(module, "METER_S", 0.0)
    seen = []
    with FakeServer(delay_s=0.3) as server, session_of(server, on_meter=seen.append, concurrency=2) as session:
        session.complete(requests_of(6))
    assert len(seen) >= 3
    assert [m.replies for m in seen] == sorted(m.replies for m in seen)
    assert seen[-1].replies == 6
    assert seen[-1].requests_per_s > 0


def test_an_account_goes_on_from_what_it_has_spent_in_other_sessions_and_at_other_endpoints():
    with FakeServer() as first, FakeServer() as second:
        budget = Budget(requests=5)
        with session_of(first, budget=budget, account="work") as session:
            session.complete(requests_of(2))
            spent = session.meter
        with session_of(second, budget=budget, account="work") as session:
            session.complete(requests_of(1))
            assert (session.meter.requests, session.meter.left.requests) == (1, 2)
        with session_of(first, budget=budget, account="work") as session:
            assert (session.meter.requests, session.meter.tokens) == (2, spent.tokens)
            found = session.complete(requests_of(8))
            assert [isinstance(f, EndpointError) for f in found] == [False] * 4 + [True] * 4
            assert (session.meter.requests, session.meter.cached) == (4, 2)
        with session_of(first, budget=budget) as session:
            assert session.meter.left.requests == 5
        assert first.bills + second.bills == 5


# ---------------------------------------------------------------------- probe


def test_a_probe_finds_what_a_server_can_do_with_about_ten_requests():
    with FakeServer(prompt_logprobs=True, reasoning="hm", models=("m", "other")) as server:
        steps = []
        found = probe(Endpoint("", server.address, "m"), lambda done, total: steps.append((done, total)))
    assert steps == sorted(steps)
    assert found.served_models == ("m", "other")
    assert found.max_tokens_name == "max_tokens"
    assert {getattr(found, name) for name in CAPABILITIES} == {Capability.YES}
    assert len(server.requests) + server.gets <= 10


def test_a_probe_finds_what_a_server_cannot_do():
    refuses = {"seed", "temperature", "logprobs", "n"}
    poor = {"refuses": refuses, "system": False, "streaming": False, "max_tokens_name": "max_completion_tokens"}
    with FakeServer(**poor) as server:
        server.usage = "none"
        found = probe(Endpoint("", server.address, "m"))
    assert found.max_tokens_name == "max_completion_tokens"
    assert {name: getattr(found, name) for name in CAPABILITIES} == {
        **dict.fromkeys(CAPABILITIES, Capability.NO),
        "reasoning_content": Capability.UNKNOWN,
    }
    with FakeServer(seed=False, several=False, logprobs=False) as server:
        found = probe(Endpoint("", server.address, "m"))
        assert (found.seed, found.several_choices, found.logprobs) == (Capability.NO,) * 3
        saved = save_endpoint(Endpoint("poor", server.address, "m", capabilities=found))
        assert find_endpoint("endpoint:poor").capabilities == found
        with EndpointSession(saved) as session:
            session.complete([ask_for("q", seed=1)])
            assert "seed" not in server.requests[-1]


def test_a_probe_of_no_server_says_why_and_can_be_cancelled():
    with FakeServer(key="sk-x") as server, pytest.raises(EndpointError, match="wants a key"):
        probe(Endpoint("", server.address, "m"))
    with pytest.raises(EndpointError, match="did not answer"):
        probe(Endpoint("", server.address, "m"))
    with FakeServer() as server, pytest.raises(EndpointError, match="cancelled"):
        probe(Endpoint("", server.address, "m"), cancelled=lambda: True)
    assert server.requests == []


def test_what_may_be_paid_keeps_its_idempotency_key_over_sessions_and_what_is_refused_does_not():
    with FakeServer() as server:
        for faults in (["drop"] * 3, [503] * 8, ["drop_after"] * 3):
            server.faults = faults
            with session_of(server) as session:
                assert isinstance(session.complete([ask_for("q")])[0], EndpointError)
        with session_of(server) as session:
            assert session.complete([ask_for("q")])[0].text
        assert len({r["idempotency"] for r in server.requests}) == 1
        assert server.bills == 1
        for faults in ([404], [400], ["garbage"], []):
            server.faults = faults
            with session_of(server) as session:
                session.complete([ask_for("another")])
        assert len({r["idempotency"] for r in server.requests}) == 1 + 4


def test_prompts_that_are_too_long_do_not_end_a_batch():
    with FakeServer() as server, session_of(server) as session:
        server.faults = ["too_long"] * 20
        found = session.complete(requests_of(30))
        assert [isinstance(r, ChatReply) for r in found].count(True) == 10
