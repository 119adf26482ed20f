"""Facts about clusters in the window: saved, asked, read and stopped by clicks and keys, against a Jobs API server."""

import json
import os
import time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from helpers import keyring_file
from helpers.jobs_server import jobs_server
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from seirenes_app.services.cluster import Cluster, cluster_file, list_clusters, save_cluster, save_token
from seirenes_app.ui.pages.models.endpoint_dialogs import drop_endpoint
from seirenes_app.ui.pages.train.cluster_dialogs import EMPTY, LISTED, TOKEN_KEPT, ClustersDialog
from seirenes_app.ui.tasks import TaskRunner
from training.endpoints import Endpoint, save_endpoint, save_server_key, server_key


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    with keyring_file.file_keyring(), jobs_server() as made:
        yield made


@pytest.fixture
def open_clusters(qtbot):
    tasks = TaskRunner(threads=3)

    def make():
        made = ClustersDialog(tasks)
        qtbot.addWidget(made)
        made.said = []
        made.messageRequested.connect(made.said.append)
        made.open()
        return made

    yield make
    tasks.close()


def click(qtbot, button):
    qtbot.waitUntil(lambda: button.isEnabled() and button.isVisible())
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def wait_for(qtbot, dialog, words):
    qtbot.waitUntil(lambda: words in dialog.status.text.text())


def saved(server, token=""):
    kept = save_cluster(Cluster("lab", server.address))
    save_token(kept, token)
    return kept


def test_a_cluster_is_added_tested_and_its_token_is_in_the_keyring_alone(qtbot, server, open_clusters):
    server.token = "secret-token"
    dialog = open_clusters()
    qtbot.waitUntil(lambda: dialog.stack.currentIndex() == EMPTY)
    assert not dialog.edit.isVisible()
    click(qtbot, dialog.add_first)
    form = dialog.child
    assert not form.save.isEnabled()
    qtbot.keyClicks(form.name, "lab")
    qtbot.keyClicks(form.address, server.address)
    qtbot.keyClicks(form.token, "secret-token")
    qtbot.keyClick(form.token, Qt.Key.Key_Return)
    assert form.token.text() == ""
    wait_for(qtbot, dialog, "answers with Ray 2.52.0 and has 1 job")
    assert dialog.stack.currentIndex() == LISTED
    assert list_clusters() == [Cluster("lab", server.address)]
    assert "secret-token" not in cluster_file().read_text()
    assert dialog.said == ["lab is saved."]


def test_a_wrong_token_is_named_and_can_be_replaced(qtbot, server, open_clusters):
    saved(server, "wrong-one")
    server.token = "right-one"
    dialog = open_clusters()
    wait_for(qtbot, dialog, "refused the token")
    assert "wrong-one" not in dialog.status.text.text()
    click(qtbot, dialog.edit)
    form = dialog.child
    qtbot.waitUntil(lambda: form.token.placeholderText() == TOKEN_KEPT)
    qtbot.keyClicks(form.token, "right-one")
    click(qtbot, form.save)
    wait_for(qtbot, dialog, "answers with Ray")


def test_a_token_can_be_taken_out_of_the_keyring(qtbot, server, open_clusters):
    saved(server, "some-token")
    dialog = open_clusters()
    click(qtbot, dialog.edit)
    form = dialog.child
    qtbot.waitUntil(form.drop_token.isVisible)
    click(qtbot, form.drop_token)
    wait_for(qtbot, form, "out of the keyring")
    assert server_key(server.address) is None


def test_a_second_cluster_of_a_name_is_refused(qtbot, server, open_clusters):
    saved(server)
    dialog = open_clusters()
    click(qtbot, dialog.add)
    form = dialog.child
    qtbot.keyClicks(form.name, "LAB")
    qtbot.keyClicks(form.address, "http://elsewhere:8265")
    click(qtbot, form.save)
    wait_for(qtbot, form, "already")
    assert form.isVisible()
    assert [c.address for c in list_clusters()] == [server.address]


def test_half_an_address_is_no_error(qtbot, server, open_clusters):
    dialog = open_clusters()
    qtbot.waitUntil(dialog.add_first.isVisible)
    click(qtbot, dialog.add_first)
    for key in "http://[::1]:8265":
        qtbot.keyClicks(dialog.child.address, key)
    qtbot.wait(100)
    assert dialog.child.status.text.text() == ""


def test_a_live_job_is_stopped_after_a_question_and_an_ended_one_says_why_not(qtbot, server, open_clusters):
    saved(server)
    dialog = open_clusters()
    assert not dialog.stop.isEnabled()
    assert dialog.stop.toolTip() == "No job is chosen"
    wait_for(qtbot, dialog, "1 job")
    click(qtbot, dialog.stop)
    QTest.keyClick(dialog.child, Qt.Key.Key_Return)
    assert server.job["status"] == "RUNNING", "Enter leaves things as they are"
    click(qtbot, dialog.stop)
    click(qtbot, dialog.child.confirm)
    qtbot.waitUntil(lambda: [j.status for j in dialog.jobs.rows] == ["STOPPED"])
    assert dialog.job is not None, "the job stays selected"
    assert not dialog.stop.isEnabled()
    assert dialog.stop.toolTip() == "This job has ended"
    assert dialog.said == ["Ray stops a/b."]


def test_a_live_job_is_asked_for_again_by_itself_and_an_ended_one_is_not(qtbot, server, open_clusters):
    saved(server)
    dialog = open_clusters()
    wait_for(qtbot, dialog, "1 job")
    dialog._timer.setInterval(50)
    server.job["status"] = "SUCCEEDED"
    qtbot.waitUntil(lambda: [j.status for j in dialog.jobs.rows] == ["SUCCEEDED"])
    asked = len(server.seen)
    qtbot.wait(200)
    assert len(server.seen) == asked


def test_jobs_stay_in_view_when_the_cluster_is_gone(qtbot, server, open_clusters):
    saved(server)
    dialog = open_clusters()
    wait_for(qtbot, dialog, "1 job")
    server.mode = "drop"
    click(qtbot, dialog.ask)
    wait_for(qtbot, dialog, "cannot be reached")
    assert dialog.stack.currentIndex() == LISTED
    assert dialog.ask.isEnabled()


def test_a_log_is_read_as_plain_text_and_copied(qtbot, server, open_clusters):
    saved(server)
    server.log = "\x1b[31mstep 1\x1b[0m\n<b>step 2</b>\n"
    dialog = open_clusters()
    wait_for(qtbot, dialog, "1 job")
    dialog.table.setFocus()
    qtbot.keyClick(dialog.table, Qt.Key.Key_Return)
    shown = dialog.child
    qtbot.waitUntil(lambda: shown.view.toPlainText() == "step 1\n<b>step 2</b>")
    click(qtbot, shown.copy)
    assert QGuiApplication.clipboard().text() == "step 1\n<b>step 2</b>"


def test_a_question_is_cancelled_at_once_and_the_window_does_not_wait(qtbot, server, open_clusters):
    saved(server)
    server.mode = "drip"
    dialog = open_clusters()
    qtbot.waitUntil(dialog.progress.isVisible)
    began = time.monotonic()
    click(qtbot, dialog.progress.cancel)
    assert "not asked to the end" in dialog.status.text.text()
    assert dialog.ask.isEnabled()
    dialog.reject()
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("shared", [False, True])
def test_a_removed_cluster_takes_its_token_along_unless_an_endpoint_uses_it(qtbot, server, open_clusters, shared):
    saved(server, "some-token")
    if shared:
        save_endpoint(Endpoint(name="same", base_url=f"{server.address}/v1", model="m"))
    dialog = open_clusters()
    click(qtbot, dialog.remove)
    click(qtbot, dialog.child.confirm)
    qtbot.waitUntil(lambda: dialog.stack.currentIndex() == EMPTY)
    assert list_clusters() == []
    assert (server_key(server.address) is not None) == shared


def test_a_damaged_file_of_clusters_is_named(qtbot, server, open_clusters):
    cluster_file().write_text(json.dumps({"format": 1, "clusters": 3}))
    wait_for(qtbot, open_clusters(), "clusters.json")


@pytest.mark.parametrize("shared", [True, False])
def test_a_removed_endpoint_takes_its_key_along_unless_a_cluster_uses_it(server, shared):
    endpoint = save_endpoint(Endpoint(name="same", base_url=f"{server.address}/v1", model="m"))
    save_server_key(endpoint.base_url, "s3cret")
    if shared:
        saved(server, "s3cret")
    drop_endpoint(endpoint)
    assert server_key(server.address) == ("s3cret" if shared else None)


def test_a_token_over_plain_http_to_another_machine_is_warned_of(qtbot, server, open_clusters):
    dialog = open_clusters()
    qtbot.waitUntil(lambda: dialog.stack.currentIndex() == EMPTY)
    click(qtbot, dialog.add_first)
    form = dialog.child
    qtbot.keyClicks(form.name, "far")
    qtbot.keyClicks(form.address, "http://far:8265")
    assert "plain http" not in form.status.text.text()
    qtbot.keyClicks(form.token, "x")
    assert "plain http" in form.status.text.text()
    form.address.setText("https://far:8265")
    assert form.status.text.text() == ""
