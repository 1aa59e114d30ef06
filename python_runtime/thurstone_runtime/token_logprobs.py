"""log p(token) from logits that are held once.

Over a vocabulary of 150,000 the logits of a thousand tokens are 600 MB, and written with torch's own functions a loss
makes several tensors of that size: exponentials, their gradient, the gradient of the picked ones. Here the exponentials
are made a few rows at a time, and the gradient is written over the logits.

Suffixes: N tokens, M of them at a time, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BYTES_AT_A_TIME = 2**24


class TokenLogprobs(torch.autograd.Function):
    """`apply(logits_NV, target_N, entropy)` -> log-probabilities [N] under softmax(logits), and the entropy of that
    distribution [N] in nats, or None when `entropy` is False.

    Both are differentiable. With p = softmax(logits) and H its entropy

        d log p(target) / d logits = [target] - p        d H / d logits = -p (log p + H)

    and the second costs nothing where the entropy goes into no loss. The backward pass overwrites `logits`: it can run
    once, and no other function may need them for its own.
    """

    @staticmethod
    def forward(context: Any, logits_NV: Tensor, target_N: Tensor, entropy: bool) -> tuple[Tensor, Tensor | None]:
        normaliser_N = logits_NV.new_empty(len(logits_NV))
        entropy_N = logits_NV.new_empty(len(logits_NV)) if entropy else None
        for rows in _pieces(logits_NV):
            logits_MV = logits_NV[rows]
            normaliser_N[rows] = logits_MV.logsumexp(dim=-1)
            if entropy_N is not None:
                probability_MV = (logits_MV - normaliser_N[rows].unsqueeze(1)).exp_()
                entropy_N[rows] = normaliser_N[rows] - probability_MV.mul_(logits_MV).sum(dim=-1)
        context.save_for_backward(logits_NV, target_N, normaliser_N, entropy_N)
        # An entropy that is only counted has no gradient then, rather than one of zeros.
        context.set_materialize_grads(False)
        return logits_NV.gather(1, target_N.unsqueeze(1)).squeeze(1) - normaliser_N, entropy_N

    @staticmethod
    def backward(context: Any, grad_N: Tensor | None, entropy_grad_N: Tensor | None) -> tuple[Tensor, None, None]:  # pyright: ignore
        logits_NV, target_N, normaliser_N, entropy_N = context.saved_tensors
        if grad_N is None:
            grad_N = torch.zeros_like(normaliser_N)
        grad_NV = logits_NV.detach()
        for rows in _pieces(grad_NV):
            factor = -grad_N[rows].unsqueeze(1)
            grad_MV = grad_NV[rows].sub_(normaliser_N[rows].unsqueeze(1))
            if entropy_grad_N is not None:
                surplus_MV = grad_MV + entropy_N[rows].unsqueeze(1)
                factor = surplus_MV.mul_(-entropy_grad_N[rows].unsqueeze(1)).add_(factor)
            grad_MV.exp_().mul_(factor)
        grad_NV.scatter_add_(1, target_N.unsqueeze(1), grad_N.unsqueeze(1))
        return grad_NV, None, None


def _pieces(logits_NV: Tensor) -> list[slice]:
    count = max(1, BYTES_AT_A_TIME // (logits_NV.shape[1] * logits_NV.itemsize))
    return [slice(first, first + count) for first in range(0, len(logits_NV), count)]
