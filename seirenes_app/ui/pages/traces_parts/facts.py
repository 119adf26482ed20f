"""Named figures in a row, each a small word over its value; they break into lines where the room ends."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from seirenes_app.ui.widgets.flow import FlowLayout
from seirenes_app.ui.widgets.labels import make_label


class Facts(QWidget):
    """Keeps its labels and fills them anew."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self._flow = FlowLayout(self, gap=18, line_gap=8)
        self._items: list[QWidget] = []
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def render_facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Show (word, value) pairs."""
        while len(self._items) < len(facts):
            self._items.append(_Fact())
            self._flow.addWidget(self._items[-1])
        for number, item in enumerate(self._items):
            item.setVisible(number < len(facts))
            if number < len(facts) and isinstance(item, _Fact):
                item.render_fact(*facts[number])
        self.updateGeometry()


class _Fact(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._word, self._value = make_label("", "small"), make_label("", select=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._word)
        column.addWidget(self._value)

    def render_fact(self, word: str, value: str) -> None:
        self._word.setText(word)
        self._value.setText(value)
        self.setAccessibleName(f"{word}: {value}")
