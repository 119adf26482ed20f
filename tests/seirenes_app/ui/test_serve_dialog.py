"""Facts about serving a model from the Models page: a real server, started, listed and stopped by clicks."""

import json
import os
import urllib.request

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPushButton

from seirenes_app.services.models.inventory import read_entry
from seirenes_app.services.serving import list_servers
from seirenes_app.ui.pages.models.serve_dialog import ServeDialog, ServerMonitor


@pytest.fixture
def monitor(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    made = ServerMonitor()
    yield made
    made.close()


@pytest.fixture
def dialog(qtbot, monitor):
    made = ServeDialog(read_entry("starter"))
    qtbot.addWidget(made)
    made.startRequested.connect(lambda request: monitor.start(request, made))
    made.stopRequested.connect(monitor.stop)
    monitor.changed.connect(lambda: made.render_servers(monitor.records))
    made.open()
    return made


def test_a_model_is_served_listed_and_stopped(qtbot, dialog, monitor):
    dialog.port.setValue(0)
    qtbot.mouseClick(dialog.go, Qt.MouseButton.LeftButton)
    assert not dialog.go.isEnabled()
    qtbot.waitUntil(lambda: "is served at" in dialog.status.text.text())
    assert "ends when Seirênes is closed" in dialog.status.text.text()
    qtbot.waitUntil(lambda: len(monitor.records) == 1 and dialog.list.isVisible())
    (record,) = monitor.records
    with urllib.request.urlopen(record.base_url + "/models", timeout=60) as reply:
        assert json.load(reply)["data"][0]["id"] == "starter"
    copy, stop = dialog.list.findChildren(QPushButton)
    qtbot.mouseClick(copy, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == record.base_url
    qtbot.mouseClick(stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: monitor.records == ())
    qtbot.waitUntil(lambda: not dialog.list.isVisible())
    assert list_servers() == []


def test_a_start_can_be_cancelled_and_tried_again(qtbot, dialog, monitor):
    dialog.port.setValue(0)
    qtbot.mouseClick(dialog.go, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog.progress.isVisible())
    qtbot.mouseClick(dialog.progress.cancel, Qt.MouseButton.LeftButton)
    assert dialog.go.isEnabled()
    assert not dialog.progress.isVisible()
    assert list_servers() == []


def test_why_it_did_not_start_is_shown(qtbot, dialog):
    dialog.render_failed("Port 8000 of 127.0.0.1 is taken by another program.")
    assert "is taken" in dialog.status.text.text()
    assert dialog.go.isEnabled()
