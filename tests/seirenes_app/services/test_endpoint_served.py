"""The endpoint client against llama.cpp's own server with the bundled model."""

import pytest

from seirenes_app.services.serving import ServeRequest, start_server
from training.endpoints import (
    Capability,
    ChatReply,
    ChatRequest,
    Endpoint,
    EndpointProblem,
    EndpointSession,
    Finish,
    Usage,
    probe,
)

QUESTION = "Nora has 14 stickers and gives 5 of them to Sam. How many stickers does Nora have now?"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEIRENES_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        server = start_server(ServeRequest(port=0, threads=1))
        yield Endpoint("", server.record.base_url, server.record.alias)
        server.stop()


def ask_for(text=QUESTION, **options):
    return ChatRequest([{"role": "user", "content": text}], options.pop("max_tokens", 64), **options)


def test_a_probe_agrees_with_what_the_server_does(endpoint):
    found = probe(endpoint)
    assert (found.streaming, found.usage, found.logprobs, found.temperature) == (Capability.YES,) * 4
    assert found.seed in (Capability.YES, Capability.UNKNOWN)
    assert endpoint.model in found.served_models


def test_replies_of_a_batch_are_those_of_one_at_a_time_and_of_a_stream(endpoint):
    requests = [ask_for(), ask_for("Tom has 12 apples and buys 7 more. How many apples does Tom have?")]
    with EndpointSession(endpoint) as session:
        together = session.complete(requests)
        assert all(isinstance(r, ChatReply) and r.usage is Usage.REPORTED for r in together)
        assert not session.notes
    with EndpointSession(endpoint, fresh=True) as session:
        alone = [session.complete([request])[0] for request in requests]
        parts = []
        streamed = session.stream(requests[0], parts.append)
    assert [r.text for r in alone] == [r.text for r in together]
    assert streamed.text == "".join(parts) == together[0].text


def test_a_limit_log_probabilities_and_samples_are_as_asked(endpoint):
    with EndpointSession(endpoint) as session:
        (short,) = session.complete([ask_for(max_tokens=3)])
        assert (short.finish, short.completion_tokens) == (Finish.LENGTH, 3)
        (scored,) = session.complete([ask_for(max_tokens=4, logprobs=True, top_logprobs=5)])
        assert scored.first_logprobs
        assert all(value <= 0 for value in scored.first_logprobs.values())
        drawn = session.complete([ask_for(temperature=1.5, seed=7, sample=i, max_tokens=24) for i in range(2)])
        assert drawn[0].text == drawn[1].text


def test_a_prompt_that_is_too_long_is_its_own_problem(endpoint):
    with EndpointSession(endpoint) as session:
        (error,) = session.complete([ask_for("word " * 50_000)])
    assert error.problem is EndpointProblem.TOO_LONG
