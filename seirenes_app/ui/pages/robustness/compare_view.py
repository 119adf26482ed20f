"""Several runs on one suite: which ones, their curves, their paired differences, and why some cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from seirenes_app.services.charts.panels import Pick
from seirenes_app.services.robustness.types import COMPARISON_COLUMNS, Comparison, DataTable
from seirenes_app.ui.charts.card import EMPTY, FigureCard, fit_columns
from seirenes_app.ui.pages.robustness.chart_cards import PanelCard
from seirenes_app.ui.pages.robustness.controller import Comparable
from seirenes_app.ui.theme import SPACE_4
from seirenes_app.ui.widgets.banner import Banner, BannerKind
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.check_list import CheckList
from seirenes_app.ui.widgets.labels import make_label, set_tone

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
        for card in self.cards:
            card.said.connect(self.said)
        for panel in self.panels:
            panel.pointRequested.connect(self.pointRequested)

    def _build(self) -> None:
        self.list = CheckList("Runs to compare")
        self.list.setFixedHeight(150)
        self.list.ticksChanged.connect(self._render_buttons)
        self.evaluate = make_button("Evaluate both on…", "play", clicked=self._on_evaluate,
                                    tip="Evaluate these runs on one suite, then compare them")  # fmt: skip
        self.compare = make_button("Compare", "compare", kind="primary", clicked=self._on_compare)
        self.status = make_label(PROMPT, "muted", wrap=True)
        chooser = Card()
        chooser.body.addLayout(row(make_label("Compare runs", "heading"), None, self.evaluate, self.compare))
        chooser.body.addWidget(self.status)
        chooser.body.addWidget(self.list)
        self.refused = Banner()
        self.panels = [PanelCard(title, None, 240, pick=Pick.ALL) for title in ("Hinted accuracy", "Clean accuracy")]
        self.differences = DifferencesCard()
        self.results = QWidget()
        panels = row(*((panel, 1) for panel in self.panels), spacing=SPACE_4)
        column(panels, self.differences, spacing=SPACE_4, parent=self.results)
        self.results.hide()
        column(chooser, self.refused, self.results, None, spacing=SPACE_4, parent=self)
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

    def _on_evaluate(self) -> None:
        self.evaluateRequested.emit(self.chosen)

    def render_comparison(self, found: Comparison) -> None:
        """The result."""
        names = ", ".join(run.name for run in found.runs)
        self.status.setText(f"Compared: {names}." if len(found.runs) > 1 else " ".join(found.sentences))
        self.refused.clear()
        if found.refused:
            self.refused.show_message(BannerKind.WARNING, "Not compared", "\n".join(found.refused))
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
        self.render_texts("", "", EMPTY, empty=True)

    def render_comparison(self, found: Comparison) -> None:
        """Another comparison."""
        *lines, note = found.sentences or ("",)
        self.render_texts(
            "\n".join(lines), note, found.table, empty=not found.lines, shown=DataTable(COMPARISON_COLUMNS, found.rows)
        )
        self.note_shown = True
        self.note.setVisible(bool(note))
        self._stack.setCurrentWidget(self.table if found.lines else self.empty)
        fit_columns(self.table)

    def draw(self) -> None:
        """A table paints itself."""

    def save_picture(self, path: Path) -> None:
        if path.suffix.lower() != ".png" or not self.grab().save(str(path)):
            raise ValueError("the differences are a table: save it as CSV or PNG")
