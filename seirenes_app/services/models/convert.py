"""GGUF to a Hugging Face folder that can be trained, and the proof that both compute the same. No Qt.

llama.cpp answers a few prompts on the file. A process of the trainer writes the folder and answers them with torch.
Then tokens, texts and log-probabilities are compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from seirenes_app.inference.client import Samples, WorkerClient
from seirenes_app.inference.model_client import Cancelled
from seirenes_app.inference.model_export import run_verb
from seirenes_app.inference.protocol import SampleRequest, ScoreRequest, ScoreResult
from seirenes_app.services.formatting import byte_size, decimal
from seirenes_app.services.models.check import wait_for
from seirenes_app.services.models.facts import ModelFiles, ModelFormat, read_files
from training.errors import UserError
from training.model_names import CONVERTIBLE, split_parts
from training.runs.files import user_path

COMPARED_TOKENS = 24
CLOSE, CLOSE_QUANTISED = 0.02, 0.15
"""Mean difference of log-probabilities, in nats a token, below which two forms count as the same model. llama.cpp also
rounds activations where the weights are quantised, and torch does not."""
_EXACT = ("F32", "F16", "BF16")
_BAR = re.compile(r"(\d{1,3})%\|")

PROMPTS = (
    "Nora has 14 stickers and gives 5 of them to Sam. Nora has",
    "The capital of France is",
    "1, 2, 3, 4, 5, 6,",
    "Once upon a time, in a small village by the sea, there was",
)
TEXTS = (
    "It's 12:30, and they've got 1,234.5 kg (about 50%) left!  Two  spaces,\ttab,\n\nnew paragraph.",
    "Größe naïve café – “quotes” … 東京 мир 안녕 🍎 x² = ½",
    "def f(x):\n    return x ** 2  # 0000 111 22",
)
"""Texts whose cut into tokens is compared."""


@dataclass(frozen=True, slots=True)
class ConvertProgress:
    """What goes on. `share` of this stage, 0 to 1; None where it is not known."""

    stage: str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class FormsComparison:
    """A GGUF against its folder. `gap` is the mean difference of log-probabilities in nats a token, over the tokens
    that both wrote before they parted; `same_text` counts the prompts that both went on with in the same words."""

    texts: int
    same_ids: int
    prompts: int
    same_text: int
    compared_tokens: int
    gap: float
    largest_gap: float
    quantised: bool

    @property
    def sound(self) -> bool:
        """Whether both are the same model."""
        limit = CLOSE_QUANTISED if self.quantised else CLOSE
        enough = self.quantised or self.same_text == self.prompts
        return self.same_ids == self.texts and enough and self.compared_tokens > 0 and self.gap <= limit

    @property
    def sentence(self) -> str:
        rounding = " llama.cpp also rounds activations of quantised models, so small differences remain."
        return (
            f"{self.same_ids} of {self.texts} texts are cut into the same tokens; {self.same_text} of {self.prompts} "
            f"prompts are continued in the same words; log-probabilities differ by {decimal(self.gap, 4)} nats a "
            f"token on average, {decimal(self.largest_gap, 4)} at most, over {self.compared_tokens} tokens."
            f"{rounding if self.quantised else ''}"
        )


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """The folder that was written, and how it compares with the file."""

    out: Path
    size_bytes: int
    dtype: str
    comparison: FormsComparison

    @property
    def sentence(self) -> str:
        written = f"{self.out} ({byte_size(self.size_bytes)}, {self.dtype}) was written."
        if self.comparison.sound:
            return f"{written} It computes what the GGUF file does."
        return f"{written} It does not compute what the GGUF file does: do not use it."


def default_folder(source: Path) -> Path:
    """Where a converted model goes by itself: beside its file."""
    return source.with_name(f"{source.stem}-hf")


def needed_bytes(files: ModelFiles) -> int:
    """What the folder takes on disk."""
    return files.n_params * (4 if files.quantisation == "F32" else 2)


def check_convertible(source: Path) -> ModelFiles:
    """The facts of a GGUF that can be converted; a UserError says why another cannot, before anything starts."""
    files = read_files(source)
    if files.format is not ModelFormat.GGUF:
        raise UserError(f"{source} is a folder already: it can be trained as it is.")
    if files.problem:
        raise UserError(f"{source.name} cannot be converted. {files.problem}")
    if files.architecture not in CONVERTIBLE:
        raise UserError(
            f"{source.name} is a {files.architecture} model, which cannot be converted. Convertible architectures: "
            f"{', '.join(sorted(CONVERTIBLE))}."
        )
    if len(split_parts(source.name)) > 1:
        raise UserError(
            f"{source.name} is one of several parts, which cannot be converted. Join them first with llama.cpp's "
            "llama-gguf-split --merge, or download the model's Hugging Face folder."
        )
    return files


def convert_gguf(
    source: Path,
    out: Path,
    *,
    dtype: str = "",
    force: bool = False,
    on_progress: Callable[[ConvertProgress], object] = lambda _progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> ConvertResult | None:
    """Write the folder `out` from the GGUF `source` and compare the two. Blocks: off the window's thread.

    `dtype` is float32, float16 or bfloat16; "" keeps those, and stores quantised weights in float16. None when
    cancelled: nothing half written is left. A UserError for what cannot be converted.
    """
    source, out = user_path(source), user_path(out)
    files = check_convertible(source)
    if out.exists() and not force:
        raise UserError(f"{out} exists already. Name another folder, or let it be replaced (--force).")
    # The file first: what llama.cpp cannot read need not be converted.
    on_progress(ConvertProgress("Asking the file"))
    try:
        ours = _by_llama(source, cancelled)
    except Cancelled:
        return None
    ask = {"model": "", "texts": TEXTS, "prompts": PROMPTS, "max_tokens": COMPARED_TOKENS, "device": "cpu"}
    arguments = ["from-gguf", str(source), "--out", str(out), "--ask", json.dumps(ask), *(["--force"] if force else [])]
    arguments += ["--dtype", dtype] if dtype else []
    stage = "Starting"
    on_progress(ConvertProgress(stage))

    def report(figures: dict[str, Any]) -> None:
        nonlocal stage
        stage = str(figures["stage"])
        on_progress(ConvertProgress(stage))

    def bar(text: str) -> None:
        if found := _BAR.search(text):
            on_progress(ConvertProgress(stage, min(1.0, int(found[1]) / 100)))

    done = run_verb(arguments, "The conversion failed.", report, cancelled, bar)
    if done is None:
        return None
    theirs = _Answers(
        [_Continued(line["text"], line["logprobs"]) for line in done["answers"] if "text" in line],
        [line["ids"] for line in done["answers"] if "ids" in line],
    )
    comparison = compare_forms(ours, theirs, quantised=files.quantisation not in _EXACT)
    return ConvertResult(out, int(done["bytes"]), str(done["dtype"]), comparison)


# ---------------------------------------------------------------------- comparison


@dataclass(frozen=True, slots=True)
class _Continued:
    text: str
    logprobs: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Answers:
    """One form's continuations of the prompts, and the ids of the texts' tokens."""

    continued: list[_Continued]
    ids: list[list[int]]


def compare_forms(ours: _Answers, theirs: _Answers, *, quantised: bool) -> FormsComparison:
    """What both forms of a model answered, compared."""
    gaps = [gap for a, b in zip(ours.continued, theirs.continued, strict=True) for gap in _gaps(a, b)]
    return FormsComparison(
        texts=len(TEXTS),
        same_ids=sum(a == b for a, b in zip(ours.ids, theirs.ids, strict=True)),
        prompts=len(PROMPTS),
        same_text=sum(a.text == b.text for a, b in zip(ours.continued, theirs.continued, strict=True)),
        compared_tokens=len(gaps),
        gap=sum(gaps) / len(gaps) if gaps else 0.0,
        largest_gap=max(gaps, default=0.0),
        quantised=quantised,
    )


def _gaps(a: _Continued, b: _Continued) -> list[float]:
    """Differences on the tokens that both wrote: all where the texts are equal, else those of the shared beginning."""
    pairs = list(zip(a.logprobs, b.logprobs, strict=False))
    if a.text != b.text:
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a.text, b.text, strict=False)))
        whole = len(a.text)
        pairs = pairs[: int(len(pairs) * shared / whole) if whole else 0]
    return [abs(x - y) for x, y in pairs]


def _by_llama(path: Path, cancelled: Callable[[], bool]) -> _Answers:
    continued, ids = [], []
    with WorkerClient() as client:
        wait_for(client.load(path), cancelled)
        for prompt in PROMPTS:
            request = SampleRequest(prompt=prompt, max_tokens=COMPARED_TOKENS, temperature=0.0, logprobs=True)
            found = wait_for(client.send(request), cancelled)
            assert isinstance(found, Samples)
            (sample,) = found.samples
            continued.append(_Continued(sample.text, sample.logprobs or ()))
        for text in TEXTS:
            scored = wait_for(client.send(ScoreRequest(prompt="\n", completion=text)), cancelled)
            assert isinstance(scored, ScoreResult)
            ids.append(list(scored.token_ids))
    return _Answers(continued, ids)
