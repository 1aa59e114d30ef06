"""One process, one device, everything in its memory."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..optim import AdamWSettings, MasterAdamW, StepResult


class SingleStrategy:
    """See `Strategy`."""

    def prepare(self, model: nn.Module, settings: AdamWSettings) -> None:
        """See `Strategy.prepare`."""
        self._parameters = dict(model.named_parameters())
        self._trained = {name: parameter for name, parameter in self._parameters.items() if parameter.requires_grad}
        self._optimizer = MasterAdamW(self._trained, settings)

    def clear(self) -> None:
        """See `Strategy.clear`."""
        self._optimizer.clear()

    def backward(self, loss: Tensor) -> None:
        """See `Strategy.backward`."""
        loss.backward()

    def step(self, learning_rate: float, max_grad_norm: float | None) -> StepResult:
        """See `Strategy.step`."""
        return self._optimizer.step(learning_rate, max_grad_norm)

    def weights(self) -> dict[str, Tensor]:
        """See `Strategy.weights`."""
        return {name: parameter.detach() for name, parameter in self._parameters.items()}

    def optimizer_state(self) -> dict[str, Tensor]:
        """See `Strategy.optimizer_state`."""
        return self._optimizer.state()

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
