"""JSON objects as frozen dataclasses, read by their type hints. It refuses a value of another type, with words."""

from __future__ import annotations

import dataclasses
import math
import types
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from training.errors import UserError


class ProtocolError(UserError):
    """A message that cannot be read, or a value that no request may have."""


T = TypeVar("T")


def build(kind: type[T], data: dict[str, Any], place: str) -> T:
    """A dataclass from a JSON object: unknown fields skipped, missing ones by default."""
    values = {}
    described: Any = kind
    for name, hint, required in _fields(described):
        if name in data:
            values[name] = _value(hint, data[name], f"{place}.{name}")
        elif required:
            raise ProtocolError(f"{place}.{name} is missing.")
    return kind(**values)


@cache
def _fields(kind: Any) -> list[tuple[str, Any, bool]]:
    hints = get_type_hints(kind)
    return [(f.name, hints[f.name], f.default is dataclasses.MISSING) for f in dataclasses.fields(kind)]


def _value(hint: Any, value: Any, place: str) -> Any:
    """`value` as the type says, checked strictly: JSON has few types and a wrong one is a bug worth its words."""
    if get_origin(hint) in (Union, types.UnionType):
        inner = next(h for h in get_args(hint) if h is not type(None))
        return None if value is None else _value(inner, value, place)
    if get_origin(hint) is tuple:
        if isinstance(value, list):
            return tuple(_value(get_args(hint)[0], v, place) for v in value)
    elif dataclasses.is_dataclass(hint):
        if isinstance(value, dict):
            return build(hint, value, place)  # type: ignore[arg-type]
    elif issubclass(hint, StrEnum):
        if value in list(hint):
            return hint(value)
    else:
        return _scalar(hint, value, place)
    raise ProtocolError(f"{place} cannot be {_brief(value)}.")


def _scalar(hint: Any, value: Any, place: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    if type(value) is hint and not (hint is float and not math.isfinite(value)):
        return value
    raise ProtocolError(f"{place} cannot be {_brief(value)}; it is of the type {hint.__name__}.")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
