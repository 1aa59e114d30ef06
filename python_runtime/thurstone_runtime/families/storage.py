"""How weights that are not trained are stored.

Under autocast a matrix product rounds its weights to the type of the computation, and everything else reads them as
they are. Weights that only matrix products read can therefore be rounded once: the same bits, in half the memory.
"""

from __future__ import annotations

from collections.abc import Set

import torch
from torch import Tensor, nn

from .absent import absent, is_absent

_PRODUCTS = (nn.Linear, nn.Conv2d, nn.Conv3d)


def is_product(module: nn.Module) -> bool:
    """Whether the module does nothing with its weights but multiply by them."""
    return isinstance(module, _PRODUCTS)


def store_as_multiplied(model: nn.Module, dtype: torch.dtype, keep: Set[nn.Parameter] = frozenset()) -> None:
    """Weights that only matrix products read in this type, all others in float32 or better; `keep` are left alone."""
    readers: dict[nn.Parameter, list[nn.Module]] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            readers.setdefault(parameter, []).append(module)
    for parameter, modules in readers.items():
        if parameter in keep or not parameter.is_floating_point():
            continue
        # A head tied to the embedding stays float32: the embedding reads it without rounding.
        multiplied = len(modules) == 1 and is_product(modules[0])
        stored = dtype if multiplied else torch.promote_types(parameter.dtype, torch.float32)
        parameter.data = _cast(parameter.data, stored)


def _cast(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return absent(weight.shape, dtype) if is_absent(weight) else weight.to(dtype)
