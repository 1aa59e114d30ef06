"""Where weights are cut into pieces, the first rank alone reads them. They come to the other ranks' devices one at a
time, each cut before the next, so that no device holds the whole model, and no memory but that of the first rank.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..ranks import Ranks


def arrive(tensor: Tensor, device: torch.device, ranks: Ranks) -> None:
    """Puts a weight on the device, with the first rank's values."""
    make_room(tensor, device, ranks)
    dist.broadcast(tensor.data, 0)


def make_room(tensor: Tensor, device: torch.device, ranks: Ranks, dtype: torch.dtype | None = None) -> None:
    """Puts a weight on the device, perhaps in another type; all ranks but the first then lack its values."""
    dtype = dtype or tensor.dtype
    if ranks.rank == 0:
        tensor.data = tensor.data.to(device, dtype)
    else:
        tensor.data = torch.empty(tensor.shape, dtype=dtype, device=device)


def buffers_arrive(model: nn.Module, device: torch.device, ranks: Ranks) -> None:
    """Everything that is no weight."""
    for buffer in model.buffers():
        arrive(buffer, device, ranks)
