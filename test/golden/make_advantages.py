"""Writes advantages_golden.json: advantages, overlong punishments and KL by other people's formulas.

`group`, `batch`, `none`, `gdpo`, `rloo` and `rloo_batch` transcribe TRL 1.16 (grpo_trainer.py,
`_generate_and_score_completions`; rloo_trainer.py, the same), and `overlong` its rewards/other_rewards.py, on float64.
TRL's own lines on the same rewards differ by up to 6e-8, because its nanstd takes n / (n - 1) in float32.
`reinforce_plus_plus_baseline` is arXiv 2501.03262 in NumPy. `pass_at_k` forms every subset of k completions, pays each
its best reward, and averages over the subsets of a completion, as arXiv 2508.10751 describes before its closed form;
`pass_at_k_binary` is that closed form, equations 14 and 15.

    python test/golden/make_advantages.py
"""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLOOR = 1e-4


def nanmean(values: Array, axis: int | None = None) -> Array:
    """As torch.nanmean: NaN where there is nothing."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0.0).sum(axis=axis, keepdims=True) / known.sum(axis=axis, keepdims=True)


def nanstd(values: Array, axis: int | None = None) -> Array:
    """TRL's utils.nanstd with keepdim: NaN for fewer than two."""
    count = (~np.isnan(values)).sum(axis=axis, keepdims=True).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        correction = np.where(count > 1, count / (count - 1), np.nan)
    return np.sqrt(nanmean((values - nanmean(values, axis)) ** 2, axis) * correction)


def weighted(rewards: Array, weights: Array) -> Array:
    """[P, G] of [K, P, G]: nansum of the weighted rewards; NaN where none could judge."""
    totals = np.nansum(rewards * weights[:, None, None], axis=0)
    totals[np.isnan(rewards).all(axis=0)] = np.nan
    return totals


def sum_then_normalize(totals: Array, scale: str) -> Array:
    advantages = totals - nanmean(totals, 1)
    if scale == "group":
        advantages = advantages / (nanstd(totals, 1) + FLOOR)
    if scale == "batch":
        advantages = advantages / (nanstd(totals) + FLOOR)
    return np.nan_to_num(advantages)


def normalize_then_sum(rewards: Array, weights: Array) -> Array:
    apart = (rewards - nanmean(rewards, 2)) / (nanstd(rewards, 2) + FLOOR)
    totals = np.nansum(apart * weights[:, None, None], axis=0)
    totals[np.isnan(rewards).all(axis=0)] = np.nan
    return np.nan_to_num((totals - nanmean(totals)) / (nanstd(totals) + FLOOR))


def leave_one_out(totals: Array, normalize: bool) -> Array:
    count = (~np.isnan(totals)).sum(axis=1, keepdims=True).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        advantages = totals - (np.nansum(totals, axis=1, keepdims=True) - totals) / (count - 1)
    advantages[~np.isfinite(advantages)] = np.nan
    if normalize:
        advantages = (advantages - nanmean(advantages)) / (nanstd(advantages) + FLOOR)
    return np.nan_to_num(advantages)


def reinforce_plus_plus_baseline(totals: Array) -> Array:
    centred = totals - nanmean(totals, 1)
    return np.nan_to_num((centred - nanmean(centred)) / (nanstd(centred) + FLOOR))


def pass_at_k(totals: Array, k: int) -> Array:
    advantages = np.zeros_like(totals)
    for group, row in zip(totals, advantages, strict=True):
        judged = np.flatnonzero(~np.isnan(group))
        subsets = list(combinations(judged.tolist(), k))
        pay = np.array([group[list(subset)].max() for subset in subsets])
        if len(subsets) == 0 or (pay == pay[0]).all():
            continue
        for own in judged.tolist():
            mine = pay[[own in subset for subset in subsets]]
            row[own] = ((mine - pay.mean()) / (pay.std() + FLOOR)).mean()
    return advantages


def pass_at_k_binary(count: int, wrong: int, k: int) -> dict[str, float]:
    """Without the floor, as printed."""
    mean = 1 - math.comb(wrong, k) / math.comb(count, k)
    deviation = math.sqrt(mean * (1 - mean))
    among_wrong = math.comb(wrong - 1, k - 1) / math.comb(count - 1, k - 1)
    right, wrong_one = (1 - mean) / deviation, (1 - mean - among_wrong) / deviation
    return {"deviation": deviation, "right_advantage": right, "wrong_advantage": wrong_one}


def overlong(length: int, longest: int, cache: int) -> float:
    if length <= longest - cache:
        return 0.0
    if length <= longest:
        return (longest - cache - length) / cache
    return -1.0


def kl_of_completion(policy: Array, reference: Array) -> dict[str, float]:
    difference = policy - reference
    return {
        "k1": float(difference.sum()),
        "k2": float((difference**2 / 2).sum()),
        "k3": float((np.exp(reference - policy) - (reference - policy) - 1).sum()),
    }


def plain(values: Array) -> Any:
    """Lists with null for NaN."""
    return [[None if math.isnan(value) else value for value in row] for row in values.tolist()]


def case(name: str, rewards: Array, weights: list[float]) -> dict[str, Any]:
    """rewards [K, P, G]"""
    weight_K = np.array(weights)
    totals = weighted(rewards, weight_K)
    names = [f"reward_{index}" for index in range(len(weights))]
    expected = {
        **{scale: sum_then_normalize(totals, scale) for scale in ("group", "batch", "none")},
        "gdpo": normalize_then_sum(rewards, weight_K),
        "rloo": leave_one_out(totals, normalize=False),
        "rloo_batch": leave_one_out(totals, normalize=True),
        "reinforce_plus_plus_baseline": reinforce_plus_plus_baseline(totals),
        **{f"pass_at_{k}": pass_at_k(totals, k) for k in range(1, totals.shape[1])},
    }
    return {
        "name": name,
        "rewards": dict(zip(names, [plain(values) for values in rewards], strict=True)),
        "weights": dict(zip(names, weights, strict=True)),
        "totals": plain(totals),
        "expected": {key: plain(values) for key, values in expected.items()},
    }


def cases() -> list[dict[str, Any]]:
    random = np.random.default_rng(2411)
    smooth = random.normal(size=(2, 4, 6))
    judged = smooth.copy()
    judged[random.random(judged.shape) < 0.3] = np.nan
    judged[:, 1, 2] = np.nan
    judged[:, 3, 1:] = np.nan
    binary = (random.random((1, 5, 6)) < 0.4).astype(np.float64)
    binary[0, 2] = 0.0
    binary[0, 3] = 1.0
    # A ranking reward of small spread beside one of 0 and 1.
    scales = np.stack([0.9 + 0.02 * random.random((5, 4)), (random.random((5, 4)) < 0.5).astype(np.float64)])
    return [
        case("two rewards", smooth, [1.0, 0.5]),
        case("two rewards, some missing", judged, [1.0, 2.0]),
        case("one binary reward", binary, [1.0]),
        case("rewards of unlike spread", scales, [1.0, 1.0]),
        case("groups of two", random.normal(size=(1, 3, 2)), [0.25]),
    ]


def main() -> None:
    random = np.random.default_rng(2402)
    logprobs = [-random.random((2, length)) * 3 for length in (1, 4, 9)]
    golden = {
        "source": {"script": "test/golden/make_advantages.py", "trl": "1.16", "numpy": np.__version__},
        "cases": cases(),
        "pass_at_k_binary": [
            {"count": count, "wrong": wrong, "k": k, **pass_at_k_binary(count, wrong, k)}
            for count, wrong, k in ((8, 4, 4), (8, 7, 2), (16, 12, 4), (32, 31, 8), (64, 30, 4))
        ],
        "overlong": [
            {"length": length, "longest": longest, "cache": cache, "reward": overlong(length, longest, cache)}
            for longest, cache in ((100, 20), (20, 4), (7, 7))
            for length in (0, 1, 3, 7, 16, 17, 20, 80, 81, 90, 100, 101)
        ],
        "kl": [
            {"policy": policy.tolist(), "reference": reference.tolist(), **kl_of_completion(policy, reference)}
            for policy, reference in logprobs
        ],
    }
    path = Path(__file__).with_name("advantages_golden.json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
