"""Loss, gradient and clip counts against TRL's own numbers, reached through weights and masked advantages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from thurstone_runtime.losses import weighted_loss

GOLDEN = Path(__file__).parent.parent / "golden"
FIRST, MORE = (
    json.loads((GOLDEN / name).read_text())["cases"]
    for name in ("trl_losses_golden.json", "trl_more_losses_golden.json")
)
CASES: list[dict[str, Any]] = [*FIRST, *MORE]


def name_of(case: dict[str, Any]) -> str:
    return f"{case['loss_type']}-{case['level']}-{case['seed']}"


def tensor(values: Any, *, grad: bool = False) -> Any:
    return None if values is None else torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def weights_of(case: dict[str, Any], mask_NT: torch.Tensor) -> torch.Tensor:
    """What a caller sends for TRL's loss_type."""
    count = len(mask_NT)
    per_row = mask_NT / mask_NT.sum(1, keepdim=True) / count
    per_token = mask_NT / mask_NT.sum()
    return {
        "grpo": per_row,
        "sapo": per_row,
        "bnpo": per_token,
        "dapo": per_token,
        "cispo": per_token,
        "dr_grpo": mask_NT / (count * case["max_completion_length"]),
        "luspo": mask_NT / count,
    }[case["loss_type"]]


def kept_by_entropy(case: dict[str, Any], mask_NT: torch.Tensor) -> torch.Tensor:
    """top_entropy_quantile keeps this share of the tokens, those of the highest entropy; the threshold is a float32."""
    if case["quantile"] == 1:
        return mask_NT
    entropy_NT = tensor(case["entropy"])
    threshold = torch.quantile(entropy_NT[mask_NT > 0].float(), 1 - case["quantile"])
    return mask_NT * (entropy_NT >= threshold)


def spec_of(case: dict[str, Any]) -> dict[str, Any]:
    clip = "sequence_clip" if case["level"] == "sequence" else "clip"
    return {
        "surrogate": case["loss_type"] if case["loss_type"] in ("cispo", "sapo") else clip,
        "epsilon": case["epsilon"],
        "epsilon_high": case["epsilon_high"],
        "delta": case["delta"],
        "tau_positive": case["sapo"][0],
        "tau_negative": case["sapo"][1],
        "beta": case["beta"],
        "kl": "k3",
        "entropy_coefficient": case.get("entropy_coef", 0.0),
    }


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_equals_trl(case):
    new, entropy = tensor(case["logp_new"], grad=True), tensor(case["entropy"], grad=True)
    mask = tensor(case["mask"])
    advantages = tensor(case["advantages"])[:, None] * kept_by_entropy(case, mask)
    segments = torch.arange(len(mask))[:, None].expand_as(mask)
    old, ref = tensor(case["logp_old"]), tensor(case["logp_ref"])
    loss, parts = weighted_loss(
        spec_of(case), new, old, ref, advantages, weights_of(case, mask), segments=segments, entropy=entropy
    )
    loss.backward()
    assert loss.item() == pytest.approx(case["loss"], rel=1e-9, abs=1e-9)
    assert torch.allclose(new.grad, tensor(case["grad_logp_new"]), rtol=1e-9, atol=1e-9)
    if "grad_entropy" in case:
        found = torch.zeros_like(entropy) if entropy.grad is None else entropy.grad
        assert torch.allclose(found, tensor(case["grad_entropy"]), rtol=1e-9, atol=1e-9)
    if "clip_ratios" in case and case["level"] == "token" and case["quantile"] == 1:
        expected = {name: ratio * mask.sum().item() for name, ratio in case["clip_ratios"].items()}
        assert parts["clipped_low"].item() == pytest.approx(expected["low"])
        # TRL does not count the tokens of negative advantage that delta cuts.
        beyond = 0
        if case["delta"] is not None:
            beyond = ((new - old).exp() > max(case["delta"], 1 + case["epsilon_high"])) & (advantages < 0) & (mask > 0)
            beyond = beyond.sum().item()
        assert parts["clipped_high"].item() - beyond == pytest.approx(expected["high"])


def test_every_loss_of_trl_is_among_them():
    assert len(FIRST) == 23
    assert {case["loss_type"] for case in CASES} == {"grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo"}
    assert {case["loss_type"] for case in CASES if case["level"] == "sequence"} >= {"grpo", "dapo", "dr_grpo", "luspo"}
    assert sum(case["delta"] is not None for case in MORE) == 3
    assert sum(case["entropy_coef"] != 0 for case in MORE) == 3
