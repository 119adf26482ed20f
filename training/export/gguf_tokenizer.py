"""A Hugging Face byte-level BPE tokenizer in GGUF's terms.

llama.cpp does not read the pre-tokenizer's regular expression: it knows a list of names, each with an expression of its
own. So the name is looked up by what the tokenizer does, and a tokenizer whose cut none of the known names makes is
refused rather than written to give other tokens. An NFC normaliser (Qwen) cannot be said in GGUF: text that is in NFC
already, as nearly all text is, gives the same tokens.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType

from training.engine.chat_tokenizer import end_ids, load_tokenizer
from training.errors import UserError

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = rf"{_WORDS}\p{{N}}{_REST}"
LLAMA3 = rf"{_WORDS}\p{{N}}{{1,3}}{_REST}"
_DIGITS = "each digit alone"

_PRE = {
    (GPT2,): {False: "gpt-2"},
    (QWEN2,): {False: "qwen2"},
    (LLAMA3,): {False: "smaug-bpe", True: "llama-bpe"},
    (_DIGITS, GPT2): {False: "smollm"},
}
"""llama.cpp's name by the cuts in order, and by whether a whole piece found in the vocabulary skips the merges."""

SUPPORTED_TOKENIZERS = "byte-level BPE with the pre-tokenizer of GPT-2, Qwen 2 and 3, Llama 3 or SmolLM"


@dataclass(frozen=True)
class GgufTokenizer:
    """Everything of the tokenizer that a GGUF holds. `ends` are the tokens that end a turn, the first is eos."""

    pre: str
    tokens: list[str] = field(repr=False)
    types: list[TokenType] = field(repr=False)
    merges: list[str] = field(repr=False)
    ends: list[int]
    bos: int | None
    pad: int | None
    add_bos: bool
    add_eos: bool
    chat_template: str | None = field(repr=False)


def read_tokenizer(folder: Path, vocabulary: int) -> GgufTokenizer:
    """The tokenizer in `folder`, its ids filled up to `vocabulary` with unused tokens. UserError if not supported."""
    tokenizer = load_tokenizer(folder)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _unsupported(folder, "it has no fast form (tokenizer.json)")
    spec = json.loads(backend.to_str())
    _check_model(folder, spec)
    tokens, types = _vocabulary(folder, spec, vocabulary)
    bos = _id(tokenizer.bos_token_id)
    bare = backend.encode("a", add_special_tokens=False).ids
    whole = backend.encode("a").ids
    start = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    template = tokenizer.chat_template
    return GgufTokenizer(
        pre=_pre_name(folder, spec),
        tokens=tokens,
        types=types,
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in spec["model"]["merges"]],
        ends=_ends(folder, tokenizer),
        bos=bos,
        pad=_id(tokenizer.pad_token_id),
        add_bos=_affix(folder, whole[:start], bos),
        add_eos=_affix(folder, whole[start + len(bare) :], _id(tokenizer.eos_token_id)),
        chat_template=template.get("default") if isinstance(template, dict) else template,
    )


def write_tokenizer(writer: GGUFWriter, tokenizer: GgufTokenizer) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types(tokenizer.types)
    writer.add_token_merges(tokenizer.merges)
    writer.add_eos_token_id(tokenizer.ends[0])
    # llama.cpp takes token 11 where no bos is named. It is not added unless add_bos says so.
    writer.add_bos_token_id(tokenizer.ends[0] if tokenizer.bos is None else tokenizer.bos)
    if len(tokenizer.ends) > 1:
        writer.add_eot_token_id(tokenizer.ends[1])
    if len(tokenizer.ends) > 2:
        writer.add_eom_token_id(tokenizer.ends[2])
    if tokenizer.pad is not None:
        writer.add_pad_token_id(tokenizer.pad)
    writer.add_add_bos_token(tokenizer.add_bos)
    writer.add_add_eos_token(tokenizer.add_eos)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _unsupported(folder: Path, what: str) -> UserError:
    return UserError(
        f"The tokenizer in {folder} cannot be written as GGUF: {what}. Supported: {SUPPORTED_TOKENIZERS}. "
        "The Hugging Face folder can be exported with --to hf."
    )


def _id(token: Any) -> int | None:
    return None if token is None else int(token)


def _ends(folder: Path, tokenizer: Any) -> list[int]:
    own = _id(tokenizer.eos_token_id)
    ends = sorted(end_ids(folder, tokenizer), key=lambda end: (end != own, end))
    if not ends:
        raise UserError(f"The model in {folder} names no end token. Set eos_token in its tokenizer_config.json.")
    return ends


def _affix(folder: Path, added: list[int], allowed: int | None) -> bool:
    """Whether the special token `allowed` is put around each text; anything else there cannot be said in GGUF."""
    if added and added != [allowed]:
        raise _unsupported(folder, f"it puts the tokens {added} around each text")
    return bool(added)


def _check_model(folder: Path, spec: dict[str, Any]) -> None:
    model = spec["model"]
    normaliser = (spec.get("normalizer") or {}).get("type", "NFC")
    odd = [t["content"] for t in spec["added_tokens"] if t["lstrip"] or t["rstrip"] or t["single_word"]]
    options = ("byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix")
    set_ = [option for option in options if model.get(option)]
    if model["type"] != "BPE" or set_:
        raise _unsupported(folder, f"its model is {model['type']}" + (f" with {', '.join(set_)}" if set_ else ""))
    if normaliser != "NFC":
        raise _unsupported(folder, f"it normalises text by {normaliser}")
    if odd:
        raise _unsupported(folder, f"the token {odd[0]!r} takes the spaces around it, or whole words only")
    if not model["merges"]:
        raise _unsupported(folder, "it has no merges")


def _pre_name(folder: Path, spec: dict[str, Any]) -> str:
    cuts = tuple(_cuts(folder, spec.get("pre_tokenizer")))
    names = _PRE.get(cuts)
    if names is None:
        raise _unsupported(folder, f"its pre-tokenizer cuts text by {' then '.join(cuts) or 'nothing'}")
    skips = bool(spec["model"].get("ignore_merges"))
    if skips not in names:
        raise _unsupported(folder, f"its pre-tokenizer goes with ignore_merges = {not skips} in llama.cpp")
    return names[skips]


def _cuts(folder: Path, step: dict[str, Any] | None) -> list[str]:
    """What the pre-tokenizer cuts by, in order; the step that only spells bytes is left out."""
    kind = (step or {}).get("type")
    if step is None or kind not in ("Sequence", "ByteLevel", "Digits", "Split"):
        raise _unsupported(folder, f"its pre-tokenizer is {kind}")
    if kind == "Sequence":
        return [cut for inner in step["pretokenizers"] for cut in _cuts(folder, inner)]
    if kind == "ByteLevel":
        if step["add_prefix_space"]:
            raise _unsupported(folder, "its pre-tokenizer puts a space before each text")
        return [GPT2] if step["use_regex"] else []
    if kind == "Digits":
        return [_DIGITS if step["individual_digits"] else "runs of digits"]
    if step["behavior"] != "Isolated" or step.get("invert") or "Regex" not in step["pattern"]:
        return [f"{step['pattern']} ({step['behavior']})"]
    return [str(step["pattern"]["Regex"])]


def _vocabulary(folder: Path, spec: dict[str, Any], size: int) -> tuple[list[str], list[TokenType]]:
    added = {int(t["id"]): t for t in spec["added_tokens"]}
    texts = {int(i): str(text) for text, i in spec["model"]["vocab"].items()}
    texts |= {i: str(t["content"]) for i, t in added.items()}
    if max(texts) >= size:
        raise UserError(
            f"The tokenizer in {folder} has tokens up to id {max(texts)}, and config.json says vocab_size = {size}. "
            "Copy config.json, weights and tokenizer from one and the same model."
        )
    types = []
    for i in range(size):
        if i in added:
            types.append(TokenType.CONTROL if added[i]["special"] else TokenType.USER_DEFINED)
        else:
            types.append(TokenType.NORMAL if i in texts else TokenType.UNUSED)
    return [texts.get(i, f"[PAD{i}]") for i in range(size)], types
