"""Paired traces of the candidate in hand: a clean and a hinted solution, aligned, chosen so that they tell most.

The sentences of a hint as a table: what accuracy gains without each, and what each alone costs.

Which sentence does it: the button that tries them one by one, and the table of what came of it.

Where the hint makes the right solution unlikely: its tokens, and what the model would rather have written.

Seeing why: paired traces, sentences, tokens; one of the three at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QPainter, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTabBar,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.services.attribution.alignment import Alignment, align
from seirenes_app.services.attribution.logprob_delta import LogprobDelta
from seirenes_app.services.attribution.pair_selection import select_pair
from seirenes_app.services.attribution.sentence_ablation import AblationResult, AblationRow
from seirenes_app.services.hint_authoring.results import SolvedSample, SolveResult
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.icons import icon
from seirenes_app.ui.pages.craft.captions import OUTCOME_LOOKS, points, say_drop, say_sample, signed
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4, current_theme
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.heat_map import (
    LogprobDeltaView,
    say_alternatives,
    say_delta,
    say_logprob,
    short_delta,
    visible,
)
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.no_wheel import hush
from seirenes_app.ui.widgets.trace_pair import TracePairView
from training.core.statistics import Interval
from training.core.types import Condition

NOTHING = "Solve the candidate, and a clean solution stands beside a hinted one, with the place where they part."


class TracesTab(QWidget):
    """Alignment happens in another thread; what comes back for another pair is dropped."""

    aligned = Signal()

    def __init__(self, background: Background, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._background = background
        self._sides: dict[Condition, tuple[SolvedSample, ...]] = {Condition.CLEAN: (), Condition.HINTED: ()}
        self._key = ""
        self._by_hand = False
        self._why = ""
        self._shown: tuple[SolvedSample, SolvedSample] | None = None
        self._build()
        self._connect()

    def _build(self) -> None:
        self.nothing = make_label(NOTHING, "muted", wrap=True)
        self.clean, self.hinted = QComboBox(), QComboBox()
        for box in (self.clean, self.hinted):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(10)
            hush(box)
        self.clean.setAccessibleName("Clean solution")
        self.hinted.setAccessibleName("Hinted solution")
        self.best = make_icon_button("compare", "Back to the pair that tells most", clicked=self._choose_best)
        self._choosers = QWidget()
        row = QHBoxLayout(self._choosers)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_2)
        row.addWidget(self.clean, 1)
        row.addWidget(self.best)
        row.addWidget(self.hinted, 1)
        self.why = make_label("", wrap=True)
        self.view = TracePairView()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_3)
        for widget in (self.nothing, self._choosers, self.why, self.view):
            column.addWidget(widget)
        self.render_result(None)

    def _connect(self) -> None:
        self.clean.activated.connect(lambda _i: self._take_choice())
        self.hinted.activated.connect(lambda _i: self._take_choice())

    # ------------------------------------------------------------------ render

    def render_result(self, result: SolveResult | None) -> None:
        """Offer a result's samples; the pair that tells most is shown unless the person chose one of this result."""
        if result is None or result.key != self._key:
            self._by_hand, self._shown = False, None
            self._key = result.key if result is not None else ""
        sides = {
            arm: result.conditions[arm].samples if result and arm in result.conditions else () for arm in self._sides
        }
        changed = sides != self._sides
        self._sides = sides
        ready = all(sides.values())
        for widget in (self._choosers, self.why, self.view):
            widget.setVisible(ready)
        self.nothing.setVisible(not ready)
        if changed:
            _fill(self.clean, sides[Condition.CLEAN])
            _fill(self.hinted, sides[Condition.HINTED])
        if ready and not self._by_hand:
            self._choose_best()
        elif ready and changed:
            self._select(self._shown)

    def _choose_best(self) -> None:
        self._by_hand = False
        pair = select_pair(self._sides[Condition.CLEAN], self._sides[Condition.HINTED])
        if pair is None:
            return
        self._why = pair.reason
        self._select((pair.clean, pair.hinted))
        self._show(pair.clean, pair.hinted)

    def _select(self, pair: tuple[SolvedSample, SolvedSample] | None) -> None:
        if pair is not None:
            self.clean.setCurrentIndex(_place(self._sides[Condition.CLEAN], pair[0]))
            self.hinted.setCurrentIndex(_place(self._sides[Condition.HINTED], pair[1]))

    def _take_choice(self) -> None:
        clean, hinted = self._sides[Condition.CLEAN], self._sides[Condition.HINTED]
        left, right = self.clean.currentIndex(), self.hinted.currentIndex()
        if 0 <= left < len(clean) and 0 <= right < len(hinted):
            self._by_hand, self._why = True, ""
            self._show(clean[left], hinted[right])

    def _show(self, left: SolvedSample, right: SolvedSample) -> None:
        if self._shown == (left, right):
            self._say_why()
            return
        self._shown = (left, right)
        self._background.submit(lambda: align(left.text, right.text), lambda found: self._take(found, left, right))

    def _take(self, alignment: Alignment, left: SolvedSample, right: SolvedSample) -> None:
        if self._shown != (left, right):
            return
        self._say_why()
        self.view.render(
            alignment, f"Clean {left.index + 1}", f"Hinted {right.index + 1}",
            left.text, right.text,
            left_look=OUTCOME_LOOKS[left.outcome], right_look=OUTCOME_LOOKS[right.outcome],
        )  # fmt: skip
        self.aligned.emit()

    def _say_why(self) -> None:
        self.why.setText(self._why)
        self.why.setVisible(bool(self._why))


def _fill(box: QComboBox, samples: Sequence[SolvedSample]) -> None:
    box.clear()
    box.addItems([say_sample(sample) for sample in samples])


def _place(samples: Sequence[SolvedSample], sample: SolvedSample) -> int:
    return next((i for i, s in enumerate(samples) if s.index == sample.index), 0)


HEADINGS = ("Sentence", "Without it", "Only it")
TIPS = (
    "",
    "Accuracy without this sentence less accuracy with the whole hint, in points: above zero, it does harm",
    "Clean accuracy less accuracy with this sentence alone, in points: above zero, it does harm by itself",
)
DELTA_ROLE = Qt.ItemDataRole.UserRole + 1
LEAST_ROW = 56
FIGURE_COLUMN = 150


@dataclass(frozen=True)
class Delta:
    """A difference of accuracies with its interval, None before the first samples; how many samples there are."""

    interval: Interval | None
    done: int
    planned: int

    @property
    def words(self) -> str:
        """As a person reads it."""
        if self.interval is None:
            return "…" if self.planned else "—"
        i = self.interval
        return f"{signed(i.mean)}  [{points(i.low)}, {points(i.high)}]"


class DeltaDelegate(QStyledItemDelegate):
    """Figures, and under them a bar from zero with its interval: to the right is harm."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        """Room for both."""
        return QSize(FIGURE_COLUMN, LEAST_ROW)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """See the class."""
        delta = index.data(DELTA_ROLE)
        if not isinstance(delta, Delta):
            return
        theme, rect = current_theme(), QRectF(option.rect).adjusted(10, 0, -10, 0)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top = rect.center().y() - 20
        sure = delta.interval is not None and (delta.interval.low > 0 or delta.interval.high < 0)
        font = QFont(option.font)
        font.setPixelSize(13)
        font.setWeight(QFont.Weight.DemiBold if sure else QFont.Weight.Normal)
        painter.setFont(font)
        painter.setPen(theme.colour("text" if delta.interval is not None else "muted"))
        painter.drawText(QRectF(rect.x(), top, rect.width(), 20), Qt.AlignmentFlag.AlignVCenter, delta.words)
        self._paint_bar(painter, QRectF(rect.x(), top + 26, rect.width(), 10), delta.interval)
        painter.restore()

    def _paint_bar(self, painter: QPainter, track: QRectF, interval: Interval | None) -> None:
        theme = current_theme()
        middle = track.center().x()
        painter.setPen(QPen(theme.colour("border"), 1))
        painter.drawLine(QPointF(track.left(), track.center().y()), QPointF(track.right(), track.center().y()))
        painter.drawLine(QPointF(middle, track.top() - 2), QPointF(middle, track.bottom() + 2))
        if interval is None:
            return
        half = track.width() / 2
        low, mean, high = (middle + half * max(-1.0, min(1.0, v)) for v in (interval.low, interval.mean, interval.high))
        colour = "hinted" if interval.mean > 0 else "clean"
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.wash(colour, 0.55))
        painter.drawRect(QRectF(min(middle, mean), track.top() + 1, abs(mean - middle), track.height() - 2))
        painter.setPen(QPen(theme.colour(colour), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
        painter.drawLine(QPointF(low, track.center().y()), QPointF(high, track.center().y()))
        painter.setBrush(theme.colour("surface"))
        painter.drawEllipse(QPointF(mean, track.center().y()), 3.4, 3.4)


class SentenceTable(QTableWidget):
    """Read-only; as high as its rows."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADINGS), parent)
        self._build()

    def _build(self) -> None:
        self.setHorizontalHeaderLabels(HEADINGS)
        self.setProperty("plain", "true")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setStyleSheet("QTableView::item { padding-left: 7px; }")
        self.setWordWrap(True)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, tip in enumerate(TIPS):
            item = self.horizontalHeaderItem(column)
            item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            item.setToolTip(tip)
            if column:
                self.setColumnWidth(column, FIGURE_COLUMN)
        delegate = DeltaDelegate(self)
        self.setItemDelegateForColumn(1, delegate)
        self.setItemDelegateForColumn(2, delegate)
        self.setAccessibleName("Sentences of the hint and what each does to accuracy")

    def render_ablation(self, result: AblationResult | None) -> None:
        """Show a result, finished or not."""
        rows = result.rows if result is not None else ()
        self.setRowCount(len(rows))
        for r, row in enumerate(rows):
            worst = result is not None and len(rows) > 1 and r == result.worst
            self._fill(r, row, worst)
        self._fit()

    def _fill(self, r: int, row: AblationRow, worst: bool) -> None:
        item = QTableWidgetItem(f"{row.sentence}\n▲ does the most harm" if worst else row.sentence)
        self.setItem(r, 0, item)
        for column, interval, variant, name in (
            (1, row.delta_without, row.without, "without it"),
            (2, row.delta_only, row.only, "only it"),
        ):
            delta = Delta(interval, variant.n, variant.planned)
            cell = QTableWidgetItem(delta.words)
            cell.setData(DELTA_ROLE, delta)
            cell.setToolTip(f"{variant.right} of {variant.n} right {name}, {variant.planned} planned.\n{TIPS[column]}.")
            cell.setData(Qt.ItemDataRole.AccessibleTextRole, f"{name}: {delta.words} points")
            self.setItem(r, column, cell)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width breaks sentences elsewhere."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    def _fit(self) -> None:
        self.resizeRowsToContents()
        total = 0
        for r in range(self.rowCount()):
            height = max(LEAST_ROW, self.rowHeight(r) + 10)
            self.setRowHeight(r, height)
            total += height
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + total + 6)


NO_SENTENCES = (
    "Each sentence of the hint is left out once, and tried alone once, with the same seeds. What accuracy then "
    "gains or loses tells which of them does the harm."
)
KEY = "Points of accuracy with their 95% intervals; bars to the right mean harm."


class SentencesTab(QWidget):
    """Asks by a signal."""

    tryAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._build()

    def _build(self) -> None:
        self.text = make_label(NO_SENTENCES, "muted", wrap=True)
        self.try_ = make_button("Try each sentence", "sentences", clicked=self.tryAsked.emit,
                                tip="Solve without each sentence, and with each alone")  # fmt: skip
        self.table = SentenceTable()
        self.key = make_label(KEY, "small", wrap=True)
        self.note = make_label("", wrap=True)
        row = QHBoxLayout()
        row.addWidget(self.try_)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_3)
        column.addWidget(self.text)
        column.addWidget(self.note)
        column.addWidget(self.table)
        column.addWidget(self.key)
        column.addLayout(row)
        self.render_ablation(None)

    def render_busy(self, *, usable: bool, busy: bool) -> None:
        """Whether sentences can be tried now."""
        self.try_.setEnabled(usable and not busy)

    def render_ablation(self, result: AblationResult | None) -> None:
        """Show a result, finished or not."""
        some = result is not None and bool(result.rows)
        self.text.setVisible(result is None)
        self.table.setVisible(some)
        self.key.setVisible(some)
        self.table.render_ablation(result)
        words = ""
        if result is not None:
            whole = say_drop(result.delta_full) if result.complete else ""
            cut = "Cancelled: these are the samples that were there." if result.cancelled else ""
            words = " ".join(part for part in (result.note, whole, cut) if part)
        self.note.setText(words)
        self.note.setVisible(bool(words))
        self.try_.setText("Try each sentence again" if some else "Try each sentence")


NO_TOKENS = (
    "A right solution's tokens are scored twice: after the clean question, and after the question with the hint."
    " What loses probability shows where the reasoning is pulled away."
)
NO_SOLUTION = "There is no right solution to score yet: solve first, or take a problem that has a worked solution."
LEGEND = (
    "Thick underline: the hint makes the token less likely.  Dotted: likelier.  "
    "Arrow keys go from token to token, W to the worst."
)


class LogprobDeltaTab(QWidget):
    """Asks by a signal; `render_map` shows what came."""

    scoreAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.text = make_label(NO_TOKENS, "muted", wrap=True)
        self.score = make_button("Score the solution", "heat", clicked=self.scoreAsked.emit,
                                 tip="Log-probability of each token, clean and hinted")  # fmt: skip
        self.total = make_label("", wrap=True)
        self.figures = QCheckBox("Figures")
        self.figures.setToolTip("Write Δ log-prob under each token")
        self.view = LogprobDeltaView()
        self.legend = make_label(LEGEND, "small", wrap=True)
        head = QHBoxLayout()
        head.setSpacing(SPACE_3)
        head.addWidget(self.total, 1)
        head.addWidget(self.figures, 0, Qt.AlignmentFlag.AlignTop)
        row = QHBoxLayout()
        row.addWidget(self.score)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_3)
        column.addWidget(self.text)
        column.addLayout(head)
        column.addWidget(self.view)
        column.addWidget(self._build_detail())
        column.addWidget(self.legend)
        column.addLayout(row)
        self.render_map(None)

    def _build_detail(self) -> Card:
        self.detail = Card("flat", padding=SPACE_2)
        grid = QGridLayout()
        grid.setHorizontalSpacing(SPACE_4)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(2, 1)
        self.token = make_label("", "mono")
        self.delta = make_label("", wrap=True)
        self.cells = [[make_label("", "mono"), make_label("", "mono", wrap=True)] for _ in range(2)]
        grid.addWidget(self.token, 0, 0)
        grid.addWidget(self.delta, 0, 1, 1, 2)
        for r, (name, cells) in enumerate(zip(("Clean", "Hinted"), self.cells, strict=True), 1):
            grid.addWidget(make_label(name, "small"), r, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(cells[0], r, 1, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(cells[1], r, 2)
        self.detail.body.addLayout(grid)
        return self.detail

    def _connect(self) -> None:
        self.view.pointed.connect(self._point)
        self.figures.toggled.connect(self.view.render_figures)

    def render_busy(self, *, usable: bool, busy: bool, has_solution: bool) -> None:
        """Whether there is something to score, and nothing else is going."""
        self.score.setEnabled(usable and not busy and has_solution)
        if self.view.map is None:
            self.text.setText(NO_TOKENS if has_solution or not usable else NO_SOLUTION)

    def render_map(self, heat: LogprobDelta | None) -> None:
        """Show a map; None for nothing yet."""
        some = heat is not None
        self.text.setVisible(not some)
        for widget in (self.total, self.figures, self.view, self.detail, self.legend):
            widget.setVisible(some)
        self.score.setText("Score it again" if some else "Score the solution")
        if heat is self.view.map:
            return
        self.view.render_map(heat)
        if heat is not None:
            way = "less" if heat.total_delta < 0 else "more"
            self.total.setText(
                f"As a whole, the solution is {way} likely under the hint: "
                f"Δ log-prob {short_delta(heat.total_delta)} over {len(heat.tokens)} tokens."
            )

    def _point(self, index: int) -> None:
        heat = self.view.map
        if heat is None or not 0 <= index < len(heat.tokens):
            return
        token = heat.tokens[index]
        self.token.setText(visible(token.text))
        self.delta.setText(say_delta(token.delta))
        for cells, logprob, top in zip(
            self.cells, (token.clean, token.hinted), (token.top_clean, token.top_hinted), strict=True
        ):
            cells[0].setText(say_logprob(logprob))
            cells[1].setText(say_alternatives(top))


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
        self.traces, self.sentences, self.heat = TracesTab(background), SentencesTab(), LogprobDeltaTab()
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
