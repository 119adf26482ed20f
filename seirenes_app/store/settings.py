"""The person's settings: one small JSON file. A broken file is put aside, said, and replaced by the defaults.

`SEIRENES_CONFIG` names the folder to use in place of the platform's own.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import platformdirs

from training.errors import UserError


class ThemeMode(StrEnum):
    """Which colours the window wears."""

    SYSTEM = "system"
    """What the desktop asks for."""
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True)
class Settings:
    """Everything that is remembered between two starts of the window."""

    theme: str = ThemeMode.SYSTEM
    geometry: str = ""
    """The window's place as Qt's saveGeometry, base64."""
    last_page: str = "home"
    last_run: str = ""
    """Folder name of the run that was open last."""
    detach: bool = True
    """Runs outlive the window."""
    ask_cost: float = 1.0
    """Work on an endpoint that may cost more, in the endpoint's currency, is asked about before it starts."""
    ask_requests: int = 200
    """The same in requests, for an endpoint without a price."""

    @classmethod
    def load(cls, path: Path | None = None) -> Settings:
        """Read settings; unknown and ill-typed fields fall back to their defaults, one by one.

        A file that is no JSON object is a `UserError`, after it was moved to ``settings.json.broken``, so that the
        next load succeeds and nothing of the person's is lost.
        """
        path = path or settings_path()
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"The settings in {path} cannot be read ({error}). Defaults are used.") from error
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            aside = path.with_name(path.name + ".broken")
            path.replace(aside)
            raise UserError(f"The settings in {path} were damaged. They are kept as {aside.name}; defaults are used.")
        return cls.from_dict(found)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Settings:
        """Known fields of the right type; everything else is passed over."""
        kept = {f.name: found[f.name] for f in fields(cls) if f.name in found and _fits(found[f.name], f.default)}
        if kept.get("theme") not in tuple(ThemeMode):
            kept.pop("theme", None)
        return cls(**kept)

    def save(self, path: Path | None = None) -> None:
        """Write all or nothing. A disk that refuses is a `UserError`."""
        path = path or settings_path()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".new")
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise UserError(f"The settings could not be written to {path} ({error}). Check the folder.") from error


def _fits(value: Any, default: Any) -> bool:
    """Whether a value may stand for a default: of its type, a number finite and not negative. A whole number is a
    number too, and a truth value is none."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, int | float):
        return isinstance(value, (int, float) if isinstance(default, float) else int) and 0 <= value < math.inf
    return isinstance(value, str)


def settings_path() -> Path:
    folder = os.environ.get("SEIRENES_CONFIG") or platformdirs.user_config_dir("seirenes", appauthor=False)
    return Path(folder) / "settings.json"
