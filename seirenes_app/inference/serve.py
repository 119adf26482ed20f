"""The process of `seirenes serve`: llama-cpp-python's OpenAI-compatible server with the worker's prompts.

`python -m seirenes_app.inference.serve` reads a `ServeSpec` from standard input and writes `ServerLine`s. It ends on
SIGTERM, and when its standard input ends unless it is to be kept.

Five things differ from that server by itself. A chat becomes the tokens that the worker makes of it. They are computed
in the worker's blocks, kept from the chat before or not: an answer does not depend on what was asked earlier. What a
request leaves out is neutral: temperature and top-p 1, no top-k, min-p or repetition penalty, a random seed. What it
would ignore in silence (several choices, tools, a response format, images) is refused. An answer whose client has left
ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import msgspec
import uvicorn
from llama_cpp import Llama, StoppingCriteriaList
from llama_cpp.llama_chat_format import _convert_completion_to_chat
from llama_cpp.llama_tokenizer import LlamaTokenizer
from llama_cpp.server import app as llama_app
from llama_cpp.server.settings import ModelSettings, ServerSettings
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from seirenes_app.inference.chat_prompts import ChatPrompts
from seirenes_app.inference.llama_bindings import (
    BATCH_TOKENS,
    BLOCK_TOKENS,
    EngineError,
    Vocabulary,
    last_complaint,
    start_llama,
)
from seirenes_app.inference.models import GgufFacts, describe_gguf
from seirenes_app.inference.server_record import (
    Failure,
    Problem,
    ServerLine,
    ServerRecord,
    ServeSpec,
    Stage,
    own_birth,
    remove_record,
    write_record,
)
from seirenes_app.inference.session import USUAL_CONTEXT, common_length, usual_threads, whole_blocks
from training.errors import UserError

LOGPROBS_BYTES = 256 << 20
"""Of the table of all logits, up to which log-probabilities are served without being asked for."""
MAX_BODY_BYTES = 16 << 20
END_S = 2.0
"""How long requests at work may go on after the end was asked for."""
LOCAL_ORIGINS = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
NEUTRAL = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}
_PLACES = ("/v1/chat/completions", "/v1/completions")
_REFUSED = {
    "tools": "Tools are not served.",
    "functions": "Functions are not served.",
    "response_format": "Response formats are not served.",
    "audio": "Audio is not served.",
}

_template_variables: ContextVar[Mapping[str, Any] | None] = ContextVar("template_variables", default=None)

_client_gone: ContextVar[threading.Event | None] = ContextVar("client_gone", default=None)
"""Set when the client of the request that is answered has left: nobody reads the rest, and others wait."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Refused(Exception):
    """A request that this server does not answer; the text says why."""


# ---------------------------------------------------------------------- requests


def settle_request(body: Any) -> dict[str, Any]:
    """A request as llama-cpp-python's server is to get it. Raises `_Refused`."""
    if not isinstance(body, dict):
        raise _Refused("The request is no JSON object.")
    settled = {**NEUTRAL, "seed": secrets.randbits(31), **{k: v for k, v in body.items() if v is not None}}
    if settled.get("n", 1) != 1:
        raise _Refused("One choice a request is served: send n requests with seeds of their own.")
    for name, why in _REFUSED.items():
        value = settled.get(name)
        if value and value != {"type": "text"}:
            raise _Refused(why)
        settled.pop(name, None)
    if "max_tokens" not in settled and "max_completion_tokens" in settled:
        settled["max_tokens"] = settled["max_completion_tokens"]
    if "messages" in settled:
        settled["messages"] = [_settle_message(message) for message in _list(settled["messages"])]
        # Without a number of alternatives the server gives none of the log-probabilities that were asked for.
        if settled.get("logprobs"):
            settled.setdefault("top_logprobs", 0)
    return settled


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _Refused("messages must be a list with a message.")
    return value


def _settle_message(message: Any) -> dict[str, str]:
    if not isinstance(message, dict) or message.get("role") not in ("system", "user", "assistant", "developer"):
        raise _Refused("A message has a role: system, user or assistant.")
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        if not all(isinstance(part, str) for part in parts):
            raise _Refused("Messages hold text; images and other parts are not served.")
        content = "".join(str(part) for part in parts)
    if not isinstance(content, str):
        raise _Refused("A message has a content, which is text.")
    return {"role": "system" if message["role"] == "developer" else message["role"], "content": content}


class _Requests:
    """Settles each request before the server reads it."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], alias: str) -> None:
        self._app, self._alias = app, alias

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in _PLACES:
            await self._app(scope, receive, send)
            return
        try:
            settled = settle_request(_decode(await _read_body(receive)))
        except _Refused as refused:
            await _answer(send, 400, str(refused))
            return
        _template_variables.set(settled.pop("chat_template_kwargs", None) or {})
        # There is one model: a reply names what answered, whatever was asked for.
        settled["model"] = self._alias
        data = json.dumps(settled).encode()
        headers = [(k, v) for k, v in scope["headers"] if k not in (b"content-length", b"transfer-encoding")]
        scope = {**scope, "headers": [*headers, (b"content-length", str(len(data)).encode())]}
        given, left, gone = False, asyncio.Event(), threading.Event()
        _client_gone.set(gone)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            left.set()

        async def replay() -> MutableMapping[str, Any]:
            nonlocal given
            if given:
                await left.wait()
                return {"type": "http.disconnect"}
            given = True
            return {"type": "http.request", "body": data, "more_body": False}

        watching = asyncio.create_task(watch())
        try:
            await self._app(scope, replay, send)
        finally:
            watching.cancel()


def _decode(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _Refused("The request is not JSON.") from error


async def _read_body(receive: Receive) -> bytes:
    data = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused("The client is gone.")
        data += bytes(message.get("body", b""))
        if len(data) > MAX_BODY_BYTES:
            raise _Refused(f"The request is longer than {MAX_BODY_BYTES >> 20} MB.")
        if not message.get("more_body"):
            return data


async def _answer(send: Send, status: int, message: str) -> None:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    data = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


# ---------------------------------------------------------------------- the model


class _Tokenizer(LlamaTokenizer):  # type: ignore[misc]
    """Writes tokens as the worker does: the tags of reasoning blocks are text."""

    def __init__(self, llama: Llama, vocabulary: Vocabulary) -> None:
        super().__init__(llama)
        self._vocabulary = vocabulary

    def detokenize(self, tokens: list[int], prev_tokens: list[int] | None = None, special: bool = False) -> bytes:
        return b"".join(self._vocabulary.piece(token, special=special) for token in tokens)


class ChatHandler:
    """Answers a chat with the worker's prompt and the worker's ends of a turn."""

    def __init__(self, llama: Llama, path: Path) -> None:
        self._held: list[int] = []  # what the cache begins with, in whole blocks of a prompt
        self._vocabulary = Vocabulary(llama.model, path)
        self.prompts = ChatPrompts(self._vocabulary)
        llama.tokenizer_ = _Tokenizer(llama, self._vocabulary)

    def tokens(self, messages: list[dict[str, str]], variables: Mapping[str, Any]) -> list[int]:
        """The prompt of a chat. Raises a `UserError` where the template refuses it."""
        return self.prompts.tokenize(self.prompts.render(messages, variables))

    def _prefill(self, llama: Llama, prompt: list[int]) -> None:
        """Compute a prompt up to its last token, as `Session.prefill` does. The library would go on after whatever the
        cache has of it, answers too, and where a prompt is cut decides how llama.cpp rounds."""
        before = prompt[:-1]
        if len(prompt) >= llama.n_ctx():
            return  # it is refused
        # A text that was completed as it stands took the place of a chat.
        held = self._held[: common_length(self._held, llama.input_ids[: llama.n_tokens].tolist())]
        llama.n_tokens = whole_blocks(common_length(held, before))
        self._held = []
        llama.eval(before[llama.n_tokens :])
        self._held = before[: whole_blocks(len(before))]

    def __call__(
        self, *, llama: Llama, messages: list[dict[str, str]], stop: str | list[str] | None = None,
        stream: bool = False, logprobs: bool | None = None, top_logprobs: int | None = None, **settings: Any,
    ) -> Any:  # fmt: skip
        try:
            prompt = self.tokens(messages, _template_variables.get() or {})
        except (UserError, EngineError) as error:
            raise HTTPException(400, str(error)) from error
        ends, gone = self._vocabulary.end_ids, _client_gone.get()
        given = [stop] if isinstance(stop, str) else list(stop or ())
        taken = {k: v for k, v in settings.items() if k not in ("functions", "function_call", "tools", "tool_choice")}
        taken.pop("response_format", None)
        self._prefill(llama, prompt)
        found = llama.create_completion(
            prompt=prompt, stop=[*given, *self.prompts.template.stops], stream=stream,
            logprobs=(top_logprobs or 0) if logprobs else None,
            # llama.cpp's own ends of a text end it by themselves; the template's may be others.
            stopping_criteria=StoppingCriteriaList(
                [lambda tokens, _logits: int(tokens[-1]) in ends or (gone is not None and gone.is_set())]
            ), **taken,
        )  # fmt: skip
        return _convert_completion_to_chat(_with_opening(found, self.prompts.opened_block(prompt), stream), stream)


def _with_opening(found: Any, opened: str, stream: bool) -> Any:
    """The reply with the reasoning tag that the prompt ends with, as the worker gives it."""
    if not opened:
        return found
    if not stream:
        found["choices"][0]["text"] = opened + found["choices"][0]["text"]
        return found

    def chunks() -> Iterator[Any]:
        first = True
        for chunk in found:
            if first:
                chunk["choices"][0]["text"] = opened + chunk["choices"][0]["text"]
                first = False
            yield chunk

    return chunks()


# ---------------------------------------------------------------------- the process


class _Failed(Exception):
    """The server cannot start."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(problem, message)


def _listen(spec: ServeSpec) -> socket.socket:
    """The socket, before a model is loaded for nothing."""
    try:
        family, _, _, _, address = socket.getaddrinfo(spec.host, spec.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise _Failed(
            Problem.HOST,
            f"{spec.host!r} is no address of this machine ({error.strerror}). Use 127.0.0.1, or leave it out.",
        ) from error
    try:
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        if spec.port and error.errno in (getattr(socket, "EADDRINUSE", None), 98, 48, 10048):
            raise _Failed(
                Problem.PORT_TAKEN,
                f"Port {spec.port} of {spec.host} is taken by another program. Choose another port, or a free one "
                "with --port 0.",
            ) from error
        raise _Failed(
            Problem.HOST, f"Listening on {spec.host} port {spec.port} failed ({error.strerror}). Use another address."
        ) from error


def _context(spec: ServeSpec, facts: GgufFacts) -> int:
    trained = facts.n_ctx_train
    if spec.n_ctx > trained:
        raise _Failed(
            Problem.MODEL, f"{facts.name} was trained on {trained} tokens of context, and {spec.n_ctx} are asked for. "
            f"Use --context {trained} or less.",
        )  # fmt: skip
    return spec.n_ctx or min(USUAL_CONTEXT, trained)


def _clear_environment() -> None:
    """Let only the specification decide: the server takes settings from variables too, such as SEED and LORA_PATH."""
    names = {*ModelSettings.model_fields, *ServerSettings.model_fields, "config_file"}
    for name in [each for each in os.environ if each.lower() in names]:
        del os.environ[name]


def _load(spec: ServeSpec) -> tuple[Any, ModelSettings, ChatHandler]:
    """The server's application with its model."""
    _clear_environment()
    path = Path(spec.model)
    try:
        facts = describe_gguf(path)
    except UserError as error:
        raise _Failed(Problem.MODEL, str(error)) from error
    n_ctx = _context(spec, facts)
    threads = spec.threads or usual_threads()
    small = n_ctx * facts.n_vocab * 4 <= LOGPROBS_BYTES
    model = ModelSettings(
        model=spec.model, model_alias=spec.alias, n_ctx=n_ctx, n_threads=threads, n_threads_batch=threads,
        n_batch=min(BATCH_TOKENS, n_ctx), logits_all=small if spec.logprobs is None else spec.logprobs, verbose=False,
        # As the worker, whose context takes it by itself.
        flash_attn=True, n_ubatch=BLOCK_TOKENS,
    )  # fmt: skip
    # A request at work is never cut short by the next one.
    server = ServerSettings(
        host=spec.host,
        port=spec.port,
        api_key=spec.api_key or None,
        interrupt_requests=False,
    )
    try:
        app = llama_app.create_app(server_settings=server, model_settings=[model])
    except (ValueError, RuntimeError, AssertionError, MemoryError) as error:
        raise _Failed(
            Problem.MODEL, f"{path}: llama.cpp cannot load this file: {last_complaint()}. Choose another model, or "
            "convert this one again with a current tool.",
        ) from error  # fmt: skip
    app.user_middleware = [each for each in app.user_middleware if each.cls is not CORSMiddleware]
    # Pages of this machine may ask; a page of the web that a browser shows may not.
    app.add_middleware(_Requests, alias=spec.alias)
    app.add_middleware(CORSMiddleware, allow_origin_regex=LOCAL_ORIGINS, allow_methods=["*"], allow_headers=["*"])
    assert llama_app._llama_proxy is not None
    llama = llama_app._llama_proxy(spec.alias)
    handler = ChatHandler(llama, path)
    llama.chat_handler = handler
    return app, model, handler


class _Server(uvicorn.Server):
    """Says when it listens, and leaves signals to `main`."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _end(code: int = 0) -> NoReturn:
    """End without clean-up: a thread may be deep in llama.cpp, and the system frees everything."""
    remove_record(os.getpid())
    sys.stderr.flush()
    os._exit(code)


class _Process:
    """The server from its specification to its end."""

    def __init__(self, spec: ServeSpec, pipe: BinaryIO) -> None:
        self._spec, self._pipe = spec, pipe
        self._server: _Server | None = None

    def _emit(self, line: ServerLine) -> None:
        # A starter that is gone is noticed by the end of standard input.
        with contextlib.suppress(OSError):
            self._pipe.write(msgspec.json.encode(line) + b"\n")
            self._pipe.flush()

    def run(self) -> NoReturn:
        try:
            listening = _listen(self._spec)
            self._emit(ServerLine(stage=Stage(f"Loading {self._spec.alias}")))
            app, model, handler = _load(self._spec)
        except _Failed as failed:
            self._emit(ServerLine(failure=failed.failure))
            _end(2)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=int(END_S))
        record = ServerRecord(
            pid=os.getpid(), born=own_birth(), model=self._spec.model, alias=self._spec.alias, host=self._spec.host,
            port=listening.getsockname()[1], n_ctx=model.n_ctx, threads=model.n_threads, logprobs=model.logits_all,
            locked=bool(self._spec.api_key), keep=self._spec.keep, started=time.time(),
            template_note=handler.prompts.template.note.text,
        )  # fmt: skip

        def ready() -> None:
            write_record(record)
            self._emit(ServerLine(ready=record))
            with contextlib.suppress(OSError):
                self._pipe.close()

        self._server = _Server(config, ready)
        asyncio.run(self._server.serve(sockets=[listening]))
        _end()

    def stop(self) -> None:
        """Let requests at work end, for a moment."""
        if self._server is None:
            _end()
        self._server.should_exit = True
        timer = threading.Timer(END_S + 1, _end)
        timer.daemon = True
        timer.start()

    def stop_with_input(self) -> None:
        """End when the process that started this one does: it holds the other end of standard input."""
        while sys.stdin.buffer.read(1024):
            pass
        self.stop()


def main() -> NoReturn:
    # Ctrl+C in a terminal reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = os.fdopen(os.dup(1), "wb")
    # Whatever prints to stdout by itself ends up in the log and not between the lines.
    os.dup2(2, 1)
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=ServeSpec)
    start_llama()
    process = _Process(spec, pipe)
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    if not spec.keep:
        threading.Thread(target=process.stop_with_input, daemon=True).start()
    process.run()


if __name__ == "__main__":
    main()
