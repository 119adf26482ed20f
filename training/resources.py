"""Where the files that ship with the program are, and where the user's own are. Makes none."""

import os
import sys
from pathlib import Path

import platformdirs


def resources_folder() -> Path:
    """Where the files that ship with the program are: SEIRENES_RESOURCES, the checkout, or the installed data."""
    override = os.environ.get("SEIRENES_RESOURCES")
    if override:
        return Path(override)
    checkout = Path(__file__).resolve().parents[1] / "resources"
    return checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "seirenes"


def data_folder() -> Path:
    """SEIRENES_DATA, or the user's data folder."""
    return Path(os.environ.get("SEIRENES_DATA") or platformdirs.user_data_dir("seirenes", appauthor=False))
