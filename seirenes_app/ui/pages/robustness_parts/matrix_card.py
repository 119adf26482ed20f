"""Cross-play in a card: the matrix, its table, its sentences, and the picture of it for a file."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from seirenes_app.lab.robustness.values import MatrixPanel
from seirenes_app.ui.pages.robustness_parts.card import FigureCard
from seirenes_app.ui.pages.robustness_parts.data_table import EMPTY
from seirenes_app.ui.pages.robustness_parts.matrix_table import FAINT, HEIGHT, STRONG, MatrixTable, short_name
from seirenes_app.ui.theme import LIGHT
from seirenes_app.ui.widgets.chart_drawing import chart_family
from seirenes_app.ui.widgets.labels import make_label

LEGEND = "Rows: Reasoners.  Columns: whose hints.  The stronger the ground, the more is right; dashed: its own hints."
ROOM = 52
MOST_ROWS = 10


class MatrixCard(FigureCard):
    """The table paints itself; nothing waits for a turn."""

    cellAsked = Signal(object)
    """MatrixCell"""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Cross-play", None, 220, parent)
        self.matrix = MatrixTable()
        self.legend = make_label(LEGEND, "small", wrap=True)
        self.above.addWidget(self.legend)
        self.put_picture(self.matrix)
        self.matrix.cellAsked.connect(self.cellAsked)
        self.matrix.pointed.connect(self._point)
        self.render_waiting()

    def render_panel(self, panel: MatrixPanel) -> None:
        """Another matrix."""
        self.heading.setText(panel.title)
        self.matrix.render_panel(panel)
        rows = min(MOST_ROWS, len(panel.reasoners) + 1)
        self.matrix.setMinimumHeight(rows * HEIGHT + ROOM)
        self.render_words("\n".join(panel.sentences), panel.note, panel.table, empty=not panel.reasoners)

    def render_nothing(self, why: str) -> None:
        """There is no matrix, and how to get one."""
        self.heading.setText(self.title)
        self.matrix.render_panel(None)
        self.render_words(why, "", EMPTY, empty=True)

    def _point(self, words: str) -> None:
        self.place.setText(words)
        self.matrix.setAccessibleDescription(words)

    def draw(self) -> None:
        """The theme changed."""
        self.matrix.viewport().update()

    def save_picture(self, path: Path) -> None:
        """A file that stands alone."""
        if self.matrix.cells.panel is not None:
            save_matrix(path, self.matrix.cells.panel)


def save_matrix(path: Path, panel: MatrixPanel) -> None:
    """The matrix with its values, title and sentences, always light; by the file's ending."""
    rows, columns = len(panel.reasoners), len(panel.writers)
    words = textwrap.wrap(
        " ".join(panel.sentences).replace("$", r"\$"), round(14.5 * max(7.0, 2.2 + 0.78 * (columns + 2)))
    )[:8]
    size = (max(7.0, 2.2 + 0.78 * (columns + 2)), 1.9 + 0.5 * (rows + 1) + 0.18 * len(words))
    figure = Figure(figsize=size, dpi=100, facecolor=LIGHT.surface)
    FigureCanvasAgg(figure)
    below = (0.35 + 0.18 * len(words)) / size[1]
    axes = figure.add_axes((1.35 / size[0], below, 1 - 1.6 / size[0], 1 - below - 1.15 / size[1]))
    values = [c.value.mean for row in panel.cells for c in row if c.value is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    for i in range(rows):
        for j in range(columns):
            cell = panel.cells[i][j]
            strength = 0.5 if high <= low or cell.value is None else (cell.value.mean - low) / (high - low)
            _box(axes, i, j, FAINT + (STRONG - FAINT) * strength, own=cell.own)
            _write(axes, i, j, cell.value)
        _write(axes, i, columns, panel.row_means[i])
        _write(axes, i, columns + 1, panel.clean[i])
    for j in range(columns):
        _write(axes, rows, j, panel.column_means[j])
    axes.set_xlim(0, columns + 2)
    axes.set_ylim(rows + 1, 0)
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    names = [*map(short_name, panel.writers), "mean", "clean"], [*map(short_name, panel.reasoners), "mean"]
    axes.set_xticks([j + 0.5 for j in range(columns + 2)], names[0])
    axes.set_yticks([i + 0.5 for i in range(rows + 1)], names[1])
    axes.tick_params(length=0, labelsize=8, colors=LIGHT.muted, labelfontfamily=chart_family())
    axes.set_xlabel("hints by", color=LIGHT.muted, fontsize=8, loc="left")
    axes.set_ylabel("Reasoner", color=LIGHT.muted, fontsize=8)
    figure.text(0.2 / size[0], 1 - 0.2 / size[1], panel.title.replace("$", r"\$"), fontsize=12, fontweight="bold",
                color=LIGHT.text, va="top", fontfamily=chart_family())  # fmt: skip
    figure.text(0.2 / size[0], 0.15 / size[1], "\n".join(words), fontsize=8, color=LIGHT.muted, va="bottom",
                linespacing=1.45, fontfamily=chart_family())  # fmt: skip
    figure.savefig(path, dpi=200, facecolor=LIGHT.surface)


def _box(axes: Any, row: int, column: int, alpha: float, *, own: bool) -> None:
    place = (column + 0.03, row + 0.04)
    axes.add_patch(Rectangle(place, 0.94, 0.92, facecolor=LIGHT.clean, alpha=alpha, lw=0))
    if own:
        axes.add_patch(
            Rectangle(place, 0.94, 0.92, facecolor="none", edgecolor=LIGHT.adversary, lw=1.2, ls=(0, (4, 2)))
        )


def _write(axes: Any, row: int, column: int, value: Any) -> None:
    if value is None:
        return
    text = f"{100 * value.mean:.0f} %\n[{100 * value.low:.0f}, {100 * value.high:.0f}]"
    axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8, color=LIGHT.text,
              fontfamily=chart_family())  # fmt: skip
