"""A keyring in a file, for tests: a backend as `keyring` takes any other, chosen by PYTHON_KEYRING_BACKEND."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keyring
from keyring.backend import KeyringBackend
from keyring.errors import InitError, PasswordDeleteError

BACKEND = "helpers.keyring_file.FileKeyring"


class FileKeyring(KeyringBackend):
    """The file is TEST_KEYRING; TEST_KEYRING_LOCKED makes it refuse, as a keyring that nobody unlocks does."""

    priority = -1
    """Below the library's own that refuses, so that it is never chosen because it was imported, only by name."""

    def _read(self) -> dict[str, str]:
        if os.environ.get("TEST_KEYRING_LOCKED"):
            raise InitError("Failed to unlock the collection!")
        # Without a file it knows nothing.
        path = Path(os.environ.get("TEST_KEYRING", os.devnull))
        return json.loads(path.read_text() or "{}") if path.exists() else {}

    def get_password(self, service, username):
        return self._read().get(f"{service}/{username}")

    def set_password(self, service, username, password):
        Path(os.environ["TEST_KEYRING"]).write_text(json.dumps({**self._read(), f"{service}/{username}": password}))

    def delete_password(self, service, username):
        kept = self._read()
        if kept.pop(f"{service}/{username}", None) is None:
            raise PasswordDeleteError("not found")
        Path(os.environ["TEST_KEYRING"]).write_text(json.dumps(kept))


@contextmanager
def file_keyring() -> Iterator[None]:
    """In the block this process has the keyring in the file TEST_KEYRING."""
    before = keyring.get_keyring()
    keyring.set_keyring(FileKeyring())
    yield
    keyring.set_keyring(before)
