"""Saved Ray clusters, and the jobs on them through Ray's Jobs REST API. Ray itself is not needed on this machine.

A cluster's token is in the system keyring (or in a variable of the environment), and goes to its own server only.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from training.endpoints import key_variable, list_endpoints, read_address, save_server_key, server_key
from training.errors import UserError
from training.named_records import NamedRecords, check_name
from training.resources import data_folder

FORMAT = 1
TIMEOUT_S = 8.0
"""The most that one request may take, connection included."""
SUBMIT_TIMEOUT_S = 30.0
"""The most that a submission may take: a head that was just started first starts the agent that takes it."""
LOG_TIMEOUT_S = 60.0
"""The most that reading a job's whole log may take."""
REASON_CHARACTERS = 300
MAX_REPLY = 64 * 2**20
"""Bytes of a reply; a longer one is refused."""
ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
"""The states of a job, in Ray's words, that are final."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray head: `address` is that of its dashboard, as http://host:8265."""

    name: str
    address: str
    python: str = "python"
    """The command that starts an interpreter there which has this program."""
    root: str = ""
    """The folder of runs there, on a disk that all its nodes share; "": that of the user there."""

    @property
    def warning(self) -> str:
        """What is to be known before a token is used with it; "" for nothing."""
        parts = urlsplit(self.address)
        if parts.scheme == "https" or _is_this_machine(parts.hostname or ""):
            return ""
        return (
            f"A token for {self.name} goes over plain http, where others on the network can read it. Use https, or an "
            "SSH tunnel to this machine."
        )


@dataclass(frozen=True, slots=True)
class _ClusterFile:
    format: int
    clusters: tuple[Cluster, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the cluster lists it; `started` in seconds since 1970, None before that."""

    id: str
    status: str
    entrypoint: str
    message: str
    started: float | None
    metadata: Mapping[str, str] = field(default_factory=dict)


class ClusterError(UserError):
    """The cluster did not do what was asked; the text says why and what helps. `status`: the HTTP status of its
    answer; None where there was none, so that trying again may help."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class LongReplyError(ClusterError):
    """The answer is longer than is read."""


def cluster_file() -> Path:
    """Where clusters are kept."""
    return data_folder() / "clusters.json"


def list_clusters() -> list[Cluster]:
    """The saved ones by name. A UserError where the file is damaged."""
    return _saved().read()


def _saved() -> NamedRecords[Cluster]:
    return NamedRecords(cluster_file, _ClusterFile, "clusters", FORMAT, token_variable, "token")


def find_cluster(name: str) -> Cluster:
    """The saved cluster of this name. A UserError where there is none."""
    found = _saved().find(name)
    if found is None:
        raise UserError(f"There is no cluster named {name!r}. List them: seirenes cluster list")
    return found


def save_cluster(cluster: Cluster) -> Cluster:
    """Keep it in place of one of the same name; returns it as it is kept."""
    check_name(cluster.name)
    if "@" in cluster.address:
        raise UserError("The address holds a user or a token. Give the token on standard input: seirenes cluster token")
    try:
        kept = replace(cluster, address=read_address(cluster.address))
    except UserError:
        raise UserError(f"{cluster.address!r} is not an address. Write it as http://host:8265") from None
    try:
        words = shlex.split(kept.python)
    except ValueError:
        words = []
    if not words:
        raise UserError(f"{kept.python!r} starts no interpreter. Name one, as python or /opt/venv/bin/python.")
    _saved().save(kept)
    return kept


def remove_cluster(name: str) -> Cluster:
    """Forget it; its token stays in the keyring, as others may be at the same address."""
    gone = find_cluster(name)
    _saved().remove(gone)
    return gone


def token_variable(name: str) -> str:
    """The variable of the environment that may hold a cluster's token."""
    return key_variable(f"cluster_{name}")


def save_token(cluster: Cluster, token: str) -> None:
    """Keep the token in the keyring, or remove it where it is ""."""
    if token:
        check_token(token)
    try:
        save_server_key(cluster.address, token)
    except UserError as error:
        cause = f" ({error.__context__ and type(error.__context__).__name__})" if error.__context__ else ""
        raise UserError(
            f"The system keyring did not take the token{cause}. Unlock or install a keyring, or put the token into the "
            f"variable {token_variable(cluster.name)} of the environment."
        ) from None


def check_token(token: str) -> None:
    """A UserError for text that no token can be."""
    if not token.isascii() or any(ch.isspace() or not ch.isprintable() for ch in token):
        raise UserError("This is not a token: it holds a space, or a character that a token cannot have.")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def drop_unused_key(base_url: str) -> None:
    """Take a server's key out of the keyring where no saved endpoint and no cluster is at that server any more: all at
    one server share one entry."""
    used = {e.place for e in list_endpoints()} | {urlsplit(c.address).netloc for c in list_clusters()}
    if urlsplit(base_url).netloc not in used and server_key(base_url):
        save_server_key(base_url, "")


def _token(cluster: Cluster) -> str | None:
    found = (server_key(cluster.address) or os.environ.get(token_variable(cluster.name), "")).strip()
    if found and (not found.isascii() or any(ch.isspace() or not ch.isprintable() for ch in found)):
        raise UserError(f"The token of {cluster.name} holds a character that a token cannot have. Store it again.")
    return found or None


class ClusterClient:
    """Requests to one cluster. Each ends within `timeout_s` seconds, with a ClusterError where it failed."""

    def __init__(self, cluster: Cluster, timeout_s: float = TIMEOUT_S) -> None:
        self.cluster = cluster
        self._timeout_s = timeout_s

    def version(self) -> str:
        """Ray's version there. Refuses a server that does not have the Jobs API."""
        found = self._request("GET", "/api/version")
        if not isinstance(found, dict) or not isinstance(found.get("ray_version"), str):
            raise ClusterError(self._says("is not a Ray dashboard. Check the address (its port is mostly 8265)."))
        return str(found["ray_version"])

    def jobs(self) -> list[Job]:
        """The submitted jobs, newest first."""
        found = self._request("GET", "/api/jobs/")
        if not isinstance(found, list):
            raise ClusterError(self._says("has a Jobs API of another version. Ray 2.0 or newer is needed."), 200)
        jobs = [_job(entry) for entry in found if isinstance(entry, dict) and entry.get("submission_id")]
        return sorted(jobs, key=lambda j: j.started or 0, reverse=True)

    def job(self, id_: str) -> Job:
        """One job. A ClusterError where the cluster does not know it."""
        found = self._request("GET", _path(id_), id_)
        if not isinstance(found, dict) or "status" not in found:
            raise ClusterError(self._says("has a Jobs API of another version. Ray 2.0 or newer is needed."), 200)
        return _job({**found, "submission_id": id_})

    def logs(self, id_: str) -> str:
        """All that the job has printed."""
        found = self._request("GET", _path(id_) + "/logs", id_, timeout_s=max(self._timeout_s, LOG_TIMEOUT_S))
        return str(found.get("logs") or "") if isinstance(found, dict) else ""

    def submit(self, id_: str, entrypoint: str, **more: Any) -> None:
        """Start a job of this id, which the caller makes up. One that is there already is left as it is, so that a
        request whose answer was lost can be sent again. `more`: other fields of Ray's request."""
        body = {"submission_id": id_, "entrypoint": entrypoint, **more}
        try:
            self._request("POST", "/api/jobs/", body=body, timeout_s=max(self._timeout_s, SUBMIT_TIMEOUT_S))
        except ClusterError as error:
            if error.status is None or error.status in (401, 403, 404):
                raise
            try:
                self.job(id_)
            except ClusterError:
                raise error from None

    def delete(self, id_: str) -> None:
        """Have Ray forget a job that has ended."""
        self._request("DELETE", _path(id_), id_)

    def stop(self, id_: str) -> bool:
        """Ask Ray to stop the job: SIGTERM, later SIGKILL. False where it had ended."""
        found = self._request("POST", _path(id_) + "/stop", id_)
        return isinstance(found, dict) and found.get("stopped") is True

    def _says(self, what: str) -> str:
        return f"{self.cluster.name} ({self.cluster.address}) {what}"

    def _request(
        self, method: str, path: str, job: str = "", *, body: Any = None, timeout_s: float | None = None
    ) -> Any:
        import httpx  # here, as the window's pages import this module

        limit_s = self._timeout_s if timeout_s is None else timeout_s
        token = _token(self.cluster)
        exchange = _Exchange(method, self.cluster.address + path, token, body, limit_s)
        # A thread, as no timeout of the library covers the lookup of a name and headers that come byte by byte.
        thread = threading.Thread(target=exchange.run, daemon=True)
        thread.start()
        thread.join(limit_s)
        error = exchange.error
        if thread.is_alive() or isinstance(error, httpx.TimeoutException):
            exchange.close()
            raise ClusterError(self._says(f"did not answer within {limit_s:g} s. Check the address and the network."))
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL | OSError):
            raise ClusterError(
                self._says(f"cannot be reached ({type(error).__name__}). Check the address, and that Ray runs there.")
            ) from None
        if error is not None:
            raise error
        if exchange.too_long:
            raise LongReplyError(self._says(f"answered with more than {MAX_REPLY // 2**20} MiB."), 200)
        self._check(exchange.status, job, token is not None, _last_line(bytes(exchange.reply)))
        try:
            return msgspec.json.decode(bytes(exchange.reply))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            text = self._says("did not answer in JSON. Is this address a Ray dashboard's?")
            raise ClusterError(text, exchange.status) from None

    def _check(self, status: int, job: str, had_token: bool, says: str) -> None:
        if status in (401, 403):
            given = "refused the token" if had_token else "wants a token"
            raise ClusterError(self._says(f"{given}. Store it: seirenes cluster token {self.cluster.name}"), status)
        if status == 404:
            if job:
                raise ClusterError(
                    self._says(f"knows no job {job!r}. List them: seirenes cluster status {self.cluster.name}"), status
                )
            raise ClusterError(
                self._says("has no Ray Jobs API. Check the address; Ray 2.0 or newer is needed."), status
            )
        if not 200 <= status < 300:
            raise ClusterError(self._says(f"answered with HTTP status {status}: {says or 'see its log'}"), status)


class _Exchange:
    """One request, on a thread of its own."""

    def __init__(self, method: str, url: str, token: str | None, body: Any, timeout_s: float) -> None:
        self._given = method, url, body
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        import httpx

        self._client = httpx.Client(timeout=timeout_s, trust_env=False)
        self.reply = bytearray()
        self.status = 0
        self.too_long = False
        self.error: Exception | None = None

    def run(self) -> None:
        method, url, body = self._given
        try:
            with self._client as client, client.stream(method, url, headers=self._headers, json=body) as reply:
                self.status = reply.status_code
                for part in reply.iter_bytes():
                    self.reply += part
                    if len(self.reply) > MAX_REPLY:
                        self.too_long = True
                        return
        except Exception as error:  # noqa: BLE001 - raised again where it was waited for
            self.error = error

    def close(self) -> None:
        """End the request, whose thread then ends."""
        with suppress(Exception):
            self._client.close()


def _last_line(reply: bytes) -> str:
    """The last line of an answer, such as the error at the end of a traceback."""
    lines = reply[-4000:].decode(errors="replace").split("\n")
    return next((line.strip()[:REASON_CHARACTERS] for line in reversed(lines) if line.strip()), "")


def _path(id_: str) -> str:
    return f"/api/jobs/{quote(id_, safe='')}"


def _job(entry: dict[str, Any]) -> Job:
    began, found = entry.get("start_time"), entry.get("metadata")
    metadata = {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
    text = {name: str(entry.get(name) or "") for name in ("submission_id", "status", "entrypoint", "message")}
    return Job(
        text["submission_id"], text["status"], text["entrypoint"], text["message"],
        began / 1000 if isinstance(began, int | float) and began > 0 else None, metadata,
    )  # fmt: skip
