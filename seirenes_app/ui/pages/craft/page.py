"""The Craft page: a problem, hints for it, what they do to a model, and which part of a hint does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from seirenes_app.inference.client import WorkerState
from seirenes_app.services.hint_authoring.draft import Draft, SolverChoice
from seirenes_app.services.hint_authoring.results import as_command
from seirenes_app.services.models.inventory import ModelEntry
from seirenes_app.store.workspace import CraftStore
from seirenes_app.ui.actions import bind_actions
from seirenes_app.ui.controllers.inference_service import InferenceService
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.craft.actions import ACTIONS
from seirenes_app.ui.pages.craft.attribution_views import AttributionCard, AttributionTab
from seirenes_app.ui.pages.craft.captions import TaskKind
from seirenes_app.ui.pages.craft.cards import HintTypeCard, ProblemCard, PromptCard, SolveCard
from seirenes_app.ui.pages.craft.controller import CraftController
from seirenes_app.ui.pages.craft.dialogs import ROLES, CraftDialogs, name_of
from seirenes_app.ui.pages.craft.hint_list import HintList
from seirenes_app.ui.pages.craft.judge_row import JudgeRow
from seirenes_app.ui.pages.craft.layout import CraftHeader, CraftPanes, TaskBar
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_3, Theme
from seirenes_app.ui.widgets.banner import Banner, BannerAction, BannerKind
from seirenes_app.ui.widgets.boxes import column
from seirenes_app.ui.widgets.buttons import follow_action
from seirenes_app.ui.widgets.cost_dialogs import ask_cost
from seirenes_app.ui.widgets.drop_overlay import DropOverlay
from seirenes_app.ui.widgets.prompt_editor import PromptRow
from training.core.prompts import Placement
from training.core.types import AnswerKind, HintType
from training.endpoints import CostEstimate, names_endpoint
from training.errors import UserError

MODEL_SUFFIX = ".gguf"
START_WORDS = {TaskKind.GENERATE: "Generate", TaskKind.SOLVE: "Solve", TaskKind.ABLATE: "Take it apart"}
PROBLEM_SUFFIXES = frozenset({".jsonl", ".json", ".csv", ".tsv", ".txt"})


class CraftPage(Page):
    """Builds the views, binds them to the controller, and shows the controller's state in them."""

    key = "craft"

    toast = Signal(str)
    problem = Signal(str, str)  # Title and text of an error
    downloadRequested = Signal(str)  # Hub id of a model, "" for none

    def __init__(
        self, store: CraftStore, tasks: TaskRunner, inference: InferenceService, models: ModelInventory,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._inference = inference
        self._scroll_to_hints = False
        self.controller = CraftController(store, tasks, inference, self)
        self.dialogs = CraftDialogs(self.controller, tasks, models, self)
        self.dialogs.downloadRequested.connect(self.downloadRequested)
        self.setAcceptDrops(True)
        self._build(tasks, models)
        self._bind_actions()
        self._connect()
        self.controller.start()
        self.render()

    def _build(self, tasks: TaskRunner, models: ModelInventory) -> None:
        self.header = CraftHeader()
        self.banner = Banner()
        self.problem_card, self.hint_type_card = ProblemCard(), HintTypeCard()
        self.hint_list = HintList()
        self.prompt_card = PromptCard(PromptRow(tasks, self.controller.exact_prompts), JudgeRow(tasks, models))
        self.solve_card, self.attribution = SolveCard(), AttributionCard(tasks)
        self.panes = CraftPanes(
            (self.problem_card, self.hint_type_card), self.hint_list,
            (self.prompt_card, self.solve_card, self.attribution),
        )  # fmt: skip
        self.task_bar = TaskBar()
        # The banner is below the panes, so that nothing moves under the pointer when it appears.
        self._top = column(self.header, (self.panes, 1), self.banner, spacing=SPACE_3)
        self._fit_banner()
        column((self._top, 1), self.task_bar, spacing=0, parent=self)
        self.drop_overlay = DropOverlay(self)

    def _bind_actions(self) -> None:
        controller, dialogs, hints = self.controller, self.dialogs, self.hint_list
        self.bound = bind_actions(self, ACTIONS, {
            "undo": controller.undo, "redo": controller.redo, "library": dialogs.show_library,
            "import": dialogs.choose_problem_file, "write": self._write_hint,
            "draw": lambda: controller.draw_hints(hints.count.value()),
            "generate": self._generate, "solve": self._solve, "solve_all": self._solve_all, "worst": self._open_worst,
            "next": lambda: hints.step(controller.selected, 1),
            "previous": lambda: hints.step(controller.selected, -1),
            "ablate": self._ablate, "score": self._score, "suite": dialogs.show_suite, "copy": self._copy_command,
            "new": self._open_new, "drafts": dialogs.show_drafts, "solver": lambda: dialogs.show_model("solver"),
            "adversary": lambda: dialogs.show_model("adversary"), "judge": self.prompt_card.judge.start,
            "choose_judge": self.prompt_card.judge.show_dialog, "cancel": controller.cancel,
        })  # fmt: skip
        header, card = self.header, self.problem_card
        for name, button in {
            "undo": header.undo, "redo": header.redo, "new": header.new, "drafts": header.drafts, "copy": header.copy,
            "suite": header.suite, "library": card.library, "import": card.import_, "write": hints.write,
            "draw": hints.draw, "generate": hints.generate, "solve_all": hints.solve_all,
            "worst": hints.worst, "solve": self.solve_card.solve, "ablate": self.attribution.sentences.button,
            "score": self.attribution.tokens.button,
        }.items():  # fmt: skip
            follow_action(button, self.bound[name])
        attribution = self.attribution
        self._starters: tuple[QPushButton, ...] = (
            hints.generate, hints.solve_all, self.solve_card.solve, attribution.sentences.button,
            attribution.tokens.button,
        )  # fmt: skip
        self._started_by: QPushButton | None = None
        """The button that had the keyboard when the task began that is under way."""
        self.solve_card.solver.clicked.connect(self.bound["solver"].trigger)
        hints.adversary.clicked.connect(self.bound["adversary"].trigger)

    def _connect(self) -> None:
        controller, card = self.controller, self.problem_card
        edit, edit_problem = controller.edit_fields, controller.edit_problem
        self.header.titleEdited.connect(lambda text: edit("rename the draft", "title", title=text))
        card.questionEdited.connect(lambda text: edit_problem("type the question", "question", question=text))
        card.answerEdited.connect(lambda text: edit_problem("type the answer", "answer", answer=text))
        card.kindChosen.connect(lambda kind: edit_problem("choose the kind of answer", kind=AnswerKind(kind)))
        self.hint_type_card.type.chosen.connect(lambda value: edit("choose a type", type=HintType(value)))
        self.hint_type_card.placement.chosen.connect(
            lambda value: edit("choose a placement", placement=Placement(value))
        )
        self.solve_card.plan.changed.connect(lambda plan: edit("change the plan", "plan", plan=plan))
        self.prompt_card.prompts.changed.connect(controller.choose_prompts)
        self.hint_list.selected.connect(controller.select)
        self.hint_list.edited.connect(controller.edit_hint)
        self.hint_list.removeRequested.connect(controller.remove_hint)
        controller.changed.connect(self.render)
        controller.draftOpened.connect(self.panes.scroll_to_top)
        controller.resultChanged.connect(self._on_result_changed)
        controller.savedChanged.connect(self._on_saved_changed)
        controller.taskChanged.connect(self._render_task)
        controller.generatingChanged.connect(self._on_generating_changed)
        controller.solvingChanged.connect(self.attribution.traces.render_live)
        controller.costReckoned.connect(self._on_cost_reckoned)
        controller.toast.connect(self.toast)
        controller.problem.connect(self.problem)
        self._inference.changed.connect(self._on_worker_changed)
        self._inference.crashed.connect(self._on_worker_crashed)
        self._inference.recovered.connect(self._on_worker_recovered)
        self.banner.dismissed.connect(self._fit_banner)
        self.task_bar.progress.cancelRequested.connect(controller.cancel)

    def activate(self) -> None:
        """Focus the question of an empty draft, else the selected hint: the page's shortcuts need the focus in it."""
        card = self.hint_list.cards.get(self.controller.selected)
        if card is None or not self.controller.draft.problem.question:
            self.problem_card.question.setFocus()
        elif not self.isAncestorOf(QApplication.focusWidget() or self):
            card.setFocus()

    def themed(self, theme: Theme) -> None:
        self.attribution.themed()
        self.prompt_card.render_draft(self.controller.draft, self.controller.badges.get(self.controller.selected))

    def open_draft(self, draft: Draft) -> None:
        """Open a draft that was made elsewhere, such as from a rollout of a run."""
        try:
            self.controller.open_draft(draft)
        except UserError as error:
            self.problem.emit("The draft was not opened", str(error))

    def use_model(self, entry: ModelEntry) -> None:
        """Load a model for both roles."""
        self.controller.load_model(SolverChoice(name_of(entry)), ROLES)

    def unsaved(self) -> str:
        return self.controller.save_now()

    def close_down(self) -> None:
        self.controller.close()
        self._inference.close()

    def render(self) -> None:  # type: ignore[override]  # QWidget.render paints into a device; a page's shows its state
        controller, draft = self.controller, self.controller.draft
        typed = bool(draft.problem.question.strip() or draft.problem.answer.strip())
        badges = controller.badges
        self.header.render_draft(draft)
        self.problem_card.render_problem(draft.problem, controller.problem_error if typed else "")
        self.hint_type_card.render_draft(draft)
        self.hint_list.render_hints(draft, badges, controller.results())
        self.prompt_card.render_draft(draft, badges.get(controller.selected))
        self.prompt_card.prompts.render_profile(draft.solver.prompts, controller.fitting)
        self.solve_card.plan.render_plan(draft.plan)
        self._render_result()
        self._render_task()
        self._render_models()

    def _render_result(self) -> None:
        controller, hint = self.controller, self.controller.hint
        result = controller.result_of(hint)
        draft = controller.session.draft
        self.solve_card.render_result(result, hint, draft.plan, draft.problem.question)
        self.attribution.traces.render_result(result)
        self.attribution.sentences.render_ablation(controller.ablation())
        can_score = not controller.usable or bool(controller.solution())
        self.attribution.tokens.render_scores(
            controller.scores(), can_score=can_score, served=names_endpoint(draft.solver.model)
        )

    def _render_task(self) -> None:
        controller, session = self.controller, self.controller.session
        task, draft = controller.task, session.draft
        kept = (self._started_by.parentWidget(), self.task_bar.progress.cancel) if self._started_by is not None else ()
        keeps_keyboard = any(widget.hasFocus() for widget in kept)
        self.task_bar.render_task(*controller.task_status(), cancelling=task is not None and task.cancelling)
        n, idle, usable = len(draft.hints), task is None, controller.usable
        if keeps_keyboard and self._started_by is not None and task is not None and task.cancelling:
            # Cancel, once pressed, is off.
            self._started_by.parentWidget().setFocus(Qt.FocusReason.OtherFocusReason)
        if not idle and (button := next((b for b in self._starters if b.hasFocus()), None)) is not None:
            # Qt would hand the keyboard to whatever comes next: a second press of Space would choose a model.
            self._started_by = button
            button.parentWidget().setFocus(Qt.FocusReason.OtherFocusReason)
        has_text = usable and controller.hint is not None and bool(controller.hint.text.strip())
        for name, enabled in {
            "undo": session.can_undo, "redo": session.can_redo, "draw": usable, "generate": usable and idle,
            "solve": controller.can_solve and idle, "solve_all": usable and idle and n > 0, "worst": n > 0,
            "next": n > 1, "previous": n > 1, "ablate": has_text and idle,
            "score": has_text and idle and bool(controller.solution()) and not names_endpoint(draft.solver.model),
            "suite": n > 0,
            "copy": bool(draft.problem.question.strip()), "cancel": not idle,
        }.items():  # fmt: skip
            self.bound[name].setEnabled(enabled)
        if idle and (button := self._started_by) is not None:
            self._started_by = None
            if keeps_keyboard and button.isEnabled():
                button.setFocus(Qt.FocusReason.OtherFocusReason)
        for name, label in (("undo", session.undo_label), ("redo", session.redo_label)):
            action, title = self.bound[name], name.title()
            action.setText(f"{title}: {label}" if label else title)
            action.setToolTip(f"{action.text() if label else f'Nothing to {name}'} ({action.shortcut().toString()})")

    def _render_models(self) -> None:
        draft, state = self.controller.draft, self._inference.state
        self.solve_card.solver.render_choice(draft.solver, state)
        self.hint_list.adversary.render_choice(draft.adversary, state)

    def _on_result_changed(self, hint_id: str) -> None:
        self.hint_list.render_result(
            hint_id, self.controller.result_of(self.controller.session.draft.hint(hint_id)) if hint_id else None
        )
        if hint_id == self.controller.selected:
            self._render_result()

    def _on_saved_changed(self, saved: bool, text: str) -> None:
        self.header.render_saved(saved, text)
        if text:
            self.toast.emit(text)

    def _on_generating_changed(self, texts: dict[int, str] | None) -> None:
        self.hint_list.render_generating(texts)
        if self._scroll_to_hints and texts:
            # Once a generation: the user may scroll away meanwhile.
            self._scroll_to_hints = False
            self.panes.scroll_to_hints()

    def _on_cost_reckoned(self, found: CostEstimate, kind: str, start: Callable[[], object]) -> None:
        """Above the limit of the settings a person is asked, else it starts."""
        ask_cost(found, START_WORDS[TaskKind(kind)], self, start)

    def _on_worker_changed(self, _state: WorkerState) -> None:
        self._render_models()
        self._render_task()

    def _fit_banner(self) -> None:
        # The panes reach the lower edge of the page, the banner does not.
        self._top.setContentsMargins(26, 20, 16, 0 if self.banner.isHidden() else 16)

    def _on_worker_crashed(self, text: str) -> None:
        restart = BannerAction("Restart the worker", self._inference.restart, "refresh",
                               "Start a new process and load the model again")  # fmt: skip
        down = self._inference.state.down
        self.banner.show_message(
            BannerKind.ERROR, "The model's process crashes repeatedly" if down else "The model's process crashed", text,
            actions=(restart,) if down else (), dismissable=True,
        )  # fmt: skip
        self._fit_banner()

    def _on_worker_recovered(self) -> None:
        if not self.banner.isHidden():
            text = f"{self.banner.text.text()}\nThe worker was restarted. Retry your request."
            self.banner.show_message(BannerKind.SUCCESS, "The model's process is running again", text, dismissable=True)

    def _write_hint(self) -> None:
        self.controller.add_empty_hint()
        card = self.hint_list.cards[self.controller.selected]
        self.panes.reveal(card)
        card.start_editing()

    def _generate(self) -> None:
        self._scroll_to_hints = True
        self.controller.generate(self.hint_list.count.value())

    def _solve(self) -> None:
        self.attribution.show_tab(AttributionTab.TRACES)
        self.controller.solve()

    def _solve_all(self) -> None:
        self.attribution.show_tab(AttributionTab.TRACES)
        self.controller.solve_all()

    def _ablate(self) -> None:
        self.attribution.show_tab(AttributionTab.SENTENCES)
        self.controller.ablate()

    def _score(self) -> None:
        self.attribution.show_tab(AttributionTab.TOKENS)
        self.controller.score()

    def _open_worst(self) -> None:
        worst = self.controller.worst()
        if not worst:
            self.toast.emit("No hint is solved yet.")
            return
        self.controller.select(worst)
        self.attribution.show_tab(AttributionTab.TRACES)
        self.panes.reveal(self.hint_list.cards[worst])
        self.hint_list.cards[worst].setFocus()

    def _copy_command(self) -> None:
        QGuiApplication.clipboard().setText(as_command(self.controller.draft, self.controller.hint))
        self.toast.emit("The command is on the clipboard.")

    def _open_new(self) -> None:
        try:
            self.controller.open_new()
        except UserError as error:
            self.problem.emit("The draft was not saved", str(error))
            return
        self.problem_card.question.setFocus()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if path := _dropped_file(event.mimeData().urls()):
            what = "solve with" if path.suffix.lower() == MODEL_SUFFIX else "import problems from"
            self.drop_overlay.show_text(f"Drop to {what} {path.name}")
            event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self.drop_overlay.hide()

    def dropEvent(self, event: QDropEvent) -> None:
        self.drop_overlay.hide()
        if path := _dropped_file(event.mimeData().urls()):
            event.acceptProposedAction()
            self.open_file(path)

    def open_file(self, path: Path) -> None:
        if path.suffix.lower() == MODEL_SUFFIX:
            self.controller.load_file(path)
        else:
            self.dialogs.import_file(path)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.drop_overlay.setGeometry(self.rect())


def _dropped_file(urls: Sequence[QUrl]) -> Path | None:
    """The one file that can be used, None for several or for others."""
    if len(urls) != 1 or not urls[0].isLocalFile():
        return None
    path = Path(urls[0].toLocalFile())
    return path if path.suffix.lower() in PROBLEM_SUFFIXES | {MODEL_SUFFIX} else None
