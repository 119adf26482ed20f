"""The end of a log file, followed. Plain text, capped; nothing in it is interpreted."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QPlainTextEdit, QWidget

from seirenes_app.ui.theme import mono_font

MAX_LINES = 2000
FIRST_BYTES = 64 * 1024


class LogTail(QPlainTextEdit):
    """Call `poll` now and then; it reads what is new."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setMaximumBlockCount(MAX_LINES)
        self.setFont(mono_font(12))
        self.setAccessibleName("Trainer log")
        self.setPlaceholderText("The trainer has written nothing to its log.")
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._path: Path | None = None
        self._offset = 0

    def follow(self, path: Path | None) -> None:
        """Another file, from near its end."""
        self._path, self._offset = path, 0
        self.clear()
        if path is not None and path.exists():
            self._offset = max(0, path.stat().st_size - FIRST_BYTES)
        self.poll()

    def poll(self) -> None:
        """Append what was written since."""
        if self._path is None:
            return
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(FIRST_BYTES)
        except OSError:
            return
        if data:
            self._offset += len(data)
            bar = self.verticalScrollBar()
            at_end = bar.value() >= bar.maximum() - 4
            self.appendPlainText(data.decode("utf-8", errors="replace").rstrip("\n"))
            if at_end:
                bar.setValue(bar.maximum())
