"""Log-probabilities of a given completion, token by token. Logits are computed for its rows only, a few at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from msgspec import structs

from seirenes_app.inference.llama_bindings import OUTPUT_ROWS, Aborted, EngineError
from seirenes_app.inference.protocol import Alternative, ErrorKind, ScoreRequest, ScoreResult, TokenScore
from seirenes_app.inference.sampling import FloatArray, log_softmax
from seirenes_app.inference.session import Session

_FLOOR = -1e9  # stands for minus infinity, which JSON cannot say


def score(session: Session, request: ScoreRequest) -> ScoreResult:
    """Answer a score request. Raises an `EngineError`; a cancelled one has no result."""
    started = time.perf_counter()
    prompt = session.prompt_tokens(request)
    # A completion that was drawn after an open reasoning block begins with the block's tag, which is the prompt's.
    request = structs.replace(request, completion=request.completion.removeprefix(session.prompts.opened_block(prompt)))
    completion = session.model.tokenize(request.completion, add_special=False, parse_special=False)
    session.check_room(len(prompt), len(completion), "Prompt and completion together")
    try:
        found = _logprobs(session, prompt, completion, request.top_k)
    except Aborted:
        session.forget()
        raise EngineError(ErrorKind.CANCELLED, "Scoring was cancelled.") from None
    pieces = [session.model.piece(t, special=False) for t in completion]
    text, spans = spans_of(_without_added_space(pieces, request.completion))
    tokens = tuple(
        TokenScore(piece, at, end, first, after, logprob, top)
        for (piece, at, end, first, after), (logprob, top) in zip(spans, found, strict=True)
    )
    total = float(sum(t.logprob for t in tokens))
    seconds = time.perf_counter() - started
    return ScoreResult(
        text=text, tokens=tokens, logprob_sum=total, prompt_tokens=len(prompt), seconds=seconds,
        token_ids=tuple(completion), id=request.id,
    )  # fmt: skip


def _logprobs(
    session: Session, prompt: Sequence[int], completion: Sequence[int], top_k: int
) -> list[tuple[float, tuple[Alternative, ...]]]:
    # The row of a token predicts the one after it, so the last token of all is never decoded.
    tokens, begin = [*prompt, *completion[:-1]], len(prompt) - 1
    # A large vocabulary makes rows large, so fewer are read at once.
    step = int(np.clip((32 << 20) // (4 * session.model.n_vocab), 8, OUTPUT_ROWS))
    found: list[tuple[float, tuple[Alternative, ...]]] = []
    for start in range(0, len(completion), step):
        chosen = completion[start : start + step]
        session.prefill(tokens[: begin + start + len(chosen)], wanted=len(chosen), loose=start > 0)
        logprobs_RV = np.maximum(log_softmax(session.model.logits(range(len(chosen)))), _FLOOR)
        values = logprobs_RV[np.arange(len(chosen)), chosen].tolist()
        found += zip(values, _best(session, logprobs_RV, top_k), strict=True)
    return found


def _best(session: Session, logprobs_RV: FloatArray, top_k: int) -> list[tuple[Alternative, ...]]:
    if not top_k:
        return [()] * len(logprobs_RV)
    k = min(top_k, logprobs_RV.shape[1])
    ids_Rk = np.argpartition(-logprobs_RV, k - 1, axis=1)[:, :k]
    best = []
    for ids, row in zip(ids_Rk, logprobs_RV, strict=True):
        ordered = sorted(ids.tolist(), key=lambda t: (-row[t], t))
        best.append(tuple(Alternative(_shown(session.model.piece(t, special=True)), float(row[t])) for t in ordered))
    return best


def _shown(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")


def _without_added_space(pieces: list[bytes], completion: str) -> list[bytes]:
    """Some tokenizers put a space before any text; it is not the completion's."""
    whole = b"".join(pieces)
    if whole == b" " + completion.encode("utf-8", "replace") and pieces[0].startswith(b" "):
        return [pieces[0][1:], *pieces[1:]]
    return pieces


def spans_of(pieces: Sequence[bytes]) -> tuple[str, list[tuple[str, int, int, int, int]]]:
    """The text of `pieces`; for each its text and (byte, byte, char, char) span. Split characters belong to every
    piece."""
    # An invalid byte decodes to one lone surrogate here, so that every character knows how many bytes it had.
    escaped = b"".join(pieces).decode("utf-8", "surrogateescape")
    starts = np.cumsum([0, *(len(c.encode("utf-8", "surrogateescape")) for c in escaped)])
    text = "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= c <= "\udfff" else c for c in escaped)
    spans = []
    at = 0
    for piece in pieces:
        end = at + len(piece)
        first = int(np.searchsorted(starts, at, "right")) - 1
        after = int(np.searchsorted(starts, end, "left"))
        spans.append((_shown(piece), at, end, min(first, len(text)), max(first, min(after, len(text)))))
        at = end
    return text, spans
