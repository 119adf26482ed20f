"""`python -m training complete`: a few prompts answered by one model folder, for trying a model out.

Reads one JSON request from standard input and writes JSON lines to standard output: one for each prompt as its batch is
done, and lines with `done` and `total` (prompts) in between. Nothing is written to disk.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

from training.engine.base import SamplingParams
from training.engine.models import resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.runs.files import decode

PROGRESS_S = 0.5


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What is asked. `chats` are written by the model's chat template, `prompts` are plain text; chats come first.

    `texts` are only cut into tokens, whose ids come first. `batch` prompts are answered at once. `temperature` 0 is
    greedy.
    """

    model: str
    chats: tuple[tuple[dict[str, str], ...], ...] = ()
    prompts: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    max_tokens: int = 128
    temperature: float = 0.0
    seed: int = 0
    batch: int = 5
    template_variables: dict[str, Any] = field(default_factory=dict)
    device: str = "auto"
    threads: int = 0


def request_of(text: str) -> CompletionRequest:
    """Read a request; a UserError that names what is wrong with it."""
    return decode(text, CompletionRequest, "The request on standard input", "Write one JSON object with these fields.")


def complete(request: CompletionRequest, out: TextIO) -> None:
    """One line a prompt, in order, flushed as its batch is done."""

    def write(line: dict[str, Any]) -> None:
        print(json.dumps(line, ensure_ascii=False), file=out, flush=True)

    for line in answers(request, write):
        write(line)


def answers(
    request: CompletionRequest, write: Callable[[dict[str, Any]], object] = lambda _progress: None
) -> Iterator[dict[str, Any]]:
    """The lines of all texts and prompts; `write` gets those of progress."""
    backend = LocalTorchBackend(resolve_model(request.model), device=request.device, threads=request.threads)
    tokenizer = backend.codec.tokenizer
    for text in request.texts:
        yield {"ids": tokenizer.encode(text, add_special_tokens=False)}
    encoded = [backend.codec.encode_chat(chat, request.template_variables) for chat in request.chats]
    encoded += [tuple(int(i) for i in tokenizer(text)["input_ids"]) for text in request.prompts]
    params = SamplingParams(request.max_tokens, request.temperature, request.seed)
    last = 0.0
    for start in range(0, len(encoded), request.batch):
        part = encoded[start : start + request.batch]

        def report(done: int, total: int, start: int = start, rows: int = len(part)) -> None:
            nonlocal last
            if time.monotonic() - last >= PROGRESS_S and total:
                last = time.monotonic()
                write({"done": start + rows * done / total, "total": len(encoded)})

        began = time.monotonic()
        drawn = backend.sample(part, 1, params, progress=report)
        seconds = (time.monotonic() - began) / len(part)
        for place, (completion,) in enumerate(drawn, start):
            text = backend.codec.completion_text(encoded[place], completion.tokens)
            yield {
                "text": text, "tokens": len(completion.tokens),
                "truncated": completion.truncated, "logprobs": list(completion.logprobs), "seconds": seconds,
                "prompt_tokens": len(encoded[place]),
            }  # fmt: skip
