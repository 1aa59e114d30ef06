"""Writes training state: each file complete under its final name, or not there at all. `checkpoints` says what it is.

Several ranks share the writing: `weights-00001-of-00004.safetensors` has every fourth tensor, whole, so that any number
of ranks under any strategy can read it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor

from .errors import EngineError
from .ranks import ALONE, Ranks
from .strategies import Held

WEIGHTS, OPTIMIZER, STATE = "weights", "optimizer", "state.json"
FORMAT = 2

TYPE_NAMES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.float64: "F64",
    torch.uint8: "U8",
}
"""As safetensors spells them."""
_HEADER_ALIGNMENT = 8
_CHUNK_BYTES = 64 * 2**20


class Content(NamedTuple):
    """What a file is to hold."""

    size: int
    """In bytes."""
    parts: Iterable[bytes | Tensor]
    """Bytes, or tensors whose bytes are meant; perhaps made when asked for, and then by all ranks together."""


def state_contents(
    weights: Mapping[str, Held], optimizer: Mapping[str, Held], state: Mapping[str, Any], ranks: Ranks = ALONE
) -> dict[str, Content]:
    """This rank's files of the training state, `state.json` last, by the first rank. All ranks go through the parts
    in this order."""
    text = json.dumps(
        {"format": FORMAT, "shards": ranks.world_size, **state}, indent=2, sort_keys=True, allow_nan=False
    )
    contents = {
        shard_name(kind, ranks.rank, ranks.world_size): _safetensors(tensors, state["step"], ranks)
        for kind, tensors in ((WEIGHTS, weights), (OPTIMIZER, optimizer))
    }
    if ranks.rank == 0:
        contents[STATE] = Content(len(text.encode()) + 1, [text.encode() + b"\n"])
    return contents


def write_state(
    folder: Path, contents: Mapping[str, Content], tick: Callable[[], None] = lambda: None, ranks: Ranks = ALONE
) -> list[dict[str, Any]]:
    """Writes the files into an existing folder; [{name, bytes, sha256}]. All ranks call it together.

    Each is written under a temporary name, synced and renamed. `tick` is called as bytes go out.
    """
    files = []
    with write_errors(folder), ExitStack() as cleanup:
        with ranks.together():
            if not folder.is_dir():
                raise EngineError("bad_argument", f"{folder} is not a folder; make it before saving into it.")
        with ranks.together(tick):
            for name, content in contents.items():
                temporary = folder / f".{name}.partial"
                cleanup.callback(temporary.unlink, missing_ok=True)
                with to_the_end(contents.values(), ranks):
                    files.append({"name": name, **_write(temporary, content.parts, tick)})
        for name in contents:
            os.replace(folder / f".{name}.partial", folder / name)
        sync(folder)
    return files


def digests(weights: Mapping[str, Held], tick: Callable[[], None] = lambda: None) -> dict[str, str]:
    """SHA-256 of the bytes of each, in hex. All ranks call it together."""
    found = {}
    for name, held in weights.items():
        digest = hashlib.sha256()
        for piece in _pieces(held.whole()):
            digest.update(piece)
            tick()
        found[name] = digest.hexdigest()
    return found


@contextmanager
def to_the_end(contents: Iterable[Content], ranks: Ranks) -> Iterator[None]:
    """What other ranks help to put together is put together, even when there is no place for it here."""
    try:
        yield
    except Exception:
        if ranks.in_step:
            for rest in contents:
                deque(rest.parts, maxlen=0)
        raise


def shard_name(kind: str, rank: int, count: int) -> str:
    """Of the file that this rank writes, of so many."""
    return f"{kind}.safetensors" if count == 1 else f"{kind}-{rank + 1:05}-of-{count:05}.safetensors"


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Names the path in whatever the disk refuses, as `write_failed`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise EngineError(
            "write_failed",
            f"cannot write {path}: {error}. Nothing was left under the final name; free space or choose another place.",
        ) from error


def sync(path: Path) -> None:
    """Makes the directory entry or the file survive a power cut."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flat_bytes(tensor: Tensor) -> Tensor:
    """uint8 [bytes], where the tensor is; perhaps its own memory."""
    return tensor.detach().contiguous().view(-1).view(torch.uint8)


def _write(path: Path, parts: Iterable[bytes | Tensor], tick: Callable[[], None]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with open(path, "wb") as file:
        for part in parts:
            for piece in [part] if isinstance(part, bytes) else _pieces(part):
                digest.update(piece)
                size += file.write(piece)
                tick()
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}


def _pieces(tensor: Tensor) -> Iterator[memoryview]:
    data = flat_bytes(tensor).cpu().numpy()
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES].data


def _safetensors(tensors: Mapping[str, Held], step: int, ranks: Ranks) -> Content:
    """This rank's safetensors file: wide types first, so that each tensor begins at a multiple of its type's size,
    which reading relies on; then by name.

    The library's own writer holds the interpreter lock for the whole file, which stops the heartbeat for the minutes
    that a large model takes, and the hash would need a second pass. It does the reading.
    """
    header: dict[str, Any] = {"__metadata__": {"step": str(step)}}
    offset = 0
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    own = names[ranks.rank :: ranks.world_size]
    for name in own:
        held = tensors[name]
        end = offset + prod(held.shape) * held.dtype.itemsize
        header[name] = {"dtype": TYPE_NAMES[held.dtype], "shape": list(held.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _HEADER_ALIGNMENT)
    begin = len(text).to_bytes(8, "little") + text

    def parts() -> Iterator[bytes | Tensor]:
        yield begin
        for name in names:
            whole = tensors[name].whole()
            if name in header:
                yield whole

    return Content(len(begin) + offset, parts())
