"""Continuous batching: samples of one prompt or of many are decoded together, one row a sequence and step.

Sequence 0 holds what neighbouring prompts begin with (of a single prompt: all of it), computed once and given to each
row. A sample that ends gives its sequence to the next one that waits; what such samples have of their own is computed
for several of them at once.
"""

from __future__ import annotations

import codecs
import time
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from seirenes_app.inference.llama_bindings import BATCH_TOKENS, Aborted, EngineError
from seirenes_app.inference.protocol import (
    BatchRequest,
    Chunk,
    Done,
    ErrorKind,
    Event,
    Finish,
    Progress,
    SampleDone,
    SampleRequest,
)
from seirenes_app.inference.sampling import REPETITION_WINDOW, BadLogits, FloatArray, draw, stream_of
from seirenes_app.inference.session import Session, common_length

CHUNK_S = 0.03  # text is gathered for this long; the first of it goes at once
PROGRESS_S = 0.25  # a batch reports this often
_SHARED_TOKENS = 8  # a common beginning that is shorter is computed again
_GREEDY = np.zeros(0)  # the uniform numbers of a sample that needs none
_WAIT_SHARE = 0.25  # of the rows, that are free before new samples begin: their prompts are computed together


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
class _Prompt:
    """One prompt: `first` is the index of its first sample, `begun` counts those that run or ran. The first `shared`
    tokens come from sequence 0; where those are all, `logits` are those of the last."""

    request: SampleRequest
    tokens: list[int]
    first: int
    limit: int
    shared: int = 0
    begun: int = 0
    opened: str = ""
    """The reasoning tag that the prompt ends with: each sample's text begins with it."""
    logits: FloatArray | None = None


@dataclass(slots=True)
class _Row:
    """One sample that is being drawn; `unsent` is its text that was not sent yet."""

    prompt: _Prompt
    index: int
    sequence: int
    uniforms: NDArray[np.float64]
    stream: Detokenizer
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    unsent: str = ""


class Sampler:
    """Answers a sample request with `Chunk`, `SampleDone` and `Done` events, or a batch, which streams no text."""

    def __init__(self, session: Session, request: SampleRequest | BatchRequest, emit: Callable[..., None]) -> None:
        self._session, self._model, self._emit = session, session.model, emit
        self._id, self._streams = request.id, isinstance(request, SampleRequest)
        requests = (request,) if isinstance(request, SampleRequest) else request.requests
        self._exact = isinstance(request, BatchRequest) and request.exact
        self._settings = requests[0]
        # Whether text is wanted token by token.
        self._spells = self._streams or any(self._stops(each) for each in requests)
        self._drawn = self._ended = self._kept = 0
        self._ready: list[Event] = []
        self._rows: list[_Row] = []
        self._prompts = self._read(requests)
        self._n_sequences = self._n_rows()
        self._free = list(range(1, 1 + self._n_sequences))
        self._next = 0  # the prompt whose samples begin next
        self._sent_at = 0.0

    def _read(self, requests: Sequence[SampleRequest]) -> list[_Prompt]:
        """The prompts that fit; a single request's must."""
        prompts: list[_Prompt] = []
        first = 0
        for request in requests:
            tokens = self._session.prompt_tokens(request)
            if self._streams:
                self._session.check_room(len(tokens), 1, "The prompt")
            limit = min(request.max_tokens, self._session.n_ctx - len(tokens))
            prompt = _Prompt(request, tokens, first, limit, opened=self._session.prompts.opened_block(tokens))
            if limit >= 1:
                prompts.append(prompt)
            else:
                for index in range(first, first + request.n):
                    self._end(_Row(prompt, index, 0, _GREEDY, Detokenizer()), Finish.TOO_LONG)
            first += request.n
        common = [common_length(a.tokens, b.tokens) for a, b in zip(prompts, prompts[1:], strict=False)]
        for prompt, before, after in zip(prompts, [0, *common], [*common, 0], strict=False):
            shared = min(max(before, after), len(prompt.tokens) - 1)
            whole = self._exact or prompt.request.n > 1 or len(prompts) == 1
            prompt.shared = len(prompt.tokens) if whole else shared if shared >= _SHARED_TOKENS else 0
        return prompts

    def _n_rows(self) -> int:
        """Rows at once: as many as the cache holds if every sample becomes as long as it may."""
        wanted = min(1 if self._exact else self._session.max_rows, sum(p.request.n for p in self._prompts))
        if not wanted or not self._session.shared_cells:
            return wanted
        alone = len(self._prompts) == 1
        row = max(p.limit + (0 if alone else len(p.tokens)) for p in self._prompts)
        return max(1, min(wanted, (self._session.n_cells - max(p.shared for p in self._prompts)) // row))

    def run(self) -> None:
        """To the end, or to the cancel flag. Raises an `EngineError`."""
        started = time.perf_counter()
        prompt_s, cancelled = 0.0, False
        try:
            while self._rows or self._waiting:
                if self._session.cancel:
                    raise Aborted
                if self._waiting and self._may_begin():
                    at = time.perf_counter()
                    self._begin()
                    prompt_s += time.perf_counter() - at
                if self._rows:
                    self._step()
                self._report()
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
            prompt_tokens=sum(len(p.tokens) for p in self._prompts), cached_tokens=self._kept,
            generated_tokens=self._drawn, prompt_s=prompt_s, seconds=time.perf_counter() - started,
            cancelled=cancelled, id=self._id,
        )  # fmt: skip
        self._emit(*self._ready, done)

    # Samples begin

    @property
    def _waiting(self) -> bool:
        return self._next < len(self._prompts)

    def _may_begin(self) -> bool:
        """Whether enough sequences are free. With a part of the cache each, prompts are computed one by one anyway."""
        together = self._session.shared_cells and len(self._prompts) > 1
        wanted = self._n_sequences * _WAIT_SHARE if together and self._rows else 1
        return len(self._free) >= wanted

    def _begin(self) -> None:
        """Let samples that wait take the free sequences, and draw their first tokens."""
        while self._free and self._waiting:
            own: list[_Row] = []
            while self._free and self._waiting:
                prompt = self._prompts[self._next]
                if prompt.shared and not prompt.begun:
                    self._hold(prompt)
                row = self._begin_row(prompt)
                if prompt.logits is not None:
                    self._draw([row], prompt.logits)
                else:
                    own.append(row)
                    if not self._session.shared_cells:
                        break
            self._compute_own(own)
        # llama.cpp decodes neighbouring sequences together where they stand in their order.
        self._rows.sort(key=lambda row: row.sequence)

    def _hold(self, prompt: _Prompt) -> None:
        """Let sequence 0 hold what the prompt shares."""
        whole = prompt.shared == len(prompt.tokens)
        self._kept += self._session.prefill(prompt.tokens[: prompt.shared], wanted=int(whole), loose=not whole)
        if whole:
            prompt.logits = self._model.logits([0]).copy()

    def _stops(self, request: SampleRequest) -> tuple[str, ...]:
        """The request's own, and those of plain lines, which no end token ends."""
        return (*request.stop, *(self._session.chat.stops if request.messages else ()))

    def _begin_row(self, prompt: _Prompt) -> _Row:
        request, number, sequence = prompt.request, prompt.begun, self._free.pop(0)
        uniforms = _GREEDY
        if request.temperature:
            uniforms = stream_of(request.seed, number).random(prompt.limit)
        stream = Detokenizer(self._stops(request))
        row = _Row(prompt, prompt.first + number, sequence, uniforms, stream, unsent=prompt.opened)
        if prompt.shared:
            self._model.copy_seq(0, sequence)
        prompt.begun += 1
        if prompt.begun == request.n:
            self._next += 1
        self._rows.append(row)
        return row

    def _compute_own(self, rows: Sequence[_Row]) -> None:
        """Compute what the rows' prompts have beyond the shared part, and draw the first tokens."""
        tokens: list[int] = []
        positions: list[int] = []
        sequences: list[int] = []
        ends: dict[int, _Row] = {}
        for row in rows:
            own = row.prompt.tokens[row.prompt.shared :]
            tokens += own
            positions += range(row.prompt.shared, len(row.prompt.tokens))
            sequences += [row.sequence] * len(own)
            ends[len(tokens) - 1] = row
        for start in range(0, len(tokens), BATCH_TOKENS):
            if self._session.cancel:
                raise Aborted
            part = slice(start, start + BATCH_TOKENS)
            wanted = [at in ends for at in range(len(tokens))[part]]
            self._model.decode(tokens[part], positions[part], sequences[part], wanted)
            last = [at for at, is_last in enumerate(wanted) if is_last]
            if last:
                self._draw([ends[start + at] for at in last], self._model.logits(last))

    # Samples grow and end

    def _step(self) -> None:
        """One token for each row."""
        rows = self._rows
        positions = [len(row.prompt.tokens) - 1 + len(row.tokens) for row in rows]
        sequences = [row.sequence for row in rows]
        self._model.decode([row.tokens[-1] for row in rows], positions, sequences, [True] * len(rows))
        self._draw(rows, self._model.logits(range(len(rows))))
        if not self._waiting and not self._session.shared_cells:
            self._close_gaps()

    def _close_gaps(self) -> None:
        """Move the last rows into free sequences before them: rows that are not neighbours are decoded apart."""
        while self._rows and self._free and self._free[0] < self._rows[-1].sequence:
            row = self._rows.pop()
            target = self._free.pop(0)
            self._model.copy_seq(row.sequence, target)
            self._release(row.sequence)
            row.sequence = target
            insort(self._rows, row, key=lambda other: other.sequence)

    def _release(self, sequence: int) -> None:
        self._model.drop(sequence)
        insort(self._free, sequence)

    def _draw(self, rows: Sequence[_Row], logits_RV: FloatArray) -> None:
        settings = self._settings
        uniforms = np.zeros(len(rows))
        if settings.temperature:
            uniforms = np.array([row.uniforms[len(row.tokens)] for row in rows])
        penalty = settings.repetition_penalty
        recent = [(row.prompt.tokens + row.tokens)[-REPETITION_WINDOW:] for row in rows] if penalty != 1 else ()
        drawn = draw(
            logits_RV, uniforms, temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p,
            min_p=settings.min_p, repetition_penalty=penalty, recent=recent,
            logprobs=self._streams or settings.logprobs,
        )  # fmt: skip
        self._drawn += len(rows)
        ended = False
        for row, token, logprob in zip(rows, drawn.tokens.tolist(), drawn.logprobs.tolist(), strict=True):
            finish = self._grow(row, token, logprob)
            if finish is not None:
                ended = True
                self._end(row, finish)
                self._release(row.sequence)
                row.sequence = 0
        if ended:
            self._rows = [row for row in self._rows if row.sequence]

    def _grow(self, row: _Row, token: int, logprob: float) -> Finish | None:
        if token in self._model.end_ids:
            return Finish.STOP
        row.tokens.append(token)
        row.logprobs.append(logprob)
        if self._spells:
            row.unsent += row.stream.feed(self._model.piece(token, special=False))
            if row.stream.stopped:
                return Finish.STOP
        return Finish.LENGTH if len(row.tokens) >= row.prompt.limit else None

    # Events

    def _report(self) -> None:
        if time.monotonic() - self._sent_at < (CHUNK_S if self._streams else PROGRESS_S):
            return
        if self._streams:
            for row in self._rows:
                self._send_text(row)
        else:
            self._ready.append(Progress(samples=self._ended, tokens=self._drawn, id=self._id))
        self._emit(*self._ready)
        self._ready, self._sent_at = [], time.monotonic()

    def _send_text(self, row: _Row) -> None:
        if row.unsent and self._streams:
            self._ready.append(Chunk(index=row.index, text=row.unsent, tokens=len(row.tokens), id=self._id))
            row.unsent = ""

    def _end(self, row: _Row, finish: Finish) -> None:
        if not self._spells:
            row.stream.feed(b"".join(self._model.piece(token, special=False) for token in row.tokens))
        row.unsent += row.stream.finish()
        self._send_text(row)
        text = row.prompt.opened + row.stream.text if row.sequence else ""
        # A hopeless token may be minus infinity, which JSON cannot say.
        logprobs = tuple(max(value, -1e9) for value in row.logprobs)
        total = sum(logprobs)
        self._ended += 1
        self._ready.append(
            SampleDone(
                index=row.index, text=text, tokens=len(logprobs), logprob_sum=total,
                logprob_mean=total / max(1, len(logprobs)), finish=finish,
                logprobs=logprobs if self._settings.logprobs else None, id=self._id,
            )
        )  # fmt: skip

    def _end_all(self) -> None:
        """Cancelled: report what there is; samples that had not begun are reported empty."""
        for row in self._rows:
            self._end(row, Finish.CANCELLED)
        for prompt in self._prompts[self._next :]:
            for number in range(prompt.begun, prompt.request.n):
                self._end(_Row(prompt, prompt.first + number, 0, _GREEDY, Detokenizer()), Finish.CANCELLED)
        self._rows, self._next = [], len(self._prompts)
        self._session.forget()
