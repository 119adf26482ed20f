"""Several runs on one suite: which, their curves, their paired differences, and why some cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from seirenes_app.services.robustness.types import Comparison
from seirenes_app.ui.charts.chart_style import Pick
from seirenes_app.ui.pages.robustness.chart_cards import EMPTY, FigureCard, PanelCard, fit_columns
from seirenes_app.ui.theme import SPACE_2, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import make_label, set_tone

ROOT_ROLE = Qt.ItemDataRole.UserRole + 1
ROW = 30
ASK = "Tick two or more, and compare them: on the same suite, asked in the same way, paired problem by problem."


@dataclass(frozen=True)
class Contender:
    """What can be compared: a folder, its name, and a line about it."""

    root: Path
    name: str
    about: str


class CompareView(QWidget):
    """Asks by signals; `render_…` shows what came."""

    compareAsked = Signal(object)
    """Folders, in their order."""
    pointAsked = Signal(str, object)
    said = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._contenders: tuple[Contender, ...] = ()
        self._build()
        self._connect()

    def _build(self) -> None:
        chooser = Card()
        self.list = QListWidget()
        self.list.setAccessibleName("Runs to compare; Space ticks one")
        self.list.setFixedHeight(150)
        self.go = make_button("Compare", "compare", kind="primary", clicked=self.ask)
        self.words = make_label(ASK, "muted", wrap=True)
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(make_label("Compare runs", "heading"))
        head.addStretch(1)
        head.addWidget(self.go)
        chooser.body.addLayout(head)
        chooser.body.addWidget(self.words)
        chooser.body.addWidget(self.list)
        self.refused = Card("warn")
        self.refused_words = make_label("", wrap=True, select=True)
        self.refused.body.addWidget(make_label("Not compared", "heading"))
        self.refused.body.addWidget(self.refused_words)
        self.panels = [PanelCard(title, None, 240, pick=Pick.ALL) for title in ("Hinted accuracy", "Clean accuracy")]
        self.results = QWidget()
        grid = QGridLayout(self.results)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(SPACE_4)
        for place, card in enumerate(self.panels):
            grid.addWidget(card, 0, place)
            grid.setColumnStretch(place, 1)
        self.lines = LinesCard()
        grid.addWidget(self.lines, 1, 0, 1, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_4)
        for part in (chooser, self.refused, self.results):
            column.addWidget(part)
        column.addStretch(1)
        self.refused.hide()
        self.results.hide()

    def _connect(self) -> None:
        self.list.itemChanged.connect(lambda _i: self._render_go())
        for card in (*self.panels, self.lines):
            card.said.connect(self.said)
        for card in self.panels:
            card.pointAsked.connect(self.pointAsked)

    @property
    def cards(self) -> tuple[FigureCard, ...]:
        """Those that wait for a turn to draw."""
        return (*self.panels, self.lines)

    # ------------------------------------------------------------------ render

    def render_contenders(self, contenders: Sequence[Contender], open_root: Path | None) -> None:
        """What there is; ticks stay, and what is open is ticked."""
        if tuple(contenders) == self._contenders:
            return
        ticked = set(self.chosen) | ({open_root} if open_root is not None else set())
        self._contenders = tuple(contenders)
        self.list.clear()
        for one in contenders:
            item = QListWidgetItem(f"{one.name}   {one.about}".strip())
            item.setData(ROOT_ROLE, one.root)
            item.setSizeHint(QSize(0, ROW))
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if one.root in ticked else Qt.CheckState.Unchecked)
            self.list.addItem(item)
        self._render_go()

    def tick(self, roots: Sequence[Path]) -> None:
        """Choose these and no others."""
        for item in self._items():
            on = item.data(ROOT_ROLE) in roots
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def _items(self) -> list[QListWidgetItem]:
        return [self.list.item(i) for i in range(self.list.count())]

    @property
    def chosen(self) -> tuple[Path, ...]:
        """What is ticked."""
        return tuple(i.data(ROOT_ROLE) for i in self._items() if i.checkState() == Qt.CheckState.Checked)

    def _render_go(self) -> None:
        self.go.setEnabled(len(self.chosen) > 1)

    def ask(self) -> None:
        """Compare what is ticked."""
        if len(self.chosen) > 1:
            self.words.setText("Comparing…")
            set_tone(self.words, "")
            self.go.setEnabled(False)
            self.compareAsked.emit(self.chosen)

    def render_comparison(self, found: Comparison) -> None:
        """What came of it."""
        self._render_go()
        names = ", ".join(run.name for run in found.runs)
        self.words.setText(f"Compared: {names}." if len(found.runs) > 1 else " ".join(found.sentences))
        self.refused.setVisible(bool(found.refused))
        self.refused_words.setText("\n".join(found.refused))
        self.results.setVisible(bool(found.panels))
        for card, panel in zip(self.panels, found.panels, strict=False):
            card.heading.setText(panel.title)
            card.render_panel(panel, by_step=True)
        if found.panels:
            self.lines.render_comparison(found)

    def render_failed(self, text: str) -> None:
        """They could not be compared, and why."""
        self._render_go()
        self.words.setText(text)
        set_tone(self.words, "bad")
        self.results.hide()


class LinesCard(FigureCard):
    """The paired differences: a table is its picture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Paired differences", None, 190, parent)
        self.put_picture(self.table)
        self.table_button.hide()
        self.render_words("", "", EMPTY, empty=True)

    def render_comparison(self, found: Comparison) -> None:
        """Another comparison."""
        *lines, note = found.sentences or ("",)
        self.render_words("\n".join(lines), note, found.table, empty=not found.lines)
        self.noted = True
        self.note.setVisible(bool(note))
        self._stack.setCurrentWidget(self.table if found.lines else self.empty)
        fit_columns(self.table)

    def draw(self) -> None:
        """A table paints itself."""

    def save_picture(self, path: Path) -> None:
        """The card as it is on the screen."""
        if path.suffix.lower() != ".png" or not self.grab().save(str(path)):
            raise ValueError("the differences are a table: save it as CSV or PNG")
