"""A worker that nobody started: it dials in to a control plane on another machine, by CURVE, and asks to take part.

Until the control plane is up it tries again; once it was let in, the end of the connection is the end of the worker.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from . import __version__
from .launch import Curve, Launch
from .protocol import VERSION, Message, decode, encode

HEARTBEAT_MS = 5_000
"""Milliseconds between signs of life of an idle connection."""
HEARTBEAT_TIMEOUT_MS = 30_000
"""Milliseconds after which a silent connection has ended."""
CONNECT_MS = 10_000
"""Milliseconds after which a connection that nobody answers has failed."""
RETRY_MS = 1_000
"""Milliseconds until a connection that failed is tried again."""
REMIND_SECONDS = 30
ANSWER_SECONDS = 10
"""How long a control plane that let this worker in may take to answer it."""
JOIN_SESSION = "join"


class DialError(Exception):
    """The worker cannot take part; the message says why and what to do."""


def read_worker_key(path: str) -> Curve:
    """The pair of a file that `thurstone keys` made. Raises DialError, which never shows what is in it."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise DialError(f'the key file {path} cannot be read: {error}. "thurstone keys" makes one.') from error
    if mode & 0o077:
        raise DialError(f"{path} has mode {mode:o}: others than its owner can get at the secret key. chmod 600 it.")
    try:
        fields = json.loads(text)
        if fields["kind"] != "thurstone worker key":
            raise ValueError("kind")
        return Curve(*(_key(fields[name]) for name in ("public_key", "secret_key", "control_key")))
    except (ValueError, KeyError, TypeError, struct.error):
        raise DialError(f'{path} is no worker key of "thurstone keys".') from None


def _key(text: Any) -> bytes:
    if not isinstance(text, str) or len(z85.decode(text)) != 32:
        raise ValueError("no 32 bytes in Z85")
    return text.encode("ascii")


def secure(connection: zmq.Socket[bytes], curve: Curve, address: str) -> None:
    """What a socket needs before it connects to an address on a network."""
    connection.setsockopt(zmq.IPV6, "[" in address)
    connection.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
    connection.setsockopt(zmq.CURVE_PUBLICKEY, curve.public)
    connection.setsockopt(zmq.CURVE_SECRETKEY, curve.secret)
    connection.setsockopt(zmq.CURVE_SERVERKEY, curve.server)
    connection.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    connection.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)


def addresses(address: str) -> dict[str, str]:
    """Both sockets of a control plane: the address given, and that of the next port. Raises DialError."""
    host, port = _host_and_port(address)
    return {"control": address, "data": f"tcp://{host}:{port + 1}"}


def _host_and_port(address: str) -> tuple[str, int]:
    match = re.fullmatch(r"tcp://(\[[^\s\[\]]+\]|[^\s\[\]:/]+):(\d{1,5})", address, re.ASCII)
    if match is None:
        raise DialError(f'"{address}" is no address; write tcp://HOST:PORT, the worker_address of the configuration.')
    if not 1 <= int(match[2]) <= 65534:
        raise DialError(f'"{address}" has port {match[2]}; it and the next one must be ports, so 1 to 65534.')
    return match[1], int(match[2])


def join(address: str, curve: Curve, rank: int, world_size: int, wait: float) -> Launch:
    """Asks to take part until the control plane is there, `wait` seconds at most. Raises DialError, zmq.ZMQError."""
    both = addresses(address)
    with _dialer(curve, address) as (connection, monitor):
        _connect(connection, monitor, address, wait)
        identity = f"join-{secrets.token_hex(4)}"
        request = {
            "role": "join",
            "rank": rank,
            "world_size": world_size,
            "host": platform.node(),
            "pid": os.getpid(),
            "protocol": list(VERSION),
            "runtime": __version__,
        }
        connection.send_multipart(encode(Message("hello", identity, JOIN_SESSION, params=request)))
        if not connection.poll(ANSWER_SECONDS * 1000):
            raise DialError(f"{address} let this worker in, and then did not answer within {ANSWER_SECONDS} s.")
        answer = decode(connection.recv_multipart())
        if answer.error is not None:
            reason, code = answer.error["message"], answer.error["code"]
            raise DialError(f"the control plane at {address} refused rank {rank}: {reason} ({code}).")
        fields = answer.params
    _say(f"joined {address} as rank {rank} of {world_size}")
    return Launch(
        session=fields["session"],
        token=fields["token"],
        data=both["data"],
        control=both["control"],
        rank=rank,
        world_size=world_size,
        heartbeat_ms=int(fields["heartbeatMs"]),
        max_message_bytes=int(fields["maxMessageBytes"]),
        parent_pid=os.getpid(),
        curve=curve,
        left_to_control=fields["leaveSigtermMs"] / 1000,
    )


@contextmanager
def _dialer(curve: Curve, address: str) -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    context = zmq.Context()
    connection = context.socket(zmq.DEALER)
    connection.setsockopt(zmq.IDENTITY, f"join-{socket.gethostname()[:64]}-{secrets.token_hex(4)}".encode())
    connection.setsockopt(zmq.LINGER, 0)
    connection.setsockopt(zmq.RECONNECT_IVL, RETRY_MS)
    secure(connection, curve, address)
    monitor = connection.get_monitor_socket()
    try:
        yield connection, monitor
    finally:
        connection.disable_monitor()
        context.destroy(linger=0)


def _connect(connection: zmq.Socket[bytes], monitor: zmq.Socket[bytes], address: str, wait: float) -> None:
    """Returns when the control plane has let this worker in."""
    connection.connect(address)
    until = time.monotonic() + wait
    remind = time.monotonic() + 1
    state = None
    while time.monotonic() < until:
        if time.monotonic() >= remind:
            why, left = state or _silence(address), max(0.0, until - time.monotonic())
            _say(f"waiting for the control plane at {address}: {why}; giving up in {left:.0f} s")
            remind = time.monotonic() + REMIND_SECONDS
        if not monitor.poll(200):
            continue
        event = recv_monitor_message(monitor)["event"]
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            return
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            raise DialError(
                f"the control plane at {address} does not list this worker's key. Make the worker's file with "
                '"thurstone keys" in the folder of its worker_key_file, and start the run again, which reads the list.'
            )
        if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            state = "what answers there does not speak CURVE as a control plane does"
        elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            state = (
                "the connection is closed before a greeting: the control plane is not up behind a tunnel, or its key "
                "is not the control_key of the key file"
            )
        elif event == zmq.EVENT_CLOSED:
            state = None
    why = state or _silence(address)
    raise DialError(f"gave up after {wait:.0f} s of trying to reach the control plane at {address}: {why}.")


def _silence(address: str) -> str:
    """Why nobody answers."""
    host, port = _host_and_port(address)
    try:
        socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return f"the name {host} cannot be resolved ({error})"
    return "nobody answers there yet"


def _say(text: str) -> None:
    print(f"thurstone worker: {text}", file=sys.stderr, flush=True)
