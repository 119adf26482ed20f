"""What tests of several pages share."""

import pytest
from helpers.robustness_bench import Robustness


@pytest.fixture
def bench(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    made = Robustness(qtbot, qapp, tmp_path)
    yield made
    made.close()
