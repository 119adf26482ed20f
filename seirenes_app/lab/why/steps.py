"""Cut a solution into steps: lines, then sentences, then equations; and what two steps must share to be the same.

It reads the way solutions are written, not mathematics: nothing here is evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from seirenes_app.lab.why.sentences import Span, split_sentences
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
    """Words, numbers and signs, for comparing how alike two steps are."""
    return _WORD.findall(text)


def _answer_line(text: str) -> Span | None:
    """From the last answer marker to the end of its line, or the line of the last box, as `extract_answer` reads."""
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
    """A sentence cut between equations; each part but the last has an equation of its own."""
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
