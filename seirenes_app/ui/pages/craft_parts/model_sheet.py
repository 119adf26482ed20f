"""Choose a model for a part: the bundled one or a GGUF file, its adapter, how it is asked, and what the file is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from seirenes_app.inference.models import GgufFacts, bundled_model, describe_gguf
from seirenes_app.lab.crafting.documents import SolverChoice
from seirenes_app.lab.machine import format_mb
from seirenes_app.ui.pages.craft_parts.model_chip import BUNDLED
from seirenes_app.ui.pages.craft_parts.words import say_count
from seirenes_app.ui.processes.background import Background
from seirenes_app.ui.theme import SPACE_2, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.dialogs import Sheet
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from seirenes_app.ui.widgets.quiet import hush
from training.core.prompts import PromptStyle

GGUF = "Models (*.gguf);;All files (*)"
STYLES: tuple[tuple[str, PromptStyle | None], ...] = (
    ("By the model", None),
    ("Compact, as the bundled one was trained", PromptStyle.COMPACT),
    ("Full instructions", PromptStyle.INSTRUCT),
)
MAX_CONTEXT = 131_072
FACTS_WIDTH = 540
WAITING = "Reading the file…"


class ModelSheet(Sheet):
    """Emits the choice, and whether it is meant for both parts."""

    chosen = Signal(object, bool)

    def __init__(
        self, role: str, choice: SolverChoice, recent: Sequence[str], background: Background,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(f"{role}: model", parent)
        self._role, self._background = role, background
        self._choice = choice
        self._build(role)
        self._fill(recent)
        self._connect()
        self._look()

    def _build(self, role: str) -> None:
        what = "solves the problem" if role == "Solver" else "writes the hints"
        self.body.addWidget(make_label(f"The model that {what}", "title"))
        self.model = QComboBox()
        self.model.setAccessibleName(f"{role} model")
        self.browse = make_button("Choose a file…", "folder", tip="Any GGUF file; it is used where it is",
                                  clicked=self._browse)  # fmt: skip
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        row.addWidget(self.model, 1)
        row.addWidget(self.browse)
        self.body.addLayout(row)
        self.body.addWidget(self._build_facts())
        self.body.addLayout(self._build_options())
        self.both = QCheckBox("Use it for both parts, the Solver and the Adversary")
        self.body.addWidget(self.both)
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.use = make_button("Use this model", "check", kind="primary", clicked=self._use)
        self.buttons.addStretch(1)
        self.buttons.addWidget(self.cancel)
        self.buttons.addWidget(self.use)
        self.use.setDefault(True)

    def _build_facts(self) -> Card:
        card = Card("flat", padding=SPACE_2)
        card.setMinimumSize(FACTS_WIDTH, 150)
        self.trouble = make_label("", wrap=True, tone="bad", select=True)
        self._facts_box = QWidget()
        grid = QGridLayout(self._facts_box)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(SPACE_4)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        self.facts: dict[str, ElidedLabel] = {}
        for r, name in enumerate(("Name", "Architecture", "Size", "Context", "Chat template", "File")):
            grid.addWidget(make_label(name, "small"), r, 0)
            self.facts[name] = ElidedLabel()
            self.facts[name].setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            grid.addWidget(self.facts[name], r, 1)
        card.body.addWidget(self.trouble)
        card.body.addWidget(self._facts_box)
        return card

    def _build_options(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(SPACE_4)
        grid.setVerticalSpacing(SPACE_2)
        grid.setColumnStretch(1, 1)
        self.style_ = QComboBox()
        for words, style in STYLES:
            self.style_.addItem(words, style)
        self.context = QSpinBox()
        self.context.setRange(0, MAX_CONTEXT)
        self.context.setSingleStep(512)
        self.context.setSpecialValueText("The model's own, at most 4,096")
        self.context.setSuffix(" tokens")
        hush(self.context)
        self.lora = ElidedLabel("muted")
        self.choose_lora = make_button("Choose…", "folder", kind="quiet", tip="A LoRA adapter for this model, as GGUF",
                                       clicked=self._browse_lora)  # fmt: skip
        self.drop_lora = make_icon_button("close", "No adapter", clicked=lambda: self._set_lora(""))
        adapter = QHBoxLayout()
        adapter.setSpacing(SPACE_2)
        adapter.addWidget(self.lora, 1)
        adapter.addStretch(1)
        adapter.addWidget(self.drop_lora)
        adapter.addWidget(self.choose_lora)
        for r, (name, editor) in enumerate((("Asked with", self.style_), ("Context", self.context))):
            grid.addWidget(make_label(name), r, 0)
            grid.addWidget(editor, r, 1)
            editor.setAccessibleName(name)
        grid.addWidget(make_label("Adapter"), 2, 0)
        grid.addLayout(adapter, 2, 1)
        return grid

    def _fill(self, recent: Sequence[str]) -> None:
        self.model.addItem(BUNDLED, "")
        for path in dict.fromkeys([self._choice.model, *recent]):
            if path:
                self._add(path)
        self.model.setCurrentIndex(max(0, self.model.findData(self._choice.model)))
        self.style_.setCurrentIndex([s for _w, s in STYLES].index(self._choice.style))
        self.context.setValue(self._choice.n_ctx)
        self._set_lora(self._choice.lora)

    def _add(self, path: str) -> None:
        self.model.addItem(Path(path).name, path)
        self.model.setItemData(self.model.count() - 1, path, Qt.ItemDataRole.ToolTipRole)

    def _connect(self) -> None:
        self.model.currentIndexChanged.connect(lambda _i: self._look())

    # ------------------------------------------------------------------ facts

    def _look(self) -> None:
        path = str(self.model.currentData())
        self._show_trouble(WAITING)
        self.use.setEnabled(False)

        def read() -> GgufFacts:
            return describe_gguf(Path(path) if path else bundled_model())

        self._background.submit(read, lambda facts: self._take(path, facts), lambda text: self._fail(path, text))

    def _take(self, path: str, facts: GgufFacts) -> None:
        if path != str(self.model.currentData()):
            return
        self._show_trouble("")
        self.use.setEnabled(True)
        for name, text in (
            ("Name", facts.name),
            ("Architecture", facts.architecture),
            ("Size", f"{say_count(facts.n_params)} parameters  ·  {facts.quantisation}  ·  "
                     f"{format_mb(facts.size_bytes / 2**20)}"),
            ("Context", f"trained on {facts.n_ctx_train:,} tokens  ·  vocabulary {facts.n_vocab:,}"),
            ("Chat template", "in the file" if facts.has_chat_template else "none: messages are joined plainly"),
            ("File", str(facts.path)),
        ):  # fmt: skip
            self.facts[name].setText(text)

    def _fail(self, path: str, text: str) -> None:
        if path == str(self.model.currentData()):
            self._show_trouble(text)

    def _show_trouble(self, text: str) -> None:
        self.trouble.setText(text)
        self.trouble.setProperty("tone", "" if text == WAITING else "bad")
        self.trouble.style().polish(self.trouble)
        self.trouble.setVisible(bool(text))
        self._facts_box.setVisible(not text)

    # ------------------------------------------------------------------ deeds

    def _browse(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose a model", "", GGUF)
        if name:
            self.choose_file(name)

    def choose_file(self, path: str) -> None:
        """As if the person had chosen this file."""
        if self.model.findData(path) < 0:
            self._add(path)
        self.model.setCurrentIndex(self.model.findData(path))

    def _browse_lora(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose an adapter", "", GGUF)
        if name:
            self._set_lora(name)

    def _set_lora(self, path: str) -> None:
        self._choice = replace(self._choice, lora=path)
        self.lora.setText(path or "none")
        self.drop_lora.setVisible(bool(path))

    def _use(self) -> None:
        choice = SolverChoice(
            str(self.model.currentData()), self._choice.lora, self.style_.currentData(), self.context.value()
        )
        self.accept()
        self.chosen.emit(choice, self.both.isChecked())
