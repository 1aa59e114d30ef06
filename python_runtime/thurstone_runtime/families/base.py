"""What a family of vision-language models must offer, and what a loaded checkpoint looks like to the worker.

Suffixes: B rows, L positions, K cached positions, N any number of positions, P patches, D values of a patch,
T tokens of one image, H hidden size, V vocabulary, 3 axes of a position.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ..positions import Grid
from ..ranks import ALONE, Ranks

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..attention import Layout


Result = TypeVar("Result")


@dataclass(frozen=True)
class ImageConstants:
    """The numbers of a checkpoint's preprocessor_config.json."""

    patch_size: int
    merge_size: int
    temporal_patch_size: int
    min_pixels: int
    max_pixels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rescale_factor: float


class ImagePatches(NamedTuple):
    """One image as the vision tower takes it."""

    values: Tensor
    """float32 [P, D], normalised, in the tower's patch order."""
    grid: Grid


class Family(Protocol):
    """Everything that differs between model families. Holds constants only; the model is always passed in, so that the
    trained model and a frozen reference share one family."""

    name: str
    image_constants: ImageConstants
    image_token_id: int
    language_model: str
    """Name of the language model in the module tree; its layers are `<name>.layers.<number>`."""

    def patchify(self, image: Tensor) -> ImagePatches:
        """uint8 [height, width, 3] at its final size, on any device -> patches on the same device."""
        ...

    def encode_images(self, model: nn.Module, images: Sequence[ImagePatches]) -> list[Tensor]:
        """One pass of the vision tower over all images: features [T, H] per image, with gradient where enabled.

        The last bits of a feature depend on what else is in the pass: to get the same bits every time, pass one image.
        """
        ...

    def positions(
        self, input_ids_BL: Tensor, grids: Sequence[Sequence[Grid]], attention_mask_BL: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Position ids int64 [3, B, L] and the next position of each row int64 [B]; `grids[row]` per image."""
        ...

    def expand_placeholders(self, input_ids: Sequence[int], grids: Sequence[Grid]) -> list[int]:
        """Replaces the k-th image placeholder by as many tokens as the k-th image has.
        Raises `image_count_mismatch` when there are more or fewer placeholders than images."""
        ...

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
        """Last hidden state after the final norm [B, L, H].

        Without a `layout` every row is causal, and padding stands behind it; with one B is 1, and the layout says who
        sees whom. `image_features` in the order of the placeholders, row after row; `image_mask_BL` marks these, by
        default every placeholder id: give it where rows hold sampled tokens, in which that id stands for no image.
        """
        ...

    def head(self, model: nn.Module, hidden_NH: Tensor) -> Tensor:
        """Logits [N, V] (any leading shape). Pass only the positions whose logits are needed."""
        ...

    def vision_tower(self, model: nn.Module) -> nn.Module:
        """The vision tower, its projection into the text model included."""
        ...

    def vision_parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """All parameters of the vision tower, its projection into the text model included."""
        ...


def directly(work: Callable[[], Any]) -> Any:
    """Does the work: the entrance of a model whose weights are all here."""
    return work()


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint in memory: weights, tokenizer, and every constant that the verbs report."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: Family
    device: torch.device
    compute_dtype: torch.dtype
    """Type of the matrix products; weights that are trained are float32, and so are those that others read as well."""
    attention: str
    source_dtype: torch.dtype
    """Type that the checkpoint's config names; `export` with dtype "source" writes it."""
    vocab_size: int
    max_position_embeddings: int
    eos_token_ids: tuple[int, ...]
    """Every id that ends a completion: the generation config's, the tokenizer's."""
    end_of_turn_id: int
    """The tokenizer's own end token, the one to append to a written answer."""
    pad_token_id: int
    chat_template: str | None
    entrance: Callable[[Callable[[], Any]], Any] = directly
    """What every pass goes through: where weights are spread over ranks, it brings them together and apart again."""
    ranks: Ranks = ALONE
    """Those that must make every pass with this one, because they hold parts of the weights."""

    @property
    def plain_attention(self) -> bool:
        """Whether text attention is plain matrix products, whatever kernels the device has."""
        return self.attention == "eager"

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Computes in `compute_dtype`; nothing to do when the weights have that type already.

        Enter it once around a whole forward or a whole decode loop: the cast weights are kept until it is left, unless
        weights are spread over ranks, of which nobody is to keep all.
        """
        if all(weight.dtype == self.compute_dtype for weight in self.model.parameters() if weight.is_floating_point()):
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.compute_dtype, cache_enabled=not self.ranks.in_step)

    def run(self, work: Callable[[], Result]) -> Result:
        """Does `work`, which is a pass of the model or several, in `compute_dtype`."""

        def computing() -> Result:
            with self.autocast():
                return work()

        return self.entrance(computing)
