"""What the columns of a rollout are called and how they look: always an icon and a word. Pure lookups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seirenes_app.ui.widgets.badges import Look
from training.core.types import Outcome, Stage

STAGE_TAGS = {Stage.CLEAN: "R1", Stage.HINT: "R2", Stage.HINTED: "R3"}
STAGE_TONES = {Stage.CLEAN: "clean", Stage.HINT: "adversary", Stage.HINTED: "hinted"}
STAGE_WORDS = {
    Stage.CLEAN: "Reasoner, clean",
    Stage.HINT: "Adversary, hint",
    Stage.HINTED: "Reasoner, hinted",
}
STAGE_HELP = {
    Stage.CLEAN: "R1: the Reasoner solves the question as it is",
    Stage.HINT: "R2: the Adversary writes a hint that should mislead",
    Stage.HINTED: "R3: the Reasoner solves the question with a hint",
}
OUTCOME_LOOKS = {
    Outcome.RIGHT: Look("check-circle", "Right", "good"),
    Outcome.WRONG: Look("error", "Wrong", "bad"),
    Outcome.UNPARSABLE: Look("silent", "No answer", "warn"),
    Outcome.TIMED_OUT: Look("clock", "Timed out", "warn"),
}
FLIP_LOOKS = {
    "harmful": Look("flip-down", "Right → wrong", "bad"),
    "helpful": Look("flip-up", "Wrong → right", "good"),
    "stable": Look("stable", "Stable", "muted"),
}
PASSED = "passed"
PASSED_LOOK = Look("check", "Passed", "good")
NO_LOOK = Look("", "—", "muted")


def say(name: object) -> str:
    """A name out of the data as words: "near_duplicate" → "near duplicate"."""
    return str(name).replace("_", " ")


def stage_of(row: Mapping[str, Any]) -> Stage | None:
    """The stage of a row; None for one that a newer version wrote."""
    try:
        return Stage(row["stage"])
    except ValueError:
        return None


def say_kind(row: Mapping[str, Any]) -> str:
    """What a rollout is, beside its stage's tag: "clean", or the type of its hint."""
    if row["stage"] == Stage.CLEAN:
        return "clean"
    return say(row["hint_type"]) if row["hint_type"] else "no type"


def outcome_look(row: Mapping[str, Any]) -> Look:
    """The flip where there is one, else the outcome; a dash where nothing was judged."""
    flip = row.get("flip")
    if flip in ("harmful", "helpful"):
        return FLIP_LOOKS[flip]
    return answer_look(row)


def answer_look(row: Mapping[str, Any]) -> Look:
    """How the answer was judged, whatever the clean group did."""
    outcome = row["outcome"]
    if outcome is None:
        return NO_LOOK
    try:
        return OUTCOME_LOOKS[Outcome(outcome)]
    except ValueError:
        return Look("info", say(outcome).capitalize(), "muted")


def gate_look(row: Mapping[str, Any]) -> Look:
    """The gate that caught a hint, or that it passed; a dash for solutions."""
    if row["gate"]:
        return Look("stop-hand", say(row["gate"]).capitalize(), "warn")
    return PASSED_LOOK if row["stage"] == Stage.HINT else NO_LOOK


def say_number(value: float | None, *, signed: bool = False) -> str:
    """Two decimals with a true minus; a dash for nothing. Zero has no sign."""
    if value is None:
        return "—"
    text = f"{value:+.2f}" if signed and abs(value) >= 0.005 else f"{abs(value) if abs(value) < 0.005 else value:.2f}"
    return text.replace("-", "−")


def say_count(count: int) -> str:
    """A count with commas between thousands, as everywhere else: "1,000,000"."""
    return f"{count:,}"


def count_of(count: int, noun: str = "rollout") -> str:
    """ "1 rollout", "12,000 rollouts"."""
    return f"{say_count(count)} {noun}{'' if count == 1 else 's'}"
