"""What the parent tells a worker at its start: a JSON object on the first line of stdin, or the answer to a worker that
dialled in.

The fields are those of docs/protocol.md section 2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .protocol import MAX_NAME_CHARS


@dataclass(frozen=True, slots=True)
class Curve:
    """Keys of a connection over a network, in Z85."""

    public: bytes
    secret: bytes = field(repr=False)
    server: bytes
    """Public key of the control plane."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Addresses, secrets and limits of one launch."""

    session: str
    """Launch id; messages of another one are dropped."""
    token: str = field(repr=False)
    """Shown to the parent in hello."""
    data: str
    """Address of the parent's data socket."""
    control: str
    """Address of the parent's control socket."""
    rank: int
    world_size: int
    heartbeat_ms: int
    max_message_bytes: int
    parent_pid: int
    curve: Curve | None = None
    """Of a worker that dialled in from another machine; None for one whose parent is on this one."""
    left_to_control: float = 0.0
    """Seconds for which a worker that dialled in leaves SIGTERM to its control plane."""


def parse_launch(line: bytes) -> Launch:
    """Raises ValueError that names the first field that is missing or wrong."""
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("the launch line must be a JSON object")
    launch = Launch(
        session=_text(fields, "session"),
        token=_text(fields, "token"),
        data=_text(fields, "data"),
        control=_text(fields, "control"),
        rank=_integer(fields, "rank", least=0),
        world_size=_integer(fields, "worldSize", least=1),
        heartbeat_ms=_integer(fields, "heartbeatMs", least=1),
        max_message_bytes=_integer(fields, "maxMessageBytes", least=1024),
        parent_pid=_integer(fields, "parentPid", least=1),
    )
    if len(launch.session) > MAX_NAME_CHARS:
        raise ValueError(f'launch field "session" must have at most {MAX_NAME_CHARS} characters')
    return launch


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f'launch field "{key}" must be a string that is not empty')
    return value


def _integer(fields: dict[str, Any], key: str, *, least: int) -> int:
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f'launch field "{key}" must be an integer of at least {least}')
    return value
