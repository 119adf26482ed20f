"""Line charts with bands for runs: matplotlib on a Qt canvas, drawn at most one at a time, decimated."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtWidgets import QFileDialog, QMenu, QSizePolicy, QVBoxLayout, QWidget

from seirenes_app.ui.theme import current_theme
from seirenes_app.ui.widgets.labels import make_label

MAX_POINTS = 2000


@dataclass(frozen=True)
class Line:
    """One series; `low` and `high` make a band, or error bars where `points` is set. `colour` names a theme colour."""

    label: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    style: str = "-"
    marker: str = ""
    points: bool = False


def decimate(x: Sequence[float], y: Sequence[float], limit: int = MAX_POINTS) -> tuple[list[float], list[float]]:
    """Keep each bin's minimum and maximum, so that no spike is lost: at most about `limit` points."""
    if len(x) <= limit:
        return list(x), list(y)
    size = -(-2 * len(x) // limit)
    kept: list[int] = []
    for start in range(0, len(x), size):
        part = range(start, min(start + size, len(x)))
        kept += sorted({min(part, key=y.__getitem__), max(part, key=y.__getitem__)})
    return [x[i] for i in kept], [y[i] for i in kept]


class Chart(QWidget):
    """A titled chart. `render_lines` marks it stale; `draw_if_stale` does the work when the page says so."""

    def __init__(self, title: str, *, unit: bool = False, height: int = 200, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self._unit = title, unit
        self._lines: list[Line] = []
        self._stale = True
        self.figure = Figure(layout="constrained")
        self.canvas = FigureCanvasQTAgg(self.figure)
        self.canvas.setMinimumHeight(height)
        self.canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.canvas.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.canvas.customContextMenuRequested.connect(self._open_menu)
        self.canvas.mpl_connect("motion_notify_event", self._hover)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self.heading = make_label(title, "heading")
        self.reading = make_label("", "small")
        # Its text must not decide how wide the chart is.
        self.reading.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        column.addWidget(self.heading)
        column.addWidget(self.canvas, 1)
        column.addWidget(self.reading)
        self.setAccessibleName(title)

    def render_lines(self, lines: Sequence[Line]) -> None:
        """Take new data; the drawing waits."""
        self._lines = [line for line in lines if len(line.x)]
        self._stale = True
        last = "  ·  ".join(f"{x.label} {x.y[-1]:.3g}" for x in self._lines)
        self.reading.setText(last)
        self.reading.setToolTip(last)
        self.setAccessibleDescription(f"{self.title}: {last or 'no data yet'}")

    def mark_stale(self) -> None:
        """Draw anew next time: the theme or the size changed."""
        self._stale = True

    def draw_if_stale(self) -> bool:
        """Draw now if anything changed; returns whether it did."""
        if not self._stale or not self.isVisible():
            return False
        self._stale = False
        self._paint()
        self.canvas.draw_idle()
        return True

    def _paint(self) -> None:
        theme = current_theme()
        self.figure.clear()
        self.figure.set_facecolor(theme.background)
        axes = self.figure.add_subplot()
        axes.set_facecolor(theme.background)
        for line in self._lines:
            self._paint_line(axes, line)
        axes.grid(color=theme.grid, lw=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(theme.border)
        axes.tick_params(colors=theme.muted, labelsize=8, length=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if self._unit:
            axes.set_ylim(-0.02, 1.02)
        if not self._lines:
            axes.text(0.5, 0.5, "no data yet", color=theme.muted, ha="center", transform=axes.transAxes)
            axes.set_xticks([])
            axes.set_yticks([])
        elif len(self._lines) > 1:
            # Outside of the axes, so that it never lies on a line.
            columns = 4 if self.width() >= 640 else 2
            self.figure.legend(
                frameon=False, fontsize=8, labelcolor=theme.text, loc="outside upper left", ncols=columns
            )

    def _paint_line(self, axes: object, line: Line) -> None:
        colour = getattr(current_theme(), line.colour)
        if line.points and len(line.low):
            errors = [[y - lo for y, lo in zip(line.y, line.low, strict=True)],
                      [hi - y for y, hi in zip(line.y, line.high, strict=True)]]  # fmt: skip
            axes.errorbar(  # type: ignore[attr-defined]
                line.x, line.y, yerr=errors, color=colour, marker=line.marker or "o", ms=5, lw=1.6, capsize=3,
                ls=line.style, label=line.label,
            )  # fmt: skip
            return
        x, y = decimate(line.x, line.y)
        axes.plot(x, y, color=colour, ls=line.style, marker=line.marker, ms=3, lw=1.4, label=line.label)  # type: ignore[attr-defined]
        if len(line.low):
            axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.13, lw=0)  # type: ignore[attr-defined]

    def _hover(self, event: object) -> None:
        where = getattr(event, "xdata", None)
        if where is None or not self._lines:
            return
        parts = []
        for line in self._lines:
            i = min(range(len(line.x)), key=lambda k: abs(line.x[k] - where))
            parts.append(f"{line.label} {line.y[i]:.3g} at step {line.x[i]:.0f}")
        self.reading.setText("  ·  ".join(parts))

    # ------------------------------------------------------------------ taking it along

    def _open_menu(self, place: QPoint) -> None:
        self.make_menu().popup(self.canvas.mapToGlobal(place))

    def make_menu(self) -> QMenu:
        """Copy and save."""
        menu = QMenu(self)
        for text, does in (("Copy as image", self._copy), ("Save as PNG, SVG or CSV…", self._ask_save)):
            action = QAction(text, menu)
            action.triggered.connect(lambda *_, d=does: d())
            menu.addAction(action)
        return menu

    def _copy(self) -> None:
        QGuiApplication.clipboard().setPixmap(self.canvas.grab())

    def _ask_save(self) -> None:
        kinds = "PNG (*.png);;SVG (*.svg);;CSV (*.csv)"
        name, _ = QFileDialog.getSaveFileName(self, "Save the chart", f"{self.title}.png", kinds)
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """By the file's ending: .csv the data, anything matplotlib knows the picture."""
        if path.suffix == ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file)
                rows.writerow(["series", "step", "value", "low", "high"])
                for line in self._lines:
                    for i, (x, y) in enumerate(zip(line.x, line.y, strict=True)):
                        band = (line.low[i], line.high[i]) if len(line.low) else ("", "")
                        rows.writerow([line.label, x, y, *band])
            return
        self._paint()
        self.figure.savefig(path, dpi=150)
