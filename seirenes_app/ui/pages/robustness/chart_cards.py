"""A panel's table as a Qt model. Shares have three decimals; what is text stays text.

What every chart of the page has: a heading, a basis, a table in its place, a sentence, and the way into files.

The key of a panel: a sample of each curve, its name, and at the cursor its value with its interval.

The picture of a panel with a cursor on one curve, by mouse or arrow keys; a click or Enter asks for its rows.

A panel in a card: key, plot, table, sentence. A point that is clicked asks for the rows behind it.

The charts of a track: the frozen suite's in one section, the moving Adversary's in another. Draws one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QAction,
    QColor,
    QFont,
    QFontMetrics,
    QGuiApplication,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QPushButton,
    QSizePolicy,
    QStackedLayout,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.services.robustness.types import Chart, DataTable, Origin, Panel, Point, Track, Value
from seirenes_app.ui.charts.chart_style import (
    Drawn,
    Pick,
    has_types,
    make_drawn,
    say_interval,
    say_point,
    say_types,
    say_value,
)
from seirenes_app.ui.charts.drawing import DPI, ink
from seirenes_app.ui.charts.figure import draw_panel, save_panel
from seirenes_app.ui.charts.legend import BETWEEN, GAP, ROW, SAMPLE, nearest, paint_sample
from seirenes_app.ui.charts.live_chart import Plot
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SMALL_PX, SPACE_2, SPACE_3, SPACE_4, SPACE_6, current_theme
from seirenes_app.ui.widgets.badges import Badge, BadgeStyle
from seirenes_app.ui.widgets.buttons import make_icon_button
from seirenes_app.ui.widgets.dialogs import MessageDialog
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from training.errors import UserError
from training.runs.files import write_whole

Index = QModelIndex | QPersistentModelIndex
FONT_PX = 13
EMPTY = DataTable((), ())


class DataModel(QAbstractTableModel):
    """Rows as they come."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = EMPTY

    def render_table(self, table: DataTable) -> None:
        """Other data."""
        self.beginResetModel()
        self.table = table
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Rows of the table."""
        return 0 if parent.isValid() else len(self.table.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Columns of the table."""
        return 0 if parent.isValid() else len(self.table.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names of the columns."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._side(section)
        return self.table.columns[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A value as it is read; the tooltip has a long text whole."""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._side(index.column())
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        text = say_cell(self.table.rows[index.row()][index.column()])
        return text if role == Qt.ItemDataRole.DisplayRole or len(text) > 24 else None

    def _side(self, column: int) -> Qt.AlignmentFlag:
        number = any(isinstance(row[column], int | float) for row in self.table.rows[:8])
        side = Qt.AlignmentFlag.AlignRight if number else Qt.AlignmentFlag.AlignLeft
        return side | Qt.AlignmentFlag.AlignVCenter


def say_cell(value: Value) -> str:
    """A value as the table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return (f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1e}").replace("-", "−")


def make_table(name: str, model: DataModel) -> QTableView:
    """A quiet table that shows `model`."""
    table = QTableView()
    table.setModel(model)
    table.setProperty("plain", "true")
    table.setShowGrid(False)
    table.setWordWrap(False)
    font = table.font()
    font.setPixelSize(FONT_PX)
    table.setFont(font)
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


MOVING = BadgeStyle("warning", "Moving Adversary", "warn")
WAITING = "Reading…"
SENTENCE_PX = 13


class FigureCard(QFrame):
    """A titled picture with its table. Subclasses put the picture in, draw it, and save it."""

    said = Signal(str)
    """What was done, for a toast."""

    def __init__(self, title: str, basis: BadgeStyle | None, height: int, parent: QWidget | None = None) -> None:
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

    def _build_card(self, basis: BadgeStyle | None) -> None:
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


class PanelKey(QWidget):
    """Flows over as many rows as it needs. `render_drawn` and `render_cursor` are all that touches it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._drawn: Drawn | None = None
        self._cursor: float | None = None
        self._curve = -1
        self._places: list[QPointF] = []
        self._remark_place = QPointF()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._flow()

    def render_drawn(self, drawn: Drawn | None) -> None:
        """Other data."""
        self._drawn, self._cursor, self._curve = drawn, None, -1
        self._flow()
        self.update()

    def render_cursor(self, x: float | None, curve: int = -1) -> None:
        """Read at x; None reads the newest. `curve` is the one in hand."""
        self._cursor, self._curve = x, curve
        self.update()

    def texts(self, i: int) -> tuple[str, str]:
        """A curve's value and its interval as they are painted; dashes where it has none at the cursor."""
        assert self._drawn is not None
        line, points = self._drawn.lines[i], self._drawn.curves[i].points
        at = len(points) - 1 if self._cursor is None else nearest(line.x, self._cursor)
        if self._cursor is not None and line.x[at] != self._cursor:
            return "–", ""
        unit = self._drawn.unit
        return say_value(points[at].value.mean, unit), say_interval(points[at], unit)

    def text(self) -> str:
        """The whole reading in plain words."""
        if self._drawn is None:
            return ""
        lines = enumerate(self._drawn.lines)
        return "  ·  ".join(" ".join((line.label, *self.texts(i))).strip() for i, line in lines)

    # ------------------------------------------------------------------ layout

    def _font(self, *, bold: bool = False) -> QFont:
        font = QFont(self.font())
        font.setPixelSize(SMALL_PX)
        font.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
        return font

    def _width(self, i: int) -> float:
        # By the widest that can stand there, so that entries stand still under a moving cursor.
        assert self._drawn is not None
        plain, bold = QFontMetrics(self._font()), QFontMetrics(self._font(bold=True))
        wide = "−00.0" if self._drawn.unit == "difference" else "100%"
        band = "[−00.0, −00.0]" if self._drawn.unit == "difference" else "[100, 100]"
        label = plain.horizontalAdvance(self._drawn.lines[i].label)
        return SAMPLE + 3 * GAP + label + bold.horizontalAdvance(wide) + plain.horizontalAdvance(band) + BETWEEN

    @property
    def remark(self) -> str:
        """What hollow points are, where there are any."""
        drawn = self._drawn
        if drawn is None or drawn.stacked or not any(drawn.hollow(i) for i in range(len(drawn.curves))):
            return ""
        return "hollow: only totals are left"

    def _flow(self) -> None:
        x = y = 0.0
        self._places = []
        for i in range(len(self._drawn.lines) if self._drawn is not None else 0):
            width = self._width(i)
            if x and x + width - BETWEEN > self.width():
                x, y = 0.0, y + ROW
            self._places.append(QPointF(x, y))
            x += width
        if self.remark:
            width = QFontMetrics(self._font()).horizontalAdvance(self.remark)
            if x and x + width > self.width():
                x, y = 0.0, y + ROW
            self._remark_place = QPointF(x, y)
        self.setFixedHeight(round(y) + ROW if self._places else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Flow anew."""
        self._flow()

    def sizeHint(self) -> QSize:
        """Any width; as high as its rows."""
        return QSize(100, self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Every entry; the curve in hand is underlined."""
        if self._drawn is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme, middle = current_theme(), Qt.AlignmentFlag.AlignVCenter
        for i, place in enumerate(self._places):
            line, (value, band) = self._drawn.lines[i], self.texts(i)
            paint_sample(painter, line, QRectF(place.x(), place.y(), SAMPLE, ROW))
            x = place.x() + SAMPLE + GAP
            for text, bold, colour in ((line.label, False, "muted"), (value, True, "text"), (band, False, "muted")):
                font = self._font(bold=bold)
                font.setUnderline(i == self._curve and text is line.label)
                painter.setFont(font)
                painter.setPen(theme.colour(colour))
                width = painter.fontMetrics().horizontalAdvance(text)
                painter.drawText(QRectF(x, place.y(), width + 2, ROW), middle, text)
                x += width + GAP
        if self.remark:
            font = self._font()
            font.setItalic(True)
            painter.setFont(font)
            painter.setPen(theme.colour("muted"))
            at = self._remark_place
            painter.drawText(QRectF(at.x(), at.y(), self.width() - at.x(), ROW), middle, self.remark)


REACH = 40.0
"""Within how many pixels a curve is under the mouse."""


class PanelPlot(Plot):
    """Left and Right go from point to point, Up and Down from curve to curve, Enter opens, Escape leaves the plot's
    cursor."""

    chosen = Signal(int, float)
    """(curve, x) whose rows are asked for."""
    curved = Signal(int)
    """The curve in hand, -1 for none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(unit=True, parent=parent)
        self.drawn: Drawn | None = None
        self.curve = -1

    def draw_drawn(self, drawn: Drawn) -> None:
        """Draw the picture anew at the widget's size."""
        if self.drawn is not drawn:
            self.curve, self._cursor = -1, None
        self.drawn = drawn
        self._lines = drawn.lines
        self._steps = sorted({x for line in drawn.lines for x in line.x})
        width, height, ratio = max(80, self.width()), max(60, self.height()), self.devicePixelRatioF()
        self.figure.set_dpi(DPI * ratio)
        self.figure.set_size_inches(width / DPI, height / DPI)
        self._axes = draw_panel(self.figure, drawn, (width, height))
        self._canvas.draw()
        pixels = self._canvas.buffer_rgba()
        rows, columns = pixels.shape[:2]
        image = QImage(pixels.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888).copy()
        image.setDevicePixelRatio(ratio)
        self._image, self._drawn_ratio = image, ratio
        self.update()

    @property
    def cursor_x(self) -> float | None:
        """Where the cursor is."""
        return self._cursor

    # ------------------------------------------------------------------ the curve in hand

    def hold_curve(self, curve: int) -> None:
        """Take a curve in hand."""
        if curve != self.curve:
            self.curve = curve
            self.curved.emit(curve)
            self.update()

    def _curves_here(self) -> list[int]:
        """Curves that have a point under the cursor, from the highest down."""
        if self.drawn is None or self._cursor is None:
            return []
        there = [i for i in range(len(self.drawn.lines)) if self.drawn.point(i, self._cursor) is not None]
        return sorted(there, key=lambda i: self._place(i).y())

    def _place(self, curve: int) -> QPointF:
        assert self.drawn is not None
        assert self._cursor is not None
        line = self.drawn.lines[curve]
        at = list(line.x).index(self._cursor)
        # Of a part of a whole the middle, not the edge.
        value = line.base[at] + line.y[at] / 2 if line.area else line.y[at]
        return self.place_of(self._cursor + self.drawn.shift(curve), value)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The nearest point."""
        super().mouseMoveEvent(event)
        near = min(self._curves_here(), key=lambda i: abs(self._place(i).y() - event.position().y()), default=-1)
        within = near >= 0 and abs(self._place(near).y() - event.position().y()) <= REACH
        self.hold_curve(near if within else -1)
        self.setCursor(Qt.CursorShape.PointingHandCursor if within else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Ask for the rows of the point under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton and self.curve >= 0 and self._cursor is not None:
            self.chosen.emit(self.curve, self._cursor)
        super().mouseReleaseEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing in hand; what the keyboard holds stays."""
        if not self.hasFocus():
            self.hold_curve(-1)
            super().leaveEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move, open, leave."""
        key = Qt.Key(event.key())
        if key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and self._cursor is not None:
            here = self._curves_here()
            step = 1 if key == Qt.Key.Key_Down else -1
            at = here.index(self.curve) + step if self.curve in here else 0
            if here:
                self.hold_curve(here[max(0, min(at, len(here) - 1))])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self._cursor is not None:
            if self.curve >= 0:
                self.chosen.emit(self.curve, self._cursor)
        else:
            super().keyPressEvent(event)
            here = self._curves_here()
            if self.curve not in here:
                self.hold_curve(here[0] if here else -1)

    def _paint_cursor(self, painter: QPainter, step: float) -> None:
        assert self.drawn is not None
        theme, box = current_theme(), self._axes.bbox  # type: ignore[attr-defined]
        top, bottom = self.height() - box.y1 / self._drawn_ratio, self.height() - box.y0 / self._drawn_ratio
        x = self.place_of(step, 0).x()
        painter.setPen(QPen(theme.colour("muted"), 1))
        painter.drawLine(QPointF(x, top), QPointF(x, bottom))
        for i in self._curves_here():
            held = i == self.curve
            painter.setPen(QPen(theme.colour("text" if held else "surface"), 2 if held else 1.5))
            painter.setBrush(theme.colour("surface") if held else QColor(ink(self.drawn.lines[i].colour)))
            painter.drawEllipse(self._place(i), 6.5 if held else 4.5, 6.5 if held else 4.5)
            if held:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(ink(self.drawn.lines[i].colour)))
                painter.drawEllipse(self._place(i), 3.5, 3.5)


class PanelCard(FigureCard):
    """`render_panel` takes what it shows; the drawing waits for its turn."""

    pointAsked = Signal(str, object)
    """(key of the curve, Point)"""

    def __init__(
        self, title: str, basis: BadgeStyle | None, height: int = 200, *, pick: Pick | None = None,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        """`pick` is what it always shows; without one, single types of hint come and go with a button."""
        super().__init__(title, basis, height, parent)
        self._fixed = pick
        self._panel: Panel | None = None
        self._by_step = True
        self.types = QPushButton("Hint types")
        self.types.setCheckable(True)
        self.types.setProperty("chip", "pick")
        self.types.setAccessibleName(f"{title}: show each type of hint")
        self.types.toggled.connect(lambda _on: self._pick())
        self.types.hide()
        self.head.insertWidget(self.head.indexOf(self.place) + 1, self.types)
        self.drawn: Drawn | None = None
        self.key = PanelKey()
        self.above.addWidget(self.key)
        self.plot = PanelPlot()
        self.plot.setAccessibleName(
            f"{title}, plot. Left and Right go from point to point, Up and Down from curve to curve, Enter shows the "
            "rows behind a point."
        )
        self.put_picture(self.plot)
        self.plot.pointed.connect(lambda _x: self._take_cursor())
        self.plot.curved.connect(lambda _c: self._take_cursor())
        self.plot.chosen.connect(self._choose)
        self.render_waiting()

    def render_panel(self, panel: Panel, *, by_step: bool) -> None:
        """Another panel."""
        self._panel, self._by_step = panel, by_step
        self.types.setVisible(self._fixed is None and has_types(panel))
        self._pick()

    def _pick(self) -> None:
        panel = self._panel
        if panel is None:
            return
        chosen = (
            Pick.TYPES if self.types.isChecked() and has_types(panel) else Pick.MAIN if has_types(panel) else Pick.ALL
        )
        drawn = make_drawn(panel, by_step=self._by_step, pick=self._fixed or chosen)
        self.drawn = drawn if drawn.curves else None
        self.plot.point_at(None)
        self.plot.hold_curve(-1)
        self.key.render_drawn(self.drawn)
        words = say_types(panel) if self._fixed is Pick.TYPES and drawn.curves else panel.sentence
        self.render_words(words, panel.note, panel.table, empty=self.drawn is None)
        self._take_cursor()

    def render_waiting(self) -> None:
        """Nothing yet."""
        self.drawn = self._panel = None
        self.key.render_drawn(None)
        super().render_waiting()

    def render_nothing(self, why: str) -> None:
        """There is no such chart, and why."""
        self.render_waiting()
        self.render_words(why, "", EMPTY, empty=True)

    def draw(self) -> None:
        """The plot, at the size it has."""
        if self.drawn is not None:
            self.plot.draw_drawn(self.drawn)

    def save_picture(self, path: Path) -> None:
        """A file that stands alone."""
        if self.drawn is not None:
            words = self.sentence.text(), self.note.text()
            save_panel(path, self.heading.text(), self.context, self.drawn, *words)

    def _take_cursor(self) -> None:
        x, curve = self.plot.cursor_x, self.plot.curve
        self.key.render_cursor(x, curve)
        if self.drawn is None:
            self.place.setText("")
            return
        point = self.drawn.point(curve, x) if x is not None else None
        problems = f" · {point.problems:,} problems" if point is not None else ""
        self.place.setText("" if x is None else f"{self.drawn.label(x)}{problems}")
        said = say_point(self.drawn, curve, x) if point is not None and x is not None else self.key.text()
        self.plot.setAccessibleDescription(said)

    def _choose(self, curve: int, x: float) -> None:
        point: Point | None = self.drawn.point(curve, x) if self.drawn is not None else None
        if point is not None and self.drawn is not None:
            self.pointAsked.emit(self.drawn.curves[curve].key, point)


WIDE = 1500
TYPES = "types"


@dataclass(frozen=True)
class CardSpec:
    """One card: its title, the chart it shows, and which curves of it."""

    key: str
    title: str
    chart: Chart
    pick: Pick | None = None
    height: int = 210


CARDS = (
    CardSpec("accuracy", "Accuracy", Chart.ACCURACY, Pick.MAIN, 250),
    CardSpec(TYPES, "Accuracy by hint type", Chart.ACCURACY, Pick.TYPES, 250),
    CardSpec("gap", "Paired gap", Chart.GAP),
    CardSpec("flips", "What a hint turns", Chart.FLIPS, Pick.ALL),
    CardSpec("worst", "Worst of k and its placebo", Chart.WORST_OF_K, Pick.ALL),
    CardSpec("generalisation", "Generalisation gap", Chart.GENERALISATION, Pick.ALL),
    CardSpec("drop", "Performance drop rate", Chart.DROP_RATE),
    CardSpec("follow", "Follow rate", Chart.FOLLOW_RATE),
)
ADVERSARY = CardSpec("adversary", "Against the Adversary of each step", Chart.ADVERSARY, Pick.ALL, 190)


class ChartGrid(QWidget):
    """`render_track` empties it, `render_panel` fills it chart by chart, `draw_next` draws one."""

    pointAsked = Signal(str, object)
    """(key of the curve, Point)"""
    said = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards = {s.key: PanelCard(s.title, None, s.height, pick=s.pick) for s in CARDS}
        self.adversary = PanelCard(ADVERSARY.title, MOVING, ADVERSARY.height, pick=Pick.ALL)
        self.adversary.setProperty("card", "warn")
        self.adversary.noted = True
        self._specs = {s.key: s for s in (*CARDS, ADVERSARY)}
        self._columns = self._turn = 0
        self._by_step = True
        self._build()
        for card in self.all_cards.values():
            card.pointAsked.connect(self.pointAsked)
            card.said.connect(self.said)

    @property
    def all_cards(self) -> Mapping[str, PanelCard]:
        """Every card by its key, in their order."""
        return {**self.cards, ADVERSARY.key: self.adversary}

    @property
    def shown_cards(self) -> Mapping[str, PanelCard]:
        """Those that the track has charts for."""
        return self.cards if self._moving.isHidden() else self.all_cards

    def _build(self) -> None:
        self.about = make_label("", "muted", wrap=True)
        self._grid = QGridLayout()
        self._grid.setSpacing(SPACE_4)
        self._moving = QWidget()
        column = QVBoxLayout(self._moving)
        column.setContentsMargins(0, SPACE_6, 0, 0)
        column.setSpacing(SPACE_2)
        column.addWidget(make_label("Current Adversary", "heading"))
        column.addWidget(make_label(
            "Each step's own problems and hints. Both change with every step, so these curves are kept apart: they "
            "tell how the game goes, not how robust the model is.", "muted", wrap=True,
        ))  # fmt: skip
        column.addWidget(self.adversary)
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(SPACE_2)
        body.addWidget(make_label("Frozen suite", "heading"))
        body.addWidget(self.about)
        body.addSpacing(SPACE_2)
        body.addLayout(self._grid)
        body.addWidget(self._moving)
        self.lay_out()

    # ------------------------------------------------------------------ render

    def render_track(self, track: Track | None) -> None:
        """Another track: every card waits for its panel."""
        self._by_step = track is None or track.by_step
        self._moving.setVisible(track is not None and track.origin is Origin.RUN)
        self.about.setText("" if track is None else say_track(track))
        for card in self.all_cards.values():
            card.context = "" if track is None else f"{track.run or track.title}  ·  {track.suite}"
            card.render_waiting()
        self.adversary.context = "" if track is None else f"{track.run}  ·  not comparable over steps"

    def render_panel(self, chart: Chart, panel: Panel) -> None:
        """A panel came: whoever shows it takes it."""
        for key, card in self.all_cards.items():
            if self._specs[key].chart is chart:
                by_step = self._by_step or chart is Chart.ADVERSARY
                card.render_panel(panel, by_step=by_step)

    def render_failed(self, chart: Chart, text: str) -> None:
        """A chart that cannot be made, and why."""
        for key, card in self.all_cards.items():
            if self._specs[key].chart is chart:
                card.render_nothing(text)

    def mark_stale(self) -> None:
        """All anew: the theme changed."""
        for card in self.all_cards.values():
            card.mark_stale()
            card.key.update()

    def draw_next(self) -> bool:
        """Draw the next stale chart in view, in turn; False when there is none."""
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
        """Two columns, three in a wide window."""
        columns = 3 if self.width() >= WIDE else 2
        if columns == self._columns:
            return
        self._columns = columns
        for i, card in enumerate(self.cards.values()):
            self._grid.removeWidget(card)
            last = i == len(self.cards) - 1
            self._grid.addWidget(card, i // columns, i % columns, 1, columns - i % columns if last else 1)
        for column in range(3):
            self._grid.setColumnStretch(column, int(column < columns))
        if columns == 3:
            for column in range(3):
                self._grid.setColumnMinimumWidth(column, 0)


def say_track(track: Track) -> str:
    """What every point of the section was measured on."""
    who = "every checkpoint" if track.by_step else "every model"
    return (
        f"{track.suite}: the same {track.problems:,} problems and texts for {who}, so points can be compared.  "
        f"Asked {track.asking}.  Hash {track.suite_hash[:12]}."
    )  # fmt: skip
