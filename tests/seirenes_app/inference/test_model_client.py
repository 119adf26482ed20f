"""Models by name: a GGUF file, a model folder, a run's checkpoint; and their completions."""

import shutil
from dataclasses import replace

import pytest
from helpers.openai_server import FakeServer

from seirenes_app.inference.model_client import (
    Cancelled,
    Completion,
    CompletionError,
    CompletionSpec,
    WorkerModel,
    converted_folder,
    fingerprint_of,
    gguf_of,
    locate_files,
    name_of,
    open_model,
    prompt_profile_of,
)
from seirenes_app.inference.protocol import Finish
from seirenes_app.store.resources import recorded_run, starter_folder
from training.core.prompts import Sampling, reasoner_messages
from training.endpoints import Budget
from training.errors import UserError
from training.prompt_files import COMPACT, NEUTRAL, built_in


def chats(n):
    return [
        reasoner_messages(f"Mia has {i + 5} apples. She eats 2. How many are left?", built_in(COMPACT))
        for i in range(n)
    ]


def texts(found):
    return [[completion.text for completion in of_chat] for of_chat in found]


def test_a_model_completes_chats_in_their_order_and_the_same_way_again(model):
    spec = CompletionSpec(samples=2, max_tokens=48, temperature=1.0, seed=4, logprobs=True)
    with open_model("starter", threads=1) as client:
        seen = []
        found = client.complete(chats(3), spec, lambda done, total, tokens: seen.append((done, total)))
        again = client.complete(chats(3), spec)
        assert client.complete([], spec) == []
    assert [len(of_chat) for of_chat in found] == [2, 2, 2]
    assert texts(found) == texts(again)
    assert len({text for of_chat in texts(found) for text in of_chat}) > 1
    assert all(c.finish in (Finish.STOP, Finish.LENGTH) and c.logprob_mean < 0 for (c, _) in found)
    assert seen[0] == (0, 6)
    assert (client.name, client.argument, client.is_remote, client.meter) == ("starter", "starter", False, None)


def test_a_prompt_that_does_not_fit_is_one_completion_and_the_others_are_there(model):
    with open_model(str(model), threads=1) as client:
        long = [{"role": "user", "content": "word " * 9000}]
        first, second = client.complete([long, *chats(1)], CompletionSpec(max_tokens=32))
    assert (first[0].finish, first[0].text) == (Finish.TOO_LONG, "")
    assert second[0].text


def test_a_cancelled_completion_is_no_result(model):
    with open_model("starter", threads=1) as client:
        with pytest.raises(Cancelled):
            client.complete(chats(2), CompletionSpec(), cancelled=lambda: True)
        assert len(client.complete(chats(2), CompletionSpec(max_tokens=8))) == 2


def test_a_folder_is_converted_once_and_completes_as_its_own_gguf(model, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    folder = tmp_path / "copy"
    shutil.copytree(starter_folder(), folder, ignore=shutil.ignore_patterns("*.gguf"))
    said = []
    with open_model(str(folder), threads=1, progress=said.append) as client, WorkerModel(model, threads=1) as own:
        spec = CompletionSpec(max_tokens=64)
        assert texts(client.complete(chats(3), spec)) == texts(own.complete(chats(3), spec))
        assert client.name == "copy"
    assert any("Converting copy" in p.doing for p in said)
    (kept,) = converted_folder().iterdir()
    said.clear()
    assert gguf_of(folder, said.append) == kept
    assert said == []


def test_a_cancelled_conversion_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    folder = tmp_path / "copy"
    shutil.copytree(starter_folder(), folder, ignore=shutil.ignore_patterns("*.gguf"))
    with pytest.raises(Cancelled):
        gguf_of(folder, cancelled=lambda: True)
    assert list(converted_folder().iterdir()) == []


def test_names_of_models_and_what_is_not_there(model, tmp_path):
    assert name_of("") == "starter"
    assert name_of(str(model)) == model.name
    assert prompt_profile_of("starter") == prompt_profile_of(str(model)) == built_in(COMPACT)
    assert fingerprint_of("starter") == fingerprint_of(str(model))
    for missing in (str(tmp_path / "no.gguf"), "nobody@40"):
        with pytest.raises(UserError, match="not found"):
            open_model(missing)
    (tmp_path / "odd.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match=r"odd\.gguf"):
        open_model(str(tmp_path / "odd.gguf"))


def test_a_checkpoint_is_named_by_run_and_step(tmp_path, monkeypatch):
    steps = sorted(int(f.name.removeprefix("step_")) for f in (recorded_run() / "checkpoints").glob("step_*"))
    if not steps:
        pytest.skip("the recorded run has no checkpoints")
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path))
    run = tmp_path / "mine"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copytree(recorded_run() / "checkpoints" / f"step_{steps[0]:06d}", run / "checkpoints" / "step_000007")
    for name in ("mine@7", f"{run}@7"):
        assert locate_files(name) == run / "checkpoints" / "step_000007"
        assert name_of(name) == name
    assert locate_files(f"recorded@{steps[0]}").parent == (recorded_run() / "checkpoints").resolve()
    assert prompt_profile_of("mine@7") in (built_in(COMPACT), built_in(NEUTRAL))
    with pytest.raises(UserError, match=r"no checkpoint of step 8\. It has those of: 7"):
        locate_files("mine@8")


# ---------------------------------------------------------------------- endpoints


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("training.endpoints.server_key", lambda _url: None)


def test_an_endpoint_completes_chats_and_what_was_asked_before_costs_nothing(data):
    spec = CompletionSpec(samples=3, max_tokens=32, temperature=1.0, seed=5)
    with FakeServer() as server:
        name = f"{server.address}#m"
        with open_model(name) as client:
            seen = []
            found = client.complete(chats(4), spec, lambda done, total, tokens: seen.append((done, total)))
            assert (client.is_remote, client.argument, client.meter.requests) == (True, name, 12)
        with open_model(name) as client:
            # In another order, and among others.
            assert client.complete(chats(5)[::-1], spec)[1:] == found[::-1]
            assert (client.meter.requests, client.meter.cached) == (3, 12)
        assert len({text for of_chat in texts(found) for text in of_chat}) == 12
        assert seen[-1] == (12, 12)
        assert len({body["seed"] for body in server.requests}) == 15
        with open_model(name) as client:
            other = client.complete(chats(4), replace(spec, seed=6))
        assert not set(map(tuple, texts(other))) & set(map(tuple, texts(found)))


def test_a_failed_request_is_an_error_in_its_place_and_a_withheld_text_is_no_answer(data):
    with FakeServer() as server:
        server.faults = [400, "filtered"]
        with open_model(f"{server.address}#m") as client:
            found = client.complete(chats(4), CompletionSpec(max_tokens=32))
    kinds = [type(one).__name__ for (one,) in found]
    assert sorted(kinds) == ["Completion"] * 3 + ["CompletionError"]
    assert [one.finish for (one,) in found if isinstance(one, Completion)].count(Finish.FILTERED) == 1


def test_a_budget_ends_an_endpoint_and_counts_what_the_same_work_spent_before(data):
    with FakeServer() as server:
        for _ in range(2):
            with open_model(f"{server.address}#m", budget=Budget(requests=3), account="w") as client:
                found = client.complete(chats(5), CompletionSpec(max_tokens=32))
            assert [isinstance(one, CompletionError) and one.lasting for (one,) in found] == [False] * 3 + [True] * 2
        assert server.bills == 3


def test_a_cancelled_endpoint_is_no_result(data):
    with FakeServer(delay_s=60.0) as server, open_model(f"{server.address}#m") as client, pytest.raises(Cancelled):
        client.complete(chats(2), CompletionSpec(), cancelled=lambda: bool(server.requests))


def test_sampling_settings_and_template_variables_are_sent_where_they_are_set(data):
    spec = CompletionSpec(sampling=Sampling(top_p=0.9, top_k=7, stop=("\n",)), variables={"enable_thinking": False})
    with FakeServer() as server, open_model(f"{server.address}#m") as client:
        client.complete(chats(1), spec)
        client.complete(chats(1), CompletionSpec())
        first, second = server.requests
    assert (first["top_p"], first["top_k"], first["stop"]) == (0.9, 7, ["\n"])
    assert first["chat_template_kwargs"] == {"enable_thinking": False}
    assert not {"top_p", "top_k", "stop", "chat_template_kwargs"} & second.keys()
    assert second["temperature"] == 0


def test_the_fingerprint_of_an_endpoint_is_its_address_and_model(data):
    one, other = "https://here/v1#m", "https://here/v1#n"
    assert fingerprint_of(one) == fingerprint_of(one) != fingerprint_of(other)
    assert name_of(one) == "m at here"
    with pytest.raises(UserError, match="no endpoint named 'gone'"):
        open_model("endpoint:gone")
