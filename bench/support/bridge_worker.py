"""A worker that takes tensors and gives tensors, and does nothing with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from thurstone_runtime.context import CallContext
from thurstone_runtime.ending import leave
from thurstone_runtime.launch import parse_launch
from thurstone_runtime.orphan import guard_against_orphaning, read_line, take_stdin
from thurstone_runtime.server import Server
from thurstone_runtime.verbs import EngineTable, Verb

Result = tuple[dict[str, Any], dict[str, np.ndarray]]


class Engine:
    """Like the other end of the raw socket, it makes what it sends only once."""

    def __init__(self) -> None:
        self._held = np.zeros(0, np.uint8)

    def give(self, params: dict[str, Any], _tensors: dict[str, np.ndarray], _context: CallContext) -> Result:
        """{bytes}: takes what comes, and sends so many bytes back."""
        size = int(params["bytes"])
        if size == 0:
            return {}, {}
        if self._held.size < size:
            self._held = np.ones(size, np.uint8)
        return {}, {"data": self._held[:size]}


def main() -> None:
    """As `python -m thurstone_runtime`, with the engine above."""
    pipe = take_stdin()
    launch = parse_launch(read_line(pipe))
    guard_against_orphaning(pipe, launch.parent_pid)
    leave(Server(launch, EngineTable({"give": Verb("give")}, Engine)).run())


if __name__ == "__main__":
    main()
