"""Facts about actions: declared once, reachable from the palette, listed with their keys, bound on their pages."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QWidget

from seirenes_app.store.settings import Settings
from seirenes_app.ui.actions import ActionSpec, bind_actions
from seirenes_app.ui.app import build_window
from seirenes_app.ui.command_palette import filter_commands
from seirenes_app.ui.pages.base import PAGES
from seirenes_app.ui.widgets.buttons import action_button, is_destructive
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, ShortcutsDialog
from seirenes_app.ui.window_actions import ALL_ACTIONS, WINDOW_ACTIONS

UI = Path(__file__).resolve().parents[3] / "seirenes_app" / "ui"


@pytest.fixture
def window(qtbot, qapp, tmp_path, monkeypatch):
    for name in ("RUNS", "CONFIG", "DATA", "LOGS"):
        monkeypatch.setenv(f"SEIRENES_{name}", str(tmp_path / name.lower()))
    made = build_window(qapp, Settings(theme="light"))
    qtbot.addWidget(made, before_close_func=lambda w: w.shut_down())
    made.show()
    yield made
    made.shut_down()


def test_every_declared_action_is_in_the_palette_and_every_key_in_the_sheet(window):
    commands = {command.spec.id for command in window.registry.commands()}
    window.show_shortcuts()
    sheet = window.findChild(ShortcutsDialog)
    listed = {(group, title) for group, rows in sheet.groups.items() for title, _keys in rows}
    sheet.close()
    for spec in ALL_ACTIONS:
        assert spec.id in commands
        assert ((spec.group, spec.title.replace("&", "")) in listed) == bool(spec.shortcut), spec.id


def test_every_declared_action_is_bound_once_its_page_is_built_and_its_tooltip_has_the_key(window):
    for page in PAGES:
        window.show_page(page.key)
    bound = window.registry.bound()
    assert set(bound) == {spec.id for spec in ALL_ACTIONS}
    for spec in ALL_ACTIONS:
        assert not spec.shortcut or f"({spec.keys})" in bound[spec.id].toolTip(), spec.id


def test_no_key_has_two_meanings_where_both_could_be_meant():
    window_keys = [key for spec in WINDOW_ACTIONS for key in spec.shortcut.split("; ") if key]
    assert len(set(window_keys)) == len(window_keys)
    for page in PAGES:
        keys = Counter(k for s in ALL_ACTIONS if s.scope == page.key for k in s.shortcut.split("; ") if k)
        assert not [key for key, n in keys.items() if n > 1 or key in window_keys], page.key


def test_keys_are_bound_nowhere_but_in_the_registry():
    binders = set()
    for path in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Name | ast.Attribute):
                name = node.id if isinstance(node, ast.Name) else node.attr
                if name in ("QShortcut", "setShortcut", "setShortcuts"):
                    binders.add(path.name)
    assert binders == {"actions.py"}


def test_an_action_of_another_page_brings_its_page_into_view(window, qtbot):
    window.show_page("home")
    window.registry.trigger("robustness.compare")
    assert window.stack.currentWidget().key == "robustness"


def test_the_palette_starts_and_stops_nothing_on_a_page_that_is_out_of_view(window, monkeypatch):
    started = []
    monkeypatch.setattr(window._control, "start", started.append)
    window.show_page("home")
    for id_ in ("train.start", "train.queue", "train.stop"):
        window.registry.trigger(id_)
        assert window.stack.currentWidget().key == "train"
        window.show_page("home")
    assert not started


def test_the_palette_says_when_nothing_matches(window, qtbot):
    window.palette_.open()
    qtbot.keyClicks(window.palette_.edit, "zzqx")
    assert window.palette_.model.rowCount() == 0
    assert window.palette_.nothing.isVisible()
    qtbot.keyClick(window.palette_.edit, Qt.Key.Key_Return)
    assert window.palette_.isVisible()


def test_exports_comparison_and_reports_are_found_in_the_palette(window):
    commands = window.registry.commands()
    for words, id_ in (("export", "traces.export"), ("compare", "robustness.compare"), ("report", "robustness.report")):
        assert id_ in [command.spec.id for command in filter_commands(commands, words)]


def test_the_demo_key_asks_before_it_starts(window, qtbot):
    started = []
    window.start_demo = lambda: started.append(True)
    window.show_page("traces")
    qtbot.keyClick(window, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    (question,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, ConfirmDialog) and w.isVisible()]
    assert not started
    question.cancel.click()
    assert not started


def test_a_handler_or_a_spec_left_over_is_refused(qapp):
    spec = ActionSpec("page.go", "Go")
    with pytest.raises(ValueError, match="stay"):
        bind_actions(QWidget(), (spec,), {"go": print, "stay": print})
    with pytest.raises(ValueError, match="go"):
        bind_actions(QWidget(), (spec,), {})


def test_a_button_of_an_action_follows_its_text_and_state(qtbot):
    owner, done = QWidget(), []
    qtbot.addWidget(owner)
    spec = ActionSpec("page.pin", "Pin", "P", "pin", "Keep it at the top")
    action = bind_actions(owner, (spec,), {"pin": lambda: done.append(1)})["pin"]
    button = action_button(action)
    qtbot.addWidget(button)
    assert button.toolTip() == "Keep it at the top (P)"
    action.setText("Unpin")
    assert button.text() == "Unpin"
    button.click()
    action.setEnabled(False)
    button.click()
    assert done == [1]


def test_an_action_that_ends_or_deletes_something_is_marked_and_its_button_is_safe(qtbot):
    for spec in ALL_ACTIONS:
        assert spec.destructive == (spec.name in ("stop", "discard", "delete", "remove")), spec.id
    owner = QWidget()
    qtbot.addWidget(owner)
    action = bind_actions(owner, (ActionSpec("page.stop", "Stop", destructive=True),), {"stop": print})["stop"]
    assert is_destructive(action_button(action))
