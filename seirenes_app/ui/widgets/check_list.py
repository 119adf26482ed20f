"""A list whose entries are ticked. Space ticks the current one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QWidget

ROW_HEIGHT = 30
VALUE_ROLE = Qt.ItemDataRole.UserRole + 1


class CheckList(QListWidget):
    """Entries carry any value; `ticksChanged` follows every tick."""

    ticksChanged = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(f"{name}; Space ticks one")
        self.itemChanged.connect(lambda _item: self.ticksChanged.emit())

    def add(self, text: str, value: Any, *, on: bool, tip: str = "") -> None:
        item = QListWidgetItem(text)
        item.setData(VALUE_ROLE, value)
        item.setToolTip(tip)
        item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
        item.setSizeHint(QSize(0, ROW_HEIGHT))
        self.addItem(item)

    @property
    def entries(self) -> list[tuple[QListWidgetItem, Any]]:
        items = [self.item(i) for i in range(self.count())]
        return [(item, item.data(VALUE_ROLE)) for item in items]

    @property
    def ticked(self) -> list[Any]:
        return [value for item, value in self.entries if item.checkState() == Qt.CheckState.Checked]

    def tick(self, wanted: Callable[[Any], bool]) -> None:
        for item, value in self.entries:
            item.setCheckState(Qt.CheckState.Checked if wanted(value) else Qt.CheckState.Unchecked)
