"""Rollouts to a file: which, as what, where to; then its progress, which can be cancelled. It writes nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog, QProgressBar, QRadioButton, QWidget

from seirenes_app.services.formatting import count_of, format_count
from seirenes_app.ui.theme import SPACE_3
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.segmented import Segment, Segmented

FORMATS = (
    Segment("jsonl", "JSONL", "one object a line"),
    Segment("parquet", "Parquet", "columns, compressed"),
)


class Export(Protocol):
    """What writes: `TracesController.export`."""

    def __call__(
        self, ids: Sequence[int], file: Path, progress: Callable[[int, int], None], cancelled: Callable[[], bool],
        then: Callable[[int | None], None], failed: Callable[[str], None],
    ) -> None: ...  # fmt: skip


class ExportDialog(PageDialog):
    """Closing it while it writes cancels: a half-written file is never left."""

    said = Signal(str)
    """What was done, for a toast."""
    _progressed = Signal(int, int)

    def __init__(
        self, hits: Sequence[int], selection: Sequence[int], run_id: str, export: Export, parent: QWidget | None = None
    ) -> None:
        super().__init__("Export rollouts", parent)
        self._hits, self._selection, self._run_id, self._export = hits, selection, run_id, export
        self._busy = self._stop = False
        self._told = 0
        self.file: Path | None = None
        self._build()
        self._progressed.connect(self._render_progress)

    def _build(self) -> None:
        self.body.addWidget(make_label("Export rollouts", "title"))
        self.body.addWidget(make_label(
            "Columns are named as in TRL's tables of completions, with the run's own beside them.", "muted", wrap=True,
        ))  # fmt: skip
        self.body.addSpacing(SPACE_3)
        self.all = QRadioButton(f"All {count_of(len(self._hits), 'rollout')} of the table")
        self.some = QRadioButton(f"The selection: {count_of(len(self._selection), 'rollout')}")
        self.some.setVisible(len(self._selection) > 1)
        (self.some if len(self._selection) > 1 else self.all).setChecked(True)
        self.body.addWidget(self.all)
        self.body.addWidget(self.some)
        self.body.addSpacing(SPACE_3)
        self.format = Segmented("Format", FORMATS)
        self.format.render_value("jsonl")
        self.body.addWidget(self.format)
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Rollouts written")
        self.bar.setTextVisible(False)
        self.words = make_label("", wrap=True, select=True)
        for part in (self.bar, self.words):
            part.hide()
            self.body.addWidget(part)
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.folder = make_button("Show the folder", "folder", clicked=self._show_folder)
        self.folder.hide()
        self.go = make_button("Choose a file…", "export", kind="primary", clicked=self._choose)
        self.go.setDefault(True)
        self.buttons.addWidget(self.cancel)
        self.buttons.addStretch(1)
        self.buttons.addWidget(self.folder)
        self.buttons.addWidget(self.go)

    # ------------------------------------------------------------------ deeds

    def _choose(self) -> None:
        suffix = self.format.value
        name, _ = QFileDialog.getSaveFileName(
            self, "Export rollouts", f"{self._run_id}-rollouts.{suffix}", f"{suffix.upper()} (*.{suffix})"
        )
        if name:
            self.start(Path(name))

    def start(self, file: Path) -> None:
        """Write the chosen rows to `file`; the format's suffix is added where it is missing."""
        suffix = f".{self.format.value}"
        self.file = file if file.suffix == suffix else file.with_name(file.name + suffix)
        ids = self._selection if self.some.isChecked() else self._hits
        self._busy, self._stop, self._told = True, False, 0
        self._render_busy(len(ids))
        self._export(ids, self.file, self._hear, lambda: self._stop, self._take_done, self._take_failure)

    def _hear(self, done: int, total: int) -> None:
        """In the writing thread: as many signals as a bar has pixels, not one a row."""
        if done == total or done - self._told >= max(1, total // 300):
            self._told = done
            self._progressed.emit(done, total)

    def reject(self) -> None:
        """Cancel what is being written, or close."""
        if self._busy:
            self._stop = True
            self.words.setText("Cancelling…")
            self.cancel.setEnabled(False)
        else:
            super().reject()

    # ------------------------------------------------------------------ render

    def _render_busy(self, total: int) -> None:
        for part in (self.all, self.some, self.format):
            part.hide()
        self.go.setEnabled(False)
        set_tone(self.words, "")
        self.bar.setRange(0, total)
        self.bar.setValue(0)
        self.words.setText(f"Writing {count_of(total, 'rollout')}…")
        self.bar.show()
        self.words.show()
        self.cancel.setFocus()
        self.adjustSize()

    def _render_progress(self, done: int, total: int) -> None:
        if self._busy and not self._stop:
            self.bar.setValue(done)
            self.words.setText(f"{format_count(done)} of {count_of(total, 'rollout')} written")

    def _take_done(self, count: int | None) -> None:
        self._busy = False
        if count is None:
            self.said.emit("Export cancelled; no file was left.")
            super().reject()
            return
        text = f"{count_of(count, 'rollout')} written to {self.file}."
        self.said.emit(text)
        self.words.setText(text)
        self.bar.setValue(self.bar.maximum())
        self.go.hide()
        self.folder.show()
        self.cancel.setEnabled(True)
        self.cancel.setText("Close")
        self.cancel.setFocus()

    def _take_failure(self, text: str) -> None:
        self._busy = False
        self.words.setText(text)
        set_tone(self.words, "bad")
        self.bar.hide()
        self.cancel.setEnabled(True)
        for part in (self.all, self.format):
            part.show()
        self.some.setVisible(len(self._selection) > 1)
        self.go.setEnabled(True)
        self.adjustSize()

    def _show_folder(self) -> None:
        if self.file is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.file.parent)))
