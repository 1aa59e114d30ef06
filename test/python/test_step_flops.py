"""The least operations of a step, counted by hand on a small case, and how close the worker comes to them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from minimum_flops import GroupShape, minimum_flops, windows
from step_flops import ATTENTION_ON_CPU, count_step
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

OVER_MINIMUM = 1.01
"""Most operations of a step over the least. Seconds depend on the machine; this does not."""

VISION = SimpleNamespace(
    hidden_size=2,
    depth=2,
    intermediate_size=3,
    out_hidden_size=4,
    fullatt_block_indexes=[1],
    patch_size=14,
    spatial_merge_size=2,
    temporal_patch_size=2,
    in_channels=3,
    window_size=112,
)
TEXT = SimpleNamespace(
    hidden_size=4,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    intermediate_size=6,
    vocab_size=10,
)
CONFIG = SimpleNamespace(text_config=TEXT, vision_config=VISION)
# One picture of 2 x 4 patches in a prompt of 5 tokens; of the completions 2 and 0 tokens are fed.
GROUP = GroupShape(prompt=5, pictures=((2, 4),), completions=(3, 1))

# A token passes 4 x (4 + 2 + 2 + 4 + 3 x 6) weights; a pair of query and key costs 2 x 2 operations in 2 heads of 2.
PROMPT, PROMPT_ATTENTION = 5 * 2 * 120, 16 * 5 * 5
FED, FED_ATTENTION, DECODE_ATTENTION = 2 * 2 * 120, 16 * 2 * 7, 16 * (6 + 7)
HEAD = 2 * 4 * 10
# 8 patches of 3 x 2 x 14 x 14 values; 2 blocks of 2 x (8 + 9) weights; 2 merged tokens through 8 x (8 + 4) weights.
EMBED, BLOCKS, MERGER = 2 * 8 * 1176 * 2, 2 * 8 * 2 * 34, 2 * 2 * 96
# One window holds the picture, so both blocks pair every patch with every patch.
TOWER_ATTENTION = 8 * 2 * 8 * 8
TOWER = EMBED + BLOCKS + MERGER + TOWER_ATTENTION


def test_the_formula_is_what_one_counts_by_hand() -> None:
    found = minimum_flops(CONFIG, [GROUP], frozen_tower=False)
    scoring = TOWER + PROMPT + PROMPT_ATTENTION + FED + FED_ATTENTION + 3 * HEAD
    assert found.prefill == TOWER + PROMPT + PROMPT_ATTENTION + HEAD
    assert found.decode == FED + DECODE_ATTENTION + 2 * HEAD
    assert found.reference == scoring
    tower_backward = EMBED + 2 * (BLOCKS + MERGER) + 2.5 * TOWER_ATTENTION
    text_backward = 2 * (PROMPT + FED + 3 * HEAD) + 2.5 * (PROMPT_ATTENTION + FED_ATTENTION)
    assert found.loss == scoring + tower_backward + text_backward
    assert found.total == found.prefill + found.decode + found.reference + found.loss


def test_a_frozen_tower_is_passed_once_per_picture() -> None:
    trained = minimum_flops(CONFIG, [GROUP, GROUP], frozen_tower=False)
    frozen = minimum_flops(CONFIG, [GROUP, GROUP], frozen_tower=True)
    assert frozen.prefill == trained.prefill
    assert trained.reference - frozen.reference == 2 * TOWER
    assert trained.loss - frozen.loss == 2 * (TOWER + EMBED + 2 * (BLOCKS + MERGER) + 2.5 * TOWER_ATTENTION)


def test_windows_are_cut_off_at_the_edges() -> None:
    # 10 x 6 merged tokens in windows of 4 x 4, each token 4 patches.
    assert windows(VISION, (20, 12)) == [64, 32, 64, 32, 32, 16]


def test_the_counter_knows_attention_on_a_cpu() -> None:
    query = torch.randn(1, 2, 3, 4, requires_grad=True)
    key, value = (torch.randn(1, 2, 5, 4, requires_grad=True) for _ in range(2))
    with FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_CPU) as counter:
        output = scaled_dot_product_attention(query, key, value)
    forward = 2 * 2 * (2 * 3 * 5 * 4)
    assert counter.get_total_flops() == forward
    with FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_CPU) as counter:
        output.sum().backward()
    assert counter.get_total_flops() == 2.5 * forward


def test_beneath_an_adapter_no_weight_has_a_gradient() -> None:
    frozen = minimum_flops(CONFIG, [GROUP], frozen_tower=True)
    adapted = minimum_flops(CONFIG, [GROUP], frozen_tower=True, lora_rank=3)
    # Ranks times input and output of q, k, v, o and the three of the feed-forward.
    added = 2 * 3 * (8 + 6 + 6 + 8 + 3 * 10)
    assert adapted.prefill - frozen.prefill == 5 * added
    assert adapted.decode - frozen.decode == 2 * added
    assert adapted.reference == frozen.reference
    weights = PROMPT + FED + 3 * HEAD
    # Nothing in front of the first layer is trained: no gradient of the inputs of q, k and v, and of their adapters.
    spared = 7 * 2 * 4 * (4 + 2 + 2 + 3 * 3)
    assert adapted.loss - frozen.loss == 7 * 3 * added - weights - spared


@pytest.mark.parametrize(("frozen_tower", "lora_rank"), [(False, None), (True, None), (True, 4)])
def test_a_step_does_hardly_more_than_it_must(tiny_checkpoint: Path, frozen_tower: bool, lora_rank: int | None) -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (84, 140, 3)).astype(np.uint8) for _ in range(2)]
    counted = count_step(
        str(tiny_checkpoint),
        pictures,
        "How good is this picture?",
        generations=6,
        tokens=16,
        frozen_tower=frozen_tower,
        lora_rank=lora_rank,
        beta=0.04,
    )
    assert 1 <= counted.over_minimum <= OVER_MINIMUM
