"""Every rank holds everything, and the gradients are added up once per update.

torch's DistributedDataParallel wants one `forward` that all work goes through, and adds up in every backward pass
unless it is told not to. Here a rank may make any number of passes, so the sum is taken when the update is due.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..optim import StepResult
from ..ranks import naming_lost_ranks
from .single import SingleStrategy

BUCKET_BYTES = 64 * 2**20
"""So much travels at once: enough that the number of messages costs nothing, little enough to need no room."""


class DdpStrategy(SingleStrategy):
    """See `Strategy`."""

    def step(self, learning_rate: float, max_grad_norm: float | None) -> StepResult:
        """See `Strategy.step`."""
        with naming_lost_ranks(self._ranks.rank):
            self._sum_gradients()
        return super().step(learning_rate, max_grad_norm)

    @torch.no_grad()
    def _sum_gradients(self) -> None:
        """A parameter that no rank has a gradient for stays without one, as with a single rank."""
        parameters = list(self._trained.values())
        found = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        reached = [parameter for parameter, has in zip(parameters, found.tolist(), strict=True) if has]
        for bucket in _buckets(reached):
            gradients = [_gradient(parameter) for parameter in bucket]
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            dist.all_reduce(flat)
            for gradient, summed in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
                gradient.copy_(summed.view_as(gradient))


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _buckets(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        if bucket and size + parameter.nbytes > BUCKET_BYTES:
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.nbytes
    if bucket:
        yield bucket
