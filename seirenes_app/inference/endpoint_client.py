"""Requests to an endpoint with the events of a worker: text while it is written, samples as they are complete.

For jobs that show text (Craft). What only needs completions asks through `model_client`, which has the same replies.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from msgspec import structs

from seirenes_app.inference.client import OnEvent, Pending
from seirenes_app.inference.model_client import Completion, CompletionSpec, chat_requests, completion_of
from seirenes_app.inference.protocol import Chunk, Done, Error, ErrorKind, SampleDone, SampleRequest, WorkRequest
from training.core.prompts import Message as Turn
from training.core.prompts import Sampling
from training.endpoints import (
    Budget,
    Capability,
    ChatReply,
    ChatRequest,
    Endpoint,
    EndpointError,
    EndpointProblem,
    EndpointSession,
    Meter,
    usual_tokens,
)
from training.errors import UserError

_log = logging.getLogger(__name__)
NO_SCORES = "The Solver is an endpoint, and a given solution can be scored with a GGUF file alone."
SCORE_REMEDY = "Choose one as the Solver."


class EndpointClient:
    """One endpoint, with `send` as a `WorkerClient` has it. Each request runs in threads of its own, as many as the
    endpoint takes at a time. A context, which closes it. `budget` and `account` are those of an `EndpointSession`."""

    def __init__(self, endpoint: Endpoint, budget: Budget | None = None, account: str = "") -> None:
        self.endpoint = endpoint
        self._session = EndpointSession(endpoint, budget=budget, account=account)
        self._ids = itertools.count(1)
        self._closed = False

    @property
    def meter(self) -> Meter:
        """What was spent so far."""
        return self._session.meter

    def send(self, request: WorkRequest, on_event: OnEvent | None = None) -> Pending:
        """Ask for samples of messages; their events come on other threads. Anything else fails."""
        pending = Pending(structs.replace(request, id=next(self._ids)), on_event, _cancel)
        work = self._sample if isinstance(request, SampleRequest) and request.messages else self._refuse
        threading.Thread(target=work, args=(pending,), name="endpoint-request", daemon=True).start()
        return pending

    def close(self) -> None:
        """End what is on its way. Again: nothing."""
        if not self._closed:
            self._closed = True
            self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refuse(self, pending: Pending) -> None:
        pending.deliver(
            Error(id=pending.id, kind=ErrorKind.BAD_REQUEST, message=NO_SCORES, remedy=SCORE_REMEDY)
        )  # fmt: skip

    def _sample(self, pending: Pending) -> None:
        request = pending.request
        assert isinstance(request, SampleRequest)
        sampling = _Samples(self._session, pending, requests_of(request), lambda: self._closed)
        try:
            sampling.run(min(request.n, self.endpoint.concurrency))
        except Exception as error:  # noqa: BLE001 - a thread's edge: a bug must not leave the job waiting
            _log.exception("asking an endpoint failed")
            sampling.failures.append(UserError(f"Internal error ({error}). The log has the details."))
        if sampling.failures and not pending.cancelled:
            pending.deliver(Error(id=pending.id, kind=ErrorKind.FAILED, message=str(sampling.failures[0])))
            return
        spent = self.meter
        pending.deliver(
            Done(
                id=pending.id, prompt_tokens=spent.prompt_tokens, cached_tokens=0,
                generated_tokens=spent.completion_tokens, prompt_s=0.0, seconds=spent.seconds,
            )
        )  # fmt: skip


class _Samples:
    """The samples of one request, asked by several threads; after a failure the rest is not asked."""

    def __init__(
        self, session: EndpointSession, pending: Pending, asked: Sequence[ChatRequest], is_closed: Callable[[], bool]
    ) -> None:
        self._session, self._pending, self._is_closed = session, pending, is_closed
        self._todo = iter(enumerate(asked))
        self._lock = threading.Lock()
        self.failures: list[UserError] = []

    def run(self, at_once: int) -> None:
        with ThreadPoolExecutor(at_once, thread_name_prefix="endpoint-sample") as pool:
            for task in [pool.submit(self._work) for _ in range(at_once)]:
                task.result()

    def _is_over(self) -> bool:
        return self._pending.cancelled or bool(self.failures) or self._is_closed()

    def _deliver(self, event: Chunk | SampleDone) -> None:
        # A `Pending` takes its events from one thread at a time.
        with self._lock:
            self._pending.deliver(event)

    def _next(self) -> tuple[int, ChatRequest] | None:
        with self._lock:
            return next(self._todo, None)

    def _work(self) -> None:
        while not self._is_over() and (place := self._next()) is not None:
            try:
                self._ask(*place)
            except EndpointError as error:
                if error.problem is not EndpointProblem.CANCELLED:
                    self.failures.append(error)
            except UserError as error:  # a full disk, or a session that was closed
                self.failures.append(error)

    def _ask(self, index: int, request: ChatRequest) -> None:
        id_, tokens = self._pending.id, 0

        def show(part: str) -> None:
            nonlocal tokens
            tokens += usual_tokens(part)
            self._deliver(Chunk(id=id_, index=index, text=part, tokens=tokens))

        known = self._session.endpoint.capabilities
        if known is not None and known.streaming is Capability.NO:
            (reply,) = self._session.complete([request], cancelled=self._is_over)
            if isinstance(reply, EndpointError):
                raise reply
        else:
            reply = self._session.stream(request, show, self._is_over)
        self._deliver(_done(id_, index, reply))


def _cancel(pending: Pending) -> None:
    pending.cancelled = True


def requests_of(request: SampleRequest) -> list[ChatRequest]:
    """The same requests as `model_client` makes of this chat: what one of them paid for, the other finds."""
    chat: list[Turn] = [{"role": m.role, "content": m.content} for m in request.messages]
    sampling = Sampling(
        top_p=request.top_p, top_k=request.top_k, min_p=request.min_p, repetition_penalty=request.repetition_penalty,
        stop=request.stop,
    )  # fmt: skip
    spec = CompletionSpec(
        request.n, request.max_tokens, request.temperature, request.seed, sampling, request.template_variables,
        request.logprobs,
    )  # fmt: skip
    return chat_requests([chat], spec)


def _done(id_: int, index: int, reply: ChatReply) -> SampleDone:
    found = completion_of(reply)
    assert isinstance(found, Completion)
    logprobs = tuple(token.logprob for token in reply.logprobs) if reply.logprobs is not None else None
    total = sum(logprobs) if logprobs else 0.0
    return SampleDone(
        id=id_, index=index, text=found.whole_text, tokens=found.tokens, logprob_sum=total,
        logprob_mean=total / len(logprobs) if logprobs else 0.0, finish=found.finish, logprobs=logprobs,
    )  # fmt: skip
