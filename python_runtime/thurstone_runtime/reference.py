"""A frozen copy of the weights as loaded, against which the KL of training is measured.

Under autocast the policy multiplies with weights rounded to the compute type and keeps the rest in float32. The copy
stores exactly that: weights that only matrix products read are rounded once, the others stay as they are. So it takes
about half the memory, and its log-probabilities are those of the untrained policy to the bit: the KL starts at 0.

A vision tower that is not trained is not copied: both models read the same weights and the same kept features.
"""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass, replace

import torch
from torch import nn

from .families import LoadedModel
from .vision import VisionTower

_PRODUCTS = (nn.Linear, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Reference:
    """The frozen model; `loaded` has the family, tokenizer and constants of the policy."""

    loaded: LoadedModel
    tower: VisionTower

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Computes in the compute type."""
        if self.loaded.compute_dtype != torch.bfloat16:
            return contextlib.nullcontext()
        return torch.autocast(self.loaded.device.type, dtype=torch.bfloat16)


def freeze(loaded: LoadedModel, tower: VisionTower) -> Reference:
    """Copies the model as it is now, but for a frozen `tower`, which the copy shares."""
    shared = set(loaded.family.vision_parameters(loaded.model)) if tower.frozen else set()
    model = copy.deepcopy(loaded.model, {id(parameter): parameter for parameter in shared})
    model.requires_grad_(False)
    products = [module for module in model.modules() if isinstance(module, _PRODUCTS)]
    readers: dict[nn.Parameter, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            readers[parameter] = readers.get(parameter, 0) + 1
    for module in products:
        for parameter in module.parameters(recurse=False):
            # A head tied to the embedding stays float32: the embedding reads it without rounding.
            if readers[parameter] == 1 and parameter not in shared:
                parameter.data = parameter.data.to(loaded.compute_dtype)
    copied = replace(loaded, model=model)
    return Reference(copied, tower if tower.frozen else VisionTower(copied))
