"""Positions of tokens for models with three-axis rotary embeddings (mRoPE of Qwen2-VL, arXiv 2409.12191, section 2.1).

Text counts up by one on all three axes; an image keeps its start on the time axis, spreads over rows and columns on the
others, and moves the count on by its longer side. Sampling and the loss both take their positions from here and always
pass them: transformers falls back to plain 1-D positions, without a word, when it is not told where images are.

Suffixes: B rows, L positions, 3 axes (time, height, width).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .errors import EngineError

Grid = tuple[int, int]
"""Height and width of an image in patches, before neighbouring patches are merged."""


def image_token_count(grid: Grid, merge_size: int) -> int:
    """How many tokens of the text an image stands for."""
    return grid[0] * grid[1] // merge_size**2


def mrope_positions(
    input_ids_BL: Tensor,
    grids: Sequence[Sequence[Grid]],
    *,
    image_token_id: int,
    merge_size: int,
    attention_mask_BL: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Positions of every token, and the position that the next token of each row would take.

    `grids[row]` lists the row's images in the order of their placeholders. `attention_mask_BL` is 0 at padding,
    wherever it lies; padding gets position 0. Works on the CPU; the result is on the device of `input_ids_BL`.

    Returns int64 [3, B, L] and int64 [B]. Raises `image_token_mismatch` when placeholders and grids do not fit.
    """
    ids_BL = input_ids_BL.cpu().numpy()
    is_image_BL = ids_BL == image_token_id
    if attention_mask_BL is None:
        step_BL = np.ones(ids_BL.shape, dtype=np.int64)
    else:
        step_BL = (attention_mask_BL.cpu().numpy() != 0).astype(np.int64)
        is_image_BL &= step_BL != 0
    _check_counts(is_image_BL, grids, merge_size)

    step_BL[is_image_BL] = 0
    rows, columns = np.nonzero(is_image_BL)
    height_offset = np.zeros(len(rows), dtype=np.int64)
    width_offset = np.zeros(len(rows), dtype=np.int64)
    start = 0
    for height, width in (grid for row_grids in grids for grid in row_grids):
        merged_height, merged_width = height // merge_size, width // merge_size
        end = start + merged_height * merged_width
        if columns[end - 1] - columns[start] != end - start - 1:
            raise EngineError(
                "image_token_mismatch",
                f"row {rows[start]}: an image of {merged_height} x {merged_width} tokens is split by other tokens; "
                "its placeholders must stand side by side.",
            )
        height_offset[start:end] = np.repeat(np.arange(merged_height), merged_width)
        width_offset[start:end] = np.tile(np.arange(merged_width), merged_height)
        step_BL[rows[end - 1], columns[end - 1]] = max(merged_height, merged_width)
        start = end

    end_BL = np.cumsum(step_BL, axis=1)
    position_3BL = np.repeat((end_BL - step_BL)[None], 3, axis=0)
    position_3BL[1, rows, columns] += height_offset
    position_3BL[2, rows, columns] += width_offset
    if attention_mask_BL is not None:
        position_3BL *= attention_mask_BL.cpu().numpy() != 0
    device = input_ids_BL.device
    return torch.from_numpy(position_3BL).to(device), torch.from_numpy(end_BL[:, -1].copy()).to(device)


def _check_counts(is_image_BL: np.ndarray, grids: Sequence[Sequence[Grid]], merge_size: int) -> None:
    for row, row_grids in enumerate(grids):
        found = int(is_image_BL[row].sum())
        expected = sum(image_token_count(grid, merge_size) for grid in row_grids)
        if found != expected:
            raise EngineError(
                "image_token_mismatch",
                f"row {row} has {found} image placeholder tokens, but its {len(row_grids)} images make {expected}; "
                "encode the prompt again with the target sizes that the images were sent with.",
            )
