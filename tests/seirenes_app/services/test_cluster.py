"""The Jobs API over real HTTP: answers, refusals, silence. Saved clusters and their tokens."""

import time

import pytest
from helpers import keyring_file
from helpers.jobs_server import jobs_server

from seirenes_app.cli.main import main
from seirenes_app.services.cluster import (
    Cluster,
    ClusterClient,
    ClusterError,
    cluster_file,
    list_clusters,
    remove_cluster,
    save_cluster,
    save_token,
    token_variable,
)
from training.errors import UserError


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    with keyring_file.file_keyring(), jobs_server() as made:
        yield made


def _client(server, timeout_s=60.0):
    return ClusterClient(Cluster("lab", f"http://127.0.0.1:{server.server_port}"), timeout_s)


def test_jobs_are_listed_read_and_stopped(server):
    client = _client(server)
    assert client.version() == "2.52.0"
    assert [(j.id, j.status, j.started) for j in client.jobs()] == [("a/b", "RUNNING", 2.0)]
    assert client.job("a/b").message == "[red]"
    assert client.logs("a/b") == "one\ntwo\n"
    assert client.stop("a/b")


@pytest.mark.parametrize(
    ("mode", "says"), [("old", "no Ray Jobs API"), ("text", "JSON"), ("drop", "reached"), ("drip", "within")]
)
def test_a_server_that_is_none_is_refused_in_time(server, mode, says):
    server.mode = mode
    began = time.monotonic()
    with pytest.raises(ClusterError, match=says):
        _client(server, 1.0 if mode == "drip" else 60.0).version()
    assert time.monotonic() - began < 20


def test_an_unknown_job_is_named(server):
    with pytest.raises(ClusterError, match="knows no job 'zz'"):
        _client(server).job("zz")


def test_a_token_is_sent_and_never_shown(server, monkeypatch):
    server.token = "right"
    with pytest.raises(ClusterError, match="wants a token"):
        _client(server).version()
    monkeypatch.setenv(token_variable("lab"), "wrong-secret")
    with pytest.raises(ClusterError, match="refused the token") as refused:
        _client(server).version()
    assert "wrong-secret" not in str(refused.value)
    monkeypatch.setenv(token_variable("lab"), "right")
    assert _client(server).version() == "2.52.0"


def test_a_token_goes_to_the_keyring_and_not_to_the_file(server):
    kept = save_cluster(Cluster("lab", f"http://127.0.0.1:{server.server_port}"))
    server.token = "right"
    save_token(kept, "right")
    assert ClusterClient(kept).version() == "2.52.0"
    assert "right" not in cluster_file().read_text()


def test_clusters_are_saved_replaced_and_removed(server):
    save_cluster(Cluster("lab", "http://a:1/"))
    save_cluster(Cluster("Lab", "http://b:2"))
    assert list_clusters() == [Cluster("Lab", "http://b:2")]
    remove_cluster("lab")
    assert list_clusters() == []
    for name, address in (("a b", "http://a"), ("a", "ftp://a"), ("a", "http://u:p@a")):
        with pytest.raises(UserError):
            save_cluster(Cluster(name, address))


def test_the_command_shows_jobs_and_logs(server, capsys):
    assert main(["cluster", "add", "lab", f"http://127.0.0.1:{server.server_port}"]) == 0
    assert main(["cluster", "status", "lab"]) == 0
    assert main(["cluster", "logs", "lab", "a/b"]) == 0
    out = capsys.readouterr().out
    assert "running" in out
    assert "[red]" in out
    assert "one\ntwo" in out
