"""Facts about the client: states, crashes, restarts, ends. Every process here is a real worker."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from seirenes_app.inference import client as client_module
from seirenes_app.inference.client import RequestFailed, StateKind, WorkerClient
from seirenes_app.inference.protocol import Chunk, Error, ErrorKind, LoadRequest, QuitRequest, SampleRequest
from seirenes_app.inference.worker_process import WorkerProcess
from training.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 120
ENDLESS = SampleRequest(prompt="<|user|>Tom", n=256, max_tokens=500, temperature=100.0)
SHORT = SampleRequest(prompt="<|user|>Tom", max_tokens=4)


def wait_for(holds):
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def begin_endless(client):
    streaming = threading.Event()
    pending = client.send(ENDLESS, lambda e: isinstance(e, Chunk) and streaming.set())
    assert streaming.wait(PATIENCE_S)
    return pending


def test_states_follow_the_worker(start):
    seen = []
    client = start(seen.append)
    client.send(SHORT).result(PATIENCE_S)
    client.close()
    kinds = [s.kind for s in seen]
    assert [k for k, before in zip(kinds, [None, *kinds], strict=False) if k != before] == [
        StateKind.STARTING, StateKind.LOADING, StateKind.READY, StateKind.BUSY, StateKind.READY, StateKind.CLOSED,
    ]  # fmt: skip
    assert seen[-2].facts.architecture == "qwen3"
    assert client.state.kind is StateKind.CLOSED


def test_a_load_that_fails_leaves_the_worker_empty_and_says_why(start, tmp_path):
    client = start()
    with pytest.raises(UserError, match="cannot be read"):
        client.load(tmp_path / "none.gguf").result(PATIENCE_S)
    assert client.state.kind is StateKind.EMPTY
    assert "none.gguf" in client.state.message


def test_a_killed_worker_is_reported_and_comes_back_with_its_model(start):
    seen = []
    client = start(seen.append)
    first = client.pid
    pending = begin_endless(client)
    waiting = client.send(SHORT)
    os.kill(first, signal.SIGKILL)
    for request in (pending, waiting):
        with pytest.raises(RequestFailed, match=r"generating 256 samples.*SIGKILL") as caught:
            request.result(PATIENCE_S)
        assert caught.value.error.kind is ErrorKind.CRASHED
    assert client.send(SHORT).result(PATIENCE_S).samples[0].tokens == 4
    assert client.pid != first
    crashed = next(s for s in seen if s.kind is StateKind.CRASHED)
    assert not crashed.down
    assert client.state.facts.architecture == "qwen3"


def test_the_last_words_of_a_crash_are_told(start):
    client = start()
    pending = begin_endless(client)
    os.kill(client.pid, signal.SIGSEGV)
    with pytest.raises(UserError, match=r"SIGSEGV.*Segmentation fault"):
        pending.result(PATIENCE_S)


def test_a_file_that_brings_the_worker_down_is_not_loaded_again(start, model, tmp_path):
    data = model.read_bytes()
    # Two tokens of one text: llama.cpp asserts that there are none.
    first, second = (data.index(len(t).to_bytes(8, "little") + t) + 8 for t in (b"and", b"ten"))
    twin = tmp_path / "twin.gguf"
    twin.write_bytes(data[:first] + data[second : second + 3] + data[first + 3 :])
    seen = []
    client = start(seen.append)
    with pytest.raises(RequestFailed, match=r"loading .*twin\.gguf.*GGML_ASSERT") as caught:
        client.load(twin, threads=1).result(PATIENCE_S)
    words = str(caught.value)
    assert "Last lines of its log: llama.cpp/src/" in words
    assert "Fatal Python error" not in words
    assert "another model" in words
    wait_for(lambda: client.state.kind is StateKind.EMPTY)
    assert not client.expects(LoadRequest(model=str(twin)))
    assert [s.kind for s in seen].count(StateKind.CRASHED) == 1
    client.load(model, threads=1).result(PATIENCE_S)
    assert client.send(SHORT).result(PATIENCE_S).samples[0].tokens == 4


def test_three_crashes_within_a_minute_keep_it_down_until_restart(start, model, monkeypatch):
    monkeypatch.setattr(client_module, "CRASH_WINDOW_S", 3600.0)  # three starts take long on a busy machine
    client = start()
    for _ in range(3):
        pid = client.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: client.pid != pid and (client.state.down or client.state.kind is StateKind.READY))
    assert client.state.kind is StateKind.CRASHED
    assert "3 times" in client.state.message
    assert client.pid is None
    with pytest.raises(UserError, match="3 times"):
        client.send(SHORT).result(PATIENCE_S)
    client.restart()
    wait_for(lambda: client.state.kind is StateKind.READY)
    assert client.send(SHORT).result(PATIENCE_S).samples[0].tokens == 4


def test_crashes_far_apart_do_not_keep_it_down(start, monkeypatch):
    monkeypatch.setattr(client_module, "CRASH_WINDOW_S", 0.0)
    client = start()
    for _ in range(4):
        pid = client.pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: client.pid not in (None, pid) and client.state.kind is StateKind.READY)


def test_a_load_brings_a_worker_that_is_down_back(start, model, monkeypatch):
    monkeypatch.setattr(client_module, "CRASH_WINDOW_S", 3600.0)
    client = start()
    for _ in range(3):
        pid = client.pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: client.pid != pid and (client.state.down or client.state.kind is StateKind.READY))
    assert client.state.down
    client.load(model, threads=1).result(PATIENCE_S)
    assert client.state.kind is StateKind.READY


def test_closing_ends_a_busy_worker_at_once_and_fails_what_waits(start):
    client = start()
    pending, process = begin_endless(client), psutil.Process(client.pid)
    started = time.monotonic()
    client.close()
    assert time.monotonic() - started < 20
    assert not process.is_running()
    with pytest.raises(UserError, match="closed"):
        pending.result(PATIENCE_S)
    events = []
    late = client.send(SHORT, events.append)
    with pytest.raises(UserError, match="closed"):
        late.result(0)
    assert isinstance(events[0], Error)
    client.close()


def test_a_stopped_worker_does_not_hold_up_its_caller_and_is_killed_on_close(start):
    client = start()
    process = psutil.Process(client.pid)
    process.suspend()
    started = time.monotonic()
    pendings = [client.send(SampleRequest(prompt="x" * 100_000)) for _ in range(20)]
    assert time.monotonic() - started < 10
    client.close()
    assert time.monotonic() - started < 30
    assert not process.is_running()
    assert all(t.finished for t in pendings)


def test_a_failing_callback_does_not_end_the_client(start):
    client = start(lambda state: 1 / 0)
    assert client.send(SHORT, lambda event: 1 / 0).result(PATIENCE_S).samples
    assert client.send(SHORT).result(PATIENCE_S).samples


def test_a_result_that_does_not_come_in_time_is_a_timeout(start):
    client = start()
    pending = begin_endless(client)
    with pytest.raises(TimeoutError):
        pending.result(0.01)
    pending.cancel()
    assert pending.result(PATIENCE_S).done.cancelled


PARENT = """
import sys, time
from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.protocol import SampleRequest
client = WorkerClient()
client.load(sys.argv[1], threads=1)
client.send(SampleRequest(prompt="Tom", n=256, max_tokens=500, temperature=100.0),
              lambda e: print(client.pid, flush=True) if type(e).__name__ == "Chunk" else None)
time.sleep(60)
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_worker_does_not_outlive_its_parent(model, ending):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(model)], cwd=ROOT, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(ending)
    parent.wait(PATIENCE_S)
    parent.stdout.close()
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def test_the_worker_ends_when_its_stdin_closes_or_it_is_told_to():
    for last in (None, QuitRequest()):
        outbox = queue.SimpleQueue()
        process = WorkerProcess(outbox)
        outbox.put(last)
        assert list(process.events()) == []
        assert "code 0" in process.collect()


def test_a_line_that_is_no_request_gets_an_answer_and_ends_nothing(model):
    command = [sys.executable, "-m", "seirenes_app.inference.worker"]
    lines = b'not json\n{"type":"SampleRequest","prompt":"a","id":4}\n{"type":"CancelRequest","target":99}\n'
    worker = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    worker.stdin.write(lines)
    worker.stdin.flush()
    answers = [worker.stdout.readline() for _ in range(3)]
    worker.communicate(timeout=PATIENCE_S)
    assert b"bad_request" in answers[0]
    assert b"Started" in answers[1]
    assert b"no_model" in answers[2]
    assert worker.returncode == 0


def test_a_worker_that_cannot_start_stays_down_with_its_last_words(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with WorkerClient() as client:
        wait_for(lambda: client.state.down)
        assert "code 1" in client.state.message
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with WorkerClient() as client:
        wait_for(lambda: client.state.down)
        assert "could not be started" in client.state.message
