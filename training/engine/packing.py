"""Lay training rows out so that a prompt shared by several completions is computed once. No model.

A tree is one prompt followed by the completions of it, one after the other: each completion sees the prompt and
itself, and its positions continue the prompt's, so the numbers are those of separate rows. The last token of a
completion is predicted but never read, so it is not laid out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.engine.base import TrainRow

TREE_TOKENS = 768
"""Longest tree of more than one completion: attention is computed over its whole square."""


@dataclass(frozen=True)
class Tree:
    """Rows of one prompt, by their index in the update."""

    prompt: tuple[int, ...]
    rows: tuple[int, ...]
    length: int


@dataclass(frozen=True)
class PackedBatch:
    """B trees padded right to T columns, and N completion tokens gathered from them.

    `ids`, `positions` `[B, T]`; `mask` `[B, 1, T, T]` (True = may see), or None where plain causality does;
    `sources` `[N]` flat indices into B·T of the hidden states that predict `targets` `[N]`;
    `owners` `[N]` the row of each token, by its index in the update.
    """

    ids: Tensor
    positions: Tensor | None
    mask: Tensor | None
    sources: Tensor
    targets: Tensor
    owners: Tensor
    row_order: tuple[int, ...]
    """Rows in the order of their tokens in `targets`."""


def plan_trees(rows: Sequence[TrainRow], indices: Sequence[int], tree_tokens: int = TREE_TOKENS) -> list[Tree]:
    """Group `rows[indices]` by prompt into trees of at most `tree_tokens` (one completion always fits), shortest first.

    The result depends on the rows' contents, not on their order.
    """
    ordered = sorted(indices, key=lambda i: (rows[i].prompt, len(rows[i].completion), rows[i].completion))
    trees: list[Tree] = []
    for index in ordered:
        row, extra = rows[index], len(rows[index].completion) - 1
        last = trees[-1] if trees else None
        if last is not None and last.prompt == row.prompt and last.length + extra <= tree_tokens:
            trees[-1] = Tree(last.prompt, (*last.rows, index), last.length + extra)
        else:
            trees.append(Tree(row.prompt, (index,), len(row.prompt) + extra))
    return sorted(trees, key=lambda tree: tree.length)


def cut_batches(trees: Sequence[Tree], token_budget: int) -> Iterator[list[Tree]]:
    """Consecutive trees whose padded size stays within `token_budget`; a tree that is larger goes alone."""
    batch: list[Tree] = []
    for tree in trees:
        if batch and (len(batch) + 1) * tree.length > token_budget:
            yield batch
            batch = []
        batch.append(tree)
    if batch:
        yield batch


def pack(trees: Sequence[Tree], rows: Sequence[TrainRow], pad_id: int) -> PackedBatch:
    """Lay `trees` out as one batch of CPU tensors."""
    width = max(tree.length for tree in trees)
    ids = torch.full((len(trees), width), pad_id)
    positions = torch.zeros((len(trees), width), dtype=torch.long)
    # Segment 0 is the prompt, 1, 2, … the completions, -1 the padding.
    segments = torch.full((len(trees), width), -1)
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    for b, tree in enumerate(trees):
        prompt = len(tree.prompt)
        ids[b, :prompt] = torch.tensor(tree.prompt)
        positions[b, :prompt] = torch.arange(prompt)
        segments[b, :prompt] = 0
        start = prompt
        for segment, index in enumerate(tree.rows, 1):
            completion = rows[index].completion
            stop = start + len(completion) - 1
            ids[b, start:stop] = torch.tensor(completion[:-1], dtype=torch.long)
            positions[b, start:stop] = torch.arange(prompt, prompt + stop - start)
            segments[b, start:stop] = segment
            sources += [b * width + prompt - 1, *range(b * width + start, b * width + stop)]
            targets += completion
            owners += [index] * len(completion)
            start = stop
    shared = any(len(tree.rows) > 1 for tree in trees)
    order = tuple(index for tree in trees for index in tree.rows)
    return PackedBatch(
        ids,
        positions if shared else None,
        tree_mask(segments) if shared else None,
        torch.tensor(sources),
        torch.tensor(targets),
        torch.tensor(owners),
        order,
    )


def tree_mask(segments: Tensor) -> Tensor:
    """`[B, 1, T, T]`, True where a column of the same segment or of the prompt stands before (or at) the row's."""
    width = segments.shape[1]
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    same = segments[:, :, None] == segments[:, None, :]
    prompt = (segments == 0)[:, None, :]
    return ((same | prompt) & causal)[:, None]
