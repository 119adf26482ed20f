"""A form made from the configuration's own schema: every option once, in its section, the uncommon ones folded away."""

from __future__ import annotations

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4, SPACE_6
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.charts import make_card_heading
from seirenes_app.ui.widgets.config_field import Field, nest, say_name, say_value
from seirenes_app.ui.widgets.labels import make_label
from training.rundir.config import RunConfig
from training.rundir.config_io import describe_options, from_dict, parse_overrides, to_dict

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
