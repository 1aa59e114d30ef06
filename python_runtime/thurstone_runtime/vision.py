"""Features of pictures under one vision tower: all that are asked for in one pass, and kept where the tower is frozen.

The last bits of a feature depend on what else is in the pass. Kept features are therefore made one picture at a time,
so that one that is found has the bits of one that is made again, whatever was asked for before.

Where weights are spread over ranks, every pass of the tower is made by all of them: a rank with fewer pictures passes a
black one, whose features count for nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .families import ImagePatches, LoadedModel
from .images import Picture
from .positions import Grid

PATCHES_PER_PASS = 32_768


class EncodedPicture(NamedTuple):
    """What a picture becomes."""

    features: Tensor
    """[tokens, hidden size], on the model's device; with gradient where one is recorded."""
    grid: Grid


class Encoded(NamedTuple):
    """What `encode` makes."""

    pictures: Mapping[str, EncodedPicture]
    """By key."""
    idle: Tensor | None = None
    """0, with a gradient of 0 into the tower, from passes that were made for the sake of other ranks: to be added to
    what becomes the loss, so that this rank takes part in the backward pass as well."""


class _Kept:
    """Features by picture, up to `limit` bytes, the least recently used leaving first. On the CPU: a large model's
    device has no room to spare."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pictures: OrderedDict[str, EncodedPicture] = OrderedDict()
        self._bytes = 0

    def __contains__(self, key: str) -> bool:
        return key in self._pictures

    def get(self, key: str, device: torch.device) -> EncodedPicture:
        self._pictures.move_to_end(key)
        kept = self._pictures[key]
        return EncodedPicture(kept.features.to(device), kept.grid)

    def put(self, key: str, encoded: EncodedPicture) -> None:
        size = encoded.features.nbytes
        if size > self._limit:
            return
        while self._bytes + size > self._limit:
            self._bytes -= self._pictures.popitem(last=False)[1].features.nbytes
        self._pictures[key] = EncodedPicture(encoded.features.cpu(), encoded.grid)
        self._bytes += size


class VisionTower:
    """The tower of one model. `kept_bytes` None is a tower in training, of which nothing is kept; a number freezes it:
    no gradient flows into it, and so many bytes of features are kept."""

    def __init__(self, loaded: LoadedModel, kept_bytes: int | None = None) -> None:
        self._loaded = loaded
        self._kept = None if kept_bytes is None else _Kept(kept_bytes)

    @property
    def frozen(self) -> bool:
        """Whether its weights never change."""
        return self._kept is not None

    def within(self, loaded: LoadedModel) -> VisionTower:
        """The tower of another holder of the same weights; what is kept is kept for both."""
        other = VisionTower(loaded)
        other._kept = self._kept
        return other

    def encode(self, pictures: Iterable[Picture], between: Callable[[], None] = lambda: None) -> Encoded:
        """Each picture once. To be called inside `LoadedModel.run`; `between` is called after every pass."""
        unique = {picture.key: picture.pixels for picture in pictures}
        kept = self._kept
        if kept is not None:
            found = {key: kept.get(key, self._loaded.device) for key in unique if key in kept}
            missing = self._missing(len(unique) - len(found))
            made = {key: self._make(pixels, between) for key, pixels in unique.items() if key not in found}
            for key, own in made.items():
                kept.put(key, own)
            with torch.no_grad():
                self._idle(missing)
            return Encoded({**found, **made})
        patches = {key: self._patches(pixels) for key, pixels in unique.items()}
        encoded = {}
        passes = _passes(patches)
        missing = self._missing(len(passes))
        for keys in passes:
            features = self._loaded.family.encode_images(self._loaded.model, [patches[key] for key in keys])
            for key, own in zip(keys, features, strict=True):
                encoded[key] = EncodedPicture(own, patches[key].grid)
            between()
        return Encoded(encoded, self._idle(missing))

    def _missing(self, own: int) -> int:
        """Passes that other ranks make beyond those of this one; to be asked before the first of them."""
        return self._loaded.ranks.highest(own) - own

    def _idle(self, missing: int) -> Tensor | None:
        if not missing:
            return None
        side = 2 * self._loaded.family.image_constants.patch_size * self._loaded.family.image_constants.merge_size
        black = self._patches(torch.zeros(side, side, 3, dtype=torch.uint8))
        passes = [self._loaded.family.encode_images(self._loaded.model, [black])[0] for _ in range(missing)]
        return 0.0 * torch.stack([features.sum() for features in passes]).sum()

    def _patches(self, pixels: Tensor) -> ImagePatches:
        return self._loaded.family.patchify(pixels.to(self._loaded.device))

    @torch.no_grad()
    def _make(self, pixels: Tensor, between: Callable[[], None]) -> EncodedPicture:
        patches = self._patches(pixels)
        (features,) = self._loaded.family.encode_images(self._loaded.model, [patches])
        between()
        return EncodedPicture(features, patches.grid)


def _passes(patches: Mapping[str, ImagePatches]) -> list[list[str]]:
    passes: list[list[str]] = []
    room = 0
    for key, image in patches.items():
        count = image.values.shape[0]
        if not passes or count > room:
            passes.append([])
            room = PATCHES_PER_PASS
        passes[-1].append(key)
        room -= count
    return passes
