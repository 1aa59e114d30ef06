"""`python -m thurstone_runtime`: a worker, started by its parent, which writes the launch line to stdin.

With `--connect` it is one on another machine, which dials in; see docs/nodes.md.
"""

from __future__ import annotations

import argparse
import os
import signal

import zmq

from .dial import DialError, addresses, join, read_worker_key
from .ending import EXIT_NOT_JOINED, EXIT_TERMINATED, EXIT_USAGE, leave
from .joining import add_join_arguments, place_of
from .launch import Launch, parse_launch
from .orphan import guard_against_orphaning, read_line, take_stdin
from .selftest import selftest_table
from .server import Server
from .verbs import policy_table

TABLES = {"policy": policy_table, "selftest": selftest_table}


def main() -> None:
    """Learns of the launch, serves, and ends the process with the server's status."""
    parser = argparse.ArgumentParser(prog="python -m thurstone_runtime", description=__doc__)
    parser.add_argument("--engine", choices=sorted(TABLES), default="policy", help="what answers (default: policy)")
    add_join_arguments(parser)
    arguments = parser.parse_args()
    launch = started_by_parent(parser) if arguments.connect is None else dialled_in(parser, arguments)
    leave(Server(launch, TABLES[arguments.engine]()).run())


def started_by_parent(parser: argparse.ArgumentParser) -> Launch:
    """From now on this process ends with its parent."""
    pipe = take_stdin()
    try:
        launch = parse_launch(read_line(pipe))
    except ValueError as error:
        parser.error(f"bad launch line on stdin: {error}")
    guard_against_orphaning(pipe, launch.parent_pid)
    return launch


def dialled_in(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Launch:
    """From the first greeting on this process ends with its connection, and with `thurstone worker` in any case."""
    # Until the server takes over there is nothing to end in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: os._exit(EXIT_TERMINATED))
    if arguments.parent_pid is not None:
        guard_against_orphaning(take_stdin(), arguments.parent_pid)
    try:
        addresses(arguments.connect)
        rank, world_size = place_of(arguments)
    except DialError as error:
        parser.exit(EXIT_USAGE, f"thurstone worker: {error}\n")
    try:
        return join(arguments.connect, read_worker_key(arguments.key), rank, world_size, arguments.wait)
    except (DialError, zmq.ZMQError) as error:
        parser.exit(EXIT_NOT_JOINED, f"thurstone worker: {error}\n")


if __name__ == "__main__":
    main()
