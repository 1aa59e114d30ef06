"""Initial weights from which a small vision tower learns picture quality in minutes; from noise it learns nothing in
that time. Two parts, and neither is enough alone:

1. the patch embedding starts as luma and chroma DCT filters, each with about unit response on photographs;
2. the MLP of the first block starts as energy detectors: how much of a frequency there is, whatever its phase.

All of it is ordinary parameters of the stock architecture, and all of it is trained further.

Suffixes: H hidden size of the vision tower, I its intermediate size, C channels, p pixels along a patch side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LUMA_SHARE = 0.7
LOW_FREQUENCY_SHARE = 0.5
"""Of the filters of one plane: so many take the lowest frequencies, the rest is spread over all others."""
FIRST_ATTENTION_SCALE = 0.1
LATER_IDENTITY = 0.7

# Luma and two chroma directions in RGB (ITU-R BT.601).
PLANES_C = {
    "luma": (0.299, 0.587, 0.114),
    "blue": (-0.169, -0.331, 0.5),
    "red": (0.5, -0.419, -0.081),
}


@dataclass(frozen=True)
class Spectrum:
    """Standard deviation of a DCT coefficient over photographs: `mean` at frequency 0, else first / frequency^decay.

    Measured on 14,720 patches of 14 x 14 pixels (CLIP normalisation) from the 23 bundled photographs; that amplitude
    falls as a power of frequency is Field 1987.
    """

    mean: float
    first: float
    decay: float

    def at(self, frequency: float) -> float:
        """The standard deviation at this frequency, in half periods per patch."""
        return self.first / frequency**self.decay if frequency else self.mean


LUMA_SPECTRUM = Spectrum(mean=12.3, first=3.1, decay=1.39)
CHROMA_SPECTRUM = Spectrum(mean=3.5, first=0.66, decay=1.89)


@torch.no_grad()
def start_from_distortion_filters(model: Any) -> None:
    """Overwrites the weights named in the module's description; draws from torch's global generator."""
    visual = model.model.visual
    patch_weight = visual.patch_embed.proj.weight
    hidden, _, time, patch, _ = patch_weight.shape
    filters_HCpp = dct_filters(hidden, patch)
    patch_weight.copy_((filters_HCpp / time).unsqueeze(2).expand_as(patch_weight))

    first = visual.blocks[0]
    _make_energy_detectors(first.mlp, hidden)
    first.attn.proj.weight.mul_(FIRST_ATTENTION_SCALE)
    identity_HH = torch.eye(hidden)
    for block in visual.blocks[1:]:
        block.attn.qkv.weight[2 * hidden :].add_(LATER_IDENTITY * identity_HH)
        block.attn.proj.weight.add_(LATER_IDENTITY * identity_HH)


def dct_filters(count: int, patch: int) -> Tensor:
    """[count, 3, patch, patch]: DCT-II waves on three colour planes, scaled to about unit response on photographs."""
    luma = round(count * LUMA_SHARE)
    blue = (count - luma) // 2
    filters = []
    for plane, number in (("luma", luma), ("blue", blue), ("red", count - luma - blue)):
        weight_C = torch.tensor(PLANES_C[plane])
        spectrum = LUMA_SPECTRUM if plane == "luma" else CHROMA_SPECTRUM
        for vertical, horizontal in _chosen_frequencies(number, patch):
            response = spectrum.at(math.hypot(vertical, horizontal))
            wave_pp = torch.outer(_cosine(vertical, patch), _cosine(horizontal, patch))
            filters.append(weight_C[:, None, None] * wave_pp / response)
    return torch.stack(filters)


def _cosine(frequency: int, length: int) -> Tensor:
    step = torch.arange(length, dtype=torch.float32) + 0.5
    scale = math.sqrt((1 if frequency == 0 else 2) / length)
    return scale * torch.cos(math.pi * frequency * step / length)


def _chosen_frequencies(number: int, patch: int) -> list[tuple[int, int]]:
    every = sorted(
        ((vertical, horizontal) for vertical in range(patch) for horizontal in range(patch)),
        key=lambda pair: (math.hypot(*pair), pair),
    )
    low = min(math.ceil(number * LOW_FREQUENCY_SHARE), len(every))
    rest = every[low:]
    wanted = number - low
    spread = [rest[index * len(rest) // wanted] for index in range(wanted)] if rest else every[:wanted]
    return every[:low] + spread


def _make_energy_detectors(mlp: Any, hidden: int) -> None:
    """gate = up = x in one half of the units and -x in the other: with SiLU, x silu(x) + (-x) silu(-x) = x squared."""
    half = mlp.gate_proj.weight.shape[0] // 2
    signal_IH = torch.eye(hidden).repeat(math.ceil(half / hidden), 1)[:half]
    both_IH = torch.cat([signal_IH, -signal_IH])
    mixing_HH, _ = torch.linalg.qr(torch.randn(hidden, hidden))
    mix_HI = mixing_HH.repeat(1, math.ceil(half / hidden))[:, :half]
    for weight in (mlp.gate_proj.weight, mlp.up_proj.weight):
        weight[: 2 * half].copy_(both_IH)
    mlp.down_proj.weight[:, : 2 * half].copy_(torch.cat([mix_HI, mix_HI], dim=1))
