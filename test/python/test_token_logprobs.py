"""Log-probabilities, entropies and their gradients equal torch's own log_softmax, and logits are held once."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from thurstone_runtime import token_logprobs
from thurstone_runtime.token_logprobs import TokenLogprobs


def scored(logits, target, entropy=True):
    return TokenLogprobs.apply(logits, target, entropy)


def plain(logits, target):
    """Written with torch's own functions."""
    whole = torch.log_softmax(logits, dim=-1)
    return whole.gather(1, target.unsqueeze(1)).squeeze(1), -(whole.exp() * whole).sum(-1)


@pytest.mark.parametrize("use", ["logprobs", "entropy", "both"])
@pytest.mark.parametrize("bytes_at_a_time", [1, 2**24])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_log_softmax(seed, bytes_at_a_time, use, monkeypatch):
    monkeypatch.setattr(token_logprobs, "BYTES_AT_A_TIME", bytes_at_a_time)
    generator = torch.Generator().manual_seed(seed)
    count, vocabulary = [(1, 5), (7, 300), (40, 11), (3, 1000)][seed]
    hidden = torch.randn(count, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    head = torch.randn(vocabulary, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, vocabulary, (count,), generator=generator)
    factors = torch.randn(2, count, generator=generator, dtype=torch.float64)

    def gradients(logprobs, entropy):
        terms = {"logprobs": logprobs * factors[0], "entropy": entropy * factors[1]}
        sum(term.sum() for name, term in terms.items() if use in (name, "both")).backward()
        found = hidden.grad, head.grad
        hidden.grad = head.grad = None
        return found

    found, expected = scored(hidden @ head.T, target), plain(hidden @ head.T, target)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)
    for one, other in zip(gradients(*found), gradients(*expected), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_gradient_of_the_entropy_equals_finite_differences():
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(3, 17, generator=generator, dtype=torch.float64) * 2
    target = torch.randint(0, 17, (3,), generator=generator)

    def loss(values):
        logprobs, entropy = scored(values, target)
        return logprobs.sum() + 0.7 * entropy.sum()

    leaf = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf * 1), leaf)
    for row, column in [(0, 0), (1, 5), (2, 16), (0, int(target[0]))]:
        step = torch.zeros_like(logits)
        step[row, column] = 1e-5
        slope = (loss(logits + step) - loss(logits - step)) / 2e-5
        assert gradient[row, column].item() == pytest.approx(slope.item(), abs=1e-9)


def test_logits_far_apart_stay_finite():
    logits = torch.tensor([[0.0, 1000.0, -1000.0]], requires_grad=True)
    found, entropy = scored(logits * 1, torch.tensor([1]))
    (found + entropy).sum().backward()
    assert found.item() == 0
    assert entropy.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad.tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("coefficient", [0.0, 0.5])
def test_the_gradient_takes_the_place_of_the_logits(coefficient):
    logits = torch.randn(4, 50, requires_grad=True) * 1
    found, entropy = scored(logits, torch.zeros(4, dtype=torch.long))
    loss = found.sum() + coefficient * entropy.sum() if coefficient else found.sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.data_ptr() == logits.data_ptr()


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that operations wrote into new memory, and how many operations there were; taking
    a saved tensor out is none."""

    def __init__(self, *known: torch.Tensor) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.elements = self.operations = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        result = function(*arguments, **(named or {}))
        self.operations += function is not torch.ops.aten.detach.default
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in self.known:
                self.elements = max(self.elements, tensor.numel())
        return result


def watched(monkeypatch, use_entropy):
    monkeypatch.setattr(token_logprobs, "BYTES_AT_A_TIME", 2 * 1000 * 4)
    logits = torch.randn(20, 1000).requires_grad_()
    inner = logits * 1
    with Largest(inner, logits) as seen:
        logprobs, entropy = scored(inner, torch.zeros(20, dtype=torch.long))
        loss = logprobs.sum() + (0.1 * entropy.sum() if use_entropy else 0)
        torch.autograd.grad(loss, inner)
    return seen


@pytest.mark.parametrize("use_entropy", [False, True])
def test_no_second_tensor_of_the_logits_size_is_made(use_entropy, monkeypatch):
    assert watched(monkeypatch, use_entropy).elements == 2 * 1000


def test_an_entropy_in_no_loss_adds_no_work_to_the_backward_pass(monkeypatch):
    """Per piece the entropy's gradient takes operations more; without it there are as few as with no entropy wanted."""
    monkeypatch.setattr(token_logprobs, "BYTES_AT_A_TIME", 2 * 1000 * 4)

    def operations(entropy, use_entropy):
        inner = torch.randn(20, 1000).requires_grad_() * 1
        found, of_entropy = scored(inner, torch.zeros(20, dtype=torch.long), entropy)
        loss = found.sum() + (of_entropy.sum() if use_entropy else 0)
        with Largest() as seen:
            torch.autograd.grad(loss, inner)
        return seen.operations

    assert operations(True, False) == operations(False, False) < operations(True, True)
