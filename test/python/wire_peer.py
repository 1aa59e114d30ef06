"""The parent's side of the bridge for tests: binds the two routers, starts a worker and speaks TF1 with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from thurstone_runtime.protocol import Message, decode, encode
from thurstone_runtime.tensors import from_numpy

RUNTIME = Path(__file__).parents[2] / "python_runtime"
PATIENCE = 30.0
"""Seconds after which a test gives up; nothing is expected to take nearly as long."""


class Worker:
    """A worker process and the parent's two sockets. Use as a context manager."""

    def __init__(
        self,
        *,
        command: Sequence[str] = ("-m", "thurstone_runtime", "--engine", "selftest"),
        heartbeat_ms: int = 50,
        max_message_bytes: int = 256 << 20,
        greet: bool = True,
        parent_pid: int | None = None,
    ) -> None:
        self.session = "launch-1"
        self.token = "let me in"
        self._folder = tempfile.TemporaryDirectory(prefix="wire-")
        self._zmq = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        for role in ("data", "control"):
            router = self._zmq.socket(zmq.ROUTER)
            router.setsockopt(zmq.LINGER, 0)
            router.setsockopt(zmq.ROUTER_MANDATORY, 1)
            router.bind(f"ipc://{self._folder.name}/{role}")
            self._sockets[role] = router
        self._inbox: dict[str, deque[Message]] = {"data": deque(), "control": deque()}
        self.identity = b""
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        )
        launch = {
            "session": self.session,
            "token": self.token,
            "data": f"ipc://{self._folder.name}/data",
            "control": f"ipc://{self._folder.name}/control",
            "rank": 0,
            "worldSize": 1,
            "heartbeatMs": heartbeat_ms,
            "maxMessageBytes": max_message_bytes,
            "parentPid": parent_pid or os.getpid(),
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(launch).encode() + b"\n")
        self.process.stdin.flush()
        self.hello = {role: self.receive(role, lambda message: message.kind == "hello") for role in self._sockets}
        if greet:
            for role, hello in self.hello.items():
                self.send(role, Message("hello", hello.id, self.session))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stderr):
            if pipe is not None:
                pipe.close()
        self._zmq.destroy(linger=0)
        self._folder.cleanup()

    def errors(self) -> str:
        """What the worker wrote to stderr, once it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def send(self, role: str, message: Message) -> None:
        """To the worker's socket of that role."""
        self.send_frames(role, encode(message))

    def send_frames(self, role: str, frames: Sequence[bytes | bytearray | memoryview]) -> None:
        """Any frames, well-formed or not."""
        self._sockets[role].send_multipart([self.identity, *frames])

    def receive(self, role: str, wanted: Callable[[Message], bool]) -> Message:
        """The first message of that role that is wanted; the others before it are kept for later calls."""
        kept: deque[Message] = deque()
        until = time.monotonic() + PATIENCE
        while True:
            if self._inbox[role]:
                message = self._inbox[role].popleft()
                if wanted(message):
                    self._inbox[role].extendleft(reversed(kept))
                    return message
                kept.append(message)
            elif self._sockets[role].poll(max(0.0, until - time.monotonic()) * 1000):
                identity, *frames = self._sockets[role].recv_multipart()
                self.identity = identity
                self._inbox[role].append(decode(frames))
            else:
                raise TimeoutError(f"no such message on {role}; worker status {self.process.poll()}, had {kept}")

    def request(
        self,
        identity: str,
        method: str,
        params: Mapping[str, Any] | None = None,
        tensors: Mapping[str, np.ndarray] | None = None,
        *,
        deadline: int | None = None,
    ) -> None:
        """Sends a request and returns at once."""
        self.send(
            "data",
            Message(
                "req",
                identity,
                self.session,
                method=method,
                deadline=deadline,
                params=dict(params or {}),
                tensors={name: from_numpy(array) for name, array in (tensors or {}).items()},
            ),
        )

    def answer(self, identity: str) -> Message:
        """The answer to a request, `res` or `err`."""
        return self.receive("data", lambda message: message.id == identity and message.kind in ("res", "err"))

    def call(self, identity: str, method: str, params: Mapping[str, Any] | None = None, **options: Any) -> Message:
        """A request and its answer."""
        self.request(identity, method, params, **options)
        return self.answer(identity)

    def cancel(self, identity: str) -> None:
        """Over the control socket, as Node does."""
        self.send("control", Message("cancel", identity, self.session))

    def progress(self, identity: str) -> Message:
        """The next progress event of a request."""
        return self.receive("data", lambda message: message.id == identity and message.kind == "evt")

    def heartbeat(self, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The fields of the next heartbeat that is wanted; earlier ones are thrown away."""

        def fits(message: Message) -> bool:
            return message.method == "heartbeat" and wanted(message.params)

        params = self.receive("control", fits).params
        self._inbox["control"].clear()
        return params
