"""Opens a model with its adapter, whichever of the two is named, and writes both out again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from .adapter_files import SavedAdapter, find_adapter, write_adapter
from .errors import EngineError
from .exports import export_model
from .families import LoadedModel, Whereabouts, load_model
from .families.quantization import is_quantised
from .lora import DEFAULTS, LoraSettings, attach_new, attach_saved
from .ranks import Ranks
from .strategies import Held

_MODEL_SETTINGS = ("device", "torch_dtype", "attention", "train", "four_bit", "min_pixels", "max_pixels")
_SHAPING = ("r", "lora_alpha", "use_rslora", "use_dora")


@dataclass(frozen=True)
class Adapter:
    """What a model was given an adapter by."""

    config: dict[str, Any]
    """By the names of peft."""
    base: str
    """Folder or hub id of the model that it adapts."""
    base_revision: str | None

    def settings(self) -> dict[str, Any]:
        """What changes the meaning of its weights, for training state."""
        return {name: self.config.get(name, DEFAULTS[name]) for name in _SHAPING}

    def export(
        self,
        model: PreTrainedModel,
        held: Mapping[str, Held],
        path: Path,
        dtype: torch.dtype,
        ranks: Ranks,
        tick: Callable[[], None],
        *,
        merge: bool,
    ) -> None:
        """An adapter folder in float32, or with `merge` a checkpoint of the whole model in this type. All ranks call it
        together, and the first one writes."""
        if not merge:
            write_adapter(model, held, path, self.config, self.base, self.base_revision, ranks, tick)
        elif is_quantised(model):
            raise EngineError(
                "bad_argument",
                "the base is held in 4 bits, and merging into it would write its rounding into the model; export the "
                "adapter, and merge that into its base (thurstone export ADAPTER --merge).",
            )
        else:
            export_model(model, held, path, dtype, self.base, self.base_revision, ranks, tick)


def open_adapted(settings: dict[str, Any], weights: Whereabouts = "device") -> tuple[LoadedModel, Adapter | None]:
    """The model of the parameters of `load`, and its adapter: a new one that they ask for, or one that `model` names.

    Raises what `load_model`, `find_adapter` and `lora` raise, and `bad_argument` for settings that contradict the
    adapter, or that would train all weights beneath one.
    """
    lora = None if settings["lora"] is None else LoraSettings(**settings["lora"])
    saved = find_adapter(settings["model"], settings["revision"])
    _check(settings, lora, saved)
    named = (settings["model"], settings["revision"])
    base, revision = named if saved is None else (saved.config.base, saved.config.base_revision)
    own = {name: settings[name] for name in _MODEL_SETTINGS}
    loaded = load_model(base, revision=revision, frozen=lora is not None, weights=weights, **own)
    if saved is not None:
        config = saved.config.fields if lora is None else _continued(saved, lora)
        reference = settings["train"] and settings["reference"]
        attach_saved(loaded, config, saved.config_file, saved.read, train=settings["train"], reference=reference)
        return loaded, Adapter(config, base, revision)
    if lora is not None:
        return loaded, Adapter(attach_new(loaded, lora), base, revision)
    return loaded, None


def _check(settings: dict[str, Any], lora: LoraSettings | None, saved: SavedAdapter | None) -> None:
    if lora is not None and not settings["train"]:
        raise EngineError(
            "bad_argument", "load: lora asks for an adapter to train, and train is false; leave lora out."
        )
    if settings["four_bit"] and lora is None:
        raise EngineError("bad_argument", "load: four_bit holds weights that only an adapter can train; give lora.")
    if saved is not None and settings["train"] and lora is None:
        raise EngineError(
            "bad_argument",
            f'"{saved.name}" is an adapter, and all weights are to be trained: set use_peft to go on training the '
            "adapter, or merge it into a model first (thurstone export --merge).",
        )


def _continued(saved: SavedAdapter, lora: LoraSettings) -> dict[str, Any]:
    """The adapter's own configuration; only its dropout may be another than it was."""
    found = {**DEFAULTS, **saved.config.fields}
    other = [
        f"{name} is {found[name]} there and {value} here"
        for name, value in lora.asked().items()
        if name != "lora_dropout" and found[name] != value
    ]
    if lora.target_modules is not None:
        other.append("its layers are chosen already, and lora_target_modules is set")
    if other:
        raise EngineError(
            "bad_argument",
            f'training is to go on with the adapter "{saved.name}", and settings contradict it: {"; ".join(other)}. '
            "Leave them out, or begin with a model.",
        )
    return {**saved.config.fields, **({} if lora.dropout is None else {"lora_dropout": lora.dropout})}
