"""SQLite access: sqlite-utils without pandas, and read-only connections to files that another process writes."""

import os
import sqlite3
import sys
from pathlib import Path

if "pandas" in sys.modules:
    from sqlite_utils import Database, Migrations
else:
    # sqlite-utils imports pandas where it is installed, to recognise its column types: a second of CPU for nothing.
    # A None entry makes that import fail; it is removed at once, so that others can still import pandas.
    sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        from sqlite_utils import Database, Migrations
    finally:
        del sys.modules["pandas"]

__all__ = ["Database", "Migrations", "open_read_only"]

LOCK_TIMEOUT_S = 5.0


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, for any thread, without transactions of its own.

    It works on a live file in WAL mode and in a folder that cannot be written to. Raises sqlite3.Error.
    """
    uri = f"{path.resolve().as_uri()}?mode=ro"
    has_wal = path.with_name(path.name + "-wal").exists()
    if not has_wal and not os.access(path.parent, os.W_OK):
        # Nobody can be writing there, and SQLite could not create the files that guard against it.
        uri += "&immutable=1"
    connection = sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT_S, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA query_only=1")
    return connection
