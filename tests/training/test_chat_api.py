"""The chat-completions API as text: what is sent, and what is read of anything that a server may send."""

import json
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.chat_api import (
    MAX_COMPLETION_TOKENS,
    MAX_TOKENS,
    SYSTEM_ROLE,
    ChatReply,
    ChatRequest,
    Dialect,
    EndpointError,
    EndpointProblem,
    RefusedParameter,
    StreamReader,
    Usage,
    explain_status,
    has_prompt_logprobs,
    read_duration,
    read_error,
    read_models,
    read_reply,
    retry_after,
    usual_prompt_tokens,
    without_system,
    worst_prompt_tokens,
)

REQUEST = ChatRequest([{"role": "user", "content": "How many?"}], 16)
BODY = {
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], "model": "m", "max_tokens": 16,
    "temperature": 0.0, "seed": 1, "top_p": 0.9,
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMED = st.fixed_dictionaries(
    {},
    optional={
        "choices": JSON
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "message": JSON | st.fixed_dictionaries({}, optional={"content": JSON, "reasoning": JSON}),
                    "delta": JSON | st.fixed_dictionaries({"content": JSON}), "finish_reason": JSON,
                    "logprobs": JSON | st.fixed_dictionaries({"content": JSON}),
                },
            ),
            max_size=2,
        ),
        "usage": JSON | st.fixed_dictionaries({"prompt_tokens": JSON, "completion_tokens": JSON}),
        "model": JSON, "error": JSON, "data": JSON,
    },
)  # fmt: skip


def outcome_of(read):
    """What was read, or the error."""
    try:
        return read()
    except EndpointError as error:
        return error


@given(NAMED | JSON)
def test_any_json_is_a_reply_or_an_endpoint_error(data):
    content = json.dumps(data).encode()
    found = outcome_of(lambda: read_reply(content, REQUEST))
    if isinstance(found, ChatReply):
        assert isinstance(found.text, str)
        assert found.prompt_tokens >= 1
        assert found.completion_tokens >= 0
    else:
        assert (found.problem, found.maybe_paid) == (EndpointProblem.UNREADABLE, True)
    read_error(content)
    has_prompt_logprobs(content)
    listed = outcome_of(lambda: read_models(content))
    assert isinstance(listed, list) or listed.problem is EndpointProblem.UNREADABLE


@given(st.binary(max_size=40))
def test_any_bytes_are_read_without_another_error(content):
    assert isinstance(outcome_of(lambda: read_reply(content, REQUEST)), EndpointError)
    assert isinstance(outcome_of(lambda: read_models(content)), EndpointError | list)
    assert isinstance(read_error(content).text, str)


@given(st.lists(NAMED.map(lambda d: f"data: {json.dumps(d)}") | st.text(max_size=20), max_size=5))
def test_any_stream_is_a_reply_or_an_endpoint_error(lines):
    reader = StreamReader(REQUEST)
    shown = outcome_of(lambda: "".join(reader.feed(line) for line in lines))
    found = shown if isinstance(shown, EndpointError) else outcome_of(reader.reply)
    if isinstance(found, ChatReply):
        assert found.text == shown or "<" in shown
    else:
        assert found.maybe_paid


@given(st.text(max_size=30))
def test_a_duration_is_seconds_or_nothing(text):
    found = read_duration(text)
    assert found is None or found >= 0


def test_a_server_says_when_to_come_back_in_many_ways():
    date = formatdate(time.time() + 60, usegmt=True)
    for headers, least, most in (
        ({"retry-after": "7"}, 7, 7), ({"retry-after": "1.5"}, 1.5, 1.5), ({"retry-after-ms": "250"}, 0.25, 0.25),
        ({"retry-after": date}, 30, 60), ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0, 0),
        ({"retry-after": "soon"}, 0, 0), ({}, 0, 0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360, 360),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "6m0s"}, 0, 0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02, 0.02),
    ):  # fmt: skip
        assert least <= retry_after(headers) <= most


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (
            {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}},
            MAX_TOKENS,
        ),
        ({"error": {"message": "no", "param": "temperature"}}, "temperature"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted"}]}, "seed"),
        ({"error": "top_p is not supported"}, "top_p"),
        ({"error": {"message": "Only user and assistant roles are supported; system role is not."}}, SYSTEM_ROLE),
        ({"message": "seed: unknown field", "type": "BadRequestError"}, "seed"),
    ],
)
def test_the_parameter_that_a_server_refuses_is_found_in_its_message(error, name):
    found = explain_status(400, {}, json.dumps(error).encode(), "host", BODY, "")
    assert isinstance(found, RefusedParameter)
    assert found.name == name


def test_what_names_no_parameter_of_the_request_is_a_plain_refusal():
    for message in ("bad request", "max_temperature is wrong", "the model is not loaded"):
        found = explain_status(400, {}, json.dumps({"error": {"message": message}}).encode(), "host", BODY, "")
        assert not isinstance(found, RefusedParameter)
        assert message in str(found)
    page = explain_status(502, {}, b"<html>Bad gateway \x1b[31m</html>", "host", BODY, "")
    assert "html" not in str(page)
    assert page.maybe_paid
    long = explain_status(404, {}, json.dumps({"error": "x" * 9999}).encode(), "host", BODY, "")
    assert len(str(long)) < 500


def test_a_dialect_leaves_out_what_was_refused_and_says_so():
    request = ChatRequest(BODY["messages"], 16, 0.5, 0.9, 1, ("END",), logprobs=True, top_logprobs=99)
    dialect = Dialect()
    body, left_out = dialect.body("m", request, {"top_k": 4})
    assert (body["top_logprobs"], body["top_k"], left_out) == (20, 4, [])
    for name in ("seed", "logprobs", SYSTEM_ROLE, MAX_TOKENS):
        assert dialect.learn(name)
    body, left_out = dialect.body("", request, {})
    assert set(left_out) == {"seed", "logprobs", "top_logprobs", SYSTEM_ROLE}
    assert not {"seed", "logprobs", "model", MAX_TOKENS} & set(body)
    assert body[MAX_COMPLETION_TOKENS] == 16
    assert not dialect.learn(MAX_COMPLETION_TOKENS)


def test_a_system_message_goes_before_the_first_of_the_user():
    chat = [{"role": "system", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert [m["content"] for m in without_system(chat)] == ["b", "a\n\nc"]
    assert without_system(chat[:1]) == [{"role": "user", "content": "a"}]


def test_a_reply_in_parts_is_joined_and_a_refusal_is_its_text():
    parts = {"message": {"content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}, {"type": "image"}]}}
    assert read_reply(json.dumps({"choices": [parts]}).encode(), REQUEST).text == "42"
    refusal = {"message": {"content": None, "refusal": "I will not."}}
    assert read_reply(json.dumps({"choices": [refusal]}).encode(), REQUEST).text == "I will not."


def test_a_completion_that_is_longer_than_allowed_is_noted_and_counted():
    long = {
        "choices": [{"message": {"content": "word " * 100}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 101},
    }
    reply = read_reply(json.dumps(long).encode(), REQUEST)
    assert (reply.completion_tokens, reply.usage) == (101, Usage.REPORTED)
    assert "more than the 16 tokens" in reply.notes[0]


@given(st.lists(st.text(max_size=200), min_size=1, max_size=4))
def test_the_worst_case_of_a_prompt_is_above_the_usual_one(texts):
    chat = [{"role": "user", "content": text} for text in texts]
    assert worst_prompt_tokens(chat) >= usual_prompt_tokens(chat) > 0


def test_a_reply_reads_back_as_it_was_kept():
    import msgspec

    reply = ChatReply("a", "b", left_out=("seed",), notes=("odd",))
    assert msgspec.json.decode(msgspec.json.encode(reply), type=ChatReply) == reply
