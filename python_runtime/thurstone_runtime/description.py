"""What a loaded model turned out to be, and what the process around it is: the answers to `load` and `describe`."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import torch
from torch import nn
from transformers.utils.logging import disable_progress_bar

from . import __version__
from .families import LoadedModel
from .layers import active_dropout
from .lora import lora_layers
from .memory import peak_resident_bytes, resident_bytes
from .optim import ADAMW_8BIT

PACKAGES = ("torch", "transformers", "tokenizers", "pillow", "numpy")


def set_up_torch(*, threads: int, deterministic: bool) -> None:
    """Threads (0 keeps torch's own choice) and whether the same input must give the same bits on every run. Also keeps
    transformers' progress bars out of the log, whose last lines explain a worker's death.

    To be called on the thread that computes, before CUDA is first used: cuBLAS reads its setting only then.
    """
    disable_progress_bar()
    if threads:
        torch.set_num_threads(threads)
    # Warns where CUDA has no deterministic kernel instead of failing: one is the cumulative sum that sampling needs.
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 - for debugging; it costs time
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        os.environ.setdefault("FLASH_ATTENTION_DETERMINISTIC", "1")
        torch.backends.cudnn.benchmark = False


def describe_model(loaded: LoadedModel, strategy: str = "single", optim: str | None = None) -> dict[str, Any]:
    """The result of `load`, without the policy version. `optim`: None for inference."""
    constants = loaded.family.image_constants
    parameters = list(loaded.model.parameters())
    return {
        "family": loaded.family.name,
        "device": str(loaded.device),
        "dtype": str(loaded.compute_dtype).removeprefix("torch."),
        "attention": loaded.attention,
        "image": {
            "patch_size": constants.patch_size,
            "merge_size": constants.merge_size,
            "temporal_patch_size": constants.temporal_patch_size,
            "min_pixels": constants.min_pixels,
            "max_pixels": constants.max_pixels,
        },
        "parameters": {
            "total": sum(map(_size, parameters)),
            "trainable": sum(_size(parameter) for parameter in parameters if parameter.requires_grad),
        },
        "dropout": active_dropout(loaded.model),
        "vocab_size": loaded.vocab_size,
        "max_position_embeddings": loaded.max_position_embeddings,
        "eos_token_ids": list(loaded.eos_token_ids),
        "pad_token_id": loaded.pad_token_id,
        "image_token_id": loaded.family.image_token_id,
        "versions": versions(loaded.model, strategy, optim),
        "cpu_features": cpu_features(),
        "threads": torch.get_num_threads(),
        "activation_bytes_per_token": activation_bytes_per_token(loaded),
    }


def _size(parameter: nn.Parameter) -> int:
    """Of the whole parameter; between passes DeepSpeed leaves it empty and notes its size."""
    return getattr(parameter, "ds_numel", parameter.numel())


def activation_bytes_per_token(loaded: LoadedModel) -> int:
    """What the text layers keep of a token for the backward pass, about: of hidden size H and feed-forward size I the
    two norms 4 H, attention 4 H, residual H, feed-forward 4 I; with layers that compute again one H each, and one layer
    in full."""
    config: Any = loaded.model.config.text_config
    full = 9 * config.hidden_size + 4 * config.intermediate_size
    saving = any(getattr(layer, "gradient_checkpointing", False) for layer in loaded.model.modules())
    kept = config.num_hidden_layers * (config.hidden_size if saving else full) + (full if saving else 0)
    return kept * loaded.compute_dtype.itemsize


def versions(model: nn.Module, strategy: str, optim: str | None) -> dict[str, str]:
    """Of everything that can change a result of the model; peft where it has an adapter, DeepSpeed and bitsandbytes
    where they train."""
    used = [*PACKAGES]
    if lora_layers(model):
        used.append("peft")
    if strategy == "deepspeed":
        used.append("deepspeed")
    if optim == ADAMW_8BIT:
        used.append("bitsandbytes")
    found = {name: metadata.version(name) for name in used}
    return {"python": platform.python_version(), **found, "runtime": __version__}


def cpu_features() -> list[str]:
    """The level that torch's kernels run at, and the instruction sets there are. Another list may give other bits."""
    supported = torch.cpu.get_capabilities()
    names = sorted(name for name, value in supported.items() if value is True)
    return [f"torch:{torch.backends.cpu.get_cpu_capability().lower()}", *names]


def describe_memory(device: torch.device | None) -> dict[str, int]:
    """Bytes: resident now and at its peak, and the peak of what torch has taken on a CUDA device."""
    on_cuda = device is not None and device.type == "cuda"
    return {
        "rss": resident_bytes(),
        "peak_rss": peak_resident_bytes(),
        "device_peak": torch.cuda.max_memory_allocated(device) if on_cuda else 0,
    }
