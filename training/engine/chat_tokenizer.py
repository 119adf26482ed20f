"""Text to tokens and back with a Hugging Face tokenizer and its chat template. No model, no network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast

from training.engine.base import Tokens
from training.errors import UserError


class ChatTokenizer:
    """The `Codec` of one model folder. `end_ids` are the tokens that end a turn, `pad_id` fills batches."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = load_tokenizer(folder)
        if not self.tokenizer.chat_template:
            raise UserError(
                f"The tokenizer in {folder} has no chat template, so the two roles cannot be distinguished. "
                "Use an instruction-tuned model, or add chat_template.jinja to the folder."
            )
        self.end_ids = end_ids(folder, self.tokenizer)
        if not self.end_ids:
            raise UserError(f"The model in {folder} names no end token. Set eos_token in its tokenizer_config.json.")
        pad = self.tokenizer.pad_token_id
        self.pad_id: int = min(self.end_ids) if pad is None else int(pad)

    def encode_chat(self, messages: Sequence[dict[str, str]]) -> tuple[int, ...]:
        try:
            return self._apply(list(messages))
        except TemplateError:
            # Some templates refuse a system turn; its text then opens the first user turn.
            if len(messages) < 2 or messages[0]["role"] != "system":
                raise
            merged = {**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
            return self._apply([merged, *messages[2:]])

    def _apply(self, messages: list[dict[str, str]]) -> tuple[int, ...]:
        ids = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        return tuple(int(token) for token in ids)

    def decode(self, tokens: Tokens) -> str:
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def special_texts(self) -> frozenset[str]:
        added = (str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special)
        return frozenset((*self.tokenizer.all_special_tokens, *added))

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`. Raises UserError if there is none, or none that can be read."""
    if not (folder / "tokenizer.json").is_file() and not (folder / "tokenizer_config.json").is_file():
        raise UserError(f"{folder} holds no tokenizer (tokenizer.json). Copy the tokenizer files of the model there.")
    try:
        try:
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (ValueError, KeyError):
            # A folder whose architecture has no registered tokenizer class still has a usable tokenizer.json.
            return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The tokenizer in {folder} could not be read: {error}. Copy the model's folder again."
        ) from error


def end_ids(folder: Path, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a turn: the tokenizer's own, and those of generation_config.json."""
    found: set[int] = set()
    if (folder / "generation_config.json").is_file():
        ids = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
        found |= {ids} if isinstance(ids, int) else set(ids or ())
    if tokenizer.eos_token_id is not None:
        found.add(int(tokenizer.eos_token_id))
    return frozenset(found)
