"""Messages on their way to a socket, which only the thread that owns it may use."""

from __future__ import annotations

from collections import deque

import zmq

from .protocol import Buffer


class Outbox:
    """Messages that wait for a socket. Any thread appends, the owner of the socket sends."""

    def __init__(self, connection: zmq.Socket[bytes]) -> None:
        self.connection = connection
        self.messages: deque[list[Buffer]] = deque()
        self.interest = 0

    def flush(self) -> None:
        """Sends until nothing is left or the socket is full. Large frames are not copied."""
        while self.messages:
            try:
                self.connection.send_multipart(self.messages[0], zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self.messages.popleft()
