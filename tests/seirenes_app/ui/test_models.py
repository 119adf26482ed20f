"""Facts about the Models page and the model picker: real services, real files, real clicks."""

import os
import shutil
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QApplication

from seirenes_app.inference.models import bundled_model
from seirenes_app.services.models.inventory import ModelSource, model_folders
from seirenes_app.store.resources import starter_folder
from seirenes_app.ui.controllers.downloads import DownloadMonitor
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.models.models_model import ModelColumn
from seirenes_app.ui.pages.models.page import ModelsPage
from seirenes_app.ui.theme import apply_theme
from seirenes_app.ui.widgets.dialogs import ConfirmDialog
from seirenes_app.ui.widgets.model_picker import ModelPicker, argument_of

PATIENCE_MS = 20_000


@pytest.fixture(autouse=True)
def _own_places(tmp_path, monkeypatch):
    """No model of this machine's own folders."""
    home = tmp_path / "home"
    home.mkdir()
    for name, value in {
        "HOME": home, "SEIRENES_DATA": tmp_path / "data", "SEIRENES_RUNS": tmp_path / "runs", "HF_HOME": home / "hf",
        "XDG_CACHE_HOME": home / "cache", "LLAMA_CACHE": home / "llama", "OLLAMA_MODELS": home / "ollama",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


class Models:
    """The page, shown, and what it said and asked for."""

    def __init__(self, qtbot, qapp):
        apply_theme(qapp, "light")
        self.qtbot = qtbot
        self.inventory, self.downloads = ModelInventory(), DownloadMonitor()
        self.page = ModelsPage(self.inventory, self.downloads)
        self.toasts, self.problems, self.asked = [], [], []
        self.page.toast.connect(self.toasts.append)
        self.page.problem.connect(lambda title, text: self.problems.append((title, text)))
        for signal in (self.page.craftRequested, self.page.evaluateRequested, self.page.trainRequested):
            signal.connect(self.asked.append)
        qtbot.addWidget(self.page)
        self.page.resize(1280, 800)
        self.page.show()
        self.page.activateWindow()
        self.page.activate()
        self.wait(lambda: self.inventory.was_loaded)

    def wait(self, until):
        self.qtbot.waitUntil(lambda: bool(until()), timeout=PATIENCE_MS)

    def names(self):
        return [entry.name for entry in self.page.model.rows]

    def select(self, path):
        self.page.select(path)
        self.wait(lambda: self.page.table.current is not None and self.page.table.current.path == path)
        entry = self.page.table.current
        self.wait(lambda: not entry.usable or self.inventory.description(entry) is not None)
        return entry

    def press(self, name):
        self.qtbot.mouseClick(self.page.facts.buttons[name], Qt.MouseButton.LeftButton)

    def close(self):
        self.page.close_down()
        self.inventory.close()
        self.downloads.close()


@pytest.fixture
def models(qtbot, qapp):
    made = Models(qtbot, qapp)
    yield made
    made.close()


@pytest.fixture
def gguf(tmp_path):
    path = tmp_path / "files" / "My-Model-F16.gguf"
    path.parent.mkdir()
    shutil.copy(bundled_model(), path)
    return path


def broken_gguf(folder):
    path = folder / "broken.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    return path


def shown_facts(page):
    return {a.text(): b.text() for a, b in page.facts.cells if a.isVisible()}


def test_the_bundled_model_comes_first_with_its_facts_and_how_to_get_others(models):
    page = models.page
    entry = models.select(starter_folder())
    assert models.names()[0] == "Bundled reasoner"
    facts = shown_facts(page)
    assert (facts["Architecture"], facts["Context"], facts["Licence"]) == ("qwen3", "512 tokens", "apache-2.0")
    assert page.facts.inference.text.text().startswith("Fits. ")
    assert page.facts.training.isVisible()
    assert page.first_steps.isVisible()
    for name in ("craft", "evaluate", "train", "export"):
        assert page.actions_[name].isEnabled()
    assert not page.actions_["remove"].isEnabled()
    models.press("craft")
    models.press("train")
    assert models.asked == [entry, entry]


def test_a_dropped_file_is_listed_selected_and_left_where_it_is(models, gguf):
    page, data = models.page, QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(gguf))])
    event = QDropEvent(QPointF(200, 200), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
                       Qt.KeyboardModifier.NoModifier)  # fmt: skip
    page.dropEvent(event)
    models.wait(lambda: page.table.current is not None and page.table.current.path == gguf)
    assert model_folders() == (gguf,)
    assert gguf.is_file()
    assert page.table.current.source is ModelSource.FOLDER
    assert not page.actions_["train"].isEnabled()
    assert page.actions_["craft"].isEnabled()
    models.wait(lambda: not page.first_steps.isVisible())
    page.actions_["copy"].trigger()
    assert QApplication.clipboard().text() == str(gguf)


def test_what_is_no_model_is_refused_in_words(models, tmp_path):
    note = tmp_path / "notes.txt"
    note.write_text("nothing")
    models.page.add_path(note)
    models.wait(lambda: models.problems)
    assert str(note) in models.problems[0][1]


def test_an_unusable_model_is_hidden_until_it_is_asked_for_and_says_why(models, tmp_path):
    page = models.page
    broken = broken_gguf(tmp_path)
    page.add_path(tmp_path)
    models.wait(lambda: page.model.hidden)
    assert "broken.gguf" not in models.names()
    assert page.unusable.text() == "Show 1 unusable model"
    models.qtbot.mouseClick(page.unusable, Qt.MouseButton.LeftButton, pos=QPoint(10, page.unusable.height() // 2))
    models.select(broken)
    row = page.model.row_of(page.table.current.id)
    assert page.model.index(row, ModelColumn.FIT).data() == "Unusable"
    reason = page.table.current.problem
    assert reason in page.model.index(row, ModelColumn.NAME).data()
    assert page.facts.problem.text.text() == reason
    for name in ("craft", "evaluate", "train", "export"):
        assert not page.actions_[name].isEnabled()


def test_the_filter_finds_by_words_and_source_and_an_empty_result_offers_the_way_back(models, gguf):
    page = models.page
    page.add_path(gguf)
    models.wait(lambda: gguf.name in models.names())
    models.qtbot.keyClicks(page.search, "my-model gguf")
    assert models.names() == [gguf.name]
    page.source.setCurrentIndex(page.source.findData(ModelSource.OLLAMA))
    assert models.names() == []
    assert page.no_hits.isVisible()
    page.no_hits.findChildren(type(page.add))[0].click()
    assert len(models.names()) > 1


def test_titles_sort_and_the_cursor_stays_on_its_model(models, gguf):
    page = models.page
    page.add_path(gguf)
    models.wait(lambda: page.table.current is not None and page.table.current.path == gguf)
    header = page.table.horizontalHeader()
    place = QPoint(header.sectionViewportPosition(ModelColumn.SIZE) + 20, header.height() // 2)
    for _ in range(2):
        models.qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
    sizes = [entry.size_bytes for entry in page.model.rows]
    assert sizes == sorted(sizes, reverse=True)
    assert page.table.current.path == gguf


def test_an_added_model_leaves_the_list_after_a_question_and_its_file_stays(models, gguf):
    page = models.page
    page.add_path(gguf)
    models.wait(lambda: page.table.current is not None and page.table.current.path == gguf)
    models.press("remove")
    models.wait(lambda: isinstance(page.dialogs.open_dialog, ConfirmDialog))
    dialog = page.dialogs.open_dialog
    assert dialog.cancel.hasFocus() or dialog.cancel.isDefault()
    dialog.confirm.click()
    models.wait(lambda: gguf.name not in models.names())
    assert gguf.is_file()
    assert model_folders() == ()


def test_a_folder_that_cannot_be_searched_in_time_does_not_hold_the_page(models, tmp_path):
    place = tmp_path / "loop"
    place.mkdir()
    (place / "again").symlink_to(place)
    os.mkfifo(place / "pipe.gguf")
    models.page.add_path(place)
    models.wait(lambda: place in model_folders() and not models.inventory.scanning)
    assert not models.problems


# ---------------------------------------------------------------------- the picker


@pytest.fixture
def picker(qtbot, models, gguf):
    made = ModelPicker("Choose a model", "Use it", models.inventory, recent=[gguf])
    qtbot.addWidget(made)
    made.show()
    yield made
    made.reject()


def test_the_picker_searches_shows_what_a_model_is_and_chooses_by_keys(models, picker):
    models.qtbot.keyClicks(picker.search, "reasoner gguf")
    models.wait(lambda: "Fits" in picker.preview.text())
    assert "Chat template: in its files" in picker.preview.text()
    with models.qtbot.waitSignal(picker.chosen) as heard:
        models.qtbot.keyClick(picker.search, Qt.Key.Key_Return)
    assert heard.args[0].path == bundled_model()


def test_a_path_may_be_typed_into_the_picker(models, picker, gguf):
    models.qtbot.keyClicks(picker.search, str(gguf))
    models.wait(lambda: picker.current is not None and picker.current.path == gguf and picker.choose.isEnabled())
    assert argument_of(picker.current) == str(gguf)


def test_a_hub_id_that_is_not_here_leads_to_its_download(models, picker):
    models.qtbot.keyClicks(picker.search, "some-lab/Some-Model-1B")
    models.wait(lambda: "not on this machine" in picker.preview.text())
    assert not picker.choose.isEnabled()
    with models.qtbot.waitSignal(picker.downloadRequested) as heard:
        models.qtbot.mouseClick(picker.download, Qt.MouseButton.LeftButton)
    assert heard.args == ["some-lab/Some-Model-1B"]


def test_a_typed_hub_id_is_taken_from_the_cache(models, picker, monkeypatch, tmp_path):
    repo = Path(os.environ["HF_HOME"]) / "hub" / "models--some-lab--Small-GGUF"
    snapshot = repo / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    shutil.copy(bundled_model(), snapshot / "small-F16.gguf")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
    models.qtbot.keyClicks(picker.search, "some-lab/Small-GGUF")
    models.wait(lambda: picker.current is not None and picker.choose.isEnabled())
    assert picker.current.path == snapshot / "small-F16.gguf"


def test_models_of_another_kind_and_broken_ones_are_not_offered(qtbot, models, tmp_path):
    broken_gguf(tmp_path)
    models.page.add_path(tmp_path)
    models.wait(lambda: models.page.model.hidden)
    folders = ModelPicker("Model", "Train it", models.inventory, formats=frozenset({"folder"}))
    qtbot.addWidget(folders)
    assert {entry.format for entry in folders.model.rows} == {"folder"}
    every = ModelPicker("Model", "Use it", models.inventory)
    qtbot.addWidget(every)
    assert all(entry.usable for entry in every.model.rows)
    folders.choose_path(bundled_model())
    models.wait(lambda: "cannot be used here" in folders.about.text())
    folders.reject()
    every.reject()
