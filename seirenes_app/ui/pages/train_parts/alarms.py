"""What is not well with a run: one entry a kind of alarm, the newest on top, each with its remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.charts import make_card_heading
from seirenes_app.ui.widgets.icon_label import IconLabel
from seirenes_app.ui.widgets.labels import make_label
from training.rundir.state import RunWarning

SHOWN = 3


@dataclass(frozen=True)
class Alarm:
    """The newest warning of one code, and how often that code was raised."""

    newest: RunWarning
    times: int

    @property
    def when(self) -> str:
        """The step, and how often."""
        step = f"step {self.newest.step}"
        return step if self.times == 1 else f"{step}, {self.times} times in all"


def group_warnings(warnings: Sequence[RunWarning]) -> list[Alarm]:
    """One alarm a code, the one that was raised last on top."""
    newest: dict[str, RunWarning] = {}
    times: dict[str, int] = {}
    for warning in warnings:
        newest.pop(warning.code, None)
        newest[warning.code] = warning
        times[warning.code] = times.get(warning.code, 0) + 1
    return [Alarm(warning, times[code]) for code, warning in reversed(newest.items())]


class AlarmList(Card):
    """Hidden while there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("warn", parent)
        self._warnings: Sequence[RunWarning] = ()
        self._all = False
        self._build()
        self.hide()

    def _build(self) -> None:
        self.body.setSpacing(SPACE_3)
        self.heading = make_card_heading("Alarms")
        self.more = make_button("Show all", kind="quiet", clicked=self._toggle)
        head = QHBoxLayout()
        head.addWidget(self.heading)
        head.addStretch(1)
        head.addWidget(self.more)
        self.body.addLayout(head)
        self.list = QVBoxLayout()
        self.list.setSpacing(SPACE_3)
        self.body.addLayout(self.list)

    def render_warnings(self, warnings: Sequence[RunWarning]) -> None:
        """Show them; the same ones again cost nothing."""
        if warnings is self._warnings:
            return
        self._warnings = warnings
        self._fill()

    def _toggle(self) -> None:
        self._all = not self._all
        self._fill()

    def _fill(self) -> None:
        alarms = group_warnings(self._warnings)
        self.setVisible(bool(alarms))
        self.heading.setText("1 alarm" if len(alarms) == 1 else f"{len(alarms)} alarms")
        self.more.setVisible(len(alarms) > SHOWN)
        self.more.setText("Show fewer" if self._all else f"Show all {len(alarms)}")
        while (item := self.list.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.setParent(None)
                old.deleteLater()
        for alarm in alarms if self._all else alarms[:SHOWN]:
            self.list.addWidget(make_entry(alarm))


def make_entry(alarm: Alarm) -> QWidget:
    """An alarm in a row: sign, what happened, what to do, when."""
    entry = QWidget()
    warning = alarm.newest
    entry.setAccessibleName(f"{warning.message} {warning.remedy} {alarm.when}")
    words = QVBoxLayout()
    words.setSpacing(2)
    words.addWidget(make_label(warning.message or warning.code, wrap=True, select=True))
    words.addWidget(
        make_label("  ·  ".join(p for p in (warning.remedy, alarm.when) if p), "small", wrap=True, select=True)
    )
    row = QHBoxLayout(entry)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(SPACE_2)
    row.addWidget(IconLabel("warning", 18, "warn"), 0, Qt.AlignmentFlag.AlignTop)
    row.addLayout(words, 1)
    return entry
