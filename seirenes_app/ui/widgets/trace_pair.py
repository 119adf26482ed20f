"""Two solutions side by side, step by step, with the first difference marked. The alignment is computed elsewhere."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFont, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QLabel, QWidget

from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import SMALL_PX, SPACE_1, SPACE_2, current_theme, sized_font
from seirenes_app.ui.widgets.badges import Badge, BadgeStyle
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label, wrap_anywhere

if TYPE_CHECKING:
    from seirenes_app.services.attribution.alignment import Alignment, StepPair

GUTTER = 36
PAD = 8
TAG = 24
AT_ONCE = 8  # Rows shown at a time: ninety at once would block the window for more than 100 ms
FIRST_DIFFERENCE = "First difference"
FIRST_NUMBER = "First different number"


class _Gutter(QWidget):
    """The sign between two steps: equal, different, or only on one side."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sign = ""
        self.setFixedWidth(GUTTER)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter = current_theme(), QPainter(self)
        weight = QFont.Weight.Normal if self.sign == "=" else QFont.Weight.Bold
        painter.setFont(sized_font(self.font(), 15, weight))
        painter.setPen(theme.colour("muted" if self.sign == "=" else "text"))
        painter.drawText(QRectF(0, PAD - 1, self.width(), 20), Qt.AlignmentFlag.AlignCenter, self.sign)


class StepRow(QWidget):
    """One pair of steps, with `tag` above it where something first differs."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tag = ""
        self._differs = False
        self.left, self.right, self.gutter = _make_step(), _make_step(), _Gutter()
        self._row = row((self.left, 1), self.gutter, (self.right, 1), spacing=0, parent=self)

    def render_pair(self, number: int, pair: StepPair, tag: str, cuts: tuple[int, int] | None) -> None:
        """Show a pair; `cuts` are the offsets in the two steps at which they begin to differ."""
        self.tag, self._differs = tag, not pair.same
        self._row.setContentsMargins(0, TAG if tag else 0, 0, 0)
        for label, text, side, cut in (
            (self.left, pair.left, "left", cuts[0] if cuts else None),
            (self.right, pair.right, "right", cuts[1] if cuts else None),
        ):
            _show_step(label, text, cut)
            label.setAccessibleName(f"Step {number}, {side}: {text if text is not None else 'no such step'}")
        missing = "←" if pair.right is None else "→" if pair.left is None else "≠"
        self.gutter.sign = "=" if pair.same else missing
        words = {"=": "the same", "≠": "different", "←": "only on the left", "→": "only on the right"}
        self.setAccessibleName(f"Step {number}: {words[self.gutter.sign]}" + (f". {tag}" if tag else ""))
        self.gutter.setToolTip(words[self.gutter.sign].capitalize())
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter = current_theme(), QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._differs:
            painter.setPen(Qt.PenStyle.NoPen)
            for label, colour in ((self.left, "clean"), (self.right, "hinted")):
                painter.setBrush(theme.wash(colour, 0.10))
                painter.drawRoundedRect(QRectF(label.geometry()).adjusted(0, 1, 0, -1), 5, 5)
        if self.tag:
            self._paint_tag(painter, theme.colour("bad"))

    def _paint_tag(self, painter: QPainter, colour: QColor) -> None:
        painter.setFont(sized_font(self.font(), SMALL_PX, QFont.Weight.DemiBold))
        width = painter.fontMetrics().horizontalAdvance(self.tag) + 22
        middle, y = self.width() / 2, TAG / 2
        painter.setPen(QPen(colour, 1.5))
        painter.drawLine(QPointF(0, y), QPointF(middle - width / 2 - 8, y))
        painter.drawLine(QPointF(middle + width / 2 + 8, y), QPointF(self.width(), y))
        draw_svg(painter, "warning", QRectF(middle - width / 2, y - 8, 16, 16), colour.name())
        painter.drawText(QRectF(middle - width / 2 + 22, 0, width, TAG), Qt.AlignmentFlag.AlignVCenter, self.tag)


class _Side(QWidget):
    """The header of one side: title, outcome badge, and a stripe in its colour."""

    def __init__(self, colour: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colour = colour
        self.title = ElidedLabel("eyebrow")
        self.badge = Badge(BadgeStyle("check", "", "muted"))
        self.badge.hide()
        row(self.title, None, self.badge, margins=(0, 0, 0, 8), parent=self)
        self.setMinimumHeight(36)

    def render_side(self, title: str, style: BadgeStyle | None) -> None:
        self.title.setText(title)
        self.badge.setVisible(style is not None)
        if style is not None:
            self.badge.render_style(style)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(QRectF(0, self.height() - 3, self.width(), 2), current_theme().colour(self._colour))


class TracePairView(QWidget):
    """As high as its steps. Rows are reused; the first batch is shown at once, later ones by a timer."""

    filled = Signal()  # All steps of the alignment are shown

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._alignment: Alignment | None = None
        self._batches: list[_Batch] = []
        self._done = 0
        self._more = QTimer(self, singleShot=True, interval=0)
        self._more.timeout.connect(self._fill_next)
        self.left, self.right = _Side("clean"), _Side("hinted")
        self.note = make_label("", "muted", wrap=True)
        heads = row((self.left, 1), GUTTER, (self.right, 1), spacing=0)
        self._column = column(self.note, SPACE_2, heads, spacing=SPACE_1, parent=self)
        self.setAccessibleName("Two solutions side by side")

    def render(  # type: ignore[override]  # QWidget.render paints into a device; this one renders state
        self, alignment: Alignment, left_title: str, right_title: str, *,
        left_style: BadgeStyle | None = None, right_style: BadgeStyle | None = None,
    ) -> None:  # fmt: skip
        """Show an alignment of two texts; the styles are outcome badges beside the titles."""
        self.left.render_side(left_title, left_style)
        self.right.render_side(right_title, right_style)
        self.note.setText(alignment.note)
        self._alignment = alignment
        self._done = 0
        in_view = sum(not batch.isHidden() for batch in self._batches)
        for batch in self._batches[_batches_of(alignment) :]:
            batch.hide()
        for _ in range(max(1, min(in_view, _batches_of(alignment)))):
            self._fill_next()
        self.setAccessibleDescription(alignment.note)

    def _fill_next(self) -> None:
        self._more.stop()
        if self._alignment is None:
            return
        if self._done < _batches_of(self._alignment):
            if self._done == len(self._batches):
                self._batches.append(_Batch())
                self._column.addWidget(self._batches[-1])
            self._batches[self._done].fill(self._done * AT_ONCE, self._alignment)
            self._done += 1
        if self._done < _batches_of(self._alignment):
            self._more.start()
        else:
            self.filled.emit()

    @property
    def rows(self) -> list[StepRow]:
        """All rows that exist; rows of an earlier, longer pair are hidden."""
        return [row for batch in self._batches for row in batch.rows]

    @property
    def divergence_row(self) -> StepRow | None:
        """The row of the first difference, None where there is none or it is not shown yet."""
        at = self._alignment.divergence if self._alignment is not None else None
        return self.rows[at] if at is not None and at < self._done * AT_ONCE else None


class _Batch(QWidget):
    """A few rows with their own layout: the others are not laid out again when these change."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[StepRow] = []
        self._column = column(spacing=SPACE_1, parent=self)
        self.hide()

    def fill(self, first: int, alignment: Alignment) -> None:
        pairs = alignment.pairs[first : first + AT_ONCE]
        if sum(not row.isHidden() for row in self.rows) != len(pairs):
            # Hidden meanwhile: each row that is shown triggers a layout of the whole page.
            self.hide()
        while len(self.rows) < len(pairs):
            self.rows.append(StepRow())
            self._column.addWidget(self.rows[-1])
        for i, step in enumerate(self.rows):
            step.setVisible(i < len(pairs))
            if i < len(pairs):
                step.render_pair(first + i + 1, pairs[i], _tag(first + i, alignment), _cuts(first + i, alignment))
        self.show()


def _batches_of(alignment: Alignment) -> int:
    return -(-len(alignment.pairs) // AT_ONCE)


def _make_step() -> QLabel:
    label = make_label("", wrap=True, select=True)
    label.setContentsMargins(PAD, PAD - 1, PAD, PAD - 1)
    label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
    return wrap_anywhere(label)


def _show_step(label: QLabel, text: str | None, cut: int | None) -> None:
    if text is None or cut is None or not 0 <= cut < len(text):
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setText(text or "")
    else:
        head, tail = (html.escape(part).replace("\n", "<br>") for part in (text[:cut], text[cut:]))
        label.setTextFormat(Qt.TextFormat.RichText)
        label.setText(f"<span>{head}<b><u>{tail}</u></b></span>")


def _tag(index: int, alignment: Alignment) -> str:
    if index == alignment.divergence:
        return FIRST_DIFFERENCE
    return FIRST_NUMBER if index == alignment.turn else ""


def _cuts(index: int, alignment: Alignment) -> tuple[int, int] | None:
    pair = alignment.pairs[index]
    if index != alignment.divergence or pair.left_span is None or pair.right_span is None:
        return None
    return alignment.left_at - pair.left_span.start, alignment.right_at - pair.right_span.start
