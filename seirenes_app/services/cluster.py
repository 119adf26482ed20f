"""Saved Ray clusters, and the jobs on them through Ray's Jobs REST API. Ray itself is not needed on this machine.

A cluster's token is in the system keyring (or in a variable of the environment), and goes to its own server only.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
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
MAX_REPLY = 64 * 2**20
"""Bytes of a reply; a longer one is refused."""
ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
"""The states of a job, in Ray's words, that are final."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray head: `address` is that of its dashboard, as http://host:8265."""

    name: str
    address: str


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


class ClusterError(UserError):
    """The cluster did not do what was asked; the text says why and what helps."""


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
    kept = replace(cluster, address=read_address(cluster.address))
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
    save_server_key(cluster.address, token)


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
            raise ClusterError(self._says("has a Jobs API of another version. Ray 2.0 or newer is needed."))
        jobs = [_job(entry) for entry in found if isinstance(entry, dict) and entry.get("submission_id")]
        return sorted(jobs, key=lambda j: j.started or 0, reverse=True)

    def job(self, id_: str) -> Job:
        """One job. A ClusterError where the cluster does not know it."""
        found = self._request("GET", _path(id_), id_)
        if not isinstance(found, dict) or "status" not in found:
            raise ClusterError(self._says("has a Jobs API of another version. Ray 2.0 or newer is needed."))
        return _job({**found, "submission_id": id_})

    def logs(self, id_: str) -> str:
        """All that the job has printed."""
        found = self._request("GET", _path(id_) + "/logs", id_)
        return str(found.get("logs") or "") if isinstance(found, dict) else ""

    def stop(self, id_: str) -> bool:
        """Ask Ray to stop the job: SIGTERM, later SIGKILL. False where it had ended."""
        found = self._request("POST", _path(id_) + "/stop", id_)
        return isinstance(found, dict) and found.get("stopped") is True

    def _says(self, what: str) -> str:
        return f"{self.cluster.name} ({self.cluster.address}) {what}"

    def _request(self, method: str, path: str, job: str = "") -> Any:
        import httpx  # here, as the window's pages import this module

        token = _token(self.cluster)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        until = time.monotonic() + self._timeout_s
        body = bytearray()
        try:
            with (
                httpx.Client(timeout=self._timeout_s / 2, trust_env=False) as client,
                client.stream(method, self.cluster.address + path, headers=headers) as reply,
            ):
                status = reply.status_code
                for part in reply.iter_bytes():
                    body += part
                    if len(body) > MAX_REPLY:
                        raise ClusterError(self._says(f"answered with more than {MAX_REPLY // 2**20} MiB."))
                    if time.monotonic() > until:
                        raise httpx.ReadTimeout("slow")
        except httpx.TimeoutException:
            raise ClusterError(
                self._says(f"did not answer within {self._timeout_s:g} s. Check the address and the network.")
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ClusterError(
                self._says(f"cannot be reached ({type(error).__name__}). Check the address, and that Ray runs there.")
            ) from None
        self._check(status, job, token is not None)
        try:
            return msgspec.json.decode(bytes(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ClusterError(self._says("did not answer in JSON. Is this address a Ray dashboard's?")) from None

    def _check(self, status: int, job: str, had_token: bool) -> None:
        if status in (401, 403):
            given = "refused the token" if had_token else "wants a token"
            raise ClusterError(self._says(f"{given}. Store it: seirenes cluster token {self.cluster.name}"))
        if status == 404:
            if job:
                raise ClusterError(self._says(f"knows no job {job!r}. List them: seirenes cluster status"))
            raise ClusterError(self._says("has no Ray Jobs API. Check the address; Ray 2.0 or newer is needed."))
        if not 200 <= status < 300:
            raise ClusterError(self._says(f"answered with HTTP status {status}."))


def _path(id_: str) -> str:
    return f"/api/jobs/{quote(id_, safe='')}"


def _job(entry: dict[str, Any]) -> Job:
    began = entry.get("start_time")
    text = {name: str(entry.get(name) or "") for name in ("submission_id", "status", "entrypoint", "message")}
    return Job(
        text["submission_id"], text["status"], text["entrypoint"], text["message"],
        began / 1000 if isinstance(began, int | float) and began > 0 else None,
    )  # fmt: skip
