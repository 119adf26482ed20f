"""Problem families of the optional package reasoning-gym, named `gym:<its name>`: more domains than word problems.

A family here is a generator of that package with what this program has to know about it: how its answers are compared,
and settings by difficulty. Its questions say in which form to answer. Problems are made, and where needed scored, in a
child process (`gym_worker`). A problem carries all that grading it needs, so suites and runs stay readable without the
package; only SCORED answers need it again.

Splits share no question: each has its own range of seeds, and a question belongs to one of them by its hash.
"""

import hashlib
import importlib.util
import json
import random
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from training.core.answer_reader import MAX_ANSWER, exact_quantity
from training.core.caches import remember
from training.core.child_process import JsonChild
from training.core.types import AnswerKind, Outcome, Problem, Split
from training.errors import UserError

PREFIX = "gym:"
INSTALL = "pip install 'seirenes[gym]'"
NOT_INSTALLED = f"The gym families need the package reasoning-gym, which is not installed. Install it: {INSTALL}"
MAX_QUESTION = 2_000
MAX_KNOWN = 65_536
"""Scored answers whose outcome is kept; the oldest goes first."""
MAX_SCORING = 8_192
"""Longest record that a scorer needs, in characters; a problem that needs more is not used."""
SEEDS = 2**30
"""Seeds of a split: training has those from 0, held-out those from here on."""
MAKE_S, SCORE_S, MEMORY_MB = 20.0, 5.0, 2048
RIGHT_SCORE = 0.999
_TRIES, _FAILURES = 200, 4

Settings = Mapping[str, Any]

YES_NO, TRUE_FALSE = ("Yes", "No"), ("True", "False")
# Forms that an answer must have before a scorer that evaluates text is given it: numbers, signs, single letters.
ARITHMETIC = r"(?!.*\*\*)[0-9+*/() .-]{1,200}"
POLYNOMIAL = r"(?:[0-9]+|(?<![A-Za-z])[A-Za-z](?![A-Za-z(])|[-+*/() ]){1,200}"


@dataclass(frozen=True, slots=True)
class Domain:
    """A generator of reasoning-gym. A CHOICE is among `options`, or among what the groups of `options_in` find in the
    question. `levels` are its settings by difficulty. A SCORED answer must match `form` before the scorer sees it."""

    name: str
    title: str
    kind: AnswerKind
    options: tuple[str, ...] = ()
    options_in: str = ""
    levels: tuple[Settings, ...] = field(default_factory=lambda: ({},))
    form: str = r"[^\x00-\x1f]{1,200}"


_N, _C, _T, _S = AnswerKind.NUMBER, AnswerKind.CHOICE, AnswerKind.TEXT, AnswerKind.SCORED

_DOMAINS = (
    # Logic
    Domain("aiw", "Sisters and brothers", _N),
    Domain("knights_knaves", "Knights and knaves", _S, levels=({"n_people": 2}, {"n_people": 3})),
    Domain("self_reference", "Statements about themselves", _N),
    Domain("syllogism", "Syllogisms", _C, options=YES_NO),
    Domain(
        "zebra_puzzles", "Zebra puzzles", _C, options_in=r"unique name: ([\w, ]+)",
        levels=({"num_people": 2, "num_characteristics": 2}, {"num_people": 3, "num_characteristics": 3}),
    ),
    # Relations, graphs and space
    Domain("family_relationships", "Family relations", _C),
    Domain("course_schedule", "Course schedules", _C, options=TRUE_FALSE),
    Domain("color_cube_rotation", "Turned cubes", _C, options_in=r"an? (\w+) (?:\w+) side"),
    Domain("shortest_path", "Shortest paths", _S),
    Domain("maze", "Mazes", _N),
    Domain("largest_island", "Largest islands", _N),
    Domain(
        "needle_haystack", "A fact among many", _C,
        levels=(
            {"min_num_statements": 6, "max_num_statements": 12}, {"min_num_statements": 12, "max_num_statements": 30},
        ),
    ),
    # Words and letters
    Domain("letter_counting", "Counted letters", _N),
    Domain("spell_backward", "Words spelled backward", _T),
    Domain("word_sequence_reversal", "Lists reversed", _T),
    Domain("word_sorting", "Sorted words", _T, levels=({"max_words": 5}, {"max_words": 10})),
    Domain("sentence_reordering", "Sentences in order", _T, levels=({"max_words_in_sentence": 7}, {})),
    Domain("letter_jumble", "Jumbled letters", _T, levels=({"max_words": 5}, {"max_words": 10})),
    Domain("caesar_cipher", "Caesar ciphers", _T, levels=({"max_words": 4}, {"max_words": 10})),
    Domain("palindrome_generation", "Palindromes", _S),
    Domain("isomorphic_strings", "Isomorphic strings", _C, options=TRUE_FALSE),
    Domain("ransom_note", "Ransom notes", _C, options=TRUE_FALSE),
    Domain("string_manipulation", "Rewritten strings", _T),
    Domain("binary_alternation", "Alternating bits", _N),
    # Lists and patterns
    Domain("number_sequence", "Number sequences", _N),
    Domain("number_filtering", "Filtered numbers", _T),
    # Arithmetic, algebra, geometry
    Domain("basic_arithmetic", "Arithmetic", _N, levels=({"max_terms": 3, "max_digits": 2}, {})),
    Domain("chain_sum", "Sums", _N, levels=({"max_terms": 3, "max_digits": 2}, {})),
    Domain("decimal_chain_sum", "Sums of decimals", _N, levels=({"max_terms": 3, "max_digits": 2}, {})),
    Domain("products", "Products", _N, levels=({"max_digits": 2}, {"max_digits": 4})),
    Domain("gcd", "Greatest common divisors", _N),
    Domain("lcm", "Least common multiples", _N),
    Domain("prime_factorization", "Prime factors", _S),
    Domain("leg_counting", "Counted legs", _N, levels=({"max_animals": 4}, {})),
    Domain("simple_equations", "Equations", _N),
    Domain("simple_geometry", "Angles", _N),
    Domain("dice", "Dice", _N, levels=({"num_dice": 2, "max_dice_size": 8}, {"num_dice": 3, "max_dice_size": 12})),
    Domain("polynomial_multiplication", "Products of polynomials", _S, form=POLYNOMIAL),
    Domain(
        "calendar_arithmetic", "Weekdays of dates", _C, options=tuple(
            "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
        ), levels=({"tasks": ["weekday_offset", "weekday_of_date", "weekday_of_date_from_first_date"]},),
    ),
    # Search
    Domain(
        "countdown", "Countdown", _S, form=ARITHMETIC,
        levels=({"max_numbers": 4, "max_target": 200}, {"max_numbers": 4}),
    ),
    Domain("jugs", "Water jugs", _S, levels=({"difficulty": 3}, {"difficulty": 6})),
    Domain("cryptarithm", "Cryptarithms", _S),
)  # fmt: skip

DOMAINS: Mapping[str, Domain] = {PREFIX + domain.name: domain for domain in _DOMAINS}
"""Every gym family by its name here, whether the package is installed or not."""


@cache
def installed() -> bool:
    """Whether the package is there. It is not imported."""
    return importlib.util.find_spec("reasoning_gym") is not None


def _require() -> None:
    if not installed():
        raise UserError(NOT_INSTALLED)


class GymFamily:
    """One domain as a problem family; see `training.core.problems.Family`."""

    def __init__(self, name: str, domain: Domain) -> None:
        self.name, self.domain = name, domain
        self.title, self.kind, self.max_difficulty = domain.title, domain.kind, len(domain.levels)

    def generate(self, rng: random.Random, split: Split, difficulty: int) -> Problem:
        """One problem; difficulty is clipped to 1..max_difficulty. A `UserError` where the package is not there, or
        cannot make one that can be used."""
        _require()
        level = max(1, min(self.max_difficulty, difficulty))
        settings, failed = self.domain.levels[level - 1], 0
        for _ in range(_TRIES):
            seed = rng.randrange(SEEDS) + (SEEDS if split is Split.HELD_OUT else 0)
            made = _gym().make(self.domain.name, settings, seed)
            if isinstance(made, str):
                failed += 1
                if failed > _FAILURES:
                    raise UserError(f"{self.name} failed to make a problem: {made}. Use another family.")
                continue
            problem = _problem(self, made, settings, split, level)
            if problem is not None:
                return problem
        raise UserError(
            f"{self.name} made no problem of difficulty {level} that can be used in {_TRIES} tries. "
            f"Use another family, or the tested version: {INSTALL}"
        )


@cache
def gym_family(name: str) -> GymFamily | None:
    """The gym family of that name (`gym:syllogism`), None where there is none."""
    domain = DOMAINS.get(name)
    return None if domain is None else GymFamily(name, domain)


def split_of_question(question: str) -> Split:
    """The split that a question belongs to, by its hash: half of them each."""
    return Split.HELD_OUT if hashlib.sha256(question.encode()).digest()[0] % 2 else Split.TRAIN


def question_hash(question: str) -> str:
    """What a scoring record keeps of its question."""
    return hashlib.sha256(question.encode()).hexdigest()[:12]


def _problem(
    family: GymFamily, made: Mapping[str, Any], settings: Settings, split: Split, level: int
) -> Problem | None:
    """The problem, or None where it is of the other split, too long, or cannot be graded."""
    # These read names of the bundled families, whose module knows of this one.
    from training.core.question_parser import find_entities, find_nouns, find_quantities

    domain, question, answer = family.domain, made["question"], made["answer"]
    if not isinstance(question, str) or not isinstance(answer, str):
        return None
    question, answer = question.strip(), answer.strip()
    if split_of_question(question) is not split:
        return None
    options = _options(domain, question)
    scoring = ""
    if domain.kind is AnswerKind.SCORED:
        record = {"question": question_hash(question), "answer": answer, "metadata": made["metadata"],
                  "settings": dict(settings)}  # fmt: skip
        scoring = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    elif domain.kind is AnswerKind.NUMBER:
        number = exact_quantity(answer)
        answer = "" if number is None else answer
    usable = (
        0 < len(answer) <= MAX_ANSWER and "\n" not in answer and len(question) <= MAX_QUESTION
        and len(scoring) <= MAX_SCORING and (not options or answer in options)
    )  # fmt: skip
    if not usable or (domain.kind is AnswerKind.SCORED and not re.fullmatch(domain.form, answer)):
        return None
    return Problem(
        id=f"{family.name}-{split}-{question_hash(question)}",
        family=family.name,
        question=question,
        answer=answer,
        kind=domain.kind,
        solution=f"#### {answer}",
        entities=find_entities(question),
        nouns=find_nouns(question),
        quantities=find_quantities(question),
        split=split,
        difficulty=level,
        options=options,
        scoring=scoring,
    )


def choices_of(family: str, question: str) -> tuple[str, ...]:
    """The words that an answer to a question of a gym family may be; empty where they are not known."""
    domain = DOMAINS.get(family)
    return () if domain is None else _options(domain, question)


def _options(domain: Domain, question: str) -> tuple[str, ...]:
    if domain.options or not domain.options_in:
        return domain.options
    found = (word.strip() for part in re.findall(domain.options_in, question) for word in part.split(","))
    return tuple(dict.fromkeys(word for word in found if word))


# ---------------------------------------------------------------------- the child


class Gym:
    """The child process that makes and scores problems, started when first needed. Safe to use from several threads."""

    def __init__(self, make_s: float = MAKE_S, score_s: float = SCORE_S, memory_mb: int = MEMORY_MB) -> None:
        self._make_s, self._score_s = make_s, score_s
        self._child = JsonChild(
            "training.core.gym_worker", memory_mb,
            f"The process that makes and scores gym problems did not start. Is reasoning-gym whole? {INSTALL}",
        )  # fmt: skip
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, str], Outcome] = {}
        """By family, scoring record and answer. Used under the lock."""

    def make(self, name: str, settings: Settings, seed: int) -> dict[str, Any] | str:
        """`{question, answer, metadata}` of a seed; a text where there is none."""
        request = {"name": name, "settings": dict(settings), "index": seed}
        with self._lock:
            made = self._child.ask(request, self._make_s)
        if isinstance(made, dict | str):
            return made
        return f"nothing after {self._make_s:g} s"

    def score(self, name: str, answer: str, problem: Problem) -> Outcome:
        """RIGHT, WRONG or TIMED_OUT by the family's own scorer. `name` is the gym's. A record that does not belong to
        the problem is a `UserError`."""
        key = (problem.family, problem.scoring, answer)
        with self._lock:
            if (known := self._known.get(key)) is not None:
                return known
        outcome = self._score(name, answer, problem)
        with self._lock:
            remember(self._known, key, outcome, MAX_KNOWN)
        return outcome

    def _score(self, name: str, answer: str, problem: Problem) -> Outcome:
        record = scoring_record(problem)
        form = DOMAINS[problem.family].form
        if not re.fullmatch(form, record["answer"]):
            raise UserError(
                f"{problem.id}: the gold answer of its scoring record has not the form of {problem.family}."
            )
        if not re.fullmatch(form, answer):
            return Outcome.WRONG
        _require()
        entry = {"question": problem.question, "answer": record["answer"], "metadata": record["metadata"]}
        request = {"name": name, "settings": record["settings"], "answer": answer, "entry": entry}
        with self._lock:
            score = self._child.ask(request, self._score_s)
        if score is None or score == "out of memory":
            return Outcome.TIMED_OUT
        return Outcome.RIGHT if isinstance(score, float | int) and score >= RIGHT_SCORE else Outcome.WRONG

    def close(self) -> None:
        """Kill the child; the next use starts it again."""
        with self._lock:
            self._child.close()


@cache
def _gym() -> Gym:
    """One child a process: it takes seconds to start."""
    return Gym()


def scoring_record(problem: Problem) -> dict[str, Any]:
    """What the scorer needs, as stored with the problem. A `UserError` where it is damaged or of another problem."""
    try:
        record = json.loads(problem.scoring)
        whole = isinstance(record["answer"], str) and isinstance(record["settings"], dict) and "metadata" in record
        same = record["question"] == question_hash(problem.question) and record["answer"] == problem.answer
    except (ValueError, KeyError, TypeError):
        whole = same = False
    if problem.family not in DOMAINS or not whole:
        raise UserError(
            f"{problem.id}: its answer is scored by its family, and what that needs is missing. Make the problem "
            "again, or choose another kind of answer."
        )
    if not same:
        raise UserError(
            f"{problem.id}: its question or answer was changed, so {problem.family} cannot score it. Undo the "
            "change, or choose another kind of answer."
        )
    return dict(record)


def score_answer(answer: str, problem: Problem) -> Outcome:
    """The outcome of an answer to a problem with a SCORED answer: RIGHT, WRONG or TIMED_OUT."""
    domain = DOMAINS.get(problem.family)
    if domain is None:
        scoring_record(problem)
        raise AssertionError(problem.family)
    return _gym().score(domain.name, answer, problem)


def family_line(names: Sequence[str]) -> str:
    """For a list of families: how many gym families there are besides, or how to install them."""
    if installed():
        return f"{', '.join(names)}, and {len(DOMAINS)} gym families such as gym:syllogism (seirenes problems families)"
    return f"{', '.join(names)}; more domains (gym:syllogism, …) with reasoning-gym: {INSTALL}"
