import pytest


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    """Caches and workspaces of a test are its own."""
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))
