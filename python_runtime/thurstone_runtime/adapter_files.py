"""PEFT adapter folders, adapter_config.json and adapter_model.safetensors: read strictly, written as peft reads them.

Of the configuration only fields that are listed here are used: others could change what is computed, and some of peft's
name modules to import. A weight that is missing, or that has no place in the model, is an error: peft itself warns, and
leaves what is missing at its random or zero start.
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

from .checkpoints import some
from .errors import EngineError
from .exports import companion_file, folder_in_place
from .lora import POLICY, parameter_names
from .ranks import ALONE, Ranks
from .strategies import Held

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"

_USED = (
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "exclude_modules",
    "use_rslora",
    "use_dora",
    "lora_bias",
    "rank_pattern",
    "alpha_pattern",
    "layers_to_transform",
    "layers_pattern",
)
_WITHOUT_EFFECT = (
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "init_lora_weights",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "revision",
    "task_type",
)
"""Say where an adapter comes from, how it began, or belong to a feature that another field switches on."""


@dataclass(frozen=True)
class SavedAdapter:
    """An adapter folder, its weights not read yet."""

    name: str
    """As it was asked for."""
    config: dict[str, Any]
    """What peft is given of it."""
    base: str
    """Folder or hub id of the model that it adapts."""
    base_revision: str | None
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
            raise _invalid(self.weights, f"is not a complete safetensors file: {error}") from error
        self._check(found, expected)
        return found

    def _check(self, found: Mapping[str, Tensor], expected: Mapping[str, torch.Size]) -> None:
        missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        if missing or unknown:
            parts = [
                f"{len(names)} {what} ({some(names)})"
                for names, what in ((missing, "weights are missing"), (unknown, "have no place in the model"))
                if names
            ]
            raise _invalid(self.weights, f"does not fit {self.base}: {'; '.join(parts)}. {_layout_advice(unknown)}")
        for name, shape in expected.items():
            if found[name].shape != shape:
                raise _invalid(
                    self.weights, f"{name} has shape {list(found[name].shape)}, but {self.base} needs {list(shape)}."
                )


def find_adapter(path_or_id: str, revision: str | None = None) -> SavedAdapter | None:
    """The adapter in a folder or hub repository; None where that is no adapter.

    Raises `checkpoint_invalid` for one that is damaged or not named in safetensors, `unsupported_model` for one that is
    no LoRA or uses what the worker does not.
    """
    config_file = _file(path_or_id, CONFIG, revision)
    if config_file is None:
        return None
    if _file(path_or_id, "config.json", revision) is not None:
        raise EngineError(
            "checkpoint_invalid",
            f'"{path_or_id}" has both config.json and {CONFIG}, so it may be a model or an adapter of one; remove one.',
        )
    config = _read_config(config_file)
    weights = _file(path_or_id, WEIGHTS, revision)
    if weights is None:
        pickled = _file(path_or_id, PICKLED, revision) is not None
        why = f"; {PICKLED} is a pickle, which can run code and is not read: save it as safetensors" if pickled else ""
        raise EngineError("checkpoint_invalid", f'"{path_or_id}" has {CONFIG}, but no {WEIGHTS}{why}.')
    return SavedAdapter(
        name=path_or_id,
        config={name: config[name] for name in _USED if config.get(name) is not None},
        base=config["base_model_name_or_path"],
        base_revision=config.get("revision"),
        weights=weights,
    )


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


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _invalid(path, f"cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("base_model_name_or_path"), str):
        raise _invalid(path, "does not name the model that is adapted (base_model_name_or_path).")
    if config.get("peft_type") != "LORA":
        raise EngineError("unsupported_model", f"{path}: peft_type is {config.get('peft_type')!r}; LORA is read.")
    if config.get("bias", "none") != "none":
        raise EngineError("unsupported_model", f'{path}: bias is {config["bias"]!r}; only "none" is read.')
    known = {*_USED, *_WITHOUT_EFFECT, "bias"}
    other = sorted(name for name, value in config.items() if name not in known and value not in (None, False, {}, []))
    if other:
        raise EngineError("unsupported_model", f"{path} sets {some(other)}, which the worker does not know.")
    return config


def _layout_advice(unknown: list[str]) -> str:
    if any(name.startswith("base_model.model.model.layers.") for name in unknown):
        return (
            "Its names are those of transformers 4, where the language model had no name of its own: rename "
            '"base_model.model.model.layers." to "base_model.model.model.language_model.layers." in the file.'
        )
    return "Expected the weights of an adapter of this very model, with the names that peft gives them."


def _invalid(path: Path, reason: str) -> EngineError:
    return EngineError("checkpoint_invalid", f"{path} {reason}")
