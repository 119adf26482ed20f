"""Facts about the audit of hints on the Traces page: real rollouts, labelled with real keys and clicks."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from helpers.rollout_runs import make_run
from PySide6.QtCore import Qt

from seirenes_app.services.audit import audit_file, read_audit, save_labels
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.traces.audit_dialog import AuditDialog
from seirenes_app.ui.pages.traces.page import TracesPage
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "runs", range(1, 13))


@pytest.fixture
def page(qtbot, qapp, run, tmp_path):
    apply_theme(qapp, "light")
    background = TaskRunner()
    made = TracesPage(RunsModel(RunRepository(run.root.parent), None, background), None)
    qtbot.addWidget(made)
    made.resize(1280, 800)
    made.show()
    made.open_run(run)
    qtbot.waitUntil(lambda: made.audit.isEnabled() and made.table.current_row >= 0)
    yield made
    made.close_down()
    background.close()


def opened(page, qtbot):
    """The dialog, after a click on the page's button."""
    qtbot.mouseClick(page.audit, Qt.MouseButton.LeftButton)
    dialog = page.findChildren(AuditDialog)[-1]
    qtbot.waitUntil(lambda: dialog.content.isVisible() or dialog.problem.isVisible())
    return dialog


def saved(run):
    return [hint.valid for hint in read_audit(audit_file(run))]


def test_labels_by_key_and_click_are_saved_and_give_the_rate(page, qtbot, run):
    dialog = opened(page, qtbot)
    assert saved(run) == [None] * len(dialog.hints)
    assert "none labelled yet" in dialog.rate.text()
    qtbot.keyClick(dialog, Qt.Key.Key_V)
    qtbot.mouseClick(dialog.invalid, Qt.MouseButton.LeftButton)
    assert dialog.at == 2
    assert "2 labelled: 1 should not have passed" in dialog.rate.text()
    qtbot.waitUntil(lambda: saved(run)[:3] == [True, False, None])


def test_a_label_can_be_taken_back(page, qtbot, run):
    dialog = opened(page, qtbot)
    qtbot.keyClick(dialog, Qt.Key.Key_X)
    qtbot.keyClick(dialog, Qt.Key.Key_K)
    assert dialog.label.text.text() == "Labelled: should not have passed."
    qtbot.keyClick(dialog, Qt.Key.Key_Backspace)
    assert (dialog.at, dialog.unlabel.isEnabled()) == (0, False)
    qtbot.waitUntil(lambda: saved(run) == [None] * len(dialog.hints))


def test_an_audit_goes_on_at_the_first_hint_without_a_label(page, qtbot, run):
    dialog = opened(page, qtbot)
    for _ in range(2):
        qtbot.keyClick(dialog, Qt.Key.Key_V)
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: saved(run)[:2] == [True, True])
    assert opened(page, qtbot).at == 2


def test_what_somebody_else_wrote_into_the_file_is_kept(page, qtbot, run):
    dialog = opened(page, qtbot)
    save_labels(audit_file(run), {dialog.hints[3].key: False})
    qtbot.keyClick(dialog, Qt.Key.Key_V)
    qtbot.waitUntil(lambda: saved(run)[:4] == [True, None, None, False])


def test_a_file_that_cannot_be_read_is_named_and_left_alone(page, qtbot, run):
    audit_file(run).write_text("no hint\n")
    dialog = opened(page, qtbot)
    assert "line 1" in dialog.problem.text.text()
    assert not dialog.content.isVisible()
    assert audit_file(run).read_text() == "no hint\n"


def test_a_label_that_cannot_be_saved_is_reported(page, qtbot, run):
    dialog = opened(page, qtbot)
    audit_file(run).unlink()
    qtbot.keyClick(dialog, Qt.Key.Key_V)
    qtbot.waitUntil(dialog.problem.isVisible)
    assert "1 label of this window may not be saved" in dialog.problem.text.text()


def test_the_recorded_run_is_not_audited_here_and_the_tooltip_says_where(page, qtbot, tmp_path):
    page._recorded = make_run(tmp_path / "shipped", range(1, 3), run_id="recorded")
    page.open_run(page._recorded)
    qtbot.waitUntil(lambda: page.table.current_row >= 0)
    assert not page.audit.isEnabled()
    assert "seirenes audit recorded" in page.audit.toolTip()
