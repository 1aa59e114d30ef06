"""Training state on disk: each file complete under its final name, or not there at all.

It is a folder with `weights.safetensors` (what is trained: float32, by parameter name, tied ones once),
`optimizer.safetensors` (`<parameter name>.<exp_avg | exp_avg_sq | step>`) and `state.json`, which has digests of the
weights that are not trained: they are those of the model that the run began with, and are not written again.
Safetensors and JSON only: nothing that is read here can run code.

Several ranks share the writing: `weights-00001-of-00004.safetensors` has every fourth tensor, whole, so that any number
of ranks under any strategy can read it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import EngineError
from .optim import STATE_FIELDS
from .ranks import ALONE, Ranks
from .strategies import Held

WEIGHTS, OPTIMIZER, STATE = "weights", "optimizer", "state.json"
FORMAT = 2

_TYPE_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64"}
_HEADER_ALIGNMENT = 8
_CHUNK_BYTES = 64 * 2**20


def allowed_path(path: str, roots: Sequence[str], named_by: str = "allowed_roots when loading") -> Path:
    """The path with symbolic links resolved; refused unless it lies in one of the roots."""
    resolved = Path(path).resolve()
    if not Path(path).is_absolute() or not any(resolved.is_relative_to(Path(root).resolve()) for root in roots):
        raise EngineError(
            "path_not_allowed",
            f'"{path}" leads to {resolved}, outside the allowed folders ({", ".join(roots) or "there are none"}); '
            f"give an absolute path inside one of them, or name another folder in {named_by}.",
        )
    return resolved


def save_state(
    folder: Path,
    weights: Mapping[str, Held],
    optimizer: Mapping[str, Held],
    state: Mapping[str, Any],
    tick: Callable[[], None] = lambda: None,
    ranks: Ranks = ALONE,
) -> list[dict[str, Any]]:
    """Writes this rank's files into an existing folder; [{name, bytes, sha256}]. All ranks call it together.

    Each is written under a temporary name, synced and renamed, `state.json` last, by the first rank. `tick` is called
    as bytes go out.
    """
    text = json.dumps(
        {"format": FORMAT, "shards": ranks.world_size, **state}, indent=2, sort_keys=True, allow_nan=False
    )
    contents: dict[str, Iterable[bytes | memoryview]] = {
        _shard_name(kind, ranks.rank, ranks.world_size): _safetensors_bytes(tensors, state["step"], ranks)
        for kind, tensors in ((WEIGHTS, weights), (OPTIMIZER, optimizer))
    }
    if ranks.rank == 0:
        contents[STATE] = [text.encode() + b"\n"]
    files = []
    with write_errors(folder), ExitStack() as cleanup:
        with ranks.together():
            if not folder.is_dir():
                raise EngineError("bad_argument", f"{folder} is not a folder; make it before saving into it.")
        with ranks.together(tick):
            for name, pieces in contents.items():
                temporary = folder / f".{name}.partial"
                cleanup.callback(temporary.unlink, missing_ok=True)
                with _to_the_end(contents.values() if ranks.in_step else ()):
                    files.append({"name": name, **_write(temporary, pieces, tick)})
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
def _to_the_end(pieces: Iterable[Iterable[Any]]) -> Iterator[None]:
    """What other ranks help to put together is put together, even when there is no place to write it to."""
    try:
        yield
    except Exception:
        for rest in pieces:
            deque(rest, maxlen=0)
        raise


def _shard_name(kind: str, rank: int, count: int) -> str:
    return f"{kind}.safetensors" if count == 1 else f"{kind}-{rank + 1:05}-of-{count:05}.safetensors"


@contextmanager
def open_state(
    folder: Path,
    trained: Mapping[str, Held],
    same: Mapping[str, Any],
    tick: Callable[[], None] = lambda: None,
) -> Iterator[tuple[dict[str, Any], Mapping[str, Tensor], Mapping[str, Tensor]]]:
    """What `save_state` wrote, as (state, weights, optimizer), checked against the model in memory.

    `trained` are the model's own weights, by name; `same` is what of the state must be as it is now: `frozen`, the
    digests of all other weights, and `adapter`. Anything that does not fit is `checkpoint_invalid`, before the block
    begins; tensors are read one by one as they are asked for, so a large model is not held twice.
    """
    state = _read_json(folder / STATE)
    expected = {name: held.shape for name, held in trained.items()}
    with (
        _open_tensors(folder, WEIGHTS, state, tick) as saved_weights,
        _open_tensors(folder, OPTIMIZER, state, tick) as moments,
    ):
        _check_weights(saved_weights, expected)
        _check_optimizer(moments, expected)
        _check_frozen(folder / STATE, state.get("frozen"), same["frozen"])
        _check_adapter(folder / STATE, state.get("adapter"), same["adapter"])
        yield state, saved_weights, moments


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


def _write(path: Path, pieces: Iterable[bytes | memoryview], tick: Callable[[], None]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with open(path, "wb") as file:
        for piece in pieces:
            digest.update(piece)
            size += file.write(piece)
            tick()
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}


def _safetensors_bytes(tensors: Mapping[str, Held], step: int, ranks: Ranks) -> Iterator[bytes | memoryview]:
    """This rank's safetensors file piece by piece, names in order.

    The library's own writer holds the interpreter lock for the whole file, which stops the heartbeat for the minutes
    that a large model takes, and the hash would need a second pass. It does the reading.
    """
    header: dict[str, Any] = {"__metadata__": {"step": str(step)}}
    offset = 0
    own = sorted(tensors)[ranks.rank :: ranks.world_size]
    for name in own:
        held = tensors[name]
        end = offset + prod(held.shape) * held.dtype.itemsize
        header[name] = {"dtype": _TYPE_NAMES[held.dtype], "shape": list(held.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _HEADER_ALIGNMENT)
    yield len(text).to_bytes(8, "little") + text
    for name, held in sorted(tensors.items()):
        whole = held.whole()
        if name in header:
            yield from _pieces(whole)


def _pieces(tensor: Tensor) -> Iterator[memoryview]:
    data = tensor.detach().contiguous().cpu().view(-1).view(torch.uint8).numpy()
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES].data


def sync(path: Path) -> None:
    """Makes the directory entry or the file survive a power cut."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _invalid(path: Path, reason: str) -> EngineError:
    return EngineError("checkpoint_invalid", f"{path}: {reason}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _invalid(path, f"cannot be read: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else state
        raise _invalid(path, f"is not training state of format {FORMAT} (found {found!r})")
    state.setdefault("shards", 1)
    for name, least in (("step", 0), ("policy_version", 0), ("shards", 1)):
        value = state.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise _invalid(path, f'"{name}" must be a whole number from {least}, not {value!r}')
    return state


Found = dict[str, tuple[str, tuple[int, ...]]]
"""Type and shape of each tensor of a file."""


class _SavedTensors(Mapping[str, Tensor]):
    """The tensors of one or more safetensors files, read when asked for."""

    def __init__(self, path: Path, tick: Callable[[], None]) -> None:
        self.path = path
        """The file, or the first of several, to speak of them."""
        self.found: Found = {}
        self._files: dict[str, Any] = {}
        self._tick = tick

    def add(self, path: Path, file: Any, step: int) -> None:
        """A file that is valid by itself may still be left over from another save."""
        found = (file.metadata() or {}).get("step")
        if found != str(step):
            raise _invalid(path, f"is of step {found}, but {STATE} beside it is of step {step}")
        for name in file.keys():  # noqa: SIM118 - not a mapping
            entry = file.get_slice(name)
            self.found[name] = (entry.get_dtype(), tuple(entry.get_shape()))
            self._files[name] = file

    def __getitem__(self, name: str) -> Tensor:
        file = self._files[name]
        self._tick()
        return file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


@contextmanager
def _open_tensors(
    folder: Path, kind: str, state: Mapping[str, Any], tick: Callable[[], None]
) -> Iterator[_SavedTensors]:
    count = state["shards"]
    paths = [folder / _shard_name(kind, rank, count) for rank in range(count)]
    saved, path = _SavedTensors(paths[0], tick), paths[0]
    with ExitStack() as files:
        try:
            for path in paths:
                saved.add(path, files.enter_context(safe_open(path, framework="pt")), state["step"])
            yield saved
        except (OSError, SafetensorError) as error:
            raise _invalid(path, f"is not a complete safetensors file: {error}") from error


def _check_weights(saved: _SavedTensors, expected: Mapping[str, tuple[int, ...]]) -> None:
    _check_names(saved.path, saved.found, set(expected), set(expected))
    for name, shape in expected.items():
        _check_tensor(saved.path, name, saved.found[name], shape)


def _check_frozen(path: Path, saved: Any, frozen: Mapping[str, str]) -> None:
    """What is trained was trained on top of them, and kept features and the reference go by them."""
    if not isinstance(saved, dict) or saved.keys() != frozen.keys():
        raise _invalid(
            path, "trained other weights than are trained now: load the model as the run that it belongs to did"
        )
    other = sorted(name for name, digest in frozen.items() if saved[name] != digest)
    if other:
        raise _invalid(
            path,
            f"{some(other)} differed from the loaded model's, where it is frozen: load the model that the run began "
            "with, in the same type of computation, or train these weights as well",
        )


def _check_adapter(path: Path, saved: Any, adapter: Any) -> None:
    if saved != adapter:
        raise _invalid(path, f"has an adapter of settings {saved}, and the model one of {adapter}: load it as then")


def _check_optimizer(saved: _SavedTensors, trained: Mapping[str, tuple[int, ...]]) -> None:
    path, found = saved.path, saved.found
    stepped = {name for name in trained if f"{name}.step" in found}
    required = {f"{name}.{field}" for name in stepped for field in STATE_FIELDS}
    _check_names(path, found, required, required)
    for name in stepped:
        for field in STATE_FIELDS:
            _check_tensor(path, f"{name}.{field}", found[f"{name}.{field}"], () if field == "step" else trained[name])


def _check_names(path: Path, found: Found, required: set[str], known: set[str]) -> None:
    missing, unknown = sorted(required - found.keys()), sorted(found.keys() - known)
    if missing:
        raise _invalid(path, f"lacks {some(missing)}: it belongs to another model, or part of it was lost")
    if unknown:
        raise _invalid(path, f"has {some(unknown)}, which this model does not train: it belongs to another model")


def _check_tensor(path: Path, name: str, found: tuple[str, tuple[int, ...]], shape: tuple[int, ...]) -> None:
    dtype, found_shape = found
    if found_shape != shape:
        raise _invalid(path, f"{name} has shape {list(found_shape)}, but this model's is {list(shape)}")
    if dtype != "F32":
        raise _invalid(path, f"{name} is of type {dtype}; training state is F32")


def some(names: Sequence[str], limit: int = 3) -> str:
    """The first few, and how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
