"""Seeing why: paired traces, sentences, tokens; one of the three at a time."""

from __future__ import annotations

from enum import IntEnum

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QTabBar, QWidget

from seirenes_app.ui.icons import icon
from seirenes_app.ui.pages.craft_parts.heat_tab import HeatTab
from seirenes_app.ui.pages.craft_parts.sentences_tab import SentencesTab
from seirenes_app.ui.pages.craft_parts.traces_tab import TracesTab
from seirenes_app.ui.processes.background import Background
from seirenes_app.ui.theme import SPACE_3
from seirenes_app.ui.widgets.cards import Card


class WhyTab(IntEnum):
    """The tabs, in order."""

    TRACES = 0
    SENTENCES = 1
    TOKENS = 2


NAMES = {
    WhyTab.TRACES: ("Paired traces", "compare", "Two solutions side by side"),
    WhyTab.SENTENCES: ("Sentences", "sentences", "Which sentence of the hint does it"),
    WhyTab.TOKENS: ("Tokens", "heat", "Where the right solution becomes unlikely"),
}


class WhyCard(Card):
    """As high as the tab that is shown."""

    def __init__(self, background: Background, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._build(background)
        self._connect()

    def _build(self, background: Background) -> None:
        self.body.setSpacing(SPACE_3)
        self.bar = QTabBar()
        self.bar.setDrawBase(False)
        self.bar.setExpanding(False)
        self.bar.setUsesScrollButtons(False)
        self.bar.setCursor(Qt.CursorShape.PointingHandCursor)
        self.bar.setAccessibleName("Seeing why")
        for tab, (name, _icon, tip) in NAMES.items():
            self.bar.addTab(name)
            self.bar.setTabToolTip(tab, tip)
        self.traces, self.sentences, self.heat = TracesTab(background), SentencesTab(), HeatTab()
        self._pages: tuple[QWidget, ...] = (self.traces, self.sentences, self.heat)
        self.body.addWidget(self.bar)
        for page in self._pages:
            self.body.addWidget(page)
        self.themed()
        self._show(0)

    def _connect(self) -> None:
        self.bar.currentChanged.connect(self._show)

    def show_tab(self, tab: WhyTab) -> None:
        """Bring a tab to the front."""
        self.bar.setCurrentIndex(tab)

    def themed(self) -> None:
        """Icons anew."""
        for tab, (_name, file, _tip) in NAMES.items():
            self.bar.setTabIcon(tab, icon(file, "muted"))

    def _show(self, index: int) -> None:
        for i, page in enumerate(self._pages):
            page.setVisible(i == index)
