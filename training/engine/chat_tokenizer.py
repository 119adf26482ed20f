"""Text to tokens and back with a Hugging Face tokenizer and its chat template. No model, no network."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from training.core.answer_reader import OPENING_TOKENS, opening_tag
from training.core.chat_template import (
    ChatTemplate,
    TemplateNote,
    cut_special,
    folder_template,
    is_markup,
    is_reasoning_tag,
)
from training.engine.base import Tokens, until_stop
from training.errors import UserError


class ChatTokenizer:
    """The `Codec` of one model folder. `end_ids` are the tokens that end a turn, `pad_id` fills batches.

    A folder without a usable chat template is written to in plain lines; `note` says so. `base`: the folder of the
    model that an adapter's folder goes with, for the end tokens that it lists.
    """

    def __init__(self, folder: Path, base: Path | None = None) -> None:
        self.tokenizer = load_tokenizer(folder)
        named = {k: v for k, v in self.tokenizer.special_tokens_map.items() if isinstance(v, str)}
        self.template: ChatTemplate = folder_template(folder, named)
        added = self.tokenizer.added_tokens_decoder
        kept = (str(token) for token in added.values() if token.special or is_markup(str(token)))
        self._specials = frozenset((*self.tokenizer.all_special_tokens, *kept))
        self._reasoning_ids = {int(i): str(t) for i, t in added.items() if t.special and is_reasoning_tag(str(t))}
        self.end_ids = end_ids(folder, self.tokenizer) | self._end_of_turn()
        if base is not None:
            self.end_ids |= end_ids(base, self.tokenizer)
        if not self.end_ids:
            raise UserError(f"The model in {folder} names no end token. Set eos_token in its tokenizer_config.json.")
        pad = self.tokenizer.pad_token_id
        self.pad_id: int = min(self.end_ids) if pad is None else int(pad)

    @property
    def note(self) -> TemplateNote:
        return self.template.note

    @property
    def stops(self) -> tuple[str, ...]:
        return self.template.stops

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any] | None = None
    ) -> tuple[int, ...]:
        prompt = self.template.render(messages, variables)
        # A template writes the first token itself; before plain lines it is the tokenizer that adds it.
        ids: list[int] = []
        for piece in cut_special(prompt, self._specials):
            first = self.template.plain and not ids
            ids += self.tokenizer.encode(piece, add_special_tokens=first)
        return tuple(ids)

    def decode(self, tokens: Tokens) -> str:
        if self._reasoning_ids.keys().isdisjoint(tokens):
            return self._decode(tokens)
        parts = groupby(tokens, key=lambda token: token if token in self._reasoning_ids else None)
        return "".join(self._reasoning_ids[key] if key is not None else self._decode(list(part)) for key, part in parts)

    def completion_text(self, prompt: Tokens, completion: Tokens, stops: Sequence[str] = ()) -> str:
        return opening_tag(self.decode(prompt[-OPENING_TOKENS:])) + until_stop(self.decode(completion), stops)

    def _decode(self, tokens: Tokens) -> str:
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def special_texts(self) -> frozenset[str]:
        return self._specials

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)

    def _end_of_turn(self) -> frozenset[int]:
        """What the template writes after an answer, where it is one token: some folders name another as their end."""
        text = self.template.end_of_turn(self._specials)
        ids = self.tokenizer.encode(text, add_special_tokens=False) if text else []
        return frozenset(ids) if len(ids) == 1 else frozenset()


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
    """The tokens that end a turn: the tokenizer's own, and those of generation_config.json and config.json."""
    found: set[int] = set() if tokenizer.eos_token_id is None else {int(tokenizer.eos_token_id)}
    for name in ("generation_config.json", "config.json"):
        try:
            ids = json.loads((folder / name).read_text(encoding="utf-8")).get("eos_token_id")
        except FileNotFoundError:
            continue
        except (OSError, ValueError, AttributeError) as error:
            raise UserError(f"{folder / name} could not be read: {error}. Copy the model's folder again.") from error
        found |= {int(i) for i in _as_list(ids)}
    return frozenset(found)


def _as_list(ids: Any) -> Iterable[Any]:
    return ids if isinstance(ids, list) else [] if ids is None else [ids]
