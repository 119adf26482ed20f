"""Choose a problem, with a hint or without, for the time machine: out of the rows of the newest checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QLineEdit, QListView, QWidget

from seirenes_app.lab.robustness.values import Trace
from seirenes_app.ui.pages.robustness_parts.rows_sheet import TRACE_ROLE, TracesModel
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import Sheet
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.evaluation.rows import Condition

CONDITIONS = (
    Segment(Condition.HINTED, "With a hint", "question and hint"),
    Segment(Condition.CLEAN, "Without", "the question alone"),
)
SIZE = QSize(640, 620)


class ProblemSheet(Sheet):
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
        self.which = Segmented("Problem", CONDITIONS)
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
