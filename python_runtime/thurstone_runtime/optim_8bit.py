"""AdamW by bitsandbytes, whose two moments take a byte per parameter each: codes with a float32 scale per block.

Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv 2110.02861. Parameters too small to matter keep
moments of float32.
"""

from __future__ import annotations

from typing import Any

import torch

from .errors import EngineError
from .families.quantization import has_bitsandbytes

_BLOCK = 256
"""Values that share a scale."""
_CODES = 256
_LEAST_SIZE = 4096
"""Elements from which on a parameter's moments have 8 bits; bitsandbytes' own rule."""
_DEVICES = ("cpu", "cuda")
_STRATEGIES = ("single", "ddp")


def check_8bit(strategy: str, *, installed: bool | None = None) -> None:
    """Raises `bad_argument` under a strategy that cuts parameters into pieces, whose blocks would be others on each
    number of ranks, and `package_missing` without bitsandbytes. `installed`: found out where it is None."""
    if strategy not in _STRATEGIES:
        raise EngineError(
            "bad_argument",
            f'load: optim "adamw_bnb_8bit" does not go with strategy "{strategy}"; use single or ddp, or adamw_torch.',
        )
    if not (has_bitsandbytes() if installed is None else installed):
        raise EngineError(
            "package_missing",
            'optim "adamw_bnb_8bit" needs the Python package bitsandbytes, which is not installed: '
            "pip install bitsandbytes, or use adamw_torch.",
        )


def adamw_8bit(groups: list[dict[str, Any]], options: dict[str, Any]) -> torch.optim.Optimizer:
    """The optimizer. Raises `device_unavailable` where bitsandbytes has no kernel for the parameters' device."""
    # Imported here because it takes seconds and most runs never use it.
    from bitsandbytes.optim.adamw import AdamW8bit

    others = {parameter.device.type for group in groups for parameter in group["params"]} - {*_DEVICES}
    if others:
        raise EngineError(
            "device_unavailable",
            f'optim "adamw_bnb_8bit" works on CUDA and CPUs, and the model is on {", ".join(others)}; use adamw_torch.',
        )
    return AdamW8bit(groups, min_8bit_size=_LEAST_SIZE, **options)


def layout_8bit(shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Type and shape of what it keeps of a parameter. `state`: the moments, or their codes; `qmap`: what each code
    stands for; `absmax`: the scale of each block."""
    size = torch.Size(shape).numel()
    step = {"step": (torch.float32, ())}
    if size < _LEAST_SIZE:
        return {"state1": (torch.float32, shape), "state2": (torch.float32, shape), **step}
    scales = (-(-size // _BLOCK),)
    return {
        **{f"state{moment}": (torch.uint8, shape) for moment in (1, 2)},
        **{f"qmap{moment}": (torch.float32, (_CODES,)) for moment in (1, 2)},
        **{f"absmax{moment}": (torch.float32, scales) for moment in (1, 2)},
        **step,
    }
