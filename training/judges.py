"""Judges by name: what `judge.model` means, servers as judges, and what was measured about each. No torch.

A judge is asked through `training.core.validity`; the local ones are in `training.local_judge`. A server speaks the
OpenAI chat API. Its key comes from the system keyring and goes to that server alone, and over plain HTTP to this
machine alone.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import json
import math
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from training.core.prompts import Message
from training.core.validity import OFF, PROMPT_VERSION, REFERENCE, Decision, JudgeOptions, JudgeQuestion, Reply, Report
from training.errors import UserError
from training.evaluation.hint_labels import Agreement, labels_version
from training.model_names import locate_model
from training.resources import data_folder, resources_folder
from training.runs.files import expanded, explained, file_identity, read_text, write_whole

STARTER = "starter"
SERVICE = "seirenes"
"""The service in the system keyring."""
ATTEMPTS = 3
BACKOFF_S = 0.5
LONGEST_WAIT_S = 10.0
AT_ONCE = 8
"""Requests to a server at a time."""
GIVE_UP_AFTER = 8
"""Failures in a row after which the rest of a batch is not sent."""
MAX_REPLY_BYTES = 1 << 20
TOP_LOGPROBS = 20


class JudgeKind(StrEnum):
    """What runs a judge."""

    FOLDER = "folder"
    """A Hugging Face folder, by torch."""
    GGUF = "gguf"
    """Converted and run by torch."""
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class JudgeRef:
    """A judge that was found. `place` is a path, or the address of a server; `model` its model there."""

    kind: JudgeKind
    place: str
    model: str = ""

    @property
    def name(self) -> str:
        """Short, for a person."""
        if self.kind is JudgeKind.SERVER:
            return f"{self.model or 'model'} at {urlsplit(self.place).netloc}"
        return STARTER if Path(self.place) == resources_folder() / STARTER else Path(self.place).name

    @property
    def argument(self) -> str:
        """What `judge.model` is for it."""
        return f"{self.place}#{self.model}" if self.model else STARTER if self.name == STARTER else self.place

    @property
    def key(self) -> str:
        """Equal for equal weights: of files their place, size and time of change."""
        if self.kind is JudgeKind.SERVER:
            return f"{self.place}#{self.model}"
        path = Path(self.place)
        files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
        identity = [(file.name, *(file_identity(file) or ())[2:]) for file in files]
        return f"{path}@{hashlib.sha256(repr(identity).encode()).hexdigest()[:12]}"


def find_judge(name: str, start: str = STARTER) -> JudgeRef:
    """What `judge.model` means; `start` is the model that 'reference' stands for. A UserError for what is not there."""
    text = name.strip()
    if text == OFF:
        raise UserError("No judge is named. Name a model folder, a GGUF file, 'reference' or a server's address.")
    if text == REFERENCE:
        text = start
    if text.startswith(("http://", "https://")):
        return _server(text)
    if text == STARTER:
        return JudgeRef(JudgeKind.FOLDER, str(resources_folder() / STARTER))
    path = locate_model(text)
    if path.is_file() and path.suffix.lower() != ".gguf":
        raise UserError(f"{path} is no model that can judge. Name a model folder or a GGUF file.")
    return JudgeRef(JudgeKind.GGUF if path.is_file() else JudgeKind.FOLDER, str(path))


def _server(text: str) -> JudgeRef:
    address, _, model = text.partition("#")
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise UserError(f"{text!r} is not an address ({error}). Write it as http://host:port/v1#model.") from error
    if not parts.hostname:
        raise UserError(f"{text!r} names no host. Write it as http://host:port/v1#model.")
    if parts.username or parts.password:
        raise UserError("The address holds a key. Keep it in the system keyring: seirenes judge key ADDRESS")
    return JudgeRef(JudgeKind.SERVER, address.rstrip("/").removesuffix("/chat/completions"), model)


# ---------------------------------------------------------------------- keys of servers


def _entry(place: str) -> str:
    parts = urlsplit(place)
    return f"server:{parts.scheme}://{parts.netloc.casefold()}"


def server_key(place: str) -> str | None:
    """The key that the keyring has for a server; None without one, and without a keyring."""
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(SERVICE, _entry(place)) or None
    except (KeyringError, OSError, RuntimeError):  # no backend, a locked keyring, no session bus
        return None


def save_server_key(place: str, key: str) -> None:
    """Keep a key for a server in the keyring, or remove it where it is "". A UserError where that fails."""
    import keyring
    from keyring.errors import KeyringError

    if any(ch.isspace() or not ch.isprintable() for ch in key):
        raise UserError("This is no key: it holds a space, or a character that cannot be printed.")
    try:
        if key:
            keyring.set_password(SERVICE, _entry(place), key)
        elif server_key(place) is not None:
            keyring.delete_password(SERVICE, _entry(place))
    except (KeyringError, OSError, RuntimeError) as error:
        remedy = "Unlock or install a keyring."
        raise UserError(f"The system keyring did not take the key ({type(error).__name__}). {remedy}") from None


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.casefold() == "localhost"


# ---------------------------------------------------------------------- a server


class ServerProblem(StrEnum):
    """Why a server gave no reply."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    BUSY = "busy"
    """It asks to come back later, or has an error of its own."""
    REFUSED = "refused"
    """It does not take the request: another key, another model."""
    UNREADABLE = "unreadable"
    """What it sent is no reply of this API."""


class ServerError(UserError):
    """A request to a server failed. `again` says whether another attempt can help, `wait_s` when."""

    def __init__(self, problem: ServerProblem, text: str, *, again: bool = False, wait_s: float = 0.0) -> None:
        super().__init__(text)
        self.problem, self.again, self.wait_s = problem, again, wait_s


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key is for one server, so no answer may send it on."""

    def redirect_request(self, *_: Any) -> None:
        return None


_thread = threading.local()
"""The connection that a thread waits on, so that another one can end the wait."""


def _remembered(kind: type[http.client.HTTPConnection]) -> Any:
    def make(*given: Any, **named: Any) -> http.client.HTTPConnection:
        _thread.connection = kind(*given, **named)
        return cast(http.client.HTTPConnection, _thread.connection)

    return make


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_remembered(http.client.HTTPConnection), req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_remembered(http.client.HTTPSConnection), req)


@contextmanager
def _ended_after(seconds: float) -> Iterator[threading.Event]:
    """End the thread's connection after so long; the event is set then. A socket's own timeout begins again with every
    byte that comes."""
    late = threading.Event()
    _thread.connection = None
    place = _thread.__dict__

    def end() -> None:
        late.set()
        with suppress(OSError, AttributeError):
            place["connection"].sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


@dataclass(frozen=True, slots=True)
class Said:
    """One completion of a server. `first`: log-probabilities of the first token by text, None where it gives none."""

    text: str
    truncated: bool
    first: dict[str, float] | None = None


class Server:
    """An OpenAI-compatible server as judge and as solver. Safe to use from several threads."""

    def __init__(self, ref: JudgeRef, options: JudgeOptions, sleep: Callable[[float], object] = time.sleep) -> None:
        self.ref, self.options, self.key = ref, options, ref.key
        parts = urlsplit(ref.place)
        local = _is_this_machine(parts.hostname or "")
        self._secret = server_key(ref.place) if parts.scheme == "https" or local else None
        # The proxies of the environment are not for this machine itself.
        proxy = [urllib.request.ProxyHandler({})] if local else []
        self._open = urllib.request.build_opener(_NoRedirect, _Http, _Https, *proxy).open
        self._sleep = sleep
        self._logprobs = True

    def ask(self, questions: Sequence[JudgeQuestion], progress: Report, cancelled: Callable[[], bool]) -> list[Reply]:
        """See `JudgeModel.ask`."""
        found = self._map([q.messages() for q in questions], self.options.max_tokens, progress, cancelled)
        return [_reply(said) for said in found]

    def texts(
        self, chats: Sequence[list[Message]], samples: int, max_tokens: int, temperature: float, progress: Report,
        cancelled: Callable[[], bool], variables: Mapping[str, Any] | None = None,
    ) -> list[list[str]]:  # fmt: skip
        """`samples` completions for each chat; `variables` are for a template, and a server has its own. Raises the
        `ServerError` of one that failed."""
        asked = [chat for chat in chats for _ in range(samples)]
        found = self._map(asked, max_tokens, progress, cancelled, temperature)
        for said in found:
            if isinstance(said, ServerError):
                raise said
        whole = [said.text for said in found if isinstance(said, Said)]
        return [whole[i * samples : (i + 1) * samples] for i in range(len(chats))]

    def _map(
        self, chats: Sequence[list[Message]], max_tokens: int, progress: Report, cancelled: Callable[[], bool],
        temperature: float = 0.0,
    ) -> list[Said | ServerError]:  # fmt: skip
        """A completion of each, a few requests at a time. After many failures in a row the rest is not sent."""
        found: list[Said | ServerError] = [ServerError(ServerProblem.UNREACHABLE, "It was not asked.")] * len(chats)
        in_a_row = 0
        progress(0, len(chats))
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="judge")
        try:
            waiting, done = iter(enumerate(chats)), 0
            for part in _parts(waiting, AT_ONCE):
                if cancelled():
                    break
                tasks = {
                    pool.submit(self._try, chat, max_tokens, temperature, cancelled): place for place, chat in part
                }
                for task in as_completed(tasks):
                    said = found[tasks[task]] = task.result()
                    in_a_row = in_a_row + 1 if isinstance(said, ServerError) else 0
                    done += 1
                    progress(done, len(chats))
                if in_a_row >= GIVE_UP_AFTER:
                    last = next(s for s in reversed(found[:done]) if isinstance(s, ServerError))
                    found[done:] = [last] * (len(chats) - done)
                    break
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return found

    def _try(
        self, chat: list[Message], max_tokens: int, temperature: float, cancelled: Callable[[], bool]
    ) -> Said | ServerError:
        for attempt in range(ATTEMPTS):
            try:
                return self._complete(chat, max_tokens, temperature)
            except ServerError as error:
                if not error.again or attempt == ATTEMPTS - 1 or cancelled():
                    return error
                self._sleep(min(LONGEST_WAIT_S, max(error.wait_s, BACKOFF_S * 2**attempt)))
        raise AssertionError("unreachable")

    def _complete(self, chat: list[Message], max_tokens: int, temperature: float) -> Said:
        body: dict[str, Any] = {"messages": chat, "max_tokens": max_tokens, "temperature": temperature}
        if self.ref.model:
            body["model"] = self.ref.model
        # Not every server offers them; one that refuses is asked without from then on.
        with_logprobs = self._logprobs and temperature == 0.0
        if with_logprobs:
            try:
                return _read_completion(self._post({**body, "logprobs": True, "top_logprobs": TOP_LOGPROBS}))
            except ServerError as error:
                if error.problem is not ServerProblem.REFUSED:
                    raise
        said = _read_completion(self._post(body))
        if with_logprobs:
            self._logprobs = False
        return said

    def _post(self, body: dict[str, Any]) -> bytes:
        where = urlsplit(self.ref.place).netloc
        headers = {"Content-Type": "application/json", "User-Agent": "seirenes"}
        if self._secret is not None:
            headers["Authorization"] = f"Bearer {self._secret}"
        request = urllib.request.Request(
            f"{self.ref.place}/chat/completions", json.dumps(body).encode(), headers, method="POST"
        )
        deadline = time.monotonic() + self.options.timeout_s
        late = threading.Event()
        try:
            with (
                _ended_after(self.options.timeout_s) as late,
                self._open(request, timeout=self.options.timeout_s) as response,
            ):
                return _read_until(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise _explain(error, where) from None
        except TimeoutError:
            raise self._too_slow(where) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if late.is_set() or isinstance(reason, TimeoutError):
                raise self._too_slow(where) from None
            text = f"{where} did not answer ({_plain(reason)}). See whether the server runs."
            raise ServerError(ServerProblem.UNREACHABLE, text, again=True) from None

    def _too_slow(self, where: str) -> ServerError:
        text = f"{where} did not answer within {self.options.timeout_s:g} s. Allow more with judge.timeout_s."
        return ServerError(ServerProblem.TIMEOUT, text, again=True)


def _parts(items: Iterator[tuple[int, list[Message]]], size: int) -> Iterator[list[tuple[int, list[Message]]]]:
    while part := list(islice(items, size)):
        yield part


def _read_until(response: Any, deadline: float) -> bytes:
    """The body; a server that sends a byte now and then is cut off at the deadline, one that sends for ever by size."""
    whole = bytearray()
    while part := response.read1(65_536):
        whole += part
        if len(whole) > MAX_REPLY_BYTES:
            raise ServerError(ServerProblem.UNREADABLE, f"The server sent more than {MAX_REPLY_BYTES:,} bytes.")
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(whole)


def _explain(error: urllib.error.HTTPError, where: str) -> ServerError:
    code = error.code
    if code == 429 or code >= 500:
        wait = error.headers.get("Retry-After", "") if error.headers else ""
        wait_s = float(wait) if wait.isdigit() else 0.0
        text = f"{where} answered with code {code}: it is busy or has an error of its own."
        return ServerError(ServerProblem.BUSY, text, again=True, wait_s=wait_s)
    remedy = {
        401: "Save its key: seirenes judge key ADDRESS",
        403: "Its key may not do this.",
        404: "Check the address, which usually ends with /v1, and the model's name.",
    }.get(code, "Check the address and the model's name.")
    return ServerError(ServerProblem.REFUSED, f"{where} refused the request with code {code}. {remedy}")


def _plain(reason: object) -> str:
    return str(getattr(reason, "strerror", None) or reason)[:120] or type(reason).__name__


@dataclass(frozen=True, slots=True)
class _Top:
    token: str
    logprob: float


@dataclass(frozen=True, slots=True)
class _Token:
    top_logprobs: list[_Top] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Logprobs:
    content: list[_Token] | None = None


@dataclass(frozen=True, slots=True)
class _Turn:
    content: str | None = None


@dataclass(frozen=True, slots=True)
class _Choice:
    message: _Turn
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


@dataclass(frozen=True, slots=True)
class _Completion:
    choices: list[_Choice]


def _read_completion(body: bytes) -> Said:
    try:
        choice = msgspec.json.decode(body, type=_Completion).choices[0]
    except (msgspec.DecodeError, UnicodeError, RecursionError, IndexError):
        text = "The server's reply cannot be read as a chat completion. Check that the address ends with /v1."
        raise ServerError(ServerProblem.UNREADABLE, text) from None
    first = None
    if choice.logprobs is not None and choice.logprobs.content:
        tops = choice.logprobs.content[0].top_logprobs
        first = {top.token: top.logprob for top in tops if math.isfinite(top.logprob) and top.logprob <= 0.01} or None
    return Said(choice.message.content or "", choice.finish_reason == "length", first)


def _reply(said: Said | ServerError) -> Reply:
    if isinstance(said, ServerError):
        return Reply(problem=str(said))
    if said.first is None:
        return Reply(said.text)
    return Reply(said.text, _mass(said.first, "yes"), _mass(said.first, "no"))


def _mass(first: dict[str, float], word: str) -> float:
    """The probability of all spellings of a word."""
    return min(1.0, sum(math.exp(logprob) for token, logprob in first.items() if _word(token) == word))


def _word(token: str) -> str:
    return token.strip(" \t\n.,!*\"'").casefold()


# ---------------------------------------------------------------------- rulings that are kept


class RulingFile(MutableMapping[str, Decision]):
    """Rulings by their key, kept in a file of JSON lines that one process appends to. A line that cannot be read, as
    after a loss of power, is left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, Decision] = {}
        for line in read_text(path).splitlines() if path.is_file() else ():
            with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
                row = msgspec.json.decode(line.encode(), type=_RulingRow)
                self._kept[row.key] = row.decision

    def __getitem__(self, key: str) -> Decision:
        return self._kept[_short(key)]

    def __setitem__(self, key: str, decision: Decision) -> None:
        short = _short(key)
        self._kept[short] = decision
        with explained("Writing", self._path), self._path.open("ab") as file:
            file.write(msgspec.json.encode(_RulingRow(short, decision)) + b"\n")

    def __delitem__(self, key: str) -> None:
        raise NotImplementedError("rulings are kept")

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and _short(key) in self._kept


@dataclass(frozen=True, slots=True)
class _RulingRow:
    key: str
    decision: Decision


def _short(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


# ---------------------------------------------------------------------- what was measured


@dataclass(frozen=True, slots=True)
class JudgeMeasurement:
    """A judge's agreement with the labelled hints. It counts for the labels, the texts and the options that it was made
    with."""

    key: str
    name: str
    model: str
    """What `judge.model` is for it."""
    labels: str
    prompts: int
    votes: int
    confidence: float
    max_tokens: int
    agreement: Agreement
    measured_at: float
    """Seconds since 1970."""

    def fits(self, ref: JudgeRef, options: JudgeOptions) -> bool:
        """Whether it says something about this judge, asked with these options, today."""
        mine = (self.key, self.labels, self.prompts, self.votes, self.confidence, self.max_tokens)
        o = options
        return mine == (ref.key, labels_version(), PROMPT_VERSION, o.votes, o.confidence, o.max_tokens)


def measurements_file() -> Path:
    """Where measurements are kept."""
    return data_folder() / "judges.json"


def known_measurements() -> list[JudgeMeasurement]:
    """All that were kept, the newest last; none where the file cannot be read."""
    try:
        return msgspec.json.decode(expanded(measurements_file()).read_bytes(), type=list[JudgeMeasurement])
    except (OSError, msgspec.DecodeError, UnicodeError, RecursionError):
        return []


def find_measurement(ref: JudgeRef, options: JudgeOptions) -> JudgeMeasurement | None:
    """The newest measurement of this judge with these options; None where it is not measured."""
    return next((m for m in reversed(known_measurements()) if m.fits(ref, options)), None)


def keep_measurement(ref: JudgeRef, options: JudgeOptions, agreement: Agreement) -> JudgeMeasurement:
    """Keep it in place of an earlier one of the same judge and options. A UserError where it cannot be written."""
    made = JudgeMeasurement(
        ref.key, ref.name, ref.argument, labels_version(), PROMPT_VERSION, options.votes, options.confidence,
        options.max_tokens, agreement, time.time(),
    )  # fmt: skip
    path = measurements_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    others: Iterable[JudgeMeasurement] = (m for m in known_measurements() if not m.fits(ref, options))
    write_whole(path, msgspec.json.encode([*others, made]).decode())
    return made
