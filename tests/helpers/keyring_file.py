"""A keyring in a file, for tests: a backend as `keyring` takes any other, chosen by PYTHON_KEYRING_BACKEND."""

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import InitError, PasswordDeleteError

BACKEND = "helpers.keyring_file.FileKeyring"


class FileKeyring(KeyringBackend):
    """The file is TEST_KEYRING; TEST_KEYRING_LOCKED makes it refuse, as a keyring that nobody unlocks does."""

    priority = 1

    def _read(self) -> dict[str, str]:
        if os.environ.get("TEST_KEYRING_LOCKED"):
            raise InitError("Failed to unlock the collection!")
        # The class is chosen by itself wherever it is imported: without a file it knows nothing.
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
