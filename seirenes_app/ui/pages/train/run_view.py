"""The view of the Train page that shows a run, live, found again or replayed: all from its `RunState`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QAction, QFont, QFontMetrics, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QMenu, QProgressBar, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from seirenes_app.services import formatting
from seirenes_app.services.answer_reading import describe_unread
from seirenes_app.services.cluster_runs import Place
from seirenes_app.services.robustness.checkpoint_figures import Headline, HeadlineLine
from seirenes_app.services.run_summary import MODE_LABELS, STAGE_LABELS, RunProblem, describe_models, describe_problem
from seirenes_app.ui.icons import draw_svg, set_icon
from seirenes_app.ui.pages.train.charts import ChartGrid
from seirenes_app.ui.pages.train.health import HealthRow
from seirenes_app.ui.theme import SPACE_3, SPACE_4, SPACE_6, current_theme, sized_font
from seirenes_app.ui.widgets.badges import STATUS_STYLES, Badge
from seirenes_app.ui.widgets.banner import Banner, BannerAction, BannerKind
from seirenes_app.ui.widgets.boxes import column, fill, make_grid, row
from seirenes_app.ui.widgets.buttons import action_button, make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.cards import Column as PageColumn
from seirenes_app.ui.widgets.labels import ElidedLabel, make_card_heading, make_label
from seirenes_app.ui.widgets.log_tail import LogTail
from seirenes_app.ui.widgets.resource_monitor import ResourceMonitor
from seirenes_app.ui.widgets.table_model import ROW_ROLE, Column, Index, TableModel
from training.core.statistics import Interval
from training.evaluation.metric_types import UnreadShares
from training.runs.config import RunConfig
from training.runs.paths import RunPaths
from training.runs.processes import RunSummary
from training.runs.status import LIVE, EvalPoint, RunState, RunStatus

MORE_ACTIONS = ("longer", "checkpoint", "fetch", "export-model", "diagnostics", "discard")
"""In the menu at the end of the header; what discards is not beside what is pressed often."""
NOT_ON_CLUSTER = "This run is of this machine: its files are here"
NOT_FETCHED = "No checkpoint was fetched yet: Fetch from the cluster…"
STOP_FIRST = "It still runs on its cluster: stop it first"
NOT_FOLLOWED = "The run is not followed: follow it again first"


class RunHeader(QWidget):
    """Name and status of a run, what it is, and what can be done with it now."""

    pauseRequested = Signal()  # Pause, or continue where it is paused
    newRequested = Signal()

    def __init__(self, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._actions = actions
        self.name, self.detail = ElidedLabel("title"), ElidedLabel("muted", fill=True)
        self.badge = Badge(STATUS_STYLES[RunStatus.STARTING])
        self.traces = action_button(actions["traces"], kind="quiet")
        self.robustness = action_button(actions["robustness"], kind="quiet")
        self.resume = action_button(actions["resume"], kind="primary")
        self.fetch = action_button(actions["fetch"])
        self.fetch.hide()
        self._tips = {name: actions[name].toolTip() for name in ("fetch", "export-model", "discard", "checkpoint")}
        # One button for both: a second press of Space on it must not reach another one.
        self.pause = make_button("Pause", "pause", clicked=self.pauseRequested.emit)
        self.stop = action_button(actions["stop"])
        self.more = make_button("More", "chevron-down", tip="Train longer, checkpoint, export, diagnostics, discard")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for name in MORE_ACTIONS:
            menu.addAction(actions[name])
        self.more.setMenu(menu)
        self.new = make_button("New run", "plus", tip="Set up another run (Ctrl+N)", clicked=self.newRequested.emit)
        names = row(self.name, self.badge, None, self.traces, self.robustness, spacing=SPACE_3)
        tools = row(
            (self.detail, 1),
            self.resume,
            self.fetch,
            self.pause,
            self.stop,
            self.more,
            self.new,
        )
        column(names, tools, parent=self)

    def render_state(
        self, state: RunState, waiting: Sequence[RunConfig], place: Place | None = None, *, stopping: bool
    ) -> None:
        """Show what it is and which runs wait for it, and offer what can be done. `place`: of a run on a cluster."""
        live, paused = state.status in LIVE, state.status is RunStatus.PAUSED
        self.badge.render_style(STATUS_STYLES[RunStatus.STOPPING if stopping and live else state.status])
        queue = [f"next: {', '.join(config.name for config in waiting)}"] if waiting else []
        where = [place.text] if place is not None else []
        self.detail.setText("  ·  ".join([*where, *describe(state), *queue]))
        is_followed = state.status is not RunStatus.NOT_FOLLOWED
        working = live and not stopping and state.status is not RunStatus.STARTING and is_followed
        self.pause.setText("Continue" if paused else "Pause")
        self.pause.setAccessibleName(self.pause.text())
        self.pause.setToolTip("Continue where it paused" if paused else "Halt after the generation under way")
        set_icon(self.pause, "play" if paused else "pause", "text")
        self._show(
            {
                self.pause: working, self.stop: live and not stopping,
                # One primary button: of a run that failed or crashed the banner has it.
                self.resume: state.status is RunStatus.STOPPED,
                self.fetch: place is not None and not live,
            }
        )  # fmt: skip
        for name, on in (
            ("stop", live and not stopping), ("resume", state.can_resume),
            ("longer", state.status is RunStatus.FINISHED), ("follow", not is_followed),
        ):  # fmt: skip
            self._actions[name].setEnabled(on)
        for name, on, why in (
            ("checkpoint", working and not paused, "" if is_followed else NOT_FOLLOWED),
            ("fetch", place is not None, NOT_ON_CLUSTER),
            ("export-model", bool(state.checkpoints) and (place is None or place.has_checkpoint),
             NOT_FETCHED if place is not None and state.checkpoints else ""),
            ("discard", place is None or not (live and is_followed), STOP_FIRST),
        ):  # fmt: skip
            self._actions[name].setEnabled(on)
            self._actions[name].setToolTip(why if why and not on else self._tips[name])

    def _show(self, shown: Mapping[QWidget, bool]) -> None:
        # Qt would hand the keyboard to whatever comes next, which may stop or discard the run.
        if any(not on and button.hasFocus() for button, on in shown.items()):
            self.traces.setFocus(Qt.FocusReason.OtherFocusReason)
        for button, on in shown.items():
            button.setVisible(on)


def describe(state: RunState) -> list[str]:
    """Mode, model, threads, and what it does now where that is not a stage of the bar."""
    parts = [MODE_LABELS.get(str(state.mode), str(state.mode)), describe_models(state)]
    if state.threads:
        parts.append(f"{state.threads} {'thread' if state.threads == 1 else 'threads'}")
    parts.append(str(state.machine.get("gpu") or ""))
    if state.status is RunStatus.RUNNING and state.stage in ("setup", "checkpoint"):
        parts.append(STAGE_LABELS[state.stage])
    return [part for part in parts if part]


STAGES = (
    ("r1_clean", "R1 clean"),
    ("r2_hint", "R2 hints"),
    ("r3_hinted", "R3 hinted"),
    ("update", "Update"),
    ("eval", "Evaluate"),
)
SKIPPED = {"clean_rl": ("r2_hint", "r3_hinted"), "random": ("r2_hint",)}  # Stages that a mode leaves out
WORKING = frozenset({RunStatus.RUNNING, RunStatus.STOPPING, RunStatus.STALLED, RunStatus.NOT_FOLLOWED})
STAGE_HEIGHT = 32
ARROW = 22
STAGE_WIDTH = 170


def stages_of(mode: str) -> tuple[tuple[str, str], ...]:
    return tuple(stage for stage in STAGES if stage[0] not in SKIPPED.get(mode, ()))


class StageBar(QWidget):
    """The stages of a step in order, the one under way filled as far as it is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stages: Sequence[tuple[str, str]] = STAGES
        self._current = -1
        self._started = False
        self._share = 0.0
        self.setFixedHeight(STAGE_HEIGHT)
        self.setMinimumWidth(460)

    def render_state(self, state: RunState) -> None:
        self._stages = stages_of(str(state.mode))
        keys = [key for key, _ in self._stages]
        active = state.stage in keys and state.status in WORKING
        self._current = keys.index(state.stage) if active else -1
        # The evaluation before the first step is last in the bar, and nothing has come before it.
        self._started = state.step > 0
        self._share = min(1.0, state.stage_done / state.stage_total) if state.stage_total else 0.0
        word = self._stages[self._current][1] if active else "none"
        self.setAccessibleName(f"Stage: {word}, {formatting.percent(self._share)}" if active else "Stage: none")
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(len(self._stages) * (STAGE_WIDTH + ARROW), STAGE_HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        count = len(self._stages)
        width = min(STAGE_WIDTH, (self.width() - ARROW * (count - 1)) / count)
        for i, (_key, word) in enumerate(self._stages):
            x = i * (width + ARROW)
            self._paint_pill(painter, QRectF(x, 0.5, width, STAGE_HEIGHT - 1), i, word)
            if i + 1 < count:
                box = QRectF(x + width + (ARROW - 14) / 2, STAGE_HEIGHT / 2 - 7, 14, 14)
                draw_svg(painter, "chevron-right", box, current_theme().muted)

    def _paint_pill(self, painter: QPainter, rect: QRectF, index: int, word: str) -> None:
        theme = current_theme()
        current, past = index == self._current, self._started and index < self._current
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
        font = sized_font(self.font(), 13, QFont.Weight.DemiBold if current else QFont.Weight.Normal)
        painter.setFont(font)
        painter.setPen(theme.colour("text" if current or past else "muted"))
        text = f"{word}  {formatting.percent(self._share)}" if current else word
        icon = 18 if past else 0
        left = rect.left() + (rect.width() - QFontMetrics(font).horizontalAdvance(text) - icon) / 2
        if past:
            draw_svg(painter, "check", QRectF(left, rect.center().y() - 7, 14, 14), theme.good)
        place = QRectF(left + icon, rect.top(), rect.right() - left, rect.height())
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)


FIGURES = {
    "step": "Step", "elapsed": "Elapsed", "left": "Left", "speed": "Tokens per second", "rollouts": "Rollouts",
    "saved": "Checkpoint",
}  # fmt: skip
STEP_SHARES = {"r1_clean": (0.0, 0.15), "r2_hint": (0.15, 0.15), "r3_hinted": (0.3, 0.4), "update": (0.7, 0.3)}
"""Where in a step a stage begins and how much of it it takes, roughly: for a bar that moves evenly."""


def run_share(state: RunState) -> float:
    """Steps done of all steps in [0, 1], the part of the step under way included."""
    if not state.steps:
        return 0.0
    done = float(state.done_steps)
    if state.stage in STEP_SHARES and state.status in WORKING:
        begin, length = STEP_SHARES[state.stage]
        done += begin + length * (min(1.0, state.stage_done / state.stage_total) if state.stage_total else 0.0)
    return min(1.0, done / state.steps)


class ProgressCard(Card):
    """How far a run is, its figures, its health, and what it takes of the machine."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.body.setSpacing(SPACE_3)
        self.stages = StageBar()
        self.bar = QProgressBar(textVisible=False, maximum=10_000)
        self.bar.setAccessibleName("Progress of the run")
        grid = make_grid(gaps=(SPACE_6, 0))
        self.figures = {key: make_label("—", "figure") for key in FIGURES}
        for place, (key, title) in enumerate(FIGURES.items()):
            self.figures[key].setAccessibleName(title)
            grid.addWidget(make_label(title, "small"), 0, place)
            grid.addWidget(self.figures[key], 1, place)
            grid.setColumnStretch(place, 1)
        self.health = HealthRow()
        self.meters = ResourceMonitor()
        fill(self.body, self.stages, self.bar, grid, self.health, self.meters)

    def render_state(self, state: RunState) -> None:
        self.stages.render_state(state)
        self.bar.setValue(round(10_000 * run_share(state)))
        for key, text in _figures(state).items():
            self.figures[key].setText(text)
            self.figures[key].setAccessibleDescription(text)
        self.health.render_state(state)


def _figures(state: RunState) -> dict[str, str]:
    speed, rollouts = state.latest.get("tokens_per_s"), state.latest.get("rollouts_total")
    starting = "starting" if state.status is RunStatus.STARTING else STAGE_LABELS.get(state.stage, "—")
    return {
        "step": f"{state.step} of {state.steps}" if state.steps else starting,
        "elapsed": formatting.duration(state.active_s) if state.started_t else "—",
        "left": formatting.duration(state.eta_s),
        "speed": formatting.format_count(speed) if speed else "—",
        "rollouts": formatting.format_count(rollouts) if rollouts else "—",
        "saved": f"step {state.checkpoints[-1][0]}" if state.checkpoints else "none yet",
    }


LOG_LINES = 6
PICTURE = 4  # Column of the intervals on one scale
ROW_HEIGHT = 36
COLUMN_GAP = 16
CONDITIONS = {
    "clean": ("clean", "clean"),
    "hinted": ("hinted, all types", "hinted"),
    "placebo": ("placebo", "placebo"),
    "needed": ("needed", "text"),
    "worst_of_k": ("worst of k hints", "hinted"),
    "placebo_worst_of_k": ("worst of k placebos", "placebo"),
}
"""Title and colour of a condition; the hint types follow "hinted"."""


@dataclass(frozen=True)
class EvalRow:
    """One line: condition, rates before and now (None: not measured), colour, label of the paired change."""

    label: str
    before: Mapping[str, Any]
    now: Mapping[str, Any] | None
    colour: str
    paired: str


def make_rows(evals: Sequence[EvalPoint]) -> list[EvalRow]:
    """Lines of the first and the newest evaluation; one evaluation alone has no `now`."""
    if not evals:
        return []
    first, last = evals[0].metrics, evals[-1].metrics if len(evals) > 1 else {}
    rows = []
    for key, (title, colour) in CONDITIONS.items():
        if (rate := first.get(key)) is not None:
            rows.append(EvalRow(title, rate, last.get(key), colour, title))
        if key == "hinted":
            for type_, rate in (first.get("by_type") or {}).items():
                name, now = type_.replace("_", " "), (last.get("by_type") or {}).get(type_)
                rows.append(EvalRow(f"    {name}", rate, now, "hinted", f"· {name}"))
    return rows


class IntervalDelegate(QStyledItemDelegate):
    """Before as a ring, now as a dot, each on its interval."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row = index.data(ROW_ROLE)
        if not isinstance(row, EvalRow):
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


class EvaluationTable(QTableView):
    """The frozen suite before and now, by condition and hint type. Read-only; as high as its rows."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, showGrid=False)
        self._evals: Sequence[EvalPoint] = ()
        self._paired: Mapping[str, HeadlineLine] = {}
        self.rows = TableModel((
            Column("Condition", lambda line: line.label),
            Column("Before", lambda line: format_rate(line.before), right=True),
            Column("Now", lambda line: format_rate(line.now), right=True),
            Column("Change, percentage points", self._change, right=True),
            Column("0 to 100%", lambda _line: ""),
        ), self)  # fmt: skip
        self.setModel(self.rows)
        self.setProperty("plain", "true")
        self.setFrameShape(self.Shape.NoFrame)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        header = self.horizontalHeader()
        self.setSelectionBehavior(self.SelectionBehavior.SelectRows)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        header.setHighlightSections(False)
        header.setSectionResizeMode(PICTURE, header.ResizeMode.Stretch)
        self.setItemDelegateForColumn(PICTURE, IntervalDelegate(self))
        self.setAccessibleName("Accuracy on the frozen suite, before and now")
        self._fill()

    def render_evals(self, evals: Sequence[EvalPoint]) -> None:
        """First and newest evaluation; the same ones again cost nothing."""
        if evals is not self._evals:
            self._evals = evals
            self._fill()

    def render_paired(self, lines: Sequence[HeadlineLine]) -> None:
        """Paired changes with their intervals, read from the raw rows."""
        self._paired = {line.label: line for line in lines}
        self._fill()

    def _fill(self) -> None:
        self.rows.render_rows(make_rows(self._evals))
        header = self.horizontalHeader()
        # No heading and no interval is cut; the picture takes the room that is left.
        for place in range(PICTURE):
            self.setColumnWidth(place, max(self.sizeHintForColumn(place), header.sectionSizeHint(place)) + COLUMN_GAP)
        self.setFixedHeight(header.sizeHint().height() + self.rows.rowCount() * ROW_HEIGHT + 8)

    def _change(self, line: EvalRow) -> str:
        if line.now is None:
            return ""
        if any((s := UnreadShares.of_rate(rate)) is not None and s.mostly for rate in (line.before, line.now)):
            return "not graded"
        paired = self._paired.get(line.paired)
        if paired is None or abs(paired.after.mean - float(line.now["accuracy"])) > 1e-9:
            return formatting.signed_points(float(line.now["accuracy"]) - float(line.before["accuracy"]))
        return formatting.points_interval(paired.difference, "") if paired.difference is not None else "not graded"


def format_rate(rate: Mapping[str, Any] | None) -> str:
    """A rate with its interval, and the shares of answers that were not graded."""
    if not rate:
        return "—"
    text = formatting.percent_interval(Interval(rate["accuracy"], rate["low"], rate["high"]))
    unread = describe_unread(UnreadShares.of_rate(rate))
    return f"{text}, {unread}" if unread else text


LOG_HEIGHT = 320
NO_EVAL = (
    "The frozen suite is measured before the first step and again during the run; its figures are shown here then."
)
PAIRED_NOTE = (
    "Each rate with its 95% Wilson interval. The change is paired, the same problems before and now, with a bootstrap "
    "interval over problems. Ring: before. Dot: now."
)


class RunView(QWidget):
    """`render` is the only place that touches the widgets."""

    resumeChangedRequested = Signal(str)  # A setting as KEY=VALUE that the run is to be resumed with
    evaluated = Signal()  # There are new evaluations: the paired changes can be read again

    def __init__(self, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paths: RunPaths | None = None
        self._shown_problem: tuple[object, ...] = ()
        self._evals: object = None
        self._waiting: Sequence[RunConfig] = ()
        self._place: Place | None = None
        self.column = PageColumn(1800)
        self.column.body.setSpacing(SPACE_4)
        column(self.column, parent=self)
        self.head = RunHeader(actions)
        self.banner = Banner()
        self._banner_actions = {
            name: BannerAction(actions[name].text(), actions[name].trigger, icon, actions[name].toolTip(), primary)
            for name, icon, primary in (
                ("resume", "resume", True), ("edit-settings", "pencil", True), ("diagnostics", "copy", False),
                ("follow", "refresh", True),
            )
        } | {"log": BannerAction("Open log", self.show_log, "log", "Go to the trainer's log")}  # fmt: skip
        self.progress = ProgressCard()
        self.grid = ChartGrid()
        self._claim = ""
        self.evaluation_note = make_label(NO_EVAL, "small", wrap=True)
        self.evaluation = EvaluationTable()
        self.log = LogTail()
        self.log.setFixedHeight(LOG_HEIGHT)
        suite, log = Card(), Card()
        heading = make_card_heading("Before and now, on the frozen suite")
        fill(suite.body, heading, self.evaluation_note, self.evaluation)
        fill(log.body, make_card_heading("Log"), self.log)
        fill(self.column.body, self.head, self.banner, self.progress, self.grid, suite, log, None)

    def follow(self, paths: RunPaths, name: str) -> None:
        self._paths, self._shown_problem, self._evals = paths, (), None
        self.head.name.setText(name)
        self.log.follow(paths.log)
        self.progress.health.render_stop("")
        self.progress.meters.render_use(None)
        self.grid.forget()
        self.render_changes(None)
        self.column.verticalScrollBar().setValue(0)

    def render(self, state: RunState, *, stopping: bool = False) -> None:  # type: ignore[override]  # not QWidget's painting
        self.head.render_state(state, self._waiting, self._place, stopping=stopping)
        self.progress.render_state(state)
        self.grid.render_state(state)
        self.evaluation.render_evals(state.evals)
        self.evaluation.setVisible(bool(state.evals))
        self._render_note(measured=bool(state.evals))
        # The problem reads the end of the log: once per status, not once per event.
        problem = (state.status, state.message, state.step, state.silent_s)
        if problem != self._shown_problem and self._paths is not None:
            self._shown_problem = problem
            self._render_problem(describe_problem(RunSummary(self._paths, None, state)))
        if state.evals is not self._evals:
            self._evals = state.evals
            self.evaluated.emit()

    def render_changes(self, found: Headline | None) -> None:
        """Paired changes from the first evaluation to the last, read from the raw rows, and what may be claimed."""
        self.evaluation.render_paired(found.lines if found is not None else ())
        self._claim = found.claim if found is not None else ""
        self._render_note(measured=self.evaluation_note.text() != NO_EVAL)

    def _render_note(self, *, measured: bool) -> None:
        self.evaluation_note.setText(f"{self._claim} {PAIRED_NOTE}".strip() if measured else NO_EVAL)

    def _render_problem(self, problem: RunProblem | None) -> None:
        if problem is None:
            self.banner.clear()
            return
        names = ["resume"] * problem.can_resume + ["edit-settings"] * problem.can_edit_settings + ["log", "diagnostics"]
        if problem.can_follow:
            names.insert(0, "follow")
        actions = [self._banner_actions[name] for name in names]
        if problem.can_resume and problem.can_edit_settings:
            actions[1] = replace(actions[1], primary=False)
        if problem.proposed and problem.can_resume:
            key, value = problem.proposed["key"], problem.proposed["value"]
            actions.insert(0, BannerAction(
                f"Resume with {key} = {value}", lambda: self.resumeChangedRequested.emit(f"{key}={value}"), "resume",
                "Change this setting of the run, and continue from the newest checkpoint", primary=True,
            ))  # fmt: skip
            actions[1] = replace(actions[1], primary=False)
        log = problem.log[-LOG_LINES:]
        kind = BannerKind.ERROR if problem.is_wrong else BannerKind.WARNING
        self.banner.show_message(kind, problem.title, problem.text, log=log, actions=actions)

    def render_place(self, place: Place | None) -> bool:
        """Where a run on a cluster stands; shown by the next `render`. False where nothing is new."""
        before, self._place = self._place, place
        # What is said of a silent run may be another thing now.
        self._shown_problem = self._shown_problem if place == before else ()
        return place != before

    def render_queue(self, waiting: Sequence[RunConfig]) -> None:
        self._waiting = tuple(waiting)

    def show_log(self) -> None:
        self.column.ensureWidgetVisible(self.log)
        self.log.view.setFocus()

    def start_search(self) -> None:
        self.column.ensureWidgetVisible(self.log)
        self.log.find_box.setFocus()

    def tick(self) -> bool:
        """Draw one stale chart and read the log; called on a timer while in view. False: no chart was stale."""
        self.log.poll()
        return self.grid.draw_next()
