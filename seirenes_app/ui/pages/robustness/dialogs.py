"""What a person asks to have evaluated, as a value; the plan that comes of it; how much work that is. No widgets.

`make_plan` reads models and suites: call it off the window's thread.

Evaluate: which checkpoints or models, on which suite, how often; what it will take. It starts nothing itself.

Choose a problem, with a hint or without, for the time machine: out of the rows of the newest checkpoint.

The dialogs of the Robustness page and what comes of them: evaluations, and problems for the time machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QListView,
    QListWidget,
    QListWidgetItem,
    QSpinBox,
    QWidget,
)

from seirenes_app.services.evaluations import checkpoint_steps
from seirenes_app.services.formatting import count_of, duration
from seirenes_app.services.robustness.checkpoint_replay import ReplayPlan
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Trace, TraceRef, Track
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.pages.robustness.controller import RobustnessController
from seirenes_app.ui.pages.robustness.evaluation_request import (
    FROZEN,
    STARTER,
    EvalRequest,
    SuiteChoice,
    Throughput,
    count_rows,
    estimate_seconds,
    find_pace,
    find_suites,
)
from seirenes_app.ui.pages.robustness.evaluation_tasks import Evaluating
from seirenes_app.ui.pages.robustness.replay_view import CheckpointReplayView, Replay
from seirenes_app.ui.pages.robustness.rows_panel import TRACE_ROLE, TracesModel
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import DialogKeeper, PageDialog
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.no_wheel import hush
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.types import Condition
from training.evaluation.plan import MAX_SAMPLES
from training.runs.config import RunConfig
from training.runs.paths import RunPaths

ON_SUITE, CROSS = "suite", "cross"


KINDS = (
    Segment(ON_SUITE, "On a suite", "the same texts for every model"),
    Segment(CROSS, "Cross-play", "hints that checkpoints write for each other"),
)


CONDITIONS = {
    Condition.CLEAN: ("Clean", "The question as it is"),
    Condition.HINTED: ("Hinted", "The question with each of its hints"),
    Condition.PLACEBO: ("Placebo", "The question with neutral words of each hint's length"),
}


USUAL, USUAL_CROSS = 200, 60


ROW = 30


MODELS = "Models (*.gguf *.safetensors);;All files (*)"


VALUE_ROLE = Qt.ItemDataRole.UserRole + 1


class EvaluateDialog(PageDialog):
    """Emits an `EvalRequest`."""

    startAsked = Signal(object)

    def __init__(
        self, run: RunPaths | None, steps: Sequence[int], suites: Sequence[SuiteChoice], pace: Throughput,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__("Evaluate", parent)
        self._run, self._steps, self._suites, self._pace = run, tuple(steps), suites, pace
        self._build()
        self._connect()
        self._take_kind()

    # ------------------------------------------------------------------ build

    def _build(self) -> None:
        self.body.addWidget(make_label("Evaluate", "title"))
        self.body.addWidget(make_label(
            "It runs in the background, goes on without this window, and keeps every row.", "muted", wrap=True,
        ))  # fmt: skip
        self.body.addSpacing(SPACE_2)
        self.kind = Segmented("What to evaluate", KINDS)
        self.kind.render_value(ON_SUITE)
        self.kind.buttons[CROSS].setEnabled(len(self._steps) > 1)
        self.body.addWidget(self.kind)
        self.body.addSpacing(SPACE_2)
        self.body.addLayout(self._build_targets())
        self.body.addSpacing(SPACE_2)
        self.body.addLayout(self._build_options())
        self.body.addSpacing(SPACE_3)
        self.work = make_label("", "figure")
        self.words = make_label("", "small", wrap=True)
        self.body.addWidget(self.work)
        self.body.addWidget(self.words)
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.go = make_button("Evaluate", "play", kind="primary", clicked=self._start)
        self.go.setDefault(True)
        self.buttons.addStretch(1)
        self.buttons.addWidget(self.cancel)
        self.buttons.addWidget(self.go)

    def _build_targets(self) -> QHBoxLayout:
        self.targets = QListWidget()
        self.targets.setAccessibleName("Checkpoints and models; Space ticks one")
        self.targets.setMinimumSize(300, 186)
        self.targets.setMaximumHeight(210)
        for step in self._steps:
            self._add_target(f"step {step}", step, on=True)
        self._add_target("The bundled model", STARTER, on=not self._steps)
        self.all = make_button("All checkpoints", kind="quiet", clicked=lambda: self._tick(lambda i, n: True))
        self.ends = make_button(
            "First and last", kind="quiet", clicked=lambda: self._tick(lambda i, n: i in (0, n - 1))
        )
        self.half = make_button("Every second", kind="quiet", clicked=lambda: self._tick(lambda i, n: i % 2 == 0))
        self.none = make_button("None", kind="quiet", clicked=lambda: self._tick(lambda i, n: False))
        self.add = make_button("Add a model…", "plus", tip="A GGUF file, or a model folder's safetensors file",
                               clicked=self._choose_model)  # fmt: skip
        side = QGridLayout()
        side.setSpacing(2)
        # Of one checkpoint there is nothing to choose from.
        picks = (self.all, self.ends, self.half, self.none) if len(self._steps) > 1 else ()
        for place, button in enumerate(picks):
            side.addWidget(button, place, 0)
        side.setRowStretch(4, 1)
        side.addWidget(self.add, 5, 0)
        row = QHBoxLayout()
        row.setSpacing(SPACE_3)
        row.addWidget(self.targets, 1)
        row.addLayout(side)
        return row

    def _build_options(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(SPACE_4)
        grid.setVerticalSpacing(SPACE_2)
        grid.setColumnStretch(1, 1)
        self.suite, self.beside = self._make_suites("Suite"), self._make_suites("Beside it")
        self.beside.insertItem(0, "No second suite", None)
        self.beside.setCurrentIndex(0)
        self.beside.setToolTip(
            "The same problems with training's templates and with held-out ones show a generalisation gap"
        )
        self.problems = _spin("Problems", 1, 100_000, USUAL)
        self.samples = _spin("Samples of each prompt", 1, MAX_SAMPLES, 1)
        self.tokens = _spin("At most so many tokens", 8, 32_768, 128)
        self.conditions = {}
        boxes = QHBoxLayout()
        boxes.setSpacing(SPACE_3)
        for condition, (word, tip) in CONDITIONS.items():
            box = self.conditions[condition] = QCheckBox(word)
            box.setChecked(True)
            box.setToolTip(tip)
            boxes.addWidget(box)
        boxes.addStretch(1)
        numbers = QHBoxLayout()
        numbers.setSpacing(SPACE_2)
        for field, word in ((self.problems, "problems"), (self.samples, "samples"), (self.tokens, "tokens at most")):
            numbers.addWidget(field)
            numbers.addWidget(make_label(word, "muted"))
            numbers.addSpacing(SPACE_2)
        numbers.addStretch(1)
        self.suite_label = make_label("Suite", "small")
        grid.addWidget(self.suite_label, 0, 0)
        grid.addWidget(self.suite, 0, 1)
        grid.addWidget(make_label("Beside it", "small"), 1, 0)
        grid.addWidget(self.beside, 1, 1)
        grid.addWidget(make_label("Conditions", "small"), 2, 0)
        grid.addLayout(boxes, 2, 1)
        grid.addWidget(make_label("How much", "small"), 3, 0)
        grid.addLayout(numbers, 3, 1)
        return grid

    def _make_suites(self, name: str) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName(name)
        box.addItem("The built-in frozen suite: held-out problems, phrasings and templates", FROZEN)
        for choice in self._suites:
            box.addItem(f"{choice.manifest.name}: {choice.manifest.problems:,} problems", str(choice.folder))
        hush(box)
        return box

    def _connect(self) -> None:
        self.kind.chosen.connect(lambda _v: self._take_kind())
        self.targets.itemChanged.connect(lambda _item: self._render())
        for chosen in (self.suite, self.beside):
            chosen.currentIndexChanged.connect(lambda _i: self._take_suite())
        for field in (self.problems, self.samples, self.tokens):
            field.valueChanged.connect(lambda _v: self._render())
        for box in self.conditions.values():
            box.toggled.connect(lambda _on: self._render())

    # ------------------------------------------------------------------ targets

    def _add_target(self, text: str, value: object, *, on: bool) -> None:
        item = QListWidgetItem(text)
        item.setData(VALUE_ROLE, value)
        item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
        item.setSizeHint(QSize(0, ROW))
        self.targets.addItem(item)

    def _tick(self, wanted: Callable[[int, int], bool]) -> None:
        for i in range(len(self._steps)):
            on = wanted(i, len(self._steps))
            self.targets.item(i).setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def _choose_model(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Add a model", "", MODELS)
        if name:
            self.add_model(Path(name))

    def add_model(self, path: Path) -> None:
        """Offer a GGUF file, or the folder of a safetensors file, ticked."""
        chosen = path.parent if path.suffix == ".safetensors" else path
        self._add_target(chosen.name, str(chosen), on=True)
        self.targets.item(self.targets.count() - 1).setToolTip(str(chosen))
        self.targets.scrollToBottom()
        self._render()

    # ------------------------------------------------------------------ render

    @property
    def request(self) -> EvalRequest:
        """What is asked for now."""
        items = [self.targets.item(i) for i in range(self.targets.count())]
        values = [i.data(VALUE_ROLE) for i in items if i.checkState() == Qt.CheckState.Checked]
        cross = self.kind.value == CROSS
        models = () if cross else tuple(v for v in values if isinstance(v, str))
        return EvalRequest(
            self._run, tuple(v for v in values if isinstance(v, int)), models, self.suite.currentData(),
            self.problems.value(), tuple(c for c, box in self.conditions.items() if box.isChecked()),
            self.samples.value(), self.tokens.value(), cross, None if cross else self.beside.currentData(),
        )  # fmt: skip

    def _take_kind(self) -> None:
        cross = self.kind.value == CROSS
        self.suite.setEnabled(not cross)
        self.beside.setEnabled(not cross)
        self.add.setEnabled(not cross)
        for i in range(len(self._steps), self.targets.count()):
            self.targets.item(i).setHidden(cross)
        for condition in (Condition.CLEAN, Condition.HINTED):
            box = self.conditions[condition]
            box.setEnabled(not cross)
            box.setChecked(box.isChecked() or cross)
        self.problems.setValue(USUAL_CROSS if cross else USUAL)
        if cross:
            self.conditions[Condition.PLACEBO].setChecked(False)
        self._take_suite()

    def _take_suite(self) -> None:
        chosen = {self.suite.currentData(), self.beside.currentData()}
        sizes = [s.manifest.problems for s in self._suites if str(s.folder) in chosen]
        self.problems.setMaximum(min(sizes, default=100_000))
        if sizes:
            self.problems.setValue(min(sizes))
        self._render()

    def _render(self) -> None:
        request = self.request
        trouble = request.trouble
        self.go.setEnabled(not trouble)
        set_tone(self.work, "warn" if trouble else "")
        if trouble:
            self.work.setText(trouble)
            self.words.setText("")
            return
        rows, seconds = count_rows(request), estimate_seconds(request, self._pace)
        self.work.setText(f"About {duration(seconds)}  ·  {count_of(rows, 'completion')}")
        how = "greedy" if request.samples == 1 else "temperature 1"
        self.words.setText(f"Estimated {self._pace.basis}, {how}. The first chunk shows how long it really takes.")

    def _start(self) -> None:
        if not self.request.trouble:
            self.startAsked.emit(self.request)
            self.accept()


def _spin(name: str, low: int, high: int, value: int) -> QSpinBox:
    field = QSpinBox()
    field.setRange(low, high)
    field.setValue(value)
    field.setAccessibleName(name)
    field.setFixedWidth(86)
    hush(field)
    return field


PROBLEM_CONDITIONS = (
    Segment(Condition.HINTED, "With a hint", "question and hint"),
    Segment(Condition.CLEAN, "Without", "the question alone"),
)


SIZE = QSize(640, 620)


class ProblemDialog(PageDialog):
    """`render_traces` fills it; it emits the row whose problem was taken."""

    chosen = Signal(object)
    """Trace"""
    wanted = Signal(str)
    """A condition whose rows are to be read."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Choose a problem", parent)
        self._traces: Sequence[Trace] = ()
        self._build()
        self._connect()
        self.resize(SIZE)

    def _build(self) -> None:
        self.body.addWidget(make_label("Choose a problem", "title"))
        self.about = make_label("Reading…", "muted", wrap=True)
        self.body.addWidget(self.about)
        self.which = Segmented("Problem", PROBLEM_CONDITIONS)
        self.which.render_value(Condition.HINTED)
        self.body.addWidget(self.which)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search in questions, hints and families")
        self.search.setAccessibleName("Search problems")
        self.search.setClearButtonEnabled(True)
        self.body.addWidget(self.search)
        self.model = TracesModel(self)
        self.list = QListView()
        self.list.setModel(self.model)
        self.list.setUniformItemSizes(True)
        self.list.setProperty("roomy", True)
        self.list.setIconSize(QSize(16, 16))
        self.list.setAccessibleName("Problems, with the newest checkpoint's outcome")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setMinimumHeight(230)
        self.body.addWidget(self.list, 1)
        self.question = make_label("", wrap=True)
        self.question.setMinimumHeight(96)
        self.question.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.body.addSpacing(SPACE_2)
        self.body.addWidget(self.question)
        self.take = make_button("Take this problem", "check", kind="primary", clicked=self._take)
        self.take.setDefault(True)
        self.buttons.addStretch(1)
        self.buttons.addWidget(make_button("Cancel", clicked=self.reject))
        self.buttons.addWidget(self.take)
        self.search.setFocus()

    def _connect(self) -> None:
        self.search.textChanged.connect(lambda _t: self._filter())
        self.search.installEventFilter(self)
        self.which.chosen.connect(self._want)
        self.list.selectionModel().currentChanged.connect(lambda _i, _o: self._render_current())
        self.list.doubleClicked.connect(lambda _i: self._take())

    def _want(self, condition: str) -> None:
        self.about.setText("Reading…")
        self.wanted.emit(condition)

    def render_traces(self, traces: Sequence[Trace], target: str) -> None:
        """The rows there are."""
        self._traces = [t for t in traces if t.question]
        if self._traces:
            self.about.setText(f"The mark is how {target} answered; the problems it fails are first.")
            self._traces.sort(key=lambda t: t.outcome == "right")
        else:
            self.about.setText("The questions of this suite are not known here, so none can be asked again.")
        self._filter()

    def render_failed(self, text: str) -> None:
        """They cannot be read, and why."""
        self.about.setText(text)

    def _filter(self) -> None:
        words = self.search.text().casefold().split()
        found = [t for t in self._traces if all(w in f"{t.question} {t.hint} {t.family}".casefold() for w in words)]
        self.model.render_traces(found)
        if found:
            self.list.setCurrentIndex(self.model.index(0, 0))
        self._render_current()

    @property
    def current(self) -> Trace | None:
        """The row under the cursor."""
        found = self.list.currentIndex().data(TRACE_ROLE)
        return found if isinstance(found, Trace) else None

    def _render_current(self) -> None:
        trace = self.current
        self.take.setEnabled(trace is not None)
        hint = f"\n\n{trace.hint}" if trace is not None and trace.hint else ""
        self.question.setText(f"{trace.question}{hint}" if trace is not None else "")

    def _take(self) -> None:
        if self.current is not None:
            self.chosen.emit(self.current)
            self.accept()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrow keys in the search field go through the list."""
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
            if step is not None and self.model.rowCount():
                row = max(0, min(self.model.rowCount() - 1, self.list.currentIndex().row() + step))
                self.list.setCurrentIndex(self.model.index(row, 0))
                return True
        return super().eventFilter(watched, event)


MOST_PROBLEMS = 2000


MAX_TOKENS = 128


class Sheets(DialogKeeper):
    """Opens dialogs on the page and hands on their answers."""

    said = Signal(str)
    problem = Signal(str, str)

    def __init__(
        self,
        page: QWidget,
        desk: RobustnessController,
        evaluating: Evaluating,
        time: CheckpointReplayView,
        run_of: Callable[[Track], RunPaths | None],
        config_of: Callable[[RunPaths | None], RunConfig | None],
    ) -> None:
        super().__init__(page)
        self._page, self._desk, self._evaluating, self._time = page, desk, evaluating, time
        self._run_of, self._config_of = run_of, config_of
        self.background = Background(self, threads=1)
        self.replay = Replay(self)
        self._connect()

    def _connect(self) -> None:
        self._time.problemAsked.connect(self.show_problems)
        self._time.replayAsked.connect(self.start_replay)
        self._time.cancelAsked.connect(self._cancel_replay)
        self.replay.changed.connect(lambda result: self._time.render_result(result, over=False))
        self.replay.done.connect(lambda result: self._time.render_result(result, over=True))
        self.replay.failed.connect(self._time.render_failed)

    # ------------------------------------------------------------------ evaluate

    def show_evaluate(self, run: RunPaths | None, *, cross: bool = False) -> None:
        """What to evaluate; suites and checkpoints are looked up first."""

        def look() -> tuple[tuple[int, ...], tuple[SuiteChoice, ...]]:
            return (checkpoint_steps(run) if run is not None else ()), find_suites()

        self.background.submit(look, lambda found: self._ask_evaluate(run, cross, *found))

    def _ask_evaluate(
        self, run: RunPaths | None, cross: bool, steps: tuple[int, ...], suites: tuple[SuiteChoice, ...]
    ) -> None:
        pace = find_pace(self._config_of(run), self._evaluating.summaries, MAX_TOKENS)
        sheet = EvaluateDialog(run, steps, suites, pace, self._page)
        if cross and len(steps) > 1:
            sheet.kind.buttons[CROSS].click()
        sheet.startAsked.connect(self._evaluating.start)
        self.show_sheet(sheet)

    # ------------------------------------------------------------------ the time machine

    def show_problems(self) -> None:
        """The problems of the suite that is shown."""
        track = self._desk.track
        if track is None:
            self.problem.emit("There is nothing to choose from", "Open a run, or an evaluation of a suite, first.")
            return
        sheet = ProblemDialog(self._page)
        sheet.chosen.connect(self.take_problem)
        sheet.wanted.connect(lambda condition: self._read_problems(sheet, track, Condition(condition)))
        self.show_sheet(sheet)
        self._read_problems(sheet, track, Condition.HINTED)

    def _read_problems(self, sheet: ProblemDialog, track: Track, condition: Condition) -> None:
        target = track.targets[-1]
        ref = TraceRef(track.root, target, track.suite, condition)

        def land(traces: list[Trace]) -> None:
            if self.open_sheet is sheet:
                sheet.render_traces(traces, target)

        def fail(text: str) -> None:
            if self.open_sheet is sheet:
                sheet.render_failed(text)

        self._desk.ask(lambda book: book.traces(ref, MOST_PROBLEMS), land, fail)

    def take_problem(self, trace: Trace) -> None:
        """A problem for the time machine."""
        self.replay.leave()
        self._time.render_problem(trace)
        self._time.replay.setFocus()

    def start_replay(self, trace: Trace, hinted: bool) -> None:
        """Ask every checkpoint of the run."""
        track = self._desk.track
        run = self._run_of(track) if track is not None else None
        if track is None or run is None:
            self._time.render_failed(
                "The run of these models is not among your runs, so its checkpoints cannot be asked."
            )
            return

        def look(book: ResultSource) -> tuple[ReplayPlan, list[int]] | None:
            found = book.question(track, trace)
            state = book.source.state
            told = [step for step, _folder in state.checkpoints] if state is not None else []
            if found is None:
                return None
            return ReplayPlan(found[0], found[1] if hinted else None, found[2], max_tokens=MAX_TOKENS), told

        def land(found: tuple[ReplayPlan, list[int]] | None) -> None:
            if found is None:
                self._time.render_failed("This problem is not known any more: its suite has changed.")
            else:
                self.replay.begin(run, *found)

        self._time.render_busy(True)
        self._desk.ask(look, land, self._time.render_failed)

    def _cancel_replay(self) -> None:
        self._time.cancel.setEnabled(False)
        self.replay.cancel()

    def leave(self) -> None:
        """Another run is shown: what is asked of this one is void."""
        self.replay.leave()

    def close(self) -> None:
        """End everything."""
        self.replay.close()
        self.background.close()
