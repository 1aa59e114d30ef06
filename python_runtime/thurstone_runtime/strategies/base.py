"""The seam between the verbs and the way weights, gradients and optimizer are spread over devices.

Whatever a strategy does inside, it delivers the *sum* of the gradients of all ranks, never their mean: the weights of
the loss already contain the normaliser of the whole update.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from ..optim import AdamWSettings, StepResult


class Strategy(Protocol):
    """One model in training."""

    def prepare(self, model: nn.Module, settings: AdamWSettings) -> None:
        """Takes over a model on its device; trains the parameters that require a gradient, which are float32."""
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

    def weights(self) -> dict[str, Tensor]:
        """Every parameter by its name in the module tree, tied ones once; those that are trained are float32. Not
        copies."""
        ...

    def optimizer_state(self) -> dict[str, Tensor]:
        """`<parameter name>.<exp_avg | exp_avg_sq | step>`, of the parameters that were ever stepped. Not copies."""
        ...

    def trainable(self) -> set[str]:
        """Names of the parameters that are trained."""
        ...

    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Tensor]) -> None:
        """Takes over what `weights`, of what is trained, and `optimizer_state` returned, checked by the caller."""
        ...
