"""Positions equal transformers' `get_rope_index`, and positions that do not count images are noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thurstone_runtime.errors import EngineError
from thurstone_runtime.positions import image_token_count, mrope_positions

ROPE = json.loads((Path(__file__).parents[1] / "golden" / "rope_golden.json").read_text())
IMAGE = 9


def grids_by_row(case: dict[str, Any]) -> list[list[tuple[int, int]]]:
    remaining = [(height, width) for _, height, width in case["image_grid_thw"]]
    rows = []
    for ids in case["input_ids"]:
        tokens = ids.count(ROPE["image_token_id"])
        row: list[tuple[int, int]] = []
        while sum(image_token_count(grid, 2) for grid in row) < tokens:
            row.append(remaining.pop(0))
        rows.append(row)
    return rows


@pytest.mark.parametrize("case", ROPE["cases"], ids=[case["name"] for case in ROPE["cases"]])
def test_equals_the_golden_file(case: dict[str, Any]) -> None:
    mask = torch.tensor(case["attention_mask"])
    positions, following = mrope_positions(
        torch.tensor(case["input_ids"]),
        grids_by_row(case),
        image_token_id=ROPE["image_token_id"],
        merge_size=2,
        attention_mask_BL=mask,
    )
    assert positions.tolist() == case["position_ids"]
    assert (following - mask.sum(1)).tolist() == [delta for (delta,) in case["rope_deltas"]]


grid = st.tuples(st.integers(1, 5).map(lambda side: 2 * side), st.integers(1, 5).map(lambda side: 2 * side))
row = st.tuples(st.lists(st.tuples(st.integers(1, 4), grid), max_size=3), st.integers(1, 4))


@settings(max_examples=60, deadline=None)
@given(st.lists(row, min_size=1, max_size=4), st.booleans())
def test_equals_get_rope_index_on_any_mixture(loaded: Any, rows: list[Any], pad_left: bool) -> None:
    image_id = loaded.family.image_token_id
    ids, grids = [], []
    for parts, tail in rows:
        tokens: list[int] = []
        for text, (height, width) in parts:
            tokens += [1] * text + [image_id] * (height * width // 4)
        ids.append(tokens + [2] * tail)
        grids.append([grid for _, grid in parts])
    length = max(map(len, ids))
    ids_BL = torch.zeros(len(ids), length, dtype=torch.long)
    mask_BL = torch.zeros(len(ids), length, dtype=torch.long)
    for index, tokens in enumerate(ids):
        place = slice(length - len(tokens), None) if pad_left else slice(len(tokens))
        ids_BL[index, place] = torch.tensor(tokens)
        mask_BL[index, place] = 1
    flat = [[1, *grid] for row_grids in grids for grid in row_grids]
    expected, deltas = loaded.model.model.get_rope_index(
        ids_BL, (ids_BL == image_id).int(), torch.tensor(flat) if flat else None, attention_mask=mask_BL
    )
    positions, following = loaded.family.positions(ids_BL, grids, mask_BL)
    assert torch.equal(positions, expected)
    assert torch.equal(following, deltas[:, 0] + mask_BL.sum(1))


def test_one_dimensional_positions_give_other_logits(lively: Any) -> None:
    # Without mm_token_type_ids transformers counts image tokens like text and says nothing.
    family, model = lively.family, lively.model
    image = torch.arange(56 * 84 * 3, dtype=torch.int32).remainder(251).to(torch.uint8).reshape(56, 84, 3)
    patches = family.patchify(image)
    ids_BL = torch.tensor([[5, *[family.image_token_id] * 6, 6, 7, 8]])
    grid_thw = torch.tensor([[1, *patches.grid]])
    with torch.no_grad():
        silent = model(input_ids=ids_BL, pixel_values=patches.values, image_grid_thw=grid_thw).logits
        told = model(
            input_ids=ids_BL,
            pixel_values=patches.values,
            image_grid_thw=grid_thw,
            mm_token_type_ids=(ids_BL == family.image_token_id).int(),
        ).logits
        positions_3BL, _ = family.positions(ids_BL, [[patches.grid]])
        features = family.encode_images(model, [patches])
        ours = family.head(model, family.forward_hidden(model, ids_BL, positions_3BL, image_features=features))
    assert (ours - told).abs().max() < 1e-9
    assert (ours - silent).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("ids", "grids"),
    [
        ([[1, IMAGE, 2]], [[(4, 4)]]),
        ([[1, IMAGE, IMAGE, IMAGE, IMAGE, 2]], [[]]),
        ([[1, 2, 3]], [[(2, 2)]]),
        ([[IMAGE, IMAGE, 3, IMAGE, IMAGE]], [[(4, 4)]]),
    ],
)
def test_refuses_placeholders_that_do_not_fit_the_images(ids: list[list[int]], grids: list[Any]) -> None:
    with pytest.raises(EngineError) as caught:
        mrope_positions(torch.tensor(ids), grids, image_token_id=IMAGE, merge_size=2)
    assert caught.value.code == "image_token_mismatch"
