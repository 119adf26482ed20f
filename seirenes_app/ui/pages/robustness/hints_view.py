"""What the Adversary of a run learned: its hints by step, which features succeed, forms with examples, replays.

`render_…` shows the state; the page reads the figures in a task.
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QModelIndex, Signal
from PySide6.QtWidgets import QComboBox, QPushButton, QWidget

from seirenes_app.services import hint_figures
from seirenes_app.services.charts.data import ChartData
from seirenes_app.services.hint_figures import HintAnalysis
from seirenes_app.services.robustness.types import DataTable
from seirenes_app.ui.charts.card import EMPTY, ChartCard, TableCard
from seirenes_app.ui.theme import SPACE_2, SPACE_4
from seirenes_app.ui.widgets.boxes import column, ignore_wheel, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card, EmptyStateHolder
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.progress import Progress
from training.evaluation.hint_analysis import HintCluster

READING = "Reading the rollouts…"
NO_RUN = "The run of these models is not among your runs, so its hints cannot be read."
TABLE_ROWS_HEIGHT = 350
FORM_WIDTH = 270


class FrequencyCard(ChartCard):
    """Shares of the hints of each step; a chooser says by which feature."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("What is written", None, 260, parent=parent)
        self.feature = QComboBox()
        self.feature.setAccessibleName("Shares of hints by")
        self.feature.activated.connect(lambda _i: self._render())
        ignore_wheel(self.feature)
        self.head.insertWidget(self.head.indexOf(self.place), self.feature)
        self._analysis: HintAnalysis | None = None

    def render_analysis(self, found: HintAnalysis) -> None:
        """The chosen feature stays chosen."""
        chosen = self.feature.currentData()
        self._analysis = found
        self.feature.clear()
        for f in found.frequencies:
            self.feature.addItem(hint_figures.FEATURES.get(f.feature, f.feature.capitalize()), f.feature)
        self.feature.setCurrentIndex(max(0, self.feature.findData(chosen)))
        self._render()

    def _render(self) -> None:
        found = self._analysis
        frequency = found.frequencies[self.feature.currentIndex()] if found and found.frequencies else None
        chart = hint_figures.frequency_chart(frequency) if frequency is not None else None
        self.render_chart(chart)
        sentence = hint_figures.growth_sentence(found) if found is not None else ""
        self.render_texts(
            sentence, hint_figures.FREQUENCY_NOTE, chart.long_table() if chart else EMPTY, empty=chart is None,
            shown=chart.wide_table() if chart else None,
        )  # fmt: skip


class FigureOf(ChartCard):
    """A chart with its sentence, note and table."""

    def render_figure(
        self, chart: ChartData | None, sentence: str, note: str, table: DataTable, shown: DataTable | None = None
    ) -> None:  # fmt: skip
        self.render_chart(chart)
        self.render_texts(sentence, note, table, empty=chart is None, shown=shown)


class FormsCard(TableCard):
    """Forms of hints with what became of them, and examples of the chosen one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Forms, with examples", TABLE_ROWS_HEIGHT, parent)
        self.examples = make_label("", wrap=True, select=True)
        self.examples.setAccessibleName("Examples of the chosen form")
        self.examples.setMinimumHeight(5 * self.examples.fontMetrics().lineSpacing())
        self.layout().insertWidget(3, self.examples)
        self._clusters: tuple[HintCluster, ...] = ()
        self.table.selectionModel().currentRowChanged.connect(self._on_row_changed)

    def render_analysis(self, found: HintAnalysis) -> None:
        self._clusters = found.clusters
        self.render_table(
            hint_figures.third_text(found), hint_figures.CLUSTER_NOTE, hint_figures.cluster_table(found),
            hint_figures.cluster_text(found),
        )  # fmt: skip
        self.table.setColumnWidth(0, FORM_WIDTH)
        if found.clusters:
            self.table.selectRow(0)
        self._on_row_changed(self.table.currentIndex())

    def _on_row_changed(self, index: QModelIndex, _before: QModelIndex | None = None) -> None:
        place = index.row()
        if not 0 <= place < len(self._clusters):
            self.examples.setText("")
            return
        cluster = self._clusters[place]
        self.examples.setText("\n".join((cluster.shape, *hint_figures.example_lines(cluster))))


class HintsView(QWidget):
    """Emits what the user asks for; `render_…` shows the state. Nothing, waiting, or the figures."""

    analyseRequested = Signal()
    cancelRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.root: Path | None = None
        """The run whose figures are shown."""
        self.again = make_button(
            "Analyse again", "refresh", kind="quiet", tip="Read the rollouts again, with those that came since",
            clicked=self.analyseRequested.emit,
        )  # fmt: skip
        self.summary = make_label("", wrap=True, select=True)
        self.progress = Progress("Stop reading")
        self.progress.cancelRequested.connect(self.cancelRequested)
        self.frequencies = FrequencyCard()
        self.effects = FigureOf("Which features go with wrong solutions", None, 240)
        self.forgetting = FigureOf("The same hints, shown again", None, 220)
        self.forms = FormsCard()
        self.cards = (self.frequencies, self.effects, self.forgetting, self.forms)
        head = Card()
        head.body.addLayout(row((make_label("What the Adversary learned", "heading"), 1), self.again))
        head.body.addWidget(self.summary)
        figures = column(
            head, self.frequencies, self.effects, self.forgetting, self.forms, spacing=SPACE_4
        )  # fmt: skip
        self.figures, self._nothing = QWidget(), EmptyStateHolder()
        self.figures.setLayout(figures)
        column(self.progress, SPACE_2, (self._nothing, 1), self.figures, spacing=0, parent=self)
        self.render_nothing("Hints", "What the Adversary of a run wrote, and what it did.")

    @property
    def nothing(self) -> str:
        """The message in place of figures that was shown last."""
        return self._nothing.state.accessibleName() if self._nothing.state is not None else ""

    def render_nothing(
        self, title: str, text: str, *, analyse: bool = False, icon: str = "note", buttons: tuple[QPushButton, ...] = ()
    ) -> None:
        """There are no figures, and the reason; `analyse`: they can be asked for."""
        self.root = None
        self.progress.clear()
        if analyse:
            start = make_button("Analyse the hints", "play", kind="primary", clicked=self.analyseRequested.emit)
            buttons = (*buttons, start)
        self._nothing.render_state(icon, title, text, buttons)
        self.figures.hide()
        self._nothing.show()

    def render_progress(self, done: int = 0, total: int = 0) -> None:
        text = f"Describing hints: {done:,} of {total:,}" if total else READING
        self.progress.render_progress(text, done, total)

    def render_analysis(self, root: Path, found: HintAnalysis) -> None:
        self.progress.clear()
        if not found.hints:
            self.render_nothing("No hints to analyse", hint_figures.summarise(found)[0])
            self.root = root
            return
        self.root = root
        self.summary.setText("\n".join(hint_figures.overview(found)))
        for card in self.cards:
            card.context = root.name
        self.frequencies.render_analysis(found)
        self.effects.render_figure(
            hint_figures.effects_chart(found.model), hint_figures.model_sentence(found.model),
            hint_figures.EFFECTS_NOTE, hint_figures.effect_table(found), hint_figures.effect_rows(found),
        )  # fmt: skip
        self.forgetting.render_figure(
            hint_figures.forgetting_chart(found), hint_figures.replay_sentence(found), hint_figures.REPLAY_NOTE,
            hint_figures.replay_table(found),
        )  # fmt: skip
        self.forms.render_analysis(found)
        self._nothing.hide()
        self.figures.show()

    def draw_next(self) -> bool:
        """Draw the next chart that is in view and has changed; False where there is none."""
        return any(card.draw_if_stale() for card in (self.frequencies, self.effects, self.forgetting))
