"""What a model is, from its files alone: no torch, no llama.cpp, and nothing of it is run.

A Hugging Face folder, a PEFT adapter folder or a GGUF file; what cannot be used is said with the reason. Reads headers
and small files, none of which can make it wait.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seirenes_app.inference.models import GgufFacts, describe_gguf, is_compact
from seirenes_app.inference.safetensors_header import SafetensorsHeader, read_safetensors
from seirenes_app.services import estimate
from seirenes_app.services.formatting import brief, byte_size
from seirenes_app.services.machine import read_memory
from seirenes_app.store.resources import starter_folder
from training.core.chat_template import ChatTemplate, TemplateNote, folder_template
from training.core.prompts import ModelKind, PromptProfile
from training.errors import UserError
from training.model_names import locate_folder
from training.prompt_files import COMPACT, NEUTRAL, built_in
from training.runs.config import ModelConfig, RunConfig, Tuning
from training.runs.files import FileIdentity, file_identity, open_regular

if TYPE_CHECKING:
    from seirenes_app.services.models.inventory import ModelEntry

CONFIG, ADAPTER_CONFIG, INDEX = "config.json", "adapter_config.json", "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5")
_SMALL_BYTES, _TOKENIZER_BYTES, _README_BYTES = 8 << 20, 128 << 20, 64 << 10

CONTEXT_USED = 4096
"""Tokens of context that the memory for inference is counted for, where the model has as many."""
COMPUTE_BYTES = 160 << 20  # llama.cpp's work space and this program's worker process
ROOMY, USABLE = 0.85, 0.95  # shares of the free, and of all, memory that a model may take

_CAUSAL = re.compile(r"(ForCausalLM|LMHeadModel|ForConditionalGeneration)$")
_LAYERS = {"full_attention", "sliding_attention"}
_DTYPE_BITS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


class ModelFormat(StrEnum):
    FOLDER = "folder"  # a Hugging Face folder
    GGUF = "gguf"
    ADAPTER = "adapter"  # a PEFT adapter folder
    ENDPOINT = "endpoint"  # a model behind an OpenAI-compatible server: it has no files here


class FitLevel(StrEnum):
    YES = "yes"
    TIGHT = "tight"  # only when other programs are closed
    NO = "no"


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether something fits in this machine's memory. `sentence` says it in words."""

    level: FitLevel
    needed_bytes: int
    available_bytes: int
    sentence: str


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The facts that a list shows. Lengths in tokens; `cell_bytes` is what one token takes in a 16-bit cache.

    `problem` says why the model cannot be used; empty where it can. Then the rest may be empty or zero.
    """

    path: Path
    format: ModelFormat
    size_bytes: int = 0
    problem: str = ""
    architecture: str = ""
    n_params: int = 0
    quantisation: str = ""
    n_ctx: int = 0
    n_vocab: int = 0
    n_layers: int = 0
    width: int = 0
    cell_bytes: int = 0
    tied_head: bool | None = None
    base: str = ""


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """Everything that is known of a model. `training_full` and `training_lora` are None where it is not trainable as
    it is; `training_note` says what to do then. `notes` are cautions that do not forbid its use."""

    files: ModelFiles
    kind: ModelKind
    template_note: TemplateNote
    end_ids: tuple[int, ...]
    licence: str
    inference: Fit | None
    training_full: Fit | None
    training_lora: Fit | None
    training_note: str
    notes: tuple[str, ...]

    @property
    def usable(self) -> bool:
        return not self.files.problem


# ---------------------------------------------------------------------- one model


def describe_model(model: ModelEntry | Path) -> ModelDescription:
    """All facts of a model. What cannot be used is described too, with its `problem`; a UserError where nothing is.

    Reads the tokenizer and asks the GPU's driver, which may take a second: call it off the window's thread.
    """
    path = model if isinstance(model, Path) else model.path
    files = read_files(path)
    if files.format is ModelFormat.GGUF:
        return _describe_gguf_file(files)
    files = replace(files, problem=files.problem or tokenizer_problem(files))
    return _describe_folder(files)


def read_files(path: Path) -> ModelFiles:
    """What a list shows of the model at `path`. A UserError where there is no model; a broken one has a `problem`."""
    if path.is_dir():
        return read_folder(path)
    identity = file_identity(path)
    if identity is None:
        raise UserError(f"{path}: there is no such file or folder. Name a GGUF file or a Hugging Face model folder.")
    return _read_gguf(path, identity)


@lru_cache(maxsize=512)
def _read_gguf(path: Path, identity: FileIdentity) -> ModelFiles:
    try:
        facts = describe_gguf(path)
    except UserError as error:
        return ModelFiles(path, ModelFormat.GGUF, identity[2], _reason(error, path))
    return ModelFiles(
        path, ModelFormat.GGUF, facts.size_bytes, "", facts.architecture, facts.n_params, facts.quantisation,
        facts.n_ctx_train, facts.n_vocab, facts.n_layers, facts.width, facts.cell_bytes, facts.tied_head,
    )  # fmt: skip


def _reason(error: UserError, path: Path) -> str:
    """The error's text without the path that a list shows already, as a sentence."""
    text = str(error).removeprefix(f"{path}:").removeprefix(f"{path} ").replace(f"{path}{os.sep}", "").strip()
    # A file's name keeps its own spelling.
    return text[:1].upper() + text[1:] if text.split(" ", 1)[0].isalpha() else text


def _describe_gguf_file(files: ModelFiles) -> ModelDescription:
    if files.problem:
        return ModelDescription(files, ModelKind.BASE, TemplateNote(), (), "", None, None, None, "", ())
    facts: GgufFacts = describe_gguf(files.path)
    template = template_of(files)
    return ModelDescription(
        files, kind_of(files, template), template.note, facts.end_ids, facts.licence, fit_for_inference(files),
        None, None,
        "A GGUF file cannot be trained as it is: convert it to a Hugging Face folder first.",
        () if facts.end_ids else ("The file names no end token, so every answer runs to the token limit.",),
    )  # fmt: skip


def _describe_folder(files: ModelFiles) -> ModelDescription:
    folder = files.path
    base = find_base(files.base, folder) if files.format is ModelFormat.ADAPTER else None
    template = template_of(files)
    ends = read_end_ids(base or folder)
    notes = () if files.problem else tuple(_tokenizer_notes(_tokenizer_folder(files), files, ends))
    usable = not files.problem
    licence = read_licence(folder) or (read_licence(base) if base else "")
    return ModelDescription(
        files, kind_of(files, template), template.note, ends, licence,
        fit_for_inference(files) if usable else None,
        fit_for_training(files, Tuning.FULL) if usable and files.format is ModelFormat.FOLDER else None,
        fit_for_training(files, Tuning.LORA) if usable else None, "", notes,
    )  # fmt: skip


_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json")

# ---------------------------------------------------------------------- folders


def is_model_folder(folder: Path) -> bool:
    """Whether a folder claims to be a model: an adapter, or a config.json that names an architecture."""
    if (folder / ADAPTER_CONFIG).is_file():
        return True
    if not (folder / CONFIG).is_file():
        return False
    config = _object(folder / CONFIG)
    return "model_type" in config or "architectures" in config


def read_folder(folder: Path) -> ModelFiles:
    """What a list shows of a folder. A UserError where it claims to be no model."""
    if (folder / ADAPTER_CONFIG).is_file():
        return _read_adapter(folder)
    if (folder / CONFIG).is_file() and (config := _object(folder / CONFIG)):
        return _read_whole(folder, config)
    weights = sorted(p.name for p in _files(folder) if p.suffix in (".safetensors", ".gguf", *PICKLED))
    if weights:
        reason = f"It has weights ({weights[0]}) and no readable config.json. Copy the whole model."
        return ModelFiles(folder, ModelFormat.FOLDER, _size(_files(folder)), reason)
    raise UserError(f"{folder} is not a Hugging Face model folder: it has no config.json. Name another folder.")


def _read_whole(folder: Path, config: Mapping[str, Any]) -> ModelFiles:
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    assert isinstance(text, Mapping)
    files = _files(folder)
    layers, width, cell = _shape(text)
    found = ModelFiles(
        folder, ModelFormat.FOLDER, _size([f for f in files if f.suffix != ".gguf"]),
        architecture=str(config.get("model_type") or ""),
        quantisation=_stored_type(config, text), n_ctx=_whole(text, "max_position_embeddings", "n_positions"),
        tied_head=_tied(config, text), n_vocab=_whole(text, "vocab_size"), n_layers=layers, width=width,
        cell_bytes=cell,
    )  # fmt: skip
    try:
        headers = _weight_headers(folder, files)
    except UserError as error:
        return replace(found, problem=_reason(error, folder))
    params = sum(h.n_params for h in headers)
    types = Counter(kind for h in headers for kind, _ in h.tensors.values())
    found = replace(
        found, n_params=params, quantisation=found.quantisation or types.most_common(1)[0][0] if types else ""
    )
    return replace(found, problem=_folder_problem(folder, config, text, headers, found))


def _shape(text: Mapping[str, Any]) -> tuple[int, int, int]:
    """Layers, width, and bytes of a 16-bit cache for one token."""
    width, heads = _whole(text, "hidden_size", "n_embd"), _whole(text, "num_attention_heads", "n_head")
    layers = _whole(text, "num_hidden_layers", "n_layer")
    head = _whole(text, "head_dim") or (width // heads if heads else 0)
    return layers, width, layers * 2 * 2 * head * (_whole(text, "num_key_value_heads") or heads)


def _whole(config: Mapping[str, Any], *names: str) -> int:
    """The first of these fields that is a positive whole number; else 0."""
    values = (config.get(name) for name in names)
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0), 0)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _tied(config: Mapping[str, Any], text: Mapping[str, Any]) -> bool | None:
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings"))
    return tied if isinstance(tied, bool) else None


def _stored_type(config: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    quantised = config.get("quantization_config")
    if isinstance(quantised, dict):
        return str(quantised.get("quant_method") or "quantised")
    named = str(config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype") or "")
    return _DTYPE_BITS.get(named.removeprefix("torch."), "")


def _weight_headers(folder: Path, files: Sequence[Path]) -> list[SafetensorsHeader]:
    """The headers of all weight files. A UserError that says what is missing, damaged or pickled."""
    index = folder / INDEX
    if index.is_file():
        listed = _object(index).get("weight_map")
        if not isinstance(listed, dict) or not listed:
            raise UserError(f"{INDEX} cannot be read. Copy or download the model again.")
        names = sorted({str(name) for name in listed.values()})
        there = {file.name for file in files}
        missing = [name for name in names if name not in there]
        if missing:
            raise UserError(
                f"{len(missing)} of its {len(names)} weight files {'are' if len(missing) > 1 else 'is'} missing: "
                f"{', '.join(brief(name, 80) for name in missing[:3])}. Download the model again: what is there is not "
                "downloaded twice."
            )
        return [read_safetensors(folder / name) for name in names]
    weights = [file for file in files if file.suffix == ".safetensors"]
    if not weights:
        if any(file.suffix in PICKLED for file in files):
            raise UserError(
                "It has pickled weights only (such as pytorch_model.bin), which can run code when they are opened and "
                "are never loaded here. Choose a version with safetensors or GGUF."
            )
        raise UserError("It has no weights (*.safetensors): the download or the copy is incomplete. Download it again.")
    return [read_safetensors(file) for file in weights]


def _folder_problem(
    folder: Path, config: Mapping[str, Any], text: Mapping[str, Any], headers: Sequence[SafetensorsHeader],
    found: ModelFiles,
) -> str:  # fmt: skip
    """Why the model in a folder with sound weights cannot be used; empty where it can."""
    names = [str(name) for name in _list(config.get("architectures"))]
    strange = {str(kind) for kind in _list(text.get("layer_types"))} - _LAYERS
    if (folder / "modules.json").is_file() or (folder / "config_sentence_transformers.json").is_file():
        return "It makes vectors of texts (an embedding or ranking model) and writes no text. Choose another model."
    if names and not any(_CAUSAL.search(name) for name in names):
        return f"Its architecture, {names[0]}, writes no text. Choose a text generation model."
    if config.get("is_encoder_decoder"):
        return "It is an encoder-decoder, which is not supported. Choose a decoder model, such as Qwen or Llama."
    if strange:
        return f"It has layers of the kind {', '.join(sorted(strange))}, which are not supported here."
    if isinstance(config.get("quantization_config"), dict):
        return (
            f"Its weights are quantised with {found.quantisation}, which is not loaded here. Choose the model without "
            "quantisation, or a GGUF of it."
        )
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        return "It has no tokenizer (tokenizer.json). Copy the tokenizer's files of this model into the folder."
    rows = next(
        (shape[0] for h in headers for name, (_, shape) in h.tensors.items() if name.endswith("embed_tokens.weight")), 0
    )
    if rows and found.n_vocab and rows != found.n_vocab:
        return (
            f"Its weights have {rows:,} tokens and config.json says {found.n_vocab:,}. Copy config.json and weights of "
            "one and the same model."
        )
    return ""


def _read_adapter(folder: Path) -> ModelFiles:
    config, files = _object(folder / ADAPTER_CONFIG), _files(folder)
    base = config.get("base_model_name_or_path")
    found = ModelFiles(
        folder, ModelFormat.ADAPTER, _size(files), architecture=str(config.get("peft_type") or "").lower(),
        base=base if isinstance(base, str) else "",
    )  # fmt: skip
    weights = folder / "adapter_model.safetensors"
    if not found.base:
        return replace(found, problem="It is an adapter that names no base model. Save or export the adapter again.")
    if found.architecture != "lora":
        kind = found.architecture or "unknown"
        return replace(found, problem=f"It is an adapter of the kind {kind}; only LoRA adapters are supported.")
    if not weights.is_file():
        pickled = " Pickled weights are never loaded." if (folder / "adapter_model.bin").is_file() else ""
        return replace(found, problem=f"The adapter has no adapter_model.safetensors.{pickled} Save it again.")
    try:
        params = read_safetensors(weights).n_params
    except UserError as error:
        return replace(found, problem=_reason(error, weights))
    place = find_base(found.base, folder)
    if place is None:
        remedy = "Put the base model there, or correct base_model_name_or_path in adapter_config.json."
        return replace(
            found, n_params=params, problem=f"Its base model, {found.base}, is not on this machine. {remedy}"
        )
    whole = read_folder(place)
    found = replace(
        found, architecture=whole.architecture, n_params=whole.n_params + params, quantisation=whole.quantisation,
        n_ctx=whole.n_ctx, n_vocab=whole.n_vocab, n_layers=whole.n_layers, width=whole.width,
        cell_bytes=whole.cell_bytes, tied_head=whole.tied_head,
    )  # fmt: skip
    return replace(found, problem=f"Its base model, {found.base}: {whole.problem}") if whole.problem else found


def find_base(name: str, folder: Path) -> Path | None:
    """The folder of an adapter's base model: 'starter', a path, or a hub id in the cache. None where it is not here."""
    if name == "starter":
        return starter_folder()
    places = [Path(name), folder / name]
    with suppress(UserError):
        places.append(locate_folder(name))
    for path in places:
        # An adapter that names an adapter, or itself, has no base model here.
        if _is_folder(path) and (path / CONFIG).is_file() and not (path / ADAPTER_CONFIG).is_file():
            return path
    return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long
        return False


def _files(folder: Path) -> list[Path]:
    """The regular files in a folder; links are followed. Empty where it may not be read."""
    try:
        return [path for path in sorted(folder.iterdir()) if path.is_file()]
    except OSError:
        return []


def _size(files: Sequence[Path]) -> int:
    return sum(identity[2] for file in files if (identity := file_identity(file)))


def read_small(path: Path, limit: int = _SMALL_BYTES) -> str:
    """The text of a small file; empty where it is missing, larger than `limit` bytes, or not a plain file."""
    try:
        with open_regular(path) as file:
            data = file.read(limit + 1)
    except (OSError, UserError):
        return ""
    return data.decode("utf-8", "replace") if len(data) <= limit else ""


def _object(path: Path, limit: int = _SMALL_BYTES) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none."""
    try:
        found = json.loads(read_small(path, limit))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


# ---------------------------------------------------------------------- template, end tokens, licence


def template_of(files: ModelFiles) -> ChatTemplate:
    """The chat template of a model, of an adapter without one its base's; tried out, and never a failure."""
    if files.format is ModelFormat.GGUF:
        return ChatTemplate("" if files.problem else describe_gguf(files.path).chat_template)
    return folder_template(_tokenizer_folder(files))


def _tokenizer_folder(files: ModelFiles) -> Path:
    base = find_base(files.base, files.path) if files.format is ModelFormat.ADAPTER else None
    own = base is None or any((files.path / name).is_file() for name in _TOKENIZERS)
    return files.path if own or base is None else base


def kind_of(files: ModelFiles, template: ChatTemplate) -> ModelKind:
    """What sort of model it is, for prompts and token limits."""
    if _is_compact(files):
        return ModelKind.COMPACT
    if template.plain:
        return ModelKind.BASE
    return ModelKind.REASONING if template.reasons else ModelKind.INSTRUCT


def profile_of(files: ModelFiles) -> PromptProfile:
    """The prompt profile that fits a model by itself."""
    return built_in(COMPACT if _is_compact(files) else NEUTRAL)


def _is_compact(files: ModelFiles) -> bool:
    return is_compact(files.n_vocab, files.n_params)


def read_end_ids(folder: Path) -> tuple[int, ...]:
    """The ids of the tokens that end a turn, as generation_config.json and config.json name them."""
    found: list[int] = []
    for name in ("generation_config.json", CONFIG):
        ids = _object(folder / name).get("eos_token_id")
        found += [i for i in (ids if isinstance(ids, list) else [ids]) if isinstance(i, int)]
    return tuple(dict.fromkeys(found))


def read_licence(folder: Path) -> str:
    """The licence that the model card's front matter names; empty where it names none."""
    head = re.match(r"---\s*\n(.*?)\n---", read_text_start(folder / "README.md"), re.DOTALL)
    if head is None:
        return ""
    fields = dict(re.findall(r"^(license(?:_name)?):\s*[\"']?([\w .+-]+?)[\"']?\s*$", head[1], re.MULTILINE))
    licence = fields.get("license", "")
    return str(fields.get("license_name", licence) if licence == "other" else licence)


def read_text_start(path: Path, limit: int = _README_BYTES) -> str:
    try:
        with open_regular(path) as file:
            return file.read(limit).decode("utf-8", "replace")
    except (OSError, UserError):
        return ""


def tokenizer_problem(files: ModelFiles) -> str:
    """Whether the tokenizer is another model's, as far as its ids tell; empty where it fits. Reads the tokenizer."""
    texts = {} if files.format is ModelFormat.GGUF or files.problem else _token_texts(_tokenizer_folder(files))
    if not texts or not files.n_vocab or max(texts) < files.n_vocab:
        return ""
    return (
        f"Its tokenizer has tokens up to id {max(texts):,} and the model knows {files.n_vocab:,}: it is the "
        "tokenizer of another model. Copy the tokenizer's files of this model."
    )


def require_usable(path: Path) -> ModelFiles:
    """The facts of a model that can be used; a UserError with the reason where it cannot, its tokenizer included."""
    files = read_files(path)
    if problem := files.problem or tokenizer_problem(files):
        raise UserError(f"{path} cannot be used. {problem}")
    return files


def _tokenizer_notes(folder: Path, files: ModelFiles, ends: Sequence[int]) -> list[str]:
    """Signs that the tokenizer may be another model's."""
    notes = [] if ends else ["Its files name no end token, so every answer runs to the token limit."]
    texts = _token_texts(folder)
    if texts and len(texts) < files.n_vocab // 2:
        notes.append(
            f"Its tokenizer has {len(texts):,} tokens and the model {files.n_vocab:,}: it may be the tokenizer of "
            "another model."
        )
    return notes


def _token_texts(folder: Path) -> dict[int, str]:
    """Token texts by id, from tokenizer.json; empty where it cannot be read."""
    spec = _object(folder / "tokenizer.json", _TOKENIZER_BYTES)
    model = spec.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    texts: dict[int, str] = {}
    if isinstance(vocab, dict):
        texts = {i: text for text, i in vocab.items() if isinstance(i, int)}
    else:
        texts = {i: str(pair[0]) for i, pair in enumerate(_list(vocab)) if isinstance(pair, list) and pair}
    for token in _list(spec.get("added_tokens")):
        if isinstance(token, dict) and isinstance(token.get("id"), int):
            texts[token["id"]] = str(token.get("content"))
    return texts


# ---------------------------------------------------------------------- memory


def fit_for_inference(files: ModelFiles) -> Fit:
    """Whether the model runs here: weights, and a cache for the context used.

    A GGUF runs in main memory; a folder in float32 there, or in 16 bits on an NVIDIA GPU that has the room.
    """
    cache = files.cell_bytes * min(files.n_ctx or CONTEXT_USED, CONTEXT_USED)
    if files.format is ModelFormat.GGUF:
        return _fit("Running it", files.size_bytes + cache + COMPUTE_BYTES)
    libraries = int(estimate.LIBRARIES_MB * 2**20)
    return _fit("Running it", 4 * files.n_params + 2 * cache + libraries, 2 * files.n_params + cache + libraries)


def fit_for_training(files: ModelFiles, tuning: Tuning) -> Fit:
    """Whether self-play with the default settings trains the model here, whole or by a LoRA adapter."""
    shape = estimate.Shape(files.n_layers, files.width, files.cell_bytes // (4 * max(1, files.n_layers)), files.n_vocab)
    config = RunConfig(model=ModelConfig(path=str(files.path), tuning=tuning))
    needed = estimate.estimate_memory(config, files.n_params, shape).megabytes
    doing = "Training all weights" if tuning is Tuning.FULL else "Training a LoRA adapter"
    return _fit(doing, int(needed * 2**20), int(needed * 2**20))


def _fit(doing: str, needed: int, on_gpu: int = 0) -> Fit:
    """Compare with the GPU where it is used and has the room, else with main memory. `on_gpu`: what it takes there."""
    memory = read_memory()
    if on_gpu and memory.gpu_total and on_gpu <= ROOMY * memory.gpu_free:
        words = f"{doing} takes about {byte_size(on_gpu)} of the GPU's {byte_size(memory.gpu_total)}."
        return Fit(FitLevel.YES, on_gpu, memory.gpu_free, words)
    takes = f"{doing} takes about {byte_size(needed)}"
    if needed <= ROOMY * memory.free:
        return Fit(FitLevel.YES, needed, memory.free, f"{takes}; {byte_size(memory.free)} of memory are free.")
    if needed <= USABLE * memory.total:
        words = f"{takes}; only {byte_size(memory.free)} of memory are free. Close other programs first."
        return Fit(FitLevel.TIGHT, needed, memory.free, words)
    words = f"{takes}, and this machine has {byte_size(memory.total)} of memory. Choose a smaller or quantised model."
    return Fit(FitLevel.NO, needed, memory.total, words)
