"""Charts in cards: a title, the picture or its table, a sentence, and the way into files.

`FigureCard` is any figure with a table; `ChartCard` draws a `ChartData`; `LiveCard` makes its data when it is drawn;
`CardGrid` draws its cards one at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QFont, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QStackedLayout,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.services.charts.data import ChartData
from seirenes_app.services.robustness.types import DataTable, Value
from seirenes_app.ui.charts.canvas import ChartCanvas
from seirenes_app.ui.charts.legend import ChartLegend
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.badges import Badge, BadgeStyle
from seirenes_app.ui.widgets.buttons import make_icon_button, open_menu
from seirenes_app.ui.widgets.dialogs import MessageDialog
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from seirenes_app.ui.widgets.table_model import Column, TableModel
from training.errors import UserError
from training.runs.files import write_whole

TEXT_PX, HEADING_PX = 13, 15
EMPTY = DataTable((), ())
WAITING = "Reading…"
_NUMBER = re.compile(r"[+−<>-]?\d")
FILE_KINDS = "PNG (*.png);;SVG (*.svg);;CSV (*.csv)"


class DataModel(TableModel):
    """A `DataTable` for a view: text at the left, numbers at the right; a tooltip has a long text whole."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__((), parent)
        self.table = EMPTY

    def render_table(self, table: DataTable) -> None:
        """Other data."""
        self.table = table
        numbers = [any(_NUMBER.match(str(row[i])) for row in table.rows[:8]) for i in range(len(table.columns))]
        self.render_columns(
            [_column(i, name, number) for i, (name, number) in enumerate(zip(table.columns, numbers, strict=True))]
        )
        self.render_rows(table.rows)


def _column(i: int, name: str, number: bool) -> Column:
    def tip(row: Sequence[Value]) -> str | None:
        text = cell_text(row[i])
        return text if len(text) > 24 else None

    return Column(name, lambda row: cell_text(row[i]), right=number, row_tip=tip)


def cell_text(value: Value) -> str:
    """A value as the table shows it; shares have three decimals."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return (f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1e}").replace("-", "−")


def make_table(name: str, model: DataModel) -> QTableView:
    """A plain table that shows `model`."""
    table = QTableView()
    table.setModel(model)
    table.setProperty("plain", "true")
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setFont(_sized(table.font(), TEXT_PX))
    table.setAccessibleName(name)
    table.setTabKeyNavigation(False)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(24)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    return table


def fit_columns(table: QTableView, *, at_least: int = 64, at_most: int = 260) -> None:
    """Columns as wide as their names and first values."""
    model, metrics = table.model(), table.fontMetrics()
    for column in range(model.columnCount()):
        texts = [str(model.headerData(column, Qt.Orientation.Horizontal) or "")]
        texts += [str(model.index(row, column).data() or "") for row in range(min(24, model.rowCount()))]
        widest = max(metrics.horizontalAdvance(text) for text in texts) + 26
        table.setColumnWidth(column, max(at_least, min(at_most, widest)))


def _sized(font: QFont, pixels: int) -> QFont:
    font.setPixelSize(pixels)
    return font


class FigureCard(QFrame):
    """A titled figure with its table. Subclasses put the figure in, draw it, and save it."""

    said = Signal(str)
    """What was done."""

    def __init__(
        self, title: str, basis: BadgeStyle | None = None, height: int = 200, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.title = title
        self.context = ""
        """Whose figures these are: it stands beside the title in a file."""
        self.note_shown = False
        self._numbers = EMPTY
        self._stale = False
        self._drawn_size = QSize()
        self._build_card(basis, height)

    # ------------------------------------------------------------------ build

    def _build_card(self, basis: BadgeStyle | None, height: int) -> None:
        self.setProperty("card", "true")
        self.setAccessibleName(self.title)
        self.heading = ElidedLabel()
        font = _sized(self.heading.font(), HEADING_PX)
        font.setWeight(QFont.Weight.DemiBold)
        self.heading.setFont(font)
        self.heading.setText(self.title)
        self.place = ElidedLabel("small")
        self.badge = Badge(basis or BadgeStyle("warning", "", "warn"))
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
        self.holder = QWidget()
        self.holder.setMinimumHeight(height)
        self._stack = QStackedLayout(self.holder)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.table)
        self.sentence = make_label("", wrap=True, select=True)
        self.sentence.setFont(_sized(self.sentence.font(), TEXT_PX))
        self.note = make_label("", "small", wrap=True, select=True)
        self.above = QVBoxLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 10, 10, 16)
        column.setSpacing(SPACE_2)
        column.addLayout(head)
        column.addLayout(self.above)
        column.addWidget(self.holder, 1)
        for label in (self.sentence, self.note):
            label.setContentsMargins(0, 0, 8, 0)
            column.addWidget(label)
            label.hide()
        # Only now they have a parent: before, they would be shown as windows of their own.
        self.badge.setVisible(basis is not None)

    def put_picture(self, picture: QWidget) -> None:
        """The widget that is the figure."""
        self.picture = picture
        self._stack.addWidget(picture)

    # ------------------------------------------------------------------ render

    def render_texts(
        self, sentence: str, note: str, table: DataTable, *, empty: bool, shown: DataTable | None = None
    ) -> None:
        """What stands around the figure. Where there is none, the sentence gives the reason, in its place.

        `table` are the numbers for a CSV file, `shown` the same to read.
        """
        self._numbers = table
        self.empty.setText(sentence if empty else "")
        self.sentence.setText("" if empty else sentence)
        self.note.setText("" if empty else note)
        self.sentence.setVisible(bool(self.sentence.text()))
        self.note.setVisible(self.note_shown and bool(self.note.text()))
        self.note_button.setEnabled(bool(self.note.text()))
        self.model.render_table(shown or table)
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
        self.render_texts(WAITING, "", EMPTY, empty=True)

    def mark_stale(self) -> None:
        """Draw again next time: the theme changed."""
        self._stale = self.menu_button.isEnabled()

    def toggle_note(self) -> None:
        """Show or hide how to read the figure."""
        self.note_shown = not self.note_shown
        self.note.setVisible(self.note_shown and bool(self.note.text()))

    @property
    def tabled(self) -> bool:
        """Whether the table is in the figure's place."""
        return self._stack.currentWidget() is self.table

    def toggle_table(self) -> None:
        """The table in place of the figure, and back."""
        shown = not self.tabled
        if shown:
            fit_columns(self.table)
        self._stack.setCurrentWidget(self.table if shown else self.picture)
        text = f"{self.title}: {'show as a chart' if shown else 'show as a table'}"
        self.table_button.setToolTip(text)
        self.table_button.setAccessibleName(text)
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
        """Draw the figure."""
        raise NotImplementedError

    # ------------------------------------------------------------------ copy and save

    def make_menu(self) -> QMenu:
        """Copy and save."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        entries = [("Copy as image", "copy", self.copy_image), ("Save as PNG, SVG or CSV…", "save", self._ask_save)]
        if self.sentence.text():
            entries.insert(1, ("Copy the sentence", "copy", self.copy_sentence))
        for text, icon, handler in entries:
            action = QAction(text, menu)
            set_icon(action, icon, "muted")
            action.triggered.connect(lambda *_, h=handler: h())
            menu.addAction(action)
        return menu

    def _show_menu(self) -> None:
        open_menu(self.make_menu(), self.menu_button)

    def copy_image(self) -> None:
        """The whole card to the clipboard."""
        QGuiApplication.clipboard().setPixmap(self.grab())
        self.said.emit(f"{self.title} copied.")

    def copy_sentence(self) -> None:
        """Sentence and note."""
        QGuiApplication.clipboard().setText(f"{self.sentence.text()} {self.note.text()}".strip())
        self.said.emit("The sentence was copied.")

    def _ask_save(self) -> None:
        name, chosen = QFileDialog.getSaveFileName(self, "Save the chart", f"{self.title}.png", FILE_KINDS)
        if name:
            path = Path(name)
            self.save(path if path.suffix else path.with_suffix(f".{chosen[-4:-1]}"))

    def save(self, path: Path) -> None:
        """By the file's ending: .csv the data, .png and .svg the picture with title, legend and sentence."""
        try:
            if path.suffix.lower() == ".csv":
                write_whole(path, self.csv_table().csv())
            else:
                self.save_picture(path)
        except UserError as error:
            MessageDialog("The chart was not saved", str(error), self).open()
        except (OSError, ValueError) as error:
            MessageDialog("The chart was not saved", f"{path}: {error}", self).open()
        else:
            self.said.emit(f"Saved {path}.")

    def csv_table(self) -> DataTable:
        """The data for a CSV file."""
        return self._numbers

    def save_picture(self, path: Path) -> None:
        """Write the picture."""
        raise NotImplementedError


class ChartCard(FigureCard):
    """Legend and canvas of a chart, drawn when its turn comes."""

    def __init__(
        self, title: str, basis: BadgeStyle | None = None, height: int = 200, *, pick: bool = False,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(title, basis, height, parent)
        self.chart: ChartData | None = None
        self.legend = ChartLegend()
        self.above.addWidget(self.legend)
        self.plot = ChartCanvas(pick=pick)
        self.plot.setAccessibleName(f"{title}, plot. Left and Right read its values.")
        self.plot.cursorChanged.connect(self._on_cursor_changed)
        self.plot.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.plot.customContextMenuRequested.connect(lambda at: self.make_menu().popup(self.plot.mapToGlobal(at)))
        self.put_picture(self.plot)

    def render_chart(self, chart: ChartData | None) -> None:
        """Other data; None for none."""
        self.chart = chart
        self.legend.render_chart(chart or ChartData(()))
        self._on_cursor_changed()

    def draw(self) -> None:
        """The plot, at the size it has."""
        if self.chart is not None:
            self.plot.draw(self.chart)

    def save_picture(self, path: Path) -> None:
        """A file that stands alone."""
        from seirenes_app.services.charts.export import save_chart

        if self.chart is not None:
            text = f"{self.sentence.text()} {self.note.text()}".strip()
            save_chart(path, self.chart, self.heading.text(), context=self.context, text=text)

    def describe(self) -> str:
        """The place at the cursor and its values, for screen readers."""
        x, chart = self.plot.cursor_x, self.chart
        return self.legend.text() if x is None or chart is None else f"{chart.place_name(x)}: {self.legend.text()}"

    def _on_cursor_changed(self) -> None:
        x = self.plot.cursor_x
        self.legend.render_cursor(x, self.plot.current)
        self.place.setText("" if x is None or self.chart is None else self.chart.place_name(x))
        self.plot.setAccessibleDescription(self.describe())


class LiveCard(ChartCard):
    """`render_source` is cheap and may be called with every event: the data is made when the card is drawn."""

    def __init__(self, title: str, note: str = "", height: int = 170, parent: QWidget | None = None) -> None:
        super().__init__(title, None, height, parent=parent)
        self._source: Callable[[], ChartData] = lambda: ChartData(())
        self._empty = ""
        self.subtitle = ElidedLabel("small")
        self.subtitle.setText(note)
        self.head.insertWidget(1, self.subtitle, 50)
        self.note_button.hide()
        self._is_stale = True

    def render_source(self, source: Callable[[], ChartData], empty: str = "No data yet.") -> None:
        """A chart that `source` makes when it is drawn; `empty` is said where it has no series."""
        self._source, self._empty, self._is_stale = source, empty, True

    def mark_stale(self) -> None:
        """Draw again next time."""
        self._is_stale = True

    def draw_if_stale(self) -> bool:
        """Make and draw the chart if anything changed and it is in view; returns whether it did."""
        if not self.isVisible() or self.visibleRegion().isEmpty():
            return False
        if not self._is_stale:
            return super().draw_if_stale()
        self._is_stale = False
        chart = self._source()
        found = chart if chart.keyed else None
        self.render_chart(found)
        table = chart.wide_table() if self.tabled else EMPTY
        self.render_texts("" if found else self._empty, "", table, empty=found is None)
        self.table_button.setEnabled(found is not None)
        self.setAccessibleDescription(self.legend.text() or self._empty)
        super().draw_if_stale()
        return True

    def toggle_table(self) -> None:
        """The table is made when it is shown."""
        if not self.tabled and self.chart is not None:
            self.model.render_table(self.chart.wide_table())
        super().toggle_table()
        self.draw_if_stale()

    def csv_table(self) -> DataTable:
        """A row a point."""
        return self.chart.long_table() if self.chart is not None else EMPTY


class CardGrid(QWidget):
    """Draws stale cards one at a time. Subclasses build `cards` and lay them out."""

    cards: Mapping[str, ChartCard]

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._turn = 0

    @property
    def all_cards(self) -> Mapping[str, ChartCard]:
        """Every card by its key, in their order."""
        return self.cards

    def mark_stale(self) -> None:
        """Draw all again: the theme changed."""
        for card in self.all_cards.values():
            card.mark_stale()
            card.legend.update()

    def draw_next(self) -> bool:
        """Draw the next stale card in view, in turn; False when there is none."""
        cards = list(self.all_cards.values())
        for i in range(len(cards)):
            if cards[(self._turn + i) % len(cards)].draw_if_stale():
                self._turn = (self._turn + i + 1) % len(cards)
                return True
        return False

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Reflow."""
        self.lay_out()
        super().resizeEvent(event)

    def lay_out(self) -> None:
        """Put every card in its place for the width there is."""
        raise NotImplementedError
