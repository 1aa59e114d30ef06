"""DeepSpeed itself, and what its engine is given: the file of the user, completed by what the worker knows."""

from __future__ import annotations

import copy
import os
import warnings
from collections import defaultdict
from importlib import metadata
from typing import Any

import torch
import torch.distributed as dist

from ..errors import EngineError
from ..families import LoadedModel

PACKAGE, VERSION = "deepspeed", "0.19.8"
"""Pieces of the engine are read and written directly, so that another version is not the same thing."""


def import_deepspeed(device: torch.device) -> Any:
    """The package, joined to the ranks that have met already. Raises `package_missing`."""
    check_installed()
    if device.type == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"
    # The device that it takes for its own.
    os.environ["LOCAL_RANK"] = str(device.index or 0)
    # Of names of torch's collectives that it uses, at every call.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed\.c10d_logger")
    import deepspeed
    import deepspeed.ops

    if device.type == "cpu":
        # It would have a compiler build collectives for the CPU; those of torch are there.
        setattr(deepspeed.ops, "__compatible_ops__", defaultdict(bool))  # noqa: B010 - made when it is first asked for
    deepspeed.init_distributed(dist_backend=dist.get_backend(), auto_mpi_discovery=False, verbose=False)
    return deepspeed


def check_installed() -> None:
    """Raises `package_missing` unless DeepSpeed is there in the version that this is written for."""
    try:
        found = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        found = None
    if found != VERSION:
        state = "is not installed" if found is None else f"is there in version {found}"
        raise EngineError(
            "package_missing",
            f'strategy "deepspeed" needs the Python package {PACKAGE} {VERSION}, which {state}; run '
            f'"pip install {PACKAGE}=={VERSION}" in the Python of the worker, or use strategy "fsdp2".',
        )


def in_pieces(settings: dict[str, Any]) -> bool:
    """Whether weights are cut as well, not only gradients and optimizer."""
    return settings["zero_optimization"]["stage"] == 3


def check_values(settings: dict[str, Any]) -> None:
    """Raises `bad_argument` for what DeepSpeed does not take, in its own words."""
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    try:
        DeepSpeedZeroConfig(**settings["zero_optimization"])
    except ValueError as error:
        raise EngineError("bad_argument", f"load: DeepSpeed does not take zero_optimization: {error}") from error


def engine_settings(settings: dict[str, Any], loaded: LoadedModel, *, trained: bool) -> dict[str, Any]:
    """DeepSpeed's configuration for a model; that of one that is not trained has no optimizer.

    "auto" is filled in as Hugging Face's Trainer does, from the hidden size H: reduce_bucket_size H^2,
    stage3_prefetch_bucket_size 0.9 H^2, stage3_param_persistence_threshold 10 H. An update has any number of parts,
    of any size, so batch sizes say nothing; clipping comes with every step.
    """
    own: dict[str, Any] = copy.deepcopy(settings)
    config: Any = loaded.model.config
    hidden = config.text_config.hidden_size
    automatic = {
        "reduce_bucket_size": hidden * hidden,
        "stage3_prefetch_bucket_size": int(0.9 * hidden * hidden),
        "stage3_param_persistence_threshold": 10 * hidden,
    }
    zero = own["zero_optimization"]
    for name, value in automatic.items():
        if zero.get(name) == "auto":
            zero[name] = value
    if not trained:
        zero.pop("offload_optimizer", None)
    own["bf16"] = {
        **own.get("bf16", {}),
        "enabled": loaded.compute_dtype == torch.bfloat16,
        "check_grad_overflow": True,
    }
    own.setdefault("data_types", {}).setdefault("grad_accum_dtype", "fp32")
    return {
        **own,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        # torch's AdamW under a name of ours. On the CPU it is fused as DeepSpeed's own is, and needs no compiler.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }
