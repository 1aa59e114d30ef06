"""Training state as it was at one moment: copied into the machine's memory, written while training goes on.

The copy takes what a copy in memory takes; the disk, and the hashes of what goes onto it, take their time beside the
next steps. Each rank copies the bytes of its own files, so all ranks together hold the training state once more. The
memory is kept for the next snapshot; on CUDA it is pinned, which the device copies into several times as fast.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import EngineError
from .ranks import Ranks
from .state_files import Content, flat_bytes, to_the_end, write_state

BLOCK_BYTES = 64 * 2**20
"""A power of two, because the allocator of pinned memory rounds up to one."""


class Snapshots:
    """One snapshot at a time: taken by the thread of the model, written by another one."""

    def __init__(self, device: torch.device) -> None:
        """`device`: where the training state is."""
        self._pinned = device.type == "cuda"
        self._device = device
        self._blocks: list[Tensor] = []
        self._taken: dict[str, Content] | None = None
        self._writing = threading.Lock()

    def take(self, contents: Mapping[str, Content], tick: Callable[[], None], ranks: Ranks) -> int:
        """Copies; the number of bytes. All ranks call it together. One that was taken before is dropped."""
        total = sum(content.size for content in contents.values())
        with ranks.together(tick):
            if self._writing.locked():
                raise EngineError("bad_argument", "a snapshot is being written; wait for its end before the next one.")
            self._taken = None
            self._reserve(total)
        taken, position = {}, 0
        with to_the_end(contents.values(), ranks):
            for name, content in contents.items():
                start = position
                for part in content.parts:
                    position = self._copy(part, position)
                    tick()
                taken[name] = Content(position - start, list(self._slices(start, position)))
        if self._pinned:
            torch.cuda.synchronize(self._device)
        self._taken = taken
        return total

    def write(self, folder: Path, tick: Callable[[], None]) -> list[dict[str, Any]]:
        """Writes what was taken; see `state_files.write_state`. Each rank by itself."""
        with self._writing:
            taken, self._taken = self._taken, None
            if taken is None:
                raise EngineError("bad_argument", "there is no snapshot to be written; take one first.")
            return write_state(folder, taken, tick)

    def _reserve(self, size: int) -> None:
        missing = -(-size // BLOCK_BYTES) - len(self._blocks)
        try:
            for _ in range(missing):
                self._blocks.append(torch.empty(BLOCK_BYTES, dtype=torch.uint8, pin_memory=self._pinned))
        except (MemoryError, RuntimeError) as error:
            self._blocks.clear()
            raise EngineError(
                "out_of_memory",
                f"there is no room for a copy of the training state ({size} bytes) in the machine's memory: "
                f"{str(error).splitlines()[0]}. Set async_save to false, which writes without a copy.",
            ) from error

    def _copy(self, part: bytes | Tensor, position: int) -> int:
        """Copies to there; where it ends. On CUDA the copy may still be under way."""
        source = torch.frombuffer(bytearray(part), dtype=torch.uint8) if isinstance(part, bytes) else flat_bytes(part)
        end = position + len(source)
        for target in self._slices(position, end):
            target.copy_(source[: len(target)], non_blocking=self._pinned)
            source = source[len(target) :]
        return end

    def _slices(self, start: int, end: int) -> Iterator[Tensor]:
        while start < end:
            block, offset = divmod(start, BLOCK_BYTES)
            length = min(BLOCK_BYTES - offset, end - start)
            yield self._blocks[block][offset : offset + length]
            start += length
