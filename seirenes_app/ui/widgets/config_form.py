"""One option as a form shows it: name, editor, help with range, and what is wrong with its value.

A form made from the configuration's own schema: every option once, in its section, the uncommon ones folded away."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent, QWheelEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_4, SPACE_6
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import make_card_heading, make_label, set_tone
from training.errors import UserError
from training.runs.config import OptionInfo, RunConfig, describe_options, from_dict, parse_overrides, to_dict
from training.runs.config import say_range as range_words

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


COMMON = frozenset({
    "name", "mode", "steps", "model.path", "model.tuning", "rollout.questions", "rollout.clean", "rollout.hints",
    "rollout.hinted", "update.learning_rate", "data.seed", "data.families", "evaluation.every", "evaluation.problems",
    "adversary.reward", "checkpoint.every",
})  # fmt: skip
SECTION_WORDS = {"": "Run", "rollout": "Rollouts", "evaluation": "Evaluation", "checkpoint": "Checkpoints"}
SECTION_HELP = {"": "What this run is called, what is trained, and for how long."}
NARROW, WIDE = 520, 900
"""Widths at which a section goes from one column of fields to two, and to three."""


class FormSection(Card):
    """A section: heading, help, fields in columns, and a button that unfolds the uncommon ones."""

    toggled = Signal()

    def __init__(self, key: str, help_: str, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.fields: list[Field] = []
        self.open = False
        self._placed: tuple[object, ...] = ()
        title = SECTION_WORDS.get(key, key.capitalize())
        self.setAccessibleName(title)
        self.more = make_button("", "chevron-right", kind="quiet", clicked=self._toggle)
        self._title = title
        head = QHBoxLayout()
        head.setSpacing(SPACE_3)
        head.addWidget(make_card_heading(title))
        help_label = make_label(SECTION_HELP.get(key, help_), "small", wrap=True)
        head.addWidget(help_label, 1)
        head.addWidget(self.more)
        self.body.addLayout(head)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(SPACE_6)
        self._grid.setVerticalSpacing(SPACE_4)
        self.body.addLayout(self._grid)

    @property
    def uncommon(self) -> int:
        """How many of its fields fold away."""
        return sum(field.option.key not in COMMON for field in self.fields)

    def _toggle(self) -> None:
        self.open = not self.open
        self.toggled.emit()

    def show_fields(self, shown: list[Field], columns: int, *, searching: bool) -> None:
        """Put these of its fields in `columns`, hide the others; the section itself hides when a search finds none."""
        self.setVisible(bool(shown) or not searching)
        self.more.setVisible(not searching and self.uncommon > 0)
        self.more.setText("Fewer" if self.open else f"{self.uncommon} more")
        self.more.setAccessibleName(f"{self._title}: {self.more.text()}")
        set_icon(self.more, "chevron-down" if self.open else "chevron-right", "muted")
        placed = (columns, *(field.option.key for field in shown))
        if placed == self._placed:
            return
        self._placed = placed
        for field in self.fields:
            self._grid.removeWidget(field)
            field.setVisible(field in shown)
        for i, field in enumerate(shown):
            self._grid.addWidget(field, i // columns, i % columns)
        for column in range(3):
            self._grid.setColumnStretch(column, int(column < columns))


class ConfigForm(QWidget):
    """`render_config` fills it; `config` reads it."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fields = {o.key: Field(o) for o in describe_options()}
        self.sections: dict[str, FormSection] = {}
        self._columns = 2
        self._build()
        self._connect()
        self._arrange()

    def _build(self) -> None:
        self.search = QLineEdit()
        self.search.setPlaceholderText("Find an option by name or by what it does…")
        self.search.setClearButtonEnabled(True)
        self.search.setAccessibleName("Find an option")
        self.search.setToolTip("Searches all options, also those that are folded away (Ctrl+F)")
        self.found = make_label("", "small")
        self.all = make_button("Unfold all", kind="quiet", clicked=self._toggle_all)
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        row.addWidget(self.search, 1)
        row.addWidget(self.found)
        row.addWidget(self.all)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_3)
        column.addLayout(row)
        for field in self.fields.values():
            key = field.option.section
            if key not in self.sections:
                self.sections[key] = FormSection(key, field.option.section_help)
                column.addWidget(self.sections[key])
            field.setParent(self.sections[key])
            self.sections[key].fields.append(field)

    def _connect(self) -> None:
        self.search.textChanged.connect(lambda _text: self._arrange())
        for section in self.sections.values():
            section.toggled.connect(self._arrange)
        for field in self.fields.values():
            field.edited.connect(self._take_edit)

    # ------------------------------------------------------------------ what is in view

    def _arrange(self) -> None:
        needle = self.search.text().casefold().strip()
        found = 0
        for section in self.sections.values():
            shown = [f for f in section.fields if self._wanted(f, needle, open_=section.open)]
            found += len(shown)
            section.show_fields(shown, self._columns, searching=bool(needle))
        self.found.setText(f"{found or 'no'} {'option' if found == 1 else 'options'}" if needle else "")
        self.all.setText("Fold all" if self._all_open() else "Unfold all")
        self.all.setVisible(not needle)

    def _wanted(self, field: Field, needle: str, *, open_: bool) -> bool:
        if not needle:
            return open_ or field.option.key in COMMON or bool(field.wrong) or field.changed
        o = field.option
        hay = f"{o.key} {o.key.replace('_', ' ').replace('.', ' ')} {say_name(o)} {o.help}".casefold()
        return all(word in hay for word in needle.split())

    def _all_open(self) -> bool:
        return all(section.open or not section.uncommon for section in self.sections.values())

    def _toggle_all(self) -> None:
        open_ = not self._all_open()
        for section in self.sections.values():
            section.open = open_
        self._arrange()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """More columns where there is room."""
        columns = 1 if self.width() < NARROW else 2 if self.width() < WIDE else 3
        if columns != self._columns:
            self._columns = columns
            self._arrange()

    def minimumSizeHint(self) -> QSize:
        """One column."""
        return QSize(320, super().minimumSizeHint().height())

    def reveal(self, key: str) -> None:
        """Bring an option into view and put the keyboard there."""
        self.search.clear()
        field = self.fields[key]
        self.sections[field.option.section].open = True
        self._arrange()
        field.editor.setFocus()

    # ------------------------------------------------------------------ values

    def _take_edit(self) -> None:
        sender = self.sender()
        if isinstance(sender, Field):
            sender.check()
        self.changed.emit()

    def render_config(self, config: RunConfig, base: RunConfig | None = None) -> None:
        """Show a configuration; options that differ from `base` (its own values if None, or not given) are marked."""
        values, bases = _texts(config), _texts(base or config)
        for key, field in self.fields.items():
            field.blockSignals(True)
            field.set_text(values[key])
            field.blockSignals(False)
            field.render_base(bases[key])
            field.check()
        self._arrange()
        self.changed.emit()

    def config(self) -> RunConfig:
        """What the form says; a UserError naming the first field that is wrong."""
        texts = [f"{key}={field.text()}" for key, field in self.fields.items()]
        return from_dict(nest(parse_overrides(texts, "the form")), "the form")

    def first_wrong(self) -> tuple[str, str] | None:
        """Key and reason of the first value that is not accepted."""
        return next(((key, field.wrong) for key, field in self.fields.items() if field.wrong), None)

    def changed_keys(self) -> list[str]:
        """Options that differ from the base."""
        return [key for key, field in self.fields.items() if field.changed]


def _texts(config: RunConfig) -> dict[str, str]:
    values = to_dict(config)
    found = {}
    for option in describe_options():
        section, _, leaf = option.key.rpartition(".")
        found[option.key] = say_value((values[section] if section else values)[leaf])
    return found
