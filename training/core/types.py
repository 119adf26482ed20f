"""The types that all packages share: problems, hints, roles, outcomes. Values only, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Split(StrEnum):
    """Which phrasings and templates a text may be drawn from; the two never share one."""

    TRAIN = "train"
    HELD_OUT = "held_out"


class Role(StrEnum):
    """The two roles of the one policy, which differ by the prompt alone (arXiv 2605.11636)."""

    REASONER = "reasoner"
    ADVERSARY = "adversary"


class Stage(StrEnum):
    """What produced a rollout."""

    CLEAN = "r1_clean"
    """R1: the Reasoner on the question alone."""
    NEEDED = "r1_needed"
    """R1: the Reasoner on the question moved before the story's last sentence."""
    HINT = "r2_hint"
    """R2: the Adversary's hint for the question."""
    HINTED = "r3_hinted"
    """R3: the Reasoner on the question with a hint appended."""


class Condition(StrEnum):
    """What the model that solves is shown."""

    CLEAN = "clean"
    """The question alone."""
    HINTED = "hinted"
    """The question with the hint."""
    PLACEBO = "placebo"
    """The question with neutral text of the hint's length, in its place."""
    NEEDED = "needed"
    """The question moved before the story's last sentence, so that text after it must be used to answer."""


class AnswerKind(StrEnum):
    """How a gold answer is compared; see `training.core.answers`."""

    NUMBER = "number"
    """An integer, decimal or fraction: compared as an exact `Fraction`."""
    CLOCK = "clock"
    """A time of day such as ``7:45`` (12-hour, no am/pm): compared as minutes."""
    CHOICE = "choice"
    """One word out of the question (a name, a weekday): compared case-insensitively."""
    SYMBOLIC = "symbolic"
    """A mathematical expression: compared by tier 1, in a killable child."""
    TEXT = "text"
    """A line of text or a list: compared without regard to case, quotes, brackets and spaces around commas."""
    SCORED = "scored"
    """What only its family can score, as one of many right answers: by `training.core.gym`, in a killable child."""


class HintType(StrEnum):
    """The four hint types of the paper."""

    INFORMATION_OVERLOAD = "information_overload"
    """True or harmless extra facts; the answer is unaffected."""
    CORRELATION_TRAP = "correlation_trap"
    """A surface cue tied to a familiar but wrong template ("problems that say 'gives' are subtractions")."""
    SEMANTIC_MISLEADING = "semantic_misleading"
    """A plausible wrong reading, method or anchor ("could it be around 175?")."""
    INSTRUCTION_CONTAMINATION = "instruction_contamination"
    """A competing instruction ("reply with the first number", "double the result")."""


class Outcome(StrEnum):
    """What became of one completion. Only RIGHT is rewarded; the others stay different things."""

    RIGHT = "right"
    WRONG = "wrong"
    UNPARSABLE = "unparsable"
    """No answer could be read from the text."""
    AMBIGUOUS = "ambiguous"
    """It states two different final answers."""
    TRUNCATED = "truncated"
    """It was cut off before its answer, or within a reasoning block."""
    TIMED_OUT = "timed_out"
    """The symbolic checker hit its time or memory limit."""
    TOO_LONG = "too_long"
    """The prompt does not fit in the model's context: nothing was asked."""
    FILTERED = "filtered"
    """A server's content filter withheld the answer."""


UNREADABLE = frozenset({Outcome.UNPARSABLE, Outcome.AMBIGUOUS})
"""Outcomes that no answer could be read from; shown as "unreadable"."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One verifiable question.

    `solution` is the worked solution and ends with the answer line ``#### <answer>``.
    `entities` are names that occur in the question, `nouns` the things counted (plural form),
    `quantities` the numbers of the question in order of appearance.
    """

    id: str
    family: str
    question: str
    answer: str
    kind: AnswerKind
    solution: str
    entities: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()
    quantities: tuple[int, ...] = ()
    template: str = ""
    split: Split = Split.TRAIN
    difficulty: int = 1
    options: tuple[str, ...] = ()
    """Words that a CHOICE answer may be, where they are no names of the question."""
    scoring: str = ""
    """What the family's own scorer needs, as JSON; for SCORED answers alone."""


@dataclass(frozen=True, slots=True)
class Hint:
    """One hint for one problem. `suggested` is the wrong answer it suggests, where it suggests one."""

    type: HintType
    text: str
    template: str = ""
    split: Split = Split.TRAIN
    suggested: str | None = None


class Aggregation(StrEnum):
    """How token losses become one number."""

    TOKEN = "token"
    """Mean over all tokens of the update (DAPO)."""
    SEQUENCE = "sequence"
    """Mean over tokens of a completion, then over completions (GRPO)."""
    CONSTANT = "constant"
    """Sum over tokens divided by rows × `max_tokens` (Dr. GRPO)."""
