"""The head of a run: its name, what it is, how it stands, and what can be done with it now.

The stages of a step in their order, the one under way lit and filled as far as it has come.

How far a run is: stage, bar, figures, what is being done to stop it, and what it takes of the machine.

A run that ended badly or went silent, in words: what happened, its last words, what to do.

What is not well with a run: one entry a kind of alarm, the newest on top, each with its remedy.

The frozen suite before and now, by condition and type, with intervals, and a picture of both on one scale.

The face of the Train page that shows a run, live, found again or replayed: all from its `RunState`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QKeySequence, QPainter, QPainterPath, QPaintEvent, QPen, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QSizePolicy,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.services.formatting import (
    duration,
    format_count,
    percent,
    percent_interval,
    points_interval,
    signed_points,
)
from seirenes_app.services.run_report import ReportLine
from seirenes_app.services.run_summary import MODE_WORDS, STAGE_WORDS, RunSummaryText, tell
from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.pages.train.charts import ChartGrid
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4, SPACE_6, current_theme
from seirenes_app.ui.widgets.badges import STATUS_LOOKS, Badge
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card, Column
from seirenes_app.ui.widgets.labels import ElidedLabel, IconLabel, make_card_heading, make_label, set_tone
from seirenes_app.ui.widgets.log_tail import LogTail
from seirenes_app.ui.widgets.resource_monitor import ResourceMonitor
from training.core.statistics import Interval
from training.runs.config import RunConfig
from training.runs.listing import RunSummary
from training.runs.paths import RunPaths
from training.runs.status import LIVE, EvalPoint, ProcessWarning, RunState, RunStatus


class RunHeader(QWidget):
    """Asks by signals."""

    pauseAsked = Signal()
    unpauseAsked = Signal()
    checkpointAsked = Signal()
    stopAsked = Signal()
    discardAsked = Signal()
    resumeAsked = Signal()
    newAsked = Signal()
    tracesAsked = Signal()
    robustnessAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._build()

    def _build(self) -> None:
        self.name, self.detail = ElidedLabel("title"), ElidedLabel("muted")
        self.badge = Badge(STATUS_LOOKS[RunStatus.STARTING])
        self.new = make_button("New run", "plus", tip="Set up another run (Ctrl+N)", clicked=self.newAsked.emit)
        names = QHBoxLayout()
        names.setSpacing(SPACE_3)
        names.addWidget(self.name)
        names.addWidget(self.badge)
        names.addStretch(1)
        # First in the order of keys too: what is safe comes before what discards.
        self.traces = make_button("Traces", "traces", kind="quiet", tip="Read this run's rollouts",
                                  clicked=self.tracesAsked.emit)  # fmt: skip
        self.robustness = make_button("Robustness", "chart", kind="quiet", tip="This run over its checkpoints",
                                      clicked=self.robustnessAsked.emit)  # fmt: skip
        names.addWidget(self.traces)
        names.addWidget(self.robustness)
        self.pause = make_button(
            "Pause", "pause", tip="Halt after the generation under way", clicked=self.pauseAsked.emit
        )
        self.unpause = make_button("Continue", "play", kind="primary", tip="Go on where it paused",
                                   clicked=self.unpauseAsked.emit)  # fmt: skip
        self.checkpoint = make_button("Checkpoint now", "save", tip="Save the weights after this step",
                                      clicked=self.checkpointAsked.emit)  # fmt: skip
        self.stop = make_button("Stop and save", "stop", tip="Save, then end the trainer", clicked=self.stopAsked.emit)
        self.resume = make_button("Resume", "resume", kind="primary", clicked=self.resumeAsked.emit,
                                  tip="Start a trainer that goes on from the newest sound checkpoint")  # fmt: skip
        self.discard = make_button("Discard…", "discard", kind="quiet", tip="Stop it and move it to the trash",
                                   clicked=self.discardAsked.emit)  # fmt: skip
        deeds = QHBoxLayout()
        deeds.setSpacing(SPACE_2)
        # All the room that the buttons leave: shared with a spacer, half of it would be wasted on a cut text.
        self.detail.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        deeds.addWidget(self.detail, 1)
        for button in (self.resume, self.unpause, self.pause, self.checkpoint, self.stop, self.discard, self.new):
            deeds.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_2)
        column.addLayout(names)
        column.addLayout(deeds)

    def render_state(self, state: RunState, *, stopping: bool) -> None:
        """Show what it is, and switch on what can be done."""
        live, paused = state.status in LIVE, state.status is RunStatus.PAUSED
        self.badge.render_look(STATUS_LOOKS[RunStatus.STOPPING if stopping and live else state.status])
        self.detail.setText("  ·  ".join(describe(state)))
        going = live and not stopping
        self.pause.setVisible(going and not paused and state.status is not RunStatus.STARTING)
        self.unpause.setVisible(going and paused)
        self.checkpoint.setVisible(going and not paused and state.status is not RunStatus.STARTING)
        self.stop.setVisible(going)
        self.resume.setVisible(state.can_resume)


def describe(state: RunState) -> list[str]:
    """Mode, model, threads, and what it does now where that is not a stage of the strip."""
    parts = [MODE_WORDS.get(str(state.mode), str(state.mode)), str(state.model)]
    if state.threads:
        parts.append(f"{state.threads} {'thread' if state.threads == 1 else 'threads'}")
    gpu = state.machine.get("gpu")
    if gpu:
        parts.append(str(gpu))
    if state.status is RunStatus.RUNNING and state.stage in ("setup", "checkpoint"):
        parts.append(STAGE_WORDS[state.stage])
    return [part for part in parts if part]


STAGES = (
    ("r1_clean", "R1 clean"),
    ("r2_hint", "R2 hints"),
    ("r3_hinted", "R3 hinted"),
    ("update", "Update"),
    ("eval", "Evaluate"),
)
WITHOUT = {"clean_rl": ("r2_hint", "r3_hinted"), "random": ("r2_hint",)}
"""Stages that a mode leaves out."""
GOING = frozenset({RunStatus.RUNNING, RunStatus.STOPPING, RunStatus.STALLED})
HEIGHT = 32
ARROW = 22
WIDEST = 170


def stages_of(mode: str) -> tuple[tuple[str, str], ...]:
    """Keys and words of the stages a mode goes through."""
    return tuple(stage for stage in STAGES if stage[0] not in WITHOUT.get(mode, ()))


class StageBar(QWidget):
    """Painted whole; its accessible name says the stage and how far it is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stages: Sequence[tuple[str, str]] = STAGES
        self._current = -1
        self._begun = False
        self._share = 0.0
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(460)

    def render_state(self, state: RunState) -> None:
        """Light the stage under way; none when nothing goes."""
        self._stages = stages_of(str(state.mode))
        keys = [key for key, _ in self._stages]
        lit = state.stage in keys and state.status in GOING
        self._current = keys.index(state.stage) if lit else -1
        # The evaluation before the first step stands last in the strip, and nothing has come before it.
        self._begun = state.step > 0
        self._share = min(1.0, state.stage_done / state.stage_total) if state.stage_total else 0.0
        word = self._stages[self._current][1] if lit else "none"
        self.setAccessibleName(f"Stage: {word}, {percent(self._share)}" if lit else "Stage: none")
        self.update()

    def sizeHint(self) -> QSize:
        """All stages at their widest."""
        return QSize(len(self._stages) * (WIDEST + ARROW), HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Pills with arrows between them."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        count = len(self._stages)
        width = min(WIDEST, (self.width() - ARROW * (count - 1)) / count)
        for i, (_key, word) in enumerate(self._stages):
            x = i * (width + ARROW)
            self._paint_pill(painter, QRectF(x, 0.5, width, HEIGHT - 1), i, word)
            if i + 1 < count:
                box = QRectF(x + width + (ARROW - 14) / 2, HEIGHT / 2 - 7, 14, 14)
                draw_svg(painter, "chevron-right", box, current_theme().muted)

    def _paint_pill(self, painter: QPainter, rect: QRectF, index: int, word: str) -> None:
        theme = current_theme()
        current, past = index == self._current, self._begun and index < self._current
        path = QPainterPath()
        path.addRoundedRect(rect, 7, 7)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.fillPath(path, theme.colour("raised"))
        if current:
            painter.save()
            painter.setClipPath(path)
            fill = QRectF(rect.left(), rect.top(), rect.width() * self._share, rect.height())
            painter.fillRect(fill, theme.wash("accent", 0.24))
            painter.restore()
            painter.setPen(QPen(theme.colour("accent"), 1.6))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPath(path)
        font = QFont(self.font())
        font.setPixelSize(13)
        font.setWeight(QFont.Weight.DemiBold if current else QFont.Weight.Normal)
        painter.setFont(font)
        painter.setPen(theme.colour("text" if current or past else "muted"))
        text = f"{word}  {percent(self._share)}" if current else word
        icon = 18 if past else 0
        left = rect.left() + (rect.width() - QFontMetrics(font).horizontalAdvance(text) - icon) / 2
        if past:
            draw_svg(painter, "check", QRectF(left, rect.center().y() - 7, 14, 14), theme.good)
        place = QRectF(left + icon, rect.top(), rect.right() - left, rect.height())
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)


FIGURES = (
    ("step", "Step"), ("elapsed", "Elapsed"), ("left", "Left"), ("speed", "Tokens a second"), ("rollouts", "Rollouts"),
    ("saved", "Checkpoint"), ("alarms", "Alarms"),
)  # fmt: skip
STEP_SHARES = {"r1_clean": (0.0, 0.15), "r2_hint": (0.15, 0.15), "r3_hinted": (0.3, 0.4), "update": (0.7, 0.3)}
"""Where in a step a stage begins and how much of it it takes, roughly: for a bar that moves evenly."""


def run_share(state: RunState) -> float:
    """Steps done of all steps in [0, 1], the part of the step under way included."""
    if not state.steps:
        return 0.0
    inside = min(1.0, state.stage_done / state.stage_total) if state.stage_total else 0.0
    done = float(state.step)
    if state.stage in STEP_SHARES and state.status in GOING:
        begin, length = STEP_SHARES[state.stage]
        done = max(0, state.step - 1) + begin + length * inside
    return min(1.0, done / state.steps)


class ProgressCard(Card):
    """`render_state` and `say` are all that touches it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.body.setSpacing(SPACE_3)
        self.strip = StageBar()
        self.now = make_label("", "muted")
        top = QHBoxLayout()
        top.setSpacing(SPACE_4)
        top.addWidget(self.strip, 1)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximum(10_000)
        self.bar.setAccessibleName("Progress of the run")
        self.body.addLayout(top)
        self.body.addWidget(self.bar)
        self.body.addLayout(self._build_figures())
        self.body.addWidget(self._build_ladder())
        self.meters = ResourceMonitor()
        self.body.addWidget(self.meters)

    def _build_figures(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(SPACE_6)
        grid.setVerticalSpacing(0)
        self.figures: dict[str, QLabel] = {}
        for column, (key, word) in enumerate(FIGURES):
            figure = make_label("—", "figure")
            figure.setAccessibleName(word)
            self.figures[key] = figure
            grid.addWidget(make_label(word, "small"), 0, column)
            grid.addWidget(figure, 1, column)
            grid.setColumnStretch(column, 1)
        return grid

    def _build_ladder(self) -> QWidget:
        self.ladder_row = QWidget()
        row = QHBoxLayout(self.ladder_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_2)
        self.ladder = make_label("", wrap=True)
        row.addWidget(IconLabel("clock", 18))
        row.addWidget(self.ladder, 1)
        self.ladder_row.hide()
        return self.ladder_row

    def say(self, text: str) -> None:
        """The rung of the stop ladder, or "" for none."""
        self.ladder.setText(text)
        self.ladder.setAccessibleName(text)
        self.ladder_row.setVisible(bool(text))

    def render_state(self, state: RunState) -> None:
        """Show how far it is."""
        self.strip.render_state(state)
        self.bar.setValue(round(10_000 * run_share(state)))
        for key, text in self._figures(state).items():
            self.figures[key].setText(text)
            self.figures[key].setAccessibleDescription(text)
        set_tone(self.figures["alarms"], "warn" if state.warnings else "")

    def _figures(self, state: RunState) -> dict[str, str]:
        speed, rollouts = state.latest.get("tokens_per_s"), state.latest.get("rollouts_total")
        saved = f"step {state.checkpoints[-1][0]}" if state.checkpoints else "none yet"
        return {
            "step": f"{state.step} of {state.steps}" if state.steps else _waiting_words(state),
            "elapsed": duration(state.active_s) if state.started_t else "—",
            "left": duration(state.eta_s) if state.eta_s is not None else "—",
            "speed": format_count(speed) if speed else "—",
            "rollouts": format_count(rollouts) if rollouts else "—",
            "saved": saved,
            "alarms": str(len(state.warnings)) if state.warnings else "none",
        }


def _waiting_words(state: RunState) -> str:
    if state.status is RunStatus.STARTING:
        return "starting"
    return STAGE_WORDS.get(state.stage, "—")


LINES = 6


class EndBanner(Card):
    """Hidden while there is nothing to tell."""

    resumeAsked = Signal()
    logAsked = Signal()
    diagnosticsAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("bad", parent)
        self._story: RunSummaryText | None = None
        self._build()
        self.hide()

    def _build(self) -> None:
        self.heading = make_label("", "heading")
        self.text = make_label("", wrap=True, select=True)
        head = QHBoxLayout()
        head.setSpacing(SPACE_3)
        head.addWidget(IconLabel("died", 20, "bad"))
        head.addWidget(self.heading)
        head.addStretch(1)
        self.body.addLayout(head)
        self.body.addWidget(self.text)
        self.words = Card("flat", padding=SPACE_2)
        self.log = make_label("", "mono", wrap=True)
        self.log.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.log.setAccessibleName("Last lines of trainer.log")
        self.words.body.addWidget(self.log)
        self.body.addWidget(self.words)
        self.resume = make_button("Resume", "resume", kind="primary", clicked=self.resumeAsked.emit,
                                  tip="Start a trainer that goes on from the newest sound checkpoint")  # fmt: skip
        self.open_log = make_button("Open log", "log", tip="Go to the trainer's log", clicked=self.logAsked.emit)
        self.diagnose = make_button("Copy diagnostics", "copy", tip="This machine, this run, the end of its log",
                                    clicked=self.diagnosticsAsked.emit)  # fmt: skip
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        for button in (self.resume, self.open_log, self.diagnose):
            row.addWidget(button)
        row.addStretch(1)
        self.body.addLayout(row)

    def render_story(self, story: RunSummaryText | None) -> None:
        """Tell it, or nothing."""
        if story == self._story:
            return
        self._story = story
        self.diagnose.setText("Copy diagnostics")
        self.setVisible(story is not None)
        if story is None:
            return
        self.heading.setText(story.title)
        self.text.setText(story.text)
        self.setAccessibleName(f"{story.title}. {story.text}")
        self._show_log(story.log[-LINES:])
        self.resume.setVisible(story.can_resume)

    def say_copied(self) -> None:
        """The diagnostics are on the clipboard."""
        self.diagnose.setText("Copied")

    def _show_log(self, lines: Sequence[str]) -> None:
        self.log.setText("\n".join(lines))
        self.words.setVisible(bool(lines))


SHOWN = 3


@dataclass(frozen=True)
class HealthWarning:
    """The newest warning of one code, and how often that code was raised."""

    newest: ProcessWarning
    times: int

    @property
    def when(self) -> str:
        """The step, and how often."""
        step = f"step {self.newest.step}"
        return step if self.times == 1 else f"{step}, {self.times} times in all"


def group_warnings(warnings: Sequence[ProcessWarning]) -> list[HealthWarning]:
    """One alarm a code, the one that was raised last on top."""
    newest: dict[str, ProcessWarning] = {}
    times: dict[str, int] = {}
    for warning in warnings:
        newest.pop(warning.code, None)
        newest[warning.code] = warning
        times[warning.code] = times.get(warning.code, 0) + 1
    return [HealthWarning(warning, times[code]) for code, warning in reversed(newest.items())]


class WarningList(Card):
    """Hidden while there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("warn", parent)
        self._warnings: Sequence[ProcessWarning] = ()
        self._all = False
        self._build()
        self.hide()

    def _build(self) -> None:
        self.body.setSpacing(SPACE_3)
        self.heading = make_card_heading("Alarms")
        self.more = make_button("Show all", kind="quiet", clicked=self._toggle)
        head = QHBoxLayout()
        head.addWidget(self.heading)
        head.addStretch(1)
        head.addWidget(self.more)
        self.body.addLayout(head)
        self.list = QVBoxLayout()
        self.list.setSpacing(SPACE_3)
        self.body.addLayout(self.list)

    def render_warnings(self, warnings: Sequence[ProcessWarning]) -> None:
        """Show them; the same ones again cost nothing."""
        if warnings is self._warnings:
            return
        self._warnings = warnings
        self._fill()

    def _toggle(self) -> None:
        self._all = not self._all
        self._fill()

    def _fill(self) -> None:
        alarms = group_warnings(self._warnings)
        self.setVisible(bool(alarms))
        self.heading.setText("1 alarm" if len(alarms) == 1 else f"{len(alarms)} alarms")
        self.more.setVisible(len(alarms) > SHOWN)
        self.more.setText("Show fewer" if self._all else f"Show all {len(alarms)}")
        while (item := self.list.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.setParent(None)
                old.deleteLater()
        for alarm in alarms if self._all else alarms[:SHOWN]:
            self.list.addWidget(make_entry(alarm))


def make_entry(alarm: HealthWarning) -> QWidget:
    """An alarm in a row: sign, what happened, what to do, when."""
    entry = QWidget()
    warning = alarm.newest
    entry.setAccessibleName(f"{warning.message} {warning.remedy} {alarm.when}")
    words = QVBoxLayout()
    words.setSpacing(2)
    words.addWidget(make_label(warning.message or warning.code, wrap=True, select=True))
    words.addWidget(
        make_label("  ·  ".join(p for p in (warning.remedy, alarm.when) if p), "small", wrap=True, select=True)
    )
    row = QHBoxLayout(entry)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(SPACE_2)
    row.addWidget(IconLabel("warning", 18, "warn"), 0, Qt.AlignmentFlag.AlignTop)
    row.addLayout(words, 1)
    return entry


HEADINGS = ("Condition", "Before", "Now", "Change, percentage points", "0 to 100%")
ROW = 36
PICTURE_ROLE = Qt.ItemDataRole.UserRole + 1
WORDS = {"clean": "clean", "hinted": "hinted, all types", "placebo": "placebo"}


@dataclass(frozen=True)
class Row:
    """One line: condition, its rates before and now (None: not measured), the theme's colour, the report's label."""

    label: str
    before: Mapping[str, Any] | None
    now: Mapping[str, Any] | None
    colour: str
    paired: str = ""


def make_rows(evals: Sequence[EvalPoint]) -> list[Row]:
    """Lines of the first and the newest evaluation; one evaluation alone has no `now`."""
    if not evals:
        return []
    first, last = evals[0].metrics, evals[-1].metrics if len(evals) > 1 else {}
    rows = [Row(WORDS[key], first.get(key), last.get(key), key, WORDS[key]) for key in ("clean", "hinted")]
    for type_, rate in (first.get("by_type") or {}).items():
        word = type_.replace("_", " ")
        rows.append(Row(f"    {word}", rate, (last.get("by_type") or {}).get(type_), "hinted", f"· {word}"))
    rows.append(Row(WORDS["placebo"], first.get("placebo"), last.get("placebo"), "placebo", WORDS["placebo"]))
    rows.append(Row("worst of k hints", first.get("worst_of_k"), last.get("worst_of_k"), "hinted"))
    rows.append(Row("worst of k placebos", first.get("placebo_worst_of_k"), last.get("placebo_worst_of_k"), "placebo"))
    return [row for row in rows if row.before is not None]


class IntervalDelegate(QStyledItemDelegate):
    """Before as a ring, now as a dot, each on its interval."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """A track, two intervals, two marks."""
        row = index.data(PICTURE_ROLE)
        if not isinstance(row, Row):
            return
        theme, rect = current_theme(), option.rect.adjusted(14, 0, -14, 0)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        y = rect.center().y() + 0.5
        painter.setPen(QPen(theme.colour("border"), 1))
        painter.drawLine(QPointF(rect.left(), y), QPointF(rect.right(), y))
        for share in (0.0, 0.5, 1.0):
            x = rect.left() + share * rect.width()
            painter.drawLine(QPointF(x, y - 3), QPointF(x, y + 3))
        for rate, dy, filled in ((row.before, -5, False), (row.now, 5, True)):
            if rate is None:
                continue
            low, mid, high = (rect.left() + rect.width() * float(rate[k]) for k in ("low", "accuracy", "high"))
            painter.setPen(QPen(theme.colour(row.colour), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
            painter.drawLine(QPointF(low, y + dy), QPointF(high, y + dy))
            painter.setPen(QPen(theme.colour(row.colour), 1.8))
            painter.setBrush(theme.colour(row.colour) if filled else theme.colour("surface"))
            painter.drawEllipse(QPointF(mid, y + dy), 4.0, 4.0)
        painter.restore()


class EvaluationTable(QTableWidget):
    """Read-only; as high as its rows."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADINGS), parent)
        self._evals: Sequence[EvalPoint] | None = None
        self._paired: Mapping[str, ReportLine] = {}
        self._build()
        self.render_evals(())

    def _build(self) -> None:
        self.setHorizontalHeaderLabels(HEADINGS)
        self.setProperty("plain", "true")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column in range(len(HEADINGS)):
            side = Qt.AlignmentFlag.AlignRight if 0 < column < 4 else Qt.AlignmentFlag.AlignLeft
            self.horizontalHeaderItem(column).setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
        self.setItemDelegateForColumn(4, IntervalDelegate(self))
        self.setShowGrid(False)
        self.setAccessibleName("Accuracy on the frozen suite, before and now")

    def render_evals(self, evals: Sequence[EvalPoint]) -> None:
        """First and newest evaluation; the same ones again cost nothing."""
        if evals is not self._evals:
            self._evals = evals
            self._fill()

    def render_paired(self, lines: Sequence[ReportLine]) -> None:
        """Paired changes with their intervals, read from the raw rows."""
        self._paired = {line.label: line for line in lines}
        self._fill()

    def _fill(self) -> None:
        rows = make_rows(self._evals or ())
        self.setRowCount(len(rows))
        for r, row in enumerate(rows):
            for c, text in enumerate((row.label, say_rate(row.before), say_rate(row.now), self._change(row), "")):
                item = QTableWidgetItem(text)
                if 0 < c < 4:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                if c == 4:
                    item.setData(PICTURE_ROLE, row)
                    item.setData(Qt.ItemDataRole.AccessibleTextRole, "")
                self.setItem(r, c, item)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + len(rows) * ROW + 8)

    def _change(self, row: Row) -> str:
        if row.before is None or row.now is None:
            return ""
        text = signed_points(float(row.now["accuracy"]) - float(row.before["accuracy"]))
        line = self._paired.get(row.paired)
        if line is None or abs(line.after.accuracy - float(row.now["accuracy"])) > 1e-9:
            return text
        return points_interval(line.difference, "")


def say_rate(rate: Mapping[str, Any] | None) -> str:
    """A proportion with its Wilson interval."""
    return percent_interval(Interval(rate["accuracy"], rate["low"], rate["high"])) if rate else "—"


LOG_HEIGHT = 320
NO_EVAL = (
    "The frozen suite is measured before the first step and again as the run goes on; its figures stand here then."
)
PAIRED_NOTE = (
    "Each rate with its 95% Wilson interval. The change is paired, the same problems before and now, with a bootstrap "
    "interval over problems. Ring: before. Dot: now."
)


class RunView(QWidget):
    """`render` is the only place that touches the widgets; buttons ask by signals."""

    pauseAsked = Signal()
    unpauseAsked = Signal()
    checkpointAsked = Signal()
    stopAsked = Signal()
    discardAsked = Signal()
    resumeAsked = Signal()
    newAsked = Signal()
    tracesAsked = Signal()
    robustnessAsked = Signal()
    diagnosticsAsked = Signal()
    evaluated = Signal()
    """There are other evaluations than before: the paired changes can be read anew."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paths: RunPaths | None = None
        self._told: tuple[object, ...] = ()
        self._evals: object = None
        self._build()
        self._connect()

    def _build(self) -> None:
        self.column = Column(1800)
        self.column.body.setSpacing(SPACE_4)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.column)
        self.head = RunHeader()
        self.name = self.head.name
        self.waiting = make_label("", "small")
        self.waiting.hide()
        self.banner = EndBanner()
        self.progress = ProgressCard()
        self.meters = self.progress.meters
        self.alarms = WarningList()
        self.grid = ChartGrid()
        for part in (self.head, self.waiting, self.banner, self.progress, self.alarms, self.grid):
            self.column.body.addWidget(part)
        self.column.body.addWidget(self._build_evaluation())
        self.column.body.addWidget(self._build_log())
        self.column.body.addStretch(1)

    def _build_evaluation(self) -> Card:
        card = Card()
        card.body.addWidget(make_card_heading("Before and now, on the frozen suite"))
        self.evaluation_note = make_label(NO_EVAL, "small", wrap=True)
        self.evaluation = EvaluationTable()
        card.body.addWidget(self.evaluation_note)
        card.body.addWidget(self.evaluation)
        return card

    def _build_log(self) -> Card:
        card = Card()
        card.body.addWidget(make_card_heading("Log"))
        self.log = LogTail()
        self.log.setFixedHeight(LOG_HEIGHT)
        card.body.addWidget(self.log)
        return card

    def _connect(self) -> None:
        head, banner = self.head, self.banner
        for asked, passed_on in (
            (head.pauseAsked, self.pauseAsked), (head.unpauseAsked, self.unpauseAsked),
            (head.stopAsked, self.stopAsked), (head.checkpointAsked, self.checkpointAsked),
            (head.discardAsked, self.discardAsked),
            (head.resumeAsked, self.resumeAsked),
            (head.newAsked, self.newAsked),
            (head.tracesAsked, self.tracesAsked), (head.robustnessAsked, self.robustnessAsked),
            (banner.resumeAsked, self.resumeAsked),
            (banner.diagnosticsAsked, self.diagnosticsAsked),
        ):  # fmt: skip
            asked.connect(passed_on)
        banner.logAsked.connect(self.show_log)
        QShortcut(QKeySequence("Ctrl+F"), self).activated.connect(self._find)

    # ------------------------------------------------------------------ render

    def follow(self, paths: RunPaths) -> None:
        """Another run."""
        self._paths, self._told, self._evals = paths, (), None
        self.name.setText(paths.run_id)
        self.log.follow(paths.log)
        self.progress.say("")
        self.meters.render_use(None)
        self.grid.forget()
        self.evaluation.render_paired(())
        self.column.verticalScrollBar().setValue(0)

    def render(self, state: RunState, *, stopping: bool = False) -> None:  # type: ignore[override]  # not QWidget's painting
        """Show a state."""
        self.head.render_state(state, stopping=stopping)
        self.progress.render_state(state)
        self.alarms.render_warnings(state.warnings)
        self.grid.render_state(state)
        self.evaluation.render_evals(state.evals)
        self.evaluation.setVisible(bool(state.evals))
        self.evaluation_note.setText(PAIRED_NOTE if state.evals else NO_EVAL)
        self._render_story(state)
        if state.evals is not self._evals:
            self._evals = state.evals
            self.evaluated.emit()

    def _render_story(self, state: RunState) -> None:
        # The story reads the log's end: once a verdict, not once an event.
        told = (state.status, state.message, state.step)
        if told != self._told and self._paths is not None:
            self._told = told
            self.banner.render_story(tell(RunSummary(self._paths, None, state)))

    def render_paired(self, lines: Sequence[ReportLine]) -> None:
        """Paired changes from the raw rows."""
        self.evaluation.render_paired(lines)

    def render_queue(self, waiting: Sequence[RunConfig]) -> None:
        """Which runs start after the one that is going."""
        self.waiting.setVisible(bool(waiting))
        self.waiting.setText("Next: " + ", ".join(config.name for config in waiting))

    def say(self, text: str) -> None:
        """The rung of the stop ladder."""
        self.progress.say(text)

    def show_log(self) -> None:
        """Scroll to the log and put the keyboard there."""
        self.column.ensureWidgetVisible(self.log)
        self.log.view.setFocus()

    def _find(self) -> None:
        self.column.ensureWidgetVisible(self.log)
        self.log.find_box.setFocus()

    # ------------------------------------------------------------------ drawing

    def tick(self) -> bool:
        """Draw one stale chart and read the log; called on a timer while the page is in view. False: none was stale."""
        self.log.poll()
        return self.grid.draw_next()
