"""The end of a log file: followed, searched, copied. Plain text of limited length."""

from __future__ import annotations

import re
from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QColor, QDesktopServices, QGuiApplication, QTextCursor, QTextDocument
from PySide6.QtWidgets import QCheckBox, QLineEdit, QPlainTextEdit, QTextEdit, QWidget

from seirenes_app.ui.actions import WIDGET, ActionSpec, bind_actions
from seirenes_app.ui.theme import current_theme, mono_font
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.labels import make_label

MAX_LINES = 2000
CHUNK = 64 * 1024
MAX_MARKS = 500
FIND_PREVIOUS = ActionSpec("log.previous", "Previous place in the log", "Shift+Return")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def clean_line(line: str) -> str:
    """A log line without terminal colours; of a progress bar that redraws itself, the last state."""
    return ESCAPES.sub("", line.rstrip("\r").rpartition("\r")[2]).replace("\x00", "")


class LogTail(QWidget):
    """Call `poll` from a timer; it reads what is new."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._path: Path | None = None
        self._offset = 0
        self._rest = b""
        self.follow_box = QCheckBox("Follow")
        self.follow_box.setChecked(True)
        self.follow_box.setToolTip("Stay at the newest line")
        self.find_box = QLineEdit()
        self.find_box.setPlaceholderText("Find in the log…")
        self.find_box.setAccessibleName("Find in the log")
        self.find_box.setToolTip("Enter finds the next match, Shift+Enter the previous one")
        self.find_box.setClearButtonEnabled(True)
        self.find_box.setMaximumWidth(280)
        self.found = make_label("", "small")
        following = make_icon_button("chevron-down", "Next match in the log", clicked=self.find_next)
        copy = make_button("Copy", "copy", kind="quiet", tip="Copy the log that is shown", clicked=self.copy)
        open_file = make_button("Open", "file", kind="quiet", tip="Open trainer.log in another program",
                                clicked=self.open_file)  # fmt: skip
        tools = row((self.find_box, 1), following, self.found, None, self.follow_box, copy, open_file)
        self.view = QPlainTextEdit()
        self.view.setReadOnly(True)
        self.view.setMaximumBlockCount(MAX_LINES)
        self.view.setFont(mono_font(12))
        self.view.setAccessibleName("Trainer log")
        self.view.setPlaceholderText("The trainer has written nothing to its log.")
        self.view.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.view.setTabChangesFocus(True)
        column(tools, (self.view, 1), parent=self)
        self.find_box.textChanged.connect(lambda _text: self._mark())
        self.find_box.returnPressed.connect(self.find_next)
        bind_actions(self.find_box, (FIND_PREVIOUS,), {"previous": lambda: self.find_next(back=True)}, keys=WIDGET)
        self.follow_box.toggled.connect(lambda on: self._to_end() if on else None)

    def follow(self, path: Path | None) -> None:
        """Another file, from near its end."""
        self._path, self._offset, self._rest = path, 0, b""
        self.view.clear()
        if path is not None and path.exists():
            self._offset = max(0, path.stat().st_size - CHUNK)
        self.poll()

    def poll(self) -> None:
        """Append the complete lines that were written since. A file that became shorter is read from its start."""
        if self._path is None:
            return
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._offset:
                    self._offset, self._rest = 0, b""
                file.seek(self._offset)
                data = file.read(CHUNK)
        except OSError:
            return
        if not data:
            return
        self._offset += len(data)
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > CHUNK:
            whole, newline, self._rest = whole + newline + self._rest, b"\n", b""
        if newline:
            lines = [clean_line(line) for line in whole.decode("utf-8", errors="replace").split("\n")]
            self._append("\n".join(lines))

    def _append(self, text: str) -> None:
        bar = self.view.verticalScrollBar()
        before = bar.value()
        self.view.appendPlainText(text)
        if self.follow_box.isChecked():
            self._to_end()
        else:
            bar.setValue(before)
        if self.find_box.text():
            self._mark()

    def _to_end(self) -> None:
        bar = self.view.verticalScrollBar()
        bar.setValue(bar.maximum())

    def text(self) -> str:
        return self.view.toPlainText()

    def _mark(self) -> None:
        wanted = self.find_box.text()
        marks: list[QTextEdit.ExtraSelection] = []
        ground = QColor(current_theme().wash("warn", 0.35))
        cursor = QTextCursor(self.view.document())
        while wanted and len(marks) < MAX_MARKS:
            cursor = self.view.document().find(wanted, cursor)
            if cursor.isNull():
                break
            mark = QTextEdit.ExtraSelection()
            mark.cursor = cursor
            mark.format.setBackground(ground)
            marks.append(mark)
        self.view.setExtraSelections(marks)
        count = f"{len(marks)}{'+' if len(marks) == MAX_MARKS else ''}"
        self.found.setText("" if not wanted else f"{count} found" if marks else "not found")

    def find_next(self, *, back: bool = False) -> None:
        """Select the next match; after the last one, the first."""
        wanted = self.find_box.text()
        if not wanted:
            self.find_box.setFocus()
            return
        self.follow_box.setChecked(False)
        flags = QTextDocument.FindFlag.FindBackward if back else QTextDocument.FindFlag(0)
        if not self.view.find(wanted, flags):
            end = QTextCursor.MoveOperation.End if back else QTextCursor.MoveOperation.Start
            self.view.moveCursor(end)
            self.view.find(wanted, flags)

    def copy(self) -> None:
        """The selection, or everything that is shown."""
        selected = self.view.textCursor().selectedText().replace("\u2029", "\n")
        QGuiApplication.clipboard().setText(selected or self.text())

    def open_file(self) -> None:
        if self._path is not None and self._path.exists():
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._path)))
