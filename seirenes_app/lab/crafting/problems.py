"""Problems for crafting: judged when typed, and a library that ships.

`as_problem` refuses what cannot be solved and checked, with words; it changes an answer's spelling and never its value.
Files of problems are read by `problem_files`.
"""

from __future__ import annotations

import hashlib
import random
import re
from functools import cache

from seirenes_app.lab.crafting.documents import DraftProblem
from seirenes_app.lab.crafting.problem_files import LoadedProblems, Rejected, load_problem_file
from training.core.answers import MAX_ANSWER, parse_clock, parse_number
from training.core.problems import FAMILIES
from training.core.question_text import find_entities, find_nouns, find_quantities
from training.core.types import AnswerKind, Problem, Split
from training.errors import UserError

__all__ = ["LIBRARY", "LoadedProblems", "Rejected", "as_problem", "family_titles", "guess_kind", "library",
           "load_problem_file", "read_answer"]  # fmt: skip

LIBRARY = "library"
MAX_QUESTION = 20_000
_LIBRARY_SEED = 2605
_EACH = 24

# "12 or 13" is no unit behind a number.
_SECOND_NUMBER = re.compile(r"[^\W\d_]\s+\d")
_EXPECTED = {
    AnswerKind.NUMBER: "a number such as 42, 3.5 or 3/4",
    AnswerKind.CLOCK: "a time such as 7:45",
    AnswerKind.CHOICE: "one word or a few",
    AnswerKind.SYMBOLIC: "an expression such as 2x + 1",
}


def as_problem(draft: DraftProblem) -> Problem:
    """The problem that is meant. Raises a `UserError` for an empty question or an answer that cannot be read."""
    question = draft.question.strip()
    if not question:
        raise UserError("The problem is empty. Type a question, or take one from the library.")
    if len(question) > MAX_QUESTION:
        raise UserError(f"The question has {len(question)} characters; at most {MAX_QUESTION} can be used. Shorten it.")
    answer = read_answer(draft.answer, draft.kind)
    known = _library().get(draft.id) if draft.source == LIBRARY else None
    if known is not None and (known.question, known.answer) == (question, answer) and known.kind is draft.kind:
        return known
    digest = hashlib.sha256(f"{question}\n{answer}\n{draft.kind}".encode(errors="replace")).hexdigest()[:12]
    return Problem(
        id=f"typed-{digest}",
        family=draft.family or "typed",
        question=question,
        answer=answer,
        kind=draft.kind,
        solution=draft.solution,
        entities=find_entities(question),
        nouns=find_nouns(question),
        quantities=find_quantities(question),
    )


def read_answer(text: str, kind: AnswerKind) -> str:
    """The true answer in its plain spelling ("$1,200" is 1200). Raises a `UserError` when the kind cannot read it."""
    answer = text.strip()
    if not answer:
        raise UserError(f"The true answer is empty. Give {_EXPECTED[kind]}.")
    plain = None if len(answer) > MAX_ANSWER else _plain(answer, kind)
    if plain is None:
        raise UserError(
            f"The true answer {answer[:40]!r} cannot be read as a {kind}. Give {_EXPECTED[kind]}, or choose another "
            "kind."
        )
    return plain


def guess_kind(answer: str) -> AnswerKind:
    """What kind of answer this looks like: a number, a time of day, words, or mathematics."""
    if not answer.strip() or parse_number(answer) is not None:
        return AnswerKind.NUMBER
    if parse_clock(answer) is not None:
        return AnswerKind.CLOCK
    worded = re.fullmatch(r"[^\W\d_]+(?:[ '-][^\W\d_]+){0,4}\.?", answer.strip()) is not None
    return AnswerKind.CHOICE if worded else AnswerKind.SYMBOLIC


def _plain(answer: str, kind: AnswerKind) -> str | None:
    match kind:
        case AnswerKind.NUMBER:
            value = None if _SECOND_NUMBER.search(answer) else parse_number(answer)
            return None if value is None else str(value.numerator) if value.denominator == 1 else _decimal(answer)
        case AnswerKind.CLOCK:
            minutes = parse_clock(answer)
            return None if minutes is None else f"{minutes // 60 or 12}:{minutes % 60:02d}"
        case AnswerKind.CHOICE:
            return answer.rstrip(".").strip() or None
    return answer


def _decimal(answer: str) -> str:
    """A number that is not whole, without its currency, unit and commas."""
    value = parse_number(answer)
    kept = "".join(c for c in answer.replace("−", "-") if c.isdecimal() or c in ".-/")
    return kept if parse_number(kept) == value else str(value)


# ---------------------------------------------------------------------- the library


def family_titles() -> dict[str, str]:
    """The library's families and what they are called."""
    return {name: family.title for name, family in FAMILIES.items()}


@cache
def library() -> tuple[DraftProblem, ...]:
    """Problems of every family, easy ones first, in phrasings that the bundled model was never trained on.

    Ids such as `transfer-3` are the same in every installation.
    """
    return tuple(
        DraftProblem(p.question, p.answer, p.kind, LIBRARY, id_, p.family, p.solution)
        for id_, p in _library().items()
    )  # fmt: skip


@cache
def _library() -> dict[str, Problem]:
    found: dict[str, Problem] = {}
    for name, family in FAMILIES.items():
        rng = random.Random(f"{_LIBRARY_SEED}:{name}")
        made: dict[str, Problem] = {}
        while len(made) < _EACH:
            level = 1 + len(made) * family.max_difficulty // _EACH
            problem = family.generate(rng, Split.HELD_OUT, level)
            made[problem.id] = problem
        found |= {f"{name}-{i}": problem for i, problem in enumerate(made.values(), 1)}
    return found
