"""PEFT adapter folders, adapter_config.json and adapter_model.safetensors: read strictly, written as peft reads them.

A weight that is missing, or that has no place in the model, is an error: peft itself warns, and leaves what is missing
at its random or zero start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .adapter_config import AdapterConfig, invalid, read_config
from .checkpoints import some
from .errors import EngineError
from .exports import companion_file, folder_in_place
from .lora import POLICY, parameter_names
from .ranks import ALONE, Ranks
from .strategies import Held

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"


@dataclass(frozen=True)
class SavedAdapter:
    """An adapter folder, its weights not read yet."""

    name: str
    """As it was asked for."""
    config: AdapterConfig
    config_file: Path
    weights: Path

    def read(self, model: nn.Module) -> dict[str, Tensor]:
        """The weights by their names in the file, exactly those that the adapted model has.

        Raises `checkpoint_invalid` that names what is missing, too much, or of another shape.
        """
        parameters = dict(model.named_parameters())
        expected = {name: parameters[own].shape for name, own in parameter_names(model).items()}
        try:
            with safe_open(self.weights, framework="pt") as file:
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError) as error:
            raise invalid(self.weights, f"is not a complete safetensors file: {error}") from error
        self._check(found, expected)
        return found

    def _check(self, found: Mapping[str, Tensor], expected: Mapping[str, torch.Size]) -> None:
        base = self.config.base
        missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        if missing or unknown:
            parts = [
                f"{len(names)} {what} ({some(names)})"
                for names, what in ((missing, "weights are missing"), (unknown, "have no place in the model"))
                if names
            ]
            raise invalid(self.weights, f"does not fit {base}: {'; '.join(parts)}. {_layout_advice(unknown)}")
        for name, shape in expected.items():
            if found[name].shape != shape:
                raise invalid(
                    self.weights, f"{name} has shape {list(found[name].shape)}, but {base} needs {list(shape)}."
                )


def find_adapter(path_or_id: str, revision: str | None = None) -> SavedAdapter | None:
    """The adapter in a folder or hub repository; None where that is no adapter.

    Raises what `read_config` raises, and `checkpoint_invalid` for one that is not in safetensors.
    """
    config_file = _file(path_or_id, CONFIG, revision)
    if config_file is None:
        return None
    if _file(path_or_id, "config.json", revision) is not None:
        raise EngineError(
            "checkpoint_invalid",
            f'"{path_or_id}" has both config.json and {CONFIG}, so it may be a model or an adapter of one; remove one.',
        )
    config = read_config(config_file)
    weights = _file(path_or_id, WEIGHTS, revision)
    if weights is None:
        pickled = _file(path_or_id, PICKLED, revision) is not None
        why = f"; {PICKLED} is a pickle, which can run code and is not read: save it as safetensors" if pickled else ""
        raise EngineError("checkpoint_invalid", f'"{path_or_id}" has {CONFIG}, but no {WEIGHTS}{why}.')
    return SavedAdapter(path_or_id, config, config_file, weights)


def write_adapter(
    model: nn.Module,
    held: Mapping[str, Held],
    path: Path,
    config: Mapping[str, Any],
    base: str,
    base_revision: str | None,
    ranks: Ranks = ALONE,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """An adapter folder under its final name when complete, float32, so that it gives back what was trained to the bit.
    All ranks call it together, and the first one writes.

    A base that is a folder is named by its absolute path.
    """
    weights = {
        name: held[own].whole().float().cpu().contiguous() for name, own in parameter_names(model, POLICY).items()
    }
    written = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(Path(base).resolve()) if Path(base).is_dir() else base,
        "revision": base_revision,
        "inference_mode": True,
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": None,
        **config,
    }
    with ranks.together(tick):
        if ranks.rank == 0:
            with folder_in_place(path) as partial:
                text = json.dumps(written, indent=2, sort_keys=True) + "\n"
                (partial / CONFIG).write_text(text, encoding="utf-8")
                save_file(weights, partial / WEIGHTS, {"format": "pt"})


def _file(path_or_id: str, name: str, revision: str | None) -> Path | None:
    try:
        return companion_file(path_or_id, name, revision)
    except OSError:
        return None  # no folder and no hub id: whoever reads the model says so


def _layout_advice(unknown: list[str]) -> str:
    if any(name.startswith("base_model.model.model.layers.") for name in unknown):
        return (
            "Its names are those of transformers 4, where the language model had no name of its own: rename "
            '"base_model.model.model.layers." to "base_model.model.model.language_model.layers." in the file.'
        )
    return "Expected the weights of an adapter of this very model, with the names that peft gives them."
