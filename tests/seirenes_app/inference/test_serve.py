"""Facts about the server's own handling of requests, without a model."""

import asyncio
import json

import pytest

from seirenes_app.inference import serve
from seirenes_app.inference.serve import settle_request

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def run(app, messages, path="/v1/chat/completions"):
    """What an application behind `_Requests` sends, for the messages of a client."""
    sent = []

    async def receive():
        if messages:
            return messages.pop(0)
        return await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"content-length", b"9")]}
    asyncio.run(asyncio.wait_for(serve._Requests(app, "mine")(scope, receive, send), 10))
    return sent


def body(data):
    return {"type": "http.request", "body": json.dumps(data).encode(), "more_body": False}


def test_what_is_left_out_is_neutral_and_what_is_given_stays():
    found = settle_request(CHAT)
    assert {k: found[k] for k in serve.NEUTRAL} == serve.NEUTRAL
    assert settle_request(CHAT)["seed"] != found["seed"]
    given = CHAT | {"temperature": 0.0, "top_k": 5, "seed": 3, "top_p": None}
    assert settle_request(given) == found | {"temperature": 0.0, "top_k": 5, "seed": 3}


def test_text_in_parts_is_text():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    found = settle_request({"messages": [{"role": "developer", "content": parts}]})
    assert found["messages"] == [{"role": "system", "content": "ab"}]


def test_the_application_gets_the_settled_request_with_its_length():
    seen = {}

    async def app(scope, receive, _send):
        data = (await receive())["body"]
        seen.update(json.loads(data), length=dict(scope["headers"])[b"content-length"] == str(len(data)).encode())

    run(app, [body(CHAT | {"model": "another", "chat_template_kwargs": {"enable_thinking": False}})])
    assert seen["model"] == "mine"
    assert seen["length"]
    assert "chat_template_kwargs" not in seen


def test_a_client_that_leaves_ends_its_answer():
    found = []

    async def app(_scope, receive, _send):
        await receive()
        gone = serve._client_gone.get()
        found.append(gone.is_set())
        found.append((await receive())["type"])
        found.append(gone.is_set())

    run(app, [body(CHAT), {"type": "http.disconnect"}])
    assert found == [False, "http.disconnect", True]


@pytest.mark.parametrize("data", [b"[", b"[]", b"[" * 100_000])
def test_what_is_no_request_is_answered_with_the_reason(data):
    async def app(*_):
        raise AssertionError

    start, content = run(app, [{"type": "http.request", "body": data, "more_body": False}])
    assert start["status"] == 400
    assert json.loads(content["body"])["error"]["message"]
