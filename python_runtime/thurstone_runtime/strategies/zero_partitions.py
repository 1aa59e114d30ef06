"""What DeepSpeed's optimizers of stage 2 and 3 hold at this rank: pieces of parameters in flat tensors, and how to get
at them. What is used here and stands in no documentation of DeepSpeed is that of the version in `zero_settings`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import prod
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Piece(NamedTuple):
    """This rank's part of something of a parameter's shape."""

    values: Tensor
    """[count or more]: behind the part there may be padding."""
    start: int
    """Where it begins in the flat whole."""
    count: int

    def put(self, whole: Tensor) -> None:
        """Takes over this rank's part."""
        own = whole.reshape(-1)[self.start : self.start + self.count]
        self.values[: self.count].copy_(own)


def whole_tensor(piece: Piece, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Puts the pieces of all ranks together, to the bit; all of them call it."""
    whole = torch.zeros(prod(shape), dtype=piece.values.dtype, device=device)
    whole[piece.start : piece.start + piece.count].copy_(piece.values[: piece.count])
    # A sum of bytes of which all but one are 0: a sum of numbers would lose the sign of a zero.
    dist.all_reduce(whole.view(torch.uint8))
    return whole.view(shape)


class _Place(NamedTuple):
    flat: int
    """Number of the flat tensor."""
    offset: int
    """Where the piece begins in it."""
    start: int
    count: int


class Partitions(Protocol):
    """The master weights, moments and gradients of one rank."""

    def master(self, parameter: nn.Parameter) -> Piece:
        """Of the float32 weights."""
        ...

    def frozen(self, parameter: nn.Parameter) -> Piece:
        """Of a weight that is not trained."""
        ...

    def state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """AdamW's state of the flat tensor that the parameter's piece is in."""
        ...

    def moment(self, parameter: nn.Parameter, field: str) -> Piece:
        """Of AdamW's state."""
        ...

    def step(self, max_grad_norm: float) -> float | None:
        """Applies what is accumulated; the norm of the gradient, or None when it is not finite: then nothing changes.
        A limit of 0 is none."""
        ...

    def clear(self) -> None:
        """Drops what is accumulated."""
        ...

    def publish(self) -> None:
        """Makes the model compute with the master weights as they are now."""
        ...

    def gathered(self) -> AbstractContextManager[None]:
        """All weights whole at this rank, for passes that do not go through the engine."""
        ...


class _Flat:
    """What both stages have in common."""

    def __init__(self, engine: Any, adamw: torch.optim.AdamW, flats: list[Tensor]) -> None:
        self._engine, self._zero, self._adamw, self._flats = engine, engine.optimizer, adamw, flats
        self._places: dict[nn.Parameter, _Place] = {}
        for flat in flats:
            # Made here, not in the first step: a state that is not there could not be taken over, and one whose count
            # is 0 was never stepped.
            adamw.state[flat] = {
                "step": torch.zeros((), device=flat.device),
                "exp_avg": torch.zeros_like(flat, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(flat, requires_grad=False),
            }

    def master(self, parameter: nn.Parameter) -> Piece:
        return self._piece(parameter, self._flats[self._places[parameter].flat].detach())

    def state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        return self._adamw.state[self._flats[self._places[parameter].flat]]

    def moment(self, parameter: nn.Parameter, field: str) -> Piece:
        return self._piece(parameter, self.state(parameter)[field])

    def step(self, max_grad_norm: float) -> float | None:
        self._zero.clip_grad = max_grad_norm
        self._engine.step()
        return None if self._zero.overflow else float(self._engine.get_global_grad_norm())

    def _piece(self, parameter: nn.Parameter, flat: Tensor) -> Piece:
        place = self._places[parameter]
        return Piece(flat[place.offset : place.offset + place.count], place.start, place.count)

    def _clear_gradients(self) -> None:
        self._zero.zero_grad()
        for flat in self._flats:
            # There where gradients are kept on the CPU, whichever parameters the next ones are of.
            if flat.grad is not None:
                flat.grad.zero_()


class Stage2(_Flat):
    """`DeepSpeedZeroOptimizer`: weights whole at every rank, gradients and optimizer in pieces."""

    def __init__(self, engine: Any, adamw: torch.optim.AdamW) -> None:
        zero = engine.optimizer
        super().__init__(engine, adamw, zero.single_partition_of_fp32_groups)
        for number, group in enumerate(zero.bit16_groups):
            for parameter in group:
                mapping = parameter._hp_mapping
                self._places[parameter] = (
                    _Place(number, 0, 0, 0)
                    if mapping is None
                    else _Place(
                        number,
                        mapping.hp_fragment_address.start,
                        mapping.lp_fragment_address.start,
                        mapping.hp_fragment_address.numel,
                    )
                )

    def frozen(self, parameter: nn.Parameter) -> Piece:
        first = dist.get_rank() == 0
        return Piece(parameter.detach().reshape(-1), 0, parameter.numel() if first else 0)

    def clear(self) -> None:
        zero = self._zero
        self._clear_gradients()
        zero.micro_step_id = -1
        for number in range(len(self._flats)):
            zero.averaged_gradients[number] = None
            zero.all_grad_tensors[number] = None
        if zero.cpu_offload:
            zero.reset_cpu_buffers()
            zero._offload_accumulated_param_ids = set()
            # A parameter that the next part does not reach, but the one after it, would begin with what it had.
            for kept in zero.accumulated_grads_in_cpu.values():
                kept.zero_()

    def publish(self) -> None:
        self._zero.update_lp_params()

    def gathered(self) -> AbstractContextManager[None]:
        return nullcontext()


class Stage3(_Flat):
    """`DeepSpeedZeroOptimizer_Stage3`: everything in pieces."""

    def __init__(self, engine: Any, adamw: torch.optim.AdamW) -> None:
        zero = engine.optimizer
        super().__init__(engine, adamw, zero.fp32_partitioned_groups_flat)
        self._rank = dist.get_rank()
        for group in zero.fp16_groups:
            for parameter in group:
                flat, offset, size = zero.grad_position[zero.get_param_id(parameter)]
                self._places[parameter] = _Place(flat, offset, *self._share(parameter, size))

    def frozen(self, parameter: nn.Parameter) -> Piece:
        values = getattr(parameter, "ds_tensor").detach().reshape(-1)  # noqa: B009 - DeepSpeed's, no attribute of torch
        return Piece(values, *self._share(parameter, len(values)))

    def clear(self) -> None:
        self._clear_gradients()
        # A parameter that the next part does not reach would bring what it had.
        self._zero.grad_partitions_flat_buffer.zero_()
        self._zero._offload_boundary_param_ids = set()

    def publish(self) -> None:
        self._zero.parameter_offload.partition_all_parameters()
        for number in range(len(self._flats)):
            self._zero._reassign_or_swap_out_partitioned_parameters(number)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        import deepspeed

        offload = self._zero.parameter_offload
        offload.partition_all_parameters()
        with deepspeed.zero.GatheredParameters(list(offload.module.parameters())):
            for hook in (*offload.forward_hooks, *offload.backward_hooks):
                hook.remove()
            offload.forward_hooks, offload.backward_hooks = [], []
            try:
                yield
            finally:
                offload._register_deepspeed_module(offload.module)

    def _share(self, parameter: Any, size: int) -> tuple[int, int]:
        """Where this rank's part begins, and how much of it is no padding."""
        start = self._rank * size
        return start, max(0, min(size, parameter.ds_numel - start))
