"""The table of a run's rollouts, and how a rollout's values are shown: labels, badges, columns."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QObject

from seirenes_app.services.formatting import decimal, percent
from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.table_model import Column, PagedTableModel
from training.core.types import Outcome, Stage
from training.rollouts.reader import Sort

Row = Mapping[str, Any]

STAGE_TAGS = {Stage.CLEAN: "R1", Stage.NEEDED: "R1", Stage.HINT: "R2", Stage.HINTED: "R3"}
STAGE_TONES = {Stage.CLEAN: "clean", Stage.NEEDED: "clean", Stage.HINT: "adversary", Stage.HINTED: "hinted"}
STAGE_WORDS = {
    Stage.CLEAN: "Reasoner, clean", Stage.NEEDED: "Reasoner, needed", Stage.HINT: "Adversary, hint",
    Stage.HINTED: "Reasoner, hinted",
}  # fmt: skip
STAGE_HELP = {
    Stage.CLEAN: "R1: the Reasoner solves the question as it is",
    Stage.NEEDED: "R1: the Reasoner solves the question moved before the story's last sentence",
    Stage.HINT: "R2: the Adversary writes a hint that should mislead",
    Stage.HINTED: "R3: the Reasoner solves the question with a hint",
}
WITHOUT_HINT = (Stage.CLEAN, Stage.NEEDED)
OUTCOME_STYLES = {
    Outcome.RIGHT: BadgeStyle("check-circle", "Right", "good"),
    Outcome.WRONG: BadgeStyle("error", "Wrong", "bad"),
    Outcome.UNPARSABLE: BadgeStyle("silent", "Unreadable", "warn"),
    Outcome.AMBIGUOUS: BadgeStyle("versions", "Ambiguous", "warn"),
    Outcome.TRUNCATED: BadgeStyle("discard", "Truncated", "warn"),
    Outcome.TIMED_OUT: BadgeStyle("clock", "Timed out", "warn"),
    Outcome.TOO_LONG: BadgeStyle("tokens", "Too long", "warn"),
    Outcome.FILTERED: BadgeStyle("stop-hand", "Withheld", "warn"),
}
FLIP_STYLES = {
    "harmful": BadgeStyle("flip-down", "Right → wrong", "bad"),
    "helpful": BadgeStyle("flip-up", "Wrong → right", "good"),
    "stable": BadgeStyle("stable", "Stable", "muted"),
}
PASSED = "passed"
PASSED_STYLE = BadgeStyle("check", "Passed", "good")
NO_STYLE = BadgeStyle("", "—", "muted")


def say(name: object) -> str:
    """A name from the data as words: "near_duplicate" → "near duplicate"."""
    return str(name).replace("_", " ")


def stage_of(row: Row) -> Stage | None:
    """The stage of a row; None for one that a newer version wrote."""
    try:
        return Stage(row["stage"])
    except ValueError:
        return None


def is_flip(row: Row) -> bool:
    return row.get("flip") in ("harmful", "helpful")


def say_kind(row: Row) -> str:
    """What a rollout is, beside its stage's tag: "clean", "needed", or the type of its hint."""
    if row["stage"] in WITHOUT_HINT:
        return "clean" if row["stage"] == Stage.CLEAN else "needed"
    return say(row["hint_type"]) if row["hint_type"] else "no type"


def outcome_style(row: Row) -> BadgeStyle:
    """The flip where there is one, else the outcome."""
    return (flip_style(row) or NO_STYLE) if is_flip(row) else answer_style(row)


def flip_style(row: Row) -> BadgeStyle | None:
    """The flip of a hinted solution; None for other rows. An answer that could not be graded is called so."""
    style = FLIP_STYLES.get(row.get("flip") or "")
    if row.get("flip") != "harmful" or row["outcome"] == Outcome.WRONG:
        return style
    return BadgeStyle("flip-down", f"Right → {answer_style(row).text.lower()}", "warn")


def answer_style(row: Row) -> BadgeStyle:
    """The outcome of the answer, whatever the clean group did; a dash where nothing was graded."""
    outcome = row["outcome"]
    if outcome is None:
        return NO_STYLE
    return OUTCOME_STYLES.get(outcome) or BadgeStyle("info", say(outcome).capitalize(), "muted")


def gate_style(row: Row) -> BadgeStyle:
    """The gate that a hint failed, or that it passed; a dash for solutions."""
    if row["gate"]:
        return BadgeStyle("stop-hand", say(row["gate"]).capitalize(), "warn")
    return PASSED_STYLE if row["stage"] == Stage.HINT else NO_STYLE


TIP_CHARACTERS = 600


def as_tip(text: str) -> str:
    """A tooltip that wraps and shows model text as it is: Qt would read markup out of a plain one."""
    return f"<qt>{html.escape(text)}</qt>".replace("\n", "<br>")


def flatten(text: str | None) -> str:
    """One line: a model's line breaks would show as boxes."""
    return " ".join((text or "")[:TIP_CHARACTERS].split())


def _stage_and_kind(row: Row) -> str:
    stage = stage_of(row)
    if stage is None:
        return say(row["stage"])
    words = f"{STAGE_TAGS[stage]} {STAGE_WORDS[stage]}"
    return words if stage in WITHOUT_HINT else f"{words}: {say_kind(row)}"


class RolloutColumn(IntEnum):
    """Columns of the table, in order."""

    STEP = 0
    KIND = 1
    FAMILY = 2
    PROBLEM = 3
    OUTCOME = 4
    REWARD = 5
    ADVANTAGE = 6
    TOKENS = 7
    GATE = 8


def _outcome_tip(row: Row) -> str:
    clean = row.get("clean_accuracy")
    beside = f"\nClean solutions of this question: {percent(clean)} right" if clean is not None else ""
    return f"{answer_style(row).text}{beside}"


def _column(title: str, text: Callable[[Row], str], width: int, *, row_tip: Callable[[Row], str] | None = None,
            **more: Any) -> Column:  # fmt: skip
    return Column(title, text, width, row_tip=lambda row: as_tip((row_tip or text)(row)), **more)


COLUMNS = {
    RolloutColumn.STEP: _column("Step", lambda row: str(row["step"]), 66, sort=Sort.TIME, right=True),
    RolloutColumn.KIND: _column(
        "Role and type", _stage_and_kind, 194,
        tip="R1 solves the question, R2 writes a hint, R3 solves the question with the hint",
    ),
    RolloutColumn.FAMILY: _column("Family", lambda row: say(row["family"]), 88, hidden_below=840),
    RolloutColumn.PROBLEM: _column(
        "Problem", lambda row: " | ".join(filter(None, (flatten(row["hint"]), flatten(row["question"])))), 0,
        tip="The question; where there is a hint, the hint comes first",
        row_tip=lambda row: "\n".join(filter(None, (flatten(row["question"]), flatten(row["hint"])))),
    ),
    RolloutColumn.OUTCOME: _column(
        "Outcome", lambda row: outcome_style(row).text, 156,
        tip="Right → wrong: not right, although at least half of the clean solutions are", row_tip=_outcome_tip,
    ),
    RolloutColumn.REWARD: _column(
        "Reward", lambda row: decimal(row["reward"]), 80, sort=Sort.REWARD, right=True,
    ),
    RolloutColumn.ADVANTAGE: _column(
        "Advantage", lambda row: decimal(row["advantage"], signed=True), 98, tip="Reward relative to its group",
        sort=Sort.ADVANTAGE, right=True, hidden_below=1140,
    ),
    RolloutColumn.TOKENS: _column(
        "Tokens", lambda row: str(row["tokens"]), 78, sort=Sort.TOKENS, right=True, hidden_below=1220,
    ),
    RolloutColumn.GATE: _column(
        "Gate", lambda row: gate_style(row).text, 144, tip="Result of the gates for a hint",
        row_tip=lambda row: str(row["gate_reason"] or gate_style(row).text)[:TIP_CHARACTERS], hidden_below=900,
    ),
}  # fmt: skip


class RolloutsModel(PagedTableModel):
    """Rollouts, of which the ids are known."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(tuple(COLUMNS.values()), lambda row: int(row["id"]), parent)
