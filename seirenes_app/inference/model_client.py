"""One way to have chats completed, whatever runs the model: a worker of llama.cpp, or an endpoint.

A model is named as everywhere: 'starter', a GGUF file, a Hugging Face folder or hub id, a run's checkpoint (RUN@STEP
or its folder), 'endpoint:NAME' or an address. Folders are converted to GGUF once and kept. Everything here blocks: call
it off the window's thread.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol, Self

from seirenes_app.inference.client import Samples, WorkerClient
from seirenes_app.inference.model_export import run_export
from seirenes_app.inference.models import bundled_model, describe_gguf, is_compact
from seirenes_app.inference.protocol import (
    SMALL_PARAMS,
    BatchRequest,
    Event,
    Finish,
    LoraRequest,
    Message,
    ModelFacts,
    Progress,
    Ready,
    SampleRequest,
)
from seirenes_app.store.resources import recorded_run
from training.chat_api import ChatReply, ChatRequest, EndpointError, EndpointProblem
from training.chat_api import Finish as ReplyFinish
from training.core.prompts import Message as Turn
from training.core.prompts import ModelKind, PromptProfile, Sampling
from training.endpoints import Budget, Capability, Endpoint, EndpointSession, Meter, find_endpoint, names_endpoint
from training.errors import UserError
from training.evaluation.eval_dir import fingerprint
from training.evaluation.plan import SpendLimits, seed_of
from training.model_names import describe_path, locate_model
from training.prompt_files import COMPACT, NEUTRAL, built_in, profile_for_folder
from training.resources import data_folder
from training.runs.files import expanded, explained, user_path
from training.runs.paths import RunPaths, default_runs_root, not_fetched

STARTER = "starter"
RECORDED = "recorded"
KEPT_BYTES = 20 << 30
"""Converted models that are kept: beyond this the ones that were not used for longest are removed."""
_POLL_S = 0.2
_MAX_WORKERS = 8
_CHECKPOINT = re.compile(r"(?P<run>.+)@(?P<step>\d+)")


class Cancelled(Exception):
    """The user cancelled."""


@dataclass(frozen=True, slots=True)
class CompletionSpec:
    """How chats are completed: `samples` of each, of at most `max_tokens` tokens. `temperature` 0 is greedy.

    A sample's random numbers are those of `seed`, its chat and its number; an endpoint that takes no seed has its own.
    `exact`: a model file completes one chat at a time, so that no completion depends on rounding beside others; how an
    endpoint computes is the server's business. `sampling` acts beside the temperature; its own temperature is not read.
    `variables` go to the chat template.
    """

    samples: int = 1
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    sampling: Sampling = Sampling()
    variables: Mapping[str, Any] = field(default_factory=dict)
    logprobs: bool = False
    """Whether `Completion.logprob_mean` is wanted."""
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion. `finish` is STOP or LENGTH; TOO_LONG for a prompt that does not fit, which has no text; FILTERED
    where a server's content filter withheld it.

    `reasoning` is what a server gives apart from the text; a reasoning block inside the text stays there.
    """

    text: str
    finish: Finish
    tokens: int
    reasoning: str = ""
    logprob_mean: float | None = None

    @property
    def whole_text(self) -> str:
        """The text with its reasoning before it, as a model of this machine writes it; one that was cut off within its
        reasoning has an open block."""
        marked = "<think>" in self.reasoning or "</think>" in self.reasoning
        if not self.reasoning or marked:
            return self.text
        closed = "" if self.truncated and not self.text else "\n</think>\n\n"
        return f"<think>\n{self.reasoning}{closed}{self.text}"

    @property
    def truncated(self) -> bool:
        return self.finish is Finish.LENGTH


@dataclass(frozen=True, slots=True)
class CompletionError:
    """A completion that an endpoint did not give. It is neither right nor wrong. `message` is for a person."""

    message: str
    problem: str
    again: bool = False
    """Whether another attempt can help."""
    lasting: bool = False
    """Whether the next ones of this model will fail as well."""


CompletionProgress = Callable[[int, int, int], object]
"""Completions that are done, and wanted; and their tokens, of unfinished ones too where they are known."""


class ModelClient(Protocol):
    """A model that completes chats. A context, which frees it. One thread at a time."""

    @property
    def name(self) -> str:
        """Short, for a person."""

    @property
    def argument(self) -> str:
        """What `open_model` takes for it."""

    @property
    def is_remote(self) -> bool:
        """Whether chats leave this machine or cost money."""

    @property
    def meter(self) -> Meter | None:
        """What was spent at an endpoint, None for a local model."""

    def complete(
        self,
        chats: Sequence[Sequence[Turn]],
        spec: CompletionSpec,
        progress: CompletionProgress = lambda _done, _total, _tokens: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[list[Completion | CompletionError]]:
        """`spec.samples` completions of each chat, in their order. Raises `Cancelled`, and a UserError where the whole
        model fails: what a single request meets comes in its place."""

    def close(self) -> None:
        """Free the model. Again: nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


# ---------------------------------------------------------------------- a model file


class WorkerModel:
    """A GGUF in workers of llama.cpp. A small model gains nothing from threads that share each of its many little
    matrix products: it gets a worker of one thread for each, and each takes a part of the chats."""

    is_remote = False
    meter = None

    def __init__(self, path: Path, *, name: str = "", argument: str = "", threads: int = 0) -> None:
        self.name, self.argument = name or describe_path(path), argument or str(path)
        self._clients: list[WorkerClient] = []
        try:
            self.facts = self._load(1, path, threads)
            self.threads = self.facts.threads
            if self.threads > 1 and self.facts.n_params < SMALL_PARAMS:
                self._load(min(self.threads, _MAX_WORKERS), path, 1)
        except BaseException:
            self.close()
            raise

    def _load(self, workers: int, path: Path, threads: int) -> ModelFacts:
        while len(self._clients) < workers:
            self._clients.append(WorkerClient())
        loads = [client.load(path, threads=threads) for client in self._clients]
        ready = [load.result() for load in loads]
        assert isinstance(ready[0], Ready)
        return ready[0].facts

    def complete(
        self,
        chats: Sequence[Sequence[Turn]],
        spec: CompletionSpec,
        progress: CompletionProgress = lambda _done, _total, _tokens: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[list[Completion | CompletionError]]:
        """See `ModelClient.complete`. One batch a worker, from an empty cache: the completions are the same whatever
        was asked before."""
        if not chats:
            return []
        for cleared in [client.send(LoraRequest()) for client in self._clients]:
            cleared.result()
        requests = [_request(chat, spec, place) for place, chat in enumerate(chats)]
        bounds = [len(chats) * part // len(self._clients) for part in range(len(self._clients) + 1)]
        batches = [
            _Batch(client, requests[start:stop], spec.exact)
            for client, start, stop in zip(self._clients, bounds, bounds[1:], strict=False)
            if start < stop
        ]
        try:
            over = False
            while not over:
                if cancelled():
                    raise Cancelled
                done, tokens = sum(batch.samples for batch in batches), sum(batch.tokens for batch in batches)
                progress(done, len(chats) * spec.samples, tokens)
                over = all(batch.finished() for batch in batches)
            found = [completion for batch in batches for completion in batch.completions(spec)]
        finally:
            for batch in batches:
                batch.pending.cancel()
        return [found[start : start + spec.samples] for start in range(0, len(found), spec.samples)]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._clients = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Batch:
    """What one worker was asked, and how far it is; its events come on the client's thread."""

    def __init__(self, client: WorkerClient, requests: Sequence[SampleRequest], exact: bool) -> None:
        self.samples = self.tokens = 0
        self.pending = client.send(BatchRequest(requests=tuple(requests), exact=exact), self._take)

    def _take(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.samples, self.tokens = event.samples, event.tokens

    def finished(self) -> bool:
        """Wait for it, not for long."""
        with suppress(TimeoutError):
            self.pending.result(_POLL_S)
        return self.pending.finished

    def completions(self, spec: CompletionSpec) -> list[Completion | CompletionError]:
        found = self.pending.result()
        assert isinstance(found, Samples)
        return [
            Completion(s.text, s.finish, s.tokens, logprob_mean=s.logprob_mean if spec.logprobs and s.tokens else None)
            for s in found.samples
        ]


def _request(chat: Sequence[Turn], spec: CompletionSpec, place: int) -> SampleRequest:
    return SampleRequest(
        messages=tuple(Message(turn["role"], turn["content"]) for turn in chat), n=spec.samples,
        max_tokens=spec.max_tokens, temperature=spec.temperature, seed=seed_of(spec.seed, place),
        top_p=spec.sampling.top_p, top_k=spec.sampling.top_k, min_p=spec.sampling.min_p,
        repetition_penalty=spec.sampling.repetition_penalty, stop=spec.sampling.stop, logprobs=spec.logprobs,
        template_variables=dict(spec.variables),
    )  # fmt: skip


# ---------------------------------------------------------------------- an endpoint


class EndpointModel:
    """A model at an endpoint. What was asked before comes from the store of replies, and costs nothing."""

    is_remote = True

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        budget: Budget | None = None,
        account: str = "",
        on_meter: Callable[[Meter], None] | None = None,
    ) -> None:
        self.endpoint, self.name, self.argument = endpoint, endpoint.title, endpoint.argument
        self.session = EndpointSession(endpoint, budget=budget, account=account, on_meter=on_meter)

    @property
    def meter(self) -> Meter:
        return self.session.meter

    def complete(
        self,
        chats: Sequence[Sequence[Turn]],
        spec: CompletionSpec,
        progress: CompletionProgress = lambda _done, _total, _tokens: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[list[Completion | CompletionError]]:
        """See `ModelClient.complete`."""
        requests = chat_requests(chats, spec)
        before = self.session.meter.completion_tokens

        def report(done: float, total: int) -> None:
            progress(int(done), total, self.session.meter.completion_tokens - before)

        found = [completion_of(reply) for reply in self.session.complete(requests, report, cancelled)]
        if cancelled() and any(isinstance(one, CompletionError) for one in found):
            raise Cancelled
        return [found[start : start + spec.samples] for start in range(0, len(found), spec.samples)]

    def close(self) -> None:
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def budget_for(endpoint: Endpoint, limits: SpendLimits) -> Budget:
    """Limits of some work as a session's budget. A server of this machine that has no price costs nothing."""
    money = None if endpoint.price is None and endpoint.is_local else limits.money
    return Budget(limits.requests, limits.tokens, money)


def chat_requests(chats: Sequence[Sequence[Turn]], spec: CompletionSpec) -> list[ChatRequest]:
    """The requests of `spec.samples` completions of each chat. What decides one is its chat and its number, not its
    place among others: a reply that is in the store is found whatever else is asked. Greedy ones are all the same."""
    extra: dict[str, Any] = {
        name: getattr(spec.sampling, name)
        for name in ("top_k", "min_p", "repetition_penalty")
        if getattr(spec.sampling, name) != getattr(Sampling(), name)
    }
    if spec.variables:
        extra["chat_template_kwargs"] = dict(spec.variables)
    seen: Counter[str] = Counter()
    requests = []
    for chat in chats:
        text = json.dumps([dict(turn) for turn in chat])
        for _ in range(spec.samples):
            number = seen[text]
            seen[text] += 1
            # Not every server takes a seed: the number of the sample keeps its draws apart.
            drawn = seed_of(spec.seed, text, number) % 2**31 if spec.temperature else None
            requests.append(
                ChatRequest(
                    list(chat), spec.max_tokens, spec.temperature, spec.sampling.top_p, drawn, spec.sampling.stop,
                    drawn or 0, spec.logprobs, extra=extra,
                )
            )  # fmt: skip
    return requests


def completion_of(found: ChatReply | EndpointError) -> Completion | CompletionError:
    """An endpoint's reply, or why there is none."""
    if isinstance(found, EndpointError):
        if found.problem is EndpointProblem.TOO_LONG:
            return Completion("", Finish.TOO_LONG, 0)
        lasting = found.for_all or found.problem is EndpointProblem.BUDGET
        return CompletionError(str(found), found.problem, found.again, lasting)
    finish = _FINISHES[found.finish]
    mean = fmean(token.logprob for token in found.logprobs) if found.logprobs else None
    return Completion(found.text, finish, found.completion_tokens, found.reasoning, mean)


_FINISHES = {
    ReplyFinish.STOP: Finish.STOP, ReplyFinish.LENGTH: Finish.LENGTH, ReplyFinish.CONTENT_FILTER: Finish.FILTERED,
}  # fmt: skip


# ---------------------------------------------------------------------- by name


@dataclass(frozen=True, slots=True)
class OpenProgress:
    """What opening a model does now. `share` is 0 to 1; None where it is not known."""

    doing: str
    share: float | None = None


def open_model(
    argument: str,
    *,
    budget: Budget | None = None,
    account: str = "",
    threads: int = 0,
    progress: Callable[[OpenProgress], object] = lambda _progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> ModelClient:
    """The model of that name, loaded. `threads` 0: the usual number. Raises a UserError, and `Cancelled` during a
    conversion.

    `budget` is for an endpoint; with an `account`, the name of some work, what that work spent there before counts.
    """
    if names_endpoint(argument):
        return EndpointModel(find_endpoint(argument), budget=budget, account=account)
    path = locate_files(argument)
    file = gguf_of(path, progress, cancelled)
    progress(OpenProgress(f"Loading {describe_path(path)}"))
    return WorkerModel(file, name=name_of(argument), argument=argument, threads=threads)


def name_of(argument: str) -> str:
    """What a model is called in tables: short, for a person."""
    if names_endpoint(argument):
        return find_endpoint(argument).title
    if argument.strip() in ("", STARTER) or _checkpoint(argument) is not None:
        return argument.strip() or STARTER
    return describe_path(locate_files(argument))


def locate_files(argument: str) -> Path:
    """The GGUF file or the model folder that a local model's name means. A UserError where it is not there."""
    text = argument.strip()
    if text in ("", STARTER):
        return bundled_model()
    return _checkpoint(text) or locate_model(text)


def _checkpoint(name: str) -> Path | None:
    """The folder of a run's checkpoint by RUN@STEP, with RUN 'recorded', a run's id or its folder; None for another
    name."""
    found = _CHECKPOINT.fullmatch(name.strip())
    if found is None or expanded(name.strip()).exists():
        return None
    for root in (expanded(found["run"]), default_runs_root() / found["run"], recorded_run()):
        if root == recorded_run() and found["run"] != RECORDED:
            continue
        folder = RunPaths(root).checkpoints / f"step_{int(found['step']):06d}"
        if folder.is_dir():
            return folder.resolve()
        if RunPaths(root).checkpoints.is_dir():
            if RunPaths(root).cluster.is_file():
                raise UserError(not_fetched(RunPaths(root), "checkpoints"))
            there = sorted(int(f.name.removeprefix("step_")) for f in RunPaths(root).checkpoints.glob("step_*"))
            listed = ", ".join(map(str, there)) or "none"
            raise UserError(f"{root.name} has no checkpoint of step {int(found['step'])}. It has those of: {listed}.")
    return None


def prompt_profile_of(argument: str) -> PromptProfile:
    """The prompt profile that fits a model by itself."""
    if names_endpoint(argument):
        return built_in(NEUTRAL)
    path = locate_files(argument)
    if path.is_dir():
        return profile_for_folder(path)
    facts = describe_gguf(path)
    return built_in(COMPACT if is_compact(facts.n_vocab, facts.n_params) else NEUTRAL)


def endpoint_kind(argument: str) -> ModelKind:
    """What sort of model an endpoint has, for token limits: one that reasons where a probe has seen it."""
    known = find_endpoint(argument).capabilities
    reasons = known is not None and known.reasoning_content is Capability.YES
    return ModelKind.REASONING if reasons else ModelKind.INSTRUCT


def fingerprint_of(argument: str) -> str:
    """Proves that a model is still the same one: of an endpoint its address and model."""
    if names_endpoint(argument):
        return hashlib.sha256(find_endpoint(argument).key.encode()).hexdigest()[:16]
    return fingerprint(locate_files(argument))


# ---------------------------------------------------------------------- folders as GGUF


def converted_folder() -> Path:
    """Where GGUF files of model folders are kept."""
    return data_folder() / "converted"


def gguf_of(
    path: Path,
    progress: Callable[[OpenProgress], object] = lambda _progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """The GGUF of a model file or folder. A folder's is made once, in 16 bits, and found again by its fingerprint.

    Raises a UserError for what is no model, and `Cancelled`: then nothing half written is left.
    """
    path = user_path(path)
    if not path.is_dir():
        describe_gguf(path)
        return path
    kept = converted_folder()
    file = kept / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', describe_path(path))[:60]}-{fingerprint(path)}.gguf"
    if file.is_file():
        with suppress(OSError):
            file.touch()
        return file
    with explained("Making the folder", kept):
        kept.mkdir(parents=True, exist_ok=True)
    doing = f"Converting {describe_path(path)} to GGUF"
    progress(OpenProgress(doing))

    def report(done: int, total: int) -> None:
        progress(OpenProgress(doing, done / total if total else None))

    done = run_export(["--model", str(path)], "gguf", out=file, force=True, progress=report, cancelled=cancelled)
    if done is None:
        raise Cancelled
    _drop_old(kept, file)
    return file


def _drop_old(kept: Path, newest: Path) -> None:
    """Remove converted models beyond `KEPT_BYTES`, those first that were not used for longest."""
    with suppress(OSError):
        files = sorted(kept.glob("*.gguf"), key=lambda f: (f == newest, f.stat().st_mtime), reverse=True)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > KEPT_BYTES and file != newest:
                with suppress(OSError):  # open in another process, on Windows
                    file.unlink()
