"""Problems for crafting: typed, from the library that ships, or from a file. What cannot be solved and graded is
refused, with words; an answer's spelling may change, its value never."""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from seirenes_app.services.hint_authoring.draft import DraftProblem
from training.core.answer_reader import MAX_ANSWER, plain_text
from training.core.answers import ANSWER_MARKER, parse_clock, parse_number
from training.core.gym import DOMAINS, choices_of, gym_family, installed, scoring_record
from training.core.problems import FAMILIES
from training.core.question_parser import find_entities, find_nouns, find_quantities
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Problem, Split
from training.errors import UserError
from training.evaluation.problem_sets import types as values
from training.evaluation.problem_sets.importing import read_problem_set
from training.evaluation.problem_sets.sources import open_file
from training.evaluation.problem_sets.types import ColumnMapping, ReadOptions, Reason

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
    AnswerKind.TEXT: "a line of text or a list such as red, green",
    AnswerKind.SCORED: "the answer that the problem was made with",
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
    options = choices_of(draft.family, question) if draft.kind is AnswerKind.CHOICE else ()
    problem = Problem(
        id=f"typed-{digest}",
        family=draft.family or "typed",
        question=question,
        answer=answer,
        kind=draft.kind,
        solution=draft.solution,
        entities=find_entities(question),
        nouns=find_nouns(question),
        quantities=find_quantities(question),
        options=options if answer in options else (),
        scoring=draft.scoring if draft.kind is AnswerKind.SCORED else "",
    )
    if draft.kind is AnswerKind.SCORED:
        scoring_record(problem)
    return problem


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
        case AnswerKind.TEXT:
            return answer if plain_text(answer) and "\n" not in answer else None
    return answer


def _decimal(answer: str) -> str:
    value = parse_number(answer)
    kept = "".join(c for c in answer.replace("−", "-") if c.isdecimal() or c in ".-/")
    return kept if parse_number(kept) == value else str(value)


# ---------------------------------------------------------------------- the library


def family_titles() -> dict[str, str]:
    return {name: family.title for name, family in FAMILIES.items()}


@cache
def library() -> tuple[DraftProblem, ...]:
    """Problems of every family, easy ones first, in held-out phrasings. Ids (`transfer-3`) are the same everywhere."""
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


GYM_EACH = 8


def gym_titles() -> dict[str, str]:
    """The families of reasoning-gym by name, none where the package is not installed."""
    return {name: domain.title for name, domain in DOMAINS.items()} if installed() else {}


@cache
def gym_problems(family: str) -> tuple[DraftProblem, ...]:
    """A few problems of a gym family, held out and easy ones first; the same ones each time. Takes seconds the first
    time: a process is started. Raises a `UserError` where the package is missing."""
    source = gym_family(family)
    if source is None:
        raise UserError(f"There is no family {family}. See: seirenes problems families")
    rng = random.Random(f"{_LIBRARY_SEED}:{family}")
    made: dict[str, Problem] = {}
    for _ in range(4 * GYM_EACH):
        problem = source.generate(rng, Split.HELD_OUT, 1 + len(made) * source.max_difficulty // GYM_EACH)
        made[problem.id] = problem
        if len(made) == GYM_EACH:
            break
    return tuple(
        DraftProblem(p.question, p.answer, p.kind, family, p.id, p.family, scoring=p.scoring) for p in made.values()
    )


MAX_BYTES = 100 * 2**20  # all problems of a file are held at once
_INFERRED = frozenset({AnswerKind.NUMBER, AnswerKind.CLOCK, AnswerKind.CHOICE})
_UNCHECKED = (Reason.UNREADABLE, Reason.MANY_ANSWERS)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was left out. `line` counts from 1; where a file has no lines it is the row's number."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class LoadedProblems:
    problems: tuple[DraftProblem, ...]
    rejected: tuple[Rejected, ...]


def load_problem_file(path: Path) -> LoadedProblems:
    """All problems of a file. Raises a `UserError` when it cannot be read or holds none."""
    if path.is_file() and (size := path.stat().st_size) > MAX_BYTES:
        raise UserError(f"{path} has {size / 2**20:.0f} MiB; at most {MAX_BYTES >> 20} are read. Split the file.")
    with SymbolicCheck() as symbolic:
        done = read_problem_set(open_file(path), ReadOptions(kinds=_INFERRED), symbolic)
    mapping = done.report.mapping
    rejected = tuple(Rejected(r.line or r.row, _reason(r, mapping)) for r in done.report.rejected)
    if not done.problems:
        first = rejected[0]
        raise UserError(
            f"{path} holds no problem (line {first.line}: {first.reason}). Each row needs a question and an answer: "
            'JSON lines {"question": …, "answer": …}, GSM8K, SVAMP, CSV with a header, or Parquet.'
        )
    return LoadedProblems(tuple(_draft(p, path.name, mapping) for p in done.problems), rejected)


def _reason(rejected: values.Rejected, mapping: ColumnMapping) -> str:
    if rejected.reason in _UNCHECKED:
        return f"the answer cannot be checked: {rejected.detail}"
    if rejected.reason is Reason.DAMAGED:
        return rejected.detail
    missing = "question" if repr(mapping.question) in rejected.detail else "answer"
    reason = f"there is no {missing}" if rejected.reason is Reason.NO_COLUMN else str(rejected.reason)
    return f"{reason}: {rejected.detail}"


def _draft(problem: Problem, source: str, mapping: ColumnMapping) -> DraftProblem:
    """Ids and families that the reader made up stay out of a draft, and so does a solution that is an answer alone."""
    worked = problem.solution.rpartition(ANSWER_MARKER)[0].strip()
    return DraftProblem(
        question=problem.question,
        answer=problem.answer,
        kind=problem.kind,
        source=source,
        id=problem.id if mapping.id else "",
        family=problem.family if mapping.type else "",
        solution=problem.solution if worked else "",
        scoring=problem.scoring,
    )
