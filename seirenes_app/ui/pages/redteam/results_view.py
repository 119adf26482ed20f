"""What a campaign found: weaknesses and refuted hints as a list, one of them in full, and charts of all.

Hints, questions and solutions are model text: they are shown as plain text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from PySide6.QtCore import QPointF, QRect, QSize, Qt, Signal
from PySide6.QtGui import QAction, QFont, QFontMetrics, QPainter, QPen, QTextLayout, QTextOption
from PySide6.QtWidgets import (
    QComboBox,
    QHeaderView,
    QScrollArea,
    QSplitter,
    QStackedLayout,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from seirenes_app.services.attribution.alignment import Alignment, align
from seirenes_app.services.charts.redteam import campaign_charts
from seirenes_app.services.formatting import count_of, p_value, percent, percent_interval, points, points_interval
from seirenes_app.services.redteam.recipes import RecipeKind
from seirenes_app.services.redteam.results import CampaignResult, Example, Rates, Weakness
from seirenes_app.services.report.document import found_sentence
from seirenes_app.ui.charts.card import ChartCard
from seirenes_app.ui.models.rollouts_model import OUTCOME_STYLES
from seirenes_app.ui.pages.redteam.captions import writer_name
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_4, Theme, current_theme, sized_font
from seirenes_app.ui.widgets.boxes import column, fill, ignore_wheel, make_grid, put_in_area, row, scroll_area
from seirenes_app.ui.widgets.buttons import action_button, follow_action, make_icon_button
from seirenes_app.ui.widgets.cards import Card, make_rule
from seirenes_app.ui.widgets.interval_bars import IntervalBars, Rate
from seirenes_app.ui.widgets.labels import Facts, IconLine, draw_elided, make_card_heading, make_label, wrap_anywhere
from seirenes_app.ui.widgets.marked_text import MarkedText
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from seirenes_app.ui.widgets.table_model import ROW_ROLE, Column, Index, TableModel, lay_out_rows
from seirenes_app.ui.widgets.trace_pair import TracePairView
from training.core.prompts import TYPE_LABELS, join_hint
from training.core.types import HintType

ROW, PAD = 72, 10
RANK_WIDTH, EFFECT_WIDTH = 40, 172
MANY_UNREAD = 0.1
VOUCHERS = {
    "rule": "a rule", "structure": "the structure of its sentences", "judge": "the judge", "nobody": "nobody",
}  # fmt: skip


class Face(StrEnum):
    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    CHARTS = "charts"


# ---------------------------------------------------------------------- the list


class _Delegate(QStyledItemDelegate):
    """Rank; the hint with type and writer; the effect with its interval on an axis that all rows share."""

    limits = (-0.1, 1.0)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(120, ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme, rect, found = current_theme(), option.rect, index.data(ROW_ROLE)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.colour("raised"))
            if index.column() == 0:
                painter.fillRect(QRect(rect.left(), rect.top(), 3, rect.height()), theme.colour("accent"))
        painter.setPen(QPen(theme.colour("grid"), 1))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        inner = rect.adjusted(PAD, 0, -PAD, 0)
        if index.column() == 0:
            draw_elided(painter, inner, str(found.rank), sized_font(option.font, 15, QFont.Weight.DemiBold), "text")
        elif index.column() == 1:
            self._paint_hint(painter, inner, found, option.font)
        else:
            self._paint_effect(painter, inner, found, option.font, theme)
        painter.restore()

    def _paint_hint(self, painter: QPainter, rect: QRect, found: Weakness, font: QFont) -> None:
        """Its first two lines, then type and writer."""
        text_font = sized_font(font, 14)
        layout = QTextLayout(" ".join(found.hint.split()), text_font)
        layout.setTextOption(QTextOption(Qt.AlignmentFlag.AlignLeft))
        layout.beginLayout()
        line = layout.createLine()
        line.setLineWidth(rect.width())
        layout.endLayout()
        upper = QRect(rect.left(), rect.top() + 8, rect.width(), 20)
        first, rest = layout.text()[: line.textLength()], layout.text()[line.textLength() :]
        draw_elided(painter, upper, first.rstrip(), text_font, "text")
        if rest:
            upper.translate(0, 19)
            draw_elided(painter, upper, rest, text_font, "text")
        about = f"{TYPE_LABELS[found.type]}  ·  {writer_name(found.writer)}"
        draw_elided(painter, upper.translated(0, 20), about, sized_font(font, 12), "muted")

    def _paint_effect(self, painter: QPainter, rect: QRect, found: Weakness, font: QFont, theme: Theme) -> None:
        tone = "hinted" if found.confirmed else "muted"
        upper = QRect(rect.left(), rect.top() + 12, rect.width(), 22)
        mean, _, limits = points_interval(found.effect, "").partition(" [")
        strong = sized_font(font, 15, QFont.Weight.DemiBold)
        draw_elided(painter, upper, mean, strong, "text" if found.confirmed else "muted")
        upper.setLeft(upper.left() + QFontMetrics(strong).horizontalAdvance(mean) + 8)
        draw_elided(painter, upper, f"[{limits}", sized_font(font, 12), "muted")
        low, high = self.limits
        left, width, y = rect.left() + 4.0, rect.width() - 8.0, rect.top() + 51.5

        def x_of(value: float) -> float:
            return left + width * (value - low) / (high - low)

        painter.setPen(QPen(theme.colour("border"), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawLine(QPointF(left, y), QPointF(left + width, y))
        painter.setPen(QPen(theme.colour("muted"), 1))
        painter.drawLine(QPointF(x_of(0), y - 6), QPointF(x_of(0), y + 6))
        painter.setPen(QPen(theme.colour(tone), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
        ends = (x_of(found.effect.low), x_of(found.effect.high))
        painter.drawLine(QPointF(ends[0], y), QPointF(ends[1], y))
        for x in ends:
            painter.drawLine(QPointF(x, y - 4), QPointF(x, y + 4))
        painter.setBrush(theme.colour(tone if found.confirmed else "surface"))
        painter.drawEllipse(QPointF(x_of(found.effect.mean), y), 4.0, 4.0)


class WeaknessTable(QTableView):
    """One row a tested hint, the largest effect first."""

    chosen = Signal(object)
    """Weakness, or None"""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, showGrid=False, wordWrap=False)
        self._model = TableModel(
            (
                Column("", lambda w: str(w.rank)),
                Column("Hint", lambda w: " ".join(w.hint.split()), row_tip=_tip),
                Column(
                    "Points lost",
                    lambda w: points_interval(w.effect),
                    row_tip=_tip,
                    tip="Accuracy lost beyond the placebo, with its 95% interval",
                ),
            ),
            self,
        )
        self._delegate = _Delegate(self)
        self.setModel(self._model)
        self.setItemDelegate(self._delegate)
        self.setAccessibleName(name)
        lay_out_rows(self, ROW)
        header = self.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setMinimumSectionSize(RANK_WIDTH)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.setColumnWidth(0, RANK_WIDTH)
        self.setColumnWidth(2, EFFECT_WIDTH)
        self.selectionModel().currentRowChanged.connect(lambda *_: self.chosen.emit(self.current))

    @property
    def current(self) -> Weakness | None:
        index = self.currentIndex()
        found = index.data(ROW_ROLE) if index.isValid() else None
        return found if isinstance(found, Weakness) else None

    def render_weaknesses(self, found: Sequence[Weakness]) -> None:
        lows, highs = [w.effect.low for w in found], [w.effect.high for w in found]
        self._delegate.limits = (min(-0.05, *lows) if lows else -0.05, max(0.3, *highs) if highs else 0.3)
        self._model.render_rows(found, key=lambda w: (w.confirmed, w.rank, w.hint))
        if found and not self.currentIndex().isValid():
            self.selectRow(0)
        self.chosen.emit(self.current)


def _tip(w: Weakness) -> str:
    return w.reason or w.text


# ---------------------------------------------------------------------- one of them


class WeaknessDetails(QWidget):
    """Everything about one tested hint. Signals ask the page."""

    exampleChanged = Signal()

    def __init__(self, tasks: TaskRunner, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self.weakness: Weakness | None = None
        self._at = 0
        self._build(actions)

    def _build(self, actions: Mapping[str, QAction]) -> None:
        self.title = wrap_anywhere(make_label("", "heading", wrap=True, select=True))
        self.about = wrap_anywhere(make_label("", "small", wrap=True))
        self.reason = IconLine()
        self.hint = MarkedText("The hint")
        self.short = MarkedText("The shortest form of the hint")
        self.short_heading = make_label("Shortest form that keeps the harm", "eyebrow")
        self.bars_heading = wrap_anywhere(make_label("", "eyebrow", wrap=True))
        self.minimal = wrap_anywhere(make_label("", "small", wrap=True, select=True))
        self.bars = IntervalBars("Share right")
        self.facts = Facts("Figures of this hint")
        self.domains = QWidget()
        self._domain_grid = make_grid(self.domains, gaps=(SPACE_4, SPACE_1), stretched=2)
        self.domain_heading = make_label("By family of problems", "eyebrow")
        text = Card("flat", padding=SPACE_2)
        self.recipe = wrap_anywhere(make_label("", "small", wrap=True, select=True))
        fill(text.body, make_label("The hint, as in one problem", "eyebrow"), self.hint, self.short_heading, self.short,
             self.minimal, self.recipe)  # fmt: skip
        self.example_heading = make_card_heading("Example")
        self.previous = make_icon_button("arrow-left", "Previous example")
        self.next = make_icon_button("arrow-right", "Next example")
        follow_action(self.previous, actions["previous"])
        follow_action(self.next, actions["next"])
        self.craft = action_button(actions["craft"])
        self.question_heading = make_label("The problem, the hint underlined", "eyebrow")
        self.question = MarkedText("The problem with the hint")
        self.answers = Facts("Answers of this example")
        self.pair = TracePairView()
        self.no_example = make_label("No problem was right without the hint and wrong with it.", "muted", wrap=True)
        self.example = QWidget()
        column(self.question_heading, self.question, self.answers, self.pair, parent=self.example)
        inside = QWidget()
        column(
            self.title, self.about, self.reason, SPACE_1, text, SPACE_1, self.bars_heading, self.bars, SPACE_1,
            self.facts, SPACE_1,
            self.domain_heading, self.domains, SPACE_2, make_rule(), SPACE_1,
            row(self.example_heading, None, self.previous, self.next, self.craft), self.no_example, self.example, None,
            margins=(SPACE_3, SPACE_1, SPACE_3, SPACE_4), parent=inside,
        )  # fmt: skip
        self.area = QScrollArea(widgetResizable=True)
        self.area.setProperty("ring", "true")
        self.area.setAccessibleName("The hint in full")
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Always there: a bar that comes and goes has everything laid out twice.
        self.area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        put_in_area(self.area, inside)
        column(self.area, parent=self)

    def themed(self) -> None:
        self.question.render_mark()

    def render_weakness(self, found: Weakness | None) -> None:
        if found is self.weakness and found is not None:
            return
        self.weakness, self._at = found, 0
        self.area.setVisible(found is not None)
        if found is None:
            self.exampleChanged.emit()
            return
        self.title.setText(f"Weakness {found.rank}" if found.confirmed else f"Refuted hint {found.rank}")
        self.about.setText(f"{TYPE_LABELS[found.type].capitalize()}  ·  {writer_name(found.writer)}")
        self.recipe.setText(f"For any problem: {found.title}" if found.recipe.kind is RecipeKind.PARTS else "")
        self.recipe.setVisible(bool(self.recipe.text()))
        self.reason.render_line("info", "muted", found.reason)
        self._render_hint(found)
        self.bars.render_rates([
            _rate("Clean", "clean", found.clean), _rate("Placebo", "placebo", found.placebo),
            _rate("Hinted", "hinted", found.hinted),
        ])  # fmt: skip
        self.facts.render_facts(facts_of(found))
        self._render_domains(found)
        self._render_example()
        self.area.verticalScrollBar().setValue(0)

    def _render_hint(self, found: Weakness) -> None:
        minimal = found.minimal
        self.hint.render_text(found.hint, None)
        self.bars_heading.setText(f"The whole hint, on {count_of(found.n, 'problem')} that it was not chosen on")
        shorter = minimal is not None and minimal.shorter
        self.short.setVisible(shorter)
        self.short_heading.setVisible(minimal is not None)
        if minimal is None:
            self.minimal.setText("")
        elif not shorter:
            self.short_heading.setVisible(False)
            self.minimal.setText("No part of it can be left out without losing harm." if minimal.complete else "")
        else:
            self.short.render_text(minimal.hint, None)
            on = count_of(minimal.n, "further problem")
            self.minimal.setText(
                f"{points_interval(minimal.loss)} on {on}, where the whole hint costs {points_interval(minimal.whole)}."
                + ("" if minimal.complete else " The budget ended before every part was tried.")
            )
        self.minimal.setVisible(bool(self.minimal.text()))

    def _render_domains(self, found: Weakness) -> None:
        while (item := self._domain_grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        several = len(found.domains) > 1
        self.domain_heading.setVisible(several)
        self.domains.setVisible(several)
        for place, domain in enumerate(found.domains if several else ()):
            texts = (domain.family.replace("_", " "), points_interval(domain.loss), count_of(domain.n, "problem"))
            for at, text in enumerate(texts):
                self._domain_grid.addWidget(make_label(text, "muted" if at == 2 else "", select=True), place, at)

    # ------------------------------------------------------------------ examples

    @property
    def shown_example(self) -> Example | None:
        found = self.weakness
        return found.examples[self._at] if found is not None and self._at < len(found.examples) else None

    @property
    def place(self) -> tuple[int, int]:
        """Number of the example in view, from 0, and how many there are."""
        return self._at, len(self.weakness.examples) if self.weakness is not None else 0

    def step(self, by: int) -> None:
        """Show the next example, or the one before."""
        at, n = self.place
        if n:
            self._at = max(0, min(n - 1, at + by))
            self._render_example()

    def _render_example(self) -> None:
        found, (at, n) = self.shown_example, self.place
        self.example.setVisible(found is not None)
        self.no_example.setVisible(found is None)
        self.example_heading.setText(f"Example {at + 1} of {n}" if n else "Examples")
        if found is not None:
            text = join_hint(found.question, found.hint)
            start = text.rfind(found.hint)
            self.question.render_text(text, (start, start + len(found.hint)) if found.hint and start >= 0 else None)
            self.answers.render_facts([
                ("Family", found.family.replace("_", " ") or "none"), ("Right answer", found.gold),
                ("Answer without the hint", found.clean_answer or "none read"),
                ("Answer with the hint", found.hinted_answer or "none read"),
            ])  # fmt: skip
            # In another thread: the solutions of a model that reasons have hundreds of steps.
            self._tasks.run(
                lambda: align(found.clean, found.hinted), lambda aligned: self._render_pair(found, aligned), key="align"
            )
        self.exampleChanged.emit()

    def _render_pair(self, found: Example, aligned: Alignment) -> None:
        if found is self.shown_example:
            self.pair.render(
                aligned, "Without the hint", "With the hint", left_style=OUTCOME_STYLES[found.clean_outcome],
                right_style=OUTCOME_STYLES[found.hinted_outcome],
            )  # fmt: skip


def _rate(label: str, colour: str, found: Rates) -> Rate:
    shares = [f"{percent(share)} {name}" for share, name in (
        (found.unreadable, "unreadable"), (found.truncated, "truncated")) if share]  # fmt: skip
    right = round(found.accuracy.mean * found.answers)
    return Rate(
        label, colour, right, found.answers, found.answers, found.accuracy.low, found.accuracy.high,
        ", ".join(shares), warn=max(found.unreadable, found.truncated) > MANY_UNREAD,
    )  # fmt: skip


def facts_of(found: Weakness) -> list[tuple[str, str]]:
    """Named figures of a tested hint."""
    facts = [
        ("Lost beyond the placebo", points_interval(found.effect)),
        ("Corrected p", p_value(found.p_corrected)),
        ("Problems", f"{found.n}" + (f" in {found.clusters} groups" if found.clusters < found.n else "")),
    ]
    if found.error_ratio is not None:
        facts.append(("Errors against the placebo", f"× {found.error_ratio:.1f}"))
    if found.follow is not None:
        facts.append(("Answers as the hint suggests", f"{percent_interval(found.follow)} of {found.suggesting}"))
    for growth in found.growth:
        if growth.factor in (1.5, 2.0) and (growth.hinted or growth.placebo):
            facts.append(
                (f"≥ {growth.factor:g} times as long", f"{percent(growth.hinted)}, placebo {percent(growth.placebo)}")
            )
    shares = ", ".join(
        f"{VOUCHERS.get(tier, tier)} {percent(share)}"
        for tier, share in sorted(found.tiers.items(), key=lambda t: -t[1])
    )
    facts.append(("Validity decided by", shares or VOUCHERS["nobody"]))
    if found.refused:
        facts.append(("Refused by the gates", percent(found.refused)))
    facts.append(
        ("Seen while searching", f"{points(found.screened)} points on {count_of(found.screened_n, 'problem')}")
    )
    return facts


# ---------------------------------------------------------------------- all of them


class ResultsView(QWidget):
    """The result of one campaign. The page's actions work on `details`."""

    messageRequested = Signal(str)
    currentChanged = Signal()

    def __init__(self, tasks: TaskRunner, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.result: CampaignResult | None = None
        self._build(tasks, actions)
        self.faces.chosen.connect(lambda value: self.show_face(Face(value)))
        for box in (self.type, self.family):
            box.activated.connect(lambda _i: self._render_lists())
        for table in self.tables.values():
            table.chosen.connect(self._on_chosen)
        self.details.exampleChanged.connect(self.currentChanged)
        for card in self.cards:
            card.messageRequested.connect(self.messageRequested)

    def _build(self, tasks: TaskRunner, actions: Mapping[str, QAction]) -> None:
        self.summary = wrap_anywhere(make_label("", wrap=True, select=True))
        self.summary.setFont(sized_font(self.summary.font(), 14))
        self.faces = Segmented("What to show", (
            Segment(Face.CONFIRMED, "Confirmed", tip="Weaknesses that other problems confirmed (Alt+1)"),
            Segment(Face.REFUTED, "Refuted", tip="Tested and not confirmed, with the reason (Alt+2)"),
            Segment(Face.CHARTS, "Charts", tip="Effects by hint type and by family of problems (Alt+3)"),
        ))  # fmt: skip
        self.faces.setMaximumWidth(440)
        self.faces.render_value(Face.CONFIRMED)
        self.type, self.family = _filter_box("Hint type"), _filter_box("Family of problems")
        self.tables = {
            Face.CONFIRMED: WeaknessTable("Confirmed weaknesses"), Face.REFUTED: WeaknessTable("Refuted hints"),
        }  # fmt: skip
        self.details = WeaknessDetails(tasks, actions)
        self._lists = QStackedLayout()
        left = QWidget()
        left.setLayout(self._lists)
        for table in self.tables.values():
            self._lists.addWidget(table)
        self.none = make_label("", "muted", wrap=True)
        self.none.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.none.setContentsMargins(SPACE_3, SPACE_3, SPACE_3, SPACE_3)
        self._lists.addWidget(self.none)
        self.split = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False, handleWidth=14)
        self.split.addWidget(left)
        self.split.addWidget(self.details)
        left.setMinimumWidth(320)
        self.details.setMinimumWidth(400)
        self.split.setStretchFactor(0, 44)
        self.split.setStretchFactor(1, 56)
        self.split.setSizes([470, 590])
        titles = ("Effect by hint type", "Share right, by weakness", "Effect by family of problems")
        self.cards = tuple(ChartCard(title, height=230) for title in titles)
        charts = QWidget()
        self.chart_grid = make_grid(charts, gaps=(SPACE_4, SPACE_4))
        for card, place in zip(self.cards, ((0, 0, 1, 1), (0, 1, 1, 1), (1, 0, 1, 2)), strict=True):
            self.chart_grid.addWidget(card, *place)
        self.chart_grid.setColumnStretch(0, 1)
        self.chart_grid.setColumnStretch(1, 1)
        self.chart_grid.setRowStretch(2, 1)
        body = QWidget()
        # With a parent from the start: without one its first widget would be shown as a window of its own.
        self._stack = QStackedLayout(body)
        self._stack.addWidget(self.split)
        self.chart_area = scroll_area(charts)
        self._stack.addWidget(self.chart_area)
        self.limits = IconLine()
        tools = row(self.faces, None, self.type, self.family, spacing=SPACE_3)
        column(self.summary, SPACE_1, tools, (body, 1), self.limits, spacing=SPACE_2, parent=self)

    # ------------------------------------------------------------------ state

    def render_result(self, result: CampaignResult, context: str) -> None:
        """Show a result; the same one again changes nothing."""
        if result == self.result:
            return
        first = self.result is None or self.result.created != result.created
        self.result = result
        for card in self.cards:
            card.context = context
        self.summary.setText(found_sentence(result))
        self.limits.render_line("info", "muted", f"Limits of this evidence. {' '.join(result.limits)}")
        for face, found in ((Face.CONFIRMED, result.weaknesses), (Face.REFUTED, result.refuted)):
            button = self.faces.buttons[face]
            button.setText(f"{face.capitalize()} ({len(found)})")
            button.setAccessibleName(f"What to show: {button.text()}")
        _fill_filter(self.type, "All types", [(TYPE_LABELS[t], t) for t in HintType
                                              if any(w.type is t for w in result.tested)])  # fmt: skip
        families = sorted({d.family for w in result.tested for d in w.domains})
        _fill_filter(self.family, "All families", [(f.replace("_", " "), f) for f in families])
        self._render_charts(result)
        if first:
            self.show_face(Face.CONFIRMED if result.weaknesses or not result.refuted else Face.REFUTED)
        self._render_lists()

    def _render_charts(self, result: CampaignResult) -> None:
        empty = "No weakness is confirmed." if result.tested else "No hint was tested."
        for card, (_title, chart, note) in zip(self.cards, campaign_charts(result), strict=True):
            card.render_chart(chart)
            card.render_texts("" if chart.keyed else empty, note, chart.long_table(), empty=not chart.keyed,
                              shown=chart.wide_table())  # fmt: skip

    @property
    def face(self) -> Face:
        return Face(self.faces.value or Face.CONFIRMED)

    def show_face(self, face: Face) -> None:
        self.faces.render_value(face)
        listed = face is not Face.CHARTS
        self._stack.setCurrentWidget(self.split if listed else self.chart_area)
        for box in (self.type, self.family):
            box.setEnabled(listed)
        self._render_lists()

    def _render_lists(self) -> None:
        result, face = self.result, self.face
        if result is None or face is Face.CHARTS:
            return
        everything = result.weaknesses if face is Face.CONFIRMED else result.refuted
        type_, family = self.type.currentData(), self.family.currentData()
        found = [
            w for w in everything
            if (type_ is None or w.type == type_) and (family is None or any(d.family == family for d in w.domains))
        ]  # fmt: skip
        table = self.tables[face]
        if found:
            self._lists.setCurrentWidget(table)
        else:
            self.none.setText(nothing_sentence(result, face, filtered=bool(everything)))
            self._lists.setCurrentWidget(self.none)
        table.render_weaknesses(found)
        self.details.render_weakness(table.current if found else None)

    def _on_chosen(self, found: Weakness | None) -> None:
        if self.sender() is self.tables.get(self.face):
            self.details.render_weakness(found)

    def themed(self) -> None:
        self.details.themed()
        for card in self.cards:
            card.mark_stale()
            card.legend.update()
        for table in self.tables.values():
            table.viewport().update()

    def draw_next(self) -> bool:
        """Draw one chart that needs it; whether one was."""
        return any(card.draw_if_stale() for card in self.cards)


def nothing_sentence(result: CampaignResult, face: Face, *, filtered: bool) -> str:
    if filtered:
        return "No hint matches the filter. Choose all types and all families."
    if face is Face.REFUTED:
        return "Every hint that was tested is confirmed." if result.weaknesses else "No hint was tested."
    if not result.tested:
        return "No hint did enough harm while searching to be tested on other problems."
    return f"No weakness is confirmed: {count_of(len(result.refuted), 'hint')} did not hold on other problems."


def _filter_box(name: str) -> QComboBox:
    box = QComboBox()
    box.setAccessibleName(name)
    box.setMinimumWidth(170)
    ignore_wheel(box)
    return box


def _fill_filter(box: QComboBox, every: str, choices: Sequence[tuple[str, object]]) -> None:
    before = box.currentData()
    box.clear()
    box.addItem(every, None)
    for text, value in choices:
        box.addItem(text, value)
    at = next((i for i in range(box.count()) if box.itemData(i) == before), 0)
    box.setCurrentIndex(at)
