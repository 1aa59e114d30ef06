"""A worker must not outlive its parent, whatever the worker is doing and however the parent dies.

Two guards, because each has a hole. Linux sends SIGKILL when the parent's spawning thread ends: other systems do not,
and it comes to nothing if the parent was gone before we asked. The end of stdin is portable, but its thread needs the
interpreter lock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

EXIT_ORPHANED = 10
"""Exit status of a worker whose stdin ended."""

MAX_LAUNCH_BYTES = 64 * 1024

_PR_SET_PDEATHSIG = 1


def take_stdin() -> int:
    """Moves stdin to a descriptor that child processes do not inherit, and leaves them an empty one. Returns it."""
    private = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return private


def read_line(descriptor: int) -> bytes:
    """The first line of a pipe, unbuffered. Raises ValueError if it ends, or is too long, before a newline."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte or len(line) == MAX_LAUNCH_BYTES:
            raise ValueError(f"stdin gave no complete line of at most {MAX_LAUNCH_BYTES} bytes")
        line += byte
    return line


def guard_against_orphaning(descriptor: int, parent_pid: int) -> None:
    """From now on this process ends with its parent. `descriptor` is the parent's pipe."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        # The parent may have died before the line above; a launcher in between is no reason to end.
        if os.getppid() != parent_pid and not _alive(parent_pid):
            os._exit(EXIT_ORPHANED)
    threading.Thread(target=_exit_at_end, args=(descriptor,), name="orphan-guard", daemon=True).start()


def _exit_at_end(descriptor: int) -> None:
    try:
        # os.read holds no lock of Python's io layer, so a blocked read cannot disturb an orderly exit.
        while os.read(descriptor, 4096):
            pass
    finally:
        os._exit(EXIT_ORPHANED)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
