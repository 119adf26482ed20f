"""The dialogs of Ray clusters: add and edit, the jobs on one, a job's log. A token goes from its field into the system
keyring and is never read back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QLineEdit, QPlainTextEdit, QStackedLayout, QTableView, QWidget

from seirenes_app.services import cluster_runs
from seirenes_app.services.cluster import (
    ENDED,
    Cluster,
    ClusterClient,
    Job,
    drop_unused_key,
    list_clusters,
    remove_cluster,
    save_cluster,
    save_token,
)
from seirenes_app.services.cluster_runs import RUN_KEY, submit_warnings, unless_interrupted
from seirenes_app.services.formatting import byte_size, count_of, time_ago
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_4, mono_font
from seirenes_app.ui.widgets.boxes import column, fill, ignore_wheel, make_grid, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import EmptyState, centred
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, PageDialog
from seirenes_app.ui.widgets.labels import IconLine, make_label
from seirenes_app.ui.widgets.log_tail import MAX_LINES, clean_line
from seirenes_app.ui.widgets.progress import Progress
from seirenes_app.ui.widgets.secret_field import KEYRING_ONLY, make_secret_field
from seirenes_app.ui.widgets.table_model import Column, TableModel, lay_out_rows, size_columns
from training.endpoints import server_key
from training.errors import UserError
from training.runs.config import RunConfig, to_dict
from training.runs.paths import RunPaths

WIDE, FORM_WIDTH, TABLE_HEIGHT, LOG_HEIGHT, ROW_HEIGHT = 860, 560, 300, 380, 32
ASK_S = 4.5
"""The most that one request takes here; a question is two of them."""
REFRESH_MS = 5000
LOG_CHARACTERS = 512 * 1024
ABOUT = (
    "The jobs that Ray runs on a cluster, read from its dashboard. Their logs are shown and they can be stopped; Ray "
    "itself is not needed on this machine."
)
TOKEN_KEPT = "Stored. Leave it empty to keep it."
NO_JOB = "No job is chosen"
HAS_ENDED = "This job has ended"
EMPTY, UNKNOWN, NONE, LISTED = range(4)
"""What is where the jobs are."""


@dataclass(frozen=True)
class Answer:
    """What a cluster said of itself."""

    version: str
    jobs: tuple[Job, ...]


COLUMNS = (
    Column("Job", lambda j: j.id, width=240, row_tip=lambda j: j.id),
    Column("Status", lambda j: j.status.lower(), width=110),
    Column("Started", lambda j: time_ago(j.started, time.time()), width=130),
    Column(
        "Says", lambda j: " ".join((j.message or j.entrypoint).split()), row_tip=lambda j: j.message or j.entrypoint
    ),
)


class ClustersDialog(PageDialog):
    """The saved clusters and the jobs of the chosen one, asked again while a job is live."""

    messageRequested = Signal(str)
    """What was done, in a line."""

    def __init__(self, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        super().__init__("Clusters", parent)
        self._tasks = tasks
        self._task: Task | None = None
        """The question under way."""
        self._clusters: tuple[Cluster, ...] = ()
        self._wanted = ""
        self.child: PageDialog | None = None
        """The dialog that is open above this one."""
        self._build()
        self._timer = QTimer(self, interval=REFRESH_MS)
        self._timer.timeout.connect(self._refresh_live)
        self._timer.start()
        self._list()

    def _build(self) -> None:
        self.body.addStrut(WIDE)
        self.choice = QComboBox()
        self.choice.setAccessibleName("Cluster")
        ignore_wheel(self.choice)
        self.add = make_button("Add…", "plus", tip="A cluster by the address of its Ray dashboard", clicked=self._add)
        self.edit = make_button("Edit…", "pencil", tip="Its address, and its token", clicked=self._edit)
        self.remove = make_button("Remove…", "discard", tip="Forget it; its jobs go on", clicked=self._ask_remove,
                                  destructive=True)  # fmt: skip
        self.top = QWidget()
        row((self.choice, 1), self.add, self.edit, self.remove, parent=self.top)
        self.top.hide()
        self.status = IconLine()
        self.progress = Progress("Leave it unasked")
        self.progress.cancelRequested.connect(self.cancel_question)
        place = QWidget()
        # Room for what is said, so that the table stays where it is.
        place.setMinimumHeight(3 * self.fontMetrics().lineSpacing())
        column(self.progress, self.status, None, parent=place)
        self.jobs = TableModel(COLUMNS, self)
        self.table = _make_table(self.jobs)
        self.table.selectionModel().selectionChanged.connect(lambda *_: self._render_buttons())
        self.table.doubleClicked.connect(lambda _index: self._show_log())
        self.add_first = make_button("Add a cluster…", "plus", kind="primary", clicked=self._add)
        none = EmptyState("server", "No cluster yet", "A cluster is known by the address of its Ray dashboard, such as "
                          "http://host:8265. Its token stays in the system keyring.", (self.add_first,))  # fmt: skip
        idle = EmptyState("server", "No jobs", "The cluster answers and has none. Those that are submitted to it are "
                          "listed here.")  # fmt: skip
        holder = QWidget()
        holder.setFixedHeight(TABLE_HEIGHT)
        self.stack = QStackedLayout(holder)
        for widget in (centred(none), QWidget(), centred(idle), self.table):
            self.stack.addWidget(widget)
        self.stack.setCurrentIndex(UNKNOWN)
        fill(self.body, make_label(ABOUT, "muted", wrap=True), SPACE_2,
             self.top, place, holder)  # fmt: skip
        self.ask = make_button("Ask again", "refresh", tip="Ray's version there, and its jobs", clicked=self.start)
        self.log = make_button("Log…", "log", clicked=self._show_log)
        # Enter in the list; Qt would else press the first button of the dialog.
        self.log.setDefault(True)
        self.stop = make_button("Stop the job…", "stop", clicked=self._ask_stop, destructive=True)
        close = make_button("Close", kind="primary", clicked=self.reject)
        fill(self.buttons, self.ask, self.log, self.stop, None, close)
        self.choice.activated.connect(lambda _index: self._on_chosen())
        self._render_buttons()

    # ------------------------------------------------------------------ which cluster

    @property
    def cluster(self) -> Cluster | None:
        """The chosen one."""
        at = self.choice.currentIndex()
        return self._clusters[at] if 0 <= at < len(self._clusters) else None

    def _list(self, wanted: str = "") -> None:
        self._wanted = wanted
        self._tasks.run(list_clusters, self._on_listed, self._on_failed, key="clusters")

    def _on_listed(self, found: Sequence[Cluster]) -> None:
        self._clusters = tuple(found)
        self.choice.clear()
        self.choice.addItems([f"{c.name}  ·  {c.address}" for c in found])
        names = [c.name for c in found]
        self.choice.setCurrentIndex(names.index(self._wanted) if self._wanted in names else min(0, len(names) - 1))
        self._on_chosen()

    def _on_chosen(self) -> None:
        self.jobs.render_rows(())
        self.status.render_line("", "", "")
        self.top.setVisible(bool(self._clusters))
        self.stack.setCurrentIndex(UNKNOWN if self._clusters else EMPTY)
        if not self._clusters:
            self.add_first.setFocus()
        self._render_buttons()
        self.cancel_question()
        if self.cluster is not None:
            self.start()

    def _render_buttons(self) -> None:
        there, job = self.cluster is not None, self.job
        self.ask.setEnabled(there and self._task is None)
        over = job is not None and job.status in ENDED
        for button, on, tip in (
            (self.log, job is not None, NO_JOB if job is None else "What the job has printed (Enter in the list)"),
            (self.stop, job is not None and not over,
             NO_JOB if job is None else HAS_ENDED if over else "Ask Ray to end it"),
        ):  # fmt: skip
            button.setEnabled(on)
            button.setToolTip(tip)
            button.setAccessibleDescription(tip)

    def _add(self) -> None:
        self._open(dialog := ClusterDialog(self._tasks, parent=self))
        dialog.saved.connect(self._on_saved)

    def _edit(self) -> None:
        if self.cluster is not None:
            self._open(dialog := ClusterDialog(self._tasks, self.cluster, self))
            dialog.saved.connect(self._on_saved)

    def _on_saved(self, cluster: Cluster) -> None:
        self.messageRequested.emit(f"{cluster.name} is saved.")
        self._list(cluster.name)

    def _ask_remove(self) -> None:
        if (cluster := self.cluster) is None:
            return
        text = f"{cluster.name} is taken off this list, its token out of the keyring. Jobs on it go on."
        dialog = ConfirmDialog("Remove the cluster?", text, "Remove", self)
        dialog.accepted.connect(lambda: self._remove(cluster))
        self._open(dialog)

    def _remove(self, cluster: Cluster) -> None:
        self._tasks.run(lambda: drop_cluster(cluster), self._on_removed, self._on_failed, key="remove cluster")

    def _on_removed(self, cluster: Cluster) -> None:
        self.messageRequested.emit(f"{cluster.name} was removed.")
        self._list()

    def _open(self, dialog: PageDialog) -> None:
        self.child = dialog
        dialog.finished.connect(lambda _code: dialog.deleteLater())
        dialog.open()

    # ------------------------------------------------------------------ its jobs

    @property
    def job(self) -> Job | None:
        """The selected one."""
        index = self.table.currentIndex()
        chosen = self.table.selectionModel().hasSelection() and index.isValid()
        return self.jobs.row_at(index.row()) if chosen else None

    def start(self) -> None:
        """Ask the cluster for its version and its jobs."""
        if (cluster := self.cluster) is not None:
            self.status.render_line("", "", "")
            self.progress.render_progress(f"Asking {cluster.name}…")
            self._question(cluster)

    def _refresh_live(self) -> None:
        """Ask again, without showing that, while a job is live and nothing else is asked."""
        live = any(job.status not in ENDED for job in self.jobs.rows)
        if live and self._task is None and self.cluster is not None:
            self._question(self.cluster)

    def _question(self, cluster: Cluster) -> None:
        self._task = self._tasks.run(lambda: read_jobs(cluster), self._on_answer, self._on_failed, key="jobs")
        self._render_buttons()

    def _on_answer(self, answer: Answer) -> None:
        self._end()
        had, cluster = self.job, self.cluster
        self.jobs.render_rows(answer.jobs, key=lambda job: job.id)
        # The newest one at first: from no row at all, the arrow keys would not come to a single one.
        at = next((i for i, job in enumerate(answer.jobs) if had is not None and job.id == had.id), 0)
        if answer.jobs and self.job != answer.jobs[at]:
            self.table.selectRow(at)
        self.stack.setCurrentIndex(LISTED if answer.jobs else NONE)
        name = cluster.name if cluster is not None else "The cluster"
        jobs = count_of(len(answer.jobs), "job") if answer.jobs else "no jobs"
        self.status.render_line("check-circle", "good", f"{name} answers with Ray {answer.version} and has {jobs}.")
        self._render_buttons()

    def _on_failed(self, text: str) -> None:
        """What the cluster, or the file of clusters, has not done. Jobs that were listed stay in view."""
        self._end()
        self.status.render_line("error", "bad", text)
        self._render_buttons()

    def _end(self) -> None:
        self._task = None
        self.progress.clear()

    def cancel_question(self) -> None:
        """Wait for no answer. What the cluster still says is dropped."""
        if self._task is not None:
            self._task.cancel()
            self._end()
            self.status.render_line("info", "muted", "The cluster was not asked to the end.")
            self._render_buttons()

    def _show_log(self) -> None:
        if (cluster := self.cluster) is not None and (job := self.job) is not None:
            self._open(JobLogDialog(cluster, job, self._tasks, self))

    def _ask_stop(self) -> None:
        cluster, job = self.cluster, self.job
        if cluster is None or job is None or job.status in ENDED:
            return
        text = f"Ray asks {job.id} to end, and kills it seconds later. What it has not saved by then is lost."
        if RUN_KEY in job.metadata:
            text = f"The run is asked to save and stop. Ray ends {job.id} where it has not after two minutes."
        dialog = ConfirmDialog("Stop the job?", text, "Stop the job", self)
        dialog.accepted.connect(lambda: self._stop(cluster, job))
        self._open(dialog)

    def _stop(self, cluster: Cluster, job: Job) -> None:
        self.status.render_line("clock", "muted", f"Asking {cluster.name} to stop {job.id}…")
        self._tasks.run_task(
            lambda task: stop_job(cluster, job, lambda: task.cancelled), self._on_stopped, self._on_failed, key="stop"
        )

    def _on_stopped(self, words: str) -> None:
        self.messageRequested.emit(words)
        self.start()

    def done(self, code: int) -> None:
        self._timer.stop()
        # A removal or a stop that was confirmed goes on; its handler belongs to this dialog and is not called any more.
        self._tasks.cancel("clusters", "jobs")
        super().done(code)


class ClusterDialog(PageDialog):
    """Adds a cluster, or edits one. Emits it when it is saved."""

    saved = Signal(object)
    """Cluster"""

    def __init__(self, tasks: TaskRunner, cluster: Cluster | None = None, parent: QWidget | None = None) -> None:
        super().__init__("Edit the cluster" if cluster is not None else "Add a cluster", parent)
        self._tasks, self._old = tasks, cluster
        self.body.addStrut(FORM_WIDTH)
        self.name = QLineEdit(cluster.name if cluster is not None else "", placeholderText="lab")
        self.name.setAccessibleName("Name")
        self.name.setEnabled(cluster is None)
        if cluster is not None:
            self.name.setToolTip("The name stays: commands refer to it")
        self.address = QLineEdit(cluster.address if cluster is not None else "", placeholderText="http://host:8265")
        self.address.setAccessibleName("Address")
        self.python = QLineEdit(cluster.python if cluster is not None else "python", placeholderText="python")
        self.python.setAccessibleName("Python there")
        self.python.setToolTip("The command that starts an interpreter on the cluster which has Seirênes installed")
        self.root = QLineEdit(cluster.root if cluster is not None else "", placeholderText="That of the user there")
        self.root.setAccessibleName("Folder of runs there")
        self.root.setToolTip("Where runs are kept on the cluster: on a disk that all its nodes share")
        self.token = make_secret_field("Token")
        self.drop_token = make_button("Remove the token", "discard", clicked=self._drop_token, destructive=True)
        self.drop_token.hide()
        grid = make_grid(gaps=(SPACE_4, SPACE_2), stretched=1)
        for at, (title, field) in enumerate((
            ("Name", row((self.name, 1))), ("Address", row((self.address, 1))),
            ("Token", row((self.token, 1), self.drop_token)),
            ("Python there", row((self.python, 1))), ("Folder of runs there", row((self.root, 1))),
        )):  # fmt: skip
            grid.addWidget(make_label(title, "small"), at, 0)
            grid.addLayout(field, at, 1)
        self.status = IconLine()
        place = QWidget()
        place.setMinimumHeight(3 * self.fontMetrics().lineSpacing())
        column(self.status, None, parent=place)
        about = "The address is that of the Ray dashboard. A cluster without token authentication needs no token."
        fill(self.body, make_label(about, "muted", wrap=True), SPACE_2, grid, place)
        self.save = make_button("Save and test", "save", kind="primary", tip="Save it, then ask it for its jobs",
                                clicked=self._save)  # fmt: skip
        self.save.setDefault(True)
        fill(self.buttons, None, make_button("Cancel", clicked=self.reject), self.save)
        self.name.textChanged.connect(lambda _text: self._render())
        self.token.textChanged.connect(lambda _text: self._render())
        self.address.textChanged.connect(lambda _text: self._on_address())
        self._on_address()
        (self.name if cluster is None else self.address).setFocus()

    @property
    def cluster(self) -> Cluster:
        """What the fields say; what has no field stays as it is."""
        name, address, python, root = (
            field.text().strip() for field in (self.name, self.address, self.python, self.root)
        )
        old = self._old or Cluster(name, address)
        return replace(old, name=name, address=address, python=python or "python", root=root)

    def _on_address(self) -> None:
        """Whether there is a token for the address; the token itself stays where it is."""
        address = self.address.text().strip()
        self._tasks.run(lambda: server_key(address) is not None, self._on_token_found, self._on_failed, key="token")
        self._render()

    def _on_token_found(self, there: bool) -> None:
        self.token.setPlaceholderText(TOKEN_KEPT if there else KEYRING_ONLY)
        self.drop_token.setVisible(there and self._old is not None)

    def _render(self) -> None:
        is_whole = bool(self.name.text().strip() and self.address.text().strip().partition("://")[2])
        self.save.setEnabled(is_whole)
        warning = self.cluster.warning if is_whole and self.token.text().strip() else ""
        self.status.render_line("warning" if warning else "", "warn", warning)

    def _save(self) -> None:
        cluster, token = self.cluster, self.token.text().strip()
        is_new = self._old is None
        self.token.clear()
        self.save.setEnabled(False)
        self._tasks.run(
            lambda: store_cluster(cluster, token, is_new=is_new), self._on_saved, self._on_failed, key="save cluster"
        )

    def _on_saved(self, cluster: Cluster) -> None:
        self.saved.emit(cluster)
        self.accept()

    def _on_failed(self, text: str) -> None:
        self._render()
        self.status.render_line("error", "bad", text)

    def _drop_token(self) -> None:
        cluster = self.cluster
        self._tasks.run(lambda: save_token(cluster, ""), self._on_token_dropped, self._on_failed, key="save cluster")

    def _on_token_dropped(self, _none: None) -> None:
        self._on_token_found(there=False)
        self.token.setFocus()
        self.status.render_line("check-circle", "good", "The token is out of the keyring.")

    def done(self, code: int) -> None:
        self.token.clear()
        self._tasks.cancel("token")
        super().done(code)


class JobLogDialog(PageDialog):
    """The end of what a job has printed. Read on request."""

    def __init__(self, cluster: Cluster, job: Job, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        super().__init__(f"Log of {job.id}", parent)
        self._cluster, self._job, self._tasks = cluster, job, tasks
        self.body.addStrut(WIDE)
        self.view = QPlainTextEdit(readOnly=True, tabChangesFocus=True)
        self.view.setAccessibleName("Log of the job")
        self.view.setFont(mono_font(12))
        self.view.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.view.setFixedHeight(LOG_HEIGHT)
        self.progress = Progress(cancellable=False)
        self.status = IconLine()
        place = QWidget()
        place.setMinimumHeight(3 * self.fontMetrics().lineSpacing())
        column(self.progress, self.status, None, parent=place)
        fill(self.body, self.view, place)
        self.again = make_button("Read again", "refresh", clicked=self.start)
        self.copy = make_button("Copy", "copy", tip="Copy what is shown", clicked=self._copy)
        self.close_button = make_button("Close", kind="primary", clicked=self.reject)
        self.close_button.setDefault(True)
        fill(self.buttons, self.again, self.copy, None, self.close_button)
        self.start()

    def start(self) -> None:
        """Read the log now."""
        cluster, job = self._cluster, self._job
        self.again.setEnabled(False)
        self.status.render_line("", "", "")
        self.progress.render_progress("Reading the log…")
        self._tasks.run(lambda: read_log(cluster, job.id), self._on_read, self._on_failed, key="log")

    def _on_read(self, found: tuple[str, bool]) -> None:
        text, is_cut = found
        self._end()
        self.view.setPlainText(text)
        self.view.verticalScrollBar().setValue(self.view.verticalScrollBar().maximum())
        if not text:
            self.status.render_line("info", "muted", "The job has printed nothing.")
        elif is_cut:
            command = f"seirenes cluster logs {self._cluster.name} {self._job.id}"
            self.status.render_line("info", "muted", f"Only the end is shown. All of it: {command}")

    def _on_failed(self, text: str) -> None:
        self._end()
        self.status.render_line("error", "bad", text)

    def _end(self) -> None:
        self.progress.clear()
        self.again.setEnabled(True)
        self.copy.setEnabled(True)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.view.toPlainText())
        self.status.render_line("check-circle", "good", "Copied.")

    def done(self, code: int) -> None:
        self._tasks.cancel("log")
        super().done(code)


class SubmitDialog(PageDialog):
    """Starts a run on a cluster: which one, what it reserves there, what is sent. Emits the paths of the local run."""

    submitted = Signal(object)
    """RunPaths"""
    clustersRequested = Signal()

    def __init__(self, config: RunConfig, runs_root: Path, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        super().__init__("Submit to a cluster", parent)
        self._config, self._runs_root, self._tasks = config, runs_root, tasks
        self._task: Task | None = None
        self._is_cancelled = False
        self._clusters: tuple[Cluster, ...] = ()
        self.body.addStrut(FORM_WIDTH)
        self.choice = QComboBox()
        self.choice.setAccessibleName("Cluster")
        ignore_wheel(self.choice)
        self.cpus, self.gpus = (_make_amount(name) for name in ("Processors", "GPUs"))
        grid = make_grid(gaps=(SPACE_4, SPACE_2), stretched=1)
        for at, (title, field) in enumerate((
            ("Cluster", row((self.choice, 1))), ("Processors", row(self.cpus, None)), ("GPUs", row(self.gpus, None)),
        )):  # fmt: skip
            grid.addWidget(make_label(title, "small"), at, 0)
            grid.addLayout(field, at, 1)
        size = byte_size(len(json.dumps(to_dict(config))))
        sent = (
            f"Sent: the configuration of {config.name} ({size}). Seirênes must be installed there. Its events come "
            "back into a run of this machine; checkpoints and rollouts stay there until you fetch them. The estimates "
            "of time and memory in the form are of this machine."
        )
        self.warnings = column(spacing=SPACE_2)
        warnings = [(IconLine(), text) for text in submit_warnings(config)]
        for line, _text in warnings:
            self.warnings.addWidget(line)
        self.progress = Progress("Take the submission back")
        self.progress.cancelRequested.connect(self.cancel)
        self.status = IconLine()
        place = QWidget()
        place.setMinimumHeight(3 * self.fontMetrics().lineSpacing())
        column(self.progress, self.status, None, parent=place)
        fill(self.body, make_label(sent, "muted", wrap=True), SPACE_2, grid, self.warnings, place)
        for line, text in warnings:
            line.render_line("warning", "warn", text)
        self.manage = make_button("Clusters…", "server", tip="Add or edit a cluster", clicked=self._manage)
        self.go = make_button("Submit", "play", kind="primary", clicked=self._submit)
        self.go.setDefault(True)
        fill(self.buttons, self.manage, None, make_button("Close", clicked=self.reject), self.go)
        self._render()
        self._tasks.run(list_clusters, self._on_listed, self._on_failed, key="clusters")

    def _on_listed(self, found: Sequence[Cluster]) -> None:
        self._clusters = tuple(found)
        self.choice.clear()
        self.choice.addItems([f"{c.name}  ·  {c.address}" for c in found])
        if not found:
            self.status.render_line("info", "muted", "No cluster yet. Add one under Clusters….")
        self._render()
        (self.go if found else self.manage).setFocus()

    def _manage(self) -> None:
        self.reject()
        self.clustersRequested.emit()

    def _submit(self) -> None:
        cluster = self._clusters[self.choice.currentIndex()]
        config, cpus, gpus, root = self._config, self.cpus.value(), self.gpus.value(), self._runs_root
        self._is_cancelled = False
        self.status.render_line("", "", "")
        self.progress.render_progress(f"Submitting to {cluster.name}…")
        self._task = self._tasks.run(
            lambda: submit_run(cluster, config, cpus, gpus, root, lambda: self._is_cancelled),
            self._on_submitted, self._on_failed,
        )  # fmt: skip
        self._render()

    def _on_submitted(self, paths: RunPaths | None) -> None:
        self._task = None
        self.progress.clear()
        if paths is not None:
            self.submitted.emit(paths)
            self.accept()
            return
        self.status.render_line("info", "muted", "The submission was taken back.")
        self._render()

    def _on_failed(self, text: str) -> None:
        self._task = None
        self.progress.clear()
        self.status.render_line("error", "bad", text)
        self._render()

    def cancel(self) -> None:
        """Take the submission back once it is answered."""
        self._is_cancelled = True
        self.progress.render_progress("", cancelling=True)

    def _render(self) -> None:
        busy = self._task is not None
        for field in (self.choice, self.cpus, self.gpus, self.manage):
            field.setEnabled(not busy)
        self.go.setEnabled(bool(self._clusters) and not busy)
        self.go.setToolTip("Start the run there" if self._clusters else "No cluster is saved yet")

    def done(self, code: int) -> None:
        if code != self.DialogCode.Accepted:
            self._is_cancelled = True
        super().done(code)


def _make_amount(name: str) -> QDoubleSpinBox:
    made = QDoubleSpinBox(decimals=1, minimum=0, maximum=10_000, singleStep=1)
    made.setAccessibleName(name)
    made.setToolTip("What the job reserves on its node; 0 reserves nothing")
    ignore_wheel(made)
    return made


def _make_table(model: TableModel) -> QTableView:
    table = QTableView(showGrid=False, wordWrap=False, cornerButtonEnabled=False)
    table.setModel(model)
    table.setAccessibleName("Jobs")
    table.setProperty("roomy", "true")
    lay_out_rows(table, ROW_HEIGHT)
    size_columns(table, COLUMNS, stretched=len(COLUMNS) - 1)
    return table


# ---------------------------------------------------------------------- off the window's thread


def read_jobs(cluster: Cluster) -> Answer:
    """Ask a cluster. A ClusterError, within ten seconds, says why it has not answered."""
    client = ClusterClient(cluster, ASK_S)
    return Answer(client.version(), tuple(client.jobs()))


def read_log(cluster: Cluster, job: str) -> tuple[str, bool]:
    """The end of a job's log as it is shown, and whether there is more before it."""
    whole = ClusterClient(cluster).logs(job)
    lines = [clean_line(line) for line in whole[-LOG_CHARACTERS:].split("\n")]
    return "\n".join(lines[-MAX_LINES:]).rstrip(), len(whole) > LOG_CHARACTERS or len(lines) > MAX_LINES


def stop_job(cluster: Cluster, job: Job, cancelled: Callable[[], bool]) -> str | None:
    """Have a run save and stop, or ask Ray to stop another job; says what came of it."""
    if RUN_KEY in job.metadata:
        client = ClusterClient(cluster)
        return unless_interrupted(lambda: cluster_runs.stop_job(client, job.id, cancelled=cancelled))
    return f"Ray stops {job.id}." if ClusterClient(cluster, ASK_S).stop(job.id) else f"{job.id} had ended."


def submit_run(
    cluster: Cluster, config: RunConfig, cpus: float, gpus: float, root: Path, cancelled: Callable[[], bool]
) -> RunPaths | None:
    """Submit and follow a run. None where it was cancelled meanwhile: then the job is stopped and nothing is kept."""
    paths = cluster_runs.submit(cluster, config, cpus=cpus, gpus=gpus, runs_root=root)
    if cancelled():
        cluster_runs.take_back(paths)
        return None
    cluster_runs.start_follower(paths)
    return paths


def store_cluster(cluster: Cluster, token: str, *, is_new: bool) -> Cluster:
    """Save a cluster, and its token where one was typed. A UserError says what was not saved."""
    if is_new and any(known.name.casefold() == cluster.name.casefold() for known in list_clusters()):
        raise UserError(f"There is a cluster {cluster.name!r} already. Choose another name, or edit that one.")
    kept = save_cluster(cluster)
    if token:
        try:
            save_token(kept, token)
        except UserError as error:
            raise UserError(f"The cluster is saved, its token is not. {error}") from None
    return kept


def drop_cluster(cluster: Cluster) -> Cluster:
    """Forget a cluster, and the token of its server where no other cluster and no endpoint uses it."""
    gone = remove_cluster(cluster.name)
    drop_unused_key(gone.address)
    return gone
