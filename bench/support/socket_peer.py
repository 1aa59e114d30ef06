"""The other end of the raw socket: a request is two u64, bytes that follow and bytes to send back, and the former."""

from __future__ import annotations

import socket
import struct
import sys

import numpy as np

REQUEST = struct.Struct("<QQ")


def receive_exactly(connection: socket.socket, target: memoryview) -> bool:
    """Fills `target`; False at the end of the stream."""
    while target:
        received = connection.recv_into(target)
        if received == 0:
            return False
        target = target[received:]
    return True


def serve(connection: socket.socket, memory: str) -> None:
    """Until the other end closes. Receives into memory that is `kept`, or `new` for every message."""
    head = memoryview(bytearray(REQUEST.size))
    kept = memoryview(b"")
    while receive_exactly(connection, head):
        sent, wanted = REQUEST.unpack(head)
        if len(kept) < max(sent, wanted):
            kept = memoryview(bytearray(max(sent, wanted)))
        body = np.empty(sent, np.uint8).data if memory == "new" else kept[:sent]
        if not receive_exactly(connection, body):
            return
        connection.sendall(kept[:wanted])


def main(path: str, memory: str) -> None:
    """Listens at `path`, says so on stdout, and serves one connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        print("listening", flush=True)
        connection, _ = listener.accept()
        with connection:
            serve(connection, memory)


if __name__ == "__main__":
    main(*sys.argv[1:])
