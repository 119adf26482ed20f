"""Recent drafts: open one, rename it, delete it.

The library: problems that ship, and those of a file that was imported, searched while one types.

Choose a model for a part: the bundled one or a GGUF file, its adapter, how it is asked, and what the file is.

Save candidates to a suite: which, under what name, and what the gates say to that.

The dialogs of the Craft page: opened, filled, and their answers handed to the desk."""

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
    QHBoxLayout,
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
from seirenes_app.services.formatting import byte_size, short_count, time_ago
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, DraftProblem, SolverChoice
from seirenes_app.services.hint_authoring.gate_report import Badges, passed
from seirenes_app.services.hint_authoring.problems import LoadedProblems, family_titles, library, load_problem_file
from seirenes_app.services.hint_authoring.suites import list_suites, save_to_suite, suite_name
from seirenes_app.store.crafts import SavedDraft
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.pages.craft.captions import BUNDLED, KIND_WORDS, PLACEMENT_WORDS, model_name
from seirenes_app.ui.pages.craft.controller import CraftController
from seirenes_app.ui.theme import SPACE_2, SPACE_4, mono_font
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, DialogKeeper, PageDialog
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label, set_tone
from seirenes_app.ui.widgets.no_wheel import hush
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.prompts import Placement, PromptStyle
from training.errors import UserError

DRAFTS_HEIGHT, DRAFTS_WIDTH = 300, 600
LONGEST_TITLE = 120
EMPTY = "No draft is kept yet. What you write on this page is kept by itself."


class DraftsDialog(PageDialog):
    """Enter opens, F2 renames, Delete deletes after a question. It asks by signals and changes nothing itself."""

    openAsked = Signal(str)
    renameAsked = Signal(str, str)
    deleteAsked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Drafts", parent)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.body.addWidget(make_label("Drafts", "title"))
        self.text = make_label("", "muted", wrap=True)
        self.body.addWidget(self.text)
        self.list = QListWidget()
        self.list.setAccessibleName("Drafts, newest first")
        self.list.setFixedHeight(DRAFTS_HEIGHT)
        self.list.setMinimumWidth(DRAFTS_WIDTH)
        self.list.setProperty("roomy", "true")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.body.addWidget(self.list)
        self.rename = make_button("Rename…", "pencil", kind="quiet", tip="Give it another title (F2)",
                                  clicked=self._rename)  # fmt: skip
        self.delete = make_button("Delete…", "discard", kind="quiet", tip="Delete it with its results (Delete)",
                                  clicked=self._delete)  # fmt: skip
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.open_ = make_button("Open", "arrow-right", kind="primary", tip="Go on with it (Enter)",
                                 clicked=self._open)  # fmt: skip
        for button in (self.rename, self.delete):
            self.buttons.addWidget(button)
        self.buttons.addStretch(1)
        for button in (self.cancel, self.open_):
            self.buttons.addWidget(button)
        self.open_.setDefault(True)

    def _connect(self) -> None:
        self.list.itemDoubleClicked.connect(lambda _item: self._open())
        self.list.currentRowChanged.connect(lambda _row: self._render_buttons())
        for key, does in (("F2", self._rename), ("Del", self._delete)):
            shortcut = QShortcut(QKeySequence(key), self.list)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(does)

    def render_drafts(self, drafts: Sequence[SavedDraft], current: str) -> None:
        """Show them, newest first; `current` is the one that is open."""
        row = max(0, self.list.currentRow())
        self.list.clear()
        now = time.time()
        for draft in drafts:
            mark = "open now" if draft.id == current else time_ago(draft.saved_at, now)
            item = QListWidgetItem(f"{draft.title}  ·  {mark}")
            item.setData(Qt.ItemDataRole.UserRole, draft)
            item.setToolTip(draft.title)
            self.list.addItem(item)
        self.list.setCurrentRow(min(row, self.list.count() - 1))
        self.text.setText("" if drafts else EMPTY)
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
        if (draft := self.current()) is not None:
            self.accept()
            self.openAsked.emit(draft.id)

    def _rename(self) -> None:
        if (draft := self.current()) is None:
            return
        dialog = QInputDialog(self)
        dialog.setWindowTitle("Rename the draft")
        dialog.setLabelText("Title")
        dialog.setTextValue(draft.title)
        dialog.textValueSelected.connect(lambda text: self._take_title(draft.id, text))
        dialog.open()

    def _take_title(self, draft_id: str, text: str) -> None:
        title = " ".join(text.split())[:LONGEST_TITLE]
        if title:
            self.renameAsked.emit(draft_id, title)

    def _delete(self) -> None:
        if (draft := self.current()) is None:
            return
        dialog = ConfirmDialog(
            "Delete the draft?", f"“{draft.title}” and its results are deleted. This cannot be undone.", "Delete", self
        )
        dialog.accepted.connect(lambda: self.deleteAsked.emit(draft.id))
        dialog.open()


LIBRARY_WIDTH, LIST_HEIGHT = 720, 330
ALL_FAMILIES, IMPORTED = "all", "imported"
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


class LibraryDialog(PageDialog):
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
        self.family.addItem("All families", ALL_FAMILIES)
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
        self.list.setMinimumWidth(LIBRARY_WIDTH)
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


GGUF = "Models (*.gguf);;All files (*)"
STYLES: tuple[tuple[str, PromptStyle | None], ...] = (
    ("By the model", None),
    ("Compact, as the bundled one was trained", PromptStyle.COMPACT),
    ("Full instructions", PromptStyle.INSTRUCT),
)
MAX_CONTEXT = 131_072
FACTS_WIDTH = 540
WAITING = "Reading the file…"


class ModelDialog(PageDialog):
    """Emits the choice, and whether it is meant for both parts."""

    chosen = Signal(object, bool)

    def __init__(
        self, role: str, choice: SolverChoice, recent: Sequence[str], background: Background,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(f"{role}: model", parent)
        self._role, self._background = role, background
        self._choice = choice
        self._build(role)
        self._fill(recent)
        self._connect()
        self._look()

    def _build(self, role: str) -> None:
        what = "solves the problem" if role == "Solver" else "writes the hints"
        self.body.addWidget(make_label(f"The model that {what}", "title"))
        self.model = QComboBox()
        self.model.setAccessibleName(f"{role} model")
        self.browse = make_button("Choose a file…", "folder", tip="Any GGUF file; it is used where it is",
                                  clicked=self._browse)  # fmt: skip
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        row.addWidget(self.model, 1)
        row.addWidget(self.browse)
        self.body.addLayout(row)
        self.body.addWidget(self._build_facts())
        self.body.addLayout(self._build_options())
        self.both = QCheckBox("Use it for both parts, the Solver and the Adversary")
        self.body.addWidget(self.both)
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.use = make_button("Use this model", "check", kind="primary", clicked=self._use)
        self.buttons.addStretch(1)
        self.buttons.addWidget(self.cancel)
        self.buttons.addWidget(self.use)
        self.use.setDefault(True)

    def _build_facts(self) -> Card:
        card = Card("flat", padding=SPACE_2)
        card.setMinimumSize(FACTS_WIDTH, 150)
        self.trouble = make_label("", wrap=True, tone="bad", select=True)
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
        card.body.addWidget(self.trouble)
        card.body.addWidget(self._facts_box)
        return card

    def _build_options(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(SPACE_4)
        grid.setVerticalSpacing(SPACE_2)
        grid.setColumnStretch(1, 1)
        self.style_ = QComboBox()
        for words, style in STYLES:
            self.style_.addItem(words, style)
        self.context = QSpinBox()
        self.context.setRange(0, MAX_CONTEXT)
        self.context.setSingleStep(512)
        self.context.setSpecialValueText("The model's own, at most 4,096")
        self.context.setSuffix(" tokens")
        hush(self.context)
        self.lora = ElidedLabel("muted")
        self.choose_lora = make_button("Choose…", "folder", kind="quiet", tip="A LoRA adapter for this model, as GGUF",
                                       clicked=self._browse_lora)  # fmt: skip
        self.drop_lora = make_icon_button("close", "No adapter", clicked=lambda: self._set_lora(""))
        adapter = QHBoxLayout()
        adapter.setSpacing(SPACE_2)
        adapter.addWidget(self.lora, 1)
        adapter.addStretch(1)
        adapter.addWidget(self.drop_lora)
        adapter.addWidget(self.choose_lora)
        for r, (name, editor) in enumerate((("Asked with", self.style_), ("Context", self.context))):
            grid.addWidget(make_label(name), r, 0)
            grid.addWidget(editor, r, 1)
            editor.setAccessibleName(name)
        grid.addWidget(make_label("Adapter"), 2, 0)
        grid.addLayout(adapter, 2, 1)
        return grid

    def _fill(self, recent: Sequence[str]) -> None:
        self.model.addItem(BUNDLED, "")
        for path in dict.fromkeys([self._choice.model, *recent]):
            if path:
                self._add(path)
        self.model.setCurrentIndex(max(0, self.model.findData(self._choice.model)))
        self.style_.setCurrentIndex([s for _w, s in STYLES].index(self._choice.style))
        self.context.setValue(self._choice.n_ctx)
        self._set_lora(self._choice.lora)

    def _add(self, path: str) -> None:
        self.model.addItem(Path(path).name, path)
        self.model.setItemData(self.model.count() - 1, path, Qt.ItemDataRole.ToolTipRole)

    def _connect(self) -> None:
        self.model.currentIndexChanged.connect(lambda _i: self._look())

    # ------------------------------------------------------------------ facts

    def _look(self) -> None:
        path = str(self.model.currentData())
        self._show_trouble(WAITING)
        self.use.setEnabled(False)

        def read() -> GgufFacts:
            return describe_gguf(Path(path) if path else bundled_model())

        self._background.submit(read, lambda facts: self._take(path, facts), lambda text: self._fail(path, text))

    def _take(self, path: str, facts: GgufFacts) -> None:
        if path != str(self.model.currentData()):
            return
        self._show_trouble("")
        self.use.setEnabled(True)
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

    def _fail(self, path: str, text: str) -> None:
        if path == str(self.model.currentData()):
            self._show_trouble(text)

    def _show_trouble(self, text: str) -> None:
        self.trouble.setText(text)
        self.trouble.setProperty("tone", "" if text == WAITING else "bad")
        self.trouble.style().polish(self.trouble)
        self.trouble.setVisible(bool(text))
        self._facts_box.setVisible(not text)

    # ------------------------------------------------------------------ deeds

    def _browse(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose a model", "", GGUF)
        if name:
            self.choose_file(name)

    def choose_file(self, path: str) -> None:
        """As if the person had chosen this file."""
        if self.model.findData(path) < 0:
            self._add(path)
        self.model.setCurrentIndex(self.model.findData(path))

    def _browse_lora(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose an adapter", "", GGUF)
        if name:
            self._set_lora(name)

    def _set_lora(self, path: str) -> None:
        self._choice = replace(self._choice, lora=path)
        self.lora.setText(path or "none")
        self.drop_lora.setVisible(bool(path))

    def _use(self) -> None:
        choice = SolverChoice(
            str(self.model.currentData()), self._choice.lora, self.style_.currentData(), self.context.value()
        )
        self.accept()
        self.chosen.emit(choice, self.both.isChecked())


ONE, ALL = "one", "all"
DEFAULT_NAME = "My suite"


class SuiteDialog(PageDialog):
    """Emits the suite's name, the candidates and whether refused ones are taken, marked as invalid."""

    saveAsked = Signal(str, object, bool)

    def __init__(
        self, draft: Draft, badges: Mapping[str, Badges], suites: Sequence[tuple[str, Placement]],
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__("Save to a suite", parent)
        self._draft, self._badges, self._suites = draft, badges, dict(suites)
        self._build()
        self._connect()
        self._render()

    def _build(self) -> None:
        self.body.addWidget(make_label("Save to a suite", "title"))
        self.body.addWidget(
            make_label(
                "A suite is a folder of problems with their hints and placebos, for evaluations.", "muted",
                wrap=True,
            )
        )  # fmt: skip
        self.body.addWidget(make_label("Suite", "small"))
        self.name = QComboBox()
        self.name.setEditable(True)
        self.name.setAccessibleName("Name of the suite")
        self.name.addItems(list(self._suites) or [DEFAULT_NAME])
        self.body.addWidget(self.name)
        self.about = make_label("", "small", wrap=True)
        self.body.addWidget(self.about)
        self.which = Segmented(
            "Which candidates", [Segment(ONE, "The one in hand"), Segment(ALL, f"All {len(self._draft.hints)}")]
        )
        alone = self._draft.chosen_hint is None
        self.which.render_value(ALL if alone else ONE)
        self.which.buttons[ONE].setEnabled(not alone)
        self.body.addWidget(self.which)
        self.gates = make_label("", wrap=True)
        self.allow = QCheckBox("Save refused ones too, marked as invalid")
        self.allow.setToolTip("They are kept in the suite, and no evaluation counts them as an attack")
        self.body.addWidget(self.gates)
        self.body.addWidget(self.allow)
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.save = make_button("Save", "save", kind="primary", clicked=self._save)
        self.buttons.addStretch(1)
        self.buttons.addWidget(self.cancel)
        self.buttons.addWidget(self.save)
        self.save.setDefault(True)

    def _connect(self) -> None:
        self.name.editTextChanged.connect(lambda _t: self._render())
        self.which.chosen.connect(lambda _v: self._render())
        self.allow.toggled.connect(lambda _on: self._render())

    def candidates(self) -> tuple[DraftHint, ...]:
        """What would be saved now."""
        chosen = self._draft.chosen_hint
        pool = self._draft.hints if self.which.value == ALL or chosen is None else (chosen,)
        return tuple(c for c in pool if c.text.strip() and (self.allow.isChecked() or self._passes(c)))

    def _passes(self, candidate: DraftHint) -> bool:
        badges = self._badges.get(candidate.id)
        return badges is not None and passed(badges)

    def _render(self) -> None:
        chosen = self._draft.chosen_hint
        pool = self._draft.hints if self.which.value == ALL or chosen is None else (chosen,)
        refused = [c for c in pool if not self._passes(c)]
        self.allow.setVisible(bool(refused))
        self.gates.setText(self._say_gates(pool, refused))
        set_tone(self.gates, "warn" if refused else "good")
        trouble = self._trouble()
        self.about.setText(trouble or self._say_suite())
        set_tone(self.about, "bad" if trouble else "")
        n = len(self.candidates())
        self.save.setEnabled(bool(n) and not trouble)
        self.save.setText(f"Save {n}" if len(pool) > 1 else "Save")

    def _say_gates(self, pool: Sequence[DraftHint], refused: Sequence[DraftHint]) -> str:
        if len(pool) == 1:
            if not refused:
                return "It passes all gates."
            reasons = [b.reason for b in self._badges.get(pool[0].id, ()) if not b.passed]
            return "The gates refuse it. " + " ".join(reasons)
        if not refused:
            return f"All {len(pool)} pass the gates."
        return f"{len(pool) - len(refused)} of {len(pool)} pass the gates; {len(refused)} do not."

    def _trouble(self) -> str:
        try:
            name = suite_name(self.name.currentText())
        except UserError as error:
            return str(error)
        placement = self._suites.get(name)
        if placement is not None and placement is not self._draft.placement:
            return (
                f"In this suite hints are placed “{PLACEMENT_WORDS[placement][0]}”, here "
                f"“{PLACEMENT_WORDS[self._draft.placement][0]}”. Choose another suite."
            )
        return ""

    def _say_suite(self) -> str:
        known = self.name.currentText().strip() in self._suites
        return "Added to the suite that is there." if known else "A new suite."

    def _save(self) -> None:
        self.saveAsked.emit(self.name.currentText().strip(), self.candidates(), self.allow.isChecked())
        self.accept()


PROBLEM_FILES = "Problems (*.jsonl *.json *.csv *.tsv *.txt);;All files (*)"
NAMED = 3


class Sheets(DialogKeeper):
    """Reading and writing files happens in the background; what it gave is told by signals."""

    toast = Signal(str)
    problem = Signal(str, str)
    modelChosen = Signal(object, str, bool)
    """A `SolverChoice`, the role it is for, and whether it is for both."""

    def __init__(self, desk: CraftController, background: Background, page: QWidget) -> None:
        super().__init__(page)
        self._desk, self._background, self._page = desk, background, page
        self._recent: list[str] = []

    # ------------------------------------------------------------------ problems

    def show_library(self) -> LibraryDialog:
        """The library; it fills when it was made."""
        sheet = LibraryDialog(family_titles(), self._page)
        sheet.taken.connect(self._take_problem)
        sheet.importAsked.connect(self.choose_problem_file)
        self.show_sheet(sheet)
        self._background.submit(library, sheet.render_problems)
        return sheet

    def choose_problem_file(self) -> None:
        """Ask for a file of problems."""
        name, _ = QFileDialog.getOpenFileName(self._page, "Import problems", "", PROBLEM_FILES)
        if name:
            self.import_file(Path(name))

    def import_file(self, path: Path) -> None:
        """Read a file of problems and show what it gave."""
        self._background.submit(
            lambda: load_problem_file(path), lambda loaded: self._take_file(path, loaded),
            lambda text: self.problem.emit("The file cannot be imported", text),
        )  # fmt: skip

    def _take_file(self, path: Path, loaded: LoadedProblems) -> None:
        sheet = self.open_sheet if isinstance(self.open_sheet, LibraryDialog) else self.show_library()
        sheet.render_import(path, loaded)

    def _take_problem(self, problem: DraftProblem) -> None:
        self._desk.edit_problem(lambda _old: problem, "take a problem")

    # ------------------------------------------------------------------ drafts

    def show_drafts(self) -> None:
        """Recent drafts."""
        sheet = DraftsDialog(self._page)
        sheet.openAsked.connect(lambda id_: self._try("The draft was not opened", lambda: self._desk.open_saved(id_)))
        sheet.renameAsked.connect(
            lambda id_, title: self._change(sheet, "It was not renamed", lambda: self._desk.rename(id_, title))
        )
        sheet.deleteAsked.connect(lambda id_: self._change(sheet, "It was not deleted", lambda: self._desk.delete(id_)))
        self.show_sheet(sheet)
        self._change(sheet, "The drafts cannot be listed", lambda: None)

    def _change(self, sheet: DraftsDialog, title: str, does: Callable[[], None]) -> None:
        def change() -> None:
            does()
            sheet.render_drafts(self._desk.drafts(), self._desk.session.draft.id)

        self._try(title, change)

    def _try(self, title: str, does: Callable[[], None]) -> None:
        try:
            does()
        except UserError as error:
            self.problem.emit(title, str(error))

    # ------------------------------------------------------------------ suites

    def show_suite(self) -> None:
        """Where to save which candidates; the suites there are, are read first."""
        draft = self._desk.draft
        if draft.hints:
            self._background.submit(list_suites, lambda found: self._ask_suite(draft, found))

    def _ask_suite(self, draft: Draft, found: tuple) -> None:  # type: ignore[type-arg]
        sheet = SuiteDialog(draft, self._desk.badges, [(m.name, m.placement) for m in found], self._page)
        sheet.saveAsked.connect(lambda name, candidates, allow: self._save(draft, name, candidates, allow))
        self.show_sheet(sheet)

    def _save(self, draft: Draft, name: str, candidates: tuple[DraftHint, ...], allow: bool) -> None:
        self._background.submit(
            lambda: save_all(draft, candidates, name, allow), self._take_saved,
            lambda text: self.problem.emit("Nothing was saved", text),
        )  # fmt: skip

    def _take_saved(self, told: tuple[str, str]) -> None:
        said, trouble = told
        if trouble:
            self.problem.emit("Not all was saved", f"{said} {trouble}")
        else:
            self.toast.emit(said)

    # ------------------------------------------------------------------ models

    def show_model(self, role: str) -> None:
        """The choice of a model for the Solver or the Adversary."""
        draft = self._desk.draft
        choice = draft.solver if role == "Solver" else draft.adversary
        known = [draft.solver.model, draft.adversary.model, *self._recent]
        sheet = ModelDialog(role, choice, known, self._background, self._page)
        sheet.chosen.connect(lambda found, both: self.modelChosen.emit(found, role, both))
        self.show_sheet(sheet)

    def remember(self, choice: SolverChoice) -> None:
        """Offer a model again."""
        if choice.model and choice.model not in self._recent:
            self._recent.insert(0, choice.model)

    def take_model(self, choice: SolverChoice, role: str, both: bool) -> None:
        """A model was loaded: it is the choice now."""
        self.remember(choice)

        def change(draft: Draft) -> Draft:
            if both:
                return replace(draft, solver=choice, adversary=choice)
            return replace(draft, solver=choice) if role == "Solver" else replace(draft, adversary=choice)

        self._desk.edit(change, "choose a model")
        self.toast.emit(f"{model_name(choice)} is loaded{' for both parts' if both else f' as the {role}'}.")


def save_all(draft: Draft, candidates: tuple[DraftHint, ...], name: str, allow: bool) -> tuple[str, str]:
    """Save each; what was done, and what kept some of them from it. Raises the `UserError` if none could be saved."""
    saved, troubles = 0, []
    folder: Path | None = None
    for candidate in candidates:
        try:
            folder = save_to_suite(draft, candidate, name, allow_invalid=allow).folder
            saved += 1
        except UserError as error:
            troubles.append(str(error))
    if not saved:
        raise UserError(" ".join(troubles[:NAMED]))
    word = "candidate is" if saved == 1 else "candidates are"
    where = f" ({folder})" if folder is not None else ""
    return f"{saved} {word} in the suite “{name}”{where}.", " ".join(dict.fromkeys(troubles[:NAMED]))
