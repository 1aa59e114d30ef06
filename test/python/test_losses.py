"""The weighted loss against numbers of other implementations, and the properties it promises."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thurstone_runtime.errors import EngineError
from thurstone_runtime.losses import weighted_loss

GOLDEN = Path(__file__).parent.parent / "golden"


def load(name: str) -> list[dict]:
    return json.loads((GOLDEN / name).read_text())["cases"]


REFERENCE_CASES = load("grpo_golden.json")
TRL_CASES = [
    case
    for case in load("trl_losses_golden.json")
    if case["loss_type"] in ("grpo", "bnpo", "dr_grpo", "dapo")
    and case["level"] == "token"
    and case["delta"] is None
    and case["quantile"] == 1.0
]


def grpo_weights(mask_NT: torch.Tensor) -> torch.Tensor:
    return mask_NT / mask_NT.sum(1, keepdim=True) / len(mask_NT)


def tensor(values, dtype, grad=False):
    return None if values is None else torch.tensor(values, dtype=dtype, requires_grad=grad)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", REFERENCE_CASES, ids=lambda case: case["name"])
def test_equals_the_reference_trainer(case, dtype):
    expected = case["expected_f64" if dtype == torch.float64 else "expected_f32"]
    tolerance = {"rel": 1e-9, "abs": 1e-9} if dtype == torch.float64 else {"rel": 1e-4, "abs": 1e-5}
    new = tensor(case["logp_new"], dtype, grad=True)
    mask = tensor(case["mask"], dtype)
    weights = grpo_weights(mask)
    advantages = tensor(expected["advantages"], dtype).flatten()[:, None].expand_as(new)
    spec = {
        "surrogate": "clip",
        "epsilon": case["epsilon_low"],
        "epsilon_high": case["epsilon_high"],
        "beta": case["beta"],
        "kl": "k3",
    }
    old, ref = tensor(case["logp_old"], dtype), tensor(case["logp_ref"], dtype)
    loss, parts = weighted_loss(spec, new, old, ref, advantages, weights)
    loss.backward()

    assert loss.item() == pytest.approx(expected["total_loss"], **tolerance)
    expected_grad = [value for row in expected["grad_logp_new"] for value in row]
    assert new.grad.flatten().tolist() == pytest.approx(expected_grad, **tolerance)
    if case["beta"] > 0:
        assert parts["weighted_kl"].item() == pytest.approx(expected["mean_kl"], **tolerance)
    active = (parts["clipped_low"] + parts["clipped_high"]).item()
    assert active / mask.sum().item() == pytest.approx(expected["clip_ratio_active"])
    assert parts["tokens"].item() == mask.sum().item()

    # Token by token: the part of one token is what remains when all other weights are 0.
    for row, column in mask.nonzero().tolist()[::3]:
        one = torch.zeros_like(weights)
        one[row, column] = 1.0
        token_loss, token = weighted_loss(spec, new.detach(), old, ref, advantages, one)
        assert token_loss.item() == pytest.approx(expected["per_token_loss"][row][column], **tolerance)
        if ref is not None and expected["per_token_kl"] is not None:
            assert token["kl"].item() == pytest.approx(expected["per_token_kl"][row][column], **tolerance)


def trl_weights(case: dict, mask_NT: torch.Tensor) -> torch.Tensor:
    count = len(mask_NT)
    return {
        "grpo": lambda: grpo_weights(mask_NT),
        "bnpo": lambda: mask_NT / mask_NT.sum(),
        "dapo": lambda: mask_NT / mask_NT.sum(),
        "dr_grpo": lambda: mask_NT / (count * case["max_completion_length"]),
    }[case["loss_type"]]()


@pytest.mark.parametrize("case", TRL_CASES, ids=lambda case: f"{case['loss_type']}-{case['seed']}")
def test_equals_trl_through_weights(case):
    new = tensor(case["logp_new"], torch.float64, grad=True)
    old, ref = tensor(case["logp_old"], torch.float64), tensor(case["logp_ref"], torch.float64)
    mask = tensor(case["mask"], torch.float64)
    advantages = tensor(case["advantages"], torch.float64)[:, None].expand_as(new)
    spec = {
        "surrogate": "clip",
        "epsilon": case["epsilon"],
        "epsilon_high": case["epsilon_high"],
        "beta": case["beta"],
        "kl": "k3",
    }
    loss, _ = weighted_loss(spec, new, old, ref, advantages, trl_weights(case, mask))
    loss.backward()
    assert loss.item() == pytest.approx(case["loss"], rel=1e-9, abs=1e-9)
    expected = [value for row in case["grad_logp_new"] for value in row]
    assert new.grad.flatten().tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_all_eight_trl_cases_are_used():
    assert len(TRL_CASES) == 8


@st.composite
def token_sets(draw):
    count = draw(st.integers(1, 24))
    seed = draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)

    def values(scale, shift=0.0):
        return torch.randn(count, generator=generator, dtype=torch.float64) * scale + shift

    new = values(0.5, -1.5)
    weights = values(0.1) * (torch.rand(count, generator=generator) > 0.2)
    return {
        "new": new,
        "old": new + values(0.3),
        "ref": new + values(0.5),
        "advantages": values(1.0),
        "weights": weights,
        "spec": {
            "surrogate": draw(st.sampled_from(["clip", "nll"])),
            "epsilon": draw(st.sampled_from([0.0, 0.1, 0.2])),
            "epsilon_high": draw(st.sampled_from([0.1, 0.28])),
            "beta": draw(st.sampled_from([0.0, 0.04, 1.0])),
            "kl": draw(st.sampled_from(["k1", "k2", "k3"])),
        },
    }


def loss_and_gradient(tokens: dict, order: torch.Tensor) -> tuple[float, torch.Tensor]:
    new = tokens["new"][order].clone().requires_grad_()
    others = (tokens[name][order] for name in ("old", "ref", "advantages", "weights"))
    loss, _ = weighted_loss(tokens["spec"], new, *others)
    loss.backward()
    return loss.item(), new.grad


@given(token_sets(), st.data())
@settings(max_examples=60, deadline=None)
def test_splitting_tokens_over_calls_never_changes_loss_or_gradient(tokens, data):
    everything = torch.arange(len(tokens["new"]))
    whole, gradient = loss_and_gradient(tokens, everything)
    chosen = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(everything), max_size=len(everything))))
    pieces = [everything[chosen], everything[~chosen]]
    results = [loss_and_gradient(tokens, piece) for piece in pieces]
    assert sum(loss for loss, _ in results) == pytest.approx(whole, rel=1e-12, abs=1e-12)
    for piece, (_, part) in zip(pieces, results, strict=True):
        assert torch.equal(part, gradient[piece])


@given(token_sets(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_of_tokens_does_not_matter(tokens, random):
    order = list(range(len(tokens["new"])))
    whole, gradient = loss_and_gradient(tokens, torch.tensor(order))
    random.shuffle(order)
    permuted, permuted_gradient = loss_and_gradient(tokens, torch.tensor(order))
    assert permuted == pytest.approx(whole, rel=1e-12, abs=1e-12)
    assert torch.equal(permuted_gradient, gradient[order])


def test_first_update_of_a_batch_has_ratio_one_and_full_gradient():
    new = torch.tensor([-1.0, -2.0, -0.5], dtype=torch.float64, requires_grad=True)
    advantages = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    weights = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    loss, parts = weighted_loss({"surrogate": "clip"}, new, None, None, advantages, weights)
    loss.backward()
    assert loss.item() == -(0.5 * 2.0 - 0.25 * 1.0 + 0.25 * 0.5)
    assert new.grad.tolist() == [-1.0, 0.25, -0.125]
    assert parts["clipped_low"].item() == parts["clipped_high"].item() == 0


def test_counts_the_tokens_whose_gradient_is_cut():
    ratio = torch.tensor([0.5, 0.5, 1.5, 1.5, 1.0, 1.5], dtype=torch.float64)
    new = ratio.log().requires_grad_()
    advantages = torch.tensor([-1.0, 1.0, -1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    weights = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    spec = {"surrogate": "clip", "epsilon": 0.2, "epsilon_high": 0.3}
    loss, parts = weighted_loss(spec, new, torch.zeros_like(ratio), None, advantages, weights)
    loss.backward()
    assert parts["clipped_low"].item() == 1
    assert parts["clipped_high"].item() == 1
    assert parts["tokens"].item() == 5
    assert new.grad.tolist() == pytest.approx([0.0, -0.5, 1.5, 0.0, -1.0, 0.0])


def test_nll_gradient_is_minus_weight_times_advantage_whatever_the_sign():
    new = torch.tensor([-1.0, -2.0, -3.0], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([0.5, -0.25, 2.0], dtype=torch.float64)
    loss, parts = weighted_loss({"surrogate": "nll"}, new, None, None, torch.ones(3, dtype=torch.float64), weights)
    loss.backward()
    assert loss.item() == 0.5 * 1.0 - 0.25 * 2.0 + 2.0 * 3.0
    assert new.grad.tolist() == [-0.5, 0.25, -2.0]
    assert parts["policy_loss"].item() == loss.item()


@pytest.mark.parametrize(
    ("kl", "value", "slope"),
    [("k1", 0.7, 1.0), ("k2", 0.245, 0.7), ("k3", math.exp(-0.7) - 1 + 0.7, 1 - math.exp(-0.7))],
)
def test_kl_estimators(kl, value, slope):
    new = torch.tensor([-1.0], dtype=torch.float64, requires_grad=True)
    spec = {"surrogate": "nll", "beta": 2.0, "kl": kl}
    one, none = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    loss, parts = weighted_loss(spec, new, None, torch.tensor([-1.7], dtype=torch.float64), none, one)
    loss.backward()
    assert parts["kl"].item() == pytest.approx(value)
    assert parts["weighted_kl"].item() == pytest.approx(value)
    assert loss.item() == pytest.approx(2 * value)
    assert new.grad.item() == pytest.approx(2 * slope)


def test_a_token_of_weight_zero_cannot_poison_the_others():
    new = torch.tensor([-1.0, -1.0, float("-inf")], requires_grad=True)
    old = torch.tensor([-1.0, -5000.0, 0.0])
    ref = torch.tensor([-1.0, 5000.0, float("nan")])
    advantages, weights = torch.ones(3), torch.tensor([1.0, 0.0, 0.0])
    loss, parts = weighted_loss({"surrogate": "clip", "beta": 0.1}, new, old, ref, advantages, weights)
    loss.backward()
    assert loss.item() == -1.0
    assert new.grad.tolist() == [-1.0, 0.0, 0.0]
    assert {name: part.item() for name, part in parts.items()} == {
        "policy_loss": -1.0,
        "kl": 0.0,
        "weighted_kl": 0.0,
        "clipped_low": 0,
        "clipped_high": 0,
        "tokens": 1,
        "entropy": 0.0,
    }


def test_entropy_is_summed_over_counted_tokens():
    new = torch.tensor([-1.0, -1.0, -1.0])
    entropy = torch.tensor([0.5, 0.25, 9.0])
    weights = torch.tensor([1.0, 2.0, 0.0])
    _, parts = weighted_loss({"surrogate": "nll"}, new, None, None, torch.ones(3), weights, entropy=entropy)
    assert parts["entropy"].item() == 0.75


def test_no_tokens_give_a_zero_loss():
    empty = torch.zeros(0, requires_grad=True)
    loss, parts = weighted_loss({"surrogate": "clip"}, empty, None, None, torch.zeros(0), torch.zeros(0))
    loss.backward()
    assert loss.item() == 0.0
    assert parts["tokens"].item() == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"surrogate": "ppo"}, 'unknown surrogate "ppo"; known are clip, nll'),
        ({}, 'unknown surrogate "None"'),
        ({"surrogate": "clip", "kl": "k9"}, 'unknown kl estimator "k9"; known are k1, k2, k3'),
        ({"surrogate": "clip", "epsilom": 0.1}, 'the loss has no field "epsilom"'),
        ({"surrogate": "clip", "epsilon": "0.2"}, "epsilon of the loss must be a finite number"),
        ({"surrogate": "clip", "epsilon": -0.1}, "must not be negative"),
        ({"surrogate": "clip", "beta": float("nan")}, "beta of the loss must be a finite number"),
    ],
)
def test_a_wrong_spec_is_refused_by_name(spec, message):
    one = torch.ones(1)
    with pytest.raises(EngineError) as caught:
        weighted_loss(spec, one, None, None, one, one)
    assert caught.value.code == "bad_argument"
    assert message in str(caught.value)


def test_beta_without_reference_is_refused():
    one = torch.ones(1)
    with pytest.raises(EngineError) as caught:
        weighted_loss({"surrogate": "clip", "beta": 0.1}, one, None, None, one, one)
    assert caught.value.code == "no_reference"


def test_tensors_of_different_shapes_are_refused():
    with pytest.raises(EngineError, match="advantages has shape"):
        weighted_loss({"surrogate": "clip"}, torch.ones(3), None, None, torch.ones(1), torch.ones(3))
