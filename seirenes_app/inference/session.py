"""One loaded model and its context. Sequence 0 holds the last prompt, whose prefix is kept; samples use 1 to
`max_rows`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import psutil
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from seirenes_app.inference.llama_bindings import BATCH_TOKENS, Aborted, CancelFlag, EngineError, LlamaModel
from seirenes_app.inference.models import check_adapter, describe_gguf
from seirenes_app.inference.protocol import ErrorKind, LoadRequest, Message, ModelFacts, SampleRequest, ScoreRequest
from training.errors import UserError

_PLAIN = "The file has no chat template: messages are written as “User: …” and “Assistant: …” lines."


class ChatFormat:
    """How one model's prompts are written. `note` says what a person should know; empty when all is well."""

    def __init__(self, template: str, bos: str = "", eos: str = "") -> None:
        self.note = "" if template else _PLAIN
        self._specials = {"bos_token": bos, "eos_token": eos}
        self._template: jinja2.Template | None = None
        if template:
            try:
                self._template = _environment().from_string(template)
            except (jinja2.TemplateError, RecursionError) as error:
                self.note = f"The file's chat template cannot be read ({error}); plain lines are used instead."

    def render(self, messages: tuple[Message, ...]) -> str:
        """The prompt up to where the model begins to write. Raises a `UserError` when the template refuses."""
        if self._template is None:
            lines = [f"{m.role.capitalize()}: {m.content}" for m in messages]
            return "\n".join([*lines, "Assistant:"])
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            return self._template.render(
                messages=turns, add_generation_prompt=True, tools=None, enable_thinking=False, **self._specials
            )
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            # Whatever an untrusted template does wrong is the file's fault and no bug here.
            raise UserError(
                f"The model's chat template refuses these messages ({error}). Many allow no system message and want "
                "user and assistant to take turns."
            ) from error


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.filters["tojson"] = _to_json
    return environment


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    """As the templates expect it: not escaped for HTML, as jinja2's own is."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


# Rows a step. Every row looks past the cells of all others: where the weights are small, that costs more than it saves.
_ROWS, _SMALL_ROWS, _SMALL_PARAMS = 32, 16, 10_000_000
_USUAL_CONTEXT = 4096
_CACHE_BYTES = 512 << 20


class Session:
    """A model ready for requests. One thread."""

    def __init__(self, request: LoadRequest, cancel: CancelFlag, on_progress: Callable[[float], None]) -> None:
        path = Path(request.model)
        try:
            self._described = describe_gguf(path)
        except UserError as error:
            raise EngineError(ErrorKind.BAD_MODEL, str(error)) from error
        self.cancel = cancel
        self._lora: str | None = None
        self._held: list[int] = []
        self.model = LlamaModel(path, cancel, on_progress)
        try:
            self._settle(request)
        except BaseException:
            self.model.close()
            raise

    def _settle(self, request: LoadRequest) -> None:
        model = self.model
        trained = model.n_ctx_train
        self.max_rows = _SMALL_ROWS if model.n_params < _SMALL_PARAMS else _ROWS
        self.n_ctx = min(request.n_ctx or _USUAL_CONTEXT, trained)
        free = min(_CACHE_BYTES, psutil.virtual_memory().available // 4)
        self.n_cells = max(self.n_ctx, min(self.n_ctx * (self.max_rows + 1), free // model.cell_bytes))
        self.threads = request.threads or usual_threads()
        # A part for each row is faster to look through, where there is room for whole ones.
        n_seqs = self.max_rows + 1
        model.make_context(self.n_cells, n_seqs, self.threads, shared=self.n_cells < n_seqs * self.n_ctx)
        self._chat = ChatFormat(model.chat_template, model.special("bos"), model.special("eos"))
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
            template_note=self._chat.note,
            lora=self._lora,
        )

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
        self._held = []
        self.model.clear()

    def prompt_tokens(self, request: SampleRequest | ScoreRequest) -> list[int]:
        """The prompt's ids. Raises an `EngineError` when the template refuses, or nothing comes out."""
        if request.messages:
            try:
                text = self._chat.render(request.messages)
            except UserError as error:
                raise EngineError(ErrorKind.BAD_REQUEST, str(error)) from error
        else:
            text = request.prompt
        # Many templates write the first token themselves; twice would be once too often.
        bos = self.model.special("bos")
        tokens = self.model.tokenize(text, add_special=not (bos and text.startswith(bos)), parse_special=True)
        if not tokens:
            raise EngineError(ErrorKind.BAD_REQUEST, "The prompt has no tokens.")
        return tokens

    def prefill(self, tokens: Sequence[int], wanted: int = 1) -> int:
        """Let sequence 0 hold exactly `tokens`, the last `wanted` with logits. Returns how many it held already."""
        before, kept = len(tokens) - wanted, 0
        for held, new in zip(self._held, tokens[:before], strict=False):
            if held != new:
                break
            kept += 1
        if kept == 0 or not self.model.drop(0, kept):
            kept = 0
            self.forget()
        self._held, at = list(tokens[:kept]), kept
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


def usual_threads() -> int:
    """One less than the physical cores that this process may use, and at least one: more than are free is a cliff."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or 1) - 1)
