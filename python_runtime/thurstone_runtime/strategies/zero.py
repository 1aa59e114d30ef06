"""Weights, gradients and optimizer spread over the ranks by DeepSpeed's ZeRO (arXiv 1910.02054), stage 2 or 3.

DeepSpeed brings weights together for the passes, reduces gradients in the backward pass, and moves to the CPU what its
settings say. What a step means stays as under every strategy: AdamW with the same groups of parameters, sums and no
means, a step that a broken gradient cannot spoil, training state by name. An update has as many parts as it has, so
DeepSpeed is told not to count them (`managed_gradient_accumulation`).

Computing in bfloat16 it holds the model in that type and master weights in float32, as DeepSpeed does: they begin with
what bfloat16 makes of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..families import LoadedModel
from ..optim import STATE_FIELDS, AdamWSettings, StepResult, adamw_options, parameter_groups
from ..ranks import Ranks, naming_lost_ranks
from .arrival import buffers_arrive, make_room
from .base import Held, Root
from .zero_partitions import Partitions, Piece, Stage2, Stage3, whole_tensor
from .zero_settings import check_values, engine_settings, import_deepspeed, in_pieces


class ZeroStrategy:
    """See `Strategy`."""

    def __init__(self, ranks: Ranks, settings: dict[str, Any], *, gathers: bool) -> None:
        """`settings`: DeepSpeed's own."""
        self._ranks = ranks
        self.gathers = gathers
        self._settings = settings
        self._stage3 = in_pieces(settings)
        self._reached: set[int] = set()
        self._apart = False

    def prepare(self, loaded: LoadedModel, settings: AdamWSettings) -> LoadedModel:
        """See `Strategy.prepare`."""
        self._device = loaded.device
        self._parameters = dict(loaded.model.named_parameters())
        self._trained = {name: parameter for name, parameter in self._parameters.items() if parameter.requires_grad}
        self._kinds = {name: (tuple(one.shape), one.dtype) for name, one in self._parameters.items()}
        self._adamw = _ReachedAdamW(parameter_groups(self._trained, settings), **adamw_options(self._trained, settings))
        for number, group in enumerate(self._adamw.param_groups):
            for parameter in group["params"]:
                parameter.register_post_accumulate_grad_hook(lambda _, number=number: self._reached.add(number))
        placed, engine = self._spread(loaded, self._adamw)
        self._placed, self._engine = placed, engine
        self._partitions: Partitions = (Stage3 if self._stage3 else Stage2)(engine, self._adamw)
        return placed

    def place(self, loaded: LoadedModel) -> LoadedModel:
        """See `Strategy.place`."""
        if self._stage3:
            return self._spread(loaded, None)[0]
        if loaded.compute_dtype == torch.bfloat16:
            for parameter in loaded.model.parameters():
                parameter.data = parameter.data.to(torch.bfloat16)
        return replace(loaded, ranks=self._ranks)

    @contextmanager
    def sampling(self) -> Iterator[LoadedModel]:
        """See `Strategy.sampling`."""
        if self._stage3 and not self.gathers:
            yield self._placed
            return
        with naming_lost_ranks(self._ranks.rank), self._partitions.gathered(), self._ranks.apart():
            self._apart = True
            try:
                yield self._placed
            finally:
                self._apart = False

    def clear(self) -> None:
        """See `Strategy.clear`."""
        self._reached.clear()
        self._partitions.clear()

    def backward(self, loss: Tensor) -> None:
        """See `Strategy.backward`."""
        with naming_lost_ranks(self._ranks.rank):
            # DeepSpeed takes the mean over the ranks.
            self._engine.backward(loss * self._ranks.world_size, scale_wrt_gas=False)

    def step(self, learning_rate: float, max_grad_norm: float | None) -> StepResult:
        """See `Strategy.step`."""
        groups = self._adamw.param_groups
        with naming_lost_ranks(self._ranks.rank):
            reached = torch.tensor([number in self._reached for number in range(len(groups))], dtype=torch.uint8)
            dist.all_reduce(reached, dist.ReduceOp.MAX)
            for group, has in zip(groups, reached.tolist(), strict=True):
                group["reached"], group["lr"] = bool(has), learning_rate * group["scale"]
            norm = self._partitions.step(max_grad_norm or 0.0)
        self.clear()
        return StepResult(math.inf if norm is None else norm, norm is None)

    def weights(self) -> dict[str, Held]:
        """See `Strategy.weights`."""
        return {name: self._held_weight(name, parameter) for name, parameter in self._parameters.items()}

    def optimizer_state(self) -> dict[str, Held]:
        """See `Strategy.optimizer_state`."""
        found = {}
        for name, parameter in self._trained.items():
            step = self._partitions.state(parameter)["step"]
            if step.item() > 0:
                found[f"{name}.step"] = Held.here(step)
                for field in ("exp_avg", "exp_avg_sq"):
                    piece = self._partitions.moment(parameter, field)
                    found[f"{name}.{field}"] = self._held(piece, self._kinds[name][0], torch.float32)
        return found

    def trainable(self) -> set[str]:
        """See `Strategy.trainable`."""
        return set(self._trained)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Tensor]) -> None:
        """See `Strategy.load`."""
        for name, parameter in self._trained.items():
            self._partitions.master(parameter).put(weights[name])
            saved = f"{name}.step" in optimizer_state
            for field in STATE_FIELDS:
                if field == "step":
                    self._partitions.state(parameter)[field].fill_(optimizer_state[f"{name}.step"] if saved else 0)
                elif saved:
                    self._partitions.moment(parameter, field).put(optimizer_state[f"{name}.{field}"])
                else:
                    self._partitions.moment(parameter, field).values.zero_()
        with naming_lost_ranks(self._ranks.rank):
            self._partitions.publish()
        self.clear()

    def _spread(self, loaded: LoadedModel, adamw: torch.optim.AdamW | None) -> tuple[LoadedModel, Any]:
        deepspeed = import_deepspeed(loaded.device)
        settings = engine_settings(self._settings, loaded, trained=adamw is not None)
        check_values(settings)
        root = Root(loaded.model)
        if self._stage3:
            self._cut(root, loaded, settings, deepspeed.zero.Init)
        engine, *_ = deepspeed.initialize(model=root, optimizer=adamw, config=settings, dist_init_required=False)

        def enter(work: Callable[[], Any]) -> Any:
            if self._apart:
                return work()
            self._ranks.passes += self._ranks.in_step
            with naming_lost_ranks(self._ranks.rank):
                return engine(work)

        return replace(loaded, entrance=enter, ranks=self._ranks), engine

    def _cut(self, root: Root, loaded: LoadedModel, settings: dict[str, Any], init: Any) -> None:
        """A weight is whole on the device only until it is cut, before the next one comes. `init`: DeepSpeed's."""
        ranks = self._ranks
        # What is cut already must be in the type of the computation.
        dtype = torch.bfloat16 if settings["bf16"]["enabled"] else None

        class Init(init):
            def _convert_to_zero_parameters(self, param_list: Iterator[nn.Parameter]) -> None:
                for parameter in param_list:
                    if not hasattr(parameter, "ds_id"):
                        make_room(parameter, loaded.device, ranks, dtype)
                        # Takes over the first rank's values, and cuts them.
                        self._zero_init_param(parameter)

        buffers_arrive(loaded.model, loaded.device, ranks)
        Init(module=root, config_dict_or_path=settings)

    def _held_weight(self, name: str, parameter: nn.Parameter) -> Held:
        shape, dtype = self._kinds[name]
        if name in self._trained:
            return self._held(self._partitions.master(parameter), shape, torch.float32)
        return self._held(self._partitions.frozen(parameter), shape, dtype)

    def _held(self, piece: Piece, shape: tuple[int, ...], dtype: torch.dtype) -> Held:
        return Held(shape, dtype, lambda: whole_tensor(piece, shape, self._device).to(dtype))


class _ReachedAdamW(torch.optim.AdamW):
    """Leaves alone groups of parameters that the gradient did not reach: a vision tower in a batch without pictures.
    DeepSpeed has a gradient of 0 for them, which would move them on by what earlier ones left."""

    def step(self, closure: Any = None) -> Any:
        """As torch's."""
        everything = self.param_groups
        self.param_groups = [group for group in everything if group["reached"]]
        try:
            return super().step(closure)
        finally:
            self.param_groups = everything
