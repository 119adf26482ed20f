"""The queue on the Train page: a list that is reordered by keys, buttons or dragging, and what can be done with one."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QAction, QDropEvent, QFont, QFontMetrics, QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from seirenes_app.services.formatting import megabytes
from seirenes_app.services.run_queue import Outlook, QueueEntry
from seirenes_app.services.run_summary import MODE_LABELS
from seirenes_app.ui.controllers.run_queue import QueueControl
from seirenes_app.ui.icons import draw_svg, set_icon
from seirenes_app.ui.theme import SPACE_1, SPACE_2, current_theme, sized_font
from seirenes_app.ui.widgets.boxes import fill, row
from seirenes_app.ui.widgets.buttons import action_button, follow_action, make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import make_card_heading, make_label

ROW, PAD = 58, 10
ROWS_SHOWN = 5
REASON_LINES = 3
ENTRY_ROLE = Qt.ItemDataRole.UserRole
LINES_ROLE = Qt.ItemDataRole.UserRole + 1
Index = QModelIndex | QPersistentModelIndex


class _Delegate(QStyledItemDelegate):
    """Number and name, what it is, and whether it fits, each in a line."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(200, ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme, rect = current_theme(), option.rect
        name, about, status, icon, tone = index.data(LINES_ROLE)
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.colour("raised"))
            painter.fillRect(QRect(rect.left(), rect.top(), 3, rect.height()), theme.colour("accent"))
        painter.setPen(QPen(theme.colour("grid"), 1))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        inner = rect.adjusted(PAD, 6, -PAD, -4)
        small = sized_font(option.font, 12)
        for line, (text, font, colour, indent) in enumerate(
            ((name, sized_font(option.font, 13, QFont.Weight.DemiBold), "text", 0), (about, small, "muted", 0),
             (status, small, tone, 18))
        ):  # fmt: skip
            painter.setFont(font)
            painter.setPen(theme.colour(colour))
            place = QRect(inner.left() + indent, inner.top() + 16 * line, inner.width() - indent, 16)
            fitted = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, place.width())
            painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, fitted)
        draw_svg(painter, icon, QRectF(inner.left(), inner.top() + 33, 13, 13), theme.colour(tone).name())
        painter.restore()


class QueueList(QListWidget):
    """Alt+Up and Alt+Down move the chosen run, as dragging does; Enter edits it, Delete takes it out."""

    dropped = Signal(str, int)
    keyPressed = Signal(str)
    """Name of the action that a key asks for."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setItemDelegate(_Delegate(self))
        self.setAccessibleName("Queue")
        self.setProperty("plain", "true")
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setUniformItemSizes(True)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        keys = {
            Qt.Key.Key_Delete: "queue-remove", Qt.Key.Key_Return: "queue-edit", Qt.Key.Key_Enter: "queue-edit",
        }  # fmt: skip
        if event.modifiers() & Qt.KeyboardModifier.AltModifier:
            keys = {Qt.Key.Key_Up: "queue-up", Qt.Key.Key_Down: "queue-down"}
        elif event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            keys = {Qt.Key.Key_Z: "queue-undo", Qt.Key.Key_D: "queue-duplicate"}
        if (name := keys.get(Qt.Key(event.key()))) is not None:
            self.keyPressed.emit(name)
            return
        super().keyPressEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        """The order is changed where it is kept; what is shown follows."""
        item = self.currentItem()
        if item is None or event.source() is not self:
            return
        target = self.indexAt(event.position().toPoint())
        below = self.dropIndicatorPosition() == QAbstractItemView.DropIndicatorPosition.BelowItem
        to = target.row() + below if target.isValid() else self.count()
        if to > self.row(item):
            to -= 1
        event.setDropAction(Qt.DropAction.IgnoreAction)
        event.accept()
        self.dropped.emit(item.data(ENTRY_ROLE).id, to)


class QueueCard(Card):
    """Hidden while the queue is empty and nothing was taken out."""

    editRequested = Signal(object)
    """QueueEntry whose settings are to be shown in the form."""

    def __init__(self, queue: QueueControl, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._queue, self._actions = queue, actions
        self.heading = make_card_heading("Queue")
        self.switch = make_button("Pause", "pause", clicked=lambda: queue.set_on(not queue.state.on))
        self.note = make_label("", "small", wrap=True)
        self.list = QueueList()
        self.reason = make_label("", "small", wrap=True)
        self.reason.setFixedHeight(REASON_LINES * QFontMetrics(sized_font(self.reason.font(), 12)).lineSpacing() + 6)
        self.reason.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.anyway = action_button(actions["queue-anyway"])
        tools = row(spacing=SPACE_1)
        for name in ("up", "down", "edit", "duplicate", "remove", "undo"):
            action = actions[f"queue-{name}"]
            button = make_icon_button(str(action.property("icon_name") or ""), action.text())
            follow_action(button, action)
            button.setAccessibleName(action.text())
            tools.addWidget(button)
        tools.addStretch(1)
        self.body.setSpacing(SPACE_2)
        fill(self.body, row(self.heading, None, self.switch), self.note, self.list, tools, self.reason, self.anyway)
        self.list.currentItemChanged.connect(lambda *_: self._render_chosen())
        self.list.itemDoubleClicked.connect(lambda _item: self.act("edit"))
        self.list.dropped.connect(queue.move_to)
        self.list.keyPressed.connect(lambda name: actions[name].trigger())
        queue.changed.connect(self.render_queue)
        self.render_queue()

    @property
    def chosen(self) -> QueueEntry | None:
        item = self.list.currentItem()
        entry = item.data(ENTRY_ROLE) if item is not None else None
        return entry if isinstance(entry, QueueEntry) else None

    def act(self, name: str) -> None:
        """Do one of the queue's actions with the chosen run."""
        entry, queue = self.chosen, self._queue
        if name == "undo":
            queue.undo_remove()
        elif entry is None:
            return
        elif name in ("up", "down"):
            queue.move(entry.id, -1 if name == "up" else 1)
        elif name == "edit" and entry.config is not None:
            self.editRequested.emit(entry)
        elif name == "duplicate":
            queue.duplicate(entry)
        elif name == "remove":
            queue.remove(entry)
        elif name == "anyway":
            queue.approve(entry.id)

    def render_queue(self) -> None:
        """Show the queue as it is; the chosen run stays chosen, and else its neighbour."""
        state, chosen, at = self._queue.state, self.chosen, self.list.currentRow()
        self.setVisible(bool(state.entries) or self._queue.can_undo)
        self.list.blockSignals(True)
        while self.list.count() > len(state.entries):
            self.list.takeItem(self.list.count() - 1)
        while self.list.count() < len(state.entries):
            self.list.addItem(QListWidgetItem())
        for number, entry in enumerate(state.entries):
            self._render_entry(self.list.item(number), number, entry, self._queue.outlooks.get(entry.id))
        ids = [entry.id for entry in state.entries]
        if chosen is not None and chosen.id in ids:
            at = ids.index(chosen.id)
        self.list.setCurrentRow(min(max(0, at), len(ids) - 1))
        self.list.blockSignals(False)
        self.list.setFixedHeight(ROW * min(ROWS_SHOWN, max(1, len(ids))) + 2)
        self.switch.setText("Pause" if state.on else "Start")
        set_icon(self.switch, "pause" if state.on else "play")
        self.switch.setAccessibleName("Pause the queue" if state.on else "Start the queue")
        self.switch.setToolTip(
            "Start no further run; the one that is live goes on" if state.on else "Start its runs one after the other"
        )
        self.note.setText(self._describe())
        self._render_chosen()

    def _describe(self) -> str:
        state = self._queue.state
        if not state.entries:
            return "Empty."
        if not state.on:
            return "Paused: no run of it is started."
        if state.elsewhere is not None:
            return f"On: another window or command (process {state.elsewhere}) starts its runs."
        return "On: the next one that fits starts when no run is live, while this window is open."

    def _render_entry(self, item: QListWidgetItem, number: int, entry: QueueEntry, outlook: Outlook | None) -> None:
        needs = outlook.needs if outlook is not None else None
        figures = [needs.time.figure, megabytes(needs.memory.megabytes)] if needs is not None else []
        what = []
        if entry.config is not None:
            what = [f"{entry.config.steps} steps", MODE_LABELS.get(entry.config.mode, str(entry.config.mode))]
        # What does not fit into the line is at its end.
        about = "  ·  ".join([*figures, *what])
        if entry.config is None:
            status, icon, tone = entry.problem, "error", "bad"
        elif outlook is None:
            status, icon, tone = "Not looked at yet", "clock", "muted"
        elif outlook.reason:
            status, icon, tone = f"Waits: {outlook.reason}", "warning", "warn"
        elif entry.approved:
            status, icon, tone = "Is started in any case", "clock", "muted"
        else:
            status, icon, tone = "Fits", "check", "good"
        name = f"{number + 1}.  {entry.name}"
        item.setData(ENTRY_ROLE, entry)
        item.setData(LINES_ROLE, (name, about, status, icon, tone))
        item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{name}. {about}. {status}")
        item.setToolTip(f"{entry.name}\n{about}\n{status}")

    def _render_chosen(self) -> None:
        entry, count, at = self.chosen, self.list.count(), self.list.currentRow()
        outlook = self._queue.outlooks.get(entry.id) if entry is not None else None
        asks = outlook is not None and outlook.asks
        reason = outlook.reason if outlook is not None else entry.problem if entry is not None else ""
        self.reason.setText(reason)
        self.reason.setToolTip(reason)
        readable = entry is not None and entry.config is not None
        for name, on in {
            "up": at > 0, "down": 0 <= at < count - 1, "edit": readable, "duplicate": readable,
            "remove": entry is not None, "undo": self._queue.can_undo, "anyway": asks,
        }.items():  # fmt: skip
            self._actions[f"queue-{name}"].setEnabled(on)
