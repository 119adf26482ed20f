"""Campaigns in the window: listed, started, watched, stopped and deleted; and the table of them.

`CampaignMonitor` reads them in other threads. A campaign that is started here goes on without the window.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, QPointF, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFont, QPainter, QPen, QResizeEvent
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from seirenes_app.services.formatting import time_ago
from seirenes_app.services.redteam.campaign import (
    CampaignDir,
    CampaignPlan,
    CampaignRepository,
    CampaignSummary,
    rename_campaign,
    start_campaign,
)
from seirenes_app.services.run_repository import move_to_trash
from seirenes_app.ui.controllers.process_monitor import START_TIMEOUT_S, ProcessMonitor
from seirenes_app.ui.pages.redteam.captions import (
    created_at,
    describe_found,
    describe_spent,
    describe_target,
    name_of,
    status_style,
)
from seirenes_app.ui.theme import current_theme, sized_font
from seirenes_app.ui.widgets.badges import HEIGHT as BADGE_HEIGHT
from seirenes_app.ui.widgets.badges import paint_badge
from seirenes_app.ui.widgets.labels import draw_elided
from seirenes_app.ui.widgets.table_model import ROW_ROLE, Column, Index, TableModel, lay_out_rows
from training.runs.control import CommandKind, send_command
from training.runs.processes import FORCE, StopEscalation

ROW, PAD = 56, 10
NARROW = 980
WIDTHS = ((130, 210, 250, 130), (126, 170, 0, 116))
"""Of status, found, spent and time: in a wide table, and in a narrow one; 0 hides the column."""


class CampaignMonitor(ProcessMonitor[CampaignSummary]):
    """All campaigns."""

    noun = "campaign"

    def __init__(self, repository: CampaignRepository | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._repository = repository or CampaignRepository()

    def is_live(self, summary: CampaignSummary) -> bool:
        return summary.live

    def refresh(self) -> None:
        self._list(self._repository.summaries)

    def start(self, plan: CampaignPlan) -> None:
        """Write the plan and start it; `started` or `failed` follows."""
        self._do(lambda: self._repository.start(plan), self._on_started, "The campaign did not start")

    def resume(self, paths: CampaignDir) -> None:
        """Start one again that stopped, failed or crashed."""
        self._starting[paths.root] = time.monotonic() + START_TIMEOUT_S

        def failed(text: str) -> None:
            self._starting.pop(paths.root, None)
            self.changed.emit()
            self.failed.emit("Could not resume the campaign", text)

        self._tasks.run(lambda: start_campaign(paths), lambda _pid: self._on_started(paths), failed)
        self.changed.emit()

    def pause(self, paths: CampaignDir) -> None:
        """Ask it to hold after the requests under way."""
        self._do(lambda: send_command(paths, CommandKind.PAUSE), None, "The campaign was not paused")

    def unpause(self, paths: CampaignDir) -> None:
        """Ask a paused one to continue."""
        self._do(lambda: send_command(paths, CommandKind.RESUME), None, "The campaign was not resumed")

    def rename(self, paths: CampaignDir, name: str) -> None:
        self._do(lambda: rename_campaign(paths, name), lambda _none: self.refresh(), "It was not renamed")

    def delete(self, paths: CampaignDir, done: Callable[[], object]) -> None:
        """Stop it if it is running, and move its folder to the trash."""

        def work() -> None:
            StopEscalation(paths, FORCE).run()
            move_to_trash(paths)

        def deleted(_none: object) -> None:
            self.stopping.discard(paths.root)
            self._running.discard(paths.root)
            self.refresh()
            done()

        self._do(work, deleted, "The campaign was not deleted")


class _Delegate(QStyledItemDelegate):
    """Two lines for the name, a badge for the status, text for the rest."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(120, ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme, rect, summary = current_theme(), option.rect, index.data(ROW_ROLE)
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.colour("raised"))
            if index.column() == 0:
                painter.fillRect(QRect(rect.left(), rect.top(), 3, rect.height()), theme.colour("accent"))
        painter.setPen(QPen(theme.colour("grid"), 1))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        inner = rect.adjusted(PAD, 0, -PAD, 0)
        if index.column() == 0:
            strong = sized_font(option.font, 14, QFont.Weight.DemiBold)
            upper = QRect(inner.left(), inner.top() + 9, inner.width(), 20)
            draw_elided(painter, upper, index.data(), strong, "text")
            lower, small = upper.translated(0, 20), sized_font(option.font, 12)
            draw_elided(painter, lower, describe_target(summary), small, "muted")
        elif index.column() == 1:
            place = QPointF(inner.left(), inner.center().y() - BADGE_HEIGHT / 2)
            paint_badge(painter, place, status_style(summary), sized_font(option.font, 12, QFont.Weight.DemiBold))
        else:
            draw_elided(painter, inner, index.data(), option.font, "text" if index.column() == 2 else "muted")
        painter.restore()


class CampaignTable(QTableView):
    """One row a campaign; Enter or a double click opens it. The page binds its actions to it."""

    opened = Signal(object)
    """CampaignSummary"""
    currentChanged_ = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, showGrid=False, wordWrap=False)
        columns = (
            Column("Campaign", name_of, row_tip=lambda s: s.problem or None),
            Column("Status", lambda s: status_style(s).text),
            Column("Found", describe_found, row_tip=describe_found),
            Column("Spent", describe_spent, row_tip=describe_spent),
            Column("Started", lambda s: time_ago(created_at(s), time.time())),
        )
        self._model = TableModel(columns, self)
        self.setModel(self._model)
        self.setAccessibleName("Campaigns")
        self.setItemDelegate(_Delegate(self))
        lay_out_rows(self, ROW)
        header = self.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(0, header.ResizeMode.Stretch)
        self.activated.connect(lambda _index: self._open())
        self.selectionModel().currentRowChanged.connect(lambda *_: self.currentChanged_.emit())

    def _open(self) -> None:
        if (summary := self.current) is not None:
            self.opened.emit(summary)

    @property
    def current(self) -> CampaignSummary | None:
        index = self.currentIndex()
        found = index.data(ROW_ROLE) if index.isValid() else None
        return found if isinstance(found, CampaignSummary) else None

    def render_campaigns(self, found: tuple[CampaignSummary, ...]) -> None:
        """Show these; the cursor stays on its campaign."""
        before = self.current
        self._model.render_rows(found, key=lambda s: s.paths.root)
        wanted = before.paths.root if before is not None else None
        place = next((i for i, s in enumerate(found) if s.paths.root == wanted), 0)
        if found and self.currentIndex().row() != place:
            self.selectRow(place)
        self.currentChanged_.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        for column, width in enumerate(WIDTHS[event.size().width() < NARROW], 1):
            self.setColumnHidden(column, not width)
            if width:
                self.setColumnWidth(column, width)
        super().resizeEvent(event)
