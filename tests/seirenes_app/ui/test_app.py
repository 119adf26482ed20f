"""Facts about the whole window: starting, faults, palette, closing while a run is going."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QAbstractButton, QApplication

from seirenes_app.services.diagnostics import start_log
from seirenes_app.store.settings import Settings
from seirenes_app.store.workspace import CraftStore, Workspace
from seirenes_app.ui import app as composition
from seirenes_app.ui.app import build_window, check_display, check_workspace, run_app
from seirenes_app.ui.command_palette import filter_commands, fuzzy_score
from seirenes_app.ui.pages.base import PAGES
from seirenes_app.ui.theme import apply_theme, current_theme
from seirenes_app.ui.widgets.dialogs import CloseDialog, ConfirmDialog, MessageDialog
from training.errors import UserError
from training.runs.config import RunConfig
from training.runs.control import CommandKind, CommandTail
from training.runs.events import EventKind, EventLog
from training.runs.paths import new_run

ROOT = Path(__file__).resolve().parents[3]
HOLD = (
    "import sys, time; sys.path.insert(0, sys.argv[1])\n"
    "from pathlib import Path\nfrom training.runs.lock import RunLock\n"
    "lock = RunLock(Path(sys.argv[2])); lock.acquire(); print('held', flush=True); time.sleep(600)"
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Folders of the test's own for everything the window keeps."""
    for name in ("RUNS", "CONFIG", "DATA", "LOGS"):
        monkeypatch.setenv(f"SEIRENES_{name}", str(tmp_path / name.lower()))
    return tmp_path


@pytest.fixture
def window(qtbot, qapp, place):
    if not qapp.styleSheet() or current_theme().dark:
        apply_theme(qapp, "light")
    made = build_window(qapp, Settings(theme="light"))
    # pytest-qt closes the window before this fixture ends; with a live run that would ask.
    qtbot.addWidget(made, before_close_func=lambda w: w.shut_down())
    made.show()
    yield made
    made.shut_down()


@pytest.fixture
def live(place):
    """A run that goes on in a real process."""
    paths = new_run(place / "runs", RunConfig(), "alive")
    writer = EventLog(paths.events)
    writer.write(EventKind.LAUNCH, run_id="alive", steps=60, mode="seirenes", model="starter", resumed_from=None)
    writer.write(EventKind.STAGE, step=3, stage="r3_hinted", done=5, total=9)
    writer.close()
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(ROOT), str(paths.lock)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    paths_and_child = paths, child
    yield paths_and_child
    child.kill()
    child.wait()
    child.stdout.close()


def answer(kind, press):
    """Press a button of the dialog of that kind once it is open."""

    def look():
        found = [w for w in QApplication.topLevelWidgets() if isinstance(w, kind) and w.isVisible()]
        if found:
            press(found[0]).click()
        else:
            QTimer.singleShot(20, look)

    QTimer.singleShot(20, look)


# ---------------------------------------------------------------------- start


def test_the_smoke_test_paints_every_page_wears_the_theme_and_remembers_nothing(qapp, place, monkeypatch):
    Settings(theme="dark", last_page="home").save()
    before = (place / "config" / "settings.json").read_bytes()
    worn = []
    monkeypatch.setattr(
        composition, "build_window", lambda *args: worn.append(current_theme().name) or build_window(*args)
    )
    try:
        assert run_app(smoke_test=True, screenshot_dir=place / "shots") == 0
    finally:
        sys.excepthook, threading.excepthook = sys.__excepthook__, threading.__excepthook__
    assert worn == ["dark"]
    shots = [path.name for path in (place / "shots").glob("*.png")]
    pages = {name.split("-")[0] for name in shots}
    assert {"home", "craft", "train", "traces"} <= pages
    assert len(shots) == 4 * len(pages)
    assert (place / "config" / "settings.json").read_bytes() == before


def break_workspace(place):
    """Its drafts cannot be read, and all else can."""
    made = Workspace()
    CraftStore(made).save("a", "A", "x")
    page = next(made.database.query("select rootpage from sqlite_master where name = 'crafts'"))["rootpage"]
    made.close()
    data = bytearray(made.path.read_bytes())
    data[4096 * (page - 1) : 4096 * page] = b"Z" * 4096
    made.path.write_bytes(data)
    return made.path, bytes(data)


def test_a_damaged_workspace_is_set_aside_after_a_yes(qapp, place):
    path, data = break_workspace(place)
    answer(ConfirmDialog, lambda dialog: dialog.confirm)
    words = check_workspace()
    aside = next(path.parent.glob("workspace.damaged-*.db"))
    assert str(aside) in words
    assert aside.read_bytes() == data
    Workspace().close()
    assert check_workspace() == ""


def test_a_damaged_workspace_stays_after_a_no_and_the_window_does_not_open(qapp, place):
    path, data = break_workspace(place)
    answer(ConfirmDialog, lambda dialog: dialog.cancel)
    with pytest.raises(UserError, match="is damaged"):
        check_workspace()
    assert path.read_bytes() == data


def test_a_workspace_that_cannot_be_made_is_told_in_a_window(qapp, place):
    (place / "data").write_text("a file where the folder should be")
    answer(MessageDialog, lambda dialog: dialog.findChild(QAbstractButton))
    with pytest.raises(UserError, match="cannot be opened"):
        check_workspace()


def test_a_missing_x_library_is_told_with_the_line_that_mends_it(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("QT_QPA_PLATFORM")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(UserError, match="apt-get install libxcb-cursor0"):
        check_display()
    monkeypatch.delenv("DISPLAY")
    with pytest.raises(UserError, match="no display"):
        check_display()


FIRST_PAGE = """
import sys
from PySide6.QtCore import QTimer
from seirenes_app.ui import app
heavy = lambda: {'pandas', 'matplotlib', 'torch', 'transformers', 'peft', 'llama_cpp'} & set(sys.modules)
class Startup(app._Startup):
    def begin(self):
        assert not self._window.pages, "the frame comes first"
        assert not {'sqlite_utils', 'numpy'} & set(sys.modules)
        super().begin()
    def _fill(self, none):
        super()._fill(none)
        QTimer.singleShot(100, self.end)
    def end(self):
        shown, found = list(self._window.pages), heavy()
        self._window.shut_down(remember=False)
        self._app.exit(0 if shown == ['home'] and not found else 3)
        print(shown, found)
app._Startup = Startup
sys.exit(app.run_app())
"""


def test_the_frame_is_shown_at_once_and_the_first_page_loads_no_heavy_library(place):
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PAGE], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------------- faults


def test_a_fault_in_a_slot_or_a_thread_is_shown_and_logged(window, qtbot, place):
    start_log()
    composition._catch_faults(window)
    hook, thread_hook = sys.excepthook, threading.excepthook
    sys.excepthook, threading.excepthook = sys.__excepthook__, threading.__excepthook__
    try:
        raise RuntimeError("nobody foresaw this")
    except RuntimeError as error:
        hook(type(error), error, error.__traceback__)
        caught = error
    qtbot.waitUntil(lambda: window._bug is not None and window._bug.isVisible())
    first = window._bug
    args = threading.ExceptHookArgs((RuntimeError, caught, None, None))
    worker = threading.Thread(target=thread_hook, args=(args,))
    worker.start()
    worker.join()
    qtbot.wait(50)
    assert window._bug is first, "one dialog is enough"
    qtbot.waitUntil(lambda: window._machine is not None)
    first.copy.click()
    assert "nobody foresaw this" in QApplication.clipboard().text()
    first.accept()


def test_copy_diagnostics_names_this_machine(window, qtbot):
    QApplication.clipboard().clear()
    window.copy_diagnostics()
    qtbot.waitUntil(lambda: "Seirênes diagnostics" in QApplication.clipboard().text())
    assert str(Path.home()) + "/" not in QApplication.clipboard().text()


# ---------------------------------------------------------------------- keyboard


def test_fuzzy_matching_prefers_the_starts_of_words():
    assert fuzzy_score("zz", "File: New run…") is None
    assert fuzzy_score("sas", "Run: Stop and save") > fuzzy_score("sas", "Run: last as usual")
    assert fuzzy_score("apause", "a: a pause") is not None, "no way to find the letters may be overlooked"
    assert fuzzy_score("", "anything") == 0


def test_the_palette_is_driven_by_arrows_enter_and_escape(window, qtbot):
    window.set_theme("light")
    qtbot.keyClick(window, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    palette = window.palette_
    assert palette.isVisible()
    qtbot.keyClick(palette.edit, Qt.Key.Key_Escape)
    assert not palette.isVisible()
    palette.open()
    qtbot.keyClicks(palette.edit, "theme")
    names = [palette.model.index(row, 0).data() for row in range(palette.model.rowCount())]
    assert names[:3] == ["Theme: As the system", "Theme: Light", "Theme: Dark"]
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Up, Qt.Key.Key_Return):
        if key == Qt.Key.Key_Return:
            row = palette.list.currentIndex().row()
            palette.list.setCurrentIndex(palette.model.index(names.index("Theme: Dark"), 0))
            assert 0 <= row < len(names)
        qtbot.keyClick(palette.edit, key)
    assert current_theme().name == "dark"
    assert Settings.load().theme == "dark"
    window.set_theme("light")


def test_commands_that_are_off_are_found_last_and_do_nothing(window, qtbot):
    window.palette_.open()
    qtbot.keyClicks(window.palette_.edit, "run: pause")
    index = window.palette_.model.index(0, 0)
    assert index.data() == "Run: Pause"
    assert not index.flags() & Qt.ItemFlag.ItemIsEnabled
    qtbot.keyClick(window.palette_.edit, Qt.Key.Key_Return)
    assert window.palette_.isVisible()
    everything = filter_commands(window.registry.commands(), "")
    states = [command.enabled for command in everything]
    assert states == sorted(states, reverse=True)


def test_every_visible_button_of_every_page_has_an_accessible_name(window):
    for page in PAGES:
        window.show_page(page.key)
        for button in window.findChildren(QAbstractButton):
            if button.isVisible():
                assert button.accessibleName() or button.text(), button


# ---------------------------------------------------------------------- a run that is going


def test_a_run_that_is_going_is_found_shown_and_opened(window, qtbot, live):
    paths, _child = live
    window.refresh()
    qtbot.waitUntil(lambda: bool(window._active.live))
    assert "step 3 of 60" in window.status_line.button.text()
    assert "hinted" in window.status_line.button.text()
    assert window.actions_["pause"].isEnabled()
    window.show_page("home")
    qtbot.mouseClick(window.status_line.button, Qt.MouseButton.LeftButton)
    assert window.stack.currentWidget().key == "train"
    window.actions_["pause"].trigger()
    assert [c.kind for c in CommandTail(paths.commands).poll()] == [CommandKind.PAUSE]


@pytest.mark.parametrize(("button", "closes"), [("keep", True), ("cancel", False)])
def test_closing_asks_and_leaves_the_run_alone(window, qtbot, live, button, closes):
    paths, child = live
    window.refresh()
    qtbot.waitUntil(lambda: bool(window._active.live))
    answer(CloseDialog, lambda dialog: getattr(dialog, button))
    assert window.close() is closes
    assert child.poll() is None
    assert CommandTail(paths.commands).poll() == []


def test_stop_and_save_waits_in_sight_and_then_closes(window, qtbot, live):
    paths, child = live
    window.refresh()
    qtbot.waitUntil(lambda: bool(window._active.live))
    answer(CloseDialog, lambda dialog: dialog.stop)
    assert not window.close()
    assert window.closing.dialog.isVisible()
    assert "Asked" in window.closing.dialog.status.text()
    assert CommandTail(paths.commands).poll()[0].kind == CommandKind.STOP
    writer = EventLog(paths.events)
    writer.write(EventKind.DONE, outcome="stopped", message="", error=None)
    writer.close()
    child.kill()
    child.wait()
    qtbot.waitUntil(lambda: not window.isVisible())


def test_enter_keeps_the_run_going(qtbot, qapp):
    dialog = CloseDialog(["a-run"])
    qtbot.addWidget(dialog)
    assert dialog.keep.isDefault()


def test_discarding_is_asked_first_and_enter_does_not_do_it(window, qtbot, live):
    paths, _child = live
    window.refresh()
    qtbot.waitUntil(lambda: bool(window._active.live))
    window.actions_["discard"].trigger()
    (question,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, ConfirmDialog) and w.isVisible()]
    assert question.cancel.isDefault()
    question.cancel.click()
    assert paths.root.exists()


def test_the_window_comes_back_on_the_page_it_was_left_on(qtbot, qapp, place):
    first = build_window(qapp, Settings())
    first.show()
    first.show_page("train")
    first.close()
    assert Settings.load().geometry
    again = build_window(qapp, Settings.load())
    qtbot.addWidget(again, before_close_func=lambda w: w.shut_down())
    again.show()
    assert again.stack.currentWidget().key == "train"
    again.shut_down()
