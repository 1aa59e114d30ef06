"""Tries to get in where workers dial in, in ways that must fail: strangers.py ADDRESS KEY_FILE, a key that is listed.

A client without CURVE, and a worker that greets with a token that has been used, or with one of its own making.
"""

from __future__ import annotations

import dataclasses
import sys

import zmq

from thurstone_runtime.dial import join, read_worker_key, secure
from thurstone_runtime.launch import Curve, Launch
from thurstone_runtime.protocol import VERSION, Message, decode, encode

WAIT_MS = 5_000
KEPT: list[zmq.Socket[bytes]] = []
"""Connections that stay until the end: a token is void once the connection that showed it has ended."""


def plain_client(address: str) -> str:
    """What becomes of one: "refused", or "let in"."""
    connection = zmq.Context.instance().socket(zmq.DEALER)
    monitor = connection.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    connection.connect(address)
    connection.send_multipart(greeting(Launch("x", "x", address, address, 0, 2, 500, 1024, 1)))
    return "let in" if monitor.poll(WAIT_MS) or connection.poll(0) else "refused"


def greeting(launch: Launch) -> list[bytes]:
    """The first message of a worker on the data socket."""
    about = {"pid": 1, "protocol": list(VERSION), "runtime": "x", "python": "3", "methods": {}, "dtypes": []}
    hello = {"token": launch.token, "role": "data", "rank": launch.rank, **about}
    return [bytes(frame) for frame in encode(Message("hello", "hello-1", launch.session, params=hello))]


def greet(launch: Launch, curve: Curve) -> str:
    """The code of the refusal, or "let in"."""
    connection = zmq.Context.instance().socket(zmq.DEALER)
    KEPT.append(connection)
    secure(connection, curve, launch.data)
    connection.connect(launch.data)
    connection.send_multipart(greeting(launch))
    if not connection.poll(WAIT_MS):
        return "no answer"
    answer = decode(connection.recv_multipart())
    return "let in" if answer.error is None else str(answer.error["code"])


def main() -> None:
    """Ends with 1 when anything got in that must not."""
    address, key_file = sys.argv[1:]
    curve = read_worker_key(key_file)
    launch = join(address, curve, 0, 2, 10)
    outcomes = {
        "plain client": (plain_client(address), "refused"),
        "made-up token": (greet(dataclasses.replace(launch, token="made up"), curve), "HELLO_TOKEN"),
        "token of another rank": (greet(dataclasses.replace(launch, rank=1), curve), "HELLO_TOKEN"),
        "token, first time": (greet(launch, curve), "let in"),
        "token, replayed": (greet(launch, curve), "HELLO_REPLAYED"),
    }
    for name, (found, _) in outcomes.items():
        print(f"{name}: {found}")
    zmq.Context.instance().destroy(linger=0)
    sys.exit(any(found != expected for found, expected in outcomes.values()))


if __name__ == "__main__":
    main()
