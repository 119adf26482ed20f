"""How far a run is: stage, bar, figures, what is being done to stop it, and what it takes of the machine."""

from __future__ import annotations

from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QProgressBar, QWidget

from seirenes_app.lab.verdicts import STAGE_WORDS, format_duration
from seirenes_app.ui.pages.train_parts.stage_strip import GOING, StageStrip
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4, SPACE_6
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.empty import Picture
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.meters import Meters
from training.rundir.state import RunState, RunStatus

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
        self.strip = StageStrip()
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
        self.meters = Meters()
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
        row.addWidget(Picture("clock", 18))
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
            "elapsed": format_duration(state.elapsed_s) if state.started_t else "—",
            "left": format_duration(state.eta_s) if state.eta_s is not None else "—",
            "speed": f"{speed:,.0f}" if speed else "—",
            "rollouts": f"{rollouts:,.0f}" if rollouts else "—",
            "saved": saved,
            "alarms": str(len(state.warnings)) if state.warnings else "none",
        }


def _waiting_words(state: RunState) -> str:
    if state.status is RunStatus.STARTING:
        return "starting"
    return STAGE_WORDS.get(state.stage, "—")
