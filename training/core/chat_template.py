"""Render messages with a model's chat template, for every engine. No tokenizer, no torch.

A template comes with a model, so it is untrusted: it runs in jinja's immutable sandbox, with limits on loops, calls and
sizes. Where it is missing or cannot be used, plain "User: …" and "Assistant:" lines take its place, and a
`TemplateNote` says so. The limits stop loops and growing text; comparing lists that are nested on purpose to be slow
is not covered.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateAssertionError, TemplateRuntimeError
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import do_indent
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from training.core.answer_reader import split_reasoning
from training.errors import UserError

Turn = Mapping[str, str]
"""One message: `role` and `content`."""
Span = tuple[int, int]

MAX_SOURCE = 1_000_000
MAX_TEXT = 4_000_000
"""Most characters that a rendering may write, and that one text in it may have."""
MAX_STEPS = 200_000
"""Most loop iterations and calls of one rendering."""
MAX_ITEMS = 100_000
"""Most elements of one list."""
MAX_S = 2.0
"""CPU seconds of one rendering."""
_MAX_BITS = 4096
_MAX_INDENT = 64
_MAX_FILE_BYTES = 32 << 20

_FAULTS = (
    jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, SyntaxError,
    RecursionError, MemoryError,
)  # fmt: skip
"""Whatever an untrusted template does wrong: its fault, and no bug here."""
_RESERVED = frozenset({"messages", "tools", "documents", "add_generation_prompt"})
_SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_PLAIN = "plain “User: …” and “Assistant:” lines are used instead."


class NoteKind(StrEnum):
    """What is to be said of a template."""

    NONE = ""
    MISSING = "missing"
    SYNTAX_ERROR = "syntax_error"
    UNKNOWN_FUNCTION = "unknown_function"
    FAILS = "fails"
    """It ends with an error, exceeds a limit, or leaves the user's text out."""
    REFUSES_ROLES = "refuses_roles"
    """It refuses even a single user turn."""
    NO_SYSTEM_ROLE = "no_system_role"
    """It refuses a system turn, or silently leaves its text out."""


@dataclass(frozen=True, slots=True)
class TemplateNote:
    """What a person should know about a template, and what is used instead. False where there is nothing to say."""

    kind: NoteKind = NoteKind.NONE
    text: str = ""

    def __bool__(self) -> bool:
        return self.kind is not NoteKind.NONE


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt up to where the model begins to write. `content_spans`: where the messages' own texts stand in it."""

    text: str
    content_spans: tuple[Span, ...] = ()


class ChatTemplate:
    """One model's template, tried out once.

    `note` says what is used instead of a template that cannot be used. `special_tokens` are the texts that templates
    know by name, such as `bos_token`. `plain` is True where plain lines are written; `stops` then end a turn.
    `reasons`: the template knows reasoning blocks, so answers are long.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str] | None = None) -> None:
        self.note = TemplateNote()
        self._specials = dict(special_tokens or {})
        self._lock = threading.Lock()
        self._template: jinja2.Template | None = None
        self._as_parts = False
        self._system_role = True
        self.reasons = "<think>" in source or "enable_thinking" in source
        if not source.strip():
            self.note = TemplateNote(NoteKind.MISSING, f"The model has no chat template: {_PLAIN}")
            return
        self._environment = _Environment()
        try:
            if len(source) > MAX_SOURCE:
                raise SecurityError(f"it has {len(source)} characters")
            self._template = self._environment.from_string(source)
            self._try_out()
        except _FAULTS as error:
            self._template = None
            self.note = _note(error)

    @property
    def plain(self) -> bool:
        return self._template is None

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end the model's turn where no end token does: plain lines have none of their own."""
        return ("\nUser:",) if self.plain else ()

    def render(self, messages: Sequence[Turn], variables: Mapping[str, Any] | None = None) -> RenderedPrompt:
        """The prompt. `variables` go to the template (`enable_thinking`, …); one that is None is left to its default.

        Raises a UserError when the template refuses these messages.
        """
        turns = [{"role": str(m["role"]), "content": str(m["content"])} for m in messages]
        if self.plain:
            return _plain_lines(turns)
        if not self._system_role:
            turns = fold_system(turns)
        try:
            text = self._write(turns, variables)
            return self._locate(turns, variables, text)
        except _FAULTS as error:
            raise UserError(
                f"The model's chat template refuses these messages ({_reason(error)}). Many want user and assistant to "
                "take turns; template variables that it does not expect are another cause."
            ) from error

    def end_of_turn(self, special_texts: Iterable[str]) -> str:
        """The special token that the template writes after an assistant's text; empty where there is none."""
        if self.plain:
            return ""
        answer = "Ananswer"
        turns = [{"role": "user", "content": "Aquestion"}, {"role": "assistant", "content": answer}]
        try:
            text = self._write(turns, None, generation_prompt=False)
        except _FAULTS:
            return ""
        after = text.rpartition(answer)[2].lstrip()
        found = [s for s in special_texts if s and after.startswith(s)]
        return max(found, key=len, default="")

    # ------------------------------------------------------------------ trying it out

    def _try_out(self) -> None:
        """Find out how this template wants content, and whether it has a system role. Raises what it raises."""
        user = {"role": "user", "content": "Userprobe"}
        text = self._write([user], None)
        if user["content"] not in text:
            self._as_parts = True
            text = self._write([user], None)
        if user["content"] not in text:
            raise TemplateRuntimeError("it leaves the user's text out")
        system = {"role": "system", "content": "Systemprobe"}
        try:
            text = self._write([system, user], None)
            self._system_role = system["content"] in text and user["content"] in text
        except _FAULTS:
            self._system_role = False
        if not self._system_role:
            self.note = TemplateNote(
                NoteKind.NO_SYSTEM_ROLE,
                "The chat template has no system role: instructions open the user's turn instead.",
            )

    # ------------------------------------------------------------------ rendering

    def _write(
        self, turns: Sequence[Turn], variables: Mapping[str, Any] | None, *, generation_prompt: bool = True
    ) -> str:
        assert self._template is not None
        given = {k: v for k, v in (variables or {}).items() if v is not None and k not in _RESERVED}
        messages: list[dict[str, Any]] = [dict(turn) for turn in turns]
        if self._as_parts:
            for message in messages:
                message["content"] = [{"type": "text", "text": message["content"]}]
        with self._lock:
            self._environment.budget = _Budget()
            return self._template.render(
                **self._specials | given,
                messages=messages, tools=None, documents=None, add_generation_prompt=generation_prompt,
            )  # fmt: skip

    def _locate(self, turns: Sequence[Turn], variables: Mapping[str, Any] | None, text: str) -> RenderedPrompt:
        """Find the contents in `text`: render again with marks around them, and see where the marks are."""
        opening, closing = _unused_characters("".join(t["content"] for t in turns))
        marked_turns = [{**t, "content": _mark(t["content"], opening, closing)} for t in turns]
        marked, spans = _take_marks(self._write(marked_turns, variables), opening, closing)
        if marked == text:
            return RenderedPrompt(text, spans)
        # The template looks at what a content begins or ends with, or changes it. Where its text is not found, what was
        # written with marks is used: a special token in a content could not be distinguished from the template's own.
        found = _search(text, [t["content"].strip() for t in turns])
        if len(found) == len(turns):
            return RenderedPrompt(text, found)
        return RenderedPrompt(marked, spans)


def fold_system(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """The turns without system turns: their text opens the next user turn, or is one itself where none follows."""
    folded: list[dict[str, str]] = []
    waiting: list[str] = []
    for turn in turns:
        if turn["role"] == "system":
            waiting.append(turn["content"])
        elif waiting and turn["role"] == "user":
            folded.append({"role": "user", "content": "\n\n".join([*waiting, turn["content"]])})
            waiting = []
        else:
            folded.append(dict(turn))
    return [*folded, {"role": "user", "content": "\n\n".join(waiting)}] if waiting else folded


def _plain_lines(turns: Sequence[Turn]) -> RenderedPrompt:
    text, spans = "", []
    for turn in turns:
        text += f"{turn['role'].capitalize()}: "
        spans.append((len(text), len(text) + len(turn["content"])))
        text += turn["content"] + "\n"
    return RenderedPrompt(text + "Assistant:", tuple(spans))


def _mark(content: str, opening: str, closing: str) -> str:
    """Marks inside of the white space at the ends, so that trimming works as without them."""
    core = content.strip()
    if not core:
        return content
    start = content.index(core)
    return content[:start] + opening + core + closing + content[start + len(core) :]


def _take_marks(text: str, opening: str, closing: str) -> tuple[str, tuple[Span, ...]]:
    plain: list[str] = []
    spans: list[Span] = []
    length, start = 0, -1
    for piece in re.split(f"([{opening}{closing}])", text):
        if piece == opening:
            start = length
        elif piece == closing:
            if start >= 0:
                spans.append((start, length))
            start = -1
        else:
            plain.append(piece)
            length += len(piece)
    return "".join(plain), tuple(spans)


def _search(text: str, contents: Sequence[str]) -> tuple[Span, ...]:
    spans: list[Span] = []
    position = 0
    for content in contents:
        start = text.find(content, position)
        if start < 0:
            break
        position = start + len(content)
        spans.append((start, position))
    return tuple(spans)


def _unused_characters(text: str) -> tuple[str, str]:
    """Two characters of the private use area that `text` does not have."""
    free = (chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
    return next(free), next(free)


# ---------------------------------------------------------------------- special tokens in a content


def is_markup(token: str) -> bool:
    """Whether an added token looks like markup: `<think>`, `[INST]`, and not a run of spaces or a word."""
    return len(token) > 2 and (token[0], token[-1]) in {("<", ">"), ("[", "]"), ("◁", "▷")}


def is_reasoning_tag(token: str) -> bool:
    """Whether a special token opens or closes a reasoning block, so that the text of a completion must keep it."""
    return split_reasoning(token)[1] or (is_markup(token) and not split_reasoning("a" + token)[0])


def cut_special(prompt: RenderedPrompt, special_texts: frozenset[str]) -> list[str]:
    """The prompt in pieces that a tokenizer is to read one by one.

    One piece, unless a content has the text of a special token: then there is a cut inside of it, and no piece has it
    whole, so that it stays text. The template's own special tokens are not cut.
    """
    text = prompt.text
    edges = _edges(special_texts)
    if not any(c in edges for start, end in prompt.content_spans for c in text[start:end]):
        return [text]
    cuts: set[int] = set()
    for special in special_texts:
        at = text.find(special) if len(special) > 1 else -1
        while at >= 0:
            # One that the template begins and a content ends, or the other way round, is none of the template's.
            if any(at < end and start < at + len(special) for start, end in prompt.content_spans):
                cuts.add(at + 1)
            at = text.find(special, at + 1)
    bounds = [0, *sorted(cuts), len(text)]
    return [text[start:end] for start, end in zip(bounds, bounds[1:], strict=False)]


@lru_cache(maxsize=8)
def _edges(special_texts: frozenset[str]) -> frozenset[str]:
    """The characters that special tokens begin or end with. Most texts have none of them."""
    return frozenset(c for s in special_texts if len(s) > 1 for c in (s[0], s[-1]))


# ---------------------------------------------------------------------- the sandbox


class _Limit(SecurityError):
    """A template does more than any prompt needs."""


class _Refusal(jinja2.TemplateError):
    """The template's own `raise_exception`."""


class _Budget:
    """What one rendering may still do."""

    def __init__(self) -> None:
        self._steps, self._characters = MAX_STEPS, MAX_TEXT
        self._until = time.thread_time() + MAX_S

    def spend(self, characters: int, steps: int = 1) -> None:
        self._steps -= steps
        self._characters -= characters
        if self._steps < 0 or self._characters < 0 or time.thread_time() > self._until:
            raise _Limit("it loops or writes without end")


class _Generation(Extension):
    """`{% generation %} … {% endgeneration %}` marks what the assistant wrote, for training tools. Written as is."""

    tags = {"generation"}  # noqa: RUF012 - as jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    """What templates of models know, as transformers defines it, within limits."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols], finalize=_finalize
        )
        self.budget = _Budget()
        self._macro_text = 0
        del self.globals["lipsum"]
        self.globals["namespace"] = _Namespace
        self.globals["raise_exception"] = _raise
        self.globals["strftime_now"] = _strftime_now
        self.filters = {name: self.filters[name] for name in _FILTERS}
        self.filters |= {
            "tojson": _to_json, "join": _join, "replace": _replace, "format": _format, "indent": _indent,
            _LOOP: _loop, _CONCAT: _concat,
        }  # fmt: skip

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        if any(template.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends))):
            raise SecurityError("it wants to load another template")
        self._macro_text = sum(_literal(macro) for macro in template.find_all((nodes.Macro, nodes.CallBlock)))
        for loop in list(template.find_all(nodes.For)):
            if loop.recursive:
                raise SecurityError("it has a recursive loop")
            loop.iter = _filter(loop.iter, _LOOP, nodes.Const(_literal(loop)))
        _replace_concats(template)
        template.set_environment(self)
        return template

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An operator that can make a small value large."""
        for one, other in ((left, right), (right, left)):
            if operator == "*" and isinstance(one, str | list | tuple) and isinstance(other, int):
                _check_size(one, len(one) * other)
        if operator == "+" and isinstance(left, str | list | tuple) and isinstance(right, type(left)):
            _check_size(left, len(left) + len(right))
        if operator == "%" and isinstance(left, str):
            return _format(left, *(right if isinstance(right, tuple) else (right,)))
        if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > _MAX_BITS:
                raise _Limit("it computes a huge number")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr not in _PADDING and super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.budget.spend(self._macro_text if isinstance(function, Macro) else 0)
        owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
        if isinstance(owner, str) and name == "join" and len(args) == 1:
            return _join(args[0], owner)
        if isinstance(owner, str) and name == "replace" and len(args) >= 2:
            return _replace(owner, *args)
        return super().call(context, function, *args, **kwargs)


_LOOP, _CONCAT = "limited loop", "limited concat"  # names that a template cannot write
# Methods of a text that pad it to any length, or format numbers to any width.
_PADDING = frozenset({"ljust", "rjust", "center", "zfill", "expandtabs", "format", "format_map"})
_FILTERS = (
    "abs", "attr", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float",
    "int", "items", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr",
    "reverse", "round", "safe", "select", "selectattr", "sort", "string", "striptags", "title", "trim",
    "truncate", "unique", "upper", "urlencode", "wordcount",
)  # fmt: skip


class _Namespace(Namespace):
    """jinja's, without the names that Python itself looks for on objects."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # as jinja's: a template may name an attribute "self"
        attributes = dict(*args[1:], **kwargs)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(args[0], attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"it sets the attribute {name!r}")


def _raise(message: str) -> NoReturn:
    raise _Refusal(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def _filter(node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
    assert isinstance(node, nodes.Expr)
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _literal(node: nodes.Node) -> int:
    """Characters of the texts written out in a part of the template: what running it once can write by itself."""
    return sum(len(data.data) for data in node.find_all(nodes.TemplateData)) + sum(
        len(const.value) for const in node.find_all(nodes.Const) if isinstance(const.value, str)
    )


def _replace_concats(node: nodes.Node) -> None:
    """Let every `a ~ b` go through `_concat`."""
    for name, value in list(node.iter_fields()):
        children = value if isinstance(value, list) else [value]
        for child in children:
            if isinstance(child, nodes.Node):
                _replace_concats(child)
        changed = [
            _filter(nodes.List(c.nodes, lineno=c.lineno), _CONCAT) if isinstance(c, nodes.Concat) else c
            for c in children
        ]
        if any(new is not old for new, old in zip(changed, children, strict=True)):
            setattr(node, name, changed if isinstance(value, list) else changed[0])


@jinja2.pass_context
def _finalize(context: Context, value: Any) -> Any:
    """Every value that is written."""
    if isinstance(value, list | tuple | dict):
        _check_nesting(value)
    text = value if isinstance(value, str) else str(value)
    _budget(context).spend(len(text), steps=0)
    return text


@jinja2.pass_context
def _loop(context: Context, items: Iterable[Any], characters: int) -> Iterator[Any]:
    budget = _budget(context)
    for item in items:
        budget.spend(characters)
        yield item


@jinja2.pass_context
def _concat(context: Context, values: list[Any]) -> str:
    return _join(values, "")


def _budget(context: Context) -> _Budget:
    environment = context.environment
    assert isinstance(environment, _Environment)
    return environment.budget


def _check_size(value: Any, size: int) -> None:
    if size > (MAX_TEXT if isinstance(value, str) else MAX_ITEMS):
        raise _Limit("it makes a text or a list without end")


def _check_nesting(value: Any) -> None:
    """Refuse what is written out as far more than it is: lists that hold the same list many times."""
    waiting, seen = [value], 0
    while waiting:
        current = waiting.pop()
        seen += 1
        if seen > MAX_ITEMS:
            raise _Limit("it makes a list without end")
        if isinstance(current, dict):
            waiting += current.values()
        elif isinstance(current, list | tuple):
            waiting += current


def _join(values: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    texts: list[str] = []
    size = 0
    for value in values:
        found = value.get(attribute, "") if attribute is not None and isinstance(value, Mapping) else value
        if isinstance(found, list | tuple | dict):
            _check_nesting(found)
        texts.append(found if isinstance(found, str) else str(found))
        size += len(texts[-1]) + len(d)
        _check_size(d, size)
    return d.join(texts)


def _replace(text: Any, old: str, new: str, count: int | None = -1) -> str:
    written = str(text)
    _check_size(written, len(written) + written.count(old) * len(new))
    return written.replace(old, new, -1 if count is None else count)


def _format(text: Any, *values: Any) -> str:
    if re.search(r"%[^a-zA-Z%]*(\d{4}|\*)", str(text)):
        raise _Limit("it pads a text without end")
    return str(str(text) % values)


def _indent(text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    if isinstance(width, int) and width > _MAX_INDENT:
        raise _Limit("it pads a text without end")
    return str(do_indent(str(text), width, first, blank))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As templates of models expect it: not escaped for HTML, as jinja's own is."""
    _check_nesting(value)
    if isinstance(indent, int) and indent > _MAX_INDENT:
        raise _Limit("it pads a text without end")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _reason(error: Exception) -> str:
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"line {error.lineno}: {(error.message or '').rstrip('.')}"
    if isinstance(error, RecursionError):
        return "it calls itself without end"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__


def _note(error: Exception) -> TemplateNote:
    reason = _reason(error)
    unknown = isinstance(error, jinja2.UndefinedError | TemplateAssertionError) or reason.startswith("No filter named")
    if unknown:
        kind, what = NoteKind.UNKNOWN_FUNCTION, "uses something that is not known here"
    elif isinstance(error, jinja2.TemplateSyntaxError):
        kind, what = NoteKind.SYNTAX_ERROR, "has a syntax error"
    elif isinstance(error, _Refusal):
        kind, what = NoteKind.REFUSES_ROLES, "refuses a single user turn"
    else:
        kind, what = NoteKind.FAILS, "cannot be used"
    return TemplateNote(kind, f"The chat template {what} ({reason}); {_PLAIN}")


# ---------------------------------------------------------------------- model folders


def folder_template(folder: Path, special_tokens: Mapping[str, str] | None = None) -> ChatTemplate:
    """The template of a Hugging Face folder: chat_template.jinja, tokenizer_config.json or chat_template.json.

    `special_tokens` default to those that the folder's files name. Files that cannot be read count as missing.
    """
    config = _read_json(folder / "tokenizer_config.json")
    source = _read_text(folder / "chat_template.jinja") or _default_template(config.get("chat_template"))
    source = source or _default_template(_read_json(folder / "chat_template.json").get("chat_template"))
    if special_tokens is None:
        named = _read_json(folder / "special_tokens_map.json") | config
        special_tokens = {name: text for name in _SPECIAL_NAMES if (text := _token_text(named.get(name)))}
    return ChatTemplate(source, special_tokens)


def describe_template(folder: Path) -> TemplateNote:
    """What is to be said of the template of a Hugging Face folder. Needs neither torch nor transformers."""
    return folder_template(folder).note


def _default_template(value: Any) -> str:
    """A template, or of several named ones the default."""
    if isinstance(value, list):
        value = {v.get("name"): v.get("template") for v in value if isinstance(v, dict)}
    if isinstance(value, dict):
        value = value.get("default")
    return value if isinstance(value, str) else ""


def _token_text(value: Any) -> str:
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read_text(path) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_text(path: Path) -> str:
    """The file's text; empty where there is none, or none that can be read. A pipe would be waited for: no file."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_FILE_BYTES:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
