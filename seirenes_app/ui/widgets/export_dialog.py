"""A dialog that writes something to disk: choices, then progress that can be cancelled, then what was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QWidget

from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.boxes import column, fill
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.progress import make_bar, render_bar


class FileExportDialog(PageDialog):
    """Heirs put their options into `choices` and call `run`. Closing it while it writes cancels."""

    messageRequested = Signal(str)  # What was done, for a toast

    def __init__(
        self, title: str, note: str, tasks: TaskRunner, button: str, clicked: Callable[[], object],
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(title, parent)
        self._tasks = tasks
        self._busy = False
        self._stop = False
        self._folder: Path | None = None
        self.options = QWidget()
        self.choices = column(margins=(0, SPACE_2, 0, 0), parent=self.options)
        self.bar = make_bar("Progress of the export")
        self.words = make_label("", wrap=True, select=True)
        about = make_label(note, "muted", wrap=True)
        fill(self.body, about, self.options, self.bar, self.words)
        self.bar.hide()
        self.words.hide()
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.folder = make_button("Show the folder", "folder", clicked=self._show_folder)
        self.folder.hide()
        self.go = make_button(button, "export", kind="primary", clicked=clicked)
        self.go.setDefault(True)
        fill(self.buttons, self.cancel, None, self.folder, self.go)

    def run(self, work: Callable[[Callable[[int, int], None], Callable[[], bool]], str | None], target: Path) -> None:
        """Run `work(progress, cancelled)` in another thread. It returns what was written, or None when cancelled."""
        self._busy, self._stop, self._folder = True, False, target.parent
        self.options.hide()
        self.go.setEnabled(False)
        set_tone(self.words, "")
        render_bar(self.bar, 0, 0)
        self.words.setText("Writing…")
        self.bar.show()
        self.words.show()
        self.cancel.setFocus()
        self.adjustSize()

        def job(task: Task) -> Any:
            return work(task.report, lambda: task.cancelled or self._stop)

        self._tasks.run_task(job, self._on_done, self._on_failed, progress=self._on_progress)

    def reject(self) -> None:
        if self._busy:
            self._stop = True
            self.words.setText("Cancelling…")
            self.cancel.setEnabled(False)
        else:
            super().reject()

    def _on_progress(self, done: int, total: int) -> None:
        if self._busy and not self._stop:
            render_bar(self.bar, done, total)
            self.words.setText(self.describe_progress(done, total))

    def describe_progress(self, done: int, total: int) -> str:
        return f"{done:,} of {total:,} written"

    def _on_done(self, text: str | None) -> None:
        self._busy = False
        self.messageRequested.emit(text or "Export cancelled; no file was left.")
        if text is None:
            super().reject()
            return
        self.words.setText(text)
        render_bar(self.bar, 1, 1)
        self.go.hide()
        self.folder.show()
        self.cancel.setEnabled(True)
        self.cancel.setText("Close")
        self.cancel.setFocus()

    def _on_failed(self, text: str) -> None:
        self._busy = False
        self.words.setText(text)
        set_tone(self.words, "bad")
        self.bar.hide()
        self.options.show()
        self.cancel.setEnabled(True)
        self.go.setEnabled(True)
        self.adjustSize()

    def _show_folder(self) -> None:
        if self._folder is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._folder)))
