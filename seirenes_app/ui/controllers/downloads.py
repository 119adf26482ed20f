"""Downloads in the window: listed, followed, started, paused, resumed and cancelled. They outlive the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from seirenes_app.ui.tasks import TaskRunner
from training.runs.status import LIVE, RunStatus

if TYPE_CHECKING:
    from seirenes_app.services.models.downloads import (
        DownloadId,
        DownloadPlan,
        DownloadState,
        DownloadSummary,
        DownloadWatch,
    )

CHECK_MS = 500
START_TIMEOUT_S = 30.0


def _service() -> Any:
    """Imported in the thread that needs it first: the window is made before anybody looks at a download."""
    from seirenes_app.services.models import downloads

    return downloads


class DownloadMonitor(QObject):
    """All downloads, read in other threads. `changed` follows whenever one of them may have changed."""

    changed = Signal()
    finished = Signal(object)  # DownloadSummary of one that has just finished
    failed = Signal(str, str)  # (title, text)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # Two threads wait for processes to end while one reads.
        self._tasks = TaskRunner(self, threads=3)
        self.summaries: tuple[DownloadSummary, ...] = ()
        self.busy: set[DownloadId] = set()  # Those that are being paused, resumed or cancelled
        self._watches: dict[DownloadId, DownloadWatch] = {}
        self._live: set[DownloadId] = set()
        self._starting: dict[DownloadId, float] = {}  # Launched, not seen running yet, and until when to look
        self._timer = QTimer(self, interval=CHECK_MS)
        self._timer.timeout.connect(self._poll)

    def refresh(self) -> None:
        """List again; `changed` follows."""
        self._tasks.run(
            lambda: _service().list_downloads(), self._on_listed,
            lambda text: self.failed.emit("The downloads could not be listed", text), key="list", queue=True,
        )  # fmt: skip

    def start(self, plan: DownloadPlan) -> None:
        """Start, or resume the one of the same model."""
        self._do(None, lambda: _service().start_download(plan), "The download did not start")

    def pause(self, download: DownloadId) -> None:
        self._do(download, lambda: _service().pause_download(download), "The download was not paused")

    def resume(self, download: DownloadId) -> None:
        def work() -> DownloadId:
            _service().resume_download(download)
            return download

        self._do(download, work, "The download was not resumed")

    def cancel(self, download: DownloadId) -> None:
        """End it and remove what was loaded; a finished one is only taken off the list."""
        self._do(download, lambda: _service().cancel_download(download), "The download was not cancelled")

    def _do(self, download: DownloadId | None, work: Callable[[], object], title: str) -> None:
        if download is not None:
            self.busy.add(download)
            self.changed.emit()

        def end(launched: object = None) -> None:
            self.busy.discard(download or "")
            if isinstance(launched, str):
                self._starting[launched] = monotonic() + START_TIMEOUT_S
            self.refresh()

        def fail(text: str) -> None:
            end()
            self.failed.emit(title, text)

        self._tasks.run(work, end, fail)

    def _on_listed(self, found: list[DownloadSummary]) -> None:
        known = {s.id for s in found}
        self._watches = {id_: watch for id_, watch in self._watches.items() if id_ in known}
        self._take(found)

    def _poll(self) -> None:
        """Read what is new of the live ones."""
        if self._tasks.is_running("poll") or self._tasks.is_running("list"):
            return
        watches = {id_: self._watches.get(id_) for id_ in self._live | self._starting.keys()}
        self._tasks.run(
            lambda: poll_all(watches), self._on_polled, lambda _text: self.refresh(), key="poll"
        )  # fmt: skip

    def _on_polled(self, found: dict[DownloadId, tuple[DownloadWatch, DownloadState]]) -> None:
        self._watches.update({id_: watch for id_, (watch, _state) in found.items()})
        self._take([
            replace(s, state=replace(found[s.id][1], hub_id=str(s.hub_id))) if s.id in found else s
            for s in self.summaries
        ])  # fmt: skip

    def _take(self, found: Sequence[DownloadSummary]) -> None:
        before = self._live | self._starting.keys()
        self.summaries = tuple(found)
        self._live = {s.id for s in found if s.state is not None and s.state.status in LIVE}
        done = {s.id for s in found if s.state is not None and s.state.status is RunStatus.FINISHED}
        waiting, now = {s.id for s in found} - self._live - done, monotonic()
        self._starting = {id_: until for id_, until in self._starting.items() if id_ in waiting and now < until}
        if not self._live and not self._starting:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start()
        self.changed.emit()
        for summary in found:
            if summary.id in before & done:
                self.finished.emit(summary)

    def close(self) -> None:
        """Downloads continue."""
        self._timer.stop()
        self._tasks.close()


def poll_all(
    watches: dict[DownloadId, DownloadWatch | None],
) -> dict[DownloadId, tuple[DownloadWatch, DownloadState]]:
    """The state of each; a UserError where one is gone."""
    found = {}
    for id_, known in watches.items():
        watch = known or _service().watch_download(id_)
        found[id_] = watch, watch.poll()
    return found
