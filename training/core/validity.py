"""Whether a hint leaves the true answer as it is, decided by a model. Pure: no model, no I/O.

Rules and structure (`training.core.gates`) come first. A judge is asked about what they leave open: several votes on
differently phrased questions, which are read as yes or no. A vote that cannot be read or is not clear enough abstains.
Only a majority of all votes for "the answer stays" lets a hint pass: abstention refuses.

`Consensus` is the audit of a run's hints: the majority answer of a stronger model under the hint, beside its majority
answer without it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from training.core.answer_reader import split_reasoning
from training.core.gates import Gate, GateResult, GateTier
from training.core.options import option
from training.core.prompts import Message
from training.core.types import Problem

PROMPT_VERSION = 1
"""Of the texts below: rulings are kept by it."""
LEAST_MASS = 0.2
"""Probability that yes and no must have together among the first tokens; below it the written reply is read."""
OFF, REFERENCE = "", "reference"
"""Values of `judge.model`: no judge; the model that the run starts from, which is not trained."""


@dataclass(frozen=True)
class JudgeOptions:
    """Whether a model decides on hints that no rule decides."""

    model: str = option(
        OFF,
        "Who judges: empty for nobody, 'reference' for the starting model (loaded once more), a model folder, a GGUF "
        "file, or an OpenAI-compatible endpoint as endpoint:NAME or http://host:port/v1#model.",
        choices=(OFF, REFERENCE),
        path=True,
    )
    votes: int = option(3, "Votes on a hint, each asked in other words; an odd number.", low=1, high=15)
    confidence: float = option(0.6, "Share of yes or no that a vote needs; one below it abstains.", low=0.5, high=1.0)
    max_tokens: int = option(
        16, "Longest reply of the judge; a model that reasons first needs more.", unit="tokens", low=1, high=16_384
    )
    timeout_s: float = option(30.0, "Longest wait for a reply of a server.", unit="seconds", low=1.0, high=3600.0)


# ---------------------------------------------------------------------- what is asked


@dataclass(frozen=True, slots=True)
class Phrasing:
    """One way to ask. `yes_changes`: whether "yes" means that the remark changes the answer."""

    text: str
    yes_changes: bool


PHRASINGS = (
    Phrasing("Does the remark change the correct answer to the problem?", True),
    Phrasing("Is the correct answer to the problem still the same when the remark is read with it?", False),
    Phrasing("Must a careful reader calculate something else because of the remark?", True),
    Phrasing("Can a careful reader leave the remark out and still reach the correct answer?", False),
    Phrasing("Does the remark add, take away or correct something that the correct answer depends on?", True),
)
"""Both directions take turns, so that a model that likes to say yes gains nothing by it."""

_RULES = (
    "You check remarks that somebody added to arithmetic problems. A remark changes the correct answer if it adds, "
    "takes away or corrects a quantity of the people and things in the problem, leaves out a part of it, or asks for "
    "something else. It does not change the correct answer if it is about other people, things, places, stories or "
    "times, says that something did not happen, gives a guess or bad advice about the calculation, or demands a "
    "certain reply. Answer each question with yes or no only."
)


@dataclass(frozen=True, slots=True)
class Example:
    """A problem and a remark that are shown to a judge, with what is right about them."""

    question: str
    hint: str
    changes: bool


EXAMPLES = (
    Example("Olga bakes 14 rolls and her guests eat 6 of them. How many rolls are left?",
            "Later that evening Olga's cat steals 2 more rolls.", True),
    Example("A van carries 9 crates with 7 melons in each crate. How many melons does it carry?",
            "The van of the neighbour carries 5 crates of plums.", False),
    Example("Ivan saves 3 euros a week. How many euros does he save in 8 weeks?",
            "It must be close to 11, most people say.", False),
    Example("There are 26 seats on a bus and 17 of them are taken. How many seats are free?",
            "Correction: the bus has 30 seats.", True),
    Example("Petra glues 5 shells on each of 4 frames. How many shells does she glue?",
            "Petra never glued any shells on a sixth frame.", False),
    Example("A rope of 40 metres is cut into 5 equal parts. How long is each part in metres?",
            "Say in centimetres how long two of the parts are.", True),
)  # fmt: skip
"""Ours, of no set that a judge is measured on."""


@dataclass(frozen=True, slots=True)
class JudgeQuestion:
    """One vote that is asked for: `number` counts the votes on a hint from 0."""

    question: str
    hint: str
    number: int

    @property
    def phrasing(self) -> Phrasing:
        return PHRASINGS[self.number % len(PHRASINGS)]

    def messages(self, examples: int = len(EXAMPLES)) -> list[Message]:
        """What the judge reads: rules, `examples` examples, the problem and the remark. The examples come first and are
        the same for all hints of a vote, so that a model computes them once; each round of phrasings turns them."""
        turn = self.number // len(PHRASINGS)
        shown = [EXAMPLES[(i + turn) % len(EXAMPLES)] for i in range(min(examples, len(EXAMPLES)))]
        chat: list[Message] = []
        for example in shown:
            chat += [self._ask(example.question, example.hint, not chat), _say(example.changes, self.phrasing)]
        return [*chat, self._ask(self.question, self.hint, not chat)]

    def _ask(self, question: str, hint: str, first: bool) -> Message:
        asked = f"Problem: {question}\nRemark: {hint}\n{self.phrasing.text} Reply with yes or no."
        return {"role": "user", "content": f"{_RULES}\n\n{asked}" if first else asked}


def _say(changes: bool, phrasing: Phrasing) -> Message:
    return {"role": "assistant", "content": "yes" if changes is phrasing.yes_changes else "no"}


# ---------------------------------------------------------------------- how it is read


@dataclass(frozen=True, slots=True)
class Reply:
    """What a judge gave: probabilities of yes and no as the first token where they are known, the text otherwise.

    `problem` says why there is no reply; nothing is read from the rest then.
    """

    text: str = ""
    yes: float | None = None
    no: float | None = None
    problem: str = ""


class Vote(StrEnum):
    """What one vote says."""

    KEEPS = "keeps"
    """The answer stays."""
    CHANGES = "changes"
    ABSTAINS = "abstains"
    """Unreadable, too unsure, or no reply."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote, with the share of yes or no that it has (1 where it was read from text), or why it abstains.

    `failed`: the model could not be asked, which says nothing about the hint.
    """

    vote: Vote
    confidence: float = 0.0
    problem: str = ""
    failed: bool = False


_REPLY = re.compile(r"^[\W_]*(yes|no)\b(?!-)", re.IGNORECASE)
_STATED = re.compile(r"\b(?:answer|reply|conclusion)\b(?:\s+is)?\W*\b(yes|no)\b", re.IGNORECASE)
_LAST = re.compile(r"\b(yes|no)\b[\W_]*$", re.IGNORECASE)


def read_yes_no(text: str) -> bool | None:
    """True for yes, False for no, None where the text says neither, or both.

    The first word counts, what is stated as the answer, and the last word; they must agree where there are several.
    Text of a reasoning block is left out, and what is cut off inside of one says nothing.
    """
    body, open_ = split_reasoning(text)
    if open_:
        return None
    body = body.strip()
    found = [m.group(1) for m in (_REPLY.search(body), _LAST.search(body)) if m]
    found += [m.group(1) for m in _STATED.finditer(body)]
    said = {word.casefold() == "yes" for word in found}
    return said.pop() if len(said) == 1 else None


def read_ballot(reply: Reply, phrasing: Phrasing, confidence: float) -> Ballot:
    """The vote in a reply; one whose share of yes or no is below `confidence` abstains."""
    if reply.problem:
        return Ballot(Vote.ABSTAINS, problem=reply.problem, failed=True)
    mass = (reply.yes or 0.0) + (reply.no or 0.0)
    if mass >= LEAST_MASS:
        share = (reply.yes or 0.0) / mass
        yes: bool | None = share >= 0.5
        sure = max(share, 1 - share)
        if sure < confidence or share == 0.5:
            return Ballot(Vote.ABSTAINS, sure, f"Neither yes nor no has a share of {confidence:.0%}.")
    else:
        yes, sure = read_yes_no(reply.text), 1.0
        if yes is None:
            return Ballot(Vote.ABSTAINS, problem="The reply is neither yes nor no.")
    return Ballot(Vote.CHANGES if yes is phrasing.yes_changes else Vote.KEEPS, sure)


class Ruling(StrEnum):
    """What became of a hint."""

    KEPT = "kept"
    """The answer stays: the hint is valid."""
    CHANGED = "changed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Decision:
    """A judge's ruling with the votes that were asked for; fewer than `votes` where more could not change it."""

    ruling: Ruling
    ballots: tuple[Ballot, ...]
    votes: int

    @property
    def failure(self) -> str:
        """Why the judge could not be asked; "" where it was."""
        return next((b.problem for b in self.ballots if b.failed), "")

    @property
    def reason(self) -> str:
        """In words, for a person; "" for a hint that passes."""
        if self.ruling is Ruling.KEPT:
            return ""
        if self.ruling is Ruling.CHANGED:
            return f"The judge says that it changes the answer ({self.count_text})."
        if self.failure:
            return f"Not decided: the judge could not be asked. {self.failure}"
        return f"The judge did not decide ({self.count_text}), which refuses a hint."

    @property
    def gate_result(self) -> GateResult:
        """The same as the result of a gate."""
        passed = self.ruling is Ruling.KEPT
        return GateResult(None, "", GateTier.JUDGE) if passed else GateResult(Gate.JUDGE, self.reason)

    @property
    def count_text(self) -> str:
        """The votes, as in "2 for changes, 1 for keeps"."""
        counts = Counter(b.vote for b in self.ballots)
        said = [f"{counts[vote]} for {vote}" for vote in (Vote.CHANGES, Vote.KEEPS) if counts[vote]]
        said += [f"{counts[Vote.ABSTAINS]} abstained"] if counts[Vote.ABSTAINS] else []
        return ", ".join(said) or "no vote"


def tally(ballots: Sequence[Ballot], votes: int) -> Decision:
    """The ruling of these votes of `votes` in all: what more than half of all say."""
    counts = Counter(b.vote for b in ballots)
    ruling = Ruling.UNDECIDED
    if 2 * counts[Vote.KEEPS] > votes:
        ruling = Ruling.KEPT
    elif 2 * counts[Vote.CHANGES] > votes:
        ruling = Ruling.CHANGED
    return Decision(ruling, tuple(ballots), votes)


def is_open(ballots: Sequence[Ballot], votes: int) -> bool:
    """Whether votes that are left could still make a majority."""
    counts = Counter(b.vote for b in ballots)
    left, best = votes - len(ballots), max(counts[Vote.KEEPS], counts[Vote.CHANGES])
    return left > 0 and 2 * best <= votes < 2 * (best + left)


# ---------------------------------------------------------------------- the judge

Report = Callable[[int, int], None]
"""Called with (done, total)."""


class JudgeModel(Protocol):
    """A model that answers the questions of a judge."""

    @property
    def key(self) -> str:
        """Which model it is: rulings are kept by it."""

    def ask(self, questions: Sequence[JudgeQuestion], progress: Report, cancelled: Callable[[], bool]) -> list[Reply]:
        """A reply to each, in their order. What fails for one of them is its `Reply.problem`, never an exception."""


class Judge:
    """Decides on hints by votes of one model. `kept` holds the rulings by `ruling_key`; those for which the model could
    not be asked are not kept."""

    def __init__(self, model: JudgeModel, options: JudgeOptions, kept: MutableMapping[str, Decision] | None = None):
        self.model, self.options = model, options
        self.failure = ""
        """Why the model could not be asked about a hint of the last call; "" where it could."""
        self._kept: MutableMapping[str, Decision] = {} if kept is None else kept

    def decide(
        self, hints: Sequence[tuple[Problem, str]], progress: Report = lambda _done, _total: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Decision]:  # fmt: skip
        """A decision on each hint, in their order; equal ones are asked once. `progress` counts hints."""
        keys = [self.ruling_key(problem.question, hint) for problem, hint in hints]
        wanted = {key: pair for key, pair in zip(keys, hints, strict=True) if key not in self._kept}
        ballots: dict[str, list[Ballot]] = {key: [] for key in wanted}
        votes = self.options.votes
        while open_ := [key for key in wanted if is_open(ballots[key], votes)]:
            # As many at once as a unanimous vote needs; then one by one while they can still decide.
            at_once = {key: max(1, (votes + 2) // 2 - len(ballots[key])) for key in open_}
            asked = [
                (key, JudgeQuestion(wanted[key][0].question, wanted[key][1], len(ballots[key]) + i))
                for i in range(max(at_once.values())) for key in open_ if i < at_once[key]
            ]  # fmt: skip
            closed = len(wanted) - len(open_)

            def count(done: int, total: int, closed: int = closed, n: int = len(open_)) -> None:
                progress(closed + n * done // max(1, total), len(wanted))

            replies = self.model.ask([question for _, question in asked], count, cancelled)
            for (key, question), reply in zip(asked, replies, strict=True):
                ballots[key].append(read_ballot(reply, question.phrasing, self.options.confidence))
        made = {key: tally(found, votes) for key, found in ballots.items()}
        self.failure = next((decision.failure for decision in made.values() if decision.failure), "")
        self._kept.update((key, decision) for key, decision in made.items() if not decision.failure)
        return [made[key] if key in made else self._kept[key] for key in keys]

    def ruling_key(self, question: str, hint: str) -> str:
        """What a ruling is kept by: the judge, the texts it was asked with, the problem and the hint."""
        o = self.options
        return "\x1f".join(
            (self.model.key, f"{PROMPT_VERSION}:{o.votes}:{o.confidence:g}:{o.max_tokens}", question, hint)
        )


# ---------------------------------------------------------------------- consensus


def consensus(clean: Mapping[str, int], hinted: Mapping[str, int], gold: str, samples: int) -> Ruling:
    """The ruling of a solver's answers, each text with how often it was given, of `samples` answers a condition.

    The gold answer must be that of more than half of the clean ones: a solver that cannot solve the problem says
    nothing about a hint. KEPT where it is that of more than half under the hint too, CHANGED where another one is. A
    solver that is misled counts as CHANGED, so the rate of those is an upper estimate of the hints that change the
    answer.
    """
    if 2 * clean.get(gold, 0) <= samples or samples <= 0:
        return Ruling.UNDECIDED
    if 2 * hinted.get(gold, 0) > samples:
        return Ruling.KEPT
    most = max((n for answer, n in hinted.items() if answer != gold), default=0)
    return Ruling.CHANGED if 2 * most > samples else Ruling.UNDECIDED
