"""A second module tree of a model whose weights lie in pieces: to sample from, while whole weights are lent to it.

Its weights have the type in which they are multiplied, and only those that something else reads as well are float32.
Under autocast the model itself rounds them in just that way, so both draw the same tokens to the bit, and one whole
model of a bfloat16 computation takes 2 bytes per weight instead of 6.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..families import LoadedModel
from ..families.storage import is_product


class _Place(NamedTuple):
    """Where a weight is read."""

    module: nn.Module
    attribute: str
    source: str
    """Name of the weight in the model itself."""
    dtype: torch.dtype
    empty: nn.Parameter


class LentModel:
    """Empty but inside `lend`."""

    def __init__(self, loaded: LoadedModel) -> None:
        """Of a model whose weights are all there, before it is spread."""
        names = {parameter: name for name, parameter in loaded.model.named_parameters()}
        empty = {
            parameter: nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
            for parameter in names
        }
        model = copy.deepcopy(loaded.model, {id(parameter): hollow for parameter, hollow in empty.items()})
        self._loaded = replace(loaded, model=model)
        modules = dict(model.named_modules())
        self._places = [
            _Place(
                modules[path],
                attribute,
                names[parameter],
                _read_as(path, module, parameter, loaded.compute_dtype),
                empty[parameter],
            )
            for path, module in loaded.model.named_modules()
            for attribute, parameter in module.named_parameters(recurse=False)
        ]

    @contextmanager
    def lend(self, whole: Callable[[str, torch.dtype], Tensor]) -> Iterator[LoadedModel]:
        """`whole` gives a weight in a type; it is asked in the same order at every rank, once for each type."""
        lent: dict[tuple[str, torch.dtype], nn.Parameter] = {}
        try:
            for place in self._places:
                key = (place.source, place.dtype)
                if key not in lent:
                    # Autocast keeps what it casts only of weights that require a gradient.
                    lent[key] = nn.Parameter(whole(*key), place.empty.requires_grad)
                place.module.register_parameter(place.attribute, lent[key])
            lent.clear()
            yield self._loaded
        finally:
            for place in self._places:
                place.module.register_parameter(place.attribute, place.empty)


def _read_as(path: str, module: nn.Module, parameter: nn.Parameter, compute_dtype: torch.dtype) -> torch.dtype:
    # An adapter's weights are few, and peft looks at their type.
    adapter = ".lora_" in path
    multiplied = is_product(module) and parameter.dtype == torch.float32 and not adapter
    return compute_dtype if multiplied else parameter.dtype
