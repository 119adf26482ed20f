"""What a replay found, as a card: the strip of steps, its table, its sentence, and the picture of it for a file."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

from seirenes_app.lab.robustness.time_machine import open_before
from seirenes_app.lab.robustness.values import TimeMachineResult
from seirenes_app.ui.pages.robustness_parts.card import FigureCard
from seirenes_app.ui.pages.robustness_parts.data_table import EMPTY
from seirenes_app.ui.pages.robustness_parts.step_strip import HEIGHT, StepStrip, step_look
from seirenes_app.ui.theme import LIGHT
from seirenes_app.ui.widgets.badges import Look
from seirenes_app.ui.widgets.chart_drawing import chart_family

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
        super().__init__("Every checkpoint", Look("check-circle", "Robust", "good"), STRIP_HEIGHT, parent)
        self.result: TimeMachineResult | None = None
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

    def render_result(self, result: TimeMachineResult) -> None:
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
            self.badge.render_look(Look("check-circle", f"Robust since step {result.robust_since}{earlier}", "good"))
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


def save_replay(path: Path, result: TimeMachineResult) -> None:
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
