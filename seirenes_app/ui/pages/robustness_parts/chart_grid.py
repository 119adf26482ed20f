"""The charts of a track: the frozen suite's in one section, the moving Adversary's in another. Draws one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from seirenes_app.lab.robustness.values import Chart, Origin, Panel, Track
from seirenes_app.ui.pages.robustness_parts.card import MOVING
from seirenes_app.ui.pages.robustness_parts.looks import Pick
from seirenes_app.ui.pages.robustness_parts.panel_card import PanelCard
from seirenes_app.ui.theme import SPACE_2, SPACE_4, SPACE_6
from seirenes_app.ui.widgets.labels import make_label

WIDE = 1500
TYPES = "types"


@dataclass(frozen=True)
class CardSpec:
    """One card: its title, the chart it shows, and which curves of it."""

    key: str
    title: str
    chart: Chart
    pick: Pick | None = None
    height: int = 210


CARDS = (
    CardSpec("accuracy", "Accuracy", Chart.ACCURACY, Pick.MAIN, 250),
    CardSpec(TYPES, "Accuracy by hint type", Chart.ACCURACY, Pick.TYPES, 250),
    CardSpec("gap", "Paired gap", Chart.GAP),
    CardSpec("flips", "What a hint turns", Chart.FLIPS, Pick.ALL),
    CardSpec("worst", "Worst of k and its placebo", Chart.WORST_OF_K, Pick.ALL),
    CardSpec("generalisation", "Generalisation gap", Chart.GENERALISATION, Pick.ALL),
    CardSpec("drop", "Performance drop rate", Chart.DROP_RATE),
    CardSpec("follow", "Follow rate", Chart.FOLLOW_RATE),
)
ADVERSARY = CardSpec("adversary", "Against the Adversary of each step", Chart.ADVERSARY, Pick.ALL, 190)


class ChartGrid(QWidget):
    """`render_track` empties it, `render_panel` fills it chart by chart, `draw_next` draws one."""

    pointAsked = Signal(str, object)
    """(key of the curve, Point)"""
    said = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards = {s.key: PanelCard(s.title, None, s.height, pick=s.pick) for s in CARDS}
        self.adversary = PanelCard(ADVERSARY.title, MOVING, ADVERSARY.height, pick=Pick.ALL)
        self.adversary.setProperty("card", "warn")
        self.adversary.noted = True
        self._specs = {s.key: s for s in (*CARDS, ADVERSARY)}
        self._columns = self._turn = 0
        self._by_step = True
        self._build()
        for card in self.all_cards.values():
            card.pointAsked.connect(self.pointAsked)
            card.said.connect(self.said)

    @property
    def all_cards(self) -> Mapping[str, PanelCard]:
        """Every card by its key, in their order."""
        return {**self.cards, ADVERSARY.key: self.adversary}

    @property
    def shown_cards(self) -> Mapping[str, PanelCard]:
        """Those that the track has charts for."""
        return self.cards if self._moving.isHidden() else self.all_cards

    def _build(self) -> None:
        self.about = make_label("", "muted", wrap=True)
        self._grid = QGridLayout()
        self._grid.setSpacing(SPACE_4)
        self._moving = QWidget()
        column = QVBoxLayout(self._moving)
        column.setContentsMargins(0, SPACE_6, 0, 0)
        column.setSpacing(SPACE_2)
        column.addWidget(make_label("Current Adversary", "heading"))
        column.addWidget(make_label(
            "Each step's own problems and hints. Both change with every step, so these curves are kept apart: they "
            "tell how the game goes, not how robust the model is.", "muted", wrap=True,
        ))  # fmt: skip
        column.addWidget(self.adversary)
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(SPACE_2)
        body.addWidget(make_label("Frozen suite", "heading"))
        body.addWidget(self.about)
        body.addSpacing(SPACE_2)
        body.addLayout(self._grid)
        body.addWidget(self._moving)
        self.lay_out()

    # ------------------------------------------------------------------ render

    def render_track(self, track: Track | None) -> None:
        """Another track: every card waits for its panel."""
        self._by_step = track is None or track.by_step
        self._moving.setVisible(track is not None and track.origin is Origin.RUN)
        self.about.setText("" if track is None else say_track(track))
        for card in self.all_cards.values():
            card.context = "" if track is None else f"{track.run or track.title}  ·  {track.suite}"
            card.render_waiting()
        self.adversary.context = "" if track is None else f"{track.run}  ·  not comparable over steps"

    def render_panel(self, chart: Chart, panel: Panel) -> None:
        """A panel came: whoever shows it takes it."""
        for key, card in self.all_cards.items():
            if self._specs[key].chart is chart:
                by_step = self._by_step or chart is Chart.ADVERSARY
                card.render_panel(panel, by_step=by_step)

    def render_failed(self, chart: Chart, text: str) -> None:
        """A chart that cannot be made, and why."""
        for key, card in self.all_cards.items():
            if self._specs[key].chart is chart:
                card.render_nothing(text)

    def mark_stale(self) -> None:
        """All anew: the theme changed."""
        for card in self.all_cards.values():
            card.mark_stale()
            card.key.update()

    def draw_next(self) -> bool:
        """Draw the next stale chart in view, in turn; False when there is none."""
        cards = list(self.all_cards.values())
        for i in range(len(cards)):
            if cards[(self._turn + i) % len(cards)].draw_if_stale():
                self._turn = (self._turn + i + 1) % len(cards)
                return True
        return False

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Reflow."""
        self.lay_out()
        super().resizeEvent(event)

    def lay_out(self) -> None:
        """Two columns, three in a wide window."""
        columns = 3 if self.width() >= WIDE else 2
        if columns == self._columns:
            return
        self._columns = columns
        for i, card in enumerate(self.cards.values()):
            self._grid.removeWidget(card)
            last = i == len(self.cards) - 1
            self._grid.addWidget(card, i // columns, i % columns, 1, columns - i % columns if last else 1)
        for column in range(3):
            self._grid.setColumnStretch(column, int(column < columns))
        if columns == 3:
            for column in range(3):
                self._grid.setColumnMinimumWidth(column, 0)


def say_track(track: Track) -> str:
    """What every point of the section was measured on."""
    who = "every checkpoint" if track.by_step else "every model"
    return (
        f"{track.suite}: the same {track.problems:,} problems and texts for {who}, so points can be compared.  "
        f"Asked {track.asking}.  Hash {track.suite_hash[:12]}."
    )  # fmt: skip
