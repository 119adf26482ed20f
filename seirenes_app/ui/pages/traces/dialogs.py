"""Export of rollouts: which rows, in which format, to which file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QRadioButton, QWidget

from seirenes_app.services.formatting import count_of, format_count
from seirenes_app.services.traces import TraceSource, export_traces
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.widgets.export_dialog import FileExportDialog
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.rollouts.reader import Cancelled
from training.runs.paths import RunPaths

FORMATS = (Segment("jsonl", "JSONL", "one object per line"), Segment("parquet", "Parquet", "columns, compressed"))


class ExportDialog(FileExportDialog):
    """Writes `hits`, the ids of the table, or the selection."""

    def __init__(
        self, hits: Sequence[int], selection: Sequence[int], paths: RunPaths, tasks: TaskRunner,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        note = "Columns are named as in TRL's tables of completions, followed by the run's own."
        super().__init__("Export rollouts", note, tasks, "Choose a file…", self._choose, parent)
        self._hits, self._selection, self._paths = hits, selection, paths
        several = len(selection) > 1
        self.all = QRadioButton(f"All {count_of(len(hits), 'rollout')} of the table")
        self.some = QRadioButton(f"The selection: {count_of(len(selection), 'rollout')}")
        if not several:
            self.some.hide()
        (self.some if several else self.all).setChecked(True)
        self.format = Segmented("Format", FORMATS)
        self.format.render_value("jsonl")
        for part in (self.all, self.some, self.format):
            self.choices.addWidget(part)

    def _choose(self) -> None:
        suffix = self.format.value
        name, _ = QFileDialog.getSaveFileName(
            self, "Export rollouts", f"{self._paths.run_id}-rollouts.{suffix}", f"{suffix.upper()} (*.{suffix})"
        )
        if name:
            self.start(Path(name))

    def start(self, file: Path) -> None:
        """Write the chosen rows to `file`; the format's suffix is added where it is missing."""
        suffix = f".{self.format.value}"
        target = file if file.suffix == suffix else file.with_name(file.name + suffix)
        ids = self._selection if self.some.isChecked() else self._hits
        paths = self._paths

        def write(progress: Callable[[int, int], None], cancelled: Callable[[], bool]) -> str | None:
            # A source of its own: an export must not make the page wait, nor end when another run is opened.
            source = TraceSource(paths)
            try:
                count = export_traces(source, ids, target, progress=progress, cancelled=cancelled)
            except Cancelled:
                return None
            finally:
                source.close()
            return f"{count_of(count, 'rollout')} written to {target}."

        self.run(write, target)

    def describe_progress(self, done: int, total: int) -> str:
        return f"{format_count(done)} of {count_of(total, 'rollout')} written"
