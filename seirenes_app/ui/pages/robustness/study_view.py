"""Studies: the list, the one that is chosen with its progress, and what its figures show. `StudyMonitor` reads them in
other threads. A study that is started here goes on without the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QModelIndex, QObject, QTimer, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QBoxLayout,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHeaderView,
    QLineEdit,
    QTableView,
    QWidget,
)

from seirenes_app.services.charts.study import study_chart
from seirenes_app.services.formatting import count_of, countdown, duration, percent
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.services.study.definition import (
    MOST_RESPONSES,
    BestResponse,
    StudyDefinition,
    StudyDir,
    bundled_definitions,
    extended,
    new_study,
    parts_of,
    read_definition,
    read_seeds,
)
from seirenes_app.services.study.execution import (
    StudyRepository,
    StudyState,
    StudySummary,
    expected_times,
    extend_study,
    parts_left,
    start_study,
    sum_seconds,
)
from seirenes_app.services.study.results import (
    TEXTS,
    Basis,
    GoalStatus,
    Measure,
    StudyResults,
    all_figures,
    conclusions,
    differences_table,
    gates_sentence,
    goal_sentence,
    lengths_table,
    main_table,
    read_results,
    seeds_table,
    unread_sentence,
)
from seirenes_app.ui.charts.card import ChartCard, TableCard
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.badges import BROKEN, STATUS_STYLES, Badge, BadgeStyle
from seirenes_app.ui.widgets.boxes import column, fill, ignore_wheel, make_grid, number_field, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card, EmptyState
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import IconLine, make_card_heading, make_label, set_tone
from seirenes_app.ui.widgets.progress import Progress
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from seirenes_app.ui.widgets.table_model import Column, TableModel
from training.errors import UserError
from training.runs.processes import FORCE, StopEscalation
from training.runs.status import RunStatus

CHECK_MS = 1500
START_CHECKS = 20
"""Reads after a launch that the first event is waited for."""
ROW_PX, MOST_ROWS = 30, 6
NOT_STARTED = BadgeStyle("clock", "Not started", "muted")
STOPPABLE = "What is running is stopped too. What is done is kept."
GOAL_ICONS = {
    GoalStatus.MET: ("check-circle", "good"), GoalStatus.NOT_MET: ("close", "muted"),
    GoalStatus.UNDECIDED: ("info", "muted"), GoalStatus.OPEN: ("clock", "muted"),
}  # fmt: skip


class StudyMonitor(QObject):
    """All studies and the results of the chosen one. Results come as signals in this object's thread."""

    changed = Signal()
    """`summaries` is new."""
    resultsFound = Signal(object)
    """StudyResults of the chosen study; None while they are read."""
    failed = Signal(str, str)
    """(title, text)"""
    started = Signal(str)
    """A study's name."""

    def __init__(self, repository: StudyRepository | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._repository = repository or StudyRepository()
        self._reads, self._acts = TaskRunner(self, threads=1), TaskRunner(self)
        self.summaries: tuple[StudySummary, ...] = ()
        self.stopping: set[Path] = set()
        self.chosen: Path | None = None
        self._shown: tuple[Path, int, str, StudyDefinition] | None = None
        """Of which study, with how many finished parts, which measures and seeds, the results were read last."""
        self._waits = 0
        self._timer = QTimer(self, interval=CHECK_MS)
        self._timer.timeout.connect(self.refresh)

    @property
    def root(self) -> Path:
        return self._repository.root

    def refresh(self) -> None:
        """List again; `changed` follows."""
        self._reads.run(
            self._repository.summaries, self._on_read,
            lambda text: self.failed.emit("The studies could not be listed", text), key="list", queue=True,
        )  # fmt: skip

    def _on_read(self, found: list[StudySummary]) -> None:
        self.summaries = tuple(found)
        self.stopping &= {s.paths.root for s in found if s.live}
        if self.find(self.chosen) is None:
            self._set_chosen(found[0].paths.root if found else None)
        live = any(s.live for s in found)
        self._waits = 0 if live else max(0, self._waits - 1)
        if not live and not self._waits:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start()
        self.changed.emit()
        self._read_results()

    def find(self, root: Path | None) -> StudySummary | None:
        return next((s for s in self.summaries if s.paths.root == root), None)

    def _set_chosen(self, root: Path | None) -> None:
        if root != self.chosen:
            self.chosen, self._shown = root, None
            # Not those of the one before, until its own are read.
            self.resultsFound.emit(None)

    def choose(self, root: Path) -> None:
        """Show this one; `resultsFound` follows."""
        self._set_chosen(root)
        self.changed.emit()
        self._read_results()

    def _read_results(self) -> None:
        summary = self.find(self.chosen)
        if summary is None or summary.study is None or summary.state is None:
            return
        measures = summary.state.of(summary.parts[-1].id).folder
        key = (summary.paths.root, summary.done, measures, summary.study)
        if key == self._shown:
            return
        self._shown = key
        paths, state = summary.paths, summary.state
        self._reads.run(lambda: (paths.root, read_results(paths, state)), self._on_results,
                        lambda text: self.failed.emit("The study could not be read", text), key="results")  # fmt: skip

    def _on_results(self, found: tuple[Path, StudyResults]) -> None:
        root, results = found
        if root == self.chosen:
            self.resultsFound.emit(results)

    def create(self, study: StudyDefinition, start: bool) -> None:
        def work() -> StudyDir:
            paths = new_study(study, self.root)
            if start:
                start_study(paths)
            return paths

        def done(paths: StudyDir) -> None:
            self._set_chosen(paths.root)
            if start:
                self._on_started(paths)
            self.refresh()

        self._acts.run(work, done, lambda text: self.failed.emit("The study was not started", text))

    def extend(
        self, paths: StudyDir, seeds: tuple[int, ...], responses: int | None, rollouts: int | None, start: bool
    ) -> None:
        """Add them to a study that does not run, and go on with it where `start` says so."""

        def work() -> None:
            extend_study(paths, seeds, responses, rollouts)
            if start:
                start_study(paths)

        def done(_: None) -> None:
            if start:
                self._on_started(paths)
            self.refresh()

        self._acts.run(work, done, lambda text: self.failed.emit("The study was not extended", text))

    def start(self, paths: StudyDir) -> None:
        """Start it, or go on with it."""
        self._acts.run(lambda: start_study(paths), lambda _pid: self._on_started(paths),
                       lambda text: self.failed.emit("The study was not started", text))  # fmt: skip

    def _on_started(self, paths: StudyDir) -> None:
        self._waits = START_CHECKS
        self._timer.start()
        self.started.emit(paths.run_id)

    def stop(self, paths: StudyDir) -> None:
        """Ask it to end with what it is running, then end it; what is done is kept."""
        self.stopping.add(paths.root)
        self.changed.emit()
        self._acts.run(StopEscalation(paths, FORCE).run, lambda _gone: self.refresh(),
                       lambda text: self.failed.emit("The study was not stopped", text))  # fmt: skip

    def close(self) -> None:
        """Studies go on."""
        self._timer.stop()
        self._acts.close()
        self._reads.close()


# ---------------------------------------------------------------------- a new study

FROM_FILE = "From a file…"


def _labelled(fields: Iterable[tuple[str, QWidget, str]]) -> QGridLayout:
    """One row a field: its title, which is its name too, and the field with its tip."""
    grid = make_grid(gaps=(SPACE_4, SPACE_2), stretched=1)
    for place, (title, field, tip) in enumerate(fields):
        label = make_label(title)
        label.setBuddy(field)
        field.setAccessibleName(title)
        field.setToolTip(tip)
        grid.addWidget(label, place, 0)
        grid.addWidget(field, place, 1)
    return grid


@dataclass(frozen=True)
class _Checked:
    study: StudyDefinition
    seconds: float | None


MOST_ROLLOUTS = 100_000_000


class NewStudyDialog(PageDialog):
    """A definition, and what is changed of it; shows its parts and the expected time. It starts nothing itself."""

    createRequested = Signal(object, bool)
    """(StudyDefinition, whether to start it)"""

    def __init__(self, tasks: TaskRunner, library: RunRepository | None = None, parent: QWidget | None = None) -> None:
        super().__init__("New study", parent)
        self._tasks, self._library = tasks, library or RunRepository()
        self._checked: _Checked | None = None
        self._loading = False
        self._build()
        self.definition.currentIndexChanged.connect(self._on_definition)
        for number in (self.rollouts, self.response, self.responses, self.problems):
            number.valueChanged.connect(self._check)
        for text in (self.name, self.seeds):
            text.textEdited.connect(self._check)
        self._load()

    def _build(self) -> None:
        note = (
            "It runs in the background, one process at a time, and goes on without this window. It can be stopped and "
        )
        note += "resumed at any time; nothing that is done is lost."
        self.definition = QComboBox()
        for name, path in bundled_definitions().items():
            self.definition.addItem(name, path)
        self.definition.addItem(FROM_FILE, None)
        ignore_wheel(self.definition)
        self.name, self.seeds = QLineEdit(), QLineEdit()
        self.rollouts, self.response, self.responses, self.problems = (
            number_field(low, high, step=step)
            for low, high, step in (
                (1, MOST_ROLLOUTS, 1000), (0, MOST_ROLLOUTS, 1000), (1, MOST_RESPONSES, 1), (4, 100_000, 50),
            )
        )  # fmt: skip
        self.response.setSpecialValueText("none")
        self.about = make_label("", "muted", wrap=True)
        self.estimate, self.error = make_label("", "figure"), make_label("", "small", wrap=True)
        # Room for two lines always, so that the buttons below stay where they are.
        self.error.setMinimumHeight(2 * self.error.fontMetrics().lineSpacing())
        grid = _labelled(
            (
                ("Definition", self.definition, "Which variants are compared"),
                ("Name", self.name, "Its folder's name, and the tag of its runs"),
                ("Seeds", self.seeds, "One run of every variant for each, as in 0, 1, 2"),
                ("Rollouts of a run", self.rollouts, "The same for every run"),
                ("Rollouts of a best response", self.response, "A new Adversary against each frozen Reasoner"),
                ("Best responses to each", self.responses, "With seeds of their own; the figure is their mean"),
                ("Held-out problems", self.problems, "They measure all Reasoners"),
            )
        )
        fill(
            self.body,
            make_label(note, "muted", wrap=True),
            SPACE_2,
            grid,
            self.about,
            SPACE_2,
            self.estimate,
            self.error,
        )
        self.only = make_button("Create", clicked=lambda: self._finish(start=False), tip="Start it later")
        self.go = make_button("Create and start", "play", kind="primary", clicked=lambda: self._finish(start=True))
        self.go.setDefault(True)
        self._enable(False)
        fill(self.buttons, None, make_button("Cancel", clicked=self.reject), self.only, self.go)

    def _on_definition(self) -> None:
        if self.definition.currentText() == FROM_FILE and self.definition.currentData() is None:
            chosen, _ = QFileDialog.getOpenFileName(self, "A study definition", "", "Study definitions (*.toml)")
            if not chosen:
                self.definition.setCurrentIndex(0)
                return
            place = self.definition.count() - 1
            self.definition.insertItem(place, Path(chosen).name, Path(chosen))
            self.definition.setCurrentIndex(place)
            return
        self._load()

    def _load(self) -> None:
        """Fill the fields from the definition."""
        path = self.definition.currentData()
        if path is not None:
            self._tasks.run(lambda: read_definition(path), self._show, self._show_error, key="study")

    def _show(self, study: StudyDefinition) -> None:
        self._loading = True
        self.name.setText(study.name)
        self.seeds.setText(", ".join(map(str, study.seeds)))
        self.rollouts.setValue(study.rollouts)
        self.response.setValue(study.response.rollouts)
        self.responses.setValue(study.response.repeats)
        self.problems.setValue(study.problems)
        self.about.setText(study.description)
        self._loading = False
        self._check()

    def _check(self) -> None:
        """Read the definition with what the fields say, and estimate its time."""
        path = self.definition.currentData()
        if self._loading or path is None:
            return
        self._checked = None
        self._enable(False)
        try:
            seeds = read_seeds(self.seeds.text())
        except UserError as error:
            self._show_error(str(error))
            return
        changes = {"seeds": seeds, "rollouts": self.rollouts.value(), "problems": self.problems.value(),
                   "response_rollouts": self.response.value(), "responses": self.responses.value()}  # fmt: skip
        name, library = self.name.text().strip(), self._library

        def work() -> _Checked:
            study = read_definition(path, name=name, changes=changes)
            return _Checked(study, sum_seconds(expected_times(study, library, StudyState()).values()))

        self._tasks.run(work, self._show_checked, self._show_error, key="study")

    def _show_checked(self, found: _Checked) -> None:
        self._checked = found
        self._enable(True)
        study = found.study
        self.estimate.setText(
            "Not estimated: it depends on the server" if found.seconds is None else f"About {duration(found.seconds)}"
        )
        names = ", ".join(v.name for v in study.variants)
        self.error.setText(
            f"{count_of(len(parts_of(study)), 'part')}: {names}, each with {count_of(len(study.seeds), 'seed')}."
        )
        set_tone(self.error, "")

    def _enable(self, on: bool) -> None:
        for button in (self.go, self.only):
            button.setEnabled(on)

    def _show_error(self, text: str) -> None:
        self.estimate.setText("")
        self.error.setText(text)
        set_tone(self.error, "bad")

    def _finish(self, *, start: bool) -> None:
        if self._checked is not None:
            self.createRequested.emit(self._checked.study, start)
            self.accept()


@dataclass(frozen=True)
class _Extension:
    seeds: tuple[int, ...]
    responses: int | None
    rollouts: int | None
    parts: int
    seconds: float | None


class ExtendStudyDialog(PageDialog):
    """Seeds, best responses and rollouts to add to a study; shows what is to be done then and the expected time. It
    changes nothing itself."""

    extendRequested = Signal(object, object, object, bool)
    """(the seeds, the best responses to each Reasoner and the rollouts of a run, either None where it stays, whether to
    go on with the study)"""

    def __init__(
        self, summary: StudySummary, tasks: TaskRunner, library: RunRepository | None = None,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__("Extend study", parent)
        self._summary, self._tasks, self._library = summary, tasks, library or RunRepository()
        self._found: _Extension | None = None
        study = summary.study
        there, response = (study.seeds, study.response) if study is not None else ((), BestResponse())
        self.seeds = QLineEdit(", ".join(str(max(there, default=-1) + 1 + i) for i in range(max(1, len(there)))))
        rollouts = study.rollouts if study is not None else 1
        self.responses = number_field(response.repeats, MOST_RESPONSES)
        self.rollouts = number_field(rollouts, MOST_ROLLOUTS, step=rollouts)
        fields: list[tuple[str, QWidget, str]] = [
            ("Seeds to add", self.seeds, "One run of every variant for each"),
            ("Rollouts of a run", self.rollouts, "Runs go on where they ended, and are measured again"),
        ]
        if response.rollouts:
            tip = "Adversaries trained against each frozen Reasoner with seeds of their own; the figure is their mean"
            fields.append(("Best responses to each", self.responses, tip))
        self.said = make_label("", "small", wrap=True)
        self.said.setMinimumHeight(2 * self.said.fontMetrics().lineSpacing())
        fill(
            self.body,
            make_label(f"{summary.paths.run_id} has {count_of(len(there), 'seed')}: {', '.join(map(str, there))}. "
                       "What is done is kept.", "muted", wrap=True),
            SPACE_2,
            _labelled(fields),
            self.said,
            SPACE_2,
            make_label("More seeds make the intervals narrower; so do more best responses, whose results differ by "
                       "chance. More rollouts say whether a lead grows with training. Where the figures so far are the "
                       "reason to add them, the intervals become a little too narrow; the study says what was added.",
                       "muted", wrap=True),
        )  # fmt: skip
        self.only = make_button("Add", clicked=lambda: self._finish(start=False), tip="Start it later")
        self.go = make_button("Add and start", "play", kind="primary", clicked=lambda: self._finish(start=True))
        self.go.setDefault(True)
        fill(self.buttons, None, make_button("Cancel", clicked=self.reject), self.only, self.go)
        self.seeds.textEdited.connect(self._check)
        for number in (self.responses, self.rollouts):
            number.valueChanged.connect(self._check)
        self._check()

    def _check(self) -> None:
        """Whether they can be added, and what that takes."""
        self._enable(False)
        study, state, library, text = self._summary.study, self._summary.state, self._library, self.seeds.text()
        if study is None or state is None:
            return
        responses = self.responses.value() if self.responses.value() > study.response.repeats else None
        rollouts = self.rollouts.value() if self.rollouts.value() > study.rollouts else None

        def work() -> _Extension:
            seeds = read_seeds(text)
            larger = extended(study, seeds, responses, rollouts, begun=True)
            expected, left = expected_times(larger, library, state), parts_left(larger, state)
            return _Extension(seeds, responses, rollouts, len(left), sum_seconds(expected[p.id] for p in left))

        self._tasks.run(work, self._show_checked, self._show_error, key="extension")

    def _show_checked(self, found: _Extension) -> None:
        self._found = found
        time = "for a time that depends on the server" if found.seconds is None else f"about {duration(found.seconds)}"
        self.said.setText(f"{count_of(found.parts, 'part')} to do then, {time}.")
        set_tone(self.said, "")
        self._enable(True)

    def _show_error(self, text: str) -> None:
        self.said.setText(text)
        set_tone(self.said, "bad")

    def _enable(self, on: bool) -> None:
        for button in (self.go, self.only):
            button.setEnabled(on)

    def _finish(self, *, start: bool) -> None:
        if self._found is not None:
            found = self._found
            self.extendRequested.emit(found.seeds, found.responses, found.rollouts, start)
            self.accept()


# ---------------------------------------------------------------------- the view


class StudyList(QTableView):
    """One row a study. Emits what is chosen."""

    chosen = Signal(object)
    """Path of its folder"""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = TableModel(
            (
                Column(
                    "study", lambda s: s.paths.run_id, row_tip=lambda s: s.study.description if s.study else s.problem
                ),
                Column("status", _status_text),
                Column("parts done", _parts_text, right=True),
                Column("variants × seeds", _size_text, right=True),
                Column("rollouts a run", lambda s: f"{s.study.rollouts:,}" if s.study else "", right=True),
            ),
            self,
        )
        self.setModel(self._model)
        self.setProperty("plain", "true")
        self.setAccessibleName("Studies")
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.selectionModel().currentRowChanged.connect(self._on_current)

    def _on_current(self, current: QModelIndex, _before: QModelIndex) -> None:
        if current.isValid():
            self.chosen.emit(self._model.rows[current.row()].paths.root)

    def render_studies(self, found: tuple[StudySummary, ...], chosen: Path | None) -> None:
        self.selectionModel().blockSignals(True)
        self._model.render_rows(found, key=lambda s: s.paths.root)
        place = next((i for i, s in enumerate(found) if s.paths.root == chosen), -1)
        if place >= 0:
            self.selectRow(place)
        self.selectionModel().blockSignals(False)
        self.viewport().update()
        head = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(head + ROW_PX * min(MOST_ROWS, len(found)) + 2 * self.frameWidth())


def _about(summary: StudySummary) -> str | None:
    return summary.study.description if summary.study is not None else summary.problem


def _status_text(summary: StudySummary) -> str:
    return _style(summary).text


def _style(summary: StudySummary) -> BadgeStyle:
    if summary.state is None:
        return BROKEN
    return STATUS_STYLES[summary.state.status] if summary.started else NOT_STARTED


def _parts_text(summary: StudySummary) -> str:
    return f"{summary.done} of {len(summary.parts)}" if summary.state else ""


def _size_text(summary: StudySummary) -> str:
    return f"{len(summary.study.variants)} × {len(summary.study.seeds)}" if summary.study else ""


def describe_progress(summary: StudySummary) -> tuple[str, str]:
    """What it does or how it ended, and how far it is."""
    state, study = summary.state, summary.study
    if state is None or study is None:
        return summary.problem or "", ""
    done = f"{summary.done} of {count_of(len(summary.parts), 'part')}"
    if not summary.started:
        return "It has not been started.", done
    if state.over:
        return " ".join(state.message.split()), done
    part = next((p for p in summary.parts if p.id == state.part), None)
    doing = part.title if part else "preparing"
    left = f"about {countdown(state.eta_s)} left" if state.eta_s is not None else ""
    share = percent(state.part_share) if part else ""
    return " ".join(filter(None, (doing, share))), "  ·  ".join(filter(None, (done, left)))


class StudyView(QWidget):
    """The list, the chosen study's progress, and its figures."""

    newRequested = Signal()
    extendRequested = Signal(object)
    """StudySummary of the study to extend"""
    reportRequested = Signal(object)
    """Path of the study's folder"""
    messageRequested = Signal(str)

    def __init__(self, monitor: StudyMonitor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.monitor = monitor
        self.results: StudyResults | None = None
        self._build()
        monitor.changed.connect(self._render)
        monitor.resultsFound.connect(self.render_results)
        self.list.chosen.connect(monitor.choose)
        self.measure.activated.connect(self._render_figures)
        self.basis.chosen.connect(lambda value: (self.basis.render_value(value), self._render_figures()))
        self.by_seed.toggled.connect(self._render_figures)
        for card in self.cards:
            card.messageRequested.connect(self.messageRequested)
        self._render()

    def _build(self) -> None:
        self.list = StudyList()
        self.new = make_button("New study…", "plus", clicked=self.newRequested.emit)
        self.badge = Badge(NOT_STARTED)
        self.progress = Progress(cancellable=False)
        self.start = make_button("Start", "play", kind="primary", clicked=lambda: self._act(self.monitor.start))
        self.stop = make_button("Stop", "stop", kind="quiet", tip=STOPPABLE, destructive=True,
                                clicked=lambda: self._act(self.monitor.stop))  # fmt: skip
        self.report = make_button("Report", "file", kind="quiet", tip="One HTML file with all figures of the study")
        self.report.clicked.connect(lambda: self._act(lambda paths: self.reportRequested.emit(paths.root)))
        self.extend = make_button("Extend…", "plus", kind="quiet", clicked=self._ask_extension,
                                  tip="Add seeds, best responses or rollouts; what is done is kept")  # fmt: skip
        self.top = Card()
        fill(
            self.top.body, row(make_card_heading("Studies"), None, self.new), self.list, SPACE_2,
            row(
                self.badge, SPACE_2, (self.progress, 1), self.extend, self.report, self.stop, self.start,
                spacing=SPACE_3,
            ),
        )  # fmt: skip
        about = (
            "A study trains every variant with several seeds at the same number of rollouts, trains a new Adversary "
            "against each result, and says what was shown and what was not."
        )
        create = make_button("New study…", "plus", kind="primary", clicked=self.newRequested.emit)
        self.empty = EmptyState("chart", "No study yet", about, (create,))
        self.words = Card()
        self.lines = column(spacing=SPACE_2)
        self.goals = column(spacing=SPACE_2)
        fill(self.words.body, make_card_heading("What this shows"), self.lines, SPACE_2, self.goals)
        self.measure = QComboBox()
        self.measure.setAccessibleName("Measure of the chart")
        ignore_wheel(self.measure)
        self.basis = Segmented(
            "Compared at",
            (Segment(Basis.ROLLOUTS, "Equal rollouts", tip="Every run at its end"),
             Segment(Basis.TIME, "Equal time", tip="Every run within the time of the quickest one")),
        )  # fmt: skip
        self.basis.render_value(Basis.ROLLOUTS)
        self.by_seed = QCheckBox("Every seed")
        self.tools = row(self.measure, SPACE_2, self.basis, None, self.by_seed, spacing=SPACE_3)
        self.chart = ChartCard("By variant", height=240)
        self.table = TableCard("Share right, 95% interval", None)
        self.differences = TableCard("Paired differences in points", None)
        self.lengths = TableCard("By rollouts a run", None)
        self.cards = (self.chart, self.table, self.differences, self.lengths)
        self.figures = QWidget()
        column(self.words, self.tools, *self.cards, spacing=SPACE_4, parent=self.figures)
        column(self.empty, self.top, self.figures, None, spacing=SPACE_4, margins=(0, 8, 0, 0), parent=self)

    def _ask_extension(self) -> None:
        summary = self.monitor.find(self.monitor.chosen)
        if summary is not None:
            self.extendRequested.emit(summary)

    def _act(self, act: Callable[[StudyDir], None]) -> None:
        summary = self.monitor.find(self.monitor.chosen)
        if summary is not None:
            act(summary.paths)

    # ------------------------------------------------------------------ state

    def _render(self) -> None:
        found = self.monitor.summaries
        summary = self.monitor.find(self.monitor.chosen)
        self.empty.setVisible(not found)
        self.top.setVisible(bool(found))
        self.list.render_studies(found, self.monitor.chosen)
        if summary is None:
            self.render_results(None)
            return
        stopping = summary.paths.root in self.monitor.stopping
        style = STATUS_STYLES[RunStatus.STOPPING] if stopping and summary.live else _style(summary)
        self.badge.render_style(style)
        text, figures = describe_progress(summary)
        share = summary.state.share if summary.state is not None else 0.0
        self.progress.render_progress("stopping with what it is running" if stopping else text, share, 1, figures)
        self.progress.bar.setVisible(summary.live)
        # They take turns in one place, and the one that stops is never where the focus lands by itself.
        self.stop.setVisible(summary.live)
        self.stop.setEnabled(not stopping)
        done = summary.state is not None and summary.state.status is RunStatus.FINISHED
        self.start.setVisible(not summary.live and not done and summary.study is not None)
        self.extend.setVisible(not summary.live and summary.study is not None)
        self.start.setText("Resume" if summary.started else "Start")
        self.start.setAccessibleName(f"{self.start.text()} the study")

    # ------------------------------------------------------------------ results

    def render_results(self, results: StudyResults | None) -> None:
        self.results = results
        self.figures.setVisible(results is not None)
        self.report.setVisible(results is not None and bool(results.measures()))
        if results is None:
            return
        said = (*conclusions(results), gates_sentence(results), unread_sentence(results))
        _fill_lines(self.lines, [("", "", text) for text in said if text])
        _fill_lines(self.goals, [(*GOAL_ICONS[g.status], f"Goal: {goal_sentence(g)}") for g in results.goals])
        measures = results.measures()
        before = self.measure.currentData()
        self.measure.clear()
        for measure in measures:
            self.measure.addItem(TEXTS[measure].title, measure)
        wanted = measures.index(before) if before in measures else 0
        self.measure.setCurrentIndex(wanted if measures else -1)
        self.basis.setVisible(bool(results.measures(Basis.TIME)))
        if not results.measures(Basis.TIME):
            self.basis.render_value(Basis.ROLLOUTS)
        self.measure.setVisible(bool(measures))
        self.by_seed.setVisible(bool(measures))
        for card in self.cards:
            card.setVisible(bool(measures))
        self.lengths.setVisible(bool(results.earlier))
        lengths = lengths_table(results)
        self.lengths.render_table("", "The runs were extended; what was measured before is kept.", lengths, lengths)
        self._render_figures()

    def _render_figures(self) -> None:
        results, measure = self.results, self.measure.currentData()
        if results is None or measure is None:
            return
        measure, basis = Measure(measure), Basis(str(self.basis.value or Basis.ROLLOUTS))
        text = TEXTS[measure]
        chart = study_chart(results, measure, basis)
        self.chart.heading.setText(f"{text.title}, by variant")
        self.chart.context = results.name
        self.chart.render_chart(chart)
        empty = not chart.series
        said = "It is measured at equal rollouts only." if empty else text.help
        note = "Mean over seeds with its 95% interval over seeds and problems; beside it every seed."
        self.chart.render_texts(said, note, chart.long_table(), empty=empty, shown=chart.wide_table())
        figures = seeds_table(results, basis) if self.by_seed.isChecked() else main_table(results, basis)
        self.table.heading.setText(f"Share right with its 95% interval, at equal {basis}")
        self.table.render_table("", "", all_figures(results), figures)
        differences = differences_table(results, basis)
        self.differences.heading.setText(f"Paired differences in points, at equal {basis}")
        note = "Paired by problem and seed. Shown: of several seeds, and the interval excludes zero."
        none = "" if differences.rows else "There is no difference to show."
        self.differences.render_table(none, note, differences, differences)

    def draw_next(self) -> bool:
        """Draw one card that needs it; whether one was."""
        return any(card.draw_if_stale() for card in self.cards)


def _fill_lines(box: QBoxLayout, lines: list[tuple[str, str, str]]) -> None:
    while box.count():
        widget = box.takeAt(0).widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
    for icon, colour, text in lines:
        if not icon:
            box.addWidget(make_label(text, wrap=True, select=True))
            continue
        line = IconLine()
        line.render_line(icon, colour, text)
        box.addWidget(line)
