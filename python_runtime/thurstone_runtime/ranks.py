"""The ranks of a run: how they meet, and how they keep doing the same.

Collectives of gloo and NCCL wait for every rank. What one rank alone would skip, or fail at, must therefore be known to
all before the next one: that is what `highest` and `together` are for.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous as meet

from .errors import EngineError

POLL_SECONDS = 0.02
"""How often a rank that waits in `together` looks for the others, and shows that it lives."""


class Ranks:
    """This rank among the others. Alone where `world_size` is 1: then nothing here waits for anybody."""

    def __init__(self, rank: int = 0, world_size: int = 1, store: Any = None) -> None:
        """`store`: that of torch at which the ranks met, needed to wait longer than a collective may."""
        self.rank = rank
        self.world_size = world_size
        self._store = store
        self._meetings = 0
        self._apart = False
        self.passes = 0
        """Passes that the model has made with all ranks, which must have made as many: see `optimStep`."""

    @property
    def in_step(self) -> bool:
        """Whether every pass of the model must be made by all ranks together, as they are while weights are spread."""
        return self.world_size > 1 and not self._apart

    def highest(self, value: int) -> int:
        """The largest of what the ranks bring; all of them must call it."""
        if not self.in_step:
            return value
        with naming_lost_ranks(self.rank):
            found = torch.tensor(value, dtype=torch.int64)
            dist.all_reduce(found, dist.ReduceOp.MAX)
            return int(found.item())

    @contextmanager
    def together(self, tick: Callable[[], None] | None = None) -> Iterator[None]:
        """A block that no rank leaves well unless all do: one whose own was fine then raises `other_rank_failed`.

        Waits as long as a collective may; with `tick` as long as it takes, and shows that it lives by calling it. That
        is for blocks that each rank goes through at its own pace: reading, writing, sampling.
        """
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = error
        failed = self.highest(int(failure is not None)) if tick is None else self._any(failure is not None, tick)
        if failure is not None:
            raise failure
        if failed:
            raise EngineError("other_rank_failed", "another rank failed at the same call; its own error says why.")

    def _any(self, failed: bool, tick: Callable[[], None]) -> bool:
        if not self.in_step:
            return failed
        assert self._store is not None
        self._meetings += 1
        keys = [f"meeting {self._meetings} {rank}" for rank in range(self.world_size)]
        with naming_lost_ranks(self.rank):
            self._store.set(keys[self.rank], str(int(failed)))
            while not self._store.check(keys):
                tick()
                time.sleep(POLL_SECONDS)
            return any(self._store.get(key) == b"1" for key in keys)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """A block in which each rank has all it needs and goes its own way."""
        self._apart = True
        try:
            yield
        finally:
            self._apart = False


ALONE = Ranks()


def join(rank: int, world_size: int, rendezvous: str | None, timeout: float) -> Ranks:
    """Meets the other ranks: at a file on one host, or where torchrun's environment says (`rendezvous` None).

    `timeout` is how many seconds a collective may wait for the slowest rank. Raises `collective_failed`.
    """
    limit = datetime.timedelta(seconds=timeout)
    with naming_lost_ranks(rank):
        place = "env://" if rendezvous is None else f"file://{rendezvous}"
        store, _, _ = next(meet(place, rank, world_size, timeout=limit))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=store,
            rank=rank,
            world_size=world_size,
            timeout=limit,
        )
        # Now, not in the first step: a rank that cannot reach another one is to be told of at the start.
        dist.barrier()
    return Ranks(rank, world_size, store)


def rank_device(name: str, count: int, environment: Mapping[str, str]) -> str:
    """The device of this process where the configuration names none in particular: its own, of `count` on this machine.

    LOCAL_RANK of the environment says which process of this machine it is, as torchrun sets it, else RANK.
    """
    place = int(environment.get("LOCAL_RANK", environment.get("RANK", "0")))
    return f"cuda:{place % count}" if name in ("auto", "cuda") and count > 1 else name


@contextmanager
def naming_lost_ranks(rank: int) -> Iterator[None]:
    """Turns what torch raises when another rank is gone or late into `collective_failed`."""
    try:
        yield
    except RuntimeError as error:
        named = isinstance(error, EngineError)
        if named or not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
            raise
        reason = str(error).splitlines()[0]
        raise EngineError(
            "collective_failed",
            f"rank {rank} lost the other ranks: {reason}. One of them ended, or was slower than the time that a "
            "collective may wait (rank_timeout); the training state in memory is lost, resume from a checkpoint.",
        ) from error
