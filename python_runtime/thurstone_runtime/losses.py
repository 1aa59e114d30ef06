"""The one loss a worker executes: a weighted sum over tokens of surrogate + beta * KL - coefficient * entropy.

    loss = sum_t w_t * (surrogate(new_t, old_t, A_t) + beta * kl(new_t, ref_t) - entropy_coefficient * entropy_t)

No mean is taken here: the weight of a token already contains its normaliser over the whole update, so the sum
over micro-batches, groups or ranks is the loss of the whole, and so is the sum of their gradients. `surrogates` has
their formulas. Without `old` the ratio is taken against new itself, detached: its value is 1, and the gradient is that
of the first update of a batch.

KL estimators of KL(new || ref), per sampled token, d = ref - new (Schulman, "Approximating KL divergence", 2020)
    k1    -d
    k2    d^2 / 2
    k3    exp(d) - d - 1; TRL's
Their gradient flows through new only.

The entropy bonus takes the weights of the loss, as verl's entropy_coeff does. TRL's entropy_coef takes a plain mean
over tokens whatever the loss type: the same where all weights are equal (dapo, bnpo, cispo).

Shapes: every tensor has one and the same shape, whatever it is; a token is one element.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .arguments import Table, choice, number, optional, read
from .errors import EngineError
from .surrogates import SURROGATES, sequence_mean

KL_ESTIMATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "k1": lambda d: -d,
    "k2": lambda d: d.square() / 2,
    "k3": lambda d: torch.expm1(d) - d,
}

_SMALLEST_TAU = 1e-6
"""The gate of sapo is divided by it."""

SPEC: Table = {
    "surrogate": choice(*SURROGATES),
    "epsilon": optional(number(0), 0.2),
    "epsilon_high": optional(number(0)),
    "delta": optional(number(1)),
    "tau_positive": optional(number(_SMALLEST_TAU), 1.0),
    "tau_negative": optional(number(_SMALLEST_TAU), 1.05),
    "beta": optional(number(0), 0.0),
    "kl": optional(choice(*KL_ESTIMATORS), "k3"),
    "entropy_coefficient": optional(number(), 0.0),
}


def read_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with every field, checked. `epsilon_high` is `epsilon` where it is not given, with cispo 1 + `epsilon`.

    Raises `bad_argument` for an unknown field or value, and for a `delta` of a surrogate that has none.
    """
    values = read("loss", spec, SPEC)
    surrogate = values["surrogate"]
    if values["delta"] is not None and SURROGATES[surrogate] is not SURROGATES["clip"]:
        raise EngineError(
            "bad_argument",
            f"loss: delta caps the ratio of clip and sequence_clip; surrogate {surrogate} has no use for it. "
            "Leave delta out.",
        )
    if values["epsilon_high"] is None:
        values["epsilon_high"] = values["epsilon"] + (surrogate == "cispo")
    return values


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

    `spec` is {surrogate, epsilon = 0.2, epsilon_high, delta = None, tau_positive = 1, tau_negative = 1.05, beta = 0,
    kl = "k3", entropy_coefficient = 0}, see `read_spec`. The gradient flows through `new`, and through `entropy` where
    its coefficient is not 0; never through `old` and `ref`. `old` None takes the ratio against new itself; `ref` may be
    None when beta is 0. `segments` numbers the completion of each token, which only `sequence_clip` needs: all tokens
    of a completion must be in one call then.

    A token of weight 0 is left out altogether: whatever its other values are, it adds nothing to the loss, the
    gradient, the counts or the ratio of its completion.

    Parts, detached, sums over the tokens: `policy_loss` (weighted surrogate), `kl` (plain), `weighted_kl` (weighted,
    without beta), `clipped_low` and `clipped_high` (see `surrogates`), `tokens` (those with a weight) and `entropy`
    (plain; 0 when not given).
    """
    spec = read_spec(spec)
    _check_shapes(new, old=old, ref=ref, advantages=advantages, weights=weights, segments=segments, entropy=entropy)
    _check_given(spec, ref, segments, entropy)

    counted = weights != 0
    zero = new.new_zeros(())

    def only_counted(values: Tensor) -> Tensor:
        # A left-out token must not reach exp(): 0 * inf would poison the gradient of the others.
        return torch.where(counted, values, zero)

    new, advantages = only_counted(new), only_counted(advantages)
    log_ratio = new - (new.detach() if old is None else only_counted(old.detach()))
    if spec["surrogate"] == "sequence_clip" and segments is not None:
        log_ratio = sequence_mean(log_ratio, counted, segments)
    policy = SURROGATES[spec["surrogate"]](spec, new, log_ratio, advantages)

    policy_loss = (weights * policy.loss).sum()
    kl = zero if ref is None else KL_ESTIMATORS[spec["kl"]](only_counted(ref.detach()) - new)
    weighted_kl = (weights * kl).sum()
    entropy = zero if entropy is None else only_counted(entropy)
    loss = policy_loss
    if spec["beta"] != 0:
        loss = loss + spec["beta"] * weighted_kl
    if spec["entropy_coefficient"] != 0:
        loss = loss - spec["entropy_coefficient"] * (weights * entropy).sum()

    parts = {
        "policy_loss": policy_loss,
        "kl": kl.sum(),
        "weighted_kl": weighted_kl,
        "clipped_low": policy.clipped_low.sum(),
        "clipped_high": policy.clipped_high.sum(),
        "tokens": counted.sum(),
        "entropy": entropy.sum(),
    }
    return loss, {name: part.detach() for name, part in parts.items()}


def _check_given(spec: Mapping[str, Any], ref: Tensor | None, segments: Tensor | None, entropy: Tensor | None) -> None:
    if spec["beta"] != 0 and ref is None:
        raise EngineError(
            "no_reference", f"beta is {spec['beta']}, so the loss needs reference log-probabilities; none given"
        )
    if spec["surrogate"] == "sequence_clip" and segments is None:
        raise EngineError("bad_argument", "sequence_clip needs segments, the number of each token's completion")
    if spec["entropy_coefficient"] != 0 and entropy is None:
        raise EngineError(
            "bad_argument",
            f"entropy_coefficient is {spec['entropy_coefficient']}, so the loss needs the entropy of each token",
        )


def _check_shapes(new: Tensor, **others: Tensor | None) -> None:
    for name, tensor in others.items():
        if tensor is not None and tensor.shape != new.shape:
            raise EngineError(
                "bad_argument",
                f"{name} has shape {tuple(tensor.shape)}, but new has {tuple(new.shape)}: all must be the same",
            )
