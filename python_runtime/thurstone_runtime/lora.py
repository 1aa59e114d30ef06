"""LoRA adapters (arXiv 2106.09685): peft's layers, put where the linear layers stand in the model's own module tree.

`peft.inject_adapter_in_model` is used and not PeftModel, so that families and strategies find the tree that they know,
and parameters keep their names but for the `base_layer` of a wrapped one. A layer whose adapter is switched off
computes what it did before, to the bit: that is the reference, without a second model.

The adapter is named "default". One that training goes on with is there twice where a reference is asked for: as
"reference" it keeps the values that it was loaded with.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import EngineError
from .families import LoadedModel
from .random_draws import ADAPTER, draw_seed
from .strategies import Held

POLICY, REFERENCE = "default", "reference"
ALL_LINEAR = "all-linear"

DEFAULTS = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "use_rslora": False, "use_dora": False}


@dataclass(frozen=True)
class LoraSettings:
    """What `load` asks for; None is the default, or what an adapter that training goes on with has."""

    seed: int
    """Of the run: first weights and dropout follow from it."""
    r: int | None = None
    alpha: int | None = None
    dropout: float | None = None
    target_modules: Sequence[str] | None = None
    """Names of linear layers of the language model, as q_proj or layers.0.mlp.up_proj; None or "all-linear": all."""
    use_rslora: bool | None = None
    use_dora: bool | None = None

    def asked(self) -> dict[str, Any]:
        """What is not left open, by the names of peft."""
        named = {
            "r": self.r,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "use_rslora": self.use_rslora,
            "use_dora": self.use_dora,
        }
        return {name: value for name, value in named.items() if value is not None}


def attach_new(loaded: LoadedModel, settings: LoraSettings) -> dict[str, Any]:
    """A fresh adapter, which changes nothing yet (B is zero), as the only thing that is trained.

    Returns its configuration, by the names of peft. Raises `bad_argument` for targets that are no linear layers of the
    language model, `package_missing`.
    """
    chosen = choose_targets(loaded, settings.target_modules)
    config = {**DEFAULTS, **settings.asked(), "target_modules": _pattern(loaded, chosen)}
    _inject(loaded.model, config, POLICY, settings.seed)
    _check_attached(loaded.model, chosen)
    _store(loaded.model, torch.float32, trained=True)
    return config


def attach_saved(
    loaded: LoadedModel,
    config: dict[str, Any],
    config_file: Path,
    read: Callable[[nn.Module], dict[str, Tensor]],
    *,
    train: bool,
    reference: bool,
) -> None:
    """An adapter as it was saved; `read` gives the weights for the adapted model, see `parameter_names`.

    For training it is float32 and all that is trained, with a frozen twin where a `reference` is asked for; otherwise
    it has the type of the computation. Raises `bad_argument` where training would reach the vision tower,
    `checkpoint_invalid` that names the file where peft does not take the configuration for this model.
    """
    try:
        _inject(loaded.model, config, POLICY, seed=0)
    except (TypeError, ValueError, re.error) as error:
        raise EngineError("checkpoint_invalid", f"{config_file} does not fit its model: {error}") from error
    if train:
        _check_trained(loaded)
    weights = read(loaded.model)
    fill(loaded.model, weights, POLICY)
    if reference:
        _inject(loaded.model, config, REFERENCE, seed=0)
        fill(loaded.model, weights, REFERENCE)
    _store(loaded.model, torch.float32 if train else loaded.compute_dtype, trained=train)


def choose_targets(loaded: LoadedModel, names: Sequence[str] | None) -> list[str]:
    """Full names of the layers to adapt, in the order of the model; see `LoraSettings.target_modules`."""
    linears = _linears(loaded)
    if names is None or list(names) == [ALL_LINEAR]:
        return linears
    chosen: set[str] = set()
    for name in names:
        found = [linear for linear in linears if _is_called(linear, name)]
        if not found:
            raise EngineError("bad_argument", _why_not(loaded, name, linears))
        chosen.update(found)
    return [linear for linear in linears if linear in chosen]


def lora_layers(model: nn.Module) -> dict[str, Any]:
    """The wrapped layers by name; known by what they hold, so that peft is imported only where it is used."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def parameter_names(model: nn.Module, adapter: str = POLICY) -> dict[str, str]:
    """Names of the adapter's parameters by those that peft gives them in a file."""
    names: dict[str, str] = {}
    for layer, module in lora_layers(model).items():
        for name, _ in module.named_parameters():
            kind, _, rest = name.partition(f".{adapter}.")
            if not rest:
                continue
            # The magnitudes of DoRA were once a parameter of the layer itself, and files still have them so.
            tail = "" if kind == "lora_magnitude_vector" else f".{rest}"
            names[f"base_model.model.{layer}.{kind}{tail}"] = f"{layer}.{name}"
    return names


@torch.no_grad()
def fill(model: nn.Module, weights: dict[str, Tensor], adapter: str) -> None:
    """Takes over weights by their names in a file, which the caller has checked."""
    parameters = dict(model.named_parameters())
    for name, parameter in parameter_names(model, adapter).items():
        parameters[parameter].data = weights[name].to(parameters[parameter].device, torch.float32, copy=True)


@contextmanager
def as_loaded(model: nn.Module) -> Iterator[None]:
    """The model computes as it did when it was loaded: without the adapter, or with the values it then had."""
    layers = lora_layers(model).values()
    for layer in layers:
        if REFERENCE in layer.lora_A:
            layer.set_adapter(REFERENCE, inference_mode=True)
        else:
            layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.set_adapter(POLICY)
            layer.enable_adapters(True)


def merged_weights(model: nn.Module, held: Mapping[str, Held]) -> Iterator[tuple[str, Tensor]]:
    """Every weight, whole, by its name in the model without adapters; adapters are added to what they adapt, in
    float32. A model without adapters gives its own weights. The model is not changed. All ranks go through it together.
    """
    layers = lora_layers(model)
    for name in held:
        layer, wrapped, leaf = name.partition(".base_layer.")
        if wrapped and leaf == "weight":
            own = {id(parameter): held[f"{layer}.{part}"] for part, parameter in layers[layer].named_parameters()}
            for part, value in _merged(layers[layer], own).named_parameters():
                yield f"{layer}.{part}", value.detach()
        elif not wrapped and not _is_adapter(name):
            yield name, held[name].whole()


def _inject(model: nn.Module, config: dict[str, Any], adapter: str, seed: int) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise EngineError(
            "package_missing",
            f"adapters need the Python package peft, which cannot be imported ({error}); install the packages of "
            "requirements.txt.",
        ) from error
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # The reference is a second adapter, and meant to be.
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        torch.manual_seed(draw_seed(seed, ADAPTER))
        # peft keeps what it is given and may change it.
        inject_adapter_in_model(LoraConfig(**copy.deepcopy(config)), model, adapter)


def _store(model: nn.Module, dtype: torch.dtype, *, trained: bool) -> None:
    """Decides what is trained, and the type: peft gives an adapter that of the layer that it adapts. Dropout stays off
    outside of `layers.checkpointed_layers`."""
    for name, parameter in model.named_parameters():
        if _is_adapter(name):
            parameter.data = parameter.data.to(dtype)
        else:
            parameter.requires_grad_(False)
    for layer in lora_layers(model).values():
        layer.set_adapter(POLICY, inference_mode=not trained)
    model.eval()


def _merged(layer: Any, held: Mapping[int, Held]) -> nn.Module:
    """The bare layer with its adapter added, a copy; `held` are its parameters by `id`."""
    whole = {key: nn.Parameter(one.whole().clone(), requires_grad=False) for key, one in held.items()}
    own = copy.deepcopy(layer, whole)
    base = own.get_base_layer()
    base.to(torch.promote_types(base.weight.dtype, torch.float32))
    with torch.no_grad():
        own.merge(adapter_names=[POLICY])
    return base


def _linears(loaded: LoadedModel) -> list[str]:
    prefix = loaded.family.language_model + "."
    return [
        name
        for name, module in loaded.model.named_modules()
        if name.startswith(prefix) and isinstance(module, nn.Linear)
    ]


def _is_called(module: str, name: str) -> bool:
    return module == name or module.endswith(f".{name}")


def _why_not(loaded: LoadedModel, name: str, linears: list[str]) -> str:
    elsewhere = next((module for module, _ in loaded.model.named_modules() if _is_called(module, name)), None)
    place = "no layer of this model is called so" if elsewhere is None else f"that is {elsewhere}"
    known = ", ".join(sorted({linear.rsplit(".", 1)[1] for linear in linears}))
    return (
        f'lora_target_modules names "{name}", but {place}: adapters go into linear layers of the language model, never '
        f"into the vision tower or the head. Choose among {known}, or leave it out for all of them."
    )


def _pattern(loaded: LoadedModel, chosen: list[str]) -> str | list[str]:
    """What finds just these layers again: names alone would also find layers of the vision tower."""
    layers = re.compile(rf"{re.escape(loaded.family.language_model)}\.layers\.(\d+)\.(.+)")
    own: dict[str, list[str]] = {}
    for name in chosen:
        match = layers.fullmatch(name)
        if match is None:
            return chosen
        own.setdefault(match[2], []).append(match[1])
    config: Any = loaded.model.config
    if any(len(numbers) != config.text_config.num_hidden_layers for numbers in own.values()):
        return chosen
    names = "|".join(map(re.escape, sorted(own)))
    return rf"{re.escape(loaded.family.language_model)}\.layers\.\d+\.({names})"


def _is_adapter(parameter: str) -> bool:
    return re.search(r"\.lora_[A-Za-z_]+\.", parameter) is not None


def _check_attached(model: nn.Module, chosen: list[str]) -> None:
    if set(lora_layers(model)) != set(chosen):
        raise EngineError(
            "unsupported_model", f"peft wrapped {len(lora_layers(model))} layers of {len(chosen)} that it was asked to."
        )


def _check_trained(loaded: LoadedModel) -> None:
    prefix = loaded.family.language_model + "."
    for name, layer in lora_layers(loaded.model).items():
        if not name.startswith(prefix) or not isinstance(layer.get_base_layer(), nn.Linear):
            raise EngineError(
                "bad_argument",
                f"the adapter that training is to go on with adapts {name}, which is not a linear layer of the "
                "language model; only those are trained. Merge it into its base first (thurstone export --merge).",
            )
