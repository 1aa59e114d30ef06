"""Memory of this process. Standard library only: the heartbeat reads it before torch is there."""

from __future__ import annotations

import os
import sys


def resident_bytes() -> int:
    """Memory of this process, now where the system says so, else its peak."""
    if sys.platform == "linux":
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return peak_resident_bytes()


def peak_resident_bytes() -> int:
    """The most memory this process has had."""
    if sys.platform == "linux":
        # Not ru_maxrss: it starts at what the parent had when it forked.
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
