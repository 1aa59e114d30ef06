"""What is done around the layers of a model while a part runs: checkpointing, dropout of adapters, signs of life."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu
from torch.nn.modules.dropout import _DropoutNd
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from .ranks import Ranks


class Watcher(Protocol):
    """The part of `context.CallContext` that is used here."""

    def check_cancelled(self) -> None: ...
    def tick(self) -> None: ...


class _Ticking:
    """Shows life and hears nothing."""

    def __init__(self, watcher: Watcher) -> None:
        self.tick = watcher.tick

    def check_cancelled(self) -> None:
        """Not here."""


def heeded(watcher: Watcher, ranks: Ranks) -> Watcher:
    """The watcher inside a pass: one that all ranks make together is not left by one of them alone."""
    return _Ticking(watcher) if ranks.in_step else watcher


def enable_checkpointing(model: PreTrainedModel, *, offload: bool = False) -> None:
    """Layers keep only their inputs and compute the rest again in the backward pass, inside `checkpointed_layers`.

    `offload`: keep them in the machine's memory, pinned for CUDA, from which the backward pass fetches them.
    (transformers' own option of that name asks for pinned memory on a machine without CUDA as well, and fails.)
    """
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if offload:
        layers: list[Any] = layers_of(model)
        for layer in layers:
            layer._gradient_checkpointing_func = _inputs_moved(layer._gradient_checkpointing_func)


def _inputs_moved(checkpoint: Callable[..., Any]) -> Callable[..., Any]:
    # What is computed inside is not saved at all, so the hooks see the inputs alone.
    def moved(*args: Any, **kwargs: Any) -> Any:
        with save_on_cpu(pin_memory=torch.cuda.is_available()):
            return checkpoint(*args, **kwargs)

    return moved


@contextmanager
def checkpointed_layers(model: nn.Module) -> Iterator[None]:
    """transformers checkpoints a layer when it is in training mode. Only the layers themselves are put into it, so that
    no dropout inside wakes up but that of an adapter, which was asked for, and only here, because in that mode a layer
    refuses a cache when sampling."""
    layers = [layer for layer in layers_of(model) if layer.gradient_checkpointing]
    modules: list[nn.Module] = [*layers, *_adapter_dropout(model)]
    for module in modules:
        module.training = True
    try:
        yield
    finally:
        for module in modules:
            module.training = False


@contextmanager
def seeded_dropout(model: nn.Module, seed: Callable[[], int]) -> Iterator[None]:
    """What drops values in here draws from a generator with this seed, which nothing else sees; also when a layer is
    computed again. `seed` is asked only where something can drop."""
    if not any(isinstance(module, _DropoutNd) for module in _adapter_dropout(model)):
        yield
        return
    device = next(model.parameters()).device
    # The CPU's generator is saved in any case; the type only says whose the others are.
    others: dict[str, Any] = {"devices": []}
    if device.type != "cpu":
        others = {"devices": [device], "device_type": device.type}
    with torch.random.fork_rng(**others):
        torch.manual_seed(seed())
        yield


def _adapter_dropout(model: nn.Module) -> list[nn.Module]:
    """Dropout in front of the adapters, and the adapted layers, which look at their own mode as well (DoRA)."""
    found: list[nn.Module] = []
    for module in model.modules():
        own = getattr(module, "lora_dropout", None)
        drops = (
            [drop for drop in own.values() if isinstance(drop, _DropoutNd)] if isinstance(own, nn.ModuleDict) else []
        )
        found += [module, *drops] if drops else []
    return found


def active_dropout(model: nn.Module) -> float:
    """Largest probability with which a module drops values while a part runs. 0 unless a module is put into training
    mode, which nothing here does with more than the layers themselves and the dropout of adapters: the same input then
    gives the same output."""
    with checkpointed_layers(model):
        return max((_drop_probability(module) for module in model.modules() if module.training), default=0.0)


def _drop_probability(module: nn.Module) -> float:
    if isinstance(module, _DropoutNd):
        return module.p
    # Attention layers of transformers have no dropout module: they hand the number to the kernel.
    return float(getattr(module, "attention_dropout", None) or 0.0)


@contextmanager
def watched_layers(model: nn.Module, watcher: Watcher) -> Iterator[None]:
    """Speaks to the watcher after every layer, on the way forward and back. A part of a large model takes minutes on a
    slow device: this is where it shows that it lives, and where it can be cancelled."""

    def at_layer() -> None:
        watcher.check_cancelled()
        watcher.tick()

    def after_gradient(_gradient: Tensor) -> None:
        at_layer()

    def after_forward(_module: nn.Module, _inputs: Any, output: Any) -> None:
        at_layer()
        hidden = output[0] if isinstance(output, tuple) else output
        if hidden.requires_grad:
            hidden.register_hook(after_gradient)

    with ExitStack() as hooks:
        for layer in layers_of(model):
            hooks.callback(layer.register_forward_hook(after_forward).remove)
        yield


def layers_of(model: nn.Module) -> list[GradientCheckpointingLayer]:
    """The repeated layers of text model and vision tower, in order."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
