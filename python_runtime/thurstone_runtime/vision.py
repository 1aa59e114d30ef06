"""Features of pictures under one vision tower: all that are asked for in one pass, and kept where the tower is frozen.

The last bits of a feature depend on what else is in the pass. Kept features are therefore made one picture at a time,
so that one that is found has the bits of one that is made again, whatever was asked for before.
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


class VisionTower:
    """The tower of one model. `kept_bytes` None is a tower in training, of which nothing is kept; a number freezes it:
    no gradient flows into it, and so many bytes of features are kept, the least recently used leaving first."""

    def __init__(self, loaded: LoadedModel, kept_bytes: int | None = None) -> None:
        self._loaded = loaded
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[str, EncodedPicture] = OrderedDict()
        """On the CPU: a large model's device has no room to spare."""
        self._bytes = 0

    @property
    def frozen(self) -> bool:
        """Whether its weights never change."""
        return self._kept_bytes is not None

    def encode(
        self, pictures: Iterable[Picture], between: Callable[[], None] = lambda: None
    ) -> Mapping[str, EncodedPicture]:
        """By key; each picture once. Enter `autocast` outside. `between` is called after every pass of the tower."""
        unique = {picture.key: picture.pixels for picture in pictures}
        if self.frozen:
            return {key: self._found_or_made(key, pixels, between) for key, pixels in unique.items()}
        patches = {key: self._patches(pixels) for key, pixels in unique.items()}
        encoded: dict[str, EncodedPicture] = {}
        for keys in _passes(patches):
            features = self._loaded.family.encode_images(self._loaded.model, [patches[key] for key in keys])
            for key, own in zip(keys, features, strict=True):
                encoded[key] = EncodedPicture(own, patches[key].grid)
            between()
        return encoded

    def _patches(self, pixels: Tensor) -> ImagePatches:
        return self._loaded.family.patchify(pixels.to(self._loaded.device))

    @torch.no_grad()
    def _found_or_made(self, key: str, pixels: Tensor, between: Callable[[], None]) -> EncodedPicture:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return EncodedPicture(found.features.to(self._loaded.device), found.grid)
        patches = self._patches(pixels)
        (features,) = self._loaded.family.encode_images(self._loaded.model, [patches])
        made = EncodedPicture(features, patches.grid)
        self._keep(key, EncodedPicture(features.cpu(), patches.grid))
        between()
        return made

    def _keep(self, key: str, encoded: EncodedPicture) -> None:
        limit = self._kept_bytes or 0
        size = encoded.features.nbytes
        if size > limit:
            return
        while self._bytes + size > limit:
            self._bytes -= self._kept.popitem(last=False)[1].features.nbytes
        self._kept[key] = encoded
        self._bytes += size


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
