"""The weights as they were loaded, against which the KL of training is measured.

Of a model that is trained as a whole it is a frozen copy. Under autocast the policy multiplies with weights rounded to
the compute type and keeps the rest in float32; the copy stores exactly that (`store_as_multiplied`), so it takes about
half the memory, and its log-probabilities are those of the untrained policy to the bit: the KL starts at 0. A vision
tower that is not trained is not copied: both models read the same weights and the same kept features.

Of a model with an adapter it is that model, the adapter switched off: nothing is copied.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

from .families import LoadedModel
from .families.storage import store_as_multiplied
from .lora import as_loaded
from .vision import VisionTower


@dataclass(frozen=True)
class Reference:
    """The model to score with inside `entered`; `loaded` has the family, tokenizer and constants of the policy."""

    loaded: LoadedModel
    tower: VisionTower
    entered: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    """To be entered around a pass, not inside of one: where weights are spread, layers are then apart."""

    @staticmethod
    def beside(tower: VisionTower, copied: LoadedModel) -> Reference:
        """The copy that `freeze` made; a frozen tower serves both."""
        return Reference(copied, tower if tower.frozen else VisionTower(copied))

    @staticmethod
    def without_adapter(loaded: LoadedModel, tower: VisionTower) -> Reference:
        """The same model, its adapter as it was loaded: switched off where it was new."""
        return Reference(loaded, tower, lambda: as_loaded(loaded.model))


def freeze(loaded: LoadedModel, *, share_tower: bool) -> LoadedModel:
    """Copies the model as it is now, but for the weights of a vision tower that is not trained."""
    shared = set(loaded.family.vision_parameters(loaded.model)) if share_tower else set()
    model = copy.deepcopy(loaded.model, {id(parameter): parameter for parameter in shared})
    model.requires_grad_(False)
    store_as_multiplied(model, loaded.compute_dtype, shared)
    return replace(loaded, model=model)
