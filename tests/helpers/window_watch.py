"""What is shown as a window of its own while a block runs: a part that is shown before it has a parent is one."""

from collections.abc import Iterator
from contextlib import contextmanager

from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication, QDialog, QMainWindow, QMenu, QWidget


class _Watch(QObject):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def eventFilter(self, watched, event):
        if event.type() != QEvent.Type.Show or not isinstance(watched, QWidget) or not watched.isWindow():
            return False
        if not isinstance(watched, QDialog | QMainWindow | QMenu):
            self.seen.append(f"{type(watched).__name__} {watched.accessibleName()}".strip())
        return False


@contextmanager
def stray_windows() -> Iterator[list[str]]:
    """Type and accessible name of each; dialogs, menus and main windows are none."""
    watch = _Watch()
    QApplication.instance().installEventFilter(watch)
    try:
        yield watch.seen
    finally:
        QApplication.instance().removeEventFilter(watch)
