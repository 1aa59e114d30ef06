"""Weights, gradients and optimizer spread over the ranks by torch's `fully_shard`, layer by layer.

Every layer of the text model and of the vision tower is a unit of its own, the tower's remainder another, and the root
holds what is left: embedding, final norm, head. Passes go through the root's `forward`, whatever they consist of,
because that is where the root's weights are brought together.

To sample, weights are put together in the type that they are multiplied in (`lent`), or a layer at a time by the same
passes as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ..families import LoadedModel
from ..layers import layers_of
from ..optim import AdamWSettings, MasterAdamW, StepResult
from ..ranks import Ranks, naming_lost_ranks
from .arrival import arrive, buffers_arrive
from .base import Held, Root
from .lent import LentModel


class Fsdp2Strategy:
    """See `Strategy`."""

    def __init__(self, ranks: Ranks, *, gathers: bool) -> None:
        self._ranks = ranks
        self.gathers = gathers
        self._sampling = False

    def prepare(self, loaded: LoadedModel, settings: AdamWSettings) -> LoadedModel:
        """See `Strategy.prepare`."""
        buffers_arrive(loaded.model, loaded.device, self._ranks)
        self._lent = LentModel(loaded)
        placed, self._root = self._spread(loaded)
        self._placed = placed
        self._parameters: dict[str, Any] = dict(placed.model.named_parameters())
        self._trained = {name: parameter for name, parameter in self._parameters.items() if parameter.requires_grad}
        self._optimizer = MasterAdamW(self._trained, settings)
        return placed

    def place(self, loaded: LoadedModel) -> LoadedModel:
        """See `Strategy.place`."""
        buffers_arrive(loaded.model, loaded.device, self._ranks)
        return self._spread(loaded)[0]

    @contextmanager
    def sampling(self) -> Iterator[LoadedModel]:
        """See `Strategy.sampling`."""
        if self.gathers:
            with self._lent.lend(self._whole) as loaded:
                yield loaded
            return
        self._sampling = True
        try:
            yield self._placed
        finally:
            self._sampling = False
            self._root.reshard()

    def clear(self) -> None:
        """See `Strategy.clear`."""
        self._optimizer.clear()

    def backward(self, loss: Tensor) -> None:
        """See `Strategy.backward`."""
        with naming_lost_ranks(self._ranks.rank):
            loss.backward()

    def step(self, learning_rate: float, max_grad_norm: float | None) -> StepResult:
        """See `Strategy.step`."""
        with naming_lost_ranks(self._ranks.rank):
            return self._optimizer.step(learning_rate, max_grad_norm)

    def weights(self) -> dict[str, Held]:
        """See `Strategy.weights`."""
        return {name: _held(parameter) for name, parameter in self._parameters.items()}

    def optimizer_state(self) -> dict[str, Held]:
        """See `Strategy.optimizer_state`."""
        return {name: _held(tensor) for name, tensor in self._optimizer.state().items()}

    def trainable(self) -> set[str]:
        """See `Strategy.trainable`."""
        return set(self._trained)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Tensor]) -> None:
        """See `Strategy.load`."""
        for name, parameter in self._trained.items():
            parameter.copy_(_own_piece(weights[name], parameter))
        self._optimizer.load_state(_Pieces(optimizer_state, self._parameters))
        self._optimizer.clear()

    def _whole(self, name: str, dtype: torch.dtype) -> Tensor:
        """Cast before it travels: the same bits, and half as many."""
        with naming_lost_ranks(self._ranks.rank):
            return self._parameters[name].detach().to(dtype).full_tensor()

    def _spread(self, loaded: LoadedModel) -> tuple[LoadedModel, FSDPModule]:
        mesh = init_device_mesh(loaded.device.type, (self._ranks.world_size,))
        root = Root(loaded.model)
        sharded = self._shard(root, mesh, loaded)

        def enter(work: Callable[[], Any]) -> Any:
            self._ranks.passes += self._ranks.in_step
            with naming_lost_ranks(self._ranks.rank):
                result = root(work)
            # The backward pass lets go of the root's weights. Where there is none they would stay, as they are now.
            if not torch.is_grad_enabled() and not self._sampling:
                sharded.reshard()
            return result

        return replace(loaded, entrance=enter, ranks=self._ranks), sharded

    def _shard(self, root: Root, mesh: DeviceMesh, loaded: LoadedModel) -> FSDPModule:
        """A unit is whole on the device only until it is cut, before the next one comes."""
        for unit in (*layers_of(loaded.model), loaded.family.vision_tower(loaded.model), root):
            for parameter in unit.parameters():
                if not isinstance(parameter, DTensor):
                    arrive(parameter, loaded.device, self._ranks)
            _shard(unit, mesh)
        return cast(FSDPModule, root)


def _shard(module: nn.Module, mesh: DeviceMesh) -> None:
    unit: Any = fully_shard(module, mesh=mesh)
    # Sums, not means: both settings together, because the factor alone asks for a reduction that gloo does not have.
    unit.set_gradient_divide_factor(1.0)
    unit.set_force_sum_reduction_for_comms(True)


def _held(tensor: Tensor) -> Held:
    if not isinstance(tensor, DTensor):
        return Held.here(tensor)
    spread: DTensor = tensor
    return Held(tuple(tensor.shape), tensor.dtype, lambda: spread.full_tensor().detach())


def _own_piece(whole: Tensor, like: DTensor) -> DTensor:
    """This rank's part of a tensor that every rank has read: nothing travels."""
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


class _Pieces(Mapping[str, Tensor]):
    """Optimizer state, of which each tensor is cut when it is asked for."""

    def __init__(self, state: Mapping[str, Tensor], parameters: Mapping[str, Any]) -> None:
        self._state, self._parameters = state, parameters

    def __getitem__(self, name: str) -> Tensor:
        parameter, _, field = name.rpartition(".")
        whole = self._state[name]
        return whole if field == "step" else _own_piece(whole, self._parameters[parameter])

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)
