"""The worker's pictures: resized once, kept as uint8, bounded by bytes, never dropped while a step needs them.

`receive` runs on a side thread while the main thread reads; the resize itself happens outside the lock.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .errors import EngineError

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ImageRequest:
    """One picture as the caller announces it. `key` names content and target size together."""

    key: str
    height: int
    width: int
    target_height: int
    target_width: int


class Picture(NamedTuple):
    """A picture as the model sees it."""

    key: str
    pixels: Tensor
    """uint8 [height, width, 3] at its final size, on the CPU."""


@dataclass
class _Held:
    image: Tensor
    last_step: int | None


def resize_bicubic(pixels: Pixels, height: int, width: int) -> Pixels:
    """uint8 [h, w, 3] -> uint8 [height, width, 3], as the checkpoint's own processor does it: Pillow, bicubic.

    Pillow 13 runs the two passes in another order and rounds differently; the pixels of Pillow 12 are the right ones.
    """
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(resized)


class ImageStore:
    """Resized pictures by key. The least recently used one that no step pins goes first."""

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes <= 0:
            raise EngineError("bad_argument", f"image_cache_bytes is {limit_bytes}; expected a number of bytes > 0.")
        self.limit_bytes = limit_bytes
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._bytes = 0
        self._released_before = -1
        self._lock = threading.Lock()

    def receive(
        self,
        requests: Sequence[ImageRequest],
        pixels: Mapping[int, Pixels],
        *,
        step: int | None = None,
        release_before: int | None = None,
    ) -> list[str]:
        """Takes in the pictures whose pixels came along (by index into `requests`) and answers which are not held.

        `step` pins all of them until a later call releases it with a larger `release_before`. Raises `bad_argument`
        when pixels do not fit their request, or when the pictures in use do not fit into the cache together.
        """
        for index, source in pixels.items():
            _check_pixels(requests, index, source)
        with self._lock:
            if release_before is not None:
                self._released_before = max(self._released_before, release_before)
            for request in requests:
                self._use(request.key, step)
        for index, source in pixels.items():
            request = requests[index]
            if not self._holds(request.key):
                resized = resize_bicubic(source, request.target_height, request.target_width)
                self._insert(request.key, torch.from_numpy(resized), step)
        with self._lock:
            return [request.key for request in requests if request.key not in self._held]

    def get(self, keys: Iterable[str]) -> list[Picture]:
        """One per key; a key asked for twice gives the same tensor twice. Raises `missing_images` when any is not held,
        naming the first few."""
        wanted = list(keys)
        with self._lock:
            absent = sorted({key for key in wanted if key not in self._held})
            if absent:
                raise EngineError(
                    "missing_images",
                    f"{len(absent)} of {len(set(wanted))} pictures are not held: {', '.join(absent[:4])}"
                    f"{' ...' if len(absent) > 4 else ''}. Send them with `images` first, and pin them to the step.",
                )
            for key in wanted:
                self._held.move_to_end(key)
            return [Picture(key, self._held[key].image) for key in wanted]

    def describe(self) -> dict[str, int]:
        """`count`, `bytes` held and how many pictures are `pinned`."""
        with self._lock:
            pinned = sum(self._is_pinned(held) for held in self._held.values())
            return {"count": len(self._held), "bytes": self._bytes, "pinned": pinned}

    def _use(self, key: str, step: int | None) -> None:
        held = self._held.get(key)
        if held is None:
            return
        self._held.move_to_end(key)
        if step is not None:
            held.last_step = step if held.last_step is None else max(step, held.last_step)

    def _holds(self, key: str) -> bool:
        with self._lock:
            return key in self._held

    def _is_pinned(self, held: _Held) -> bool:
        return held.last_step is not None and held.last_step >= self._released_before

    def _insert(self, key: str, image: Tensor, step: int | None) -> None:
        size = image.nbytes
        with self._lock:
            if key in self._held:
                return
            evictable = [name for name, held in self._held.items() if not self._is_pinned(held)]
            while self._bytes + size > self.limit_bytes and evictable:
                self._bytes -= self._held.pop(evictable.pop(0)).image.nbytes
            if self._bytes + size > self.limit_bytes:
                raise EngineError(
                    "bad_argument",
                    f"picture {key} needs {size} bytes, and pictures in use hold {self._bytes} of {self.limit_bytes}; "
                    "raise image_cache_bytes, or use fewer or smaller pictures a step.",
                )
            self._held[key] = _Held(image, step)
            self._bytes += size


def _check_pixels(requests: Sequence[ImageRequest], index: int, source: Pixels) -> None:
    if not 0 <= index < len(requests):
        raise EngineError("bad_argument", f"pixels came for picture {index}, but {len(requests)} were announced.")
    request = requests[index]
    expected = (request.height, request.width, 3)
    if source.dtype != np.uint8 or source.shape != expected:
        raise EngineError(
            "bad_argument",
            f"picture {request.key} has pixels {source.dtype} {list(source.shape)}; expected uint8 {list(expected)}.",
        )
    if min(*expected, request.target_height, request.target_width) < 1:
        raise EngineError(
            "bad_argument",
            f"picture {request.key} has an empty size: {request.height} x {request.width} to "
            f"{request.target_height} x {request.target_width}.",
        )
