"""The laboratory: the window and everything it does. It drives `training` through run directories, never in-process."""

from importlib import metadata


def version() -> str:
    """Version of the installed package, or "unpacked" in a checkout that was never installed."""
    try:
        return metadata.version("seirenes")
    except metadata.PackageNotFoundError:
        return "unpacked"
