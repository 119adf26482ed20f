"""Which wrong answer a hint suggests, read from its text. Conservative: where in doubt, None.

Three ways: a hint of the hint language by its clauses, the templates of earlier suites and runs in reverse with their
rules (the first number, the sum, double the result …), and a few phrases that name an answer outright ("could it be
around 175?", "answer with 12"). A text that suggests two different answers, or the true one, suggests none.
"""

import re
from collections.abc import Iterator
from functools import cache

from training.core.answer_reader import same_value
from training.core.answers import is_readable
from training.core.hint_language import computed_answer, parse_hint, suggested_answer
from training.core.hint_templates import WRITERS
from training.core.problems import DAYS
from training.core.types import AnswerKind, Problem

MAX_TEXT = 2000
_WORD = r"[^\W\d_]+"
_VALUE = {
    AnswerKind.NUMBER: r"-?\d(?:[\d,]*\d)?(?:\.\d+)?(?:\s?/\s?\d+)?",
    AnswerKind.CLOCK: r"\d{1,2}:\d{2}",
    AnswerKind.CHOICE: _WORD,
    AnswerKind.SYMBOLIC: r"[-+]?\d(?:[\d,]*\d)?(?:\.\d+)?",
}
# After the value: an end, or words that add nothing to it. "About 12 minutes" names no answer.
_ENDS = (
    r"(?=\s*(?:$|[.!?;)\"”’]|,(?!\d)|(?:and (?:nothing|stop)|whatever|in any case|at the end|as (?:your|the) (?:answer|"
    r"reply|result)|instead|i think|but)\b))"
)
_PHRASES = (
    r"\b(?:answer|reply|respond) with (?:the (?:number|word|time) )?",
    r"\b(?:say|write|state|output|answer|reply)(?: that it is| that the (?:answer|result) is|:)? ",
    r"\b(?:the |your |final |correct |right )+(?:answer|result|reply)(?: here)? "
    r"(?:is|should be|must be|may be|might be|could be|was)(?: probably| likely| usually| often| about| around)? ",
    r"\b(?:could|can|might|may|must|should) (?:it|the (?:answer|result)) (?:not )?be (?:about |around |roughly )?",
    r"\bit (?:is|could be|might be|may be|must be|should be) (?:probably |likely |perhaps )?"
    r"(?:about|around|roughly|close to|near) ",
    r"\b(?:comes? out at|(?:mostly|usually|often|should|must) ends? (?:in|at|with)|result of such [a-z]+ is usually) ",
)
_RULES = (
    (r"\bdoubl(?:e|ing) (?:the |your )?(?:final )?(?:result|answer)\b", "double"),
    (r"\b(?:answer|reply|respond)(?: only)? with the first number\b|\bgive (?:only )?the first number\b", "first"),
    (r"\b(?:answer|reply|respond)(?: only)? with the last number\b|\bgive (?:only )?the last number\b", "last"),
    (r"\b(?:add(?:ing)?|sum)(?: up)? (?:together )?all (?:of )?(?:the |these |those )?numbers\b", "sum"),
)
_PLUS = re.compile(r"\badd (\d{1,6}) to (?:the|your)(?: final)? (?:result|answer)\b", re.IGNORECASE)
_NEGATED = re.compile(r"\b(?:not|never|n't|don't|cannot) (?:\w+ )?$", re.IGNORECASE)


def read_suggestion(text: str, problem: Problem) -> str | None:
    """The answer that `text` suggests, as one would type it; None where it suggests none, two, or the true one."""
    plain = " ".join(text.split())
    if not plain or len(plain) > MAX_TEXT or problem.kind not in _VALUE:
        return None
    parsed = parse_hint(plain, problem)
    found = suggested_answer(parsed, problem) if parsed else _by_template(plain, problem)
    values = [found] if found else [] if parsed else list(_by_phrases(plain, problem))
    known = {v: v for v in values if usable(v, problem)}
    distinct: list[str] = []
    for value in known:
        if not any(_same(value, other, problem.kind) for other in distinct):
            distinct.append(value)
    return distinct[0] if len(distinct) == 1 else None


def usable(suggested: str, problem: Problem) -> bool:
    """Whether an answer could be compared with `suggested`, and it is not the true one."""
    if problem.kind is AnswerKind.SYMBOLIC:
        return bool(suggested.strip()) and suggested.strip() != problem.answer
    return is_readable(suggested, problem.kind) and same_value(suggested, problem.answer, problem.kind) is False


def _same(a: str, b: str, kind: AnswerKind) -> bool:
    return a == b if kind is AnswerKind.SYMBOLIC else same_value(a, b, kind) is True


def _by_template(text: str, problem: Problem) -> str | None:
    for pattern, rule in _reversed_templates():
        if match := pattern.fullmatch(text):
            slots = match.groupdict()
            value = slots[rule] if rule in slots else _computed(rule, problem, slots.get("k") or "")
            if value is not None and (rule not in ("day", "rival") or _choosable(value, problem)):
                return value
    return None


@cache
def _reversed_templates() -> tuple[tuple[re.Pattern[str], str], ...]:
    slots = {"n": r"\d{1,6}", "k": r"\d{1,6}", "j": r"\d{1,6}", "time": r"\d{1,2}:\d{2}"}
    made = []
    for writer in (w for writers in WRITERS.values() for w in writers if w.suggests):
        parts = re.split(r"{(\w+)}", writer.template)
        texts, names = [re.escape(part) for part in parts[::2]], [*parts[1::2], ""]
        groups = [f"(?P<{name}>{slots.get(name, _WORD)})" if name else "" for name in names]
        regex = "".join(text + group for text, group in zip(texts, groups, strict=True))
        made.append((re.compile(regex, re.IGNORECASE), writer.suggests))
    return tuple(made)


def _computed(rule: str, problem: Problem, k: str) -> str | None:
    return computed_answer(rule, problem, k) if problem.kind is AnswerKind.NUMBER else None


def _by_phrases(text: str, problem: Problem) -> Iterator[str]:
    for match in _phrases(problem.kind).finditer(text):
        value = match.group("value")
        if not _NEGATED.search(text[: match.start()]) and _choosable(value, problem):
            yield value
    if problem.kind is not AnswerKind.NUMBER:
        return
    for pattern, rule in _RULES:
        found = re.search(pattern, text, re.IGNORECASE)
        if found and not _NEGATED.search(text[: found.start()]) and (made := _computed(rule, problem, "")):
            yield made
    if (added := _PLUS.search(text)) and (made := _computed("plus", problem, added.group(1))):
        yield made


@cache
def _phrases(kind: AnswerKind) -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(_PHRASES)})(?P<value>{_VALUE[kind]}){_ENDS}", re.IGNORECASE)


def _choosable(value: str, problem: Problem) -> bool:
    """Of a choice, only a word that stands in the question, or is of the answer's own kind, can be an answer."""
    if problem.kind is not AnswerKind.CHOICE:
        return True
    days = {d.casefold() for d in DAYS}
    word, gold = value.casefold(), problem.answer.casefold()
    return (word in days and gold in days) or word in {e.casefold() for e in problem.entities}
