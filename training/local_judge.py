"""Judges that run on this machine, by torch.

The examples that come before every question are computed once for a batch. Yes and no are read from the probabilities
of the first token; where they have too little of it, the model writes its reply, greedily.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from training.core.prompts import Message
from training.core.validity import EXAMPLES, LEAST_MASS, JudgeOptions, JudgeQuestion, Reply, Report
from training.engine import models
from training.engine.base import SamplingParams
from training.engine.torch_local import LocalTorchBackend
from training.evaluation.torch_evaluator import sample_texts
from training.memory import JUDGE_BATCH, JUDGE_PREFIXES

MOSTLY = 0.8
"""Share of what a batch begins with that a kept prefix must have."""


class LocalModel:
    """A model folder as judge and as solver. It is never trained."""

    def __init__(self, folder: Path, key: str, options: JudgeOptions, threads: int = 0, device: str = "auto") -> None:
        self.key, self.options = key, options
        self.backend = LocalTorchBackend(folder, device=device, threads=threads)
        self._prefixes: dict[tuple[int, ...], DynamicCache] = {}
        self._yes, self._no = (self._ids(word) for word in ("yes", "no"))

    def _ids(self, word: str) -> Tensor:
        """Tokens that are the word alone, in any case, with a space before it or none."""
        known: dict[str, int] = self.backend.codec.tokenizer.get_vocab()
        most = models.vocabulary_size(self.backend.model)
        ids = [i for token, i in known.items() if token.lstrip("Ġ▁ ").casefold() == word and i < most]
        return torch.tensor(sorted(ids), dtype=torch.long, device=self.backend.device)

    def ask(self, questions: Sequence[JudgeQuestion], progress: Report, cancelled: Callable[[], bool]) -> list[Reply]:
        """See `JudgeModel.ask`. Raises `Cancelled` where the backend does."""
        found: list[Reply] = [Reply(problem="The prompt does not fit in the judge's context.")] * len(questions)
        prompts = {place: p for place, q in enumerate(questions) if (p := self._prompt(q))}
        progress(0, len(questions))
        if len(self._yes) and len(self._no):
            done = len(questions) - len(prompts)
            for part in _batches(questions, prompts):
                if cancelled():
                    return found
                other = self._prompt(JudgeQuestion("?", "?", questions[part[0]].number))
                shares_B2 = self._first_tokens([prompts[place] for place in part], other)
                for place, (yes, no) in zip(part, shares_B2, strict=True):
                    found[place] = Reply("", yes, no)
                done += len(part)
                progress(done, len(questions))
        else:
            found = [reply if place not in prompts else Reply() for place, reply in enumerate(found)]
        unclear = [p for p in prompts if (found[p].yes or 0.0) + (found[p].no or 0.0) < LEAST_MASS]
        for place, text in zip(unclear, self._write([prompts[p] for p in unclear], cancelled), strict=True):
            found[place] = Reply(text)
        return found

    def _prompt(self, question: JudgeQuestion) -> tuple[int, ...]:
        """With as many examples as fit; empty where not even the question does."""
        room = self.backend.context - self.options.max_tokens
        for examples in (len(EXAMPLES), len(EXAMPLES) // 2, 2, 0):
            prompt = self.backend.codec.encode_chat(question.messages(examples))
            if len(prompt) < room:
                return prompt
        return ()

    def _first_tokens(
        self, prompts: Sequence[tuple[int, ...]], other: tuple[int, ...] = ()
    ) -> list[tuple[float, float]]:
        """Probabilities of yes and no as the first token of each completion. `other`: a prompt for another problem, so
        that what is kept for later batches ends where problems begin."""
        model, device = self.backend.model, self.backend.device
        with torch.inference_mode():
            shared, cache = self._shared([*prompts, other] if other else prompts, len(prompts))
            rest = [prompt[shared:] for prompt in prompts]
            longest = max(map(len, rest))
            pad = self.backend.codec.pad_id
            ids_BT = torch.tensor([[*tokens, *[pad] * (longest - len(tokens))] for tokens in rest], device=device)
            ends_B = torch.tensor([len(tokens) - 1 for tokens in rest], device=device)
            places_T = torch.arange(longest, device=device)
            seen_BL = torch.ones(len(rest), shared + longest, dtype=torch.long, device=device)
            seen_BL[:, shared:] = places_T <= ends_B[:, None]
            hidden_BTH = models.hidden_states(
                model, input_ids=ids_BT, past_key_values=cache, use_cache=True, attention_mask=seen_BL,
                position_ids=(shared + places_T).expand(len(rest), -1),
            )  # fmt: skip
            logits_BV = models.head_logits(model, hidden_BTH[torch.arange(len(rest), device=device), ends_B])
            probs_BV = logits_BV.float().softmax(-1)
            shares_B2 = torch.stack([probs_BV[:, ids].sum(-1) for ids in (self._yes, self._no)], -1)
        return [(float(yes), float(no)) for yes, no in shares_B2.tolist()]

    def _shared(self, prompts: Sequence[tuple[int, ...]], rows: int) -> tuple[int, DynamicCache]:
        """How many tokens all begin with, and their keys and values for so many rows. The examples are most of them:
        they are kept from batch to batch."""
        config = self.backend.model.config.get_text_config()  # type: ignore[operator, union-attr]
        shared = _shared_length(prompts)
        if not shared:
            return 0, DynamicCache(config=config)
        known = [p for p in self._prefixes if len(p) <= shared and p == prompts[0][: len(p)]]
        prefix = max(known, key=len, default=())
        if not prefix or len(prefix) < MOSTLY * shared:
            prefix = prompts[0][:shared]
            cache = DynamicCache(config=config)
            first_1P = torch.tensor([prefix], device=self.backend.device)
            models.hidden_states(self.backend.model, input_ids=first_1P, past_key_values=cache, use_cache=True)
            self._prefixes[prefix] = cache
            while len(self._prefixes) > JUDGE_PREFIXES:
                self._prefixes.pop(next(iter(self._prefixes)))
        copied = copy.deepcopy(self._prefixes[prefix])
        copied.batch_repeat_interleave(rows)
        return len(prefix), copied

    def _write(self, prompts: Sequence[tuple[int, ...]], cancelled: Callable[[], bool]) -> list[str]:
        if not prompts:
            return []
        codec = self.backend.codec
        params = SamplingParams(self.options.max_tokens, temperature=0.0, stop=codec.stops)
        drawn = self.backend.sample(prompts, 1, params, cancelled=cancelled)
        # A reply that was cut off inside its reasoning says nothing; the reader of votes sees to that.
        return [codec.completion_text(p, c.tokens, params.stop) for p, (c,) in zip(prompts, drawn, strict=True)]

    def texts(
        self, chats: Sequence[list[Message]], samples: int, max_tokens: int, temperature: float, progress: Report,
        cancelled: Callable[[], bool], variables: Mapping[str, Any] | None = None,
    ) -> list[list[str]]:  # fmt: skip
        """See `judge_requests.Solver`; a chat that does not fit has empty ones."""
        sampled = sample_texts(
            self.backend, chats, samples, SamplingParams(max_tokens, temperature), variables=variables,
            progress=progress, cancelled=cancelled,
        )  # fmt: skip
        return [[completion.text for completion in completions] for completions in sampled]


def _batches(questions: Sequence[JudgeQuestion], prompts: Mapping[int, tuple[int, ...]]) -> Iterator[list[int]]:
    """Places of questions that are asked alike, of similar length, so that little is padded."""
    alike: dict[int, list[int]] = defaultdict(list)
    for place in prompts:
        alike[questions[place].number].append(place)
    for places in alike.values():
        places.sort(key=lambda place: len(prompts[place]))
        for start in range(0, len(places), JUDGE_BATCH):
            yield places[start : start + JUDGE_BATCH]


def _shared_length(prompts: Sequence[tuple[int, ...]]) -> int:
    """Tokens that all begin with; each keeps at least one of its own."""
    low, high = min(prompts), max(prompts)
    most = min(len(prompt) for prompt in prompts) - 1
    return next((i for i in range(most) if low[i] != high[i]), most)
