"""What the inspector shows of one rollout: which counterparts stand side by side, and how they align. No widgets.

Named figures in a row, each a small word over its value; they break into lines where the room ends.

The solutions of one group as numbered buttons, each with the sign of its outcome: one of them is shown.

A read-only text, as high as it is, with one part marked by a ground and a line. Plain text, never markup.

The question with the hint marked in it, and what is known of the hint: who wrote it, what it earned, what the gates
said.

Two solutions side by side, each chosen from its group; or one alone, with the reason why there is no other.

One rollout, read: its figures, the question with the hint in it, and the solutions with and without. It asks nobody
anything; what it shows comes by `render`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QPoint, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import (
    QBoxLayout,
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStackedLayout,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.services.attribution.alignment import Alignment, align
from seirenes_app.services.formatting import decimal
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.models.rollouts_model import (
    FLIP_LOOKS,
    NO_LOOK,
    PASSED_LOOK,
    STAGE_WORDS,
    answer_look,
    gate_look,
    say,
    stage_of,
)
from seirenes_app.ui.pages.traces.view_stack import centred
from seirenes_app.ui.theme import SPACE_2, SPACE_3, current_theme
from seirenes_app.ui.widgets.badges import Badge
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card, make_rule
from seirenes_app.ui.widgets.empty_state import EmptyState
from seirenes_app.ui.widgets.flow import FlowLayout
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from seirenes_app.ui.widgets.trace_pair import GUTTER, TracePairView
from training.core.types import Outcome, Stage
from training.rollouts.search import TracePair

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """A pair with one clean and one hinted solution chosen out of it; -1 where there is none of the kind."""

    pair: TracePair
    clean_at: int
    hinted_at: int
    alignment: Alignment | None

    @property
    def clean(self) -> Row | None:
        """The clean solution at the left."""
        return self.pair.clean[self.clean_at] if self.clean_at >= 0 else None

    @property
    def hinted(self) -> Row | None:
        """The hinted solution at the right."""
        return self.pair.siblings[self.hinted_at] if self.hinted_at >= 0 else None

    @property
    def asked(self) -> Row:
        """The row under the table's cursor."""
        rows = (*self.pair.clean, *self.pair.siblings, *filter(None, (self.pair.hint,)))
        return next(row for row in rows if row["id"] == self.pair.asked)

    @property
    def hint_row(self) -> Row | None:
        """A row that holds the hint."""
        return self.pair.hint or self.hinted


def make_reading(pair: TracePair, clean_at: int | None = None, hinted_at: int | None = None) -> Reading:
    """Choose, where nobody chose: the row that was asked for, beside a clean solution that is right if there is one."""
    if clean_at is None:
        asked = _place(pair.clean, lambda row: row["id"] == pair.asked)
        clean_at = asked if asked >= 0 else max(_place(pair.clean, _is_right), 0 if pair.clean else -1)
    if hinted_at is None:
        chosen = pair.hinted["id"] if pair.hinted else None
        hinted_at = _place(pair.siblings, lambda row: row["id"] == chosen)
    reading = Reading(pair, clean_at, hinted_at, None)
    if reading.clean is None or reading.hinted is None:
        return reading
    aligned = align(reading.clean["completion"], reading.hinted["completion"])
    return Reading(pair, clean_at, hinted_at, aligned)


def _is_right(row: Row) -> bool:
    return bool(row["outcome"] == Outcome.RIGHT)


def _place(rows: Sequence[Row], fits: Any) -> int:
    return next((i for i, row in enumerate(rows) if fits(row)), -1)


def locate_hint(row: Row) -> tuple[str, tuple[int, int] | None]:
    """The question with the hint in it, and where the hint lies; the question alone where there is no hint.

    Found by looking for it: a run may have placed it anywhere, and the Adversary's own row has only the question.
    """
    question, hint = str(row["question"]), str(row["hint"] or "")
    if not hint:
        return question, None
    text = str(row["prompt"]) if row["stage"] == Stage.HINTED else f"{question} {hint}"
    at = text.rfind(hint)
    if at < 0:
        text = f"{question} {hint}"
        at = len(question) + 1
    return text, (at, at + len(hint))


def say_group(rows: Sequence[Row]) -> str:
    """How many of a group are right: "3 of 4 right"."""
    return f"{sum(map(_is_right, rows))} of {len(rows)} right"


class Facts(QWidget):
    """Keeps its labels and fills them anew."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self._flow = FlowLayout(self, gap=18, line_gap=8)
        self._items: list[QWidget] = []
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def render_facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Show (word, value) pairs."""
        while len(self._items) < len(facts):
            self._items.append(_Fact())
            self._flow.addWidget(self._items[-1])
        for number, item in enumerate(self._items):
            item.setVisible(number < len(facts))
            if number < len(facts) and isinstance(item, _Fact):
                item.render_fact(*facts[number])
        self.updateGeometry()


class _Fact(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._word, self._value = make_label("", "small"), make_label("", select=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._word)
        column.addWidget(self._value)

    def render_fact(self, word: str, value: str) -> None:
        self._word.setText(word)
        self._value.setText(value)
        self.setAccessibleName(f"{word}: {value}")


class GroupStrip(QWidget):
    """`chosen` with the number of the one the person picks; arrow keys move the choice."""

    chosen = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.setAccessibleName(name)
        self.buttons: list[QPushButton] = []
        self._group = QButtonGroup(self)
        self.title = make_label(name, "small")
        self._holder = QWidget()
        self._flow = FlowLayout(self._holder, gap=4, line_gap=4)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self._holder.setSizePolicy(policy)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_2)
        row.addWidget(self.title, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._holder, 1)

    def render_group(self, rows: Sequence[Row], at: int) -> None:
        """Show a group; the buttons are kept and filled anew."""
        while len(self.buttons) < len(rows):
            self._add_button()
        self.setAccessibleDescription(say_group(rows))
        self.title.setMinimumHeight(26)
        for number, button in enumerate(self.buttons):
            button.setVisible(number < len(rows))
            if number < len(rows):
                look = answer_look(rows[number])
                set_icon(button, look.icon or "info", look.tone)
                button.setText(str(number + 1))
                button.setAccessibleName(f"{self._name} {number + 1} of {len(rows)}: {look.text}")
                button.setToolTip(f"{number + 1}: {look.text}")
        if 0 <= at < len(rows):
            self.buttons[at].setChecked(True)

    def _add_button(self) -> None:
        button = QPushButton()
        button.setCheckable(True)
        button.setProperty("chip", "pick")
        button.setIconSize(QSize(14, 14))
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        number = len(self.buttons)
        button.clicked.connect(lambda *_: self.chosen.emit(number))
        self._group.addButton(button, number)
        self._flow.addWidget(button)
        self.buttons.append(button)


class MarkedText(QTextEdit):
    """Can be selected with mouse and keys; Tab leaves it."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._span: tuple[int, int] | None = None
        self._name = name
        self.setAccessibleName(name)
        self.setReadOnly(True)
        self.setTabChangesFocus(True)
        self.setAcceptRichText(False)
        self.setProperty("bare", "true")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.document().setDocumentMargin(2)

    def render_text(self, text: str, span: tuple[int, int] | None) -> None:
        """Show a text; `span` are the characters to mark."""
        self._span = span
        self.setPlainText(text)
        self.setAccessibleDescription(f"The hint in it: {text[span[0] : span[1]]}" if span else "")
        self._mark()
        self._fit()

    def themed(self) -> None:
        """The mark in the colours of the theme."""
        self._mark()

    def _mark(self) -> None:
        if self._span is None:
            return
        theme, text = current_theme(), self.toPlainText()
        cursor = QTextCursor(self.document())
        # Qt counts UTF-16 units.
        start, end = (len(text[:at].encode("utf-16-le", "surrogatepass")) // 2 for at in self._span)
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        look = QTextCharFormat()
        look.setBackground(theme.wash("adversary", 0.16))
        look.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
        look.setUnderlineColor(theme.colour("adversary"))
        cursor.mergeCharFormat(look)

    def _fit(self) -> None:
        self.document().setTextWidth(self.viewport().width())
        self.setFixedHeight(int(self.document().size().height()) + 4)

    def sizeHint(self) -> QSize:
        """As high as its text."""
        return QSize(240, self.height())

    def minimumSizeHint(self) -> QSize:
        """It wraps."""
        return QSize(120, self.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width breaks the lines elsewhere."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()


class QuestionCard(Card):
    """Nothing to press; texts can be selected."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._build()

    def _build(self) -> None:
        self.heading = make_label("Question", "eyebrow")
        self.text = MarkedText("Question")
        self.rule = make_rule()
        self.adversary = make_label("", "eyebrow")
        self.gate = Badge(PASSED_LOOK)
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(self.adversary)
        head.addStretch(1)
        head.addWidget(self.gate)
        self.hint_head = QWidget()
        head.setContentsMargins(0, 0, 0, 0)
        self.hint_head.setLayout(head)
        self.reason = make_label("", wrap=True, tone="warn", select=True)
        self.facts = Facts("About the hint")
        self.body.addWidget(self.heading)
        self.body.addWidget(self.text)
        self.body.addWidget(self.rule)
        self.body.addWidget(self.hint_head)
        self.body.addWidget(self.reason)
        self.body.addWidget(self.facts)
        self.body.addStretch(1)

    def render_reading(self, reading: Reading) -> None:
        """Show the question of a row and its hint."""
        row = reading.asked
        text, span = locate_hint(row)
        self.heading.setText("Question, the hint underlined" if span else "Question")
        self.text.render_text(text, span)
        hint = reading.hint_row if span else None
        for part in (self.rule, self.hint_head, self.facts):
            part.setVisible(hint is not None)
        self.reason.setVisible(bool(hint and hint["gate_reason"]))
        if hint is not None:
            self._render_hint(reading, hint)

    def _render_hint(self, reading: Reading, hint: Row) -> None:
        written = reading.pair.hint
        self.adversary.setText(f"Hint · {say(hint['hint_type'] or 'no type')}")
        self.gate.setVisible(written is not None)
        if written is not None:
            self.gate.render_look(gate_look(written))
        self.reason.setText(hint["gate_reason"] or "")
        facts = [("Written by", _say_author(reading, hint))]
        if written is not None:
            facts.append(("Reward", decimal(written["reward"], signed=True)))
            facts.append(("Advantage", decimal(written["advantage"], signed=True)))
        self.facts.render_facts(facts)

    def themed(self) -> None:
        """The mark anew."""
        self.text.themed()


def _say_author(reading: Reading, hint: Row) -> str:
    if reading.pair.hint is not None:
        return "the Adversary, in this step"
    return "replayed from the archive" if hint["archived"] else "a template"


class Solutions(Card):
    """`chosen` with the numbers of the clean and of the hinted solution to show."""

    chosen = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._at = (-1, -1)
        self._build()
        self.clean.chosen.connect(lambda at: self.chosen.emit(at, self._at[1]))
        self.hinted.chosen.connect(lambda at: self.chosen.emit(self._at[0], at))

    def _build(self) -> None:
        self.clean, self.hinted = GroupStrip("Clean"), GroupStrip("Hinted")
        strips = QHBoxLayout()
        strips.setSpacing(0)
        strips.addWidget(self.clean, 1)
        self.between = QWidget()
        self.between.setFixedWidth(GUTTER)
        strips.addWidget(self.between)
        strips.addWidget(self.hinted, 1)
        self.pair = TracePairView()
        self.single = QWidget()
        self.look = Badge(answer_look({"outcome": None}))
        self.title = make_label("", "eyebrow")
        self.text = make_label("", wrap=True, select=True)
        self.why = make_label("", "muted", wrap=True)
        head = QHBoxLayout()
        head.addWidget(self.title)
        head.addStretch(1)
        head.addWidget(self.look)
        column = QVBoxLayout(self.single)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_2)
        column.addLayout(head)
        column.addWidget(self.text)
        column.addWidget(self.why)
        self.body.setSpacing(SPACE_3)
        self.body.addLayout(strips)
        self.body.addWidget(self.pair)
        self.body.addWidget(self.single)
        self.body.addStretch(1)

    def render_reading(self, reading: Reading) -> None:
        """Show the solutions of a reading."""
        pair = reading.pair
        self._at = (reading.clean_at, reading.hinted_at)
        self.clean.render_group(pair.clean, reading.clean_at)
        self.hinted.render_group(pair.siblings, reading.hinted_at)
        self.clean.setVisible(bool(pair.clean))
        self.hinted.setVisible(bool(pair.siblings))
        self.between.setVisible(bool(pair.clean and pair.siblings))
        clean, hinted = reading.clean, reading.hinted
        both = reading.alignment is not None and clean is not None and hinted is not None
        self.pair.setVisible(both)
        self.single.setVisible(not both)
        if reading.alignment is not None and clean is not None and hinted is not None:
            self.pair.render(
                reading.alignment,
                f"Clean {reading.clean_at + 1} of {len(pair.clean)}",
                f"Hinted {reading.hinted_at + 1} of {len(pair.siblings)}",
                clean["completion"], hinted["completion"],
                left_look=answer_look(clean), right_look=answer_look(hinted),
            )  # fmt: skip
        else:
            self._render_single(reading, clean or hinted)

    def _render_single(self, reading: Reading, row: Row | None) -> None:
        for part in (self.title, self.text, self.look):
            part.setVisible(row is not None)
        if row is not None:
            clean = row["stage"] == Stage.CLEAN
            at, group = (self._at[0], reading.pair.clean) if clean else (self._at[1], reading.pair.siblings)
            self.title.setText(f"{'Clean' if clean else 'Hinted'} {at + 1} of {len(group)}")
            self.text.setText(row["completion"])
            self.text.setAccessibleName(f"Solution: {row['completion']}")
            self.look.render_look(answer_look(row))
        self.why.setText(_say_why(reading))
        self.why.setVisible(bool(self.why.text()))


def _say_why(reading: Reading) -> str:
    """Why there is nothing to compare with."""
    pair = reading.pair
    if reading.asked["stage"] == Stage.CLEAN:
        return ""
    if pair.hint is not None and pair.hint["gate"]:
        return "A gate refused this hint, so nothing was solved with it."
    if pair.siblings:
        return "The question was not drawn in this step, so no clean solution stands beside: the hint was replayed."
    if pair.clean and not any(row["outcome"] == Outcome.RIGHT for row in pair.clean):
        return "No clean solution is right, so a hint could take nothing away: it was not tried."
    return "Nothing was solved with this hint."


WIDE = 880
"""From this width on the question stands beside the solutions, not above them."""
SCROLL_PX = 40


class Inspector(QWidget):
    """Up and Down scroll, Escape goes back to the table."""

    left = Signal()
    craftAsked = Signal()
    flipAsked = Signal(bool)
    """Whether backwards."""
    chosen = Signal(int, int)
    """Numbers of the clean and of the hinted solution to show."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.reading: Reading | None = None
        self._to_parting = False
        self._build()
        self.solutions.chosen.connect(self.chosen)
        self.solutions.pair.filled.connect(self._scroll_to_parting, Qt.ConnectionType.QueuedConnection)

    def _build(self) -> None:
        self.setAccessibleName("The rollout under the cursor")
        self._stack = QStackedLayout(self)
        self.empty = EmptyState("traces", "No rollout chosen", "Go through the table with j and k, or the arrow keys.")
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_2)
        column.addLayout(self._build_head())
        self.facts = Facts("Figures of this rollout")
        column.addWidget(self.facts)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
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
        self.area.setWidget(inside)
        column.addWidget(self.area, 1)
        self._stack.addWidget(centred(self.empty))
        self._stack.addWidget(content)

    def _build_head(self) -> QHBoxLayout:
        self.title = ElidedLabel("heading")
        self.outcome, self.flip = Badge(NO_LOOK), Badge(NO_LOOK)
        self.before = make_icon_button("up", "The flip above this row (p)", clicked=lambda: self.flipAsked.emit(True))
        self.after = make_icon_button(
            "chevron-down", "The next flip below this row (n)", clicked=lambda: self.flipAsked.emit(False)
        )
        flips = make_label("Flips", "small")
        self.craft = make_button("Open in Craft", "craft", tip="Take the question and its hint to Craft (c)",
                                 clicked=self.craftAsked.emit)  # fmt: skip
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(self.title)
        head.addSpacing(SPACE_2)
        head.addWidget(self.outcome)
        head.addWidget(self.flip)
        head.addStretch(1)
        for part in (flips, self.before, self.after, self.craft):
            head.addWidget(part)
        return head

    # ------------------------------------------------------------------ render

    def render(self, reading: Reading | None) -> None:  # type: ignore[override]  # QWidget.render paints into a device
        """Show a rollout; None for none."""
        moved = reading is None or self.reading is None or reading.pair.asked != self.reading.pair.asked
        self.reading = reading
        self._stack.setCurrentIndex(0 if reading is None else 1)
        if reading is None:
            return
        row = reading.asked
        stage = stage_of(row)
        words = STAGE_WORDS[stage] if stage is not None else say(row["stage"])
        self.title.setText(f"Step {row['step']} · {words}")
        self._render_look(row)
        self.facts.render_facts(_list_facts(reading, row))
        self.question.render_reading(reading)
        self.solutions.render_reading(reading)
        if moved:
            self._to_parting = False
            self.area.verticalScrollBar().setValue(0)

    def _render_look(self, row: Row) -> None:
        answer, flip = answer_look(row), FLIP_LOOKS.get(row.get("flip") or "")
        turned = row.get("flip") in ("harmful", "helpful")
        # "Right → wrong" says that it is wrong.
        self.outcome.setVisible(answer is not NO_LOOK and not turned)
        self.outcome.render_look(answer)
        self.flip.setVisible(flip is not None)
        if flip is not None:
            self.flip.render_look(flip)

    def themed(self) -> None:
        """Painted parts anew."""
        self.question.themed()

    # ------------------------------------------------------------------ keys, size

    def enter(self) -> None:
        """Take the keyboard, and bring the place where the solutions part into view."""
        self.area.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._to_parting = True
        self._scroll_to_parting()

    def _scroll_to_parting(self) -> None:
        """As soon as its row is there: the rows of long solutions come one after another."""
        parting = self.solutions.pair.divergence_row if self.solutions.pair.isVisible() else None
        inside = self.area.widget()
        if self._to_parting and parting is not None and inside is not None:
            self._to_parting = False
            bottom = parting.mapTo(inside, QPoint(0, parting.height())).y()
            self.area.ensureVisible(0, bottom, 0, SCROLL_PX)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape."""
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Side by side where there is room."""
        wide = event.size().width() >= WIDE
        self._halves.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)
        # Above the solutions the question is as high as it is; beside them it has its share of the width.
        self._halves.setStretch(0, 2 if wide else 0)
        super().resizeEvent(event)


def _list_facts(reading: Reading, row: Row) -> list[tuple[str, str]]:
    facts = [("Family", say(row["family"])), ("True answer", str(row["gold"]))]
    if reading.pair.clean:
        facts.append(("Clean", say_group(reading.pair.clean)))
    if reading.pair.siblings:
        facts.append(("With this hint", say_group(reading.pair.siblings)))
    if row["follows_hint"] is not None:
        facts.append(("Follows the hint", "yes" if row["follows_hint"] else "no"))
    facts += [
        ("Reward", decimal(row["reward"], signed=row["stage"] == Stage.HINT)),
        ("Advantage", decimal(row["advantage"], signed=True) + ("" if row["trained"] else ", not trained on")),
        ("Tokens", f"{row['tokens']}, cut off" if row["truncated"] else str(row["tokens"])),
        ("Mean log-prob", decimal(row["logprob_mean"])),
    ]
    return facts
