"""Imports of large packages without the work of the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def large_imports() -> Iterator[None]:
    """Around the imports of torch and transformers, at the start of a process.

    They make more than a million objects, which all stay. The collector would look through them again and again to find
    nothing (a sixth of the time of the import), and in every full collection that comes later: so it does not run here,
    and does not see them afterwards.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
