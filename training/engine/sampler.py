"""Sample completions from a causal language model, many at once. Owns no weights and no optimiser.

Departs from `generate` in four ways that matter on a CPU: a distinct prompt is prefilled once and its keys and values
serve all its samples; the cache is written in place; tokens are drawn by inverting the cumulative distribution; and
finished sequences leave the batch. In float32 on a CPU, forward passes are those of `training.engine.decoder` for the
architectures that it knows; everything else goes through transformers.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from training.engine.base import REPETITION_WINDOW, Cancelled, Completion, Progress, SamplingParams, Tokens
from training.engine.decoder import Decoding, Network, describe
from training.engine.kernels import Kernels, load_kernels
from training.engine.models import (
    context_length,
    free_memory,
    head_logits,
    hidden_states,
    release_memory,
    vocabulary_size,
)
from training.errors import UserError
from training.memory import CPU_SEQUENCES, MAX_SEQUENCES, ran_out
from training.runs.timing import StageTimer, TimePart

PREFILL_TOKENS = 8192
"""Padded prompt tokens that transformers runs at once at most."""
ALIVE_SHARE = 0.6
"""The batch is compacted when fewer than this share of its rows still run."""
FIRST_COLUMNS = 64
"""Cache columns that transformers gets for completions at first; doubled when they are full."""
UNIFORM_BLOCK = 64
CDF_BLOCK = 32
"""Tokens whose probabilities are summed first, where the vocabulary is a multiple of it."""


@dataclass(frozen=True)
class Draw:
    """One token for each row, each tensor `[B]`."""

    tokens: Tensor
    logprobs: Tensor
    entropies: Tensor


def draw_tokens(
    logits_BV: Tensor, temperature: float, uniforms_B: Tensor, chosen_from_BV: Tensor | None = None
) -> Draw:
    """Draw by inverse CDF from softmax(logits / temperature), or take the likeliest at temperature 0.

    `uniforms_B` in [0, 1]. A token of probability 0 is never drawn, not even for a uniform number that rounds to 1.
    At temperature 0 log-probabilities and entropies are those of temperature 1. `chosen_from_BV`, logits at temperature
    1, are drawn from in place of the model's own; the log-probabilities remain the model's.
    """
    if temperature not in (0.0, 1.0):
        logits_BV = logits_BV / temperature
    probs_BV = logits_BV.softmax(-1)
    if temperature == 0.0:
        tokens_B1 = (logits_BV if chosen_from_BV is None else chosen_from_BV).argmax(-1, keepdim=True)
    else:
        chances_BV = probs_BV if chosen_from_BV is None else chosen_from_BV.softmax(-1)
        if chances_BV.shape[-1] % CDF_BLOCK:
            tokens_B1, _ = _invert(chances_BV, uniforms_B[:, None])
        else:
            # The block first, then the token in it: sums of blocks are faster than one running sum over all.
            blocks_BNK = chances_BV.reshape(len(chances_BV), -1, CDF_BLOCK)
            block_B1, rest_B1 = _invert(blocks_BNK.sum(-1), uniforms_B[:, None])
            inside_BK = blocks_BNK.gather(1, block_B1[..., None].expand(-1, -1, CDF_BLOCK)).squeeze(1)
            tokens_B1 = block_B1 * CDF_BLOCK + _invert(inside_BK, rest_B1)[0]
    logprobs_B1 = probs_BV.gather(-1, tokens_B1).log()
    # H = log Z − Σ p·logit, and log Z = logit − log p of any token: no second pass of exponentials.
    entropies_B = (logits_BV.gather(-1, tokens_B1) - logprobs_B1).squeeze(-1) - torch.linalg.vecdot(probs_BV, logits_BV)
    return Draw(tokens_B1.squeeze(-1), logprobs_B1.squeeze(-1), entropies_B)


def _invert(chances_BV: Tensor, uniforms_B1: Tensor) -> tuple[Tensor, Tensor]:
    """Index `[B, 1]` that each uniform number falls on, never of chance 0, and where in its part that is, 0 to 1."""
    cdf_BV = chances_BV.cumsum(-1)
    total_B1 = cdf_BV[:, -1:]
    below_B1 = torch.nextafter(total_B1, torch.zeros_like(total_B1))
    target_B1 = torch.minimum(uniforms_B1 * total_B1, below_B1)
    index_B1 = torch.searchsorted(cdf_BV, target_B1, right=True).clamp_(max=cdf_BV.shape[-1] - 1)
    chance_B1 = chances_BV.gather(-1, index_B1)
    above_B1 = cdf_BV.gather(-1, index_B1) - target_B1
    return index_B1, (1 - above_B1 / chance_B1).clamp_(0.0, 1.0)


def restrict_logits(logits_BV: Tensor, params: SamplingParams, recent_BW: Tensor) -> Tensor:
    """Logits at temperature 1 of the distribution that `params` ask for; tokens that are ruled out have -inf.

    `recent_BW`: the tokens that the repetition penalty is for (Keskar et al. 2019, arXiv 1909.05858).
    """
    if params.repetition_penalty != 1.0:
        seen = logits_BV.gather(-1, recent_BW)
        seen = torch.where(seen > 0, seen / params.repetition_penalty, seen * params.repetition_penalty)
        logits_BV = logits_BV.scatter(-1, recent_BW, seen)
    if params.temperature == 0.0:
        return logits_BV
    logits_BV = logits_BV / params.temperature
    if 0 < params.top_k < logits_BV.shape[-1]:
        least = logits_BV.topk(params.top_k, dim=-1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least, -torch.inf)
    if params.top_p < 1.0:
        probs_BV = logits_BV.softmax(-1)
        ordered_BV = probs_BV.sort(-1, descending=True).values
        last_B1 = (ordered_BV.cumsum(-1) < params.top_p).sum(-1, keepdim=True).clamp_(max=logits_BV.shape[-1] - 1)
        logits_BV = logits_BV.masked_fill(probs_BV < ordered_BV.gather(-1, last_B1), -torch.inf)
    if params.min_p > 0.0:
        probs_BV = logits_BV.softmax(-1)
        logits_BV = logits_BV.masked_fill(probs_BV < params.min_p * probs_BV.amax(-1, keepdim=True), -torch.inf)
    return logits_BV


class SharedPrefixLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer, `[B, heads, columns, head_dim]`, written in place and read through views."""

    is_sliding = False

    def __init__(self, keys: Tensor, values: Tensor, length: int) -> None:
        super().__init__()
        self.keys, self.values, self.length = keys, values, length
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the buffers are made before the first step."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write the columns of one step and return everything up to them, as views."""
        assert self.keys is not None
        assert self.values is not None
        start, self.length = self.length, self.length + key_states.shape[-2]
        self.keys[:, :, start : self.length].copy_(key_states)
        self.values[:, :, start : self.length].copy_(value_states)
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(columns after the next step, offset of the first)."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        """No fixed maximum: the buffers grow."""
        return -1

    def grow(self, columns: int) -> None:
        self.keys, self.values = (_wider(buffer, columns, self.length) for buffer in (self.keys, self.values))

    def keep(self, rows: Tensor) -> None:
        assert self.keys is not None
        assert self.values is not None
        self.keys, self.values = self.keys.index_select(0, rows), self.values.index_select(0, rows)


def _wider(buffer: Tensor | None, columns: int, used: int) -> Tensor:
    assert buffer is not None
    batch, heads, _, width = buffer.shape
    wider = buffer.new_empty((batch, heads, columns, width))
    wider[:, :, :used].copy_(buffer[:, :, :used])
    return wider


@dataclass
class _Job:
    """One sequence to sample; `slots` are the (prompt index, sample index) that receive it."""

    prompt: tuple[int, ...]
    seed: int
    stream: int
    limit: int
    slots: list[tuple[int, int]]
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    stopped_at: int | None = None
    """Tokens up to and with the one that completed a stop string."""

    def forget(self) -> None:
        """Back to before the first token."""
        self.tokens, self.logprobs, self.entropies, self.stopped_at = [], [], [], None


class _Uniforms:
    """Numbers in [0, 1) of each sequence, from its own counter-based stream, so that batching cannot change them."""

    def __init__(self, jobs: Sequence[_Job], device: torch.device) -> None:
        self._device = device
        self._generators = [np.random.Generator(np.random.Philox(key=_stream_key(job))) for job in jobs]
        self._block = torch.empty(0)

    def at(self, step: int) -> Tensor:
        """The numbers of token `step`, one a row; steps must be asked for in order."""
        if step % UNIFORM_BLOCK == 0:
            numbers = np.stack([g.random(UNIFORM_BLOCK) for g in self._generators], axis=1)
            self._block = torch.from_numpy(numbers).to(torch.float32).to(self._device)
        return self._block[step % UNIFORM_BLOCK]

    def keep(self, rows: list[int]) -> None:
        self._generators = [self._generators[row] for row in rows]
        self._block = self._block[:, torch.tensor(rows, device=self._device)]


def _stream_key(job: _Job) -> int:
    """128 bits of the seed, the prompt's text and the sample's number: nothing of where in a batch it runs."""
    digest = hashlib.blake2b(f"{job.seed}/{job.stream}/".encode(), digest_size=16)
    digest.update(np.asarray(job.prompt, dtype=np.int64).tobytes())
    return int.from_bytes(digest.digest(), "little")


class _Decoding(Protocol):
    """Forward passes over rows that follow shared prompts: `decoder.Decoding` or `TransformersDecoding`."""

    def prefill(self) -> Tensor:
        """Run each prompt once; logits `[B, vocabulary]` of the first token of each row."""

    def step(self, tokens: Tensor) -> Tensor:
        """Feed one token a row, `[B]`; logits `[B, vocabulary]` of the next one."""

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but `rows`, which are in ascending order; they get new numbers in that order."""


class TransformersDecoding:
    """Decodes with a transformers model's own forward pass, whatever its architecture.

    Layout of the cache, one row a sequence: columns `0 … P-1` hold the prompt, aligned left, with a gap after a prompt
    shorter than the longest; column `P+t` holds token t of the completion. The gap is masked, positions skip it.
    """

    def __init__(
        self, model: nn.Module, pad_id: int, prompts: Sequence[Tokens], counts: Sequence[int], new_tokens: int
    ) -> None:
        """`counts[i]` rows, each of at most `new_tokens`, follow `prompts[i]`."""
        weight: Tensor = model.get_input_embeddings().weight  # type: ignore[operator]
        self._model, self._pad_id, self._device = model, pad_id, weight.device
        self._prompts, self._counts = prompts, counts
        lengths = [len(prompt) for prompt, count in zip(prompts, counts, strict=True) for _ in range(count)]
        self._lengths = torch.tensor(lengths, device=self._device)
        self._prefix, self._step = max(lengths), 0
        # A row that is finished goes on with the others until it is dropped, and reads on at the last position.
        self._last_position = context_length(model) - 1
        self._cache = Cache(layers=[])
        self._longest = self._prefix + new_tokens
        self._columns = min(self._prefix + FIRST_COLUMNS, self._longest)
        self._mask = self._make_mask(weight.dtype) if min(lengths) < self._prefix else None

    def _make_mask(self, dtype: torch.dtype) -> Tensor:
        """What attention adds to its scores, `[B, 1, 1, columns]`: the gap after a short prompt is shut."""
        index = torch.arange(self._columns, device=self._device)
        gap = (index >= self._lengths[:, None]) & (index < self._prefix)
        mask = torch.zeros(gap.shape, dtype=dtype, device=self._device)
        return mask.masked_fill_(gap, torch.finfo(dtype).min)[:, None, None]

    def prefill(self) -> Tensor:
        """Run each prompt once, spread its keys and values over its rows; logits `[B, V]` of the first tokens."""
        size = max(1, PREFILL_TOKENS // self._prefix)
        pieces: list[Tensor] = []
        row = 0
        for start in range(0, len(self._prompts), size):
            part, counts = self._prompts[start : start + size], self._counts[start : start + size]
            cache, logits = self._prefill_part(part)
            rows = torch.repeat_interleave(torch.arange(len(part)), torch.tensor(counts)).to(self._device)
            self._spread(cache, rows, row)
            pieces.append(logits.index_select(0, rows))
            row += len(rows)
        for layer in self._cache.layers:
            layer.length = self._prefix
        return torch.cat(pieces)

    def _prefill_part(self, prompts: Sequence[Tokens]) -> tuple[DynamicCache, Tensor]:
        longest = max(map(len, prompts))
        ids = torch.full((len(prompts), longest), self._pad_id)
        for i, prompt in enumerate(prompts):
            ids[i, : len(prompt)] = torch.tensor(prompt)
        cache = DynamicCache()
        # Padding stands right of the prompts, where a causal model cannot see it: no mask is needed.
        hidden = hidden_states(self._model, input_ids=ids.to(self._device), past_key_values=cache, use_cache=True)
        last = torch.tensor([len(prompt) - 1 for prompt in prompts], device=self._device)
        return cache, head_logits(self._model, hidden[torch.arange(len(prompts), device=self._device), last])

    def _spread(self, cache: DynamicCache, rows: Tensor, start: int) -> None:
        if not self._cache.layers:
            for layer in cache.layers:
                _, heads, _, width = layer.keys.shape
                # Zeros, as the gap is read (and masked), and garbage there could be NaN.
                shape = (len(self._lengths), heads, self._columns, width)
                values = layer.values.new_zeros((*shape[:3], layer.values.shape[-1]))
                self._cache.layers.append(SharedPrefixLayer(layer.keys.new_zeros(shape), values, 0))
        for source, target in zip(cache.layers, self._cache.layers, strict=True):
            columns = source.keys.shape[-2]
            target.keys[start : start + len(rows), :, :columns] = source.keys.index_select(0, rows)
            target.values[start : start + len(rows), :, :columns] = source.values.index_select(0, rows)

    def step(self, tokens: Tensor) -> Tensor:
        """Feed one token a row, `[B]`; logits `[B, V]` of the next one."""
        used = self._prefix + self._step + 1
        self._reserve(used)
        hidden = hidden_states(
            self._model,
            input_ids=tokens[:, None],
            position_ids=(self._lengths + self._step).clamp(max=self._last_position)[:, None],
            attention_mask=None if self._mask is None else self._mask[..., :used],
            past_key_values=self._cache,
            use_cache=True,
        )
        self._step += 1
        return head_logits(self._model, hidden[:, -1])

    def _reserve(self, columns: int) -> None:
        """Make the cache, and the mask over it, at least `columns` columns wide."""
        if columns <= self._columns:
            return
        self._columns = min(2 * self._columns, self._longest)
        for layer in self._cache.layers:
            layer.grow(self._columns)
        if self._mask is not None:
            self._mask = self._make_mask(self._mask.dtype)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but `rows`, which are in ascending order; they get new numbers in that order."""
        index = torch.tensor(rows, device=self._device)
        self._lengths = self._lengths[index]
        if self._mask is not None:
            self._mask = self._mask[index]
        for layer in self._cache.layers:
            layer.keep(index)


class _Batch:
    """Sequences that run together, and what was drawn since the last compaction."""

    def __init__(self, jobs: list[_Job], device: torch.device, end_ids: Tensor) -> None:
        self.jobs, self.device, self.end_ids = jobs, device, end_ids
        self.limits = torch.tensor([job.limit for job in jobs], device=device)
        self.finished = torch.zeros(len(jobs), dtype=torch.bool, device=device)
        self.recent: Tensor | None = None
        self._draws: list[Draw] = []

    def record(self, draw: Draw, step: int) -> None:
        """Keep what was drawn; a row that drew an end token or reached its limit is finished."""
        self._draws.append(draw)
        self.finished |= torch.isin(draw.tokens, self.end_ids) | (self.limits <= step + 1)
        if self.recent is not None:
            self.recent = torch.cat([self.recent[:, 1:], draw.tokens[:, None]], 1)

    def look_back(self) -> None:
        """Keep each row's newest tokens, `[B, window]`; a shorter prompt is filled up with its own last token."""
        w = REPETITION_WINDOW
        tails = [[job.prompt[-1]] * (w - len(job.prompt)) + list(job.prompt[-w:]) for job in self.jobs]
        self.recent = torch.tensor(tails, device=self.device)

    def flush(self) -> None:
        """Hand the draws since the last flush to their jobs. A job ignores what follows its end."""
        if not self._draws:
            return
        tokens = torch.stack([d.tokens for d in self._draws], 1).tolist()
        logprobs = torch.stack([d.logprobs for d in self._draws], 1).tolist()
        entropies = torch.stack([d.entropies for d in self._draws], 1).tolist()
        for i, job in enumerate(self.jobs):
            job.tokens += tokens[i]
            job.logprobs += logprobs[i]
            job.entropies += entropies[i]
        self._draws = []

    def compact(self) -> list[int]:
        """Drop the finished rows; returns the rows kept."""
        self.flush()
        rows = (~self.finished).nonzero().squeeze(1)
        kept: list[int] = rows.tolist()
        self.jobs = [self.jobs[row] for row in kept]
        self.limits, self.finished = self.limits[rows], self.finished[rows]
        if self.recent is not None:
            self.recent = self.recent[rows]
        return kept


class Sampler:
    """Samples from one causal language model whose weights somebody else may change between calls."""

    def __init__(
        self,
        model: nn.Module,
        end_ids: frozenset[int],
        pad_id: int,
        decode: Callable[[Tokens], str] | None = None,
        timer: StageTimer | None = None,
    ) -> None:
        """`decode` gives the text in which stop strings are looked for; without it they are refused."""
        self._model, self._end_ids, self._pad_id, self._decode_text = model, end_ids, pad_id, decode
        self._timer = timer or StageTimer()
        self.on_shortage: Callable[[str], object] | None = None
        """Called with what is done about it when an allocation failed."""
        self._most_rows = 0
        self._bytes: int | None = None
        self._compiled: bool | None = None
        self._most_together = CPU_SEQUENCES if self._device.type == "cpu" else MAX_SEQUENCES

    @torch.inference_mode()
    def sample(
        self,
        prompts: Sequence[Tokens],
        n: int | Sequence[int],
        params: SamplingParams | Sequence[SamplingParams],
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[list[Completion]]:
        """`n` completions for each prompt, in the order of the prompts; `n` and `params` of all, or one a prompt.

        What is drawn depends on the seed, the prompt's tokens and the sample's number (counted over equal prompts of
        one seed), not on the order or the size of batches. Raises Cancelled, UserError for a prompt that fills the
        context, and ValueError where `params` differ in more than length and seed.
        """
        if not prompts:
            return []
        counts = [n] * len(prompts) if isinstance(n, int) else list(n)
        each = [params] * len(prompts) if isinstance(params, SamplingParams) else list(params)
        params = each[0]
        if any(replace(p, max_new_tokens=params.max_new_tokens, seed=params.seed) != params for p in each):
            raise ValueError("prompts that are sampled together differ in more than length and seed")
        jobs = self._plan(prompts, counts, each)
        tick = _Ticker(sum(counts), progress, cancelled, 1 if self._device.type == "cpu" else 8)
        ends = torch.tensor(sorted(self._end_ids), device=self._device)
        network = self._network(jobs)
        for chunk in self._chunks(jobs, network is not None):
            self._run_fitting(chunk, network, params, tick, ends)
        results: list[list[Completion | None]] = [[None] * count for count in counts]
        for job in jobs:
            completion = _finish(job, self._end_ids)
            for i, k in job.slots:
                results[i][k] = completion
        return [[c for c in row if c is not None] for row in results]

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters()).device

    @property
    def _dtype(self) -> torch.dtype:
        weight: Tensor = self._model.get_input_embeddings().weight  # type: ignore[operator]
        return weight.dtype

    # ------------------------------------------------------------------ planning

    def _plan(self, prompts: Sequence[Tokens], counts: Sequence[int], params: Sequence[SamplingParams]) -> list[_Job]:
        """One job a sequence; at temperature 0 one a distinct prompt, as all its samples are equal."""
        context = context_length(self._model)
        slots: dict[tuple[tuple[int, ...], SamplingParams], list[tuple[int, int]]] = {}
        for i, (prompt, count, its) in enumerate(zip(prompts, counts, params, strict=True)):
            slots.setdefault((tuple(prompt), its), []).extend((i, k) for k in range(count))
        jobs: list[_Job] = []
        for (prompt, its), wanted in slots.items():
            limit = min(its.max_new_tokens, context - len(prompt))
            if not prompt or limit < 1:
                raise UserError(
                    f"A prompt has {len(prompt)} tokens and the model's context is {context}. "
                    "Shorten the problem or the hint, or use a model with a longer context."
                )
            if its.temperature == 0.0:
                jobs.append(_Job(prompt, its.seed, 0, limit, wanted))
            else:
                jobs += [_Job(prompt, its.seed, stream, limit, [slot]) for stream, slot in enumerate(wanted)]
        return sorted(jobs, key=lambda job: (len(job.prompt), job.prompt))

    def _network(self, jobs: list[_Job]) -> Network | None:
        """The model read once more, as its weights may have changed; None where transformers must run it."""
        longest = max((len(job.prompt) + job.limit for job in jobs), default=0)
        decoder = describe(self._model)
        # Measured and exact for float32 on a CPU; scores in a half type would be rounded before the softmax.
        if decoder is None or decoder.embedding.dtype is not torch.float32 or self._device.type != "cpu":
            return None
        if decoder.window is not None and longest > decoder.window:
            return None
        # A row that is finished goes on with the others until it is dropped.
        positions = max((len(job.prompt) for job in jobs), default=0) + max((job.limit for job in jobs), default=0)
        if self._compiled is not False:
            self._compiled = load_kernels(decoder.head_dim) is not None
        return Network(decoder, positions, self._compiled)

    def _decoding(self, jobs: list[_Job], network: Network | None) -> _Decoding:
        groups = [(prompt, len(list(same))) for prompt, same in groupby(jobs, key=lambda job: job.prompt)]
        prompts, counts = [prompt for prompt, _ in groups], [count for _, count in groups]
        new_tokens = max(job.limit for job in jobs)
        if network is not None:
            return Decoding(network, prompts, counts, new_tokens)
        return TransformersDecoding(self._model, self._pad_id, prompts, counts, new_tokens)

    def _chunks(self, jobs: list[_Job], shared: bool) -> Iterator[list[_Job]]:
        """Even parts of `jobs`, as few as the cap on sequences and the memory for the cache allow.

        `shared`: the keys and values of a prompt are held once, not once a row.
        """
        copies = len({job.prompt for job in jobs}) / len(jobs) if shared else 1.0
        tokens = len(jobs[-1].prompt) * copies + max(job.limit for job in jobs)
        # Drawing a token takes about five float32 numbers for each of the vocabulary.
        bytes_each = tokens * self._cache_bytes() + 20 * vocabulary_size(self._model)
        cap = max(1, min(self._most_together, int(self._budget() / bytes_each)))
        parts = -(-len(jobs) // cap)
        bounds = [len(jobs) * part // parts for part in range(parts + 1)]
        for start, stop in zip(bounds, bounds[1:], strict=False):
            yield jobs[start:stop]

    def _budget(self) -> int:
        """Bytes that sampling may take. The first figure is kept, in checkpoints too: logits of other batches differ in
        their last bits, and then so do tokens. It is lowered where much less is free."""
        found = cache_budget(self._device)
        if self._bytes is None or found < self._bytes // 2:
            self._bytes = 1 << (max(1, found).bit_length() - 1)
        return self._bytes

    def limits(self) -> dict[str, int | None]:
        """What decides the last bits of logits beside weights and sequences: which of these run together, and whether
        by the compiled kernels (None before the first). For `set_limits`, after a resume."""
        return {
            "bytes": self._bytes, "rows": self._most_rows, "together": self._most_together, "compiled": self._compiled,
        }  # fmt: skip

    def set_limits(self, limits: Mapping[str, int | None]) -> None:
        """Go on as what was saved did. Older versions had no kernels and one limit of sequences, and said neither."""
        self._bytes, self._most_rows = limits.get("bytes"), limits.get("rows") or 0
        self._most_together = limits.get("together") or MAX_SEQUENCES
        compiled = limits.get("compiled", False)
        self._compiled = None if compiled is None else bool(compiled)

    def _cache_bytes(self) -> int:
        """Bytes of keys and values of one token."""
        config = self._model.config.get_text_config()  # type: ignore[operator, union-attr]
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return int(2 * config.num_hidden_layers * heads * width * self._dtype.itemsize)

    # ------------------------------------------------------------------ running

    def _run_fitting(
        self, chunk: list[_Job], network: Network | None, params: SamplingParams, tick: "_Ticker", ends: Tensor
    ) -> None:
        """Run the sequences of a chunk together; where an allocation fails, in halves from then on."""
        waiting = [chunk]
        while waiting:
            part, *waiting = waiting
            size = self._most_rows or len(part)
            if len(part) > size:
                waiting = [part[i : i + size] for i in range(0, len(part), size)] + waiting
                continue
            try:
                kernels = None if network is None else network.kernels
                self._run(_Batch(part, self._device, ends), self._decoding(part, network), kernels, params, tick)
            except (MemoryError, RuntimeError) as error:
                if len(part) == 1 or not ran_out(error):
                    raise
            else:
                tick.chunk_done(part)
                continue
            # Only here is the failed batch out of reach, and its memory free.
            self._most_rows = (len(part) + 1) // 2
            for job in part:
                job.forget()
            tick.restart()
            release_memory(self._device)
            waiting.insert(0, part)
            if self.on_shortage is not None:
                self.on_shortage(f"{len(part)} sequences do not fit: {self._most_rows} are sampled at a time.")

    def _run(
        self, batch: _Batch, decoding: _Decoding, kernels: Kernels | None, params: SamplingParams, tick: "_Ticker"
    ) -> None:
        with self._timer.lap(TimePart.PREFILL):
            logits = decoding.prefill()
        uniforms = _Uniforms(batch.jobs, self._device)
        longest = max(job.limit for job in batch.jobs)
        drawing, forward = self._timer.lap(TimePart.DRAWING), self._timer.lap(TimePart.DECODE)
        stops = _Stops(batch.jobs, params.stop, self._decode_text) if params.stop else None
        if not params.plain:
            batch.look_back()
        for step in range(longest):
            with drawing:
                if kernels is not None and batch.recent is None:
                    draw = Draw(*kernels.draw(logits, params.temperature, uniforms.at(step)))
                else:
                    chosen_from = None if batch.recent is None else restrict_logits(logits, params, batch.recent)
                    draw = draw_tokens(logits, params.temperature, uniforms.at(step), chosen_from)
            if stops is not None:
                stops.record(batch, draw, step)
            batch.record(draw, step)
            if step + 1 == longest:
                break
            tokens = draw.tokens
            if step % tick.every == 0:
                alive = len(batch.jobs) - int(batch.finished.sum())
                tick(step, batch)
                if alive == 0:
                    break
                if alive < ALIVE_SHARE * len(batch.jobs):
                    tokens = tokens[~batch.finished]
                    tick.leave(batch)
                    kept = batch.compact()
                    decoding.keep(kept)
                    uniforms.keep(kept)
                    if stops is not None:
                        stops.keep(kept)
            with forward:
                logits = decoding.step(tokens)
        batch.flush()


class _Stops:
    """Looks for stop strings at the end of each row's text."""

    def __init__(self, jobs: Sequence[_Job], stops: Sequence[str], decode: Callable[[Tokens], str] | None) -> None:
        if decode is None:
            raise ValueError("stop strings need a decoder")
        self._stops, self._decode = stops, decode
        # A token has at least one byte, so these hold the longest of the stop strings.
        self._window = 1 + max(len(stop.encode()) for stop in stops)
        self._tails: list[list[int]] = [[] for _ in jobs]

    def record(self, batch: _Batch, draw: Draw, step: int) -> None:
        """Finish the rows whose newest token completes a stop string."""
        finished = batch.finished.tolist()
        for row, token in enumerate(draw.tokens.tolist()):
            if finished[row]:
                continue
            tail = self._tails[row] = [*self._tails[row], token][-self._window :]
            text = self._decode(tail)
            if any(stop in text for stop in self._stops):
                batch.jobs[row].stopped_at = step + 1
                batch.finished[row] = True

    def keep(self, rows: list[int]) -> None:
        self._tails = [self._tails[row] for row in rows]


class _Ticker:
    """Counts finished sequences, reports them, and raises Cancelled."""

    def __init__(self, total: int, progress: Progress | None, cancelled: Callable[[], bool] | None, every: int) -> None:
        self.every = every
        self._total, self._progress, self._cancelled = total, progress, cancelled
        self._done = self._left = self._reported = 0

    def __call__(self, step: int, batch: _Batch) -> None:
        if step % 4:
            return
        if self._cancelled is not None and self._cancelled():
            raise Cancelled
        self._report(self._done + self._left + self._count(batch))

    def leave(self, batch: _Batch) -> None:
        self._left += self._count(batch)

    def restart(self) -> None:
        """The chunk under way begins again."""
        self._left = 0

    def chunk_done(self, jobs: list[_Job]) -> None:
        self._done, self._left = self._done + sum(len(job.slots) for job in jobs), 0
        self._report(self._done)

    @staticmethod
    def _count(batch: _Batch) -> int:
        return sum(len(batch.jobs[row].slots) for row in batch.finished.nonzero().squeeze(1).tolist())

    def _report(self, done: int) -> None:
        if self._progress is not None and done != self._reported:
            self._reported = done
            self._progress(done, self._total)


def _finish(job: _Job, end_ids: frozenset[int]) -> Completion:
    """Cut at the first end token, at a stop string, or at the limit."""
    stop = job.stopped_at or next((i + 1 for i, token in enumerate(job.tokens) if token in end_ids), 0)
    truncated = stop == 0 or stop > job.limit
    length = job.limit if truncated else stop
    entropy = sum(job.entropies[:length]) / length
    return Completion(tuple(job.tokens[:length]), tuple(job.logprobs[:length]), truncated, entropy)


def cache_budget(device: torch.device) -> int:
    """Bytes that sampling may take: half of the free GPU memory, or a quarter of the free memory up to 4 GiB."""
    free = free_memory(device)
    return free // 2 if device.type == "cuda" else min(4 * 2**30, free // 4)
