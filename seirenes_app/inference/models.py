"""Which GGUF files can be used, and what they are, without llama.cpp: what it would refuse or crash on is refused
here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from seirenes_app.inference.gguf_header import GgufHeader, read_header
from seirenes_app.store.resources import resources_root
from training import model_names
from training.errors import UserError

STARTER_FILE = "starter-f16.gguf"

# Architectures that llama.cpp loads and that write no text: encoders, projectors, speech and diffusion models.
_NOT_TEXT = frozenset(
    "bert nomic-bert nomic-bert-moe neo-bert modern-bert jina-bert-v2 jina-bert-v3 eurobert t5encoder gemma-embedding "
    "llama-embed clip mmproj wavtokenizer-dec dream llada llada-moe rnd1 t5".split()
)
_NEEDED = (".context_length", ".embedding_length", ".block_count", ".attention.head_count")
# A text model whose file says how token vectors become one vector: 1 mean, 2 first, 3 last, 4 rank. 0 is none.
_POOLING = ".pooling_type"
_EMBEDDING_NAME = re.compile(r"(?<![a-z])(?:embed(?:ding)?s?|rerank(?:er)?)(?![a-z])", re.IGNORECASE)
_NO_ATTENTION = frozenset("mamba mamba2 rwkv6 rwkv6qwen2 rwkv7 arwkv7".split())

_COMPACT_VOCAB, _COMPACT_PARAMS = 2048, 10_000_000

# The numbers of `general.file_type`, as llama.cpp names them; what is not listed is called by its tensors.
_FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 32: "BF16"} | dict(
    enumerate("Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K".split(), 7)
)


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """A model file by its header, all parts of a split one counted. `n_ctx_train` is in tokens, `cell_bytes` what one
    token takes in a 16-bit cache. `end_ids` are the tokens that the header names as ends of text or turn."""

    path: Path
    name: str
    architecture: str
    n_params: int
    quantisation: str
    n_ctx_train: int
    n_vocab: int
    size_bytes: int
    has_chat_template: bool
    n_layers: int
    width: int
    cell_bytes: int
    tied_head: bool
    licence: str
    chat_template: str
    end_ids: tuple[int, ...]
    parts: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class SplitParts:
    """The files of a split GGUF that are there, in order, and the names of those that are not."""

    parts: tuple[Path, ...]
    missing: tuple[str, ...]

    @property
    def problem(self) -> str:
        """What is missing; empty when the model is whole."""
        if not self.missing:
            return ""
        several = len(self.missing) > 1
        return (
            f"{len(self.missing)} of its {len(self.parts) + len(self.missing)} parts {'are' if several else 'is'} "
            f"missing: {', '.join(self.missing[:3])}{', …' if len(self.missing) > 3 else ''}. "
            "Download the missing files into the same folder."
        )


def split_parts(path: Path) -> SplitParts:
    """The parts that belong to a file by its name ("…-00001-of-00003.gguf"); a file of another name is one part."""
    places = [path.with_name(name) for name in model_names.split_parts(path.name)]
    there = tuple(place for place in places if place.is_file())
    return SplitParts(there, tuple(place.name for place in places if place not in there))


def bundled_model() -> Path:
    """The GGUF of the bundled model. Raises a `UserError` when the installation lacks it."""
    path = resources_root() / "starter" / STARTER_FILE
    if not path.is_file():
        raise UserError(f"{path}: the bundled model is missing. Reinstall seirenes, or choose another model.")
    return path


def describe_gguf(path: Path) -> GgufFacts:
    """The facts of a model file. Raises a `UserError` for what cannot be used, with the reason."""
    header = read_header(path)
    _check_model(header)
    headers = [header, *_other_parts(header)]
    _check_tokenizer(header, headers)
    numbered = _FILE_TYPES.get(header.number("general.file_type", -1))
    heads = header.number(".attention.head_count")
    width, layers = header.number(".embedding_length"), header.number(".block_count")
    key = header.number(".attention.key_length") or width // max(1, heads)
    value = header.number(".attention.value_length") or key
    named = [header.number(f"tokenizer.ggml.{name}_token_id", -1) for name in ("eos", "eot", "eom")]
    return GgufFacts(
        path=header.path,
        name=header.text("general.name") or header.path.stem,
        architecture=header.architecture,
        n_params=sum(h.n_params for h in headers),
        quantisation=numbered or header.main_type,
        n_ctx_train=header.number(".context_length"),
        n_vocab=header.lengths["tokenizer.ggml.tokens"],
        size_bytes=sum(h.size_bytes for h in headers),
        has_chat_template=bool(header.text("tokenizer.chat_template")),
        n_layers=layers,
        width=width,
        cell_bytes=layers * (header.number(".attention.head_count_kv") or heads) * (key + value) * 2,
        tied_head=not any(t.name == "output.weight" for h in headers for t in h.tensors),
        licence=header.text("general.license"),
        chat_template=header.text("tokenizer.chat_template"),
        end_ids=tuple(dict.fromkeys(i for i in named if i >= 0)),
        parts=tuple(h.path for h in headers),
    )


def is_compact(n_vocab: int, n_params: int) -> bool:
    """Whether a model is the bundled one or was trained from it: no other text model is as small in both."""
    return 0 < n_vocab <= _COMPACT_VOCAB and n_params <= _COMPACT_PARAMS


def _other_parts(first: GgufHeader) -> list[GgufHeader]:
    """The headers of the later parts of a split model. Raises a `UserError` when one is missing or of another model."""
    count = first.number("split.count")
    if count <= 1:
        return []
    found = split_parts(first.path)
    if len(found.parts) + len(found.missing) != count:
        raise UserError(
            f"{first.path}: this is the first of {count} parts, and its name does not say so, so the others cannot be "
            f"found. Give the files their first names back, such as model-00001-of-{count:05d}.gguf."
        )
    if found.missing:
        raise UserError(f"{first.path}: {found.problem}")
    others = [read_header(part) for part in found.parts[1:]]
    for number, other in enumerate(others, 1):
        if (other.number("split.count"), other.number("split.no")) != (count, number):
            raise UserError(
                f"{other.path}: this is not part {number + 1} of {count} of {first.path.name}. "
                "Download all parts of one model again."
            )
    return others


def check_adapter(path: Path, architecture: str) -> None:
    """Refuse, with a `UserError`, what is no LoRA adapter for a model of `architecture`."""
    header = read_header(path)
    if header.text("general.type") != "adapter" or header.text("adapter.type") != "lora":
        raise UserError(f"{path}: this GGUF holds no LoRA adapter. Choose an adapter, or load it as a model.")
    if header.architecture != architecture:
        raise UserError(
            f"{path}: the adapter was made for a {header.architecture or 'nameless'} model, and the loaded model is "
            f"{architecture}. Choose an adapter of this model."
        )
    if not header.tensors:
        raise UserError(f"{path}: the adapter holds no weights. Export it again.")


def _check_model(header: GgufHeader) -> None:
    path, architecture = header.path, header.architecture
    if header.text("general.type", "model") == "adapter":
        raise UserError(f"{path}: this is an adapter, not a model. Load its model, then put the adapter on it.")
    if not architecture:
        raise UserError(f"{path}: the file does not name its architecture, so it cannot be used. Convert it again.")
    if architecture in _NOT_TEXT:
        raise UserError(f"{path}: a {architecture} model writes no text. Choose a text generation model.")
    if header.number("split.no") > 0:
        raise UserError(f"{path}: this is a later part of a model in several files. Choose the first part.")
    if header.number(_POOLING) > 0 or _EMBEDDING_NAME.search(header.text("general.name") or path.stem):
        raise UserError(
            f"{path}: this model makes vectors of texts (embedding or ranking) and writes no text. "
            "Choose a text generation model."
        )
    if not header.tensors:
        raise UserError(f"{path}: the file holds a vocabulary and no weights. Choose a whole model.")
    _check_keys(header)


def _check_keys(header: GgufHeader) -> None:
    needed = _NEEDED[:3] if header.architecture in _NO_ATTENTION else _NEEDED
    for key in needed:
        # A head count may be an array, one number a layer.
        if header.number(key) <= 0 and not header.lengths.get(header.architecture + key):
            raise UserError(f"{header.path}: the header lacks {header.architecture}{key}. Convert the model again.")


def _check_tokenizer(header: GgufHeader, parts: list[GgufHeader]) -> None:
    path, tokenizer = header.path, header.text("tokenizer.ggml.model")
    n_tokens = header.lengths.get("tokenizer.ggml.tokens", 0)
    if tokenizer in ("", "none", "no_vocab") or not n_tokens:
        raise UserError(f"{path}: the file has no tokenizer, so no text goes in or out. Convert the model again.")
    if tokenizer == "gpt2" and not header.lengths.get("tokenizer.ggml.merges"):
        raise UserError(f"{path}: the tokenizer has no merges. Convert the model again with its tokenizer.")
    for key in ("scores", "token_type"):
        found = header.lengths.get(f"tokenizer.ggml.{key}", n_tokens)
        if found < n_tokens:
            raise UserError(f"{path}: the tokenizer has {n_tokens} tokens and {found} {key}. Convert the model again.")
    embedding = next((t for part in parts for t in part.tensors if t.name == "token_embd.weight"), None)
    if embedding is not None and embedding.shape[-1] != n_tokens:
        raise UserError(
            f"{path}: the tokenizer has {n_tokens} tokens and the weights have {embedding.shape[-1]}: it is the "
            "tokenizer of another model. Convert the model again with its own."
        )
