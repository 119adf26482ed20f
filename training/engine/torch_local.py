"""The local torch backend: one policy on CPU, CUDA or MPS, trained whole or by a LoRA adapter.

`sample` and `forward_backward` read the same weights: with LoRA the adapter is active in both and never merged, as a
merge in half precision drifts. What it refuses: weights it cannot read, and checkpoints of another kind of tuning.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import load_peft_weights, set_peft_model_state_dict
from safetensors import SafetensorError
from torch import Tensor, nn

from training.engine import checkpoint, flat_forward, models, update
from training.engine.base import (
    Completion,
    LossParams,
    OptimStats,
    Progress,
    SamplingParams,
    Tokens,
    TrainRow,
    UpdateStats,
)
from training.engine.chat_tokenizer import ChatTokenizer
from training.engine.decoder import Decoder, describe
from training.engine.sampler import Sampler
from training.errors import UserError
from training.memory import CPU_BATCH_TOKENS, MAX_LOGITS, ran_out
from training.runs.config import Tuning
from training.runs.timing import StageTimer

STATE_FILE = "backend.json"
OPTIMISER_FILE = "optimizer.pt"
LEAST_BATCH_TOKENS = 64
"""A micro-batch is made no smaller where memory is short."""
MAX_BATCH_TOKENS = {"cpu": CPU_BATCH_TOKENS, "mps": 8192, "cuda": 65_536}
"""Tokens of a micro-batch."""


@dataclass
class _Tally:
    """Sums over the tokens of one update."""

    tokens: int = 0
    figures: list[Tensor] = field(default_factory=list)
    """Of each micro-batch: loss, clipped tokens, KL, sum and maximum of the gaps. Left on the device until the end, as
    reading a number waits for all work before it."""

    def add(self, loss: Tensor, clipped: Tensor, kl: Tensor, gaps_N: Tensor) -> None:
        self.tokens += len(gaps_N)
        self.figures.append(torch.stack([loss, clipped.to(loss.dtype), kl, gaps_N.sum(), gaps_N.max()]))

    def stats(self, rows: int) -> UpdateStats:
        n = max(1, self.tokens)
        columns = zip(*torch.stack(self.figures).tolist(), strict=True) if self.figures else [(0.0,)] * 5
        losses, clipped, kl, gaps, largest = columns
        return UpdateStats(sum(losses), rows, self.tokens, sum(clipped) / n, sum(kl) / n, sum(gaps) / n, max(largest))


@contextmanager
def _system_errors() -> Iterator[None]:
    """Raise an OSError for what the system refused: safetensors and tokenizers hide it in the text of their errors.
    Whoever made the folder knows what to say of an OSError."""
    try:
        yield
    except Exception as error:
        found = re.search(r"os error (\d+)", str(error))
        if isinstance(error, OSError) or found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error


class _Sink:
    """Writes to a file, and keeps the error that ended that."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


class LocalTorchBackend:
    """The `Backend` of `training.engine.base` on this machine.

    `model_dir` is a Hugging Face folder, a checkpoint of ours, or a PEFT adapter folder whose base is on this
    machine. `tuning` None takes what the folder is: an adapter goes on as LoRA (with its own rank and alpha),
    anything else is tuned whole. An adapter cannot be tuned whole (UserError). The reference of the KL term is the
    base model with the adapter off, or, tuned whole, a frozen copy of `model_dir`, loaded when first needed. `seed`
    is for the starting weights of a fresh adapter. `timer` counts what sampling spends its time on. `trained` False:
    the weights stay as they are, and its checkpoints have no optimiser.
    """

    def __init__(
        self,
        model_dir: Path | str,
        *,
        tuning: str | None = None,
        lora_rank: int = 16,
        lora_alpha: int = 32,
        device: str = "auto",
        dtype: str = "auto",
        threads: int = 0,
        learning_rate: float = 2e-4,
        warmup_steps: int = 0,
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
        seed: int = 0,
        timer: StageTimer | None = None,
        trained: bool = True,
    ) -> None:
        self.trained = trained
        self.model_dir = Path(model_dir)
        self.tuning = _choose_tuning(self.model_dir, tuning)
        self.device = models.choose_device(device)
        self.dtype = models.choose_dtype(dtype, self.device)
        self.threads = models.choose_threads(threads) if self.device.type == "cpu" else torch.get_num_threads()
        if (self.model_dir / checkpoint.MANIFEST).is_file():
            checkpoint.verify(self.model_dir)
        base = models.base_of_adapter(self.model_dir) if models.is_adapter(self.model_dir) else None
        self.codec = ChatTokenizer(self.model_dir, base)
        self._rates = {
            "learning_rate": learning_rate,
            "warmup_steps": warmup_steps,
            "weight_decay": weight_decay,
            "max_grad_norm": max_grad_norm,
        }
        self._peft: PeftModel | None = None
        self.model = self._open_model(lora_rank, lora_alpha, seed)
        models.check_vocabulary(self.model_dir, self.model, self.codec.tokenizer)
        self._reference: nn.Module | None = None
        self._optimiser: update.WarmedAdamW | None = None
        self._batch_tokens: int | None = None
        self._calls: list[tuple[Sequence[TrainRow], LossParams]] = []
        """Of `forward_backward` since the last step."""
        self._sampler = Sampler(self.model, self.codec.end_ids, self.codec.pad_id, self.codec.decode, timer)

    def _open_model(self, rank: int, alpha: int, seed: int) -> nn.Module:
        """The causal language model; with LoRA its linear layers carry the adapter."""
        if not models.is_adapter(self.model_dir):
            model = models.load_causal_lm(self.model_dir, self.dtype, self.device)
            if self.tuning is Tuning.FULL:
                return model
            self._peft = _add_adapter(model, self.model_dir, rank, alpha, seed)
        else:
            models.check_safetensors(self.model_dir / "adapter_model.safetensors")
            model = models.load_causal_lm(models.base_of_adapter(self.model_dir), self.dtype, self.device)
            self._peft = PeftModel.from_pretrained(
                model, str(self.model_dir), is_trainable=True, autocast_adapter_dtype=False
            )  # fmt: skip
        core: nn.Module = self._peft.get_base_model()
        return core.eval()

    @property
    def on_shortage(self) -> Callable[[str], object] | None:
        """Called with what is done about it when an allocation failed."""
        return self._sampler.on_shortage

    @on_shortage.setter
    def on_shortage(self, call: Callable[[str], object] | None) -> None:
        self._sampler.on_shortage = call

    @property
    def context(self) -> int:
        return models.context_length(self.model)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step: linear warm-up, then constant."""
        return self._optim().rate

    def _optim(self) -> update.WarmedAdamW:
        # Made late: a backend that only samples needs no moments and no masters.
        if self._optimiser is None:
            trained = [p for p in self.model.parameters() if p.requires_grad]
            self._optimiser = update.WarmedAdamW(trained, **self._rates)  # type: ignore[arg-type]
        return self._optimiser

    # ------------------------------------------------------------------ the four verbs

    def sample(
        self,
        prompts: Sequence[Tokens],
        n: int | Sequence[int],
        params: SamplingParams | Sequence[SamplingParams],
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[list[Completion]]:
        """`n` completions for each prompt; see `training.engine.sampler`."""
        return self._sampler.sample(prompts, n, params, progress=progress, cancelled=cancelled)

    def forward_backward(self, rows: Sequence[TrainRow], loss: LossParams) -> UpdateStats:
        """Add the gradient of the loss over `rows`, normalised over the whole call whatever the micro-batches.

        Rows of advantage 0 are left out, of the normaliser too, unless `loss.kl` > 0. Where an allocation fails, the
        gradients since the last step are made again, in smaller micro-batches.
        """
        self._calls.append((rows, loss))
        redo = False
        while True:
            try:
                if redo:
                    for earlier in self._calls[:-1]:
                        self._add_gradients(*earlier)
                return self._add_gradients(rows, loss)
            except (MemoryError, RuntimeError) as error:
                budget = self._token_budget() // 2
                if budget < LEAST_BATCH_TOKENS or not ran_out(error):
                    raise
            # Only here are the tensors of the failed attempt out of reach. A backward pass that was cut off has left a
            # part of its gradients.
            self._optim().drop_gradients()
            models.release_memory(self.device)
            redo, self._batch_tokens = True, budget
            if self.on_shortage is not None:
                self.on_shortage(f"Micro-batches have {budget:,} tokens from now on.")

    def _add_gradients(self, rows: Sequence[TrainRow], loss: LossParams) -> UpdateStats:
        rows = [r for r in rows if r.completion and (r.advantage != 0.0 or loss.kl > 0.0)]
        tally = _Tally()
        if not rows:
            return tally.stats(0)
        self._optim()
        scales = update.token_scales([len(r.completion) for r in rows], loss.aggregation, loss.max_tokens)
        figures = [(r.advantage, r.weight, r.clip_low, r.clip_high, s) for r, s in zip(rows, scales, strict=True)]
        figures_5R = torch.tensor(figures, dtype=torch.float32, device=self.device).T
        trees = update.plan_trees(rows, range(len(rows)))
        decoder = describe(self.model) if self.device.type == "cpu" else None
        for batch in update.cut_batches(trees, self._token_budget()):
            if decoder is not None and flat_forward.fits(batch, rows, decoder):
                self._accumulate_flat(decoder, batch, rows, figures_5R, loss, tally)
            else:
                packed = update.pack(batch, rows, self.codec.pad_id, self.device)
                self._accumulate(packed, rows, figures_5R, loss, tally)
        return tally.stats(len(rows))

    def optim_step(self) -> OptimStats:
        self._calls = []
        return self._optim().step()

    def save(self, path: Path) -> None:
        with checkpoint.atomic_folder(Path(path)) as temporary:
            self.save_into(temporary)

    def load(self, path: Path) -> None:
        checkpoint.verify(Path(path))
        self.load_from(Path(path))

    def load_from(self, path: Path) -> None:
        """Restore what `save_into` wrote into a folder of a checkpoint, which the caller has verified."""
        self._calls = []
        state, moments = self._read_state(path)
        weights = self._read_weights(path)
        try:
            self._write_weights(weights)
            if moments is not None:
                self._optim().refresh_masters()
                self._optim().restore(moments)
            self._batch_tokens = state.get("batch_tokens")
            self._sampler.set_limits(state.get("sampling") or {})
        except (KeyError, ValueError, RuntimeError) as error:
            raise UserError(
                f"The checkpoint {path} does not fit this run's model ({error}). "
                f"It was saved by a run of {state.get('model', 'another model')}: resume with that run's configuration."
            ) from error

    # ------------------------------------------------------------------ the update

    def _accumulate(
        self, packed: update.PackedBatch, rows: Sequence[TrainRow], figures_5R: Tensor, loss: LossParams, tally: _Tally
    ) -> None:
        """Forward and backward of one micro-batch. `figures_5R`: those of a row in `TokenBatch`, in its order."""
        logprobs = self._logprobs(self.model, packed, loss.temperature)
        reference = None
        if loss.kl > 0.0:
            with torch.no_grad(), self._reference_model() as model:
                reference = self._logprobs(model, packed, loss.temperature)
        old = torch.tensor([x for row in packed.row_order for x in rows[row].logprobs], dtype=torch.float32)
        old = old.to(self.device)
        advantages, weights, low, high, scales = figures_5R[:, packed.owners]
        batch = update.TokenBatch(logprobs, old, advantages, weights, low, high, scales, reference)
        result = update.policy_loss(batch, kl=loss.kl, on_policy=loss.on_policy)
        result.loss.backward()  # type: ignore[no-untyped-call]
        tally.add(result.loss.detach(), result.clipped_sum, result.kl_sum, (logprobs.detach() - old).abs())

    def _accumulate_flat(
        self, decoder: Decoder, trees: Sequence[update.Tree], rows: Sequence[TrainRow], figures_5R: Tensor,
        loss: LossParams, tally: _Tally,
    ) -> None:  # fmt: skip
        """The same without padding, for a model whose decoder is known; see `training.engine.flat_forward`."""
        batch = flat_forward.lay_out(trees, rows, self.codec.pad_id, decoder)
        reference = None
        if loss.kl > 0.0:
            with torch.no_grad(), self._reference_model() as model:
                frozen = describe(model)
                assert frozen is not None, "the reference is the same architecture"
                reference = flat_forward.logprobs(frozen, batch, loss.temperature)
        old = torch.tensor([x for row in batch.row_order for x in rows[row].logprobs], dtype=torch.float32)
        figures_5N = figures_5R[:, batch.owners]

        def loss_of(logprobs: Tensor, part: slice) -> update.TokenLoss:
            advantages, weights, low, high, scales = figures_5N[:, part]
            compared = None if reference is None else reference[part]
            tokens = update.TokenBatch(logprobs, old[part], advantages, weights, low, high, scales, compared)
            return update.policy_loss(tokens, kl=loss.kl, on_policy=loss.on_policy)

        logprobs, result = flat_forward.policy_gradient(decoder, batch, loss.temperature, loss_of)
        tally.add(result.loss, result.clipped_sum, result.kl_sum, (logprobs - old).abs())

    def _logprobs(self, model: nn.Module, packed: update.PackedBatch, temperature: float) -> Tensor:
        """Log-probabilities `[N]` of the completion tokens; the head runs on their positions only."""
        inputs: dict[str, Any] = {"input_ids": packed.ids}
        if packed.mask is not None:
            inputs |= {"position_ids": packed.positions, "attention_mask": packed.mask}
        hidden = models.hidden_states(model, use_cache=False, **inputs).flatten(0, 1).index_select(0, packed.sources)
        head = partial(models.head_logits, model)
        vocabulary = models.vocabulary_size(model)
        return update.chunked_logprobs(head, hidden, packed.targets, temperature, vocabulary, MAX_LOGITS)

    @contextmanager
    def _reference_model(self) -> Iterator[nn.Module]:
        """The starting policy, for the KL term."""
        if self._peft is not None:
            with self._peft.disable_adapter():
                yield self.model
            return
        if self._reference is None:
            self._reference = models.load_causal_lm(self.model_dir, self.dtype, self.device).requires_grad_(False)
        yield self._reference

    def _token_budget(self) -> int:
        """Padded tokens of a micro-batch, from what a token's activations weigh and the memory that is free.

        The first figure is kept, in checkpoints too: sums over other micro-batches differ in their last bits. A
        smaller one replaces it where memory became short.
        """
        config: Any = self.model.config.get_text_config()  # type: ignore[operator, union-attr]
        width = 20 * config.hidden_size + 4 * getattr(config, "intermediate_size", 4 * config.hidden_size)
        token_bytes = config.num_hidden_layers * width * self.dtype.itemsize
        logit_bytes = 12 * config.vocab_size
        memory = models.free_memory(self.device) * (0.4 if self.device.type == "cuda" else 0.2)
        # Either the logits of all tokens fit, or no more than `MAX_LOGITS` are held at once.
        tokens = max(memory // (token_bytes + logit_bytes), (memory - 12 * MAX_LOGITS) // token_bytes)
        fitting = int(max(1, min(MAX_BATCH_TOKENS[self.device.type], tokens)))
        if self._batch_tokens is None or fitting < self._batch_tokens / 2:
            self._batch_tokens = fitting
        return self._batch_tokens

    # ------------------------------------------------------------------ checkpoints

    def save_into(self, folder: Path) -> None:
        """Write the files of a checkpoint into `folder`, which exists (see `checkpoint.atomic_folder`)."""
        with _system_errors():
            if self._peft is not None:
                self._peft.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
            else:
                self.model.save_pretrained(str(folder))  # type: ignore[operator]
            self.codec.save(folder)
        if self.trained:
            self._save_optimiser(folder / OPTIMISER_FILE)
        steps = self._optim().steps if self.trained else 0
        state = {
            "format": 1, "tuning": self.tuning, "model": str(self.model_dir), "steps": steps, "trained": self.trained,
            "batch_tokens": self._batch_tokens, "sampling": self._sampler.limits(),
        }  # fmt: skip
        (folder / STATE_FILE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")

    def _save_optimiser(self, place: Path) -> None:
        with place.open("wb") as file:
            sink = _Sink(file)
            try:
                torch.save(self._optim().state(), sink)  # type: ignore[arg-type]
            except RuntimeError as error:
                # torch reports a file that could only be written in part as an error of its own.
                raise sink.error or error from error

    def _read_state(self, path: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The state, and the optimiser's of a model that is trained."""
        moments: dict[str, Any] | None = None
        try:
            state = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
            if self.trained:
                moments = torch.load(path / OPTIMISER_FILE, map_location="cpu", weights_only=True)
        except (OSError, ValueError, RuntimeError, EOFError) as error:
            raise UserError(f"{path} is not a checkpoint of this program: {error}. Resume from another one.") from error
        # Checkpoints of the first format do not say how they were tuned; their files do.
        state.setdefault("tuning", Tuning.LORA if models.is_adapter(path) else Tuning.FULL)
        if state["tuning"] != self.tuning:
            raise UserError(
                f"The checkpoint {path} was saved with model.tuning = '{state['tuning']}', this run has "
                f"'{self.tuning}'. "
                "Use the same tuning, or start a new run from the checkpoint as its model."
            )
        return state, moments

    def _read_weights(self, path: Path) -> dict[str, Tensor]:
        if self._peft is None:
            return models.load_causal_lm(path, self.dtype, torch.device("cpu")).state_dict()
        try:
            weights: dict[str, Tensor] = load_peft_weights(str(path), device="cpu")
        except (OSError, ValueError, SafetensorError) as error:
            raise UserError(f"The adapter in {path} could not be read: {error}. Resume from another one.") from error
        return weights

    def _write_weights(self, weights: dict[str, Tensor]) -> None:
        if self._peft is not None:
            set_peft_model_state_dict(self._peft, weights)
            return
        for name, tensor in self.model.state_dict().items():
            if name not in weights or weights[name].shape != tensor.shape:
                raise ValueError(f"{name} differs")
        self.model.load_state_dict(weights)


def _choose_tuning(folder: Path, tuning: str | None) -> Tuning:
    if not models.is_adapter(folder):
        return Tuning(tuning or Tuning.FULL)
    if tuning == Tuning.FULL:
        raise UserError(
            f"{folder} holds a LoRA adapter, which cannot be tuned whole. Set model.tuning = 'lora', or export the "
            "adapter merged into its base model and start from that."
        )
    return Tuning.LORA


def _add_adapter(model: nn.Module, folder: Path, rank: int, alpha: int, seed: int) -> PeftModel:
    """A fresh adapter on every linear layer of the blocks (attention and MLP), none on the head.

    It has the number type of the model: PEFT's own choice, float32 beside bfloat16, converts the input of every layer
    and multiplies in float32. The optimiser's masters keep the precision.
    """
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        peft_model = get_peft_model(model, config, autocast_adapter_dtype=False)
    for adapter in peft_model.peft_config.values():
        adapter.base_model_name_or_path = str(folder)
    return peft_model
