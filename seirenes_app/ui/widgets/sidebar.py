"""The pages at the left, one above the other, with icon and label."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QButtonGroup, QSizePolicy, QToolButton, QWidget

from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.pages.base import PageSpec
from seirenes_app.ui.theme import SPACE_1, SPACE_3
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.labels import IconLabel, make_label

WIDTH = 176
KEYS = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason, Qt.FocusReason.ShortcutFocusReason)


class SidebarButton(QToolButton):
    """A page's button. The focus ring is for the keyboard: a click shows its effect anyway."""

    def __init__(self, text: str, icon: str, tip: str) -> None:
        super().__init__()
        self.setText(f"  {text}")
        self.setProperty("sidebar", True)
        self.setToolTip(tip)
        self.setAccessibleName(text)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setIconSize(QSize(20, 20))
        set_icon(self, icon, "muted")

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
        self.commands = SidebarButton("Commands", "command", "Every command by its name (Ctrl+Shift+P)")
        self.commands.clicked.connect(self.commandsRequested)
        column(
            row(IconLabel("seirenes", 32, ""), make_label("Seirênes", "heading"), None, margins=(4, 0, 0, 0)),
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
        button = SidebarButton(page.title, page.icon, f"{page.title} (Ctrl+{number + 1})")
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
