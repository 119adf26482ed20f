"""A model behind an OpenAI-compatible server on this machine: start one, copy its address, stop it."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QCheckBox, QFormLayout, QSpinBox, QWidget

from seirenes_app.inference.model_client import OpenProgress
from seirenes_app.inference.server_record import ServerRecord
from seirenes_app.services.models.inventory import ModelEntry
from seirenes_app.services.serving import PORT, Server, ServeRequest, list_servers, start_server, stop_server
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.boxes import column, fill, ignore_wheel, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import IconLine, make_label
from seirenes_app.ui.widgets.progress import Progress

NOTE = (
    "Other programs, and the endpoints of this one, can then ask it at an address of this machine. It is reached from "
    "nowhere else. One request is answered at a time."
)
STAYS = "It keeps running when Seirênes is closed."
ENDS = "It ends when Seirênes is closed."


class ServerMonitor(QObject):
    """The servers that run. Those that were started here and are not to be kept end with it."""

    changed = Signal()
    """`records` is new."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # Waiting for a server must not delay the list, nor the end of another one.
        self._tasks = TaskRunner(self, threads=3)
        self._own: dict[int, Server] = {}
        self.records: tuple[ServerRecord, ...] = ()

    def refresh(self) -> None:
        self._tasks.run(list_servers, self._on_listed, lambda _text: None, key="list", queue=True)

    def _on_listed(self, found: Sequence[ServerRecord]) -> None:
        self.records = tuple(found)
        self._own = {pid: server for pid, server in self._own.items() if server.running}
        self.changed.emit()

    def start(self, request: ServeRequest, dialog: ServeDialog) -> None:
        """Start one; the dialog shows how far it is."""

        def work(task: Task) -> Server:
            return start_server(request, task.report, lambda: task.cancelled)

        def done(server: Server) -> None:
            self._own[server.record.pid] = server
            dialog.render_started(server.record)
            self.refresh()

        task = self._tasks.run_task(work, done, dialog.render_failed, progress=dialog.render_progress, key="start")
        dialog.finished.connect(lambda _code: task.cancel())
        dialog.progress.cancelRequested.connect(task.cancel)
        dialog.progress.cancelRequested.connect(dialog.render_idle)

    def stop(self, record: ServerRecord) -> None:
        """End a server, whoever started it."""
        self._tasks.run(lambda: stop_server(record), lambda _none: self.refresh(), lambda _text: self.refresh())

    def close(self) -> None:
        self._tasks.close()
        for server in self._own.values():
            if not server.record.keep:
                server.let_go()


class ServeDialog(PageDialog):
    """Serve a model, and the servers that run. Emits what the user asks for."""

    startRequested = Signal(object)
    """ServeRequest"""
    stopRequested = Signal(object)
    """ServerRecord"""

    def __init__(self, entry: ModelEntry, parent: QWidget | None = None) -> None:
        super().__init__(f"Serve {entry.name}", parent)
        self._entry = entry
        self._shown: tuple[ServerRecord, ...] = ()
        self.port = QSpinBox(minimum=0, maximum=65535, value=PORT)
        self.port.setSpecialValueText("any free one")
        self.port.setAccessibleName("Port")
        ignore_wheel(self.port)
        self.keep = QCheckBox("Keep it running when Seirênes is closed")
        form = QFormLayout()
        form.addRow("Port", self.port)
        form.addRow("", self.keep)
        self.progress = Progress("End it before it is ready")
        self.status = IconLine()
        self.list = QWidget()
        self._lines = column(spacing=SPACE_2, parent=self.list)
        self.heading = make_label("Servers that run", "small")
        fill(
            self.body, make_label(NOTE, "muted", wrap=True), form, self.progress, self.status, SPACE_3, self.heading,
            self.list,
        )  # fmt: skip
        self.go = make_button("Serve", "play", kind="primary", clicked=self._start)
        self.go.setDefault(True)
        fill(self.buttons, None, make_button("Close", clicked=self.reject), self.go)
        self.render_servers(())

    def _start(self) -> None:
        self.go.setEnabled(False)
        self.status.render_line("info", "muted", "")
        model = self._entry.id if self._entry.id == "starter" else str(self._entry.path)
        self.startRequested.emit(ServeRequest(model, port=self.port.value(), keep=self.keep.isChecked()))

    def render_progress(self, now: OpenProgress) -> None:
        share = now.share
        self.progress.render_progress(now.doing, share or 0.0, 1.0 if share is not None else 0.0)

    def render_idle(self) -> None:
        self.progress.clear()
        self.go.setEnabled(True)

    def render_started(self, record: ServerRecord) -> None:
        self.render_idle()
        self.status.render_line(
            "check-circle", "good", f"{record.alias} is served at {record.base_url}. {STAYS if record.keep else ENDS}"
        )

    def render_failed(self, text: str) -> None:
        """Why it did not start."""
        self.render_idle()
        self.status.render_line("error", "bad", text)

    def render_servers(self, records: Sequence[ServerRecord]) -> None:
        """The servers that run, one a line."""
        if tuple(records) == self._shown and self._shown:
            return
        self._shown = tuple(records)
        while (item := self._lines.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for record in records:
            self._lines.addWidget(self._line(record))
        self.heading.setVisible(bool(records))
        self.list.setVisible(bool(records))

    def _line(self, record: ServerRecord) -> QWidget:
        line = QWidget()
        line.setAccessibleName(f"{record.alias} at {record.base_url}")
        about = " · ".join(
            part for part in (f"{record.n_ctx:,} tokens of context", "asks for a key" if record.locked else "",
                              "kept" if record.keep else "") if part
        )  # fmt: skip
        names = column(
            make_label(f"{record.alias}  ·  {record.base_url}", select=True), make_label(about, "small"), spacing=0
        )
        copy = make_button(
            "Copy address", "copy", kind="quiet", tip=f"Copy {record.base_url}",
            clicked=lambda: QGuiApplication.clipboard().setText(record.base_url),
        )  # fmt: skip
        stop = make_button(
            "Stop", "stop", kind="quiet", tip=f"Stop serving {record.alias} on port {record.port}",
            clicked=lambda: self._stop(record, stop),
        )  # fmt: skip
        row((names, 1), copy, stop, spacing=SPACE_3, parent=line)
        return line

    def _stop(self, record: ServerRecord, button: QWidget) -> None:
        button.setEnabled(False)
        self.stopRequested.emit(record)
