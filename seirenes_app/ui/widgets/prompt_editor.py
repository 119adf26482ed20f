"""Prompts in the window: a row that chooses a profile, the editor behind it, and the exact text that a model gets.

Craft, Robustness and Train use the same three. They hold a whole profile; nothing here starts or saves a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QInputDialog,
    QLineEdit,
    QListWidget,
    QPlainTextEdit,
    QSpinBox,
    QStackedWidget,
    QWidget,
)

from seirenes_app.services.exact_prompt import ExactPrompt
from seirenes_app.services.formatting import count_of
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_4, mono_font
from seirenes_app.ui.widgets.boxes import column, fill, ignore_wheel, make_grid, row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.prompts import PLACEHOLDERS, ModelKind, ProfileError, PromptProfile, TokenLimits, profile_from_dict
from training.core.types import HintType
from training.errors import UserError
from training.prompt_files import AUTO, find_profile, list_profiles, save_profile

BY_MODEL = "Auto"
EDITED = "-edited"
KIND_TITLES = {
    ModelKind.COMPACT: "Bundled", ModelKind.BASE: "Base", ModelKind.INSTRUCT: "Instruct",
    ModelKind.REASONING: "Reasoning",
}  # fmt: skip
PLACES = {"reasoner": "Reasoner", "adversary": "Adversary", "types": "Hint types", "answers": "Sampling and limits"}
WIDTH, HEIGHT = 720, 360
LIMITS = ("longest solution", "longest hint reply")
RenderExact = Callable[[PromptProfile], list[ExactPrompt]]
"""Writes the exact prompts of a model under a profile; may take seconds, and raise a `UserError`."""


def edited_name(base: PromptProfile) -> str:
    """What a profile is called that was changed and not saved."""
    return base.name if base.name.endswith(EDITED) else f"{base.name[: 60 - len(EDITED)]}{EDITED}"


# ---------------------------------------------------------------------- the row


class PromptRow(QWidget):
    """Which prompts are used, with the ways to edit them and to see the exact text. `changed` carries the profile, None
    for the one that fits the model."""

    changed = Signal(object)

    def __init__(
        self, tasks: TaskRunner, exact: RenderExact, parent: QWidget | None = None, *, narrow: bool = False
    ) -> None:
        """`narrow`: the buttons show their icons alone."""
        super().__init__(parent)
        self._tasks, self._exact = tasks, exact
        self._fitting: PromptProfile | None = None
        self.problem = ""  # Why the named profile cannot be used, "" where it can
        self._shown: tuple[PromptProfile | None, ...] = ()
        self.picker = QComboBox()
        self.picker.setAccessibleName("Prompts")
        self.picker.setToolTip("How the model is asked: a prompt profile. Auto takes the one that fits the model")
        self.picker.setMinimumWidth(150)
        ignore_wheel(self.picker)
        edit_tip = "Edit the prompts: texts, sampling and token limits"
        exact_tip = "Show the exact prompt: the text that the model gets, with its chat template"
        self.edit: QAbstractButton
        self.show_exact: QAbstractButton
        if narrow:
            self.edit = make_icon_button("pencil", edit_tip, clicked=self.open_editor)
            self.show_exact = make_icon_button("search", exact_tip, clicked=self.open_exact)
        else:
            self.edit = make_button("Edit…", "pencil", kind="quiet", tip=edit_tip, clicked=self.open_editor)
            self.show_exact = make_button("Show exact prompt", "search", kind="quiet", tip=exact_tip,
                                          clicked=self.open_exact)  # fmt: skip
        row((self.picker, 1), self.edit, self.show_exact, spacing=SPACE_1, parent=self)
        self.picker.activated.connect(lambda _i: self._on_picked())
        self.render_profile(None)

    @property
    def profile(self) -> PromptProfile | None:
        """The chosen one; None for the one that fits the model, and for a name without a profile."""
        chosen: PromptProfile | None = self.picker.currentData()
        return chosen

    @property
    def name(self) -> str:
        """The profile's name, as a configuration has it."""
        if self.problem:
            return self.picker.currentText()
        return AUTO if self.profile is None else self.profile.name

    @property
    def is_named(self) -> bool:
        """Whether the name alone says which profile it is: it was not edited, and its file says the same."""
        profile = self.profile
        try:
            return profile is None or find_profile(profile.name).digest == profile.digest
        except UserError:
            return False

    def render_name(self, name: str) -> None:
        """Show the profile of that name; one that is not there is shown as missing, with `problem`."""
        try:
            self.render_profile(None if name == AUTO else find_profile(name), self._fitting)
        except UserError as error:
            self.render_profile(None, self._fitting)
            with QSignalBlocker(self.picker):
                self.picker.addItem(name, None)
                self.picker.setCurrentIndex(self.picker.count() - 1)
            self.problem = str(error)

    def showEvent(self, event: QShowEvent) -> None:
        """Profiles may have been saved since."""
        super().showEvent(event)
        if not self.problem:
            self._shown = ()
            self.render_profile(self.profile, self._fitting)

    def _on_picked(self) -> None:
        if not self.problem or self.picker.currentIndex() != self.picker.count() - 1:
            self._take(self.profile)

    @property
    def used(self) -> PromptProfile | None:
        """The chosen one, or the one that fits the model, where that is known."""
        return self.profile or self._fitting

    def render_profile(self, profile: PromptProfile | None, fitting: PromptProfile | None = None) -> None:
        """Show a choice. `fitting` is the profile that goes with the model, where that is known."""
        if (profile, fitting) == self._shown and not self.problem:
            # Pages call this at every change of theirs.
            return
        self._fitting, self.problem, self._shown = fitting, "", (profile, fitting)
        found = [listed.profile for listed in list_profiles() if listed.profile is not None]
        if profile is not None and profile not in found:
            found.append(profile)
        with QSignalBlocker(self.picker):
            self.picker.clear()
            self.picker.addItem(f"{BY_MODEL}: {fitting.name}" if fitting else BY_MODEL, None)
            for each in found:
                self.picker.addItem(each.name, each)
                self.picker.setItemData(self.picker.count() - 1, f"{each.label}\n{each.description}",
                                        Qt.ItemDataRole.ToolTipRole)  # fmt: skip
            self.picker.setCurrentIndex(0 if profile is None else 1 + found.index(profile))
        for button in (self.edit, self.show_exact):
            button.setEnabled(self.used is not None)

    def render_fitting(self, fitting: PromptProfile | None) -> None:
        """Show which profile goes with the model; the choice stays."""
        if fitting != self._fitting:
            self._fitting = fitting
            if not self.problem:
                self.render_profile(self.profile, fitting)

    def _take(self, profile: PromptProfile | None) -> None:
        self.render_profile(profile, self._fitting)
        self.changed.emit(profile)

    def open_editor(self) -> PromptEditor | None:
        """Edit what is used; what comes back is taken."""
        if (used := self.used) is None:
            return None
        dialog = PromptEditor(used, self._tasks, self._exact, self.window())
        dialog.chosen.connect(self._take)
        dialog.finished.connect(lambda _code: dialog.deleteLater())
        dialog.open()
        return dialog

    def open_exact(self) -> ExactPromptDialog | None:
        """Show the exact text of what is used."""
        if (used := self.used) is None:
            return None
        return open_exact(used, self._tasks, self._exact, self.window())


# ---------------------------------------------------------------------- the editor


class PromptEditor(PageDialog):
    """A profile's texts, sampling and limits. Emits the profile that is to be used from now on."""

    chosen = Signal(object)

    def __init__(
        self, profile: PromptProfile, tasks: TaskRunner, exact: RenderExact, parent: QWidget | None = None
    ) -> None:
        super().__init__("Prompts", parent)
        self._tasks, self._exact, self._base, self._rendering = tasks, exact, profile, True
        self.picker = QComboBox()
        self.picker.setAccessibleName("Profile")
        ignore_wheel(self.picker)
        self.about = make_label("", "small", wrap=True)
        self.place = Segmented("Part of the profile", [Segment(key, title) for key, title in PLACES.items()])
        self.stack = QStackedWidget()
        self.stack.setMinimumSize(WIDTH, HEIGHT)
        self._texts: dict[str, QPlainTextEdit] = {}
        for page in (self._build_reasoner(), self._build_adversary(), self._build_types(), self._build_answers()):
            self.stack.addWidget(page)
        self.words = make_label("", "small", wrap=True)
        self.words.setMinimumHeight(34)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        fill(self.body, row(make_label("Profile", "muted"), (self.picker, 1), spacing=SPACE_3), self.about, self.place,
             (self.stack, 1), self.words)  # fmt: skip
        self.reset = make_button("Reset", "refresh", tip="Back to the profile as it was chosen", clicked=self._reset)
        self.save = make_button("Save as…", "save", tip="Keep it under a name, for other runs", clicked=self._ask_name)
        self.exact_ = make_button("Show exact prompt", "search", clicked=self._show_exact)
        self.use = make_button("Use these prompts", "check", kind="primary", clicked=self._use)
        self.use.setDefault(True)
        cancel = make_button("Cancel", clicked=self.reject)
        fill(self.buttons, self.reset, self.save, self.exact_, None, cancel, self.use)
        self.place.chosen.connect(lambda value: self.stack.setCurrentIndex(list(PLACES).index(value)))
        self.place.render_value("reasoner")
        self.picker.activated.connect(lambda _i: self._take_base(self.picker.currentData()))
        self._list_profiles()
        self.render_profile(profile)

    # ------------------------------------------------------------------ parts

    def _text(self, key: str, name: str, *, lines: int = 0) -> QPlainTextEdit:
        field = QPlainTextEdit(tabChangesFocus=True)
        field.setFont(mono_font(12))
        field.setAccessibleName(name)
        if lines:
            field.setFixedHeight(field.fontMetrics().lineSpacing() * lines + 18)
        field.textChanged.connect(self._on_edited)
        self._texts[key] = field
        return field

    def _build_reasoner(self) -> QWidget:
        page = QWidget()
        column(
            make_label("System message", "small"), (self._text("reasoner.system", "Reasoner, system message"), 3),
            make_label("User message: {problem} is the question, with its hint in it", "small"),
            (self._text("reasoner.user", "Reasoner, user message"), 1), spacing=SPACE_1, parent=page,
        )  # fmt: skip
        return page

    def _build_adversary(self) -> QWidget:
        page = QWidget()
        self.characters = QSpinBox(minimum=10, maximum=10_000, suffix=" characters")
        self.characters.setAccessibleName("Longest hint")
        self.characters.valueChanged.connect(self._on_edited)
        ignore_wheel(self.characters)
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        column(
            make_label("System message", "small"), (self._text("adversary.system", "Adversary, system message"), 3),
            make_label("User message", "small"), (self._text("adversary.user", "Adversary, user message"), 3),
            make_label(f"Replaced in both: {known}", "small", wrap=True), SPACE_1,
            row(make_label("Longest hint", "muted"), self.characters, None), spacing=SPACE_1, parent=page,
        )  # fmt: skip
        return page

    def _build_types(self) -> QWidget:
        page = QWidget()
        grid = make_grid(page, gaps=(SPACE_3, SPACE_1))
        for place, type_ in enumerate(HintType):
            title = type_.replace("_", " ").capitalize()
            grid.addWidget(make_label(title, "muted"), 2 * place, 0, 1, 2)
            for side, part in enumerate(("brief", "example")):
                field = self._text(f"types.{type_}.{part}", f"{title}, {part}")
                field.setPlaceholderText("What to write" if part == "brief" else "An example for another problem")
                grid.addWidget(field, 2 * place + 1, side)
                grid.setRowStretch(2 * place + 1, 1)
        return page

    def _build_answers(self) -> QWidget:
        page = QWidget()
        self.numbers: dict[str, Any] = {
            "temperature": QDoubleSpinBox(minimum=-0.05, maximum=5, singleStep=0.05, decimals=2),
            "top_p": QDoubleSpinBox(minimum=0.01, maximum=1, singleStep=0.05, decimals=2),
            "top_k": QSpinBox(maximum=1_000_000),
            "min_p": QDoubleSpinBox(maximum=1, singleStep=0.01, decimals=3),
            "repetition_penalty": QDoubleSpinBox(minimum=0.1, maximum=10, singleStep=0.05, decimals=2),
        }
        tips = {
            "temperature": "Temperature where none is asked for; 0 is greedy", "top_p": "1 is off", "top_k": "0 is off",
            "min_p": "0 is off", "repetition_penalty": "1 is off",
        }  # fmt: skip
        self.numbers["temperature"].setSpecialValueText("as asked for")
        grid = make_grid(gaps=(SPACE_4, SPACE_2))
        for place, (name, field) in enumerate(self.numbers.items()):
            title = name.replace("_", "-" if name in ("top_p", "top_k", "min_p") else " ").capitalize()
            self._add(grid, place, title, field, tips[name])
        self.thinking = QComboBox()
        for title, value in (("The template's default", None), ("On", True), ("Off", False)):
            self.thinking.addItem(title, value)
        self.thinking.activated.connect(lambda _i: self._on_edited())
        ignore_wheel(self.thinking)
        self._add(grid, 5, "Thinking", self.thinking, "The template variable enable_thinking")
        self.stop = QLineEdit(placeholderText="none")
        self.stop.textEdited.connect(lambda _text: self._on_edited())
        self._add(grid, 6, "Stop strings", self.stop, "Separated by commas; \\n is a new line")
        limits = make_grid(gaps=(SPACE_4, SPACE_2))
        limits.addWidget(make_label("Longest solution", "small"), 0, 1)
        limits.addWidget(make_label("Longest hint reply", "small"), 0, 2)
        self.limits: dict[ModelKind, tuple[QSpinBox, QSpinBox]] = {}
        for place, (kind, title) in enumerate(KIND_TITLES.items(), 1):
            limits.addWidget(make_label(title, "muted"), place, 0)
            self.limits[kind] = (QSpinBox(), QSpinBox())
            for side, (box, what) in enumerate(zip(self.limits[kind], LIMITS, strict=True)):
                box.setRange(1, 1_000_000)
                box.setSuffix(" tokens")
                box.setAccessibleName(f"{title}, {what}")
                box.valueChanged.connect(self._on_edited)
                ignore_wheel(box)
                limits.addWidget(box, place, 1 + side)
        note = make_label("Suggested token limits, by the kind of model. Reasoning counts.", "small", wrap=True)
        column(row((grid, 1), 24, column(note, limits, None, spacing=SPACE_2), align=Qt.AlignmentFlag.AlignTop), None,
               parent=page)  # fmt: skip
        return page

    def _add(self, grid: QGridLayout, place: int, title: str, field: Any, tip: str) -> None:
        name = make_label(title, "muted")
        name.setBuddy(field)
        for widget in (name, field):
            widget.setToolTip(tip)
        field.setAccessibleName(title)
        field.setAccessibleDescription(tip)
        if isinstance(field, QSpinBox | QDoubleSpinBox):
            field.valueChanged.connect(self._on_edited)
            ignore_wheel(field)
        grid.addWidget(name, place, 0)
        grid.addWidget(field, place, 1)

    # ------------------------------------------------------------------ values

    def render_profile(self, profile: PromptProfile) -> None:
        """Show a profile's values."""
        self._base, self._rendering = profile, True
        texts: Mapping[str, Any] = asdict(profile)
        for key, field in self._texts.items():
            value: Any = texts
            for part in key.split("."):
                value = value.get(part, "") if isinstance(value, Mapping) else ""
            field.setPlainText(value)
        self.characters.setValue(profile.max_hint_characters)
        for name, box in self.numbers.items():
            number = getattr(profile.sampling, name)
            box.setValue(box.minimum() if number is None else number)
        self.stop.setText(", ".join(text.replace("\n", "\\n") for text in profile.sampling.stop))
        thinking = profile.template.get("enable_thinking")
        self.thinking.setCurrentIndex(0 if thinking is None else 1 if thinking else 2)
        for kind, boxes in self.limits.items():
            limits = profile.limits_for(kind)
            boxes[0].setValue(limits.solution)
            boxes[1].setValue(limits.hint)
        self._rendering = False
        self.about.setText(profile.description)
        # Not by findData, which compares Python values by identity.
        at = next((i for i in range(self.picker.count()) if self.picker.itemData(i) == profile), -1)
        self.picker.setCurrentIndex(at)
        self._check()

    @property
    def profile(self) -> PromptProfile:
        """What the fields say: the base itself where nothing is changed. Raises a `ProfileError`."""
        base, text = self._base, {key: field.toPlainText() for key, field in self._texts.items()}
        types = {
            str(t): {"brief": text[f"types.{t}.brief"], "example": text[f"types.{t}.example"]}
            for t in HintType
            if t in base.types or text[f"types.{t}.brief"] or text[f"types.{t}.example"]
        }
        numbers = {name: round(box.value(), 4) for name, box in self.numbers.items()}
        temperature = numbers["temperature"]
        thinking = self.thinking.currentData()
        template = {k: v for k, v in base.template.items() if k != "enable_thinking"}
        made = profile_from_dict({
            **asdict(base), "max_hint_characters": self.characters.value(), "types": types,
            "reasoner": {"system": text["reasoner.system"], "user": text["reasoner.user"]},
            "adversary": {"system": text["adversary.system"], "user": text["adversary.user"]},
            "template": template if thinking is None else template | {"enable_thinking": thinking},
            "sampling": {
                **numbers, "temperature": None if temperature < 0 else temperature, "stop": _stops(self.stop.text()),
            },
            "limits": {
                str(kind): {"solution": boxes[0].value(), "hint": boxes[1].value()}
                for kind, boxes in self.limits.items()
                if kind in base.limits or _pair(boxes) != base.limits_for(kind)
            },
        })  # fmt: skip
        return base if made == base else replace(made, name=edited_name(base))

    def _on_edited(self) -> None:
        if not self._rendering:
            self._check()

    def _check(self) -> None:
        """Say what is wrong, or what the profile is called."""
        try:
            profile = self.profile
        except ProfileError as error:
            self.words.setText(str(error))
            set_tone(self.words, "bad")
            sound = False
        else:
            changed = profile is not self._base
            text = f"Changed; it is kept whole with what is made with it, as {profile.label}."
            self.words.setText(text if changed else f"{profile.label}, unchanged.")
            set_tone(self.words, "")
            self.reset.setEnabled(changed)
            sound = True
        for button in (self.use, self.save, self.exact_):
            button.setEnabled(sound)

    # ------------------------------------------------------------------ buttons

    def _list_profiles(self) -> None:
        found = [listed.profile for listed in list_profiles() if listed.profile is not None]
        if self._base not in found:
            found.append(self._base)
        self.picker.clear()
        for each in found:
            self.picker.addItem(each.name, each)

    def _take_base(self, profile: PromptProfile) -> None:
        self.render_profile(profile)

    def _reset(self) -> None:
        self.render_profile(self._base)

    def _use(self) -> None:
        self.chosen.emit(self.profile)
        self.accept()

    def _ask_name(self) -> None:
        dialog = QInputDialog(self)
        dialog.setWindowTitle("Save the prompts")
        dialog.setLabelText("Name of the profile")
        dialog.setTextValue("" if self._base.name.endswith(EDITED) else f"my {self._base.name}")
        dialog.textValueSelected.connect(self.save_as)
        dialog.open()

    def save_as(self, name: str) -> None:
        """Keep the profile as a file of the user's, and go on with that one."""
        try:
            saved = replace(self.profile, name=name.strip())
            path = save_profile(saved, saved.name)
        except UserError as error:
            self.words.setText(str(error))
            set_tone(self.words, "bad")
            return
        self._base = saved
        self._list_profiles()
        self.render_profile(saved)
        self.words.setText(f"Saved as {saved.label} in {path}")

    def _show_exact(self) -> None:
        open_exact(self.profile, self._tasks, self._exact, self)


def _pair(boxes: tuple[QSpinBox, QSpinBox]) -> TokenLimits:
    return TokenLimits(boxes[0].value(), boxes[1].value())


def _stops(text: str) -> list[str]:
    parts = (part.strip().replace("\\n", "\n") for part in text.split(","))
    return [part for part in parts if part]


# ---------------------------------------------------------------------- the exact text


class ExactPromptDialog(PageDialog):
    """The exact prompts of a model: one at a time, plain text, special tokens and all, with the count of tokens."""

    def __init__(self, label: str, parent: QWidget | None = None) -> None:
        super().__init__("Exact prompt", parent)
        self._prompts: Sequence[ExactPrompt] = ()
        self.about = make_label(f"Prompts {label}. Writing them with the model's chat template…", "muted", wrap=True)
        self._label = label
        self.list = QListWidget()
        self.list.setAccessibleName("Prompts")
        self.list.setFixedWidth(284)
        self.list.setProperty("roomy", "true")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.text = QPlainTextEdit(readOnly=True)
        self.text.setFont(mono_font(12))
        self.text.setAccessibleName("Exact prompt")
        self.text.setMinimumSize(560, 380)
        self.figures = make_label("", "small", wrap=True, select=True)
        self.note = make_label("", wrap=True, tone="warn")
        self.note.hide()
        fill(self.body, self.about, self.note, (row(self.list, (self.text, 1), spacing=SPACE_3), 1), self.figures)
        self.copy = make_button("Copy", "copy", clicked=self._copy)
        self.copy.setEnabled(False)
        fill(self.buttons, self.copy)
        self.add_close()
        self.list.currentRowChanged.connect(self._render)

    def render_prompts(self, prompts: Sequence[ExactPrompt]) -> None:
        self._prompts = prompts
        self.about.setText(f"What the model gets, character by character. Prompts {self._label}.")
        self.list.addItems([prompt.title for prompt in prompts])
        self.list.setCurrentRow(0)
        self.copy.setEnabled(bool(prompts))
        self.list.setFocus()

    def render_error(self, text: str) -> None:
        self.about.setText(text)
        set_tone(self.about, "bad")

    def _render(self, at: int) -> None:
        prompt = self._prompts[at]
        self.text.setPlainText(prompt.text)
        tokens = count_of(prompt.n_tokens, "token") if prompt.n_tokens is not None else "tokens not counted here"
        self.figures.setText(f"{tokens}  ·  {count_of(len(prompt.text), 'character')}")
        self.note.setText(prompt.note)
        self.note.setVisible(bool(prompt.note))

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text.toPlainText())


def open_exact(
    profile: PromptProfile, tasks: TaskRunner, exact: RenderExact, parent: QWidget | None
) -> ExactPromptDialog:
    """Show the exact prompts of a profile when they are written. Closing the dialog drops what is still to come."""
    dialog = ExactPromptDialog(profile.label, parent)
    task = tasks.run_task(lambda _task: exact(profile), dialog.render_prompts, dialog.render_error)
    dialog.finished.connect(lambda _code: (task.cancel(), dialog.deleteLater()))
    dialog.open()
    return dialog
