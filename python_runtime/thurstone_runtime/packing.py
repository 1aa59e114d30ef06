"""All groups of a part in one row: every prompt once, its completions behind it, each blind to the others.

Of G completions of T tokens behind a prompt of P, P + G T tokens are computed instead of the G (P + T) of padded rows,
in one pass. Which token sees which is for `attention` to keep; here the row is laid out: groups whose prompts are of
one length stand together, because a kernel can take them together.

Suffixes: P prompts, one per group; C completions; L positions of padded prompts; T tokens of the packed row; N scored
tokens of all completions; H hidden size; 3 axes of a position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .attention import Block, PackedLayout, Rows
from .batches import Group
from .families import LoadedModel
from .ragged import counted
from .vision import EncodedPicture

Encoded = Sequence[Sequence[EncodedPicture]]


@dataclass(frozen=True)
class PackedRow:
    """What is fed, and how it is read."""

    ids: Tensor
    """int64 [T]"""
    position: Tensor
    """int64 [3, T]"""
    image_mask: Tensor
    """bool [T]: where image features go."""
    image_features: list[Tensor]
    """In the order of the row."""
    blocks: tuple[Block, ...]
    predicting: Tensor
    """int64 [N]: the token in front of each scored one, completion after completion in the order of the groups."""
    sections: tuple[tuple[int, ...], ...]
    """Numbers of the groups that stand together; the block of this number is that of their prompts."""
    last_prompt: Tensor
    """int64 [P]: the last token of each prompt, in the order of the groups."""
    next_position: Tensor
    """int64 [P]: of the token behind each prompt, in the order of the groups."""


def packed_hidden(loaded: LoadedModel, groups: Sequence[Group], encoded: Encoded) -> Tensor:
    """[N, H]: the hidden states that predict completion tokens; `encoded[group]` are the pictures of its prompt."""
    row = pack(loaded, groups, encoded)
    layout = PackedLayout(row.blocks, plain=loaded.plain_attention)
    return forward_row(loaded, row, layout)[row.predicting.to(loaded.device)]


def forward_row(loaded: LoadedModel, row: PackedRow, layout: PackedLayout) -> Tensor:
    """[T, H]"""
    hidden_1TH = loaded.family.forward_hidden(
        loaded.model,
        row.ids[None].to(loaded.device),
        row.position[:, None].to(loaded.device),
        image_features=row.image_features,
        image_mask_BL=row.image_mask[None].to(loaded.device),
        layout=layout,
    )
    return hidden_1TH[0]


def pack(loaded: LoadedModel, groups: Sequence[Group], encoded: Encoded) -> PackedRow:
    """Lays the row out. The last token of a completion predicts nothing that is scored, so it is not fed; what a
    completion feeds counts on in text positions, whatever its ids are."""
    length_P = np.array([len(group.prompt) for group in groups])
    position_3PL, next_P = _prompt_positions(loaded, groups, length_P, encoded)
    sections = [np.flatnonzero(length_P == length).tolist() for length in np.unique(length_P)]
    ids, positions, blocks = [], [], ([], [])
    # Where a completion's first token and those it feeds are predicted from.
    last_prompt_P = np.zeros(len(groups), np.int64)
    first_fed_P = np.zeros(len(groups), np.int64)
    filled = 0
    for section in sections:
        length = int(length_P[section[0]])
        prompts = Rows(slice(filled, filled + len(section) * length), len(section), length)
        ids += [groups[number].prompt for number in section]
        positions.append(position_3PL[:, section, :length].reshape(3, -1))
        last_prompt_P[section] = filled + length * np.arange(1, len(section) + 1) - 1
        filled = prompts.tokens.stop
        blocks[0].append(Block(prompts, prompts, causal=True))

        fed = [_fed_lengths(groups[number]) for number in section]
        fed_P = np.array([own.sum() for own in fed])
        fed_C = np.concatenate(fed)
        if not fed_C.any():
            continue
        first_fed_P[section] = filled + np.cumsum(fed_P) - fed_P
        ids += [one[:-1] for number in section for one in groups[number].completions]
        counted_on = np.repeat(next_P[section], fed_P) + counted(fed_C)
        positions.append(np.broadcast_to(counted_on, (3, len(counted_on))))
        tokens = slice(filled, filled + len(counted_on))
        filled = tokens.stop
        by_prompt = Rows.of_lengths(tokens, fed_P, loaded.device)
        by_completion = Rows.of_lengths(tokens, fed_C[fed_C > 0], loaded.device)
        blocks[1].append(Block(by_prompt, prompts, causal=False))
        blocks[1].append(Block(by_completion, by_completion, causal=True, more=True))

    ids_T = torch.from_numpy(np.concatenate(ids).astype(np.int64))
    order = [number for section in sections for number in section]
    in_prompt_T = torch.zeros(filled, dtype=torch.bool)
    for block in blocks[0]:
        in_prompt_T[block.queries.tokens] = True
    return PackedRow(
        ids=ids_T,
        position=torch.from_numpy(np.concatenate(positions, axis=1)),
        image_mask=in_prompt_T & (ids_T == loaded.family.image_token_id),
        image_features=[picture.features for number in order for picture in encoded[number]],
        blocks=(*blocks[0], *blocks[1]),
        predicting=torch.from_numpy(_predicting(groups, last_prompt_P, first_fed_P)),
        sections=tuple(map(tuple, sections)),
        last_prompt=torch.from_numpy(last_prompt_P),
        next_position=torch.from_numpy(next_P),
    )


def _prompt_positions(
    loaded: LoadedModel, groups: Sequence[Group], length_P: NDArray[np.int64], encoded: Encoded
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    is_prompt_PL = np.arange(length_P.max()) < length_P[:, None]
    ids_PL = np.full(is_prompt_PL.shape, loaded.pad_token_id, dtype=np.int64)
    ids_PL[is_prompt_PL] = np.concatenate([group.prompt for group in groups])
    position_3PL, next_P = loaded.family.positions(
        torch.from_numpy(ids_PL),
        [[picture.grid for picture in own] for own in encoded],
        torch.from_numpy(is_prompt_PL.astype(np.int64)),
    )
    return position_3PL.numpy(), next_P.numpy()


def _fed_lengths(group: Group) -> NDArray[np.int64]:
    return np.array([max(len(completion) - 1, 0) for completion in group.completions], np.int64)


def _predicting(
    groups: Sequence[Group], last_prompt_P: NDArray[np.int64], first_fed_P: NDArray[np.int64]
) -> NDArray[np.int64]:
    pieces = []
    for number, group in enumerate(groups):
        fed = first_fed_P[number]
        for completion in group.completions:
            if len(completion):
                pieces.append([last_prompt_P[number]])
                pieces.append(np.arange(fed, fed + len(completion) - 1))
                fed += len(completion) - 1
    return np.concatenate(pieces).astype(np.int64) if pieces else np.zeros(0, np.int64)
