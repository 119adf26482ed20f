"""A small Hugging Face hub on loopback: what the real client asks for, and the ways in which a hub fails.

`with HubServer() as hub` serves until the block ends. `hub.add(...)` makes a repository, `hub.environment(...)` is what
a child process needs to use it, `hub.use(monkeypatch, ...)` the same for this process. Faults are plain attributes.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".gguf", ".bin")
"""Files that the hub keeps apart, and serves by a redirect to another origin."""
CHUNK = 16 * 1024


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@dataclass
class Repo:
    name: str
    files: dict[str, bytes]
    commit: str
    gated: bool = False
    private: bool = False
    licence: str = "apache-2.0"
    tags: tuple[str, ...] = ()
    downloads: int = 7
    revisions: dict[str, str] = field(default_factory=dict)

    def is_large(self, name: str) -> bool:
        return name.endswith(LARGE)

    def etag(self, name: str) -> str:
        content = self.files[name]
        return hashlib.sha256(content).hexdigest() if self.is_large(name) else git_sha1(content)


class HubServer:
    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.tokens: dict[str, str] = {}
        """token → account; each may read gated repositories that are in `accepted`."""
        self.accepted: set[tuple[str, str]] = set()
        """(account, repository) whose licence was accepted."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path with its host's kind ("hub" or "cdn"), headers in lower case."""
        # Faults.
        self.bytes_per_s = 0
        """Speed of file bodies; 0 is as fast as it goes."""
        self.statuses: dict[str, list[tuple[int, dict[str, str]]]] = {}
        """part of a path ("hub" or "cdn" before it) → answers (status, headers) to give, one a request, before the true one."""
        self.drop_after = 0
        """Close the connection after so many bytes of a body, `drops` times."""
        self.drops = 0
        self.at_last_drop: Callable[[], object] = lambda: None
        """Called before the connection is closed for the last time."""
        self.hang_after = -1
        """Send nothing more after so many bytes of a body, and keep the connection."""
        self.silent = False
        """Take every request, and answer none."""
        self.corrupt: set[str] = set()
        """Files whose bytes are wrong, at the right length."""
        self.ignore_range = False
        self.wrong_range = False
        """Answer a range with another one."""
        self._servers: list[ThreadingHTTPServer] = []
        self._closing = threading.Event()

    def __enter__(self) -> "HubServer":
        for kind in ("hub", "cdn"):
            handler = type("Handler", (_Handler,), {"hub": self, "kind": kind})
            server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self._servers.append(server)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering: nobody listens at the address afterwards."""
        self._closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers.clear()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_address[1]}"

    @property
    def cdn(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_address[1]}"

    def add(self, name: str, files: Mapping[str, bytes | str], **facts) -> Repo:
        """A repository with these files (text is UTF-8)."""
        content = {k: v.encode() if isinstance(v, str) else v for k, v in files.items()}
        commit = hashlib.sha1(repr([name, *sorted(content.items())]).encode()).hexdigest()
        repo = Repo(name, content, commit, **facts)
        repo.revisions.setdefault("main", commit)
        self.repos[name] = repo
        return repo

    def add_folder(self, name: str, folder: Path, **facts) -> Repo:
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        return self.add(name, files, **facts)

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """A child's environment: this hub, its own cache and data folder, no keyring, no other switch."""
        dropped = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE")
        kept = {k: v for k, v in os.environ.items() if k not in dropped and not k.lower().endswith("_proxy")}
        own = {"HF_ENDPOINT": self.url, "HF_HOME": str(home / "hf"), "SEIRENES_DATA": str(home / "data")}
        return {**kept, **own, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring", **more}

    def use(self, monkeypatch, home: Path, **more: str) -> None:
        """The same for this process, also where the client has been imported before."""
        wanted = self.environment(home, **more)
        for name in set(os.environ) - set(wanted):
            monkeypatch.delenv(name)
        for name, value in wanted.items():
            monkeypatch.setenv(name, value)
        import huggingface_hub.constants as constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "hf" / "token"))
        monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(home / "hf" / "stored_tokens"))

    def asked(self, part: str, method: str = "GET") -> list[dict[str, str]]:
        """The headers of the requests whose path contains `part`."""
        return [headers for m, path, headers in self.requests if m == method and part in path]


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    kind: str
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(
            (self.command, f"{self.kind}{path}", {k.lower(): v for k, v in self.headers.items()})
        )  # fmt: skip
        while self.hub.silent and not self.hub._closing.is_set():
            time.sleep(0.05)
        for part, answers in self.hub.statuses.items():
            if part in f"{self.kind}{path}" and answers:
                status, headers = answers.pop(0)
                return self._answer(status, b"{}", headers)
        try:
            if self.kind == "cdn":
                return self._cdn(path)
            return self._hub(path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # ------------------------------------------------------------------ answers

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, data: object) -> None:
        self._answer(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, text: str) -> None:
        self._answer(status, b"{}", {"X-Error-Code": code, "X-Error-Message": text})

    @property
    def _account(self) -> str:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.hub.tokens.get(token, "")

    def _hub(self, path: str) -> None:
        if "Authorization" in self.headers and not self._account:
            return self._error(401, "", "Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            return self._json({"name": self._account}) if self._account else self._error(401, "", "Unauthorized")
        if path == "/api/models":
            return self._search()
        if path.startswith("/api/models/"):
            return self._api(path.removeprefix("/api/models/").split("/"))
        parts = path.strip("/").split("/")
        if len(parts) < 5 or parts[2] != "resolve":
            return self._error(404, "", "Not found")
        repo = self._repo("/".join(parts[:2]))
        if repo is not None:
            self._resolve(repo, parts[3], "/".join(parts[4:]))

    def _repo(self, name: str) -> Repo | None:
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and not self._account):
            self._error(404 if self._account else 401, "RepoNotFound", "Repository not found")
            return None
        return repo

    def _may_read(self, repo: Repo) -> bool:
        if not repo.gated or (self._account, repo.name) in self.hub.accepted:
            return True
        self._error(403 if self._account else 401, "GatedRepo", f"Access to model {repo.name} is restricted.")
        return False

    def _commit(self, repo: Repo, revision: str) -> str | None:
        if revision == repo.commit:
            return revision
        if revision in repo.revisions:
            return repo.revisions[revision]
        self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return None

    def _search(self) -> None:
        query = parse_qs(urlsplit(self.path).query).get("search", [""])[0].lower()
        found = [r for r in self.hub.repos.values() if query in r.name.lower() and not r.private]
        found.sort(key=lambda r: -r.downloads)
        self._json([self._facts(repo) for repo in found])

    def _facts(self, repo: Repo) -> dict:
        kinds = {name.rsplit(".", 1)[-1] for name in repo.files} & {"gguf", "safetensors"}
        return {
            "id": repo.name, "sha": repo.commit, "private": repo.private, "gated": "manual" if repo.gated else False,
            "downloads": repo.downloads, "pipeline_tag": "text-generation",
            "tags": [*sorted(kinds), f"license:{repo.licence}", *repo.tags],
        }  # fmt: skip

    def _api(self, parts: list[str]) -> None:
        repo = self._repo("/".join(parts[:2]))
        if repo is None:
            return
        rest = parts[2:]
        if rest == ["auth-check"]:
            if self._may_read(repo):
                self._json({})
            return
        if self._commit(repo, rest[1] if len(rest) > 1 else "main") is None:
            return
        if rest[:1] == ["tree"]:
            return self._json([self._tree_entry(repo, name) for name in repo.files])
        self._json({**self._facts(repo), "siblings": [self._sibling(repo, name) for name in repo.files]})

    def _sibling(self, repo: Repo, name: str) -> dict:
        size = len(repo.files[name])
        entry = {"rfilename": name, "size": size, "blobId": git_sha1(repo.files[name])}
        if repo.is_large(name):
            entry["lfs"] = {"size": size, "sha256": repo.etag(name), "pointerSize": 130}
        return entry

    def _tree_entry(self, repo: Repo, name: str) -> dict:
        entry = {"type": "file", "path": name, "size": len(repo.files[name]), "oid": git_sha1(repo.files[name])}
        if repo.is_large(name):
            entry["lfs"] = {"size": entry["size"], "oid": repo.etag(name), "pointerSize": 130}
        return entry

    def _resolve(self, repo: Repo, revision: str, file: str) -> None:
        if not self._may_read(repo) or (commit := self._commit(repo, revision)) is None:
            return
        if file not in repo.files:
            return self._error(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{repo.etag(file)}"'}
        if repo.is_large(file):
            linked = {"X-Linked-Etag": f'"{repo.etag(file)}"', "X-Linked-Size": str(len(repo.files[file]))}
            location = f"{self.hub.cdn}/{repo.name}/{file}?signature=secret"
            return self._answer(302, b"", {**headers, **linked, "Location": location})
        self._body(file, repo.files[file], headers)

    def _cdn(self, path: str) -> None:
        owner, name, *file = path.strip("/").split("/")
        repo, name = self.hub.repos[f"{owner}/{name}"], "/".join(file)
        self._body(name, repo.files[name], {"ETag": f'"{repo.etag(name)}"'})

    def _body(self, name: str, content: bytes, headers: Mapping[str, str]) -> None:
        if name in self.hub.corrupt:
            content = bytes(255 - b for b in content[:64]) + content[64:]
        start, asked = 0, self.headers.get("Range", "")
        if asked.startswith("bytes=") and not self.hub.ignore_range:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            if start >= len(content):
                return self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            start = start // 2 if self.hub.wrong_range else start
            headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        self.send_response(206 if start or "Content-Range" in headers else 200)
        for key, value in {"Content-Length": str(len(content) - start), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send(content[start:])

    def _send(self, body: bytes) -> None:
        sent = 0
        for at in range(0, len(body), CHUNK):
            if self.hub._closing.is_set() or (
                self.hub.drop_after and self.hub.drops > 0 and sent >= self.hub.drop_after
            ):
                self.hub.drops -= 1
                self.close_connection = True
                if self.hub.drops == 0:
                    self.hub.at_last_drop()
                return
            while self.hub.hang_after >= 0 and sent >= self.hub.hang_after and not self.hub._closing.is_set():
                time.sleep(0.05)
            piece = body[at : at + CHUNK]
            self.wfile.write(piece)
            sent += len(piece)
            if self.hub.bytes_per_s:
                time.sleep(len(piece) / self.hub.bytes_per_s)
