"""The solutions of one group as numbered buttons, each with the sign of its outcome: one of them is shown."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.models.rollout_words import answer_look
from seirenes_app.ui.pages.traces_parts.reading import Row, say_group
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.flow import FlowLayout
from seirenes_app.ui.widgets.labels import make_label


class GroupStrip(QWidget):
    """`chosen` with the number of the one the person picks; arrow keys move the choice."""

    chosen = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.setAccessibleName(name)
        self.buttons: list[QPushButton] = []
        self._group = QButtonGroup(self)
        self.title = make_label(name, "small")
        self._holder = QWidget()
        self._flow = FlowLayout(self._holder, gap=4, line_gap=4)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self._holder.setSizePolicy(policy)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_2)
        row.addWidget(self.title, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._holder, 1)

    def render_group(self, rows: Sequence[Row], at: int) -> None:
        """Show a group; the buttons are kept and filled anew."""
        while len(self.buttons) < len(rows):
            self._add_button()
        self.setAccessibleDescription(say_group(rows))
        self.title.setMinimumHeight(26)
        for number, button in enumerate(self.buttons):
            button.setVisible(number < len(rows))
            if number < len(rows):
                look = answer_look(rows[number])
                set_icon(button, look.icon or "info", look.tone)
                button.setText(str(number + 1))
                button.setAccessibleName(f"{self._name} {number + 1} of {len(rows)}: {look.text}")
                button.setToolTip(f"{number + 1}: {look.text}")
        if 0 <= at < len(rows):
            self.buttons[at].setChecked(True)

    def _add_button(self) -> None:
        button = QPushButton()
        button.setCheckable(True)
        button.setProperty("chip", "pick")
        button.setIconSize(QSize(14, 14))
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        number = len(self.buttons)
        button.clicked.connect(lambda *_: self.chosen.emit(number))
        self._group.addButton(button, number)
        self._flow.addWidget(button)
        self.buttons.append(button)
