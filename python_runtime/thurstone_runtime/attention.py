"""Exact attention in blocks: a prompt over itself, and completions over their prompt and over themselves.

Completions of one prompt never see each other, so their attention falls into two blocks whose results are merged by
their log-sum-exp, as flash attention merges its tiles (Dao et al. 2022, arXiv 2205.14135; across devices: Liu et al.
2023, arXiv 2310.01889). The gradient of a block needs the merged output and log-sum-exp and nothing of the other block.
Keys and values of a prompt are read where they are, never copied per completion, and query heads that share a key head
stand beside each other as further queries.

transformers calls `packed_attention` through its `AttentionInterface`, under the name `ATTENTION`.

Suffixes: T tokens of a packed row, N tokens of a block, B batch, Q queries, K keys, h query heads, k key heads, r query
heads for each key head, F = r * Q, D values of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .ragged import cells

ATTENTION = "thurstone"
"""The name that the text models of loaded checkpoints are set to."""
NEVER = 1e30
"""A log-sum-exp that leaves a query no weight at all."""

aten: Any = torch.ops.aten


def attend(
    query_BhQD: Tensor, key_BhKD: Tensor, value_BhKD: Tensor, scale: float, *, causal: bool, plain: bool = False
) -> tuple[Tensor, Tensor]:
    """Output [B, h, Q, D] and log-sum-exp of the scaled scores [B, h, Q], which no autograd function of torch returns.

    The kernel is that of `scaled_dot_product_attention` on this device where it has one for the type; elsewhere plain
    matrix products, as with `plain`. `causal`: query q sees the keys up to q.
    """
    arguments = (query_BhQD, key_BhKD, value_BhKD, 0.0, causal)
    match _kernel(query_BhQD, plain):
        case "cpu":
            output, logsumexp = aten._scaled_dot_product_flash_attention_for_cpu(*arguments, scale=scale)
        case "cuda":
            output, logsumexp, *_ = aten._scaled_dot_product_flash_attention(*arguments, scale=scale)
        case _:
            scores_BhQK = _scores(query_BhQD, key_BhKD, scale, causal)
            logsumexp = scores_BhQK.logsumexp(dim=-1)
            output = (scores_BhQK - logsumexp.unsqueeze(-1)).exp().to(value_BhKD.dtype) @ value_BhKD
    return output, logsumexp


def attend_backward(
    grad_BhQD: Tensor,
    query_BhQD: Tensor,
    key_BhKD: Tensor,
    value_BhKD: Tensor,
    output_BhQD: Tensor,
    logsumexp_BhQ: Tensor,
    scale: float,
    *,
    causal: bool,
    plain: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value. `output` and `logsumexp` are those over all keys that the queries see, of
    which these may be a part."""
    tensors = (grad_BhQD, query_BhQD, key_BhKD, value_BhKD, output_BhQD, logsumexp_BhQ)
    match _kernel(query_BhQD, plain):
        case "cpu":
            return aten._scaled_dot_product_flash_attention_for_cpu_backward(*tensors, 0.0, causal, scale=scale)
        case "cuda":
            lengths = query_BhQD.shape[2], key_BhKD.shape[2]
            # Equal lengths and no dropout: the kernel reads neither offsets nor the state of a random generator.
            unused = torch.zeros(2, dtype=torch.uint64, device=query_BhQD.device)
            return aten._scaled_dot_product_flash_attention_backward(
                *tensors, None, None, *lengths, 0.0, causal, unused, unused, scale=scale
            )
    scores_BhQK = _scores(query_BhQD, key_BhKD, scale, causal)
    weights_BhQK = (scores_BhQK - logsumexp_BhQ.unsqueeze(-1)).exp().to(value_BhKD.dtype)
    value_grad = weights_BhQK.mT @ grad_BhQD
    along = (grad_BhQD * output_BhQD).sum(dim=-1, keepdim=True)
    scores_grad = weights_BhQK * (grad_BhQD @ value_BhKD.mT - along) * scale
    return scores_grad @ key_BhKD, scores_grad.mT @ query_BhQD, value_grad


def _kernel(query: Tensor, plain: bool) -> str:
    if plain:
        return "plain"
    if query.device.type == "cuda" and query.dtype in (torch.bfloat16, torch.float16) and query.shape[-1] % 8 == 0:
        return "cuda"
    return "cpu" if query.device.type == "cpu" else "plain"


def _scores(query_BhQD: Tensor, key_BhKD: Tensor, scale: float, causal: bool) -> Tensor:
    scores_BhQK = (query_BhQD @ key_BhKD.mT).to(torch.promote_types(query_BhQD.dtype, torch.float32)) * scale
    if not causal:
        return scores_BhQK
    queries, keys = scores_BhQK.shape[-2:]
    hidden_QK = torch.ones(queries, keys, dtype=torch.bool, device=scores_BhQK.device).triu(1)
    return scores_BhQK.masked_fill(hidden_QK, -torch.inf)


def merge(output: Tensor, logsumexp: Tensor, other: Tensor, other_logsumexp: Tensor) -> tuple[Tensor, Tensor]:
    """Two blocks over different keys into one: outputs [..., D], log-sum-exps [...]."""
    merged = torch.logaddexp(logsumexp, other_logsumexp)
    own = (logsumexp - merged).exp().unsqueeze(-1).to(output.dtype)
    return torch.lerp(other, output, own), merged


@dataclass(frozen=True)
class Rows:
    """Neighbouring tokens of a packed row, laid out in rows of one length so that a kernel takes them together."""

    tokens: slice
    """Where they stand in the packed row."""
    count: int
    length: int
    source: Tensor | None = None
    """int64 [count * length]: the token, counted from the first, in each place; 0 in empty places. None when every
    place is taken, in order."""
    empty: Tensor | None = None
    """bool [count * length]; None together with `source`."""
    place: Tensor | None = None
    """int64 [tokens]: where each token lies; None together with `source`."""

    @staticmethod
    def of_lengths(tokens: slice, length_R: NDArray[np.int64], device: torch.device) -> Rows:
        """Rows of these lengths, one after the other in `tokens`, for tensors on `device`; R rows."""
        longest = int(length_R.max())
        if (length_R == longest).all():
            return Rows(tokens, len(length_R), longest)
        place = cells(np.zeros_like(length_R), length_R, longest)
        source = np.zeros(len(length_R) * longest, np.int64)
        source[place] = np.arange(len(place))
        empty = np.ones(len(source), bool)
        empty[place] = False
        indices = (torch.from_numpy(part).to(device) for part in (source, empty, place))
        return Rows(tokens, len(length_R), longest, *indices)

    def laid_out(self, states_T: Tensor, fill: float | None = None) -> Tensor:
        """[T, heads, ...] -> [count, heads, length, ...]. Empty places hold `fill`, or anything finite."""
        states_N = states_T[self.tokens]
        if self.source is not None:
            states_N = states_N[self.source]
            if fill is not None:
                states_N[self.empty] = fill
        return states_N.unflatten(0, (self.count, self.length)).transpose(1, 2)

    def flat(self, states: Tensor) -> Tensor:
        """[count, heads, length, ...] -> [tokens, heads, ...]."""
        flat = states.transpose(1, 2).flatten(0, 1)
        return flat if self.place is None else flat[self.place]


@dataclass(frozen=True)
class Block:
    """Queries that see keys, row by row."""

    queries: Rows
    keys: Rows
    causal: bool
    """Queries and keys are the same tokens, and each sees those up to itself. Otherwise each sees all keys."""
    more: bool = False
    """The queries have seen other keys in an earlier block."""


class Layout(Protocol):
    """Who sees whom among the tokens of a call."""

    def attend(self, layer: int, query_ThD: Tensor, key_TkD: Tensor, value_TkD: Tensor, scale: float) -> Tensor:
        """Output [T, h, D]."""
        ...


@dataclass(frozen=True)
class PackedLayout:
    """Of a row that holds everything: the blocks are computed one after the other. Differentiable."""

    blocks: tuple[Block, ...]
    plain: bool = False
    """Plain matrix products instead of the device's kernel."""

    def attend(self, layer: int, query_ThD: Tensor, key_TkD: Tensor, value_TkD: Tensor, scale: float) -> Tensor:
        """See `Layout.attend`."""
        del layer
        output: Any = _PackedAttention.apply(query_ThD, key_TkD, value_TkD, self, scale)
        return output


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    layout: Layout | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """What transformers calls: [1, heads, T, D] each. Without a layout, rows of plain causal attention."""
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    query_ThD, key_TkD, value_TkD = (states[0].transpose(0, 1).to(value.dtype) for states in (query, key, value))
    number: Any = module.layer_idx
    return layout.attend(number, query_ThD, key_TkD, value_TkD, scaling).unsqueeze(0), None


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


class _PackedAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, query_ThD: Tensor, key_TkD: Tensor, value_TkD: Tensor, layout: PackedLayout, scale: float
    ) -> Tensor:
        output_ThD = query_ThD.new_empty(query_ThD.shape)
        precise = torch.promote_types(query_ThD.dtype, torch.float32)
        logsumexp_Th = query_ThD.new_empty(query_ThD.shape[:2], dtype=precise)
        for block in layout.blocks:
            own = block.queries.tokens
            paired = _heads_paired(block, query_ThD, key_TkD, value_TkD)
            output, logsumexp = attend(*paired, scale, causal=block.causal, plain=layout.plain)
            output = block.queries.flat(_as_query(block, output))
            logsumexp = block.queries.flat(_as_query(block, logsumexp))
            if block.more:
                output, logsumexp = merge(output, logsumexp, output_ThD[own], logsumexp_Th[own])
            output_ThD[own], logsumexp_Th[own] = output, logsumexp
        context.save_for_backward(query_ThD, key_TkD, value_TkD, output_ThD, logsumexp_Th)
        context.layout, context.scale = layout, scale
        return output_ThD

    @staticmethod
    def backward(context: Any, grad_ThD: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query_ThD, key_TkD, value_TkD, output_ThD, logsumexp_Th = context.saved_tensors
        query_grad, key_grad, value_grad = (torch.zeros_like(states) for states in (query_ThD, key_TkD, value_TkD))
        for block in context.layout.blocks:
            queries, keys = block.queries, block.keys
            # An empty place takes no part: it has no gradient, and a log-sum-exp that leaves it no weight.
            found = attend_backward(
                _folded(block, queries.laid_out(grad_ThD, 0.0), key_TkD),
                *_heads_paired(block, query_ThD, key_TkD, value_TkD),
                _folded(block, queries.laid_out(output_ThD), key_TkD),
                _folded(block, queries.laid_out(logsumexp_Th, NEVER), key_TkD),
                context.scale,
                causal=block.causal,
                plain=context.layout.plain,
            )
            query_grad[queries.tokens] += queries.flat(_as_query(block, found[0]))
            key_grad[keys.tokens] += keys.flat(_as_key(found[1], key_TkD))
            value_grad[keys.tokens] += keys.flat(_as_key(found[2], key_TkD))
        return query_grad, key_grad, value_grad, None, None


def _heads_paired(block: Block, query_ThD: Tensor, key_TkD: Tensor, value_TkD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of a block with as many heads each: where all keys are seen the query heads of one key head
    become further queries, [B, k, F, D], and nothing is copied; a causal kernel wants keys for every query head."""
    query = block.queries.laid_out(query_ThD)
    key, value = (block.keys.laid_out(states) for states in (key_TkD, value_TkD))
    if not block.causal:
        return _folded(block, query, key_TkD), key, value
    repeats = query.shape[1] // key_TkD.shape[1]
    return query, key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)


def _folded(block: Block, states: Tensor, key_TkD: Tensor) -> Tensor:
    return states if block.causal else fold_heads(states, key_TkD.shape[1])


def _as_query(block: Block, states: Tensor) -> Tensor:
    return states if block.causal else unfold_heads(states, block.queries.length)


def fold_heads(states: Tensor, key_heads: int) -> Tensor:
    """The query heads of one key head as further queries of it: [B, h, Q, ...] -> [B, k, F, ...]."""
    return states.unflatten(1, (key_heads, -1)).flatten(2, 3)


def unfold_heads(states: Tensor, queries: int) -> Tensor:
    """Takes `fold_heads` back."""
    return states.unflatten(2, (-1, queries)).flatten(1, 2)


def _as_key(states: Tensor, key_TkD: Tensor) -> Tensor:
    """Adds up what the query heads of one key head found: [B, h or k, K, D] -> [B, k, K, D]."""
    heads = key_TkD.shape[1]
    return states if states.shape[1] == heads else states.unflatten(1, (heads, -1)).sum(dim=2)
