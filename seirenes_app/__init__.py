"""The laboratory: the window and everything it does. It drives `training` through run directories, never in-process."""

import tomllib
from importlib import metadata
from pathlib import Path


def version() -> str:
    """Version of the installed package; in a checkout that was never installed, the one its project file names."""
    try:
        return metadata.version("seirenes")
    except metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[1] / "pyproject.toml"
        if not project.is_file():
            return "unknown"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
