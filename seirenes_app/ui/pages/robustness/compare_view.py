"""Several runs on one suite: which ones, their curves, their paired differences, and why some cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from seirenes_app.services.charts.panels import Pick
from seirenes_app.services.robustness.types import Comparison
from seirenes_app.ui.charts.card import EMPTY, FigureCard, fit_columns
from seirenes_app.ui.pages.robustness.chart_cards import PanelCard
from seirenes_app.ui.pages.robustness.controller import Comparable
from seirenes_app.ui.theme import SPACE_2, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import make_label, set_tone

ROLE = Qt.ItemDataRole.UserRole + 1
ROW_HEIGHT = 30
PROMPT = "Tick two or more and compare them: on the same suite, with the same settings, paired problem by problem."


class CompareView(QWidget):
    """Emits what the user asks for; `render_…` shows the state."""

    compareRequested = Signal(object)
    """Folders, in their order."""
    evaluateRequested = Signal(object)
    """Folders of runs that are to be evaluated on one suite."""
    pointRequested = Signal(str, object)
    said = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._comparables: tuple[Comparable, ...] = ()
        self._build()
        self.list.itemChanged.connect(lambda _i: self._render_buttons())
        for card in self.cards:
            card.said.connect(self.said)
        for panel in self.panels:
            panel.pointRequested.connect(self.pointRequested)

    def _build(self) -> None:
        chooser = Card()
        self.list = QListWidget()
        self.list.setAccessibleName("Runs to compare; Space ticks one")
        self.list.setFixedHeight(150)
        self.evaluate = make_button("Evaluate both on…", "play", clicked=self._on_evaluate,
                                    tip="Evaluate these runs on one suite, then compare them")  # fmt: skip
        self.compare = make_button("Compare", "compare", kind="primary", clicked=self._on_compare)
        self.status = make_label(PROMPT, "muted", wrap=True)
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(make_label("Compare runs", "heading"))
        head.addStretch(1)
        head.addWidget(self.evaluate)
        head.addWidget(self.compare)
        chooser.body.addLayout(head)
        chooser.body.addWidget(self.status)
        chooser.body.addWidget(self.list)
        self.refused = Card("warn")
        self.refused_text = make_label("", wrap=True, select=True)
        self.refused.body.addWidget(make_label("Not compared", "heading"))
        self.refused.body.addWidget(self.refused_text)
        self.panels = [PanelCard(title, None, 240, pick=Pick.ALL) for title in ("Hinted accuracy", "Clean accuracy")]
        self.results = QWidget()
        grid = QGridLayout(self.results)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(SPACE_4)
        for column, card in enumerate(self.panels):
            grid.addWidget(card, 0, column)
            grid.setColumnStretch(column, 1)
        self.differences = DifferencesCard()
        grid.addWidget(self.differences, 1, 0, 1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_4)
        for part in (chooser, self.refused, self.results):
            layout.addWidget(part)
        layout.addStretch(1)
        self.refused.hide()
        self.results.hide()
        self._render_buttons()

    @property
    def cards(self) -> tuple[FigureCard, ...]:
        """Those that wait for their turn to draw."""
        return (*self.panels, self.differences)

    # ------------------------------------------------------------------ render

    def render_comparables(self, comparables: Sequence[Comparable], open_root: Path | None) -> None:
        """What there is; ticks stay, and what is open is ticked."""
        if tuple(comparables) == self._comparables:
            return
        ticked = {*self.chosen, open_root}
        self._comparables = tuple(comparables)
        self.list.clear()
        for one in comparables:
            item = QListWidgetItem(f"{one.name}   {one.note}".strip())
            item.setData(ROLE, one)
            item.setSizeHint(QSize(0, ROW_HEIGHT))
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if one.root in ticked else Qt.CheckState.Unchecked)
            self.list.addItem(item)
        self._render_buttons()

    def tick(self, roots: Sequence[Path]) -> None:
        """Choose these and no others."""
        for item in self._items():
            on = item.data(ROLE).root in roots
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def _items(self) -> list[QListWidgetItem]:
        return [self.list.item(i) for i in range(self.list.count())]

    @property
    def chosen(self) -> tuple[Path, ...]:
        """The folders that are ticked."""
        return tuple(one.root for one in self._chosen())

    def _chosen(self) -> list[Comparable]:
        return [i.data(ROLE) for i in self._items() if i.checkState() == Qt.CheckState.Checked]

    def _render_buttons(self) -> None:
        chosen = self._chosen()
        self.compare.setEnabled(sum(one.runs for one in chosen) > 1)
        self.evaluate.setEnabled(len(chosen) > 1)
        self.evaluate.setText("Evaluate both on…" if len(chosen) < 3 else f"Evaluate all {len(chosen)} on…")

    def _on_compare(self) -> None:
        self.status.setText("Comparing…")
        set_tone(self.status, "")
        self.compareRequested.emit(self.chosen)

    def _on_evaluate(self) -> None:
        self.evaluateRequested.emit(self.chosen)

    def render_comparison(self, found: Comparison) -> None:
        """The result."""
        names = ", ".join(run.name for run in found.runs)
        self.status.setText(f"Compared: {names}." if len(found.runs) > 1 else " ".join(found.sentences))
        self.refused.setVisible(bool(found.refused))
        self.refused_text.setText("\n".join(found.refused))
        self.results.setVisible(bool(found.panels))
        for card, panel in zip(self.panels, found.panels, strict=False):
            card.heading.setText(panel.title)
            card.render_panel(panel, by_step=True)
        if found.panels:
            self.differences.render_comparison(found)

    def render_failed(self, text: str) -> None:
        """Why they could not be compared."""
        self.status.setText(text)
        set_tone(self.status, "bad")
        self.results.hide()


class DifferencesCard(FigureCard):
    """The paired differences, as a table."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Paired differences", None, 190, parent)
        self.put_picture(self.table)
        self.table_button.hide()
        self.render_words("", "", EMPTY, empty=True)

    def render_comparison(self, found: Comparison) -> None:
        """Another comparison."""
        *lines, note = found.sentences or ("",)
        self.render_words("\n".join(lines), note, found.table, empty=not found.lines)
        self.note_shown = True
        self.note.setVisible(bool(note))
        self._stack.setCurrentWidget(self.table if found.lines else self.empty)
        fit_columns(self.table)

    def draw(self) -> None:
        """A table paints itself."""

    def save_picture(self, path: Path) -> None:
        """The card as it is on the screen."""
        if path.suffix.lower() != ".png" or not self.grab().save(str(path)):
            raise ValueError("the differences are a table: save it as CSV or PNG")
