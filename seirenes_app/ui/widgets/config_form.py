"""A form made from the configuration's schema: every option once, in its section, the uncommon ones folded away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from PySide6.QtCore import QSignalBlocker, QSize, Signal
from PySide6.QtGui import QFont, QFontMetrics, QResizeEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QFileDialog, QLineEdit, QPushButton, QWidget

from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SMALL_PX, SPACE_1, SPACE_3, SPACE_4, SPACE_6, sized_font
from seirenes_app.ui.widgets.boxes import FlowLayout, column, ignore_wheel, make_grid, row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import make_card_heading, make_label, set_tone
from seirenes_app.ui.widgets.picker_dialog import PickerDialog
from seirenes_app.ui.widgets.prompt_editor import PromptRow
from training.core.gym import DOMAINS, NOT_INSTALLED, installed
from training.core.types import AnswerKind
from training.errors import UserError
from training.prompt_files import AUTO
from training.runs import config as schema
from training.runs.config import OptionInfo, RunConfig

MODELS = frozenset({"model.path", "adversary.model", "judge.model"})
FILES = frozenset({"data.problems", "reasoner.anchor_problems"})
FAMILIES = "data.families"
TITLES = {
    "rollout.clean": "Clean solutions, G1", "rollout.hints": "Hints, G2", "rollout.hinted": "Hinted solutions, G3",
    "model.path": "Model", "model.prompts": "Prompts", "data.pool": "Question pool", "update.kl": "KL weight",
    "adversary.kl": "KL weight", "advantage.ema_decay": "EMA decay", "model.lora_rank": "LoRA rank",
    "model.lora_alpha": "LoRA alpha", "adversary.margin": "Margin δ", "max_rollouts": "Rollout limit",
    "adversary.types": "Hint types", "adversary.model": "Adversary's own model",
    "adversary.train": "Train the Adversary",
    "engine.url": "URL", "reasoner.train": "Train the Reasoner", "reasoner.needed_share": "Share with needed text",
    "reasoner.placement": "Where hints stand", "reasoner.anchor_problems": "Further questions of the anchor",
    "reasoner.anchor_questions": "Further questions a step", "reasoner.imitation": "Weight of imitation",
    "judge.model": "Model that judges",
    "judge.max_tokens": "Longest reply", "judge.timeout_s": "Time limit of a server",
}  # fmt: skip
COMMON = frozenset({
    "name", "mode", "steps", "model.path", "model.tuning", "model.prompts", "rollout.questions", "rollout.clean",
    "rollout.hints", "rollout.hinted", "update.learning_rate", "data.seed", "data.families",
    "evaluation.every", "evaluation.problems", "adversary.model", "adversary.reward", "checkpoint.every",
    "reasoner.needed_share", "reasoner.placement", "judge.model",
})  # fmt: skip
"""Options that are not folded away."""
SECTION_TITLES = {"": "Run", "rollout": "Rollouts", "checkpoint": "Checkpoints"}
SECTION_HELP = {"": "What this run is called, what is trained, and for how long."}
RESET_SIZE = 28
CHIP_EDGES = 18
"""Padding and border of a chip, both sides."""
NARROW, WIDE = 520, 900  # Widths at which a section goes from one column of fields to two, and to three


def option_title(option: OptionInfo) -> str:
    return TITLES.get(option.key) or option.key.rpartition(".")[2].replace("_", " ").capitalize()


def option_help(option: OptionInfo) -> str:
    range_ = schema.say_range(option.low, option.high)
    return f"{option.help} ({range_})" if range_ else option.help


def value_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def value_texts(config: RunConfig) -> dict[str, str]:
    values = schema.to_dict(config)
    found = {}
    for option in schema.describe_options():
        section, _, leaf = option.key.rpartition(".")
        found[option.key] = value_text((values[section] if section else values)[leaf])
    return found


def parse_texts(texts: Sequence[str], source: str) -> RunConfig:
    """``key=value`` texts as a configuration; a `UserError` names the first that is not accepted."""
    nested: dict[str, Any] = {}
    for key, value in schema.parse_overrides(texts, source).items():
        section, _, leaf = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[leaf] = value
    return schema.from_dict(nested, source)


class ChoiceChips(QWidget):
    """Several of a closed set, or all: a chip each. Its text is a comma-separated list, or "all"."""

    edited = Signal()
    moreRequested = Signal()  # One of further values is to be chosen, with `add`

    def __init__(self, choices: Sequence[str], *, more: str = "", parent: QWidget | None = None) -> None:
        """`more` is the text of a button for further values; "" for none."""
        super().__init__(parent)
        self._flow = FlowLayout(self, gap=4, line_gap=4)
        self.chips = {name: self._add_chip(name) for name in ("all", *choices)}
        self._known = len(self.chips)
        self.more = make_button(more, "plus", kind="quiet", clicked=self.moreRequested.emit) if more else None
        if self.more is not None:
            self._flow.addWidget(self.more)

    def add(self, name: str) -> None:
        """Choose this value too, also one that has no chip yet."""
        chosen = [other for other in self.text().split(",") if other not in ("", "all", name)]
        self.set_text(",".join([*chosen, name]))
        self.edited.emit()

    def _add_chip(self, name: str) -> QPushButton:
        chip = make_button(name.replace("_", " "), clicked=lambda: self._on_clicked(name))
        chip.setCheckable(True)
        chip.setProperty("chip", "pick")
        self._flow.addWidget(chip)
        # A chosen chip is bold, which its size hint does not know.
        bold = QFontMetrics(sized_font(chip.font(), SMALL_PX, QFont.Weight.DemiBold))
        chip.setMinimumWidth(bold.horizontalAdvance(chip.text()) + CHIP_EDGES)
        return chip

    def _on_clicked(self, name: str) -> None:
        others = [other for other in self.chips if other not in ("all", name)]
        chosen = [other for other in others if self.chips[other].isChecked()]
        if name == "all" or not (chosen or self.chips[name].isChecked()):
            for other in (*others, name):
                self.chips[other].setChecked(False)
            self.chips["all"].setChecked(True)
        else:
            self.chips["all"].setChecked(False)
        self.edited.emit()

    def text(self) -> str:
        return ",".join(name for name, chip in self.chips.items() if chip.isChecked())

    def set_text(self, text: str) -> None:
        """Show a value; names that are not in the set get a chip, so that they are seen and can be taken out."""
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in [*self.chips][self._known :]:
            self.chips.pop(name).deleteLater()
        for name in names:
            if name not in self.chips:
                self.chips[name] = self._add_chip(name)
        if self.more is not None:
            # It stays behind the chips.
            self._flow.removeWidget(self.more)
            self._flow.addWidget(self.more)
        for name, chip in self.chips.items():
            chip.setChecked(name in names)


def choose_family(chips: ChoiceChips) -> PickerDialog:
    """Ask for a family of reasoning-gym; where it is not installed, say how to install it."""
    dialog = PickerDialog(
        "More domains", "Add this family", lambda name: f"{DOMAINS[name].title}  ·  {name}",
        search=lambda name: f"{DOMAINS[name].title} {name}", placeholder="Search domains…",
        preview=lambda name: f"{_ANSWERS[DOMAINS[name].kind]} For instruct models: the bundled one cannot solve them.",
        empty=NOT_INSTALLED, parent=chips.window(),
    )  # fmt: skip
    dialog.render_items(tuple(DOMAINS) if installed() else ())
    dialog.chosen.connect(chips.add)
    dialog.open()
    return dialog


_ANSWERS = {
    AnswerKind.NUMBER: "Answers are numbers.", AnswerKind.CHOICE: "Answers are words to choose from.",
    AnswerKind.TEXT: "Answers are lines of text or lists.",
    AnswerKind.SCORED: "Several answers may be right: the family scores them.",
}  # fmt: skip


class Field(QWidget):
    """One option: name, editor, help with range, and what is wrong with its value."""

    edited = Signal()
    modelRequested = Signal()  # The model of this option is to be chosen

    def __init__(self, option: OptionInfo, prompts: PromptRow | None = None, parent: QWidget | None = None) -> None:
        """`prompts` is the editor of an option that names a prompt profile."""
        super().__init__(parent)
        self._prompts = prompts
        self.option, self.title = option, option_title(option)
        self._base = value_text(option.default)
        self.wrong = ""
        option = self.option
        self.name = make_label(self.title)
        self.reset = make_icon_button("refresh", "Reset", clicked=self._reset)
        self.reset.setProperty("tight", "true")
        self.reset.setFixedSize(RESET_SIZE, RESET_SIZE)
        self.reset.setIconSize(QSize(16, 16))
        policy = self.reset.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.reset.setSizePolicy(policy)
        self.reset.hide()
        self.editor, self.text, self.set_text = self._make_editor()
        self.editor.setAccessibleName(f"{self.title}, {option.key}")
        tip = f"{option_help(option)}\n{option.key}, default {value_text(option.default) or '“”'}"
        self.editor.setToolTip(tip)
        self.name.setToolTip(tip)
        self.name.setBuddy(self.editor)
        line = row((self.editor, 1))
        if option.unit:
            line.addWidget(make_label(option.unit, "small"))
        if option.key in MODELS:
            line.addWidget(
                make_button("Choose…", tip="Of the models on this machine", clicked=self.modelRequested.emit)
            )
        elif option.key in FILES:
            line.addWidget(make_icon_button("folder", f"Choose for {self.title}…", clicked=self._choose))
        self.help = make_label(option_help(option), "small", wrap=True)
        head = row((self.name, 1), self.reset, spacing=SPACE_1)
        column(head, line, self.help, None, spacing=SPACE_1, parent=self)
        self.edited.connect(self.render_changed)

    def _make_editor(self) -> tuple[QWidget, Callable[[], str], Callable[[str], None]]:
        option, prompts = self.option, self._prompts
        if prompts is not None:
            prompts.changed.connect(lambda _profile: self.edited.emit())
            return prompts, lambda: prompts.name, prompts.render_name
        if option.type is bool:
            box = QCheckBox("On")
            box.toggled.connect(lambda _on: self.edited.emit())
            return box, lambda: str(box.isChecked()).lower(), lambda t: box.setChecked(t.lower() == "true")
        if option.many:
            chips = ChoiceChips(option.choices, more="More domains…" if option.key == FAMILIES else "")
            chips.edited.connect(self.edited)
            chips.moreRequested.connect(lambda: choose_family(chips))
            return chips, chips.text, chips.set_text
        if option.choices:
            combo = QComboBox()
            combo.addItems(option.choices)
            ignore_wheel(combo)
            # Text such as "cuda:1" may be set in a file.
            combo.setEditable(not issubclass(option.type, StrEnum))
            combo.currentTextChanged.connect(lambda _text: self.edited.emit())
            return combo, combo.currentText, combo.setCurrentText
        line = QLineEdit()
        line.textEdited.connect(lambda _text: self.edited.emit())
        return line, line.text, line.setText

    def _choose(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, "Choose a file of problems", "", "Problems (*.jsonl);;All files (*)"
        )
        if name:
            self.take(name)

    def take(self, text: str) -> None:
        """Set a value as if it had been typed."""
        self.set_text(text)
        self.edited.emit()

    def render_base(self, value: str) -> None:
        self._base = value
        self.reset.setToolTip(f"Back to {value or '“”'}")
        self.reset.setAccessibleName(f"Reset {self.title} to {value}")
        self.render_changed()

    def render_changed(self) -> None:
        """Mark a value that differs from the base: a dot, weight, and the reset button."""
        changed = self.changed
        self.reset.setVisible(changed)
        self.name.setText(f"• {self.title}" if changed else self.title)
        font = self.name.font()
        font.setBold(changed)
        self.name.setFont(font)

    @property
    def changed(self) -> bool:
        """Whether the value differs from the base. 0.20 is 0.2."""
        text = self.text().strip()
        try:
            return text != self._base and float(text) != float(self._base)
        except ValueError:
            return True

    def _reset(self) -> None:
        self.take(self._base)
        self.editor.setFocus()

    def check(self) -> str:
        """What is wrong, shown in place of the help; "" if nothing is."""
        try:
            parse_texts([f"{self.option.key}={self.text()}"], "form")
            error = schema.find_unknown(self.option, self.text()) if self.option.many else ""
            error = error or (self._prompts.problem if self._prompts is not None else "")
        except UserError as caught:
            error = str(caught).removeprefix("form: ")
        # The field itself says which option it is.
        self.wrong = f"Not accepted: {error.removeprefix(self.option.key).lstrip(' =:')}" if error else ""
        self.help.setText(self.wrong or option_help(self.option))
        set_tone(self.help, "bad" if self.wrong else "")
        self.editor.setAccessibleDescription(self.help.text())
        return self.wrong


class FormSection(Card):
    """A section: heading, help, fields in columns, and a button that unfolds the uncommon ones."""

    toggled = Signal()

    def __init__(self, key: str, help_: str, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.fields: list[Field] = []
        self.open = False
        self._placed: tuple[object, ...] = ()
        self._title = SECTION_TITLES.get(key, key.capitalize())
        self.setAccessibleName(self._title)
        self.more = make_button("", "chevron-right", kind="quiet", clicked=self._toggle)
        text = make_label(SECTION_HELP.get(key, help_), "small", wrap=True)
        self.body.addLayout(row(make_card_heading(self._title), (text, 1), self.more, spacing=SPACE_3))
        self._grid = make_grid(gaps=(SPACE_6, SPACE_4))
        self.body.addLayout(self._grid)

    @property
    def uncommon(self) -> int:
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
        for i in range(3):
            self._grid.setColumnStretch(i, int(i < columns))


class ConfigForm(QWidget):
    """`render_config` fills it; `config` reads it."""

    changed = Signal()
    modelRequested = Signal(str)  # The key of the option whose model is to be chosen

    def __init__(self, prompts: PromptRow, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.prompts = prompts
        self.fields = {
            option.key: Field(option, prompts if option.key == schema.PROMPTS else None)
            for option in schema.describe_options()
        }
        self.sections: dict[str, FormSection] = {}
        self._columns = 2
        self.search = QLineEdit(placeholderText="Find an option by name or by what it does…", clearButtonEnabled=True)
        self.search.setAccessibleName("Find an option")
        self.search.setToolTip("Searches all options, also those that are folded away (Ctrl+F)")
        self.search.textChanged.connect(lambda _text: self._arrange())
        self.found = make_label("", "small")
        self.all = make_button("Unfold all", kind="quiet", clicked=self._toggle_all)
        sections = column(row((self.search, 1), self.found, self.all), spacing=SPACE_3, parent=self)
        for field in self.fields.values():
            key = field.option.section
            if key not in self.sections:
                self.sections[key] = FormSection(key, field.option.section_help)
                self.sections[key].toggled.connect(self._arrange)
                sections.addWidget(self.sections[key])
            field.setParent(self.sections[key])
            field.edited.connect(lambda f=field: self._on_edited(f))
            field.modelRequested.connect(lambda key=field.option.key: self.modelRequested.emit(key))
            self.sections[key].fields.append(field)
        self._arrange()

    def _arrange(self) -> None:
        needle = self.search.text().casefold().strip()
        found = 0
        for section in self.sections.values():
            shown = [f for f in section.fields if self._is_shown(f, needle, open_=section.open)]
            found += len(shown)
            section.show_fields(shown, self._columns, searching=bool(needle))
        self.found.setText(f"{found or 'no'} {'option' if found == 1 else 'options'}" if needle else "")
        self.all.setText("Fold all" if self._all_open() else "Unfold all")
        self.all.setVisible(not needle)

    def _is_shown(self, field: Field, needle: str, *, open_: bool) -> bool:
        option = field.option
        if not needle:
            return open_ or option.key in COMMON or bool(field.wrong) or field.changed
        text = f"{option.key} {option.key.replace('_', ' ').replace('.', ' ')} {field.title} {option.help}".casefold()
        return all(word in text for word in needle.split())

    def _all_open(self) -> bool:
        return all(section.open or not section.uncommon for section in self.sections.values())

    def _toggle_all(self) -> None:
        open_ = not self._all_open()
        for section in self.sections.values():
            section.open = open_
        self._arrange()

    def resizeEvent(self, event: QResizeEvent) -> None:
        columns = 1 if self.width() < NARROW else 2 if self.width() < WIDE else 3
        if columns != self._columns:
            self._columns = columns
            self._arrange()

    def minimumSizeHint(self) -> QSize:
        return QSize(320, super().minimumSizeHint().height())

    def reveal(self, key: str) -> None:
        """Bring an option into view and put the keyboard there."""
        self.search.clear()
        field = self.fields[key]
        self.sections[field.option.section].open = True
        self._arrange()
        field.editor.setFocus()

    def _on_edited(self, field: Field) -> None:
        field.check()
        self.changed.emit()

    def render_config(self, config: RunConfig, base: RunConfig | None = None) -> None:
        """Show a configuration; options that differ from `base` are marked."""
        values, bases = value_texts(config), value_texts(base or config)
        for key, field in self.fields.items():
            with QSignalBlocker(field):
                field.set_text(values[key])
            field.render_base(bases[key])
            field.check()
        if config.profile is not None and config.model.prompts != AUTO:
            self.prompts.render_profile(config.profile)
            self.fields[schema.PROMPTS].check()
            self.fields[schema.PROMPTS].render_changed()
        self._arrange()
        self.changed.emit()

    def config(self) -> RunConfig:
        """The configuration, with the prompt profile where its name does not say all; a UserError names the first field
        that is not accepted."""
        found = parse_texts([f"{key}={field.text()}" for key, field in self.fields.items()], "the form")
        return found if self.prompts.is_named else replace(found, profile=self.prompts.profile)

    def first_wrong(self) -> Field | None:
        return next((field for field in self.fields.values() if field.wrong), None)

    def changed_keys(self) -> list[str]:
        return [key for key, field in self.fields.items() if field.changed]
