"""Many completions of one prompt, decoded together: one row a sequence and step. The prompt is decoded once, in
sequence 0, and shared. A sample that ends gives its sequence and cells to the next that waits."""

from __future__ import annotations

import codecs
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from seirenes_app.inference.llama_bindings import Aborted, EngineError
from seirenes_app.inference.protocol import Chunk, Done, ErrorKind, Event, Finish, SampleDone, SampleRequest
from seirenes_app.inference.sampling import BadLogits, FloatArray, draw, stream_of
from seirenes_app.inference.session import Session

CHUNK_S = 0.03  # text is gathered for this long; the first of it goes at once


class Detokenizer:
    """The text of one sample as it grows. Bytes that are no UTF-8 become U+FFFD; unfinished ones wait."""

    def __init__(self, stops: tuple[str, ...] = ()) -> None:
        self._stops = stops
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._shown: list[str] = []
        self.stopped = False

    @property
    def text(self) -> str:
        return "".join(self._shown)

    def feed(self, piece: bytes) -> str:
        """Take the bytes of a token and give the text that is certain now. After a stop string it gives nothing."""
        return self._advance(self._decoder.decode(piece))

    def finish(self) -> str:
        return self._advance(self._decoder.decode(b"", final=True), last=True)

    def _advance(self, new: str, last: bool = False) -> str:
        if not self._stops:
            if new:
                self._shown.append(new)
            return new
        if self.stopped:
            return ""
        self._held += new
        cut = min((at for stop in self._stops if (at := self._held.find(stop)) >= 0), default=-1)
        if cut >= 0:
            self.stopped = True
        else:
            cut = len(self._held) - (0 if last else self._waiting())
        out, self._held = self._held[:cut], self._held[cut:]
        if out:
            self._shown.append(out)
        return out

    def _waiting(self) -> int:
        """Length of the longest end of the held text that could begin a stop string."""
        longest = max(map(len, self._stops)) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0


@dataclass(slots=True)
class _Row:
    """One sample that is being drawn; `unsent` is its text that was not sent yet."""

    index: int
    sequence: int
    stream: Detokenizer
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    unsent: str = ""


class Sampler:
    """Answers one sample request with `Chunk`, `SampleDone` and `Done` events."""

    def __init__(self, session: Session, request: SampleRequest, emit: Callable[..., None]) -> None:
        prompt = session.prompt_tokens(request)
        session.check_room(len(prompt), 1, "The prompt")
        self._session, self._model, self._request, self._prompt = session, session.model, request, prompt
        self._limit = min(request.max_tokens, session.n_ctx - len(prompt))  # the most tokens that a sample may have
        room = (session.n_cells - len(prompt)) // self._limit
        self._free = deque(range(1, 1 + max(1, min(session.max_rows, room, request.n))))
        self._uniforms = np.zeros((1 + len(self._free), self._limit))
        self._waiting = deque(range(request.n))
        self._rows: list[_Row] = []
        self._emit, self._ready, self._sent_at = emit, list[Event](), 0.0
        self._drawn = 0

    def run(self) -> None:
        """To the end, or to the cancel flag. Raises an `EngineError`."""
        started = time.perf_counter()
        kept, prompt_s, cancelled = 0, 0.0, False
        try:
            kept = self._session.prefill(self._prompt)
            first = self._model.logits(0, 1).copy()
            prompt_s = time.perf_counter() - started
            while self._waiting or self._rows:
                if self._session.cancel:
                    raise Aborted
                self._start_samples(first)
                if rows := self._rows:
                    before = len(self._prompt) - 1
                    positions = [before + len(row.tokens) for row in rows]
                    sequences = [row.sequence for row in rows]
                    self._model.decode([row.tokens[-1] for row in rows], positions, sequences, [True] * len(rows))
                    self._draw(rows, self._model.logits(0, len(rows)))
                if time.monotonic() - self._sent_at >= CHUNK_S:
                    for row in rows:
                        self._send_text(row)
                    self._emit(*self._ready)
                    self._ready, self._sent_at = [], time.monotonic()
        except Aborted:
            cancelled = True
            self._end_all()
        except BadLogits:
            raise EngineError(
                ErrorKind.FAILED, "The model gives numbers that are no probabilities (NaN).",
                "The file or its adapter is probably damaged; choose another.",
            ) from None  # fmt: skip
        finally:
            for row in self._rows:
                self._model.drop(row.sequence)
        done = Done(
            prompt_tokens=len(self._prompt), cached_tokens=kept, generated_tokens=self._drawn, prompt_s=prompt_s,
            seconds=time.perf_counter() - started, cancelled=cancelled, id=self._request.id,
        )  # fmt: skip
        self._emit(*self._ready, done)

    def _start_samples(self, first: FloatArray) -> None:
        while self._waiting and self._free:
            rows = []
            while self._waiting and self._free:
                index, sequence = self._waiting.popleft(), self._free.popleft()
                self._model.copy_seq(0, sequence)
                self._uniforms[sequence] = stream_of(self._request.seed, index).random(self._limit)
                rows.append(_Row(index, sequence, Detokenizer(self._request.stop)))
            self._rows += rows
            self._draw(rows, np.broadcast_to(first, (len(rows), first.shape[1])))

    def _draw(self, rows: list[_Row], logits_RV: FloatArray) -> None:
        uniforms = self._uniforms[[row.sequence for row in rows], [len(row.tokens) for row in rows]]
        drawn = draw(logits_RV, self._request.temperature, self._request.top_p, uniforms)
        self._drawn += len(rows)
        for row, token, logprob in zip(rows, drawn.tokens.tolist(), drawn.logprobs.tolist(), strict=True):
            finish = self._grow(row, token, logprob)
            if finish is not None:
                self._end(row, finish)
                self._model.drop(row.sequence)
                self._free.append(row.sequence)
                row.sequence = 0
        self._rows = [row for row in self._rows if row.sequence]

    def _grow(self, row: _Row, token: int, logprob: float) -> Finish | None:
        if token in self._model.end_ids:
            return Finish.STOP
        row.tokens.append(token)
        row.logprobs.append(logprob)
        row.unsent += row.stream.feed(self._model.piece(token, special=False))
        if row.stream.stopped:
            return Finish.STOP
        return Finish.LENGTH if len(row.tokens) >= self._limit else None

    def _send_text(self, row: _Row) -> None:
        if row.unsent:
            self._ready.append(Chunk(index=row.index, text=row.unsent, tokens=len(row.tokens), id=self._request.id))
            row.unsent = ""

    def _end(self, row: _Row, finish: Finish) -> None:
        row.unsent += row.stream.finish()
        self._send_text(row)
        # A hopeless token may be minus infinity, which JSON cannot say.
        logprobs = tuple(max(value, -1e9) for value in row.logprobs)
        total = sum(logprobs)
        self._ready.append(
            SampleDone(
                index=row.index, text=row.stream.text, tokens=len(logprobs), logprob_sum=total,
                logprob_mean=total / max(1, len(logprobs)), finish=finish,
                logprobs=logprobs if self._request.logprobs else None, id=self._request.id,
            )
        )  # fmt: skip

    def _end_all(self) -> None:
        """Cancelled: report what there is; samples that had not begun are reported empty."""
        for row in (*self._rows, *(_Row(index, 0, Detokenizer()) for index in self._waiting)):
            self._end(row, Finish.CANCELLED)
        self._rows, self._waiting = [], deque()
        self._session.forget()
