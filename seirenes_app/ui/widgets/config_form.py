"""A form made from the configuration's own schema: every option once, with its help, unit and range."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLineEdit, QToolButton, QVBoxLayout, QWidget

from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.labels import make_label, set_tone
from training.errors import UserError
from training.rundir.config import RunConfig
from training.rundir.config_io import OptionInfo, describe_options, from_dict, parse_overrides, to_dict

COMMON = frozenset({
    "name", "mode", "steps", "model.path", "model.tuning", "rollout.questions", "rollout.clean", "rollout.hints",
    "rollout.hinted", "update.learning_rate", "data.seed", "evaluation.every", "evaluation.problems",
})  # fmt: skip
SECTION_WORDS = {"": "Run"}


class Field(QWidget):
    """One option: its editor, its help, and what is wrong with its value."""

    edited = Signal()

    def __init__(self, option: OptionInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.option = option
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self.editor, self.text, self.set_text = self._make_editor()
        self.editor.setAccessibleName(option.key)
        self.editor.setToolTip(option.help)
        self.editor.setMaximumWidth(320)
        unit = f" [{option.unit}]" if option.unit else ""
        self.help = make_label(option.help + unit, "small", wrap=True)
        column.addWidget(self.editor)
        column.addWidget(self.help)

    def _make_editor(self) -> tuple[QWidget, Callable[[], str], Callable[[str], None]]:
        kind = self.option.type
        if kind is bool:
            box = QCheckBox("on")
            box.toggled.connect(lambda _on: self.edited.emit())
            return box, lambda: str(box.isChecked()).lower(), lambda t: box.setChecked(t.lower() == "true")
        if issubclass(kind, StrEnum):
            combo = QComboBox()
            combo.addItems(self.option.choices)
            combo.currentTextChanged.connect(lambda _text: self.edited.emit())
            return combo, combo.currentText, combo.setCurrentText
        line = QLineEdit()
        line.textEdited.connect(lambda _text: self.edited.emit())
        return line, line.text, line.setText

    def check(self) -> str | None:
        """What is wrong, shown in place of the help; None if nothing is."""
        try:
            from_dict(_nest(parse_overrides([f"{self.option.key}={self.text()}"])), "this form")
        except UserError as error:
            reason = str(error).replace("this form: ", "").replace("--set: ", "")
            self.help.setText(reason)
            set_tone(self.help, "bad")
            return reason
        unit = f" [{self.option.unit}]" if self.option.unit else ""
        self.help.setText(self.option.help + unit)
        set_tone(self.help, "")
        return None


def _nest(flat: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, leaf = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[leaf] = value
    return nested


class ConfigForm(QWidget):
    """Sections of fields; the uncommon ones are folded away until asked for or searched."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fields = {o.key: Field(o) for o in describe_options()}
        self._rows: dict[str, tuple[QFormLayout, int]] = {}
        self._sections: dict[str, tuple[QWidget, QFormLayout]] = {}
        self._needle = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_3)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Find an option…")
        self.search.setClearButtonEnabled(True)
        self.search.setAccessibleName("Find an option")
        self.search.textChanged.connect(self._filter)
        self.more = QToolButton()
        self.more.setText("Show all options")
        self.more.setCheckable(True)
        self.more.toggled.connect(lambda _on: self._filter(self.search.text()))
        column.addWidget(self.search)
        for key, field in self.fields.items():
            self._place(column, key, field)
            field.edited.connect(self._take_edit)
        column.addWidget(self.more)
        column.addStretch(1)
        self._filter("")

    def _place(self, column: QVBoxLayout, key: str, field: Field) -> None:
        section = field.option.section
        if section not in self._sections:
            box = QWidget()
            inner = QVBoxLayout(box)
            inner.setContentsMargins(0, 0, 0, 0)
            inner.setSpacing(SPACE_2)
            inner.addWidget(make_label(SECTION_WORDS.get(section, section.capitalize()), "heading"))
            form = QFormLayout()
            form.setHorizontalSpacing(24)
            form.setVerticalSpacing(SPACE_3)
            inner.addLayout(form)
            column.addWidget(box)
            self._sections[section] = (box, form)
        form = self._sections[section][1]
        label = make_label(key.rpartition(".")[2].replace("_", " "))
        label.setMinimumWidth(150)
        label.setBuddy(field.editor)
        form.addRow(label, field)
        self._rows[key] = (form, form.rowCount() - 1)

    def _filter(self, text: str) -> None:
        needle = text.casefold().strip()
        shown: set[str] = set()
        for key, (form, row) in self._rows.items():
            option = self.fields[key].option
            hay = f"{key} {key.replace('_', ' ')} {option.help}".casefold()
            visible = needle in hay if needle else (self.more.isChecked() or key in COMMON)
            form.setRowVisible(row, visible)
            if visible:
                shown.add(option.section)
        for section, (box, _form) in self._sections.items():
            box.setVisible(section in shown)

    def _take_edit(self) -> None:
        sender = self.sender()
        if isinstance(sender, Field):
            sender.check()
        self.changed.emit()

    def render_config(self, config: RunConfig) -> None:
        """Show a configuration."""
        values = to_dict(config)
        for key, field in self.fields.items():
            section, _, leaf = key.rpartition(".")
            value = values[section][leaf] if section else values[leaf]
            field.set_text(str(value).lower() if isinstance(value, bool) else str(value))
            field.check()
        self.changed.emit()

    def config(self) -> RunConfig:
        """What the form says; a UserError naming the first field that is wrong."""
        texts = [f"{key}={field.text()}" for key, field in self.fields.items()]
        return from_dict(_nest(parse_overrides(texts, "the form")), "the form")
