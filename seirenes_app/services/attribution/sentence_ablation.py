"""Sentence ablation: each sentence of a hint left out, and each alone. All variants have the same seed (common random
numbers); the intervals are Newcombe's for independent samples, so too wide. Sentences are cut by rules."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from seirenes_app.inference.protocol import Finish, SampleDone
from seirenes_app.services.answer_reading import no_effect
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint
from seirenes_app.services.hint_authoring.jobs import Grader, Job, call_back
from seirenes_app.services.hint_authoring.models import load_request, planned_samples, solve_request
from seirenes_app.services.hint_authoring.problems import as_problem
from seirenes_app.services.hint_authoring.results import ConditionResult, SolvedSample, difference
from training.core.prompts import join_hint
from training.core.statistics import Interval
from training.core.types import Condition
from training.errors import UserError


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text: characters `start` to `end`, `end` not included."""

    start: int
    end: int

    def of(self, text: str) -> str:
        return text[self.start : self.end]


_END = re.compile(r"(?P<mark>[.!?…]+)[\"'”’»)\]}*_]*(?P<gap>\s+|$)|[。！？]+[」』”’）]*(?P<none>)")
_LAST_WORD = re.compile(r"[\w.]*\w\Z")
# Never the end of a sentence: something always follows them.
_TITLES = frozenset("mr mrs ms dr prof st mt jr sr gen rev hon capt e.g i.e cf vs viz".split())
# The end of a sentence only before a capital: "at 5 p.m. He left", "about 3 approx. per day".
_MAYBE = frozenset(
    "etc a.m p.m u.s u.k ph.d approx ca est min max avg hr hrs sec ft lb lbs oz kg km cm mm inc ltd".split()
)
# "No. 5" and "Fig. 2" go on, "No. It is 6." does not.
_BEFORE_NUMBER = frozenset("no nos nr fig eq vol ch pp p sec art step".split())
_LIST_MARK = re.compile(r"\s*\(?(?:\d{1,2}|[A-Za-z])\Z")


def split_sentences(text: str) -> tuple[Span, ...]:
    """The sentences in order. Each begins and ends with a character that is no space."""
    spans: list[Span] = []
    at = 0
    for line in text.splitlines(keepends=True):
        spans += _trimmed(text, at, at + len(line), _ends(line))
        at += len(line)
    return tuple(spans)


def _trimmed(text: str, start: int, end: int, ends: list[int]) -> list[Span]:
    spans = []
    for stop in [*(start + e for e in ends), end]:
        piece = text[start:stop]
        if piece.strip():
            first = start + len(piece) - len(piece.lstrip())
            spans.append(Span(first, start + len(piece.rstrip())))
        start = stop
    return spans


def _ends(line: str) -> list[int]:
    ends: list[int] = []
    begin = 0
    for match in _END.finditer(line):
        if match.group("none") is not None or _is_end(line, begin, match):
            ends.append(match.end())
            begin = match.end()
    return ends


def _is_end(line: str, begin: int, match: re.Match[str]) -> bool:
    rest = line[match.end() :]
    if not rest:
        return False
    following = rest.lstrip("\"'“‘«([{*_$£€")[:1]
    if match.group("mark") != ".":
        # "How many?" asked Tom. And "wait... what".
        quoted = match.end("mark") < match.start("gap")
        trailing = match.group("mark") not in ("!", "?") and set(match.group("mark")) <= set(".…")
        return not (following.islower() and (quoted or trailing))
    before = line[begin : match.start()]
    if _LIST_MARK.match(before):
        return False
    return not _is_abbreviation(before, following)


def _is_abbreviation(before: str, following: str) -> bool:
    found = _LAST_WORD.search(before)
    if found is None:
        return False
    word = found.group().lstrip(".")
    if len(word) == 1 and word.isupper() and word != "I":
        # An initial has a name about it: "John F. Kennedy", "J. Smith", and not "in class A. Then".
        name = before[: found.start()].split()[-1:]
        return following.isupper() and (not name or name[0][:1].isupper())
    low = word.lower()
    if low in _TITLES:
        return True
    if low in _MAYBE:
        return not following.isupper()
    return low in _BEFORE_NUMBER and following.isdigit()


ONE_SENTENCE = (
    "The hint is one sentence: leaving it out is the clean question, and having only it is the whole hint, so there is "
    "nothing to take apart."
)
NO_HARM = "The whole hint does no clear harm with this many samples, so its sentences show little. More samples may."
TOGETHER = (
    "No sentence does clear harm alone, and leaving out any one clearly helps nothing: it takes several together."
)


@dataclass(frozen=True, slots=True)
class VariantResult(ConditionResult):
    """One text and how often its solutions were right so far; `hint` is the part of the hint that is in it."""

    hint: str


@dataclass(frozen=True, slots=True)
class AblationRow:
    """One sentence; `span` is its place. `delta_without`: accuracy without it − with the whole hint. `delta_only`:
    clean − with it alone. Above zero: harm. None while one side has no sample, and where one is mostly unread."""

    sentence: str
    span: Span
    without: VariantResult
    only: VariantResult
    delta_without: Interval | None
    delta_only: Interval | None


@dataclass(frozen=True, slots=True)
class AblationResult:
    """The table so far. `delta_full` is clean − whole hint; `worst` the index of the most harmful sentence, by both
    deltas."""

    clean: VariantResult
    full: VariantResult
    rows: tuple[AblationRow, ...]
    delta_full: Interval | None
    worst: int | None
    note: str
    seconds: float
    complete: bool
    cancelled: bool


def parts_of(hint: str) -> tuple[tuple[Span, str, str], ...]:
    """Each sentence of a hint: its place, the hint without it, and the hint with only it."""
    spans = split_sentences(hint)
    sentences = [s.of(hint) for s in spans]
    return tuple((span, " ".join(sentences[:i] + sentences[i + 1 :]), sentences[i]) for i, span in enumerate(spans))


def ablate_sentences(
    job: Job, draft: Draft, hint: DraftHint, on_update: Callable[[AblationResult], None]
) -> AblationResult:
    """Solve under every variant of a hint's text, each text once. `on_update` comes after every solution."""
    model, problem = load_request(draft.solver), as_problem(draft.problem)
    table = _Table(problem.question, hint.text.strip(), draft)
    with Grader(problem, hint.suggested) as grader:
        for part, variant in table.variants.items():
            if job.cancelled:
                break
            request = solve_request(draft, variant.text, variant.planned)
            for event in job.listen(job.send(request, model)):
                if isinstance(event, SampleDone) and event.finish is not Finish.CANCELLED:
                    table.add(part, grader.grade(variant.condition, event))
                    call_back(on_update, table.result(job.cancelled))
    return table.result(job.cancelled)


class _Table:
    """The variants of one hint by their part of it; sentences that make the same text share one."""

    def __init__(self, question: str, hint: str, draft: Draft) -> None:
        self._hint, self._parts, self._started = hint, parts_of(hint), time.monotonic()
        if not self._parts:
            raise UserError("The hint has no sentence to take apart. Write one, or choose another.")
        n = planned_samples(draft.plan)
        hints = dict.fromkeys(["", hint, *(h for _, without, only in self._parts for h in (without, only))])
        self.variants = {
            h: VariantResult(Condition.HINTED, join_hint(question, h, draft.placement), (), n, h)
            if h else VariantResult(Condition.CLEAN, question, (), n, h)
            for h in hints
        }  # fmt: skip

    def add(self, hint: str, sample: SolvedSample) -> None:
        variant = self.variants[hint]
        samples = tuple(sorted((*variant.samples, sample), key=lambda s: s.index))
        self.variants[hint] = replace(variant, samples=samples)

    def result(self, cancelled: bool) -> AblationResult:
        found = self.variants
        clean, full = found[""], found[self._hint]
        rows = tuple(
            AblationRow(
                only, span, found[without], found[only], difference(found[without], full),
                difference(clean, found[only]),
            )
            for span, without, only in self._parts
        )  # fmt: skip
        complete, whole = all(v.complete for v in found.values()), difference(clean, full)
        seconds = time.monotonic() - self._started
        return AblationResult(
            clean, full, rows, whole, _worst(rows), _note(rows, clean, full, complete), seconds, complete, cancelled
        )


def _worst(rows: tuple[AblationRow, ...]) -> int | None:
    harms = [r.delta_without.mean + r.delta_only.mean if r.delta_without and r.delta_only else 0.0 for r in rows]
    worst = max(range(len(rows)), key=lambda i: harms[i])
    return worst if harms[worst] > 0 else None


def _note(rows: tuple[AblationRow, ...], clean: VariantResult, full: VariantResult, complete: bool) -> str:
    if len(rows) == 1:
        return ONE_SENTENCE
    if not complete:
        return ""
    if withheld := no_effect({"clean": clean.unread, "hinted": full.unread}):
        return withheld
    whole = difference(clean, full)
    if whole is None or whole.low <= 0:
        return NO_HARM
    clear = [d for r in rows for d in (r.delta_without, r.delta_only) if d is not None and d.low > 0]
    return "" if clear else TOGETHER
