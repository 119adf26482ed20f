"""One loaded model and its context. Sequence 0 holds the last prompt, whose prefix is kept; samples use 1 to
`max_rows`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from seirenes_app.inference.chat_prompts import ChatPrompts
from seirenes_app.inference.llama_bindings import (
    BATCH_TOKENS,
    BLOCK_TOKENS,
    Aborted,
    CancelFlag,
    EngineError,
    LlamaModel,
)
from seirenes_app.inference.models import check_adapter, describe_gguf
from seirenes_app.inference.protocol import (
    SMALL_PARAMS,
    ErrorKind,
    LoadRequest,
    Message,
    ModelFacts,
    Rendered,
    RenderRequest,
    SampleRequest,
    ScoreRequest,
)
from training.core.chat_template import RenderedPrompt
from training.errors import UserError
from training.runs.files import file_identity

# Rows a step. Every row looks past the cells of all others: where the weights are small, that costs more than it saves.
_ROWS, _SMALL_ROWS = 32, 16
USUAL_CONTEXT = 4096
_CACHE_BYTES = 512 << 20


class Session:
    """A model ready for requests. One thread."""

    def __init__(self, request: LoadRequest, cancel: CancelFlag, on_progress: Callable[[float], None]) -> None:
        path = Path(request.model)
        try:
            self._described = describe_gguf(path)
        except UserError as error:
            raise EngineError(ErrorKind.BAD_MODEL, str(error)) from error
        # Taken before the weights are read: a file that changes meanwhile counts as changed.
        self._identities = [(part, file_identity(part)) for part in self._described.parts]
        self.cancel = cancel
        self._lora: str | None = None
        self._held: list[int] = []
        self._reusable = 0  # of those, the first that were computed in whole blocks
        self.model = LlamaModel(path, cancel, on_progress)
        try:
            self._settle(request)
        except BaseException:
            self.model.close()
            raise

    def _settle(self, request: LoadRequest) -> None:
        model = self.model
        trained = model.n_ctx_train
        self.max_rows = _SMALL_ROWS if model.n_params < SMALL_PARAMS else _ROWS
        self.n_ctx = min(request.n_ctx or USUAL_CONTEXT, trained)
        free = min(_CACHE_BYTES, psutil.virtual_memory().available // 4)
        self.n_cells = max(self.n_ctx, min(self.n_ctx * (self.max_rows + 1), free // model.cell_bytes))
        self.threads = request.threads or usual_threads()
        # A part for each row is faster to look through, where there is room for whole ones.
        n_seqs = self.max_rows + 1
        self.shared_cells = self.n_cells < n_seqs * self.n_ctx
        model.make_context(self.n_cells, n_seqs, self.threads, shared=self.shared_cells)
        self.prompts = ChatPrompts(model)
        self.chat = self.prompts.template
        self.set_lora(request.lora, request.lora_scale)

    def facts(self) -> ModelFacts:
        return ModelFacts(
            path=str(self.model.path),
            name=self._described.name,
            architecture=self._described.architecture,
            n_params=self.model.n_params,
            size_bytes=self._described.size_bytes,
            n_ctx_train=self.model.n_ctx_train,
            n_ctx=self.n_ctx,
            n_vocab=self.model.n_vocab,
            threads=self.threads,
            has_chat_template=self._described.has_chat_template,
            template_note=self.chat.note.text,
            lora=self._lora,
        )

    def check_unchanged(self) -> None:
        """Raise an `EngineError` when the model's file was replaced or written to since it was loaded.

        The weights are mapped from the file: of one that is written over, nobody knows what is computed. A file that
        was removed stays whole as long as it is loaded.
        """
        for part, loaded in self._identities:
            now = file_identity(part)
            if now is not None and now != loaded:
                raise EngineError(
                    ErrorKind.CHANGED, f"{part}: the file was changed or replaced since the model was loaded.",
                    "Load the model again.",
                )  # fmt: skip

    def close(self) -> None:
        self.model.close()

    def set_lora(self, lora: str | None, scale: float) -> None:
        """Change the adapter; what the cache held was computed with the other one and goes."""
        self.forget()
        self._lora = None
        self.model.set_lora(None, 1.0)
        if lora is None:
            return
        try:
            check_adapter(Path(lora), self._described.architecture)
        except UserError as error:
            raise EngineError(ErrorKind.BAD_LORA, str(error)) from error
        self.model.set_lora(Path(lora), scale)
        self._lora = lora

    def forget(self) -> None:
        """Empty the cache: after an abort or a bug nobody knows what it holds."""
        self._held, self._reusable = [], 0
        self.model.clear()

    def prompt_tokens(self, request: SampleRequest | ScoreRequest) -> list[int]:
        """The prompt's ids. Raises an `EngineError` when the template refuses, or nothing comes out."""
        if request.messages:
            tokens = self.prompts.tokenize(self._render(request.messages, request.template_variables))
        else:
            # Who writes a prompt by hand may have written the first token; twice would be once too often.
            bos = self.model.special("bos")
            first = not (bos and request.prompt.startswith(bos))
            tokens = self.model.tokenize(request.prompt, add_special=first, parse_special=True)
        if not tokens:
            raise EngineError(ErrorKind.BAD_REQUEST, "The prompt has no tokens.")
        return tokens

    def render(self, request: RenderRequest) -> Rendered:
        """The prompt as the model gets it. Raises an `EngineError` when the template refuses."""
        prompt = self._render(request.messages, request.template_variables)
        return Rendered(
            text=prompt.text, n_tokens=len(self.prompts.tokenize(prompt)), note=self.chat.note.text,
            content_spans=prompt.content_spans, id=request.id,
        )  # fmt: skip

    def _render(self, messages: Sequence[Message], variables: Mapping[str, Any]) -> RenderedPrompt:
        try:
            return self.prompts.render([{"role": m.role, "content": m.content} for m in messages], variables)
        except UserError as error:
            raise EngineError(ErrorKind.BAD_REQUEST, str(error)) from error

    def prefill(self, tokens: Sequence[int], wanted: int = 1, *, loose: bool = False) -> int:
        """Let sequence 0 hold exactly `tokens`, the last `wanted` with logits. Returns how many it held already. Other
        sequences stay.

        Whole blocks are kept and nothing else, so that each token is computed beside the same ones whatever was held.
        `loose` keeps all that is equal: less to compute, and rounding depends on what was held.
        """
        before = len(tokens) - wanted
        if loose:
            kept = common_length(self._held, tokens[:before])
            reusable = min(self._reusable, whole_blocks(kept))
        else:
            kept = whole_blocks(common_length(self._held[: self._reusable], tokens[:before]))
            reusable = whole_blocks(before)
        if kept == 0 or not self.model.drop(0, kept):
            kept = 0
            self.model.drop(0)
        self._held, self._reusable, at = list(tokens[:kept]), reusable, kept
        for end in (*range(kept + BATCH_TOKENS, before, BATCH_TOKENS), before, len(tokens)):
            if self.cancel:
                raise Aborted
            if n := end - at:
                self.model.decode(tokens[at:end], range(at, end), [0] * n, [end > before] * n)
                self._held += tokens[at:end]
                at = end
        return kept

    def check_room(self, prompt: int, completion: int, what: str) -> None:
        """Raises an `EngineError` with both numbers unless prompt and completion fit in the context."""
        if prompt + completion > self.n_ctx:
            raise EngineError(
                ErrorKind.TOO_LONG,
                f"{what} has {prompt + completion} tokens, and the context holds {self.n_ctx}"
                f"{' (one must stay free for an answer)' if completion == 1 else ''}.",
                "Shorten the text, or load the model with a longer context."
                if self.n_ctx < self.model.n_ctx_train else "Shorten the text: the model was trained on no more.",
            )  # fmt: skip


def whole_blocks(n_tokens: int) -> int:
    """The most of the first tokens that are whole blocks."""
    return n_tokens - n_tokens % BLOCK_TOKENS


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    for place, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return place
    return min(len(first), len(second))


def usual_threads() -> int:
    """One less than the physical cores that this process may use, and at least one: more than are free is a cliff."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or 1) - 1)
