"""The presets to start from, a tile each: name and one line. One at most is chosen."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QGridLayout, QSizePolicy, QWidget

from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import SMALL_PX, SPACE_2, current_theme
from training.rundir.config_io import Preset

ORDER = ("demo", "quick", "long", "clean_rl", "static", "random", "small-gpu")
TITLES = {
    "demo": "Demo", "quick": "Quick", "long": "Long", "clean_rl": "Clean RL", "static": "Static adversary",
    "random": "Random hints", "small-gpu": "Small GPU",
}  # fmt: skip
NARROWEST = 168
HEIGHT = 84


def in_order(names: Mapping[str, Preset]) -> list[str]:
    """The presets that ship in their order, then any other."""
    return [name for name in ORDER if name in names] + [name for name in names if name not in ORDER]


class Tile(QAbstractButton):
    """A name and up to three lines about it; chosen, it has a check mark and a strong border."""

    def __init__(self, preset: Preset, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._about = preset.description
        self.setText(TITLES.get(preset.name, preset.name))
        self.setCheckable(True)
        self.setAccessibleName(f"Preset {self.text()}")
        self.setAccessibleDescription(preset.description)
        self.setToolTip(preset.description)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """As narrow as a tile may be."""
        return QSize(NARROWEST, HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Ground, border, name, lines."""
        theme, chosen = current_theme(), self.isChecked()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        inset = 1.0 if chosen or self.hasFocus() else 0.5
        strong = chosen or self.hasFocus()
        painter.setPen(QPen(theme.colour("accent" if strong else "border"), 2 * inset))
        painter.setBrush(theme.colour("raised" if self.underMouse() and not chosen else "surface"))
        rect = QRectF(self.rect()).adjusted(inset, inset, -inset, -inset)
        painter.drawRoundedRect(rect, 8, 8)
        if self.hasFocus():
            painter.setPen(QPen(theme.colour("accent"), 1, Qt.PenStyle.DotLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(3, 3, -3, -3), 6, 6)
        font = QFont(self.font())
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.setPen(theme.colour("text"))
        painter.drawText(QRectF(14, 9, self.width() - 44, 20), Qt.AlignmentFlag.AlignVCenter, self.text())
        if chosen:
            draw_svg(painter, "check-circle", QRectF(self.width() - 30, 10, 18, 18), theme.accent)
        font = QFont(self.font())
        font.setPixelSize(SMALL_PX)
        painter.setFont(font)
        painter.setPen(theme.colour("muted"))
        flags = Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
        painter.drawText(QRectF(14, 31, self.width() - 26, HEIGHT - 36), flags, self._about)


class PresetTiles(QWidget):
    """As many tiles in a row as there is room for."""

    chosen = Signal(str)

    def __init__(self, presets: Mapping[str, Preset], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tiles = {name: Tile(presets[name]) for name in in_order(presets)}
        self._columns = 0
        self._group = QButtonGroup(self)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(SPACE_2)
        self.setAccessibleName("Presets")
        for name, tile in self.tiles.items():
            self._group.addButton(tile)
            tile.clicked.connect(lambda _on=False, n=name: self.chosen.emit(n))
        self._flow(4)

    def render_chosen(self, name: str) -> None:
        """Mark a preset, or none for any other name."""
        self._group.setExclusive(False)
        for key, tile in self.tiles.items():
            tile.setChecked(key == name)
        self._group.setExclusive(name in self.tiles)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Reflow."""
        self._flow(max(2, min(len(self.tiles), (self.width() + SPACE_2) // (NARROWEST + SPACE_2))))

    def _flow(self, columns: int) -> None:
        if columns == self._columns:
            return
        for i, tile in enumerate(self.tiles.values()):
            self._grid.removeWidget(tile)
            self._grid.addWidget(tile, i // columns, i % columns)
        for column in range(max(columns, self._columns)):
            self._grid.setColumnStretch(column, int(column < columns))
        self._columns = columns
