"""The charts of a track, on the frozen suite and against the moving Adversary, and the comparison of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QFont
from PySide6.QtWidgets import QPushButton, QWidget

from seirenes_app.services.charts.panels import PanelChart, Pick, describe_types, has_types, overlay_panel, panel_chart
from seirenes_app.services.formatting import describe_prompts
from seirenes_app.services.robustness.comparison import COMPARED
from seirenes_app.services.robustness.domain_transfer import CONDITIONS as TRANSFER_CONDITIONS
from seirenes_app.services.robustness.domain_transfer import DomainTransfer, TransferRow
from seirenes_app.services.robustness.panels import over_cpu_time, text_table
from seirenes_app.services.robustness.types import (
    COMPARISON_COLUMNS,
    Chart,
    Comparison,
    DataTable,
    Origin,
    Panel,
    Track,
)
from seirenes_app.ui.charts.card import EMPTY, CardGrid, ChartCard, FigureCard, TableCard, fit_columns
from seirenes_app.ui.pages.robustness.controller import Comparable
from seirenes_app.ui.theme import SPACE_2, SPACE_4, SPACE_6, current_theme
from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.banner import Banner, BannerKind
from seirenes_app.ui.widgets.boxes import column, fill, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.check_list import CheckList
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from seirenes_app.ui.widgets.table_model import Column, TableModel
from training.core.types import Condition


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
    CardSpec("adversary", "Against the Adversary of each step", Chart.ADVERSARY, Pick.ALL, 190),
)
STEPS, CPU = "steps", "cpu"
AXES = (
    Segment(STEPS, "Steps", tip="Training steps on the axis"),
    Segment(CPU, "CPU time", tip="Processor seconds of training on the axis: what an accuracy cost"),
)
MOVING = BadgeStyle("warning", "Moving Adversary", "warn")
MOVING_NOTE = (
    "Each step's own problems and hints. Both change with every step, so these curves are kept apart: they show how "
    "the game goes, not how robust the model is."
)


class ChartGrid(CardGrid):
    """`render_track` empties it, `render_panel` fills it chart by chart, `draw_next` draws one."""

    cards: Mapping[str, PanelCard]

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards = {
            s.key: PanelCard(s.title, MOVING if s.chart is Chart.ADVERSARY else None, s.height, pick=s.pick)
            for s in CARDS
        }
        self.adversary = self.cards["adversary"]
        self.adversary.setProperty("card", "warn")
        self.adversary.note_shown = True
        self._by_step = True
        self._panels: dict[Chart, Panel] = {}
        self._others: Mapping[Chart, Sequence[tuple[str, Panel]]] = {}
        self.about = make_label("", "muted", wrap=True)
        self.axis = Segmented("Axis", AXES)
        self.axis.render_value(STEPS)
        self.axis.chosen.connect(self._on_axis_chosen)
        self._over_cpu = False
        self._moving = QWidget()
        column(
            make_label("Current Adversary", "heading"), make_label(MOVING_NOTE, "muted", wrap=True), self.adversary,
            margins=(0, SPACE_6, 0, 0), parent=self._moving,
        )  # fmt: skip
        head = row((make_label("Frozen suite", "heading"), 1), self.axis, self.overlay)
        column(head, self.about, SPACE_2, self.grid, self._moving, parent=self)
        self.lay_out()

    def render_track(self, track: Track | None) -> None:
        """Every card waits for its panel."""
        self._by_step = track is None or track.by_step
        self._panels, self._others = {}, {}
        self._render_axis()
        self.overlay.setEnabled(track is not None and track.by_step)
        self.overlay.choose(())
        self._moving.setVisible(track is not None and track.origin is Origin.RUN)
        self.about.setText("" if track is None else describe_track(track))
        for card in self.cards.values():
            card.context = "" if track is None else f"{track.run or track.title}  ·  {track.suite}"
            card.render_waiting()
        self.adversary.context = "" if track is None else f"{track.run}  ·  not comparable over steps"

    def _cards_of(self, chart: Chart) -> list[PanelCard]:
        return [self.cards[s.key] for s in CARDS if s.chart is chart]

    def render_panel(self, chart: Chart, panel: Panel) -> None:
        self._panels[chart] = panel
        self._render_axis()
        others = self._others.get(chart, ())
        if self._over_cpu and (timed := over_cpu_time(panel)) is not panel:
            # A run whose processor time was not measured has no place on this axis.
            mapped = [(name, other, over_cpu_time(other)) for name, other in others]
            panel, others = timed, [(name, found) for name, other, found in mapped if found is not other]
        found = overlay_panel(panel, others)
        for card in self._cards_of(chart):
            card.render_panel(found, by_step=self._by_step or chart is Chart.ADVERSARY)

    def _render_axis(self) -> None:
        """Offered only where the run measured its processor time."""
        self.axis.setVisible(any(panel.cpu_s for panel in self._panels.values()))
        self.axis.render_value(CPU if self._over_cpu else STEPS)

    def _on_axis_chosen(self, value: str) -> None:
        self._over_cpu = value == CPU
        for chart, panel in tuple(self._panels.items()):
            self.render_panel(chart, panel)

    def render_others(self, others: Mapping[Chart, Sequence[tuple[str, Panel]]]) -> None:
        """Other runs' panels of the same suite, to draw in the same charts."""
        self._others = others
        for chart, panel in tuple(self._panels.items()):
            self.render_panel(chart, panel)

    def render_failed(self, chart: Chart, text: str) -> None:
        """A chart that cannot be made, and the reason."""
        for card in self._cards_of(chart):
            card.render_nothing(text)

    def places(self, columns: int) -> Mapping[str, tuple[int, int, int, int]]:
        *keys, last = [key for key in self.cards if key != "adversary"]
        n = len(keys)
        places = {key: (i // columns, i % columns, 1, 1) for i, key in enumerate(keys)}
        return {**places, last: (n // columns, n % columns, 1, columns - n % columns)}


def describe_track(track: Track) -> str:
    """What every point of the section was measured on."""
    who = "every checkpoint" if track.by_step else "every model"
    return (
        f"{track.suite}: the same {track.problems:,} problems and texts for {who}, so points can be compared.  "
        f"Asked {track.asking}.  {describe_prompts(dict(zip(track.targets, track.prompts, strict=False)))}  "
        f"Hash {track.suite_hash[:12]}."
    )


class DifferencesCard(TableCard):
    """The paired differences, as a table."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Paired differences", 190, parent)
        self.note_shown = True

    def render_comparison(self, found: Comparison) -> None:
        *lines, note = found.sentences or ("",)
        self.render_table("\n".join(lines), note, found.table, DataTable(COMPARISON_COLUMNS, found.rows))


class TransferCard(FigureCard):
    """Transfer between domains in one condition: a line a run, a column a family. Its table has all conditions."""

    file_kinds = ("PNG", "CSV")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Transfer between domains", None, 150, parent)
        self._found: DomainTransfer | None = None
        names = [Segment(str(c), str(c).capitalize()) for c in TRANSFER_CONDITIONS]
        self.condition = Segmented("Condition", names, columns=len(names))
        self.condition.render_value(str(Condition.HINTED))
        self.condition.chosen.connect(lambda _value: self._render_matrix())
        self.above.addWidget(self.condition)
        self.cells = TableModel((), self)
        self.matrix = self._make_table()
        self.matrix.setModel(self.cells)
        self.matrix.setAccessibleName("Transfer between domains, change in points")
        self.put_picture(self.matrix)
        self.note_shown = True
        self.render_texts("", "", EMPTY, empty=True)

    def render_transfer(self, found: DomainTransfer) -> None:
        self._found = found
        self.render_texts("\n".join(found.sentences), found.note, found.table, empty=False)
        self.holder.setFixedHeight(max(150, 88 + 24 * len(found.rows)))
        self._render_matrix()

    def _render_matrix(self) -> None:
        if (found := self._found) is None:
            return
        condition = Condition(self.condition.value)
        n = len(found.columns)
        # The two that take families together stand first.
        places = [n - 2, n - 1, *range(n - 2)]
        run = Column("run: trained on", lambda row: f"{row.run}: {row.trained_on}", row_tip=lambda row: row.trained_on)
        self.cells.render_columns((run, *(_transfer_column(found, place, condition) for place in places)))
        self.cells.render_rows(found.rows)
        fit_columns(self.matrix)


def _transfer_column(found: DomainTransfer, place: int, condition: Condition) -> Column:
    """The cells of one family. What may be called a change is bold and coloured."""

    def colour(row: TransferRow) -> QColor | None:
        tone = row.cells[place].tone(condition)
        return None if tone == "muted" else current_theme().colour(tone)

    def font(row: TransferRow) -> QFont | None:
        if not row.cells[place].is_clear(condition):
            return None
        bold = QFont()
        bold.setBold(True)
        return bold

    return Column(
        found.columns[place], lambda row: row.cells[place].text(condition),
        row_tip=lambda row: row.cells[place].describe(condition), right=True,
        roles={int(Qt.ItemDataRole.ForegroundRole): colour, int(Qt.ItemDataRole.FontRole): font},
    )  # fmt: skip


PROMPT = "Tick two or more and compare them: on the same suite, with the same settings, paired problem by problem."


class CompareView(QWidget):
    """Emits what the user asks for; `render_…` shows the state."""

    compareRequested = Signal(object)
    """Folders, in their order."""
    evaluateRequested = Signal(object)
    """Folders of runs that are to be evaluated on one suite."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._comparables: tuple[Comparable, ...] = ()
        self.list = CheckList("Runs to compare")
        self.list.setFixedHeight(150)
        self.list.ticksChanged.connect(self._render_buttons)
        self.evaluate = make_button(
            "Evaluate both on…", "play", tip="Evaluate these runs on one suite, then compare them",
            clicked=lambda: self.evaluateRequested.emit(self.chosen),
        )  # fmt: skip
        self.compare = make_button("Compare", "compare", kind="primary", clicked=self._on_compare)
        self.status = make_label(PROMPT, "muted", wrap=True)
        chooser = Card()
        head = row(make_label("Compare runs", "heading"), None, self.evaluate, self.compare)
        fill(chooser.body, head, self.status, self.list)
        self.refused = Banner()
        titles = [f"{str(condition).capitalize()} accuracy" for condition in COMPARED]
        self.panels = [PanelCard(title, None, 240, pick=Pick.ALL) for title in titles]
        self.differences = DifferencesCard()
        self.transfer = TransferCard()
        self.results = QWidget()
        above, below = (row(*((panel, 1) for panel in half), spacing=SPACE_4) for half in
                        (self.panels[:2], self.panels[2:]))  # fmt: skip
        column(above, below, self.differences, self.transfer, spacing=SPACE_4, parent=self.results)
        self.results.hide()
        column(chooser, self.refused, self.results, None, spacing=SPACE_4, parent=self)
        self._render_buttons()

    def render_comparables(self, comparables: Sequence[Comparable], open_root: Path | None) -> None:
        """Ticks stay, and what is open is ticked."""
        if tuple(comparables) == self._comparables:
            return
        ticked = {*self.chosen, open_root}
        self._comparables = tuple(comparables)
        self.list.clear()
        for one in comparables:
            self.list.add(f"{one.name}   {one.note}".strip(), one, on=one.root in ticked)
        self._render_buttons()

    def tick(self, roots: Sequence[Path]) -> None:
        """Choose these and no others."""
        self.list.tick(lambda one: one.root in roots)

    @property
    def chosen(self) -> tuple[Path, ...]:
        """The folders that are ticked."""
        return tuple(one.root for one in self.list.ticked)

    def _render_buttons(self) -> None:
        chosen = self.list.ticked
        self.compare.setEnabled(sum(one.runs for one in chosen) > 1)
        self.evaluate.setEnabled(len(chosen) > 1)
        self.evaluate.setText("Evaluate both on…" if len(chosen) < 3 else f"Evaluate all {len(chosen)} on…")

    def _on_compare(self) -> None:
        self.status.setText("Comparing…")
        set_tone(self.status, "")
        self.compareRequested.emit(self.chosen)

    def render_comparison(self, found: Comparison) -> None:
        names = ", ".join(run.name for run in found.runs)
        self.status.setText(f"Compared: {names}." if len(found.runs) > 1 else " ".join(found.sentences))
        self.refused.clear()
        if found.refused:
            self.refused.show_message(BannerKind.WARNING, "Not compared", "\n".join(found.refused))
        self.results.setVisible(bool(found.panels))
        for card, panel in zip(self.panels, found.panels, strict=False):
            card.heading.setText(panel.title)
            card.render_panel(panel, by_step=True)
        for place, card in enumerate(self.panels):
            # What neither run was asked has no chart.
            card.setVisible(place < len(found.panels))
        if found.panels:
            self.differences.render_comparison(found)
        self.transfer.setVisible(found.transfer is not None)
        if found.transfer is not None:
            self.transfer.render_transfer(found.transfer)

    def render_failed(self, text: str) -> None:
        """Why they could not be compared."""
        self.status.setText(text)
        set_tone(self.status, "bad")
        self.results.hide()
