"""Train the starter from scratch, tokenizer and model: seeded, restartable, with progress. CPU or CUDA.

Tokenizer: byte-level BPE, each digit a token of its own, any text encodes, no normaliser. A digit may carry the space
before it ("Mia 7" is two tokens), which puts a number right beside the name it belongs to; a model of four layers
learns to look up by name only then. The merges are learned on text cut so that no two digits ever stand in one piece;
with those merges, GPT-2's own pre-tokenizer, which llama.cpp knows by the name `gpt-2`, gives the same tokens, and that
is the one that is saved.
Model: departs from a textbook loop in three ways that matter on two cores: logits are computed on completion tokens
only, a step is one matrix of tokens without padding in which completions share their prompt (on a CPU; see
`training.engine.flat_forward`), and the block matrices are stepped by Muon, which needs about half the tokens of AdamW
here. A CPU computes in float32, unless a short measurement says that bfloat16 is clearly faster there.
"""

import copy
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from training.engine.decoder import describe
from training.engine.flat_forward import supervised_gradient
from training.errors import UserError
from training.starter.recipe import CHAT_TEMPLATE, END, PAD, SPECIAL_TOKENS, Phase, Recipe, draw_batch, stream_examples

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
    examples = itertools.chain.from_iterable(
        itertools.islice(stream_examples(recipe.seed + 1, recipe, phase), recipe.tokenizer_examples)
        for phase in range(len(recipe.phases))
    )
    texts = (text for e in examples for text in (e.prompt, *e.completions))
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

    def __init__(self, model: nn.Module, phase: Phase) -> None:
        matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
        rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
        self._phase = phase
        self.parts = [
            torch.optim.Muon(matrices, lr=phase.learning_rate_matrices, weight_decay=0.0),
            torch.optim.AdamW(rest, lr=phase.learning_rate_rest, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self._base = [phase.learning_rate_matrices, phase.learning_rate_rest]

    def step(self, step: int) -> None:
        """Step both at the schedule's rate for `step`: linear warm-up, constant, linear decay to zero."""
        left = (self._phase.steps - step) / max(1.0, self._phase.decay_share * self._phase.steps)
        factor = min(1.0, (step + 1) / self._phase.warmup, left)
        for part, base in zip(self.parts, self._base, strict=True):
            for group in part.param_groups:
                group["lr"] = base * factor
            part.step()
            part.zero_grad(set_to_none=True)


Rows = list[tuple[list[int], list[int]]]
"""Prompt and completion of each row, longest first."""


class Pass(StrEnum):
    """How gradients are made; the weights that are stepped are float32 in each."""

    FLAT_FLOAT32 = "float32 without padding"
    FLAT_BFLOAT16 = "bfloat16 without padding"
    PADDED = "bfloat16 autocast, padded"
    """The only one of a GPU."""


MIN_GAIN = 1.2
"""bfloat16 must be this much faster on a CPU: otherwise the numbers are the same on every machine."""


def add_gradients(model: Any, rows: Rows, pad: int, how: Pass) -> float:
    """Add the gradient of the mean cross-entropy over completion tokens; returns its sum in nats."""
    scale = 1.0 / sum(len(completion) for _, completion in rows)
    if how is Pass.PADDED:
        size, total = -(-len(rows) // SLICES), 0.0
        for start in range(0, len(rows), size):
            loss = padded_loss(model, rows[start : start + size], pad)
            torch.autograd.backward(loss * scale)
            total += loss.item()
        return total
    used = model if how is Pass.FLAT_FLOAT32 else copy.deepcopy(model).to(torch.bfloat16)
    decoder = describe(used)
    assert decoder is not None, "the starter is a known architecture"
    total = supervised_gradient(decoder, rows, pad, scale)[0]
    if used is not model:
        for own, half in zip(model.parameters(), used.parameters(), strict=True):
            own.grad = half.grad.float() if own.grad is None else own.grad + half.grad
    return total


def padded_loss(model: Any, rows: Rows, pad: int) -> torch.Tensor:
    """Summed cross-entropy over the completion tokens of `rows`, in nats."""
    device = next(model.parameters()).device
    longest = max(len(prompt) + len(completion) for prompt, completion in rows)
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    wanted = torch.zeros((len(rows), longest), dtype=torch.bool)
    for i, (prompt, completion) in enumerate(rows):
        length = len(prompt) + len(completion)
        ids[i, :length] = torch.tensor([*prompt, *completion])
        wanted[i, len(prompt) : length] = True
    ids, wanted = ids.to(device), wanted.to(device)
    with torch.autocast(device.type, torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state[wanted[:, 1:]]
        logits = model.lm_head(hidden)
    return functional.cross_entropy(logits.float(), ids[:, 1:][wanted[:, 1:]], reduction="sum")


def measure_passes(model: Any, rows: Rows, pad: int) -> dict[Pass, float]:
    """Tokens a second of each way to make gradients, on every fourth of `rows`; the gradients are dropped."""
    some = rows[::4]
    found = {}
    for how in Pass:
        seconds = []
        for _ in range(3):
            begin = time.perf_counter()
            add_gradients(model, some, pad, how)
            seconds.append(time.perf_counter() - begin)
            model.zero_grad(set_to_none=True)
        found[how] = sum(len(p) + len(c) for p, c in some) / min(seconds)
    return found


@dataclass
class Pretraining:
    """A training that can be stopped and taken up again from `folder`.

    `start` are weights that stand for those of the phases before `first`.
    """

    recipe: Recipe
    tokenizer: Tokenizer
    folder: Path
    device: str = "cpu"
    first: int = 0
    start: Mapping[str, torch.Tensor] | None = None

    def __post_init__(self) -> None:
        self.model = build_model(self.recipe, self.tokenizer).to(self.device)
        if self.start is not None:
            self.model.load_state_dict({k: v.float() for k, v in self.start.items()}, strict=False)
        self.phase, self.step = self.first, 0
        self.optimiser = Optimiser(self.model, self.recipe.phases[self.phase])
        self.how = Pass.FLAT_FLOAT32 if self.device == "cpu" else Pass.PADDED
        self._pad = int(self.tokenizer.token_to_id(PAD) or 0)
        self._state = self.folder / "pretraining.pt"

    def choose_pass(self) -> dict[Pass, float]:
        """Measure on a CPU and take what is clearly faster there; tokens a second by pass."""
        if self.device != "cpu":
            return {}
        found = measure_passes(self.model, draw_batch(0, self.recipe, self.tokenizer, self.phase), self._pad)
        if found[Pass.FLAT_BFLOAT16] >= MIN_GAIN * found[Pass.FLAT_FLOAT32]:
            self.how = Pass.FLAT_BFLOAT16
        return found

    def _identity(self) -> str:
        return f"{self.recipe!r} from phase {self.first}"

    def restore(self) -> bool:
        """Continue from the last saved step, if there is one made by the same recipe."""
        if not self._state.exists():
            return False
        saved: dict[str, Any] = torch.load(self._state, weights_only=True)
        if saved["recipe"] != self._identity():
            raise UserError(
                f"{self._state} was made with another recipe. Name another --work folder, or remove this one."
            )
        self.model.load_state_dict(saved["model"])
        self.phase, self.step, self.how = saved["phase"], saved["step"], Pass(saved["pass"])
        self.optimiser = Optimiser(self.model, self.recipe.phases[self.phase])
        for part, state in zip(self.optimiser.parts, saved["optimisers"], strict=True):
            part.load_state_dict(state)
        return True

    def save(self) -> None:
        """Replace the saved state in one move, so that a kill leaves the old one or the new one."""
        temporary = self._state.with_suffix(".tmp")
        optimisers = [part.state_dict() for part in self.optimiser.parts]
        state = {"recipe": self._identity(), "model": self.model.state_dict(), "optimisers": optimisers}
        torch.save({**state, "phase": self.phase, "step": self.step, "pass": str(self.how)}, temporary)
        temporary.replace(self._state)

    def train(self, report: Report) -> None:
        """Run to the last step of the last phase, saving every `checkpoint_every` steps."""
        while True:
            self._train_phase(report)
            if self.phase + 1 == len(self.recipe.phases):
                return
            self.next_phase()
            self.save()

    def next_phase(self) -> None:
        """Go on with the next phase's first step; the optimiser begins afresh."""
        self.phase, self.step = self.phase + 1, 0
        self.optimiser = Optimiser(self.model, self.recipe.phases[self.phase])

    def _train_phase(self, report: Report) -> None:
        started, tokens_done, first = time.monotonic(), 0, self.step
        steps = self.recipe.phases[self.phase].steps
        with (self.folder / "loss.jsonl").open("a") as log:
            while self.step < steps:
                loss, tokens = self.train_step()
                tokens_done += tokens
                if self.step % 25 == 0:
                    seconds = time.monotonic() - started
                    left = seconds / (self.step - first) * (steps - self.step)
                    report(self.step, loss, tokens_done / seconds, left)
                    print(json.dumps({"phase": self.phase, "step": self.step, "loss": loss}), file=log, flush=True)
                if self.step % self.recipe.checkpoint_every == 0 or self.step == steps:
                    self.save()

    def train_step(self) -> tuple[float, int]:
        """One step; returns the loss in nats a completion token, and the tokens it took."""
        rows = draw_batch(self.step, self.recipe, self.tokenizer, self.phase)
        total = add_gradients(self.model, rows, self._pad, self.how)
        self.optimiser.step(self.step)
        self.step += 1
        return total / sum(len(c) for _, c in rows), sum(len(p) + len(c) for p, c in rows)
