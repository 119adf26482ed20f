"""What the Traces page shows: table and inspector, or an empty state; and the button that chooses the run."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton, QSplitter, QStackedLayout, QWidget

from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.boxes import column
from seirenes_app.ui.widgets.empty_state import EmptyState, EmptyStateHolder
from seirenes_app.ui.widgets.source_menu import RECORDED, RECORDED_NAME, SourceMenu, brief, is_live, look_of
from training.runs.listing import RunSummary
from training.runs.paths import RunPaths

BESIDE = 1400
"""From this width on the inspector stands beside the table, not below it."""
HANDLE = 14


class ViewStack(QWidget):
    """Table and inspector, or an empty state in their place."""

    def __init__(self, table: QWidget, inspector: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.content = QSplitter(Qt.Orientation.Vertical)
        self.content.setChildrenCollapsible(False)
        self.content.setHandleWidth(HANDLE)
        self.content.addWidget(table)
        self.content.addWidget(inspector)
        table.setMinimumSize(320, 130)
        inspector.setMinimumSize(340, 160)
        self._share_room()
        self._holder = EmptyStateHolder()
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.content)
        self._stack.addWidget(self._holder)

    @property
    def empty(self) -> EmptyState | None:
        """The empty state that was shown last."""
        return self._holder.state

    @property
    def has_content(self) -> bool:
        """Whether the table is in view."""
        return self._stack.currentIndex() == 0

    def show_content(self) -> None:
        """The table and its inspector."""
        self._stack.setCurrentIndex(0)

    def show_empty(self, icon: str, title: str, text: str, *buttons: QPushButton) -> None:
        """A reason, and what can be done about it."""
        self._holder.render_state(icon, title, text, buttons)
        self._stack.setCurrentIndex(1)

    def arrange(self, width: int) -> None:
        """Side by side on a page of that width, or one above the other."""
        side = Qt.Orientation.Horizontal if width >= BESIDE else Qt.Orientation.Vertical
        if self.content.orientation() != side:
            self.content.setOrientation(side)
            self._share_room()

    def _share_room(self) -> None:
        shares = (57, 43) if self.content.orientation() == Qt.Orientation.Horizontal else (42, 58)
        for place, share in enumerate(shares):
            self.content.setStretchFactor(place, share)
        self.content.setSizes([share * 100 for share in shares])


def centred(widget: QWidget) -> QWidget:
    """A widget at its own height, a little above the middle."""
    holder = QWidget()
    column(None, None, widget, None, None, None, parent=holder)
    return holder


MAX_RUNS = 20
"""Recent runs in the menu; the others are opened from Home."""
NAME_CHARACTERS = 44


class RunChooser(SourceMenu):
    """Runs that are live, recent runs, and the recorded one. `chosen` carries RunPaths."""

    def __init__(self, recorded: RunPaths | None, parent: QWidget | None = None) -> None:
        super().__init__("Open another run (Ctrl+L)", parent)
        self._recorded = recorded
        self._runs: Sequence[RunSummary] = ()
        self._paths: RunPaths | None = None

    def render(self, paths: RunPaths | None, runs: Sequence[RunSummary]) -> None:  # type: ignore[override]  # see Inspector
        """Show which run is open."""
        self._paths, self._runs = paths, runs
        name, style = "Choose a run", None
        if paths is not None and paths == self._recorded:
            name, style = RECORDED_NAME, RECORDED
        elif paths is not None:
            name, style = paths.run_id, self._find_style(paths)
        self.show_open(brief(name, NAME_CHARACTERS), f"Run: {name}" if paths is not None else name, style)

    def _find_style(self, paths: RunPaths) -> BadgeStyle | None:
        return next((look_of(s.state) for s in self._runs if s.paths == paths), None)

    def first(self) -> RunPaths | None:
        """What to open by default: a live run, the newest with rollouts, or the recorded one."""
        live = [s.paths for s in self._runs if is_live(s)]
        past = [s.paths for s in self._runs if s.paths.rollouts.is_file()]
        return next(iter([*live, *past]), self._recorded)

    def fill(self) -> None:
        """Runs, and the recorded one."""
        self.add_runs(self._runs, lambda s: s.paths, self._paths, most=MAX_RUNS, characters=NAME_CHARACTERS)
        if self._recorded is not None:
            self.add_recorded(self._recorded, is_open=self._recorded == self._paths)
