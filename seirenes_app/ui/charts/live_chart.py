"""A chart's data as a table: a row a step, a column a line. Reads the lines; copies none of them.

A live chart in a card: title, key that is its reading, plot, menu. It draws only when it is told to.

`mark_stale` is cheap and may be called with every event; `draw_if_stale` asks for the lines and draws them. The plot is
matplotlib's Agg picture, painted by the widget itself: a resize shows it scaled until its turn comes, and the cursor is
painted over it without a new draw."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
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
from PySide6.QtGui import QAction, QGuiApplication, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QSizePolicy,
    QStackedLayout,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.ui.charts.drawing import DPI, Line, draw_figure, ink
from seirenes_app.ui.charts.legend import ChartKey, nearest
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SPACE_2, SPACE_3, current_theme
from seirenes_app.ui.widgets.buttons import make_icon_button
from seirenes_app.ui.widgets.dialogs import MessageDialog
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label

Index = QModelIndex | QPersistentModelIndex


class ChartTable(QAbstractTableModel):
    """The newest step on top."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._lines: list[Line] = []
        self._rows: list[float] = []
        self._at: list[dict[float, int]] = []

    def render_lines(self, lines: Sequence[Line]) -> None:
        """Other data."""
        self.beginResetModel()
        self._lines = [line for line in lines if line.keyed]
        self._at = [{x: i for i, x in enumerate(line.x)} for line in self._lines]
        self._rows = sorted({x for line in self._lines for x in line.x}, reverse=True)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Steps that any line has."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """The step, then the lines."""
        return 0 if parent.isValid() else len(self._lines) + 1

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names of the lines."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return "step" if section == 0 else self._lines[section - 1].label

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A value with its interval where it has one; "" where the step has none."""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        step = self._rows[index.row()]
        if index.column() == 0:
            return f"{step:.0f}"
        line, i = self._lines[index.column() - 1], self._at[index.column() - 1].get(step)
        if i is None:
            return ""
        interval = f"  [{line.low[i]:.3f}, {line.high[i]:.3f}]" if len(line.low) == len(line.x) else ""
        return f"{line.y[i]:.4g}{interval}"


def write_csv(path: Path, lines: Sequence[Line]) -> None:
    """One row a point: series, step, value, low, high."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["series", "step", "value", "low", "high"])
        for line in lines:
            banded = len(line.low) == len(line.x)
            for i, (x, y) in enumerate(zip(line.x, line.y, strict=True)):
                rows.writerow([line.label, x, y, *((line.low[i], line.high[i]) if banded else ("", ""))])


class Plot(QWidget):
    """The picture and the cursor on it. The mouse moves the cursor; so do Left, Right, Home, End; Escape hides it."""

    pointed = Signal(object)
    """The step under the cursor, or None."""

    def __init__(self, *, unit: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._unit = unit
        self._lines: Sequence[Line] = ()
        self._steps: list[float] = []
        self._cursor: float | None = None
        self._image: QImage | None = None
        self._axes: object = None
        self._drawn_ratio = 1.0
        self.figure = Figure(dpi=DPI)
        self._canvas = FigureCanvasAgg(self.figure)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def draw(self, lines: Sequence[Line]) -> None:
        """Draw the picture anew at the widget's size."""
        self._lines = lines
        self._steps = sorted({x for line in lines for x in line.x})
        width, height, ratio = max(80, self.width()), max(60, self.height()), self.devicePixelRatioF()
        self.figure.set_dpi(DPI * ratio)
        self.figure.set_size_inches(width / DPI, height / DPI)
        self._axes = draw_figure(self.figure, lines, (width, height), unit=self._unit)
        self._canvas.draw()
        pixels = self._canvas.buffer_rgba()
        rows, columns = pixels.shape[:2]
        image = QImage(pixels.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888).copy()
        image.setDevicePixelRatio(ratio)
        self._image, self._drawn_ratio = image, ratio
        self.update()

    def save(self, path: Path) -> None:
        """By the file's ending, anything matplotlib knows; at twice the screen's resolution."""
        self.draw(self._lines)
        self.figure.savefig(path, dpi=2 * DPI, facecolor=current_theme().surface)

    def sizeHint(self) -> QSize:
        """Wider than high."""
        return QSize(320, 180)

    # ------------------------------------------------------------------ the cursor

    def place_of(self, step: float, value: float) -> QPointF:
        """Where a point of the data is, in the widget's pixels."""
        x, y = self._axes.transData.transform((step, value))  # type: ignore[attr-defined]
        return QPointF(x / self._drawn_ratio, self.height() - y / self._drawn_ratio)

    def _step_at(self, pixel: float) -> float | None:
        if self._axes is None or not self._steps:
            return None
        inverse = self._axes.transData.inverted()  # type: ignore[attr-defined]
        wanted = inverse.transform((pixel * self._drawn_ratio, 0))[0]
        return self._steps[nearest(self._steps, wanted)]

    def point_at(self, step: float | None) -> None:
        """Put the cursor on a step, or away."""
        if step != self._cursor:
            self._cursor = step
            self.pointed.emit(step)
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The nearest step."""
        self.point_at(self._step_at(event.position().x()))

    def leaveEvent(self, event: QEvent) -> None:
        """Back to the newest values."""
        self.point_at(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the cursor from the keyboard."""
        moves = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        if event.key() in moves and self._steps:
            here = len(self._steps) if self._cursor is None else bisect_left(self._steps, self._cursor)
            there = min(max(here + moves[Qt.Key(event.key())], 0), len(self._steps) - 1)
            self.point_at(self._steps[there])
        elif event.key() in (Qt.Key.Key_Home, Qt.Key.Key_End) and self._steps:
            self.point_at(self._steps[0 if event.key() == Qt.Key.Key_Home else -1])
        elif event.key() == Qt.Key.Key_Escape and self._cursor is not None:
            self.point_at(None)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The picture, the cursor, the ring of the keyboard's focus."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._image is not None:
            painter.drawImage(QRectF(self.rect()), self._image)
        if self._cursor is not None and self._axes is not None:
            self._paint_cursor(painter, self._cursor)
        if self.hasFocus():
            painter.setPen(QPen(current_theme().colour("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 6, 6)

    def _paint_cursor(self, painter: QPainter, step: float) -> None:
        theme = current_theme()
        box = self._axes.bbox  # type: ignore[attr-defined]
        top, bottom = self.height() - box.y1 / self._drawn_ratio, self.height() - box.y0 / self._drawn_ratio
        x = self.place_of(step, 0).x()
        painter.setPen(QPen(theme.colour("muted"), 1))
        painter.drawLine(QPointF(x, top), QPointF(x, bottom))
        for line in self._lines:
            if line.keyed and len(line.x) and line.x[i := nearest(line.x, step)] == step:
                painter.setPen(QPen(theme.colour("surface"), 1.5))
                painter.setBrush(theme.colour(line.colour) if not line.colour.startswith("#") else ink(line.colour))
                painter.drawEllipse(self.place_of(step, line.height(i)), 4.5, 4.5)


class Chart(QFrame):
    """A titled chart. `render_lines` and `render_source` mark it stale; `draw_if_stale` does the work."""

    def __init__(
        self, title: str, note: str = "", *, unit: bool = False, height: int = 170, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.title, self._unit = title, unit
        self._source: Callable[[], Sequence[Line]] = list
        self._lines: list[Line] = []
        self._stale = True
        self._drawn_size = QSize()
        self._build(note, height)
        self._connect()

    def _build(self, note: str, height: int) -> None:
        self.setProperty("card", "true")
        self.setAccessibleName(self.title)
        self.heading = make_card_heading(self.title)
        self.note = ElidedLabel("small")
        self.note.setText(note)
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.step = make_label("", "small")
        self.menu_button = make_icon_button("export", f"{self.title}: copy, save, show as table")
        head = QHBoxLayout()
        head.setSpacing(SPACE_3)
        head.addWidget(self.heading)
        head.addWidget(self.note, 1)
        head.addWidget(self.step)
        head.addWidget(self.menu_button)
        self.reading = ChartKey(unit=self._unit)
        self.plot = Plot(unit=self._unit)
        self.plot.setAccessibleName(f"{self.title}, plot. Left and Right read its values.")
        self.plot.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.empty = make_label("", "muted", wrap=True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._model = ChartTable(self)
        self.table = self._build_table()
        holder = QWidget()
        holder.setMinimumHeight(height)
        self._stack = QStackedLayout(holder)
        for page in (self.empty, self.plot, self.table):
            self._stack.addWidget(page)
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 10, 10, 10)
        column.setSpacing(SPACE_2)
        column.addLayout(head)
        column.addWidget(self.reading)
        column.addWidget(holder, 1)

    def _build_table(self) -> QTableView:
        table = QTableView()
        table.setModel(self._model)
        table.setProperty("plain", "true")
        table.setShowGrid(False)
        table.setAccessibleName(f"{self.title}, as a table")
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(24)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        return table

    def _connect(self) -> None:
        self.plot.pointed.connect(self._take_cursor)
        self.plot.customContextMenuRequested.connect(lambda at: self.make_menu().popup(self.plot.mapToGlobal(at)))
        button = self.menu_button
        button.clicked.connect(lambda: self.make_menu().popup(button.mapToGlobal(button.rect().bottomLeft())))

    # ------------------------------------------------------------------ render

    def render_lines(self, lines: Sequence[Line]) -> None:
        """These lines; the drawing waits."""
        kept = list(lines)
        self.render_source(lambda: kept)

    def render_source(self, source: Callable[[], Sequence[Line]], empty: str = "No data yet.") -> None:
        """Lines that `source` gives when the chart is drawn; `empty` is said where it gives none."""
        self._source = source
        self.empty.setText(empty)
        self._stale = True

    def mark_stale(self) -> None:
        """Draw anew next time: the theme changed."""
        self._stale = True

    def draw_if_stale(self) -> bool:
        """Draw now if anything changed, the size included; returns whether it did."""
        if not self.isVisible() or not (self._stale or self._drawn_size != self.plot.size()):
            return False
        self._stale = False
        self._draw()
        return True

    def _draw(self) -> None:
        self._lines = [line for line in self._source() if len(line.x)]
        self.reading.render_lines(self._lines)
        tabled = self._stack.currentWidget() is self.table
        if not self._lines:
            self._stack.setCurrentWidget(self.empty)
        elif tabled:
            self._model.render_lines(self._lines)
        else:
            self._stack.setCurrentWidget(self.plot)
            self.plot.draw(self._lines)
        self._drawn_size = self.plot.size()
        self.setAccessibleDescription(self.reading.text() or self.empty.text())

    def _take_cursor(self, step: float | None) -> None:
        self.reading.render_cursor(step)
        self.step.setText("" if step is None else f"step {step:.0f}")
        said = f"step {step:.0f}: {self.reading.text()}" if step is not None else self.reading.text()
        self.plot.setAccessibleDescription(said)

    # ------------------------------------------------------------------ taking it along

    @property
    def tabled(self) -> bool:
        """Whether the table is shown in the plot's place."""
        return self._stack.currentWidget() is self.table

    def make_menu(self) -> QMenu:
        """Copy, save, and the other form."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for text, icon, does in (
            ("Copy as image", "copy", self.copy_image),
            ("Save as PNG, SVG or CSV…", "save", self._ask_save),
            ("Show as chart" if self.tabled else "Show as table", "chart" if self.tabled else "log", self.toggle_table),
        ):
            action = QAction(text, menu)
            set_icon(action, icon, "muted")
            action.setEnabled(bool(self._lines))
            action.triggered.connect(lambda *_, d=does: d())
            menu.addAction(action)
        return menu

    def toggle_table(self) -> None:
        """The table in place of the plot, and back."""
        self._stack.setCurrentWidget(self.plot if self.tabled else self.table)
        self._draw()

    def copy_image(self) -> None:
        """The whole card to the clipboard."""
        QGuiApplication.clipboard().setPixmap(self.grab())

    def _ask_save(self) -> None:
        kinds = "PNG (*.png);;SVG (*.svg);;CSV (*.csv)"
        name, _ = QFileDialog.getSaveFileName(self, "Save the chart", f"{self.title}.png", kinds)
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """By the file's ending: .csv the data, .png and .svg the picture; told in words where it cannot be written."""
        try:
            if path.suffix == ".csv":
                write_csv(path, self._lines)
            else:
                self.plot.save(path)
        except (OSError, ValueError) as error:
            MessageDialog("The chart was not saved", f"{path}: {error}", self).open()


def make_card_heading(text: str) -> QLabel:
    """A card's own heading: smaller than a section's."""
    label = make_label(text)
    font = label.font()
    font.setPixelSize(15)
    font.setWeight(font.Weight.DemiBold)
    label.setFont(font)
    return label
