"""Transfer: what the hints of the open evaluation do to each of its models, or how to measure it."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, Signal
from PySide6.QtWidgets import QComboBox, QPushButton, QWidget

from seirenes_app.services.robustness.transfer import (
    HintTransfer,
    Transfer,
    describe_hint,
    hint_table,
    long_table,
    loss_chart,
    model_table,
)
from seirenes_app.ui.charts.card import EMPTY, ChartCard, TableCard
from seirenes_app.ui.theme import SPACE_4
from seirenes_app.ui.widgets.boxes import column, ignore_wheel, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card, EmptyStateHolder
from seirenes_app.ui.widgets.labels import make_label

ABOUT = (
    "Hints that were made against one model may harm others too. A transfer asks several models the same problems "
    "clean, with these hints, and with neutral text of their length: what they lose beyond the neutral text, hint by "
    "hint, and whether they lose it to the same hints."
)
HINT_WIDTH, HINTS_HEIGHT = 340, 330


class HintsCard(TableCard):
    """Hints × models, the most harmful first, and the chosen hint whole."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Hints on each model, in points", HINTS_HEIGHT, parent)
        self.whole = make_label("", wrap=True, select=True)
        self.whole.setAccessibleName("The chosen hint")
        self.whole.setMinimumHeight(5 * self.whole.fontMetrics().lineSpacing())
        self.layout().insertWidget(3, self.whole)
        self._found: Transfer | None = None
        self._hints: tuple[HintTransfer, ...] = ()
        self.table.selectionModel().currentRowChanged.connect(self._on_row_changed)

    def render_transfer(self, found: Transfer) -> None:
        self._found, self._hints = found, found.hints
        sentence = "Sorted by the mean loss over the models. ★ marks a loss that is clear for the hint by itself."
        missing = "No hint has a loss to show: there is no placebo beside it, or most answers could not be graded."
        self.render_table(sentence if found.hints else missing, found.note, long_table(found), hint_table(found))
        self.table.setColumnWidth(0, HINT_WIDTH)
        if found.hints:
            self.table.selectRow(0)
        self._on_row_changed(self.table.currentIndex())

    def _on_row_changed(self, index: QModelIndex, _before: QModelIndex | None = None) -> None:
        place = index.row()
        there = self._found is not None and 0 <= place < len(self._hints)
        lines = describe_hint(self._found, self._hints[place]) if self._found is not None and there else ()
        self.whole.setText("\n".join(lines))


class TransferView(QWidget):
    """Emits what the user asks for; `render_…` shows the state. Nothing, waiting, or the figures."""

    measureRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._found: tuple[Transfer, ...] = ()
        self.suite = QComboBox()
        self.suite.setAccessibleName("Suite of the hints")
        self.suite.activated.connect(lambda _i: self._render())
        ignore_wheel(self.suite)
        self.again = make_button(
            "Measure a transfer…", "play", tip="Hints of a run or a suite on several models",
            clicked=self.measureRequested.emit,
        )  # fmt: skip
        self.summary = make_label("", wrap=True, select=True)
        self.warning = make_label("", "muted", wrap=True, select=True)
        self.losses = ChartCard("Loss beyond neutral text, by model", None, 250)
        self.models = TableCard("Models", 150)
        self.hints = HintsCard()
        self.cards = (self.losses, self.models, self.hints)
        head = Card()
        head.body.addLayout(row((make_label("Transfer of hints", "heading"), 1), self.suite, self.again))
        head.body.addWidget(self.summary)
        head.body.addWidget(self.warning)
        self._figures, self._nothing = QWidget(), EmptyStateHolder()
        column(head, self.losses, self.models, self.hints, spacing=SPACE_4, parent=self._figures)
        column((self._nothing, 1), self._figures, parent=self)
        self.render_none()

    @property
    def empty_text(self) -> str:
        """The message in place of figures that was shown last."""
        return self._nothing.state.accessibleName() if self._nothing.state is not None else ""

    def render_none(self, reason: str = "") -> None:
        """What is open has no transfer, and the reason where there is one."""
        self._found = ()
        start = make_button("Measure a transfer…", "play", kind="primary", clicked=self.measureRequested.emit)
        self._show_nothing("No transfer here", f"{reason} {ABOUT}".strip(), start)

    def render_waiting(self) -> None:
        self._show_nothing("Transfer of hints", "Reading the answers…")

    def _show_nothing(self, title: str, text: str, *buttons: QPushButton) -> None:
        self._nothing.render_state("compare", title, text, buttons)
        self._figures.hide()
        self._nothing.show()

    def render_transfers(self, found: Sequence[Transfer]) -> None:
        """One for each suite; the chosen suite stays chosen."""
        chosen = self.suite.currentData()
        self._found = tuple(found)
        if not self._found:
            self.render_none("What is open has no two models with answers under the same hints.")
            return
        self.suite.clear()
        for each in self._found:
            self.suite.addItem(each.suite, each.suite)
        self.suite.setCurrentIndex(max(0, self.suite.findData(chosen)))
        self.suite.setVisible(len(self._found) > 1)
        self._nothing.hide()
        self._figures.show()
        self._render()

    def _render(self) -> None:
        found = self._found[max(0, self.suite.currentIndex())]
        self.summary.setText("\n".join(found.sentences))
        self.warning.setText("\n".join((*found.warnings, f"{found.suite}: {found.asked}.")))
        for card in self.cards:
            card.context = found.suite
        chart = loss_chart(found)
        missing = "\n".join(m.withheld for m in found.models if m.withheld)
        self.losses.render_chart(chart)
        self.losses.render_texts(
            "Above zero the hints do harm that neutral text does not." if chart else missing, found.note,
            chart.long_table() if chart else EMPTY, empty=chart is None, shown=chart.wide_table() if chart else None,
        )  # fmt: skip
        shown = model_table(found)
        self.models.holder.setFixedHeight(max(110, 76 + 24 * len(shown.rows)))
        self.models.render_table("", found.note, long_table(found), shown)
        self.hints.render_transfer(found)

    def draw_next(self) -> bool:
        """Draw the chart if it is in view and has changed."""
        return self.losses.draw_if_stale()
