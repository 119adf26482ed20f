"""Facts about the window, offscreen, with real run directories and a real trainer process."""

import itertools
import sys
from dataclasses import replace

import pytest
from helpers.window_watch import stray_windows
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QApplication, QLabel, QWidget

from seirenes_app.services.charts.data import kept_points
from seirenes_app.services.run_queue import RunQueue
from seirenes_app.store.settings import Settings
from seirenes_app.ui.app import build_window
from seirenes_app.ui.pages.base import PAGES
from seirenes_app.ui.theme import apply_theme
from seirenes_app.ui.widgets.dialogs import ShortcutsDialog
from training.runs.config import DataConfig, RunConfig
from training.runs.events import EventKind, EventLog
from training.runs.paths import new_run


def page(window, key):
    return window.page(key)


@pytest.fixture
def window(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SEIRENES_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    apply_theme(qapp, "light")
    made = build_window(qapp, Settings())
    qtbot.addWidget(made)
    made.show()
    yield made
    made.shut_down()


def write_run(root, name, done=None):
    paths = new_run(root, RunConfig(), name)
    writer = EventLog(paths.events)
    writer.write(EventKind.LAUNCH, steps=60, mode="seirenes", model="starter", resumed_from=None)
    rate = {"right": 9, "n": 10, "accuracy": 0.9, "low": 0.6, "high": 0.98}
    for step in range(1, 6):
        writer.write(EventKind.STEP, step=step, metrics={"clean_accuracy": 0.8, "clean_low": 0.7, "clean_high": 0.9,
                     "seconds": 2.0, "gate_pass_rate": 0.9, "gate_fail/numbers": 0.1})  # fmt: skip
    writer.write(
        EventKind.EVAL, step=0, metrics={"clean": rate, "hinted": rate, "by_type": {"information_overload": rate}}
    )
    if done:
        writer.write(EventKind.DONE, outcome=done, message="", error=None)
    writer.close()
    return paths


def test_void_qt_calls_lose_no_reference_to_none(qapp):
    label = QLabel()
    before = sys.getrefcount(None)
    for i in range(1000):
        label.setText(str(i))
    assert sys.getrefcount(None) > before - 500


def test_all_pages_are_reached_by_key(window, qtbot):
    for number, spec in enumerate(PAGES):
        qtbot.keyClick(window, getattr(Qt.Key, f"Key_{number + 1}"), Qt.KeyboardModifier.ControlModifier)
        assert window.stack.currentWidget() is window.page(spec.key)


def test_no_part_of_a_page_or_a_dialog_flashes_as_a_window_of_its_own(qtbot, qapp, window, tmp_path):
    with stray_windows() as seen:
        for spec in PAGES:
            window.show_page(spec.key)
        craft = window.page("craft")
        craft.dialogs.show_library()
        qtbot.waitUntil(lambda: craft.dialogs.open_dialog is not None)
        craft.dialogs.open_dialog.reject()
        robustness = window.page("robustness")
        robustness.open_evaluate()
        qtbot.waitUntil(lambda: robustness.dialogs.open_dialog is not None)
        robustness.dialogs.open_dialog.reject()
        config = replace(RunConfig(), data=replace(DataConfig(), problems=str(tmp_path)))
        submit = window.page("train").open_submit(config)
        qtbot.waitUntil(submit.isVisible)
        submit.reject()
    assert seen == []


def test_the_palette_finds_and_runs_a_command_by_keyboard(window, qtbot):
    window.show_page("home")
    window.palette_.open()
    qtbot.keyClicks(window.palette_.edit, "new run")
    qtbot.keyClick(window.palette_.edit, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.stack.currentWidget().key == "train")


def test_an_unknown_theme_or_page_in_the_settings_does_not_keep_the_window_closed(qtbot, qapp, tmp_path, monkeypatch):
    for name in ("RUNS", "DATA", "CONFIG"):
        monkeypatch.setenv(f"SEIRENES_{name}", str(tmp_path / name.lower()))
    made = build_window(qapp, Settings(theme="sepia", last_page="nowhere"))
    qtbot.addWidget(made, before_close_func=lambda w: w.shut_down())
    assert made.stack.currentWidget().key == "home"


def test_the_sidebar_opens_the_palette(window, qtbot):
    qtbot.mouseClick(window.sidebar.commands, Qt.MouseButton.LeftButton)
    assert window.palette_.isVisible()


def test_keys_are_listed_by_where_they_work_on_any_screen(window):
    window.resize(1000, 640)
    window.show_shortcuts()
    sheet = window.findChild(ShortcutsDialog)
    assert list(sheet.groups)[:3] == ["File", "Run", "View"]
    assert ("Command palette…", "Ctrl+Shift+P") in sheet.groups["View"]
    assert ("Next flip", "N") in sheet.groups["Traces"]
    assert sheet.sizeHint().height() < 640
    sheet.close()


def test_a_run_leads_on_to_its_traces_and_its_robustness_and_discarding_is_not_first(window, qtbot, tmp_path):
    paths = write_run(tmp_path / "runs", "done", done="finished")
    window.open_run(paths)
    head = page(window, "train").view.head
    order, part = [], head
    while (part := part.nextInFocusChain()) is not head:
        order.append(part)
    assert order.index(head.traces) < order.index(head.more)
    head.robustness.click()
    assert window.stack.currentWidget() is page(window, "robustness")
    assert page(window, "robustness").root == paths.root
    window.open_run(paths)
    head.traces.click()
    assert window.stack.currentWidget() is page(window, "traces")


def test_a_crashed_run_is_explained_on_home(window, qtbot, tmp_path):
    write_run(tmp_path / "runs", "lost")
    window.refresh()
    qtbot.waitUntil(lambda: bool(window.page("home").banners))
    assert "lost crashed" in next(iter(window.page("home").banners.values())).title.text()


def test_a_finished_run_is_replayed_with_its_charts_and_figures(window, qtbot, tmp_path):
    paths = write_run(tmp_path / "runs", "over", done="finished")
    window.open_run(paths)
    view = page(window, "train").view
    assert view.head.name.text() == "over"
    assert view.evaluation.rows.index(0, 1).data().startswith("90%")
    for _ in range(12):
        view.tick()
    assert "clean, this step 8" in view.grid.cards["accuracy"].legend.text()
    view.grid.cards["accuracy"].save(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().startswith("series,step")


def test_a_run_goes_by_the_name_that_it_was_given(window, tmp_path):
    paths = write_run(tmp_path / "runs", "over", done="finished")
    window._runs.set_mark("over", name="Best so far")
    window.open_run(paths)
    assert page(window, "train").view.head.name.text() == "Best so far"
    window.open_traces(paths)
    assert page(window, "traces").chooser.button.text() == "Best so far"


def test_a_wrong_value_is_told_beside_its_field_and_start_is_off(window, qtbot):
    new = page(window, "train").new
    field = new.form.fields["rollout.clean"]
    field.editor.setText("1")
    field.edited.emit()
    assert "out of range" in field.help.text()
    qtbot.waitUntil(lambda: not new.start.isEnabled())


def test_an_option_is_found_by_its_help(window):
    form = page(window, "train").new.form
    window.show_page("train")
    form.search.setText("importance ratio")
    shown = [key for key, field in form.fields.items() if not field.isHidden() and field.isVisibleTo(form)]
    assert set(shown) == {"update.clip_low", "update.clip_high"}


def test_the_form_gives_back_the_configuration_it_was_shown(window):
    config = RunConfig(name="x", steps=7)
    page(window, "train").new.render_config(config)
    assert page(window, "train").new.form.config() == config
    assert "--set steps=7" in page(window, "train").new.as_command()


def test_decimation_keeps_every_extreme():
    y = [0.0] * 50_000
    y[31_234] = 9.0
    x = kept_points(y)
    assert 31_234 in x
    assert len(x) <= 2100
    assert all(a < b for a, b in itertools.pairwise(x))


def test_the_palette_gives_the_keyboard_back_without_touching_what_lies_between(window, qtbot):
    window.activateWindow()
    start = page(window, "home").start
    window.show_page("home")
    start.setFocus()
    reasons = []

    class Ear(QObject):
        def eventFilter(self, watched, event):
            if event.type() == QEvent.Type.FocusIn and isinstance(watched, QWidget):
                reasons.append(event.reason())
            return False

    ear = Ear()
    window.palette_.open()
    QApplication.instance().installEventFilter(ear)
    qtbot.keyClicks(window.palette_.edit, "refresh")
    qtbot.keyClick(window.palette_.edit, Qt.Key.Key_Return)
    QApplication.instance().removeEventFilter(ear)
    assert QApplication.focusWidget() is start
    assert Qt.FocusReason.TabFocusReason not in reasons


@pytest.mark.parametrize("on", [True, False])
def test_a_queue_that_was_left_on_goes_on_after_the_start_and_a_paused_one_does_not(window, qtbot, tmp_path, on):
    queue = RunQueue.of(window._library)
    queue.add(RunConfig("later", data=DataConfig(problems=str(tmp_path / "none.jsonl"))))
    queue.set_running(on)
    window.continue_queue()
    assert ("train" in window.pages) is on
    if on:
        said = []
        page(window, "train").toast.connect(said.append)
        qtbot.waitUntil(lambda: any("The queue goes on: 1 run" in text for text in said))
        # The run cannot be started; it stays, with its reason.
        qtbot.waitUntil(lambda: bool(queue.state().entries[0].problem))
    else:
        assert not queue.state().entries[0].problem
