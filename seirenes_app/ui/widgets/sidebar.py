"""The pages at the left, one above the other, with icon and label."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QButtonGroup, QSizePolicy, QToolButton, QWidget

from seirenes_app.ui.icons import draw_svg, set_icon
from seirenes_app.ui.pages.base import PageSpec
from seirenes_app.ui.theme import SPACE_1, SPACE_3
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.labels import make_label

WIDTH = 176
KEYS = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason, Qt.FocusReason.ShortcutFocusReason)


class Logo(QWidget):
    def __init__(self, size: int = 32, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedSize(size, size)

    def paintEvent(self, event: QPaintEvent) -> None:
        draw_svg(QPainter(self), "seirenes", QRectF(0, 0, self.width(), self.height()))


class SidebarButton(QToolButton):
    """A page's button. The focus ring is for the keyboard: a click shows its effect anyway."""

    def focusInEvent(self, event: QFocusEvent) -> None:
        if event.reason() in KEYS:
            self._ring(True)
        elif event.reason() == Qt.FocusReason.MouseFocusReason:
            self._ring(False)
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        if event.reason() != Qt.FocusReason.ActiveWindowFocusReason:
            self._ring(False)
        super().focusOutEvent(event)

    def _ring(self, on: bool) -> None:
        self.setProperty("ring", on)
        self.style().unpolish(self)
        self.style().polish(self)


class Sidebar(QWidget):
    """Emits the key of the page that was chosen. Up and Down move between pages."""

    chosen = Signal(str)
    commandsRequested = Signal()

    def __init__(self, pages: Sequence[PageSpec], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("sidebar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground, True)
        self.setAccessibleName("Pages")
        self.setFixedWidth(WIDTH)
        self._pages = pages
        self._group = QButtonGroup(self)
        self.buttons: list[SidebarButton] = []
        self.commands = make_sidebar_button("Commands", "command", "Every command by its name (Ctrl+Shift+P)")
        self.commands.clicked.connect(self.commandsRequested)
        column(
            row(Logo(), make_label("Seirênes", "heading"), None, margins=(4, 0, 0, 0)),
            SPACE_3,
            *(self._make_button(page, number) for number, page in enumerate(pages)),
            None,
            self.commands,
            margins=(12, 18, 12, 12),
            spacing=SPACE_1,
            parent=self,
        )
        self._group.idClicked.connect(lambda number: self.chosen.emit(pages[number].key))

    def _make_button(self, page: PageSpec, number: int) -> SidebarButton:
        button = make_sidebar_button(page.title, page.icon, f"{page.title} (Ctrl+{number + 1})")
        button.setCheckable(True)
        self._group.addButton(button, number)
        self.buttons.append(button)
        return button

    def select(self, key: str) -> None:
        for button, page in zip(self.buttons, self._pages, strict=True):
            button.setChecked(page.key == key)
            set_icon(button, page.icon, "accent" if page.key == key else "muted")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()), 0)
        focused = next((i for i, b in enumerate(self.buttons) if b.hasFocus()), None)
        if step and focused is not None:
            self.buttons[(focused + step) % len(self.buttons)].setFocus(Qt.FocusReason.TabFocusReason)
        else:
            super().keyPressEvent(event)


def make_sidebar_button(text: str, icon: str, tip: str) -> SidebarButton:
    button = SidebarButton()
    button.setText(f"  {text}")
    button.setProperty("sidebar", True)
    button.setToolTip(tip)
    button.setAccessibleName(text)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    button.setCursor(Qt.CursorShape.PointingHandCursor)
    button.setIconSize(QSize(20, 20))
    set_icon(button, icon, "muted")
    return button
