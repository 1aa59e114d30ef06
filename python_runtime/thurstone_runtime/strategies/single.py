"""One process, one device, everything in its memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from ..families import LoadedModel
from ..optim import AdamWSettings, MasterAdamW, StepResult
from ..ranks import Ranks
from .base import Held


class SingleStrategy:
    """See `Strategy`."""

    def __init__(self, ranks: Ranks, *, gathers: bool = True) -> None:
        self._ranks = ranks
        self.gathers = gathers

    def prepare(self, loaded: LoadedModel, settings: AdamWSettings) -> LoadedModel:
        """See `Strategy.prepare`."""
        self._loaded = loaded
        self._parameters = dict(loaded.model.named_parameters())
        self._trained = {name: parameter for name, parameter in self._parameters.items() if parameter.requires_grad}
        self._optimizer = MasterAdamW(self._trained, settings)
        return loaded

    def place(self, loaded: LoadedModel) -> LoadedModel:
        """See `Strategy.place`."""
        return loaded

    @contextmanager
    def sampling(self) -> Iterator[LoadedModel]:
        """See `Strategy.sampling`."""
        yield self._loaded

    def clear(self) -> None:
        """See `Strategy.clear`."""
        self._optimizer.clear()

    def backward(self, loss: Tensor) -> None:
        """See `Strategy.backward`."""
        loss.backward()

    def step(self, learning_rate: float, max_grad_norm: float | None) -> StepResult:
        """See `Strategy.step`."""
        return self._optimizer.step(learning_rate, max_grad_norm)

    def weights(self) -> dict[str, Held]:
        """See `Strategy.weights`."""
        return {name: Held.here(parameter) for name, parameter in self._parameters.items()}

    def optimizer_state(self) -> dict[str, Held]:
        """See `Strategy.optimizer_state`."""
        return {name: Held.here(tensor) for name, tensor in self._optimizer.state().items()}

    def trainable(self) -> set[str]:
        """See `Strategy.trainable`."""
        return set(self._trained)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Tensor]) -> None:
        """See `Strategy.load`."""
        for name, parameter in self._trained.items():
            parameter.copy_(weights[name])
        self._optimizer.load_state(optimizer_state)
        self._optimizer.clear()
