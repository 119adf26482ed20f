"""A dataclass field that describes itself: configuration forms, checks and help are made from it. Values as TOML."""

import json
from collections.abc import Iterable
from dataclasses import field
from typing import Any


def option(
    default: Any, help: str, *, unit: str = "", low: float | None = None, high: float | None = None,
    choices: Iterable[str] = (), many: bool = False, more: Iterable[str] = (), path: bool = False,
) -> Any:  # fmt: skip
    """A dataclass field with its help, unit, inclusive range and, for text, its usual values and `more` of them.

    `path`: another value may name a file or a folder.
    """
    metadata = {
        "help": help, "unit": unit, "low": low, "high": high, "choices": tuple(choices), "many": many,
        "more": tuple(more), "path": path,
    }  # fmt: skip
    return field(default=default, metadata=metadata)


def toml_value(value: Any) -> str:
    """A value as TOML; text of several lines as a block."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml_value, value))}]"
    if not isinstance(value, str):
        return repr(value)
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
    lines = [json.dumps(line, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f") for line in value.split("\n")]
    return f'"{lines[0]}"' if len(lines) == 1 else '"""\n' + "\n".join(lines) + '"""'
