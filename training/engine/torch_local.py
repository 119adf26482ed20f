"""The local torch backend: the four verbs on CPU, CUDA or MPS, all weights or a LoRA adapter.

A training pass computes logits on completion tokens only, leaves out rows that carry no gradient, and cuts the rest
into micro-batches of similar length; the normaliser is that of the whole call, so the cut changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

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
from training.engine.checkpoint import atomic_folder, verify
from training.engine.codec import HFCodec
from training.engine.loss import TokenBatch, chosen_logprobs, policy_loss, token_scales
from training.engine.models import (
    base_of_adapter,
    choose_device,
    choose_dtype,
    head_logits,
    hidden_states,
    is_adapter,
    load_causal_lm,
)
from training.engine.sampler import Sampler
from training.engine.threads import choose_threads
from training.errors import UserError

MICRO_BATCH_TOKENS = 8192


class LocalTorchBackend:
    """See `training.engine.base.Backend`. `learning_rate` is the rate of the next step, warm-up included."""

    def __init__(
        self,
        model_dir: Path,
        *,
        tuning: str = "full",
        lora_rank: int = 16,
        lora_alpha: int = 32,
        device: str = "auto",
        dtype: str = "auto",
        threads: int = 0,
        learning_rate: float = 1e-5,
        warmup_steps: int = 0,
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
    ) -> None:
        self.threads = choose_threads(threads)
        self._device = choose_device(device)
        self._dtype = choose_dtype(dtype, self._device)
        adapter = is_adapter(model_dir)
        self._base_dir = base_of_adapter(model_dir) if adapter else model_dir
        self.codec: HFCodec = HFCodec(model_dir if (model_dir / "tokenizer.json").is_file() else self._base_dir)
        self._lora = tuning == "lora" or adapter
        base = load_causal_lm(self._base_dir, self._dtype, self._device)
        self.model: Any = _add_adapter(base, lora_rank, lora_alpha, self._base_dir) if self._lora else base
        if adapter:
            self._load_adapter(model_dir)
        self._reference: Any = None
        self._max_grad_norm, self._warmup, self._rate, self._steps = max_grad_norm, warmup_steps, learning_rate, 0
        self._trained = [p for p in self.model.parameters() if p.requires_grad]
        self._optimiser = torch.optim.AdamW(
            self._trained, lr=learning_rate, betas=(0.9, 0.95), weight_decay=weight_decay
        )
        self._sampler = Sampler(self._plain(), self.codec.end_ids, self.codec.pad_id)

    def _plain(self) -> Any:
        """The transformers model, adapter layers inside it."""
        return self.model.get_base_model() if self._lora else self.model

    @property
    def learning_rate(self) -> float:
        """The rate of the next step: linear warm-up, then constant."""
        return self._rate * min(1.0, (self._steps + 1) / max(1, self._warmup))

    # ------------------------------------------------------------------ the four verbs

    def sample(
        self,
        prompts: Sequence[Tokens],
        n: int,
        params: SamplingParams,
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[list[Completion]]:
        """`n` completions for each prompt, in the order of the prompts."""
        return self._sampler.sample(prompts, n, params, progress=progress, cancelled=cancelled)

    def forward_backward(self, rows: Sequence[TrainRow], loss: LossParams) -> UpdateStats:
        """Add the gradient of the loss over `rows`; zero-advantage rows cost nothing unless `kl` > 0."""
        lengths = [len(r.completion) for r in rows]
        scales = token_scales(lengths, loss.aggregation, loss.max_tokens)
        live = [(r, s) for r, s in zip(rows, scales, strict=True) if r.advantage != 0.0 or loss.kl > 0.0]
        if loss.kl > 0.0 and not self._lora and self._reference is None:
            self._reference = self._make_reference()
        total = _Totals()
        for part in _micro_batches(live):
            self._backward(part, loss, total)
        return total.stats()

    def optim_step(self) -> OptimStats:
        """Clip, step, and zero the gradient; a gradient that is not finite is dropped."""
        norm = float(torch.nn.utils.clip_grad_norm_(self._trained, self._max_grad_norm))
        finite = norm == norm and norm != float("inf")
        if finite:
            for group in self._optimiser.param_groups:
                group["lr"] = self.learning_rate
            self._optimiser.step()
            self._steps += 1
        self._optimiser.zero_grad(set_to_none=True)
        return OptimStats(norm, not finite)

    def save(self, path: Path) -> None:
        """Write weights, tokenizer and optimiser under `path`, all or nothing."""
        with atomic_folder(path) as folder:
            self.save_into(folder)

    def save_into(self, folder: Path) -> None:
        """Write into a folder that somebody else makes atomic."""
        try:
            self.model.save_pretrained(folder, safe_serialization=True)
            self.codec.save(folder)
            torch.save(self._optimiser.state_dict(), folder / "optimizer.pt")
        except RuntimeError as error:
            # torch and safetensors report a full disk as RuntimeError.
            raise OSError(28, f"No space left on device, or the file system refused ({error})") from error
        (folder / "backend.json").write_text(json.dumps({"steps": self._steps}), encoding="utf-8")

    def load(self, path: Path) -> None:
        """Restore what `save` wrote; a damaged folder is a UserError and changes nothing."""
        verify(path)
        if self._lora:
            self._load_adapter(path)
        else:
            loaded = load_causal_lm(path, self._dtype, self._device)
            self.model.load_state_dict(loaded.state_dict())
        if (path / "optimizer.pt").is_file():
            self._optimiser.load_state_dict(torch.load(path / "optimizer.pt", weights_only=True))
            self._steps = json.loads((path / "backend.json").read_text(encoding="utf-8"))["steps"]

    # ------------------------------------------------------------------ inside

    def _make_reference(self) -> Any:
        """A frozen copy of the starting model, read again from its folder: the weights here have moved on."""
        reference = load_causal_lm(self._base_dir, self._dtype, self._device)
        return reference.requires_grad_(False)

    def _load_adapter(self, folder: Path) -> None:
        from peft import set_peft_model_state_dict

        file = folder / "adapter_model.safetensors"
        if not file.is_file():
            raise UserError(f"{folder} holds no adapter weights ({file.name}). Use another checkpoint.")
        set_peft_model_state_dict(self.model, load_file(file))

    def _backward(self, part: list[tuple[TrainRow, float]], loss: LossParams, total: _Totals) -> None:
        ids, wanted, mask = self._pad([row for row, _ in part])
        logprobs = self._logprobs(self._plain(), ids, wanted, mask, loss.temperature)
        reference = None
        if loss.kl > 0.0:
            with torch.no_grad():
                reference = self._reference_logprobs(ids, wanted, mask, loss.temperature)
        batch = self._tokens(part, logprobs, reference)
        result = policy_loss(batch, kl=loss.kl, on_policy=loss.on_policy)
        torch.autograd.backward(result.loss)
        gap = (logprobs.detach() - batch.old_logprobs).abs()
        total.add(result.loss.item(), len(part), gap, result.clipped_sum.item(), result.kl_sum.item())

    def _reference_logprobs(self, ids: Tensor, wanted: Tensor, mask: Tensor, temperature: float) -> Tensor:
        if self._lora:
            with self.model.disable_adapter():
                return self._logprobs(self._plain(), ids, wanted, mask, temperature)
        return self._logprobs(self._reference, ids, wanted, mask, temperature)

    def _logprobs(self, model: Any, ids: Tensor, wanted: Tensor, mask: Tensor, temperature: float) -> Tensor:
        hidden = hidden_states(model, input_ids=ids[:, :-1], attention_mask=mask[:, :-1], use_cache=False)
        return chosen_logprobs(head_logits(model, hidden[wanted[:, 1:]]), ids[:, 1:][wanted[:, 1:]], temperature)

    def _pad(self, rows: Sequence[TrainRow]) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids, which of them are completion, and which are not padding, each `[B, T]`, padded on the right."""
        longest = max(len(r.prompt) + len(r.completion) for r in rows)
        ids = torch.full((len(rows), longest), self.codec.pad_id)
        wanted = torch.zeros((len(rows), longest), dtype=torch.bool)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for i, r in enumerate(rows):
            start, end = len(r.prompt), len(r.prompt) + len(r.completion)
            ids[i, :end] = torch.tensor([*r.prompt, *r.completion])
            wanted[i, start:end] = True
            mask[i, :end] = 1
        return ids.to(self._device), wanted.to(self._device), mask.to(self._device)

    def _tokens(self, part: list[tuple[TrainRow, float]], logprobs: Tensor, reference: Tensor | None) -> TokenBatch:
        counts = torch.tensor([len(r.completion) for r, _ in part])

        def spread(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32).repeat_interleave(counts).to(self._device)

        return TokenBatch(
            logprobs=logprobs,
            old_logprobs=torch.tensor([x for r, _ in part for x in r.logprobs], device=self._device),
            advantages=spread([r.advantage for r, _ in part]),
            weights=spread([r.weight for r, _ in part]),
            clip_low=spread([r.clip_low for r, _ in part]),
            clip_high=spread([r.clip_high for r, _ in part]),
            scale=spread([s for _, s in part]),
            reference=reference,
        )


def _add_adapter(model: nn.Module, rank: int, alpha: int, base: Path) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM",
        base_model_name_or_path=str(base),
    )  # fmt: skip
    return get_peft_model(model, config)


def _micro_batches(rows: list[tuple[TrainRow, float]]) -> Iterator[list[tuple[TrainRow, float]]]:
    """Rows of similar length, padded to at most `MICRO_BATCH_TOKENS` tokens together, one row at least."""
    ordered = sorted(rows, key=lambda x: len(x[0].prompt) + len(x[0].completion), reverse=True)
    start = 0
    while start < len(ordered):
        row = ordered[start][0]
        size = max(1, MICRO_BATCH_TOKENS // (len(row.prompt) + len(row.completion)))
        yield ordered[start : start + size]
        start += size


class _Totals:
    def __init__(self) -> None:
        self.loss, self.rows, self.tokens, self.clipped, self.kl = 0.0, 0, 0, 0.0, 0.0
        self.gap_sum, self.gap_max = 0.0, 0.0

    def add(self, loss: float, rows: int, gap: Tensor, clipped: float, kl: float) -> None:
        self.loss += loss
        self.rows += rows
        self.tokens += gap.numel()
        self.clipped += clipped
        self.kl += kl
        self.gap_sum += float(gap.sum())
        self.gap_max = max(self.gap_max, float(gap.max()) if gap.numel() else 0.0)

    def stats(self) -> UpdateStats:
        n = max(1, self.tokens)
        return UpdateStats(
            self.loss, self.rows, self.tokens, self.clipped / n, self.kl / n, self.gap_sum / n, self.gap_max
        )
