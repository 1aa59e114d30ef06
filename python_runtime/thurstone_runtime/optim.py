"""AdamW on float32 master weights, with clipping by the global norm and steps that a broken gradient cannot spoil.

AdamW: Loshchilov and Hutter, arXiv 1711.05101, as torch implements it, or bitsandbytes with moments of 8 bits. Weight
decay leaves out what has fewer than two dimensions (norms and biases), as Hugging Face's Trainer means to
(docs/parity.md has where it does not).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from .optim_8bit import adamw_8bit, layout_8bit

ADAMW, ADAMW_8BIT = "adamw_torch", "adamw_bnb_8bit"
OPTIMIZERS = (ADAMW, ADAMW_8BIT)
"""Names, as in Hugging Face's TrainingArguments."""

STATE_FIELDS = ("exp_avg", "exp_avg_sq", "step")
"""What torch's AdamW keeps per parameter: two running means of the parameter's shape, and a scalar count; float32."""

_FUSED_DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class AdamWSettings:
    """What stays the same over a run; the learning rate comes with each step."""

    optim: str = ADAMW
    """One of `OPTIMIZERS`."""
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    vision: frozenset[str] = frozenset()
    """Names of the parameters of the vision tower, whose learning rate is `vision_rate` times the others'."""
    vision_rate: float = 1.0


class StepResult(NamedTuple):
    """What a step did."""

    grad_norm: float
    """Norm of the whole gradient before clipping; not finite when the step was skipped."""
    skipped: bool


def parameter_groups(parameters: Mapping[str, nn.Parameter], settings: AdamWSettings) -> list[dict[str, Any]]:
    """Groups of parameters for AdamW: with weight decay and without, each with the `scale` of its learning rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault((name in settings.vision, parameter.ndim >= 2), []).append(parameter)
    return [
        {
            "params": grouped,
            "weight_decay": settings.weight_decay if decayed else 0.0,
            "scale": settings.vision_rate if vision else 1.0,
        }
        for (vision, decayed), grouped in groups.items()
    ]


def adamw_options(parameters: Mapping[str, nn.Parameter], settings: AdamWSettings) -> dict[str, Any]:
    """What all groups have in common."""
    return {
        "lr": 0.0,
        "betas": (settings.beta1, settings.beta2),
        "eps": settings.epsilon,
        "fused": all(parameter.device.type in _FUSED_DEVICES for parameter in parameters.values()),
    }


def state_layout(optim: str, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Type and shape of everything that an optimizer keeps of a parameter that was stepped, by field."""
    if optim == ADAMW_8BIT:
        return layout_8bit(shape)
    return {field: (torch.float32, () if field == "step" else shape) for field in STATE_FIELDS}


class MasterAdamW:
    """Optimizer over named float32 parameters."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], settings: AdamWSettings) -> None:
        self._parameters = dict(parameters)
        self._optim = settings.optim
        groups, options = parameter_groups(parameters, settings), adamw_options(parameters, settings)
        self._fused = options.pop("fused")
        self._adamw = (
            adamw_8bit(groups, options)
            if settings.optim == ADAMW_8BIT
            else torch.optim.AdamW(groups, fused=self._fused, **options)
        )

    def clear(self) -> None:
        """Drops all gradients."""
        self._adamw.zero_grad(set_to_none=True)

    def step(self, learning_rate: float, max_grad_norm: float | None) -> StepResult:
        """Applies the accumulated gradients and drops them.

        When their norm is not finite the step is skipped: weights and optimizer state keep every bit.
        A parameter without a gradient (a vision tower in a batch without images) is left alone.
        """
        parameters = [parameter for parameter in self._parameters.values() if parameter.grad is not None]
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        # Of gradients in pieces every rank has the norm of its own, until they are put together.
        grad_norm = (norm.full_tensor() if isinstance(norm, DTensor) else norm).item()
        skipped = not math.isfinite(grad_norm)
        if not skipped:
            if max_grad_norm is not None:
                clip_grads_with_norm_(parameters, max_grad_norm, norm)
            for group in self._adamw.param_groups:
                group["lr"] = learning_rate * group["scale"]
            self._adamw.step()
        self.clear()
        return StepResult(grad_norm, skipped)

    def state(self) -> dict[str, Tensor]:
        """`<parameter name>.<field>` for every parameter that was ever stepped; the tensors themselves, no copies.

        bitsandbytes counts steps in Python: that number is made one.
        """
        return {
            f"{name}.{field}": value if isinstance(value, Tensor) else torch.tensor(float(value))
            for name, parameter in self._parameters.items()
            if parameter in self._adamw.state
            for field, value in self._adamw.state[parameter].items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Takes over what `state` returned. The caller has checked names and shapes."""
        self._adamw.state.clear()
        for name, parameter in self._parameters.items():
            if f"{name}.step" not in state:
                continue
            fields = state_layout(self._optim, tuple(parameter.shape)).keys() - {"step"}
            self._adamw.state[parameter] = {
                "step": self._count(state[f"{name}.step"], parameter.device),
                **{field: state[f"{name}.{field}"].to(parameter.device, copy=True) for field in fields},
            }

    def _count(self, step: Tensor, device: torch.device) -> Tensor | int:
        if self._optim == ADAMW_8BIT:
            return int(step.item())
        return step.to(device if self._fused else torch.device("cpu"), copy=True)
