"""Home: what the program is for, how to begin, recent runs, this machine. Decides nothing about a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

from PySide6.QtCore import QPointF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QLinearGradient, QPainter, QPainterPath, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QLineEdit, QMenu, QSizePolicy, QStackedLayout, QWidget

from seirenes_app.services.estimate import TimeEstimate, estimate_time
from seirenes_app.services.formatting import signed_points
from seirenes_app.services.run_summary import RunProblem, describe_problem, measure_change
from seirenes_app.store.workspace import Workspace
from seirenes_app.ui.actions import WIDGET, bind_actions
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.home.actions import ACTIONS
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_4, SPACE_12, Theme, current_theme
from seirenes_app.ui.widgets.banner import Banner, BannerAction, BannerKind
from seirenes_app.ui.widgets.boxes import column, fill, row
from seirenes_app.ui.widgets.buttons import action_button, make_button, make_icon_button, open_menu
from seirenes_app.ui.widgets.cards import Card, Column, EmptyState, Section, make_rule
from seirenes_app.ui.widgets.labels import IconLabel, make_label
from seirenes_app.ui.widgets.resource_monitor import MachineSummary
from seirenes_app.ui.widgets.run_table import RunTable
from training.runs.config import Preset, RunConfig
from training.runs.paths import RunPaths
from training.runs.processes import RunSummary, read_run
from training.runs.status import RunStatus

DEMO = "demo"
REFRESH_MS = 10_000
BANNERS = 2
LOG_LINES = 3
WIDE = 960
RECORDED = "The recorded run: a finished demo run that ships with the program, with all its rollouts."


class HomePage(Page):
    """Requests by signals; the window answers."""

    key = "home"

    demoRequested = Signal()
    craftRequested = Signal()
    configRequested = Signal(object)
    """Path of a config file, or None to choose one."""
    runRequested = Signal(object)
    """RunPaths to open."""
    resumeRequested = Signal(object)
    editRequested = Signal(object)
    """RunSummary whose settings are to be changed."""
    noteRequested = Signal(object)
    discardRequested = Signal(object)
    recordedRequested = Signal(object)
    """RunPaths of the recorded run."""
    folderRequested = Signal()
    paperRequested = Signal()
    glossaryRequested = Signal()

    def __init__(
        self,
        runs: RunsModel,
        tasks: TaskRunner,
        presets: Mapping[str, Preset],
        workspace: Workspace | None = None,
        recorded: RunPaths | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._runs = runs
        self._tasks = tasks
        self._demo = presets[DEMO].config if DEMO in presets else RunConfig()
        self._workspace = workspace
        self._recorded = recorded
        self._dismissed: set[str] = set()
        self.banners: dict[RunPaths, Banner] = {}
        """Messages about runs that did not finish."""
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._banner_column = column(spacing=SPACE_3)
        self.machine = MachineSummary()
        machine = Section("This machine")
        machine.body.addWidget(self.machine)
        page = Column()
        page.body.setContentsMargins(40, SPACE_4, 40, 36)
        page.body.setSpacing(SPACE_4)
        fill(
            page.body, self._build_hero(), MethodStrip(), self._build_recorded(), self._banner_column,
            self._build_runs(), None, make_rule(), machine,
        )  # fmt: skip
        column(page, parent=self)
        self._runs.loaded.connect(self.render)
        self._timer.timeout.connect(self._runs.refresh)

    def _build_hero(self) -> QBoxLayout:
        text = make_label(
            "One model plays two roles. As Adversary it writes misleading hints; as Reasoner it learns to withstand "
            "them. Write hints yourself, read what they do, and measure it against a placebo.", "muted", wrap=True,
        )  # fmt: skip
        text.setMinimumWidth(510)
        text.setMaximumWidth(560)
        self.start = make_button(
            "Start the demo run", "play", kind="primary", large=True, clicked=self.demoRequested.emit,
            tip="Self-play with the bundled model, on this machine, offline",
        )  # fmt: skip
        self.craft = make_button(
            "Craft a hint", "craft", large=True, clicked=self.craftRequested.emit,
            tip="Write one, or let a model write it, and see what it does to a model",
        )  # fmt: skip
        self.open_config = make_icon_button(
            "file", "Open a config file: a run's settings as TOML or JSON",
            clicked=lambda: self.configRequested.emit(None),
        )  # fmt: skip
        self.recent = make_icon_button(
            "chevron-down", "Recent config files", clicked=lambda: open_menu(self.make_recent_menu(), self.recent)
        )
        self.estimate = make_label("Estimating…", "small")
        self._art = HeroArt()
        self._art.setFixedHeight(180)
        self._art.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        buttons = row(self.start, self.craft, self.open_config, self.recent, None)
        title = make_label("Train a model to keep its answer", "hero")
        left = column(None, title, text, SPACE_2, buttons, self.estimate, None)
        return row((left, 5), (self._art, 4), spacing=SPACE_12)

    def _build_recorded(self) -> QWidget:
        self.recorded_text = make_label(RECORDED, wrap=True)
        self.recorded_note = make_label("", "small", wrap=True)
        self.open_recorded = make_button(
            "Explore the recorded run", "books", tip="Every rollout of it, on the Traces page",
            clicked=lambda: self.recordedRequested.emit(self._recorded),
        )  # fmt: skip
        if self._recorded is None:
            self.open_recorded.hide()
        texts = column(self.recorded_text, self.recorded_note, spacing=2)
        self.recorded_note.hide()
        glossary = make_button("Glossary", "info", kind="quiet", clicked=self.glossaryRequested.emit)
        paper = make_button("Paper", "file", kind="quiet", tip="arXiv 2605.11636, in the browser",
                            clicked=self.paperRequested.emit)  # fmt: skip
        card = Card(padding=SPACE_2)
        picture = IconLabel("traces", 28, "accent")
        card.body.addLayout(row(picture, (texts, 1), self.open_recorded, glossary, paper, spacing=SPACE_3))
        return card

    def _build_runs(self) -> Section:
        section = Section("Recent runs")
        self.table = RunTable(self._runs)
        self.table_actions = bind_actions(
            self.table, ACTIONS, {
                "open": lambda: self._with_selected(lambda s: self.runRequested.emit(s.paths)),
                "pin": lambda: self._with_selected(self._toggle_pin),
                "rename": self.table.rename,
                "tags": self.table.ask_tags,
                "group": self.table.ask_group,
                "note": lambda: self._with_selected(self.noteRequested.emit),
                "resume": lambda: self._with_selected(lambda s: self.resumeRequested.emit(s.paths)),
                "discard": lambda: self._with_selected(self.discardRequested.emit),
            }, keys=WIDGET,
        )  # fmt: skip
        tools = [action_button(self.table_actions[name], kind="quiet") for name in ("open", "pin", "note")]
        self.open_button, self.pin_button, self.note_button = tools
        folder = make_icon_button("folder", "Open the runs folder", clicked=self.folderRequested.emit)
        refresh = make_icon_button("refresh", "Read the runs folder again (F5)", clicked=self._runs.refresh)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter runs…")
        self.filter.setToolTip("By name, tag, group or note")
        self.filter.setAccessibleName("Filter the runs")
        self.filter.setClearButtonEnabled(True)
        self.filter.setMinimumWidth(230)
        self.filter.textChanged.connect(self._runs.render_filter)
        fill(section.tools, self.filter, *tools, folder, refresh)
        self.empty = EmptyState(
            "chart", "No runs yet",
            "The demo run needs no download and no account. Its charts fill while it learns, and every rollout is "
            "kept for reading.",
        )  # fmt: skip
        self.empty.layout().setContentsMargins(SPACE_4, SPACE_2, SPACE_4, SPACE_2)
        self._list = QWidget()
        self._stack = QStackedLayout(self._list)
        self._stack.addWidget(self.table)
        self._stack.addWidget(self.empty)
        section.body.addWidget(self._list)
        self.table.opened.connect(lambda s: self.runRequested.emit(s.paths))
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self._render_tools())
        self._runs.modelReset.connect(self._render_tools)
        return section

    def activate(self) -> None:
        if (recorded := self._recorded) is not None:
            self._tasks.run(lambda: read_run(recorded), self._render_recorded, key="recorded run")
        self._runs.refresh()
        self._timer.start()

    def deactivate(self) -> None:
        self._timer.stop()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._art.setVisible(event.size().width() >= WIDE)
        super().resizeEvent(event)

    def themed(self, theme: Theme) -> None:
        self.table.viewport().update()

    def render(self) -> None:  # type: ignore[override]  # QWidget.render paints into a device; a page's renders state
        empty = not self._runs.summaries
        self._stack.setCurrentWidget(self.empty if empty else self.table)
        self._list.setFixedHeight(self.empty.sizeHint().height() if empty else self.table.height())
        self._render_banners()
        self._render_tools()
        past, demo = self._runs.summaries, self._demo
        self._tasks.run(lambda: estimate_time(demo, past=past), self._render_estimate, key="demo estimate")

    def _render_estimate(self, estimate: TimeEstimate) -> None:
        text = estimate.text[0].upper() + estimate.text[1:]
        self.estimate.setText(f"{text} on this machine, {estimate.basis}  ·  {self._demo.steps} steps  ·  offline")
        self.start.setAccessibleDescription(self.estimate.text())

    def _render_recorded(self, summary: RunSummary) -> None:
        """Its figures, with the placebo's beside them."""
        state = summary.state
        if state is None or not state.step:
            return
        names = ("clean", "hinted", "placebo", "needed")
        clean, hinted, placebo, needed = (measure_change(state, name) for name in names)
        if hinted.points is None:
            return
        self.recorded_text.setText(
            f"Recorded run, {state.step} steps. Right answers: clean {clean}, with hints {hinted}, with the placebo "
            f"{placebo}, with needed text after the question {needed}."
        )
        if placebo.points is None:
            note = "Without a placebo's figures a gain with hints says nothing about hints."
        else:
            gains = [signed_points(points / 100) for points in (hinted.points, placebo.points)]
            note = f"With hints {gains[0]} points, with the placebo {gains[1]}. "
            note += "Only the difference can be robustness to hints"
            if needed.points is not None:
                note += f", and only if needed text ({signed_points(needed.points / 100)} points) does not fall"
            note += "."
        if needed.points is None:
            note += " Whether the model ignores whatever follows the question was not measured in it."
        elif needed.difference is not None and needed.difference.high < 0:
            note += " It uses needed text after the question less than before: part of the gain is text ignored."
        self.recorded_note.setText(note)
        self.recorded_note.show()

    def _render_tools(self) -> None:
        selected = self.table.selected()
        for action in self.table_actions.values():
            action.setEnabled(selected is not None)
        for part in (self.filter, self.open_button, self.pin_button, self.note_button):
            part.setVisible(bool(self._runs.summaries))
        state = selected.state if selected is not None else None
        is_followed = state is None or state.status is not RunStatus.NOT_FOLLOWED
        self.table_actions["resume"].setText("Resume" if is_followed else "Follow again")
        self.table_actions["resume"].setEnabled(state is not None and (state.can_resume or not is_followed))
        pinned = selected is not None and self._runs.mark(selected.paths.run_id).pinned
        self.table_actions["pin"].setText("Unpin" if pinned else "Pin")
        self.recent.setVisible(bool(self._workspace is not None and self._workspace.recent_configs()))

    def _render_banners(self) -> None:
        """One for each of the newest runs that did not finish, until it is dismissed."""
        shown = [s for s in self._runs.summaries if s.paths.run_id not in self._dismissed]
        found = [(s, text) for s in shown if (text := describe_problem(s))][:BANNERS]
        for paths in self.banners.keys() - {summary.paths for summary, _text in found}:
            self.banners.pop(paths).deleteLater()
        for summary, text in found:
            if summary.paths not in self.banners:
                banner = self.banners[summary.paths] = Banner()
                banner.dismissed.connect(partial(self._dismiss, summary.paths))
                self._banner_column.addWidget(banner)
            kind = BannerKind.ERROR if text.is_wrong else BannerKind.WARNING
            actions = self._banner_actions(summary, text)
            self.banners[summary.paths].show_message(
                kind, text.title, text.text, log=text.log[-LOG_LINES:], actions=actions, dismissable=True
            )

    def _banner_actions(self, summary: RunSummary, problem: RunProblem) -> list[BannerAction]:
        actions = [BannerAction("Open the run", partial(self.runRequested.emit, summary.paths), "arrow-right")]
        if problem.can_edit_settings:
            edit = partial(self.editRequested.emit, summary)
            tip = "Open the form with them"
            actions.insert(0, BannerAction("Edit settings", edit, "settings", tip, primary=not problem.can_resume))
        resume = partial(self.resumeRequested.emit, summary.paths)
        if problem.can_follow:
            tip = "Go on reading what the run on its cluster writes"
            actions.insert(0, BannerAction("Follow again", resume, "refresh", tip, primary=True))
        if problem.can_resume:
            tip = "Start a trainer that continues from the newest checkpoint"
            actions.insert(0, BannerAction("Resume", resume, "resume", tip, primary=True))
        return actions

    def _dismiss(self, paths: RunPaths) -> None:
        self._dismissed.add(paths.run_id)
        self._render_banners()

    def _with_selected(self, do: Callable[[RunSummary], object]) -> None:
        if (summary := self.table.selected()) is not None:
            do(summary)

    def _toggle_pin(self, summary: RunSummary) -> None:
        run_id = summary.paths.run_id
        self._runs.set_mark(run_id, pinned=not self._runs.mark(run_id).pinned)
        self.table.select_run(summary)
        self._render_tools()

    def make_recent_menu(self) -> QMenu:
        menu = QMenu(self)
        for path in self._workspace.recent_configs() if self._workspace is not None else ():
            menu.addAction(path.name, partial(self.configRequested.emit, path)).setToolTip(str(path))
        return menu


class HeroArt(QWidget):
    """Decoration: a clean signal and a disturbed one that settle together, in the colours of clean and hinted."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(240, 170)

    def sizeHint(self) -> QSize:
        return QSize(420, 220)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = current_theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for line in range(1, 6):
            y = self.height() * line / 6
            painter.setPen(QPen(theme.colour("grid"), 1))
            painter.drawLine(QPointF(0, y), QPointF(self.width(), y))
        for strand in range(7):
            self._draw(painter, "hinted", strand / 6, 0.16 + 0.1 * (strand / 6), 1.1)
        self._draw(painter, "hinted", 1.0, 0.95, 2.0)
        self._draw(painter, "clean", 0.0, 0.95, 2.2)

    def _draw(self, painter: QPainter, name: str, disturbance: float, strength: float, width: float) -> None:
        path = QPainterPath()
        steps = 220
        for i in range(steps + 1):
            x = i / steps
            point = QPointF(x * self.width(), self.height() * (0.5 - 0.34 * curve(x, disturbance)))
            if i == 0:
                path.moveTo(point)
            else:
                path.lineTo(point)
        gradient = QLinearGradient(0, 0, self.width(), 0)
        for stop, share in ((0.0, 0.0), (0.1, 1.0), (0.9, 1.0), (1.0, 0.15)):
            gradient.setColorAt(stop, current_theme().wash(name, strength * share))
        painter.setPen(QPen(gradient, width))
        painter.drawPath(path)


def curve(x: float, disturbance: float) -> float:
    """Height in [-1, 1] at x in [0, 1]: a calm swell, plus a burst that fades towards the right."""
    calm = 0.55 * math.sin(2 * math.pi * (1.6 * x + 0.1)) * (0.55 + 0.45 * x)
    burst = math.exp(-(((x - 0.3) / 0.2) ** 2)) * math.sin(2 * math.pi * 9.5 * x) * 0.7
    tail = 0.1 * math.exp(-3 * max(0.0, x - 0.4)) * math.sin(2 * math.pi * 14 * x)
    return max(-1.0, min(1.0, calm + disturbance * (burst + tail)))


STEPS = (
    ("check-circle", "clean", "R1 · Clean", "The model solves problems as they are."),
    ("craft", "adversary", "R2 · Hint", "The same model writes a hint that is meant to mislead."),
    ("stop-hand", "warn", "Gate", "Rules refuse hints that state the answer or change the problem."),
    ("train", "hinted", "R3 · Hinted", "It solves them with the hint, and learns to keep its answer."),
    ("stable", "placebo", "Placebo", "Neutral text of the same length. Only an effect beyond it is the hint's."),
)
"""Icon, colour, name, sentence. The colours are those of the charts."""


class MethodStrip(QWidget):
    """The method: five cards with arrows between; the placebo is a comparison and has none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("How it works")
        strip = row(parent=self)
        for place, (icon, tone, name, text) in enumerate(STEPS):
            if place:
                fill(strip, IconLabel("arrow-right", 16, "muted") if place < len(STEPS) - 1 else SPACE_2)
            sentence = make_label(text, "small", wrap=True)
            sentence.setAlignment(Qt.AlignmentFlag.AlignTop)
            card = Card("flat", padding=SPACE_2)
            card.setAccessibleName(f"{name}. {text}")
            card.body.setSpacing(SPACE_1)
            fill(card.body, row(IconLabel(icon, 20, tone), make_label(name, "strong"), None), (sentence, 1))
            strip.addWidget(card, 1)
