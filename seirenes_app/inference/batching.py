"""Many completions of one prompt, decoded together: one row a sequence and step.

The prompt is decoded once in sequence 0 and shared. A request for more samples than there are seats, or than the cache
has cells for, fills the seats first; whoever finishes gives up seat and cells to the next. Text goes out in chunks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from seirenes_app.inference.detokenizer import Detokenizer
from seirenes_app.inference.errors import Aborted, EngineError
from seirenes_app.inference.protocol import Chunk, Done, ErrorKind, Event, Finish, SampleDone, SampleRequest
from seirenes_app.inference.sampling import BadLogits, FloatArray, Taste, draw, stream_of
from seirenes_app.inference.session import Session

CHUNK_S = 0.03

Emit = Callable[[list[Event]], None]


def sample(session: Session, request: SampleRequest, emit: Emit) -> None:
    """Answer a sample request with `Chunk`, `SampleDone` and `Done` events. Raises an `EngineError`."""
    prompt = session.prompt_tokens(request)
    session.demand_room(len(prompt), 1, "The prompt")
    _Sampler(session, request, prompt, emit).run()


@dataclass(slots=True)
class _Row:
    """One sample at work."""

    index: int
    seat: int
    stream: Detokenizer
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class _Chunks:
    """Events on their way out: text is gathered for `CHUNK_S`, the first of it goes at once."""

    def __init__(self, request_id: int, emit: Emit) -> None:
        self._id, self._emit = request_id, emit
        self._texts: dict[int, list[str]] = {}
        self._ready: list[Event] = []
        self._last = 0.0

    def text(self, index: int, text: str) -> None:
        """More text of a sample."""
        if text:
            self._texts.setdefault(index, []).append(text)

    def done(self, event: SampleDone) -> None:
        """A sample's end, after its text."""
        self._move(event.index)
        self._ready.append(event)

    def flush(self, *, now: bool = False) -> None:
        """Send what has gathered, if it is time."""
        if not (self._texts or self._ready) or not (now or time.monotonic() - self._last >= CHUNK_S):
            return
        for index in list(self._texts):
            self._move(index)
        self._emit(self._ready)
        self._ready, self._last = [], time.monotonic()

    def _move(self, index: int) -> None:
        parts = self._texts.pop(index, None)
        if parts:
            self._ready.append(Chunk(index, "".join(parts), self._id))


class _Sampler:
    """One request's state. `limit` is the most tokens that a sample may have."""

    def __init__(self, session: Session, request: SampleRequest, prompt: list[int], emit: Emit) -> None:
        self._session, self._model, self._request, self._prompt = session, session.model, request, prompt
        self._limit = min(request.max_tokens, session.n_ctx - len(prompt))
        room = (session.n_cells - len(prompt)) // self._limit
        self._free = deque(range(1, 1 + max(1, min(session.max_rows, room, request.n))))
        self._uniforms = np.zeros((1 + len(self._free), self._limit))
        self._waiting = deque(range(request.n))
        self._rows: list[_Row] = []
        self._ends = frozenset(self._model.end_ids.tolist())
        self._taste = Taste(
            request.temperature, request.top_p, self._model.end_ids if request.ignore_end and self._ends else None
        )
        self._chunks, self._emit = _Chunks(request.id, emit), emit
        self._drawn = 0

    def run(self) -> None:
        """To the end, or to the cancel flag."""
        started = time.perf_counter()
        kept, prompt_s, cancelled = 0, 0.0, False
        try:
            kept = self._session.prefill(self._prompt, len(self._prompt) - 1)
            first = self._session.extend_with_logits(self._prompt[-1:]).copy()
            prompt_s = time.perf_counter() - started
            while self._waiting or self._rows:
                if self._session.cancel:
                    raise Aborted
                self._seat(first)
                self._step()
                self._chunks.flush()
        except Aborted:
            cancelled = True
            self._cancel()
        except BadLogits:
            raise EngineError(
                ErrorKind.FAILED, "The model gives numbers that are no probabilities (NaN).",
                "The file or its adapter is probably damaged; choose another.",
            ) from None  # fmt: skip
        finally:
            for row in self._rows:
                self._model.drop(row.seat)
        self._chunks.flush(now=True)
        seconds = time.perf_counter() - started
        self._emit([Done(len(self._prompt), kept, self._drawn, prompt_s, seconds, cancelled, self._request.id)])

    def _seat(self, first: FloatArray) -> None:
        """Give free seats to waiting samples and draw their first tokens from the prompt's logits."""
        while self._waiting and self._free:
            rows = []
            while self._waiting and self._free:
                rows.append(self._start(self._waiting.popleft(), self._free.popleft()))
            self._rows += rows
            self._take(rows, np.broadcast_to(first, (len(rows), first.shape[1])))

    def _start(self, index: int, seat: int) -> _Row:
        self._model.copy_seq(0, seat)
        self._uniforms[seat] = stream_of(self._request.seed, index).random(self._limit)
        return _Row(index, seat, Detokenizer(self._request.stop))

    def _step(self) -> None:
        """One more token for every row."""
        rows = self._rows
        if not rows:
            return
        n, before = len(rows), len(self._prompt) - 1
        self._model.decode(
            [r.tokens[-1] for r in rows], [before + len(r.tokens) for r in rows], [r.seat for r in rows], [True] * n
        )
        self._take(rows, self._model.logits(0, n))

    def _take(self, rows: list[_Row], logits_RV: FloatArray) -> None:
        """Draw a token for each of `rows`, and take those that end out of the batch."""
        drawn = draw(logits_RV, self._taste, self._random(rows))
        self._drawn += len(rows)
        ended = False
        for row, token, logprob in zip(rows, drawn.tokens.tolist(), drawn.logprobs.tolist(), strict=True):
            finish = self._grow(row, token, logprob)
            if finish is not None:
                self._end(row, finish)
                ended = True
        if ended:
            self._rows = [r for r in self._rows if r.seat]

    def _random(self, rows: list[_Row]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._uniforms[[r.seat for r in rows], [len(r.tokens) for r in rows]]
        return found

    def _grow(self, row: _Row, token: int, logprob: float) -> Finish | None:
        if token in self._ends:
            return Finish.STOP
        row.tokens.append(token)
        row.logprobs.append(logprob)
        self._chunks.text(row.index, row.stream.feed(self._model.piece(token, special=False)))
        if row.stream.stopped:
            return Finish.STOP
        return Finish.LENGTH if len(row.tokens) >= self._limit else None

    def _end(self, row: _Row, finish: Finish) -> None:
        """Report a row and free its cells; its seat becomes 0, which no row has."""
        self._chunks.text(row.index, row.stream.finish())
        self._chunks.done(self._report(row, finish))
        self._model.drop(row.seat)
        self._free.append(row.seat)
        row.seat = 0

    def _report(self, row: _Row, finish: Finish) -> SampleDone:
        # A forbidden top or a hopeless tail may be minus infinity, which JSON cannot say.
        logprobs = tuple(max(value, -1e9) for value in row.logprobs)
        total = sum(logprobs)
        return SampleDone(
            index=row.index,
            text=row.stream.text,
            tokens=len(logprobs),
            logprob_sum=total,
            logprob_mean=total / max(1, len(logprobs)),
            finish=finish,
            logprobs=logprobs if self._request.logprobs else None,
            id=self._request.id,
        )

    def _cancel(self) -> None:
        """Report what there is; samples that had not begun are reported empty."""
        for row in self._rows:
            self._chunks.text(row.index, row.stream.finish())
            self._chunks.done(self._report(row, Finish.CANCELLED))
        for index in self._waiting:
            self._chunks.done(self._report(_Row(index, 0, Detokenizer()), Finish.CANCELLED))
        self._rows, self._waiting = [], deque()
        self._session.forget()
