"""One option as a form shows it: name, editor, help with range, and what is wrong with its value."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from seirenes_app.ui.theme import SPACE_1, SPACE_2
from seirenes_app.ui.widgets.buttons import make_icon_button
from seirenes_app.ui.widgets.labels import make_label, set_tone
from training.errors import UserError
from training.rundir.config_io import OptionInfo, from_dict, parse_overrides
from training.rundir.config_io import say_range as range_words

FOLDERS = frozenset({"model.path"})
FILES = frozenset({"data.problems"})
WORDS = {
    "rollout.clean": "Clean solutions, G1", "rollout.hints": "Hints, G2", "rollout.hinted": "Hinted solutions, G3",
    "model.path": "Model", "data.pool": "Question pool", "update.kl": "KL weight", "adversary.kl": "KL weight",
    "advantage.ema_decay": "EMA decay", "model.lora_rank": "LoRA rank", "model.lora_alpha": "LoRA alpha",
    "adversary.margin": "Margin δ", "max_rollouts": "Rollout limit",
}  # fmt: skip


def say_name(option: OptionInfo) -> str:
    """An option's name as a person reads it: "Learning rate"."""
    return WORDS.get(option.key) or option.key.rpartition(".")[2].replace("_", " ").capitalize()


def say_help(option: OptionInfo) -> str:
    """The option's help with its range."""
    return f"{option.help} {say_range(option)}".strip()


def say_range(option: OptionInfo) -> str:
    """The range in brackets: "(1 to 4,096)"; "" without one."""
    words = range_words(option.low, option.high)
    return f"({words})" if words else ""


def say_value(value: Any) -> str:
    """A value as the editor holds it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def nest(flat: dict[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` to ``{"a": {"b": 1}}``."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, leaf = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[leaf] = value
    return nested


class _NoWheel(QObject):
    """A wheel over a closed combo box scrolls the page; it must not change the value in passing."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QWheelEvent) and isinstance(watched, QComboBox):
            event.ignore()
            return True
        return False


class Field(QWidget):
    """`set_text` and `render_base` fill it; `text` and `check` read it."""

    edited = Signal()

    def __init__(self, option: OptionInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.option = option
        self._base = say_value(option.default)
        self.wrong = ""
        self._build()

    def _build(self) -> None:
        option = self.option
        self.name = make_label(say_name(option))
        self.reset = make_icon_button("refresh", "Reset", clicked=self._reset)
        self.reset.setFixedSize(24, 22)
        policy = self.reset.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.reset.setSizePolicy(policy)
        self.reset.hide()
        head = QHBoxLayout()
        head.setSpacing(SPACE_1)
        head.addWidget(self.name)
        head.addStretch(1)
        head.addWidget(self.reset)
        self.editor, self.text, self.set_text = self._make_editor()
        self.editor.setAccessibleName(f"{say_name(option)}, {option.key}")
        tip = f"{say_help(option)}\n{option.key}, default {say_value(option.default) or '“”'}"
        self.editor.setToolTip(tip)
        self.name.setToolTip(tip)
        self.name.setBuddy(self.editor)
        self.help = make_label(say_help(option), "small", wrap=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_1)
        column.addLayout(head)
        column.addLayout(self._build_row())
        column.addWidget(self.help)
        column.addStretch(1)
        self.edited.connect(self.render_changed)

    def _build_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        row.addWidget(self.editor, 1)
        if self.option.unit:
            row.addWidget(make_label(self.option.unit, "small"))
        if self.option.key in FOLDERS | FILES:
            row.addWidget(make_icon_button("folder", f"Choose for {say_name(self.option)}…", clicked=self._choose))
        return row

    def _make_editor(self) -> tuple[QWidget, Callable[[], str], Callable[[str], None]]:
        kind = self.option.type
        if kind is bool:
            box = QCheckBox("On")
            box.toggled.connect(lambda _on: self.edited.emit())
            return box, lambda: str(box.isChecked()).lower(), lambda t: box.setChecked(t.lower() == "true")
        if issubclass(kind, StrEnum):
            combo = QComboBox()
            combo.addItems(self.option.choices)
            combo.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            combo.installEventFilter(_NoWheel(combo))
            combo.currentTextChanged.connect(lambda _text: self.edited.emit())
            return combo, combo.currentText, combo.setCurrentText
        line = QLineEdit()
        line.textEdited.connect(lambda _text: self.edited.emit())
        return line, line.text, line.setText

    def _choose(self) -> None:
        if self.option.key in FOLDERS:
            name = QFileDialog.getExistingDirectory(self, "Choose a Hugging Face folder")
        else:
            name, _ = QFileDialog.getOpenFileName(
                self, "Choose a file of problems", "", "Problems (*.jsonl);;All files (*)"
            )
        if name:
            self.set_text(name)
            self.edited.emit()

    # ------------------------------------------------------------------ render

    def render_base(self, value: str) -> None:
        """What Reset goes back to."""
        self._base = value
        self.reset.setToolTip(f"Back to {value or '“”'}")
        self.reset.setAccessibleName(f"Reset {say_name(self.option)} to {value}")
        self.render_changed()

    def render_changed(self) -> None:
        """Mark a value that differs from the base, with a mark and weight as well as a button."""
        changed = self.changed
        self.reset.setVisible(changed)
        self.name.setText(f"• {say_name(self.option)}" if changed else say_name(self.option))
        font = self.name.font()
        font.setBold(changed)
        self.name.setFont(font)

    @property
    def changed(self) -> bool:
        """Whether the value differs from the base. 0.20 is 0.2."""
        return not _same(self.text().strip(), self._base)

    def _reset(self) -> None:
        self.set_text(self._base)
        self.edited.emit()
        self.editor.setFocus()

    def check(self) -> str | None:
        """What is wrong, shown in place of the help; None if nothing is."""
        try:
            from_dict(nest(parse_overrides([f"{self.option.key}={self.text()}"])), "this form")
        except UserError as error:
            self.wrong = say_reason(str(error))
            self.help.setText(self.wrong)
            set_tone(self.help, "bad")
            self.editor.setAccessibleDescription(self.wrong)
            return self.wrong
        self.wrong = ""
        self.help.setText(say_help(self.option))
        set_tone(self.help, "")
        self.editor.setAccessibleDescription(say_help(self.option))
        return None


def say_reason(text: str) -> str:
    """An error of `config_io` without the place it names, which the field itself is."""
    text = text.removeprefix("this form: ").removeprefix("--set: ")
    _key, equals, rest = text.partition(" = ")
    return f"Not accepted: {rest}" if equals else text


def _same(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        return float(a) == float(b)
    except ValueError:
        return False
