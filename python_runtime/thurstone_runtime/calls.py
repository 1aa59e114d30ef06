"""The book of requests: which wait, which run, which were answered, which were cancelled before they came.

It makes a request run at most once while its id is known, whatever is sent again. Safe to use from several threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from .context import CallContext
from .protocol import Buffer, Message
from .verbs import Verb

MAX_STORED_REPLIES = 64
"""Answers of stateful methods kept for a request that is sent again."""

MAX_EARLY_CANCELS = 1024
"""Cancellations remembered that came before their request."""


@dataclass(slots=True, eq=False)
class Call:
    """A request on its way through the worker."""

    message: Message
    verb: Verb
    context: CallContext
    state: Literal["waiting", "running", "answered"] = "waiting"


class CallBook:
    """Calls by id; see the methods."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Call] = {}
        self._replies: OrderedDict[str, list[Buffer]] = OrderedDict()
        self._early_cancels: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        """Calls that wait or run."""
        return len(self._open)

    def stored_reply(self, identity: str) -> list[Buffer] | None:
        """The frames that already answered a stateful request of this id, if they are still held."""
        with self._lock:
            return self._replies.get(identity)

    def add(self, call: Call) -> bool:
        """Takes a new call; False if one of the same id waits or runs, whose answer will serve both."""
        with self._lock:
            if call.message.id in self._open:
                return False
            self._open[call.message.id] = call
            if call.message.id in self._early_cancels:
                del self._early_cancels[call.message.id]
                call.context.cancel()
            return True

    def start(self, call: Call) -> bool:
        """Before a call is run; False if it was answered while it waited."""
        with self._lock:
            if call.state != "waiting":
                return False
            call.state = "running"
            return True

    def finish(self, call: Call, frames: list[Buffer]) -> bool:
        """With a call's answer; False if there was one before, and this one must not be sent."""
        with self._lock:
            if call.state == "answered":
                return False
            call.state = "answered"
            del self._open[call.message.id]
            if call.verb.kind == "stateful":
                self._replies[call.message.id] = frames
                if len(self._replies) > MAX_STORED_REPLIES:
                    self._replies.popitem(last=False)
            return True

    def cancel(self, identity: str) -> Call | None:
        """Flags the call of this id, or remembers the id. Returns a call that still waits, to be answered at once."""
        with self._lock:
            call = self._open.get(identity)
            if call is None:
                self._early_cancels[identity] = None
                if len(self._early_cancels) > MAX_EARLY_CANCELS:
                    self._early_cancels.popitem(last=False)
                return None
            call.context.cancel()
            return call if call.state == "waiting" else None

    def cancel_all(self) -> None:
        """Flags every open call: none is started any more, and the running ones end at their next boundary."""
        with self._lock:
            for call in self._open.values():
                call.context.cancel()
