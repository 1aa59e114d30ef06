"""Qwen2-VL and Qwen2.5-VL (arXiv 2409.12191, 2502.13923): the two differ inside the vision tower only.

Suffixes: B rows, L positions, N any number of positions, P patches, D values of a patch, T tokens of one image,
H hidden size, C channels, 3 axes of a position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..attention import Layout
from ..errors import EngineError
from ..positions import Grid, image_token_count, mrope_positions
from .base import ImageConstants, ImagePatches

MODEL_TYPES = ("qwen2_5_vl", "qwen2_vl")


class QwenVlFamily:
    """See `Family`."""

    language_model = "model.language_model"

    def __init__(self, name: str, image_constants: ImageConstants, image_token_id: int) -> None:
        self.name = name
        self.image_constants = image_constants
        self.image_token_id = image_token_id
        self._levels_C256 = _normalised_levels(image_constants)

    def patchify(self, image: Tensor) -> ImagePatches:
        """Rows run over blocks of merge x merge patches, columns over (channel, time, y, x) of a patch.

        Equal in every bit to transformers' own processor: a uint8 has only 256 normalised values per channel, which are
        computed once as that processor computes them, and looked up here.
        """
        constants = self.image_constants
        patch, merge, time = constants.patch_size, constants.merge_size, constants.temporal_patch_size
        height, width, _ = image.shape
        factor = patch * merge
        if image.dtype != torch.uint8 or height % factor or width % factor or not height or not width:
            raise EngineError(
                "bad_argument",
                f"an image of {height} x {width} {image.dtype} cannot be cut into patches: "
                f"expected uint8 with sides that are multiples of {factor}.",
            )
        channel_start_C = torch.arange(3, device=image.device) * 256
        values_HWC = self._levels_C256.to(image.device).flatten()[image.long() + channel_start_C]
        blocks = values_HWC.reshape(height // factor, merge, patch, width // factor, merge, patch, 3)
        blocks = blocks.permute(0, 3, 1, 4, 6, 2, 5).unsqueeze(5)
        values_PD = blocks.expand(-1, -1, -1, -1, -1, time, -1, -1).reshape(-1, 3 * time * patch * patch)
        return ImagePatches(values_PD, (height // patch, width // patch))

    def encode_images(self, model: nn.Module, images: Sequence[ImagePatches]) -> list[Tensor]:
        """See `Family.encode_images`."""
        if not images:
            return []
        values_PD = torch.cat([image.values for image in images])
        grid_thw = torch.tensor([[1, *image.grid] for image in images], device=values_PD.device)
        core: Any = model
        return list(core.model.get_image_features(values_PD, grid_thw, return_dict=True).pooler_output)

    def positions(
        self, input_ids_BL: Tensor, grids: Sequence[Sequence[Grid]], attention_mask_BL: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Family.positions`."""
        return mrope_positions(
            input_ids_BL,
            grids,
            image_token_id=self.image_token_id,
            merge_size=self.image_constants.merge_size,
            attention_mask_BL=attention_mask_BL,
        )

    def expand_placeholders(self, input_ids: Sequence[int], grids: Sequence[Grid]) -> list[int]:
        """See `Family.expand_placeholders`."""
        found = sum(token == self.image_token_id for token in input_ids)
        if found != len(grids):
            raise EngineError(
                "image_count_mismatch",
                f"the rendered prompt has {found} image placeholders, but {len(grids)} images were given; "
                "every image part of the messages needs one image, in the same order.",
            )
        remaining = iter(grids)
        expanded: list[int] = []
        for token in input_ids:
            count = image_token_count(next(remaining), self.image_constants.merge_size) if self._is_image(token) else 1
            expanded.extend([token] * count)
        return expanded

    def forward_hidden(
        self,
        model: nn.Module,
        input_ids_BL: Tensor,
        position_ids_3BL: Tensor,
        *,
        image_features: Sequence[Tensor] = (),
        image_mask_BL: Tensor | None = None,
        layout: Layout | None = None,
    ) -> Tensor:
        """See `Family.forward_hidden`."""
        core: Any = model
        embedded_BLH = core.get_input_embeddings()(input_ids_BL)
        if image_features:
            mask_BL = input_ids_BL == self.image_token_id if image_mask_BL is None else image_mask_BL
            features_NH = torch.cat(list(image_features)).to(embedded_BLH.dtype)
            if int(mask_BL.sum()) != len(features_NH):
                raise EngineError(
                    "image_token_mismatch",
                    f"{int(mask_BL.sum())} image placeholder tokens, but features of {len(features_NH)}; "
                    "encode the prompt again with the target sizes that the images were sent with.",
                )
            embedded_BLH = embedded_BLH.masked_scatter(mask_BL.unsqueeze(-1), features_NH)
        # With a mapping given, transformers builds no mask of its own.
        masks = {} if layout is None else {"attention_mask": {"full_attention": None}, "layout": layout}
        return core.model(
            inputs_embeds=embedded_BLH, position_ids=position_ids_3BL, use_cache=False, **masks
        ).last_hidden_state

    def head(self, model: nn.Module, hidden_NH: Tensor) -> Tensor:
        """See `Family.head`."""
        core: Any = model
        return core.lm_head(hidden_NH)

    def vision_tower(self, model: nn.Module) -> nn.Module:
        """See `Family.vision_tower`."""
        core: Any = model
        return core.model.visual

    def vision_parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """See `Family.vision_parameters`."""
        return list(self.vision_tower(model).parameters())

    def _is_image(self, token: int) -> bool:
        return token == self.image_token_id


def _normalised_levels(constants: ImageConstants) -> Tensor:
    """float32 [3, 256]: what each uint8 level of each channel becomes. Scaled in float64, rounded, then normalised in
    float32: the order of operations in transformers' processor, which decides the last bit."""
    scaled_256 = (np.arange(256, dtype=np.float64) * constants.rescale_factor).astype(np.float32)
    mean_C1 = np.array(constants.mean, dtype=np.float32)[:, None]
    std_C1 = np.array(constants.std, dtype=np.float32)[:, None]
    return torch.from_numpy((scaled_256[None] - mean_C1) / std_C1)
