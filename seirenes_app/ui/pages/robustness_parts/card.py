"""What every chart of the page has: a heading, a basis, a table in its place, a sentence, and the way into files."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QMenu, QStackedLayout, QVBoxLayout, QWidget

from seirenes_app.lab.robustness.values import DataTable
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.pages.robustness_parts.data_table import EMPTY, DataModel, fit_columns, make_table
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import Badge, Look
from seirenes_app.ui.widgets.buttons import make_icon_button
from seirenes_app.ui.widgets.dialogs import MessageDialog
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from training.errors import UserError
from training.rundir.disk import write_whole

MOVING = Look("warning", "Moving Adversary", "warn")
WAITING = "Reading…"
SENTENCE_PX = 13


class FigureCard(QFrame):
    """A titled picture with its table. Subclasses put the picture in, draw it, and save it."""

    said = Signal(str)
    """What was done, for a toast."""

    def __init__(self, title: str, basis: Look | None, height: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self._height = title, height
        self.context = ""
        """Whose figures these are: it stands beside the title in a file."""
        self.noted = False
        """Whether the note on reading it is in view."""
        self._stale = False
        self._drawn_size = QSize()
        self._build_card(basis)

    # ------------------------------------------------------------------ build

    def _build_card(self, basis: Look | None) -> None:
        self.setProperty("card", "true")
        self.setAccessibleName(self.title)
        self.heading = make_heading(self.title)
        self.place = ElidedLabel("small")
        self.badge = Badge(basis or MOVING)
        self.table_button = make_icon_button("log", f"{self.title}: show as a table", clicked=self.toggle_table)
        self.note_button = make_icon_button("info", f"{self.title}: how to read it", clicked=self.toggle_note)
        self.menu_button = make_icon_button("export", f"{self.title}: copy, save", clicked=self._show_menu)
        self.head = head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(self.heading, 100)
        head.addWidget(self.badge)
        head.addStretch(1)
        head.addWidget(self.place)
        tools = QHBoxLayout()
        tools.setSpacing(0)
        for tool in (self.note_button, self.table_button, self.menu_button):
            tool.setProperty("tight", True)
            tools.addWidget(tool)
        head.addLayout(tools)
        self.empty = make_label(WAITING, "muted", wrap=True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setContentsMargins(24, 0, 24, 0)
        self.model = DataModel(self)
        self.table = make_table(f"{self.title}, as a table", self.model)
        self.holder = holder = QWidget()
        holder.setMinimumHeight(self._height)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.table)
        self.sentence = make_label("", wrap=True, select=True)
        font = self.sentence.font()
        font.setPixelSize(SENTENCE_PX)
        self.sentence.setFont(font)
        self.note = make_label("", "small", wrap=True, select=True)
        self.above = QVBoxLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 10, 10, 16)
        column.setSpacing(SPACE_2)
        column.addLayout(head)
        column.addLayout(self.above)
        column.addWidget(holder, 1)
        for label in (self.sentence, self.note):
            label.setContentsMargins(0, 0, 8, 0)
            column.addWidget(label)
        column.setSpacing(SPACE_3 - 4)
        # Only now they have a parent: before, they would be shown as windows of their own.
        self.badge.setVisible(basis is not None)

    def put_picture(self, picture: QWidget) -> None:
        """The widget that is the chart."""
        self.picture = picture
        self._stack.addWidget(picture)

    # ------------------------------------------------------------------ render

    def render_words(self, sentence: str, note: str, table: DataTable, *, empty: bool) -> None:
        """What stands around the picture. Where there is no picture, the sentence says why, in its place."""
        self.empty.setText(sentence if empty else "")
        self.sentence.setText("" if empty else sentence)
        self.note.setText("" if empty else note)
        self.sentence.setVisible(bool(self.sentence.text()))
        self.note.setVisible(self.noted and bool(self.note.text()))
        self.note_button.setEnabled(bool(self.note.text()))
        self.model.render_table(table)
        self.table_button.setEnabled(bool(table.rows) and not empty)
        self.menu_button.setEnabled(not empty)
        if empty:
            self._stack.setCurrentWidget(self.empty)
        elif not self.tabled:
            self._stack.setCurrentWidget(self.picture)
        else:
            fit_columns(self.table)
        self.setAccessibleDescription(f"{sentence} {note}".strip())
        self._stale = not empty

    def render_waiting(self) -> None:
        """Nothing yet: it is being read."""
        self.render_words(WAITING, "", EMPTY, empty=True)

    def mark_stale(self) -> None:
        """Draw anew next time: the theme changed."""
        self._stale = self.menu_button.isEnabled()

    def toggle_note(self) -> None:
        """How to read the chart, below it, and away again."""
        self.noted = not self.noted
        self.note.setVisible(self.noted and bool(self.note.text()))

    @property
    def tabled(self) -> bool:
        """Whether the table is in the picture's place."""
        return self._stack.currentWidget() is self.table

    def toggle_table(self) -> None:
        """The table in place of the picture, and back."""
        shown = not self.tabled
        if shown:
            fit_columns(self.table)
        self._stack.setCurrentWidget(self.table if shown else self.picture)
        words = "show as a chart" if shown else "show as a table"
        self.table_button.setToolTip(f"{self.title}: {words}")
        self.table_button.setAccessibleName(f"{self.title}: {words}")
        set_icon(self.table_button, "chart" if shown else "log", "muted")

    @property
    def pending(self) -> bool:
        """Whether what it shows is still being read."""
        return self._stack.currentWidget() is self.empty and self.empty.text() == WAITING

    @property
    def waits(self) -> bool:
        """Whether it is still to be drawn, at the size it has."""
        shown = self._stack.currentWidget() is getattr(self, "picture", None)
        return shown and (self._stale or self._drawn_size != self.picture.size())

    def draw_if_stale(self) -> bool:
        """Draw now if anything changed and it is in view; returns whether it did."""
        if not self.waits or not self.isVisible() or self.visibleRegion().isEmpty():
            return False
        self._stale, self._drawn_size = False, self.picture.size()
        self.draw()
        return True

    def draw(self) -> None:
        """Draw the picture."""
        raise NotImplementedError

    # ------------------------------------------------------------------ taking it along

    def make_menu(self) -> QMenu:
        """Copy and save."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for text, icon, does in (
            ("Copy as image", "copy", self.copy_image),
            ("Copy the sentence", "copy", self.copy_sentence),
            ("Save as PNG, SVG or CSV…", "save", self._ask_save),
        ):
            action = QAction(text, menu)
            set_icon(action, icon, "muted")
            action.triggered.connect(lambda *_, d=does: d())
            menu.addAction(action)
        return menu

    def _show_menu(self) -> None:
        self.make_menu().popup(self.menu_button.mapToGlobal(self.menu_button.rect().bottomLeft()))

    def copy_image(self) -> None:
        """The whole card to the clipboard."""
        QGuiApplication.clipboard().setPixmap(self.grab())
        self.said.emit(f"{self.title} copied.")

    def copy_sentence(self) -> None:
        """What it shows, in words."""
        QGuiApplication.clipboard().setText(f"{self.sentence.text()} {self.note.text()}".strip())
        self.said.emit("The sentence was copied.")

    def _ask_save(self) -> None:
        kinds = "PNG (*.png);;SVG (*.svg);;CSV (*.csv)"
        name, chosen = QFileDialog.getSaveFileName(self, "Save the chart", f"{self.title}.png", kinds)
        if name:
            path = Path(name)
            self.save(path if path.suffix else path.with_suffix(f".{chosen[-4:-1]}"))

    def save(self, path: Path) -> None:
        """By the file's ending: .csv the table, .png and .svg the picture with title, key and sentence."""
        try:
            if path.suffix.lower() == ".csv":
                write_whole(path, self.model.table.csv())
            else:
                self.save_picture(path)
        except UserError as error:
            MessageDialog("The chart was not saved", str(error), self).open()
        except (OSError, ValueError) as error:
            MessageDialog("The chart was not saved", f"{path}: {error}", self).open()
        else:
            self.said.emit(f"Saved {path}.")

    def save_picture(self, path: Path) -> None:
        """Write the picture."""
        raise NotImplementedError


def make_heading(text: str) -> ElidedLabel:
    """A card's own heading: smaller than a section's. It gives way where there is little room."""
    label = ElidedLabel()
    font = label.font()
    font.setPixelSize(15)
    font.setWeight(font.Weight.DemiBold)
    label.setFont(font)
    label.setText(text)
    return label
