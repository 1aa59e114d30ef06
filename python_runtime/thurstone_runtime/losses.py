"""The one loss a worker executes: a weighted sum over tokens of surrogate + beta * KL.

    loss = sum_t w_t * (surrogate(new_t, old_t, A_t) + beta * kl(new_t, ref_t))

No mean is taken here: the weight of a token already contains its normaliser over the whole update, so the sum
over micro-batches, groups or ranks is the loss of the whole, and so is the sum of their gradients.

Surrogates
    clip  -min(r A, clamp(r, 1 - epsilon, 1 + epsilon_high) A), r = exp(new - old): PPO (Schulman et al. 2017,
          arXiv 1707.06347, eq. 7), as GRPO uses it per token (DeepSeekMath, arXiv 2402.03300, eq. 3); the asymmetric
          range is DAPO's (arXiv 2503.14476, eq. 8). Without `old` the ratio is taken against new itself, detached:
          the value is 1 and the gradient is that of the first update of a batch.
    nll   -A new: maximum likelihood when A is 1 (supervised fine-tuning). With weights of any sign the gradient of the
          loss with respect to new is -w A, which lets a caller execute a gradient it worked out itself.

KL estimators of KL(new || ref), per sampled token, d = ref - new (Schulman, "Approximating KL divergence", 2020)
    k1    -d
    k2    d^2 / 2
    k3    exp(d) - d - 1
Their gradient flows through new only.

Shapes: every tensor has one and the same shape, whatever it is; a token is one element.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .errors import EngineError

SURROGATES = ("clip", "nll")
KL_ESTIMATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "k1": lambda d: -d,
    "k2": lambda d: d.square() / 2,
    "k3": lambda d: torch.expm1(d) - d,
}

_FIELDS = ("surrogate", "epsilon", "epsilon_high", "beta", "kl")


def weighted_loss(
    spec: Mapping[str, Any],
    new: Tensor,
    old: Tensor | None,
    ref: Tensor | None,
    advantages: Tensor,
    weights: Tensor,
    segments: Tensor | None = None,
    entropy: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a set of tokens, and its parts.

    `spec` is {surrogate, epsilon = 0.2, epsilon_high = epsilon, beta = 0, kl = "k3"}. `new` carries the gradient; `old`
    and `ref` never do. `old` None takes the ratio against new itself; `ref` may be None when beta is 0. `segments`
    numbers the sequence of each token for surrogates that need it; `clip` and `nll` do not. `entropy` is only summed.

    A token of weight 0 is left out altogether: whatever its log-probabilities are, it adds nothing to the loss, the
    gradient or the counts.

    Parts, detached, sums over the tokens: `policy_loss` (weighted surrogate), `kl` (plain), `weighted_kl` (weighted,
    without beta), `clipped_low` and `clipped_high` (tokens whose policy gradient the clip cuts), `tokens` (those with a
    weight) and `entropy` (plain; 0 when not given).
    """
    surrogate, low, high, beta, estimator = _read_spec(spec)
    _check_shapes(new, old=old, ref=ref, advantages=advantages, weights=weights, segments=segments, entropy=entropy)
    if beta != 0 and ref is None:
        raise EngineError("no_reference", f"beta is {beta}, so the loss needs reference log-probabilities; none given")

    counted = weights != 0
    zero = new.new_zeros(())
    # A left-out token must not reach exp(): 0 * inf would poison the gradient of the others.
    new = torch.where(counted, new, zero)

    if surrogate == "nll":
        per_token = -advantages * new
        clipped_low = clipped_high = torch.zeros_like(counted)
    else:
        old = new.detach() if old is None else torch.where(counted, old.detach(), zero)
        ratio = torch.exp(new - old)
        per_token = -torch.minimum(ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages)
        clipped_low = counted & (ratio < 1 - low) & (advantages < 0)
        clipped_high = counted & (ratio > 1 + high) & (advantages > 0)

    policy_loss = (weights * per_token).sum()
    kl = zero if ref is None else KL_ESTIMATORS[estimator](torch.where(counted, ref.detach(), zero) - new)
    weighted_kl = (weights * kl).sum()
    loss = policy_loss + beta * weighted_kl if beta != 0 else policy_loss

    parts = {
        "policy_loss": policy_loss,
        "kl": kl.sum(),
        "weighted_kl": weighted_kl,
        "clipped_low": clipped_low.sum(),
        "clipped_high": clipped_high.sum(),
        "tokens": counted.sum(),
        "entropy": zero if entropy is None else torch.where(counted, entropy, zero).sum(),
    }
    return loss, {name: part.detach() for name, part in parts.items()}


def _read_spec(spec: Mapping[str, Any]) -> tuple[str, float, float, float, str]:
    for name in spec:
        if name not in _FIELDS:
            raise EngineError("bad_argument", f'the loss has no field "{name}"; it has {", ".join(_FIELDS)}')
    surrogate, estimator = spec.get("surrogate"), spec.get("kl", "k3")
    if surrogate not in SURROGATES:
        raise EngineError("bad_argument", f'unknown surrogate "{surrogate}"; known are {", ".join(SURROGATES)}')
    if estimator not in KL_ESTIMATORS:
        raise EngineError("bad_argument", f'unknown kl estimator "{estimator}"; known are {", ".join(KL_ESTIMATORS)}')
    low = _number(spec, "epsilon", 0.2)
    high = _number(spec, "epsilon_high", low)
    beta = _number(spec, "beta", 0.0)
    if low < 0 or high < 0:
        raise EngineError("bad_argument", f"epsilon ({low}) and epsilon_high ({high}) must not be negative")
    return surrogate, low, high, beta, estimator


def _number(spec: Mapping[str, Any], name: str, default: float) -> float:
    value = spec.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == float("inf"):
        raise EngineError("bad_argument", f"{name} of the loss must be a finite number, not {value!r}")
    return float(value)


def _check_shapes(new: Tensor, **others: Tensor | None) -> None:
    for name, tensor in others.items():
        if tensor is not None and tensor.shape != new.shape:
            raise EngineError(
                "bad_argument",
                f"{name} has shape {tuple(tensor.shape)}, but new has {tuple(new.shape)}: all must be the same",
            )
