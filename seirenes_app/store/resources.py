"""The files that ship with the program (icons, presets, the bundled reasoner), and where they are: a checkout, an
installed wheel, or SEIRENES_RESOURCES.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from training.errors import UserError


def resources_root() -> Path:
    """The folder with starter/, presets/ and icons/.

    Raises a `UserError` that lists the places looked in.
    """
    override = os.environ.get("SEIRENES_RESOURCES")
    shared = Path(sys.prefix) / "share" / "seirenes"
    places = [Path(override)] if override else [Path(__file__).resolve().parents[2] / "resources", shared]
    for place in places:
        if place.is_dir():
            return place
    looked = ", ".join(str(p) for p in places)
    raise UserError(
        f"The program's own files were not found (looked in {looked}). Reinstall seirenes, or set SEIRENES_RESOURCES."
    )


def icon_path(name: str) -> Path:
    """The SVG of an icon; it may be missing."""
    return resources_root() / "icons" / f"{name}.svg"


def presets_folder() -> Path:
    return resources_root() / "presets"


def starter_folder() -> Path:
    return resources_root() / "starter"


def recorded_run() -> Path:
    """The folder of the recorded demo run; it may be missing."""
    return resources_root() / "recorded"
