"""What tests of several pages share."""

import functools

import pytest
from helpers.robustness_bench import Robustness
from PySide6.QtCore import QCoreApplication
from pytestqt.qtbot import QtBot

PATIENCE_MS = 120_000
"""A machine may be busy with other work: no test fails because something came late, only because it never came."""


def _patient(wait):
    @functools.wraps(wait)
    def waits(*arguments, timeout=PATIENCE_MS, **named):
        # Where nothing is raised the time is what was asked for: `assertNotEmitted` waits so.
        longest = timeout if named.get("raising") is False else max(timeout, PATIENCE_MS)
        return wait(*arguments, timeout=longest, **named)

    return waits


def _thorough(wait):
    @functools.wraps(wait)
    def waits(self, ms):
        wait(self, ms)
        # What was posted is done, however few turns the event loop has made in this time.
        for _ in range(10):
            QCoreApplication.processEvents()

    return waits


for _name in ("waitUntil", "waitSignal", "waitSignals"):
    setattr(QtBot, _name, _patient(getattr(QtBot, _name)))
QtBot.wait = _thorough(QtBot.wait)


@pytest.fixture
def bench(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    made = Robustness(qtbot, qapp, tmp_path)
    yield made
    made.close()
