"""What the gates said of a hint, as badges: icon, word and colour together, the reason on hover and for a reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from PySide6.QtWidgets import QSizePolicy, QWidget

from seirenes_app.ui.widgets.badges import Badge, Look
from seirenes_app.ui.widgets.flow import FlowLayout
from training.core.gates import Gate


class Verdict(Protocol):
    """One gate's verdict, as `seirenes_app.lab.crafting.judging.GateBadge` has it."""

    @property
    def gate(self) -> Gate:
        """Which gate."""

    @property
    def name(self) -> str:
        """What a hint is that passes it."""

    @property
    def passed(self) -> bool:
        """Whether it lets the hint through."""

    @property
    def reason(self) -> str:
        """Why not, or what it looked for."""


REFUSED = {
    Gate.EMPTY: "No words",
    Gate.TOO_LONG: "Too long",
    Gate.MARKERS: "Carries markers",
    Gate.REPETITION: "Repeats itself",
    Gate.NUMBERS: "Odd numbers",
    Gate.STATES_ANSWER: "States the answer",
    Gate.REWRITES_PROBLEM: "Rewrites the problem",
    Gate.NEAR_DUPLICATE: "Near duplicate",
}
"""What a hint does that a gate refuses."""
PENDING = Look("clock", "Not judged yet", "muted")


def badge_look(verdict: Verdict) -> Look:
    """A gate's badge."""
    return Look("check", verdict.name, "good") if verdict.passed else Look("error", REFUSED[verdict.gate], "bad")


def sum_up(verdicts: Sequence[Verdict]) -> Look:
    """All gates in one badge."""
    failed = [v for v in verdicts if not v.passed]
    if not verdicts:
        return PENDING
    if not failed:
        return Look("check-circle", "Passes the gates", "good")
    return badge_look(failed[0]) if len(failed) == 1 else Look("error", f"{len(failed)} gates refuse it", "bad")


class GateBadges(QWidget):
    """All gates, or with `brief` only those that refuse, or one badge that says that none does."""

    def __init__(self, *, brief: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._brief = brief
        self.badges: list[Badge] = []
        self._shown: list[tuple[Look, str]] | None = None
        self._layout = FlowLayout(self)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def render_verdicts(self, verdicts: Sequence[Verdict] | None) -> None:
        """Show them; None for a hint that is still being judged."""
        shown = self._choose(verdicts)
        if shown == self._shown:
            return
        self._shown = shown
        while len(self.badges) < len(shown):
            badge = Badge(PENDING)
            self.badges.append(badge)
            self._layout.addWidget(badge)
        for i, badge in enumerate(self.badges):
            badge.setVisible(i < len(shown))
            if i < len(shown):
                look, reason = shown[i]
                badge.render_look(look)
                badge.setToolTip(reason)
                badge.setAccessibleDescription(reason)
        self._layout.invalidate()
        self.updateGeometry()

    def _choose(self, verdicts: Sequence[Verdict] | None) -> list[tuple[Look, str]]:
        if verdicts is None:
            return [(PENDING, "")]
        if not self._brief:
            return [(badge_look(v), v.reason) for v in verdicts]
        failed = [(badge_look(v), v.reason) for v in verdicts if not v.passed]
        return failed or [(sum_up(verdicts), "\n".join(v.name for v in verdicts))]
