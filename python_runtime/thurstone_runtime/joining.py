"""The flags of a worker that dials in, and which one it is: what torchrun's environment, or a person, says."""

from __future__ import annotations

import argparse
import json
import math
import os

from .dial import DialError

WAIT_SECONDS = 600.0

ALLOWED = "THURSTONE_ALLOWED_FOLDERS"
"""Variable with the folders a run may write in, as JSON, whatever its control plane names; not set: where it likes."""


def add_join_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them; without --connect none of them is used."""
    parser.add_argument("--connect", metavar="ADDRESS", help="tcp://HOST:PORT of the control plane (worker_address)")
    parser.add_argument("--key", metavar="FILE", help="this worker's file of `thurstone keys`")
    parser.add_argument(
        "--rank", type=int, help="which worker this is, from 0 (default: RANK, as torchrun sets it, or 0)"
    )
    parser.add_argument("--world-size", type=int, help="how many there are: num_processes (default: WORLD_SIZE, or 1)")
    parser.add_argument(
        "--rendezvous",
        metavar="HOST:PORT",
        help="where the workers meet each other: an address of rank 0 that all reach, without torchrun",
    )
    parser.add_argument(
        "--allow",
        metavar="FOLDER",
        nargs="+",
        help="the run may write in these folders and nowhere else (default: the current folder)",
    )
    parser.add_argument("--wait", type=_seconds, default=WAIT_SECONDS, help="seconds to try for (default: 600)")
    # Of `thurstone worker`, whose pipe stdin is then: also under torchrun, which hands it on.
    parser.add_argument("--parent-pid", type=int, help=argparse.SUPPRESS)


def place_of(arguments: argparse.Namespace) -> tuple[int, int]:
    """Rank and number of workers; the environment that torch reads says the same afterwards. Raises DialError."""
    if arguments.key is None:
        raise DialError("--connect needs --key FILE: this worker's file of `thurstone keys`.")
    os.environ[ALLOWED] = json.dumps([os.path.abspath(folder) for folder in arguments.allow or [os.curdir]])
    rank = _number("RANK", arguments.rank, 0)
    world_size = _number("WORLD_SIZE", arguments.world_size, 1)
    if not 0 <= rank < world_size:
        raise DialError(f"there is no rank {rank} among {world_size} workers. Ranks go from 0 to {world_size - 1}.")
    if arguments.rendezvous is not None:
        host, _, port = arguments.rendezvous.rpartition(":")
        if not host or not port.isdecimal():
            raise DialError(f'--rendezvous is "{arguments.rendezvous}"; write HOST:PORT.')
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = host, port
    if world_size > 1 and "MASTER_ADDR" not in os.environ:
        raise DialError(
            "several workers must meet each other: start them with torchrun, or give all of them the same "
            "--rendezvous HOST:PORT, an address of rank 0's machine."
        )
    return rank, world_size


def own_roots() -> list[str] | None:
    """Folders that this machine's user lets a run write in; None: all that it asks for."""
    text = os.environ.get(ALLOWED)
    return None if text is None else json.loads(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 0")
    return seconds


def _number(variable: str, given: int | None, otherwise: int) -> int:
    """What a flag says, or the environment, which must not say anything else."""
    text = os.environ.get(variable)
    if text is not None and not text.isdecimal():
        raise DialError(f'the variable {variable} is "{text}", which is no number.')
    if given is None:
        given = otherwise if text is None else int(text)
    if text is not None and given != int(text):
        raise DialError(f"the flag says {given}, and the variable {variable} says {text}. Leave one out.")
    os.environ[variable] = str(given)
    return given
