"""Badges: an icon, a word and a colour, always all three, so that colour is never the only sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from seirenes_app.services.run_summary import STATUS_LABELS
from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import current_theme, sized_font
from seirenes_app.ui.widgets.boxes import FlowLayout
from training.core.gates import Gate
from training.runs.status import RunStatus

if TYPE_CHECKING:
    from seirenes_app.services.hint_authoring.gate_report import GateBadge

HEIGHT, ICON, PAD, GAP = 26, 15, 9, 6


@dataclass(frozen=True)
class BadgeStyle:
    """The appearance of a badge: icon file, word, and a colour's name in the theme."""

    icon: str
    text: str
    tone: str


STATUS_STYLES = {
    RunStatus.STARTING: BadgeStyle("clock", STATUS_LABELS[RunStatus.STARTING], "accent"),
    RunStatus.RUNNING: BadgeStyle("running", STATUS_LABELS[RunStatus.RUNNING], "accent"),
    RunStatus.PAUSED: BadgeStyle("paused", STATUS_LABELS[RunStatus.PAUSED], "muted"),
    RunStatus.STOPPING: BadgeStyle("clock", STATUS_LABELS[RunStatus.STOPPING], "muted"),
    RunStatus.FINISHED: BadgeStyle("check-circle", STATUS_LABELS[RunStatus.FINISHED], "good"),
    RunStatus.STOPPED: BadgeStyle("stopped", STATUS_LABELS[RunStatus.STOPPED], "muted"),
    RunStatus.FAILED: BadgeStyle("error", STATUS_LABELS[RunStatus.FAILED], "bad"),
    RunStatus.CRASHED: BadgeStyle("crashed", STATUS_LABELS[RunStatus.CRASHED], "bad"),
    RunStatus.STALLED: BadgeStyle("silent", STATUS_LABELS[RunStatus.STALLED], "warn"),
    RunStatus.NOT_FOLLOWED: BadgeStyle("silent", STATUS_LABELS[RunStatus.NOT_FOLLOWED], "warn"),
}
BROKEN = BadgeStyle("warning", "Unreadable", "warn")


def badge_width(text: str, font: QFont) -> int:
    return PAD + ICON + GAP + QFontMetrics(font).horizontalAdvance(text) + PAD + 2


def paint_badge(painter: QPainter, place: QPointF, style: BadgeStyle, font: QFont) -> None:
    """Paint a badge with its top left corner at `place`."""
    theme = current_theme()
    width = badge_width(style.text, font)
    rect = QRectF(place.x(), place.y(), width, HEIGHT)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.wash(style.tone))
    painter.drawRoundedRect(rect, HEIGHT / 2, HEIGHT / 2)
    draw_svg(painter, style.icon, QRectF(rect.x() + PAD, rect.y() + (HEIGHT - ICON) / 2, ICON, ICON),
             getattr(theme, style.tone))  # fmt: skip
    painter.setPen(theme.colour(style.tone))
    painter.setFont(font)
    text = QRect(int(rect.x()) + PAD + ICON + GAP, int(rect.y()), int(width), HEIGHT)
    painter.drawText(text, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, style.text)
    painter.restore()


class Badge(QWidget):
    def __init__(self, style: BadgeStyle, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.render_style(style)

    def render_style(self, style: BadgeStyle) -> None:
        """Show another icon, word and colour."""
        self._style = style
        self.setAccessibleName(style.text)
        self.setFixedSize(self.sizeHint())
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(badge_width(self._style.text, self._font()), HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        paint_badge(QPainter(self), QPointF(0, 0), self._style, self._font())

    def _font(self) -> QFont:
        return sized_font(self.font(), 12, QFont.Weight.DemiBold)


REFUSED = {
    Gate.EMPTY: "No words",
    Gate.TOO_LONG: "Too long",
    Gate.MARKERS: "Carries markers",
    Gate.REPETITION: "Repeats itself",
    Gate.NUMBERS: "Odd numbers",
    Gate.STATES_ANSWER: "States the answer",
    Gate.REWRITES_PROBLEM: "Rewrites the problem",
    Gate.ADDS_FACT: "Adds a fact",
    Gate.REPLACES_QUESTION: "Replaces the question",
    Gate.OUTSIDE_LANGUAGE: "Outside the hint language",
    Gate.NEAR_DUPLICATE: "Near duplicate",
    Gate.JUDGE: "Refused by the judge",
}
"""What a hint does that a gate refuses."""
PENDING = BadgeStyle("clock", "Not checked yet", "muted")


def gate_badge(result: GateBadge) -> BadgeStyle:
    if result.passed:
        return BadgeStyle("check", result.name, "good")
    return BadgeStyle("error", REFUSED[result.gate], "bad")


def summary_badge(results: Sequence[GateBadge]) -> BadgeStyle:
    failed = [r for r in results if not r.passed]
    if not results:
        return PENDING
    if not failed:
        return BadgeStyle("check-circle", "Passes the gates", "good")
    return gate_badge(failed[0]) if len(failed) == 1 else BadgeStyle("error", f"{len(failed)} gates refuse it", "bad")


class GateBadges(QWidget):
    """All gates, or with `brief` only those that refuse, or one badge that says that none does."""

    def __init__(self, *, brief: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._brief = brief
        self.badges: list[Badge] = []
        self._shown: list[tuple[BadgeStyle, str]] | None = None
        self._layout = FlowLayout(self)

    def render_results(self, results: Sequence[GateBadge] | None) -> None:
        """Show them; None for a hint that is still being checked."""
        shown = [(PENDING, "")]
        if results is not None:
            shown = [(gate_badge(r), r.reason) for r in results if not self._brief or not r.passed]
            shown = shown or [(summary_badge(results), "\n".join(r.name for r in results))]
        if shown == self._shown:
            return
        self._shown = shown
        while len(self.badges) < len(shown):
            self.badges.append(Badge(PENDING))
            self._layout.addWidget(self.badges[-1])
        for i, badge in enumerate(self.badges):
            badge.setVisible(i < len(shown))
            if i < len(shown):
                style, reason = shown[i]
                badge.render_style(style)
                badge.setToolTip(reason)
                badge.setAccessibleDescription(reason)
        self._layout.invalidate()
        self.updateGeometry()
