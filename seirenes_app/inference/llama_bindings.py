"""llama.cpp behind a few checked calls: the only module that imports it. Pointers are checked, because a wrong call
ends the process. One thread may use a `LlamaModel`; only `CancelFlag` may be touched from another."""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np

from seirenes_app.inference.protocol import ErrorKind
from seirenes_app.inference.sampling import FloatArray
from training.core.chat_template import is_markup, is_reasoning_tag

BATCH_TOKENS = 512
BLOCK_TOKENS = 32
"""Tokens that are computed together. From 64 tokens of one sequence on, llama.cpp's attention on a CPU takes another
kernel, which rounds differently: below that, how a prompt is cut does not matter to it. Larger blocks are not faster.
"""
OUTPUT_ROWS = 64
_WARNING, _ERROR = 3, 4
# Of a cache for many samples at once, each of which stays within what the model was trained on.
_EXPECTED = "possible training context overflow"
_NO_SLOT, _ABORTED = 1, 2


class EngineError(Exception):
    """A request cannot be done: its kind, the message, and what to do."""

    def __init__(self, kind: ErrorKind, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.remedy = kind, message, remedy


class Aborted(Exception):
    """A decode was ended early by the cancel flag; what the context holds is unknown now."""


class CancelFlag:
    """A flag that llama.cpp reads without entering Python, which would take the interpreter's lock hundreds of times a
    step: its callback `bool f(void *)` is libc's strlen on a buffer of one character."""

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(2)
        self.callback = ctypes.cast(ctypes.CDLL(None).strlen, llama.ggml_abort_callback)
        self.data = ctypes.cast(self._buffer, ctypes.c_void_p)

    def set(self) -> None:
        self._buffer[0] = b"x"

    def clear(self) -> None:
        self._buffer[0] = b"\0"

    def __bool__(self) -> bool:
        return self._buffer[0] != b"\0"


class _Log:
    """llama.cpp's warnings go to stderr; the last are kept for an error. Its chatter goes nowhere."""

    def __init__(self) -> None:
        self._complaints: deque[str] = deque(maxlen=4)
        self.callback = llama.llama_log_callback(self._take)

    def _take(self, level: int, text: bytes, _: Any) -> None:
        if level not in (_WARNING, _ERROR):
            return
        message = text.decode("utf-8", "replace").strip()
        if message and _EXPECTED not in message:
            sys.stderr.write(message + "\n")
            sys.stderr.flush()
            self._complaints.append(message.rstrip("."))

    def complaint(self) -> str:
        """The one of the last complaints that says most; forgets them all."""
        # The last line only says that loading failed; the one before says why, after the name of a function.
        found = [c for c in self._complaints if not c.endswith("failed to load model")]
        self._complaints.clear()
        if not found:
            return "it gave no reason"
        where, colon, why = found[-1].partition(": ")
        return (why if colon and " " not in where else found[-1]).removeprefix("error loading model: ")


_log = _Log()


def last_complaint() -> str:
    """Why llama.cpp refused what was asked last, as its log says it."""
    return _log.complaint()


def start_llama() -> None:
    llama.llama_log_set(_log.callback, ctypes.c_void_p(0))
    llama.llama_backend_init()


class Vocabulary:
    """The tokens and the chat template of a loaded model. `model` is llama.cpp's pointer, which must stay valid; `path`
    is named in errors."""

    def __init__(self, model: int, path: Path) -> None:
        self.path, self._model = path, model
        self._pieces: dict[tuple[int, bool], bytes] = {}
        self._vocab = llama.llama_model_get_vocab(model)
        self.n_vocab = int(llama.llama_vocab_n_tokens(self._vocab))

    @property
    def chat_template(self) -> str:
        found = llama.llama_model_chat_template(self._model, None)
        return found.decode("utf-8", "replace") if found else ""

    @cached_property
    def end_ids(self) -> frozenset[int]:
        return frozenset(t for t in range(self.n_vocab) if llama.llama_vocab_is_eog(self._vocab, t))

    def add_end(self, text: str) -> None:
        """Let the special token `text` end a completion too, where the model has it."""
        tokens = self.tokenize(text, add_special=False, parse_special=True) if text else []
        if len(tokens) == 1:
            self.end_ids |= set(tokens)

    @cached_property
    def _added(self) -> dict[int, tuple[str, bool]]:
        """Tokens that are no ordinary pieces of text: what they are written as, and whether they are control tokens."""
        control = llama.LLAMA_TOKEN_ATTR_CONTROL | llama.LLAMA_TOKEN_ATTR_UNKNOWN
        found = {}
        for token in range(self.n_vocab):
            attributes = llama.llama_vocab_get_attr(self._vocab, token)
            if attributes & (control | llama.LLAMA_TOKEN_ATTR_USER_DEFINED):
                text = llama.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace")
                found[token] = text, bool(attributes & control)
        return found

    @cached_property
    def special_texts(self) -> frozenset[str]:
        """What may not become a token when a user writes it: control tokens, and added ones that look like markup."""
        return frozenset(text for text, control in self._added.values() if control or is_markup(text))

    @cached_property
    def _reasoning_ids(self) -> frozenset[int]:
        return frozenset(token for token, (text, control) in self._added.items() if control and is_reasoning_tag(text))

    def special(self, name: str) -> str:
        """The text of the "bos" or "eos" token; empty when the model has none."""
        token = (llama.llama_vocab_bos if name == "bos" else llama.llama_vocab_eos)(self._vocab)
        return self.piece(token, special=True).decode("utf-8", "replace") if 0 <= token < self.n_vocab else ""

    # Text

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Text to ids. `add_special` adds the first token if the model wants one; `parse_special` reads role marks."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        buffer = (llama.llama_token * room)()
        n = llama.llama_tokenize(self._vocab, data, len(data), buffer, room, add_special, parse_special)
        if n < 0:
            raise EngineError(ErrorKind.FAILED, f"The tokenizer of {self.path.name} refuses the text (it answers {n}).")
        return list(buffer[:n])

    def piece(self, token: int, *, special: bool) -> bytes:
        """The bytes of a token. Control tokens have some when `special`, those around reasoning blocks always."""
        known = self._pieces.get((token, special))
        if known is None:
            shown = special or token in self._reasoning_ids
            known = self._pieces[token, special] = self._piece(token, shown)
        return known

    def _piece(self, token: int, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        n = llama.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        if n < 0:
            buffer = ctypes.create_string_buffer(-n)
            n = llama.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[: max(n, 0)]


class LlamaModel(Vocabulary):
    """A model with its context, whose key-value cache is shared by all sequences or has a part for each."""

    def __init__(self, path: Path, cancel: CancelFlag, on_progress: Callable[[float], None]) -> None:
        self._cancel, self._context = cancel, None
        self._adapter: Any = None
        super().__init__(self._load(path, on_progress), path)

    def _load(self, path: Path, on_progress: Callable[[float], None]) -> int:
        params = llama.llama_model_default_params()

        def progress(share: float, _: Any) -> bool:
            on_progress(share)
            return not self._cancel

        callback = llama.llama_progress_callback(progress)
        params.progress_callback = callback
        model = llama.llama_model_load_from_file(str(path).encode(), params)
        if not bool(model):
            if self._cancel:
                raise EngineError(ErrorKind.CANCELLED, f"Loading {path.name} was cancelled.")
            raise EngineError(
                ErrorKind.BAD_MODEL, f"{path}: llama.cpp cannot load this file: {_log.complaint()}.",
                "Choose another model, or convert this one again with a current tool.",
            )  # fmt: skip
        if llama.llama_model_has_encoder(model) or not llama.llama_model_has_decoder(model):
            llama.llama_model_free(model)
            raise EngineError(ErrorKind.BAD_MODEL, f"{path}: the model is no plain decoder, so it cannot chat.")
        return int(model)

    def make_context(self, n_cells: int, n_seqs: int, threads: int, *, shared: bool) -> None:
        """Reserve a cache of `n_cells`. `shared`: any sequence takes any cell and looks past all; else each has an
        equal part and shared beginnings are copied. Raises an `EngineError` when memory is short."""
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_seq_max = n_cells, n_seqs
        params.n_batch, params.n_ubatch = BATCH_TOKENS, BLOCK_TOKENS
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = shared
        # Rows of logits in one decode: room for those that are asked for, not for every token of a batch.
        params.n_outputs_max, params.n_outputs_max_per_seq = max(OUTPUT_ROWS, n_seqs), 0
        params.abort_callback, params.abort_callback_data = self._cancel.callback, self._cancel.data
        context = llama.llama_init_from_model(self._model, params)
        if not bool(context):
            raise EngineError(
                ErrorKind.FAILED, f"{self.path.name}: no room for {n_cells} tokens: {_log.complaint()}.",
                "Close other programs, or load the model with a shorter context.",
            )  # fmt: skip
        self._context, self._memory = context, llama.llama_get_memory(context)
        llama.llama_set_abort_callback(context, self._cancel.callback, self._cancel.data)
        self._batch = _Batch()

    def close(self) -> None:
        if self._context is not None:
            self.set_lora(None, 1.0)
            llama.llama_free(self._context)
            self._context = None
        if self._model:
            llama.llama_model_free(self._model)
            self._model = 0

    # Facts

    @property
    def n_params(self) -> int:
        return int(llama.llama_model_n_params(self._model))

    @property
    def n_ctx_train(self) -> int:
        """The longest text it was trained on, in tokens."""
        return int(llama.llama_model_n_ctx_train(self._model))

    @property
    def cell_bytes(self) -> int:
        """About how much of the cache one token takes: keys and values of two bytes in each layer."""
        heads, kv_heads = llama.llama_model_n_head(self._model), llama.llama_model_n_head_kv(self._model)
        head_dim = llama.llama_model_n_embd(self._model) // max(heads, 1)
        return max(1, int(llama.llama_model_n_layer(self._model) * kv_heads * head_dim * 4))

    # The context

    def decode(
        self, tokens: Sequence[int], positions: Sequence[int], seqs: Sequence[int], wanted: Sequence[bool]
    ) -> None:
        """Run at most `BATCH_TOKENS` rows, `wanted` (at most `OUTPUT_ROWS`) with logits. Raises `Aborted`,
        `EngineError`."""
        if not 0 < len(tokens) <= BATCH_TOKENS or sum(wanted) > OUTPUT_ROWS:
            raise ValueError(f"a batch of {len(tokens)} tokens with {sum(wanted)} rows of logits")
        batch = self._batch.fill(tokens, positions, seqs, wanted)
        answer = llama.llama_decode(self._context, batch)
        if answer == _ABORTED or (answer and self._cancel):
            raise Aborted
        if answer:
            why = "the cache is full" if answer == _NO_SLOT else _log.complaint()
            raise EngineError(ErrorKind.FAILED, f"llama.cpp could not decode ({answer}): {why}.")

    def logits(self, rows: Sequence[int]) -> FloatArray:
        """Logits (rows, n_vocab) of rows of the last batch: a view that the next `decode` overwrites. Between the first
        and the last of `rows` no other may have been wanted."""
        # Finishes the computation and puts the rows in the batch's order.
        start = llama.llama_get_logits_ith(self._context, rows[0])
        last = llama.llama_get_logits_ith(self._context, rows[-1])
        if not bool(start) or not bool(last):
            raise EngineError(ErrorKind.FAILED, "llama.cpp gave no logits.")
        address, count = ctypes.addressof(start.contents), len(rows)
        if ctypes.addressof(last.contents) - address != (count - 1) * self.n_vocab * 4:
            raise EngineError(ErrorKind.FAILED, "llama.cpp gave its logits out of order.")
        flat = (ctypes.c_float * (count * self.n_vocab)).from_address(address)
        found: FloatArray = np.ctypeslib.as_array(flat).reshape(count, self.n_vocab)
        return found

    def copy_seq(self, source: int, target: int) -> None:
        """Let sequence `target` begin with all of `source`; the cells are shared."""
        llama.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def drop(self, seq: int, start: int = -1) -> bool:
        """Free a sequence from position `start` on (-1: all of it); False when the model's memory cannot do that."""
        return bool(llama.llama_memory_seq_rm(self._memory, seq, start, -1))

    def clear(self) -> None:
        llama.llama_memory_clear(self._memory, False)

    def set_lora(self, path: Path | None, scale: float) -> None:
        """Put an adapter on, or take it off. Raises an `EngineError` for a bad one; the old one is off then too."""
        llama.llama_set_adapters_lora(self._context, None, 0, None)
        if self._adapter is not None:
            llama.llama_adapter_lora_free(self._adapter)
            self._adapter = None
        if path is None:
            return
        adapter = llama.llama_adapter_lora_init(self._model, str(path).encode())
        # A null pointer here is an object, and not None.
        if not bool(adapter):
            raise EngineError(
                ErrorKind.BAD_LORA, f"{path}: the adapter does not fit {self.path.name}: {_log.complaint()}.",
                "Choose an adapter that was made from this model.",
            )  # fmt: skip
        self._adapter = adapter
        pointers, scales = (llama.llama_adapter_lora_p_ctypes * 1)(adapter), (ctypes.c_float * 1)(scale)
        if llama.llama_set_adapters_lora(self._context, pointers, 1, scales):
            raise EngineError(ErrorKind.BAD_LORA, f"{path}: llama.cpp could not put the adapter on.")


class _Batch:
    """A batch in numpy's memory, filled by slices: setting ctypes elements one by one costs more than small decodes."""

    def __init__(self) -> None:
        self._token = np.zeros(BATCH_TOKENS, np.int32)
        self._pos = np.zeros(BATCH_TOKENS, np.int32)
        self._seq = np.zeros(BATCH_TOKENS, np.int32)
        self._wanted = np.zeros(BATCH_TOKENS, np.int8)
        self._one = np.ones(BATCH_TOKENS, np.int32)
        self._seq_at = (self._seq.ctypes.data + 4 * np.arange(BATCH_TOKENS)).astype(np.uint64)
        self._struct = llama.llama_batch()
        for field, array in (("token", self._token), ("pos", self._pos), ("n_seq_id", self._one),
                             ("seq_id", self._seq_at), ("logits", self._wanted)):  # fmt: skip
            kind = dict(llama.llama_batch._fields_)[field]
            setattr(self._struct, field, ctypes.cast(array.ctypes.data, kind))

    def fill(self, tokens: Sequence[int], positions: Sequence[int], seqs: Sequence[int], wanted: Sequence[bool]) -> Any:
        n = len(tokens)
        self._token[:n], self._pos[:n], self._seq[:n], self._wanted[:n] = tokens, positions, seqs, wanted
        self._struct.n_tokens = n
        return self._struct
