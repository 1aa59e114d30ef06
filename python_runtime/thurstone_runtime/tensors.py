"""Tensors on the wire: a closed table of element types, and views as numpy arrays and torch tensors.

Bytes are little-endian in C order. bfloat16 has no numpy type: it is held as uint16 bits, and no other use is made of
uint16, so an array of uint16 always means bfloat16. torch is imported only inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import EngineError, WireError

if TYPE_CHECKING:
    import torch

NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "bool": np.dtype(np.bool_),
    "u8": np.dtype("u1"),
    "i8": np.dtype("i1"),
    "i16": np.dtype("<i2"),
    "i32": np.dtype("<i4"),
    "i64": np.dtype("<i8"),
    "f16": np.dtype("<f2"),
    "bf16": np.dtype("<u2"),
    "f32": np.dtype("<f4"),
    "f64": np.dtype("<f8"),
}
"""Every element type there is on the wire, with the numpy type that holds its bytes."""

ITEM_SIZES: dict[str, int] = {name: dtype.itemsize for name, dtype in NUMPY_DTYPES.items()}

_WIRE_NAMES: dict[np.dtype[Any], str] = {dtype: name for name, dtype in NUMPY_DTYPES.items()}


@dataclass(frozen=True, slots=True)
class WireTensor:
    """A dense tensor as it travels: `data` holds product(shape) * item size bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    def to_numpy(self) -> np.ndarray:
        """The same memory as an array (bf16 as uint16); `bool` is copied, as a stray byte must not become a bool."""
        try:
            if self.data.nbytes == 0:
                return np.empty(self.shape, NUMPY_DTYPES[self.dtype])
            if self.dtype == "bool":
                return (np.frombuffer(self.data, np.uint8) != 0).reshape(self.shape)
            return np.frombuffer(self.data, NUMPY_DTYPES[self.dtype]).reshape(self.shape)
        except ValueError as error:
            raise WireError("TENSOR_SHAPE", f"numpy cannot hold shape {list(self.shape)}: {error}") from error


def from_numpy(array: np.ndarray) -> WireTensor:
    """The array's own memory where it is contiguous and little-endian, a copy otherwise."""
    ordered = array.astype(array.dtype.newbyteorder("<"), copy=False)
    name = _WIRE_NAMES.get(ordered.dtype)
    if name is None:
        raise WireError(
            "TENSOR_DTYPE", f"an array of {array.dtype} cannot travel; convert it to one of {', '.join(NUMPY_DTYPES)}"
        )
    if array.size == 0:
        return WireTensor(name, array.shape, memoryview(b""))
    # A 0-d array has no byte view of its own, hence the flat one; shape is taken before.
    flat = np.ascontiguousarray(ordered).reshape(-1)
    return WireTensor(name, array.shape, flat.view(np.uint8).data)


def to_torch(array: np.ndarray) -> torch.Tensor:
    """A CPU tensor over the array's memory (bfloat16 for uint16 bits). Copies only what torch cannot share.

    The memory is that of a received message: clone or move the tensor to a device before keeping it.
    """
    import torch

    if array.size == 0 or not array.flags.writeable or not array.flags.c_contiguous:
        array = np.array(array, order="C")
    if array.dtype == NUMPY_DTYPES["bf16"]:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def from_torch(tensor: torch.Tensor) -> WireTensor:
    """A tensor of any device, detached; its own memory if it is a contiguous CPU tensor."""
    import torch

    held = tensor.detach().cpu().contiguous()
    if held.dtype == torch.bfloat16:
        return from_numpy(held.view(torch.int16).numpy().view(np.uint16))
    if held.dtype == torch.uint16:
        raise WireError("TENSOR_DTYPE", "a tensor of torch.uint16 cannot travel; convert it to int32")
    return from_numpy(held.numpy())


def to_wire(value: Any) -> WireTensor:
    """What a verb returned: a numpy array, a torch tensor, or a tensor that is in wire form already."""
    if isinstance(value, WireTensor):
        return value
    if isinstance(value, np.ndarray):
        return from_numpy(value)
    if type(value).__module__.partition(".")[0] == "torch":
        return from_torch(value)
    raise WireError("TENSOR_DTYPE", f"a {type(value).__name__} is no tensor; return a numpy array or a torch tensor")


def byte_length(dtype: str, shape: Sequence[int]) -> int:
    """Bytes of a tensor; Python integers do not overflow, so any claimed shape is safe to ask about."""
    return prod(shape) * ITEM_SIZES[dtype]


def texts_to_tensors(texts: Sequence[str], name: str = "text") -> dict[str, np.ndarray]:
    """Ragged text as two tensors: `name` u8 (UTF-8, all texts joined) and `name`_lengths i32 (bytes of each)."""
    encoded = [text.encode("utf-8") for text in texts]
    return {
        name: np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}_lengths": np.array([len(part) for part in encoded], np.int32),
    }


def tensors_to_texts(tensors: Mapping[str, np.ndarray], name: str = "text") -> list[str]:
    """The inverse of `texts_to_tensors`; raises `bad_argument` unless lengths, bytes and UTF-8 fit together."""
    joined, lengths = tensors.get(name), tensors.get(f"{name}_lengths")
    if joined is None or lengths is None:
        raise EngineError("bad_argument", f'tensors "{name}" (u8) and "{name}_lengths" (i32) are both needed')
    if joined.dtype != np.uint8 or lengths.dtype != np.int32 or joined.ndim != 1 or lengths.ndim != 1:
        raise EngineError("bad_argument", f'"{name}" must be u8 [bytes] and "{name}_lengths" i32 [texts]')
    if (lengths < 0).any() or int(lengths.sum(dtype=np.int64)) != joined.size:
        raise EngineError(
            "bad_argument", f'"{name}_lengths" must be non-negative and add up to the {joined.size} bytes of "{name}"'
        )
    data, texts, start = joined.tobytes(), [], 0
    for length in lengths.tolist():
        try:
            texts.append(data[start : start + length].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise EngineError("bad_argument", f'text {len(texts)} of "{name}" is not UTF-8: {error}') from error
        start += length
    return texts
