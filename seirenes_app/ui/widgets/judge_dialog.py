"""Choosing a judge of hints, and measuring how it agrees with the labelled hints. The one dialog of Train and Craft."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QComboBox, QDialog, QWidget

from seirenes_app.services.formatting import count_of
from seirenes_app.services.judging import JudgeStanding, judge_standing, known_judges, measure_judge, measuring_cost
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.boxes import fill, ignore_wheel, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cost_dialogs import ask_cost
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.model_picker import ModelPicker, argument_of
from seirenes_app.ui.widgets.progress import Progress
from training.core.validity import REFERENCE, JudgeOptions
from training.judges import STARTER

WIDE = 640
REST_MS = 300  # How long a typed name rests before it is looked up
SIZES = (0, 300, 100)  # Labelled hints that a judge is measured on; 0: all
ABOUT = (
    "A judge is a model that is asked whether a hint changes the answer. It decides where neither a rule nor the "
    "hint's structure does; what it does not decide is refused."
)
PLACEHOLDER = "A model, endpoint:NAME, or http://host:port/v1#model"


class JudgeDialog(PageDialog):
    """Emits the chosen value of `judge.model`, "" for no judge. `start` is what 'reference' means here, "" where there
    is no run."""

    chosen = Signal(str)
    measured = Signal()

    def __init__(
        self, tasks: TaskRunner, models: ModelInventory, options: JudgeOptions, start: str = "",
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__("Judge of hints", parent)
        self._tasks, self._models, self._options, self._start = tasks, models, options, start
        self._task: Task | None = None
        # Wide enough for all figures of a judge in a line, and with room for what is said of it: nothing moves.
        self.body.addStrut(WIDE)
        about = make_label(ABOUT, "muted", wrap=True)
        self.model = QComboBox(editable=True)
        self.model.setAccessibleName("Model that judges")
        self.model.addItems([*([REFERENCE] if start else []), *known_judges()])
        self.model.setCurrentText(options.model)
        line = self.model.lineEdit()
        if line is not None:
            line.setPlaceholderText(PLACEHOLDER)
        ignore_wheel(self.model)
        self.pick = make_button(
            "Choose…", tip="Of the models on this machine and the endpoints", clicked=self.choose_model
        )
        self.standing = make_label("", wrap=True, select=True)
        self.warning = make_label("", "small", wrap=True)
        for label, lines in ((about, 2), (self.standing, 2), (self.warning, 3)):
            label.ensurePolished()
            label.setMinimumHeight(lines * label.fontMetrics().lineSpacing())
            label.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.sizes = QComboBox()
        self.sizes.setAccessibleName("Labelled hints to measure it on")
        for n in SIZES:
            self.sizes.addItem(f"on {count_of(n, 'labelled hint')}" if n else "on all labelled hints", n)
        ignore_wheel(self.sizes)
        self.measure = make_button("Measure", "chart", tip="Ask it about hints whose answers are known",
                                   clicked=self.start_measuring)  # fmt: skip
        self.progress = Progress("Stop measuring; nothing is kept")
        policy = self.progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(policy)
        self.progress.cancelRequested.connect(self.cancel_measuring)
        fill(
            self.body, about, SPACE_2, row((self.model, 1), self.pick), self.standing, self.warning,
            row(self.measure, self.sizes, (self.progress, 1)),
        )  # fmt: skip
        self.none = make_button("No judge", clicked=lambda: self._take(""))
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.use = make_button("Use this judge", kind="primary", clicked=lambda: self._take(self.name))
        fill(self.buttons, self.none, None, self.cancel, self.use)
        self.use.setDefault(True)
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(self._look_up)
        self.model.currentTextChanged.connect(lambda _text: self._on_named())
        self.finished.connect(lambda _code: self.cancel_measuring())
        self._on_named()

    @property
    def name(self) -> str:
        return self.model.currentText().strip()

    @property
    def options(self) -> JudgeOptions:
        return replace(self._options, model=self.name)

    def _take(self, name: str) -> None:
        self.chosen.emit(name)
        self.done(QDialog.DialogCode.Accepted)

    def _on_named(self) -> None:
        self.cancel_measuring()
        for button in (self.use, self.measure):
            button.setEnabled(False)
        self._say("Looking for it…" if self.name else "No model is named yet.", "", "")
        if self.name:
            self._rest.start()
        else:
            self._rest.stop()

    def _look_up(self) -> None:
        options, start = self.options, self._start or STARTER
        self._tasks.run(lambda: judge_standing(options, start), self._on_known, key="judge: standing")

    def _on_known(self, found: JudgeStanding) -> None:
        if self._task is not None:
            return
        for button in (self.use, self.measure):
            button.setEnabled(not found.problem)
        self._say(found.text, "" if found.problem else found.warning, "bad" if found.problem else "")

    def _say(self, text: str, warning: str, tone: str) -> None:
        self.standing.setText(text)
        set_tone(self.standing, tone)
        self.warning.setText(warning)
        set_tone(self.warning, "warn" if warning else "")

    def choose_model(self) -> ModelPicker:
        """Of the models on this machine and the endpoints."""
        picker = ModelPicker(
            "The model that judges", "Take this model", self._models, current=Path(self.name or STARTER), parent=self
        )
        picker.chosen.connect(lambda entry: self.model.setCurrentText(argument_of(entry)))
        picker.finished.connect(lambda _code: picker.deleteLater())
        picker.open()
        return picker

    # ------------------------------------------------------------------ measuring

    def start_measuring(self) -> None:
        """Ask the judge about the labelled hints in a process of its own; what it says of them is kept. One that may
        cost much is asked about first."""
        options, limit = self.options, int(self.sizes.currentData())
        self._tasks.run(
            lambda: measuring_cost(options, limit),
            lambda found: ask_cost(found, "Measure", self, self._measure),
            lambda text: self._say(text, "", "bad"), key="judge: cost",
        )  # fmt: skip

    def _measure(self) -> None:
        options, start, limit = self.options, self._start or STARTER, int(self.sizes.currentData())
        for widget in (self.measure, self.sizes, self.use):
            widget.setEnabled(False)
        self.progress.render_progress("Loading…")
        self._task = self._tasks.run_task(
            lambda task: measure_judge(
                options, limit, start=start, on_progress=task.report, cancelled=lambda: task.cancelled
            ),
            lambda _made: self._on_measured(), self._on_failed, progress=self._on_progress, key="judge: measure",
        )  # fmt: skip

    def _on_progress(self, done: float, total: int) -> None:
        figures = f"{int(done)} of {total}"
        self.progress.render_progress("Asking" if done else "Loading…", done, total, figures)

    def cancel_measuring(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._end_measuring()

    def _end_measuring(self) -> None:
        self._task = None
        self.progress.clear()
        for widget in (self.measure, self.sizes, self.use):
            widget.setEnabled(True)

    def _on_measured(self) -> None:
        self._end_measuring()
        self._look_up()
        self.measured.emit()

    def _on_failed(self, text: str) -> None:
        self._end_measuring()
        self._say(text, "", "bad")
