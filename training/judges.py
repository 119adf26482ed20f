"""Judges by name: what `judge.model` means, endpoints as judges, and what was measured about each. No torch.

A judge is asked through `training.core.validity`; the local ones are in `training.local_judge`, endpoints are asked
through `training.endpoints`.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from training.core.prompts import Message
from training.core.validity import OFF, PROMPT_VERSION, REFERENCE, Decision, JudgeOptions, JudgeQuestion, Reply, Report
from training.endpoints import ENDPOINT, ChatRequest, EndpointError, EndpointSession, find_endpoint, names_endpoint
from training.errors import UserError
from training.evaluation.hint_labels import Agreement, labels_version
from training.model_names import locate_model
from training.resources import data_folder, resources_folder
from training.runs.files import expanded, explained, file_identity, read_text, write_whole

STARTER = "starter"
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
    """A judge that was found. `place` is a path, or the address of a server; `model` its model there, `endpoint` the
    name that it is saved under."""

    kind: JudgeKind
    place: str
    model: str = ""
    endpoint: str = ""

    @property
    def name(self) -> str:
        """Short, for a person."""
        if self.kind is JudgeKind.SERVER:
            return f"{self.model or 'model'} at {urlsplit(self.place).netloc}"
        return STARTER if Path(self.place) == resources_folder() / STARTER else Path(self.place).name

    @property
    def argument(self) -> str:
        """What `judge.model` is for it."""
        if self.endpoint:
            return f"{ENDPOINT}{self.endpoint}"
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
        raise UserError("No judge is named. Name a model folder, a GGUF file, 'reference' or an endpoint.")
    if text == REFERENCE:
        text = start
    if names_endpoint(text):
        found = find_endpoint(text)
        return JudgeRef(JudgeKind.SERVER, found.base_url, found.model, found.name)
    if text == STARTER:
        return JudgeRef(JudgeKind.FOLDER, str(resources_folder() / STARTER))
    path = locate_model(text)
    if path.is_file() and path.suffix.lower() != ".gguf":
        raise UserError(f"{path} is no model that can judge. Name a model folder or a GGUF file.")
    return JudgeRef(JudgeKind.GGUF if path.is_file() else JudgeKind.FOLDER, str(path))


# ---------------------------------------------------------------------- an endpoint


class EndpointJudge:
    """An endpoint as judge and as solver. Used from one thread; a session is open from the first question on."""

    def __init__(self, ref: JudgeRef, options: JudgeOptions) -> None:
        self.options, self.key = options, ref.key
        self._endpoint = replace(find_endpoint(ref.argument), timeout_s=options.timeout_s)
        self._session: EndpointSession | None = None

    def ask(self, questions: Sequence[JudgeQuestion], progress: Report, cancelled: Callable[[], bool]) -> list[Reply]:
        """See `JudgeModel.ask`."""
        if self._session is None:
            # Rulings are kept by whoever asks, and a measurement takes the time that replies take.
            self._session = EndpointSession(self._endpoint, fresh=True)
        requests = [
            ChatRequest(q.messages(), self.options.max_tokens, logprobs=True, top_logprobs=TOP_LOGPROBS)
            for q in questions
        ]
        found = self._session.complete(requests, lambda done, total: progress(int(done), total), cancelled)
        return [
            Reply(problem=str(said)) if isinstance(said, EndpointError) else _reply(said.text, said.first_logprobs)
            for said in found
        ]

    def texts(
        self, chats: Sequence[list[Message]], samples: int, max_tokens: int, temperature: float, progress: Report,
        cancelled: Callable[[], bool], variables: Mapping[str, Any] | None = None,
    ) -> list[list[str]]:  # fmt: skip
        """`samples` completions for each chat; `variables` are for a template, and a server has its own. Raises the
        `EndpointError` of one that failed."""
        requests = [ChatRequest(chat, max_tokens, temperature, sample=i) for chat in chats for i in range(samples)]
        with EndpointSession(self._endpoint) as session:
            found = session.complete(requests, lambda done, total: progress(int(done), total), cancelled)
        texts = []
        for said in found:
            if isinstance(said, EndpointError):
                raise said
            texts.append(said.text)
        return [texts[i * samples : (i + 1) * samples] for i in range(len(chats))]


def _reply(text: str, first: dict[str, float] | None) -> Reply:
    if not first:
        return Reply(text)
    return Reply(text, _mass(first, "yes"), _mass(first, "no"))


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
