"""Prompt profiles: how a problem and a hint become the messages of a role. No tokenizer, no I/O.

The two roles of the one policy differ in these messages and in nothing else. The question and the hint are
kept apart until `join_hint` puts them together, so the question inside a hinted prompt is byte-identical to the
clean one by construction.

A profile is read from TOML (`parse_profile`) and is stored whole with everything that was made with it, so that a later
edit of the file changes nothing that began. `training.prompt_files` knows where profiles are.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec

from training.core.options import toml_value
from training.core.types import HintType
from training.errors import UserError

Message = dict[str, str]
TemplateValue = bool | int | float | str

# An end mark with its closing quotes, and space after it that something follows; or a line of its own.
_SENTENCE_END = re.compile(r"([.!?…])[\"'”’)\]]*\s+(?=\S)|(\n)\s*(?=\S)")
_ABBREVIATION = re.compile(r"(?:\b(?i:mr|mrs|ms|dr|prof|st|vs|etc|approx|e\.g|i\.e)|\b[A-Z])\.$")


class Placement(StrEnum):
    """Where a hint goes. Append is the paper's; the others are ours."""

    APPEND = "append"
    """After the question."""
    BEFORE_QUESTION = "before_question"
    """Before the question's last sentence, which asks; of a single sentence the same as PREPEND."""
    BETWEEN_FACTS = "between_facts"
    """Before the last sentence of the story; the same as PREPEND where the story has a single one or none."""
    PREPEND = "prepend"
    """Before everything."""


TYPE_LABELS: dict[HintType, str] = {
    HintType.INFORMATION_OVERLOAD: "information overload",
    HintType.CORRELATION_TRAP: "correlation trap",
    HintType.SEMANTIC_MISLEADING: "semantic misleading",
    HintType.INSTRUCTION_CONTAMINATION: "instruction contamination",
}


def join_hint(question: str, hint: str, placement: Placement = Placement.APPEND) -> str:
    """The hinted question: every character of the question in its order, and the hint with a space between."""
    at, before, after = _seam(question, placement)
    return f"{question[:at]}{before}{hint}{after}{question[at:]}"


def hint_span(question: str, hint: str, placement: Placement = Placement.APPEND) -> tuple[int, int]:
    """Where the hint starts and ends in what `join_hint` makes, in characters."""
    at, before, _ = _seam(question, placement)
    return at + len(before), at + len(before) + len(hint)


def _seam(question: str, placement: Placement) -> tuple[int, str, str]:
    """Where the question is cut, and what stands before and after the hint there."""
    if placement is Placement.APPEND:
        return len(question), " ", ""
    if placement is Placement.PREPEND:
        return 0, "", " "
    asks = last_sentence_start(question)
    return asks if placement is Placement.BEFORE_QUESTION else last_sentence_start(question[:asks]), "", " "


def last_sentence_start(text: str) -> int:
    """Where the last sentence begins: 0 where there is only one. A decimal point or an abbreviation ends none."""
    body = text.rstrip()
    ends = (m for m in _SENTENCE_END.finditer(body) if not ends_abbreviation(body, m.start(1) + 1))
    return max((m.end() for m in ends), default=0)


def ends_abbreviation(text: str, end: int) -> bool:
    """Whether the point before `end` is that of an abbreviation or an initial."""
    return _ABBREVIATION.search(text, max(0, end - 9), end) is not None


# ---------------------------------------------------------------------- profiles


class ModelKind(StrEnum):
    """What sort of model is prompted; decides the suggested token limits."""

    COMPACT = "compact"
    """The bundled reasoner and what was trained from it."""
    BASE = "base"
    """It has no chat template."""
    INSTRUCT = "instruct"
    """It has a chat template."""
    REASONING = "reasoning"
    """Its template has a reasoning block: solutions are long."""


@dataclass(frozen=True, slots=True)
class RolePrompt:
    """The two messages of a role; without a `system` text there is the user message alone."""

    user: str
    system: str = ""


@dataclass(frozen=True, slots=True)
class TypePrompt:
    """What the Adversary reads about one hint type: what to write, and an example for some other problem."""

    brief: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn. `temperature` None: as the caller says. `top_k` and `min_p` are off at 0, the others
    at 1."""

    temperature: float | None = None
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """Longest solution and longest reply of the Adversary, in tokens, reasoning included."""

    solution: int
    hint: int


@dataclass(frozen=True)
class PromptProfile:
    """All that decides what a model is shown, and how it answers. `PLACEHOLDERS` are replaced in the texts."""

    name: str
    reasoner: RolePrompt
    adversary: RolePrompt
    description: str = ""
    max_hint_characters: int = 240
    """The length limit that the Adversary is given; longer replies are cut at a sentence end."""
    types: dict[HintType, TypePrompt] = field(default_factory=dict)
    template: dict[str, TemplateValue] = field(default_factory=dict)
    """Variables of the model's chat template, as `enable_thinking`."""
    sampling: Sampling = Sampling()
    limits: dict[ModelKind, TokenLimits] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> str:
        """A hash of the content: of everything but name and description."""
        content = asdict(replace(self, name="", description=""))
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def label(self) -> str:
        """Name and version, as ``neutral@1f0c22ab``."""
        return f"{self.name}@{self.digest[:8]}"

    def limits_for(self, kind: ModelKind) -> TokenLimits:
        """The suggested token limits of a kind of model."""
        return self.limits.get(kind) or _LIMITS[kind]


_LIMITS = {
    ModelKind.COMPACT: TokenLimits(128, 64),
    ModelKind.BASE: TokenLimits(400, 96),
    ModelKind.INSTRUCT: TokenLimits(512, 96),
    ModelKind.REASONING: TokenLimits(4096, 2048),
}
PLACEHOLDERS = {
    "problem": "the question, with its hint in it where there is one",
    "type": "the hint type",
    "brief": "what the hint type means",
    "example": "an example of the hint type",
    "max_characters": "the longest hint, in characters",
    "max_words": "the longest hint, in words",
}
"""What is replaced in the texts of a profile, as ``{problem}``; the Reasoner's have ``{problem}`` alone."""
_PLACEHOLDER = re.compile("{(" + "|".join(PLACEHOLDERS) + ")}")
CHARACTERS_A_WORD = 7
"""A word with its space; rather long, so that a hint of that many words stays below the limit in characters."""


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Replace placeholders in one pass: what is put in is not looked at again."""
    return _PLACEHOLDER.sub(lambda found: values.get(found.group(1), found.group()), text)


def _messages(prompt: RolePrompt, values: Mapping[str, str]) -> list[Message]:
    system = [{"role": "system", "content": _fill(prompt.system, values)}] if prompt.system else []
    return [*system, {"role": "user", "content": _fill(prompt.user, values)}]


def reasoner_messages(text: str, profile: PromptProfile) -> list[Message]:
    """Messages for the Reasoner. `text` is the question, or what `join_hint` made."""
    return _messages(profile.reasoner, {"problem": text})


def adversary_messages(
    question: str, type_: HintType, profile: PromptProfile, max_characters: int | None = None
) -> list[Message]:
    """Messages for the Adversary: the question and the hint type it is asked for. `max_characters` is the gate's limit,
    which is named where it is below the profile's."""
    limit = min(profile.max_hint_characters, max_characters or profile.max_hint_characters)
    prompt = profile.types.get(type_, TypePrompt())
    return _messages(
        profile.adversary,
        {
            "problem": question, "type": TYPE_LABELS[type_], "brief": prompt.brief, "example": prompt.example,
            "max_characters": str(limit), "max_words": str(max(5, limit // CHARACTERS_A_WORD)),
        },
    )  # fmt: skip


# ---------------------------------------------------------------------- profiles as TOML and as stored values

_NAME = re.compile(r"[\w][\w .+-]{0,59}")
_RANGES: dict[str, tuple[float, float]] = {
    "sampling.temperature": (0, 100), "sampling.top_p": (1e-6, 1), "sampling.top_k": (0, 1_000_000),
    "sampling.min_p": (0, 1), "sampling.repetition_penalty": (0.1, 10), "max_hint_characters": (10, 10_000),
}  # fmt: skip
MAX_TEXT = 20_000
"""Longest text of a profile, in characters."""


class ProfileError(UserError):
    """A profile that cannot be used. `key` is dotted: which value is wrong, "" where it is no single one."""

    def __init__(self, reason: str, key: str = "") -> None:
        super().__init__(reason)
        self.key = key


def check_name(name: str) -> str:
    """The name, if a profile may have it. Raises a `ProfileError`."""
    if not _NAME.fullmatch(name) or name != name.strip():
        raise ProfileError(
            f"{name[:60]!r} is no name for a profile: 1 to 60 letters, digits, spaces, '-', '_', '+' or '.', and no "
            "slash.", "name"
        )  # fmt: skip
    return name


def profile_from_dict(data: Mapping[str, Any]) -> PromptProfile:
    """A profile from stored values. Raises a `ProfileError` that names the value that cannot be used."""
    found = _convert(data)
    check_name(found.name)
    _check_texts(found)
    numbers = {f"sampling.{k}": v for k, v in asdict(found.sampling).items() if k != "stop"}
    for key, value in (numbers | {"max_hint_characters": found.max_hint_characters}).items():
        low, high = _RANGES[key]
        if value is not None and not low <= value <= high:
            raise ProfileError(f"{key} is {value:g}; it must be {low:g} to {high:g}.", key)
    if not all(found.sampling.stop):
        raise ProfileError("A stop string is empty. Remove it.", "sampling.stop")
    for kind, limits in found.limits.items():
        for name, tokens in asdict(limits).items():
            if not 1 <= tokens <= 1_000_000:
                raise ProfileError(f"limits.{kind}.{name} is {tokens}; it must be 1 to 1,000,000.", f"limits.{kind}")
    return found


def _convert(data: Mapping[str, Any]) -> PromptProfile:
    try:
        return msgspec.convert(dict(data), PromptProfile)
    except (msgspec.ValidationError, RecursionError) as error:
        text = str(error)
        path = text.rpartition(" - at `")[2].rstrip("`").removeprefix("$").lstrip(".") if " - at `" in text else ""
        reason = text.partition(" - at `")[0]
        raise ProfileError(f"{path}: {reason}." if path else f"{reason}.", path) from error


def _check_texts(found: PromptProfile) -> None:
    texts = {
        "reasoner.system": found.reasoner.system, "reasoner.user": found.reasoner.user,
        "adversary.system": found.adversary.system, "adversary.user": found.adversary.user,
    }  # fmt: skip
    for type_, prompt in found.types.items():
        texts |= {f"types.{type_}.brief": prompt.brief, f"types.{type_}.example": prompt.example}
    for key, text in texts.items():
        if len(text) > MAX_TEXT:
            raise ProfileError(f"{key} has {len(text):,} characters; {MAX_TEXT:,} are allowed.", key)
    for role in ("reasoner", "adversary"):
        if "{problem}" not in texts[f"{role}.system"] + texts[f"{role}.user"]:
            raise ProfileError(
                f"The {role}'s texts do not hold {{problem}}, so the model would not see the problem. Write it where "
                f"it belongs, usually in {role}.user.", f"{role}.user"
            )  # fmt: skip
    for key in ("reasoner.system", "reasoner.user"):
        strange = next((n for n in _PLACEHOLDER.findall(texts[key]) if n != "problem"), "")
        if strange:
            raise ProfileError(f"{key} has {{{strange}}}, which only the adversary's texts may have.", key)


_TOP = ("description", "max_hint_characters")
_KEYS = {
    "": ("name", *_TOP, "reasoner", "adversary", "types", "template", "sampling", "limits"),
    "reasoner": ("system", "user"), "adversary": ("system", "user"), "sampling": tuple(Sampling.__annotations__),
    "types": tuple(map(str, HintType)), "limits": tuple(map(str, ModelKind)),
}  # fmt: skip


def parse_profile(text: str, place: str, name: str) -> PromptProfile:
    """A profile out of TOML. `name` is its file's. A `UserError` names `place`, the line, and what to do."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{place} is not TOML: {error}. Correct that place.") from error
    try:
        _refuse_unknown(data)
        return profile_from_dict({**data, "name": name})
    except ProfileError as error:
        line = _line_of(text, error.key)
        raise UserError(f"{place}{f', line {line}' if line else ''}: {error}") from error


def _refuse_unknown(data: Mapping[str, Any]) -> None:
    for section, known in _KEYS.items():
        table = data.get(section, {}) if section else data
        for key in table if isinstance(table, Mapping) else ():
            if key not in known:
                where = f"{section}.{key}" if section else key
                raise ProfileError(f"There is no {where}. Known are: {', '.join(known)}.", where)


def _line_of(text: str, key: str) -> int:
    """The line, from 1, of a dotted key's table entry; of its table where it is not there; 0 for neither."""
    section, _, leaf = key.rpartition(".")
    inside, found = section == "", 0
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.split("#", 1)[0].strip()
        if bare.startswith("["):
            inside = bare.strip("[] ") == section
            found = number if inside or bare.strip("[] ") == key else found
        elif inside and re.match(rf"{re.escape(leaf)}\s*=", bare):
            return number
    return found


def profile_to_toml(profile: PromptProfile, table: str = "") -> str:
    """The profile as a file for people, which gives it its name; or with its name as a table of another file."""
    data = asdict(profile)
    at = f"{table}." if table else ""
    top = ("name", *_TOP) if table else _TOP
    lines = [f"[{table}]"] if table else []
    lines += [f"{key} = {toml_value(data[key])}" for key in top]
    tables = {name: data[name] for name in ("reasoner", "adversary")}
    tables |= {f"types.{name}": values for name, values in data["types"].items()}
    tables |= {name: data[name] for name in ("template", "sampling")}
    tables |= {f"limits.{name}": values for name, values in data["limits"].items()}
    for name, values in tables.items():
        if values:
            lines += ["", f"[{at}{name}]"]
            lines += [f"{_toml_key(key)} = {toml_value(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def _toml_key(key: str) -> str:
    # A key has no form of several lines, unlike a value.
    return (
        key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")
    )
