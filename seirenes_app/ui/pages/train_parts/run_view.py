"""The face of the Train page that shows a run, live, found again or replayed: all from its `RunState`."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QProgressBar, QTabWidget, QVBoxLayout, QWidget

from seirenes_app.lab.verdicts import STAGE_WORDS, format_duration
from seirenes_app.ui.pages.train_parts.evaluation_table import EvaluationTable
from seirenes_app.ui.pages.train_parts.series import chart_lines
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.badges import STATUS_LOOKS, Badge
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card, Column
from seirenes_app.ui.widgets.charts import Chart
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.log_tail import LogTail
from seirenes_app.ui.widgets.meters import Meters
from training.rundir.paths import RunPaths
from training.rundir.state import RunState, RunStatus

LIVE = (RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.STOPPING, RunStatus.STALLED)
STAGES = (
    ("r1_clean", "R1 clean"),
    ("r2_hint", "R2 hints"),
    ("r3_hinted", "R3 hinted"),
    ("update", "Update"),
    ("eval", "Evaluate"),
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

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._turn = 0
        self._columns = 0
        self._build()

    def _build(self) -> None:
        column = Column(1800)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(column)
        column.body.addLayout(self._build_head())
        self.banner = Card("bad")
        self.banner_text = make_label("", wrap=True, select=True)
        self.banner.body.addWidget(self.banner_text)
        column.body.addWidget(self.banner)
        column.body.addLayout(self._build_progress())
        self.charts = {
            "accuracy": Chart("Accuracy", unit=True, height=300),
            "types": Chart("Accuracy by hint type", unit=True),
            "reward": Chart("Adversary reward"),
            "gates": Chart("Gates", unit=True),
            "entropy": Chart("Entropy, nats a token"),
            "lengths": Chart("Length, tokens"),
            "speed": Chart("Tokens a second"),
        }
        self._grid = QGridLayout()
        self._grid.setSpacing(SPACE_4)
        column.body.addLayout(self._grid)
        self.evaluation = EvaluationTable()
        self.log = LogTail()
        self.alarms = make_label("", wrap=True, select=True)
        tabs = QTabWidget()
        tabs.addTab(self.evaluation, "Before and after")
        tabs.addTab(self.log, "Log")
        tabs.addTab(self.alarms, "Alarms")
        tabs.setMinimumHeight(300)
        self._tabs = tabs
        column.body.addWidget(tabs)
        self.meters = Meters()
        column.body.addWidget(self.meters)

    def _build_head(self) -> QHBoxLayout:
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        names = QVBoxLayout()
        names.setSpacing(2)
        self.name = make_label("", "title", select=True)
        self.detail = make_label("", "muted")
        names.addWidget(self.name)
        names.addWidget(self.detail)
        self.badge = Badge(STATUS_LOOKS[RunStatus.STARTING])
        head.addLayout(names)
        head.addSpacing(SPACE_3)
        head.addWidget(self.badge)
        head.addStretch(1)
        self.pause = make_button("Pause", "pause", clicked=self.pauseAsked.emit)
        self.unpause = make_button("Go on", "play", kind="primary", clicked=self.unpauseAsked.emit)
        self.checkpoint = make_button(
            "Checkpoint", "save", tip="Save after this step", clicked=self.checkpointAsked.emit
        )
        self.stop = make_button("Stop and save", "stop", clicked=self.stopAsked.emit)
        self.resume = make_button("Resume", "play", kind="primary", clicked=self.resumeAsked.emit)
        self.discard = make_button("Discard…", "discard", kind="quiet", clicked=self.discardAsked.emit)
        self.new = make_button("New run", "plus", clicked=self.newAsked.emit)
        for button in (self.pause, self.unpause, self.checkpoint, self.stop, self.resume, self.discard, self.new):
            head.addWidget(button)
        return head

    def _build_progress(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(SPACE_2)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress of the run")
        strip = QHBoxLayout()
        strip.setSpacing(SPACE_4)
        self.stages = {}
        for key, word in STAGES:
            self.stages[key] = make_label(word, "small")
            strip.addWidget(self.stages[key])
        strip.addStretch(1)
        self.numbers = make_label("", "small")
        strip.addWidget(self.numbers)
        self.ladder = make_label("", "small", wrap=True)
        column.addWidget(self.bar)
        column.addLayout(strip)
        column.addWidget(self.ladder)
        return column

    # ------------------------------------------------------------------ render

    def follow(self, paths: RunPaths) -> None:
        """Another run."""
        self.name.setText(paths.run_id)
        self.log.follow(paths.log)
        self.ladder.setText("")
        for chart in self.charts.values():
            chart.render_lines([])

    def render(self, state: RunState, *, stopping: bool = False) -> None:  # type: ignore[override]  # not QWidget's painting
        """Show a state."""
        self._render_head(state, stopping)
        self._render_progress(state)
        for key, lines in chart_lines(state).items():
            self.charts[key].render_lines(lines)
        self.evaluation.render_evals(state.evals)
        alarms = [f"Step {w.step}: {w.message} {w.remedy}" for w in reversed(state.warnings[-50:])]
        self.alarms.setText("\n\n".join(alarms) or "No alarm.")
        self._tabs.setTabText(2, f"Alarms ({len(state.warnings)})" if state.warnings else "Alarms")

    def _render_head(self, state: RunState, stopping: bool) -> None:
        status = RunStatus.STOPPING if stopping and state.status in LIVE else state.status
        self.badge.render_look(STATUS_LOOKS[status])
        parts = [str(state.mode), str(state.model), f"{state.threads} threads" if state.threads else ""]
        self.detail.setText("  ·  ".join(p for p in parts if p))
        live, paused = state.status in LIVE, state.status is RunStatus.PAUSED
        self.pause.setVisible(live and not paused and not stopping)
        self.unpause.setVisible(paused and not stopping)
        self.checkpoint.setVisible(live and not stopping)
        self.stop.setVisible(live and not stopping)
        self.resume.setVisible(not live and (state.step < state.steps or state.status is RunStatus.DIED))
        bad = state.status in (RunStatus.FAILED, RunStatus.DIED, RunStatus.STALLED)
        self.banner.setVisible(bad)
        words = {
            RunStatus.FAILED: "The trainer failed.",
            RunStatus.DIED: "The trainer is gone: it was killed from outside, or the machine went down.",
            RunStatus.STALLED: "The trainer has said nothing for over a minute: a very long step, or a hang.",
        }
        saved = f"The newest checkpoint is of step {state.checkpoints[-1][0]}." if state.checkpoints else ""
        text = [words.get(state.status, ""), state.message if state.status is RunStatus.FAILED else "", saved]
        self.banner_text.setText(" ".join(t for t in text if t) + " The log is below.")

    def _render_progress(self, state: RunState) -> None:
        self.bar.setMaximum(max(1, state.steps) * 100)
        inside = state.stage_done / state.stage_total if state.stage_total else 0.0
        in_step = state.stage in ("r1_clean", "r2_hint", "r3_hinted", "update")
        done = max(0, state.step - 1) + 0.25 * inside if in_step else state.step
        self.bar.setValue(min(self.bar.maximum(), round(done * 100)))
        for key, label in self.stages.items():
            word, current = dict(STAGES)[key], key == state.stage
            label.setText(f"▸ {word} {inside:.0%}" if current else word)
            set_tone(label, "accent" if current else "")
            font = label.font()
            font.setBold(current)
            label.setFont(font)
        speed = state.latest.get("tokens_per_s")
        parts = [
            f"step {state.step} of {state.steps}" if state.steps else STAGE_WORDS.get(state.stage, state.stage),
            f"{format_duration(state.elapsed_s)} gone",
            f"{format_duration(state.eta_s)} left" if state.eta_s is not None else "",
            f"{speed:,.0f} tokens/s" if speed else "",
        ]
        self.numbers.setText("  ·  ".join(p for p in parts if p))

    def say(self, text: str) -> None:
        """The rung of the stop ladder."""
        self.ladder.setText(text)

    # ------------------------------------------------------------------ drawing

    def tick(self) -> None:
        """Draw one stale chart, in turn, and read the log; called on a timer while the page is in view."""
        self.lay_out()
        charts = list(self.charts.values())
        for i in range(len(charts)):
            if charts[(self._turn + i) % len(charts)].draw_if_stale():
                self._turn += i + 1
                break
        self.log.poll()

    def lay_out(self) -> None:
        """Two columns, three in a wide window; the accuracy chart spans two."""
        columns = 3 if self.width() >= 1500 else 2
        if columns == self._columns:
            return
        self._columns = columns
        row = column = 0
        for i, chart in enumerate(self.charts.values()):
            span = 2 if i == 0 else 1
            if column + span > columns:
                row, column = row + 1, 0
            self._grid.addWidget(chart, row, column, 1, span)
            chart.mark_stale()
            column += span
