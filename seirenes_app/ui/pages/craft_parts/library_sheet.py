"""The library: problems that ship, and those of a file that was imported, searched while one types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QAbstractListModel, QEvent, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QHBoxLayout, QLineEdit, QListView, QPlainTextEdit, QWidget

from seirenes_app.lab.crafting.documents import DraftProblem
from seirenes_app.lab.crafting.problems import LoadedProblems
from seirenes_app.ui.pages.craft_parts.words import KIND_WORDS
from seirenes_app.ui.theme import SPACE_2, mono_font
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import Sheet
from seirenes_app.ui.widgets.labels import make_label

WIDTH, LIST_HEIGHT = 720, 330
ALL, IMPORTED = "all", "imported"
PROBLEM_ROLE = Qt.ItemDataRole.UserRole + 1
SHOWN_REJECTED = 200

Index = QModelIndex | QPersistentModelIndex


class ProblemsModel(QAbstractListModel):
    """Problems that contain all the words that were typed."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[DraftProblem] = []

    def render(self, problems: Sequence[DraftProblem], words: str) -> None:
        """Show those that match."""
        wanted = words.casefold().split()
        self.beginResetModel()
        self._rows = [p for p in problems if _matches(p, wanted)]
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Number of problems."""
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a view or a screen reader asks of a row."""
        if not index.isValid():
            return None
        problem = self._rows[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return " ".join(problem.question.split())
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{problem.question}\nAnswer: {problem.answer}"
        return problem if role == PROBLEM_ROLE else None


def _matches(problem: DraftProblem, wanted: Sequence[str]) -> bool:
    text = f"{problem.question} {problem.answer} {problem.family} {problem.id}".casefold()
    return all(word in text for word in wanted)


class LibrarySheet(Sheet):
    """Enter or a double click takes the problem under the cursor."""

    taken = Signal(object)
    importAsked = Signal()

    def __init__(self, titles: dict[str, str], parent: QWidget | None = None) -> None:
        super().__init__("Library of problems", parent)
        self._titles = titles
        self._problems: tuple[DraftProblem, ...] = ()
        self._imported: tuple[DraftProblem, ...] = ()
        self._build()
        self._connect()

    def _build(self) -> None:
        self.body.addWidget(make_label("Library of problems", "title"))
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search questions and answers…")
        self.search.setAccessibleName("Search the library")
        self.search.setClearButtonEnabled(True)
        self.search.installEventFilter(self)
        self.family = QComboBox()
        self.family.setAccessibleName("Family of problems")
        self.family.addItem("All families", ALL)
        for name, title in self._titles.items():
            self.family.addItem(title[:1].upper() + title[1:], name)
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        row.addWidget(self.search, 1)
        row.addWidget(self.family)
        self.body.addLayout(row)
        self.model = ProblemsModel(self)
        self.list = QListView()
        self.list.setModel(self.model)
        self.list.setAccessibleName("Problems")
        self.list.setUniformItemSizes(True)
        self.list.setProperty("roomy", "true")
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setFixedHeight(LIST_HEIGHT)
        self.list.setMinimumWidth(WIDTH)
        self.body.addWidget(self.list)
        self.about = make_label("", wrap=True)
        self.about.setMinimumHeight(70)
        self.about.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.body.addWidget(self.about)
        self._build_report()
        self.import_ = make_button("Import a file…", "drop", clicked=self.importAsked.emit,
                                   tip="JSON lines with question and answer, GSM8K, SVAMP, or CSV")  # fmt: skip
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.take = make_button("Take this problem", "check", kind="primary", clicked=self._take)
        self.buttons.addWidget(self.import_)
        self.buttons.addStretch(1)
        self.buttons.addWidget(self.cancel)
        self.buttons.addWidget(self.take)
        self.take.setDefault(True)

    def _build_report(self) -> None:
        self.report = make_label("", wrap=True)
        self.left_out = QPlainTextEdit()
        self.left_out.setReadOnly(True)
        self.left_out.setFont(mono_font(12))
        self.left_out.setFixedHeight(96)
        self.left_out.setTabChangesFocus(True)
        self.left_out.setAccessibleName("Rejected rows")
        self.body.addWidget(self.report)
        self.body.addWidget(self.left_out)
        self.report.hide()
        self.left_out.hide()

    def _connect(self) -> None:
        self.search.textChanged.connect(lambda _t: self._filter())
        self.family.currentIndexChanged.connect(lambda _i: self._filter())
        self.list.selectionModel().currentChanged.connect(lambda *_: self._show_current())
        self.list.doubleClicked.connect(lambda _i: self._take())

    # ------------------------------------------------------------------ render

    def render_problems(self, problems: Sequence[DraftProblem]) -> None:
        """The problems that ship."""
        self._problems = tuple(problems)
        self._filter()

    def render_import(self, path: Path, loaded: LoadedProblems) -> None:
        """What a file gave, and which of its rows were left out."""
        self._imported = loaded.problems
        at = self.family.findData(IMPORTED)
        if at < 0:
            self.family.addItem("", IMPORTED)
            at = self.family.count() - 1
        self.family.setItemText(at, f"From {path.name}")
        n, bad = len(loaded.problems), len(loaded.rejected)
        rows = "row was" if bad == 1 else "rows were"
        self.report.setText(
            f"{n} {'problem' if n == 1 else 'problems'} read from {path.name}"
            + (f"; {bad} {rows} left out:" if bad else "; no row was left out.")
        )
        lines = [f"line {r.line}: {r.reason}" for r in loaded.rejected[:SHOWN_REJECTED]]
        if bad > SHOWN_REJECTED:
            lines.append(f"… and {bad - SHOWN_REJECTED} more")
        self.left_out.setPlainText("\n".join(lines))
        self.report.show()
        self.left_out.setVisible(bool(bad))
        self.search.clear()
        self.family.setCurrentIndex(at)
        self._filter()

    def _filter(self) -> None:
        family = self.family.currentData()
        pool = self._imported if family == IMPORTED else self._problems
        if family not in (ALL, IMPORTED):
            pool = tuple(p for p in pool if p.family == family)
        self.model.render(pool, self.search.text())
        if self.model.rowCount():
            self.list.setCurrentIndex(self.model.index(0))
        self._show_current()

    def _show_current(self) -> None:
        problem = self.current()
        self.take.setEnabled(problem is not None)
        if problem is None:
            self.about.setText("Nothing matches. Try fewer words, or another family.")
            return
        self.about.setText(f"{problem.question}\nAnswer: {problem.answer}  ·  a {KIND_WORDS[problem.kind]}")

    def current(self) -> DraftProblem | None:
        """The problem under the cursor."""
        found = self.list.currentIndex().data(PROBLEM_ROLE)
        return found if isinstance(found, DraftProblem) else None

    def _take(self) -> None:
        problem = self.current()
        if problem is not None:
            self.taken.emit(problem)
            self.accept()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrow keys in the search field go through the list."""
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
            if step is not None:
                row = max(0, min(self.model.rowCount() - 1, self.list.currentIndex().row() + step))
                self.list.setCurrentIndex(self.model.index(row))
                return True
        return super().eventFilter(watched, event)
