"""TF1 messages: encoding, and decoding with every check of docs/protocol.md section 1.

Nothing of a received message is interpreted before it is checked, and nothing is allocated from a length it claims:
a first pass over the header builds no objects, tensors stay views of their frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgpack

from .errors import WireError
from .tensors import ITEM_SIZES, WireTensor, byte_length

MAGIC = b"TFM"
VERSION = (1, 0)
KINDS = ("req", "res", "err", "evt", "cancel", "hello", "bye")
MAX_HEADER_BYTES = 1 << 20
HARMLESS_HEADER_BYTES = 1024
"""Headers up to this size cannot claim much: no list more elements than the header has bytes, in a few MB all told."""
MAX_TENSORS = 1024
MAX_RANK = 8
MAX_NAME_CHARS = 64
"""Longest id, launch id, method and tensor name."""
MAX_DEPTH = 128
"""Deepest nesting of a header; its own map is the first level."""
SAFE_INTEGER = 2**53 - 1
"""Largest integer that JavaScript holds exactly; larger ones travel as decimal strings or i64 tensors."""

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Limits:
    """What a receiver takes, in bytes."""

    max_message_bytes: int = 2 << 30


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `deadline` is in milliseconds from when it was sent; `error` is set on kind "err" only."""

    kind: str
    id: str
    session: str
    method: str | None = None
    deadline: int | None = None
    params: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, WireTensor] = field(default_factory=dict)
    error: dict[str, Any] | None = None


def encode(message: Message, limits: Limits = DEFAULT_LIMITS) -> list[Buffer]:
    """Frames of a message; tensor frames are the tensors' own memory, which must not change until they are sent.

    Raises WireError for values that cannot travel and for messages over a limit.
    """
    for part in (message.params, message.error):
        if part is not None:
            _refuse_unplain(part, level=2, too_deep="HEADER_FIELD")
    header: dict[str, Any] = {"v": VERSION, "t": message.kind, "id": message.id, "s": message.session}
    if message.method is not None:
        header["m"] = message.method
    if message.deadline is not None:
        header["dl"] = message.deadline
    header["p"] = message.params
    if message.tensors:
        header["x"] = [
            {"n": name, "d": tensor.dtype, "sh": tensor.shape, "f": frame, "nb": tensor.data.nbytes}
            for frame, (name, tensor) in enumerate(message.tensors.items())
        ]
    if message.error is not None:
        header["e"] = message.error
    if len(message.tensors) > MAX_TENSORS:
        raise WireError("TENSOR_COUNT", f"{len(message.tensors)} tensors; a message holds at most {MAX_TENSORS}")
    try:
        packed = msgpack.Packer(use_bin_type=True).pack(header)
    except (ValueError, TypeError, OverflowError) as error:
        raise WireError("HEADER_FIELD", f"the header cannot be packed: {error}") from error
    frames: list[Buffer] = [MAGIC + bytes([VERSION[0]]), packed]
    frames.extend(tensor.data for tensor in message.tensors.values())
    _check_sizes([memoryview(frame) for frame in frames], limits)
    return frames


def decode(frames: Sequence[Buffer], limits: Limits = DEFAULT_LIMITS) -> Message:
    """The message in `frames`; its tensors are views of them. Raises WireError, and nothing else, on any input.

    Where the header could be read, the error carries `request_id` and `session`, so that a request can be answered.
    """
    views = [memoryview(frame) for frame in frames]
    if len(views) < 2:
        raise WireError("FRAME_COUNT", f"{len(views)} frames; a message has at least 2")
    if views[0].nbytes != 4 or views[0][:3] != MAGIC:
        raise WireError("FRAME_MAGIC", 'the first frame must be "TFM" and a version byte')
    if views[0][3] != VERSION[0]:
        raise WireError("FRAME_VERSION", f"major version {views[0][3]}; this side speaks {VERSION[0]}")
    _check_sizes(views, limits)
    header = _unpack(views[1])
    try:
        return _read(header, views[2:])
    except WireError as error:
        _identify(error, header)
        raise


def _check_sizes(views: Sequence[memoryview], limits: Limits) -> None:
    header, total = views[1].nbytes, sum(view.nbytes for view in views)
    if header > MAX_HEADER_BYTES:
        raise WireError("FRAME_TOO_LARGE", f"a header of {header} bytes; at most {MAX_HEADER_BYTES}")
    if total > limits.max_message_bytes:
        raise WireError("FRAME_TOO_LARGE", f"a message of {total} bytes; at most {limits.max_message_bytes}")


def _unpack(packed: memoryview) -> dict[str, Any]:
    try:
        # The skipping pass builds nothing, so an array that claims more elements than follow costs no memory.
        if packed.nbytes > HARMLESS_HEADER_BYTES:
            scanner = msgpack.Unpacker(max_buffer_size=packed.nbytes)
            scanner.feed(packed)
            scanner.skip()
        header = msgpack.unpackb(packed, raw=False, strict_map_key=True, ext_hook=_refuse_extension)
    except (ValueError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise WireError("HEADER_MALFORMED", f"the header is no complete msgpack value: {reason[:200]}") from error
    if not isinstance(header, dict):
        raise WireError("HEADER_MALFORMED", f"the header is a {type(header).__name__}, not a map")
    try:
        _refuse_unplain(header, level=1, too_deep="HEADER_MALFORMED")
    except WireError as error:
        _identify(error, header)
        raise
    return header


def _refuse_extension(code: int, _data: bytes) -> NoReturn:
    raise ValueError(f"extension type {code}")


def _refuse_unplain(root: dict[str, Any], *, level: int, too_deep: str) -> None:
    """Only what msgpack and JSON both hold may be in a header; walks level by level, without recursion.

    `level` is that of `root`; nesting below MAX_DEPTH is refused with the code `too_deep`.
    """
    containers: list[Any] = [root]
    while containers:
        if level > MAX_DEPTH:
            raise WireError(too_deep, f"the header is nested deeper than {MAX_DEPTH} levels")
        inside = []
        for container in containers:
            values = container
            if isinstance(container, dict):
                values = container.values()
                for key in container:
                    if not isinstance(key, str):
                        raise WireError(
                            "HEADER_MALFORMED", f"a map has a key of type {type(key).__name__}, not a string"
                        )
            for value in values:
                if type(value) in _FREE_TYPES:
                    continue
                if isinstance(value, dict | list | tuple):
                    inside.append(value)
                else:
                    _refuse_unplain_scalar(value)
        containers = inside
        level += 1


_FREE_TYPES = frozenset((str, float, bool, type(None)))
"""Types of values that need no look."""


def _refuse_unplain_scalar(value: Any) -> None:
    if isinstance(value, int):
        if not -SAFE_INTEGER <= value <= SAFE_INTEGER:
            raise WireError("HEADER_FIELD", f"integer {value} has more than 53 bits; send a string or an i64 tensor")
    elif isinstance(value, msgpack.Timestamp | msgpack.ExtType):
        raise WireError("HEADER_MALFORMED", "the header holds an extension type")
    elif not isinstance(value, str | float):
        raise WireError("HEADER_FIELD", f"a {type(value).__name__} cannot travel in a header; send it as a tensor")


def _read(header: dict[str, Any], frames: Sequence[memoryview]) -> Message:
    version = header.get("v")
    parts = [_integer(part) for part in version] if isinstance(version, list) and len(version) == 2 else [None]
    if None in parts or min(part for part in parts if part is not None) < 0:
        raise WireError("HEADER_FIELD", '"v" must be [major, minor]')
    if parts[0] != VERSION[0]:
        raise WireError("FRAME_VERSION", f"major version {parts[0]}; this side speaks {VERSION[0]}")

    kind = header.get("t")
    if not isinstance(kind, str) or kind not in KINDS:
        raise WireError("HEADER_FIELD", f'"t" must be one of {", ".join(KINDS)}')
    identity = _name(header, "id")
    session = _name(header, "s")
    method = _name(header, "m") if "m" in header or kind in ("req", "evt") else None
    deadline = _integer(header["dl"]) if "dl" in header else None
    if "dl" in header and (deadline is None or deadline < 0):
        raise WireError("HEADER_FIELD", '"dl" must be an integer of milliseconds, 0 or more')
    params = header.get("p", {})
    if not isinstance(params, dict):
        raise WireError("HEADER_FIELD", '"p" must be a map')
    error = _error(header) if kind == "err" else None
    tensors = _tensors(header.get("x", []), frames)
    return Message(kind, identity, session, method, deadline, params, tensors, error)


def _tensors(entries: Any, frames: Sequence[memoryview]) -> dict[str, WireTensor]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise WireError("HEADER_FIELD", '"x" must be a list of maps')
    if len(entries) != len(frames):
        raise WireError("FRAME_COUNT", f"{len(entries)} tensors described, {len(frames)} tensor frames received")
    if len(entries) > MAX_TENSORS:
        raise WireError("TENSOR_COUNT", f"{len(entries)} tensors; at most {MAX_TENSORS}")
    tensors: dict[str, WireTensor] = {}
    used: set[int] = set()
    for entry in entries:
        name, dtype, shape = _name(entry, "n"), entry.get("d"), entry.get("sh")
        index, size = _integer(entry.get("f")), _integer(entry.get("nb"))
        if not isinstance(dtype, str) or not isinstance(shape, list) or index is None or size is None:
            raise WireError("HEADER_FIELD", f'tensor "{name}" needs d (string), sh (list), f and nb (integers)')
        if dtype not in ITEM_SIZES:
            raise WireError("TENSOR_DTYPE", f'tensor "{name}" has the unknown dtype {dtype[:32]!r}')
        sizes = tuple(_integer(dimension) for dimension in shape[: MAX_RANK + 1])
        if len(sizes) > MAX_RANK or any(dimension is None or dimension < 0 for dimension in sizes):
            raise WireError("TENSOR_SHAPE", f'tensor "{name}" must have at most {MAX_RANK} dimensions, none negative')
        if name in tensors or index in used or not 0 <= index < len(frames):
            raise WireError("TENSOR_FRAME", f'tensor "{name}": names and frame indexes must be unique and in range')
        used.add(index)
        dimensions = tuple(dimension for dimension in sizes if dimension is not None)
        expected, received = byte_length(dtype, dimensions), frames[index].nbytes
        if not size == expected == received:
            raise WireError(
                "TENSOR_BYTES", f'tensor "{name}": nb {size}, its shape takes {expected}, its frame has {received}'
            )
        tensors[name] = WireTensor(dtype, dimensions, frames[index])
    return tensors


def _error(header: dict[str, Any]) -> dict[str, Any]:
    error = header.get("e")
    if (
        not isinstance(error, dict)
        or not isinstance(error.get("code"), str)
        or not isinstance(error.get("message"), str)
        or not isinstance(error.get("retryable"), bool)
        or not isinstance(error.get("traceback", ""), str)
    ):
        raise WireError("HEADER_FIELD", '"e" must hold code, message (strings) and retryable (bool)')
    return error


def _name(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME_CHARS:
        raise WireError("HEADER_FIELD", f'"{key}" must be a string of 1 to {MAX_NAME_CHARS} characters')
    return value


def _integer(value: Any) -> int | None:
    """JavaScript writes integers from 2^32 on as floats, so a float without a fraction counts as one."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= SAFE_INTEGER:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _identify(error: WireError, header: Mapping[str, Any]) -> None:
    """Notes whom to answer: a request, or what may have been one, with a readable id."""
    identity, session, kind = header.get("id"), header.get("s"), header.get("t")
    answerable = kind == "req" or not isinstance(kind, str) or kind not in KINDS
    if answerable and isinstance(identity, str) and 1 <= len(identity) <= MAX_NAME_CHARS and isinstance(session, str):
        error.request_id, error.session = identity, session
