"""The charts of a track: the frozen suite's in one section, the moving Adversary's in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from seirenes_app.services.charts.panels import PanelChart, Pick, describe_types, has_types, overlay_panel, panel_chart
from seirenes_app.services.robustness.panels import text_table
from seirenes_app.services.robustness.types import Chart, Origin, Panel, Track
from seirenes_app.ui.charts.card import EMPTY, CardGrid, ChartCard
from seirenes_app.ui.charts.overlay import OverlayButton
from seirenes_app.ui.theme import SPACE_2, SPACE_4, SPACE_6
from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.labels import make_label


class PanelCard(ChartCard):
    """A panel. Without a `pick` of its own, single hint types come and go with a button."""

    pointRequested = Signal(str, object)
    """(key of the curve, Point): show the rows behind it."""

    def __init__(
        self, title: str, basis: BadgeStyle | None, height: int = 200, *, pick: Pick | None = None,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(title, basis, height, pick=True, parent=parent)
        self._fixed = pick
        self._panel: Panel | None = None
        self._by_step = True
        self.types = QPushButton("Hint types")
        self.types.setCheckable(True)
        self.types.setProperty("chip", "pick")
        self.types.setAccessibleName(f"{title}: show each type of hint")
        self.types.toggled.connect(lambda _on: self._render())
        self.types.hide()
        self.head.insertWidget(self.head.indexOf(self.place) + 1, self.types)
        self.plot.setAccessibleName(
            f"{title}, plot. Left and Right go from point to point, Up and Down from curve to curve, Enter shows the "
            "rows behind a point."
        )
        self.plot.pointRequested.connect(self._on_point_requested)
        self.render_waiting()

    def render_panel(self, panel: Panel, *, by_step: bool) -> None:
        """Another panel."""
        self._panel, self._by_step = panel, by_step
        self.types.setVisible(self._fixed is None and has_types(panel))
        self._render()

    def _render(self) -> None:
        panel = self._panel
        if panel is None:
            return
        several = has_types(panel)
        chosen = Pick.TYPES if self.types.isChecked() and several else Pick.MAIN if several else Pick.ALL
        chart = panel_chart(panel, by_step=self._by_step, pick=self._fixed or chosen)
        self.plot.move_cursor(None)
        self.render_chart(chart if chart.curves else None)
        text = describe_types(panel) if self._fixed is Pick.TYPES and chart.curves else panel.sentence
        self.render_texts(text, panel.note, panel.table, empty=self.chart is None, shown=text_table(panel))

    def render_waiting(self) -> None:
        """Nothing yet."""
        self._panel = None
        self.render_chart(None)
        super().render_waiting()

    def render_nothing(self, reason: str) -> None:
        """There is no such chart, and the reason."""
        self.render_waiting()
        self.render_texts(reason, "", EMPTY, empty=True)

    def describe(self) -> str:
        """The point at the cursor; without one, the whole reading."""
        x, chart = self.plot.cursor_x, self.chart
        found = chart.describe(self.plot.current, x) if isinstance(chart, PanelChart) and x is not None else ""
        return found or self.legend.text()

    def _on_cursor_changed(self) -> None:
        super()._on_cursor_changed()
        if isinstance(self.chart, PanelChart) and (point := self.chart.point(self.plot.current, self.plot.cursor_x)):
            self.place.setText(f"{self.place.text()} · {point.problems:,} problems")

    def _on_point_requested(self, series: int, x: float) -> None:
        if isinstance(self.chart, PanelChart) and (point := self.chart.point(series, x)):
            self.pointRequested.emit(self.chart.curves[series].key, point)


WIDE = 1500


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
    CardSpec("types", "Accuracy by hint type", Chart.ACCURACY, Pick.TYPES, 250),
    CardSpec("gap", "Paired gap", Chart.GAP),
    CardSpec("flips", "What a hint changes", Chart.FLIPS, Pick.ALL),
    CardSpec("worst", "Worst of k and its placebo", Chart.WORST_OF_K, Pick.ALL),
    CardSpec("generalisation", "Generalisation gap", Chart.GENERALISATION, Pick.ALL),
    CardSpec("drop", "Performance drop rate", Chart.DROP_RATE),
    CardSpec("follow", "Follow rate", Chart.FOLLOW_RATE),
)
ADVERSARY = CardSpec("adversary", "Against the Adversary of each step", Chart.ADVERSARY, Pick.ALL, 190)
MOVING = BadgeStyle("warning", "Moving Adversary", "warn")
MOVING_NOTE = (
    "Each step's own problems and hints. Both change with every step, so these curves are kept apart: they show how "
    "the game goes, not how robust the model is."
)


class ChartGrid(CardGrid):
    """`render_track` empties it, `render_panel` fills it chart by chart, `draw_next` draws one."""

    pointRequested = Signal(str, object)
    """(key of the curve, Point)"""
    said = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards = {s.key: PanelCard(s.title, None, s.height, pick=s.pick) for s in CARDS}
        self.adversary = PanelCard(ADVERSARY.title, MOVING, ADVERSARY.height, pick=Pick.ALL)
        self.adversary.setProperty("card", "warn")
        self.adversary.note_shown = True
        self._columns = 0
        self._by_step = True
        self._panels: dict[Chart, Panel] = {}
        self._others: Mapping[Chart, Sequence[tuple[str, Panel]]] = {}
        self._build()
        for card in self.all_cards.values():
            card.pointRequested.connect(self.pointRequested)
            card.said.connect(self.said)

    @property
    def all_cards(self) -> Mapping[str, PanelCard]:
        """Every card by its key, in their order."""
        return {**self.cards, ADVERSARY.key: self.adversary}

    def _build(self) -> None:
        self.about = make_label("", "muted", wrap=True)
        self._grid = QGridLayout()
        self._grid.setSpacing(SPACE_4)
        self._moving = QWidget()
        column = QVBoxLayout(self._moving)
        column.setContentsMargins(0, SPACE_6, 0, 0)
        column.setSpacing(SPACE_2)
        column.addWidget(make_label("Current Adversary", "heading"))
        column.addWidget(make_label(MOVING_NOTE, "muted", wrap=True))
        column.addWidget(self.adversary)
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(SPACE_2)
        self.overlay = OverlayButton()
        head = QHBoxLayout()
        head.addWidget(make_label("Frozen suite", "heading"), 1)
        head.addWidget(self.overlay)
        body.addLayout(head)
        body.addWidget(self.about)
        body.addSpacing(SPACE_2)
        body.addLayout(self._grid)
        body.addWidget(self._moving)
        self.lay_out()

    def render_track(self, track: Track | None) -> None:
        """Another track: every card waits for its panel."""
        self._by_step = track is None or track.by_step
        self._panels, self._others = {}, {}
        self.overlay.setEnabled(track is not None and track.by_step)
        self.overlay.choose(())
        self._moving.setVisible(track is not None and track.origin is Origin.RUN)
        self.about.setText("" if track is None else describe_track(track))
        for card in self.all_cards.values():
            card.context = "" if track is None else f"{track.run or track.title}  ·  {track.suite}"
            card.render_waiting()
        self.adversary.context = "" if track is None else f"{track.run}  ·  not comparable over steps"

    def _cards_of(self, chart: Chart) -> list[PanelCard]:
        return [self.all_cards[s.key] for s in (*CARDS, ADVERSARY) if s.chart is chart]

    def render_panel(self, chart: Chart, panel: Panel) -> None:
        """A panel for the cards that show it."""
        self._panels[chart] = panel
        found = overlay_panel(panel, self._others.get(chart, ()))
        for card in self._cards_of(chart):
            card.render_panel(found, by_step=self._by_step or chart is Chart.ADVERSARY)

    def render_others(self, others: Mapping[Chart, Sequence[tuple[str, Panel]]]) -> None:
        """Other runs' panels of the same suite, to draw in the same charts."""
        self._others = others
        for chart, panel in tuple(self._panels.items()):
            self.render_panel(chart, panel)

    def render_failed(self, chart: Chart, text: str) -> None:
        """A chart that cannot be made, and the reason."""
        for card in self._cards_of(chart):
            card.render_nothing(text)

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


def describe_track(track: Track) -> str:
    """What every point of the section was measured on."""
    who = "every checkpoint" if track.by_step else "every model"
    return (
        f"{track.suite}: the same {track.problems:,} problems and texts for {who}, so points can be compared.  "
        f"Asked {track.asking}.  Hash {track.suite_hash[:12]}."
    )
