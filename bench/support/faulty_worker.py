"""A worker that meets with a fault.

The fault is told as a mapping: `kind` (see `FAULTS`); the place, which is a method of the engine (`verb`), a `phase` as
heartbeats tell it, and `units` of work done in it; at which time the place is reached (`times`, from 1); the `rank`;
and a file to be made when it happens (`mark`). The worker is the real one. What is added is the moment, and what the
machine then does to it: a signal, a call that does not return, memory that is not there, a clock that is set.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from thurstone_runtime import __main__, engine
from thurstone_runtime.context import CallContext

CLOCK_SET_BY = 86_400.0
"""Seconds."""


def kill() -> None:
    """As the kernel does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def freeze() -> None:
    """All threads stop, sockets stay open."""
    os.kill(os.getpid(), signal.SIGSTOP)


def slow() -> None:
    """A call that does not return, while the process lives and beats."""
    time.sleep(3600)


def set_clock() -> None:
    """The time of day jumps, forward and then further back."""
    true_time = time.time
    calls = iter(range(sys.maxsize))
    time.time = lambda: true_time() + (CLOCK_SET_BY if next(calls) % 2 else -CLOCK_SET_BY)


def fill_memory() -> None:
    """An allocation that no machine can serve."""
    torch.empty(2**50, dtype=torch.uint8)


FAULTS: dict[str, Callable[[], None]] = {
    "kill": kill,
    "freeze": freeze,
    "slow": slow,
    "clock": set_clock,
    "memory": fill_memory,
}


class Trap:
    """Lets a fault happen where the worker comes to its place."""

    def __init__(self, fault: dict[str, Any]) -> None:
        self._fault = fault
        self._left = int(fault["times"])
        """Times that the place is to be reached until then."""
        self._inside = False
        """Whether the verb is under way."""
        self._place = ("", 0)
        """The phase of the verb, and the units of work done in it."""
        self._watch_verb(fault["verb"])
        self._watch_context()

    def _watch_verb(self, name: str) -> None:
        verb = getattr(engine.Engine, name)

        def watched(instance: Any, params: Any, tensors: Any, context: Any) -> Any:
            self._inside = True
            try:
                return verb(instance, params, tensors, context)
            finally:
                self._inside = False

        setattr(engine.Engine, name, watched)

    def _watch_context(self) -> None:
        set_phase, tick = CallContext.set_phase, CallContext.tick

        def entered(context: CallContext, name: str) -> None:
            set_phase(context, name)
            self._come_to(name, 0)

        def ticked(context: CallContext) -> None:
            tick(context)
            self._come_to(self._place[0], self._place[1] + 1)

        CallContext.set_phase, CallContext.tick = entered, ticked

    def _come_to(self, phase: str, units: int) -> None:
        self._place = (phase, units)
        if not self._inside or self._place != (self._fault["phase"], self._fault["units"]):
            return
        self._left -= 1
        # Memory that is short stays short.
        if self._left == 0 or (self._left < 0 and self._fault["kind"] == "memory"):
            if self._left == 0:
                Path(self._fault["mark"]).touch()
            FAULTS[self._fault["kind"]]()


def run(fault: dict[str, Any] | None) -> None:
    """Is the worker of this process; without a fault, or with one of another rank, an undisturbed one."""
    if fault is not None and fault["rank"] == int(os.environ.get("RANK", "0")):
        Trap(fault)
    __main__.main()
