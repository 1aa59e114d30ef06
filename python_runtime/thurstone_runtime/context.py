"""What a running method can ask and tell: cancelled? how long left? this is how far I am."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .errors import CancelledError, DeadlineError


class Pulse:
    """Signs of life of the model work, written by the main thread and read by the heartbeat."""

    def __init__(self) -> None:
        self.progress = 0
        self.phase = "starting"
        self.method: str | None = None
        self._last = time.monotonic()

    def tick(self) -> None:
        """One unit of work is done."""
        self.progress += 1
        self._last = time.monotonic()

    def enter(self, method: str | None, phase: str) -> None:
        """Another method, or none, is at work from now on; counts as progress."""
        self.method, self.phase = method, phase
        self.tick()

    def snapshot(self) -> dict[str, Any]:
        """The fields of a heartbeat that speak of progress; the age is in whole milliseconds."""
        age = int((time.monotonic() - self._last) * 1000)
        return {"progress": self.progress, "progress_age_ms": age, "phase": self.phase, "method": self.method}


class CallContext:
    """Handed to every method. Methods of the side lane get a pulse of their own, lest they hide a stuck main thread."""

    def __init__(
        self, *, deadline: float | None, pulse: Pulse, send_progress: Callable[[dict[str, Any]], None]
    ) -> None:
        self.deadline = deadline
        """When the caller stops waiting, on the clock of `time.monotonic()`; None for never."""
        self._cancelled = False
        self._pulse = pulse
        self._send_progress = send_progress

    def cancel(self) -> None:
        """The next `check_cancelled` raises. Called by the thread that owns the sockets."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether the caller has cancelled."""
        return self._cancelled

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def check_cancelled(self) -> None:
        """Call at boundaries where the work can stop: raises CancelledError, or DeadlineError, a kind of it."""
        if self._cancelled:
            raise CancelledError
        if self.expired:
            raise DeadlineError

    def tick(self) -> None:
        """Shows that work goes on, without a message: between micro-batches, decode steps, layers of a load."""
        self._pulse.tick()

    def progress(self, **fields: Any) -> None:
        """Sends a progress event with these plain values to the caller, and ticks."""
        self._pulse.tick()
        self._send_progress(fields)

    def set_phase(self, name: str) -> None:
        """Names what is being done ("prefill", "backward") in heartbeats, and ticks."""
        self._pulse.phase = name
        self._pulse.tick()
