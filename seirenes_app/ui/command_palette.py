"""The command palette: every action of the window by a few letters of its name. Ctrl+Shift+P, arrows, Enter."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from PySide6.QtCore import QEvent, QObject, QRect, QSize, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QFrame,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.ui.actions import ActionRegistry, Command
from seirenes_app.ui.theme import current_theme, sized_font
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.table_model import ROW_ROLE, Column, Index, TableModel

KEY_ROLE = int(Qt.ItemDataRole.UserRole) + 1
ROW = 38
ROWS_SHOWN = 9
GROUP_WIDTH = 96
SHADE = 0.35
WORD_START = 5
IN_A_ROW = 4
GOOD_SHARE = 0.8


def fuzzy_score(pattern: str, text: str) -> int | None:
    """How well the letters of `pattern` occur in order in `text`; None when they do not. Higher is better.

    Of all ways to find them the best counts. Letters at the start of a word and letters in a row count more.
    """
    wanted, hay = pattern.casefold().replace(" ", ""), text.casefold()

    @cache
    def best(letter: int, last: int) -> int | None:
        if letter == len(wanted):
            return 0
        found = None
        place = hay.find(wanted[letter], max(0, last + 1))
        while place >= 0:
            rest = best(letter + 1, place)
            if rest is not None:
                starts_word = place == 0 or not hay[place - 1].isalnum()
                gain = 1 + WORD_START * starts_word + IN_A_ROW * (letter > 0 and place == last + 1)
                found = max(found or 0, gain + rest)
            place = hay.find(wanted[letter], place + 1)
        return found

    return best(0, -2)


def filter_commands(commands: Sequence[Command], pattern: str) -> list[Command]:
    """Commands that match, best first; disabled ones last, so that they are found and seen to be off.

    Scattered letters are no match beside a command that has them together.
    """
    scored = [(c, s) for c in commands if (s := fuzzy_score(pattern, c.text)) is not None]
    enough = max((s for _, s in scored), default=0) * GOOD_SHARE
    good = [(c, s) for c, s in scored if s >= enough]
    good.sort(key=lambda pair: (not pair[0].enabled, -pair[1]))
    return [command for command, _ in good]


class _CommandsModel(TableModel):
    def flags(self, index: Index) -> Qt.ItemFlag:
        enabled = index.isValid() and self.row_at(index.row()).enabled
        return super().flags(index) if enabled else Qt.ItemFlag.ItemIsSelectable


class CommandDelegate(QStyledItemDelegate):
    """Group in a quiet colour, name, and the shortcut at the right."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(100, ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme = current_theme()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.colour("raised"))
            painter.drawRoundedRect(option.rect.adjusted(6, 1, -6, -1), 6, 6)
        enabled = bool(index.flags() & Qt.ItemFlag.ItemIsEnabled)
        group, _, name = str(index.data()).partition(": ")
        rect = option.rect.adjusted(18, 0, -18, 0)
        painter.setPen(theme.colour("muted"))
        painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter, group)
        painter.setPen(theme.colour("text" if enabled else "muted"))
        painter.drawText(QRect(rect).adjusted(GROUP_WIDTH, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, name)
        right = index.data(KEY_ROLE) if enabled else "not now"
        painter.setPen(theme.colour("muted"))
        painter.setFont(sized_font(option.font, 12))
        painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, right or "")
        painter.restore()


class CommandPalette(QWidget):
    """A veil over the window with the palette on it. It hides on Escape, on a choice, and on a click beside it."""

    def __init__(self, registry: ActionRegistry, parent: QWidget) -> None:
        super().__init__(parent)
        self._registry = registry
        self._commands: list[Command] = []
        self._came_from: QWidget | None = None
        self.setAccessibleName("Command palette")
        self.frame = QFrame(self)
        self.frame.setObjectName("palette")
        self.edit = QLineEdit(self.frame)
        self.edit.setPlaceholderText("Type a command…")
        self.edit.setAccessibleName("Command")
        self.list = QListView(self.frame)
        self.list.setAccessibleName("Matching commands")
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setUniformItemSizes(True)
        self.list.setItemDelegate(CommandDelegate(self.list))
        keys = {KEY_ROLE: lambda command: command.spec.keys}
        self.model = _CommandsModel((Column("Command", lambda command: command.text, roles=keys),), self)
        self.list.setModel(self.model)
        column = QVBoxLayout(self.frame)
        column.setContentsMargins(1, 1, 1, 8)
        self.nothing = make_label("No command matches.", "muted")
        self.nothing.setContentsMargins(18, 8, 18, 8)
        column.addWidget(self.edit)
        column.addWidget(self.list)
        column.addWidget(self.nothing)
        self.edit.textChanged.connect(self._filter)
        self.edit.installEventFilter(self)
        self.list.clicked.connect(lambda _index: self._run())
        parent.installEventFilter(self)
        self.hide()

    def open(self) -> None:
        """Show all commands and take the keyboard."""
        self._came_from = self.window().focusWidget()
        self._commands = self._registry.commands()
        self.edit.clear()
        self._filter("")
        self._place()
        self.show()
        self.raise_()
        self.edit.setFocus()

    def close_palette(self) -> None:
        """Hide and give the keyboard back."""
        # Before hiding: Qt would hand the keyboard to the next widget in line first, as if Tab had been pressed.
        if self._came_from is not None and self._came_from.isVisible():
            self._came_from.setFocus(Qt.FocusReason.PopupFocusReason)
        self.hide()

    def _filter(self, pattern: str) -> None:
        found = filter_commands(self._commands, pattern)
        self.model.render_rows(found)
        self.list.setVisible(bool(found))
        self.nothing.setVisible(not found)
        self._select(0)
        self._place()

    def _select(self, row: int) -> None:
        rows = self.model.rowCount()
        if rows:
            self.list.setCurrentIndex(self.model.index(row % rows, 0))

    def _run(self) -> None:
        command = self.list.currentIndex().data(ROW_ROLE)
        if isinstance(command, Command) and command.enabled:
            self.close_palette()
            self._registry.trigger(command.spec.id)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.edit and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            return self._take_key(event)
        if watched is self.parentWidget() and event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def _take_key(self, event: QKeyEvent) -> bool:
        row = self.list.currentIndex().row()
        moves = {Qt.Key.Key_Down: row + 1, Qt.Key.Key_Up: row - 1, Qt.Key.Key_PageDown: row + ROWS_SHOWN,
                 Qt.Key.Key_PageUp: max(0, row - ROWS_SHOWN)}  # fmt: skip
        key = Qt.Key(event.key())
        if key in moves:
            self._select(moves[key])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._run()
        elif key == Qt.Key.Key_Escape:
            self.close_palette()
        else:
            return False
        return True

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self.frame.geometry().contains(event.position().toPoint()):
            self.close_palette()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        veil = current_theme().colour("text" if not current_theme().dark else "background")
        veil.setAlphaF(SHADE if not current_theme().dark else 0.6)
        painter.fillRect(self.rect(), veil)

    def _place(self) -> None:
        parent = self.parentWidget()
        self.setGeometry(parent.rect())
        rows = max(1, min(self.model.rowCount(), ROWS_SHOWN))
        width = min(620, parent.width() - 48)
        self.frame.setGeometry((parent.width() - width) // 2, max(24, parent.height() // 8), width, 70 + rows * ROW)
