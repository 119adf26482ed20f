"""Train the starter from scratch, tokenizer and model: seeded, restartable, with progress. CPU or CUDA.

Tokenizer: byte-level BPE, each digit a token of its own, any text encodes, no normaliser. A digit may carry the space
before it ("Mia 7" is two tokens), which puts a number right beside the name it belongs to; a model of four layers
learns to look up by name only then. The merges are learned on text cut so that no two digits ever stand in one piece;
with those merges, GPT-2's own pre-tokenizer, which llama.cpp knows by the name `gpt-2`, gives the same tokens, and that
is the one that is saved.
Model: departs from a textbook loop in three ways that matter on two cores: logits are computed on completion tokens
only, batches are cut into slices of similar length so that little is padded, and the block matrices are stepped by
Muon, which needs about half the tokens of AdamW here.
"""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from training.errors import UserError
from training.starter.recipe import CHAT_TEMPLATE, END, PAD, SPECIAL_TOKENS, Recipe, draw_batch, stream_examples

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""As published with GPT-2 (and what `ByteLevel(use_regex=True)` applies)."""
TRAINING_PATTERN = GPT2_PATTERN.replace(r"\p{N}+", r"\p{N}")


def train_tokenizer(recipe: Recipe) -> Tokenizer:
    """Byte-level BPE over a seeded sample of the corpus; the special tokens come first."""
    tokenizer = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex(TRAINING_PATTERN), "isolated")
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, spell])
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
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=list(SPECIAL_TOKENS[2:]),
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)


Report = Callable[[int, float, float, float], None]
"""Called with (step, loss in nats a token, tokens a second, seconds left)."""

SLICES = 4


def build_model(recipe: Recipe, tokenizer: Tokenizer) -> Qwen3ForCausalLM:
    a = recipe.architecture
    torch.manual_seed(recipe.seed)
    config = Qwen3Config(
        vocab_size=a.vocabulary,
        hidden_size=a.hidden,
        num_hidden_layers=a.layers,
        num_attention_heads=a.heads,
        num_key_value_heads=a.key_value_heads,
        head_dim=a.head_dim,
        intermediate_size=a.feed_forward,
        max_position_embeddings=a.context,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PAD),
        bos_token_id=None,
    )
    return Qwen3ForCausalLM(config)


class Optimiser:
    """Muon for the matrices inside the blocks, AdamW for everything else, one schedule for both."""

    def __init__(self, model: Qwen3ForCausalLM, recipe: Recipe) -> None:
        matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
        rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
        self._recipe = recipe
        self.parts = [
            torch.optim.Muon(matrices, lr=recipe.learning_rate_matrices, weight_decay=0.0),
            torch.optim.AdamW(rest, lr=recipe.learning_rate_rest, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self._base = [recipe.learning_rate_matrices, recipe.learning_rate_rest]

    def step(self, step: int) -> None:
        """Step both at the schedule's rate for `step`: linear warm-up, constant, linear decay to zero."""
        left = (self._recipe.steps - step) / max(1.0, self._recipe.decay_share * self._recipe.steps)
        factor = min(1.0, (step + 1) / self._recipe.warmup, left)
        for part, base in zip(self.parts, self._base, strict=True):
            for group in part.param_groups:
                group["lr"] = base * factor
            part.step()
            part.zero_grad(set_to_none=True)


def slice_loss(model: Qwen3ForCausalLM, rows: list[tuple[list[int], int]], pad: int, device: str) -> torch.Tensor:
    """Summed cross-entropy over the completion tokens of `rows`, in nats."""
    longest = len(rows[0][0])
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    wanted = torch.zeros((len(rows), longest), dtype=torch.bool)
    for i, (tokens, prompt) in enumerate(rows):
        ids[i, : len(tokens)] = torch.tensor(tokens)
        wanted[i, prompt : len(tokens)] = True
    ids, wanted = ids.to(device), wanted.to(device)
    with torch.autocast(device, torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state[wanted[:, 1:]]
        logits = model.lm_head(hidden)
    return functional.cross_entropy(logits.float(), ids[:, 1:][wanted[:, 1:]], reduction="sum")


@dataclass
class Pretraining:
    """A pre-training that can be stopped and taken up again from `folder`."""

    recipe: Recipe
    tokenizer: Tokenizer
    folder: Path
    device: str = "cpu"

    def __post_init__(self) -> None:
        self.model = build_model(self.recipe, self.tokenizer).to(self.device)
        self.optimiser = Optimiser(self.model, self.recipe)
        self.step = 0
        self._state = self.folder / "pretraining.pt"

    def restore(self) -> bool:
        """Continue from the last saved step, if there is one made by the same recipe."""
        if not self._state.exists():
            return False
        saved: dict[str, Any] = torch.load(self._state, weights_only=True)
        if saved["recipe"] != repr(self.recipe):
            raise UserError(
                f"{self._state} was made with another recipe. Name another --work folder, or remove this one."
            )
        self.model.load_state_dict(saved["model"])
        for part, state in zip(self.optimiser.parts, saved["optimisers"], strict=True):
            part.load_state_dict(state)
        self.step = saved["step"]
        return True

    def save(self) -> None:
        """Replace the saved state in one move, so that a kill leaves the old one or the new one."""
        temporary = self._state.with_suffix(".tmp")
        optimisers = [part.state_dict() for part in self.optimiser.parts]
        state = {"recipe": repr(self.recipe), "model": self.model.state_dict(), "optimisers": optimisers}
        torch.save({**state, "step": self.step}, temporary)
        temporary.replace(self._state)

    def train(self, report: Report) -> None:
        """Run to the recipe's last step, saving every `checkpoint_every` steps."""
        started, tokens_done, first = time.monotonic(), 0, self.step
        with (self.folder / "loss.jsonl").open("a") as log:
            while self.step < self.recipe.steps:
                loss, tokens = self.train_step()
                tokens_done += tokens
                if self.step % 25 == 0:
                    seconds = time.monotonic() - started
                    left = seconds / (self.step - first) * (self.recipe.steps - self.step)
                    report(self.step, loss, tokens_done / seconds, left)
                    print(json.dumps({"step": self.step, "loss": loss}), file=log, flush=True)
                if self.step % self.recipe.checkpoint_every == 0 or self.step == self.recipe.steps:
                    self.save()

    def train_step(self) -> tuple[float, int]:
        """One step; returns the loss in nats a completion token, and the tokens it took."""
        rows = draw_batch(self.step, self.recipe, self.tokenizer)
        pad = int(self.tokenizer.token_to_id(PAD) or 0)
        completion_tokens = sum(len(tokens) - prompt for tokens, prompt in rows)
        size = -(-len(rows) // SLICES)
        total = 0.0
        for start in range(0, len(rows), size):
            loss = slice_loss(self.model, rows[start : start + size], pad, self.device)
            torch.autograd.backward(loss / completion_tokens)
            total += loss.item()
        self.optimiser.step(self.step)
        self.step += 1
        return total / completion_tokens, sum(len(tokens) for tokens, _ in rows)
