"""The dialogs of the Craft page: drafts, library of problems, model, suite. `CraftDialogs` opens them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QFileDialog, QInputDialog, QPlainTextEdit, QSpinBox, QWidget

from seirenes_app.inference.models import bundled_model
from seirenes_app.services.evaluations import STARTER
from seirenes_app.services.formatting import count_of, time_ago
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, DraftProblem, SolverChoice
from seirenes_app.services.hint_authoring.gate_report import Badges, passed
from seirenes_app.services.hint_authoring.problems import (
    LoadedProblems,
    family_titles,
    gym_problems,
    gym_titles,
    library,
    load_problem_file,
)
from seirenes_app.services.hint_authoring.suites import save_to_suite, suites_folder
from seirenes_app.services.models.facts import ModelFormat
from seirenes_app.services.models.inventory import ModelEntry
from seirenes_app.store.workspace import SavedDraft
from seirenes_app.ui.actions import ActionSpec
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.pages.craft.captions import ANSWER_KINDS, PLACEMENTS
from seirenes_app.ui.pages.craft.controller import CraftController
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_4, mono_font
from seirenes_app.ui.widgets.boxes import fill, ignore_wheel, make_grid, row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, DialogHolder, PageDialog
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label, set_tone
from seirenes_app.ui.widgets.model_picker import ModelPicker
from seirenes_app.ui.widgets.picker_dialog import PickerDialog
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.prompts import Placement
from training.endpoints import names_endpoint
from training.errors import UserError
from training.evaluation.suites.manifest import SuiteManifest
from training.evaluation.suites.repository import SuiteRepository, suite_name

MAX_TITLE = 120
NO_DRAFTS = "No draft is saved yet. What you write on this page is saved by itself."
ALL_FAMILIES, IMPORTED = "all", "imported"
SHOWN_REJECTED = 200
FAMILY_WIDTH = 240


class LibraryDialog(PickerDialog):
    """The problems of the library and of an imported file."""

    importRequested = Signal()
    familyRequested = Signal(str)  # Problems of this family are to be made

    def __init__(
        self, families: Mapping[str, str], on_demand: Mapping[str, str], parent: QWidget | None = None
    ) -> None:
        """`on_demand` are families whose problems are made when one is chosen."""
        super().__init__(
            "Library of problems", "Take this problem", lambda p: " ".join(p.question.split()),
            preview=lambda p: f"{p.question}\nAnswer: {p.answer}  ·  a {ANSWER_KINDS[p.kind][0]}",
            search=lambda p: f"{p.question} {p.answer} {p.family} {p.id}",
            placeholder="Search questions and answers…", parent=parent,
        )  # fmt: skip
        self._problems: tuple[DraftProblem, ...] = ()
        self._imported: tuple[DraftProblem, ...] = ()
        self.family = QComboBox()
        self.family.setAccessibleName("Family of problems")
        self.family.addItem("All families", ALL_FAMILIES)
        for name, title in families.items():
            self.family.addItem(title[:1].upper() + title[1:], name)
        if on_demand:
            self.family.insertSeparator(self.family.count())
        for name, title in on_demand.items():
            self.family.addItem(f"{title}  ·  {name}", name)
        self._on_demand, self._made = on_demand, dict[str, tuple[DraftProblem, ...]]()
        self.family.currentIndexChanged.connect(self._render_family)
        # The longest title would leave no room to search; the list that opens shows it whole.
        self.family.view().setMinimumWidth(self.family.sizeHint().width())
        self.family.setMaximumWidth(FAMILY_WIDTH)
        self.filters.addWidget(self.family)
        self.rejected_rows = QPlainTextEdit(readOnly=True, tabChangesFocus=True)
        self.rejected_rows.setFont(mono_font(12))
        self.rejected_rows.setFixedHeight(96)
        self.rejected_rows.setAccessibleName("Rejected rows")
        self.rejected_rows.hide()
        self.below.addWidget(self.rejected_rows)
        self.buttons.insertWidget(0, make_button(
            "Import a file…", "drop", clicked=self.importRequested.emit,
            tip="JSON lines with question and answer, GSM8K, SVAMP, or CSV",
        ))  # fmt: skip

    def render_problems(self, problems: Sequence[DraftProblem]) -> None:
        self._problems = tuple(problems)
        self._render_family()

    def render_import(self, path: Path, loaded: LoadedProblems) -> None:
        self._imported = loaded.problems
        if self.family.findData(IMPORTED) < 0:
            self.family.addItem("", IMPORTED)
        at = self.family.findData(IMPORTED)
        self.family.setItemText(at, f"From {path.name}")
        bad = len(loaded.rejected)
        left_out = f"; {bad} {'row was' if bad == 1 else 'rows were'} left out:" if bad else "; no row was left out."
        self.say(f"{count_of(len(loaded.problems), 'problem')} read from {path.name}{left_out}")
        lines = [f"line {r.line}: {r.reason}" for r in loaded.rejected[:SHOWN_REJECTED]]
        if bad > SHOWN_REJECTED:
            lines.append(f"… and {bad - SHOWN_REJECTED} more")
        self.rejected_rows.setPlainText("\n".join(lines))
        self.rejected_rows.setVisible(bool(bad))
        self.search.clear()
        self.family.setCurrentIndex(at)
        self._render_family()

    def render_made(self, found: tuple[str, tuple[DraftProblem, ...]]) -> None:
        """A family that was asked for, and its problems."""
        family, problems = found
        self._made[family] = problems
        if self.family.currentData() == family:
            self._render_family()

    def render_failed(self, text: str) -> None:
        """Why the family has none."""
        if self.family.currentData() in self._on_demand:
            self.say(text)

    def _render_family(self) -> None:
        family = self.family.currentData()
        if family in self._on_demand:
            waits = family not in self._made
            self.say("Making problems of this family…" if waits else "")
            self.render_items(self._made.get(family, ()))
            if waits:
                self.familyRequested.emit(family)
            return
        if self._on_demand and family != IMPORTED:
            self.say("")
        pool = self._imported if family == IMPORTED else self._problems
        self.render_items([p for p in pool if family in (ALL_FAMILIES, IMPORTED, p.family)])


GGUF = "Models (*.gguf);;All files (*)"
MAX_CONTEXT = 131_072
FOLDERS_NOTE = "Craft takes GGUF files and endpoints. Export a folder as a GGUF on the Models page."
RUN_HERE = frozenset({ModelFormat.GGUF, ModelFormat.ENDPOINT})


class ModelDialog(ModelPicker):
    """Choice of a model file, its adapter and context. Emits it, and whether it is for both roles."""

    modelChosen = Signal(object, bool)

    def __init__(
        self, role: str, choice: SolverChoice, recent: Sequence[str], inventory: ModelInventory,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        task = "solves the problem" if role == "Solver" else "generates the hints"
        super().__init__(
            f"The model that {task}", "Use this model", inventory, formats=RUN_HERE,
            current=path_of(choice.model), recent=[path_of(name) for name in recent], about=FOLDERS_NOTE, parent=parent,
        )  # fmt: skip
        self._choice, self._adapter = choice, ""
        self.list.setMinimumHeight(150)
        self.context = QSpinBox(maximum=MAX_CONTEXT, singleStep=512, suffix=" tokens", value=choice.n_ctx)
        self.context.setSpecialValueText("The model's own, at most 4,096")
        ignore_wheel(self.context)
        self.adapter = ElidedLabel("muted")
        self.choose_adapter = make_button("Choose…", "folder", kind="quiet",
                                          tip="A LoRA adapter for this model, as GGUF",
                                          clicked=self._browse_adapter)  # fmt: skip
        self.no_adapter = make_icon_button("close", "No adapter", clicked=lambda: self._set_adapter(""))
        options = make_grid(gaps=(SPACE_4, SPACE_2), stretched=1)
        for r, (name, editor) in enumerate((("Context", self.context),)):
            options.addWidget(make_label(name), r, 0)
            options.addWidget(editor, r, 1)
            editor.setAccessibleName(name)
        options.addWidget(make_label("Adapter"), 1, 0)
        options.addLayout(row((self.adapter, 1), None, self.no_adapter, self.choose_adapter), 1, 1)
        self.both = QCheckBox("Use it for both roles, the Solver and the Adversary")
        self.below.addLayout(options)
        self.below.addWidget(self.both)
        self.chosen.connect(self._emit_choice)
        self._set_adapter(choice.lora)
        self.list.selectionModel().currentChanged.connect(lambda *_: self._render_options())
        self.model.modelReset.connect(self._render_options)
        self._render_options()

    def _browse_adapter(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose an adapter", "", GGUF)
        if name:
            self._set_adapter(name)

    def _set_adapter(self, path: str) -> None:
        self._adapter = path
        self.adapter.setText(path or "none")
        self.no_adapter.setVisible(bool(path))

    def _render_options(self) -> None:
        """The server of an endpoint has its own context and adapters."""
        here = self.current is None or self.current.endpoint is None
        for widget in (self.context, self.choose_adapter, self.no_adapter):
            widget.setEnabled(here)

    def _emit_choice(self, entry: ModelEntry) -> None:
        here = entry.endpoint is None
        choice = replace(self._choice, model=name_of(entry), lora=self._adapter if here else "",
                         n_ctx=self.context.value() if here else 0)  # fmt: skip
        self.modelChosen.emit(choice, self.both.isChecked())


def path_of(name: str) -> Path:
    """The file of a draft's model, "" being the bundled one."""
    if names_endpoint(name):
        return Path(name)
    return Path(name).expanduser() if name else bundled_model()


def name_of(entry: ModelEntry) -> str:
    """What a draft names a model by."""
    if entry.endpoint is not None:
        return entry.id
    return "" if entry.path == bundled_model() or entry.id == STARTER else str(entry.path)


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
        self.name = QComboBox(editable=True)
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
        head = make_label(about, "muted", wrap=True), make_label("Suite", "small")
        fill(self.body, *head, self.name, self.about, self.which, self.gates, self.allow)
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


class CraftDialogs(DialogHolder):
    """Opens the page's dialogs, does their file work in the task pool, and hands their results to the controller."""

    downloadRequested = Signal(str)  # Hub id, "" for none

    def __init__(
        self, controller: CraftController, tasks: TaskRunner, inventory: ModelInventory, page: QWidget
    ) -> None:
        super().__init__(page)
        self._controller, self._tasks, self._inventory, self._page = controller, tasks, inventory, page

    def show_library(self) -> LibraryDialog:
        dialog = LibraryDialog(family_titles(), gym_titles(), self._page)
        dialog.familyRequested.connect(lambda family: self._make_problems(dialog, family))
        dialog.chosen.connect(lambda problem: self._controller.edit_fields("take a problem", problem=problem))
        dialog.importRequested.connect(self.choose_problem_file)
        self.show_dialog(dialog)
        self._tasks.run(library, dialog.render_problems)
        return dialog

    def _make_problems(self, dialog: LibraryDialog, family: str) -> None:
        # Bound methods: the dialog may be closed before the problems are there.
        self._tasks.run(lambda: (family, gym_problems(family)), dialog.render_made, dialog.render_failed, key="family")

    def choose_problem_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self._page, "Import problems", "", PROBLEM_FILES)
        if name:
            self.import_file(Path(name))

    def import_file(self, path: Path) -> None:

        def show(loaded: LoadedProblems) -> None:
            dialog = self.open_dialog if isinstance(self.open_dialog, LibraryDialog) else self.show_library()
            dialog.render_import(path, loaded)

        self._tasks.run(lambda: load_problem_file(path), show, self._fails("The file cannot be imported"))

    def show_drafts(self) -> None:
        controller = self._controller

        def say_draft(draft: SavedDraft) -> str:
            is_open = draft.id == controller.session.draft.id
            return f"{draft.title}  ·  {'open now' if is_open else time_ago(draft.saved_at, time.time())}"

        def act(title: str, change: Callable[[], None]) -> None:
            try:
                change()
                picker.render_items(controller.drafts())
            except UserError as error:
                controller.problem.emit(title, str(error))

        def ask_title(draft: SavedDraft) -> None:
            dialog = QInputDialog(picker)
            dialog.setWindowTitle("Rename the draft")
            dialog.setLabelText("Title")
            dialog.setTextValue(draft.title)
            dialog.textValueSelected.connect(lambda text: rename(draft.id, " ".join(text.split())[:MAX_TITLE]))
            dialog.open()

        def rename(draft_id: str, title: str) -> None:
            if title:
                act("The draft was not renamed", lambda: controller.rename(draft_id, title))

        def ask_delete(draft: SavedDraft) -> None:
            text = f"“{draft.title}” and its results are deleted. This cannot be undone."
            dialog = ConfirmDialog("Delete the draft?", text, "Delete", picker)
            dialog.accepted.connect(lambda: act("The draft was not deleted", lambda: controller.delete(draft.id)))
            dialog.open()

        picker = PickerDialog("Drafts", "Open", say_draft, empty=NO_DRAFTS, parent=self._page)
        picker.add_tool(ActionSpec("drafts.rename", "Rename…", "F2", "pencil", "Give it another title"), ask_title)
        picker.add_tool(
            ActionSpec("drafts.delete", "Delete…", "Del", "discard", "Delete it with its results", destructive=True),
            ask_delete,
        )
        picker.chosen.connect(lambda draft: act("The draft was not opened", lambda: controller.open_saved(draft.id)))
        self.show_dialog(picker)
        act("The drafts cannot be listed", lambda: None)

    def show_suite(self) -> None:
        draft = self._controller.draft

        def ask(suites: dict[Path, SuiteManifest]) -> None:
            placements = {m.name: m.placement for m in suites.values()}
            dialog = SuiteDialog(draft, self._controller.badges, placements, self._page)
            dialog.saveRequested.connect(save)
            self.show_dialog(dialog)

        def save(name: str, hints: tuple[DraftHint, ...], allow: bool) -> None:
            self._tasks.run(lambda: save_all(draft, hints, name, allow), report, self._fails("Nothing was saved"))

        def report(outcome: tuple[str, str]) -> None:
            text, errors = outcome
            if errors:
                self._controller.problem.emit("Not all was saved", f"{text} {errors}")
            else:
                self._controller.toast.emit(text)

        if draft.hints:
            self._tasks.run(SuiteRepository(suites_folder()).manifests, ask)

    def show_model(self, role: str) -> None:
        draft, controller = self._controller.draft, self._controller
        choice = draft.solver if role == "solver" else draft.adversary
        known = [draft.solver.model, draft.adversary.model, *controller.recent_models]
        dialog = ModelDialog(ROLES[role], choice, known, self._inventory, self._page)
        dialog.downloadRequested.connect(self.downloadRequested)
        dialog.modelChosen.connect(
            lambda found, both: controller.load_model(found, ROLES if both else {role: ROLES[role]})
        )
        self.show_dialog(dialog)

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
