"""Log-probabilities and their gradient equal torch's own log_softmax, and logits are held once."""

from __future__ import annotations

import pytest
import torch

from thurstone_runtime import token_logprobs
from thurstone_runtime.token_logprobs import TokenLogprobs


@pytest.mark.parametrize("bytes_at_a_time", [1, 2**24])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_log_softmax(seed, bytes_at_a_time, monkeypatch):
    monkeypatch.setattr(token_logprobs, "BYTES_AT_A_TIME", bytes_at_a_time)
    generator = torch.Generator().manual_seed(seed)
    count, vocabulary = [(1, 5), (7, 300), (40, 11), (3, 1000)][seed]
    hidden = torch.randn(count, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    head = torch.randn(vocabulary, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, vocabulary, (count,), generator=generator)
    factors = torch.randn(count, generator=generator, dtype=torch.float64)

    found, entropy = TokenLogprobs.apply(hidden @ head.T, target, True)  # pyright: ignore[reportGeneralTypeIssues]
    (found * factors).sum().backward()
    gradients = hidden.grad.clone(), head.grad.clone()
    hidden.grad = head.grad = None

    whole = torch.log_softmax(hidden @ head.T, dim=-1)
    expected = whole.gather(1, target.unsqueeze(1)).squeeze(1)
    (expected * factors).sum().backward()
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert torch.allclose(entropy, -(whole.exp() * whole).sum(-1), rtol=0, atol=1e-12)
    assert torch.allclose(gradients[0], hidden.grad, rtol=0, atol=1e-12)
    assert torch.allclose(gradients[1], head.grad, rtol=0, atol=1e-12)


def test_logits_far_apart_stay_finite():
    logits = torch.tensor([[0.0, 1000.0, -1000.0]], requires_grad=True)
    found, entropy = TokenLogprobs.apply(logits * 1, torch.tensor([1]), True)  # pyright: ignore[reportGeneralTypeIssues]
    found.sum().backward()
    assert found.item() == 0
    assert entropy.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad.tolist() == [[0.0, 0.0, 0.0]]


def test_the_gradient_takes_the_place_of_the_logits():
    logits = torch.randn(4, 50, requires_grad=True) * 1
    found, _ = TokenLogprobs.apply(logits, torch.zeros(4, dtype=torch.long), False)  # pyright: ignore[reportGeneralTypeIssues]
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert gradient.data_ptr() == logits.data_ptr()
