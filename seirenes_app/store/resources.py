"""The files that ship with the program (icons, presets, the bundled reasoner), and where they are: a checkout, an
installed wheel, or SEIRENES_RESOURCES.
"""

from __future__ import annotations

from pathlib import Path

from training.errors import UserError
from training.resources import resources_folder


def resources_root() -> Path:
    """The folder with starter/, presets/ and icons/. Raises a `UserError` that names the place looked in."""
    place = resources_folder()
    if not place.is_dir():
        raise UserError(
            f"The program's own files were not found (looked in {place}). Reinstall seirenes, or set "
            "SEIRENES_RESOURCES."
        )
    return place


def icon_path(name: str) -> Path:
    """The SVG of an icon; it may be missing."""
    return resources_root() / "icons" / f"{name}.svg"


def presets_folder() -> Path:
    return resources_root() / "presets"


def studies_folder() -> Path:
    """Definitions of studies."""
    return resources_root() / "studies"


def starter_folder() -> Path:
    return resources_root() / "starter"


def recorded_run() -> Path:
    """The folder of the recorded demo run; it may be missing."""
    return resources_root() / "recorded"
