"""The laboratory: the window and everything it does. It drives `training` through run directories, never in-process."""


def version() -> str:
    """Version of the installed package; in a checkout that was never installed, the one its project file names."""
    # Imported here: they cost every command and the window 60 ms, and few ask for the version.
    import tomllib
    from importlib import metadata
    from pathlib import Path

    try:
        return metadata.version("seirenes")
    except metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[1] / "pyproject.toml"
        if not project.is_file():
            return "unknown"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
