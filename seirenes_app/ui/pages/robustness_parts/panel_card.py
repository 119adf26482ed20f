"""A panel in a card: key, plot, table, sentence. A point that is clicked asks for the rows behind it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QPushButton, QWidget

from seirenes_app.lab.robustness.values import Panel, Point
from seirenes_app.ui.pages.robustness_parts.card import FigureCard
from seirenes_app.ui.pages.robustness_parts.data_table import EMPTY
from seirenes_app.ui.pages.robustness_parts.looks import Drawn, Pick, has_types, make_drawn, say_point, say_types
from seirenes_app.ui.pages.robustness_parts.panel_figure import save_panel
from seirenes_app.ui.pages.robustness_parts.panel_key import PanelKey
from seirenes_app.ui.pages.robustness_parts.panel_plot import PanelPlot
from seirenes_app.ui.widgets.badges import Look


class PanelCard(FigureCard):
    """`render_panel` takes what it shows; the drawing waits for its turn."""

    pointAsked = Signal(str, object)
    """(key of the curve, Point)"""

    def __init__(
        self, title: str, basis: Look | None, height: int = 200, *, pick: Pick | None = None,
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
