"""A GGUF as a Hugging Face folder that can be trained: dequantised weights, tokenizer, chat template, end tokens.

transformers reads the tensors. What it leaves out of a GGUF is put right here: how text is cut before the merges, the
scaling of rotary frequencies, and all tokens that end a turn. Refuses architectures, tokenizers and scalings that would
be computed differently, and files in several parts.
"""

import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from gguf import GGUFReader, TokenType
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast

from training.engine import models  # noqa: F401 - sets transformers offline
from training.errors import UserError
from training.export.files import new_folder
from training.export.gguf_tokenizer import LLAMA3, QWEN2
from training.model_names import CONVERTIBLE

Report = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""

STAGES = ("Reading the header", "Reading the tokenizer", "Reading the weights", "Writing the folder")
_MARGIN_BYTES = 64 << 20
_LARGEST_F16 = 60_000.0

_GPT2_CUT = [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]
_CUTS: dict[str, list[dict[str, Any]]] = {}
for _names, _steps in (
    ("gpt-2 phi-2 mpt olmo", _GPT2_CUT),
    ("smollm starcoder refact codeshell", [{"type": "Digits", "individual_digits": True}, *_GPT2_CUT]),
    ("qwen2 deepseek-r1-qwen megrez", [QWEN2]),
    ("llama-bpe llama3 llama-v3 smaug-bpe falcon3 pixtral", [LLAMA3]),
):
    for _name in _names.split():
        _CUTS[_name] = [
            {"type": "Split", "pattern": {"Regex": step}, "behavior": "Isolated", "invert": False}
            if isinstance(step, str)
            else step
            for step in _steps
        ]
"""How llama.cpp cuts text before the merges, by the name in the file, in the words of `tokenizers`."""
_SKIP_MERGES = {"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"}
"""Names with which a whole piece that is a token is not merged from its parts."""

_ENDS = frozenset(
    "<|im_end|> <|endoftext|> <|end_of_text|> <|eot_id|> <|eom_id|> <|end|> <end_of_turn> <|end_of_turn|> </s> <eos> "
    "<EOT> <|EOT|> <|END_OF_TURN_TOKEN|>".split()
)
"""Control tokens that llama.cpp takes as ends by their text, whatever the header names."""


class StoredType(StrEnum):
    """What the folder's weights are stored as."""

    F32 = "float32"
    F16 = "float16"
    BF16 = "bfloat16"


def convert_gguf(
    source: Path, out: Path, *, dtype: StoredType | None = None, force: bool = False,
    report: Report = lambda _stage, _done, _total: None,
) -> dict[str, Any]:  # fmt: skip
    """Write the model in the GGUF `source` to the folder `out`, which is whole or absent.

    `dtype` None keeps F32, F16 and BF16, and stores what was quantised in float16. Returns out, bytes, dtype,
    architecture, parameters, tokens. Raises UserError for what cannot be converted.
    """
    report(STAGES[0], 0, 1)
    reader = _open(source)
    header = _Header(reader)
    _check(source, header)
    stored = dtype or _stored_type(reader)
    _check_room(source, out, header.n_params, stored)
    with tempfile.TemporaryDirectory() as place:
        # Alone in a folder: transformers would also read the configuration of another model beside it.
        (Path(place) / source.name).symlink_to(source.absolute())
        report(STAGES[1], 0, 1)
        tokenizer = _read_tokenizer(Path(place), source, header)
        report(STAGES[2], 0, 1)
        model = _read_model(Path(place), source, header, getattr(torch, stored))
    report(STAGES[3], 0, 1)
    with new_folder(out, force=force) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        _write_card(temporary, source, header)
    size = sum(file.stat().st_size for file in out.iterdir() if file.is_file())
    return {
        "source": str(source), "out": str(out), "bytes": size, "dtype": str(stored),
        "architecture": header.architecture, "parameters": header.n_params, "tokens": len(header.tokens),
    }  # fmt: skip


class _Header:
    """The values that the conversion needs, read once: a vocabulary takes the reader seconds."""

    def __init__(self, reader: GGUFReader) -> None:
        self._fields = reader.fields
        self.architecture = str(self.value("general.architecture") or "")
        self.tokens: list[str] = list(self.value("tokenizer.ggml.tokens") or ())
        self.types: list[int] = list(self.value("tokenizer.ggml.token_type") or ())
        self.tensors = {t.name: t for t in reader.tensors}
        self.n_params = sum(int(t.n_elements) for t in reader.tensors)

    def value(self, key: str) -> Any:
        """A value of the header; `key` may leave out the architecture: ".context_length". None where it is absent."""
        field = self._fields.get(self.architecture + key if key.startswith(".") else key)
        return None if field is None else field.contents()

    def token(self, name: str) -> str | None:
        """The text of the token that the header names bos, eos, padding or unknown; None where it names none."""
        id_ = self.value(f"tokenizer.ggml.{name}_token_id")
        return self.tokens[int(id_)] if id_ is not None and 0 <= int(id_) < len(self.tokens) else None

    def adds(self, name: str, usual: bool) -> bool:
        """Whether the bos or eos token is put around each text."""
        found = self.value(f"tokenizer.ggml.add_{name}_token")
        return usual if found is None else bool(found)

    @property
    def ends(self) -> list[int]:
        """The tokens that end a text or a turn; the header's eos is the first."""
        named = [self.value(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
        known = [
            i for i, (text, kind) in enumerate(zip(self.tokens, self.types, strict=False))
            if text in _ENDS and kind in (TokenType.CONTROL, TokenType.USER_DEFINED)
        ]  # fmt: skip
        return list(dict.fromkeys(int(i) for i in [*named, *known] if i is not None))


def _open(source: Path) -> GGUFReader:
    if not source.is_file():
        raise UserError(f"{source} is not a file. Name a GGUF file.")
    try:
        return GGUFReader(source)
    except (OSError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise UserError(f"{source} cannot be read as GGUF ({error}). Download it again.") from error


def _check(source: Path, header: _Header) -> None:
    if header.architecture not in CONVERTIBLE:
        raise UserError(
            f"{source} is a {header.architecture or 'nameless'} model, which cannot be converted. "
            f"Convertible architectures: {', '.join(sorted(CONVERTIBLE))}."
        )
    if int(header.value("split.count") or 1) > 1:
        raise UserError(
            f"{source} is one of several parts, which cannot be converted. Join them first with llama.cpp's "
            "llama-gguf-split --merge, or download the model's Hugging Face folder."
        )
    if not header.tokens or not header.tensors:
        raise UserError(f"{source} has no tokenizer or no weights. Choose a whole model.")
    scaling = header.value(".rope.scaling.type")
    if scaling not in (None, "none", "linear", "yarn"):
        raise UserError(f"{source} scales its positions by {scaling!r}, which cannot be written in a folder.")
    kind, cut = header.value("tokenizer.ggml.model"), header.value("tokenizer.ggml.pre")
    if kind == "gpt2" and cut not in _CUTS:
        raise UserError(
            f"{source} cuts text by {cut or 'no name'!r}, which would give other tokens here. Known: "
            f"{', '.join(sorted(_CUTS))}."
        )


def _stored_type(reader: GGUFReader) -> StoredType:
    """The type that holds the weights: of quantised ones float16, or bfloat16 where a value is too large for that."""
    weights: Counter[str] = Counter()
    for tensor in reader.tensors:
        weights[tensor.tensor_type.name] += int(tensor.n_elements)
    main = weights.most_common(1)[0][0]
    return {"F32": StoredType.F32, "BF16": StoredType.BF16}.get(main, StoredType.F16)


def _check_room(source: Path, out: Path, n_params: int, stored: StoredType) -> None:
    needed = n_params * (4 if stored is StoredType.F32 else 2) + _MARGIN_BYTES
    place = next(p for p in (out.parent, *out.parent.parents) if p.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise UserError(
            f"{out} needs about {needed / 2**30:.1f} GB, and {place} has {free / 2**30:.1f} GB free. Free some space, "
            "or name a folder on another disk."
        )
    memory = n_params * 8
    if memory > psutil.virtual_memory().total:
        raise UserError(
            f"Converting {source.name} takes about {memory / 2**30:.1f} GB of memory, more than this machine has. "
            "Download the model's Hugging Face folder instead."
        )


# ---------------------------------------------------------------------- tokenizer


def _read_tokenizer(place: Path, source: Path, header: _Header) -> Any:
    """The tokenizer as a fast one. Its ids are those of the file, each checked. `place` holds the file alone."""
    try:
        found = AutoTokenizer.from_pretrained(place, gguf_file=source.name, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise UserError(f"The tokenizer in {source} cannot be converted: {_first_line(error)}") from error
    backend = _as_in_llama(found.backend_tokenizer, header)
    wrong = [i for i, text in enumerate(header.tokens) if not _same_token(backend, i, text, header)]
    if wrong:
        raise UserError(
            f"The tokenizer in {source} cannot be converted: token {wrong[0]} is {header.tokens[wrong[0]]!r} there and "
            f"{backend.id_to_token(wrong[0])!r} after it ({len(wrong):,} such tokens)."
        )
    named = {name: header.token(key) for name, key in _NAMED_TOKENS.items()}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, clean_up_tokenization_spaces=False,
        **{name: text for name, text in named.items() if text is not None},
    )  # fmt: skip
    tokenizer.model_max_length = int(header.value(".context_length") or 1 << 20)
    tokenizer.chat_template = header.value("tokenizer.chat_template") or None
    return tokenizer


_NAMED_TOKENS = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}


def _as_in_llama(backend: Tokenizer, header: _Header) -> Tokenizer:
    """The tokenizer with llama.cpp's way of cutting text, the tokens that it puts around one, and no others."""
    spec = json.loads(backend.to_str())
    # transformers adds "<s>" and "</s>" where a file names no such tokens.
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["id"] < len(header.tokens)]
    if header.value("tokenizer.ggml.model") == "gpt2":
        name = str(header.value("tokenizer.ggml.pre"))
        spaced = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        steps = _CUTS[name]
        steps = steps if any(step["type"] == "ByteLevel" for step in steps) else [*steps, spaced]
        spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
        spec["model"]["ignore_merges"] = name in _SKIP_MERGES
    spec["post_processor"] = None
    made = Tokenizer.from_str(json.dumps(spec))
    first = header.token("bos") if header.adds("bos", header.value("tokenizer.ggml.model") == "llama") else None
    last = header.token("eos") if header.adds("eos", False) else None
    around = [token for token in (first, "$A", last) if token is not None]
    if len(around) > 1:
        ids = {token: made.token_to_id(token) for token in (first, last) if token is not None}
        pair = [token.replace("$A", "$B") for token in around]
        made.post_processor = TemplateProcessing(
            single=" ".join(around), pair=" ".join([*around, *pair]), special_tokens=list(ids.items())
        )
    return made


def _same_token(backend: Tokenizer, id_: int, text: str, header: _Header) -> bool:
    """Whether an id means the same. Unused ids may have no token, and spaces may be written as the model's own mark."""
    found = backend.id_to_token(id_)
    if found == text:
        return True
    unused = id_ < len(header.types) and header.types[id_] in (TokenType.UNUSED, TokenType.UNKNOWN)
    if found is None:
        return unused
    return found.replace("\u2581", " ") == text.replace("\u2581", " ")


# ---------------------------------------------------------------------- weights


def _read_model(place: Path, source: Path, header: _Header, dtype: torch.dtype) -> Any:
    """The model with dequantised weights in `dtype`, and a configuration that computes what llama.cpp does."""
    options = {"gguf_file": source.name, "local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(place, **options)
        _complete_config(source, header, config)
        read, found = AutoModelForCausalLM.from_pretrained(
            place, config=config, dtype=torch.float32, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"{source} cannot be converted: {_first_line(error)}") from error
    # What does not fit would be left at random, without an error.
    wrong = [*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"]), *found["unexpected_keys"]]
    if wrong:
        raise UserError(
            f"{source} cannot be converted: {len(wrong)} tensors do not fit the architecture {config.model_type}, such "
            f"as {sorted(map(str, wrong))[0]}. Download the model's Hugging Face folder instead."
        )
    config = read.config
    for name in ("quantization_config", "_pre_quantization_dtype", "_model_name_or_path"):
        if hasattr(config, name):
            delattr(config, name)
    config.dtype = dtype
    state = {name: tensor.to(dtype) for name, tensor in read.state_dict().items()}
    if dtype is torch.float16 and any(float(t.abs().max()) > _LARGEST_F16 for t in read.state_dict().values()):
        raise UserError(f"{source} has weights too large for float16. Convert it with --dtype bfloat16.")
    del read
    with torch.device("meta"):
        fresh = AutoModelForCausalLM.from_config(config, dtype=dtype)
    fresh.load_state_dict(state, assign=True)
    fresh.tie_weights()
    fresh.generation_config = _generation_config(header)
    return fresh


def _complete_config(source: Path, header: _Header, config: Any) -> None:
    """What transformers leaves out of a header, or takes from the architecture's usual values."""
    if head := header.value(".attention.key_length"):
        config.head_dim = int(head)
    config.eos_token_id = header.ends[0] if len(header.ends) == 1 else header.ends or None
    _round_floats(config)
    _set_scaling(source, header, config)


def _round_floats(config: Any) -> None:
    """A header's floats have 32 bits: 1e-5 reads as 9.999999747378752e-06."""
    for name, value in list(config.to_dict().items()):
        if isinstance(value, float):
            setattr(config, name, _shortest(value))


def _shortest(value: float) -> float:
    return float(str(np.float32(value))) if np.float32(value) == value else value


def _set_scaling(source: Path, header: _Header, config: Any) -> None:
    """The scaling of rotary frequencies, which transformers does not read from a GGUF."""
    rope = dict(config.rope_parameters or {})
    if "rope_theta" in rope:
        rope["rope_theta"] = _shortest(rope["rope_theta"])
    kind = header.value(".rope.scaling.type")
    if kind in ("linear", "yarn"):
        rope |= {"rope_type": kind, "factor": float(header.value(".rope.scaling.factor") or 1.0)}
        original = header.value(".rope.scaling.original_context_length")
        if kind == "yarn" and original:
            rope["original_max_position_embeddings"] = int(original)
    if "rope_freqs.weight" in header.tensors:
        rope |= _llama3_scaling(source, header, config)
    config.rope_parameters = rope


def _llama3_scaling(source: Path, header: _Header, config: Any) -> dict[str, Any]:
    """Llama 3's scaling out of the factors in the file; a UserError where they are of another scheme.

    The factors are all that a GGUF keeps. Llama's own low and high frequency factors, 1 and 4, are tried with each
    usual length of the first training.
    """
    stored = np.asarray(header.tensors["rope_freqs.weight"].data, dtype=np.float32).ravel()
    theta = float(config.rope_parameters["rope_theta"])
    wavelengths = 2 * np.pi * theta ** (np.arange(len(stored)) / len(stored))
    factor = float(stored.max())
    for original in (8192, *(2**n for n in range(5, 18))):
        share = np.clip((original / wavelengths - 1) / 3, 0, 1)
        if np.allclose(1 / ((1 - share) / factor + share), stored, rtol=1e-3):
            return {
                "rope_type": "llama3", "factor": _shortest(factor), "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": original,
            }  # fmt: skip
    raise UserError(f"{source} scales its positions in a way that is not Llama 3's, so it cannot be converted.")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\s+", " ", lines[0])[:300].rstrip(".") + "."


# ---------------------------------------------------------------------- other files


def _generation_config(header: _Header) -> GenerationConfig:
    ends = header.ends
    named = {f"{name}_token_id": header.value(f"tokenizer.ggml.{key}_token_id") for name, key in _NAMED.items()}
    ids = {name: int(value) for name, value in named.items() if value is not None}
    return GenerationConfig(eos_token_id=ends[0] if len(ends) == 1 else ends or None, **ids)


_NAMED = {"pad": "padding", "bos": "bos"}


def _write_card(folder: Path, source: Path, header: _Header) -> None:
    """The licence goes on with the model, and where it came from."""
    licence = re.sub(r"[^\w .+-]", "", str(header.value("general.license") or ""))
    front = f"---\nlicense: {licence}\n---\n" if licence else ""
    name = str(header.value("general.name") or source.stem)
    text = f"{front}# {name}\n\nConverted from {source.name} (GGUF, {header.architecture}).\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
