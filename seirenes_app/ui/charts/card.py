"""Charts in cards, with table, sentence and export. `FigureCard` is any figure with a table; `ChartCard` draws a
`ChartData`; `LiveCard` makes its data when it is drawn; `CardGrid` draws its cards one at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QFont, QFontMetrics, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QGridLayout, QHeaderView, QMenu, QStackedLayout, QTableView, QWidget

from seirenes_app.services.charts.data import ChartData
from seirenes_app.services.formatting import UNKNOWN
from seirenes_app.services.robustness.types import DataTable, Value
from seirenes_app.ui.charts.canvas import ChartCanvas, ChartLegend
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SMALL_PX, SPACE_4, sized_font
from seirenes_app.ui.widgets.badges import Badge, BadgeStyle
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.buttons import Button, make_icon_button, open_menu
from seirenes_app.ui.widgets.dialogs import MessageDialog
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from seirenes_app.ui.widgets.table_model import Column, TableModel
from training.errors import UserError
from training.runs.files import write_whole

TEXT_PX, HEADING_PX = 13, 15
EMPTY = DataTable((), ())
WAITING = "Reading…"
_NUMBER = re.compile(r"(★ )?[+−<>-]?\d")


class DataModel(TableModel):
    """A `DataTable` for a view: text at the left, numbers at the right; a tooltip has a long text whole."""

    table = EMPTY

    def render_table(self, table: DataTable) -> None:
        self.table = table
        self.render_columns([_column(table, i) for i in range(len(table.columns))])
        self.render_rows(table.rows)


def _column(table: DataTable, i: int) -> Column:
    def tip(row: Sequence[Value]) -> str | None:
        text = cell_text(row[i])
        return text if len(text) > 24 else None

    first = [str(row[i]) for row in table.rows[:8]]
    # Where no figure of a column is known, it stands at the side of the others.
    number = any(map(_NUMBER.match, first)) or set(first) == {UNKNOWN}
    return Column(table.columns[i], lambda row: cell_text(row[i]), right=number, row_tip=tip)


def cell_text(value: Value) -> str:
    """A value as the table shows it; shares have three decimals."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return (f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1e}").replace("-", "−")


def fit_columns(table: QTableView) -> None:
    """Columns as wide as their names and first values."""
    model, metrics, header = table.model(), table.fontMetrics(), table.horizontalHeader()
    heads = QFontMetrics(sized_font(header.font(), SMALL_PX, QFont.Weight.DemiBold))
    for i in range(model.columnCount()):
        texts = [str(model.index(k, i).data() or "") for k in range(min(24, model.rowCount()))]
        title = heads.horizontalAdvance(str(model.headerData(i, Qt.Orientation.Horizontal) or ""))
        widest = max((title, *map(metrics.horizontalAdvance, texts))) + 26
        table.setColumnWidth(i, max(64, min(260, widest)))


class FigureCard(QFrame):
    """A titled figure with its table. Subclasses put the figure in and draw it."""

    messageRequested = Signal(str)
    """What was done, for a toast."""
    file_kinds: tuple[str, ...] = ("PNG", "SVG", "CSV")
    """What it can be saved as."""

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
        self.setProperty("card", "true")
        self.setAccessibleName(title)
        self.heading, self.place = ElidedLabel(), ElidedLabel("small")
        self.heading.setFont(sized_font(self.heading.font(), HEADING_PX, QFont.Weight.DemiBold))
        self.heading.setText(title)
        self.badge = Badge(basis or BadgeStyle("warning", "", "warn"))
        self.table_button = make_icon_button("log", f"{title}: show as a table", clicked=self.toggle_table)
        self.note_button = make_icon_button("info", f"{title}: how to read it", clicked=self._toggle_note)
        self.menu_button = make_icon_button(
            "export", f"{title}: copy, save", clicked=lambda: open_menu(self.make_menu(), self.menu_button)
        )
        tools = (self.note_button, self.table_button, self.menu_button)
        for tool in tools:
            tool.setProperty("tight", True)
        self.head = row((self.heading, 100), self.badge, None, self.place, row(*tools, spacing=0))
        self.empty = make_label(WAITING, "muted", wrap=True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setContentsMargins(24, 0, 24, 0)
        self.model = DataModel((), self)
        self.table = self._make_table()
        self.holder = QWidget()
        self.holder.setMinimumHeight(height)
        self._stack = QStackedLayout(self.holder)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.table)
        self.sentence = make_label("", wrap=True, select=True)
        self.sentence.setFont(sized_font(self.sentence.font(), TEXT_PX))
        self.note = make_label("", "small", wrap=True, select=True)
        self.above = column()
        column(self.head, self.above, (self.holder, 1), self.sentence, self.note, margins=(18, 10, 10, 16), parent=self)
        for label in (self.sentence, self.note):
            label.setContentsMargins(0, 0, 8, 0)
            label.hide()
        # Only now it has a parent: before, it would be shown as a window of its own.
        self.badge.setVisible(basis is not None)

    def _make_table(self) -> QTableView:
        table = QTableView()
        table.setModel(self.model)
        table.setProperty("plain", "true")
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setFont(sized_font(table.font(), TEXT_PX))
        table.setAccessibleName(f"{self.title}, as a table")
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(24)
        table.horizontalHeader().setHighlightSections(False)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        return table

    def put_picture(self, picture: QWidget) -> None:
        """The widget that is the figure."""
        self.picture = picture
        self._stack.addWidget(picture)

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
        self.render_texts(WAITING, "", EMPTY, empty=True)

    def mark_stale(self) -> None:
        """Draw again next time: the theme changed."""
        self._stale = self.menu_button.isEnabled()

    def _toggle_note(self) -> None:
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
    def waits(self) -> bool:
        """Whether a draw is still to be asked for, at the size it has."""
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
        """Draw the figure, unless it paints itself."""

    @property
    def _kinds(self) -> str:
        return f"{', '.join(self.file_kinds[:-1])} or {self.file_kinds[-1]}"

    def make_menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        entries = [("Copy as image", "copy", self.copy_image), (f"Save as {self._kinds}…", "save", self._ask_save)]
        if self.sentence.text():
            entries.insert(1, ("Copy the sentence", "copy", self.copy_sentence))
        for text, icon, handler in entries:
            action = QAction(text, menu)
            set_icon(action, icon, "muted")
            action.triggered.connect(lambda *_, h=handler: h())
            menu.addAction(action)
        return menu

    def copy_image(self) -> None:
        QGuiApplication.clipboard().setPixmap(self.grab())
        self.messageRequested.emit(f"{self.title} copied.")

    def copy_sentence(self) -> None:
        QGuiApplication.clipboard().setText(f"{self.sentence.text()} {self.note.text()}".strip())
        self.messageRequested.emit("The sentence was copied.")

    def _ask_save(self) -> None:
        kinds = ";;".join(f"{kind} (*.{kind.lower()})" for kind in self.file_kinds)
        name, chosen = QFileDialog.getSaveFileName(self, "Save the chart", f"{self.title}.png", kinds)
        if name:
            path = Path(name)
            self.save(path if path.suffix else path.with_suffix(f".{chosen[-4:-1]}"))

    def save(self, path: Path) -> None:
        """By the file's ending: .csv the data, .png and .svg the picture with title, legend and sentence."""
        kind = path.suffix.lower().removeprefix(".")
        try:
            if kind.upper() not in self.file_kinds:
                raise UserError(f"{path}: save it as {self._kinds}.")
            if kind == "csv":
                write_whole(path, self.csv_table().csv())
            else:
                self.save_picture(path)
        except UserError as error:
            MessageDialog("The chart was not saved", str(error), self).open()
        except (OSError, ValueError) as error:
            MessageDialog("The chart was not saved", f"{path}: {error}", self).open()
        else:
            self.messageRequested.emit(f"Saved {path}.")

    def csv_table(self) -> DataTable:
        return self._numbers

    def save_picture(self, path: Path) -> None:
        """Write what is on the screen; a chart is drawn for the file."""
        if not self.grab().save(str(path)):
            raise OSError("the picture could not be written")


class TableCard(FigureCard):
    """A figure that is a table, `height` pixels high; with None it is as high as its rows."""

    file_kinds = ("PNG", "CSV")

    def __init__(self, title: str, height: int | None = 200, parent: QWidget | None = None) -> None:
        super().__init__(title, None, height or 0, parent)
        self._whole = height is None
        if self._whole:
            self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.put_picture(self.table)
        self.table_button.hide()
        self.render_texts("", "", EMPTY, empty=True)

    def render_table(self, sentence: str, note: str, table: DataTable, shown: DataTable) -> None:
        """`table` are the numbers for a CSV file, `shown` the same to read; without rows the sentence says why."""
        self.render_texts(sentence, note, table, empty=not shown.rows, shown=shown)
        self._stack.setCurrentWidget(self.table if shown.rows else self.empty)
        fit_columns(self.table)
        if self._whole:
            rows = self.table.verticalHeader().defaultSectionSize() * len(shown.rows)
            self.holder.setFixedHeight(max(60, self.table.horizontalHeader().sizeHint().height() + rows + 16))


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
        self.chart = chart
        self.legend.render_chart(chart or ChartData(()))
        self._on_cursor_changed()

    def draw(self) -> None:
        if self.chart is not None:
            self.plot.draw(self.chart)

    def save_picture(self, path: Path) -> None:
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
        """A chart that `source` makes when it is drawn; `empty` is shown where it has no series."""
        self._source, self._empty, self._is_stale = source, empty, True

    def mark_stale(self) -> None:
        self._is_stale = True

    def draw_if_stale(self) -> bool:
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
        if not self.tabled and self.chart is not None:
            self.model.render_table(self.chart.wide_table())
        super().toggle_table()
        self.draw_if_stale()

    def csv_table(self) -> DataTable:
        return self.chart.long_table() if self.chart is not None else EMPTY


MOST = 3
"""Runs that a chart holds beside its own."""


class OverlayButton(Button):
    """Answer `runsRequested` with `show_choices`; `chosenChanged` tells which are ticked, in the order of ticking."""

    runsRequested = Signal()
    chosenChanged = Signal(object)
    """tuple of keys"""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("kind", "quiet")
        self.setAccessibleDescription("Draw other runs in the same charts")
        self.setToolTip(self.accessibleDescription())
        # Wider than the drawing, which is centred in it: Fusion sets icon and text too close.
        self.setIconSize(QSize(26, 18))
        set_icon(self, "compare", "text")
        self.chosen: tuple[Hashable, ...] = ()
        self.clicked.connect(lambda *_: self.runsRequested.emit())
        self._render()

    def choose(self, keys: Sequence[Hashable]) -> None:
        """Tick these and no others."""
        if tuple(keys) != self.chosen:
            self.chosen = tuple(keys)
            self._render()
            self.chosenChanged.emit(self.chosen)

    def make_menu(self, choices: Sequence[tuple[Hashable, str]]) -> QMenu:
        """A tickable entry for each (key, text); no more than `MOST` can be ticked."""
        menu = QMenu(self)
        for key, text in choices:
            # An ampersand in a name is no shortcut.
            action = QAction(text.replace("&", "&&"), menu)
            action.setCheckable(True)
            action.setChecked(key in self.chosen)
            action.setEnabled(key in self.chosen or len(self.chosen) < MOST)
            action.toggled.connect(lambda on, k=key: self._on_toggled(k, on=on))
            menu.addAction(action)
        if not choices:
            menu.addAction("No other run can be drawn here").setEnabled(False)
        if self.chosen:
            menu.addSeparator()
            menu.addAction("Remove all", lambda: self.choose(()))
        return menu

    def show_choices(self, choices: Sequence[tuple[Hashable, str]]) -> None:
        """Open the menu at the button."""
        menu = self.make_menu(choices)
        menu.aboutToHide.connect(menu.deleteLater)
        open_menu(menu, self)

    def _on_toggled(self, key: Hashable, *, on: bool) -> None:
        rest = [k for k in self.chosen if k != key]
        self.choose([*rest, key] if on else rest)

    def _render(self) -> None:
        text = f"Overlay runs ({len(self.chosen)})" if self.chosen else "Overlay runs"
        self.setText(text)
        self.setAccessibleName(text)


class CardGrid(QWidget):
    """Draws stale cards one at a time. Subclasses build `cards` and say where each is placed."""

    cards: Mapping[str, ChartCard]
    wide = 1500
    """Width from which on there are three columns instead of two."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._turn = self._columns = 0
        self.overlay = OverlayButton()
        self.grid = QGridLayout()
        self.grid.setSpacing(SPACE_4)

    def mark_stale(self) -> None:
        """Draw all again: the theme changed."""
        for card in self.cards.values():
            card.mark_stale()
            card.legend.update()

    def draw_next(self) -> bool:
        """Draw the next stale card in view, in turn; False when there is none."""
        cards = list(self.cards.values())
        for i in range(len(cards)):
            if cards[(self._turn + i) % len(cards)].draw_if_stale():
                self._turn = (self._turn + i + 1) % len(cards)
                return True
        return False

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.lay_out()
        super().resizeEvent(event)

    def lay_out(self) -> None:
        """Put every card in its place for the width there is."""
        columns = 3 if self.width() >= self.wide else 2
        if columns == self._columns:
            return
        self._columns = columns
        for key, place in self.places(columns).items():
            self.grid.removeWidget(self.cards[key])
            self.grid.addWidget(self.cards[key], *place)
        for i in range(3):
            self.grid.setColumnStretch(i, int(i < columns))

    def places(self, columns: int) -> Mapping[str, tuple[int, int, int, int]]:
        """Row, column, rows, columns of each card in the grid."""
        raise NotImplementedError
