"""What was asked of endpoints: replies that are never paid twice, and a ledger of every request. SQLite, no network.

A reply has one row, found by a hash of model, messages, sampling parameters and sample index. The row is committed as
sent, with the idempotency key of the request, before anything goes over the network, and as done together with the
reply. So a process that is killed leaves rows that say what may have been paid; they are asked again with the same
idempotency key. The ledger has one row for each HTTP request; clearing the cache leaves it alone. Neither holds a
prompt or a key.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path

import msgspec
import psutil

from training.chat_api import ChatReply
from training.errors import UserError
from training.resources import data_folder
from training.runs.files import check_database_path, explained
from training.sqlite import Database, Migrations

LOCK_TIMEOUT_S = 20.0
SAME_START_S = 2.0
"""Start times of one process differ by less when they are asked for twice."""

migrations = Migrations("endpoints")


@migrations()  # type: ignore[untyped-decorator]
def m001(db: Database) -> None:
    db.execute(
        "CREATE TABLE replies (key TEXT PRIMARY KEY, endpoint TEXT NOT NULL, state TEXT NOT NULL, owner TEXT, "
        "idempotency TEXT NOT NULL, sent_at REAL NOT NULL, done_at REAL, reply TEXT, problem TEXT)"
    )
    db.execute(
        "CREATE TABLE requests (id INTEGER PRIMARY KEY, endpoint TEXT NOT NULL, sent_at REAL NOT NULL, "
        "state TEXT NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL, currency TEXT)"
    )
    db.execute("CREATE INDEX requests_by_time ON requests (sent_at)")


@migrations()  # type: ignore[untyped-decorator]
def m002(db: Database) -> None:
    db.execute("ALTER TABLE requests ADD COLUMN account TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE requests ADD COLUMN most_tokens INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE requests ADD COLUMN most_cost REAL NOT NULL DEFAULT 0")
    db.execute("CREATE INDEX requests_by_account ON requests (account) WHERE account != ''")


def store_file() -> Path:
    """The user's own."""
    return data_folder() / "endpoint_cache.db"


class RequestState(StrEnum):
    """What is known about one HTTP request."""

    SENT = "sent"
    """No answer yet; for ever where its process was killed, and then it may have been paid."""
    PAID = "paid"
    UNPAID = "unpaid"
    """The server refused it, or never got it."""
    MAYBE_PAID = "maybe_paid"


_SENT, _DONE = "sent", "done"
_FAILED, _UNPAID = "failed", "unpaid"
"""Of rows without a reply: the server may have one under the idempotency key that is kept, or it has none."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A row that this process may ask for. `maybe_paid`: an earlier process sent it and was killed. `unsure`: the
    server may have a reply under this idempotency key. `request` is its number in the ledger. Without a `key` the reply
    is not kept."""

    key: str
    idempotency: str
    request: int
    maybe_paid: bool = False
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class EndpointUsage:
    """What was asked of one endpoint; tokens and cost are of what was paid. `cost` is None where no price was set."""

    endpoint: str
    requests: int
    paid: int
    maybe_paid: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    currency: str
    first: float
    last: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What some work has spent. `tokens` and `cost` count a request without a reply that may have been paid with the
    most that it could cost."""

    requests: int = 0
    replies: int = 0
    maybe_paid: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


_open_owners: set[str] = set()
"""The stores of this process that are open."""


class EndpointStore:
    """The file of replies and requests; several processes may have it open. Every method raises a `UserError` where
    the disk refuses. Used from one thread at a time. `account` names the work that its requests are for."""

    def __init__(self, path: Path | None = None, account: str = "") -> None:
        self.path, self.account = store_file() if path is None else path, account
        self.owner = f"{os.getpid()}:{psutil.Process().create_time():.3f}:{uuid.uuid4().hex}"
        self._lock = threading.Lock()
        with explained("Making", self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        check_database_path(self.path)
        with self._explained():
            self._conn = sqlite3.connect(
                self.path, timeout=LOCK_TIMEOUT_S, check_same_thread=False, isolation_level=None
            )
            self._conn.execute("PRAGMA journal_mode=WAL")
            # A reply is paid for: it must outlast a loss of power, and takes longer than a sync of the disk anyway.
            self._conn.execute("PRAGMA synchronous=FULL")
            migrations.apply(Database(self._conn))
        _open_owners.add(self.owner)

    def close(self) -> None:
        """Rows that are still marked as sent may be claimed by others from now on."""
        _open_owners.discard(self.owner)
        with self._lock:
            self._conn.close()

    def __enter__(self) -> EndpointStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                text = f"{self.path} is damaged ({error}). Move it away; replies in it are then asked for once more."
            else:
                text = f"{self.path} cannot be written ({error}). Free disk space, or close what locks it."
            raise UserError(text) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._explained(), self._lock:
            self._conn.execute("BEGIN IMMEDIATE")
            try:
                yield self._conn
            except BaseException:
                self._conn.execute("ROLLBACK")
                raise
            self._conn.execute("COMMIT")

    def find(self, key: str) -> ChatReply | None:
        """The reply that is kept; None where there is none, and where it cannot be read."""
        with self._explained(), self._lock:
            row = self._conn.execute("SELECT reply FROM replies WHERE key = ? AND state = ?", [key, _DONE]).fetchone()
        return _decoded(row[0]) if row else None

    def claim(self, key: str, endpoint: str, most: tuple[int, float] = (0, 0.0)) -> Claim | ChatReply | None:
        """Mark a row as sent by this process, and enter its request in the ledger. The reply where it is done by now;
        None while another one asks for it. `most`: the tokens that it may take, and what it may cost."""
        with self._writing() as conn:
            row = conn.execute(
                "SELECT state, owner, idempotency, reply FROM replies WHERE key = ?", [key]
            ).fetchone()  # fmt: skip
            now, fresh = time.time(), uuid.uuid4().hex
            if row is None:
                conn.execute(
                    "INSERT INTO replies (key, endpoint, state, owner, idempotency, sent_at) VALUES (?, ?, ?, ?, ?, ?)",
                    [key, endpoint, _SENT, self.owner, fresh, now],
                )
                return Claim(key, fresh, self._enter(conn, endpoint, most))
            state, owner, idempotency, reply = row
            if state == _DONE and (decoded := _decoded(reply)) is not None:
                return decoded
            if state == _SENT and is_at_work(owner):
                return None
            conn.execute(
                "UPDATE replies SET state = ?, owner = ?, sent_at = ? WHERE key = ?", [_SENT, self.owner, now, key]
            )
            number = self._enter(conn, endpoint, most)
            return Claim(key, idempotency, number, maybe_paid=state == _SENT, unsure=state != _UNPAID)

    def again(self, claim: Claim, endpoint: str, most: tuple[int, float] = (0, 0.0)) -> Claim:
        """The same row with another request, which goes out now; under a new idempotency key where the server has no
        reply under the old one, as it may keep its refusal."""
        idempotency = claim.idempotency if claim.unsure else uuid.uuid4().hex
        with self._writing() as conn:
            conn.execute("UPDATE replies SET idempotency = ? WHERE key = ?", [idempotency, claim.key])
            return replace(claim, request=self._enter(conn, endpoint, most), idempotency=idempotency)

    def unkept(self, endpoint: str, most: tuple[int, float] = (0, 0.0)) -> Claim:
        """A request whose reply is not kept."""
        with self._writing() as conn:
            return Claim("", uuid.uuid4().hex, self._enter(conn, endpoint, most))

    def _enter(self, conn: sqlite3.Connection, endpoint: str, most: tuple[int, float]) -> int:
        made = conn.execute(
            "INSERT INTO requests (endpoint, sent_at, state, account, most_tokens, most_cost) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [endpoint, time.time(), RequestState.SENT, self.account, *most],
        )
        return int(made.lastrowid or 0)

    def spent(self, currency: str) -> dict[str, Spent]:
        """What the account has spent in all processes, by endpoint; costs of requests in this currency."""
        if not self.account:
            return {}
        maybe = f"state IN ('{RequestState.SENT}', '{RequestState.MAYBE_PAID}')"
        paid = f"state = '{RequestState.PAID}'"
        with self._explained(), self._lock:
            rows = self._conn.execute(
                f"SELECT endpoint, count(*), sum({paid}), sum({maybe}), coalesce(sum(prompt_tokens), 0), "
                "coalesce(sum(completion_tokens), 0), coalesce(sum(prompt_tokens + completion_tokens), 0) + "
                f"coalesce(sum(most_tokens) FILTER (WHERE {maybe}), 0), "
                "coalesce(sum(cost) FILTER (WHERE currency = ?), 0) + "
                f"coalesce(sum(most_cost) FILTER (WHERE {maybe}), 0) FROM requests WHERE account = ? "
                "GROUP BY endpoint",
                [currency, self.account],
            ).fetchall()
        return {endpoint: Spent(*figures) for endpoint, *figures in rows}

    def done(self, claim: Claim, reply: ChatReply, currency: str | None) -> None:
        """Keep a reply, and what its request cost."""
        with self._writing() as conn:
            conn.execute(
                "UPDATE replies SET state = ?, owner = NULL, done_at = ?, reply = ?, problem = NULL WHERE key = ?",
                [_DONE, time.time(), msgspec.json.encode(reply).decode(), claim.key],
            )
            conn.execute(
                "UPDATE requests SET state = ?, prompt_tokens = ?, completion_tokens = ?, cost = ?, currency = ? "
                "WHERE id = ?",
                [RequestState.PAID, reply.prompt_tokens, reply.completion_tokens, reply.cost, currency, claim.request],
            )

    def settle(self, claim: Claim, state: RequestState) -> None:
        """What became of a request without a reply."""
        with self._writing() as conn:
            conn.execute("UPDATE requests SET state = ? WHERE id = ?", [state, claim.request])

    def give_up(self, claim: Claim, problem: str) -> None:
        """The row has no reply and may be asked for again: with the same idempotency key where the server may have a
        reply that did not arrive."""
        state, idempotency = (_FAILED, claim.idempotency) if claim.unsure else (_UNPAID, uuid.uuid4().hex)
        with self._writing() as conn:
            conn.execute(
                "UPDATE replies SET state = ?, owner = NULL, problem = ?, idempotency = ? WHERE key = ? AND owner = ?",
                [state, problem, idempotency, claim.key, self.owner],
            )

    def usage(self, since: float = 0.0) -> list[EndpointUsage]:
        """What was asked since then (seconds since 1970), by endpoint and currency; the dearest first."""
        maybe = f"state IN ('{RequestState.SENT}', '{RequestState.MAYBE_PAID}')"
        with self._explained(), self._lock:
            rows = self._conn.execute(
                f"SELECT endpoint, count(*), sum(state = '{RequestState.PAID}'), sum({maybe}), "
                "coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0), sum(cost), "
                "coalesce(max(currency), ''), min(sent_at), max(sent_at) FROM requests WHERE sent_at >= ? "
                "GROUP BY endpoint, coalesce(currency, '') ORDER BY coalesce(sum(cost), 0) DESC, endpoint",
                [since],
            ).fetchall()
        return _with_unpaid([EndpointUsage(*row) for row in rows])

    def size(self) -> tuple[int, int]:
        """Replies that are kept, and bytes of the file."""
        with self._explained(), self._lock:
            (count,) = self._conn.execute("SELECT count(*) FROM replies WHERE state = ?", [_DONE]).fetchone()
        return int(count), self.path.stat().st_size

    def clear(self, endpoint: str | None = None) -> int:
        """Forget the replies, of one endpoint or of all, and give their space back; returns how many. The ledger
        stays, and so do rows that somebody asks for now."""
        with self._writing() as conn:
            where, values = ("", []) if endpoint is None else (" AND endpoint = ?", [endpoint])
            gone = conn.execute(f"DELETE FROM replies WHERE state != '{_SENT}'{where}", values).rowcount
        # Others may have the file open; it is a matter of space only.
        with suppress(sqlite3.OperationalError), self._lock:
            self._conn.execute("VACUUM")
        return gone


def _with_unpaid(found: list[EndpointUsage]) -> list[EndpointUsage]:
    """Requests without a reply have no currency: they are counted with those of their endpoint that have one."""
    merged: list[EndpointUsage] = []
    for use in sorted(found, key=lambda u: u.currency == ""):
        place = next((i for i, m in enumerate(merged) if m.endpoint == use.endpoint), None)
        if use.currency or use.paid or place is None:
            merged.append(use)
            continue
        m = merged[place]
        merged[place] = replace(
            m, requests=m.requests + use.requests, maybe_paid=m.maybe_paid + use.maybe_paid,
            first=min(m.first, use.first), last=max(m.last, use.last),
        )  # fmt: skip
    return sorted(merged, key=lambda u: (-(u.cost or 0.0), u.endpoint))


def _decoded(text: str | None) -> ChatReply | None:
    try:
        return msgspec.json.decode(text or "", type=ChatReply)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def is_at_work(owner: str | None) -> bool:
    """Whether the store that marked a row as sent is still open."""
    try:
        pid, born, _ = (owner or "").split(":")
        if int(pid) == os.getpid():
            return owner in _open_owners
        process = psutil.Process(int(pid))
        # One that was killed stays as a zombie until its parent asks for its exit code.
        is_over = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return not is_over and abs(process.create_time() - float(born)) < SAME_START_S
    except (ValueError, psutil.Error):
        return False
