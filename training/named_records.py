"""Records that a person saves under names, all of one kind in one JSON file: endpoints, clusters. No secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from training.errors import UserError
from training.runs.files import decode_format, explained, read_text, write_whole

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


R = TypeVar("R", bound=_Named)


def check_name(name: str) -> None:
    """Raise a UserError for what no record may be called."""
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name: use 1 to 64 letters, digits, dots, hyphens and underscores.")


class NamedRecords(Generic[R]):
    """The records in the file at `path()`. `kind` is the type of the whole file: `format`, then the records in `field`.

    Each may take its secret from a variable of the environment, `variable(name)`, so no two share one. `secret` is what
    that is called. Names that differ in case alone are the same.
    """

    def __init__(
        self, path: Callable[[], Path], kind: type[Any], field: str, format_: int, variable: Callable[[str], str],
        secret: str,
    ) -> None:  # fmt: skip
        self._path, self._kind, self._field, self._format = path, kind, field, format_
        self._variable, self._secret = variable, secret

    def read(self) -> list[R]:
        """All of them by name. A UserError where the file is damaged."""
        path = self._path()
        if not path.exists():
            return []
        found = decode_format(read_text(path), self._kind, self._format, str(path), "Repair it, or move it away.")
        return sorted(getattr(found, self._field), key=lambda record: record.name.casefold())

    def find(self, name: str) -> R | None:
        """The one of this name."""
        return next((r for r in self.read() if r.name.casefold() == name.casefold()), None)

    def save(self, record: R) -> None:
        """Keep it in place of one of the same name."""
        others = [r for r in self.read() if r.name.casefold() != record.name.casefold()]
        variable = self._variable(record.name)
        for other in others:
            if self._variable(other.name) == variable:
                raise UserError(
                    f"{record.name!r} is too much like {other.name!r}: both would take a {self._secret} from "
                    f"{variable}. Choose another name."
                )
        self._write([*others, record])

    def remove(self, record: R) -> None:
        """Forget it."""
        self._write(r for r in self.read() if r.name != record.name)

    def _write(self, records: Iterable[R]) -> None:
        path = self._path()
        with explained("Making", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        whole = msgspec.json.format(msgspec.json.encode(self._kind(self._format, tuple(records))), indent=1)
        write_whole(path, whole.decode() + "\n")
