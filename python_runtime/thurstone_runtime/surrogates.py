"""The surrogates of the policy gradient that `losses.weighted_loss` weighs, token by token.

r_t = exp(new_t - old_t) is the ratio of a token under the policy now and under the one it was sampled from, A_t its
advantage. On the first update of a batch r is 1, and all of them have the same gradient, -A.

clip
    -min(min(r, delta) A, clamp(r, 1 - epsilon, 1 + epsilon_high) A). PPO (arXiv 1707.06347, eq. 7), as GRPO uses it per
    token (DeepSeekMath, arXiv 2402.03300, eq. 3); the range of two sides is DAPO's (arXiv 2503.14476, eq. 8); `delta`,
    the cap that also bounds tokens of negative advantage, is two-sided GRPO's (INTELLECT-2, arXiv 2505.07291) and the
    dual clip of arXiv 1912.09729; None leaves it out. TRL: loss_type grpo, bnpo, dr_grpo, dapo.
sequence_clip
    The same with s in the place of r: s = exp(mean of (new_t - old_t) over the completion's tokens), which gives every
    token of a completion the same ratio. GSPO (arXiv 2507.18071). TRL: importance_sampling_level sequence,
    and with one weight for all tokens loss_type luspo (arXiv 2602.05261).
cispo
    -min(r, epsilon_high) A new, with the ratio detached: a token beyond the cap keeps a gradient, where `clip` cuts it.
    MiniMax-M1 (arXiv 2506.13585), with nothing that bounds it below. `epsilon_high` is the cap itself, as TRL's is for
    loss_type cispo (epsilon_max of ScaleRL, arXiv 2510.13786; TRL recommends 5): what the first paper writes as
    1 + epsilon_high. Not given, it is 1 + epsilon.
sapo
    -4 / tau sigmoid(tau (r - 1)) A, tau = tau_positive where A > 0, else tau_negative: a gate that closes softly on
    both sides. SAPO (arXiv 2511.20347). TRL: loss_type sapo, sapo_temperature_pos and sapo_temperature_neg.
nll
    -A new: maximum likelihood when A is 1 (supervised fine-tuning). With weights of any sign the gradient of the loss
    with respect to new is -w A, which lets a caller execute a gradient it worked out itself.

What counts as clipped: with `clip` and `sequence_clip` tokens whose policy gradient is cut, below (A < 0) and above
(A > 0, and A < 0 beyond `delta`); with `cispo` tokens of positive advantage whose ratio is above the cap, as TRL counts
them; with `sapo` and `nll`, which cut nothing, none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class PerToken(NamedTuple):
    """All of one shape."""

    loss: Tensor
    clipped_low: Tensor
    """bool"""
    clipped_high: Tensor
    """bool"""


Surrogate = Callable[[Mapping[str, Any], Tensor, Tensor, Tensor], PerToken]
"""(spec, new, log of the ratio, advantages); see `losses.read_spec` for the spec."""


def _clip(spec: Mapping[str, Any], _new: Tensor, log_ratio: Tensor, advantages: Tensor) -> PerToken:
    low, high, delta = 1 - spec["epsilon"], 1 + spec["epsilon_high"], spec["delta"]
    ratio = torch.exp(log_ratio)
    capped = ratio if delta is None else ratio.clamp(max=delta)
    # The smaller product decides: of two upper bounds the lower one where A > 0, the higher one where A < 0.
    above = (advantages > 0) & (ratio > (high if delta is None else min(high, delta)))
    if delta is not None:
        above = above | ((advantages < 0) & (ratio > max(high, delta)))
    return PerToken(
        -torch.minimum(capped * advantages, ratio.clamp(low, high) * advantages),
        clipped_low=(advantages < 0) & (ratio < low),
        clipped_high=above,
    )


def _cispo(spec: Mapping[str, Any], new: Tensor, log_ratio: Tensor, advantages: Tensor) -> PerToken:
    ratio, cap = torch.exp(log_ratio.detach()), spec["epsilon_high"]
    return PerToken(
        -ratio.clamp(max=cap) * advantages * new,
        clipped_low=torch.zeros_like(new, dtype=torch.bool),
        clipped_high=(advantages > 0) & (ratio > cap),
    )


def _sapo(spec: Mapping[str, Any], _new: Tensor, log_ratio: Tensor, advantages: Tensor) -> PerToken:
    positive, negative = (advantages.new_tensor(spec[name]) for name in ("tau_positive", "tau_negative"))
    tau = torch.where(advantages > 0, positive, negative)
    gate = torch.sigmoid(tau * torch.expm1(log_ratio)) * 4 / tau
    return _uncut(-gate * advantages)


def _nll(_spec: Mapping[str, Any], new: Tensor, _log_ratio: Tensor, advantages: Tensor) -> PerToken:
    return _uncut(-advantages * new)


def _uncut(loss: Tensor) -> PerToken:
    none = torch.zeros_like(loss, dtype=torch.bool)
    return PerToken(loss, none, none)


SURROGATES: dict[str, Surrogate] = {
    "clip": _clip,
    "sequence_clip": _clip,
    "cispo": _cispo,
    "sapo": _sapo,
    "nll": _nll,
}


def sequence_mean(values: Tensor, counted: Tensor, segments: Tensor) -> Tensor:
    """At every token the mean over the counted tokens of its segment; a segment without any has 0.

    `segments` numbers the segment of each token, with any integers. Values that are not counted must be 0.
    """
    numbers, index = segments.unique(return_inverse=True)
    index = index.flatten()
    sums = values.new_zeros(len(numbers)).index_add(0, index, values.flatten())
    counts = values.new_zeros(len(numbers)).index_add(0, index, counted.flatten().to(values.dtype))
    return (sums / counts.clamp(min=1)).index_select(0, index).view(values.shape)
