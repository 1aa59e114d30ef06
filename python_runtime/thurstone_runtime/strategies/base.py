"""The seam between the verbs and the way weights, gradients and optimizer are spread over devices.

Whatever a strategy does inside, it delivers the *sum* of the gradients of all ranks, never their mean: the weights of
the loss already contain the normaliser of the whole update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..families import LoadedModel
from ..optim import AdamWSettings, StepResult
from ..ranks import Ranks


@dataclass(frozen=True)
class Held:
    """A tensor of the training state, wherever its pieces are."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    whole: Callable[[], Tensor]
    """Puts the pieces together: to be called by all ranks in one order. Perhaps the tensor itself, not a copy."""

    @staticmethod
    def here(tensor: Tensor) -> Held:
        """One that every rank has."""
        return Held(tuple(tensor.shape), tensor.dtype, tensor.detach)


class Root(nn.Module):
    """A module whose `forward` does whatever it is given."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], Any]) -> Any:
        """Passes of the model."""
        return work()


class Strategy(Protocol):
    """One model in training."""

    def prepare(self, loaded: LoadedModel, settings: AdamWSettings) -> LoadedModel:
        """Takes over a model on its device; trains the parameters that require a gradient, which are float32. What is
        returned is to be used instead."""
        ...

    def place(self, loaded: LoadedModel) -> LoadedModel:
        """Spreads another model, which is not trained, in the same way."""
        ...

    gathers: bool
    """Whether all weights are put together for sampling, where they lie in pieces."""

    def sampling(self) -> AbstractContextManager[LoadedModel]:
        """The trained model, to sample from without a gradient: with all weights at this rank, which then passes for
        itself, or in pieces, and then all ranks make every pass together. All ranks enter and leave."""
        ...

    def clear(self) -> None:
        """Drops the accumulated gradients."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of `loss` to what is accumulated."""
        ...

    def step(self, learning_rate: float, max_grad_norm: float | None) -> StepResult:
        """Applies and drops the accumulated gradients; skips when they are not finite."""
        ...

    def weights(self) -> dict[str, Held]:
        """Every parameter by its name in the module tree, tied ones once; those that are trained are float32."""
        ...

    def optimizer_state(self) -> dict[str, Held]:
        """`<parameter name>.<field of optim.state_layout>`, of the parameters that were ever stepped."""
        ...

    def trainable(self) -> set[str]:
        """Names of the parameters that are trained."""
        ...

    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Tensor]) -> None:
        """Takes over whole tensors of the names of what is trained and of `optimizer_state`, checked by the caller."""
        ...


StrategyOf = Callable[[Ranks], Strategy]
"""What makes a strategy for this rank."""
