"""Weights that only another rank has read: shape and type, and no memory.

One element stands for all: what only asks for shapes works as ever, what writes into such a weight fails.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def absent(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor of this shape and type, all zeros, in the memory of one element."""
    return torch.zeros((), dtype=dtype).expand(*shape)


def is_absent(tensor: Tensor) -> bool:
    """Whether there is nothing behind the shape."""
    return tensor.numel() > 1 and not any(tensor.stride())


def without_weights(model: nn.Module) -> None:
    """Turns a model on the device "meta" into one on the CPU whose weights are absent, ties kept; buffers are zeros."""
    replaced: dict[nn.Parameter, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter not in replaced:
                replaced[parameter] = nn.Parameter(absent(parameter.shape, parameter.dtype), parameter.requires_grad)
            module.register_parameter(name, replaced[parameter])
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.zeros_like(buffer, device="cpu"))
