"""Checkpoint replay: one problem on every checkpoint, from which step on it is right, and two answers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QKeyEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QAbstractButton, QComboBox, QPushButton, QSizePolicy, QWidget

from seirenes_app.services.attribution.alignment import align
from seirenes_app.services.robustness.checkpoint_replay import open_before
from seirenes_app.services.robustness.types import CheckpointReplayResult, ReplayStep, Trace
from seirenes_app.ui.charts.card import EMPTY, FigureCard
from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.models.rollouts_model import OUTCOME_STYLES, say
from seirenes_app.ui.theme import SPACE_3, SPACE_4, current_theme, sized_font
from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.banner import Banner, BannerKind
from seirenes_app.ui.widgets.boxes import FlowLayout, column, fill, ignore_wheel, row, scroll_area
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card, EmptyStateHolder
from seirenes_app.ui.widgets.fetch_dialog import NOT_FETCHED
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.progress import Progress
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from seirenes_app.ui.widgets.trace_pair import TracePairView

MISSING = BadgeStyle("silent", "Not replayed", "muted")
WIDTH, HEIGHT = 66, 62
ARROWS = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down)


def step_style(step: ReplayStep) -> BadgeStyle:
    return OUTCOME_STYLES[step.outcome] if step.outcome is not None else MISSING


class StepButton(QAbstractButton):
    """One checkpoint. The chosen one has a strong border; robust ones are underlined."""

    def __init__(self, step: ReplayStep, *, robust: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedSize(WIDTH, HEIGHT)
        self.render_step(step, robust=robust)

    def render_step(self, step: ReplayStep, *, robust: bool) -> None:
        self.step, self.robust = step, robust
        answer = f", answer {step.answer}" if step.answer and not step.missing else ""
        text = f"step {step.step}: {step.missing or step_style(step).text}{answer}"
        self.setAccessibleName(f"{text}{', robust from here on' if robust else ''}")
        self.setToolTip(text)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(WIDTH, HEIGHT)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        # Arrows are the strip's: Qt's own move the focus and leave the choice.
        if event.key() in ARROWS:
            event.ignore()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, style = current_theme(), step_style(self.step)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect()).adjusted(1.5, 1.5, -1.5, -1.5)
        painter.setPen(QPen(theme.colour("text" if self.isChecked() else "border"), 2 if self.isChecked() else 1))
        painter.setBrush(theme.wash(style.tone, 0.10))
        painter.drawRoundedRect(rect, 7, 7)
        if self.hasFocus():
            painter.setPen(QPen(theme.colour("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(2, 2, -2, -2), 5, 5)
        draw_svg(painter, style.icon, QRectF(rect.center().x() - 9, rect.y() + 7, 18, 18), getattr(theme, style.tone))
        for y, text, pixels, colour in ((27, str(self.step.step), 13, "text"), (42, self.step.answer, 11, "muted")):
            weight = QFont.Weight.DemiBold if pixels > 12 else QFont.Weight.Normal
            painter.setFont(sized_font(self.font(), pixels, weight))
            painter.setPen(theme.colour(colour))
            fitted = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, WIDTH - 12)
            painter.drawText(QRectF(rect.x(), y, rect.width(), 16), Qt.AlignmentFlag.AlignCenter, fitted)
        if self.robust:
            painter.fillRect(QRectF(rect.x() + 10, rect.bottom() - 4, rect.width() - 20, 2.5), theme.colour("good"))


class StepStrip(QWidget):
    """The steps in a row that wraps. Left and Right go from step to step and choose it."""

    chosen = Signal(int)
    """Index of the step."""

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
        """These steps. Buttons are kept, so that the focused one stays focused while steps are added."""
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
            button.clicked.connect(lambda _on=False, index=i: self.choose(index))
            self.buttons.append(button)
            self._flow.addWidget(button)
        if self.current >= len(steps):
            self.current = -1
        self.updateGeometry()

    def choose(self, index: int) -> None:
        if not 0 <= index < len(self.buttons):
            return
        self.current = index
        for i, button in enumerate(self.buttons):
            button.setChecked(i == index)
        self.chosen.emit(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        last = len(self.buttons) - 1
        target = {
            Qt.Key.Key_Left: self.current - 1, Qt.Key.Key_Right: self.current + 1, Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }.get(Qt.Key(event.key()))  # fmt: skip
        if target is None or not self.buttons:
            super().keyPressEvent(event)
            return
        self.choose(max(0, min(target, last)))
        self.buttons[self.current].setFocus()


STRIP_HEIGHT, MAX_STRIP_HEIGHT, TABLE_HEIGHT = HEIGHT + 4, 4 * (HEIGHT + 6), 240
NOTE = "One answer a checkpoint, all with the same seed. The line below a step: right from there to the last one."


class ReplayCard(FigureCard):
    """The strip of steps with its sentence and table."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Every checkpoint", BadgeStyle("check-circle", "Robust", "good"), STRIP_HEIGHT, parent)
        self.result: CheckpointReplayResult | None = None
        self.strip = StepStrip()
        self.put_picture(scroll_area(self.strip))
        self.badge.hide()

    def render_nothing(self, reason: str) -> None:
        self.result = None
        self.badge.hide()
        self.strip.render_steps((), None)
        self.render_texts(reason, "", EMPTY, empty=True)

    def render_result(self, result: CheckpointReplayResult) -> None:
        """The steps so far; the newest one is chosen unless the user chose another."""
        follow = self.strip.current < 0 or self.strip.current == len(self.strip.buttons) - 1
        self.result = result
        self.strip.render_steps(result.steps, result.robust_since)
        self.render_texts(result.sentence, NOTE, result.table, empty=not result.steps)
        self.badge.setVisible(result.robust_since is not None and result.complete)
        if result.robust_since is not None:
            earlier = " or before" if open_before(result.steps, result.robust_since) else ""
            text = f"Robust since step {result.robust_since}{earlier}"
            self.badge.render_style(BadgeStyle("check-circle", text, "good"))
        self._fit()
        if follow:
            self.strip.choose(len(result.steps) - 1)

    def toggle_table(self) -> None:
        super().toggle_table()
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        # As high as the strip, up to a maximum; then it scrolls. The table is higher.
        wanted = self.strip.layout().heightForWidth(max(HEIGHT, self.width() - 40)) + 4
        height = TABLE_HEIGHT if self.tabled else max(STRIP_HEIGHT, min(wanted, MAX_STRIP_HEIGHT))
        self.holder.setFixedHeight(height)

    def save_picture(self, path: Path) -> None:
        from seirenes_app.services.charts.export import save_replay

        if self.result is not None:
            save_replay(path, self.result)


WITH, WITHOUT = "with", "without"
NO_PROBLEM = (
    "Choose a problem. Every checkpoint of the run answers it, with one seed, and you see from which step on the "
    "answer is right."
)


class CheckpointReplayView(QWidget):
    """A problem, its replay, and two answers side by side. Emits what the user asks for."""

    problemRequested = Signal()
    replayRequested = Signal(object, bool)
    """(Trace, whether with its hint)"""
    cancelRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.trace: Trace | None = None
        self.busy = False
        self.card, self.banner = ReplayCard(), Banner()
        self._replay, self._nothing = QWidget(), EmptyStateHolder()
        column(
            self._build_problem(), self.card, self.banner, self._build_pair(), None, spacing=SPACE_4,
            parent=self._replay,
        )  # fmt: skip
        column((self._nothing, 1), self._replay, parent=self)
        self.render_nothing("")
        self.card.strip.chosen.connect(lambda _index: self._render_pair())
        self.left.activated.connect(lambda _i: self._render_pair())
        self.render_problem(None)

    def _build_problem(self) -> Card:
        card = Card()
        self.choose = make_button("Choose a problem…", "search", clicked=self.problemRequested.emit)
        self.start = make_button("Replay", "play", kind="primary", tip="Replay on every checkpoint, with one seed",
                                 clicked=self._on_start)  # fmt: skip
        self.condition = Segmented("Replay", (Segment(WITH, "With the hint"), Segment(WITHOUT, "Without")))
        self.condition.render_value(WITH)
        heading = make_label("One problem on every checkpoint", "heading")
        self.question = make_label("", wrap=True, select=True)
        self.hint_name = make_label("", "eyebrow")
        self.hint = make_label("", wrap=True, select=True)
        self.gold = make_label("", "small")
        self.progress = Progress("The answers so far are kept")
        self.progress.cancelRequested.connect(self._on_cancel)
        # Keeps its space while it is hidden: nothing below moves when a replay starts or ends.
        self._progress_space = QWidget()
        column(self.progress, parent=self._progress_space)
        self._progress_space.setFixedHeight(self.progress.sizeHint().height())
        head = row(heading, None, self.condition, self.choose, self.start)
        foot = row(self.gold, SPACE_4, (self._progress_space, 1))
        fill(card.body, head, self.question, self.hint_name, self.hint, foot)
        return card

    def _build_pair(self) -> Card:
        self.pair_card, self.pair, self.error = Card(), TracePairView(), Banner()
        self.left = QComboBox()
        self.left.setAccessibleName("Checkpoint on the left")
        ignore_wheel(self.left)
        self.right_name = make_label("", "muted")
        head = row(make_label("Side by side", "heading"), SPACE_3, self.left, self.right_name, None, spacing=SPACE_3)
        self.pair.hide()
        fill(self.pair_card.body, head, self.error, self.pair)
        return self.pair_card

    @property
    def nothing(self) -> str:
        """The message in place of a replay; "" where there can be one."""
        return self._nothing.state.accessibleName() if self._nothing.state and self._replay.isHidden() else ""

    def render_nothing(self, text: str, buttons: tuple[QPushButton, ...] = ()) -> None:
        """Files that a replay needs were not fetched, and which; "" where all are here."""
        if text:
            self._nothing.render_state("server", NOT_FETCHED, text, buttons)
        self._replay.setVisible(not text)
        self._nothing.setVisible(bool(text))

    def render_problem(self, trace: Trace | None) -> None:
        self.trace = trace
        hinted = trace is not None and bool(trace.hint)
        self.question.setText(trace.question if trace is not None else NO_PROBLEM)
        self.hint_name.setText(f"Hint: {say(trace.hint_type)}" if hinted and trace is not None else "")
        self.hint.setText(trace.hint if trace is not None else "")
        self.gold.setText(f"Right answer: {trace.gold}" if trace is not None and trace.gold else "")
        for part in (self.hint_name, self.hint, self.gold):
            part.setVisible(bool(part.text()))
        self.condition.setVisible(hinted)
        self.condition.render_value(WITH)
        self.banner.clear()
        self._progress_space.setVisible(trace is not None)
        self.card.render_nothing("Replay it: one answer a checkpoint." if trace is not None else "No problem yet.")
        self.pair_card.hide()
        self.render_busy(False)

    def render_busy(self, busy: bool) -> None:
        self.busy = busy
        self.start.setEnabled(self.trace is not None and not busy)
        self.choose.setEnabled(not busy)
        self.condition.setEnabled(not busy)
        if busy:
            self.banner.clear()
            self.card.strip.current = -1
            self.progress.render_progress("Loading the first checkpoint…")
        else:
            self.progress.clear()

    def render_progress(self, result: CheckpointReplayResult) -> None:
        done = len(result.steps)
        text = f"{done} of {result.planned} checkpoints replayed"
        self.progress.render_progress(text, done, result.planned, cancelling=result.cancelled)
        self._render_result(result)

    def render_done(self, result: CheckpointReplayResult) -> None:
        self.render_busy(False)
        if result.cancelled:
            self.banner.show_message(BannerKind.INFO, "Cancelled", "The answers so far are shown.", dismissable=True)
        self._render_result(result)

    def _render_result(self, result: CheckpointReplayResult) -> None:
        if not result.steps:
            self.card.render_nothing(result.sentence)
            return
        chosen = self.left.currentData()
        self.left.clear()
        for i, step in enumerate(result.steps):
            if step.outcome is not None:
                self.left.addItem(f"Step {step.step}", i)
        self.left.setCurrentIndex(max(0, self.left.findData(chosen)))
        self.card.render_result(result)
        self._render_pair()
        self.pair_card.show()

    def render_failed(self, text: str) -> None:
        """Why it could not be replayed."""
        self.render_busy(False)
        self.banner.show_message(BannerKind.ERROR, "Could not replay this problem", text, dismissable=True)

    def _render_pair(self) -> None:
        """The chosen step beside the left one. A checkpoint without an answer has an error, which is no solution."""
        result, right = self.card.result, self.card.strip.current
        if result is None or not 0 <= right < len(result.steps):
            return
        two, left = result.steps[right], self.left.currentData()
        self.right_name.setText(f"against step {two.step}" if left is not None else f"step {two.step}")
        self.left.setVisible(left is not None)
        self.error.setVisible(bool(two.missing))
        if two.missing:
            self.error.show_message(BannerKind.ERROR, f"Step {two.step} was not replayed", two.missing)
        self.pair.setVisible(not two.missing and left is not None)
        if self.pair.isHidden():
            return
        one = result.steps[left]
        texts = [step.text or "(empty)" for step in (one, two)]
        self.pair.render(
            align(*texts), f"Step {one.step}", f"Step {two.step}",
            left_style=step_style(one), right_style=step_style(two),
        )  # fmt: skip

    def _on_start(self) -> None:
        if self.trace is not None and not self.busy:
            self.replayRequested.emit(self.trace, self.condition.value == WITH)

    def _on_cancel(self) -> None:
        self.progress.render_progress("", cancelling=True)
        self.cancelRequested.emit()
