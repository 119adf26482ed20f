"""The judge under the gates of Craft: which one, asking it about the selected hint, and its votes."""

from __future__ import annotations

from collections import OrderedDict

from PySide6.QtWidgets import QWidget

from seirenes_app.inference.model_client import Cancelled
from seirenes_app.services.formatting import count_of, percent
from seirenes_app.services.hint_authoring.draft import Draft
from seirenes_app.services.hint_authoring.problems import as_problem
from seirenes_app.services.judging import JudgeStanding, ask_judge, judge_standing, known_judges
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.badges import Badge, BadgeStyle
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.judge_dialog import JudgeDialog
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label, set_tone
from seirenes_app.ui.widgets.progress import Progress
from training.core.validity import Decision, JudgeOptions, Ruling, Vote

REMEMBERED = 64
STYLES = {
    Ruling.KEPT: BadgeStyle("check", "Passes the judge", "good"),
    Ruling.CHANGED: BadgeStyle("error", "Refused by the judge", "bad"),
    Ruling.UNDECIDED: BadgeStyle("error", "Not decided by the judge", "bad"),
}


class JudgeRow(QWidget):
    """The judge is asked by the button alone, never while a hint is typed. Its decisions are kept while the page is."""

    def __init__(self, tasks: TaskRunner, models: ModelInventory, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks, self._models = tasks, models
        self.options = JudgeOptions()
        self._draft: Draft | None = None
        self._task: Task | None = None
        self._asked: tuple[str, str, str] | None = None
        self._decisions: OrderedDict[tuple[str, str, str], Decision] = OrderedDict()
        self.name = ElidedLabel(fill=True)
        self.standing = make_label("", "small", wrap=True)
        self.choose = make_button("Choose…", kind="quiet", tip="Choose or measure a judge", clicked=self.show_dialog)
        self.ask = make_button("Ask the judge", clicked=self.start)
        self.progress = Progress("Stop asking the judge")
        self.progress.cancelRequested.connect(self.cancel)
        self.badge = Badge(STYLES[Ruling.KEPT])
        self.votes = make_label("", "small", wrap=True)
        self._answer = QWidget()
        column(row(self.badge, None), self.votes, spacing=SPACE_2, parent=self._answer)
        column(row((self.name, 1), self.choose, self.ask), self.standing, self.progress, self._answer,
               spacing=SPACE_2, parent=self)  # fmt: skip
        self.dialog: JudgeDialog | None = None
        self._render()
        tasks.run(lambda: next((name for name in known_judges() if judge_standing(JudgeOptions(name)).useful), ""),
                  self._take_first)  # fmt: skip

    def _take_first(self, name: str) -> None:
        if name and not self.options.model:
            self.take(name)

    def take(self, model: str) -> None:
        """Choose the judge; "" for none."""
        self.cancel()
        self.options = JudgeOptions(model)
        self._render()
        self._look_up()

    def _look_up(self) -> None:
        if options := self.options if self.options.model else None:
            self._tasks.run(lambda: judge_standing(options), self._on_known, key="craft: judge")

    def _on_known(self, found: JudgeStanding) -> None:
        self.name.setText(f"Judge: {found.name}")
        tone = "bad" if found.problem else "warn" if found.warning else ""
        self._say(found.warning or found.figures.capitalize(), tone)

    def _say(self, text: str, tone: str = "") -> None:
        self.standing.setText(text)
        self.standing.setVisible(bool(text))
        set_tone(self.standing, tone)

    def show_dialog(self) -> JudgeDialog:
        """Choose or measure a judge."""
        self.dialog = JudgeDialog(self._tasks, self._models, self.options, parent=self.window())
        self.dialog.chosen.connect(self.take)
        self.dialog.measured.connect(self._look_up)
        self.dialog.finished.connect(self.dialog.deleteLater)
        self.dialog.open()
        return self.dialog

    def render_draft(self, draft: Draft) -> None:
        self._draft = draft
        self._render()

    @property
    def key(self) -> tuple[str, str, str] | None:
        """What a decision belongs to; None where there is nothing to ask."""
        draft = self._draft
        hint = draft.chosen_hint if draft is not None else None
        if draft is None or hint is None or not (self.options.model and hint.text.strip()):
            return None
        return self.options.model, draft.problem.question, hint.text

    def _render(self) -> None:
        key, asking = self.key, self._task is not None
        if not self.options.model:
            self.name.setText("No judge is chosen")
            self._say("")
        self.ask.setEnabled(key is not None and not asking)
        reason = "Choose a judge first" if not self.options.model else "Select a hint first" if key is None else ""
        self.ask.setToolTip(reason or "Ask whether the hint changes the answer; it can take a minute")
        decision = self._decisions.get(key) if key is not None else None
        self._answer.setVisible(decision is not None)
        if decision is not None:
            self.badge.render_style(STYLES[decision.ruling])
            self.votes.setText(describe_votes(decision))

    # ------------------------------------------------------------------ asking

    def start(self) -> None:
        """Ask about the selected hint."""
        key, draft, options = self.key, self._draft, self.options
        if key is None or draft is None or self._task is not None:
            return
        hint = key[2]

        def work(task: Task) -> list[Decision]:
            try:
                return ask_judge(options, [(as_problem(draft.problem), hint)], cancelled=lambda: task.cancelled)
            except Cancelled:
                return []

        self._asked = key
        self._task = self._tasks.run_task(work, self._on_decided, self._on_failed, key="craft: ask the judge")
        self.progress.render_progress("Asking the judge…")
        self._render()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._end()

    def _end(self) -> None:
        self._task = None
        self.progress.clear()
        self._render()

    def _on_decided(self, decisions: list[Decision]) -> None:
        if self._asked is not None and decisions:
            self._decisions[self._asked] = decisions[0]
            while len(self._decisions) > REMEMBERED:
                self._decisions.popitem(last=False)
        self._end()

    def _on_failed(self, text: str) -> None:
        self._end()
        self._say(text, "bad")


SAID = {
    Vote.CHANGES: "the answer changes", Vote.KEEPS: "the answer stays", Vote.ABSTAINS: "no clear yes or no",
}  # fmt: skip


def describe_votes(decision: Decision) -> str:
    """The votes, as in "2 of 3 votes: the answer changes (95%, 71%)", or why there was none."""
    if decision.failure:
        return decision.reason
    parts = []
    for vote, said in SAID.items():
        if found := [b for b in decision.ballots if b.vote is vote]:
            sure = ", ".join(percent(b.confidence) for b in found if b.confidence)
            parts.append(f"{len(found)} of {count_of(decision.votes, 'vote')}: {said}{f' ({sure})' if sure else ''}")
    return ". ".join(parts)
