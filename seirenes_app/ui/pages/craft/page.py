"""Craft: a problem, hints for it, what they do to a solver, and why.

It wires the parts to the desk, which knows what is true, and to the work, which takes time; it decides neither.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget

from seirenes_app.inference.client import StateKind, WorkerState
from seirenes_app.services.hint_authoring.commands import as_command
from seirenes_app.services.hint_authoring.draft import Draft
from seirenes_app.services.hint_authoring.models import model_path
from seirenes_app.store.crafts import CraftStore
from seirenes_app.ui.actions import bind_actions
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.controllers.inference_service import InferenceService
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.craft.actions import ACTIONS
from seirenes_app.ui.pages.craft.attribution_views import WhyCard, WhyTab
from seirenes_app.ui.pages.craft.cards import HintTypeCard, ProblemCard, PromptCard, SolveCard
from seirenes_app.ui.pages.craft.controller import CraftController
from seirenes_app.ui.pages.craft.dialogs import Sheets
from seirenes_app.ui.pages.craft.hint_list import HintList
from seirenes_app.ui.pages.craft.layout import CraftHeader, CraftLayout, DropVeil
from seirenes_app.ui.pages.craft.status_bar import TaskBar, WorkerBanner
from seirenes_app.ui.pages.craft.tasks import CraftWork
from seirenes_app.ui.theme import SPACE_3, Theme
from training.core.prompts import Placement
from training.core.types import AnswerKind, HintType
from training.errors import UserError

MODEL_SUFFIX = ".gguf"
PROBLEM_SUFFIXES = frozenset({".jsonl", ".json", ".csv", ".tsv", ".txt"})


class CraftPage(Page):
    """See the module. Ends with `close_down`, which saves."""

    key = "craft"

    toast = Signal(str)
    problem = Signal(str, str)
    """Title and text of what did not work."""

    def __init__(
        self, store: CraftStore, background: Background, solver: InferenceService, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._solver = solver
        self._follow = False
        self.desk = CraftController(store, background, self)
        self.work = CraftWork(self.desk, solver, background, self)
        self.sheets = Sheets(self.desk, background, self)
        self.setAcceptDrops(True)
        self._build(background)
        self.deeds = bind_actions(self, ACTIONS, self._what_deeds_do())
        self._connect()
        self.desk.start()
        self.render()

    # ------------------------------------------------------------------ build

    def _build(self, background: Background) -> None:
        self.head = CraftHeader()
        self.banner = WorkerBanner()
        self.problem_card, self.distraction = ProblemCard(), HintTypeCard()
        self.candidates = HintList()
        self.prompt, self.solve, self.why = PromptCard(), SolveCard(), WhyCard(background)
        self.bench = CraftLayout(
            (self.problem_card, self.distraction), self.candidates, (self.prompt, self.solve, self.why)
        )
        self.strip = TaskBar()
        top = QVBoxLayout()
        top.setContentsMargins(26, 20, 16, 0)
        top.setSpacing(SPACE_3)
        top.addWidget(self.head)
        top.addWidget(self.banner)
        top.addWidget(self.bench, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(top, 1)
        column.addWidget(self.strip)
        self.veil = DropVeil(self)

    def _what_deeds_do(self) -> dict:  # type: ignore[type-arg]
        panel, work, sheets = self.candidates, self.work, self.sheets
        return {
            "undo": self.desk.undo, "redo": self.desk.redo, "library": sheets.show_library,
            "import": sheets.choose_problem_file, "write": self._write,
            "templates": lambda: work.fill_templates(panel.count.value()),
            "generate": lambda: self._generate(panel.count.value()), "solve": work.solve, "solve_all": work.solve_all,
            "worst": self._open_worst, "next": lambda: panel.step(self.desk.chosen, 1),
            "previous": lambda: panel.step(self.desk.chosen, -1), "ablate": self._ablate, "heat": self._heat,
            "suite": sheets.show_suite, "copy": self._copy, "new": self._new, "drafts": sheets.show_drafts,
            "solver": lambda: sheets.show_model("Solver"), "adversary": lambda: sheets.show_model("Adversary"),
            "cancel": work.cancel,
        }  # fmt: skip

    def _connect(self) -> None:
        self._connect_making()
        deeds = self.deeds
        for asked, deed in (
            (self.head.undoAsked, "undo"), (self.head.redoAsked, "redo"), (self.head.newAsked, "new"),
            (self.head.draftsAsked, "drafts"), (self.head.copyAsked, "copy"), (self.head.suiteAsked, "suite"),
            (self.problem_card.libraryAsked, "library"), (self.problem_card.importAsked, "import"),
            (self.candidates.writeAsked, "write"), (self.candidates.templatesAsked, "templates"),
            (self.candidates.modelAsked, "generate"), (self.candidates.solveAllAsked, "solve_all"),
            (self.candidates.worstAsked, "worst"), (self.candidates.adversaryAsked, "adversary"),
            (self.solve.solveAsked, "solve"), (self.solve.solverAsked, "solver"), (self.strip.cancelAsked, "cancel"),
            (self.why.sentences.tryAsked, "ablate"), (self.why.heat.scoreAsked, "heat"),
        ):  # fmt: skip
            asked.connect(lambda *_, d=deed: deeds[d].trigger())
        self.desk.changed.connect(self.render)
        self.desk.opened.connect(self._take_opened)
        self.desk.judged.connect(self.render)
        self.desk.resulted.connect(self._take_result)
        self.desk.kept.connect(self._take_kept)
        self.work.busyChanged.connect(self._render_busy)
        self.work.streamed.connect(self._take_stream)
        # Queued by a timer: what was typed or clicked meanwhile goes first.
        self.candidates.moreAsked.connect(lambda: QTimer.singleShot(0, self, self.render))
        self.work.explained.connect(self._render_why)
        self.work.modelLoaded.connect(self.sheets.take_model)
        self.sheets.modelChosen.connect(self.work.try_model)
        for part in (self.work, self.sheets):
            part.toast.connect(self.toast)
            part.problem.connect(self.problem)
        self._solver.changed.connect(self._take_state)
        self._solver.crashed.connect(lambda words: self.banner.render_crash(words, down=self._solver.state.down))
        self._solver.recovered.connect(self.banner.render_back)
        self.banner.restartAsked.connect(self._solver.restart)

    def _connect_making(self) -> None:
        desk, card = self.desk, self.problem_card
        self.head.titleEdited.connect(
            lambda text: desk.edit(lambda d: replace(d, title=text), "rename the draft", "title")
        )
        card.questionEdited.connect(
            lambda text: desk.edit_problem(lambda p: replace(p, question=text), "type the question", "question")
        )
        card.answerEdited.connect(
            lambda text: desk.edit_problem(lambda p: replace(p, answer=text), "type the answer", "answer")
        )
        card.kindChosen.connect(
            lambda kind: desk.edit_problem(lambda p: replace(p, kind=AnswerKind(kind)), "choose the kind of answer")
        )
        self.distraction.typeChosen.connect(
            lambda t: desk.edit(lambda d: replace(d, type=HintType(t)), "choose a type")
        )
        self.distraction.placementChosen.connect(
            lambda p: desk.edit(lambda d: replace(d, placement=Placement(p)), "choose a placement")
        )
        self.candidates.chosen.connect(desk.choose)
        self.candidates.edited.connect(desk.edit_text)
        self.candidates.removeAsked.connect(desk.remove)
        self.solve.planChanged.connect(
            lambda plan: desk.edit(lambda d: replace(d, plan=plan), "change the plan", "plan")
        )

    # ------------------------------------------------------------------ verbs of a page

    def activate(self) -> None:
        """The keyboard starts in the question of an empty draft, else on the candidate in hand: the keys of the page
        work only while it is somewhere in it.
        """
        card = self.candidates.cards.get(self.desk.chosen)
        if card is None or not self.desk.draft.problem.question:
            self.problem_card.question.setFocus()
        elif not self.isAncestorOf(QApplication.focusWidget() or self):
            card.setFocus()

    def themed(self, theme: Theme) -> None:
        """Painted and marked parts anew."""
        self.why.themed()
        self.prompt.render_draft(self.desk.draft, self.desk.badges.get(self.desk.chosen))

    def open_draft(self, draft: Draft) -> None:
        """Go on with a draft from elsewhere, such as a rollout of a run."""
        try:
            self.desk.open_draft(draft)
        except UserError as error:
            self.problem.emit("The draft was not opened", str(error))

    def unsaved(self) -> str:
        """Save the draft; what kept it from that. The window may stay open after it, so saving goes on."""
        return self.desk.save_now()

    def close_down(self) -> None:
        """Save, cancel what is going on, and end the worker."""
        self.desk.close()
        self.work.runner.close()
        self._solver.close()

    # ------------------------------------------------------------------ render

    def render(self) -> None:  # type: ignore[override]  # QWidget.render paints into a device; a page's renders state
        """Show what the desk holds."""
        desk, draft = self.desk, self.desk.draft
        typed = bool(draft.problem.question.strip() or draft.problem.answer.strip())
        self.head.render_draft(draft)
        self.head.render_history(desk.session.undo_label, desk.session.redo_label)
        self.problem_card.render_problem(draft.problem)
        self.problem_card.render_wrong(desk.wrong if typed else "")
        self.distraction.render_draft(draft)
        self.candidates.render_draft(draft, desk.badges, desk.results())
        self.prompt.render_draft(draft, desk.badges.get(desk.chosen))
        self.solve.render_draft(draft)
        self._render_result()
        self._render_busy()
        self._render_models()

    def _render_result(self) -> None:
        candidate = self.desk.candidate
        result = self.desk.result_of(candidate)
        self.solve.render_result(result, candidate.suggested if candidate is not None else None)
        self.why.traces.render_result(result)
        self._render_why()

    def _render_why(self) -> None:
        self.why.sentences.render_ablation(self.work.ablation())
        self.why.heat.render_map(self.work.heat_map())

    def _render_busy(self) -> None:
        busy, usable, work = self.work.runner.busy, self.desk.usable, self.work
        candidate = self.desk.candidate
        written = usable and candidate is not None and bool(candidate.text.strip())
        self.candidates.render_busy(usable=usable, busy=busy)
        self.solve.render_busy(usable=work.can_solve(), busy=busy)
        self.why.sentences.render_busy(usable=written, busy=busy)
        self.why.heat.render_busy(usable=written, busy=busy, has_solution=bool(work.solution()))
        self.strip.render_task(*work.line(), cancelling=work.runner.cancelling)
        self._render_deeds(busy=busy, usable=usable, written=written)

    def _render_deeds(self, *, busy: bool, usable: bool, written: bool) -> None:
        n = len(self.desk.session.draft.hints)
        for name, on in {
            "undo": self.desk.session.can_undo, "redo": self.desk.session.can_redo, "templates": usable,
            "generate": usable and not busy, "solve": self.work.can_solve() and not busy,
            "solve_all": usable and not busy and bool(n), "worst": bool(n), "next": n > 1, "previous": n > 1,
            "ablate": written and not busy, "heat": written and not busy and bool(self.work.solution()),
            "suite": bool(n), "copy": bool(self.desk.draft.problem.question.strip()), "cancel": busy,
        }.items():  # fmt: skip
            self.deeds[name].setEnabled(on)
        for name, word, label in (
            ("undo", "Undo", self.desk.session.undo_label), ("redo", "Redo", self.desk.session.redo_label)
        ):  # fmt: skip
            self.deeds[name].setText(f"{word}: {label}" if label else word)

    def _render_models(self) -> None:
        draft, state = self.desk.draft, self._solver.state
        for chip, choice in ((self.solve.solver, draft.solver), (self.candidates.adversary, draft.adversary)):
            try:
                path: Path | None = model_path(choice)
            except UserError:
                path = None
            chip.render_choice(choice, path, state)

    # ------------------------------------------------------------------ what comes in

    def _take_kept(self, kept: bool, trouble: str) -> None:
        self.head.render_kept(kept, trouble)
        if trouble:
            self.toast.emit(trouble)

    def _take_stream(self, texts: dict[int, str] | None) -> None:
        self.candidates.render_stream(texts)
        if self._follow and texts:
            # Once a generation: whoever scrolls away meanwhile wants to be there.
            self._follow = False
            self.bench.show_candidates()

    def _take_opened(self) -> None:
        self.bench.left.verticalScrollBar().setValue(0)
        self.bench.right.verticalScrollBar().setValue(0)

    def _take_result(self, candidate_id: str) -> None:
        found = self.desk.session.draft.hint(candidate_id)
        self.candidates.render_result(candidate_id, self.desk.result_of(found) if found is not None else None)
        if candidate_id == self.desk.chosen:
            self._render_result()

    def _take_state(self, state: WorkerState) -> None:
        self._render_models()
        if state.kind is StateKind.LOADING or self.work.runner.busy:
            self.strip.render_task(*self.work.line(), cancelling=self.work.runner.cancelling)

    # ------------------------------------------------------------------ deeds

    def _write(self) -> None:
        id_ = self.desk.write()
        card = self.candidates.cards[id_]
        self.bench.reveal(card)
        card.start_editing()

    def _generate(self, n: int) -> None:
        self._follow = True
        self.work.generate(n)

    def _open_worst(self) -> None:
        worst = self.work.worst()
        if not worst:
            self.toast.emit("No candidate is solved yet.")
            return
        self.desk.choose(worst)
        self.why.show_tab(WhyTab.TRACES)
        self.bench.reveal(self.candidates.cards[worst])
        self.candidates.cards[worst].setFocus()

    def _ablate(self) -> None:
        self.why.show_tab(WhyTab.SENTENCES)
        self.work.ablate()

    def _heat(self) -> None:
        self.why.show_tab(WhyTab.TOKENS)
        self.work.heat()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(as_command(self.desk.draft, self.desk.candidate))
        self.toast.emit("The command is on the clipboard.")

    def _new(self) -> None:
        try:
            self.desk.open_new()
        except UserError as error:
            self.problem.emit("The draft was not saved", str(error))
            return
        self.problem_card.question.setFocus()

    # ------------------------------------------------------------------ files dropped on the page

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Say what dropping would do; other files are not taken."""
        path = _dropped(event.mimeData().urls())
        if path is None:
            return
        model = path.suffix.lower() == MODEL_SUFFIX
        self.veil.show_words(f"Drop to {'solve with' if model else 'import problems from'} {path.name}")
        event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Nothing was dropped."""
        self.veil.hide()

    def dropEvent(self, event: QDropEvent) -> None:
        """A model or a file of problems."""
        self.veil.hide()
        path = _dropped(event.mimeData().urls())
        if path is not None:
            event.acceptProposedAction()
            self.take_file(path)

    def take_file(self, path: Path) -> None:
        """As if it had been dropped."""
        if path.suffix.lower() == MODEL_SUFFIX:
            self.work.drop_model(path)
        else:
            self.sheets.import_file(path)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The veil covers the whole page."""
        super().resizeEvent(event)
        self.veil.setGeometry(self.rect())


def _dropped(urls: list) -> Path | None:  # type: ignore[type-arg]
    """The one file that can be used, None for several or for others."""
    if len(urls) != 1 or not urls[0].isLocalFile():
        return None
    path = Path(urls[0].toLocalFile())
    return path if path.suffix.lower() in PROBLEM_SUFFIXES | {MODEL_SUFFIX} else None
