"""Facts about the Train page: real run directories, offscreen, with real clicks and keys."""

import json
import shutil
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from helpers.model_folders import model_folder
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from seirenes_app.services import preflight
from seirenes_app.services.preflight import MachineState
from seirenes_app.services.run_queue import RunQueue
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.store.resources import resources_root
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from seirenes_app.ui.pages.train.cluster_dialogs import ClustersDialog
from seirenes_app.ui.pages.train.dialogs import ExportModelDialog, TrainLongerDialog
from seirenes_app.ui.pages.train.page import TrainPage
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme
from seirenes_app.ui.widgets.config_form import Field
from training.engine.checkpoint import atomic_folder
from training.errors import UserError
from training.prompt_files import NEUTRAL, built_in
from training.runs.config import (
    DataConfig,
    EvalConfig,
    ModelConfig,
    RolloutConfig,
    RunConfig,
    describe_options,
    load_config,
)
from training.runs.events import EventKind, EventLog
from training.runs.lock import RunLock
from training.runs.paths import new_run

OPTIONS = {option.key: option for option in describe_options()}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def page(qtbot, qapp, root):
    apply_theme(qapp, "light")
    tasks = TaskRunner()
    made = TrainPage(TrainerControl(root), RunRepository(root), ModelInventory(), tasks=tasks)
    qtbot.addWidget(made)
    made.resize(1100, 760)
    made.show()
    made.activateWindow()
    made.said = []
    made.toast.connect(made.said.append)
    yield made
    made.show_new(None)
    made.deactivate()
    tasks.close()


def of_server(url):
    return RunConfig(
        model=replace(ModelConfig(), tuning="lora"),
        engine=replace(RunConfig().engine, backend="tinker", url=url, base_model="org/served"),
    )


@pytest.fixture
def listening():
    """A server that takes connections and does not answer until `go` is set, and then as a Tinker server does."""
    go = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            go.wait(20)
            found = self.path == "/api/v1/get_server_capabilities"
            body = json.dumps({"supported_models": [{"model_name": "org/served"}]} if found else {}).encode()
            self.send_response(200 if found else 405)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", go
        go.set()
        server.shutdown()


def test_the_panel_asks_the_server_of_the_engine_and_start_does_not_wait(page, qtbot, listening):
    url, go = listening
    page.new.render_config(of_server(url))
    line, start = page.new.panel.server.text, page.new.start
    qtbot.waitUntil(lambda: line.text().startswith(f"Asking {url}."))
    assert start.isEnabled()
    assert page.new.panel.server.isVisible()
    go.set()
    qtbot.waitUntil(lambda: line.text() == f"{url} answers and serves org/served.")
    # Another model is asked for at once.
    page.new.form.fields["engine.base_model"].take("org/other")
    qtbot.waitUntil(lambda: "does not serve org/other. It serves org/served." in line.text())
    assert start.text() == "Start anyway"
    assert "org/other" in start.accessibleDescription()
    # What is known of this machine says nothing about the server.
    panel = page.new.panel
    assert (panel.time.figure.text(), panel.basis.text()[:31]) == ("Not estimated", "The time depends on the server;")
    page.new.render_config(RunConfig())
    qtbot.waitUntil(panel.server.isHidden)
    assert panel.time.figure.text().startswith("About")


def test_a_server_that_is_away_can_be_asked_again(page, qtbot, listening):
    url, go = listening
    go.set()
    check = page.new.panel.server
    page.new.render_config(of_server("http://127.0.0.1:1"))
    qtbot.waitUntil(lambda: "127.0.0.1:1 cannot be reached. Check engine.url" in check.text.text())
    page.new.form.fields["engine.url"].take(url)
    qtbot.waitUntil(lambda: "answers" in check.text.text())
    go.clear()
    qtbot.mouseClick(check.again, Qt.MouseButton.LeftButton)
    assert check.text.text().startswith("Asking")
    go.set()
    qtbot.waitUntil(lambda: "answers" in check.text.text())


class Run:
    """A live run: its lock is held here, its events are written here."""

    def __init__(self, root, name="live", config=None):
        self.paths = new_run(root, config or RunConfig(), name)
        self.lock = RunLock(self.paths.lock)
        self.lock.acquire()
        self.log = EventLog(self.paths.events)
        self.write(EventKind.LAUNCH, steps=60, mode="seirenes", model="starter", resumed_from=None)
        self.write(EventKind.STEP, step=1, metrics={"tokens_per_s": 600.0})

    def write(self, kind, **data):
        self.log.write(kind, **data)

    def end(self, **data):
        self.write(EventKind.DONE, **data)
        self.log.close()
        self.lock.release()


@pytest.fixture
def run(root):
    made = Run(root)
    yield made
    made.lock.release()


def open_run(page, qtbot, paths):
    page.open_run(paths)
    qtbot.waitUntil(lambda: page._state.run_id == paths.run_id or bool(page._state.steps or page._state.message))


def commands(run):
    return run.paths.commands.read_text() if run.paths.commands.exists() else ""


# ---------------------------------------------------------------------- the run in view


def test_space_on_pause_and_space_again_continues_and_never_stops(page, qtbot, run):
    open_run(page, qtbot, run.paths)
    pause = page.view.head.pause
    qtbot.waitUntil(pause.isVisible)
    pause.setFocus()
    qtbot.keyClick(pause, Qt.Key.Key_Space)
    run.write(EventKind.STAGE, stage="paused", step=2)
    qtbot.waitUntil(lambda: pause.text() == "Continue")
    assert QApplication.focusWidget() is pause
    qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Space)
    assert "pause" in commands(run)
    assert "resume" in commands(run)
    assert "stop" not in commands(run)


def test_the_keyboard_goes_to_a_harmless_button_when_a_run_ends(page, qtbot, run):
    open_run(page, qtbot, run.paths)
    head = page.view.head
    qtbot.waitUntil(head.stop.isVisible)
    head.stop.setFocus()
    run.end(outcome="finished", message="", error=None)
    qtbot.waitUntil(lambda: not head.stop.isVisible())
    assert QApplication.focusWidget() is head.traces


@pytest.mark.parametrize(
    ("done", "first"),
    [
        ({"outcome": "finished"}, []),
        ({"outcome": "stopped"}, ["Resume"]),
        ({"outcome": "failed", "failure": "settings", "message": "There is no such model."}, ["Edit settings"]),
        ({"outcome": "failed", "failure": "resources", "message": "The disk is full."}, ["Resume"]),
        ({"outcome": "failed", "failure": "server", "message": "It cannot be reached."}, ["Resume"]),
        (None, ["Resume"]),
    ],
)
def test_what_helps_a_run_that_is_over_is_offered_once(page, qtbot, run, done, first):
    if done is None:
        run.log.close()
        run.lock.release()
    else:
        run.end(**{"message": "", "error": None} | done)
    open_run(page, qtbot, run.paths)
    view = page.view
    qtbot.waitUntil(lambda: view.head.badge.accessibleName() in ("Finished", "Stopped", "Failed", "Crashed"))
    buttons = [b for b in view.findChildren(QPushButton) if b.isVisible() and b.property("kind") == "primary"]
    assert [b.text() for b in buttons] == first
    assert view.banner.isVisible() == (done is None or done["outcome"] == "failed")
    assert page.actions_["resume"].isEnabled() == (first == ["Resume"])


def test_edit_settings_opens_the_form_with_the_settings_of_the_run(page, qtbot, root):
    failed = Run(root, "bad", RunConfig(name="mine", steps=7, data=DataConfig(families="clok")))
    failed.end(outcome="failed", failure="settings", message="data.families: unknown family clok.", error="UserError")
    open_run(page, qtbot, failed.paths)
    qtbot.waitUntil(lambda: "Edit settings" in page.view.banner.buttons)
    qtbot.mouseClick(page.view.banner.buttons["Edit settings"], Qt.MouseButton.LeftButton)
    assert page.new.isVisible()
    assert page.new.form.fields["steps"].text() == "7"
    families = page.new.form.fields["data.families"]
    assert "clock" in families.wrong
    assert not page.new.start.isEnabled()
    families.editor.chips["clok"].click()
    families.editor.chips["clock"].click()
    assert (families.text(), families.wrong) == ("clock", "")
    assert page.new.start.isEnabled()


def test_a_long_name_never_widens_the_page(page, qtbot, root):
    name = "n" * 200
    failed = Run(root, name, RunConfig(name="m" * 300))
    failed.end(outcome="failed", failure="resources", message=f"/{'path' * 60} is full.", error="UserError")
    open_run(page, qtbot, failed.paths)
    page.queue.held = lambda: True
    page.queue.add(failed_config := RunConfig(name="m" * 300))
    page.view.render(page._state)
    assert page.minimumSizeHint().width() <= 824
    assert page.view.column.widget().minimumSizeHint().width() <= 824
    page.show_new(failed_config)
    assert page.minimumSizeHint().width() <= 824


def test_a_health_warning_moves_nothing(page, qtbot, run):
    open_run(page, qtbot, run.paths)
    qtbot.waitUntil(lambda: page.view.progress.figures["step"].text() == "1 of 60")
    before = page.view.grid.y()
    run.write(EventKind.WARNING, step=1, code="entropy", message="Entropy fell. " * 30, remedy="Raise the KL weight.")
    health = page.view.progress.health
    qtbot.waitUntil(lambda: bool(health.warnings))
    QApplication.processEvents()
    assert page.view.grid.y() == before
    health.open_button.click()
    assert any("Raise the KL weight." in label.text() for label in health.dialog.findChildren(QLabel))
    health.dialog.close()
    page._on_stop_changed(run.paths, "Asked the trainer to save and stop.")
    QApplication.processEvents()
    assert page.view.grid.y() == before


def test_an_alarm_is_shown_until_it_is_cleared_and_the_dialog_follows(page, qtbot, run):
    open_run(page, qtbot, run.paths)
    health = page.view.progress.health
    text = {"message": "40% of the solutions are cut off.", "remedy": "Raise rollout.max_solution_tokens."}
    run.write(EventKind.WARNING, step=2, code="truncated", alarm="raised", **text)
    qtbot.waitUntil(lambda: "cut off" in health.accessibleName())
    health.show_dialog()
    dialog = health.dialog
    lines = {line.code: line for line in dialog.rows.rows}
    assert lines["truncated"].status == "Raised at step 2"
    assert "max_solution_tokens" in dialog.about.text()
    assert "More than" not in dialog.about.text()
    assert "more than 5%" in dialog.about.text()
    place = dialog.table.currentIndex().row()
    run.write(EventKind.CLEARED, step=5, code="truncated", message="Cut-off solutions: 1%.")
    qtbot.waitUntil(lambda: health.accessibleName() == "No health warnings")
    assert {line.code: line.status for line in dialog.rows.rows}["truncated"] == "Fine (raised at step 2)"
    assert dialog.table.currentIndex().row() == place
    dialog.close()
    QApplication.processEvents()
    assert health.dialog is None


# ---------------------------------------------------------------------- the form


def test_late_warnings_do_not_move_the_buttons(page, qtbot, monkeypatch):
    qtbot.waitUntil(lambda: page.new.panel.time.figure.text() != "…")
    start = page.new.panel.start
    before = start.mapTo(page, start.rect().topLeft())
    monkeypatch.setattr(preflight, "read_machine_state", lambda _root: MachineState(1.0, 1.0, ("a", "b")))
    page.new._estimate()
    qtbot.waitUntil(lambda: page.new.panel.warnings.count() == 3)
    QApplication.processEvents()
    assert start.text() == "Start anyway"
    assert start.mapTo(page, start.rect().topLeft()) == before


@pytest.mark.parametrize("key", [key for key, option in OPTIONS.items() if option.choices])
def test_a_closed_set_is_chosen_not_typed(qtbot, key):
    field = Field(OPTIONS[key])
    qtbot.addWidget(field)
    for choice in OPTIONS[key].choices:
        field.set_text(choice)
        assert field.text() == choice
        assert field.check() == ""


def test_families_are_ticked_and_none_means_all(qtbot):
    field = Field(OPTIONS["data.families"])
    qtbot.addWidget(field)
    field.set_text("all")
    field.editor.chips["rate"].click()
    field.editor.chips["clock"].click()
    assert field.text() == "rate,clock"
    field.editor.chips["rate"].click()
    field.editor.chips["clock"].click()
    assert field.text() == "all"


def test_the_reset_button_is_large_enough_to_hit_and_resets(page, qtbot):
    field = page.new.form.fields["steps"]
    field.editor.setFocus()
    field.editor.selectAll()
    qtbot.keyClicks(field.editor, "11")
    assert field.reset.isVisible()
    assert min(field.reset.width(), field.reset.height()) >= 24
    qtbot.mouseClick(field.reset, Qt.MouseButton.LeftButton)
    assert field.text() == str(page.new._origin.config.steps)
    assert not field.changed


def test_the_palette_never_starts_a_form_that_is_out_of_view(page, qtbot, run):
    open_run(page, qtbot, run.paths)
    page.actions_["start"].trigger()
    assert page.new.isVisible()
    assert len(list(page._library.runs_root.iterdir())) == 1


# ---------------------------------------------------------------------- export


def test_a_checkpoint_is_exported_from_the_window(page, qtbot, run, tmp_path):
    with atomic_folder(run.paths.checkpoints / "step_000003") as folder:
        shutil.copytree(resources_root() / "starter", folder, dirs_exist_ok=True)
    dialog = ExportModelDialog(run.paths, "full", page._tasks, page)
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.checkpoint.currentText() == "Step 3"
    assert [dialog.format.itemData(i) for i in range(dialog.format.count())] == ["hf", "gguf"]
    assert not dialog.role.isVisible()
    dialog.format.setCurrentIndex(1)
    dialog.start(tmp_path / "model.gguf")
    assert not dialog.go.isEnabled()
    qtbot.waitUntil(dialog.folder.isVisible)
    assert (tmp_path / "model.gguf").read_bytes()[:4] == b"GGUF"
    assert "model.gguf written" in dialog.words.text()


def test_of_two_models_the_dialog_asks_which_and_says_which_was_written(page, qtbot, run, tmp_path):
    with atomic_folder(run.paths.checkpoints / "step_000003") as folder:
        shutil.copytree(resources_root() / "starter", folder, dirs_exist_ok=True)
        shutil.copytree(resources_root() / "starter", folder / "adversary")
    dialog = ExportModelDialog(run.paths, "full", page._tasks, page)
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.role.isVisible()
    dialog.role.setCurrentIndex(1)
    dialog.start(tmp_path / "model")
    qtbot.waitUntil(dialog.folder.isVisible)
    assert "This is the Adversary." in dialog.words.text()


def test_a_cancelled_model_export_leaves_nothing(page, qtbot, run, tmp_path):
    with atomic_folder(run.paths.checkpoints / "step_000003") as folder:
        shutil.copytree(resources_root() / "starter", folder, dirs_exist_ok=True)
    out = tmp_path / "out"
    out.mkdir()
    dialog = ExportModelDialog(run.paths, "full", page._tasks, page)
    qtbot.addWidget(dialog)
    dialog.show()
    dialog.start(out / "model")
    dialog.reject()
    qtbot.waitUntil(lambda: not dialog.isVisible())
    assert list(out.iterdir()) == []


# ---------------------------------------------------------------------- prompts


@pytest.fixture
def instruct(tmp_path):
    """A folder of an instruct model, with weights of zeros."""
    folder = model_folder(tmp_path / "instruct", rows=49152)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}")
    return folder


def test_prompts_and_token_limits_go_with_the_model(qtbot, page, instruct):
    new = page.new
    qtbot.waitUntil(lambda: new.form.prompts.used is not None)
    assert (new.form.prompts.name, new.form.prompts.used.name) == ("auto", "compact")
    new.take_model(str(instruct))
    qtbot.waitUntil(lambda: new.form.config().rollout.max_solution_tokens == 512)
    config = new.form.config()
    assert (config.rollout.max_hint_tokens, config.evaluation.max_new_tokens) == (96, 512)
    assert new.form.prompts.used.name == "neutral"
    made = new_run(page.new._library.runs_root, config)
    assert load_config(made.config).profile == built_in(NEUTRAL)


def test_edited_prompts_are_kept_whole_with_the_run(qtbot, page):
    form = page.new.form
    edited = replace(built_in(NEUTRAL), name="neutral-edited", max_hint_characters=100)
    form.prompts._take(edited)
    assert form.config().profile == edited
    assert "model.prompts" in form.changed_keys()
    with pytest.raises(UserError, match="Save them under a name"):
        page.new.as_command()
    form.fields["model.prompts"].take("cautious")
    assert (form.config().profile, form.config().model.prompts) == (None, "cautious")
    form.fields["model.prompts"].take("gone")
    assert "no prompt profile 'gone'" in form.first_wrong().wrong


def test_settings_of_a_run_come_back_with_its_own_prompts(page):
    edited = replace(built_in(NEUTRAL), name="neutral-edited", max_hint_characters=100)
    config = replace(RunConfig(), model=ModelConfig(prompts="neutral-edited"), profile=edited)
    page.show_new(load_config(new_run(page.new._library.runs_root, config).config))
    assert page.new.form.config().profile == edited


def test_a_model_without_a_chat_template_is_warned_of_before_it_is_trained(tmp_path):
    plain = model_folder(tmp_path / "plain", without=("tokenizer_config.json",))
    _, _, warnings = preflight.check_prompts(RunConfig(model=ModelConfig(path=str(plain))))
    assert any("no chat template" in text for text in warnings)
    assert any("Choose an instruct model" in text for text in warnings)
    _, _, warnings = preflight.check_prompts(RunConfig())
    assert not any("template" in text for text in warnings)


def open_page(qtbot, root):
    """The page as at the start of a window."""
    tasks = TaskRunner()
    made = TrainPage(TrainerControl(root), RunRepository(root), ModelInventory(), tasks=tasks)
    qtbot.addWidget(made)
    made.resize(1100, 900)
    made.show()
    made.said = []
    made.toast.connect(made.said.append)
    return made, tasks


@pytest.fixture
def waiting(root):
    """Three runs wait; the queue is paused."""
    queue = RunQueue.of(RunRepository(root))
    for name in ("a", "b", "c"):
        queue.add(RunConfig(name))
    return queue


def queued(page):
    return [entry.name for entry in page.queue.state.entries]


def test_the_queue_is_reordered_by_keys_and_what_is_taken_out_comes_back(qtbot, root, waiting, page):
    card = page.new.panel.queue
    assert queued(page) == ["a", "b", "c"]
    card.list.setCurrentRow(2)
    qtbot.keyClick(card.list, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    qtbot.keyClick(card.list, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert queued(page) == ["c", "a", "b"]
    assert card.chosen.name == "c"
    qtbot.keyClick(card.list, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    qtbot.keyClick(card.list, Qt.Key.Key_Delete)
    assert queued(page) == ["a", "b"]
    qtbot.keyClick(card.list, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(card.list, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert queued(page) == ["a", "c", "b", "b"]
    card.list.dropped.emit(card.list.item(3).data(Qt.ItemDataRole.UserRole).id, 0)
    assert queued(page) == ["b", "a", "c", "b"]
    assert [entry.name for entry in waiting.state().entries] == queued(page)


def test_a_paused_queue_asks_at_the_start_and_starts_nothing(qtbot, root, waiting, page):
    page.queue.refresh()
    qtbot.waitUntil(lambda: len(page.queue.outlooks) == 3)
    assert page.new.banner.title.text() == "Continue the queue?"
    assert page.new.panel.queue.switch.accessibleName() == "Start the queue"
    assert list(root.glob("*")) == []


def test_what_does_not_fit_waits_with_its_reason_and_start_anyway_starts_it(qtbot, root, waiting, page, monkeypatch):
    tight = lambda _root: MachineState(1.0, 500_000.0, ())  # noqa: E731
    monkeypatch.setattr("seirenes_app.ui.controllers.run_queue.read_machine_state", tight)
    launched = []
    monkeypatch.setattr(page._control, "resume", launched.append)
    page.queue.set_on(True)
    assert page.new.banner.isHidden()
    qtbot.waitUntil(lambda: len(page.queue.outlooks) == 3)
    card = page.new.panel.queue
    card.list.setCurrentRow(1)
    assert "of memory" in card.reason.text()
    assert launched == []
    card.anyway.click()
    qtbot.waitUntil(lambda: len(launched) == 1)
    assert load_config(launched[0].config).name == "b"
    assert queued(page) == ["a", "c"]
    page.queue.close()


def test_a_queued_run_is_edited_in_the_form_and_keeps_its_place(qtbot, root, waiting, page):
    card = page.new.panel.queue
    card.list.setCurrentRow(1)
    qtbot.keyClick(card.list, Qt.Key.Key_Return)
    assert "Editing b of the queue" in page.new.differs.text()
    page.new.form.fields["steps"].take("7")
    page.actions_["queue"].trigger()
    assert [entry.config.steps for entry in waiting.state().entries] == [80, 7, 80]
    assert page.actions_["queue"].text() == "Add to queue"


def test_two_windows_share_the_queue_and_one_starts_its_runs(qtbot, root, waiting, page, monkeypatch):
    launched = []
    monkeypatch.setattr(page._control, "resume", launched.append)
    other, tasks = open_page(qtbot, root)
    monkeypatch.setattr(other._control, "resume", launched.append)
    page.queue.set_on(True)
    qtbot.waitUntil(lambda: len(launched) == 1)
    other.queue.refresh()
    qtbot.waitUntil(lambda: queued(other) == ["b", "c"] and len(other.queue.outlooks) == 2)
    # The other one sees what waits, and starts none of it.
    assert load_config(launched[0].config).name == "a"
    assert other.queue._queue._lock is None
    page.queue.close()
    other.queue.close()
    other.deactivate()
    tasks.close()


TINY = RunConfig(
    "tiny", steps=1, model=ModelConfig(threads=1), evaluation=EvalConfig(problems=4, max_new_tokens=8),
    rollout=RolloutConfig(questions=2, clean=2, hints=2, hinted=1, max_solution_tokens=16, max_hint_tokens=8),
)  # fmt: skip


def test_two_steps_are_measured_from_the_window_and_replace_the_guess(qtbot, root, page):
    page.new.render_config(TINY)
    panel = page.new.panel
    place = panel.measure.mapTo(panel, panel.measure.rect().topLeft()).y()
    page.actions_["measure"].trigger()
    assert page.new.measuring
    assert panel.measuring.isVisible()
    assert panel.measuring.mapTo(panel, panel.measuring.rect().topLeft()).y() == pytest.approx(place, abs=6)
    with qtbot.waitSignal(page.new.measured):
        pass
    qtbot.waitUntil(lambda: "measured" in panel.time.accessibleName())
    assert "two steps that were played" in panel.basis.text()
    assert RunRepository(root).list_runs() == []


def test_a_measurement_is_cancelled_and_leaves_nothing(qtbot, root, page):
    page.new.render_config(TINY)
    page.actions_["measure"].trigger()
    qtbot.waitUntil(lambda: (root / ".dry-runs").is_dir())
    page.new.panel.measuring.cancel.click()
    assert not page.new.measuring
    assert page.new.panel.measure.isVisible()
    qtbot.waitUntil(lambda: not (root / ".dry-runs").exists())


def test_a_run_whose_memory_ran_out_is_resumed_with_the_setting_that_it_proposes(page, qtbot, run, monkeypatch):
    page.open_run(run.paths)
    message = "Memory ran out while the weights were updated. Set rollout.questions = 16 (it is 32), and resume."
    run.end(outcome="failed", message=message, error="MemoryError", failure="resources",
            proposed={"key": "rollout.questions", "value": "16"})  # fmt: skip
    resumed = []
    monkeypatch.setattr(page._control, "resume", resumed.append)
    title = "Resume with rollout.questions = 16"
    qtbot.waitUntil(lambda: title in page.view.banner.buttons)
    assert "Memory ran out" in page.view.banner.text.text()
    page.view.banner.buttons[title].click()
    assert resumed == [run.paths]
    assert load_config(run.paths.config).rollout.questions == 16


@pytest.mark.parametrize(("limit", "changed"), [(0, (80, 0)), (400, (80, 0))])
def test_a_finished_run_is_trained_longer(page, qtbot, root, monkeypatch, limit, changed):
    made = Run(root, config=RunConfig(steps=2, max_rollouts=limit))
    made.write(EventKind.STEP, step=2, metrics={"seconds": 6.0, "rollouts_total": 400.0})
    open_run(page, qtbot, made.paths)
    longer = page.actions_["longer"]
    qtbot.waitUntil(lambda: page._state.done_steps == 2)
    assert not longer.isEnabled()
    made.end(outcome="finished", message="", error=None)
    qtbot.waitUntil(longer.isEnabled)
    longer.trigger()
    (dialog,) = page.findChildren(TrainLongerDialog)
    qtbot.waitUntil(dialog.isVisible)
    assert (dialog.steps.minimum(), dialog.steps.value()) == (3, 4)
    dialog.steps.setValue(80)
    assert dialog.said.text() == "78 steps more, about 8 min at the pace so far."
    resumed = []
    monkeypatch.setattr(page._control, "resume", resumed.append)
    qtbot.keyClick(dialog, Qt.Key.Key_Return)
    config = load_config(made.paths.config)
    assert (resumed, (config.steps, config.max_rollouts)) == ([made.paths], changed)


def test_clusters_open_by_key_over_the_form_and_over_a_run(page, qtbot, run, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    for show in (lambda: page.show_new(None), lambda: open_run(page, qtbot, run.paths)):
        show()
        page.setFocus()
        qtbot.keyClick(page, Qt.Key.Key_L, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        (dialog,) = [d for d in page.findChildren(ClustersDialog) if d.isVisible()]
        dialog.reject()
    assert page.actions_["clusters"].isEnabled()
