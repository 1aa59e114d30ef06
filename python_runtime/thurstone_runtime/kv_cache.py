"""Keys and values of a decode loop: those of a prompt once, whatever the number of its completions, and those of every
completion in room that is made ahead.

Suffixes: P prompts of a section, R rows still in the loop, L positions of a prompt, T of a completion, h query heads,
k key heads, D values of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .attention import PackedLayout, Rows, attend, fold_heads, merge, unfold_heads

GROWTH = 1.5
KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class PrefillLayout(PackedLayout):
    """Of a row of prompts; keeps what they leave for their completions."""

    kept: list[list[KeysValues]] = field(default_factory=list)
    """[layer][block]: keys and values [P, k, L, D]."""

    def attend(self, layer: int, query_ThD: Tensor, key_TkD: Tensor, value_TkD: Tensor, scale: float) -> Tensor:
        """See `Layout.attend`."""
        states = (key_TkD, value_TkD)
        self.kept.append([tuple(block.keys.laid_out(each).contiguous() for each in states) for block in self.blocks])  # pyright: ignore
        return super().attend(layer, query_ThD, key_TkD, value_TkD, scale)


@dataclass
class PromptSection:
    """Prompts of one length."""

    prompts: NDArray[np.int64]
    """Their numbers."""
    layers: list[KeysValues]
    """[P, k, L, D] each"""

    def keep(self, wanted_P: NDArray[np.bool_]) -> None:
        """Forgets the other prompts."""
        self.prompts = self.prompts[wanted_P]
        kept = torch.from_numpy(np.flatnonzero(wanted_P)).to(self.layers[0][0].device)
        self.layers = [(keys[kept], values[kept]) for keys, values in self.layers]


class DecodeLayout:
    """Of a step that feeds one token to every row. `prompt_R` is the prompt of each row; the rows of a prompt stand
    together, in the order in which `sections` list the prompts."""

    def __init__(self, sections: Sequence[PromptSection], samples: int, room: int, *, plain: bool) -> None:
        self._sections = list(sections)
        self._plain = plain
        self._filled = 0
        self.prompt_R = np.concatenate([section.prompts for section in sections]).repeat(samples)
        self._own = [
            tuple(like.new_empty(len(self.prompt_R), like.shape[1], room, like.shape[3]) for like in layer)
            for layer in sections[0].layers
        ]
        """[R, k, room, D] each, filled up to `_filled`."""
        self._rows = self._rows_of_sections()

    def attend(self, layer: int, query_ThD: Tensor, key_TkD: Tensor, value_TkD: Tensor, scale: float) -> Tensor:
        """See `Layout.attend`; T is R."""
        keys_RkTD, values_RkTD = (own[:, :, : self._filled + 1] for own in self._own[layer])
        keys_RkTD[:, :, -1], values_RkTD[:, :, -1] = key_TkD, value_TkD
        heads = key_TkD.shape[1]
        query = fold_heads(query_ThD.unsqueeze(2), heads)
        own, own_logsumexp = attend(query, keys_RkTD, values_RkTD, scale, causal=False, plain=self._plain)
        outputs, logsumexps = [], []
        for section, rows in zip(self._sections, self._rows, strict=True):
            query = fold_heads(rows.laid_out(query_ThD), heads)
            output, logsumexp = attend(query, *section.layers[layer], scale, causal=False, plain=self._plain)
            outputs.append(rows.flat(unfold_heads(output, rows.length)))
            logsumexps.append(rows.flat(unfold_heads(logsumexp, rows.length)))
        merged, _ = merge(own.flatten(1, 2), own_logsumexp.flatten(1, 2), torch.cat(outputs), torch.cat(logsumexps))
        return merged

    def advance(self) -> None:
        """The token that every layer has seen counts from now on."""
        self._filled += 1
        if self._filled == self._own[0][0].shape[2]:
            self._own = [tuple(_grown(own) for own in layer) for layer in self._own]

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Drops all other rows, and prompts that are left without any."""
        self.prompt_R = self.prompt_R[rows]
        on_device = torch.from_numpy(rows).to(self._own[0][0].device)
        self._own = [tuple(own[on_device] for own in layer) for layer in self._own]
        for section in self._sections:
            wanted_P = np.isin(section.prompts, self.prompt_R)
            if not wanted_P.all():
                section.keep(wanted_P)
        self._sections = [section for section in self._sections if len(section.prompts)]
        self._rows = self._rows_of_sections()

    def _rows_of_sections(self) -> list[Rows]:
        found, filled = [], 0
        device = self._own[0][0].device
        for section in self._sections:
            count_P = (self.prompt_R[:, None] == section.prompts).sum(axis=0)
            tokens = slice(filled, filled + int(count_P.sum()))
            found.append(Rows.of_lengths(tokens, count_P, device))
            filled = tokens.stop
        return found


def _grown(own: Tensor) -> Tensor:
    rows, heads, room, size = own.shape
    larger = own.new_empty(rows, heads, int(room * GROWTH) + 1, size)
    larger[:, :, :room] = own
    return larger
