"""The dialogs of the Craft page: opened, filled, and their answers handed to the desk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from seirenes_app.lab.crafting.documents import Candidate, Draft, DraftProblem, SolverChoice
from seirenes_app.lab.crafting.problems import LoadedProblems, family_titles, library, load_problem_file
from seirenes_app.lab.crafting.suites import list_suites, save_to_suite
from seirenes_app.ui.pages.craft_parts.desk import Desk
from seirenes_app.ui.pages.craft_parts.drafts_sheet import DraftsSheet
from seirenes_app.ui.pages.craft_parts.library_sheet import LibrarySheet
from seirenes_app.ui.pages.craft_parts.model_chip import model_name
from seirenes_app.ui.pages.craft_parts.model_sheet import ModelSheet
from seirenes_app.ui.pages.craft_parts.suite_sheet import SuiteSheet
from seirenes_app.ui.processes.background import Background
from seirenes_app.ui.widgets.dialogs import SheetKeeper
from training.errors import UserError

PROBLEM_FILES = "Problems (*.jsonl *.json *.csv *.tsv *.txt);;All files (*)"
NAMED = 3


class Sheets(SheetKeeper):
    """Reading and writing files happens in the background; what it gave is told by signals."""

    toast = Signal(str)
    problem = Signal(str, str)
    modelChosen = Signal(object, str, bool)
    """A `SolverChoice`, the role it is for, and whether it is for both."""

    def __init__(self, desk: Desk, background: Background, page: QWidget) -> None:
        super().__init__(page)
        self._desk, self._background, self._page = desk, background, page
        self._recent: list[str] = []

    # ------------------------------------------------------------------ problems

    def show_library(self) -> LibrarySheet:
        """The library; it fills when it was made."""
        sheet = LibrarySheet(family_titles(), self._page)
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
        sheet = self.open_sheet if isinstance(self.open_sheet, LibrarySheet) else self.show_library()
        sheet.render_import(path, loaded)

    def _take_problem(self, problem: DraftProblem) -> None:
        self._desk.edit_problem(lambda _old: problem, "take a problem")

    # ------------------------------------------------------------------ drafts

    def show_drafts(self) -> None:
        """Recent drafts."""
        sheet = DraftsSheet(self._page)
        sheet.openAsked.connect(lambda id_: self._try("The draft was not opened", lambda: self._desk.open_saved(id_)))
        sheet.renameAsked.connect(
            lambda id_, title: self._change(sheet, "It was not renamed", lambda: self._desk.rename(id_, title))
        )
        sheet.deleteAsked.connect(lambda id_: self._change(sheet, "It was not deleted", lambda: self._desk.delete(id_)))
        self.show_sheet(sheet)
        self._change(sheet, "The drafts cannot be listed", lambda: None)

    def _change(self, sheet: DraftsSheet, title: str, does: Callable[[], None]) -> None:
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
        if draft.candidates:
            self._background.submit(list_suites, lambda found: self._ask_suite(draft, found))

    def _ask_suite(self, draft: Draft, found: tuple) -> None:  # type: ignore[type-arg]
        sheet = SuiteSheet(draft, self._desk.badges, [(m.name, m.placement) for m in found], self._page)
        sheet.saveAsked.connect(lambda name, candidates, allow: self._save(draft, name, candidates, allow))
        self.show_sheet(sheet)

    def _save(self, draft: Draft, name: str, candidates: tuple[Candidate, ...], allow: bool) -> None:
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
        sheet = ModelSheet(role, choice, known, self._background, self._page)
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


def save_all(draft: Draft, candidates: tuple[Candidate, ...], name: str, allow: bool) -> tuple[str, str]:
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
