"""Each surrogate against its formula written out once more, token by token, with its gradient in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from thurstone_runtime.losses import weighted_loss

LENGTHS = [1, 4, 7, 3, 1]
EPSILON, EPSILON_HIGH = 0.15, 0.3


def batch(seed: int, drift: float = 0.4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    count = sum(LENGTHS)

    def values(scale: float) -> torch.Tensor:
        return torch.randn(count, generator=generator, dtype=torch.float64) * scale

    new = -values(1.0).abs() - 0.05
    return {
        "new": new.requires_grad_(),
        "old": new.detach() + values(drift),
        "advantages": values(1.0),
        "weights": torch.rand(count, generator=generator, dtype=torch.float64) * (values(1.0) > -1),
        "segments": torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS)),
    }


def found_of(spec: dict, tokens: dict[str, torch.Tensor]) -> tuple[float, list[float], dict[str, float]]:
    loss, parts = weighted_loss(spec, ref=None, **tokens)
    loss.backward()
    return loss.item(), tokens["new"].grad.tolist(), {name: part.item() for name, part in parts.items()}


def bounds(advantage: float, delta: float | None) -> tuple[float, float]:
    """Between these ratios the clipped objective has a slope."""
    if advantage > 0:
        return -math.inf, min(1 + EPSILON_HIGH, delta or math.inf)
    return 1 - EPSILON, max(1 + EPSILON_HIGH, delta) if delta else math.inf


def clipped(ratio: float, advantage: float, delta: float | None) -> tuple[float, float, bool, bool]:
    """Loss, its derivative with respect to log ratio, whether it is cut below and above."""
    low, high = bounds(advantage, delta)
    if ratio < low:
        return -low * advantage, 0.0, True, False
    if ratio > high:
        # Beyond the upper bound the lower of two caps decides where A > 0, the higher one where A < 0.
        return -high * advantage, 0.0, False, True
    return -ratio * advantage, -ratio * advantage, False, False


@pytest.mark.parametrize("delta", [None, 1.05, 1.6])
@pytest.mark.parametrize("seed", range(5))
def test_clip(seed, delta):
    tokens = batch(seed)
    loss, gradient, parts = found_of(
        {"surrogate": "clip", "epsilon": EPSILON, "epsilon_high": EPSILON_HIGH, "delta": delta}, tokens
    )
    expected, low, high = 0.0, 0, 0
    for token in range(len(gradient)):
        weight, advantage = tokens["weights"][token].item(), tokens["advantages"][token].item()
        ratio = math.exp(tokens["new"][token].item() - tokens["old"][token].item())
        value, slope, below, above = clipped(ratio, advantage, delta)
        expected += weight * value
        assert gradient[token] == pytest.approx(weight * slope, rel=1e-12, abs=1e-15)
        low, high = low + (below and weight != 0), high + (above and weight != 0)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert (parts["clipped_low"], parts["clipped_high"]) == (low, high)


@pytest.mark.parametrize("delta", [None, 1.6])
@pytest.mark.parametrize("seed", range(5))
def test_sequence_clip(seed, delta):
    """s = (product of ratios)^(1 / tokens), over tokens with a weight; ds / dnew_t = s / tokens for each of them."""
    tokens = batch(seed, drift=0.8)
    loss, gradient, parts = found_of(
        {"surrogate": "sequence_clip", "epsilon": EPSILON, "epsilon_high": EPSILON_HIGH, "delta": delta}, tokens
    )
    expected, low, high, first = 0.0, 0, 0, 0
    for length in LENGTHS:
        own = [token for token in range(first, first + length) if tokens["weights"][token] != 0]
        product = math.prod(math.exp(tokens["new"][t].item() - tokens["old"][t].item()) for t in own)
        ratio = product ** (1 / max(len(own), 1))
        slopes = 0.0
        for token in own:
            value, slope, below, above = clipped(ratio, tokens["advantages"][token].item(), delta)
            expected += tokens["weights"][token].item() * value
            slopes += tokens["weights"][token].item() * slope
            low, high = low + below, high + above
        for token in range(first, first + length):
            assert gradient[token] == pytest.approx(slopes / len(own) if token in own else 0.0, rel=1e-12, abs=1e-15)
        first += length
    assert loss == pytest.approx(expected, rel=1e-12)
    assert (parts["clipped_low"], parts["clipped_high"]) == (low, high)


@pytest.mark.parametrize(("epsilon_high", "cap"), [(1.2, 1.2), (5.0, 5.0), (None, 1 + EPSILON)])
@pytest.mark.parametrize("seed", range(3))
def test_cispo(seed, epsilon_high, cap):
    tokens = batch(seed)
    loss, gradient, parts = found_of({"surrogate": "cispo", "epsilon": EPSILON, "epsilon_high": epsilon_high}, tokens)
    expected, high = 0.0, 0
    for token in range(len(gradient)):
        weight, advantage = tokens["weights"][token].item(), tokens["advantages"][token].item()
        new = tokens["new"][token].item()
        ratio = math.exp(new - tokens["old"][token].item())
        factor = -weight * min(ratio, cap) * advantage
        expected += factor * new
        high += weight != 0 and advantage > 0 and ratio > cap
        assert gradient[token] == pytest.approx(factor, rel=1e-12, abs=1e-15)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert (parts["clipped_low"], parts["clipped_high"]) == (0, high)


@pytest.mark.parametrize("taus", [(None, None), (0.5, 2.0)])
@pytest.mark.parametrize("seed", range(3))
def test_sapo(seed, taus):
    """The paper's gradient: 4 p (1 - p) r A for p = sigmoid(tau (r - 1)), which is A on the first update."""
    tokens = batch(seed)
    spec = {"surrogate": "sapo", "tau_positive": taus[0], "tau_negative": taus[1]}
    loss, gradient, parts = found_of(spec, tokens)
    expected = 0.0
    for token in range(len(gradient)):
        weight, advantage = tokens["weights"][token].item(), tokens["advantages"][token].item()
        ratio = math.exp(tokens["new"][token].item() - tokens["old"][token].item())
        tau = (taus[0] or 1.0) if advantage > 0 else (taus[1] or 1.05)
        gate = 1 / (1 + math.exp(-tau * (ratio - 1)))
        expected -= weight * 4 / tau * gate * advantage
        slope = -weight * 4 * gate * (1 - gate) * ratio * advantage
        assert gradient[token] == pytest.approx(slope, rel=1e-11, abs=1e-15)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert parts["clipped_low"] == parts["clipped_high"] == 0


@pytest.mark.parametrize("surrogate", ["clip", "cispo", "sapo", "nll", "sequence_clip"])
def test_all_have_the_plain_policy_gradient_on_the_first_update(surrogate):
    tokens = {**batch(0), "old": None}
    tokens["advantages"] = tokens["advantages"][tokens["segments"]]
    tokens["weights"] = torch.rand(len(LENGTHS), dtype=torch.float64)[tokens["segments"]]
    _, gradient, _ = found_of({"surrogate": surrogate}, tokens)
    assert gradient == pytest.approx((-tokens["weights"] * tokens["advantages"]).tolist(), rel=1e-12)


def test_a_ratio_of_one_is_never_counted_as_clipped():
    for surrogate in ("clip", "sequence_clip", "cispo"):
        _, _, parts = found_of({"surrogate": surrogate, "epsilon": 0.0}, {**batch(0), "old": None})
        assert (parts["clipped_low"], parts["clipped_high"]) == (0, 0)
