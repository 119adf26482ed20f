"""One rollout: its figures, the question with the hint marked, and the solutions with and without the hint."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QButtonGroup, QPushButton, QScrollArea, QStackedLayout, QWidget

from seirenes_app.services.answer_reading import describe_reading
from seirenes_app.services.formatting import decimal
from seirenes_app.services.traces import Reading, Row, is_right, locate_hint
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.models import rollouts_model as rollouts
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import Badge
from seirenes_app.ui.widgets.boxes import FlowLayout, column, fill, put_in_area, row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card, EmptyState, centred, make_rule
from seirenes_app.ui.widgets.labels import ElidedLabel, Facts, make_label
from seirenes_app.ui.widgets.marked_text import MarkedText
from seirenes_app.ui.widgets.trace_pair import GUTTER, TracePairView
from training.core.types import Stage
from training.rollouts.reader import opponent_step


class GroupStrip(QWidget):
    """The solutions of one group as numbered buttons, each with the icon of its outcome; one of them is shown."""

    chosen = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.setAccessibleName(name)
        self.buttons: list[QPushButton] = []
        self._group = QButtonGroup(self)
        self._group.idClicked.connect(self.chosen)
        title, holder = make_label(name, "small"), QWidget()
        title.setFixedHeight(26)
        self._flow = FlowLayout(holder, gap=4, line_gap=4)
        row(title, (holder, 1), parent=self).setAlignment(title, Qt.AlignmentFlag.AlignTop)

    def render_group(self, rows: Sequence[Row], at: int) -> None:
        while len(self.buttons) < len(rows):
            self._add_button()
        self.setAccessibleDescription(format_group(rows))
        for number, button in enumerate(self.buttons):
            button.setVisible(number < len(rows))
            if number < len(rows):
                look = rollouts.answer_style(rows[number])
                set_icon(button, look.icon or "info", look.tone)
                button.setAccessibleName(f"{self._name} {number + 1} of {len(rows)}: {look.text}")
                button.setToolTip(f"{number + 1}: {look.text}")
        if 0 <= at < len(rows):
            self.buttons[at].setChecked(True)

    def _add_button(self) -> None:
        button = QPushButton(str(len(self.buttons) + 1))
        button.setCheckable(True)
        button.setProperty("chip", "pick")
        button.setIconSize(QSize(14, 14))
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        self._group.addButton(button, len(self.buttons))
        self._flow.addWidget(button)
        self.buttons.append(button)


class QuestionCard(Card):
    """The question with the hint marked, and about the hint: its author, its reward, the gates' result."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.heading = make_label("Question", "eyebrow")
        self.text = MarkedText("Question")
        self.rule = make_rule()
        self.adversary = make_label("", "eyebrow")
        self.gate = Badge(rollouts.PASSED_STYLE)
        self.hint_head = QWidget()
        row((self.adversary, 1), self.gate, parent=self.hint_head)
        self.reason = make_label("", wrap=True, tone="warn", select=True)
        self.facts = Facts("About the hint")
        fill(self.body, self.heading, self.text, self.rule, self.hint_head, self.reason, self.facts, None)

    def render_reading(self, reading: Reading) -> None:
        text, span = locate_hint(reading.asked)
        self.heading.setText("Question, the hint underlined" if span else "Question")
        self.text.render_text(text, span)
        hint, written = reading.hint_row if span else None, reading.pair.hint
        for part in (self.rule, self.hint_head, self.facts):
            part.setVisible(hint is not None)
        self.reason.setVisible(bool(hint and hint["gate_reason"]))
        if hint is None:
            return
        self.adversary.setText(f"Hint · {rollouts.say(hint['hint_type'] or 'no type')}")
        self.reason.setText(hint["gate_reason"] or "")
        self.gate.setVisible(written is not None)
        author = "replayed from the archive" if hint["archived"] else "no model: drawn"
        past = opponent_step(hint["hint_id"])
        by = "the Adversary, in this step" if past is None else f"the Adversary as it was at step {past}"
        facts = [("Written by", author if written is None else by)]
        if written is not None:
            self.gate.render_style(rollouts.gate_style(written))
            facts += [(name.capitalize(), decimal(written[name], signed=True)) for name in ("reward", "advantage")]
        self.facts.render_facts(facts)


class Solutions(Card):
    """Two solutions side by side, each chosen from its group; or one alone, with the reason why there is no other."""

    chosen = Signal(int, int)  # Numbers of the clean and of the hinted solution to show

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._at = (-1, -1)
        self.clean, self.hinted = GroupStrip("Clean"), GroupStrip("Hinted")
        self.between = QWidget()
        self.between.setFixedWidth(GUTTER)
        self.pair = TracePairView()
        self.single = QWidget()
        self.outcome = Badge(rollouts.NO_STYLE)
        self.title = make_label("", "eyebrow")
        self.text = make_label("", wrap=True, select=True)
        self.why = make_label("", "muted", wrap=True)
        column(row((self.title, 1), self.outcome), self.text, self.why, parent=self.single)
        strips = row((self.clean, 1), self.between, (self.hinted, 1), spacing=0)
        self.body.setSpacing(SPACE_3)
        fill(self.body, strips, self.pair, self.single, None)
        self.clean.chosen.connect(lambda at: self.chosen.emit(at, self._at[1]))
        self.hinted.chosen.connect(lambda at: self.chosen.emit(self._at[0], at))

    def render_reading(self, reading: Reading) -> None:
        pair, clean, hinted = reading.pair, reading.clean, reading.hinted
        self._at = (reading.clean_at, reading.hinted_at)
        self.clean.render_group(pair.clean, reading.clean_at)
        self.hinted.render_group(pair.siblings, reading.hinted_at)
        name = "Needed" if reading.asked["stage"] == Stage.NEEDED else "Clean"
        self.clean.setVisible(bool(pair.clean))
        self.hinted.setVisible(bool(pair.siblings))
        self.between.setVisible(bool(pair.clean and pair.siblings))
        titles = (
            f"{name} {reading.clean_at + 1} of {len(pair.clean)}",
            f"Hinted {reading.hinted_at + 1} of {len(pair.siblings)}",
        )
        self.pair.setVisible(reading.alignment is not None)
        self.single.setVisible(reading.alignment is None)
        if reading.alignment is not None and clean is not None and hinted is not None:
            self.pair.render(
                reading.alignment, *titles,
                left_style=rollouts.answer_style(clean), right_style=rollouts.answer_style(hinted),
            )  # fmt: skip
            return
        row = clean or hinted
        for part in (self.title, self.text, self.outcome):
            part.setVisible(row is not None)
        if row is not None:
            self.title.setText(titles[row is hinted])
            self.text.setText(row["completion"])
            self.text.setAccessibleName(f"Solution: {row['completion']}")
            self.outcome.render_style(rollouts.answer_style(row))
        self.why.setText(_why_unpaired(reading))
        self.why.setVisible(bool(self.why.text()))


def _why_unpaired(reading: Reading) -> str:
    pair = reading.pair
    if reading.asked["stage"] in rollouts.WITHOUT_HINT:
        return ""
    if pair.hint is not None and pair.hint["gate"]:
        return "A gate refused this hint, so nothing was solved with it."
    if pair.siblings:
        return "The hint was replayed. Its question was not drawn in this step, so there is no clean solution."
    if pair.clean and not any(map(is_right, pair.clean)):
        return "No clean solution is right, so a hint cannot make it worse: it was not tried."
    return "Nothing was solved with this hint."


def format_group(rows: Sequence[Row]) -> str:
    """How many of a group are right: "3 of 4 right"."""
    return f"{sum(map(is_right, rows))} of {len(rows)} right"


WIDE = 880  # From this width on the question stands beside the solutions, not above them
SCROLL_PX = 40


class Inspector(QWidget):
    """Shows one rollout. Up and Down scroll, Escape goes back to the table."""

    left = Signal()
    craftRequested = Signal()
    flipRequested = Signal(bool)  # Whether backwards

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.reading: Reading | None = None
        self._to_divergence = False
        self.setAccessibleName("The rollout under the cursor")
        self._stack = QStackedLayout(self)
        empty = EmptyState("traces", "No rollout chosen", "Move through the table with j and k, or the arrow keys.")
        content = QWidget()
        self.facts = Facts("Figures of this rollout")
        self.area = QScrollArea(widgetResizable=True)
        self.area.setProperty("ring", "true")
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Always there: a bar that comes and goes has everything laid out twice.
        self.area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.area.setAccessibleName("Question and solutions")
        inside = QWidget()
        self._halves = QBoxLayout(QBoxLayout.Direction.TopToBottom, inside)
        self._halves.setContentsMargins(4, 4, 6, 4)
        self._halves.setSpacing(SPACE_3)
        self.question, self.solutions = QuestionCard(), Solutions()
        self._halves.addWidget(self.question, 2)
        self._halves.addWidget(self.solutions, 3)
        put_in_area(self.area, inside)
        column(self._build_head(), self.facts, (self.area, 1), parent=content)
        self._stack.addWidget(centred(empty))
        self._stack.addWidget(content)
        self.solutions.pair.filled.connect(self._scroll_to_divergence, Qt.ConnectionType.QueuedConnection)

    def _build_head(self) -> QBoxLayout:
        self.title = ElidedLabel("heading")
        self.outcome, self.flip = Badge(rollouts.NO_STYLE), Badge(rollouts.NO_STYLE)
        self.before = make_icon_button("up", "Previous flip (p)", clicked=lambda: self.flipRequested.emit(True))
        self.after = make_icon_button("chevron-down", "Next flip (n)", clicked=lambda: self.flipRequested.emit(False))
        self.craft = make_button("Open in Craft", "craft", tip="Take the question and its hint to Craft (c)",
                                 clicked=self.craftRequested.emit)  # fmt: skip
        flips = make_label("Flips", "small")
        return row(self.title, SPACE_2, self.outcome, self.flip, None, flips, self.before, self.after, self.craft)

    def render(self, reading: Reading | None) -> None:  # type: ignore[override]  # QWidget.render paints into a device
        """Show a rollout; None for none."""
        moved = reading is None or self.reading is None or reading.pair.asked != self.reading.pair.asked
        self.reading = reading
        self._stack.setCurrentIndex(0 if reading is None else 1)
        if reading is None:
            return
        row = reading.asked
        stage, answer, flip = (
            rollouts.stage_of(row),
            rollouts.answer_style(row),
            rollouts.flip_style(row),
        )
        self.title.setText(
            f"Step {row['step']} · {rollouts.STAGE_WORDS[stage] if stage is not None else rollouts.say(row['stage'])}"
        )
        # "Right → wrong" says that it is wrong.
        self.outcome.setVisible(answer is not rollouts.NO_STYLE and not rollouts.is_flip(row))
        self.outcome.render_style(answer)
        self.flip.setVisible(flip is not None)
        self.flip.render_style(flip or rollouts.NO_STYLE)
        self.facts.render_facts(_list_facts(reading))
        self.question.render_reading(reading)
        self.solutions.render_reading(reading)
        if moved:
            self._to_divergence = False
            self.area.verticalScrollBar().setValue(0)

    def enter(self) -> None:
        """Take the keyboard, and bring the place where the solutions diverge into view."""
        self.area.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._to_divergence = True
        self._scroll_to_divergence()

    def _scroll_to_divergence(self) -> None:
        """As soon as its row is there: the rows of long solutions are added one after another."""
        row = self.solutions.pair.divergence_row if self.solutions.pair.isVisible() else None
        inside = self.area.widget()
        if self._to_divergence and row is not None and inside is not None:
            self._to_divergence = False
            bottom = row.mapTo(inside, QPoint(0, row.height())).y()
            self.area.ensureVisible(0, bottom, 0, SCROLL_PX)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        wide = event.size().width() >= WIDE
        self._halves.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)
        # Above the solutions the question has its own height; beside them it has its share of the width.
        self._halves.setStretch(0, 2 if wide else 0)
        super().resizeEvent(event)


def _list_facts(reading: Reading) -> list[tuple[str, str]]:
    row = reading.asked
    facts = [("Family", rollouts.say(row["family"])), ("Gold answer", str(row["gold"]))]
    first = "Needed" if row["stage"] == Stage.NEEDED else "Clean"
    for name, group in ((first, reading.pair.clean), ("With this hint", reading.pair.siblings)):
        facts += [(name, format_group(group))] if group else []
    if row["follows_hint"] is not None:
        facts.append(("Follows the hint", "yes" if row["follows_hint"] else "no"))
    if row["stage"] != Stage.HINT:
        facts.append(("Read from", describe_reading(row.get("tier"), row.get("reader"))))
    facts += [
        ("Reward", decimal(row["reward"], signed=row["stage"] == Stage.HINT)),
        ("Advantage", decimal(row["advantage"], signed=True) + ("" if row["trained"] else ", not trained on")),
        ("Tokens", f"{row['tokens']}, truncated" if row["truncated"] else str(row["tokens"])),
        ("Mean log-prob", decimal(row["logprob_mean"])),
    ]
    return facts
