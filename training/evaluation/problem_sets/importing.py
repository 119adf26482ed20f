"""Turn the rows of a source into problems that can be verified, report every row left out and why, and write both.

Two passes, both streaming: the first finds questions that are answered twice and differently, the second makes the
problems. It refuses a source as a whole only where no row can be read or no column is known.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from training.core.answers import ANSWER_MARKER, SymbolicChecker
from training.core.gym import MAX_SCORING
from training.core.question_parser import find_entities, find_nouns, find_quantities
from training.core.types import AnswerKind, Problem
from training.errors import UserError
from training.evaluation.problem_sets.gold_answers import (
    Gold,
    NoGold,
    cell_text,
    find_answer,
    read_gold,
    same_answer,
    without_calculator,
)
from training.evaluation.problem_sets.sources import RowSource
from training.evaluation.problem_sets.types import (
    ROLES,
    ColumnMapping,
    Duplicate,
    ImportReport,
    Layout,
    Preview,
    PreviewRow,
    ProblemSet,
    ReadOptions,
    Reason,
    Rejected,
    Row,
    excerpt,
    normal_type,
)

SAMPLE = 20
_QUESTIONS = ("question", "problem", "new_question", "prompt", "query", "input", "question_concat", "problem_statement")
_ANSWERS = ("answer", "final_answer", "final_ans", "gold", "target", "expected_answer", "label", "output")
_TYPES = ("type", "family", "perturbation_type", "problem_type", "subject", "category", "topic")
_IDS = ("id", "unique_id", "problem_id", "problem_idx")
_GROUPS = ("group", "original_id", "original_question", "seed_question")


def columns_of(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(name) for row in rows for name in row.cells))


def detect(rows: Sequence[Row]) -> tuple[Layout, ColumnMapping] | None:
    """The layout and the mapping of a set that begins with these rows; None where question or answer has no column."""
    named = {name.strip().casefold(): name for name in reversed(columns_of(rows))}
    rest = _rest(named, rows)
    if "body" in named and "question" in named and "answer" in named:
        return Layout.SVAMP, ColumnMapping(named["question"], named["answer"], context=named["body"], **rest)
    question, answer, solution = _first(named, _QUESTIONS), _first(named, _ANSWERS), named.get("solution", "")
    if not question or not (answer or solution):
        return None
    mapping = ColumnMapping(question, answer, solution=solution, **rest)
    if question.strip().casefold() == "problem":
        return Layout.MATH, mapping
    marked = sum("####" in str(row.cells.get(answer, "")) for row in rows)
    return (Layout.GSM8K if marked * 2 > len(rows) else Layout.PLAIN), mapping


def _rest(named: Mapping[str, str], rows: Sequence[Row]) -> dict[str, str]:
    kind = named.get("kind", "")
    kinds: set[Any] = {row.cells.get(kind) for row in rows if isinstance(row.cells.get(kind), str)}
    return {
        "kind": kind if kinds and kinds <= {k.value for k in AnswerKind} else "",
        "type": _first(named, _TYPES),
        "id": _first(named, _IDS),
        "group": _first(named, _GROUPS),
    }


def _first(named: Mapping[str, str], names: Sequence[str]) -> str:
    return next((named[name] for name in names if name in named), "")


def read_mapping(pairs: Iterable[str], found: ColumnMapping | None = None) -> ColumnMapping:
    """The mapping of "role=column" texts over what was found. Raises a `UserError` that names the roles."""
    roles = found.columns() if found else {}
    for pair in pairs:
        role, sign, column = pair.partition("=")
        if not sign or role.strip() not in ROLES or not column.strip():
            raise UserError(f"--map {pair!r}: write role=column, where the role is one of {', '.join(ROLES)}.")
        roles[role.strip()] = column.strip()
    if "question" not in roles or not ("answer" in roles or "solution" in roles):
        raise UserError("The mapping lacks the question or the answer: --map question=COLUMN --map answer=COLUMN.")
    return ColumnMapping(**{"answer": "", **roles})


MAX_QUESTION = 20_000
_PROGRESS_EVERY = 500
_SPACE = re.compile(r"\s+")


class _Refused(Exception):
    """A row that gives no problem; never leaves this module."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class ProblemImport:
    """One import, as a stream: `problems()` yields as it reads, `report()` says what became of the rows so far."""

    def __init__(
        self,
        source: RowSource,
        options: ReadOptions | None = None,
        symbolic: SymbolicChecker | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._source, self._symbolic, self._on_progress = source, symbolic, on_progress
        self._options = options = with_kind(source, options)
        self._started = time.monotonic()
        self.layout, self.mapping = find_mapping(source, options)
        self.name = options.name or source.name
        self._wanted = frozenset(normal_type(name) for name in options.types)
        self._rejected: list[Rejected] = []
        self._duplicates: list[Duplicate] = []
        self._kinds: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._rows = self._imported = self._filtered = 0
        self._limited = False
        self._first: dict[bytes, int] = {}
        self._ids: Counter[str] = Counter()

    def problems(self) -> Iterator[Problem]:
        """The problems in the order of their rows. Raises a `UserError` where the type filter matches no row."""
        disputed = self._disputed()
        for row in self._source.rows():
            if self._options.limit is not None and self._imported >= self._options.limit:
                self._limited = True
                return
            self._rows += 1
            if self._on_progress and self._rows % _PROGRESS_EVERY == 0:
                self._on_progress(self._rows)
            problem = self._take(row, disputed)
            if problem is not None:
                self._imported += 1
                yield problem
        if self._wanted and not self._imported and self._types:
            known = ", ".join(f"{name} ({n})" for name, n in self._types.most_common(20))
            raise UserError(
                f"{self._source.origin}: no problem of type {', '.join(self._options.types)}. Types: {known}."
            )

    def _take(self, row: Row, disputed: dict[bytes, int]) -> Problem | None:
        try:
            problem = make_problem(row, self.mapping, self._options, self._symbolic, self.name)
            key = _key(problem.question)
            if key in disputed:
                raise _Refused(Reason.CONTRADICTION, f"row {disputed[key]} asks the same and answers otherwise")
        except _Refused as refused:
            self._reject(row, refused)
            return None
        self._types[problem.family] += 1
        if self._wanted and normal_type(problem.family) not in self._wanted:
            self._filtered += 1
            return None
        if (first := self._first.setdefault(key, row.number)) != row.number:
            self._duplicates.append(Duplicate(row.number, self._source.place(row), first, excerpt(problem.question)))
        self._kinds[problem.kind] += 1
        return self._with_own_id(problem)

    def _with_own_id(self, problem: Problem) -> Problem:
        name = problem.id
        while self._ids[name]:
            self._ids[problem.id] += 1
            name = f"{problem.id}-{self._ids[problem.id]}"
        self._ids[name] = 1
        return problem if name == problem.id else replace(problem, id=name)

    def _reject(self, row: Row, refused: _Refused) -> None:
        shown = row.raw or " | ".join(text for cell in row.cells.values() if (text := cell_text(cell)))
        place = self._source.place(row)
        self._rejected.append(Rejected(row.number, place, refused.reason, excerpt(shown), refused.detail, row.line))

    def _disputed(self) -> dict[bytes, int]:
        """Questions that two rows answer differently, each with a row that does."""
        answers: dict[bytes, tuple[str, int]] = {}
        disputed: dict[bytes, int] = {}
        for row in self._source.rows():
            try:
                question, answer = _question(row, self.mapping), _answer(row, self.mapping)
            except _Refused:
                continue
            key = _key(question)
            first, number = answers.setdefault(key, (answer[:200], row.number))
            if number != row.number and not same_answer(answer[:200], first, self._symbolic):
                disputed.setdefault(key, number)
        return disputed

    def report(self) -> ImportReport:
        return ImportReport(
            source=self._source.origin, format=self._source.format, layout=self.layout, mapping=self.mapping,
            licence=self._source.licence, rows=self._rows, imported=self._imported, filtered=self._filtered,
            limited=self._limited, rejected=tuple(self._rejected), duplicates=tuple(self._duplicates),
            kinds=dict(self._kinds), types=dict(self._types.most_common()),
            seconds=time.monotonic() - self._started,
        )  # fmt: skip


def read_problem_set(
    source: RowSource,
    options: ReadOptions | None = None,
    symbolic: SymbolicChecker | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ProblemSet:
    """The whole set in memory. A source whose rows are all rejected gives an empty set with its report."""
    running = ProblemImport(source, options, symbolic, on_progress)
    problems = tuple(running.problems())
    return ProblemSet(running.name, problems, source.origin, source.licence, running.report())


def with_kind(source: RowSource, options: ReadOptions | None) -> ReadOptions:
    options = options or ReadOptions()
    return options if options.kind else replace(options, kind=source.kind)


def find_mapping(source: RowSource, options: ReadOptions) -> tuple[Layout, ColumnMapping]:
    """The mapping that was given, or the one that the first rows show. Raises a `UserError` where there is none."""
    head = list(itertools.islice(source.rows(), 50 * SAMPLE))
    first = [row for row in head if not row.damage][:SAMPLE]
    columns = columns_of(first)
    given = options.mapping or _of_preset(source.mapping, columns)
    if given is not None:
        _check_columns(source.origin, given, columns)
        return Layout.MAPPED, given
    if found := detect(first):
        return found
    if first:
        raise UserError(
            f"{source.origin}: there is no question, or no answer, that its columns name "
            f"({', '.join(columns[:20]) or 'none'}). Name them: --map question=COLUMN --map answer=COLUMN."
        )
    ended = next((row for row in head if "here" in row.damage), head[0] if head else None)
    why = f"{source.place(ended)}: {ended.damage}" if ended else "it has no rows"
    raise UserError(f"{source.origin} holds no problem ({why}). Each row needs a question and an answer.")


def _of_preset(mapping: ColumnMapping | None, columns: tuple[str, ...]) -> ColumnMapping | None:
    """A preset's mapping without what its set no longer has and does without: a type, an id, a group."""
    if mapping is None:
        return None
    named = {role: mapping.columns().get(role, "").split("+") for role in ("type", "id", "group", "solution")}
    gone = [role for role, parts in named.items() if any(part and part not in columns for part in parts)]
    return replace(mapping, **dict.fromkeys(gone, "")) if columns else mapping


def _check_columns(origin: str, mapping: ColumnMapping, columns: tuple[str, ...]) -> None:
    for role, column in mapping.columns().items():
        parts = [] if column.startswith("=") else [column] if column in columns else column.split("+")
        missing = next((part for part in parts if part not in columns), None)
        if missing is not None and columns:
            listed = ", ".join(columns[:20])
            raise UserError(f"{origin} has no column {missing!r}, which was named for the {role}. Columns: {listed}.")


def preview(
    source: RowSource, options: ReadOptions | None = None, symbolic: SymbolicChecker | None = None, rows: int = 5
) -> Preview:
    """The first rows as they would be read. Without a mapping the cells are shown, and a note says what to do."""
    options = with_kind(source, options)
    first = list(itertools.islice(source.rows(), rows))
    columns = columns_of(itertools.islice(source.rows(), SAMPLE))
    try:
        layout, mapping = find_mapping(source, options)
    except UserError as error:
        shown = tuple(PreviewRow(source.place(row), _cells(row), None, None) for row in first)
        return Preview(source.name, source.format, columns, None, None, shown, str(error))
    made = []
    for row in first:
        place, rejected = source.place(row), None
        problem: Problem | None = None
        try:
            problem = make_problem(row, mapping, options, symbolic, options.name or source.name)
        except _Refused as refused:
            rejected = Rejected(row.number, place, refused.reason, row.raw, refused.detail, row.line)
        made.append(PreviewRow(place, _cells(row), problem, rejected))
    return Preview(source.name, source.format, columns, layout, mapping, tuple(made))


def _cells(row: Row) -> dict[str, str]:
    return {excerpt(str(name)): excerpt(cell_text(value) or str(value)[:400]) for name, value in row.cells.items()}


def make_problem(
    row: Row, mapping: ColumnMapping, options: ReadOptions, symbolic: SymbolicChecker | None, name: str
) -> Problem:
    question, answer = _question(row, mapping), _answer(row, mapping)
    gold = read_gold(answer, question, _stated_kind(row, mapping, options), options.kinds, symbolic)
    if isinstance(gold, NoGold):
        raise _Refused(gold.reason, gold.detail)
    digest = hashlib.sha256(f"{question}\n{gold.text}".encode()).hexdigest()[:12]
    group = _cell(row, mapping.group)
    return Problem(
        id=_cell(row, mapping.id, "-")[:80] or f"{name}-{digest}",
        family=_type(row, mapping) or name,
        question=question,
        answer=gold.text,
        kind=gold.kind,
        solution=_solution(row, mapping, gold),
        entities=find_entities(question),
        nouns=find_nouns(question),
        quantities=find_quantities(question),
        template=group if len(group) <= 40 else hashlib.sha256(group.encode()).hexdigest()[:12],
        split=options.split,
        options=_choices(row) if gold.kind is AnswerKind.CHOICE else (),
        scoring=_scoring(row) if gold.kind is AnswerKind.SCORED else "",
    )


def _choices(row: Row) -> tuple[str, ...]:
    """The words that an answer may be, as `problem_fields` writes them."""
    value = row.cells.get("options")
    return tuple(text for part in value if (text := cell_text(part))) if isinstance(value, list | tuple) else ()


def _scoring(row: Row) -> str:
    text = _cell(row, "scoring")
    if not text or len(text) > MAX_SCORING:
        raise _Refused(Reason.UNREADABLE, "it is scored by its family, and what that needs is not in column 'scoring'")
    return text


def _question(row: Row, mapping: ColumnMapping) -> str:
    if row.damage:
        raise _Refused(Reason.DAMAGED, row.damage)
    question, story = _cell(row, mapping.question, needed=True), _cell(row, mapping.context)
    if not question:
        raise _Refused(Reason.NO_QUESTION, f"column {mapping.question!r} is empty")
    if story and not question.startswith(story):
        question = f"{story}{'' if story.endswith(('.', '!', '?', ':')) else '.'} {question}"
    if len(question) > MAX_QUESTION:
        raise _Refused(Reason.TOO_LONG, f"it has {len(question)} characters; at most {MAX_QUESTION} are taken")
    return question


def _answer(row: Row, mapping: ColumnMapping) -> str:
    r"""The gold as it is written; from the solution's box where no answer is given."""
    written = row.cells.get(mapping.answer)
    if isinstance(written, list | tuple) and len(written) > 1:
        raise _Refused(Reason.MANY_ANSWERS, f"column {mapping.answer!r} holds {len(written)} answers")
    text = _cell(row, mapping.answer, needed=not mapping.solution)
    if not text and mapping.solution:
        text = _cell(row, mapping.solution, needed=True)
        if text and ANSWER_MARKER not in text and "\\boxed" not in text and "\\fbox" not in text:
            raise _Refused(Reason.NO_ANSWER, f"column {mapping.solution!r} marks no answer with \\boxed{{}} or ####")
    if not text:
        raise _Refused(Reason.NO_ANSWER, f"column {mapping.answer or mapping.solution!r} is empty")
    found = find_answer(text)
    if isinstance(found, NoGold):
        raise _Refused(found.reason, found.detail)
    return found


def _stated_kind(row: Row, mapping: ColumnMapping, options: ReadOptions) -> AnswerKind | None:
    named = _cell(row, mapping.kind).casefold()
    if not named:
        return options.kind
    if named not in list(AnswerKind):
        raise _Refused(Reason.UNREADABLE, f"{excerpt(named)!r} is no kind of answer: {', '.join(AnswerKind)}")
    return AnswerKind(named)


def _type(row: Row, mapping: ColumnMapping) -> str:
    value = row.cells.get(mapping.type)
    if isinstance(value, list | tuple):
        return ", ".join(text for part in value if (text := cell_text(part)))[:80]
    return _cell(row, mapping.type)[:80]


def _solution(row: Row, mapping: ColumnMapping, gold: Gold) -> str:
    written = _cell(row, mapping.solution) or _cell(row, mapping.answer)
    if ANSWER_MARKER in written:
        return without_calculator(written)
    worked = f"{written}\n" if mapping.solution and written else ""
    return f"{worked}{ANSWER_MARKER} {gold.text}"


def _cell(row: Row, column: str, joint: str = " ", *, needed: bool = False) -> str:
    if not column:
        return ""
    if column.startswith("="):
        return column[1:]
    parts = [column] if column in row.cells else column.split("+")
    if needed and (missing := next((part for part in parts if part not in row.cells), None)) is not None:
        raise _Refused(Reason.NO_COLUMN, f"it has no column {missing!r}")
    text = joint.join(text for part in parts if (text := cell_text(row.cells.get(part))))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _Refused(Reason.DAMAGED, f"column {column!r} holds bytes that are no text in UTF-8") from error
    return text


def _key(question: str) -> bytes:
    return hashlib.blake2b(_SPACE.sub(" ", question).casefold().encode(), digest_size=12).digest()


def problem_fields(problem: Problem) -> dict[str, Any]:
    """A row of a written set. Names are those that are recognised when it is read again."""
    fields: dict[str, Any] = {
        "id": problem.id, "question": problem.question, "answer": problem.answer, "kind": problem.kind.value,
        "type": problem.family, "solution": problem.solution,
    }  # fmt: skip
    more = {"group": problem.template, "options": list(problem.options), "scoring": problem.scoring}
    return fields | {name: value for name, value in more.items() if value}


def write_problems(problems: Iterable[Problem], path: Path) -> int:
    """How many were written. Nothing stands at `path` before all are, and nothing is touched where there are none."""
    count = 0
    with _whole(path) as file:
        for problem in problems:
            file.write(json.dumps(problem_fields(problem), ensure_ascii=False) + "\n")
            count += 1
    return count


@contextmanager
def _whole(path: Path) -> Iterator[IO[str]]:
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        if temporary.stat().st_size:
            temporary.replace(path)
        temporary.unlink(missing_ok=True)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def report_fields(report: ImportReport) -> dict[str, Any]:
    changed = {"mapping": report.mapping.columns(), "seconds": round(report.seconds, 3), "left_out": report.reasons()}
    return asdict(report) | changed


def write_report(report: ImportReport, path: Path) -> None:
    with _whole(path) as file:
        json.dump(report_fields(report), file, ensure_ascii=False, indent=1)
        file.write("\n")
