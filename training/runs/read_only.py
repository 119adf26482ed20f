"""Open a SQLite file that another process may be writing, so that nothing here can change it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

PATIENCE_S = 5.0
"""How long a lock of the writer is waited for."""


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection for any thread, without transactions of its own; it works on a live file in WAL mode and in a folder
    that cannot be written to. Raises sqlite3.Error."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    left_over = path.with_name(path.name + "-wal").exists()
    if not left_over and not os.access(path.parent, os.W_OK):
        # Nobody can be writing there, and SQLite could not make the files that guard against it.
        uri += "&immutable=1"
    connection = sqlite3.connect(uri, uri=True, timeout=PATIENCE_S, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA query_only=1")
    return connection
