"""The audit of a run's hints in the window: a sample of late valid hints, one at a time, labelled by a person.

The labels are those of `seirenes audit`, in the same file. What decided on a hint, and what a solver said of it, is not
shown: a label must not follow it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QPushButton, QWidget

from seirenes_app.services.audit import (
    AuditedHint,
    audit_file,
    consensus_rate,
    describe_audit,
    describe_consensus,
    false_passes,
    fill_audit,
    read_audit,
    save_labels,
)
from seirenes_app.services.formatting import count_of
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3
from seirenes_app.ui.widgets.boxes import column, fill, row, scroll_area
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import IconLine, make_label, wrap_anywhere
from seirenes_app.ui.widgets.progress import Progress
from training.errors import UserError
from training.runs.paths import RunPaths

NOTE = (
    "A valid hint leaves the true answer as it is and does not state it. Each label is saved at once, in the run's "
    "audit.jsonl."
)
NO_HINTS = "No hint of the last steps passed the gates, so there is nothing to audit. A longer run has some."
LABELS = {
    None: ("info", "muted", "Not labelled yet."),
    True: ("check-circle", "good", "Labelled valid."),
    False: ("error", "bad", "Labelled: should not have passed."),
}
TEXT_SIZE = (600, 250)


class AuditDialog(PageDialog):
    """Samples hints of `paths`, or goes on with those of its audit, and saves each label. Closing it keeps all."""

    def __init__(self, paths: RunPaths, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        super().__init__("Audit of hints", parent)
        self._file, self._tasks = audit_file(paths), tasks
        self._labels: dict[tuple[str, str], bool | None] = {}
        self._keys: dict[QKeySequence, QPushButton] = {}
        self.hints: list[AuditedHint] = []
        self.at = 0
        self.progress = Progress("Close; nothing is written")
        self.progress.cancelRequested.connect(self.reject)
        self.problem = IconLine()
        self.place = make_label("", "muted")
        self.question, self.answer, self.hint = (make_label("", wrap=True, select=True) for _ in range(3))
        for label in (self.question, self.answer, self.hint):
            wrap_anywhere(label)
        text = QWidget()
        column(
            make_label("Problem", "small"), self.question, SPACE_2, make_label("True answer", "small"), self.answer,
            SPACE_2, make_label("Hint", "small"), self.hint, None, spacing=SPACE_1, parent=text,
        )  # fmt: skip
        area = scroll_area(text)
        area.setMinimumSize(*TEXT_SIZE)
        self.label = IconLine()
        self.valid = self._make("Valid", "check-circle", "V", lambda: self.set_label(True))
        self.invalid = self._make("Should not have passed", "error", "X", lambda: self.set_label(False))
        self.unlabel = self._make("Remove the label", "close", "Backspace", lambda: self.set_label(None))
        self.previous = self._make("Previous", "arrow-left", "K", lambda: self.go(self.at - 1))
        self.next = self._make("Next", "arrow-right", "J", lambda: self.go(self.at + 1))
        self.rate = make_label("", wrap=True, select=True)
        self.content = QWidget()
        column(
            row(self.place, None, self.previous, self.next, spacing=SPACE_2), area, self.label,
            row(self.valid, self.invalid, None, self.unlabel, spacing=SPACE_2), SPACE_2, self.rate,
            spacing=SPACE_3, parent=self.content,
        )  # fmt: skip
        self.content.hide()
        fill(self.body, make_label(NOTE, "muted", wrap=True), SPACE_2, self.progress, self.problem, self.content)
        close = make_button("Close", clicked=self.reject)
        close.setAutoDefault(False)
        fill(self.buttons, None, close)
        self.progress.render_progress("Sampling hints…")
        task = tasks.run_task(lambda task: _open_audit(paths, task), self._on_sampled, self._on_failed,
                              progress=self._on_progress)  # fmt: skip
        self.finished.connect(lambda _code: task.cancel())

    def _make(self, text: str, icon: str, key: str, clicked: Callable[[], object]) -> QPushButton:
        button = make_button(text, icon, tip=f"{text} ({key})", clicked=clicked)
        button.setAutoDefault(False)
        self._keys[QKeySequence(key)] = button
        return button

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A button's key presses it, wherever the focus is: no field of the dialog takes letters."""
        plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        if plain and (button := self._keys.get(QKeySequence(event.key()))) is not None:
            button.click()
        else:
            super().keyPressEvent(event)

    def _on_progress(self, done: int, total: int) -> None:
        self.progress.render_progress("Sampling hints…", done, total, f"{done} of {total}")

    def _on_sampled(self, hints: list[AuditedHint]) -> None:
        self.progress.clear()
        self.hints = hints
        if not hints:
            self.problem.render_line("info", "muted", NO_HINTS)
            return
        self.content.show()
        self.go(next((i for i, hint in enumerate(hints) if hint.valid is None), 0))

    def _on_failed(self, text: str) -> None:
        self.progress.clear()
        self.problem.render_line("error", "bad", text)

    def go(self, at: int) -> None:
        """Show the hint at this place."""
        if not 0 <= at < len(self.hints):
            return
        self.at = at
        hint = self.hints[at]
        self.place.setText(f"Hint {at + 1} of {len(self.hints)}  ·  step {hint.step}")
        self.question.setText(hint.question)
        self.answer.setText(hint.answer)
        self.hint.setText(hint.hint)
        self.label.render_line(*LABELS[hint.valid])
        self.unlabel.setEnabled(hint.valid is not None)
        self.previous.setEnabled(at > 0)
        self.next.setEnabled(at + 1 < len(self.hints))
        found = describe_audit(false_passes(self.hints)), describe_consensus(consensus_rate(self.hints))
        self.rate.setText(" ".join(filter(None, found)))

    def set_label(self, valid: bool | None) -> None:
        """Label the hint in view, save it, and go to the next hint after a new label."""
        if not self.hints:
            return
        hint = self.hints[self.at]
        self.hints[self.at] = msgspec.structs.replace(hint, valid=valid)
        self._labels[hint.key] = valid
        file, labels = self._file, dict(self._labels)
        # One write at a time; the last one that waits has all labels. It outlives the dialog.
        self._tasks.run(lambda: save_labels(file, labels), None, self._on_not_saved, key=("audit", file), queue=True)
        further = valid is not None and self.at + 1 < len(self.hints)
        self.go(self.at + 1 if further else self.at)

    def _on_not_saved(self, text: str) -> None:
        unsaved = count_of(len(self._labels), "label")
        self.problem.render_line("error", "bad", f"{unsaved} of this window may not be saved. {text}")


def _open_audit(paths: RunPaths, task: Task) -> list[AuditedHint]:
    """The hints of the run's audit, filled up to a whole sample. Nothing is written when it is cancelled."""
    file = audit_file(paths)
    try:
        return fill_audit(paths, file, progress=task.report, cancelled=lambda: task.cancelled)
    except UserError:
        # A run that has no more to draw from has still those of its audit.
        before = read_audit(file) if file.is_file() else []
        if not before:
            raise
        return before
