"""Attribution of the selected hint's effect: paired traces, sentence ablation, log-prob delta of the tokens."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFont, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QSizePolicy, QTabBar, QWidget

from seirenes_app.services.answer_reading import describe_unread, unread_warnings
from seirenes_app.services.attribution.alignment import Alignment, align
from seirenes_app.services.attribution.logprob_delta import LogprobDelta
from seirenes_app.services.attribution.pair_selection import select_pair
from seirenes_app.services.attribution.sentence_ablation import AblationResult, VariantResult
from seirenes_app.services.formatting import points_interval
from seirenes_app.services.hint_authoring.results import SolvedSample, SolveResult
from seirenes_app.ui.icons import icon
from seirenes_app.ui.models.rollouts_model import OUTCOME_STYLES
from seirenes_app.ui.pages.craft.captions import CANCELLED, CONDITIONS, say_drop, say_sample
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4, current_theme, sized_font
from seirenes_app.ui.widgets import logprob_delta_view as deltas
from seirenes_app.ui.widgets.boxes import column, ignore_wheel, make_grid, row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card, make_rule
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.trace_pair import TracePairView
from training.core.statistics import Interval
from training.core.types import Condition

NO_TRACES = "Solve the hint, and a clean solution stands beside a hinted one, with their first difference marked."
LIVE_HEIGHT, LIVE_CHARACTERS = 190, 480


class LiveSolution(Card):
    """A solution while it is generated: its number and the end of its text, in a box of constant height."""

    def __init__(self) -> None:
        super().__init__("flat", padding=SPACE_2)
        self.heading = make_label("", "eyebrow")
        self.text = make_label("", wrap=True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.body.addWidget(self.heading)
        self.body.addWidget(self.text, 1)
        self.setFixedHeight(LIVE_HEIGHT)
        self._shown: tuple[Condition, int] | None = None

    def render_text(self, condition: Condition, texts: Mapping[int, str]) -> None:
        """Show the newest text. The same sample stays in view until it is complete."""
        before, index = self._shown or (None, -1)
        if before is not condition or index not in texts:
            index = min(texts)
        self._shown = condition, index
        self.heading.setText(f"{CONDITIONS[condition][0]} {index + 1}")
        text = texts[index]
        self.text.setText(text if len(text) <= LIVE_CHARACTERS else "…" + text[-LIVE_CHARACTERS:])

    def clear(self, heading: str) -> None:
        self._shown = None
        self.heading.setText(heading)
        self.text.setText("")


class TracesTab(QWidget):
    """A clean and a hinted solution, aligned. The most informative pair is shown until the user chooses another."""

    def __init__(self, tasks: TaskRunner) -> None:
        super().__init__()
        self._tasks = tasks
        self._samples: dict[Condition, tuple[SolvedSample, ...]] = {Condition.CLEAN: (), Condition.HINTED: ()}
        self._key = ""
        self._chosen_by_user = False
        self._reason = ""
        self._shown: tuple[SolvedSample, SolvedSample] | None = None
        self.nothing = make_label(NO_TRACES, "muted", wrap=True)
        self.clean, self.hinted = QComboBox(), QComboBox()
        for box, name in ((self.clean, "Clean solution"), (self.hinted, "Hinted solution")):
            box.setSizeAdjustPolicy(box.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(10)
            box.setAccessibleName(name)
            box.activated.connect(self._on_pair_chosen)
            ignore_wheel(box)
        best = make_icon_button("compare", "Back to the most informative pair", clicked=self._show_best_pair)
        self._choosers = QWidget()
        row((self.clean, 1), best, (self.hinted, 1), parent=self._choosers)
        self.reason = make_label("", wrap=True)
        self.view = TracePairView()
        self.live = QWidget()
        self.live_left, self.live_right = LiveSolution(), LiveSolution()
        row((self.live_left, 1), (self.live_right, 1), parent=self.live)
        self.live.hide()
        column(self.nothing, self._choosers, self.reason, self.view, self.live, spacing=SPACE_3, parent=self)
        self.render_result(None)

    def render_live(self, texts: Mapping[tuple[Condition, int], str] | None) -> None:
        """Show solutions while they are generated; None when none is any more."""
        self._show_parts(live=texts is not None)
        for left, side in ((True, self.live_left), (False, self.live_right)):
            conditions = [c for c, _index in texts or () if (c is Condition.CLEAN) is left]
            if conditions and texts:
                side.render_text(conditions[-1], {i: text for (c, i), text in texts.items() if c is conditions[-1]})
            elif texts is not None and not texts:
                side.clear(CONDITIONS[Condition.CLEAN if left else Condition.HINTED][0])

    def render_result(self, result: SolveResult | None) -> None:
        if result is None or result.key != self._key:
            self._chosen_by_user, self._shown = False, None
            self._key = result.key if result is not None else ""
        found = result.conditions if result is not None else {}
        samples = {c: found[c].samples if c in found else () for c in self._samples}
        changed = samples != self._samples
        self._samples = samples
        self._show_parts(live=not self.live.isHidden())
        if changed:
            for box, condition in ((self.clean, Condition.CLEAN), (self.hinted, Condition.HINTED)):
                box.clear()
                box.addItems([say_sample(sample) for sample in samples[condition]])
        if all(samples.values()) and not self._chosen_by_user:
            self._show_best_pair()
        elif changed and self._shown is not None:
            self._select(*self._shown)

    def _show_parts(self, *, live: bool) -> None:
        ready = all(self._samples.values())
        for widget in (self._choosers, self.view):
            widget.setVisible(ready and not live)
        self.reason.setVisible(ready and not live and bool(self._reason))
        self.nothing.setVisible(not ready and not live)
        self.live.setVisible(live)

    def _show_best_pair(self) -> None:
        self._chosen_by_user = False
        pair = select_pair(self._samples[Condition.CLEAN], self._samples[Condition.HINTED])
        if pair is not None:
            self._reason = pair.reason
            self._select(pair.clean, pair.hinted)
            self._show_pair(pair.clean, pair.hinted)

    def _select(self, clean: SolvedSample, hinted: SolvedSample) -> None:
        for box, condition, sample in (
            (self.clean, Condition.CLEAN, clean), (self.hinted, Condition.HINTED, hinted)
        ):  # fmt: skip
            indices = [s.index for s in self._samples[condition]]
            box.setCurrentIndex(indices.index(sample.index) if sample.index in indices else 0)

    def _on_pair_chosen(self) -> None:
        self._chosen_by_user, self._reason = True, ""
        self._show_pair(
            self._samples[Condition.CLEAN][self.clean.currentIndex()],
            self._samples[Condition.HINTED][self.hinted.currentIndex()],
        )

    def _show_pair(self, clean: SolvedSample, hinted: SolvedSample) -> None:
        self.reason.setText(self._reason)
        self._show_parts(live=not self.live.isHidden())
        if self._shown != (clean, hinted):
            self._shown = (clean, hinted)
            self._tasks.run(
                lambda: align(clean.text, hinted.text), lambda found: self._render_pair(found, clean, hinted),
                key="craft: alignment",
            )  # fmt: skip

    def _render_pair(self, alignment: Alignment, clean: SolvedSample, hinted: SolvedSample) -> None:
        titles = (f"Clean {clean.index + 1}", f"Hinted {hinted.index + 1}")
        self.view.render(
            alignment, *titles,
            left_style=OUTCOME_STYLES[clean.outcome], right_style=OUTCOME_STYLES[hinted.outcome],
        )  # fmt: skip


COLUMNS = (
    ("Without it", "Accuracy without this sentence less accuracy with the whole hint: above 0, it does harm"),
    ("Only it", "Clean accuracy less accuracy with this sentence alone: above 0, it does harm by itself"),
)
NO_SENTENCES = (
    "Each sentence of the hint is left out once, and tried alone once, with the same seeds. What accuracy then "
    "gains or loses shows which of them does the harm."
)
SENTENCES_LEGEND = "Points of accuracy with their 95% intervals; bars to the right mean harm."


class DeltaBar(QWidget):
    """A difference of accuracies in figures, with a bar from zero and its interval: to the right is harm."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._interval: Interval | None = None
        self.setFixedSize(140, 46)

    def render_delta(self, interval: Interval | None, variant: VariantResult, column_index: int) -> None:
        """Show a difference, None before the first samples."""
        name, tip = COLUMNS[column_index]
        self._interval = interval
        if interval is None:
            self.text = "…" if variant.planned else "—"
        else:
            self.text = points_interval(interval, unit="")
        if interval is None and variant.complete:
            self.text = "not graded"
        unread = describe_unread(variant.unread)
        self.setToolTip(
            f"{variant.right} of {variant.n} right {name.lower()}, {variant.planned} planned"
            f"{f'; {unread}' if unread else ''}.\n{tip}."
        )
        self.setAccessibleName(f"{name}: {self.text} points")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter, interval = current_theme(), QPainter(self), self._interval
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        clear = interval is not None and (interval.low > 0 or interval.high < 0)
        painter.setFont(sized_font(self.font(), 13, QFont.Weight.DemiBold if clear else QFont.Weight.Normal))
        painter.setPen(theme.colour("text" if interval is not None else "muted"))
        painter.drawText(QRectF(0, 0, self.width(), 20), Qt.AlignmentFlag.AlignVCenter, self.text)
        track = QRectF(0, 26, self.width() - 8, 10)
        middle, y, half = track.center().x(), track.center().y(), track.width() / 2
        painter.setPen(QPen(theme.colour("border"), 1))
        painter.drawLine(QPointF(track.left(), y), QPointF(track.right(), y))
        painter.drawLine(QPointF(middle, track.top() - 2), QPointF(middle, track.bottom() + 2))
        if interval is None:
            return
        low, mean, high = (middle + half * max(-1.0, min(1.0, v)) for v in (interval.low, interval.mean, interval.high))
        colour = "hinted" if interval.mean > 0 else "clean"
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.wash(colour, 0.55))
        painter.drawRect(QRectF(min(middle, mean), track.top() + 1, abs(mean - middle), track.height() - 2))
        painter.setPen(QPen(theme.colour(colour), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
        painter.drawLine(QPointF(low, y), QPointF(high, y))
        painter.setBrush(theme.colour("surface"))
        painter.drawEllipse(QPointF(mean, y), 3.4, 3.4)


class SentencesTab(QWidget):
    """The sentences of the hint with the accuracy without each and with each alone."""

    def __init__(self) -> None:
        super().__init__()
        self.text = make_label(NO_SENTENCES, "muted", wrap=True)
        self.note = make_label("", wrap=True)
        self.button = make_button("Try each sentence", "sentences")
        self.rows: list[tuple[QLabel, DeltaBar, DeltaBar]] = []
        self.table = QWidget()
        self.table.setAccessibleName("Sentences of the hint and what each does to accuracy")
        self._grid = make_grid(self.table, gaps=(SPACE_4, SPACE_3), stretched=0)
        for i, (name, tip) in enumerate((("Sentence", ""), *COLUMNS)):
            heading = make_label(name, "eyebrow")
            heading.setToolTip(tip)
            self._grid.addWidget(heading, 0, i)
        self._grid.addWidget(make_rule(), 1, 0, 1, 3)
        self.legend = make_label(SENTENCES_LEGEND, "small", wrap=True)
        column(self.text, self.note, self.table, self.legend, row(self.button, None), spacing=SPACE_3, parent=self)
        self.render_ablation(None)

    def render_ablation(self, result: AblationResult | None) -> None:
        """Show a result, complete or not."""
        found = result.rows if result is not None else ()
        self.text.setVisible(result is None)
        self.table.setVisible(bool(found))
        self.legend.setVisible(bool(found))
        while len(self.rows) < len(found):
            widgets = make_label("", wrap=True, select=True), DeltaBar(), DeltaBar()
            for i, widget in enumerate(widgets):
                self._grid.addWidget(widget, len(self.rows) + 2, i)
            self.rows.append(widgets)
        for i, (sentence, without, only) in enumerate(self.rows):
            for widget in (sentence, without, only):
                widget.setVisible(i < len(found))
            if i < len(found) and result is not None:
                worst = len(found) > 1 and i == result.worst
                sentence.setText(f"{found[i].sentence}\n▲ does the most harm" if worst else found[i].sentence)
                without.render_delta(found[i].delta_without, found[i].without, 0)
                only.render_delta(found[i].delta_only, found[i].only, 1)
        parts: tuple[str, ...] = ()
        if result is not None:
            whole = say_drop(result.delta_full) if result.complete else ""
            sides = {"clean": result.clean.unread, "hinted": result.full.unread}
            parts = result.note, whole, CANCELLED if result.cancelled else "", *unread_warnings(sides)
        self.note.setText(" ".join(part for part in parts if part))
        self.note.setVisible(bool(self.note.text()))
        self.button.setText("Try each sentence again" if found else "Try each sentence")


NO_SCORES = (
    "A right solution's tokens are scored twice: after the clean question, and after the question with the hint."
    " What loses probability shows where the reasoning is pulled away."
)
NO_SOLUTION = "There is no right solution to score yet: solve first, or take a problem that has a worked solution."
SERVED = (
    "The Solver is an endpoint. The tokens of a given solution can be scored with a GGUF file alone: choose one as the "
    "Solver for this view. Solving and sentence ablation work with an endpoint."
)
TOKENS_LEGEND = (
    "Thick underline: the hint makes the token less likely.  Dotted: likelier.  "
    "Arrow keys go from token to token, W to the worst."
)


class TokensTab(QWidget):
    """The tokens of a right solution with their log-prob delta, and what the model prefers in place of each."""

    def __init__(self) -> None:
        super().__init__()
        self.text = make_label(NO_SCORES, "muted", wrap=True)
        self.button = make_button("Score the solution", "tokens")
        self.total = make_label("", wrap=True)
        self.figures = QCheckBox("Figures")
        self.figures.setToolTip("Write Δ log-prob under each token")
        self.view = deltas.LogprobDeltaView()
        self.view.tokenChanged.connect(self._render_token)
        self.figures.toggled.connect(self.view.render_figures)
        self.legend = make_label(TOKENS_LEGEND, "small", wrap=True)
        column(
            self.text, row((self.total, 1), self.figures, spacing=SPACE_3), self.view, self._build_detail(),
            self.legend, row(self.button, None), spacing=SPACE_3, parent=self,
        )  # fmt: skip
        self.render_scores(None)

    def _build_detail(self) -> Card:
        self.detail = Card("flat", padding=SPACE_2)
        grid = make_grid(gaps=(SPACE_4, 2), stretched=2)
        self.token = make_label("", "mono")
        self.delta = make_label("", wrap=True)
        self.cells = [(make_label("", "mono"), make_label("", "mono", wrap=True)) for _ in range(2)]
        grid.addWidget(self.token, 0, 0)
        grid.addWidget(self.delta, 0, 1, 1, 2)
        for r, (name, cells) in enumerate(zip(("Clean", "Hinted"), self.cells, strict=True), 1):
            grid.addWidget(make_label(name, "small"), r, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(cells[0], r, 1, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(cells[1], r, 2)
        self.detail.body.addLayout(grid)
        return self.detail

    def render_scores(self, scores: LogprobDelta | None, *, can_score: bool = True, served: bool = False) -> None:
        """Show a scored solution, None for none yet; `can_score` tells whether there is a solution to score, `served`
        whether the Solver is an endpoint, which is not asked for scores."""
        self.text.setText(SERVED if served else NO_SCORES if can_score else NO_SOLUTION)
        self.text.setVisible(scores is None)
        for widget in (self.total, self.figures, self.view, self.detail, self.legend):
            widget.setVisible(scores is not None)
        self.button.setText("Score it again" if scores is not None else "Score the solution")
        if scores is self.view.scores:
            return
        self.view.render_scores(scores)
        if scores is not None:
            self.total.setText(
                f"As a whole, the solution is {'less' if scores.total_delta < 0 else 'more'} likely under the hint: "
                f"Δ log-prob {deltas.short_delta(scores.total_delta)} over {len(scores.tokens)} tokens."
            )

    def _render_token(self, index: int) -> None:
        assert self.view.scores is not None
        token = self.view.scores.tokens[index]
        self.token.setText(deltas.visible(token.text))
        self.delta.setText(deltas.say_delta(token.delta))
        sides = ((token.clean, token.top_clean), (token.hinted, token.top_hinted))
        for (figure, alternatives), (logprob, top) in zip(self.cells, sides, strict=True):
            figure.setText(deltas.say_logprob(logprob))
            alternatives.setText(deltas.say_alternatives(top))


class AttributionTab(IntEnum):
    """The tabs in order."""

    TRACES = 0
    SENTENCES = 1
    TOKENS = 2


TABS = (
    ("Paired traces", "compare", "Two solutions side by side"),
    ("Sentences", "sentences", "Which sentence of the hint does the harm"),
    ("Tokens", "tokens", "Where the right solution becomes unlikely"),
)


class AttributionCard(Card):
    """One of the three tabs at a time; as high as that tab."""

    def __init__(self, tasks: TaskRunner) -> None:
        super().__init__()
        self.body.setSpacing(SPACE_3)
        self.bar = QTabBar(drawBase=False, expanding=False, usesScrollButtons=False)
        self.bar.setCursor(Qt.CursorShape.PointingHandCursor)
        self.bar.setAccessibleName("Attribution")
        for i, (name, _icon, tip) in enumerate(TABS):
            self.bar.addTab(name)
            self.bar.setTabToolTip(i, tip)
        self.traces, self.sentences, self.tokens = TracesTab(tasks), SentencesTab(), TokensTab()
        self.body.addWidget(self.bar)
        for page in (self.traces, self.sentences, self.tokens):
            self.body.addWidget(page)
        self.bar.currentChanged.connect(self._on_tab_changed)
        self.themed()
        self._on_tab_changed(0)

    def show_tab(self, tab: AttributionTab) -> None:
        self.bar.setCurrentIndex(tab)

    def themed(self) -> None:
        for i, (_name, file, _tip) in enumerate(TABS):
            self.bar.setTabIcon(i, icon(file, "muted"))

    def _on_tab_changed(self, index: int) -> None:
        for i, page in enumerate((self.traces, self.sentences, self.tokens)):
            page.setVisible(i == index)
