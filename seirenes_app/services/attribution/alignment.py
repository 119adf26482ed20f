"""Two solutions side by side, step by step. Solutions are cut into lines, sentences and equations; equal steps (but for
spacing, case, signs) are found by difflib, others paired by likeness. The answers are always one pair."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from seirenes_app.services.attribution.sentence_ablation import Span, split_sentences
from training.core.answers import ANSWER_MARKER

_BOX = "\\boxed{"
# "12 + 7 = 19, so 19 + 5 = 24" is two steps; "2 + 3 = 5 apples, red and green" is one.
_JOINT = re.compile(r"(?:;|,(?!\d)|(?<!\w)(?:and|so|then)(?=\s)|=>|⇒|→)\s*")
_OPENERS = ("\\[", "\\begin{", "$$")
_CALCULATOR = re.compile(r"<<[^<>\n]*>>")
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "’": "'", "“": '"', "”": '"'})
_FIGURE = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?::\d\d)?(?:\.\d+)?")
_RELATION = re.compile(rf"[=<>≤≥≠]|{ANSWER_MARKER}|boxed")
_WORD = re.compile(r"\d[\d,]*(?:\.\d+)?|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of a solution. `key` is equal for steps that differ in spacing, case or signs only."""

    text: str
    span: Span
    key: str

    @property
    def substance(self) -> tuple[str, ...]:
        """What is worked out in it: its numbers; without any, all of a relation or an answer; of prose nothing."""
        figures = figures_of(self.text)
        return figures or ((self.key,) if _RELATION.search(self.key) else ())


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps before the answer line, the answer line itself, and what was written after it."""

    before: tuple[Step, ...]
    answer: Step | None
    after: tuple[Step, ...]


def cut_steps(text: str) -> Steps:
    """The steps of a solution, in order; together they cover every character that is no space."""
    answer = _answer_line(text)
    if answer is None:
        return Steps(_steps(text, Span(0, len(text))), None, ())
    return Steps(_steps(text, Span(0, answer.start)), _step(text, answer), _steps(text, Span(answer.end, len(text))))


def figures_of(text: str) -> tuple[str, ...]:
    """The numbers of a text in order. A calculator's notes (``<<2+3=5>>``) say everything twice and are left out."""
    return tuple(f.replace(",", "") for f in _FIGURE.findall(_CALCULATOR.sub("", text)))


def words_of(text: str) -> list[str]:
    return _WORD.findall(text)


def _answer_line(text: str) -> Span | None:
    """From the last answer marker to the end of its line, or the line of the last box."""
    marker, box = text.rfind(ANSWER_MARKER), text.rfind(_BOX)
    if marker < 0 and box < 0:
        return None
    start = marker if marker > box else text.rfind("\n", 0, box) + 1
    end = max(marker, box)
    if marker > box:
        # The marker may have its answer on the next line.
        while end < len(text) and text[end] in "# \n":
            end += 1
    stop = text.find("\n", end)
    return _trim(text, Span(start, len(text) if stop < 0 else stop))


def _steps(text: str, within: Span) -> tuple[Step, ...]:
    piece = within.of(text)
    spans = [
        Span(within.start + s.start + e.start, within.start + s.start + e.end)
        for s in split_sentences(piece)
        for e in _equations(s.of(piece))
    ]
    return tuple(_step(text, span) for span in _joined(text, spans))


def _equations(sentence: str) -> list[Span]:
    bare = _CALCULATOR.sub(lambda m: "_" * len(m.group()), sentence)
    spans: list[Span] = []
    start = 0
    for joint in _JOINT.finditer(bare):
        if "=" in bare[start : joint.start()] and "=" in bare[joint.end() :]:
            # The comma stays with what it ends, a word such as "so" goes with what it begins.
            cut = joint.start() if joint.group()[:1].isalpha() else joint.end()
            spans.append(_trim(sentence, Span(start, cut)))
            start = cut
    spans.append(_trim(sentence, Span(start, len(sentence))))
    return spans


def _joined(text: str, spans: list[Span]) -> list[Span]:
    """Put lines without a word or number (``\\[``, ``---``) to a neighbour: they are no step."""
    joined: list[Span] = []
    waiting: Span | None = None
    for span in spans:
        piece = span.of(text)
        if waiting is not None:
            span, waiting = Span(waiting.start, span.end), None
        elif not any(c.isalnum() for c in piece) or (piece.startswith("\\begin{") and piece.endswith("}")):
            if joined and not piece.startswith(_OPENERS):
                joined[-1] = Span(joined[-1].start, span.end)
            else:
                waiting = span
            continue
        joined.append(span)
    return [*joined, waiting] if waiting is not None else joined


def _step(text: str, span: Span) -> Step:
    piece = span.of(text)
    plain = _CALCULATOR.sub("", piece).translate(_SIGNS).casefold()
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", plain)
    plain = re.sub(r"\s*([^\w\s])\s*", r"\1", " ".join(plain.split()))
    return Step(piece, span, plain.rstrip(".,;"))


def _trim(text: str, span: Span) -> Span:
    piece = span.of(text)
    start = span.start + len(piece) - len(piece.lstrip())
    return Span(start, max(start, span.start + len(piece.rstrip())))


ALIKE = 0.35
"""Steps that share less than this of their words are no pair, unless they are the only ones between two equal steps."""
_IN_NUMBER = re.compile(r"\d[.,:]\d")
MAX_CELLS = 6_400  # larger blocks (a model that ran in circles) are paired in their order


@dataclass(frozen=True, slots=True)
class StepPair:
    left: str | None
    right: str | None
    same: bool
    left_span: Span | None
    right_span: Span | None


@dataclass(frozen=True, slots=True)
class Alignment:
    """`divergence` is the first pair that differs (None: none), `turn` the first that differs in numbers, relations or
    answer. `left_at` and `right_at` are the characters where they part, at the begin of a word or number."""

    pairs: tuple[StepPair, ...]
    divergence: int | None
    left_at: int
    right_at: int
    note: str
    turn: int | None = None


def align(clean: str, hinted: str) -> Alignment:
    left, right = cut_steps(clean), cut_steps(hinted)
    pairs = (*_match(left.before, right.before), *_answers(left, right), *_match(left.after, right.after))
    divergence = next((i for i, (a, b) in enumerate(pairs) if not _same(a, b)), None)
    turn = next((i for i, (a, b) in enumerate(pairs) if _substance(a) != _substance(b)), None)
    left_at, right_at = _parting(clean, hinted, pairs, divergence)
    shown = tuple(
        StepPair(
            a.text if a else None, b.text if b else None, _same(a, b), a.span if a else None, b.span if b else None
        )
        for a, b in pairs
    )
    return Alignment(shown, divergence, left_at, right_at, _note(pairs, divergence, turn), turn)


_Pair = tuple[Step | None, Step | None]


def _same(left: Step | None, right: Step | None) -> bool:
    return left is not None and right is not None and left.key == right.key


def _substance(step: Step | None) -> tuple[str, ...]:
    return step.substance if step else ()


def _answers(left: Steps, right: Steps) -> list[_Pair]:
    return [(left.answer, right.answer)] if left.answer or right.answer else []


def _match(left: Sequence[Step], right: Sequence[Step]) -> list[_Pair]:
    matcher = SequenceMatcher(None, [s.key for s in left], [s.key for s in right], autojunk=False)
    pairs: list[_Pair] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            pairs += zip(left[a:b], right[c:d], strict=True)
        else:
            pairs += _pair_up(left[a:b], right[c:d])
    return pairs


def _pair_up(left: Sequence[Step], right: Sequence[Step]) -> list[_Pair]:
    """Pair the steps between two equal ones, in their order, so that the likeness of all pairs is the greatest."""
    alone = len(left) == len(right) == 1
    if alone or len(left) * len(right) > MAX_CELLS:
        longest = max(len(left), len(right))
        return [(_at(left, i), _at(right, i)) for i in range(longest)]
    theirs = [Counter(words_of(s.key)) for s in right]
    likeness = [[_likeness(words, other) for other in theirs] for words in (Counter(words_of(s.key)) for s in left)]
    # best[i][j]: the greatest likeness of what is left from step i and step j on.
    best = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in reversed(range(len(left))):
        for j in reversed(range(len(right))):
            pair = likeness[i][j]
            best[i][j] = max(best[i + 1][j], best[i][j + 1], pair + best[i + 1][j + 1] if pair >= ALIKE else 0.0)
    pairs: list[_Pair] = []
    i = j = 0
    while i < len(left) and j < len(right):
        pair = likeness[i][j]
        if pair >= ALIKE and best[i][j] == pair + best[i + 1][j + 1]:
            pairs.append((left[i], right[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            pairs.append((left[i], None))
            i += 1
        else:
            pairs.append((None, right[j]))
            j += 1
    return pairs + [(s, None) for s in left[i:]] + [(None, s) for s in right[j:]]


def _at(steps: Sequence[Step], index: int) -> Step | None:
    return steps[index] if index < len(steps) else None


def _likeness(left: Counter[str], right: Counter[str]) -> float:
    total = left.total() + right.total()
    return 2 * (left & right).total() / total if total else 0.0


def _parting(clean: str, hinted: str, pairs: Sequence[_Pair], divergence: int | None) -> tuple[int, int]:
    if divergence is None:
        return len(clean), len(hinted)
    left, right = pairs[divergence]
    if left is None or right is None:
        return _begin(pairs, divergence, 0), _begin(pairs, divergence, 1)
    return _first_difference(clean, left.span, hinted, right.span)


def _begin(pairs: Sequence[_Pair], index: int, side: int) -> int:
    """Where the step begins, or where one that is missing would: after the step before."""
    step = pairs[index][side]
    if step is not None:
        return step.span.start
    return max((s.span.end for p in pairs[:index] if (s := p[side]) is not None), default=0)


def _first_difference(clean: str, left: Span, hinted: str, right: Span) -> tuple[int, int]:
    """Where two steps part, spaces and case apart, set back to the begin of a word or number."""
    i, j = left.start, right.start
    while i < left.end and j < right.end:
        if clean[i].isspace():
            i += 1
        elif hinted[j].isspace():
            j += 1
        elif clean[i].casefold() == hinted[j].casefold():
            i, j = i + 1, j + 1
        else:
            break
    return _set_back(clean, left.start, i), _set_back(hinted, right.start, j)


def _set_back(text: str, start: int, at: int) -> int:
    while at > start and (text[at - 1].isalnum() or _IN_NUMBER.match(text, max(start, at - 2))):
        at -= 1
    return at


def _note(pairs: Sequence[_Pair], divergence: int | None, turn: int | None) -> str:
    if not pairs:
        return "Both solutions are empty."
    if divergence is None:
        return "Both solutions take the same steps to the same answer."
    where = f"They part at step {divergence + 1} of {len(pairs)}"
    if turn is None:
        return f"{where}, in words only: what they work out is the same."
    if turn == divergence:
        return f"{where}{_how(pairs[divergence])}."
    return f"{where} in words, and at step {turn + 1} in what they work out."


def _how(pair: _Pair) -> str:
    if pair[0] is None:
        return ", which only the second solution takes"
    return ", which only the first solution takes" if pair[1] is None else ""
