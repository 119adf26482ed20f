"""The time machine: one problem on every checkpoint, since when it is robust, and two of its answers side by side."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from seirenes_app.lab.robustness.values import ReplayStep, TimeMachineResult, Trace
from seirenes_app.lab.why.alignment import align
from seirenes_app.ui.models.rollout_words import say
from seirenes_app.ui.pages.robustness_parts.replay_card import ReplayCard
from seirenes_app.ui.pages.robustness_parts.step_strip import step_look
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.quiet import hush
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from seirenes_app.ui.widgets.trace_pair import TracePairView

WITH, WITHOUT = "with", "without"
NO_PROBLEM = (
    "Choose a problem: it is then asked, with one seed, of every checkpoint of the run, and you see from which step on "
    "the answer is right."
)
READY = "Replay it: one answer a checkpoint."


class TimeMachineView(QWidget):
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

    def render_result(self, result: TimeMachineResult, *, over: bool) -> None:
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

    def _fill_left(self, result: TimeMachineResult) -> None:
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
