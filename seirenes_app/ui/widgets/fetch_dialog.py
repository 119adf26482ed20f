"""Fetching the files of a run on a cluster: which kinds, how large, how far. The one dialog of all pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QWidget

from seirenes_app.services.cluster_runs import KINDS, RemoteFile, cluster_place, fetch, remote_files, unless_interrupted
from seirenes_app.services.formatting import byte_size, count_of
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.boxes import column, fill
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import IconLine, make_label
from seirenes_app.ui.widgets.progress import Progress
from training.cluster_job import kind_of
from training.runs.paths import RunPaths

WIDE = 560
TITLES = {
    "checkpoints": "Checkpoints, for export, evaluations and replay",
    "evaluations": "Evaluations, for the Robustness page",
    "rollouts": "Rollouts, for the Traces page",
}
ABOUT = (
    "Files are read in parts through the cluster's job interface and checked by their hash before they take their "
    "place. What an interrupted fetch has read is not read again."
)


class FetchDialog(PageDialog):
    """Lists what the cluster has, then fetches the chosen kinds into the run's folder."""

    fetched = Signal(object)
    """RunPaths, once all that was chosen is here."""

    def __init__(
        self, paths: RunPaths, cluster: str, tasks: TaskRunner, wanted: Sequence[str] = KINDS,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__("Fetch from the cluster", parent)
        self._paths, self._cluster, self._tasks, self._wanted = paths, cluster, tasks, tuple(wanted)
        self._files: tuple[RemoteFile, ...] = ()
        self._task: Task | None = None
        self._is_cancelled = False
        self.body.addStrut(WIDE)
        self.boxes = {kind: QCheckBox(TITLES[kind]) for kind in KINDS}
        for box in self.boxes.values():
            box.toggled.connect(lambda _on: self._render())
        self.progress = Progress("Stop reading; what was read is kept")
        self.progress.cancelRequested.connect(self.cancel)
        self.status = IconLine()
        place = QWidget()
        place.setMinimumHeight(3 * self.fontMetrics().lineSpacing())
        column(self.progress, self.status, None, parent=place)
        fill(self.body, make_label(f"{paths.run_id}, on {cluster}", "muted"), make_label(ABOUT, "muted", wrap=True),
             SPACE_2, *self.boxes.values(), place)  # fmt: skip
        self.again = make_button("List again", "refresh", tip="What the cluster has now", clicked=self.start)
        self.go = make_button("Fetch", "drop", kind="primary", clicked=self._fetch)
        self.go.setDefault(True)
        self.close_button = make_button("Close", clicked=self.reject)
        fill(self.buttons, self.again, None, self.close_button, self.go)
        self.start()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The chosen ones."""
        return tuple(kind for kind, box in self.boxes.items() if box.isChecked() and box.isEnabled())

    def start(self) -> None:
        """Ask the cluster what there is."""
        paths = self._paths
        self._begin("Listing the files…")
        self._task = self._tasks.run(
            lambda: unless_interrupted(lambda: remote_files(paths, cancelled=lambda: self._is_cancelled)),
            self._on_listed, self._on_failed,
        )  # fmt: skip
        self._render()

    def _on_listed(self, files: Sequence[RemoteFile] | None) -> None:
        self._end()
        if files is None:
            self.status.render_line("info", "muted", "The cluster was not asked to the end.")
        else:
            self._files = tuple(files)
            for kind, box in self.boxes.items():
                found = [file for file in files if kind_of(file.path) == kind]
                size = f"{count_of(len(found), 'file')}, {byte_size(sum(f.size for f in found))}"
                box.setText(f"{TITLES[kind]}: {size if found else 'none yet'}")
                box.setEnabled(bool(found))
                box.setChecked(bool(found) and kind in self._wanted)
        self._render()

    def _fetch(self) -> None:
        paths, kinds = self._paths, self.kinds
        self._begin("Reading…")
        self._task = self._tasks.run_task(
            lambda task: unless_interrupted(
                lambda: fetch(paths, kinds, progress=task.report, cancelled=lambda: self._is_cancelled)
            ),
            self._on_fetched, self._on_failed, progress=self._on_progress,
        )  # fmt: skip
        self._render()

    def _on_progress(self, done: int, total: int) -> None:
        figures = f"{byte_size(done)} of {byte_size(total)}"
        self.progress.render_progress("Reading…", done, max(total, 1), figures, cancelling=self._is_cancelled)

    def _on_fetched(self, new: int | None) -> None:
        self._end()
        if new is None:
            self.status.render_line("info", "muted", "Interrupted. Fetch again to go on from there.")
        else:
            text = f"{byte_size(new)} fetched; the hashes agree." if new else "Everything is here already."
            self.status.render_line("check-circle", "good", text)
            self.fetched.emit(self._paths)
        self._render()

    def _on_failed(self, text: str) -> None:
        self._end()
        self.status.render_line("error", "bad", text)
        self._render()

    def cancel(self) -> None:
        """End what is under way, after the part that is being read."""
        self._is_cancelled = True
        self.progress.render_progress("", cancelling=True)

    def _begin(self, text: str) -> None:
        self._is_cancelled = False
        self.status.render_line("", "", "")
        self.progress.render_progress(text)

    def _end(self) -> None:
        self._task = None
        self.progress.clear()

    def _render(self) -> None:
        busy = self._task is not None
        self.again.setEnabled(not busy)
        for kind, box in self.boxes.items():
            there = any(kind_of(file.path) == kind for file in self._files)
            box.setEnabled(there and not busy)
            box.setToolTip("" if there else "The cluster has none of them")
        self.go.setEnabled(bool(self.kinds) and not busy)
        self.go.setToolTip("" if self._files else "The files are not listed yet")

    def done(self, code: int) -> None:
        self._is_cancelled = True
        super().done(code)


NOT_FETCHED = "Not fetched yet"


def open_fetch(
    paths: RunPaths | None, tasks: TaskRunner, fetched: Callable[[RunPaths], object], parent: QWidget,
    wanted: Sequence[str] = KINDS,
) -> None:  # fmt: skip
    """Show the dialog for a run on a cluster; nothing for another one. `fetched` is called once files have come."""
    if paths is None or (place := cluster_place(paths)) is None:
        return
    dialog = FetchDialog(paths, place.cluster, tasks, wanted, parent)
    dialog.fetched.connect(fetched)
    dialog.finished.connect(lambda _code: dialog.deleteLater())
    dialog.open()
