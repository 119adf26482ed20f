"""A dataclass field that describes itself: configuration forms, checks and help are made from it."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def option(default: Any, help: str, *, unit: str = "", low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with its help, unit and inclusive range."""
    return field(default=default, metadata={"help": help, "unit": unit, "low": low, "high": high})
