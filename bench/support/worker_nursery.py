"""Workers that start at once: one process imports what a worker needs, and forks a worker whenever it is asked to.

`python worker_nursery.py SOCKET` listens there, says so with a line, and ends when its stdin does. Each connection is a
`nursed_worker.py` that stands where the worker would. It sends its standard streams and its environment; a worker that
may meet with a fault (`faulty_worker.py`) works on them in its place; and the connection gets its wait status. A worker
whose client is gone is killed, as it would have been itself.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress

from faulty_worker import run


class Nursery:
    """All workers and those who asked for them."""

    def __init__(self, path: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(0, selectors.EVENT_READ, sys.exit)

    def serve(self) -> None:
        """Until stdin ends."""
        # What was imported is shared by all workers as long as nobody writes to it.
        gc.freeze()
        print("listening", flush=True)
        while True:
            for key, _ in self._selector.select():
                # A worker that ended in this round has taken its client out of it.
                if key.fd in self._selector.get_map():
                    key.data()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        with client.makefile("rb") as reader:
            first, streams, _, _ = socket.recv_fds(client, 1, 3)
            told = json.loads(first + reader.readline())
        pid = os.fork()
        if pid == 0:
            self._selector.close()
            self._listener.close()
            client.close()
            _become(streams, told)
        for descriptor in streams:
            os.close(descriptor)
        ended = os.pidfd_open(pid)
        self._selector.register(client, selectors.EVENT_READ, lambda: os.kill(pid, signal.SIGKILL))
        self._selector.register(ended, selectors.EVENT_READ, lambda: self._bury(pid, ended, client))

    def _bury(self, pid: int, ended: int, client: socket.socket) -> None:
        _, status = os.waitpid(pid, 0)
        self._selector.unregister(ended)
        self._selector.unregister(client)
        os.close(ended)
        # A client that Node killed is not there to be told.
        with client, suppress(BrokenPipeError):
            client.sendall(str(status).encode())


def _become(streams: list[int], told: dict[str, str]) -> None:
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(told)
    sys.argv = ["thurstone_runtime"]
    fault = json.loads(os.environ.pop("THURSTONE_FAULT"))
    with open(os.environ.pop("THURSTONE_WORKERS"), "a") as workers:
        print(os.getpid(), file=workers)
    try:
        run(fault)
    finally:
        os._exit(1)


if __name__ == "__main__":
    # What the first model brings in.
    import transformers.models.qwen2_5_vl.modeling_qwen2_5_vl  # noqa: F401

    Nursery(sys.argv[1]).serve()
