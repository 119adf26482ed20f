"""What to paste into a report: versions, machine, paths, last errors. Home is shortened to ``~``; no run content."""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections import deque
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

import platformdirs

from seirenes_app.services.formatting import megabytes
from seirenes_app.services.machine import Machine

LOGGER = "seirenes"
_errors: deque[str] = deque(maxlen=5)


def log_folder() -> Path:
    """Where the window's own log is; SEIRENES_LOGS overrides."""
    override = os.environ.get("SEIRENES_LOGS")
    return Path(override) if override else Path(platformdirs.user_log_dir("seirenes", appauthor=False))


def log_path() -> Path:
    return log_folder() / "window.log"


def start_log() -> logging.Logger:
    """The window's logger, writing to `log_path`; a folder that cannot be written leaves stderr alone."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    if any(isinstance(h, RotatingFileHandler) for h in logger.handlers):
        return logger
    try:
        log_folder().mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(log_path(), maxBytes=1_000_000, backupCount=2, encoding="utf-8", delay=True)
    except OSError as error:
        logger.warning("The log cannot be written to %s: %s", log_folder(), error)
        return logger
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    return logger


def record_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> str:
    """Keep an uncaught exception for the diagnostics and write it to the log; returns its traceback as text."""
    text = "".join(traceback.format_exception(kind, error, trace)).rstrip()
    _errors.append(text)
    logging.getLogger(LOGGER).error("uncaught:\n%s", text)
    return text


def recent_errors() -> tuple[str, ...]:
    return tuple(_errors)


def shorten_home(text: str) -> str:
    """Replace this and any other user's home folder by ``~``."""
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"(?=[/\\\s\"']|$)", "~", text)
    return re.sub(r"(?:/home|/Users|[A-Z]:\\Users)[/\\][^/\\\s\"']+", "~", text)


def describe(machine: Machine, paths: dict[str, Path], extra: dict[str, str] | None = None) -> str:
    facts = {
        "System": machine.system,
        "Python": machine.python,
        "Processor": f"{machine.processor}, {machine.cores} cores, {machine.threads} threads",
        "Memory": f"{megabytes(machine.memory_mb)}, {megabytes(machine.memory_free_mb)} free",
        "GPU": "; ".join(machine.gpus) or "none seen",
        "Disk": f"{megabytes(machine.disk_free_mb)} free at {machine.disk_place}",
        **{f"{name}": version for name, version in machine.versions.items()},
        **{name: str(path) for name, path in paths.items()},
        **(extra or {}),
    }
    width = max(len(name) for name in facts)
    lines = ["Seirênes diagnostics", "", *(f"{name.ljust(width)}  {value}" for name, value in facts.items())]
    errors = recent_errors()
    lines += ["", f"Last errors: {len(errors) or 'none'}", *(part for error in errors for part in ("", error))]
    return shorten_home("\n".join(lines)) + "\n"
