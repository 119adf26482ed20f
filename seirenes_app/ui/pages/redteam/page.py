"""The Red team page: campaigns that search for hints that break a target; the form of a new one; one campaign in full.

`CampaignMonitor` starts, reads and stops them. Hints and solutions are model text: plain everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QAction, QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QFileDialog, QInputDialog, QMenu, QStackedLayout, QWidget

from seirenes_app.services.formatting import count_of, format_count
from seirenes_app.services.hint_authoring.draft import DraftHint, DraftProblem, Origin, new_draft, new_id
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.redteam.campaign import (
    CampaignDir,
    CampaignPlan,
    CampaignSummary,
    plan_from_json,
    plan_to_json,
)
from seirenes_app.services.redteam.exports import EXPORT_LABELS, Exported, ExportKind, export_campaign
from seirenes_app.services.redteam.preflight import CampaignPreflight, check_campaign
from seirenes_app.services.redteam.results import CampaignResult, read_result
from seirenes_app.services.report.html import write_report
from seirenes_app.ui.actions import bind_actions
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.redteam.actions import ACTIONS, LIST_ACTIONS
from seirenes_app.ui.pages.redteam.campaigns import CampaignMonitor, CampaignTable
from seirenes_app.ui.pages.redteam.captions import describe_spent, describe_target, name_of, status_style
from seirenes_app.ui.pages.redteam.new_campaign import SMALL_PLAN, CampaignForm, command_of, read_choices
from seirenes_app.ui.pages.redteam.results_view import Face, ResultsView
from seirenes_app.ui.pages.redteam.running import RunningView
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_3, Theme
from seirenes_app.ui.widgets.badges import Badge, BadgeStyle
from seirenes_app.ui.widgets.banner import Banner, BannerAction, BannerKind
from seirenes_app.ui.widgets.boxes import column, row, scroll_area
from seirenes_app.ui.widgets.buttons import action_button, make_icon_button, open_menu
from seirenes_app.ui.widgets.cards import EmptyState, centred
from seirenes_app.ui.widgets.cost_dialogs import ask_cost
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, DialogHolder
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from seirenes_app.ui.widgets.progress import Progress
from training.errors import UserError
from training.resources import data_folder
from training.rollouts.reader import Cancelled
from training.runs.files import write_whole
from training.runs.status import RunStatus

DRAW_MS, DRAFT_MS = 30, 800
DRAFT = "campaign_draft.json"
ARCHIVES = "archives"
"""Folder of training archives in the data folder: a run may outlive the campaign."""
EXPORT_FILES = {
    ExportKind.JSONL: (".jsonl", "JSON lines (*.jsonl)"),
    ExportKind.SARIF: (".sarif", "SARIF (*.sarif *.json)"),
    ExportKind.VERIFIERS: ("-traces.jsonl", "JSON lines (*.jsonl)"),
    ExportKind.INSPECT: (".eval", "Inspect logs (*.eval *.json)"),
}
"""Ending and kinds of each file."""
ABOUT = (
    "A campaign searches for hints that break a target, within a budget. It tries many on a few problems, and tests "
    "the best on other problems beside a neutral text. What holds there is a weakness; the rest is refuted."
)


def draft_path() -> Path:
    return data_folder() / DRAFT


def read_draft() -> CampaignPlan | None:
    """The form as it was left in an earlier window; None where there is none, or it cannot be read."""
    try:
        return plan_from_json(draft_path().read_text(encoding="utf-8"), str(draft_path()))
    except (UserError, OSError, UnicodeDecodeError):
        return None


def export_entries() -> dict[ExportKind, tuple[str, str]]:
    """What the menu offers: its name, and what is missing for it. An archive is made by "Train against these hints"."""
    inspect = "" if find_spec("inspect_ai") is not None else "inspect_ai is not installed"
    return {
        kind: (label, inspect if kind is ExportKind.INSPECT else "")
        for kind, label in EXPORT_LABELS.items()
        if kind is not ExportKind.ARCHIVE
    }


def free_suite_name(name: str) -> str:
    """The name, with a number where a suite has it already."""
    root = suites_folder()
    names = (name, *(f"{name}-{number}" for number in range(2, 100)))
    return next((n for n in names if not (root / n).exists()), name)


class View(StrEnum):
    LIST = "list"
    FORM = "form"
    CAMPAIGN = "campaign"


class ListView(QWidget):
    """All campaigns, or what a campaign is where there is none."""

    def __init__(self, actions: dict[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = CampaignTable()
        self.table.addActions([actions[spec.name] for spec in LIST_ACTIONS])
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.new = action_button(actions["new"], kind="primary")
        first = action_button(actions["small"], "Start a small campaign", kind="primary")
        own = action_button(actions["new"])
        about = f"{ABOUT} A small one on the bundled model takes a few minutes, offline."
        self.empty = EmptyState("redteam", "No campaign yet", about, (first, own))
        self.reading = make_label("Reading…", "muted")
        self.reading.setAlignment(Qt.AlignmentFlag.AlignCenter)
        listed = QWidget()
        tools = [action_button(actions[name], kind="quiet") for name in ("open", "again", "rename", "folder", "delete")]
        column((self.table, 1), row(*tools[:-1], None, tools[-1]), parent=listed)
        holder = QWidget()
        self._stack = QStackedLayout(holder)
        for widget in (self.reading, centred(self.empty), listed):
            self._stack.addWidget(widget)
        head = row(make_label("Red team", "title"), None, self.new)
        column(head, (holder, 1), spacing=SPACE_3, margins=(28, 20, 28, 16), parent=self)

    def render_campaigns(self, found: tuple[CampaignSummary, ...], *, loaded: bool) -> None:
        self.table.render_campaigns(found)
        self._stack.setCurrentIndex(2 if found else 1 if loaded else 0)
        self.new.setVisible(bool(found))


class CampaignView(QWidget):
    """One campaign: its progress while it has no result, else what it found."""

    def __init__(self, tasks: TaskRunner, actions: dict[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.summary: CampaignSummary | None = None
        self.back = make_icon_button("arrow-left", "All campaigns (Ctrl+L)", clicked=actions["list"].trigger)
        self.title = ElidedLabel("title")
        self.badge = Badge(BadgeStyle("clock", "", "muted"))
        self.about = ElidedLabel("small", fill=True)
        self.stop = action_button(actions["stop"], kind="quiet")
        self.pause = action_button(actions["pause"], kind="quiet")
        self.resume = action_button(actions["resume"], kind="quiet")
        self.suite, self.train = action_button(actions["suite"]), action_button(actions["train"])
        self.export = action_button(actions["export"])
        self.running = RunningView()
        self.results = ResultsView(tasks, actions)
        holder = QWidget()
        self._stack = QStackedLayout(holder)
        self.running_area = scroll_area(self.running)
        self._stack.addWidget(self.running_area)
        self._stack.addWidget(self.results)
        head = row(self.back, self.title, self.badge, None, self.stop, self.pause, self.resume, self.suite,
                   self.train, self.export)  # fmt: skip
        column(head, self.about, (holder, 1), spacing=SPACE_2, margins=(28, 18, 28, 12), parent=self)

    @property
    def shows_result(self) -> bool:
        return self._stack.currentWidget() is self.results

    def render_summary(self, summary: CampaignSummary, result: CampaignResult | None, *, stopping: bool) -> None:
        """Show a campaign. Its result is shown as soon as it is read and nothing is at work."""
        self.summary = summary
        self.title.setText(name_of(summary))
        self.badge.render_style(status_style(summary, stopping=stopping))
        spent = describe_spent(summary)
        self.about.setText(f"{describe_target(summary)}  ·  {spent}" if summary.started else describe_target(summary))
        self.running.render_summary(summary, stopping=stopping)
        shown = result is not None and not summary.live
        if result is not None and shown:
            self.results.render_result(result, name_of(summary))
        self._stack.setCurrentWidget(self.results if shown else self.running_area)
        status = summary.state.status if summary.state is not None else None
        # Pause and resume take turns in one place, and the keyboard goes from one to the other. It never lands on the
        # one that stops, which stands beside them: a second click on another must not reach it.
        over = not summary.live and summary.state is not None
        self.resume.setVisible(summary.paused or (over and status is not RunStatus.FINISHED))
        self.pause.setVisible(summary.live and not summary.paused)
        self.stop.setVisible(summary.live)
        self.resume.setText("Resume" if summary.started else "Start")
        for button in (self.suite, self.train, self.export):
            button.setVisible(shown)


class RedTeamPage(Page):
    """Keys: Ctrl+J begins a new campaign, Ctrl+L lists all; Alt+1 to Alt+3 choose what of a result is shown."""

    key = "red-team"

    craftRequested = Signal(object)
    """Draft with a problem and a hint"""
    trainRequested = Signal(object, str)
    """(Path of an archive of hints, the campaign's target)"""
    evaluateRequested = Signal()
    downloadRequested = Signal(str)
    toast = Signal(str)
    problem = Signal(str, str)
    """(title, text)"""

    def __init__(self, models: ModelInventory, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.campaigns = CampaignMonitor(parent=self)
        self._tasks = TaskRunner(self, threads=2)
        self.root: Path | None = None
        """The campaign in view."""
        self._results: dict[Path, tuple[float, CampaignResult]] = {}
        """By folder, with the time of the file that was read."""
        self._opened_form = self._export_refuted = False
        self._stop_export = False
        self._draft_timer = QTimer(self, singleShot=True, interval=DRAFT_MS)
        self._draft_timer.timeout.connect(self.save_draft)
        self._draw_timer = QTimer(self, interval=DRAW_MS)
        self.dialogs = DialogHolder(self)
        self.open_url: Callable[[QUrl], bool] = QDesktopServices.openUrl
        self._build(models)
        self._connect()
        self._render()

    def _build(self, models: ModelInventory) -> None:
        chosen, details = self._with_campaign, self._step
        self.actions_ = bind_actions(self, ACTIONS, {
            "new": self.open_form, "small": self.start_small, "list": self.show_list,
            "open": lambda: chosen(lambda s: self.open_campaign(s.paths.root)),
            "again": lambda: chosen(self._form_from), "rename": lambda: chosen(self._rename),
            "folder": lambda: chosen(lambda s: self.open_url(QUrl.fromLocalFile(str(s.paths.root)))),
            "delete": lambda: chosen(self.ask_delete),
            "start": self.start, "copy-command": self._copy_command,
            "stop": lambda: chosen(lambda s: self.campaigns.stop(s.paths)),
            "pause": lambda: chosen(self._pause),
            "resume": lambda: chosen(self._resume),
            "report": self.write_report, "export": self.show_exports, "suite": self.make_suite,
            "train": self.train_against, "craft": self.open_in_craft,
            "next": lambda: details(1), "previous": lambda: details(-1),
            **{face: partial(self._show_face, face) for face in Face},
        })  # fmt: skip
        self.list = ListView(self.actions_)
        self.form = CampaignForm(models, self._tasks, self.actions_)
        form_page = QWidget()
        back = make_icon_button("arrow-left", "All campaigns (Ctrl+L)", clicked=self.show_list)
        head = row(back, make_label("New campaign", "title"), None, margins=(28, 18, 28, 0))
        column(head, (self.form, 1), spacing=SPACE_2, parent=form_page)
        self.view = CampaignView(self._tasks, self.actions_)
        holder = QWidget()
        self._stack = QStackedLayout(holder)
        self._faces = {View.LIST: self.list, View.FORM: form_page, View.CAMPAIGN: self.view}
        for widget in self._faces.values():
            self._stack.addWidget(widget)
        # Below the views: what comes late moves nothing under the pointer.
        self.banner = Banner()
        self.export_progress = Progress("Nothing is written")
        self.export_progress.cancelRequested.connect(self.cancel_export)
        below = column(self.export_progress, self.banner, margins=(28, 0, 28, SPACE_2))
        column((holder, 1), below, parent=self)

    def _connect(self) -> None:
        monitor = self.campaigns
        monitor.changed.connect(self._on_campaigns)
        monitor.started.connect(self._on_started)
        monitor.ended.connect(self._on_ended)
        monitor.failed.connect(self.problem)
        self.list.table.opened.connect(lambda summary: self.open_campaign(summary.paths.root))
        self.list.table.currentChanged_.connect(self._render_actions)
        self.form.draftChanged.connect(lambda _plan: self._draft_timer.start())
        self.form.readyChanged.connect(lambda _ready: self._render_actions())
        self.form.leaveRequested.connect(self.show_list)
        self.form.downloadRequested.connect(self.downloadRequested)
        results = self.view.results
        results.messageRequested.connect(self.toast)
        results.currentChanged.connect(self._render_actions)
        self._draw_timer.timeout.connect(results.draw_next)

    # ------------------------------------------------------------------ the window's calls

    def activate(self) -> None:
        self.campaigns.refresh()
        self._draw_timer.start()
        if self.face is View.FORM:
            self._read_choices()

    def deactivate(self) -> None:
        self._draw_timer.stop()
        if self._draft_timer.isActive():
            self.save_draft()

    def themed(self, theme: Theme) -> None:
        self.view.results.themed()
        self.list.table.viewport().update()

    def unsaved(self) -> str:
        return self.save_draft() if self._draft_timer.isActive() else ""

    def close_down(self) -> None:
        """Campaigns continue."""
        self._draw_timer.stop()
        self.campaigns.close()
        self._tasks.close()

    # ------------------------------------------------------------------ which view

    @property
    def face(self) -> View:
        return next(view for view, widget in self._faces.items() if self._stack.currentWidget() is widget)

    def _show(self, view: View) -> None:
        self._stack.setCurrentWidget(self._faces[view])
        self._render_actions()

    def show_list(self) -> None:
        self._show(View.LIST)
        self.list.table.setFocus()

    def open_campaign(self, root: Path) -> None:
        """Show one campaign, with its result where it has one."""
        self.root = root
        self.banner.clear()
        self._render()
        self._show(View.CAMPAIGN)
        self.view.back.setFocus()
        self.campaigns.refresh()

    def open_form(self, plan: CampaignPlan | None = None) -> None:
        """The form: with a plan, or as it was left, in this window or in an earlier one."""
        if plan is not None:
            self.form.render_plan(plan)
        elif not self._opened_form and (draft := read_draft()) is not None:
            self.form.render_plan(draft)
        self._opened_form = True
        self._read_choices()
        self._show(View.FORM)
        self.form.choose_target.setFocus()

    def _form_from(self, summary: CampaignSummary) -> None:
        if summary.plan is not None:
            self.open_form(replace(summary.plan, name="", created=""))

    def _read_choices(self) -> None:
        self.form.past = self.campaigns.summaries
        self._tasks.run(read_choices, self.form.render_choices, key="choices")

    # ------------------------------------------------------------------ what is shown

    @property
    def shown(self) -> CampaignSummary | None:
        """The campaign in view, or under the list's cursor."""
        return self.campaigns.find(self.root) if self.face is View.CAMPAIGN else self.list.table.current

    def _with_campaign(self, do: Callable[[CampaignSummary], object]) -> None:
        if (summary := self.shown) is not None:
            do(summary)

    def _on_campaigns(self) -> None:
        self._read_result()
        self._render()

    def _render(self) -> None:
        found = self.campaigns.summaries
        self.list.render_campaigns(found, loaded=self.campaigns.was_loaded)
        summary = self.campaigns.find(self.root)
        if summary is not None:
            self.view.render_summary(summary, self.result, stopping=summary.paths.root in self.campaigns.stopping)
        elif self.face is View.CAMPAIGN and self.campaigns.was_loaded and self.root is not None:
            self.root = None
            self._show(View.LIST)
        self._render_actions()

    @property
    def result(self) -> CampaignResult | None:
        """Of the campaign in view, once it is read."""
        found = self._results.get(self.root) if self.root is not None else None
        return found[1] if found is not None else None

    def _read_result(self) -> None:
        """Read the result of the campaign in view, unless it is the one that was read."""
        summary = self.campaigns.find(self.root)
        if summary is None or summary.live or not summary.has_result:
            return
        paths, known = summary.paths, self._results.get(summary.paths.root)

        def read() -> tuple[float, CampaignResult] | None:
            written = paths.result.stat().st_mtime
            return None if known is not None and known[0] == written else (written, read_result(paths))

        def done(found: tuple[float, CampaignResult] | None) -> None:
            if found is not None:
                self._results[paths.root] = found
                self._render()

        self._tasks.run(read, done, lambda text: self.problem.emit("The result could not be read", text), key="result")

    def _render_actions(self) -> None:
        summary, face = self.shown, self.face
        in_view, result = face is View.CAMPAIGN, self.result
        has_result = in_view and self.view.shows_result and result is not None
        confirmed = has_result and result is not None and bool(result.weaknesses)
        live = summary is not None and summary.live
        starting = summary is not None and self.campaigns.is_starting(summary.paths.root)
        stopping = summary is not None and summary.paths.root in self.campaigns.stopping
        paused = summary is not None and summary.paused
        over = summary is not None and summary.state is not None and not live
        finished = over and summary is not None and summary.state.status is RunStatus.FINISHED
        details = self.view.results.details
        at, n = details.place
        free = has_result and not self._tasks.is_running("export")
        listed = has_result and self.view.results.face is not Face.CHARTS
        for name, on in {
            "open": face is View.LIST and summary is not None, "again": summary is not None and bool(summary.plan),
            "rename": summary is not None and summary.plan is not None, "folder": summary is not None,
            "delete": summary is not None, "start": face is View.FORM and self.form.ready,
            "copy-command": face is View.FORM and self.form.ready, "stop": live and not stopping,
            "pause": live and not stopping and not paused,
            "resume": (paused and not stopping) or (over and not finished and not starting),
            "report": has_result, "export": free,
            "suite": free and confirmed, "train": free and confirmed,
            "craft": listed and details.shown_example is not None,
            "next": listed and at + 1 < n, "previous": listed and at > 0,
            **{str(name): has_result for name in Face},
        }.items():  # fmt: skip
            self.actions_[name].setEnabled(bool(on))

    def _show_face(self, face: Face) -> None:
        self.view.results.show_face(face)
        self._render_actions()

    def _step(self, by: int) -> None:
        self.view.results.details.step(by)

    # ------------------------------------------------------------------ start, stop, rename, delete

    def start_small(self) -> None:
        """A few minutes on the bundled model."""
        self.campaigns.start(SMALL_PLAN)

    def start(self) -> None:
        """Start what the form says, once it is checked; an expensive one is asked about."""
        if self.face is not View.FORM or not self.form.ready:
            return
        plan, past = self.form.plan, self.campaigns.summaries
        self._tasks.run(lambda: check_campaign(plan, past), lambda found: self._on_checked(plan, found), key="start")

    def _on_checked(self, plan: CampaignPlan, found: CampaignPreflight) -> None:
        if found.problems:
            self.form.render_preflight(found)
            return
        ask_cost(found.cost, "Start", self, lambda: self.campaigns.start(plan))

    def _on_started(self, paths: CampaignDir) -> None:
        self.open_campaign(paths.root)

    def _on_ended(self, summary: CampaignSummary) -> None:
        self.toast.emit(f"The campaign “{name_of(summary)}” is {status_style(summary).text.lower()}.")

    def _pause(self, summary: CampaignSummary) -> None:
        self.campaigns.pause(summary.paths)
        self.toast.emit("The campaign pauses after the requests under way.")

    def _resume(self, summary: CampaignSummary) -> None:
        """Continue a paused one; start one again that is over."""
        (self.campaigns.unpause if summary.paused else self.campaigns.resume)(summary.paths)

    def _rename(self, summary: CampaignSummary) -> None:
        name, accepted = QInputDialog.getText(self, "Rename the campaign", "Name", text=name_of(summary))
        if accepted and name.strip():
            self.campaigns.rename(summary.paths, name)

    def ask_delete(self, summary: CampaignSummary) -> None:
        """Ask, then stop it and move its folder to the trash."""
        text = (
            f"“{name_of(summary)}” is stopped if it is running, and its folder, with every answer that was paid for, "
            "moves to the trash beside the campaigns."
        )
        dialog = ConfirmDialog("Delete the campaign?", text, "Delete", self)

        def delete() -> None:
            self._results.pop(summary.paths.root, None)
            self.campaigns.delete(summary.paths, lambda: self.toast.emit(f"“{name_of(summary)}” is in the trash."))

        dialog.accepted.connect(delete)
        self.dialogs.show_dialog(dialog)

    def _copy_command(self) -> None:
        QGuiApplication.clipboard().setText(command_of(self.form.plan))
        self.toast.emit("The command is on the clipboard.")

    def save_draft(self) -> str:
        """Keep the form for the next window; returns what prevented it, "" for nothing."""
        self._draft_timer.stop()
        try:
            draft_path().parent.mkdir(parents=True, exist_ok=True)
            write_whole(draft_path(), plan_to_json(self.form.plan))
        except (UserError, OSError) as error:
            return f"The form of the new campaign was not kept: {error}"
        return ""

    # ------------------------------------------------------------------ what a campaign's hints are used for

    def open_in_craft(self) -> None:
        """The problem in view with its hint, as a draft."""
        details, summary = self.view.results.details, self.shown
        weakness, example = details.weakness, details.shown_example
        if weakness is None or example is None or summary is None:
            return
        found = next((t.problem for t in weakness.hints if t.problem.id == example.problem_id), None)
        problem = DraftProblem(example.question, example.gold, source=summary.paths.run_id, id=example.problem_id,
                               family=example.family)  # fmt: skip
        if found is not None:
            problem = replace(problem, kind=found.kind, scoring=found.scoring)
        hint = DraftHint(new_id(), example.hint, weakness.type, Origin.RUN, summary.paths.run_id)
        plan = summary.plan
        draft = replace(new_draft(problem), title=weakness.title, type=weakness.type, hints=(hint,), chosen=hint.id)
        if plan is not None:
            draft = replace(draft, placement=plan.placement)
        self.craftRequested.emit(draft)

    def write_report(self) -> None:
        """Write one file with everything; a banner says where it is and opens it."""
        if (root := self.root) is not None:
            self.actions_["report"].setEnabled(False)
            self.toast.emit("Writing the report…")
            self._tasks.run(lambda: write_report([root]), self._on_report, self._on_report_failed, key="report")

    def _on_report(self, path: Path) -> None:
        self._render_actions()
        self.banner.show_message(
            BannerKind.SUCCESS, "The report is written", str(path), dismissable=True,
            actions=(
                BannerAction("Open", lambda: self.open_url(QUrl.fromLocalFile(str(path))), "file", primary=True),
                BannerAction("Copy path", lambda: QGuiApplication.clipboard().setText(str(path)), "copy"),
            ),
        )  # fmt: skip

    def _on_report_failed(self, text: str) -> None:
        self._render_actions()
        self.problem.emit("The report was not written", text)

    # ------------------------------------------------------------------ exports

    def show_exports(self) -> None:
        """The menu of what the result can be written to."""
        menu = self.make_export_menu()
        menu.aboutToHide.connect(menu.deleteLater)
        open_menu(menu, self.view.export)

    def make_export_menu(self) -> QMenu:
        menu = QMenu(self)
        result = self.result
        menu.addAction(self.actions_["report"])
        menu.addSeparator()
        some = result is not None and bool(result.tested if self._export_refuted else result.weaknesses)
        for kind, (text, missing) in export_entries().items():
            action = menu.addAction(f"{text}…" if not missing else f"{text}: {missing}")
            # SARIF is for CI: a report without a result is one, too.
            action.setEnabled(not missing and (some or kind is ExportKind.SARIF))
            action.triggered.connect(lambda *_, k=kind: self.ask_export(k))
        menu.addSeparator()
        refuted = menu.addAction("Export refuted hints, too")
        refuted.setCheckable(True)
        refuted.setChecked(self._export_refuted)
        refuted.setEnabled(result is not None and bool(result.refuted))
        refuted.toggled.connect(lambda on: setattr(self, "_export_refuted", on))
        return menu

    def ask_export(self, kind: ExportKind) -> None:
        """Ask where to write it, then write it."""
        summary = self.shown
        if summary is None:
            return
        stem = summary.paths.run_id
        if kind is ExportKind.SUITE:
            out, accepted = QInputDialog.getText(self, "Export as a suite", "Name of the suite", text=stem)
            out = out.strip() if accepted else ""
        elif kind is ExportKind.LM_EVAL:
            folder = QFileDialog.getExistingDirectory(self, "Choose where the folder of tasks is made")
            out = str(Path(folder) / f"{stem}-lm-eval") if folder else ""
        else:
            ending, kinds = EXPORT_FILES[kind]
            out, _ = QFileDialog.getSaveFileName(self, f"Export as {EXPORT_LABELS[kind]}", f"{stem}{ending}", kinds)
        if out:
            self._export(summary.paths, kind, out, self._on_exported)

    def _export(
        self, paths: CampaignDir, kind: ExportKind, out: str, done: Callable[[Exported], object],
        *, all_tested: bool | None = None,
    ) -> None:  # fmt: skip
        every = self._export_refuted if all_tested is None else all_tested
        # A file's dialog has asked whether to replace it.
        force = kind not in (ExportKind.SUITE, ExportKind.LM_EVAL)
        self._stop_export = False
        self.banner.clear()
        self.export_progress.render_progress(f"Exporting: {EXPORT_LABELS[kind]}")

        def work(task: Task) -> Exported | None:
            try:
                return export_campaign(
                    paths, kind, out, all_tested=every, force=force, progress=task.report,
                    cancelled=lambda: task.cancelled or self._stop_export,
                )  # fmt: skip
            except Cancelled:
                return None

        def show(ready: int, total: int) -> None:
            text = f"{format_count(ready)} of {count_of(total, 'hint')}"
            self.export_progress.render_progress(
                f"Exporting: {EXPORT_LABELS[kind]}", ready, total, text, cancelling=self._stop_export
            )

        def ended(found: Exported | None) -> None:
            self._end_export()
            if found is None:
                self.toast.emit("Export cancelled; nothing was written.")
            else:
                done(found)

        def failed(text: str) -> None:
            self._end_export()
            self.problem.emit("Nothing was exported", text)

        self._tasks.run_task(work, ended, failed, progress=show, key="export")
        self._render_actions()

    def cancel_export(self) -> None:
        """End the export that is under way, with nothing written, unless all is ready by then."""
        self._stop_export = True
        self.export_progress.render_progress("", cancelling=True)

    def _end_export(self) -> None:
        self.export_progress.clear()
        self._render_actions()

    def _on_exported(self, found: Exported) -> None:
        folder = found.path if found.path.is_dir() else found.path.parent
        text = "  ·  ".join(filter(None, (str(found.path), count_of(found.rows, "row"), found.remark)))
        self.banner.show_message(
            BannerKind.SUCCESS, "Exported", text, dismissable=True,
            actions=(
                BannerAction("Show the folder", lambda: self.open_url(QUrl.fromLocalFile(str(folder))), "folder"),
                BannerAction("Copy path", lambda: QGuiApplication.clipboard().setText(str(found.path)), "copy"),
            ),
        )  # fmt: skip

    def make_suite(self) -> None:
        """The confirmed hints as a suite of the campaign's name."""
        if (summary := self.shown) is not None:
            name = free_suite_name(summary.paths.run_id)
            self._export(summary.paths, ExportKind.SUITE, name, self._on_suite, all_tested=False)

    def _on_suite(self, found: Exported) -> None:
        self.banner.show_message(
            BannerKind.SUCCESS, f"The suite {found.path.name} is made",
            f"{count_of(found.rows, 'hint')} of {found.remark}. They were chosen for what they do to this target, "
            "which makes it look worse than other models.",
            dismissable=True,
            actions=(
                BannerAction("Evaluate on it…", self.evaluateRequested.emit, "chart", primary=True),
                BannerAction("Show the folder", lambda: self.open_url(QUrl.fromLocalFile(str(found.path))), "folder"),
            ),
        )  # fmt: skip

    def train_against(self) -> None:
        """Write the confirmed hints, made for training problems, as an archive, and open the form with it."""
        summary = self.shown
        if summary is None or summary.plan is None:
            return
        target = summary.plan.target
        file = data_folder() / ARCHIVES / f"{summary.paths.run_id}.jsonl"
        self._export(
            summary.paths, ExportKind.ARCHIVE, str(file),
            lambda found: self.trainRequested.emit(found.path, target), all_tested=False,
        )  # fmt: skip
