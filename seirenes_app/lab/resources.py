"""The files of the laboratory that pages ask for by name: icons, presets, the bundled reasoner."""

from __future__ import annotations

from pathlib import Path

from seirenes_app.store.resources import resources_root


def icon_path(name: str) -> Path:
    """The SVG of an icon; it may be missing."""
    return resources_root() / "icons" / f"{name}.svg"


def presets_folder() -> Path:
    """The folder of preset configurations."""
    return resources_root() / "presets"


def starter_folder() -> Path:
    """The bundled reasoner."""
    return resources_root() / "starter"


def recorded_run() -> Path:
    """The folder of the recorded demo run; it may be missing."""
    return resources_root() / "recorded"
