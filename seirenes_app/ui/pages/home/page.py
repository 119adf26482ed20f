"""Home: start something, see what became of what was started, know the machine. Decides nothing about a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QStackedLayout, QVBoxLayout, QWidget

from seirenes_app.services.estimate import TimeEstimate, estimate_time
from seirenes_app.services.run_summary import tell
from seirenes_app.store.workspace import Workspace
from seirenes_app.ui.actions import WIDGET, bind_actions
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.home.actions import ACTIONS
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_6, Theme
from seirenes_app.ui.widgets.buttons import action_button, make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Column, FailureCard, Section, make_rule
from seirenes_app.ui.widgets.empty_state import EmptyState
from seirenes_app.ui.widgets.hero_art import HeroArt
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.recorded_card import RecordedCard
from seirenes_app.ui.widgets.resource_monitor import MachineSummary
from seirenes_app.ui.widgets.run_table import RunTable
from training.runs.config import Preset, RunConfig
from training.runs.listing import RunSummary, read_run
from training.runs.paths import RunPaths

DEMO = "demo"
REFRESH_MS = 10_000
STORIES = 2
WIDE = 960


class HomePage(Page):
    """Asks by signals; the window answers."""

    key = "home"

    demoAsked = Signal()
    craftAsked = Signal()
    configAsked = Signal(object)
    """Path of a config file, or None to choose one."""
    runAsked = Signal(object)
    """RunPaths to open."""
    resumeAsked = Signal(object)
    noteAsked = Signal(object)
    discardAsked = Signal(object)
    recordedAsked = Signal(object)
    """RunPaths of the run that ships with the laboratory."""
    folderAsked = Signal()

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
        self._recorded = recorded if recorded is not None and recorded.rollouts.is_file() else None
        self._hidden: set[str] = set()
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._build()
        self._connect()

    # ------------------------------------------------------------------ build

    def _build(self) -> None:
        column = Column()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(column)
        column.body.addLayout(self._build_hero())
        self.recorded = RecordedCard()
        self.recorded.setVisible(self._recorded is not None)
        column.body.addWidget(self.recorded)
        self._stories = QVBoxLayout()
        self._stories.setSpacing(SPACE_3)
        column.body.addLayout(self._stories)
        column.body.addWidget(self._build_runs())
        column.body.addStretch(1)
        column.body.addWidget(make_rule())
        machine = Section("This machine")
        self.machine = MachineSummary()
        machine.body.addWidget(self.machine)
        column.body.addWidget(machine)

    def _build_hero(self) -> QHBoxLayout:
        words = QVBoxLayout()
        words.setSpacing(SPACE_2)
        title = make_label("Train a model against\nits own distractions", "hero")
        text = make_label(
            "One model plays two roles. As Adversary it writes misleading hints; as Reasoner it learns to keep its "
            "answer. Watch both change, step by step.", "muted", wrap=True,
        )  # fmt: skip
        text.setMinimumWidth(510)
        text.setMaximumWidth(540)
        self.start = make_button(
            "Start the demo run", "play", kind="primary", large=True,
            tip="Self-play with the bundled reasoner, on this machine, offline (Ctrl+D)", clicked=self.demoAsked.emit,
        )  # fmt: skip
        self.craft = make_button(
            "Craft a distraction", "craft", large=True, clicked=self.craftAsked.emit,
            tip="Write one, or let a model write it, and see what it does to a solver (Ctrl+2)",
        )  # fmt: skip
        self.open_config = make_icon_button(
            "file", "Open a config file: a run's settings as TOML or JSON (Ctrl+O)",
            clicked=lambda: self.configAsked.emit(None),
        )  # fmt: skip
        self.recent = make_icon_button("chevron-down", "Recent config files", clicked=self._show_recent)
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_2)
        for button in (self.start, self.craft, self.open_config, self.recent):
            buttons.addWidget(button)
        buttons.addStretch(1)
        self.estimate = make_label("Estimating…", "small")
        words.addStretch(1)
        words.addWidget(title)
        words.addSpacing(SPACE_2)
        words.addWidget(text)
        words.addSpacing(SPACE_3)
        words.addLayout(buttons)
        words.addSpacing(2)
        words.addWidget(self.estimate)
        words.addStretch(1)
        hero = QHBoxLayout()
        hero.setSpacing(SPACE_6 * 2)
        hero.addLayout(words, 5)
        art = HeroArt()
        art.setFixedHeight(240)
        art.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        hero.addWidget(art, 5)
        self._art = art
        return hero

    def _build_runs(self) -> Section:
        section = Section("Recent runs")
        self.table = RunTable(self._runs)
        self.table_actions = bind_actions(
            self.table, ACTIONS, {
                "open": lambda: self._with_selected(lambda s: self.runAsked.emit(s.paths)),
                "pin": lambda: self._with_selected(self._toggle_pin),
                "note": lambda: self._with_selected(self.noteAsked.emit),
                "resume": lambda: self._with_selected(lambda s: self.resumeAsked.emit(s.paths)),
                "discard": lambda: self._with_selected(self.discardAsked.emit),
            }, keys=WIDGET,
        )  # fmt: skip
        tools = [action_button(self.table_actions[name], kind="quiet") for name in ("open", "pin", "note")]
        self.open_button, self.pin_button, self.note_button = tools
        folder = make_icon_button("folder", "Open the runs folder", clicked=self.folderAsked.emit)
        refresh = make_icon_button("refresh", "Look again (F5)", clicked=self._runs.refresh)
        for tool in (self.open_button, self.pin_button, self.note_button, folder, refresh):
            section.tools.addWidget(tool)
        self.empty = EmptyState(
            "chart", "No runs yet",
            "The demo run needs no download and no account. Its charts fill while it learns, and everything it wrote "
            "stays here to be read afterwards.",
        )  # fmt: skip
        if self._recorded is not None:
            # The card above has taken some of the first screen's height.
            self.empty.layout().setContentsMargins(SPACE_6, SPACE_2, SPACE_6, SPACE_2)
        holder = QWidget()
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self.table)
        self._stack.addWidget(self.empty)
        section.body.addWidget(holder)
        self._list = holder
        return section

    def _connect(self) -> None:
        self._runs.loaded.connect(self.render)
        self.recorded.openAsked.connect(lambda: self.recordedAsked.emit(self._recorded))
        self._timer.timeout.connect(self._runs.refresh)
        self.table.opened.connect(lambda s: self.runAsked.emit(s.paths))
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self._render_tools())
        self._runs.modelReset.connect(self._render_tools)

    # ------------------------------------------------------------------ verbs of a page

    def activate(self) -> None:
        """Look at the disk now and every few seconds."""
        if (recorded := self._recorded) is not None:
            self._tasks.run(lambda: read_run(recorded), self.recorded.render_summary, key="recorded run")
        self._runs.refresh()
        self._timer.start()

    def deactivate(self) -> None:
        """Stop looking."""
        self._timer.stop()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A narrow window has no room for the picture."""
        self._art.setVisible(event.size().width() >= WIDE)
        super().resizeEvent(event)

    def themed(self, theme: Theme) -> None:
        """Painted parts anew."""
        self.table.viewport().update()

    # ------------------------------------------------------------------ render

    def render(self) -> None:  # type: ignore[override]  # QWidget.render paints into a device; a page's renders state
        """Show what the model holds."""
        empty = not self._runs.summaries
        self._stack.setCurrentWidget(self.empty if empty else self.table)
        self._list.setFixedHeight(self.empty.sizeHint().height() if empty else self.table.height())
        self._render_stories()
        self._render_tools()
        self._estimate()

    def _estimate(self) -> None:
        past, demo = self._runs.summaries, self._demo
        self._tasks.run(lambda: estimate_time(demo, past=past), self._render_estimate, key="demo estimate")

    def _render_estimate(self, estimate: TimeEstimate) -> None:
        words = estimate.words[0].upper() + estimate.words[1:]
        self.estimate.setText(f"{words} on this machine, {estimate.basis}  ·  {self._demo.steps} steps  ·  offline")
        self.start.setAccessibleDescription(self.estimate.text())

    def _render_tools(self) -> None:
        selected = self.table.selected()
        for action in self.table_actions.values():
            action.setEnabled(selected is not None)
        for button in (self.open_button, self.pin_button, self.note_button):
            button.setVisible(bool(self._runs.summaries))
        pinned = selected is not None and self._runs.mark(selected.paths.run_id).pinned
        self.table_actions["pin"].setText("Unpin" if pinned else "Pin")
        self.recent.setVisible(bool(self._workspace is not None and self._workspace.recent_configs()))

    def _render_stories(self) -> None:
        told: list[tuple[RunSummary, FailureCard]] = []
        for summary in self._runs.summaries:
            if summary.paths.run_id in self._hidden or len(told) == STORIES:
                continue
            story = tell(summary)
            if story is not None:
                told.append((summary, FailureCard(summary, story)))
        shown = [self._stories.itemAt(i).widget() for i in range(self._stories.count())]
        if [(c.paths, c.story) for c in shown if isinstance(c, FailureCard)] == [(s.paths, c.story) for s, c in told]:
            return
        for old in shown:
            if old is not None:
                self._stories.removeWidget(old)
                old.deleteLater()
        for _summary, card in told:
            card.resumeAsked.connect(self.resumeAsked)
            card.openAsked.connect(self.runAsked)
            card.dismissed.connect(self._dismiss)
            self._stories.addWidget(card)

    @property
    def stories(self) -> list[FailureCard]:
        """The messages in view."""
        found = (self._stories.itemAt(i).widget() for i in range(self._stories.count()))
        return [card for card in found if isinstance(card, FailureCard)]

    # ------------------------------------------------------------------ small deeds

    def _dismiss(self, paths: RunPaths) -> None:
        self._hidden.add(paths.run_id)
        self._render_stories()

    def _with_selected(self, do: Callable[[RunSummary], object]) -> None:
        if (summary := self.table.selected()) is not None:
            do(summary)

    def _toggle_pin(self, summary: RunSummary) -> None:
        run_id = summary.paths.run_id
        self._runs.pin(run_id, not self._runs.mark(run_id).pinned)
        self.table.select_run(summary)
        self._render_tools()

    def _show_recent(self) -> None:
        menu = self.make_recent_menu()
        menu.popup(self.recent.mapToGlobal(self.recent.rect().bottomLeft()))

    def make_recent_menu(self) -> QMenu:
        """Config files that were opened before."""
        menu = QMenu(self)
        for path in self._workspace.recent_configs() if self._workspace is not None else ():
            menu.addAction(path.name, self._opener(path)).setToolTip(str(path))
        return menu

    def _opener(self, path: Path) -> Callable[[], None]:
        return lambda: self.configAsked.emit(path)
