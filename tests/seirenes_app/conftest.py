"""A cluster for tests: a server of Ray's Jobs API whose jobs are real processes."""

import pytest

from seirenes_app.services.cluster import Cluster, save_cluster
from tests.helpers import keyring_file
from tests.helpers.ray_jobs import fake_python, ray_jobs


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    for name in ("DATA", "RUNS"):
        monkeypatch.setenv(f"SEIRENES_{name}", str(tmp_path / name))
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    with keyring_file.file_keyring(), ray_jobs() as made:
        yield made


@pytest.fixture
def lab(jobs, tmp_path):
    address = f"http://127.0.0.1:{jobs.server_port}"
    return save_cluster(Cluster("lab", address, fake_python(tmp_path), str(tmp_path / "remote")))
