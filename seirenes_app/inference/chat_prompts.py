"""How a loaded model's chats become tokens: the same for the worker and for the server of `seirenes serve`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seirenes_app.inference.llama_bindings import Vocabulary
from training.core.answer_reader import OPENING_TOKENS, opening_tag
from training.core.chat_template import ChatTemplate, RenderedPrompt, Turn, cut_special


class ChatPrompts:
    """The model's chat template with its tokenizer. Lets the template's end of turn end a completion too."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        named = {f"{name}_token": text for name in ("bos", "eos") if (text := vocabulary.special(name))}
        self.template = ChatTemplate(vocabulary.chat_template, named)
        vocabulary.add_end(self.template.end_of_turn(vocabulary.special_texts))

    def render(self, turns: Sequence[Turn], variables: Mapping[str, Any] | None = None) -> RenderedPrompt:
        """The prompt. Raises a `UserError` when the template refuses these messages."""
        return self.template.render(turns, variables)

    def tokenize(self, prompt: RenderedPrompt) -> list[int]:
        # A template writes the first token itself; before plain lines it is the tokenizer that adds it.
        tokens: list[int] = []
        for piece in cut_special(prompt, self._vocabulary.special_texts):
            first = self.template.plain and not tokens
            tokens += self._vocabulary.tokenize(piece, add_special=first, parse_special=True)
        return tokens

    def opened_block(self, tokens: Sequence[int]) -> str:
        """The reasoning tag that a prompt ends with, empty for none."""
        pieces = (self._vocabulary.piece(token, special=True) for token in tokens[-OPENING_TOKENS:])
        return opening_tag(b"".join(pieces).decode("utf-8", "replace"))
