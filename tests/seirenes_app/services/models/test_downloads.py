"""Downloads with the real client against a hub on loopback, in real processes: what is fetched, and all that fails."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest
from helpers.hub_server import HubServer
from helpers.model_folders import model_folder

from seirenes_app.services.models import downloads, hub
from seirenes_app.services.models.downloads import DownloadDir
from seirenes_app.services.models.hub import HubError, HubProblem, require_hub_id
from training.errors import UserError
from training.model_names import HubId, NotDownloaded, locate_folder, locate_gguf, locate_model
from training.runs.events import Event
from training.runs.processes import child_environment, kill_tree, running_process
from training.runs.status import RunStatus

MB = 2**20
WEIGHTS = os.urandom(4 * MB)
SMALL = {"config.json": "{}", "tokenizer.json": "{}", "README.md": "# A model"}
FOLDER = {**SMALL, "model.safetensors": WEIGHTS}
TOKEN = "hf_" + "Secret0123456789" * 2


@pytest.fixture
def server():
    with HubServer() as found:
        yield found


@pytest.fixture(autouse=True)
def machine(server, tmp_path, monkeypatch):
    """This process and its children use the server; nothing of theirs is left running."""
    server.use(monkeypatch, tmp_path)
    yield tmp_path
    for download in downloads.list_downloads():
        held = running_process(DownloadDir(downloads.downloads_folder() / download.id))
        if held is not None:
            kill_tree(held.pid)


def plan(name="org/model"):
    return downloads.plan_download(require_hub_id(name))


def wait(download, until=lambda state: state.over, timeout_s=120.0):
    watch, deadline = downloads.watch_download(download), time.monotonic() + timeout_s
    while not until(state := watch.poll()):
        assert time.monotonic() < deadline, state
        time.sleep(0.05)
    return state


def wait_new(download, seen, **more):
    """The next ending after `seen` events: an older one is not it."""
    return wait(download, lambda state: state.over and len(events(download)) > seen, **more)


def paths_of(download):
    return DownloadDir(downloads.downloads_folder() / download)


def events(download):
    return [json.loads(line) for line in paths_of(download).events.read_text().splitlines()]


def partials(machine):
    return sorted((machine / "hf").rglob("*.incomplete"))


def run_here(download, monkeypatch, waits=(0.01, 0.01)):
    """The download in this process, with short waits."""
    monkeypatch.setattr(downloads, "RETRY_WAITS_S", waits)
    status = downloads.run_download(downloads.downloads_folder() / download)
    state = downloads.watch_download(download).poll()
    assert state.status is status
    return state


def planned(name="org/model"):
    """A download's folder, before its process is started."""
    made = plan(name)
    paths = DownloadDir(downloads.downloads_folder() / downloads.download_id(made.id))
    paths.root.mkdir(parents=True)
    downloads._write_plan(paths, made)
    return paths.run_id


# ---------------------------------------------------------------------- plan


def test_a_plan_takes_the_weights_and_what_belongs_to_them(server):
    more = {
        "pytorch_model.bin": b"x", "model.fp16.safetensors": b"x", "onnx/model.onnx": b"x", "chat_template.jinja": "x",
        "generation_config.json": "{}", "LICENSE": "x", "modeling_x.py": "x", "logo.png": b"x",
    }  # fmt: skip
    server.add("org/model", {**FOLDER, **more}, licence="mit")
    found = plan()
    assert {f.name for f in found.files} == {*FOLDER, "chat_template.jinja", "generation_config.json", "LICENSE"}
    assert (found.licence, found.gated, found.refused_reason) == ("mit", False, "")
    assert found.total_bytes == found.model_bytes == sum({f.etag: f.size for f in found.files}.values())
    assert found.free_bytes > 0


def test_of_shards_the_index_and_every_shard_is_taken(server):
    shards = {f"model-0000{n}-of-00002.safetensors": b"x" for n in (1, 2)}
    server.add("org/model", {**SMALL, **shards, "model.safetensors.index.json": "{}", "consolidated.safetensors": b"x"})
    assert {f.name for f in plan().files} == {*SMALL, *shards, "model.safetensors.index.json"}


def test_of_a_gguf_repository_exactly_the_chosen_file_is_taken_with_all_its_parts(server):
    parts = {f"m-Q8_0-0000{n}-of-00002.gguf": b"x" * n for n in (1, 2)}
    server.add("org/gguf", {"m-Q4_K_M.gguf": b"abc", "mmproj-f16.gguf": b"x", "README.md": "x", **parts})
    assert {f.name for f in plan("org/gguf:Q4_K_M").files} == {"m-Q4_K_M.gguf", "README.md"}
    assert {f.name for f in plan("org/gguf:Q8_0").files} == {*parts, "README.md"}
    choices = hub.list_gguf_files(HubId("org/gguf"))
    assert [(str(c.hub_id), c.size_bytes, c.parts) for c in choices] == [
        ("org/gguf:Q4_K_M", 3, 1), ("org/gguf:Q8_0", 3, 2),
    ]  # fmt: skip
    several = plan("org/gguf")
    assert several.problem is HubProblem.REFUSED
    assert "org/gguf:Q4_K_M, org/gguf:Q8_0" in several.refused_reason


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({**SMALL, "pytorch_model.bin": b"x"}, "only pickled weights"),
        (SMALL, "no weights"),
        ({"model.safetensors": b"x", "tokenizer.json": "{}"}, r"no config\.json"),
        ({"model.safetensors": b"x", "config.json": "{}"}, "no tokenizer"),
        ({**FOLDER, "model_index.json": "{}"}, "pipeline of several models"),
        ({"a-00001-of-00002.gguf": b"x"}, "incomplete on the hub: a-00002-of-00002"),
        ({"../../a.gguf": b"x"}, "file of an unusual name"),
    ],
)
def test_what_cannot_be_used_is_refused_before_a_download(server, files, reason):
    server.add("org/model", files)
    found = plan()
    assert found.problem is HubProblem.REFUSED
    with pytest.raises(UserError, match=reason):
        downloads.start_download(found)
    assert not downloads.list_downloads()


def test_a_full_disk_is_said_before_a_download(server, monkeypatch):
    server.add("org/model", FOLDER)
    usage = type("Usage", (), {"free": 3 * MB})
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _path: usage)
    found = plan()
    assert found.problem is HubProblem.DISK
    assert "4.0 MB are needed" in found.refused_reason
    assert "3.0 MB are free" in found.refused_reason
    state = run_here(planned(), monkeypatch)
    assert (state.status, state.problem) == (RunStatus.FAILED, HubProblem.DISK)
    assert not server.asked("resolve")


@pytest.mark.parametrize(
    ("name", "problem", "words"),
    [
        ("org/none", HubProblem.MISSING, "no model org/none, or it is private"),
        ("org/secret", HubProblem.MISSING, "or it is private"),
        ("org/model@v9", HubProblem.NO_REVISION, "no revision 'v9'"),
    ],
)
def test_what_the_hub_does_not_have_is_a_sentence(server, name, problem, words):
    server.add("org/model", FOLDER)
    server.add("org/secret", FOLDER, private=True)
    with pytest.raises(HubError, match=words) as caught:
        plan(name)
    assert caught.value.problem is problem
    assert caught.value.remedy


def test_a_file_that_the_repository_lacks_is_refused_with_those_it_has(server):
    server.add("org/gguf", {"m-Q4_K_M.gguf": b"x"})
    assert "no GGUF file 'Q8_0'. There are: org/gguf:Q4_K_M" in plan("org/gguf:Q8_0").refused_reason


def test_a_gated_model_asks_for_its_licence_and_a_login(server, monkeypatch):
    server.add("org/gated", FOLDER, gated=True)
    found = plan("org/gated")
    assert found.gated
    assert found.problem is HubProblem.GATED
    assert f"Accept it at {server.url}/org/gated" in found.refused_reason
    assert "seirenes models login" in found.refused_reason
    server.tokens[TOKEN] = "ann"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert plan("org/gated").problem is HubProblem.GATED
    server.accepted.add(("ann", "org/gated"))
    assert not plan("org/gated").refused_reason


def test_a_token_that_is_not_valid_says_so(server, monkeypatch):
    server.add("org/model", FOLDER)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(HubError, match="did not accept the token") as caught:
        plan()
    assert caught.value.problem is HubProblem.LOGIN
    assert TOKEN not in str(caught.value)


def test_a_switched_off_hub_says_which_variable(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set") as caught:
        plan()
    assert caught.value.problem is HubProblem.SWITCHED_OFF


def test_nobody_at_the_address_and_no_such_address_are_sentences(server, monkeypatch):
    server.close()
    with pytest.raises(HubError, match=r"127\.0\.0\.1 cannot be reached"):
        plan()
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    with pytest.raises(HubError, match=r"hub\.invalid cannot be reached.*Check the network"):
        plan()


def test_a_limit_and_a_failing_hub_are_sentences(server):
    server.add("org/model", FOLDER)
    server.statuses["/api/models/org/model"] = [(429, {"Retry-After": "42"}), (503, {})]
    with pytest.raises(HubError, match=r"too many requests.*Try again in 42 s"):
        plan()
    with pytest.raises(HubError, match=r"a problem of its own \(503\)"):
        plan()


@pytest.mark.parametrize("fault", ["silent", "closed"])
def test_a_hub_that_does_not_answer_is_not_waited_for_long(server, monkeypatch, fault):
    monkeypatch.setattr(hub, "TIMEOUT_S", 0.3)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.silent = fault == "silent"
    if fault == "closed":
        server.close()
    for ask in (lambda: hub.search_hub("x"), plan, lambda: hub.check_access(HubId("org/model"))):
        started = time.monotonic()
        with pytest.raises(HubError, match="cannot be reached"):
            ask()
        assert time.monotonic() - started < 20
    assert "cannot be reached" in hub.login_status().problem


def test_a_search_tells_formats_licence_and_gate(server):
    server.add("org/tiny-GGUF", {"m.gguf": b"x"}, licence="mit", downloads=3)
    server.add("org/tiny", FOLDER, gated=True, downloads=9)
    server.add("org/other", FOLDER)
    found = hub.search_hub("tiny")
    assert [(r.repo, r.licence, r.gated, r.has_gguf, r.has_safetensors) for r in found] == [
        ("org/tiny", "apache-2.0", True, False, True), ("org/tiny-GGUF", "mit", False, True, False),
    ]  # fmt: skip


# ---------------------------------------------------------------------- a whole download


def test_a_folder_is_downloaded_into_the_cache_where_other_programs_find_it(server, machine, tmp_path):
    server.add_folder("org/model", model_folder(tmp_path / "made"))
    with pytest.raises(NotDownloaded):
        locate_folder("org/model")
    download = downloads.start_download(plan())
    state = wait(download)
    assert state.status is RunStatus.FINISHED
    assert (state.done_bytes, state.share) == (state.total_bytes, 1.0)
    folder = locate_folder("org/model")
    assert {p.name for p in folder.iterdir()} == {p.name for p in (tmp_path / "made").iterdir()}
    from huggingface_hub import snapshot_download

    assert snapshot_download("org/model", local_files_only=True, cache_dir=machine / "hf" / "hub") == str(folder)
    assert not partials(machine)
    assert plan().present


def test_a_gguf_is_downloaded_and_found_by_its_quantisation(server):
    server.add("org/gguf", {"m-Q4_K_M.gguf": WEIGHTS, "m-Q8_0.gguf": b"x", "README.md": "x"})
    assert wait(downloads.start_download(plan("org/gguf:Q4_K_M"))).status is RunStatus.FINISHED
    assert locate_gguf("org/gguf:Q4_K_M").read_bytes() == WEIGHTS
    assert not server.asked("m-Q8_0.gguf")
    with pytest.raises(UserError, match="Q8_0"):
        locate_model("org/gguf:Q8_0")


def test_a_branch_is_downloaded_under_its_name(server):
    made = server.add("org/model", FOLDER, revisions={"v1": ""})
    made.revisions = {"v1": made.commit}
    assert wait(downloads.start_download(plan("org/model@v1"))).status is RunStatus.FINISHED
    assert locate_folder("org/model@v1").name == made.commit


def test_progress_has_bytes_rate_and_time_left(server):
    server.add("org/model", FOLDER)
    server.bytes_per_s = MB / 2
    download = downloads.start_download(plan())
    state = wait(download, lambda s: s.over or (s.rate > 0 and s.done_bytes > MB / 2))
    assert state.file == "model.safetensors"
    assert 0 < state.file_done < state.file_total == len(WEIGHTS)
    assert 0 < state.rate < 8 * MB
    assert state.eta_s > 0
    assert state.text == "downloading"
    (listed,) = downloads.list_downloads()
    assert (listed.id, listed.hub_id) == (download, HubId("org/model"))
    server.bytes_per_s = 0
    assert wait(download).eta_s is None


def test_the_rate_is_of_the_last_moments_and_of_work_alone():
    def event(seq, kind, at, **data):
        return Event(seq, 1000.0 + seq, kind, {"active_s": at, **data})

    state = downloads.DownloadState()
    for n, (at, done) in enumerate([(0.5, 0), (1.0, 100), (1.5, 200)]):
        state = downloads.reduce_download(state, event(n, "stage", at, stage="downloading", done=done, total=1000))
    assert state.rate == 200
    assert state.eta_s == 4
    waiting = downloads.reduce_download(state, event(9, "stage", 2.0, stage="waiting", done=200, total=1000))
    assert (waiting.rate, waiting.eta_s) == (0, None)


# ---------------------------------------------------------------------- pause, resume, cancel, kill


def test_a_pause_keeps_what_was_loaded_and_resuming_asks_for_the_rest(server, machine):
    server.add("org/model", FOLDER)
    server.hang_after = 2 * MB
    download = downloads.start_download(plan())
    wait(download, lambda s: s.done_bytes > MB)
    assert downloads.pause_download(download)
    state = downloads.watch_download(download).poll()
    assert state.paused
    assert state.text == "paused"
    (partial,) = partials(machine)
    kept = partial.stat().st_size
    assert kept >= MB
    assert plan().total_bytes == len(WEIGHTS) - kept
    with pytest.raises(NotDownloaded):
        locate_folder("org/model")
    server.hang_after, seen = -1, len(events(download))
    downloads.resume_download(download)
    assert not downloads.watch_download(download).poll().over
    assert wait_new(download, seen).status is RunStatus.FINISHED
    assert server.asked("cdn/org/model/model.safetensors")[-1]["range"] == f"bytes={kept}-"
    assert (locate_folder("org/model") / "model.safetensors").read_bytes() == WEIGHTS


def test_a_killed_download_goes_on_from_its_partial_file(server, machine):
    server.add("org/model", FOLDER)
    server.hang_after = 2 * MB
    download = downloads.start_download(plan())
    wait(download, lambda s: s.done_bytes > MB)
    kill_tree(running_process(paths_of(download)).pid)
    state = wait(download, lambda s: s.status is RunStatus.CRASHED)
    assert state.text == "interrupted"
    assert state.remedy == "Resume it: what was loaded is kept."
    (partial,) = partials(machine)
    kept = partial.stat().st_size
    assert kept >= MB
    server.hang_after, seen = -1, len(events(download))
    assert downloads.start_download(plan()) == download
    assert wait_new(download, seen).status is RunStatus.FINISHED
    assert server.asked("cdn/org/model/model.safetensors")[-1]["range"] == f"bytes={kept}-"
    assert (locate_folder("org/model") / "model.safetensors").read_bytes() == WEIGHTS


def test_a_cancelled_download_leaves_nothing(server, machine):
    server.add("org/model", FOLDER)
    server.hang_after = 2 * MB
    download = downloads.start_download(plan())
    wait(download, lambda s: s.done_bytes > MB)
    downloads.cancel_download(download)
    assert not downloads.list_downloads()
    assert not [p for p in (machine / "hf").rglob("*") if p.is_file()]


def test_cancelling_keeps_what_another_revision_uses(server, machine):
    server.add("org/model", FOLDER)
    downloads.cancel_download(_finished("org/model"))
    assert locate_folder("org/model")
    server.add("org/model", {**FOLDER, "model.safetensors": WEIGHTS[::-1]})
    server.hang_after = 2 * MB
    download = downloads.start_download(plan())
    wait(download, lambda s: s.done_bytes > MB)
    downloads.cancel_download(download)
    assert (locate_folder("org/model") / "model.safetensors").read_bytes() == WEIGHTS
    assert (locate_folder("org/model") / "config.json").is_file()


def _finished(name):
    """A whole download, in this process."""
    download = planned(name)
    assert downloads.run_download(paths_of(download).root) is RunStatus.FINISHED
    return download


def test_a_download_is_started_once(server):
    server.add("org/model", FOLDER)
    server.hang_after = 2 * MB
    first = downloads.start_download(plan())
    wait(first, lambda s: s.done_bytes > 0)
    held = running_process(paths_of(first))
    assert downloads.start_download(plan()) == first
    assert running_process(paths_of(first)) == held


def test_a_pause_ends_a_download_that_waits_for_a_silent_server(server):
    server.add("org/model", FOLDER)
    server.hang_after = MB
    download = downloads.start_download(plan())
    wait(download, lambda s: s.done_bytes >= MB)
    started = time.monotonic()
    assert downloads.pause_download(download)
    assert time.monotonic() - started < 25
    assert downloads.watch_download(download).poll().paused


def test_a_terminated_download_is_paused(server):
    server.add("org/model", FOLDER)
    server.hang_after = 2 * MB
    download = downloads.start_download(plan())
    wait(download, lambda s: s.done_bytes > MB)
    os.kill(running_process(paths_of(download)).pid, signal.SIGTERM)
    assert wait(download).paused


# ---------------------------------------------------------------------- what fails on the way


def test_a_lost_connection_is_made_again_and_the_file_continued(server, machine, monkeypatch):
    server.add("org/model", FOLDER)
    server.drop_after, server.drops = MB, 2
    download = planned()
    assert run_here(download, monkeypatch).status is RunStatus.FINISHED
    ranges = [headers.get("range") for headers in server.asked("cdn/org/model/model.safetensors")]
    assert ranges == [None, f"bytes={MB}-", f"bytes={2 * MB}-"]
    assert (locate_folder("org/model") / "model.safetensors").read_bytes() == WEIGHTS


def test_a_connection_that_is_lost_for_good_keeps_the_partial_file(server, machine, monkeypatch):
    server.add("org/model", FOLDER)
    download = planned()
    server.statuses["cdn/"] = [(503, {})] * 9
    state = run_here(download, monkeypatch)
    assert (state.status, state.problem) == (RunStatus.FAILED, HubProblem.SERVER)
    server.statuses.clear()
    server.drop_after, server.drops = MB, 1
    server.at_last_drop = server.close
    state = run_here(download, monkeypatch)
    assert (state.status, state.problem) == (RunStatus.FAILED, HubProblem.LOST)
    assert "The connection was lost while model.safetensors was loaded" in state.message
    assert "it continues where it stopped" in state.remedy
    assert partials(machine)[0].stat().st_size == MB


def _when(condition, act):
    def work():
        while not condition():
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_silent_server_is_asked_again(server, monkeypatch):
    server.add("org/model", FOLDER)
    monkeypatch.setattr(downloads, "SILENCE_S", 1.0)
    server.hang_after = MB
    download = planned()
    thread = _when(
        lambda: len(server.asked("cdn/org/model/model.safetensors")) > 1, lambda: setattr(server, "hang_after", -1)
    )
    assert run_here(download, monkeypatch).status is RunStatus.FINISHED
    thread.join()


@pytest.mark.parametrize("fault", ["ignore_range", "wrong_range"])
def test_a_server_that_ignores_or_misreads_ranges_gives_the_whole_file_again(server, monkeypatch, fault):
    server.add("org/model", FOLDER)
    server.drop_after, server.drops = MB, 1
    setattr(server, fault, True)
    download = planned()
    assert run_here(download, monkeypatch).status is RunStatus.FINISHED
    assert (locate_folder("org/model") / "model.safetensors").read_bytes() == WEIGHTS


def test_wrong_bytes_are_removed_and_loaded_again_on_request(server, machine, monkeypatch):
    server.add("org/model", FOLDER)
    server.corrupt.add("model.safetensors")
    download = planned()
    state = run_here(download, monkeypatch)
    assert (state.status, state.problem) == (RunStatus.FAILED, HubProblem.WRONG_BYTES)
    assert state.message.startswith("model.safetensors arrived damaged")
    assert not partials(machine)
    with pytest.raises(NotDownloaded):
        locate_folder("org/model")
    server.corrupt.clear()
    assert run_here(download, monkeypatch).status is RunStatus.FINISHED


def test_a_file_that_is_longer_than_the_hub_says_is_wrong(server, monkeypatch):
    server.add("org/model", FOLDER)
    download = planned()
    server.repos["org/model"].files["model.safetensors"] += b"more"
    state = run_here(download, monkeypatch)
    assert (state.status, state.problem) == (RunStatus.FAILED, HubProblem.WRONG_BYTES)
    assert "longer than the hub says" in state.message


def test_a_small_file_of_wrong_bytes_is_noticed_too(server, monkeypatch):
    server.add("org/model", {**FOLDER, "tokenizer.json": json.dumps({"a": "x" * 100})})
    server.corrupt.add("tokenizer.json")
    state = run_here(planned(), monkeypatch)
    assert state.message.startswith("tokenizer.json arrived damaged")


@pytest.mark.parametrize(
    ("status", "headers", "problem"),
    [
        (403, {"X-Error-Code": "GatedRepo"}, HubProblem.GATED),
        (404, {"X-Error-Code": "EntryNotFound"}, HubProblem.NO_FILE),
        (429, {"Retry-After": "9999"}, HubProblem.RATE_LIMIT),
        (403, {}, HubProblem.LOGIN),
    ],
)
def test_a_refusal_in_mid_download_is_a_sentence(server, monkeypatch, status, headers, problem):
    server.add("org/model", FOLDER)
    download = planned()
    server.statuses["resolve"] = [(status, headers)]
    state = run_here(download, monkeypatch)
    assert (state.status, state.problem) == (RunStatus.FAILED, problem)
    assert state.message
    assert state.remedy


def test_a_limit_of_requests_is_waited_for(server, monkeypatch):
    server.add("org/model", FOLDER)
    download = planned()
    server.statuses["resolve"] = [(429, {"Retry-After": "1"}), (503, {})]
    started = time.monotonic()
    assert run_here(download, monkeypatch).status is RunStatus.FINISHED
    assert time.monotonic() - started > 1
    waited = [e["message"] for e in events(download) if e.get("stage") == "waiting"]
    assert "Trying again in 1 s" in waited[0]


def test_a_disk_that_fills_in_mid_download_is_said_and_resuming_goes_on(server, machine):
    server.add("org/model", FOLDER)
    download = planned()
    paths = paths_of(download)
    command = [sys.executable, "-m", downloads.MODULE, str(paths.root)]
    done = subprocess.run(
        command, env=child_environment(), capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MB, 2 * MB)),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    state = downloads.watch_download(download).poll()
    assert (state.status, state.problem) == (RunStatus.FAILED, HubProblem.DISK)
    assert "model.safetensors could not be written" in state.message
    assert "what was loaded is kept" in state.remedy
    kept = partials(machine)[0].stat().st_size
    assert MB < kept < 2 * MB
    seen = len(events(download))
    downloads.resume_download(download)
    assert wait_new(download, seen).status is RunStatus.FINISHED
    assert server.asked("cdn/org/model/model.safetensors")[-1]["range"] == f"bytes={kept}-"


def test_the_child_says_that_the_hub_is_switched_off(server, monkeypatch):
    server.add("org/model", FOLDER)
    made = plan()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    state = wait(downloads.start_download(made))
    assert (state.status, state.problem) == (RunStatus.FAILED, HubProblem.SWITCHED_OFF)


def test_a_damaged_plan_is_listed_and_can_be_cancelled(server):
    server.add("org/model", FOLDER)
    download = planned()
    paths_of(download).plan.write_text("{")
    (listed,) = downloads.list_downloads()
    assert listed.state is None
    assert "is damaged" in listed.problem
    downloads.cancel_download(download)
    assert not downloads.list_downloads()


# ---------------------------------------------------------------------- token


def test_the_token_reaches_the_hub_and_nothing_else(server, machine, monkeypatch):
    server.add("org/gated", FOLDER, gated=True)
    server.tokens[TOKEN] = "ann"
    server.accepted.add(("ann", "org/gated"))
    (machine / "hf").mkdir(exist_ok=True)
    (machine / "hf" / "token").write_text(TOKEN)
    download = downloads.start_download(plan("org/gated"))
    assert wait(download).status is RunStatus.FINISHED
    assert all("authorization" in headers for headers in server.asked("resolve/"))
    assert server.asked("cdn/")
    assert not any("authorization" in headers for headers in server.asked("cdn/"))
    written = [p for root in (machine / "data", machine / "hf") for p in root.rglob("*") if p.is_file()]
    assert len(written) > 5
    for path in written:
        if path.name != "token":
            assert TOKEN.encode() not in path.read_bytes(), path
    for child in psutil.Process().children():
        # A zombie has no command line any more.
        with suppress(psutil.Error):
            assert TOKEN not in " ".join(child.cmdline())


# ---------------------------------------------------------------------- remove


def test_removing_a_gguf_leaves_the_others(server, machine):
    server.add("org/gguf", {"m-Q4_K_M.gguf": WEIGHTS, "m-Q8_0.gguf": WEIGHTS[::-1], "README.md": "x"})
    for tag in ("Q4_K_M", "Q8_0"):
        downloads.cancel_download(_finished(f"org/gguf:{tag}"))
    removal = downloads.plan_removal(HubId("org/gguf", "Q4_K_M"))
    assert removal.bytes == len(WEIGHTS)
    downloads.remove_model(removal)
    assert locate_gguf("org/gguf:Q8_0").read_bytes() == WEIGHTS[::-1]
    downloads.remove_model(downloads.plan_removal(HubId("org/gguf", "Q8_0")))
    assert not (machine / "hf" / "hub" / "models--org--gguf").exists()


def test_removing_a_model_frees_what_it_says_and_a_running_download_refuses(server, machine):
    server.add("org/model", FOLDER)
    _finished("org/model")
    removal = downloads.plan_removal(HubId("org/model"))
    assert removal.bytes >= sum(len(v) for v in FOLDER.values())
    downloads.remove_model(removal)
    assert not removal.folder.exists()
    with pytest.raises(UserError, match="not in the Hugging Face cache"):
        downloads.plan_removal(HubId("org/model"))
    server.hang_after = 2 * MB
    download = downloads.start_download(plan())
    wait(download, lambda s: s.done_bytes > MB)
    with pytest.raises(UserError, match="is being downloaded"):
        downloads.plan_removal(HubId("org/model"))
