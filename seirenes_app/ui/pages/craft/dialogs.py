"""The dialogs of the Craft page: drafts, library of problems, model, suite. `CraftDialogs` opens them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QAbstractListModel, QEvent, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QInputDialog,
    QLineEdit,
    QListView,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from seirenes_app.inference.models import GgufFacts, bundled_model, describe_gguf
from seirenes_app.services.formatting import byte_size, count_of, short_count, time_ago
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, DraftProblem, SolverChoice
from seirenes_app.services.hint_authoring.gate_report import Badges, passed
from seirenes_app.services.hint_authoring.problems import LoadedProblems, family_titles, library, load_problem_file
from seirenes_app.services.hint_authoring.suites import list_suites, save_to_suite, suite_name
from seirenes_app.store.crafts import SavedDraft
from seirenes_app.ui.pages.craft.captions import ANSWER_KINDS, BUNDLED, PLACEMENTS
from seirenes_app.ui.pages.craft.controller import CraftController
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_4, mono_font
from seirenes_app.ui.widgets.boxes import row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, DialogKeeper, PageDialog
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label, set_tone
from seirenes_app.ui.widgets.no_wheel import hush
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.prompts import Placement, PromptStyle
from training.errors import UserError
from training.evaluation.suites.manifest import SuiteManifest

MAX_TITLE = 120
NO_DRAFTS = "No draft is saved yet. What you write on this page is saved by itself."


def _style_list(view: QListView, name: str, width: int, height: int) -> None:
    view.setAccessibleName(name)
    view.setFixedHeight(height)
    view.setMinimumWidth(width)
    view.setProperty("roomy", "true")
    view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    view.setTextElideMode(Qt.TextElideMode.ElideRight)


class DraftsDialog(PageDialog):
    """Saved drafts. Enter opens, F2 renames, Delete deletes after a question."""

    openRequested = Signal(str)
    renameRequested = Signal(str, str)
    deleteRequested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Drafts", parent)
        self.text = make_label(NO_DRAFTS, "muted", wrap=True)
        self.list = QListWidget()
        _style_list(self.list, "Drafts, newest first", 600, 300)
        self.rename = make_button("Rename…", "pencil", kind="quiet", tip="Give it another title (F2)",
                                  clicked=self._rename)  # fmt: skip
        self.delete = make_button("Delete…", "discard", kind="quiet", tip="Delete it with its results (Delete)",
                                  clicked=self._delete)  # fmt: skip
        self.open_ = make_button("Open", "arrow-right", kind="primary", tip="Go on with it (Enter)",
                                 clicked=self._open)  # fmt: skip
        self.open_.setDefault(True)
        for widget in (make_label("Drafts", "title"), self.text, self.list):
            self.body.addWidget(widget)
        self.buttons.addLayout(
            row(self.rename, self.delete, None, make_button("Cancel", clicked=self.reject), self.open_)
        )
        self.list.itemDoubleClicked.connect(self._open)
        self.list.currentRowChanged.connect(self._render_buttons)
        for key, handler in (("F2", self._rename), ("Del", self._delete)):
            shortcut = QShortcut(QKeySequence(key), self.list)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(handler)

    def render_drafts(self, drafts: Sequence[SavedDraft], open_id: str) -> None:
        """Show drafts, newest first; `open_id` is the one that is open."""
        current, now = max(0, self.list.currentRow()), time.time()
        self.list.clear()
        for draft in drafts:
            when = "open now" if draft.id == open_id else time_ago(draft.saved_at, now)
            item = QListWidgetItem(f"{draft.title}  ·  {when}")
            item.setData(Qt.ItemDataRole.UserRole, draft)
            item.setToolTip(draft.title)
            self.list.addItem(item)
        self.list.setCurrentRow(min(current, self.list.count() - 1))
        self.text.setVisible(not drafts)
        self._render_buttons()
        self.list.setFocus()

    def _render_buttons(self) -> None:
        for button in (self.rename, self.delete, self.open_):
            button.setEnabled(self.current() is not None)

    def current(self) -> SavedDraft | None:
        """The draft under the cursor."""
        item = self.list.currentItem()
        found = item.data(Qt.ItemDataRole.UserRole) if item is not None else None
        return found if isinstance(found, SavedDraft) else None

    def _open(self) -> None:
        if draft := self.current():
            self.accept()
            self.openRequested.emit(draft.id)

    def _rename(self) -> None:
        if draft := self.current():
            dialog = QInputDialog(self)
            dialog.setWindowTitle("Rename the draft")
            dialog.setLabelText("Title")
            dialog.setTextValue(draft.title)
            dialog.textValueSelected.connect(lambda text: self._on_title_entered(draft.id, text))
            dialog.open()

    def _on_title_entered(self, draft_id: str, text: str) -> None:
        if title := " ".join(text.split())[:MAX_TITLE]:
            self.renameRequested.emit(draft_id, title)

    def _delete(self) -> None:
        if draft := self.current():
            text = f"“{draft.title}” and its results are deleted. This cannot be undone."
            dialog = ConfirmDialog("Delete the draft?", text, "Delete", self)
            dialog.accepted.connect(lambda: self.deleteRequested.emit(draft.id))
            dialog.open()


ALL_FAMILIES, IMPORTED = "all", "imported"
PROBLEM_ROLE = Qt.ItemDataRole.UserRole + 1
SHOWN_REJECTED = 200
Index = QModelIndex | QPersistentModelIndex


class ProblemsModel(QAbstractListModel):
    """Problems that contain all the words of a search."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[DraftProblem] = []

    def render(self, problems: Sequence[DraftProblem], search: str) -> None:
        """Show the problems that match."""
        words = search.casefold().split()
        self.beginResetModel()
        self._rows = [
            p for p in problems
            if all(word in f"{p.question} {p.answer} {p.family} {p.id}".casefold() for word in words)
        ]  # fmt: skip
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        problem = self._rows[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return " ".join(problem.question.split())
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{problem.question}\nAnswer: {problem.answer}"
        return problem if role == PROBLEM_ROLE else None


class LibraryDialog(PageDialog):
    """The library and an imported file, with a search. Enter or a double click takes a problem."""

    problemChosen = Signal(object)
    importRequested = Signal()

    def __init__(self, titles: Mapping[str, str], parent: QWidget | None = None) -> None:
        super().__init__("Library of problems", parent)
        self._problems: tuple[DraftProblem, ...] = ()
        self._imported: tuple[DraftProblem, ...] = ()
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search questions and answers…")
        self.search.setAccessibleName("Search the library")
        self.search.setClearButtonEnabled(True)
        self.search.installEventFilter(self)
        self.family = QComboBox()
        self.family.setAccessibleName("Family of problems")
        self.family.addItem("All families", ALL_FAMILIES)
        for name, title in titles.items():
            self.family.addItem(title[:1].upper() + title[1:], name)
        self.model = ProblemsModel(self)
        self.list = QListView()
        self.list.setModel(self.model)
        _style_list(self.list, "Problems", 720, 330)
        self.list.setUniformItemSizes(True)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.about = make_label("", wrap=True)
        self.about.setMinimumHeight(70)
        self.about.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.report = make_label("", wrap=True)
        self.rejected_rows = QPlainTextEdit()
        self.rejected_rows.setReadOnly(True)
        self.rejected_rows.setFont(mono_font(12))
        self.rejected_rows.setFixedHeight(96)
        self.rejected_rows.setTabChangesFocus(True)
        self.rejected_rows.setAccessibleName("Rejected rows")
        import_ = make_button("Import a file…", "drop", clicked=self.importRequested.emit,
                              tip="JSON lines with question and answer, GSM8K, SVAMP, or CSV")  # fmt: skip
        self.take = make_button("Take this problem", "check", kind="primary", clicked=self._take)
        self.take.setDefault(True)
        self.body.addWidget(make_label("Library of problems", "title"))
        self.body.addLayout(row((self.search, 1), self.family))
        for widget in (self.list, self.about, self.report, self.rejected_rows):
            self.body.addWidget(widget)
        self.report.hide()
        self.rejected_rows.hide()
        self.buttons.addLayout(row(import_, None, make_button("Cancel", clicked=self.reject), self.take))
        self.search.textChanged.connect(self._filter)
        self.family.currentIndexChanged.connect(self._filter)
        self.list.selectionModel().currentChanged.connect(self._show_current)
        self.list.doubleClicked.connect(self._take)

    def render_problems(self, problems: Sequence[DraftProblem]) -> None:
        """Show the problems of the library."""
        self._problems = tuple(problems)
        self._filter()

    def render_import(self, path: Path, loaded: LoadedProblems) -> None:
        """Show the problems of a file, and which of its rows were rejected."""
        self._imported = loaded.problems
        if self.family.findData(IMPORTED) < 0:
            self.family.addItem("", IMPORTED)
        at = self.family.findData(IMPORTED)
        self.family.setItemText(at, f"From {path.name}")
        bad = len(loaded.rejected)
        left_out = f"; {bad} {'row was' if bad == 1 else 'rows were'} left out:" if bad else "; no row was left out."
        self.report.setText(f"{count_of(len(loaded.problems), 'problem')} read from {path.name}{left_out}")
        lines = [f"line {r.line}: {r.reason}" for r in loaded.rejected[:SHOWN_REJECTED]]
        if bad > SHOWN_REJECTED:
            lines.append(f"… and {bad - SHOWN_REJECTED} more")
        self.rejected_rows.setPlainText("\n".join(lines))
        self.report.show()
        self.rejected_rows.setVisible(bool(bad))
        self.search.clear()
        self.family.setCurrentIndex(at)
        self._filter()

    def _filter(self) -> None:
        family = self.family.currentData()
        pool = self._imported if family == IMPORTED else self._problems
        if family not in (ALL_FAMILIES, IMPORTED):
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
        else:
            self.about.setText(f"{problem.question}\nAnswer: {problem.answer}  ·  a {ANSWER_KINDS[problem.kind]}")

    def current(self) -> DraftProblem | None:
        """The problem under the cursor."""
        problem = self.list.currentIndex().data(PROBLEM_ROLE)
        return problem if isinstance(problem, DraftProblem) else None

    def _take(self) -> None:
        if problem := self.current():
            self.problemChosen.emit(problem)
            self.accept()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrow keys in the search field move the cursor of the list."""
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
            if step is not None:
                at = max(0, min(self.model.rowCount() - 1, self.list.currentIndex().row() + step))
                self.list.setCurrentIndex(self.model.index(at))
                return True
        return super().eventFilter(watched, event)


GGUF = "Models (*.gguf);;All files (*)"
STYLES: tuple[tuple[str, PromptStyle | None], ...] = (
    ("By the model", None),
    ("Compact, as the bundled one was trained", PromptStyle.COMPACT),
    ("Full instructions", PromptStyle.INSTRUCT),
)
MAX_CONTEXT = 131_072
FACTS_WIDTH = 540
READING = "Reading the file…"


class ModelDialog(PageDialog):
    """Choice of a model file, its adapter, prompt style and context. Emits it, and whether it is for both roles."""

    chosen = Signal(object, bool)

    def __init__(
        self, role: str, choice: SolverChoice, recent: Sequence[str], tasks: TaskRunner, parent: QWidget | None = None
    ) -> None:
        super().__init__(f"{role}: model", parent)
        self._tasks, self._choice = tasks, choice
        self._build(role)
        self.model.addItem(BUNDLED, "")
        for path in dict.fromkeys([choice.model, *recent]):
            if path:
                self._add_model(path)
        self.model.setCurrentIndex(max(0, self.model.findData(choice.model)))
        self.style_.setCurrentIndex([style for _name, style in STYLES].index(choice.style))
        self.context.setValue(choice.n_ctx)
        self._set_adapter(choice.lora)
        self.model.currentIndexChanged.connect(self._read_header)
        self._read_header()

    def _build(self, role: str) -> None:
        task = "solves the problem" if role == "Solver" else "generates the hints"
        self.model, self.style_, self.context = QComboBox(), QComboBox(), QSpinBox()
        self.model.setAccessibleName(f"{role} model")
        browse = make_button("Choose a file…", "folder", tip="Any GGUF file; it stays where it is",
                             clicked=self._browse_model)  # fmt: skip
        for name, style in STYLES:
            self.style_.addItem(name, style)
        self.context.setRange(0, MAX_CONTEXT)
        self.context.setSingleStep(512)
        self.context.setSpecialValueText("The model's own, at most 4,096")
        self.context.setSuffix(" tokens")
        hush(self.context)
        self.adapter = ElidedLabel("muted")
        choose = make_button("Choose…", "folder", kind="quiet", tip="A LoRA adapter for this model, as GGUF",
                             clicked=self._browse_adapter)  # fmt: skip
        self.no_adapter = make_icon_button("close", "No adapter", clicked=lambda: self._set_adapter(""))
        options = QGridLayout()
        options.setHorizontalSpacing(SPACE_4)
        options.setVerticalSpacing(SPACE_2)
        options.setColumnStretch(1, 1)
        for r, (name, editor) in enumerate((("Prompt style", self.style_), ("Context", self.context))):
            options.addWidget(make_label(name), r, 0)
            options.addWidget(editor, r, 1)
            editor.setAccessibleName(name)
        options.addWidget(make_label("Adapter"), 2, 0)
        options.addLayout(row((self.adapter, 1), None, self.no_adapter, choose), 2, 1)
        self.both = QCheckBox("Use it for both roles, the Solver and the Adversary")
        self.use = make_button("Use this model", "check", kind="primary", clicked=self._use)
        self.use.setDefault(True)
        self.body.addWidget(make_label(f"The model that {task}", "title"))
        self.body.addLayout(row((self.model, 1), browse))
        self.body.addWidget(self._build_facts())
        self.body.addLayout(options)
        self.body.addWidget(self.both)
        self.buttons.addLayout(row(None, make_button("Cancel", clicked=self.reject), self.use))

    def _build_facts(self) -> Card:
        card = Card("flat", padding=SPACE_2)
        card.setMinimumSize(FACTS_WIDTH, 150)
        self.error = make_label("", wrap=True, tone="bad", select=True)
        self._facts_box = QWidget()
        grid = QGridLayout(self._facts_box)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(SPACE_4)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        self.facts: dict[str, ElidedLabel] = {}
        for r, name in enumerate(("Name", "Architecture", "Size", "Context", "Chat template", "File")):
            grid.addWidget(make_label(name, "small"), r, 0)
            self.facts[name] = ElidedLabel()
            self.facts[name].setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            grid.addWidget(self.facts[name], r, 1)
        card.body.addWidget(self.error)
        card.body.addWidget(self._facts_box)
        return card

    def _add_model(self, path: str) -> None:
        self.model.addItem(Path(path).name, path)
        self.model.setItemData(self.model.count() - 1, path, Qt.ItemDataRole.ToolTipRole)

    def _read_header(self) -> None:
        path = str(self.model.currentData())
        self._show_error(READING)
        self._tasks.run(
            lambda: describe_gguf(Path(path) if path else bundled_model()), self._show_facts, self._show_error,
            key="craft: model file",
        )  # fmt: skip

    def _show_facts(self, facts: GgufFacts) -> None:
        self._show_error("")
        for name, text in (
            ("Name", facts.name),
            ("Architecture", facts.architecture),
            ("Size", f"{short_count(facts.n_params)} parameters  ·  {facts.quantisation}  ·  "
                     f"{byte_size(facts.size_bytes)}"),
            ("Context", f"trained on {facts.n_ctx_train:,} tokens  ·  vocabulary {facts.n_vocab:,}"),
            ("Chat template", "in the file" if facts.has_chat_template else "none: messages are joined plainly"),
            ("File", str(facts.path)),
        ):  # fmt: skip
            self.facts[name].setText(text)

    def _show_error(self, text: str) -> None:
        self.error.setText(text)
        set_tone(self.error, "" if text == READING else "bad")
        self.error.setVisible(bool(text))
        self._facts_box.setVisible(not text)
        self.use.setEnabled(not text)

    def _browse_model(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose a model", "", GGUF)
        if name:
            self.choose_file(name)

    def choose_file(self, path: str) -> None:
        """Add a file to the models, and choose it."""
        if self.model.findData(path) < 0:
            self._add_model(path)
        self.model.setCurrentIndex(self.model.findData(path))

    def _browse_adapter(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose an adapter", "", GGUF)
        if name:
            self._set_adapter(name)

    def _set_adapter(self, path: str) -> None:
        self._choice = replace(self._choice, lora=path)
        self.adapter.setText(path or "none")
        self.no_adapter.setVisible(bool(path))

    def _use(self) -> None:
        choice = SolverChoice(
            str(self.model.currentData()), self._choice.lora, self.style_.currentData(), self.context.value()
        )
        self.accept()
        self.chosen.emit(choice, self.both.isChecked())


ONE, ALL = "one", "all"
DEFAULT_SUITE = "My suite"


class SuiteDialog(PageDialog):
    """Emits the suite's name, the hints, and whether refused hints are saved, marked as invalid."""

    saveRequested = Signal(str, object, bool)

    def __init__(
        self, draft: Draft, badges: Mapping[str, Badges], suites: Mapping[str, Placement], parent: QWidget | None = None
    ) -> None:
        super().__init__("Save to a suite", parent)
        self._draft, self._badges, self._suites = draft, badges, suites
        self.name = QComboBox()
        self.name.setEditable(True)
        self.name.setAccessibleName("Name of the suite")
        self.name.addItems(list(suites) or [DEFAULT_SUITE])
        self.about = make_label("", "small", wrap=True)
        self.which = Segmented("Hints", [Segment(ONE, "The selected hint"), Segment(ALL, f"All {len(draft.hints)}")])
        self.which.render_value(ALL if draft.chosen_hint is None else ONE)
        self.which.buttons[ONE].setEnabled(draft.chosen_hint is not None)
        self.gates = make_label("", wrap=True)
        self.allow = QCheckBox("Save refused hints too, marked as invalid")
        self.allow.setToolTip("They are kept in the suite, and no evaluation counts them as an attack")
        self.save = make_button("Save", "save", kind="primary", clicked=self._save)
        self.save.setDefault(True)
        about = "A suite is a folder of problems with their hints and placebos, for evaluations."
        for widget in (
            make_label("Save to a suite", "title"), make_label(about, "muted", wrap=True), make_label("Suite", "small"),
            self.name, self.about, self.which, self.gates, self.allow,
        ):  # fmt: skip
            self.body.addWidget(widget)
        self.buttons.addLayout(row(None, make_button("Cancel", clicked=self.reject), self.save))
        self.name.editTextChanged.connect(self._render)
        self.which.chosen.connect(self._render)
        self.allow.toggled.connect(self._render)
        self._render()

    def _pool(self) -> tuple[DraftHint, ...]:
        hint = self._draft.chosen_hint
        return self._draft.hints if self.which.value == ALL or hint is None else (hint,)

    def _passes(self, hint: DraftHint) -> bool:
        return hint.id in self._badges and passed(self._badges[hint.id])

    def hints(self) -> tuple[DraftHint, ...]:
        """The hints that would be saved now."""
        return tuple(h for h in self._pool() if h.text.strip() and (self.allow.isChecked() or self._passes(h)))

    def _render(self) -> None:
        pool, n = self._pool(), len(self.hints())
        refused = [h for h in pool if not self._passes(h)]
        self.allow.setVisible(bool(refused))
        if len(pool) > 1:
            good = len(pool) - len(refused)
            text = f"{good} of {len(pool)} pass the gates; {len(refused)} do not."
            self.gates.setText(text if refused else f"All {len(pool)} pass the gates.")
        else:
            reasons = [b.reason for h in refused for b in self._badges.get(h.id, ()) if not b.passed]
            self.gates.setText(" ".join(["The gates refuse it.", *reasons]) if refused else "It passes all gates.")
        set_tone(self.gates, "warn" if refused else "good")
        error = self._name_error()
        known = self.name.currentText().strip() in self._suites
        self.about.setText(error or ("Added to the existing suite." if known else "A new suite."))
        set_tone(self.about, "bad" if error else "")
        self.save.setEnabled(n > 0 and not error)
        self.save.setText(f"Save {n}" if len(pool) > 1 else "Save")

    def _name_error(self) -> str:
        try:
            placement = self._suites.get(suite_name(self.name.currentText()))
        except UserError as error:
            return str(error)
        if placement is None or placement is self._draft.placement:
            return ""
        return (
            f"In this suite hints are placed “{PLACEMENTS[placement][0]}”, here "
            f"“{PLACEMENTS[self._draft.placement][0]}”. Choose another suite."
        )

    def _save(self) -> None:
        self.saveRequested.emit(self.name.currentText().strip(), self.hints(), self.allow.isChecked())
        self.accept()


PROBLEM_FILES = "Problems (*.jsonl *.json *.csv *.tsv *.txt);;All files (*)"
ROLES = {"solver": "Solver", "adversary": "Adversary"}
MAX_REASONS = 3


class CraftDialogs(DialogKeeper):
    """Opens the page's dialogs, does their file work in the task pool, and hands their results to the controller."""

    def __init__(self, controller: CraftController, tasks: TaskRunner, page: QWidget) -> None:
        super().__init__(page)
        self._controller, self._tasks, self._page = controller, tasks, page

    # ------------------------------------------------------------------ problems

    def show_library(self) -> LibraryDialog:
        """Open the library of problems."""
        dialog = LibraryDialog(family_titles(), self._page)
        dialog.problemChosen.connect(lambda problem: self._controller.edit_fields("take a problem", problem=problem))
        dialog.importRequested.connect(self.choose_problem_file)
        self.show_sheet(dialog)
        self._tasks.run(library, dialog.render_problems)
        return dialog

    def choose_problem_file(self) -> None:
        """Ask for a file of problems, and import it."""
        name, _ = QFileDialog.getOpenFileName(self._page, "Import problems", "", PROBLEM_FILES)
        if name:
            self.import_file(Path(name))

    def import_file(self, path: Path) -> None:
        """Read a file of problems, and show them in the library."""

        def show(loaded: LoadedProblems) -> None:
            dialog = self.open_sheet if isinstance(self.open_sheet, LibraryDialog) else self.show_library()
            dialog.render_import(path, loaded)

        self._tasks.run(lambda: load_problem_file(path), show, self._fails("The file cannot be imported"))

    # ------------------------------------------------------------------ drafts

    def show_drafts(self) -> None:
        """Open the list of saved drafts."""
        dialog, controller = DraftsDialog(self._page), self._controller

        def act(title: str, change: Callable[[], None]) -> None:
            try:
                change()
                dialog.render_drafts(controller.drafts(), controller.session.draft.id)
            except UserError as error:
                controller.problem.emit(title, str(error))

        dialog.openRequested.connect(lambda id_: act("The draft was not opened", lambda: controller.open_saved(id_)))
        dialog.renameRequested.connect(
            lambda id_, title: act("The draft was not renamed", lambda: controller.rename(id_, title))
        )
        dialog.deleteRequested.connect(lambda id_: act("The draft was not deleted", lambda: controller.delete(id_)))
        self.show_sheet(dialog)
        act("The drafts cannot be listed", lambda: None)

    # ------------------------------------------------------------------ suites

    def show_suite(self) -> None:
        """Ask which hints to save to which suite."""
        draft = self._controller.draft

        def ask(suites: tuple[SuiteManifest, ...]) -> None:
            placements = {m.name: m.placement for m in suites}
            dialog = SuiteDialog(draft, self._controller.badges, placements, self._page)
            dialog.saveRequested.connect(save)
            self.show_sheet(dialog)

        def save(name: str, hints: tuple[DraftHint, ...], allow: bool) -> None:
            self._tasks.run(lambda: save_all(draft, hints, name, allow), report, self._fails("Nothing was saved"))

        def report(outcome: tuple[str, str]) -> None:
            text, errors = outcome
            if errors:
                self._controller.problem.emit("Not all was saved", f"{text} {errors}")
            else:
                self._controller.toast.emit(text)

        if draft.hints:
            self._tasks.run(list_suites, ask)

    # ------------------------------------------------------------------ models

    def show_model(self, role: str) -> None:
        """Choose the model of a role, "solver" or "adversary"."""
        draft, controller = self._controller.draft, self._controller
        choice = draft.solver if role == "solver" else draft.adversary
        known = [draft.solver.model, draft.adversary.model, *controller.recent_models]
        dialog = ModelDialog(ROLES[role], choice, known, self._tasks, self._page)
        dialog.chosen.connect(lambda found, both: controller.load_model(found, ROLES if both else {role: ROLES[role]}))
        self.show_sheet(dialog)

    def _fails(self, title: str) -> Callable[[str], None]:
        return lambda text: self._controller.problem.emit(title, text)


def save_all(draft: Draft, hints: Sequence[DraftHint], name: str, allow_invalid: bool) -> tuple[str, str]:
    """Save each hint; what was saved, and why others were not. Raises a `UserError` if none could be saved."""
    saved, errors = 0, list[str]()
    folder: Path | None = None
    for hint in hints:
        try:
            folder = save_to_suite(draft, hint, name, allow_invalid=allow_invalid).folder
            saved += 1
        except UserError as error:
            errors.append(str(error))
    if not saved:
        raise UserError(" ".join(errors[:MAX_REASONS]))
    text = f"{saved} {'hint is' if saved == 1 else 'hints are'} in the suite “{name}” ({folder})."
    return text, " ".join(dict.fromkeys(errors[:MAX_REASONS]))
