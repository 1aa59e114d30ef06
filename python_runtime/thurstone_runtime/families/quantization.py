"""Four-bit weights for a frozen base (QLoRA, arXiv 2305.14314), by bitsandbytes, on CUDA."""

from __future__ import annotations

import importlib.util

import torch
from transformers import BitsAndBytesConfig

from ..errors import EngineError

SKIPPED = ("visual", "lm_head")
"""Not quantised: the vision tower is small and reads pictures only once, and the head decides every probability."""


def four_bit_config(device_type: str, compute_dtype: torch.dtype, *, installed: bool) -> BitsAndBytesConfig:
    """NF4 with quantised constants, computed in `compute_dtype`.

    Raises `device_unavailable` without CUDA, `package_missing` without bitsandbytes.
    """
    if device_type != "cuda":
        raise EngineError(
            "device_unavailable",
            f"load_in_4bit needs a CUDA device, and the model goes to {device_type}; leave it out, or name one.",
        )
    if not installed:
        raise EngineError(
            "package_missing",
            "load_in_4bit needs the Python package bitsandbytes, which is not installed: pip install bitsandbytes.",
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        llm_int8_skip_modules=list(SKIPPED),
    )


def has_bitsandbytes() -> bool:
    """Whether it is installed."""
    return importlib.util.find_spec("bitsandbytes") is not None


def is_quantised(model: torch.nn.Module) -> bool:
    """Whether weights are stored as something else than numbers."""
    return any(not parameter.is_floating_point() for parameter in model.parameters())
