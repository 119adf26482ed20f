"""Questions and messages in windows of their own: closing while a run is going, a bug, about, shortcuts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QApplication, QDialog, QGridLayout, QPlainTextEdit, QPushButton, QScrollArea, QWidget

from seirenes_app import version
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_4, SPACE_6, SPACE_12, mono_font
from seirenes_app.ui.widgets.boxes import column, fill, make_grid, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.labels import IconLabel, make_label
from training.runs.paths import RunPaths
from training.runs.processes import cluster_of

WIDTH = 420
INSET = (SPACE_2, SPACE_2, SPACE_4, SPACE_2)


class CloseAnswer(StrEnum):
    """What to do with running runs when the window closes."""

    KEEP = "keep"  # They continue in the background and are listed again at the next start
    STOP = "stop"  # They are asked to save and stop; the window closes when they have
    CANCEL = "cancel"  # The window stays


class PageDialog(QDialog):
    """A dialog with its title as a heading, `body`, and a row of `buttons` at its foot."""

    def __init__(self, title: str, parent: QWidget | None = None, *, heading: bool = True) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.body, self.buttons = column(*((make_label(title, "title"),) if heading else ())), row()
        content = column(spacing=SPACE_6, margins=(28, 24, 28, 22), parent=self)
        # A strut, not a minimum of the dialog: that would let the buttons be squeezed below their own.
        content.addStrut(WIDTH)
        content.addLayout(self.body)
        content.addLayout(self.buttons)

    def add_close(self, text: str = "Close") -> QPushButton:
        """The only way on, at the right: Enter and Escape take it, too."""
        close = make_button(text, kind="primary", clicked=self.accept)
        fill(self.buttons, None, close)
        close.setDefault(True)
        return close


class DialogHolder(QObject):
    """Opens dialogs one at a time; `open_dialog` is the one that is open."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.open_dialog: PageDialog | None = None

    def show_dialog(self, dialog: PageDialog) -> None:
        """Open it; it is deleted when it is finished."""
        self.open_dialog = dialog
        dialog.finished.connect(lambda _code: self._forget(dialog))
        dialog.open()

    def _forget(self, dialog: PageDialog) -> None:
        dialog.deleteLater()
        if self.open_dialog is dialog:
            self.open_dialog = None


class CloseDialog(PageDialog):
    """Three answers; Enter keeps the run going, Escape stays."""

    def __init__(self, runs: Sequence[str], parent: QWidget | None = None) -> None:
        one = len(runs) == 1
        title = "A run is in progress" if one else f"{len(runs)} runs are in progress"
        super().__init__(title, parent)
        self.answer = CloseAnswer.CANCEL
        text = f"{runs[0]} can" if one else "They can"
        text += " continue in the background; the window finds what is running the next time it opens."
        self.body.addWidget(make_label(text, "muted", wrap=True))
        self.keep = make_button("Keep running in background", "running", kind="primary",
                                clicked=lambda: self._choose(CloseAnswer.KEEP))  # fmt: skip
        self.stop = make_button("Stop and save", "save", clicked=lambda: self._choose(CloseAnswer.STOP))
        self.cancel = make_button("Cancel", clicked=lambda: self._choose(CloseAnswer.CANCEL))
        fill(self.buttons, self.cancel, None, self.stop, self.keep)
        self.keep.setDefault(True)
        self.keep.setFocus()

    def _choose(self, answer: CloseAnswer) -> None:
        self.answer = answer
        self.done(QDialog.DialogCode.Accepted if answer is not CloseAnswer.CANCEL else QDialog.DialogCode.Rejected)


class StoppingDialog(PageDialog):
    """What is being done to stop the runs before the window closes. Closing it leaves them to end by themselves."""

    def __init__(self, leave: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__("Saving and stopping", parent)
        self.status = make_label("Asking the trainer to stop…", "muted", wrap=True)
        self.body.addWidget(self.status)
        close = make_button("Close now", tip="The trainer continues saving in the background", clicked=leave)
        fill(self.buttons, None, close)


class BugDialog(PageDialog):
    """An exception that nobody foresaw, with what to send along."""

    def __init__(self, text: str, diagnostics: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__("Internal error", parent)
        self._diagnostics = diagnostics
        about = "This is an error in the window, not in your run: runs continue. The details are in the log; please "
        about += "send them with a report."
        details = QPlainTextEdit(text, readOnly=True)
        details.setFont(mono_font(12))
        details.setMinimumSize(600, 180)
        details.setAccessibleName("Details of the error")
        self.copy = make_button("Copy diagnostics", "copy", clicked=self._copy)
        fill(self.body, make_label(about, "muted", wrap=True), details)
        fill(self.buttons, self.copy)
        self.add_close("Continue")

    def _copy(self) -> None:
        QApplication.clipboard().setText(self._diagnostics())
        self.copy.setText("Copied")


class MessageDialog(PageDialog):
    def __init__(self, title: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        message = make_label(text, wrap=True, select=True)
        message.setMinimumWidth(WIDTH)
        self.body.addWidget(message)
        self.add_close()


class ConfirmDialog(PageDialog):
    """A question whose answer cannot be taken back easily; Enter and Escape both leave things as they are."""

    def __init__(
        self, title: str, text: str, verb: str, parent: QWidget | None = None, *, kind: str = "danger"
    ) -> None:
        super().__init__(title, parent)
        self.body.addWidget(make_label(text, "muted", wrap=True))
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.confirm = make_button(verb, kind=kind, clicked=self.accept)
        fill(self.buttons, None, self.cancel, self.confirm)
        self.cancel.setDefault(True)
        self.cancel.setFocus()


def ask_discard(paths: RunPaths, parent: QWidget, then: Callable[[], object]) -> ConfirmDialog:
    text = f"{paths.run_id} is stopped if it is running, and its folder moves to the trash beside the runs."
    if cluster := cluster_of(paths):
        text = (
            f"The folder of {paths.run_id} on this machine moves to the trash beside the runs. Its files on {cluster} "
            "stay there, and a job that still runs there goes on."
        )
    dialog = ConfirmDialog("Discard the run?", text, "Discard", parent)
    dialog.accepted.connect(lambda: then())
    dialog.open()
    return dialog


ABOUT = (
    "The method is that of arXiv 2605.11636: one policy in two roles, an Adversary that writes misleading hints and a "
    "Reasoner that learns to withstand them. Defaults, gates, archive and statistics are this project's own. Apache "
    "License 2.0."
)


class AboutDialog(PageDialog):
    """Name, version, what it is, and the paper."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("About Seirênes", parent, heading=False)
        names = column(make_label("Seirênes", "title"), make_label(f"Version {version()}", "muted"), spacing=0)
        slogan = make_label("A laboratory for the reasoning robustness of language models.", wrap=True)
        head = row(IconLabel("seirenes", 56, ""), names, None, spacing=SPACE_3)
        fill(self.body, head, SPACE_3, slogan, make_label(ABOUT, "muted", wrap=True))
        self.add_close()


class ReferenceDialog(PageDialog):
    """Reference text, which scrolls where the screen is low."""

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self.area = QScrollArea(widgetResizable=True)
        self.area.setWidget(content)
        self.area.setProperty("ring", True)
        self.area.setAccessibleName(title)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setMinimumWidth(content.sizeHint().width() + SPACE_4)
        available = (parent.height() if parent is not None else 800) - 220
        self.area.setMinimumHeight(min(content.sizeHint().height() + SPACE_2, max(240, available)))
        self.body.addWidget(self.area)
        self.add_close()
        self.setWindowModality(Qt.WindowModality.WindowModal)


class GlossaryDialog(ReferenceDialog):
    def __init__(self, parent: QWidget | None = None) -> None:
        content = QWidget()
        terms = column(margins=INSET, parent=content)
        for term, text in GLOSSARY:
            explanation = make_label(text, "muted", wrap=True, select=True)
            explanation.setMinimumWidth(560)
            fill(terms, make_label(term, "strong"), explanation, SPACE_1)
        super().__init__("Glossary", content, parent)


class ShortcutsDialog(ReferenceDialog):
    """Every action that has a key, by where it works, in two columns."""

    def __init__(self, groups: dict[str, list[tuple[str, str]]], parent: QWidget | None = None) -> None:
        self.groups = groups
        content = QWidget()
        left, right = column(spacing=SPACE_6), column(spacing=SPACE_6)
        half = sum(len(rows) + 2 for rows in groups.values()) / 2
        put = 0
        for name, rows in groups.items():
            (left if put + len(rows) / 2 < half else right).addLayout(_make_keys(name, rows))
            put += len(rows) + 2
        for side in (left, right):
            side.addStretch(1)
        row((left, 1), (right, 1), spacing=SPACE_12, margins=INSET, parent=content)
        super().__init__("Keyboard shortcuts", content, parent)


def _make_keys(group: str, rows: Sequence[tuple[str, str]]) -> QGridLayout:
    grid = make_grid(gaps=(SPACE_6, SPACE_1), stretched=0)
    grid.addWidget(make_label(group, "eyebrow"), 0, 0)
    for place, (name, key) in enumerate(rows, 1):
        grid.addWidget(make_label(name), place, 0)
        grid.addWidget(make_label(key, "mono"), place, 1, Qt.AlignmentFlag.AlignRight)
    return grid


GLOSSARY = (
    ("Hint", "Text appended to a problem to mislead the model. A person, a model or the hint language makes it."),
    ("Hint type", "One of four kinds of hint, by what it does: from too much information to a false suggestion."),
    ("Placebo", "Neutral text of the hint's length in the hint's place. What a hint does beyond its placebo is its "
                "effect; any appended text has some."),
    ("Needed-text control", "The question is moved before the last sentence of the story, so that the text after it "
                            "must be used. A model that ignores everything after the question fails here."),
    ("Condition", "How a problem is asked: clean, with the hint, with the placebo, or with needed text "
                  "after the question."),
    ("Reasoner, Adversary", "The two roles of the one model that is trained: it solves problems, and it writes hints."),
    ("R1, clean stage", "The Reasoner solves the problem as it is. Problems it always or never solves teach little."),
    ("R2, hint stage", "The Adversary writes hints. It is rewarded for valid hints that make the Reasoner fail."),
    ("R3, hinted stage", "The Reasoner solves the problem with the hint. It is rewarded for the right answer."),
    ("Gate", "A rule that refuses a hint: one that states the answer, changes the problem, is too long, repeats "
             "itself or another hint."),
    ("Rollout", "One sampled completion with its reward."),
    ("Group", "The rollouts that share one prompt and role. An advantage is a reward relative to its group."),
    ("Outcome", "Right, wrong, unreadable (no answer was found in the text), ambiguous, truncated or timed out."),
    ("Flip", "A change of correctness between two conditions. Harmful: right when clean, wrong with the hint."),
    ("Suite", "A frozen, versioned set of problems and hints, so that models and checkpoints are asked the same."),
    ("Endpoint", "A model behind a server that speaks the OpenAI chat API, on this machine or elsewhere. It solves, "
                 "writes hints and judges like any other model; training needs a model's own weights."),
    ("Dataset", "An imported collection of problems with their answers."),
    ("Paired change", "Before and after on the same problems. It is called an improvement only where its interval "
                      "excludes zero."),
    ("Interval", "95 of 100 such intervals contain the true value. Fewer problems make it wider."),
    ("Campaign", "A search for hints that break a target model, within a budget of requests, tokens, money or time."),
    ("Weakness", "A hint, or a way to write one for any problem, that costs a target accuracy beyond the placebo on "
                 "problems that it was not chosen on. The p-values of all tested hints are corrected together."),
    ("Cross-play", "Reasoners of some checkpoints against hints by others: do later ones withstand earlier hints?"),
    ("Checkpoint replay", "One problem solved again by every checkpoint of a run."),
    ("Sentence ablation", "The hint with one sentence left out at a time: which sentence does the harm."),
    ("Log-prob delta", "How much less, or more, likely each token of a right solution becomes when the hint is there."),
)  # fmt: skip
"""Term and explanation."""
