"""Memory that runs out, of the CPU or of the device, as one error of the engine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from .errors import EngineError

Method = TypeVar("Method", bound=Callable[..., Any])

_CPU_MEMORY_MESSAGES = ("not enough memory", "can't allocate memory")
"""What torch says in a plain RuntimeError when the CPU's memory is full."""


def reports_full_memory(method: Method) -> Method:
    """Turns every way in which memory runs out into `out_of_memory`."""

    @functools.wraps(method)
    def guarded(*arguments: Any) -> Any:
        try:
            return method(*arguments)
        except (MemoryError, RuntimeError) as error:
            full = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
                message in str(error) for message in _CPU_MEMORY_MESSAGES
            )
            if not full:
                raise
            reason = str(error)
        # Outside the handler, where the traceback no longer holds the tensors of the failed work.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise EngineError(
            "out_of_memory",
            f"{method.__name__} ran out of memory: {reason.splitlines()[0] if reason else 'no more to allocate'} "
            "Use smaller groups or micro-batches, shorter completions, smaller pictures or gradient checkpointing.",
        )

    return guarded  # pyright: ignore[reportReturnType]
