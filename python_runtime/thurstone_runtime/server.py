"""The worker process: one thread owns the sockets, the main thread does the model work, two threads the side
work, and one writes files.

Sockets are not thread-safe, so every other thread leaves its messages in an outbox and wakes the owner through a socket
pair. The signal handler of C writes to the same pair, so SIGTERM is seen even while the main thread computes.
"""

from __future__ import annotations

import os
import platform
import secrets
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from queue import SimpleQueue
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from . import __version__
from .calls import Call, CallBook
from .context import CallContext, Pulse
from .dial import secure
from .ending import EXIT_BROKEN, EXIT_LOST, EXIT_REFUSED, EXIT_TERMINATED, leave
from .errors import CancelledError, EngineError, MethodUnknownError, WireError, describe_error
from .launch import Launch
from .memory import resident_bytes
from .outbox import Outbox
from .protocol import VERSION, Buffer, Limits, Message, decode, encode
from .tensors import ITEM_SIZES, to_wire
from .verbs import EngineTable

BYE_GRACE = 5.0
"""Seconds that running work gets to reach a boundary after `bye`."""
TERMINATE_GRACE = 1.0
"""The same after SIGTERM that nobody else acts on."""

LANES = {"model": 0, "side": 2, "disk": 1}
"""Threads of each lane besides the main one, which is that of the model."""
QUEUED_MESSAGES = 32
"""High-water mark of both sockets, in messages."""
MAX_OPEN_CALLS = 256
"""Above it the data socket is not read, so that pressure reaches the sender."""
MAX_WAITING_EVENTS = 1000
"""Progress events are dropped while this many messages wait to be sent."""
READ_AT_ONCE = 64
LOGGED_REFUSALS = 20

ENDS = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)
"""What ends a worker that dialled in when it happens to one of its connections."""


class Server:
    """A worker between greeting and exit. Made and run on the main thread."""

    def __init__(self, launch: Launch, table: EngineTable) -> None:
        self._launch = launch
        self._table = table
        self._limits = Limits(launch.max_message_bytes)
        self._calls = CallBook()
        self._pulses = {"model": Pulse(), "disk": Pulse()}
        self._lanes: dict[str, SimpleQueue[Call | None]] = {lane: SimpleQueue() for lane in LANES}
        self._engine: Any = None
        self._engine_error: Exception | None = None
        self._engine_ready = threading.Event()
        self._refused = 0
        self._asked = False
        self._exit_status: int | None = None
        self._exit_at = float("inf")
        self._main_ended = False
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._context = zmq.Context()
        nonce = secrets.token_hex(4)
        self._monitors: dict[zmq.Socket[bytes], str] = {}
        self._hello_ids = {role: f"hello-{role}-{nonce}" for role in ("data", "control")}
        identity = f"worker-{launch.rank}-{nonce}".encode()
        self._data = Outbox(self._connect(launch.data, identity))
        self._control = Outbox(self._connect(launch.control, identity))

    def run(self) -> int:
        """Serves until told to stop; returns the exit status."""
        # Ctrl-C reaches the whole group, and the parent decides what it means; a worker that dialled in has none.
        signal.signal(signal.SIGINT, signal.SIG_IGN if self._launch.curve is None else lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)

        owner = threading.Thread(target=self._own_sockets, name="sockets", daemon=True)
        owner.start()
        for lane, count in LANES.items():
            for index in range(count):
                threading.Thread(target=self._work, args=(lane,), name=f"{lane}-{index}", daemon=True).start()
        self._build_engine()
        self._work("model")
        self._main_ended = True
        self._wake()
        owner.join()
        return self._exit_status or 0

    # ---- the threads that work

    def _build_engine(self) -> None:
        try:
            self._engine = self._table.make()
        except Exception as error:
            self._engine_error = error
            traceback.print_exc()
        self._pulses["model"].enter(None, "idle")
        self._engine_ready.set()

    def _work(self, lane: str) -> None:
        # The call is never bound to a name here: it would hold the memory of its tensors while the queue is empty.
        while self._answer(self._lanes[lane].get()):
            pass

    def _answer(self, call: Call | None) -> bool:
        """Runs one call and posts its answer; False when the lane is to end."""
        if call is None:
            return False
        if not self._calls.start(call):
            return True
        pulse = self._pulses.get(call.verb.lane)
        if pulse is not None:
            pulse.enter(call.message.method, "running")
        try:
            frames = self._run(call)
        except Exception as error:
            frames = self._error_frames(call.message.id, error)
        if pulse is not None:
            pulse.enter(None, "idle")
        if self._calls.finish(call, frames):
            self._post(self._data, frames)
        return True

    def _run(self, call: Call) -> list[Buffer]:
        call.context.check_cancelled()
        self._engine_ready.wait()
        if self._engine_error is not None:
            raise EngineError("engine_unavailable", "the engine could not be built") from self._engine_error
        tensors = {name: tensor.to_numpy() for name, tensor in call.message.tensors.items()}
        result, produced = getattr(self._engine, call.verb.method)(call.message.params, tensors, call.context)
        reply = Message(
            "res",
            call.message.id,
            self._launch.session,
            params=result,
            tensors={name: to_wire(value) for name, value in produced.items()},
        )
        return encode(reply, self._limits)

    def _error_frames(self, identity: str, error: Exception) -> list[Buffer]:
        return encode(Message("err", identity, self._launch.session, error=describe_error(error)))

    def _post(self, outbox: Outbox, frames: list[Buffer]) -> None:
        outbox.messages.append(frames)
        self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # a full pair wakes as well as one more byte
            self._wake_writer.send(b"\0")

    # ---- the thread that owns the sockets

    def _connect(self, address: str, identity: bytes) -> zmq.Socket[bytes]:
        connection = self._context.socket(zmq.DEALER)
        connection.setsockopt(zmq.IDENTITY, identity)
        connection.setsockopt(zmq.LINGER, 0)
        connection.setsockopt(zmq.IMMEDIATE, 1)
        connection.setsockopt(zmq.SNDHWM, QUEUED_MESSAGES)
        connection.setsockopt(zmq.RCVHWM, QUEUED_MESSAGES)
        connection.setsockopt(zmq.MAXMSGSIZE, self._launch.max_message_bytes)
        if self._launch.curve is not None:
            secure(connection, self._launch.curve, address)
            self._monitors[connection.get_monitor_socket(ENDS)] = address
        connection.connect(address)
        return connection

    def _own_sockets(self) -> None:
        try:
            self._greet()
            self._loop()
            for outbox in (self._control, self._data):
                outbox.flush()
                outbox.connection.close()
        except Exception:
            traceback.print_exc()
            leave(EXIT_BROKEN)

    def _loop(self) -> None:
        poller = zmq.Poller()
        poller.register(self._wake_reader, zmq.POLLIN)
        for monitor in self._monitors:
            poller.register(monitor, zmq.POLLIN)
        interval = self._launch.heartbeat_ms / 1000
        next_heartbeat = time.monotonic()
        while not self._main_ended:
            now = time.monotonic()
            if now >= self._exit_at:
                leave(EXIT_TERMINATED if self._exit_status is None else self._exit_status)
            if now >= next_heartbeat:
                self._beat()
                next_heartbeat = now + interval
            for outbox in (self._control, self._data):
                outbox.flush()
                reading = outbox is self._control or len(self._calls) < MAX_OPEN_CALLS
                interest = (zmq.POLLIN if reading else 0) | (zmq.POLLOUT if outbox.messages else 0)
                if interest != outbox.interest:
                    poller.register(outbox.connection, interest)
                    outbox.interest = interest
            until = min(next_heartbeat, self._exit_at)
            ready = dict(poller.poll(max(0, ceil((until - time.monotonic()) * 1000))))
            if self._wake_reader.fileno() in ready:
                self._heed(self._drain_wakes())
            for monitor, address in self._monitors.items():
                if monitor in ready:
                    self._end_with_connection(address, recv_monitor_message(monitor)["event"])
            for outbox in (self._control, self._data):
                if ready.get(outbox.connection, 0) & zmq.POLLIN:
                    self._read(outbox)

    def _end_with_connection(self, address: str, event: int) -> None:
        # There is no coming back in a run: what the others share with this worker is gone.
        if self._exit_status is not None:
            leave(self._exit_status)
        why = (
            "cannot be made; firewalls and tunnels must let both ports through"
            if event == zmq.EVENT_CONNECT_RETRIED
            else "has ended, and this worker with it"
        )
        print(f"the connection to the control plane at {address} {why}", file=sys.stderr)
        leave(EXIT_LOST)

    def _drain_wakes(self) -> bytes:
        with suppress(BlockingIOError):
            return self._wake_reader.recv(4096)
        return b""

    def _greet(self) -> None:
        for role, outbox in (("data", self._data), ("control", self._control)):
            hello = {
                "token": self._launch.token,
                "role": role,
                "rank": self._launch.rank,
                "pid": os.getpid(),
                "protocol": list(VERSION),
                "runtime": __version__,
                "python": platform.python_version(),
                "methods": {name: verb.kind for name, verb in self._table.verbs.items()},
                "dtypes": list(ITEM_SIZES),
            }
            outbox.messages.append(encode(Message("hello", self._hello_ids[role], self._launch.session, params=hello)))

    def _beat(self) -> None:
        # A heartbeat is worth something only now: it never waits behind others.
        if not self._control.messages:
            model, disk = self._pulses["model"], self._pulses["disk"]
            # Files that are written beside the model must get on as well, and must not hide a model that does not.
            watched = disk if model.method is None and disk.method is not None else model
            params = {**watched.snapshot(), "rss": resident_bytes()}
            beat = Message("evt", "heartbeat", self._launch.session, method="heartbeat", params=params)
            self._control.messages.append(encode(beat))

    def _read(self, outbox: Outbox) -> None:
        for _ in range(READ_AT_ONCE):
            # Asked first, because an exception for "nothing there" takes longer than to read a small message.
            if not int(outbox.connection.get(zmq.EVENTS)) & zmq.POLLIN:
                return
            frames = outbox.connection.recv_multipart(zmq.NOBLOCK, copy=False)
            self._receive([frame.buffer for frame in frames])

    def _receive(self, frames: list[Buffer]) -> None:
        try:
            message = decode(frames, self._limits)
        except WireError as error:
            self._refuse(f"{error.code}: {error}")
            if error.request_id is not None and error.session == self._launch.session:
                self._data.messages.append(self._error_frames(error.request_id, error))
            return
        if message.session != self._launch.session:
            self._refuse(f"{message.kind} of another launch")
        elif message.kind == "req":
            self._admit(message)
        elif message.kind == "cancel":
            self._cancel(message.id)
        elif message.kind == "bye":
            self._stop(0, BYE_GRACE)
        elif message.id in self._hello_ids.values() and message.kind in ("hello", "res", "err"):
            self._welcome(message)
        else:
            self._refuse(f"a worker has no use for {message.kind}")

    def _welcome(self, message: Message) -> None:
        if message.error is not None:
            print(f"the parent refused hello: {message.error['code']}: {message.error['message']}", file=sys.stderr)
            leave(EXIT_REFUSED)

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        if self._refused <= LOGGED_REFUSALS:
            print(f"refused message {self._refused}: {reason}", file=sys.stderr, flush=True)

    def _admit(self, message: Message) -> None:
        stored = self._calls.stored_reply(message.id)
        if stored is not None:
            self._data.messages.append(stored)
            return
        self._asked = True
        verb = self._table.verbs.get(message.method or "")
        if verb is None:
            error = MethodUnknownError(message.method or "", list(self._table.verbs))
            self._data.messages.append(self._error_frames(message.id, error))
            return
        context = CallContext(
            deadline=None if message.deadline is None else time.monotonic() + message.deadline / 1000,
            pulse=self._pulses.get(verb.lane) or Pulse(),
            send_progress=self._progress_sender(message.id),
        )
        call = Call(message, verb, context)
        if not self._calls.add(call):
            return
        if context.cancelled:
            self._answer_cancelled(call)
        else:
            self._lanes[verb.lane].put(call)

    def _progress_sender(self, identity: str) -> Callable[[dict[str, Any]], None]:
        def send(fields: dict[str, Any]) -> None:
            if len(self._data.messages) < MAX_WAITING_EVENTS:
                event = Message("evt", identity, self._launch.session, method="progress", params=fields)
                self._post(self._data, encode(event))

        return send

    def _cancel(self, identity: str) -> None:
        call = self._calls.cancel(identity)
        if call is not None:
            self._answer_cancelled(call)

    def _answer_cancelled(self, call: Call) -> None:
        frames = self._error_frames(call.message.id, CancelledError())
        if self._calls.finish(call, frames):
            self._data.messages.append(frames)

    def _heed(self, wakes: bytes) -> None:
        """Signals, which are among the bytes that woke this thread; an ignored one is not."""
        if signal.SIGINT in wakes:
            # Nothing is answered first: the others are to learn that this worker is gone, and not that they cancelled.
            print("interrupted: this worker ends, and the run with it", file=sys.stderr)
            leave(EXIT_TERMINATED)
        if signal.SIGTERM in wakes:
            self._terminate()

    def _terminate(self) -> None:
        """SIGTERM. Schedulers send it, once or more often, to every process of a job; a parent or control plane that is
        one as well then saves, for which it needs this worker. Its `bye` follows, or its end."""
        dialled_in, ending = self._launch.curve is not None, self._exit_status is not None
        if not dialled_in and not ending and os.getppid() == self._launch.parent_pid:
            print("SIGTERM is left to the parent, which ends this worker", file=sys.stderr, flush=True)
        elif not dialled_in or ending:
            self._stop(EXIT_TERMINATED, TERMINATE_GRACE)
        elif not self._asked:
            leave(EXIT_TERMINATED)
        elif self._exit_at == float("inf"):
            grace = self._launch.left_to_control
            print(
                f"SIGTERM is left to the control plane for {grace:.0f} s; SIGINT ends this worker at once",
                file=sys.stderr,
                flush=True,
            )
            self._exit_at = time.monotonic() + grace

    def _stop(self, status: int, grace: float) -> None:
        """Ends all lanes at their next boundary, and the process when they are deaf; at once when asked twice."""
        if self._exit_status is not None:
            leave(self._exit_status or status)
        self._exit_status = status
        self._exit_at = time.monotonic() + grace
        self._calls.cancel_all()
        self._lanes["model"].put(None)
        for lane, count in LANES.items():
            for _ in range(count):
                self._lanes[lane].put(None)
