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
from thurstone_runtime.surrogates import SURROGATES

GOLDEN = Path(__file__).parent.parent / "golden"


def load(name: str) -> list[dict]:
    return json.loads((GOLDEN / name).read_text())["cases"]


REFERENCE_CASES = load("grpo_golden.json")


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


@st.composite
def batches(draw):
    """Completions of one and more tokens, some tokens without weight, and a spec with everything in it."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    count = sum(lengths)

    def values(scale, shift=0.0):
        return torch.randn(count, generator=generator, dtype=torch.float64) * scale + shift

    new = values(0.5, -1.5)
    weights = values(0.1) * (torch.rand(count, generator=generator) > 0.2)
    surrogate = draw(st.sampled_from(list(SURROGATES)))
    delta = draw(st.sampled_from([None, 1.05, 1.5])) if "clip" in surrogate else None
    return {
        "new": new,
        "old": new + values(0.3),
        "ref": new + values(0.5),
        "advantages": values(1.0),
        "weights": weights,
        # The numbers themselves must mean nothing, only which are equal.
        "segments": torch.repeat_interleave(torch.randperm(len(lengths), generator=generator), torch.tensor(lengths)),
        "entropy": values(0.3, 1.5),
        "spec": {
            "surrogate": surrogate,
            "epsilon": draw(st.sampled_from([0.0, 0.1, 0.2])),
            "epsilon_high": draw(st.sampled_from([0.1, 0.28, 1.2])),
            "delta": delta,
            "tau_positive": draw(st.sampled_from([0.5, 1.0])),
            "beta": draw(st.sampled_from([0.0, 0.04, 1.0])),
            "kl": draw(st.sampled_from(["k1", "k2", "k3"])),
            "entropy_coefficient": draw(st.sampled_from([0.0, 0.01, -0.5])),
        },
    }


NAMES = ("new", "old", "ref", "advantages", "weights", "segments", "entropy")


def results(batch: dict, chosen: torch.Tensor) -> tuple[float, dict[str, float], torch.Tensor, torch.Tensor]:
    """Loss, parts and both gradients for the chosen tokens."""
    tokens = {name: batch[name][chosen].clone() for name in NAMES}
    new, entropy = tokens["new"].requires_grad_(), tokens["entropy"].requires_grad_()
    loss, parts = weighted_loss(batch["spec"], **tokens)
    loss.backward()
    of_entropy = torch.zeros_like(new) if entropy.grad is None else entropy.grad
    return loss.item(), {name: part.item() for name, part in parts.items()}, new.grad, of_entropy


@given(batches(), st.data())
@settings(max_examples=150, deadline=None)
def test_cutting_a_batch_between_completions_changes_neither_loss_nor_gradient(batch, data):
    loss, parts, gradient, of_entropy = results(batch, torch.ones_like(batch["segments"], dtype=torch.bool))
    count = int(batch["segments"].max()) + 1
    part_of = torch.tensor(data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)))[batch["segments"]]
    pieces = [results(batch, part_of == number) for number in range(3)]
    assert sum(piece[0] for piece in pieces) == pytest.approx(loss, rel=1e-12, abs=1e-12)
    for name, value in parts.items():
        assert sum(piece[1][name] for piece in pieces) == pytest.approx(value, rel=1e-12, abs=1e-12)
    for number, piece in enumerate(pieces):
        assert torch.allclose(piece[2], gradient[part_of == number], rtol=1e-13, atol=1e-15)
        assert torch.equal(piece[3], of_entropy[part_of == number])


@given(batches(), st.data())
@settings(max_examples=60, deadline=None)
def test_cutting_through_completions_changes_nothing_where_ratios_are_of_tokens(batch, data):
    if batch["spec"]["surrogate"] == "sequence_clip":
        batch["spec"]["surrogate"] = "clip"
    count = len(batch["new"])
    loss, _, gradient, _ = results(batch, torch.ones(count, dtype=torch.bool))
    chosen = torch.tensor(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    one, other = results(batch, chosen), results(batch, ~chosen)
    assert one[0] + other[0] == pytest.approx(loss, rel=1e-12, abs=1e-12)
    # Kernels take four or eight numbers at once and the rest one by one, which may differ in the last bit.
    assert torch.allclose(one[2], gradient[chosen], rtol=1e-13, atol=1e-15)
    assert torch.allclose(other[2], gradient[~chosen], rtol=1e-13, atol=1e-15)


@given(batches(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_of_tokens_does_not_matter(batch, random):
    order = list(range(len(batch["new"])))
    whole, _, gradient, _ = results(batch, torch.tensor(order))
    random.shuffle(order)
    permuted, _, permuted_gradient, _ = results(batch, torch.tensor(order))
    assert permuted == pytest.approx(whole, rel=1e-12, abs=1e-12)
    assert torch.allclose(permuted_gradient, gradient[order], rtol=1e-13, atol=1e-15)


@given(batches(), st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e30]))
@settings(max_examples=100, deadline=None)
def test_whatever_a_token_of_weight_zero_holds_changes_nothing(batch, value):
    everything = torch.ones_like(batch["segments"], dtype=torch.bool)
    loss, parts, gradient, of_entropy = results(batch, everything)
    left_out = batch["weights"] == 0
    for name in ("new", "old", "ref", "advantages", "entropy"):
        batch[name] = torch.where(left_out, value, batch[name])
    assert results(batch, everything)[:2] == (loss, parts)
    assert torch.equal(results(batch, everything)[2], gradient)
    assert torch.equal(results(batch, everything)[3], of_entropy)
    assert not gradient[left_out].any()


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


def test_the_entropy_bonus_lowers_the_loss_by_weights_coefficient_and_entropy():
    new = torch.tensor([-1.0, -1.0, -1.0], requires_grad=True)
    entropy = torch.tensor([0.5, 0.25, float("nan")], requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 0.0])
    spec = {"surrogate": "nll", "entropy_coefficient": 0.5}
    loss, parts = weighted_loss(spec, new, None, None, torch.ones(3), weights, entropy=entropy)
    loss.backward()
    assert loss.item() == 3.0 - 0.5 * (0.5 + 2 * 0.25)
    assert parts["policy_loss"].item() == 3.0
    assert new.grad.tolist() == [-1.0, -2.0, 0.0]
    assert entropy.grad.tolist() == [-0.5, -1.0, 0.0]


def test_without_a_coefficient_the_entropy_gets_no_gradient():
    new, entropy = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    loss, _ = weighted_loss({"surrogate": "nll"}, new, None, None, torch.ones(2), torch.ones(2), entropy=entropy)
    loss.backward()
    assert entropy.grad is None


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_no_tokens_give_a_zero_loss(surrogate):
    empty = torch.zeros(0, requires_grad=True)
    segments = torch.zeros(0, dtype=torch.int64)
    loss, parts = weighted_loss({"surrogate": surrogate}, empty, None, None, torch.zeros(0), torch.zeros(0), segments)
    loss.backward()
    assert loss.item() == 0.0
    assert parts["tokens"].item() == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"surrogate": "ppo"}, "surrogate must be one of clip, sequence_clip, cispo, sapo, nll; it is 'ppo'"),
        ({}, "surrogate must be one of clip, sequence_clip, cispo, sapo, nll; it is missing"),
        ({"surrogate": "clip", "kl": "k9"}, "kl must be one of k1, k2, k3; it is 'k9'"),
        ({"surrogate": "clip", "epsilom": 0.1}, 'loss has no parameter "epsilom"; it has surrogate, epsilon,'),
        ({"surrogate": "clip", "epsilon": "0.2"}, "epsilon must be a finite number from 0; it is '0.2'"),
        ({"surrogate": "clip", "epsilon": -0.1}, "epsilon must be a finite number from 0; it is -0.1"),
        ({"surrogate": "clip", "delta": 0.9}, "delta must be a finite number from 1; it is 0.9"),
        ({"surrogate": "cispo", "delta": 3}, "delta caps the ratio of clip and sequence_clip; surrogate cispo has no"),
        ({"surrogate": "sapo", "tau_negative": 0}, "tau_negative must be a finite number from 1e-06; it is 0"),
        ({"surrogate": "clip", "beta": float("nan")}, "beta must be a finite number from 0; it is nan"),
        ({"surrogate": "clip", "entropy_coefficient": True}, "entropy_coefficient must be a finite number; it is True"),
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


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"surrogate": "sequence_clip"}, "sequence_clip needs segments"),
        ({"surrogate": "nll", "entropy_coefficient": 0.1}, "entropy_coefficient is 0.1, so the loss needs the entropy"),
    ],
)
def test_what_a_spec_needs_must_be_there(spec, message):
    one = torch.ones(1)
    with pytest.raises(EngineError, match=message):
        weighted_loss(spec, one, None, None, one, one)


def test_tensors_of_different_shapes_are_refused():
    with pytest.raises(EngineError, match="advantages has shape"):
        weighted_loss({"surrogate": "clip"}, torch.ones(3), None, None, torch.ones(1), torch.ones(3))
