"""Index arithmetic over rows of different length.

Suffix: R rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def counted(length_R: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 .. length - 1 of every row, one after the other."""
    return np.arange(length_R.sum()) - np.repeat(np.cumsum(length_R) - length_R, length_R)


def cells(first_R: NDArray[np.int64], count_R: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Indices into flattened rows of `width`: `count_R` cells side by side, from column `first_R` on."""
    row = np.repeat(np.arange(len(count_R)), count_R)
    return row * width + first_R[row] + counted(count_R)
