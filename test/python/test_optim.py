"""The optimizer: torch's AdamW written out plainly, safe against broken gradients, resumable to the bit."""

import math

import pytest
import torch
from torch import nn

from thurstone_runtime.optim import AdamWSettings, MasterAdamW

SETTINGS = AdamWSettings(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1)


def parameters(seed: int = 0) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"linear.weight": (4, 3), "linear.bias": (4,), "norm.weight": (3,), "patch.weight": (2, 3, 2, 2)}
    return {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in shapes.items()}


def put_gradients(named: dict[str, nn.Parameter], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(100 + seed)
    gradients = {name: torch.randn(parameter.shape, generator=generator) for name, parameter in named.items()}
    for name, parameter in named.items():
        parameter.grad = gradients[name].clone()
    return gradients


def bits(named: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: tensor.detach().numpy().tobytes() for name, tensor in named.items()}


def test_steps_follow_the_formula_of_adamw():
    named = parameters()
    expected = {name: parameter.detach().double() for name, parameter in named.items()}
    mean = {name: torch.zeros_like(value) for name, value in expected.items()}
    square = {name: torch.zeros_like(value) for name, value in expected.items()}
    optimizer = MasterAdamW(named, SETTINGS)
    for count, learning_rate in enumerate([1e-2, 3e-3, 1e-3], start=1):
        gradients = {name: gradient.double() for name, gradient in put_gradients(named, count).items()}
        norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients.values()))
        scale = min(1.0, 0.5 / (norm + 1e-6))
        for name, gradient in gradients.items():
            clipped = gradient * scale
            mean[name] = 0.9 * mean[name] + 0.1 * clipped
            square[name] = 0.95 * square[name] + 0.05 * clipped.square()
            decay = 0.1 if name in ("linear.weight", "patch.weight") else 0.0
            update = (mean[name] / (1 - 0.9**count)) / ((square[name] / (1 - 0.95**count)).sqrt() + 1e-8)
            expected[name] = expected[name] * (1 - learning_rate * decay) - learning_rate * update
        result = optimizer.step(learning_rate, max_grad_norm=0.5)
        assert result.grad_norm == pytest.approx(norm, rel=1e-5)
        assert not result.skipped
    for name, parameter in named.items():
        assert parameter.detach().double().flatten().tolist() == pytest.approx(
            expected[name].flatten().tolist(), rel=1e-5, abs=1e-6
        )


def test_without_a_limit_the_gradient_is_not_clipped():
    clipped, free = parameters(), parameters()
    limited, unlimited = MasterAdamW(clipped, SETTINGS), MasterAdamW(free, SETTINGS)
    put_gradients(clipped, 0)
    put_gradients(free, 0)
    assert limited.step(1e-2, 1e9) == unlimited.step(1e-2, None)
    assert bits(clipped) == bits(free)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_leaves_weights_and_state_untouched(poison):
    named = parameters()
    optimizer = MasterAdamW(named, SETTINGS)
    put_gradients(named, 0)
    optimizer.step(1e-2, 1.0)
    weights, state = bits(named), bits(optimizer.state())

    put_gradients(named, 1)
    named["linear.bias"].grad[2] = poison
    result = optimizer.step(1e-2, 1.0)
    assert result.skipped
    assert not math.isfinite(result.grad_norm)
    assert bits(named) == weights
    assert bits(optimizer.state()) == state
    assert all(parameter.grad is None for parameter in named.values())


def test_a_parameter_without_a_gradient_is_left_alone():
    named = parameters()
    optimizer = MasterAdamW(named, SETTINGS)
    put_gradients(named, 0)
    named["patch.weight"].grad = None
    before = named["patch.weight"].detach().clone()
    optimizer.step(1e-2, 1.0)
    assert torch.equal(named["patch.weight"], before)
    assert {name.rsplit(".", 1)[0] for name in optimizer.state()} == {"linear.weight", "linear.bias", "norm.weight"}


def test_restored_state_continues_to_the_bit():
    straight = parameters()
    optimizer = MasterAdamW(straight, SETTINGS)
    for step in range(2):
        put_gradients(straight, step)
        optimizer.step(1e-2, 1.0)

    resumed = {name: nn.Parameter(parameter.detach().clone()) for name, parameter in straight.items()}
    other = MasterAdamW(resumed, SETTINGS)
    other.load_state(optimizer.state())
    for step in range(2, 4):
        for named, each in ((straight, optimizer), (resumed, other)):
            put_gradients(named, step)
            each.step(1e-2, 1.0)
    assert bits(straight) == bits(resumed)
    assert bits(optimizer.state()) == bits(other.state())


def test_a_learning_rate_of_one_millionth_moves_float32_weights():
    named = {"weight": nn.Parameter(torch.ones(8, 8))}
    optimizer = MasterAdamW(named, AdamWSettings())
    named["weight"].grad = torch.ones(8, 8)
    optimizer.step(1e-6, None)
    assert torch.all(named["weight"] < 1.0)
