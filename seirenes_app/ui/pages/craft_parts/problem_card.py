"""The problem: a question, its true answer and how that is compared. It says at once what is missing."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from seirenes_app.lab.crafting.documents import DraftProblem
from seirenes_app.ui.pages.craft_parts.words import KIND_WORDS
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.charts import make_card_heading
from seirenes_app.ui.widgets.growing_text import GrowingText, PageLine
from seirenes_app.ui.widgets.icon_label import IconLabel
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.quiet import hush
from training.core.types import AnswerKind


class ProblemCard(Card):
    """Asks by signals; `render_problem` shows a draft's problem, `render_wrong` what is wrong with it."""

    questionEdited = Signal(str)
    answerEdited = Signal(str)
    kindChosen = Signal(str)
    libraryAsked = Signal()
    importAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._build()
        self._connect()

    def _build(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(0)
        head.addWidget(make_card_heading("Problem"))
        head.addStretch(1)
        self.library = make_button("Library", "books", kind="quiet", clicked=self.libraryAsked.emit,
                                   tip="Take a problem from the library (Ctrl+L)")  # fmt: skip
        self.import_ = make_button("Import…", "drop", kind="quiet", clicked=self.importAsked.emit,
                                   tip="Read problems from a file: JSON lines, GSM8K, SVAMP, CSV")  # fmt: skip
        head.addWidget(self.library)
        head.addWidget(self.import_)
        self.question = GrowingText("Question", "Type a problem, or take one from the library.", least=3, most=9)
        self.answer = PageLine("True answer", "True answer")
        self.kind = QComboBox()
        self.kind.setAccessibleName("The answer is a")
        self.kind.setToolTip("How an answer is compared with the true one")
        for kind, word in KIND_WORDS.items():
            self.kind.addItem(word, kind)
        hush(self.kind)
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        row.addWidget(make_label("Answer", "muted"))
        row.addWidget(self.answer, 1)
        row.addWidget(make_label("is a", "muted"))
        row.addWidget(self.kind)
        self.wrong = make_label("", "small", wrap=True)
        self._wrong_row = QWidget()
        line = QHBoxLayout(self._wrong_row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(SPACE_2)
        line.addWidget(IconLabel("info", 16, "warn"), 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(self.wrong, 1)
        self.body.addLayout(head)
        self.body.addWidget(self.question)
        self.body.addLayout(row)
        self.body.addWidget(self._wrong_row)
        self._wrong_row.hide()

    def _connect(self) -> None:
        self.question.edited.connect(self.questionEdited)
        self.answer.edited.connect(self.answerEdited)
        self.kind.activated.connect(lambda _i: self.kindChosen.emit(str(self.kind.currentData())))

    def render_problem(self, problem: DraftProblem) -> None:
        """Show it; fields that show it already keep their carets."""
        self.question.render_text(problem.question)
        self.answer.render_text(problem.answer)
        index = list(AnswerKind).index(problem.kind)
        if self.kind.currentIndex() != index:
            self.kind.setCurrentIndex(index)

    def render_wrong(self, reason: str) -> None:
        """What keeps the problem from being used, "" for nothing."""
        self.wrong.setText(reason)
        self._wrong_row.setVisible(bool(reason))
        self.question.setAccessibleDescription(reason)
