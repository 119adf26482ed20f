"""A dataclass field that describes itself: configuration forms, checks and help are made from it."""

from collections.abc import Iterable
from dataclasses import field
from typing import Any


def option(
    default: Any, help: str, *, unit: str = "", low: float | None = None, high: float | None = None,
    choices: Iterable[str] = (), many: bool = False,
) -> Any:  # fmt: skip
    """A dataclass field with its help, unit, inclusive range and, for text, its usual values."""
    metadata = {"help": help, "unit": unit, "low": low, "high": high, "choices": tuple(choices), "many": many}
    return field(default=default, metadata=metadata)
