"""How a worker leaves, and the exit statuses that say why; docs/nodes.md lists those of workers on other machines."""

from __future__ import annotations

import os
import signal
import sys

EXIT_USAGE = 2
"""Exit status when the flags are wrong, as that of argparse."""
EXIT_REFUSED = 11
"""Exit status when the parent refuses hello."""
EXIT_BROKEN = 12
"""Exit status when the thread that owns the sockets fails, which is a bug."""
EXIT_LOST = 13
"""Exit status when the connection to a control plane on another machine has ended."""
EXIT_NOT_JOINED = 14
"""Exit status of a worker that was not let in, or found nobody."""
EXIT_TERMINATED = 128 + signal.SIGTERM
"""Exit status after SIGTERM, or Ctrl-C at a worker that dialled in."""


def leave(status: int) -> None:
    """Ends the process from any thread, without exit hooks that native threads could hold up."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
