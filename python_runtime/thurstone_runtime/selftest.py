"""Methods without torch for tests, the doctor and benchmarks: everything the bridge can do, and nothing of a model."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from .context import CallContext
from .errors import EngineError
from .verbs import EngineTable, Verb

VERBS = {
    "echo": Verb("echo"),
    "sleep": Verb("sleep"),
    "sleep_beside": Verb("sleep", lane="disk"),
    "spin": Verb("spin"),
    "count": Verb("count", kind="stateful"),
    "fail": Verb("fail"),
    "exit": Verb("exit"),
    "noop_fast": Verb("noop_fast", lane="side"),
    "allocate": Verb("allocate"),
}

Result = tuple[dict[str, Any], dict[str, np.ndarray]]


class SelftestEngine:
    """See the methods; all but `noop_fast` and `sleep_beside` run on the main thread."""

    def __init__(self) -> None:
        self._count = 0

    def echo(self, params: dict[str, Any], tensors: dict[str, np.ndarray], _context: CallContext) -> Result:
        """Sends back what came."""
        return params, tensors

    def sleep(self, params: dict[str, Any], _tensors: dict[str, np.ndarray], context: CallContext) -> Result:
        """{seconds, steps = 1}: sleeps in steps; after each a progress event {step} and a look at cancellation."""
        steps = int(params.get("steps", 1))
        context.set_phase("sleeping")
        for step in range(1, steps + 1):
            time.sleep(params["seconds"] / steps)
            context.progress(step=step)
            context.check_cancelled()
        return {"steps": steps}, {}

    def spin(self, params: dict[str, Any], _tensors: dict[str, np.ndarray], _context: CallContext) -> Result:
        """{seconds}: computes in pure Python, deaf to everything: what a stuck method looks like."""
        until = time.monotonic() + params["seconds"]
        rounds = 0
        while time.monotonic() < until:
            rounds += 1
        return {"rounds": rounds}, {}

    def count(self, _params: dict[str, Any], _tensors: dict[str, np.ndarray], _context: CallContext) -> Result:
        """Stateful: one more than the last time."""
        self._count += 1
        return {"count": self._count}, {}

    def fail(self, params: dict[str, Any], _tensors: dict[str, np.ndarray], _context: CallContext) -> Result:
        """{code = null, message, retryable = false}: fails by a code, or without one as any exception would."""
        if params.get("code") is None:
            raise RuntimeError(params["message"])
        raise EngineError(params["code"], params["message"], retryable=params.get("retryable", False))

    def exit(self, params: dict[str, Any], _tensors: dict[str, np.ndarray], _context: CallContext) -> Result:
        """{status = 3}: ends the process at once, as a crash would."""
        os._exit(int(params.get("status", 3)))

    def noop_fast(self, _params: dict[str, Any], _tensors: dict[str, np.ndarray], _context: CallContext) -> Result:
        """Does nothing, beside the main thread."""
        return {}, {}

    def allocate(self, params: dict[str, Any], _tensors: dict[str, np.ndarray], _context: CallContext) -> Result:
        """{bytes}: one u8 tensor "data" of that size, all ones."""
        return {}, {"data": np.ones(int(params["bytes"]), np.uint8)}


def selftest_table() -> EngineTable:
    """The methods above."""
    return EngineTable(VERBS, SelftestEngine)
