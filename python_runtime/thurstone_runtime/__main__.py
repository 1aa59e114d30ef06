"""`python -m thurstone_runtime`: a worker, started by its parent, which writes the launch line to stdin."""

from __future__ import annotations

import argparse

from .launch import parse_launch
from .orphan import guard_against_orphaning, read_line, take_stdin
from .selftest import selftest_table
from .server import Server, leave
from .verbs import policy_table

TABLES = {"policy": policy_table, "selftest": selftest_table}


def main() -> None:
    """Reads the launch line, serves, and ends the process with the server's status."""
    parser = argparse.ArgumentParser(prog="python -m thurstone_runtime", description=__doc__)
    parser.add_argument("--engine", choices=sorted(TABLES), default="policy", help="what answers (default: policy)")
    arguments = parser.parse_args()

    pipe = take_stdin()
    try:
        launch = parse_launch(read_line(pipe))
    except ValueError as error:
        parser.error(f"bad launch line on stdin: {error}")
    guard_against_orphaning(pipe, launch.parent_pid)
    leave(Server(launch, TABLES[arguments.engine]()).run())


if __name__ == "__main__":
    main()
