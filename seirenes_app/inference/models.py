"""Which GGUF files can be used, and what they are, without llama.cpp: what it would refuse or crash on is refused
here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seirenes_app.inference.gguf_header import GgufHeader, read_header
from seirenes_app.store.resources import resources_root
from training.errors import UserError

STARTER_FILE = "starter-f16.gguf"

# Architectures that llama.cpp loads and that write no text: encoders, projectors, speech and diffusion models.
_NOT_TEXT = frozenset(
    "bert nomic-bert nomic-bert-moe neo-bert modern-bert jina-bert-v2 jina-bert-v3 eurobert t5encoder gemma-embedding "
    "llama-embed clip mmproj wavtokenizer-dec dream llada llada-moe rnd1 t5".split()
)
_NEEDED = (".context_length", ".embedding_length", ".block_count", ".attention.head_count")
_NO_ATTENTION = frozenset("mamba mamba2 rwkv6 rwkv6qwen2 rwkv7 arwkv7".split())

# The numbers of `general.file_type`, as llama.cpp names them; what is not listed is called by its tensors.
_FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 32: "BF16"} | dict(
    enumerate("Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K".split(), 7)
)


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """A model file by its header. `n_ctx_train` is in tokens."""

    path: Path
    name: str
    architecture: str
    n_params: int
    quantisation: str
    n_ctx_train: int
    n_vocab: int
    size_bytes: int
    has_chat_template: bool


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
    numbered = _FILE_TYPES.get(header.number("general.file_type", -1))
    return GgufFacts(
        path=header.path,
        name=header.text("general.name") or header.path.stem,
        architecture=header.architecture,
        n_params=header.n_params,
        quantisation=numbered or header.main_type,
        n_ctx_train=header.number(".context_length"),
        n_vocab=header.lengths["tokenizer.ggml.tokens"],
        size_bytes=header.size_bytes,
        has_chat_template=bool(header.text("tokenizer.chat_template")),
    )


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
    if not header.tensors:
        raise UserError(f"{path}: the file holds a vocabulary and no weights. Choose a whole model.")
    _check_keys(header)
    _check_tokenizer(header)


def _check_keys(header: GgufHeader) -> None:
    needed = _NEEDED[:3] if header.architecture in _NO_ATTENTION else _NEEDED
    for key in needed:
        # A head count may be an array, one number a layer.
        if header.number(key) <= 0 and not header.lengths.get(header.architecture + key):
            raise UserError(f"{header.path}: the header lacks {header.architecture}{key}. Convert the model again.")


def _check_tokenizer(header: GgufHeader) -> None:
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
