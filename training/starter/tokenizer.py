"""Train the starter's byte-level BPE: each digit is a token of its own, any text encodes. No normaliser.

A digit may carry the space before it ("Mia 7" is two tokens), which puts a number right beside the name it belongs
to; a model of four layers learns to look up by name only then. The merges are learned on text cut so that no two
digits ever stand in one piece; with those merges, GPT-2's own pre-tokenizer, which llama.cpp knows by the name
``gpt-2``, gives the same tokens, and that is the one that is saved.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training.starter.corpus import stream_examples
from training.starter.recipe import CHAT_TEMPLATE, END, PAD, SPECIAL_TOKENS, Recipe

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""As published with GPT-2 (and what `ByteLevel(use_regex=True)` applies)."""
TRAINING_PATTERN = GPT2_PATTERN.replace(r"\p{N}+", r"\p{N}")


def train_tokenizer(recipe: Recipe) -> Tokenizer:
    """Byte-level BPE over a seeded sample of the corpus; the special tokens come first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(TRAINING_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.architecture.vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    examples = itertools.islice(stream_examples(recipe.seed + 1, recipe), recipe.tokenizer_examples)
    texts = (text for e in examples for text in (e.prompt, e.completion))
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the Hugging Face tokenizer files, chat template included."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=list(SPECIAL_TOKENS[2:]),
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
