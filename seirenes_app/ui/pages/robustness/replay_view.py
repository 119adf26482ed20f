"""The time machine's job as the window sees it: its results in the window's thread, one job at a time.

The steps of a replay in a row that breaks where it must: outcome as icon and word, the first robust one marked.

What a replay found, as a card: the strip of steps, its table, its sentence, and the picture of it for a file.

The time machine: one problem on every checkpoint, since when it is robust, and two of its answers side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PySide6.QtCore import QObject, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QFont, QKeyEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QProgressBar,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.services.attribution.alignment import align
from seirenes_app.services.robustness.checkpoint_replay import CheckpointReplay, ReplayPlan, open_before
from seirenes_app.services.robustness.types import CheckpointReplayResult, ReplayStep, Trace
from seirenes_app.ui.charts.drawing import chart_family
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.models.rollouts_model import OUTCOME_LOOKS, say
from seirenes_app.ui.pages.robustness.chart_cards import EMPTY, FigureCard
from seirenes_app.ui.theme import LIGHT, SPACE_2, SPACE_3, SPACE_4, current_theme
from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.flow import FlowLayout
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.no_wheel import hush
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from seirenes_app.ui.widgets.trace_pair import TracePairView
from training.runs.paths import RunPaths

PATIENCE_S = 3.0


class Replay(QObject):
    """`begin` starts, `cancel` asks for an end. A job that was replaced is cancelled and no longer heard."""

    changed = Signal(object)
    """CheckpointReplayResult so far."""
    done = Signal(object)
    """CheckpointReplayResult"""
    failed = Signal(str)

    _arrived = Signal(int, str, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work = Background(self, threads=1)
        self._job: CheckpointReplay | None = None
        self._number = 0
        self.busy = False
        # From the job's own thread into this one.
        self._arrived.connect(self._take, Qt.ConnectionType.QueuedConnection)

    def begin(self, paths: RunPaths, plan: ReplayPlan, told: Sequence[int] = ()) -> None:
        """Replay `plan` on every checkpoint of a run."""
        self.leave()
        self.busy = True
        number = self._number

        def tell(kind: str, value: object) -> None:
            self._arrived.emit(number, kind, value)

        self._work.submit(
            lambda: CheckpointReplay(
                paths, plan, lambda r: tell("step", r), lambda r: tell("done", r), lambda t: tell("failed", t),
                told=told,
            ),
            lambda job: self._hold(number, job),
            lambda text: self._take(number, "failed", text),
        )  # fmt: skip

    def _hold(self, number: int, job: CheckpointReplay) -> None:
        if number == self._number:
            self._job = job
        else:
            job.cancel()

    @Slot(int, str, object)
    def _take(self, number: int, kind: str, value: object) -> None:
        if number != self._number:
            return
        if kind == "step":
            self.changed.emit(value)
            return
        self.busy, self._job = False, None
        if kind == "done":
            self.done.emit(value)
        else:
            self.failed.emit(str(value))

    def cancel(self) -> None:
        """Ask for an end; `done` follows with what there is."""
        if self._job is not None:
            self._job.cancel()

    def leave(self) -> None:
        """Cancel, and hear no more of it."""
        self._number += 1
        self.busy = False
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def close(self) -> None:
        """End everything."""
        job = self._job
        self.leave()
        if job is not None:
            job.wait(PATIENCE_S)
        self._work.close()


MISSING = BadgeStyle("silent", "Not there", "muted")
WIDTH, HEIGHT = 66, 62
ARROWS = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down)


def step_look(step: ReplayStep) -> BadgeStyle:
    """Icon, word and colour of one answer."""
    return OUTCOME_LOOKS[step.outcome] if step.outcome is not None else MISSING


class StepButton(QAbstractButton):
    """One checkpoint. Chosen it has a strong border; robust ones are underlined."""

    def __init__(self, step: ReplayStep, *, robust: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.step, self.robust = step, robust
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedSize(self.sizeHint())
        self.render_step(step, robust=robust)

    def render_step(self, step: ReplayStep, *, robust: bool) -> None:
        """Another answer."""
        self.step, self.robust = step, robust
        look = step_look(step)
        answer = f", answer {step.answer}" if step.answer and not step.missing else ""
        words = f"step {step.step}: {step.missing or look.text}{answer}"
        self.setAccessibleName(f"{words}{', robust from here on' if robust else ''}")
        self.setToolTip(words)
        self.update()

    def sizeHint(self) -> QSize:
        """All are alike."""
        return QSize(WIDTH, HEIGHT)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows are the strip's: Qt's own move the focus and leave the choice."""
        if event.key() in ARROWS:
            event.ignore()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Ground, icon, step, answer."""
        theme, look = current_theme(), step_look(self.step)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect()).adjusted(1.5, 1.5, -1.5, -1.5)
        painter.setPen(QPen(theme.colour("text" if self.isChecked() else "border"), 2 if self.isChecked() else 1))
        painter.setBrush(theme.wash(look.tone, 0.10))
        painter.drawRoundedRect(rect, 7, 7)
        if self.hasFocus():
            painter.setPen(QPen(theme.colour("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(2, 2, -2, -2), 5, 5)
        draw_svg(painter, look.icon, QRectF(rect.center().x() - 9, rect.y() + 7, 18, 18), getattr(theme, look.tone))
        font = QFont(self.font())
        for y, text, pixels, colour in ((27, str(self.step.step), 13, "text"), (42, self.step.answer, 11, "muted")):
            font.setPixelSize(pixels)
            font.setWeight(QFont.Weight.DemiBold if pixels > 12 else QFont.Weight.Normal)
            painter.setFont(font)
            painter.setPen(theme.colour(colour))
            fitted = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, WIDTH - 12)
            painter.drawText(QRectF(rect.x(), y, rect.width(), 16), Qt.AlignmentFlag.AlignCenter, fitted)
        if self.robust:
            painter.fillRect(QRectF(rect.x() + 10, rect.bottom() - 4, rect.width() - 20, 2.5), theme.colour("good"))


class StepStrip(QWidget):
    """Left and Right go from step to step; the one in hand is chosen."""

    chosen = Signal(int)
    """Place of the step."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: list[StepButton] = []
        self.current = -1
        self._flow = FlowLayout(self, gap=6, line_gap=6)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName("The answer at each checkpoint")

    def render_steps(self, steps: Sequence[ReplayStep], robust_since: int | None) -> None:
        """These steps. Buttons are kept, so that the one with the keyboard keeps it while steps come in."""
        for button in self.buttons[len(steps) :]:
            self._flow.removeWidget(button)
            button.hide()
            button.deleteLater()
        del self.buttons[len(steps) :]
        for i, step in enumerate(steps):
            robust = robust_since is not None and step.step >= robust_since and step.outcome is not None
            if i < len(self.buttons):
                self.buttons[i].render_step(step, robust=robust)
                continue
            button = StepButton(step, robust=robust)
            button.clicked.connect(lambda _on=False, place=i: self.choose(place))
            self.buttons.append(button)
            self._flow.addWidget(button)
        if self.current >= len(steps):
            self.current = -1
        self.updateGeometry()

    def choose(self, place: int) -> None:
        """Take a step in hand."""
        if not 0 <= place < len(self.buttons):
            return
        self.current = place
        for i, button in enumerate(self.buttons):
            button.setChecked(i == place)
        self.chosen.emit(place)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left, Right, Home, End."""
        moves = {
            Qt.Key.Key_Left: self.current - 1, Qt.Key.Key_Right: self.current + 1, Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: len(self.buttons) - 1,
        }  # fmt: skip
        there = moves.get(Qt.Key(event.key()))
        if there is None or not self.buttons:
            super().keyPressEvent(event)
            return
        self.choose(max(0, min(there, len(self.buttons) - 1)))
        self.buttons[self.current].setFocus()


STRIP_HEIGHT = HEIGHT + 4
MOST_HEIGHT = 4 * (HEIGHT + 6)
TABLE_HEIGHT = 240
ROOM = 40
MARKERS = {"good": "o", "bad": "X", "warn": "s", "muted": "_"}


class ReplayCard(FigureCard):
    """`render_result` takes a result, whole or so far."""

    stepChosen = Signal(int)
    """Place of the step in the result."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Every checkpoint", BadgeStyle("check-circle", "Robust", "good"), STRIP_HEIGHT, parent)
        self.result: CheckpointReplayResult | None = None
        self.strip = StepStrip()
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(self.strip)
        self.area = area
        self.put_picture(area)
        self.strip.chosen.connect(self.stepChosen)
        self.badge.hide()

    def render_nothing(self, why: str) -> None:
        """No replay yet."""
        self.result = None
        self.badge.hide()
        self.strip.render_steps((), None)
        self.render_words(why, "", EMPTY, empty=True)

    def render_result(self, result: CheckpointReplayResult) -> None:
        """What there is; the newest step is in hand unless the person took another."""
        follow = self.strip.current < 0 or self.strip.current == len(self.strip.buttons) - 1
        self.result = result
        self.strip.render_steps(result.steps, result.robust_since)
        note = (
            "One answer a checkpoint, all with the same seed. The line below a step: right from there to the last one."
        )
        self.render_words(result.sentence, note, result.table, empty=not result.steps)
        self.badge.setVisible(result.robust_since is not None and result.complete)
        if result.robust_since is not None:
            earlier = " or before" if open_before(result.steps, result.robust_since) else ""
            self.badge.render_look(
                BadgeStyle("check-circle", f"Robust since step {result.robust_since}{earlier}", "good")
            )
        self._fit()
        if follow:
            self.strip.choose(len(result.steps) - 1)

    def toggle_table(self) -> None:
        """The table has more to say."""
        super().toggle_table()
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Other lines of steps."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """As high as its lines of steps, up to a few: beyond, it scrolls."""
        wanted = self.strip.layout().heightForWidth(max(HEIGHT, self.width() - ROOM)) + 4
        self.holder.setFixedHeight(TABLE_HEIGHT if self.tabled else max(HEIGHT + 4, min(wanted, MOST_HEIGHT)))

    def draw(self) -> None:
        """The buttons paint themselves."""
        self.strip.update()

    def save_picture(self, path: Path) -> None:
        """A file that stands alone."""
        if self.result is not None:
            save_replay(path, self.result)


def save_replay(path: Path, result: CheckpointReplayResult) -> None:
    """Marks over steps, right above wrong, with the sentence; by the file's ending."""
    figure = Figure(figsize=(8.6, 2.6), dpi=100, facecolor=LIGHT.surface)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.36, 0.89, 0.42))
    for step in result.steps:
        look = step_look(step)
        axes.plot(
            [step.step], [1.0 if look.tone == "good" else 0.0], ls="", marker=MARKERS[look.tone],
            color=getattr(LIGHT, look.tone), ms=8,
        )  # fmt: skip
    if result.robust_since is not None:
        axes.axvspan(result.robust_since, result.steps[-1].step, color=LIGHT.good, alpha=0.08, lw=0)
    axes.set_yticks([0, 1], ["not right", "right"])
    axes.set_ylim(-0.5, 1.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LIGHT.border)
    axes.tick_params(length=0, labelsize=8, colors=LIGHT.muted, labelfontfamily=chart_family())
    axes.set_xlabel("step", fontsize=8, color=LIGHT.muted)
    words = textwrap.wrap(result.sentence.replace("$", r"\$"), 120)[:3]
    figure.text(0.02, 0.93, "Time machine", fontsize=12, fontweight="bold", color=LIGHT.text, va="top")
    figure.text(0.02, 0.03, "\n".join(words), fontsize=8, color=LIGHT.muted, va="bottom")
    figure.savefig(path, dpi=200, facecolor=LIGHT.surface)


WITH, WITHOUT = "with", "without"
NO_PROBLEM = (
    "Choose a problem: it is then asked, with one seed, of every checkpoint of the run, and you see from which step on "
    "the answer is right."
)
READY = "Replay it: one answer a checkpoint."


class CheckpointReplayView(QWidget):
    """Asks by signals; `render_…` shows what came."""

    problemAsked = Signal()
    replayAsked = Signal(object, bool)
    """(Trace, whether with its hint)"""
    cancelAsked = Signal()
    said = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.trace: Trace | None = None
        self._busy = False
        self._build()
        self._connect()
        self.render_problem(None)

    # ------------------------------------------------------------------ build

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_4)
        column.addWidget(self._build_problem())
        self.card = ReplayCard()
        column.addWidget(self.card)
        column.addWidget(self._build_pair())
        column.addStretch(1)

    def _build_problem(self) -> Card:
        card = Card()
        self.choose = make_button("Choose a problem…", "search", clicked=self.problemAsked.emit)
        self.replay = make_button("Replay", "play", kind="primary", tip="Ask every checkpoint, with one seed",
                                  clicked=self._ask_replay)  # fmt: skip
        self.cancel = make_button("Cancel", "stop", clicked=self.cancelAsked.emit)
        self.how = Segmented("Ask it", (Segment(WITH, "With the hint"), Segment(WITHOUT, "Without")))
        self.how.render_value(WITH)
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(make_label("One problem through time", "heading"))
        head.addStretch(1)
        for tool in (self.how, self.choose, self.replay, self.cancel):
            head.addWidget(tool)
        self.question = make_label("", wrap=True, select=True)
        self.hint_name = make_label("", "eyebrow")
        self.hint = make_label("", wrap=True, select=True)
        self.gold = make_label("", "small")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Checkpoints asked")
        self.words = make_label("", "small", wrap=True)
        card.body.addLayout(head)
        for part in (self.question, self.hint_name, self.hint, self.gold, self.bar, self.words):
            card.body.addWidget(part)
        return card

    def _build_pair(self) -> Card:
        self.pair_card = Card()
        self.left = QComboBox()
        self.left.setAccessibleName("Checkpoint on the left")
        hush(self.left)
        self.right_name = make_label("", "muted")
        row = QHBoxLayout()
        row.setSpacing(SPACE_3)
        row.addWidget(make_label("Side by side", "heading"))
        row.addSpacing(SPACE_3)
        row.addWidget(self.left)
        row.addWidget(self.right_name)
        row.addStretch(1)
        self.pair = TracePairView()
        self.pair_card.body.addLayout(row)
        self.pair_card.body.addWidget(self.pair)
        return self.pair_card

    def _connect(self) -> None:
        self.card.stepChosen.connect(lambda _place: self._render_pair())
        self.card.said.connect(self.said)
        self.left.activated.connect(lambda _i: self._render_pair())

    # ------------------------------------------------------------------ render

    def render_problem(self, trace: Trace | None) -> None:
        """A problem was chosen, or none is."""
        self.trace = trace
        hinted = trace is not None and bool(trace.hint)
        self.question.setText(trace.question if trace is not None else NO_PROBLEM)
        set_tone(self.question, "")
        self.hint_name.setText(f"Hint: {say(trace.hint_type)}" if hinted and trace is not None else "")
        self.hint.setText(trace.hint if trace is not None else "")
        self.gold.setText(f"Right answer: {trace.gold}" if trace is not None and trace.gold else "")
        for part in (self.hint_name, self.hint, self.gold):
            part.setVisible(bool(part.text()))
        self.how.setVisible(hinted)
        self.how.render_value(WITH)
        self.words.setText("")
        self.card.render_nothing(READY if trace is not None else "No problem yet.")
        self.pair_card.hide()
        self.render_busy(False)

    def render_busy(self, busy: bool) -> None:
        """Whether it is being asked."""
        self._busy = busy
        self.replay.setVisible(not busy)
        self.replay.setEnabled(self.trace is not None)
        self.cancel.setVisible(busy)
        self.cancel.setEnabled(True)
        self.choose.setEnabled(not busy)
        self.how.setEnabled(not busy)
        self.bar.setVisible(busy)
        if busy:
            self.bar.setRange(0, 0)
            self.words.setText("Loading the first checkpoint…")
            self.card.strip.current = -1
            set_tone(self.words, "")
        self.words.setVisible(bool(self.words.text()))

    def render_result(self, result: CheckpointReplayResult, *, over: bool) -> None:
        """The result so far, or the last one."""
        if over:
            self.words.setText("Cancelled; what was answered is shown." if result.cancelled else "")
            self.render_busy(False)
        else:
            self.bar.setRange(0, result.planned)
            self.bar.setValue(len(result.steps))
            self.words.setText(f"{len(result.steps)} of {result.planned} checkpoints asked")
        if not result.steps:
            self.card.render_nothing(result.sentence)
            return
        self._fill_left(result)
        self.card.render_result(result)
        self.pair_card.setVisible(any(s.outcome is not None for s in result.steps))

    def render_failed(self, text: str) -> None:
        """It could not be asked, and why."""
        self.render_busy(False)
        self.words.setText(text)
        self.words.show()
        set_tone(self.words, "bad")

    def _fill_left(self, result: CheckpointReplayResult) -> None:
        kept = self.left.currentData()
        self.left.clear()
        for i, step in enumerate(result.steps):
            if step.outcome is not None:
                self.left.addItem(f"Step {step.step}", i)
        at = self.left.findData(kept)
        self.left.setCurrentIndex(max(0, at))

    def _render_pair(self) -> None:
        result, place = self.card.result, self.card.strip.current
        first = self.left.currentData()
        if result is None or first is None or not 0 <= place < len(result.steps):
            return
        one, two = result.steps[first], result.steps[place]
        self.right_name.setText(f"against step {two.step}")
        self.pair.render(
            align(_text(one), _text(two)), f"Step {one.step}", f"Step {two.step}", _text(one), _text(two),
            left_look=step_look(one), right_look=step_look(two),
        )  # fmt: skip

    def _ask_replay(self) -> None:
        if self.trace is not None:
            self.replayAsked.emit(self.trace, self.how.value == WITH)

    def ask(self) -> None:
        """Replay what is chosen."""
        if not self._busy:
            self._ask_replay()


def _text(step: ReplayStep) -> str:
    return step.text or step.missing or "(nothing)"
