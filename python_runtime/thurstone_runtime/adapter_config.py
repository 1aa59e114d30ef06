"""adapter_config.json of a PEFT adapter folder, read strictly.

Only fields that are listed here are used: others could change what is computed, and some of peft's name modules to
import. What is used is checked before peft sees it, so that a wrong value is said in words and by its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .arguments import Reader, Table, Unfit, flag, integer, list_of, number, text
from .checkpoints import some
from .errors import EngineError


def _scale(value: Any) -> Any:
    """A finite number as it is written: 8 stays 8 where it is written again."""
    number()(value)
    return value


def _pattern(value: Any) -> str:
    try:
        re.compile(text(value))
    except re.error as error:
        raise Unfit(f"a regular expression ({error})") from None
    return value


def _one_or_list(item: Reader, one: Reader) -> Reader:
    return lambda value: list_of(item)(value) if isinstance(value, list) else one(value)


def _by_pattern(item: Reader) -> Reader:
    """Values of single layers, by what finds their names."""

    def reader(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Unfit("a map from names of layers")
        return dict(zip(map(_pattern, value), list_of(item)(list(value.values())), strict=True))

    return reader


_USED: Table = {
    "r": integer(1),
    "lora_alpha": _scale,
    "lora_dropout": number(0, 1),
    "target_modules": _one_or_list(text, _pattern),
    "exclude_modules": _one_or_list(text, _pattern),
    "use_rslora": flag,
    "use_dora": flag,
    "lora_bias": flag,
    "rank_pattern": _by_pattern(integer(1)),
    "alpha_pattern": _by_pattern(_scale),
    "layers_to_transform": _one_or_list(integer(0), integer(0)),
    "layers_pattern": _one_or_list(_pattern, _pattern),
}
_WITHOUT_EFFECT = (
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "inference_mode",
    "init_lora_weights",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "revision",
    "task_type",
)
"""Say where an adapter comes from, how it began, or belong to a feature that another field switches on."""

_BEGINNINGS = (None, True, False, "gaussian", "eva", "orthogonal")
"""Values of init_lora_weights that leave the adapted weights and what is trained alone. Of the others pissa, olora,
corda, loftq and lora_ga take out of the model what the adapter begins with, so that its weights fit no checkpoint that
has a name, and mica trains half of the adapter."""


@dataclass(frozen=True)
class AdapterConfig:
    """What is used of a file."""

    fields: dict[str, Any]
    """What peft is given of it."""
    base: str
    """Folder or hub id of the model that is adapted."""
    base_revision: str | None


def read_config(path: Path) -> AdapterConfig:
    """What the file says of an adapter and its model.

    Raises `checkpoint_invalid` for a file or a value that is damaged, `unsupported_model` for what is no LoRA or uses
    what the worker does not.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise invalid(path, f"cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("base_model_name_or_path"), str):
        raise invalid(path, "does not name the model that is adapted (base_model_name_or_path).")
    _check_kind(path, config)
    return AdapterConfig(
        fields={name: found for name in _USED if (found := _value(path, config, name, _USED[name])) is not None},
        base=config["base_model_name_or_path"],
        base_revision=_value(path, config, "revision", text),
    )


def invalid(path: Path, reason: str) -> EngineError:
    """A file of an adapter that is not what it should be; `reason` completes the sentence that begins with its name."""
    return EngineError("checkpoint_invalid", f"{path} {reason}")


def _check_kind(path: Path, config: dict[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise EngineError("unsupported_model", f"{path}: peft_type is {config.get('peft_type')!r}; LORA is read.")
    if config.get("bias", "none") != "none":
        raise EngineError("unsupported_model", f'{path}: bias is {config["bias"]!r}; only "none" is read.')
    if config.get("init_lora_weights") not in _BEGINNINGS:
        names = ", ".join(json.dumps(kind) for kind in _BEGINNINGS)
        raise EngineError(
            "unsupported_model",
            f"{path}: init_lora_weights is {json.dumps(config['init_lora_weights'])}; adapters that began as one of "
            f"{names} are read, because others change the weights of the model or what is trained. In the program that "
            "trained it, convert it (save_pretrained with path_initial_model_for_weight_conversion) or merge it "
            "(merge_and_unload).",
        )
    known = {*_USED, *_WITHOUT_EFFECT, "bias"}
    other = sorted(name for name, value in config.items() if name not in known and value not in (None, False, {}, []))
    if other:
        raise EngineError("unsupported_model", f"{path} sets {some(other)}, which the worker does not know.")


def _value(path: Path, config: dict[str, Any], name: str, reader: Reader) -> Any:
    """None where the file leaves it open."""
    value = config.get(name)
    try:
        return None if value is None else reader(value)
    except Unfit as reason:
        raise invalid(path, f"is damaged: {name} must be {reason}; it is {json.dumps(value)[:80]}.") from None
