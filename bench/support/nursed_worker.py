"""Stands where a worker would: `python nursed_worker.py SOCKET`. See `worker_nursery.py`, which listens there."""

from __future__ import annotations

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as nursery:
    nursery.connect(sys.argv[1])
    socket.send_fds(nursery, [json.dumps(dict(os.environ)).encode() + b"\n"], [0, 1, 2])
    status = int(nursery.recv(16))
if os.WIFSIGNALED(status):
    os.kill(os.getpid(), os.WTERMSIG(status))
os._exit(os.WEXITSTATUS(status))
