"""What stands on the Traces page: table and inspector, or, where there is nothing to read, why and what to do.

Which run is read: those that are going, the recent ones, and the recorded one that ships."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton, QSplitter, QStackedLayout, QVBoxLayout, QWidget

from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.empty_state import EmptyState, EmptyStateHolder
from seirenes_app.ui.widgets.source_menu import RECORDED, RECORDED_NAME, SourceMenu, brief, is_live, look_of
from training.runs.listing import RunSummary
from training.runs.paths import RunPaths

BESIDE = 1400
"""From this width on the inspector stands beside the table, not below it."""
HANDLE = 14


class Faces(QWidget):
    """`content` in view, or an empty state in its place."""

    def __init__(self, table: QWidget, inspector: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.content = QSplitter(Qt.Orientation.Vertical)
        self.content.setChildrenCollapsible(False)
        self.content.setHandleWidth(HANDLE)
        self.content.addWidget(table)
        self.content.addWidget(inspector)
        table.setMinimumSize(320, 130)
        inspector.setMinimumSize(340, 160)
        self._share()
        self._place = EmptyStateHolder()
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.content)
        self._stack.addWidget(self._place)

    @property
    def empty(self) -> EmptyState | None:
        """The empty state that was shown last."""
        return self._place.state

    @property
    def reading(self) -> bool:
        """Whether the table is in view."""
        return self._stack.currentIndex() == 0

    def show_content(self) -> None:
        """The table and its inspector."""
        self._stack.setCurrentIndex(0)

    def show_empty(self, icon: str, title: str, text: str, buttons: tuple[QPushButton, ...] = ()) -> None:
        """A reason in words, and what can be done about it."""
        self._place.render_state(icon, title, text, buttons)
        self._stack.setCurrentIndex(1)

    def show_nothing(self, start: QPushButton) -> None:
        """No run is open; `start` makes one."""
        self.show_empty(
            "traces", "No run to read yet",
            "A run keeps every rollout: each solution, each hint, and what the gates said. Start one, and read along "
            "while it goes.", (start,),
        )  # fmt: skip

    def show_waiting(self) -> None:
        """A run that has written nothing yet."""
        self.show_empty(
            "clock", "No rollouts yet",
            "They come with the run's first step, and are shown here as soon as they are written.",
        )  # fmt: skip

    def show_damaged(self, text: str) -> None:
        """A file that cannot be read."""
        self.show_empty("warning", "These rollouts cannot be read", text)

    def turn(self, width: int) -> None:
        """Side by side on a page of that width, or one above the other."""
        side = Qt.Orientation.Horizontal if width >= BESIDE else Qt.Orientation.Vertical
        if self.content.orientation() != side:
            self.content.setOrientation(side)
            self._share()

    def _share(self) -> None:
        shares = (57, 43) if self.content.orientation() == Qt.Orientation.Horizontal else (42, 58)
        for place, share in enumerate(shares):
            self.content.setStretchFactor(place, share)
        self.content.setSizes([share * 100 for share in shares])


def centred(widget: QWidget) -> QWidget:
    """A widget at its own height, a little above the middle of the room."""
    holder = QWidget()
    column = QVBoxLayout(holder)
    column.setContentsMargins(0, 0, 0, 0)
    column.addStretch(2)
    column.addWidget(widget)
    column.addStretch(3)
    return holder


MOST = 20
"""Recent runs in the menu; the others are opened from Home."""
NAME_CHARACTERS = 44


class RunChooser(SourceMenu):
    """`chosen` carries RunPaths."""

    def __init__(self, recorded: RunPaths | None, parent: QWidget | None = None) -> None:
        super().__init__("Read another run (Ctrl+L)", parent)
        self._recorded = recorded
        self._runs: Sequence[RunSummary] = ()
        self._paths: RunPaths | None = None

    def render(self, paths: RunPaths | None, runs: Sequence[RunSummary]) -> None:  # type: ignore[override]  # see Inspector
        """Name the run that is open."""
        self._paths, self._runs = paths, runs
        name = self._name(paths) if paths is not None else "Choose a run"
        said = f"Run: {name}" if paths is not None else name
        self.show_open(brief(name, NAME_CHARACTERS), said, self._look(paths))

    def first(self) -> RunPaths | None:
        """What to open where nobody chose: a run that is going, the newest with rollouts, or the recorded one."""
        live = [s.paths for s in self._runs if is_live(s)]
        past = [s.paths for s in self._runs if s.paths.rollouts.is_file()]
        return next(iter([*live, *past]), self._recorded)

    def _name(self, paths: RunPaths) -> str:
        return RECORDED_NAME if paths == self._recorded else paths.run_id

    def _look(self, paths: RunPaths | None) -> BadgeStyle | None:
        if paths is None:
            return None
        if paths == self._recorded:
            return RECORDED
        summary = next((s for s in self._runs if s.paths == paths), None)
        return look_of(summary.state) if summary is not None else None

    def fill(self) -> None:
        """Runs, and the one that ships."""
        self.add_runs(self._runs, lambda s: s.paths, self._paths, most=MOST, characters=NAME_CHARACTERS)
        if self._recorded is not None:
            self.add_recorded(self._recorded, is_open=self._recorded == self._paths)
